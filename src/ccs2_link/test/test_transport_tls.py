"""TLS between the station's engine and OpenSSL clients, octet streams in memory."""

import contextlib
import hashlib
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from OpenSSL import SSL
from transport_tls_lab import (
    NOW,
    Car,
    credentials,
    hierarchy,
    receive,
    server,
    vehicle,
    wrong,
)

from ccs2_link.transport.channel import ChannelError, Security
from ccs2_link.transport.client_hello import (
    TLS_1_2,
    TLS_1_3,
    ClientHello,
    HelloError,
    HelloReader,
)
from ccs2_link.transport.tls import TlsServer
from ccs2_pki.certificate import key_bits
from ccs2_pki.profiles import Role
from ccs2_pki.revocation import name_der, parse_ocsp
from ccs2_pki.selection import IdentifierType, TrustedAuthority

TLS12 = {'highest': SSL.TLS1_2_VERSION}
TLS13 = {'lowest': SSL.TLS1_3_VERSION}


def shake(tls, car, chunk=None):
    """Let the two talk until both are silent; return the channel, raise what it raises."""
    channel = tls.channel()
    to_station = car.work(b'')
    for _ in range(20):
        to_car = b''
        step = chunk or len(to_station) or 1
        for start in range(0, len(to_station), step):
            try:
                receive(channel, to_station[start:start + step])
            except ChannelError:
                car.work(to_car + channel.outgoing())
                raise
            to_car += channel.outgoing()
        to_station = car.work(to_car) if to_car else b''
        if not to_station:
            break
    return channel


@pytest.mark.parametrize('chunk', [None, 1])
def test_iso2_on_tls_1_2(chunk):
    car = Car(**TLS12, trusts=hierarchy('iso2').issued['v2g_root'].certificate, staple=True)
    channel = shake(server('iso2', 'iso20'), car, chunk)
    assert car.ready
    assert (channel.security, channel.cipher_suite) == (
        Security.TLS_1_2, 'ECDHE-ECDSA-AES128-SHA256')
    assert channel.vehicle_certificate_digest == b''
    assert parse_ocsp(car.stapled).singles[0].serial == (
        hierarchy('iso2').issued['secc'].certificate.serial)
    channel.send(b'hello car')
    car.work(channel.outgoing())
    assert car.received == b'hello car'
    car.engine.sendall(b'hello station')
    assert channel.receive(car.outgoing()) == b'hello station'
    car.engine.shutdown()
    assert channel.receive(car.outgoing()) == b''
    assert channel.peer_closed
    assert channel.truncation() == ''


@pytest.mark.parametrize('name', ['iso20', 'iso20-ed448'])
def test_iso20_on_mutual_tls_1_3(name):
    car = Car(**TLS13, **vehicle(name), groups=b'P-521:X448', staple=True,
              trusts=hierarchy(name).issued['v2g_root'].certificate)
    channel = shake(server('iso2', name), car)
    assert car.ready
    assert car.alert == ''
    assert channel.security is Security.TLS_1_3_MUTUAL
    assert channel.cipher_suite == 'TLS_AES_256_GCM_SHA384'
    assert channel.vehicle_certificate_digest == hashlib.sha512(
        vehicle(name)['chain'][0]).digest()
    assert car.engine.get_group_name() in ('secp521r1', 'x448')
    assert car.stapled
    asked = {name.CN for name in car.engine.get_client_ca_list()}
    assert asked == {'V2G Root A', 'V2G Root B', 'OEM Root'}


def test_a_vehicle_that_offers_both_gets_the_newer_one_that_fits_it():
    both = server('iso2', 'iso20')
    assert shake(both, Car()).security is Security.TLS_1_3
    # An ISO 15118-2 vehicle with a new TLS library: 1.3 offered, but no P-521.
    assert shake(both, Car(groups=b'P-256')).security is Security.TLS_1_2
    assert shake(server('iso2'), Car()).security is Security.TLS_1_2


def test_tls_1_3_without_a_vehicle_certificate_is_not_mutual():
    channel = shake(server('iso2', 'iso20'), Car(**TLS13))
    assert (channel.security, channel.vehicle_certificate_digest) == (Security.TLS_1_3, b'')


