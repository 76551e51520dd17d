"""What an engine is given for one session besides what it hears while that runs."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from .protocols import Protocol
from .station import Decision, Station
from .transport import Security
from .views import AuthorizationKind

CHALLENGE_LENGTH = 16


def random_challenge() -> bytes:
    """Return a challenge from a cryptographic source ([V2G2-826]: at least 120 bits)."""
    return secrets.token_bytes(CHALLENGE_LENGTH)


@dataclass(frozen=True, slots=True, kw_only=True)
class Paused:
    """What is kept of a session that the vehicle has paused, until it comes back."""

    protocol: Protocol
    session_id: bytes
    authorization: AuthorizationKind
    authorized: bool
    #: Of the contract that pays, '' if none does.
    contract_id: str = ''


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """One session's station, connection, and sources of random octets."""

    station: Station
    new_session_id: Callable[[], bytes]
    #: Returns the decision about what the vehicle presents: a contract's id, '' without one.
    decision_about: Callable[[str], Decision]
    new_challenge: Callable[[], bytes] = random_challenge
    security: Security = Security.NONE
    #: SHA-512 of the vehicle certificate that the connection has verified, empty: none.
    vehicle_certificate_digest: bytes = b''
