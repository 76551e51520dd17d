"""ISO 15118-2: one builder per response.

The same builder makes the positive and the FAILED response, so that every mandatory element is
always there; what is optional is left out of a FAILED one.  What is not measured makes a positive
response impossible; in a FAILED response, whose content the vehicle does not look at [V2G2-735],
zero stands in its place.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..exi.messages import iso2
from .charge import NO_OFFER, Offer, achieved
from .context import CHALLENGE_LENGTH
from .engine import Case, Refused
from .iso2_codes import TRUTH
from .schedules import Schedule
from .services import CERTIFICATE_SERVICE, CHARGE_SERVICE, Quantity, Service
from .station import Meter
from .triggers import Condition, Trigger
from .values import JOULES_PER_WATT_HOUR
from .views import AuthorizationKind

#: EVSEID of a station without one.
NO_EVSE_ID = 'ZZ00000'
#: A CCS2 inlet takes DC over the extended pins.
ENERGY_TRANSFER = iso2.EnergyTransferMode.DC_EXTENDED
#: Parameter sets of the certificate service (ISO 15118-2 table 106).
INSTALLATION, UPDATE = 1, 2
_CERTIFICATE_SETS = ((INSTALLATION, 'Installation'), (UPDATE, 'Update'))
_FAILED = 'FAILED'
#: Ids and eMAID stand in a FAILED response about contract certificates.
_NO_EMAID = '0' * 14

Builder = Callable[[Case[Any]], iso2.BodyElement]


def _failed(code: iso2.ResponseCode) -> bool:
    return code.value.startswith(_FAILED)


def _of(number: float, unit: iso2.Unit) -> iso2.PhysicalValue:
    return iso2.PhysicalValue.of(number, unit)


def _measured(value: float | None, unit: iso2.Unit, code: iso2.ResponseCode) -> iso2.PhysicalValue:
    if value is None:
        if not _failed(code):
            raise Refused(Trigger.MEASUREMENT_MISSING)
        value = 0.0
    return _of(value, unit)


def _present_voltage(case: Case[Any]) -> iso2.PhysicalValue:
    power = case.snapshot.power
    return _measured(None if power is None else power.voltage, iso2.Unit.V, case.code)


def _offered(case: Case[Any]) -> Offer:
    try:
        offer: Offer = case.engine.offer(case.snapshot)
    except Refused:
        if not _failed(case.code):
            raise
        return NO_OFFER
    return offer


def _unix_time(case: Case[Any]) -> int | None:
    clock = case.engine.station.unix_time
    return None if clock is None else clock()


def _evse_id(case: Case[Any]) -> str:
    return case.engine.station.evse_id or NO_EVSE_ID


def _status(case: Case[Any]) -> iso2.DCEVSEStatus:
    row = TRUTH[case.condition]
    notification, delay = iso2.EVSENotification.NONE, 0
    if not _failed(case.code):
        notification, delay = case.engine.notification(case.snapshot)
    return iso2.DCEVSEStatus(
        notification_max_delay=delay,
        evse_notification=notification,
        evse_isolation_status=row.isolation or iso2.IsolationLevel[
            case.engine.isolation(case.snapshot).name],
        evse_status_code=row.status)


def _session_setup(case: Case[iso2.SessionSetupReq]) -> iso2.SessionSetupRes:
    return iso2.SessionSetupRes(
        response_code=case.code, evse_id=_evse_id(case), evse_time_stamp=_unix_time(case))


def _service_discovery(case: Case[iso2.ServiceDiscoveryReq]) -> iso2.ServiceDiscoveryRes:
    engine = case.engine
    services = [
        iso2.Service(
            service_id=service.number, service_name=service.name,
            service_category=iso2.ServiceCategory(service.category),
            service_scope=service.scope, free_service=service.free)
        for service in engine.station.services]
    if engine.offers_certificates:
        services.insert(0, iso2.Service(
            service_id=CERTIFICATE_SERVICE, service_name='Certificate',
            service_category=iso2.ServiceCategory.CONTRACT_CERTIFICATE, free_service=True))
    listed = services and not _failed(case.code)
    return iso2.ServiceDiscoveryRes(
        response_code=case.code,
        payment_option_list=iso2.PaymentOptionList(
            payment_option=list(engine.payment_options)),
        charge_service=iso2.ChargeService(
            service_id=CHARGE_SERVICE, service_category=iso2.ServiceCategory.EV_CHARGING,
            free_service=engine.station.free_service,
            supported_energy_transfer_mode=iso2.SupportedEnergyTransferMode(
                energy_transfer_mode=[ENERGY_TRANSFER])),
        # Must be absent rather than empty.
        service_list=iso2.ServiceList(service=services) if listed else None)


def _service_detail(case: Case[iso2.ServiceDetailReq]) -> iso2.ServiceDetailRes:
    number = case.request.service_id
    sets: list[iso2.ParameterSet] = []
    if not _failed(case.code):
        if number == CERTIFICATE_SERVICE:
            sets = [
                iso2.ParameterSet(parameter_set_id=set_number, parameter=[
                    iso2.Parameter(name='Service', string_value=name)])
                for set_number, name in _CERTIFICATE_SETS]
        else:
            sets = [
                entry for service in case.engine.station.services if service.number == number
                for entry in _parameter_sets(service)]
    return iso2.ServiceDetailRes(
        response_code=case.code, service_id=number,
        service_parameter_list=iso2.ServiceParameterList(parameter_set=sets) if sets else None)


def _parameter_sets(service: Service) -> list[iso2.ParameterSet]:
    return [
        iso2.ParameterSet(parameter_set_id=entry.number, parameter=[
            _parameter(name, value) for name, value in entry.parameters])
        for entry in service.sets]


def _parameter(name: str, value: bool | int | str | Quantity) -> iso2.Parameter:
    if isinstance(value, bool):
        return iso2.Parameter(name=name, bool_value=value)
    if isinstance(value, int):
        return iso2.Parameter(name=name, int_value=value)
    if isinstance(value, str):
        return iso2.Parameter(name=name, string_value=value)
    return iso2.Parameter(name=name, physical_value=_of(value.value, iso2.Unit(value.unit)))


def _payment_service_selection(
    case: Case[iso2.PaymentServiceSelectionReq],
) -> iso2.PaymentServiceSelectionRes:
    return iso2.PaymentServiceSelectionRes(response_code=case.code)


def _certificate_installation(
    case: Case[iso2.CertificateInstallationReq],
) -> iso2.BodyElement:
    if not _failed(case.code):
        return _from_back_office(case)
    return iso2.CertificateInstallationRes(response_code=case.code, **_no_certificate())


def _certificate_update(case: Case[iso2.CertificateUpdateReq]) -> iso2.BodyElement:
    if not _failed(case.code):
        return _from_back_office(case)
    return iso2.CertificateUpdateRes(response_code=case.code, **_no_certificate())


def _from_back_office(case: Case[Any]) -> iso2.BodyElement:
    """Return the back office's response as it is: its parts are signed."""
    answer = case.snapshot.back_office
    if answer is None:
        raise Refused(Trigger.BACK_OFFICE_LATE)
    body: iso2.BodyElement = answer.message.body
    return body


