"""The DC supply driver for modules on a CAN bus."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping

from ccs2_power.can.bus import CanBus
from ccs2_power.can.group import ModuleGroup
from ccs2_power.can.protocols import PROTOCOLS
from ccs2_power.can.ranges import RangePolicy
from ccs2_power.hal import SUPPLY_OFF, DriverError, SupplyCommand, SupplyReading
from ccs2_power.options import Options

#: A lost bus is opened again after this time, in s.
RETRY = 1.0
#: Off is told so often before the bus is given back.
OFF_REPEATS = 3
#: Longest time in s for the bus to take one of them.
DRAIN_TIME = 0.3
#: Times in s between two cycles: the usual one, the shortest and the longest.
CYCLE, SHORTEST_CYCLE, LONGEST_CYCLE = 0.1, 0.02, 0.2
#: A module that has not been heard for so many cycles is lost.
LOST_CYCLES = 2
#: Bits of a frame with a 29-bit identifier and eight octets, stuffed; a bus may be that full.
FRAME_BITS, FULLEST = 140, 0.8
#: Interfaces without a bit rate.
WITHOUT_BITS = ('virtual', 'udp_multicast', 'udp_loopback')
OPTIONS = ('protocol', 'interface', 'channel', 'modules', 'bit_rate', 'cycle', 'lost_module',
           'range')


class CanSupply:
    """DC modules on one CAN bus as one supply; see :class:`ccs2_power.hal.SupplyDriver`.

    Options: ``protocol`` (one of :data:`ccs2_power.can.protocols.PROTOCOLS`), ``modules``
    (addresses, separated by commas), ``interface`` (python-can's name: ``socketcan``,
    ``udp_multicast``, ``virtual``), ``channel``, ``bit_rate`` (bit/s; socketcan takes the one that
    the interface was set up with), ``cycle`` (s, 0.1 or as long as the frames of all modules take),
    ``lost_module`` (``stop``: a silent module makes all values old; ``derate``: the others go on),
    ``range`` (``low``, ``high``, ``auto``; without it the modules keep theirs).
    """

    def __init__(self) -> None:
        self._group: ModuleGroup | None = None
        self._bus: CanBus | None = None
        self._task: asyncio.Task[None] | None = None
        self._cycle = CYCLE

    @property
    def problem(self) -> str:
        """What is wrong with the bus or the modules now."""
        if self._group is None or self._bus is None:
            return 'not open'
        silent = self._group.silent(asyncio.get_running_loop().time())
        return self._bus.problem or (f'{", ".join(silent)} not heard' if silent else '')

    async def open(self, parameters: Mapping[str, str]) -> None:
        """Open the bus and begin to tell the modules to be off."""
        options = Options(parameters, OPTIONS)
        protocol = PROTOCOLS[options.choice('protocol', tuple(PROTOCOLS))]
        interface, channel = options.text('interface', 'socketcan'), options.text('channel')
        bit_rate = options.integer('bit_rate', 10_000, 1_000_000, protocol.bit_rate)
        policy = options.choice('lost_module', ('stop', 'derate'), 'stop')
        ranges = RangePolicy(options.choice(
            'range', [policy.value for policy in RangePolicy])) if 'range' in options else None
        try:
            addresses = [int(part, 0) for part in options.text('modules').split(',')]
            frames = ModuleGroup(protocol, addresses, policy=ranges).frames_in_cycle
        except ValueError as error:
            raise DriverError(f"options 'modules' and 'range': {error}") from None
        needed = 0.0 if interface in WITHOUT_BITS else frames * FRAME_BITS / bit_rate / FULLEST
        if needed > LONGEST_CYCLE:
            raise DriverError(f'{len(addresses)} modules need {needed:.2f} s in each cycle at '
                              f'{bit_rate} bit/s, {LONGEST_CYCLE} s at most: put them on more than '
                              'one bus')
        self._cycle = options.number(
            'cycle', max(SHORTEST_CYCLE, needed), LONGEST_CYCLE, max(CYCLE, needed))
        group = ModuleGroup(
            protocol, addresses, LOST_CYCLES * self._cycle if policy == 'derate' else None, ranges)
        loop = asyncio.get_running_loop()
        bus = CanBus(interface, channel, bit_rate,
                     lambda frame: group.hear(frame, loop.time()))
        bus.open()
        self._group, self._bus = group, bus
        self._task = loop.create_task(self._run(group, bus))

    async def close(self) -> None:
        """Tell the modules to be off, then give the bus back."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        group, self._group = self._group, None
        bus, self._bus = self._bus, None
        if group is None or bus is None:
            return
        now = asyncio.get_running_loop().time()
        group.command(SUPPLY_OFF, now)
        for _ in range(OFF_REPEATS):
            bus.send_instead(group.tell(now))
            await bus.drained(DRAIN_TIME)
            await asyncio.sleep(0.01)
        bus.close()

    def read(self) -> SupplyReading:
        """Return the newest values of all modules together."""
        if self._group is None:
            return SupplyReading(None, None, None, None)
        self._group.watch(asyncio.get_running_loop().time())
        return self._group.reading()

    def command(self, command: SupplyCommand) -> None:
        """Set on/off, voltage and current; what switches is told at once."""
        if self._group is None or self._bus is None:
            return
        now = asyncio.get_running_loop().time()
        if self._group.command(command, now):
            self._bus.send_instead(self._group.tell(now))

    async def _run(self, group: ModuleGroup, bus: CanBus) -> None:
        loop = asyncio.get_running_loop()
        while True:
            if bus.problem:
                await asyncio.sleep(RETRY)
                with contextlib.suppress(DriverError):
                    bus.open()
            else:
                bus.send_instead(group.cycle(loop.time()))
                await asyncio.sleep(self._cycle)
