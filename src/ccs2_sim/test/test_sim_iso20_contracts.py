"""Plug & Charge by ISO 15118-20 from the car's side: paying, installing, confirming readings."""

import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

sys.path.insert(0, str(Path(__file__).parent))

from iso20_pair import Pair20, contract_bench

from ccs2_hlc import exi
from ccs2_hlc.exi.messages.iso20 import common
from ccs2_hlc.session.contract import Trust
from ccs2_link.transport.v2gtp import PayloadType
from ccs2_pki.profiles import RootKind
from ccs2_sim.evcc import iso20_wallet
from ccs2_sim.evcc.outcome import ErrorCode
from ccs2_sim.evcc.vehicle import Acquisition, Transfer
from ccs2_sim.evcc.wallet import Credential
from ccs2_sim.lab import GENERATION_20, read_named, read_wallet
from ccs2_sim.provisioning import Refusal
from ccs2_sim.provisioning20 import read_provider20

NOW = datetime.now(UTC)
Code = common.ResponseCode
ED448 = f'{GENERATION_20}-ed448'
INSTALL = Acquisition.INSTALL


@pytest.fixture
def provider(lab):
    made = read_provider20(lab)
    return lambda data: made.answer(data, NOW)


def wallet(lab, contract='contract', generation=GENERATION_20):
    return read_wallet(lab, NOW, contract, generation)


def spoiled(lab, *faults, contract='contract_second'):
    """Return a wallet whose first contracts have these faults, with a right one behind them."""
    right = wallet(lab, contract)
    contracts = [*(right.wrong[fault] for fault in faults), *filter(None, [right.contract])]
    return replace(right, contract=contracts[0], others=tuple(contracts[1:]))


def pair(lab, provider=None, generation=GENERATION_20, settings=None, **wishes):
    return Pair20(
        contract_bench(lab, RootKind, NOW, generation, **settings or {}), provider=provider, **{
            'wallet': wallet(lab, generation=generation), 'maximum_loops': 5, **wishes})


def codes(made, kind):
    return [body.response_code for body in made.bodies(kind)]


# Paying.

@pytest.mark.parametrize('transfer', Transfer)
@pytest.mark.parametrize('generation', [GENERATION_20, ED448])
def test_the_car_pays_by_its_contract(lab, generation, transfer):
    made = pair(lab, generation=generation, transfer=transfer)
    assert made.run().error is ErrorCode.NONE
    assert codes(made, common.AuthorizationRes) == [Code.OK]
    session = made.bench.secc.session()
    assert (session.authorization.name, session.authorized) == ('CONTRACT', True)
    assert session.contract_id == made.settings.wallet.contract.name
    assert made.engine.remarks == []


def test_a_station_without_contracts_is_left(lab):
    made = pair(lab, settings={'trust': Trust(roots={}, now=lambda: NOW)})
    outcome = made.run()
    assert outcome.error is ErrorCode.REFUSED
    assert 'EIM' in outcome.text


def test_somebody_else_pays_if_the_driver_lets_it(lab):
    made = pair(lab, eim_fallback=True, settings={
        'trust': Trust(roots={}, now=lambda: NOW), 'automatic': True})
    assert made.run().error is ErrorCode.NONE
    assert made.bench.secc.session().authorization.name == 'EXTERNAL'


def test_another_contract_is_tried_after_a_warning(lab):
    made = pair(lab, wallet=spoiled(lab, 'expired', 'other-root'))
    assert made.run().error is ErrorCode.NONE
    assert codes(made, common.AuthorizationRes) == [
        Code.WARNING_CERTIFICATE_EXPIRED, Code.WARNING_E_MSP_UNKNOWN, Code.OK]
    assert made.engine.contract.name == wallet(lab, 'contract_second').contract.name
    assert made.engine.remarks == [
        'AuthorizationRes: WARNING_CertificateExpired', 'AuthorizationRes: WARNING_eMSPUnknown']


def test_a_new_contract_is_installed_after_a_warning(lab, provider):
    made = pair(lab, provider, wallet=spoiled(lab, 'expired', contract=''))
    assert made.run().error is ErrorCode.NONE
    assert codes(made, common.AuthorizationRes) == [Code.WARNING_CERTIFICATE_EXPIRED, Code.OK]
    assert made.engine.contract.chain == read_named(lab, 'contract_new', GENERATION_20).chain


