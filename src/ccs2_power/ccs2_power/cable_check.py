"""The cable check (IEC 61851-23:2023 CC.4.1.2) before a vehicle relies on the cable.

Contactors closed, voltage up by the formula with at most 2 A, self-test of the isolation monitor,
fresh samples of the resistance, supply off, output below 60 V.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, IntEnum

from ccs2_power.faults import Code
from ccs2_power.hal import IsolationCommand, IsolationReading, SelfTest
from ccs2_power.isolation import IsolationState
from ccs2_power.timing import Persistence, fresh
from ccs2_power.voltage import TOUCH_SAFE

#: Current limit in A (CC.4.1.2 and CC.5.2).
CHECK_CURRENT = 2.0
#: The voltage has been reached within this, in V.
VOLTAGE_REACHED = 10.0
#: Longest time in s for the voltage to be reached; a current at its limit for the shorter time,
#: without the voltage, is a short circuit (6.3.1.109: off within 1 s).
RAMP_TIME, SHORT_CIRCUIT_TIME = 10.0, 0.8
SHORT_CIRCUIT_CURRENT = 0.75 * CHECK_CURRENT


class CableCheck(IntEnum):
    """The verdicts of ``ccs2_interfaces/msg/PowerStatus``."""

    NOT_DONE = 0
    RUNNING = 1
    VALID = 2
    WARNING = 3
    FAILED = 4


class Phase(Enum):
    """The steps of a cable check, in their order."""

    CONTACTORS = 'waits for the contactors'
    RAMP = 'raises the voltage'
    SELF_TEST = 'runs the self-test of the isolation monitor'
    SAMPLE = 'measures the isolation resistance'
    DISCHARGE = 'waits for less than 60 V'
    DONE = 'done'


#: What it means when the time is over in a phase; in the others `safety` or the ramp says more.
LATE = {Phase.SELF_TEST: Code.ISOLATION_SELF_TEST, Phase.SAMPLE: Code.ISOLATION_MONITOR,
        Phase.DISCHARGE: Code.RESIDUAL_VOLTAGE}
#: Every fault that a cable check can find.
CABLE_CHECK_FAULTS = (Code.SHORT_CIRCUIT, Code.ISOLATION, Code.ISOLATION_SELF_TEST,
                      Code.ISOLATION_MONITOR, Code.RESIDUAL_VOLTAGE)


@dataclass(frozen=True, slots=True)
class CheckFailure:
    """Why a cable check has failed."""

    code: Code
    message: str


@dataclass(frozen=True, slots=True)
class CheckSettings:
    """What a cable check depends on."""

    duration: float
    """Longest time in s for all of it."""
    discharge: float
    """Longest time in s to fall below 60 V."""
    samples: int
    """Fresh resistance samples in a row that the verdict needs."""
    sample_age: float
    """Age in s at which a resistance is stale."""


@dataclass(frozen=True, slots=True)
class CheckView:
    """What a cable check sees in one beat."""

    contactors_closed: bool
    voltage: float
    """V, the supply's own."""
    connector_voltage: float | None
    """V."""
    current: float
    isolation: IsolationReading


