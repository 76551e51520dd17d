"""The car's side of TLS against the station's real one, in memory and on a socket."""

import asyncio
import ipaddress
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / 'ccs2_link' / 'test'))

from transport_station import stations
from transport_tls_lab import NOW, credential, hierarchy, keys_in_token, server, wrong

from ccs2_link.transport import v2gtp
from ccs2_link.transport.channel import ChannelError, Security
from ccs2_link.transport.credentials import Credentials
from ccs2_link.transport.interface import link_address
from ccs2_link.transport.sdp import SdpSecurity
from ccs2_link.transport.tls import TlsServer
from ccs2_pki.lab.software_token import softhsm_module
from ccs2_pki.profiles import Role, RootKind
from ccs2_pki.revocation import NO_REVOCATION_DATA
from ccs2_sim.car.link import Link
from ccs2_sim.car.sdp import Endpoint
from ccs2_sim.car.tls import CarChannel, TlsSettings
from ccs2_sim.evcc.wallet import Credential


def settings(generation='iso2', **changes):
    return TlsSettings(hierarchy(generation).roots()[RootKind.V2G], NOW, **changes)


def vehicle(generation='iso20'):
    issued = hierarchy(generation).issued['vehicle']
    return Credential('vehicle', tuple(each.der for each in issued.chain), issued.key)


class Wire:
    """Carries octets between a car and a station until neither has any."""

    def __init__(self, car, station):
        self.car, self.station = car, station
        self.problems = {}

    def run(self):
        data = {'car': b'', 'station': b''}
        self.feed('car', b'')
        for _ in range(20):
            data = {'station': self.car.outgoing(), 'car': self.station.outgoing()}
            if not any(data.values()):
                return self
            for name, octets in data.items():
                if octets:
                    self.feed(name, octets)
        raise AssertionError('no end of it')

    def feed(self, name, octets):
        try:
            self.got = getattr(self, name).receive(octets)
        except ChannelError as error:
            self.problems.setdefault(name, str(error))


def meet(car, station):
    return Wire(CarChannel(car), station.channel()).run()


def test_tls_1_2_as_iso_15118_2_has_it():
    wire = meet(settings(), server('iso2'))
    assert wire.problems == {}
    for channel in (wire.car, wire.station):
        assert channel.ready
        assert channel.security is Security.TLS_1_2
        assert channel.cipher_suite == 'ECDHE-ECDSA-AES128-SHA256'
    wire.car.send(b'request')
    assert wire.station.receive(wire.car.outgoing()) == b'request'
    wire.car.close()
    wire.station.receive(wire.car.outgoing())
    assert wire.station.peer_closed


def test_tls_1_3_with_a_vehicle_certificate():
    wire = meet(settings('iso20', vehicle=vehicle()), server('iso20'))
    assert wire.problems == {}
    assert wire.car.security is wire.station.security is Security.TLS_1_3_MUTUAL
    assert wire.station.vehicle_certificate_digest


def test_tls_1_3_with_keys_on_curve448():
    """Of two chains the car gets the one that it can check."""
    wire = meet(
        settings('iso20-ed448', vehicle=vehicle('iso20-ed448')), server('iso20', 'iso20-ed448'))
    assert wire.problems == {}
    assert wire.car.security is wire.station.security is Security.TLS_1_3_MUTUAL


def test_each_version_is_offered_alone():
    """A car of -2 gets no TLS 1.3, one of -20 no TLS 1.2."""
    assert meet(settings(), server('iso20')).problems
    assert meet(settings('iso20', vehicle=vehicle()), server('iso2')).problems


@pytest.mark.parametrize('generation', ['iso2', 'iso20'])
def test_good_staple(generation):
    car = settings(generation, staple=True)
    if generation == 'iso20':
        car = replace(car, vehicle=vehicle())
    wire = meet(car, server(generation))
    assert wire.problems == {}
    assert wire.car.ready


def test_station_without_a_staple_is_refused_if_it_was_asked_for():
    station = server('iso2')
    station._staple = lambda credential: b''
    wire = meet(settings(staple=True), station)
    assert 'no OCSP response' in wire.problems['car']
    assert not wire.car.ready
    assert meet(settings(), station).problems == {}


@pytest.mark.parametrize(('name', 'text'), [
    ('contract', 'no revocation data'), ('secc_b', 'no revocation data'), ('', 'not an OCSP')])
def test_staple_about_something_else_proves_nothing(name, text):
    """Judged without a connection: OpenSSL staples nothing that does not fit."""
    car = meet(settings(staple=True), server('iso2')).car
    assert not car._is_good(hierarchy('iso2').ocsp[name] if name else b'\xff\xff')
    assert text in car.refusal


def test_revoked_station_is_refused():
    revoked = wrong('iso2')[Role.SECC, 'revoked']
    station = TlsServer(Credentials(
        1, (credential(revoked.leaf),), (), NO_REVOCATION_DATA), lambda: NOW)
    station._staple = lambda _: revoked.ocsp[0]
    assert 'revoked' in meet(settings(staple=True), station).problems['car']
    assert meet(settings(), station).problems == {}    # it has not asked


