"""What a modem driver is: one way onto the power line, behind one small protocol."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol


class ModemError(Exception):
    """A modem, or the interface to it, cannot be used; the text says which and why."""


class Modem(Protocol):
    """One way onto the power line. All calls come from, and all callbacks go to, one event loop.

    The driver calls `on_frame` with each management frame (EtherType 0x88E1) and `on_ready` when
    the modem has become usable or stopped being so; neither before `open` has returned. With
    `on_failure` it gives up for good. IPv6 frames it exchanges with the kernel.
    """

    on_frame: Callable[[bytes], None]
    on_ready: Callable[[bool], None]
    on_failure: Callable[[Exception], None]

    @property
    def mac(self) -> bytes:
        """The station's MAC address on the line, valid after `open`."""

    @property
    def interface(self) -> str:
        """Name of the Linux interface that carries IPv6 to the car, '' if there is none."""

    async def open(self) -> None:
        """Take the modem; raise ModemError naming what is missing."""

    def send(self, frame: bytes) -> None:
        """Send one management frame; frames that cannot be sent are counted and dropped."""

    def set_link(self, up: bool) -> None:
        """Open or close the way for IPv6, as the link is matched or not."""

    def reset(self) -> None:
        """Restart the modem; `on_ready` tells when it is gone and when it is back."""

    def counters(self) -> Mapping[str, int]:
        """Return counters for diagnostics, by name; they only rise."""

    async def close(self) -> None:
        """Give the modem back; harmless when it was not opened."""
