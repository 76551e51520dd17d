"""The `plc_link` node: the modem on the charging cable and SLAC on top of it."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Mapping, Sequence

from builtin_interfaces.msg import Time

from ccs2_interfaces.msg import ControlPilot, Link, V2GConnection
from ccs2_interfaces.srv import Reset
from ccs2_link.homeplug.frame import mac_text
from ccs2_link.link_runner import LinkRunner
from ccs2_link.modem.contract import Modem, ModemError
from ccs2_link.plc_link_drivers import Driver, installed_drivers
from ccs2_link.slac.contract import DataLink, LinkCore, LinkState, Pilot, PilotState
from ccs2_node import STATE, ConfigureError, Level, ManagedNode, Status, run

PILOT_PATIENCE = 0.5
"""A control pilot that is not heard of for this long [s] counts as not measured."""
PUBLISH_PERIOD = 0.05
"""`link` is repeated so often [s] that a dead publisher is noticed."""
DIGITAL_DUTY = (0.03, 0.07)
"""Duty ratios that ask for digital communication (IEC 61851-1: 3 % to 7 %)."""
_DUTY_DIGITS = 6
"""Decimals that a duty ratio has left after it has been a float32."""

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
    digital = low <= round(message.duty_cycle, _DUTY_DIGITS) <= high
    return Pilot(state, digital, message.bcb_toggles)


class PlcLinkNode(ManagedNode):
    """Wire one modem and one link core to the graph."""

    def __init__(self, drivers: Mapping[str, Driver] | None = None) -> None:
        """Take the drivers that the parameter `driver` chooses from: all that are installed."""
        super().__init__('plc_link')
        self._drivers = installed_drivers() if drivers is None else drivers
        self.parameter('driver', str, f'kind of modem: {", ".join(self._drivers)}')
        for driver in self._drivers.values():
            for parameter in driver.parameters:
                if not self.has_parameter(parameter.name):
                    self.parameter(
                        parameter.name, parameter.default, parameter.description,
                        minimum=parameter.minimum, maximum=parameter.maximum)
        self._modem: Modem | None = None
        self._make_core: Callable[[bytes], LinkCore] | None = None
        self._runner: LinkRunner | None = None
        self._since = Time()
        self._shown: tuple[LinkState, str] | None = None
        self._pilot = Pilot()
        self._pilot_heard = -math.inf
        self._ended: tuple[int, int, int, int] | None = None
        self._resets = 0
        self._publisher = self.publisher(Link, 'link', STATE)
        self.subscribe(ControlPilot, 'control_pilot', self._on_pilot, STATE)
        self.subscribe(V2GConnection, 'v2g/connection', self._on_connection, STATE)
        self.serve(Reset, '~/reset', self._on_reset)

    async def configure(self) -> None:
        """Make the driver and check all settings; nothing is opened yet."""
        name = self.value('driver')
        if name not in self._drivers:
            raise ConfigureError(f"parameter 'driver': {name!r} is none of {list(self._drivers)}")
        try:
            self._modem = self._drivers[name].make_modem(self.value)
            self._make_core = self._drivers[name].make_core(self.value)
        except ValueError as error:
            raise ConfigureError(str(error)) from None

    async def activate(self) -> None:
        """Open the modem and start to follow the pilot."""
        if self._modem is None or self._make_core is None:
            raise ConfigureError('there is no modem')
        runner = LinkRunner(
            self._modem, on_change=self._publish, on_reset=self._on_modem_reset,
            on_failure=self.fail)
        try:
            await runner.open(self._make_core)
        except ModemError as error:
            raise ConfigureError(f'{self.value("driver")} modem: {error}') from None
        self._runner = runner
        self._since = self.now_message()
        self._shown = None
        self._pilot = Pilot()
        self._pilot_heard = -math.inf
        self.every(PILOT_PATIENCE / 5, self._watch_pilot)
        self.every(PUBLISH_PERIOD, self._publish)

    async def deactivate(self) -> None:
        """Leave the network and give the modem back."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.close()
            self._publisher.publish(self._message(LinkState.UNAVAILABLE, 'node was deactivated'))

    async def cleanup(self) -> None:
        """Forget the driver."""
        self._modem = self._make_core = None

    def diagnose(self) -> Sequence[Status]:
        """Report the link with everything but the key."""
        if self._runner is None or self._modem is None:
            return [Status('link', Level.STALE, 'not active')]
        status = self._runner.status
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

    def _on_pilot(self, message: ControlPilot) -> None:
        self._pilot_heard = self.loop.time()
        self._set_pilot(pilot_of(message))

    def _watch_pilot(self) -> None:
        if self.loop.time() - self._pilot_heard > PILOT_PATIENCE:
            self._set_pilot(Pilot())

    def _set_pilot(self, pilot: Pilot) -> None:
        if pilot != self._pilot and self._runner is not None:
            self._pilot = pilot
            self._runner.pilot(pilot)

    def _on_connection(self, message: V2GConnection) -> None:
        """Do once what the end of each connection means for the link."""
        request = _DATA_LINK.get(message.data_link)
        since = message.link_since
        end = (message.connection_id, message.data_link, since.sec, since.nanosec)
        if message.state != V2GConnection.STATE_CLOSED or request is None or end == self._ended:
            return
        self._ended = end
        if self._runner is not None:
            self._runner.data_link(request)

    def _on_reset(self, request: Reset.Request, response: Reset.Response) -> Reset.Response:
        energy = self._pilot.state in (PilotState.UNKNOWN, PilotState.C, PilotState.D)
        if energy and not request.force:
            response.message = f'pilot in {self._pilot.state.name}: energy may flow'
        elif self._runner is not None:
            self._runner.reset('commanded by ~/reset')
            response.success = True
        return response

    def _on_modem_reset(self, reason: str) -> None:
        self._resets += 1
        self.get_logger().warning(f'resetting the modem: {reason}')

    def _publish(self) -> None:
        if self._runner is None or self._modem is None:
            return
        status = self._runner.status
        shown = (status.state, status.message)
        if shown != self._shown:
            if self._shown is None or self._shown[0] is not status.state:
                self._since = self.now_message()
            self._shown = shown
            self.get_logger().info(f'link {status.state.name.lower()}: {status.message}')
        message = self._message(status.state, status.message)
        message.interface = self._modem.interface[:15]
        message.modem = status.modem[:64]
        message.pilot_wish = status.pilot_wish.kind.value
        message.pilot_wish_number = status.pilot_wish.number
        message.matches = status.matches
        message.failures = status.failures
        if status.peer_mac and status.run_id:
            message.peer_mac = list(status.peer_mac)
            message.run_id = list(status.run_id)
        if status.nid:
            message.nid = list(status.nid)
        if status.attenuation is not None:
            message.attenuation = status.attenuation
            message.attenuation_profile = array('f', status.attenuation_profile)
        self._publisher.publish(message)

    def _message(self, state: LinkState, text: str) -> Link:
        message = Link(
            state=state.value, since=self._since, attenuation=math.nan, resets=self._resets,
            message=text[:256])
        message.header.stamp = self.now_message()
        return message


def main() -> None:
    """Run the node."""
    run(PlcLinkNode)


if __name__ == '__main__':
    main()
