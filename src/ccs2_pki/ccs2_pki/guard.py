"""The door to the node's services: a token with the right role, and patience after wrong ones."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from ccs2_pki.errors import ErrorCode, PkiError
from ccs2_pki.tokens import LockOut, TokenFile, TokenRole, check


@dataclass
class Guard:
    """Decides who may call what; holds the lock-out of this process."""

    tokens: TokenFile
    lock_out: LockOut
    monotonic: Callable[[], float]

    def is_locked(self) -> bool:
        """Tell whether nobody is heard at present."""
        return self.lock_out.is_locked(self.monotonic())

    def admit(self, token: str, role: TokenRole, now: datetime | None) -> str:
        """Return the name the token was made for.

        Raises PkiError: DENIED for anything but a valid token with the role, or while locked;
        TIME_NOT_TRUSTED because without a clock no token can be known to be still valid; STORAGE.
        """
        if self.is_locked():
            raise PkiError(ErrorCode.DENIED, 'locked after too many wrong tokens; try later')
        if now is None:
            raise PkiError(ErrorCode.TIME_NOT_TRUSTED, 'clock of the station is not set')
        record = check(self.tokens.records(), token, role, now)
        if record is None:
            self.lock_out.failed(self.monotonic())
            raise PkiError(ErrorCode.DENIED, f'no valid token with the role {role.value}')
        self.lock_out.succeeded()
        return record.name
