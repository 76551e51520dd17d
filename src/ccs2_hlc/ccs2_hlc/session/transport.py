"""The connection with a vehicle: what the transport reports, and what it is told to do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Security(IntEnum):
    """What protects the connection."""

    NONE = 0
    TLS_1_2 = 1
    TLS_1_3 = 2
    #: The vehicle's certificate was presented and verified.
    TLS_1_3_MUTUAL = 3


class LinkState(IntEnum):
    """State of the transport."""

    UNKNOWN = 0
    DOWN = 1
    LISTENING = 2
    OPEN = 3
    CLOSED = 4


class CloseReason(IntEnum):
    """Why the last connection ended."""

    NONE = 0
    BY_STATION = 1
    BY_VEHICLE = 2
    RESET = 3
    TIMEOUT = 4
    FRAMING = 5
    TLS = 6
    LINK_LOST = 7
    SHUTDOWN = 8


class DataLink(IntEnum):
    """What the end of a connection means for the data link (ISO 15118-3 D-LINK primitives)."""

    KEEP = 0
    TERMINATE = 1
    PAUSE = 2
    ERROR = 3


class Action(IntEnum):
    """What the transport has to do."""

    SEND = 0
    SEND_THEN_CLOSE = 1
    CLOSE = 2
    #: Send nothing, wait for the next request.
    IGNORE = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """The transport's report."""

    state: LinkState
    connection_id: int = 0
    #: Identifies the start of the data link; another value is another link.
    link_since: tuple[int, int] = (0, 0)
    security: Security = Security.NONE
    close_reason: CloseReason = CloseReason.NONE
    close_message: str = ''
    vehicle_certificate_digest: bytes = b''
