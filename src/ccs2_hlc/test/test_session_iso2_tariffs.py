"""Sales tariffs by ISO 15118-2: what vehicles are told of prices, and who may rely on it."""

import json
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from iso2_bench import RENEGOTIATE, bring_to, charge_parameters, go_on, parameters, power_delivery
from pnc_lab import bring_to_authorization, contract, lab, prove

from ccs2_hlc import exi
from ccs2_hlc.exi.messages import iso2
from ccs2_hlc.session.contract import received_signature
from ccs2_hlc.session.iso2_tariffs import check_signature_of, sign_tariffs
from ccs2_hlc.session.schedules import Schedule, Step
from ccs2_hlc.session.tariffs import (
    Block,
    Levels,
    LevelStep,
    Prices,
    PriceStep,
    Tariffs,
    TariffSignature,
    read_tariffs,
)
from ccs2_pki.signatures import ISO2_SUITES, SignedElement, verify

R = iso2.ResponseCode
KIND = iso2.CostKind
RECORDING = Path(__file__).parents[4] / 'shared' / 'sessions' / (
    'dspace-iso-2-dc-salestariffschedule-risev2g-1.jsonl')

TWO = (
    Schedule(1, (Step(0, 50_000.0),)),
    Schedule(7, (Step(0, 10_000.0), Step(1800, 40_000.0))))
PRICES = Tariffs({
    1: Prices('EUR', 'deu', (PriceStep(0, 0.6), PriceStep(3600, 0.45)), 'at once'),
    7: Prices('EUR', 'deu', (PriceStep(0, 0.3),))})
LEVELS = Tariffs({
    1: Levels((LevelStep(0, 40), LevelStep(60, 9))), 7: Levels((LevelStep(0, 9),))})


def signer():
    return lab().issued['mo_sub2']


def signed(tariffs=PRICES, duration=86400, by=None):
    by = by or signer()
    return Tariffs(tariffs.each, sign_tariffs(tariffs, duration, by.key, by.certificate))


def offer(bench, departure=None, entries=None):
    """Return what the car is told: tariff by schedule, and the whole message."""
    answer = bench.ask(charge_parameters(
        limits=parameters(departure=departure), entries=entries))
    assert answer.response_code is R.OK
    tuples = answer.sa_schedules.sa_schedule_tuple
    return {item.sa_schedule_tuple_id: item.sales_tariff for item in tuples}, bench.last.message


def entries(tariff):
    return [
        (entry.time_interval.start, entry.time_interval.duration, entry.e_price_level, [
            (float(block.start_value), [(cost.cost_kind, cost.amount) for cost in block.cost])
            for block in entry.consumption_cost])
        for entry in tariff.sales_tariff_entry]


def external(**settings):
    return bring_to('PARAMETERS', schedules=TWO, **settings)


def by_contract(**settings):
    bench, challenge = bring_to_authorization(schedules=TWO, **settings)
    prove(bench, challenge)
    return bench


# Unsigned.

def test_prices_are_told_as_levels_and_shares_of_the_highest():
    told, message = offer(external(tariffs=PRICES))
    assert message.header.signature is None
    assert [(tariff.id, tariff.sales_tariff_id, tariff.num_e_price_levels,
             tariff.sales_tariff_description) for tariff in told.values()] == [
        (None, 1, 3, 'at once'), (None, 7, 3, None)]
    share = KIND.RELATIVE_PRICE_PERCENTAGE
    assert entries(told[1]) == [
        (0, None, 3, [(0.0, [(share, 100)])]), (3600, 82800, 2, [(0.0, [(share, 75)])])]
    assert entries(told[7]) == [(0, 86400, 1, [(0.0, [(share, 50)])])]


def test_levels_are_told_as_ranks_among_all():
    told, _ = offer(external(tariffs=LEVELS))
    assert [entries(told[number]) for number in (1, 7)] == [
        [(0, None, 2, []), (60, 86340, 1, [])], [(0, 86400, 1, [])]]
    assert {tariff.num_e_price_levels for tariff in told.values()} == {2}


def test_what_is_free_has_no_share():
    told, _ = offer(bring_to('PARAMETERS', tariffs=Tariffs({
        1: Prices('EUR', 'deu', (PriceStep(0, 0.0),))})))
    assert entries(told[1]) == [(0, 86400, 1, [])]


def test_blocks_are_told_as_they_are_and_completed_by_the_price():
    tariff = Prices('EUR', 'deu', (
        PriceStep(0, 0.5, (Block(0.0, None, 40, 311), Block(10_000.0, renewable=10))),
        PriceStep(60, 0.25, (Block(0.0, 70), Block(5_000.0, 100)))))
    told, _ = offer(bring_to('PARAMETERS', tariffs=Tariffs({1: tariff})))
    share, green, carbon = KIND
    assert [blocks for *_, blocks in entries(told[1])] == [
        [(0.0, [(share, 100), (green, 40), (carbon, 311)]), (10_000.0, [(green, 10)])],
        [(0.0, [(share, 70)]), (5_000.0, [(share, 100)])]]


def test_a_tariff_lasts_as_long_as_its_schedule():
    told, _ = offer(external(tariffs=PRICES), departure=7200)
    assert [entry[:2] for entry in entries(told[1])] == [(0, None), (3600, 3600)]
    assert [entry[:2] for entry in entries(told[7])] == [(0, 7200)]
    told, _ = offer(external(tariffs=PRICES), departure=1800)
    assert [entry[:2] for entry in entries(told[1])] == [(0, 1800)]
    # Longer than a message can tell at once: what is left comes with a renegotiation.
    told, _ = offer(external(tariffs=PRICES), departure=200_000)
    assert [entry[:2] for entry in entries(told[7])] == [(0, 86400)]


