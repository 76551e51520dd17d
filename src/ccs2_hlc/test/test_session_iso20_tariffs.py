"""What energy costs over time: price schedules by ISO 15118-20, the parameter sets."""

import pytest
from iso20_bench import bring_to, detail, lead_to

from ccs2_hlc.session.schedules import Schedule, Step
from ccs2_hlc.session.tariffs import Levels, LevelStep, Prices, PriceStep, Tariffs

PRICES = Prices('EUR', 'deu', (PriceStep(0, 0.59), PriceStep(3600, 0.39), PriceStep(90000, 0.1)))
LEVELS = Levels((LevelStep(0, 3), LevelStep(3600, 0), LevelStep(7200, 3)))


def schedules(tariff, dynamic, service=2, departure=None):
    bench = bring_to(
        'SCHEDULE_EXCHANGE', tariffs=Tariffs({4: tariff}), dynamic=dynamic, service=service,
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
    bench = bring_to(
        'SERVICE_DETAIL', tariffs=None if tariff is None else Tariffs({1: tariff}))
    sets = bench.ask(detail()).service_parameter_list.parameter_set
    assert [entry.int_value for item in sets for entry in item.parameter
            if entry.name == 'Pricing'] == [pricing, pricing]


def discharging(tariff, **settings):
    bench = bring_to(
        'SCHEDULE_EXCHANGE', tariffs=Tariffs({4: tariff}), dynamic=False, service=6,
        schedules=(Schedule(4, (Step(0, 10_000.0),), **settings),))
    answer = bench.ask(bench.schedule_exchange(departure=7200))
    (choice,) = answer.scheduled_se_res_control_mode.schedule_tuple
    return choice


def test_what_is_paid_for_energy_out_of_the_vehicle_is_told():
    choice = discharging(Prices('EUR', 'deu', PRICES.steps, 'day', discharge=(
        PriceStep(0, 0.2), PriceStep(600, 0.3))))
    prices = choice.discharging_schedule.absolute_price_schedule
    assert [
        (stack.duration, float(stack.price_rule[0].energy_fee))
        for stack in prices.price_rule_stacks.price_rule_stack] == [(600, 0.2), (6600, 0.3)]
    other = choice.charging_schedule.absolute_price_schedule
    assert prices.price_schedule_id != other.price_schedule_id
    assert prices.price_schedule_description == other.price_schedule_description == 'day'


def test_levels_of_energy_out_of_the_vehicle_are_told():
    choice = discharging(Levels(LEVELS.steps, discharge=(LevelStep(0, 7),)))
    levels = choice.discharging_schedule.price_level_schedule
    assert levels.number_of_price_levels == 1
    (entry,) = levels.price_level_schedule_entries.price_level_schedule_entry
    assert (entry.duration, entry.price_level) == (7200, 7)


def test_power_out_of_the_vehicle_has_a_schedule_of_its_own():
    choice = discharging(LEVELS, discharge=(Step(0, 50_000.0), Step(60, 5000.0)))
    assert [
        (entry.duration, float(entry.power)) for entry in
        choice.discharging_schedule.power_schedule.power_schedule_entries.power_schedule_entry
    ] == [(60, 30_000.0), (7140, 5000.0)]


def test_each_schedule_has_a_tariff_of_its_own():
    bench = bring_to(
        'SCHEDULE_EXCHANGE', dynamic=False,
        tariffs=Tariffs({4: PRICES, 5: Prices('EUR', 'deu', (PriceStep(0, 0.2),))}),
        schedules=(Schedule(4, (Step(0, 10_000.0),)), Schedule(5, (Step(0, 5_000.0),))))
    answer = bench.ask(bench.schedule_exchange(departure=3600))
    assert {
        choice.schedule_tuple_id: [
            float(rule.energy_fee)
            for stack in choice.charging_schedule.absolute_price_schedule
            .price_rule_stacks.price_rule_stack for rule in stack.price_rule]
        for choice in answer.scheduled_se_res_control_mode.schedule_tuple
    } == {4: [0.59], 5: [0.2]}
