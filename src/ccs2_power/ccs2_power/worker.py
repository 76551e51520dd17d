"""A thread that serves one device whose system calls may wait: GPIO lines, files of sysfs, IIO.

It goes on while the node's loop hangs, so a driver's safe state does not depend on that loop.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

#: A lost device is opened again after this time, in s.
RETRY = 1.0
#: How long a step may take until the thread is given up at the end, in s.
PATIENCE = 2.0


class Worker:
    """Calls `step` every `period` s, and at once when woken, in a thread of its own.

    When `step` raises :class:`OSError` the device is lost: `recover` is then called every
    :data:`RETRY` s until it raises no more. Both may take time; both run in the thread only.
    """

    def __init__(
        self, name: str, step: Callable[[], None], recover: Callable[[], None], period: float,
    ) -> None:
        self._name, self._step, self._recover, self._period = name, step, recover, period
        self._thread: threading.Thread | None = None
        self._wake = threading.Event()
        self._ending = False
        #: What is wrong with the device now; '' if nothing.
        self.problem = ''

    def start(self) -> None:
        """Begin to call `step`."""
        self._ending = False
        self.problem = ''
        self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread; `step` is not called afterwards."""
        self._ending = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(PATIENCE)
            self._thread = None

    def wake(self) -> None:
        """Call `step` at once."""
        self._wake.set()

    def _run(self) -> None:
        while not self._ending:
            try:
                if self.problem:
                    self._recover()
                self._step()
                self.problem = ''
                pause = self._period
            except OSError as error:
                self.problem = f'{self._name}: {error}'
                pause = RETRY
            except BaseException as error:
                # A mistake of this program: nothing is served any more, and everybody shall know.
                self.problem = f'{self._name}: ended by {error!r}'
                raise
            self._pause(pause)

    def _pause(self, seconds: float) -> None:
        # A command that wakes has to wait for a lost device like everybody else.
        if self.problem:
            self._wake.clear()
        self._wake.wait(seconds)
        self._wake.clear()
