"""Register maps as data: fields, conditions and writes, read from TOML files.

What a map may hold is described in docs/hardware.md. Addresses are those of the protocol, from 0.
"""

from __future__ import annotations

import math
import struct
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

from ccs2_power.hal import DriverError
from ccs2_power.modbus.bus import LineSettings

#: Registers by address.
Image = Mapping[int, int]
#: Type of a field: number of registers and format of :mod:`struct`.
TYPES = {
    'u16': (1, '>H'), 's16': (1, '>h'), 'u32': (2, '>I'), 's32': (2, '>i'),
    'u64': (4, '>Q'), 's64': (4, '>q'), 'f32': (2, '>f'), 'f64': (4, '>d'),
}
#: Most registers that one request may read.
LONGEST_READ = 125

V = TypeVar('V')


@dataclass(frozen=True, slots=True)
class Field:
    """One number in the registers."""

    address: int
    type: str
    scale: float = 1.0
    """SI unit of one step."""
    little_words: bool = False
    """The register with the lowest address holds the lowest bits."""
    none: tuple[int, ...] = ()
    """Raw values that mean: not measured."""
    infinite: tuple[int, ...] = ()
    """Raw values that mean: above the range."""

    def value(self, image: Image) -> float | None:
        """Return the value in its unit, None if it was not measured."""
        count, form = TYPES[self.type]
        words = [image[address] for address in range(self.address, self.address + count)]
        if self.little_words:
            words.reverse()
        raw = struct.unpack(form, struct.pack(f'>{count}H', *words))[0]
        if raw in self.none or not math.isfinite(raw):
            return None
        return math.inf if raw in self.infinite else raw * self.scale


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that bits of one register say."""

    address: int
    mask: int
    among: tuple[int, ...]
    """Values of the masked register."""
    inverted: bool
    """True: holds for all other values."""
    text: str

    def holds(self, image: Image) -> bool:
        """Tell whether the registers say so."""
        return (image[self.address] & self.mask in self.among) is not self.inverted


def any_holds(conditions: Iterable[Condition], image: Image) -> bool:
    """Tell whether the registers say one of these."""
    return any(condition.holds(image) for condition in conditions)


@dataclass(frozen=True, slots=True)
class Write:
    """A register and what it is set to."""

    address: int
    value: int


@dataclass(frozen=True, slots=True)
class Text:
    """ASCII text in registers, two characters each, up to the first NUL."""

    address: int
    count: int

    def value(self, words: list[int]) -> str:
        """Return the printable characters."""
        text = b''.join(word.to_bytes(2, 'big') for word in words).split(b'\0')[0]
        return ''.join(chr(octet) if 32 < octet < 127 else ' ' for octet in text).strip()


class Table:
    """One table of a map: every key is read by somebody, or it is an error."""

    def __init__(self, where: str, content: Mapping[str, Any]) -> None:
        self._where = where
        self._content = dict(content)

    def take(self, key: str, kind: type[V], default: V | None = None) -> V:
        """Return a value of the type `kind` and strike it off."""
        value = self._content.pop(key, default)
        if kind is float and type(value) is int:
            value = float(value)
        if type(value) is not kind:
            raise DriverError(f'{self._where}: {key!r} is '
                              + ('missing' if value is None else f'not of type {kind.__name__}'))
        return value

    def word(self, key: str, default: int | None = None, least: int = 0) -> int:
        """Return a number that fits into one register."""
        value = self.take(key, int, default)
        if not least <= value <= 0xFFFF:
            raise DriverError(f'{self._where}: {key!r} is {value}, not within {least} to 65535')
        return value

    def choice(self, key: str, choices: tuple[str, ...], default: str | None = None) -> str:
        """Return one of `choices`."""
        value = self.take(key, str, default)
        if value not in choices:
            raise DriverError(f'{self._where}: {key!r} is {value!r}, none of {", ".join(choices)}')
        return value

    def numbers(self, key: str) -> tuple[int, ...]:
        """Return a list of whole numbers, empty if there is none."""
        values = self.take(key, list, [])
        if not all(type(value) is int for value in values):
            raise DriverError(f'{self._where}: {key!r} is no list of whole numbers')
        return tuple(values)

    def table(self, key: str) -> Table | None:
        """Return a table inside this one, None if there is none."""
        return Table(f'{self._where}: {key}', self.take(key, dict)) if key in self else None

    def tables(self, key: str) -> list[Table]:
        """Return a list of tables, empty if there is none."""
        found = self.take(key, list, [])
        if not all(isinstance(entry, dict) for entry in found):
            raise DriverError(f'{self._where}: {key!r} is no list of tables')
        return [Table(f'{self._where}: {key} {number}', entry)
                for number, entry in enumerate(found, 1)]

    def __contains__(self, key: str) -> bool:
        return key in self._content

    def end(self) -> None:
        """Complain of keys that nobody has read."""
        if self._content:
            raise DriverError(f'{self._where}: unknown {", ".join(map(repr, self._content))}')

    def field(self, key: str) -> Field | None:
        """Return a field, None if there is none."""
        table = self.table(key)
        if table is None:
            return None
        field = Field(
            table.word('address'), table.choice('type', tuple(TYPES)),
            table.take('scale', float, 1.0), table.take('little_words', bool, False),
            table.numbers('none'), table.numbers('infinite'))
        table.end()
        return field

    def conditions(self, key: str) -> tuple[Condition, ...]:
        """Return a list of conditions."""
        found = []
        for table in self.tables(key):
            inverted = 'is_not' in table
            found.append(Condition(
                table.word('address'), table.word('mask', 0xFFFF, 1),
                table.numbers('is_not' if inverted else 'is'), inverted,
                table.take('text', str, '')))
            table.end()
        return tuple(found)

    def writes(self, key: str) -> tuple[Write, ...]:
        """Return a list of writes."""
        found = []
        for table in self.tables(key):
            found.append(Write(table.word('address'), table.word('value')))
            table.end()
        return tuple(found)

    def text(self, key: str) -> Text | None:
        """Return a place of text, None if there is none."""
        table = self.table(key)
        if table is None:
            return None
        text = Text(table.word('address'), table.word('count', None, 1))
        table.end()
        return text


@dataclass(frozen=True, slots=True)
class DeviceMap:
    """What all devices on Modbus have in common."""

    model: str
    line: LineSettings
    read_function: str
    write_function: str
    blocks: tuple[tuple[int, int], ...]
    """Address and count of what is read in each cycle."""
    serial_number: Text | None

    @classmethod
    def of(cls, table: Table) -> DeviceMap:
        """Take the common keys of a map."""
        blocks = []
        for block in table.tables('blocks'):
            blocks.append((block.word('address'), block.word('count', None, 1)))
            block.end()
            if blocks[-1][1] > LONGEST_READ:
                raise DriverError(f'{table._where}: a block is longer than {LONGEST_READ}')
        line = table.table('line') or Table('line', {})
        settings = LineSettings(
            line.take('baud_rate', int, 19200), line.choice('parity', ('N', 'E', 'O'), 'E'),
            line.take('stop_bits', int, 1), line.word('unit', 1, 1))
        line.end()
        return cls(
            table.take('model', str), settings,
            table.choice('read', ('holding', 'input'), 'holding'),
            table.choice('write', ('single', 'multiple'), 'multiple'),
            tuple(blocks), table.text('serial_number'))

    def covers(self, *parts: Field | Condition | None) -> None:
        """Raise :class:`DriverError` if a part is not in the blocks."""
        read = {address for start, count in self.blocks
                for address in range(start, start + count)}
        for part in parts:
            if part is None:
                continue
            count = TYPES[part.type][0] if isinstance(part, Field) else 1
            for address in range(part.address, part.address + count):
                if address not in read:
                    raise DriverError(f'map {self.model}: no block reads register {address}')


def map_names() -> list[str]:
    """Return the names of the maps in this package."""
    return sorted(entry.name.removesuffix('.toml')
                  for entry in (resources.files(__package__) / 'maps').iterdir()
                  if entry.name.endswith('.toml'))


def load_map(name: str) -> Table:
    """Return a map of this package by its name, or of the site by its path (with a ``/``)."""
    if '/' not in name and name not in map_names():
        raise DriverError(f'there is no map {name!r}; there are {", ".join(map_names())}, '
                          'and files by their path')
    source = Path(name) if '/' in name else resources.files(__package__) / 'maps' / f'{name}.toml'
    try:
        return Table(f'map {name}', tomllib.loads(source.read_text('utf-8')))
    except (OSError, ValueError) as error:
        raise DriverError(f'map {name}: {error}') from None
