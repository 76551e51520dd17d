"""The station's SLAC: timers, retries, strangers, and every message in every phase."""

from __future__ import annotations

import gc
import itertools
import resource
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ccs2_link.homeplug import messages as mme
from ccs2_link.homeplug import vendor
from ccs2_link.homeplug.frame import encode
from ccs2_link.homeplug.keys import Nmk, nid_of
from ccs2_link.slac import runs, session
from ccs2_link.slac.attenuation import Calibration
from ccs2_link.slac.contract import DataLink, LinkState, WishKind
from ccs2_link.slac.evse import STEP_PATIENCE, EvseConfig
from ccs2_link.slac.timing import TT_CONN_RESUME

CAR = bytes.fromhex('02c0ffee0001')
STRANGER = bytes.fromhex('02bad0000001')
RUN = bytes.fromhex('1122334455667788')
PROFILE = bytes([20] * 58)
BROADCAST = mme.BROADCAST


class Car:
    """Says what a car says, one step at a time."""

    def __init__(self, bench, mac=CAR, run=RUN):
        self.bench, self.mac, self.run = bench, mac, run

    def say(self, message, destination=None):
        self.bench.say(message, self.mac, destination)

    def parm(self):
        self.say(mme.CmSlacParmReq(run_id=self.run), BROADCAST)

    def start(self, sounds=10, **fields):
        self.say(mme.CmStartAttenCharInd(
            num_sounds=sounds, forwarding_sta=self.mac, run_id=self.run, **fields), BROADCAST)

    def sound(self, profile=PROFILE):
        self.say(mme.CmMnbcSoundInd(remaining=0, run_id=self.run, random=bytes(16)), BROADCAST)
        if profile is not None:
            self.bench.modem_says(mme.CmAttenProfileInd(pev_mac=self.mac, groups=profile))

    def confirm(self, **fields):
        self.say(mme.CmAttenCharRsp(source_address=self.mac, run_id=self.run, **fields))

    def validate(self, timer=0):
        self.say(mme.CmValidateReq(timer=timer))

    def match(self, **fields):
        values = {'pev_mac': self.mac, 'evse_mac': self.bench.mac, 'run_id': self.run, **fields}
        self.say(mme.CmSlacMatchReq(**values))

    def sounding(self, sounds=10):
        self.parm()
        self.start(sounds)

    def accepted(self):
        self.sounding()
        for _ in range(10):
            self.sound()
        self.confirm()

    def matched(self):
        self.accepted()
        self.match()
        self.bench.wait(2.0)


@pytest.fixture
def bench(make_bench):
    bench = make_bench()
    bench.pilot('B')
    return bench


@pytest.fixture
def car(bench):
    return Car(bench)


def test_a_car_is_matched(bench, car):
    car.matched()
    status = bench.core.status()
    assert status.state is LinkState.MATCHED
    assert (status.peer_mac, status.run_id, status.attenuation) == (CAR, RUN, 20.0)
    assert status.attenuation_profile == (20,) * 58
    assert status.nid == bench.last(mme.CmSlacMatchCnf).nid == nid_of(bench.keys[-1].new_key)
    assert status.modem == 'MAC-QCA7005-1.1.3'
    assert [state for _, state, _ in bench.changes][-1] is LinkState.MATCHED


def test_parameters_are_those_of_the_standard(bench, car):
    car.parm()
    assert bench.last(mme.CmSlacParmCnf) == mme.CmSlacParmCnf(
        sound_target=b'\xff' * 6, num_sounds=10, time_out=6, resp_type=1, forwarding_sta=CAR,
        run_id=RUN)


@pytest.mark.parametrize(('state', 'digital'), [
    ('A', True), ('A', False), ('B', False), ('C', False), ('E', True), ('F', True),
    ('UNKNOWN', True),
])
def test_no_answer_unless_the_pilot_asks(bench, car, state, digital):
    bench.pilot(state, digital)
    car.parm()
    assert bench.sent == []


@pytest.mark.parametrize('state', ['B', 'C', 'D'])
def test_answer_in_every_plugged_state(bench, car, state):
    bench.pilot(state)
    car.parm()
    assert bench.count(mme.CmSlacParmCnf) == 1


@pytest.mark.parametrize('fields', [{'application_type': 1}, {'security_type': 1}])
def test_other_applications_are_ignored(bench, car, fields):
    car.say(mme.CmSlacParmReq(run_id=RUN, **fields), BROADCAST)
    assert bench.sent == []


@pytest.mark.parametrize(('delay', 'answered'), [(0.39, True), (0.41, False)])
def test_sounds_have_to_be_announced_in_time(bench, car, delay, answered):
    car.parm()
    bench.wait(delay)
    car.start()
    car.sound()
    bench.wait(1.0)
    assert (bench.count(mme.CmAttenCharInd) > 0) is answered


@pytest.mark.parametrize('fields', [
    {'resp_type': 0}, {'application_type': 1}, {'security_type': 1}, {'sounds': 0},
    {'time_out': 0},
])
def test_invalid_announcements_are_ignored(bench, car, fields):
    car.parm()
    car.start(**fields)
    car.sound()
    bench.wait(1.0)
    assert bench.count(mme.CmAttenCharInd) == 0


