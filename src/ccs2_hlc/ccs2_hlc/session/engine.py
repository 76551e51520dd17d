"""The frame of every session engine: what is checked, answered and ended in which order.

A protocol adds to it a table of states (which requests are allowed, who handles them, what comes
next), one builder per response, and the response codes of the named triggers.  The frame sees to

* the order of checks: request allowed now, session id, state of the station, content;
* responses that wait for the power stage, with a deadline;
* timers, each named by the trigger that it pulls;
* the end: energy off first, then the vehicle is told, then the connection is closed.
"""

from __future__ import annotations

import hmac
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, ClassVar, Generic, TypeVar

from .back_office import BackOfficeAction
from .charge import ChargeProcess
from .command import Shutdown
from .context import Context, Paused
from .protocols import Protocol
from .station import Decision, Fault, Severity, Snapshot, Urgency
from .supervision import explain, find_trouble
from .transport import DataLink
from .triggers import CAUSES, Condition, Trigger
from .views import AuthorizationKind, Session, Stage, StopReason, Vehicle

R = TypeVar('R')

#: V2GTP payload type of SupportedAppProtocol, DIN 70121 and ISO 15118-2.
PAYLOAD_EXI = 0x8001
#: With these the answer is "Ongoing": the state stays, the vehicle asks again.
ONGOING = frozenset(
    {Condition.AUTHORIZING, Condition.CABLE_CHECK_WAITING, Condition.CABLE_CHECK})


class Refused(Exception):
    """A request is answered with a FAILED code, or the session ends without being asked."""

    def __init__(self, trigger: Trigger, detail: str = '') -> None:
        super().__init__(trigger.value)
        self.trigger = trigger
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Wait:
    """The answer waits until `ready`, at the latest until `until` (monotonic time)."""

    ready: Callable[[Snapshot], bool]
    until: float
    #: What has happened if it is not ready by then.
    late: Trigger


