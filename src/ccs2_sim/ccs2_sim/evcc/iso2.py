"""The car's side of ISO 15118-2 (DC): external payment and Plug & Charge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from ccs2_hlc.exi.declare import Element
from ccs2_hlc.exi.messages import iso2, xmldsig
from ccs2_sim.evcc import schedule
from ccs2_sim.evcc.dc import (
    COMMUNICATION_SETUP_TIMEOUT,
    DcEvcc,
    dc_steps,
)
from ccs2_sim.evcc.engine import END, Span, Step
from ccs2_sim.evcc.outcome import Ended, ErrorCode
from ccs2_sim.evcc.schedule import MOST_ENTRIES, Schedule
from ccs2_sim.evcc.tariffs import believed
from ccs2_sim.evcc.vehicle import Acquisition, CarSettings
from ccs2_sim.evcc.wallet import (
    Credential,
    Delivery,
    Mistrust,
    accept_contract,
    certificate_chain,
    fragment,
    sign,
    signed_info,
)

#: Message timeout of ServiceDetail, PaymentDetails, PowerDelivery and of certificates, s.
LONG_TIMEOUT = 5.0
#: Numbers of services (ISO 15118-2 table 105) and of the certificate service's parameter sets.
CHARGE_SERVICE, CERTIFICATE_SERVICE = 1, 2
PARAMETER_SETS = {Acquisition.INSTALL: 1, Acquisition.UPDATE: 2}
#: The Id of the one element that is signed in a request.
SIGNED_ID = 'id1'
CHARGE_LOOP = ('CurrentDemand', 'MeteringReceipt')
DC_MODES = (iso2.EnergyTransferMode.DC_EXTENDED, iso2.EnergyTransferMode.DC_CORE)


@dataclass(frozen=True)
class Paused:
    """What the car remembers of a session that it has paused."""

    session_id: bytes
    schedule: int | None


class Iso2Evcc(DcEvcc):
    """One session. With a wallet in its settings the car pays by contract."""

    messages: ClassVar = iso2
    first = 'SessionSetup'
    only_schema = 'iso2'
    spans = (
        Span('V2G_EVCC_CommunicationSetup_Timeout', 'SessionSetup', COMMUNICATION_SETUP_TIMEOUT),
    )

    def __init__(self, settings: CarSettings, resumed: Paused | None = None) -> None:
        super().__init__(settings, resumed)
        if resumed is not None:
            self.session_id = resumed.session_id
        self.wallet = settings.wallet
        #: The station has joined the session that was paused.
        self.joined = False
        self.energy_transfer = iso2.EnergyTransferMode.DC_EXTENDED
        #: Services whose details the car has still to ask for.
        self.services: list[int] = []
        #: Parameter sets of each service by its number, as far as asked for.
        self.parameter_sets: dict[int, list[int]] = {}
        self.challenge: bytes | None = None
        self.received_signature: xmldsig.Signature | None = None
        self.schedule: Schedule | None = None
        #: The meter reading that the station wants a receipt for.
        self.receipt: iso2.MeterInfo | None = None
        self.renegotiating = False
        #: How often the schedule has been negotiated anew.
        self.renegotiations = 0
        #: The session is ended with the wish to go on later.
        self.pausing = False

    # Envelope and signature.

    def wrap(self, body: Element) -> Element:
        """Put a body into a V2G_Message, signed if it has an Id."""
        message = super().wrap(body)
        signer = self.signer(body)
        if signer is None or not isinstance(message, iso2.V2GMessage):
            return message
        return replace(message, header=replace(
            message.header, signature=sign(signer.key, self.signed_info(body))))

    def signer(self, body: Element) -> Credential | None:
        """Return who signs a request, None if it is not signed."""
        if getattr(body, 'id', None) is None or self.wallet is None:
            return None
        if isinstance(body, iso2.CertificateInstallationReq):
            return self.wallet.provisioning
        return self.wallet.contract

    @staticmethod
    def signed_element(body: Any) -> Any:
        """Return a request as it is signed."""
        return fragment(type(body).__name__, body, body.id)

    def signed_info(self, body: Any) -> xmldsig.SignedInfo:
        """Return what a signature over a request signs."""
        return signed_info([self.signed_element(body)])

    def unwrap(self, message: Element) -> Element | None:
        """Return the body; keep its signature."""
        body = super().unwrap(message)
        if isinstance(message, iso2.V2GMessage):
            self.received_signature = message.header.signature
        return body

    # Wishes.

    @property
    def contract(self) -> Credential:
        """Return the contract to pay with."""
        if self.wallet is None or self.wallet.contract is None:
            raise Ended(ErrorCode.UNKNOWN, 'the car has no contract')
        return self.wallet.contract

    @property
    def power_limit(self) -> float:
        """Return what the schedule allows now, W."""
        chosen = self.schedule
        return super().power_limit if chosen is None else chosen.power(self.now - chosen.agreed)

    @property
    def winding_down(self) -> bool:
        """Whether the current has to go to zero."""
        return self.stopping or self.renegotiating

    @property
    def after_ramp(self) -> str:
        """Return the step that comes when there is no current any more."""
        return 'PowerDeliveryStop' if self.stopping else 'PowerDeliveryRenegotiate'

    def heed(self, status: Any) -> None:
        """Follow the station's status and what it notifies."""
        super().heed(status)
        asked = status.evse_notification
        if asked is iso2.EVSENotification.STOP_CHARGING:
            self.stop(ErrorCode.STOPPED_BY_STATION, 'the station asks the car to stop')
        elif asked is iso2.EVSENotification.RE_NEGOTIATION and self.step in CHARGE_LOOP:
            self.renegotiating = True

    def current_demanded(self, body: Any) -> str:
        """Take a CurrentDemandRes; return the next step."""
        if self.schedule is not None and body.sa_schedule_tuple_id != self.schedule.number:
            raise Ended(
                ErrorCode.REFUSED, f'the station follows schedule {body.sa_schedule_tuple_id}, '
                f'{self.schedule.number} was agreed')
        following = super().current_demanded(body)
        if not body.receipt_required:
            return following
        if body.meter_info is None or self.wallet is None:
            raise Ended(ErrorCode.REFUSED, 'a receipt is asked for without a '
                        + ('contract' if self.wallet is None else 'meter reading'))
        self.receipt = body.meter_info
        return 'MeteringReceipt'

    def next_demand(self) -> str:
        """Return the step after one turn of the charge loop, by what the driver wants by then."""
        settings = self.settings
        if 0 < settings.renegotiate_after <= self.loops and not self.renegotiations:
            self.renegotiating = True
        if 0 < settings.pause_after <= self.loops and self.resumed is None and not self.stopping:
            self.pausing = True
            self.stop(ErrorCode.NONE, 'paused')
        return super().next_demand()

    def progress(self, wanted: iso2.ChargeProgress) -> iso2.PowerDeliveryReq:
        """Return a PowerDeliveryReq."""
        if self.schedule is None:
            raise Ended(ErrorCode.UNKNOWN, 'no schedule was agreed')
        on = wanted is iso2.ChargeProgress.START
        return iso2.PowerDeliveryReq(
            charge_progress=wanted, sa_schedule_tuple_id=self.schedule.number,
            charging_profile=self.schedule.profile(self.settings.maximum_power) if on else None,
            ev_power_delivery_parameter=self.power_parameter(on or self.renegotiating))

    def power_request(self, on: bool) -> Element:
        """Return the PowerDeliveryReq that starts or stops."""
        return self.progress(iso2.ChargeProgress.START if on else iso2.ChargeProgress.STOP)


