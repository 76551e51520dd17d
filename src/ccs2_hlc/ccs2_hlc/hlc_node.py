"""The node `hlc`: decodes what the vehicle sends, leads the session, answers, commands energy."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from typing import Any

from builtin_interfaces.msg import Duration

from ccs2_hlc import hlc_messages as convert
from ccs2_hlc import hlc_parameters as parameters
from ccs2_hlc.exi.schemas import grammar, schema_of_class
from ccs2_hlc.hlc_contracts import BackOffice, TrustKeeper
from ccs2_hlc.session.back_office import BackOfficeRequest
from ccs2_hlc.session.command import ChargeCommand as Command
from ccs2_hlc.session.secc import ENGINES, Outgoing, Secc, Step
from ccs2_hlc.session.station import Pilot, Power, Safety, Station, StopWish, Urgency
from ccs2_hlc.session.views import Session, Stage, Vehicle
from ccs2_interfaces.msg import (
    ChargeCommand,
    ChargingSession,
    ControlPilot,
    ElectricVehicle,
    Isolation,
    Meter,
    PkiState,
    PowerStatus,
    SafetyStatus,
    V2GConnection,
    V2GRequest,
    V2GResponse,
    V2GTrace,
)
from ccs2_interfaces.srv import Authorize, Pause, SetLimits, SetNeeds, Stop
from ccs2_node import (
    LATEST,
    STATE,
    STREAM,
    TELEMETRY,
    ConfigureError,
    Level,
    ManagedNode,
    Status,
    run,
)

#: charge_command is renewed so many times per lease.
RENEWALS = 5


class HlcNode(ManagedNode):
    """Joins the topics of `hlc` to a :class:`Secc`."""

    def __init__(self) -> None:
        super().__init__('hlc')
        parameters.declare(self)
        self._responses = self.publisher(V2GResponse, 'v2g/response', STREAM)
        self._commands = self.publisher(ChargeCommand, 'charge_command', LATEST)
        self._sessions = self.publisher(ChargingSession, 'session', STATE)
        self._vehicles = self.publisher(ElectricVehicle, 'ev', STATE)
        self._traces = self.publisher(V2GTrace, 'v2g/trace', STREAM)
        self.subscribe(V2GConnection, 'v2g/connection', self._on_connection, STATE)
        self.subscribe(V2GRequest, 'v2g/request', self._on_request, STREAM)
        for kind, topic, reader, qos in (
            (PowerStatus, 'power/status', convert.power_of, TELEMETRY),
            (SafetyStatus, 'safety/status', convert.safety_of, TELEMETRY),
            (ControlPilot, 'control_pilot', convert.pilot_of, STATE),
            (Isolation, 'isolation', convert.isolation_of, TELEMETRY),
            (Meter, 'meter', convert.meter_of, TELEMETRY),
        ):
            self.subscribe(kind, topic, self._observer(reader), qos)
        self.serve(Authorize, '~/authorize', self._authorize)
        self.serve(Stop, '~/stop', self._stop)
        self.serve(Pause, '~/pause', self._pause)
        self.serve(SetLimits, '~/set_limits', self._set_limits)
        self.serve(SetNeeds, '~/set_needs', self._set_needs)
        # Unlike everything else it counts while the node is not active, too: it comes once.
        self.subscribe(PkiState, 'pki/state', self._on_pki_state, STATE, always=True)
        self._pki_state: PkiState | None = None
        self._back_office = BackOffice(self, self._on_back_office)
        self._settings: parameters.Settings | None = None
        self._keeper: TrustKeeper | None = None
        self._reading: asyncio.Task[None] | None = None
        self._secc = Secc(Station())
        # A restart has to be seen as another publisher.
        self._publisher_id = secrets.randbits(64)
        self._sequence = 0
        self._command = Command()
        self._lease = Duration()
        self._session = Session()
        self._vehicle = Vehicle()
        self._arrived = (0, 0.0)
        self._alarm: asyncio.TimerHandle | None = None

    async def configure(self) -> None:
        """Read the parameters and the files they name."""
        settings = parameters.read(self)
        # A grammar is compiled when it is first used: better now than while a vehicle waits.
        for schema in {'sap', 'xmldsig'} | {
                schema_of_class(kind)
                for protocol in settings.protocols for kind in ENGINES[protocol].BUILDERS}:
            grammar(schema)
        self._settings = settings
        self._keeper = None if settings.store is None else TrustKeeper(
            settings.store, settings.contract_expiry_warning, settings.require_revocation_data)
        self._follow_store()

    async def activate(self) -> None:
        """Begin without a session; the command is fresh from now on, with nothing to energise."""
        settings = self._settings
        if settings is None:
            raise ConfigureError('not configured')
        self._secc = Secc(settings.station, settings.protocols)
        self._secc.set_limits(settings.limits)
        if self._keeper is not None:
            self._secc.set_trust(self._keeper.trust)
        self._session, self._vehicle = self._secc.session(), self._secc.vehicle()
        self._publish_session()
        self._lease = convert.to_duration(settings.lease)
        self.every(settings.lease / RENEWALS, self._beat)

    async def deactivate(self) -> None:
        """Take the energy away and close the connection."""
        self._perform(self._secc.shut_down(self.loop.time()))
        if self._alarm is not None:
            self._alarm.cancel()
        self._publish_session()

    # What the topics say.

    def _observer(self, reader: Callable[[Any], Any]) -> Callable[[Any], None]:
        last_stamp = None

        def observe(message: Any) -> None:
            nonlocal last_stamp
            stamp = message.header.stamp
            # A measurement that is sent again gets no younger by it.
            if stamp == last_stamp:
                return
            last_stamp = stamp
            now = self.loop.time()
            self._secc.observe(reader(message), now)
            self._perform(self._secc.tick(now))

        return observe

    def _on_connection(self, message: V2GConnection) -> None:
        self._perform(self._secc.connection(convert.connection_of(message), self.loop.time()))

    def _on_request(self, message: V2GRequest) -> None:
        now = self.loop.time()
        self._arrived = message.sequence, now
        self._perform(self._secc.request(convert.request_of(message), now))

    def _on_pki_state(self, message: PkiState) -> None:
        self._pki_state = message
        self._follow_store()

    def _follow_store(self) -> None:
        if self._keeper is not None and self._pki_state is not None:
            self._reading = self.loop.create_task(self._read_store(
                self._keeper, self._pki_state.generation, self._pki_state.time_trusted))

    async def _read_store(self, keeper: TrustKeeper, generation: int, trusted: bool) -> None:
        try:
            await keeper.pki_state(generation, trusted)
        except Exception as error:
            self.fail(error)
        else:
            if keeper is self._keeper:
                self._secc.set_trust(keeper.trust)

    def _on_back_office(self, number: int, data: bytes, problem: str) -> None:
        try:
            self._perform(self._secc.answered(number, data, problem, self.loop.time()))
        except Exception as error:
            self.fail(error)

    def _beat(self) -> None:
        now = self.loop.time()
        self._perform(self._secc.tick(now))
        self._publish_command(self._secc.command(now))
        session = self._secc.session()
        if (session, session.progress) != (self._session, self._session.progress):
            self._publish_session()
        vehicle = self._secc.vehicle()
        if vehicle != self._vehicle:
            self._vehicle = vehicle
            self._vehicles.publish(convert.vehicle_message(
                vehicle, self._session.session_id, self.now_message()))

    def _tick(self) -> None:
        try:
            self._perform(self._secc.tick(self.loop.time()))
        except Exception as error:
            self.fail(error)

    # What the operator wants.

    def _authorize(self, request: Any, response: Any) -> Any:
        if request.valid_for < 0.0 or convert.given(request.valid_for) is None:
            response.message = f'valid_for is {request.valid_for:g}, must be 0 or above'
            return response
        now = self.loop.time()
        refusal = (
            self._secc.authorize(request.session_id, request.valid_for, now)
            if request.authorized else self._secc.deny(request.session_id))
        verb = 'granted' if request.authorized else 'denied'
        return self._decided(response, refusal, f'{verb} by {request.reference!r}')

    def _stop(self, request: Any, response: Any) -> Any:
        try:
            wish = StopWish(Urgency(request.urgency), request.reason)
        except ValueError:
            response.message = f'urgency is {request.urgency}, must be 0 or 1'
            return response
        return self._decided(response, self._secc.stop(wish), f'stop: {request.reason!r}')

    def _pause(self, request: Any, response: Any) -> Any:
        refusal = self._secc.pause(request.reason)
        return self._decided(response, refusal, f'pause: {request.reason!r}')

    def _set_limits(self, request: Any, response: Any) -> Any:
        try:
            limits = convert.limits_of(request)
        except ValueError as error:
            response.message = str(error)
            return response
        self._secc.set_limits(limits)
        return self._decided(response, None, f'limits: {limits}')

    def _set_needs(self, request: Any, response: Any) -> Any:
        try:
            needs = convert.needs_of(request, self.loop.time())
        except ValueError as error:
            response.message = str(error)
            return response
        return self._decided(response, self._secc.set_needs(needs), f'needs: {needs}')

    def _decided(self, response: Any, refusal: str | None, what: str) -> Any:
        response.success = refusal is None
        response.message = refusal or ''
        self.get_logger().info(f'{what}{f": refused, {refusal}" if refusal else ""}')
        self._perform(self._secc.tick(self.loop.time()))
        return response

    # What goes out.

    def _perform(self, step: Step) -> None:
        """Command energy first, then answer the vehicle, then tell the others."""
        now = self.loop.time()
        command = self._secc.command(now)
        if command != self._command:
            self._publish_command(command)
        for item in step:
            if isinstance(item, Outgoing):
                self._responses.publish(convert.response_message(item, self.now_message()))
            elif isinstance(item, BackOfficeRequest):
                self._back_office.ask(item)
        if step and self._traces.get_subscription_count():
            self._publish_traces(step, now)
        if self._secc.session() != self._session:
            self._publish_session()
        self._set_alarm(now)

    def _set_alarm(self, now: float) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        deadline = self._secc.deadline(now)
        self._alarm = None if deadline is None else self.loop.call_at(deadline, self._tick)

    def _publish_command(self, command: Command) -> None:
        self._command = command
        self._sequence = (self._sequence + 1) % 2**32
        message = convert.command_message(command)
        message.header.stamp = self.now_message()
        message.sequence = self._sequence
        message.publisher = self._publisher_id
        message.lease = self._lease
        self._commands.publish(message)

    def _publish_session(self) -> None:
        before, self._session = self._session, self._secc.session()
        session = self._session
        if session.stage is not before.stage:
            self.get_logger().info(
                f'session {session.session_id or "-"}: {session.stage.name.lower()}'
                + (f', {session.message}' if session.message else ''))
        self._sessions.publish(
            convert.session_message(session, self.now_message(), self.loop.time()))

    def _publish_traces(self, step: Step, now: float) -> None:
        stamp = self.now_message()
        sequence, arrived = self._arrived
        for item in step:
            if not isinstance(item, BackOfficeRequest) and item.data:
                took = now - arrived if item.sequence == sequence else float('nan')
                self._traces.publish(convert.trace_message(item, stamp, took))

    def diagnose(self) -> Sequence[Status]:
        """Report the session and whether the parts that it depends on are heard."""
        now = self.loop.time()
        session = self._secc.session()
        failed = session.stage is Stage.FAILED
        silent = [
            name for name, kind in (('power', Power), ('safety', Safety), ('pilot', Pilot))
            if self._secc.fresh(kind, now) is None]
        contracts = '' if self._keeper is None else self._keeper.problem
        return (
            Status(
                'session', Level.WARN if failed else Level.OK,
                session.message if failed else session.stage.name.lower(),
                {
                    'session id': session.session_id or '-',
                    'vehicle': session.evcc_id or '-',
                    'requests': session.requests,
                    'last response code': session.last_response_code or '-',
                    'mode': self._command.mode.name,
                }),
            Status(
                'station', Level.STALE if silent else Level.OK,
                f'{" and ".join(silent)} silent' if silent else 'all parts are heard'),
            Status(
                'contracts', Level.WARN if contracts else Level.OK,
                contracts or ('not taken' if self._keeper is None else 'can be checked')),
        )


def main() -> None:
    """Run the node."""
    run(HlcNode)


if __name__ == '__main__':
    main()
