"""A running station that the tests of a file share."""

import pytest
from station_run import run_station


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


@pytest.fixture(scope='session')
def pki(tmp_path_factory):
    """The folder of a laboratory and of a store that trusts it."""
    pytest.importorskip('rclpy', reason='ROS 2 is not set up')
    from station import laboratory

    folder = tmp_path_factory.mktemp('pki')
    laboratory.make(folder)
    return folder
