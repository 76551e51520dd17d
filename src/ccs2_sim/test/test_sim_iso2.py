"""The car's ISO 15118-2 engine against the station's session core, on a virtual clock."""

import json
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))

from iso2_pair import Pair, PairBench, contract_bench

from ccs2_hlc.exi.messages import iso2
from ccs2_hlc.session.command import Mode
from ccs2_hlc.session.contract import VERDICTS, Trust
from ccs2_hlc.session.iso2_codes import CODES
from ccs2_hlc.session.schedules import Schedule, Step
from ccs2_hlc.session.services import read_services
from ccs2_hlc.session.station import ContractPayment, OperatorLimits, StopWish, Urgency
from ccs2_pki.certificate import parse_certificate
from ccs2_pki.chains import ChainResult
from ccs2_pki.profiles import RootKind
from ccs2_pki.revocation import RevocationData, parse_ocsp
from ccs2_sim.car import misbehaviour
from ccs2_sim.car.misbehaviour import MISBEHAVIOURS
from ccs2_sim.evcc.iso2 import Iso2Evcc
from ccs2_sim.evcc.outcome import Ended, ErrorCode
from ccs2_sim.evcc.vehicle import Acquisition, Wish
from ccs2_sim.lab import read_wallet
from ccs2_sim.provisioning import Refusal, read_provider

NOW = datetime.now(UTC)
FIRST = ['SessionSetup', 'ServiceDiscovery', 'PaymentServiceSelection', 'Authorization']
CONTRACT = ['SessionSetup', 'ServiceDiscovery', 'PaymentServiceSelection', 'PaymentDetails',
            'Authorization']
CHARGE = ['ChargeParameterDiscovery', 'CableCheck', 'PreCharge', 'PowerDelivery', 'CurrentDemand']
LAST = ['PowerDelivery', 'WeldingDetection', 'SessionStop']
Code = iso2.ResponseCode
Status = iso2.DCEVSEStatusCode


@pytest.fixture
def provider(lab):
    made = read_provider(lab)

    def answer(data):
        try:
            return made.answer(data, NOW), ''
        except Refusal as refusal:
            return b'', str(refusal)
    return answer


# External payment


def test_whole_session_by_external_payment():
    pair = Pair(maximum_loops=20)
    assert pair.run().error is ErrorCode.NONE
    assert pair.names() == FIRST + CHARGE + LAST
    # B, C, contactors, open in C, B: in this order and nothing else.
    assert [(wish.load, wish.contactors) for wish in pair.wishes] == [
        ('B', False), ('C', False), ('C', True), ('C', False), ('B', False)]
    assert pair.bench.stage == 'FINISHED'
    assert all(message.header.signature is None for message in pair.requests)


def test_state_of_charge_ends_the_session():
    pair = Pair()
    pair.gain = 0.01
    assert pair.run().error is ErrorCode.NONE
    assert pair.vehicle.state_of_charge >= 0.8


def test_details_of_every_service_are_asked_for():
    bench = PairBench(services=read_services_of(3, 4))
    pair = Pair(bench, maximum_loops=2)
    assert pair.run().error is ErrorCode.NONE
    assert [body.service_id for body in pair.bodies(iso2.ServiceDetailReq)] == [3, 4]
    assert pair.engine.parameter_sets == {3: [1], 4: [1]}


def read_services_of(*numbers):
    return read_services({'services': [
        {'number': number, 'name': f'service {number}', 'category': 'Internet', 'free': True,
         'sets': [{'number': 1, 'parameters': {'Port': 80}}]} for number in numbers]})


@pytest.mark.parametrize('name', Iso2Evcc.steps)
def test_failed_response_ends_the_session_at_once(name, roots, wallet, provider):
    pair = everything(name, roots, wallet, provider)
    pair.overrides[name] = lambda response, count: replace(
        response, body=replace(response.body, response_code=Code.FAILED))
    outcome = pair.run()
    assert outcome.error is ErrorCode.REFUSED
    assert 'FAILED' in outcome.text
    assert pair.engine.step == name
    assert not pair.vehicle.contactors
    assert pair.wishes[-1].load == 'B'


