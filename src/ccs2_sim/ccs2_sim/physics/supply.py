"""The DC supply's output stage: constant voltage with current and power limits, ramps, time-out."""

from __future__ import annotations

from dataclasses import dataclass

from ccs2_sim.physics.rating import rated

AMBIENT_TEMPERATURE = 25.0
#: The hottest module's rise over ambient at full power, in K, and its time constant, in s.
TEMPERATURE_RISE = 40.0
THERMAL_TIME = 120.0
#: What a runaway supply does, whatever its set-points say: above them by this many V.
RUNAWAY_EXCESS = 80.0


@dataclass(frozen=True)
class SupplyRating:
    """Constants of the supply."""

    minimum_voltage: float = rated(50, 'lowest output voltage, V', 0)
    maximum_voltage: float = rated(1000, 'highest output voltage, V', 0)
    minimum_current: float = rated(0, 'lowest output current, A', 0)
    maximum_current: float = rated(250, 'highest output current, A', 0)
    maximum_power: float = rated(100e3, 'highest output power, W', 0)
    maximum_discharge_current: float = rated(
        0, 'highest current out of the vehicle, A; 0 = not bidirectional', 0)
    maximum_discharge_power: float = rated(0, 'highest power out of the vehicle, W', 0)
    voltage_ramp: float = rated(1000, 'how fast the regulated voltage moves, V/s', 1)
    current_ramp: float = rated(500, 'how fast the current limit moves, A/s', 1)
    capacitance: float = rated(100e-6, 'output capacitance, F', 1e-9)
    bleed_resistance: float = rated(20e3, 'permanent load at the output, ohm', 1)
    discharge_resistance: float = rated(2e3, 'load at the output while switched off, ohm', 1)
    current_regulation_tolerance: float = rated(0.5, 'tolerance of the current, A', 0)
    peak_current_ripple: float = rated(1, 'peak-to-peak ripple of the current, A', 0)


class Supply:
    """The output stage's state.

    A positive current set-point regulates up to the voltage set-point with at most that current
    in; a negative one draws up to that current out of the vehicle, down to the voltage set-point.
    """

    def __init__(self, rating: SupplyRating | None = None) -> None:
        self.rating = rating or SupplyRating()
        #: Voltage at the terminals, V.
        self.voltage = 0.0
        #: Mean current out of the terminals in the last step, A.
        self.current = 0.0
        self.on = False
        #: On, as told.
        self.wanted = False
        #: Set-points as given, V and A.
        self.set_voltage = 0.0
        self.set_current = 0.0
        #: Where the ramps are now, V and A.
        self.ramp_voltage = 0.0
        self.ramp_current = 0.0
        self.temperature = AMBIENT_TEMPERATURE
        #: Faults: does not switch off; ignores its voltage set-point; an alarm of its own.
        self.stuck_on = False
        self.runaway = False
        self.alarm = ''

    def command(self, on: bool, voltage: float, current: float) -> None:
        """Take a command: V >= 0, A signed; both are clamped to the rating."""
        rating = self.rating
        self.set_voltage = min(max(voltage, 0.0), rating.maximum_voltage)
        self.set_current = min(
            max(current, -rating.maximum_discharge_current), rating.maximum_current)
        if on and not self.on:
            # Starts from what is there: no step when a battery or a charged cable is connected.
            self.ramp_voltage = max(self.voltage, 0.0)
            self.ramp_current = 0.0
        self.wanted = on
        self.on = on or (self.stuck_on and self.on)

    @property
    def conductance(self) -> float:
        """Return what loads the output inside the supply, S."""
        rating = self.rating
        return 1 / rating.bleed_resistance + (0.0 if self.on else 1 / rating.discharge_resistance)

    def ramp(self, duration: float) -> None:
        """Move the ramps by `duration` s."""
        rating = self.rating
        self.ramp_voltage = _towards(
            self.ramp_voltage, self.set_voltage, rating.voltage_ramp * duration)
        self.ramp_current = _towards(
            self.ramp_current, self.set_current, rating.current_ramp * duration)

    def target(self) -> float:
        """Return the voltage the output stage regulates to now, V."""
        return self.ramp_voltage + (RUNAWAY_EXCESS if self.runaway else 0.0)

    def window(self) -> tuple[float, float]:
        """Return the lowest and highest current the output stage may source now, A."""
        if not self.on:
            return 0.0, 0.0
        rating, voltage = self.rating, max(self.voltage, 1.0)
        return (
            max(min(self.ramp_current, 0.0), -rating.maximum_discharge_power / voltage),
            min(max(self.ramp_current, 0.0), rating.maximum_power / voltage),
        )

    def warm(self, duration: float) -> None:
        """Let the modules warm up or cool down for `duration` s."""
        share = abs(self.voltage * self.current) / self.rating.maximum_power
        goal = AMBIENT_TEMPERATURE + TEMPERATURE_RISE * share
        self.temperature += (goal - self.temperature) * duration / THERMAL_TIME


def _towards(value: float, goal: float, most: float) -> float:
    return goal if abs(goal - value) <= most else value + (most if goal > value else -most)
