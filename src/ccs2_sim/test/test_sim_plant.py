"""The plant: devices, time-outs and faults on a virtual clock; the server on real sockets."""

import asyncio
import contextlib
import signal
import socket
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccs2_power import hal
from ccs2_sim import hardware, plant_fault
from ccs2_sim.can_modules.module import FAULTS as MODULE_FAULTS
from ccs2_sim.physics import STEP, VehicleLoad
from ccs2_sim.physics.contactor import OPEN_DELAY
from ccs2_sim.plant import faults
from ccs2_sim.plant.client import PlantClient, PlantError, PlantRefusal
from ccs2_sim.plant.core import LONGEST_CATCH_UP, PlantCore
from ccs2_sim.plant.devices import DEVICES, CommandError
from ccs2_sim.plant.server import PlantServer
from ccs2_sim.plant.wire import MAXIMUM_LENGTH, Decoder, WireError, encode

# The wire

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-2**53, 2**53) | st.floats(allow_nan=False,
                                                                       allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner,
                                                                max_size=3), max_leaves=8)
objects = st.lists(st.dictionaries(st.text(max_size=8), json_values, max_size=4), max_size=4)


@given(objects, st.data())
def test_wire_round_trip_however_it_is_cut(contents, data):
    stream = b''.join(encode(content) for content in contents)
    decoder, found = Decoder(), []
    while stream:
        cut = data.draw(st.integers(1, len(stream)))
        found += decoder.feed(stream[:cut])
        stream = stream[cut:]
    assert found == contents


@given(st.binary(max_size=40))
def test_wire_takes_any_octets(octets):
    with contextlib.suppress(WireError):
        Decoder().feed(octets)


@pytest.mark.parametrize('octets', [
    (MAXIMUM_LENGTH + 1).to_bytes(4, 'big'), b'\0\0\0\2[]', b'\0\0\0\1{', b'\0\0\0\2\xff\xff'])
def test_wire_refuses(octets):
    with pytest.raises(WireError):
        Decoder().feed(octets)


def test_wire_does_not_send_infinity():
    with pytest.raises(ValueError, match='JSON'):
        encode({'a': float('inf')})


# The core on a virtual clock


class Plant:
    """A core with a clock, and the commands of drivers that are alive."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.core = PlantCore(self.now)
        self.world = self.core.world
        self.repeated: dict[str, dict[str, object]] = {}

    def command(self, device: str, **content: object) -> None:
        if device not in self.core.attached():
            self.core.attach(device, self.now)
        self.repeated[device] = content
        self.core.command(device, content, self.now)

    def run(self, duration: float) -> None:
        end = self.now + duration
        while self.now < end:
            self.now += 0.02
            for device, content in self.repeated.items():
                self.core.command(device, content, self.now)
            self.core.advance(self.now)

    def charge(self) -> None:
        """Bring the plant to 50 A into the battery."""
        self.command('pilot', duty=0.05)
        self.command('vehicle', plugged=True, load='C', contactors=False, state_of_charge=0.4)
        self.command('contactors', main=True)
        self.run(0.1)
        self.command('supply', on=True, voltage=self.world.battery.voltage, current=2)
        self.run(1.5)
        self.command('vehicle', plugged=True, load='C', contactors=True)
        self.run(0.1)
        self.command('supply', on=True, voltage=500, current=50)
        self.run(0.5)
        assert self.world.battery_current == pytest.approx(50, rel=0.01)


def test_charge_through_the_devices():
    plant = Plant()
    plant.charge()
    report = plant.core.report('meter')
    assert report['current'] == pytest.approx(50, rel=0.01)
    assert report['stamp'] == pytest.approx(plant.now, abs=2 * STEP)


@pytest.mark.parametrize(('device', 'within', 'safe'), [
    ('contactors', 0.05, lambda world: not world.station_closed),
    ('supply', 0.05, lambda world: not world.supply.on),
    ('pilot', 0.01, lambda world: world.pilot.duty == 0),
    ('vehicle', 0.05, lambda world: not world.vehicle_closed
        and world.pilot.load is VehicleLoad.B),
])
def test_lost_client_leaves_the_safe_state(device, within, safe):
    plant = Plant()
    plant.charge()
    assert not safe(plant.world)
    plant.core.detach(device, plant.now)
    del plant.repeated[device]
    plant.run(within)
    assert safe(plant.world)
    if device != 'pilot':
        plant.run(1)
        assert abs(plant.world.cable_current) < 0.5


@pytest.mark.parametrize('device', [name for name, each in DEVICES.items() if each.timeout])
def test_silent_client_is_given_up_after_its_time(device):
    """A process that was stopped (SIGSTOP) keeps its socket: the hardware's own time-out acts."""
    plant = Plant()
    plant.charge()
    plant.command('isolation', measure=True, self_test=False)
    timeout = DEVICES[device].timeout
    state = {
        'contactors': lambda: plant.world.coils_wanted, 'supply': lambda: plant.world.supply.on,
        'pilot': lambda: plant.world.pilot.duty > 0,
        'isolation': lambda: plant.world.monitor.measuring,
    }[device]
    plant.run(0.1)
    del plant.repeated[device]
    plant.run(timeout - 0.06)
    assert state()
    plant.run(0.1)
    assert not state()


