"""TLS with the station's keys in a token (SoftHSM): what holds for keys in files, and more."""

import contextlib
import dataclasses
import gc
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_transport_keeper import Source
from test_transport_tls import (  # noqa: F401, the tests that hold here, too
    HELLO,
    TLS12,
    TLS13,
    shake,
    test_a_changed_record_is_refused,
    test_a_contract_certificate_is_no_vehicle_certificate,
    test_a_stream_that_ends_without_close_notify_is_truncated,
    test_a_vehicle_cannot_renegotiate,
    test_a_vehicle_that_offers_both_gets_the_newer_one_that_fits_it,
    test_a_version_without_a_chain_is_refused_by_version,
    test_an_oem_provisioning_certificate_is_no_vehicle_certificate,
    test_chains_that_have_expired_are_not_presented_and_then_there_is_no_tls,
    test_each_wrong_vehicle_certificate_gets_its_alert,
    test_iso2_on_tls_1_2,
    test_iso20_on_mutual_tls_1_3,
    test_octets_that_are_no_tls_end_in_an_error_not_in_a_crash,
    test_p256_serves_tls_1_3_only_for_interoperability,
    test_sessions_are_not_resumed,
    test_the_chain_is_the_one_that_the_vehicle_trusts,
    test_the_key_log_gets_lines_only_if_asked_for,
    test_tls_1_3_without_a_vehicle_certificate_is_not_mutual,
    test_what_no_standard_names_is_refused,
    test_without_a_trusted_clock_no_vehicle_certificate_is_accepted,
)
from transport_tls_lab import (
    NOW,
    Car,
    credentials,
    hierarchy,
    keys_in_token,
    receive,
    server,
    vehicle,
)

from ccs2_link.transport import keeper as keeper_module
from ccs2_link.transport import libssl, token_engine
from ccs2_link.transport.channel import ChannelError, Security
from ccs2_link.transport.credentials import StoreCredentials
from ccs2_link.transport.keeper import TlsKeeper
from ccs2_link.transport.tls import TlsServer
from ccs2_link.transport.token_engine import TokenContext, TokenEngine
from ccs2_pki.lab.software_token import enroll, softhsm_module
from ccs2_pki.provisioning import Provisioning
from ccs2_pki.store import EntryKind, Store

pkcs11 = pytest.importorskip('pkcs11', reason='python-pkcs11 is not installed')
if softhsm_module() is None:
    pytest.skip('SoftHSM (Debian package softhsm2) is not installed', allow_module_level=True)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp('softhsm')


@pytest.fixture(scope='module', autouse=True)
def token(folder):
    with keys_in_token(folder) as keys:
        yield keys


@contextlib.contextmanager
def pulled_out(folder):
    """Take the token out of its slot; it is back at the end."""
    (folder / 'tokens').rename(folder / 'pulled out')
    try:
        yield
    finally:
        (folder / 'pulled out').rename(folder / 'tokens')


@pytest.mark.parametrize('name', ['iso2', 'iso20'])
def test_the_key_that_serves_cannot_leave_the_token(token, name):
    tls = server(name)
    (offer,) = tls._usable(next(each for each in tls._versions if tls.chains(each.number)))
    assert isinstance(offer.context, TokenContext)
    assert isinstance(offer.context.engine(None), TokenEngine)
    reference = offer.credential.key.reference
    with token._session() as session:
        private = session.get_key(pkcs11.ObjectClass.PRIVATE_KEY, id=bytes.fromhex(reference.id))
        assert private[pkcs11.Attribute.SENSITIVE]
        assert private[pkcs11.Attribute.NEVER_EXTRACTABLE]
        with pytest.raises(pkcs11.AttributeSensitive):
            private[pkcs11.Attribute.VALUE]


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 255), st.integers(1, 400))
def test_changed_client_hellos_are_answered_or_refused(position, value, chunk):
    hello = bytearray(HELLO)
    hello[position % len(hello)] = value
    channel = station().channel()
    with contextlib.suppress(ChannelError):
        for start in range(0, len(hello), chunk):
            receive(channel, bytes(hello[start:start + chunk]))
    assert not channel.ready


def station(made=[]):  # noqa: B006, one for all examples
    if not made:
        made.append(server('iso2', 'iso20'))
    return made[0]


def test_octets_that_come_while_a_step_is_under_way_are_kept():
    car = Car(**TLS13, **vehicle('iso20'), groups=b'P-521')
    channel = server('iso20').channel()
    assert channel.receive(car.work(b'')) == b''
    sign = channel.work()
    assert channel.work() is None       # it is given away once
    assert channel.outgoing() == b''
    sign()
    assert channel.receive(b'') == b''
    flight = car.work(channel.outgoing())
    assert channel.receive(flight[:10]) == b''
    step = channel.work()
    car.engine.sendall(b'request')
    assert channel.receive(flight[10:] + car.outgoing()) == b''
    assert not channel.ready
    step()
    assert receive(channel, b'') == b'request'
    assert channel.outgoing() == b''    # no ticket
    assert channel.security is Security.TLS_1_3_MUTUAL


