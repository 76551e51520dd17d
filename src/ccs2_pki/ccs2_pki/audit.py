"""The audit trail: one line for each guarded operation, allowed or not."""

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from ccs2_pki.atomic import locked, storage_error

MAX_FILE_SIZE = 1 << 20


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """One operation; never holds a secret."""

    time: str
    """ISO 8601, UTC, as the station's clock had it."""
    operation: str
    principal: str
    """Name of the token used, 'local:<user>' for the command line, '' if no valid token was
    shown."""
    allowed: bool
    result: int
    """0 or an ErrorCode."""
    detail: str


def record(operation: str, principal: str, *, allowed: bool, result: int,
           detail: str) -> AuditRecord:
    """Make a record of now; texts are cut to what the topic carries."""
    stamp = datetime.now(UTC).isoformat(timespec='seconds')
    return AuditRecord(stamp, operation[:32], principal[:64], allowed, result, detail[:256])


class AuditFile:
    """Records as JSON lines in ``audit.jsonl``; the file before it is kept as ``audit.jsonl.1``."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / 'audit.jsonl'
        self._lock = directory / 'lock'

    def append(self, entry: AuditRecord) -> None:
        """Write one record durably; raises PkiError (STORAGE)."""
        line = json.dumps(asdict(entry), ensure_ascii=True).encode() + b'\n'
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        with locked(self._lock):
            try:
                descriptor = os.open(self._path, flags, 0o600)
                try:
                    size = os.fstat(descriptor).st_size
                    if size and os.pread(descriptor, 1, size - 1) != b'\n':
                        line = b'\n' + line  # after a line that a power cut left unfinished
                    os.write(descriptor, line)
                    os.fsync(descriptor)
                    full = os.fstat(descriptor).st_size > MAX_FILE_SIZE
                finally:
                    os.close(descriptor)
                if full:
                    os.rename(self._path, self._path.with_name('audit.jsonl.1'))
            except OSError as error:
                raise storage_error('cannot write the audit trail', error) from None

    def records(self) -> Iterator[AuditRecord]:
        """Read the records of the present file, oldest first; skips a line that is damaged."""
        if not self._path.exists():
            return
        with self._path.open(encoding='ascii', errors='replace') as lines:
            for line in lines:
                try:
                    yield AuditRecord(**json.loads(line))
                except (ValueError, TypeError):
                    continue
