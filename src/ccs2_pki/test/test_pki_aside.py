"""What may take long runs beside the loop, and nothing waits for it that does not want to."""

import asyncio
import subprocess
import sys
import threading

import pytest

from ccs2_pki.aside import aside


async def test_the_result_comes_back_to_the_loop():
    loop_thread = threading.get_ident()
    assert await aside(threading.get_ident) != loop_thread


async def test_what_goes_wrong_comes_back_too():
    def fail():
        raise ValueError('nothing works')

    with pytest.raises(ValueError, match='nothing works'):
        await aside(fail)


async def test_who_waits_no_longer_is_not_disturbed_by_the_end():
    release, ended = threading.Event(), threading.Event()

    def work():
        release.wait(10)
        ended.set()

    waiting = asyncio.ensure_future(aside(work))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await waiting
    release.set()
    assert await asyncio.to_thread(ended.wait, 10)


def test_the_process_ends_although_the_work_never_does():
    code = ('import asyncio, threading\n'
            'from ccs2_pki.aside import aside\n'
            'async def main():\n'
            '    aside(threading.Event().wait)\n'
            'asyncio.run(main())')
    assert subprocess.run([sys.executable, '-c', code], timeout=20).returncode == 0
