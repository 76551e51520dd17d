"""The verdict on the isolation resistance (facts as public sources cite IEC 61851-23)."""

from __future__ import annotations

from enum import Enum, IntEnum


class IsolationState(IntEnum):
    """The states of ``ccs2_interfaces/msg/Isolation``."""

    UNKNOWN = 0
    INVALID = 1
    VALID = 2
    WARNING = 3
    FAULT = 4
    NO_MONITOR = 5


class IsolationEdition(Enum):
    """Which edition of IEC 61851-23 sets the limits."""

    EDITION_2014 = '2014'
    """Fault below 100 ohm/V of the highest output voltage, warning below 500 ohm/V."""
    EDITION_2023 = '2023'
    """Fault below 100 kohm, no warning."""


#: Edition 2023, in ohm.
FAULT_RESISTANCE = 100e3
#: Edition 2014, in ohm for each V.
FAULT_OHM_PER_VOLT = 100.0
WARNING_OHM_PER_VOLT = 500.0


def isolation_verdict(
    resistance: float, maximum_voltage: float, edition: IsolationEdition,
) -> IsolationState:
    """Judge a measured resistance in ohm; `maximum_voltage` is the output's highest in V."""
    if edition is IsolationEdition.EDITION_2023:
        return IsolationState.FAULT if resistance < FAULT_RESISTANCE else IsolationState.VALID
    if resistance < FAULT_OHM_PER_VOLT * maximum_voltage:
        return IsolationState.FAULT
    if resistance < WARNING_OHM_PER_VOLT * maximum_voltage:
        return IsolationState.WARNING
    return IsolationState.VALID
