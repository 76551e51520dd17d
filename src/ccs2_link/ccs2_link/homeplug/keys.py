"""Network keys of a HomePlug logical network, and the secrecy of the one that matters."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import Any, NoReturn

NMK_LENGTH = 16
NID_LENGTH = 7
_NID_ROUNDS = 5


class Nmk:
    """A network membership key: 16 octets that never show up in a text, a copy or a pickle.

    Whoever knows it is in the logical network, so it leaves this object through `reveal` alone,
    which only the frame codec calls.
    """

    __slots__ = ('_octets',)

    def __init__(self, octets: bytes) -> None:
        """Take the 16 octets of a key; raise ValueError on any other length."""
        if len(octets) != NMK_LENGTH:
            raise ValueError(f'an NMK has {NMK_LENGTH} octets, not {len(octets)}')
        self._octets = bytes(octets)

    @classmethod
    def fresh(cls) -> Nmk:
        """Draw a new key from the operating system's cryptographic source."""
        return cls(secrets.token_bytes(NMK_LENGTH))

    def reveal(self) -> bytes:
        """Return the octets, to be put into a management message and nowhere else."""
        return self._octets

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Nmk) and hmac.compare_digest(self._octets, other._octets)

    def __hash__(self) -> int:
        return hash(nid_of(self))

    def __repr__(self) -> str:
        return 'Nmk(***)'

    def __reduce__(self) -> NoReturn:
        raise TypeError('an NMK is not serialised')

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __deepcopy__(self, memo: Any) -> Nmk:
        return self


def nid_of(nmk: Nmk) -> bytes:
    """Derive the 7 octets of the network identifier that belong to a key.

    SHA-256 five times without salt; 52 bits of the digest, then the security level, which is
    0 ("simple connect") in ISO 15118-3 networks. Source: HomePlug AV, NID derivation.
    """
    digest = nmk.reveal()
    for _ in range(_NID_ROUNDS):
        digest = hashlib.sha256(digest).digest()
    return digest[: NID_LENGTH - 1] + bytes([digest[NID_LENGTH - 1] >> 4])
