"""Attributes of the channels of an IIO device (ABI/testing/sysfs-bus-iio)."""

from __future__ import annotations

import errno
import re
from pathlib import Path

from ccs2_power.kernel_files import read_number


def read_attribute(
    device: Path, channel: str, attribute: str, default: float | None = None,
) -> float:
    """Return an attribute of a channel, from the channel's own file or from that of its kind.

    ``voltage0`` has ``in_voltage0_scale`` or ``in_voltage_scale``, ``voltage0-voltage1`` has
    ``in_voltage0-voltage1_scale`` or ``in_voltage-voltage_scale``. Raises :class:`OSError` naming
    the file.
    """
    kind = re.sub(r'\d+', '', channel)
    places = [device / f'in_{name}_{attribute}' for name in (channel, kind)]
    place = next((place for place in places if place.exists()), None)
    if place is None:
        if default is None:
            raise OSError(errno.ENOENT, f'no file tells the {attribute}', str(places[0]))
        return default
    return read_number(place)
