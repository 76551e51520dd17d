"""The search for secrets finds them, in every form."""

import base64
import random

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from leaks import find

SECRET = random.Random(1).randbytes(32)
NUMBERS = list(SECRET)
KEY = ec.derive_private_key(int.from_bytes(SECRET, 'big'), ec.SECP256R1())

FORMS = {
    'raw': SECRET,
    'little endian': SECRET[::-1],
    'bytes': repr(SECRET).encode(),
    'bytearray': repr(bytearray(SECRET)).encode(),
    'hexadecimal': SECRET.hex().encode(),
    'upper case': SECRET.hex().upper().encode(),
    'colons': SECRET.hex(':').encode(),
    'spaces': SECRET.hex(' ').upper().encode(),
    'lines': SECRET.hex('\n', 8).encode(),
    'dashes': SECRET.hex('-', 4).encode(),
    'escaped': ''.join(f'\\x{octet:02x}' for octet in SECRET).encode(),
    'C': ', '.join(f'0x{octet:02X}' for octet in SECRET).encode(),
    'list': str(NUMBERS).encode(),
    'array': f"array('B', {NUMBERS})".encode(),
    'JSON': str(NUMBERS).replace(' ', '').encode(),
    'number': str(int.from_bytes(SECRET, 'big')).encode(),
    'hexadecimal number': hex(int.from_bytes(SECRET, 'big')).encode(),
    'base64': base64.b64encode(SECRET),
    'base64 for addresses': base64.urlsafe_b64encode(SECRET),
    'base64 of something longer': base64.b64encode(b'x' + SECRET + b'yz'),
    'base64 in lines': base64.encodebytes(bytes(50) + SECRET + bytes(50)),
    'PEM': KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    'traditional PEM': KEY.private_bytes(
        Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()),
    'DER': KEY.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()),
    **{f'{bits} bits further': (int.from_bytes(SECRET, 'big') << bits | 1).to_bytes(40, 'big')
       for bits in range(1, 8)},
}


@pytest.mark.parametrize('form', FORMS)
def test_a_secret_is_found(form):
    noise = random.Random(2).randbytes(1000)
    found = find({'the key': SECRET}, {'a log': noise + b'\n' + FORMS[form] + b'\n' + noise})
    assert found
    assert all(line.startswith('the key in a log, ') for line in found)


def test_nothing_is_found_where_nothing_is():
    noise = random.Random(3).randbytes(100_000)
    other = random.Random(4).randbytes(32)
    written = {'noise': noise, 'figures': noise.hex().encode(), 'other': b'\n'.join((
        other, other.hex().encode(), base64.b64encode(other)))}
    assert find({'the key': SECRET}, written) == []
