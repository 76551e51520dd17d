"""Recorded ISO 15118-20 DC sessions through the engine, as a live station would hear them."""

import itertools
import json
from dataclasses import replace
from pathlib import Path

import pytest
from iso20_bench import Iso20Bench

from ccs2_hlc import exi
from ccs2_hlc.exi.messages.iso20 import common
from ccs2_hlc.session import iso20_services
from ccs2_hlc.session.command import Mode
from ccs2_hlc.session.station import PilotState

SESSIONS = Path(__file__).parents[4] / 'shared' / 'sessions'
FILES = sorted(
    path for path in SESSIONS.glob('*iso-20*-dc-*.jsonl')
    if not path.name.endswith('.slac.jsonl'))

#: Pace of the replay, s: the recorded pauses are the recorded station's, not the cars'.
PACE = 0.05


@pytest.mark.skipif(not FILES, reason='recorded sessions are not beside this checkout')
@pytest.mark.parametrize('path', FILES, ids=lambda path: path.stem)
def test_a_recorded_session_runs_without_a_failed_response(path, monkeypatch):
    # The recorded station numbers its parameter sets the other way round.
    monkeypatch.setitem(iso20_services.VARIANTS, 2, tuple(
        replace(variant, number=3 - variant.number) for variant in iso20_services.VARIANTS[2]))
    lines = path.read_text(encoding='utf-8').splitlines()
    header = json.loads(lines[0])
    frames = [frame for frame in map(json.loads, lines[1:]) if frame['dir'] == 'ev' and (
        'exi' in frame)]
    # The car's loops last as long as its recorded station kept it waiting: so does this one.
    bench = Iso20Bench(automatic=False, cable_check_time=1e9)
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
        if frame['message'] == 'AuthorizationReq' and last_of_its_kind:
            assert bench.secc.authorize('', 0.0, bench.now) is None
        if frame['message'] == 'DC_CableCheckReq':
            bench.pilot = PilotState.C
            if last_of_its_kind:
                bench.advance(2 * PACE)
                bench.cable_check_time = 0.0
                bench.advance(PACE)
        message = exi.decode(frame['schema'], data)
        own = bytes(8) if isinstance(message, common.SessionSetupReq) else None
        answer = bench.ask(message, session_id=own, payload_type=frame['type'])
        assert answer is not None, frame['message']
        assert answer.response_code.value.startswith('OK'), (frame['message'], answer)
        seen.append(frame['message'])
        if bench.command.mode is Mode.STOP:
            bench.pilot = PilotState.B
    assert len(seen) == len(frames) - 1
    assert seen.count('DC_ChargeLoopReq') == header['charge_loop_requests'] > 0
    assert (seen[-1], bench.stage) == ('SessionStopReq', 'FINISHED')
