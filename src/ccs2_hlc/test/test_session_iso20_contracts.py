"""Plug & Charge by ISO 15118-20: contracts, signatures, the back office, signed readings."""

import dataclasses
import functools
import os
from datetime import UTC, datetime, timedelta

import pytest
from iso20_bench import (
    EIM,
    FINISHED,
    METERING,
    NO_HEADER,
    ONGOING,
    PNC,
    Iso20Bench,
    authorization,
    authorization_setup,
    bring_to,
    confirmation,
    contract,
    discovery,
    installation,
    lead_to,
)
from test_session_iso2_codes import ends_in_failure
from test_session_iso20_codes import OF_CONTRACTS

from ccs2_hlc import exi
from ccs2_hlc.exi.messages import xmldsig
from ccs2_hlc.exi.messages.iso20 import common
from ccs2_hlc.session.back_office import BackOfficeAction, BackOfficeRequest
from ccs2_hlc.session.contract import Trust
from ccs2_hlc.session.iso20_codes import CODES
from ccs2_hlc.session.secc import Request
from ccs2_hlc.session.station import ContractPayment, Meter
from ccs2_hlc.session.transport import Action
from ccs2_hlc.session.triggers import Trigger
from ccs2_pki.chains import ChainPolicy
from ccs2_pki.lab.hierarchy import GENERATIONS, build
from ccs2_pki.lab.wrong import build_wrong
from ccs2_pki.profiles import Role, RootKind
from ccs2_pki.revocation import RevocationData, parse_ocsp
from ccs2_pki.signatures import SignedElement, make_references, sign, suite_of_key

C = common.ResponseCode
NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
P256, P521, ED448 = range(3)
CANONICAL = 'http://www.w3.org/TR/canonical-exi/'


@functools.cache
def hierarchy(generation):
    return build(GENERATIONS[generation], NOW)


def lab(generation=P521):
    return hierarchy(generation)


@functools.cache
def wrong_contracts():
    return {wrong.name: wrong for wrong in build_wrong(lab()) if wrong.role is Role.CONTRACT}


def trust(generation=P521, now=NOW, ocsp=(), extra_root=None, **policy):
    roots = dict(lab(generation).roots())
    if extra_root is not None:
        roots[RootKind.MO] += (extra_root.certificate,)
    return Trust(
        roots=roots, now=lambda: now,
        revocation=RevocationData(tuple(parse_ocsp(der) for der in ocsp), ()),
        policy=ChainPolicy(**policy))


def signature(name, element, key):
    suite = suite_of_key(key.public_key())
    (reference,) = make_references(
        [SignedElement(element.id, exi.encode_fragment(
            'iso20-common', name, element, validate=False))], suite)
    info = xmldsig.SignedInfo(
        canonicalization_method=xmldsig.CanonicalizationMethod(algorithm=CANONICAL),
        signature_method=xmldsig.SignatureMethod(algorithm=suite.signature_method),
        reference=[xmldsig.Reference(
            uri=reference.uri,
            transforms=xmldsig.Transforms(transform=[
                xmldsig.Transform(algorithm=transform) for transform in reference.transforms]),
            digest_method=xmldsig.DigestMethod(algorithm=reference.digest_method),
            digest_value=reference.digest_value)])
    return xmldsig.Signature(
        signed_info=info, signature_value=xmldsig.SignatureValue(
            value=sign(key, exi.encode_fragment('xmldsig', 'SignedInfo', info), suite)))


class Car:
    """A vehicle with a contract, and a station that trusts its root."""

    def __init__(self, generation=P521, **settings):
        self.contract = lab(generation).issued['contract']
        self.bench = bring_to('AUTHORIZATION_SETUP', Iso20Bench(**{
            'contract_payment': ContractPayment.LOCAL, 'trust': trust(generation),
            'automatic': False, 'certificate_service': True, **settings}))
        self.offer = self.bench.ask(authorization_setup())
        self.challenge = self.offer.pnc_as_res_authorization_mode.gen_challenge

    def prove(self, challenge=None, chain=None, key=None, **values):
        request = contract(
            self.challenge if challenge is None else challenge,
            [item.der for item in self.contract.chain] if chain is None else chain)
        sealed = signature(
            'PnC_AReqAuthorizationMode', request.pnc_a_req_authorization_mode,
            key or self.contract.key)
        return self.bench.ask(request, signature=sealed, **values)


