"""An ADC of the kernel that samples continuously into a buffer.

``/sys/bus/iio/devices/iio:deviceN`` with ``/dev/iio:deviceN``, as the kernel's documentation
describes them (ABI/testing/sysfs-bus-iio). Everything here raises :class:`OSError` naming the file;
used by one thread at a time.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ccs2_power.iio.attributes import read_attribute
from ccs2_power.kernel_files import read_integer, read_number, write

#: What the kernel buffers, in s. Older samples than that are never taken for new ones.
BUFFERED = 0.1
#: Scan elements of an ADC: byte order, sign, bits, storage bits, shift.
_TYPE = re.compile(r'(be|le):([su])(\d+)/(8|16|32)>>(\d+)')
_STORAGE = {8: 'B', 16: 'H', 32: 'I'}


@dataclass(frozen=True, slots=True)
class _Channel:
    index: int
    storage: int
    bits: int
    signed: bool
    shift: int
    scale: float
    """mV of one step."""
    offset: float

    def volts(self, raw: int) -> float:
        value = (raw >> self.shift) & ((1 << self.bits) - 1)
        if self.signed and value >> (self.bits - 1):
            value -= 1 << self.bits
        return (value + self.offset) * self.scale / 1e3


class IioBuffer:
    """Some voltage channels of an ADC, sampled continuously."""

    def __init__(
        self, device: str, node: str, channels: Sequence[str], frequency: float | None,
        trigger: str,
    ) -> None:
        self._device, self._node = Path(device), node
        self._names, self._trigger = tuple(channels), trigger
        self._wanted_frequency = frequency
        self._channels: tuple[_Channel, ...] = ()
        self._scan = struct.Struct('')
        self._file = -1
        self._rest = b''
        self._capacity = 0
        #: Samples of each channel per second.
        self.frequency = 0.0

    def open(self) -> None:
        """Set the channels up and begin to sample."""
        self.close()
        buffer, elements = self._device / 'buffer', self._device / 'scan_elements'
        write(buffer / 'enable', 0)
        for switch in elements.glob('*_en'):
            write(switch, 0)
        for name in self._names:
            write(elements / f'in_{name}_en', 1)
        if self._trigger:
            write(self._device / 'trigger' / 'current_trigger', self._trigger)
        self._set_frequency()
        self._channels = tuple(self._channel(name) for name in self._names)
        self._scan = self._layout()
        scans = max(256, round(self.frequency * BUFFERED))
        write(buffer / 'length', scans)
        self._capacity = scans * self._scan.size
        self._rest = b''
        self._file = os.open(self._node, os.O_RDONLY | os.O_NONBLOCK)
        write(buffer / 'enable', 1)

    def read(self) -> tuple[list[float], ...]:
        """Return the samples in V since the last call, one list for each channel.

        A full buffer holds samples of nobody knows when, and is thrown away.
        """
        parts, length = [self._rest], 0
        with contextlib.suppress(BlockingIOError):
            while part := os.read(self._file, 65536):
                parts.append(part)
                length += len(part)
                if length >= self._capacity:
                    break
        data = b''.join(parts)
        whole = len(data) - len(data) % self._scan.size
        self._rest = data[whole:]
        if length >= self._capacity:
            return tuple([] for _ in self._channels)
        columns = list(zip(*self._scan.iter_unpack(data[:whole]), strict=True))
        order = sorted(range(len(self._channels)), key=lambda place: self._channels[place].index)
        samples: list[list[float]] = [[] for _ in self._channels]
        for column, place in zip(columns, order, strict=bool(columns)):
            channel = self._channels[place]
            known: dict[int, float] = {}  # a few levels with noise: most values come again
            for raw in column:
                if raw not in known:
                    known[raw] = channel.volts(raw)
            samples[place] = [known[raw] for raw in column]
        return tuple(samples)

    def close(self) -> None:
        """Sample no more."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
            write(self._device / 'buffer' / 'enable', 0)

    def _set_frequency(self) -> None:
        places = [self._device / name
                  for name in ('sampling_frequency', 'in_voltage_sampling_frequency')]
        place = next((place for place in places if place.exists()), None)
        if place is None:
            raise OSError(errno.ENOENT, 'no file tells the sampling frequency', str(places[0]))
        if self._wanted_frequency is not None:
            write(place, round(self._wanted_frequency))
        self.frequency = read_number(place)

    def _channel(self, name: str) -> _Channel:
        elements = self._device / 'scan_elements'
        path = elements / f'in_{name}_type'
        text = path.read_text().strip()
        match = _TYPE.fullmatch(text)
        if match is None or not 1 <= int(match[3]) <= int(match[4]) - int(match[5]):
            raise OSError(errno.EINVAL, f'samples of type {text!r} are not understood', str(path))
        return _Channel(
            read_integer(elements / f'in_{name}_index'), int(match[4]), int(match[3]),
            match[2] == 's', int(match[5]), read_attribute(self._device, name, 'scale'),
            read_attribute(self._device, name, 'offset', 0.0))

    def _layout(self) -> struct.Struct:
        """Return how one scan lies in memory: by index, each element aligned to its own size."""
        orders = {(self._device / 'scan_elements' / f'in_{name}_type').read_text()[:2]
                  for name in self._names}
        if len(orders) > 1:
            raise OSError(errno.EINVAL, 'channels of different byte order', str(self._device))
        layout, at, widest = '', 0, 1
        for channel in sorted(self._channels, key=lambda channel: channel.index):
            size = channel.storage // 8
            layout += 'x' * (-at % size) + _STORAGE[channel.storage]
            at += -at % size + size
            widest = max(widest, size)
        return struct.Struct(('>' if orders == {'be'} else '<') + layout + 'x' * (-at % widest))
