"""Voltmeters on Modbus, on pymodbus's server; what is compared comes from devices of its own."""

import time
from importlib import resources
from pathlib import Path

import pytest
from modbus_devices import dct1
from modbus_line import Device, on_serial, on_tcp
from waiting import until

from ccs2_power.drivers import load_driver
from ccs2_power.hal import DriverError, IsolationDriver, VoltmeterDriver
from ccs2_power.modbus.registers import load_map, map_names
from ccs2_power.modbus.voltmeter import VoltmeterMap

MAPS = Path(str(resources.files('ccs2_power.modbus') / 'maps'))
TRANSDUCER = """
kind = 'voltmeter'
model = 'transducer'
blocks = [{address = 40, count = 3}]
line = {parity = 'N', unit = 9}
voltage = {address = 40, type = 'f32'}
no_voltage = [{address = 42, mask = 0x0001, is = [0x0001]}]
lowest = -20
highest = 1050
value_age = 0.02
"""


@pytest.fixture
def path(tmp_path):
    (tmp_path / 'transducer.toml').write_text(TRANSDUCER)
    return str(tmp_path / 'transducer.toml')


def transducer(volts=400.0):
    device = Device(9, {40: 0, 41: 0, 42: 0})
    device.put(40, '>f', volts)
    return device


async def opened(options):
    driver = load_driver('modbus_voltmeter', VoltmeterDriver)
    await driver.open(options)
    return driver


async def test_a_dct1_tells_the_voltage():
    device = dct1(-12.5)
    async with on_tcp(device) as options:
        driver = await opened({'map': 'carlo_gavazzi_dct1', **options})
        try:
            assert driver.read().voltage.value == pytest.approx(-12.5)
            device.put(0, '>i', 8765, little_words=True)
            await until(lambda: driver.read().voltage.value == pytest.approx(876.5))
        finally:
            await driver.close()
    assert driver.read().voltage is None
    assert device.functions == {4}


async def test_a_transducer_of_the_site_on_a_serial_line(path):
    async with on_serial(transducer(380.25)) as options:
        driver = await opened({'map': path, **options})
        try:
            voltage = driver.read().voltage
            assert voltage.value == pytest.approx(380.25)
            assert time.monotonic() - voltage.stamp > 0.02  # not the time of the poll
            await until(lambda: driver.read().voltage.stamp > voltage.stamp)
        finally:
            await driver.close()


@pytest.mark.parametrize(('volts', 'status'), [
    (-20.5, 0), (1050.5, 0), (float('nan'), 0), (400.0, 1)])
async def test_what_cannot_be_is_not_measured(path, volts, status):
    device = transducer()
    async with on_tcp(device) as options:
        driver = await opened({'map': path, **options})
        try:
            device.put(40, '>f', volts)
            device.registers[42] = status
            await until(lambda: driver.read().voltage is None)
            device.put(40, '>f', 400.0)
            device.registers[42] = 2
            await until(lambda: driver.read().voltage is not None)
        finally:
            await driver.close()


async def test_a_lost_voltmeter_keeps_its_stamp_and_comes_back():
    device = dct1()
    async with on_tcp(device) as options:
        driver = await opened({'map': 'carlo_gavazzi_dct1', **options})
        try:
            device.silent = True
            await until(lambda: driver.problem)
            stamp = driver.read().voltage.stamp
            device.silent = False
            await until(lambda: driver.read().voltage.stamp > stamp)
            assert driver.problem == ''
        finally:
            await driver.close()


# Independence


@pytest.mark.parametrize('name', ['bender_isocha425hv', 'dold_rn5893', 'carlo_gavazzi_em580'])
async def test_monitors_and_meters_are_no_voltmeters(name):
    async with on_tcp(dct1()) as options:
        with pytest.raises(DriverError, match='none of voltmeter'):
            await opened({'map': name, **options})


async def test_one_device_is_not_both_voltmeters_or_voltmeter_and_monitor(tmp_path):
    monitor = (MAPS / 'dold_rn5893.toml').read_text()
    (tmp_path / 'monitor.toml').write_text(monitor)
    async with on_tcp(dct1()) as options:
        first = await opened({'map': 'carlo_gavazzi_dct1', **options})
        try:
            with pytest.raises(DriverError, match='unit 1 is used by another driver'):
                await opened({'map': 'carlo_gavazzi_dct1', **options})
            with pytest.raises(DriverError, match='unit 1 is used by another driver'):
                await load_driver('modbus_isolation', IsolationDriver).open(
                    {'map': str(tmp_path / 'monitor.toml'), **options})
            await until(lambda: first.problem == '')
        finally:
            await first.close()
        again = await opened({'map': 'carlo_gavazzi_dct1', **options})
        await again.close()


async def test_a_voltmeter_that_was_not_found_claims_nothing():
    device = dct1()
    device.silent = True
    async with on_tcp(device) as options:
        with pytest.raises(DriverError, match='unit 1'):
            await opened({'map': 'carlo_gavazzi_dct1', **options})
        device.silent = False
        driver = await opened({'map': 'carlo_gavazzi_dct1', **options})
        await driver.close()


# Maps


def test_all_voltmeter_maps_load():
    names = [name for name in map_names()
             if "kind = 'voltmeter'" in (MAPS / f'{name}.toml').read_text()]
    assert names == ['carlo_gavazzi_dct1']
    for name in names:
        VoltmeterMap.of(load_map(name))


@pytest.mark.parametrize(('old', 'new', 'message'), [
    ("kind = 'voltmeter'", "kind = 'meter'", 'kind'),
    ('voltage = {', 'volts = {', 'has no voltage'),
    ('lowest = -20', '', "'lowest' is missing"),
    ('address = 42, mask', 'address = 43, mask', 'no block reads register 43'),
    ('value_age = 0.02', "value_age = 0.02\ncolour = 'red'", "unknown 'colour'"),
])
def test_mistakes_in_a_map_are_named(path, old, new, message):
    text = Path(path).read_text()
    assert old in text
    Path(path).write_text(text.replace(old, new))
    with pytest.raises(DriverError, match=message):
        VoltmeterMap.of(load_map(path))
