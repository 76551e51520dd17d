"""X.509 certificates, read completely and once.

``cryptography`` reads fields lazily and each may raise when it is first touched.
:func:`parse_certificate` touches all of them, so that whoever holds a :class:`Certificate` holds
plain, checked values.
"""

import base64
import binascii
import enum
import hashlib
import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtensionOID, NameOID

from ccs2_pki.errors import PkiError, malformed
from ccs2_pki.text import printable

MAX_CERTIFICATE_SIZE = 4096
"""Octets of DER beyond which nothing is parsed at all; profiles set tighter limits."""

MAX_CHAIN_SIZE = 65536
"""Octets of a PEM file or of concatenated DER."""

MAX_CERTIFICATES = 10
"""Certificates in one file."""

MAX_NAME_TEXT = 128
"""Characters of a name that people are shown."""

PublicKey = ec.EllipticCurvePublicKey | ed448.Ed448PublicKey


class KeyAlgorithm(enum.Enum):
    """Public key algorithms of the V2G profiles."""

    P256 = 'EC secp256r1'
    P521 = 'EC secp521r1'
    ED448 = 'Ed448'
    OTHER = 'other'


class SignatureAlgorithm(enum.Enum):
    """Certificate signature algorithms of the V2G profiles."""

    ECDSA_SHA256 = 'ecdsa-with-SHA256'
    ECDSA_SHA512 = 'ecdsa-with-SHA512'
    ED448 = 'Ed448'
    OTHER = 'other'


_E = TypeVar('_E', bound=x509.ExtensionType)
_CURVES = {'secp256r1': KeyAlgorithm.P256, 'secp521r1': KeyAlgorithm.P521}
_SIGNATURES = {
    x509.SignatureAlgorithmOID.ECDSA_WITH_SHA256: SignatureAlgorithm.ECDSA_SHA256,
    x509.SignatureAlgorithmOID.ECDSA_WITH_SHA512: SignatureAlgorithm.ECDSA_SHA512,
    x509.SignatureAlgorithmOID.ED448: SignatureAlgorithm.ED448,
}
_USAGES = ('digital_signature', 'content_commitment', 'key_encipherment', 'data_encipherment',
           'key_agreement', 'key_cert_sign', 'crl_sign')
_UNDERSTOOD = frozenset({ExtensionOID.BASIC_CONSTRAINTS, ExtensionOID.KEY_USAGE,
                         ExtensionOID.EXTENDED_KEY_USAGE, ExtensionOID.CERTIFICATE_POLICIES,
                         ExtensionOID.SUBJECT_KEY_IDENTIFIER,
                         ExtensionOID.AUTHORITY_KEY_IDENTIFIER})
_LABELS = {NameOID.COMMON_NAME: 'CN', NameOID.ORGANIZATION_NAME: 'O', NameOID.COUNTRY_NAME: 'C',
           NameOID.DOMAIN_COMPONENT: 'DC'}


