"""Power over time: what the station offers, and whether a vehicle's plan keeps to it.

Shared by ISO 15118-2 (SAScheduleList) and ISO 15118-20 (ScheduleExchange): nothing here knows a
message.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
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
    #: W by which a vehicle that agrees may leave its plan (ISO 15118-20); ``None``: not offered.
    tolerance: float | None = None

    def power_at(self, seconds: float) -> float:
        """Return the power allowed at a time, W; the last step holds beyond the end."""
        return [step for step in self.steps if step.start <= seconds or not step.start][-1].power

    def covers(self, plan: Iterable[Step]) -> bool:
        """Tell whether a vehicle's plan stays below [V2G2-761], and within the time, forwards."""
        before = 0
        for step in plan:
            if not before <= step.start < self.duration or step.power > self.power_at(step.start):
                return False
            before = step.start
        return True


#: No schedule but the station's own limits.
UNLIMITED = (Schedule(1, (Step(0, math.inf),)),)


def offered(
    schedules: Sequence[Schedule], maximum_power: float, departure: int | None,
    max_steps: int | None,
) -> tuple[Schedule, ...]:
    """Return the schedules as a vehicle gets them now.

    Each is capped at `maximum_power` W, ends at the `departure` (s from now, [V2G2-303]; ``None``
    or 0: not told), has no more steps than the vehicle can store, and powers that a message carries
    exactly.
    """
    return tuple(
        _offered(schedule, maximum_power, departure or DAY, max_steps or MAX_STEPS)
        for schedule in schedules)


def _offered(
    schedule: Schedule, maximum_power: float, departure: int, max_steps: int,
) -> Schedule:
    steps: list[Step] = []
    for step in schedule.steps:
        power = sendable(min(step.power, maximum_power))
        if step.start < departure and (not steps or steps[-1].power != power):
            steps.append(Step(step.start, power))
    most = max(1, min(max_steps, MAX_STEPS))
    if len(steps) > most:
        # What does not fit is told as its lowest power.
        lowest = min(step.power for step in steps[most - 1:])
        steps[most - 1:] = [Step(steps[most - 1].start, lowest)]
    duration = min(departure, steps[-1].start + MAX_INTERVAL)
    return replace(schedule, steps=tuple(steps), duration=duration)


def sendable(power: float) -> float:
    """Return the highest power not above `power` that a 16-bit number with an exponent carries."""
    unit = 1
    while power >= (_SHORT_MAX + 1) * unit:
        unit *= 10
    return float(math.floor(max(0.0, power) / unit) * unit)


def read_schedules(document: Any) -> tuple[Schedule, ...]:
    """Return the schedules of a parameter file.

    ``{'schedules': [{'number': 1, 'tolerance': 500, 'steps': [{'start': 0, 'power': 50e3}, ...]},
    ...]}``; `start` in s after the vehicle has asked, `power` and `tolerance`, which may be left
    out, in W.  Raise ``ValueError`` naming what is wrong where.
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
    steps = tuple(
        Step(
            int(number_in(
                member_of(step, 'start', place), f'{place}.start', 0, MAX_START, whole=True)),
            number_in(member_of(step, 'power', place), f'{place}.power', 0, 1e7))
        for index, step in enumerate(
            list_in(member_of(item, 'steps', where), f'{where}.steps', MAX_STEPS))
        for place in [f'{where}.steps[{index}]'])
    starts = [step.start for step in steps]
    if starts[0] != 0 or starts != sorted(set(starts)):
        raise ValueError(f'{where}.steps: starts {starts} do not rise from 0')
    tolerance = item.get('tolerance')
    if tolerance is not None:
        tolerance = number_in(tolerance, f'{where}.tolerance', 0, 1e7)
    return Schedule(int(number), steps, tolerance=tolerance)
