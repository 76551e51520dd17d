"""Chains, keys and staples of the store work in a real TLS handshake."""

import contextlib

import pytest
from pki_lab import NAMES

SSL = pytest.importorskip('OpenSSL.SSL', reason='pyOpenSSL is not installed')

from datetime import UTC, datetime  # noqa: E402

from OpenSSL import crypto  # noqa: E402

from ccs2_pki.lab.directory import fill_store  # noqa: E402
from ccs2_pki.lab.hierarchy import GENERATIONS, build  # noqa: E402
from ccs2_pki.profiles import RootKind  # noqa: E402
from ccs2_pki.revocation import parse_ocsp  # noqa: E402
from ccs2_pki.selection import staples  # noqa: E402
from ccs2_pki.store import Store  # noqa: E402

NOW = datetime.now(UTC)


def server(store, lab, staple):
    [chain] = [chain for chain in store.load().secc_chains
               if chain.root == lab.issued['v2g_root'].certificate]
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    key = store.private_key(chain.key)
    context.use_privatekey(key)
    context.use_certificate(chain.leaf.source)
    for certificate in chain.chain[1:]:
        context.add_extra_chain_cert(certificate.source)
    if staple:
        context.set_ocsp_server_callback(lambda connection, data: staple)
    if lab.generation.name == 'iso2':
        context.set_max_proto_version(SSL.TLS1_2_VERSION)
        context.set_cipher_list(b'ECDHE-ECDSA-AES128-SHA256')
    else:
        context.set_min_proto_version(SSL.TLS1_3_VERSION)
        anchors = context.get_cert_store()
        for root in store.load().roots[RootKind.OEM]:
            anchors.add_cert(crypto.X509.from_cryptography(root.source))
        context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT)
    return context


def car(lab, seen, vehicle='vehicle'):
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    root = lab.issued['v2g_root'].certificate
    context.get_cert_store().add_cert(crypto.X509.from_cryptography(root.source))
    context.set_verify(SSL.VERIFY_PEER)
    context.set_ocsp_client_callback(lambda connection, response, data: not seen.append(response))
    if lab.generation.name != 'iso2' and vehicle:
        issued = lab.issued[vehicle]
        context.use_privatekey(issued.key)
        context.use_certificate(issued.certificate.source)
        for certificate in issued.chain[1:]:
            context.add_extra_chain_cert(certificate.source)
    return context


def shake_hands(station_context, car_context):
    station, vehicle = (SSL.Connection(context) for context in (station_context, car_context))
    station.set_accept_state()
    vehicle.set_connect_state()
    vehicle.request_ocsp()
    open_ends = {station, vehicle}
    for _ in range(20):
        for end, peer in ((vehicle, station), (station, vehicle)):
            with contextlib.suppress(SSL.WantReadError):
                end.do_handshake()
                open_ends.discard(end)
            with contextlib.suppress(SSL.WantReadError):
                peer.bio_write(end.bio_read(65536))
        if not open_ends:
            return station, vehicle
    raise AssertionError('no end of the handshake')


@pytest.mark.parametrize('generation', GENERATIONS, ids=NAMES)
def test_handshake_with_staple(tmp_path, generation):
    lab = build(generation, NOW)
    store = Store(tmp_path / 'pki', create=True)
    fill_store(store, [lab], NOW)
    snapshot = store.load()
    [chain] = [c for c in snapshot.secc_chains if c.root == lab.issued['v2g_root'].certificate]
    staple = staples(chain, snapshot.revocation, NOW)[0]
    seen = []
    station, vehicle = shake_hands(server(store, lab, staple), car(lab, seen))
    assert seen == [staple]
    assert parse_ocsp(seen[0]).is_signed_for(chain.chain[1], NOW)
    assert vehicle.get_protocol_version_name() == (
        'TLSv1.2' if generation.name == 'iso2' else 'TLSv1.3')
    peer = vehicle.get_peer_certificate().to_cryptography()
    assert peer == chain.leaf.source
    if generation.name != 'iso2':
        assert station.get_peer_certificate().to_cryptography() == \
            lab.issued['vehicle'].certificate.source


def test_a_car_without_the_right_anchor_is_refused(tmp_path):
    lab = build(GENERATIONS[1], NOW)
    store = Store(tmp_path / 'pki', create=True)
    fill_store(store, [lab], NOW)
    for vehicle in ('contract', None):
        with pytest.raises(SSL.Error):
            shake_hands(server(store, lab, None), car(lab, [], vehicle))