@dataclass(frozen=True, slots=True)
class Answer:
    """What a handler has decided about a request that is in order."""

    condition: Condition = Condition.READY
    trigger: Trigger = Trigger.ACCEPTED
    #: Next state where it is not the one of the table.
    then: Enum | None = None
    wait: Wait | None = None
    #: The request that ends sessions does not end this one: it begins once more.
    goes_on: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """A request that a state allows: who handles it, and the state after it is done."""

    handler: Callable[[Any, Any, Snapshot], Answer]
    then: Enum


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What the transport has to do now."""

    #: ``None``: close at once without an answer.
    message: Any = None
    response_code: str = ''
    close: bool = False
    receive_timeout: float = 0.0
    close_delay: float = 0.0
    data_link: DataLink = DataLink.ERROR


@dataclass(frozen=True, slots=True)
class Case(Generic[R]):
    """What a builder makes a response from."""

    #: Of the builder's protocol.
    engine: Any
    request: R
    code: Any
    #: What the status is about.
    condition: Condition
    #: What EVSEProcessing is about: a stop that is announced does not finish what goes on.
    progress: Condition
    snapshot: Snapshot


@dataclass(frozen=True, slots=True)
class _Pending:
    request: Any
    answer: Answer
    wait: Wait


class Engine(ABC):
    """One session of one protocol.  Everything it does happens in the calls below."""

    PROTOCOL: ClassVar[Protocol]
    #: State to the requests it allows; the first state is the one after the negotiation.
    TABLE: ClassVar[Mapping[Enum, Mapping[type, Rule]]]
    #: Request type to the builder of its response.
    BUILDERS: ClassVar[Mapping[type, Callable[[Case[Any]], Any]]]
    #: Trigger to response code.
    CODES: ClassVar[Mapping[Trigger, Enum]]
    STAGES: ClassVar[Mapping[Enum, Stage]]
    #: The request that opens a session: exempt from the check of the session id.
    SESSION_SETUP: ClassVar[type]
    #: The request that ends it: allowed although the station's side wants the session to end.
    SESSION_STOP: ClassVar[type]
    #: Requests whose responses carry a status, so that a stop can be announced in them.
    STATUS_CARRIERS: ClassVar[frozenset[type]]
    #: States from which on power, safety and pilot have to be heard.
    NEEDS_STATION: ClassVar[frozenset[Enum]]
    #: States in which the vehicle has to stay in C or D once it has been there.
    EXPECTS_READY: ClassVar[frozenset[Enum]]
    #: States in which the vehicle is ending the session.
    ENDING: ClassVar[frozenset[Enum]]
    #: Where in a message a value out of what the schema allows has a response code of its own: it
    #: is read all the same, and a handler refuses it.
    REFUSED_BY_CODE: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, context: Context) -> None:
        self.context = context
        self.station = context.station
        self.timing = context.station.timing
        self.charge = ChargeProcess()
        self.vehicle = Vehicle()
        self.session_id = b''
        self.table = self.TABLE
        self.state: Enum = next(iter(self.TABLE))
        self.authorization = AuthorizationKind.NONE
        self.authorized = False
        #: Of the contract that the vehicle has proven to be its own, '' if none.
        self.contract_id = ''
        #: The vehicle has been in C or D since it asked for the cable check.
        self.vehicle_was_ready = False
        #: Why the session fails or has failed.
        self.failure: Trigger | None = None
        #: The last word has been spoken; only the transport has still to close.
        self.ended = False
        #: Monotonic time at which the pilot oscillator goes off, ``None``: it stays.
        self.oscillator_until: float | None = None
        #: A stop from the station's side has been announced, or will be in the next response.
        self.stopping = False
        #: The same for a stop after which the vehicle shall pause.
        self.pausing = False
        #: The vehicle has ended the session with the wish to join it again.
        self.paused: Paused | None = None
        #: The request that is being handled is for the back office, too.
        self.back_office: BackOfficeAction | None = None
        #: How long its answer is of use, s.
        self.back_office_time = self.timing.back_office
        self._pending: _Pending | None = None
        self._timers: dict[Trigger, float] = {}
        self._close_at: float | None = None
        #: Why the session ends, for people.
        self.message = ''
        self._requests = 0
        self._last_request = ''
        self._last_response_code = ''

    # What a protocol adds.

    @abstractmethod
    def open(self, message: Any) -> tuple[bytes, Any]:
        """Return session id and request of a message."""

    @abstractmethod
    def wrap(self, response: Any) -> Any:
        """Return the message that carries a response."""

    def receive_timeout(self, request: Any) -> float:
        """Return how long the vehicle may take for the request after this one, s."""
        return self.timing.sequence

    @abstractmethod
    def watch(self, snapshot: Snapshot) -> None:
        """Look at the station before each request and at each tick; may raise `Refused`."""

    def pause(self, reason: str) -> str | None:
        """Ask the vehicle to pause; return why that is not possible, or ``None``."""
        return f'{self.PROTOCOL.name} knows no pause'

    def takes_needs(self) -> str | None:
        """Return why the operator cannot say what the vehicle needs, or ``None``."""
        return f'{self.PROTOCOL.name} has no way to tell it'

    # What handlers use.

    def start(self, trigger: Trigger, now: float, seconds: float) -> None:
        """Pull `trigger` in `seconds`, unless cancelled; a timer that runs is left alone."""
        self._timers.setdefault(trigger, now + seconds)

    def remaining(self, trigger: Trigger, now: float) -> float:
        """Return how long a timer has still to run, s; 0 if it does not."""
        return max(0.0, self._timers.get(trigger, now) - now)

    def cancel(self, trigger: Trigger) -> None:
        """Stop a timer, if it runs."""
        self._timers.pop(trigger, None)

    def cancel_all(self) -> None:
        """Stop every timer: the vehicle has ended what they were about."""
        self._timers.clear()

    # What the owner of the connection calls.

    def understands(self, message: Any, payload_type: int) -> bool:
        """Return whether a message is a request of this protocol; if not, it gets no answer."""
        return type(self.open(message)[1]) in self.BUILDERS

    def time_left(self, now: float) -> float:
        """Return how long the vehicle may still take for its next request, s."""
        until = self._timers.get(Trigger.SEQUENCE_TIMEOUT)
        if until is None:
            return self.timing.sequence
        return max(0.001, until - self.timing.sequence_margin - now)

    def request(self, message: Any, snapshot: Snapshot) -> Reply | None:
        """Handle a request; return the reply, or ``None`` if there is none yet.

        The message is one that this engine :meth:`understands`.
        """
        session_id, request = self.open(message)
        kind = type(request)
        self._last_request = kind.__name__
        try:
            rule = self.table[self.state].get(kind)
            if rule is None or self.ended or self._pending is not None:
                raise Refused(Trigger.OUT_OF_SEQUENCE)
            if kind is not self.SESSION_SETUP and not hmac.compare_digest(
                    session_id, self.session_id):
                raise Refused(Trigger.UNKNOWN_SESSION)
            self._supervise(kind, snapshot)
            self.cancel(Trigger.SEQUENCE_TIMEOUT)
            answer = rule.handler(self, request, snapshot)
            if answer.condition not in ONGOING:
                self.state = answer.then or rule.then
            if answer.wait is not None and not answer.wait.ready(snapshot):
                self._pending = _Pending(request, answer, answer.wait)
                return None
            return self._accept(request, answer, snapshot)
        except Refused as refused:
            return self._fail(refused, snapshot, request)

    def tick(self, snapshot: Snapshot) -> Reply | None:
        """Look at the station and the clock; return a reply if one is due."""
        if self.ended:
            return None
        try:
            if self.failure is not None:
                self._escalate(snapshot)
                late = self._close_at is not None and snapshot.now >= self._close_at
                return self._close(snapshot.now) if late else None
            self._supervise(None, snapshot)
            pending = self._pending
            if pending is None:
                return None
            if pending.wait.ready(snapshot):
                reply = self._accept(pending.request, pending.answer, snapshot)
                self._pending = None
                return reply
            if snapshot.now >= pending.wait.until:
                raise Refused(pending.wait.late)
            return None
        except Refused as refused:
            return self._fail(refused, snapshot)

    def lost(self, trigger: Trigger, now: float, detail: str = '') -> None:
        """End the session because the connection has ended; `trigger` says how."""
        if self.ended:
            return
        if self.failure is None:
            self.failure = trigger
            self.message = _phrase(trigger, detail)
        self.charge.off(CAUSES[trigger].shutdown)
        if self.vehicle_was_ready:
            self._oscillator_off(now)
        self._end()

    @property
    def established(self) -> bool:
        """Whether a session has been opened."""
        return bool(self.session_id)

    @property
    def deadline(self) -> float | None:
        """Monotonic time at which :meth:`tick` is needed at the latest."""
        times = list(self._timers.values())
        if self._pending is not None:
            times.append(self._pending.wait.until)
        if self._close_at is not None:
            times.append(self._close_at)
        return None if self.ended else min(times, default=None)

    @property
    def stage(self) -> Stage:
        """How far the session has come."""
        return Stage.FAILED if self.failure is not None else self.STAGES[self.state]

    @property
    def stop_reason(self) -> StopReason:
        """Who ends or has ended the session."""
        if self.failure is not None:
            return CAUSES[self.failure].reason
        if self.stopping:
            return StopReason.STATION
        if self.pausing or self.paused is not None:
            return StopReason.PAUSE
        return StopReason.VEHICLE if self.state in self.ENDING else StopReason.NONE

    def view(self, **more: Any) -> Session:
        """Return what the session tells about itself, and what others know of it."""
        code = CAUSES[self.failure].fault if self.failure is not None else None
        faults = () if code is None else (Fault(code, Severity.ERROR, self.message, 'session'),)
        return Session(
            protocol=self.PROTOCOL.number,
            stage=self.stage,
            session_id=self.session_id.hex(),
            evse_id=self.station.evse_id,
            evcc_id=self.vehicle.evcc_id,
            authorization=self.authorization,
            authorized=self.authorized,
            contract_id=self.contract_id,
            stop_reason=self.stop_reason,
            last_request=self._last_request,
            last_response_code=self._last_response_code,
            requests=self._requests,
            message=self.message,
            faults=faults,
            **more)

    # How it works.

    def _supervise(self, kind: type | None, snapshot: Snapshot) -> None:
        """Raise :class:`Refused` if something ends the session now."""
        if self.failure is not None:
            raise Refused(self.failure)
        self._raise_trouble(snapshot)
        self.watch(snapshot)
        if snapshot.authorization is not Decision.WAITING:
            # The vehicle need only ask for it.
            self.cancel(Trigger.AUTHORIZATION_TIMEOUT)
        now = snapshot.now
        expired = [(time, trigger) for trigger, time in self._timers.items() if now >= time]
        if expired:
            raise Refused(min(expired)[1])
        if self.state in self.ENDING or kind is self.SESSION_STOP:
            self.cancel(Trigger.STOP_IGNORED)
        elif snapshot.stop is not None:
            if snapshot.stop.urgency is Urgency.IMMEDIATE:
                raise Refused(Trigger.STOPPED_AT_ONCE, snapshot.stop.reason)
            if kind is not None and kind not in self.STATUS_CARRIERS:
                raise Refused(Trigger.STATION_STOPPED, snapshot.stop.reason)
            self.stopping = True
            self.message = snapshot.stop.reason
            self.start(Trigger.STOP_IGNORED, now, self.timing.stop_patience)

    def _raise_trouble(self, snapshot: Snapshot) -> None:
        trouble = find_trouble(
            snapshot, needs_station=self.state in self.NEEDS_STATION,
            expects_ready=self.vehicle_was_ready and self.state in self.EXPECTS_READY)
        if trouble is not None:
            raise Refused(trouble, explain(trouble, snapshot))

    def _escalate(self, snapshot: Snapshot) -> None:
        """While a failure waits to be told, heed what is graver, or leaves nobody to be told."""
        try:
            self._raise_trouble(snapshot)
        except Refused as refused:
            cause = CAUSES[refused.trigger]
            if cause.silent or cause.shutdown > self.charge.shutdown:
                raise

    def _accept(self, request: Any, answer: Answer, snapshot: Snapshot) -> Reply:
        condition = Condition.SHUTDOWN if self.stopping else answer.condition
        code, message = self._build(
            request, answer.trigger, condition, answer.condition, snapshot)
        if type(request) is self.SESSION_STOP and not answer.goes_on:
            self._end()
            self._oscillator_off(snapshot.now + self.timing.oscillator_retain)
            self._close_at = snapshot.now + self.timing.close_after_stop
            return Reply(
                message=message, response_code=code, close=True,
                close_delay=self.timing.close_after_stop,
                data_link=DataLink.TERMINATE if self.paused is None else DataLink.PAUSE)
        timeout = self.receive_timeout(request)
        self.start(
            Trigger.SEQUENCE_TIMEOUT, snapshot.now, timeout + self.timing.sequence_margin)
        return Reply(
            message=message, response_code=code, receive_timeout=timeout)

    def _fail(self, refused: Refused, snapshot: Snapshot, request: Any = None) -> Reply | None:
        """Take the energy away, then tell the vehicle if it has asked, then close."""
        trigger, now = refused.trigger, snapshot.now
        cause = CAUSES[trigger]
        if not self.ended:
            # What comes after a failure does not replace it, unless it is graver.
            if self.failure is None or cause.shutdown > CAUSES[self.failure].shutdown:
                self.failure = trigger
                self.message = _phrase(trigger, refused.detail)
            self.charge.off(cause.shutdown)
            if cause.shutdown is Shutdown.EMERGENCY:
                self._oscillator_off(now)
        if cause.silent:
            return self._close(now)
        if request is None and self._pending is not None:
            request = self._pending.request
        self._pending = None
        self._timers.clear()
        if request is None:
            self._close_at = now + self.timing.failure_notice
            return None
        condition = CAUSES[self.failure or trigger].condition
        code, message = self._build(request, trigger, condition, condition, snapshot)
        if not self.ended:
            self._oscillator_off(now)
            self._end()
            self._close_at = now + self.timing.close_after_failure
        return Reply(
            message=message, response_code=code, close=True,
            close_delay=max(0.0, (self._close_at or now) - now), data_link=DataLink.TERMINATE)

    def _build(
        self, request: Any, trigger: Trigger, condition: Condition, progress: Condition,
        snapshot: Snapshot,
    ) -> tuple[str, Any]:
        """Return response code and message."""
        code = self.CODES[trigger]
        case = Case(self, request, code, condition, progress, snapshot)
        message = self.wrap(self.BUILDERS[type(request)](case))
        self._requests += 1
        self._last_response_code = code.value
        return code.value, message

    def _close(self, now: float) -> Reply:
        self._oscillator_off(now)
        self._end()
        return Reply(close=True, data_link=DataLink.TERMINATE)

    def _end(self) -> None:
        self.ended = True
        self._pending = None
        self._timers.clear()

    def _oscillator_off(self, time: float) -> None:
        if self.oscillator_until is None or time < self.oscillator_until:
            self.oscillator_until = time


def _phrase(trigger: Trigger, detail: str) -> str:
    text = CAUSES[trigger].text
    return f'{text}: {detail}' if detail else text
