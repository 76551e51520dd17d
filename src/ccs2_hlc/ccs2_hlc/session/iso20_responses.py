"""ISO 15118-20: one builder per response.

The same builder makes the positive and the FAILED response, so that every mandatory element is
always there; what is optional is left out of a FAILED one.  What is not measured makes a positive
response impossible; in a FAILED response, whose content the vehicle does not look at, zero stands
in its place [V2G20-459].
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..exi.messages.iso20 import common, dc
from . import iso20_control
from .charge import NO_OFFER, Offer, achieved
from .context import CHALLENGE_LENGTH
from .engine import Case, Refused
from .iso20_codes import TRUTH
from .iso20_schedules import NO_SCHEDULES, price_of, schedule_tuples
from .iso20_services import DC, parameter_sets
from .station import Meter
from .triggers import Condition, Trigger
from .values import JOULES_PER_WATT_HOUR
from .views import AuthorizationKind

#: EVSEID of a station without one.
NO_EVSE_ID = 'ZZ00000'
_FAILED = 'FAILED'

Builder = Callable[[Case[Any]], common.V2GResponse]


def _failed(code: common.ResponseCode) -> bool:
    return code.value.startswith(_FAILED)


def _head(case: Case[Any]) -> dict[str, Any]:
    return {'header': case.engine.response_header(), 'response_code': case.code}


def _measured(value: float | None, code: common.ResponseCode) -> common.RationalNumber:
    if value is None:
        if not _failed(code):
            raise Refused(Trigger.MEASUREMENT_MISSING)
        value = 0.0
    return common.RationalNumber.of(value)


def _present_voltage(case: Case[Any]) -> common.RationalNumber:
    power = case.snapshot.power
    return _measured(None if power is None else power.voltage, case.code)


def _offered(case: Case[Any]) -> Offer:
    try:
        offer: Offer = case.engine.offer(case.snapshot)
    except Refused:
        if not _failed(case.code):
            raise
        return NO_OFFER
    return offer


def _status(case: Case[Any]) -> common.EVSEStatus | None:
    """Return what the station asks the vehicle to do, ``None``: nothing."""
    wish = None if _failed(case.code) else case.engine.notification(case.snapshot)
    if wish is None:
        return None
    notification, delay = wish
    return common.EVSEStatus(notification_max_delay=delay, evse_notification=notification)


def _session_setup(case: Case[common.SessionSetupReq]) -> common.V2GResponse:
    return common.SessionSetupRes(
        **_head(case), evse_id=case.engine.station.evse_id or NO_EVSE_ID)


def _authorization_setup(case: Case[common.AuthorizationSetupReq]) -> common.V2GResponse:
    services = list(case.engine.authorization_services)
    contract = common.Authorization.PNC in services
    providers = case.engine.station.supported_providers
    return common.AuthorizationSetupRes(
        **_head(case), authorization_services=services,
        certificate_installation_service=case.engine.offers_certificates,
        eim_as_res_authorization_mode=None if contract else common.EIMASResAuthorizationMode(),
        pnc_as_res_authorization_mode=None if not contract else common.PnCASResAuthorizationMode(
            gen_challenge=case.engine.challenge or bytes(CHALLENGE_LENGTH),
            supported_providers=common.SupportedProvidersList(provider_id=list(providers))
            if providers else None))


def _authorization(case: Case[common.AuthorizationReq]) -> common.V2GResponse:
    processing = TRUTH[case.progress].processing
    if (case.progress is Condition.AUTHORIZING
            and case.engine.authorization is AuthorizationKind.EXTERNAL):
        processing = common.Processing.ONGOING_WAITING_FOR_CUSTOMER_INTERACTION
    return common.AuthorizationRes(**_head(case), evse_processing=processing)


def _certificate_installation(case: Case[common.CertificateInstallationReq]) -> common.V2GResponse:
    """Pass the back office's response on as it is: its parts are signed."""
    made = case.engine.installation
    if made is not None and not _failed(case.code):
        header = case.engine.response_header()
        header.signature = made.header.signature
        made.header = header
        return made
    return without_certificate(
        case.engine.response_header(), case.code, TRUTH[case.progress].processing)


