"""One DC module: what it was told, what it measures, what is wrong with it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

#: A module that is told nothing for this long switches itself off, in s.
TIMEOUT = 10.0
#: Highest voltage in V of the low range.
LOW_RANGE = 500.0


@dataclass(frozen=True, slots=True)
class Rating:
    """What one module can do. Voltages in V, current in A, power in W."""

    minimum_voltage: float = 50.0
    maximum_voltage: float = 1000.0
    maximum_current: float = 62.5
    maximum_power: float = 25e3


@dataclass(slots=True)
class Readings:
    """What a module measures."""

    voltage: float = 0.0
    """At its terminals, in V."""
    current: float = 0.0
    """Its share, in A; negative out of the vehicle."""
    temperature: float = 25.0
    """In degC."""


@dataclass(slots=True)
class Faults:
    """What is wrong with one module; see :data:`FAULTS`."""

    gone: bool = False
    silent: bool = False
    deaf: bool = False
    frozen: Readings | None = None
    wrong: float = 0.0
    """Added to the voltage that it reports, in V."""
    alarm: bool = False


#: The kinds of faults and what each means.
FAULTS: Mapping[str, str] = {
    'gone': 'has no power: output off, no answer',
    'silent': 'obeys, but does not answer',
    'deaf': 'answers, but does not hear what it is told',
    'frozen': 'answers with the values of now for ever',
    'wrong': 'reports a wrong voltage',
    'alarm': 'reports a fault in its status word, where the protocol has one',
}


@dataclass(slots=True)
class Module:
    """The state of one module. Set-points are as told, in V and A (negative: discharge)."""

    address: int
    rating: Rating = field(default_factory=Rating)
    on: bool = False
    set_voltage: float = 0.0
    set_current: float = 0.0
    inverter: bool = False
    """Bidirectional modules: energy goes out of the vehicle."""
    low_range: bool = False
    """Modules with ranges: up to :data:`LOW_RANGE` V only."""
    measured: Readings = field(default_factory=Readings)
    faults: Faults = field(default_factory=Faults)
    told: float | None = None
    """When it was last told something, in s."""
    halted: bool = False
    """The world that it measures stands still, and so does the module: it says nothing."""

    @property
    def delivers(self) -> bool:
        """Tell whether the output stage is on."""
        return self.on and not self.faults.gone

    @property
    def target(self) -> float:
        """Return the voltage that it regulates to, in V."""
        highest = LOW_RANGE if self.low_range else math.inf
        return min(max(self.set_voltage, 0.0), self.rating.maximum_voltage, highest)

    @property
    def current_limit(self) -> float:
        """Return the limit that acts, in A, with its sign."""
        most = self.rating.maximum_current
        limit = min(max(self.set_current, -most), most)
        return -abs(limit) if self.inverter else limit

    @property
    def said(self) -> Readings:
        """Return what the module says that it measures."""
        values = self.faults.frozen or self.measured
        return Readings(max(0.0, values.voltage + self.faults.wrong), values.current,
                        values.temperature)

    def pass_time(self, now: float) -> None:
        """Switch off if the controller has been silent for too long."""
        if self.told is None or now - self.told > TIMEOUT:
            self.on = False

    def suffer(self, faults: Mapping[str, float]) -> None:
        """Have these faults, by kind, and no others; the value is that of `wrong`."""
        before = self.faults.frozen
        self.faults = Faults(
            gone='gone' in faults, silent='silent' in faults, deaf='deaf' in faults,
            frozen=(before or self.measured) if 'frozen' in faults else None,
            wrong=faults.get('wrong', 0.0), alarm='alarm' in faults)
        if self.faults.gone:
            self.on = False


def shares(modules: Iterable[Module]) -> dict[int, float]:
    """Return each module's share of the output current by address: as its current limit."""
    limits = {module.address: abs(module.current_limit) if module.delivers else 0.0
              for module in modules}
    whole = sum(limits.values())
    return {address: limit / whole if whole else 0.0 for address, limit in limits.items()}