def test_the_last_way_to_pay_is_somebody_else(lab):
    made = pair(lab, wallet=spoiled(lab, 'expired', contract=''), eim_fallback=True, settings={
        'automatic': True, 'certificate_service': False})
    assert made.run().error is ErrorCode.NONE
    assert made.bench.secc.session().authorization.name == 'EXTERNAL'


def test_a_car_that_cannot_pay_ends_the_session_in_good_order(lab):
    made = pair(lab, wallet=spoiled(lab, 'expired', contract=''), settings={
        'certificate_service': False})
    outcome = made.run()
    assert (outcome.error, outcome.text) == (
        ErrorCode.REFUSED, 'AuthorizationRes: WARNING_CertificateExpired')
    assert made.steps()[-2:] == ['Authorization', 'SessionStop(Terminate)']
    assert made.bench.stage == 'FINISHED'


def test_a_denied_car_ends_the_session_in_good_order():
    made = Pair20(maximum_loops=5)
    made.run(until='Authorization')
    made.bench.secc.deny('')
    outcome = made.run()
    assert outcome.error is ErrorCode.REFUSED
    assert 'EIMAuthorizationFailure' in outcome.text
    assert made.bench.stage == 'FINISHED'


@pytest.mark.parametrize(('providers', 'first'), [
    ((), 'contract'), (('DE8AA007',), 'contract_second'), (('de-8AA',), 'contract'),
    (('DE-XYZ',), 'contract')])
def test_contracts_that_the_station_serves_are_tried_first(lab, providers, first):
    made = pair(lab, wallet=wallet(lab, 'contract,contract_second'), settings={
        'supported_providers': providers})
    assert made.run().error is ErrorCode.NONE
    assert made.engine.contract.chain == read_named(lab, first, GENERATION_20).chain


# Installing.

def test_a_contract_is_installed_and_pays_in_the_same_session(lab, provider):
    made = pair(lab, provider, wallet=wallet(lab, ''), acquisition=INSTALL)
    assert made.run().error is ErrorCode.NONE
    assert made.steps()[1:4] == [
        'AuthorizationSetup', 'CertificateInstallation', 'Authorization']
    # The first request is for the back office, the second for its answer.
    assert [body.evse_processing.value for body in made.bodies(
        common.CertificateInstallationRes)] == ['Ongoing', 'Finished']
    own = read_named(lab, 'contract_new', GENERATION_20)
    assert made.engine.contract.chain == own.chain
    assert made.engine.contract.key.private_numbers() == own.key.private_numbers()
    assert made.bench.secc.session().contract_id == own.name


@pytest.mark.parametrize('preferred', ['contract_new', 'contract_second'])
def test_several_contracts_come_one_by_one_the_preferred_first(lab, provider, preferred):
    names = {name: read_named(lab, name, GENERATION_20).name
             for name in ('contract_new', 'contract_second')}
    made = pair(lab, provider, wallet=wallet(lab, ''), acquisition=INSTALL, most_contracts=3,
                preferred_contracts=('DE8XXC123456789', names[preferred].lower()))
    assert made.run().error is ErrorCode.NONE
    assert [contract.name for contract in made.engine.installed] == [
        names[preferred], *(name for name in names.values() if name != names[preferred])]
    remaining = [
        body.remaining_contract_certificate_chains
        for body in made.bodies(common.CertificateInstallationRes)
        if body.evse_processing is common.Processing.FINISHED]
    assert remaining == [1, 0]
    assert made.bench.secc.session().contract_id == names[preferred]


def test_no_more_contracts_are_installed_than_the_car_has_room_for(lab, provider):
    made = pair(lab, provider, wallet=wallet(lab, ''), acquisition=INSTALL, most_contracts=1)
    made.run()
    assert len(made.engine.installed) == 1
    assert made.bodies(common.CertificateInstallationRes)[-1] \
        .remaining_contract_certificate_chains == 0


