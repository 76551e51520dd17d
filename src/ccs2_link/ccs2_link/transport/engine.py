"""What the station's TLS is like, whichever library carries it out.

Two do: :mod:`~ccs2_link.transport.local_engine` for keys in this process,
:mod:`~ccs2_link.transport.token_engine` for keys in a PKCS#11 token.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from OpenSSL import SSL, crypto

from ccs2_pki.certificate import Certificate
from ccs2_pki.signatures import PrivateKey

SUITE_1_2 = 'ECDHE-ECDSA-AES128-SHA256'
SUITES_1_3 = 'TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256'
OPTIONS: int = (SSL.OP_NO_TICKET | SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION
                | SSL.OP_CIPHER_SERVER_PREFERENCE)
SESSION_ID_CONTEXT = b'ccs2'

#: Judges a peer's chain: (OpenSSL's error so far, DER of leaf and issuers) to an error, 0 = fine.
Judge = Callable[[int, list[bytes]], int]


@dataclass(frozen=True, slots=True)
class Terms:
    """What a server offers and asks with one chain on one version of TLS."""

    version: int
    """Its number in the protocol; no other one is spoken."""
    groups: str
    """OpenSSL's names, in order of preference; so are the signature algorithms."""
    signatures: str
    chain: tuple[Certificate, ...]
    """Leaf first, without the root."""
    key: PrivateKey = field(repr=False)
    staple: Callable[[], bytes]
    """Returns an OCSP response about the leaf, b'' if there is no good one."""
    named_anchors: tuple[Certificate, ...] = ()
    """Roots whose names the vehicle is told. OpenSSL does not use them: of two roots with the same
    name it would take any. The chain check of `ccs2_pki` finds the right one."""
    key_log: Callable[[bytes], None] | None = None


class Engine(Protocol):
    """One TLS connection on memory BIOs: what is used of pyOpenSSL's `SSL.Connection`, and `work`.

    Each method raises `SSL.WantReadError` if there is nothing to do before the peer has sent more,
    and `SSL.Error` on failure.
    """

    def bio_write(self, data: bytes) -> int:
        """Take octets of the socket."""

    def bio_read(self, size: int) -> bytes:
        """Return octets for the socket."""

    def do_handshake(self) -> None:
        """Go on with the handshake; return once it is done."""

    def work(self) -> Callable[[], None] | None:
        """Return what has to be run, elsewhere, before `do_handshake` can go on; once, then None.

        Until it has ended, octets of the socket are kept, and there are none for the socket.
        """

    def recv(self, size: int) -> bytes:
        """Return octets of the application; `SSL.ZeroReturnError` after close_notify."""

    def sendall(self, data: bytes) -> int:
        """Encrypt octets of the application."""

    def shutdown(self) -> bool:
        """Send close_notify."""

    def get_cipher_name(self) -> str | None:
        """Return the name of the cipher suite."""

    def get_protocol_version(self) -> int:
        """Return the version of TLS."""

    def get_peer_certificate(self) -> crypto.X509 | None:
        """Return the peer's certificate, None if it has presented none."""


class ServerContext(Protocol):
    """One chain on one version, ready to serve: made from :class:`Terms`."""

    @property
    def problem(self) -> str:
        """Why the key does not sign at present, '' if it does."""

    def engine(self, judge: Judge | None) -> Engine:
        """Return the engine of a new connection.

        With `judge` the peer is asked for a certificate. If it presents one, `judge` is called for
        each thing that OpenSSL finds wrong (at least once, for OpenSSL has no root), and for each
        certificate in the end. The error that it returns makes the alert.
        """
