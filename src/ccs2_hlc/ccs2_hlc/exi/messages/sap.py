"""The handshake before every session: which protocol is spoken (ISO 15118-2, clause 8.2)."""

from enum import Enum
from typing import Annotated

from ..declare import (
    Element,
    Integer,
    Namespace,
    Text,
    UnsignedInt,
    declared,
    element,
    elements,
    optional,
)

APP_PROTOCOL = Namespace('urn:iso:15118:2:2010:AppProtocol', qualified_elements=False)

Priority = Annotated[int, Integer(1, 20)]
ProtocolNamespace = Annotated[str, Text(max_length=100)]
SchemaID = Annotated[int, Integer(0, 255)]


class ResponseCode(Enum):
    """Result of a request."""

    OK_SUCCESSFUL_NEGOTIATION = 'OK_SuccessfulNegotiation'
    OK_SUCCESSFUL_NEGOTIATION_WITH_MINOR_DEVIATION = 'OK_SuccessfulNegotiationWithMinorDeviation'
    FAILED_NO_NEGOTIATION = 'Failed_NoNegotiation'


@declared(APP_PROTOCOL)
class AppProtocol(Element):
    """One protocol the car speaks."""

    protocol_namespace: ProtocolNamespace = element(
        'ProtocolNamespace', "namespace of the protocol's messages, at most 100 characters")
    version_number_major: UnsignedInt = element(
        'VersionNumberMajor', 'major version; another one is incompatible')
    version_number_minor: UnsignedInt = element('VersionNumberMinor', 'minor version')
    schema_id: SchemaID = element('SchemaID', 'number the car gives this protocol, 0 to 255')
    priority: Priority = element('Priority', "the car's priority, 1 (highest) to 20")


@declared(APP_PROTOCOL, element='supportedAppProtocolRes')
class SupportedAppProtocolRes(Element):
    """The station's choice among the car's protocols."""

    response_code: ResponseCode = element('ResponseCode', 'result of the request')
    schema_id: SchemaID | None = optional(
        'SchemaID', 'number of the chosen protocol; absent when none was chosen')


@declared(APP_PROTOCOL, element='supportedAppProtocolReq')
class SupportedAppProtocolReq(Element):
    """The car's list of protocols; the first message on a connection."""

    app_protocol: list[AppProtocol] = elements(
        'AppProtocol', 'protocols the car speaks, in any order', at_most=20)


NAMESPACES = (APP_PROTOCOL,)
MESSAGES = (SupportedAppProtocolReq, SupportedAppProtocolRes)
