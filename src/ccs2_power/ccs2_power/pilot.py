"""What the control pilot says: states A to F from levels (IEC 61851-1 annex A).

Levels are classified with bands of 1 V around the nominal levels; between two bands the last state
stays (hysteresis) until that has lasted too long, and a new state counts only after a dwell.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum

from ccs2_power.hal import DUTY_OFF, DUTY_STEADY_HIGH, PilotReading
from ccs2_power.timing import Persistence, fresh


class PilotState(IntEnum):
    """The states of ``ccs2_interfaces/msg/ControlPilot``."""

    UNKNOWN = 0
    A = 1
    B = 2
    C = 3
    D = 4
    E = 5
    F = 6


class Proximity(IntEnum):
    """The proximity contact of ``ccs2_interfaces/msg/ControlPilot``."""

    UNKNOWN = 0
    DISCONNECTED = 1
    CONNECTED = 2
    BUTTON_PRESSED = 3


#: A vehicle is there.
CONNECTED = frozenset({PilotState.B, PilotState.C, PilotState.D})
#: The vehicle is ready for energy.
READY = frozenset({PilotState.C, PilotState.D})

#: Level of the high phase in V: state, lower and upper end of its band.
LEVELS = (
    (PilotState.A, 11.0, 13.0),
    (PilotState.B, 8.0, 10.0),
    (PilotState.C, 5.0, 7.0),
    (PilotState.D, 2.0, 4.0),
    (PilotState.E, -1.0, 1.0),
)
#: Steady low of state F, and low phase of the oscillator with the vehicle's diode in place, in V.
LOW_LEVEL = (-13.0, -10.5)
#: The generator obeys within this, as a ratio (3..7 % mean digital communication).
DUTY_TOLERANCE = 0.02
#: A vehicle that goes to C and back to B toggles if C lasted so long in s: 200 to 400 ms by
#: ISO 15118-3, up to 590 ms in recordings. Longer, it was ready for energy and no longer is.
BCB_PHASE = (0.1, 1.0)
#: Proximity in ohm: meaning, lower and upper end. Below the lowest: short, out of range.
PROXIMITY_LEVELS = (
    (Proximity.CONNECTED, 75.0, 250.0),        # CCS1 latch closed
    (Proximity.BUTTON_PRESSED, 250.0, 1000.0),  # CCS1 latch pressed
    (Proximity.CONNECTED, 1000.0, 2200.0),     # CCS2, 1.5 kohm
    (Proximity.DISCONNECTED, 2200.0, math.inf),
)


@dataclass(frozen=True, slots=True)
class PilotTiming:
    """How long something has to last before it counts, in s."""

    dwell: float = 0.015
    """A new state."""
    lost: float = 0.1
    """No level, a level between all states, a duty cycle that was not told, a missing diode."""
    age: float = 0.1
    """A level older than this is no measurement."""


class PilotMonitor:
    """Classifies the pilot, beat by beat.

    The state C ends within :attr:`PilotTiming.dwell` of the level; 100 ms are allowed from there to
    open contactors (IEC 61851-23 sequence 8.1).
    """

    def __init__(self, timing: PilotTiming | None = None) -> None:
        self._timing = timing or PilotTiming()
        self.state = PilotState.UNKNOWN
        self.high: float | None = None
        self.low: float | None = None
        self.proximity = Proximity.UNKNOWN
        #: The proximity contact is there, but out of range.
        self.proximity_fault = False
        #: Negative half wave missing while the oscillator runs, or when it last did.
        self.diode_fault = False
        #: The oscillator runs, and has shown the negative half wave.
        self.proven = False
        #: Pilot shorted to protective earth.
        self.short = False
        #: No level, or a level between all states; '' or why.
        self.lost = ''
        #: B-C-B toggles since the plug-in.
        self.bcb_toggles = 0
        self._candidate = PilotState.UNKNOWN
        self._candidate_held = Persistence()
        self._lost_held = Persistence()
        self._diode_held = Persistence()
        self._ready_since = -math.inf

    def step(self, reading: PilotReading, duty: float, now: float) -> None:
        """Take the newest levels; `duty` is what the station drives."""
        self.high = fresh(reading.high, now, self._timing.age)
        self.low = fresh(reading.low, now, self._timing.age)
        self._classify_proximity(reading, now)
        state = self._classify(duty)
        driven = fresh(reading.duty, now, self._timing.age)
        if driven is None or abs(driven - duty) > DUTY_TOLERANCE:
            state = None
        if self._lost_held.exceeds(state is None, now, self._timing.lost):
            self.lost = self._why_lost(duty, driven)
            self._enter(PilotState.UNKNOWN, now)
        elif state is not None:
            self.lost = ''
            if state is not self._candidate:
                self._candidate = state
                self._candidate_held.reset()
            if self._candidate_held.exceeds(True, now, self._timing.dwell):
                self._enter(state, now)
        self.short = self.state is PilotState.E
        self._look_for_diode(duty, now)

    def _look_for_diode(self, duty: float, now: float) -> None:
        """Judge the vehicle's diode while the oscillator shows it; else the verdict stays."""
        if self.state is PilotState.A:
            self.diode_fault = False
        if not DUTY_OFF < duty < DUTY_STEADY_HIGH or self.state not in CONNECTED:
            self.proven = False
            self._diode_held.reset()
            return
        seen = self.low is not None and _within(self.low, *LOW_LEVEL)
        if self._diode_held.exceeds(not seen, now, self._timing.lost):
            self.diode_fault = True
        elif seen:
            self.diode_fault = False
        self.proven = (self.proven or seen) and not self.diode_fault

    def _classify(self, duty: float) -> PilotState | None:
        if duty == DUTY_OFF:
            level = self.low
            return PilotState.F if level is not None and _within(level, *LOW_LEVEL) else None
        level = self.high
        if level is None:
            return None
        return next((state for state, low, high in LEVELS if _within(level, low, high)), None)

    def _why_lost(self, duty: float, driven: float | None) -> str:
        if driven is None:
            return 'duty cycle of the control pilot is not measured'
        if abs(driven - duty) > DUTY_TOLERANCE:
            return f'duty cycle of the control pilot is {driven:.3f} instead of {duty:.3f}'
        level, phase = (self.low, 'low') if duty == DUTY_OFF else (self.high, 'high')
        if level is None:
            return f'{phase} level of the control pilot is not measured'
        return f'{phase} level of the control pilot, {level:.1f} V, belongs to no state'

    def _enter(self, state: PilotState, now: float) -> None:
        if state is self.state:
            return
        if state is PilotState.A:
            self.bcb_toggles = 0
        elif state is PilotState.B and self.state in READY:
            self.bcb_toggles += _within(now - self._ready_since, *BCB_PHASE)
        elif state in READY and self.state is PilotState.B:
            self._ready_since = now
        self.state = state

    def _classify_proximity(self, reading: PilotReading, now: float) -> None:
        if reading.proximity is None:
            self.proximity, self.proximity_fault = Proximity.UNKNOWN, False
            return
        resistance = fresh(reading.proximity, now, self._timing.age)
        self.proximity = Proximity.UNKNOWN if resistance is None else next(
            (meaning for meaning, low, high in PROXIMITY_LEVELS if low <= resistance <= high),
            Proximity.UNKNOWN)
        self.proximity_fault = self.proximity is Proximity.UNKNOWN


def _within(value: float, low: float, high: float) -> bool:
    return low <= value <= high
