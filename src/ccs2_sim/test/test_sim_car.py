"""The car on real sockets against a scripted station; every kind of bad manners."""

import asyncio
import dataclasses
import json
import math
from pathlib import Path

import pytest

from ccs2_hlc.exi.messages import din
from ccs2_link.transport import v2gtp
from ccs2_link.transport.sdp import SdpSecurity, encode_response, parse_request
from ccs2_sim.car import misbehaviour, sdp, session
from ccs2_sim.car import visit as visits
from ccs2_sim.car.misbehaviour import MISBEHAVIOURS
from ccs2_sim.car.session import Session
from ccs2_sim.car.trace import summarize
from ccs2_sim.car.vehicle import ImaginedVehicle
from ccs2_sim.car.visit import Visit
from ccs2_sim.evcc.din import DinEvcc
from ccs2_sim.evcc.outcome import ErrorCode
from ccs2_sim.evcc.vehicle import CarSettings, Wish

DOCUMENTATION = Path(__file__).parents[3] / 'docs' / 'misbehaviour.md'


class RecordingVehicle(ImaginedVehicle):
    """Remembers what was wanted of it."""

    def __init__(self):
        super().__init__()
        self.wishes = []

    def wish(self, wish, state_of_charge=math.nan):
        if not self.wishes or self.wishes[-1] != wish:
            self.wishes.append(wish)
        super().wish(wish, state_of_charge)


async def visit(server, text='', **changes):
    """Let a car that charges 20 loops visit the station; return the result and the vehicle."""
    settings = CarSettings(maximum_loops=20, loop_period=0.005)
    vehicle = RecordingVehicle()
    plan = dataclasses.replace(
        Visit(sdp_port=server.sdp_port, misbehaviour=text, settings=settings), **changes)
    result = await Session(plan, vehicle).run()
    return result, vehicle


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """A car that waits less where only the car's patience would be tested.

    Only for its responses it waits longer: the scripted station is in this process, and what may
    pause that is not tested here.
    """
    patient = dataclasses.replace(DinEvcc.steps['CurrentDemand'], timeout=2.0)
    monkeypatch.setitem(DinEvcc.steps, 'CurrentDemand', patient)
    monkeypatch.setattr(session, 'UNPLUG_PATIENCE', 0.3)
    monkeypatch.setattr(session, 'REFUSAL_PATIENCE', 1.0)
    monkeypatch.setattr(misbehaviour, 'PATIENCE', 0.3)
    monkeypatch.setattr('ccs2_sim.car.link.CLOSE_TIMEOUT', 0.5)


async def test_whole_visit(station_server, station):
    result, vehicle = await visit(station_server)
    assert result.outcome.error is ErrorCode.NONE
    assert result.protocol == 'din'
    assert result.loops >= 20
    assert result.notes == ()
    assert station.names()[0] == 'SupportedAppProtocolReq'
    assert station.names()[-1] == 'SessionStopReq'
    assert [(wish.plugged, wish.load, wish.contactors) for wish in vehicle.wishes] == [
        (True, 'B', False), (True, 'C', False), (True, 'C', True), (True, 'C', False),
        (True, 'B', False), (False, 'B', False)]


async def test_trace_has_every_message(station_server, station, tmp_path):
    result, _ = await visit(station_server)
    result.trace.write(tmp_path / 'trace.jsonl')
    lines = [json.loads(line) for line in (tmp_path / 'trace.jsonl').read_text().splitlines()]
    assert len(lines) == 2 * len(station.requests)
    assert [line['direction'] for line in lines[:4]] == ['request', 'response'] * 2
    assert lines[0]['message'] == 'SupportedAppProtocolReq'
    assert lines[2]['message'] == 'SessionSetupReq'
    assert lines[2]['exi'] == station_server.messages[1].payload.hex()
    assert 'SessionSetupReq' in lines[2]['json']['V2G_Message']['Body']
    assert all(line['latency'] is None or 0 < line['latency'] < 2 for line in lines)
    summary = summarize(result.trace.latencies())
    assert summary['CurrentDemandRes']['count'] == station.counts['CurrentDemand']
    assert summary['CurrentDemandRes']['p50'] <= summary['CurrentDemandRes']['max']


