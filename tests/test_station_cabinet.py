"""Two connectors share one cabinet: both cars charge at once, and no relay breaks a current."""

import contextlib
import time

import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not set up')

from station_run import LONG, run_station

from ccs2_interfaces.action import Charge
from ccs2_power.hal import MATRIX_TIMEOUT
from ccs2_sim.plant_fault import control
from plant_record import PlantRecord
from station.connector import Connector, wait_for
from station.parameters import direct_link

pytestmark = [pytest.mark.alone, LONG]

CONNECTORS = ('connector_1', 'connector_2')
MODULES = 4
#: What no relay has done.
UNWORN = {'opened_under_load': 0, 'closed_on_voltage': 0, 'crossed': 0}
#: What one module gives [A].
MODULE_CURRENT = 62.5
#: Two stations and a cabinet are much for a small machine: what is not of interest here rests.
EASE = (
    *direct_link('lo'),
    ('car.yaml', 'power_line: true', 'power_line: false'),
    ('car.yaml', 'timeout_factor: 4.0', 'timeout_factor: 4.0\n    loop_period: 0.3'),
)
GOAL = {'protocol': Charge.Goal.PROTOCOL_DIN_70121, 'state_of_charge': 0.3,
        'target_state_of_charge': 0.95}


class Station:
    """Both connectors, the truth about each, and the cabinet's."""

    def __init__(self, processes, connectors, records, cabinet):
        self.processes, self._cabinet = processes, str(cabinet)
        self.left, self.right = self.connectors = connectors
        self.records = records

    def wait(self, condition, seconds, what):
        return wait_for(self.connectors, condition, seconds, what)

    def cabinet(self):
        return control(self._cabinet, {})['state']

    def served(self):
        """How many relays to each connector are closed."""
        closed = [connector for on in self.cabinet()['relays'].values() for connector in on]
        return [closed.count(name) for name in CONNECTORS]

    def currents(self):
        return [record.now.current for record in self.records]

    def wear(self):
        state = self.cabinet()
        return {name: state[name] for name in UNWORN}


@pytest.fixture(scope='module')
def station(tmp_path_factory):
    folder = tmp_path_factory.mktemp('s')
    with (run_station(folder, connectors=2, power='cabinet', changes=EASE)
          as (processes, domain, run), contextlib.ExitStack() as stack):
        connectors = [stack.enter_context(Connector(name, domain)) for name in CONNECTORS]
        for connector in connectors:
            connector.wait_until_ready()
        records = [stack.enter_context(PlantRecord(run / f'{name}.sock')) for name in CONNECTORS]
        yield Station(processes, connectors, records, run / 'cabinet.sock')


def safe(record):
    moment = record.now
    return not moment.closed and abs(moment.current) < 1.0 and not moment.supply_on


def share_evenly(station):
    return station.served() == [MODULES // 2] * 2 and all(
        1.5 * MODULE_CURRENT < current < 2.1 * MODULE_CURRENT for current in station.currents())


def both_charge(station):
    """Let a car charge with the whole cabinet, then a second one; return the futures of both.

    A machine that is busy with other things may cost an attempt: the stations are strict.
    """
    charges = []

    def ended():
        return any(charge.done() for charge in charges)

    for _ in range(3):
        station.wait(lambda: all(charge.done() for charge in charges), 60, 'cars that have left')
        charges[:] = [station.left.charge(**GOAL)]
        station.wait(lambda: station.currents()[0] > 3 * MODULE_CURRENT or ended(), 60,
                     'the first car has the whole cabinet')
        if ended():
            continue
        assert station.served() == [MODULES, 0]
        charges.append(station.right.charge(**GOAL))
        station.wait(lambda: share_evenly(station) or ended(), 60, 'each car has its half')
        if not ended():
            return charges
        for connector in station.connectors:
            connector.unplug()
    raise AssertionError([charge.result().result.error_msg for charge in charges if charge.done()])


def test_modules_change_hands_when_a_car_comes_and_nothing_stays_on_when_the_cabinet_dies(station):
    first, second = both_charge(station)
    assert station.wear() == UNWORN
    for connector in station.connectors:
        assert list(connector.latest['power/status'].faults) == []

    station.processes.kill('cabinet')
    killed = time.monotonic()
    station.wait(lambda: all(map(safe, station.records)), MATRIX_TIMEOUT + 2.0,
                 'open contactors, no current, supply off')
    opened = [min(moment.time for moment in record.since(killed) if not moment.closed) - killed
              for record in station.records]
    # The relays break nothing: the contactors, which can, are open before their coils drop.
    assert max(opened) < MATRIX_TIMEOUT - 0.5
    station.wait(lambda: station.served() == [0, 0], 5, 'open relays')
    assert station.wear() == UNWORN

    # The charge does not go on with the cabinet that has come back; it is there for the next car.
    station.wait(lambda: first.done() and second.done(), 60, 'the end of both sessions')
    for result in (first, second):
        assert result.result().result.error_code != Charge.Result.NONE
    assert all(map(safe, station.records))
    station.wait(lambda: all(
        not connector.latest['power/status'].faults and connector.empty
        for connector in station.connectors), 15, 'no fault, and a cabinet')
    assert station.cabinet()['modules']['module_1']['on'] is False
