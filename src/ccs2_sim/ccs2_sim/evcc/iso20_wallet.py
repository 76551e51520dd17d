"""ISO 15118-20: what the car signs with its wallet, and the contracts that it accepts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from ccs2_hlc import exi
from ccs2_hlc.exi.declare import Element
from ccs2_hlc.exi.messages import xmldsig
from ccs2_hlc.exi.messages.iso20 import common
from ccs2_hlc.session.contract import check_signature
from ccs2_pki.certificate import parse_certificate
from ccs2_pki.chains import check_der_chain
from ccs2_pki.errors import PkiError
from ccs2_pki.key_transport import EncryptedKey, decrypt_iso20
from ccs2_pki.profiles import ISO20, Role
from ccs2_pki.signatures import ISO20_SUITES, SignedElement, suite_of_key
from ccs2_sim.evcc.wallet import Credential, Mistrust, Wallet, sign, signed_info

SCHEMA = 'iso20-common'

#: Requests of which a part is signed: its name in the schema, and where it is.
SIGNED: Mapping[type[Element], tuple[str, Callable[[Any], Any]]] = {
    common.AuthorizationReq: (
        'PnC_AReqAuthorizationMode', lambda request: request.pnc_a_req_authorization_mode),
    common.CertificateInstallationReq: (
        'OEMProvisioningCertificateChain',
        lambda request: request.oem_provisioning_certificate_chain),
    common.MeteringConfirmationReq: (
        'SignedMeteringData', lambda request: request.signed_metering_data),
}


def signed_element(message: Element) -> SignedElement | None:
    """Return the part of a message that is signed, None if none is."""
    name, part_of = SIGNED.get(type(message), ('', lambda request: None))
    part = part_of(message)
    return None if part is None else fragment(name, part)


def fragment(name: str, element: Any) -> SignedElement:
    """Return an element as it is signed; `name` is its name in the schema."""
    return SignedElement(element.id, exi.encode_fragment(SCHEMA, name, element))


def info_of(element: SignedElement, signer: Credential) -> xmldsig.SignedInfo:
    """Return what the signer's signature over an element signs."""
    return signed_info([element], suite_of_key(signer.key.public_key()))


def signature_of(element: SignedElement, signer: Credential) -> xmldsig.Signature:
    """Return the signer's signature over an element."""
    return sign(signer.key, info_of(element, signer))


def signed(message: Any, signer: Credential) -> Any:
    """Return a message with the signature over its part that is signed, if there is one."""
    element = signed_element(message)
    if element is None:
        return message
    return replace(
        message, header=replace(message.header, signature=signature_of(element, signer)))


def contract_chain(chain: Sequence[bytes]) -> common.ContractCertificateChain:
    """Return a contract's chain as the messages carry it."""
    leaf, *sub_cas = chain or (b'',)
    return common.ContractCertificateChain(
        certificate=leaf, sub_certificates=common.SubCertificates(certificate=sub_cas))


def certificates(
    chain: common.CertificateChain | common.SignedCertificateChain
    | common.ContractCertificateChain,
) -> list[bytes]:
    """Return a chain's certificates in DER, leaf first."""
    below = chain.sub_certificates
    return [chain.certificate, *(below.certificate if below is not None else ())]


def accept_contract(
    body: common.CertificateInstallationRes, wallet: Wallet, receiver: Credential,
) -> Credential:
    """Check a delivered contract as a car has to, and return it; raise Mistrust if it is bad.

    The provisioning service's chain goes back to a V2G root, its leaf has signed the contract with
    its key, and that key, encrypted for `receiver`, belongs to the contract.
    """
    verdict = check_der_chain(
        certificates(body.cps_certificate_chain), wallet.roots, ISO20, Role.CPS, wallet.now)
    if not verdict.accepted:
        raise Mistrust(f'provisioning service: {verdict.message}')
    data = body.signed_installation_data
    result = check_signature(
        SCHEMA, 'SignedInstallationData', data, data.id, body.header.signature,
        verdict.path[0].public_key, ISO20_SUITES)
    if not result.accepted:
        raise Mistrust(f'signature of the delivery: {result.reason}')
    chain = certificates(data.contract_certificate_chain)
    encrypted, own = data.secp521_encrypted_private_key, receiver.key
    if encrypted is None:
        raise Mistrust('the key is not for a car with keys on P-521')
    try:
        leaf = parse_certificate(chain[0])
        public = leaf.public_key
        if not (isinstance(public, ec.EllipticCurvePublicKey)
                and isinstance(own, ec.EllipticCurvePrivateKey)):
            raise Mistrust('the contract certificate is not on P-521')
        key = decrypt_iso20(
            EncryptedKey(encrypted, data.dh_public_key), own, public,
            provisioning_id=receiver.name, subject_key_id=leaf.subject_key_id or b'')
    except PkiError as error:
        raise Mistrust(f'contract: {error}') from None
    return Credential(leaf.common_name, tuple(chain), key)