def test_contracts_are_offered_with_roots_only():
    for settings in (
        {'contract_payment': ContractPayment.OFF}, {'trust': None},
        {'trust': dataclasses.replace(trust(), roots={})},
    ):
        bench = bring_to('AUTHORIZATION_SETUP', Iso20Bench(**{
            'contract_payment': ContractPayment.LOCAL, 'trust': trust(), **settings}))
        assert bench.ask(authorization_setup()).authorization_services == [EIM]
    car = Car()
    assert car.offer.authorization_services == [PNC, EIM]
    assert car.offer.certificate_installation_service
    assert car.challenge != Car().challenge


@pytest.mark.parametrize('providers', [(), ('DE8AA', 'DEABC')])
def test_providers_are_told_as_the_station_knows_them(providers):
    told = Car(supported_providers=providers).offer.pnc_as_res_authorization_mode
    assert (told.supported_providers is None) is (not providers)
    if providers:
        assert told.supported_providers.provider_id == list(providers)


@pytest.mark.parametrize('generation', [P521, ED448])
def test_a_contract_charges_without_anybody_asked(generation):
    car = Car(generation)
    answer = car.prove()
    assert (answer.response_code, answer.evse_processing) == (C.OK, FINISHED)
    session = car.bench.secc.session()
    assert (session.authorization.name, session.authorized) == ('CONTRACT', True)
    assert session.contract_id == car.contract.certificate.common_name
    assert car.bench.secc._engine.challenge is None
    lead_to('ENDED', car.bench, 'SERVICE_DISCOVERY')


def test_contracts_of_iso2_are_for_tests_only():
    assert Car(P256).prove().response_code.value.startswith('WARNING_')
    assert Car(P256, accept_p256=True).prove().response_code is C.OK


def test_external_payment_is_still_possible():
    car = Car(automatic=True)
    assert car.bench.ask(authorization()).evse_processing is FINISHED
    assert car.bench.secc.session().authorization.name == 'EXTERNAL'


def test_the_back_office_may_have_the_last_word():
    car = Car(contract_payment=ContractPayment.SERVICE)
    assert car.prove().evse_processing is ONGOING
    car.bench.advance(car.bench.station.timing.challenge)
    assert car.prove().evse_processing is ONGOING
    car.bench.secc.authorize('', 0.0, car.bench.now)
    assert car.prove().evse_processing is FINISHED
    car = Car(contract_payment=ContractPayment.SERVICE)
    car.prove()
    car.bench.secc.deny('')
    assert car.prove().response_code is CODES[Trigger.CONTRACT_DENIED]
    assert not car.bench.secc.session().authorized


@pytest.mark.parametrize('length', [0, 15, 16, 17])
def test_a_wrong_challenge_is_warned_of_and_the_right_one_still_counts(length):
    car = Car()
    request = contract(bytes(length), [item.der for item in car.contract.chain])
    assert car.bench.ask(request).response_code is C.WARNING_CHALLENGE_INVALID
    assert not car.bench.secc.session().authorized
    assert car.prove().response_code is C.OK


def test_a_challenge_is_answered_soon_or_not_at_all():
    car = Car()
    car.bench.advance(car.bench.station.timing.challenge - 0.5)
    assert car.prove(challenge=bytes(16)).response_code is C.WARNING_CHALLENGE_INVALID
    car.bench.advance(1.0)
    assert car.prove().response_code is C.WARNING_CHALLENGE_INVALID
    assert 'after 40 s' in car.bench.secc.session().message
    # It may be paid otherwise; then nothing is wrong any more.
    car.bench.secc.authorize('', 0.0, car.bench.now)
    assert car.bench.ask(authorization()).evse_processing is FINISHED
    assert car.bench.secc.session().message == ''