def _session_setup(evcc: Iso2Evcc) -> Element:
    return iso2.SessionSetupReq(evcc_id=evcc.settings.evcc_id)


def _session_set_up(evcc: Iso2Evcc, body: iso2.SessionSetupRes) -> str:
    if not any(evcc.session_id):
        raise Ended(ErrorCode.REFUSED, 'the station gave the session id zero')
    old = evcc.resumed is not None and evcc.session_id == evcc.resumed.session_id
    evcc.joined = body.response_code is iso2.ResponseCode.OK_OLD_SESSION_JOINED
    if evcc.joined is not old:
        raise Ended(
            ErrorCode.REFUSED, f'SessionSetupRes: {body.response_code.value} with '
            f'{"the old" if old else "another"} session id')
    return evcc.go_on('ServiceDiscovery')


def _discover_services(evcc: Iso2Evcc) -> Element:
    return iso2.ServiceDiscoveryReq()


def _services_discovered(evcc: Iso2Evcc, body: iso2.ServiceDiscoveryRes) -> str:
    wanted = _payment(evcc)
    if wanted not in body.payment_option_list.payment_option:
        raise Ended(ErrorCode.REFUSED, f'the station does not offer {wanted.value}')
    offered = body.charge_service.supported_energy_transfer_mode.energy_transfer_mode
    mode = next((mode for mode in DC_MODES if mode in offered), None)
    if mode is None:
        names = ', '.join(mode.value for mode in offered)
        raise Ended(ErrorCode.REFUSED, f'the station offers {names} only')
    evcc.energy_transfer = mode
    services = body.service_list.service if body.service_list is not None else []
    evcc.services = [service.service_id for service in services]
    if _acquires(evcc) and CERTIFICATE_SERVICE not in evcc.services:
        raise Ended(ErrorCode.REFUSED, 'the station offers no certificate service')
    return evcc.go_on('ServiceDetail' if evcc.services else 'PaymentServiceSelection')


