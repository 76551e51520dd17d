"""A node's life cycle, messages, services, failures and exit, in real processes."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

rclpy = pytest.importorskip('rclpy', reason='ROS 2 is not set up')

from ament_index_python.packages import PackageNotFoundError, get_package_prefix  # noqa: E402

try:
    get_package_prefix('ccs2_interfaces')
except (PackageNotFoundError, OSError):
    pytest.skip('workspace is not built', allow_module_level=True)

from diagnostic_msgs.msg import DiagnosticArray  # noqa: E402
from domain_coordinator import domain_id  # noqa: E402
from lifecycle_msgs.msg import Transition  # noqa: E402
from lifecycle_msgs.srv import ChangeState  # noqa: E402
from rclpy.executors import SingleThreadedExecutor  # noqa: E402

from ccs2_interfaces.msg import ControlPilot, Link  # noqa: E402
from ccs2_interfaces.srv import Reset  # noqa: E402
from ccs2_node.qos import EVENT, STATE  # noqa: E402

PROGRAM = textwrap.dedent("""
    import sys
    from ccs2_interfaces.msg import ControlPilot, Link
    from ccs2_interfaces.srv import Reset
    from ccs2_node import STATE, ConfigureError, Level, ManagedNode, Status, run

    class Echo(ManagedNode):
        def __init__(self):
            super().__init__('echo')
            self.parameter('interface', str, 'Network interface without a default.')
            self.parameter('limit', 1.0, 'A limit in A.', minimum=0.0, maximum=2.0)
            self.out = self.publisher(Link, 'link', STATE)
            self.subscribe(ControlPilot, 'control_pilot', self.on_pilot, STATE)
            self.serve(Reset, '~/reset', self.on_reset)

        async def configure(self):
            self.interface = self.value('interface')
            if self.interface == 'bad':
                raise RuntimeError('boom')

        async def deactivate(self):
            self.get_logger().info('SAFE STATE')

        def on_pilot(self, message):
            if message.state == ControlPilot.STATE_E:
                self.loop.call_later(0.0, self.late)
            if message.state == ControlPilot.STATE_F:
                raise ValueError('pilot F is too much')
            self.out.publish(Link(interface=self.interface, run_id=[message.state] * 8))

        def late(self):
            raise ValueError('a timer failed')

        async def on_reset(self, request, response):
            response.success = True
            return response

        def diagnose(self):
            return [Status('part', Level.OK, 'fine', {'voltage [V]': 1.5}, 'serial 1')]

    sys.exit(run(Echo))
""")


class Harness:
    """The node under test in a process of its own, and a peer in this one."""

    def __init__(self, domain, parameters):
        environment = dict(os.environ, ROS_DOMAIN_ID=str(domain), ROS_PYTHON_CHECK_FIELDS='1')
        arguments = [part for pair in parameters for part in ('-p', pair)]
        self.process = subprocess.Popen(
            [sys.executable, '-c', PROGRAM, '--ros-args', *arguments], env=environment,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=domain)
        self.node = rclpy.create_node('peer', context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)

    def wait(self, condition, seconds=20):
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, 'did not happen in time'
            self.executor.spin_once(timeout_sec=0.05)

    def call(self, kind, name, request):
        client = self.node.create_client(kind, name)
        self.wait(client.service_is_ready)
        future = client.call_async(request)
        self.wait(future.done)
        self.node.destroy_client(client)
        return future.result()

    def transition(self, number):
        request = ChangeState.Request(transition=Transition(id=number))
        return self.call(ChangeState, '/echo/change_state', request).success

    def end(self, number=signal.SIGINT):
        if self.process.poll() is None:
            self.process.send_signal(number)
        output, _ = self.process.communicate(timeout=15)
        return self.process.returncode, output

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()
        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)


@pytest.fixture
def start():
    with domain_id() as domain:
        harnesses = []

        def make(*parameters):
            harnesses.append(Harness(domain, parameters))
            return harnesses[-1]

        yield make
        for harness in harnesses:
            harness.close()


def test_messages_services_and_diagnostics_follow_the_life_cycle(start):
    echo = start('interface:=plc0')
    links, reports = [], []
    echo.node.create_subscription(Link, '/link', links.append, STATE)
    echo.node.create_subscription(DiagnosticArray, '/diagnostics', reports.append, EVENT)
    pilot = echo.node.create_publisher(ControlPilot, '/control_pilot', STATE)

    refused = echo.call(Reset, '/echo/reset', Reset.Request())
    assert (refused.success, refused.message) == (False, 'echo is not active')

    # Not allowed from unconfigured: refused, and the node lives on.
    assert not echo.transition(Transition.TRANSITION_ACTIVATE)
    assert echo.transition(Transition.TRANSITION_CONFIGURE)
    assert echo.transition(Transition.TRANSITION_ACTIVATE)
    pilot.publish(ControlPilot(state=ControlPilot.STATE_C))
    echo.wait(lambda: links)
    assert links[0].interface == 'plc0'
    assert echo.call(Reset, '/echo/reset', Reset.Request()).success

    echo.wait(lambda: reports)
    status = reports[0].status[0]
    assert (status.name, status.hardware_id, status.message) == ('echo: part', 'serial 1', 'fine')
    assert (status.values[0].key, status.values[0].value) == ('voltage [V]', '1.5')

    code, output = echo.end()
    assert code == 0
    assert 'SAFE STATE' in output


def test_a_missing_parameter_fails_configure_and_is_named(start):
    echo = start()
    assert not echo.transition(Transition.TRANSITION_CONFIGURE)
    code, output = echo.end(signal.SIGTERM)
    assert code == 0
    assert "parameter 'interface' is not set" in output


def test_a_misspelt_parameter_fails_configure_and_is_named(start):
    echo = start('interface:=plc0', 'limmit:=1.5')
    assert not echo.transition(Transition.TRANSITION_CONFIGURE)
    code, output = echo.end()
    assert code == 0
    assert "no parameter 'limmit'" in output


def test_an_exception_in_a_transition_is_logged_and_survived(start):
    echo = start('interface:=bad')
    assert not echo.transition(Transition.TRANSITION_CONFIGURE)
    code, output = echo.end()
    assert code == 0
    assert 'boom' in output


@pytest.mark.parametrize(('state', 'reason'), [
    (ControlPilot.STATE_F, 'pilot F is too much'), (ControlPilot.STATE_E, 'a timer failed')])
def test_an_exception_in_a_callback_reaches_the_safe_state_and_ends_the_process(
    start, state, reason,
):
    echo = start('interface:=plc0')
    assert echo.transition(Transition.TRANSITION_CONFIGURE)
    assert echo.transition(Transition.TRANSITION_ACTIVATE)
    pilot = echo.node.create_publisher(ControlPilot, '/control_pilot', STATE)
    pilot.publish(ControlPilot(state=state))
    echo.wait(lambda: echo.process.poll() is not None)
    code, output = echo.end()
    assert code == 1
    assert reason in output
    assert 'SAFE STATE' in output
