"""What the safety supervisor must not forget over a restart: wear and latched faults."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from ccs2_power.faults import Code


@dataclass(frozen=True, slots=True)
class SupervisorRecord:
    """One connector's record."""

    contactor_cycles: int = 0
    contactor_cycles_under_load: int = 0
    latched: tuple[int, ...] = ()
    """Codes of the faults that are cleared only by hand."""


class RecordError(Exception):
    """The record cannot be read or written; the text names the file and what is wrong."""


def load_record(path: Path) -> SupervisorRecord:
    """Read a record; a file that does not exist yet is an empty one."""
    try:
        text = path.read_text(encoding='utf-8')
    except FileNotFoundError:
        return SupervisorRecord()
    except (OSError, UnicodeDecodeError) as error:
        raise RecordError(f'{path}: {error}') from None
    try:
        content = json.loads(text)
        record = SupervisorRecord(
            contactor_cycles=_count(content['contactor_cycles']),
            contactor_cycles_under_load=_count(content['contactor_cycles_under_load']),
            latched=tuple(Code(code) for code in content['latched']))
    except (ValueError, KeyError, TypeError) as error:
        raise RecordError(f'{path} is not a record of the safety supervisor: {error}') from None
    return record


def save_record(path: Path, record: SupervisorRecord) -> None:
    """Replace the record so that a power cut leaves either the old or the new one."""
    temporary = path.with_name(f'{path.name}.new')
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open('w', encoding='utf-8') as file:
            json.dump(asdict(record), file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise RecordError(f'{path}: {error}') from None


def _count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f'{value!r} is not a count')
    return value