async def test_state_of_charge_is_set_at_plug_in(station_server):
    result, _ = await visit(station_server, state_of_charge=0.95, settings=CarSettings())
    assert result.outcome.error is ErrorCode.NONE
    assert result.state_of_charge == pytest.approx(0.95, abs=0.01)
    assert result.loops <= 3


async def test_driver_can_stop(station_server):
    vehicle = RecordingVehicle()
    running = Session(Visit(sdp_port=station_server.sdp_port), vehicle)
    task = asyncio.ensure_future(running.run())
    while station_server.script.counts['CurrentDemand'] < 3:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    running.stop(ErrorCode.CANCELED, 'unplugging')
    result = await task
    assert result.outcome.error is ErrorCode.CANCELED
    assert station_server.script.names()[-1] == 'SessionStopReq'


class LockedVehicle(ImaginedVehicle):
    """The plug comes out a moment after it was pulled."""

    left_plugged: bool | None = None

    def wish(self, wish, state_of_charge=math.nan):
        if self._wish.plugged and not wish.plugged:
            self._loop.call_later(0.1, super().wish, wish)
        else:
            super().wish(wish, state_of_charge)

    async def close(self):
        self.left_plugged = self.state.plugged


@pytest.mark.parametrize('count', ['', 'CurrentDemand'])
async def test_driver_who_stops_waits_until_the_plug_is_out(station_server, count):
    vehicle = LockedVehicle()
    running = Session(Visit(sdp_port=station_server.sdp_port), vehicle)
    task = asyncio.ensure_future(running.run())
    while count and not station_server.script.counts[count]:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    await asyncio.sleep(0)
    running.stop(ErrorCode.CANCELED, 'unplugging')
    result = await task
    assert result.outcome.error is ErrorCode.CANCELED
    assert result.notes == ()
    assert vehicle.left_plugged is False


async def test_station_that_vanishes(station_server, station):
    def vanish(response, count):
        if count == 4:
            station_server.drop()
        return response
    station.overrides['CurrentDemand'] = vanish
    result, vehicle = await visit(station_server)
    assert result.outcome.error is ErrorCode.CONNECTION
    assert vehicle.wishes[-1] == Wish(plugged=False)


async def test_no_answer(monkeypatch, station_server):
    monkeypatch.setattr(sdp, 'ATTEMPTS', 3)
    monkeypatch.setattr(sdp, 'REPEAT', 0.02)
    station_server.answers_sdp = False
    result, _ = await visit(station_server)
    assert result.outcome.error is ErrorCode.NO_ANSWER
    assert len(station_server.datagrams) == 3
    result, _ = await visit(station_server, interface='none0')
    assert result.outcome.error is ErrorCode.NO_ANSWER
    assert 'none0' in result.outcome.text


async def test_station_without_a_listener_or_with_other_security(station_server):
    station_server.offers = SdpSecurity.TLS
    result, _ = await visit(station_server)
    assert result.outcome.error is ErrorCode.CONNECTION
    station_server.offers = SdpSecurity.NONE
    station_server._server.close()
    result, _ = await visit(station_server)
    assert result.outcome.error is ErrorCode.CONNECTION


async def test_undecodable_response(monkeypatch, station_server):
    encode = v2gtp.encode
    calls = 0

    def spoil(payload_type, payload):
        nonlocal calls
        calls += 1
        # Requests and responses take turns; the fourth is SessionSetupRes.
        return encode(payload_type, b'\xff' * 4 if calls == 6 else payload)
    monkeypatch.setattr(v2gtp, 'encode', spoil)
    result, _ = await visit(station_server)
    assert result.outcome.error is ErrorCode.REFUSED
    assert 'undecodable' in result.outcome.text
    assert result.trace.entries[-1].error


def test_unknown_protocol_is_named():
    with pytest.raises(ValueError, match=r'no protocol .*din'):
        visits.offers(['morse'])


def test_sdp_response_is_checked():
    import ipaddress
    address = ipaddress.IPv6Address('fe80::1')
    good = encode_response(address, 50000, SdpSecurity.NONE)
    found = sdp.parse_response(good, 7)
    assert found == sdp.Endpoint(address, 50000, SdpSecurity.NONE, 7)
    assert found.socket_address == ('fe80::1', 50000, 0, 7)
    for bad in (good[:-1], good + b'\0', b'\2' + good[1:], good[:-1] + b'\x10',
                good[:-2] + b'\x55\0', good[:24] + b'\0\0' + good[26:]):
        assert sdp.parse_response(bad) is None
    assert parse_request(sdp.encode_request(SdpSecurity.TLS)) is SdpSecurity.TLS