def _no_certificate() -> dict[str, Any]:
    """Return what the schema demands of a response that brings no certificate."""
    empty = iso2.CertificateChain(certificate=b'')
    return {
        'sa_provisioning_certificate_chain': empty,
        'contract_signature_cert_chain': iso2.CertificateChain(id='id1', certificate=b''),
        'contract_signature_encrypted_private_key':
            iso2.ContractSignatureEncryptedPrivateKey(id='id2', value=b''),
        'dh_public_key': iso2.DiffieHellmanPublickey(id='id3', value=b''),
        'emaid': iso2.EMAID(id='id4', value=_NO_EMAID),
    }


def _payment_details(case: Case[iso2.PaymentDetailsReq]) -> iso2.PaymentDetailsRes:
    challenge = None if _failed(case.code) else case.engine.challenge
    return iso2.PaymentDetailsRes(
        response_code=case.code,
        gen_challenge=challenge or bytes(CHALLENGE_LENGTH),
        evse_time_stamp=_unix_time(case) or 0)


def _authorization(case: Case[iso2.AuthorizationReq]) -> iso2.AuthorizationRes:
    processing = TRUTH[case.progress].processing
    if (case.progress is Condition.AUTHORIZING
            and case.engine.authorization is AuthorizationKind.EXTERNAL):
        processing = iso2.EVSEProcessing.ONGOING_WAITING_FOR_CUSTOMER_INTERACTION
    return iso2.AuthorizationRes(response_code=case.code, evse_processing=processing)


