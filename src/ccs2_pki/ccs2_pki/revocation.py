"""Revocation: OCSP responses (RFC 6960) and CRLs (RFC 5280), read and judged without any network.

A response counts only if its signature is the issuer's or a delegated responder's, made as the V2G
profiles make theirs, and only for a week ([V2G20-1021], weekly refresh [V2G2-649]). A properly
signed "revoked" counts however old it is: a certificate does not come back.
"""

import enum
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtensionOID

from ccs2_pki.certificate import (
    Certificate,
    KeyAlgorithm,
    PublicKey,
    SignatureAlgorithm,
    digest,
    key_bits,
    name_text,
    parse_certificate,
    signature_algorithm,
)
from ccs2_pki.errors import PkiError, malformed
from ccs2_pki.profiles import OCSP_SIGNING

MAX_OCSP_SIZE = 16384
MAX_CRL_SIZE = 1 << 20
MAX_UNVERIFIED = 16
"""Responses about one certificate, or lists of one issuer, that may wait to be verified."""
MAX_AGE = timedelta(days=7)
CLOCK_SKEW = timedelta(minutes=5)
_END_OF_TIME = datetime.max.replace(tzinfo=UTC)
_HASHES = {SignatureAlgorithm.ECDSA_SHA256: hashes.SHA256(),
           SignatureAlgorithm.ECDSA_SHA512: hashes.SHA512()}


class RevocationStatus(enum.Enum):
    """What is known about one certificate."""

    GOOD = 'good'
    REVOKED = 'revoked'
    UNKNOWN = 'unknown'


@dataclass(frozen=True, slots=True)
class RevocationFinding:
    """Status with the reason for it, for people and audit records."""

    status: RevocationStatus
    reason: str


@dataclass(frozen=True, slots=True)
class SingleStatus:
    """One certificate's part of an OCSP response."""

    hash_algorithm: hashes.HashAlgorithm
    issuer_name_hash: bytes
    issuer_key_hash: bytes
    serial: int
    status: RevocationStatus
    this_update: datetime
    next_update: datetime | None

    def is_about(self, certificate: Certificate, issuer: Certificate) -> bool:
        """Tell whether this is the certificate's status under that issuer."""
        return self.serial == certificate.serial and self.is_below(issuer)

    def is_below(self, issuer: Certificate) -> bool:
        """Tell whether the status is about a certificate of that issuer."""
        return (self.issuer_name_hash == digest(self.hash_algorithm, name_der(issuer))
                and self.issuer_key_hash == digest(self.hash_algorithm, key_bits(issuer)))

    @property
    def subject(self) -> tuple[bytes, bytes, int]:
        """What identifies the certificate, to compare with another status."""
        return self.issuer_name_hash, self.issuer_key_hash, self.serial


