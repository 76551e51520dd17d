"""The `car` node: a virtual car that charges when it is told to."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Callable, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

from rclpy.action import ActionServer, CancelResponse, GoalResponse

from ccs2_interfaces.action import Charge
from ccs2_link.transport.sdp import PORT
from ccs2_node import ConfigureError, Level, ManagedNode, Status, run
from ccs2_sim.car import misbehaviour
from ccs2_sim.car.equipment import Equipment, NewWishes
from ccs2_sim.car.session import Session
from ccs2_sim.car.trace import Trace
from ccs2_sim.car.vehicle import PlantVehicle
from ccs2_sim.car.visit import Result, Visit, offers, with_protocol
from ccs2_sim.evcc.outcome import ErrorCode, Outcome
from ccs2_sim.evcc.vehicle import CarSettings, VehicleState, Wish
from ccs2_sim.plant.client import PlantError, PlantRefusal
from ccs2_sim.powerline import namespace
from ccs2_sim.powerline.spi import line_socket

#: Names of the protocols by the action's constants.
PROTOCOLS = {
    Charge.Goal.PROTOCOL_ANY: 'any', Charge.Goal.PROTOCOL_DIN_70121: 'din',
    Charge.Goal.PROTOCOL_ISO_15118_2: 'iso2', Charge.Goal.PROTOCOL_ISO_15118_20_DC: 'iso20',
}
FEEDBACK_PERIOD = 0.2
#: How long a session that is broken off may take to unplug, s.
LEAVE_PATIENCE = 1.0
#: How long a plug that a dead car has left may take to come out, s.
UNPLUG_PATIENCE = 3.0
EVCC_ID_LENGTH = 6


class CarNode(ManagedNode):
    """Serves the action `~/charge`, or charges by itself (`autostart`)."""

    def __init__(self) -> None:
        super().__init__('car')
        settings, equipment = CarSettings(), Equipment()
        self.parameter('plant_socket', '', "the plant's Unix socket; empty: its own default")
        self.parameter('interface', 'lo', 'network interface to the station')
        self.parameter('power_line', False,
                       'find the station by SLAC on the virtual power line (CCS2_POWER_LINE)')
        self.parameter('asleep', False,
                       'its modem sleeps at plug-in, until the pilot steps through state E or F')
        self.parameter('validation', 0,
                       'B-C-B toggles by which it proves its cable before the match; 0: none',
                       minimum=0, maximum=3)
        self.parameter('network_namespace', '',
                       "the car's host: an existing network namespace; empty: the station's")
        self.parameter('sdp_port', PORT, 'UDP port of SDP; only simulations need another one',
                       minimum=1, maximum=65535)
        self.parameter('protocol', 'any', 'protocol to offer: any, iso20, iso2 or din')
        self.parameter('authorization', equipment.authorization,
                       'who pays: eim (somebody else) or pnc (the car, by contract)')
        self.parameter('tls', equipment.tls, 'TLS to ask for: none, 1.2 or 1.3')
        self.parameter('tls_fallback', equipment.tls_fallback,
                       'go on without TLS where the station has none')
        self.parameter('staple', equipment.staple,
                       "insist on an OCSP response about the station's certificate")
        self.parameter('pki', equipment.pki,
                       'directory that ccs2-pki lab has made, for TLS and contracts')
        self.parameter('contract', equipment.contract, "the contract's name there")
        self.parameter('acquisition', equipment.acquisition,
                       'get the contract through the station first: install, update or empty')
        self.parameter('mode', equipment.mode,
                       'by ISO 15118-20: scheduled, dynamic, bpt or bpt-dynamic')
        self.parameter('keys', equipment.keys,
                       'what its certificates by ISO 15118-20 are of: p521 or ed448')
        for each in fields(NewWishes):
            amount = isinstance(each.default, int | float) and not isinstance(each.default, bool)
            self.parameter(each.name, each.default, f'by ISO 15118-20: {each.metadata["about"]}',
                           minimum=0 if amount else None)
        self.parameter('evcc_id', settings.evcc_id.hex(), 'MAC address of the car, hexadecimal')
        self.parameter('maximum_current', settings.maximum_current, 'highest current, A',
                       minimum=0.0)
        self.parameter('maximum_power', settings.maximum_power, 'highest power, W', minimum=0.0)
        self.parameter('maximum_discharge_current', settings.maximum_discharge_current,
                       'highest current out of a bidirectional car, A', minimum=0.0)
        self.parameter('maximum_discharge_power', settings.maximum_discharge_power,
                       'highest power out of a bidirectional car, W', minimum=0.0)
        self.parameter('discharge_to', settings.discharge_to,
                       'state of charge down to which a bidirectional car first gives energy, '
                       'ratio 0..1', minimum=0.0, maximum=1.0)
        self.parameter('loop_period', settings.loop_period,
                       's between requests of a repeated message', minimum=0.0, maximum=10.0)
        self.parameter('timeout_factor', settings.timeout_factor,
                       "what the standard's message timeouts are multiplied by; a real car has 1",
                       minimum=1.0, maximum=100.0)
        self.parameter('state_of_charge', math.nan,
                       'state of charge at plug-in, ratio 0..1; nan: as it was')
        self.parameter('target_state_of_charge', settings.target_state_of_charge,
                       'state of charge at which the car stops, ratio 0..1', minimum=0.0,
                       maximum=1.0)
        self.parameter('maximum_duration', 0.0, 's of charging; 0: no limit', minimum=0.0)
        self.parameter('maximum_loops', 0, 'charge loop messages; 0: no limit', minimum=0)
        self.parameter('renegotiate_after', 0,
                       'charge loop messages after which the car wants another schedule, 0: never',
                       minimum=0)
        self.parameter('pause_after', 0,
                       'charge loop messages after which the car pauses the session, 0: never',
                       minimum=0)
        self.parameter('sleep', 10.0, 's that a paused session sleeps', minimum=0.0)
        self.parameter('misbehaviour', '', 'bad manners, see docs/misbehaviour.md; empty: none')
        self.parameter('autostart', False, 'charge on activation, without the action')
        self.parameter('sessions', 1, 'sessions of autostart; 0: no limit', minimum=0)
        self.parameter('pause', 3.0, 's between sessions of autostart', minimum=0.0)
        self.parameter('trace_file', '', 'write every message of the last session here; empty: no')
        self._busy = False
        self._session: Session | None = None
        self._running: asyncio.Task[Result] | None = None
        self._starter: asyncio.Task[None] | None = None
        self._stage = 'idle'
        self._last = Outcome(ErrorCode.NONE, 'no session yet')
        self._server = ActionServer(
            self, Charge, '~/charge', self._execute, goal_callback=self._consider,
            cancel_callback=self._cancel, callback_group=self._service_group)

    async def configure(self) -> None:
        """Check the parameters that the action's goals build upon."""
        try:
            if name := self.value('network_namespace'):
                namespace.enter(name)
        except OSError as error:
            raise ConfigureError(f'network namespace {name}: {error.strerror}') from None
        try:
            self._visit(Charge.Goal(
                state_of_charge=math.nan, target_state_of_charge=math.nan))
        except ValueError as error:
            raise ConfigureError(str(error)) from None

    async def activate(self) -> None:
        """Clear the connector, then charge by itself if told so."""
        await self._clear_connector()
        if self.value('autostart'):
            self._starter = self.loop.create_task(self._start())
            self._starter.add_done_callback(self._started)

    async def _clear_connector(self) -> None:
        """Unplug the car of an earlier process that died at the connector."""
        vehicle = PlantVehicle(self.value('plant_socket'))
        unplugged = asyncio.Event()

        def changed() -> None:
            if vehicle.state.plugged:
                vehicle.wish(Wish(plugged=False))
            else:
                unplugged.set()

        try:
            await vehicle.open(changed)
            async with asyncio.timeout(UNPLUG_PATIENCE):
                await unplugged.wait()
        except PlantRefusal:
            self.get_logger().warning('another car has the connector')
        except PlantError as error:
            raise ConfigureError(str(error)) from None
        except TimeoutError:
            raise ConfigureError('a plug is stuck in the connector') from None
        finally:
            await vehicle.close()

    async def deactivate(self) -> None:
        """Break off the session: contactors open, unplugged if the station lets it."""
        if self._starter is not None:
            self._starter.cancel()
        for _ in range(2):
            # The first cancellation unplugs, the second lets go of everything.
            if self._running is not None and not self._running.done():
                self._running.cancel()
                await asyncio.wait({self._running}, timeout=LEAVE_PATIENCE)

    def diagnose(self) -> Sequence[Status]:
        """Report what the car is about."""
        return [Status('session', Level.OK, self._stage, {
            'last result': self._last.error.name, 'reason': self._last.text},
            hardware_id='simulation')]

    # The action, in rclpy's thread.

    def _consider(self, goal: Any) -> GoalResponse:
        if not self.active or self._busy:
            self.get_logger().warning('goal refused: ' + (
                'a session is running' if self._busy else 'not active'))
            return GoalResponse.REJECT
        try:
            self._visit(goal)
        except ValueError as error:
            self.get_logger().warning(f'goal refused: {error}')
            return GoalResponse.REJECT
        self._busy = True
        return GoalResponse.ACCEPT

    def _cancel(self, handle: Any) -> CancelResponse:
        self.loop.call_soon_threadsafe(self._stop)
        return CancelResponse.ACCEPT

    async def _execute(self, handle: Any) -> Any:
        def progress(stage: str, state: VehicleState) -> None:
            handle.publish_feedback(Charge.Feedback(
                stage=stage, state_of_charge=state.state_of_charge, voltage=state.voltage,
                current=state.current, energy=state.energy))

        try:
            result = await self._from_loop(self._go(self._visit(handle.request), progress))
        finally:
            self._busy = False
        if handle.is_cancel_requested:
            handle.canceled()
        elif result.outcome.error is ErrorCode.NONE:
            handle.succeed()
        else:
            handle.abort()
        return Charge.Result(
            error_code=int(result.outcome.error),
            error_msg=' · '.join((result.outcome.text, *result.notes))[:256],
            state_of_charge=float(result.state_of_charge), energy=float(result.energy),
            duration=float(result.duration), loops=result.loops)

    # The session, on the loop.

    def _visit(self, goal: Any) -> Visit:
        """Return what a goal asks for; raise ``ValueError`` naming what is wrong with it."""
        try:
            evcc_id = bytes.fromhex(self.value('evcc_id'))
        except ValueError:
            evcc_id = b''
        if len(evcc_id) != EVCC_ID_LENGTH:
            raise ValueError(f'evcc_id {self.value("evcc_id")!r} is not six octets in hexadecimal')
        name = PROTOCOLS.get(goal.protocol, str(goal.protocol))
        visit = with_protocol(Visit(
            interface=self.value('interface'), sdp_port=self.value('sdp_port'),
            line=line_socket('car') if self.value('power_line') else '',
            state_of_charge=self._ratio(goal.state_of_charge, 'state_of_charge'),
            misbehaviour=goal.misbehaviour or self.value('misbehaviour'),
            asleep=self.value('asleep'), validation=self.value('validation'),
            sleep=self.value('sleep'),
            settings=NewWishes(**self._values(NewWishes)).applied(CarSettings(
                evcc_id=evcc_id, maximum_current=self.value('maximum_current'),
                maximum_power=self.value('maximum_power'), loop_period=self.value('loop_period'),
                timeout_factor=self.value('timeout_factor'),
                target_state_of_charge=self._ratio(
                    goal.target_state_of_charge, 'target_state_of_charge'),
                maximum_duration=goal.maximum_duration or self.value('maximum_duration'),
                maximum_loops=self.value('maximum_loops'),
                renegotiate_after=self.value('renegotiate_after'),
                pause_after=self.value('pause_after'),
                maximum_discharge_current=self.value('maximum_discharge_current'),
                maximum_discharge_power=self.value('maximum_discharge_power'),
                discharge_to=self.value('discharge_to'),
            ))), self.value('protocol') if name == 'any' else name)
        offers(visit.protocols)
        misbehaviour.parse(visit.misbehaviour)
        return Equipment(**self._values(Equipment)).applied(visit, datetime.now(UTC))

    def _values(self, kind: Any) -> dict[str, Any]:
        """Return the values of the parameters that have the names of a dataclass's fields."""
        return {each.name: self.value(each.name) for each in fields(kind)}

    def _ratio(self, value: float, parameter: str) -> float:
        """Return a goal's ratio, the parameter's value if that is NaN."""
        ratio: float = self.value(parameter) if math.isnan(value) else value
        if not math.isnan(ratio) and not 0 <= ratio <= 1:
            raise ValueError(f'{parameter} is {ratio}, not within 0 to 1')
        return ratio

    async def _go(self, visit: Visit, publish: Callable[[str, VehicleState], None]) -> Result:
        """Run one visit, whatever comes of it."""
        due = 0.0

        def progress(stage: str, state: VehicleState) -> None:
            nonlocal due
            now = self.loop.time()
            if stage != self._stage or now >= due:
                due = now + FEEDBACK_PERIOD
                self._stage = stage
                publish(stage, state)

        begun = self.loop.time()
        self._session = Session(visit, PlantVehicle(self.value('plant_socket')), progress)
        self._running = self.loop.create_task(self._session.run())
        try:
            result = await self._running
        except PlantError as error:
            result = self._nothing(ErrorCode.UNKNOWN, str(error), begun)
        except asyncio.CancelledError:
            result = self._nothing(ErrorCode.CANCELED, 'the car is being deactivated', begun)
        self._session, self._stage, self._last = None, 'idle', result.outcome
        self.get_logger().info(
            f'session ended: {result.outcome.error.name}, {result.outcome.text}; '
            f'{result.energy / 3.6e6:.3f} kWh, {result.loops} loops, {result.duration:.1f} s'
            + ''.join(f'; {note}' for note in result.notes))
        if path := self.value('trace_file'):
            try:
                result.trace.write(path)
            except OSError as error:
                self.get_logger().warning(f'cannot write the trace: {error}')
        return result

    def _nothing(self, error: ErrorCode, text: str, begun: float) -> Result:
        trace = self._session.trace if self._session is not None else Trace(begun)
        return Result(
            Outcome(error, text), math.nan, 0.0, self.loop.time() - begun, 0, '', trace)

    def _stop(self) -> None:
        if self._session is not None:
            self._session.stop(ErrorCode.CANCELED, 'the driver has stopped it')

    async def _start(self) -> None:
        goal = Charge.Goal(state_of_charge=math.nan, target_state_of_charge=math.nan)
        sessions = self.value('sessions') or math.inf
        while sessions > 0:
            if not self._busy:
                self._busy = True
                sessions -= 1
                try:
                    await self._go(self._visit(goal), lambda stage, state: None)
                finally:
                    self._busy = False
            await asyncio.sleep(self.value('pause'))

    def _started(self, starter: asyncio.Task[None]) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            if (error := starter.exception()) is not None:
                self.fail(error)


def main() -> None:
    """Run the node."""
    run(CarNode)