@dataclass(frozen=True, slots=True)
class Certificate:
    """One certificate with every field that V2G checks look at."""

    der: bytes = field(repr=False)
    subject: str
    """For people, see :func:`name_text`."""
    issuer: str
    serial: int
    not_before: datetime
    not_after: datetime
    key_algorithm: KeyAlgorithm
    signature_algorithm: SignatureAlgorithm
    subject_attributes: tuple[tuple[str, str], ...] = field(repr=False)
    """(attribute type, value) pairs in order; types are CN, O, C, DC or a dotted OID."""
    is_ca: bool = field(repr=False)
    path_length: int | None = field(repr=False)
    """pathLenConstraint, None without one."""
    key_usage: frozenset[str] | None = field(repr=False)
    """Asserted bits by their names in ``cryptography``, None without the extension."""
    extended_key_usage: frozenset[str] | None = field(repr=False)
    """Dotted OIDs, None without the extension."""
    unknown_critical: tuple[str, ...] = field(repr=False)
    """Dotted OIDs of critical extensions that nobody here evaluates."""
    subject_key_id: bytes | None = field(repr=False)
    ocsp_urls: tuple[str, ...] = field(repr=False)
    source: x509.Certificate = field(repr=False, compare=False)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the DER encoding, hexadecimal: the certificate's id in the store."""
        return hashlib.sha256(self.der).hexdigest()

    @property
    def issuer_name(self) -> str:
        """Issuer as RFC 4514 writes it, exactly: for messages, not for people."""
        return self.source.issuer.rfc4514_string()

    @property
    def common_name(self) -> str:
        """First CN of the subject, '' without one."""
        return next((value for kind, value in self.subject_attributes if kind == 'CN'), '')

    @property
    def domain_components(self) -> tuple[str, ...]:
        """All DC values of the subject."""
        return tuple(value for kind, value in self.subject_attributes if kind == 'DC')

    @property
    def public_key(self) -> PublicKey:
        """Public key; only for key algorithms other than OTHER.

        Raises PkiError (MALFORMED) for a key outside the V2G profiles.
        """
        key = self.source.public_key()
        if not isinstance(key, ec.EllipticCurvePublicKey | ed448.Ed448PublicKey):
            raise malformed(f'{self.subject}: public key is not of a V2G profile')
        return key

    @property
    def public_key_info(self) -> bytes:
        """SubjectPublicKeyInfo, DER."""
        return self.source.public_key().public_bytes(Encoding.DER,
                                                     PublicFormat.SubjectPublicKeyInfo)

    def is_named_issuer_of(self, other: 'Certificate') -> bool:
        """Tell whether our subject is the other's issuer by name alone."""
        return bool(self.source.subject == other.source.issuer)

    def has_signed(self, other: 'Certificate') -> bool:
        """Tell whether our key made the other's signature and the names agree."""
        try:
            other.source.verify_directly_issued_by(self.source)
        except (InvalidSignature, UnsupportedAlgorithm, TypeError, ValueError):
            return False
        return True

    def pem(self) -> bytes:
        """Return the certificate as PEM."""
        return self.source.public_bytes(Encoding.PEM)


def parse_certificate(der: bytes) -> Certificate:
    """Read one DER certificate completely.

    Raises PkiError (MALFORMED) and nothing else, whatever the bytes are.
    """
    if not der:
        raise malformed('certificate is empty')
    if len(der) > MAX_CERTIFICATE_SIZE:
        raise malformed(f'certificate of {len(der)} octets, at most {MAX_CERTIFICATE_SIZE}')
    try:
        return _read(bytes(der))
    except PkiError:
        raise
    except Exception as error:  # the library documents several types and raises more
        raise malformed(f'not an X.509 certificate: {type(error).__name__}') from None


def _read(der: bytes) -> Certificate:
    certificate = x509.load_der_x509_certificate(der)
    if certificate.version is not x509.Version.v3:
        raise malformed('certificate is not of X.509 version 3')
    key_algorithm = _key_algorithm(certificate)
    extensions = certificate.extensions
    constraints = _extension(extensions, x509.BasicConstraints)
    usage = _extension(extensions, x509.KeyUsage)
    extended = _extension(extensions, x509.ExtendedKeyUsage)
    subject_key = _extension(extensions, x509.SubjectKeyIdentifier)
    access = _extension(extensions, x509.AuthorityInformationAccess)
    return Certificate(
        der=der,
        subject=name_text(certificate.subject),
        issuer=name_text(certificate.issuer),
        serial=certificate.serial_number,
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        key_algorithm=key_algorithm,
        signature_algorithm=signature_algorithm(certificate.signature_algorithm_oid),
        subject_attributes=tuple((_LABELS.get(a.oid, a.oid.dotted_string), str(a.value))
                                 for a in certificate.subject),
        is_ca=bool(constraints and constraints.ca),
        path_length=constraints.path_length if constraints else None,
        key_usage=None if usage is None
        else frozenset(name for name in _USAGES if getattr(usage, name)),
        extended_key_usage=None if extended is None
        else frozenset(oid.dotted_string for oid in extended),
        unknown_critical=tuple(e.oid.dotted_string for e in extensions
                               if e.critical and e.oid not in _UNDERSTOOD),
        subject_key_id=subject_key.digest if subject_key else None,
        ocsp_urls=() if access is None else tuple(
            d.access_location.value for d in access
            if d.access_method == AuthorityInformationAccessOID.OCSP
            and isinstance(d.access_location, x509.UniformResourceIdentifier)),
        source=certificate)


