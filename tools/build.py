"""Build the workspace with colcon, only if a source has changed since the last build."""

from __future__ import annotations

import compileall
import hashlib
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STAMP = ROOT / 'install' / '.built'
IGNORED = {'__pycache__', 'test', 'build', '.pytest_cache', '.hypothesis'}
GENERATED = {'.so', '.c', '.pyc'}


def sources() -> list[Path]:
    """Return every file that a build depends on."""
    found = [ROOT / 'colcon.meta', ROOT / '.venv' / '.set-up']
    for top in ('src', 'launch'):
        for folder, folders, files in os.walk(ROOT / top):
            folders[:] = [name for name in folders
                          if name not in IGNORED and not name.endswith('.egg-info')]
            found += [Path(folder, name) for name in files if Path(name).suffix not in GENERATED]
    return sorted(found)


def fingerprint() -> str:
    """Return the state of all sources as one word."""
    digest = hashlib.sha256()
    for path in sources():
        if path.exists():
            state = path.stat()
            name = path.relative_to(ROOT)
            digest.update(f'{name} {state.st_size} {state.st_mtime_ns}\n'.encode())
    return digest.hexdigest()


def main() -> int:
    """Build if needed; return colcon's exit status."""
    mark = fingerprint()
    if STAMP.exists() and STAMP.read_text() == mark:
        return 0
    # Through this interpreter: the programs that colcon installs then start with it, too.
    code = subprocess.run(
        [sys.executable, '-m', 'colcon', 'build', '--base-paths', 'src', 'launch',
         '--event-handlers', 'parallel_status-'], cwd=ROOT).returncode
    if code == 0:
        # Ten nodes start at once, and would each compile what they import, every time.
        compileall.compile_dir(ROOT / 'install', quiet=1, workers=0)
        STAMP.write_text(mark)
    return code


if __name__ == '__main__':
    sys.exit(main())
