"""A PWM of the kernel, through its files.

``/sys/class/pwm/pwmchipN``, as the kernel's documentation describes it
(ABI/testing/sysfs-class-pwm). Everything here raises :class:`OSError` naming the file; used
by one thread at a time.
"""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

from ccs2_power.kernel_files import read_integer, write

#: Period of the control pilot in ns.
PERIOD_NS = 1_000_000
#: Longest time in s for the kernel (and udev) to make the files of a PWM.
EXPORT_TIME = 1.0


class SysfsPwm:
    """One PWM output at the control pilot's frequency."""

    def __init__(self, chip: str, channel: int, polarity: str) -> None:
        self._chip, self._channel, self._polarity = Path(chip), channel, polarity
        self._output = self._chip / f'pwm{channel}'

    def open(self) -> None:
        """Set the output up at a duty cycle of 0."""
        if not self._output.exists():
            write(self._chip / 'export', self._channel)
            end = time.monotonic() + EXPORT_TIME
            while not os.access(self._output / 'duty_cycle', os.W_OK):
                if time.monotonic() > end:
                    raise OSError(errno.ENOENT, 'not there, or not writable', str(self._output))
                time.sleep(0.01)
        if (self._output / 'polarity').read_text().strip() != self._polarity:
            write(self._output / 'enable', 0)  # the kernel changes it only then
            write(self._output / 'polarity', self._polarity)
        write(self._output / 'duty_cycle', 0)  # first: never longer than the period
        write(self._output / 'period', PERIOD_NS)
        write(self._output / 'enable', 1)

    def drive(self, duty: float) -> None:
        """Set the duty cycle, a ratio of 0 to 1."""
        write(self._output / 'duty_cycle', round(duty * PERIOD_NS))

    def read(self) -> float | None:
        """Return the duty cycle that the kernel holds, None while the output is not enabled."""
        if read_integer(self._output / 'enable') != 1:
            return None
        period = read_integer(self._output / 'period')
        return read_integer(self._output / 'duty_cycle') / period if period > 0 else None

    def close(self) -> None:
        """Leave the output at a steady 0: a PWM that is given back may float."""
        self.drive(0.0)
