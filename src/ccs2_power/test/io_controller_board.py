"""An emulated I/O controller: the firmware's side of docs/io-controller.md, on either line."""

import asyncio
import math
import os
import pty
import struct
import time
import tty

import can

from ccs2_power.can.frame import Frame
from ccs2_power.io_controller.can_line import IDENTIFIER, split
from ccs2_power.io_controller.serial_line import Receiver, pack

WATCHDOG = 0.5
DRIVE, IDENTIFY, STATE, IDENTITY = 0x01, 0x02, 0x81, 0x82


class IoController:
    """What the firmware does; a line is a subclass with `_attach`, `_detach` and `_send`."""

    def __init__(self, version=1):
        self.version = version
        self.high, self.low, self.proximity = 12.0, -12.0, 1500.0
        self.duty, self.told = 0.0, float('-inf')
        self.counting, self.fault, self.answering = True, False, True
        self.deaf = False
        self.counter = 0
        self.drives = []
        self.attached = False

    def __enter__(self):
        self._attach()
        self.attached = True
        self.task = asyncio.get_running_loop().create_task(self._run())
        return self

    def __exit__(self, *exception):
        self.task.cancel()
        if self.attached:
            self.unplug()

    def unplug(self):
        self.attached = False
        self._detach()

    @property
    def driven(self):
        """What the pilot does: the watchdog is in hardware."""
        return self.duty if time.monotonic() - self.told <= WATCHDOG else 0.0

    def _heard(self, frame_type, content):
        if frame_type == IDENTIFY and self.answering:
            self._send(IDENTITY, bytes((self.version,)) + b'emu 1.0')
        elif frame_type == DRIVE and not self.deaf:
            self.duty, self.told = int.from_bytes(content, 'big') / 10_000, time.monotonic()
            self.drives.append(self.duty)

    async def _run(self):
        while True:
            await asyncio.sleep(0.02)
            if self.attached:
                self._send(STATE, self._state())

    def _state(self):
        self.counter = (self.counter + self.counting) & 0xFF
        duty = self.driven
        flags = (0x01 * (duty > 0.0) | 0x02 * (duty < 1.0) | 0x04 | 0x08
                 | 0x10 * (time.monotonic() - self.told > WATCHDOG) | 0x20 * self.fault)
        return struct.pack(
            '>BBhhHIH', self.counter, flags, round(self.high * 1e3),
            round(self.low * 1e3), round(duty * 1e4),
            0xFFFFFFFF if math.isinf(self.proximity) else round(self.proximity), 5)


class SerialController(IoController):
    """On a pseudo-terminal."""

    def _attach(self):
        self.receiver = Receiver()
        self.master, self.slave = pty.openpty()
        tty.setraw(self.slave)
        os.set_blocking(self.master, False)
        self.place = os.ttyname(self.slave)
        self.options = {'device': self.place}
        asyncio.get_running_loop().add_reader(self.master, self._hear)

    def _detach(self):
        asyncio.get_running_loop().remove_reader(self.master)
        os.close(self.master)
        os.close(self.slave)

    def _hear(self):
        for frame_type, content in self.receiver.feed(os.read(self.master, 4096)):
            self._heard(frame_type, content)

    def _send(self, frame_type, content):
        os.write(self.master, pack(frame_type, content))


class CanController(IoController):
    """On a bus of python-can; others may be on it, too."""

    def __init__(self, channel, version=1):
        super().__init__(version)
        self.channel = channel
        self.options = {'channel': channel, 'interface': 'virtual'}

    def _attach(self):
        self.bus = can.Bus(interface='virtual', channel=self.channel)
        self.notifier = can.Notifier(
            self.bus, [self._hear], loop=asyncio.get_running_loop(), timeout=0.05)

    def _detach(self):
        self.notifier.stop(timeout=0.2)
        self.bus.shutdown()

    def _hear(self, message):
        of_place = {IDENTIFIER: DRIVE, IDENTIFIER + 1: IDENTIFY}
        if not message.is_extended_id and message.arbitration_id in of_place:
            self._heard(of_place[message.arbitration_id], bytes(message.data))

    def _send(self, frame_type, content):
        for frame in split(IDENTIFIER, frame_type, content):
            self.put(frame)

    def put(self, frame: Frame):
        self.bus.send(can.Message(arbitration_id=frame.identifier, data=frame.data,
                                  is_extended_id=frame.extended))
