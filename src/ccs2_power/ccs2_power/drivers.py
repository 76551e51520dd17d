"""Finding a driver by its name and reading its options."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import entry_points
from typing import TypeVar

from ccs2_power.hal import Driver, DriverError

GROUP = 'ccs2_power.drivers'

D = TypeVar('D', bound=Driver)


def driver_names() -> list[str]:
    """Return the names of all drivers that are installed."""
    return sorted(entry.name for entry in entry_points(group=GROUP))


def own_drivers(package: str) -> set[str]:
    """Return the names of the drivers that a Python package brings."""
    return {entry.name for entry in entry_points(group=GROUP)
            if entry.value.startswith(f'{package}.')}


def load_driver(name: str, protocol: type[D]) -> D:
    """Make the driver `name`; raise :class:`DriverError` if it is missing or of another kind."""
    found = entry_points(group=GROUP, name=name)
    if not found:
        raise DriverError(f'no driver {name!r} is installed; there are {driver_names()}')
    try:
        driver = next(iter(found)).load()()
    except (ImportError, AttributeError) as error:
        raise DriverError(f'driver {name!r} cannot be loaded: {error}') from None
    if not isinstance(driver, protocol):
        raise DriverError(f'driver {name!r} is not a {protocol.__name__}')
    return driver


def parse_options(options: Iterable[str]) -> dict[str, str]:
    """Return `key=value` options as a dict; empty strings are left out."""
    parsed: dict[str, str] = {}
    for option in filter(None, options):
        key, separator, value = option.partition('=')
        if not separator or not key:
            raise DriverError(f'option {option!r} is not key=value')
        if key in parsed:
            raise DriverError(f'option {key!r} is given twice')
        parsed[key] = value
    return parsed