def test_a_device_has_one_client():
    plant = Plant()
    plant.core.attach('supply', plant.now)
    with pytest.raises(CommandError, match='has a client already'):
        plant.core.attach('supply', plant.now)
    with pytest.raises(CommandError, match="no device 'toaster'"):
        plant.core.attach('toaster', plant.now)
    plant.core.detach('supply', plant.now)
    plant.core.attach('supply', plant.now)


@pytest.mark.parametrize(('device', 'content', 'text'), [
    ('pilot', {'duty': 1.5}, r'pilot\.duty is 1\.5'), ('pilot', {}, r'pilot\.duty is None'),
    ('pilot', {'duty': True}, 'not a number'), ('contactors', {'main': 1}, 'not true or false'),
    ('supply', {'on': True, 'voltage': 400, 'current': 'much'}, r'supply\.current'),
    ('vehicle', {'plugged': True, 'load': 'Z', 'contactors': False}, 'not one of B, C, D'),
    ('meter', {'main': True}, 'takes no commands'),
])
def test_bad_commands_are_named(device, content, text):
    plant = Plant()
    plant.core.attach(device, plant.now)
    with pytest.raises(CommandError, match=text):
        plant.core.command(device, content, plant.now)


def test_the_plug_is_held_by_the_lock_and_can_be_torn_out():
    plant = Plant()
    plant.charge()
    plant.command('lock', locked=True)
    plant.run(0.5)
    plant.command('vehicle', plugged=False, contactors=False)
    plant.run(0.5)
    assert plant.world.pilot.plugged
    plant.command('vehicle', plugged=False, tear=True, contactors=False)
    plant.run(0.1)
    assert not plant.world.pilot.plugged
    assert plant.core.report('pilot')['high'] == 12


def test_a_stopped_plant_does_not_catch_up_for_long():
    core = PlantCore(0.0)
    core.advance(10.0)
    assert core.world.time == pytest.approx(LONGEST_CATCH_UP, abs=2 * STEP)
    assert core.lost_time == pytest.approx(10 - LONGEST_CATCH_UP)


def test_the_same_commands_give_the_same_world():
    results = []
    for _ in range(2):
        plant = Plant()
        plant.charge()
        plant.run(1)
        results.append(plant.core.state())
    assert results[0] == results[1]


def test_isolation_report_has_the_time_of_its_value():
    plant = Plant()
    plant.command('isolation', measure=True, self_test=False)
    plant.run(0.3)
    assert not plant.core.report('isolation')['measured']
    plant.run(0.4)
    report = plant.core.report('isolation')
    assert report['measured']
    assert report['resistance'] is None
    assert plant.now - 0.5 <= report['taken'] <= plant.now
    first = report['taken']
    plant.run(0.6)
    assert plant.core.report('isolation')['taken'] > first


# Faults


