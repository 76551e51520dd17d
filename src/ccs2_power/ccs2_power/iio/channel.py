"""One channel of an IIO device that is converted when it is read."""

from __future__ import annotations

from pathlib import Path

from ccs2_power.iio.attributes import read_attribute
from ccs2_power.kernel_files import read_number

#: The kernel tells mV and milli-degC.
MILLI = 1e-3


class IioChannel:
    """A channel by its name, e.g. ``voltage0``, ``voltage0-voltage1``, ``temp0``.

    Everything here raises :class:`OSError` naming the file; reading takes the time of a conversion.
    """

    def __init__(self, device: str, name: str) -> None:
        self._device, self._name = Path(device), name
        self._raw = self._device / f'in_{name}_raw'
        self._input = self._device / f'in_{name}_input'

    @property
    def is_temperature(self) -> bool:
        """The kernel knows the sensor: it tells degC, no voltage."""
        return self._name.startswith('temp')

    def read(self) -> float:
        """Return what the channel measures now, in V or degC."""
        if self._input.exists():
            return read_number(self._input) * MILLI
        raw = read_number(self._raw)
        offset = read_attribute(self._device, self._name, 'offset', 0.0)
        return (raw + offset) * read_attribute(self._device, self._name, 'scale') * MILLI
