"""The real SPI driver on the register model: it recovers from whatever the bus and chip do."""

from __future__ import annotations

import asyncio
import errno
import os
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccs2_link.modem import qca7000
from ccs2_link.modem.contract import ModemError
from ccs2_link.modem.qca7000_device import BAD_BLOCKS, FAILED_TRANSFERS, Qca7000Device, Sync
from ccs2_link.modem.qca7000_protocol import (
    BUFFER_SIZE,
    MAX_FRAME,
    Interrupt,
    PacketParser,
    Register,
    pack,
)
from ccs2_link.modem.spi import SpidevBus
from ccs2_sim.powerline.qca7000_model import Faults, Qca7000Model

FRAME = b'\x02' * 12 + b'\x86\xdd' + bytes(100)
SPEED = 8_000_000
POLL = 0.005


class FailingChip(Qca7000Model):
    """A chip on a bus whose transfers the kernel may report as failed, as `outcomes` say."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.outcomes = []

    def xfer2(self, values):
        if self.outcomes and not self.outcomes.pop(0):
            raise TimeoutError(errno.ETIMEDOUT, 'Connection timed out')
        return super().xfer2(values)


class Rig:
    """Device and chip with a clock: service every 5 ms, supervision every second."""

    BOOT = 0.4

    def __init__(self, start=True):
        self.now = 0.0
        self.received = []
        self.at_line = []
        self.ready = []
        self.interrupts = 0
        self._boot_due = None
        self._supervise_due = 0.0
        self.chip = FailingChip(self.at_line.append, self._interrupt, self._chip_resets)
        bus = SpidevBus(0, 0, SPEED, lambda: self.chip)
        bus.open()
        self.device = Qca7000Device(
            bus, self.received.append, lambda up: self.ready.append((round(self.now, 3), up)))
        if start:
            self.chip.power(True)
            self.run(2.0)
            assert self.device.sync is Sync.READY

    def run(self, seconds):
        end = self.now + seconds
        while self.now < end:
            self.step()

    def step(self):
        self.now += POLL
        if self._boot_due is not None and self.now >= self._boot_due:
            self._boot_due = None
            self.chip.power(True)
        if self.now >= self._supervise_due:
            self._supervise_due = self.now + 1.0
            self.device.supervise()
        self.device.service()

    def restart(self):
        """The chip restarts by itself."""
        self.chip.power(False)
        self._chip_resets()

    def recover(self, patience=30.0):
        """Wait until frames pass in both directions again, ten times in a row.

        Return the seconds until then, and how many frames were lost meanwhile, one each way sent
        every 5 ms.
        """
        begin = since = self.now
        good = lost = 0
        while self.now - begin < patience:
            self.received.clear()
            self.at_line.clear()
            self.chip.to_host(FRAME)
            self.device.send(FRAME, management=True)
            self.step()
            missing = (FRAME not in self.received) + (FRAME not in self.at_line)
            lost += missing
            good = 0 if missing else good + 1
            if good == 0:
                since = self.now
            if good == 10:
                return since - begin, lost
        raise AssertionError('the driver does not recover')

    def exchange(self, count=200):
        """Send frames both ways for a while; return how many were lost."""
        self.received.clear()
        self.at_line.clear()
        for number in range(count):
            frame = FRAME[:14] + number.to_bytes(4, 'big') + FRAME[18:]
            self.chip.to_host(frame)
            self.device.send(frame, management=True)
            self.step()
        for _ in range(10):
            self.step()
        return 2 * count - len(set(self.received)) - len(set(self.at_line))

    def _interrupt(self):
        self.interrupts += 1

    def _chip_resets(self):
        self._boot_due = self.now + self.BOOT


@pytest.fixture
def rig():
    return Rig()


def test_frames_pass_both_ways_unchanged(rig):
    for size in (14, 60, 61, 500, 1514, MAX_FRAME):
        frame = FRAME[:14].ljust(size, b'\x5a')
        assert rig.device.send(frame, management=False)
        rig.chip.to_host(frame)
        rig.step()
        padded = frame.ljust(60, b'\0')
        assert rig.at_line.pop() == rig.received.pop() == padded


def test_a_frame_that_is_too_long_is_refused(rig):
    with pytest.raises(ValueError, match='1519 octets'):
        rig.device.send(bytes(MAX_FRAME + 1), management=False)


def test_nothing_is_lost_on_a_sound_bus(rig):
    assert rig.exchange(1000) == 0


def test_a_burst_fills_the_buffer_and_is_read_in_one_go(rig):
    for _ in range(20):
        rig.chip.to_host(FRAME)
    rig.step()
    assert len(rig.received) == 20
    assert rig.chip.counters['wrong reads'] == 0


def test_management_frames_go_before_data(rig):
    rig.chip.faults.write_room = [0, 0]
    data, management = FRAME, FRAME[:12] + b'\x88\xe1' + bytes(46)
    rig.device.send(data, management=False)
    rig.device.send(management, management=True)
    rig.step()
    assert rig.at_line == [management, data]


def test_buffer_full_waits_and_then_goes_on(rig):
    rig.chip.faults.write_room = [20] * 50
    for _ in range(10):
        assert rig.device.send(FRAME, management=False)
    assert rig.device.busy
    assert not rig.device.send(FRAME, management=False)
    rig.run(0.5)
    assert len(rig.at_line) == 10
    assert rig.device.counters()['frames dropped, queue full'] == 1


FAULTS = {}


def fault(act):
    FAULTS[act.__name__.replace('_', ' ')] = act
    return act


@fault
def wrong_signature_once(rig):
    rig.chip.faults.signatures = [0x0000]


@fault
def wrong_signature_twice(rig):
    rig.chip.faults.signatures = [0x0000, 0xFFFF]


@fault
def lost_synchronisation_of_framing(rig):
    rig.chip.faults.blocks = [lambda block: block[7:] + bytes(7)]


@fault
def corrupt_length(rig):
    rig.chip.faults.blocks = [lambda block: block[:8] + b'\xff\xff' + block[10:]]


@fault
def corrupt_end(rig):
    rig.chip.faults.blocks = [lambda block: block[:-2] + b'\0\0']


@fault
def three_blocks_of_noise(rig):
    rig.chip.faults.blocks = [lambda block: bytes(len(block))] * BAD_BLOCKS


@fault
def implausible_octets_available(rig):
    rig.chip.faults.read_available = [0xFFFF, 0x2000]


@fault
def wrong_octets_available(rig):
    rig.chip.faults.read_available = [2000]


@fault
def implausible_room(rig):
    rig.chip.faults.write_room = [0xFFFF, BUFFER_SIZE + 1]


@fault
def no_room_for_a_second(rig):
    rig.chip.faults.write_room = [0] * 200


@fault
def spurious_interrupts(rig):
    for _ in range(100):
        rig.chip.interrupt(Interrupt(0))
        rig.device.service()


@fault
def read_buffer_error(rig):
    rig.chip.interrupt(Interrupt.RDBUF_ERR)


@fault
def write_buffer_error(rig):
    rig.chip.interrupt(Interrupt.WRBUF_ERR)


@fault
def restart_of_the_modem(rig):
    rig.restart()


@fault
def restart_in_mid_frame(rig):
    rig.chip.faults.blocks = [lambda block: block[: len(block) // 2] + bytes(len(block) // 2)]
    rig.chip.to_host(FRAME)
    rig.device.service()
    rig.restart()


@fault
def reset_ordered_by_the_host(rig):
    rig.device.reset()


@fault
def wire_broken_for_five_seconds(rig):
    rig.chip.faults.deaf = True
    rig.run(5.0)
    rig.chip.faults.deaf = False


@fault
def chip_dead_for_thirty_seconds(rig):
    rig.chip.power(False)
    rig.run(30.0)
    rig.chip.power(True)


@pytest.mark.parametrize('name', FAULTS)
def test_the_driver_recovers(rig, name):
    FAULTS[name](rig)
    took, lost = rig.recover()
    lost_afterwards = rig.exchange()
    print(f'{name}: {took:.3f} s to recover, {lost} frames lost meanwhile, '
          f'then {lost_afterwards} of 400')
    assert took < 8.0
    assert lost_afterwards == 0
    assert rig.device.sync is Sync.READY


@given(st.lists(st.booleans(), max_size=60).filter(
    lambda outcomes: str([False] * FAILED_TRANSFERS)[1:-1] not in str(outcomes)))
def test_failed_transfers_are_endured(outcomes):
    rig = Rig()
    rig.chip.outcomes = list(outcomes)
    rig.run(1.0)
    took, _ = rig.recover()
    assert took < 8.0
    assert rig.exchange() == 0
    assert rig.device.counters().get('transfers failed', 0) == outcomes.count(False)


@pytest.mark.parametrize('call', [
    lambda device: device.service(),
    lambda device: device.supervise(),
    lambda device: device.reset(),
    lambda device: device.send(FRAME, management=True),
])
def test_a_bus_that_has_failed_for_good_is_given_up(rig, call):
    rig.chip.outcomes = [False] * FAILED_TRANSFERS
    ends = None
    for _ in range(FAILED_TRANSFERS):
        try:
            call(rig.device)
        except ModemError as error:
            ends = str(error)
            break
    assert ends.startswith('20 SPI transfers in a row failed: ')


def test_ready_follows_the_chip(rig):
    assert [up for _, up in rig.ready] == [True]
    rig.restart()
    rig.run(3.0)
    assert [up for _, up in rig.ready] == [True, False, True]


def test_a_chip_that_is_already_running_is_restarted_once():
    rig = Rig()
    assert rig.chip.counters['resets'] == 1


def test_a_reset_without_an_answer_is_tried_again():
    rig = Rig()
    rig.BOOT = 1e9
    rig.device.reset()
    rig.run(9.0)
    assert rig.device.sync is Sync.RESET
    rig.run(3.0)
    assert rig.device.counters()['resets without answer'] == 1
    rig.chip.boot()
    rig.run(1.1)
    assert rig.device.sync is Sync.RESET
    rig.chip.power(True)
    rig.run(1.1)
    assert rig.device.sync is Sync.READY


def test_a_modem_that_starts_by_itself_is_not_disturbed(rig):
    """As it does with a new key: its registers answer before its firmware runs."""
    resets = rig.chip.counters['resets']
    rig.chip.power(False)
    rig.run(1.5)
    rig.chip.boot()
    rig.run(4.0)
    assert rig.chip.counters['resets'] == resets
    assert rig.device.sync is Sync.UNKNOWN
    rig.chip.power(True)
    rig.run(0.1)
    assert rig.device.sync is Sync.READY


def test_a_modem_that_never_finishes_its_start_is_restarted(rig):
    resets = rig.chip.counters['resets']
    rig.chip.power(False)
    rig.run(1.5)
    rig.chip.boot()
    rig.run(10.0)
    assert rig.chip.counters['resets'] == resets + 1
    rig.recover()


def test_a_start_that_nobody_told_of_is_found(rig):
    """CPU_ON was lost: after ten seconds the driver goes by signature and empty buffer."""
    rig.BOOT = 1e9
    rig.device.reset()
    rig.chip.power(True)
    rig.chip._write(Register.INTR_CAUSE, Interrupt.CPU_ON)
    rig.run(8.0)
    assert rig.device.sync is Sync.RESET
    rig.run(3.0)
    assert rig.device.sync is Sync.READY


def test_a_wrong_first_signature_after_the_start_does_not_matter(rig):
    rig.chip.power(False)
    rig.chip.power(True)
    rig.chip.faults.signatures = [0xFFFF]
    rig.step()
    assert rig.device.sync is Sync.READY


def test_a_modem_that_takes_nothing_is_restarted(rig):
    resets = rig.chip.counters['resets']
    rig.chip.faults.write_room = [0] * 10_000
    rig.device.send(FRAME, management=True)
    rig.run(1.9)
    assert rig.chip.counters['resets'] == resets
    rig.run(2.0)
    assert rig.chip.counters['resets'] > resets
    assert rig.device.counters()['restarts for lack of room'] == 1
    rig.chip.faults = Faults()
    rig.recover()


def test_a_packet_in_many_pieces_is_no_noise(rig):
    resets = rig.chip.counters['resets']
    rig.chip.faults.read_available = [20] * 32
    for _ in range(5):
        rig.chip.to_host(FRAME)
    rig.run(0.3)
    assert rig.received == [FRAME] * 5
    assert rig.chip.counters['resets'] == resets


class Line:
    """An interrupt line: a pipe whose edges can be lost."""

    def __init__(self):
        self.read_end, self.write_end = os.pipe()
        os.set_blocking(self.read_end, False)
        self.lost = False
        self.edges = 0

    def rise(self):
        self.edges += 1
        if not self.lost:
            os.write(self.write_end, b'!')

    def fileno(self):
        return self.read_end

    def clear(self):
        os.read(self.read_end, 4096)

    def close(self):
        os.close(self.read_end)
        os.close(self.write_end)


async def until(condition):
    async with asyncio.timeout(10.0):
        while not condition():  # noqa: ASYNC110  (the chip has no event for it)
            await asyncio.sleep(0.001)


@pytest.mark.parametrize('mode', ['edges', 'lost edges', 'polling'])
async def test_frames_arrive_by_interrupt_and_without(mode, monkeypatch):
    # Whoever waits for the poll waits too long.
    monkeypatch.setattr(qca7000, 'POLL_WITH_INTERRUPT', 60.0 if mode == 'edges' else 0.02)
    loop = asyncio.get_running_loop()
    line = Line()
    chip = Qca7000Model(
        lambda frame: None, line.rise, lambda: loop.call_later(0.05, chip.power, True))
    modem = qca7000.Qca7000Modem(
        SpidevBus(0, 0, SPEED, lambda: chip), b'\x02' * 6, 'none', None, poll_period=0.005,
        make_interrupt=None if mode == 'polling' else lambda: line)
    frames, ready = [], []
    modem.on_frame, modem.on_ready = frames.append, ready.append
    chip.power(True)
    await modem.open()
    await until(lambda: ready and ready[-1])
    line.lost = mode == 'lost edges'
    spurious = modem.counters().get('interrupts without cause', 0)
    for number in range(20):
        chip.to_host(FRAME[:12] + b'\x88\xe1' + bytes([number]) + bytes(45))
        await until(lambda number=number: len(frames) == number + 1)
    assert [frame[14] for frame in frames] == list(range(20))
    if mode == 'edges':
        assert line.edges >= 20
        assert modem.counters().get('interrupts without cause', 0) == spurious
    await modem.close()
    if mode == 'polling':
        line.close()


def test_while_not_ready_frames_are_dropped_and_counted():
    rig = Rig(start=False)
    assert not rig.device.send(FRAME, management=True)
    assert rig.device.counters()['frames dropped, modem not ready'] == 1


def test_interrupts_rise_only_when_enabled():
    rig = Rig()
    before = rig.interrupts
    rig.chip.to_host(FRAME)
    assert rig.interrupts == before + 1
    rig.chip.to_host(FRAME)
    assert rig.interrupts == before + 1
    rig.device.service()
    rig.chip.to_host(FRAME)
    assert rig.interrupts == before + 2


@pytest.mark.parametrize('seed', range(5))
def test_the_driver_survives_a_day_of_everything(seed):
    """Faults at random for ten minutes of the chip's time: it always comes back."""
    random = Random(seed)
    rig = Rig()
    for _ in range(60):
        FAULTS[random.choice([name for name in FAULTS if 'thirty' not in name])](rig)
        rig.run(random.uniform(0.0, 3.0))
    rig.chip.faults = Faults()
    took, _ = rig.recover()
    assert took < 12.0
    assert rig.exchange() == 0


