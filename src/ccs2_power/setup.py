from setuptools import find_packages, setup

setup(
    name='ccs2_power',
    version='0.1.0',
    packages=find_packages(include=['ccs2_power', 'ccs2_power.*']),
    data_files=[
        ('share/ament_index/resource_index/packages', ['resource/ccs2_power']),
        ('share/ccs2_power', ['package.xml']),
    ],
    package_data={'ccs2_power': ['py.typed', 'modbus/maps/*.toml']},
    install_requires=['setuptools'],
    extras_require={
        'test': ['pytest'],
        'can': ['python-can==4.6.1'],
        'gpio': ['gpiod==2.5.0'],
        'modbus': ['pymodbus==3.16.1', 'pyserial==3.5'],
        'io_controller': ['pyserial==3.5'],
    },
    zip_safe=True,
    maintainer='CCS2 authors',
    maintainer_email='ccs2@example.org',
    description='Power hardware of the CCS2 charging station: HAL, supply control, safety.',
    license='Apache-2.0',
    entry_points={
        'console_scripts': [
            'power = ccs2_power.power_node:main',
            'safety = ccs2_power.safety_node:main',
            'check_driver = ccs2_power.check_driver:main',
            'discover_modules = ccs2_power.can.discover:main',
        ],
        'ccs2_power.drivers': [
            'can_supply = ccs2_power.can.supply:CanSupply',
            'gpio_contactors = ccs2_power.gpio.drivers:GpioContactors',
            'gpio_emergency_stop = ccs2_power.gpio.drivers:GpioEmergencyStop',
            'gpio_lock = ccs2_power.gpio.drivers:GpioLock',
            'gpio_matrix = ccs2_power.gpio.matrix:GpioMatrix',
            'hwmon_thermometer = ccs2_power.hwmon.thermometer:HwmonThermometer',
            'iio_thermometer = ccs2_power.iio.thermometer:IioThermometer',
            'iio_voltmeter = ccs2_power.iio.voltmeter:IioVoltmeter',
            'io_controller_pilot = ccs2_power.io_controller.pilot:IoControllerPilot',
            'modbus_isolation = ccs2_power.modbus.isolation:ModbusIsolation',
            'modbus_meter = ccs2_power.modbus.meter:ModbusMeter',
            'modbus_voltmeter = ccs2_power.modbus.voltmeter:ModbusVoltmeter',
            'pwm_pilot = ccs2_power.pwm.pilot:PwmPilot',
        ],
    },
)