def without_certificate(
    header: common.MessageHeader, code: common.ResponseCode, processing: common.Processing,
) -> common.CertificateInstallationRes:
    """Return a response that brings no certificate: what the schema demands is empty."""
    no_chain = common.SubCertificates(certificate=[b''])
    return common.CertificateInstallationRes(
        header=header, response_code=code, evse_processing=processing,
        cps_certificate_chain=common.CertificateChain(certificate=b''),
        signed_installation_data=common.SignedInstallationData(
            id='id1',
            contract_certificate_chain=common.ContractCertificateChain(
                certificate=b'', sub_certificates=no_chain),
            ecdh_curve=common.ECDHCurve.SECP521,
            dh_public_key=bytes(133),
            secp521_encrypted_private_key=bytes(94)),
        remaining_contract_certificate_chains=0)


def _service_discovery(case: Case[common.ServiceDiscoveryReq]) -> common.V2GResponse:
    engine, station = case.engine, case.engine.station
    added = () if _failed(case.code) else engine.offered_added
    return common.ServiceDiscoveryRes(
        **_head(case),
        service_renegotiation_supported=station.service_renegotiation,
        energy_transfer_service_list=common.ServiceList(service=[
            common.Service(service_id=number, free_service=station.free_service)
            for number in engine.offered_energy or (DC,)]),
        vas_list=common.ServiceList(service=[
            common.Service(service_id=service.number, free_service=service.free)
            for service in added]) if added else None)


def _service_detail(case: Case[common.ServiceDetailReq]) -> common.V2GResponse:
    number = DC if _failed(case.code) else case.request.service_id
    return common.ServiceDetailRes(
        **_head(case), service_id=case.request.service_id,
        service_parameter_list=common.ServiceParameterList(
            parameter_set=parameter_sets(
                number, case.engine.variants, case.engine.added)))


def _service_selection(case: Case[common.ServiceSelectionReq]) -> common.V2GResponse:
    return common.ServiceSelectionRes(**_head(case))


def _charge_parameters(case: Case[dc.DCChargeParameterDiscoveryReq]) -> common.V2GResponse:
    station, of = case.engine.limits_told or NO_OFFER, common.RationalNumber.of
    limits = {
        'evse_maximum_charge_power': of(station.maximum_power),
        'evse_minimum_charge_power': of(iso20_control.minimum_power(station)),
        'evse_maximum_charge_current': of(station.maximum_current),
        'evse_minimum_charge_current': of(station.minimum_current),
        'evse_maximum_voltage': of(station.maximum_voltage),
        'evse_minimum_voltage': of(station.minimum_voltage),
    }
    if not isinstance(
            case.request.dc_cpd_req_energy_transfer_mode, dc.BPTDCCPDReqEnergyTransferMode):
        return dc.DCChargeParameterDiscoveryRes(
            **_head(case),
            dc_cpd_res_energy_transfer_mode=dc.DCCPDResEnergyTransferMode(**limits))
    return dc.DCChargeParameterDiscoveryRes(
        **_head(case),
        dc_cpd_res_energy_transfer_mode=dc.BPTDCCPDResEnergyTransferMode(
            **limits,
            evse_maximum_discharge_power=of(station.maximum_discharge_power),
            evse_minimum_discharge_power=of(0.0),
            evse_maximum_discharge_current=of(station.maximum_discharge_current),
            evse_minimum_discharge_current=of(0.0)))


def _schedule_exchange(case: Case[common.ScheduleExchangeReq]) -> common.V2GResponse:
    engine, dynamic = case.engine, case.request.scheduled_se_req_control_mode is None
    both = engine.selection is not None and engine.selection.bidirectional
    schedules = engine.schedules or NO_SCHEDULES
    tariffs = None if _failed(case.code) else engine.station.tariffs
    return common.ScheduleExchangeRes(
        **_head(case), evse_processing=common.Processing.FINISHED,
        go_to_pause=True if engine.pausing and not _failed(case.code) else None,
        dynamic_se_res_control_mode=None if not dynamic else common.DynamicSEResControlMode(
            **({} if _failed(case.code) else engine.needs_told(case.snapshot)),
            **price_of(tariffs, schedules[0], engine.schedules_anchor)),
        scheduled_se_res_control_mode=None if dynamic else schedule_tuples(
            schedules, engine.schedules_anchor, tariffs, discharge=both))