ALERTS = {
    'expired': 'certificate expired', 'expired-sub-ca': 'certificate expired',
    'not-yet-valid': 'bad certificate', 'not-yet-valid-sub-ca': 'bad certificate',
    'path-length': 'unknown ca', 'sub-ca-is-no-ca': 'unknown ca', 'sub-ca-key-usage': 'unknown ca',
    'key-usage': 'unsupported certificate', 'leaf-is-ca': 'unsupported certificate',
    'extended-key-usage': 'unsupported certificate', 'too-large': 'bad certificate',
    'look-alike-root': 'decrypt error', 'other-root': 'unknown ca',
    'look-alike-letters': 'unknown ca', 'mo-root': 'unknown ca', 'subject': 'bad certificate',
    'revoked': 'certificate revoked', 'no-sub-cas': 'unknown ca',
    'foreign-sub-ca': 'unknown ca', 'too-long': 'unknown ca',
}


@pytest.mark.parametrize('fault', ALERTS)
def test_each_wrong_vehicle_certificate_gets_its_alert(fault):
    bad = wrong('iso20')[Role.VEHICLE, fault]
    known = credentials('iso20')
    if bad.ocsp:
        known = credentials_with(known, bad.ocsp)
    tls = TlsServer(known, lambda: NOW)
    car = Car(**TLS13, chain=bad.chain, key=bad.leaf.key)
    with pytest.raises(ChannelError, match='vehicle certificate refused: ') as error:
        shake(tls, car)
    assert car.alert.endswith(ALERTS[fault]), (car.alert, str(error.value))


def credentials_with(known, responses):
    import dataclasses

    from ccs2_pki.revocation import RevocationData
    return dataclasses.replace(known, revocation=RevocationData(
        (*known.revocation.responses, *(parse_ocsp(der) for der in responses)),
        known.revocation.crls))


def test_a_contract_certificate_is_no_vehicle_certificate():
    with pytest.raises(ChannelError, match='refused'):
        shake(server('iso20'), Car(**TLS13, **vehicle('iso20', 'contract')))


def test_an_oem_provisioning_certificate_is_no_vehicle_certificate():
    car = Car(**TLS13, **vehicle('iso20', 'oem_provisioning'))
    with pytest.raises(ChannelError, match='refused'):
        shake(server('iso20'), car)
    assert car.alert.endswith('unsupported certificate')


def test_without_a_trusted_clock_no_vehicle_certificate_is_accepted():
    car = Car(**TLS13, **vehicle('iso20'), staple=True)
    with pytest.raises(ChannelError, match='clock of the station is not set'):
        shake(server('iso20', now=lambda: None), car)
    car = Car(**TLS12, staple=True)
    channel = shake(server('iso2', now=lambda: None), car)
    assert channel.security is Security.TLS_1_2     # the car checks the station's certificate
    assert not car.stapled


def test_p256_serves_tls_1_3_only_for_interoperability():
    car = {**TLS13, **vehicle('iso2', 'oem_provisioning')}
    with pytest.raises(ChannelError):
        shake(server('iso2'), Car(**car))
    # Asked for P-521 or Ed448, the car has nothing to present.
    assert shake(server('iso2', 'iso20'), Car(**car)).security is Security.TLS_1_3
    channel = shake(server('iso2', accept_p256=True), Car(**car))
    assert channel.security is Security.TLS_1_3_MUTUAL


@pytest.mark.parametrize(('offer', 'alert'), [
    ({'lowest': SSL.TLS1_1_VERSION, 'highest': SSL.TLS1_1_VERSION,
      'ciphers': b'ALL:@SECLEVEL=0'}, 'protocol version'),
    ({**TLS12, 'ciphers': b'ECDHE-ECDSA-AES128-GCM-SHA256'}, 'handshake failure'),
    ({**TLS12, 'ciphers': b'ECDHE-RSA-AES128-SHA256'}, 'handshake failure'),
    ({**TLS12, 'groups': b'P-384'}, 'handshake failure'),
    ({**TLS13, 'suites': b'TLS_AES_128_GCM_SHA256'}, 'handshake failure'),
    ({**TLS13, 'groups': b'P-256:X25519'}, 'handshake failure'),
])
def test_what_no_standard_names_is_refused(offer, alert):
    car = Car(**offer)
    with pytest.raises(ChannelError):
        shake(server('iso2', 'iso20'), car)
    assert car.alert.endswith(alert), car.alert


@pytest.mark.parametrize(('names', 'offer'), [(('iso20',), TLS12), (('iso2',), TLS13)])
def test_a_version_without_a_chain_is_refused_by_version(names, offer):
    car = Car(**offer)
    with pytest.raises(ChannelError):
        shake(server(*names), car)
    assert car.alert.endswith('protocol version'), car.alert


