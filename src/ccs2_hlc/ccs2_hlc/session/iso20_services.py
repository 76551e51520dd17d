"""ISO 15118-20: the energy transfer services of a DC station and their parameter sets, as data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

from ..exi.messages.iso20 import common
from .services import FIRST_ADDED_SERVICE, Quantity, Service
from .tariffs import Tariffs
from .views import ControlMode

DC, DC_BPT = 2, 6
PARKING_STATUS = 66


class Connector(IntEnum):
    """Pins that carry the energy; a CCS2 inlet has the extended ones."""

    CORE = 1
    EXTENDED = 2
    DUAL_2 = 3
    DUAL_4 = 4


class Mobility(IntEnum):
    """Who tells when the vehicle leaves and how much it needs until then."""

    VEHICLE = 1
    BOTH = 2


class Pricing(IntEnum):
    """Whether schedules have prices."""

    NONE = 0
    ABSOLUTE = 1
    LEVELS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One parameter set of an energy transfer service."""

    number: int
    control: ControlMode
    connector: Connector = Connector.EXTENDED
    mobility: Mobility = Mobility.VEHICLE
    pricing: Pricing = Pricing.NONE
    #: DC_BPT: 1 unified, 2 separated channels; 1 grid following, 2 grid forming.
    channel: int | None = None
    generator: int | None = None

    @property
    def parameters(self) -> dict[str, int]:
        """Return the parameters by their names in messages."""
        values = {
            'Connector': self.connector, 'ControlMode': self.control,
            'MobilityNeedsMode': self.mobility, 'Pricing': self.pricing,
            'BPTChannel': self.channel, 'GeneratorMode': self.generator}
        return {name: int(value) for name, value in values.items() if value is not None}


#: Energy transfer service to its parameter sets.
Variants = Mapping[int, Sequence[Variant]]

#: What is offered: every service in both control modes [V2G20-2656].
VARIANTS: Variants = {
    DC: (
        Variant(number=1, control=ControlMode.SCHEDULED),
        Variant(number=2, control=ControlMode.DYNAMIC)),
    DC_BPT: (
        Variant(number=1, control=ControlMode.SCHEDULED, channel=1, generator=1),
        Variant(number=2, control=ControlMode.DYNAMIC, channel=1, generator=1)),
}

_CHOICES: Mapping[str, tuple[int, ...]] = {
    'Connector': tuple(Connector),
    'ControlMode': (ControlMode.SCHEDULED, ControlMode.DYNAMIC),
    'MobilityNeedsMode': tuple(Mobility),
    'Pricing': tuple(Pricing),
    'BPTChannel': (1, 2),
    'GeneratorMode': (1, 2),
}
_OF_BPT = frozenset({'BPTChannel', 'GeneratorMode'})
_MODES = frozenset({ControlMode.SCHEDULED, ControlMode.DYNAMIC})
_MAX_VARIANTS = 32


def check_variants(variants: Variants) -> None:
    """Raise ``ValueError`` naming what does not go together in the parameter sets."""
    for service, sets in variants.items():
        where = f'service {service}'
        numbers = [variant.number for variant in sets]
        if not 1 <= len(sets) <= _MAX_VARIANTS or len(set(numbers)) != len(numbers):
            raise ValueError(f'{where}: parameter sets {numbers} are none, too many or not unique')
        for variant in sets:
            _check(service, variant, f'{where}, parameter set {variant.number}')
        missing = _MODES - {variant.control for variant in sets}
        if missing:
            raise ValueError(f'{where}: no parameter set for {min(missing).name.lower()} control')


def _check(service: int, variant: Variant, where: str) -> None:
    parameters = variant.parameters
    needed = set(_CHOICES) - (set() if service == DC_BPT else _OF_BPT)
    if set(parameters) != needed:
        raise ValueError(f'{where}: has {sorted(parameters)}, needs {sorted(needed)}')
    for name, value in parameters.items():
        if value not in _CHOICES[name]:
            raise ValueError(f'{where}: {name} is {value}')
    if variant.mobility == Mobility.BOTH and variant.control is not ControlMode.DYNAMIC:
        # [V2G20-2663]
        raise ValueError(f'{where}: MobilityNeedsMode 2 is for dynamic control only')


check_variants(VARIANTS)


def energy_services(bidirectional: bool) -> tuple[int, ...]:
    """Return the numbers of the energy transfer services; of what flows both ways the last."""
    return (DC, DC_BPT) if bidirectional else (DC,)


def variants_with(tariffs: Tariffs | None, mobility_needs: bool = False) -> Variants:
    """Return the parameter sets of a station with these tariffs.

    `mobility_needs`: it may say what a vehicle needs, too, where it leads.
    """
    pricing = (
        Pricing.NONE if tariffs is None
        else Pricing.ABSOLUTE if tariffs.in_currency else Pricing.LEVELS)
    return {
        service: tuple(replace(variant, pricing=pricing) for variant in (
            *sets, *(_sharing(sets) if mobility_needs else ())))
        for service, sets in VARIANTS.items()}


def _sharing(sets: Sequence[Variant]) -> list[Variant]:
    """Return those in which the station leads once more, with both sides telling the needs."""
    last = max(variant.number for variant in sets)
    leading = [variant for variant in sets if variant.control is ControlMode.DYNAMIC]
    return [
        replace(variant, number=last + place, mobility=Mobility.BOTH)
        for place, variant in enumerate(leading, start=1)]


def variant_of(variants: Variants, service: int, number: int) -> Variant | None:
    """Return a parameter set, ``None`` if there is none of that number."""
    return next((item for item in variants.get(service, ()) if item.number == number), None)


def added_services(services: Sequence[Service]) -> tuple[Service, ...]:
    """Return the value-added services that ISO 15118-20 can tell: with numbers of its range."""
    return tuple(
        service for service in services
        if service.number >= FIRST_ADDED_SERVICE and service.sets)


def parameter_sets(
    service: int, variants: Variants, added: Sequence[Service],
) -> list[common.ParameterSet]:
    """Return the parameter sets of an energy transfer or value-added service, for a message."""
    if service in variants:
        return [
            common.ParameterSet(parameter_set_id=variant.number, parameter=[
                common.Parameter(name=name, int_value=value)
                for name, value in variant.parameters.items()])
            for variant in variants[service]]
    return [
        common.ParameterSet(parameter_set_id=entry.number, parameter=[
            _parameter(name, value) for name, value in entry.parameters])
        for item in added if item.number == service for entry in item.sets]


def _parameter(name: str, value: bool | int | str | Quantity) -> common.Parameter:
    if isinstance(value, bool):
        return common.Parameter(name=name, bool_value=value)
    if isinstance(value, int):
        return common.Parameter(name=name, int_value=value)
    if isinstance(value, str):
        return common.Parameter(name=name, finite_string=value)
    return common.Parameter(name=name, rational_number=common.RationalNumber.of(value.value))
