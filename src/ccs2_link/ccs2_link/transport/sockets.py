"""The sockets that a vehicle reaches: SDP over UDP and a listener over TCP, on one interface."""

from __future__ import annotations

import asyncio
import secrets
import socket
import struct
from collections.abc import Callable

from ccs2_link.transport.interface import LinkAddress

#: Ports that a station may listen on: IANA's dynamic range (ISO 15118-2 clause 7.7.3).
DYNAMIC_PORTS = range(49152, 65536)
_PORT_ATTEMPTS = 50
_BACKLOG = 4
#: More than a request has, so that a longer datagram is seen to be longer.
_DATAGRAM_SPACE = 64
_KEEP_ALIVE_IDLE = 5
_KEEP_ALIVE_INTERVAL = 2
_KEEP_ALIVE_PROBES = 3
#: How long sent octets may stay unacknowledged, in ms.
_USER_TIMEOUT = 10_000


class SocketError(Exception):
    """A socket cannot be opened; the text says which and why."""


def _bound(kind: socket.SocketKind, where: LinkAddress, host: str, port: int) -> socket.socket:
    """Return a socket that sees only `where`'s interface, bound to `host` and `port`."""
    opened = socket.socket(socket.AF_INET6, kind)
    try:
        opened.setblocking(False)
        opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        opened.setsockopt(
            socket.SOL_SOCKET, socket.SO_BINDTODEVICE, where.interface.encode() + b'\0')
        opened.bind((host, port, 0, where.scope))
    except BaseException:
        opened.close()
        raise
    return opened


class SdpSocket:
    """Answers SDP datagrams on one interface, one at a time, without a queue of its own.

    Vehicles send to ff02::1, the group that every IPv6 host is in on every interface: there is
    nothing to join, and on a loopback interface without multicast ::1 reaches the same socket.
    `respond` gets each datagram whose sender is on the link, and returns the answer or None;
    `reject` is called for every other one.
    """

    def __init__(
        self, where: LinkAddress, port: int, respond: Callable[[bytes], bytes | None],
        reject: Callable[[], None],
    ) -> None:
        self._where = where
        self._respond = respond
        self._reject = reject
        try:
            self._socket = _bound(socket.SOCK_DGRAM, where, '::', port)
        except OSError as error:
            raise SocketError(f'UDP port {port} on {where.interface}: {error}') from None
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket, self._readable)

    def _readable(self) -> None:
        try:
            datagram, source = self._socket.recvfrom(_DATAGRAM_SPACE)
            host, port, _, scope = source
            if not self._where.reaches(host, scope):
                self._reject()
                return
            response = self._respond(datagram)
            if response is not None:
                self._socket.sendto(response, (host, port, 0, scope))
        except OSError:
            # Nothing to read after all, an ICMP error, no room to send: the vehicle asks again.
            self._reject()

    def close(self) -> None:
        """Leave the group and give the port back."""
        self._loop.remove_reader(self._socket)
        self._socket.close()


async def listen(
    where: LinkAddress, protocol: Callable[[], asyncio.Protocol],
) -> tuple[asyncio.Server, int]:
    """Listen on a random dynamic port of the interface's address; return the server and port."""
    opened = _bound_to_dynamic_port(where)
    try:
        server = await asyncio.get_running_loop().create_server(
            protocol, sock=opened, backlog=_BACKLOG)
    except OSError as error:
        opened.close()
        raise SocketError(f'cannot listen on {where.interface}: {error}') from None
    return server, opened.getsockname()[1]


def _bound_to_dynamic_port(where: LinkAddress) -> socket.socket:
    problem: OSError | None = None
    for _ in range(_PORT_ATTEMPTS):
        try:
            return _bound(
                socket.SOCK_STREAM, where, str(where.address), secrets.choice(DYNAMIC_PORTS))
        except OSError as error:
            problem = error
    raise SocketError(f'no TCP port on {where.address} of {where.interface}: {problem}')


def tune(connected: socket.socket) -> None:
    """Send without delay, and notice a peer that has vanished."""
    for option, value in (
        (socket.TCP_NODELAY, 1),
        (socket.TCP_KEEPIDLE, _KEEP_ALIVE_IDLE),
        (socket.TCP_KEEPINTVL, _KEEP_ALIVE_INTERVAL),
        (socket.TCP_KEEPCNT, _KEEP_ALIVE_PROBES),
        (socket.TCP_USER_TIMEOUT, _USER_TIMEOUT),
    ):
        connected.setsockopt(socket.IPPROTO_TCP, option, value)
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


def reset_on_close(connected: socket.socket) -> None:
    """Let closing send RST at once and keep no state (a connection that was never wanted)."""
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
