"""The whole station, started for a test in a domain and on ports of its own."""

import os
import socket
from contextlib import contextmanager

import pytest

#: Tests that start a station for each case: minutes, so only where they are asked for, as in CI.
LONG = pytest.mark.skipif(
    'CCS2_LONG_TESTS' not in os.environ, reason='takes minutes; set CCS2_LONG_TESTS=1')


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
