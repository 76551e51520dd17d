"""How a session ended."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class ErrorCode(IntEnum):
    """The result codes of ``ccs2_interfaces/action/Charge``."""

    NONE = 0
    NO_ANSWER = 1
    """No SDP answer, or no pilot."""
    CONNECTION = 2
    """No TCP or TLS connection, or it was lost."""
    NEGOTIATION = 3
    """No common protocol."""
    REFUSED = 4
    """A FAILED response, or one that does not belong there."""
    TIMEOUT = 5
    """The station is too slow."""
    POWER = 6
    """The station's voltage or current is not as agreed."""
    STOPPED_BY_STATION = 7
    """The station ended it, regularly."""
    EMERGENCY = 8
    """The station reported an emergency or a malfunction."""
    CANCELED = 9
    UNKNOWN = 999


@dataclass(frozen=True)
class Outcome:
    """Why a session is over; `text` is for people."""

    error: ErrorCode
    text: str


class Ended(Exception):
    """Raised by a step to end the session at once, without further messages."""

    def __init__(self, error: ErrorCode, text: str) -> None:
        super().__init__(text)
        self.outcome = Outcome(error, text)
