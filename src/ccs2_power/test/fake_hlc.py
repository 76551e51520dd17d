"""A program that sends charge_command every 100 ms; standard input says what, one JSON a line."""

import json
import math
import random
import sys
import threading

import rclpy
from builtin_interfaces.msg import Duration

from ccs2_interfaces.msg import ChargeCommand
from ccs2_node import LATEST


def main():
    rclpy.init()
    node = rclpy.create_node('fake_hlc')
    publisher = node.create_publisher(ChargeCommand, 'charge_command', LATEST)
    command = ChargeCommand(
        publisher=random.getrandbits(64), lease=Duration(nanosec=500_000_000),
        pilot_oscillator=True)
    for name, kind in ChargeCommand.get_fields_and_field_types().items():
        if kind == 'float':
            setattr(command, name, math.nan)
    lock = threading.Lock()

    def send():
        with lock:
            command.sequence += 1
            publisher.publish(command)

    def listen():
        for line in sys.stdin:
            with lock:
                for name, value in json.loads(line).items():
                    setattr(command, name, value)
            send()
        rclpy.try_shutdown()

    threading.Thread(target=listen, daemon=True).start()
    node.create_timer(0.1, send)
    rclpy.spin(node)


if __name__ == '__main__':
    main()
