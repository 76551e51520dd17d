"""What real cars have said on the road, through the DIN engine, as a live station would hear it."""

import itertools
import json
from dataclasses import replace
from pathlib import Path

import pytest
from hlc_bench import Bench

from ccs2_hlc import exi
from ccs2_hlc.exi.messages import din
from ccs2_hlc.session.command import Mode
from ccs2_hlc.session.protocols import DIN_70121
from ccs2_hlc.session.station import PilotState

SESSIONS = Path(__file__).parents[4] / 'shared' / 'sessions'
FILES = sorted(
    path for path in SESSIONS.glob('*din*.jsonl') if not path.name.endswith('.slac.jsonl'))

#: Pace of the replay, s: the recorded pauses are the recorded station's, not the cars'.
PACE = 0.05


@pytest.mark.skipif(not FILES, reason='recorded sessions are not beside this checkout')
@pytest.mark.parametrize('path', FILES, ids=lambda path: path.stem)
def test_a_recorded_session_runs_without_a_failed_response(path):
    lines = path.read_text(encoding='utf-8').splitlines()
    header = json.loads(lines[0])
    frames = [frame for frame in map(json.loads, lines[1:]) if frame['dir'] == 'ev' and (
        'exi' in frame)]
    # The car's loops last as long as its recorded station kept it waiting: so does this one.
    bench = Bench(automatic=False, cable_check_time=1e9, protocols=[DIN_70121])
    bench.power = replace(bench.power, maximum_current=500.0, maximum_power=350_000.0)
    bench.open()
    seen = []
    for frame, later in itertools.pairwise([*frames, {'message': ''}]):
        bench.advance(PACE)
        data = bytes.fromhex(frame['exi'])
        if frame['schema'] == 'sap':
            (outgoing,) = bench.deliver(data)
            assert outgoing.response_code == 'OK_SuccessfulNegotiation'
            continue
        last_of_its_kind = later['message'] != frame['message']
        if frame['message'] == 'ContractAuthenticationReq' and last_of_its_kind:
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
        assert code.startswith('OK'), (frame['t'], frame['message'], code)
        seen.append(type(answer.body).__name__)
        if frame['message'] == 'PowerDeliveryReq' and bench.command.mode is Mode.STOP:
            bench.pilot = PilotState.B
    assert len(seen) == len(frames) - 1
    assert seen.count('CurrentDemandRes') == header['charge_loop_requests']
    if header['outcome'] == 'complete':
        assert seen[-1] == 'SessionStopRes'
        assert bench.stage == 'FINISHED'
    else:
        assert bench.stage == 'CHARGING'


def ask(bench, data):
    """Send a recorded request with this session's id; return the decoded answer."""
    message = exi.decode('din', data)
    if not isinstance(message.body, din.SessionSetupReq):
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
    answer = exi.decode('din', sent[0].data)
    if isinstance(message.body, din.SessionSetupReq):
        bench.session_id = answer.header.session_id
    return answer
