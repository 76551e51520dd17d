"""How many amperes a connector's vehicle may want, as its topics say: it gets modules by that.

A vehicle that is plugged in and offered digital communication gets one module, so that there is a
supply when its session comes; in the session it gets modules for what it says that it takes at
most. What a session has ended with needs none any longer.
"""

from __future__ import annotations

from ccs2_power.command import ChargeCommand, Lease, Mode
from ccs2_power.timing import is_fresh

#: What a vehicle wants that has not said it, in A: one module.
LEAST = 1.0
#: A control pilot that is not told for so long is unknown, in s; it is told every 100 ms.
PILOT_AGE = 1.0
#: The energy has been given: nothing more is wanted.
OVER = frozenset({Mode.STOP, Mode.WELDING_CHECK})


class Want:
    """Keeps what was heard; times are those of arrival."""

    def __init__(self, maximum_current: float) -> None:
        """Take the highest current in A that the connector itself can carry."""
        self._maximum = maximum_current
        self._lease = Lease()
        self._waiting: float | None = None

    def hear_pilot(self, waiting: bool, now: float) -> None:
        """Take whether a vehicle is plugged in and offered digital communication."""
        self._waiting = now if waiting else None

    def hear_command(self, command: ChargeCommand, now: float) -> None:
        """Take a charge command."""
        self._lease.offer(command, now)

    def current(self, on: bool, now: float) -> float:
        """Return the current in A that may be wanted; `on`: the output is on."""
        return max(self._of_vehicle(now), LEAST if on else 0.0)

    def _of_vehicle(self, now: float) -> float:
        command = self._lease.current(now)
        if command is not None and command.session_id:
            if command.mode in OVER:
                return 0.0
            wanted = LEAST if command.maximum_current is None else command.maximum_current
            return max(LEAST, min(wanted, self._maximum))
        waits = self._waiting is not None and is_fresh(self._waiting, now, PILOT_AGE)
        return LEAST if waits else 0.0
