"""One accepted TCP socket: carries octets between the kernel and a connection's core."""

from __future__ import annotations

import asyncio
import functools
import socket
from collections.abc import Callable
from typing import Protocol, cast

from ccs2_link.transport.connection import (
    Close,
    CloseReason,
    Connection,
    Deliver,
    Finish,
    Output,
    Response,
    Work,
    Write,
)
from ccs2_link.transport.sdp import SdpSecurity
from ccs2_link.transport.sockets import reset_on_close, tune


class Owner(Protocol):
    """Who decides about new sockets and hears what happens on the one that was taken."""

    def accept(self, wire: Wire, offered: SdpSecurity, host: str, port: int, scope: int,
               ) -> Connection | None:
        """Return the core for a new socket, None if it is not welcome."""

    def begin(self, work: Callable[[], None], done: Callable[[], None]) -> None:
        """Run `work` beside the loop, then call `done` on it."""

    def deliver(self, connection: Connection, request: Deliver) -> None:
        """Take a request."""

    def ended(self, connection: Connection) -> None:
        """Take note that the connection has ended."""


class Wire(asyncio.Protocol):
    """Feeds the core with what the socket says, and does to the socket what the core says."""

    def __init__(self, owner: Owner, offered: SdpSecurity) -> None:
        self._owner = owner
        self._offered = offered
        self._loop = asyncio.get_running_loop()
        self._connection: Connection | None = None
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the socket, or reset it at once if it is not welcome."""
        stream = cast(asyncio.Transport, transport)
        raw: socket.socket = stream.get_extra_info('socket')
        host, port, _, scope = stream.get_extra_info('peername') or ('', 0, 0, 0)
        self._connection = self._owner.accept(self, self._offered, host, port, scope)
        if self._connection is None:
            reset_on_close(raw)
            stream.abort()
            return
        self._transport = stream
        tune(raw)
        # One write per message, and word of every octet that the vehicle does not take.
        stream.set_write_buffer_limits(high=0)
        self._schedule()

    def data_received(self, data: bytes) -> None:
        """Take octets; none when work has been done."""
        if self._connection is not None:
            self._do(self._connection.received(self._loop.time(), data))

    def eof_received(self) -> bool:
        """Take FIN; the core decides when to close."""
        if self._connection is not None:
            self._do(self._connection.peer_finished(self._loop.time()))
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """Take note that the socket is gone."""
        if self._connection is not None:
            self._do(self._connection.lost(
                self._loop.time(), str(exc) if exc else 'connection lost'))

    def pause_writing(self) -> None:
        """Start the write deadline: the vehicle does not take all that was sent."""
        self._blocked(True)

    def resume_writing(self) -> None:
        """Stop the write deadline: the vehicle has taken all that was sent."""
        self._blocked(False)

    def respond(self, response: Response) -> bool:
        """Do what the session asks; tell whether it answered the present request."""
        if self._connection is None:
            return False
        ignored = self._connection.ignored_responses
        self._do(self._connection.respond(self._loop.time(), response))
        return self._connection.ignored_responses == ignored

    def abort(self, reason: CloseReason, why: str) -> None:
        """End the connection at once for a reason from outside."""
        if self._connection is not None:
            self._do(self._connection.abort(self._loop.time(), reason, why))

    def reset(self) -> None:
        """Reset the connection: it is not wanted any more."""
        self._connection = None
        transport, self._transport = self._transport, None
        if transport is not None:
            reset_on_close(transport.get_extra_info('socket'))
            transport.abort()
        self._schedule()

    def _blocked(self, blocked: bool) -> None:
        if self._connection is not None:
            self._do(self._connection.blocked(self._loop.time(), blocked))

    def _tick(self) -> None:
        if self._connection is not None:
            self._do(self._connection.tick(self._loop.time()))

    def _do(self, outputs: list[Output]) -> None:
        """Carry out what the core says, then wait for its next deadline."""
        for output in outputs:
            if self._transport is None or self._connection is None:
                return
            match output:
                case Write(data):
                    self._transport.write(data)
                case Work(run):
                    self._owner.begin(run, functools.partial(self.data_received, b''))
                case Deliver():
                    self._owner.deliver(self._connection, output)
                case Finish():
                    self._transport.write_eof()
                case Close():
                    self._transport.abort()
                    self._transport = None
                    self._owner.ended(self._connection)
        self._schedule()

    def _schedule(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        due = self._connection.deadline() if self._connection is not None else None
        self._timer = None if due is None else self._loop.call_at(due, self._tick)
