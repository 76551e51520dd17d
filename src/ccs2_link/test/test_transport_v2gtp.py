"""Framing: the same messages whatever the split, and nothing that a header can do to it."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccs2_link.transport.v2gtp import (
    HEADER,
    LARGEST_PAYLOAD,
    SESSION_TYPES,
    Framer,
    FramingError,
    Message,
    PayloadType,
    encode,
)

LIMIT = 300
messages = st.builds(
    Message, st.sampled_from(sorted(SESSION_TYPES)), st.binary(min_size=1, max_size=LIMIT))


def frame(chunks, limit=LIMIT):
    """Return the messages of a stream, and whether it broke."""
    framer, found = Framer(limit), []
    try:
        for chunk in chunks:
            framer.feed(chunk)
            while (message := framer.next()) is not None:
                found.append(message)
    except FramingError:
        return found, True
    return found, False


def split(data, cuts):
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges)]


cuts = st.lists(st.integers(0, 10_000), max_size=12)
#: Streams in which headers, garbage and messages follow each other.
streams = st.lists(st.one_of(
    messages.map(lambda message: encode(message.payload_type, message.payload)),
    st.binary(max_size=30),
    st.builds(HEADER.pack, st.sampled_from([0, 1, 2]), st.sampled_from([0xFE, 0xFF]),
              st.sampled_from([0x8001, 0x8004, 0x7001, 0x9000]), st.integers(0, LIMIT + 5)),
), max_size=8).map(b''.join)


@given(streams, cuts)
def test_any_split_of_any_stream_gives_the_same_messages(stream, at):
    assert frame(split(stream, at)) == frame([stream])


@given(streams)
def test_one_octet_at_a_time_gives_the_same_messages(stream):
    assert frame(bytes([octet]) for octet in stream) == frame([stream])


@given(st.lists(messages, max_size=6), cuts)
def test_what_was_encoded_is_found_again(sent, at):
    stream = b''.join(encode(message.payload_type, message.payload) for message in sent)
    assert frame(split(stream, at)) == (sent, False)


BODY = bytes.fromhex('8098021050908c0c0c0e0c50e0000000')
GOOD = encode(PayloadType.SAP, b'good')


@pytest.mark.parametrize('header', [
    HEADER.pack(0x01, 0xFE, 0x8001, 0),             # length zero, body follows all the same
    HEADER.pack(0x01, 0xFE, 0x7001, len(BODY)),     # unknown type
    HEADER.pack(0x01, 0xFE, 0x7001, 0),
    HEADER.pack(0xFF, 0xFE, 0x8001, len(BODY)),     # wrong version
    HEADER.pack(0x01, 0xFF, 0x8001, len(BODY)),     # wrong inverse version
    HEADER.pack(0x01, 0xFE, 0x9000, len(BODY)),     # SDP does not belong here
    HEADER.pack(0x01, 0xFE, 0xA000, len(BODY)),     # manufacturer specific
])
def test_a_message_with_a_wrong_header_is_ignored_and_the_next_is_found(header):
    assert frame([header + BODY + GOOD]) == ([Message(PayloadType.SAP, b'good')], False)
    framer = Framer()
    framer.feed(header + BODY)
    assert framer.next() is None
    assert framer.ignored >= 1


@pytest.mark.parametrize('length', [
    LIMIT + 1, 0x00002001, 0x80000000, 0xFFFFFFF8, 0xFFFFFFFF])
@pytest.mark.parametrize('payload_type', [0x8001, 0x7001])
def test_a_length_over_the_limit_breaks_the_stream_before_anything_is_kept(length, payload_type):
    framer = Framer(LIMIT)
    framer.feed(HEADER.pack(0x01, 0xFE, payload_type, length))
    with pytest.raises(FramingError, match=f'{length} octets, limit is {LIMIT}'):
        framer.next()


def test_the_limit_itself_is_allowed():
    assert frame([encode(PayloadType.SAP, bytes(LIMIT))])[0] == [
        Message(PayloadType.SAP, bytes(LIMIT))]


def test_garbage_without_end_is_not_kept():
    framer = Framer(LIMIT)
    for _ in range(1000):
        framer.feed(b'\x02' * 1000)
        assert framer.next() is None
    assert not framer.partial
    assert len(framer._buffer) < 4
    assert framer.ignored == 1


def test_partial_tells_an_unfinished_message():
    framer = Framer()
    assert not framer.partial
    framer.feed(GOOD[:3])
    assert framer.next() is None
    assert framer.partial
    framer.feed(GOOD[3:])
    framer.next()
    assert not framer.partial


@pytest.mark.parametrize('size', [0, LARGEST_PAYLOAD + 1])
def test_only_payloads_of_legal_size_are_encoded(size):
    with pytest.raises(ValueError, match=f'payload of {size} octets'):
        encode(PayloadType.SAP, bytes(size))
