"""A contactor: coil, main contact, mirror contact, and how they fail."""

from __future__ import annotations

from dataclasses import dataclass

#: From coil on to main contact closed, and from coil off to open, in s.
CLOSE_DELAY = 0.020
OPEN_DELAY = 0.012


@dataclass
class Contactor:
    """One pole.

    The mirror contact is mechanically linked to the main contact: it tells the truth about it
    unless it fails itself (`mirror_stuck`).
    """

    coil: bool = False
    """The coil is driven."""
    closed: bool = False
    """The main contact conducts."""
    welded: bool = False
    """A closed contact cannot open any more; set on an open one, it closes for good."""
    blocked: bool = False
    """An open contact cannot close any more."""
    dropped: bool = False
    """The coil has no current, whatever it is told: a broken wire."""
    mirror_stuck: bool | None = None
    """The mirror contact says this, whatever the main contact does; None = it works."""
    cycles: int = 0
    """Closings so far."""
    _moving: float = 0.0

    @property
    def feedback(self) -> bool:
        """Return what the mirror contact says: True = closed."""
        return self.closed if self.mirror_stuck is None else self.mirror_stuck

    def step(self, duration: float) -> bool:
        """Let `duration` s pass; return True if the main contact has moved."""
        pulled = self.coil and not self.dropped and not (self.blocked and not self.closed)
        wanted = self.welded or pulled
        if wanted == self.closed:
            self._moving = 0.0
            return False
        self._moving += duration
        delay = CLOSE_DELAY if wanted else OPEN_DELAY
        if not self.welded and self._moving < delay - 1e-9:
            return False
        self._moving = 0.0
        self.closed = wanted
        self.cycles += wanted
        return True
