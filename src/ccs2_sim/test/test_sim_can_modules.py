"""Emulated DC modules: their state on a virtual clock, their bus, their process on a real plant."""

import asyncio
import os
import signal
import sys

import can
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccs2_power.can.frame import Frame
from ccs2_power.can.parallel import ModuleGroup
from ccs2_power.can.protocols import PROTOCOLS
from ccs2_power.can.supply import CanSupply
from ccs2_power.faults import Severity
from ccs2_power.hal import SupplyCommand
from ccs2_sim.can_modules import server as can_server
from ccs2_sim.can_modules.bus import LoopbackBus, group
from ccs2_sim.can_modules.cabinet import Cabinet, Demand
from ccs2_sim.can_modules.dialects import DIALECTS
from ccs2_sim.can_modules.module import TIMEOUT, Rating
from ccs2_sim.can_modules.server import ModuleServer
from ccs2_sim.plant import faults
from ccs2_sim.plant.core import PlantCore
from ccs2_sim.plant.devices import CommandError
from ccs2_sim.plant.server import PlantServer

WITH_STATUS = [name for name in DIALECTS if DIALECTS[name].alarm]


class Rack:
    """Two modules, and the station's own codec as their controller, on a virtual clock."""

    def __init__(self, name):
        self.now = 100.0
        self.cabinet = Cabinet(DIALECTS[name], [1, 2])
        self.group = ModuleGroup(PROTOCOLS[name], [1, 2])
        self.voltage = 0.0

    def run(self, command=None, cycles=5):
        for _ in range(cycles):
            self.now += 0.1
            if command is not None:
                self.group.command(command, self.now)
            for frame in self.group.cycle(self.now):
                for answer in self.cabinet.hear(frame.identifier, frame.data, self.now):
                    self.group.hear(Frame(*answer), self.now)
            demand = self.cabinet.demand(self.now)
            # A battery that takes whatever there is, at the voltage asked for.
            self.cabinet.measure(demand.voltage, demand.current, 30.0)
        return self.group.reading()

    def charge(self):
        return self.run(SupplyCommand(True, 400.0, 40.0))


def test_there_is_an_emulator_for_every_protocol():
    assert set(DIALECTS) == set(PROTOCOLS)
    for name, dialect in DIALECTS.items():
        assert dialect.addresses == PROTOCOLS[name].addresses


@pytest.mark.parametrize('name', DIALECTS)
def test_modules_share_and_obey(name):
    rack = Rack(name)
    assert rack.cabinet.demand(rack.now) == Demand(False)
    reading = rack.charge()
    assert rack.cabinet.demand(rack.now) == Demand(
        True, pytest.approx(400.0), pytest.approx(40.0, abs=0.01))
    assert reading.voltage.value == pytest.approx(400.0, abs=0.1)
    assert reading.current.value == pytest.approx(40.0, abs=0.2)
    assert all(module.measured.current == pytest.approx(20.0, abs=0.01)
               for module in rack.cabinet.modules.values())


@pytest.mark.parametrize('name', DIALECTS)
def test_modules_that_are_told_nothing_switch_off_by_themselves(name):
    rack = Rack(name)
    rack.charge()
    assert rack.cabinet.demand(rack.now + TIMEOUT - 0.1).on
    assert not rack.cabinet.demand(rack.now + TIMEOUT + 0.1).on


@pytest.mark.parametrize('name', DIALECTS)
def test_a_module_that_is_gone_delivers_nothing_and_says_nothing(name):
    rack = Rack(name)
    rack.charge()
    rack.cabinet.suffer({'gone': {'2': 0.0}})
    rack.run(SupplyCommand(True, 400.0, 40.0), cycles=8)
    assert rack.group.silent(rack.now) == ['module_2']
    assert rack.cabinet.demand(rack.now).current == pytest.approx(20.0, abs=0.01)
    # It comes back switched off, as after a loss of power; the controller's next cycle reaches it.
    rack.cabinet.suffer({})
    assert not rack.cabinet.modules[2].on
    rack.charge()
    assert rack.group.silent(rack.now) == []
    assert rack.cabinet.demand(rack.now).current == pytest.approx(40.0, abs=0.01)