def _payment(evcc: Iso2Evcc) -> iso2.PaymentOption:
    return (iso2.PaymentOption.EXTERNAL_PAYMENT if evcc.wallet is None
            else iso2.PaymentOption.CONTRACT)


def _acquires(evcc: Iso2Evcc) -> bool:
    return evcc.wallet is not None and evcc.settings.acquisition is not Acquisition.NONE


def _ask_detail(evcc: Iso2Evcc) -> Element:
    return iso2.ServiceDetailReq(service_id=evcc.services[0])


def _detail_told(evcc: Iso2Evcc, body: iso2.ServiceDetailRes) -> str:
    number = evcc.services.pop(0)
    if body.service_id != number:
        raise Ended(ErrorCode.REFUSED, f'details of service {body.service_id}, not of {number}')
    sets = body.service_parameter_list
    evcc.parameter_sets[number] = (
        [each.parameter_set_id for each in sets.parameter_set] if sets is not None else [])
    return evcc.go_on('ServiceDetail' if evcc.services else 'PaymentServiceSelection')


def _select_payment(evcc: Iso2Evcc) -> Element:
    selected = [iso2.SelectedService(service_id=CHARGE_SERVICE)]
    if _acquires(evcc):
        selected.append(iso2.SelectedService(
            service_id=CERTIFICATE_SERVICE,
            parameter_set_id=PARAMETER_SETS[evcc.settings.acquisition]))
    return iso2.PaymentServiceSelectionReq(
        selected_payment_option=_payment(evcc),
        selected_service_list=iso2.SelectedServiceList(selected_service=selected))


#: The step after the selection, by the way the car comes to its contract.
_AFTER_SELECTION: Mapping[Acquisition, str] = {
    Acquisition.NONE: 'PaymentDetails', Acquisition.INSTALL: 'CertificateInstallation',
    Acquisition.UPDATE: 'CertificateUpdate',
}


def _payment_selected(evcc: Iso2Evcc, body: iso2.PaymentServiceSelectionRes) -> str:
    if evcc.wallet is None:
        return evcc.go_on('Authorization')
    return evcc.go_on(_AFTER_SELECTION[evcc.settings.acquisition])


