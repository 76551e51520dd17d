"""The node `hlc`: decodes what the vehicle sends, leads the session, answers, commands energy."""

from __future__ import annotations

import asyncio
import secrets
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from ccs2_hlc import exi
from ccs2_hlc import hlc_messages as convert
from ccs2_hlc.exi.schemas import grammar
from ccs2_hlc.session.command import ChargeCommand as Command
from ccs2_hlc.session.din_responses import encode_evse_id
from ccs2_hlc.session.engine import PAYLOAD_EXI
from ccs2_hlc.session.protocols import PROTOCOLS
from ccs2_hlc.session.secc import ENGINES, Outgoing, Received, Secc, Step
from ccs2_hlc.session.station import (
    OperatorLimits,
    Pilot,
    Power,
    Safety,
    Station,
    StopWish,
    Timing,
    Urgency,
)
from ccs2_hlc.session.views import Session, Stage, Vehicle
from ccs2_interfaces.msg import (
    ChargeCommand,
    ChargingSession,
    ControlPilot,
    ElectricVehicle,
    Isolation,
    Meter,
    PowerStatus,
    SafetyStatus,
    V2GConnection,
    V2GRequest,
    V2GResponse,
    V2GTrace,
)
from ccs2_interfaces.srv import Authorize, Pause, SetLimits, Stop
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

#: charge_command is renewed this often, s: five times per lease.
RENEWAL = 0.1
LEASE = 0.5
_AUTOMATIC, _SERVICE = 'automatic', 'service'


class HlcNode(ManagedNode):
    """Joins the topics of `hlc` to a :class:`Secc`."""

    def __init__(self) -> None:
        super().__init__('hlc')
        self._declare_parameters()
        self._responses = self.publisher(V2GResponse, 'v2g/response', STREAM)
        self._commands = self.publisher(ChargeCommand, 'charge_command', LATEST)
        self._sessions = self.publisher(ChargingSession, 'session', STATE)
        self._vehicles = self.publisher(ElectricVehicle, 'ev', STATE)
        self._traces = self.publisher(V2GTrace, 'v2g/trace', TELEMETRY)
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
        self._station = Station()
        self._protocols = tuple(ENGINES)
        self._limits = OperatorLimits()
        self._secc = Secc(self._station)
        # A restart has to be seen as another publisher.
        self._publisher_id = secrets.randbits(64)
        self._sequence = 0
        self._command = Command()
        self._session = Session()
        self._vehicle = Vehicle()
        self._arrived = (0, 0.0)
        self._alarm: asyncio.TimerHandle | None = None

    def _declare_parameters(self) -> None:
        timing = Timing()
        self.parameter('evse_id', '', 'EVSEID by ISO 15118, e.g. DE*ABC*E123*1.')
        self.parameter('evse_id_din', '',
                       'EVSEID by DIN SPEC 91286, digits and *, e.g. 49*89*6360; empty: none.')
        self.parameter('protocols', [protocol.name for protocol in ENGINES],
                       'Protocols that are served: ' + ', '.join(
                           protocol.name for protocol in ENGINES) + '.')
        self.parameter('authorization', _SERVICE,
                       'service: ~/authorize decides; automatic: every vehicle may charge.')
        self.parameter('authorization_timeout', 300.0,
                       'How long a vehicle may wait for its authorization in s.',
                       minimum=1.0, maximum=86400.0)
        self.parameter('free_service', False, 'Whether charging costs nothing.')
        self.parameter('strict_sequence', False,
                       'Refuse SessionStopReq in the charge loop of DIN 70121.')
        self.parameter('strict_profile', True,
                       'Refuse a charging profile that exceeds the offered schedule.')
        self.parameter('maximum_current', 0.0,
                       'Most that is offered in A until ~/set_limits; 0: as the hardware.',
                       minimum=0.0, maximum=5000.0)
        self.parameter('maximum_power', 0.0,
                       'Most that is offered in W until ~/set_limits; 0: as the hardware.',
                       minimum=0.0, maximum=convert.LARGEST_PLAUSIBLE)
        self.parameter('sequence_timeout', timing.sequence,
                       'How long the vehicle may take for its next request in s.',
                       minimum=1.0, maximum=60.0)
        self.parameter('sequence_timeout_charge_loop', timing.sequence_charge_loop,
                       'The same in the charge loop of DIN 70121 in s.',
                       minimum=0.5, maximum=60.0)
        self.parameter('stop_patience', timing.stop_patience,
                       'How long the vehicle may take to obey ~/stop in s.',
                       minimum=1.0, maximum=60.0)

    async def configure(self) -> None:
        """Read the parameters."""
        names = self.value('protocols')
        served = {protocol.name for protocol in ENGINES}
        for name in names:
            if name not in served:
                raise ConfigureError(
                    f"protocols contains '{name}', must be of {', '.join(sorted(served))}")
        if not names:
            raise ConfigureError('protocols is empty')
        authorization = self.value('authorization')
        if authorization not in (_AUTOMATIC, _SERVICE):
            raise ConfigureError(
                f"authorization is '{authorization}', must be {_SERVICE} or {_AUTOMATIC}")
        try:
            encode_evse_id(self.value('evse_id_din'))
        except ValueError as error:
            raise ConfigureError(f'evse_id_din: {error}') from None
        self._protocols = tuple(PROTOCOLS[name] for name in names)
        # A grammar is compiled when it is first used: better now than while a vehicle waits.
        for namespace in (None, *(protocol.namespace for protocol in self._protocols)):
            grammar(exi.schema_for(PAYLOAD_EXI, namespace))
        self._limits = OperatorLimits(
            maximum_current=self.value('maximum_current') or None,
            maximum_power=self.value('maximum_power') or None)
        self._station = Station(
            evse_id=self.value('evse_id'),
            evse_id_din=self.value('evse_id_din'),
            free_service=self.value('free_service'),
            automatic_authorization=authorization == _AUTOMATIC,
            authorization_timeout=self.value('authorization_timeout'),
            strict_sequence=self.value('strict_sequence'),
            strict_profile=self.value('strict_profile'),
            timing=Timing(
                sequence=self.value('sequence_timeout'),
                sequence_charge_loop=self.value('sequence_timeout_charge_loop'),
                stop_patience=self.value('stop_patience')),
            unix_time=lambda: int(time.time()))

    async def activate(self) -> None:
        """Begin without a session; the command is fresh from now on, with nothing to energise."""
        self._secc = Secc(self._station, self._protocols)
        self._secc.set_limits(self._limits)
        self._session, self._vehicle = self._secc.session(), self._secc.vehicle()
        self._publish_session()
        self.every(RENEWAL, self._beat)

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

    def _beat(self) -> None:
        now = self.loop.time()
        self._perform(self._secc.tick(now))
        self._publish_command(self._secc.command(now))
        if self._secc.session() != self._session:
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
        if step and self._traces.get_subscription_count():
            self._publish_traces(step, now)
        session = self._secc.session()
        if _lasting(session) != _lasting(self._session):
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
        message.lease = convert.to_duration(LEASE)
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

    def _publish_traces(self, step: Sequence[Received | Outgoing], now: float) -> None:
        stamp = self.now_message()
        sequence, arrived = self._arrived
        for item in step:
            if item.data:
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
        )


def _lasting(session: Session) -> Session:
    """Return what of a session is worth telling at once."""
    return replace(session, requests=0, last_request='', last_response_code='')


def main() -> None:
    """Run the node."""
    sys.exit(run(HlcNode))


if __name__ == '__main__':
    main()
