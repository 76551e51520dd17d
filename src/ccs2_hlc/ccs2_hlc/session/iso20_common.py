"""ISO 15118-20: the session and the choice of the service."""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

from ccs2_pki.certificate import PublicKey
from ccs2_pki.text import printable

from ..exi.messages.iso20 import common
from .context import Context, Paused
from .dc_engine import DcEngine
from .engine import Answer, Refused
from .iso20_services import (
    DC_BPT,
    PARKING_STATUS,
    Mobility,
    Variant,
    added_services,
    energy_services,
    variant_of,
    variants_with,
)
from .protocols import ISO_15118_20_DC
from .services import Service
from .station import Snapshot
from .triggers import Trigger
from .views import ControlMode, Session


class State(Enum):
    """What the station waits for."""

    SESSION_SETUP = 'SessionSetup'
    AUTHORIZATION_SETUP = 'AuthorizationSetup'
    AUTHORIZATION = 'Authorization or CertificateInstallation'
    SERVICE_DISCOVERY = 'ServiceDiscovery'
    SERVICE_DETAIL = 'ServiceDetail'
    SERVICE_SELECTION = 'ServiceDetail or ServiceSelection'
    PARAMETERS = 'DC_ChargeParameterDiscovery'
    SCHEDULE_EXCHANGE = 'ScheduleExchange'
    SCHEDULED = 'DC_CableCheck, ScheduleExchange, or PowerDelivery without power'
    CABLE_CHECK = 'DC_CableCheck'
    PRE_CHARGE = 'DC_PreCharge'
    PRE_CHARGED = 'DC_PreCharge or PowerDelivery'
    STARTING = 'PowerDelivery until the vehicle is ready to start'
    CHARGING = 'DC_ChargeLoop or PowerDelivery'
    LEAVING = 'PowerDelivery until the vehicle is ready to leave the charge loop'
    STANDBY = 'PowerDelivery out of standby'
    RENEGOTIATION = 'ScheduleExchange with the contactors closed'
    RENEGOTIATED = 'PowerDelivery with the contactors closed'
    STOPPED = 'DC_WeldingDetection or SessionStop'
    WELDING_DETECTION = 'DC_WeldingDetection again or SessionStop'
    PAUSED = 'nothing until the vehicle comes back'
    ENDED = 'nothing'


@dataclass(frozen=True, slots=True)
class Selection:
    """The energy transfer service that the vehicle has chosen, and its parameter set."""

    service: int
    variant: Variant

    @property
    def bidirectional(self) -> bool:
        """Whether energy may flow out of the vehicle."""
        return self.service == DC_BPT

    @property
    def control(self) -> ControlMode:
        """Who leads the charge loop."""
        return self.variant.control

    @property
    def shares_needs(self) -> bool:
        """Whether the station tells, too, what the vehicle needs."""
        return self.variant.mobility == Mobility.BOTH


@dataclass(frozen=True, slots=True, kw_only=True)
class Paused20(Paused):
    """What is kept of a paused session: for the vehicle with this certificate only."""

    vehicle_certificate_digest: bytes
    selection: Selection
    #: ``None``: somebody else than a contract pays.
    contract_key: PublicKey | None = field(default=None, repr=False)
    #: Numbers of the value-added services that the vehicle has chosen.
    selected_added: frozenset[int] = frozenset()


def can_discharge(snapshot: Snapshot) -> bool:
    """Return whether the power stage takes energy back, whatever the operator allows now."""
    power = snapshot.power
    return power is not None and bool(
        power.maximum_discharge_current and power.maximum_discharge_power)


