"""The negotiation of the protocol, and what the core makes of a connection before a session."""

import pytest
from hlc_bench import DIN, Bench, bring_to, setup
from hypothesis import given
from hypothesis import strategies as st

from ccs2_hlc import exi
from ccs2_hlc.exi.messages import din, sap
from ccs2_hlc.session.protocols import DIN_70121, ISO_15118_2, ISO_15118_20_DC, PROTOCOLS, choose
from ccs2_hlc.session.secc import Request, random_session_id
from ccs2_hlc.session.transport import Action, DataLink, LinkState, Security

ISO2 = 'urn:iso:15118:2:2013:MsgDef'
ISO20 = 'urn:iso:std:iso:15118:-20:DC'
TESLA = 'urn:tesla:din:2018:MsgDef'
OK = sap.ResponseCode.OK_SUCCESSFUL_NEGOTIATION
MINOR = sap.ResponseCode.OK_SUCCESSFUL_NEGOTIATION_WITH_MINOR_DEVIATION
FAILED = sap.ResponseCode.FAILED_NO_NEGOTIATION
ALL = tuple(PROTOCOLS.values())


def offer(namespace=DIN, major=2, minor=0, schema_id=1, priority=1):
    return sap.AppProtocol(
        protocol_namespace=namespace, version_number_major=major, version_number_minor=minor,
        schema_id=schema_id, priority=priority)


@pytest.mark.parametrize(('security', 'chosen'), [
    (Security.NONE, None), (Security.TLS_1_2, None), (Security.TLS_1_3, None),
    (Security.TLS_1_3_MUTUAL, ISO_15118_20_DC)])
def test_iso_15118_20_needs_a_verified_vehicle(security, chosen):
    assert choose([offer(ISO20, 1)], security, ALL).protocol is chosen


@pytest.mark.parametrize('security', Security)
def test_iso_15118_2_charges_whatever_tls_the_vehicle_has(security):
    offers = [offer(ISO2), offer(DIN, priority=2)]
    assert choose(offers, security, ALL).protocol is ISO_15118_2


def test_din_is_never_spoken_over_tls():
    for security in Security:
        expected = DIN_70121 if security is Security.NONE else None
        assert choose([offer()], security, ALL).protocol is expected


def test_the_vehicles_priority_decides_among_what_is_served():
    offers = [offer(DIN, schema_id=7, priority=2), offer(ISO2, schema_id=0, priority=1)]
    choice = choose(offers, Security.NONE, ALL)
    assert (choice.protocol, choice.response.schema_id) == (ISO_15118_2, 0)
    choice = choose(offers, Security.NONE, [DIN_70121])
    assert (choice.protocol, choice.response.schema_id) == (DIN_70121, 7)


def test_versions():
    assert choose([offer(minor=1)], Security.NONE, ALL).response.response_code is MINOR
    assert choose([offer(major=1)], Security.NONE, ALL).response.response_code is FAILED
    assert choose([offer(major=3)], Security.NONE, ALL).protocol is None


def test_a_dc_station_does_not_take_ac():
    ac = offer('urn:iso:std:iso:15118:-20:AC', 1)
    assert choose([ac], Security.TLS_1_3_MUTUAL, ALL).protocol is None


@given(
    offers=st.lists(st.builds(
        offer, st.sampled_from([DIN, ISO2, ISO20, TESLA]), st.integers(1, 3), st.integers(0, 2),
        st.integers(0, 255), st.integers(1, 20)), min_size=1, max_size=20),
    security=st.sampled_from(Security), served=st.sets(st.sampled_from(ALL)))
def test_no_better_offer_is_passed_over(offers, security, served):
    choice = choose(offers, security, served)
    fitting = [
        item for item in offers for protocol in served
        if (item.protocol_namespace, item.version_number_major) == (
            protocol.namespace, protocol.major) and security in protocol.transports]
    if not fitting:
        assert choice.protocol is None
        assert choice.response == sap.SupportedAppProtocolRes(response_code=FAILED)
    else:
        assert choice.protocol in served
        best = min(fitting, key=lambda item: item.priority)
        assert best.schema_id == choice.response.schema_id
        assert choice.protocol.namespace == best.protocol_namespace


def test_no_common_protocol_closes_but_leaves_the_link():
    bench = Bench()
    bench.open()
    assert bench.negotiate((TESLA, 0, 7, 2, 1)).response_code is FAILED
    assert (bench.last.action, bench.last.data_link) == (
        Action.SEND_THEN_CLOSE, DataLink.KEEP)
    session = bench.secc.session()
    assert (session.stage.name, session.stop_reason.name) == ('FAILED', 'PROTOCOL')
    bench.advance(5.0)
    assert bench.connection.state is LinkState.CLOSED
    # The car tries again at once, on the same link.
    bring_to('CHARGING', bench)


@pytest.mark.parametrize('data', [b'', b'\x80', b'\x80\x9a\x02', bytes(30)])
def test_a_negotiation_that_is_not_understood_is_closed(data):
    bench = Bench()
    bench.open()
    (outgoing,) = bench.deliver(data)
    assert (outgoing.action, outgoing.sequence) == (Action.CLOSE, 0)
    assert bench.stage == 'FAILED'


def test_a_response_is_no_negotiation():
    bench = Bench()
    bench.open()
    (outgoing,) = bench.deliver(exi.encode(sap.SupportedAppProtocolRes(response_code=OK)))
    assert outgoing.action is Action.CLOSE


def test_undecodable_messages_of_a_session_are_ignored():
    bench = bring_to('SERVICE_DISCOVERY')
    negotiation = exi.encode(sap.SupportedAppProtocolReq(app_protocol=[offer()]))
    for data in (b'\x80\x9a', b'', negotiation):
        (outgoing,) = bench.deliver(data)
        assert outgoing.action is Action.IGNORE
    assert bench.stage == 'SETUP'


def test_other_payload_types_are_ignored():
    bench = bring_to('SESSION_SETUP')
    data = exi.encode(din.V2GMessage(
        header=din.MessageHeader(session_id=bytes(8)), body=setup()))
    for payload_type in (0x8002, 0x9000):
        (outgoing,) = bench.deliver(data, payload_type)
        assert (outgoing.action, outgoing.receive_timeout) == (Action.IGNORE, 60.0)
    (outgoing,) = bench.deliver(data)
    assert outgoing.response_code == 'OK_NewSessionEstablished'


def test_a_request_may_overtake_the_news_of_its_connection():
    bench = Bench()
    bench.listen()
    data = exi.encode(sap.SupportedAppProtocolReq(app_protocol=[offer()]))
    assert bench.secc.request(
        Request(connection_id=1, sequence=1, payload_type=0x8001, data=data), bench.now) == []
    bench.open()
    assert bench.last.response_code == 'OK_SuccessfulNegotiation'


def test_requests_of_a_closed_connection_are_dropped():
    bench = bring_to('CHARGING')
    bench.close()
    before = len(bench.sent)
    assert bench.deliver(b'\x80') == []
    bench.open()
    assert len(bench.sent) == before


def test_session_ids_are_long_random_and_never_zero(monkeypatch):
    assert len({random_session_id() for _ in range(1000)}) == 1000
    drawn = iter([bytes(8), b'\1' * 8])
    monkeypatch.setattr('secrets.token_bytes', lambda length: next(drawn))
    assert random_session_id() == b'\1' * 8
