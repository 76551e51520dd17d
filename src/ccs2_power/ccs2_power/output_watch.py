"""Supervision of the output: does it do what it was told, and do the measurements agree.

The millisecond trips are the hardware's (docs/safety.md); these are the slower, independent second
look at voltage, current, obedience and plausibility.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from ccs2_power.faults import Code, FaultBook, Severity
from ccs2_power.hal import SupplyCommand, SupplyReading
from ccs2_power.timing import Persistence, fresh, fresh_contact
from ccs2_power.voltage import over_voltage_threshold

#: A voltage above the vehicle's maximum is an error after this time in s (table 104).
OVER_VOLTAGE_TIME = 0.4
#: Accuracy that a supply's voltage has to have, in V.
VOLTAGE_TOLERANCE = 10.0
#: Accuracy of currents: a share of the limit, plus A; and how long an excess is tolerated in s.
CURRENT_SHARE, CURRENT_TOLERANCE, OVER_CURRENT_TIME = 0.03, 2.0, 0.3
#: A supply obeys within this time in s.
OBEY_TIME = 1.0
#: A difference that lasts no longer than this is noise, in s.
DIFFERS_TIME = 0.2
#: Off means below this, in A.
OFF_CURRENT = 5.0
#: Meter and supply may differ by this share of the current, plus A, for so long in s.
METER_SHARE, METER_TOLERANCE, METER_TIME = 0.05, 5.0, 10.0


@dataclass(frozen=True, slots=True)
class OutputView:
    """One beat's measurements and set-points. Voltages in V, currents in A; None = not measured."""

    supply: SupplyReading
    voltage: float | None
    current: float | None
    commanded: SupplyCommand
    """What the supply has been told until now."""
    voltage_limit: float
    """What the output must not exceed: the vehicle's maximum, or the cable check's voltage."""
    current_limit: float
    """What the output must not exceed in either direction."""
    rated_voltage: float
    """The vehicle's maximum or, as long as it is unknown, the station's rating."""
    contactors_closed: bool
    connector_voltage: float | None
    monitor_voltage: float | None
    meter_voltage: float | None
    meter_current: float | None


class OutputWatch:
    """Supervision of the output, beat by beat, into a book of faults."""

    def __init__(
        self, faults: FaultBook, supply_age: float, implausible_voltage: float,
        implausible_time: float,
    ) -> None:
        self._faults = faults
        self._supply_age = supply_age
        self._implausible_voltage = implausible_voltage
        self._implausible_time = implausible_time
        self._timers: dict[str, Persistence] = {}
        #: Commands of the last :data:`OBEY_TIME`, each with the time until which it was told.
        self._told: deque[tuple[float, SupplyCommand]] = deque()

    def step(self, view: OutputView, now: float) -> None:
        """Set or lift every fault that the output can show."""
        self._judge_limits(view, now)
        self._judge_obedience(view, now)
        self._judge_plausibility(view, now)

    def _lasts(self, name: str, condition: bool, now: float, duration: float) -> bool:
        return self._timers.setdefault(name, Persistence()).exceeds(condition, now, duration)

    def _judge_limits(self, view: OutputView, now: float) -> None:
        voltage, current = view.voltage, view.current
        threshold = over_voltage_threshold(view.rated_voltage)
        high = voltage is not None and voltage > threshold
        self._faults.set(
            Code.OVER_VOLTAGE, high, now, f'{voltage or 0.0:.0f} V, threshold {threshold:.0f} V',
            'output')
        above = (voltage is not None and view.commanded.on
                 and voltage > view.voltage_limit + VOLTAGE_TOLERANCE)
        self._faults.set(
            Code.OVER_VOLTAGE, self._lasts('above', above, now, OVER_VOLTAGE_TIME), now,
            f'{voltage or 0.0:.0f} V, limit {view.voltage_limit:.0f} V', 'limit', Severity.ERROR)
        # A limit that falls, at the vehicle's wish even to zero, clamps the set-point at once; the
        # supply needs its time to follow.
        told = (abs(command.current) for _, command in self._told)
        limit = max(view.current_limit, abs(view.commanded.current), *told)
        limit += CURRENT_SHARE * limit + CURRENT_TOLERANCE
        over = current is not None and abs(current) > limit
        self._faults.set(
            Code.OVER_CURRENT, self._lasts('over', over, now, OVER_CURRENT_TIME), now,
            f'{current or 0.0:.1f} A, limit {limit:.1f} A', 'output')

    def _judge_obedience(self, view: OutputView, now: float) -> None:
        told = view.commanded
        on = fresh_contact(view.supply.on, now, self._supply_age)
        stays_on = not told.on and (on is True or abs(view.current or 0.0) > OFF_CURRENT)
        self._faults.set(
            Code.SUPPLY_DISOBEYS, self._lasts('stays on', stays_on, now, OBEY_TIME), now,
            'supply does not switch off', 'off')
        stays_off = told.on and on is False
        self._faults.set(
            Code.SUPPLY_DISOBEYS, self._lasts('stays off', stays_off, now, 2 * OBEY_TIME), now,
            'supply does not switch on', 'on')
        if self._told and self._told[-1][1] == told:
            self._told.pop()
        self._told.append((now, told))
        while now - self._told[0][0] > OBEY_TIME:
            self._told.popleft()
        # The supply may be as late as that: what it was told meanwhile is right, too.
        voltages = [command.voltage for _, command in self._told]
        currents = [command.current for _, command in self._told]
        margin = CURRENT_SHARE * max(map(abs, currents)) + CURRENT_TOLERANCE
        outputs = (
            ('current', view.current, min(0.0, *currents), max(0.0, *currents), margin),
            ('set voltage', fresh(view.supply.set_voltage, now, self._supply_age),
             min(voltages), max(voltages), VOLTAGE_TOLERANCE),
            ('set current', fresh(view.supply.set_current, now, self._supply_age),
             min(currents), max(currents), margin),
        )
        for name, value, low, high, tolerance in outputs:
            differs = told.on and value is not None and not (
                low - tolerance <= value <= high + tolerance)
            self._faults.set(
                Code.SUPPLY_DISOBEYS, self._lasts(name, differs, now, DIFFERS_TIME), now,
                f'{name} {value or 0.0:.1f} is not within {low:.1f} to {high:.1f} as told', name)

    def _judge_plausibility(self, view: OutputView, now: float) -> None:
        others = {'connector': view.connector_voltage, 'isolation monitor': view.monitor_voltage,
                  'meter': view.meter_voltage}
        for name, value in others.items():
            differs = (view.contactors_closed and value is not None and view.voltage is not None
                       and abs(value - view.voltage) > self._implausible_voltage)
            self._faults.set(
                Code.VOLTAGE_IMPLAUSIBLE,
                self._lasts(f'voltage of {name}', differs, now, self._implausible_time), now,
                f'supply says {view.voltage or 0.0:.0f} V, {name} says {value or 0.0:.0f} V', name)
        meter, current = view.meter_current, view.current
        differs = meter is not None and current is not None and (
            abs(meter - current) > METER_SHARE * abs(current) + METER_TOLERANCE)
        self._faults.set(
            Code.METER, self._lasts('current of meter', differs, now, METER_TIME), now,
            f'supply says {current or 0.0:.1f} A, meter says {meter or 0.0:.1f} A', 'current')
