"""What the driver needs of a line to an I/O controller."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

#: Takes type and content of a frame that has come.
Heard = Callable[[int, bytes], None]


class Line(Protocol):
    """A line; open, send and close raise :class:`OSError` for what the line cannot do."""

    name: str
    """For messages."""

    @property
    def problem(self) -> str:
        """What has gone wrong while nothing was asked of the line; '' if nothing."""

    def open(self) -> None:
        """Open the line; raise :class:`DriverError` if a Python package is missing."""

    def send(self, frame_type: int, content: bytes = b'') -> None:
        """Send one frame."""

    def close(self) -> None:
        """Give the line back."""