def test_octets_that_are_no_tls_end_in_an_error_not_in_a_crash():
    for octets in (b'GET / HTTP/1.1\r\n\r\n', bytes(100), b'\x16\x03\x01\xff\xff',
                   bytes.fromhex('01fe8001000000048000dbab')):
        channel = server('iso2').channel()
        with pytest.raises(ChannelError, match='TLS: '):
            receive(channel, octets)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 255), st.integers(1, 400))
def test_changed_client_hellos_are_answered_or_refused(position, value, chunk):
    hello = bytearray(HELLO)
    hello[position % len(hello)] = value
    channel = SERVER.channel()
    try:
        for start in range(0, len(hello), chunk):
            channel.receive(bytes(hello[start:start + chunk]))
    except ChannelError:
        pass
    assert not channel.ready


HELLO = Car().work(b'')
SERVER = server('iso2', 'iso20')


def authority(root, kind):
    sha1 = {IdentifierType.KEY_SHA1: key_bits(root), IdentifierType.CERT_SHA1: root.der}
    if kind is IdentifierType.X509_NAME:
        return TrustedAuthority(kind, name_der(root))
    return TrustedAuthority(kind, hashlib.sha1(sha1[kind]).digest())


def hello_of(version, authorities):
    return ClientHello(
        versions=frozenset({version}), groups=frozenset({23, 25}),
        signature_schemes=frozenset({0x0403, 0x0603}),
        trusted_ca_keys=authorities if version == TLS_1_2 else (),
        certificate_authorities=authorities if version == TLS_1_3 else ())


@pytest.mark.parametrize(('version', 'name', 'kind'), [
    (TLS_1_2, 'iso2', IdentifierType.KEY_SHA1), (TLS_1_2, 'iso2', IdentifierType.X509_NAME),
    (TLS_1_2, 'iso2', IdentifierType.CERT_SHA1), (TLS_1_3, 'iso20', IdentifierType.X509_NAME)])
@pytest.mark.parametrize(('root', 'leaf'), [('v2g_root', 'secc'), ('v2g_root_b', 'secc_b')])
def test_the_chain_is_the_one_that_the_vehicle_trusts(version, name, kind, root, leaf):
    tls = server('iso2', 'iso20', servers=('secc', 'secc_b'))
    trusted = authority(hierarchy(name).issued[root].certificate, kind)
    unknown = TrustedAuthority(IdentifierType.KEY_SHA1, bytes(20))
    chosen = tls.select(hello_of(version, (unknown, trusted)))
    assert chosen.credential.chain.leaf == hierarchy(name).issued[leaf].certificate
    assert chosen.version.number == version


def test_chains_that_have_expired_are_not_presented_and_then_there_is_no_tls():
    moment = [NOW]
    tls = TlsServer(credentials('iso2'), lambda: moment[0])
    assert tls.available
    assert tls.chains(TLS_1_2) == 1
    moment[0] = NOW + timedelta(days=100)
    assert not tls.available
    with pytest.raises(ChannelError, match='no certificate chain is usable'):
        tls.channel().receive(HELLO)


def test_a_key_that_is_not_the_chains_is_named_and_not_used():
    import dataclasses
    known = credentials('iso2', 'iso20')
    first, second = known.servers
    swapped = dataclasses.replace(first, key=hierarchy('iso2').issued['secc_b'].key)
    tls = TlsServer(dataclasses.replace(known, servers=(swapped, second)), lambda: NOW)
    assert (tls.chains(TLS_1_2), tls.chains(TLS_1_3)) == (0, 1)
    assert len(tls.problems) == 1
    assert 'DECC2S0001' in tls.problems[0]


def test_sessions_are_not_resumed():
    tls = server('iso2', 'iso20')
    for offer in (TLS12, TLS13):
        first = Car(**offer)
        shake(tls, first)
        second = Car(**offer)
        second.engine = SSL.Connection(first.engine.get_context(), None)
        second.engine.set_connect_state()
        second.engine.set_session(first.engine.get_session())
        shake(tls, second)
        assert second.ready
        assert SSL._lib.SSL_session_reused(second.engine._ssl) == 0


def test_a_vehicle_cannot_renegotiate():
    car = Car(**TLS12)
    channel = shake(server('iso2'), car)
    car.engine.renegotiate()
    with pytest.raises(SSL.WantReadError):
        car.engine.do_handshake()
    assert channel.receive(car.outgoing()) == b''
    car.work(channel.outgoing())
    assert car.alert.endswith('no renegotiation')


