"""The car's side of DIN SPEC 70121 (DC, external payment, plain TCP)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

from ccs2_hlc.exi.declare import Element
from ccs2_hlc.exi.messages import din
from ccs2_sim.evcc.dc import COMMUNICATION_SETUP_TIMEOUT, DcEvcc, dc_steps
from ccs2_sim.evcc.engine import END, Span, Step
from ccs2_sim.evcc.outcome import Ended, ErrorCode
from ccs2_sim.evcc.vehicle import CarSettings

#: From the start of the session to power, s (DIN 70121 table 75).
READY_TO_CHARGE_TIMEOUT = 150.0
POWER_DELIVERY_TIMEOUT = 2.0


class DinEvcc(DcEvcc):
    """One session."""

    messages: ClassVar = din
    first = 'SessionSetup'
    only_schema = 'din'
    spans = (
        Span('V2G_EVCC_CommunicationSetup_Timeout', 'SessionSetup', COMMUNICATION_SETUP_TIMEOUT),
        Span('V2G_EVCC_ReadyToCharge_Timeout', 'PowerDelivery', READY_TO_CHARGE_TIMEOUT),
    )

    def __init__(self, settings: CarSettings, resumed: Any = None) -> None:
        super().__init__(settings, resumed)
        self.energy_transfer = din.EVRequestedEnergyTransferType.DC_EXTENDED
        self.service_id = 0
        #: Number and first power limit (W) of the schedule chosen.
        self.schedule: tuple[int, int] | None = None

    def power_request(self, on: bool) -> Element:
        """Return the PowerDeliveryReq that starts or stops."""
        profile = None
        if on and self.schedule is not None:
            number, power = self.schedule
            profile = din.ChargingProfile(sa_schedule_tuple_id=number, profile_entry=[
                din.ProfileEntry(charging_profile_entry_start=0,
                                 charging_profile_entry_max_power=power)])
        return din.PowerDeliveryReq(
            ready_to_charge_state=on, charging_profile=profile,
            ev_power_delivery_parameter=self.power_parameter(on))


def _session_setup(evcc: DinEvcc) -> Element:
    return din.SessionSetupReq(evcc_id=evcc.settings.evcc_id)


def _session_set_up(evcc: DinEvcc, body: din.SessionSetupRes) -> str:
    if body.response_code is not din.ResponseCode.OK_NEW_SESSION_ESTABLISHED:
        raise Ended(ErrorCode.REFUSED, f'SessionSetupRes: {body.response_code.value}')
    if not any(evcc.session_id):
        raise Ended(ErrorCode.REFUSED, 'the station gave the session id zero')
    return evcc.go_on('ServiceDiscovery')


def _service_discovery(evcc: DinEvcc) -> Element:
    return din.ServiceDiscoveryReq(service_category=din.ServiceCategory.EV_CHARGING)


def _services_discovered(evcc: DinEvcc, body: din.ServiceDiscoveryRes) -> str:
    if din.PaymentOption.EXTERNAL_PAYMENT not in body.payment_options.payment_option:
        raise Ended(ErrorCode.REFUSED, 'the station does not offer external payment')
    offered = body.charge_service.energy_transfer_type
    if offered not in (din.EVSESupportedEnergyTransferType.DC_CORE,
                       din.EVSESupportedEnergyTransferType.DC_EXTENDED):
        raise Ended(ErrorCode.REFUSED, f'the station offers {offered.value} only')
    evcc.energy_transfer = din.EVRequestedEnergyTransferType(offered.value)
    evcc.service_id = body.charge_service.service_tag.service_id
    return evcc.go_on('ServicePaymentSelection')


def _select_payment(evcc: DinEvcc) -> Element:
    return din.ServicePaymentSelectionReq(
        selected_payment_option=din.PaymentOption.EXTERNAL_PAYMENT,
        selected_service_list=din.SelectedServiceList(
            selected_service=[din.SelectedService(service_id=evcc.service_id)]))


def _payment_selected(evcc: DinEvcc, body: din.ServicePaymentSelectionRes) -> str:
    return evcc.go_on('ContractAuthentication')


def _authenticate(evcc: DinEvcc) -> Element:
    return din.ContractAuthenticationReq()


def _authenticated(evcc: DinEvcc, body: din.ContractAuthenticationRes) -> str:
    done = evcc.is_finished(body.evse_processing)
    return evcc.go_on('ChargeParameterDiscovery' if done else 'ContractAuthentication')


def _discover_parameters(evcc: DinEvcc) -> Element:
    return din.ChargeParameterDiscoveryReq(
        ev_requested_energy_transfer_type=evcc.energy_transfer,
        ev_charge_parameter=evcc.charge_parameter())


def _parameters_discovered(evcc: DinEvcc, body: din.ChargeParameterDiscoveryRes) -> str:
    if not evcc.take_limits(body.evse_charge_parameter, body.evse_processing):
        return evcc.go_on('ChargeParameterDiscovery')
    if isinstance(body.sa_schedules, din.SAScheduleList):
        chosen = body.sa_schedules.sa_schedule_tuple[0]
        first = chosen.p_max_schedule.p_max_schedule_entry[0]
        evcc.schedule = (chosen.sa_schedule_tuple_id, first.p_max)
    return evcc.go_on('CableCheck')


def _stop_session(evcc: DinEvcc) -> Element:
    evcc.wish = replace(evcc.wish, load='B', contactors=False)
    return din.SessionStopReq()


def _session_stopped(evcc: DinEvcc, body: din.SessionStopRes) -> str:
    return END


DinEvcc.steps = {step.name: step for step in (
    Step('SessionSetup', _session_setup, _session_set_up, din.SessionSetupRes),
    Step('ServiceDiscovery', _service_discovery, _services_discovered, din.ServiceDiscoveryRes),
    Step('ServicePaymentSelection', _select_payment, _payment_selected,
         din.ServicePaymentSelectionRes),
    Step('ContractAuthentication', _authenticate, _authenticated, din.ContractAuthenticationRes),
    Step('ChargeParameterDiscovery', _discover_parameters, _parameters_discovered,
         din.ChargeParameterDiscoveryRes),
    *dc_steps(din, POWER_DELIVERY_TIMEOUT),
    Step('SessionStop', _stop_session, _session_stopped, din.SessionStopRes),
)}
