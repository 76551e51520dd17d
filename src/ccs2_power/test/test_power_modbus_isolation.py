"""Isolation monitors on Modbus: the core on a virtual clock, the driver on pymodbus's server."""

import asyncio
import math
import struct
import time
from importlib import resources
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modbus_devices import DEVICE_ERROR, EXTERNAL_TEST, Bender
from modbus_line import on_serial, on_tcp

from ccs2_power.drivers import load_driver
from ccs2_power.hal import (
    COMMAND_TIMEOUT,
    DriverError,
    IsolationCommand,
    IsolationDriver,
    SelfTest,
)
from ccs2_power.modbus import isolation
from ccs2_power.modbus.isolation import Action, IsolationCore, IsolationMap
from ccs2_power.modbus.registers import TYPES, Field, Table, load_map, map_names

MAPS = Path(str(resources.files('ccs2_power.modbus') / 'maps'))
INVALID = 0x00C0


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(isolation, 'CYCLE', 0.05)


def quick(name, tmp_path):
    """Return the path of a map whose values count soon."""
    text = (MAPS / f'{name}.toml').read_text().replace('settle_time = 2.0', 'settle_time = 0.2')
    (tmp_path / f'{name}.toml').write_text(text)
    return str(tmp_path / f'{name}.toml')


async def until(driver, command, condition, seconds=5.0):
    end = time.monotonic() + seconds
    while True:
        driver.command(command)
        if condition(driver.read()):
            return driver.read()
        assert time.monotonic() < end, driver.read()
        await asyncio.sleep(0.02)


async def opened(options):
    driver = load_driver('modbus_isolation', IsolationDriver)
    await driver.open(options)
    return driver


async def test_the_bender_is_set_up_started_tested_and_stopped(tmp_path):
    bender = Bender()
    bender.registers[3007] = 100  # has it already
    async with on_tcp(bender) as options:
        driver = await opened({'map': quick('bender_isocha425hv', tmp_path), **options})
        try:
            assert bender.writes == [(3005, 250), (3021, 3), (3026, 0)]
            assert driver.read().device == 'Bender isoCHA425HV isoCHA425HV'
            reading = await until(driver, IsolationCommand.MEASURE,
                                  lambda reading: reading.resistance is not None)
            assert reading.resistance.value == pytest.approx(550e3)
            assert reading.voltage.value == pytest.approx(400.0)
            assert reading.self_test is SelfTest.NONE
            assert time.monotonic() - reading.resistance.stamp > 0.99  # not the time of the poll
            await until(driver, IsolationCommand.SELF_TEST,
                        lambda reading: reading.self_test is SelfTest.RUNNING)
            assert driver.read().resistance is None
            await until(driver, IsolationCommand.SELF_TEST,
                        lambda reading: reading.self_test is SelfTest.PASSED)
            await until(driver, IsolationCommand.SELF_TEST,
                        lambda reading: reading.resistance is not None)
            assert bender.writes.count((8005, 0x5445)) == 1
        finally:
            await driver.close()
    assert bender.writes[-1] == (3026, 0)
    assert bender.functions == {3, 16}


async def test_a_failed_self_test_and_its_alarm_are_told(tmp_path):
    async with on_tcp(Bender(test_ends=DEVICE_ERROR)) as options:
        driver = await opened({'map': quick('bender_isocha425hv', tmp_path), **options})
        try:
            reading = await until(driver, IsolationCommand.SELF_TEST,
                                  lambda reading: reading.self_test is SelfTest.FAILED)
            assert [alarm.text for alarm in reading.alarms] == ['device error']
            assert reading.resistance is None
        finally:
            await driver.close()


async def test_a_lost_monitor_comes_back(tmp_path):
    bender = Bender()
    async with on_tcp(bender) as options:
        driver = await opened({'map': quick('bender_isocha425hv', tmp_path), **options})
        try:
            await until(driver, IsolationCommand.MEASURE,
                        lambda reading: reading.resistance is not None)
            bender.silent = True
            await until(driver, IsolationCommand.MEASURE, lambda reading: driver.problem != '')
            stamp = driver.read().resistance.stamp
            await asyncio.sleep(0.2)
            assert driver.read().resistance.stamp == stamp
            bender.silent = False
            bender.registers[3021] = 0  # it was replaced
            await until(driver, IsolationCommand.MEASURE,
                        lambda reading: reading.resistance is not None
                        and reading.resistance.stamp > stamp)
            assert driver.problem == ''
            assert bender.registers[3021] == 3
        finally:
            await driver.close()


async def test_old_firmware_is_refused():
    async with on_tcp(Bender(firmware=500)) as options:
        with pytest.raises(DriverError, match='firmware'):
            await opened({'map': 'bender_isocha425hv', **options})


