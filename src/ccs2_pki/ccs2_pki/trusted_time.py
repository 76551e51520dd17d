"""Whether the clock may be believed.

Certificates are checked against a time. A controller that boots without a battery-backed clock
lives in 1970, one with a dead battery anywhere. So a time counts only if it lies in a plausible
span and, unless a site decides otherwise, if the kernel says that it is synchronised (NTP, PTP, or
the time of a back office).
"""

import ctypes
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from ccs2_pki.certificate import Certificate

RELEASE = datetime(2025, 1, 1, tzinfo=UTC)
"""No station runs this software before it was written."""

LIFETIME = timedelta(days=30 * 365)
"""Nor that long after."""

_TIME_ERROR = 5  # of adjtimex(2): the clock is not synchronised


def plausible(now: datetime, certificates: Iterable[Certificate] = ()) -> bool:
    """Tell whether a time can be: not before the release, nor before a certificate was installed.

    A certificate in the store was valid when it was installed, so time has passed its
    ``not_before``.
    """
    floor = max([RELEASE, *(certificate.not_before for certificate in certificates)])
    return floor <= now <= RELEASE + LIFETIME


def synchronised() -> bool:
    """Ask the kernel whether something keeps its clock (read-only adjtimex call)."""
    library = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(512)  # struct timex with modes = 0, larger than any ABI's
    state: int = library.adjtimex(buffer)
    return 0 <= state < _TIME_ERROR


def trusted_now(certificates: Iterable[Certificate] = (), *,
                require_synchronised: bool = True) -> datetime | None:
    """Return the present time if it may be believed, else None."""
    now = datetime.now(UTC)
    if not plausible(now, certificates) or (require_synchronised and not synchronised()):
        return None
    return now
