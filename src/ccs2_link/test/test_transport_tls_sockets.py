"""TLS over real sockets, against the `openssl` command of the machine."""

import asyncio
import re
import shutil
import struct

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from transport_station import PATIENCE, Station, stations
from transport_tls_lab import hierarchy, server, wrong

from ccs2_link.transport.channel import Security
from ccs2_link.transport.connection import Action, CloseReason, Limits
from ccs2_link.transport.endpoint import State
from ccs2_link.transport.interface import link_address
from ccs2_link.transport.sdp import SdpSecurity, SecurityPolicy
from ccs2_link.transport.v2gtp import PayloadType, encode
from ccs2_pki.profiles import Role

pytestmark = [
    pytest.mark.skipif(link_address('lo') is None, reason='no IPv6 on loopback'),
    pytest.mark.skipif(shutil.which('openssl') is None, reason='no openssl command'),
]
ASKS_TLS = bytes.fromhex('01fe9000000000020000')
ASKS_PLAIN = bytes.fromhex('01fe9000000000021000')


@pytest.fixture
async def make():
    async with stations() as start:
        yield start


def pem(path, issued):
    path.write_bytes(b''.join(certificate.pem() for certificate in issued.chain))
    key = path.with_suffix('.key')
    key.write_bytes(issued.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return ['-cert', path, '-cert_chain', path, '-key', key]


class Car:
    """`openssl s_client`, its words and its octets."""

    def __init__(self, process):
        self.process = process
        self.output = b''

    @classmethod
    async def connect(cls, port, *arguments):
        process = await asyncio.create_subprocess_exec(
            'openssl', 's_client', '-connect', f'[::1]:{port}', *map(str, arguments),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT)
        return cls(process)

    async def until(self, pattern):
        async with asyncio.timeout(PATIENCE):
            while not re.search(pattern, self.output):
                more = await self.process.stdout.read(65536)
                assert more, f'ended without {pattern}: {self.output.decode(errors="replace")}'
                self.output += more
        return self.output.decode(errors='replace')

    async def end(self):
        self.process.stdin.close()
        async with asyncio.timeout(PATIENCE):
            self.output += await self.process.stdout.read()
            await self.process.wait()
        return self.output.decode(errors='replace')


async def port_of(station, datagram=ASKS_TLS):
    response = await station.discover(datagram, wait=1.0)
    assert response is not None
    assert response[26] == SdpSecurity.TLS
    (port,) = struct.unpack('!H', response[24:26])
    assert port == station.server.ports[SdpSecurity.TLS]
    return port


@pytest.mark.parametrize('datagram', [ASKS_TLS, ASKS_PLAIN])
async def test_iso2_session_with_staple(make, tmp_path, datagram):
    station = await make(server('iso2', 'iso20'))
    root = tmp_path / 'root.pem'
    root.write_bytes(hierarchy('iso2').issued['v2g_root'].certificate.pem())
    assert SdpSecurity.NONE not in station.server.ports
    car = await Car.connect(
        await port_of(station, datagram), '-tls1_2', '-status', '-CAfile', root,
        '-verify_return_error')
    said = await car.until(b'Verify return code: 0 \\(ok\\)')
    assert 'OCSP Response Status: successful (0x0)' in said
    assert 'Cert Status: good' in said
    assert 'Cipher is ECDHE-ECDSA-AES128-SHA256' in said
    assert station.server.status.state is State.LISTENING
    car.process.stdin.write(encode(PayloadType.SAP, b'hello'))
    assert (await station.next_request())[1].payload == b'hello'
    status = station.server.status
    assert (status.state, status.security, status.cipher_suite) == (
        State.OPEN, Security.TLS_1_2, 'ECDHE-ECDSA-AES128-SHA256')
    station.answer(1, 1, b'answer of the station', action=Action.SEND_THEN_CLOSE, close_delay=0.1)
    await car.until(b'answer of the station')
    await car.end()
    status = await station.reach(lambda status: status.state is State.CLOSED)
    assert status.close_reason is CloseReason.BY_STATION


@pytest.mark.parametrize('root', ['v2g_root', 'v2g_root_b'])
async def test_iso20_session_with_the_chain_that_the_car_asks_for(make, tmp_path, root):
    station = await make(server('iso2', 'iso20', servers=('secc', 'secc_b')))
    anchor = tmp_path / 'root.pem'
    anchor.write_bytes(hierarchy('iso20').issued[root].certificate.pem())
    car = await Car.connect(
        await port_of(station), '-tls1_3', '-status', '-CAfile', anchor, '-requestCAfile', anchor,
        '-verify_return_error', '-groups', 'P-521:X448',
        *pem(tmp_path / 'vehicle.pem', hierarchy('iso20').issued['vehicle']))
    await car.until(b'Verify return code: 0 \\(ok\\)')
    car.process.stdin.write(encode(PayloadType.ISO20_DC, b'hello'))
    assert (await station.next_request())[1].payload == b'hello'
    status = station.server.status
    assert status.security is Security.TLS_1_3_MUTUAL
    assert len(status.vehicle_certificate_digest) == 64
    station.answer(1, 1, b'answer')
    said = await car.until(b'answer')
    assert 'OCSP Response Status: successful (0x0)' in said
    await car.end()


@pytest.mark.parametrize(('fault', 'alert'), [
    ('expired', 45), ('other-root', 48), ('mo-root', 48), ('extended-key-usage', 43)])
async def test_a_wrong_vehicle_certificate_ends_in_its_alert(make, tmp_path, fault, alert):
    station = await make(server('iso20'))
    car = await Car.connect(
        await port_of(station), '-tls1_3',
        *pem(tmp_path / 'vehicle.pem', wrong('iso20')[Role.VEHICLE, fault].leaf))
    said = await car.until(b'SSL alert number [0-9]+')
    assert f'SSL alert number {alert}\n' in said
    await car.end()
    status = await station.reach(lambda status: status.state is State.CLOSED)
    assert status.close_reason is CloseReason.TLS
    assert status.close_message.startswith('vehicle certificate refused: ')
    assert await port_of(station)       # the next one is welcome


async def test_a_handshake_that_stalls_makes_room_for_the_next(make):
    station = await make(server('iso2'), limits=Limits(handshake_time=0.3))
    port = await port_of(station)
    reader, writer = await asyncio.open_connection('::1', port)
    writer.write(b'\x16\x03')
    assert await station.ends(reader) in (b'', 'reset')
    status = await station.reach(lambda status: status.state is State.CLOSED)
    assert (status.close_reason, status.close_message) == (
        CloseReason.TIMEOUT, 'TLS handshake took too long')
    writer.close()
    assert await port_of(station) == port


async def test_without_a_credential_there_is_no_endpoint_and_never_a_plain_one(make):
    station = await make_silent(SecurityPolicy.TLS)
    for datagram in (ASKS_TLS, ASKS_PLAIN):
        assert await station.discover(datagram) is None
    assert station.server.ports == {}
    station.server.set_tls(server('iso2').channel)      # a credential has been installed
    await station.reach(lambda status: SdpSecurity.TLS in station.server.ports)
    assert await port_of(station)
    station.server.set_tls(None)                        # and has expired
    await station.reach(lambda status: station.server.ports == {})
    assert await station.discover(ASKS_TLS) is None
    await station.server.close()


async def make_silent(policy):
    station = Station(policy=policy)
    station.server.link_up('lo', 1)
    await station.reach(lambda status: status.state is State.LISTENING)
    return station


async def test_as_the_car_asks_but_never_plain_instead_of_tls():
    station = await make_silent(SecurityPolicy.CAR)
    assert await station.discover(ASKS_TLS) is None
    assert (await station.discover(ASKS_PLAIN, wait=1.0))[26] == SdpSecurity.NONE
    await station.server.close()


async def test_plain_octets_on_the_tls_port_reach_nobody(make):
    station = await make(server('iso2'))
    reader, writer = await asyncio.open_connection('::1', await port_of(station))
    writer.write(encode(PayloadType.SAP, b'plain'))
    answer = await station.ends(reader)
    assert answer == 'reset' or answer[:1] in (b'', b'\x15')
    writer.close()
    status = await station.reach(lambda status: status.state is State.CLOSED)
    assert status.close_reason is CloseReason.TLS
    assert station.requests.empty()