def _roots(evcc: Iso2Evcc) -> iso2.ListOfRootCertificateIDs:
    roots = evcc.wallet.roots if evcc.wallet is not None else ()
    return iso2.ListOfRootCertificateIDs(root_certificate_id=[
        xmldsig.X509IssuerSerial(x509_issuer_name=root.issuer_name, x509_serial_number=root.serial)
        for root in roots])


def _ask_installation(evcc: Iso2Evcc) -> Element:
    return iso2.CertificateInstallationReq(
        id=SIGNED_ID, oem_provisioning_cert=_provisioning(evcc).chain[0],
        list_of_root_certificate_ids=_roots(evcc))


def _provisioning(evcc: Iso2Evcc) -> Credential:
    if evcc.wallet is None or evcc.wallet.provisioning is None:
        raise Ended(ErrorCode.UNKNOWN, 'the car has no provisioning certificate')
    return evcc.wallet.provisioning


def _installed(evcc: Iso2Evcc, body: iso2.CertificateInstallationRes) -> str:
    return _take_contract(evcc, body, _provisioning(evcc))


def _ask_update(evcc: Iso2Evcc) -> Element:
    return iso2.CertificateUpdateReq(
        id=SIGNED_ID, contract_signature_cert_chain=certificate_chain(evcc.contract.chain),
        emaid=evcc.contract.name, list_of_root_certificate_ids=_roots(evcc))


def _updated(evcc: Iso2Evcc, body: iso2.CertificateUpdateRes) -> str:
    return _take_contract(evcc, body, evcc.contract)


def _take_contract(evcc: Iso2Evcc, body: Delivery, receiver: Credential) -> str:
    if evcc.wallet is not None:
        try:
            contract = accept_contract(
                body, evcc.received_signature, evcc.wallet, receiver.key)
        except Mistrust as mistrust:
            raise Ended(ErrorCode.REFUSED, str(mistrust)) from None
        evcc.wallet = replace(evcc.wallet, contract=contract)
    return evcc.go_on('PaymentDetails')


def _give_details(evcc: Iso2Evcc) -> Element:
    return iso2.PaymentDetailsReq(
        emaid=evcc.contract.name,
        contract_signature_cert_chain=certificate_chain(evcc.contract.chain))


def _challenged(evcc: Iso2Evcc, body: iso2.PaymentDetailsRes) -> str:
    evcc.challenge = body.gen_challenge
    return evcc.go_on('Authorization')


def _authorize(evcc: Iso2Evcc) -> Element:
    # Challenge and signature go with the first request only ([V2G2-684]).
    challenge, evcc.challenge = evcc.challenge, None
    return iso2.AuthorizationReq(
        id=SIGNED_ID if challenge is not None else None, gen_challenge=challenge)


def _authorized(evcc: Iso2Evcc, body: iso2.AuthorizationRes) -> str:
    done = evcc.is_finished(body.evse_processing)
    return evcc.go_on('ChargeParameterDiscovery' if done else 'Authorization')


def _discover_parameters(evcc: Iso2Evcc) -> Element:
    return iso2.ChargeParameterDiscoveryReq(
        max_entries_sa_schedule_tuple=MOST_ENTRIES,
        requested_energy_transfer_mode=evcc.energy_transfer,
        ev_charge_parameter=evcc.charge_parameter())


