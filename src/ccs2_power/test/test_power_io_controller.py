"""Control pilot by an I/O controller: frames on both lines, and the driver on emulated ones."""

import asyncio
import math
import os
import struct
import time
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st
from io_controller_board import CanController, SerialController

from ccs2_power.can.frame import Frame
from ccs2_power.drivers import load_driver
from ccs2_power.hal import DriverError, PilotDriver
from ccs2_power.io_controller import frames, pilot
from ccs2_power.io_controller.can_line import IDENTIFIER, Joiner, split
from ccs2_power.io_controller.frames import FrameError, FrameType, State
from ccs2_power.io_controller.serial_line import LONGEST, Receiver, pack
from ccs2_power.pilot import PilotMonitor, PilotState


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(pilot, 'RETRY', 0.05)
    monkeypatch.setattr(pilot, 'ANSWER_TIME', 0.3)


async def opened(options):
    driver = load_driver('io_controller_pilot', PilotDriver)
    await driver.open(options)
    return driver


@pytest.fixture(params=['serial', 'can'])
def controller(request):
    """Return how to make a controller on each of the lines."""
    if request.param == 'serial':
        return SerialController
    return partial(CanController, f'io_controller_{os.getpid()}')


async def until(driver, duty, condition, seconds=3.0):
    end = time.monotonic() + seconds
    while True:
        if duty is not None:
            driver.command(duty)
        if condition(driver.read()):
            return driver.read()
        assert time.monotonic() < end, (driver.read(), driver.problem)
        await asyncio.sleep(0.01)


def test_the_vectors_of_the_document():
    drive, content = frames.drive(0.05), struct.pack(
        '>BBhhHIH', 1, 0x0F, 9000, -12000, 500, 1500, 3)
    assert pack(FrameType.DRIVE, drive) == bytes.fromhex('060101f4670600')
    assert pack(FrameType.IDENTIFY) == bytes.fromhex('0402c1b200')
    assert pack(FrameType.STATE, content) == bytes.fromhex(
        '0a81010f2328d12001f4010305dc0403928a00')
    assert pack(FrameType.IDENTITY, b'\x01emulated 1.0') == bytes.fromhex(
        '118201656d756c6174656420312e30b07100')
    on_can = [(FrameType.DRIVE, drive, [(0x300, '01f4')]), (FrameType.IDENTIFY, b'', [(0x301, '')]),
              (FrameType.STATE, content, [(0x302, '010f2328d12001f4'),
                                          (0x303, '0100000005dc0003')]),
              (FrameType.IDENTITY, b'\x01emu 1.0', [(0x304, '01656d7520312e30')])]
    for frame_type, data, expected in on_can:
        assert [(frame.identifier, frame.data.hex(), frame.extended)
                for frame in split(IDENTIFIER, frame_type, data)] == [
                    (identifier, octets, False) for identifier, octets in expected]
    assert frames.state(content) == State(1, 9.0, -12.0, 0.05, 1500.0, False, False, 0.003)


@given(st.integers(0, 255), st.binary(max_size=40), st.integers(1, 40))
def test_frames_come_through_in_any_portions(frame_type, content, portion):
    packed = pack(frame_type, content)
    assert packed.count(0) == 1
    receiver = Receiver()
    stream = b'\x05\x01\0' + packed + packed
    found = [frame for at in range(0, len(stream), portion)
             for frame in receiver.feed(stream[at:at + portion])]
    assert found == [(frame_type, content)] * 2
    assert receiver.refused == 1


@given(st.binary(max_size=300))
def test_any_octets_are_frames_or_refused(data):
    receiver = Receiver()
    for frame_type, content in receiver.feed(data):
        assert 0 <= frame_type <= 255
        assert len(content) < LONGEST


