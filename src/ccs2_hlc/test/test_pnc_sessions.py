"""Plug & Charge by ISO 15118-2: contracts, challenges, signatures, receipts, the back office."""

import dataclasses
from datetime import timedelta

import pytest
from iso2_bench import (
    PAUSE,
    authorization,
    bring_to,
    current_demand,
    detail,
    discovery,
    go_on,
    installation,
    power_delivery,
    receipt,
    selection,
    session_stop,
    setup,
    update,
)
from pnc_lab import (
    CONTRACT,
    NOW,
    bring_to_authorization,
    bring_to_charging,
    bring_to_payment_details,
    chain_of,
    contract,
    delivery,
    expiring_soon,
    payment_details,
    pnc_bench,
    prove,
    seal,
    signature,
    signed_info,
    trust,
    wrong_contracts,
)
from test_session_iso2_codes import OF_CONTRACTS, ends_in_failure

from ccs2_hlc import exi
from ccs2_hlc.exi.messages import iso2, xmldsig
from ccs2_hlc.session.back_office import BackOfficeAction, BackOfficeRequest
from ccs2_hlc.session.contract import VERDICTS
from ccs2_hlc.session.iso2_codes import CODES
from ccs2_hlc.session.secc import Request
from ccs2_hlc.session.station import ContractPayment, Decision
from ccs2_hlc.session.transport import Security
from ccs2_hlc.session.triggers import CAUSES, Trigger
from ccs2_pki.chains import ChainResult, RevocationPolicy

R = iso2.ResponseCode
P = iso2.EVSEProcessing
EXTERNAL = iso2.PaymentOption.EXTERNAL_PAYMENT


def options(bench):
    bring_to('SERVICE_DISCOVERY', bench)
    return bench.ask(discovery()).payment_option_list.payment_option


# The offer.

def test_contracts_are_offered_over_tls_with_roots_only():
    assert options(pnc_bench()) == [CONTRACT, EXTERNAL]
    assert options(pnc_bench(security=Security.NONE)) == [EXTERNAL]
    assert options(pnc_bench(contract_payment=ContractPayment.OFF)) == [EXTERNAL]
    assert options(pnc_bench(trust=None)) == [EXTERNAL]
    assert options(pnc_bench(trust=dataclasses.replace(trust(), roots={}))) == [EXTERNAL]
    assert options(pnc_bench(trust=trust(now=None))) == [EXTERNAL]


def test_a_contract_cannot_be_selected_without_tls():
    bench = bring_to('SERVICES', pnc_bench(security=Security.NONE))
    ends_in_failure(
        bench, bench.ask(selection(CONTRACT)), R.FAILED_PAYMENT_SELECTION_INVALID)


def test_external_payment_is_still_possible():
    bench = bring_to('SERVICES', pnc_bench(automatic=True))
    bench.ask(selection(EXTERNAL))
    assert bench.ask(authorization()).evse_processing is P.FINISHED
    assert bench.secc.session().authorization.name == 'EXTERNAL'


def test_a_contract_charges_over_tls_1_3():
    bench, challenge = bring_to_authorization(security=Security.TLS_1_3)
    assert prove(bench, challenge).response_code is iso2.ResponseCode.OK


# A whole session.

def test_a_contract_charges_without_anybody_asked():
    bench = bring_to_payment_details()
    answer = bench.ask(payment_details())
    assert (answer.response_code, answer.evse_time_stamp) == (R.OK, 1_700_000_000)
    assert len(answer.gen_challenge) == 16
    assert any(answer.gen_challenge)
    answer = prove(bench, answer.gen_challenge)
    assert (answer.response_code, answer.evse_processing) == (R.OK, P.FINISHED)
    session = bench.secc.session()
    assert (session.authorization.name, session.authorized) == ('CONTRACT', True)
    assert session.contract_id == contract().certificate.common_name
    go_on(bench, 'PARAMETERS', 'ENDED')
    assert bench.stage == 'FINISHED'


def test_a_challenge_is_gone_once_it_was_used():
    bench, challenge = bring_to_authorization(contract_payment=ContractPayment.SERVICE)
    prove(bench, challenge)
    assert bench.secc._engine.challenge is None


def test_challenges_are_drawn_anew():
    assert bring_to_authorization()[1] != bring_to_authorization()[1]


# Chains.

