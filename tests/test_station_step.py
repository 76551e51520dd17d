"""A car that sleeps through its first matching is woken by a step of the pilot.

Then it proves by toggles that it hangs on this cable, is matched, and charges.
"""

import itertools
import time

import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not set up')

from station_run import run_station

from ccs2_interfaces.action import Charge
from ccs2_interfaces.msg import ControlPilot, Link
from plant_record import PlantRecord
from station.connector import Connector

pytestmark = pytest.mark.xdist_group('station')

TOGGLES = 2
CHANGES = (
    ('plc_link.yaml', 'tap: false', 'tap: false\n    init_timeout: 10.0'),
    ('car.yaml', 'power_line: true',
     f'power_line: true\n    asleep: true\n    validation: {TOGGLES}'),
)
STEP = [0.05, 1.0, 0.0, 1.0, 0.05]


def test_a_sleeping_car_is_matched_after_a_step_of_the_pilot(tmp_path_factory):
    folder = tmp_path_factory.mktemp('e')  # a Unix socket's path has to be short
    pilots, links, toggles = [], [], []

    def note(topic, message):
        if topic == 'control_pilot':
            pilots.append((time.monotonic(), message.state, round(message.duty_cycle, 2)))
            toggles.append(message.bcb_toggles)
        elif topic == 'link':
            links.append((message.state, message.pilot_wish))

    with run_station(folder, changes=CHANGES) as (_, domain, run), Connector(
            domain=domain) as connector:
        connector.wait_until_ready()
        connector.hooks.append(note)
        with PlantRecord(run / 'connector_1.sock') as plant:
            charge = connector.charge(
                protocol=Charge.Goal.PROTOCOL_DIN_70121, state_of_charge=0.5,
                target_state_of_charge=0.9, maximum_duration=2.0)
            connector.wait(
                lambda: links and links[-1][0] == Link.STATE_MATCHED, 60, 'a match')
            asleep = plant.since(0.0)
            assert toggles[-1] == TOGGLES
            connector.wait(charge.done, 60, 'the end of the charge')
    result = charge.result().result
    assert result.error_code == Charge.Result.NONE, result.error_msg

    # The state follows the duty cycle a few beats later.
    seen = [(duty, next(moments)[0]) for duty, moments in itertools.groupby(
        pilots, lambda moment: moment[2])]
    duties = [duty for duty, _ in seen]
    begin = next(index for index in range(len(duties)) if duties[index:index + 5] == STEP)
    asked, high, low, rest, again = (moment for _, moment in seen[begin:begin + 5])
    assert high - asked > 9.0
    assert low - high > 2.9
    assert 3.9 < rest - low < 8.0
    assert again - rest > 2.9
    assert ControlPilot.STATE_F in {state for _, state, _ in pilots}
    wishes = [wish for wish, _ in itertools.groupby(wish for _, wish in links)]
    assert wishes == [Link.PILOT_WISH_NONE, Link.PILOT_WISH_STEP, Link.PILOT_WISH_NONE]
    assert not any(moment.closed for moment in asleep)
