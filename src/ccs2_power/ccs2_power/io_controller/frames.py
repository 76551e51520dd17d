"""The frames of the serial I/O controller, as docs/io-controller.md describes them.

A frame is a type, content and a CRC-16, stuffed by COBS and ended by a zero octet.
"""

from __future__ import annotations

import binascii
import math
import struct
from dataclasses import dataclass
from enum import IntEnum

#: Version of the frame format; a controller with another one is refused.
VERSION = 1
#: Longest frame on the line with its zero, in octets.
LONGEST = 64
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


def pack(frame_type: int, content: bytes = b'') -> bytes:
    """Return a frame as it goes over the line."""
    body = bytes((frame_type,)) + content
    return _stuffed(body + binascii.crc_hqx(body, 0xFFFF).to_bytes(2, 'big')) + b'\0'


def unpack(octets: bytes) -> tuple[int, bytes]:
    """Return type and content of a frame without its zero; raise :class:`FrameError`."""
    body = _unstuffed(octets)
    if len(body) < 3:
        raise FrameError(f'{len(body)} octets are too short for a frame')
    if binascii.crc_hqx(body, 0xFFFF):
        raise FrameError('CRC is wrong')
    return body[0], body[1:-2]


def drive(duty: float) -> bytes:
    """Return a DRIVE frame; `duty` is a ratio of 0 to 1."""
    return pack(FrameType.DRIVE, _DRIVE.pack(round(duty * _FULL)))


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


class Receiver:
    """Cuts the stream into frames; never holds more than one."""

    def __init__(self) -> None:
        self._octets = bytearray()
        self._skipping = False
        #: Frames that were none.
        self.refused = 0

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Take octets; return type and content of each frame that they complete."""
        frames = []
        for octet in data:
            if octet:
                if len(self._octets) >= LONGEST - 1:
                    self._skipping = True
                    self._octets.clear()
                self._octets.append(octet)
                continue
            if self._octets:
                try:
                    if self._skipping:
                        raise FrameError('too long')
                    frames.append(unpack(bytes(self._octets)))
                except FrameError:
                    self.refused += 1
            self._octets.clear()
            self._skipping = False
        return frames


def _stuffed(data: bytes) -> bytes:
    """Return `data` (shorter than 254 octets) without zeros: consistent overhead byte stuffing."""
    return b''.join(bytes((len(part) + 1,)) + part for part in data.split(b'\0'))


def _unstuffed(octets: bytes) -> bytes:
    parts, at = [], 0
    while at < len(octets):
        length = octets[at]
        if length == 0 or at + length > len(octets):
            raise FrameError('stuffing is wrong')
        parts.append(octets[at + 1:at + length])
        at += length
    return b'\0'.join(parts)
