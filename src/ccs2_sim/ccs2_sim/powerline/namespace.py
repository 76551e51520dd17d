"""Move into a network namespace, so that station and car are two hosts on one machine."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

_NAMESPACES = Path('/run/netns')
_CLONE_NEWNET = 0x40000000


def enter(name: str) -> None:
    """Let the calling thread open its sockets and interfaces in the namespace from now on.

    Threads that run already, such as those of DDS, stay where they are. Raise OSError if the
    namespace does not exist or may not be entered (CAP_SYS_ADMIN).
    """
    descriptor = os.open(_NAMESPACES / name, os.O_RDONLY | os.O_CLOEXEC)
    try:
        # os.setns exists from Python 3.12 on.
        if ctypes.CDLL(None, use_errno=True).setns(descriptor, _CLONE_NEWNET):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), name)
    finally:
        os.close(descriptor)
