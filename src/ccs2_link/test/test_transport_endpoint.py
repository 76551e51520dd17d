"""Who may connect, and when, on a virtual clock."""

import ipaddress

import pytest

from ccs2_link.transport.channel import PlainChannel
from ccs2_link.transport.connection import Action, CloseReason, DataLink, Limits, Response
from ccs2_link.transport.endpoint import MOST_PENDING, Endpoint, Peer, State
from ccs2_link.transport.sdp import Listeners, SdpSecurity, SecurityPolicy
from ccs2_link.transport.v2gtp import PayloadType, encode

REQUEST = bytes.fromhex('01fe9000000000021000')
LISTENERS = Listeners(ipaddress.IPv6Address('fe80::1'), {SdpSecurity.NONE: 50001})
PEER = Peer('fe80::2%plc0', 40000)


@pytest.fixture
def endpoint():
    made = Endpoint(SecurityPolicy.NONE, Limits(), 18.0)
    made.link_up(100.0)
    made.listening(LISTENERS)
    return made


def wait(endpoint, now=101.0, channel=None, peer=PEER):
    """Connect without a request."""
    assert endpoint.may_connect()
    return endpoint.connect(now, channel or PlainChannel(), peer)


def connect(endpoint, now=101.0):
    """Connect and complete a first request."""
    connection = wait(endpoint, now)
    assert connection.received(now, encode(PayloadType.SAP, b'x'))
    endpoint.begin(connection)
    return connection


def end(endpoint, now, **fields):
    """Let the session end the connection."""
    connection = endpoint.connection
    connection.respond(now, Response(0, Action.CLOSE, **fields))
    endpoint.closed(now, connection)


def test_silent_until_the_link_is_up_and_the_sockets_are_open():
    endpoint = Endpoint(SecurityPolicy.NONE, Limits())
    assert endpoint.status().state is State.DOWN
    assert endpoint.discover(REQUEST) is None
    assert not endpoint.may_connect()
    endpoint.link_up(1.0)
    assert endpoint.status().state is State.DOWN
    assert endpoint.discover(REQUEST) is None
    endpoint.listening(LISTENERS)
    assert endpoint.status().state is State.LISTENING
    assert endpoint.discover(REQUEST) is not None
    assert endpoint.status().dropped_datagrams == 2


def test_one_connection_at_a_time(endpoint):
    connect(endpoint)
    assert endpoint.status().state is State.OPEN
    assert endpoint.status().peer == PEER
    assert not endpoint.may_connect()
    assert endpoint.discover(REQUEST) is None
    with pytest.raises(RuntimeError):
        endpoint.connect(102.0, PlainChannel(), PEER)


def test_setup_time_ends_without_a_connection(endpoint):
    assert endpoint.deadline() == 118.0
    assert not endpoint.tick(117.9)
    assert endpoint.tick(118.0)
    status = endpoint.status()
    assert (status.state, status.close_reason, status.data_link) == (
        State.CLOSED, CloseReason.TIMEOUT, DataLink.ERROR)
    assert not endpoint.listens
    assert not endpoint.may_connect()
    assert not endpoint.tick(119.0)


def test_setup_time_does_not_end_a_session(endpoint):
    connect(endpoint)
    assert endpoint.deadline() is None
    assert not endpoint.tick(500.0)
    assert endpoint.status().state is State.OPEN


def test_a_failed_attempt_may_be_repeated_within_the_setup_time(endpoint):
    connection = connect(endpoint)
    connection.peer_finished(102.0)
    endpoint.closed(102.0, connection)
    status = endpoint.status()
    assert (status.state, status.close_reason, status.data_link) == (
        State.CLOSED, CloseReason.BY_VEHICLE, DataLink.KEEP)
    assert endpoint.discover(REQUEST) is not None
    assert connect(endpoint, 103.0) is not connection
    assert endpoint.status().connection_id == 2
    assert endpoint.status().close_reason is CloseReason.NONE


def test_a_session_that_breaks_off_after_the_setup_time_is_an_error_of_the_link(endpoint):
    connection = connect(endpoint)
    connection.lost(500.0, 'reset')
    endpoint.closed(500.0, connection)
    status = endpoint.status()
    assert (status.close_reason, status.data_link) == (CloseReason.RESET, DataLink.ERROR)
    assert not endpoint.listens