@pytest.mark.parametrize('name', DIALECTS)
def test_a_silent_module_still_obeys(name):
    rack = Rack(name)
    rack.charge()
    rack.cabinet.suffer({'silent': {'1': 0.0}})
    rack.run(SupplyCommand(True, 400.0, 20.0), cycles=8)
    assert rack.group.silent(rack.now) == ['module_1']
    assert rack.cabinet.demand(rack.now).current == pytest.approx(20.0, abs=0.01)
    rack.run(SupplyCommand(False))
    assert not rack.cabinet.demand(rack.now).on


@pytest.mark.parametrize('name', DIALECTS)
def test_a_deaf_module_answers_and_goes_off_after_its_time(name):
    rack = Rack(name)
    rack.charge()
    rack.cabinet.suffer({'deaf': {'1': 0.0}})
    rack.run(SupplyCommand(False), cycles=20)
    assert rack.group.silent(rack.now) == []
    assert rack.cabinet.modules[1].on
    assert not rack.cabinet.modules[2].on
    rack.run(SupplyCommand(False), cycles=round(10 * TIMEOUT))
    assert not rack.cabinet.modules[1].on


@pytest.mark.parametrize('name', DIALECTS)
def test_frozen_values_stay(name):
    rack = Rack(name)
    rack.charge()
    rack.cabinet.suffer({'frozen': {'1': 0.0, '2': 0.0}})
    reading = rack.run(SupplyCommand(True, 300.0, 10.0))
    assert rack.cabinet.demand(rack.now).voltage == pytest.approx(300.0)
    assert reading.voltage.value == pytest.approx(400.0, abs=0.1)
    assert reading.current.value == pytest.approx(40.0, abs=0.2)
    assert reading.voltage.stamp == pytest.approx(rack.now)


@pytest.mark.parametrize('name', DIALECTS)
def test_a_wrong_voltage_is_found_by_comparison(name):
    rack = Rack(name)
    rack.charge()
    rack.cabinet.suffer({'wrong': {'2': 60.0}})
    reading = rack.run(SupplyCommand(True, 400.0, 40.0), cycles=10)
    assert reading.voltage.value == pytest.approx(460.0, abs=0.1)
    assert [alarm.severity for alarm in reading.alarms] == [Severity.EMERGENCY]


@pytest.mark.parametrize('name', WITH_STATUS)
def test_a_defective_module_says_so(name):
    rack = Rack(name)
    rack.cabinet.suffer({'alarm': {'2': 0.0}})
    (alarm,) = rack.charge().alarms
    assert (alarm.source, alarm.text) == ('module_2', DIALECTS[name].alarm)


def test_a_module_keeps_to_its_rating():
    rack = Rack('infy')
    rack.cabinet.rate(Rating(150.0, 900.0, 30.0, 12e3))
    limits = rack.run(SupplyCommand(True, 400.0, 500.0)).limits
    assert rack.cabinet.demand(rack.now).current == 60.0
    assert (limits.maximum_voltage, limits.maximum_current, limits.maximum_power) == (
        900.0, 60.0, 24e3)


def test_energy_flows_back_through_bidirectional_modules():
    rack = Rack('infy_beg')
    reading = rack.run(SupplyCommand(True, 350.0, -30.0))
    assert rack.cabinet.demand(rack.now) == Demand(True, 350.0, -30.0)
    assert reading.current.value == pytest.approx(-30.0)


@pytest.mark.parametrize('name', DIALECTS)
@given(frames=st.lists(st.tuples(
    st.one_of(st.integers(0, 2**29 - 1), st.sampled_from(
        [0x02204000, 0x029C01F0, 0x029A01F0, 0x02A401F0, 0x06080F80, 0x06080F81, 0x068180FC])),
    st.binary(max_size=9)), max_size=20))
