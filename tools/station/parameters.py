"""The simulation's parameter files, changed for a purpose."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

SIMULATION = Path(__file__).resolve().parents[2] / 'launch/config/simulation'


def direct_link(interface: str) -> list[tuple[str, str, str]]:
    """Return the changes for a car that is on a network interface, without modem and SLAC."""
    return [('plc_link.yaml', 'driver: sim_qca7000', 'driver: direct'),
            ('plc_link.yaml', 'interface: lo', f'interface: {interface}')]


def changed(
    folder: Path, changes: Iterable[tuple[str, str, str]], source: Path = SIMULATION,
) -> Path:
    """Copy the parameter files to a new folder, with a text of a file replaced by another each.

    Raises ``ValueError`` if a file does not have that text.
    """
    shutil.copytree(source, folder)
    for name, old, new in changes:
        text = (folder / name).read_text()
        if old not in text:
            raise ValueError(f'{name} does not say {old!r}')
        (folder / name).write_text(text.replace(old, new))
    return folder
