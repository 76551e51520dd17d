"""The node `plc_link` in a process of its own, with the real SPI driver on the virtual line."""

from __future__ import annotations

import asyncio
import base64
import re
import sys
from pathlib import Path

import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not set up')

import dpkt
from ament_index_python.packages import PackageNotFoundError, get_package_prefix

try:
    get_package_prefix('ccs2_interfaces')
except PackageNotFoundError:
    pytest.skip('workspace is not built', allow_module_level=True)

sys.path.insert(0, str(Path(__file__).parent))

import powerline_graph
from diagnostic_msgs.msg import DiagnosticStatus
from rcl_interfaces.srv import GetParameters, ListParameters

from ccs2_interfaces.msg import ControlPilot, Link, V2GConnection
from ccs2_interfaces.srv import Reset
from ccs2_link.homeplug.frame import decode


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

        def reported():
            return {value.key: value.value for value in graph.reports[-1].status[0].values}

        # Those of the time before may still be on their way.
        await graph.wait(lambda: graph.reports and reported().get('state') == 'matched')
        (status,), values = graph.reports[-1].status, reported()
        assert status.level == DiagnosticStatus.OK
        assert status.hardware_id == '00:b0:52:00:00:00'
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

    powerline_graph.run(short_path, scenario)


def test_reset_is_refused_while_energy_may_flow(short_path):
    async def scenario(graph):
        await graph.bring_up()
        await graph.plug()
        graph.pilot = (ControlPilot.STATE_C, powerline_graph.FIVE_PERCENT)
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

    powerline_graph.run(short_path, scenario)


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

    powerline_graph.run(short_path, scenario)
