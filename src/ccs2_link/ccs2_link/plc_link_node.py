"""The `plc_link` node: the modem on the charging cable and SLAC on top of it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from builtin_interfaces.msg import Time

from ccs2_interfaces.msg import ControlPilot, Link, V2GConnection
from ccs2_interfaces.srv import Reset
from ccs2_link.homeplug.frame import mac_text
from ccs2_link.modem.contract import Modem, ModemError
from ccs2_link.plc_link_drivers import DRIVERS, Driver
from ccs2_link.slac.contract import (
    Changed,
    DataLink,
    LinkCore,
    LinkState,
    Output,
    Pilot,
    PilotState,
    ResetModem,
    Send,
)
from ccs2_node import STATE, ConfigureError, Level, ManagedNode, Status, run

PILOT_PATIENCE = 0.5
"""A control pilot that is not heard of for this long [s] counts as not measured."""
PUBLISH_PERIOD = 0.5
"""`link` is repeated so often [s] that a dead publisher is noticed."""
DIGITAL_DUTY = (0.03, 0.07)
"""Duty ratios that ask for digital communication (IEC 61851-1: 3 % to 7 %)."""

_LEVELS = {
    LinkState.UNAVAILABLE: Level.ERROR,
    LinkState.UNMATCHED: Level.OK,
    LinkState.MATCHING: Level.OK,
    LinkState.MATCHED: Level.OK,
    LinkState.FAILED: Level.WARN,
}
_PILOT_STATES = {state.value: state for state in PilotState}
_DATA_LINK = {
    V2GConnection.DATA_LINK_TERMINATE: DataLink.TERMINATE,
    V2GConnection.DATA_LINK_PAUSE: DataLink.PAUSE,
    V2GConnection.DATA_LINK_ERROR: DataLink.ERROR,
}


def pilot_of(message: ControlPilot) -> Pilot:
    """Return what SLAC needs of a control pilot measurement."""
    low, high = DIGITAL_DUTY
    state = _PILOT_STATES.get(message.state, PilotState.UNKNOWN)
    return Pilot(state, low <= message.duty_cycle <= high, message.bcb_toggles)


class PlcLinkNode(ManagedNode):
    """Wire one modem and one link core to the graph."""

    def __init__(self, drivers: Mapping[str, Driver] = DRIVERS) -> None:
        """Take the table of drivers that the parameter `driver` chooses from."""
        super().__init__('plc_link')
        self.parameter('driver', str, f'kind of modem: {", ".join(drivers)}')
        for driver in drivers.values():
            for name, (default, description) in driver.parameters.items():
                if not self.has_parameter(name):
                    self.parameter(name, default, description)
        self._drivers = drivers
        self._modem: Modem | None = None
        self._core: LinkCore | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._since = Time()
        self._shown: tuple[LinkState, str] | None = None
        self._pilot = Pilot()
        self._pilot_heard = -math.inf
        self._ended: tuple[int, int] | None = None
        self._resets = 0
        self._publisher = self.publisher(Link, 'link', STATE)
        self.subscribe(ControlPilot, 'control_pilot', self._on_pilot, STATE)
        self.subscribe(V2GConnection, 'v2g/connection', self._on_connection, STATE)
        self.serve(Reset, '~/reset', self._on_reset)

    async def configure(self) -> None:
        """Make driver and core; nothing is opened yet."""
        name = self.value('driver')
        if name not in self._drivers:
            raise ConfigureError(f"parameter 'driver': {name!r} is none of {list(self._drivers)}")
        driver = self._drivers[name]
        try:
            self._modem = driver.make_modem(self.value)
            self._make_core = driver.make_core
        except ValueError as error:
            raise ConfigureError(str(error)) from None

    async def activate(self) -> None:
        """Open the modem and start to follow the pilot."""
        modem = self._need(self._modem)
        try:
            await modem.open()
            self._core = self._make_core(self.value, modem.mac)
        except (ModemError, OSError, ValueError) as error:
            await modem.close()
            raise ConfigureError(f'{self.value("driver")} modem: {error}') from None
        self._since = self.now_message()
        self._shown = None
        modem.on_frame = lambda frame: self._guard(self._on_frame, frame)
        modem.on_ready = lambda ready: self._guard(self._on_ready, ready)
        modem.on_failure = self.fail
        self.every(PILOT_PATIENCE / 5, self._watch_pilot)
        self.every(PUBLISH_PERIOD, self._publish)

    async def deactivate(self) -> None:
        """Leave the network and give the modem back."""
        modem, core = self._need(self._modem), self._need(self._core)
        self._apply(core.data_link(self.loop.time(), DataLink.TERMINATE))
        modem.set_link(False)
        if self._timer is not None:
            self._timer.cancel()
        self._core = None
        await modem.close()

    async def cleanup(self) -> None:
        """Forget the driver."""
        self._modem = None

    def diagnose(self) -> Sequence[Status]:
        """Report the link with everything but the key."""
        if self._core is None or self._modem is None:
            return [Status('link', Level.STALE, 'not active')]
        status = self._core.status()
        values: dict[str, object] = {
            'state': status.state.name.lower(),
            'interface': self._modem.interface,
            'modem': status.modem,
            'vehicle': mac_text(status.peer_mac or b''),
            'run id': (status.run_id or b'').hex(),
            'network id': (status.nid or b'').hex(),
            'attenuation [dB]': math.nan if status.attenuation is None else status.attenuation,
            'matches': status.matches,
            'failures': status.failures,
            'resets': self._resets,
            **status.counters,
            **self._modem.counters(),
        }
        hardware_id = mac_text(status.modem_mac or b'') or self._modem.interface
        return [Status('link', _LEVELS[status.state], status.message, values, hardware_id)]

    def _on_frame(self, frame: bytes) -> None:
        self._apply(self._need(self._core).receive(self.loop.time(), frame))

    def _on_ready(self, ready: bool) -> None:
        self._apply(self._need(self._core).modem(self.loop.time(), ready))

    def _on_pilot(self, message: ControlPilot) -> None:
        self._pilot_heard = self.loop.time()
        self._set_pilot(pilot_of(message))

    def _watch_pilot(self) -> None:
        if self.loop.time() - self._pilot_heard > PILOT_PATIENCE:
            self._set_pilot(Pilot())

    def _set_pilot(self, pilot: Pilot) -> None:
        if pilot != self._pilot:
            self._pilot = pilot
            self._apply(self._need(self._core).pilot(self.loop.time(), pilot))

    def _on_connection(self, message: V2GConnection) -> None:
        """Do once what the end of each connection means for the link."""
        request = _DATA_LINK.get(message.data_link)
        end = (message.connection_id, message.data_link)
        if message.state == V2GConnection.STATE_CLOSED and request and end != self._ended:
            self._ended = end
            self._apply(self._need(self._core).data_link(self.loop.time(), request))

    def _on_reset(self, request: Reset.Request, response: Reset.Response) -> Reset.Response:
        energy = self._pilot.state in (PilotState.UNKNOWN, PilotState.C, PilotState.D)
        if energy and not request.force:
            response.message = f'pilot in {self._pilot.state.name}: energy may flow'
            return response
        self._apply(self._need(self._core).reset(self.loop.time(), 'commanded by ~/reset'))
        response.success = True
        return response

    def _apply(self, outputs: Sequence[Output]) -> None:
        """Carry out what the core decided, then arrange to be called when it is due."""
        modem, core = self._need(self._modem), self._need(self._core)
        for output in outputs:
            if isinstance(output, Send):
                modem.send(output.frame)
            elif isinstance(output, ResetModem):
                self._resets += 1
                self.get_logger().warning(f'resetting the modem: {output.reason}')
                modem.reset()
            elif isinstance(output, Changed):
                modem.set_link(output.state is LinkState.MATCHED)
                self._publish()
        if self._timer is not None:
            self._timer.cancel()
        due = core.deadline()
        self._timer = None if due is None else self.loop.call_at(
            due, self._guard, self._on_due, None)

    def _on_due(self, _: None) -> None:
        self._apply(self._need(self._core).tick(self.loop.time()))

    def _publish(self) -> None:
        status = self._need(self._core).status()
        shown = (status.state, status.message)
        if shown != self._shown:
            if self._shown is None or self._shown[0] is not status.state:
                self._since = self.now_message()
            self._shown = shown
            self.get_logger().info(f'link {status.state.name.lower()}: {status.message}')
        message = Link(
            state=status.state.value,
            since=self._since,
            interface=self._need(self._modem).interface,
            attenuation=math.nan if status.attenuation is None else status.attenuation,
            attenuation_profile=[float(group) for group in status.attenuation_profile],
            modem=status.modem[:64],
            matches=status.matches,
            failures=status.failures,
            resets=self._resets,
            message=status.message[:256],
        )
        message.header.stamp = self.now_message()
        message.peer_mac = list(status.peer_mac or bytes(6))
        message.run_id = list(status.run_id or bytes(8))
        message.nid = list(status.nid or bytes(7))
        self._publisher.publish(message)

    @staticmethod
    def _need(part: Any) -> Any:
        """Return a part that exists while the node is active."""
        if part is None:
            raise RuntimeError('the node is not active')
        return part

    _make_core: Callable[[Callable[[str], Any], bytes], LinkCore]


def main() -> int:
    """Run the node; return the exit code."""
    return run(PlcLinkNode)
