"""What the station drives onto the control pilot: every rule in one place, the strongest first.

========= ============================================================== =======================
rule      what it does                                                   who asks for it
========= ============================================================== =======================
emergency state F for a moment unless a session tells it, then +12 V     faults
step      +12 V, state F, +12 V: the vehicle starts matching anew        matching, over `link`
rest      +12 V lasts T_step_X1 before 5 % duty comes back               IEC 61851-1
digital   5 % duty while a vehicle is there                              session, unless matching
                                                                         has given up
========= ============================================================== =======================
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum

from ccs2_power.hal import DUTY_DIGITAL, DUTY_OFF, DUTY_STEADY_HIGH
from ccs2_power.pilot import CONNECTED, PilotState

#: How long state F is shown when an emergency comes without a session to tell, in s.
STATE_F_TIME = 0.3
#: T_step_X1 in s, at least 3 s, and T_step_EF, at least 4 s and below 8 s (ISO 15118-3): a little
#: longer, for drivers that need a moment.
T_STEP_X1 = 3.2
T_STEP_EF = 4.2
#: So many steps a plugged-in vehicle gets, however many are wished for.
MAX_STEPS = 3
#: `link` comes every 0.5 s; a wish older than this, in s, is nobody's any more.
WISH_AGE = 1.5


class WishKind(IntEnum):
    """The values of ``pilot_wish`` in ``ccs2_interfaces/msg/Link``."""

    NONE = 0
    STEP = 1
    STEADY = 2


@dataclass(frozen=True, slots=True)
class PilotWish:
    """What matching asks of the pilot; each `number` of a step is carried out once."""

    kind: WishKind = WishKind.NONE
    number: int = 0
    arrived: float = -math.inf
    """Monotonic time."""


@dataclass(frozen=True, slots=True)
class Situation:
    """What the pilot depends on, as it is now."""

    pilot: PilotState
    oscillator: bool
    """A fresh charge command asks for digital communication."""
    in_session: bool
    """A fresh charge command is of a session."""
    at_rest: bool
    """Contacts measured open, no voltage, and a fresh charge command that wants no energy."""
    emergency: bool


class PilotDrive:
    """Decides the duty cycle, beat by beat."""

    def __init__(self) -> None:
        self.duty = DUTY_STEADY_HIGH
        #: Steps since the vehicle was plugged in.
        self.steps = 0
        self._since: float | None = None
        #: The vehicle has been seen to come, and has met nothing but steady +12 V since.
        self._untouched = False
        self._wish = PilotWish()
        self._done: int | None = None
        self._stepping = False
        self._in_emergency = False
        self._f_until = 0.0

    def offer(self, wish: PilotWish) -> None:
        """Take what matching wishes; it may be carried out, or not."""
        self._wish = wish
        if wish.kind is not WishKind.STEP:
            # Whoever counts wishes may be a new process that begins with the same number.
            self._done = None

    def step(self, situation: Situation, now: float) -> float:
        """Return the duty cycle to drive now."""
        if self._since is None:
            self._since = now
        if situation.pilot is PilotState.A:
            self.steps = 0
            self._untouched = True
        duty = self._emergency(situation, now)
        if duty is None:
            duty = self._step(situation, now)
        if duty is None:
            duty = self._digital(situation, now)
        if duty != self.duty:
            self.duty, self._since = duty, now
        if duty != DUTY_STEADY_HIGH:
            self._untouched = False
        return duty

    def _lasted(self, duration: float, now: float) -> bool:
        """Tell whether the present duty cycle has been driven for so long."""
        return self._since is not None and now - self._since >= duration

    def _emergency(self, situation: Situation, now: float) -> float | None:
        if situation.emergency and not self._in_emergency and not situation.in_session:
            self._f_until = now + STATE_F_TIME
        self._in_emergency = situation.emergency
        if not situation.emergency:
            return None
        self._stepping = False
        return DUTY_OFF if now < self._f_until else DUTY_STEADY_HIGH

    def _step(self, situation: Situation, now: float) -> float | None:
        """Go through a step as long as nothing but it is going on; `_digital` ends it."""
        if not (situation.at_rest and situation.oscillator) or situation.in_session:
            self._stepping = False
            return None
        if not self._stepping and self._step_is_due(situation, now):
            self._stepping = True
            self._done = self._wish.number
            self.steps += 1
        if not self._stepping:
            return None
        if self.duty == DUTY_OFF and self._lasted(T_STEP_EF, now):
            self._stepping = False
            return None
        if self.duty == DUTY_OFF or (
                self.duty == DUTY_STEADY_HIGH and self._lasted(T_STEP_X1, now)):
            return DUTY_OFF
        return DUTY_STEADY_HIGH

    def _step_is_due(self, situation: Situation, now: float) -> bool:
        wish = self._wish
        return (self._wished(WishKind.STEP, now) and wish.number != self._done
                and self.steps < MAX_STEPS and situation.pilot in CONNECTED)

    def _digital(self, situation: Situation, now: float) -> float:
        given_up = self._wished(WishKind.STEADY, now) and not situation.in_session
        if not situation.oscillator or given_up or situation.pilot not in CONNECTED:
            return DUTY_STEADY_HIGH
        rested = self.duty == DUTY_STEADY_HIGH and self._lasted(T_STEP_X1, now)
        if self.duty == DUTY_DIGITAL or self._untouched or rested:
            return DUTY_DIGITAL
        return DUTY_STEADY_HIGH

    def _wished(self, kind: WishKind, now: float) -> bool:
        return self._wish.kind is kind and now - self._wish.arrived <= WISH_AGE
