"""Schedules and value-added services from parameter files: what they mean and how they fail."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccs2_hlc.session.schedules import (
    MAX_STEPS,
    Schedule,
    Step,
    offered,
    read_schedules,
    sendable,
)
from ccs2_hlc.session.services import ParameterSet, Quantity, Service, read_services

STEPS = st.lists(
    st.tuples(st.integers(1, 200_000), st.floats(0.0, 400e3)), max_size=11,
    unique_by=lambda step: step[0])


@st.composite
def schedules(draw):
    rest = sorted(draw(STEPS))
    return Schedule(1, (Step(0, draw(st.floats(0.0, 400e3))), *(Step(*step) for step in rest)))


@given(
    schedule=schedules(), maximum=st.floats(0.0, 400e3),
    departure=st.one_of(st.none(), st.integers(0, 200_000)),
    most=st.one_of(st.none(), st.integers(0, 30)))
def test_what_is_offered_never_exceeds_the_schedule_nor_the_limits(
        schedule, maximum, departure, most):
    (result,) = offered([schedule], maximum, departure, most)
    assert result.steps[0].start == 0
    assert len(result.steps) <= max(1, min(most or MAX_STEPS, MAX_STEPS))
    starts = [step.start for step in result.steps]
    assert starts == sorted(set(starts))
    assert starts[-1] < result.duration <= (departure or 86400)
    assert 0 < result.duration - starts[-1] <= 86400
    for second in {*starts, *(step.start for step in schedule.steps), result.duration - 1}:
        if second < result.duration:
            assert result.power_at(second) <= min(maximum, schedule.power_at(second))
    assert result.covers(result.steps)


def test_a_plan_with_an_end_keeps_to_the_schedule_all_the_while():
    schedule = Schedule(
        1, (Step(0, 50.0), Step(60, 5.0)), 100, discharge=(Step(0, 9.0), Step(80, 0.0)))
    for plan, end, covered in (
            ([(0, 50.0)], 60, True), ([(0, 50.0)], 61, False), ([(0, 5.0)], 100, True),
            ([(0, 5.0)], 101, False), ([(0, 50.0), (60, 5.0)], 100, True),
            ([(0, 50.0), (60, -9.0)], 80, True), ([(0, 50.0), (60, -9.0)], 81, False),
            # Of ISO 15118-2: Audi and VW tell one step of all that they can take.
            ([(0, 50.0)], None, True), ([(0, 50.0), (60, 6.0)], None, False),
            ([(100, 1.0)], None, False), ([(5, 1.0), (4, 1.0)], None, False)):
        assert schedule.covers([Step(*step) for step in plan], end) is covered


def test_what_a_vehicle_cannot_store_is_told_as_its_lowest_power():
    schedule = Schedule(1, (Step(0, 10.0), Step(5, 3.0), Step(9, 7.0)))
    assert offered([schedule], 100.0, None, 1)[0].steps == (Step(0, 3.0),)
    assert offered([schedule], 100.0, None, 2)[0].steps == (Step(0, 10.0), Step(5, 3.0))


def test_what_is_taken_back_is_capped_and_cut_likewise():
    schedule = Schedule(1, (Step(0, 10.0),), discharge=(Step(0, 50.0), Step(5, 3.0), Step(9, 7.0)))
    (told,) = offered([schedule], 100.0, 9, None, 20.0)
    assert told.discharge == (Step(0, 20.0), Step(5, 3.0))
    assert told.covers([Step(0, -20.0), Step(5, -3.0)])
    assert not told.covers([Step(0, -21.0)])
    assert not told.covers([Step(0, 10.0), Step(6, -4.0)])
    # Who has not chosen it gives nothing; a schedule that says nothing takes all.
    assert offered([schedule], 100.0, None, None)[0].discharge == (Step(0, 0.0),)
    assert offered([Schedule(1, (Step(0, 1.0),))], 9.0, None, None, 8.0)[0].discharge == (
        Step(0, 8.0),)


@given(st.floats(0.0, 1e7))
def test_powers_are_rounded_down_to_what_a_message_carries(power):
    sent = sendable(power)
    assert sent <= power
    assert power - sent <= max(1.0, power / 3000.0)


def test_schedules_are_read():
    assert read_schedules({'schedules': [
        {'number': 1, 'steps': [{'start': 0, 'power': 50e3}, {'start': 3600, 'power': 11000}]},
        {'number': 9, 'steps': [{'start': 0, 'power': 0}]},
    ]}) == (
        Schedule(1, (Step(0, 50e3), Step(3600, 11e3))), Schedule(9, (Step(0, 0.0),)))
    assert read_schedules({'schedules': [{
        'number': 1, 'steps': [{'start': 0, 'power': 5}], 'tolerance': 2,
        'discharge': [{'start': 0, 'power': 0}, {'start': 60, 'power': 7}]}]}) == (
            Schedule(1, (Step(0, 5.0),), discharge=(Step(0, 0.0), Step(60, 7.0)), tolerance=2.0),)


STEP = {'start': 0, 'power': 1}


@pytest.mark.parametrize(('document', 'problem'), [
    (None, "file: 'schedules' is missing"),
    ({'schedules': []}, 'schedules: not a list of 1 to 3'),
    ({'schedules': [{'steps': [STEP]}]}, r"schedules\[0\]: 'number' is missing"),
    ({'schedules': [{'number': 0, 'steps': [STEP]}]}, r'schedules\[0\].number is 0'),
    ({'schedules': [{'number': True, 'steps': [STEP]}]}, r'schedules\[0\].number is True'),
    ({'schedules': [{'number': 1, 'steps': [{'start': 5, 'power': 1}]}]}, 'do not rise from 0'),
    ({'schedules': [{'number': 1, 'steps': [STEP, STEP]}]}, 'do not rise from 0'),
    ({'schedules': [{'number': 1, 'steps': [STEP], 'tolerance': -1}]},
     r'schedules\[0\].tolerance is -1'),
    ({'schedules': [{'number': 1, 'steps': [STEP], 'discharge': []}]},
     r'schedules\[0\].discharge: not a list'),
    ({'schedules': [{'number': 1, 'steps': [STEP], 'discharge': [STEP, STEP]}]},
     r'schedules\[0\].discharge: starts'),
    ({'schedules': [{'number': 1, 'steps': [{'start': 0, 'power': -1}]}]},
     r'schedules\[0\].steps\[0\].power is -1'),
    ({'schedules': [{'number': 1, 'steps': [{'start': 0, 'power': float('nan')}]}]}, 'is nan'),
    ({'schedules': [{'number': 1, 'steps': [STEP]}] * 2}, 'not all different'),
])
def test_a_wrong_schedule_is_refused_where_it_is_wrong(document, problem):
    with pytest.raises(ValueError, match=problem):
        read_schedules(document)


def test_services_are_read():
    assert read_services({'services': [{
        'number': 3, 'name': 'Internet', 'category': 'Internet', 'free': True, 'sets': [
            {'number': 1, 'parameters': {
                'Protocol': 'http', 'Port': 80, 'Fast': False,
                'Power': {'value': 1.5, 'unit': 'W'}}}]}]}) == (
        Service(3, 'Internet', 'Internet', True, None, (ParameterSet(1, (
            ('Protocol', 'http'), ('Port', 80), ('Fast', False),
            ('Power', Quantity(1.5, 'W')))),)),)
    assert read_services({'services': []}) == ()


SERVICE = {'number': 3, 'name': 'x', 'category': 'Internet', 'free': True}


@pytest.mark.parametrize(('change', 'problem'), [
    ({'number': 2}, 'number is 2, must be 3'),
    ({'number': '3'}, "number is '3', not of type int"),
    ({'category': 'EVCharging'}, 'category'),
    ({'name': 'x' * 33}, 'name has more'),
    ({'free': 1}, 'free is 1'),
    ({'sets': [{'number': 1, 'parameters': {}}]}, r'sets\[0\].parameters: 0'),
    ({'sets': [{'number': 1, 'parameters': {'a': None}}]}, r'parameters.a is None'),
    ({'sets': [{'number': 1, 'parameters': {'a': {'value': 1, 'unit': 'km'}}}]}, 'unit'),
    ({'sets': [{'number': 70000, 'parameters': {'a': 1}}]}, '70000, not of 16 bits'),
    ({'sets': [{'number': 1, 'parameters': {'a': 1}}] * 2}, 'not all different'),
    # What ISO 15118-20 cannot tell.
    ({'number': 64, 'sets': [{'number': -1, 'parameters': {'a': 1}}]}, 'number -1: is negative'),
    ({'number': 64, 'sets': [{'number': 1, 'parameters': {'a' * 81: 1}}]}, 'more than 80'),
    ({'number': 64, 'sets': [{'number': 1, 'parameters': {'a': 'x' * 81}}]}, 'more than 80'),
])
def test_a_wrong_service_is_refused_where_it_is_wrong(change, problem):
    with pytest.raises(ValueError, match=problem):
        read_services({'services': [SERVICE | change]})


@pytest.mark.parametrize('document', [None, [], {'services': [SERVICE, SERVICE]}, {
    'services': [SERVICE | {'number': number} for number in range(3, 10)]}])
def test_a_wrong_list_of_services_is_refused(document):
    with pytest.raises(ValueError, match=r'file|not all different|at most'):
        read_services(document)
