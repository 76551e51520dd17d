"""Real-time scheduling of a node's process, where the system permits it, and the beat's jitter."""

from __future__ import annotations

import ctypes
import os

MCL_CURRENT, MCL_FUTURE = 1, 2


def make_realtime(priority: int) -> str:
    """Give this process SCHED_FIFO and lock its memory; return '' or why that was refused.

    `priority` is 1..99. Linux schedules threads: all that exist get it, and their children.
    """
    try:
        for thread in os.listdir('/proc/self/task'):
            os.sched_setscheduler(int(thread), os.SCHED_FIFO, os.sched_param(priority))
    except OSError as error:
        return f'SCHED_FIFO {priority}: {error.strerror} (CAP_SYS_NICE or RLIMIT_RTPRIO is needed)'
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mlockall(MCL_CURRENT | MCL_FUTURE) != 0:
        return f'mlockall: {os.strerror(ctypes.get_errno())} (CAP_IPC_LOCK is needed)'
    return ''


class BeatMeter:
    """How late the beats of a control loop come."""

    def __init__(self, period: float) -> None:
        self._period = period
        self._last: float | None = None
        self._worst = 0.0
        self.beats = 0

    def note(self, now: float) -> None:
        """Note a beat at monotonic time `now` in s."""
        if self._last is not None:
            self._worst = max(self._worst, now - self._last - self._period)
        self._last = now
        self.beats += 1

    def take_worst(self) -> float:
        """Return the largest lateness in s since the last call."""
        worst, self._worst = self._worst, 0.0
        return worst
