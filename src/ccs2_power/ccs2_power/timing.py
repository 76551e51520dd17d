"""What is fresh, and what has lasted: the two questions of every supervision, without a clock."""

from __future__ import annotations

import math

from ccs2_power.hal import Measurement

#: A stamp may lie this far in the future (rounding between clocks), in s.
STAMP_SLACK = 0.05


def fresh(measurement: Measurement[float] | None, now: float, age: float) -> float | None:
    """Return the value if it was taken within the last `age` s and is a number, else None."""
    if measurement is None or math.isnan(measurement.value):
        return None
    return measurement.value if is_fresh(measurement.stamp, now, age) else None


def fresh_contact(measurement: Measurement[bool] | None, now: float, age: float) -> bool | None:
    """Return a contact's state if it was taken within the last `age` s, else None."""
    if measurement is None or not is_fresh(measurement.stamp, now, age):
        return None
    return measurement.value


def is_fresh(stamp: float, now: float, age: float) -> bool:
    """Tell whether `stamp` is at most `age` s old and not from the future."""
    return -STAMP_SLACK <= now - stamp <= age


class Persistence:
    """Tells whether a condition has held without a break for some time."""

    def __init__(self) -> None:
        self._since: float | None = None

    def exceeds(self, condition: bool, now: float, duration: float) -> bool:
        """Note the condition as it is now; True once it has held for `duration` s."""
        if not condition:
            self._since = None
            return False
        if self._since is None:
            self._since = now
        return now - self._since >= duration

    def reset(self) -> None:
        """Start anew."""
        self._since = None
