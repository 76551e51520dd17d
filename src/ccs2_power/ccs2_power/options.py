"""The options of a driver: typed, in range, and none that nobody reads."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from ccs2_power.hal import DriverError


class Options:
    """The site's ``key=value`` options of one driver.

    Every reader raises :class:`DriverError` naming the option and what is wrong with it.
    """

    def __init__(self, given: Mapping[str, str], known: Sequence[str]) -> None:
        for name in given:
            if name not in known:
                raise DriverError(f'unknown option {name!r}; there are {", ".join(known)}')
        self._given = given

    def __contains__(self, name: str) -> bool:
        return name in self._given

    def text(self, name: str, default: str | None = None) -> str:
        """Return an option as it is; without `default` it has to be set."""
        value = self._given.get(name, default)
        if not value:
            raise DriverError(f'option {name!r} is missing')
        return value

    def choice(self, name: str, choices: Sequence[str], default: str | None = None) -> str:
        """Return an option that is one of `choices`."""
        value = self.text(name, default)
        if value not in choices:
            raise DriverError(f'option {name!r} is {value!r}, none of {", ".join(choices)}')
        return value

    def integer(self, name: str, low: int, high: int, default: int | None = None) -> int:
        """Return a whole number of `low` to `high`; 0x... is hexadecimal."""
        value = self.text(name, None if default is None else str(default))
        try:
            number = int(value, 0)
        except ValueError:
            raise DriverError(f'option {name!r} is {value!r}, not a whole number') from None
        if not low <= number <= high:
            raise DriverError(f'option {name!r} is {number}, not within {low} to {high}')
        return number

    def number(self, name: str, low: float, high: float, default: float | None = None) -> float:
        """Return a number of `low` to `high`."""
        value = self.text(name, None if default is None else repr(default))
        try:
            number = float(value)
        except ValueError:
            raise DriverError(f'option {name!r} is {value!r}, not a number') from None
        if not (math.isfinite(number) and low <= number <= high):
            raise DriverError(f'option {name!r} is {value}, not within {low:g} to {high:g}')
        return number
