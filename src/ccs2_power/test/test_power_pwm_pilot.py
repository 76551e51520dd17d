"""Control pilot on PWM and ADC of the kernel: plateaus, files, and the driver on a fake sysfs."""

import asyncio
import math
import struct
import time

import gpiod
import pytest
from gpio_board import Board
from hypothesis import given, settings
from hypothesis import strategies as st
from pilot_board import PilotBoard

from ccs2_power import worker
from ccs2_power.drivers import load_driver
from ccs2_power.hal import DriverError, PilotDriver
from ccs2_power.iio.buffer import IioBuffer
from ccs2_power.pilot import PilotMonitor, PilotState
from ccs2_power.pwm import sysfs
from ccs2_power.pwm.plateaus import plateaus


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(worker, 'RETRY', 0.05)


@pytest.fixture
def board(tmp_path):
    board = PilotBoard(tmp_path)
    yield board
    board.end()


async def opened(options):
    driver = load_driver('pwm_pilot', PilotDriver)
    await driver.open(options)
    return driver


async def until(driver, duty, condition, seconds=3.0):
    end = time.monotonic() + seconds
    while True:
        if duty is not None:
            driver.command(duty)
        if condition(driver.read()):
            return driver.read()
        assert time.monotonic() < end, driver.read()
        await asyncio.sleep(0.01)


def wave(high, low, duty, count=1000, per_period=50, noise=0.0):
    """Return samples of some periods, with one sample on each edge."""
    samples = []
    for number in range(count):
        place = number % per_period / per_period
        level = high if place < duty else low
        if place in (0.0, round(duty * per_period) / per_period) and 0.0 < duty < 1.0:
            level = (high + low) / 2.0 + 0.1
        samples.append(level + noise * math.sin(number * 7.3))
    return samples


@given(st.sampled_from([12.0, 9.0, 6.0, 3.0]), st.floats(-12.5, -10.5), st.floats(0.06, 0.9),
       st.floats(0.0, 0.4))
def test_an_oscillator_has_two_plateaus(high, low, duty, noise):
    found = plateaus(wave(high, low, duty, per_period=100, noise=noise))
    assert found.high == pytest.approx(high, abs=0.3)
    assert found.low == pytest.approx(low, abs=0.3)
    assert found.duty == pytest.approx(duty, abs=0.021)


@given(st.sampled_from([12.0, 9.0, 6.0, 3.0, -12.0]), st.floats(0.0, 0.4))
def test_a_steady_level_is_one_plateau(level, noise):
    found = plateaus(wave(level, level, 1.0, noise=noise))
    assert (found.high if level > 0 else found.low) == pytest.approx(level, abs=0.3)
    assert (found.low if level > 0 else found.high) is None
    assert found.duty == (1.0 if level > 0 else 0.0)


@given(st.floats(-1.0, 1.0))
def test_near_zero_nothing_tells_the_duty_cycle(level):
    found = plateaus([level] * 100)
    assert found.duty is None
    assert found.high == found.low == pytest.approx(level)


@given(st.lists(st.sampled_from([13.0, 0.0, -13.0]), max_size=9))
def test_spikes_of_less_than_one_percent_change_nothing(spikes):
    found = plateaus([*spikes, *[-12.0] * 1000])
    assert (found.high, found.low, found.duty) == (None, pytest.approx(-12.0), 0.0)


@settings(max_examples=50)
@given(st.lists(st.floats(-15.0, 15.0), min_size=100, max_size=200))
def test_any_samples_have_plateaus_among_them(samples):
    found = plateaus(samples)
    for level in (found.high, found.low):
        assert level is None or min(samples) - 1e-9 <= level <= max(samples) + 1e-9
    assert found.duty is None or 0.0 <= found.duty <= 1.0


