"""Files that are there completely or not at all, and that nobody else can read.

A write goes to a temporary file of mode 0600 in the same directory, is synced, renamed over the
name and the directory is synced. A kill or a power cut at any point leaves the old content or the
new one.
"""

import contextlib
import fcntl
import os
import secrets
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from ccs2_pki.errors import ErrorCode, PkiError

TEMPORARY_PREFIX = '.new-'
_LOCK_PATIENCE = 2.0
"""Seconds to wait for another process's change, which takes milliseconds."""


def storage_error(what: str, error: OSError) -> PkiError:
    """Return the documented error for a failing file system."""
    return PkiError(ErrorCode.STORAGE, f'{what}: {error.strerror or type(error).__name__}')


def write_file(path: Path, data: bytes) -> None:
    """Put a file of mode 0600 in place, atomically; raises PkiError (STORAGE)."""
    temporary = path.parent / f'{TEMPORARY_PREFIX}{secrets.token_hex(8)}'
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(temporary, flags, 0o600)
        try:
            os.fchmod(descriptor, 0o600)
            _write_all(descriptor, data)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.rename(temporary, path)
        sync_directory(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise storage_error(f'cannot write {path.name}', error) from None


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view):]


def sync_directory(path: Path) -> None:
    """Make renames and removals in a directory durable; raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_file(path: Path, max_size: int) -> bytes:
    """Read a regular file of our own that nobody else can reach.

    Raises PkiError (STORAGE) for a link, a pipe, another owner, a mode beyond 0600 or too large a
    file, and FileNotFoundError if there is none.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise storage_error(f'cannot open {path.name}', error) from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise PkiError(ErrorCode.STORAGE, f'{path.name} is not a regular file')
        check_private(path, status)
        data = _read_up_to(descriptor, max_size + 1)
    except OSError as error:
        raise storage_error(f'cannot read {path.name}', error) from None
    finally:
        os.close(descriptor)
    if len(data) > max_size:
        raise PkiError(ErrorCode.STORAGE, f'{path.name} is larger than {max_size} octets')
    return data


def _read_up_to(descriptor: int, size: int) -> bytes:
    parts = []
    while size > 0 and (part := os.read(descriptor, size)):
        parts.append(part)
        size -= len(part)
    return b''.join(parts)


def check_private(path: Path, status: os.stat_result) -> None:
    """Refuse what belongs to another user or is open to others; raises PkiError (STORAGE)."""
    if status.st_uid != os.geteuid():
        raise PkiError(ErrorCode.STORAGE, f'{path.name} belongs to user {status.st_uid}; '
                                          f'run as that user, not as {os.geteuid()}')
    if status.st_mode & 0o077:
        raise PkiError(ErrorCode.STORAGE, f'{path.name} has mode {stat.S_IMODE(status.st_mode):o}; '
                                          'group and others must have no access')


def private_directory(path: Path, *, create: bool) -> None:
    """Check that a directory is ours alone, making it with mode 0700 on request.

    Raises PkiError: NOT_FOUND if it is missing, STORAGE if it is a link, another's or open to
    others.
    """
    try:
        if create and not path.exists():
            path.mkdir(mode=0o700, parents=True, exist_ok=True)  # another may have been faster
            sync_directory(path.parent)
        status = os.lstat(path)
    except FileNotFoundError:
        raise PkiError(ErrorCode.NOT_FOUND, f'there is no directory {path}') from None
    except OSError as error:
        raise storage_error(f'cannot use {path}', error) from None
    if not stat.S_ISDIR(status.st_mode):
        raise PkiError(ErrorCode.STORAGE, f'{path} is not a directory')
    check_private(path, status)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on a file; raises PkiError (STORAGE) if another keeps holding it."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise storage_error(f'cannot lock {path.name}', error) from None
    try:
        deadline = time.monotonic() + _LOCK_PATIENCE
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise PkiError(ErrorCode.STORAGE,
                                   'another process is changing the store') from None
                time.sleep(0.01)
        yield
    finally:
        os.close(descriptor)  # releases the lock
