"""Bad manners that only ISO 15118-2 knows: services, contracts, signatures, schedules, receipts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ccs2_hlc.exi.declare import Element
from ccs2_hlc.exi.messages import iso2
from ccs2_sim.car.manners import Alter, Misbehaviour
from ccs2_sim.car.misbehaviour_signatures import SIGNATURES
from ccs2_sim.evcc.outcome import Ended, ErrorCode

_UNKNOWN_SERVICE = 999


def _body(change: Callable[[Any, Any], Any]) -> Alter:
    """Change a request's body (engine and body in, body out); it is then signed as it is."""
    def alter(engine: Any, message: Any, value: Any) -> Element:
        changed: Element = engine.wrap(change(engine, message.body))
        return changed
    return alter


def _bad_contract(engine: Any, message: Any, value: Any) -> Element:
    """Show a wrong contract, and go on with it."""
    wrong = engine.wallet.wrong if engine.wallet is not None else {}
    if value not in wrong:
        raise Ended(ErrorCode.UNKNOWN, f'no wrong contract {value!r}; there are '
                    f'{", ".join(wrong) or "none"}')
    engine.wallet = replace(engine.wallet, contract=wrong[value])
    leaf, *sub_cas = wrong[value].chain or (b'',)
    chain = iso2.CertificateChain(
        certificate=leaf,
        sub_certificates=iso2.SubCertificates(certificate=sub_cas) if sub_cas else None)
    changed: Element = replace(
        message, body=replace(message.body, contract_signature_cert_chain=chain))
    return changed


def _service(*numbers: int) -> Alter:
    return _body(lambda engine, body: replace(
        body, selected_service_list=iso2.SelectedServiceList(selected_service=[
            iso2.SelectedService(service_id=number) for number in numbers])))


def _limits(**fields: Any) -> Alter:
    return _body(lambda engine, body: replace(
        body, ev_charge_parameter=replace(body.ev_charge_parameter, **fields)))


def _alternating_parameters(engine: Any, body: Any) -> Any:
    def value(number: float, unit: iso2.Unit) -> iso2.PhysicalValue:
        return iso2.PhysicalValue.of(number, unit)
    return replace(body, ev_charge_parameter=iso2.ACEVChargeParameter(
        e_amount=value(10e3, iso2.Unit.WH), ev_max_voltage=value(400, iso2.Unit.V),
        ev_max_current=value(32, iso2.Unit.A), ev_min_current=value(6, iso2.Unit.A)))


def _greedy(engine: Any, body: Any) -> Any:
    """Plan twice the power of the schedule."""
    if body.charging_profile is None:
        return body
    return replace(body, charging_profile=iso2.ChargingProfile(profile_entry=[
        replace(entry, charging_profile_entry_max_power=iso2.PhysicalValue.of(
            2 * power, iso2.Unit.W))
        for entry, (_, power) in zip(
            body.charging_profile.profile_entry, engine.schedule.limits, strict=False)]))


def _other_reading(engine: Any, body: Any) -> Any:
    reading = (body.meter_info.meter_reading or 0) + 1
    return replace(body, meter_info=replace(body.meter_info, meter_reading=reading))


def _kind(name: str, does: str, station: str, step: str, alter: Alter, **more: Any) -> Misbehaviour:
    return Misbehaviour(
        name, does, station, step=step, after=0, alter=alter, protocol='iso2', **more)


_AUTHORIZATION, _SELECTION = 'Authorization', 'PaymentServiceSelection'
_PARAMETERS, _RECEIPT = 'ChargeParameterDiscovery', 'MeteringReceipt'
_REFUSES = 'FAILED_SignatureError'

ISO2: tuple[Misbehaviour, ...] = (
    _kind('contract_unoffered', 'selects payment by contract where it is not offered',
          'FAILED_PaymentSelectionInvalid', _SELECTION,
          _body(lambda engine, body: replace(
              body, selected_payment_option=iso2.PaymentOption.CONTRACT))),
    _kind('no_charge_service', 'selects no charging service',
          'FAILED_NoChargeServiceSelected', _SELECTION, _service(_UNKNOWN_SERVICE)),
    _kind('unknown_service', 'selects a service that is not offered',
          'FAILED_ServiceSelectionInvalid', _SELECTION, _service(1, _UNKNOWN_SERVICE)),
    _kind('unknown_detail', 'asks for the details of a service that is not offered',
          'FAILED_ServiceIDInvalid', _SELECTION,
          _body(lambda engine, body: iso2.ServiceDetailReq(service_id=_UNKNOWN_SERVICE))),
    _kind('bad_contract', 'shows a contract of `ccs2-pki lab` that is wrong',
          'the response code of that fault, e.g. FAILED_CertificateExpired', 'PaymentDetails',
          _bad_contract, option='fault', value='expired'),
    _kind('wrong_emaid', 'gives another eMAID than the contract certificate',
          'FAILED_CertChainError', 'PaymentDetails',
          _body(lambda engine, body: replace(body, emaid='DE8XX0012345678'))),
    _kind('bad_challenge', 'signs another challenge than it was given',
          'FAILED_ChallengeInvalid', _AUTHORIZATION,
          _body(lambda engine, body: replace(body, gen_challenge=bytes(16)))),
    *(_kind(name, does, _REFUSES, _AUTHORIZATION, alter)
      for name, (does, alter) in SIGNATURES.items()),
    _kind('ac_parameters', 'gives AC limits with a DC mode', 'FAILED_WrongChargeParameter',
          _PARAMETERS, _body(_alternating_parameters)),
    _kind('negative_limit', 'gives a negative maximum current', 'FAILED_WrongChargeParameter',
          _PARAMETERS, _limits(
              ev_maximum_current_limit=iso2.PhysicalValue.of(-100, iso2.Unit.A))),
    _kind('wrong_schedule', 'chooses a schedule that was not offered',
          'FAILED_TariffSelectionInvalid', 'PowerDelivery',
          _body(lambda engine, body: replace(
              body, sa_schedule_tuple_id=body.sa_schedule_tuple_id % 255 + 1))),
    _kind('greedy_profile', 'plans twice the power of the schedule',
          'FAILED_ChargingProfileInvalid', 'PowerDelivery', _body(_greedy)),
    _kind('early_renegotiation', 'renegotiates before it has started', 'FAILED', 'PowerDelivery',
          _body(lambda engine, body: engine.progress(iso2.ChargeProgress.RENEGOTIATE))),
    _kind('early_pause', 'wants to pause before it has stopped', 'FAILED', 'PowerDelivery',
          _body(lambda engine, body: iso2.SessionStopReq(
              charging_session=iso2.ChargingSession.PAUSE))),
    _kind('wrong_receipt', 'signs another meter reading than it was sent',
          'FAILED_MeteringSignatureNotValid', _RECEIPT, _body(_other_reading)),
    _kind('foreign_receipt', 'signs a receipt for another session', 'FAILED_UnknownSession',
          _RECEIPT, _body(lambda engine, body: replace(body, session_id=b'\xff' * 8))),
)
