"""The car's SLAC: what it says when, which station it takes, and when it gives up."""

from __future__ import annotations

import pytest
from slac_car import CAR

from ccs2_link.homeplug import messages as mme
from ccs2_link.homeplug.keys import Nmk
from ccs2_link.slac.contract import DataLink, LinkState
from ccs2_link.slac.ev import MAX_STATIONS, EvConfig, EvSlac

NEAR, FAR = bytes.fromhex('020000000001'), bytes.fromhex('020000000002')
KEY = Nmk(bytes(range(16)))
NID = bytes.fromhex('11223344556607')


class Station:
    """Says what a station says."""

    def __init__(self, bench, mac=NEAR):
        self.bench, self.mac = bench, mac

    @property
    def run_id(self):
        return self.bench.core.status().run_id

    def say(self, message):
        self.bench.say(message, self.mac)

    def parameters(self, **fields):
        self.say(mme.CmSlacParmCnf(**{
            'forwarding_sta': CAR, 'run_id': self.run_id, **fields}))

    def attenuation(self, level=20, **fields):
        self.say(mme.CmAttenCharInd(**{
            'source_address': CAR, 'run_id': self.run_id, 'num_sounds': 10,
            'groups': bytes([level] * 58), **fields}))

    def match(self, **fields):
        self.say(mme.CmSlacMatchCnf(**{
            'pev_mac': CAR, 'evse_mac': self.mac, 'run_id': self.run_id, 'nid': NID, 'nmk': KEY,
            **fields}))


def make(bench_of, config=None):
    bench = bench_of(EvSlac(CAR, config), CAR)
    bench.modem(True)
    bench.pilot('B')
    return bench


@pytest.fixture
def bench(bench_of):
    return make(bench_of)


@pytest.fixture
def station(bench):
    return Station(bench)


def through_sounding(bench, *stations):
    for each in stations:
        each.parameters()
    bench.wait(0.75)


def matched(bench, station):
    through_sounding(bench, station)
    station.attenuation()
    station.match()
    bench.link = True
    bench.wait(1.0)


def test_a_station_is_matched_with_its_network(bench, station):
    matched(bench, station)
    status = bench.core.status()
    assert (status.state, status.peer_mac, status.nid) == (LinkState.MATCHED, NEAR, NID)
    assert status.attenuation == 20.0
    # Not every station derives the identifier from the key: what it said is what is set.
    assert (bench.keys[-1].new_key, bench.keys[-1].nid) == (KEY, NID)


def test_the_request_is_repeated_twice_200_ms_apart(bench):
    bench.wait(0.65)
    assert bench.times(mme.CmSlacParmReq) == pytest.approx([0.0, 0.2, 0.4])


def test_three_announcements_and_ten_sounds(bench, station):
    through_sounding(bench, station)
    starts, sounds = (bench.times(kind) for kind in (
        mme.CmStartAttenCharInd, mme.CmMnbcSoundInd))
    assert len(starts) == 3
    assert len(sounds) == 10
    steps = [after - before for before, after in zip(
        starts + sounds, (starts + sounds)[1:], strict=False)]
    assert all(0.02 <= step <= 0.05 for step in steps)
    said = [f.message for _, f in bench.sent if isinstance(f.message, mme.CmMnbcSoundInd)]
    assert [sound.remaining for sound in said] == list(range(9, -1, -1))
    announced = bench.last(mme.CmStartAttenCharInd)
    assert (announced.num_sounds, announced.time_out, announced.resp_type) == (10, 6, 1)
    assert announced.forwarding_sta == CAR


def test_the_station_decides_how_many_sounds(bench, station):
    station.parameters(num_sounds=3)
    bench.wait(1.0)
    assert bench.count(mme.CmMnbcSoundInd) == 3


@pytest.mark.parametrize('fields', [
    {'run_id': bytes(8)}, {'forwarding_sta': FAR}, {'num_sounds': 0},
])
def test_parameters_for_others_are_ignored(bench, station, fields):
    station.parameters(**fields)
    bench.wait(0.5)
    assert bench.count(mme.CmStartAttenCharInd) == 0


def test_the_nearest_station_is_taken(bench, station):
    far = Station(bench, FAR)
    through_sounding(bench, far, station)
    far.attenuation(40)
    assert bench.count(mme.CmSlacMatchReq) == 0
    station.attenuation(15)
    request = bench.last(mme.CmSlacMatchReq)
    assert (request.evse_mac, request.pev_mac) == (NEAR, CAR)
    assert bench.count(mme.CmAttenCharRsp) == 2


def test_a_silent_station_is_waited_for_until_1200_ms_after_the_first_announcement(bench, station):
    through_sounding(bench, station, Station(bench, FAR))
    station.attenuation()
    begin = bench.times(mme.CmStartAttenCharInd)[0]
    bench.run(begin + 1.19)
    assert bench.count(mme.CmSlacMatchReq) == 0
    bench.run(begin + 1.21)
    assert bench.last(mme.CmSlacMatchReq).evse_mac == NEAR


def test_a_station_too_far_away_is_not_taken(bench_of):
    bench = make(bench_of, EvConfig(max_attenuation=30.0))
    station = Station(bench)
    through_sounding(bench, station)
    station.attenuation(31)
    assert bench.count(mme.CmSlacMatchReq) == 0
    assert '31 dB' in bench.core.status().message


