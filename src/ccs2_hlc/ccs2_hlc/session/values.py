"""Numbers of messages as the session tells them: SI units, ratios, ``None`` for what is absent."""

from __future__ import annotations

from ..exi.messages.physical import Scaled

JOULES_PER_WATT_HOUR = 3600.0


def number(value: Scaled | None) -> float | None:
    """Return a physical value's number."""
    return None if value is None else float(value)


def joules(value: Scaled | None) -> float | None:
    """Return the joules of an energy in Wh."""
    return None if value is None else float(value) * JOULES_PER_WATT_HOUR


def ratio(percent: int | None) -> float | None:
    """Return a percentage as a ratio 0..1."""
    return None if percent is None else percent / 100.0


def known(**values: float | None) -> dict[str, float]:
    """Return those values that are there."""
    return {name: value for name, value in values.items() if value is not None}
