"""The thermometer driver on the kernel's files of temperatures."""

from __future__ import annotations

import errno
import glob
import time
from collections.abc import Callable
from pathlib import Path

from ccs2_power.hal import Measurement, ThermometerReading
from ccs2_power.kernel_files import read_number
from ccs2_power.options import Options
from ccs2_power.sensor_driver import SensorDriver, parse_contacts, within

#: The kernel tells milli-degC.
MILLI = 1e-3
#: What a connector's contact can have, in degC.
LOWEST, HIGHEST = -50.0, 200.0
#: What a 1-wire sensor (DS18B20) says after a loss of power, before it has measured, in degC.
POWER_ON = 85.0
#: That is a temperature all the same if the reading before was no further away, in K.
NEAR = 5.0


class HwmonThermometer(SensorDriver[ThermometerReading]):
    """Temperatures of the contacts; see :class:`ccs2_power.hal.ThermometerDriver`.

    Option: ``contacts`` (``DC+:PATH,DC-:PATH``). A path is that of a hwmon chip's ``tempN_input``
    or of a 1-wire sensor's ``temperature``; ``*`` stands for anything, so that
    ``/sys/bus/i2c/devices/1-0048/hwmon/hwmon*/temp1_input`` is the same chip after every boot.
    """

    NAME = 'thermometer'
    OPTIONS = ('contacts',)
    PERIOD = 0.5
    NOTHING = ThermometerReading({})

    def _prepare(self, options: Options) -> Callable[[], ThermometerReading]:
        places = parse_contacts(options.text('contacts'))
        before: dict[str, float | None] = {}

        def measure() -> ThermometerReading:
            contacts = {}
            for contact, place in places.items():
                stamp = time.monotonic()
                value = read_temperature(find(place), before.pop(contact, None))
                before[contact] = value
                contacts[contact] = None if value is None else Measurement(
                    value, f'thermometer {contact}', stamp)
            return ThermometerReading(contacts)

        return measure


def find(place: str) -> Path:
    """Return the one file that a path with ``*`` names; raise :class:`OSError` if there is none."""
    found = glob.glob(place)
    if len(found) != 1:
        raise OSError(errno.ENOENT, f'{len(found)} files instead of one', place)
    return Path(found[0])


def read_temperature(path: Path, before: float | None) -> float | None:
    """Return the temperature in degC, None if the sensor is broken; raise :class:`OSError`.

    `before` is the reading before this one, None if there was none.
    """
    fault = path.with_name(path.name.removesuffix('_input') + '_fault')
    if fault != path and fault.exists() and read_number(fault) != 0.0:
        return None
    celsius = read_number(path) * MILLI
    warm = before is not None and abs(before - POWER_ON) <= NEAR
    if path.name == 'temperature' and celsius == POWER_ON and not warm:
        return None
    return within(celsius, LOWEST, HIGHEST)
