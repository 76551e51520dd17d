"""Messages in network captures: SDP over UDP, V2GTP over TCP put together again.

The schema of every message follows from its V2GTP payload type and from what
SupportedAppProtocol has settled on this connection.  TLS is not decrypted.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import dpkt  # type: ignore[import-untyped]

from .codec import decode
from .errors import ExiError
from .jsonable import to_json
from .schemas import schema_for

_HEADER = 8
_VERSION = b'\x01\xfe'
_SDP_PORT = 15118
_SDP_REQUEST, _SDP_RESPONSE = 0x9000, 0x9001
#: The longest payload believed; a certificate message has some 10 kB.
MAX_PAYLOAD = 1 << 20
#: Octets kept of one direction of a connection while a segment before them is missing.
_MAX_PENDING = 1 << 20

Endpoint = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Message:
    """One V2GTP message of a capture."""

    #: Seconds since 1970-01-01 UTC at which its last octet was captured.
    time: float
    source: Endpoint
    destination: Endpoint
    payload_type: int
    payload: bytes
    #: Schema of an EXI payload, ``sdp`` for discovery, None if it cannot be known.
    schema: str | None
    #: Decoded content as JSON, None if there is none.
    content: dict[str, Any] | None
    #: Why the content is missing.
    error: str | None

    def to_json(self) -> dict[str, Any]:
        """Return the message as a JSON-able dict."""
        return {
            'time': self.time,
            'from': f'[{self.source[0]}]:{self.source[1]}',
            'to': f'[{self.destination[0]}]:{self.destination[1]}',
            'payload_type': f'0x{self.payload_type:04x}',
            'schema': self.schema,
            'message': self.content,
            'error': self.error,
            'exi': self.payload.hex(),
        }


@dataclass(slots=True)
class Stream:
    """One direction of a TCP connection: segments in, octets in order out."""

    next: int | None = None
    pending: dict[int, bytes] = field(default_factory=dict)
    buffer: bytearray = field(default_factory=bytearray)

    def add(self, sequence: int, data: bytes) -> None:
        """Take a segment; those that repeat or come early are handled, gaps are waited for."""
        if self.next is None:
            self.next = sequence
        if sum(map(len, self.pending.values())) < _MAX_PENDING:
            known = self.pending.get(sequence, b'')
            self.pending[sequence] = max(known, data, key=len)
        progress = True
        while progress:
            progress = False
            for start in sorted(self.pending, key=self._distance):
                distance = self._distance(start)
                if distance > 0:
                    break
                data = self.pending.pop(start)
                fresh = data[-distance:] if distance else data
                if fresh:
                    self.buffer += fresh
                    self.next = (self.next + len(fresh)) & 0xFFFF_FFFF
                    progress = True

    def restart(self, sequence: int) -> None:
        """Begin anew: a SYN announces that data starts after ``sequence``."""
        self.next = (sequence + 1) & 0xFFFF_FFFF
        self.pending.clear()
        self.buffer.clear()

    def _distance(self, sequence: int) -> int:
        """Return how far ``sequence`` is ahead, modulo the wrap of sequence numbers."""
        expected = sequence if self.next is None else self.next
        return (sequence - expected + 0x8000_0000 & 0xFFFF_FFFF) - 0x8000_0000

    def payloads(self) -> Iterator[tuple[int, bytes]]:
        """Yield and remove complete V2GTP messages: payload type and payload."""
        while len(self.buffer) >= _HEADER:
            if self.buffer[:2] != _VERSION:
                # Not V2GTP, or TLS: nothing here is ours until the next connection.
                self.buffer.clear()
                return
            length = int.from_bytes(self.buffer[4:8])
            if length > MAX_PAYLOAD:
                self.buffer.clear()
                return
            if len(self.buffer) < _HEADER + length:
                return
            kind = int.from_bytes(self.buffer[2:4])
            payload = bytes(self.buffer[_HEADER:_HEADER + length])
            del self.buffer[:_HEADER + length]
            yield kind, payload


class Session:
    """What is known of one connection: the protocols offered and the one chosen."""

    def __init__(self) -> None:
        self.offered: dict[int, str] = {}
        self.protocol: str | None = None

    def read(
        self, payload_type: int, payload: bytes,
    ) -> tuple[str | None, dict[str, Any] | None, str | None]:
        """Return schema, content and error of a payload."""
        if payload_type in (_SDP_REQUEST, _SDP_RESPONSE):
            return 'sdp', *_sdp(payload_type, payload)
        try:
            schema = schema_for(payload_type, self.protocol)
        except ValueError as error:
            return None, None, str(error)
        try:
            message = decode(schema, payload, validate=False)
        except ExiError as error:
            return schema, None, str(error)
        if schema == 'sap':
            self._negotiate(message)
        return schema, to_json(message), None

    def _negotiate(self, message: Any) -> None:
        if hasattr(message, 'app_protocol'):
            self.offered = {
                each.schema_id: each.protocol_namespace for each in message.app_protocol}
        else:
            self.protocol = self.offered.get(message.schema_id)


def _sdp(kind: int, payload: bytes) -> tuple[dict[str, Any] | None, str | None]:
    """Return the content of an SDP payload (ISO 15118-2, clause 7.10.1)."""
    security = {0x00: 'TLS', 0x10: 'none'}
    transport = {0x00: 'TCP', 0x10: 'UDP'}
    if len(payload) != (2 if kind == _SDP_REQUEST else 20):
        return None, f'an SDP payload has no {len(payload)} octets'
    last = {
        'security': security.get(payload[-2], f'0x{payload[-2]:02x}'),
        'transport': transport.get(payload[-1], f'0x{payload[-1]:02x}'),
    }
    if kind == _SDP_REQUEST:
        return {'SDPRequest': last}, None
    address = str(ipaddress.IPv6Address(payload[:16]))
    return {'SDPResponse': {
        'address': address, 'port': int.from_bytes(payload[16:18]), **last}}, None


def read_capture(file: BinaryIO) -> Iterator[Message]:
    """Yield the V2GTP messages of a pcap or pcapng file in order of completion.

    Raise ``ValueError`` if the file is neither, and where it is damaged.
    """
    try:
        reader = dpkt.pcap.UniversalReader(file)
    except (ValueError, dpkt.UnpackError) as error:
        raise ValueError(f'not a capture: {error}') from None
    yield from messages(_intact(reader), reader.datalink())


def _intact(packets: Iterable[tuple[float, bytes]]) -> Iterator[tuple[float, bytes]]:
    """Pass on packets up to where the file is damaged or ends in mid-packet."""
    try:
        yield from packets
    except dpkt.UnpackError as error:
        raise ValueError(f'the capture is damaged: {error}') from None


def messages(packets: Iterable[tuple[float, bytes]], link_type: int) -> Iterator[Message]:
    """Yield the V2GTP messages in captured packets."""
    streams: dict[tuple[Endpoint, Endpoint], Stream] = {}
    sessions: dict[frozenset[Endpoint], Session] = {}
    for time, packet in packets:
        ip = _internet_layer(packet, link_type)
        if ip is None:
            continue
        transport = ip.data
        source = (_address(ip.src), transport.sport)
        destination = (_address(ip.dst), transport.dport)
        if isinstance(transport, dpkt.udp.UDP):
            if _SDP_PORT not in (transport.sport, transport.dport):
                continue
            stream, session = Stream(), Session()
            stream.buffer += transport.data
        else:
            pair = frozenset((source, destination))
            stream = streams.setdefault((source, destination), Stream())
            if transport.flags & dpkt.tcp.TH_SYN:
                stream.restart(transport.seq)
                if not transport.flags & dpkt.tcp.TH_ACK:
                    sessions[pair] = Session()
                continue
            session = sessions.setdefault(pair, Session())
            if transport.data:
                stream.add(transport.seq, bytes(transport.data))
        for kind, payload in stream.payloads():
            yield Message(float(time), source, destination, kind, payload,
                          *session.read(kind, payload))


def _internet_layer(packet: bytes, link_type: int) -> Any:
    """Return the IP packet that carries TCP or UDP, or None."""
    try:
        match link_type:
            case dpkt.pcap.DLT_EN10MB:
                ip = dpkt.ethernet.Ethernet(packet).data
            case dpkt.pcap.DLT_LINUX_SLL:
                ip = dpkt.sll.SLL(packet).data
            case dpkt.pcap.DLT_LINUX_SLL2:
                ip = dpkt.sll2.SLL2(packet).data
            case dpkt.pcap.DLT_RAW:
                version = packet[0] >> 4 if packet else 0
                ip = dpkt.ip6.IP6(packet) if version == 6 else dpkt.ip.IP(packet)
            case _:
                raise ValueError(f'captures of link type {link_type} are not read')
    except (dpkt.UnpackError, IndexError):
        # A frame cut short by the capture.
        return None
    if not isinstance(ip, dpkt.ip6.IP6 | dpkt.ip.IP):
        return None
    return ip if isinstance(ip.data, dpkt.tcp.TCP | dpkt.udp.UDP) else None


def _address(octets: bytes) -> str:
    return str(ipaddress.ip_address(octets))
