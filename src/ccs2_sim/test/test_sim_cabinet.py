"""A shared cabinet's modules and relays, emulated: on a virtual clock, and between plants."""

import asyncio

import pytest

from ccs2_power.hal import MatrixCommand
from ccs2_sim.can_modules.cabinet import Cabinet, Demand
from ccs2_sim.can_modules.dialects import DIALECTS
from ccs2_sim.can_modules.module import Readings
from ccs2_sim.can_modules.shared import COIL_TIMEOUT, MATRIX, RelayCore, SharedModules
from ccs2_sim.can_modules.switchboard import Switchboard
from ccs2_sim.hardware import SimulatedMatrix
from ccs2_sim.plant.devices import CommandError
from ccs2_sim.plant.server import PlantServer

STEP = 0.01


class Bench:
    """Two modules, the outputs left and right, on a virtual clock."""

    def __init__(self):
        self.now = 100.0
        self.board = Switchboard(Cabinet(DIALECTS['infy'], [1, 2]), ['left', 'right'])
        self.core = RelayCore(self.board, self.now)
        self.core.attach(MATRIX, self.now)
        self.one, self.two = self.board.cabinet.modules.values()

    def run(self, seconds=0.5, coils=None):
        end = self.now + seconds
        while self.now < end:
            self.now += STEP
            if coils is not None:
                self.core.command(MATRIX, {'coils': coils}, self.now)
            self.core.advance(self.now)

    def switch_on(self, module, voltage, current):
        module.on, module.set_voltage, module.set_current = True, voltage, current
        module.told = self.now


def test_an_output_gets_what_the_modules_on_it_make():
    bench = Bench()
    bench.switch_on(bench.one, 400.0, 20.0)
    bench.switch_on(bench.two, 400.0, 10.0)
    bench.board.outputs['left'] = Readings(400.0, 30.0)
    bench.run(coils={'module_1': 'left', 'module_2': 'left'})
    assert bench.board.demand('left') == Demand(True, 400.0, 30.0)
    assert bench.board.demand('right') == Demand(False)
    assert (bench.one.measured.current, bench.two.measured.current) == (20.0, 10.0)


def test_a_module_on_no_output_has_its_own_voltage():
    bench = Bench()
    bench.switch_on(bench.one, 400.0, 1.0)
    bench.run(1.0)
    assert bench.one.measured == Readings(400.0, 0.0)
    assert bench.board.demand('left') == Demand(False)
    bench.one.on = False
    bench.run(1.0)
    assert bench.one.measured.voltage == 0.0


def test_what_a_relay_must_not_do_is_counted():
    bench = Bench()
    board = bench.board
    bench.run(coils={'module_1': 'left'})
    assert (board.opened_under_load, board.closed_on_voltage, board.crossed) == (0, 0, 0)
    bench.switch_on(bench.one, 400.0, 20.0)
    board.outputs['left'] = Readings(400.0, 20.0)
    bench.run(coils={'module_1': 'left'})
    bench.run(coils={})
    assert board.opened_under_load == 1
    bench.switch_on(bench.one, 100.0, 1.0)
    bench.run(1.0)
    bench.run(coils={'module_1': 'left'})
    assert board.closed_on_voltage == 1
    board.relays[1]['right'].welded = True
    bench.run(coils={'module_1': 'left'})
    assert board.crossed == 1


def test_coils_drop_without_a_command_but_not_at_once():
    bench = Bench()
    bench.run(coils={'module_1': 'left'})
    bench.core.detach(MATRIX, bench.now)
    bench.run(COIL_TIMEOUT - 0.1)
    assert bench.core.state()['relays'] == {'module_1': ['left'], 'module_2': []}
    bench.run(0.2)
    assert bench.core.state()['relays'] == {'module_1': [], 'module_2': []}


@pytest.mark.parametrize(('name', 'content'), [
    (MATRIX, {}), (MATRIX, {'coils': 'all'}), ('output left', {'coils': {}})])
def test_commands_that_make_no_sense_are_refused(name, content):
    bench = Bench()
    with pytest.raises(CommandError, match=name):
        bench.core.command(name, content, bench.now)


async def test_each_plant_is_fed_by_the_modules_switched_to_it(tmp_path):
    plants = {name: PlantServer(str(tmp_path / f'{name}.sock')) for name in ('left', 'right')}
    for plant in plants.values():
        await plant.open()
    modules = SharedModules(
        Cabinet(DIALECTS['infy'], [1, 2]), 'virtual', 'test_sim_cabinet',
        {name: str(plant.path) for name, plant in plants.items()}, str(tmp_path / 'relays.sock'))
    await modules.open()
    loop, board = asyncio.get_running_loop(), modules.board
    try:
        for address in (1, 2):
            module = board.cabinet.modules[address]
            module.on, module.set_voltage, module.set_current = True, 100.0 * address, 5.0
            module.told = loop.time()
        relays = SimulatedMatrix()
        await relays.open({'socket': str(tmp_path / 'relays.sock')})
        measured = [board.cabinet.modules[1], board.cabinet.modules[2]]
        async with asyncio.timeout(5):
            while not all(
                    abs(plant.core.world.supply.voltage - voltage) < 1.0
                    and abs(module.measured.voltage - voltage) < 1.0
                    for plant, module, voltage in zip(
                        plants.values(), measured, (100.0, 200.0), strict=True)):
                relays.command(MatrixCommand({'module_1': 'left', 'module_2': 'right'}))
                await asyncio.sleep(0.02)
        await relays.close()
    finally:
        await modules.close()
        for plant in plants.values():
            await plant.close()
