"""Signatures of Plug & Charge messages: EXI fragments in, a verdict out.

This module knows no message and no EXI. The session engine re-encodes the signed elements and
SignedInfo as EXI fragments and hands over bytes; here they are digested, compared and verified.

Sources: ISO 15118-2 clause 7.9.2.4 (ECDSA, SHA-256, SignatureValue as r then s, 32 octets each,
[V2G2-771] attributes that must be absent, four references at most); ISO 15118-20 clause 7.9.2.4
(ECDSA with P-521 and SHA-512: 66 octets each; Ed448: 114 octets). Both name canonical EXI as
canonicalization and as the one transform.
"""

import enum
import hmac
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)

from ccs2_pki.certificate import KeyAlgorithm, PublicKey, digest
from ccs2_pki.errors import ErrorCode, PkiError, malformed

CANONICAL_EXI = 'http://www.w3.org/TR/canonical-exi/'
MAX_REFERENCES = 4

PrivateKey = ec.EllipticCurvePrivateKey | ed448.Ed448PrivateKey


@dataclass(frozen=True, slots=True)
class SignatureSuite:
    """One combination of signature and digest algorithm that a V2G profile names."""

    name: str
    signature_method: str
    """Algorithm URI of SignatureMethod."""
    digest_method: str
    """Algorithm URI of DigestMethod."""
    hash: hashes.HashAlgorithm = field(repr=False)
    key_algorithm: KeyAlgorithm
    scalar_size: int
    """Octets of r and of s; for Ed448 half of the signature."""

    @property
    def signature_size(self) -> int:
        """Octets of SignatureValue."""
        return 2 * self.scalar_size


_MORE = 'http://www.w3.org/2001/04/xmldsig-more#'
_XMLENC = 'http://www.w3.org/2001/04/xmlenc#'

ECDSA_SHA256 = SignatureSuite('ecdsa-sha256', _MORE + 'ecdsa-sha256', _XMLENC + 'sha256',
                              hashes.SHA256(), KeyAlgorithm.P256, 32)
ECDSA_SHA512 = SignatureSuite('ecdsa-sha512', _MORE + 'ecdsa-sha512', _XMLENC + 'sha512',
                              hashes.SHA512(), KeyAlgorithm.P521, 66)
EDDSA_ED448 = SignatureSuite('eddsa-ed448', 'http://www.w3.org/2021/04/xmldsig-more#eddsa-ed448',
                             _XMLENC + 'sha512', hashes.SHA512(), KeyAlgorithm.ED448, 57)

ISO2_SUITES = (ECDSA_SHA256,)
ISO20_SUITES = (ECDSA_SHA512, EDDSA_ED448)


class SignatureResult(enum.Enum):
    """Outcome of a signature check; the value is the reason in words."""

    OK = 'signature is valid'
    CANONICALIZATION = 'CanonicalizationMethod is not canonical EXI'
    SIGNATURE_METHOD = 'SignatureMethod is not allowed here'
    FORBIDDEN_ATTRIBUTE = 'an attribute or element is present that the profile forbids'
    REFERENCE_COUNT = 'not exactly one Reference for each signed element'
    REFERENCE_URI = 'a Reference names another element'
    DUPLICATE_REFERENCE = 'two References name the same element'
    DUPLICATE_ID = 'two signed elements carry the same Id'
    TRANSFORM = 'a Reference has other transforms than canonical EXI alone'
    DIGEST_METHOD = 'DigestMethod does not belong to the SignatureMethod'
    DIGEST_MISMATCH = 'a signed element was changed'
    KEY_ALGORITHM = 'the key is not of the SignatureMethod'
    SIGNATURE_SIZE = 'SignatureValue has a wrong length'
    SIGNATURE_INVALID = 'the key has not made this signature'

    @property
    def reason(self) -> str:
        """Reason in words."""
        return self.value

    @property
    def accepted(self) -> bool:
        """True if the signed elements may be relied on."""
        return self is SignatureResult.OK


@dataclass(frozen=True, slots=True)
class Reference:
    """A Reference of SignedInfo, as received."""

    uri: str
    digest_value: bytes
    digest_method: str
    transforms: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SignedElement:
    """An element that must be signed: its Id and its EXI fragment, encoded from its values."""

    id: str
    fragment: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class SignatureToCheck:
    """A received Signature element."""

    signed_info: Sequence[bytes]
    """EXI fragment of SignedInfo: first in the grammar of the xmldsig schema alone, which peers
    sign; then any other form to be tolerated. The signature has to fit one of them."""
    references: Sequence[Reference]
    canonicalization_method: str
    signature_method: str
    signature_value: bytes
    forbidden: bool = False
    """Whether SignedInfo/@Id, Reference/@Type, SignatureValue/@Id or HMACOutputLength is there."""


def verify(signature: SignatureToCheck, elements: Sequence[SignedElement], key: PublicKey,
           suites: Collection[SignatureSuite]) -> SignatureResult:
    """Check that the key signed exactly these elements, no more and no less. Raises nothing.

    ``suites`` is what the caller accepts: the message must not choose a weaker one on its own.
    """
    result = verify_digests(signature, elements, suites)
    suite = _suite_of(signature, suites)
    if suite is None or not result.accepted:
        return result
    if not _is_key_of(key, suite):
        return SignatureResult.KEY_ALGORITHM
    if len(signature.signature_value) != suite.signature_size:
        return SignatureResult.SIGNATURE_SIZE
    if any(_is_signed(key, data, signature.signature_value, suite)
           for data in signature.signed_info):
        return SignatureResult.OK
    return SignatureResult.SIGNATURE_INVALID


