"""The vehicle's traction battery: open-circuit voltage by state of charge, internal resistance."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

from ccs2_sim.physics.rating import rated

#: Open-circuit voltage of a lithium-ion (NMC) cell in V, at each tenth of the state of charge.
CELL_VOLTAGES = (3.00, 3.42, 3.50, 3.56, 3.61, 3.66, 3.74, 3.83, 3.93, 4.05, 4.18)
#: Voltage a cell may be charged with, V.
CELL_LIMIT = 4.2
_TENTHS = tuple(index / 10 for index in range(11))


@dataclass(frozen=True)
class BatteryRating:
    """Constants of a battery. The default one is a common car's, of the 400 V class."""

    cells: float = rated(96, 'cells in series', 1)
    capacity: float = rated(60 * 3.6e6, 'energy from empty to full, J', 1)
    resistance: float = rated(0.08, 'internal resistance with inlet and contactors, ohm', 1e-4)
    time_factor: float = rated(
        1, 'the state of charge moves this many times faster than the real battery', 1e-3)
    state_of_charge: float = rated(0.3, 'state of charge at the start, ratio 0..1', 0)

    @property
    def mean_voltage(self) -> float:
        """Return the mean of the open-circuit voltage over the charge, V."""
        inner = sum(CELL_VOLTAGES) - (CELL_VOLTAGES[0] + CELL_VOLTAGES[-1]) / 2
        return self.cells * inner / (len(CELL_VOLTAGES) - 1)

    @property
    def maximum_voltage(self) -> float:
        """Return the voltage it may be charged with, V."""
        return self.cells * CELL_LIMIT

    @property
    def charge(self) -> float:
        """Return the charge from empty to full as the simulation counts it, A s."""
        return self.capacity / self.mean_voltage / self.time_factor

    def open_circuit_voltage(self, state_of_charge: float) -> float:
        """Return the voltage without load, V, at a state of charge (ratio 0..1)."""
        position = min(max(state_of_charge, 0.0), 1.0)
        index = min(bisect_right(_TENTHS, position), 10) - 1
        low, high = CELL_VOLTAGES[index], CELL_VOLTAGES[index + 1]
        return self.cells * (low + (high - low) * (position - _TENTHS[index]) * 10)


class Battery:
    """A battery's state: its charge, and the energy that went in and out."""

    def __init__(self, rating: BatteryRating | None = None) -> None:
        self.rating = rating or BatteryRating()
        self.state_of_charge = min(max(self.rating.state_of_charge, 0.0), 1.0)
        #: J that have flowed into the open-circuit voltage (negative out), in real time.
        self.stored = 0.0

    @property
    def voltage(self) -> float:
        """Return the open-circuit voltage, V."""
        return self.rating.open_circuit_voltage(self.state_of_charge)

    def flow(self, charge: float, voltage: float) -> None:
        """Take `charge` A s (negative: give) at the open-circuit voltage `voltage`, V."""
        self.stored += charge * voltage
        moved = self.state_of_charge + charge / self.rating.charge
        self.state_of_charge = min(max(moved, 0.0), 1.0)
