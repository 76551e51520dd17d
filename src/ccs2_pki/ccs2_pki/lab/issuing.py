"""Making certificates, OCSP responses and CRLs for tests."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID, NameOID, ObjectIdentifier

from ccs2_pki.certificate import Certificate, KeyAlgorithm, PublicKey, parse_certificate
from ccs2_pki.keys import generate_key
from ccs2_pki.revocation import MAX_AGE
from ccs2_pki.signatures import PrivateKey

SigningHash = hashes.SHA256 | hashes.SHA384 | hashes.SHA512

CA_USAGE = frozenset({'key_cert_sign', 'crl_sign'})
_TYPES = {'CN': NameOID.COMMON_NAME, 'O': NameOID.ORGANIZATION_NAME, 'C': NameOID.COUNTRY_NAME,
          'DC': NameOID.DOMAIN_COMPONENT}
_USAGES = ('digital_signature', 'content_commitment', 'key_encipherment', 'data_encipherment',
           'key_agreement', 'key_cert_sign', 'crl_sign', 'encipher_only', 'decipher_only')
_PRIVATE_EXTENSION = ObjectIdentifier('1.3.6.1.4.1.55555.1')


@dataclass(frozen=True, slots=True)
class Plan:
    """What a certificate is to contain."""

    name: str
    """Name of the files."""
    subject: tuple[tuple[str, str], ...]
    """(CN, O, C or DC; value) pairs."""
    key_usage: frozenset[str]
    days: int
    """Days of validity from ``start``."""
    path_length: int | None = None
    is_ca: bool = False
    extended_key_usage: tuple[str, ...] = ()
    """Dotted OIDs."""
    start: int = -1
    """Days from now until it becomes valid."""
    algorithm: KeyAlgorithm | None = None
    """None: that of the hierarchy."""
    hash: SigningHash | None = None
    """Hash of the issuer's signature; None: the one of its curve."""
    critical_extension: bool = False
    padding: int = 0
    """Octets to add in an extension of no meaning."""
    ocsp_url: str = ''


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate with its key and the way up to its root."""

    name: str
    certificate: Certificate
    key: PrivateKey = field(repr=False)
    issuer: 'Issued | None' = field(default=None, repr=False)
    """None for a root."""

    @property
    def root(self) -> 'Issued':
        """Root of the chain."""
        return self if self.issuer is None else self.issuer.root

    @property
    def chain(self) -> tuple[Certificate, ...]:
        """Return this certificate and the sub-CAs above it; () for a root."""
        return () if self.issuer is None else (self.certificate, *self.issuer.chain)


def issue(plan: Plan, issuer: Issued | None, algorithm: KeyAlgorithm, now: datetime) -> Issued:
    """Make a certificate with a new key; self-signed without an issuer."""
    key = generate_key(plan.algorithm or algorithm)
    certificate = certify(plan, key.public_key(), issuer.certificate if issuer else None,
                          issuer.key if issuer else key, now)
    return Issued(plan.name, certificate, key, issuer)


def certify(plan: Plan, key: PublicKey, issuer: Certificate | None, signer: PrivateKey,
            now: datetime) -> Certificate:
    """Make a certificate for a public key, as an authority does with a signing request."""
    start = now + timedelta(days=plan.start)
    subject = x509.Name([x509.NameAttribute(_TYPES[kind], value) for kind, value in plan.subject])
    builder = (x509.CertificateBuilder()
               .subject_name(subject)
               .issuer_name(issuer.source.subject if issuer else subject)
               .public_key(key)
               .serial_number(x509.random_serial_number())
               .not_valid_before(start)
               .not_valid_after(start + timedelta(days=plan.days)))
    for extension, critical in _extensions(plan, key):
        builder = builder.add_extension(extension, critical)
    certificate = builder.sign(signer, plan.hash or _hash_of(signer))
    return parse_certificate(certificate.public_bytes(Encoding.DER))


def _extensions(plan: Plan, key: PublicKey) -> Sequence[tuple[x509.ExtensionType, bool]]:
    extensions: list[tuple[x509.ExtensionType, bool]] = [
        (x509.BasicConstraints(plan.is_ca, plan.path_length), True),
        (x509.KeyUsage(**{usage: usage in plan.key_usage for usage in _USAGES}), True),
        (_subject_key_id(key), False)]
    if plan.extended_key_usage:
        extensions.append((x509.ExtendedKeyUsage([ObjectIdentifier(oid) for oid
                                                  in plan.extended_key_usage]), False))
    if plan.ocsp_url:
        location = x509.UniformResourceIdentifier(plan.ocsp_url)
        extensions.append((x509.AuthorityInformationAccess([
            x509.AccessDescription(AuthorityInformationAccessOID.OCSP, location)]), False))
    if plan.critical_extension or plan.padding:
        value = b'\x04\x82' + plan.padding.to_bytes(2, 'big') + bytes(plan.padding)
        extensions.append((x509.UnrecognizedExtension(_PRIVATE_EXTENSION, value),
                           plan.critical_extension))
    return extensions


def _subject_key_id(key: PublicKey) -> x509.SubjectKeyIdentifier:
    """Return the usual identifier, or the one of 8 octets that ISO 15118-20 uses (RFC 5280)."""
    identifier = x509.SubjectKeyIdentifier.from_public_key(key)
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name == 'secp256r1':
        return identifier
    short = identifier.digest[-8:]
    return x509.SubjectKeyIdentifier(bytes([0x40 | short[0] & 0x0f]) + short[1:])


def _hash_of(key: PrivateKey) -> SigningHash | None:
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        return None
    return hashes.SHA512() if key.curve.name == 'secp521r1' else hashes.SHA256()


def ocsp_response(subject: Issued, now: datetime, *, revoked: bool = False,
                  responder: Issued | None = None, age: timedelta = timedelta(hours=1)) -> bytes:
    """Return an OCSP response about a certificate, DER; signed by its issuer or ``responder``."""
    if subject.issuer is None:
        raise ValueError('nobody answers for a root')
    issuer, signer = subject.issuer, responder or subject.issuer
    builder = ocsp.OCSPResponseBuilder().add_response(
        subject.certificate.source, issuer.certificate.source, hashes.SHA256(),
        ocsp.OCSPCertStatus.REVOKED if revoked else ocsp.OCSPCertStatus.GOOD,
        now - age, now - age + MAX_AGE, now - age if revoked else None,
        x509.ReasonFlags.key_compromise if revoked else None,
    ).responder_id(ocsp.OCSPResponderEncoding.HASH, signer.certificate.source)
    if responder is not None:
        builder = builder.certificates([responder.certificate.source])
    response = builder.sign(signer.key, _hash_of(signer.key))
    return response.public_bytes(Encoding.DER)


def crl(issuer: Issued, revoked: Sequence[Issued], now: datetime) -> bytes:
    """Return a list of revoked certificates, DER, valid for a week."""
    builder = (x509.CertificateRevocationListBuilder()
               .issuer_name(issuer.certificate.source.subject)
               .last_update(now - timedelta(hours=1))
               .next_update(now + MAX_AGE)
               .add_extension(x509.AuthorityKeyIdentifier(
                   issuer.certificate.subject_key_id, None, None), False))
    for entry in revoked:
        builder = builder.add_revoked_certificate(
            x509.RevokedCertificateBuilder().serial_number(entry.certificate.serial)
            .revocation_date(now - timedelta(hours=1)).build())
    signed = builder.sign(issuer.key, _hash_of(issuer.key))
    return signed.public_bytes(Encoding.DER)
