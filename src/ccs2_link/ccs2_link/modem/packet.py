"""A modem that the kernel shows as a network interface: `qcaspi`, or a PLC modem on Ethernet."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import Counter
from collections.abc import Mapping

from ccs2_link.homeplug.frame import ETHERTYPE, LOCAL_MODEM, encode
from ccs2_link.homeplug.vendor import VsRsDevReq
from ccs2_link.modem import interface_info
from ccs2_link.modem.base import DriverBase
from ccs2_link.modem.contract import ModemError

POLL_PERIOD = 0.2
RESTART_TIME = 2.0
"""A modem that was told to restart is left alone for this long [s]."""
_MAX_FRAME = 1518
_BATCH = 64
_FOR_US = (socket.PACKET_HOST, socket.PACKET_BROADCAST, socket.PACKET_MULTICAST)


class PacketModem(DriverBase):
    """SLAC by a packet socket that is bound to one interface; IPv6 is the kernel's own.

    Needs CAP_NET_RAW. The interface stays up, for SLAC needs it; it is never another one: when it
    goes and comes back, the socket is bound to its new index.
    """

    def __init__(self, interface: str) -> None:
        """Take the interface's name."""
        super().__init__(interface)
        self._index = 0
        self._socket: socket.socket | None = None
        self._rest_until = 0.0
        self._counters: Counter[str] = Counter()

    async def open(self) -> None:
        """Bind to the interface; raise ModemError if it is missing or may not be read."""
        try:
            self._mac = interface_info.mac_of(self._interface)
            self._bind()
        except PermissionError:
            raise ModemError(f'interface {self._interface}: CAP_NET_RAW is needed') from None
        except OSError as error:
            raise ModemError(f'interface {self._interface}: {error.strerror or error}') from None
        self._start(self._watch())

    def send(self, frame: bytes) -> None:
        """Send a management frame."""
        try:
            if self._socket is None:
                raise OSError('not bound')
            self._socket.send(frame)
            self._counters['frames sent'] += 1
        except OSError:
            self._counters['frames dropped, interface did not take them'] += 1

    def set_link(self, up: bool) -> None:
        """Leave the interface up: SLAC needs it."""

    def reset(self) -> None:
        """Tell the modem to restart and wait a while for it."""
        self.send(encode(LOCAL_MODEM, self._mac, VsRsDevReq()))
        self._rest_until = asyncio.get_running_loop().time() + RESTART_TIME
        self._tell(False)

    def counters(self) -> Mapping[str, int]:
        """Return what was sent, received and lost."""
        return dict(self._counters)

    async def close(self) -> None:
        """Give the interface back."""
        self._unbind()
        await self._stop()

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            if interface_info.index_of(self._interface) != self._index:
                self._rebind()
            running = self._socket is not None and interface_info.is_running(self._interface)
            self._tell(running and loop.time() >= self._rest_until)
            await asyncio.sleep(POLL_PERIOD)

    def _bind(self) -> None:
        self._index = interface_info.index_of(self._interface)
        bound = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
        try:
            bound.bind((self._interface, ETHERTYPE))
        except OSError:
            bound.close()
            raise
        self._socket = bound
        self.read_with(bound.fileno(), self._receive)

    def _rebind(self) -> None:
        """Follow an interface that was removed and made again under the same name."""
        self._unbind()
        self._tell(False)
        if interface_info.index_of(self._interface) == 0:
            return
        if interface_info.mac_of(self._interface) != self._mac:
            raise ModemError(f'interface {self._interface} came back with another MAC address')
        with contextlib.suppress(OSError):  # it may go again at any moment; the watch goes on
            self._bind()
            self._counters['interface changes'] += 1

    def _unbind(self) -> None:
        bound, self._socket, self._index = self._socket, None, 0
        if bound is not None:
            self.stop_reading(bound.fileno())
            bound.close()

    def _receive(self) -> None:
        for _ in range(_BATCH):
            if self._socket is None:
                return
            try:
                frame, (_, _, kind, *_) = self._socket.recvfrom(_MAX_FRAME)
            except BlockingIOError:
                return
            except OSError:
                self._unbind()
                return
            if kind in _FOR_US:
                self._counters['frames received'] += 1
                self.on_frame(frame)
            else:
                # Of a virtual LAN, whose tag the kernel has taken off, or for another station.
                self._counters['frames dropped, not for this interface'] += 1
