"""Plug & Charge as another implementation has done it: recorded contracts and signatures."""

import itertools
import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from pnc_lab import pnc_bench
from test_session_iso2_recordings import PACE, SESSIONS, ask

from ccs2_hlc import exi
from ccs2_hlc.exi.messages import iso2
from ccs2_hlc.session.back_office import BackOfficeRequest
from ccs2_hlc.session.command import Mode
from ccs2_hlc.session.contract import Trust
from ccs2_hlc.session.secc import Request
from ccs2_hlc.session.station import PilotState
from ccs2_pki.certificate import parse_certificate
from ccs2_pki.profiles import RootKind

FILES = sorted(
    path for path in SESSIONS.glob('dspace-iso-2-dc-pnc-*.jsonl')
    if not path.name.endswith('.slac.jsonl'))


def decoded(frame):
    return exi.decode('iso2', bytes.fromhex(frame['exi']))


@pytest.mark.skipif(not FILES, reason='recorded sessions are not beside this checkout')
@pytest.mark.parametrize('path', FILES, ids=lambda path: path.stem)
def test_a_recorded_contract_is_accepted_and_charges(path):
    lines = path.read_text(encoding='utf-8').splitlines()
    header = json.loads(lines[0])
    frames = [frame for frame in map(json.loads, lines[1:]) if 'exi' in frame]
    said = [frame for frame in frames if frame['dir'] == 'ev']
    answered = {
        frame['message']: decoded(frame) for frame in frames
        if frame['message'] in ('PaymentDetailsRes', 'CertificateInstallationRes',
                                'CertificateUpdateRes')}
    details = decoded(next(f for f in said if f['message'] == 'PaymentDetailsReq')).body
    # The recording's root is not in it: the sub-CA below it is trusted in its place.
    below = details.contract_signature_cert_chain.sub_certificates.certificate
    then = datetime.fromtimestamp(header['t0_epoch'], UTC)
    bench = pnc_bench(
        certificate_service=True, cable_check_time=1e9, trust=Trust(
            roots={RootKind.MO: (parse_certificate(below[-1]),)}, now=lambda: then))
    bench.power = replace(bench.power, maximum_current=500.0, maximum_power=350_000.0)
    bench.open()
    seen = []
    for frame, later in itertools.pairwise([*said, {'message': ''}]):
        bench.advance(PACE)
        data = bytes.fromhex(frame['exi'])
        if frame['schema'] == 'sap':
            bench.deliver(data)
            engine = bench.secc._engine
            # The recorded signature answers the recorded challenge.
            engine.context = replace(
                engine.context,
                new_challenge=lambda: answered['PaymentDetailsRes'].body.gen_challenge)
            continue
        if frame['message'] == 'CableCheckReq':
            bench.pilot = PilotState.C
            if later['message'] != frame['message']:
                bench.cable_check_time = 0.0
                bench.advance(3 * PACE)
        if frame['message'] in ('CertificateInstallationReq', 'CertificateUpdateReq'):
            answer = from_back_office(
                bench, data, answered[frame['message'].replace('Req', 'Res')])
        else:
            answer = ask(bench, data)
        code = answer.body.response_code.value
        assert code.startswith('OK'), (
            frame['message'], code, bench.secc.session().message)
        seen.append(type(answer.body).__name__)
        if frame['message'] == 'PowerDeliveryReq' and bench.command.mode is Mode.STOP:
            bench.pilot = PilotState.B
    assert len(seen) == len(said) - 1
    assert seen.count('CurrentDemandRes') == header['charge_loop_requests']
    session = bench.secc.session()
    assert (session.stage.name, session.contract_id) == ('FINISHED', details.emaid)


def from_back_office(bench, data, recorded):
    """Send the request, let the back office say what it has said."""
    message = exi.decode('iso2', data)
    message.header.session_id = bench.session_id
    bench.sequence += 1
    (asked,) = [
        item for item in bench.secc.request(Request(
            connection_id=bench.connection.connection_id, sequence=bench.sequence,
            payload_type=0x8001, data=exi.encode(message)), bench.now)
        if isinstance(item, BackOfficeRequest)]
    before = len(bench.sent)
    bench.keep(bench.secc.answered(asked.number, exi.encode(recorded), '', bench.now))
    (sent,) = bench.sent[before:]
    answer = exi.decode('iso2', sent.data)
    assert answer.body == recorded.body
    assert isinstance(
        answer.body, iso2.CertificateInstallationRes | iso2.CertificateUpdateRes)
    return answer
