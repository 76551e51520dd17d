"""The connection's core on a virtual clock: every wait ends, every request gets one answer."""

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from ccs2_link.transport.channel import ChannelError, PlainChannel
from ccs2_link.transport.connection import (
    Action,
    Close,
    CloseReason,
    Connection,
    DataLink,
    Deliver,
    Finish,
    Limits,
    Phase,
    Response,
    Work,
    Write,
)
from ccs2_link.transport.v2gtp import HEADER, PayloadType, encode

LIMITS = Limits(pipelined_requests=3, handshake_time=10, message_time=5, answer_time=8,
                write_time=4, fin_time=3)
SETUP = 18.0
REQUEST = encode(PayloadType.SAP, b'request')
ANSWER = encode(PayloadType.SAP, b'answer')
DELIVERED = Deliver(1, PayloadType.SAP, b'request')


def send(sequence, **fields):
    fields.setdefault('action', Action.SEND)
    fields.setdefault('receive_timeout', 60.0)
    return Response(sequence=sequence, payload_type=PayloadType.SAP, payload=b'answer', **fields)


def opened(limits=LIMITS):
    connection = Connection(0.0, PlainChannel(), limits, SETUP)
    return connection


def asked():
    connection = opened()
    assert connection.received(1.0, REQUEST) == [DELIVERED]
    return connection


def test_request_answer_request():
    connection = asked()
    assert connection.deadline() == 1.0 + LIMITS.answer_time
    assert connection.respond(2.0, send(1)) == [Write(ANSWER)]
    assert connection.deadline() == 62.0
    assert connection.received(3.0, REQUEST) == [Deliver(2, PayloadType.SAP, b'request')]


def test_the_first_request_has_to_come_within_the_setup_time():
    connection = opened()
    assert connection.deadline() == SETUP
    assert connection.tick(SETUP - 0.001) == []
    assert connection.tick(SETUP) == [Close()]
    assert connection.close_reason is CloseReason.TIMEOUT
    assert connection.deadline() is None


def test_the_receive_timeout_runs_from_the_response_on():
    connection = asked()
    connection.respond(2.0, send(1, receive_timeout=0.5))
    assert connection.tick(2.499) == []
    assert connection.tick(2.5) == [Close()]
    assert connection.close_reason is CloseReason.TIMEOUT


def test_octets_do_not_put_off_a_deadline():
    connection = opened()
    for position, octet in enumerate(REQUEST):
        now = 1.0 + 0.9 * position
        if now >= 1.0 + LIMITS.message_time:
            break
        assert connection.received(now, bytes([octet])) == []
        assert connection.deadline() == 1.0 + LIMITS.message_time
    assert connection.tick(1.0 + LIMITS.message_time) == [Close()]


def test_ignored_messages_do_not_put_off_a_deadline():
    connection = asked()
    connection.respond(2.0, send(1, receive_timeout=2.0))
    junk = HEADER.pack(1, 0xFE, 0x7001, 3) + b'abc'
    assert connection.received(3.0, junk) == []
    assert connection.ignored_messages == 1
    assert connection.deadline() == 4.0


def test_a_session_that_does_not_answer_ends_the_connection():
    connection = asked()
    assert connection.tick(9.0) == [Close()]
    assert connection.close_message == 'session gave no response in time'


def test_pipelined_requests_wait_for_their_turn():
    connection = opened()
    assert connection.received(1.0, REQUEST * 3) == [DELIVERED]
    assert connection.respond(2.0, send(1)) == [
        Write(ANSWER), Deliver(2, PayloadType.SAP, b'request')]
    assert connection.respond(2.1, send(2)) == [
        Write(ANSWER), Deliver(3, PayloadType.SAP, b'request')]
    assert connection.respond(2.2, send(3)) == [Write(ANSWER)]


@pytest.mark.parametrize('chunks', [
    [REQUEST] * 5, [REQUEST * 5], [REQUEST * 4, REQUEST], [REQUEST, REQUEST * 4]])
def test_too_many_pipelined_requests_end_the_connection(chunks):
    connection = opened()
    assert [output for chunk in chunks for output in connection.received(1.0, chunk)] == [
        DELIVERED, Close()]
    assert connection.close_reason is CloseReason.FRAMING
    assert connection.close_message == 'more than 3 requests without an answer'


def test_a_declared_length_over_the_limit_ends_the_connection():
    connection = opened(Limits(message_size=1000))
    assert connection.received(1.0, HEADER.pack(1, 0xFE, 0x8001, 1001)) == [Close()]
    assert connection.close_reason is CloseReason.FRAMING