def name_text(name: x509.Name) -> str:
    """Return a name for people: one short line by RFC 4514, whatever a stranger has put into it.

    Names are compared as what they are, never by this text.
    """
    text = printable(name.rfc4514_string())
    return text if len(text) <= MAX_NAME_TEXT else text[:MAX_NAME_TEXT - 1] + '…'


def signature_algorithm(identifier: x509.ObjectIdentifier) -> SignatureAlgorithm:
    """Return the algorithm that an object identifier names, OTHER for one of no V2G profile."""
    return _SIGNATURES.get(identifier, SignatureAlgorithm.OTHER)


def _extension(extensions: x509.Extensions, kind: type[_E]) -> _E | None:
    try:
        return extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _key_algorithm(certificate: x509.Certificate) -> KeyAlgorithm:
    try:
        key = certificate.public_key()
    except UnsupportedAlgorithm:
        return KeyAlgorithm.OTHER
    if isinstance(key, ed448.Ed448PublicKey):
        return KeyAlgorithm.ED448
    if isinstance(key, ec.EllipticCurvePublicKey):
        return _CURVES.get(key.curve.name, KeyAlgorithm.OTHER)
    return KeyAlgorithm.OTHER


_PEM_BLOCK = re.compile(rb'-----BEGIN ([A-Z0-9 ]+)-----(.*?)-----END \1-----', re.DOTALL)


def pem_blocks(data: bytes) -> list[tuple[str, bytes]]:
    """Return (label, DER) of every PEM block; an empty list when there is none.

    Raises PkiError (MALFORMED) for a block that is not base64.
    """
    blocks = []
    for match in _PEM_BLOCK.finditer(data):
        label = match[1].decode('ascii')
        try:
            blocks.append((label, base64.b64decode(b''.join(match[2].split()), validate=True)))
        except binascii.Error:
            raise malformed(f'PEM block {label} is not base64') from None
    return blocks


def parse_certificates(data: bytes) -> tuple[Certificate, ...]:
    """Read certificates from PEM, or from DER put one after the other, in their order.

    Raises PkiError (MALFORMED) for anything else, above all for a private key among them.
    """
    if len(data) > MAX_CHAIN_SIZE:
        raise malformed(f'{len(data)} octets of certificates, at most {MAX_CHAIN_SIZE}')
    blocks = pem_blocks(data)
    for label, _ in blocks:
        if label != 'CERTIFICATE':
            raise malformed(f'PEM block {label} where only certificates are allowed')
    ders = [der for _, der in blocks] if blocks else split_der(data)
    if not ders:
        raise malformed('no certificate')
    if len(ders) > MAX_CERTIFICATES:
        raise malformed(f'{len(ders)} certificates, at most {MAX_CERTIFICATES}')
    return tuple(parse_certificate(der) for der in ders)


def split_der(data: bytes) -> list[bytes]:
    """Cut DER SEQUENCEs that follow each other; raises PkiError (MALFORMED) on any remainder."""
    parts, offset = [], 0
    while offset < len(data):
        end = _sequence_end(data, offset)
        parts.append(data[offset:end])
        offset = end
    return parts


def _sequence_end(data: bytes, offset: int) -> int:
    header = data[offset:offset + 6]
    if len(header) < 2 or header[0] != 0x30:
        raise malformed(f'no DER SEQUENCE at octet {offset}')
    length, start = header[1], offset + 2
    if length & 0x80:
        count = length & 0x7f
        if not 1 <= count <= 3 or len(header) < 2 + count:
            raise malformed(f'bad DER length at octet {offset + 1}')
        length, start = int.from_bytes(header[2:2 + count], 'big'), start + count
    if start + length > len(data):
        raise malformed(f'DER SEQUENCE at octet {offset} is cut short')
    return start + length


def key_bits(certificate: Certificate) -> bytes:
    """Return the content of subjectPublicKey, which OCSP and RFC 6066 hash."""
    key = certificate.public_key
    if isinstance(key, ed448.Ed448PublicKey):
        return key.public_bytes_raw()
    return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def digest(algorithm: hashes.HashAlgorithm, data: bytes) -> bytes:
    """Hash with one of ``cryptography``'s algorithms."""
    hasher = hashes.Hash(algorithm)
    hasher.update(data)
    return hasher.finalize()
