"""A virtual power line as a process: one local socket for each modem, no privileges needed.

A modem's host connects to `<directory>/<modem>`; each packet is one Ethernet frame. While a
modem restarts, its socket is gone.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random

import dpkt  # type: ignore[import-untyped]

from ccs2_sim.powerline.firmware import Firmware, FirmwareConfig
from ccs2_sim.powerline.line import Path as LinePath
from ccs2_sim.powerline.line import PowerLine

_MAX_FRAME = 1518
_BATCH = 64


class Port:
    """The socket of one modem and the firmware behind it; one host at a time."""

    def __init__(self, server: LineServer, path: Path, name: str, config: FirmwareConfig) -> None:
        self._server = server
        self._path = path
        self._host: socket.socket | None = None
        self._listener: socket.socket | None = None
        self.firmware = Firmware(
            name, config, server.line, server.random, self._to_host, self._on_power)
        self._listen()

    def close(self) -> None:
        """Take the socket away."""
        self._on_power(False)

    def _listen(self) -> None:
        self._path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
        listener.bind(str(self._path))
        listener.listen(1)
        self._listener = listener
        self._server.loop.add_reader(listener.fileno(), self._accept)

    def _accept(self) -> None:
        if self._listener is None:
            return
        host, _ = self._listener.accept()
        host.setblocking(False)
        if self._host is not None:
            host.close()
            return
        self._host = host
        self._server.loop.add_reader(host.fileno(), self._receive)

    def _receive(self) -> None:
        for _ in range(_BATCH):
            if self._host is None:
                return
            try:
                frame = self._host.recv(_MAX_FRAME)
            except BlockingIOError:
                break
            except OSError:
                frame = b''
            if not frame:
                self._hang_up()
                break
            self.firmware.from_host(self._server.loop.time(), frame)
        self._server.schedule()

    def _to_host(self, frame: bytes) -> None:
        if self._host is None:
            self._server.line.counters['host absent'] += 1
            return
        try:
            self._host.send(frame)
        except OSError:
            self._server.line.counters['host slow'] += 1

    def _on_power(self, up: bool) -> None:
        if up:
            self._listen()
            return
        listener, self._listener = self._listener, None
        if listener is not None:
            self._server.loop.remove_reader(listener.fileno())
            listener.close()
            self._path.unlink(missing_ok=True)
        self._hang_up()

    def _hang_up(self) -> None:
        host, self._host = self._host, None
        if host is not None:
            self._server.loop.remove_reader(host.fileno())
            host.close()


class LineServer:
    """The line, its modems and their sockets on the running event loop."""

    def __init__(self, directory: Path, seed: int | None = None) -> None:
        """Make the sockets in `directory`, which only its owner can enter."""
        self.loop = asyncio.get_running_loop()
        self.random = Random(seed)
        self.line = PowerLine(self.random)
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._directory = directory
        self._ports: dict[str, Port] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, name: str, config: FirmwareConfig) -> None:
        """Put a modem on the line."""
        self._ports[name] = Port(self, self._directory / name, name, config)

    def restart(self, name: str) -> None:
        """Restart a modem as a power dip would."""
        self._ports[name].firmware.restart(self.loop.time())
        self.schedule()

    def capture(self, path: Path) -> None:
        """Write every frame from now on to a file that its owner alone can read."""
        descriptor = os.open(
            path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        file = os.fdopen(descriptor, 'wb', buffering=0)
        writer = dpkt.pcap.Writer(file)
        self.line.on_frame = lambda frame: writer.writepkt(frame, time.time())

    def noise(self, duration: float) -> None:
        """Drown the line for so many seconds."""
        self.line.noise(self.loop.time(), duration)

    def schedule(self) -> None:
        """Arrange to go on when something is due."""
        if self._timer is not None:
            self._timer.cancel()
        dues = [self.line.deadline()]
        dues += [port.firmware.deadline() for port in self._ports.values()]
        pending = [due for due in dues if due is not None]
        self._timer = self.loop.call_at(min(pending), self._tick) if pending else None

    def close(self) -> None:
        """Take all sockets away."""
        if self._timer is not None:
            self._timer.cancel()
        for port in self._ports.values():
            port.close()

    def _tick(self) -> None:
        now = self.loop.time()
        self.line.tick(now)
        for port in self._ports.values():
            port.firmware.tick(now)
        self.schedule()


def _arguments(args: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog='power_line', description='A virtual power line between HomePlug modems.')
    parser.add_argument('--directory', type=Path, required=True, help='where the sockets are')
    parser.add_argument(
        '--pair', action='append', required=True, metavar='STATION,CAR',
        help='names of the two modems on one charging cable; again for more cables')
    parser.add_argument('--attenuation', type=float, default=25.0, help='on the cable [dB]')
    parser.add_argument(
        '--crosstalk', type=float, help='attenuation between different cables [dB]; none if unset')
    parser.add_argument('--loss', type=float, default=0.0, help='share of frames lost, 0 to 1')
    parser.add_argument('--duplication', type=float, default=0.0, help='share of frames doubled')
    parser.add_argument('--delay', type=float, default=0.002, help='of each frame [s]')
    parser.add_argument('--jitter', type=float, default=0.0, help='added to the delay [s]')
    parser.add_argument('--burst', type=float, default=2.0,
                        help='noise that a signal SIGUSR1 lets drown everything for so long [s]')
    parser.add_argument('--seed', type=int, help='repeats a run')
    parser.add_argument(
        '--capture', type=Path, help='write every frame on the line to this file (pcap); network '
        'keys are in it, for SLAC tells them to whoever listens')
    # A launch file adds ROS arguments, which mean nothing here.
    known, _ = parser.parse_known_args(args)
    return known


async def _serve(options: argparse.Namespace) -> None:
    server = LineServer(options.directory, options.seed)
    if options.capture is not None:
        server.capture(options.capture)
    pairs = [tuple(pair.split(',')) for pair in options.pair]
    quality = {
        name: getattr(options, name) for name in ('loss', 'duplication', 'delay', 'jitter')
    }
    for number, pair in enumerate(pairs):
        if len(pair) != 2:
            raise SystemExit(f'--pair {",".join(pair)}: two names are needed')
        for role, name in enumerate(pair):
            mac = bytes([0x00, 0xB0, 0x52, 0x5C, number, role])
            server.add(name, FirmwareConfig(mac, station=role == 0))
        server.line.connect(*pair, LinePath(options.attenuation, **quality))
    if options.crosstalk is not None:
        for number, pair in enumerate(pairs):
            for other in pairs[number + 1:]:
                for one in pair:
                    for two in other:
                        server.line.connect(one, two, LinePath(options.crosstalk, **quality))
    server.loop.add_signal_handler(signal.SIGUSR1, server.noise, options.burst)
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        server.loop.add_signal_handler(number, stopped.set)
    await stopped.wait()
    server.close()


def main(args: Sequence[str] | None = None) -> int:
    """Run a power line until SIGINT or SIGTERM."""
    os.umask(0o077)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(_arguments(args)))
    return 0


if __name__ == '__main__':
    sys.exit(main())
