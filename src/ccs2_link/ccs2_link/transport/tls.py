"""TLS for ISO 15118-2 (1.2) and ISO 15118-20 (1.3), on OpenSSL with memory BIOs.

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

from ccs2_link.transport.channel import ChannelError, Security
from ccs2_link.transport.client_hello import (
    TLS_1_2,
    TLS_1_3,
    ClientHello,
    HelloError,
    HelloReader,
)
from ccs2_link.transport.credentials import Credentials, ServerCredential
from ccs2_link.transport.engine import Engine, ServerContext, Terms
from ccs2_link.transport.local_engine import LocalContext
from ccs2_link.transport.tls_channel import EngineChannel
from ccs2_pki.certificate import KeyAlgorithm
from ccs2_pki.chains import check_der_chain
from ccs2_pki.errors import PkiError
from ccs2_pki.pkcs11_keys import TokenKey
from ccs2_pki.profiles import ISO20, ISO20_INTEROPERABILITY, Profile, Role
from ccs2_pki.selection import ISO2_KEYS, ISO20_KEYS, TrustedAuthority, choose, staples, usable

#: For each kind of key: the signature it makes, by OpenSSL's name and by the registry's number.
_SIGNATURES = {
    KeyAlgorithm.P256: ('ecdsa_secp256r1_sha256', 0x0403),
    KeyAlgorithm.P521: ('ecdsa_secp521r1_sha512', 0x0603),
    KeyAlgorithm.ED448: ('ed448', 0x0808),
}


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
    context: ServerContext = field(repr=False)

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
        token_problem = credentials.token_problem
        for version in self._versions:
            self._offers[version.number] = {}
            for credential in credentials.servers:
                if credential.chain.leaf.key_algorithm not in version.keys:
                    continue
                try:
                    offer = _Offer(version, credential, self._context(version, credential))
                except (PkiError, SSL.Error, crypto.Error, ValueError, TypeError) as error:
                    problems.append(f'{credential.chain.leaf.subject}: {error}')
                    token_problem |= isinstance(credential.key, TokenKey)
                    continue
                self._offers[version.number][credential.chain.id] = offer
        self._problems = tuple(problems)
        self._token_problem = token_problem

    @property
    def problems(self) -> tuple[str, ...]:
        """Why chains of the store cannot be used."""
        return self._problems + tuple(
            f'{offer.credential.chain.leaf.subject}: {offer.context.problem}'
            for offers in self._offers.values() for offer in offers.values()
            if offer.context.problem)

    @property
    def token_problem(self) -> bool:
        """Some chain is not used because of its token, which may be well at the next look."""
        return self._token_problem or any(
            offer.context.problem for offers in self._offers.values()
            for offer in offers.values())

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
        offers = {name: offer for name, offer in self._offers[version.number].items()
                  if not offer.context.problem}
        chains = [offer.credential.chain for offer in offers.values()]
        return [offers[chain.id] for chain in usable(chains, version.keys, self.now())]

    def _context(self, version: _Version, credential: ServerCredential) -> ServerContext:
        terms = Terms(
            version=version.number,
            groups=':'.join(version.groups),
            signatures=':'.join(_SIGNATURES[key][0] for key in version.keys),
            chain=credential.chain.chain,
            key=credential.key,
            staple=lambda: self._staple(credential),
            named_anchors=(
                self.credentials.vehicle_anchors if version.number == TLS_1_3 else ()),
            key_log=self._key_log,
        )
        if isinstance(credential.key, TokenKey):
            # Here, because reading its prototypes takes a moment and few stations have a token.
            from ccs2_link.transport.token_engine import TokenContext
            return TokenContext(terms)
        return LocalContext(terms)

    def _staple(self, credential: ServerCredential) -> bytes:
        """Return an OCSP response about the leaf, b'' if there is no good one."""
        now = self.now()
        if now is None:
            return b''
        return staples(credential.chain, self.credentials.revocation, now)[0] or b''


def _trusted(offers: Sequence[_Offer], authorities: Sequence[TrustedAuthority]) -> _Offer | None:
    chain = choose([offer.credential.chain for offer in offers], authorities)
    return next((offer for offer in offers if offer.credential.chain is chain), None)


class TlsChannel(EngineChannel):
    """The station's side of one TLS connection."""

    def __init__(self, server: TlsServer) -> None:
        super().__init__('vehicle')
        self.security = Security.NONE
        self.vehicle_certificate_digest = b''
        self._server = server
        self._hello = HelloReader()

    def start(self, stream: bytes) -> Engine | None:
        """Make the engine once the ClientHello is complete, or can never be one."""
        try:
            hello = self._hello.read(stream)
            if hello is None:
                return None
        except HelloError:
            hello = None
        offer = self._server.select(hello)
        return offer.context.engine(self._judge if offer.asks_vehicle else None)

    def work(self) -> Callable[[], None] | None:
        """Return what the handshake waits for: the token to sign."""
        return None if self._engine is None else self._engine.work()

    def handshake_done(self, engine: Engine) -> None:
        """Take note of the version, and of who the vehicle is."""
        certificate = engine.get_peer_certificate()
        if engine.get_protocol_version() == SSL.TLS1_2_VERSION:
            self.security = Security.TLS_1_2
        elif certificate is None:
            self.security = Security.TLS_1_3
        else:
            self.security = Security.TLS_1_3_MUTUAL
            self.vehicle_certificate_digest = hashlib.sha512(
                crypto.dump_certificate(crypto.FILETYPE_ASN1, certificate)).digest()

    def _judge(self, error: int, chain: list[bytes]) -> int:
        """Judge the vehicle's chain by the rules of the profile, and by what OpenSSL found."""
        return self.judged(check_der_chain(
            chain, self._server.credentials.vehicle_anchors, self._server.profile, Role.VEHICLE,
            self._server.now(), revocation=self._server.credentials.revocation), error)
