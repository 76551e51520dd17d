"""What the station drives onto the pilot: steps for matching, rests, and what is stronger."""

from types import SimpleNamespace

import pytest
from power_bench import BEAT, Bench

from ccs2_power.command import Mode
from ccs2_power.faults import Severity
from ccs2_power.hal import Alarm
from ccs2_power.messages import pilot_wish_of
from ccs2_power.pilot import PilotState
from ccs2_power.pilot_drive import MAX_STEPS, T_STEP_X1, PilotWish, WishKind

LONG = 30.0


@pytest.fixture
def bench():
    bench = Bench()
    bench.plug_in()
    assert bench.plant.duty == 0.05
    return bench


def wish(bench, kind=WishKind.STEP, number=1):
    bench.safety.offer_pilot_wish(PilotWish(kind, number, bench.now))


def duties(bench, seconds, act=lambda: None):
    """Let time pass; return the duty cycles in their order, each with how long it lasted in s."""
    seen = []
    end = bench.now + seconds
    while bench.now < end:
        act()
        bench.step()
        if not seen or seen[-1][0] != bench.plant.duty:
            seen.append([bench.plant.duty, 0.0])
        seen[-1][1] += BEAT
    return [(duty, round(lasted, 2)) for duty, lasted in seen]


def seen(bench, seconds=LONG, act=lambda: None):
    return [duty for duty, _ in duties(bench, seconds, act)]


def test_a_step_is_steady_high_state_f_steady_high_and_five_percent_again(bench):
    wish(bench)
    (first, high), (second, off), (third, rest), (last, _) = duties(bench, LONG)
    assert [first, second, third, last] == [1.0, 0.0, 1.0, 0.05]
    assert 3.0 <= high < 4.0
    assert 4.0 <= off < 8.0
    assert 3.0 <= rest < 4.0
    assert not bench.codes
    assert bench.safety.pilot.bcb_toggles == 0


def test_a_step_from_steady_high_does_not_wait_again(bench):
    bench.send(pilot_oscillator=False)
    bench.run(10.0)
    wish(bench)
    bench.send(pilot_oscillator=True)
    assert seen(bench, 1.0) == [0.0]


def test_the_pilot_monitor_follows_a_step(bench):
    states = []

    def note():
        if not states or states[-1] is not bench.safety.pilot.state:
            states.append(bench.safety.pilot.state)

    wish(bench)
    seen(bench, act=note)
    assert states == [PilotState.B, PilotState.F, PilotState.B]


def test_each_wish_is_carried_out_once_and_a_new_process_may_count_anew(bench):
    step = [1.0, 0.0, 1.0, 0.05]
    assert seen(bench, act=lambda: wish(bench)) == step
    assert seen(bench, act=lambda: wish(bench)) == [0.05]
    assert seen(bench, act=lambda: wish(bench, number=2)) == step
    wish(bench, WishKind.NONE)
    assert seen(bench, act=lambda: wish(bench, number=2)) == step


def test_steps_are_bounded_until_the_vehicle_is_plugged_in_anew(bench):
    for number in range(1, 10):
        wish(bench, number=number)
        bench.run(LONG)
    assert bench.safety.pilot_drive.steps == MAX_STEPS
    bench.unplug()
    bench.plug_in()
    wish(bench, number=10)
    assert 0.0 in seen(bench)


NOT_NOW = {
    'no vehicle': lambda bench: bench.unplug(),
    'session': lambda bench: bench.send(session_id='01'),
    'energy is wanted': lambda bench: bench.send(session_id='01', mode=Mode.CABLE_CHECK),
    'charging': lambda bench: (bench.cable_check(), bench.pre_charge(), bench.charge()),
    'welding check': lambda bench: bench.send(mode=Mode.WELDING_CHECK),
    'no 5 % wanted': lambda bench: bench.send(pilot_oscillator=False),
    'hlc is dead': lambda bench: (setattr(bench, 'hlc', False), bench.run(1.0)),
    'a contactor is welded': lambda bench: bench.plant.contacts.update({'DC+': True}) or (
        bench.plant.welded.add('DC+'), bench.run(1.0)),
    'contacts are not measured': lambda bench: (bench.silence('contactors'), bench.run(0.5)),
    'voltage at the connector': lambda bench: (
        setattr(bench.plant, 'vehicle_closed', True), bench.run(0.1)),
    'voltage is not measured': lambda bench: (bench.silence('voltmeter'), bench.run(0.5)),
}


@pytest.mark.parametrize('obstacle', NOT_NOW)
def test_no_step_while_anything_else_goes_on(bench, obstacle):
    NOT_NOW[obstacle](bench)
    seen(bench, 5.0, lambda: wish(bench))
    assert bench.safety.pilot_drive.steps == 0


def test_an_old_wish_is_nobodys(bench):
    bench.send(session_id='01')
    wish(bench)
    bench.run(1.6)
    bench.send(session_id='')
    assert seen(bench) == [0.05]