OVERSIZE = HEADER.pack(1, 0xFE, 0x8001, 0xFFFFFFF8)


def test_requests_before_a_broken_header_are_answered_first():
    connection = opened()
    assert connection.received(1.0, REQUEST * 2 + OVERSIZE + REQUEST) == [DELIVERED]
    assert connection.received(1.1, REQUEST) == []      # nothing can follow any more
    assert connection.respond(2.0, send(1)) == [
        Write(ANSWER), Deliver(2, PayloadType.SAP, b'request')]
    assert connection.respond(2.1, send(2)) == [Write(ANSWER), Close()]
    assert connection.close_reason is CloseReason.FRAMING


PIECES = st.sampled_from([
    REQUEST, REQUEST, OVERSIZE, b'\x00', encode(PayloadType.ISO20_DC, bytes(30)),
    HEADER.pack(1, 0xFE, 0x7001, 3) + b'abc', HEADER.pack(1, 0xFE, 0x8001, 0)])


def trace(chunks, answers_at_once):
    """Return all that happens until the connection has ended, and why it did."""
    connection = opened()
    happened, open_requests = [], []

    def take(outputs):
        happened.extend(outputs)
        open_requests.extend(
            output.sequence for output in outputs if isinstance(output, Deliver))

    def answer():
        while open_requests:
            take(connection.respond(2.0, send(open_requests.pop(0))))

    for chunk in chunks:
        take(connection.received(1.0, chunk))
        if answers_at_once:
            answer()
    answer()
    return happened, connection.close_reason, connection.close_message


@given(pieces=st.lists(PIECES, max_size=4), cuts=st.sets(st.integers(1, 100)),
       answers_at_once=st.booleans())
def test_how_the_octets_are_split_changes_nothing(pieces, cuts, answers_at_once):
    stream = b''.join(pieces)
    edges = [0, *sorted(cut for cut in cuts if cut < len(stream)), len(stream)]
    chunks = [stream[begin:end] for begin, end in itertools.pairwise(edges)]
    assert trace(chunks, answers_at_once) == trace([stream], answers_at_once=False)


@pytest.mark.parametrize('response', [
    send(2), send(0x7FFFFFFF), Response(2, Action.CLOSE)])
def test_a_response_to_another_request_is_ignored(response):
    connection = asked()
    assert connection.respond(2.0, response) == []
    assert connection.ignored_responses == 1
    assert connection.phase is Phase.ANSWERING


def test_a_request_is_answered_once():
    connection = asked()
    connection.respond(2.0, send(1))
    assert connection.respond(2.1, send(1)) == []
    assert connection.ignored_responses == 1


@pytest.mark.parametrize('sequence', [0, 1])
def test_the_session_closes_at_once(sequence):
    connection = asked()
    response = Response(sequence, Action.CLOSE, data_link=DataLink.ERROR)
    assert connection.respond(2.0, response) == [Close()]
    assert (connection.close_reason, connection.data_link) == (
        CloseReason.BY_STATION, DataLink.ERROR)


def test_the_session_closes_while_no_request_is_there():
    connection = opened()
    assert connection.respond(2.0, Response(0, Action.CLOSE)) == [Close()]


ENDING = {'action': Action.SEND_THEN_CLOSE, 'close_delay': 2.0, 'data_link': DataLink.TERMINATE}


def test_send_then_close_gives_the_vehicle_time_and_waits_for_its_fin():
    connection = asked()
    assert connection.respond(2.0, send(1, **ENDING)) == [Write(ANSWER)]
    assert connection.deadline() == 4.0
    assert connection.received(3.0, REQUEST) == []      # too late for requests
    assert connection.tick(4.0) == [Finish()]
    assert connection.deadline() == 7.0
    assert connection.peer_finished(5.0) == [Close()]
    assert (connection.close_reason, connection.data_link) == (
        CloseReason.BY_STATION, DataLink.TERMINATE)


def test_send_then_close_ends_with_a_vehicle_that_closes_first():
    connection = asked()
    connection.respond(2.0, send(1, **ENDING))
    assert connection.peer_finished(2.5) == [Close()]
    assert connection.close_reason is CloseReason.BY_STATION


def test_send_then_close_ends_without_the_vehicles_fin():
    connection = asked()
    connection.respond(2.0, send(1, **ENDING))
    connection.tick(4.0)
    assert connection.tick(7.0) == [Close()]
    assert connection.close_reason is CloseReason.BY_STATION


