"""Ranges of modules whose two stages are either in series or in parallel.

In parallel they give twice the current, up to a lower voltage. They may be switched only while the
output is off, with a pause before and after.
"""

from __future__ import annotations

import math
from enum import Enum

from ccs2_power.can.protocol import Ranges, Write


class RangePolicy(Enum):
    """Who decides on the range."""

    LOW = 'low'
    HIGH = 'high'
    AUTO = 'auto'
    """What the vehicle will need at most, as the command says while it is off."""


class RangeSwitch:
    """Decides which range the modules are told, and whether they may be on."""

    def __init__(self, ranges: Ranges, policy: RangePolicy) -> None:
        self._ranges, self._policy = ranges, policy
        self._low = policy is RangePolicy.LOW
        #: No vehicle has said yet what it will need: it may choose either range.
        self._undecided = policy is RangePolicy.AUTO
        self._told: bool | None = None
        self._told_at = self._off_since = math.inf

    def step(self, on: bool, voltage: float, now: float) -> bool:
        """Take the command as it is now; return whether the modules may be on."""
        if self._policy is RangePolicy.AUTO:
            self._undecided = not on and voltage == 0.0
            if not on and not self._undecided:
                self._low = voltage <= self._ranges.highest_of_low
        ready = self._told is self._low and now - self._told_at >= self._ranges.pause
        if on and ready:
            self._off_since = math.inf
            return True
        self._off_since = min(self._off_since, now)
        if self._told is not self._low and now - self._off_since >= self._ranges.pause:
            self._told, self._told_at = self._low, now
        return False

    @property
    def write(self) -> Write | None:
        """What the modules are told while they are off; None as long as it is too early."""
        if self._told is None:
            return None
        return self._ranges.low if self._told else self._ranges.high

    @property
    def highest_voltage(self) -> float:
        """The highest voltage in V that the range allows, or the one that can still be chosen."""
        return self._ranges.highest_of_low if self._low and not self._undecided else math.inf
