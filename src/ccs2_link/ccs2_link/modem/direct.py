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
        super().__init__(interface)
        self._changes = 0

    async def open(self) -> None:
        """Start to watch the interface; raise ModemError if it does not exist."""
        if interface_info.index_of(self._interface) == 0:
            raise ModemError(f'network interface {self._interface!r} does not exist')
        self._mac = interface_info.mac_of(self._interface)
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

    async def _watch(self) -> None:
        while True:
            running = interface_info.is_running(self._interface)
            self._changes += running != self._ready
            self._tell(running)
            await asyncio.sleep(POLL_PERIOD)