@pytest.mark.parametrize('heard', [1, 3, 9])
def test_fewer_sounds_than_announced_are_reported_when_the_window_closes(bench, car, heard):
    car.parm()
    begin = bench.now
    for _ in range(3):
        car.start()
    for _ in range(heard):
        bench.wait(0.04)
        car.sound()
    bench.run(begin + 0.599)
    assert bench.count(mme.CmAttenCharInd) == 0
    bench.run(begin + 0.601)
    assert bench.last(mme.CmAttenCharInd).num_sounds == heard


def test_more_sounds_than_announced_do_not_count(bench, car):
    car.sounding(sounds=5)
    for level in range(10, 20):
        car.sound(bytes([level] * 58))
    assert bench.count(mme.CmAttenCharInd) == 1
    assert bench.last(mme.CmAttenCharInd).num_sounds == 5
    assert set(bench.last(mme.CmAttenCharInd).groups) == {12}


def test_without_a_measured_sound_nothing_is_reported(bench, car):
    car.sounding()
    for _ in range(10):
        car.sound(profile=None)
    bench.wait(2.0)
    assert bench.count(mme.CmAttenCharInd) == 0
    assert bench.core.status().counters['runs failed, no sound was heard'] == 1


def test_averages_and_calibration(make_bench):
    groups = (0,) * 57 + (-30,)
    bench = make_bench(EvseConfig(calibration=Calibration(-5, groups)))
    bench.pilot('B')
    car = Car(bench)
    car.sounding(sounds=2)
    car.sound(bytes([20] * 57 + [30]))
    car.sound(bytes([23] * 57 + [31]))
    assert bench.last(mme.CmAttenCharInd).groups == bytes([21 - 5] * 57 + [0])


def test_profiles_of_others_than_the_own_modem_are_not_believed(bench, car):
    car.sounding()
    for source in (STRANGER, CAR, bytes.fromhex('00b052000001')):
        for _ in range(10):
            bench.frame(encode(BROADCAST, source, mme.CmAttenProfileInd(
                pev_mac=CAR, groups=bytes(58))))
    car.sound()
    bench.wait(1.0)
    assert bench.last(mme.CmAttenCharInd).groups == PROFILE
    assert bench.last(mme.CmAttenCharInd).num_sounds == 1


def test_the_report_is_sent_three_times_200_ms_apart(bench, car):
    car.sounding(sounds=1)
    car.sound()
    bench.wait(3.0)
    first, second, third = bench.times(mme.CmAttenCharInd)
    assert second - first == pytest.approx(0.2)
    assert third - second == pytest.approx(0.2)
    car.confirm()
    car.match()
    assert bench.count(mme.CmSlacMatchCnf) == 0


@pytest.mark.parametrize('fields', [
    {'result': 1}, {'source_id': b'\1' * 17}, {'resp_id': b'\1' * 17}, {'application_type': 1},
])
def test_a_wrong_confirmation_does_not_count(bench, car, fields):
    car.sounding(sounds=1)
    car.sound()
    car.confirm(**fields)
    bench.wait(0.25)
    assert bench.count(mme.CmAttenCharInd) == 2
    car.confirm()
    car.match()
    assert bench.count(mme.CmSlacMatchCnf) == 1


@pytest.mark.parametrize(('delay', 'answered'), [(9.9, True), (10.1, False)])
def test_the_match_has_to_be_asked_for_within_ten_seconds(bench, car, delay, answered):
    car.accepted()
    bench.wait(delay)
    car.match()
    assert (bench.count(mme.CmSlacMatchCnf) == 1) is answered


@pytest.mark.parametrize('fields', [
    {'evse_mac': STRANGER}, {'pev_mac': STRANGER}, {'run_id': bytes(8)}, {'pev_id': b'\1' * 17},
    {'evse_id': b'\1' * 17}, {'application_type': 1}, {'security_type': 1},
])
def test_a_wrong_match_request_gets_no_key(bench, car, fields):
    car.accepted()
    car.match(**fields)
    assert bench.count(mme.CmSlacMatchCnf) == 0
    assert bench.state is LinkState.MATCHING


def test_a_car_that_missed_the_key_gets_the_same_again_but_not_for_ever(make_bench):
    bench = make_bench(link_after_confirmation=None)
    bench.pilot('B')
    car = Car(bench)
    car.accepted()
    for _ in range(1000):
        car.match()
    answers = [f.message for _, f in bench.sent if isinstance(f.message, mme.CmSlacMatchCnf)]
    assert len(answers) == 3
    assert answers[0] == answers[1] == answers[2]
    assert bench.state is LinkState.MATCHING


def test_a_matched_car_that_asks_again_gets_the_same_answer_three_times_in_all(bench, car):
    car.matched()
    before = bench.core.status()
    for _ in range(1000):
        car.match()
    answers = [f.message for _, f in bench.sent if isinstance(f.message, mme.CmSlacMatchCnf)]
    assert len(answers) == 3
    assert answers[0] == answers[1] == answers[2]
    assert replace(bench.core.status(), counters={}) == replace(before, counters={})


