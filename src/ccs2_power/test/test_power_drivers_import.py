"""Every driver imports on a machine without its hardware, and says at open what is missing."""

import sys

import pytest

from ccs2_power.check_driver import KINDS
from ccs2_power.drivers import load_driver, own_drivers
from ccs2_power.hal import DriverError

#: Options with which only the hardware, or the Python package for it, is missing.
DRIVERS = {
    'cabinet_supply': ('supply', {'connector': '1st', 'maximum_current': '200'}, '', "'1st'"),
    'can_supply': ('supply', {'protocol': 'infy', 'modules': '1', 'channel': 'no_such_can'},
                   'python-can', 'no_such_can'),
    'gpio_contactors': ('contactors', {'coil': '1', 'feedback': 'DC+:2', 'watchdog': '3',
                                       'chip': '/dev/no_chip'}, 'gpiod', '/dev/no_chip'),
    'gpio_emergency_stop': ('emergency_stop', {'released': '1', 'chip': '/dev/no_chip'},
                            'gpiod', '/dev/no_chip'),
    'gpio_lock': ('lock', {'lock': '1', 'unlock': '2', 'feedback': '3', 'chip': '/dev/no_chip'},
                  'gpiod', '/dev/no_chip'),
    'gpio_matrix': ('matrix', {'relays': 'module_1/left:1:2', 'watchdog': '3',
                               'chip': '/dev/no_chip'}, 'gpiod', '/dev/no_chip'),
    'hwmon_thermometer': ('thermometer', {'contacts': 'DC+:/sys/class/hwmon/no_chip/temp1_input'},
                          '', '/sys/class/hwmon/no_chip/temp1_input'),
    'iio_thermometer': ('thermometer', {'contacts': 'DC+:voltage0', 'sensor': 'pt1000',
                                        'supply': '3.3', 'pull_up': '1000',
                                        'adc': '/sys/bus/iio/devices/no_adc'}, '', 'no_adc'),
    'iio_voltmeter': ('voltmeter', {'gain': '1', 'zero': '0', 'lowest': '-10', 'highest': '1000',
                                    'adc': '/sys/bus/iio/devices/no_adc'}, '', 'no_adc'),
    'io_controller_pilot': ('pilot', {'device': '/dev/no_port'}, 'pyserial', '/dev/no_port'),
    'modbus_isolation': ('isolation', {'map': 'bender_isocha425hv', 'device': '/dev/no_port'},
                         'pymodbus', '/dev/no_port'),
    'modbus_meter': ('meter', {'map': 'carlo_gavazzi_em580', 'device': '/dev/no_port'},
                     'pymodbus', '/dev/no_port'),
    'modbus_voltmeter': ('voltmeter', {'map': 'carlo_gavazzi_dct1', 'device': '/dev/no_port'},
                         'pymodbus', '/dev/no_port'),
    'pwm_pilot': ('pilot', {'pwm': '/sys/class/pwm/no_chip', 'gain': '1', 'zero': '0'},
                  '', '/sys/class/pwm/no_chip'),
}


def test_all_drivers_of_this_package_are_here():
    assert own_drivers('ccs2_power') == set(DRIVERS)


@pytest.mark.parametrize('name', DRIVERS)
async def test_missing_hardware_is_named(name):
    kind, options, _, missing = DRIVERS[name]
    driver = load_driver(name, KINDS[kind].protocol)
    with pytest.raises(DriverError, match=missing):
        await driver.open(options)
    driver.read()
    await driver.close()


@pytest.mark.parametrize('name', [name for name, row in DRIVERS.items() if row[2]])
async def test_a_missing_package_is_named(name, monkeypatch):
    for module in [*sys.modules]:
        if module.partition('.')[0] in ('can', 'gpiod', 'pymodbus', 'serial') or module.startswith(
                tuple(f'ccs2_power.{part}' for part in (
                    'can', 'gpio', 'io_controller', 'modbus'))):
            monkeypatch.delitem(sys.modules, module)
    for package in ('can', 'gpiod', 'gpiod.line', 'pymodbus', 'pymodbus.client', 'serial'):
        monkeypatch.setitem(sys.modules, package, None)
    kind, options, missing, _ = DRIVERS[name]
    driver = load_driver(name, KINDS[kind].protocol)
    with pytest.raises(DriverError, match=missing):
        await driver.open(options)
    await driver.close()
