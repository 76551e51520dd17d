"""Charging schedules: which one the car takes, and what it may draw by it when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ccs2_hlc.exi.messages import iso2

#: What a schedule is worth is judged by its energy within this time, s.
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

    def power(self, elapsed: float) -> float:
        """Return the highest power `elapsed` s after the message, W."""
        return [power for start, power in self.limits if start <= max(elapsed, 0.0)][-1]

    def energy(self, horizon: int = HORIZON) -> float:
        """Return the energy that the schedule allows within `horizon` s, J."""
        ends = [*(start for start, _ in self.limits[1:]), horizon]
        return sum(power * max(min(end, horizon) - start, 0)
                   for (start, power), end in zip(self.limits, ends, strict=True))

    def profile(self, power: float) -> iso2.ChargingProfile:
        """Return the charging profile of a car that takes `power` W at most."""
        return iso2.ChargingProfile(profile_entry=[
            iso2.ProfileEntry(
                charging_profile_entry_start=start,
                charging_profile_entry_max_power=iso2.PhysicalValue.of(
                    round(min(limit, power)), iso2.Unit.W))
            for start, limit in self.limits[:MOST_ENTRIES]])


def read(schedules: Sequence[iso2.SAScheduleTuple], agreed: float) -> list[Schedule]:
    """Return the tuples of a list; raise ``ValueError`` for a tuple that does not begin at once."""
    found = []
    for each in schedules:
        limits = []
        for entry in each.p_max_schedule.p_max_schedule_entry:
            interval = entry.time_interval
            if not isinstance(interval, iso2.RelativeTimeInterval):
                raise ValueError(f'schedule {each.sa_schedule_tuple_id} has no relative times')
            limits.append((interval.start, float(entry.p_max)))
        if limits[0][0] != 0 or limits != sorted(limits, key=lambda limit: limit[0]):
            raise ValueError(
                f'entries of schedule {each.sa_schedule_tuple_id} do not rise from 0 s')
        found.append(Schedule(each.sa_schedule_tuple_id, tuple(limits), agreed))
    return found


def choose(schedules: Sequence[Schedule], preferred: int | None = None) -> Schedule:
    """Return the schedule with the most energy soon, or that with the preferred number."""
    for schedule in schedules:
        if schedule.number == preferred:
            return schedule
    return max(schedules, key=Schedule.energy)