def test_a_car_that_starts_over_instead_of_joining_is_served(make_bench):
    bench = make_bench(link_after_confirmation=None)
    bench.pilot('B')
    car = Car(bench)
    car.accepted()
    car.match()
    bench.wait(1.0)
    car.parm()
    bench.wait(0.5)
    first = bench.last(mme.CmSlacMatchCnf).nmk
    car.accepted()
    car.match()
    assert bench.last(mme.CmSlacMatchCnf).nmk != first


def test_joining_takes_at_most_twelve_seconds_and_then_the_key_changes(make_bench):
    bench = make_bench(link_after_confirmation=None)
    bench.pilot('B')
    car = Car(bench)
    car.accepted()
    begin = bench.now
    car.match()
    key = bench.keys[-1].new_key
    bench.run(begin + 11.9)
    assert bench.keys[-1].new_key == key
    bench.run(begin + 12.1)
    assert bench.keys[-1].new_key != key
    assert bench.core.status().counters['matches failed, not joined'] == 1
    assert bench.state is LinkState.MATCHING


@pytest.mark.parametrize('way', ['starts over', 'never joins'])
def test_a_car_that_never_joins_is_given_up_after_its_attempts(make_bench, way):
    """Anyone can begin such runs, and each costs a key and a write to the modem's flash."""
    bench = make_bench(EvseConfig(attempts=3, reset_after=0), link_after_confirmation=None)
    bench.pilot('B')
    for number in range(50):
        car = Car(bench, run=number.to_bytes(8))
        car.accepted()
        car.match()
        if way == 'starts over':
            bench.wait(0.05)
            car.parm()
        bench.wait(0.05 if way == 'starts over' else 12.6)
    assert len(bench.keys) == 1 + 3
    assert bench.state is LinkState.FAILED
    assert wish(bench) is WishKind.STEADY
    assert bench.core.status().failures == 3
    bench.pilot('B', toggles=1)
    bench.link_after_confirmation = 1.0
    Car(bench).matched()
    assert bench.state is LinkState.MATCHED


def test_matches_that_are_not_joined_restart_the_modem_once_a_plug_in(make_bench):
    bench = make_bench(EvseConfig(attempts=10, reset_after=3), link_after_confirmation=None)
    bench.pilot('B')
    for number in range(9):
        car = Car(bench, run=number.to_bytes(8))
        car.accepted()
        car.match()
        bench.wait(16.0)
    assert bench.resets == ['3 matches failed in a row']
    assert wish(bench) is WishKind.NONE
    bench.link_after_confirmation = 1.0
    Car(bench).matched()
    assert bench.state is LinkState.MATCHED


def test_link_status_is_polled_every_100_ms_while_joining(make_bench):
    bench = make_bench(link_after_confirmation=None)
    bench.pilot('B')
    car = Car(bench)
    car.accepted()
    car.match()
    before = len(bench.raw)
    bench.wait(1.0)
    assert len(bench.raw) - before == 10


@pytest.mark.parametrize('loss', ['down', 'silent', 'modem'])
def test_link_loss_while_matched(bench, car, loss):
    car.matched()
    key = bench.keys[-1].new_key
    begin = bench.now
    if loss == 'down':
        bench.link = False
    elif loss == 'silent':
        bench.answering = False
    else:
        bench.modem(False)
    while bench.state is LinkState.MATCHED:
        bench.wait(0.05)
    assert bench.now - begin < {'down': 0.6, 'silent': 1.6, 'modem': 0.01}[loss]
    bench.answering = True
    if loss == 'modem':
        bench.modem(True)
    bench.wait(2.0)
    assert bench.keys[-1].new_key != key
    assert bench.core.status().peer_mac is None
    assert bench.core.status().nid == nid_of(bench.keys[-1].new_key)


def test_one_bad_answer_is_not_a_lost_link(bench, car):
    car.matched()
    bench.modem_says(vendor.VsPlLinkStatusCnf(status=0, link_status=0))
    bench.wait(5.0)
    assert bench.state is LinkState.MATCHED


def test_link_status_of_others_is_not_believed(bench, car):
    car.matched()
    for _ in range(10):
        bench.say(vendor.VsPlLinkStatusCnf(status=0, link_status=0), STRANGER)
    bench.wait(1.0)
    assert bench.state is LinkState.MATCHED


@pytest.mark.parametrize('state', ['A', 'E', 'F', 'UNKNOWN'])
def test_unplugging_and_faults_leave_the_network_at_once(bench, car, state):
    car.matched()
    key = bench.keys[-1].new_key
    bench.pilot(state, digital=False)
    assert bench.state is LinkState.UNMATCHED
    bench.wait(1.0)
    assert bench.keys[-1].new_key != key