def test_a_vehicle_that_floods_while_the_token_signs_is_refused():
    channel = server('iso2').channel()
    channel.receive(HELLO)
    with pytest.raises(ChannelError, match='does not wait for the handshake'):
        channel.receive(bytes(70_000))


# The token that is not there.

def test_a_token_that_is_pulled_out_refuses_the_handshake_and_ends_tls(folder):
    tls = server('iso2')
    assert tls.problems == ()
    with pulled_out(folder):
        car = Car(**TLS12)
        with pytest.raises(ChannelError, match="TLS: key does not sign: token 'station': "):
            shake(tls, car)
        assert car.alert.endswith('internal error')
        assert not tls.available
        assert 'DECC2S0001' in tls.problems[0]
    assert tls.token_problem


def test_a_token_that_was_out_between_two_handshakes_serves_the_next(folder):
    tls = server('iso2')
    shake(tls, Car(**TLS12))
    with pulled_out(folder):
        pass
    assert shake(tls, Car(**TLS12)).ready


def test_the_keeper_looks_for_the_token_until_it_is_back(folder):
    source, now = Source(), [0.0]
    source.hold(1, 'iso2')
    keeper = TlsKeeper(source, clock=lambda: now[0])
    keeper.refresh()
    channel = keeper.channel()
    with pulled_out(folder):
        with pytest.raises(ChannelError):
            receive(channel, HELLO)
        assert keeper.channel is None
        assert 'no usable certificate chain: ' in keeper.problem
        assert "token 'station'" in keeper.problem
        for _ in range(3):
            assert not keeper.stale
            now[0] += keeper_module.RETRY
            assert keeper.stale
            keeper.refresh()
            assert keeper.channel is None
    keeper.refresh()
    assert keeper.channel is None       # not before it is time
    now[0] += keeper_module.RETRY
    keeper.refresh()
    assert keeper.problem == ''
    handshake = keeper.channel()
    receive(handshake, HELLO)
    assert handshake.outgoing()


def test_a_store_names_the_chain_whose_token_is_missing(folder, token, tmp_path):
    lab = hierarchy('iso2')
    store = Store(tmp_path / 'store', create=True, providers=[token])
    provisioning = Provisioning(store)
    provisioning.install(EntryKind.V2G_ROOT, lab.issued['v2g_root'].certificate.der, NOW)
    enroll(provisioning, lab)
    source = StoreCredentials(store.directory, [token])
    assert TlsServer(source.load(), lambda: NOW).available
    with pulled_out(folder):
        tls = TlsServer(source.load(), lambda: NOW)
    assert not tls.available
    assert tls.token_problem
    assert "token 'station'" in tls.problems[0]
    unknown = StoreCredentials(store.directory).load()
    assert "no key provider 'pkcs11'" in unknown.problems[0]
    assert not unknown.token_problem    # to look again is of no use


def test_a_chain_whose_private_key_is_another_one_is_not_offered(token):
    known = credentials('iso2')
    (good,) = known.servers
    other = hierarchy('iso2').issued['secc_b'].key
    key = type(good.key)(token, other.reference, good.key.public_key())
    tls = TlsServer(dataclasses.replace(
        known, servers=(dataclasses.replace(good, key=key),)), lambda: NOW)
    assert not tls.available
    assert 'the private key in the token is not that of the certificate' in tls.problems[0]


def test_without_a_suitable_openssl_the_chain_is_named_and_nothing_takes_its_place(monkeypatch):
    monkeypatch.setattr(libssl, 'LIBRARY', 'libssl.so.none')
    libssl.load.cache_clear()
    try:
        tls = server('iso2')
    finally:
        libssl.load.cache_clear()
    assert not tls.available
    assert "needs the system's OpenSSL 3" in tls.problems[0]
    assert 'libssl.so.none' in tls.problems[0]


def test_a_signature_too_long_for_its_place_is_not_written(monkeypatch):
    tls = server('iso2')
    monkeypatch.setattr(TokenContext, 'sign', lambda self, value: bytes(500))
    with pytest.raises(ChannelError):
        shake(tls, Car(**TLS12))


# Nothing is left behind.

def resident():
    """Return this process's memory and its number of open files."""
    pages = int(Path('/proc/self/statm').read_text().split()[1])
    return pages * os.sysconf('SC_PAGE_SIZE'), len(os.listdir('/proc/self/fd'))


def test_memory_and_files_stay_as_they_are_over_many_handshakes():
    tls = server('iso2', 'iso20')

    def rounds(number):
        for _ in range(number):
            assert shake(tls, Car(**TLS12, staple=True)).ready
            assert shake(tls, Car(**TLS13, **vehicle('iso20'))).ready
            receive(tls.channel(), HELLO)               # and leaves
        gc.collect()
        return resident()

    engines = len(token_engine._engines)
    memory, files = rounds(20)
    more, as_many = rounds(40)
    assert as_many == files
    # Each of the 120 handshakes has about 100 KiB while it lasts.
    assert more - memory < 2 << 20
    assert len(token_engine._engines) <= engines


def test_contexts_are_given_back():
    server('iso2', 'iso20')
    gc.collect()
    before = len(token_engine._contexts)
    for _ in range(5):
        server('iso2', 'iso20')
    gc.collect()
    assert len(token_engine._contexts) <= before
