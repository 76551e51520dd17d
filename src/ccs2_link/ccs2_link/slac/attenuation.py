"""Averages of attenuation profiles, corrected for what the own coupling adds."""

from __future__ import annotations

from array import array
from dataclasses import dataclass

from ccs2_link.homeplug.messages import GROUPS

_LOWEST, _HIGHEST = 0, 255


@dataclass(frozen=True, slots=True)
class Calibration:
    """Corrections [dB], added to the average: one for all groups and one for each of the 58."""

    offset: int = 0
    groups: tuple[int, ...] = (0,) * GROUPS

    def __post_init__(self) -> None:
        """Raise ValueError unless there is a correction within -100..100 dB for every group."""
        if len(self.groups) != GROUPS:
            raise ValueError(
                f'calibration has {len(self.groups)} groups, a profile has {GROUPS}')
        for value in (self.offset, *self.groups):
            if not -100 <= value <= 100:
                raise ValueError(f'calibration of {value} dB is outside -100..100 dB')

    def apply(self, averages: tuple[int, ...]) -> tuple[int, ...]:
        """Return corrected averages, kept within the 0..255 dB that an octet can say."""
        return tuple(
            min(_HIGHEST, max(_LOWEST, average + self.offset + group))
            for average, group in zip(averages, self.groups, strict=True)
        )


class ProfileSum:
    """Sums profiles group by group; its size does not depend on how many there were."""

    __slots__ = ('_sums', 'count')

    def __init__(self) -> None:
        self.count = 0
        self._sums = array('L', bytes(array('L').itemsize * GROUPS))

    def add(self, profile: bytes) -> None:
        """Add one profile of 58 octets."""
        for group, value in enumerate(profile):
            self._sums[group] += value
        self.count += 1

    def averages(self) -> tuple[int, ...]:
        """Return the whole dB of each group's mean; only when a profile was added.

        The fraction is cut off, as the stations in the field do.
        """
        return tuple(total // self.count for total in self._sums)


def mean(profile: tuple[int, ...]) -> float:
    """Return the mean of all groups [dB], the figure that stations are compared by."""
    return sum(profile) / len(profile)
