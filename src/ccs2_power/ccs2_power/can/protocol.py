"""What a module protocol is made of: how frames are built and read, declared as data.

A protocol has registers (its commands, items or signals), each a number. A frame to a module reads
or writes one register; a frame from a module tells one. Which octets mean what is a table.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, auto

from ccs2_power.can.frame import Frame
from ccs2_power.faults import Severity
from ccs2_power.hal import SupplyLimits


class Quantity(Enum):
    """What a module can tell."""

    VOLTAGE = auto()
    CURRENT = auto()
    TEMPERATURE = auto()
    MAXIMUM_VOLTAGE = auto()
    MINIMUM_VOLTAGE = auto()
    MAXIMUM_CURRENT = auto()
    MAXIMUM_POWER = auto()
    SET_VOLTAGE = auto()
    SET_CURRENT = auto()


@dataclass(frozen=True, slots=True)
class Field:
    """A number within a frame's eight octets."""

    quantity: Quantity
    format: str
    """As of :mod:`struct`, big-endian: ``'>I'``, ``'>i'``, ``'>H'``, ``'>f'``."""
    offset: int
    scale: float = 1.0
    """Volts, amperes, watts or degC per count."""


@dataclass(frozen=True, slots=True)
class StatusBit:
    """One bit of a status word: octets 4 to 7, bit 0 is the lowest of the last octet."""

    bit: int
    severity: Severity
    text: str


@dataclass(frozen=True, slots=True)
class StatusWord:
    """A module's status word."""

    bits: tuple[StatusBit, ...]
    off_bit: int | None = None
    """Set while the output is off; None if the word does not tell."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A frame of a module, before its numbers are looked at."""

    address: int
    register: int


@dataclass(frozen=True, slots=True)
class Wish:
    """What one module shall do: constant voltage with a current limit."""

    on: bool
    voltage: float
    current: float
    """A, of this module alone; negative: out of the vehicle."""
    modules: int = 1
    """How many modules share the output."""


@dataclass(frozen=True, slots=True)
class Told:
    """What one frame of a module says."""

    address: int
    values: Mapping[Quantity, float]
    on: bool | None
    """Whether the output is on, if this frame tells."""
    alarms: tuple[StatusBit, ...] | None
    """The alarms present now, if this frame tells."""


@dataclass(frozen=True, slots=True)
class Write:
    """A register and the four octets that are written to it."""

    register: int
    payload: bytes
    octet_3: int = 0


@dataclass(frozen=True, slots=True)
class Ranges:
    """How a module is told to have its stages in parallel (low) or in series (high)."""

    low: Write
    high: Write
    highest_of_low: float
    """V."""
    pause: float
    """Time in s that the output has to be off before and after."""


@dataclass(frozen=True, slots=True)
class ModuleProtocol:
    """One protocol."""

    name: str
    bit_rate: int
    """In bit/s, as the modules come."""
    addresses: range
    limits: SupplyLimits
    """Of one module, as long as it has not said better."""
    read: Callable[[int, int], Frame]
    """Build the frame that asks module `address` for `register`."""
    write: Callable[[int, Write], Frame]
    """Build the frame that writes a register of module `address`."""
    parse: Callable[[Frame], Reply | None]
    """Recognise a module's frame; None for anything else."""
    parse_write: Callable[[Frame], int | None]
    """Recognise what a controller, whichever, writes; return the address that it is for."""
    queries: tuple[int, ...]
    """The registers to be read in every cycle."""
    rarely: tuple[int, ...]
    """The registers to be read about once a second."""
    fields: Mapping[int, tuple[Field, ...]]
    """The numbers in the registers that tell any."""
    status: Mapping[int, StatusWord]
    set_points: Callable[[Wish], Iterable[Write]]
    """What tells a module its set-points."""
    switch: Callable[[bool], Write]
    """What tells a module to be on or off."""
    parse_refusal: Callable[[Frame], int | None] = lambda frame: None
    """Recognise a module's answer that it has not taken a write; return the module's address."""
    ranges: Ranges | None = None
    """None: there is one range, or the modules choose it themselves."""

    def commands(self, address: int, wish: Wish) -> list[Frame]:
        """Return the frames that make a module do as wished; each is repeated in every cycle.

        A module that shall be off hears that first, one that shall be on hears its set-points
        first.
        """
        switch = [self.write(address, self.switch(wish.on))]
        set_points = [self.write(address, write) for write in self.set_points(wish)]
        return set_points + switch if wish.on else switch + set_points

    def decode(self, frame: Frame) -> Told | None:
        """Return what a frame says; None if it is of nobody's or says nothing that is known."""
        if not _may_be_one(frame):
            return None
        reply = self.parse(frame)
        if reply is None or reply.address not in self.addresses:
            return None
        values = {}
        for field in self.fields.get(reply.register, ()):
            (count,) = struct.unpack_from(field.format, frame.data, field.offset)
            value = count * field.scale
            if math.isfinite(value):
                values[field.quantity] = value
        on = alarms = None
        word = self.status.get(reply.register)
        if word is not None:
            status = int.from_bytes(frame.data[4:], 'big')
            alarms = tuple(row for row in word.bits if status >> row.bit & 1)
            if word.off_bit is not None:
                on = not status >> word.off_bit & 1
        if not values and word is None:
            return None
        return Told(reply.address, values, on, alarms)


    def refuses(self, frame: Frame) -> int | None:
        """Return the address of the module that refuses a write by this frame; None for others."""
        return self.parse_refusal(frame) if _may_be_one(frame) else None

    def controls(self, frame: Frame) -> int | None:
        """Return the address that a controller's frame commands; None for any other frame.

        An address that no module has means all of them, or a group of them.
        """
        return self.parse_write(frame) if _may_be_one(frame) else None


def _may_be_one(frame: Frame) -> bool:
    return frame.extended and len(frame.data) == 8 and 0 <= frame.identifier < 1 << 29


@dataclass(frozen=True, slots=True)
class Identifier:
    """The layout of a 29-bit identifier: lowest bit and width of each part."""

    parts: Mapping[str, tuple[int, int]]

    def pack(self, **values: int) -> int:
        """Return the identifier; parts that are not named are 0."""
        identifier = 0
        for name, value in values.items():
            shift, width = self.parts[name]
            if not 0 <= value < 1 << width:
                raise ValueError(f'{name} {value} does not fit in {width} bits')
            identifier |= value << shift
        return identifier

    def unpack(self, identifier: int) -> dict[str, int]:
        """Return all parts of an identifier."""
        return {name: identifier >> shift & ((1 << width) - 1)
                for name, (shift, width) in self.parts.items()}


def unsigned(value: float) -> bytes:
    """Return a number as unsigned 32 bit, big-endian; what does not fit is cut off at the ends."""
    return min(max(round(value), 0), 0xFFFFFFFF).to_bytes(4, 'big')


def single(value: float) -> bytes:
    """Return a number as IEEE 754 single, big-endian."""
    return struct.pack('>f', value)
