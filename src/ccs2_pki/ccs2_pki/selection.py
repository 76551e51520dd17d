"""Which of the station's chains to present, by what the car trusts.

Sources: ISO 15118-2 [V2G2-651], [V2G2-871] (trusted_ca_keys, RFC 6066); ISO 15118-20 [V2G20-1006],
[V2G20-1007], [V2G20-2378] (certificate_authorities, RFC 8446).
"""

import enum
import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from ccs2_pki.certificate import Certificate, KeyAlgorithm, key_bits
from ccs2_pki.revocation import RevocationData, name_der
from ccs2_pki.store import SeccChain

ISO2_KEYS = (KeyAlgorithm.P256,)
ISO20_KEYS = (KeyAlgorithm.P521, KeyAlgorithm.ED448)


class IdentifierType(enum.IntEnum):
    """Kinds of trusted authorities in trusted_ca_keys."""

    PRE_AGREED = 0
    KEY_SHA1 = 1
    X509_NAME = 2
    CERT_SHA1 = 3


@dataclass(frozen=True, slots=True)
class TrustedAuthority:
    """One root that a car says to trust."""

    type: IdentifierType
    value: bytes = b''
    """SHA-1 digest, or the DER encoding of a name; empty for PRE_AGREED."""

    def names(self, root: Certificate) -> bool:
        """Tell whether this identifies the root."""
        if self.type is IdentifierType.X509_NAME:
            return self.value == name_der(root)
        if self.type is IdentifierType.KEY_SHA1:
            return self.value == _sha1(key_bits(root))
        if self.type is IdentifierType.CERT_SHA1:
            return self.value == _sha1(root.der)
        return False


def _sha1(data: bytes) -> bytes:
    return hashlib.sha1(data, usedforsecurity=False).digest()  # what RFC 6066 defines


def usable(chains: Sequence[SeccChain], keys: Collection[KeyAlgorithm],
           now: datetime | None) -> list[SeccChain]:
    """Return the chains with a key of the wanted kind that are valid now, longest-lived first.

    Without a trusted time (``now`` None) validity is not looked at: the car checks it, and a
    station without Plug and Charge may still offer TLS.
    """
    fitting = [chain for chain in chains if chain.leaf.key_algorithm in keys
               and (now is None or all(c.not_before <= now <= c.not_after for c in chain.chain))]
    return sorted(fitting, key=lambda chain: chain.leaf.not_after, reverse=True)


def choose(chains: Sequence[SeccChain],
           authorities: Sequence[TrustedAuthority]) -> SeccChain | None:
    """Return the chain whose root the car trusts, in the car's order; the first one if none fits.

    A car that names no known root gets the first chain, for it may hold the root without saying so.
    None only if there is no chain at all.
    """
    for authority in authorities:
        for chain in chains:
            if chain.root is not None and authority.names(chain.root):
                return chain
    return chains[0] if chains else None


def staples(chain: SeccChain, revocation: RevocationData, now: datetime) -> list[bytes | None]:
    """Return an OCSP response (DER) for each certificate, leaf first; None where none is good."""
    issuers = [*chain.chain[1:], chain.root]
    return [None if issuer is None else revocation.staple(certificate, issuer, now)
            for certificate, issuer in zip(chain.chain, issuers, strict=True)]
