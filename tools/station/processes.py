"""The station's processes: started from its launch file, seen and killed one by one."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import IO

STARTED = re.compile(r'\[INFO\] \[(?P<name>.+)-\d+\]: process started with pid \[(?P<pid>\d+)\]')
#: Longest orderly end of the station in s; after that it is killed.
END_TIMEOUT = 20.0
#: A failure report shows this many lines of the station's log.
TAIL = 30


class StationError(Exception):
    """The station did not do what it should; the text says what, with the end of its log."""


class StationProcesses:
    """A launch file of ccs2_bringup, run by the launch runner in a process group of its own."""

    def __init__(
        self, launch_file: str = 'simulation.launch.xml',
        arguments: Mapping[str, object] | None = None,
        environment: Mapping[str, str] | None = None, log: Path | None = None,
    ) -> None:
        words = [f'{name}:={value}' for name, value in (arguments or {}).items()]
        tools = str(Path(__file__).resolve().parent.parent)
        paths = [tools, *filter(None, [os.environ.get('PYTHONPATH')])]
        self._process = subprocess.Popen(
            [sys.executable, '-m', 'launch_runner', 'ccs2_bringup', launch_file, *words],
            env={**os.environ, **(environment or {}), 'PYTHONPATH': ':'.join(paths)},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            errors='replace', start_new_session=True)
        #: Process id of each node's newest process, by node name (the last one of that name).
        self.pids: dict[str, int] = {}
        self.lines: list[str] = []
        self._log = log.open('w') if log else None
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        stream: IO[str] | None = self._process.stdout
        for line in stream or ():
            self.lines.append(line.rstrip('\n'))
            if (match := STARTED.search(line)) is not None:
                self.pids[match['name']] = int(match['pid'])
            if self._log is not None:
                self._log.write(line)
                self._log.flush()

    @property
    def running(self) -> bool:
        """Tell whether the launch is still there."""
        return self._process.poll() is None

    def kill(self, node: str) -> None:
        """Kill a node's process (SIGKILL)."""
        os.kill(self.pids[node], signal.SIGKILL)

    def tail(self) -> str:
        """Return the end of the log."""
        return '\n'.join(self.lines[-TAIL:])

    def stop(self) -> int:
        """End everything; return the launch's exit status (0: all ended as told)."""
        if self.running:
            self._process.send_signal(signal.SIGINT)
        try:
            code = self._process.wait(END_TIMEOUT)
        except subprocess.TimeoutExpired:
            for pid in self.pids.values():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._process.kill()
            code = self._process.wait()
        self._reader.join(END_TIMEOUT)
        if self._log is not None:
            self._log.close()
        return code
