"""A fake `spidev` whose chip is a QCA7000 on a virtual power line."""

from __future__ import annotations

import os
import select
import socket
import time
from collections.abc import Sequence
from pathlib import Path

from ccs2_link.homeplug.frame import LOCAL_MODEM, encode
from ccs2_link.homeplug.vendor import VsRsDevReq
from ccs2_link.modem.bridge import KernelSide
from ccs2_link.modem.contract import Modem
from ccs2_link.modem.qca7000 import Qca7000Modem
from ccs2_link.modem.spi import SpidevBus
from ccs2_link.plc_link_drivers import (
    HOST,
    SLAC,
    Driver,
    Parameter,
    Values,
    host_mac,
    host_tap,
    make_slac,
)
from ccs2_sim.powerline.qca7000_model import Qca7000Model

ENVIRONMENT = 'CCS2_POWER_LINE'
CONNECT_PERIOD = 0.1
_MAX_FRAME = 1518
_SPEED = 8_000_000
_POLL_PERIOD = 0.005


class SimulatedSpi(Qca7000Model):
    """A register model that is connected to a modem's firmware on the line at `path`.

    The chip runs while the line has its socket. It is an InterruptLine, too: its descriptor is
    readable when the line has sent something, which is when the chip's line would rise.
    """

    def __init__(self, path: str) -> None:
        super().__init__(self._send, lambda: None, self._order_restart)
        self._path = path
        self._line: socket.socket | None = None
        self._next_try = 0.0
        self._watch: select.epoll | None = None

    def open(self, bus: int, device: int) -> None:
        """Open the device; any number will do."""
        super().open(bus, device)
        self._watch = select.epoll()

    def fileno(self) -> int:
        """Return the descriptor that is readable while the line has something."""
        if self._watch is None:
            raise OSError('the device is not open')
        return self._watch.fileno()

    def clear(self) -> None:
        """Take what the line has into the chip's buffer."""
        self._pump()

    def xfer2(self, values: Sequence[int]) -> list[int]:
        """Take what the line has, then do the access."""
        self._pump()
        return super().xfer2(values)

    def close(self) -> None:
        """Leave the line."""
        self._hang_up()
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.close()
        super().close()

    def _pump(self) -> None:
        if self._line is None:
            self._connect()
        while self._line is not None and self.has_room:  # else it waits in the modem's memory
            try:
                frame = self._line.recv(_MAX_FRAME)
            except BlockingIOError:
                return
            except OSError:
                frame = b''
            if frame:
                self.to_host(frame)
            else:
                self._hang_up()

    def _connect(self) -> None:
        now = time.monotonic()
        if now < self._next_try:
            return
        self._next_try = now + CONNECT_PERIOD
        line = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
        try:
            line.connect(self._path)
        except OSError:
            line.close()
            return
        self._line = line
        if self._watch is not None:
            self._watch.register(line, select.EPOLLIN)
        self.power(True)

    def _hang_up(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            line.close()
        self.power(False)

    def _send(self, frame: bytes) -> None:
        if self._line is not None:
            try:
                self._line.send(frame)
            except OSError:
                self.counters['frames to the line lost'] += 1

    def _order_restart(self) -> None:
        self._send(encode(LOCAL_MODEM, LOCAL_MODEM, VsRsDevReq()))


def make_modem(
    path: str, mac: bytes, interface: str, kernel: KernelSide | None
) -> Qca7000Modem:
    """Return the real SPI driver on the fake bus to the line's socket `path`."""
    spi = SimulatedSpi(path)
    return Qca7000Modem(
        SpidevBus(0, 0, _SPEED, lambda: spi), mac, interface, kernel,
        poll_period=_POLL_PERIOD, make_interrupt=lambda: spi)


def line_socket(modem: str) -> str:
    """Return the socket of a modem on the line whose directory CCS2_POWER_LINE names.

    Raise ValueError if that is not set.
    """
    directory = os.environ.get(ENVIRONMENT)
    if not directory:
        raise ValueError(f'{ENVIRONMENT} does not name the directory of a power line')
    return str(Path(directory, modem))


def _from_values(value: Values) -> Modem:
    mac = host_mac(value)
    path = value('line') or line_socket('station')
    return make_modem(path, mac, value('interface'), host_tap(value, mac))


DRIVER = Driver(
    (Parameter('line', '', 'socket of a virtual power line'), *HOST, *SLAC),
    _from_values,
    make_slac,
)
"""For the `plc_link` node: the entry point `sim_qca7000` of the group `ccs2_link.drivers`."""