@pytest.mark.parametrize('name', Iso2Evcc.steps)
def test_silence_is_a_timeout_of_that_message(name, roots, wallet, provider):
    pair = everything(name, roots, wallet, provider)
    pair.overrides[name] = lambda response, count: None
    outcome = pair.run()
    assert outcome.error is ErrorCode.TIMEOUT
    assert Iso2Evcc.steps[name].expects.__name__ in outcome.text
    assert not pair.vehicle.contactors


def everything(name, roots, wallet, provider):
    """Return a pair whose session comes to the step `name`."""
    acquisition = {'CertificateInstallation': Acquisition.INSTALL,
                   'CertificateUpdate': Acquisition.UPDATE}.get(name, Acquisition.NONE)
    bench = contract_bench(roots, NOW, certificate_service=True, receipt_interval=1.0)
    return Pair(bench, provider=provider, wallet=wallet, acquisition=acquisition,
                renegotiate_after=5, maximum_loops=40)


def test_timeouts_of_single_messages():
    timeouts = {name: step.timeout for name, step in Iso2Evcc.steps.items() if step.timeout != 2.0}
    assert timeouts == {
        'ServiceDetail': 5, 'CertificateInstallation': 5, 'CertificateUpdate': 5,
        'PaymentDetails': 5, 'PowerDelivery': 5, 'PowerDeliveryStop': 5,
        'PowerDeliveryRenegotiate': 5, 'CurrentDemand': 0.25}


def test_contract_is_not_forced_upon_a_station_without_it(wallet):
    outcome = Pair(wallet=wallet).run()
    assert outcome.error is ErrorCode.REFUSED
    assert 'Contract' in outcome.text


# Schedules


def test_schedule_with_the_most_energy_is_taken_and_kept():
    few = Schedule(1, (Step(0, 5e3), Step(7200, 50e3)))
    many = Schedule(2, (Step(0, 20e3), Step(2, 10e3)))
    pair = Pair(PairBench(schedules=(few, many)), maximum_loops=60)
    assert pair.run().error is ErrorCode.NONE
    start = pair.bodies(iso2.PowerDeliveryReq)[0]
    assert start.sa_schedule_tuple_id == 2
    assert [(entry.charging_profile_entry_start, float(entry.charging_profile_entry_max_power))
            for entry in start.charging_profile.profile_entry] == [(0, 20e3), (2, 10e3)]
    demands = [float(body.ev_target_current) * 380 for body in pair.bodies(iso2.CurrentDemandReq)]
    # The limit falls 2 s after it was agreed: cable check and pre-charge take longer.
    assert max(demands) == pytest.approx(10e3, rel=0.01)


# What the station and the driver want


def test_station_can_stop():
    pair = Pair()
    pair.run(until='CurrentDemand')
    assert pair.bench.secc.stop(StopWish(Urgency.NORMAL, 'closing time')) is None
    outcome = pair.run()
    assert outcome.error is ErrorCode.STOPPED_BY_STATION
    assert pair.names()[-3:] == LAST


def test_station_can_stop_at_once():
    pair = Pair()
    pair.run(until='CurrentDemand')
    assert pair.bench.secc.stop(StopWish(Urgency.IMMEDIATE, 'now')) is None
    assert pair.run().error in (ErrorCode.REFUSED, ErrorCode.EMERGENCY)
    assert not pair.vehicle.contactors


def test_station_can_renegotiate():
    pair = Pair(PairBench(renegotiation=True), maximum_loops=60)
    pair.run(until='CurrentDemand')
    pair.turn()
    pair.bench.secc.set_limits(OperatorLimits(maximum_power=7e3))
    assert pair.run().error is ErrorCode.NONE
    assert pair.engine.renegotiations == 1
    assert pair.names() == [*FIRST, *CHARGE, 'PowerDelivery', *CHARGE, *LAST]
    # The new schedule is kept, and the contactors have stayed closed in between.
    assert float(pair.bodies(iso2.CurrentDemandReq)[-10].ev_target_current) * 380 <= 7e3 * 1.01
    assert [wish.contactors for wish in pair.wishes] == [False, False, True, False, False]


