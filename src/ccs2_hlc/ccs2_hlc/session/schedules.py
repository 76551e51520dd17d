"""Power over time: what the station offers, and whether a vehicle's plan keeps to it.

Shared by ISO 15118-2 (SAScheduleList) and ISO 15118-20 (ScheduleExchange): nothing here knows a
message.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from .documents import list_in, member_of, number_in

#: A schedule covers a day when the vehicle does not say when it leaves [V2G2-304].
DAY = 86400
#: Longest last interval that a message can carry, s.
MAX_INTERVAL = 86400
#: Latest start that a message can carry, s.
MAX_START = 16777214
MAX_SCHEDULES = 3
MAX_NUMBER = 255
#: Decoders in vehicles take no more intervals than this.
MAX_STEPS = 12
_SHORT_MAX = 32767


@dataclass(frozen=True, slots=True)
class Step:
    """From `start` s on at most `power` W."""

    start: int
    power: float


@dataclass(frozen=True, slots=True)
class Schedule:
    """Power over time, the last step for `duration` s in all; the first one starts at 0."""

    number: int
    steps: tuple[Step, ...]
    duration: int = DAY
    #: What is taken back over time (ISO 15118-20); empty: all that the station can take.
    discharge: tuple[Step, ...] = ()
    #: W by which a vehicle that agrees may leave its plan (ISO 15118-20); ``None``: not offered.
    tolerance: float | None = None

    def power_at(self, seconds: float) -> float:
        """Return the power allowed at a time, W; the last step holds beyond the end."""
        return _power_at(self.steps, seconds)

    def discharge_power_at(self, seconds: float) -> float:
        """Return the power that may flow back at a time, W, likewise."""
        return _power_at(self.discharge, seconds) if self.discharge else math.inf

    def covers(self, plan: Sequence[Step], end: int | None = None) -> bool:
        """Tell whether a vehicle's plan stays below [V2G2-761], and within the time, forwards.

        A negative power flows out of the vehicle.  Where the plan has an `end` (ISO 15118-20) each
        step keeps to the schedule as long as it lasts; without one only its start counts: vehicles
        by ISO 15118-2 tell one step of all that they can take, whatever the schedule.
        """
        starts = [step.start for step in plan]
        ends = starts if end is None else [*starts[1:], end]
        return (
            starts == sorted(starts)
            and all(0 <= start < self.duration for start in starts)
            and (end is None or end <= self.duration)
            and all(
                -self.discharge_power_at(second) <= step.power <= self.power_at(second)
                for step, until in zip(plan, ends, strict=True)
                for second in (step.start, *self._changes(step.start, until))))

    def _changes(self, start: int, end: int) -> list[int]:
        """Return where the schedule changes between two times, s."""
        return [
            step.start for step in (*self.steps, *self.discharge) if start < step.start < end]


#: No schedule but the station's own limits.
UNLIMITED = (Schedule(1, (Step(0, math.inf),)),)


def offered(
    schedules: Sequence[Schedule], maximum_power: float, departure: int | None,
    max_steps: int | None, maximum_discharge: float = 0.0,
) -> tuple[Schedule, ...]:
    """Return the schedules as a vehicle gets them now.

    Each is capped at `maximum_power` W and `maximum_discharge` W back, ends at the `departure` (s
    from now, [V2G2-303]; ``None`` or 0: not told), has no more steps than the vehicle can store,
    and powers that a message carries exactly.
    """
    end, most = departure or DAY, max(1, min(max_steps or MAX_STEPS, MAX_STEPS))
    found = []
    for schedule in schedules:
        steps = _fitting(schedule.steps, maximum_power, end, most)
        found.append(replace(
            schedule, steps=steps, duration=min(end, steps[-1].start + MAX_INTERVAL),
            discharge=_fitting(
                schedule.discharge or (Step(0, math.inf),), maximum_discharge, end, most)))
    return tuple(found)


def _fitting(
    steps: Sequence[Step], maximum_power: float, departure: int, most: int,
) -> tuple[Step, ...]:
    fitting: list[Step] = []
    for step in steps:
        power = sendable(min(step.power, maximum_power))
        if step.start < departure and (not fitting or fitting[-1].power != power):
            fitting.append(Step(step.start, power))
    if len(fitting) > most:
        # What does not fit is told as its lowest power.
        lowest = min(step.power for step in fitting[most - 1:])
        fitting[most - 1:] = [Step(fitting[most - 1].start, lowest)]
    return tuple(fitting)


def _power_at(steps: Sequence[Step], seconds: float) -> float:
    return [step for step in steps if step.start <= seconds or not step.start][-1].power


def sendable(power: float) -> float:
    """Return the highest power not above `power` that a 16-bit number with an exponent carries."""
    unit = 1
    while power >= (_SHORT_MAX + 1) * unit:
        unit *= 10
    return float(math.floor(max(0.0, power) / unit) * unit)


def read_schedules(document: Any) -> tuple[Schedule, ...]:
    """Return the schedules of a parameter file.

    ``{'schedules': [{'number': 1, 'steps': [{'start': 0, 'power': 50e3}, ...], 'discharge':
    [{'start': 0, 'power': 20e3}, ...], 'tolerance': 500}, ...]}``; `start` in s after the vehicle
    has asked, `power` and `tolerance` in W; `discharge` and `tolerance` may be left out.  Raise
    ``ValueError`` naming what is wrong where.
    """
    items = list_in(member_of(document, 'schedules', 'file'), 'schedules', MAX_SCHEDULES)
    schedules = tuple(_read(item, f'schedules[{index}]') for index, item in enumerate(items))
    numbers = [schedule.number for schedule in schedules]
    if len(set(numbers)) != len(numbers):
        raise ValueError(f'schedules: numbers {numbers} are not all different')
    return schedules


def _read(item: Any, where: str) -> Schedule:
    number = number_in(
        member_of(item, 'number', where), f'{where}.number', 1, MAX_NUMBER, whole=True)
    steps = _read_steps(member_of(item, 'steps', where), f'{where}.steps')
    discharge = (
        _read_steps(item['discharge'], f'{where}.discharge') if 'discharge' in item else ())
    tolerance = item.get('tolerance')
    if tolerance is not None:
        tolerance = number_in(tolerance, f'{where}.tolerance', 0, 1e7)
    return Schedule(int(number), steps, discharge=discharge, tolerance=tolerance)


def _read_steps(items: Any, where: str) -> tuple[Step, ...]:
    steps = tuple(
        Step(
            int(number_in(
                member_of(step, 'start', place), f'{place}.start', 0, MAX_START, whole=True)),
            number_in(member_of(step, 'power', place), f'{place}.power', 0, 1e7))
        for index, step in enumerate(list_in(items, where, MAX_STEPS))
        for place in [f'{where}[{index}]'])
    starts = [step.start for step in steps]
    if starts[0] != 0 or starts != sorted(set(starts)):
        raise ValueError(f'{where}: starts {starts} do not rise from 0')
    return steps
