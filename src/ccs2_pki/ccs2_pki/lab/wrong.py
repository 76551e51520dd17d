"""The wrong certificates of a test hierarchy: one fault each, with the result a check must give."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from cryptography.hazmat.primitives import hashes

from ccs2_pki.certificate import KeyAlgorithm
from ccs2_pki.chains import ChainResult
from ccs2_pki.lab.hierarchy import Hierarchy
from ccs2_pki.lab.issuing import Issued, Plan, issue, ocsp_response
from ccs2_pki.profiles import CLIENT_AUTH, ISO2, SERVER_AUTH, Role

_CHAINS: Mapping[Role, tuple[str, str, str, str]] = {
    Role.SECC: ('v2g_root', 'cpo_sub1', 'cpo_sub2', 'secc'),
    Role.CONTRACT: ('mo_root', 'mo_sub1', 'mo_sub2', 'contract'),
    Role.OEM_PROVISIONING: ('oem_root', 'oem_sub1', 'oem_sub2', 'oem_provisioning'),
    Role.VEHICLE: ('oem_root', 'vehicle_sub1', 'vehicle_sub2', 'vehicle'),
}
"""Root, sub-CAs and leaf that the faults are put into."""


@dataclass(frozen=True, slots=True)
class Wrong:
    """A chain with one fault."""

    name: str
    role: Role
    expected: ChainResult
    chain: tuple[bytes, ...] = field(repr=False)
    """DER, leaf first, as a peer would send it."""
    leaf: Issued = field(repr=False)
    ocsp: tuple[bytes, ...] = field(default=(), repr=False)
    """OCSP responses that the check needs to see the fault."""
    extra_root: Issued | None = field(default=None, repr=False)
    """Root to trust on top of the right ones."""


@dataclass(frozen=True, slots=True)
class _Fault:
    """Changes of the plans, by position: root, sub1, sub2, leaf."""

    expected: ChainResult
    changes: Mapping[str, Mapping[str, Any]]
    trusted: bool = True
    """Whether the root is the right one (or, if changed, trusted as well)."""


_PAST: Mapping[str, Any] = {'start': -400, 'days': 399}
_FUTURE: Mapping[str, Any] = {'start': 30}

_FAULTS: Mapping[str, _Fault] = {
    'expired': _Fault(ChainResult.LEAF_EXPIRED, {'leaf': _PAST}),
    'not-yet-valid': _Fault(ChainResult.LEAF_NOT_YET_VALID, {'leaf': _FUTURE}),
    'expired-sub-ca': _Fault(ChainResult.ISSUER_EXPIRED, {'sub2': _PAST}),
    'not-yet-valid-sub-ca': _Fault(ChainResult.ISSUER_NOT_YET_VALID, {'sub1': _FUTURE}),
    'expired-root': _Fault(ChainResult.ANCHOR_EXPIRED, {'root': _PAST}),
    'not-yet-valid-root': _Fault(ChainResult.ANCHOR_NOT_YET_VALID, {'root': _FUTURE}),
    'path-length': _Fault(ChainResult.PATH_LENGTH_EXCEEDED, {'sub1': {'path_length': 0}}),
    'root-path-length': _Fault(ChainResult.PATH_LENGTH_EXCEEDED, {'root': {'path_length': 1}}),
    'sub-ca-is-no-ca': _Fault(ChainResult.NOT_A_CA,
                              {'sub2': {'is_ca': False, 'path_length': None}}),
    'sub-ca-key-usage': _Fault(ChainResult.CA_KEY_USAGE,
                               {'sub2': {'key_usage': frozenset({'crl_sign'})}}),
    'key-usage': _Fault(ChainResult.LEAF_KEY_USAGE,
                        {'leaf': {'key_usage': frozenset({'key_encipherment'})}}),
    'leaf-is-ca': _Fault(ChainResult.LEAF_IS_CA, {'leaf': {'is_ca': True}}),
    'critical-extension': _Fault(ChainResult.UNKNOWN_CRITICAL_EXTENSION,
                                 {'leaf': {'critical_extension': True}}),
    'too-large': _Fault(ChainResult.CERTIFICATE_TOO_LARGE, {'leaf': {'padding': 1700}}),
    'look-alike-root': _Fault(ChainResult.SIGNATURE_INVALID, {'root': {}}, trusted=False),
    'other-root': _Fault(ChainResult.NO_ANCHOR,
                         {'root': {'subject': (('CN', 'Rogue Root'),)}}, trusted=False),
    # Cyrillic capital letter A: looks alike, is another name.
    'look-alike-letters': _Fault(ChainResult.NO_ANCHOR, {
        'root': {'subject': (('CN', 'V2G Root \u0410'), ('O', 'CCS2 laboratory'), ('C', 'DE'),
                             ('DC', 'V2G'))}}, trusted=False),
}

_WRONG_SUBJECT: Mapping[Role, Sequence[tuple[str, str]]] = {
    Role.SECC: (('CN', 'DECC2S0001'), ('DC', 'V2G')),
    Role.CONTRACT: (('CN', 'DE8AA0012345670'), ('DC', 'OEM')),
    Role.OEM_PROVISIONING: (('CN', 'CC2LAB0000000000A1'), ('DC', 'MO')),
    Role.VEHICLE: (('CN', 'CC2LABVEHICLE0001'), ('C', 'DE')),
}


def build_wrong(right: Hierarchy) -> list[Wrong]:
    """Make every wrong chain of one generation."""
    roles = [role for role in _CHAINS if role in right.generation.profile.leafs]
    return [wrong for role in roles for wrong in _of_role(right, role)]


def _of_role(right: Hierarchy, role: Role) -> list[Wrong]:
    faults = dict(_FAULTS)
    faults['subject'] = _Fault(ChainResult.LEAF_SUBJECT,
                               {'leaf': {'subject': _WRONG_SUBJECT[role]}})
    faults['curve'] = _Fault(ChainResult.WRONG_KEY_ALGORITHM,
                             {'leaf': {'algorithm': _foreign_curve(right)}})
    if right.generation.algorithm is not KeyAlgorithm.ED448:
        faults['signature-hash'] = _Fault(ChainResult.WRONG_SIGNATURE_ALGORITHM,
                                          {'sub2': {'hash': hashes.SHA384()}})
    if role is Role.VEHICLE:
        faults['extended-key-usage'] = _Fault(ChainResult.LEAF_EXTENDED_KEY_USAGE,
                                              {'leaf': {'extended_key_usage': (SERVER_AUTH,)}})
    if role is Role.OEM_PROVISIONING and right.generation.profile is not ISO2:
        faults['vehicle-usage'] = _Fault(ChainResult.LEAF_EXTENDED_KEY_USAGE,
                                         {'leaf': {'extended_key_usage': (CLIENT_AUTH,)}})
    if role is Role.SECC and right.generation.profile is not ISO2:
        faults['client-too'] = _Fault(
            ChainResult.LEAF_EXTENDED_KEY_USAGE,
            {'leaf': {'extended_key_usage': (SERVER_AUTH, CLIENT_AUTH)}})
    made = [_faulty(right, role, name, fault) for name, fault in faults.items()]
    made += [*_rearranged(right, role), *_revoked(right, role)]
    return [*made, _of_operator(right)] if role is Role.VEHICLE else made


def _of_operator(right: Hierarchy) -> Wrong:
    """Return a vehicle certificate below the MO root, which is no anchor for vehicles."""
    leaf = issue(right.plans['vehicle'], right.issued['mo_sub2'], right.generation.algorithm,
                 right.made)
    return Wrong('mo-root', Role.VEHICLE, ChainResult.NO_ANCHOR,
                 tuple(certificate.der for certificate in leaf.chain), leaf)


def _foreign_curve(right: Hierarchy) -> KeyAlgorithm:
    return (KeyAlgorithm.P521 if right.generation.algorithm is KeyAlgorithm.P256
            else KeyAlgorithm.P256)


def _faulty(right: Hierarchy, role: Role, name: str, fault: _Fault) -> Wrong:
    above: Issued | None = None
    for position, original in zip(('root', 'sub1', 'sub2', 'leaf'), _CHAINS[role], strict=True):
        change = fault.changes.get(position)
        if change is None and (above is None or above is right.issued.get(above.name)):
            above = right.issued[original]
            continue
        plan: Plan = replace(right.plans[original], **(change or {}))
        above = issue(plan, above, right.generation.algorithm, right.made)
    leaf = above
    if leaf is None:
        raise ValueError(name)
    foreign = leaf.root is not right.issued[_CHAINS[role][0]]
    return Wrong(name, role, fault.expected, tuple(c.der for c in leaf.chain), leaf,
                 extra_root=leaf.root if foreign and fault.trusted else None)


def _rearranged(right: Hierarchy, role: Role) -> list[Wrong]:
    leaf = right.issued[_CHAINS[role][3]]
    chain = tuple(certificate.der for certificate in leaf.chain)
    foreign = right.issued['cps_sub2' if role is not Role.SECC else 'cpo_b_sub2'].certificate.der
    deep = _too_long(right, role)
    spoiled = bytearray(chain[0])
    spoiled[-1] ^= 1
    arrangements = (
        ('order', ChainResult.BROKEN_ORDER, (chain[0], chain[2], chain[1])),
        ('foreign-sub-ca', ChainResult.BROKEN_ORDER, (chain[0], foreign, chain[2])),
        ('no-sub-cas', ChainResult.NO_ANCHOR, chain[:1]),
        ('changed', ChainResult.SIGNATURE_INVALID, (bytes(spoiled), *chain[1:])),
        ('garbage', ChainResult.MALFORMED, (b'\xff' + bytes(63), *chain[1:])),
        ('empty', ChainResult.NO_CERTIFICATE, ()),
    )
    return [Wrong(name, role, expected, ders, leaf) for name, expected, ders in arrangements] + [
        Wrong('too-long', role, ChainResult.CHAIN_TOO_LONG, tuple(c.der for c in deep.chain), deep)]


def _too_long(right: Hierarchy, role: Role) -> Issued:
    root, sub1, _, leaf = _CHAINS[role]
    above = right.issued[root]
    for _ in range(right.generation.profile.max_sub_cas + 1):
        above = issue(replace(right.plans[sub1], path_length=None), above,
                      right.generation.algorithm, right.made)
    return issue(right.plans[leaf], above, right.generation.algorithm, right.made)


def _revoked(right: Hierarchy, role: Role) -> list[Wrong]:
    leaf = right.issued[_CHAINS[role][3]]
    fresh = issue(right.plans[leaf.name], leaf.issuer, right.generation.algorithm, right.made)
    answer = ocsp_response(fresh, right.made, revoked=True)
    old_answer = ocsp_response(fresh, right.made, revoked=True, age=timedelta(days=60))
    chain = tuple(certificate.der for certificate in fresh.chain)
    return [Wrong('revoked', role, ChainResult.REVOKED, chain, fresh, (answer,)),
            Wrong('revoked-long-ago', role, ChainResult.REVOKED, chain, fresh, (old_answer,))]
