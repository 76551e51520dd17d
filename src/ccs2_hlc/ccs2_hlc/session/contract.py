"""Contract payment: chains and signatures judged by what the station trusts.

Shared by ISO 15118-2 and -20: the engine hands over messages, `ccs2_pki` knows the rules, and what
it finds becomes a named trigger here.  Nothing is read from disk: :class:`Trust` is a snapshot.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from ccs2_pki.certificate import Certificate, PublicKey
from ccs2_pki.chains import (
    DEFAULT_POLICY,
    ChainPolicy,
    ChainResult,
    anchors_for,
    contract_verdict,
)
from ccs2_pki.identifiers import same_emaid
from ccs2_pki.profiles import Profile, Role, RootKind
from ccs2_pki.revocation import NO_REVOCATION_DATA, RevocationData
from ccs2_pki.signatures import (
    Reference,
    SignatureResult,
    SignatureSuite,
    SignatureToCheck,
    SignedElement,
    verify,
)
from ccs2_pki.text import printable

from .. import exi
from ..exi.declare import Element
from ..exi.messages import xmldsig
from .triggers import Trigger


@dataclass(frozen=True, slots=True)
class Trust:
    """What the station believes at present, from its certificate store."""

    roots: Mapping[RootKind, Sequence[Certificate]] = field(repr=False)
    #: The time, aware; ``None`` while the clock is not trusted.
    now: Callable[[], datetime | None] = field(repr=False)
    revocation: RevocationData = field(default=NO_REVOCATION_DATA, repr=False)
    policy: ChainPolicy = DEFAULT_POLICY

    @property
    def doubt(self) -> str:
        """Why no contract can be checked, '' if that is possible."""
        if not anchors_for(Role.CONTRACT, self.roots):
            return 'no root of a contract in the certificate store'
        return '' if self.now() is not None else 'clock is not set: no certificate can be checked'


#: Every result of a chain check; what is not named is a faulty chain.
VERDICTS: Mapping[ChainResult, Trigger] = dict.fromkeys(
    ChainResult, Trigger.CERTIFICATE_CHAIN) | {
    ChainResult.OK: Trigger.ACCEPTED,
    ChainResult.OK_EXPIRES_SOON: Trigger.CERTIFICATE_EXPIRES_SOON,
    ChainResult.LEAF_EXPIRED: Trigger.CERTIFICATE_EXPIRED,
    ChainResult.LEAF_NOT_YET_VALID: Trigger.CERTIFICATE_NOT_YET_VALID,
    ChainResult.ISSUER_EXPIRED: Trigger.CERTIFICATE_ISSUER_EXPIRED,
    ChainResult.ISSUER_NOT_YET_VALID: Trigger.CERTIFICATE_ISSUER_EXPIRED,
    ChainResult.ANCHOR_EXPIRED: Trigger.CERTIFICATE_ISSUER_EXPIRED,
    ChainResult.ANCHOR_NOT_YET_VALID: Trigger.CERTIFICATE_ISSUER_EXPIRED,
    ChainResult.REVOKED: Trigger.CERTIFICATE_REVOKED,
    ChainResult.NO_ANCHOR: Trigger.CERTIFICATE_UNKNOWN,
    ChainResult.LEAF_SUBJECT: Trigger.CERTIFICATE_NOT_ALLOWED,
    ChainResult.LEAF_KEY_USAGE: Trigger.CERTIFICATE_NOT_ALLOWED,
    ChainResult.LEAF_EXTENDED_KEY_USAGE: Trigger.CERTIFICATE_NOT_ALLOWED,
    ChainResult.LEAF_IS_CA: Trigger.CERTIFICATE_NOT_ALLOWED,
    ChainResult.CA_KEY_USAGE: Trigger.CERTIFICATE_NOT_ALLOWED,
    ChainResult.TIME_NOT_TRUSTED: Trigger.CLOCK_NOT_TRUSTED,
    ChainResult.REVOCATION_UNKNOWN: Trigger.CERTIFICATE_UNCHECKED,
}


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a contract chain is worth; `key`, `emaid` and `issuer` are there if it is accepted."""

    trigger: Trigger
    detail: str = ''
    key: PublicKey | None = field(default=None, repr=False)
    emaid: str = ''
    #: The sub-CA, or the root, that has issued the contract.
    issuer: Certificate | None = field(default=None, repr=False)


def judge_contract(
    trust: Trust, profile: Profile, emaid: str | None, chain: Sequence[bytes],
) -> Judgement:
    """Check a contract chain, leaf first in DER, and that it belongs to the eMAID, if one is told.

    ISO 15118-20 tells none: the certificate alone names the contract.
    """
    verdict = contract_verdict(
        chain, trust.roots, trust.now(), profile=profile, revocation=trust.revocation,
        policy=trust.policy)
    if not verdict.accepted:
        return Judgement(VERDICTS[verdict.result], verdict.message)
    leaf = verdict.path[0]
    if emaid is not None and not same_emaid(emaid, leaf.common_name):
        return Judgement(Trigger.CERTIFICATE_CHAIN, 'eMAID is not that of the certificate')
    return Judgement(
        VERDICTS[verdict.result], key=leaf.public_key, emaid=printable(leaf.common_name),
        issuer=verdict.path[1] if len(verdict.path) > 1 else verdict.anchor)


def check_signature(
    schema: str, name: str, element: Element, element_id: str | None,
    signature: xmldsig.Signature | None, key: PublicKey, suites: Sequence[SignatureSuite],
) -> SignatureResult:
    """Check that `signature` is the key's over exactly this element, named `name` in `schema`."""
    if signature is None or element_id is None:
        return SignatureResult.REFERENCE_COUNT
    signed = SignedElement(element_id, exi.encode_fragment(schema, name, element))
    return verify(received_signature(schema, signature), [signed], key, suites)


def received_signature(schema: str, signature: xmldsig.Signature) -> SignatureToCheck:
    """Return a received Signature element as the checks need it."""
    info = signature.signed_info
    return SignatureToCheck(
        # Nearly all sign SignedInfo by the schema of xmldsig alone, few by that of the message.
        signed_info=tuple(
            exi.encode_fragment(grammar, 'SignedInfo', info) for grammar in ('xmldsig', schema)),
        references=tuple(
            Reference(
                uri=reference.uri or '',
                digest_value=reference.digest_value,
                digest_method=reference.digest_method.algorithm,
                transforms=() if reference.transforms is None else tuple(
                    transform.algorithm for transform in reference.transforms.transform))
            for reference in info.reference),
        canonicalization_method=info.canonicalization_method.algorithm,
        signature_method=info.signature_method.algorithm,
        signature_value=signature.signature_value.value,
        forbidden=_has_forbidden(signature))


def _has_forbidden(signature: xmldsig.Signature) -> bool:
    """Return whether anything is there that must not be [V2G2-771].

    Nor KeyInfo: the key is that of the certificate, and nothing else may name one.
    """
    info = signature.signed_info
    return bool(
        info.id is not None
        or signature.signature_value.id is not None
        or signature.key_info is not None
        or signature.object
        or info.signature_method.hmac_output_length is not None
        or any(
            reference.type is not None or (reference.transforms is not None and any(
                transform.xpath for transform in reference.transforms.transform))
            for reference in info.reference))
