"""Every recorded car's SLAC drives the station to MATCHED."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from ccs2_link.homeplug import messages as mme
from ccs2_link.homeplug.errors import FrameError
from ccs2_link.homeplug.frame import MIN_FRAME, decode, encode, kinds
from ccs2_link.homeplug.keys import nid_of
from ccs2_link.slac.contract import DataLink, LinkState

SESSIONS = Path(__file__).parents[4] / 'shared' / 'sessions'
FILES = sorted(SESSIONS.glob('*.slac.jsonl'))
VLAN = b'\x81\x00'
SPOKEN = {kind.MMTYPE for kind in kinds()}

pytestmark = pytest.mark.skipif(not FILES, reason='recorded sessions are not beside the checkout')


@dataclass
class Run:
    """One matching of one car with one station, and what that station answered."""

    name: str
    car: bytes
    station: bytes
    modem: bytes
    frames: list[tuple[float, bytes]] = field(default_factory=list)
    answers: list[bytes] = field(default_factory=list)


def lines(path: Path) -> list[tuple[float, str, bytes]]:
    """Return time, direction and untagged frame; the tag is what the capture box added."""
    result = []
    for line in path.read_text().splitlines():
        record = json.loads(line)
        octets = bytes.fromhex(record['frame'])
        if octets[12:14] == VLAN:
            octets = (octets[:12] + octets[16:]).ljust(MIN_FRAME, b'\0')
        result.append((record['t'], record['dir'], octets))
    return result


def parsed(octets: bytes) -> Any:
    try:
        return decode(octets)
    except ValueError:
        return None


def runs_of(path: Path) -> list[Run]:
    """Cut a capture into runs: each ends with a CM_SLAC_MATCH.REQ that names its station."""
    recorded = [(time, octets, parsed(octets)) for time, _, octets in lines(path)]
    runs = []
    for time, _, frame in recorded:
        if frame is None or not isinstance(frame.message, mme.CmSlacMatchReq):
            continue
        request = frame.message
        if any(run.car == request.pev_mac and run.station == request.evse_mac for run in runs):
            continue
        run = Run(f'{path.name.split(".")[0]}-{len(runs)}', request.pev_mac, request.evse_mac, b'')
        for at, octets, other in recorded:
            if other is None or not time - 90 <= at <= time + 2:
                continue
            if other.source == run.car:
                run.frames.append((at, octets))
            elif isinstance(other.message, mme.CmAttenProfileInd):
                if other.message.pev_mac == run.car:
                    run.modem = other.source
                    run.frames.append((at, octets))
            elif other.source == run.station and other.destination == run.car:
                run.answers.append(octets)
        runs.append(run)
    return runs


RUNS = [run for path in FILES for run in runs_of(path)]
OVERHEARD = [run for run in RUNS if not run.answers]
"""Cars that matched with a neighbour's station: that station's answers were not recorded."""
SERVED = [run for run in RUNS if run.answers]


def replay(run, make_bench, mac):
    bench = make_bench(mac=mac, modem_mac=run.modem)
    begin = run.frames[0][0]
    bench.wait(1.0)
    origin = bench.now + 1.0
    bench.pilot('B')
    for time, octets in run.frames:
        bench.at(origin + time - begin, lambda octets=octets: bench.frame(octets))
    bench.run(origin + run.frames[-1][0] - begin + 2.0)
    return bench


@pytest.mark.parametrize('run', SERVED, ids=lambda run: run.name)
def test_recorded_car_is_matched(run, make_bench):
    bench = replay(run, make_bench, run.station)
    assert bench.state is LinkState.MATCHED
    assert bench.core.status().peer_mac == run.car
    assert bench.core.status().matches == 1
    assert bench.core.status().failures <= 1  # the Kona asks for a minute before it goes on


@pytest.mark.parametrize('run', OVERHEARD, ids=lambda run: run.name)
def test_overheard_car_is_not_matched(run, make_bench):
    bench = replay(run, make_bench, bytes.fromhex('020000000099'))
    assert bench.state is LinkState.MATCHING
    assert bench.last(mme.CmSlacMatchCnf) is None


DIFFERENCES = {
    'audi-q4-iso2-dc': (-10, -10, 'that station was set to report 10 dB less than measured'),
    'audi-q4-slac-only': (-10, -10, 'the same station'),
    'dspace-iso-2-dc-multi-evse': (-16, 11, 'profiles of two stations are in one capture'),
    'dspace': (-8, -2, "the rig's station corrects each group by its own calibration"),
}
"""Captures whose station reported other attenuations than the mean: dB, dB and why."""


@pytest.mark.parametrize('run', SERVED, ids=lambda run: run.name)
def test_answers_are_those_of_the_recorded_station(run, make_bench):
    low, high, _ = next(
        (known for prefix, known in DIFFERENCES.items() if run.name.startswith(prefix)), (0, 0, '')
    )
    bench = replay(run, make_bench, run.station)
    for octets in run.answers:
        theirs = decode(octets).message
        ours = [frame.message for _, frame in bench.sent if type(frame.message) is type(theirs)]
        if isinstance(theirs, mme.CmSlacMatchCnf):
            # Key and network are each station's own.
            theirs = replace(theirs, nid=ours[-1].nid, nmk=ours[-1].nmk)
        if isinstance(theirs, mme.CmAttenCharInd):
            steps = zip(theirs.groups, ours[-1].groups, strict=True)
            assert all(low <= their - our <= high for their, our in steps)
            theirs = replace(theirs, groups=ours[-1].groups)
        assert theirs in ours
        # Length and padding, too.
        assert encode(run.car, run.station, theirs) in bench.raw


PILOT, STATIONS = 0xA22E, 0x0015
"""The rig's own record of the pilot, and its modem's answer on who is in the network."""


def test_a_car_that_wakes_up_as_slowly_as_a_recorded_one_is_waited_for(make_bench):
    """The rig's car toggles at the end of its pause and is back in the network after 7 to 8 s."""
    recorded = [(time, int.from_bytes(octets[15:17], 'little'), octets[19:])
                for time, _, octets in lines(SESSIONS / 'dspace-iso-2-dc-pause-2.slac.jsonl')]
    pilots = [(time, payload[9], int.from_bytes(payload[12:14], 'little') / 1e3)
              for time, kind, payload in recorded if kind == PILOT]
    alone = max(time for time, kind, payload in recorded
                if kind == STATIONS and time < -5.0 and not payload[0])
    toggle = [(time, volts) for time, duty, volts in pilots if alone - 10 < time < alone
              and duty == 100]
    woken = next(time for time, duty, _ in pilots if time > toggle[-1][0] and duty == 5)
    back = next(time for time, kind, payload in recorded
                if kind == STATIONS and time > woken and payload[0])
    assert [round(volts) for _, volts in toggle] == [6, 9]
    assert 6.0 < back - woken < 8.0

    run = next(run for run in SERVED if run.name.startswith('dspace-iso-2-dc-pause-1'))
    bench = replay(run, make_bench, run.station)
    assert bench.state is LinkState.MATCHED
    keys = len(bench.keys)
    bench.data_link(DataLink.PAUSE)
    bench.pilot('B', digital=False)
    bench.link = False
    bench.wait(30.0)
    begin = bench.now
    bench.pilot('C', digital=False)
    bench.run(begin + toggle[1][0] - toggle[0][0])
    bench.pilot('B', digital=False, toggles=1)
    bench.run(begin + woken - toggle[0][0])
    bench.pilot('B', toggles=1)
    bench.run(begin + back - toggle[0][0])
    assert bench.state is LinkState.MATCHING
    bench.link = True
    bench.wait(0.2)
    assert bench.state is LinkState.MATCHED
    assert len(bench.keys) == keys


@pytest.mark.parametrize('path', FILES, ids=lambda path: path.name.split('.')[0])
def test_every_recorded_message_is_read_and_written_back(path):
    for _, _, octets in lines(path):
        if int.from_bytes(octets[15:17], 'little') in SPOKEN:
            frame = decode(octets)
            assert encode(frame.destination, frame.source, frame.message) == octets
        else:
            with pytest.raises(FrameError, match=r'unknown'):
                decode(octets)


@pytest.mark.parametrize('path', FILES, ids=lambda path: path.name.split('.')[0])
def test_networks_of_recorded_keys(path):
    if path.name.startswith('dspace'):
        pytest.skip('the rig names its networks at random')
    for _, _, octets in lines(path):
        frame = parsed(octets)
        if frame is not None and isinstance(frame.message, mme.CmSetKeyReq):
            assert frame.message.nid == nid_of(frame.message.new_key)
