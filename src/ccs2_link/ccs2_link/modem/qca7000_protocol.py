"""Words, registers and packet framing of the QCA7000/QCA7005 SPI interface."""

from __future__ import annotations

import enum
from collections import Counter

SIGNATURE = 0xAA55
BUFFER_SIZE = 0xC5B
"""Octets of the modem's write buffer; what it says is free when it is empty."""
HARDWARE_LENGTH_SIZE = 4
"""Octets of the length that the modem puts before each packet, in both of its buffers."""
MAX_READ = BUFFER_SIZE + HARDWARE_LENGTH_SIZE
MAX_TRANSFER = 2 + MAX_READ
"""Octets of the longest chip select frame: a command word and all that the modem can hold."""
MIN_FRAME = 60
MAX_FRAME = 1518
OVERHEAD = 10
"""Octets that framing adds to an Ethernet frame."""

READ = 0x8000
INTERNAL = 0x4000
WRITE_BUFFER_COMMAND = b'\x00\x00'
READ_BUFFER_COMMAND = b'\x80\x00'

_START = b'\xaa' * 4
_END = b'\x55\x55'
_HEADER_SIZE = 8


class Register(enum.IntEnum):
    """Register addresses, as they stand in the command word."""

    BFR_SIZE = 0x0100
    WRBUF_SPC_AVA = 0x0200
    RDBUF_BYTE_AVA = 0x0300
    SPI_CONFIG = 0x0400
    SPI_STATUS = 0x0500
    INTR_CAUSE = 0x0C00
    INTR_ENABLE = 0x0D00
    RDBUF_WATERMARK = 0x1200
    WRBUF_WATERMARK = 0x1300
    SIGNATURE = 0x1A00
    ACTION_CTRL = 0x1B00


class Interrupt(enum.IntFlag):
    """Bits of INTR_CAUSE and INTR_ENABLE."""

    PKT_AVLBL = 1 << 0
    RDBUF_ERR = 1 << 1
    WRBUF_ERR = 1 << 2
    ADDR_ERR = 1 << 3
    CPU_ON = 1 << 6
    WRBUF_BELOW_WM = 1 << 10


ENABLED = Interrupt.CPU_ON | Interrupt.PKT_AVLBL | Interrupt.RDBUF_ERR | Interrupt.WRBUF_ERR
SPI_CONFIG_RESET = 1 << 6


def pack(frame: bytes) -> bytes:
    """Return an Ethernet frame (padded to 60 octets) as the modem takes it."""
    padded = frame.ljust(MIN_FRAME, b'\0')
    if len(padded) > MAX_FRAME:
        raise ValueError(f'{len(frame)} octets, a frame has at most {MAX_FRAME}')
    return b''.join((_START, len(padded).to_bytes(2, 'little'), b'\0\0', padded, _END))


class PacketParser:
    """Finds the frames in what was read of the modem, whatever is between them.

    Packets may straddle reads. What is no packet is skipped octet by octet up to the next start
    mark; `errors` counts such places. At most one packet's octets are kept between reads.
    """

    def __init__(self) -> None:
        self.errors: Counter[str] = Counter()
        self._rest = b''

    def clear(self) -> None:
        """Forget a packet that has begun: the modem restarted."""
        self._rest = b''

    def feed(self, octets: bytes) -> list[bytes]:
        """Return the frames that are complete now."""
        data = self._rest + octets
        frames: list[bytes] = []
        offset = 0
        while True:
            start = data.find(_START, offset + HARDWARE_LENGTH_SIZE)
            if start < 0:
                # A start mark and the length before it may have begun in the last octets.
                keep = max(offset, len(data) - HARDWARE_LENGTH_SIZE - len(_START) + 1)
                self._skip(keep - offset)
                self._rest = data[keep:]
                return frames
            begin = start - HARDWARE_LENGTH_SIZE
            self._skip(begin - offset)
            offset = begin
            body = start + _HEADER_SIZE
            if body > len(data):
                break
            length = int.from_bytes(data[start + 4 : start + 6], 'little')
            announced = int.from_bytes(data[begin:start], 'big')
            if not MIN_FRAME <= length <= MAX_FRAME or announced != length + OVERHEAD:
                self.errors['packets with a wrong length'] += 1
                offset = begin + 1
                continue
            end = body + length
            if end + len(_END) > len(data):
                break
            if data[end : end + len(_END)] != _END:
                self.errors['packets without an end'] += 1
                offset = begin + 1
                continue
            frames.append(data[body:end])
            offset = end + len(_END)
        self._rest = data[offset:]
        return frames

    def _skip(self, octets: int) -> None:
        if octets > 0:
            self.errors['octets skipped'] += octets