def test_what_is_not_the_proof_is_checked_while_the_back_office_decides():
    for chain, code in ((None, C.WARNING_CHALLENGE_INVALID), ([b'x', b'y'], None)):
        car = Car(contract_payment=ContractPayment.SERVICE)
        car.prove()
        car.bench.secc.authorize('', 0.0, car.bench.now)
        answer = car.prove(challenge=bytes(16) if code else None, chain=chain)
        assert answer.response_code is (code or C.WARNING_CERTIFICATE_VALIDATION_ERROR)
        session = car.bench.secc.session()
        assert (session.authorized, session.contract_id) == (False, '')


def denied(contract_payment=ContractPayment.SERVICE):
    car = Car(contract_payment=contract_payment)
    assert car.prove().evse_processing is ONGOING
    car.bench.secc.deny('')
    assert car.prove().response_code is CODES[Trigger.CONTRACT_DENIED]
    return car


def test_a_car_whose_contract_is_denied_may_pay_otherwise():
    car = denied()
    assert car.bench.ask(authorization()).response_code is C.OK
    assert car.bench.secc.session().contract_id == ''
    # A contract that was denied stays so.
    assert car.prove().response_code is CODES[Trigger.CONTRACT_DENIED]
    assert car.bench.ask(authorization()).response_code is C.OK
    assert car.bench.secc.authorize('', 0.0, car.bench.now) is None
    assert car.bench.ask(authorization()).evse_processing is FINISHED
    session = car.bench.secc.session()
    assert (session.authorized, session.contract_id) == (True, '')


def test_a_car_that_is_denied_may_prove_its_contract():
    car = Car()
    car.bench.ask(authorization())
    car.bench.secc.deny('')
    assert car.bench.ask(authorization()).response_code is CODES[Trigger.AUTHORIZATION_DENIED]
    assert car.prove().evse_processing is FINISHED


def test_a_denial_that_comes_while_the_car_changes_its_mind_is_for_good():
    car = Car(contract_payment=ContractPayment.SERVICE)
    car.prove()
    car.bench.secc.deny('')
    for ask in (lambda: car.bench.ask(authorization()), car.prove):
        assert ask().response_code.value.startswith('WARNING')
    assert 'denied' in car.bench.secc.authorize('', 0.0, car.bench.now)


def test_a_grant_is_for_what_waits_for_it():
    car = Car(contract_payment=ContractPayment.SERVICE)
    car.bench.ask(authorization())
    car.bench.secc.authorize('', 0.0, car.bench.now)
    assert car.prove().evse_processing is ONGOING


def test_each_way_to_pay_has_its_own_time():
    car = Car(contract_payment=ContractPayment.SERVICE, authorization_timeout=100.0)
    car.prove()
    car.bench.advance(50.0)
    for _ in range(9):
        assert car.bench.ask(authorization()).response_code is C.OK
        car.bench.advance(10.0)


@pytest.mark.parametrize('fault', ['key', 'none', 'other element'])
@pytest.mark.parametrize('proven', [False, True])
def test_a_wrong_signature_ends_the_session(fault, proven):
    car = Car(contract_payment=ContractPayment.SERVICE)
    if proven:
        car.prove()
    if fault == 'key':
        answer = car.prove(key=lab().issued['cps'].key)
    else:
        request = contract(car.challenge, [item.der for item in car.contract.chain])
        other = contract(bytes(16), [item.der for item in car.contract.chain])
        answer = car.bench.ask(request, signature=None if fault == 'none' else signature(
            'PnC_AReqAuthorizationMode', other.pnc_a_req_authorization_mode, car.contract.key))
    ends_in_failure(car.bench, answer, C.FAILED_SIGNATURE_ERROR)