def ask_with(wrong):
    bench = bring_to_payment_details(trust=trust(ocsp=wrong.ocsp, extra_root=wrong.extra_root))
    return bench, bench.ask(payment_details(list(wrong.chain)))


#: Written down a second time: what every wrong chain of the laboratory has to give.
EXPECTED = {
    'expired': R.FAILED_CERTIFICATE_EXPIRED,
    'not-yet-valid': R.FAILED_CERTIFICATE_EXPIRED,
    'revoked': R.FAILED_CERTIFICATE_REVOKED,
    'revoked-long-ago': R.FAILED_CERTIFICATE_REVOKED,
    'expired-sub-ca': R.FAILED_CERTIFICATE_NOT_ALLOWED_AT_THIS_EVSE,
    'not-yet-valid-sub-ca': R.FAILED_CERTIFICATE_NOT_ALLOWED_AT_THIS_EVSE,
    'expired-root': R.FAILED_CERTIFICATE_NOT_ALLOWED_AT_THIS_EVSE,
    'not-yet-valid-root': R.FAILED_CERTIFICATE_NOT_ALLOWED_AT_THIS_EVSE,
    'other-root': R.FAILED_NO_CERTIFICATE_AVAILABLE,
    'look-alike-letters': R.FAILED_NO_CERTIFICATE_AVAILABLE,
    'no-sub-cas': R.FAILED_NO_CERTIFICATE_AVAILABLE,
    'subject': R.FAILED_CERTIFICATE_NOT_ALLOWED_AT_THIS_EVSE,
    'key-usage': R.FAILED_CERTIFICATE_NOT_ALLOWED_AT_THIS_EVSE,
    'leaf-is-ca': R.FAILED_CERTIFICATE_NOT_ALLOWED_AT_THIS_EVSE,
    'sub-ca-key-usage': R.FAILED_CERTIFICATE_NOT_ALLOWED_AT_THIS_EVSE,
}


def fits(wrong):
    """Tell whether a message can carry the chain."""
    return len(wrong.chain) <= 5


@pytest.mark.parametrize('name', sorted(wrong_contracts()))
def test_every_wrong_chain_gives_its_code(name):
    wrong = wrong_contracts()[name]
    if not fits(wrong):
        bench = bring_to_payment_details()
        with pytest.raises(exi.ExiError):
            bench.send(payment_details(list(wrong.chain)))
        return
    bench, answer = ask_with(wrong)
    expected = EXPECTED.get(name, R.FAILED_CERT_CHAIN_ERROR)
    assert answer.gen_challenge == bytes(16)
    ends_in_failure(bench, answer, expected)
    session = bench.secc.session()
    assert not session.authorized
    assert [fault.code for fault in session.faults] == [705]
    # The next session works.
    bench.session_id = bytes(8)
    bench.secc.set_trust(trust())
    _, challenge = bring_to_authorization(bench)
    assert prove(bench, challenge).response_code is R.OK


def test_every_verdict_has_a_trigger_with_a_code():
    assert set(VERDICTS) == set(ChainResult)
    for result, trigger in VERDICTS.items():
        assert CODES[trigger].value.startswith('OK') is result.accepted


def test_a_certificate_that_expires_soon_is_told():
    bench = bring_to_payment_details(trust=expiring_soon())
    answer = bench.ask(payment_details())
    assert answer.response_code is R.OK_CERTIFICATE_EXPIRES_SOON
    assert prove(bench, answer.gen_challenge).response_code is R.OK


@pytest.mark.parametrize('doubt', ['clock', 'revocation', 'store'])
def test_what_cannot_be_checked_is_refused(doubt):
    bench = bring_to_payment_details()
    bench.secc.set_trust({
        'clock': trust(now=None), 'revocation': trust(revocation=RevocationPolicy.REQUIRED),
        'store': None}[doubt])
    answer = bench.ask(payment_details())
    session = bench.secc.session()
    cause = CAUSES[
        Trigger.CLOCK_NOT_TRUSTED if doubt == 'clock' else Trigger.CERTIFICATE_UNCHECKED]
    assert session.message.startswith(cause.text)
    assert [fault.code for fault in session.faults] == [507 if doubt == 'clock' else 705]
    ends_in_failure(bench, answer, R.FAILED)