EFFECTS = {
    'contactor_welded': ('DC+', lambda plant: plant.world.contactors['DC+'].welded),
    'contactor_blocked': ('DC-', lambda plant: plant.world.contactors['DC-'].blocked),
    'contactor_dropped': ('DC-', lambda plant: plant.world.contactors['DC-'].dropped),
    'feedback_stuck': ('both', lambda plant: plant.world.contactors['DC+'].mirror_stuck is True),
    'vehicle_contactor_welded': ('', lambda plant: plant.world.vehicle_contactor.welded),
    'isolation': ('cable=5e4', lambda plant: plant.world.resistance_to_earth() < 51e3),
    'isolation_monitor_defective': ('', lambda plant: plant.world.monitor.defective),
    'emergency_stop': ('', lambda plant: plant.core.report('emergency_stop')['pressed']),
    'pilot_shorted': ('', lambda plant: abs(plant.core.report('pilot')['high']) < 0.2),
    'pilot_broken': ('', lambda plant: plant.core.report('pilot')['high'] == 12),
    'pilot_failed': ('', lambda plant: plant.core.report('pilot')['high'] is None),
    'pilot_diode': ('', lambda plant: plant.core.report('pilot')['low'] > -8),
    'lock_stuck': ('', lambda plant: plant.world.lock.stuck),
    'lock_open': ('', lambda plant: plant.world.lock.stuck),
    'supply_stuck_on': ('', lambda plant: plant.world.supply.stuck_on),
    'supply_runaway': ('', lambda plant: plant.world.supply.target() > 500),
    'supply_alarm': ('fan', lambda plant: plant.core.report('supply')['alarm'] == 'fan'),
    'connector_hot': ('95', lambda plant: plant.core.report('thermometer')['DC+'] > 90),
    'silent': ('supply', lambda plant: 'supply' in plant.core.disturbances.silent),
    'deaf': ('supply', lambda plant: 'supply' in plant.core.disturbances.deaf),
    'frozen': ('meter', lambda plant: 'meter' in plant.core.disturbances.frozen),
    'bias': ('supply.voltage=60', lambda plant: plant.core.report('supply')['voltage']
             > plant.world.supply.voltage + 59),
    **{f'module_{kind}': (
        '2=-40' if kind == 'wrong' else '2',
        lambda plant, kind=kind: '2' in plant.core.report('supply')['modules'].get(kind, ()))
       for kind in MODULE_FAULTS},
}


@pytest.mark.parametrize('name', faults.FAULTS)
def test_fault_has_its_effect_until_it_is_cleared(name):
    argument, effect = EFFECTS[name]
    plant = Plant()
    plant.charge()
    assert not effect(plant)
    faults.put(plant.core, name, argument)
    assert effect(plant)
    assert plant.core.state()['faults'] == [f'{name} {argument}'.strip()]
    faults.clear(plant.core, name)
    assert plant.core.state()['faults'] == []
    if name != 'connector_hot':
        assert not effect(plant)


def test_all_faults_can_be_cleared_at_once():
    plant = Plant()
    plant.charge()
    for name, (argument, _) in EFFECTS.items():
        faults.put(plant.core, name, argument)
    faults.clear(plant.core, 'all')
    assert plant.core.state()['faults'] == []
    assert not any(effect(plant) for name, (_, effect) in EFFECTS.items()
                   if name != 'connector_hot')


def test_a_contactor_without_its_coil_opens_under_load():
    plant = Plant()
    plant.charge()
    faults.put(plant.core, 'contactor_dropped', 'DC-')
    plant.run(0.05)
    assert not plant.core.report('contactors')['DC-']
    assert plant.core.report('contactors')['DC+']
    assert plant.world.opened_under_load == 1


# What has happened


