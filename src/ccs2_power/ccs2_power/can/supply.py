"""The DC supply driver for modules on a CAN bus."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping

from ccs2_power.can.bus import CanBus
from ccs2_power.can.group import ModuleGroup
from ccs2_power.can.protocols import PROTOCOLS
from ccs2_power.hal import SUPPLY_OFF, DriverError, SupplyCommand, SupplyReading

#: A lost bus is opened again after this time, in s.
RETRY = 1.0
#: Off is told so often before the bus is given back.
OFF_REPEATS = 3
OPTIONS = ('protocol', 'interface', 'channel', 'modules', 'bit_rate', 'cycle')


class CanSupply:
    """DC modules on one CAN bus as one supply; see :class:`ccs2_power.hal.SupplyDriver`.

    Options: ``protocol`` (one of :data:`ccs2_power.can.protocols.PROTOCOLS`), ``modules``
    (addresses, separated by commas), ``interface`` (python-can's name: ``socketcan``,
    ``udp_multicast``, ``virtual``), ``channel``, ``bit_rate`` (bit/s; socketcan takes the one that
    the interface was set up with), ``cycle`` (s, 0.1).
    """

    def __init__(self) -> None:
        self._group: ModuleGroup | None = None
        self._bus: CanBus | None = None
        self._task: asyncio.Task[None] | None = None
        self._cycle = 0.1

    @property
    def problem(self) -> str:
        """What is wrong with the bus or the modules now."""
        if self._group is None or self._bus is None:
            return 'not open'
        silent = self._group.silent(asyncio.get_running_loop().time())
        return self._bus.problem or (f'{", ".join(silent)} not heard' if silent else '')

    async def open(self, parameters: Mapping[str, str]) -> None:
        """Open the bus and begin to tell the modules to be off."""
        for name in parameters:
            if name not in OPTIONS:
                raise DriverError(f'unknown option {name!r}; there are {", ".join(OPTIONS)}')
        for name in ('protocol', 'modules', 'channel'):
            if name not in parameters:
                raise DriverError(f'option {name!r} is missing')
        if parameters['protocol'] not in PROTOCOLS:
            raise DriverError(f'protocol {parameters["protocol"]!r} is none of {list(PROTOCOLS)}')
        protocol = PROTOCOLS[parameters['protocol']]
        try:
            addresses = [int(part, 0) for part in parameters['modules'].split(',')]
            self._cycle = float(parameters.get('cycle', '0.1'))
            bit_rate = int(parameters.get('bit_rate', str(protocol.bit_rate)))
            group = ModuleGroup(protocol, addresses)
        except ValueError as error:
            raise DriverError(f'modules, cycle or bit_rate: {error}') from None
        if not 0.02 <= self._cycle <= 0.25:
            raise DriverError(f'cycle {self._cycle} s is not within 0.02 to 0.25 s')
        loop = asyncio.get_running_loop()
        bus = CanBus(parameters.get('interface', 'socketcan'), parameters['channel'], bit_rate,
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
            bus.send(group.tell(now))
            await asyncio.sleep(0.01)
        bus.close()

    def read(self) -> SupplyReading:
        """Return the newest values of all modules together."""
        if self._group is None:
            return SupplyReading(None, None, None, None)
        return self._group.reading()

    def command(self, command: SupplyCommand) -> None:
        """Set on/off, voltage and current; what switches is told at once."""
        if self._group is None or self._bus is None:
            return
        now = asyncio.get_running_loop().time()
        if self._group.command(command, now):
            self._bus.send(self._group.tell(now))

    async def _run(self, group: ModuleGroup, bus: CanBus) -> None:
        loop = asyncio.get_running_loop()
        while True:
            if bus.problem:
                await asyncio.sleep(RETRY)
                with contextlib.suppress(DriverError):
                    bus.open()
            else:
                bus.send(group.cycle(loop.time()))
                await asyncio.sleep(self._cycle)
