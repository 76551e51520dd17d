"""Bad manners by ISO 15118-20: what only it knows, and what it has other messages for."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from ccs2_hlc.exi.declare import Element
from ccs2_hlc.exi.messages import sap
from ccs2_hlc.exi.messages.iso20 import common, dc
from ccs2_link.transport.v2gtp import PayloadType
from ccs2_sim.car.manners import Alter, Misbehaviour
from ccs2_sim.car.misbehaviour_signatures import SIGNATURES
from ccs2_sim.evcc import iso20_modes, iso20_wallet
from ccs2_sim.evcc.iso20_setup import SIGNED_ID
from ccs2_sim.evcc.outcome import Ended, ErrorCode
from ccs2_sim.evcc.wallet import Credential

rational = common.RationalNumber.of
#: No charging station can mean such a number.
_ABSURD = common.RationalNumber(exponent=127, value=1)
_AC, _UNKNOWN_SERVICE, _UNKNOWN_SET = 1, 999, 99
#: Certificates of a contract that a message can carry: a leaf and one to three sub-CAs.
_CHAIN = range(2, 5)
_Change = Callable[[Any, Any], Any]


def _request(change: _Change) -> Alter:
    """Change a request (engine and request in, request out); it is then signed as it is."""
    def alter(engine: Any, message: Any, value: Any) -> Element:
        changed: Element = engine.wrap(change(engine, message))
        return changed
    return alter


def _instead(make: Callable[[Any], Element]) -> Alter:
    """Send another request instead."""
    return _request(lambda engine, request: make(engine))


# What the car says anywhere.


def _wrong_message(engine: Any, message: Any, value: Any) -> Element:
    """Ask for services in the middle of everything, or for power before the beginning."""
    if isinstance(message, sap.SupportedAppProtocolReq):
        return message
    header = engine.header()
    if isinstance(message, common.SessionSetupReq):
        return dc.DCCableCheckReq(header=header)
    return common.ServiceDiscoveryReq(header=header)


def _stolen_session(engine: Any, request: Any) -> Any:
    return replace(request, header=replace(request.header, session_id=os.urandom(8)))


def _on_another_stream(frame: bytes, value: float) -> bytes:
    return frame[:2] + PayloadType.ISO20_METERING_CONFIRMATION.to_bytes(2, 'big') + frame[4:]


# Payment.


def _authorization(engine: Any, chain: Sequence[bytes]) -> common.AuthorizationReq:
    return common.AuthorizationReq(
        header=engine.header(), selected_authorization_service=common.Authorization.PNC,
        pnc_a_req_authorization_mode=common.PnCAReqAuthorizationMode(
            id=SIGNED_ID, gen_challenge=engine.challenge or bytes(16),
            contract_certificate_chain=iso20_wallet.contract_chain(chain)))


def _unoffered_contract(engine: Any) -> Element:
    contract = None if engine.wallet is None else engine.wallet.contract
    return _authorization(engine, (b'0', b'0') if contract is None else contract.chain)


def _wrong_one(known: Mapping[str, Credential], what: str, fault: Any) -> Credential:
    if fault not in known:
        raise Ended(ErrorCode.UNKNOWN, f'no wrong {what} {fault!r}; there are '
                    f'{", ".join(known) or "none"}')
    return known[fault]


def _bad_contract(engine: Any, message: Any, value: Any) -> Element:
    """Show a wrong contract, signed by its key, and go on with it."""
    wrong = _wrong_one({} if engine.wallet is None else engine.wallet.wrong, 'contract', value)
    if len(wrong.chain) not in _CHAIN:
        raise Ended(ErrorCode.UNKNOWN, f'a message cannot carry {len(wrong.chain)} certificates')
    engine.contract = wrong
    changed: Element = engine.wrap(_authorization(engine, wrong.chain))
    return changed


def _bad_provisioning(engine: Any, message: Any, value: Any) -> Element:
    """Ask for a contract with a wrong provisioning certificate, signed by its key."""
    known = {} if engine.wallet is None else engine.wallet.wrong_provisioning
    wrong = _wrong_one(known, 'provisioning certificate', value)
    engine.wallet = replace(engine.wallet, provisioning=wrong)
    leaf, *below = wrong.chain or (b'',)
    chain = replace(
        message.oem_provisioning_certificate_chain, certificate=leaf,
        sub_certificates=common.SubCertificates(certificate=below) if below else None)
    changed: Element = engine.wrap(replace(message, oem_provisioning_certificate_chain=chain))
    return changed


def _challenge(engine: Any, request: Any) -> Any:
    mode = request.pnc_a_req_authorization_mode
    return request if mode is None else replace(
        request, pnc_a_req_authorization_mode=replace(mode, gen_challenge=bytes(16)))


# Services and limits.


def _energy_service(service: int | None = None, parameter_set: int | None = None) -> Alter:
    def change(engine: Any, request: Any) -> Any:
        chosen = request.selected_energy_transfer_service
        return replace(request, selected_energy_transfer_service=common.SelectedService(
            service_id=chosen.service_id if service is None else service,
            parameter_set_id=(
                chosen.parameter_set_id if parameter_set is None else parameter_set)))
    return _request(change)


def _added_service(engine: Any, request: Any) -> Any:
    return replace(request, selected_vas_list=common.SelectedServiceList(selected_service=[
        common.SelectedService(service_id=_UNKNOWN_SERVICE, parameter_set_id=1)]))


def _limits(**changes: Any) -> Alter:
    return _request(lambda engine, request: replace(
        request, dc_cpd_req_energy_transfer_mode=replace(
            request.dc_cpd_req_energy_transfer_mode, **changes)))


def _other_direction(engine: Any, request: Any) -> Any:
    """Give the limits of the service that was not chosen: DC for DC_BPT or the other way round."""
    own = request.dc_cpd_req_energy_transfer_mode
    more = iso20_modes.car_limits(
        replace(engine.settings, transfer=iso20_modes.other_direction(engine.transfer)),
        engine.vehicle)
    return replace(request, dc_cpd_req_energy_transfer_mode=replace(
        more, ev_maximum_voltage=own.ev_maximum_voltage))


def _other_lead(engine: Any, request: Any) -> Any:
    """Ask for schedules by the control mode that was not chosen."""
    if request.dynamic_se_req_control_mode is not None:
        return replace(
            request, dynamic_se_req_control_mode=None,
            scheduled_se_req_control_mode=common.ScheduledSEReqControlMode())
    energies = iso20_modes.energies(engine.settings, engine.vehicle, False)
    return replace(
        request, scheduled_se_req_control_mode=None,
        dynamic_se_req_control_mode=common.DynamicSEReqControlMode(
            departure_time=engine.departure, **energies))


# The charge loop.


def _mode_of(transfer_of: Callable[[Any], Any]) -> Alter:
    """Send the control mode of another transfer."""
    def change(engine: Any, request: Any) -> Any:
        settings = replace(engine.settings, transfer=transfer_of(engine.transfer))
        return replace(request, cl_req_control_mode=iso20_modes.control(
            settings, engine.vehicle, engine.asked_current(), False, engine.departure))
    return _request(change)


def _set_point(name: str) -> Alter:
    """Ask for another set-point, where the car leads; where the station does, allow as much."""
    allowed = {'ev_target_voltage': 'ev_maximum_voltage',
               'ev_target_current': 'ev_maximum_charge_current'}

    def alter(engine: Any, message: Any, value: Any) -> Element:
        mode = message.cl_req_control_mode
        field = name if name in {each.name for each in fields(mode)} else allowed[name]
        changed: Element = replace(message, cl_req_control_mode=replace(
            mode, **{field: rational(value)}))
        return changed
    return alter


# Power.


def _profile(change: Callable[[Any, common.EVPowerProfile], Any]) -> Alter:
    """Change the profile of a request that has one."""
    def alter(engine: Any, request: Any) -> Any:
        profile = request.ev_power_profile
        return request if profile is None else replace(
            request, ev_power_profile=change(engine, profile))
    return _request(alter)


def _scaled(factor: float) -> Alter:
    """Plan a multiple of the power of the schedule."""
    return _profile(lambda engine, profile: replace(
        profile, ev_power_profile_entries=common.EVPowerProfileEntryList(ev_power_profile_entry=[
            replace(entry, power=rational(factor * power))
            for entry, (_, power) in zip(
                profile.ev_power_profile_entries.ev_power_profile_entry, engine.schedule.limits,
                strict=False)])))


def _another_schedule(engine: Any, profile: common.EVPowerProfile) -> Any:
    return replace(profile, scheduled_evppt_control_mode=common.ScheduledEVPPTControlMode(
        selected_schedule_tuple_id=engine.schedule.number + 1))


def _another_kind(engine: Any, profile: common.EVPowerProfile) -> Any:
    return replace(profile, scheduled_evppt_control_mode=None,
                   dynamic_evppt_control_mode=common.DynamicEVPPTControlMode())


def _progress(wanted: common.ChargeProgress) -> Alter:
    return _instead(lambda engine: replace(engine.progress(wanted), ev_power_profile=None))


def _stop(how: common.ChargingSession) -> Alter:
    return _instead(lambda engine: common.SessionStopReq(
        header=engine.header(), charging_session=how))


def _unasked_confirmation(engine: Any) -> Element:
    return common.MeteringConfirmationReq(
        header=engine.header(), signed_metering_data=common.SignedMeteringData(
            id=SIGNED_ID, session_id=engine.session_id,
            meter_info=common.MeterInfo(meter_id='1', charged_energy_reading_wh=0),
            dynamic_smdt_control_mode=common.DynamicSMDTControlMode()))


def _receipt(**changes: Any) -> _Change:
    return lambda engine, request: replace(
        request, signed_metering_data=replace(request.signed_metering_data, **changes))


def _other_reading(engine: Any, request: Any) -> Any:
    reading = request.signed_metering_data.meter_info
    return _receipt(meter_info=replace(
        reading, charged_energy_reading_wh=reading.charged_energy_reading_wh + 1))(engine, request)


def _kind(name: str, does: str, station: str, step: str, alter: Alter, **more: Any) -> Misbehaviour:
    return Misbehaviour(name, does, station, step=step, **{
        'after': 0, 'alter': alter, 'protocol': 'iso20', **more})


_AUTHORIZATION, _INSTALLATION = 'Authorization', 'CertificateInstallation'
_SELECTION, _PARAMETERS = 'ServiceSelection', 'DC_ChargeParameterDiscovery'
_POWER, _LOOP, _READING = 'PowerDelivery', 'DC_ChargeLoop', 'MeteringConfirmation'
_IN_LOOP = {'after': 5}

ISO20: tuple[Misbehaviour, ...] = (
    _kind('wrong_message', 'sends a request that is not allowed now',
          'FAILED_SequenceError in the response to that request, session ended', _LOOP,
          _wrong_message, **_IN_LOOP),
    _kind('wrong_voltage', 'asks for a voltage above its own limit',
          'never exceeds the limits that the car and the station gave', _LOOP,
          _set_point('ev_target_voltage'), option='volt', value=700.0, unit='V', **_IN_LOOP),
    _kind('wrong_current', 'asks for more current than it said it could take',
          'never exceeds the limits that the car and the station gave', _LOOP,
          _set_point('ev_target_current'), option='ampere', value=400.0, unit='A', **_IN_LOOP),
    _kind('stolen_session', 'names the id of a session that is not its own',
          'OK_NewSessionEstablished: a new session that inherits nothing', 'SessionSetup',
          _request(_stolen_session)),
    _kind('wrong_stream', 'sends the charge loop on the stream for meter readings',
          'ignores the message; supply off, contactors open after 0.5 s', _LOOP,
          lambda engine, message, value: message, mangle=_on_another_stream, once=True,
          **_IN_LOOP),
    _kind('contract_unoffered', 'selects payment by contract where it is not offered',
          'WARNING_AuthorizationSelectionInvalid', _AUTHORIZATION, _instead(_unoffered_contract)),
    _kind('bad_contract', 'shows a contract of `ccs2-pki lab` that is wrong',
          'the warning of that fault, e.g. WARNING_CertificateExpired', _AUTHORIZATION,
          _bad_contract, option='fault', value='expired', once=True),
    _kind('bad_challenge', 'signs another challenge than it was given',
          'WARNING_ChallengeInvalid', _AUTHORIZATION, _request(_challenge)),
    *(_kind(name, does, 'FAILED_SignatureError', _AUTHORIZATION, alter)
      for name, (does, alter) in SIGNATURES.items()),
    _kind('bad_provisioning', 'asks for a contract with a provisioning certificate of '
          '`ccs2-pki lab` that is wrong',
          'the warning of that fault, e.g. WARNING_CertificateExpired', _INSTALLATION,
          _bad_provisioning, option='fault', value='expired'),
    _kind('alternating_current', 'asks a DC station for AC',
          'FAILED_NoEnergyTransferServiceSelected', _SELECTION, _energy_service(_AC)),
    _kind('no_charge_service', 'selects no charging service',
          'FAILED_NoEnergyTransferServiceSelected', _SELECTION,
          _energy_service(_UNKNOWN_SERVICE)),
    _kind('unknown_parameter_set', 'selects a parameter set that is not offered',
          'FAILED_ServiceSelectionInvalid', _SELECTION,
          _energy_service(parameter_set=_UNKNOWN_SET)),
    _kind('unknown_service', 'selects a service that is not offered',
          'FAILED_ServiceSelectionInvalid', _SELECTION, _request(_added_service)),
    _kind('unknown_detail', 'asks for the details of a service that is not offered',
          'FAILED_ServiceIDInvalid', _SELECTION, _instead(lambda engine: common.ServiceDetailReq(
              header=engine.header(), service_id=_UNKNOWN_SERVICE))),
    _kind('unasked_check_in', 'checks in although it has not chosen that service',
          'FAILED_SequenceError', _PARAMETERS, _instead(lambda engine: common.VehicleCheckInReq(
              header=engine.header(), ev_check_in_status=common.EVCheckInStatus.CHECK_IN,
              parking_method=common.ParkingMethod.MANUAL))),
    _kind('other_direction', 'gives limits for discharging with DC, or none with DC_BPT',
          'FAILED_WrongChargeParameter', _PARAMETERS, _request(_other_direction)),
    _kind('negative_limit', 'gives a negative maximum current', 'FAILED_WrongChargeParameter',
          _PARAMETERS, _limits(ev_maximum_charge_current=rational(-100))),
    _kind('absurd_limit', 'gives a maximum power of 10^127 W', 'FAILED_WrongChargeParameter',
          _PARAMETERS, _limits(ev_maximum_charge_power=_ABSURD)),
    _kind('other_schedules', 'asks for schedules by the control mode that was not chosen',
          'FAILED', 'ScheduleExchange', _request(_other_lead)),
    _kind('wrong_schedule', 'chooses a schedule that was not offered',
          'FAILED_ScheduleSelectionInvalid', _POWER, _profile(_another_schedule)),
    _kind('other_profile', 'gives a profile for the control mode that was not chosen',
          'FAILED_EVPowerProfileInvalid', _POWER, _profile(_another_kind)),
    _kind('greedy_profile', 'plans twice the power of the schedule',
          'FAILED_EVPowerProfileViolation', _POWER, _scaled(2.0)),
    _kind('modest_profile', 'plans a hundredth of the power that it then asks for',
          'WARNING_EVPowerProfileViolation, goes on charging', _POWER, _scaled(0.01)),
    _kind('early_renegotiation', 'renegotiates before it has started',
          'FAILED_ScheduleRenegotiation', _POWER,
          _progress(common.ChargeProgress.SCHEDULE_RENEGOTIATION)),
    _kind('early_pause', 'wants to pause before it has stopped', 'FAILED_PauseNotAllowed',
          _POWER, _stop(common.ChargingSession.PAUSE)),
    _kind('second_start', 'asks for power although it is being delivered', 'FAILED', _LOOP,
          _progress(common.ChargeProgress.START), **_IN_LOOP),
    _kind('early_change', 'wants other services before it has stopped',
          'FAILED_NoServiceRenegotiationSupported', _LOOP,
          _stop(common.ChargingSession.SERVICE_RENEGOTIATION), **_IN_LOOP),
    _kind('other_lead', 'sends the control mode of the side that does not lead', 'FAILED', _LOOP,
          _mode_of(iso20_modes.other_lead), **_IN_LOOP),
    _kind('other_way', 'sends the control mode for discharging with DC, or without it with DC_BPT',
          'FAILED', _LOOP, _mode_of(iso20_modes.other_direction), **_IN_LOOP),
    _kind('unasked_confirmation', 'confirms a meter reading that nobody asked for',
          'FAILED_SequenceError', _LOOP, _instead(_unasked_confirmation), **_IN_LOOP),
    _kind('wrong_receipt', 'signs another meter reading than it was sent',
          'FAILED_MeteringSignatureNotValid', _READING, _request(_other_reading)),
    _kind('foreign_receipt', 'signs a receipt for another session', 'FAILED_UnknownSession',
          _READING, _request(_receipt(session_id=b'\xff' * 8))),
)