def test_the_key_log_gets_lines_only_if_asked_for():
    lines = []
    shake(server('iso20', key_log=lines.append), Car(**TLS13))
    assert any(line.startswith(b'SERVER_TRAFFIC_SECRET_0 ') for line in lines)


def test_a_stream_that_ends_without_close_notify_is_truncated():
    car = Car(**TLS12)
    channel = shake(server('iso2'), car)
    assert channel.truncation() == 'vehicle closed TCP without closing TLS'
    assert server('iso2').channel().truncation() == 'vehicle closed TCP during the TLS handshake'


def test_a_changed_record_is_refused():
    car = Car(**TLS13, **vehicle('iso20'))
    channel = shake(server('iso20'), car)
    car.engine.sendall(b'secret')
    record = bytearray(car.outgoing())
    record[-1] ^= 1
    with pytest.raises(ChannelError, match='TLS: '):
        channel.receive(bytes(record))


# The ClientHello itself.

def read(stream):
    return HelloReader().read(stream)


def test_a_real_client_hello_is_read_whatever_the_split():
    parsed = read(HELLO)
    assert parsed.versions >= {TLS_1_2, TLS_1_3}
    assert 0x0603 in parsed.signature_schemes
    assert 25 in parsed.groups
    reader = HelloReader()
    for length in range(len(HELLO)):
        assert read(HELLO[:length]) is None
        assert reader.read(HELLO[:length]) is None
    assert reader.read(HELLO + b'more') == read(HELLO + b'more') == parsed


def test_a_client_hello_in_many_records_and_pieces_costs_no_more_than_its_octets():
    class Stream(bytes):
        """Counts the octets that are taken from it."""

        def __getitem__(self, key):
            nonlocal taken
            piece = super().__getitem__(key)
            taken += len(piece)
            return piece

    taken = 0
    octets = record(hello_octets(extension(99, bytes(2000))), 1)
    reader = HelloReader()
    for length in range(len(octets)):
        assert reader.read(Stream(octets[:length])) is None
    assert reader.read(Stream(octets)) == read(octets)
    assert taken < 4 * len(octets)


def record(data, size):
    return b''.join(
        b'\x16\x03\x01' + len(data[start:start + size]).to_bytes(2, 'big')
        + data[start:start + size] for start in range(0, len(data), size))


def vector(data, size):
    return len(data).to_bytes(size, 'big') + data


def hello_octets(*extensions):
    body = (b'\x03\x03' + bytes(32) + vector(b'', 1) + vector(b'\xc0\x23', 2) + vector(b'\0', 1)
            + (vector(b''.join(extensions), 2) if extensions else b''))
    return b'\x01' + vector(body, 3)


def extension(kind, data):
    return kind.to_bytes(2, 'big') + vector(data, 2)


def test_extensions_are_read_and_records_joined():
    octets = hello_octets(
        extension(3, vector(b'\x00' + b'\x01' + b'k' * 20 + b'\x02' + vector(b'name', 2)
                            + b'\x03' + b'c' * 20, 2)),
        extension(47, vector(vector(b'root', 2), 2)),
        extension(99, b'whatever'))
    for size in (1, 7, 1000):
        hello = read(record(octets, size))
        assert hello.versions == {TLS_1_2}
        assert [(each.type.value, each.value) for each in hello.trusted_ca_keys] == [
            (0, b''), (1, b'k' * 20), (2, b'name'), (3, b'c' * 20)]
        assert [each.value for each in hello.certificate_authorities] == [b'root']
    assert read(record(hello_octets(), 1000)).versions == {TLS_1_2}


@pytest.mark.parametrize('octets', [
    b'\x15\x03\x01\x00\x02\x02\x28', b'\x16\x03\x01\x00\x00', b'\x16\x03\x01\xff\xff',
    b'\x16\x03\x01\x00\x04\x02\x00\x00\x00', b'\x16\x03\x01\x00\x04\x01\xff\xff\xff',
    record(hello_octets(extension(3, vector(b'\x07', 2))), 1000),
    record(hello_octets(extension(3, vector(b'\x01short', 2))), 1000),
    record(hello_octets(extension(47, b'\x00\x09\x00\x08')), 1000),
    record(hello_octets(b'\x00\x03\x00\x99'), 1000),
    record(b'\x01\x00\x00\x05\x03\x03abc', 1000),
])
def test_what_is_no_client_hello_is_refused(octets):
    with pytest.raises(HelloError):
        read(octets)


@given(st.binary(max_size=200))
def test_no_octets_do_anything_else(octets):
    with contextlib.suppress(HelloError):
        read(record(b'\x01' + vector(octets, 3), 1000))
