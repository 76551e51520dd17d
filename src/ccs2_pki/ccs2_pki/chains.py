"""Certificate chains: built in the order received, checked rule by rule, with one named result.

Sources: ISO 15118-2 [V2G2-009] path length, [-924] trust anchors, [-824] validity; ISO 15118-20
[V2G20-2331], [-2333] vehicle anchors. Every check takes the time as an argument; without a trusted
time nothing is accepted.
"""

import enum
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from ccs2_pki.certificate import Certificate, KeyAlgorithm, parse_certificate
from ccs2_pki.errors import ErrorCode, PkiError
from ccs2_pki.profiles import ANCHORS, ISO2, LeafRule, Profile, Role, RootKind
from ccs2_pki.revocation import (
    NO_REVOCATION_DATA,
    RevocationData,
    RevocationFinding,
    RevocationStatus,
)


class ChainResult(enum.Enum):
    """Outcome of a chain check; the value is the reason in words."""

    OK = 'chain is valid'
    OK_EXPIRES_SOON = 'chain is valid, its leaf expires soon'
    TIME_NOT_TRUSTED = 'clock of the station is not set, nothing can be checked'
    NO_CERTIFICATE = 'no certificate was given'
    MALFORMED = 'not an X.509 certificate'
    CERTIFICATE_TOO_LARGE = 'certificate is larger than the profile allows'
    CHAIN_TOO_LONG = 'more certificates than the profile allows'
    NO_ANCHOR = 'no trusted root has issued the chain'
    BROKEN_ORDER = 'a certificate is not issued by the one after it'
    SIGNATURE_INVALID = 'the issuer by name has not made the signature'
    NOT_A_CA = 'an issuer is not a certification authority'
    PATH_LENGTH_EXCEEDED = 'an issuer allows fewer certificates below it'
    CA_KEY_USAGE = 'an issuer may not sign certificates'
    LEAF_IS_CA = 'the leaf is a certification authority'
    WRONG_KEY_ALGORITHM = 'public key is not of the profile'
    WRONG_SIGNATURE_ALGORITHM = 'signature algorithm is not of the profile'
    MIXED_ALGORITHMS = 'the chain mixes key algorithms'
    UNKNOWN_CRITICAL_EXTENSION = 'a critical extension is not understood'
    LEAF_KEY_USAGE = 'the leaf lacks a required key usage'
    LEAF_EXTENDED_KEY_USAGE = 'the leaf has a wrong extended key usage'
    LEAF_SUBJECT = 'the subject of the leaf is not of its profile'
    LEAF_EXPIRED = 'the leaf has expired'
    LEAF_NOT_YET_VALID = 'the leaf is not yet valid'
    ISSUER_EXPIRED = 'a sub-CA has expired'
    ISSUER_NOT_YET_VALID = 'a sub-CA is not yet valid'
    ANCHOR_EXPIRED = 'the root has expired'
    ANCHOR_NOT_YET_VALID = 'the root is not yet valid'
    REVOKED = 'a certificate is revoked'
    REVOCATION_UNKNOWN = 'revocation must be checked and no usable data is at hand'

    @property
    def reason(self) -> str:
        """Reason in words."""
        return self.value

    @property
    def accepted(self) -> bool:
        """True if the chain may be relied on."""
        return self in (ChainResult.OK, ChainResult.OK_EXPIRES_SOON)

    @property
    def error_code(self) -> ErrorCode:
        """Code of the ``pki`` services for a refused chain."""
        return _ERROR_CODES.get(self, ErrorCode.CHAIN_INVALID)


_ERROR_CODES = {
    ChainResult.TIME_NOT_TRUSTED: ErrorCode.TIME_NOT_TRUSTED,
    ChainResult.NO_CERTIFICATE: ErrorCode.MALFORMED,
    ChainResult.MALFORMED: ErrorCode.MALFORMED,
    ChainResult.LEAF_EXPIRED: ErrorCode.EXPIRED,
    ChainResult.ISSUER_EXPIRED: ErrorCode.EXPIRED,
    ChainResult.ANCHOR_EXPIRED: ErrorCode.EXPIRED,
    ChainResult.REVOKED: ErrorCode.REVOKED,
}


class RevocationPolicy(enum.Enum):
    """What missing revocation data means; a revoked certificate is refused under both."""

    WHEN_AVAILABLE = 'when-available'
    REQUIRED = 'required'


@dataclass(frozen=True, slots=True)
class ChainVerdict:
    """Result of a chain check with what led to it."""

    result: ChainResult
    subject: str = ''
    """Subject of the certificate that the result is about."""
    path: tuple[Certificate, ...] = field(default=(), repr=False)
    """Leaf and sub-CAs below the anchor, when the chain could be built."""
    anchor: Certificate | None = field(default=None, repr=False)
    revocation: tuple[RevocationFinding, ...] = field(default=(), repr=False)
    """One finding per certificate of ``path``; empty if it did not come to that."""

    @property
    def accepted(self) -> bool:
        """True if the chain may be relied on."""
        return self.result.accepted

    @property
    def message(self) -> str:
        """Result in words, with the certificate it is about."""
        where = f' ({self.subject})' if self.subject and not self.accepted else ''
        return self.result.reason + where