def _parameters_discovered(evcc: Iso2Evcc, body: iso2.ChargeParameterDiscoveryRes) -> str:
    if not evcc.take_limits(body.evse_charge_parameter, body.evse_processing):
        return evcc.go_on('ChargeParameterDiscovery')
    if not isinstance(body.sa_schedules, iso2.SAScheduleList):
        raise Ended(ErrorCode.REFUSED, 'the station has finished without a schedule')
    tuples = body.sa_schedules.sa_schedule_tuple
    try:
        tariffs = believed(
            tuples, evcc.received_signature,
            None if evcc.wallet is None else evcc.contract)
        offered = schedule.read(tuples, evcc.now, tariffs)
    except (Mistrust, ValueError) as error:
        raise Ended(ErrorCode.REFUSED, str(error)) from None
    preferred = evcc.resumed.schedule if evcc.resumed is not None and evcc.joined else None
    evcc.schedule = schedule.choose(
        offered, preferred, power=evcc.settings.maximum_power, need=evcc.wanted_energy)
    return evcc.go_on('CableCheck')


def _sign_receipt(evcc: Iso2Evcc) -> Element | None:
    if evcc.receipt is None or evcc.schedule is None:
        return None
    return iso2.MeteringReceiptReq(
        id=SIGNED_ID, session_id=evcc.session_id, meter_info=evcc.receipt,
        sa_schedule_tuple_id=evcc.schedule.number)


def _receipt_taken(evcc: Iso2Evcc, body: iso2.MeteringReceiptRes) -> str:
    evcc.heed(body.evse_status)
    evcc.receipt = None
    return evcc.next_demand()


def _renegotiate(evcc: Iso2Evcc) -> Element:
    return evcc.progress(iso2.ChargeProgress.RENEGOTIATE)


def _renegotiated(evcc: Iso2Evcc, body: iso2.PowerDeliveryRes) -> str:
    # The messages up to PowerDelivery come again; all contactors stay closed (8.7.4.3 NOTE 1).
    evcc.heed(body.evse_status)
    evcc.renegotiating = False
    evcc.ramping_since = None
    evcc.renegotiations += 1
    return evcc.go_on('ChargeParameterDiscovery')


def _stop_session(evcc: Iso2Evcc) -> Element:
    evcc.wish = replace(evcc.wish, load='B', contactors=False)
    return iso2.SessionStopReq(charging_session=(
        iso2.ChargingSession.PAUSE if evcc.pausing else iso2.ChargingSession.TERMINATE))


def _session_stopped(evcc: Iso2Evcc, body: iso2.SessionStopRes) -> str:
    if evcc.pausing:
        number = evcc.schedule.number if evcc.schedule is not None else None
        evcc.paused = Paused(evcc.session_id, number)
    return END


Iso2Evcc.steps = {step.name: step for step in (
    Step('SessionSetup', _session_setup, _session_set_up, iso2.SessionSetupRes),
    Step('ServiceDiscovery', _discover_services, _services_discovered, iso2.ServiceDiscoveryRes),
    Step('ServiceDetail', _ask_detail, _detail_told, iso2.ServiceDetailRes,
         timeout=LONG_TIMEOUT),
    Step('PaymentServiceSelection', _select_payment, _payment_selected,
         iso2.PaymentServiceSelectionRes),
    Step('CertificateInstallation', _ask_installation, _installed,
         iso2.CertificateInstallationRes, timeout=LONG_TIMEOUT),
    Step('CertificateUpdate', _ask_update, _updated, iso2.CertificateUpdateRes,
         timeout=LONG_TIMEOUT),
    Step('PaymentDetails', _give_details, _challenged, iso2.PaymentDetailsRes,
         timeout=LONG_TIMEOUT),
    Step('Authorization', _authorize, _authorized, iso2.AuthorizationRes),
    Step('ChargeParameterDiscovery', _discover_parameters, _parameters_discovered,
         iso2.ChargeParameterDiscoveryRes),
    *dc_steps(iso2, LONG_TIMEOUT),
    Step('MeteringReceipt', _sign_receipt, _receipt_taken, iso2.MeteringReceiptRes),
    Step('PowerDeliveryRenegotiate', _renegotiate, _renegotiated, iso2.PowerDeliveryRes,
         timeout=LONG_TIMEOUT),
    Step('SessionStop', _stop_session, _session_stopped, iso2.SessionStopRes),
)}
