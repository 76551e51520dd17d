"""The car's side of TLS: 1.2 as ISO 15118-2 has it, 1.3 with a vehicle certificate as -20 has it.

=========  ==============================  ============================================
            without a vehicle certificate   with one
=========  ==============================  ============================================
version     TLS 1.2                         TLS 1.3
suites      ECDHE-ECDSA-AES128-SHA256       AES-256-GCM-SHA384, CHACHA20-POLY1305-SHA256
groups      P-256                           P-521, X448
signatures  ECDSA SHA-256                   ECDSA P-521 SHA-512, Ed448
=========  ==============================  ============================================

The station's chain has to go back to a V2G root of the car and to keep to its profile. What a car
says of its roots, `trusted_ca_keys` (RFC 6066) and `certificate_authorities` (RFC 8446), pyOpenSSL
cannot send. A car with keys on Curve448 offers Ed448 alone, so that it gets a chain of that kind.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed448
from OpenSSL import SSL

from ccs2_link.transport import openssl
from ccs2_link.transport.channel import Security
from ccs2_link.transport.tls_channel import EngineChannel
from ccs2_pki.certificate import Certificate
from ccs2_pki.chains import ChainVerdict, check_der_chain
from ccs2_pki.errors import PkiError
from ccs2_pki.profiles import ISO2, ISO20, Role
from ccs2_pki.revocation import RevocationData, RevocationStatus, parse_ocsp
from ccs2_sim.evcc.wallet import Credential


@dataclass(frozen=True)
class TlsSettings:
    """What the car believes, shows and insists upon."""

    roots: tuple[Certificate, ...]
    """V2G roots of the generation in question."""
    now: datetime | None
    """The car's time, aware; None: its clock is not set, and it trusts nobody."""
    vehicle: Credential | None = None
    """Vehicle certificate of ISO 15118-20."""
    staple: bool = False
    """Asks for an OCSP response about the station's certificate, and leaves without a good one."""


@dataclass(frozen=True)
class _Version:
    number: int
    security: Security
    groups: str
    signatures: str


_TLS_1_2 = _Version(
    SSL.TLS1_2_VERSION, Security.TLS_1_2, 'P-256', 'ecdsa_secp256r1_sha256')
_TLS_1_3 = _Version(
    SSL.TLS1_3_VERSION, Security.TLS_1_3_MUTUAL, 'P-521:X448', 'ecdsa_secp521r1_sha512:ed448')
_TLS_1_3_ED448 = replace(_TLS_1_3, signatures='ed448')
_SUITE_1_2 = b'ECDHE-ECDSA-AES128-SHA256'
_SUITES_1_3 = b'TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256'


def _version_of(vehicle: Credential | None) -> _Version:
    if vehicle is None:
        return _TLS_1_2
    return _TLS_1_3_ED448 if isinstance(vehicle.key, ed448.Ed448PrivateKey) else _TLS_1_3


class CarChannel(EngineChannel):
    """The car's side of one TLS connection."""

    vehicle_certificate_digest = b''

    def __init__(self, settings: TlsSettings) -> None:
        super().__init__('station')
        self.security = Security.NONE
        self._settings = settings
        self._version = _version_of(settings.vehicle)
        self._verdict: ChainVerdict | None = None
        self._judge_handle: object = None

    def start(self, stream: bytes) -> SSL.Connection:
        """Make the engine: the car speaks first."""
        version = self._version
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.set_min_proto_version(version.number)
        context.set_max_proto_version(version.number)
        context.set_options(SSL.OP_NO_TICKET | SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION)
        context.set_cipher_list(_SUITE_1_2)
        context.set_tls13_ciphersuites(_SUITES_1_3)
        openssl.narrow(context, version.groups, version.signatures)
        if (vehicle := self._settings.vehicle) is not None:
            leaf, *sub_cas = map(x509.load_der_x509_certificate, vehicle.chain)
            context.use_certificate(leaf)
            for sub_ca in sub_cas:
                context.add_extra_chain_cert(sub_ca)
            context.use_privatekey(vehicle.key)
        if self._settings.staple:
            context.set_ocsp_client_callback(lambda _, response, __: self._is_good(response))
        engine = SSL.Connection(context, None)
        engine.set_connect_state()
        if self._settings.staple:
            engine.request_ocsp()
        self._judge_handle = openssl.ask_for_certificate(engine, self._judge)
        return engine

    def handshake_done(self, engine: SSL.Connection) -> None:
        """Take note of what was agreed: no other version was offered."""
        self.security = self._version.security

    def _judge(self, error: int, chain: list[bytes]) -> int:
        """Judge the station's chain by the rules of the profile, and by what OpenSSL found."""
        profile = ISO2 if self._version is _TLS_1_2 else ISO20
        self._verdict = check_der_chain(
            chain, self._settings.roots, profile, Role.SECC, self._settings.now)
        return self.judged(self._verdict, error)

    def _is_good(self, response: bytes) -> bool:
        """Judge the OCSP response ([V2G2-873], [V2G2-875]); '' if the station has sent none."""
        self.refusal = self._fault_of(response)
        return not self.refusal

    def _fault_of(self, response: bytes) -> str:
        verdict, now = self._verdict, self._settings.now
        if not response:
            return 'no OCSP response'
        if verdict is None or verdict.anchor is None or now is None:
            return 'OCSP response about nothing'
        try:
            data = RevocationData((parse_ocsp(response),))
        except PkiError as error:
            return str(error)
        leaf, issuer = (*verdict.path, verdict.anchor)[:2]
        finding = data.finding(leaf, issuer, now)
        return '' if finding.status is RevocationStatus.GOOD else finding.reason
