"""The control pilot circuit of IEC 61851-1 annex A: levels from voltages, resistances and diode.

The station feeds +12 V or -12 V through 1 kΩ. The vehicle loads the positive half through a diode
with 2.74 kΩ, and in parallel with 1.3 kΩ (state C) or 270 Ω (state D).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

SOURCE_VOLTAGE = 12.0
SOURCE_RESISTANCE = 1000.0
DIODE_DROP = 0.7
#: Resistance of a pilot wire that touches protective earth, in ohm.
SHORT_RESISTANCE = 10.0


class VehicleLoad(Enum):
    """How the vehicle loads the pilot: the parallel resistance in ohm."""

    B = 2740.0
    """Connected, not ready."""
    C = 2740.0 * 1300.0 / (2740.0 + 1300.0)
    """Ready for energy."""
    D = 2740.0 * 270.0 / (2740.0 + 270.0)
    """Ready for energy, wants ventilation."""


@dataclass(frozen=True)
class PilotLevels:
    """What both sides measure at the pilot contact."""

    high: float | None
    """V in the high phase; None at steady -12 V."""
    low: float | None
    """V in the low phase; None at steady +12 V."""
    duty: float
    """Ratio of the high phase, 0..1."""


@dataclass
class PilotCircuit:
    """The circuit; the station drives `duty`, the vehicle `load`."""

    duty: float = 0.0
    """Ratio of the high phase: 1 = steady +12 V, 0 = steady -12 V."""
    plugged: bool = False
    load: VehicleLoad = VehicleLoad.B
    shorted: bool = False
    """The pilot touches protective earth."""
    broken: bool = False
    """The pilot wire to the vehicle is interrupted."""
    failed: bool = False
    """The station's generator gives steady -12 V, whatever it is told."""
    diode_bridged: bool = False
    """The vehicle's diode conducts both ways."""

    def levels(self) -> PilotLevels:
        """Return the levels at the station's end of the pilot."""
        duty = self.given
        return PilotLevels(
            high=self._level(SOURCE_VOLTAGE) if duty > 0 else None,
            low=self._level(-SOURCE_VOLTAGE) if duty < 1 else None,
            duty=duty,
        )

    @property
    def given(self) -> float:
        """Return the duty cycle that the generator gives."""
        return 0.0 if self.failed else self.duty

    def vehicle_duty(self) -> float | None:
        """Return the duty cycle that the vehicle sees; None when it sees no pilot at all."""
        return self.given if self.plugged and not self.broken and not self.shorted else None

    def _level(self, source: float) -> float:
        if self.shorted:
            return source * SHORT_RESISTANCE / (SHORT_RESISTANCE + SOURCE_RESISTANCE)
        if not self.plugged or self.broken:
            return source
        drop = 0.0 if self.diode_bridged else DIODE_DROP
        if source < 0 and not self.diode_bridged:
            return source
        share = self.load.value / (self.load.value + SOURCE_RESISTANCE)
        return drop + (source - drop) * share
