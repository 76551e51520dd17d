"""The parameters of the node `hlc`: declared here, read here, turned into plain settings here."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

import yaml

from ccs2_hlc.session.din_responses import encode_evse_id
from ccs2_hlc.session.iso2_tariffs import check_signature_of
from ccs2_hlc.session.protocols import PROTOCOLS, Protocol
from ccs2_hlc.session.schedules import UNLIMITED, Schedule, read_schedules
from ccs2_hlc.session.secc import ENGINES
from ccs2_hlc.session.services import read_services
from ccs2_hlc.session.station import ContractPayment, OperatorLimits, Station, Timing
from ccs2_hlc.session.tariffs import read_tariffs
from ccs2_hlc.session.values import LARGEST_PLAUSIBLE
from ccs2_node import ConfigureError, ManagedNode

T = TypeVar('T')
#: Bounds of EVSEID in ISO 15118-2.
_EVSE_ID = range(7, 38)
_MAX_FILE = 65536
#: Bounds of SupportedProviders in ISO 15118-20.
_MAX_PROVIDERS, _MAX_NAME = 128, 80


class Authorization(Enum):
    """Who decides about external payment."""

    AUTOMATIC = 'automatic'
    SERVICE = 'service'


@dataclass(frozen=True, slots=True)
class Settings:
    """What the parameters say."""

    station: Station
    protocols: tuple[Protocol, ...]
    limits: OperatorLimits
    #: Folder of the certificate store, ``None``: contracts are not taken.
    store: Path | None
    #: Contract certificates that have less to live are told so, days.
    contract_expiry_warning: int
    require_revocation_data: bool
    #: Of each charge_command, s.
    lease: float


def declare(node: ManagedNode) -> None:
    """Declare every parameter."""
    timing, parameter = Timing(), node.parameter
    names = [protocol.name for protocol in ENGINES]
    parameter('evse_id', '', 'EVSEID by ISO 15118, e.g. DE*ABC*E123*1; empty: none.')
    parameter('evse_id_din', '',
              'EVSEID by DIN SPEC 91286, digits and *, e.g. 49*89*6360; empty: none.')
    parameter('protocols', names, 'Protocols that are served: ' + ', '.join(names) + '.')
    parameter('authorization', Authorization.SERVICE.value,
              'service: ~/authorize decides; automatic: every vehicle may charge.')
    parameter('authorization_timeout', 300.0,
              'How long a vehicle may wait for its authorization in s.',
              minimum=1.0, maximum=86400.0)
    parameter('contract_payment', ContractPayment.OFF.value,
              'Plug & Charge over TLS. off: no; local: a valid contract may charge; '
              'service: ~/authorize decides, too.')
    parameter('store', '/var/lib/ccs2/pki',
              'Folder of the certificate store, for contract_payment.')
    parameter('contract_expiry_warning', 14,
              'Tell a vehicle when its contract certificate expires within so many days.',
              minimum=0, maximum=365)
    parameter('require_revocation_data', False,
              'Refuse contracts whose revocation is not known from OCSP responses or CRLs.')
    parameter('challenge_lifetime', timing.challenge,
              'How long a vehicle by ISO 15118-2 may take to prove its contract in s; all of it '
              'is time to relay the challenge to another vehicle.', minimum=1.0, maximum=60.0)
    parameter('certificate_service', False,
              'Offer contract certificates: a back office serves contract_certificate.')
    parameter('receipt_interval', 0.0,
              'A vehicle that pays by contract signs a meter receipt this often in s; 0: never.',
              minimum=0.0, maximum=86400.0)
    parameter('accept_p256', False,
              'Accept contracts by ISO 15118-20 on the curve of ISO 15118-2: for '
              'interoperability tests only.')
    parameter('free_service', False, 'Whether charging costs nothing.')
    parameter('schedule_file', '',
              'YAML file of the power over time that is offered; empty: as the hardware.')
    parameter('service_file', '', 'YAML file of value-added services; empty: none.')
    parameter('tariff_file', '',
              'YAML file of what energy costs over time, told by ISO 15118; empty: not told.')
    parameter('renegotiation', False,
              'Ask vehicles by ISO 15118 for another schedule when ~/set_limits changes '
              'something; the limits hold at once in any case.')
    parameter('standby', True,
              'Let vehicles by ISO 15118-20 interrupt charging with the contactors closed.')
    parameter('service_renegotiation', True,
              'Let vehicles by ISO 15118-20 choose another service after a stop.')
    parameter('mobility_needs', False,
              'Offer vehicles by ISO 15118-20 that ~/set_needs says, too, what they need.')
    parameter('supported_providers', [''],
              'Mobility providers (country and provider, e.g. DE8AA) whose contracts are served, '
              'told by ISO 15118-20; one empty text: not told.')
    parameter('strict_tolerance', False,
              'End a session by ISO 15118-20 if the vehicle does not agree to the power tolerance '
              'of its schedule.')
    parameter('strict_sequence', False,
              'Refuse SessionStopReq in the charge loop of DIN 70121 and ISO 15118-20.')
    parameter('strict_profile', True,
              'Refuse a charging profile that exceeds the offered schedule.')
    parameter('maximum_current', 0.0,
              'Most that is offered in A until ~/set_limits; 0: as the hardware.',
              minimum=0.0, maximum=5000.0)
    parameter('maximum_power', 0.0,
              'Most that is offered in W until ~/set_limits; 0: as the hardware.',
              minimum=0.0, maximum=LARGEST_PLAUSIBLE)
    parameter('sequence_timeout', timing.sequence,
              'How long the vehicle may take for its next request in s.',
              minimum=1.0, maximum=60.0)
    parameter('sequence_timeout_charge_loop', timing.sequence_charge_loop,
              'The same in the charge loop of DIN 70121 in s.', minimum=0.5, maximum=60.0)
    parameter('sequence_timeout_charge_loop_iso20', timing.sequence_charge_loop_iso20,
              'The same in the charge loop of ISO 15118-20 in s; many vehicles need more than '
              'the 0.5 s of the standard.', minimum=0.5, maximum=60.0)
    parameter('transport_timeout', timing.transport,
              'Age in s at which v2g/connection is stale, and with it the vehicle lost.',
              minimum=0.05, maximum=2.0)
    parameter('lease', 0.2,
              'How long in s a charge_command gives the right to energy; renewed five times in it.',
              minimum=0.05, maximum=1.0)
    parameter('stop_patience', timing.stop_patience,
              'How long the vehicle may take to obey ~/stop or ~/pause in s.',
              minimum=1.0, maximum=60.0)


def read(node: ManagedNode) -> Settings:
    """Return what the parameters say; raise :class:`ConfigureError` naming what makes no sense."""
    value = node.value
    protocols = _protocols(value('protocols'))
    authorization = _one_of(Authorization, 'authorization', value('authorization'))
    contracts = _one_of(ContractPayment, 'contract_payment', value('contract_payment'))
    try:
        encode_evse_id(value('evse_id_din'))
    except ValueError as error:
        raise ConfigureError(f'evse_id_din: {error}') from None
    if value('evse_id') and len(value('evse_id')) not in _EVSE_ID:
        raise ConfigureError(
            f"evse_id is '{value('evse_id')}', must have 7 to 37 characters")
    schedules: tuple[Schedule, ...] = _file(
        node, 'schedule_file', read_schedules, UNLIMITED)
    numbers = [schedule.number for schedule in schedules]
    station = Station(
        evse_id=value('evse_id'),
        evse_id_din=value('evse_id_din'),
        free_service=value('free_service'),
        automatic_authorization=authorization is Authorization.AUTOMATIC,
        authorization_timeout=value('authorization_timeout'),
        contract_payment=contracts,
        certificate_service=value('certificate_service'),
        receipt_interval=value('receipt_interval'),
        schedules=schedules,
        services=_file(node, 'service_file', read_services, ()),
        accept_p256=value('accept_p256'),
        tariffs=_file(
            node, 'tariff_file',
            lambda document: check_signature_of(read_tariffs(document, numbers)), None),
        renegotiation=value('renegotiation'),
        standby=value('standby'),
        service_renegotiation=value('service_renegotiation'),
        mobility_needs=value('mobility_needs'),
        strict_tolerance=value('strict_tolerance'),
        supported_providers=_providers(value('supported_providers')),
        strict_sequence=value('strict_sequence'),
        strict_profile=value('strict_profile'),
        timing=Timing(
            sequence=value('sequence_timeout'),
            sequence_charge_loop=value('sequence_timeout_charge_loop'),
            sequence_charge_loop_iso20=value('sequence_timeout_charge_loop_iso20'),
            stop_patience=value('stop_patience'),
            transport=value('transport_timeout'),
            challenge=value('challenge_lifetime')),
        unix_time=lambda: int(time.time()))
    return Settings(
        station=station,
        protocols=protocols,
        limits=OperatorLimits(
            maximum_current=value('maximum_current') or None,
            maximum_power=value('maximum_power') or None),
        store=None if contracts is ContractPayment.OFF else Path(value('store')),
        contract_expiry_warning=value('contract_expiry_warning'),
        require_revocation_data=value('require_revocation_data'),
        lease=value('lease'))


def _providers(names: list[str]) -> tuple[str, ...]:
    told = tuple(name for name in names if name)
    if len(told) > _MAX_PROVIDERS or any(len(name) > _MAX_NAME for name in told):
        raise ConfigureError(
            f'supported_providers are more than {_MAX_PROVIDERS}, or one has more than '
            f'{_MAX_NAME} characters')
    return told


def _protocols(names: list[str]) -> tuple[Protocol, ...]:
    served = {protocol.name for protocol in ENGINES}
    for name in names:
        if name not in served:
            raise ConfigureError(
                f"protocols contains '{name}', must be of {', '.join(sorted(served))}")
    if not names:
        raise ConfigureError('protocols is empty')
    return tuple(PROTOCOLS[name] for name in names)


E = TypeVar('E', bound=Enum)


def _one_of(kind: type[E], name: str, value: str) -> E:
    try:
        return kind(value)
    except ValueError:
        choices = ', '.join(member.value for member in kind)
        raise ConfigureError(f"{name} is '{value}', must be one of {choices}") from None


def _file(node: ManagedNode, name: str, reader: Callable[[Any], T], default: T) -> T:
    """Return what `reader` makes of the YAML file that a parameter names."""
    path = node.value(name)
    if not path:
        return default
    try:
        with open(path, encoding='utf-8') as file:
            text = file.read(_MAX_FILE + 1)
        if len(text) > _MAX_FILE:
            raise ValueError(f'more than {_MAX_FILE} characters')
        return reader(yaml.safe_load(text))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ConfigureError(f"{name} '{path}': {error}") from None
