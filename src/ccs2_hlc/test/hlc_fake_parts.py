"""A program for tests: power stage, safety supervisor and pilot that do what `hlc` commands.

Lines on standard input change the world: `pilot C`, `emergency`, `silent power`, `silent safety`.
"""

import contextlib
import math
import sys
import threading

import rclpy
from rclpy.node import Node

from ccs2_interfaces.msg import ChargeCommand, ControlPilot, PowerStatus, SafetyStatus
from ccs2_node import LATEST, STATE, TELEMETRY

PERIOD = 0.02
CLOSED = (ChargeCommand.MODE_CABLE_CHECK, ChargeCommand.MODE_PRE_CHARGE, ChargeCommand.MODE_CHARGE)


class Parts(Node):
    def __init__(self):
        super().__init__('parts')
        self.command = ChargeCommand()
        self.pilot = ControlPilot.STATE_B
        self.emergency = False
        self.silent = set()
        self.checked = 0
        self.create_subscription(ChargeCommand, 'charge_command', self.obey, LATEST)
        self.power = self.create_publisher(PowerStatus, 'power/status', TELEMETRY)
        self.safety = self.create_publisher(SafetyStatus, 'safety/status', TELEMETRY)
        self.control_pilot = self.create_publisher(ControlPilot, 'control_pilot', STATE)
        self.create_timer(PERIOD, self.report)

    def obey(self, command):
        self.command = command

    def report(self):
        stamp = self.get_clock().now().to_msg()
        mode = self.command.mode
        closed = mode in CLOSED and self.pilot == ControlPilot.STATE_C and not self.emergency
        self.checked = self.checked + 1 if mode == ChargeCommand.MODE_CABLE_CHECK else (
            0 if mode == ChargeCommand.MODE_OFF else self.checked)
        voltage = current = 0.0
        if closed and not math.isnan(self.command.target_voltage):
            voltage = self.command.target_voltage
        if closed and not math.isnan(self.command.target_current):
            current = self.command.target_current
        power = PowerStatus(
            state=PowerStatus.STATE_OFF, session_id=self.command.session_id, voltage=voltage,
            current=current, minimum_voltage=150.0, maximum_voltage=1000.0, minimum_current=0.0,
            maximum_current=200.0, maximum_power=60000.0, maximum_discharge_current=100.0,
            maximum_discharge_power=30000.0, peak_current_ripple=1.0,
            current_regulation_tolerance=2.0, cable_check=(
                PowerStatus.CABLE_CHECK_NOT_DONE if not self.checked
                else PowerStatus.CABLE_CHECK_RUNNING if self.checked < 10
                else PowerStatus.CABLE_CHECK_VALID))
        safety = SafetyStatus(
            contactors_closed=closed, contactors_open=not closed, permitted=True,
            emergency_stop=self.emergency)
        pilot = ControlPilot(state=self.pilot)
        for name, publisher, message in (
            ('power', self.power, power), ('safety', self.safety, safety),
            ('pilot', self.control_pilot, pilot),
        ):
            message.header.stamp = stamp
            if name not in self.silent:
                publisher.publish(message)

    def hear(self):
        for line in sys.stdin:
            word, _, rest = line.strip().partition(' ')
            if word == 'pilot':
                self.pilot = getattr(ControlPilot, f'STATE_{rest}')
            elif word == 'emergency':
                self.emergency = True
            elif word == 'silent':
                self.silent = self.silent | {rest}


if __name__ == '__main__':
    rclpy.init()
    parts = Parts()
    threading.Thread(target=parts.hear, daemon=True).start()
    with contextlib.suppress(KeyboardInterrupt):
        rclpy.spin(parts)