@pytest.mark.parametrize(('options', 'message'), [
    ({'device': '/dev/no_such_port'}, '/dev/no_such_port cannot be opened: No such file'),
    ({'host': '127.0.0.1', 'port': '1'}, '127.0.0.1:1'),
    ({}, "'device' .serial port. or 'host'"),
    ({'device': '/dev/ttyS0', 'parity': 'X'}, 'parity'),
    ({'device': '/dev/ttyS0', 'unit': '248'}, 'unit'),
    ({'device': '/dev/ttyS0', 'map': 'no_such_map'}, 'no_such_map'),
    ({'device': '/dev/ttyS0', 'map': '/no/such/map.toml'}, '/no/such/map.toml'),
])
async def test_what_is_missing_is_named(options, message):
    with pytest.raises(DriverError, match=message):
        await opened({'map': 'bender_isocha425hv', **options})


async def test_settings_that_a_port_refuses_are_named(tmp_path):
    async with on_serial(Bender()) as options:
        with pytest.raises(DriverError, match=options['device']):
            await opened({'map': 'bender_isocha425hv', **options, 'parity': 'E'})


async def test_drivers_share_a_line_with_equal_settings_only(tmp_path):
    async with on_serial(Bender()) as options:
        first = await opened({'map': quick('bender_isocha425hv', tmp_path), **options})
        try:
            with pytest.raises(DriverError, match='other settings'):
                await opened({'map': 'bender_isocha425hv', 'baud_rate': '9600', **options})
        finally:
            await first.close()


@pytest.mark.parametrize(('old', 'new', 'message'), [
    ("kind = 'isolation'", "kind = 'meter'", 'kind'),
    ('value_age = 1.0', 'value_ages = 1.0', 'value_age'),
    ("type = 'f32'", "type = 'f31'", 'f31'),
    ('address = 1002, mask', 'address = 1004, mask', 'no block reads register 1004'),
    ('self_test = [', 'other = [', "unknown 'other'"),
    ('value = 0x5445', 'value = 0x15445', 'not within'),
    ('resistance = {', 'resistance = [', 'map'),
])
def test_mistakes_in_a_map_are_named(tmp_path, old, new, message):
    text = (MAPS / 'bender_isocha425hv.toml').read_text()
    assert old in text
    path = tmp_path / 'map.toml'
    path.write_text(text.replace(old, new))
    with pytest.raises(DriverError, match=message):
        IsolationMap.of(load_map(str(path)))


def test_a_monitor_without_self_test_is_refused(tmp_path):
    path = tmp_path / 'map.toml'
    path.write_text("kind = 'isolation'\nmodel = 'x'\nvalue_age = 0\nsettle_time = 0\n"
                    "self_test_time = 1\nblocks = [{address = 1, count = 1}]\n"
                    "resistance = {address = 1, type = 'u16'}\n")
    with pytest.raises(DriverError, match='without self-test'):
        IsolationMap.of(load_map(str(path)))


def test_all_isolation_maps_load():
    names = [name for name in map_names() if "kind = 'isolation'" in (
        MAPS / f'{name}.toml').read_text()]
    assert {'bender_isocha425hv', 'dold_rn5893'} <= set(names)
    for name in names:
        IsolationMap.of(load_map(name))


def core():
    return IsolationCore(IsolationMap.of(load_map('bender_isocha425hv')), 'test')


def image(status=0, resistance=(0x4906, 0x4700)):
    return {1000: resistance[0], 1001: resistance[1], 1002: status, 1003: 0,
            1008: 0, 1009: 0, 1010: INVALID, 1011: 0}


def test_the_monitor_is_stopped_until_told_and_when_nobody_tells():
    monitor = core()
    assert monitor.due(0.0) is Action.STOP
    monitor.done(Action.STOP, 0.0)
    assert monitor.due(0.1) is None
    monitor.command(IsolationCommand.MEASURE, 0.2)
    assert monitor.due(0.2) is Action.START
    monitor.done(Action.START, 0.2)
    assert monitor.due(0.2 + COMMAND_TIMEOUT) is None
    assert monitor.due(0.21 + COMMAND_TIMEOUT) is Action.STOP


def test_a_self_test_that_never_begins_fails():
    monitor = core()
    monitor.command(IsolationCommand.SELF_TEST, 0.0)
    monitor.done(Action.START, 0.0)
    assert monitor.due(0.0) is Action.SELF_TEST
    monitor.done(Action.SELF_TEST, 0.0)
    monitor.hear(image(), 29.0)
    assert monitor.reading.self_test is SelfTest.RUNNING
    monitor.hear(image(), 30.0)
    assert monitor.reading.self_test is SelfTest.FAILED


