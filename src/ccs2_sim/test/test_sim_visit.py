"""The car in the plant, charged by a station that drives real physics; the command line."""

import asyncio
import json

import pytest

from ccs2_sim import car_cli
from ccs2_sim.car.session import Session
from ccs2_sim.car.vehicle import PlantVehicle
from ccs2_sim.car.visit import Visit
from ccs2_sim.evcc.outcome import ErrorCode
from ccs2_sim.evcc.vehicle import CarSettings
from ccs2_sim.plant import faults
from ccs2_sim.plant.client import PlantError
from ccs2_sim.plant.server import PlantServer


@pytest.fixture
async def plant(tmp_path):
    made = PlantServer(str(tmp_path / 'plant.sock'))
    await made.open()
    yield made
    await made.close()


@pytest.fixture
async def powered(plant, powered_station, station_on_sockets):
    async with powered_station(str(plant.path)) as script:
        server = station_on_sockets(script)
        await server.open()
        yield server
        await server.close()


async def charge(plant, server, text='', **settings):
    visit = Visit(
        sdp_port=server.sdp_port, state_of_charge=0.4, misbehaviour=text,
        settings=CarSettings(loop_period=0.02, **settings))
    return await Session(visit, PlantVehicle(str(plant.path))).run()


async def test_energy_reaches_the_battery_and_everything_ends_open(plant, powered):
    world = plant.core.world
    result = await charge(plant, powered, maximum_duration=1.0)
    assert result.outcome.error is ErrorCode.NONE, result.outcome
    assert result.energy > 5_000
    assert result.energy == pytest.approx(world.imported, rel=0.1)
    assert result.state_of_charge > 0.4
    # No contactor was closed onto a difference or opened under load, and the plug is out.
    assert world.highest_inrush < 20 / world.battery.rating.resistance
    assert world.opened_under_load == 0
    assert not world.pilot.plugged
    assert not world.station_closed
    assert not world.vehicle_contactor.closed
    assert world.cable_voltage < 60


async def test_torn_out_under_load(monkeypatch, plant, powered):
    monkeypatch.setattr('ccs2_sim.car.misbehaviour.PATIENCE', 0.5)
    world = plant.core.world
    result = await charge(plant, powered, 'unplug:after=60')
    assert result.outcome.error is ErrorCode.CONNECTION
    assert world.opened_under_load == 1
    assert not world.pilot.plugged


async def test_next_car_pulls_the_plug_of_a_dead_one(plant, powered):
    """A car whose process was killed is still plugged in when it starts again."""
    world = plant.core.world
    dead = PlantVehicle(str(plant.path))
    await dead.open(lambda: None)
    world.plug_in(0.2)
    await dead.close()
    result = await charge(plant, powered, maximum_loops=5)
    assert result.outcome.error is ErrorCode.NONE, result.outcome
    assert result.state_of_charge > 0.39


async def test_pilot_without_oscillator_is_waited_for(monkeypatch, plant, powered):
    monkeypatch.setattr('ccs2_sim.car.session.PILOT_PATIENCE', 0.2)
    faults.put(plant.core, 'pilot_broken')
    result = await charge(plant, powered)
    assert result.outcome.error is ErrorCode.NO_ANSWER
    assert 'duty' in result.outcome.text
    assert not plant.core.world.pilot.plugged


async def test_emergency_stop_opens_whatever_a_careless_station_does(plant, powered):
    async def press():
        while powered.script.counts['CurrentDemand'] < 20:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        faults.put(plant.core, 'emergency_stop')
    pressing = asyncio.ensure_future(press())
    result = await charge(plant, powered, maximum_duration=1.5)
    await pressing
    assert plant.core.world.opened_under_load == 1
    assert not plant.core.world.pilot.plugged
    assert result.loops > 20


async def test_no_plant_is_an_error(monkeypatch, tmp_path, station_server):
    monkeypatch.setattr('ccs2_sim.plant.client.PlantClient.open.__defaults__', ('', 0.05))
    visit = Visit(sdp_port=station_server.sdp_port)
    with pytest.raises(PlantError):
        await Session(visit, PlantVehicle(str(tmp_path / 'not'))).run()


# The command line


async def command(server, *arguments):
    return await asyncio.to_thread(
        car_cli.main, ['--sdp-port', str(server.sdp_port), '--loop-period', '0', *arguments])


async def test_command_line_without_plant(station_server, tmp_path, capsys):
    code = await command(
        station_server, '--protocol', 'din', '--loops', '30', '--sessions', '2',
        '--json', str(tmp_path / 'out.json'), '--trace', str(tmp_path / 'trace.jsonl'))
    assert code == 0
    out = json.loads((tmp_path / 'out.json').read_text())
    assert [each['error'] for each in out['sessions']] == ['NONE', 'NONE']
    assert out['latency']['CurrentDemandRes']['count'] >= 60
    assert len((tmp_path / 'trace.jsonl').read_text().splitlines()) > 60
    assert 'CurrentDemandRes' in capsys.readouterr().out


async def test_command_line_reports_failure(station_server, capsys):
    assert await command(station_server, '--misbehaviour', 'drop_link', '--json', '-') == 1
    captured = capsys.readouterr()
    assert json.loads(captured.out)['sessions'][0]['error'] == 'CONNECTION'
    assert 'CONNECTION' in captured.err
    assert await command(station_server, '--plant', '/nowhere/plant.sock') == 1


async def test_command_line_refuses_unknown_manners(station_server, capsys):
    with pytest.raises(SystemExit):
        await command(station_server, '--misbehaviour', 'rude')
    assert 'no misbehaviour' in capsys.readouterr().err
