"""Run the processes of a launch: start, respawn, stop, and tell how it went."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

from launch_runner.loader import Process

Log = Callable[[str], None]


#: Nodes that start take all that the processors give. For so long, in s, they leave that to those
#: that run already and keep deadlines: their niceness is raised by this.
STARTING_TIME, STARTING_NICENESS = 8.0, 10


def may_be_preferred() -> bool:
    """Tell whether this process may lower a niceness again (root, CAP_SYS_NICE)."""
    niceness = os.getpriority(os.PRIO_PROCESS, 0)
    try:
        os.setpriority(os.PRIO_PROCESS, 0, niceness - 1)
    except PermissionError:
        return False
    os.setpriority(os.PRIO_PROCESS, 0, niceness)
    return True


def set_niceness(pid: int, niceness: int) -> None:
    """Set the niceness of a process that may have ended; on Linux every thread has its own."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for thread in Path(f'/proc/{pid}/task').iterdir():
            os.setpriority(os.PRIO_PROCESS, int(thread.name), niceness)


class Supervisor:
    """Keep processes running until all have ended, a required one has ended, or a stop is asked."""

    def __init__(self, processes: Sequence[Process], log: Log) -> None:
        self._processes = processes
        self._log = log
        self._stopping = asyncio.Event()
        self._failed = False
        self._gives_way = may_be_preferred()

    def stop(self) -> None:
        """End all processes: SIGINT first, then SIGTERM, then SIGKILL."""
        self._stopping.set()

    async def run(self) -> int:
        """Return 0, or 1 if a process failed that was not started again or did not end when told.

        A process that died and was started again does not count: it is back.
        """
        await asyncio.gather(*(self._keep(process) for process in self._processes))
        return 1 if self._failed else 0

    async def _keep(self, process: Process) -> None:
        retries = 0
        while not self._stopping.is_set():
            code = await self._once(process)
            again = process.respawn and retries != process.respawn_max_retries
            if self._stopping.is_set() or not again:
                self._failed |= code != 0
                if process.required:
                    self.stop()
                return
            retries += 1
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), process.respawn_delay)

    async def _once(self, process: Process) -> int:
        """Run a process to its end; return its exit code."""
        try:
            # A session of its own: Ctrl-C reaches it through this supervisor only, in order.
            child = await asyncio.create_subprocess_exec(
                *process.command, env=process.environment, start_new_session=True,
                stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT)
        except OSError as error:
            self._log(f'[ERROR] [{process.label}]: cannot start: {error}')
            return 127
        self._log(f'[INFO] [{process.label}]: process started with pid [{child.pid}]')
        try:
            return await self._attend(process, child)
        finally:
            # Whoever gives up waiting leaves no process behind.
            if child.returncode is None:
                child.kill()

    async def _attend(self, process: Process, child: asyncio.subprocess.Process) -> int:
        """Forward a process's output and end it when told; return its exit code."""
        started = self._give_way(child.pid)
        output = asyncio.create_task(self._forward(process.label, child.stdout))
        ended = asyncio.create_task(child.wait())
        stop = asyncio.create_task(self._stopping.wait())
        await asyncio.wait({ended, stop}, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        for number, patience in ((signal.SIGINT, process.sigterm_timeout),
                                 (signal.SIGTERM, process.sigkill_timeout),
                                 (signal.SIGKILL, None)):
            if ended.done():
                break
            with contextlib.suppress(ProcessLookupError):
                child.send_signal(number)
            await asyncio.wait({ended}, timeout=patience)
            if not ended.done():
                self._log(f'[WARNING] [{process.label}]: still there {patience} s after '
                          f'{number.name}')
        code = await ended
        if started is not None:
            started.cancel()
        await output
        level, text = ('INFO', 'finished cleanly') if code == 0 else ('ERROR', 'died')
        self._log(f'[{level}] [{process.label}]: process has {text} '
                  f'[pid {child.pid}, exit code {code}]')
        return code

    def _give_way(self, pid: int) -> asyncio.TimerHandle | None:
        """Leave the processors to others until a process has started; return what ends that."""
        if not self._gives_way:
            return None
        niceness = os.getpriority(os.PRIO_PROCESS, 0)
        set_niceness(pid, min(niceness + STARTING_NICENESS, 19))
        return asyncio.get_running_loop().call_later(
            STARTING_TIME, set_niceness, pid, niceness)

    async def _forward(self, label: str, stream: asyncio.StreamReader | None) -> None:
        while stream is not None:
            try:
                line = await stream.readline()
            except ValueError:  # longer than the reader's limit: what came so far is dropped
                continue
            if not line:
                return
            self._log(f'[{label}] {line.decode(errors="replace").rstrip()}')
