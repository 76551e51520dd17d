"""A QCA7000's SPI interface, register by register, with the API of `spidev.SpiDev`.

The real driver runs against it. Time is given to it, faults are injected by `Faults`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ccs2_link.modem.qca7000_protocol import (
    BUFFER_SIZE,
    ENABLED,
    HARDWARE_LENGTH_SIZE,
    INTERNAL,
    MAX_FRAME,
    OVERHEAD,
    READ,
    SIGNATURE,
    SPI_CONFIG_RESET,
    Interrupt,
    Register,
    pack,
)

_REGISTER_MASK = 0x3F00
_MAX_READ_BUFFER = BUFFER_SIZE + HARDWARE_LENGTH_SIZE


@dataclass
class Faults:
    """What goes wrong next. Each list is used up from its front, one entry an access.

    `signatures`, `read_available` and `write_room` replace what the register says; `blocks`
    changes what is read from the buffer.
    """

    signatures: list[int] = field(default_factory=list)
    read_available: list[int] = field(default_factory=list)
    write_room: list[int] = field(default_factory=list)
    blocks: list[Callable[[bytes], bytes]] = field(default_factory=list)
    deaf: bool = False
    """No answer at all: all reads are ones, as with a broken wire."""


class Qca7000Model:
    """The modem's SPI side. `to_line` gets the host's frames, `on_interrupt` each rising edge."""

    def __init__(
        self,
        to_line: Callable[[bytes], None],
        on_interrupt: Callable[[], None],
        on_reset: Callable[[], None],
    ) -> None:
        """Start powered down; `power(True)` makes it run. `on_reset` tells the firmware."""
        self.mode = 0
        self.max_speed_hz = 0
        self.faults = Faults()
        self.counters: Counter[str] = Counter()
        self.clocked = 0
        """Octets that went over the bus."""
        self._to_line = to_line
        self._on_interrupt = on_interrupt
        self._on_reset = on_reset
        self._running = False
        self._answering = False
        self._cause = Interrupt(0)
        self._enabled = 0
        self._transfer_size = 0
        self._read_buffer = bytearray()
        self._opened = False

    # The API of spidev.SpiDev.

    def open(self, bus: int, device: int) -> None:
        """Open the device; any number will do."""
        self._opened = True

    def close(self) -> None:
        """Close the device."""
        self._opened = False

    def xfer2(self, values: Sequence[int]) -> list[int]:
        """Do one chip select frame: a command word, then a register or a block."""
        if not self._opened:
            raise OSError('bad file descriptor')
        octets = bytes(values)
        self.clocked += len(octets)
        if self.faults.deaf or not self._answering:
            return [0xFF if self.faults.deaf else 0x00] * len(octets)
        command = int.from_bytes(octets[:2], 'big')
        body = octets[2:]
        if not command & INTERNAL:
            answer = self._read_block(len(body)) if command & READ else self._write_block(body)
        elif command & READ:
            answer = self._read(command & _REGISTER_MASK).to_bytes(2, 'big')
        else:
            answer = b'\0\0'
            self._write(command & _REGISTER_MASK, int.from_bytes(body[:2], 'big'))
        return list((b'\0\0' + answer).ljust(len(octets), b'\0')[: len(octets)])

    # The firmware's side.

    def boot(self) -> None:
        """Answer at the registers, while the firmware is still being loaded."""
        self.power(False)
        self._answering = True

    def power(self, up: bool) -> None:
        """Follow the firmware: down forgets everything, up raises CPU_ON."""
        self._running = self._answering = up
        self._cause = Interrupt(0)
        self._enabled = int(ENABLED) if up else 0
        self._read_buffer.clear()
        if up:
            self._raise(Interrupt.CPU_ON)

    @property
    def has_room(self) -> bool:
        """The read buffer takes another frame of any size."""
        return len(self._read_buffer) + MAX_FRAME + OVERHEAD <= BUFFER_SIZE

    def to_host(self, frame: bytes) -> None:
        """Put a frame into the read buffer; it is lost if there is no room."""
        packet = pack(frame)
        item = len(packet).to_bytes(HARDWARE_LENGTH_SIZE, 'big') + packet
        if not self._running or len(self._read_buffer) + len(item) > _MAX_READ_BUFFER:
            self.counters['frames to the host lost'] += 1
            return
        self._read_buffer += item
        self._raise(Interrupt.PKT_AVLBL)

    def interrupt(self, bits: Interrupt) -> None:
        """Raise any interrupt, caused or not."""
        self._raise(bits)
        self._on_interrupt()

    # How it works.

    def _raise(self, bits: Interrupt) -> None:
        was_high = bool(self._cause & self._enabled)
        self._cause |= bits
        if self._cause & self._enabled and not was_high:
            self._on_interrupt()

    def _read(self, register: int) -> int:
        faults = self.faults
        if register == Register.SIGNATURE:
            return faults.signatures.pop(0) if faults.signatures else SIGNATURE
        if register == Register.RDBUF_BYTE_AVA:
            if faults.read_available:
                return faults.read_available.pop(0)
            return len(self._read_buffer)
        if register == Register.WRBUF_SPC_AVA:
            return faults.write_room.pop(0) if faults.write_room else BUFFER_SIZE
        if register == Register.INTR_CAUSE:
            return int(self._cause)
        if register == Register.INTR_ENABLE:
            return self._enabled
        return 0

    def _write(self, register: int, value: int) -> None:
        if register == Register.BFR_SIZE:
            self._transfer_size = value
        elif register == Register.INTR_CAUSE:
            self._cause &= ~Interrupt(value)
        elif register == Register.INTR_ENABLE:
            was_high = bool(self._cause & self._enabled)
            self._enabled = value
            if self._cause & self._enabled and not was_high:
                self._on_interrupt()
        elif register == Register.SPI_CONFIG and value & SPI_CONFIG_RESET:
            self.counters['resets'] += 1
            self.power(False)
            self._on_reset()

    def _read_block(self, size: int) -> bytes:
        if size != self._transfer_size or size > len(self._read_buffer):
            self.counters['wrong reads'] += 1
            self._raise(Interrupt.RDBUF_ERR)
            return b'\xff' * size
        block = bytes(self._read_buffer[:size])
        del self._read_buffer[:size]
        return self.faults.blocks.pop(0)(block) if self.faults.blocks else block

    def _write_block(self, block: bytes) -> bytes:
        length = int.from_bytes(block[4:6], 'little')
        frame = block[8 : 8 + length]
        if len(block) != self._transfer_size or length + OVERHEAD != len(block) or (
            block != pack(frame)
        ):
            self.counters['wrong writes'] += 1
            self._raise(Interrupt.WRBUF_ERR)
        else:
            self._to_line(frame)
        return bytes(len(block))