PROVISIONING = {
    'expired': Code.WARNING_CERTIFICATE_EXPIRED,
    'expired-sub-ca': Code.WARNING_CERTIFICATE_EXPIRED,
    'not-yet-valid': Code.WARNING_CERTIFICATE_NOT_YET_VALID,
    'other-root': Code.WARNING_CERTIFICATE_VALIDATION_ERROR,
    'vehicle-usage': Code.WARNING_CERTIFICATE_VALIDATION_ERROR,
    'changed': Code.WARNING_CERTIFICATE_VALIDATION_ERROR,
    'garbage': Code.WARNING_CERTIFICATE_VALIDATION_ERROR,
    'key-usage': Code.WARNING_CERTIFICATE_VALIDATION_ERROR,
}


@pytest.mark.parametrize('fault', PROVISIONING)
def test_a_wrong_provisioning_certificate_gets_its_warning(lab, provider, fault):
    own = wallet(lab)
    own = replace(own, provisioning=own.wrong_provisioning[fault])
    made = pair(lab, provider, wallet=own, acquisition=INSTALL)
    # It pays with the contract that it has.
    assert made.run().error is ErrorCode.NONE
    assert codes(made, common.CertificateInstallationRes)[-1] is PROVISIONING[fault]
    assert made.engine.remarks == [f'CertificateInstallationRes: {PROVISIONING[fault].value}']


def request(lab, **changes):
    """Return a CertificateInstallationReq of a right car, and that car's credential."""
    own = wallet(lab)
    leaf, *below = own.provisioning.chain
    made = common.CertificateInstallationReq(
        header=common.MessageHeader(session_id=bytes(8), time_stamp=0),
        oem_provisioning_certificate_chain=common.SignedCertificateChain(
            id='id1', certificate=leaf,
            sub_certificates=common.SubCertificates(certificate=below)),
        list_of_root_certificate_ids=common.ListOfRootCertificateIDs(root_certificate_id=[
            common.xmldsig.X509IssuerSerial(
                x509_issuer_name=root.issuer, x509_serial_number=root.serial)
            for root in own.roots]),
        maximum_contract_certificate_chains=1)
    return replace(made, **changes), own.provisioning


def answer(made, message, signer):
    """Return the response of a provider, which may be one of refusal."""
    data = exi.encode(iso20_wallet.signed(message, signer))
    try:
        response = made.answer(data, NOW)
    except Refusal as refusal:
        response = refusal.response
    return exi.decode('iso20-common', response)


def test_the_back_office_names_what_is_wrong(lab):
    made = read_provider20(lab)
    message, car = request(lab)
    right = answer(made, message, car)
    assert right.response_code is Code.OK
    foreign = replace(car, key=ec.generate_private_key(ec.SECP521R1()))
    assert answer(made, message, foreign).response_code is Code.FAILED_SIGNATURE_ERROR
    unsigned = answer(made, message, Credential('', (), foreign.key))
    assert unsigned.response_code is Code.FAILED_SIGNATURE_ERROR
    unknown = replace(made, customers={})
    assert answer(unknown, message, car).response_code is (
        Code.WARNING_NO_CONTRACT_MATCHING_PCID_FOUND)
    message, car = request(lab, list_of_root_certificate_ids=common.ListOfRootCertificateIDs(
        root_certificate_id=[common.xmldsig.X509IssuerSerial(
            x509_issuer_name='CN=Other', x509_serial_number=1)]))
    assert answer(made, message, car).response_code is Code.WARNING_NO_CERTIFICATE_AVAILABLE
    for wrong in (b'\x80\x98', exi.encode(common.SessionStopReq(
            header=message.header, charging_session=common.ChargingSession.TERMINATE))):
        with pytest.raises(Refusal) as refusal:
            made.answer(wrong, NOW)
        assert refusal.value.response == b''


def test_a_wrong_signature_ends_the_session(lab, provider):
    own = wallet(lab, '')
    foreign = replace(own.provisioning, key=ec.generate_private_key(ec.SECP521R1()))
    made = pair(
        lab, provider, wallet=replace(own, provisioning=foreign), acquisition=INSTALL)
    outcome = made.run()
    assert outcome.error is ErrorCode.REFUSED
    assert 'FAILED_SignatureError' in outcome.text
    assert made.bench.stage == 'FAILED'


def test_without_a_back_office_the_car_pays_otherwise(lab):
    made = pair(lab, acquisition=INSTALL)
    assert made.run().error is ErrorCode.NONE
    assert codes(made, common.CertificateInstallationRes)[-1] is (
        Code.WARNING_NO_CERTIFICATE_AVAILABLE)