def test_nothing_is_sent_before_the_minimum_response_time():
    connection = opened(Limits(minimum_response_time=0.1))
    connection.received(1.0, REQUEST)
    assert connection.respond(1.02, send(1)) == []
    assert connection.deadline() == pytest.approx(1.1)
    assert connection.respond(1.03, send(1)) == []      # it has been answered
    assert connection.ignored_responses == 1
    assert connection.tick(1.09) == []
    assert connection.tick(1.1) == [Write(ANSWER)]
    assert connection.deadline() == pytest.approx(61.1)


def test_a_held_response_does_not_survive_a_close():
    connection = opened(Limits(minimum_response_time=0.1))
    connection.received(1.0, REQUEST)
    connection.respond(1.02, send(1))
    assert connection.respond(1.05, Response(0, Action.CLOSE)) == [Close()]
    assert connection.tick(2.0) == []


def test_a_vehicle_that_does_not_read_is_given_up():
    connection = asked()
    connection.respond(2.0, send(1))
    connection.blocked(2.0, True)
    connection.blocked(3.0, True)
    assert connection.deadline() == 6.0
    connection.blocked(5.0, False)
    assert connection.deadline() == 62.0
    connection.blocked(7.0, True)
    assert connection.tick(11.0) == [Close()]
    assert connection.close_reason is CloseReason.TIMEOUT


@pytest.mark.parametrize(('end', 'reason'), [
    (lambda connection: connection.peer_finished(2.0), CloseReason.BY_VEHICLE),
    (lambda connection: connection.lost(2.0, 'reset'), CloseReason.RESET),
    (lambda connection: connection.abort(2.0, CloseReason.LINK_LOST, 'link'),
     CloseReason.LINK_LOST),
])
def test_ends_from_outside(end, reason):
    connection = asked()
    connection.respond(1.5, send(1, data_link=DataLink.ERROR))
    assert end(connection) == [Close()]
    assert (connection.close_reason, connection.data_link) == (reason, DataLink.ERROR)
    assert end(connection) == []
    assert connection.received(3.0, REQUEST) == []
    assert connection.respond(3.0, send(1)) == []


@pytest.mark.parametrize('fields', [
    {'receive_timeout': 0.0}, {'receive_timeout': -1.0}, {'receive_timeout': math.nan},
    {'receive_timeout': math.inf}, {'payload': b''}, {'payload': bytes(65537)}, {'sequence': 0},
    {'action': Action.SEND_THEN_CLOSE, 'close_delay': -1.0},
    {'action': Action.SEND_THEN_CLOSE, 'close_delay': math.nan}, {'action': Action.CLOSE},
])
def test_a_response_that_contradicts_itself_cannot_be_made(fields):
    with pytest.raises(ValueError, match=r'response|receive_timeout|close_delay'):
        Response(**{'sequence': 1, 'action': Action.SEND, 'payload_type': 0x8001,
                    'payload': b'x', 'receive_timeout': 1.0, **fields})


class FakeTls(PlainChannel):
    """A channel that is ready after one octet and fails on '!'."""

    ready = False

    def receive(self, data):
        if data == b'!':
            self.send(b'alert')
            raise ChannelError('TLS: no shared cipher')
        if not self.ready:
            self.ready = True
            self.send(b'hello')
            return data[1:]
        return data

    def close(self):
        if self.ready:
            self.send(b'notify')

    def truncation(self):
        return 'truncated'


class SlowTls(FakeTls):
    """A channel whose handshake takes work."""

    def __init__(self):
        super().__init__()
        self.offered = self.done = False

    def receive(self, data):
        return super().receive(data) if self.done else b''

    def work(self):
        offered, self.offered = self.offered, True
        return None if offered else self.run

    def run(self):
        self.done = True


def test_work_of_the_handshake_is_handed_out_once_and_waited_for():
    channel = SlowTls()
    connection = Connection(0.0, channel, LIMITS, SETUP)
    assert connection.received(1.0, b'h') == [Work(channel.run)]
    assert connection.received(2.0, b'i') == []
    assert connection.deadline() == LIMITS.handshake_time
    channel.run()
    assert connection.received(3.0, b'') == [Write(b'hello')]


def test_work_that_takes_too_long_ends_the_connection_and_is_then_forgotten():
    channel = SlowTls()
    connection = Connection(0.0, channel, LIMITS, SETUP)
    connection.received(1.0, b'h')
    assert connection.tick(LIMITS.handshake_time) == [Close()]
    assert connection.close_message == 'TLS handshake took too long'
    channel.run()
    assert connection.received(LIMITS.handshake_time + 1, b'') == []


