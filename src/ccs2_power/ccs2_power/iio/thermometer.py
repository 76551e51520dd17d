"""The thermometer driver on an ADC of the kernel, or on a sensor chip that the kernel knows."""

from __future__ import annotations

import time
from collections.abc import Callable

from ccs2_power.hal import Measurement, ThermometerReading
from ccs2_power.iio.channel import IioChannel
from ccs2_power.iio.divider import Divider
from ccs2_power.iio.sensors import Linearisation, platinum, thermistor
from ccs2_power.options import Options
from ccs2_power.sensor_driver import SensorDriver, parse_contacts, within

#: What a connector's contact can have, in degC.
LOWEST, HIGHEST = -50.0, 200.0


class IioThermometer(SensorDriver[ThermometerReading]):
    """Temperatures of the contacts; see :class:`ccs2_power.hal.ThermometerDriver`.

    Options: ``adc`` (``/sys/bus/iio/devices/iio:device0``), ``contacts``
    (``DC+:voltage2,DC-:voltage3``, or ``DC+:temp0,...`` where the kernel tells degC itself). For
    voltages: ``sensor`` (``pt1000``, ``pt100``, ``ntc``) between the input and earth, ``supply``
    (V) and ``pull_up`` (ohm) of its divider, for ``ntc`` its ``r25`` (ohm) and ``beta`` (K).
    """

    NAME = 'thermometer'
    OPTIONS = ('adc', 'contacts', 'sensor', 'supply', 'pull_up', 'r25', 'beta')
    PERIOD = 0.5
    NOTHING = ThermometerReading({})

    def _prepare(self, options: Options) -> Callable[[], ThermometerReading]:
        device = options.text('adc', '/sys/bus/iio/devices/iio:device0')
        channels = {contact: IioChannel(device, name)
                    for contact, name in parse_contacts(options.text('contacts')).items()}
        celsius = {contact: _celsius if channel.is_temperature else _by_resistance(options)
                   for contact, channel in channels.items()}

        def measure() -> ThermometerReading:
            contacts = {}
            for contact, channel in channels.items():
                stamp = time.monotonic()
                value = celsius[contact](channel.read())
                contacts[contact] = None if value is None else Measurement(
                    value, f'thermometer {contact}', stamp)
            return ThermometerReading(contacts)

        return measure


def _celsius(value: float) -> float | None:
    return within(value, LOWEST, HIGHEST)


def _by_resistance(options: Options) -> Callable[[float], float | None]:
    """Return how a voltage becomes a temperature, as the options describe the sensor."""
    linearise = _linearisation(options)
    divider = Divider(options.number('supply', 0.1, 50.0), options.number('pull_up', 1.0, 1e6))
    return lambda volts: linearise(divider.resistance(volts))


def _linearisation(options: Options) -> Linearisation:
    sensor = options.choice('sensor', ('pt1000', 'pt100', 'ntc'))
    if sensor == 'ntc':
        return thermistor(options.number('r25', 10.0, 1e6), options.number('beta', 1000.0, 1e4))
    return platinum({'pt1000': 1000.0, 'pt100': 100.0}[sensor])
