"""The power line as a process: modems are sockets, a signal is a burst of noise."""

from __future__ import annotations

import asyncio
import itertools
import signal
import sys

import pytest

from ccs2_link.modem.virtual import VirtualModem
from ccs2_sim.powerline.server import main

MACS = [bytes([2, 0, 0, 0, 0, number]) for number in range(2)]
BURST = 0.4


@pytest.fixture
async def line(tmp_path_factory):
    """A running line between `one` and `other`: its process and its folder."""
    folder = tmp_path_factory.mktemp('l')  # a Unix socket's path has to be short
    process = await asyncio.create_subprocess_exec(
        sys.executable, '-m', 'ccs2_sim.powerline.server', '--directory', str(folder),
        '--pair', 'one,other', '--burst', str(BURST))
    yield process, folder
    process.terminate()
    assert await process.wait() == 0


async def test_frames_cross_the_line_but_for_a_burst_of_noise(line):
    process, folder = line
    modems, heard = [], asyncio.Queue()
    for name, mac in zip(('one', 'other'), MACS, strict=True):
        modem = VirtualModem(str(folder / name), mac, 'none', None)
        ready = asyncio.Event()
        modem.on_ready = lambda up, ready=ready: ready.set()
        await modem.open()
        await asyncio.wait_for(ready.wait(), 10.0)
        modems.append(modem)
    sender, receiver = modems
    receiver.on_frame = heard.put_nowait

    def say(number):
        sender.send(b'\xff' * 6 + MACS[0] + b'\x88\xe1' + bytes([number]) * 46)

    say(1)
    assert (await asyncio.wait_for(heard.get(), 5.0))[-1] == 1
    process.send_signal(signal.SIGUSR1)
    begin = asyncio.get_running_loop().time()
    number = 1
    while heard.empty():
        number += 1
        say(number)
        await asyncio.sleep(0.02)
        assert asyncio.get_running_loop().time() - begin < 10.0
    # The first may have been on its way before the signal was taken.
    while heard.qsize() < 5:
        number += 1
        say(number)
        await asyncio.sleep(0.02)
    numbers = [heard.get_nowait()[-1] for _ in range(heard.qsize())]
    gaps = [after - before for before, after in itertools.pairwise(numbers)]
    assert numbers[0] > 3 or max(gaps) > 3
    for modem in modems:
        await modem.close()


def test_a_pair_needs_two_names(tmp_path):
    with pytest.raises(SystemExit, match='two names'):
        main(['--directory', str(tmp_path / 'line'), '--pair', 'alone'])
