"""The levels of the control pilot in samples that know nothing of its phase.

At 5 % the high phase lasts 50 us of each ms, so 95 % of the samples lie on the low plateau, a few
on the edges. Sorted by voltage, the plateaus are the middles of what lies above and below the
centre; spikes of up to 1 % of the samples are at the ends, and ignored.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass

from ccs2_power.hal import DUTY_OFF, DUTY_STEADY_HIGH

#: Levels closer than this are one level with noise, in V. The closest two, D and -12 V, are 14 V
#: apart; a missing diode brings them to 6 V.
SWING = 2.0
#: Samples so far from the middle of a plateau belong to an edge, in V.
PLATEAU = 0.5
#: A steady level within this of 0 V is a short circuit or a dead supply, in V.
ZERO = 1.5
#: This share of the samples at either end may be spikes.
SPIKES = 0.01


@dataclass(frozen=True, slots=True)
class Plateaus:
    """What samples over some periods say."""

    high: float | None
    """V, high phase or positive steady level; None if there is none."""
    low: float | None
    """V, low phase or negative steady level; None if there is none."""
    duty: float | None
    """Share of the high phase; None where the levels do not tell (steady at 0 V)."""


def plateaus(volts: Iterable[float]) -> Plateaus:
    """Return the plateaus of at least 100 samples in V that cover some whole periods."""
    ordered = sorted(volts)
    spikes = int(len(ordered) * SPIKES)
    lowest, highest = ordered[spikes], ordered[-1 - spikes]
    if highest - lowest < SWING:
        level = _plateau(ordered)
        if level >= ZERO:
            return Plateaus(level, None, DUTY_STEADY_HIGH)
        if level <= -ZERO:
            return Plateaus(None, level, DUTY_OFF)
        return Plateaus(level, level, None)
    cut = bisect_left(ordered, (lowest + highest) / 2.0)
    return Plateaus(
        _plateau(ordered[cut:]), _plateau(ordered[:cut]), 1.0 - cut / len(ordered))


def _plateau(ordered: list[float]) -> float:
    """Return the mean of the samples around the median."""
    middle = ordered[len(ordered) // 2]
    on_it = ordered[bisect_left(ordered, middle - PLATEAU):bisect_right(ordered, middle + PLATEAU)]
    return sum(on_it) / len(on_it)