def _charge_parameter_discovery(
    case: Case[iso2.ChargeParameterDiscoveryReq],
) -> iso2.ChargeParameterDiscoveryRes:
    station, unit = _offered(case), iso2.Unit
    tolerance = station.current_regulation_tolerance
    return iso2.ChargeParameterDiscoveryRes(
        response_code=case.code,
        evse_processing=TRUTH[case.progress].processing,
        sa_schedules=None if _failed(case.code) else iso2.SAScheduleList(
            sa_schedule_tuple=[
                _tuple(schedule, case.engine.tariffs.elements.get(schedule.number))
                for schedule in case.engine.schedules]),
        evse_charge_parameter=iso2.DCEVSEChargeParameter(
            dc_evse_status=_status(case),
            evse_maximum_current_limit=_of(station.maximum_current, unit.A),
            evse_maximum_power_limit=_of(station.maximum_power, unit.W),
            evse_maximum_voltage_limit=_of(station.maximum_voltage, unit.V),
            evse_minimum_current_limit=_of(station.minimum_current, unit.A),
            evse_minimum_voltage_limit=_of(station.minimum_voltage, unit.V),
            evse_current_regulation_tolerance=None if tolerance is None else _of(tolerance, unit.A),
            evse_peak_current_ripple=_of(station.peak_current_ripple, unit.A)))


def _tuple(schedule: Schedule, tariff: iso2.SalesTariff | None) -> iso2.SAScheduleTuple:
    last = schedule.steps[-1]
    return iso2.SAScheduleTuple(
        sa_schedule_tuple_id=schedule.number,
        p_max_schedule=iso2.PMaxSchedule(p_max_schedule_entry=[
            iso2.PMaxScheduleEntry(
                time_interval=iso2.RelativeTimeInterval(
                    start=step.start,
                    duration=schedule.duration - step.start if step is last else None),
                p_max=_of(step.power, iso2.Unit.W))
            for step in schedule.steps]),
        sales_tariff=tariff)


def _cable_check(case: Case[iso2.CableCheckReq]) -> iso2.CableCheckRes:
    return iso2.CableCheckRes(
        response_code=case.code,
        dc_evse_status=_status(case),
        evse_processing=TRUTH[case.progress].processing)


def _pre_charge(case: Case[iso2.PreChargeReq]) -> iso2.PreChargeRes:
    return iso2.PreChargeRes(
        response_code=case.code,
        dc_evse_status=_status(case),
        evse_present_voltage=_present_voltage(case))


def _power_delivery(case: Case[iso2.PowerDeliveryReq]) -> iso2.PowerDeliveryRes:
    return iso2.PowerDeliveryRes(response_code=case.code, evse_status=_status(case))