def test_a_self_test_that_never_ends_fails():
    monitor = core()
    monitor.done(Action.START, 0.0)
    monitor.done(Action.SELF_TEST, 0.0)
    for now in (1.0, 10.0, 30.0):
        monitor.hear(image(EXTERNAL_TEST), now)
    assert monitor.reading.self_test is SelfTest.FAILED


def test_values_count_after_they_have_settled_and_while_they_are_valid():
    monitor = core()
    monitor.done(Action.START, 10.0)
    monitor.hear(image(), 11.9)
    assert monitor.reading.resistance is None
    monitor.hear(image(), 12.0)
    assert monitor.reading.resistance.value == pytest.approx(550e3)
    assert monitor.reading.resistance.stamp == 11.0
    assert monitor.reading.voltage is None
    for status in (INVALID, DEVICE_ERROR, EXTERNAL_TEST, 0x4000):
        monitor.hear(image(status), 13.0)
        assert monitor.reading.resistance is None
    monitor.hear(image(resistance=(0x7FC0, 0)), 14.0)  # NaN
    assert monitor.reading.resistance is None
    monitor.hear(image(resistance=(0xC000, 0)), 14.0)  # -2
    assert monitor.reading.resistance is None


def test_registers_that_stand_still_are_one_measurement():
    monitor = core()
    monitor.done(Action.START, 10.0)
    stamps = {}
    for poll in range(17):
        now = 12.0 + 0.25 * poll
        monitor.hear(image(), now)
        stamps.setdefault(monitor.reading.resistance.stamp, now)
        assert now - monitor.reading.resistance.stamp < 2.0
    assert stamps == {11.0: 12.0, 12.0: 13.0, 13.0: 14.0, 14.0: 15.0, 15.0: 16.0}
    monitor.hear(image(resistance=(0x4906, 0x4701)), 16.25)
    assert monitor.reading.resistance.stamp == 15.25


def test_a_short_stop_is_not_missed():
    monitor = core()
    for action in (Action.STOP, Action.START, Action.SELF_TEST):
        monitor.done(action, 0.0)
    monitor.hear(image(EXTERNAL_TEST), 1.0)
    monitor.hear(image(), 2.0)
    monitor.command(IsolationCommand.STOP, 2.1)
    monitor.command(IsolationCommand.MEASURE, 2.12)
    assert monitor.due(2.25) is Action.STOP
    monitor.done(Action.STOP, 2.25)
    assert monitor.due(2.25) is Action.START
    monitor.done(Action.START, 2.25)
    assert monitor.reading.self_test is SelfTest.NONE
    assert monitor.due(2.3) is None


def test_a_new_measurement_forgets_the_self_test():
    monitor = core()
    monitor.done(Action.START, 0.0)
    monitor.done(Action.SELF_TEST, 0.0)
    monitor.hear(image(EXTERNAL_TEST), 1.0)
    monitor.hear(image(), 2.0)
    assert monitor.reading.self_test is SelfTest.PASSED
    monitor.done(Action.STOP, 3.0)
    assert monitor.reading.self_test is SelfTest.PASSED
    monitor.done(Action.START, 4.0)
    assert monitor.reading.self_test is SelfTest.NONE


@given(st.dictionaries(st.sampled_from([1000, 1001, 1002, 1003, 1008, 1009, 1010, 1011]),
                       st.integers(0, 0xFFFF), min_size=8, max_size=8))
def test_whatever_the_registers_hold_a_resistance_is_a_number_of_ohms(registers):
    monitor = core()
    monitor.done(Action.START, 0.0)
    monitor.hear(registers, 10.0)
    resistance = monitor.reading.resistance
    assert resistance is None or (resistance.value >= 0.0 and not math.isnan(resistance.value))


@given(st.sampled_from(['u16', 's16', 'u32', 's32', 'u64', 's64']), st.booleans(), st.data())
def test_fields_read_what_was_put(form, little_words, data):
    count, pack = TYPES[form]
    low, high = (0, 2 ** (16 * count) - 1) if form[0] == 'u' else (
        -2 ** (16 * count - 1), 2 ** (16 * count - 1) - 1)
    value = data.draw(st.integers(low, high))
    words = list(struct.unpack(f'>{count}H', struct.pack(pack, value)))
    if little_words:
        words.reverse()
    field = Field(7, form, little_words=little_words, none=(low,), infinite=(high,))
    expected = None if value == low else math.inf if value == high else float(value)
    assert field.value(dict(enumerate(words, 7))) == expected


def test_a_field_that_is_not_of_its_type_is_named():
    with pytest.raises(DriverError, match="'address' is missing"):
        Table('map x', {'f': {'type': 'u16'}}).field('f')