def test_each_plug_in_has_its_own_key(bench, car):
    keys = []
    for _ in range(20):
        car.matched()
        keys.append(bench.last(mme.CmSlacMatchCnf).nmk)
        bench.pilot('A', digital=False)
        bench.wait(1.0)
        bench.pilot('B')
    assert len({key.reveal() for key in keys}) == 20


def test_a_key_that_nobody_got_stays(bench, car):
    car.accepted()
    bench.pilot('A', digital=False)
    bench.wait(1.0)
    assert len(bench.keys) == 1  # a new key is written to the modem's flash


def test_five_percent_going_off_leaves_after_half_a_second(bench, car):
    car.matched()
    bench.pilot('B', digital=False)
    bench.wait(0.45)
    assert bench.state is LinkState.MATCHED
    bench.wait(0.1)
    assert bench.state is LinkState.UNMATCHED


@pytest.mark.parametrize('pause_first', [True, False])
def test_a_pause_keeps_the_network(bench, car, pause_first):
    car.matched()
    keys = len(bench.keys)
    steps = [lambda: bench.data_link(DataLink.PAUSE), lambda: bench.pilot('B', digital=False)]
    for step in steps if pause_first else reversed(steps):
        step()
        bench.wait(0.2)
    bench.link = False  # the car's modem sleeps
    bench.wait(600.0)
    assert bench.state is LinkState.UNMATCHED
    bench.pilot('B')
    bench.wait(1.0)
    assert bench.state is LinkState.MATCHING
    bench.link = True
    bench.wait(0.2)
    assert bench.state is LinkState.MATCHED
    assert len(bench.keys) == keys
    assert bench.core.status().peer_mac == CAR


def test_a_toggling_car_ends_the_pause(bench, car):
    car.matched()
    bench.data_link(DataLink.PAUSE)
    bench.pilot('B', digital=False)
    bench.wait(10.0)
    bench.pilot('B', digital=False, toggles=1)
    bench.wait(0.2)
    assert bench.state is LinkState.MATCHED


def test_a_link_that_does_not_come_back_after_a_pause_is_left(bench, car):
    car.matched()
    bench.data_link(DataLink.PAUSE)
    bench.pilot('B', digital=False)
    bench.link = False
    bench.wait(60.0)
    bench.pilot('B')
    bench.wait(TT_CONN_RESUME - 0.1)
    assert bench.core.status().peer_mac == CAR
    assert wish(bench) is WishKind.NONE
    bench.wait(0.2)
    assert bench.core.status().peer_mac is None
    assert wish(bench) is WishKind.STEP


def test_a_pause_without_keeping_is_an_end(make_bench):
    bench = make_bench(EvseConfig(keep_key_over_pause=False))
    bench.pilot('B')
    Car(bench).matched()
    bench.data_link(DataLink.PAUSE)
    assert bench.core.status().peer_mac is None
    assert len(bench.keys) == 2


def test_the_upper_layer_ends_the_link_until_the_pilot_starts_anew(bench, car):
    car.matched()
    bench.data_link(DataLink.TERMINATE)
    bench.wait(1.0)
    car.parm()
    assert bench.state is LinkState.UNMATCHED
    assert wish(bench) is WishKind.NONE
    assert bench.count(mme.CmSlacParmCnf) == 1
    bench.pilot('B', digital=False)
    bench.pilot('B')
    car.matched()
    assert bench.state is LinkState.MATCHED


def wish(bench):
    return bench.core.status().pilot_wish.kind


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


def lose_the_link(bench):
    bench.link = False
    bench.wait(1.0)


def let_the_modem_go(bench):
    bench.modem(False)
    bench.modem(True)
    bench.wait(0.1)


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


def test_reset_by_hand(bench, car):
    car.matched()
    key = bench.keys[-1].new_key
    bench.reset()
    assert bench.state is LinkState.UNAVAILABLE
    bench.wait(3.0 + STEP_PATIENCE)
    assert bench.state is LinkState.MATCHING
    assert bench.keys[-1].new_key != key


def test_a_modem_that_takes_no_key_is_restarted(make_bench):
    bench = make_bench(up=False)
    bench.answering = False
    bench.modem(True)
    bench.wait(5.1)
    assert bench.resets == ['it does not take a key']
    assert len([1 for frame in bench.raw if frame[15:17] == b'\x08\x60']) == 5


def test_a_modem_without_flash_is_named(make_bench):
    bench = make_bench(up=False)
    bench.answering = False
    bench.modem(True)
    bench.modem_says(vendor.VsHostActionInd(action=0))
    bench.wait(5.1)
    assert bench.resets == ['it asks for firmware']


def test_a_modem_that_hangs_is_restarted(bench, car):
    bench.pilot('A', digital=False)
    bench.wait(100.0)
    assert bench.resets == []
    bench.answering = False
    bench.wait(39.0)
    assert bench.resets == []
    bench.wait(2.0)
    assert bench.resets == ['it does not answer']
    bench.answering = True
    bench.wait(8.0)
    bench.pilot('B')
    car.matched()
    assert bench.state is LinkState.MATCHED