@pytest.mark.parametrize(('high', 'low', 'duty', 'state'), [
    (12.0, -12.0, 0.05, PilotState.A), (9.0, -12.0, 0.05, PilotState.B),
    (6.0, -12.0, 0.05, PilotState.C), (3.0, -12.0, 0.05, PilotState.D),
    (0.0, 0.0, 0.05, PilotState.E), (9.0, -12.0, 1.0, PilotState.B),
    (9.0, -12.0, 0.0, PilotState.F)])
async def test_the_states_are_told_apart(board, high, low, duty, state):
    board.high, board.low, board.spikes = high, low, 0.002
    driver, monitor = await opened(board.options()), PilotMonitor()
    try:
        def classified(reading):
            monitor.step(reading, duty, time.monotonic())
            return monitor.state is state
        await until(driver, duty, classified)
        assert not monitor.diode_fault
    finally:
        await driver.close()


async def test_a_missing_diode_and_a_missing_oscillator_are_seen(board):
    board.high, board.low = 6.0, -6.0
    driver, monitor = await opened(board.options()), PilotMonitor()
    try:
        def diode_fault(reading):
            monitor.step(reading, 0.05, time.monotonic())
            return monitor.diode_fault
        await until(driver, 0.05, diode_fault)
        board.high = board.low = -12.0  # the output stage is dead, the kernel knows nothing of it

        def lost(reading):
            monitor.step(reading, 0.05, time.monotonic())
            return 'instead of' in monitor.lost
        await until(driver, 0.05, lost)
    finally:
        await driver.close()


@pytest.mark.parametrize('ohm', [150.0, 480.0, 1500.0, math.inf])
async def test_proximity_is_a_resistance(board, ohm):
    board.proximity = 1e9 if math.isinf(ohm) else ohm
    driver = await opened(board.with_proximity())
    try:
        reading = await until(driver, 0.05, lambda reading: reading.proximity is not None)
        assert reading.proximity.value == pytest.approx(ohm, rel=0.02)
        await until(driver, 0.05, lambda reading: reading.duty.value == pytest.approx(
            0.05, abs=0.02))
    finally:
        await driver.close()


async def test_samples_that_stop_make_the_levels_old(board):
    driver = await opened(board.options())
    try:
        await until(driver, 0.05, lambda reading: reading.high is not None)
        board.sampling = False
        await asyncio.sleep(0.1)
        stamp = driver.read().duty.stamp
        await asyncio.sleep(0.1)
        assert driver.read().duty.stamp == stamp
        board.sampling = True
        await until(driver, 0.05, lambda reading: reading.duty.stamp > stamp)
    finally:
        await driver.close()


async def test_the_pilot_goes_low_while_the_loop_hangs(board):
    driver = await opened(board.options())
    try:
        await until(driver, 0.05, lambda reading: board.duty == 0.05)
        end = time.monotonic() + 2.0
        while board.duty:  # no await: the node's loop stands still
            assert time.monotonic() < end
            time.sleep(0.01)  # noqa: ASYNC251
    finally:
        await driver.close()


async def test_a_lost_pwm_comes_back_low(board):
    driver = await opened(board.options())
    try:
        await until(driver, 0.05, lambda reading: reading.high is not None)
        enable = board.output / 'enable'
        enable.unlink()
        enable.mkdir()
        await until(driver, None, lambda reading: 'enable' in driver.problem)
        enable.rmdir()
        enable.write_text('0')
        await until(driver, None, lambda reading: driver.problem == '' and reading.duty is not None)
        assert board.duty == 0.0
    finally:
        await driver.close()


async def test_the_watchdog_line_is_kicked_while_commands_are_heard(board, monkeypatch):
    chip = Board()
    monkeypatch.setattr(gpiod, 'request_lines', chip.request_lines)
    driver = await opened(board.options(watchdog_chip='/dev/gpiochip7', watchdog='4'))
    try:
        await asyncio.sleep(0.1)
        assert len(chip.history) == 1
        await until(driver, 0.05, lambda reading: len(chip.history) > 5)
    finally:
        await driver.close()
    assert not chip.high(4)


