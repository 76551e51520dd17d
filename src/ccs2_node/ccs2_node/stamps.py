"""Stamps of messages, which count seconds since 1970 in 32 bits."""

from __future__ import annotations

from builtin_interfaces.msg import Time

NANOSECONDS = 1_000_000_000
#: The seconds that a stamp can tell, from December 1901 to January 2038.
FIRST_SECOND, LAST_SECOND = -2**31, 2**31 - 1


def stamp(nanoseconds: int) -> Time:
    """Return a moment in ns since 1970 as a stamp, the nearest one if it cannot be told.

    A clock that is wrong by decades must not end a node.
    """
    nanoseconds = min(
        max(FIRST_SECOND * NANOSECONDS, nanoseconds), LAST_SECOND * NANOSECONDS)
    return Time(sec=nanoseconds // NANOSECONDS, nanosec=nanoseconds % NANOSECONDS)