@dataclass(frozen=True, slots=True)
class OcspResponse:
    """A successful OCSP response, completely read."""

    der: bytes = field(repr=False)
    singles: tuple[SingleStatus, ...]
    responders: tuple[Certificate, ...] = field(repr=False)
    signed_bytes: bytes = field(repr=False)
    signature: bytes = field(repr=False)
    signature_algorithm: SignatureAlgorithm = field(repr=False)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the DER encoding, hexadecimal: the response's id in the store."""
        return hashlib.sha256(self.der).hexdigest()

    @property
    def expires(self) -> datetime:
        """Moment from which "good" counts no more."""
        return min(_end(single) for single in self.singles)

    @property
    def this_update(self) -> datetime:
        """Moment of the oldest status in it."""
        return min(single.this_update for single in self.singles)

    def is_early(self, now: datetime) -> bool:
        """Tell whether a status in it is of a time to come."""
        return any(_is_early(single.this_update, now) for single in self.singles)

    @property
    def subjects(self) -> frozenset[tuple[bytes, bytes, int]]:
        """What identifies the certificates that it is about."""
        return frozenset(single.subject for single in self.singles)

    @property
    def says_revoked(self) -> bool:
        """Tell whether a certificate is revoked by it."""
        return any(single.status is RevocationStatus.REVOKED for single in self.singles)

    def supersedes(self, other: 'OcspResponse') -> bool:
        """Tell whether this is about all that the other one is about."""
        return other.subjects <= self.subjects

    def issuers(self, known: Iterable[Certificate]) -> list[Certificate]:
        """Return those whose certificates it is about."""
        return [issuer for issuer in known
                if any(single.is_below(issuer) for single in self.singles)]

    def is_verified(self, known: Iterable[Certificate], now: datetime) -> bool:
        """Tell whether known issuers vouch for all of it."""
        issuers = [each for each in self.issuers(known) if self.is_signed_for(each, now)]
        return all(any(single.is_below(issuer) for issuer in issuers) for single in self.singles)

    def is_signed_for(self, issuer: Certificate, now: datetime) -> bool:
        """Tell whether the issuer, or a responder it appointed, made the signature."""
        if self._signed_by(issuer.public_key):
            return True
        return any(_may_answer(responder, now) and issuer.has_signed(responder)
                   and self._signed_by(responder.public_key) for responder in self.responders)

    def _signed_by(self, key: PublicKey) -> bool:
        try:
            if isinstance(key, ec.EllipticCurvePublicKey):
                algorithm = _HASHES.get(self.signature_algorithm)
                if algorithm is None:
                    return False
                key.verify(self.signature, self.signed_bytes, ec.ECDSA(algorithm))
            else:
                key.verify(self.signature, self.signed_bytes)
        except (InvalidSignature, UnsupportedAlgorithm, ValueError):
            return False
        return True


def _may_answer(responder: Certificate, now: datetime) -> bool:
    """Tell whether a certificate is a responder's, now, with algorithms of the V2G profiles."""
    return (responder.key_algorithm is not KeyAlgorithm.OTHER
            and responder.signature_algorithm is not SignatureAlgorithm.OTHER
            and OCSP_SIGNING in (responder.extended_key_usage or ())
            and (responder.key_usage is None or 'digital_signature' in responder.key_usage)
            and not responder.is_ca
            and responder.not_before <= now <= responder.not_after)


@dataclass(frozen=True, slots=True)
class Crl:
    """A certificate revocation list, completely read."""

    der: bytes = field(repr=False)
    issuer: str
    """For people."""
    this_update: datetime
    next_update: datetime | None
    revoked: frozenset[int] = field(repr=False)
    usable: bool
    """False if it is partial, indirect or a delta list: it then proves nothing good."""
    authority_key_id: bytes | None = field(repr=False)
    """Identifier of the issuer's key, None without one."""
    signature_algorithm: SignatureAlgorithm = field(repr=False)
    source: x509.CertificateRevocationList = field(repr=False, compare=False)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the DER encoding, hexadecimal: the list's id in the store."""
        return hashlib.sha256(self.der).hexdigest()

    @property
    def expires(self) -> datetime:
        """Moment from which absence from the list counts no more."""
        return self.next_update or _oldest(self.this_update)

    def is_early(self, now: datetime) -> bool:
        """Tell whether it is of a time to come."""
        return _is_early(self.this_update, now)

    @property
    def says_revoked(self) -> bool:
        """Tell whether a certificate is revoked by it."""
        return bool(self.revoked)

    def supersedes(self, other: 'Crl') -> bool:
        """Tell whether both are of the same issuer and key."""
        return (self.source.issuer, self.authority_key_id) == (
            other.source.issuer, other.authority_key_id)

    def issuers(self, known: Iterable[Certificate]) -> list[Certificate]:
        """Return those that bear the name of its issuer."""
        return [issuer for issuer in known if self.is_named_after(issuer)]

    def is_verified(self, known: Iterable[Certificate], now: datetime) -> bool:
        """Tell whether a known issuer vouches for it."""
        return any(self.is_signed_by(issuer) for issuer in self.issuers(known))

    def is_named_after(self, issuer: Certificate) -> bool:
        """Tell whether the list carries the issuer's name."""
        return bool(self.source.issuer == issuer.source.subject)

    def is_signed_by(self, issuer: Certificate) -> bool:
        """Tell whether the issuer made the signature, as the profiles do, and may sign lists."""
        if ((issuer.key_usage is not None and 'crl_sign' not in issuer.key_usage)
                or self.signature_algorithm is SignatureAlgorithm.OTHER):
            return False
        try:
            return self.source.is_signature_valid(issuer.public_key)
        except (InvalidSignature, UnsupportedAlgorithm, TypeError, ValueError):
            return False


