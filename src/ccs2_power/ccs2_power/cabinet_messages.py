"""Between the messages of a shared cabinet and its core: ages on the wire are stamps there."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from builtin_interfaces.msg import Time
from std_msgs.msg import Header

from ccs2_interfaces.msg import CabinetCommand, CabinetOutput
from ccs2_interfaces.msg import Fault as FaultMessage
from ccs2_power.cabinet import Demand, Service
from ccs2_power.command import CommandError
from ccs2_power.faults import Code
from ccs2_power.hal import Alarm, Measurement, SupplyCommand, SupplyLimits, SupplyReading
from ccs2_power.messages import LISTED_FAULTS, given, measured, severity_of

SOURCE = 'cabinet'
LIMITS = tuple(SupplyLimits.__dataclass_fields__)
VALUES = ('voltage', 'current', 'set_voltage', 'set_current', 'temperature')
_ON = {None: CabinetOutput.ON_UNKNOWN, False: CabinetOutput.ON_NO, True: CabinetOutput.ON_YES}


def command_message(command: SupplyCommand, wanted: float, wall: Time) -> Any:
    """Return a connector's demand as a message."""
    return CabinetCommand(
        header=Header(stamp=wall), on=command.on, voltage=float(command.voltage),
        current=float(command.current), wanted_current=float(wanted))


def demand_of(message: Any, now: float) -> Demand:
    """Return the demand in a message; raise :class:`CommandError` if it makes no sense."""
    for name, lowest in (('voltage', 0.0), ('current', -math.inf), ('wanted_current', 0.0)):
        value = getattr(message, name)
        if not (math.isfinite(value) and value >= lowest):
            raise CommandError(f'{name} is {value}')
    return Demand(SupplyCommand(message.on, message.voltage, message.current),
                  message.wanted_current, now)


def output_message(service: Service, wall: Time, now: float) -> Any:
    """Return what a connector gets as a message."""
    reading, limits = service.reading, service.reading.limits
    if limits is None:
        raise ValueError('a cabinet knows its limits')
    message = CabinetOutput(header=Header(stamp=wall), modules=service.modules)
    for name in VALUES:
        measurement: Measurement[float] | None = getattr(reading, name)
        setattr(message, name, measured(None if measurement is None else measurement.value))
        setattr(message, f'{name}_age', _age(measurement, now))
    message.on = _ON[None if reading.on is None else reading.on.value]
    message.on_age = _age(reading.on, now)
    for name in LIMITS:
        setattr(message, name, float(getattr(limits, name)))
    worst_first = sorted(reading.alarms, key=lambda alarm: -alarm.severity)
    message.alarms = [FaultMessage(
        code=int(Code.SUPPLY_FAULT), severity=int(alarm.severity), present=True,
        source=alarm.source[:64], message=alarm.text[:256], since=wall)
        for alarm in worst_first[:LISTED_FAULTS]]
    return message


def reading_of(message: Any, now: float) -> SupplyReading:
    """Return the supply's reading in a message that has just arrived."""

    def stamped(name: str, convert: Callable[[Any], Any]) -> Any:
        value, age = convert(getattr(message, name)), getattr(message, f'{name}_age')
        return None if value is None or math.isnan(age) else Measurement(value, SOURCE, now - age)

    return SupplyReading(
        on=stamped('on', {number: on for on, number in _ON.items()}.get),
        limits=SupplyLimits(**{name: getattr(message, name) for name in LIMITS}),
        alarms=tuple(Alarm(severity_of(alarm.severity), alarm.source, alarm.message)
                     for alarm in message.alarms),
        **{name: stamped(name, given) for name in VALUES})


def _age(measurement: Measurement[Any] | None, now: float) -> float:
    return math.nan if measurement is None else max(0.0, now - measurement.stamp)
