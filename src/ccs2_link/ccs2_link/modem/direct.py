"""No modem at all: an IP interface is the link (simulation, or a bench with plain Ethernet)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from ccs2_link.modem import interface_info
from ccs2_link.modem.base import DriverBase
from ccs2_link.modem.contract import ModemError

POLL_PERIOD = 0.2


class DirectModem(DriverBase):
    """Watches that an IP interface is there and has a carrier; sends and receives nothing."""

    def __init__(self, interface: str) -> None:
        """Take the interface's name, e.g. `lo` or `eth0`."""
        super().__init__()
        self._interface = interface
        self._ready: bool | None = None
        self._changes = 0

    @property
    def mac(self) -> bytes:
        """The interface's own address."""
        return interface_info.mac_of(self._interface)

    @property
    def interface(self) -> str:
        """The interface's name."""
        return self._interface

    async def open(self) -> None:
        """Start to watch the interface; raise ModemError if it does not exist."""
        if interface_info.index_of(self._interface) == 0:
            raise ModemError(f'network interface {self._interface!r} does not exist')
        self._start(self._watch())

    def send(self, frame: bytes) -> None:
        """Drop the frame: there is no modem."""

    def set_link(self, up: bool) -> None:
        """Leave the interface as it is: it belongs to the host."""

    def reset(self) -> None:
        """Report the interface as gone, and as back when it is seen again."""
        self._tell(False)

    def counters(self) -> Mapping[str, int]:
        """Return how often the interface came or went."""
        return {'interface changes': self._changes}

    async def close(self) -> None:
        """Stop watching."""
        await self._stop()
        self._ready = None

    async def _watch(self) -> None:
        while True:
            self._tell(interface_info.is_running(self._interface))
            await asyncio.sleep(POLL_PERIOD)

    def _tell(self, ready: bool) -> None:
        if ready != self._ready:
            self._ready = ready
            self._changes += 1
            self.on_ready(ready)
