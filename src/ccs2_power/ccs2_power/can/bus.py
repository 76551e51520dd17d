"""A CAN bus on the asyncio loop: the only module that calls python-can, and only when it opens."""

from __future__ import annotations

import asyncio
import contextlib
import errno
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from ccs2_power.can.frame import Frame
from ccs2_power.hal import DriverError

#: Interfaces whose bit rate is set elsewhere, or that have none.
_SET_UP = ('socketcan', 'udp_multicast', 'virtual')
#: A bus whose queue is full is tried again after this time, in s.
FLUSH_PAUSE = 0.002
#: A bus that has taken nothing for so long, in s, works no more (nobody acknowledges, bus off).
STUCK_TIME = 0.5
#: At most so many frames wait for the bus; the oldest are dropped.
MOST_PENDING = 1000


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
        self._loop = asyncio.get_running_loop()
        self._pending: deque[Frame] = deque(maxlen=MOST_PENDING)
        self._flusher: asyncio.TimerHandle | None = None
        self._idle = asyncio.Event()
        self._idle.set()
        self._taken = self._loop.time()
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
            self._bus, [_Listener(self)], timeout=0.1, loop=self._loop)
        self._taken = self._loop.time()
        self.problem = ''

    def close(self) -> None:
        """Give the bus back."""
        self._pending.clear()
        if self._flusher is not None:
            self._flusher.cancel()
            self._flusher = None
        self._idle.set()
        if self._notifier is not None:
            self._notifier.stop(timeout=0.2)
            self._notifier = None
        if self._bus is not None:
            self._bus.shutdown()
            self._bus = None

    def send(self, frames: Iterable[Frame]) -> None:
        """Send frames without waiting, as soon as the bus takes them.

        A bus that takes nothing any longer has a problem.
        """
        if self._bus is None:
            return
        if not self._pending:
            self._taken = self._loop.time()
        self._pending.extend(frames)
        if self._flusher is None:
            self._flush()

    def send_instead(self, frames: Iterable[Frame]) -> None:
        """Send frames instead of those that the bus has not taken yet: they are outdated."""
        if not self._pending:
            self.send(frames)
            return
        # The bus is being waited for: no longer than before, or it would never have a problem.
        self._pending.clear()
        self._pending.extend(frames)

    async def drained(self, seconds: float) -> None:
        """Wait until the bus has taken everything, at most for some seconds."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), seconds)

    def _flush(self) -> None:
        self._flusher = None
        self._idle.clear()
        can = self._can
        try:
            while self._pending and self._bus is not None:
                frame = self._pending[0]
                self._bus.send(can.Message(
                    arbitration_id=frame.identifier, data=frame.data,
                    is_extended_id=frame.extended), timeout=0.0)
                self._pending.popleft()
                self._taken = self._loop.time()
        except (can.CanError, OSError) as error:
            if _is_full(error) and self._loop.time() - self._taken < STUCK_TIME:
                # The kernel queues ten frames of an interface from the factory, a cycle has more.
                self._flusher = self._loop.call_later(FLUSH_PAUSE, self._flush)
                return
            self._pending.clear()
            self.lost(error)
        self._idle.set()

    def received(self, message: Any) -> None:
        """Hand a data frame on."""
        if not message.is_error_frame and not message.is_remote_frame:
            self._on_frame(Frame(
                message.arbitration_id, bytes(message.data), message.is_extended_id))

    def lost(self, error: Exception) -> None:
        """Note that the bus does not work."""
        self.problem = f'CAN {self._interface} {self._channel}: {error}'


def _is_full(error: Exception) -> bool:
    """Tell whether a frame was not taken because the queue is full, as python-can says it."""
    return (getattr(error, 'error_code', None) in (errno.ENOBUFS, errno.EAGAIN)
            or str(error) == 'Transmit buffer full')


class _Listener:
    """What python-can's notifier calls."""

    def __init__(self, bus: CanBus) -> None:
        self._bus = bus

    def __call__(self, message: Any) -> None:
        self._bus.received(message)

    def on_error(self, error: Exception) -> None:
        self._bus.lost(error)
