"""The process of the emulated modules: on a CAN bus on one side, on the plant on the other.

``ros2 run ccs2_sim can_modules --help``. It is the client of the plant's device `supply`: the
electrical world stays one, and faults of the modules are put in with ``plant_fault``.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import logging
import os
import signal
import sys
from collections.abc import Sequence

from ccs2_power.can.bus import CanBus
from ccs2_power.can.frame import Frame
from ccs2_power.hal import DriverError
from ccs2_sim.can_modules.cabinet import Cabinet
from ccs2_sim.can_modules.dialects import DIALECTS
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
        limits, count = report['limits'], len(self.cabinet.modules)
        self.cabinet.rate(Rating(
            limits['minimum_voltage'], limits['maximum_voltage'],
            limits['maximum_current'] / count, limits['maximum_power'] / count))
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


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog='can_modules', description=__doc__)
    parser.add_argument('--protocol', choices=DIALECTS, required=True)
    parser.add_argument('--modules', default='1,2,3,4', help='addresses, separated by commas')
    parser.add_argument('--interface', default='udp_loopback', help="python-can's name of the bus")
    parser.add_argument('--channel', default='modules', help='name of the bus, e.g. vcan0')
    parser.add_argument('--plant', default='', help="the plant's Unix socket")
    # A launch file adds ROS arguments, which mean nothing here.
    known, _ = parser.parse_known_args(words)
    return known


async def _serve(options: argparse.Namespace) -> int:
    try:
        addresses = [int(part, 0) for part in options.modules.split(',')]
        cabinet = Cabinet(DIALECTS[options.protocol], addresses)
    except ValueError as error:
        sys.stderr.write(f'can_modules: --modules {options.modules}: {error}\n')
        return 2
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    server = ModuleServer(cabinet, options.interface, options.channel, options.plant)
    opening = loop.create_task(server.open())
    stopping = loop.create_task(stopped.wait())
    await asyncio.wait([opening, stopping], return_when=asyncio.FIRST_COMPLETED)
    code = 0
    try:
        if opening.done():
            await opening
            sys.stdout.write(f'{options.protocol} modules {options.modules} on '
                             f'{options.interface} {options.channel}\n')
            sys.stdout.flush()
            gc.collect()
            gc.freeze()
            await stopping
    except (DriverError, PlantRefusal) as error:
        sys.stderr.write(f'can_modules: {error}\n')
        code = 1
    finally:
        opening.cancel()
        stopping.cancel()
        await server.close()
    return code


def main(words: Sequence[str] | None = None) -> int:
    """Run the modules until SIGINT or SIGTERM; return 0 unless they could not start."""
    os.umask(0o077)
    return asyncio.run(_serve(_arguments(words)))


if __name__ == '__main__':
    sys.exit(main())
