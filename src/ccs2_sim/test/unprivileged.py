"""Run a program as nobody with CAP_NET_RAW and CAP_NET_ADMIN only, as the service does.

Needs root. A private mount namespace gives nobody `/dev/net/tun`, as udev does on a board, and a
way to this Python where its folders are root's alone.
"""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

NOBODY = 65534
#: As in launch/systemd/ccs2-charger.service; bits 12 and 13 of a capability set.
CAPABILITIES, CAPABILITY_BITS = ('net_admin', 'net_raw'), 0x3000
REPOSITORY = Path(__file__).parents[3]


def _closed_folder(path):
    """Return the first folder above `path` that others may not pass, None if they may."""
    return next((parent for parent in reversed(path.parents)
                 if not parent.stat().st_mode & 0o001), None)


def _preparations():
    """Return the commands of root that come first."""
    yield 'set -e; work=$(mktemp -d); mount -t tmpfs none "$work"; chmod 755 "$work"'
    yield 'mknod -m 666 "$work/tun" c 10 200; mount --bind "$work/tun" /dev/net/tun'
    hidden = {}
    for path in (Path(sys.base_prefix).resolve(), REPOSITORY):
        if (closed := _closed_folder(path)) is not None:
            hidden.setdefault(closed, []).append(path)
    for number, (closed, paths) in enumerate(hidden.items()):
        kept = [(f'"$work/kept{number}.{index}"', shlex.quote(str(path)))
                for index, path in enumerate(paths)]
        for copy, path in kept:
            yield f'mkdir {copy}; mount --bind {path} {copy}'
        yield f'mount -t tmpfs -o mode=755 none {shlex.quote(str(closed))}'
        for copy, path in kept:
            yield f'mkdir -p {path}; mount --bind {copy} {path}'


def prefix(capabilities=CAPABILITIES):
    """Return what to put before a command to run it as nobody with these capabilities."""
    sets = ','.join(['-all', *(f'+{name}' for name in capabilities)])
    drop = ['setpriv', f'--reuid={NOBODY}', f'--regid={NOBODY}', '--clear-groups',
            '--no-new-privs', f'--bounding-set={sets}', f'--inh-caps={sets}',
            f'--ambient-caps={sets}']
    script = '\n'.join([*_preparations(), f'exec {shlex.join(drop)} "$@"'])
    return ['unshare', '--mount', 'sh', '-c', script, 'sh']


def problem():
    """Return why nothing can be run that way here, '' if it can."""
    if os.geteuid() or not all(map(shutil.which, ('unshare', 'setpriv', 'mount'))):
        return 'needs root, unshare and setpriv'
    program = 'import ccs2_link, os; os.open("/dev/net/tun", os.O_RDWR)'
    tried = subprocess.run(
        [*prefix(), sys.executable, '-c', program], capture_output=True, text=True)
    return tried.stderr.strip()[-200:] if tried.returncode else ''


def capabilities_of(pid):
    """Return the user and the effective capabilities of a process."""
    lines = Path(f'/proc/{pid}/status').read_text().splitlines()
    status = dict(line.split(':', 1) for line in lines)
    return int(status['Uid'].split()[1]), int(status['CapEff'], 16)
