"""The `car` and `plant` nodes in processes of their own."""

import asyncio
import os
import signal
import subprocess
import sys
import threading

import pytest

rclpy = pytest.importorskip('rclpy', reason='ROS 2 is not set up')

from ament_index_python.packages import PackageNotFoundError, get_package_prefix  # noqa: E402

try:
    get_package_prefix('ccs2_interfaces')
except (PackageNotFoundError, OSError):
    pytest.skip('workspace is not built', allow_module_level=True)

from domain_coordinator import domain_id  # noqa: E402
from lifecycle_msgs.msg import Transition  # noqa: E402
from lifecycle_msgs.srv import ChangeState  # noqa: E402
from rclpy.action import ActionClient  # noqa: E402
from rclpy.executors import SingleThreadedExecutor  # noqa: E402

from ccs2_interfaces.action import Charge  # noqa: E402
from ccs2_sim import plant_fault  # noqa: E402
from ccs2_sim.plant.client import PlantClient  # noqa: E402

PATIENCE = 20.0


class Nodes:
    """Car and plant as processes, and a client of the car's action."""

    def __init__(self, domain, socket, sdp_port, *parameters):
        self.socket = str(socket)
        self.environment = dict(
            os.environ, ROS_DOMAIN_ID=str(domain), ROS_PYTHON_CHECK_FIELDS='1',
            CCS2_PLANT_SOCKET=self.socket)
        self.plant = self.start('plant_node', 'battery.time_factor:=60.0')
        self.car = self.start(
            'car_node', f'sdp_port:={sdp_port}', 'loop_period:=0.02', *parameters)
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=domain)
        self.node = rclpy.create_node('driver', context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.client = ActionClient(self.node, Charge, '/car/charge')
        self.state = self.node.create_client(ChangeState, '/car/change_state')
        self.feedback = []
        self.thread = threading.Thread(target=self.executor.spin, daemon=True)
        self.thread.start()

    def start(self, module, *parameters):
        arguments = [part for pair in parameters for part in ('-p', pair)]
        return subprocess.Popen(
            [sys.executable, '-c', f'from ccs2_sim.{module} import main; main()',
             '--ros-args', *arguments], env=self.environment)

    async def until(self, condition, what):
        async with asyncio.timeout(PATIENCE):
            while not (found := condition()):  # noqa: ASYNC110 - rclpy runs in a thread
                await asyncio.sleep(0.02)
        return found

    async def done(self, future, what='answer'):
        await self.until(future.done, what)
        return future.result()

    async def change(self, transition):
        await self.until(self.state.service_is_ready, 'change_state')
        request = ChangeState.Request(transition=Transition(id=transition))
        return (await self.done(self.state.call_async(request))).success

    async def activate(self):
        assert await self.change(Transition.TRANSITION_CONFIGURE)
        assert await self.change(Transition.TRANSITION_ACTIVATE)
        await self.until(self.client.server_is_ready, 'action')

    async def goal(self, **fields):
        fields = {'state_of_charge': 0.4, 'target_state_of_charge': 0.9, **fields}
        return await self.done(self.client.send_goal_async(
            Charge.Goal(**fields), feedback_callback=lambda message: self.feedback.append(
                message.feedback)))

    def world(self):
        return plant_fault.control(self.socket, {})['state']

    def close(self):
        alive = [process for process in (self.car, self.plant) if process.poll() is None]
        for process in alive:
            process.send_signal(signal.SIGTERM)
        codes = {process.wait(PATIENCE) for process in alive}
        self.executor.shutdown()
        self.thread.join(PATIENCE)
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)
        return codes


@pytest.fixture
async def nodes(request, tmp_path, powered_station, station_on_sockets):
    socket = tmp_path / 'plant.sock'
    script = powered_station(str(socket))
    server = station_on_sockets(script)
    await server.open()
    with domain_id() as domain:
        made = Nodes(domain, socket, server.sdp_port, *getattr(request, 'param', ()))
        made.station = script
        try:
            await made.until(socket.exists, 'plant')
            async with script:
                yield made
        finally:
            codes = made.close()
            await server.close()
    assert codes == {0}


async def test_charge_by_the_action(nodes):
    await nodes.until(nodes.client.server_is_ready, 'action')
    refused = await nodes.goal()
    assert not refused.accepted  # not active yet
    await nodes.activate()
    for bad in ({'misbehaviour': 'rude'}, {'protocol': Charge.Goal.PROTOCOL_ISO_15118_20_DC + 1},
                {'state_of_charge': 1.5}):
        assert not (await nodes.goal(**bad)).accepted
    handle = await nodes.goal(protocol=Charge.Goal.PROTOCOL_DIN_70121, maximum_duration=1.0)
    assert handle.accepted
    assert not (await nodes.goal()).accepted  # one at a time
    result = (await nodes.done(handle.get_result_async())).result
    assert result.error_code == Charge.Result.NONE, result.error_msg
    assert result.energy > 1000
    assert result.loops > 5
    assert 0.4 < result.state_of_charge < 0.9
    assert {'SDP', 'CurrentDemand'} <= {each.stage for each in nodes.feedback}
    assert max(each.current for each in nodes.feedback) > 20
    assert not nodes.world()['vehicle']['plugged']


async def test_another_car_at_the_connector_is_no_obstacle(nodes):
    other = PlantClient('vehicle')
    await other.open(nodes.socket)
    await nodes.activate()
    await other.close()
    handle = await nodes.goal(maximum_duration=0.5)
    result = (await nodes.done(handle.get_result_async())).result
    assert result.error_code == Charge.Result.NONE, result.error_msg


async def test_cancel_and_misbehaviour(nodes):
    await nodes.activate()
    handle = await nodes.goal()
    await nodes.until(lambda: nodes.station.counts['CurrentDemand'] > 3, 'charging')
    await nodes.done(handle.cancel_goal_async())
    result = (await nodes.done(handle.get_result_async())).result
    assert result.error_code == Charge.Result.CANCELED
    assert nodes.station.names()[-1] == 'SessionStopReq'
    handle = await nodes.goal(misbehaviour='drop_link')
    result = (await nodes.done(handle.get_result_async())).result
    assert result.error_code == Charge.Result.CONNECTION


@pytest.mark.parametrize('nodes', [('autostart:=true', 'maximum_duration:=60.0')], indirect=True)
async def test_autostart_deactivation_and_kill(nodes):
    await nodes.activate()
    await nodes.until(lambda: nodes.station.counts['CurrentDemand'] > 3, 'charging')
    assert nodes.world()['vehicle']['contactors']
    assert await nodes.change(Transition.TRANSITION_DEACTIVATE)
    await nodes.until(lambda: not nodes.world()['vehicle']['contactors'], 'open contactors')
    nodes.station.counts.clear()
    assert await nodes.change(Transition.TRANSITION_ACTIVATE)
    await nodes.until(lambda: nodes.station.counts['CurrentDemand'] > 3, 'charging again')
    # The process dies: the plant opens its contactors, the plug stays in.
    nodes.car.kill()
    nodes.car.wait()
    await nodes.until(lambda: not nodes.world()['vehicle']['contactors'], 'open contactors')
    assert nodes.world()['vehicle']['plugged']
