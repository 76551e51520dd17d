"""The car's connection to the station: V2GTP messages over TCP, with TLS where it is asked for."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import cast

from ccs2_link.transport.sockets import reset_on_close, tune
from ccs2_link.transport.v2gtp import Framer, FramingError, Message
from ccs2_sim.car.sdp import Endpoint

#: How long the connection may take to be made, TLS handshake included, in s.
CONNECT_TIMEOUT = 15.0
#: How long the car waits for the station's end of the connection when it has closed its own, s.
CLOSE_TIMEOUT = 5.0


class Link(asyncio.Protocol):
    """One connection. Times are those of the running loop's clock."""

    def __init__(
        self, on_message: Callable[[float, Message], None], on_lost: Callable[[str], None],
    ) -> None:
        self._on_message = on_message
        self._on_lost = on_lost
        self._framer = Framer()
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        #: Set when the connection has ended, whoever ended it.
        self.ended = asyncio.Event()

    @classmethod
    async def connect(
        cls, endpoint: Endpoint, tls: ssl.SSLContext | None,
        on_message: Callable[[float, Message], None], on_lost: Callable[[str], None],
    ) -> Link:
        """Connect; raise ``OSError`` (``ssl.SSLError`` is one) or ``TimeoutError``."""
        loop = asyncio.get_running_loop()
        raw = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
        try:
            raw.setblocking(False)
            tune(raw)
            async with asyncio.timeout(CONNECT_TIMEOUT):
                await loop.sock_connect(raw, endpoint.socket_address)
                _, link = await loop.create_connection(
                    lambda: cls(on_message, on_lost), sock=raw, ssl=tls,
                    server_hostname='' if tls is not None else None)
        except BaseException:
            raw.close()
            raise
        return link

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Take octets and hand over the messages they complete."""
        now = self._loop.time()
        self._framer.feed(data)
        try:
            while (message := self._framer.next()) is not None:
                self._on_message(now, message)
        except FramingError as error:
            self._lose(str(error))

    def eof_received(self) -> bool:
        """Take the station's end of the connection."""
        self._lose('the station has closed the connection')
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """Take note that the connection is gone."""
        self._lose(f'connection lost: {error}' if error else 'connection closed')

    def send(self, data: bytes) -> float:
        """Send octets; return when they were handed to the kernel."""
        # Before, not after: the station may run on this very core as soon as it has them.
        now = self._loop.time()
        if self._transport is not None:
            self._transport.write(data)
        return now

    async def close(self) -> None:
        """End the connection with FIN and wait for the station's end of it."""
        if self._transport is None:
            return
        if not self.ended.is_set() and self._transport.can_write_eof():
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

    def _lose(self, text: str) -> None:
        if not self.ended.is_set():
            self.ended.set()
            self._on_lost(text)
