"""What ends a session whatever the vehicle says: its order of precedence stands here alone."""

from __future__ import annotations

from .station import PilotState, Severity, Snapshot
from .triggers import Trigger


def find_trouble(
    snapshot: Snapshot, *, needs_station: bool, expects_ready: bool,
) -> Trigger | None:
    """Return the gravest reason to end the session now, ``None`` if there is none.

    `needs_station`: the session has come to the point where power, safety and pilot must be heard.
    `expects_ready`: the vehicle has to be in C or D (from the cable check to the stop).
    """
    pilot = snapshot.pilot
    if pilot is not None and pilot.state is PilotState.A:
        return Trigger.UNPLUGGED
    if snapshot.safety is not None and snapshot.safety.emergency_stop:
        return Trigger.EMERGENCY_STOP
    faults = [fault for fault in snapshot.faults if fault.severity >= Severity.ERROR]
    if any(fault.severity >= Severity.EMERGENCY for fault in faults):
        return Trigger.EMERGENCY_FAULT
    if pilot is not None and expects_ready and not pilot.vehicle_ready:
        if pilot.state is PilotState.UNKNOWN:
            return Trigger.PILOT_SILENT
        return Trigger.PILOT_LEFT_C
    if needs_station:
        for heard, trigger in (
            (snapshot.power, Trigger.POWER_SILENT),
            (snapshot.safety, Trigger.SAFETY_SILENT),
            (pilot, Trigger.PILOT_SILENT),
        ):
            if heard is None:
                return trigger
    if any(fault.of_isolation for fault in faults):
        return Trigger.ISOLATION_FAULT
    if faults:
        return Trigger.STATION_FAULT
    return None


def explain(trigger: Trigger, snapshot: Snapshot) -> str:
    """Return the message of the fault behind `trigger`, '' if no fault is."""
    faults = [fault for fault in snapshot.faults if fault.severity >= Severity.ERROR]
    if trigger is Trigger.ISOLATION_FAULT:
        faults = [fault for fault in faults if fault.of_isolation]
    if trigger not in _OF_FAULTS or not faults:
        return ''
    return max(faults, key=lambda fault: fault.severity).message


_OF_FAULTS = (Trigger.EMERGENCY_FAULT, Trigger.ISOLATION_FAULT, Trigger.STATION_FAULT)
