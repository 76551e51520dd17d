"""What energy costs over time, from a parameter file: as prices or as levels (ISO 15118-20)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .documents import list_in, member_of, number_in
from .schedules import MAX_START, MAX_STEPS

_CURRENCY = _LANGUAGE = 3
_MAX_PRICE = 1e4
_MAX_LEVEL = 255


@dataclass(frozen=True, slots=True)
class PriceStep:
    """From `start` s on a kWh costs `price`, in the tariff's currency."""

    start: int
    price: float


@dataclass(frozen=True, slots=True)
class Prices:
    """A tariff in a currency (ISO 4217), for a vehicle that shows it in a language (ISO 639)."""

    currency: str
    language: str
    steps: tuple[PriceStep, ...]


@dataclass(frozen=True, slots=True)
class LevelStep:
    """From `start` s on energy is at a level from 0, the cheapest, to 255."""

    start: int
    level: int


@dataclass(frozen=True, slots=True)
class Levels:
    """A tariff that only tells when energy is cheap."""

    steps: tuple[LevelStep, ...]


Tariff = Prices | Levels


def read_tariff(document: Any) -> Tariff:
    """Return the tariff of a parameter file.

    ``{'currency': 'EUR', 'language': 'deu', 'steps': [{'start': 0, 'price': 0.45}, ...]}``, price
    per kWh, or ``{'steps': [{'start': 0, 'level': 1}, ...]}``; `start` in s after the vehicle has
    asked.  Raise ``ValueError`` naming what is wrong where.
    """
    items = list_in(member_of(document, 'steps', 'file'), 'steps', MAX_STEPS)
    starts = [
        int(number_in(
            member_of(item, 'start', where), f'{where}.start', 0, MAX_START, whole=True))
        for index, item in enumerate(items) for where in [f'steps[{index}]']]
    if starts[0] != 0 or starts != sorted(set(starts)):
        raise ValueError(f'steps: starts {starts} do not rise from 0')
    if 'currency' in document:
        return Prices(
            _letters(document, 'currency', _CURRENCY), _letters(document, 'language', _LANGUAGE),
            tuple(
                PriceStep(start, _value(item, index, 'price', _MAX_PRICE))
                for index, (start, item) in enumerate(zip(starts, items, strict=True))))
    return Levels(tuple(
        LevelStep(start, int(_value(item, index, 'level', _MAX_LEVEL, whole=True)))
        for index, (start, item) in enumerate(zip(starts, items, strict=True))))


def _value(item: Any, index: int, name: str, high: float, *, whole: bool = False) -> float:
    where = f'steps[{index}]'
    return number_in(member_of(item, name, where), f'{where}.{name}', 0, high, whole=whole)


def _letters(document: Any, name: str, length: int) -> str:
    value = member_of(document, name, 'file')
    if not isinstance(value, str) or len(value) != length or not value.isalpha():
        raise ValueError(f'{name} is {value!r}, must be {length} letters')
    return value
