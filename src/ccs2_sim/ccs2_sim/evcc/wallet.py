"""What the car keeps for Plug & Charge, what it signs with it, and what it believes.

No files: whoever makes a :class:`Wallet` has read them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric import ec

from ccs2_hlc import exi
from ccs2_hlc.exi.messages import iso2, xmldsig
from ccs2_hlc.session import signing
from ccs2_hlc.session.contract import received_signature
from ccs2_pki import signatures
from ccs2_pki.certificate import Certificate, parse_certificate
from ccs2_pki.chains import check_der_chain
from ccs2_pki.errors import PkiError
from ccs2_pki.identifiers import same_emaid
from ccs2_pki.key_transport import EncryptedKey, decrypt_iso2
from ccs2_pki.profiles import ISO2, Role
from ccs2_pki.signatures import ISO2_SUITES, PrivateKey, SignatureSuite, SignedElement


@dataclass(frozen=True)
class Credential:
    """A certificate chain and the key of its leaf."""

    name: str
    """eMAID of a contract, provisioning id (PCID) of a provisioning certificate."""
    chain: tuple[bytes, ...] = field(repr=False)
    """DER, leaf first, without the root."""
    key: PrivateKey = field(repr=False)


@dataclass(frozen=True)
class Wallet:
    """The car's credentials, of one generation."""

    contract: Credential | None = None
    others: tuple[Credential, ...] = ()
    """Contracts to pay with where that one is refused, the preferred first (ISO 15118-20)."""
    provisioning: Credential | None = None
    """What the car's maker has put in: pays for nothing, but gets contracts."""
    roots: tuple[Certificate, ...] = ()
    """V2G roots."""
    now: datetime | None = None
    """The car's time when it was plugged in, aware; None: its clock is not set."""
    wrong: Mapping[str, Credential] = field(default_factory=dict, repr=False)
    """Contracts that a good station refuses, by the name of their fault, for misbehaviour."""
    wrong_provisioning: Mapping[str, Credential] = field(default_factory=dict, repr=False)
    """Provisioning certificates that a good back office refuses, likewise."""


class Mistrust(Exception):
    """What the station has brought is not to be believed; the text says why."""


def fragment(name: str, element: object, element_id: str) -> SignedElement:
    """Return an element as it is signed; `name` is its name in the schema of ISO 15118-2."""
    return SignedElement(element_id, exi.encode_fragment('iso2', name, element))


def signed_info(
    elements: Sequence[SignedElement], suite: SignatureSuite = signatures.ECDSA_SHA256,
) -> xmldsig.SignedInfo:
    """Return what a signature over these elements signs."""
    return signing.signed_info(elements, suite)


#: A key that is not of ISO 15118-2 (of a contract that is wrong in just that) signs, too.
sign = signing.seal


def certificate_chain(
    chain: Sequence[bytes], element_id: str | None = None,
) -> iso2.CertificateChain:
    """Return a chain as the messages carry it."""
    leaf, *sub_cas = chain or (b'',)
    return iso2.CertificateChain(
        id=element_id, certificate=leaf,
        sub_certificates=iso2.SubCertificates(certificate=sub_cas) if sub_cas else None)


def certificates(chain: iso2.CertificateChain) -> list[bytes]:
    """Return a chain's certificates in DER, leaf first."""
    below = chain.sub_certificates
    return [chain.certificate, *(below.certificate if below is not None else ())]


Delivery = iso2.CertificateInstallationRes | iso2.CertificateUpdateRes


def delivered_elements(body: Delivery) -> list[SignedElement]:
    """Return the four elements of a delivery that its sender signs; raise Mistrust if one is not.

    ISO 15118-2 clause 7.9.2.4.
    """
    parts: tuple[tuple[str, iso2.CertificateChain | iso2.ContractSignatureEncryptedPrivateKey
                       | iso2.DiffieHellmanPublickey | iso2.EMAID], ...] = (
        ('ContractSignatureCertChain', body.contract_signature_cert_chain),
        ('ContractSignatureEncryptedPrivateKey', body.contract_signature_encrypted_private_key),
        ('DHpublickey', body.dh_public_key), ('eMAID', body.emaid))
    elements = []
    for name, part in parts:
        if part.id is None:
            raise Mistrust(f'{name} has no Id, so nobody has signed it')
        elements.append(fragment(name, part, part.id))
    return elements


def accept_contract(
    body: Delivery, signature: xmldsig.Signature | None, wallet: Wallet, receiver: PrivateKey,
) -> Credential:
    """Check a delivered contract as a car has to, and return it; raise Mistrust if it is bad.

    The provisioning service's chain goes back to a V2G root, its leaf has signed the four parts,
    and the key that was encrypted for `receiver` belongs to the certificate ([V2G2-823]).
    """
    verdict = check_der_chain(
        certificates(body.sa_provisioning_certificate_chain), wallet.roots, ISO2, Role.CPS,
        wallet.now)
    if not verdict.accepted:
        raise Mistrust(f'provisioning service: {verdict.message}')
    if signature is None:
        raise Mistrust('the delivery is not signed')
    result = signatures.verify(
        received_signature('iso2', signature), delivered_elements(body),
        verdict.path[0].public_key, ISO2_SUITES)
    if not result.accepted:
        raise Mistrust(f'signature of the delivery: {result.reason}')
    chain = certificates(body.contract_signature_cert_chain)
    try:
        leaf = parse_certificate(chain[0])
        public = leaf.public_key
        if not (isinstance(public, ec.EllipticCurvePublicKey)
                and isinstance(receiver, ec.EllipticCurvePrivateKey)):
            raise Mistrust('the contract certificate is not of ISO 15118-2')
        key = decrypt_iso2(EncryptedKey(
            body.contract_signature_encrypted_private_key.value, body.dh_public_key.value),
            receiver, public)
    except PkiError as error:
        raise Mistrust(f'contract: {error}') from None
    if not same_emaid(leaf.common_name, body.emaid.value):
        raise Mistrust('the eMAID is not that of the contract certificate')
    return Credential(body.emaid.value, tuple(chain), key)