def test_car_can_renegotiate():
    pair = Pair(renegotiate_after=5, maximum_loops=30)
    assert pair.run().error is ErrorCode.NONE
    assert pair.engine.renegotiations == 1
    progress = [body.charge_progress for body in pair.bodies(iso2.PowerDeliveryReq)]
    assert progress == [iso2.ChargeProgress.START, iso2.ChargeProgress.RENEGOTIATE,
                        iso2.ChargeProgress.START, iso2.ChargeProgress.STOP]
    # No current when the schedule is let go.
    names = [type(message.body).__name__ for message in pair.requests]
    before = pair.requests[names.index('PowerDeliveryReq', names.index('CurrentDemandReq')) - 1]
    assert float(before.body.ev_target_current) == 0


def test_car_pauses_and_resumes():
    bench = PairBench()
    pair = Pair(bench, pause_after=5)
    outcome = pair.run()
    assert (outcome.error, outcome.text) == (ErrorCode.NONE, 'paused')
    assert pair.requests[-1].body.charging_session is iso2.ChargingSession.PAUSE
    paused = pair.engine.paused
    assert paused.session_id == pair.engine.session_id
    bench.advance(10)
    again = Pair(bench, paused, maximum_loops=10, pause_after=5)
    assert again.run().error is ErrorCode.NONE
    assert again.engine.joined
    assert again.engine.session_id == paused.session_id
    assert again.bodies(iso2.SessionSetupRes)[0].response_code is Code.OK_OLD_SESSION_JOINED
    assert again.engine.schedule.number == paused.schedule
    assert again.requests[-1].body.charging_session is iso2.ChargingSession.TERMINATE


def test_station_that_has_forgotten_the_session_gets_a_new_one():
    bench = PairBench()
    pair = Pair(bench, pause_after=5)
    pair.run()
    again = Pair(PairBench(), pair.engine.paused, maximum_loops=5)
    assert again.run().error is ErrorCode.NONE
    assert not again.engine.joined
    assert again.engine.session_id != pair.engine.session_id


