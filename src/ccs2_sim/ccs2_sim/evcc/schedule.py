"""Charging schedules: which one the car takes, and what it may draw by it when."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ccs2_hlc.exi.messages import iso2

#: What a schedule is worth is judged by what it gives within this time, s.
HORIZON = 3600
#: Entries of a charging profile: one less than the schema allows.
MOST_ENTRIES = 23


@dataclass(frozen=True)
class Schedule:
    """One schedule that the station offers, a tuple of the messages."""

    number: int
    limits: tuple[tuple[int, float], ...]
    """(start in s after the message, highest power in W), in order."""
    agreed: float = 0.0
    """Time of the message on the engine's clock, s."""
    end: int = 0
    """s after the message, where the protocol says it (ISO 15118-20)."""
    prices: tuple[tuple[int, float], ...] = ()
    """(start in s after the message, price of energy), in order; empty: the car knows none."""
    tolerance: float | None = None
    """W by which the car may leave its plan, where the station offers that (ISO 15118-20)."""

    def power(self, elapsed: float) -> float:
        """Return the highest power `elapsed` s after the message, W."""
        return _at(self.limits, elapsed)

    def energy(self, horizon: int = HORIZON) -> float:
        """Return the energy that the schedule allows within `horizon` s, J."""
        return self.bill(math.inf, math.inf, horizon)[0]

    def bill(self, power: float, need: float, horizon: int = HORIZON) -> tuple[float, float]:
        """Return what a car gets within `horizon` s, J, and what that costs.

        It takes `power` W at most, from the beginning on, until it has `need` J.
        """
        starts = sorted({start for start, _ in (*self.limits, *self.prices) if start < horizon})
        energy = cost = 0.0
        for start, end in zip(starts, [*starts[1:], horizon], strict=True):
            taken = min(min(self.power(start), power) * (end - start), need - energy)
            energy += taken
            cost += taken * _at(self.prices, start) if self.prices else 0.0
        return energy, cost

    def profile(self, power: float) -> iso2.ChargingProfile:
        """Return the charging profile of a car that takes `power` W at most."""
        return iso2.ChargingProfile(profile_entry=[
            iso2.ProfileEntry(
                charging_profile_entry_start=start,
                charging_profile_entry_max_power=iso2.PhysicalValue.of(
                    round(min(limit, power)), iso2.Unit.W))
            for start, limit in self.limits[:MOST_ENTRIES]])


def read(
    schedules: Sequence[iso2.SAScheduleTuple], agreed: float,
    tariffs: Mapping[int, iso2.SalesTariff],
) -> list[Schedule]:
    """Return the tuples of a list, with the prices of the `tariffs` that the car believes.

    Raise ``ValueError`` for a tuple or a tariff that does not begin at once.
    """
    prices = _prices(tariffs)
    return [
        Schedule(
            each.sa_schedule_tuple_id,
            _rising(
                [(entry, float(entry.p_max))
                 for entry in each.p_max_schedule.p_max_schedule_entry],
                f'schedule {each.sa_schedule_tuple_id}'),
            agreed, prices=prices.get(each.sa_schedule_tuple_id, ()))
        for each in schedules]


def choose(
    schedules: Sequence[Schedule], preferred: int | None = None, *,
    power: float = math.inf, need: float = math.inf,
) -> Schedule:
    """Return the schedule that a car takes which wants `need` J and takes `power` W at most.

    That with the preferred number; else the cheapest of those that give it its energy soon, if it
    knows all prices; else the one with the most energy soon.
    """
    for schedule in schedules:
        if schedule.number == preferred:
            return schedule
    enough = [each for each in schedules if each.bill(power, need)[0] >= need]
    if enough and all(each.prices for each in schedules):
        return min(enough, key=lambda each: each.bill(power, need)[1])
    return max(schedules, key=Schedule.energy)


def _at(steps: Sequence[tuple[int, float]], elapsed: float) -> float:
    return [value for start, value in steps if start <= max(elapsed, 0.0)][-1]


def _prices(
    tariffs: Mapping[int, iso2.SalesTariff],
) -> dict[int, tuple[tuple[int, float], ...]]:
    """Return prices by the schedule's number: relative ones, or levels where those are not told."""
    told = {
        number: [(entry, _relative_price(entry)) for entry in tariff.sales_tariff_entry]
        for number, tariff in tariffs.items()}
    if any(price is None for entries in told.values() for _, price in entries):
        told = {
            number: [(entry, entry.e_price_level) for entry in tariff.sales_tariff_entry]
            for number, tariff in tariffs.items()}
    if any(price is None for entries in told.values() for _, price in entries):
        return {}
    return {
        number: _rising(
            [(entry, float(price)) for entry, price in entries if price is not None],
            f'the tariff of schedule {number}')
        for number, entries in told.items()}


def _relative_price(entry: iso2.SalesTariffEntry) -> int | None:
    """Return the price in percent from the lowest power on, None if it is not told."""
    for block in entry.consumption_cost[:1]:
        for cost in block.cost:
            if cost.cost_kind is iso2.CostKind.RELATIVE_PRICE_PERCENTAGE:
                return cost.amount * 10 ** (cost.amount_multiplier or 0)
    return None


def _rising(
    entries: Sequence[tuple[iso2.PMaxScheduleEntry | iso2.SalesTariffEntry, float]], what: str,
) -> tuple[tuple[int, float], ...]:
    """Return (start, value) of entries; raise ``ValueError`` unless they rise from 0 s."""
    found = []
    for entry, value in entries:
        if not isinstance(entry.time_interval, iso2.RelativeTimeInterval):
            raise ValueError(f'{what} has no relative times')
        found.append((entry.time_interval.start, value))
    if found[0][0] != 0 or found != sorted(found, key=lambda step: step[0]):
        raise ValueError(f'entries of {what} do not rise from 0 s')
    return tuple(found)
