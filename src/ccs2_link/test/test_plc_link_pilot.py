"""What SLAC is told of the control pilot."""

import struct

import pytest

from ccs2_interfaces.msg import ControlPilot
from ccs2_link.plc_link_node import pilot_of
from ccs2_link.slac.contract import Pilot, PilotState


@pytest.mark.parametrize(('duty', 'digital'), [
    (0.0, False), (0.0299, False), (0.03, True), (0.05, True), (0.07, True), (0.0701, False),
    (1.0, False), (float('nan'), False)])
def test_duty_ratios_of_three_to_seven_percent_are_digital(duty, digital):
    (carried,) = struct.unpack('f', struct.pack('f', duty))     # as the message carries it
    message = ControlPilot(state=ControlPilot.STATE_B, duty_cycle=carried, bcb_toggles=2)
    assert pilot_of(message) == Pilot(PilotState.B, digital, 2)
