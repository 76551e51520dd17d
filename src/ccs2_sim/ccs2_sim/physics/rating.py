"""Ratings: the constants of a part, each with its meaning, so that a node can offer them all."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar('T')


def rated(default: float, doc: str, minimum: float | None = None) -> Any:
    """Declare a field of a rating: its default, its meaning with the unit, its lowest value."""
    return dataclasses.field(default=default, metadata={'doc': doc, 'minimum': minimum})


@dataclass(frozen=True)
class Constant:
    """One constant of a rating as a parameter: dotted name, default, meaning, lowest value."""

    name: str
    default: float
    doc: str
    minimum: float | None


def constants(rating: Any, prefix: str = '') -> Iterator[Constant]:
    """List the constants of a rating and of the ratings within it, by dotted name."""
    for field in dataclasses.fields(rating):
        value = getattr(rating, field.name)
        if dataclasses.is_dataclass(value):
            yield from constants(value, f'{prefix}{field.name}.')
        else:
            yield Constant(
                prefix + field.name, value, field.metadata['doc'], field.metadata['minimum'])


def with_constants(rating: T, values: Mapping[str, float], prefix: str = '') -> T:
    """Return the rating with the constants in `values` (by dotted name) replaced.

    Raise ``ValueError`` naming a constant that is below its lowest value.
    """
    changes: dict[str, Any] = {}
    for field in dataclasses.fields(rating):  # type: ignore[arg-type]
        name, value = prefix + field.name, getattr(rating, field.name)
        if dataclasses.is_dataclass(value):
            changes[field.name] = with_constants(value, values, f'{name}.')
        elif name in values:
            minimum = field.metadata['minimum']
            if minimum is not None and not values[name] >= minimum:
                raise ValueError(f'{name} is {values[name]}, must be at least {minimum}')
            changes[field.name] = values[name]
    return dataclasses.replace(rating, **changes)  # type: ignore[type-var]
