"""The whole station for tests: its processes, an observer, and the plant's own record."""

import socket
from contextlib import contextmanager

import pytest


def free_udp_port():
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
        probe.bind(('::1', 0))
        return probe.getsockname()[1]


def private_ports(connectors):
    """Return the changes that give each connector an SDP port of its own on this machine."""
    for port in (15118, 15128, 15138, 15148)[:connectors]:
        free = free_udp_port()
        for name in ('v2g_transport.yaml', 'car.yaml'):
            yield name, f'sdp_port: {port}', f'sdp_port: {free}'


@contextmanager
def run_station(folder, connectors=1, speed=1.0, changes=(), **arguments):
    """Start the simulation in a domain of its own; yield processes, domain and run directory.

    `changes` are those of the parameter files, `arguments` more of the launch.
    """
    from domain_coordinator import domain_id

    from station.parameters import changed
    from station.processes import StationProcesses

    with domain_id() as domain:
        processes = StationProcesses(
            arguments={
                'connectors': connectors, 'speed': speed, 'run_directory': folder / 'run',
                'config': changed(folder / 'config', [*private_ports(connectors), *changes]),
                **arguments},
            environment={'ROS_DOMAIN_ID': str(domain), 'ROS_LOG_DIR': str(folder / 'log')},
            log=folder / 'station.log')
        try:
            yield processes, domain, folder / 'run'
        finally:
            processes.stop()


@pytest.fixture(scope='module')
def station(tmp_path_factory):
    """One running station with everything that watches it, shared by the tests of a file."""
    pytest.importorskip('rclpy', reason='ROS 2 is not set up')
    from plant_record import PlantRecord
    from station.connector import Connector

    # A Unix socket's path has to be short.
    folder = tmp_path_factory.mktemp('s')
    with run_station(folder) as (processes, domain, run), Connector(domain=domain) as connector:
        connector.wait_until_ready()
        with PlantRecord(run / 'connector_1.sock') as record:
            connector.processes, connector.record = processes, record
            yield connector
