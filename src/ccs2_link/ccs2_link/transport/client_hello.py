"""The first message of a TLS handshake, read before the TLS library sees it.

Which chain of certificates to present depends on what the vehicle says there: the versions it
offers, and the roots it trusts. Neither the standard library nor pyOpenSSL tells a server about
`trusted_ca_keys` (RFC 6066, ISO 15118-2 [V2G2-651]) or `certificate_authorities` (RFC 8446,
ISO 15118-20 [V2G20-1006]). The octets go to the library unchanged, which checks them again: what
is malformed here gets its alert there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from ccs2_pki.selection import IdentifierType, TrustedAuthority

TLS_1_2 = 0x0303
TLS_1_3 = 0x0304
#: Octets of records in which a ClientHello has to be complete.
LARGEST_HELLO = 16384
_RECORD_HEADER = 5
_HANDSHAKE_HEADER = 4
_HANDSHAKE = 22
_CLIENT_HELLO = 1
_TRUSTED_CA_KEYS = 3
_SUPPORTED_GROUPS = 10
_SIGNATURE_ALGORITHMS = 13
_SUPPORTED_VERSIONS = 43
_CERTIFICATE_AUTHORITIES = 47
_SHA1_LENGTH = 20

T = TypeVar('T')


class HelloError(Exception):
    """Not a ClientHello."""


@dataclass(frozen=True, slots=True)
class ClientHello:
    """What a vehicle offers and trusts; numbers as in the TLS registries."""

    versions: frozenset[int]
    groups: frozenset[int]
    signature_schemes: frozenset[int]
    trusted_ca_keys: tuple[TrustedAuthority, ...]
    certificate_authorities: tuple[TrustedAuthority, ...]


class _Reader:
    """Reads numbers and counted fields; every one of them is checked against what is there."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    @property
    def left(self) -> int:
        return len(self._data) - self._position

    def take(self, count: int) -> bytes:
        if count > self.left:
            raise HelloError('a length points beyond the end')
        taken = self._data[self._position:self._position + count]
        self._position += count
        return taken

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), 'big')

    def counted(self, size: int) -> _Reader:
        """Return a reader of the field that a length of `size` octets precedes."""
        return _Reader(self.take(self.number(size)))

    def rest(self) -> bytes:
        return self.take(self.left)

    def all(self, read: Callable[[_Reader], T]) -> list[T]:
        """Read items up to the end."""
        items = []
        while self.left:
            items.append(read(self))
        return items


class HelloReader:
    """Reads the ClientHello at the start of one TLS stream.

    Each record is looked at once, so that it does not matter into how many pieces the stream is
    cut, nor into how many records the message.
    """

    def __init__(self) -> None:
        self._position = 0
        self._joined = bytearray()

    def read(self, stream: bytes) -> ClientHello | None:
        """Return the ClientHello, None if it is not complete yet.

        `stream` is all that has come so far, at least as much as before. Raises HelloError if it
        does not begin with a ClientHello, or with one that is too long.
        """
        while (message := self._message()) is None:
            if not self._join_record(stream):
                return None
        return _parse(_Reader(message))

    def _message(self) -> bytes | None:
        """Return the body of the first handshake message, None if it is not complete yet."""
        if len(self._joined) < _HANDSHAKE_HEADER:
            return None
        length = int.from_bytes(self._joined[1:_HANDSHAKE_HEADER], 'big')
        if self._joined[0] != _CLIENT_HELLO or length > LARGEST_HELLO:
            raise HelloError('not a ClientHello of acceptable length')
        end = _HANDSHAKE_HEADER + length
        return None if len(self._joined) < end else bytes(self._joined[_HANDSHAKE_HEADER:end])

    def _join_record(self, stream: bytes) -> bool:
        """Add the content of the next record; return False if it is not complete yet."""
        position = self._position
        if stream[position:position + 1] not in (b'', bytes([_HANDSHAKE])):
            raise HelloError('not a TLS handshake')
        begin = position + _RECORD_HEADER
        if len(stream) < begin:
            if position > LARGEST_HELLO:
                raise HelloError('ClientHello in too many records')
            return False
        length = int.from_bytes(stream[position + 3:begin], 'big')
        if not 0 < length <= LARGEST_HELLO:
            raise HelloError('record of impossible length')
        end = begin + length
        if len(stream) < end:
            return False
        self._joined += stream[begin:end]
        self._position = end
        return True


def _parse(reader: _Reader) -> ClientHello:
    legacy_version = reader.number(2)
    reader.take(32)         # random
    reader.counted(1)       # session id
    reader.counted(2)       # cipher suites
    reader.counted(1)       # compression methods
    extensions: dict[int, _Reader] = {}
    if reader.left:
        extensions = dict(reader.counted(2).all(lambda item: (item.number(2), item.counted(2))))

    def read(kind: int, parse: Callable[[_Reader], T], absent: T) -> T:
        field = extensions.get(kind)
        return absent if field is None else parse(field)

    return ClientHello(
        versions=read(_SUPPORTED_VERSIONS, lambda field: _numbers(field.counted(1)),
                      frozenset({legacy_version})),
        groups=read(_SUPPORTED_GROUPS, lambda field: _numbers(field.counted(2)), frozenset()),
        signature_schemes=read(
            _SIGNATURE_ALGORITHMS, lambda field: _numbers(field.counted(2)), frozenset()),
        trusted_ca_keys=read(
            _TRUSTED_CA_KEYS, lambda field: tuple(field.counted(2).all(_trusted_authority)), ()),
        certificate_authorities=read(
            _CERTIFICATE_AUTHORITIES, lambda field: tuple(field.counted(2).all(_name)), ()),
    )


def _numbers(reader: _Reader) -> frozenset[int]:
    return frozenset(reader.all(lambda item: item.number(2)))


def _name(reader: _Reader) -> TrustedAuthority:
    return TrustedAuthority(IdentifierType.X509_NAME, reader.counted(2).rest())


def _trusted_authority(reader: _Reader) -> TrustedAuthority:
    try:
        kind = IdentifierType(reader.number(1))
    except ValueError:
        raise HelloError('unknown kind of trusted authority') from None
    if kind is IdentifierType.X509_NAME:
        return _name(reader)
    if kind is IdentifierType.PRE_AGREED:
        return TrustedAuthority(kind)
    return TrustedAuthority(kind, reader.take(_SHA1_LENGTH))
