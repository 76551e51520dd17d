from setuptools import find_packages, setup

setup(
    name='ccs2_sim',
    version='0.1.0',
    packages=find_packages(include=['ccs2_sim', 'ccs2_sim.*']),
    data_files=[
        ('share/ament_index/resource_index/packages', ['resource/ccs2_sim']),
        ('share/ccs2_sim', ['package.xml']),
    ],
    package_data={'ccs2_sim': ['py.typed']},
    install_requires=['setuptools'],
    extras_require={'test': ['pytest', 'hypothesis']},
    zip_safe=True,
    maintainer='CCS2 authors',
    maintainer_email='ccs2@example.org',
    description='Everything outside the station, simulated: the car, the physical world, hardware.',
    license='Apache-2.0',
    entry_points={
        'can.interface': [
            'udp_loopback = ccs2_sim.can_modules.bus:LoopbackBus',
        ],
        'console_scripts': [
            'can_modules = ccs2_sim.can_modules.process:main',
            'car = ccs2_sim.car_node:main',
            'car_cli = ccs2_sim.car_cli:main',
            'contract_provisioning = ccs2_sim.contract_provisioning:main',
            'plant = ccs2_sim.plant_node:main',
            'plant_fault = ccs2_sim.plant_fault:main',
            'power_line = ccs2_sim.powerline.server:main',
        ],
        'ccs2_link.drivers': [
            'sim_qca7000 = ccs2_sim.powerline.spi:DRIVER',
        ],
        'ccs2_power.drivers': [
            'sim_contactors = ccs2_sim.hardware:SimulatedContactors',
            'sim_emergency_stop = ccs2_sim.hardware:SimulatedEmergencyStop',
            'sim_isolation = ccs2_sim.hardware:SimulatedIsolation',
            'sim_lock = ccs2_sim.hardware:SimulatedLock',
            'sim_matrix = ccs2_sim.hardware:SimulatedMatrix',
            'sim_meter = ccs2_sim.hardware:SimulatedMeter',
            'sim_output_voltmeter = ccs2_sim.hardware:SimulatedOutputVoltmeter',
            'sim_pilot = ccs2_sim.hardware:SimulatedPilot',
            'sim_second_voltmeter = ccs2_sim.hardware:SimulatedSecondVoltmeter',
            'sim_supply = ccs2_sim.hardware:SimulatedSupply',
            'sim_thermometer = ccs2_sim.hardware:SimulatedThermometer',
            'sim_voltmeter = ccs2_sim.hardware:SimulatedVoltmeter',
        ],
    },
)
