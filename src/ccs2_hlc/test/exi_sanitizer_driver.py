"""Run under the address sanitizer: damage one stream per message type in every way."""

import random

from ccs2_hlc import exi
from ccs2_hlc.exi.sampling import Amount, Sampler
from ccs2_hlc.exi.schemas import messages

# Streams are damaged in nine ways per octet, which takes long under the sanitizers.
LONGEST = 48


def streams(schema):
    """Return one stream per type of message."""
    sampler = Sampler(schema, random.Random(schema), Amount.RANDOM)
    found = {}
    for _ in range(2000):
        message = sampler.message()
        data = exi.encode(message)
        known = found.get(type(getattr(message, 'body', message)))
        if known is None or len(known) < len(data) <= LONGEST or LONGEST < len(data) < len(known):
            found[type(getattr(message, 'body', message))] = data
    assert len(found) >= min(len(messages(schema)), 33)
    return found.values()


def attempt(schema, data):
    """Decode without validation, which comes furthest, and encode what came out."""
    try:
        message = exi.decode(schema, data, validate=False, string_table=True)
    except exi.ExiError:
        return
    exi.encode(message, validate=False)


count = 0
for schema in exi.SCHEMAS:
    for data in streams(schema):
        for length in range(len(data)):
            # A copy of exactly this length: the sanitizer sees one octet too many.
            attempt(schema, bytes(bytearray(data[:length])))
        for bit in range(8 * len(data)):
            octets = bytearray(data)
            octets[bit >> 3] ^= 0x80 >> (bit & 7)
            attempt(schema, bytes(octets))
        count += 9 * len(data)
    source = Sampler(schema, random.Random(schema))
    for _ in range(300):
        name, value = source.fragment()
        data = exi.encode_fragment(schema, name, value)
        assert exi.decode_fragment(schema, data) == (name, value)
print(count)
