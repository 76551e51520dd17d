"""A Unix socket to emulated hardware: one client per device, any number of control clients."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from ccs2_sim.physics import WorldRating
from ccs2_sim.plant import faults
from ccs2_sim.plant.core import PlantCore
from ccs2_sim.plant.devices import CommandError
from ccs2_sim.plant.wire import Decoder, Object, WireError, encode

#: How often the world is brought up to date, s.
TICK = 0.01
#: What a client has not read, in octets, before it is cut off: it is dead or stopped.
MOST_UNREAD = 256 * 1024
#: Name under which a control client introduces itself.
CONTROL = 'control'

logger = logging.getLogger(__name__)


class Core(Protocol):
    """What is behind the socket; every method gets the time in s of the loop."""

    def attach(self, name: str, now: float) -> Any:
        """Connect a client to a device; raise :class:`CommandError` if it cannot be had."""

    def detach(self, name: str, now: float) -> None:
        """Take note that a device's client is gone."""

    def command(self, name: str, content: Object, now: float) -> None:
        """Apply a client's command; raise :class:`CommandError` for one that makes no sense."""

    def advance(self, now: float) -> None:
        """Bring everything up to `now`."""

    def reports(self, now: float) -> list[tuple[str, Object]]:
        """Return the reports that are due now, by device name."""

    def state(self) -> Object:
        """Return everything there is to know, for people."""


C = TypeVar('C', bound=Core)


class DeviceServer(Generic[C]):
    """Runs a :class:`Core` in real time behind a socket."""

    def __init__(self, path: str, core: C) -> None:
        self.path = Path(path)
        self._loop = asyncio.get_running_loop()
        self.core = core
        #: Longest time between two ticks, s: when it is much more than :data:`TICK`, the machine
        #: is too busy, and a station that misses measurements is right.
        self.longest_pause = 0.0
        self._clients: dict[str, _Connection] = {}
        #: Runs the core while the socket is open; ends by itself only by an error.
        self.stepping: asyncio.Task[None] | None = None
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Listen; raise ``OSError`` if the socket cannot be made or somebody else listens there."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.path.is_socket():
            await self._clear_stale()
        previous = os.umask(0o177)
        try:
            self._server = await self._loop.create_unix_server(
                lambda: _Connection(self), str(self.path))
        finally:
            os.umask(previous)
        self.stepping = self._loop.create_task(self._step())

    async def close(self) -> None:
        """Stop the world and cut off everybody."""
        if self.stepping is not None:
            self.stepping.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self.stepping
        if self._server is not None:
            self._server.close()
            for client in list(self._clients.values()):
                client.transport.abort()
            self.path.unlink(missing_ok=True)

    def attach(self, name: str, client: _Connection) -> None:
        """Connect a client to a device; raise :class:`CommandError` if it cannot be had."""
        self.core.attach(name, self._loop.time())
        self._clients[name] = client

    def detach(self, name: str) -> None:
        """Take note that a client is gone."""
        del self._clients[name]
        self.core.detach(name, self._loop.time())

    def command(self, name: str, content: Object) -> None:
        """Apply a device client's command."""
        self.core.command(name, content, self._loop.time())

    def control(self, content: Object) -> Object:
        """Answer a control client: ``{}`` asks for the state."""
        self.core.advance(self._loop.time())
        return {'ok': True, 'state': self.state()}

    def state(self) -> Object:
        """Return everything there is to know, for people."""
        return {**self.core.state(), 'longest_pause': self.longest_pause}

    async def _clear_stale(self) -> None:
        try:
            _, writer = await asyncio.open_unix_connection(str(self.path))
        except ConnectionError:
            self.path.unlink()
        else:
            writer.close()
            raise OSError(f'another server listens on {self.path}')

    async def _step(self) -> None:
        due = before = self._loop.time()
        while True:
            now = self._loop.time()
            self.longest_pause, before = max(self.longest_pause, now - before), now
            for name, report in self.core.reports(now):
                self._clients[name].send(report)
            due = max(due + TICK, now)
            await asyncio.sleep(due - now)


class PlantServer(DeviceServer[PlantCore]):
    """The physical world of one connector behind a socket."""

    def __init__(self, path: str, rating: WorldRating | None = None) -> None:
        super().__init__(path, PlantCore(asyncio.get_running_loop().time(), rating))

    def control(self, content: Object) -> Object:
        """Answer a control client.

        ``{"put" or "clear": FAULT, "argument": TEXT}``, ``{}`` for the state alone, or
        ``{"since": TIME}`` (s of the monotonic clock) for what has happened from then on, too.
        """
        self.core.advance(self._loop.time())
        argument = content.get('argument', '')
        actions: dict[str, Callable[[PlantCore, str, str], None]] = {
            'put': faults.put, 'clear': faults.clear}
        for action, change in actions.items():
            if action in content:
                if not isinstance(content[action], str) or not isinstance(argument, str):
                    raise CommandError('fault and argument have to be text')
                change(self.core, content[action], argument)
        answer = super().control(content)
        if (since := content.get('since')) is not None:
            if isinstance(since, bool) or not isinstance(since, int | float):
                raise CommandError(f'since is {since!r}, not a time')
            answer['events'] = [[event.time, event.what, event.value]
                                for event in self.core.chronicle.since(since)]
        return answer


class _Connection(asyncio.Protocol):
    """One client."""

    transport: asyncio.Transport

    def __init__(self, server: DeviceServer[Any]) -> None:
        self._server = server
        self._decoder = Decoder()
        #: Device, or CONTROL, or '' before the introduction.
        self._device = ''

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - a Unix stream always is
        self.transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        if self._device not in ('', CONTROL):
            logger.info('%s: client gone', self._device)
            self._server.detach(self._device)

    def data_received(self, data: bytes) -> None:
        try:
            for content in self._decoder.feed(data):
                self._take(content)
        except (WireError, CommandError) as error:
            logger.warning('%s: %s', self._device or 'client', error)
            self.send({'error': str(error)})
            self.transport.close()

    def send(self, content: Object) -> None:
        """Send an object, or cut off a client that does not read."""
        if self.transport.get_write_buffer_size() > MOST_UNREAD:
            self.transport.abort()
        else:
            self.transport.write(encode(content))

    def _take(self, content: Object) -> None:
        if self._device == CONTROL:
            try:
                self.send(self._server.control(content))
            except CommandError as error:
                self.send({'error': str(error)})
        elif self._device:
            self._server.command(self._device, content)
        else:
            name = content.get('device')
            if not isinstance(name, str):
                raise CommandError('the first object has to name a device')
            if name != CONTROL:
                self._server.attach(name, self)
                logger.info('%s: client connected', name)
            self._device = name
            self.send({'ok': True})
