"""A virtual modem: a local socket to a virtual power line, each packet one Ethernet frame."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import Mapping

from ccs2_link.homeplug.frame import LOCAL_MODEM, encode
from ccs2_link.homeplug.vendor import VsRsDevReq
from ccs2_link.modem.base import DriverBase
from ccs2_link.modem.bridge import Bridge, KernelSide

RECONNECT_PERIOD = 0.2
RESTART_TIME = 1.0
_MAX_FRAME = 1518
_BATCH = 64


class VirtualModem(DriverBase):
    """A client of a power line simulation, which plays the modem's firmware behind the socket.

    Ready while connected. With a TAP (CAP_NET_ADMIN) IPv6 goes over the virtual line, too.
    """

    def __init__(self, path: str, mac: bytes, interface: str, kernel: KernelSide | None) -> None:
        """Name the line's socket, and the interface for IPv6; `kernel` is its end if it is ours."""
        super().__init__(interface, mac)
        if not path:
            raise ValueError('the path of the virtual line is empty')
        self._path = path
        self._kernel = kernel
        self._socket: socket.socket | None = None
        self._rest_until = 0.0
        self._counters: Counter[str] = Counter()
        self._bridge = Bridge(
            mac,
            self._kernel,
            lambda frame: self.on_frame(frame),
            self.send,
            lambda: not self._ready,
            self,
        )

    async def open(self) -> None:
        """Open the TAP; a line that is not there yet is waited for."""
        if self._kernel is not None:
            self._kernel.open()
        self._start(self._keep_connected())

    def send(self, frame: bytes) -> None:
        """Send a frame to the line."""
        try:
            if self._socket is None:
                raise OSError('not connected')
            self._socket.send(frame)
            self._counters['frames sent'] += 1
        except OSError:
            self._counters['frames dropped, line did not take them'] += 1

    def set_link(self, up: bool) -> None:
        """Switch the TAP on when matched, off when not."""
        self._bridge.set_link(up)

    def reset(self) -> None:
        """Tell the firmware to restart."""
        self.send(encode(LOCAL_MODEM, self._mac, VsRsDevReq()))
        self._rest_until = asyncio.get_running_loop().time() + RESTART_TIME
        self._tell(False)

    def counters(self) -> Mapping[str, int]:
        """Return what was sent, received and lost."""
        return {**self._counters, **self._bridge.counters()}

    async def close(self) -> None:
        """Leave the line and remove the TAP."""
        self._disconnect()
        self._bridge.close()
        await self._stop()
        if self._kernel is not None:
            self._kernel.close()

    async def _keep_connected(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._bridge.check()
            if self._socket is None:
                self._connect()
            self._tell(self._socket is not None and loop.time() >= self._rest_until)
            await asyncio.sleep(RECONNECT_PERIOD)

    def _connect(self) -> None:
        line = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
        try:
            line.connect(self._path)
        except OSError:
            line.close()
            return
        self._socket = line
        self._counters['connections'] += 1
        self.read_with(line.fileno(), self._receive)

    def _disconnect(self) -> None:
        line, self._socket = self._socket, None
        if line is not None:
            self.stop_reading(line.fileno())
            line.close()

    def _receive(self) -> None:
        for _ in range(_BATCH):
            if self._socket is None:
                return
            try:
                frame = self._socket.recv(_MAX_FRAME)
            except BlockingIOError:
                return
            except OSError:
                frame = b''
            if not frame:
                self._disconnect()
                self._tell(False)
                return
            self._counters['frames received'] += 1
            self._bridge.from_line(frame)

    def _tell(self, ready: bool) -> None:
        super()._tell(ready)
        self._bridge.resume()