def test_the_chronicle_tells_to_the_millisecond_what_was_commanded_and_what_came_of_it():
    plant = Plant()
    plant.charge()
    begin = plant.now
    assert plant.core.state()['closed'] is True
    plant.command('supply', on=True, voltage=500, current=20)
    plant.run(0.2)
    assert [event.what for event in plant.core.chronicle.since(begin)] == ['less']
    begin = plant.now
    plant.command('supply', on=False, voltage=0, current=0)
    plant.command('contactors', main=False)
    plant.run(0.2)
    events = plant.core.chronicle.since(begin)
    when = {(event.what, event.value): event.time for event in events}
    assert when['supply', False] == when['coils', False] == pytest.approx(begin, abs=2 * STEP)
    assert when['output', False] == pytest.approx(begin, abs=2 * STEP)
    assert when['closed', False] == pytest.approx(begin + OPEN_DELAY, abs=2 * STEP)
    assert when['current', False] <= when['closed', False]
    assert events == sorted(events, key=lambda event: event.time)
    assert plant.core.state()['closed'] is False


def test_frozen_measurement_keeps_its_value_with_fresh_stamps():
    plant = Plant()
    plant.charge()
    faults.put(plant.core, 'frozen', 'meter')
    before = plant.core.report('meter')
    plant.command('supply', on=False, voltage=0, current=0)
    plant.run(0.5)
    after = plant.core.report('meter')
    assert after['current'] == before['current']
    assert after['stamp'] > before['stamp']
    assert plant.world.cable_current < 1


def test_silent_device_reports_nothing_and_others_go_on():
    plant = Plant()
    plant.charge()
    assert {name for name, _ in plant.core.reports(plant.now)} >= {'supply', 'contactors'}
    faults.put(plant.core, 'silent', 'supply')
    plant.run(0.5)
    names = {name for name, _ in plant.core.reports(plant.now)}
    assert 'supply' not in names
    assert 'contactors' in names


def test_deaf_supply_turns_itself_off():
    plant = Plant()
    plant.charge()
    faults.put(plant.core, 'deaf', 'supply')
    plant.run(0.4)
    assert not plant.world.supply.on


def test_stuck_supply_stays_on_whatever_it_is_told():
    plant = Plant()
    plant.charge()
    faults.put(plant.core, 'supply_stuck_on')
    plant.command('supply', on=False, voltage=0, current=0)
    plant.run(0.2)
    assert plant.core.report('supply')['on']


@pytest.mark.parametrize(('name', 'argument', 'text'), [
    ('nonsense', '', 'no fault'), ('contactor_welded', 'L1', 'no contactor'),
    ('isolation', 'moon=5', 'no section'), ('isolation', 'cable=x', 'not a number'),
    ('isolation', 'cable=-1', 'not within'), ('silent', 'moon', 'no device'),
    ('bias', 'supply.on=1', 'no number'), ('bias', 'supply.voltage=x', 'not a number'),
    ('connector_hot', '1000', 'not within'),
])
def test_bad_faults_are_named(name, argument, text):
    plant = Plant()
    with pytest.raises(CommandError, match=text):
        faults.put(plant.core, name, argument)
    assert plant.core.state()['faults'] == []


# The server on real sockets


@pytest.fixture
async def server(tmp_path):
    plant = PlantServer(str(tmp_path / 'plant.sock'))
    await plant.open()
    yield plant
    await plant.close()
    assert not plant.path.exists()


async def until(condition, patience: float = 5.0) -> None:
    async with asyncio.timeout(patience):
        while not condition():  # noqa: ASYNC110 - the world has no events
            await asyncio.sleep(0.005)


async def test_socket_is_private_and_only_one_plant_has_it(server):
    assert server.path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(OSError, match='another server'):
        await PlantServer(str(server.path)).open()


async def test_a_stale_socket_is_taken_over(tmp_path):
    path = tmp_path / 'plant.sock'
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(path))
    plant = PlantServer(str(path))
    await plant.open()
    await plant.close()


DRIVER_CLIENT = """
import asyncio, sys
from ccs2_sim.plant.client import PlantClient
async def main():
    contactors, supply, pilot = (PlantClient(name) for name in ('contactors', 'supply', 'pilot'))
    for client in (contactors, supply, pilot):
        await client.open(sys.argv[1])
    while True:
        contactors.command(main=True)
        supply.command(on=True, voltage=300, current=5)
        pilot.command(duty=0.05)
        await asyncio.sleep(0.02)
asyncio.run(main())
"""


