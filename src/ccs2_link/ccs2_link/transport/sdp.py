"""SECC discovery protocol: how a vehicle finds the station (ISO 15118-2 clause 7.10.1).

A request is a V2GTP datagram of exactly 10 octets, the response one of 28:

========  =============================================================
request   security (0x00 TLS, 0x10 none), transport (0x00 TCP)
response  IPv6 address (16), port (2), security offered, transport (0x00)
========  =============================================================
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from enum import Enum, IntEnum

from ccs2_link.transport.v2gtp import HEADER, INVERSE_VERSION, VERSION, PayloadType, encode

#: UDP port of SDP on every interface of the standard.
PORT = 15118
REQUEST_LENGTH = HEADER.size + 2
_REQUEST_HEADER = HEADER.pack(VERSION, INVERSE_VERSION, PayloadType.SDP_REQUEST, 2)
_TCP = 0x00


class SdpSecurity(IntEnum):
    """Security octet of request and response; all other values are reserved."""

    TLS = 0x00
    NONE = 0x10


class SecurityPolicy(Enum):
    """Which transports the station offers."""

    NONE = 'none'
    """Plain TCP only. A vehicle that asks for TLS is told so, as of a station without TLS."""
    CAR = 'car'
    """As the vehicle asks. Asked for TLS without a credential, the station stays silent."""
    TLS = 'tls'
    """TLS only. A vehicle that asks for plain TCP is offered TLS, and decides for itself."""

    @property
    def plain(self) -> bool:
        """A plain TCP listener exists."""
        return self is not SecurityPolicy.TLS

    @property
    def tls(self) -> bool:
        """A TLS listener exists as long as there is a credential."""
        return self is not SecurityPolicy.NONE

    def answer(self, asked: SdpSecurity) -> SdpSecurity:
        """Return the security to offer to a vehicle that asks for `asked`.

        It never depends on whether a credential is there: without one, TLS cannot be offered, and
        nothing else is offered in its place.
        """
        return {
            SecurityPolicy.NONE: SdpSecurity.NONE,
            SecurityPolicy.CAR: asked,
            SecurityPolicy.TLS: SdpSecurity.TLS,
        }[self]


@dataclass(frozen=True, slots=True)
class Listeners:
    """Where the station listens: an IPv6 address and the port for each security there is."""

    address: ipaddress.IPv6Address
    ports: dict[SdpSecurity, int]


def parse_request(datagram: bytes) -> SdpSecurity | None:
    """Return the security that a request asks for; None if it is anything but a valid request."""
    if len(datagram) != REQUEST_LENGTH or not datagram.startswith(_REQUEST_HEADER):
        return None
    security, transport = datagram[HEADER.size:]
    if transport != _TCP or security not in SdpSecurity.__members__.values():
        return None
    return SdpSecurity(security)


def encode_response(address: ipaddress.IPv6Address, port: int, security: SdpSecurity) -> bytes:
    """Return the response datagram that names the station's endpoint."""
    payload = address.packed + port.to_bytes(2, 'big') + bytes([security, _TCP])
    return encode(PayloadType.SDP_RESPONSE, payload)


def answer(datagram: bytes, policy: SecurityPolicy, listeners: Listeners) -> bytes | None:
    """Return the response to `datagram`; None if it is to be dropped."""
    asked = parse_request(datagram)
    if asked is None:
        return None
    offered = policy.answer(asked)
    port = listeners.ports.get(offered)
    return None if port is None else encode_response(listeners.address, port, offered)
