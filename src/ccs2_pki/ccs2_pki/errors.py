"""The one exception of this package."""

import enum


class ErrorCode(enum.IntEnum):
    """Why an operation was refused; the numbers are those of the ``pki`` services."""

    DENIED = 1
    NOT_FOUND = 2
    MALFORMED = 3
    KEY_MISMATCH = 4
    CHAIN_INVALID = 5
    EXPIRED = 6
    REVOKED = 7
    TIME_NOT_TRUSTED = 8
    STORAGE = 9
    UNSUPPORTED = 10
    UNKNOWN = 999


class PkiError(Exception):
    """An operation that was refused, with a code for machines and a text for people.

    The text names what was wrong and where; it never holds a secret.
    """

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code


def malformed(message: str) -> PkiError:
    """Return the error for bytes that are not what they should be."""
    return PkiError(ErrorCode.MALFORMED, message)
