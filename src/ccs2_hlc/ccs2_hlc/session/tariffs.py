"""What energy costs over time, by schedule, from a parameter file: as prices or as levels.

Shared by ISO 15118-2 (SalesTariff) and ISO 15118-20 (price schedules): nothing here knows a
message.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from ccs2_pki.certificate import Certificate, KeyAlgorithm, parse_certificates
from ccs2_pki.errors import PkiError

from .documents import list_in, member_of, number_in
from .schedules import MAX_INTERVAL, MAX_NUMBER, MAX_SCHEDULES, MAX_START, MAX_STEPS

#: Decoders in vehicles encode a tariff of more steps wrongly, and so miss what was signed.
MAX_SIGNED_STEPS = 11
MAX_BLOCKS = 3
_CURRENCY = _LANGUAGE = 3
_DESCRIPTION = 32
_MAX_PRICE = 1e4
_MAX_LEVEL = 255
_MAX_POWER = 1e7
#: Of a percentage, or of g/kWh.
_MAX_AMOUNT = 1_000_000


@dataclass(frozen=True, slots=True)
class Block:
    """What energy costs from a power (W) on; ``None``: not told.  For ISO 15118-2 alone."""

    power: float = 0.0
    #: Price in percent of a price that the vehicle's user knows.
    relative_price: int | None = None
    #: Energy from renewable sources, percent.
    renewable: int | None = None
    #: Emission of carbon dioxide, g/kWh.
    carbon_dioxide: int | None = None


@dataclass(frozen=True, slots=True)
class PriceStep:
    """From `start` s on a kWh costs `price`, in the tariff's currency."""

    start: int
    price: float
    blocks: tuple[Block, ...] = ()


@dataclass(frozen=True, slots=True)
class Prices:
    """A tariff in a currency (ISO 4217), for a vehicle that shows it in a language (ISO 639)."""

    currency: str
    language: str
    steps: tuple[PriceStep, ...]
    description: str = ''
    #: What is paid for energy that the vehicle gives (ISO 15118-20); empty: not told.
    discharge: tuple[PriceStep, ...] = ()

    def of_discharge(self) -> Prices:
        """Return what is paid for energy that the vehicle gives as a tariff of its own."""
        return replace(self, steps=self.discharge)


@dataclass(frozen=True, slots=True)
class LevelStep:
    """From `start` s on energy is at a level from 0, the cheapest, to 255."""

    start: int
    level: int
    blocks: tuple[Block, ...] = ()


@dataclass(frozen=True, slots=True)
class Levels:
    """A tariff that only tells when energy is cheap."""

    steps: tuple[LevelStep, ...]
    description: str = ''
    #: When energy that the vehicle gives is worth little or much, likewise.
    discharge: tuple[LevelStep, ...] = ()

    def of_discharge(self) -> Levels:
        """Return the levels of energy that the vehicle gives as a tariff of its own."""
        return replace(self, steps=self.discharge)


Tariff = Prices | Levels


@dataclass(frozen=True, slots=True)
class TariffSignature:
    """A mobility operator's signature over the tariffs as ISO 15118-2 tells them."""

    #: How long the tariffs hold, s: that is signed, too.
    duration: int
    #: Whose key has signed: that of the sub-CA which issues the operator's contracts.
    certificate: Certificate = field(repr=False)
    #: By the schedule's number.
    digests: Mapping[int, bytes] = field(repr=False)
    value: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Tariffs:
    """The tariff of each schedule, by the schedule's number; all as prices or all as levels."""

    each: Mapping[int, Tariff]
    signature: TariffSignature | None = None

    @property
    def in_currency(self) -> bool:
        """Whether there are prices rather than levels."""
        return any(isinstance(tariff, Prices) for tariff in self.each.values())


def read_tariffs(document: Any, schedules: Sequence[int]) -> Tariffs:
    """Return the tariffs of a parameter file for the schedules with these numbers.

    ``{'currency': 'EUR', 'language': 'deu', 'steps': [{'start': 0, 'price': 0.45}, ...]}``, price
    per kWh, or ``{'steps': [{'start': 0, 'level': 1}, ...]}``: the same for every schedule; `start`
    in s after the vehicle has asked.  Or one for each schedule: ``{'tariffs': [{'schedule': 1,
    'description': 'night', 'steps': [...]}, ...]}``.  A step may have up to three `blocks`:
    ``{'power': 0, 'relative_price': 70, 'renewable': 40, 'carbon_dioxide': 311}``.  Beside `steps`
    there may be `discharge`: the same, for energy that the vehicle gives.

    The `signature` is read; whether it fits is for ISO 15118-2 to say.  Raise ``ValueError`` naming
    what is wrong where.
    """
    if isinstance(document, dict) and 'tariffs' in document:
        each = _by_schedule(document, schedules)
    else:
        each = dict.fromkeys(schedules, _tariff(document, document, ''))
    if 'signature' not in document:
        return Tariffs(each)
    for number, tariff in each.items():
        if len(tariff.steps) > MAX_SIGNED_STEPS:
            raise ValueError(
                f'tariff of schedule {number}: {len(tariff.steps)} steps, '
                f'at most {MAX_SIGNED_STEPS} where they are signed')
    return Tariffs(each, _signature(document['signature'], each))


