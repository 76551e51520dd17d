"""Between the ROS messages and the cores: NaN is None there, and ages are monotonic times."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from builtin_interfaces.msg import Time

from ccs2_interfaces.msg import Fault as FaultMessage
from ccs2_node import NANOSECONDS, stamp
from ccs2_power.cable_check import CableCheck
from ccs2_power.command import ChargeCommand, CommandError, Mode, Shutdown
from ccs2_power.faults import Fault, Severity
from ccs2_power.pilot_drive import PilotWish, WishKind
from ccs2_power.power import SafetyReport
from ccs2_power.safety import PowerReport, SafetyState

#: A status message lists at most so many faults, the worst first.
LISTED_FAULTS = 32


class MonotonicStamps:
    """Turns monotonic times into stamps for people, by the system's clock of one moment."""

    def __init__(self, wall: Time, now: float) -> None:
        self._wall = wall.sec * NANOSECONDS + wall.nanosec
        self._now = now

    def at(self, moment: float) -> Time:
        """Return the stamp of a monotonic time."""
        return stamp(self._wall + round((moment - self._now) * NANOSECONDS))


def measured(value: float | None) -> float:
    """Return a value for a float field: NaN if it was not measured."""
    return math.nan if value is None else float(value)


def given(value: float) -> float | None:
    """Return a float field's value: None if it is NaN."""
    return None if math.isnan(value) else value


def charge_command_of(message: Any) -> ChargeCommand:
    """Return the command in a ChargeCommand; raise :class:`CommandError` if it makes no sense."""
    try:
        mode, shutdown = Mode(message.mode), Shutdown(message.shutdown)
    except ValueError as error:
        raise CommandError(str(error)) from None
    return ChargeCommand(
        publisher=message.publisher, sequence=message.sequence,
        lease=message.lease.sec + message.lease.nanosec / NANOSECONDS,
        mode=mode, shutdown=shutdown, session_id=message.session_id,
        target_voltage=given(message.target_voltage),
        target_current=given(message.target_current),
        maximum_voltage=given(message.maximum_voltage),
        maximum_current=given(message.maximum_current),
        maximum_power=given(message.maximum_power),
        maximum_discharge_current=given(message.maximum_discharge_current),
        maximum_discharge_power=given(message.maximum_discharge_power),
        pilot_oscillator=message.pilot_oscillator, lock_connector=message.lock_connector)


def power_report_of(message: Any, now: float) -> PowerReport:
    """Return what `safety` needs of a PowerStatus."""
    return PowerReport(
        arrived=now, session_id=message.session_id, cable_check=_verdict(message.cable_check),
        voltage=given(message.voltage), current=given(message.current),
        worst=worst_of(message.faults))


def pilot_wish_of(message: Any, now: float) -> PilotWish:
    """Return what a Link asks of the pilot; what is not understood asks for nothing."""
    try:
        kind = WishKind(message.pilot_wish)
    except ValueError:
        kind = WishKind.NONE
    return PilotWish(kind, message.pilot_wish_number, now)


def safety_report_of(message: Any, now: float) -> SafetyReport:
    """Return what `power` needs of a SafetyStatus."""
    return SafetyReport(
        arrived=now,
        closed=message.state == SafetyState.CLOSED and message.contactors_closed,
        unplugged=message.unplugged, worst=worst_of(message.faults))


def worst_of(faults: Iterable[Any]) -> Severity | None:
    """Return the highest severity among Fault messages; one that is unknown is an emergency."""
    return max((severity_of(fault.severity) for fault in faults), default=None)


def fault_messages(faults: Iterable[Fault], stamps: MonotonicStamps) -> list[Any]:
    """Return faults as messages, the worst first."""
    return [
        FaultMessage(
            code=int(fault.code), severity=int(fault.severity), present=fault.present,
            latched=fault.held, source=fault.source[:64], message=fault.message[:256],
            since=stamps.at(fault.since))
        for fault in list(faults)[:LISTED_FAULTS]
    ]


def severity_of(value: int) -> Severity:
    """Return a severity; one that is unknown is an emergency."""
    try:
        return Severity(value)
    except ValueError:
        return Severity.EMERGENCY


def _verdict(value: int) -> CableCheck:
    try:
        return CableCheck(value)
    except ValueError:
        return CableCheck.FAILED