# Bad manners


def bodies(station, kind):
    return [request.body for request in station.requests
            if isinstance(getattr(request, 'body', None), kind)]


async def check_drop_link(server, station, result, vehicle):
    assert result.outcome.error is ErrorCode.CONNECTION
    assert server.ends == ['reset']
    assert station.counts['CurrentDemand'] == 5


async def check_close_link(server, station, result, vehicle):
    assert server.ends == ['eof']
    assert station.counts['CurrentDemand'] == 5
    assert 'SessionStop' not in station.counts


async def check_silent(server, station, result, vehicle):
    assert station.counts['CurrentDemand'] == 5
    assert any('kept the connection for 0.2 s' in note for note in result.notes)
    # It was silent with closed contactors.
    assert not any(wish.load == 'B' for wish in vehicle.wishes[2:3])


async def check_slow(server, station, result, vehicle):
    assert result.outcome.error is ErrorCode.NONE
    demands = [entry.time for entry in result.trace.entries
               if entry.direction == 'request' and entry.name == 'CurrentDemandReq']
    assert demands[10] - demands[9] >= 0.05
    assert demands[2] - demands[1] < 0.05


async def check_unplug(server, station, result, vehicle):
    assert result.outcome.error is ErrorCode.CONNECTION
    assert Wish(plugged=False, tear=True) in vehicle.wishes
    assert station.counts['CurrentDemand'] == 5


async def check_leave_c(server, station, result, vehicle):
    assert Wish(load='B', contactors=True) in vehicle.wishes
    assert station.counts['CurrentDemand'] >= 20


async def check_never_c(server, station, result, vehicle):
    assert all(wish.load == 'B' for wish in vehicle.wishes)
    assert station.counts['CableCheck'] > 0


async def check_early_contactors(server, station, result, vehicle):
    first = next(wish for wish in vehicle.wishes if wish.contactors)
    closed = vehicle.wishes.index(first)
    assert not any(wish.load == 'C' and not wish.contactors for wish in vehicle.wishes[:closed])
    assert bodies(station, din.CableCheckReq)


async def check_welded(server, station, result, vehicle):
    assert result.outcome.error is ErrorCode.NONE
    assert Wish(load='B', contactors=True) in vehicle.wishes
    assert vehicle.wishes[-1] == Wish(plugged=False)


async def check_wrong_message(server, station, result, vehicle):
    names = [type(request.body).__name__ for request in station.requests[1:]]
    assert 'ServiceDiscoveryReq' in names[names.index('CurrentDemandReq'):]
    assert result.outcome.error is ErrorCode.REFUSED


async def check_wrong_session_id(server, station, result, vehicle):
    ids = {request.header.session_id for request in station.requests[2:]}
    assert ids == {station.session_id, bytes(octet ^ 0xFF for octet in station.session_id)}


async def check_wrong_voltage(server, station, result, vehicle):
    asked = [float(body.ev_target_voltage) for body in bodies(station, din.CurrentDemandReq)]
    assert asked[4] < 450
    assert asked[5] == 700


async def check_wrong_current(server, station, result, vehicle):
    asked = [float(body.ev_target_current) for body in bodies(station, din.CurrentDemandReq)]
    assert asked[4] <= 200
    assert asked[5] == 400
    assert result.outcome.error is ErrorCode.POWER  # the scripted station obeys


async def check_pre_charge_current(server, station, result, vehicle):
    assert float(bodies(station, din.PreChargeReq)[0].ev_target_current) == 50


async def check_car_error(server, station, result, vehicle):
    codes = [body.dc_ev_status.ev_error_code for body in bodies(station, din.CableCheckReq)]
    assert set(codes) == {din.DCEVErrorCode.FAILED_EV_RESS_MALFUNCTION}


async def check_contract_payment(server, station, result, vehicle):
    body, = bodies(station, din.ServicePaymentSelectionReq)
    assert body.selected_payment_option is din.PaymentOption.CONTRACT


async def check_alternating_current(server, station, result, vehicle):
    body = bodies(station, din.ChargeParameterDiscoveryReq)[0]
    assert 'AC' in body.ev_requested_energy_transfer_type.value


