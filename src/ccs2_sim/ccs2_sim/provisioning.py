"""A contract provider for tests: makes contracts for cars that ask through the station.

It stands for what a mobility operator and its provisioning service do behind OCPP (ISO 15118-2
clauses 8.4.3.10 and 8.4.3.11). Messages in, messages out; no network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from ccs2_hlc import exi
from ccs2_hlc.exi.declare import Element
from ccs2_hlc.exi.messages import iso2
from ccs2_hlc.session.contract import check_signature
from ccs2_pki.certificate import Certificate, parse_certificate, parse_certificates
from ccs2_pki.chains import check_chain, check_der_chain
from ccs2_pki.errors import PkiError
from ccs2_pki.key_transport import encrypt_iso2
from ccs2_pki.profiles import ISO2, Role, RootKind
from ccs2_pki.signatures import ISO2_SUITES
from ccs2_sim.evcc.wallet import (
    Credential,
    certificate_chain,
    certificates,
    delivered_elements,
    sign,
    signed_info,
)
from ccs2_sim.lab import GENERATION, read_named, read_roots


class Refusal(Exception):
    """The car gets no contract; the text says why.

    `response` is the EXI of the message that tells the car so, b'' if the protocol has none.
    """

    def __init__(self, text: str, response: bytes = b'') -> None:
        super().__init__(text)
        self.response = response


@dataclass(frozen=True)
class ContractProvider:
    """Hands out one contract to every car that proves who it is."""

    contract: Credential
    service: Credential
    """The provisioning service's, which signs."""
    makers: Sequence[Certificate] = field(repr=False)
    """Sub-CAs below the provisioning certificates of cars; cars send the leaf alone."""
    maker_roots: Sequence[Certificate] = field(repr=False)
    contract_roots: Sequence[Certificate] = field(repr=False)

    def answer(self, request: bytes, now: datetime) -> bytes:
        """Return the EXI of the response to that of a request; raise :class:`Refusal`."""
        try:
            message = exi.decode('iso2', request)
        except exi.ExiError as error:
            raise Refusal(f'undecodable request: {error}') from None
        body, signature = message.body, message.header.signature
        if isinstance(body, iso2.CertificateInstallationReq):
            receiver = self._vehicle(body, now)
        elif isinstance(body, iso2.CertificateUpdateReq):
            receiver = self._customer(body, now)
        else:
            raise Refusal(f'{type(body).__name__} asks for no contract')
        result = check_signature(
            'iso2', type(body).__name__, body, body.id, signature, receiver.public_key,
            ISO2_SUITES)
        if not result.accepted:
            raise Refusal(f'signature: {result.reason}')
        return self._deliver(message, receiver)

    def _vehicle(self, body: iso2.CertificateInstallationReq, now: datetime) -> Certificate:
        leaf = _read(body.oem_provisioning_cert)
        verdict = check_chain(
            [leaf, *self.makers], self.maker_roots, ISO2, Role.OEM_PROVISIONING, now)
        if not verdict.accepted:
            raise Refusal(f'provisioning certificate: {verdict.message}')
        return leaf

    def _customer(self, body: iso2.CertificateUpdateReq, now: datetime) -> Certificate:
        verdict = check_der_chain(
            certificates(body.contract_signature_cert_chain), self.contract_roots, ISO2,
            Role.CONTRACT, now)
        if not verdict.accepted:
            raise Refusal(f'old contract: {verdict.message}')
        return verdict.path[0]

    def _deliver(self, request: iso2.V2GMessage, receiver: Certificate) -> bytes:
        public, key = receiver.public_key, self.contract.key
        if not (isinstance(public, ec.EllipticCurvePublicKey)
                and isinstance(key, ec.EllipticCurvePrivateKey)):
            raise Refusal('keys are not of ISO 15118-2')
        encrypted = encrypt_iso2(key, public)
        kind = (iso2.CertificateInstallationRes
                if isinstance(request.body, iso2.CertificateInstallationReq)
                else iso2.CertificateUpdateRes)
        body = kind(
            response_code=iso2.ResponseCode.OK,
            sa_provisioning_certificate_chain=certificate_chain(self.service.chain),
            contract_signature_cert_chain=certificate_chain(self.contract.chain, 'id1'),
            contract_signature_encrypted_private_key=iso2.ContractSignatureEncryptedPrivateKey(
                id='id2', value=encrypted.encrypted_private_key),
            dh_public_key=iso2.DiffieHellmanPublickey(id='id3', value=encrypted.dh_public_key),
            emaid=iso2.EMAID(id='id4', value=self.contract.name))
        response: Element = iso2.V2GMessage(
            header=iso2.MessageHeader(
                session_id=request.header.session_id,
                signature=sign(self.service.key, signed_info(delivered_elements(body)))),
            body=body)
        return exi.encode(response)


def read_provider(directory: Path) -> ContractProvider:
    """Return the provider of a laboratory; raise ``PkiError`` or ``OSError``."""
    chain = (directory / GENERATION / 'chains' / 'oem_provisioning.pem').read_bytes()
    return ContractProvider(
        contract=read_named(directory, 'contract_new'), service=read_named(directory, 'cps'),
        makers=parse_certificates(chain)[1:],
        maker_roots=read_roots(directory, RootKind.OEM),
        contract_roots=read_roots(directory, RootKind.MO))


def _read(der: bytes) -> Certificate:
    try:
        return parse_certificate(der)
    except PkiError as error:
        raise Refusal(f'provisioning certificate: {error}') from None
