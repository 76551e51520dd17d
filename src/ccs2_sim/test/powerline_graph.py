"""The node `plc_link` in a process of its own on the virtual line, for the tests."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from domain_coordinator import domain_id
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.msg import Log
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile

from ccs2_interfaces.msg import ControlPilot, Link, V2GConnection
from ccs2_node import EVENT, STATE
from ccs2_sim.powerline.car_link import CarLink
from ccs2_sim.powerline.firmware import FirmwareConfig
from ccs2_sim.powerline.line import Path as LinePath
from ccs2_sim.powerline.server import LineServer

B, FIVE_PERCENT = ControlPilot.STATE_B, 0.05


class Graph:
    """The node, the line with a car, and one node that stands for everything else.

    `prefix` comes before the node's command, `parameters` are others than for the SPI driver on
    the virtual line.
    """

    def __init__(self, domain, folder, prefix=(), **parameters):
        self.loop = asyncio.get_running_loop()
        self.folder = folder
        self.server = LineServer(folder / 'line', seed=1)
        for number, name in enumerate(('station', 'car')):
            self.server.add(name, FirmwareConfig(
                bytes([0, 0xB0, 0x52, 0, 0, number]), station=name == 'station'))
        self.server.line.connect('station', 'car', LinePath())
        self.log = (folder / 'output').open('w+')
        parameters = {'driver': 'sim_qca7000', 'line': folder / 'line' / 'station',
                      'interface': 'lo', 'tap': 'false', 'mac': '02:00:00:00:00:01', **parameters}
        arguments = [part for name, value in parameters.items()
                     for part in ('-p', f'{name}:={value}')]
        environment = dict(
            os.environ, ROS_DOMAIN_ID=str(domain), ROS_PYTHON_CHECK_FIELDS='1',
            ROS_LOG_DIR=str(folder / 'log'), PYTHONUNBUFFERED='1')
        self.process = subprocess.Popen(
            [*prefix, sys.executable, '-m', 'ccs2_link.plc_link_node', '--ros-args', '--log-level',
             'debug', *arguments], env=environment, stdout=self.log, stderr=subprocess.STDOUT)
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


def run(folder, scenario, **kwargs):
    """Let a scenario play with a graph; the node has to end cleanly."""
    async def whole(domain):
        graph = Graph(domain, folder, **kwargs)
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