def test_a_link_that_is_lost_is_not_to_be_ended_again(endpoint):
    connection = connect(endpoint)
    connection.respond(103.0, Response(
        1, Action.SEND, PayloadType.SAP, b'x', receive_timeout=500.0, data_link=DataLink.ERROR))
    connection.abort(500.0, CloseReason.LINK_LOST, 'link went down')
    endpoint.closed(500.0, connection)
    assert endpoint.status().data_link is DataLink.KEEP
    endpoint.link_down(500.0)
    assert endpoint.status().state is State.DOWN
    assert endpoint.status().close_reason is CloseReason.LINK_LOST


@pytest.mark.parametrize('data_link', [DataLink.TERMINATE, DataLink.PAUSE, DataLink.ERROR])
def test_what_the_session_decided_is_reported_and_the_link_is_given_up(endpoint, data_link):
    connect(endpoint)
    end(endpoint, 103.0, data_link=data_link)
    assert endpoint.status().data_link is data_link
    assert endpoint.discover(REQUEST) is None
    endpoint.link_down(104.0)
    endpoint.link_up(105.0)
    endpoint.listening(LISTENERS)
    assert endpoint.status().state is State.LISTENING
    assert endpoint.status().data_link is DataLink.KEEP
    assert endpoint.discover(REQUEST) is not None


def test_a_session_that_keeps_the_link_may_be_followed_within_the_setup_time(endpoint):
    """A car whose protocols are all refused would go on for ever if that time began anew."""
    for now in (102.0, 110.0, 117.0):
        connect(endpoint, now)
        end(endpoint, now + 0.5, data_link=DataLink.KEEP)
        assert endpoint.status().setup_since == 100.0
        assert endpoint.deadline() == 118.0
    assert endpoint.tick(118.0)
    assert endpoint.status().data_link is DataLink.ERROR


def test_a_session_that_keeps_the_link_after_the_setup_time_ends_it(endpoint):
    connect(endpoint)
    end(endpoint, 500.0, data_link=DataLink.KEEP)
    assert endpoint.status().data_link is DataLink.ERROR
    assert not endpoint.listens


class Handshaking(PlainChannel):
    ready = False


@pytest.mark.parametrize('channel', [PlainChannel, Handshaking])
def test_a_connection_without_a_request_changes_nothing_for_others(endpoint, channel):
    before = endpoint.status()
    connection = wait(endpoint, channel=channel())
    assert endpoint.status() == before
    assert endpoint.discover(REQUEST) is not None
    assert endpoint.may_connect()
    assert endpoint.deadline() == connection.deadline() or not connection.channel.ready


def test_the_first_request_makes_a_connection_active_and_gives_up_the_others(endpoint):
    idle, car, late = wait(endpoint), wait(endpoint), wait(endpoint)
    assert endpoint.begin(car) == [idle, late]
    assert endpoint.connection is car
    assert not endpoint.may_connect()
    status = endpoint.status()
    assert (status.state, status.connection_id, status.rejected_connections) == (State.OPEN, 1, 2)
    end(endpoint, 103.0)
    assert endpoint.may_connect()


def test_the_oldest_silent_connection_gives_way_then_the_oldest(endpoint):
    waiting = [wait(endpoint) for _ in range(MOST_PENDING - 1)]
    assert endpoint.make_room() == []
    waiting.append(wait(endpoint))
    waiting[0].received(101.0, b'\x01')
    assert endpoint.make_room() == [waiting[1]]
    waiting[1] = wait(endpoint)
    for connection in waiting:
        connection.received(101.0, b'\x01')
    assert endpoint.make_room() == [waiting[0]]
    assert endpoint.status().rejected_connections == 2


def test_idle_connections_do_not_put_off_the_end_of_the_setup_time(endpoint):
    connection = wait(endpoint)
    assert endpoint.tick(118.0)
    shown = endpoint.status()
    assert (shown.state, shown.data_link) == (State.CLOSED, DataLink.ERROR)
    connection.tick(118.0)
    endpoint.closed(118.0, connection)
    assert endpoint.status() == shown


def test_a_connection_that_fails_before_its_first_request_is_shown_and_numbered(endpoint):
    connection = wait(endpoint)
    connection.lost(102.0, 'r' * 1000)
    endpoint.closed(102.0, connection)
    status = endpoint.status()
    assert (status.state, status.connection_id, status.close_reason, status.data_link) == (
        State.CLOSED, 1, CloseReason.RESET, DataLink.KEEP)
    assert status.close_message == 'r' * 256
    assert endpoint.discover(REQUEST) is not None


def test_connections_are_counted_from_one_and_never_zero(endpoint):
    endpoint.connection_id = 2**32 - 1
    connect(endpoint)
    assert endpoint.status().connection_id == 1
