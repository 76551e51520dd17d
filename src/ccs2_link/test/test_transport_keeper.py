"""TLS follows the certificate store: what is loaded when, and what is said about it."""

import dataclasses
import types

import pytest
from transport_tls_lab import Car, credentials, server, vehicle

from ccs2_link.transport.channel import ChannelError
from ccs2_link.transport.credentials import StoreCredentials
from ccs2_link.transport.keeper import TlsKeeper
from ccs2_link.transport.key_log import KeyLog
from ccs2_pki.errors import ErrorCode, PkiError


class Source:
    """A store whose content the test sets."""

    def __init__(self):
        self.held = PkiError(ErrorCode.NOT_FOUND, 'there is no directory /nowhere')
        self.loads = 0

    def hold(self, generation, *names):
        self.held = dataclasses.replace(
            credentials(*names), generation=generation)

    def load(self):
        self.loads += 1
        if isinstance(self.held, PkiError):
            raise self.held
        return self.held


def test_without_a_store_there_is_no_tls_and_the_reason_is_said():
    keeper = TlsKeeper(Source())
    assert keeper.channel is None
    assert keeper.problem == 'the certificate store has not been read'
    keeper.refresh()
    assert keeper.channel is None
    assert keeper.problem == 'certificate store: there is no directory /nowhere'


def test_an_empty_store_gives_no_tls():
    source = Source()
    source.hold(3)
    keeper = TlsKeeper(source)
    keeper.refresh()
    assert keeper.channel is None
    assert keeper.problem == 'no usable certificate chain: none in the store is valid now'
    assert keeper.chains == (0, 0)


def test_credentials_are_loaded_once_for_each_generation():
    source = Source()
    source.hold(1, 'iso2')
    keeper = TlsKeeper(source)
    keeper.refresh()
    keeper.refresh()
    assert source.loads == 1        # nobody has said that there is another generation
    assert keeper.chains == (1, 0)
    first = keeper.channel
    keeper.pki_state(1, True)
    keeper.refresh()
    assert source.loads == 1
    source.hold(2, 'iso2', 'iso20')
    keeper.pki_state(2, True)
    assert keeper.channel == first
    keeper.refresh()
    keeper.refresh()
    assert source.loads == 2
    assert keeper.channel != first
    assert keeper.chains == (1, 1)
    assert keeper.problem == ''


def test_a_store_that_cannot_be_read_any_more_ends_tls():
    source = Source()
    source.hold(1, 'iso2')
    keeper = TlsKeeper(source)
    keeper.refresh()
    assert keeper.channel is not None
    source.held = PkiError(ErrorCode.STORAGE, 'index.json is damaged')
    keeper.pki_state(2, True)
    keeper.refresh()
    assert keeper.channel is None
    assert keeper.problem == 'certificate store: index.json is damaged'


def handshake(channel, car):
    to_station = car.work(b'')
    while to_station:
        channel.receive(to_station)
        to_station = car.work(channel.outgoing())
    return channel


def test_vehicle_certificates_wait_for_a_trusted_clock():
    source = Source()
    source.hold(1, 'iso20')
    keeper = TlsKeeper(source)
    keeper.refresh()
    with pytest.raises(ChannelError, match='clock'):
        handshake(keeper.channel(), Car(**vehicle('iso20')))
    keeper.pki_state(1, True)
    assert handshake(keeper.channel(), Car(**vehicle('iso20'))).ready


def test_a_chain_whose_key_is_missing_is_named(tmp_path):
    with pytest.raises(PkiError, match='no directory'):
        StoreCredentials(tmp_path / 'nothing').load()
    known = dataclasses.replace(
        credentials('iso2'), servers=(), problems=('CN=DECC2S0001: no key provider',))
    source = Source()
    source.held = known
    keeper = TlsKeeper(source)
    keeper.refresh()
    assert keeper.problem == 'no usable certificate chain: CN=DECC2S0001: no key provider'
    assert keeper.remarks == known.problems


def test_a_key_log_is_for_its_owner_alone(tmp_path):
    path = tmp_path / 'keys.log'
    path.write_text('old\n')
    path.chmod(0o644)
    log = KeyLog(path)
    handshake(server('iso2', key_log=log.write).channel(), Car())
    log.close()
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_text().startswith('old\nCLIENT_RANDOM ')
    link = tmp_path / 'link'
    link.symlink_to(path)
    with pytest.raises(OSError, match='symbolic'):
        KeyLog(link)


def test_credentials_that_are_replaced_at_any_moment_do_no_harm():
    keeper = TlsKeeper(Source())

    class Replaced:
        """A server that the loading thread replaces while it is being asked."""

        problems = ()
        channel = None
        credentials = types.SimpleNamespace(generation=1)
        token_problem = False

        def __getattribute__(self, name):
            keeper._server = None
            return object.__getattribute__(self, name)

        @property
        def available(self):
            return True

        def chains(self, version):
            return 1

    for name, answer in (('channel', None), ('problem', ''), ('remarks', ()), ('chains', (1, 1))):
        keeper._server = Replaced()
        assert getattr(keeper, name) == answer
    keeper.pki_state(1, True)
    keeper._server = Replaced()
    assert not keeper.stale
