"""What energy costs over time: files, price schedules by ISO 15118-20, the parameter sets."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from iso20_bench import bring_to, detail, lead_to

from ccs2_hlc.session.schedules import Schedule, Step
from ccs2_hlc.session.tariffs import Levels, LevelStep, Prices, PriceStep, read_tariff

PRICES = Prices('EUR', 'deu', (PriceStep(0, 0.59), PriceStep(3600, 0.39), PriceStep(90000, 0.1)))
LEVELS = Levels((LevelStep(0, 3), LevelStep(3600, 0), LevelStep(7200, 3)))


def schedules(tariff, dynamic, service=2, departure=None):
    bench = bring_to(
        'SCHEDULE_EXCHANGE', tariff=tariff, dynamic=dynamic, service=service,
        schedules=(Schedule(4, (Step(0, 10_000.0),)),))
    answer = bench.ask(bench.schedule_exchange(departure=departure))
    lead_to('CHARGING', bench, 'SCHEDULED')
    if dynamic:
        return answer.dynamic_se_res_control_mode
    (choice,) = answer.scheduled_se_res_control_mode.schedule_tuple
    assert choice.discharging_schedule is None or (
        choice.discharging_schedule.absolute_price_schedule is None)
    return choice.charging_schedule


@pytest.mark.parametrize('service', [2, 6])
@pytest.mark.parametrize('dynamic', [False, True])
def test_prices_are_told_with_schedules(dynamic, service):
    told = schedules(PRICES, dynamic, service, departure=7200)
    assert told.price_level_schedule is None
    prices = told.absolute_price_schedule
    assert (prices.currency, prices.language) == ('EUR', 'deu')
    assert (prices.time_anchor, prices.price_schedule_id) == (1_700_000_000, 4)
    assert prices.price_algorithm.endswith('-20:PriceAlgorithm:1-Power')
    # What lies behind the departure is not told.
    assert [
        (stack.duration, [float(rule.energy_fee) for rule in stack.price_rule])
        for stack in prices.price_rule_stacks.price_rule_stack] == [(3600, [0.59]), (3600, [0.39])]


@pytest.mark.parametrize('dynamic', [False, True])
def test_levels_are_told_with_schedules(dynamic):
    told = schedules(LEVELS, dynamic, departure=10_000)
    assert told.absolute_price_schedule is None
    levels = told.price_level_schedule
    assert levels.number_of_price_levels == 2
    assert [
        (entry.duration, entry.price_level)
        for entry in levels.price_level_schedule_entries.price_level_schedule_entry] == [
            (3600, 3), (3600, 0), (2800, 3)]


@pytest.mark.parametrize(('tariff', 'pricing'), [(None, 0), (PRICES, 1), (LEVELS, 2)])
def test_the_parameter_sets_say_whether_there_are_prices(tariff, pricing):
    bench = bring_to('SERVICE_DETAIL', tariff=tariff)
    sets = bench.ask(detail()).service_parameter_list.parameter_set
    assert [entry.int_value for item in sets for entry in item.parameter
            if entry.name == 'Pricing'] == [pricing, pricing]


def test_files_say_prices_or_levels():
    assert read_tariff({
        'currency': 'EUR', 'language': 'deu',
        'steps': [{'start': 0, 'price': 0.59}, {'start': 3600, 'price': 0.39},
                  {'start': 90000, 'price': 0.1}]}) == PRICES
    assert read_tariff({'steps': [
        {'start': 0, 'level': 3}, {'start': 3600, 'level': 0}, {'start': 7200, 'level': 3}]},
    ) == LEVELS


@pytest.mark.parametrize(('document', 'wrong'), [
    (None, "'steps' is missing"),
    ({'steps': []}, 'not a list of 1 to 12'),
    ({'steps': [{'start': 5, 'level': 1}]}, 'do not rise from 0'),
    ({'steps': [{'start': 0, 'level': 256}]}, r'steps\[0\].level is 256'),
    ({'steps': [{'start': 0, 'level': 1.5}]}, r'steps\[0\].level is 1.5'),
    ({'currency': 'EURO', 'language': 'deu', 'steps': [{'start': 0, 'price': 1}]}, 'currency'),
    ({'currency': 'EUR', 'steps': [{'start': 0, 'price': 1}]}, "'language' is missing"),
    ({'currency': 'EUR', 'language': 'deu', 'steps': [{'start': 0, 'price': -1}]}, 'price is -1'),
    ({'currency': 'EUR', 'language': 'deu', 'steps': [{'start': 0}]}, "'price' is missing"),
])
def test_mistakes_in_a_file_are_named(document, wrong):
    with pytest.raises(ValueError, match=wrong):
        read_tariff(document)


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(['steps', 'start', 'price', 'level', 'currency', 'language']), inner)))
def test_any_file_is_read_or_refused(document):
    with contextlib.suppress(ValueError):
        read_tariff(document)
