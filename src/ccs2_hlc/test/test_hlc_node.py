"""The node `hlc` with a fake power stage, each in a process of its own; the test is transport."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

rclpy = pytest.importorskip('rclpy', reason='ROS 2 is not set up')

from ament_index_python.packages import PackageNotFoundError, get_package_prefix  # noqa: E402

try:
    get_package_prefix('ccs2_interfaces')
    get_package_prefix('ccs2_hlc')
except PackageNotFoundError:
    pytest.skip('workspace is not built', allow_module_level=True)

import hlc_bench as car  # noqa: E402
from builtin_interfaces.msg import Time  # noqa: E402
from diagnostic_msgs.msg import DiagnosticArray  # noqa: E402
from domain_coordinator import domain_id  # noqa: E402
from lifecycle_msgs.msg import Transition  # noqa: E402
from lifecycle_msgs.srv import ChangeState  # noqa: E402
from rclpy.executors import SingleThreadedExecutor  # noqa: E402

from ccs2_hlc import exi  # noqa: E402
from ccs2_hlc.exi.messages import din, sap  # noqa: E402
from ccs2_interfaces.msg import (  # noqa: E402
    ChargeCommand,
    ChargingSession,
    ElectricVehicle,
    V2GConnection,
    V2GRequest,
    V2GResponse,
    V2GTrace,
)
from ccs2_interfaces.srv import Authorize, Pause, SetLimits, Stop  # noqa: E402
from ccs2_node import EVENT, LATEST, STATE, STREAM  # noqa: E402

HERE = Path(__file__).parent
R = din.ResponseCode


class Graph:
    """Processes on a domain of their own; this one is transport, vehicle and operator."""

    def __init__(self, domain, parameters):
        self.environment = dict(
            os.environ, ROS_DOMAIN_ID=str(domain), ROS_PYTHON_CHECK_FIELDS='1')
        self.processes = []
        # This one waits for answers at times, and is silent meanwhile.
        arguments = [part for pair in ('transport_timeout:=1.5', *parameters)
                     for part in ('-p', pair)]
        self.hlc = self.run('-m', 'ccs2_hlc.hlc_node', '--ros-args', *arguments)
        self.parts = self.run(str(HERE / 'hlc_fake_parts.py'))
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=domain)
        self.node = rclpy.create_node('peer', context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.responses, self.traces, self.reports, self.commands = [], [], [], []
        self.session, self.vehicle = None, None
        for kind, topic, keep, qos in (
            (V2GResponse, 'v2g/response', self.responses.append, STREAM),
            (V2GTrace, 'v2g/trace', self.traces.append, STREAM),
            (DiagnosticArray, '/diagnostics', self.reports.append, EVENT),
            (ChargeCommand, 'charge_command', self.commands.append, LATEST),
            (ChargingSession, 'session', lambda message: setattr(self, 'session', message), STATE),
            (ElectricVehicle, 'ev', lambda message: setattr(self, 'vehicle', message), STATE),
        ):
            self.node.create_subscription(kind, topic, keep, qos)
        self.connections = self.node.create_publisher(V2GConnection, 'v2g/connection', STATE)
        self.requests = self.node.create_publisher(V2GRequest, 'v2g/request', STREAM)
        self.connection = V2GConnection(state=V2GConnection.STATE_DOWN)
        self.node.create_timer(0.3, self.renew)
        self.renewing = True
        self.sequence = 0
        self.session_id = bytes(8)

    def run(self, *arguments):
        self.processes.append(subprocess.Popen(
            [sys.executable, *arguments], env=self.environment, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
        return self.processes[-1]

    def wait(self, condition, seconds=20):
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f'did not happen in time, session {self.session}'
            self.executor.spin_once(timeout_sec=0.02)

    def call(self, kind, name, **fields):
        client = self.node.create_client(kind, name)
        self.wait(client.service_is_ready)
        future = client.call_async(kind.Request(**fields))
        self.wait(future.done)
        self.node.destroy_client(client)
        return future.result()

    def transition(self, number):
        return self.call(
            ChangeState, '/hlc/change_state', transition=Transition(id=number)).success

    def activate(self):
        assert self.transition(Transition.TRANSITION_CONFIGURE)
        assert self.transition(Transition.TRANSITION_ACTIVATE)
        self.wait(lambda: self.requests.get_subscription_count() and self.commands)
        station = '/hlc: station'.lstrip('/')
        self.wait(lambda: any(
            status.name == station and status.level == b'\0'
            for report in self.reports for status in report.status))

    def tell(self, line):
        self.parts.stdin.write(line + '\n')
        self.parts.stdin.flush()

    def renew(self):
        if self.renewing:
            self.connections.publish(self.connection)

    def open(self):
        self.connection = V2GConnection(
            state=V2GConnection.STATE_OPEN, connection_id=self.connection.connection_id + 1,
            link_since=Time(sec=1))
        self.sequence = 0
        self.renew()

    def send(self, data):
        self.sequence += 1
        before = len(self.responses)
        self.requests.publish(V2GRequest(
            connection_id=self.connection.connection_id, sequence=self.sequence,
            payload_type=0x8001, data=data))
        self.wait(lambda: len(self.responses) > before)
        response = self.responses[before]
        assert response.sequence in (self.sequence, 0)
        return response

    def negotiate(self):
        response = self.send(exi.encode(sap.SupportedAppProtocolReq(app_protocol=[
            sap.AppProtocol(
                protocol_namespace=car.DIN, version_number_major=2, version_number_minor=0,
                schema_id=1, priority=1)])))
        return exi.decode('sap', bytes(response.data))

    def ask(self, body):
        response = self.send(exi.encode(din.V2GMessage(
            header=din.MessageHeader(session_id=self.session_id), body=body)))
        answer = exi.decode('din', bytes(response.data))
        self.session_id = answer.header.session_id
        return answer.body

    def charge(self):
        """Bring a session into the charge loop."""
        self.open()
        self.negotiate()
        for request in (car.setup(), car.discovery(), car.selection()):
            assert self.ask(request).response_code.value.startswith('OK')
        assert self.ask(car.authentication()).evse_processing is din.EVSEProcessing.FINISHED
        self.ask(car.charge_parameters())
        self.tell('pilot C')
        self.wait(lambda: self.ask(
            car.cable_check()).evse_processing is din.EVSEProcessing.FINISHED)
        self.ask(car.pre_charge(380.0))
        self.wait(lambda: abs(
            float(self.ask(car.pre_charge(380.0)).evse_present_voltage) - 380.0) < 1.0)
        assert self.ask(car.power_delivery()).response_code is R.OK
        self.wait(lambda: float(
            self.ask(car.current_demand(60.0)).evse_present_current) == 60.0)

    @property
    def mode(self):
        return self.commands[-1].mode

    def end(self, number=signal.SIGINT):
        self.hlc.send_signal(number)
        output, _ = self.hlc.communicate(timeout=15)
        return self.hlc.returncode, output

    def close(self):
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            with contextlib.suppress(ValueError):
                process.communicate()
        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)


@pytest.fixture
def start():
    with domain_id() as domain:
        graphs = []

        def make(*parameters):
            graphs.append(Graph(domain, parameters))
            return graphs[-1]

        yield make
        for graph in graphs:
            graph.close()


def test_a_session_with_authorization_limits_traces_and_a_regular_end(start):
    graph = start('evse_id:=DE*ABC*E1', 'evse_id_din:=49*89*6360')
    refused = graph.call(Stop, '/hlc/stop')
    assert (refused.success, refused.message) == (False, 'hlc is not active')
    graph.activate()
    # Alive with nothing to energise.
    first = graph.commands[-1]
    assert (first.mode, first.lease.nanosec, first.pilot_oscillator) == (
        ChargeCommand.MODE_OFF, 200_000_000, True)
    assert not graph.call(Stop, '/hlc/stop').success
    assert not graph.call(SetLimits, '/hlc/set_limits', maximum_current=-1.0).success
    assert graph.call(
        SetLimits, '/hlc/set_limits', maximum_current=100.0, maximum_power=float('nan'),
        maximum_discharge_current=float('nan'), maximum_discharge_power=float('nan')).success
    assert graph.call(
        Authorize, '/hlc/authorize', authorized=True, reference='test', valid_for=60.0).success

    graph.charge()
    assert graph.mode == ChargeCommand.MODE_CHARGE
    command = graph.commands[-1]
    assert (command.target_current, command.maximum_current) == (60.0, 100.0)
    assert command.session_id == graph.session_id.hex()
    sequences = [command.sequence for command in graph.commands]
    assert sequences == sorted(sequences)
    assert len({command.publisher for command in graph.commands}) == 1
    assert not graph.call(Pause, '/hlc/pause').success
    graph.wait(lambda: graph.session.stage == ChargingSession.STAGE_CHARGING)
    assert graph.session.authorized
    assert graph.session.protocol == ChargingSession.PROTOCOL_DIN_70121
    graph.wait(lambda: graph.vehicle is not None and graph.vehicle.target_current == 60.0)
    assert graph.vehicle.state_of_charge == pytest.approx(0.4)

    assert graph.ask(car.power_delivery(False)).response_code is R.OK
    graph.tell('pilot B')
    assert graph.ask(car.session_stop()).response_code is R.OK
    last = graph.responses[-1]
    assert (last.action, last.data_link) == (
        V2GResponse.ACTION_SEND_THEN_CLOSE, V2GConnection.DATA_LINK_TERMINATE)
    graph.wait(lambda: graph.session.stage == ChargingSession.STAGE_FINISHED)
    graph.wait(lambda: graph.mode == ChargeCommand.MODE_OFF)
    graph.wait(lambda: not graph.commands[-1].pilot_oscillator)

    graph.wait(lambda: graph.traces[-1].message == 'SessionStopRes')
    trace = graph.traces[-1]
    assert (trace.schema, trace.response_code) == ('din', 'OK')
    assert json.loads(trace.json)['V2G_Message']['Body']['SessionStopRes'] == {
        'ResponseCode': 'OK'}
    assert 0.0 < trace.processing_time < 2.0
    assert bytes(trace.exi) == bytes(last.data)
    code, output = graph.end()
    assert code == 0
    assert 'finished' in output


def test_a_silent_transport_and_a_shutdown_end_power(start):
    graph = start('authorization:=automatic')
    graph.activate()
    graph.charge()
    graph.renewing = False
    graph.wait(lambda: graph.mode == ChargeCommand.MODE_OFF, 5)
    graph.wait(lambda: graph.session.stage == ChargingSession.STAGE_FAILED)
    assert graph.session.faults[0].code == 505
    graph.renewing = True
    graph.tell('pilot A')
    graph.connection = V2GConnection(
        state=V2GConnection.STATE_CLOSED, connection_id=graph.connection.connection_id)
    graph.renew()
    # The next vehicle charges without anybody's help.
    graph.tell('pilot B')
    graph.session_id = bytes(8)
    graph.charge()
    assert graph.transition(Transition.TRANSITION_DEACTIVATE)
    graph.wait(lambda: graph.mode == ChargeCommand.MODE_OFF, 5)
    graph.wait(lambda: graph.responses[-1].action == V2GResponse.ACTION_CLOSE)


def test_emergency_stop_and_silent_power_reach_the_vehicle(start):
    graph = start('authorization:=automatic')
    graph.activate()
    graph.charge()
    graph.tell('emergency')
    graph.wait(lambda: graph.mode == ChargeCommand.MODE_OFF, 5)
    command = graph.commands[-1]
    assert command.shutdown == ChargeCommand.SHUTDOWN_EMERGENCY
    answer = graph.ask(car.current_demand())
    assert answer.response_code is R.FAILED
    assert answer.dc_evse_status.evse_status_code is (
        din.DCEVSEStatusCode.EVSE_EMERGENCY_SHUTDOWN)
    graph.tell('silent power')
    graph.wait(lambda: any(
        'power silent' in status.message
        for report in graph.reports for status in report.status))


@pytest.mark.parametrize(('parameter', 'complaint'), [
    ('authorization:=maybe', "authorization is 'maybe'"),
    ('protocols:=[din70121, chademo]', "protocols contains 'chademo'"),
    ('evse_id_din:=DE*1', 'evse_id_din'),
])
def test_parameters_that_make_no_sense_are_refused(start, parameter, complaint):
    graph = start(parameter)
    assert not graph.transition(Transition.TRANSITION_CONFIGURE)
    code, output = graph.end()
    assert code == 0
    assert complaint in output
