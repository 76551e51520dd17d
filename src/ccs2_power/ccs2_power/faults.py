"""The faults of the power stage and of the safety supervisor, as one table.

A fault is a level: it is listed for as long as its cause is there, and on when it latches.
The numbers are those of `ccs2_interfaces/msg/Fault`.
"""

from __future__ import annotations

from enum import IntEnum


class Severity(IntEnum):
    """What a fault does to the session (IEC 61851-23:2023 table CC.10)."""

    WARNING = 1
    """Charging goes on, derated or with a notice."""
    ERROR = 2
    """Error shutdown: supply off, contactors open, pilot oscillator stays for the session."""
    EMERGENCY = 3
    """Emergency shutdown: everything off at once, pilot oscillator off."""
