"""Value-added services: what the station offers besides charging, from a parameter file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

CHARGE_SERVICE, CERTIFICATE_SERVICE = 1, 2
#: Numbers below are the station's own; the schema's bound is above.
FIRST_NUMBER, LAST_NUMBER = 3, 65535
CATEGORIES = ('Internet', 'OtherCustom')
UNITS = ('h', 'm', 's', 'A', 'V', 'W', 'Wh')
#: ISO 15118-20 knows value-added services from here on; numbers below are energy transfer services.
FIRST_ADDED_SERVICE = 64
#: One less than the schema allows: some decoders in vehicles fail on full lists.
MAX_SERVICES, MAX_SETS, MAX_PARAMETERS = 6, 32, 15
_NAME, _SCOPE = 32, 64
#: Letters of a parameter's name or text in ISO 15118-20.
_TEXT = 80


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number with a unit."""

    value: float
    unit: str


@dataclass(frozen=True, slots=True)
class ParameterSet:
    """One variant of a service."""

    number: int
    parameters: tuple[tuple[str, bool | int | str | Quantity], ...]


@dataclass(frozen=True, slots=True)
class Service:
    """One service."""

    number: int
    name: str
    category: str
    free: bool
    scope: str | None = None
    sets: tuple[ParameterSet, ...] = ()

    def offers(self, parameter_set: int | None) -> bool:
        """Tell whether a parameter set can be chosen; ``None``: without naming one."""
        return parameter_set is None or parameter_set in {item.number for item in self.sets}


def read_services(document: Any) -> tuple[Service, ...]:
    """Return the services of a parameter file.

    ``{'services': [{'number': 3, 'name': ..., 'category': 'Internet', 'free': true, 'scope': ...,
    'sets': [{'number': 1, 'parameters': {'Port': 80}}]}]}``.  A parameter is a truth value, a whole
    number, a text, or ``{'value': 1.5, 'unit': 'W'}``.  Raise ``ValueError`` naming what is wrong
    where.
    """
    items = _of(document, 'services', list, 'file')
    if len(items) > MAX_SERVICES:
        raise ValueError(f'services: {len(items)} of them, at most {MAX_SERVICES}')
    services = tuple(_service(item, f'services[{index}]') for index, item in enumerate(items))
    _different([service.number for service in services], 'services')
    return services


def _service(item: Any, where: str) -> Service:
    sets = _of(item, 'sets', list, where, [])
    if len(sets) > MAX_SETS:
        raise ValueError(f'{where}.sets: {len(sets)} of them, at most {MAX_SETS}')
    service = Service(
        number=_of(item, 'number', int, where),
        name=_of(item, 'name', str, where),
        category=_of(item, 'category', str, where),
        free=_of(item, 'free', bool, where),
        scope=_of(item, 'scope', str, where, None),
        sets=tuple(_set(entry, f'{where}.sets[{index}]') for index, entry in enumerate(sets)))
    if not FIRST_NUMBER <= service.number <= LAST_NUMBER:
        raise ValueError(
            f'{where}.number is {service.number}, must be {FIRST_NUMBER} to {LAST_NUMBER}')
    if service.category not in CATEGORIES:
        raise ValueError(
            f'{where}.category is {service.category!r}, must be one of {", ".join(CATEGORIES)}')
    if len(service.name) > _NAME or len(service.scope or '') > _SCOPE:
        raise ValueError(f'{where}: name has more than {_NAME} or scope more than {_SCOPE} letters')
    _different([entry.number for entry in service.sets], f'{where}.sets')
    if service.number >= FIRST_ADDED_SERVICE:
        for entry in service.sets:
            _check_for_iso20(entry, f'{where}.sets, number {entry.number}')
    return service


def _check_for_iso20(entry: ParameterSet, where: str) -> None:
    if entry.number < 0:
        raise ValueError(f'{where}: is negative, which ISO 15118-20 cannot tell')
    for name, value in entry.parameters:
        if len(name) > _TEXT or (isinstance(value, str) and len(value) > _TEXT):
            raise ValueError(
                f'{where}, parameter {name!r}: name or text has more than {_TEXT} letters')


def _set(item: Any, where: str) -> ParameterSet:
    number = _of(item, 'number', int, where)
    parameters = _of(item, 'parameters', dict, where)
    if not -0x8000 <= number <= 0x7FFF:
        raise ValueError(f'{where}.number is {number}, not of 16 bits')
    if not 1 <= len(parameters) <= MAX_PARAMETERS:
        raise ValueError(f'{where}.parameters: {len(parameters)}, must be 1 to {MAX_PARAMETERS}')
    return ParameterSet(number, tuple(
        (str(name), _value(value, f'{where}.parameters.{name}'))
        for name, value in parameters.items()))


def _value(value: Any, where: str) -> bool | int | str | Quantity:
    if isinstance(value, dict):
        number, unit = value.get('value'), value.get('unit')
        if isinstance(number, int | float) and abs(number) <= 1e7 and unit in UNITS:
            return Quantity(float(number), str(unit))
    elif isinstance(value, bool | str) or (
            isinstance(value, int) and -0x80000000 <= value <= 0x7FFFFFFF):
        return value
    raise ValueError(
        f'{where} is {value!r}, must be a truth value, a whole number of 32 bits, a text, or value '
        f'and unit ({", ".join(UNITS)})')


_MISSING = object()


def _of(item: Any, name: str, kind: type, where: str, default: Any = _MISSING) -> Any:
    if not isinstance(item, dict):
        raise ValueError(f'{where}: not a mapping')
    value = item.get(name, default)
    if value is _MISSING:
        raise ValueError(f'{where}: {name!r} is missing')
    if value is not default and (
            not isinstance(value, kind) or (kind is int and isinstance(value, bool))):
        raise ValueError(f'{where}.{name} is {value!r}, not of type {kind.__name__}')
    return value


def _different(numbers: list[int], where: str) -> None:
    if len(set(numbers)) != len(numbers):
        raise ValueError(f'{where}: numbers {numbers} are not all different')
