"""The station's contactors: coils, feedback contacts, wear.

Every change of the coils has to be answered by all feedback contacts within a time, and no contact
may move without being told. What does not obey is a fault, and the coils are then off.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from ccs2_power.faults import Code
from ccs2_power.hal import ContactorCommand, ContactorReading
from ccs2_power.timing import Persistence, fresh_contact

#: A contactor that opens with more than this breaks a load, in A.
UNDER_LOAD = 5.0


class ContactorState(IntEnum):
    """What the contactors do, in the order of a cycle."""

    OPEN = 0
    PRE_CHARGING = 1
    CLOSING = 2
    CLOSED = 3
    OPENING = 4


@dataclass(frozen=True, slots=True)
class ContactorTiming:
    """Times in s."""

    close: float = 0.5
    """From coils on to all feedback contacts closed."""
    open: float = 0.3
    """From coils off to all feedback contacts open."""
    pre_charge: float = 0.0
    """How long the pre-charge relay is closed before the main contactors; 0 = there is none."""
    bounce: float = 0.04
    """A contact that disagrees for less than this bounces."""
    age: float = 0.15
    """Feedback older than this is no measurement."""


class Contactors:
    """State machine of all main contactors together."""

    def __init__(self, timing: ContactorTiming | None = None) -> None:
        self._timing = timing or ContactorTiming()
        self.state = ContactorState.OPEN
        self.cycles = 0
        self.cycles_under_load = 0
        #: All feedback contacts say closed, or all say open; both false = they disagree.
        self.all_closed = False
        self.all_open = False
        #: Feedback contacts that are not measured.
        self.unmeasured: tuple[str, ...] = ()
        #: The pre-charge relay, as its feedback says; None if it has none.
        self.relay_closed: bool | None = None
        #: The fault that the contacts show now, and which contacts show it.
        self.fault: Code | None = None
        self.culprits: tuple[str, ...] = ()
        self._entered = 0.0
        self._disagreeing = Persistence()
        self._relay_disagreeing = Persistence()

    @property
    def agree(self) -> bool:
        """Feedback is measured and is what the coils want, or has still time to become it."""
        return self.fault is None and not self.unmeasured

    @property
    def coils(self) -> ContactorCommand:
        """Which coils are on in this state."""
        pre_charge = self._timing.pre_charge > 0.0 and self.state in (
            ContactorState.PRE_CHARGING, ContactorState.CLOSING)
        return ContactorCommand(
            main=self.state in (ContactorState.CLOSING, ContactorState.CLOSED),
            pre_charge=pre_charge)

    def observe(self, reading: ContactorReading, now: float) -> None:
        """Compare the feedback with the coils; advances CLOSING to CLOSED and OPENING to OPEN."""
        contacts = {name: fresh_contact(measurement, now, self._timing.age)
                    for name, measurement in reading.contacts.items()}
        self.unmeasured = tuple(name for name, closed in contacts.items() if closed is None)
        if not contacts:
            self.unmeasured = ('all',)
        self.all_closed = bool(contacts) and all(closed is True for closed in contacts.values())
        self.all_open = bool(contacts) and all(closed is False for closed in contacts.values())
        if self.state is ContactorState.CLOSING and self.all_closed:
            self._enter(ContactorState.CLOSED, now)
        elif self.state is ContactorState.OPENING and self.all_open:
            self._enter(ContactorState.OPEN, now)
        wanted = self.coils.main
        self.culprits = tuple(
            name for name, closed in contacts.items() if closed is (not wanted))
        disagreeing = self._disagreeing.exceeds(
            bool(self.culprits), now, self._timing.bounce)
        self.relay_closed = fresh_contact(reading.pre_charge, now, self._timing.age)
        if reading.pre_charge is not None and self.relay_closed is None:
            self.unmeasured += ('pre-charge',)
        self.fault = self._fault(disagreeing, now) or self._relay_fault(now)

    def _relay_fault(self, now: float) -> Code | None:
        closed = self.relay_closed
        disagrees = closed is not None and closed is not self.coils.pre_charge
        if not self._relay_disagreeing.exceeds(disagrees, now, self._timing.close):
            return None
        self.culprits = ('pre-charge',)
        return Code.CONTACTOR_WELDED if closed else Code.CONTACTOR_NOT_CLOSING

    def _fault(self, disagreeing: bool, now: float) -> Code | None:
        if not disagreeing:
            return None
        elapsed = now - self._entered
        if self.state is ContactorState.CLOSING:
            return Code.CONTACTOR_NOT_CLOSING if elapsed > self._timing.close else None
        if self.state is ContactorState.CLOSED:
            return Code.CONTACTOR_UNEXPECTED
        if self.state is ContactorState.OPENING:
            return Code.CONTACTOR_WELDED if elapsed > self._timing.open else None
        return Code.CONTACTOR_WELDED

    def drive(self, closed: bool, current: float | None, now: float) -> None:
        """Close or open. `current` in A is what they break (None: not known, so under load)."""
        if not closed:
            if self.coils.main or self.coils.pre_charge:
                if self.state is ContactorState.CLOSED and (
                        current is None or abs(current) > UNDER_LOAD):
                    self.cycles_under_load += 1
                self._enter(ContactorState.OPENING, now)
        elif self.state is ContactorState.OPEN:
            self.cycles += 1
            self._enter(ContactorState.PRE_CHARGING if self._timing.pre_charge > 0.0
                        else ContactorState.CLOSING, now)
        elif (self.state is ContactorState.PRE_CHARGING and self.relay_closed is not False
              and now - self._entered >= self._timing.pre_charge):
            # A relay whose feedback says that it did not close has charged nothing.
            self._enter(ContactorState.CLOSING, now)

    def _enter(self, state: ContactorState, now: float) -> None:
        self.state = state
        self._entered = now
        self._disagreeing.reset()
