"""Every driver imports on a machine without its hardware, and says at open what is missing."""

import sys
from importlib.metadata import entry_points

import pytest

from ccs2_power.check_driver import KINDS
from ccs2_power.drivers import GROUP, load_driver
from ccs2_power.hal import DriverError

#: Options with which only the hardware, or the Python package for it, is missing.
DRIVERS = {
    'can_supply': ('supply', {'protocol': 'infy', 'modules': '1', 'channel': 'no_such_can'},
                   '', 'no_such_can'),
    'gpio_contactors': ('contactors', {'coil': '1', 'feedback': 'DC+:2', 'watchdog': '3',
                                       'chip': '/dev/no_chip'}, 'gpiod', '/dev/no_chip'),
    'gpio_emergency_stop': ('emergency_stop', {'released': '1', 'chip': '/dev/no_chip'},
                            'gpiod', '/dev/no_chip'),
    'gpio_lock': ('lock', {'lock': '1', 'unlock': '2', 'feedback': '3', 'chip': '/dev/no_chip'},
                  'gpiod', '/dev/no_chip'),
    'io_controller_pilot': ('pilot', {'device': '/dev/no_port'}, 'pyserial', '/dev/no_port'),
    'modbus_isolation': ('isolation', {'map': 'bender_isocha425hv', 'device': '/dev/no_port'},
                         'pymodbus', '/dev/no_port'),
    'modbus_meter': ('meter', {'map': 'carlo_gavazzi_em580', 'device': '/dev/no_port'},
                     'pymodbus', '/dev/no_port'),
    'pwm_pilot': ('pilot', {'pwm': '/sys/class/pwm/no_chip', 'gain': '1', 'zero': '0'},
                  '', '/sys/class/pwm/no_chip'),
}


def test_all_drivers_of_this_package_are_here():
    assert {entry.name for entry in entry_points(group=GROUP)
            if entry.value.startswith('ccs2_power.')} == set(DRIVERS)


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
        if module.partition('.')[0] in ('gpiod', 'pymodbus', 'serial') or module.startswith(
                ('ccs2_power.gpio', 'ccs2_power.modbus', 'ccs2_power.io_controller')):
            monkeypatch.delitem(sys.modules, module)
    for package in ('gpiod', 'gpiod.line', 'pymodbus', 'pymodbus.client', 'serial'):
        monkeypatch.setitem(sys.modules, package, None)
    kind, options, missing, _ = DRIVERS[name]
    driver = load_driver(name, KINDS[kind].protocol)
    with pytest.raises(DriverError, match=missing):
        await driver.open(options)
    await driver.close()