#: What no TLS server can be made to present, or what a client never gets to see.
NOT_PRESENTED = {
    'garbage', 'empty', 'changed', 'order', 'foreign-sub-ca', 'no-sub-cas', 'curve', 'key-usage',
    'revoked', 'revoked-long-ago'}
#: OpenSSL puts these together in another way than they were sent; they are refused all the same.
REARRANGED = {'look-alike-root', 'too-long'}


@pytest.mark.parametrize('name', sorted(
    name for role, name in wrong('iso2') if role is Role.SECC and name not in NOT_PRESENTED))
def test_wrong_station_is_refused(name):
    """Every wrong SECC chain of the laboratory; the station is told by an alert."""
    fault = wrong('iso2')[Role.SECC, name]
    made = credential(fault.leaf)
    station = TlsServer(Credentials(1, (made,), (), NO_REVOCATION_DATA), lambda: None)
    roots = settings().roots
    if fault.extra_root is not None:
        roots = (*roots, fault.extra_root.certificate)
    wire = meet(replace(settings(), roots=roots), station)
    assert 'refused' in wire.problems['car'], wire.problems
    assert fault.expected.reason in wire.problems['car'] or name in REARRANGED
    assert 'station' in wire.problems
    assert not wire.car.ready


def test_station_is_not_trusted_without_time_or_root():
    assert 'clock' in meet(replace(settings(), now=None), server('iso2')).problems['car']
    assert 'no trusted root' in meet(replace(settings(), roots=()), server('iso2')).problems['car']
    late = replace(settings(), now=NOW + timedelta(days=10 * 365))
    assert 'expired' in meet(late, server('iso2')).problems['car']


# On a socket


class Station(asyncio.Protocol):
    """Echoes V2GTP messages through the station's channel."""

    def __init__(self, tls):
        self.channel = tls.channel()
        self.framer = v2gtp.Framer()

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        try:
            self.framer.feed(self.channel.receive(data))
        except ChannelError:
            self.transport.write(self.channel.outgoing())
            self.transport.close()
            return
        while (message := self.framer.next()) is not None:
            self.channel.send(v2gtp.encode(message.payload_type, message.payload))
        if self.channel.peer_closed:
            self.channel.close()
        self.transport.write(self.channel.outgoing())


@pytest.fixture
async def listening():
    loop = asyncio.get_running_loop()
    served = []

    def make():
        served.append(Station(server('iso2')))
        return served[-1]
    listener = await loop.create_server(make, '::1', 0)
    port = listener.sockets[0].getsockname()[1]
    yield Endpoint(ipaddress.IPv6Address('::1'), port, SdpSecurity.TLS), served
    listener.close()


async def test_messages_over_tls(listening):
    endpoint, served = listening
    got, lost = asyncio.Queue(), []
    link = await Link.connect(
        endpoint, settings(), lambda now, message: got.put_nowait(message), lost.append)
    assert link.channel.security is Security.TLS_1_2
    for payload in (b'one', b'two' * 5000):
        link.send(v2gtp.encode(0x8001, payload))
        assert (await asyncio.wait_for(got.get(), 5)).payload == payload
    await link.close()
    assert lost == ['the station has closed TLS']
    assert served[0].channel.peer_closed


async def test_refused_station_is_no_connection(listening):
    endpoint, _ = listening
    with pytest.raises(ChannelError, match='no trusted root'):
        await Link.connect(
            endpoint, replace(settings(), roots=()), lambda now, message: None, lambda text: None)


async def test_tcp_end_without_tls_end_is_noticed(listening):
    endpoint, served = listening
    lost = asyncio.Queue()
    await Link.connect(endpoint, settings(), lambda now, message: None, lost.put_nowait)
    served[0].transport.write_eof()
    assert 'without closing TLS' in await asyncio.wait_for(lost.get(), 5)


# The station's key in a token

@pytest.fixture(scope='module')
def token(tmp_path_factory):
    pytest.importorskip('pkcs11', reason='python-pkcs11 is not installed')
    if softhsm_module() is None:
        pytest.skip('SoftHSM (Debian package softhsm2) is not installed')
    with keys_in_token(tmp_path_factory.mktemp('softhsm')):
        yield


@pytest.mark.skipif(link_address('lo') is None, reason='no IPv6 on loopback')
@pytest.mark.parametrize(('generation', 'security'), [
    ('iso2', Security.TLS_1_2), ('iso20', Security.TLS_1_3_MUTUAL)])
async def test_the_car_meets_a_station_whose_key_is_in_a_token(token, generation, security):
    car = settings(generation, staple=True, vehicle=vehicle() if generation == 'iso20' else None)
    got = asyncio.Queue()
    async with stations() as start:
        station = await start(server('iso2', 'iso20'))
        link = await Link.connect(
            Endpoint(ipaddress.IPv6Address('::1'), station.server.ports[SdpSecurity.TLS],
                     SdpSecurity.TLS),
            car, lambda now, message: got.put_nowait(message), lambda text: None)
        assert link.channel.security is security
        for number in (1, 2):
            link.send(v2gtp.encode(v2gtp.PayloadType.SAP, b'request %d' % number))
            _, request = await station.next_request()
            assert request.payload == b'request %d' % number
            station.answer(1, number, b'answer %d' % number)
            assert (await asyncio.wait_for(got.get(), 5)).payload == b'answer %d' % number
        await link.close()