def check_duration(duration: int, each: Mapping[int, Tariff]) -> None:
    """Raise ``ValueError`` unless every tariff can hold for `duration` s."""
    last = [tariff.steps[-1].start for tariff in each.values()]
    low, high = max(last) + 1, min(last) + MAX_INTERVAL
    if not low <= duration <= high:
        raise ValueError(
            f'signature.duration is {duration}, must be {low} to {high} for these steps')


def _by_schedule(document: dict[str, Any], schedules: Sequence[int]) -> dict[int, Tariff]:
    if 'steps' in document:
        raise ValueError("file: 'steps' for every schedule and 'tariffs' for each")
    each: dict[int, Tariff] = {}
    items = list_in(document['tariffs'], 'tariffs', MAX_SCHEDULES)
    for where, item in ((f'tariffs[{index}]', item) for index, item in enumerate(items)):
        number = int(number_in(
            member_of(item, 'schedule', where), f'{where}.schedule', 1, MAX_NUMBER, whole=True))
        if number in each:
            raise ValueError(f'{where}.schedule: another tariff for schedule {number}')
        each[number] = _tariff(document, item, f'{where}.')
    if set(each) != set(schedules):
        # Vehicles compare the schedules by their tariffs.
        raise ValueError(
            f'tariffs: for schedules {sorted(each)}, there are {sorted(schedules)}')
    return each


def _tariff(document: Any, item: Any, prefix: str) -> Tariff:
    items = member_of(item, 'steps', prefix[:-1] or 'file')
    description = item.get('description', '')
    if not isinstance(description, str) or len(description) > _DESCRIPTION:
        raise ValueError(
            f'{prefix}description is {description!r}, must be text of at most {_DESCRIPTION} '
            'letters')
    back = item.get('discharge')
    if 'currency' in document:
        return Prices(
            _letters(document, 'currency', _CURRENCY), _letters(document, 'language', _LANGUAGE),
            _steps(items, f'{prefix}steps', _price_step), description,
            () if back is None else _steps(back, f'{prefix}discharge', _price_step))
    return Levels(
        _steps(items, f'{prefix}steps', _level_step), description,
        () if back is None else _steps(back, f'{prefix}discharge', _level_step))


S = TypeVar('S', PriceStep, LevelStep)


def _steps(items: Any, where: str, read: Callable[[int, Any, str], S]) -> tuple[S, ...]:
    steps = tuple(
        read(int(number_in(
            member_of(item, 'start', place), f'{place}.start', 0, MAX_START, whole=True)),
            item, place)
        for index, item in enumerate(list_in(items, where, MAX_STEPS))
        for place in [f'{where}[{index}]'])
    starts = [step.start for step in steps]
    if starts[0] != 0 or starts != sorted(set(starts)):
        raise ValueError(f'{where}: starts {starts} do not rise from 0')
    return steps


def _price_step(start: int, item: Any, where: str) -> PriceStep:
    return PriceStep(start, _value(item, where, 'price', _MAX_PRICE), _blocks(item, where))


def _level_step(start: int, item: Any, where: str) -> LevelStep:
    return LevelStep(
        start, int(_value(item, where, 'level', _MAX_LEVEL, whole=True)), _blocks(item, where))


def _blocks(step: Any, where: str) -> tuple[Block, ...]:
    if 'blocks' not in step:
        return ()
    blocks = []
    for index, item in enumerate(list_in(step['blocks'], f'{where}.blocks', MAX_BLOCKS)):
        place = f'{where}.blocks[{index}]'
        power = _value(item, place, 'power', _MAX_POWER)
        amounts = {
            name: int(_value(item, place, name, _MAX_AMOUNT, whole=True))
            for name in ('relative_price', 'renewable', 'carbon_dioxide') if name in item}
        if not amounts:
            raise ValueError(f'{place}: tells nothing')
        blocks.append(Block(power, **amounts))
    powers = [block.power for block in blocks]
    if powers != sorted(set(powers)):
        raise ValueError(f'{where}.blocks: powers {powers} do not rise')
    return tuple(blocks)


def _signature(item: Any, each: Mapping[int, Tariff]) -> TariffSignature:
    where = 'signature'
    duration = int(number_in(
        member_of(item, 'duration', where), f'{where}.duration', 1, MAX_START, whole=True))
    check_duration(duration, each)
    digests = member_of(item, 'digests', where)
    if not isinstance(digests, dict) or set(digests) != set(each):
        raise ValueError(f'{where}.digests: not one for each of the schedules {sorted(each)}')
    text = member_of(item, 'certificate', where)
    try:
        (certificate,) = parse_certificates(str(text).encode())
    except (PkiError, ValueError) as error:
        raise ValueError(f'{where}.certificate: not one certificate in PEM: {error}') from None
    if certificate.key_algorithm is not KeyAlgorithm.P256:
        raise ValueError(f'{where}.certificate: its key is not of ISO 15118-2 (P-256)')
    return TariffSignature(
        duration, certificate,
        {number: _octets(digests[number], f'{where}.digests[{number}]') for number in each},
        _octets(member_of(item, 'value', where), f'{where}.value'))


def _octets(value: Any, where: str) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, TypeError, ValueError):
        raise ValueError(f'{where}: not base64') from None


def _value(item: Any, where: str, name: str, high: float, *, whole: bool = False) -> float:
    return number_in(member_of(item, name, where), f'{where}.{name}', 0, high, whole=whole)


def _letters(document: Any, name: str, length: int) -> str:
    value = member_of(document, name, 'file')
    if not isinstance(value, str) or len(value) != length or not value.isalpha():
        raise ValueError(f'{name} is {value!r}, must be {length} letters')
    return value
