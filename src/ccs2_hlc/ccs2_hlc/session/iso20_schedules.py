"""ISO 15118-20: schedules as messages carry them, and the vehicle's plan read from one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..exi.messages.iso20 import common
from .schedules import Schedule, Step, sendable

#: Stands in a FAILED response where none were made.
NO_SCHEDULES = (Schedule(1, (Step(0, 0.0),)),)


def schedule_tuples(
    schedules: Sequence[Schedule], anchor: int, discharge_power: float | None,
) -> common.ScheduledSEResControlMode:
    """Return the schedules for a message.

    `anchor`: when they begin, s since 1970-01-01 UTC.  `discharge_power`: what the station takes
    back all the time, W; ``None``: the vehicle has not chosen to give anything.
    """
    return common.ScheduledSEResControlMode(schedule_tuple=[
        common.ScheduleTuple(
            schedule_tuple_id=schedule.number,
            charging_schedule=_charging(schedule.steps, schedule.duration, anchor),
            discharging_schedule=None if discharge_power is None else _charging(
                [Step(0, sendable(discharge_power))], schedule.duration, anchor))
        for schedule in schedules])


def _charging(steps: Sequence[Step], duration: int, anchor: int) -> common.ChargingSchedule:
    ends = [*(step.start for step in steps[1:]), duration]
    return common.ChargingSchedule(power_schedule=common.PowerSchedule(
        time_anchor=anchor,
        power_schedule_entries=common.PowerScheduleEntryList(power_schedule_entry=[
            common.PowerScheduleEntry(
                duration=end - step.start, power=common.RationalNumber.of(step.power))
            for step, end in zip(steps, ends, strict=True)])))


def plan_of(profile: common.EVPowerProfile) -> tuple[Step, ...]:
    """Return the vehicle's plan: power from a time on; negative: out of the vehicle.

    It counts from its beginning: vehicles send any anchor, zero among them.
    """
    return tuple(_steps(profile.ev_power_profile_entries.ev_power_profile_entry))


def _steps(entries: Iterable[common.PowerScheduleEntry]) -> Iterable[Step]:
    start = 0
    for entry in entries:
        yield Step(start, float(entry.power))
        start += entry.duration
