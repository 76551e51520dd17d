"""The faults of the power stage and of the safety supervisor, as one table.

A fault is a level: it is listed for as long as its cause is there, and on for as long as it holds
the station. The numbers are those of ``ccs2_interfaces/msg/Fault``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum, IntEnum


class Severity(IntEnum):
    """What a fault does to the session (IEC 61851-23:2023 table CC.10)."""

    WARNING = 1
    """Charging goes on, derated or with a notice."""
    ERROR = 2
    """Error shutdown: supply off, contactors open, pilot oscillator stays for the session."""
    EMERGENCY = 3
    """Emergency shutdown: everything off at once, pilot oscillator off."""


class Hold(Enum):
    """How long a fault holds the station after its cause has gone."""

    NONE = 0
    """Not at all."""
    SESSION = 1
    """If it appeared in use: until the vehicle is unplugged, or the fault is cleared by hand."""
    LATCHED = 2
    """Until it is cleared by hand."""


class Code(IntEnum):
    """The codes of ``ccs2_interfaces/msg/Fault`` that power hardware can cause."""

    PILOT_SHORT = 101
    PILOT_DIODE = 102
    PILOT_UNPLUGGED = 103
    PILOT_LEFT_C = 104
    PILOT_MEASUREMENT = 105
    CONNECTOR_LOCK = 106
    PROXIMITY = 107
    CONNECTOR_TEMPERATURE = 108
    CONTACTOR_WELDED = 201
    CONTACTOR_NOT_CLOSING = 202
    CONTACTOR_UNEXPECTED = 203
    RESIDUAL_VOLTAGE = 204
    SHORT_CIRCUIT = 205
    ISOLATION = 301
    ISOLATION_SELF_TEST = 302
    ISOLATION_MONITOR = 303
    ISOLATION_NOT_TESTED = 304
    OVER_VOLTAGE = 401
    OVER_CURRENT = 402
    SUPPLY_SILENT = 403
    SUPPLY_FAULT = 404
    SUPPLY_DISOBEYS = 405
    METER = 406
    VOLTAGE_IMPLAUSIBLE = 407
    TEMPERATURE = 408
    PRE_CHARGE = 409
    LEASE_EXPIRED = 501
    POWER_SILENT = 502
    SAFETY_SILENT = 503
    DRIVER = 506
    EMERGENCY_STOP = 601


@dataclass(frozen=True, slots=True)
class FaultRule:
    """What follows from a fault, whoever finds it."""

    severity: Severity
    hold: Hold


_EMERGENCY = FaultRule(Severity.EMERGENCY, Hold.SESSION)
_ERROR = FaultRule(Severity.ERROR, Hold.SESSION)
_LATCHED = FaultRule(Severity.EMERGENCY, Hold.LATCHED)

#: IEC 61851-23:2023 table CC.10 as this station reads it: what cannot be trusted any longer
#: (pilot, contactors, measurements, peers) is an emergency; what is known and bounded, an error.
FAULT_RULES: dict[Code, FaultRule] = {
    Code.PILOT_SHORT: _EMERGENCY,
    Code.PILOT_DIODE: _EMERGENCY,
    Code.PILOT_UNPLUGGED: _EMERGENCY,
    Code.PILOT_LEFT_C: _EMERGENCY,
    Code.PILOT_MEASUREMENT: _EMERGENCY,
    Code.CONNECTOR_LOCK: _ERROR,
    Code.PROXIMITY: _ERROR,
    Code.CONNECTOR_TEMPERATURE: _ERROR,
    Code.CONTACTOR_WELDED: _LATCHED,
    Code.CONTACTOR_NOT_CLOSING: _LATCHED,
    Code.CONTACTOR_UNEXPECTED: _LATCHED,
    Code.RESIDUAL_VOLTAGE: _ERROR,
    Code.SHORT_CIRCUIT: _ERROR,
    Code.ISOLATION: _ERROR,
    Code.ISOLATION_SELF_TEST: _ERROR,
    Code.ISOLATION_MONITOR: _ERROR,
    Code.ISOLATION_NOT_TESTED: _ERROR,
    Code.OVER_VOLTAGE: _EMERGENCY,
    Code.OVER_CURRENT: _EMERGENCY,
    Code.SUPPLY_SILENT: _EMERGENCY,
    Code.SUPPLY_FAULT: _ERROR,
    Code.SUPPLY_DISOBEYS: _EMERGENCY,
    Code.METER: _ERROR,
    Code.VOLTAGE_IMPLAUSIBLE: _EMERGENCY,
    Code.TEMPERATURE: _ERROR,
    Code.PRE_CHARGE: _ERROR,
    Code.LEASE_EXPIRED: _EMERGENCY,
    Code.POWER_SILENT: _EMERGENCY,
    Code.SAFETY_SILENT: _EMERGENCY,
    Code.DRIVER: _EMERGENCY,
    Code.EMERGENCY_STOP: _LATCHED,
}


@dataclass(slots=True)
class Fault:
    """One fault that is present or that still holds the station."""

    code: Code
    source: str
    severity: Severity
    message: str
    since: float
    """When it appeared, in s of the monotonic clock."""
    present: bool
    held: bool
    """Holds the station although its cause may have gone."""


class FaultBook:
    """The faults of one node, by code and source."""

    def __init__(self) -> None:
        self._faults: dict[tuple[Code, str], Fault] = {}
        #: Energy is wanted or flowing: faults of :attr:`Hold.SESSION` that appear now are held.
        self.in_use = False

    def __iter__(self) -> Iterator[Fault]:
        """Worst first, then oldest."""
        return iter(sorted(self._faults.values(), key=lambda fault: (-fault.severity, fault.since)))

    def __contains__(self, code: object) -> bool:
        return any(fault.code == code for fault in self._faults.values())

    @property
    def worst(self) -> Severity | None:
        """The highest severity in the book, or None."""
        return max((fault.severity for fault in self._faults.values()), default=None)

    def set(
        self, code: Code, present: bool, now: float, message: str = '', source: str = '',
        severity: Severity | None = None,
    ) -> None:
        """Say whether a fault's cause is there now; `severity` if it differs from the table's."""
        key = (code, source)
        fault = self._faults.get(key)
        if not present:
            if fault is not None:
                fault.present = False
                if not fault.held:
                    del self._faults[key]
            return
        rule = FAULT_RULES[code]
        severity = rule.severity if severity is None else severity
        if fault is None:
            fault = Fault(code, source, severity, message, now, True, False)
            self._faults[key] = fault
        fault.present = True
        fault.message = message
        # A held fault does not get milder until it is released.
        fault.severity = max(severity, fault.severity) if fault.held else severity
        if severity > Severity.WARNING:
            fault.held |= rule.hold is Hold.LATCHED or (rule.hold is Hold.SESSION and self.in_use)

    def release(self) -> None:
        """End the hold of faults that hold only for a session: the vehicle has been unplugged.

        What is present stays, but does not hold the next vehicle once it has gone.
        """
        session = [key for key in self._faults if FAULT_RULES[key[0]].hold is not Hold.LATCHED]
        for key in session:
            self._faults[key].held = False
        self._release(session)

    def restore(self, codes: Iterable[Code], now: float) -> None:
        """Hold faults from before a restart again, each for as long as its rule says."""
        for code in codes:
            key = (code, 'before restart')
            self._faults[key] = Fault(
                code, key[1], FAULT_RULES[code].severity, 'held since before the restart', now,
                present=False, held=True)

    @property
    def held(self) -> list[Code]:
        """The codes that hold the station, whether their causes are there or not."""
        return sorted({fault.code for fault in self._faults.values() if fault.held})

    def clear(self, codes: Iterable[int] = ()) -> list[Code]:
        """Release faults by hand, all or those of `codes`; return the codes that are left.

        What is present stays.
        """
        wanted = set(codes)
        self._release(key for key in self._faults if not wanted or key[0] in wanted)
        return sorted({code for code, _ in self._faults})

    def _release(self, keys: Iterable[tuple[Code, str]]) -> None:
        for key in list(keys):
            if not self._faults[key].present:
                del self._faults[key]
