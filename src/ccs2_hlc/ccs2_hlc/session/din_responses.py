"""DIN 70121: one builder per response.

The same builder makes the positive and the FAILED response, so that every mandatory element is
always there.  What is not measured makes a positive response impossible; in a FAILED response,
whose content the vehicle does not look at, zero stands in its place.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from ..exi.messages import din
from .charge import NO_OFFER, Offer, achieved, offer
from .din_codes import TRUTH
from .engine import Case, Refused
from .triggers import Trigger

#: The charge service, the only one.
SERVICE_ID = 1
#: The one schedule that is offered: its number, and the day that it has to cover [V2G-DC-556].
SCHEDULE_ID = 1
SCHEDULE_SECONDS = 86400
#: PMax is a 16-bit number of watts: a stronger station says this.
P_MAX_LIMIT = 32767
#: EVSEID of a station without one: a single zero octet, which vehicles ignore [V2G-DC-877].
NO_EVSE_ID = b'\0'
#: A CCS2 inlet takes DC over the extended pins.
ENERGY_TRANSFER = din.EVSESupportedEnergyTransferType.DC_EXTENDED

_EVSE_ID = re.compile(r'\+?([0-9*]{1,64})')
_FAILED = 'FAILED'

Builder = Callable[[Case[Any]], din.BodyElement]


def encode_evse_id(evse_id: str) -> bytes:
    """Return an identifier by DIN SPEC 91286 as octets: one digit or '*' (0xA) per nibble.

    '' gives the octet that stands for no identifier.  Raise ``ValueError`` for other characters.
    """
    if not evse_id:
        return NO_EVSE_ID
    match = _EVSE_ID.fullmatch(evse_id)
    if match is None:
        raise ValueError(
            f'{evse_id!r} is no EVSEID by DIN SPEC 91286: up to 64 digits and asterisks')
    nibbles = match[1].replace('*', 'a')
    return bytes.fromhex(nibbles + 'f' * (len(nibbles) % 2))


def p_max(station: Offer) -> int:
    """Return the power of the schedule, W."""
    return min(P_MAX_LIMIT, int(station.maximum_power))


def _failed(code: din.ResponseCode) -> bool:
    return code.value.startswith(_FAILED)


def _measured(
    value: float | None, unit: din.Unit, code: din.ResponseCode,
) -> din.PhysicalValue:
    if value is None:
        if not _failed(code):
            raise Refused(Trigger.MEASUREMENT_MISSING)
        value = 0.0
    return din.PhysicalValue.of(value, unit)


def _present_voltage(case: Case[Any]) -> din.PhysicalValue:
    power = case.snapshot.power
    return _measured(None if power is None else power.voltage, din.Unit.V, case.code)


def _offered(case: Case[Any]) -> Offer:
    station = offer(case.snapshot)
    if station is None:
        if not _failed(case.code):
            raise Refused(Trigger.MEASUREMENT_MISSING)
        return NO_OFFER
    return station


def _status(case: Case[Any]) -> din.DCEVSEStatus:
    row = TRUTH[case.condition]
    return din.DCEVSEStatus(
        evse_isolation_status=row.isolation or din.IsolationLevel[
            case.engine.isolation(case.snapshot).name],
        evse_status_code=row.status,
        notification_max_delay=0,
        evse_notification=din.EVSENotification.NONE)  # always, for DC [V2G-DC-500]


def _session_setup(case: Case[din.SessionSetupReq]) -> din.SessionSetupRes:
    unix_time = case.engine.station.unix_time
    return din.SessionSetupRes(
        response_code=case.code, evse_id=encode_evse_id(case.engine.station.evse_id_din),
        date_time_now=None if unix_time is None else unix_time())


def _service_discovery(case: Case[din.ServiceDiscoveryReq]) -> din.ServiceDiscoveryRes:
    return din.ServiceDiscoveryRes(
        response_code=case.code,
        payment_options=din.PaymentOptions(payment_option=[din.PaymentOption.EXTERNAL_PAYMENT]),
        charge_service=din.ServiceCharge(
            # Neither name [V2G-DC-628] nor scope [V2G-DC-629].
            service_tag=din.ServiceTag(
                service_id=SERVICE_ID, service_category=din.ServiceCategory.EV_CHARGING),
            free_service=case.engine.station.free_service,
            energy_transfer_type=ENERGY_TRANSFER))


def _service_payment_selection(
    case: Case[din.ServicePaymentSelectionReq],
) -> din.ServicePaymentSelectionRes:
    return din.ServicePaymentSelectionRes(response_code=case.code)


def _contract_authentication(
    case: Case[din.ContractAuthenticationReq],
) -> din.ContractAuthenticationRes:
    return din.ContractAuthenticationRes(
        response_code=case.code, evse_processing=TRUTH[case.progress].processing)


def _charge_parameter_discovery(
    case: Case[din.ChargeParameterDiscoveryReq],
) -> din.ChargeParameterDiscoveryRes:
    station = _offered(case)
    of, unit = din.PhysicalValue.of, din.Unit
    tolerance = station.current_regulation_tolerance
    return din.ChargeParameterDiscoveryRes(
        response_code=case.code,
        evse_processing=TRUTH[case.progress].processing,
        sa_schedules=din.SAScheduleList(sa_schedule_tuple=[din.SAScheduleTuple(
            sa_schedule_tuple_id=SCHEDULE_ID,
            p_max_schedule=din.PMaxSchedule(
                p_max_schedule_id=SCHEDULE_ID,
                p_max_schedule_entry=[din.PMaxScheduleEntry(
                    time_interval=din.RelativeTimeInterval(start=0, duration=SCHEDULE_SECONDS),
                    p_max=p_max(station))]))]),
        evse_charge_parameter=din.DCEVSEChargeParameter(
            dc_evse_status=_status(case),
            evse_maximum_current_limit=of(station.maximum_current, unit.A),
            evse_maximum_power_limit=of(station.maximum_power, unit.W),
            evse_maximum_voltage_limit=of(station.maximum_voltage, unit.V),
            evse_minimum_current_limit=of(station.minimum_current, unit.A),
            evse_minimum_voltage_limit=of(station.minimum_voltage, unit.V),
            evse_current_regulation_tolerance=None if tolerance is None else of(tolerance, unit.A),
            evse_peak_current_ripple=of(station.peak_current_ripple, unit.A)))


def _cable_check(case: Case[din.CableCheckReq]) -> din.CableCheckRes:
    return din.CableCheckRes(
        response_code=case.code,
        dc_evse_status=_status(case),
        evse_processing=TRUTH[case.progress].processing)


def _pre_charge(case: Case[din.PreChargeReq]) -> din.PreChargeRes:
    return din.PreChargeRes(
        response_code=case.code,
        dc_evse_status=_status(case),
        evse_present_voltage=_present_voltage(case))


def _power_delivery(case: Case[din.PowerDeliveryReq]) -> din.PowerDeliveryRes:
    return din.PowerDeliveryRes(
        response_code=case.code, evse_status=_status(case))


def _current_demand(case: Case[din.CurrentDemandReq]) -> din.CurrentDemandRes:
    station, power = _offered(case), case.snapshot.power
    voltage = None if power is None else power.voltage
    current = None if power is None else power.current
    at = achieved(
        case.snapshot, station, float(case.request.ev_target_voltage),
        float(case.request.ev_target_current))
    of, unit = din.PhysicalValue.of, din.Unit
    return din.CurrentDemandRes(
        response_code=case.code,
        dc_evse_status=_status(case),
        evse_present_voltage=_measured(voltage, unit.V, case.code),
        evse_present_current=_measured(current, unit.A, case.code),
        evse_current_limit_achieved=at.current,
        evse_voltage_limit_achieved=at.voltage,
        evse_power_limit_achieved=at.power,
        evse_maximum_voltage_limit=of(station.maximum_voltage, unit.V),
        evse_maximum_current_limit=of(station.maximum_current, unit.A),
        evse_maximum_power_limit=of(station.maximum_power, unit.W))


def _welding_detection(case: Case[din.WeldingDetectionReq]) -> din.WeldingDetectionRes:
    return din.WeldingDetectionRes(
        response_code=case.code,
        dc_evse_status=_status(case),
        evse_present_voltage=_present_voltage(case))


def _session_stop(case: Case[din.SessionStopReq]) -> din.SessionStopRes:
    return din.SessionStopRes(response_code=case.code)


# Requests of the schema that a DC station without contracts never serves: no state allows them,
# so these builders only ever say FAILED_SequenceError, in the response type of the request.

def _service_detail(case: Case[din.ServiceDetailReq]) -> din.ServiceDetailRes:
    return din.ServiceDetailRes(response_code=case.code, service_id=case.request.service_id)


def _payment_details(case: Case[din.PaymentDetailsReq]) -> din.PaymentDetailsRes:
    return din.PaymentDetailsRes(response_code=case.code, gen_challenge='', date_time_now=0)


def _ac_status() -> din.ACEVSEStatus:
    return din.ACEVSEStatus(
        power_switch_closed=False, rcd=False, notification_max_delay=0,
        evse_notification=din.EVSENotification.NONE)


def _charging_status(case: Case[din.ChargingStatusReq]) -> din.ChargingStatusRes:
    return din.ChargingStatusRes(
        response_code=case.code, evse_id=encode_evse_id(case.engine.station.evse_id_din),
        sa_schedule_tuple_id=SCHEDULE_ID, receipt_required=False, ac_evse_status=_ac_status())


def _metering_receipt(case: Case[din.MeteringReceiptReq]) -> din.MeteringReceiptRes:
    return din.MeteringReceiptRes(response_code=case.code, ac_evse_status=_ac_status())


def _certificate_update(case: Case[din.CertificateUpdateReq]) -> din.CertificateUpdateRes:
    return din.CertificateUpdateRes(
        id='id1', response_code=case.code,
        contract_signature_cert_chain=din.CertificateChain(certificate=b''),
        contract_signature_encrypted_private_key=b'', dh_params=b'', contract_id='',
        retry_counter=-1)


def _certificate_installation(
    case: Case[din.CertificateInstallationReq],
) -> din.CertificateInstallationRes:
    return din.CertificateInstallationRes(
        id='id1', response_code=case.code,
        contract_signature_cert_chain=din.CertificateChain(certificate=b''),
        contract_signature_encrypted_private_key=b'', dh_params=b'', contract_id='')


BUILDERS: dict[type[din.BodyElement], Builder] = {
    din.SessionSetupReq: _session_setup,
    din.ServiceDiscoveryReq: _service_discovery,
    din.ServiceDetailReq: _service_detail,
    din.ServicePaymentSelectionReq: _service_payment_selection,
    din.PaymentDetailsReq: _payment_details,
    din.ContractAuthenticationReq: _contract_authentication,
    din.ChargeParameterDiscoveryReq: _charge_parameter_discovery,
    din.CableCheckReq: _cable_check,
    din.PreChargeReq: _pre_charge,
    din.PowerDeliveryReq: _power_delivery,
    din.CurrentDemandReq: _current_demand,
    din.WeldingDetectionReq: _welding_detection,
    din.SessionStopReq: _session_stop,
    din.ChargingStatusReq: _charging_status,
    din.MeteringReceiptReq: _metering_receipt,
    din.CertificateUpdateReq: _certificate_update,
    din.CertificateInstallationReq: _certificate_installation,
}
