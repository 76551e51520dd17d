"""The lifecycle manager and two nodes in processes of their own."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

rclpy = pytest.importorskip('rclpy', reason='ROS 2 is not set up')

from diagnostic_msgs.msg import DiagnosticArray  # noqa: E402
from domain_coordinator import domain_id  # noqa: E402
from lifecycle_msgs.msg import Transition  # noqa: E402
from lifecycle_msgs.srv import ChangeState  # noqa: E402
from rclpy.executors import SingleThreadedExecutor  # noqa: E402

from ccs2_node.qos import EVENT  # noqa: E402

PEER = textwrap.dedent("""
    import sys
    from ccs2_node import ManagedNode, run
    sys.exit(run(lambda: ManagedNode(sys.argv[1])))
""")
MANAGER = 'from ccs2_node.lifecycle_manager import main; main()'


class Bench:
    """Processes of one namespace, and what the manager reports."""

    def __init__(self, domain):
        self.environment = dict(os.environ, ROS_DOMAIN_ID=str(domain))
        self.processes = {}
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=domain)
        self.node = rclpy.create_node('bench', context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.reports = []
        self.node.create_subscription(DiagnosticArray, '/diagnostics', self.on_report, EVENT)

    def on_report(self, message):
        self.reports += [status for status in message.status if 'lifecycle_manager' in status.name]

    def start(self, name, program, *arguments):
        self.processes[name] = subprocess.Popen(
            [sys.executable, '-c', program, *arguments, '--ros-args', '-r', '__ns:=/connector_1',
             *(('-p', 'nodes:=[first,second]') if program is MANAGER else ())],
            env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def wait_for(self, text, seconds=30, until=lambda values: True):
        """Wait for a new report of the manager that contains a text; return its values."""
        self.reports.clear()
        deadline = time.monotonic() + seconds
        while True:
            for report in self.reports:
                values = {value.key: value.value for value in report.values}
                if text in report.message and until(values):
                    return values
            assert time.monotonic() < deadline, [report.message for report in self.reports]
            self.executor.spin_once(timeout_sec=0.05)

    def change(self, name, number):
        client = self.node.create_client(ChangeState, f'/connector_1/{name}/change_state')
        assert client.wait_for_service(10)
        future = client.call_async(ChangeState.Request(transition=Transition(id=number)))
        deadline = time.monotonic() + 10
        while not future.done():
            assert time.monotonic() < deadline
            self.executor.spin_once(timeout_sec=0.05)
        return future.result().success

    def end(self, name):
        process = self.processes.pop(name)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=15)
        return process.returncode, output

    def close(self):
        for process in self.processes.values():
            process.kill()
            process.communicate()
        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)


@pytest.fixture
def bench():
    with domain_id() as domain:
        bench = Bench(domain)
        yield bench
        bench.close()


def test_nodes_come_up_survive_a_kill_and_go_down(bench):
    bench.start('manager', MANAGER)
    bench.start('first', PEER, 'first')
    bench.wait_for('looking for the nodes')
    bench.start('second', PEER, 'second')
    assert bench.wait_for('all nodes are active')['second'] == 'active'

    # Killed and started again: all go down and come back up.
    bench.processes.pop('second').kill()
    bench.wait_for('second is not answering, not active')
    bench.start('second', PEER, 'second')
    states = bench.wait_for('all nodes are active')
    assert states['last taken down because'].startswith('second is not answering')

    # A manager that was killed finds the station working, and leaves it alone.
    bench.processes.pop('manager').kill()
    bench.start('manager', MANAGER)
    assert bench.wait_for('all nodes are active')['last taken down because'] == 'never'

    # Deactivated, the manager takes its nodes down.
    assert bench.change('lifecycle_manager', Transition.TRANSITION_DEACTIVATE)
    bench.wait_for('nodes are taken down', until=lambda states: (
        states['first'] == states['second'] == 'unconfigured'))
    assert bench.change('lifecycle_manager', Transition.TRANSITION_ACTIVATE)
    bench.wait_for('all nodes are active')
    # Told to end, it takes them down first.
    assert bench.end('manager')[0] == 0
    assert bench.change('first', Transition.TRANSITION_CONFIGURE)
    for name in ('first', 'second'):
        assert bench.end(name)[0] == 0


def test_an_unusable_list_of_nodes_ends_the_manager(bench):
    process = subprocess.run(
        [sys.executable, '-c', MANAGER, '--ros-args', '-p', 'nodes:=[first,first]'],
        env=bench.environment, capture_output=True, text=True, timeout=30)
    assert process.returncode == 1
    assert 'each once' in process.stderr