@pytest.mark.parametrize(('blow', 'lost'), [(signal.SIGKILL, True), (signal.SIGSTOP, False)])
async def test_killed_or_stopped_drivers_drop_the_coils(server, blow, lost):
    process = await asyncio.create_subprocess_exec(
        sys.executable, '-c', DRIVER_CLIENT, str(server.path))
    try:
        world = server.core.world
        await until(lambda: world.station_closed and world.supply.voltage > 290, 15)
        assert world.pilot.duty == 0.05
        process.send_signal(blow)
        await until(lambda: not world.station_closed and not world.supply.on
                    and world.pilot.duty == 0)
        assert ('supply' in server.core.attached()) is not lost
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_vehicle_gone_opens_its_contactors(server):
    world = server.core.world
    vehicle = PlantClient('vehicle')
    await vehicle.open(str(server.path))
    vehicle.command(plugged=True, load='C', contactors=True, state_of_charge=0.5)
    await until(lambda: world.vehicle_closed)
    assert world.cable_voltage > 300
    await vehicle.close()
    await until(lambda: not world.vehicle_contactor.closed)
    assert world.pilot.load is VehicleLoad.B
    assert world.pilot.plugged


async def test_second_client_is_refused_by_name(server):
    first, second = PlantClient('meter'), PlantClient('meter')
    await first.open(str(server.path))
    with pytest.raises(PlantRefusal, match='has a client already'):
        await second.open(str(server.path), patience=0.5)
    await first.close()
    await second.open(str(server.path))
    await second.close()


async def test_client_comes_back_by_itself(tmp_path):
    path = str(tmp_path / 'plant.sock')
    plant = PlantServer(path)
    await plant.open()
    client = PlantClient('voltmeter')
    await client.open(path)
    await plant.close()
    await until(lambda: client.problem != '')
    plant = PlantServer(path)
    await plant.open()
    await until(lambda: client.problem == '')
    await client.close()
    await plant.close()


async def test_no_plant_is_an_error_that_names_it(tmp_path):
    with pytest.raises(PlantError, match='nowhere'):
        await PlantClient('pilot').open(str(tmp_path / 'nowhere'), patience=0.1)


async def test_garbage_ends_the_connection_and_nothing_else(server):
    world = server.core.world
    contactors = PlantClient('contactors')
    await contactors.open(str(server.path))
    for octets in (b'\xff' * 8, encode({'device': 5}), encode({'device': 'toaster'})):
        reader, writer = await asyncio.open_unix_connection(str(server.path))
        writer.write(octets)
        answer = Decoder().feed(await reader.read())
        assert 'error' in answer[0]
        writer.close()
    contactors.command(main=True)
    await until(lambda: world.coils_wanted)
    # A command that makes no sense ends its own connection: the coils drop.
    contactors.command(main='yes')
    await until(lambda: not world.coils_wanted and 'contactors' not in server.core.attached())
    await contactors.close()


async def test_fault_command_line(server, capsys):
    async def command(*arguments: str) -> int:
        return await asyncio.to_thread(
            plant_fault.main, [*arguments, '--socket', str(server.path)])

    assert await command('put', 'emergency_stop') == 0
    assert server.core.world.emergency_stop
    assert 'emergency_stop' in capsys.readouterr().out
    assert await command('put', 'nonsense') == 1
    assert 'no fault' in capsys.readouterr().err
    assert await command('clear', 'all') == 0
    assert not server.core.world.emergency_stop
    told = await asyncio.to_thread(plant_fault.control, str(server.path), {'since': 0.0})
    assert isinstance(told['events'], list)
    with pytest.raises(plant_fault.ControlError, match='not a time'):
        await asyncio.to_thread(plant_fault.control, str(server.path), {'since': 'now'})
    assert await command('state') == 0
    assert '"state_of_charge"' in capsys.readouterr().out
    assert plant_fault.main(['state', '--socket', str(server.path) + '.not']) == 1


