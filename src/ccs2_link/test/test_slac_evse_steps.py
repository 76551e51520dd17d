"""How the station's SLAC gets a car to start over: steps of the pilot, restarts, ways back."""

from __future__ import annotations

import pytest
from slac_car import Car, let_the_modem_go, lose_the_link, wish

from ccs2_link.homeplug import messages as mme
from ccs2_link.slac.contract import DataLink, LinkState, WishKind
from ccs2_link.slac.evse import STEP_PATIENCE, EvseConfig


def step_of_the_pilot(bench):
    """What safety does when it carries out a step."""
    bench.pilot('B', digital=False)
    bench.wait(3.0)
    assert wish(bench) is WishKind.STEP
    bench.pilot('F', digital=False)
    assert wish(bench) is WishKind.NONE
    bench.wait(4.0)
    bench.pilot('B', digital=False)
    bench.wait(3.0)
    assert bench.state is LinkState.UNMATCHED
    bench.pilot('B')


TROUBLES = {
    'error': lambda bench: bench.data_link(DataLink.ERROR),
    'loss': lose_the_link,
    'modem': let_the_modem_go,
    'reset': lambda bench: (bench.reset(), bench.wait(2.5)),
}


@pytest.mark.parametrize('trouble', TROUBLES)
def test_a_vehicle_that_takes_itself_to_be_matched_gets_a_step_and_is_matched_anew(
        bench, car, trouble):
    car.matched()
    key = bench.last(mme.CmSlacMatchCnf).nmk
    TROUBLES[trouble](bench)
    assert wish(bench) is WishKind.STEP
    bench.wait(0.5)
    assert bench.state is LinkState.FAILED
    assert 'step through state F' in bench.core.status().message
    car.parm()
    assert bench.count(mme.CmSlacParmCnf) == 1
    step_of_the_pilot(bench)
    car.matched()
    assert bench.state is LinkState.MATCHED
    assert bench.last(mme.CmSlacMatchCnf).nmk != key


@pytest.mark.parametrize('state', ['A', 'UNKNOWN'])
def test_without_a_vehicle_no_step_is_wished_for(bench, car, state):
    car.matched()
    bench.data_link(DataLink.ERROR)
    assert wish(bench) is WishKind.STEP
    bench.pilot(state, digital=False)
    assert wish(bench) is WishKind.NONE


def test_without_a_step_the_station_goes_on_after_four_seconds(bench, car):
    car.matched()
    bench.data_link(DataLink.ERROR)
    bench.wait(STEP_PATIENCE - 0.1)
    assert wish(bench) is WishKind.STEP
    bench.wait(0.3)
    assert wish(bench) is WishKind.NONE
    car.matched()
    assert bench.state is LinkState.MATCHED


def test_a_step_is_waited_for_as_long_as_the_pilot_is_not_digital(bench, car):
    car.matched()
    bench.data_link(DataLink.ERROR)
    bench.pilot('C', digital=False)
    bench.wait(600.0)
    assert (bench.state, wish(bench)) == (LinkState.FAILED, WishKind.STEP)
    bench.pilot('B')
    bench.wait(STEP_PATIENCE + 0.1)
    assert bench.state is LinkState.MATCHING


def test_a_vehicle_whose_sessions_break_off_is_given_up_after_three(bench, car):
    """Each of them costs a key, and with that a write to the modem's flash."""
    for _ in range(2):
        car.matched()
        bench.data_link(DataLink.ERROR)
        bench.wait(1.0)
        step_of_the_pilot(bench)
    car.matched()
    bench.data_link(DataLink.ERROR)
    bench.wait(100.0)
    assert (bench.state, wish(bench)) == (LinkState.FAILED, WishKind.STEADY)
    assert len(bench.keys) == 4


@pytest.mark.parametrize('end', [DataLink.TERMINATE, DataLink.PAUSE])
def test_a_session_that_ends_regularly_gives_the_attempts_back(bench, car, end):
    for _ in range(5):
        car.matched()
        bench.data_link(DataLink.ERROR)
        assert wish(bench) is WishKind.STEP
        bench.wait(1.0)
        step_of_the_pilot(bench)
        car.matched()
        bench.data_link(end)
        bench.pilot('B', digital=False)
        bench.wait(10.0)
        bench.pilot('B')
        bench.wait(1.0)