def test_a_wish_that_waits_is_carried_out_as_soon_as_it_may_be(bench):
    """The link is lost before the session is told: its end comes a moment later."""
    bench.send(session_id='01')
    assert seen(bench, 1.0, lambda: wish(bench)) == [0.05]
    bench.send(session_id='')
    assert seen(bench, act=lambda: wish(bench)) == [1.0, 0.0, 1.0, 0.05]


IN_MID_STEP = {
    'session': (lambda bench: bench.send(session_id='01'), [1.0, 0.05]),
    'energy is wanted': (
        lambda bench: bench.send(session_id='01', mode=Mode.CABLE_CHECK), [1.0, 0.05]),
    'no 5 % wanted': (lambda bench: bench.send(pilot_oscillator=False), [1.0]),
    'hlc dies': (lambda bench: (setattr(bench, 'hlc', False), bench.run(0.5)), [1.0]),
    'emergency stop': (lambda bench: setattr(bench.plant, 'pressed', True), [0.0, 1.0]),
    'emergency stop in a session': (
        lambda bench: (bench.send(session_id='01'), setattr(bench.plant, 'pressed', True)), [1.0]),
}


@pytest.mark.parametrize('event', IN_MID_STEP)
def test_a_step_gives_way_at_once_and_does_not_come_back(bench, event):
    act, expected = IN_MID_STEP[event]
    wish(bench)
    assert bench.run(5.0, lambda: bench.plant.duty == 0.0)
    bench.run(1.0)
    act(bench)
    bench.step()
    assert seen(bench, LONG, lambda: wish(bench)) == expected


def test_a_step_does_not_go_on_after_an_emergency_that_passes(bench):
    wish(bench)
    assert bench.run(5.0, lambda: bench.plant.duty == 0.0)
    bench.plant.alarms = (Alarm(Severity.EMERGENCY, 'module', 'alarm'),)
    (first, off), (second, _) = duties(bench, 2.0)
    assert (first, second) == (0.0, 1.0)
    assert off < 0.5
    bench.plant.alarms = ()
    assert seen(bench, LONG, lambda: wish(bench)) == [1.0, 0.05]


def test_matching_that_dies_in_mid_step_changes_nothing(bench):
    wish(bench)
    bench.run(1.0)
    assert seen(bench) == [1.0, 0.0, 1.0, 0.05]


def test_a_vehicle_unplugged_in_state_f_is_seen_afterwards(bench):
    wish(bench)
    assert bench.run(5.0, lambda: bench.plant.duty == 0.0)
    bench.plant.vehicle = 'A'
    assert seen(bench) == [0.0, 1.0]
    assert bench.safety.pilot.state is PilotState.A
    assert not bench.codes
    bench.plug_in()
    assert bench.plant.duty == 0.05
    assert bench.cable_check()


def test_given_up_is_steady_high_until_it_is_no_longer_said(bench):
    assert seen(bench, LONG, lambda: wish(bench, WishKind.STEADY)) == [1.0]
    assert seen(bench, 5.0, lambda: wish(bench, WishKind.NONE)) == [0.05]
    assert seen(bench, LONG, lambda: wish(bench, WishKind.STEADY)) == [1.0]
    # Without matching the session alone decides.
    assert seen(bench, 5.0) == [1.0, 0.05]


def test_a_session_is_not_given_up(bench):
    bench.send(session_id='01')
    assert seen(bench, 5.0, lambda: wish(bench, WishKind.STEADY)) == [0.05]


def test_steady_high_lasts_three_seconds_before_five_percent_come_back(bench):
    bench.send(pilot_oscillator=False)
    bench.run(0.1)
    bench.send(pilot_oscillator=True)
    (first, high), (second, _) = duties(bench, 5.0)
    assert (first, second) == (1.0, 0.05)
    assert 3.0 <= high + 0.1 < 3.5


def test_a_vehicle_that_just_came_gets_five_percent_at_once():
    bench = Bench()
    bench.plant.vehicle = 'B'
    assert bench.run(0.2, lambda: bench.plant.duty == 0.05)


def test_a_vehicle_met_at_the_start_of_safety_has_seen_state_f(bench):
    from ccs2_power.safety import SafetySupervisor
    bench.safety = SafetySupervisor(bench.safety_settings)
    (first, high), (second, _) = duties(bench, 5.0)
    assert (first, second) == (1.0, 0.05)
    assert high >= T_STEP_X1


@pytest.mark.parametrize(('value', 'kind'), [
    (0, WishKind.NONE), (1, WishKind.STEP), (2, WishKind.STEADY), (3, WishKind.NONE),
    (255, WishKind.NONE),
])
def test_what_a_link_wishes(value, kind):
    message = SimpleNamespace(pilot_wish=value, pilot_wish_number=7)
    assert pilot_wish_of(message, 3.0) == PilotWish(kind, 7, 3.0)