def test_the_match_is_asked_for_three_times(bench, station):
    through_sounding(bench, station)
    station.attenuation()
    bench.wait(0.65)
    first, second, third = bench.times(mme.CmSlacMatchReq)
    assert second - first == pytest.approx(0.2)
    assert third - second == pytest.approx(0.2)
    assert 'did not confirm' in bench.core.status().message


@pytest.mark.parametrize('fields', [
    {'pev_mac': FAR}, {'evse_mac': FAR}, {'run_id': bytes(8)},
])
def test_a_key_for_others_is_not_taken(bench, station, fields):
    through_sounding(bench, station)
    station.attenuation()
    station.match(**fields)
    assert bench.keys == []


def test_a_key_of_another_station_is_not_taken(bench, station):
    through_sounding(bench, station)
    station.attenuation()
    Station(bench, FAR).match()
    assert bench.keys == []


def test_attempts_end_after_ten_seconds(bench):
    bench.wait(60.0)
    assert bench.state is LinkState.FAILED
    last = bench.times(mme.CmSlacParmReq)[-1]
    assert 8.0 < last < 11.0
    bench.pilot('A', digital=False)
    bench.pilot('B')
    assert bench.state is LinkState.MATCHING


def test_400_ms_pass_between_attempts(bench):
    bench.wait(2.0)
    times = bench.times(mme.CmSlacParmReq)
    assert times[3] - times[2] == pytest.approx(0.6)  # 200 ms for the answer, 400 ms of rest


def test_a_join_that_does_not_come_about_is_left(bench, station):
    through_sounding(bench, station)
    station.attenuation()
    station.match()
    bench.wait(11.9)
    assert bench.keys[-1].new_key == KEY
    bench.wait(0.3)
    assert bench.keys[-1].new_key != KEY


def test_a_modem_that_restarts_with_the_key_goes_on_joining(bench, station):
    through_sounding(bench, station)
    station.attenuation()
    station.match()
    bench.wait(0.01)
    bench.modem(False)
    bench.wait(1.0)
    bench.modem(True)
    bench.link = True
    bench.wait(0.5)
    assert bench.state is LinkState.MATCHED


@pytest.mark.parametrize('end', ['unplug', 'terminate', 'loss'])
def test_leaving_takes_another_key(bench, station, end):
    matched(bench, station)
    if end == 'unplug':
        bench.pilot('A', digital=False)
    elif end == 'terminate':
        bench.data_link(DataLink.TERMINATE)
    else:
        bench.link = False
    bench.wait(2.0)
    assert bench.state is not LinkState.MATCHED
    assert bench.keys[-1].new_key != KEY


def test_a_lost_link_starts_a_new_attempt(bench, station):
    matched(bench, station)
    asked = bench.count(mme.CmSlacParmReq)
    bench.link = False
    bench.wait(2.0)
    assert bench.count(mme.CmSlacParmReq) > asked


@pytest.mark.parametrize(('answer', 'text'), [
    (mme.CmValidateCnf(result=mme.ValidateResult.FAILURE), 'refused'),
    (None, 'did not validate'),
])
def test_validation_that_fails(bench_of, answer, text):
    bench = make(bench_of, EvConfig(validate=1))
    station = Station(bench)
    through_sounding(bench, station)
    station.attenuation()
    assert bench.count(mme.CmValidateReq) == 1
    if answer is not None:
        station.say(answer)
    bench.wait(0.65)
    assert any(text in name for name in bench.core.status().counters)
    assert bench.count(mme.CmSlacMatchReq) == 0


def test_a_station_that_needs_no_validation_is_matched(bench_of):
    bench = make(bench_of, EvConfig(validate=1))
    station = Station(bench)
    through_sounding(bench, station)
    station.attenuation()
    station.say(mme.CmValidateCnf(result=mme.ValidateResult.NOT_REQUIRED))
    assert bench.count(mme.CmSlacMatchReq) == 1


def test_a_station_that_is_not_ready_is_asked_again_after_half_a_second(bench_of):
    bench = make(bench_of, EvConfig(validate=1))
    station = Station(bench)
    through_sounding(bench, station)
    station.attenuation()
    station.say(mme.CmValidateCnf(result=mme.ValidateResult.NOT_READY))
    bench.wait(0.51)
    first, second = bench.times(mme.CmValidateReq)
    assert second - first == pytest.approx(0.5)


def test_toggles_last_300_ms_each_and_have_to_be_counted(bench_of):
    bench = make(bench_of, EvConfig(validate=2))
    station = Station(bench)
    through_sounding(bench, station)
    station.attenuation()
    station.say(mme.CmValidateCnf(result=mme.ValidateResult.READY))
    begin = bench.now
    assert bench.last(mme.CmValidateReq).timer == 14
    bench.wait(1.5)
    assert [(round(time - begin, 3), ready) for time, ready in bench.switched] == [
        (0.0, True), (0.3, False), (0.6, True), (0.9, False)]
    station.say(mme.CmValidateCnf(toggle_num=1, result=mme.ValidateResult.SUCCESS))
    assert 'counted 1' in bench.core.status().message


def test_only_so_many_stations_are_compared(bench):
    for number in range(100):
        Station(bench, b'\x02\0\0\0\0' + bytes([number])).parameters()
    assert len(bench.core._stations) == MAX_STATIONS


@pytest.mark.parametrize(('setting', 'text'), [
    ({'validate': 4}, 'validate is 4'), ({'run_id': bytes(7)}, 'run_id has 7'),
])
def test_settings_out_of_range_are_named(setting, text):
    with pytest.raises(ValueError, match=text):
        EvConfig(**setting)
