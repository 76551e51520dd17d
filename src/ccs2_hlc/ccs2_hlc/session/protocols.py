"""The one place where the protocol of a session is chosen (SupportedAppProtocol).

What this transport allows comes first, then the vehicle's priority [V2G2-169], [V2G20-169].
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from ..exi.messages import sap
from .transport import Security


@dataclass(frozen=True, slots=True)
class Protocol:
    """One protocol a vehicle can ask for."""

    #: Name in parameters and documents.
    name: str
    #: Number in the `session` topic.
    number: int
    namespace: str
    major: int
    minor: int
    #: Connections on which it may be spoken.
    transports: frozenset[Security]


DIN_70121 = Protocol(
    # Plain TCP only [V2G-DC-869].
    'din70121', 1, 'urn:din:70121:2012:MsgDef', 2, 0, frozenset({Security.NONE}))
ISO_15118_2 = Protocol(
    # TLS of any version: the library of a vehicle may offer 1.3, which the transport prefers.
    'iso15118-2', 2, 'urn:iso:15118:2:2013:MsgDef', 2, 0, frozenset(Security))
ISO_15118_20_DC = Protocol(
    # Mutually authenticated TLS 1.3 only [V2G20-2356].
    'iso15118-20-dc', 3, 'urn:iso:std:iso:15118:-20:DC', 1, 0,
    frozenset({Security.TLS_1_3_MUTUAL}))

PROTOCOLS = {
    protocol.name: protocol for protocol in (DIN_70121, ISO_15118_2, ISO_15118_20_DC)}


@dataclass(frozen=True, slots=True)
class Choice:
    """The outcome of the negotiation: `protocol` is ``None`` when nothing fits."""

    protocol: Protocol | None
    response: sap.SupportedAppProtocolRes


def choose(
    offers: Sequence[sap.AppProtocol], security: Security, served: Collection[Protocol],
) -> Choice:
    """Choose among the vehicle's offers; of two with equal priority the earlier one."""
    by_namespace = {
        protocol.namespace: protocol for protocol in served if security in protocol.transports}
    for offer in sorted(offers, key=lambda offer: offer.priority):
        protocol = by_namespace.get(offer.protocol_namespace)
        if protocol is None or offer.version_number_major != protocol.major:
            continue
        same = offer.version_number_minor == protocol.minor
        code = (
            sap.ResponseCode.OK_SUCCESSFUL_NEGOTIATION if same
            else sap.ResponseCode.OK_SUCCESSFUL_NEGOTIATION_WITH_MINOR_DEVIATION)
        return Choice(
            protocol,
            sap.SupportedAppProtocolRes(response_code=code, schema_id=offer.schema_id))
    return Choice(
        None, sap.SupportedAppProtocolRes(response_code=sap.ResponseCode.FAILED_NO_NEGOTIATION))
