"""Numbers of messages as the session tells them: SI units, ratios, ``None`` for what is absent.

The exponents of ISO 15118-20 reach from -128 to 127.  What is beyond anything that a charging
station can mean is cut off here: neither a command nor a topic could carry it.
"""

from __future__ import annotations

from ..exi.messages.physical import Scaled

JOULES_PER_WATT_HOUR = 3600.0
#: No voltage, current, power, energy or time of a charging station is larger: V, A, W, Wh, s.
LARGEST_PLAUSIBLE = 1e7


def bounded(value: Scaled) -> float:
    """Return a physical value's number, cut off at the largest plausible one."""
    return min(max(float(value), -LARGEST_PLAUSIBLE), LARGEST_PLAUSIBLE)


def number(value: Scaled | None) -> float | None:
    """Return the same of a value that may be absent."""
    return None if value is None else bounded(value)


def joules(value: Scaled | None) -> float | None:
    """Return the joules of an energy in Wh."""
    return None if value is None else bounded(value) * JOULES_PER_WATT_HOUR


def ratio(percent: int | None) -> float | None:
    """Return a percentage as a ratio 0..1."""
    return None if percent is None else percent / 100.0


def known(**values: float | None) -> dict[str, float]:
    """Return those values that are there."""
    return {name: value for name, value in values.items() if value is not None}
