"""The `cabinet` node: DC modules and relays that several connectors share.

It stands beside the connectors' namespaces and talks to the driver `cabinet_supply` of each one's
`power`. What is on the bus and in the relays is its own; contactors are not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from ccs2_interfaces.msg import CabinetCommand, CabinetOutput
from ccs2_interfaces.srv import ClearFaults
from ccs2_node import LATEST, TELEMETRY, ConfigureError, Level, ManagedNode, Status, run
from ccs2_power import hal
from ccs2_power.cabinet import CabinetControl
from ccs2_power.cabinet_messages import demand_of, output_message
from ccs2_power.can.line import LINE_OPTIONS, LineSettings, ModuleLine
from ccs2_power.command import CommandError
from ccs2_power.devices import Device, Devices
from ccs2_power.drivers import parse_options
from ccs2_power.faults import Code, Severity
from ccs2_power.hal import DriverError
from ccs2_power.messages import measured
from ccs2_power.options import Options
from ccs2_power.realtime import BeatMeter, make_realtime
from ccs2_power.sharing import LEAST_STAY
from ccs2_power.timing import fresh

#: The control beat, in s; outputs are published in each one.
PERIOD = 0.05
#: Longest time in s for the modules to be without current before the relays open at the end.
LAST_CURRENT = 1.0


class CabinetNode(ManagedNode):
    """Feeds the control with demands and measurements, and carries out what it decides."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__('cabinet', **kwargs)
        self.parameter(
            'modules', [''], 'DC modules: each ADDRESS=CONNECTOR,CONNECTOR with the connectors '
            'that it has a relay to.')
        self.parameter('module_current', float, 'What one module can give, in A.',
                       minimum=1.0, maximum=1000.0)
        self.parameter(
            'least_stay', LEAST_STAY, 'A module stays with its connector for so long at least, in '
            's: relays wear.', minimum=1.0, maximum=600.0)
        self.parameter('line_options', [''], 'The bus of the modules, each key=value: '
                       + ', '.join(LINE_OPTIONS) + '.')
        self.parameter('realtime_priority', 0, 'SCHED_FIFO priority of this process; 0: none.',
                       minimum=0, maximum=99)
        self._matrix: Mapping[int, Sequence[str]] = {}
        self._wrong: ConfigureError | None = None
        try:
            self._matrix = matrix_of(self.value('modules'))
        except ConfigureError as error:
            self._wrong = error
        connectors = dict.fromkeys(
            connector for reach in self._matrix.values() for connector in reach)
        self._voltmeters = {connector: f'{connector}_voltmeter' for connector in connectors}
        self._devices = Devices(self, {
            'matrix': Device(hal.MatrixDriver, True, 'relays between modules and connectors'),
            **{name: Device(hal.VoltmeterDriver, True, f'voltage at the output of {connector}')
               for connector, name in self._voltmeters.items()}})
        self._output_publishers = {
            connector: self.publisher(CabinetOutput, f'{connector}/cabinet/output', TELEMETRY)
            for connector in connectors}
        for connector in connectors:
            self.subscribe(CabinetCommand, f'{connector}/cabinet/command',
                           partial(self._on_command, connector), LATEST)
        self.serve(ClearFaults, '~/clear_faults', self._on_clear_faults)
        self._control: CabinetControl | None = None
        self._line: ModuleLine | None = None
        self._jitter = BeatMeter(PERIOD)
        self._told: dict[str, object] = {}
        self._refused = 0

    @property
    def control(self) -> CabinetControl:
        """The control; there is one once the node has been configured."""
        if self._control is None:
            raise RuntimeError('the cabinet is not configured')
        return self._control

    async def configure(self) -> None:
        """Open relays and voltmeters, and begin to tell the modules to be off."""
        if self._wrong is not None:
            raise self._wrong
        priority = self.value('realtime_priority')
        if priority and (problem := make_realtime(priority)):
            self.get_logger().warning(f'no real-time scheduling: {problem}')
        try:
            options = Options(parse_options(self.value('line_options')), LINE_OPTIONS)
            settings = LineSettings.of(options)
            control = CabinetControl(settings.protocol, self._matrix,
                                     self.value('module_current'), self.value('least_stay'))
            cycle = settings.cycle(options, len(self._matrix), control.frames_in_cycle)
            line = ModuleLine(settings, cycle, control.cycle, control.hear)
            # The line last: its cycles go on until it is closed.
            await self._devices.open()
            line.open()
        except DriverError as error:
            await self._devices.close()
            raise ConfigureError(f'line_options: {error}') from None
        except ValueError as error:
            raise ConfigureError(f'modules: {error}') from None
        self._control, self._line = control, line

    async def activate(self) -> None:
        """Begin to share."""
        self.every(PERIOD, self._beat)

    async def deactivate(self) -> None:
        """Switch the modules off, and open the relays when their current has gone."""
        control, matrix = self.control, self._devices['matrix']
        coils = control.halt()
        self._tell()
        end = self.loop.time() + LAST_CURRENT
        while control.carries(now := self.loop.time()) and now < end:
            matrix.command(coils)
            await asyncio.sleep(PERIOD)
        matrix.command(hal.MATRIX_OPEN)

    async def cleanup(self) -> None:
        """Tell the modules to be off, and close everything."""
        line, self._line = self._line, None
        if line is not None:
            self.control.halt()
            await line.close(self.control.tell)
        await self._devices.close()
        self._control = None

    def _beat(self) -> None:
        now = self.loop.time()
        self._jitter.note(now)
        self._step(now)
        for connector, publisher in self._output_publishers.items():
            publisher.publish(output_message(
                self.control.service(connector, now), self.now_message(), now))

    def _step(self, now: float) -> None:
        voltages = {connector: self._devices[name].read().voltage
                    for connector, name in self._voltmeters.items()}
        matrix = self._devices['matrix']
        matrix.command(self.control.step(matrix.read(), voltages, now))
        for module, place in self.control.stages().items():
            stage, connector = place
            if self._told.get(module) != place:
                self._told[module] = place
                self.get_logger().info(
                    f'{module}: {stage.value}{f" ({connector})" if connector else ""}')

    def _tell(self) -> None:
        if self._line is not None:
            self._line.send(self.control.tell(self.loop.time()))

    def _on_command(self, connector: str, message: Any) -> None:
        now = self.loop.time()
        try:
            demand = demand_of(message, now)
        except CommandError as error:
            self._refused += 1
            self.get_logger().warning(
                f'command of {connector} refused: {error}', throttle_duration_sec=1.0)
            return
        if self.control.demand(connector, demand):
            self._tell()

    def _on_clear_faults(self, request: Any, response: Any) -> Any:
        sharing = self.control.sharing
        wanted = not request.codes or int(Code.SUPPLY_FAULT) in request.codes
        for module in sharing.faults() if wanted else ():
            sharing.clear(module, self.loop.time())
        left = sharing.faults()
        response.success = not left
        response.remaining = [int(Code.SUPPLY_FAULT)] if left else []
        response.message = ', '.join(left)[:256]
        return response

    def diagnose(self) -> Sequence[Status]:
        """Report the modules, each output, and the devices."""
        if self._control is None or not self.active or self._line is None:
            return [Status('modules', Level.STALE, 'not active')]
        now, control = self.loop.time(), self._control
        faults, silent = control.sharing.faults(), control.silent(now)
        problem = self._line.problem or '; '.join(
            [f'{name}: {text}' for name, text in faults.items()]
            + [f'{name}: not heard' for name in silent])
        places: Mapping[str, object] = {
            name: f'{stage.value}{f", {connector}" if connector else ""}'
            for name, (stage, connector) in control.stages().items()}
        return [
            Status('modules', Level.ERROR if self._line.problem else
                   Level.WARN if problem else Level.OK, (problem or 'fine')[:256], {
                       **places, 'commands refused': self._refused,
                       'worst lateness of a beat [ms]': 1e3 * self._jitter.take_worst()}),
            *(self._output_status(connector, now) for connector in control.connectors),
            *(Status(device, Level.ERROR if problem else Level.OK, problem or 'fine')
              for device, problem in self._devices.problems.items()),
        ]

    def _output_status(self, connector: str, now: float) -> Status:
        service = self.control.service(connector, now)
        reading = service.reading
        worst = max((alarm.severity for alarm in reading.alarms), default=None)
        level = Level.OK if worst is None else (
            Level.WARN if worst is Severity.WARNING else Level.ERROR)
        text = '; '.join(f'{alarm.source}: {alarm.text}' for alarm in reading.alarms)
        return Status(connector, level, (text or 'fine')[:256], {
            'modules': service.modules,
            'voltage [V]': measured(fresh(reading.voltage, now, 1.0)),
            'current [A]': measured(fresh(reading.current, now, 1.0))})


def matrix_of(modules: Sequence[str]) -> dict[int, tuple[str, ...]]:
    """Return the connectors of each module, by its address; raise :class:`ConfigureError`."""
    try:
        return {int(address, 0): tuple(connectors.split(','))
                for address, connectors in parse_options(modules).items()}
    except (DriverError, ValueError) as error:
        raise ConfigureError(f"parameter 'modules': {error}") from None


def main() -> None:
    """Run the node."""
    run(CabinetNode)


if __name__ == '__main__':
    main()