@dataclass(frozen=True, slots=True)
class ChainPolicy:
    """What the checks of one caller share."""

    revocation: RevocationPolicy = RevocationPolicy.WHEN_AVAILABLE
    expires_soon: timedelta = timedelta(0)
    """Leafs with less time left give OK_EXPIRES_SOON."""


DEFAULT_POLICY = ChainPolicy()


class _Refused(Exception):
    """Ends a check; never leaves this module."""

    def __init__(self, result: ChainResult, certificate: Certificate | None = None) -> None:
        super().__init__(result.name)
        self.verdict = ChainVerdict(result, certificate.subject if certificate else '')


def check_chain(chain: Sequence[Certificate], anchors: Iterable[Certificate], profile: Profile,
                role: Role | None, now: datetime | None, *,
                revocation: RevocationData = NO_REVOCATION_DATA,
                policy: ChainPolicy = DEFAULT_POLICY) -> ChainVerdict:
    """Check a chain, leaf first, sub-CAs in order, against trusted roots.

    ``anchors`` are the roots trusted for ``role`` (:func:`anchors_for`). The root itself may close
    the chain, byte for byte as it is trusted. ``role`` None checks everything but the leaf's own
    profile. ``now`` is the present time, aware, or None if the clock is not trusted. Raises
    nothing: every outcome is a verdict.
    """
    try:
        if now is None:
            raise _Refused(ChainResult.TIME_NOT_TRUSTED)
        path, anchor = _build(chain, tuple(anchors), profile)
        for certificate in path:
            _check_algorithms(certificate, profile)
        _check_issuers(path, anchor)
        rule = profile.leafs.get(role) if role is not None else LeafRule(frozenset())
        if rule is None:
            raise _Refused(ChainResult.LEAF_SUBJECT, path[0])
        _check_leaf(path[0], rule)
        _check_validity(path, anchor, now)
        findings = _check_revocation(path, anchor, now, revocation, policy.revocation)
    except _Refused as refused:
        return refused.verdict
    soon = path[0].not_after - now <= policy.expires_soon
    result = ChainResult.OK_EXPIRES_SOON if soon else ChainResult.OK
    return ChainVerdict(result, path[0].subject, path, anchor, findings)


def check_der_chain(chain: Sequence[bytes], anchors: Iterable[Certificate], profile: Profile,
                    role: Role | None, now: datetime | None, *,
                    revocation: RevocationData = NO_REVOCATION_DATA,
                    policy: ChainPolicy = DEFAULT_POLICY) -> ChainVerdict:
    """Check a chain as it comes from a peer: DER encodings, leaf first. Raises nothing."""
    if now is None:
        return ChainVerdict(ChainResult.TIME_NOT_TRUSTED)
    if len(chain) > profile.max_sub_cas + 2:
        return ChainVerdict(ChainResult.CHAIN_TOO_LONG)
    if any(len(der) > profile.max_certificate_size for der in chain):
        return ChainVerdict(ChainResult.CERTIFICATE_TOO_LARGE)
    try:
        certificates = [parse_certificate(der) for der in chain]
    except PkiError:
        return ChainVerdict(ChainResult.MALFORMED)
    return check_chain(certificates, anchors, profile, role, now, revocation=revocation,
                       policy=policy)


def anchors_for(role: Role, roots: Mapping[RootKind, Sequence[Certificate]]) -> list[Certificate]:
    """Return the roots that may anchor a leaf of this role: never the MO root for a vehicle."""
    return [root for kind, held in roots.items() if kind in ANCHORS[role] for root in held]


def _build(chain: Sequence[Certificate], anchors: tuple[Certificate, ...],
           profile: Profile) -> tuple[tuple[Certificate, ...], Certificate]:
    """Follow the chain until an anchor; what a peer sends beyond the anchor is not looked at."""
    if not chain:
        raise _Refused(ChainResult.NO_CERTIFICATE)
    if len(chain) > profile.max_sub_cas + 2:
        raise _Refused(ChainResult.CHAIN_TOO_LONG, chain[0])
    trusted = {anchor.der for anchor in anchors}
    path: list[Certificate] = []
    for certificate in chain:
        if path and certificate.der in trusted:
            _check_issued(path[-1], certificate)
            return _within(path, profile), certificate
        if len(certificate.der) > profile.max_certificate_size:
            raise _Refused(ChainResult.CERTIFICATE_TOO_LARGE, certificate)
        if path:
            _check_issued(path[-1], certificate)
        path.append(certificate)
    named = [anchor for anchor in anchors if anchor.is_named_issuer_of(path[-1])]
    if not named:
        raise _Refused(ChainResult.NO_ANCHOR, path[-1])
    anchor = next((anchor for anchor in named if anchor.has_signed(path[-1])), None)
    if anchor is None:
        raise _Refused(ChainResult.SIGNATURE_INVALID, path[-1])
    return _within(path, profile), anchor


