"""The transport on asyncio: sockets on the vehicle's interface, driven by the cores' rules."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from ccs2_link.transport import sdp
from ccs2_link.transport.channel import Channel, PlainChannel
from ccs2_link.transport.connection import CloseReason, Connection, Deliver, Limits, Response
from ccs2_link.transport.endpoint import Endpoint, Peer, Status
from ccs2_link.transport.interface import LinkAddress, link_address
from ccs2_link.transport.sdp import SdpSecurity
from ccs2_link.transport.sockets import SdpSocket, SocketError, listen
from ccs2_link.transport.wire import Wire
from ccs2_pki.aside import aside

#: How often the interface is looked at, in s; a vehicle repeats its SDP request every 0.25 s.
_LOOK_PERIOD = 0.2
#: Work of handshakes that may be going on at once: vehicles may leave while a token still signs.
_MOST_WORK = 4


class Events(Protocol):
    """What the transport tells its user; every call comes from the event loop."""

    def request(self, connection_id: int, request: Deliver) -> None:
        """Take one complete request from the vehicle."""

    def changed(self) -> None:
        """Take note that `TransportServer.status` is different now."""

    def fail(self, error: BaseException) -> None:
        """End the process: the transport cannot go on, which no vehicle must find out first."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the station's owner decides; times in s."""

    sdp_port: int = sdp.PORT
    policy: sdp.SecurityPolicy = sdp.SecurityPolicy.CAR
    setup_time: float = 18.0
    limits: Limits = field(default_factory=Limits)


@dataclass(slots=True)
class _Sockets:
    """What is open on an interface."""

    where: LinkAddress
    servers: dict[SdpSecurity, asyncio.Server] = field(default_factory=dict)
    discovery: SdpSocket | None = None

    def close(self) -> None:
        if self.discovery is not None:
            self.discovery.close()
        for server in self.servers.values():
            server.close()


