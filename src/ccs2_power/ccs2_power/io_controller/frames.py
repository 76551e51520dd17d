"""What passes between the station and an I/O controller, whatever the line.

As docs/io-controller.md describes it; how it is packed for a line is in `serial_line` and
`can_line`.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from enum import IntEnum

#: Version of the frame format; a controller with another one is refused.
VERSION = 1
#: Proximity of an open contact.
_OPEN = 0xFFFF_FFFF
_DRIVE = struct.Struct('>H')
_STATE = struct.Struct('>BBhhHIH')
#: Duty cycle in the frames: 0.01 %.
_FULL = 10_000


class FrameError(ValueError):
    """Octets that are no frame; the text says what is wrong."""


class FrameType(IntEnum):
    """The first octet of a frame."""

    DRIVE = 0x01
    IDENTIFY = 0x02
    STATE = 0x81
    IDENTITY = 0x82


class StateFlag(IntEnum):
    """Bits of a STATE frame."""

    HIGH = 0x01
    LOW = 0x02
    DUTY = 0x04
    PROXIMITY = 0x08
    SAFE = 0x10
    FAULT = 0x20


@dataclass(frozen=True, slots=True)
class State:
    """What the controller measures."""

    counter: int
    """Counts the measurements, modulo 256."""
    high: float | None
    """V, high phase or positive steady level."""
    low: float | None
    """V, low phase or negative steady level."""
    duty: float | None
    """Ratio of the high phase as measured."""
    proximity: float | None
    """Ohm, infinite if open."""
    safe: bool
    """The watchdog has expired: the pilot is at -12 V until the next DRIVE frame."""
    fault: bool
    """The controller's own check has failed."""
    age: float
    """s, from the measurement to the frame."""


def drive(duty: float) -> bytes:
    """Return the content of a DRIVE frame; `duty` is a ratio of 0 to 1."""
    return _DRIVE.pack(round(duty * _FULL))


def state(content: bytes) -> State:
    """Read the content of a STATE frame; raise :class:`FrameError`."""
    if len(content) != _STATE.size:
        raise FrameError(f'STATE of {len(content)} octets instead of {_STATE.size}')
    counter, flags, high, low, duty, proximity, age = _STATE.unpack(content)
    if duty > _FULL:
        raise FrameError(f'duty cycle of {duty / 100:.2f} %')
    return State(
        counter,
        high / 1e3 if flags & StateFlag.HIGH else None,
        low / 1e3 if flags & StateFlag.LOW else None,
        duty / _FULL if flags & StateFlag.DUTY else None,
        (math.inf if proximity == _OPEN else float(proximity))
        if flags & StateFlag.PROXIMITY else None,
        bool(flags & StateFlag.SAFE), bool(flags & StateFlag.FAULT), age / 1e3)


def identity(content: bytes) -> tuple[int, str]:
    """Return version and name of an IDENTITY frame; raise :class:`FrameError`."""
    if not content:
        raise FrameError('IDENTITY is empty')
    return content[0], ''.join(chr(octet) for octet in content[1:] if 32 <= octet < 127)
