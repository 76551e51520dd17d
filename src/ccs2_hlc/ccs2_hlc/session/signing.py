"""Making signatures of messages: SignedInfo over elements, and a key's value over that.

The station signs nothing itself; vehicles, back offices and mobility operators do.
"""

from __future__ import annotations

from collections.abc import Sequence

from ccs2_pki.signatures import (
    CANONICAL_EXI,
    PrivateKey,
    SignatureSuite,
    SignedElement,
    make_references,
    sign,
    suite_of_key,
)

from .. import exi
from ..exi.messages import xmldsig


def signed_info(
    elements: Sequence[SignedElement], suite: SignatureSuite,
) -> xmldsig.SignedInfo:
    """Return what a signature over these elements signs."""
    return xmldsig.SignedInfo(
        canonicalization_method=xmldsig.CanonicalizationMethod(algorithm=CANONICAL_EXI),
        signature_method=xmldsig.SignatureMethod(algorithm=suite.signature_method),
        reference=[
            xmldsig.Reference(
                uri=each.uri,
                transforms=xmldsig.Transforms(transform=[
                    xmldsig.Transform(algorithm=algorithm) for algorithm in each.transforms]),
                digest_method=xmldsig.DigestMethod(algorithm=each.digest_method),
                digest_value=each.digest_value)
            for each in make_references(elements, suite)])


def sealed(info: xmldsig.SignedInfo, value: bytes) -> xmldsig.Signature:
    """Return the signature with this value, r and s."""
    return xmldsig.Signature(
        signed_info=info, signature_value=xmldsig.SignatureValue(value=value))


def seal(key: PrivateKey, info: xmldsig.SignedInfo) -> xmldsig.Signature:
    """Return the key's signature; SignedInfo is encoded by the schema of xmldsig alone.

    A key of another suite than SignedInfo names makes a signature of its own kind.
    """
    data = exi.encode_fragment('xmldsig', 'SignedInfo', info)
    return sealed(info, sign(key, data, suite_of_key(key.public_key())))
