"""What every protocol's engine shares: a table of steps, timers, and the car's wishes.

An engine is driven from outside: :meth:`Engine.advance` returns the request to send now, if there
is one, :meth:`Engine.received` takes the response, :meth:`Engine.deadline` says when to call
again at the latest. Times are seconds of one monotonic clock that the caller hands in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Generic, TypeVar

from ccs2_hlc.exi.declare import Element
from ccs2_link.transport.v2gtp import PayloadType
from ccs2_sim.evcc.outcome import Ended, ErrorCode, Outcome
from ccs2_sim.evcc.vehicle import CarSettings, VehicleState, Wish

E = TypeVar('E', bound='Engine')

#: How often a step that waits for something physical looks again, s.
LOOK_AGAIN = 0.02
#: Name of the step after the last one.
END = ''


@dataclass(frozen=True)
class Step(Generic[E]):
    """One request with its response, possibly repeated."""

    name: str
    """Unique name: that of the messages without Req and Res, if one step has them."""
    request: Callable[[E], Element | None]
    """Returns the request's body; None while the car is not ready for it."""
    response: Callable[[E, Any], str]
    """Takes the response's body and returns the next step's name, :data:`END` after the last."""
    expects: type[Element]
    """Type of the response's body."""
    timeout: float = 2.0
    """How long the response may take, s (message timeout)."""
    patience: float = 60.0
    """How long the whole step may take, repetitions included, s."""
    late: ErrorCode = ErrorCode.TIMEOUT
    """What it means if it takes longer."""
    pace: float = 0.0
    """s from one request to the next at least, where the car's loop period is shorter."""


@dataclass(frozen=True)
class Span:
    """A timer of the standard over several steps."""

    name: str
    until: str
    """It stops when this step's response has come."""
    duration: float
    """s from the start of the session."""


