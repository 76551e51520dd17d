"""Supervision of the output: does it do what it was told, and do the measurements agree.

The millisecond trips are the hardware's (docs/safety.md); these are the slower, independent second
look at voltage, current, obedience and plausibility.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

from ccs2_power.faults import Code, FaultBook, Severity
from ccs2_power.hal import Measurement, MeterReading, SupplyCommand, SupplyReading
from ccs2_power.settings import PowerSettings
from ccs2_power.timing import Persistence, fresh, fresh_contact
from ccs2_power.voltage import VOLTAGE_TOLERANCE, over_voltage_threshold

#: A voltage above the vehicle's maximum is an error after this time in s (table 104).
OVER_VOLTAGE_TIME = 0.4
#: Accuracy of currents: a share of the limit, plus A; and how long an excess is tolerated in s.
CURRENT_SHARE, CURRENT_TOLERANCE, OVER_CURRENT_TIME = 0.03, 2.0, 0.3
#: The meter is slower than the supply: its excess is tolerated for so long, and told by values
#: that are no older than this, in s.
METER_OVER_CURRENT_TIME, METER_NEWEST = 2.0, 1.5
#: A supply obeys within this time in s.
OBEY_TIME = 1.0
#: A difference that lasts no longer than this is noise, in s.
DIFFERS_TIME = 0.2
#: Off means below this, in A.
OFF_CURRENT = 5.0
#: Meter and supply may differ by this share of the current, plus A, for so long in s.
METER_SHARE, METER_TOLERANCE, METER_TIME = 0.05, 5.0, 10.0
#: Isolation monitor and meter may tell a mean over so long a time before their stamp, in s.
MEAN_TIME = 1.0
#: So much energy in J flows without a count of the meter, at most (0.5 kWh).
UNCOUNTED = 1.8e6
#: Values of a supply that do not move at all for so long in s, while its set-point has moved by so
#: many A and its voltage leaves room to follow, are frozen.
FROZEN_TIME, FROZEN_CURRENT = 2.0, 5.0


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
    charge_limit: float
    """What must not be exceeded into the vehicle."""
    discharge_limit: float
    """What must not be exceeded out of the vehicle; >= 0."""
    rated_voltage: float
    """The vehicle's maximum or, as long as it is unknown, the station's rating."""
    contactors_closed: bool
    connector_voltage: Measurement[float] | None
    monitor_voltage: Measurement[float] | None
    meter: MeterReading | None


class VoltageHistory:
    """What the supply has said of its voltage, for as long as another measurement may be late."""

    def __init__(self, length: float) -> None:
        self._length = length
        self._said: deque[Measurement[float]] = deque()

    def note(self, measurement: Measurement[float]) -> None:
        """Take the newest value, and forget what is too old."""
        if not self._said or measurement.stamp > self._said[-1].stamp:
            self._said.append(measurement)
        while len(self._said) > 1 and measurement.stamp - self._said[1].stamp > self._length:
            self._said.popleft()

    def distance(self, voltage: float, since: float) -> float:
        """Return how far in V a voltage is from all that the supply said from `since` on."""
        low, high = math.inf, -math.inf
        for said in reversed(self._said):
            low, high = min(low, said.value), max(high, said.value)
            if said.stamp <= since:
                break
        return max(0.0, low - voltage, voltage - high)


class OutputWatch:
    """Supervision of the output, beat by beat, into a book of faults."""

    def __init__(self, faults: FaultBook, settings: PowerSettings) -> None:
        self._faults = faults
        self._settings = settings
        self._timers: dict[str, Persistence] = {}
        self._voltages = VoltageHistory(
            max(settings.isolation_timeout, settings.meter_timeout) + MEAN_TIME)
        #: Commands of the last :data:`OBEY_TIME`, each with the time until which it was told.
        self._told: deque[tuple[float, SupplyCommand]] = deque()
        #: The supply's newest values, and what it was told when it first said them.
        self._said: tuple[float | None, float | None] = None, None
        self._told_then = 0.0
        self._last_step: float | None = None
        #: The meter's newest registers, and what has flowed since they moved, in J.
        self._registers: tuple[float | None, ...] = ()
        self._uncounted = 0.0

    def step(self, view: OutputView, now: float) -> None:
        """Set or lift every fault that the output can show."""
        self._judge_limits(view, now)
        self._judge_obedience(view, now)
        self._judge_movement(view, now)
        self._judge_plausibility(view, now)
        self._judge_meter(view, now)
        self._last_step = now

    def _lasts(self, name: str, condition: bool, now: float, duration: float) -> bool:
        return self._timers.setdefault(name, Persistence()).exceeds(condition, now, duration)

    def _judge_limits(self, view: OutputView, now: float) -> None:
        voltage = view.voltage
        threshold = over_voltage_threshold(view.rated_voltage)
        high = voltage is not None and abs(voltage) > threshold
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
        told = [view.commanded.current, *(command.current for _, command in self._told)]
        into = max(view.charge_limit, *told)
        out_of = max(view.discharge_limit, *(-current for current in told))
        into, out_of = into + _margin(into), out_of + _margin(out_of)
        newest = None if view.meter is None else fresh(view.meter.current, now, METER_NEWEST)
        for source, value, duration in (
            ('output', view.current, OVER_CURRENT_TIME),
            ('meter', newest, METER_OVER_CURRENT_TIME),
        ):
            over = value is not None and not -out_of <= value <= into
            self._faults.set(
                Code.OVER_CURRENT, self._lasts(f'over {source}', over, now, duration), now,
                f'{value or 0.0:.1f} A, limits {-out_of:.1f} A and {into:.1f} A', source)

    def _judge_obedience(self, view: OutputView, now: float) -> None:
        told = view.commanded
        on = fresh_contact(view.supply.on, now, self._settings.supply_timeout)
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
        margin = _margin(max(map(abs, currents)))
        outputs = (
            ('current', view.current, min(0.0, *currents), max(0.0, *currents), margin),
            ('set voltage', fresh(view.supply.set_voltage, now, self._settings.supply_timeout),
             min(voltages), max(voltages), VOLTAGE_TOLERANCE),
            ('set current', fresh(view.supply.set_current, now, self._settings.supply_timeout),
             min(currents), max(currents), margin),
        )
        for name, value, low, high, tolerance in outputs:
            differs = told.on and value is not None and not (
                low - tolerance <= value <= high + tolerance)
            self._faults.set(
                Code.SUPPLY_DISOBEYS, self._lasts(name, differs, now, DIFFERS_TIME), now,
                f'{name} {value or 0.0:.1f} is not within {low:.1f} to {high:.1f} as told', name)

    def _judge_plausibility(self, view: OutputView, now: float) -> None:
        # Monitor and meter are slower than the ramp: each is compared with what the supply said
        # when it was measured, and since.
        settings, supply, meter = self._settings, view.supply.voltage, view.meter
        if view.voltage is not None and supply is not None:
            self._voltages.note(supply)
        others = (
            ('connector', view.connector_voltage, settings.voltmeter_timeout, 0.0),
            ('isolation monitor', view.monitor_voltage, settings.isolation_timeout, MEAN_TIME),
            ('meter', None if meter is None else meter.voltage, settings.meter_timeout, MEAN_TIME),
        )
        for name, measurement, age, mean_time in others:
            value = fresh(measurement, now, age)
            differs = (
                view.contactors_closed and view.voltage is not None
                and measurement is not None and value is not None
                and self._voltages.distance(value, measurement.stamp - mean_time)
                > settings.implausible_voltage)
            self._faults.set(
                Code.VOLTAGE_IMPLAUSIBLE,
                self._lasts(f'voltage of {name}', differs, now, settings.implausible_time), now,
                f'supply says {view.voltage or 0.0:.0f} V, {name} says {value or 0.0:.0f} V', name)

    def _judge_movement(self, view: OutputView, now: float) -> None:
        told, said = view.commanded, (view.voltage, view.current)
        if said != self._said or not told.on:
            self._said, self._told_then = said, told.current
        voltage, current = said
        frozen = False
        if voltage is not None and current is not None:
            # Voltage regulation explains a current that does not follow; so does a limit, but
            # never to the last digit.
            sign = 1.0 if told.current >= 0.0 else -1.0
            room = sign * (told.voltage - voltage) > VOLTAGE_TOLERANCE
            asked = sign * (told.current - self._told_then) > FROZEN_CURRENT
            missing = sign * (told.current - current) > FROZEN_CURRENT + _margin(told.current)
            frozen = told.on and room and asked and missing
        self._faults.set(
            Code.SUPPLY_SILENT, self._lasts('frozen', frozen, now, FROZEN_TIME), now,
            f'values of the supply stand still at {voltage or 0.0:.1f} V, {current or 0.0:.1f} A '
            f'although it was told {told.current:.1f} A', 'frozen')

    def _judge_meter(self, view: OutputView, now: float) -> None:
        meter, voltage, current = view.meter, view.voltage, view.current
        if meter is None:
            return
        other = fresh(meter.current, now, self._settings.meter_timeout)
        differs = other is not None and current is not None and (
            abs(other - current) > METER_SHARE * abs(current) + METER_TOLERANCE)
        self._faults.set(
            Code.METER, self._lasts('current of meter', differs, now, METER_TIME), now,
            f'supply says {current or 0.0:.1f} A, meter says {other or 0.0:.1f} A', 'current')
        registers = tuple(None if register is None else register.value
                          for register in (meter.energy_imported, meter.energy_exported))
        counted = registers[0 if (current or 0.0) >= 0.0 else 1]
        if registers != self._registers or counted is None:
            self._registers, self._uncounted = registers, 0.0
        elif voltage is not None and current is not None and self._last_step is not None:
            self._uncounted += abs(voltage * current) * (now - self._last_step)
        self._faults.set(
            Code.METER, self._uncounted > UNCOUNTED, now,
            f'energy of the meter stands still, {self._uncounted / 3.6e6:.2f} kWh have flowed',
            'count')


def _margin(current: float) -> float:
    """Return by how many A a supply may differ from a current."""
    return CURRENT_SHARE * abs(current) + CURRENT_TOLERANCE
