"""The DC supply driver for modules on a CAN bus."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from ccs2_power.can.line import LINE_OPTIONS, LineSettings, ModuleLine, addresses_of
from ccs2_power.can.parallel import ModuleGroup
from ccs2_power.can.ranges import RangePolicy
from ccs2_power.hal import SUPPLY_OFF, DriverError, SupplyCommand, SupplyReading
from ccs2_power.options import Options

#: A module that has not been heard for so many cycles is lost.
LOST_CYCLES = 2
OPTIONS = (*LINE_OPTIONS, 'modules', 'lost_module', 'range')


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
        self._line: ModuleLine | None = None

    @property
    def problem(self) -> str:
        """What is wrong with the bus or the modules now."""
        if self._group is None or self._line is None:
            return 'not open'
        silent = self._group.silent(asyncio.get_running_loop().time())
        return self._line.problem or (f'{", ".join(silent)} not heard' if silent else '')

    async def open(self, parameters: Mapping[str, str]) -> None:
        """Open the bus and begin to tell the modules to be off."""
        options = Options(parameters, OPTIONS)
        settings = LineSettings.of(options)
        policy = options.choice('lost_module', ('stop', 'derate'), 'stop')
        ranges = RangePolicy(options.choice(
            'range', [policy.value for policy in RangePolicy])) if 'range' in options else None
        try:
            addresses = addresses_of(options.text('modules'))
            frames = ModuleGroup(settings.protocol, addresses, policy=ranges).frames_in_cycle
        except ValueError as error:
            raise DriverError(f"options 'modules' and 'range': {error}") from None
        cycle = settings.cycle(options, len(addresses), frames)
        group = ModuleGroup(
            settings.protocol, addresses, LOST_CYCLES * cycle if policy == 'derate' else None,
            ranges)
        line = ModuleLine(settings, cycle, group.cycle, group.hear)
        line.open()
        self._group, self._line = group, line

    async def close(self) -> None:
        """Tell the modules to be off, then give the bus back."""
        group, self._group = self._group, None
        line, self._line = self._line, None
        if group is None or line is None:
            return
        group.command(SUPPLY_OFF, asyncio.get_running_loop().time())
        await line.close(group.tell)

    def read(self) -> SupplyReading:
        """Return the newest values of all modules together."""
        if self._group is None:
            return SupplyReading(None, None, None, None)
        self._group.watch(asyncio.get_running_loop().time())
        return self._group.reading()

    def command(self, command: SupplyCommand) -> None:
        """Set on/off, voltage and current; what switches is told at once."""
        if self._group is None or self._line is None:
            return
        now = asyncio.get_running_loop().time()
        if self._group.command(command, now):
            self._line.send(self._group.tell(now))
