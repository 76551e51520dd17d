"""ISO 15118-20 is spoken on mutual TLS 1.3 alone: the real transport and the real session core.

A car that offers nothing else comes over each kind of connection; every alert for a wrong vehicle
certificate is in the transport's own tests.
"""

import asyncio
import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / 'ccs2_link' / 'test'))

from test_transport_tls_sockets import ASKS_PLAIN, ASKS_TLS, Car, pem, port_of
from transport_station import Station
from transport_tls_lab import hierarchy, server, wrong

from ccs2_hlc import exi
from ccs2_hlc.exi.messages import sap
from ccs2_hlc.session import transport as session
from ccs2_hlc.session.secc import Request, Secc
from ccs2_hlc.session.station import Station as Settings
from ccs2_link.transport.connection import Action, CloseReason, DataLink, Response
from ccs2_link.transport.endpoint import State
from ccs2_link.transport.interface import link_address
from ccs2_link.transport.sdp import SdpSecurity, SecurityPolicy
from ccs2_link.transport.v2gtp import HEADER, PayloadType, encode
from ccs2_pki.profiles import Role

pytestmark = [
    pytest.mark.skipif(link_address('lo') is None, reason='no IPv6 on loopback'),
    pytest.mark.skipif(shutil.which('openssl') is None, reason='no openssl command'),
]
ISO20 = 'urn:iso:std:iso:15118:-20:DC'
OFFER = encode(PayloadType.SAP, exi.encode(sap.SupportedAppProtocolReq(app_protocol=[
    sap.AppProtocol(protocol_namespace=ISO20, version_number_major=1, version_number_minor=0,
                    schema_id=7, priority=1)])))
CHOSEN, REFUSED = (
    sap.ResponseCode.OK_SUCCESSFUL_NEGOTIATION, sap.ResponseCode.FAILED_NO_NEGOTIATION)


class JoinedStation(Station):
    """The transport with a session core behind it, as `v2g_transport` and `hlc` have them."""

    def __init__(self, **settings):
        self.secc = Secc(Settings(automatic_authorization=True))
        super().__init__(**settings)

    def changed(self):
        status = self.server.status
        self.secc.connection(session.Connection(
            state=session.LinkState(status.state), connection_id=status.connection_id,
            link_since=(1, 0), security=session.Security(status.security),
            close_reason=session.CloseReason(status.close_reason),
            vehicle_certificate_digest=status.vehicle_certificate_digest), self.now)
        super().changed()

    def request(self, connection_id, request):
        for item in self.secc.request(Request(
                connection_id=connection_id, sequence=request.sequence,
                payload_type=request.payload_type, data=request.payload), self.now):
            if hasattr(item, 'action'):
                assert self.server.respond(connection_id, Response(
                    sequence=item.sequence, action=Action(item.action),
                    payload_type=item.payload_type, payload=item.data,
                    receive_timeout=item.receive_timeout, close_delay=item.close_delay,
                    data_link=DataLink(item.data_link)))

    @property
    def now(self):
        return asyncio.get_running_loop().time()


@pytest.fixture
async def station():
    made = JoinedStation(policy=SecurityPolicy.CAR)
    made.server.set_tls(server('iso2', 'iso20').channel)
    await made.up()
    await made.reach(lambda status: len(made.server.ports) == 2)
    yield made
    await made.server.close()


async def answer_over_tls(station, arguments):
    car = await Car.connect(await port_of(station), *arguments)
    car.process.stdin.write(OFFER)
    await car.until(rb'\x01\xfe\x80\x01')
    data = car.output[car.output.index(b'\x01\xfe\x80\x01'):]
    await car.end()
    return data


async def answer_over_tcp(station):
    assert (await station.discover(ASKS_PLAIN, wait=1.0))[26] == SdpSecurity.NONE
    reader, writer = await asyncio.open_connection('::1', station.server.ports[SdpSecurity.NONE])
    writer.write(OFFER)
    data = await reader.readexactly(HEADER.size)
    data += await reader.readexactly(int.from_bytes(data[4:], 'big'))
    writer.close()
    return data


@pytest.mark.parametrize(('transport', 'code'), [
    ('tcp', REFUSED), ('tls 1.2', REFUSED), ('tls 1.3', REFUSED), ('tls 1.3 mutual', CHOSEN)])
async def test_an_offer_of_iso_15118_20_alone(station, tmp_path, transport, code):
    if transport == 'tcp':
        data = await answer_over_tcp(station)
    else:
        arguments = ['-tls1_2' if transport == 'tls 1.2' else '-tls1_3']
        if transport == 'tls 1.3 mutual':
            arguments += pem(tmp_path / 'vehicle.pem', hierarchy('iso20').issued['vehicle'])
        data = await answer_over_tls(station, arguments)
    response = exi.decode('sap', data[HEADER.size:])
    assert response.response_code is code
    assert response.schema_id == (7 if code is CHOSEN else None)
    if code is CHOSEN:
        assert station.secc.session().protocol == 3
    else:
        status = await station.reach(lambda status: status.state is not State.OPEN)
        assert status.data_link is DataLink.KEEP    # the car may ask for another protocol
        assert station.secc.session().stage.name == 'FAILED'


@pytest.mark.parametrize(('fault', 'alert'), [
    ('expired', 45), ('not-yet-valid', 42), ('other-root', 48), ('mo-root', 48),
    ('extended-key-usage', 43), ('key-usage', 43)])
async def test_a_wrong_vehicle_certificate_ends_in_its_alert_and_never_in_a_session(
    station, tmp_path, fault, alert,
):
    car = await Car.connect(await port_of(station, ASKS_TLS), '-tls1_3', *pem(
        tmp_path / 'vehicle.pem', wrong('iso20')[Role.VEHICLE, fault].leaf))
    car.process.stdin.write(OFFER)
    said = await car.until(b'SSL alert number [0-9]+')
    assert f'SSL alert number {alert}\n' in said
    await car.end()
    status = await station.reach(lambda status: status.state is State.CLOSED)
    assert status.close_reason is CloseReason.TLS
    assert station.secc.session().protocol == 0
