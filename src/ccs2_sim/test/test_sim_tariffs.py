"""Which tariffs the car believes, and which schedule it takes for them."""

import json
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from iso2_pair import Pair, PairBench, contract_bench

from ccs2_hlc import exi
from ccs2_hlc.exi.messages import iso2
from ccs2_hlc.session.iso2_tariffs import sign_tariffs
from ccs2_hlc.session.schedules import Schedule as Offered
from ccs2_hlc.session.schedules import Step
from ccs2_hlc.session.tariffs import Levels, LevelStep, Prices, PriceStep, Tariffs
from ccs2_pki.keys import parse_private_key
from ccs2_pki.lab.directory import read_certificate
from ccs2_sim.evcc.outcome import ErrorCode
from ccs2_sim.evcc.schedule import HORIZON, Schedule, choose
from ccs2_sim.evcc.tariffs import believed
from ccs2_sim.evcc.wallet import Mistrust

NOW = datetime.now(UTC)
RECORDING = Path(__file__).parents[4] / 'shared' / 'sessions' / (
    'skoda-enyaq-v3-0-iso2-ac-josev-1.jsonl')
#: The dear one gives more; the car wants 0.3 of 200 MJ, which both give within an hour.
TWO = (Offered(1, (Step(0, 60_000.0),)), Offered(7, (Step(0, 20_000.0),)))
PRICES = Tariffs({
    1: Prices('EUR', 'deu', (PriceStep(0, 0.6),)),
    7: Prices('EUR', 'deu', (PriceStep(0, 0.3), PriceStep(7200, 0.9)))})


def signed(lab, tariffs=PRICES, by='mo_sub2'):
    key = parse_private_key((lab / 'iso2' / 'keys' / f'{by}.pem').read_bytes())
    return Tariffs(tariffs.each, sign_tariffs(
        tariffs, 86400, key, read_certificate(lab, 'iso2', by)))


def chosen(pair):
    assert pair.run().error is ErrorCode.NONE
    return pair.bodies(iso2.PowerDeliveryReq)[0].sa_schedule_tuple_id


# Sessions.

def test_without_prices_the_car_takes_what_gives_most():
    assert chosen(Pair(PairBench(schedules=TWO), maximum_loops=3)) == 1


@pytest.mark.parametrize('sign', [False, True])
def test_who_does_not_pay_by_contract_takes_the_cheaper_one(lab, sign):
    bench = PairBench(schedules=TWO, tariffs=signed(lab) if sign else PRICES)
    assert chosen(Pair(bench, maximum_loops=3)) == 7


def test_who_pays_by_contract_believes_the_operator_of_the_contract(lab, roots, wallet):
    bench = contract_bench(roots, NOW, schedules=TWO, tariffs=signed(lab))
    pair = Pair(bench, wallet=wallet, maximum_loops=20, renegotiate_after=5)
    assert chosen(pair) == 7
    assert len(pair.bodies(iso2.ChargeParameterDiscoveryRes)) == 2


def test_dear_energy_is_taken_where_the_cheap_one_is_not_enough():
    pair = Pair(PairBench(schedules=TWO, tariffs=PRICES), maximum_loops=3,
                target_state_of_charge=0.9)
    # 0.4 of 200 MJ is more than 20 kW give in an hour.
    assert chosen(pair) == 1


def tamper(response, count):
    """Change a price after it was signed."""
    tuples = response.body.sa_schedules.sa_schedule_tuple
    entry = tuples[0].sales_tariff.sales_tariff_entry[0]
    entry.e_price_level = 1
    return response


def unsign(response, count):
    return replace(response, header=replace(response.header, signature=None))


def without_ids(response, count):
    for item in response.body.sa_schedules.sa_schedule_tuple:
        item.sales_tariff.id = None
    return response


def leave_one_out(response, count):
    response.body.sa_schedules.sa_schedule_tuple[1].sales_tariff = None
    return response


@pytest.mark.parametrize('by_contract', [False, True])
@pytest.mark.parametrize(('change', 'reason'), [
    (tamper, 'a signed element was changed'), (without_ids, 'has no Id'),
    (leave_one_out, 'not exactly one Reference')])
def test_a_tariff_that_was_changed_ends_the_session(
        lab, roots, wallet, by_contract, change, reason):
    pair = (
        Pair(contract_bench(roots, NOW, schedules=TWO, tariffs=signed(lab)), wallet=wallet)
        if by_contract else Pair(PairBench(schedules=TWO, tariffs=signed(lab))))
    pair.overrides['ChargeParameterDiscovery'] = change
    outcome = pair.run()
    assert outcome.error is ErrorCode.REFUSED
    assert reason in outcome.text
    assert 'CableCheck' not in pair.names()