def test_a_modem_that_does_not_tell_its_version_is_not_taken_to_hang(make_bench):
    bench = make_bench(up=False)
    bench.answering = False
    bench.modem(True)
    bench.modem_says(mme.CmSetKeyCnf(
        result=1, my_nonce=bytes(4), your_nonce=bench.raw[-1][20:24]))
    bench.wait(1000.0)
    assert bench.resets == []


def test_a_late_answer_to_an_earlier_attempt_is_the_modems(make_bench):
    bench = make_bench(up=False)
    bench.answering = False
    bench.modem(True)
    nonce = bench.raw[-1][20:24]
    bench.wait(1.2)
    bench.modem_says(mme.CmSetKeyCnf(result=1, my_nonce=bytes(4), your_nonce=nonce))
    assert bench.core.status().modem_mac == bench.modem_mac
    assert bench.core.status().counters['keys set, result 1'] == 1
    # Another key, another nonce.
    bench.pilot('B')
    car = Car(bench)
    car.accepted()
    car.match()
    bench.data_link(DataLink.TERMINATE)
    before = bench.core.status()
    bench.modem_says(mme.CmSetKeyCnf(result=1, my_nonce=bytes(4), your_nonce=nonce))
    assert bench.core.status().counters['keys set, result 1'] == 1
    assert bench.core.status().state is before.state


def test_an_answer_with_another_nonce_is_no_modem(make_bench):
    bench = make_bench(up=False)
    bench.answering = False
    bench.modem(True)
    bench.say(mme.CmSetKeyCnf(result=1, my_nonce=bytes(4), your_nonce=bytes(4)), STRANGER)
    assert bench.core.status().modem_mac is None


@pytest.mark.parametrize('result', [0, 1])
def test_both_meanings_of_success_are_taken(make_bench, result):
    bench = make_bench(up=False)
    bench.answering = False
    bench.modem(True)
    nonce = bench.raw[-1][20:24]
    bench.modem_says(mme.CmSetKeyCnf(result=result, my_nonce=bytes(4), your_nonce=nonce))
    bench.pilot('B')
    assert bench.state is LinkState.MATCHING


def test_a_restart_that_the_key_causes_does_not_set_the_key_again(make_bench):
    bench = make_bench()
    bench.wait(0.1)
    bench.modem(False)
    assert bench.state is LinkState.UNMATCHED
    bench.wait(1.0)
    bench.modem(True)
    assert len(bench.keys) == 1
    bench.wait(1.0)
    bench.modem(False)
    assert bench.state is LinkState.UNAVAILABLE
    bench.modem(True)
    assert len(bench.keys) == 2


def test_a_modem_that_does_not_come_back_is_unavailable(make_bench):
    bench = make_bench()
    bench.modem(False)
    bench.wait(19.9)
    assert bench.state is LinkState.UNMATCHED
    bench.wait(0.2)
    assert bench.state is LinkState.UNAVAILABLE


def test_validation_counts_toggles(bench, car):
    car.accepted()
    car.validate()
    assert bench.last(mme.CmValidateCnf).result == mme.ValidateResult.READY
    begin = bench.now
    car.validate(timer=19)
    for toggles in (1, 2):
        bench.wait(0.3)
        bench.pilot('C', toggles=toggles - 1)
        bench.wait(0.3)
        bench.pilot('B', toggles=toggles)
    bench.run(begin + 1.99)
    assert bench.count(mme.CmValidateCnf) == 1
    bench.run(begin + 2.01)
    answer = bench.last(mme.CmValidateCnf)
    assert (answer.toggle_num, answer.result) == (2, mme.ValidateResult.SUCCESS)
    bench.wait(0.3)
    car.match()
    assert bench.count(mme.CmSlacMatchCnf) == 1


def test_the_match_follows_validation_within_400_ms(bench, car):
    car.accepted()
    car.validate()
    car.validate(timer=9)
    bench.pilot('B', toggles=1)
    bench.wait(1.5)
    car.match()
    assert bench.count(mme.CmSlacMatchCnf) == 0


def test_without_toggles_validation_fails(bench, car):
    car.accepted()
    car.validate()
    car.validate(timer=9)
    bench.wait(1.1)
    assert bench.last(mme.CmValidateCnf).result == mme.ValidateResult.FAILURE
    car.match()
    assert bench.count(mme.CmSlacMatchCnf) == 0


def test_validation_waits_for_state_b(bench, car):
    bench.pilot('C')
    car.accepted()
    car.validate()
    assert bench.last(mme.CmValidateCnf).result == mme.ValidateResult.NOT_READY


def test_too_far_away_is_reported_but_not_matched(make_bench):
    bench = make_bench(EvseConfig(max_attenuation=19.5))
    bench.pilot('B')
    car = Car(bench)
    car.accepted()
    assert bench.count(mme.CmAttenCharInd) == 1
    car.match()
    assert bench.count(mme.CmSlacMatchCnf) == 0
    assert bench.core.status().counters['matches refused, attenuation too high'] == 1