def data_of(response, **changes):
    return replace(
        response, signed_installation_data=replace(response.signed_installation_data, **changes))


SPOILED = {
    'key': lambda response: data_of(response, secp521_encrypted_private_key=bytes(94)),
    'point': lambda response: data_of(response, dh_public_key=bytes(133)),
    'id': lambda response: data_of(response, id='id2'),
    'curve': lambda response: data_of(
        response, secp521_encrypted_private_key=None, x448_encrypted_private_key=bytes(84)),
    'service': lambda response: replace(response, cps_certificate_chain=replace(
        response.cps_certificate_chain, sub_certificates=None)),
    'unsigned': lambda response: replace(
        response, header=replace(response.header, signature=None)),
}


@pytest.mark.parametrize('name', SPOILED)
def test_a_spoiled_delivery_is_not_believed(lab, provider, name):
    made = pair(lab, provider, wallet=wallet(lab, ''), acquisition=INSTALL)
    made.overrides['CertificateInstallation'] = lambda response, count: (
        SPOILED[name](response) if count == 2 else response)
    assert made.run().error is ErrorCode.REFUSED
    assert made.engine.installed == []
    assert made.engine.wallet.contract is None


def test_a_delivery_for_another_car_is_not_believed(lab):
    """Rightly signed and encrypted, but bound to another provisioning certificate."""
    made = read_provider20(lab)
    message, car = request(lab)
    right = answer(made, message, car)
    own = wallet(lab, '')
    contract = iso20_wallet.accept_contract(right, own, car)
    assert contract.chain == read_named(lab, 'contract_new', GENERATION_20).chain
    with pytest.raises(iso20_wallet.Mistrust, match='another car'):
        iso20_wallet.accept_contract(right, own, replace(car, name='CC2LAB0000000000B2'))
    with pytest.raises(iso20_wallet.Mistrust, match='no trusted root'):
        iso20_wallet.accept_contract(right, replace(own, roots=()), car)


# Confirming readings, and coming back.

@pytest.mark.parametrize('transfer', Transfer)
def test_readings_are_confirmed_on_their_own_stream(lab, transfer):
    made = pair(lab, transfer=transfer, maximum_loops=20, settings={'receipt_interval': 0.5})
    assert made.run().error is ErrorCode.NONE
    confirmed = made.bodies(common.MeteringConfirmationReq)
    assert len(confirmed) > 1
    assert codes(made, common.MeteringConfirmationRes) == [Code.OK] * len(confirmed)
    assert made.engine.payload_type(confirmed[0]) == PayloadType.ISO20_METERING_CONFIRMATION
    data = confirmed[0].signed_metering_data
    assert (data.scheduled_smdt_control_mode is None) is transfer.dynamic


def test_a_car_without_a_contract_confirms_nothing(lab):
    made = pair(lab, wallet=None, maximum_loops=20, settings={
        'receipt_interval': 0.5, 'automatic': True})
    made.overrides['DC_ChargeLoop'] = lambda response, count: replace(
        response, evse_status=common.EVSEStatus(
            notification_max_delay=0,
            evse_notification=common.EVSENotification.METERING_CONFIRMATION))
    assert made.run().error is ErrorCode.NONE
    assert made.bodies(common.MeteringConfirmationReq) == []


def test_a_contract_still_pays_after_a_pause(lab):
    made = pair(lab, pause_after=3, settings={'receipt_interval': 0.5})
    assert made.run().text == 'paused'
    made.bench.advance(10)
    again = Pair20(made.bench, made.engine.paused, wallet=wallet(lab), maximum_loops=20)
    assert again.run().error is ErrorCode.NONE
    assert again.engine.joined
    assert 'Authorization' not in again.names()
    assert again.bodies(common.MeteringConfirmationReq)
    assert again.bench.secc.session().contract_id == made.engine.contract.name


def test_keys_are_not_shown(lab):
    own = wallet(lab)
    made = read_provider20(lab)
    text = repr((own, made, made.service))
    for credential in (own.contract, own.provisioning, made.service):
        assert str(credential.key.private_numbers().private_value) not in text
    assert 'PrivateKey' not in text
