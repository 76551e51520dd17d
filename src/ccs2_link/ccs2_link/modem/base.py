"""What all modem drivers share: their callbacks, their tasks, and that no failure goes unseen."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any


def _ignore(_: object) -> None:
    """Stand in until the owner has said whom to call."""


class DriverBase:
    """Base of the drivers; see `ccs2_link.modem.contract.Modem` for the callbacks."""

    def __init__(self, interface: str, mac: bytes = b'') -> None:
        """Name the interface that carries IPv6 and the station's address on the line."""
        self.on_frame: Callable[[bytes], None] = _ignore
        self.on_ready: Callable[[bool], None] = _ignore
        self.on_failure: Callable[[Exception], None] = _ignore
        self._interface = interface
        self._mac = mac
        self._ready = False
        self._tasks: list[asyncio.Task[None]] = []
        self._readers: list[int] = []

    @property
    def mac(self) -> bytes:
        """The station's address on the line, the interface's too."""
        return self._mac

    @property
    def interface(self) -> str:
        """The interface that carries IPv6."""
        return self._interface

    def _tell(self, ready: bool) -> None:
        """Report a change of being usable."""
        if ready != self._ready:
            self._ready = ready
            self.on_ready(ready)

    def _start(self, job: Coroutine[Any, Any, None]) -> None:
        """Run a job until the driver is closed."""

        async def reported() -> None:
            try:
                await job
            except Exception as error:
                self.on_failure(error)

        self._tasks.append(asyncio.get_running_loop().create_task(reported()))

    def read_with(self, descriptor: int, callback: Callable[[], None]) -> None:
        """Call back whenever the descriptor is readable, until the driver is closed."""

        def reported() -> None:
            try:
                callback()
            except Exception as error:
                self.on_failure(error)

        asyncio.get_running_loop().add_reader(descriptor, reported)
        self._readers.append(descriptor)

    def stop_reading(self, descriptor: int) -> None:
        """Call back no more."""
        if descriptor in self._readers:
            self._readers.remove(descriptor)
            asyncio.get_running_loop().remove_reader(descriptor)

    async def _stop(self) -> None:
        """End all jobs and readers."""
        self._ready = False
        for descriptor in list(self._readers):
            self.stop_reading(descriptor)
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