def test_time_passes_for_certificates_too():
    bench = bring_to_payment_details(trust=trust(now=NOW + timedelta(days=800)))
    ends_in_failure(bench, bench.ask(payment_details()), R.FAILED_CERTIFICATE_EXPIRED)


def test_the_emaid_has_to_be_that_of_the_certificate():
    bench = bring_to_payment_details()
    answer = bench.ask(payment_details(emaid='DE8AA001234568'))
    ends_in_failure(bench, answer, R.FAILED_CERT_CHAIN_ERROR)
    bench = bring_to_payment_details()
    name = contract().certificate.common_name
    answer = bench.ask(payment_details(emaid=name.lower()))
    assert answer.response_code is R.OK
    # What others are told is the certificate's word.
    prove(bench, answer.gen_challenge)
    assert bench.secc.session().contract_id == name


# Challenge and signature.

def refuses(prepare, code):
    """Ask for authorization with what `prepare(challenge)` makes of it."""
    bench, challenge = bring_to_authorization()
    request, signed = prepare(challenge)
    answer = bench.ask(request, signature=signed)
    assert not bench.secc.session().authorized
    ends_in_failure(bench, answer, code)


def signed(request, key=None):
    return request, signature('AuthorizationReq', request, key)


@pytest.mark.parametrize('length', [None, 0, 15, 16, 17, 1000])
def test_a_wrong_challenge_is_refused(length):
    other = None if length is None else bytes(length)
    refuses(lambda challenge: (
        iso2.AuthorizationReq(id='id1', gen_challenge=other),
        signature('AuthorizationReq', authorization(challenge))), R.FAILED_CHALLENGE_INVALID)


def test_a_challenge_of_a_wrong_length_means_nothing_to_external_payment():
    bench = bring_to('AUTHORIZATION')
    assert bench.ask(iso2.AuthorizationReq(gen_challenge=b'1')).evse_processing is P.FINISHED


@pytest.mark.parametrize('index', [0, 1, 2])
def test_a_certificate_that_is_too_long_is_refused(index):
    ders = [c.der for c in contract().chain]
    ders[index] += bytes(801 - len(ders[index]))
    bench = bring_to_payment_details()
    ends_in_failure(bench, bench.ask(payment_details(ders)), R.FAILED_CERT_CHAIN_ERROR)


def test_a_challenge_of_another_session_is_refused():
    _, old = bring_to_authorization()
    refuses(lambda challenge: signed(authorization(old)), R.FAILED_CHALLENGE_INVALID)


@pytest.mark.parametrize('seconds', [39.9, 40.1])
def test_a_challenge_has_to_be_answered_in_time(seconds):
    bench, challenge = bring_to_authorization()
    bench.advance(seconds)
    answer = prove(bench, challenge)
    if seconds < 40.0:
        assert answer.response_code is R.OK
        return
    assert 'after 40 s' in bench.secc.session().message
    ends_in_failure(bench, answer, R.FAILED_CHALLENGE_INVALID)


def test_an_answer_is_worth_nothing_on_another_connection():
    bench, challenge = bring_to_authorization()
    request = authorization(challenge)
    signed_by = signature('AuthorizationReq', request)
    old = bench.session_id
    bench.close()
    bench.session_id = bytes(8)
    _, again = bring_to_authorization(bench)
    assert (again != challenge, bench.session_id != old) == (True, True)
    answer = bench.ask(request, signature=signed_by)
    ends_in_failure(bench, answer, R.FAILED_CHALLENGE_INVALID)


def test_an_answer_is_worth_nothing_when_the_session_is_joined():
    bench, challenge = bring_to_authorization()
    request = authorization(challenge)
    signed_by = signature('AuthorizationReq', request)
    bench.ask(request, signature=signed_by)
    go_on(bench, 'PARAMETERS', 'STOPPED')
    bench.ask(session_stop(PAUSE))
    bench.come_back()
    assert bench.ask(setup()).response_code is R.OK_OLD_SESSION_JOINED
    bench.ask(discovery())
    bench.ask(selection(CONTRACT))
    bench.ask(payment_details())
    ends_in_failure(
        bench, bench.ask(request, signature=signed_by), R.FAILED_CHALLENGE_INVALID)


