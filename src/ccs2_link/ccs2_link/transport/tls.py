"""TLS for ISO 15118-2 (1.2) and ISO 15118-20 (1.3), on pyOpenSSL with memory BIOs.

One listener serves both. The ClientHello decides, before OpenSSL gets its first octet, for one
chain of certificates and so for one version with exactly that version's parameters:

=========  ===================================  ================================================
            TLS 1.2                             TLS 1.3
=========  ===================================  ================================================
key         P-256                               P-521 or Ed448
suites      ECDHE-ECDSA-AES128-SHA256           AES-256-GCM-SHA384, CHACHA20-POLY1305-SHA256
groups      P-256                               P-521, X448
signatures  ECDSA SHA-256                       ECDSA P-521 SHA-512, Ed448
vehicle     is not asked                        is always asked, and checked if it presents one
=========  ===================================  ================================================

A vehicle without a certificate gets TLS 1.3 all the same, so that an ISO 15118-2 vehicle with a
new TLS library can charge; the connection then says TLS_1_3, and ISO 15118-20 needs TLS_1_3_MUTUAL.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from OpenSSL import SSL, crypto

from ccs2_link.transport import openssl
from ccs2_link.transport.channel import ChannelError, Security
from ccs2_link.transport.client_hello import (
    TLS_1_2,
    TLS_1_3,
    ClientHello,
    HelloError,
    read_client_hello,
)
from ccs2_link.transport.credentials import Credentials, ServerCredential
from ccs2_pki.certificate import KeyAlgorithm
from ccs2_pki.chains import ChainResult, check_der_chain
from ccs2_pki.errors import PkiError
from ccs2_pki.profiles import ISO20, ISO20_INTEROPERABILITY, Profile, Role
from ccs2_pki.selection import ISO2_KEYS, ISO20_KEYS, TrustedAuthority, choose, staples, usable

#: OpenSSL's verification errors, each of which gives the alert behind it (RFC 8446 clause 6.2).
_SIGNATURE = 7              # decrypt_error
_NOT_YET_VALID = 9          # bad_certificate
_EXPIRED = 10               # certificate_expired
_UNKNOWN_ISSUER = 20        # unknown_ca
_REVOKED = 23               # certificate_revoked
_INVALID_PURPOSE = 26       # unsupported_certificate
_REJECTED = 28              # bad_certificate
_NOT_DECIDED = 50           # handshake_failure
_INVALID_ISSUER = 79        # unknown_ca
_ERRORS = {
    ChainResult.TIME_NOT_TRUSTED: _NOT_DECIDED,
    ChainResult.REVOCATION_UNKNOWN: _NOT_DECIDED,
    ChainResult.NO_ANCHOR: _UNKNOWN_ISSUER,
    ChainResult.NOT_A_CA: _INVALID_ISSUER,
    ChainResult.CA_KEY_USAGE: _INVALID_ISSUER,
    ChainResult.PATH_LENGTH_EXCEEDED: _INVALID_ISSUER,
    ChainResult.SIGNATURE_INVALID: _SIGNATURE,
    ChainResult.LEAF_EXPIRED: _EXPIRED,
    ChainResult.ISSUER_EXPIRED: _EXPIRED,
    ChainResult.ANCHOR_EXPIRED: _EXPIRED,
    ChainResult.LEAF_NOT_YET_VALID: _NOT_YET_VALID,
    ChainResult.ISSUER_NOT_YET_VALID: _NOT_YET_VALID,
    ChainResult.ANCHOR_NOT_YET_VALID: _NOT_YET_VALID,
    ChainResult.REVOKED: _REVOKED,
    ChainResult.WRONG_KEY_ALGORITHM: _INVALID_PURPOSE,
    ChainResult.WRONG_SIGNATURE_ALGORITHM: _INVALID_PURPOSE,
    ChainResult.MIXED_ALGORITHMS: _INVALID_PURPOSE,
    ChainResult.LEAF_IS_CA: _INVALID_PURPOSE,
    ChainResult.LEAF_KEY_USAGE: _INVALID_PURPOSE,
    ChainResult.LEAF_EXTENDED_KEY_USAGE: _INVALID_PURPOSE,
}
#: For each kind of key: the signature it makes, by OpenSSL's name and by the registry's number.
_SIGNATURES = {
    KeyAlgorithm.P256: ('ecdsa_secp256r1_sha256', 0x0403),
    KeyAlgorithm.P521: ('ecdsa_secp521r1_sha512', 0x0603),
    KeyAlgorithm.ED448: ('ed448', 0x0808),
}
_SUITE_1_2 = b'ECDHE-ECDSA-AES128-SHA256'
_SUITES_1_3 = b'TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256'
_READ_SIZE = 65536


@dataclass(frozen=True, slots=True)
class _Version:
    """One version of TLS as its standard narrows it; groups by name and registry number."""

    number: int
    keys: tuple[KeyAlgorithm, ...]
    groups: dict[str, int]

    def fits(self, key: KeyAlgorithm, hello: ClientHello) -> bool:
        """Tell whether the vehicle can take a chain with such a key."""
        return (self.number in hello.versions and _SIGNATURES[key][1] in hello.signature_schemes
                and not hello.groups.isdisjoint(self.groups.values()))


_ISO2 = _Version(TLS_1_2, ISO2_KEYS, {'P-256': 23})
_ISO20 = _Version(TLS_1_3, ISO20_KEYS, {'P-521': 25, 'X448': 30})
_ISO20_INTEROPERABILITY = _Version(
    TLS_1_3, (*ISO20_KEYS, *ISO2_KEYS), {**_ISO20.groups, **_ISO2.groups})


@dataclass(frozen=True, slots=True)
class _Offer:
    """One chain on one version, ready to serve."""

    version: _Version
    credential: ServerCredential
    context: SSL.Context = field(repr=False)

    @property
    def asks_vehicle(self) -> bool:
        """The vehicle is asked for a certificate."""
        return self.version.number == TLS_1_3


class TlsServer:
    """The station's side of TLS for one state of the certificate store.

    `now` returns the present time, None while the clock is not trusted: then no vehicle
    certificate is accepted and nothing is stapled. `accept_p256` lets P-256 chains and vehicle
    certificates serve TLS 1.3, for interoperability tests. `key_log` takes the lines of an NSS key
    log, with which a recording can be decrypted.
    """

    def __init__(
        self, credentials: Credentials, now: Callable[[], datetime | None], *,
        accept_p256: bool = False, key_log: Callable[[bytes], None] | None = None,
    ) -> None:
        self.credentials = credentials
        self.now = now
        self.profile: Profile = ISO20_INTEROPERABILITY if accept_p256 else ISO20
        self._versions = (_ISO20_INTEROPERABILITY if accept_p256 else _ISO20, _ISO2)
        self._key_log = key_log
        self._offers: dict[int, dict[str, _Offer]] = {}
        problems = list(credentials.problems)
        for version in self._versions:
            self._offers[version.number] = {}
            for credential in credentials.servers:
                if credential.chain.leaf.key_algorithm not in version.keys:
                    continue
                try:
                    offer = _Offer(version, credential, self._context(version, credential))
                except (PkiError, SSL.Error, crypto.Error, ValueError, TypeError) as error:
                    problems.append(f'{credential.chain.leaf.subject}: {error}')
                    continue
                self._offers[version.number][credential.chain.id] = offer
        #: Why chains of the store cannot be used.
        self.problems = tuple(problems)

    def chains(self, number: int) -> int:
        """Return how many chains are usable now for a version (TLS_1_2 or TLS_1_3)."""
        return sum(len(self._usable(version)) for version in self._versions
                   if version.number == number)

    @property
    def available(self) -> bool:
        """Some chain is usable now."""
        return any(self._usable(version) for version in self._versions)

    def channel(self) -> TlsChannel:
        """Return the channel of a new connection."""
        return TlsChannel(self)

    def select(self, hello: ClientHello | None) -> _Offer:
        """Choose chain and version for a ClientHello (None: whatever it was, it was not one).

        If none fits, it is one that gives the right alert.
        """
        candidates = [(version, self._usable(version)) for version in self._versions]
        if hello is not None:
            for version, offers in candidates:
                chosen = _trusted(
                    [offer for offer in offers
                     if version.fits(offer.credential.chain.leaf.key_algorithm, hello)],
                    hello.certificate_authorities if version.number == TLS_1_3
                    else hello.trusted_ca_keys)
                if chosen is not None:
                    return chosen
            for version, offers in candidates:
                if version.number in hello.versions and offers:
                    return offers[0]
        for _, offers in reversed(candidates):
            if offers:
                return offers[0]
        raise ChannelError('no certificate chain is usable any more')

    def _usable(self, version: _Version) -> list[_Offer]:
        offers = self._offers[version.number]
        chains = [offer.credential.chain for offer in offers.values()]
        return [offers[chain.id] for chain in usable(chains, version.keys, self.now())]

    def _context(self, version: _Version, credential: ServerCredential) -> SSL.Context:
        protocol = SSL.TLS1_3_VERSION if version.number == TLS_1_3 else SSL.TLS1_2_VERSION
        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.set_min_proto_version(protocol)
        context.set_max_proto_version(protocol)
        context.set_options(
            SSL.OP_NO_TICKET | SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION
            | SSL.OP_CIPHER_SERVER_PREFERENCE)
        # A connection is never the continuation of another one.
        context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        context.set_cipher_list(_SUITE_1_2)
        context.set_tls13_ciphersuites(_SUITES_1_3)
        openssl.narrow(context, ':'.join(version.groups),
                       ':'.join(_SIGNATURES[key][0] for key in version.keys))
        context.use_privatekey(credential.key)
        leaf, *sub_cas = credential.chain.chain
        context.use_certificate(leaf.source)
        for sub_ca in sub_cas:
            context.add_extra_chain_cert(sub_ca.source)
        context.check_privatekey()
        context.set_ocsp_server_callback(lambda *_: self._staple(credential))
        if version.number == TLS_1_3:
            # OpenSSL names the roots to the vehicle but does not use them: of two roots with the
            # same name it would take any. The chain check of `ccs2_pki` finds the right one.
            for anchor in self.credentials.vehicle_anchors:
                context.add_client_ca(anchor.source)
            context.set_session_id(b'ccs2')
        if (key_log := self._key_log) is not None:
            context.set_keylog_callback(lambda _, line: key_log(line))
        return context

    def _staple(self, credential: ServerCredential) -> bytes:
        """Return an OCSP response about the leaf, b'' if there is no good one."""
        now = self.now()
        if now is None:
            return b''
        return staples(credential.chain, self.credentials.revocation, now)[0] or b''


def _trusted(offers: Sequence[_Offer], authorities: Sequence[TrustedAuthority]) -> _Offer | None:
    chain = choose([offer.credential.chain for offer in offers], authorities)
    return next((offer for offer in offers if offer.credential.chain is chain), None)


class TlsChannel:
    """One TLS connection: octets in, octets out."""

    def __init__(self, server: TlsServer) -> None:
        self.ready = False
        self.security = Security.NONE
        self.cipher_suite = ''
        self.vehicle_certificate_digest = b''
        self.peer_closed = False
        self._server = server
        self._hello = b''
        self._engine: SSL.Connection | None = None
        self._judge_handle: object = None
        self._refusal = ''

    def receive(self, data: bytes) -> bytes:
        """Take octets of the socket, return those for V2GTP; raise ChannelError on failure."""
        engine = self._engine
        if engine is None:
            self._hello += data
            engine = self._engine = self._start()
            if engine is None:
                return b''
            data, self._hello = self._hello, b''
        try:
            engine.bio_write(data)
            if not self.ready:
                engine.do_handshake()
                self._handshake_done(engine)
            return self._read(engine)
        except SSL.WantReadError:
            return b''
        except SSL.Error as error:
            raise ChannelError(self._why(error)) from None

    def send(self, data: bytes) -> None:
        """Encrypt octets of V2GTP; raise ChannelError on failure."""
        if self._engine is None:
            raise ChannelError('TLS has not started')
        try:
            self._engine.sendall(data)
        except SSL.Error as error:
            raise ChannelError(self._why(error)) from None

    def close(self) -> None:
        """Send close_notify."""
        if self._engine is not None and self.ready:
            try:
                self._engine.shutdown()
            except SSL.Error:
                return      # the connection ends anyway

    def outgoing(self) -> bytes:
        """Return and forget what has to go to the socket."""
        chunks = []
        while self._engine is not None:
            try:
                chunks.append(self._engine.bio_read(_READ_SIZE))
            except SSL.Error:
                break
        return b''.join(chunks)

    def truncation(self) -> str:
        """Return what is wrong if the stream ends here without close_notify."""
        if self.peer_closed:
            return ''
        return ('vehicle closed TCP without closing TLS' if self.ready
                else 'vehicle closed TCP during the TLS handshake')

    def _start(self) -> SSL.Connection | None:
        """Make the engine once the ClientHello is complete, or can never be one."""
        try:
            hello = read_client_hello(self._hello)
            if hello is None:
                return None
        except HelloError:
            hello = None
        offer = self._server.select(hello)
        engine = SSL.Connection(offer.context, None)
        engine.set_accept_state()
        if offer.asks_vehicle:
            self._judge_handle = openssl.ask_for_certificate(engine, self._judge)
        return engine

    def _handshake_done(self, engine: SSL.Connection) -> None:
        self.cipher_suite = engine.get_cipher_name() or ''
        certificate = engine.get_peer_certificate()
        if engine.get_protocol_version() == SSL.TLS1_2_VERSION:
            self.security = Security.TLS_1_2
        elif certificate is None:
            self.security = Security.TLS_1_3
        else:
            self.security = Security.TLS_1_3_MUTUAL
            self.vehicle_certificate_digest = hashlib.sha512(
                crypto.dump_certificate(crypto.FILETYPE_ASN1, certificate)).digest()
        self.ready = True

    def _read(self, engine: SSL.Connection) -> bytes:
        chunks = []
        try:
            while True:
                chunks.append(engine.recv(_READ_SIZE))
        except SSL.ZeroReturnError:
            self.peer_closed = True
        except SSL.WantReadError:
            pass
        return b''.join(chunks)

    def _judge(self, error: int, chain: list[bytes]) -> int:
        """Judge the vehicle's chain by the rules of the profile, and by what OpenSSL found."""
        verdict = check_der_chain(
            chain, self._server.credentials.vehicle_anchors, self._server.profile, Role.VEHICLE,
            self._server.now(), revocation=self._server.credentials.revocation)
        if not verdict.accepted:
            self._refusal = verdict.message
            return _ERRORS.get(verdict.result, _REJECTED)
        if error and error not in openssl.ANCHOR_ERRORS:
            self._refusal = openssl.reason(error)
            return error
        return 0

    def _why(self, error: SSL.Error) -> str:
        if self._refusal:
            return f'vehicle certificate refused: {self._refusal}'
        reasons = [str(entry[-1]) for entry in error.args[0]] if error.args else []
        return 'TLS: ' + (', '.join(reason for reason in reasons if reason) or 'failed')
