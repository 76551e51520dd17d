"""An emulated I/O controller on a pseudo-terminal: the firmware's side of docs/io-controller.md."""

import asyncio
import math
import os
import pty
import struct
import time
import tty

from ccs2_power.io_controller import frames

WATCHDOG = 0.5


class IoController:
    def __init__(self, version=1):
        self.version = version
        self.high, self.low, self.proximity = 12.0, -12.0, 1500.0
        self.duty, self.told = 0.0, float('-inf')
        self.counting, self.fault, self.answering = True, False, True
        self.deaf = False
        self.counter = 0
        self.drives = []
        self.receiver = frames.Receiver()

    def __enter__(self):
        self.master, self.slave = pty.openpty()
        tty.setraw(self.slave)
        os.set_blocking(self.master, False)
        self.place = os.ttyname(self.slave)
        asyncio.get_running_loop().add_reader(self.master, self._hear)
        self.task = asyncio.get_running_loop().create_task(self._run())
        return self

    def __exit__(self, *exception):
        self.task.cancel()
        if self.master >= 0:
            self.unplug()

    def unplug(self):
        asyncio.get_running_loop().remove_reader(self.master)
        os.close(self.master)
        os.close(self.slave)
        self.master = -1

    @property
    def driven(self):
        """What the pilot does: the watchdog is in hardware."""
        return self.duty if time.monotonic() - self.told <= WATCHDOG else 0.0

    def _hear(self):
        for frame_type, content in self.receiver.feed(os.read(self.master, 4096)):
            if frame_type == 0x02 and self.answering:
                os.write(self.master, frames.pack(0x82, bytes((self.version,)) + b'emulated 1.0'))
            elif frame_type == 0x01 and not self.deaf:
                duty = int.from_bytes(content, 'big')
                self.duty, self.told = duty / 10_000, time.monotonic()
                self.drives.append(self.duty)

    async def _run(self):
        while True:
            await asyncio.sleep(0.02)
            if self.master >= 0:
                os.write(self.master, frames.pack(0x81, self._state()))

    def _state(self):
        self.counter = (self.counter + self.counting) & 0xFF
        duty = self.driven
        flags = (0x01 * (duty > 0.0) | 0x02 * (duty < 1.0) | 0x04 | 0x08
                 | 0x10 * (time.monotonic() - self.told > WATCHDOG) | 0x20 * self.fault)
        return struct.pack(
            '>BBhhHIH', self.counter, flags, round(self.high * 1e3),
            round(self.low * 1e3), round(duty * 1e4),
            0xFFFFFFFF if math.isinf(self.proximity) else round(self.proximity), 5)