@pytest.mark.parametrize('second', ['unsigned', 'right'])
def test_a_session_that_has_failed_its_proof_gets_no_second_try(second):
    bench, challenge = bring_to_authorization()
    right = authorization(challenge)
    assert bench.ask(authorization(bytes(16)), signature=signature(
        'AuthorizationReq', authorization(bytes(16)))).response_code is R.FAILED_CHALLENGE_INVALID
    answer = (
        bench.ask(authorization()) if second == 'unsigned'
        else bench.ask(right, signature=signature('AuthorizationReq', right)))
    assert answer.response_code.value.startswith('FAILED')
    assert not bench.secc.session().authorized
    assert bench.stage == 'FAILED'


def info_with(challenge, change):
    """Return a request and a signature over a SignedInfo that was changed before it was signed."""
    request = authorization(challenge)
    info = signed_info([('id1', 'AuthorizationReq', request)])
    change(info, request)
    return request, seal(info, contract().key)


def second_reference(info, request):
    info.reference = info.reference * 2


def other_element(info, request):
    stranger = iso2.EMAID(id='id2', value='DE8AA0012345670')
    info.reference = signed_info([('id2', 'eMAID', stranger)]).reference


def other_element_too(info, request):
    stranger = iso2.EMAID(id='id2', value='DE8AA0012345670')
    info.reference = info.reference + signed_info([('id2', 'eMAID', stranger)]).reference


def no_reference_uri(info, request):
    info.reference[0].uri = None


def whole_document(info, request):
    info.reference[0].uri = ''


def extra_transform(info, request):
    info.reference[0].transforms.transform.append(xmldsig.Transform(
        algorithm='http://www.w3.org/TR/1999/REC-xpath-19991116'))


def no_transform(info, request):
    info.reference[0].transforms = None


def xpath(info, request):
    info.reference[0].transforms.transform[0].xpath = ['/']


def other_digest(info, request):
    info.reference[0].digest_method.algorithm = 'http://www.w3.org/2000/09/xmldsig#sha1'


def wrong_digest(info, request):
    info.reference[0].digest_value = bytes(32)


def other_method(info, request):
    info.signature_method.algorithm = 'http://www.w3.org/2001/04/xmldsig-more#hmac-sha256'


def other_canonicalization(info, request):
    info.canonicalization_method.algorithm = 'http://www.w3.org/TR/2001/REC-xml-c14n-20010315'


def info_id(info, request):
    info.id = 'id1'


def reference_type(info, request):
    info.reference[0].type = 'http://www.w3.org/2000/09/xmldsig#Object'


def hmac_length(info, request):
    info.signature_method.hmac_output_length = 8


@pytest.mark.parametrize('change', [
    second_reference, other_element, other_element_too, no_reference_uri, whole_document,
    extra_transform, no_transform, xpath, other_digest, wrong_digest, other_method,
    other_canonicalization, info_id, reference_type, hmac_length], ids=lambda f: f.__name__)
def test_a_signature_that_means_something_else_is_refused(change):
    refuses(lambda challenge: info_with(challenge, change), R.FAILED_SIGNATURE_ERROR)


def test_a_signature_by_another_key_is_refused():
    refuses(lambda challenge: signed(authorization(challenge), contract('contract_new').key),
            R.FAILED_SIGNATURE_ERROR)


def test_a_missing_signature_is_refused():
    refuses(lambda challenge: (authorization(challenge), None), R.FAILED_SIGNATURE_ERROR)


def test_a_signed_request_needs_an_id():
    def without_id(challenge):
        request, signed_by = signed(authorization(challenge))
        return iso2.AuthorizationReq(gen_challenge=request.gen_challenge), signed_by
    refuses(without_id, R.FAILED_SIGNATURE_ERROR)


@pytest.mark.parametrize('value', [b'', bytes(64), bytes(63), bytes(65)])
def test_a_signature_value_has_64_octets_that_fit(value):
    def with_value(challenge):
        request, signed_by = signed(authorization(challenge))
        signed_by.signature_value.value = value
        return request, signed_by
    refuses(with_value, R.FAILED_SIGNATURE_ERROR)


def test_what_is_wrapped_into_the_signature_is_refused():
    def with_object(challenge):
        request, signed_by = signed(authorization(challenge))
        signed_by.signature_value.id = 'id1'
        return request, signed_by
    refuses(with_object, R.FAILED_SIGNATURE_ERROR)


