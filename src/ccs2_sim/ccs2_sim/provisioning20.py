"""A contract provider by ISO 15118-20, for tests: several contracts, and named refusals.

Messages in, messages out; no network. The sets of contracts of the customers stand for what a
mobility operator knows, by the identifier in the vehicle's provisioning certificate (PCID).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from ccs2_hlc import exi
from ccs2_hlc.exi.messages.iso20 import common
from ccs2_hlc.session.contract import check_signature
from ccs2_hlc.session.iso20_responses import without_certificate
from ccs2_pki.certificate import Certificate, parse_certificate
from ccs2_pki.chains import ChainResult, anchors_for, check_der_chain
from ccs2_pki.errors import PkiError
from ccs2_pki.identifiers import same_emaid
from ccs2_pki.key_transport import encrypt_iso20
from ccs2_pki.profiles import ISO20, Role, RootKind
from ccs2_pki.revocation import NO_REVOCATION_DATA, RevocationData, parse_crl
from ccs2_pki.signatures import ISO20_SUITES
from ccs2_sim.evcc import iso20_wallet
from ccs2_sim.evcc.wallet import Credential
from ccs2_sim.lab import GENERATION_20, read_named, read_roots
from ccs2_sim.provisioning import Refusal

_R = common.ResponseCode
#: What is wrong with a vehicle's provisioning certificate; any other fault is one of validation.
_VERDICTS: Mapping[ChainResult, common.ResponseCode] = {
    ChainResult.LEAF_EXPIRED: _R.WARNING_CERTIFICATE_EXPIRED,
    ChainResult.ISSUER_EXPIRED: _R.WARNING_CERTIFICATE_EXPIRED,
    ChainResult.ANCHOR_EXPIRED: _R.WARNING_CERTIFICATE_EXPIRED,
    ChainResult.LEAF_NOT_YET_VALID: _R.WARNING_CERTIFICATE_NOT_YET_VALID,
    ChainResult.ISSUER_NOT_YET_VALID: _R.WARNING_CERTIFICATE_NOT_YET_VALID,
    ChainResult.ANCHOR_NOT_YET_VALID: _R.WARNING_CERTIFICATE_NOT_YET_VALID,
    ChainResult.REVOKED: _R.WARNING_CERTIFICATE_REVOKED,
}


@dataclass
class _Series:
    """The deliveries of one session: each request brings the next contract."""

    session_id: bytes
    provisioning_id: str
    contracts: Sequence[Credential]
    given: int = 0


@dataclass
class ContractProvider20:
    """Hands out contracts to every car that proves who it is."""

    service: Credential
    """The provisioning service's, which signs."""
    customers: Mapping[str, Sequence[Credential]] = field(repr=False)
    """Contracts by PCID."""
    maker_roots: Sequence[Certificate] = field(repr=False)
    service_root: Certificate = field(repr=False)
    revocation: RevocationData = field(default=NO_REVOCATION_DATA, repr=False)
    _series: _Series | None = field(default=None, init=False, repr=False)

    def answer(self, request: bytes, now: datetime) -> bytes:
        """Return the EXI of the response to that of a request; raise :class:`Refusal`.

        The refusal of a car that may ask carries a response with a code that says why.
        """
        try:
            message = exi.decode(iso20_wallet.SCHEMA, request)
        except exi.ExiError as error:
            raise Refusal(f'undecodable request: {error}') from None
        if not isinstance(message, common.CertificateInstallationReq):
            raise Refusal(f'{type(message).__name__} asks for no contract')
        header = common.MessageHeader(
            session_id=message.header.session_id, time_stamp=int(now.timestamp()))
        outcome = self._outcome(message, now)
        if isinstance(outcome, common.ResponseCode):
            raise Refusal(outcome.value, exi.encode(
                without_certificate(header, outcome, common.Processing.FINISHED)))
        contract, receiver, remaining = outcome
        return exi.encode(self._deliver(header, contract, receiver, remaining))

    def _outcome(
        self, message: common.CertificateInstallationReq, now: datetime,
    ) -> common.ResponseCode | tuple[Credential, Certificate, int]:
        """Return contract, receiver and how many more there are, or why there is no contract."""
        chain = message.oem_provisioning_certificate_chain
        verdict = check_der_chain(
            iso20_wallet.certificates(chain), self.maker_roots, ISO20, Role.OEM_PROVISIONING, now,
            revocation=self.revocation)
        if not verdict.accepted:
            return _VERDICTS.get(verdict.result, _R.WARNING_CERTIFICATE_VALIDATION_ERROR)
        leaf = verdict.path[0]
        result = check_signature(
            iso20_wallet.SCHEMA, 'OEMProvisioningCertificateChain', chain, chain.id,
            message.header.signature, leaf.public_key, ISO20_SUITES)
        if not result.accepted:
            return _R.FAILED_SIGNATURE_ERROR
        known = self.customers.get(leaf.common_name)
        if not known:
            return _R.WARNING_NO_CONTRACT_MATCHING_PCID_FOUND
        root = self.service_root
        if not any(
                (each.x509_issuer_name, each.x509_serial_number) == (root.issuer_name, root.serial)
                for each in message.list_of_root_certificate_ids.root_certificate_id):
            # The car could not check who has signed.
            return _R.WARNING_NO_CERTIFICATE_AVAILABLE
        if not isinstance(leaf.public_key, ec.EllipticCurvePublicKey):
            # A key on Curve448 is longer than what a message carries.
            return _R.WARNING_NO_CERTIFICATE_AVAILABLE
        wanted = message.prioritized_emaids
        contract, remaining = self._next(
            message.header.session_id, leaf.common_name,
            _in_order(known, [] if wanted is None else wanted.emaid)[
                :max(1, message.maximum_contract_certificate_chains)])
        return contract, leaf, remaining

    def _next(
        self, session_id: bytes, provisioning_id: str, contracts: Sequence[Credential],
    ) -> tuple[Credential, int]:
        """Return the next contract for a car in its session, and how many are left."""
        series = self._series
        if (series is None or series.given >= len(series.contracts)
                or (series.session_id, series.provisioning_id) != (session_id, provisioning_id)):
            series = self._series = _Series(session_id, provisioning_id, contracts)
        contract = series.contracts[series.given]
        series.given += 1
        return contract, len(series.contracts) - series.given

    def _deliver(
        self, header: common.MessageHeader, contract: Credential, receiver: Certificate,
        remaining: int,
    ) -> common.CertificateInstallationRes:
        public, key = receiver.public_key, contract.key
        if not (isinstance(public, ec.EllipticCurvePublicKey)
                and isinstance(key, ec.EllipticCurvePrivateKey)):
            raise Refusal('keys are not on P-521')
        try:
            encrypted = encrypt_iso20(
                key, public, provisioning_id=receiver.common_name,
                subject_key_id=parse_certificate(contract.chain[0]).subject_key_id or b'')
        except PkiError as error:
            raise Refusal(f'contract: {error}') from None
        leaf, *sub_cas = self.service.chain
        data = common.SignedInstallationData(
            id='id1', contract_certificate_chain=iso20_wallet.contract_chain(contract.chain),
            ecdh_curve=common.ECDHCurve.SECP521, dh_public_key=encrypted.dh_public_key,
            secp521_encrypted_private_key=encrypted.encrypted_private_key)
        header.signature = iso20_wallet.signature_of(
            iso20_wallet.fragment('SignedInstallationData', data), self.service)
        return common.CertificateInstallationRes(
            header=header, response_code=_R.OK, evse_processing=common.Processing.FINISHED,
            cps_certificate_chain=common.CertificateChain(
                certificate=leaf,
                sub_certificates=common.SubCertificates(certificate=sub_cas)),
            signed_installation_data=data, remaining_contract_certificate_chains=remaining)


def _in_order(contracts: Sequence[Credential], wanted: Sequence[str]) -> list[Credential]:
    """Return the contracts, those that the car wants first."""
    def rank(contract: Credential) -> int:
        return next((place for place, emaid in enumerate(wanted)
                     if same_emaid(emaid, contract.name)), len(wanted))
    return sorted(contracts, key=rank)


def read_provider20(directory: Path) -> ContractProvider20:
    """Return the provider of a laboratory; raise ``PkiError`` or ``OSError``."""
    def named(name: str) -> Credential:
        return read_named(directory, name, GENERATION_20)

    roots = {kind: read_roots(directory, kind, GENERATION_20)
             for kind in (RootKind.OEM, RootKind.V2G)}
    crl = (directory / GENERATION_20 / 'crls' / 'oem_sub2.der').read_bytes()
    return ContractProvider20(
        service=named('cps'),
        customers={named('oem_provisioning').name: (
            named('contract_new'), named('contract_second'))},
        maker_roots=anchors_for(Role.OEM_PROVISIONING, roots),
        service_root=roots[RootKind.V2G][0],
        revocation=RevocationData((), (parse_crl(crl),)))