class TransportServer:
    """Offers the station to one vehicle at a time, for as long as the data link is up.

    `tls` makes the channel of a new TLS connection; None means that no credential can be used, and
    then there is no TLS listener.
    """

    def __init__(
        self, settings: Settings, events: Events,
        find_address: Callable[[str], LinkAddress | None] = link_address,
    ) -> None:
        self._settings = settings
        self._events = events
        self._find_address = find_address
        self._endpoint = Endpoint(settings.policy, settings.limits, settings.setup_time)
        self._loop = asyncio.get_running_loop()
        self._interface = ''
        self._link_key: object = None
        self._sockets: _Sockets | None = None
        self._wires: dict[Connection, Wire] = {}
        self._tls: Callable[[], Channel] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._work: set[asyncio.Future[None]] = set()
        self._wake = asyncio.Event()
        self._follower = self._loop.create_task(self._follow())
        self._follower.add_done_callback(self._follower_ended)
        #: Why there are no sockets although the data link is up, '' if there are.
        self.problem = ''

    @property
    def status(self) -> Status:
        """The present status."""
        return self._endpoint.status()

    @property
    def interface(self) -> str:
        """The interface to the vehicle, '' while the data link is down."""
        return self._interface

    @property
    def ports(self) -> dict[SdpSecurity, int]:
        """The TCP ports that are open now."""
        if self._sockets is None:
            return {}
        return {security: server.sockets[0].getsockname()[1]
                for security, server in self._sockets.servers.items() if server.sockets}

    @property
    def idle(self) -> bool:
        """No vehicle is connected, not even one that has not asked for anything yet."""
        return not self._wires

    def set_tls(self, tls: Callable[[], Channel] | None) -> None:
        """Make the channels of TLS connections from now on by `tls`; None: offer no TLS."""
        if tls != self._tls:
            self._tls = tls
            self._wake.set()

    def link_up(self, interface: str, key: object) -> None:
        """Serve the data link on `interface`; another `key` means that it was down before."""
        if (interface, key) == (self._interface, self._link_key):
            return
        self.link_down()
        self._interface = interface
        self._link_key = key
        self._endpoint.link_up(self._loop.time())
        self._schedule()
        self._wake.set()

    def link_down(self, reason: CloseReason = CloseReason.LINK_LOST) -> None:
        """Close everything: the data link is gone (or, by `reason`, the node ends)."""
        if self._link_key is None:
            return
        self._abort(reason, 'data link went down' if reason is CloseReason.LINK_LOST
                    else 'station ends')
        self._interface = ''
        self._link_key = None
        self._endpoint.link_down(self._loop.time())
        self._close_sockets()
        self._schedule()
        self._events.changed()

    def respond(self, connection_id: int, response: Response) -> bool:
        """Do what the session asks; tell whether it concerns the open connection."""
        wire = self._active(connection_id)
        return wire is not None and wire.respond(response)

    def abort(self, connection_id: int, why: str) -> None:
        """Close a connection because the session's answer makes no sense."""
        if (wire := self._active(connection_id)) is not None:
            wire.abort(CloseReason.BY_STATION, why)

    async def close(self) -> None:
        """Close everything."""
        self._follower.cancel()
        await asyncio.gather(self._follower, return_exceptions=True)
        self.link_down(CloseReason.SHUTDOWN)

    async def _follow(self) -> None:
        """Keep the sockets as the link, the interface and the credentials are."""
        while True:
            self._wake.clear()
            try:
                await self._update_sockets()
            except SocketError as error:
                self._complain(str(error))
            # Not wait_for: in Python 3.11 it loses a cancellation that comes with the event.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_PERIOD if self._interface else None):
                    await self._wake.wait()

    def _follower_ended(self, follower: asyncio.Task[None]) -> None:
        if not follower.cancelled() and (error := follower.exception()) is not None:
            self._events.fail(error)

    async def _update_sockets(self) -> None:
        where = self._find_address(self._interface)
        if self._sockets is not None and (
                where != self._sockets.where or not self._endpoint.listens):
            if where != self._sockets.where:
                self._abort(CloseReason.LINK_LOST, 'interface lost its address')
            self._close_sockets()
            self._events.changed()
        if not self._endpoint.listens:
            self.problem = ''
            return
        if where is None:
            self._complain(f'interface {self._interface} has no usable IPv6 address'
                           if self._interface else 'the data link names no interface')
            return
        await self._open_sockets(where)

    async def _open_sockets(self, where: LinkAddress) -> None:
        sockets = self._sockets or _Sockets(where)
        self._sockets = sockets
        wanted = self._wanted()
        changed = sockets.discovery is None
        for security in set(sockets.servers) - wanted:
            sockets.servers.pop(security).close()
            changed = True
        for security in wanted - set(sockets.servers):
            server, _ = await listen(where, functools.partial(Wire, self, security))
            if self._sockets is not sockets:
                server.close()
                return
            sockets.servers[security] = server
            changed = True
        if sockets.discovery is None:
            sockets.discovery = SdpSocket(
                where, self._settings.sdp_port, self._endpoint.discover,
                self._endpoint.drop_datagram)
        self.problem = ''
        if changed:
            self._endpoint.listening(sdp.Listeners(where.address, self.ports))
            self._events.changed()

    def _wanted(self) -> set[SdpSecurity]:
        wanted = set()
        if self._settings.policy.plain:
            wanted.add(SdpSecurity.NONE)
        if self._settings.policy.tls and self._tls is not None:
            wanted.add(SdpSecurity.TLS)
        return wanted

    def _complain(self, problem: str) -> None:
        if problem != self.problem:
            self.problem = problem
            self._events.changed()

    def _close_sockets(self) -> None:
        sockets, self._sockets = self._sockets, None
        if sockets is not None:
            sockets.close()
            self._endpoint.listening(None)

    def _active(self, connection_id: int) -> Wire | None:
        """Return the active connection's wire if it has that number."""
        connection = self._endpoint.connection
        if connection is None or connection_id != self._endpoint.connection_id:
            return None
        return self._wires[connection]

    def _abort(self, reason: CloseReason, why: str) -> None:
        """End all connections for a reason from outside."""
        self._reset(self._endpoint.give_up())
        for wire in list(self._wires.values()):
            wire.abort(reason, why)

    def _reset(self, connections: Iterable[Connection]) -> None:
        """Reset connections that have been given up."""
        for connection in connections:
            self._wires.pop(connection).reset()

    def _schedule(self) -> None:
        """Call the endpoint's tick when it is due."""
        if self._timer is not None:
            self._timer.cancel()
        due = self._endpoint.deadline()
        self._timer = None if due is None else self._loop.call_at(due, self._tick)

    def _tick(self) -> None:
        if self._endpoint.tick(self._loop.time()):
            self._wake.set()
            self._events.changed()
        self._schedule()

    # What a wire calls.

    def accept(
        self, wire: Wire, offered: SdpSecurity, host: str, port: int, scope: int,
    ) -> Connection | None:
        """Let a new socket wait with its first request; None if it is not welcome."""
        sockets = self._sockets
        if sockets is None or not sockets.where.reaches(host, scope):
            self._endpoint.reject_connection()
            return None
        make_channel = self._tls if offered is SdpSecurity.TLS else PlainChannel
        too_much = offered is SdpSecurity.TLS and len(self._work) >= _MOST_WORK
        if make_channel is None or too_much or not self._endpoint.may_connect():
            self._endpoint.reject_connection()
            return None
        self._reset(self._endpoint.make_room())
        zone = f'%{sockets.where.interface}' if scope else ''
        peer = Peer(host.partition('%')[0] + zone, port)
        connection = self._endpoint.connect(self._loop.time(), make_channel(), peer)
        self._wires[connection] = wire
        return connection

    def begin(self, work: Callable[[], None], done: Callable[[], None]) -> None:
        """Run a step of a handshake beside the loop, then call `done`."""

        def ended(future: asyncio.Future[None]) -> None:
            self._work.discard(future)
            future.result()
            done()

        future = aside(work)
        self._work.add(future)
        future.add_done_callback(ended)

    def deliver(self, connection: Connection, request: Deliver) -> None:
        """Hand a request on; the first one makes its connection the active one."""
        if connection is not self._endpoint.connection:
            self._reset(self._endpoint.begin(connection))
            self._schedule()
            self._events.changed()
        self._events.request(self._endpoint.connection_id, request)

    def ended(self, connection: Connection) -> None:
        """Tell that a connection has ended."""
        del self._wires[connection]
        self._endpoint.closed(self._loop.time(), connection)
        self._schedule()
        self._wake.set()
        self._events.changed()
