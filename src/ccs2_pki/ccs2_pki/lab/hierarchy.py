"""The right certificates of a test hierarchy, as a table.

Who issues whom, names and usages follow ISO 15118-2 annex F and ISO 15118-20 annex B. There are two
V2G roots with an SECC chain each, because a station may hold several and has to choose by what the
car trusts.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from ccs2_pki.certificate import Certificate, KeyAlgorithm
from ccs2_pki.identifiers import emaid_check_digit
from ccs2_pki.lab.issuing import CA_USAGE, Issued, Plan, crl, issue, ocsp_response
from ccs2_pki.profiles import (
    CLIENT_AUTH,
    ISO2,
    ISO20,
    OCSP_SIGNING,
    SERVER_AUTH,
    Profile,
    Role,
    RootKind,
)

ORGANIZATION = 'CCS2 laboratory'
CPID = 'DECC2S0001'
EMAID = 'DE8AA001234567' + emaid_check_digit('DE8AA001234567')
SECOND_EMAID = 'DE8AA007654321' + emaid_check_digit('DE8AA007654321')
PROVISIONING_ID = 'CC2LAB0000000000A1'
EVCCID = 'CC2LABVEHICLE0001'

_YEAR = 365
_SIGN = frozenset({'digital_signature'})
_AGREE = frozenset({'digital_signature', 'key_agreement'})
_CONTRACT = _AGREE | {'content_commitment', 'key_encipherment'}


@dataclass(frozen=True, slots=True)
class Generation:
    """One protocol generation's hierarchy: its folder, its algorithm, its rules."""

    name: str
    algorithm: KeyAlgorithm
    profile: Profile


GENERATIONS = (Generation('iso2', KeyAlgorithm.P256, ISO2),
               Generation('iso20', KeyAlgorithm.P521, ISO20),
               Generation('iso20-ed448', KeyAlgorithm.ED448, ISO20))


def _authority(name: str, title: str, domain: str, days: int, path_length: int | None = None,
               issuer: str = '') -> tuple[str, Plan]:
    subject = (('CN', title), ('O', ORGANIZATION), ('C', 'DE'), ('DC', domain))
    return issuer, Plan(name, subject, CA_USAGE, days, path_length, True)


def _leaf(name: str, common_name: str, domain: str, usage: frozenset[str], days: int, issuer: str,
          *extended: str) -> tuple[str, Plan]:
    subject = (('CN', common_name), ('O', ORGANIZATION)) + ((('DC', domain),) if domain else ())
    return issuer, Plan(name, subject, usage, days, extended_key_usage=extended,
                        ocsp_url=f'http://ocsp.example.org/{issuer}')


_COMMON: tuple[tuple[str, Plan], ...] = (
    _authority('v2g_root', 'V2G Root A', 'V2G', 40 * _YEAR),
    _authority('cpo_sub1', 'CPO Sub-CA 1 A', 'V2G', 4 * _YEAR, 1, 'v2g_root'),
    _authority('cpo_sub2', 'CPO Sub-CA 2 A', 'V2G', 2 * _YEAR, 0, 'cpo_sub1'),
    _leaf('cpo_responder', 'CPO OCSP Responder', '', _SIGN, 90, 'cpo_sub2', OCSP_SIGNING),
    _authority('v2g_root_b', 'V2G Root B', 'V2G', 40 * _YEAR),
    _authority('cpo_b_sub1', 'CPO Sub-CA 1 B', 'V2G', 4 * _YEAR, 1, 'v2g_root_b'),
    _authority('cpo_b_sub2', 'CPO Sub-CA 2 B', 'V2G', 2 * _YEAR, 0, 'cpo_b_sub1'),
    _authority('mo_root', 'MO Root', 'MO', 10 * _YEAR),
    _authority('mo_sub1', 'MO Sub-CA 1', 'MO', 4 * _YEAR, 1, 'mo_root'),
    _authority('mo_sub2', 'MO Sub-CA 2', 'MO', 4 * _YEAR, 0, 'mo_sub1'),
    _leaf('contract', EMAID, 'MO', _CONTRACT, 2 * _YEAR, 'mo_sub2'),
    _leaf('contract_new', EMAID, 'MO', _CONTRACT, 3 * _YEAR, 'mo_sub2'),
    _leaf('contract_second', SECOND_EMAID, 'MO', _CONTRACT, 3 * _YEAR, 'mo_sub2'),
    _authority('oem_root', 'OEM Root', 'OEM', 10 * _YEAR),
    _authority('oem_sub1', 'OEM Sub-CA 1', 'OEM', 4 * _YEAR, 1, 'oem_root'),
    _authority('oem_sub2', 'OEM Sub-CA 2', 'OEM', 4 * _YEAR, 0, 'oem_sub1'),
    _leaf('oem_provisioning', PROVISIONING_ID, 'OEM', _AGREE, 4 * _YEAR, 'oem_sub2'),
    _authority('cps_sub1', 'CPS Sub-CA 1', 'CPS', 4 * _YEAR, 1, 'v2g_root'),
    _authority('cps_sub2', 'CPS Sub-CA 2', 'CPS', 2 * _YEAR, 0, 'cps_sub1'),
    _leaf('cps', 'CPS', 'CPS', _SIGN, 90, 'cps_sub2'),
)

