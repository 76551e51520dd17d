"""The car's side of SDP: how it finds the station (ISO 15118-2 clause 7.10.1)."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from ccs2_link.transport.interface import link_address
from ccs2_link.transport.sdp import PORT, SdpSecurity
from ccs2_link.transport.v2gtp import HEADER, INVERSE_VERSION, VERSION, PayloadType, encode

#: All nodes of the link: where a car sends its requests.
MULTICAST_GROUP = 'ff02::1'
#: A request that is not answered is repeated after this time, so many times at most.
REPEAT = 0.25
ATTEMPTS = 50
#: An interface that has just come up has its address within this time; how often it is looked for.
ADDRESS_PATIENCE = 2.0
ADDRESS_PERIOD = 0.02
_RESPONSE_LENGTH = HEADER.size + 20
_RESPONSE_HEADER = HEADER.pack(VERSION, INVERSE_VERSION, PayloadType.SDP_RESPONSE, 20)
_TCP = 0x00


class DiscoveryError(Exception):
    """No station was found; the text says where and why."""


@dataclass(frozen=True)
class Endpoint:
    """Where the station listens."""

    address: ipaddress.IPv6Address
    port: int
    security: SdpSecurity
    scope: int = 0
    """Index of the interface if the address is link-local."""

    @property
    def socket_address(self) -> tuple[str, int, int, int]:
        """Return the address as the socket interface takes it."""
        return str(self.address), self.port, 0, self.scope


def encode_request(security: SdpSecurity) -> bytes:
    """Return the request datagram."""
    return encode(PayloadType.SDP_REQUEST, bytes([security, _TCP]))


def parse_response(datagram: bytes, scope: int = 0) -> Endpoint | None:
    """Return the endpoint in a response; None if it is anything but a valid response."""
    if len(datagram) != _RESPONSE_LENGTH or not datagram.startswith(_RESPONSE_HEADER):
        return None
    payload = datagram[HEADER.size:]
    port, security, transport = int.from_bytes(payload[16:18], 'big'), payload[18], payload[19]
    if not port or transport != _TCP or security not in SdpSecurity.__members__.values():
        return None
    address = ipaddress.IPv6Address(payload[:16])
    return Endpoint(
        address, port, SdpSecurity(security), scope if address.is_link_local else 0)


async def discover(
    interface: str, security: SdpSecurity, port: int = PORT, probes: Sequence[bytes] = (),
) -> Endpoint:
    """Ask for the station on a network interface until it answers.

    `probes` are datagrams sent before the first request. On a loopback interface, which has no
    multicast route, the request goes to ::1. Raise :class:`DiscoveryError` if there is no
    interface or no answer.
    """
    loop = asyncio.get_running_loop()
    patience = loop.time() + ADDRESS_PATIENCE
    while (where := link_address(interface)) is None and loop.time() < patience:  # noqa: ASYNC110
        await asyncio.sleep(ADDRESS_PERIOD)  # the kernel's table has no event
    if where is None:
        raise DiscoveryError(f'{interface} has no usable IPv6 address')
    group = MULTICAST_GROUP if where.address.is_link_local else str(where.address)
    target = (group, port, 0, where.index)
    found: asyncio.Future[Endpoint] = loop.create_future()
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as asking:
        asking.setblocking(False)
        asking.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, where.index)
        asking.bind((str(where.address), 0, 0, where.scope))

        def readable() -> None:
            with contextlib.suppress(OSError):
                endpoint = parse_response(asking.recv(2048), where.index)
                if endpoint is not None and not found.done():
                    found.set_result(endpoint)

        loop.add_reader(asking, readable)
        try:
            for probe in probes:
                with contextlib.suppress(OSError):
                    asking.sendto(probe, target)
            for _ in range(ATTEMPTS):
                # Nobody there yet is an error on a loopback interface, and silence elsewhere.
                with contextlib.suppress(OSError):
                    asking.sendto(encode_request(security), target)
                await asyncio.wait({found}, timeout=REPEAT)
                if found.done():
                    return found.result()
        finally:
            loop.remove_reader(asking)
    raise DiscoveryError(f'no SDP answer on {interface} within {ATTEMPTS * REPEAT:g} s')
