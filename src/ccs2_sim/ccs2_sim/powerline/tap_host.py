"""A station or a car on the virtual line with a TAP, as a process in a network namespace.

`python -m ccs2_sim.powerline.tap_host {station|car} LINE INTERFACE MAC` matches, and the car then
measures the way to the station: round trips by UDP, throughput by TCP. Each line on the standard
output is a JSON object: the interface before and after the match, and what the car has measured.
`measure` starts both in namespaces of their own, which needs root.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ccs2_link.link_runner import LinkRunner
from ccs2_link.modem.tap import Tap
from ccs2_link.slac.contract import LinkState, Pilot, PilotState
from ccs2_link.slac.ev import EvSlac
from ccs2_link.slac.evse import EvseSlac
from ccs2_sim.powerline.firmware import FirmwareConfig
from ccs2_sim.powerline.line import Path as LinePath
from ccs2_sim.powerline.server import LineServer
from ccs2_sim.powerline.spi import make_modem

ROLES = ('station', 'car')
INTERFACE = 'plc0'
GROUP, PORT = 'ff02::1', 15118
ROUND_TRIPS = 200
PAYLOAD = 100
STREAM = 2_000_000
"""Octets that the car sends over TCP."""
_START_TIME = 3.0
_PATIENCE = 60.0


def _tell(**values: object) -> None:
    print(json.dumps(values), flush=True)


def _attribute(interface: str, name: str) -> str:
    return Path('/sys/class/net', interface, name).read_text().strip()


def _is_up(interface: str) -> bool:
    return bool(int(_attribute(interface, 'flags'), 16) & 1)


async def _echo(server: socket.socket) -> None:
    """Send every datagram back."""
    loop = asyncio.get_running_loop()
    while True:
        data, address = await loop.sock_recvfrom(server, 1500)
        await loop.sock_sendto(server, data, address)


async def _swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Take a stream and say when all of it has come."""
    await reader.readexactly(STREAM)
    writer.write(b'.')
    await writer.drain()
    writer.close()


def _multicast_socket(interface: str) -> socket.socket:
    index = socket.if_nametoindex(interface)
    server = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    server.bind(('::', PORT))
    server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP,
                      socket.inet_pton(socket.AF_INET6, GROUP) + index.to_bytes(4, sys.byteorder))
    server.setblocking(False)
    return server


async def _measure_from_car(interface: str) -> dict[str, object]:
    """Find the station by multicast as SDP does, then measure the way to its address."""
    loop = asyncio.get_running_loop()
    index = socket.if_nametoindex(interface)
    client = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    client.setblocking(False)
    await loop.sock_sendto(client, b'who', (GROUP, PORT, 0, index))
    _, address = await asyncio.wait_for(loop.sock_recvfrom(client, 1500), 5.0)
    times = []
    for _ in range(ROUND_TRIPS):
        begin = time.perf_counter()
        await loop.sock_sendto(client, bytes(PAYLOAD), address)
        await asyncio.wait_for(loop.sock_recvfrom(client, 1500), 2.0)
        times.append(1e3 * (time.perf_counter() - begin))
    client.close()
    with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as stream:
        stream.setblocking(False)
        await loop.sock_connect(stream, address)
        begin = time.perf_counter()
        await loop.sock_sendall(stream, bytes(STREAM))
        await loop.sock_recv(stream, 1)
        took = time.perf_counter() - begin
    times.sort()
    return {'station': address[0], 'median_ms': statistics.median(times),
            'p99_ms': times[int(0.99 * len(times))], 'mbit_s': 8e-6 * STREAM / took}