def test_any_frames_leave_modules_that_answer(name, frames):
    rack = Rack(name)
    for identifier, data in frames:
        for _, answer in rack.cabinet.hear(identifier, data, rack.now):
            assert len(answer) == 8
    demand = rack.cabinet.demand(rack.now)
    assert abs(demand.current) <= 2 * Rating().maximum_current
    rack.charge()
    assert rack.group.silent(rack.now) == []


@pytest.mark.parametrize('number', ['7FC00000', '7F800000', 'FF800000', '7F7FFFFF', 'C3C80000'])
@pytest.mark.parametrize('register', ['0021', '0022'])
def test_no_set_point_is_beyond_what_a_module_can_do(register, number):
    rack = Rack('dpm1000')
    rack.charge()
    answers = rack.cabinet.hear(0x06080F81, bytes.fromhex('0300' + register + number), rack.now)
    assert [data.hex().upper() for _, data in answers] == [f'43F0{register}{number}']
    demand = rack.cabinet.demand(rack.now)
    assert 0.0 <= demand.voltage <= Rating().maximum_voltage
    assert abs(demand.current) <= 2 * Rating().maximum_current


@pytest.mark.parametrize(('addresses', 'text'), [
    ([], 'at least one'), ([1, 1], 'each once'), ([200], 'module address 200 is not within')])
def test_lists_of_modules_that_make_no_sense(addresses, text):
    with pytest.raises(ValueError, match=text):
        Cabinet(DIALECTS['infy'], addresses)


# Faults by the plant


def test_faults_of_modules_reach_them_through_the_supply_s_report():
    core = PlantCore(0.0)
    faults.put(core, 'module_gone', '2')
    faults.put(core, 'module_wrong', '3=-40')
    assert core.report('supply')['modules'] == {'gone': {'2': 0.0}, 'wrong': {'3': -40.0}}
    faults.clear(core, 'module_wrong', '3=-40')
    assert core.report('supply')['modules']['wrong'] == {}
    faults.clear(core, 'all')
    assert core.report('supply')['modules'] == {}
    assert core.faults == set()


@pytest.mark.parametrize('fault', [
    ('module_gone', ''), ('module_gone', 'x'), ('module_wrong', '2'), ('module_wrong', '-1=3')])
def test_faults_of_modules_that_make_no_sense_are_refused(fault):
    core = PlantCore(0.0)
    with pytest.raises(CommandError):
        faults.put(core, *fault)
    assert core.report('supply')['modules'] == {}


# The bus


async def until(condition, seconds=5.0):
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - what is waited for is in another process
            await asyncio.sleep(0.01)


def test_the_bus_carries_frames_to_others_of_its_name_only(monkeypatch):
    name = f'test_{os.getpid()}'
    frame = can.Message(arbitration_id=0x123, data=b'abc', is_extended_id=True)
    with (can.Bus(interface='udp_loopback', channel=name) as one,
          can.Bus(interface='udp_loopback', channel=name) as two,
          can.Bus(interface='udp_loopback', channel=f'{name}_other') as other):
        one.send(frame)
        received = two.recv(2.0)
        assert (received.arbitration_id, bytes(received.data)) == (0x123, b'abc')
        assert one.recv(0.0) is None
        assert other.recv(0.0) is None
        # What is no frame is nobody's.
        two._sender.sendto(b'\xc1 garbage', two._address)
        two.send(frame)
        assert one.recv(2.0).arbitration_id == 0x123
    monkeypatch.setenv('CCS2_CAN_SCOPE', '/elsewhere')
    elsewhere = group(name)
    monkeypatch.delenv('CCS2_CAN_SCOPE')
    assert elsewhere != group(name)


def test_a_bus_that_cannot_be_joined_is_an_error(monkeypatch):
    monkeypatch.setattr('ccs2_sim.can_modules.bus._LOOPBACK', bytes([192, 0, 2, 99]))
    with pytest.raises(OSError, match=r'.'):
        LoopbackBus('nowhere')


# The process between bus and plant


@pytest.fixture
async def plant(tmp_path):
    server = PlantServer(str(tmp_path / 'plant.sock'))
    await server.open()
    yield server
    await server.close()