@given(st.integers(0, 255), st.binary(min_size=1, max_size=40), st.data())
def test_a_flipped_bit_is_noticed(frame_type, content, data):
    packed = bytearray(pack(frame_type, content)[:-1])
    place = data.draw(st.integers(0, 8 * len(packed) - 1))
    packed[place // 8] ^= 1 << place % 8
    assert (frame_type, content) not in Receiver().feed(bytes(packed) + b'\0')


def test_an_endless_frame_is_not_kept():
    receiver = Receiver()
    assert receiver.feed(b'\xff' * 100_000) == []
    assert len(receiver._octets) < LONGEST
    assert receiver.feed(b'\0' + pack(2)) == [(2, b'')]
    assert receiver.refused == 1


@pytest.mark.parametrize('content', [
    b'', b'\0' * 13, struct.pack('>BBhhHIH', 0, 4, 0, 0, 10001, 0, 0)])
def test_a_wrong_state_is_refused(content):
    with pytest.raises(FrameError):
        frames.state(content)


def test_values_without_their_flag_are_none():
    found = frames.state(struct.pack('>BBhhHIH', 0, 0x30, 1, 1, 1, 1, 0))
    assert (found.high, found.low, found.duty, found.proximity) == (None,) * 4
    assert (found.safe, found.fault) == (True, True)
    assert frames.state(struct.pack('>BBhhHIH', 0, 8, 0, 0, 0, 0xFFFFFFFF, 0)
                        ).proximity == math.inf


async def test_levels_and_proximity_are_passed_on(controller):
    with controller() as board:
        board.high, board.proximity = 6.0, math.inf
        driver, monitor = await opened(board.options), PilotMonitor()
        try:
            def ready(reading):
                monitor.step(reading, 0.05, time.monotonic())
                return monitor.state is PilotState.C
            reading = await until(driver, 0.05, ready)
            assert (reading.high.value, reading.low.value) == (6.0, -12.0)
            assert reading.proximity.value == math.inf
            assert driver.problem == ''
        finally:
            await driver.close()
        await asyncio.sleep(0.02)
        assert board.drives[-1] == 0.0


async def test_off_is_told_when_nobody_commands(controller):
    with controller() as board:
        driver = await opened(board.options)
        try:
            await until(driver, 0.05, lambda reading: board.driven == 0.05)
            await until(driver, None, lambda reading: board.drives[-1] == 0.0)
            assert time.monotonic() - board.told < 0.1  # not by the controller's watchdog
        finally:
            await driver.close()


async def test_a_controller_that_repeats_itself_is_not_believed(controller):
    with controller() as board:
        driver = await opened(board.options)
        try:
            await until(driver, 0.05, lambda reading: reading.duty is not None)
            board.counting = False
            await asyncio.sleep(0.05)
            stamp = driver.read().duty.stamp
            await until(driver, 0.05, lambda reading: 'no new measurements' in driver.problem)
            assert driver.read().duty.stamp == stamp
        finally:
            await driver.close()


async def test_a_controller_with_a_fault_is_not_believed(controller):
    with controller() as board:
        driver = await opened(board.options)
        try:
            await until(driver, 0.05, lambda reading: reading.duty is not None)
            board.fault = True
            await until(driver, 0.05, lambda reading: 'check has failed' in driver.problem)
            stamp = driver.read().duty.stamp
            await asyncio.sleep(0.1)
            assert driver.read().duty.stamp == stamp
        finally:
            await driver.close()


async def test_a_controller_that_hears_nothing_is_named(controller):
    with controller() as board:
        driver = await opened(board.options)
        try:
            board.deaf = True
            await until(driver, 0.05, lambda reading: 'does not hear' in driver.problem)
            assert driver.read().duty.value == 0.0
        finally:
            await driver.close()


async def test_a_port_that_comes_back_is_opened_again(tmp_path):
    link = tmp_path / 'port'
    with SerialController() as board:
        link.symlink_to(board.place)
        driver = await opened({'device': str(link)})
        try:
            await until(driver, 0.05, lambda reading: reading.high is not None)
            board.unplug()
            link.unlink()
            await until(driver, None, lambda reading: str(link) in driver.problem)
            with SerialController() as again:
                link.symlink_to(again.place)
                reading = await until(
                    driver, None, lambda reading: driver.problem == '' and reading.duty is not None
                    and time.monotonic() - reading.duty.stamp < 0.1)
                assert reading.duty.value == 0.0
                await until(driver, 0.05, lambda reading: again.driven == 0.05)
        finally:
            await driver.close()


async def test_a_controller_that_comes_back_to_the_bus_is_at_minus_12_v():
    channel = f'io_controller_back_{os.getpid()}'
    with CanController(channel) as board:
        driver = await opened(board.options)
        try:
            await until(driver, 0.05, lambda reading: reading.high is not None)
            board.unplug()
            await until(driver, None, lambda reading: 'no new measurements' in driver.problem)
            with CanController(channel) as again:
                await until(driver, None, lambda reading: driver.problem == '')
                assert again.driven == 0.0
                await until(driver, 0.05, lambda reading: again.driven == 0.05)
        finally:
            await driver.close()


async def test_what_is_missing_is_named(controller):
    with controller() as board:
        board.answering = False
        with pytest.raises(DriverError, match='does not answer'):
            await opened(board.options)
    with controller(version=2) as board, pytest.raises(DriverError, match='version 2'):
        await opened(board.options)


@pytest.mark.parametrize(('options', 'message'), [
    ({'device': '/dev/no_such_port'}, '/dev/no_such_port'),
    ({'channel': 'no_such_can'}, 'CAN socketcan no_such_can'),
    ({'channel': 'c', 'interface': 'no_such'}, 'CAN no_such c'),
    ({}, "either option 'device' .serial port. or 'channel'"),
    ({'device': '/dev/ttyS0', 'channel': 'can0'}, 'either'),
    ({'channel': 'can0', 'identifier': '0x305'}, 'no multiple of 8'),
])
async def test_wrong_options_are_named(options, message):
    with pytest.raises(DriverError, match=message):
        await opened(options)


# The CAN bus


@given(st.integers(0, 255), st.binary(min_size=13, max_size=13))
def test_a_state_comes_through_two_frames(counter, rest):
    content = bytes((counter,)) + rest
    joiner = Joiner(IDENTIFIER)
    found = [joiner.feed(frame) for frame in split(IDENTIFIER, FrameType.STATE, content)]
    assert found == [None, (FrameType.STATE, content)]


@given(st.lists(st.tuples(st.integers(IDENTIFIER - 2, IDENTIFIER + 8), st.binary(max_size=8),
                          st.booleans()), max_size=30))
def test_whatever_is_on_the_bus_is_a_frame_or_nothing(traffic):
    joiner = Joiner(IDENTIFIER)
    for identifier, data, extended in traffic:
        found = joiner.feed(Frame(identifier, data, extended))
        if found is not None:
            assert not extended
            frame_type, content = found
            assert frame_type != FrameType.STATE or len(content) == 14


def test_halves_of_two_states_are_none():
    joiner = Joiner(IDENTIFIER)
    one, two = (split(IDENTIFIER, FrameType.STATE, bytes((counter,)) + bytes(13))
                for counter in (1, 2))
    assert [joiner.feed(frame) for frame in (one[0], two[1], two[1])] == [None] * 3
    assert [joiner.feed(frame) for frame in (two[0], one[0], one[1])][2] is not None
    assert joiner.feed(Frame(IDENTIFIER + 3, one[1].data + b'\0', False)) is None


async def test_other_traffic_on_the_bus_changes_nothing():
    with CanController(f'io_controller_busy_{os.getpid()}') as board:
        driver = await opened(board.options)
        try:
            for identifier in (0x2FF, 0x305, 0x310):
                board.put(Frame(identifier, bytes(8), extended=False))
            board.put(Frame(IDENTIFIER + 2, bytes(8)))
            reading = await until(driver, 0.05, lambda reading: reading.high is not None)
            assert reading.high.value == 12.0
            assert driver.problem == ''
        finally:
            await driver.close()
