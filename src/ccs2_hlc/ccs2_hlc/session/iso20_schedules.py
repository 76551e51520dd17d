"""ISO 15118-20: schedules as messages carry them, and the vehicle's plan read from one."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any, Protocol, TypeVar

from ..exi.messages.iso20 import common
from .schedules import MAX_NUMBER, Schedule, Step
from .tariffs import Prices, Tariff, Tariffs

#: The price depends on the power alone.
PRICE_ALGORITHM = 'urn:iso:std:iso:15118:-20:PriceAlgorithm:1-Power'
#: Stands in a FAILED response where none were made.
NO_SCHEDULES = (Schedule(1, (Step(0, 0.0),), discharge=(Step(0, 0.0),)),)


def schedule_tuples(
    schedules: Sequence[Schedule], anchor: int, tariffs: Tariffs | None, *, discharge: bool,
) -> common.ScheduledSEResControlMode:
    """Return the schedules for a message.

    `anchor`: when they begin, s since 1970-01-01 UTC.  `discharge`: the vehicle may give energy.
    """
    return common.ScheduledSEResControlMode(schedule_tuple=[
        common.ScheduleTuple(
            schedule_tuple_id=schedule.number,
            charging_schedule=common.ChargingSchedule(
                power_schedule=_power(
                    schedule.steps, schedule.duration, anchor, schedule.tolerance),
                **price_of(tariffs, schedule, anchor)),
            discharging_schedule=None if not discharge else common.ChargingSchedule(
                power_schedule=_power(schedule.discharge, schedule.duration, anchor),
                **_price_of_discharge(tariffs, schedule, anchor)))
        for schedule in schedules])


def price_of(tariffs: Tariffs | None, schedule: Schedule, anchor: int) -> dict[str, Any]:
    """Return the price schedule that belongs to a schedule, by the name of its element."""
    if tariffs is None:
        return {}
    tariff = tariffs.each[schedule.number]
    return _price_schedule(tariff, anchor, schedule.duration, schedule.number)


def _price_of_discharge(
    tariffs: Tariffs | None, schedule: Schedule, anchor: int,
) -> dict[str, Any]:
    tariff = None if tariffs is None else tariffs.each[schedule.number]
    if tariff is None or not tariff.discharge:
        return {}
    return _price_schedule(
        tariff.of_discharge(), anchor, schedule.duration, MAX_NUMBER + schedule.number)


def _price_schedule(tariff: Tariff, anchor: int, end: int, number: int) -> dict[str, Any]:
    about: dict[str, Any] = {
        'time_anchor': anchor, 'price_schedule_id': number,
        'price_schedule_description': tariff.description or None}
    if isinstance(tariff, Prices):
        return {'absolute_price_schedule': common.AbsolutePriceSchedule(
            **about, currency=tariff.currency, language=tariff.language,
            price_algorithm=PRICE_ALGORITHM,
            price_rule_stacks=common.PriceRuleStackList(price_rule_stack=[
                common.PriceRuleStack(duration=duration, price_rule=[common.PriceRule(
                    energy_fee=common.RationalNumber.of(step.price),
                    power_range_start=common.RationalNumber.of(0.0))])
                for step, duration in _lasting(tariff.steps, end)]))}
    return {'price_level_schedule': common.PriceLevelSchedule(
        **about, number_of_price_levels=len({step.level for step in tariff.steps}),
        price_level_schedule_entries=common.PriceLevelScheduleEntryList(
            price_level_schedule_entry=[
                common.PriceLevelScheduleEntry(duration=duration, price_level=step.level)
                for step, duration in _lasting(tariff.steps, end)]))}


def _power(
    steps: Sequence[Step], duration: int, anchor: int, tolerance: float | None = None,
) -> common.PowerSchedule:
    return common.PowerSchedule(
        time_anchor=anchor,
        power_tolerance=None if tolerance is None else common.RationalNumber.of(tolerance),
        power_schedule_entries=common.PowerScheduleEntryList(power_schedule_entry=[
            common.PowerScheduleEntry(
                duration=lasts, power=common.RationalNumber.of(step.power))
            for step, lasts in _lasting(steps, duration)]))


class _Starting(Protocol):
    @property
    def start(self) -> int: ...


S = TypeVar('S', bound=_Starting)


def _lasting(steps: Sequence[S], end: int) -> list[tuple[S, int]]:
    """Return the steps that start before the end, each with how long it lasts, s."""
    within = [step for step in steps if step.start < end]
    ends = [*(step.start for step in within[1:]), end]
    return [(step, ends[index] - step.start) for index, step in enumerate(within)]


def plan_of(profile: common.EVPowerProfile) -> tuple[tuple[Step, ...], int]:
    """Return the vehicle's plan, power from a time on, and its end; negative: out of the vehicle.

    It counts from its beginning: vehicles send any anchor, zero among them.
    """
    entries = profile.ev_power_profile_entries.ev_power_profile_entry
    *starts, end = accumulate((entry.duration for entry in entries), initial=0)
    return tuple(
        Step(start, float(entry.power))
        for start, entry in zip(starts, entries, strict=True)), end