def test_two_cars_at_once_are_kept_apart(bench):
    near, far = Car(bench), Car(bench, STRANGER, bytes(8))
    for each in (near, far):
        each.sounding()
    for _ in range(10):
        near.sound(bytes([10] * 58))
        far.sound(bytes([70] * 58))
    reports = {f.destination: f.message for _, f in bench.sent
               if isinstance(f.message, mme.CmAttenCharInd)}
    assert set(reports[CAR].groups) == {10}
    assert set(reports[STRANGER].groups) == {70}
    near.confirm()
    far.confirm()
    far.match()
    assert bench.count(mme.CmSlacMatchCnf) == 0
    near.match()
    far.match()
    assert [f.destination for _, f in bench.sent
            if isinstance(f.message, mme.CmSlacMatchCnf)] == [CAR]


def test_a_second_car_while_matched_gets_no_answer(bench, car):
    car.matched()
    answers = len(bench.sent)
    Car(bench, STRANGER, bytes(8)).matched()
    assert len(bench.sent) == answers
    assert bench.state is LinkState.MATCHED


def test_replayed_requests_end_a_run_but_not_the_station(bench, car):
    for _ in range(session.MAX_RESTARTS + 1):
        car.sounding()
        bench.wait(0.1)
    answers = bench.count(mme.CmSlacParmCnf)
    for _ in range(100):
        car.parm()
        bench.wait(0.1)
    assert bench.count(mme.CmSlacParmCnf) == answers
    Car(bench, run=bytes(8)).matched()
    assert bench.state is LinkState.MATCHED


def test_the_end_of_a_strangers_run_does_not_interrupt_a_car_that_begins(bench, car):
    Car(bench, STRANGER, bytes(8)).sounding()
    bench.wait(0.5)
    car.parm()
    bench.wait(0.2)
    assert bench.core.status().failures == 1
    car.start()
    for _ in range(10):
        car.sound()
    car.confirm()
    car.match()
    bench.wait(2.0)
    assert bench.state is LinkState.MATCHED


def test_a_crowd_of_sounding_strangers_is_bounded(bench, car):
    car.sounding()
    car.sound()
    for number in range(1000):
        Car(bench, STRANGER[:2] + number.to_bytes(4, 'big'), bytes(8)).sounding()
    for _ in range(9):
        car.sound()
    car.confirm()
    car.match()
    bench.wait(2.0)
    assert bench.state is LinkState.MATCHED


def test_a_car_finds_a_place_in_a_crowd(bench, car):
    for number in range(1000):
        Car(bench, STRANGER[:2] + number.to_bytes(4, 'big'), bytes(8)).sounding()
    car.matched()
    assert bench.state is LinkState.MATCHED
    assert bench.core.status().counters['runs failed, pushed out'] > 900


@pytest.mark.parametrize(('delay', 'served'), [(0.39, True), (0.41, False)])
def test_a_car_that_was_answered_before_the_time_to_start_ends_may_go_on(bench, car, delay, served):
    bench.run(39.9)
    car.parm()
    bench.wait(delay)
    assert (bench.state is LinkState.MATCHING) is served
    car.start()
    for _ in range(10):
        car.sound()
    assert bench.count(mme.CmAttenCharInd) == served


def test_requests_after_the_time_to_start_do_not_put_off_its_end(bench, car):
    bench.run(39.9)
    for _ in range(5):
        car.parm()
        bench.wait(0.15)
    assert bench.state is LinkState.FAILED
    assert bench.core.status().failures == 1


def test_the_time_to_start_counts_from_the_pilot_not_from_others(make_bench):
    bench = make_bench(EvseConfig(init_timeout=10.0))
    bench.pilot('B')
    bench.wait(9.8)
    Car(bench, STRANGER, bytes(8)).sounding()
    bench.wait(0.3)
    Car(bench).parm()
    assert bench.count(mme.CmSlacParmCnf) == 1
    bench.wait(0.5)
    assert bench.state is LinkState.FAILED


def test_the_window_for_toggles_is_bounded(bench, car):
    car.accepted()
    car.validate()
    car.validate(timer=255)
    bench.pilot('B', toggles=1)
    bench.wait(3.6)
    assert bench.last(mme.CmValidateCnf).result == mme.ValidateResult.SUCCESS


def resident_memory():
    """Return the octets of real memory that this process has."""
    return int(Path('/proc/self/statm').read_text().split()[1]) * resource.getpagesize()


