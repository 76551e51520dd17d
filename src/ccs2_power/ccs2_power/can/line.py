"""The line to the modules: a CAN bus with a cycle in which all of them are told and asked."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass

from ccs2_power.can.bus import CanBus
from ccs2_power.can.frame import Frame
from ccs2_power.can.protocol import ModuleProtocol
from ccs2_power.can.protocols import PROTOCOLS
from ccs2_power.hal import DriverError
from ccs2_power.options import Options

#: A lost bus is opened again after this time, in s.
RETRY = 1.0
#: The last word is told so often before the bus is given back.
OFF_REPEATS = 3
#: Longest time in s for the bus to take one of them.
DRAIN_TIME = 0.3
#: Times in s between two cycles: the usual one, the shortest and the longest.
CYCLE, SHORTEST_CYCLE, LONGEST_CYCLE = 0.1, 0.02, 0.2
#: Bits of a frame with a 29-bit identifier and eight octets, stuffed; a bus may be that full.
FRAME_BITS, FULLEST = 140, 0.8
#: Interfaces without a bit rate.
WITHOUT_BITS = ('virtual', 'udp_multicast', 'udp_loopback')
#: The options of every line; :meth:`LineSettings.of` reads them.
LINE_OPTIONS = ('protocol', 'interface', 'channel', 'bit_rate', 'cycle')


@dataclass(frozen=True, slots=True)
class LineSettings:
    """Which bus, and what is spoken on it."""

    protocol: ModuleProtocol
    interface: str
    """python-can's name."""
    channel: str
    bit_rate: int
    """In bit/s."""

    @classmethod
    def of(cls, options: Options) -> LineSettings:
        """Read the site's options; raise :class:`DriverError` naming what is wrong."""
        protocol = PROTOCOLS[options.choice('protocol', tuple(PROTOCOLS))]
        return cls(
            protocol, options.text('interface', 'socketcan'), options.text('channel'),
            options.integer('bit_rate', 10_000, 1_000_000, protocol.bit_rate))

    def cycle(self, options: Options, modules: int, frames: int) -> float:
        """Return the cycle in s for so many modules, with so many frames in each.

        Raise :class:`DriverError` if they do not fit on the bus.
        """
        bits = 0 if self.interface in WITHOUT_BITS else frames * FRAME_BITS
        needed = bits / self.bit_rate / FULLEST
        if needed > LONGEST_CYCLE:
            raise DriverError(f'{modules} modules need {needed:.2f} s in each cycle at '
                              f'{self.bit_rate} bit/s, {LONGEST_CYCLE} s at most: put them on '
                              'more than one bus')
        return options.number(
            'cycle', max(SHORTEST_CYCLE, needed), LONGEST_CYCLE, max(CYCLE, needed))


class ModuleLine:
    """Sends what a cycle has to tell, again and again, and hands on what is heard.

    `frames` and `hear` get the time of the loop; `frames` is called once in each cycle.
    """

    def __init__(
        self, settings: LineSettings, cycle: float, frames: Callable[[float], list[Frame]],
        hear: Callable[[Frame, float], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._cycle, self._frames = cycle, frames
        self._bus = CanBus(settings.interface, settings.channel, settings.bit_rate,
                           lambda frame: hear(frame, self._loop.time()))
        self._task: asyncio.Task[None] | None = None

    @property
    def problem(self) -> str:
        """What is wrong with the bus now; `''` if nothing."""
        return self._bus.problem

    def open(self) -> None:
        """Open the bus and begin with the cycles; raise :class:`DriverError` if it is not there."""
        self._bus.open()
        self._task = self._loop.create_task(self._run())

    def send(self, frames: list[Frame]) -> None:
        """Send frames at once, instead of those that the bus has not taken yet."""
        self._bus.send_instead(frames)

    async def close(self, last: Callable[[float], list[Frame]]) -> None:
        """End the cycles, tell the last word, give the bus back."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        for _ in range(OFF_REPEATS):
            self._bus.send_instead(last(self._loop.time()))
            await self._bus.drained(DRAIN_TIME)
            await asyncio.sleep(0.01)
        self._bus.close()

    async def _run(self) -> None:
        while True:
            if self._bus.problem:
                await asyncio.sleep(RETRY)
                with contextlib.suppress(DriverError):
                    self._bus.open()
            else:
                self._bus.send_instead(self._frames(self._loop.time()))
                await asyncio.sleep(self._cycle)


def addresses_of(text: str) -> list[int]:
    """Read addresses separated by commas; raise ``ValueError``."""
    return [int(part, 0) for part in text.split(',')]
