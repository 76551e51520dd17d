"""The node `plc_link` in a process of its own, with the real SPI driver on the virtual line."""

from __future__ import annotations

import asyncio
import base64
import os
import re
import signal
import subprocess
import sys

import pytest

rclpy = pytest.importorskip('rclpy', reason='ROS 2 is not set up')

import dpkt  # noqa: E402
from ament_index_python.packages import PackageNotFoundError, get_package_prefix  # noqa: E402

try:
    get_package_prefix('ccs2_interfaces')
except PackageNotFoundError:
    pytest.skip('workspace is not built', allow_module_level=True)

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus  # noqa: E402
from domain_coordinator import domain_id  # noqa: E402
from lifecycle_msgs.msg import Transition  # noqa: E402
from lifecycle_msgs.srv import ChangeState  # noqa: E402
from rcl_interfaces.msg import Log  # noqa: E402
from rcl_interfaces.srv import GetParameters, ListParameters  # noqa: E402
from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from rclpy.qos import QoSProfile  # noqa: E402

from ccs2_interfaces.msg import ControlPilot, Link, V2GConnection  # noqa: E402
from ccs2_interfaces.srv import Reset  # noqa: E402
from ccs2_link.homeplug.frame import decode  # noqa: E402
from ccs2_node import EVENT, STATE  # noqa: E402
from ccs2_sim.powerline.car_link import CarLink  # noqa: E402
from ccs2_sim.powerline.firmware import FirmwareConfig  # noqa: E402
from ccs2_sim.powerline.line import Path as LinePath  # noqa: E402
from ccs2_sim.powerline.server import LineServer  # noqa: E402

B, FIVE_PERCENT = ControlPilot.STATE_B, 0.05