FRAMES = st.lists(st.binary(min_size=60, max_size=MAX_FRAME), max_size=6)


def packed(frames):
    return b''.join((len(f) + 10).to_bytes(4, 'big') + pack(f) for f in frames)


@given(FRAMES, st.data())
def test_the_parser_does_not_care_how_reads_are_cut(frames, data):
    stream = packed(frames)
    parser, found, offset = PacketParser(), [], 0
    while offset < len(stream):
        size = data.draw(st.integers(1, len(stream) - offset))
        found += parser.feed(stream[offset : offset + size])
        offset += size
    assert found == frames
    assert not any(parser.errors.values())


@given(st.binary(max_size=300), FRAMES)
def test_the_parser_finds_frames_after_noise(noise, frames):
    parser = PacketParser()
    parser.feed(noise)
    quiet = bytes(MAX_FRAME + 20)  # outlasts a packet that the noise may have begun
    found = parser.feed(quiet + packed(frames))
    assert found[len(found) - len(frames) :] == frames


@given(st.lists(st.binary(max_size=400), max_size=10))
def test_the_parser_keeps_no_more_than_one_packet(blocks):
    parser = PacketParser()
    for block in blocks:
        for frame in parser.feed(block):
            assert 60 <= len(frame) <= MAX_FRAME
        assert len(parser._rest) <= MAX_FRAME + 14


def test_registers_are_those_of_the_chip():
    words = {0x8000 | 0x4000 | Register.SIGNATURE: 0xDA00, 0x4000 | Register.BFR_SIZE: 0x4100,
             0xC000 | Register.WRBUF_SPC_AVA: 0xC200, 0xC000 | Register.RDBUF_BYTE_AVA: 0xC300,
             0xC000 | Register.INTR_CAUSE: 0xCC00, 0x4000 | Register.INTR_ENABLE: 0x4D00}
    assert all(word == expected for word, expected in words.items())


@pytest.mark.parametrize('speed', [999_999, 16_000_001])
def test_spi_speed_is_bounded(speed):
    with pytest.raises(ValueError, match='SPI speed'):
        SpidevBus(0, 0, speed)
