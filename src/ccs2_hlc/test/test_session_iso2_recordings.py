"""What real cars and a test rig have said by ISO 15118-2, DC, through the engine."""

import itertools
import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from iso2_bench import Iso2Bench

from ccs2_hlc import exi
from ccs2_hlc.exi.messages import iso2
from ccs2_hlc.session.command import Mode
from ccs2_hlc.session.protocols import ISO_15118_2
from ccs2_hlc.session.schedules import Schedule, Step
from ccs2_hlc.session.services import Service
from ccs2_hlc.session.station import PilotState

SESSIONS = Path(__file__).parents[4] / 'shared' / 'sessions'
#: Pace of the replay, s: the recorded pauses are the recorded station's, not the cars'.
PACE = 0.05

#: What the rig's station offered beyond charging.
SETTINGS = {
    'dspace-iso-2-dc-batterydataexchange-risev2g-1': {'services': (
        Service(61000, 'Battery data', 'OtherCustom', True),)},
    'dspace-iso-2-dc-salestariffschedule-risev2g-1': {'schedules': (
        Schedule(10, (Step(0, math.inf),)),),
        # Its plan follows a schedule that reaches beyond the departure; this station's ends there.
        'strict_profile': False},
}
#: What cannot be replayed message by message, and why.
EXCEPTIONS = {
    'dspace-iso-2-dc-renegotiation-risev2g-1':
        'the recorded station repeats the cable check of a renegotiation for 45 messages; with a '
        'battery on the cable this one answers the first from the test that it has made',
}


def recorded():
    for path in sorted(SESSIONS.glob('*iso*2-dc*.jsonl')):
        if not path.name.endswith('.slac.jsonl'):
            yield path


FILES = [path for path in recorded() if '-pnc-' not in path.stem]


@pytest.mark.skipif(not FILES, reason='recorded sessions are not beside this checkout')
@pytest.mark.parametrize('path', FILES, ids=lambda path: path.stem)
def test_a_recorded_session_runs_without_a_failed_response(path):
    lines = path.read_text(encoding='utf-8').splitlines()
    header = json.loads(lines[0])
    frames = [frame for frame in map(json.loads, lines[1:]) if frame['dir'] == 'ev' and (
        'exi' in frame)]
    # The car's loops last as long as its recorded station kept it waiting: so does this one.
    # The recorded stations spoke this protocol alone, whatever the car preferred.
    bench = Iso2Bench(
        automatic=False, cable_check_time=1e9, protocols=[ISO_15118_2],
        **SETTINGS.get(path.stem, {}))
    bench.power = replace(bench.power, maximum_current=500.0, maximum_power=350_000.0)
    bench.open()
    seen, skipped, answer = [], 0, None
    for frame, later in itertools.pairwise([*frames, {'message': ''}]):
        bench.advance(PACE)
        data = bytes.fromhex(frame['exi'])
        if frame['schema'] == 'sap':
            (outgoing,) = bench.deliver(data)
            assert outgoing.response_code == 'OK_SuccessfulNegotiation'
            continue
        if path.stem in EXCEPTIONS and done_before(frame['message'], answer):
            skipped += 1
            continue
        last_of_its_kind = later['message'] != frame['message']
        if frame['message'] == 'AuthorizationReq' and last_of_its_kind:
            assert bench.secc.authorize('', 0.0, bench.now) is None
        if frame['message'] == 'CableCheckReq':
            bench.pilot = PilotState.C
            if last_of_its_kind:
                bench.advance(2 * PACE)
                bench.cable_check_time = 0.0
                bench.advance(PACE)
        answer = ask(bench, data)
        assert answer is not None, frame['message']
        code = answer.body.response_code.value
        assert code.startswith('OK'), (
            frame['t'], frame['message'], code, bench.secc.session().message)
        seen.append(type(answer.body).__name__)
        if frame['message'] == 'PowerDeliveryReq' and bench.command.mode is Mode.STOP:
            bench.pilot = PilotState.B
    assert len(seen) + skipped == len(frames) - 1
    assert bool(skipped) is (path.stem in EXCEPTIONS)
    assert seen.count('CurrentDemandRes') == header['charge_loop_requests']
    if header['outcome'] == 'complete':
        assert seen[-1] == 'SessionStopRes'
        assert bench.stage in ('FINISHED', 'PAUSED')


def done_before(message, answer):
    """Tell whether a car would not have asked again after this answer."""
    return (
        message == 'CableCheckReq' and answer is not None
        and isinstance(answer.body, iso2.CableCheckRes)
        and answer.body.evse_processing is iso2.EVSEProcessing.FINISHED)


def ask(bench, data):
    """Send a recorded request with this session's id; return the decoded answer."""
    message = exi.decode('iso2', data)
    if not isinstance(message.body, iso2.SessionSetupReq):
        message.header.session_id = bench.session_id
        data = exi.encode(message)
    sent = bench.deliver(data)
    for _ in range(40):
        if sent:
            break
        before = len(bench.sent)
        bench.step()
        sent = bench.sent[before:]
    if not sent:
        return None
    answer = exi.decode('iso2', sent[0].data)
    if isinstance(message.body, iso2.SessionSetupReq):
        bench.session_id = answer.header.session_id
    return answer
