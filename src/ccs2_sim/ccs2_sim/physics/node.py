"""One electrical node, solved exactly over a step.

A node is a capacitance to which a current source, a resistance to ground and, if connected, a
voltage source behind a resistance (the battery) are attached. Its time constant may be a few
microseconds (battery connected) or a second (left alone): the exponential is exact for both,
which no fixed-step integration of the differential equation would be.
"""

from __future__ import annotations

import math
from typing import NamedTuple


class NodeStep(NamedTuple):
    """What a node did over one step."""

    voltage: float
    """V at the end."""
    charge: float
    """Integral of the voltage, V s."""
    square: float
    """Integral of the squared voltage, V² s."""


#: Below this share of a time constant the series are used: the closed forms cancel out there.
_SHORT = 1e-2


def solve_node(
    voltage: float, capacitance: float, conductance: float, current: float, duration: float,
) -> NodeStep:
    """Solve ``C u' = current - conductance u`` from `voltage` over `duration` s.

    A battery of voltage E behind R adds ``1 / R`` to the conductance and ``E / R`` to the current.
    `capacitance` (F) is positive, `conductance` (S) not negative.
    """
    slope = (current - conductance * voltage) / capacitance
    rate = conductance / capacitance
    x = rate * duration
    reach = _reach(rate, duration)
    # Integrals over the step of the reach and of its square.
    if x < _SHORT:
        first = duration ** 2 * (1 / 2 - x * (1 / 6 - x * (1 / 24 - x * (1 / 120 - x / 720))))
        second = duration ** 3 * (
            1 / 3 - x * (1 / 4 - x * (7 / 60 - x * (1 / 24 - x * 31 / 2520))))
    else:
        first = (duration - reach) / rate
        second = (duration - 2 * reach - math.expm1(-2 * x) / (2 * rate)) / rate ** 2
    return NodeStep(
        voltage + slope * reach, voltage * duration + slope * first,
        voltage * voltage * duration + 2 * voltage * slope * first + slope * slope * second)


def current_to_reach(
    target: float, voltage: float, capacitance: float, conductance: float, bias: float,
    duration: float,
) -> float:
    """Return the source current (A) that brings the node to `target` V at the end of the step.

    `bias` is the current (A) that flows in anyway (E / R of a battery).
    """
    slope = (target - voltage) / _reach(conductance / capacitance, duration)
    return capacitance * slope + conductance * voltage - bias


def _reach(rate: float, duration: float) -> float:
    """Return how far a slope of 1 V/s at the start comes, decaying at `rate`, in V."""
    return -math.expm1(-rate * duration) / rate if rate > 0 else duration