@pytest.mark.parametrize('info', [
    xmldsig.KeyInfo(key_name=['contract']),
    xmldsig.KeyInfo(x509_data=[xmldsig.X509Data(x509_certificate=[b'\x30'])])])
def test_a_signature_names_no_key(info):
    def with_key(challenge):
        request, signed_by = signed(authorization(challenge))
        signed_by.key_info = info
        return request, signed_by
    refuses(with_key, R.FAILED_SIGNATURE_ERROR)


def test_signed_info_by_the_grammar_of_the_message_is_tolerated():
    bench, challenge = bring_to_authorization()
    request = authorization(challenge)
    info = signed_info([('id1', 'AuthorizationReq', request)])
    answer = bench.ask(request, signature=seal(info, contract().key, 'iso2'))
    assert answer.response_code is R.OK


# The back office decides, too.

def test_the_back_office_may_have_to_agree():
    bench, challenge = bring_to_authorization(contract_payment=ContractPayment.SERVICE)
    answer = prove(bench, challenge)
    assert (answer.response_code, answer.evse_processing) == (R.OK, P.ONGOING)
    # Later requests carry neither challenge nor signature.
    assert bench.ask(authorization()).evse_processing is P.ONGOING
    assert bench.secc.authorize(bench.session_id.hex(), 0.0, bench.now) is None
    assert bench.ask(authorization()).evse_processing is P.FINISHED


@pytest.mark.parametrize(('again', 'code'), [
    ('unsigned', R.OK), ('the same', R.OK), ('the challenge alone', R.OK),
    ('another challenge', R.FAILED_CHALLENGE_INVALID),
    ('a long challenge', R.FAILED_CHALLENGE_INVALID),
    ('another key', R.FAILED_SIGNATURE_ERROR), ('no id', R.FAILED_SIGNATURE_ERROR)])
def test_what_comes_with_a_later_request_has_to_be_right(again, code):
    bench, challenge = bring_to_authorization(contract_payment=ContractPayment.SERVICE)
    prove(bench, challenge)
    same = authorization(challenge)
    request, seal_ = {
        'unsigned': (authorization(), None),
        'the same': signed(same),
        'the challenge alone': (same, None),
        'another challenge': signed(authorization(bytes(16))),
        'a long challenge': (authorization(challenge + b'1'), signed(same)[1]),
        'another key': signed(same, contract('contract_new').key),
        'no id': (authorization(), signed(same)[1]),
    }[again]
    answer = bench.ask(request, signature=seal_)
    if code is R.OK:
        assert (answer.response_code, answer.evse_processing) == (R.OK, P.ONGOING)
    else:
        ends_in_failure(bench, answer, code)


def test_the_back_office_may_refuse():
    for payment in (ContractPayment.SERVICE, ContractPayment.LOCAL):
        bench, challenge = bring_to_authorization(contract_payment=payment)
        bench.secc.deny('')
        ends_in_failure(bench, prove(bench, challenge), R.FAILED)


def test_the_back_office_has_55_s():
    bench, challenge = bring_to_authorization(contract_payment=ContractPayment.SERVICE)
    began, answer = bench.now, prove(bench, challenge)
    while answer.response_code is R.OK:
        bench.advance(1.0)
        answer = bench.ask(authorization())
    assert 55.0 <= bench.now - began < 56.5
    ends_in_failure(bench, answer, CODES[Trigger.AUTHORIZATION_TIMEOUT])


def test_a_grant_does_not_replace_the_proof():
    bench, _ = bring_to_authorization(contract_payment=ContractPayment.SERVICE)
    bench.secc.authorize('', 0.0, bench.now)
    assert bench.secc.snapshot(bench.now).authorization is Decision.GRANTED
    ends_in_failure(bench, bench.ask(authorization()), R.FAILED_CHALLENGE_INVALID)


# Pause.

def test_a_joined_session_keeps_its_way_of_payment_and_proves_the_contract_again():
    bench, challenge = bring_to_authorization(contract_payment=ContractPayment.SERVICE)
    bench.secc.authorize('', 0.0, bench.now)
    prove(bench, challenge)
    go_on(bench, 'PARAMETERS', 'STOPPED')
    bench.ask(session_stop(PAUSE))
    bench.come_back()
    assert bench.ask(setup()).response_code is R.OK_OLD_SESSION_JOINED
    assert bench.ask(discovery()).payment_option_list.payment_option == [CONTRACT]
    bench.ask(selection(CONTRACT))
    again = bench.ask(payment_details()).gen_challenge
    assert again != challenge
    # The back office has agreed before.
    assert prove(bench, again).evse_processing is P.FINISHED


