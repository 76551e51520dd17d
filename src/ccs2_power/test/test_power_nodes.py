"""`power` and `safety` in real processes on the simulated plant, with a fake hlc."""

import signal
from pathlib import Path

import pytest

rclpy = pytest.importorskip('rclpy', reason='ROS 2 is not set up')

from ament_index_python.packages import PackageNotFoundError, get_package_prefix  # noqa: E402

try:
    get_package_prefix('ccs2_interfaces')
except PackageNotFoundError:
    pytest.skip('workspace is not built', allow_module_level=True)
pytest.importorskip('ccs2_sim.hardware', reason='the simulated hardware is not installed')

from domain_coordinator import domain_id  # noqa: E402
from lifecycle_msgs.msg import Transition  # noqa: E402
from power_graph import PARAMETERS, Graph, Process  # noqa: E402

from ccs2_interfaces.msg import Fault, PowerStatus, SafetyStatus  # noqa: E402
from ccs2_interfaces.srv import ClearFaults, EmergencyStop  # noqa: E402
from ccs2_power.record import load_record  # noqa: E402


@pytest.fixture(scope='module')
def running(tmp_path_factory):
    with domain_id() as domain:
        graph = Graph(domain, tmp_path_factory.mktemp('graph'))
        try:
            yield graph.start()
        finally:
            graph.close()


@pytest.fixture
def graph(running):
    """The graph without a vehicle and without faults."""
    running.command(mode=0, session_id='', lock_connector=False)
    running.wait(running.everybody_hears_hlc)
    running.unplug()
    running.wait(lambda: not running.codes())
    return running


def test_a_session_and_the_services(graph):
    graph.plug_in()
    graph.charge()
    assert graph.safety.state == SafetyStatus.STATE_CLOSED
    assert graph.power.state == PowerStatus.STATE_CHARGING
    assert not graph.codes()
    graph.stop()
    graph.wait(lambda: graph.safe)
    graph.unplug()
    graph.wait(lambda: graph.safety.state == SafetyStatus.STATE_IDLE)
    assert graph.safety.contactor_cycles == 1
    assert graph.safety.contactor_cycles_under_load == 0

    answer = graph.call(
        EmergencyStop, '/safety/emergency_stop', EmergencyStop.Request(reason='test'))
    assert answer.success
    graph.wait(lambda: graph.safety.emergency_stop)
    assert Fault.EMERGENCY_STOP in graph.codes()

    # Neither the latched fault nor the wear is lost with the process.
    graph.wait(lambda: '601' in graph.record.read_text())
    graph.processes['safety'].end()
    graph.start_node('safety')
    graph.wait(lambda: graph.heard_now('safety') and graph.safety.emergency_stop)
    assert graph.safety.contactor_cycles == 1
    answer = graph.call(ClearFaults, '/safety/clear_faults', ClearFaults.Request())
    assert answer.success
    graph.wait(lambda: not graph.codes())

    # Deactivated: nothing is commanded; active again: as if new.
    assert graph.transition('safety', Transition.TRANSITION_DEACTIVATE)
    graph.wait(lambda: graph.plant()['pilot']['duty'] == 0.0)
    assert graph.transition('safety', Transition.TRANSITION_ACTIVATE)
    graph.wait(lambda: graph.safety.state == SafetyStatus.STATE_IDLE)
    assert graph.safety.contactor_cycles == 1


@pytest.mark.parametrize(('victim', 'code', 'limit'), [
    ('hlc', Fault.LEASE_EXPIRED, 1.5), ('power', Fault.POWER_SILENT, 1.0),
    ('safety', Fault.SAFETY_SILENT, 1.0)])
@pytest.mark.parametrize('how', [signal.SIGKILL, signal.SIGSTOP])
def test_nothing_stays_energised_without_a_peer(graph, victim, code, limit, how):
    graph.plug_in()
    graph.charge()
    graph.processes[victim].signal(how)
    graph.wait(lambda: graph.safe, limit)
    graph.serve(0.3)
    assert graph.safe
    assert code in {fault.code for status in (graph.power, graph.safety)
                    for fault in status.faults}
    if how is signal.SIGSTOP:
        # It runs on with all it remembers: that must not close anything again.
        graph.processes[victim].signal(signal.SIGCONT)
        for _ in range(10):
            graph.serve(0.1)
            assert graph.safe
    elif victim == 'hlc':
        graph.start_hlc()
    else:
        graph.start_node(victim)
    # Whatever happened, the next vehicle charges: see the fixture and the next test.


def test_a_restart_does_not_free_the_vehicle_of_a_fault(graph):
    graph.plug_in()
    graph.charge()
    graph.processes['hlc'].signal(signal.SIGKILL)
    graph.wait(lambda: all(Fault.LEASE_EXPIRED in {fault.code for fault in status.faults}
                           for status in (graph.power, graph.safety)))
    graph.start_hlc()
    graph.wait(lambda: graph.safe)
    # A fault is written beside the loop, a moment after it appeared.
    graph.wait(lambda: all(
        Fault.LEASE_EXPIRED in load_record(Path(graph.parameters[name]['state_file'])).held
        for name in ('power', 'safety')))
    for name in ('power', 'safety'):
        graph.processes[name].end()
        graph.start_node(name)
    graph.wait(lambda: all(
        (Fault.LEASE_EXPIRED, 'before restart') in {
            (fault.code, fault.source) for fault in status.faults}
        for status in (graph.power, graph.safety)))


def test_unplugging_under_power_opens_at_once(graph):
    graph.plug_in()
    graph.charge()
    graph.vehicle.set(load='B')
    graph.wait(lambda: graph.safe, 0.5)
    graph.wait(lambda: Fault.PILOT_LEFT_C in graph.codes())


def test_what_is_missing_is_named(tmp_path):
    with domain_id() as domain:
        wrong = {
            'power': PARAMETERS['power'] | {'supply_driver': 'no_such_supply'},
            'safety': {name: value for name, value in PARAMETERS['safety'].items()
                       if name != 'rated_voltage'},
        }
        graph = Graph(domain, tmp_path, wrong)
        try:
            for name, text in (('power', "no driver 'no_such_supply' is installed"),
                               ('safety', "parameter 'rated_voltage' is not set")):
                arguments = [part for key, value in wrong[name].items()
                             for part in ('-p', f'{key}:={value}')]
                graph.processes[name] = Process(
                    ['-m', f'ccs2_power.{name}_node', '--ros-args', *arguments],
                    graph.environment)
                assert not graph.transition(name, Transition.TRANSITION_CONFIGURE)
                graph.wait(lambda name=name, text=text: any(
                    text in line for line in graph.processes[name].lines))
        finally:
            graph.close()
