"""An NSS key log: with it, a recording of TLS can be decrypted. For laboratories only."""

from __future__ import annotations

import os
from pathlib import Path


class KeyLog:
    """Appends lines to a file that only its owner can read; raises OSError if it cannot be made."""

    def __init__(self, path: Path) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        self._file = os.open(path, flags, 0o600)
        os.fchmod(self._file, 0o600)

    def write(self, line: bytes) -> None:
        """Append one line."""
        os.write(self._file, line + b'\n')

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)