def test_a_contract_does_not_authorize_another_contract():
    bench, challenge = bring_to_authorization(contract_payment=ContractPayment.SERVICE)
    bench.secc.authorize('', 0.0, bench.now)
    prove(bench, challenge)
    go_on(bench, 'PARAMETERS', 'PAUSED')
    bench.come_back()
    assert bench.ask(setup()).response_code is R.OK_OLD_SESSION_JOINED
    bench.ask(discovery())
    bench.ask(selection(CONTRACT))
    other = contract('contract_second')
    answer = bench.ask(payment_details(
        [c.der for c in other.chain], other.certificate.common_name))
    request = authorization(answer.gen_challenge)
    answer = bench.ask(request, signature=signature('AuthorizationReq', request, other.key))
    assert (answer.response_code, answer.evse_processing) == (R.OK, P.ONGOING)
    assert bench.secc.session().contract_id == other.certificate.common_name
    # It may be granted as any other.
    assert bench.secc.authorize('', 0.0, bench.now) is None
    assert bench.ask(authorization()).evse_processing is P.FINISHED


def test_a_contract_does_not_authorize_another_way_of_payment():
    bench = bring_to_charging()
    go_on(bench, 'CHARGING', 'STOPPED')
    bench.ask(session_stop(PAUSE))
    bench.security = Security.NONE
    bench.come_back()
    assert bench.ask(setup()).response_code is R.OK_OLD_SESSION_JOINED
    assert bench.ask(discovery()).payment_option_list.payment_option == [EXTERNAL]
    bench.ask(selection(EXTERNAL))
    assert bench.ask(authorization()).evse_processing is (
        P.ONGOING_WAITING_FOR_CUSTOMER_INTERACTION)


# Receipts.

def reading(bench):
    """Charge until a receipt is wanted; return the reading."""
    for _ in range(20):
        answer = bench.ask(current_demand())
        if answer.receipt_required:
            return answer.meter_info
        bench.advance(1.0)
    raise AssertionError('no receipt wanted')


def test_a_receipt_is_asked_for_now_and_then():
    bench = bring_to_charging(receipt_interval=5.0)
    assert bench.ask(current_demand()).receipt_required is False
    for _ in range(2):
        began = bench.now
        request = receipt(bench.session_id, reading(bench))
        assert bench.now - began >= 4.0
        answer = bench.ask(request, signature=signature('MeteringReceiptReq', request))
        assert answer.response_code is R.OK
        assert answer.evse_status.evse_status_code is iso2.DCEVSEStatusCode.EVSE_READY
    assert bench.ask(power_delivery(iso2.ChargeProgress.STOP)).response_code is R.OK


def test_no_receipt_without_a_contract_or_a_meter_or_the_wish():
    bench = bring_to('CHARGING', receipt_interval=1.0)
    bench.advance(2.0)
    assert bench.ask(current_demand()).receipt_required is None
    bench = bring_to_charging()
    bench.advance(2.0)
    assert bench.ask(current_demand()).receipt_required is False
    bench = bring_to_charging(receipt_interval=1.0)
    bench.silent = {'meter'}
    bench.advance(4.0)
    assert bench.ask(current_demand()).receipt_required is False


@pytest.mark.parametrize('wrong', ['value', 'meter', 'session', 'key', 'unsigned', 'skipped'])
def test_a_wrong_receipt_is_refused(wrong):
    bench = bring_to_charging(receipt_interval=2.0)
    meter = reading(bench)
    if wrong == 'skipped':
        ends_in_failure(bench, bench.ask(current_demand()), R.FAILED_SEQUENCE_ERROR)
        return
    if wrong == 'value':
        meter.meter_reading -= 1
    elif wrong == 'meter':
        meter.meter_id = 'M2'
    request = receipt(bytes(8) if wrong == 'session' else bench.session_id, meter)
    key = contract('contract_new').key if wrong == 'key' else None
    answer = bench.ask(request, signature=None if wrong == 'unsigned' else signature(
        'MeteringReceiptReq', request, key))
    ends_in_failure(bench, answer, (
        R.FAILED_UNKNOWN_SESSION if wrong == 'session'
        else R.FAILED_METERING_SIGNATURE_NOT_VALID))