def meter_info(meter: Meter | None, unix_time: int | None) -> iso2.MeterInfo | None:
    """Return the meter's reading for a message, ``None`` if it has none now."""
    if meter is None or meter.energy_imported is None:
        return None
    return iso2.MeterInfo(
        meter_id=meter.meter_id,
        meter_reading=max(0, int(meter.energy_imported / JOULES_PER_WATT_HOUR)),
        meter_status=meter.status,
        t_meter=unix_time)


def _current_demand(case: Case[iso2.CurrentDemandReq]) -> iso2.CurrentDemandRes:
    station, power, unit, engine = _offered(case), case.snapshot.power, iso2.Unit, case.engine
    at = achieved(
        case.snapshot, station, float(case.request.ev_target_voltage),
        float(case.request.ev_target_current))
    failed = _failed(case.code)
    contract = engine.authorization is AuthorizationKind.CONTRACT
    return iso2.CurrentDemandRes(
        response_code=case.code,
        dc_evse_status=_status(case),
        evse_present_voltage=_present_voltage(case),
        evse_present_current=_measured(
            None if power is None else power.current, unit.A, case.code),
        evse_current_limit_achieved=at.current,
        evse_voltage_limit_achieved=at.voltage,
        evse_power_limit_achieved=at.power,
        evse_maximum_voltage_limit=_of(station.maximum_voltage, unit.V),
        evse_maximum_current_limit=_of(station.maximum_current, unit.A),
        evse_maximum_power_limit=_of(station.maximum_power, unit.W),
        evse_id=_evse_id(case),
        sa_schedule_tuple_id=engine.schedule_number,
        meter_info=None if failed else engine.meter_info,
        # Only with a contract [V2G2-691].
        receipt_required=engine.receipt_wanted if contract and not failed else None)


def _metering_receipt(case: Case[iso2.MeteringReceiptReq]) -> iso2.MeteringReceiptRes:
    return iso2.MeteringReceiptRes(response_code=case.code, evse_status=_status(case))


def _welding_detection(case: Case[iso2.WeldingDetectionReq]) -> iso2.WeldingDetectionRes:
    return iso2.WeldingDetectionRes(
        response_code=case.code,
        dc_evse_status=_status(case),
        evse_present_voltage=_present_voltage(case))


def _session_stop(case: Case[iso2.SessionStopReq]) -> iso2.SessionStopRes:
    return iso2.SessionStopRes(response_code=case.code)


def _charging_status(case: Case[iso2.ChargingStatusReq]) -> iso2.ChargingStatusRes:
    """For AC: no state allows it, so that it only ever says FAILED_SequenceError."""
    return iso2.ChargingStatusRes(
        response_code=case.code, evse_id=_evse_id(case),
        sa_schedule_tuple_id=case.engine.schedule_number,
        ac_evse_status=iso2.ACEVSEStatus(
            notification_max_delay=0, evse_notification=iso2.EVSENotification.NONE, rcd=False))


BUILDERS: dict[type[iso2.BodyElement], Builder] = {
    iso2.SessionSetupReq: _session_setup,
    iso2.ServiceDiscoveryReq: _service_discovery,
    iso2.ServiceDetailReq: _service_detail,
    iso2.PaymentServiceSelectionReq: _payment_service_selection,
    iso2.CertificateInstallationReq: _certificate_installation,
    iso2.CertificateUpdateReq: _certificate_update,
    iso2.PaymentDetailsReq: _payment_details,
    iso2.AuthorizationReq: _authorization,
    iso2.ChargeParameterDiscoveryReq: _charge_parameter_discovery,
    iso2.CableCheckReq: _cable_check,
    iso2.PreChargeReq: _pre_charge,
    iso2.PowerDeliveryReq: _power_delivery,
    iso2.CurrentDemandReq: _current_demand,
    iso2.MeteringReceiptReq: _metering_receipt,
    iso2.WeldingDetectionReq: _welding_detection,
    iso2.SessionStopReq: _session_stop,
    iso2.ChargingStatusReq: _charging_status,
}