def test_a_signature_that_is_gone_takes_the_tariff_with_it(lab, roots, wallet):
    pair = Pair(contract_bench(roots, NOW, schedules=TWO, tariffs=signed(lab)), wallet=wallet,
                maximum_loops=3)
    pair.overrides['ChargeParameterDiscovery'] = unsign
    assert chosen(pair) == 1


def test_another_operator_s_signature_is_refused(lab, wallet):
    bench = PairBench(schedules=TWO, tariffs=signed(lab, by='oem_sub2'))
    pair = Pair(bench, maximum_loops=3)
    assert chosen(pair) == 7
    message = next(each for each in pair.responses if isinstance(
        each.body, iso2.ChargeParameterDiscoveryRes))
    tuples = message.body.sa_schedules.sa_schedule_tuple
    assert set(believed(tuples, message.header.signature, None)) == {1, 7}
    with pytest.raises(Mistrust, match='the key has not made this signature'):
        believed(tuples, message.header.signature, wallet.contract)
    with pytest.raises(Mistrust, match='does not tell who has issued it'):
        believed(tuples, message.header.signature, replace(
            wallet.contract, chain=wallet.contract.chain[:1]))


@pytest.mark.skipif(not RECORDING.exists(), reason='recorded sessions are not beside this checkout')
def test_a_recorded_signature_is_over_the_recorded_tariff():
    frames = map(json.loads, RECORDING.read_text(encoding='utf-8').splitlines()[1:])
    message = next(
        exi.decode('iso2', bytes.fromhex(frame['exi'])) for frame in frames
        if frame.get('message') == 'ChargeParameterDiscoveryRes')
    tuples, signature = message.body.sa_schedules.sa_schedule_tuple, message.header.signature
    (tariff,) = believed(tuples, signature, None).values()
    assert [entry.e_price_level for entry in tariff.sales_tariff_entry] == [1, 2]
    tariff.sales_tariff_entry[0].e_price_level = 2
    with pytest.raises(Mistrust, match='a signed element was changed'):
        believed(tuples, signature, None)


# The choice.

def schedule(number, power, *prices):
    return Schedule(number, ((0, power),), prices=tuple(prices))


def test_the_bill_counts_what_the_car_takes_while_it_takes_it():
    both = Schedule(1, ((0, 10_000.0), (600, 20_000.0)), prices=((0, 2.0), (900, 1.0)))
    assert both.bill(1e9, 1e9) == (
        600 * 10_000.0 + 3000 * 20_000.0,
        2.0 * (600 * 10_000.0 + 300 * 20_000.0) + 2700 * 20_000.0)
    assert both.bill(5_000.0, 1e9)[0] == 5_000.0 * HORIZON
    assert both.bill(1e9, 7e6) == (7e6, 14e6)
    assert both.energy() == 66e6


def test_the_cheapest_of_those_that_are_enough_is_taken():
    late = schedule(1, 30_000.0, (0, 5.0), (300, 1.0))
    even = schedule(2, 30_000.0, (0, 3.0))
    # What is cheap later helps a car that charges that long.
    assert choose([late, even], need=9e6, power=1e9).number == 2
    assert choose([late, even], need=90e6, power=1e9).number == 1
    # A car that takes less charges longer.
    assert choose([late, even], need=9e6, power=3_000.0).number == 1


def test_prices_count_only_if_all_are_known_and_something_is_enough():
    cheap, dear = schedule(1, 1_000.0, (0, 1.0)), schedule(2, 50_000.0, (0, 9.0))
    for unknown in (schedule(1, 1_000.0), schedule(1, 60_000.0)):
        most = max([unknown, dear], key=Schedule.energy)
        assert choose([unknown, dear], need=1e6) is most
    assert choose([cheap, dear], need=1e6).number == 1
    assert choose([cheap, dear], need=1e9).number == 2
    assert choose([cheap, dear]).number == 2
    assert choose([cheap, dear], 2, need=1e6).number == 2


def test_levels_count_where_relative_prices_are_not_told():
    levels = Tariffs({1: Levels((LevelStep(0, 200),)), 7: Levels((LevelStep(0, 3),))})
    assert chosen(Pair(PairBench(schedules=TWO, tariffs=levels), maximum_loops=3)) == 7


def test_a_tariff_that_does_not_begin_at_once_is_refused():
    def alter(response, count):
        tariff = response.body.sa_schedules.sa_schedule_tuple[0].sales_tariff
        tariff.sales_tariff_entry = tariff.sales_tariff_entry[1:]
        return response

    late = Tariffs({
        number: Levels((LevelStep(0, 1), LevelStep(5, 2))) for number in PRICES.each})
    pair = Pair(PairBench(schedules=TWO, tariffs=late))
    pair.overrides['ChargeParameterDiscovery'] = alter
    outcome = pair.run()
    assert outcome.error is ErrorCode.REFUSED
    assert 'the tariff of schedule 1 do not rise from 0 s' in outcome.text