#: Written down a second time: what every wrong chain of the laboratory has to give.
EXPECTED = {
    'expired': C.WARNING_CERTIFICATE_EXPIRED,
    'not-yet-valid': C.WARNING_CERTIFICATE_NOT_YET_VALID,
    'revoked': C.WARNING_CERTIFICATE_REVOKED,
    'revoked-long-ago': C.WARNING_CERTIFICATE_REVOKED,
    'other-root': C.WARNING_E_MSP_UNKNOWN,
    'look-alike-letters': C.WARNING_E_MSP_UNKNOWN,
    'no-sub-cas': C.WARNING_E_MSP_UNKNOWN,
    'subject': C.WARNING_GENERAL_PNC_AUTHORIZATION_ERROR,
    'key-usage': C.WARNING_GENERAL_PNC_AUTHORIZATION_ERROR,
    'leaf-is-ca': C.WARNING_GENERAL_PNC_AUTHORIZATION_ERROR,
    'sub-ca-key-usage': C.WARNING_GENERAL_PNC_AUTHORIZATION_ERROR,
}


def fits(wrong):
    """Tell whether a message can carry the chain."""
    return 2 <= len(wrong.chain) <= 4


@pytest.mark.parametrize('name', sorted(wrong_contracts()))
def test_every_wrong_chain_gives_its_warning(name):
    wrong = wrong_contracts()[name]
    car = Car(trust=trust(ocsp=wrong.ocsp, extra_root=wrong.extra_root))
    if not fits(wrong):
        with pytest.raises(exi.ExiError):
            car.prove(chain=list(wrong.chain) or [b''])
        return
    answer = car.prove(chain=list(wrong.chain))
    assert answer.response_code is EXPECTED.get(name, C.WARNING_CERTIFICATE_VALIDATION_ERROR)
    assert (answer.evse_processing, car.bench.last.action) == (FINISHED, Action.SEND)
    assert not car.bench.secc.session().authorized
    # The car may try another contract in this session.
    car.bench.secc.set_trust(trust())
    assert car.prove().response_code is C.OK


def test_a_certificate_that_expires_soon_is_told():
    car = Car(trust=trust(expires_soon=timedelta(days=4000)))
    assert car.prove().response_code is C.OK_CERTIFICATE_EXPIRES_SOON


def test_what_cannot_be_checked_is_not_accepted():
    for doubtful in (trust(now=None), None):
        car = Car()
        car.bench.secc.set_trust(doubtful)
        assert car.prove().response_code is C.WARNING_GENERAL_PNC_AUTHORIZATION_ERROR


# Contract certificates for the vehicle.

def delivery(code=C.OK, signed=True):
    """Return what a back office sends: signed, though nobody here could read the key."""
    of = lab().issued
    leaf, *below = [item.der for item in of['contract'].chain]
    provider, *above = [item.der for item in of['cps'].chain]
    data = common.SignedInstallationData(
        id='id1',
        contract_certificate_chain=common.ContractCertificateChain(
            certificate=leaf, sub_certificates=common.SubCertificates(certificate=below)),
        ecdh_curve=common.ECDHCurve.SECP521, dh_public_key=os.urandom(133),
        secp521_encrypted_private_key=os.urandom(94))
    return common.CertificateInstallationRes(
        header=common.MessageHeader(
            session_id=bytes(8), time_stamp=0,
            signature=signature('SignedInstallationData', data, of['cps'].key)
            if signed else None),
        response_code=code, evse_processing=FINISHED,
        cps_certificate_chain=common.CertificateChain(
            certificate=provider, sub_certificates=common.SubCertificates(certificate=above)),
        signed_installation_data=data, remaining_contract_certificate_chains=0)


