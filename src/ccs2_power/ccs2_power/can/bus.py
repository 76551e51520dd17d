"""A CAN bus on the asyncio loop: the only module that calls python-can, and only when it opens."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from ccs2_power.can.frame import Frame
from ccs2_power.hal import DriverError

#: Interfaces whose bit rate is set elsewhere, or that have none.
_SET_UP = ('socketcan', 'udp_multicast', 'virtual')


class CanBus:
    """One python-can bus on the asyncio loop."""

    def __init__(
        self, interface: str, channel: str, bit_rate: int, on_frame: Callable[[Frame], None],
    ) -> None:
        self._interface, self._channel, self._bit_rate = interface, channel, bit_rate
        self._on_frame = on_frame
        self._can: Any = None
        self._bus: Any = None
        self._notifier: Any = None
        #: What is wrong with the bus now.
        self.problem = ''

    def open(self) -> None:
        """Open the bus; raise :class:`DriverError` if it is not there."""
        self.close()
        try:
            import can
        except ImportError as error:
            raise DriverError(f'CAN needs the Python package python-can: {error}') from None
        self._can = can
        options = {} if self._interface in _SET_UP else {'bitrate': self._bit_rate}
        try:
            self._bus = can.Bus(interface=self._interface, channel=self._channel, **options)
        except (can.CanError, can.CanInterfaceNotImplementedError, OSError, ValueError,
                ImportError, NotImplementedError) as error:
            self.lost(error)
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

    def send(self, frames: Iterable[Frame]) -> None:
        """Send frames without waiting; a bus that does not take them has a problem."""
        if self._bus is None:
            return
        can = self._can
        try:
            for frame in frames:
                self._bus.send(can.Message(
                    arbitration_id=frame.identifier, data=frame.data,
                    is_extended_id=frame.extended), timeout=0.0)
        except (can.CanError, OSError) as error:
            self.lost(error)

    def received(self, message: Any) -> None:
        """Hand a data frame on."""
        if not message.is_error_frame and not message.is_remote_frame:
            self._on_frame(Frame(
                message.arbitration_id, bytes(message.data), message.is_extended_id))

    def lost(self, error: Exception) -> None:
        """Note that the bus does not work."""
        self.problem = f'CAN {self._interface} {self._channel}: {error}'


class _Listener:
    """What python-can's notifier calls."""

    def __init__(self, bus: CanBus) -> None:
        self._bus = bus

    def __call__(self, message: Any) -> None:
        self._bus.received(message)

    def on_error(self, error: Exception) -> None:
        self._bus.lost(error)
