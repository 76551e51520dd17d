"""What a node with hardware must not forget over a restart: faults that hold it, and wear."""

from __future__ import annotations

import asyncio
import json
import math
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from ccs2_power.faults import Code


@dataclass(frozen=True, slots=True)
class NodeRecord:
    """One node's record."""

    held: tuple[int, ...] = ()
    """Codes of the faults that hold the station."""
    contactor_cycles: int = 0
    """`safety` only, as the next one."""
    contactor_cycles_under_load: int = 0


#: A record that could not be written is tried again after this time, in s.
RETRY = 10.0


class RecordError(Exception):
    """The record cannot be read or written; the text names the file and what is wrong."""


def load_record(path: Path) -> NodeRecord:
    """Read a record; a file that does not exist yet is an empty one."""
    try:
        text = path.read_text(encoding='utf-8')
    except FileNotFoundError:
        return NodeRecord()
    except (OSError, UnicodeDecodeError) as error:
        raise RecordError(f'{path}: {error}') from None
    try:
        content = json.loads(text)
        record = NodeRecord(
            held=tuple(Code(code) for code in content['held']),
            contactor_cycles=_count(content['contactor_cycles']),
            contactor_cycles_under_load=_count(content['contactor_cycles_under_load']))
    except (ValueError, KeyError, TypeError) as error:
        raise RecordError(f'{path} is not a record of a node: {error}') from None
    return record


def save_record(path: Path, record: NodeRecord) -> None:
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


class RecordKeeper:
    """Keeps a record in its file, beside the node's loop; what could not be written is tried again.

    Raises :class:`RecordError` if there is a record that cannot be read: held faults and wear
    are never forgotten silently. Without a path they are, when the process ends.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        #: The newest record.
        self.record = self._written = NodeRecord() if path is None else load_record(path)
        #: Why the newest record is not in the file yet; '' if it is, or on its way.
        self.problem = ''
        self._saving: asyncio.Task[None] | None = None
        self._due = -math.inf

    def keep(self, record: NodeRecord, now: float) -> None:
        """Take the newest record; `now` is a monotonic time in s."""
        self.record = record
        busy = self._saving is not None and not self._saving.done()
        if record != self._written and not busy and now >= self._due:
            self._due = now + RETRY
            self._saving = asyncio.get_running_loop().create_task(self._save())

    async def close(self) -> None:
        """Write the newest record; raise :class:`RecordError` if it could not be."""
        if self._saving is not None:
            await self._saving
        await self._save()
        if self.problem:
            raise RecordError(self.problem)

    async def _save(self) -> None:
        record = self.record
        if self._path is not None and record != self._written:
            try:
                await asyncio.to_thread(save_record, self._path, record)
            except RecordError as error:
                self.problem = str(error)
                return
        self._written, self.problem, self._due = record, '', -math.inf


def _count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f'{value!r} is not a count')
    return value
