"""What a session asks of the power stage."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Mode(IntEnum):
    """What the power stage has to do."""

    OFF = 0
    CABLE_CHECK = 1
    PRE_CHARGE = 2
    CHARGE = 3
    STOP = 4
    WELDING_CHECK = 5


class Shutdown(IntEnum):
    """How to reach OFF when energy is flowing (IEC 61851-23:2023 CC.10)."""

    NORMAL = 0
    ERROR = 1
    EMERGENCY = 2


#: Modes in which the contactors may be closed.
ENERGISED = frozenset({Mode.CABLE_CHECK, Mode.PRE_CHARGE, Mode.CHARGE})


@dataclass(frozen=True, slots=True, kw_only=True)
class ChargeCommand:
    """One command; volts, amperes, watts, ``None`` where the mode uses none or none is known."""

    mode: Mode = Mode.OFF
    shutdown: Shutdown = Shutdown.NORMAL
    session_id: str = ''
    target_voltage: float | None = None
    #: Positive into the vehicle, negative out of it.
    target_current: float | None = None
    maximum_voltage: float | None = None
    maximum_current: float | None = None
    maximum_power: float | None = None
    maximum_discharge_current: float | None = None
    maximum_discharge_power: float | None = None
    #: Digital communication wanted (5 % duty).
    pilot_oscillator: bool = True
    lock_connector: bool = False