def test_each_wish_for_a_step_has_a_number_of_its_own(make_bench):
    bench = make_bench(EvseConfig(attempts=10))
    bench.pilot('B')
    car = Car(bench)
    numbers = []
    for _ in range(3):
        car.matched()
        bench.data_link(DataLink.ERROR)
        numbers.append(bench.core.status().pilot_wish.number)
        bench.wait(1.0)
        step_of_the_pilot(bench)
    assert len(set(numbers)) == 3


def test_a_wish_is_told_at_once(bench, car):
    car.matched()
    changes = len(bench.changes)
    bench.data_link(DataLink.ERROR)
    assert len(bench.changes) > changes


def test_a_car_that_never_starts_gets_two_steps_and_then_steady_high(make_bench):
    bench = make_bench(EvseConfig(init_timeout=30.0, reset_after=0))
    bench.pilot('B')
    for _ in range(2):
        bench.wait(29.9)
        assert bench.state is LinkState.MATCHING
        bench.wait(0.2)
        assert (bench.state, wish(bench)) == (LinkState.FAILED, WishKind.STEP)
        Car(bench).parm()
        assert bench.sent == []
        step_of_the_pilot(bench)
    bench.wait(30.1)
    assert (bench.state, wish(bench)) == (LinkState.FAILED, WishKind.STEADY)
    bench.pilot('B', digital=False)
    bench.wait(600.0)
    assert (bench.state, wish(bench)) == (LinkState.FAILED, WishKind.STEADY)
    assert 'vehicle did not start SLAC; given up' in bench.core.status().message


WAYS_BACK = {
    'plugged in anew': lambda bench: bench.pilot('A', digital=False),
    'toggles': lambda bench: (bench.pilot('C', digital=False),
                              bench.pilot('B', digital=False, toggles=1)),
    'reset': lambda bench: (bench.reset(), bench.wait(3.0)),
}


@pytest.mark.parametrize('way', WAYS_BACK)
def test_ways_back_for_a_car_that_was_given_up(make_bench, way):
    bench = make_bench(EvseConfig(init_timeout=10.0, attempts=1, reset_after=0))
    bench.pilot('B')
    bench.wait(10.1)
    assert wish(bench) is WishKind.STEADY
    bench.pilot('B', digital=False)
    WAYS_BACK[way](bench)
    assert wish(bench) is WishKind.NONE
    bench.pilot('B', toggles=int(way == 'toggles'))
    Car(bench).matched()
    assert bench.state is LinkState.MATCHED


@pytest.mark.parametrize('away', ['gone', 'keying', 'restarting'])
@pytest.mark.parametrize('digital', [False, True])
def test_a_toggle_before_the_modem_has_its_key_waits_for_it(make_bench, away, digital):
    """The key of the last session must not be given out again."""
    bench = make_bench(EvseConfig(attempts=1))
    bench.pilot('B')
    Car(bench).matched()
    old = bench.last(mme.CmSlacMatchCnf).nmk
    if away == 'gone':
        bench.modem(False)
    elif away == 'keying':
        bench.answering = False
        bench.data_link(DataLink.ERROR)
    else:
        bench.data_link(DataLink.ERROR)
        bench.run(bench.now)
        bench.modem(False)
    assert wish(bench) is WishKind.STEADY
    bench.pilot('B', digital=False)
    bench.pilot('B', digital=digital, toggles=1)
    assert wish(bench) is WishKind.NONE
    assert bench.state is not LinkState.MATCHING
    bench.answering = True
    bench.modem(True)
    bench.wait(2.0)
    bench.pilot('B', toggles=1)
    Car(bench, run=b'another1').matched()
    assert bench.state is LinkState.MATCHED
    assert bench.last(mme.CmSlacMatchCnf).nmk != old


def test_failed_matches_restart_the_modem_once_a_plug_in(make_bench):
    bench = make_bench(EvseConfig(reset_after=3))
    bench.pilot('B')
    for _ in range(10):
        Car(bench).sounding()
        bench.wait(2.0)
    assert bench.resets == ['3 matches failed in a row']
    bench.wait(3.0)
    Car(bench).matched()
    assert bench.state is LinkState.MATCHED


def test_a_car_that_never_starts_gets_another_step_with_the_restart_of_the_modem(make_bench):
    bench = make_bench(EvseConfig(init_timeout=10.0, attempts=2, reset_after=2))
    bench.pilot('B')
    bench.wait(10.1)
    step_of_the_pilot(bench)
    bench.wait(10.1)
    assert bench.resets == ['2 matches failed in a row']
    assert wish(bench) is WishKind.STEP
    bench.wait(3.0)
    step_of_the_pilot(bench)
    bench.wait(10.1)
    assert wish(bench) is WishKind.STEADY