class Iso20Common(DcEngine):
    """The handlers of session and services."""

    PROTOCOL = ISO_15118_20_DC

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.variants = variants_with(self.station.tariffs, self.station.mobility_needs)
        self.selection: Selection | None = None
        #: Of the contract that the vehicle has proven to be its own.
        self.contract_key: PublicKey | None = None
        #: Energy transfer services that were offered last, and the others.
        self.offered_energy: tuple[int, ...] = ()
        self.added: tuple[Service, ...] = ()
        self.offered_added: tuple[Service, ...] = ()
        self.selected_added: frozenset[int] = frozenset()

    def open(self, message: common.V2GMessage) -> tuple[bytes, Any]:
        """Return session id and request: the message itself."""
        return message.header.session_id, message

    def wrap(self, response: common.V2GResponse) -> common.V2GResponse:
        """Return the response: it is a message already."""
        return response

    def unix_time(self) -> int:
        """Return seconds since 1970-01-01 UTC, 0 if there is no clock."""
        clock = self.station.unix_time
        return 0 if clock is None else clock()

    def response_header(self) -> common.MessageHeader:
        """Return the header of a response; a session id of zero stands for no session yet."""
        return common.MessageHeader(
            session_id=self.session_id or bytes(8), time_stamp=self.unix_time())

    def view(self, **more: Any) -> Session:
        """Return what the session tells about itself, and what others know of it."""
        chosen = self.selection
        return super().view(
            bidirectional=chosen is not None and chosen.bidirectional,
            control_mode=ControlMode.NONE if chosen is None else chosen.control, **more)

    # One handler per message.

    def session_setup(self, request: common.SessionSetupReq, snapshot: Snapshot) -> Answer:
        """Open a session, or join the one that this very vehicle has paused [V2G20-2630]."""
        self.vehicle = replace(self.vehicle, evcc_id=printable(request.evcc_id))
        paused, digest = snapshot.paused, self.context.vehicle_certificate_digest
        if (
            isinstance(paused, Paused20) and digest
            and hmac.compare_digest(request.header.session_id, paused.session_id)
            and hmac.compare_digest(digest, paused.vehicle_certificate_digest)
        ):
            self.session_id = paused.session_id
            self.authorization, self.authorized = paused.authorization, paused.authorized
            self.selection, self.selected_added = paused.selection, paused.selected_added
            self.contract_id, self.contract_key = paused.contract_id, paused.contract_key
            # Authorization and service are kept [V2G20-1844].
            return Answer(trigger=Trigger.SESSION_JOINED, then=State.PARAMETERS)
        self.session_id = self.context.new_session_id()
        return Answer(trigger=Trigger.NEW_SESSION)

    def service_discovery(
        self, request: common.ServiceDiscoveryReq, snapshot: Snapshot,
    ) -> Answer:
        """Offer what the power stage can do now, and the other services that the vehicle knows."""
        self.offered_energy = energy_services(can_discharge(snapshot))
        wanted = request.supported_service_ids
        self.added = added_services(self.station.services)
        self.offered_added = self.added if wanted is None else tuple(
            service for service in self.added if service.number in wanted.service_id)
        return Answer()

    def service_detail(self, request: common.ServiceDetailReq, snapshot: Snapshot) -> Answer:
        """Tell the parameter sets of a service that was offered."""
        known = {*self.offered_energy, *(service.number for service in self.added)}
        if request.service_id not in known:
            raise Refused(Trigger.SERVICE_UNKNOWN, f'number {request.service_id}')
        return Answer()

    def service_selection(
        self, request: common.ServiceSelectionReq, snapshot: Snapshot,
    ) -> Answer:
        """Take an energy transfer service and others, each with a parameter set."""
        chosen = request.selected_energy_transfer_service
        if chosen.service_id not in self.offered_energy:
            raise Refused(Trigger.NO_CHARGE_SERVICE, f'number {chosen.service_id}')
        variant = variant_of(self.variants, chosen.service_id, chosen.parameter_set_id)
        if variant is None:
            raise Refused(
                Trigger.SERVICE_NOT_OFFERED,
                f'parameter set {chosen.parameter_set_id} of number {chosen.service_id}')
        offered = {service.number: service for service in self.added}
        others = request.selected_vas_list
        selected = () if others is None else others.selected_service
        for item in selected:
            service = offered.get(item.service_id)
            if service is None or not service.offers(item.parameter_set_id):
                raise Refused(Trigger.SERVICE_NOT_OFFERED, f'number {item.service_id}')
        self.selection = Selection(chosen.service_id, variant)
        self.selected_added = frozenset(item.service_id for item in selected)
        return Answer()

    def vehicle_check(self, request: Any, snapshot: Snapshot) -> Answer:
        """Follow a vehicle into or out of its place, if it has chosen that service."""
        if PARKING_STATUS not in self.selected_added:
            raise Refused(Trigger.OUT_OF_SEQUENCE, 'service of the parking status not chosen')
        return Answer(then=self.state)
