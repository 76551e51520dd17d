"""One visit to the station: plug in, find it, charge, unplug."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import replace

from ccs2_hlc import exi
from ccs2_hlc.exi.declare import Element
from ccs2_link.modem.contract import ModemError
from ccs2_link.slac.contract import LinkState
from ccs2_link.slac.ev import EvConfig
from ccs2_link.transport import v2gtp
from ccs2_link.transport.channel import ChannelError
from ccs2_link.transport.sdp import SdpSecurity
from ccs2_sim.car import misbehaviour, sdp
from ccs2_sim.car.link import Link
from ccs2_sim.car.trace import Trace
from ccs2_sim.car.vehicle import DIGITAL_DUTY, Vehicle
from ccs2_sim.car.visit import Result, Visit, offers
from ccs2_sim.evcc.engine import Engine
from ccs2_sim.evcc.negotiation import Negotiation
from ccs2_sim.evcc.outcome import Ended, ErrorCode, Outcome
from ccs2_sim.evcc.vehicle import VehicleState, Wish
from ccs2_sim.powerline.car_link import CarLink

#: How long the station may take to offer digital communication after the plug is in, s.
PILOT_PATIENCE = 30.0
#: How long station and car may take to find each other by SLAC, s.
MATCH_PATIENCE = 120.0
#: Below this voltage the plug may be pulled, V; how long the car waits for it and for the lock, s.
SAFE_VOLTAGE = 60.0
UNPLUG_PATIENCE = 10.0
#: How long the pilot and the contactors take to follow, with the station noticing it, s.
SETTLE_TIME = 0.1
#: How long a second connection may stay open before it counts as accepted, s.
REFUSAL_PATIENCE = 2.0
#: Length of each phase of the BCB toggle that wakes the station up, s (ISO 15118-3).
TOGGLE = 0.3


class Session:
    """Runs one visit; made and awaited on one asyncio loop."""

    def __init__(self, visit: Visit, vehicle: Vehicle,
                 progress: Callable[[str, VehicleState], None] | None = None) -> None:
        self._visit = visit
        self._vehicle = vehicle
        self._progress = progress or (lambda stage, state: None)
        self._offers = offers(visit.protocols)
        self._tls = visit.tls
        self._manners = misbehaviour.parse(visit.misbehaviour)
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        self._inbox: list[tuple[float, v2gtp.Message]] = []
        self._lost = ''
        self._link: Link | None = None
        self._modem: CarLink | None = None
        self._asleep = visit.asleep
        self._endpoint: sdp.Endpoint | None = None
        self._engine: Engine | None = None
        self._written: float | None = None
        self._surplus = 0
        self._torn = False
        self._settled = False
        self._stage = ''
        self._asked_to_stop: Outcome | None = None
        self._notes: list[str] = []
        #: Every message so far.
        self.trace = Trace(self._loop.time())

    @property
    def link(self) -> Link:
        """Return the connection; raise ``RuntimeError`` while there is none."""
        if self._link is None:
            raise RuntimeError('not connected')
        return self._link

    def stop(self, error: ErrorCode, text: str) -> None:
        """Ask for a regular end; it is reported with this code."""
        self._asked_to_stop = Outcome(error, text)
        self._wake.set()

    async def run(self) -> Result:
        """Go through the whole visit; it ends unplugged, however it went.

        Raise ``PlantError`` if the plant is not there.
        """
        begun = self._loop.time()
        await self._vehicle.open(self._wake.set)
        energy = 0.0
        try:
            try:
                await self._open_modem()
                outcome = await self._charge()
                energy = self._vehicle.state.energy
            except Ended as ended:
                outcome = ended.outcome
            finally:
                await self._leave()
            state = self._vehicle.state
        finally:
            if self._modem is not None:
                await self._modem.close()
            await self._vehicle.close()
        engine = self._engine
        return Result(
            outcome, state.state_of_charge, energy, self._loop.time() - begun,
            engine.loops if engine is not None else 0,
            next((offer.name for offer in self._offers if isinstance(engine, offer.engine)), ''),
            self.trace, tuple(self._notes))

    # What misbehaviour uses.

    async def until_closed(self, patience: float) -> None:
        """Wait until the station has ended the connection, `patience` s at most."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await self.link.ended.wait()
                return
        self._notes.append(f'the station kept the connection for {patience:g} s')
        self.link.reset()

    def tear_out(self) -> None:
        """Pull the plug with everything on."""
        self._torn = True
        self._vehicle.wish(Wish(plugged=False, tear=True))

    async def settle(self) -> bool:
        """Let the car's body follow its wish before the first request that it contradicts."""
        if not self._settled:
            self._settled = True
            self._apply_wish()
            await asyncio.sleep(SETTLE_TIME)
        return True

    async def connect_again(self) -> None:
        """Open a second connection and see whether the station ends it."""
        if self._endpoint is None:
            return
        try:
            second = await Link.connect(
                self._endpoint, self._tls, lambda now, message: None, lambda text: None)
        except (OSError, ChannelError):
            self._notes.append('second connection refused')
            return
        try:
            async with asyncio.timeout(REFUSAL_PATIENCE):
                await second.ended.wait()
            self._notes.append('second connection closed')
        except TimeoutError:
            self._notes.append('second connection accepted')
            second.reset()

    # The stages.

    async def _charge(self) -> Outcome:
        await self._plug_in()
        resumed = None
        while True:
            await self._match()
            await self._connect()
            outcome = await self._talk(resumed)
            resumed = self._engine.paused if self._engine is not None else None
            if outcome.error is not ErrorCode.NONE or resumed is None:
                return outcome
            await self._sleep()

    async def _connect(self) -> None:
        """Find the station by SDP and connect, with the security that the car wants."""
        self._enter('SDP')
        wanted = SdpSecurity.TLS if self._tls is not None else SdpSecurity.NONE
        try:
            self._endpoint = await sdp.discover(
                self._visit.interface, wanted, self._visit.sdp_port, self._manners.probes)
        except sdp.DiscoveryError as error:
            raise Ended(ErrorCode.NO_ANSWER, str(error)) from None
        offered = self._endpoint.security
        if offered is SdpSecurity.NONE and self._tls is not None and self._visit.falls_back:
            self._notes.append('the station has no TLS; the car goes on without')
            self._tls = None
        elif offered is not wanted:
            raise Ended(ErrorCode.CONNECTION, f'the station offers {offered.name}, '
                        f'the car wants {wanted.name}')
        try:
            self._link = await Link.connect(
                self._endpoint, self._tls, self._received, self._connection_lost)
        except (OSError, TimeoutError, ChannelError) as error:
            raise Ended(ErrorCode.CONNECTION, f'cannot connect: {error}') from None

    async def _talk(self, resumed: object) -> Outcome:
        """Agree on a protocol and run its engine."""
        settings = replace(self._visit.settings, unix_time=lambda: int(time.time()))
        security = self.link.channel.security
        offered = [offer for offer in self._offers if security in offer.transports]
        if not offered:
            names = ', '.join(offer.name for offer in self._offers)
            raise Ended(ErrorCode.NEGOTIATION, f'{names} cannot be spoken on {security.name}')
        negotiation = Negotiation(settings, offered)
        outcome = await self._run(negotiation)
        if outcome.error is not ErrorCode.NONE or negotiation.chosen is None:
            return outcome
        self._manners.settle(negotiation.chosen.name)
        return await self._run(negotiation.chosen.engine(settings, resumed))

    async def _sleep(self) -> None:
        """Let the session sleep, then wake the station up (ISO 15118-3 clause 7.6)."""
        await self.link.close()
        self._link, self._lost, self._written = None, '', None
        if self._modem is not None:
            self._modem.pause()
        self._enter('pause')
        await self._rest(self._visit.sleep)
        for load in ('C', 'B'):
            self._vehicle.wish(Wish(load=load))
            await self._rest(TOGGLE)
        await self._until(_is_digital, PILOT_PATIENCE, 'no 5 % duty at the pilot after the pause')

    async def _rest(self, seconds: float) -> None:
        """Let time pass; raise :class:`Ended` if the driver stops meanwhile."""
        until = self._loop.time() + seconds
        await self._until(
            lambda state: self._loop.time() >= until, 2 * seconds + 1.0, 'the clock stands still')

    async def _plug_in(self) -> None:
        self._enter('plug in')
        if self._vehicle.state.plugged:
            # The car was there already (its process had died): the driver pulls the plug first.
            self._vehicle.wish(Wish(plugged=False))
            await self._until(lambda state: not state.plugged, UNPLUG_PATIENCE, 'plug is locked')
        self._vehicle.wish(Wish(), self._visit.state_of_charge)
        await self._until(
            lambda state: state.plugged and _is_digital(state),
            PILOT_PATIENCE, 'no 5 % duty at the pilot')

    async def _open_modem(self) -> None:
        """Start the car's modem, if it has one: it needs a moment before it can be used."""
        if self._visit.line:
            self._modem = CarLink(
                self._visit.line, interface=self._visit.interface,
                config=EvConfig(validate=self._visit.validation),
                on_change=lambda status: self._wake.set(),
                on_switch=lambda ready: self._vehicle.wish(Wish(load='C' if ready else 'B')),
                on_failure=lambda error: self._connection_lost(f'modem: {error}'))
            try:
                await self._modem.open()
            except ModemError as error:
                raise Ended(ErrorCode.CONNECTION, str(error)) from None

    async def _match(self) -> None:
        """Find the station by SLAC, if the car has a modem."""
        modem = self._modem
        if modem is None:
            return

        def matched(state: VehicleState) -> bool:
            stepped = not state.duty    # E or F
            self._asleep = self._asleep and not stepped
            modem.pilot('F' if stepped else 'B', _is_digital(state) and not self._asleep)
            return modem.status.state is LinkState.MATCHED

        self._enter('SLAC')
        await self._until(matched, MATCH_PATIENCE, 'no station was found by SLAC')

    async def _run(self, engine: Engine) -> Outcome:
        """Run one engine to its end."""
        self._engine = engine
        while engine.outcome is None:
            if self._asked_to_stop is not None:
                engine.stop(self._asked_to_stop.error, self._asked_to_stop.text)
            self._take_inbox(engine)
            message = engine.advance(self._loop.time(), self._vehicle.state)
            if message is not None:
                await self._send(engine, message)
            self._apply_wish()
            self._enter(engine.step)
            if self._lost and not self._inbox:
                engine.lost(self._lost)
            await self._wait(engine.deadline())
        self._apply_wish()
        self._notes += engine.remarks
        return engine.outcome

    async def _send(self, engine: Engine, message: Element) -> None:
        deed = self._manners.due(engine.step)
        note = ''
        if deed is not None:
            note = deed.name
            self._surplus += deed.surplus
            if deed.act is not None and not await deed.act(self, self._manners.value):
                engine.sent(self._loop.time())
                return
            if deed.alter is not None:
                message = deed.alter(engine, message, self._manners.value)
        payload_type = engine.payload_type(message)
        # Good manners keep to the schema.
        payload = exi.encode(message, validate=deed is None)
        frame = v2gtp.encode(payload_type, payload)
        if deed is not None and deed.mangle is not None:
            frame = deed.mangle(frame, self._manners.value)
        self._written = self.link.send(frame)
        engine.sent(self._written)
        self.trace.add(
            self._written, 'request', engine.step, payload_type, engine.schema(payload_type),
            frame[v2gtp.HEADER.size:] if note else payload, message, error=note)

    def _take_inbox(self, engine: Engine) -> None:
        inbox, self._inbox = self._inbox, []
        for now, frame in inbox:
            if self._written is None and self._surplus:
                self._surplus -= 1
                continue
            latency = now - self._written if self._written is not None else None
            schema, step = engine.schema(frame.payload_type), engine.step
            try:
                message = exi.decode(schema, frame.payload)
            except exi.ExiError as error:
                self.trace.add(now, 'response', step, frame.payload_type, schema, frame.payload,
                               None, latency, str(error))
                engine.refuse(f'undecodable response: {error}')
                return
            self.trace.add(now, 'response', step, frame.payload_type, schema, frame.payload,
                           message, latency)
            self._written = None
            engine.received(message, now, self._vehicle.state)
            if engine.reported is not None:
                self._vehicle.report(*engine.reported)

    def _apply_wish(self) -> None:
        if self._engine is not None and not self._torn:
            self._vehicle.wish(self._manners.want(self._engine.wish, self._engine.step))

    async def _leave(self) -> None:
        """Close the connection and unplug, whatever has happened."""
        self._enter('unplug')
        if self._engine is not None and self._engine.outcome is None:
            self._engine.lost('the visit was broken off')
        self._apply_wish()
        if self._link is not None:
            await self._link.close()
        if self._torn:
            return
        await self._becomes(
            lambda state: state.voltage < SAFE_VOLTAGE and not state.contactors, UNPLUG_PATIENCE)
        self._vehicle.wish(Wish(plugged=False))
        if not await self._becomes(lambda state: not state.plugged, UNPLUG_PATIENCE):
            self._notes.append(f'the plug stayed locked for {UNPLUG_PATIENCE:g} s')

    # Waiting.

    async def _until(
        self, condition: Callable[[VehicleState], bool], patience: float, text: str,
    ) -> None:
        """Wait for the car's body.

        Raises :class:`Ended` with `text` after `patience` s, and at once when the driver stops.
        """
        if not await self._becomes(
                lambda state: self._asked_to_stop is not None or condition(state), patience):
            raise Ended(ErrorCode.NO_ANSWER, text)
        if self._asked_to_stop is not None:
            raise Ended(self._asked_to_stop.error, self._asked_to_stop.text)

    async def _becomes(self, condition: Callable[[VehicleState], bool], patience: float) -> bool:
        """Wait for the car's body, whatever the driver wants; False after `patience` s."""
        deadline = self._loop.time() + patience
        while not condition(self._vehicle.state):
            if self._loop.time() >= deadline:
                return False
            await self._wait(min(deadline, self._loop.time() + 0.1))
        return True

    async def _wait(self, deadline: float | None) -> None:
        """Wait for a message, a new state of the car or the deadline."""
        self._progress(self._stage, self._vehicle.state)
        if deadline is None:
            return
        timeout = deadline - self._loop.time()
        if timeout > 0 and not self._wake.is_set():
            # A plain timer: much cheaper than a task that is cancelled.
            timer = self._loop.call_later(timeout, self._wake.set)
            try:
                await self._wake.wait()
            finally:
                timer.cancel()
        else:
            await asyncio.sleep(0)
        self._wake.clear()

    def _enter(self, stage: str) -> None:
        if stage != self._stage:
            self._stage = stage
            self._progress(stage, self._vehicle.state)

    def _received(self, now: float, message: v2gtp.Message) -> None:
        self._inbox.append((now, message))
        self._wake.set()

    def _connection_lost(self, text: str) -> None:
        self._lost = text
        self._wake.set()


def _is_digital(state: VehicleState) -> bool:
    """Tell whether the station offers digital communication."""
    return state.duty is not None and DIGITAL_DUTY[0] <= state.duty <= DIGITAL_DUTY[1]
