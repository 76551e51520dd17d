"""The `plant` node: the physical world of one connector.

It runs from the start of its process to its end, whatever its life cycle's state: nobody switches
physics off. What it knows (true values) is on `/diagnostics`.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
from collections.abc import Sequence

from ccs2_node import Level, ManagedNode, Status, run
from ccs2_sim.physics import WorldRating
from ccs2_sim.physics.rating import constants, with_constants
from ccs2_sim.plant.server import PlantServer
from ccs2_sim.plant.wire import default_socket

#: Nice value of the process, where it may set it.
PRIORITY = -10


class PlantNode(ManagedNode):
    """Runs the plant's server."""

    def __init__(self) -> None:
        super().__init__('plant')
        self.parameter('socket', default_socket(), 'Unix socket the plant listens on')
        known = list(constants(WorldRating()))
        for constant in known:
            self.parameter(
                constant.name, float(constant.default), constant.doc, minimum=constant.minimum)
        rating = with_constants(
            WorldRating(), {constant.name: self.value(constant.name) for constant in known})
        self._server = PlantServer(self.value('socket'), rating)
        self._opening = self.loop.create_task(self._server.open())
        self._opening.add_done_callback(self._opened)

    def diagnose(self) -> Sequence[Status]:
        """Report the world as it is, and the faults that were put into it."""
        state = self._server.state()
        faults = state['faults']
        values = {
            'cable voltage [V]': state['voltmeter']['voltage'],
            'current [A]': state['meter']['current'],
            'supply voltage [V]': state['supply']['voltage'],
            'state of charge [%]': 100 * state['vehicle']['state_of_charge'],
            'plugged': state['vehicle']['plugged'],
            'contactor DC+ closed': self._server.core.world.contactors['DC+'].closed,
            'contactor DC- closed': self._server.core.world.contactors['DC-'].closed,
            'vehicle contactor closed': state['vehicle']['contactors'],
            'openings under load': state['opened_under_load'],
            'highest inrush [A]': state['highest_inrush'],
            'time lost [s]': state['lost_time'],
            'longest pause [s]': state['longest_pause'],
            'clients': ', '.join(state['attached']),
        }
        return [Status(
            'world', Level.WARN if faults else Level.OK,
            f'simulated faults: {", ".join(faults)}' if faults else 'no simulated fault', values,
            hardware_id='simulation')]

    async def cleanup(self) -> None:
        """Nothing: the world outlives the life cycle."""

    async def shut_down(self) -> None:
        """Stop the world."""
        self._opening.cancel()
        await self._server.close()
        await super().shut_down()

    def _opened(self, opening: asyncio.Task[None]) -> None:
        if opening.cancelled():
            return
        if (error := opening.exception()) is not None:
            self.fail(error)
            return
        self.get_logger().info(f'listens on {self._server.path}')
        _hurry()
        assert self._server.stepping is not None  # noqa: S101 - open() has started it
        self._server.stepping.add_done_callback(self._stopped)

    def _stopped(self, stepping: asyncio.Task[None]) -> None:
        if not stepping.cancelled() and (error := stepping.exception()) is not None:
            self.fail(error)


def _hurry() -> None:
    """Keep physics from waiting: for the collector, and for other processes where permitted."""
    gc.collect()
    gc.freeze()
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, PRIORITY)


def main() -> None:
    """Run the node."""
    run(PlantNode)
