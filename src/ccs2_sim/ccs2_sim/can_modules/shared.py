"""The emulated modules and relays of a shared cabinet: on a CAN bus, and on several plants.

They are the client of the device `supply` of every connector's plant, and have a socket of their
own for coils and feedback contacts of the relays and for the voltages at the outputs.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from ccs2_power.can.bus import CanBus
from ccs2_power.can.frame import Frame
from ccs2_power.hal import DriverError
from ccs2_sim.can_modules.cabinet import Cabinet
from ccs2_sim.can_modules.module import Readings
from ccs2_sim.can_modules.server import BIT_RATE, FRESH, RETRY, TICK, rating_of
from ccs2_sim.can_modules.switchboard import Switchboard
from ccs2_sim.plant.client import PlantClient, PlantError
from ccs2_sim.plant.devices import CommandError
from ccs2_sim.plant.server import DeviceServer
from ccs2_sim.plant.wire import Object

MATRIX = 'matrix'
#: Without a command for so long the coils drop, in s: their supply's watchdog.
COIL_TIMEOUT = 2.0
#: Time in s between reports of a device.
PERIOD = 0.02
#: Longest time in s that is caught up with; the rest stands still.
LONGEST_STEP = 0.5

logger = logging.getLogger(__name__)


def output_device(connector: str) -> str:
    """Return the name of the device that measures the voltage at an output."""
    return f'output {connector}'


@dataclass
class _Attached:
    """One connected client."""

    due: float


class RelayCore:
    """Switchboard and the voltages at its outputs, as devices on a socket."""

    def __init__(self, board: Switchboard, now: float) -> None:
        self.board = board
        #: When each output was last measured, by the plant's stamp.
        self.stamps: dict[str, float] = {}
        self._devices = {MATRIX, *map(output_device, board.outputs)}
        self._attached: dict[str, _Attached] = {}
        self._now = now
        self._told = -COIL_TIMEOUT

    def attach(self, name: str, now: float) -> None:
        """Connect a client to a device; raise :class:`CommandError` if it cannot be had."""
        if name not in self._devices:
            raise CommandError(f'no device {name!r}; there are {", ".join(sorted(self._devices))}')
        if name in self._attached:
            raise CommandError(f'device {name!r} has a client already')
        self._attached[name] = _Attached(now)

    def detach(self, name: str, now: float) -> None:
        """Take note that a client is gone; the coils drop later, by their watchdog."""
        del self._attached[name]

    def command(self, name: str, content: Object, now: float) -> None:
        """Switch the coils."""
        coils = content.get('coils')
        if name != MATRIX or not isinstance(coils, dict):
            raise CommandError(f'{name}: coils are {coils!r}')
        self.advance(now)
        self.board.switch(coils)
        self._told = now

    def advance(self, now: float) -> None:
        """Let time pass."""
        if now - self._told > COIL_TIMEOUT:
            self.board.switch({})
        passed, self._now = now - self._now, now
        self.board.step(now, min(passed, LONGEST_STEP))

    def reports(self, now: float) -> list[tuple[str, Object]]:
        """Return the reports that are due now."""
        self.advance(now)
        reports = []
        for name, client in self._attached.items():
            if client.due <= now and (report := self._report(name)) is not None:
                client.due = max(client.due + PERIOD, now)
                reports.append((name, report))
        return reports

    def state(self) -> Object:
        """Return everything there is to know, for people."""
        board = self.board
        return {
            'relays': {f'module_{address}': [connector for connector, relay in relays.items()
                                             if relay.closed]
                       for address, relays in board.relays.items()},
            'modules': {f'module_{address}': {
                'on': module.delivers, 'voltage': module.measured.voltage,
                'current': module.measured.current}
                for address, module in board.cabinet.modules.items()},
            'opened_under_load': board.opened_under_load,
            'closed_on_voltage': board.closed_on_voltage, 'crossed': board.crossed,
        }

    def _report(self, name: str) -> Object | None:
        if name == MATRIX:
            return {'relays': self.board.feedback(), 'stamp': self._now}
        for connector, stamp in self.stamps.items():
            if name == output_device(connector):
                return {'voltage': self.board.outputs[connector].voltage, 'stamp': stamp}
        return None


class SharedModules:
    """The modules of a shared cabinet between one bus, its relays and several plants."""

    def __init__(
        self, cabinet: Cabinet, interface: str, channel: str, plants: Mapping[str, str],
        socket: str,
    ) -> None:
        """Take the sockets of the connectors' plants, by connector, and that of the relays."""
        self._loop = asyncio.get_running_loop()
        self.board = Switchboard(cabinet, list(plants))
        self._relays = DeviceServer(socket, RelayCore(self.board, self._loop.time()))
        self._bus = CanBus(interface, channel, BIT_RATE, self._on_frame)
        self._plants = {connector: PlantClient('supply', partial(self._on_report, connector))
                        for connector in plants}
        self._paths = plants
        self._faults: dict[str, dict[str, dict[str, float]]] = {}
        self._tasks: list[asyncio.Task[Any]] = []

    async def open(self) -> None:
        """Get on the bus; the plants may come later.

        Raise :class:`DriverError` if there is no such bus, ``OSError`` if the socket is taken.
        """
        self._bus.open()
        await self._relays.open()
        self._tasks = [self._loop.create_task(self._run()), *(
            self._loop.create_task(self._reach(connector)) for connector in self._plants)]

    async def close(self) -> None:
        """Leave everybody: the plants switch their outputs off."""
        for task in self._tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        for plant in self._plants.values():
            await plant.close()
        await self._relays.close()
        self._bus.close()

    async def _reach(self, connector: str) -> None:
        while True:
            try:
                await self._plants[connector].open(self._paths[connector])
            except PlantError as error:
                logger.info('waits: %s', error)
            else:
                return

    def _on_frame(self, frame: Frame) -> None:
        now, board = self._loop.time(), self.board
        for module in board.cabinet.modules.values():
            module.halted = False
        for connector in board.outputs:
            halted = now - self._relays.core.stamps.get(connector, 0.0) > FRESH
            for module in board.on(connector):
                module.halted = halted
        self._bus.send([Frame(*answer) for answer in board.cabinet.hear(
            frame.identifier, frame.data, now)])
        # What was switched acts at once.
        self._demand()

    def _on_report(self, connector: str, report: Object) -> None:
        cabinet = self.board.cabinet
        self.board.outputs[connector] = Readings(
            report['voltage'], report['current'], report['temperature'])
        self._relays.core.stamps[connector] = report['stamp']
        cabinet.rate(rating_of(report, len(cabinet.modules)))
        # A fault of a module may be put into any of the plants.
        self._faults[connector] = report['modules']
        merged: dict[str, dict[str, float]] = {}
        for faults in self._faults.values():
            for kind, of in faults.items():
                merged.setdefault(kind, {}).update(of)
        cabinet.suffer(merged)

    def _demand(self) -> None:
        for connector, plant in self._plants.items():
            demand = self.board.demand(connector)
            plant.command(on=demand.on, voltage=demand.voltage, current=demand.current)

    async def _run(self) -> None:
        while True:
            self._relays.core.advance(self._loop.time())
            self._demand()
            if self._bus.problem:
                logger.warning('%s', self._bus.problem)
                await asyncio.sleep(RETRY)
                with contextlib.suppress(DriverError):
                    self._bus.open()
            else:
                await asyncio.sleep(TICK)