@pytest.mark.parametrize('tariffs', [PRICES, signed()], ids=['plain', 'signed'])
def test_a_car_that_stores_little_is_told_no_tariff_rather_than_a_part(tariffs):
    told, message = offer(external(tariffs=tariffs), entries=1)
    assert set(told.values()) == {None}
    assert message.header.signature is None
    told, _ = offer(external(tariffs=tariffs), entries=2)
    assert None not in told.values()


def test_without_a_tariff_nothing_is_told():
    told, message = offer(external())
    assert (set(told.values()), message.header.signature) == ({None}, None)


# Signed by a mobility operator.

def check(message, key):
    elements = [
        SignedElement(item.sales_tariff.id, exi.encode_fragment(
            'iso2', 'SalesTariff', item.sales_tariff))
        for item in message.body.sa_schedules.sa_schedule_tuple]
    return verify(
        received_signature('iso2', message.header.signature), elements, key, ISO2_SUITES)


@pytest.mark.parametrize('bring', [external, by_contract])
def test_a_signed_tariff_reaches_the_car_with_its_signature(bring):
    bench = bring(tariffs=signed())
    told, _ = offer(bench, departure=3600)
    # What is signed is not cut, whenever the car leaves.
    assert [entry[:2] for entry in entries(told[1])] == [(0, None), (3600, 82800)]
    message = exi.decode('iso2', bench.last.data)
    assert check(message, signer().certificate.public_key).accepted
    assert not check(message, contract().certificate.public_key).accepted
    # The next response is not signed by anybody, and a renegotiation brings it again.
    go_on(bench, 'CABLE_CHECK', 'CHARGING')
    assert bench.last.message.header.signature is None
    bench.ask(power_delivery(RENEGOTIATE))
    offer(bench)
    assert check(bench.last.message, signer().certificate.public_key).accepted


def test_who_pays_by_contract_gets_no_tariff_that_nobody_has_signed():
    told, _ = offer(by_contract(tariffs=PRICES))
    assert set(told.values()) == {None}


def test_a_contract_of_another_operator_gets_no_tariff_of_this_one():
    foreign = signed(by=lab().issued['oem_sub2'])
    told, message = offer(by_contract(tariffs=foreign))
    assert (set(told.values()), message.header.signature) == ({None}, None)
    # Who does not pay by contract cannot know the signer, and gets it.
    told, message = offer(external(tariffs=foreign))
    assert None not in told.values()
    assert message.header.signature is not None


def test_a_failed_response_carries_neither_tariff_nor_signature():
    bench = external(tariffs=signed())
    bench.safety_overrides = {'emergency_stop': True}
    bench.step()
    answer = bench.ask(charge_parameters())
    assert (answer.response_code, answer.sa_schedules) == (R.FAILED, None)
    assert bench.last.message.header.signature is None


LEVEL_STEPS = st.lists(
    st.tuples(st.integers(1, 80_000), st.integers(0, 255)), max_size=10,
    unique_by=lambda step: step[0])


@given(first=LEVEL_STEPS, second=LEVEL_STEPS, duration=st.integers(80_001, 86_400))
def test_whatever_is_signed_is_found_to_be_so(first, second, duration):
    tariffs = Tariffs({
        number: Levels(tuple(LevelStep(*step) for step in [(0, 7), *sorted(steps)]))
        for number, steps in ((1, first), (7, second))})
    assert check_signature_of(signed(tariffs, duration)).signature.duration == duration


def test_a_lone_signature_does_not_pass_for_another_tariff():
    signature = signed().signature
    with pytest.raises(ValueError, match='was changed after it was signed'):
        check_signature_of(Tariffs(LEVELS.each, TariffSignature(
            86400, signature.certificate, signature.digests, signature.value)))


@pytest.mark.skipif(not RECORDING.exists(), reason='recorded sessions are not beside this checkout')
def test_a_file_tells_what_a_recorded_station_has_told():
    frames = map(json.loads, RECORDING.read_text(encoding='utf-8').splitlines()[1:])
    (data,) = (
        frame['exi'] for frame in frames if frame.get('message') == 'ChargeParameterDiscoveryRes')
    (recorded,) = exi.decode('iso2', bytes.fromhex(data)).body.sa_schedules.sa_schedule_tuple
    document = yaml.safe_load("""
        description: Example from ISO 15118 Manual
        steps:
        - {start: 0, level: 3, blocks: [
            {power: 0, relative_price: 70, carbon_dioxide: 311},
            {power: 10000, relative_price: 100}]}
        - {start: 10800, level: 2, blocks: [{power: 0, relative_price: 60, carbon_dioxide: 287}]}
        - {start: 21600, level: 1, blocks: [{power: 0, relative_price: 35, carbon_dioxide: 211}]}
        - {start: 36000, level: 2, blocks: [{power: 0, relative_price: 45, carbon_dioxide: 287}]}
        - {start: 39600, level: 3, blocks: [
            {power: 0, relative_price: 70, carbon_dioxide: 311},
            {power: 10000, relative_price: 100}]}
        """)
    number = recorded.sa_schedule_tuple_id
    bench = bring_to(
        'PARAMETERS', schedules=(Schedule(number, (Step(0, 22_000.0),)),),
        tariffs=read_tariffs(document, [number]))
    told, _ = offer(bench, departure=43_200)
    assert entries(told[number]) == entries(recorded.sales_tariff)
    assert told[number].num_e_price_levels == recorded.sales_tariff.num_e_price_levels
    assert told[number].sales_tariff_description == recorded.sales_tariff.sales_tariff_description
