"""The control pilot driver on a PWM and an ADC of the kernel."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median

from ccs2_power.gpio.drivers import DEFAULT_CHIP
from ccs2_power.gpio.lines import Line, Lines
from ccs2_power.hal import COMMAND_TIMEOUT, DUTY_OFF, DriverError, Measurement, PilotReading
from ccs2_power.iio.buffer import IioBuffer
from ccs2_power.iio.divider import Divider
from ccs2_power.options import Options
from ccs2_power.pwm.plateaus import plateaus
from ccs2_power.pwm.sysfs import SysfsPwm
from ccs2_power.worker import Worker

#: PWM and ADC are served this often, in s.
PERIOD = 0.01
#: Samples of this time are looked at together, in s: ten periods of the pilot.
WINDOW = 0.01
#: Slowest sampling in Hz: two samples in a high phase of 50 us.
SLOWEST = 40e3
OPTIONS = (
    'pwm', 'channel', 'polarity', 'adc', 'adc_device', 'pilot', 'gain', 'zero',
    'sampling_frequency', 'trigger', 'proximity', 'proximity_supply', 'proximity_pull_up',
    'watchdog_chip', 'watchdog',
)


class PwmPilot:
    """Control pilot and proximity; see :class:`ccs2_power.hal.PilotDriver`.

    Options: ``pwm`` (``/sys/class/pwm/pwmchip0``), ``channel`` (0), ``polarity`` (``normal`` or
    ``inversed``), ``adc`` (``/sys/bus/iio/devices/iio:device0``), ``adc_device`` (its file in
    ``/dev``, from its name), ``pilot`` (``voltage0``), ``gain`` and ``zero`` (pilot in V =
    gain * input in V + zero), ``sampling_frequency`` (Hz, at least 40000), ``trigger``; for the
    proximity contact ``proximity`` (``voltage1``), ``proximity_supply`` (V), ``proximity_pull_up``
    (ohm); ``watchdog`` (GPIO line that changes its level every 10 ms for as long as commands are
    heard) on ``watchdog_chip``.

    A PWM goes on when its process dies: the pilot's output stage has to go to -12 V by a watchdog,
    this one or that of the contactors.
    """

    def __init__(self) -> None:
        self._worker = Worker('control pilot', self._step, self._recover, PERIOD)
        self._pwm: SysfsPwm | None = None
        self._adc: IioBuffer | None = None
        self._watchdog: Lines | None = None
        self._gain, self._zero = 1.0, 0.0
        self._divider = Divider(1.0, 1.0)
        self._command, self._told = DUTY_OFF, -math.inf
        self._driven = DUTY_OFF
        self._kick = False
        self._pilot_samples: list[float] = []
        self._proximity_samples: list[float] = []
        self._reading = PilotReading(None, None, None)

    @property
    def problem(self) -> str:
        """What is wrong with PWM, ADC or watchdog line now."""
        return 'not open' if self._pwm is None else self._worker.problem

    async def open(self, parameters: Mapping[str, str]) -> None:
        """Drive steady -12 V and begin to sample."""
        options = Options(parameters, OPTIONS)
        pwm = SysfsPwm(options.text('pwm', '/sys/class/pwm/pwmchip0'),
                       options.integer('channel', 0, 255, 0),
                       options.choice('polarity', ('normal', 'inversed'), 'normal'))
        device = options.text('adc', '/sys/bus/iio/devices/iio:device0')
        channels = [options.text('pilot', 'voltage0')]
        if 'proximity' in options:
            channels.append(options.text('proximity'))
            self._divider = Divider(options.number('proximity_supply', 0.1, 50.0),
                                    options.number('proximity_pull_up', 1.0, 1e6))
        adc = IioBuffer(
            device, options.text('adc_device', f'/dev/{Path(device).name}'), channels,
            options.number('sampling_frequency', SLOWEST, 1e7)
            if 'sampling_frequency' in options else None,
            options.text('trigger') if 'trigger' in options else '')
        self._gain = options.number('gain', -1e3, 1e3)
        self._zero = options.number('zero', -1e3, 1e3)
        watchdog = None
        if 'watchdog' in options:
            watchdog = Lines(options.text('watchdog_chip', DEFAULT_CHIP), 'ccs2 pilot', {},
                             {'watchdog': Line.parse(options.text('watchdog'))})
        try:
            pwm.open()
        except OSError as error:
            raise DriverError(f'PWM of the control pilot: {error}') from None
        try:
            adc.open()
            if adc.frequency < SLOWEST:
                raise DriverError(f'ADC of the control pilot: {adc.frequency:g} Hz are too slow '
                                  f'for a high phase of 50 us, {SLOWEST:g} are needed')
            if watchdog is not None:
                watchdog.open()
        except (OSError, DriverError) as error:
            with contextlib.suppress(OSError):
                adc.close()
            if isinstance(error, DriverError):
                raise
            raise DriverError(f'ADC of the control pilot: {error}') from None
        self._pwm, self._adc, self._watchdog = pwm, adc, watchdog
        self._forget()
        self._worker.start()

    async def close(self) -> None:
        """Drive steady -12 V and stop sampling."""
        self._worker.stop()
        pwm, self._pwm = self._pwm, None
        adc, self._adc = self._adc, None
        watchdog, self._watchdog = self._watchdog, None
        for device in (pwm, adc, watchdog):
            if device is not None:
                with contextlib.suppress(OSError):  # gone: nothing is left to close
                    device.close()
        self._forget()

    def read(self) -> PilotReading:
        """Return the newest levels."""
        return self._reading

    def command(self, duty: float) -> None:
        """Drive the pilot; a change is carried out at once."""
        if self._pwm is None:
            return
        changed = duty != self._command
        self._command, self._told = min(max(duty, 0.0), 1.0), time.monotonic()
        if changed:
            self._worker.wake()

    def _forget(self) -> None:
        self._command, self._told, self._driven = DUTY_OFF, -math.inf, DUTY_OFF
        self._pilot_samples, self._proximity_samples = [], []
        self._reading = PilotReading(None, None, None)

    def _recover(self) -> None:
        self._forget()
        if self._pwm is None or self._adc is None:
            return
        self._pwm.open()
        self._adc.open()
        if self._watchdog is not None:
            self._watchdog.reopen()

    def _step(self) -> None:
        pwm, adc = self._pwm, self._adc
        if pwm is None or adc is None:
            return
        heard = time.monotonic() - self._told <= COMMAND_TIMEOUT
        duty = self._command if heard else DUTY_OFF
        if heard and self._watchdog is not None:
            self._kick = not self._kick
            self._watchdog.write({'watchdog': self._kick})
        pilot, *others = adc.read()
        stamp = time.monotonic()
        if duty != self._driven:
            pwm.drive(duty)
            self._driven = duty
            self._pilot_samples = []  # they are of before
        else:
            self._pilot_samples += pilot
        if others:
            self._proximity_samples += others[0]
        self._measure(pwm, max(round(adc.frequency * WINDOW), 100), stamp)

    def _measure(self, pwm: SysfsPwm, needed: int, stamp: float) -> None:
        read_back = pwm.read()
        if len(self._pilot_samples) < needed:
            return
        found = plateaus(self._gain * volts + self._zero for volts in self._pilot_samples[-needed:])
        self._pilot_samples = []
        proximity = None
        if self._proximity_samples:
            proximity = self._measured(
                self._divider.resistance(median(self._proximity_samples)), stamp)
            self._proximity_samples = []
        # What is measured counts; at 0 V only the kernel knows what is driven.
        duty = found.duty if found.duty is not None else read_back
        self._reading = PilotReading(
            self._measured(found.high, stamp), self._measured(found.low, stamp),
            self._measured(duty, stamp), proximity)

    def _measured(self, value: float | None, stamp: float) -> Measurement[float] | None:
        return None if value is None else Measurement(value, 'control pilot ADC', stamp)
