"""Secrets, every form in which they could show up, and the search for them in what was written."""

import base64
import re
from collections.abc import Iterator, Mapping

#: What people and programs put between the figures of octets.
SEPARATORS = re.compile(rb'\\n|[\s:,;.\-_\\\'"\[\]()]')


def forms(secret: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the names of forms of a secret, and what to look for in the octets as they are."""
    yield 'raw', secret
    yield 'reversed', secret[::-1]
    yield 'representation', repr(secret)[2:-1].encode()
    number = int.from_bytes(secret, 'big')
    for shift in range(1, 8):
        # As EXI has octets: across the borders of octets. The outermost bits are somebody else's.
        shifted = (number << 8 - shift).to_bytes(len(secret) + 1, 'big')
        yield f'shifted by {shift} bits', shifted[1:-1]


def compact_forms(secret: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the same for the octets in lower case and without separators."""
    yield 'hexadecimal', secret.hex().encode()
    yield 'reversed hexadecimal', secret[::-1].hex().encode()
    for prefix in ('x', '0x'):
        yield f'octets with {prefix}', ''.join(f'{prefix}{octet:02x}' for octet in secret).encode()
    yield 'decimal octets', ''.join(map(str, secret)).encode()
    yield 'decimal', str(int.from_bytes(secret, 'big')).encode()
    for offset in range(3):
        # Within something longer, as a key is in PEM: only whole groups of 6 bits are its own.
        text = base64.b64encode(bytes(offset) + secret)
        start = 0 if offset == 0 else offset + 1
        end = (offset + len(secret)) * 8 // 6
        for name, alphabet in (('base64', text), ('base64url', text.translate(
                bytes.maketrans(b'+/', b'-_')))):
            yield f'{name} at {offset}', compact(alphabet[start:end])


def compact(data: bytes) -> bytes:
    """Return data in lower case and without separators."""
    return SEPARATORS.sub(b'', data).lower()


def find(secrets: Mapping[str, bytes], written: Mapping[str, bytes]) -> list[str]:
    """Return where which secret is, in which form."""
    found = []
    for place, data in written.items():
        close = compact(data)
        for name, secret in secrets.items():
            found += [f'{name} in {place}, {form}' for form, needle in forms(secret)
                      if needle in data]
            found += [f'{name} in {place}, {form}' for form, needle in compact_forms(secret)
                      if needle in close]
    return found