def ask_back_office(car):
    """Send the request; return what goes to the back office."""
    request = installation()
    request.header = common.MessageHeader(
        session_id=car.bench.session_id, time_stamp=1_700_000_000)
    car.bench.sequence += 1
    step = car.bench.secc.request(Request(
        connection_id=car.bench.connection.connection_id, sequence=car.bench.sequence,
        payload_type=0x8002, data=exi.encode(request)), car.bench.now)
    car.bench.keep(step)
    (wanted,) = [item for item in step if isinstance(item, BackOfficeRequest)]
    assert (wanted.action, wanted.data) == (BackOfficeAction.INSTALL, exi.encode(request))
    assert 'iso:15118:-20' in wanted.namespace
    return wanted


def answer_of(car, message=None, problem=''):
    wanted = ask_back_office(car)
    car.bench.keep(car.bench.secc.answered(
        wanted.number, b'' if message is None else exi.encode(message), problem, car.bench.now))
    return car.bench.ask(installation())


def test_a_contract_certificate_is_passed_through_as_it_is():
    car, made = Car(), delivery()
    wanted = ask_back_office(car)
    assert car.bench.last.message.evse_processing is ONGOING
    assert car.bench.ask(installation()).evse_processing is ONGOING
    car.bench.keep(car.bench.secc.answered(wanted.number, exi.encode(made), '', car.bench.now))
    answer = car.bench.ask(installation())
    assert answer.response_code is C.OK
    assert answer.signed_installation_data == made.signed_installation_data
    assert answer.header.signature == made.header.signature
    assert answer.header.session_id == car.bench.session_id
    # Another one, and then the contract itself.
    ask_back_office(car)
    assert car.prove().response_code is C.OK


@pytest.mark.parametrize(('message', 'problem', 'code'), [
    (None, 'nobody there', C.WARNING_NO_CERTIFICATE_AVAILABLE),
    (delivery(signed=False), '', C.WARNING_NO_CERTIFICATE_AVAILABLE),
    (delivery(C.WARNING_NO_CONTRACT_MATCHING_PCID_FOUND), '',
     C.WARNING_NO_CONTRACT_MATCHING_PCID_FOUND),
    (delivery(C.FAILED), '', C.WARNING_NO_CERTIFICATE_AVAILABLE),
    (common.SessionStopRes(header=NO_HEADER, response_code=C.OK), '',
     C.WARNING_NO_CERTIFICATE_AVAILABLE)], ids=['none', 'unsigned', 'refused', 'failed', 'other'])
def test_without_a_certificate_the_session_goes_on(message, problem, code):
    car = Car(automatic=True)
    assert answer_of(car, message, problem).response_code is code
    assert car.bench.ask(authorization()).response_code is C.OK


def test_the_back_offices_verdict_on_the_signature_ends_the_session():
    car = Car()
    answer = answer_of(car, delivery(C.FAILED_SIGNATURE_ERROR))
    ends_in_failure(car.bench, answer, C.FAILED_SIGNATURE_ERROR)


def test_a_back_office_that_says_nothing_is_not_waited_for_for_ever():
    car = Car()
    ask_back_office(car)
    began = car.bench.now
    while (answer := car.bench.ask(installation())).evse_processing is ONGOING:
        car.bench.advance(1.0)
    assert answer.response_code is C.WARNING_NO_CERTIFICATE_AVAILABLE
    assert 54.0 < car.bench.now - began < 57.0
    # The challenge has not become old by that.
    assert car.prove().response_code is C.OK


# Signed meter readings.

def charging(**settings):
    car = Car(receipt_interval=10.0, **settings)
    car.prove()
    lead_to('CHARGING', car.bench, 'SERVICE_DISCOVERY')
    return car


def wait_for_wish(car):
    for _ in range(60):
        answer = car.bench.ask(car.bench.charge_loop())
        if answer.evse_status is not None:
            assert answer.evse_status.evse_notification.value == 'MeteringConfirmation'
            return answer.meter_info
        car.bench.advance(0.25)
    raise AssertionError('no confirmation is wanted')


def confirm(car, info, **faults):
    request = confirmation(
        faults.get('session_id', car.bench.session_id),
        dataclasses.replace(info, **faults.get('change', {})),
        faults.get('schedule', 0 if car.bench.dynamic else 1))
    sealed = signature(
        'SignedMeteringData', request.signed_metering_data,
        faults.get('key', car.contract.key))
    return car.bench.ask(
        request, signature=sealed, payload_type=faults.get('payload_type', METERING))