_ISO2: tuple[tuple[str, Plan], ...] = (
    _leaf('secc', CPID, 'CPO', _AGREE, 60, 'cpo_sub2'),
    _leaf('secc_b', CPID, 'CPO', _AGREE, 60, 'cpo_b_sub2'),
)

_ISO20: tuple[tuple[str, Plan], ...] = (
    _leaf('secc', CPID, 'CPO', _SIGN, 60, 'cpo_sub2', SERVER_AUTH),
    _leaf('secc_b', CPID, 'CPO', _SIGN, 60, 'cpo_b_sub2', SERVER_AUTH),
    _authority('vehicle_sub1', 'Vehicle Sub-CA 1', 'OEM', 4 * _YEAR, 1, 'oem_root'),
    _authority('vehicle_sub2', 'Vehicle Sub-CA 2', 'OEM', 4 * _YEAR, 0, 'vehicle_sub1'),
    _leaf('vehicle', EVCCID, '', _SIGN, 4 * _YEAR, 'vehicle_sub2', CLIENT_AUTH),
    _leaf('vehicle_other', EVCCID[:-1] + '2', '', _SIGN, 4 * _YEAR, 'vehicle_sub2', CLIENT_AUTH),
)

ROOTS: Mapping[RootKind, tuple[str, ...]] = {
    RootKind.V2G: ('v2g_root', 'v2g_root_b'), RootKind.MO: ('mo_root',),
    RootKind.OEM: ('oem_root',), RootKind.CPS: ('v2g_root',)}

LEAFS: Mapping[str, Role] = {
    'secc': Role.SECC, 'secc_b': Role.SECC, 'contract': Role.CONTRACT,
    'contract_new': Role.CONTRACT, 'contract_second': Role.CONTRACT,
    'oem_provisioning': Role.OEM_PROVISIONING, 'cps': Role.CPS, 'vehicle': Role.VEHICLE,
    'vehicle_other': Role.VEHICLE}

_ANSWERED = ('cpo_sub1', 'cpo_sub2', 'secc', 'cpo_b_sub1', 'cpo_b_sub2', 'secc_b', 'mo_sub1',
             'mo_sub2', 'contract')


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """All right certificates of one generation, with what proves that they are not revoked."""

    generation: Generation
    made: datetime
    issued: Mapping[str, Issued] = field(repr=False)
    plans: Mapping[str, Plan] = field(repr=False)
    ocsp: Mapping[str, bytes] = field(repr=False)
    """OCSP responses, DER, by the certificate's name."""
    crls: Mapping[str, bytes] = field(repr=False)
    """CRLs, DER, by the issuer's name."""

    def roots(self) -> dict[RootKind, tuple[Certificate, ...]]:
        """Return the roots by kind."""
        return {kind: tuple(self.issued[name].certificate for name in names)
                for kind, names in ROOTS.items()}


def build(generation: Generation, now: datetime) -> Hierarchy:
    """Make a hierarchy; the times of its certificates are relative to ``now`` (aware)."""
    issued: dict[str, Issued] = {}
    rows = _COMMON + (_ISO2 if generation.profile is ISO2 else _ISO20)
    plans = {plan.name: plan for _, plan in rows}
    for issuer, plan in rows:
        issued[plan.name] = issue(plan, issued.get(issuer), generation.algorithm, now)
    responders = {'secc': issued['cpo_responder']}
    return Hierarchy(
        generation, now, issued, plans,
        ocsp={name: ocsp_response(issued[name], now, responder=responders.get(name))
              for name in _ANSWERED},
        crls={name: crl(issued[name], (), now) for name in ('oem_sub2', 'mo_sub2')})
