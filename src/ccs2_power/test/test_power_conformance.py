"""Every driver of this package passes the conformance kit on its emulator."""

import asyncio
import contextlib
import os
import sys
from importlib import resources
from pathlib import Path

import gpiod
import pytest
from can_modules import emulated
from gpio_board import matrix, wired
from iio_device import IioDevice
from io_controller_board import CanController, SerialController
from modbus_devices import Bender, Dold, dct1, em580
from modbus_line import on_serial, on_tcp
from pilot_board import PilotBoard
from power_graph import DISCOVERY
from waiting import until

from ccs2_power import check_driver
from ccs2_power.can.protocols import PROTOCOLS
from ccs2_power.check_driver import KINDS, Check
from ccs2_power.drivers import load_driver, own_drivers
from ccs2_power.modbus import isolation, meter

MAPS = Path(str(resources.files('ccs2_power.modbus') / 'maps'))


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(check_driver, 'WATCHED', 0.5)
    monkeypatch.setattr(check_driver, 'FIRST', 1.0)
    monkeypatch.setattr(isolation, 'CYCLE', 0.05)
    monkeypatch.setattr(meter, 'CYCLE', 0.05)


# Each rig is an emulator; it yields the options with which the driver finds it.


def can_modules(protocol):
    @contextlib.asynccontextmanager
    async def rig(folder, monkeypatch):
        channel = f'conformance_{protocol}_{os.getpid()}'
        async with emulated(protocol, 'virtual', channel, load=1e6):
            yield {'protocol': protocol, 'interface': 'virtual', 'channel': channel,
                   'modules': '1,2', 'cycle': '0.02'}
    return rig


@contextlib.asynccontextmanager
async def cabinet(folder, monkeypatch):
    """The node in a process, its modules and relays and a connector's world here."""
    plants = pytest.importorskip('ccs2_sim.plant.server')
    shared = pytest.importorskip('ccs2_sim.can_modules.shared')
    dialects = pytest.importorskip('ccs2_sim.can_modules.dialects')
    modules = pytest.importorskip('ccs2_sim.can_modules.cabinet')
    domains = pytest.importorskip('domain_coordinator')
    plant = plants.PlantServer(str(folder / 'plant.sock'))
    await plant.open()
    channel, relays = str(folder), str(folder / 'relays.sock')
    emulated = shared.SharedModules(
        modules.Cabinet(dialects.DIALECTS['infy'], [1, 2]), 'udp_loopback', channel,
        {'connector_1': str(plant.path)}, relays)
    await emulated.open()
    with domains.domain_id() as domain:
        for name, value in {**DISCOVERY, 'ROS_DOMAIN_ID': str(domain)}.items():
            monkeypatch.setenv(name, value)
        processes = [await asyncio.create_subprocess_exec(
            sys.executable, '-c', f'from {module} import main; main()', '--ros-args', *(
                word for name, value in parameters.items() for word in ('-p', f'{name}:={value}')))
            for module, parameters in (
                ('ccs2_power.cabinet_node', {
                    'modules': '["1=connector_1", "2=connector_1"]', 'module_current': 100.0,
                    'line_options': f'["protocol=infy", "interface=udp_loopback", '
                                    f'"channel={channel}"]',
                    'matrix_driver': 'sim_matrix', 'matrix_options': f'["socket={relays}"]',
                    'connector_1_voltmeter_driver': 'sim_output_voltmeter',
                    'connector_1_voltmeter_options':
                        f'["socket={relays}", "output=connector_1"]'}),
                ('ccs2_node.lifecycle_manager', {'nodes': '[cabinet]'}))]
        try:
            # What the kit waits for is the driver's, not the start of a process.
            driver = load_driver('cabinet_supply', KINDS['supply'].protocol)
            await driver.open(CONNECTOR)
            await until(lambda: not driver.problem, 20.0)
            await driver.close()
            yield CONNECTOR
        finally:
            for process in processes:
                process.terminate()
                await process.wait()
            await emulated.close()
            await plant.close()


def gpio(**options):
    @contextlib.asynccontextmanager
    async def rig(folder, monkeypatch):
        monkeypatch.setattr(gpiod, 'request_lines', wired().request_lines)
        yield {'chip': '/dev/gpiochip7', **options}
    return rig


@contextlib.asynccontextmanager
async def relays(folder, monkeypatch):
    board, options = matrix()
    monkeypatch.setattr(gpiod, 'request_lines', board.request_lines)
    yield options


def modbus(device, line, name, settle_time=None):
    @contextlib.asynccontextmanager
    async def rig(folder, monkeypatch):
        text = (MAPS / f'{name}.toml').read_text()
        if settle_time is not None:
            text = text.replace('settle_time = 2.0', f'settle_time = {settle_time}')
        (folder / 'map.toml').write_text(text)
        async with line(device()) as options:
            yield {'map': str(folder / 'map.toml'), **options}
    return rig


