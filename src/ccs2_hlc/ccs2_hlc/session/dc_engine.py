"""The steps of a DC session that every protocol shares: they differ in messages, not in physics."""

from __future__ import annotations

from dataclasses import replace

from .charge import NO_CURRENT, Offer, offer
from .command import Mode, Shutdown
from .context import Context
from .engine import Answer, Engine, Refused, Wait
from .station import CableCheck, IsolationState, PilotState, Snapshot
from .triggers import Condition, Trigger


class DcEngine(Engine):
    """An engine that knows cable check, readiness for power, stop and the pilot's part in them."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._cable_check_asked = False
        self._cable_check_open = False
        #: The verdict that the power stage still shows is of a cable check before this one.
        self._verdict_is_old = False

    def watch(self, snapshot: Snapshot) -> None:
        """Begin the cable check as soon as the vehicle is ready for it, and follow it."""
        if self._verdict_is_old and self._shown(snapshot) not in _PASSED:
            self._verdict_is_old = False
        if not self._cable_check_open:
            return
        if self.charge.mode is Mode.CABLE_CHECK:
            if self._verdict(snapshot) is CableCheck.FAILED:
                raise Refused(Trigger.CABLE_CHECK_FAILED)
        elif snapshot.pilot is not None and snapshot.pilot.vehicle_ready:
            self.cancel(Trigger.PILOT_NOT_C)
            self.vehicle_was_ready = True
            self.charge.cable_check()

    def offer(self, snapshot: Snapshot) -> Offer:
        """Return what the station offers now."""
        station = offer(snapshot)
        if station is None:
            raise Refused(Trigger.MEASUREMENT_MISSING)
        return station

    def check_cable(self, snapshot: Snapshot) -> Condition:
        """Run the cable check, from the first call on; READY once it has been passed."""
        now = snapshot.now
        if not self._cable_check_asked:
            self._cable_check_asked = self._cable_check_open = True
            self.start(Trigger.CABLE_CHECK_TIMEOUT, now, self.timing.cable_check)
            self.start(Trigger.PILOT_NOT_C, now, self.timing.pilot_detection)
            self.watch(snapshot)
        verdict = self._verdict(snapshot)
        if self.charge.mode is not Mode.CABLE_CHECK or verdict is CableCheck.NOT_DONE:
            return Condition.CABLE_CHECK_WAITING
        if verdict is CableCheck.RUNNING:
            return Condition.CABLE_CHECK
        self._cable_check_open = False
        self.cancel(Trigger.CABLE_CHECK_TIMEOUT)
        return Condition.READY

    def start_over(self) -> None:
        """Forget cable check and limits: after the stop the vehicle begins once more."""
        self.charge.start_over()
        # The limits that a vehicle may leave out the next time.
        self.vehicle = replace(
            self.vehicle, maximum_power=None, maximum_discharge_current=None,
            maximum_discharge_power=None)
        self.vehicle_was_ready = self._cable_check_asked = False
        self._verdict_is_old = True

    def isolation(self, snapshot: Snapshot) -> IsolationState:
        """Return what the cable check of this session and the isolation monitor say now."""
        verdict = self._verdict(snapshot)
        if verdict not in _PASSED:
            return IsolationState.INVALID
        now = snapshot.isolation.state if snapshot.isolation else IsolationState.UNKNOWN
        if now is IsolationState.FAULT:
            return IsolationState.FAULT
        if now is IsolationState.WARNING or verdict is CableCheck.WARNING:
            return IsolationState.WARNING
        return IsolationState.VALID

    def readiness(self, snapshot: Snapshot) -> Condition:
        """Return whether power can flow: the contactors are confirmed closed."""
        closed = snapshot.safety is not None and snapshot.safety.contactors_closed
        return Condition.READY if closed else Condition.NOT_READY

    def stop_power(self, snapshot: Snapshot) -> Wait:
        """Take the current down, open the contactors; the answer waits for both.

        Contactors that are late do not fail it once the current is gone: that is for the safety
        supervisor to judge.
        """
        self.cancel(Trigger.POWER_DELIVERY_TIMEOUT)
        self.charge.stop()
        until = snapshot.now + self.timing.power_off

        def is_off(later: Snapshot) -> bool:
            return _current_is_gone(later) and (_is_open(later) or later.now >= until)

        return Wait(is_off, until, Trigger.POWER_NOT_STOPPED)

    def check_welding(self, snapshot: Snapshot) -> Wait:
        """Measure with open contactors, once the vehicle is back in B."""
        self.charge.welding_check()
        return self.back_in_b(snapshot)

    def stop_session(self, snapshot: Snapshot) -> Answer:
        """End the session; a vehicle that has been in C has to be back in B [V2G-DC-988]."""
        self.charge.off(Shutdown.NORMAL)
        self.cancel_all()
        self._cable_check_open = False
        wait = self.back_in_b(snapshot) if self.vehicle_was_ready else None
        return Answer(Condition.SHUTDOWN, wait=wait)

    def back_in_b(self, snapshot: Snapshot) -> Wait:
        """Wait until the vehicle has gone back to state B."""
        return Wait(_in_b, snapshot.now + self.timing.pilot_detection, Trigger.PILOT_NOT_B)

    def _verdict(self, snapshot: Snapshot) -> CableCheck:
        return CableCheck.NOT_DONE if self._verdict_is_old else self._shown(snapshot)

    def _shown(self, snapshot: Snapshot) -> CableCheck:
        power = snapshot.power
        if power is None or power.session_id != self.session_id.hex():
            return CableCheck.NOT_DONE
        return power.cable_check


_PASSED = (CableCheck.VALID, CableCheck.WARNING)


def _in_b(snapshot: Snapshot) -> bool:
    return snapshot.pilot is not None and snapshot.pilot.state is PilotState.B


def _current_is_gone(snapshot: Snapshot) -> bool:
    power = snapshot.power
    return power is not None and power.current is not None and abs(power.current) < NO_CURRENT


def _is_open(snapshot: Snapshot) -> bool:
    return snapshot.safety is not None and snapshot.safety.contactors_open
