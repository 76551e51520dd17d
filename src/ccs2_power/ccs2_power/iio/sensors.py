"""Resistances that tell a temperature."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence

from ccs2_power.sensor_driver import within

#: Degrees Celsius of an ohm, None for what the sensor cannot have: a broken wire or a short.
Linearisation = Callable[[float], float | None]

#: Resistance of platinum as a share of that at 0 degC, from -50 to 200 degC in steps of 10
#: (IEC 60751).
PLATINUM = (
    0.80306, 0.84271, 0.88222, 0.92160, 0.96086,
    1.00000, 1.03903, 1.07794, 1.11673, 1.15541, 1.19397, 1.23242, 1.27075, 1.30897, 1.34707,
    1.38506, 1.42293, 1.46068, 1.49832, 1.53584, 1.57325, 1.61054, 1.64772, 1.68478, 1.72173,
    1.75856)
PLATINUM_FIRST, PLATINUM_STEP = -50.0, 10.0
#: A thermistor tells these temperatures, in degC.
THERMISTOR_RANGE = (-40.0, 150.0)
_CELSIUS = 273.15


def table(first: float, step: float, ohms: Sequence[float]) -> Linearisation:
    """Return the linearisation of a sensor that has these resistances, ascending.

    The first is that at `first` degC, each further one that of `step` K more; straight between.
    """
    def temperature(ohm: float) -> float | None:
        if not ohms[0] <= ohm <= ohms[-1]:
            return None
        index = min(bisect_right(ohms, ohm), len(ohms) - 1) - 1
        share = (ohm - ohms[index]) / (ohms[index + 1] - ohms[index])
        return first + step * (index + share)

    return temperature


def platinum(ohm_at_zero: float) -> Linearisation:
    """Return the linearisation of a platinum sensor, e.g. of 1000 ohm at 0 degC (Pt1000)."""
    return table(PLATINUM_FIRST, PLATINUM_STEP, [ohm_at_zero * share for share in PLATINUM])


def thermistor(ohm_at_25: float, beta: float) -> Linearisation:
    """Return the linearisation of an NTC thermistor by its resistance at 25 degC and beta in K."""
    def temperature(ohm: float) -> float | None:
        if not 0.0 < ohm < math.inf:
            return None
        inverse = 1.0 / (25.0 + _CELSIUS) + (math.log(ohm) - math.log(ohm_at_25)) / beta
        if inverse <= 0.0:
            return None
        return within(1.0 / inverse - _CELSIUS, *THERMISTOR_RANGE)

    return temperature
