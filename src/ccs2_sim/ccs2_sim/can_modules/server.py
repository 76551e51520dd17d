"""The emulated modules of one output: on a CAN bus on one side, on the plant on the other.

They are the client of the plant's device `supply`: the electrical world stays one, and faults of
the modules are put in with ``plant_fault``.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging

from ccs2_power.can.bus import CanBus
from ccs2_power.can.frame import Frame
from ccs2_power.hal import DriverError
from ccs2_sim.can_modules.cabinet import Cabinet
from ccs2_sim.can_modules.module import Rating
from ccs2_sim.plant.client import PlantClient, PlantError, PlantRefusal
from ccs2_sim.plant.wire import Object

#: The output stage is told so often, in s.
TICK = 0.01
#: What the modules measure is no older than this, in s: else they have stopped, too.
FRESH = 0.25
#: Where the bus is not set up already, in bit/s.
BIT_RATE = 125_000
#: A lost bus is opened again after this time, in s.
RETRY = 1.0

logger = logging.getLogger(__name__)


class ModuleServer:
    """The modules of a cabinet between one bus and one plant, on the running event loop."""

    def __init__(self, cabinet: Cabinet, interface: str, channel: str, plant: str = '') -> None:
        self.cabinet = cabinet
        self._loop = asyncio.get_running_loop()
        self._bus = CanBus(interface, channel, BIT_RATE, self._on_frame)
        self._plant_path = plant
        self._plant = PlantClient('supply', self._on_report)
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Get on the bus and to the plant, which may come later.

        Raise :class:`DriverError` if there is no such bus, :class:`PlantRefusal` if the plant has
        a supply already.
        """
        self._bus.open()
        while True:
            try:
                await self._plant.open(self._plant_path)
            except PlantRefusal:
                self._bus.close()
                raise
            except PlantError as error:
                logger.info('waits: %s', error)
            else:
                break
        self._task = self._loop.create_task(self._run())

    async def close(self) -> None:
        """Leave both: the plant switches its output off."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await self._plant.close()
        self._bus.close()

    def _on_frame(self, frame: Frame) -> None:
        now, report = self._loop.time(), self._plant.report
        if report is None or now - report['stamp'] > FRESH:
            return
        self._bus.send([Frame(*answer) for answer in self.cabinet.hear(
            frame.identifier, frame.data, now)])
        # What was switched acts at once.
        self._demand(now)

    def _on_report(self, report: Object) -> None:
        self.cabinet.measure(report['voltage'], report['current'], report['temperature'])
        self.cabinet.rate(rating_of(report, len(self.cabinet.modules)))
        self.cabinet.suffer(report['modules'])

    def _demand(self, now: float) -> None:
        demand = self.cabinet.demand(now)
        self._plant.command(on=demand.on, voltage=demand.voltage, current=demand.current)

    async def _run(self) -> None:
        while True:
            self._demand(self._loop.time())
            if self._bus.problem:
                logger.warning('%s', self._bus.problem)
                await asyncio.sleep(RETRY)
                with contextlib.suppress(DriverError):
                    self._bus.open()
            else:
                await asyncio.sleep(TICK)


def rating_of(report: Object, count: int) -> Rating:
    """Return what each of `count` modules can do, by the report of the output that has them all."""
    limits = report['limits']
    return Rating(limits['minimum_voltage'], limits['maximum_voltage'],
                  limits['maximum_current'] / count, limits['maximum_power'] / count)