@pytest.mark.parametrize(('options', 'message'), [
    ({'pwm': '/sys/class/pwm/no_such_chip'}, 'no_such_chip'),
    ({'adc': '/sys/bus/iio/devices/no_such_adc'}, 'no_such_adc'),
    ({'adc_device': '/dev/no_such_adc'}, '/dev/no_such_adc'),
    ({'pilot': 'voltage9'}, 'in_voltage9_en|in_voltage9_type'),
    ({'gain': ''}, "'gain' is missing"),
    ({'sampling_frequency': '1000'}, 'sampling_frequency'),
    ({'polarity': 'upside_down'}, 'polarity'),
    ({'watchdog_chip': '/dev/gpiochip99', 'watchdog': '4'}, '/dev/gpiochip99'),
])
async def test_what_is_missing_is_named(board, options, message):
    with pytest.raises(DriverError, match=message):
        await opened({**board.options(), **options})


async def test_an_adc_that_samples_too_slowly_is_refused(board):
    (board.device / 'sampling_frequency').write_text('20000')
    with pytest.raises(DriverError, match='20000 Hz are too slow'):
        await opened(board.options())


async def test_a_pwm_that_is_not_made_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(sysfs, 'EXPORT_TIME', 0.05)
    (tmp_path / 'export').write_text('')
    with pytest.raises(DriverError, match='pwm0'):
        await opened({'pwm': str(tmp_path), 'gain': '1', 'zero': '0'})


async def test_an_inverting_output_stage_gets_its_polarity(board):
    driver = await opened(board.options(polarity='inversed'))
    await driver.close()
    assert (board.output / 'polarity').read_text() == 'inversed'


@pytest.mark.parametrize(('kind', 'raw', 'volts'), [
    ('le:s12/16>>4', struct.pack('<H', 0xFFF7), -0.001), ('be:u16/16>>0', b'\x01\x00', 0.256),
    ('le:u24/32>>8', struct.pack('<I', 0x3E8FF), 1.0), ('be:s8/8>>0', b'\xfe', -0.002)])
def test_samples_of_every_type(tmp_path, kind, raw, volts):
    board = PilotBoard(tmp_path)
    board.end()
    (board.device / 'scan_elements' / 'in_voltage0_type').write_text(kind)
    (board.device / 'in_voltage_scale').unlink()
    (board.device / 'in_voltage0_scale').write_text('1.0')
    (board.device / 'in_voltage0_offset').write_text('0')
    node = tmp_path / 'samples'
    node.write_bytes(raw * 3 + raw[:-1])
    buffer = IioBuffer(str(board.device), str(node), ['voltage0'], None, '')
    buffer.open()
    expected = {'le:u24/32>>8': 0x3E8 / 1e3}.get(kind, volts)
    assert buffer.read() == ([pytest.approx(expected)] * 3,)
    buffer.close()


def test_a_full_buffer_is_thrown_away(tmp_path):
    board = PilotBoard(tmp_path)
    board.end()
    node = tmp_path / 'samples'
    node.write_bytes(bytes(2 * 2 * 5000))
    buffer = IioBuffer(str(board.device), str(node), ['voltage0', 'voltage1'], None, '')
    buffer.open()
    assert buffer.read() == ([], [])
    with node.open('ab') as samples:
        samples.write(bytes(6))
    assert [len(samples) for samples in buffer.read()] == [1, 1]
    buffer.close()


@pytest.mark.parametrize('kind', ['le:u12/16X2>>4', 'le:u12/16>>5', 'me:u12/16>>4', ''])
def test_samples_of_other_types_are_refused(tmp_path, kind):
    board = PilotBoard(tmp_path)
    board.end()
    (board.device / 'scan_elements' / 'in_voltage0_type').write_text(kind)
    buffer = IioBuffer(str(board.device), str(board.node), ['voltage0'], None, '')
    with pytest.raises(OSError, match='not understood'):
        buffer.open()