# The drivers


DRIVERS = {
    hardware.SimulatedPilot: hal.PilotDriver,
    hardware.SimulatedContactors: hal.ContactorDriver,
    hardware.SimulatedLock: hal.LockDriver,
    hardware.SimulatedEmergencyStop: hal.EmergencyStopDriver,
    hardware.SimulatedVoltmeter: hal.VoltmeterDriver,
    hardware.SimulatedIsolation: hal.IsolationDriver,
    hardware.SimulatedSupply: hal.SupplyDriver,
    hardware.SimulatedMeter: hal.MeterDriver,
    hardware.SimulatedThermometer: hal.ThermometerDriver,
}


@pytest.mark.parametrize(('driver', 'contract'), DRIVERS.items())
async def test_driver_keeps_its_contract(server, driver, contract):
    made = driver()
    assert isinstance(made, contract)
    made.read()  # before open: nothing measured, no exception
    assert made.problem
    with pytest.raises(hal.DriverError, match="unknown option 'colour'"):
        await made.open({'colour': 'red'})
    await made.open({'socket': str(server.path)})
    assert made.problem == ''
    await made.close()
    await made.close()


async def test_missing_plant_is_a_driver_error(tmp_path, monkeypatch):
    monkeypatch.setattr(PlantClient.open, '__defaults__', ('', 0.05))
    with pytest.raises(hal.DriverError, match='simulated supply'):
        await hardware.SimulatedSupply().open({'socket': str(tmp_path / 'not')})


async def test_drivers_move_and_measure_the_world(server):
    world, path = server.core.world, {'socket': str(server.path)}
    contactors, supply, pilot, lock, isolation, meter, voltmeter, stop, thermometer = (
        hardware.SimulatedContactors(), hardware.SimulatedSupply(), hardware.SimulatedPilot(),
        hardware.SimulatedLock(), hardware.SimulatedIsolation(), hardware.SimulatedMeter(),
        hardware.SimulatedVoltmeter(), hardware.SimulatedEmergencyStop(),
        hardware.SimulatedThermometer())
    drivers = (contactors, supply, pilot, lock, isolation, meter, voltmeter, stop, thermometer)
    for driver in drivers:
        await driver.open(path)
    test = hal.IsolationCommand.MEASURE

    def settled() -> bool:
        contactors.command(hal.ContactorCommand(main=True))
        supply.command(hal.SupplyCommand(on=True, voltage=350, current=5))
        pilot.command(hal.DUTY_DIGITAL)
        lock.command(True)
        isolation.command(test)
        voltage = voltmeter.read().voltage
        return voltage is not None and voltage.value > 349

    await until(settled)
    await until(lambda: settled() and supply.read().voltage.value > 349)
    reading = supply.read()
    assert reading.on.value
    assert reading.limits.maximum_current == 250
    assert reading.set_voltage.value == 350
    assert reading.temperature.value > 20
    assert all(contact.value for contact in contactors.read().contacts.values())
    await until(lambda: settled() and lock.read().locked.value)
    levels = pilot.read()
    assert levels.high.value == 12
    assert levels.low.value == -12
    assert levels.duty.value == 0.05
    assert not stop.read().pressed.value
    assert thermometer.read().contacts['DC+'].value == pytest.approx(25, abs=1)
    await until(lambda: settled() and meter.read().voltage.value > 349)
    now = asyncio.get_running_loop().time()
    assert 0 <= now - supply.read().voltage.stamp < 1
    test = hal.IsolationCommand.SELF_TEST
    await until(lambda: settled() and isolation.read().self_test is hal.SelfTest.PASSED)
    await until(lambda: settled() and isolation.read().resistance is not None)
    assert isolation.read().resistance.value > 9e6
    faults.put(server.core, 'supply_alarm', 'fan failed')
    await until(lambda: settled() and supply.read().alarms != ())
    assert supply.read().alarms[0].text == 'fan failed'
    for driver in drivers:
        await driver.close()
    await until(lambda: not world.coils_wanted and not world.supply.on)
