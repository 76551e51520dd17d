"""Measure the link: SLAC, round trips and throughput through the SPI driver and the register model.

`python -m ccs2_sim.powerline.bench` needs no privileges: the kernel's end of each interface is a
local socket, and the line has no delay of its own. Everything runs in one process. As root it
measures UDP and TCP of the kernel over TAP interfaces, too.
"""

from __future__ import annotations

import asyncio
import json
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from ccs2_link.link_runner import LinkRunner
from ccs2_link.slac.contract import LinkState, Pilot, PilotState
from ccs2_link.slac.ev import EvSlac
from ccs2_link.slac.evse import EvseSlac
from ccs2_sim.powerline import tap_host
from ccs2_sim.powerline.firmware import FirmwareConfig
from ccs2_sim.powerline.line import Path as LinePath
from ccs2_sim.powerline.server import LineServer
from ccs2_sim.powerline.spi import make_modem

STATION, CAR = bytes.fromhex('020000000001'), bytes.fromhex('02ca00000001')
ROUND_TRIPS = 500
FRAMES = 2000
SMALL, LARGE = 114, 1514
_PATIENCE = 30.0
_IN_FLIGHT = 8


class SocketKernel:
    """A kernel's end of an interface that is a local socket; the other end is `outside`."""

    def __init__(self) -> None:
        self._inside, self.outside = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._inside.setblocking(False)
        self.outside.setblocking(False)

    def open(self) -> None:
        """Do nothing: the pair is there."""

    def set_up(self, up: bool) -> None:
        """Do nothing: the bridge gates by itself."""

    def fileno(self) -> int:
        """Return the descriptor to wait on."""
        return self._inside.fileno()

    def read(self) -> bytes | None:
        """Return a frame, None if there is none."""
        try:
            return self._inside.recv(LARGE)
        except BlockingIOError:
            return None

    def write(self, frame: bytes) -> bool:
        """Hand a frame out; False if the socket is full."""
        try:
            return self._inside.send(frame) == len(frame)
        except BlockingIOError:
            return False

    def present(self) -> bool:
        """Return True: nobody takes the pair away."""
        return True

    def close(self) -> None:
        """Close both ends."""
        self._inside.close()
        self.outside.close()


def _frame(size: int, destination: bytes, source: bytes) -> bytes:
    return (destination + source + b'\x86\xdd').ljust(size, b'\x5a')


async def _round_trips(near: socket.socket, far: socket.socket, size: int) -> list[float]:
    loop = asyncio.get_running_loop()
    there, back = _frame(size, STATION, CAR), _frame(size, CAR, STATION)
    times: list[float] = []
    for _ in range(ROUND_TRIPS):
        begin = time.perf_counter()
        await loop.sock_sendall(near, there)
        await loop.sock_recv(far, LARGE)
        await loop.sock_sendall(far, back)
        await loop.sock_recv(near, LARGE)
        times.append(1e3 * (time.perf_counter() - begin))
    return times


async def _throughput(near: socket.socket, far: socket.socket) -> tuple[float, int]:
    """Return Mbit/s and frames lost, with a few frames in flight as TCP would have."""
    loop = asyncio.get_running_loop()
    frame = _frame(LARGE, STATION, CAR)
    room = asyncio.Semaphore(_IN_FLIGHT)
    received = 0

    async def receive() -> None:
        nonlocal received
        while received < FRAMES:
            await loop.sock_recv(far, LARGE)
            received += 1
            room.release()

    receiver = loop.create_task(receive())
    begin = time.perf_counter()
    for _ in range(FRAMES):
        try:
            async with asyncio.timeout(1.0):
                await room.acquire()
        except TimeoutError:
            break  # frames were lost: what is missing is reported
        await loop.sock_sendall(near, frame)
    await asyncio.wait({receiver}, timeout=2.0)
    took = time.perf_counter() - begin
    receiver.cancel()
    return 8e-6 * LARGE * received / took, FRAMES - received


async def measure() -> dict[str, float]:
    """Return the figures by name, with their units in it."""
    def fail(error: Exception) -> None:
        raise error

    with tempfile.TemporaryDirectory() as directory:
        server = LineServer(Path(directory) / 'line')
        for name, station in (('station', True), ('car', False)):
            mac = bytes([0x00, 0xB0, 0x52, 0, 0, station])
            server.add(name, FirmwareConfig(mac, station=station))
        server.line.connect('station', 'car', LinePath(delay=0.0))
        changed = asyncio.Event()
        links, kernels = [], []
        for name, mac in (('station', STATION), ('car', CAR)):
            kernel = SocketKernel()
            modem = make_modem(str(Path(directory) / 'line' / name), mac, name, kernel)
            link = LinkRunner(
                modem, on_change=changed.set, on_reset=lambda reason: None, on_failure=fail)
            await link.open(EvseSlac if name == 'station' else EvSlac)
            links.append(link)
            kernels.append(kernel)
        await asyncio.sleep(3.0)
        begin = time.perf_counter()
        for link in links:
            link.pilot(Pilot(PilotState.B, True))
        async with asyncio.timeout(_PATIENCE):
            while any(link.status.state is not LinkState.MATCHED for link in links):
                changed.clear()
                await changed.wait()
        figures = {'SLAC, pilot to matched [s]': time.perf_counter() - begin}
        near, far = kernels[1].outside, kernels[0].outside
        for size in (SMALL, LARGE):
            times = sorted(await _round_trips(near, far, size))
            name = f'round trip, {size} octets'
            figures[f'{name}, p50 [ms]'] = statistics.median(times)
            figures[f'{name}, p99 [ms]'] = times[int(0.99 * len(times))]
        rate, lost = await _throughput(near, far)
        figures['throughput [Mbit/s]'] = rate
        figures[f'lost of {FRAMES} frames'] = lost
        for link in links:
            await link.close()
        server.close()
        return figures


async def measure_tap() -> dict[str, float]:
    """Return the figures of IPv6 between two namespaces, none where they cannot be made."""
    if not tap_host.possible():
        return {}
    measured = (await tap_host.measure(LinePath(delay=0.0)))['car'][2]
    size = tap_host.PAYLOAD
    return {
        f'TAP: round trip, UDP with {size} octets, p50 [ms]': measured['median_ms'],
        f'TAP: round trip, UDP with {size} octets, p99 [ms]': measured['p99_ms'],
        'TAP: throughput, TCP [Mbit/s]': measured['mbit_s'],
    }


async def _all() -> dict[str, float]:
    return {**await measure(), **await measure_tap()}


def main(args: Sequence[str] | None = None) -> int:
    """Print the figures; with `--json` as one object."""
    options = sys.argv[1:] if args is None else args
    figures = asyncio.run(_all())
    if '--json' in options:
        print(json.dumps(figures))
    else:
        print('link over the virtual line, through the SPI driver and the register model:')
        for name, value in figures.items():
            print(f'  {name:44} {value:10.3f}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
