"""The station's SLAC from the first request to the match: timers, retries, validation."""

from __future__ import annotations

from dataclasses import replace

import pytest
from slac_car import BROADCAST, CAR, PROFILE, RUN, STRANGER, Car, wish

from ccs2_link.homeplug import messages as mme
from ccs2_link.homeplug.frame import encode
from ccs2_link.homeplug.keys import nid_of
from ccs2_link.slac.attenuation import Calibration
from ccs2_link.slac.contract import LinkState, WishKind
from ccs2_link.slac.evse import EvseConfig


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
