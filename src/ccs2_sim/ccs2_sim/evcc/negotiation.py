"""SupportedAppProtocol: the car offers protocols, the station chooses one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from ccs2_hlc.exi.declare import Element
from ccs2_hlc.exi.messages import sap
from ccs2_link.transport.channel import Security
from ccs2_sim.evcc.engine import END, Engine, Step
from ccs2_sim.evcc.outcome import Ended, ErrorCode
from ccs2_sim.evcc.vehicle import CarSettings


@dataclass(frozen=True)
class Offer:
    """A protocol that the car can speak."""

    name: str
    namespace: str
    major: int
    minor: int
    engine: type[Engine]
    transports: frozenset[Security]
    """Connections on which it is offered."""


def _request(engine: Negotiation) -> Element:
    return sap.SupportedAppProtocolReq(app_protocol=[
        sap.AppProtocol(
            protocol_namespace=offer.namespace, version_number_major=offer.major,
            version_number_minor=offer.minor, schema_id=number, priority=number)
        for number, offer in enumerate(engine.offers, start=1)])


def _response(engine: Negotiation, body: sap.SupportedAppProtocolRes) -> str:
    if body.response_code is sap.ResponseCode.FAILED_NO_NEGOTIATION:
        raise Ended(ErrorCode.NEGOTIATION, 'the station speaks none of the protocols offered')
    if body.schema_id is None or not 1 <= body.schema_id <= len(engine.offers):
        raise Ended(
            ErrorCode.NEGOTIATION, f'the station chose protocol {body.schema_id}, never offered')
    engine.chosen = engine.offers[body.schema_id - 1]
    return END


class Negotiation(Engine):
    """One request and one response; :attr:`chosen` is the result."""

    only_schema = 'sap'
    first = 'supportedAppProtocol'
    steps: ClassVar = {first: Step(first, _request, _response, sap.SupportedAppProtocolRes)}

    def __init__(self, settings: CarSettings, offers: Sequence[Offer]) -> None:
        super().__init__(settings)
        #: Protocols in the order of the car's preference, at most 20.
        self.offers = tuple(offers)
        self.chosen: Offer | None = None

    def wrap(self, body: Element) -> Element:
        """Return the message as it is: there is no envelope."""
        return body

    def unwrap(self, message: Element) -> Element:
        """Return the message as it is: there is no envelope."""
        return message
