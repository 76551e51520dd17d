"""The voltmeter driver on an ADC of the kernel."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from ccs2_power.claims import Claim
from ccs2_power.hal import DriverError, Measurement, VoltmeterReading
from ccs2_power.iio.channel import IioChannel
from ccs2_power.options import Options
from ccs2_power.sensor_driver import SensorDriver, within

#: The middle of so many conversions counts: one that was disturbed is not yet a voltage.
CONVERSIONS = 3


class IioVoltmeter(SensorDriver[VoltmeterReading]):
    """Voltage at the connector; see :class:`ccs2_power.hal.VoltmeterDriver`.

    Options: ``adc`` (``/sys/bus/iio/devices/iio:device0``), ``channel`` (``voltage0``, or
    ``voltage0-voltage1`` for a differential input), ``gain`` and ``zero`` (connector in V = gain *
    input in V + zero), ``lowest`` and ``highest`` (V: what is beyond is a broken wire or a short,
    and not measured).
    """

    NAME = 'voltmeter'
    OPTIONS = ('adc', 'channel', 'gain', 'zero', 'lowest', 'highest')
    PERIOD = 0.02
    NOTHING = VoltmeterReading(None)

    def __init__(self) -> None:
        super().__init__()
        self._claim: Claim | None = None

    def _prepare(self, options: Options) -> Callable[[], VoltmeterReading]:
        device = options.text('adc', '/sys/bus/iio/devices/iio:device0')
        name = options.text('channel', 'voltage0')
        gain, zero = options.number('gain', -1e5, 1e5), options.number('zero', -1e4, 1e4)
        lowest, highest = options.number('lowest', -2e3, 0.0), options.number('highest', 60.0, 2e3)
        if gain == 0.0:
            raise DriverError("option 'gain' is 0: nothing would be measured")
        channel = IioChannel(device, name)
        if channel.is_temperature:
            raise DriverError(f"option 'channel': {name} is no voltage")
        self._claim = Claim(f'ADC channel {Path(device).resolve()} {name}')
        source = f'voltmeter {Path(device).name} {name}'

        def measure() -> VoltmeterReading:
            stamp = time.monotonic()
            volts = gain * median(channel.read() for _ in range(CONVERSIONS)) + zero
            value = within(volts, lowest, highest)
            return VoltmeterReading(
                None if value is None else Measurement(value, source, stamp))

        return measure

    def _release(self) -> None:
        claim, self._claim = self._claim, None
        if claim is not None:
            claim.release()