@pytest.mark.parametrize('payload_type', [METERING, 0x8002])
def test_a_reading_is_confirmed_beside_the_charge_loop(payload_type):
    car = charging()
    info = wait_for_wish(car)
    assert confirm(car, info, payload_type=payload_type).response_code is C.OK
    assert car.bench.last.payload_type == payload_type
    assert car.bench.last.receive_timeout == 0.5
    answer = car.bench.ask(car.bench.charge_loop())
    assert (answer.response_code, answer.evse_status) == (C.OK, None)
    wait_for_wish(car)


@pytest.mark.parametrize('settings', [{}, {'service': 6}, {'dynamic': True}])
def test_any_reading_is_confirmed_that_was_told_since_the_wish(settings):
    car = charging(**settings)
    first = wait_for_wish(car)
    for _ in range(5):
        car.bench.advance(0.4)
        last = car.bench.ask(car.bench.charge_loop()).meter_info
    assert last != first
    assert confirm(car, first).response_code is C.OK
    # Once is enough.
    assert confirm(car, last).response_code is C.FAILED_SEQUENCE_ERROR


def test_no_confirmation_is_wanted_without_a_reading():
    car = charging()
    car.bench.silent.add('meter')
    for _ in range(60):
        car.bench.secc.observe(Meter(meter_id='M1'), car.bench.now)
        assert car.bench.ask(car.bench.charge_loop(metered=True)).evse_status is None
        car.bench.advance(0.25)


@pytest.mark.parametrize(('fault', 'code'), [
    ({'change': {'charged_energy_reading_wh': 1}}, C.FAILED_METERING_SIGNATURE_NOT_VALID),
    ({'change': {'bpt_discharged_energy_reading_wh': 9}}, C.FAILED_METERING_SIGNATURE_NOT_VALID),
    ({'change': {'meter_timestamp': 9}}, C.FAILED_METERING_SIGNATURE_NOT_VALID),
    ({'schedule': 2}, C.FAILED_METERING_SIGNATURE_NOT_VALID),
    ({'schedule': 0}, C.FAILED_METERING_SIGNATURE_NOT_VALID),
    ({'session_id': bytes(8)}, C.FAILED_UNKNOWN_SESSION),
    ({'key': None}, C.FAILED_METERING_SIGNATURE_NOT_VALID)])
def test_a_wrong_confirmation_ends_the_session(fault, code):
    car = charging()
    if 'key' in fault:
        fault = {'key': lab().issued['cps'].key}
    ends_in_failure(car.bench, confirm(car, wait_for_wish(car), **fault), code)


def test_readings_are_confirmed_by_contracts_only():
    bench = bring_to('CHARGING', receipt_interval=1.0)
    for _ in range(8):
        assert bench.ask(bench.charge_loop()).evse_status is None
        bench.advance(0.25)


def test_every_trigger_of_contracts_is_tested_here():
    tested = {CODES[trigger] for trigger in OF_CONTRACTS}
    assert tested <= set(EXPECTED.values()) | {
        C.WARNING_CERTIFICATE_VALIDATION_ERROR, C.WARNING_CHALLENGE_INVALID,
        C.WARNING_NO_CERTIFICATE_AVAILABLE, C.WARNING_NO_CONTRACT_MATCHING_PCID_FOUND,
        C.OK_CERTIFICATE_EXPIRES_SOON, C.FAILED_SIGNATURE_ERROR, C.FAILED_UNKNOWN_SESSION,
        C.FAILED_METERING_SIGNATURE_NOT_VALID}


def test_discovery_needs_the_authorization():
    car = Car()
    car.prove(challenge=bytes(16))
    ends_in_failure(car.bench, car.bench.ask(discovery()), C.FAILED_SEQUENCE_ERROR)
