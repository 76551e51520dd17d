"""A resistance in a divider, as it is measured by an ADC."""

from __future__ import annotations

import math
from dataclasses import dataclass

#: At more than this share of the supply the resistance is open.
OPEN = 0.98


@dataclass(frozen=True, slots=True)
class Divider:
    """A resistance to earth, pulled up to a supply; the voltage across it is measured."""

    supply: float
    """V."""
    pull_up: float
    """Ohm."""

    def resistance(self, volts: float) -> float:
        """Return the resistance in ohm, infinite if it is open."""
        volts = max(volts, 0.0)
        if volts >= OPEN * self.supply:
            return math.inf
        return self.pull_up * volts / (self.supply - volts)