def verify_digests(signature: SignatureToCheck, elements: Sequence[SignedElement],
                   suites: Collection[SignatureSuite]) -> SignatureResult:
    """Check that exactly these elements are signed, whoever has signed them. Raises nothing.

    For a caller who does not know the signer: the elements are as the signature says, and that is
    all. :func:`verify` needs the key, too.
    """
    if signature.canonicalization_method != CANONICAL_EXI:
        return SignatureResult.CANONICALIZATION
    suite = _suite_of(signature, suites)
    if suite is None:
        return SignatureResult.SIGNATURE_METHOD
    if signature.forbidden:
        return SignatureResult.FORBIDDEN_ATTRIBUTE
    return _check_references(signature.references, elements, suite)


def _suite_of(signature: SignatureToCheck,
              suites: Collection[SignatureSuite]) -> SignatureSuite | None:
    return next((s for s in suites if s.signature_method == signature.signature_method), None)


def _check_references(references: Sequence[Reference], elements: Sequence[SignedElement],
                      suite: SignatureSuite) -> SignatureResult:
    if not elements or len(references) != len(elements) or len(references) > MAX_REFERENCES:
        return SignatureResult.REFERENCE_COUNT
    fragments = {f'#{element.id}': element.fragment for element in elements}
    if len(fragments) != len(elements):
        return SignatureResult.DUPLICATE_ID
    if len({reference.uri for reference in references}) != len(references):
        return SignatureResult.DUPLICATE_REFERENCE
    for reference in references:
        if reference.uri not in fragments:
            return SignatureResult.REFERENCE_URI
        if reference.transforms != (CANONICAL_EXI,):
            return SignatureResult.TRANSFORM
        if reference.digest_method != suite.digest_method:
            return SignatureResult.DIGEST_METHOD
        if not hmac.compare_digest(reference.digest_value,
                                   digest(suite.hash, fragments[reference.uri])):
            return SignatureResult.DIGEST_MISMATCH
    return SignatureResult.OK


def make_references(elements: Sequence[SignedElement], suite: SignatureSuite) -> list[Reference]:
    """Return the References of a SignedInfo that signs these elements."""
    return [Reference(f'#{element.id}', digest(suite.hash, element.fragment), suite.digest_method,
                      (CANONICAL_EXI,)) for element in elements]


def sign(key: PrivateKey, signed_info: bytes, suite: SignatureSuite) -> bytes:
    """Return SignatureValue over the EXI fragment of SignedInfo.

    Raises PkiError (UNSUPPORTED) if the key is not of the suite.
    """
    if not _is_key_of(key.public_key(), suite):
        raise PkiError(ErrorCode.UNSUPPORTED, f'key is not of the suite {suite.name}')
    if isinstance(key, ed448.Ed448PrivateKey):
        return key.sign(signed_info)
    return der_to_raw(key.sign(signed_info, ec.ECDSA(suite.hash)), suite.scalar_size)


def suite_of_key(key: PublicKey) -> SignatureSuite:
    """Return the suite a key signs with; raises PkiError (UNSUPPORTED) if there is none."""
    for suite in (ECDSA_SHA256, ECDSA_SHA512, EDDSA_ED448):
        if _is_key_of(key, suite):
            return suite
    raise PkiError(ErrorCode.UNSUPPORTED, 'no V2G signature suite has keys of this kind')


def raw_to_der(raw: bytes, scalar_size: int) -> bytes:
    """Turn r then s, big endian, into the DER form of ECDSA signatures.

    Raises PkiError (MALFORMED) for a wrong length.
    """
    if len(raw) != 2 * scalar_size:
        raise malformed(f'signature of {len(raw)} octets, not {2 * scalar_size}')
    return encode_dss_signature(int.from_bytes(raw[:scalar_size], 'big'),
                                int.from_bytes(raw[scalar_size:], 'big'))


def der_to_raw(der: bytes, scalar_size: int) -> bytes:
    """Turn the DER form of an ECDSA signature into r then s, big endian.

    Raises PkiError (MALFORMED) if it is not DER or a number does not fit.
    """
    try:
        r, s = decode_dss_signature(der)
        return r.to_bytes(scalar_size, 'big') + s.to_bytes(scalar_size, 'big')
    except (ValueError, OverflowError):
        raise malformed(f'not a DER signature of two numbers of {scalar_size} octets') from None


def _is_key_of(key: PublicKey, suite: SignatureSuite) -> bool:
    if isinstance(key, ed448.Ed448PublicKey):
        return suite.key_algorithm is KeyAlgorithm.ED448
    return f'EC {key.curve.name}' == suite.key_algorithm.value


def _is_signed(key: PublicKey, data: bytes, raw: bytes, suite: SignatureSuite) -> bool:
    try:
        if isinstance(key, ed448.Ed448PublicKey):
            key.verify(raw, data)
        else:
            key.verify(raw_to_der(raw, suite.scalar_size), data, ec.ECDSA(suite.hash))
    except (InvalidSignature, UnsupportedAlgorithm, ValueError):
        return False
    return True