# Contract certificates from the back office.

INSTALL, UPDATE = (2, 1), (2, 2)


def bring_to_certificates(chosen=INSTALL, **settings):
    bench = bring_to('SERVICES', pnc_bench(certificate_service=True, **settings))
    bench.ask(selection(CONTRACT, services=((1, None), chosen)))
    return bench


def ask_back_office(bench, request):
    """Send a request; return what goes to the back office."""
    bench.act()
    bench.report()
    bench.sequence += 1
    data = exi.encode(iso2.V2GMessage(
        header=iso2.MessageHeader(session_id=bench.session_id), body=request))
    step = bench.secc.request(Request(
        connection_id=bench.connection.connection_id, sequence=bench.sequence,
        payload_type=0x8001, data=data), bench.now)
    (asked,) = [item for item in step if isinstance(item, BackOfficeRequest)]
    assert asked.data == data
    return asked


def answer_with(bench, asked, message, problem=''):
    data = b'' if message is None else (
        message if isinstance(message, bytes) else exi.encode(message))
    bench.keep(bench.secc.answered(asked.number, data, problem, bench.now))


def test_the_certificate_service_is_offered_and_described():
    bench = bring_to('SERVICE_DISCOVERY', pnc_bench(certificate_service=True))
    (service,) = bench.ask(discovery()).service_list.service
    assert (service.service_id, service.service_category) == (
        2, iso2.ServiceCategory.CONTRACT_CERTIFICATE)
    sets = bench.ask(detail(2)).service_parameter_list.parameter_set
    assert [(item.parameter_set_id, item.parameter[0].name, item.parameter[0].string_value)
            for item in sets] == [(1, 'Service', 'Installation'), (2, 'Service', 'Update')]


@pytest.mark.parametrize('settings', [{'security': Security.NONE}, {'certificate_service': False}])
def test_the_certificate_service_needs_tls_and_a_back_office(settings):
    bench = bring_to('SERVICE_DISCOVERY', pnc_bench(**({'certificate_service': True} | settings)))
    assert bench.ask(discovery()).service_list is None
    assert bench.ask(detail(2)).response_code is R.FAILED_SERVICE_ID_INVALID


@pytest.mark.parametrize(('chosen', 'request_', 'action', 'kind'), [
    (INSTALL, installation, BackOfficeAction.INSTALL, iso2.CertificateInstallationRes),
    ((2, None), installation, BackOfficeAction.INSTALL, iso2.CertificateInstallationRes),
    (UPDATE, update, BackOfficeAction.UPDATE, iso2.CertificateUpdateRes),
])
def test_what_the_back_office_sends_reaches_the_car_as_it_is(chosen, request_, action, kind):
    bench = bring_to_certificates(chosen)
    asked = ask_back_office(bench, request_())
    assert (asked.action, asked.time_budget) == (action, 4.5)
    assert asked.namespace == 'urn:iso:15118:2:2013:MsgDef'
    bench.advance(3.0)
    message = delivery(kind)
    before = len(bench.sent)
    answer_with(bench, asked, message)
    (sent,) = bench.sent[before:]
    told = exi.decode('iso2', sent.data)
    assert told.body == message.body
    assert told.header.signature == message.header.signature
    assert told.header.session_id == bench.session_id
    # The next response is not signed by anybody.
    challenge = bench.ask(payment_details()).gen_challenge
    assert bench.last.message.header.signature is None
    assert prove(bench, challenge).response_code is R.OK


def test_a_contract_that_is_there_needs_no_installation():
    bench = bring_to_certificates()
    assert bench.ask(payment_details()).response_code is R.OK


@pytest.mark.parametrize(('chosen', 'request_'), [(INSTALL, update), (UPDATE, installation)])
def test_only_the_service_that_was_selected_is_served(chosen, request_):
    bench = bring_to_certificates(chosen)
    ends_in_failure(bench, bench.ask(request_()), R.FAILED_SEQUENCE_ERROR)


def test_a_second_installation_is_out_of_sequence():
    bench = bring_to_certificates()
    answer_with(bench, ask_back_office(bench, installation()), delivery())
    ends_in_failure(bench, bench.ask(installation()), R.FAILED_SEQUENCE_ERROR)


