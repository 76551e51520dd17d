"""The engine under the address and undefined-behaviour sanitizers."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1]
DRIVER = Path(__file__).with_name('exi_sanitizer_driver.py')
FLAGS = '-O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined'


@pytest.fixture(scope='module')
def runtime():
    """Return the path of the sanitizer's library."""
    compiler = shutil.which('gcc')
    if compiler is None:
        pytest.skip('there is no gcc')
    found = subprocess.run(
        [compiler, '-print-file-name=libasan.so'], capture_output=True, text=True, check=True)
    library = Path(found.stdout.strip())
    if not library.is_absolute():
        pytest.skip('gcc comes without libasan')
    pytest.importorskip('Cython')
    return library.resolve()


@pytest.fixture(scope='module')
def build():
    """Return a directory with an instrumented build of the present sources."""
    sources = sorted(path for path in (PACKAGE / 'ccs2_hlc' / 'exi').rglob('*')
                     if path.suffix in ('.py', '.pyx', '.pxd', '.pxi'))
    digest = hashlib.sha256(b''.join(path.read_bytes() for path in sources)).hexdigest()[:16]
    directory = Path(tempfile.gettempdir()) / f'ccs2-exi-sanitized-{os.getuid()}-{digest}'
    if not (directory / 'done').exists():
        for path in [*sources, PACKAGE / 'ccs2_hlc' / '__init__.py', PACKAGE / 'setup.py',
                     PACKAGE / 'setup.cfg']:
            target = directory / path.relative_to(PACKAGE)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
        subprocess.run(
            [sys.executable, 'setup.py', '-q', 'build_ext', '--inplace'], cwd=directory,
            env={**os.environ, 'CFLAGS': FLAGS, 'LDFLAGS': FLAGS}, check=True,
            capture_output=True)
        (directory / 'done').touch()
    return directory


def test_damaged_streams_give_no_sanitizer_report(runtime, build):
    done = subprocess.run(
        [sys.executable, DRIVER], capture_output=True, text=True, check=False,
        env={**os.environ, 'PYTHONPATH': str(build), 'LD_PRELOAD': str(runtime),
             # Python's own allocator would hide its small objects from the sanitizer.
             'PYTHONMALLOC': 'malloc', 'ASAN_OPTIONS': 'detect_leaks=0',
             'UBSAN_OPTIONS': 'halt_on_error=1'})
    assert done.returncode == 0, done.stderr[-4000:]
    assert 'Sanitizer' not in done.stderr
    assert int(done.stdout) > 50_000