@pytest.fixture
def channel(tmp_path):
    return f'{os.getpid()}_{tmp_path.name}'


async def opened(name, channel):
    driver = CanSupply()
    await driver.open({'protocol': name, 'modules': '1,2', 'interface': 'udp_loopback',
                       'channel': channel, 'cycle': '0.02'})
    return driver


def follow(driver, command):
    """Repeat a command as a node does until it shows."""
    def seen():
        driver.command(command)
        voltage = driver.read().voltage
        return voltage is not None and abs(voltage.value - command.voltage) < 2.0
    return seen


@pytest.mark.parametrize('name', DIALECTS)
async def test_set_points_cross_the_bus_to_the_plant(plant, channel, name):
    modules = ModuleServer(Cabinet(DIALECTS[name], [1, 2]), 'udp_loopback', channel,
                           str(plant.path))
    await modules.open()
    driver = await opened(name, channel)
    try:
        await until(lambda: driver.read().voltage is not None)
        await until(follow(driver, SupplyCommand(True, 300.0, 20.0)))
        supply = plant.core.world.supply
        assert supply.on
        assert (supply.set_voltage, supply.set_current) == pytest.approx((300.0, 20.0), abs=0.01)
        await driver.close()
        await until(lambda: not supply.on, 2.0)
    finally:
        await driver.close()
        await modules.close()
    await until(lambda: 'supply' not in plant.core.attached())


async def test_modules_of_a_plant_that_stands_still_say_nothing(plant, channel, monkeypatch):
    monkeypatch.setattr(can_server, 'FRESH', 0.1)
    modules = ModuleServer(Cabinet(DIALECTS['infy'], [1, 2]), 'udp_loopback', channel,
                           str(plant.path))
    await modules.open()
    driver = await opened('infy', channel)
    try:
        await until(lambda: driver.problem == '')
        faults.put(plant.core, 'silent', 'supply')
        await until(lambda: driver.problem == 'module_1, module_2 not heard')
        faults.clear(plant.core, 'silent')
        await until(lambda: driver.problem == '')
        faults.put(plant.core, 'module_silent', '2')
        await until(lambda: driver.problem == 'module_2 not heard')
    finally:
        await driver.close()
        await modules.close()


async def process(*arguments):
    return await asyncio.create_subprocess_exec(
        sys.executable, '-m', 'ccs2_sim.can_modules.process', *arguments,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)


async def test_the_process_is_killed_and_the_output_is_off(plant, channel):
    running = await process('--protocol', 'winline', '--modules', '1,2', '--channel', channel,
                            '--plant', str(plant.path))
    driver = await opened('winline', channel)
    try:
        assert (await running.stdout.readline()).startswith(b'winline modules 1,2 on udp_loopback')
        await until(follow(driver, SupplyCommand(True, 300.0, 20.0)))
        assert plant.core.world.supply.on
        running.kill()
        await until(lambda: not plant.core.world.supply.on, 1.0)
        await until(lambda: driver.problem == 'module_1, module_2 not heard')
    finally:
        await driver.close()
        if running.returncode is None:
            running.kill()
        await running.wait()


async def test_the_process_ends_when_told_and_says_what_is_wrong(plant, channel):
    running = await process('--protocol', 'infy', '--channel', channel, '--plant',
                            str(plant.path))
    await running.stdout.readline()
    second = await process('--protocol', 'infy', '--channel', channel, '--plant', str(plant.path))
    _, told = await second.communicate()
    assert second.returncode == 1
    assert b"device 'supply' has a client already" in told
    running.send_signal(signal.SIGTERM)
    assert await running.wait() == 0
    for arguments, text in (
            (['--modules', '1,x'], b'--modules 1,x'), (['--modules', '99'], b'module address 99'),
            (['--interface', 'no_such'], b'CAN no_such')):
        wrong = await process('--protocol', 'infy', '--plant', str(plant.path), *arguments)
        _, told = await wrong.communicate()
        assert wrong.returncode
        assert text in told
