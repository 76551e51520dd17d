"""A request that the session does not understand gets no answer, and the next one is handed on."""

import pytest

from ccs2_link.transport.channel import PlainChannel
from ccs2_link.transport.connection import (
    Action,
    Close,
    CloseReason,
    Connection,
    Deliver,
    Limits,
    Response,
)
from ccs2_link.transport.v2gtp import PayloadType, encode

REQUEST = encode(PayloadType.SAP, b'request')


def asked():
    connection = Connection(0.0, PlainChannel(), Limits(), 18.0)
    connection.received(1.0, REQUEST)
    return connection


def test_nothing_is_sent_and_the_next_request_is_awaited():
    connection = asked()
    ignore = Response(sequence=1, action=Action.IGNORE, receive_timeout=4.0)
    assert connection.respond(2.0, ignore) == []
    assert connection.deadline() == 6.0
    assert connection.received(3.0, REQUEST) == [Deliver(2, PayloadType.SAP, b'request')]


def test_the_wait_for_the_next_request_ends():
    connection = asked()
    connection.respond(2.0, Response(sequence=1, action=Action.IGNORE, receive_timeout=4.0))
    assert connection.tick(6.0) == [Close()]
    assert connection.close_reason is CloseReason.TIMEOUT


@pytest.mark.parametrize('fields', [{'payload': b'x'}, {'receive_timeout': 0.0}])
def test_an_ignoring_response_that_contradicts_itself_is_refused(fields):
    with pytest.raises(ValueError, match=r'response|receive_timeout'):
        Response(**{'sequence': 1, 'action': Action.IGNORE, 'receive_timeout': 4.0, **fields})
