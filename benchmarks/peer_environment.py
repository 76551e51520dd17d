"""The environment of the independent implementation that the benchmarks compare with.

It has one of its own, in the user's cache, because it needs old versions of what the station uses.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import venv
from pathlib import Path

REQUIREMENTS = Path(__file__).resolve().parent.parent / 'tools' / 'requirements-peer.txt'


class PeerError(RuntimeError):
    """The peer cannot be installed, or a session with it failed; the text says how."""


def _home() -> Path:
    cache = Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache')
    return cache / 'ccs2' / 'peer'


def _wanted() -> str:
    return hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()


def installed() -> bool:
    """Tell whether :func:`interpreter` has nothing left to install."""
    stamp = _home() / 'ready'
    return 'CCS2_PEER_PYTHON' in os.environ or (
        stamp.exists() and stamp.read_text() == _wanted())


def interpreter() -> Path:
    """Return the peer's Python, installed on first use; raise :class:`PeerError` if that fails.

    The environment variable CCS2_PEER_PYTHON names another one.
    """
    if given := os.environ.get('CCS2_PEER_PYTHON'):
        return Path(given)
    home = _home()
    python = home / 'bin' / 'python'
    if not installed():
        venv.create(home, with_pip=True, clear=True)
        done = subprocess.run(
            [python, '-m', 'pip', 'install', '-q', '--disable-pip-version-check',
             '-r', REQUIREMENTS], capture_output=True, text=True, check=False)
        if done.returncode:
            raise PeerError(done.stderr.strip().splitlines()[-1])
        (home / 'ready').write_text(_wanted())
    return python
