"""Reading parameter files: what is wrong is named, with its place."""

from __future__ import annotations

from typing import Any


def member_of(item: Any, name: str, where: str) -> Any:
    """Return a member of a mapping; raise ``ValueError`` if it is missing."""
    if not isinstance(item, dict) or name not in item:
        raise ValueError(f'{where}: {name!r} is missing')
    return item[name]


def list_in(value: Any, where: str, at_most: int) -> list[Any]:
    """Return a list that has items, but not too many; raise ``ValueError`` for anything else."""
    if not isinstance(value, list) or not 1 <= len(value) <= at_most:
        raise ValueError(f'{where}: not a list of 1 to {at_most} items')
    return value


def number_in(value: Any, where: str, low: float, high: float, *, whole: bool = False) -> float:
    """Return a number within bounds; raise ``ValueError`` for anything else."""
    kinds = int if whole else int | float
    if isinstance(value, bool) or not isinstance(value, kinds) or not low <= value <= high:
        raise ValueError(f'{where} is {value!r}, must be {low:g} to {high:g}')
    return float(value)
