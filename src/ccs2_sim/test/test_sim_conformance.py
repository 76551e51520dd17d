"""Every simulated driver passes the conformance kit on the plant."""

import pytest

from ccs2_power import check_driver
from ccs2_power.check_driver import KINDS, Check
from ccs2_power.drivers import own_drivers
from ccs2_sim.can_modules.cabinet import Cabinet
from ccs2_sim.can_modules.dialects import DIALECTS
from ccs2_sim.can_modules.shared import SharedModules
from ccs2_sim.plant.server import PlantServer

#: What each drives; the names say it.
DRIVERS = {f'sim_{kind}': kind for kind in KINDS} | {
    'sim_second_voltmeter': 'voltmeter', 'sim_output_voltmeter': 'voltmeter'}
#: Options of the devices of a shared cabinet, which are not the plant's.
CABINET = {'sim_matrix': {}, 'sim_output_voltmeter': {'output': 'left'}}


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(check_driver, 'WATCHED', 0.6)


@pytest.fixture
async def server(tmp_path):
    server = PlantServer(str(tmp_path / 'plant.sock'))
    await server.open()
    yield server
    await server.close()


def test_there_is_one_for_every_device():
    assert own_drivers('ccs2_sim') == set(DRIVERS)


@pytest.mark.parametrize('name', [name for name in DRIVERS if name not in CABINET])
async def test_the_driver_keeps_the_contract(server, name):
    rows = await Check(name, KINDS[DRIVERS[name]], {'socket': str(server.path)}, True).run()
    assert [row for row in rows if not row.passed] == []


@pytest.mark.parametrize('name', CABINET)
async def test_a_driver_of_the_cabinet_keeps_the_contract(server, tmp_path, name):
    socket = str(tmp_path / 'cabinet.sock')
    cabinet = SharedModules(Cabinet(DIALECTS['infy'], [1, 2]), 'virtual', f'relays_{name}',
                            {'left': str(server.path)}, socket)
    await cabinet.open()
    try:
        options = {'socket': socket, **CABINET[name]}
        rows = await Check(name, KINDS[DRIVERS[name]], options, True).run()
    finally:
        await cabinet.close()
    assert [row for row in rows if not row.passed] == []