class CableCheckRun:
    """One cable check of one session."""

    def __init__(
        self, voltage: float, settings: CheckSettings, judge: Callable[[float], IsolationState],
        now: float,
    ) -> None:
        self.voltage = voltage
        self.phase = Phase.CONTACTORS
        self.verdict = CableCheck.RUNNING
        #: Why it failed, if a fault explains it.
        self.failure: CheckFailure | None = None
        self._settings = settings
        self._judge = judge
        self._started = self._entered = now
        self._result = CableCheck.VALID
        #: The monitor has said, in this check, that its self-test is not done yet.
        self._untested = False
        self._samples = 0
        self._newest_sample = now
        self._short = Persistence()

    @property
    def supply_on(self) -> bool:
        """The output shall be at :attr:`voltage` now."""
        return self.phase in (Phase.RAMP, Phase.SELF_TEST, Phase.SAMPLE)

    @property
    def monitor(self) -> IsolationCommand:
        """What the isolation monitor shall do now."""
        if self.phase is Phase.SELF_TEST:
            return IsolationCommand.SELF_TEST
        return IsolationCommand.MEASURE

    def step(self, view: CheckView, now: float) -> None:
        """Go on by one beat."""
        if self.phase is Phase.DONE:
            return
        self._untested |= view.isolation.self_test in (SelfTest.NONE, SelfTest.RUNNING)
        if not view.contactors_closed and self.phase is not Phase.CONTACTORS:
            self.abort()
            return
        steps = {
            Phase.CONTACTORS: self._await_contactors, Phase.RAMP: self._ramp,
            Phase.SELF_TEST: self._self_test, Phase.SAMPLE: self._sample,
            Phase.DISCHARGE: self._discharge,
        }
        steps[self.phase](view, now)
        if (self.verdict is CableCheck.RUNNING
                and now - self._started > self._settings.duration):
            self._fail(LATE.get(self.phase), f'cable check still {self.phase.value} after '
                                             f'{self._settings.duration:.0f} s')

    def abort(self) -> None:
        """End it without a verdict."""
        if self.phase is not Phase.DONE:
            self._fail(None, '')

    def _await_contactors(self, view: CheckView, now: float) -> None:
        if view.contactors_closed:
            self._enter(Phase.RAMP, now)

    def _ramp(self, view: CheckView, now: float) -> None:
        missing = abs(view.voltage - self.voltage) > VOLTAGE_REACHED
        limited = missing and abs(view.current) >= SHORT_CIRCUIT_CURRENT
        if self._short.exceeds(limited, now, SHORT_CIRCUIT_TIME) or (
                missing and now - self._entered > RAMP_TIME):
            self._fail(Code.SHORT_CIRCUIT, f'output at {view.voltage:.0f} V, {view.current:.1f} A '
                                           f'instead of {self.voltage:.0f} V')
        elif not missing:
            self._enter(Phase.SELF_TEST, now)

    def _self_test(self, view: CheckView, now: float) -> None:
        if view.isolation.self_test is SelfTest.FAILED:
            self._fail(Code.ISOLATION_SELF_TEST, "isolation monitor's self-test failed")
        # One that has been passed from the beginning is that of an earlier cable check.
        elif view.isolation.self_test is SelfTest.PASSED and self._untested:
            self._newest_sample = now
            self._enter(Phase.SAMPLE, now)

    def _sample(self, view: CheckView, now: float) -> None:
        sample = view.isolation.resistance
        resistance = fresh(sample, now, self._settings.sample_age)
        if sample is None or resistance is None or sample.stamp <= self._newest_sample:
            return
        self._newest_sample = sample.stamp
        state = self._judge(resistance)
        if state is IsolationState.FAULT:
            self._fail(Code.ISOLATION, f'isolation resistance {resistance / 1e3:.0f} kohm')
            return
        if state is IsolationState.WARNING:
            self._result = CableCheck.WARNING
        self._samples += 1
        if self._samples >= self._settings.samples:
            self._enter(Phase.DISCHARGE, now)

    def _discharge(self, view: CheckView, now: float) -> None:
        connector = view.connector_voltage
        if connector is not None and max(abs(view.voltage), abs(connector)) < TOUCH_SAFE:
            self.verdict = self._result
            self._enter(Phase.DONE, now)
        elif now - self._entered > self._settings.discharge:
            self._fail(Code.RESIDUAL_VOLTAGE,
                       f'{view.voltage:.0f} V left after the cable check')

    def _enter(self, phase: Phase, now: float) -> None:
        self.phase, self._entered = phase, now

    def _fail(self, code: Code | None, message: str) -> None:
        self.phase, self.verdict = Phase.DONE, CableCheck.FAILED
        if code is not None:
            self.failure = CheckFailure(code, message)
