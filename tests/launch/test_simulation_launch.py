"""The simulation under ROS 2's own launch: all nodes come up, a car charges, all end cleanly."""

import os
import tempfile
import unittest
from pathlib import Path

import pytest

pytest.importorskip(
    'launch_testing', reason="ROS 2's own launch is not installed (it is not on PyPI)")
pytest.importorskip('launch_xml', reason="ROS 2's own launch_xml is not installed")
pytest.importorskip('launch_ros', reason="ROS 2's own launch_ros is not installed")

import launch_testing.actions
import launch_testing.asserts
import launch_testing.markers
from ament_index_python.packages import get_package_share_directory
from domain_coordinator import domain_id
from launch import LaunchDescription
from launch.actions import IncludeLaunchDescription
from launch_xml.launch_description_sources import XMLLaunchDescriptionSource

from ccs2_interfaces.action import Charge
from station.connector import Connector

LAUNCH_FILE = Path(get_package_share_directory('ccs2_bringup'), 'launch/simulation.launch.xml')


@pytest.mark.launch_test
@launch_testing.markers.keep_alive
def generate_test_description():
    # Held until the process ends: launch_testing runs all of this file in one.
    generate_test_description.domain = domain_id()
    os.environ['ROS_DOMAIN_ID'] = str(generate_test_description.domain.__enter__())
    return LaunchDescription([
        IncludeLaunchDescription(
            XMLLaunchDescriptionSource(str(LAUNCH_FILE)),
            launch_arguments={'run_directory': tempfile.mkdtemp(), 'speed': '600.0'}.items()),
        launch_testing.actions.ReadyToTest(),
    ])


class TestCharge(unittest.TestCase):

    def test_a_car_charges(self):
        with Connector(domain=int(os.environ['ROS_DOMAIN_ID'])) as connector:
            connector.wait_until_ready()
            result = connector.charge(
                protocol=Charge.Goal.PROTOCOL_DIN_70121, state_of_charge=0.5,
                target_state_of_charge=0.55)
            connector.wait(result.done, 120, 'the end of the charge')
        answer = result.result().result
        assert answer.error_code == Charge.Result.NONE, answer.error_msg
        assert answer.state_of_charge > 0.54


@launch_testing.post_shutdown_test()
class TestEnd(unittest.TestCase):

    def test_all_processes_end_cleanly(self, proc_info):
        launch_testing.asserts.assertExitCodes(proc_info)
        generate_test_description.domain.__exit__(None, None, None)
