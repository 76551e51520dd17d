"""What each kind of certificate must look like, as tables.

Sources: ISO 15118-2 annex F with [V2G2-006], [-007], [-009], [-010], [-656], [-925]; ISO 15118-20
annex B with [V2G20-2319], [-2598], [-2674]. The -20 vehicle certificate must not be anchored in a
mobility operator's root.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass

from cryptography.x509.oid import ExtendedKeyUsageOID

from ccs2_pki.certificate import KeyAlgorithm, SignatureAlgorithm

SERVER_AUTH = ExtendedKeyUsageOID.SERVER_AUTH.dotted_string
CLIENT_AUTH = ExtendedKeyUsageOID.CLIENT_AUTH.dotted_string
OCSP_SIGNING = ExtendedKeyUsageOID.OCSP_SIGNING.dotted_string


class RootKind(enum.Enum):
    """Trust anchors, by who runs them."""

    V2G = 'v2g-root'
    MO = 'mo-root'
    OEM = 'oem-root'
    CPS = 'cps-root'


class Role(enum.Enum):
    """What a leaf certificate is used for."""

    SECC = 'secc'
    CONTRACT = 'contract'
    OEM_PROVISIONING = 'oem-provisioning'
    CPS = 'cps'
    VEHICLE = 'vehicle'


ANCHORS: Mapping[Role, frozenset[RootKind]] = {
    Role.SECC: frozenset({RootKind.V2G}),
    Role.CONTRACT: frozenset({RootKind.MO, RootKind.V2G}),
    Role.OEM_PROVISIONING: frozenset({RootKind.OEM, RootKind.V2G}),
    Role.CPS: frozenset({RootKind.CPS, RootKind.V2G}),
    Role.VEHICLE: frozenset({RootKind.OEM, RootKind.V2G}),
}
"""Roots that a leaf's chain may end in."""


@dataclass(frozen=True, slots=True)
class LeafRule:
    """What a leaf of one role must carry."""

    key_usage: frozenset[str]
    """Bits that must be set; key_agreement does not apply to Ed448, a signature-only key."""
    domain_component: str | None = None
    extended_key_usage: str | None = None
    """OID that must be present."""
    forbidden_extended_key_usage: str | None = None
    allowed_attributes: frozenset[str] | None = None
    """Subject attribute types, None for any."""


@dataclass(frozen=True, slots=True)
class Profile:
    """Rules for all certificates of one protocol generation."""

    name: str
    algorithms: Mapping[KeyAlgorithm, SignatureAlgorithm]
    """Allowed public keys, each with the signature that such a key makes."""
    max_certificate_size: int
    """Octets of DER."""
    max_sub_cas: int
    leafs: Mapping[Role, LeafRule]


_SIGNING = frozenset({'digital_signature'})
_AGREEING = frozenset({'digital_signature', 'key_agreement'})

ISO2 = Profile(
    name='ISO 15118-2',
    algorithms={KeyAlgorithm.P256: SignatureAlgorithm.ECDSA_SHA256},
    max_certificate_size=800,
    max_sub_cas=2,
    leafs={
        Role.SECC: LeafRule(_AGREEING, domain_component='CPO'),
        Role.CONTRACT: LeafRule(_SIGNING, domain_component='MO'),
        Role.OEM_PROVISIONING: LeafRule(_AGREEING, domain_component='OEM'),
        Role.CPS: LeafRule(_SIGNING, domain_component='CPS'),
    })

_ISO20_LEAFS = {
    Role.SECC: LeafRule(_SIGNING, 'CPO', SERVER_AUTH, CLIENT_AUTH),
    Role.CONTRACT: LeafRule(_SIGNING, 'MO'),
    Role.OEM_PROVISIONING: LeafRule(_AGREEING, 'OEM', forbidden_extended_key_usage=CLIENT_AUTH),
    Role.CPS: LeafRule(_SIGNING, 'CPS'),
    Role.VEHICLE: LeafRule(_SIGNING, None, CLIENT_AUTH, None, frozenset({'CN', 'O'})),
}

ISO20 = Profile(
    name='ISO 15118-20',
    algorithms={KeyAlgorithm.P521: SignatureAlgorithm.ECDSA_SHA512,
                KeyAlgorithm.ED448: SignatureAlgorithm.ED448},
    max_certificate_size=1600,
    max_sub_cas=3,
    leafs=_ISO20_LEAFS)

ISO20_INTEROPERABILITY = Profile(
    name='ISO 15118-20, interoperability tests',
    algorithms={KeyAlgorithm.P256: SignatureAlgorithm.ECDSA_SHA256, **ISO20.algorithms},
    max_certificate_size=1600,
    max_sub_cas=3,
    leafs={role: LeafRule(rule.key_usage, rule.domain_component)
           for role, rule in _ISO20_LEAFS.items()})
"""For test cars whose -20 certificates are of the -2 kind. Never for a station in the field."""

PROFILES: Mapping[str, Profile] = {'iso2': ISO2, 'iso20': ISO20,
                                   'iso20-interoperability': ISO20_INTEROPERABILITY}


def profile_of_key(algorithm: KeyAlgorithm) -> Profile | None:
    """Return the protocol generation that a key algorithm belongs to, None for none."""
    return next((profile for profile in (ISO2, ISO20) if algorithm in profile.algorithms), None)
