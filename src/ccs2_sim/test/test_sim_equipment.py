"""What a car takes along: certificates, TLS and contracts by the words of its parameters."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448

from ccs2_link.transport.sdp import SdpSecurity, parse_request
from ccs2_sim import car_cli
from ccs2_sim.car.equipment import Equipment, NewWishes
from ccs2_sim.car.session import Session
from ccs2_sim.car.vehicle import ImaginedVehicle
from ccs2_sim.car.visit import Visit
from ccs2_sim.evcc.outcome import ErrorCode
from ccs2_sim.evcc.vehicle import Acquisition, CarSettings, Transfer

NOW = datetime.now(UTC)


def test_nothing_is_needed_without_tls_and_contract():
    visit = Visit()
    assert Equipment().applied(visit, NOW) == visit


def test_tls_as_the_protocol_has_it(lab):
    tls = Equipment(tls='1.2', pki=str(lab), staple=True).applied(Visit(), NOW).tls
    assert (tls.vehicle, tls.staple, tls.now) == (None, True, NOW)
    assert {root.common_name for root in tls.roots} == {'V2G Root A', 'V2G Root B'}
    plan = Equipment(tls='1.3', pki=str(lab), mode='bpt').applied(Visit(), NOW)
    newer = plan.tls
    assert plan.settings.vehicle_id == newer.vehicle.name
    assert plan.settings.transfer is Transfer.BPT
    assert newer.vehicle.name == 'CC2LABVEHICLE0001'
    assert {root.fingerprint for root in newer.roots}.isdisjoint(
        root.fingerprint for root in tls.roots)


@pytest.mark.parametrize(('acquisition', 'has_contract'), [
    ('', True), ('update', True), ('install', False)])
def test_contract_and_how_the_car_comes_to_it(lab, acquisition, has_contract):
    settings = Equipment(
        authorization='pnc', tls='1.2', pki=str(lab), acquisition=acquisition,
    ).applied(Visit(), NOW).settings
    assert (settings.wallet.contract is not None) is has_contract
    assert settings.acquisition is Acquisition(acquisition)
    assert 'revoked' in settings.wallet.wrong


@pytest.mark.parametrize(('keys', 'kind'), [
    ('p521', ec.EllipticCurvePrivateKey), ('ed448', ed448.Ed448PrivateKey)])
def test_contracts_of_iso_15118_20_and_both_kinds_of_keys(lab, keys, kind):
    plan = Equipment(
        authorization='pnc', tls='1.3', pki=str(lab), keys=keys,
        contract='contract,contract_second').applied(Visit(), NOW)
    wallet = plan.settings.wallet
    assert [contract.name for contract in (wallet.contract, *wallet.others)] == [
        'DE8AA0012345670', 'DE8AA007654321' + wallet.others[0].name[-1]]
    for credential in (wallet.contract, wallet.provisioning, plan.tls.vehicle):
        assert isinstance(credential.key, kind)
    assert {'revoked', 'expired'} <= set(wallet.wrong)
    assert 'other-root' in wallet.wrong_provisioning


def test_wishes_of_iso_15118_20_reach_the_car():
    settings = NewWishes(
        eim_fallback=True, most_contracts=3, preferred_contracts='DE1,DE2', standby_after=7,
        standby_time=2.0, change_after=9, next_mode='dynamic', renegotiates_aside=True,
        checks_in=True, shares_needs=True).applied(CarSettings())
    assert settings.next_transfer is Transfer.DYNAMIC
    assert settings.preferred_contracts == ('DE1', 'DE2')
    assert (settings.standby_after, settings.change_after, settings.most_contracts) == (7, 9, 3)
    assert NewWishes().applied(CarSettings()) == CarSettings()


@pytest.mark.parametrize(('wishes', 'problem'), [
    ({'most_contracts': 0}, 'most_contracts is 0'), ({'most_contracts': 256}, 'must be 1 to 255'),
    ({'preferred_contracts': ','.join('ABCDEFGHI')}, 'preferred_contracts are 9'),
    ({'next_mode': 'backwards'}, "next_mode is 'backwards'")])
def test_wishes_that_make_no_sense_are_named(wishes, problem):
    with pytest.raises(ValueError, match=problem):
        NewWishes(**wishes).applied(CarSettings())


@pytest.mark.parametrize(('words', 'problem'), [
    ({'tls': '1.2'}, 'need the parameter pki'), ({'authorization': 'pnc'}, 'parameter pki'),
    ({'tls': '1.1'}, "tls is '1.1'"), ({'authorization': 'cash'}, "authorization is 'cash'"),
    ({'mode': 'both'}, "mode is 'both'"),
    ({'tls': '1.3', 'acquisition': 'update'}, 'acquisition is update'),
    ({'tls': '1.3', 'acquisition': 'install', 'keys': 'ed448'}, 'p521 only'),
    ({'keys': 'rsa'}, "keys is 'rsa'"),
    ({'acquisition': 'steal'}, "acquisition is 'steal'"),
    ({'tls': '1.2', 'pki': '/none'}, 'laboratory /none'),
    ({'authorization': 'pnc', 'contract': 'other'}, 'other')])
def test_what_does_not_fit_is_named(lab, words, problem):
    words = {'pki': str(lab), **words} if 'contract' in words else words
    with pytest.raises(ValueError, match=problem):
        Equipment(**words).applied(Visit(), NOW)


def test_command_line_names_it_too(capsys):
    with pytest.raises(SystemExit) as error:
        car_cli.main(['--protocol', 'iso2', '--tls', '1.2'])
    assert error.value.code == 2
    assert 'pki' in capsys.readouterr().err


async def visit(server, **changes):
    plan = replace(Visit(
        sdp_port=server.sdp_port, settings=CarSettings(maximum_loops=3, loop_period=0.005)),
        **changes)
    return await Session(plan, ImaginedVehicle()).run()


async def test_station_without_tls_is_left(station_server, lab):
    tls = Equipment(tls='1.2', pki=str(lab)).applied(Visit(), NOW).tls
    result = await visit(station_server, tls=tls)
    assert result.outcome.error is ErrorCode.CONNECTION
    assert 'NONE' in result.outcome.text
    assert parse_request(station_server.datagrams[0]) is SdpSecurity.TLS
    assert station_server.octets == 0


async def test_station_without_tls_is_good_enough_if_told_so(station_server, lab):
    tls = Equipment(tls='1.2', pki=str(lab)).applied(Visit(), NOW).tls
    result = await visit(station_server, tls=tls, falls_back=True)
    assert result.outcome.error is ErrorCode.NONE
    assert result.notes == ('the station has no TLS; the car goes on without',)
    assert result.protocol == 'din'


async def test_station_that_speaks_no_tls_on_its_tls_port_is_left(
        station_server, lab, monkeypatch):
    monkeypatch.setattr('ccs2_sim.car.link.CONNECT_TIMEOUT', 0.3)
    station_server.offers = SdpSecurity.TLS
    tls = Equipment(tls='1.2', pki=str(lab)).applied(Visit(), NOW).tls
    result = await visit(station_server, tls=tls, falls_back=True)
    assert result.outcome.error is ErrorCode.CONNECTION
    assert result.outcome.text == 'cannot connect: not within 0.3 s'


def test_keys_are_not_in_what_a_car_shows(lab):
    paying = Equipment(authorization='pnc', tls='1.2', pki=str(lab)).applied(Visit(), NOW)
    newest = Equipment(tls='1.3', pki=str(lab)).applied(Visit(), NOW)
    text = repr((paying, newest))
    for key in (paying.settings.wallet.contract.key, newest.tls.vehicle.key):
        number = key.private_numbers().private_value
        assert f'{number}' not in text
        assert f'{number:x}' not in text
    assert 'PrivateKey' not in text
