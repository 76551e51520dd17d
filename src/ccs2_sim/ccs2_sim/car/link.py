"""The car's connection to the station: V2GTP messages over TCP, with TLS where it is asked for."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import cast

from ccs2_link.transport.channel import Channel, ChannelError, PlainChannel
from ccs2_link.transport.sockets import reset_on_close, tune
from ccs2_link.transport.v2gtp import Framer, FramingError, Message
from ccs2_sim.car.sdp import Endpoint
from ccs2_sim.car.tls import CarChannel, TlsSettings

#: How long the connection may take to be made, TLS handshake included, in s.
CONNECT_TIMEOUT = 15.0
#: How long the car waits for the station's end of the connection when it has closed its own, s.
CLOSE_TIMEOUT = 5.0


class Link(asyncio.Protocol):
    """One connection. Times are those of the running loop's clock."""

    def __init__(
        self, channel: Channel, on_message: Callable[[float, Message], None],
        on_lost: Callable[[str], None],
    ) -> None:
        self.channel = channel
        self._on_message = on_message
        self._on_lost = on_lost
        self._framer = Framer()
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._ready: asyncio.Future[None] = self._loop.create_future()
        #: Set when the connection has ended, whoever ended it.
        self.ended = asyncio.Event()

    @classmethod
    async def connect(
        cls, endpoint: Endpoint, tls: TlsSettings | None,
        on_message: Callable[[float, Message], None], on_lost: Callable[[str], None],
    ) -> Link:
        """Connect; raise ``OSError``, ``TimeoutError`` or ``ChannelError``."""
        loop = asyncio.get_running_loop()
        channel = PlainChannel() if tls is None else CarChannel(tls)
        raw = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
        link: Link | None = None
        try:
            raw.setblocking(False)
            tune(raw)
            async with asyncio.timeout(CONNECT_TIMEOUT):
                await loop.sock_connect(raw, endpoint.socket_address)
                _, link = await loop.create_connection(
                    lambda: cls(channel, on_message, on_lost), sock=raw)
                await link._ready
        except BaseException as error:
            if link is not None and link._transport is not None:
                link._transport.close()
            raw.close()
            if isinstance(error, TimeoutError) and not error.args:
                raise TimeoutError(f'not within {CONNECT_TIMEOUT:g} s') from None
            raise
        return link

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, and begin the TLS handshake if there is one."""
        self._transport = cast(asyncio.Transport, transport)
        self.data_received(b'')

    def data_received(self, data: bytes) -> None:
        """Take octets and hand over the messages they complete."""
        now = self._loop.time()
        try:
            self._framer.feed(self.channel.receive(data))
            self._flush()
            while (message := self._framer.next()) is not None:
                self._on_message(now, message)
        except (ChannelError, FramingError) as error:
            self._flush()       # the alert that says why
            self._lose(str(error))
            return
        if self.channel.ready and not self._ready.done():
            self._ready.set_result(None)
        if self.channel.peer_closed:
            self._lose('the station has closed TLS')

    def eof_received(self) -> bool:
        """Take the station's end of the connection."""
        self._lose(self.channel.truncation() or 'the station has closed the connection')
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """Take note that the connection is gone."""
        self._lose(f'connection lost: {error}' if error else 'connection closed')

    def send(self, data: bytes) -> float:
        """Send octets; return when they were handed to the kernel."""
        # What cannot be encrypted any more is lost as what cannot be sent any more.
        with contextlib.suppress(ChannelError):
            self.channel.send(data)
        # Not after it: the kernel may let the receiver run first.
        handed_over = self._loop.time()
        self._flush()
        return handed_over

    async def close(self) -> None:
        """End the connection with FIN and wait for the station's end of it."""
        if self._transport is None:
            return
        if not self.ended.is_set() and self._transport.can_write_eof():
            self.channel.close()
            self._flush()
            self._transport.write_eof()
            try:
                async with asyncio.timeout(CLOSE_TIMEOUT):
                    await self.ended.wait()
            except TimeoutError:
                self._transport.abort()
        self._transport.close()

    def reset(self) -> None:
        """End the connection with RST, as a car whose modem has lost its power."""
        if self._transport is not None:
            raw = self._transport.get_extra_info('socket')
            # asyncio's wrapper of the socket: only setsockopt is needed, and it has it.
            reset_on_close(raw)
            self._transport.abort()

    def _flush(self) -> None:
        data = self.channel.outgoing()
        if data and self._transport is not None:
            self._transport.write(data)

    def _lose(self, text: str) -> None:
        if not self._ready.done():
            self._ready.set_exception(ChannelError(text))
            self.ended.set()
        if not self.ended.is_set():
            self.ended.set()
            self._on_lost(text)
