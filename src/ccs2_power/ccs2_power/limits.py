"""What the station can give now, and what becomes of the vehicle's wish."""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass, replace

from ccs2_power.command import ChargeCommand
from ccs2_power.hal import SupplyLimits

#: What a supply can do that has not said so.
NO_LIMITS = SupplyLimits(0.0, 0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Derating:
    """Linear derating between two temperatures in degC."""

    start: float
    """Full power up to here."""
    end: float
    """Nothing from here on: too hot."""

    def factor(self, temperature: float) -> float:
        """Return the share 0..1 of the current that may flow."""
        return min(1.0, max(0.0, (self.end - temperature) / (self.end - self.start)))


@dataclass(frozen=True, slots=True)
class SetPoint:
    """A voltage and a current, and which limits of the station cut them."""

    voltage: float
    current: float
    voltage_limited: bool = False
    current_limited: bool = False
    power_limited: bool = False


@dataclass(frozen=True, slots=True)
class Bounds:
    """What no set-point may exceed. Voltage in V, currents in A, positive into the vehicle."""

    highest_voltage: float
    lowest_current: float
    """<= 0."""
    highest_current: float

    def voltage(self, wanted: float) -> float:
        """Return the voltage within the bounds."""
        return min(wanted, self.highest_voltage)

    def current(self, wanted: float) -> float:
        """Return the current within the bounds."""
        return min(max(wanted, self.lowest_current), self.highest_current)


def told_limits(supply: SupplyLimits | None) -> SupplyLimits | None:
    """Return what a supply says it can do; None if it has not, or if a number makes no sense."""
    if supply is None or not all(
            math.isfinite(limit) and limit >= 0.0 for limit in astuple(supply)):
        return None
    return supply


def station_limits(
    configured: SupplyLimits, supply: SupplyLimits | None, factor: float,
) -> SupplyLimits:
    """Return what the site's settings, the supply and the temperatures leave (`factor` 0..1)."""
    if supply is None:
        return NO_LIMITS
    return replace(
        supply,
        minimum_voltage=max(configured.minimum_voltage, supply.minimum_voltage),
        minimum_current=max(configured.minimum_current, supply.minimum_current),
        maximum_voltage=min(configured.maximum_voltage, supply.maximum_voltage),
        maximum_current=factor * min(configured.maximum_current, supply.maximum_current),
        maximum_power=factor * min(configured.maximum_power, supply.maximum_power),
        maximum_discharge_current=factor * min(
            configured.maximum_discharge_current, supply.maximum_discharge_current),
        maximum_discharge_power=factor * min(
            configured.maximum_discharge_power, supply.maximum_discharge_power),
    )


def bounds(command: ChargeCommand, limits: SupplyLimits, voltage: float) -> Bounds:
    """Return what no set-point may exceed now: the station's and the vehicle's limits.

    `voltage` is the measured output voltage in V: power limits become current limits by it. A
    vehicle that has not said how much may flow out of it allows nothing.
    """
    divisor = _divisor(limits, voltage)
    return Bounds(
        highest_voltage=min(limits.maximum_voltage, _or_infinite(command.maximum_voltage)),
        lowest_current=-min(
            limits.maximum_discharge_current, limits.maximum_discharge_power / divisor,
            command.maximum_discharge_current or 0.0,
            (command.maximum_discharge_power or 0.0) / divisor),
        highest_current=min(
            limits.maximum_current, limits.maximum_power / divisor,
            _or_infinite(command.maximum_current),
            _or_infinite(command.maximum_power) / divisor))


def clamp(
    command: ChargeCommand, limits: SupplyLimits, allowed: Bounds, voltage: float,
) -> SetPoint:
    """Return the wish of a command of mode PRE_CHARGE or CHARGE within its bounds.

    Only the station's own limits are reported as achieved.
    """
    wanted_voltage = command.target_voltage or 0.0
    wanted_current = command.target_current or 0.0
    own_current, own_power = (
        (limits.maximum_current, limits.maximum_power) if wanted_current >= 0.0
        else (limits.maximum_discharge_current, limits.maximum_discharge_power))
    return SetPoint(
        voltage=allowed.voltage(wanted_voltage),
        current=allowed.current(wanted_current),
        voltage_limited=wanted_voltage >= limits.maximum_voltage,
        current_limited=abs(wanted_current) >= own_current,
        power_limited=abs(wanted_current) * _divisor(limits, voltage) >= own_power)


def _divisor(limits: SupplyLimits, voltage: float) -> float:
    return max(voltage, limits.minimum_voltage, 1.0)


def approach(value: float, target: float, step: float) -> float:
    """Return `value` moved towards `target` by at most `step`."""
    return min(target, value + step) if target > value else max(target, value - step)


def _or_infinite(limit: float | None) -> float:
    return float('inf') if limit is None else limit