def parse_ocsp(der: bytes) -> OcspResponse:
    """Read one OCSP response; raises PkiError (MALFORMED) unless it is a successful one."""
    if len(der) > MAX_OCSP_SIZE:
        raise malformed(f'OCSP response of {len(der)} octets, at most {MAX_OCSP_SIZE}')
    try:
        response = ocsp.load_der_ocsp_response(der)
        if response.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
            raise malformed(f'OCSP responder answered {response.response_status.name}')
        singles = tuple(_single(single) for single in response.responses)
        if not singles:
            raise malformed('OCSP response about no certificate')
        return OcspResponse(
            der=bytes(der), singles=singles,
            responders=_responders(response.certificates),
            signed_bytes=response.tbs_response_bytes, signature=response.signature,
            signature_algorithm=signature_algorithm(response.signature_algorithm_oid))
    except PkiError:
        raise
    except Exception as error:
        raise malformed(f'not an OCSP response: {type(error).__name__}') from None


def _responders(certificates: Sequence[x509.Certificate]) -> tuple[Certificate, ...]:
    return tuple(parse_certificate(c.public_bytes(Encoding.DER)) for c in certificates[:4])


_OCSP_STATUS = {ocsp.OCSPCertStatus.GOOD: RevocationStatus.GOOD,
                ocsp.OCSPCertStatus.REVOKED: RevocationStatus.REVOKED,
                ocsp.OCSPCertStatus.UNKNOWN: RevocationStatus.UNKNOWN}


def _single(single: ocsp.OCSPSingleResponse) -> SingleStatus:
    return SingleStatus(single.hash_algorithm, single.issuer_name_hash, single.issuer_key_hash,
                        single.serial_number, _OCSP_STATUS[single.certificate_status],
                        single.this_update_utc, single.next_update_utc)


def parse_crl(der: bytes) -> Crl:
    """Read one CRL; raises PkiError (MALFORMED) and nothing else."""
    if len(der) > MAX_CRL_SIZE:
        raise malformed(f'CRL of {len(der)} octets, at most {MAX_CRL_SIZE}')
    try:
        crl = x509.load_der_x509_crl(der)
        return Crl(der=bytes(der), issuer=name_text(crl.issuer),
                   this_update=crl.last_update_utc, next_update=crl.next_update_utc,
                   revoked=frozenset(entry.serial_number for entry in crl),
                   usable=not any(extension.critical
                                  or extension.oid == ExtensionOID.DELTA_CRL_INDICATOR
                                  for extension in crl.extensions),
                   authority_key_id=next(
                       (e.value.key_identifier for e in crl.extensions
                        if isinstance(e.value, x509.AuthorityKeyIdentifier)), None),
                   signature_algorithm=signature_algorithm(crl.signature_algorithm_oid),
                   source=crl)
    except Exception as error:
        raise malformed(f'not a CRL: {type(error).__name__}') from None