def test_a_handshake_opens_the_connection():
    connection = Connection(0.0, FakeTls(), LIMITS, SETUP)
    assert connection.deadline() == LIMITS.handshake_time
    assert connection.received(1.0, b'h' + REQUEST) == [Write(b'hello'), DELIVERED]


def test_a_handshake_ends_in_time_and_before_the_setup_time():
    connection = Connection(0.0, FakeTls(), LIMITS, SETUP)
    assert connection.tick(10.0) == [Close()]
    assert connection.close_message == 'TLS handshake took too long'
    assert Connection(12.0, FakeTls(), LIMITS, SETUP).deadline() == SETUP


def test_the_alert_of_a_failed_handshake_reaches_the_vehicle_before_the_end():
    connection = Connection(0.0, FakeTls(), LIMITS, SETUP)
    assert connection.received(1.0, b'!') == [Write(b'alert'), Finish()]
    assert connection.peer_finished(1.5) == [Close()]
    assert (connection.close_reason, connection.close_message) == (
        CloseReason.TLS, 'TLS: no shared cipher')


def test_a_broken_record_ends_a_session_at_once():
    connection = Connection(0.0, FakeTls(), LIMITS, SETUP)
    connection.received(1.0, b'h')
    assert connection.received(2.0, b'!') == [Write(b'alert'), Write(b'notify'), Close()]
    assert connection.close_reason is CloseReason.TLS


def test_a_truncated_stream_is_no_orderly_end():
    connection = Connection(0.0, FakeTls(), LIMITS, SETUP)
    connection.received(1.0, b'h')
    assert connection.peer_finished(2.0)[-1] == Close()
    assert (connection.close_reason, connection.close_message) == (CloseReason.TLS, 'truncated')


class AnySequence(RuleBasedStateMachine):
    """Vehicle, session and clock do whatever they like."""

    @initialize()
    def begin(self):
        self.now = 0.0
        self.connection = opened()
        self.delivered = self.answered = 0
        self.closed = False

    def take(self, outputs):
        for output in outputs:
            assert not self.closed
            match output:
                case Deliver(sequence):
                    assert sequence == self.delivered + 1
                    assert self.answered == self.delivered
                    self.delivered = sequence
                case Write():
                    self.answered += 1
                    assert self.answered <= self.delivered
                case Close():
                    self.closed = True

    @rule(data=st.one_of(st.just(REQUEST), st.just(REQUEST * 2), st.binary(max_size=20)),
          keep=st.integers(0, 20))
    def vehicle_sends(self, data, keep):
        self.take(self.connection.received(self.now, data[:keep] if keep else data))

    @rule(offset=st.integers(-1, 1), kind=st.sampled_from(list(Action)),
          wait=st.floats(0.1, 70), delay=st.floats(0, 5))
    def session_responds(self, offset, kind, wait, delay):
        sequence = self.delivered + offset
        if sequence < 0 or (sequence == 0 and kind is not Action.CLOSE):
            return
        if kind is Action.CLOSE:
            response = Response(sequence, kind)
        elif kind is Action.IGNORE:
            response = Response(sequence, kind, receive_timeout=wait)
        else:
            response = send(sequence, action=kind, receive_timeout=wait, close_delay=delay)
        refused = self.connection.ignored_responses
        outputs = self.connection.respond(self.now, response)
        if kind is Action.IGNORE and self.connection.ignored_responses == refused:
            self.answered += 1
        self.take(outputs)

    @rule(seconds=st.floats(0, 30))
    def time_passes(self, seconds):
        end = self.now + seconds
        while (due := self.connection.deadline()) is not None and due <= end:
            assert due >= self.now
            self.now = due
            self.take(self.connection.tick(due))
        self.now = end

    @rule(blocked=st.booleans())
    def vehicle_blocks(self, blocked):
        self.take(self.connection.blocked(self.now, blocked))

    @precondition(lambda self: self.now > 20)
    @rule()
    def vehicle_finishes(self):
        self.take(self.connection.peer_finished(self.now))

    @invariant()
    def a_wait_always_ends(self):
        if not hasattr(self, 'connection'):
            return
        assert self.closed == (self.connection.phase is Phase.CLOSED)
        due = self.connection.deadline()
        assert (due is None) == self.closed
        assert due is None or due <= self.now + 70
        assert self.closed == (self.connection.close_reason is not CloseReason.NONE) or (
            self.connection.phase in (Phase.ENDING, Phase.FINISHING))


TestAnySequence = AnySequence.TestCase
TestAnySequence.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
