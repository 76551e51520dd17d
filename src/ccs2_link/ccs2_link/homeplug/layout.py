"""Declare a message's octets once, as dataclass fields; read and write by that declaration.

A message is a frozen dataclass whose fields, in wire order, are made by the functions below. Every
reader checks that the octets are there before it touches them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

from ccs2_link.homeplug.errors import DropReason, FrameError
from ccs2_link.homeplug.keys import NMK_LENGTH, Nmk

MAC_LENGTH = 6


@dataclasses.dataclass(frozen=True, slots=True)
class Wire:
    """How one field is written: reserved octets before it, its size, and both directions.

    `size` is None for a field that takes what is left of the payload.
    """

    size: int | None
    read: Callable[[bytes], Any]
    write: Callable[[Any], bytes]
    gap: int = 0


class Message:
    """Base of every management message. The class variables say where it lives on the wire."""

    __slots__ = ()
    MMTYPE: ClassVar[int]
    """Message type, mode bits included."""
    VERSION: ClassVar[int] = 1
    """MMV: 1 has two fragmentation octets after the type, 0 has none."""
    OUI: ClassVar[bytes] = b''
    """Vendor prefix of the payload."""
    TAIL: ClassVar[int] = 0
    """Reserved octets after the last field."""
    OPEN_ENDED: ClassVar[bool] = False
    """True where firmware versions append fields: longer frames are then accepted."""

    def check(self) -> None:
        """Raise ValueError if fields contradict each other; called on both directions."""


def _declare(wire: Wire, default: Any) -> Any:
    if default is None:
        return dataclasses.field(metadata={'wire': wire})
    return dataclasses.field(default=default, metadata={'wire': wire})


def uint(size: int, default: int | None = None, gap: int = 0) -> Any:
    """Return an unsigned integer of `size` octets, little endian like all of HomePlug."""

    def write(value: int) -> bytes:
        if not 0 <= value < 1 << (8 * size):
            raise ValueError(f'{value} does not fit {size} octets')
        return value.to_bytes(size, 'little')

    return _declare(Wire(size, lambda data: int.from_bytes(data, 'little'), write, gap), default)


def constant(size: int, value: int, gap: int = 0) -> Any:
    """Return an unsigned integer that has one legal value."""

    def check(given: int) -> int:
        if given != value:
            raise ValueError(f'{given:#x} where only {value:#x} is allowed')
        return given

    wire = Wire(
        size,
        lambda data: check(int.from_bytes(data, 'little')),
        lambda given: check(given).to_bytes(size, 'little'),
        gap,
    )
    return _declare(wire, value)


def octets(size: int, default: bytes | None = None, gap: int = 0) -> Any:
    """Return exactly `size` opaque octets."""

    def write(value: bytes) -> bytes:
        if len(value) != size:
            raise ValueError(f'{len(value)} octets where {size} belong')
        return bytes(value)

    return _declare(Wire(size, bytes, write, gap), default)


def mac(default: bytes | None = None, gap: int = 0) -> Any:
    """Return a MAC address, six octets."""
    return octets(MAC_LENGTH, default, gap)


def key(gap: int = 0) -> Any:
    """Return a network membership key."""
    return _declare(Wire(NMK_LENGTH, Nmk, Nmk.reveal, gap), None)


def rest(gap: int = 0) -> Any:
    """Return whatever is left of the payload; `Message.check` bounds it."""
    return _declare(Wire(None, bytes, bytes, gap), b'')


def wires(kind: type[Message]) -> tuple[tuple[str, Wire], ...]:
    """Return the name and layout of each field of a message class, in wire order."""
    return tuple((field.name, field.metadata['wire']) for field in dataclasses.fields(kind))  # type: ignore[arg-type]


def size_of(kind: type[Message]) -> int:
    """Return the payload octets of a message class, a `rest` field counted as empty."""
    return sum(wire.gap + (wire.size or 0) for _, wire in wires(kind)) + kind.TAIL


def write_payload(message: Message) -> bytes:
    """Return a message's payload; raise ValueError naming message and field if one is wrong."""
    parts: list[bytes] = []
    for name, wire in wires(type(message)):
        try:
            parts.append(bytes(wire.gap) + wire.write(getattr(message, name)))
        except ValueError as error:
            raise ValueError(f'{type(message).__name__}.{name}: {error}') from None
    message.check()
    return b''.join(parts) + bytes(message.TAIL)


def read_payload(kind: type[Message], payload: bytes) -> Message:
    """Return the message in a payload that is at least `size_of(kind)` long, else FrameError."""
    if len(payload) < size_of(kind):
        raise FrameError(DropReason.LENGTH, f'{kind.__name__}: {len(payload)} payload octets')
    values: dict[str, Any] = {}
    offset = 0
    for name, wire in wires(kind):
        offset += wire.gap
        end = len(payload) - kind.TAIL if wire.size is None else offset + wire.size
        try:
            values[name] = wire.read(payload[offset:end])
        except ValueError as error:
            raise FrameError(DropReason.VALUE, f'{kind.__name__}.{name}: {error}') from None
        offset = end
    message = kind(**values)
    try:
        message.check()
    except ValueError as error:
        raise FrameError(DropReason.VALUE, f'{kind.__name__}: {error}') from None
    return message
