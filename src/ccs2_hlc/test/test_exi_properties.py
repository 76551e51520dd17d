"""What must hold for all messages of all schemas, and for all damaged ones."""

import json
import random
import resource

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ccs2_hlc import exi
from ccs2_hlc.exi import sampling, strategies
from ccs2_hlc.exi.declare import declaration
from ccs2_hlc.exi.schemas import messages

quick = settings(
    max_examples=25, deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
all_schemas = pytest.mark.parametrize('schema', exi.SCHEMAS)


@all_schemas
@quick
@given(data=st.data())
def test_messages_round_trip_through_bytes_and_json(schema, data):
    message = data.draw(strategies.messages(schema))
    octets = exi.encode(message)
    decoded, report = exi.decode_with_report(schema, octets)
    assert decoded == message
    assert report.trailing_zeros == 0
    again = exi.from_json(schema, json.loads(json.dumps(exi.to_json(message))))
    assert exi.encode(again) == octets


@all_schemas
@quick
@given(data=st.data())
def test_fragments_round_trip(schema, data):
    name, value = data.draw(strategies.fragments(schema))
    octets = exi.encode_fragment(schema, name, value)
    assert exi.decode_fragment(schema, octets) == (name, value)


@all_schemas
@quick
@given(data=st.data())
def test_damaged_documents_are_decoded_or_refused(schema, data):
    octets = data.draw(strategies.mutated_documents(schema))
    for options in ({}, {'validate': False}, {'string_table': True}):
        message = attempt(schema, octets, **options)
        if message is not None:
            again = exi.encode(message, validate=options.get('validate', True))
            assert exi.decode(schema, again, **options) == message


@all_schemas
@quick
@given(data=st.data())
def test_damaged_fragments_are_decoded_or_refused(schema, data):
    octets = data.draw(strategies.mutated_fragments(schema))
    try:
        name, value = exi.decode_fragment(schema, octets)
    except exi.ExiError:
        return
    assert exi.decode_fragment(schema, exi.encode_fragment(schema, name, value)) == (name, value)


def vectors(schema):
    """Return one stream per type of message: everything optional present, short lists."""
    sampler = sampling.Sampler(schema, random.Random(schema), sampling.Amount.RANDOM)
    found = {}
    for _ in range(3000):
        message = sampler.message()
        body = getattr(message, 'body', message)
        data = exi.encode(message)
        known = found.get(type(body))
        if known is None or len(known) < len(data) <= 200:
            found[type(body)] = data
    return found


@all_schemas
def test_every_prefix_and_every_flipped_bit_is_decoded_or_refused(schema):
    streams = vectors(schema)
    expected = messages(schema)
    if len(expected) == 1:
        assert len(streams) >= 33
    else:
        assert set(streams) == set(expected)
    for data in streams.values():
        for length in range(len(data)):
            attempt(schema, data[:length])
        for bit in range(8 * len(data)):
            octets = bytearray(data)
            octets[bit >> 3] ^= 0x80 >> (bit & 7)
            message = attempt(schema, bytes(octets))
            if message is not None:
                exi.encode(message)


def attempt(schema, data, **options):
    """Return the message in ``data``, or None if it is refused with a sensible error."""
    error = None
    try:
        return exi.decode(schema, data, **options)
    except exi.ExiError as caught:
        error = caught
    assert 0 <= error.bit_offset <= 8 * len(data)
    return None


def test_a_prefix_of_a_message_is_never_taken_for_it():
    """A message that ends in mid-octet must not be completed from beyond the buffer."""
    for schema in exi.SCHEMAS:
        for data in vectors(schema).values():
            with pytest.raises(exi.ExiError):
                exi.decode(schema, data[:-1])


@pytest.mark.parametrize('schema', ['iso2', 'iso20-common'])
def test_random_octets_cost_no_memory(schema):
    random_octets = random.Random(1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(2000):
        attempt(schema, b'\x80' + random_octets.randbytes(random_octets.randrange(300)))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000  # kB


def test_every_declared_field_says_what_it_is():
    for schema in exi.SCHEMAS:
        for cls in messages(schema):
            assert cls.__doc__
            assert all(spec.doc for _, _, spec in declaration(cls).fields)
