"""The station's SLAC among strangers: several cars, floods, every message in every phase."""

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
from slac_car import BROADCAST, CAR, PROFILE, RUN, STRANGER, Car

from ccs2_link.homeplug import messages as mme
from ccs2_link.homeplug import vendor
from ccs2_link.homeplug.frame import encode
from ccs2_link.homeplug.keys import Nmk
from ccs2_link.slac import runs, session
from ccs2_link.slac.attenuation import Calibration
from ccs2_link.slac.contract import DataLink, LinkState
from ccs2_link.slac.evse import EvseConfig


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
