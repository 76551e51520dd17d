"""A CAN bus between processes of one machine, for python-can (interface ``udp_loopback``).

It works like python-can's own ``udp_multicast``, but on the loopback interface: it needs neither
root nor a network, and no frame leaves the machine. Buses of different names do not hear each
other. Nothing is arbitrated: a bus of infinite speed.
"""

from __future__ import annotations

import hashlib
import os
import select
import socket
from typing import Any

import can
from can.interfaces.udp_multicast.utils import pack_message, unpack_message

#: Keeps the buses of several simulations on one machine apart: part of every bus's name.
SCOPE_VARIABLE = 'CCS2_CAN_SCOPE'
#: Not that of `udp_multicast`, which hears everything that comes to its port.
PORT = 43114
LONGEST_FRAME = 4096
_LOOPBACK = socket.inet_aton('127.0.0.1')


def group(channel: str) -> str:
    """Return the multicast address (administrative scope) of the bus of this name."""
    name = f'{os.environ.get(SCOPE_VARIABLE, "")}/{channel}'
    return '239.' + '.'.join(map(str, hashlib.sha256(name.encode()).digest()[:3]))


class LoopbackBus(can.BusABC):
    """One end of the bus named `channel`; whoever opens the same name is on it."""

    def __init__(self, channel: str, **options: Any) -> None:
        """Join the bus; raise ``OSError`` if the machine has no loopback interface."""
        self._address = (group(channel), PORT)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, _LOOPBACK)
            self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 0)
            self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP,
                                    socket.inet_aton(self._address[0]) + _LOOPBACK)
            self._socket.bind(self._address)
            # Everybody receives on one address; a socket of its own for sending tells who it was.
            self._sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self._sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, _LOOPBACK)
            self._sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 0)
            self._sender.bind(('127.0.0.1', 0))
        except OSError:
            self._socket.close()
            raise
        self.channel_info = f'udp_loopback {channel}'
        super().__init__(channel=channel, can_filters=options.get('can_filters'))

    def send(self, msg: can.Message, timeout: float | None = None) -> None:
        """Send a frame to everybody else on the bus."""
        try:
            self._sender.sendto(pack_message(msg), self._address)
        except OSError as error:
            raise can.CanOperationError(str(error)) from None

    def _recv_internal(self, timeout: float | None) -> tuple[can.Message | None, bool]:
        if not select.select([self._socket], [], [], timeout)[0]:
            return None, False
        data, sender = self._socket.recvfrom(LONGEST_FRAME)
        if sender == self._sender.getsockname():
            return None, False
        try:
            return unpack_message(data, check=True), False
        except Exception:
            # Whatever msgpack makes of a foreign datagram: it is no frame.
            return None, False

    def fileno(self) -> int:
        """Return the descriptor that is readable when a frame has come."""
        return self._socket.fileno()

    def shutdown(self) -> None:
        """Leave the bus."""
        super().shutdown()
        self._socket.close()
        self._sender.close()