@contextlib.asynccontextmanager
async def pilot_board(folder, monkeypatch):
    board = PilotBoard(folder)
    try:
        yield board.options()
        assert board.duty == 0.0
        assert (board.output / 'enable').read_text() == '1'  # steady -12 V, not floating
    finally:
        board.end()


@contextlib.asynccontextmanager
async def serial_controller(folder, monkeypatch):
    with SerialController() as board:
        yield board.options


@contextlib.asynccontextmanager
async def can_controller(folder, monkeypatch):
    with CanController(f'conformance_io_{os.getpid()}') as board:
        yield board.options


@contextlib.asynccontextmanager
async def voltmeter(folder, monkeypatch):
    device = IioDevice(folder / 'iio:device0')
    device.connector(400.0)
    yield device.voltmeter()


@contextlib.asynccontextmanager
async def adc_with_sensors(folder, monkeypatch):
    device = IioDevice(folder / 'iio:device0')
    for channel in ('voltage2', 'voltage3'):
        device.resistance(1100.0, channel)
    yield device.thermometer()


@contextlib.asynccontextmanager
async def temperature_files(folder, monkeypatch):
    for name in ('plus', 'minus'):
        (folder / name).write_text('31500\n')
    yield {'contacts': f'DC+:{folder}/plus,DC-:{folder}/minus'}


CONNECTOR = {'connector': 'connector_1', 'maximum_current': '200'}
#: What it drives and its rigs, for each driver.
RIGS = {
    'cabinet_supply': ('supply', {'': cabinet}),
    'can_supply': ('supply', {name: can_modules(name) for name in PROTOCOLS}),
    'gpio_contactors': ('contactors', {'relay': gpio(
        coil='17,27', watchdog='4', feedback='DC+:22,DC-:!FB_MINUS', pre_charge='5',
        pre_charge_feedback='6')}),
    'gpio_emergency_stop': ('emergency_stop', {'': gpio(released='ESTOP')}),
    'gpio_lock': ('lock', {'': gpio(lock='1', unlock='2', feedback='3', pulse='0.05')}),
    'gpio_matrix': ('matrix', {'': relays}),
    'hwmon_thermometer': ('thermometer', {'': temperature_files}),
    'iio_thermometer': ('thermometer', {'': adc_with_sensors}),
    'iio_voltmeter': ('voltmeter', {'': voltmeter}),
    'io_controller_pilot': ('pilot', {'serial': serial_controller, 'can': can_controller}),
    'modbus_isolation': ('isolation', {
        'bender_tcp': modbus(Bender, on_tcp, 'bender_isocha425hv', 0.2),
        'bender_serial': modbus(Bender, on_serial, 'bender_isocha425hv', 0.2),
        'dold': modbus(Dold, on_tcp, 'dold_rn5893', 0.2)}),
    'modbus_meter': ('meter', {
        'tcp': modbus(em580, on_tcp, 'carlo_gavazzi_em580'),
        'serial': modbus(em580, on_serial, 'carlo_gavazzi_em580')}),
    'modbus_voltmeter': ('voltmeter', {
        'tcp': modbus(dct1, on_tcp, 'carlo_gavazzi_dct1'),
        'serial': modbus(dct1, on_serial, 'carlo_gavazzi_dct1')}),
    'pwm_pilot': ('pilot', {'': pilot_board}),
}


def test_every_driver_of_this_package_has_a_rig():
    assert own_drivers('ccs2_power') == set(RIGS)


@pytest.mark.parametrize(('name', 'rig'), [
    # That one has nodes, which no other graph may disturb.
    pytest.param(name, rig, id=f'{name}_{rig}'.rstrip('_'),
                 marks=[pytest.mark.xdist_group('station')] if name == 'cabinet_supply' else [])
    for name, (_, rigs) in RIGS.items() for rig in rigs])
async def test_the_driver_keeps_the_contract(name, rig, tmp_path, monkeypatch):
    kind, rigs = RIGS[name]
    async with rigs[rig](tmp_path, monkeypatch) as options:
        rows = await Check(name, KINDS[kind], options, True).run()
    assert [row for row in rows if not row.passed] == []
    assert {'opens', 'measures', 'is fresh', 'never blocks'} <= {row.check for row in rows}


def test_the_command_line_prints_a_table(tmp_path, capsys):
    device = IioDevice(tmp_path / 'iio:device0')
    device.connector(400.0)
    words = [f'{key}={value}' for key, value in device.voltmeter().items()]
    assert check_driver.main(['voltmeter', 'iio_voltmeter', *words]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split('  ')[:2] for line in lines][1:3] == [['passed', 'opens'],
                                                            ['passed', 'measures']]
    device.put('voltage0', 0.0)
    assert check_driver.main(['voltmeter', 'iio_voltmeter', *words]) == 1
    assert 'FAILED  measures' in capsys.readouterr().out
