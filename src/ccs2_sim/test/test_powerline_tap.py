"""Station and car in two network namespaces: SLAC, then IPv6 over TAP and the virtual line."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ccs2_sim.powerline.firmware import FirmwareConfig
from ccs2_sim.powerline.line import Path as LinePath
from ccs2_sim.powerline.server import LineServer

HOST = Path(__file__).with_name('powerline_host.py')
NAMES = ('station', 'car')


def namespaces_work() -> bool:
    if os.geteuid() or not shutil.which('ip') or not Path('/dev/net/tun').exists():
        return False
    name = f'ccs2probe{os.getpid()}'
    if subprocess.run(['ip', 'netns', 'add', name], capture_output=True).returncode:
        return False
    made = subprocess.run(['ip', 'netns', 'exec', name, 'ip', 'tuntap', 'add', 'ccs2t', 'mode',
                           'tap'], capture_output=True)
    subprocess.run(['ip', 'netns', 'delete', name], capture_output=True)
    return made.returncode == 0


pytestmark = pytest.mark.skipif(
    not namespaces_work(), reason='needs root, network namespaces and TAP')


@pytest.fixture
def namespaces():
    names = {name: f'ccs2-{name}-{os.getpid()}' for name in NAMES}
    for name in names.values():
        subprocess.run(['ip', 'netns', 'add', name], check=True)
    yield names
    for name in names.values():
        subprocess.run(['ip', 'netns', 'delete', name], check=False)


async def run_host(namespace, *arguments):
    return await asyncio.create_subprocess_exec(
        'ip', 'netns', 'exec', namespace, sys.executable, str(HOST), *map(str, arguments),
        stdout=asyncio.subprocess.PIPE)


async def told(process):
    lines = []
    while line := await process.stdout.readline():
        lines.append(json.loads(line))
    await process.wait()
    return lines


def test_ipv6_crosses_the_line_only_while_matched(namespaces, tmp_path):
    async def session():
        server = LineServer(tmp_path / 'line', seed=1)
        for number, name in enumerate(NAMES):
            server.add(name, FirmwareConfig(
                bytes([0, 0xB0, 0x52, 0, 0, number]), station=name == 'station'))
        server.line.connect(*NAMES, LinePath())
        processes = [
            await run_host(namespaces[name], name, tmp_path / 'line' / name, 'plc0',
                           f'0200000000{number:02x}')
            for number, name in enumerate(NAMES)
        ]
        async with asyncio.timeout(40.0):
            results = await asyncio.gather(*map(told, processes))
        server.close()
        return results

    station, car = asyncio.run(session())
    for number, lines in enumerate((station, car)):
        assert lines[0] == {'up': False, 'mtu': 1500, 'mac': f'02:00:00:00:00:{number:02x}'}
        assert lines[1] == {'state': 'matched', 'up': True}
        assert lines[-1] == {'state': 'left', 'up': False}
    measured = car[2]
    # The link-local address comes from the MAC address.
    assert measured['station'].split('%')[0] == 'fe80::ff:fe00:0'
    print(f'UDP over TAP and line: median {measured["median_ms"]:.2f} ms, '
          f'p99 {measured["p99_ms"]:.2f} ms (the line itself takes 4 ms)')