@settings(max_examples=30, deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(plan=st.dictionaries(st.sampled_from(list(Iso2Evcc.steps)), st.tuples(
    st.integers(1, 4), st.sampled_from(['silent', 'failed', 'emergency', 'shutdown', 'stop',
                                        'renegotiate', 'other'])), max_size=3),
       loops=st.integers(1, 15))
def test_whatever_the_station_does_the_car_ends_safe(roots, wallet, plan, loops):
    def override(at, what):
        def change(response, count):
            if count < at:
                return response
            if what == 'silent':
                return None
            if what == 'failed':
                return replace(response, body=replace(response.body, response_code=Code.FAILED))
            if what == 'other':
                return replace(response, body=iso2.SessionStopRes(response_code=Code.OK))
            return with_status(response, **{
                'emergency': {'evse_status_code': Status.EVSE_EMERGENCY_SHUTDOWN},
                'shutdown': {'evse_status_code': Status.EVSE_SHUTDOWN},
                'stop': {'evse_notification': iso2.EVSENotification.STOP_CHARGING},
                'renegotiate': {'evse_notification': iso2.EVSENotification.RE_NEGOTIATION},
            }[what])
        return change

    pair = Pair(contract_bench(roots, NOW, receipt_interval=1.0), wallet=wallet,
                maximum_loops=loops, renegotiate_after=4, pause_after=0)
    for name, (at, what) in plan.items():
        pair.overrides[name] = override(at, what)
    pair.run()
    assert pair.engine.wish == Wish(load='B')
    # Contactors only ever closed in state C.
    assert all(wish.load == 'C' for wish in pair.wishes if wish.contactors)
    assert pair.engine.deadline() is None
    assert pair.engine.advance(pair.bench.now + 1000, pair.vehicle) is None


def with_status(response, **fields):
    """Return a response whose station status, if it has one, is another."""
    for name in ('dc_evse_status', 'evse_status'):
        if (status := getattr(response.body, name, None)) is not None:
            return replace(response, body=replace(
                response.body, **{name: replace(status, **fields)}))
    return response


@pytest.mark.parametrize('name', ['CableCheck', 'PreCharge', 'CurrentDemand'])
def test_station_notifies_a_stop(name):
    pair = Pair()
    pair.overrides[name] = lambda response, count: with_status(
        response, evse_notification=iso2.EVSENotification.STOP_CHARGING)
    assert pair.run().error is ErrorCode.STOPPED_BY_STATION
    assert pair.names()[-1] == 'SessionStop'


# Plug & Charge


def test_whole_session_by_contract(roots, wallet):
    pair = Pair(contract_bench(roots, NOW), wallet=wallet, maximum_loops=10)
    assert pair.run().error is ErrorCode.NONE
    assert pair.names() == CONTRACT + CHARGE + LAST
    assert pair.bench.secc.session().authorization.name == 'CONTRACT'
    details, = pair.bodies(iso2.PaymentDetailsReq)
    assert details.emaid == wallet.contract.name
    first = pair.bodies(iso2.AuthorizationReq)[0]
    assert first.gen_challenge == pair.bodies(iso2.PaymentDetailsRes)[0].gen_challenge


def test_only_the_first_authorization_request_is_signed(roots, wallet):
    pair = Pair(contract_bench(
        roots, NOW, contract_payment=ContractPayment.SERVICE, automatic=False), wallet=wallet)
    for _ in range(200):
        pair.run(until='Authorization') if not pair.requests else pair.turn()
        if pair.counts['Authorization'] == 3:
            break
    signed = [message for message in pair.requests
              if isinstance(message.body, iso2.AuthorizationReq)]
    assert [message.header.signature is not None for message in signed] == [True, False, False]
    assert [message.body.gen_challenge is not None for message in signed] == [True, False, False]


def test_receipts_are_signed(roots, wallet):
    pair = Pair(contract_bench(roots, NOW, receipt_interval=1.0), wallet=wallet, maximum_loops=60)
    assert pair.run().error is ErrorCode.NONE
    receipts = pair.bodies(iso2.MeteringReceiptReq)
    assert len(receipts) >= 2
    told = [body.meter_info for body in pair.bodies(iso2.CurrentDemandRes)
            if body.receipt_required]
    assert [body.meter_info for body in receipts] == told
    assert receipts[0].session_id == pair.engine.session_id


def test_receipt_without_a_contract_is_refused():
    def ask(response, count):
        return replace(response, body=replace(response.body, receipt_required=True))
    pair = Pair()
    pair.overrides['CurrentDemand'] = ask
    outcome = pair.run()
    assert outcome.error is ErrorCode.REFUSED
    assert 'receipt' in outcome.text


@pytest.mark.parametrize(('acquisition', 'step'), [
    (Acquisition.INSTALL, 'CertificateInstallation'), (Acquisition.UPDATE, 'CertificateUpdate')])
def test_contract_is_acquired_and_used(lab, roots, provider, acquisition, step):
    had = '' if acquisition is Acquisition.INSTALL else 'contract'
    wallet = read_wallet(lab, NOW, had)
    bench = contract_bench(roots, NOW, certificate_service=True)
    pair = Pair(bench, provider=provider, wallet=wallet, acquisition=acquisition, maximum_loops=5)
    assert pair.run().error is ErrorCode.NONE
    assert pair.names() == ['SessionSetup', 'ServiceDiscovery', 'ServiceDetail',
                            'PaymentServiceSelection', step, *CONTRACT[3:], *CHARGE, *LAST]
    new = read_wallet(lab, NOW, 'contract_new').contract
    assert pair.engine.wallet.contract.chain == new.chain
    assert pair.engine.wallet.contract.key.private_numbers() == new.key.private_numbers()


SPOILED = {
    'eMAID': lambda body: replace(body, emaid=replace(body.emaid, value='DE8AA001234568')),
    'key': lambda body: replace(body, contract_signature_encrypted_private_key=replace(
        body.contract_signature_encrypted_private_key, value=bytes(48))),
    'dh': lambda body: replace(body, dh_public_key=replace(body.dh_public_key, value=bytes(65))),
    'contract': lambda body: replace(body, contract_signature_cert_chain=replace(
        body.contract_signature_cert_chain, sub_certificates=None)),
    'service': lambda body: replace(body, sa_provisioning_certificate_chain=replace(
        body.sa_provisioning_certificate_chain, sub_certificates=None)),
    'id': lambda body: replace(body, contract_signature_cert_chain=replace(
        body.contract_signature_cert_chain, id=None)),
    'ids': lambda body: replace(body, emaid=replace(body.emaid, id='id1')),
}


@pytest.mark.parametrize('name', SPOILED)
def test_spoiled_delivery_is_not_believed(lab, roots, provider, name):
    pair = Pair(
        contract_bench(roots, NOW, certificate_service=True), provider=provider,
        wallet=read_wallet(lab, NOW, ''), acquisition=Acquisition.INSTALL)
    pair.overrides['CertificateInstallation'] = lambda response, count: replace(
        response, body=SPOILED[name](response.body))
    outcome = pair.run()
    assert outcome.error is ErrorCode.REFUSED
    assert pair.engine.wallet.contract is None


def test_delivery_without_signature_is_not_believed(lab, roots, provider):
    pair = Pair(contract_bench(roots, NOW, certificate_service=True), provider=provider,
                wallet=read_wallet(lab, NOW, ''), acquisition=Acquisition.INSTALL)
    pair.overrides['CertificateInstallation'] = lambda response, count: replace(
        response, header=replace(response.header, signature=None))
    outcome = pair.run()
    assert outcome.error is ErrorCode.REFUSED
    assert 'not signed' in outcome.text


def test_delivery_of_a_foreign_service_is_not_believed(lab, roots, provider):
    pair = Pair(contract_bench(roots, NOW, certificate_service=True), provider=provider,
                wallet=read_wallet(lab, NOW, ''), acquisition=Acquisition.INSTALL)

    def forget_roots(response, count):
        pair.engine.wallet = replace(pair.engine.wallet, roots=())
        return response
    pair.overrides['CertificateInstallation'] = forget_roots
    outcome = pair.run()
    assert outcome.error is ErrorCode.REFUSED
    assert 'no trusted root' in outcome.text


def test_delivery_for_another_emaid_is_not_believed(lab, roots):
    """Properly signed: only the certificate tells that the contract is somebody else's."""
    made = read_provider(lab)
    made = replace(made, contract=replace(made.contract, name='DE8XX0012345678'))
    pair = Pair(contract_bench(roots, NOW, certificate_service=True),
                provider=lambda data: (made.answer(data, NOW), ''),
                wallet=read_wallet(lab, NOW, ''), acquisition=Acquisition.INSTALL)
    outcome = pair.run()
    assert outcome.error is ErrorCode.REFUSED
    assert 'eMAID is not that' in outcome.text


def test_keys_are_not_shown(wallet):
    text = repr(wallet)
    for number in (wallet.contract.key, wallet.provisioning.key):
        assert f'{number.private_numbers().private_value:x}' not in text
    assert 'PrivateKey' not in text


# Bad manners: what a good station does is what the station's own engine does.


def misbehave(text, pair):
    """Let the pair's car misbehave; return the outcome."""
    manners = misbehaviour.parse(text)

    def alter(step, message):
        deed = manners.due(step)
        if deed is None or deed.alter is None:
            return message
        return deed.alter(pair.engine, message, manners.value)
    pair.alter = alter
    return pair.run()


def manners_pair(kind, roots, wallet):
    """Return a pair whose session comes to where a misbehaviour happens."""
    if kind.name == 'contract_unoffered':
        return Pair(maximum_loops=20)
    return Pair(contract_bench(roots, NOW, receipt_interval=1.0), wallet=wallet, maximum_loops=40)


@pytest.mark.parametrize('name', [
    kind.name for kind in MISBEHAVIOURS.values()
    if kind.protocol == 'iso2' and kind.name != 'bad_contract'])
def test_misbehaviour_has_its_response_code(name, roots, wallet):
    kind = MISBEHAVIOURS[name]
    pair = manners_pair(kind, roots, wallet)
    outcome = misbehave(name, pair)
    assert outcome.error is ErrorCode.REFUSED
    assert outcome.text.endswith(f': {kind.station}')
    assert pair.engine.step == kind.step
    assert not pair.vehicle.contactors
    assert pair.bench.command.mode is Mode.OFF


@pytest.mark.parametrize('name', [
    'unsigned', 'wrong_signature', 'foreign_signature', 'wrong_digest', 'two_references',
    'double_reference', 'foreign_id', 'duplicate_id', 'extra_transform'])
def test_receipts_can_be_signed_as_badly(name, roots, wallet):
    pair = manners_pair(MISBEHAVIOURS[name], roots, wallet)
    outcome = misbehave(f'{name}:step=MeteringReceipt', pair)
    assert outcome.error is ErrorCode.REFUSED
    assert outcome.text.endswith('FAILED_MeteringSignatureNotValid')


def test_every_wrong_contract_is_refused(lab, roots, wallet):
    """Each fault of the laboratory, with the station's response code for it."""
    manifest = json.loads((lab / 'iso2' / 'manifest.json').read_text())
    faults = {entry['name']: entry for entry in manifest['wrong'] if entry['role'] == 'contract'}
    assert faults.keys() == wallet.wrong.keys()
    for name, fault in faults.items():
        trust = dict(roots)
        stem = lab / 'iso2' / 'wrong' / f'contract-{name}'
        if fault['needs_root']:
            root = parse_certificate(stem.with_name(f'{stem.name}.root.der').read_bytes())
            trust[RootKind.MO] = (*trust[RootKind.MO], root)
        bench = contract_bench(trust, NOW)
        if fault['needs_ocsp']:
            response = parse_ocsp(stem.with_name(f'{stem.name}.ocsp.der').read_bytes())
            bench.secc.set_trust(Trust(
                roots=trust, now=lambda: NOW, revocation=RevocationData((response,))))
        pair = Pair(bench, wallet=wallet)
        outcome = misbehave(f'bad_contract:fault={name}', pair)
        expected = CODES[VERDICTS[ChainResult[fault['expected']]]]
        assert outcome.error is ErrorCode.REFUSED, name
        assert outcome.text == f'PaymentDetailsRes: {expected.value}', name


def test_unknown_wrong_contract_is_named(roots, wallet):
    pair = manners_pair(MISBEHAVIOURS['bad_contract'], roots, wallet)
    with pytest.raises(Ended, match="no wrong contract 'blue'"):
        misbehave('bad_contract:fault=blue', pair)


@pytest.mark.parametrize('name', [
    'wrong_message', 'wrong_session_id', 'car_error', 'alternating_current', 'wrong_voltage',
    'wrong_current', 'pre_charge_current'])
def test_shared_misbehaviour_works_with_iso_15118_2_too(name):
    pair = Pair(maximum_loops=20)
    outcome = misbehave(name, pair)
    refused = {'wrong_message': 'FAILED_SequenceError', 'wrong_session_id': 'FAILED_UnknownSession',
               'car_error': 'FAILED', 'pre_charge_current': 'FAILED',
               'alternating_current': 'FAILED_WrongEnergyTransferMode'}
    if name in refused:
        assert outcome.error is ErrorCode.REFUSED
        assert outcome.text.endswith(refused[name])
    else:
        assert outcome.error in (ErrorCode.NONE, ErrorCode.POWER)
    assert not pair.vehicle.contactors
