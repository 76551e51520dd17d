"""What lies between V2GTP and the socket: nothing for TCP, a TLS engine for TLS."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import Protocol


class Security(IntEnum):
    """Security of a connection; numbers of V2GConnection.SECURITY_*."""

    NONE = 0
    TLS_1_2 = 1
    TLS_1_3 = 2
    TLS_1_3_MUTUAL = 3


class ChannelError(Exception):
    """The channel has failed for good; the text says why and holds no key material."""


class Channel(Protocol):
    """Turns octets of the socket into octets of V2GTP and back, without any I/O."""

    @property
    def ready(self) -> bool:
        """V2GTP can flow: the handshake is done."""

    @property
    def security(self) -> Security:
        """What protects the connection, valid once `ready`."""

    @property
    def cipher_suite(self) -> str:
        """Name of the cipher suite, '' for TCP."""

    @property
    def vehicle_certificate_digest(self) -> bytes:
        """SHA-512 of the vehicle's verified certificate, empty if there is none."""

    @property
    def peer_closed(self) -> bool:
        """The vehicle has closed the channel in order, by its own means (close_notify)."""

    def receive(self, data: bytes) -> bytes:
        """Take octets of the socket, return those for V2GTP; raise ChannelError on failure."""

    def work(self) -> Callable[[], None] | None:
        """Return what has to be run, elsewhere because it may take long; once, then None.

        After that `receive` without octets goes on.
        """

    def send(self, data: bytes) -> None:
        """Take octets of V2GTP; :meth:`outgoing` then returns them for the socket."""

    def close(self) -> None:
        """Say that nothing more will be sent (close_notify)."""

    def outgoing(self) -> bytes:
        """Return and forget what has to go to the socket."""

    def truncation(self) -> str:
        """Return what is wrong if the socket's stream ends here, '' if nothing is."""


class PlainChannel:
    """TCP without transport security."""

    ready = True
    security = Security.NONE
    cipher_suite = ''
    vehicle_certificate_digest = b''
    peer_closed = False

    def __init__(self) -> None:
        self._outgoing = b''

    def receive(self, data: bytes) -> bytes:
        """Pass octets through."""
        return data

    def work(self) -> None:
        """Have no work: there is no handshake."""

    def send(self, data: bytes) -> None:
        """Pass octets through."""
        self._outgoing += data

    def close(self) -> None:
        """Do nothing: FIN alone ends a TCP stream."""

    def outgoing(self) -> bytes:
        """Return and forget what has to go to the socket."""
        data, self._outgoing = self._outgoing, b''
        return data

    def truncation(self) -> str:
        """Return '': a TCP stream may end anywhere."""
        return ''
