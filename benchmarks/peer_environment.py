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


def interpreter() -> Path:
    """Return the peer's Python, installed on first use; raise :class:`PeerError` if that fails.

    The environment variable CCS2_PEER_PYTHON names another one.
    """
    if given := os.environ.get('CCS2_PEER_PYTHON'):
        return Path(given)
    cache = Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache')
    home = cache / 'ccs2' / 'peer'
    python, stamp = home / 'bin' / 'python', home / 'ready'
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
    if not (stamp.exists() and stamp.read_text() == wanted):
        venv.create(home, with_pip=True, clear=True)
        done = subprocess.run(
            [python, '-m', 'pip', 'install', '-q', '--disable-pip-version-check',
             '-r', REQUIREMENTS], capture_output=True, text=True, check=False)
        if done.returncode:
            raise PeerError(done.stderr.strip().splitlines()[-1])
        stamp.write_text(wanted)
    return python
