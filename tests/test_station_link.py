"""The data link is lost while energy flows: contactors open, the next match has another network."""

import time

import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not set up')

from ccs2_interfaces.action import Charge
from ccs2_interfaces.msg import Link
from plant_record import first

pytestmark = pytest.mark.xdist_group('station')

#: s from the loss as the station tells it to open contactors and no current.
LEASE = 0.5
MARGIN = 0.5
#: s from the end of the modem, or of the node, to the loss being told or noticed.
NOTICE = 2.5
NO_CURRENT = 1.0
GOAL = {'protocol': Charge.Goal.PROTOCOL_DIN_70121, 'state_of_charge': 0.3,
        'target_state_of_charge': 0.95}


@pytest.mark.parametrize('victim', ['power_line', 'plc_link'])
def test_a_lost_link_opens_the_contactors_and_changes_the_network(station, victim):
    record = station.record
    lost = []

    def note(topic, message):
        if topic == 'link' and message.state != Link.STATE_MATCHED:
            lost.append(time.monotonic())

    station.wait_until_ready()
    charge = station.charge(**GOAL)
    station.wait(lambda: record.now.closed and record.now.current > 50, 60, 'energy flows')
    network = bytes(station.latest['link'].nid)
    assert any(network)

    station.hooks.append(note)
    station.processes.kill(victim)
    killed = time.monotonic()
    station.wait(lambda: not record.now.closed and abs(record.now.current) < NO_CURRENT, 10,
                 'open contactors and no current')
    station.spin(1.0)
    station.hooks.remove(note)
    safe = first(record.since(killed),
                 lambda moment: not moment.closed and abs(moment.current) < NO_CURRENT)
    told = lost[0] if victim == 'power_line' else killed + NOTICE
    assert told <= killed + NOTICE
    assert safe <= told + LEASE + MARGIN, f'{safe - killed:.2f} s after the kill'
    station.wait(charge.done, 90, "the car's result")
    assert charge.result().result.error_code != Charge.Result.NONE

    # What is known of the link may be the last word of a node that is dead.
    station.latest.pop('link')
    station.wait(lambda: 'link' in station.latest, 60, 'a word of plc_link')
    station.wait_until_ready()
    again = station.charge(**{**GOAL, 'maximum_duration': 2.0})
    station.wait(lambda: station.latest['link'].state == Link.STATE_MATCHED, 60, 'a match')
    assert bytes(station.latest['link'].nid) != network
    station.wait(again.done, 120, 'the end of the next charge')
    assert again.result().result.error_code == Charge.Result.NONE, again.result().result.error_msg
