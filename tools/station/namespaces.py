"""Station and car as two hosts: a network namespace for the car, TAP interfaces on both ends."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ament_index_python.packages import get_package_share_directory

from station.processes import StationError

#: Below /**: ros__parameters: of the simulation's files, for one connector.
STATION = {'interface: lo': 'interface: ccs2_plc0', 'tap: false': 'tap: true'}
CAR = {'interface: lo': 'interface: plc0\n    network_namespace: {namespace}'}


@contextmanager
def arguments_of(link: str) -> Iterator[dict[str, object]]:
    """Yield the launch arguments for a link, 'loopback' or 'tap'; the latter needs root."""
    if link == 'loopback':
        yield {}
        return
    if os.geteuid() or shutil.which('ip') is None:
        raise StationError('the TAP link needs root and the command ip (iproute2)')
    namespace = f'ccs2_car_{os.getpid()}'
    made = subprocess.run(['ip', 'netns', 'add', namespace], capture_output=True, text=True)
    if made.returncode:
        raise StationError(f'network namespace {namespace}: {made.stderr.strip()}')
    try:
        with tempfile.TemporaryDirectory() as directory:
            config = Path(directory, 'config')
            share = Path(get_package_share_directory('ccs2_bringup'))
            shutil.copytree(share / 'config/simulation', config)
            rewrite(config / 'plc_link.yaml', STATION)
            rewrite(config / 'car.yaml', {
                old: new.format(namespace=namespace) for old, new in CAR.items()})
            yield {'config': config}
    finally:
        subprocess.run(['ip', 'netns', 'delete', namespace], check=False)


def rewrite(file: Path, changes: dict[str, str]) -> None:
    """Change settings of a parameter file; each has to be there."""
    text = file.read_text()
    for old, new in changes.items():
        if old not in text:
            raise StationError(f'{file.name} has no {old!r}')
        text = text.replace(old, new, 1)
    file.write_text(text)
