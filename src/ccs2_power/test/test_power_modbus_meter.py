"""Energy meters on Modbus, on pymodbus's server."""

from importlib import resources
from pathlib import Path

import pytest
from modbus_devices import em580
from modbus_line import Device, on_serial, on_tcp
from waiting import until

from ccs2_power.drivers import load_driver
from ccs2_power.hal import DriverError, MeterDriver, MeterReading
from ccs2_power.modbus import meter
from ccs2_power.modbus.meter import MeterMap
from ccs2_power.modbus.registers import load_map, map_names

MAPS = Path(str(resources.files('ccs2_power.modbus') / 'maps'))
DC_METER = """
kind = 'meter'
model = 'DC meter'
read = 'input'
blocks = [{address = 10, count = 9}]
line = {baud_rate = 9600, parity = 'N', unit = 7}
energy_imported = {address = 10, type = 'u32', scale = 3600.0}
voltage = {address = 12, type = 'u16', scale = 0.1, none = [0xFFFF]}
current = {address = 13, type = 's32', scale = 0.001}
power = {address = 15, type = 'f32'}
status = {address = 18, type = 'u16'}
"""


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(meter, 'CYCLE', 0.05)


def dc_meter():
    device = Device(7, dict.fromkeys(range(10, 19), 0))
    device.put(10, '>I', 100_000)
    device.put(12, '>H', 4005)
    device.put(13, '>i', -12_500)
    device.put(15, '>f', -5006.25)
    device.put(18, '>H', 3)
    return device


async def opened(options):
    driver = load_driver('modbus_meter', MeterDriver)
    await driver.open(options)
    return driver


async def test_the_em580_gives_energies_and_its_number():
    async with on_tcp(em580()) as options:
        driver = await opened({'map': 'carlo_gavazzi_em580', **options})
        reading = driver.read()
        await driver.close()
    assert reading.energy_imported.value == pytest.approx(1234.5 * 3.6e6)
    assert reading.energy_exported.value == pytest.approx(67.8 * 3.6e6)
    assert (reading.voltage, reading.current, reading.power) == (None, None, None)
    assert reading.meter_id == 'BY1234567890'
    assert (reading.signed_reading, reading.signature_encoding) == (b'', '')
    assert driver.problem == 'not open'


async def test_signed_data_is_passed_through_as_the_meter_gives_it():
    record = 'OCMF|{"FV":"1.0"}|{"SD":"' + 'A1' * 300 + '"}'
    device = em580()
    async with on_tcp(device) as options:
        driver = await opened({'map': 'carlo_gavazzi_em580', **options})
        try:
            size = (len(record) + 1) // 2
            device.put_text(0x7110, record, size)
            device.registers[0x7101] = size
            device.registers[0x7100] = 2
            await until(lambda: driver.read().signed_reading)
            assert driver.read().signed_reading == record.encode()
            assert driver.read().signature_encoding == 'OCMF'
            device.registers[0x7100] = 0  # confirmed
            await until(lambda: not driver.read().signed_reading)
            device.registers[0x7101] = 2032
            device.registers[0x7100] = 2
            await until(lambda: 'signed data of 2032' in driver.problem)
            assert driver.read().signed_reading == b''
        finally:
            await driver.close()


@pytest.mark.parametrize(('length', 'kept'), [(4096, True), (4097, False)])
def test_signed_data_is_published_whole_or_not_at_all(length, kept):
    power_node = pytest.importorskip('ccs2_power.power_node')
    reading = MeterReading(None, signed_reading=bytes(length), signature_encoding='OCMF')
    fields = power_node.signed_data(reading)
    assert fields == ({'signed_reading': bytes(length), 'signature_encoding': 'OCMF'}
                      if kept else {})


async def test_a_meter_of_the_site(tmp_path):
    (tmp_path / 'meter.toml').write_text(DC_METER)
    device = dc_meter()
    async with on_serial(device) as options:
        driver = await opened({'map': str(tmp_path / 'meter.toml'), **options})
        try:
            reading = driver.read()
            assert reading.energy_imported.value == pytest.approx(100e3 * 3600)
            assert reading.voltage.value == pytest.approx(400.5)
            assert reading.current.value == pytest.approx(-12.5)
            assert reading.power.value == pytest.approx(-5006.25)
            assert reading.status == 3
            device.put(12, '>H', 0xFFFF)
            await until(lambda: driver.read().voltage is None)
        finally:
            await driver.close()
    assert device.functions == {4}


async def test_a_lost_meter_keeps_its_stamp_and_comes_back():
    device = em580()
    async with on_tcp(device) as options:
        driver = await opened({'map': 'carlo_gavazzi_em580', **options})
        try:
            device.silent = True
            await until(lambda: driver.problem)
            stamp = driver.read().energy_imported.stamp
            device.silent = False
            await until(lambda: driver.read().energy_imported.stamp > stamp)
            assert driver.problem == ''
        finally:
            await driver.close()


async def test_another_meter_in_its_place_is_not_believed():
    device = em580()
    async with on_tcp(device) as options:
        driver = await opened({'map': 'carlo_gavazzi_em580', **options})
        try:
            device.silent = True
            await until(lambda: driver.problem)
            stamp = driver.read().energy_imported.stamp
            device.put_text(0x5000, 'BY0000000000', 7)
            device.silent = False
            await until(lambda: 'another meter' in driver.problem)
            assert driver.read().energy_imported.stamp == stamp
        finally:
            await driver.close()


async def test_two_devices_share_a_line(tmp_path):
    (tmp_path / 'meter.toml').write_text(DC_METER.replace("parity = 'N', ", '').replace(
        '9600', '19200'))
    async with on_serial(em580(), dc_meter()) as options:
        first = await opened({'map': 'carlo_gavazzi_em580', **options})
        second = await opened({'map': str(tmp_path / 'meter.toml'), **options})
        stamps = [driver.read().energy_imported.stamp for driver in (first, second)]
        await until(lambda: all(driver.read().energy_imported.stamp > stamp for driver, stamp
                                in zip((first, second), stamps, strict=True)))
        await first.close()
        await until(lambda: second.read().energy_imported.stamp > stamps[1] + 0.1)
        assert second.problem == ''
        await second.close()


async def test_a_silent_meter_is_named_at_open():
    device = em580()
    device.silent = True
    async with on_tcp(device) as options:
        with pytest.raises(DriverError, match='unit 1'):
            await opened({'map': 'carlo_gavazzi_em580', **options})
    with pytest.raises(DriverError, match='/dev/no_such_port'):
        await opened({'map': 'carlo_gavazzi_em580', 'device': '/dev/no_such_port'})


def test_all_meter_maps_load():
    names = [name for name in map_names()
             if "kind = 'meter'" in (MAPS / f'{name}.toml').read_text()]
    assert names == ['carlo_gavazzi_em580']
    for name in names:
        MeterMap.of(load_map(name))


def test_a_map_without_energy_is_refused(tmp_path):
    (tmp_path / 'meter.toml').write_text(DC_METER.replace('energy_imported', 'energy'))
    with pytest.raises(DriverError, match='energy_imported'):
        MeterMap.of(load_map(str(tmp_path / 'meter.toml')))
