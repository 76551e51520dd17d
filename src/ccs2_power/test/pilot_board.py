"""An emulated pilot circuit behind files: a PWM chip, an IIO device and its FIFO of samples."""

import contextlib
import os
import random
import struct
import threading
import time

RATE = 50_000
#: Pilot in V = GAIN * input in V + ZERO, as a divider with an offset makes of +-12 V 0 to 3.3 V.
GAIN, ZERO = 8.0, -13.2
#: 12 bits of 3.3 V, in the high bits of 16.
SCALE = 3300.0 / 4096
SUPPLY, PULL_UP = 3.3, 1000.0


class PilotBoard:
    """`high` is what the vehicle makes of +12 V, `low` of -12 V; a thread makes the samples."""

    def __init__(self, folder):
        self.high, self.low = 12.0, -12.0
        self.proximity = 1500.0
        self.noise = 0.1
        self.spikes = 0.0
        self.sampling = True
        self.chip = folder / 'pwmchip0'
        self.output = self.chip / 'pwm0'
        self.device = folder / 'iio:device0'
        self.node = folder / 'iio_device0'
        self.chip.mkdir()
        (self.chip / 'export').write_text('')
        elements = self.device / 'scan_elements'
        for path in (elements, self.device / 'buffer', self.device / 'trigger'):
            path.mkdir(parents=True)
        for index, name in enumerate(('voltage0', 'voltage1')):
            (elements / f'in_{name}_en').write_text('0')
            (elements / f'in_{name}_type').write_text('le:u12/16>>4\n')
            (elements / f'in_{name}_index').write_text(f'{index}\n')
        (elements / 'in_timestamp_en').write_text('1')
        (self.device / 'in_voltage_scale').write_text(f'{SCALE}\n')
        (self.device / 'sampling_frequency').write_text(f'{RATE}\n')
        (self.device / 'buffer' / 'enable').write_text('0')
        (self.device / 'buffer' / 'length').write_text('2')
        os.mkfifo(self.node)
        self.pipe = os.open(self.node, os.O_RDWR | os.O_NONBLOCK)
        self.phase = 0.0
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def options(self, **more):
        return {'pwm': str(self.chip), 'adc': str(self.device), 'adc_device': str(self.node),
                'gain': str(GAIN), 'zero': str(ZERO), **more}

    def with_proximity(self, **more):
        return self.options(proximity='voltage1', proximity_supply=str(SUPPLY),
                            proximity_pull_up=str(PULL_UP), **more)

    def end(self):
        self.ended.set()
        self.thread.join()
        os.close(self.pipe)

    @property
    def duty(self):
        """What the pilot's output stage does."""
        try:
            if (self.output / 'enable').read_text() != '1':
                return 0.0
            return int((self.output / 'duty_cycle').read_text()) / int(
                (self.output / 'period').read_text())
        except (OSError, ValueError):
            return 0.0

    def _run(self):
        last = time.monotonic()
        rest = 0.0
        while not self.ended.wait(0.004):
            if (self.chip / 'export').read_text() == '0' and not self.output.exists():
                self._export()
            now = time.monotonic()
            rest += (now - last) * RATE
            last, count, rest = now, int(rest), rest % 1.0
            if self.sampling and self._read('buffer/enable') == '1':
                self._make(count)

    def _read(self, name):
        return (self.device / name).read_text().strip()

    def _export(self):
        self.output.mkdir()
        for name, value in (('period', 0), ('enable', 0), ('polarity', 'normal\n'),
                            ('duty_cycle', 0)):
            (self.output / name).write_text(str(value))

    def _make(self, count):
        duty, both = self.duty, self._read('scan_elements/in_voltage1_en') == '1'
        data = bytearray()
        for _ in range(min(count, 5000)):
            self.phase = (self.phase + 1000.0 / RATE) % 1.0
            volts = self.high if self.phase < duty else self.low
            volts += random.uniform(-self.noise, self.noise)
            if random.random() < self.spikes:
                volts = random.choice((-13.0, 13.0))
            data += self._sample((volts - ZERO) / GAIN)
            if both:
                data += self._sample(SUPPLY * self.proximity / (self.proximity + PULL_UP))
        with contextlib.suppress(BlockingIOError):  # nobody reads
            os.write(self.pipe, data)

    @staticmethod
    def _sample(volts):
        code = min(max(round(volts * 1e3 / SCALE), 0), 4095)
        return struct.pack('<H', code << 4 | random.getrandbits(4))
