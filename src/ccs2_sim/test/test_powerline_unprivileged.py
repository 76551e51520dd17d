"""`plc_link` as the service runs it: not root, with two capabilities, on TAP and packet sockets."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not set up')

from ament_index_python.packages import PackageNotFoundError, get_package_prefix

try:
    get_package_prefix('ccs2_interfaces')
except PackageNotFoundError:
    pytest.skip('workspace is not built', allow_module_level=True)

sys.path.insert(0, str(Path(__file__).parent))

import powerline_graph
import unprivileged

from ccs2_interfaces.msg import Link

if problem := unprivileged.problem():
    pytest.skip(problem, allow_module_level=True)

SLAC = 0x88E1
SUFFIX = os.getpid() % 99999
#: Of 02:00:00:00:00:01, as the kernel writes it.
LINK_LOCAL = ipaddress.ip_address('fe80::ff:fe00:1').packed.hex()


@pytest.fixture
def folder():
    """A folder that nobody may write in, with a short path for sockets."""
    before = os.umask(0)
    path = Path(tempfile.mkdtemp(prefix='ccs2'))
    path.chmod(0o777)
    yield path
    os.umask(before)
    shutil.rmtree(path)


async def run_as_nobody(graph):
    """Check that the node's process is nobody, and has no other right than it needs."""
    await graph.bring_up()
    graph.server._directory.chmod(0o777)
    assert unprivileged.capabilities_of(graph.process.pid) == (
        unprivileged.NOBODY, unprivileged.CAPABILITY_BITS)


def test_a_tap_comes_and_goes(folder):
    name = f'ccs2u{SUFFIX}'
    state = Path('/sys/class/net', name)

    def is_up():
        return bool(int((state / 'flags').read_text(), 16) & 1)

    def has_link_local():
        return any(LINK_LOCAL in line and name in line
                   for line in Path('/proc/net/if_inet6').read_text().splitlines())

    async def scenario(graph):
        await run_as_nobody(graph)
        assert (state / 'address').read_text().strip() == '02:00:00:00:00:01'
        assert not is_up()
        await graph.plug()
        assert graph.link.interface == name
        assert is_up()
        assert has_link_local()
        await graph.unplug()
        assert not is_up()

    powerline_graph.run(
        folder, scenario, prefix=unprivileged.prefix(), interface=name, tap='true')
    assert not state.exists()


class EthernetModem:
    """A PLC modem on Ethernet: carries management frames between an interface and the line."""

    def __init__(self, interface, path):
        self._loop = asyncio.get_running_loop()
        self._path = str(path)
        self._line = None
        self._wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
        self._wire.bind((interface, SLAC))
        self._loop.add_reader(self._wire, self._from_host)
        self._task = self._loop.create_task(self._keep_connected())

    async def close(self):
        self._task.cancel()
        self._loop.remove_reader(self._wire)
        self._wire.close()
        self._hang_up()

    async def _keep_connected(self):
        while True:
            if self._line is None:
                line = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
                try:
                    line.connect(self._path)
                except OSError:
                    line.close()
                else:
                    self._line = line
                    self._loop.add_reader(line, self._from_line)
            await asyncio.sleep(0.02)

    def _hang_up(self):
        line, self._line = self._line, None
        if line is not None:
            self._loop.remove_reader(line)
            line.close()

    def _from_host(self):
        frame = self._wire.recv(2000)
        if self._line is not None:
            with contextlib.suppress(OSError):
                self._line.send(frame)

    def _from_line(self):
        try:
            frame = self._line.recv(2000)
        except OSError:
            frame = b''
        if frame:
            self._wire.send(frame)
        else:
            self._hang_up()


def test_a_modem_behind_an_interface_is_matched(folder):
    one, other = f'ccs2v{SUFFIX}', f'ccs2w{SUFFIX}'
    made = subprocess.run(['ip', 'link', 'add', one, 'address', '02:00:00:00:00:01', 'type', 'veth',
                           'peer', 'name', other], capture_output=True, text=True)
    if made.returncode:
        pytest.skip(made.stderr)
    for name in (one, other):
        subprocess.run(['ip', 'link', 'set', name, 'up'], check=True)

    async def scenario(graph):
        modem = EthernetModem(other, folder / 'line' / 'station')
        await run_as_nobody(graph)
        await graph.plug()
        assert graph.link.interface == one
        assert bytes(graph.link.peer_mac) == graph.car.modem.mac
        assert graph.state == Link.STATE_MATCHED
        await graph.unplug()
        await modem.close()

    try:
        powerline_graph.run(
            folder, scenario, prefix=unprivileged.prefix(), driver='interface', interface=one)
    finally:
        subprocess.run(['ip', 'link', 'delete', one], check=False)


@pytest.mark.parametrize(('program', 'missing'), [
    ('from ccs2_link.modem.tap import Tap; Tap("ccs2x", bytes(6)).open()', 'CAP_NET_ADMIN'),
    ('import asyncio; from ccs2_link.modem.packet import PacketModem; '
     'asyncio.run(PacketModem("lo").open())', 'CAP_NET_RAW'),
])
def test_a_missing_capability_is_named(program, missing):
    tried = subprocess.run(
        [*unprivileged.prefix(()), sys.executable, '-c', program], capture_output=True, text=True)
    assert 'ModemError' in tried.stderr
    assert missing in tried.stderr