def _cable_check(case: Case[dc.DCCableCheckReq]) -> common.V2GResponse:
    return dc.DCCableCheckRes(**_head(case), evse_processing=TRUTH[case.progress].processing)


def _pre_charge(case: Case[dc.DCPreChargeReq]) -> common.V2GResponse:
    return dc.DCPreChargeRes(**_head(case), evse_present_voltage=_present_voltage(case))


def _power_delivery(case: Case[common.PowerDeliveryReq]) -> common.V2GResponse:
    return common.PowerDeliveryRes(**_head(case), evse_status=_status(case))


def meter_info(meter: Meter | None, unix_time: int, bidirectional: bool) -> dc.MeterInfo | None:
    """Return the meter's reading for a message, ``None`` if it has none now."""
    if meter is None or meter.energy_imported is None:
        return None
    out = meter.energy_exported if bidirectional else None
    return dc.MeterInfo(
        meter_id=meter.meter_id,
        charged_energy_reading_wh=_watt_hours(meter.energy_imported),
        bpt_discharged_energy_reading_wh=None if out is None else _watt_hours(out),
        meter_status=meter.status,
        meter_timestamp=unix_time)


def _watt_hours(joules: float) -> int:
    return max(0, int(joules / JOULES_PER_WATT_HOUR))


def _charge_loop(case: Case[dc.DCChargeLoopReq]) -> common.V2GResponse:
    station, power, engine = _offered(case), case.snapshot.power, case.engine
    wanted = engine.wanted
    at = achieved(case.snapshot, station, wanted.voltage, wanted.current)
    return dc.DCChargeLoopRes(
        **_head(case),
        evse_status=_status(case),
        meter_info=None if _failed(case.code) else engine.meter_info,
        evse_present_current=_measured(None if power is None else power.current, case.code),
        evse_present_voltage=_present_voltage(case),
        evse_power_limit_achieved=at.power,
        evse_current_limit_achieved=at.current,
        evse_voltage_limit_achieved=at.voltage,
        cl_res_control_mode=iso20_control.limits(
            case.request.cl_req_control_mode, station,
            iso20_control.NOTHING_TOLD if _failed(case.code)
            else engine.needs_told(case.snapshot, in_loop=True)))


def _metering_confirmation(case: Case[common.MeteringConfirmationReq]) -> common.V2GResponse:
    return common.MeteringConfirmationRes(**_head(case))


def _welding_detection(case: Case[dc.DCWeldingDetectionReq]) -> common.V2GResponse:
    return dc.DCWeldingDetectionRes(**_head(case), evse_present_voltage=_present_voltage(case))


def _session_stop(case: Case[common.SessionStopReq]) -> common.V2GResponse:
    return common.SessionStopRes(**_head(case))


def _vehicle_check_in(case: Case[common.VehicleCheckInReq]) -> common.V2GResponse:
    return common.VehicleCheckInRes(**_head(case))


def _vehicle_check_out(case: Case[common.VehicleCheckOutReq]) -> common.V2GResponse:
    """Let it go: no state with closed contactors allows the request."""
    return common.VehicleCheckOutRes(
        **_head(case), evse_check_out_status=common.EVSECheckOutStatus.COMPLETED)


BUILDERS: dict[type[common.V2GMessage], Builder] = {
    common.SessionSetupReq: _session_setup,
    common.AuthorizationSetupReq: _authorization_setup,
    common.CertificateInstallationReq: _certificate_installation,
    common.AuthorizationReq: _authorization,
    common.ServiceDiscoveryReq: _service_discovery,
    common.ServiceDetailReq: _service_detail,
    common.ServiceSelectionReq: _service_selection,
    dc.DCChargeParameterDiscoveryReq: _charge_parameters,
    common.ScheduleExchangeReq: _schedule_exchange,
    dc.DCCableCheckReq: _cable_check,
    dc.DCPreChargeReq: _pre_charge,
    common.PowerDeliveryReq: _power_delivery,
    dc.DCChargeLoopReq: _charge_loop,
    common.MeteringConfirmationReq: _metering_confirmation,
    dc.DCWeldingDetectionReq: _welding_detection,
    common.SessionStopReq: _session_stop,
    common.VehicleCheckInReq: _vehicle_check_in,
    common.VehicleCheckOutReq: _vehicle_check_out,
}
