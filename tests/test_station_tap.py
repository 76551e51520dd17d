"""A whole session with the car on another host: SLAC, SDP and TCP cross the virtual line by TAP."""

import socket
import subprocess
import time

import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not set up')

from domain_coordinator import domain_id

from ccs2_interfaces.action import Charge
from station.connector import Connector
from station.namespaces import arguments_of
from station.processes import StationError, StationProcesses

pytestmark = pytest.mark.xdist_group('sessions')


INTERFACE = 'ccs2_plc0'


def take_the_interface_away(connector):
    """Delete the station's TAP: the station is down, and back with another within 30 s."""
    begin = time.monotonic()
    subprocess.run(['ip', 'link', 'delete', INTERFACE], check=True)
    connector.wait(lambda: not connector.ready, 15, 'the loss is noticed')
    connector.wait_until_ready(30.0 - (time.monotonic() - begin))


def test_a_car_on_another_host_charges(tmp_path_factory):
    folder = tmp_path_factory.mktemp('t')  # a Unix socket's path has to be short
    tap = arguments_of('tap')
    try:
        link = tap.__enter__()
    except StationError as error:
        pytest.skip(str(error))
    try:
        with domain_id() as domain:
            processes = StationProcesses(
                arguments={'run_directory': folder / 'run', **link},
                environment={'ROS_DOMAIN_ID': str(domain), 'ROS_LOG_DIR': str(folder / 'log')},
                log=folder / 'station.log')
            try:
                with Connector(domain=domain) as connector:
                    connector.wait_until_ready()
                    interfaces = set()
                    connector.hooks.append(lambda topic, message: interfaces.add(
                        message.interface) if topic == 'link' else None)
                    charge = connector.charge(
                        protocol=Charge.Goal.PROTOCOL_DIN_70121, state_of_charge=0.5,
                        target_state_of_charge=0.9, maximum_duration=2.0)
                    connector.wait(charge.done, 120, 'the end of the charge')
                    result = charge.result().result
                    index = socket.if_nametoindex(INTERFACE)
                    take_the_interface_away(connector)
                    assert socket.if_nametoindex(INTERFACE) != index
            finally:
                code = processes.stop()
    finally:
        tap.__exit__(None, None, None)
    assert result.error_code == Charge.Result.NONE, result.error_msg
    assert interfaces - {''} == {INTERFACE}
    assert code == 0