@dataclass(frozen=True, slots=True)
class RevocationData:
    """All revocation data at hand."""

    responses: tuple[OcspResponse, ...] = ()
    crls: tuple[Crl, ...] = ()

    def finding(self, certificate: Certificate, issuer: Certificate,
                now: datetime) -> RevocationFinding:
        """Judge one certificate; ``issuer`` must be its verified issuer."""
        findings = [*self._by_ocsp(certificate, issuer, now),
                    *self._by_crl(certificate, issuer, now)]
        for status in (RevocationStatus.REVOKED, RevocationStatus.GOOD, RevocationStatus.UNKNOWN):
            for found in findings:
                if found.status is status:
                    return found
        return RevocationFinding(RevocationStatus.UNKNOWN, 'no revocation data')

    def staple(self, certificate: Certificate, issuer: Certificate, now: datetime) -> bytes | None:
        """Return the newest OCSP response that shows the certificate good, None without one."""
        good = [(single.this_update, response.der) for response, single
                in self._singles(certificate, issuer)
                if _judge(response, single, issuer, now).status is RevocationStatus.GOOD]
        return max(good)[1] if good else None

    def _singles(self, certificate: Certificate,
                 issuer: Certificate) -> Iterable[tuple[OcspResponse, SingleStatus]]:
        return ((response, single) for response in self.responses for single in response.singles
                if single.is_about(certificate, issuer))

    def _by_ocsp(self, certificate: Certificate, issuer: Certificate,
                 now: datetime) -> Iterable[RevocationFinding]:
        return (_judge(response, single, issuer, now)
                for response, single in self._singles(certificate, issuer))

    def _by_crl(self, certificate: Certificate, issuer: Certificate,
                now: datetime) -> Iterable[RevocationFinding]:
        for crl in self.crls:
            if not crl.is_named_after(issuer):
                continue
            if not crl.is_signed_by(issuer):
                yield RevocationFinding(RevocationStatus.UNKNOWN, 'CRL has a wrong signature')
            elif certificate.serial in crl.revoked:
                yield RevocationFinding(RevocationStatus.REVOKED, 'CRL lists it')
            elif not crl.usable:
                yield RevocationFinding(RevocationStatus.UNKNOWN, 'CRL is partial')
            elif crl.is_early(now) or now > crl.expires:
                yield RevocationFinding(RevocationStatus.UNKNOWN, 'CRL is not of this time')
            else:
                yield RevocationFinding(RevocationStatus.GOOD, 'CRL does not list it')


NO_REVOCATION_DATA = RevocationData()


def _is_early(this_update: datetime, now: datetime) -> bool:
    return this_update > now + CLOCK_SKEW


def _oldest(this_update: datetime) -> datetime:
    """Return when a statement of that time is too old."""
    return this_update + min(MAX_AGE, _END_OF_TIME - this_update)


def _end(single: SingleStatus) -> datetime:
    oldest = _oldest(single.this_update)
    return oldest if single.next_update is None else min(oldest, single.next_update)


def _judge(response: OcspResponse, single: SingleStatus, issuer: Certificate,
           now: datetime) -> RevocationFinding:
    if not response.is_signed_for(issuer, now):
        return RevocationFinding(RevocationStatus.UNKNOWN, 'OCSP response has a wrong signer')
    if single.status is RevocationStatus.REVOKED:
        return RevocationFinding(RevocationStatus.REVOKED, 'OCSP says revoked')
    if single.status is RevocationStatus.UNKNOWN:
        return RevocationFinding(RevocationStatus.UNKNOWN, 'OCSP responder does not know it')
    if _is_early(single.this_update, now) or now > _end(single):
        return RevocationFinding(RevocationStatus.UNKNOWN, 'OCSP response is not of this time')
    return RevocationFinding(RevocationStatus.GOOD, 'OCSP says good')


def name_der(certificate: Certificate) -> bytes:
    """Return the subject's DER encoding, which OCSP and RFC 6066 use."""
    return certificate.source.subject.public_bytes()


def ocsp_request(certificate: Certificate, issuer: Certificate) -> bytes:
    """Return an OCSP request for one certificate, DER, with SHA-256 hashes.

    Raises PkiError (MALFORMED) if the issuer is another.
    """
    if not issuer.has_signed(certificate):
        raise malformed(f'{issuer.subject} did not issue {certificate.subject}')
    builder = ocsp.OCSPRequestBuilder().add_certificate(certificate.source, issuer.source,
                                                        hashes.SHA256())
    return builder.build().public_bytes(Encoding.DER)


def ocsp_hash_data(certificate: Certificate, issuer: Certificate) -> dict[str, str]:
    """Return what OCPP asks for to query a certificate's status (OCSPRequestData)."""
    return {
        'hashAlgorithm': 'SHA256',
        'issuerNameHash': digest(hashes.SHA256(), name_der(issuer)).hex(),
        'issuerKeyHash': digest(hashes.SHA256(), key_bits(issuer)).hex(),
        'serialNumber': f'{certificate.serial:x}',
        'responderURL': certificate.ocsp_urls[0] if certificate.ocsp_urls else '',
    }