def _within(path: list[Certificate], profile: Profile) -> tuple[Certificate, ...]:
    if len(path) > profile.max_sub_cas + 1:
        raise _Refused(ChainResult.CHAIN_TOO_LONG, path[0])
    return tuple(path)


def _check_issued(certificate: Certificate, issuer: Certificate) -> None:
    if not issuer.is_named_issuer_of(certificate):
        raise _Refused(ChainResult.BROKEN_ORDER, certificate)
    if not issuer.has_signed(certificate):
        raise _Refused(ChainResult.SIGNATURE_INVALID, certificate)


def _check_algorithms(certificate: Certificate, profile: Profile) -> None:
    if certificate.key_algorithm not in profile.algorithms:
        raise _Refused(ChainResult.WRONG_KEY_ALGORITHM, certificate)
    if certificate.signature_algorithm not in profile.algorithms.values():
        raise _Refused(ChainResult.WRONG_SIGNATURE_ALGORITHM, certificate)


def _check_issuers(path: tuple[Certificate, ...], anchor: Certificate) -> None:
    for below, issuer in enumerate((*path[1:], anchor)):
        if not issuer.is_ca:
            raise _Refused(ChainResult.NOT_A_CA, issuer)
        if issuer.path_length is not None and below > issuer.path_length:
            raise _Refused(ChainResult.PATH_LENGTH_EXCEEDED, issuer)
        # A root may be without the extension (RFC 5280 asks for it only below the root).
        usage = issuer.key_usage
        if (usage is None and issuer is not anchor) or (usage is not None
                                                        and 'key_cert_sign' not in usage):
            raise _Refused(ChainResult.CA_KEY_USAGE, issuer)
    for certificate in (*path, anchor):
        if certificate.key_algorithm is not path[0].key_algorithm:
            raise _Refused(ChainResult.MIXED_ALGORITHMS, certificate)
    for certificate in path:
        if certificate.unknown_critical:
            raise _Refused(ChainResult.UNKNOWN_CRITICAL_EXTENSION, certificate)


def _check_leaf(leaf: Certificate, rule: LeafRule) -> None:
    if leaf.is_ca:
        raise _Refused(ChainResult.LEAF_IS_CA, leaf)
    required = rule.key_usage
    if leaf.key_algorithm is KeyAlgorithm.ED448:
        required = required - {'key_agreement'}
    if required and (leaf.key_usage is None or not required <= leaf.key_usage):
        raise _Refused(ChainResult.LEAF_KEY_USAGE, leaf)
    extended = leaf.extended_key_usage or frozenset()
    if ((rule.extended_key_usage and rule.extended_key_usage not in extended)
            or rule.forbidden_extended_key_usage in extended):
        raise _Refused(ChainResult.LEAF_EXTENDED_KEY_USAGE, leaf)
    kinds = {kind for kind, _ in leaf.subject_attributes}
    if (not leaf.common_name
            or (rule.domain_component and rule.domain_component not in leaf.domain_components)
            or (rule.allowed_attributes is not None and not kinds <= rule.allowed_attributes)):
        raise _Refused(ChainResult.LEAF_SUBJECT, leaf)


def _check_validity(path: tuple[Certificate, ...], anchor: Certificate, now: datetime) -> None:
    places = [(path[0], ChainResult.LEAF_EXPIRED, ChainResult.LEAF_NOT_YET_VALID)]
    places += [(sub_ca, ChainResult.ISSUER_EXPIRED, ChainResult.ISSUER_NOT_YET_VALID)
               for sub_ca in path[1:]]
    places += [(anchor, ChainResult.ANCHOR_EXPIRED, ChainResult.ANCHOR_NOT_YET_VALID)]
    for certificate, expired, early in places:
        if now > certificate.not_after:
            raise _Refused(expired, certificate)
        if now < certificate.not_before:
            raise _Refused(early, certificate)


def _check_revocation(path: tuple[Certificate, ...], anchor: Certificate, now: datetime,
                      data: RevocationData,
                      policy: RevocationPolicy) -> tuple[RevocationFinding, ...]:
    findings = []
    for certificate, issuer in zip(path, (*path[1:], anchor), strict=True):
        found = data.finding(certificate, issuer, now)
        if found.status is RevocationStatus.REVOKED:
            raise _Refused(ChainResult.REVOKED, certificate)
        if found.status is RevocationStatus.UNKNOWN and policy is RevocationPolicy.REQUIRED:
            raise _Refused(ChainResult.REVOCATION_UNKNOWN, certificate)
        findings.append(found)
    return tuple(findings)


def contract_verdict(chain: Sequence[bytes], roots: Mapping[RootKind, Sequence[Certificate]],
                     now: datetime | None, *, profile: Profile = ISO2,
                     revocation: RevocationData = NO_REVOCATION_DATA,
                     policy: ChainPolicy = DEFAULT_POLICY) -> ChainVerdict:
    """Check a contract chain (PaymentDetailsReq, PnC_AReqAuthorizationMode) as a car sends it."""
    return check_der_chain(chain, anchors_for(Role.CONTRACT, roots), profile, Role.CONTRACT, now,
                           revocation=revocation, policy=policy)