def test_an_honest_car_among_100_000_strangers(make_bench):
    """10^5 requests with random addresses at the line's rate, beside one honest car."""
    bench = make_bench()
    random = Random(1)
    rate = 4000.0
    frames = [encode(BROADCAST, b'\x02' + random.randbytes(5),
                     mme.CmSlacParmReq(run_id=random.randbytes(8))) for _ in range(1000)]
    stranger = itertools.cycle(range(len(frames)))
    bench.pilot('B')
    begin = bench.now
    car = Car(bench)
    steps = {15.0: car.parm, 15.21: car.start, 15.7: car.confirm, 16.3: car.match}
    steps.update({15.25 + 0.04 * number: car.sound for number in range(10)})
    todo = sorted(steps.items())
    gc.collect()
    before, peak = resident_memory(), 0
    matched = None
    for number in range(100_000):
        now = begin + number / rate
        if now >= bench.now:
            bench.run(now)
        while todo and now - begin >= todo[0][0]:
            todo.pop(0)[1]()
        frame = bytearray(frames[next(stranger)])
        frame[8:12] = number.to_bytes(4, 'big')
        bench.frame(bytes(frame))
        bench.sent.clear()
        bench.raw.clear()
        if number % 5000 == 0:
            peak = max(peak, resident_memory() - before)
        if matched is None and bench.state is LinkState.MATCHED:
            matched = now - begin
    assert matched is not None
    assert matched < 20.0
    assert bench.state is LinkState.MATCHED
    assert bench.core.status().peer_mac == CAR
    assert peak < 5e6
    assert bench.resets == []
    print(f'matched after {matched:.1f} s among strangers, {peak / 1e6:.1f} MB more')


def test_pending_requests_are_bounded(bench):
    for number in range(3 * runs.MAX_PENDING):
        bench.frame(encode(BROADCAST, b'\x02\0' + number.to_bytes(4, 'big'),
                           mme.CmSlacParmReq(run_id=RUN)))
    assert len(bench.core._runs._pending) == runs.MAX_PENDING


PHASES = {
    'no modem': lambda bench, car: bench.modem(False),
    'idle': lambda bench, car: bench.pilot('A', digital=False),
    'waiting': lambda bench, car: None,
    'pending': lambda bench, car: car.parm(),
    'sounding': lambda bench, car: car.sounding(),
    'reported': lambda bench, car: (car.sounding(1), car.sound()),
    'accepted': lambda bench, car: car.accepted(),
    'toggling': lambda bench, car: (car.accepted(), car.validate(), car.validate(9)),
    'joining': lambda bench, car: (car.accepted(), car.match()),
    'matched': lambda bench, car: car.matched(),
    'paused': lambda bench, car: (car.matched(), bench.data_link(DataLink.PAUSE)),
    'resuming': lambda bench, car: (
        car.matched(), bench.data_link(DataLink.PAUSE), bench.pilot('B', digital=False),
        setattr(bench, 'link', False), bench.pilot('B')),
    'failed': lambda bench, car: bench.wait(41.0),
    'given up': lambda bench, car: bench.wait(300.0),
}
STRAY = {
    type(message).__name__: message for message in (
        mme.CmSlacParmReq(run_id=RUN), mme.CmSlacParmCnf(forwarding_sta=CAR, run_id=RUN),
        mme.CmStartAttenCharInd(forwarding_sta=CAR, run_id=RUN),
        mme.CmMnbcSoundInd(remaining=3, run_id=RUN, random=bytes(16)),
        mme.CmAttenProfileInd(pev_mac=CAR, groups=PROFILE),
        mme.CmAttenCharInd(source_address=CAR, run_id=RUN, num_sounds=1, groups=PROFILE),
        mme.CmAttenCharRsp(source_address=CAR, run_id=RUN),
        mme.CmValidateReq(), mme.CmValidateReq(timer=5), mme.CmValidateCnf(result=1),
        mme.CmSlacMatchReq(pev_mac=CAR, evse_mac=bytes.fromhex('020000000001'), run_id=RUN),
        mme.CmSlacMatchCnf(pev_mac=CAR, evse_mac=STRANGER, run_id=RUN, nid=bytes(7),
                           nmk=Nmk(bytes(16))),
        mme.CmSetKeyReq(my_nonce=bytes(4), nid=bytes(7), new_key=Nmk(bytes(16))),
        mme.CmSetKeyCnf(result=1, my_nonce=bytes(4), your_nonce=bytes(4)),
        mme.CmAmpMapReq(carriers=2, data=b'\1\2'.ljust(39, b'\0')), mme.CmAmpMapCnf(result=0),
        mme.CmNwStatsReq(), mme.CmNwStatsCnf(count=0, data=bytes(40)),
        vendor.VsSwVerReq(), vendor.VsRsDevReq(), vendor.VsFacDefaultsReq(),
        vendor.VsPlLinkStatusReq(), vendor.VsPlLinkStatusCnf(status=0, link_status=1),
        vendor.VsHostActionInd(action=0),
    )
}


@pytest.mark.parametrize('phase', ['waiting', 'pending', 'sounding', 'reported', 'accepted',
                                   'joining', 'matched'])
@pytest.mark.parametrize('name', [
    name for name, message in STRAY.items() if type(message).VERSION])
def test_truncated_and_wrongly_framed_messages_change_nothing(make_bench, phase, name):
    """Every truncation of every message, of the car and of the modem, and every other framing."""
    bench = make_bench(link_after_confirmation=0.0)
    bench.pilot('B')
    PHASES[phase](bench, Car(bench))
    bench.run(bench.now)
    before, sent = bench.core.status(), len(bench.raw)
    dropped = sum(before.counters.values())
    source = bench.modem_mac if name in OF_THE_MODEM else CAR
    whole = encode(bench.mac, source, STRAY[name])
    for length in range(len(whole)):
        bench.frame(whole[:length])
    for version in (0x00, 0x02, 0xFF):
        bench.frame(whole[:14] + bytes([version]) + whole[15:])
    after = bench.core.status()
    assert replace(after, counters={}) == replace(before, counters={})
    assert sum(after.counters.values()) == dropped + len(whole) + 3
    assert len(bench.raw) == sent


