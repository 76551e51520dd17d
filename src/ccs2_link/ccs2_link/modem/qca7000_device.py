"""A QCA7000 at the other end of an SPI bus: registers, synchronisation, packets, recovery.

No threads and no clock: whoever owns the device calls `service` when the interrupt line rises or
a poll is due, and `supervise` once a second.
"""

from __future__ import annotations

import enum
from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import Protocol

from ccs2_link.modem.contract import ModemError
from ccs2_link.modem.qca7000_protocol import (
    BUFFER_SIZE,
    ENABLED,
    HARDWARE_LENGTH_SIZE,
    INTERNAL,
    MAX_READ,
    READ,
    READ_BUFFER_COMMAND,
    SIGNATURE,
    SPI_CONFIG_RESET,
    WRITE_BUFFER_COMMAND,
    Interrupt,
    PacketParser,
    Register,
    pack,
)

SUPERVISION_PERIOD = 1.0
RESET_POLLS = 10
"""So many supervisions may pass after a reset until the modem says that it runs."""
START_POLLS = 5
"""A modem that restarts by itself, as with a new key, is given so many supervisions to say that it
runs: a reset now could interrupt it while it writes the key to its flash."""
STUCK_POLLS = 2
"""So many supervisions in a row without room for what waits restart the modem."""
BAD_BLOCKS = 3
"""So many reads in a row with nothing but noise in them restart the modem."""
FAILED_TRANSFERS = 20
"""So many transfers in a row that the bus reports as failed mean that there is no bus any more."""
MANAGEMENT_QUEUE = 64
DATA_QUEUE = 10
MAX_ROUNDS = 16
"""Reads and writes in one service, so that a babbling modem leaves time for others."""


class SpiBus(Protocol):
    """One chip select of an SPI bus in mode 3."""

    def transfer(self, octets: bytes) -> bytes:
        """Clock the octets out in one chip select frame; return as many that came in.

        Raises OSError if that failed, which may happen once in a while.
        """


class Sync(enum.Enum):
    """How far driver and modem understand each other."""

    UNKNOWN = enum.auto()
    RESET = enum.auto()
    """A reset was ordered; the modem has not said yet that it runs."""
    READY = enum.auto()


