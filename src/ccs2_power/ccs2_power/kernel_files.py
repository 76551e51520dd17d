"""Values in the kernel's files (sysfs); everything here raises :class:`OSError` naming the file."""

from __future__ import annotations

import errno
import math
from pathlib import Path


def write(path: Path, value: object) -> None:
    """Write one value into one file."""
    path.write_text(str(value))


def read_number(path: Path) -> float:
    """Return the number that a file holds."""
    text = path.read_text().strip()
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise OSError(errno.EINVAL, f'{text!r} is no number', str(path))
    return number


def read_integer(path: Path) -> int:
    """Return the whole number that a file holds."""
    return int(read_number(path))
