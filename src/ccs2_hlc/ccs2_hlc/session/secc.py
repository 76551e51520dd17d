"""One connector's communication controller (SECC): connections and sessions come and go in it.

Octets, messages of the station's parts, the operator's wishes and the time go in; octets for the
transport, the command to the power stage and the next deadline come out.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from .. import exi
from ..exi.messages import sap
from ..exi.schemas import namespaces, schema_of_class
from .authorization import ExternalAuthorization
from .back_office import BackOfficeAnswer, BackOfficeRequest
from .command import ChargeCommand
from .context import Context, Paused
from .contract import Trust
from .din import DinEngine
from .engine import PAYLOAD_EXI, Engine, Reply
from .iso2 import Iso2Engine
from .iso20 import Iso20Engine
from .protocols import DIN_70121, ISO_15118_2, ISO_15118_20_DC, Protocol, choose
from .station import (
    MAX_AGE,
    MAX_AGE_SLOW,
    NO_NEEDS,
    Fault,
    Isolation,
    Meter,
    Needs,
    OperatorLimits,
    Pilot,
    PilotState,
    Power,
    Safety,
    Severity,
    Snapshot,
    Station,
    StopWish,
    Urgency,
)
from .transport import Action, CloseReason, Connection, DataLink, LinkState
from .triggers import CAUSES, Trigger
from .views import Session, Stage, Vehicle

T = TypeVar('T')

SESSION_ID_LENGTH = 8

#: The engine of each protocol that can be served.
ENGINES: Mapping[Protocol, type[Engine]] = {
    DIN_70121: DinEngine,
    ISO_15118_2: Iso2Engine,
    ISO_15118_20_DC: Iso20Engine,
}

_MAX_AGES: dict[type, float] = {
    Power: MAX_AGE, Safety: MAX_AGE, Pilot: MAX_AGE, Isolation: MAX_AGE_SLOW, Meter: MAX_AGE_SLOW}

_LOST_BY = {
    CloseReason.TIMEOUT: Trigger.SEQUENCE_TIMEOUT,
    CloseReason.LINK_LOST: Trigger.LINK_LOST,
}


def random_session_id() -> bytes:
    """Return a session id from a cryptographic source; zero means "none" and is never drawn."""
    while not any(session_id := secrets.token_bytes(SESSION_ID_LENGTH)):
        pass
    return session_id


def _decode(schema: str, data: bytes, engine: Engine | None) -> Any:
    """Return a message; raise :class:`exi.ExiError` for what cannot be answered."""
    try:
        return exi.decode(schema, data)
    except exi.ExiError as error:
        if engine is None or error.path not in engine.REFUSED_BY_CODE:
            raise
        return exi.decode(schema, data, validate=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One request as it came, for traces."""

    connection_id: int
    sequence: int
    payload_type: int
    data: bytes
    schema: str = ''
    message: Any = None
    #: Why it could not be decoded or is ignored, '' if fine.
    error: str = ''


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """What the transport has to do."""

    connection_id: int
    #: Of the request that is answered, 0: this is no answer.
    sequence: int
    action: Action
    payload_type: int = PAYLOAD_EXI
    data: bytes = b''
    receive_timeout: float = 0.0
    close_delay: float = 0.0
    data_link: DataLink = DataLink.ERROR
    #: For traces.
    schema: str = ''
    message: Any = None
    response_code: str = ''


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One message of the vehicle as the transport hands it over."""

    connection_id: int
    sequence: int
    payload_type: int
    data: bytes


Step = list[Received | Outgoing | BackOfficeRequest]


class Secc:
    """Everything `hlc` decides.  Times are monotonic, in s."""

    def __init__(
        self, station: Station, protocols: Collection[Protocol] = tuple(ENGINES),
        new_session_id: Callable[[], bytes] = random_session_id,
    ) -> None:
        self.station = station
        self._protocols = protocols
        self._new_session_id = new_session_id
        self._authorization = ExternalAuthorization(station.automatic_authorization)
        self._seen: dict[type, tuple[Any, float]] = {}
        self._limits = OperatorLimits()
        self._needs = NO_NEEDS
        self._stop: StopWish | None = None
        self._link = Connection(state=LinkState.UNKNOWN)
        self._link_seen = 0.0
        #: The open connection, ``None`` if there is none.
        self._open: Connection | None = None
        #: One that was given up because the transport was silent: whatever that says of it now.
        self._given_up: Connection | None = None
        self._opened_at: float | None = None
        #: A request that has overtaken the news of its connection.
        self._early: Request | None = None
        #: Until when a session has to be set up, ``None``: no such time runs.
        self._setup_until: float | None = None
        #: The session of the open connection, or the last one.
        self._engine: Engine | None = None
        #: What ended a connection before there was a session.
        self._failure: Trigger | None = None
        #: Of the request that is to be answered; its response has the same payload type.
        self._sequence = 0
        self._payload_type = PAYLOAD_EXI
        #: A session that its vehicle may join again, ``None``: there is none.
        self._paused: Paused | None = None
        #: What the last engine has said of it: unplugging makes that void.
        self._heard_of_pause: Paused | None = None
        self._trust: Trust | None = None
        self._back_office_number = 0
        self._back_office: BackOfficeAnswer | None = None

    # What the station's parts and the vehicle say.

    def observe(self, value: Power | Safety | Pilot | Isolation | Meter, now: float) -> None:
        """Take over what a part of the station says now."""
        before = self._seen.get(type(value))
        self._seen[type(value)] = value, now
        if isinstance(value, Pilot):
            toggled = before is not None and before[0].bcb_toggles != value.bcb_toggles
            if value.state is PilotState.A or toggled:
                self._wake()
            if value.state is PilotState.A:
                self._paused = None

    def connection(self, connection: Connection, now: float) -> Step:
        """Take over what the transport says about its connection."""
        before, self._link, self._link_seen = self._link, connection, now
        up = connection.state in (LinkState.LISTENING, LinkState.OPEN)
        if not up:
            self._setup_until = None
        elif connection.link_since != before.link_since:
            self._setup_until = now + self.station.timing.communication_setup
        is_open = connection.state is LinkState.OPEN
        if self._given_up is not None:
            if is_open and connection.connection_id == self._given_up.connection_id:
                return self._send(self._given_up, Reply(close=True))
            self._given_up = None
        if self._open is not None:
            if is_open and connection.connection_id == self._open.connection_id:
                return []
            self._lose(_LOST_BY.get(connection.close_reason, Trigger.CONNECTION_LOST), now,
                       connection.close_message)
        if not is_open:
            return []
        self._begin(connection, now)
        early, self._early = self._early, None
        if early is None or early.connection_id != connection.connection_id:
            return []
        return self.request(early, now)

    def request(self, request: Request, now: float) -> Step:
        """Handle a message of the vehicle."""
        if self._open is None or request.connection_id != self._open.connection_id:
            if request.connection_id != self._link.connection_id:
                self._early = request
            return []
        engine = self._engine
        namespace = None if engine is None else engine.PROTOCOL.namespace
        schema, message, error = '', None, ''
        try:
            schema = exi.schema_for(request.payload_type, namespace)
            message = _decode(schema, request.data, engine)
        except ValueError as problem:
            error = str(problem)
        received = Received(
            connection_id=request.connection_id, sequence=request.sequence,
            payload_type=request.payload_type, data=request.data, schema=schema,
            message=message, error=error)
        if engine is not None and (
                message is None or not engine.understands(message, request.payload_type)):
            return [received, self._ignore(request, engine, now)]
        self._sequence, self._payload_type = request.sequence, request.payload_type
        if engine is None:
            return [received, *self._negotiate(self._open, message)]
        established = engine.established
        reply = engine.request(message, self.snapshot(now))
        if engine.established and not established:
            self._setup_until = self._paused = None
            self._authorization.begin(engine.session_id.hex(), now)
        return [
            received, *self._consult(engine, schema, request.data),
            *self._follow(self._open, reply)]

    def answered(self, number: int, data: bytes, problem: str, now: float) -> Step:
        """Take over the back office's answer to a request: a message, or why there is none."""
        engine = self._running
        if engine is None or number != self._back_office_number:
            return []
        message = None
        if not problem:
            try:
                message = exi.decode(
                    exi.schema_for(self._payload_type, engine.PROTOCOL.namespace), data)
            except ValueError as error:
                problem = f'answer of the back office: {error}'
        self._back_office = BackOfficeAnswer(message, problem)
        return self.tick(now)

    def tick(self, now: float) -> Step:
        """Look at the station and the clock; to be called at :meth:`deadline` and often else."""
        over = self._engine is not None and self._engine.ended
        if (self._open is not None and not over
                and now - self._link_seen > self.station.timing.transport):
            self._given_up = self._open
            self._lose(Trigger.TRANSPORT_SILENT, now)
            # It may have been late only: then the vehicle has to be told that this is the end.
            return self._send(self._given_up, Reply(close=True))
        if self._setup_until is not None and now >= self._setup_until:
            self._setup_until = None
            return self._set_up_too_late(now)
        if self._open is None or self._engine is None:
            return []
        return self._follow(self._open, self._engine.tick(self.snapshot(now)))

    def shut_down(self, now: float) -> Step:
        """End everything, because the station's software is being shut down."""
        connection = self._open
        if connection is None:
            return []
        self._lose(Trigger.SHUT_DOWN, now)
        return self._send(connection, Reply(close=True, data_link=DataLink.TERMINATE))

    # What the operator wants.  Each returns why not, or ``None``.

    def authorize(self, session_id: str, valid_for: float, now: float) -> str | None:
        """Grant the session that waits, or the next one, which then has `valid_for` s to come."""
        refusal = self._authorization.grant(session_id, valid_for, now)
        if refusal is None:
            self._wake()
        return refusal

    def deny(self, session_id: str) -> str | None:
        """Deny the running session and any grant for the next; what charges is stopped.

        A session that is paused is forgotten: who comes back has to be authorized anew.
        """
        refusal = self._authorization.deny(session_id)
        if self._paused is not None and session_id in ('', self._paused.session_id.hex()):
            self._paused, refusal = None, None
        if refusal is None and self._running is not None and self._running.authorized:
            self._stop = self._stop or StopWish(Urgency.NORMAL, 'authorization withdrawn')
        return refusal

    def stop(self, wish: StopWish) -> str | None:
        """Stop the running session."""
        if self._running is None:
            return 'no session is running'
        self._stop = wish
        return None

    def pause(self, reason: str) -> str | None:
        """Ask the vehicle to pause."""
        if self._running is None:
            return 'no session is running'
        return self._running.pause(reason)

    def set_needs(self, needs: Needs) -> str | None:
        """Say what the vehicle of the running session needs, until that ends."""
        if self._running is None:
            return 'no session is running'
        refusal = self._running.takes_needs()
        if refusal is None:
            self._needs = needs
        return refusal

    def set_trust(self, trust: Trust | None) -> None:
        """Take over what contracts are checked against, from now on."""
        self._trust = trust

    def set_limits(self, limits: OperatorLimits) -> None:
        """Narrow what the station offers, from now on."""
        self._limits = limits

    # What comes out.

    def command(self, now: float) -> ChargeCommand:
        """Return what the power stage has to do now."""
        engine = self._engine
        if engine is None:
            return ChargeCommand()
        until = engine.oscillator_until
        return engine.charge.command(
            engine.session_id.hex() if self._running is not None else '', self._limits,
            until is None or now < until)

    def session(self) -> Session:
        """Return what is known about the running or the last session."""
        engine = self._engine
        if engine is not None:
            return engine.view(started=self._opened_at)
        if self._failure is not None:
            cause = CAUSES[self._failure]
            faults = () if cause.fault is None else (
                Fault(cause.fault, Severity.ERROR, cause.text, 'session'),)
            return Session(
                stage=Stage.FAILED, evse_id=self.station.evse_id, started=self._opened_at,
                stop_reason=cause.reason, message=cause.text, faults=faults)
        stage = Stage.IDLE if self._open is None else Stage.PROTOCOL
        return Session(stage=stage, evse_id=self.station.evse_id, started=self._opened_at)

    def vehicle(self) -> Vehicle:
        """Return what the vehicle of the running or the last session has told."""
        return Vehicle() if self._engine is None else self._engine.vehicle

    def deadline(self, now: float) -> float | None:
        """Return when :meth:`tick` or :meth:`command` is needed next, at the latest."""
        engine = self._engine
        times = [self._setup_until]
        if engine is not None:
            times.append(engine.deadline)
            if engine.oscillator_until is not None and now < engine.oscillator_until:
                times.append(engine.oscillator_until)
        return min((time for time in times if time is not None), default=None)

    def snapshot(self, now: float) -> Snapshot:
        """Return all that an engine may look at now."""
        return Snapshot(
            now=now,
            power=self.fresh(Power, now),
            safety=self.fresh(Safety, now),
            pilot=self.fresh(Pilot, now),
            isolation=self.fresh(Isolation, now),
            meter=self.fresh(Meter, now),
            authorization=self._authorization.decision,
            stop=self._stop,
            limits=self._limits,
            needs=self._needs,
            paused=self._paused,
            trust=self._trust,
            back_office=self._back_office)

    def fresh(self, kind: type[T], now: float) -> T | None:
        """Return what a part of the station said last, ``None`` if that is too long ago."""
        seen = self._seen.get(kind)
        if seen is None or now - seen[1] > _MAX_AGES[kind]:
            return None
        value: T = seen[0]
        return value

    # How it works.

    @property
    def _running(self) -> Engine | None:
        engine = self._engine
        return None if engine is None or engine.ended else engine

    def _begin(self, connection: Connection, now: float) -> None:
        self._open = connection
        self._opened_at = now
        self._engine = self._failure = self._stop = self._back_office = None
        self._needs = NO_NEEDS
        pilot = self.fresh(Pilot, now)
        if pilot is not None and pilot.state is PilotState.A:
            # Who connects is plugged in: the pilot's news of it, on another topic, are late.
            del self._seen[Pilot]
        if self._setup_until is None:
            self._setup_until = now + self.station.timing.communication_setup

    def _lose(self, trigger: Trigger, now: float, detail: str = '') -> None:
        self._open = None
        self._setup_until = None
        self._authorization.end()
        if self._engine is not None:
            self._engine.lost(trigger, now, detail)
        elif self._failure is None:
            self._failure = trigger

    def _wake(self) -> None:
        """Let the oscillator run again for a new session after the last one has ended."""
        if self._engine is not None and self._engine.ended:
            self._engine.oscillator_until = None

    def _set_up_too_late(self, now: float) -> Step:
        if self._open is None:
            pilot = self.fresh(Pilot, now)
            if pilot is not None and pilot.state is not PilotState.A:
                self._engine, self._failure = None, Trigger.COMMUNICATION_SETUP_TIMEOUT
            return []
        if self._engine is not None:
            self._engine.lost(Trigger.COMMUNICATION_SETUP_TIMEOUT, now)
        else:
            self._failure = Trigger.COMMUNICATION_SETUP_TIMEOUT
        return [Outgoing(
            connection_id=self._open.connection_id, sequence=0, action=Action.CLOSE)]

    def _negotiate(self, connection: Connection, message: Any) -> Step:
        """Answer SupportedAppProtocolReq; anything else ends the connection."""
        if self._failure is not None:
            return []
        if not isinstance(message, sap.SupportedAppProtocolReq):
            self._failure = Trigger.NOT_UNDERSTOOD
            return self._send(connection, Reply(close=True, data_link=DataLink.TERMINATE))
        timing = self.station.timing
        choice = choose(message.app_protocol, connection.security, self._protocols)
        code = choice.response.response_code.value
        if choice.protocol is None:
            self._failure = Trigger.NO_COMMON_PROTOCOL
            # The link stays: vehicles try again with another protocol at once.
            return self._send(connection, Reply(
                message=choice.response, response_code=code, close=True,
                close_delay=timing.close_after_failure, data_link=DataLink.KEEP))
        self._engine = ENGINES[choice.protocol](Context(
            decision_about=self._authorization.about,
            station=self.station, new_session_id=self._new_session_id,
            security=connection.security,
            vehicle_certificate_digest=connection.vehicle_certificate_digest))
        return self._send(connection, Reply(
            message=choice.response, response_code=code, receive_timeout=timing.sequence))

    def _follow(self, connection: Connection, reply: Reply | None) -> Step:
        """Pass on what the engine has decided."""
        if self._engine is not None and self._engine.ended:
            self._authorization.end()
            self._setup_until = None
            # A vehicle that is stopped is not to come back on the same authorization.
            if self._stop is None and self._engine.paused not in (None, self._heard_of_pause):
                self._heard_of_pause = self._paused = self._engine.paused
        return [] if reply is None else self._send(connection, reply)

    def _consult(self, engine: Engine, schema: str, data: bytes) -> Step:
        """Pass on what the vehicle wants of the back office."""
        action, engine.back_office = engine.back_office, None
        if action is None:
            return []
        self._back_office_number += 1
        self._back_office = None
        return [BackOfficeRequest(
            number=self._back_office_number, action=action,
            namespace=namespaces(schema)[0].uri, data=data,
            time_budget=engine.back_office_time)]

    def _ignore(self, request: Request, engine: Engine, now: float) -> Outgoing:
        """Wait for another request; the time for that runs on."""
        return Outgoing(
            connection_id=request.connection_id, sequence=request.sequence,
            action=Action.IGNORE, receive_timeout=engine.time_left(now))

    def _send(self, connection: Connection, reply: Reply) -> Step:
        if reply.message is None:
            return [Outgoing(
                connection_id=connection.connection_id, sequence=0, action=Action.CLOSE,
                data_link=reply.data_link)]
        return [Outgoing(
            connection_id=connection.connection_id,
            sequence=self._sequence,
            action=Action.SEND_THEN_CLOSE if reply.close else Action.SEND,
            payload_type=self._payload_type,
            data=exi.encode(reply.message),
            receive_timeout=reply.receive_timeout,
            close_delay=reply.close_delay,
            data_link=reply.data_link,
            schema=schema_of_class(type(reply.message)),
            message=reply.message,
            response_code=reply.response_code)]