class Engine:
    """One protocol's session on one connection."""

    steps: ClassVar[Mapping[str, Step[Any]]]
    first: ClassVar[str]
    spans: ClassVar[tuple[Span, ...]] = ()
    #: EXI schema, where a protocol has one for all of its messages.
    only_schema: ClassVar[str]

    def __init__(self, settings: CarSettings, resumed: Any = None) -> None:
        self.settings = settings
        #: What the engine of a session that was paused has left in :attr:`paused`.
        self.resumed = resumed
        #: What the car remembers of a session that has ended with a pause; None: it has not.
        self.paused: Any = None
        self.now = 0.0
        self.wish = Wish()
        #: Set when the session is over; a regular end has ``ErrorCode.NONE``.
        self.outcome: Outcome | None = None
        #: What a regular end means, e.g. that the station asked for it.
        self.verdict = Outcome(ErrorCode.NONE, 'completed')
        #: The driver or the station wants to end the session.
        self.stopping = False
        #: Charge loop responses so far.
        self.loops = 0
        #: What the car has put up with, for people.
        self.remarks: list[str] = []
        #: Voltage and current at the outlet as the station reports them; None before it does.
        self.reported: tuple[float, float] | None = None
        self._vehicle: VehicleState | None = None
        self._step: Step[Any] = self.steps[self.first]
        self._begun: float | None = None
        self._entered = 0.0
        self._due = 0.0
        self._sent: float | None = None
        self._past: set[str] = set()

    # What a protocol says.

    def schema(self, payload_type: int) -> str:
        """Return the EXI schema of messages of a V2GTP payload type."""
        return self.only_schema

    def payload_type(self, message: Element) -> int:
        """Return the V2GTP payload type of a request."""
        return PayloadType.SAP

    def wrap(self, body: Element) -> Element:
        """Put a request's body into its envelope."""
        raise NotImplementedError

    def unwrap(self, message: Element) -> Element | None:
        """Return a response's body; raise :class:`Ended` if its envelope is wrong."""
        raise NotImplementedError

    def waited(self, duration: float) -> bool:
        """Return whether the present step was entered at least `duration` s ago."""
        return self.now >= self._entered + duration

    # What the driver of the engine calls.

    @property
    def step(self) -> str:
        """Return the name of the present step."""
        return self._step.name

    @property
    def vehicle(self) -> VehicleState:
        """Return the newest snapshot of the car."""
        if self._vehicle is None:
            raise RuntimeError('the engine has not been advanced yet')
        return self._vehicle

    def advance(self, now: float, vehicle: VehicleState) -> Element | None:
        """Let time pass; return the request to be sent now, None if there is none."""
        self._look(now, vehicle)
        if self.outcome is None:
            try:
                self._check_time()
                if self._sent is None and now >= self._due:
                    body = self._step.request(self)
                    if body is not None:
                        self._sent = now
                        return self.wrap(body)
                    self._due = now + LOOK_AGAIN
            except Ended as ended:
                self._end(ended.outcome)
        return None

    def sent(self, now: float) -> None:
        """Take note that the request was really sent only now: the response's time starts here."""
        if self._sent is not None:
            self._sent = now

    def received(self, message: Element, now: float, vehicle: VehicleState) -> None:
        """Take a decoded response."""
        self._look(now, vehicle)
        if self.outcome is not None:
            return
        try:
            body = self.unwrap(message)
            if self._sent is None:
                raise Ended(ErrorCode.REFUSED, f'{type(body).__name__} without a request')
            if not isinstance(body, self._step.expects):
                raise Ended(
                    ErrorCode.REFUSED,
                    f'{type(body).__name__} instead of {self._step.expects.__name__}')
            following = self._step.response(self, body)
        except Ended as ended:
            self._end(ended.outcome)
            return
        self._past.add(self._step.name)
        if following == END:
            self._end(self.verdict)
        elif following == self._step.name:
            self._due = self._sent + max(self.settings.loop_period, self._step.pace)
            self._sent = None
        else:
            self._step = self.steps[following]
            self._entered = self._due = now
            self._sent = None

    def lost(self, text: str) -> None:
        """Take note that the connection has ended; `text` says how."""
        if self.outcome is None:
            self._end(Outcome(ErrorCode.CONNECTION, f'{text} in {self._step.name}'))

    def refuse(self, text: str) -> None:
        """Give up a station whose response could not be read; `text` says why."""
        if self.outcome is None:
            self._end(Outcome(ErrorCode.REFUSED, f'{text} in {self._step.name}'))

    def stop(self, error: ErrorCode, text: str) -> None:
        """Ask for a regular end; it is reported with this code."""
        if not self.stopping:
            self.stopping = True
            self.verdict = Outcome(error, text)

    def deadline(self) -> float | None:
        """Return when :meth:`advance` has to be called at the latest; None when it is over."""
        if self.outcome is not None or self._begun is None:
            return None
        return min([
            self._due if self._sent is None else self._sent + self._timeout,
            self._entered + self._step.patience,
            *(self._begun + span.duration for span in self.spans if span.until not in self._past)])

    # How it works.

    @property
    def _timeout(self) -> float:
        """Return how long the present step's response may take, s."""
        return self._step.timeout * self.settings.timeout_factor

    def _look(self, now: float, vehicle: VehicleState) -> None:
        if self._begun is None:
            self._begun = self._entered = self._due = now
        self.now = now
        self._vehicle = vehicle

    def _check_time(self) -> None:
        step, begun = self._step, self._begun or 0.0
        if self._sent is not None and self.now >= self._sent + self._timeout:
            raise Ended(
                ErrorCode.TIMEOUT, f'no {step.expects.__name__} within {self._timeout:g} s')
        if self.now >= self._entered + step.patience:
            raise Ended(step.late, f'{step.name} not finished within {step.patience:g} s')
        for span in self.spans:
            if span.until not in self._past and self.now >= begun + span.duration:
                raise Ended(ErrorCode.TIMEOUT, f'{span.name} of {span.duration:g} s expired')

    def _end(self, outcome: Outcome) -> None:
        """End the session: the car opens its contactors and goes to state B."""
        self.outcome = outcome
        self.wish = replace(self.wish, load='B', contactors=False)