def test_the_back_office_is_waited_for_4_5_s():
    bench = bring_to_certificates()
    asked = ask_back_office(bench, installation())
    began, before = bench.now, len(bench.sent)
    while len(bench.sent) == before:
        bench.step()
    assert 4.4 < bench.now - began < 4.7
    answer_with(bench, asked, delivery())
    assert len(bench.sent) == before + 1
    answer = bench.last.message.body
    assert bench.secc.session().message == CAUSES[Trigger.BACK_OFFICE_LATE].text
    ends_in_failure(bench, answer, CODES[Trigger.BACK_OFFICE_LATE])


BACK_OFFICE_SAYS = {
    R.FAILED_SIGNATURE_ERROR: Trigger.SIGNATURE,
    R.FAILED_CERTIFICATE_EXPIRED: Trigger.CERTIFICATE_EXPIRED,
    R.FAILED_CERTIFICATE_REVOKED: Trigger.CERTIFICATE_REVOKED,
    R.FAILED_CERT_CHAIN_ERROR: Trigger.CERTIFICATE_CHAIN,
    R.FAILED_CONTRACT_CANCELED: Trigger.CONTRACT_CANCELED,
    R.FAILED_NO_CERTIFICATE_AVAILABLE: Trigger.BACK_OFFICE_REFUSED,
}


@pytest.mark.parametrize('code', BACK_OFFICE_SAYS)
def test_a_refusal_of_the_back_office_is_passed_on(code):
    bench = bring_to_certificates(UPDATE)
    answer_with(bench, ask_back_office(bench, update()), delivery(
        iso2.CertificateUpdateRes, code))
    answer = bench.last.message.body
    assert isinstance(answer, iso2.CertificateUpdateRes)
    assert bench.secc.session().message.startswith(CAUSES[BACK_OFFICE_SAYS[code]].text)
    assert exi.decode('iso2', bench.last.data).body == answer
    ends_in_failure(bench, answer, code)


def unsigned():
    message = delivery()
    message.header.signature = None
    return message


@pytest.mark.parametrize(('message', 'problem'), [
    (None, 'no connection'),
    (b'', ''),
    (b'\x80\x98\xff\xff', ''),
    (unsigned, ''),
    (lambda: delivery(iso2.CertificateUpdateRes), ''),
    (lambda: delivery(code=R.FAILED), ''),
    (lambda: iso2.V2GMessage(header=iso2.MessageHeader(session_id=bytes(8)), body=None), ''),
])
def test_an_answer_that_is_none_is_told_as_no_certificate(message, problem):
    bench = bring_to_certificates()
    asked = ask_back_office(bench, installation())
    answer_with(bench, asked, message() if callable(message) else message, problem)
    ends_in_failure(
        bench, bench.last.message.body, R.FAILED_NO_CERTIFICATE_AVAILABLE)


def test_an_answer_to_an_earlier_request_is_dropped():
    bench = bring_to_certificates()
    old = ask_back_office(bench, installation())
    bench.close()
    bench.session_id = bytes(8)
    bring_to('SERVICES', bench)
    bench.ask(selection(CONTRACT, services=((1, None), INSTALL)))
    asked = ask_back_office(bench, installation())
    before = len(bench.sent)
    answer_with(bench, old, delivery())
    assert len(bench.sent) == before
    answer_with(bench, asked, delivery())
    assert bench.last.response_code == 'OK'


def test_an_emergency_does_not_wait_for_the_back_office():
    bench = bring_to_certificates()
    ask_back_office(bench, installation())
    bench.safety_overrides = {'emergency_stop': True}
    bench.step()
    ends_in_failure(bench, bench.last.message.body, R.FAILED)


def test_every_trigger_about_contracts_is_tested_here():
    told = set(VERDICTS.values()) | set(BACK_OFFICE_SAYS.values()) | {
        Trigger.CHALLENGE, Trigger.RECEIPT, Trigger.RECEIPT_SESSION, Trigger.BACK_OFFICE_LATE}
    assert told - {Trigger.ACCEPTED} == OF_CONTRACTS


def test_a_chain_may_come_with_its_root():
    bench = bring_to_payment_details()
    ders = [c.der for c in contract().chain] + [contract('mo_root').certificate.der]
    request = payment_details()
    request.contract_signature_cert_chain = chain_of(ders)
    assert bench.ask(request).response_code is R.OK
