"""The serial line to an I/O controller: frames in a stream of octets, and the port.

A frame is a type, content and a CRC-16, stuffed by COBS and ended by a zero octet.
"""

from __future__ import annotations

import asyncio
import binascii
import termios
from typing import Any

from ccs2_power.hal import DriverError
from ccs2_power.io_controller.frames import FrameError
from ccs2_power.io_controller.line import Heard

#: Longest frame with its zero, in octets.
LONGEST = 64


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


class SerialLine:
    """A serial port; see :class:`ccs2_power.io_controller.line.Line`."""

    def __init__(self, place: str, baud_rate: int, heard: Heard) -> None:
        self.name = place
        self._baud_rate, self._heard = baud_rate, heard
        self._port: Any = None
        self._receiver = Receiver()
        self.problem = ''

    def open(self) -> None:
        """Open the port."""
        try:
            import serial
        except ImportError as error:
            raise DriverError(f'the I/O controller needs the Python package pyserial: {error}'
                              ) from None
        try:
            self._port = serial.Serial(
                self.name, self._baud_rate, timeout=0, write_timeout=0, exclusive=True)
        except (termios.error, ValueError) as error:
            raise OSError(str(error)) from None
        self._receiver = Receiver()
        asyncio.get_running_loop().add_reader(self._port.fileno(), self._hear)
        self.problem = ''

    def send(self, frame_type: int, content: bytes = b'') -> None:
        """Send one frame."""
        data = pack(frame_type, content)
        try:
            if self._port.write(data) != len(data):
                raise OSError('the port takes no more octets')
        except termios.error as error:
            raise OSError(str(error)) from None

    def close(self) -> None:
        """Give the port back."""
        port, self._port = self._port, None
        if port is not None:
            asyncio.get_running_loop().remove_reader(port.fileno())
            port.close()

    def _hear(self) -> None:
        try:
            data = self._port.read(4096)
        except (OSError, termios.error) as error:
            self.problem = str(error)
            asyncio.get_running_loop().remove_reader(self._port.fileno())
            return
        for frame_type, content in self._receiver.feed(data):
            self._heard(frame_type, content)
