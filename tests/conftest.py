"""The whole station for tests: its processes, an observer, and the plant's own record."""

import shutil
import socket
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def free_udp_port():
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
        probe.bind(('::1', 0))
        return probe.getsockname()[1]


def private_config(folder, connectors=1):
    """Copy the simulation's parameter files; each connector gets an SDP port of its own."""
    shutil.copytree(ROOT / 'launch/config/simulation', folder)
    for number, port in enumerate((15118, 15128, 15138, 15148)[:connectors], 1):
        free = free_udp_port()
        for name in ('v2g_transport.yaml', 'car.yaml'):
            file = folder / name
            text = file.read_text()
            assert f'sdp_port: {port}' in text, (name, number)
            file.write_text(text.replace(f'sdp_port: {port}', f'sdp_port: {free}'))
    return folder


@contextmanager
def run_station(folder, connectors=1, speed=1.0):
    """Start the simulation in a domain of its own; yield processes, domain and run directory."""
    from domain_coordinator import domain_id

    from station.processes import StationProcesses

    with domain_id() as domain:
        processes = StationProcesses(
            arguments={
                'connectors': connectors, 'speed': speed, 'run_directory': folder / 'run',
                'config': private_config(folder / 'config', connectors)},
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
