"""The DC supply driver for modules on a CAN bus (python-can)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping

import can

from ccs2_power.can.group import ModuleGroup
from ccs2_power.can.protocol import Frame
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


class CanBus:
    """One python-can bus on the asyncio loop."""

    def __init__(
        self, interface: str, channel: str, bit_rate: int, on_frame: Callable[[Frame], None],
    ) -> None:
        self._interface, self._channel, self._bit_rate = interface, channel, bit_rate
        self._on_frame = on_frame
        self._bus: can.BusABC | None = None
        self._notifier: can.Notifier | None = None
        #: What is wrong with the bus now.
        self.problem = ''

    def open(self) -> None:
        """Open the bus; raise :class:`DriverError` if it is not there."""
        self.close()
        options = {} if self._interface in ('socketcan', 'udp_multicast', 'virtual') else {
            'bitrate': self._bit_rate}
        try:
            self._bus = can.Bus(interface=self._interface, channel=self._channel, **options)
        except (can.CanError, can.CanInterfaceNotImplementedError, OSError, ValueError,
                ImportError, NotImplementedError) as error:
            self.problem = f'CAN {self._interface} {self._channel}: {error}'
            raise DriverError(self.problem) from None
        self._notifier = can.Notifier(
            self._bus, [_Listener(self)], timeout=0.1, loop=asyncio.get_running_loop())
        self.problem = ''

    def close(self) -> None:
        """Give the bus back."""
        if self._notifier is not None:
            self._notifier.stop(timeout=0.2)
            self._notifier = None
        if self._bus is not None:
            self._bus.shutdown()
            self._bus = None

    def send(self, frames: list[Frame]) -> None:
        """Send frames without waiting; a bus that does not take them has a problem."""
        if self._bus is None:
            return
        try:
            for frame in frames:
                self._bus.send(can.Message(
                    arbitration_id=frame.identifier, data=frame.data, is_extended_id=True),
                    timeout=0.0)
        except (can.CanError, OSError) as error:
            self.lost(error)

    def received(self, message: can.Message) -> None:
        """Hand a data frame with a 29-bit identifier on."""
        if message.is_extended_id and not message.is_error_frame and not message.is_remote_frame:
            self._on_frame(Frame(message.arbitration_id, bytes(message.data)))

    def lost(self, error: Exception) -> None:
        """Note that the bus does not work."""
        self.problem = f'CAN {self._interface} {self._channel}: {error}'


class _Listener(can.Listener):
    def __init__(self, bus: CanBus) -> None:
        self._bus = bus

    def on_message_received(self, msg: can.Message) -> None:
        self._bus.received(msg)

    def on_error(self, exc: Exception) -> None:
        self._bus.lost(exc)
