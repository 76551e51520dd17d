"""A frame on a CAN bus."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Frame:
    """A CAN data frame."""

    identifier: int
    data: bytes
    extended: bool = True
    """The identifier has 29 bits, not 11."""