class Qca7000Device:
    """Exchanges Ethernet frames with the modem and keeps it in step.

    `on_frame` gets each frame received and `on_ready` each change of being in step. Every call
    raises ModemError when the bus has failed for good.
    """

    def __init__(
        self, bus: SpiBus, on_frame: Callable[[bytes], None], on_ready: Callable[[bool], None]
    ) -> None:
        self.sync = Sync.UNKNOWN
        self._bus = bus
        self._on_frame = on_frame
        self._on_ready = on_ready
        self._parser = PacketParser()
        self._management: deque[bytes] = deque()
        self._data: deque[bytes] = deque()
        self._reset_polls = 0
        self._start_polls = 0
        self._stuck_polls = 0
        self._bad_blocks = 0
        self._failed_transfers = 0
        self._counters: Counter[str] = Counter()

    # What the owner calls.

    def send(self, frame: bytes, *, management: bool) -> bool:
        """Queue a frame and send what there is room for; False if it had to be dropped.

        Management frames go first and have a queue of their own.
        """
        queue, size = (
            (self._management, MANAGEMENT_QUEUE) if management else (self._data, DATA_QUEUE)
        )
        if self.sync is not Sync.READY:
            self._counters['frames dropped, modem not ready'] += 1
            return False
        if len(queue) >= size:
            self._counters['frames dropped, queue full'] += 1
            return False
        queue.append(pack(frame))
        self._transmit()
        return True

    @property
    def busy(self) -> bool:
        """No data frame can be queued now."""
        return self.sync is not Sync.READY or len(self._data) >= DATA_QUEUE

    @property
    def waiting(self) -> bool:
        """Frames wait for room in the modem."""
        return bool(self._management or self._data)

    def service(self) -> bool:
        """Handle whatever the modem has to say, then send what waits.

        Return whether it had anything to say.
        """
        received = False
        self._write(Register.INTR_ENABLE, 0)
        cause = self._read(Register.INTR_CAUSE)
        # All ones is a bus without a modem, or noise: the signature will tell.
        pending = Interrupt(cause) & ENABLED if cause != 0xFFFF else Interrupt(0)
        if pending:
            self._write(Register.INTR_CAUSE, pending)
        if pending & Interrupt.CPU_ON:
            self._counters['modem starts'] += 1
            self._synchronise()
        if pending & (Interrupt.RDBUF_ERR | Interrupt.WRBUF_ERR):
            self._counters['buffer errors'] += 1
            self.reset()
        if self.sync is Sync.READY:
            # Not only on PKT_AVLBL: its edge can be lost between reading and enabling.
            received = self._receive()
            self._transmit()
        self._write(Register.INTR_ENABLE, ENABLED)
        return received or bool(pending)

    def supervise(self) -> None:
        """Check the signature, and bring an unknown modem into step."""
        good = self._signature_is_good()
        if self.sync is Sync.RESET:
            self._await_start(good)
        elif not good:
            self._counters['signatures wrong'] += 1
            self._lose()
        elif self.sync is Sync.READY:
            self._look_for_room()
        elif self._start_polls:
            self._start_polls -= 1
        else:
            self.reset()

    def reset(self) -> None:
        """Order the modem to restart."""
        self._counters['resets ordered'] += 1
        self._lose()
        config = self._read(Register.SPI_CONFIG)
        self._write(Register.SPI_CONFIG, config | SPI_CONFIG_RESET)
        self._reset_polls = self._start_polls = 0
        self.sync = Sync.RESET

    def counters(self) -> Mapping[str, int]:
        """Return what went well and wrong since the start."""
        return {**self._counters, **self._parser.errors}

    # How it works.

    def _synchronise(self) -> None:
        """Take the modem as running if it says who it is and its buffer is empty."""
        self._read(Register.SIGNATURE)  # the first read after power-up may be wrong
        good = self._read(Register.SIGNATURE) == SIGNATURE
        self._lose()
        self._start_polls = 0
        if good and self._read(Register.WRBUF_SPC_AVA) == BUFFER_SIZE:
            self.sync = Sync.READY
            self._bad_blocks = self._stuck_polls = 0
            self._on_ready(True)
        else:
            self._counters['starts without synchronisation'] += 1

    def _await_start(self, signature_is_good: bool) -> None:
        """Wait for the modem to say that it runs; after a while go by what it looks like."""
        self._reset_polls += 1
        if self._reset_polls >= RESET_POLLS:
            self._counters['resets without answer'] += 1
            self.sync = Sync.UNKNOWN
            if signature_is_good:
                self._synchronise()

    def _look_for_room(self) -> None:
        """Restart a modem that has taken nothing for a while, as its TX watchdog would."""
        self._stuck_polls = self._stuck_polls + 1 if self.waiting else 0
        if self._stuck_polls > STUCK_POLLS:
            self._counters['restarts for lack of room'] += 1
            self.reset()

    def _lose(self) -> None:
        """Take the modem as not understood: what was under way is void."""
        was_ready = self.sync is Sync.READY
        self.sync = Sync.UNKNOWN
        self._parser.clear()
        self._counters['frames dropped, modem restarted'] += len(self._management) + len(self._data)
        self._management.clear()
        self._data.clear()
        if was_ready:
            self._start_polls = START_POLLS
            self._on_ready(False)

    def _signature_is_good(self) -> bool:
        return SIGNATURE in (self._read(Register.SIGNATURE), self._read(Register.SIGNATURE))

    def _receive(self) -> bool:
        """Read all packets; return whether there were any."""
        for rounds in range(MAX_ROUNDS):
            available = self._read(Register.RDBUF_BYTE_AVA)
            if available == 0:
                return rounds > 0
            if available > MAX_READ:
                self._counters['interference'] += 1
                return rounds > 0
            self._write(Register.BFR_SIZE, available)
            command = READ_BUFFER_COMMAND
            block = self._transfer(command + bytes(available))[len(command) :]
            noise = self._parser.errors.total()
            frames = self._parser.feed(block)
            # A block may hold the middle of a packet and no end: that is not noise.
            noisy = not frames and self._parser.errors.total() > noise
            self._bad_blocks = self._bad_blocks + 1 if noisy else 0
            self._counters['frames received'] += len(frames)
            for frame in frames:
                self._on_frame(frame)
            if self.sync is not Sync.READY:  # a frame's receiver had the modem restarted
                return True
            if self._bad_blocks >= BAD_BLOCKS:
                self._bad_blocks = 0
                self._counters['restarts for lost framing'] += 1
                self.reset()
                return True
        return True

    def _transmit(self) -> None:
        """Send queued packets as far as there is room for them."""
        room: int | None = None
        while queue := self._management or self._data:
            packet = queue[0]
            needed = len(packet) + HARDWARE_LENGTH_SIZE
            if room is None or room < needed:
                room = self._read(Register.WRBUF_SPC_AVA)
                if room > BUFFER_SIZE:
                    self._counters['interference'] += 1
                    return
                if room < needed:
                    self._counters['waits for room'] += 1
                    return
            queue.popleft()
            self._stuck_polls = 0
            self._write(Register.BFR_SIZE, len(packet))
            self._transfer(WRITE_BUFFER_COMMAND + packet)
            self._counters['frames sent'] += 1
            room -= needed

    def _transfer(self, octets: bytes) -> bytes:
        """Exchange octets; a transfer that failed reads as a bus without a modem does: all ones."""
        try:
            received = self._bus.transfer(octets)
        except OSError as error:
            self._counters['transfers failed'] += 1
            self._failed_transfers += 1
            if self._failed_transfers >= FAILED_TRANSFERS:
                raise ModemError(
                    f'{FAILED_TRANSFERS} SPI transfers in a row failed: {error}') from None
            return b'\xff' * len(octets)
        self._failed_transfers = 0
        return received

    def _read(self, register: Register) -> int:
        command = (READ | INTERNAL | register).to_bytes(2, 'big')
        return int.from_bytes(self._transfer(command + b'\0\0')[2:4], 'big')

    def _write(self, register: Register, value: int) -> None:
        self._transfer((INTERNAL | register).to_bytes(2, 'big') + value.to_bytes(2, 'big'))