@pytest.mark.parametrize('phase', PHASES)
@pytest.mark.parametrize('name', STRAY)
def test_a_stranger_changes_nothing_in_any_phase(make_bench, phase, name):
    """Every message in every phase, from a station that is not part of it."""
    bench = make_bench()
    if phase != 'idle':
        bench.pilot('B')
    PHASES[phase](bench, Car(bench))
    before, sent, resets = bench.core.status(), len(bench.sent), list(bench.resets)
    message = STRAY[name]
    for field in ('pev_mac', 'source_address', 'forwarding_sta'):
        if hasattr(message, field):
            message = replace(message, **{field: STRANGER})
    if hasattr(message, 'run_id'):
        message = replace(message, run_id=bytes(8))
    bench.say(message, STRANGER)
    after = bench.core.status()
    assert replace(after, counters={}) == replace(before, counters={})
    assert bench.resets == resets
    answers = [frame for _, frame in bench.sent[sent:]]
    if name == 'CmSlacParmReq' and phase in (
            'waiting', 'pending', 'sounding', 'reported', 'accepted', 'toggling'):
        assert [type(frame.message) for frame in answers] == [mme.CmSlacParmCnf]
    else:
        assert answers == []


@pytest.mark.parametrize('phase', PHASES)
@pytest.mark.parametrize('name', STRAY)
def test_any_message_of_the_car_in_any_phase_leaves_the_station_working(make_bench, phase, name):
    """The car itself out of order: afterwards a proper car is matched all the same."""
    bench = make_bench()
    if phase != 'idle':
        bench.pilot('B')
    PHASES[phase](bench, Car(bench))
    bench.say(STRAY[name])
    bench.wait(15.0)
    if phase == 'no modem':
        bench.modem(True)
    bench.pilot('A', digital=False)
    bench.wait(2.0)
    bench.pilot('B')
    Car(bench, run=bytes(8)).matched()
    assert bench.state is LinkState.MATCHED


OF_THE_MODEM = ('CmSetKeyCnf', 'CmAttenProfileInd', 'CmNwStatsCnf')
EVENTS = st.one_of(
    st.tuples(st.just('say'), st.sampled_from(sorted(STRAY)),
              st.sampled_from([CAR, STRANGER, bytes.fromhex('00b052aabb01')])),
    st.tuples(st.just('pilot'), st.sampled_from('ABCDEF'), st.booleans()),
    st.tuples(st.just('wait'), st.sampled_from([0.05, 0.3, 1.0, 5.0, 13.0, 45.0])),
    st.tuples(st.just('data_link'), st.sampled_from(list(DataLink))),
    st.tuples(st.just('modem'), st.booleans()),
    st.tuples(st.just('link'), st.booleans()),
    st.tuples(st.just('match')),
    st.tuples(st.just('reset')),
)


@settings(max_examples=150, deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(EVENTS, max_size=30))
def test_any_history_ends_in_a_working_station(make_bench, events):
    bench = make_bench()
    for event in events:
        kind, *values = event
        if kind == 'say':
            bench.say(STRAY[values[0]], values[1])
        elif kind == 'match':
            Car(bench).accepted()
            Car(bench).match()
        elif kind == 'link':
            bench.link = values[0]
        elif kind == 'reset':
            bench.reset()
        else:
            getattr(bench, kind)(*values)
        status = bench.core.status()
        if status.state is LinkState.MATCHED:
            assert status.peer_mac is not None
        assert len(bench.core._runs) <= runs.MAX_SESSIONS
    bench.modem(False)
    bench.wait(6.0)
    bench.modem(True)
    bench.pilot('A', digital=False)
    bench.wait(5.0)
    bench.pilot('B')
    given_before = {frame.message.nmk for _, frame in bench.sent
                    if isinstance(frame.message, mme.CmSlacMatchCnf)}
    Car(bench, run=bytes(8)).matched()
    assert bench.state is LinkState.MATCHED
    assert bench.last(mme.CmSlacMatchCnf).nmk not in given_before


@pytest.mark.parametrize(('setting', 'text'), [
    ({'init_timeout': 60.0}, 'init_timeout is 60.0'), ({'attempts': 0}, 'attempts is 0'),
    ({'max_attenuation': 0.0}, 'max_attenuation is 0.0'), ({'reset_after': -1}, 'reset_after'),
])
def test_settings_out_of_range_are_named(setting, text):
    with pytest.raises(ValueError, match=text):
        EvseConfig(**setting)


def test_calibration_out_of_range_is_named():
    with pytest.raises(ValueError, match='57 groups'):
        Calibration(0, (0,) * 57)
    with pytest.raises(ValueError, match='101 dB'):
        Calibration(101)
