"""A sample of the fault matrix: nothing stays energised, it is told, and the station recovers.

The whole matrix, with its times, is `make faults`.
"""

import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not set up')

from domain_coordinator import domain_id
from station_run import LONG

from station.fault_bench import Setting, running
from station.fault_cases import ENERGISED, STAGES, STATION
from station.faults import PARTS, cases, run_case

pytestmark = pytest.mark.xdist_group('station')

#: Nothing here is about times: machines that run tests are busy.
PATIENCE = 0.5
SAMPLE = [
    ('before plug-in', 'pilot E: short'), ('cable check', 'safety stopped'),
    ('cable check', 'self-test of the isolation monitor fails'), ('pre-charge', 'emergency stop'),
    ('charging', 'supply silent'), ('charging', 'v2g_transport stopped'),
    ('charging', 'plug torn out'), ('charging', 'isolation fault'),
    ('stopping', 'contactor welded'),
]


@pytest.fixture(scope='module')
def bench(tmp_path_factory):
    with domain_id() as domain, running(
            Setting(), tmp_path_factory.mktemp('f') / 's', (), domain) as bench:
        yield bench


@LONG
@pytest.mark.parametrize(('stage', 'name'), SAMPLE)
def test_a_fault_leaves_nothing_energised_and_is_told(bench, stage, name):
    (fault,) = (fault for fault in STATION[stage] if fault.name == name)
    row = run_case(bench, stage, fault, PATIENCE)
    assert row.unsafe == []
    assert row.outcome.voltage > 100.0


def test_the_matrix_has_every_kind_of_fault_in_every_stage():
    every = [case for part in PARTS for case in cases(part, STAGES)]
    assert len(every) >= 60
    assert {stage for stage, _ in every} == set(STAGES)
    for part in PARTS:
        for stage, faults in part.faults.items():
            names = [fault.name for fault in faults]
            assert len(set(names)) == len(names), stage
    for stage in ENERGISED:
        names = {fault.name for fault in STATION[stage]}
        assert names >= {
            f'{node} {what}' for what in ('killed', 'stopped')
            for node in ('safety', 'power', 'hlc', 'v2g_transport', 'plc_link')}
