"""TLS with keys in a token (SoftHSM) over real sockets, whose loop goes on while it signs."""

import asyncio
import threading

import pytest
from test_transport_tls import HELLO
from test_transport_tls_sockets import (  # noqa: F401, the tests that hold here, too
    port_of,
    pytestmark,
    test_a_wrong_vehicle_certificate_ends_in_its_alert,
    test_iso2_session_with_staple,
    test_iso20_session_with_the_chain_that_the_car_asks_for,
)
from transport_station import stations
from transport_tls_lab import keys_in_token, server

from ccs2_link.transport.connection import CloseReason, Limits
from ccs2_link.transport.endpoint import State
from ccs2_pki.lab.software_token import softhsm_module
from ccs2_pki.pkcs11_keys import Pkcs11Keys

pytest.importorskip('pkcs11', reason='python-pkcs11 is not installed')
if softhsm_module() is None:
    pytest.skip('SoftHSM (Debian package softhsm2) is not installed', allow_module_level=True)

SERVER_HELLO = bytes([22])


@pytest.fixture(scope='module', autouse=True)
def token(tmp_path_factory):
    with keys_in_token(tmp_path_factory.mktemp('softhsm')) as keys:
        yield keys


@pytest.fixture
async def make():
    async with stations() as start:
        yield start


@pytest.fixture
def slow(monkeypatch):
    """Let every signature wait until it is released; yield (asked, release)."""
    asked, release = threading.Semaphore(0), threading.Event()
    sign = Pkcs11Keys.sign_digest

    def wait(keys, reference, value):
        asked.release()
        release.wait(20)
        return sign(keys, reference, value)

    tls = server('iso2')
    with monkeypatch.context() as patch:
        patch.setattr(Pkcs11Keys, 'sign_digest', wait)
        yield tls, asked, release
        release.set()


async def test_a_token_that_hangs_costs_the_handshake_and_nothing_else(make, slow):
    tls, asked, release = slow
    running = await make(tls, limits=Limits(handshake_time=0.3))
    reader, writer = await asyncio.open_connection('::1', await port_of(running))
    writer.write(HELLO)
    await asyncio.to_thread(asked.acquire)
    status = await running.reach(lambda status: status.state is State.CLOSED)
    assert (status.close_reason, status.close_message) == (
        CloseReason.TIMEOUT, 'TLS handshake took too long')
    assert await running.ends(reader) in (b'', 'reset')
    writer.close()
    assert await port_of(running)       # SDP answers although the token still hangs
    release.set()
    reader, writer = await asyncio.open_connection('::1', await port_of(running))
    writer.write(HELLO)
    assert (await reader.readexactly(1)) == SERVER_HELLO
    writer.close()


async def test_only_so_many_handshakes_wait_for_a_token_that_hangs(make, slow):
    tls, asked, release = slow
    running = await make(tls)
    port = await port_of(running)
    for number in range(1, 5):
        reader, writer = await asyncio.open_connection('::1', port)
        writer.write(HELLO)
        await asyncio.to_thread(asked.acquire)
        writer.transport.abort()        # a vehicle that does not wait
        await running.reach(lambda status, number=number: (
            status.connection_id, status.state) == (number, State.CLOSED))
    reader, writer = await asyncio.open_connection('::1', port)
    assert await running.ends(reader) in (b'', 'reset')
    writer.close()
    assert running.server.status.rejected_connections == 1
    release.set()
    async with asyncio.timeout(10):
        await asyncio.wait(running.server._work)
    reader, writer = await asyncio.open_connection('::1', port)
    writer.write(HELLO)
    assert (await reader.readexactly(1)) == SERVER_HELLO
    writer.close()
