"""V2G transfer protocol: eight octets of header before each message (ISO 15118-2 clause 7.8.3).

==========  ======  =======================================
octets      length  field
==========  ======  =======================================
0           1       protocol version, 0x01
1           1       inverse protocol version, 0xFE
2..3        2       payload type, big endian
4..7        4       payload length, big endian, without header
==========  ======  =======================================
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum

HEADER = struct.Struct('!BBHI')
VERSION = 0x01
INVERSE_VERSION = 0xFE
#: Largest payload that the station's interfaces carry, in octets.
LARGEST_PAYLOAD = 65536


class PayloadType(IntEnum):
    """Payload types of a session, and the two of SDP."""

    SAP = 0x8001
    """SupportedAppProtocol for every protocol; all of DIN SPEC 70121 and ISO 15118-2."""
    ISO20_COMMON = 0x8002
    ISO20_AC = 0x8003
    ISO20_DC = 0x8004
    ISO20_ACDP = 0x8005
    ISO20_WPT = 0x8006
    ISO20_SCHEDULE_RENEGOTIATION = 0x8101
    ISO20_METERING_CONFIRMATION = 0x8102
    ISO20_ACDP_STATUS = 0x8103
    ISO20_PARKING_STATUS = 0x8104
    SDP_REQUEST = 0x9000
    SDP_RESPONSE = 0x9001


#: What may come over a connection; every other type is ignored.
SESSION_TYPES = frozenset(kind for kind in PayloadType if kind < PayloadType.SDP_REQUEST)
#: How a message that can follow lost octets begins.
_STARTS = frozenset(HEADER.pack(VERSION, INVERSE_VERSION, kind, 0)[:4] for kind in SESSION_TYPES)
_VERSION_OCTETS = bytes([VERSION, INVERSE_VERSION])
_START_LENGTH = 4


class FramingError(Exception):
    """The stream cannot be followed any more; the text says why. Only closing is left."""


@dataclass(frozen=True, slots=True)
class Message:
    """One complete message: its payload type and its payload without the header."""

    payload_type: int
    payload: bytes


def encode(payload_type: int, payload: bytes) -> bytes:
    """Return `payload` (1 .. 65536 octets) with its header."""
    if not 0 < len(payload) <= LARGEST_PAYLOAD:
        raise ValueError(f'V2GTP payload of {len(payload)} octets, not 1 .. {LARGEST_PAYLOAD}')
    return HEADER.pack(VERSION, INVERSE_VERSION, payload_type, len(payload)) + payload


class Framer:
    """Cuts a stream of octets into messages, however the octets were split on their way.

    A message of an unknown type, of length zero or with wrong version octets is ignored, as the
    conformance tests ask (ISO 15118-4, V2GTPSessionSetup_002 .. _005). Where a header does not say
    how far to skip, the stream is searched for the next known header. A declared length over the
    limit ends it: nothing is allocated by a declared length, and nothing is added to it before it
    has been compared.
    """

    def __init__(self, limit: int = LARGEST_PAYLOAD) -> None:
        self._limit = limit
        self._buffer = bytearray()
        self._skip = 0
        self._searching = False
        #: Messages ignored so far.
        self.ignored = 0

    @property
    def partial(self) -> bool:
        """Octets of a message that is not complete have arrived."""
        return self._skip > 0 or (bool(self._buffer) and not self._searching)

    def feed(self, data: bytes) -> None:
        """Take octets from the stream; :meth:`next` then returns what they complete."""
        self._buffer += data

    def next(self) -> Message | None:
        """Return the next complete message, None if it has not arrived yet.

        Raises FramingError when the header declares more than the limit.
        """
        while self._find_header():
            version, inverse, payload_type, length = HEADER.unpack_from(self._buffer)
            if (version, inverse) != (VERSION, INVERSE_VERSION):
                self._searching = True
                self.ignored += 1
                del self._buffer[0]
                continue
            if length > self._limit:
                raise FramingError(
                    f'V2GTP message declares {length} octets, limit is {self._limit}')
            if length == 0 or payload_type not in SESSION_TYPES:
                self._skip = HEADER.size + length
                self.ignored += 1
                continue
            end = HEADER.size + length
            if len(self._buffer) < end:
                return None
            message = Message(payload_type, bytes(self._buffer[HEADER.size:end]))
            del self._buffer[:end]
            return message
        return None

    def _find_header(self) -> bool:
        """Drop what is to be skipped; tell whether a whole header is at the buffer's start."""
        if self._skip:
            dropped = min(self._skip, len(self._buffer))
            del self._buffer[:dropped]
            self._skip -= dropped
        if self._searching:
            self._search()
        return not self._searching and len(self._buffer) >= HEADER.size

    def _search(self) -> None:
        """Drop octets up to the next known start of a message, or all that cannot hold one."""
        position = self._buffer.find(_VERSION_OCTETS)
        while 0 <= position <= len(self._buffer) - _START_LENGTH:
            if bytes(self._buffer[position:position + _START_LENGTH]) in _STARTS:
                self._searching = False
                del self._buffer[:position]
                return
            position = self._buffer.find(_VERSION_OCTETS, position + 1)
        del self._buffer[:max(0, len(self._buffer) - _START_LENGTH + 1)]
