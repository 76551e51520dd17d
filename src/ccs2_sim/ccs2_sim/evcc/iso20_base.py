"""The car's side of ISO 15118-20 DC and DC_BPT: envelope, wishes, and what it remembers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Any, ClassVar

from ccs2_hlc import exi
from ccs2_hlc.exi.declare import Element
from ccs2_hlc.exi.messages import xmldsig
from ccs2_hlc.exi.messages.iso20 import common, dc
from ccs2_link.transport.v2gtp import PayloadType
from ccs2_pki.signatures import SignedElement
from ccs2_sim.evcc import iso20_modes, iso20_wallet
from ccs2_sim.evcc.dc import COMMUNICATION_SETUP_TIMEOUT, EXCESS, OPENING_CURRENT, DcEvcc
from ccs2_sim.evcc.engine import Span, Step
from ccs2_sim.evcc.iso20_modes import StationLimits
from ccs2_sim.evcc.outcome import Ended, ErrorCode
from ccs2_sim.evcc.schedule import Schedule
from ccs2_sim.evcc.vehicle import CarSettings, Transfer
from ccs2_sim.evcc.wallet import Credential

_Notification = common.EVSENotification
_SCHEDULING = (common.ScheduleExchangeReq, common.PowerDeliveryReq)
#: Side streams, by what goes there alone.
_ASIDE = {
    common.MeteringConfirmationReq: PayloadType.ISO20_METERING_CONFIRMATION,
    common.VehicleCheckInReq: PayloadType.ISO20_PARKING_STATUS,
    common.VehicleCheckOutReq: PayloadType.ISO20_PARKING_STATUS,
}


class Way(Enum):
    """How a car can come to its authorization, besides by a contract that it has."""

    EXTERNAL = auto()
    INSTALL = auto()


@dataclass(frozen=True)
class Paused20:
    """What the car remembers of a session that it has paused."""

    session_id: bytes
    contract: Credential | None = None
    """What the session is paid with, None: somebody else pays."""
    transfer: Transfer = Transfer.SCHEDULED


class Iso20Evcc(DcEvcc):
    """One session. With a wallet in its settings the car pays by contract."""

    charge_loop = 'DC_ChargeLoop'
    first = 'SessionSetup'
    spans = (
        Span('V2G_EVCC_CommunicationSetup_Timeout', 'SessionSetup', COMMUNICATION_SETUP_TIMEOUT),
    )
    #: Steps in which a warning is no reason to leave.
    warned = frozenset({
        'Authorization', 'CertificateInstallation', 'PowerDelivery', 'PowerDeliveryStandby',
        charge_loop})

    steps: ClassVar[dict[str, Step[Any]]] = {}

    def __init__(self, settings: CarSettings, resumed: Paused20 | None = None) -> None:
        super().__init__(settings, resumed)
        if resumed is not None:
            self.session_id = resumed.session_id
        self.wallet = settings.wallet
        #: The station has joined the session that was paused.
        self.joined = False
        #: Ways to pay that are left, the next one first.
        self.ways: list[Credential | Way] = []
        #: What the car pays with, None: somebody else pays.
        self.contract: Credential | None = None
        self.challenge = b''
        #: Contracts that were installed in this session.
        self.installed: list[Credential] = []
        #: The station lets the car choose other services after a stop.
        self.changeable = False
        #: The parking status is offered; whether the car has checked in.
        self.parking_set: int | None = None
        self.checked_in = False
        self.checking: common.EVCheckInStatus | None = None
        #: Number of the parameter set for what the car wants.
        self.parameter_set = 0
        self.limits: StationLimits | None = None
        self.schedule: Schedule | None = None
        #: Time until departure, s.
        self.departure = iso20_modes.DEPARTURE
        #: The bidirectional car has given what it wanted to.
        self.given = not settings.transfer.bidirectional
        #: The present loop of messages is over with the next request.
        self.ready = False
        #: The step that the current has to end for, '' if none.
        self.pending = ''
        #: The schedule is being negotiated anew beside the main stream.
        self.aside = False
        #: How often the schedule has been negotiated anew, the car was in standby, has changed.
        self.renegotiations = self.standbys = self.changes = 0
        #: The station wants the car back from standby.
        self.called_back = False
        #: The stop is for the choice of other services.
        self.changing = False
        #: The reading that the station wants to have confirmed.
        self.reading: common.MeterInfo | None = None
        #: The session is ended with the wish to go on later.
        self.pausing = False

    # Envelope.

    def schema(self, payload_type: int) -> str:
        """Return the EXI schema of messages of a V2GTP payload type."""
        try:
            return exi.schema_for(payload_type, iso20_modes.NAMESPACE)
        except ValueError as error:
            raise Ended(ErrorCode.REFUSED, str(error)) from None

    def payload_type(self, message: Element) -> int:
        """Return the V2GTP payload type of a request: of its stream and message set."""
        if (kind := type(message)) in _ASIDE:
            return _ASIDE[kind]
        if self.aside and isinstance(message, _SCHEDULING):
            return PayloadType.ISO20_SCHEDULE_RENEGOTIATION
        own = isinstance(message, dc.MESSAGES) and not isinstance(message, common.MESSAGES)
        return PayloadType.ISO20_DC if own else PayloadType.ISO20_COMMON

    def header(self) -> common.MessageHeader:
        """Return the header of a request; the time is zero in a car without a clock."""
        return common.MessageHeader(session_id=self.session_id, time_stamp=self.unix_time())

    def unix_time(self) -> int:
        """Return s since 1970-01-01 UTC, 0 in a car without a clock."""
        clock = self.settings.unix_time
        return 0 if clock is None else clock()

    def wrap(self, body: Element) -> Element:
        """Return the message, which has its header already; signed if a part of it has to be."""
        signer = self.signer(body)
        if signer is None:
            return body
        message: Element = iso20_wallet.signed(body, signer)
        return message

    def signer(self, body: Element) -> Credential | None:
        """Return who signs a request, None if it is not signed."""
        if iso20_wallet.signed_element(body) is None:
            return None
        if isinstance(body, common.CertificateInstallationReq):
            return self.provisioning
        return self.contract

    @staticmethod
    def signed_element(body: Element) -> SignedElement | None:
        """Return a request's part as it is signed."""
        return iso20_wallet.signed_element(body)

    def signed_info(self, body: Element) -> xmldsig.SignedInfo:
        """Return what a signature over a request signs; only of one that is signed."""
        element, signer = self.signed_element(body), self.signer(body)
        if element is None or signer is None:
            raise ValueError(f'{type(body).__name__} is not signed')
        return iso20_wallet.info_of(element, signer)

    @property
    def provisioning(self) -> Credential:
        """Return what the car's maker has put in."""
        if self.wallet is None or self.wallet.provisioning is None:
            raise Ended(ErrorCode.UNKNOWN, 'the car has no provisioning certificate')
        return self.wallet.provisioning

    def unwrap(self, message: Element) -> Element | None:
        """Return the response; every one but the first has to carry the session's id."""
        if not isinstance(message, common.V2GResponse):
            raise Ended(ErrorCode.REFUSED, f'{type(message).__name__} is no response')
        session_id, code = message.header.session_id, message.response_code.value
        if isinstance(message, common.SessionSetupRes):
            self.session_id = session_id
        elif session_id != self.session_id:
            raise Ended(ErrorCode.REFUSED, f'response of session {session_id.hex()}')
        tolerated = ('OK', 'WARNING') if self.step in self.warned else ('OK',)
        if not code.startswith(tolerated):
            raise Ended(ErrorCode.REFUSED, f'{type(message).__name__}: {code}')
        checked: Element = message
        return checked

    # Wishes.

    @property
    def transfer(self) -> Transfer:
        """What the car wants now."""
        return self.settings.transfer

    def change_to(self, transfer: Transfer) -> None:
        """Want something else from now on."""
        self.settings = replace(self.settings, transfer=transfer)
        self.given = self.given or not transfer.bidirectional

    @property
    def discharging(self) -> bool:
        """Whether the car wants to give energy now."""
        return not (self.given or self.winding_down)

    @property
    def power_limit(self) -> float:
        """Return what the schedule and the station allow for charging now, W."""
        limit = math.inf if self.limits is None else self.limits.charge_power
        if self.schedule is not None:
            limit = min(limit, self.schedule.power(self.now - self.schedule.agreed))
        return limit

    @property
    def winding_down(self) -> bool:
        """Whether the current has to go to zero."""
        return self.stopping or bool(self.pending)

    @property
    def after_ramp(self) -> str:
        """Return the step that comes when there is no current any more."""
        return 'PowerDeliveryStop' if self.stopping else self.pending

    def asked_current(self) -> float:
        """Return the current to ask for now, A; negative: out of the car."""
        limits, settings = self.limits, self.settings
        if not self.discharging or limits is None:
            return super().asked_current()
        voltage = max(self.vehicle.battery_voltage, 1.0)
        return -min(
            settings.maximum_discharge_current, settings.maximum_discharge_power / voltage,
            limits.discharge_current, limits.discharge_power / voltage)

    def check_power(self, voltage: float, current: float) -> None:
        """Leave a station whose output is over the car's limits, in either direction."""
        super().check_power(voltage, current)
        settings = self.settings
        most = settings.maximum_discharge_current if settings.transfer.bidirectional else 0.0
        if -current > most * EXCESS + OPENING_CURRENT:
            raise Ended(ErrorCode.POWER, f'{-current:.0f} A out of the car, limit is {most:.0f} A')

    def heed(self, status: common.EVSEStatus | None) -> None:
        """Follow what the station notifies."""
        asked = None if status is None else status.evse_notification
        if asked is _Notification.PAUSE:
            self.pause()
        elif asked is _Notification.TERMINATE:
            self.stop(ErrorCode.STOPPED_BY_STATION, f'the station notifies {asked.value}')
        elif asked is _Notification.SERVICE_RENEGOTIATION:
            self.change_services()
        elif asked is _Notification.SCHEDULE_RENEGOTIATION and self.step == self.charge_loop:
            self.pending = self.pending or 'PowerDeliveryRenegotiate'
        elif asked is _Notification.EXIT_STANDBY:
            self.called_back = True

    def pause(self) -> None:
        """Stop, and come back later."""
        if not self.stopping:
            self.pausing = True
        self.stop(ErrorCode.NONE, 'paused')

    def change_services(self) -> None:
        """Stop, and choose other services in the same session."""
        if self.changeable and not self.stopping:
            self.changing, self.pending = True, 'PowerDeliveryStop'

    def go_on(self, following: str) -> str:
        """Return the next step outside of the charge loop: the way out if that is wanted."""
        if not self.stopping:
            return following
        return 'PowerDeliveryStop' if self.wish.contactors else self.last_steps()

    def last_steps(self) -> str:
        """Return the step after the last one with power."""
        return 'VehicleCheckOut' if self.checked_in and not self.changing else 'SessionStop'

    def next_demand(self) -> str:
        """Return the step after one turn of the charge loop, by what the driver wants by then."""
        settings, loops = self.settings, self.loops
        if 0 < settings.renegotiate_after <= loops and not self.renegotiations:
            self.pending = self.pending or 'PowerDeliveryRenegotiate'
        if 0 < settings.standby_after <= loops and not self.standbys:
            self.pending = self.pending or 'PowerDeliveryStandby'
        if 0 < settings.change_after <= loops and not (self.changes or self.pending):
            self.change_services()
        if 0 < settings.pause_after <= loops and self.resumed is None and not self.stopping:
            self.pause()
        if self.reading is not None:
            return 'MeteringConfirmation'
        return super().next_demand()

    def ramped(self) -> None:
        """Take note that the step which the current had to end for has been taken."""
        self.pending = ''
        self.ramping_since = None

    def progress(self, wanted: common.ChargeProgress) -> common.PowerDeliveryReq:
        """Return a PowerDeliveryReq; the car is ready for what it asks."""
        profile = None
        if wanted is common.ChargeProgress.START and self.schedule is not None:
            profile = iso20_modes.power_profile(
                self.schedule, self.settings.maximum_power, self.unix_time())
        return common.PowerDeliveryReq(
            header=self.header(), ev_processing=common.Processing.FINISHED,
            charge_progress=wanted, ev_power_profile=profile)

    def take_needs(self, told: Any) -> None:
        """Take over what the station says that the car needs (MobilityNeedsMode 2)."""
        if not self.settings.shares_needs:
            return
        if told.departure_time is not None:
            self.departure = told.departure_time
        if told.target_soc is not None:
            self.settings = replace(
                self.settings, target_state_of_charge=told.target_soc / 100.0)

    def is_finished(self, processing: Any) -> bool:
        """Tell whether the station needs no more time."""
        return processing is common.Processing.FINISHED

    def offered(self, services: Sequence[common.Service]) -> Transfer | None:
        """Return what the car wants of these energy services, None if it has to leave.

        After a change of services it takes what is left.
        """
        numbers = [each.service_id for each in services]
        for transfer in (self.transfer, self.transfer.charging) if self.changes else (
                self.transfer,):
            if iso20_modes.service_of(transfer) in numbers:
                return transfer
        return None
