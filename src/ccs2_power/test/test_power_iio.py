"""Voltmeter and thermometers on the kernel's files: linearisation, plausibility, loss."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from iio_device import SCALE, IioDevice
from waiting import until

from ccs2_power import worker
from ccs2_power.drivers import load_driver
from ccs2_power.hal import DriverError, ThermometerDriver, VoltmeterDriver
from ccs2_power.hwmon import thermometer as hwmon
from ccs2_power.iio.channel import IioChannel
from ccs2_power.iio.divider import Divider
from ccs2_power.iio.sensors import platinum, thermistor

STEP = 330.0 * SCALE / 1e3


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(worker, 'RETRY', 0.05)


@pytest.fixture
def device(tmp_path):
    device = IioDevice(tmp_path / 'iio:device0')
    device.connector(400.0)
    for channel, ohm in (('voltage2', 1000.0), ('voltage3', 1155.41)):
        device.resistance(ohm, channel)
    return device


async def opened(name, contract, options):
    driver = load_driver(name, contract)
    await driver.open(options)
    return driver


# Voltmeter


async def test_the_voltage_follows_the_input(device):
    driver = await opened('iio_voltmeter', VoltmeterDriver, device.voltmeter())
    try:
        assert driver.read().voltage.value == pytest.approx(400.0, abs=STEP)
        device.connector(0.0)
        await until(lambda: abs(driver.read().voltage.value) < STEP)
        stamp = driver.read().voltage.stamp
        await until(lambda: driver.read().voltage.stamp > stamp)
        assert driver.problem == ''
    finally:
        await driver.close()
    assert driver.read().voltage is None
    assert driver.problem == 'not open'


@pytest.mark.parametrize('volts', [0.0, 3.3])
async def test_a_broken_wire_is_no_voltage(device, volts):
    driver = await opened('iio_voltmeter', VoltmeterDriver, device.voltmeter(highest='900'))
    try:
        device.put('voltage0', volts)
        await until(lambda: driver.read().voltage is None)
        device.connector(400.0)
        await until(lambda: driver.read().voltage is not None)
    finally:
        await driver.close()


async def test_a_lost_adc_leaves_nothing_measured_and_comes_back(device):
    driver = await opened('iio_voltmeter', VoltmeterDriver, device.voltmeter())
    try:
        device.lose('voltage0')
        await until(lambda: 'in_voltage0_raw' in driver.problem)
        stamp = driver.read().voltage.stamp if driver.read().voltage else 0.0
        await until(lambda: driver.read().voltage is None)
        device.connector(380.0)
        await until(lambda: driver.read().voltage is not None)
        assert driver.read().voltage.stamp > stamp
        assert driver.problem == ''
    finally:
        await driver.close()


async def test_one_disturbed_conversion_is_not_yet_a_voltage(device, monkeypatch):
    values = iter([3.3, *[1.7] * 9])
    monkeypatch.setattr(IioChannel, 'read', lambda channel: next(values, 1.7))
    driver = await opened('iio_voltmeter', VoltmeterDriver, device.voltmeter())
    try:
        assert driver.read().voltage.value == pytest.approx(396.0)
    finally:
        await driver.close()


async def test_two_voltmeters_are_two_channels(device):
    device.connector(399.0, 'voltage1')
    first = await opened('iio_voltmeter', VoltmeterDriver, device.voltmeter())
    try:
        with pytest.raises(DriverError, match='voltage0 is used by another driver'):
            await opened('iio_voltmeter', VoltmeterDriver, device.voltmeter())
        second = await opened(
            'iio_voltmeter', VoltmeterDriver, device.voltmeter(channel='voltage1'))
        assert second.read().voltage.value == pytest.approx(399.0, abs=STEP)
        await second.close()
    finally:
        await first.close()
    again = await opened('iio_voltmeter', VoltmeterDriver, device.voltmeter())
    await again.close()


async def test_a_voltmeter_that_was_not_opened_claims_nothing(device):
    device.lose('voltage0')
    with pytest.raises(DriverError, match='in_voltage0_raw'):
        await opened('iio_voltmeter', VoltmeterDriver, device.voltmeter())
    device.connector(10.0)
    driver = await opened('iio_voltmeter', VoltmeterDriver, device.voltmeter())
    await driver.close()


@pytest.mark.parametrize(('options', 'message'), [
    ({'adc': '/sys/bus/iio/devices/no_such_adc'}, 'no_such_adc/in_voltage0_raw'),
    ({'channel': 'voltage9'}, 'in_voltage9_raw'),
    ({'channel': 'temp0'}, 'temp0 is no voltage'),
    ({'gain': ''}, "'gain' is missing"), ({'gain': '0'}, "'gain' is 0"),
    ({'highest': ''}, "'highest' is missing"), ({'lowest': '5'}, "'lowest' is 5"),
])
async def test_what_is_wrong_with_a_voltmeter_is_named(device, options, message):
    with pytest.raises(DriverError, match=message):
        await opened('iio_voltmeter', VoltmeterDriver, device.voltmeter(**options))


def test_channels_have_files_of_their_own_or_of_their_kind(device):
    folder = device.folder
    for name, text in (('in_voltage0-voltage1_raw', '-100'), ('in_voltage-voltage_scale', '0.5'),
                       ('in_voltage5_raw', '10'), ('in_voltage5_scale', '2'),
                       ('in_voltage5_offset', '-4'), ('in_temp0_raw', '250'),
                       ('in_temp_scale', '100'), ('in_temp1_input', '31500')):
        (folder / name).write_text(f'{text}\n')
    values = {name: IioChannel(str(folder), name).read()
              for name in ('voltage0-voltage1', 'voltage5', 'temp0', 'temp1')}
    assert values == pytest.approx({
        'voltage0-voltage1': -0.05, 'voltage5': 0.012, 'temp0': 25.0, 'temp1': 31.5})


@pytest.mark.parametrize('text', ['', 'many', 'nan', 'inf'])
def test_a_file_without_a_number_is_an_error(device, text):
    (device.folder / 'in_voltage0_raw').write_text(text)
    with pytest.raises(OSError, match='no number'):
        IioChannel(str(device.folder), 'voltage0').read()


# Thermometers


def ohms_of_platinum(celsius):
    """IEC 60751, by its equation."""
    a, b, c = 3.9083e-3, -5.775e-7, -4.183e-12
    cold = c * (celsius - 100.0) * celsius ** 3 if celsius < 0.0 else 0.0
    return 1000.0 * (1.0 + a * celsius + b * celsius ** 2 + cold)


@given(st.floats(-49.9, 199.9))
def test_platinum_is_linearised_by_its_table(celsius):
    assert platinum(1000.0)(ohms_of_platinum(celsius)) == pytest.approx(celsius, abs=0.06)


@given(st.floats(-39.9, 149.9), st.floats(500.0, 1e5), st.floats(3000.0, 4500.0))
def test_a_thermistor_is_linearised_by_beta(celsius, ohm_at_25, beta):
    ohm = ohm_at_25 * math.exp(beta * (1.0 / (celsius + 273.15) - 1.0 / 298.15))
    assert thermistor(ohm_at_25, beta)(ohm) == pytest.approx(celsius, abs=1e-6)


@given(st.floats(0.0, allow_infinity=True))
def test_whatever_the_resistance_a_temperature_is_one_that_can_be(ohm):
    for linearise, low, high in ((platinum(1000.0), -50.0, 200.0),
                                 (thermistor(10e3, 3435.0), -40.0, 150.0)):
        celsius = linearise(ohm)
        assert celsius is None or low <= celsius <= high


@given(st.floats(0.0, 1e5))
def test_a_divider_tells_its_resistance(ohm):
    divider = Divider(3.3, 2000.0)
    volts = 3.3 * ohm / (ohm + 2000.0)
    assert divider.resistance(volts) == (
        math.inf if volts >= 0.98 * 3.3 else pytest.approx(ohm, rel=1e-6, abs=1e-6))
    assert divider.resistance(3.3) == math.inf
    assert divider.resistance(-0.1) == 0.0


@pytest.mark.parametrize(('options', 'ohm', 'celsius'), [
    ({}, 1155.41, 40.0), ({'sensor': 'pt100'}, 138.506, 100.0),
    ({'sensor': 'ntc', 'r25': '10000', 'beta': '3435'}, 10000.0, 25.0)])
async def test_sensors_in_a_divider(device, options, ohm, celsius):
    device.resistance(ohm, 'voltage2')
    device.resistance(ohm, 'voltage3')
    driver = await opened('iio_thermometer', ThermometerDriver, device.thermometer(**options))
    try:
        contacts = driver.read().contacts
        assert {name: value.value for name, value in contacts.items()} == pytest.approx(
            {'DC+': celsius, 'DC-': celsius}, abs=1.0)
    finally:
        await driver.close()


@pytest.mark.parametrize('ohm', [None, 0.0])
async def test_a_sensor_with_a_broken_wire_or_a_short_is_not_measured(device, ohm):
    device.resistance(ohm, 'voltage3')
    driver = await opened('iio_thermometer', ThermometerDriver, device.thermometer())
    try:
        contacts = driver.read().contacts
        assert contacts['DC+'].value == pytest.approx(0.0, abs=1.0)
        assert contacts['DC-'] is None
    finally:
        await driver.close()


async def test_a_chip_that_the_kernel_knows_tells_degrees(device):
    (device.folder / 'in_temp0_input').write_text('61500\n')
    (device.folder / 'in_temp1_input').write_text('988000\n')  # open sensor of a MAX31865
    driver = await opened('iio_thermometer', ThermometerDriver, {
        'adc': str(device.folder), 'contacts': 'DC+:temp0,DC-:temp1'})
    try:
        assert driver.read().contacts['DC+'].value == 61.5
        assert driver.read().contacts['DC-'] is None
    finally:
        await driver.close()


@pytest.mark.parametrize(('options', 'message'), [
    ({'adc': '/sys/bus/iio/devices/no_such_adc'}, 'no_such_adc'),
    ({'contacts': 'DC+'}, "'DC.' is not CONTACT:PLACE"),
    ({'contacts': 'DC+:voltage2,DC+:voltage3'}, 'new contact'),
    ({'sensor': 'kty'}, 'none of pt1000, pt100, ntc'),
    ({'sensor': 'ntc'}, "'r25' is missing"), ({'supply': ''}, "'supply' is missing"),
])
async def test_what_is_wrong_with_a_thermometer_is_named(device, options, message):
    with pytest.raises(DriverError, match=message):
        await opened('iio_thermometer', ThermometerDriver, device.thermometer(**options))


@pytest.fixture
def chip(tmp_path):
    """A chip of hwmon under a number that changes, and a sensor on the 1-wire bus."""
    folder = tmp_path / 'hwmon' / 'hwmon7'
    folder.mkdir(parents=True)
    (folder / 'temp1_input').write_text('41250\n')
    (folder / 'temp1_fault').write_text('0\n')
    (tmp_path / 'temperature').write_text('-3125\n')
    return folder


async def test_files_of_temperatures(chip, tmp_path):
    driver = await opened('hwmon_thermometer', ThermometerDriver, {
        'contacts': f'DC+:{tmp_path}/hwmon/hwmon*/temp1_input,DC-:{tmp_path}/temperature'})
    try:
        assert {name: value.value for name, value in driver.read().contacts.items()} == {
            'DC+': 41.25, 'DC-': -3.125}
    finally:
        await driver.close()
    assert driver.read().contacts == {}


@pytest.mark.parametrize(('name', 'text', 'celsius'), [
    ('temp1_fault', '1', None), ('temp1_input', '200001', None), ('temp1_input', '-50001', None),
    ('temp1_input', '85000', 85.0)])
def test_a_broken_sensor_of_a_chip_is_not_measured(chip, name, text, celsius):
    (chip / name).write_text(text)
    assert hwmon.read_temperature(chip / 'temp1_input', None) == celsius


@pytest.mark.parametrize(('before', 'celsius'), [
    (None, None), (40.0, None), (79.9, None), (81.0, 85.0), (84.9375, 85.0), (89.0, 85.0)])
def test_a_sensor_that_has_lost_its_power_is_not_measured(tmp_path, before, celsius):
    (tmp_path / 'temperature').write_text('85000\n')
    assert hwmon.read_temperature(tmp_path / 'temperature', before) == celsius


async def test_a_contact_that_warms_up_to_85_degrees_is_measured_all_the_time(
        tmp_path, monkeypatch):
    monkeypatch.setattr(hwmon.HwmonThermometer, 'PERIOD', 0.02)
    sensor = tmp_path / 'temperature'
    sensor.write_text('84937')
    driver = await opened('hwmon_thermometer', ThermometerDriver, {'contacts': f'DC+:{sensor}'})
    try:
        for text in ('85000', '85062'):
            sensor.with_name('next').write_text(text)
            sensor.with_name('next').replace(sensor)
            await until(lambda celsius=int(text) / 1e3:
                        driver.read().contacts['DC+'].value == celsius)
    finally:
        await driver.close()


async def test_a_sensor_that_is_unplugged_is_named_and_comes_back(chip, tmp_path, monkeypatch):
    monkeypatch.setattr(hwmon.HwmonThermometer, 'PERIOD', 0.02)
    driver = await opened('hwmon_thermometer', ThermometerDriver, {
        'contacts': f'DC+:{chip}/temp1_input,DC-:{tmp_path}/temperature'})
    try:
        (tmp_path / 'temperature').unlink()
        await until(lambda: f'{tmp_path}/temperature' in driver.problem)
        (tmp_path / 'temperature').write_text('20000')
        await until(lambda: driver.problem == '' and driver.read().contacts)
    finally:
        await driver.close()


async def test_a_path_that_names_two_files_is_refused(chip, tmp_path):
    (tmp_path / 'hwmon' / 'hwmon8').mkdir()
    (tmp_path / 'hwmon' / 'hwmon8' / 'temp1_input').write_text('1')
    with pytest.raises(DriverError, match='2 files instead of one'):
        await opened('hwmon_thermometer', ThermometerDriver, {
            'contacts': f'DC+:{tmp_path}/hwmon/hwmon*/temp1_input'})
