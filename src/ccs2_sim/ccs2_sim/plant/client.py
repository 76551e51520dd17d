"""The other end of the plant's socket: a device as seen by a driver or by the car."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import Any

from ccs2_sim.plant.wire import Decoder, Object, WireError, default_socket, encode

#: An unchanged command is repeated after this many s, as long as it is given.
REFRESH = 0.05
#: After a loss the connection is tried again every this many s.
RETRY = 0.2


class PlantError(Exception):
    """The plant cannot be reached or refuses; the text says which plant and why."""


class PlantRefusal(PlantError):
    """The plant is there, but does not let this client in: e.g. the device has one already."""


class PlantClient:
    """One device's connection; it comes back by itself.

    Everything runs on the asyncio loop that :meth:`open` is called on; no method blocks.
    """

    def __init__(self, device: str, on_report: Callable[[Object], None] | None = None) -> None:
        self.device = device
        #: The newest report, None before the first one. It stays when the connection is lost.
        self.report: Object | None = None
        #: What is wrong with the connection, '' if nothing.
        self.problem = 'not open'
        self._on_report = on_report
        self._path = ''
        self._transport: asyncio.Transport | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._first_report = asyncio.Event()
        self._refused = False
        self._sent: Mapping[str, Any] | None = None
        self._sent_at = 0.0

    async def open(self, path: str = '', patience: float = 3.0) -> None:
        """Connect and wait for the first report, `patience` s at most.

        Raise :class:`PlantRefusal` if the plant refuses, :class:`PlantError` if there is none.
        """
        self._path = path or default_socket()
        self._first_report.clear()
        self._refused = False
        self._keeper = asyncio.create_task(self._keep())
        try:
            await asyncio.wait_for(self._first_report.wait(), patience)
        except TimeoutError:
            kind = PlantRefusal if self._refused else PlantError
            problem = self.problem
            await self.close()
            raise kind(f'{self.device} on {self._path}: {problem}') from None

    async def close(self) -> None:
        """Cut the connection: the plant brings the device to its safe state."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await keeper
        self.lose('')
        self.problem = 'not open'

    def command(self, **content: Any) -> None:
        """Hand over the newest wish; repeated calls with the same content cost nothing much."""
        now = asyncio.get_running_loop().time()
        if self._transport is not None and (
                content != self._sent or now - self._sent_at >= REFRESH):
            self._sent, self._sent_at = content, now
            self._transport.write(encode(content))

    def connected(self, transport: asyncio.Transport) -> None:
        """Introduce the client on a new connection."""
        self._transport, self._sent = transport, None
        transport.write(encode({'device': self.device}))

    def received(self, content: Object) -> None:
        """Take one object from the plant."""
        if 'error' in content:
            self._refused = True
            self.lose(str(content['error']))
        elif 'stamp' in content:
            self.problem = ''
            self.report = content
            self._first_report.set()
            if self._on_report is not None:
                self._on_report(content)

    def lose(self, problem: str) -> None:
        """Give the connection up because of `problem`."""
        transport, self._transport = self._transport, None
        if transport is not None:
            self.problem = problem
            transport.abort()

    async def _keep(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            if self._transport is None:
                try:
                    await loop.create_unix_connection(lambda: _Link(self), self._path)
                except OSError as error:
                    self.problem = f'no plant: {error.strerror}'
            await asyncio.sleep(RETRY)


class _Link(asyncio.Protocol):
    """One connection of a client."""

    def __init__(self, client: PlantClient) -> None:
        self._client = client
        self._decoder = Decoder()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - a Unix stream always is
        self._client.connected(transport)

    def data_received(self, data: bytes) -> None:
        try:
            for content in self._decoder.feed(data):
                self._client.received(content)
        except WireError as error:
            self._client.lose(str(error))

    def connection_lost(self, error: Exception | None) -> None:
        self._client.lose('connection to the plant lost')