async def check_unknown_protocol(server, station, result, vehicle):
    assert result.outcome.error is ErrorCode.NEGOTIATION
    assert len(station.requests) == 1


async def check_octets(server, station, result, vehicle):
    """The station could not read one message, did not answer it, and the car gave up."""
    assert server.complaints
    assert station.counts['CurrentDemand'] == 5
    assert result.outcome.error is ErrorCode.TIMEOUT


async def check_oversize_frame(server, station, result, vehicle):
    assert '65537' in server.complaints[0]
    assert server.ends == ['framing']
    assert result.outcome.error is ErrorCode.CONNECTION


async def check_ignored(server, station, result, vehicle):
    assert station.counts['CurrentDemand'] == 5
    assert server.octets > sum(len(each.payload) + 8 for each in server.messages)
    assert result.outcome.error is ErrorCode.TIMEOUT


async def check_twice(server, station, result, vehicle):
    assert result.outcome.error is ErrorCode.NONE
    sent = sum(entry.name == 'CurrentDemandReq' for entry in result.trace.entries)
    assert station.counts['CurrentDemand'] == sent + 1


async def check_second_connection(server, station, result, vehicle):
    assert result.outcome.error is ErrorCode.NONE
    assert server.ends.count('refused') == 1
    assert result.notes == ('second connection closed',)


async def check_bad_discovery(server, station, result, vehicle):
    assert result.outcome.error is ErrorCode.NONE
    bad = [datagram for datagram in server.datagrams if parse_request(datagram) is None]
    assert len(bad) == len(MISBEHAVIOURS['bad_discovery'].probes)


def refuse(response, count):
    response.response_code = din.ResponseCode.FAILED
    return response


CHECKS = {
    'garbage_exi': check_octets, 'truncated_exi': check_octets, 'wrong_version': check_ignored,
    'unknown_type': check_ignored, 'unfinished_frame': check_ignored,
}
#: Those of ISO 15118-2 are tested with its messages.
DIN_MISBEHAVIOURS = [
    kind.name for kind in MISBEHAVIOURS.values() if kind.protocol in ('', 'din')]
OPTIONS = {'silent': ':seconds=0.2', 'slow': ':seconds=0.05'}


@pytest.mark.parametrize('name', DIN_MISBEHAVIOURS)
async def test_misbehaviour(station_server, station, name):
    check = CHECKS.get(name) or globals()[f'check_{name}']
    if name == 'never_c':
        station.overrides['CableCheck'] = refuse
    result, vehicle = await visit(station_server, name + OPTIONS.get(name, ''))
    await station_server.idle()
    await check(station_server, station, result, vehicle)
    # However it misbehaves: in the end it stands unplugged with open contactors.
    assert not vehicle.state.plugged
    assert not vehicle.state.contactors


@pytest.mark.parametrize('name', DIN_MISBEHAVIOURS)
async def test_good_manners_until_its_turn(station_server, station, name):
    """After more requests than there are, nothing happens (but for what is done before SDP)."""
    result, vehicle = await visit(station_server, f'{name}:after=1000')
    assert result.outcome.error is ErrorCode.NONE
    assert server_saw_only_good_messages(station_server)
    assert [wish.load for wish in vehicle.wishes if wish.contactors] == ['C']


def server_saw_only_good_messages(server):
    return not server.complaints and set(server.ends) <= {'eof'}


async def test_options_choose_the_place(station_server, station):
    result, _ = await visit(station_server, 'drop_link:step=CableCheck,after=1')
    assert result.outcome.error is ErrorCode.CONNECTION
    assert station.counts['CableCheck'] == 1


@pytest.mark.parametrize(('text', 'problem'), [
    ('nonsense', 'no misbehaviour'), (':after=1', 'has no name'), ('silent:after=x', 'after=x'),
    ('silent:volt=5', "no option 'volt'"), ('drop_link:=5', "no option ''"),
    ('slow:seconds=soon', 'seconds=soon'), ('silent:step=', "no option 'step'"),
])
def test_bad_descriptions_are_named(text, problem):
    with pytest.raises(ValueError, match=problem):
        misbehaviour.parse(text)


def test_documentation_is_current():
    """Rewrite the table by ``python -m ccs2_sim.car.document`` when this fails."""
    text = DOCUMENTATION.read_text(encoding='utf-8')
    assert misbehaviour.table() in text