async def run_host(role: str, line: str, interface: str, mac: str) -> None:
    """Match, measure if this is the car, and leave."""
    changed = asyncio.Event()

    async def until(matched: bool) -> None:
        while (link.status.state is LinkState.MATCHED) is not matched:
            changed.clear()
            await changed.wait()

    def fail(error: Exception) -> None:
        _tell(failure=repr(error))
        sys.exit(1)

    address = bytes.fromhex(mac)
    modem = make_modem(line, address, interface, Tap(interface, address))
    link = LinkRunner(modem, on_change=changed.set, on_reset=lambda why: None, on_failure=fail)
    await link.open(EvseSlac if role == 'station' else EvSlac)
    _tell(up=_is_up(interface), mtu=int(_attribute(interface, 'mtu')),
          mac=_attribute(interface, 'address'))
    await asyncio.sleep(_START_TIME)
    link.pilot(Pilot(PilotState.B, True))
    await until(matched=True)
    _tell(state='matched', up=_is_up(interface))
    if role == 'station':
        echo = asyncio.create_task(_echo(_multicast_socket(interface)))
        await asyncio.start_server(_swallow, '::', PORT)
        await until(matched=False)
        echo.cancel()
    else:
        await asyncio.sleep(1.0)
        _tell(**await _measure_from_car(interface))
    link.pilot(Pilot(PilotState.A, False))
    _tell(state='left', up=_is_up(interface))
    await link.close()


def possible() -> bool:
    """Tell whether this process may make network namespaces with TAP interfaces in them."""
    if os.geteuid() or not shutil.which('ip') or not Path('/dev/net/tun').exists():
        return False
    name = f'ccs2probe{os.getpid()}'
    if subprocess.run(['ip', 'netns', 'add', name], capture_output=True).returncode:
        return False
    made = subprocess.run(
        ['ip', 'netns', 'exec', name, 'ip', 'tuntap', 'add', 'ccs2t', 'mode', 'tap'],
        capture_output=True)
    subprocess.run(['ip', 'netns', 'delete', name], capture_output=True)
    return made.returncode == 0


@contextmanager
def _namespaces() -> Iterator[dict[str, str]]:
    names = {role: f'ccs2-{role}-{os.getpid()}' for role in ROLES}
    made: list[str] = []
    try:
        for name in names.values():
            subprocess.run(['ip', 'netns', 'add', name], check=True)
            made.append(name)
        yield names
    finally:
        for name in made:
            subprocess.run(['ip', 'netns', 'delete', name], check=False)


async def _start(namespace: str, *arguments: object) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        'ip', 'netns', 'exec', namespace, sys.executable, '-m', 'ccs2_sim.powerline.tap_host',
        *map(str, arguments), stdout=asyncio.subprocess.PIPE)


async def _told(process: asyncio.subprocess.Process) -> list[dict[str, Any]]:
    if process.stdout is None:
        raise RuntimeError('the process has no output')
    lines = [json.loads(line) async for line in process.stdout]
    if await process.wait():
        raise RuntimeError(f'a host has failed after {lines}')
    return lines


async def measure(path: LinePath | None = None) -> dict[str, list[dict[str, Any]]]:
    """Start line, station and car; return what each told, by its role."""
    with tempfile.TemporaryDirectory() as directory, _namespaces() as namespaces:
        server = LineServer(Path(directory, 'line'), seed=1)
        for number, role in enumerate(ROLES):
            server.add(role, FirmwareConfig(
                bytes([0, 0xB0, 0x52, 0, 0, number]), station=role == 'station'))
        server.line.connect(*ROLES, path or LinePath())
        processes = [
            await _start(namespaces[role], role, Path(directory, 'line', role), INTERFACE,
                         f'0200000000{number:02x}')
            for number, role in enumerate(ROLES)]
        try:
            async with asyncio.timeout(_PATIENCE):
                told = await asyncio.gather(*map(_told, processes))
        finally:
            for process in processes:
                if process.returncode is None:
                    process.kill()
            server.close()
    return dict(zip(ROLES, told, strict=True))


def main(args: Sequence[str] | None = None) -> int:
    """Play one host."""
    role, line, interface, mac = sys.argv[1:] if args is None else args
    asyncio.run(run_host(role, line, interface, mac))
    return 0


if __name__ == '__main__':
    sys.exit(main())