class Graph:
    """The node, the line with a car, and one node that stands for everything else."""

    def __init__(self, domain, folder):
        self.loop = asyncio.get_running_loop()
        self.folder = folder
        self.server = LineServer(folder / 'line', seed=1)
        for number, name in enumerate(('station', 'car')):
            self.server.add(name, FirmwareConfig(
                bytes([0, 0xB0, 0x52, 0, 0, number]), station=name == 'station'))
        self.server.line.connect('station', 'car', LinePath())
        self.log = (folder / 'output').open('w+')
        parameters = {'driver': 'sim_qca7000', 'line': folder / 'line' / 'station',
                      'interface': 'lo', 'tap': 'false', 'mac': '02:00:00:00:00:01'}
        arguments = [part for name, value in parameters.items()
                     for part in ('-p', f'{name}:={value}')]
        environment = dict(
            os.environ, ROS_DOMAIN_ID=str(domain), ROS_PYTHON_CHECK_FIELDS='1',
            ROS_LOG_DIR=str(folder / 'log'), PYTHONUNBUFFERED='1')
        self.process = subprocess.Popen(
            [sys.executable, '-m', 'ccs2_link.plc_link_node', '--ros-args', '--log-level', 'debug',
             *arguments], env=environment, stdout=self.log, stderr=subprocess.STDOUT)
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=domain)
        self.node = rclpy.create_node('rest', context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.links, self.reports, self.logs = [], [], []
        self.node.create_subscription(Link, 'link', self.links.append, STATE)
        self.node.create_subscription(DiagnosticArray, '/diagnostics', self.reports.append, EVENT)
        self.node.create_subscription(Log, '/rosout', self.logs.append, QoSProfile(depth=100))
        self.pilot_publisher = self.node.create_publisher(ControlPilot, 'control_pilot', STATE)
        self.connection = self.node.create_publisher(V2GConnection, 'v2g/connection', STATE)
        self.pilot = (ControlPilot.STATE_A, 1.0)
        self.beat = self.node.create_timer(0.05, self.say_pilot)
        self.car = CarLink(
            str(folder / 'line' / 'car'), on_change=lambda status: None,
            on_switch=lambda ready: None, on_failure=self.fail)

    def fail(self, error):
        raise error

    def say_pilot(self):
        if self.pilot is not None:
            state, duty = self.pilot
            self.pilot_publisher.publish(ControlPilot(state=state, duty_cycle=duty))

    async def wait(self, condition, seconds=20.0):
        async with asyncio.timeout(seconds):
            while not condition():
                self.executor.spin_once(timeout_sec=0)
                await asyncio.sleep(0.005)

    async def spin(self, seconds):
        """Let the graph go on for a while in which nothing is expected."""
        end = self.loop.time() + seconds
        await self.wait(lambda: self.loop.time() >= end)

    async def call(self, kind, name, request):
        client = self.node.create_client(kind, name)
        await self.wait(client.service_is_ready)
        future = client.call_async(request)
        await self.wait(future.done)
        return future.result()

    async def transition(self, number):
        request = ChangeState.Request(transition=Transition(id=number))
        return (await self.call(ChangeState, 'plc_link/change_state', request)).success

    async def bring_up(self):
        assert await self.transition(Transition.TRANSITION_CONFIGURE)
        assert await self.transition(Transition.TRANSITION_ACTIVATE)
        await self.car.open()

    async def plug(self):
        self.pilot = (B, FIVE_PERCENT)
        self.car.pilot('B', digital=True)
        await self.wait(lambda: self.state == Link.STATE_MATCHED)

    async def unplug(self):
        self.pilot = (ControlPilot.STATE_A, 1.0)
        self.car.pilot('A', digital=False)
        await self.spin(0.3)
        await self.wait(lambda: self.state == Link.STATE_UNMATCHED)

    @property
    def link(self):
        return self.links[-1]

    @property
    def state(self):
        return self.links[-1].state if self.links else None

    def key(self):
        """Return what the modem took for a key: from the simulation, never from the node."""
        return self.server._ports['station'].firmware._network[1].reveal()

    def written(self):
        """Return everything that the node has written or published."""
        self.log.seek(0)
        texts = [self.log.read(), *map(str, self.links), *map(str, self.reports),
                 *map(str, self.logs)]
        texts += [file.read_text() for file in (self.folder / 'log').rglob('*') if file.is_file()]
        return '\n'.join(texts)

    async def close(self):
        await self.car.close()
        self.server.close()
        self.process.send_signal(signal.SIGTERM)
        code = await asyncio.to_thread(self.process.wait, 10)
        self.node.destroy_node()
        self.executor.shutdown()
        rclpy.shutdown(context=self.context)
        self.log.close()
        return code


def run(folder, scenario):
    async def whole(domain):
        graph = Graph(domain, folder)
        try:
            await scenario(graph)
        except BaseException:
            graph.process.kill()
            raise
        finally:
            code = await graph.close()
        assert code == 0

    # domain_id() cannot be left by an exception.
    error = None
    with domain_id() as domain:
        try:
            asyncio.run(whole(domain))
        except Exception as raised:
            error = raised
    if error is not None:
        raise error


@pytest.fixture
def short_path(tmp_path_factory):
    return tmp_path_factory.mktemp('n')  # a Unix socket's path has to be short


def test_the_link_on_the_graph(short_path):
    async def scenario(graph):
        await graph.bring_up()
        await graph.wait(lambda: graph.state == Link.STATE_UNMATCHED)
        graph.server.capture(short_path / 'line.pcap')
        await graph.plug()
        link = graph.link
        with (short_path / 'line.pcap').open('rb') as file:
            frames = [frame for _, frame in dpkt.pcap.Reader(file)]
        matched = frames[-1]
        assert decode(matched).message.nid == bytes(link.nid)
        assert decode(matched).destination == graph.car.modem.mac
        assert (short_path / 'line.pcap').stat().st_mode & 0o777 == 0o600
        assert link.interface == 'lo'
        assert bytes(link.peer_mac) == graph.car.modem.mac
        assert bytes(link.run_id) == graph.car.status.run_id
        assert bytes(link.nid) == graph.car.status.nid
        assert 20.0 < link.attenuation < 30.0
        assert len(link.attenuation_profile) == 58
        assert link.modem == 'SIM-QCA7005-1.1.0'
        assert (link.matches, link.failures, link.resets) == (1, 0, 0)
        seen = [message.state for message in graph.links]
        assert [a for a, b in zip(seen, [None, *seen], strict=False) if a != b][-2:] == [
            Link.STATE_MATCHING, Link.STATE_MATCHED]
        graph.reports.clear()
        await graph.wait(lambda: graph.reports)
        (status,) = graph.reports[-1].status
        values = {value.key: value.value for value in status.values}
        assert status.level == DiagnosticStatus.OK
        assert status.hardware_id == '00:b0:52:00:00:00'
        assert values['state'] == 'matched'
        assert values['network id'] == bytes(link.nid).hex()
        assert int(values['frames sent']) > 0

        # Noise is a lost link within 1.5 s, and the next match has another network.
        nid = bytes(link.nid)
        graph.server.noise(2.0)
        await graph.wait(lambda: graph.state != Link.STATE_MATCHED, 2.0)
        await graph.wait(lambda: graph.state == Link.STATE_MATCHED, 30.0)
        assert bytes(graph.link.nid) != nid

        # The upper layer ends it, once per connection; a transport that restarts counts anew.
        closed = V2GConnection(
            state=V2GConnection.STATE_CLOSED, connection_id=1,
            data_link=V2GConnection.DATA_LINK_TERMINATE)
        for _ in range(2):
            closed.link_since = graph.link.since
            graph.connection.publish(closed)
            await graph.wait(lambda: graph.state == Link.STATE_UNMATCHED, 3.0)
            await graph.unplug()
            await graph.plug()
            graph.connection.publish(closed)
            await graph.spin(0.5)
            assert graph.state == Link.STATE_MATCHED
        await graph.unplug()

        # A pilot that nobody measures any more is no vehicle.
        await graph.plug()
        graph.pilot = None
        await graph.wait(lambda: graph.state != Link.STATE_MATCHED, 2.0)

    run(short_path, scenario)


def test_reset_is_refused_while_energy_may_flow(short_path):
    async def scenario(graph):
        await graph.bring_up()
        await graph.plug()
        graph.pilot = (ControlPilot.STATE_C, FIVE_PERCENT)
        await graph.wait(lambda: (graph.links.clear() is None and False) or True)
        await asyncio.sleep(0.2)
        await graph.wait(lambda: graph.links)
        answer = await graph.call(Reset, 'plc_link/reset', Reset.Request())
        assert not answer.success
        assert 'energy may flow' in answer.message
        answer = await graph.call(Reset, 'plc_link/reset', Reset.Request(force=True))
        assert answer.success
        await graph.wait(lambda: graph.link.resets == 1)
        await graph.wait(lambda: graph.state == Link.STATE_MATCHED, 30.0)

    run(short_path, scenario)


def test_no_key_is_ever_written_or_published(short_path):
    async def scenario(graph):
        await graph.bring_up()
        keys = set()
        for _ in range(2):
            await graph.plug()
            keys.add(graph.key())
            await graph.unplug()
            await graph.spin(1.0)
            keys.add(graph.key())
        assert len(keys) >= 3
        names = (await graph.call(
            ListParameters, 'plc_link/list_parameters', ListParameters.Request())).result.names
        values = await graph.call(
            GetParameters, 'plc_link/get_parameters', GetParameters.Request(names=names))
        await graph.wait(lambda: len(graph.reports) > 2)
        written = graph.written() + str(values)
        assert 'one network with the vehicle' in written
        assert bytes(graph.links[0].nid).hex()
        digits = re.sub(r'[^0-9a-f]', '', written.lower())
        for key in keys:
            assert key.hex() not in digits
            for form in (repr(key)[2:-1], base64.b64encode(key).decode(),
                         ', '.join(map(str, key)), ','.join(map(str, key))):
                assert form not in written

    run(short_path, scenario)
