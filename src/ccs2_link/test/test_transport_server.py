"""The transport over real sockets on the loopback interface."""

import asyncio
import contextlib
import os
import socket
import struct

import pytest
from transport_station import PATIENCE, REQUEST, Station

from ccs2_link.transport.connection import Action, CloseReason, DataLink, Limits
from ccs2_link.transport.endpoint import MOST_PENDING, State
from ccs2_link.transport.interface import link_address
from ccs2_link.transport.sdp import SdpSecurity
from ccs2_link.transport.v2gtp import PayloadType, encode

pytestmark = pytest.mark.skipif(link_address('lo') is None, reason='no IPv6 on loopback')


@pytest.fixture
async def make():
    stations = []

    async def start(**settings):
        stations.append(Station(**settings))
        await stations[-1].up()
        return stations[-1]

    yield start
    for station in stations:
        await station.server.close()


async def test_a_session_from_discovery_to_close(make):
    station = await make()
    response = await station.discover()
    assert response[:8].hex() == '01fe900100000014'
    assert socket.inet_ntop(socket.AF_INET6, response[8:24]) == '::1'
    (port,) = struct.unpack('!H', response[24:26])
    assert port == station.server.ports[SdpSecurity.NONE]
    assert 49152 <= port <= 65535
    assert response[26:] == b'\x10\x00'

    reader, writer = await station.connect()
    for sequence in range(1, 20):
        writer.write(encode(PayloadType.SAP, b'request %d' % sequence))
        connection_id, request = await station.next_request()
        assert (connection_id, request.sequence, request.payload) == (
            1, sequence, b'request %d' % sequence)
        status = station.server.status
        assert (status.state, status.connection_id, status.peer.address) == (State.OPEN, 1, '::1')
        assert station.answer(1, sequence, b'answer %d' % sequence)
        assert await station.read(reader) == b'answer %d' % sequence

    writer.write(encode(PayloadType.SAP, b'stop'))
    await station.next_request()
    station.answer(1, 20, b'stopped', action=Action.SEND_THEN_CLOSE, close_delay=0.05,
                   data_link=DataLink.TERMINATE)
    assert await station.read(reader) == b'stopped'
    assert await station.ends(reader) == b''
    assert station.server.status.state is State.OPEN    # its FIN is sent, ours is awaited
    writer.close()
    status = await station.reach(lambda status: status.state is State.CLOSED)
    assert (status.close_reason, status.data_link) == (CloseReason.BY_STATION, DataLink.TERMINATE)
    assert await station.discover() is None             # the link has been given up


async def test_octets_one_by_one_and_messages_all_at_once(make):
    station = await make()
    reader, writer = await station.connect()
    writer.transport.get_extra_info('socket').setsockopt(
        socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for octet in encode(PayloadType.SAP, b'slowly'):
        writer.write(bytes([octet]))
        await asyncio.sleep(0)
    assert (await station.next_request())[1].payload == b'slowly'
    station.answer(1, 1, b'1')
    writer.write(encode(PayloadType.SAP, b'a') + encode(PayloadType.ISO20_DC, b'b'))
    for sequence, payload in ((2, b'a'), (3, b'b')):
        request = (await station.next_request())[1]
        assert (request.sequence, request.payload) == (sequence, payload)
        assert station.requests.empty()                 # the next one waits for the answer
        station.answer(1, sequence, payload)
    assert [await station.read(reader) for _ in range(3)] == [b'1', b'a', b'b']


async def test_bad_datagrams_do_not_deafen_discovery(make):
    station = await make()
    for datagram in (b'', b'\x01', REQUEST + bytes(1390), REQUEST[:9], bytes(10)):
        assert await station.discover(datagram) is None
    assert await station.discover() is not None
    assert station.server.status.dropped_datagrams == 5


@pytest.mark.parametrize('flood', [
    [b'', b'\x01', REQUEST[:9], REQUEST + b'x', os.urandom(10)], [REQUEST]], ids=['bad', 'good'])
async def test_a_flood_of_datagrams_disturbs_neither_discovery_nor_a_session(make, flood):
    station, loop = await make(), asyncio.get_running_loop()

    async def pour(seconds=0.5):
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as attacker:
            attacker.setblocking(False)
            end = loop.time() + seconds
            while loop.time() < end:
                for datagram in flood:
                    await loop.sock_sendto(attacker, datagram, ('::1', station.sdp_port))
                await asyncio.sleep(0)

    pouring = asyncio.ensure_future(pour())
    assert await station.discover(wait=1.0) is not None
    reader, writer = await station.connect()
    sequence = 0
    while not pouring.done():
        sequence += 1
        writer.write(encode(PayloadType.SAP, b'%d' % sequence))
        assert (await station.next_request())[1].payload == b'%d' % sequence
        station.answer(1, sequence, b'%d' % sequence)
        assert await station.read(reader) == b'%d' % sequence
    await pouring
    assert station.server.status.dropped_datagrams > len(flood)
    assert station.server.status.state is State.OPEN
    writer.close()


async def test_discovery_is_silent_while_a_session_runs_and_after_the_link_is_gone(make):
    station = await make()
    reader, writer = await station.begin()
    assert await station.discover() is None
    station.server.link_down()
    assert await station.ends(reader) in (b'', 'reset')
    status = station.server.status
    assert (status.state, status.close_reason) == (State.DOWN, CloseReason.LINK_LOST)
    assert station.server.ports == {}
    writer.close()
    station.server.link_up('lo', 2)
    await station.reach(lambda status: status.state is State.LISTENING)
    assert await station.discover() is not None


async def test_further_connections_are_closed_at_once_and_change_nothing(make):
    station = await make()
    reader, writer = await station.begin()
    before = station.server.status
    port = station.server.ports[SdpSecurity.NONE]
    files = len(os.listdir('/proc/self/fd'))
    for _ in range(200):
        with contextlib.suppress(OSError):
            intruder_reader, intruder = await asyncio.open_connection('::1', port)
            intruder.write(encode(PayloadType.SAP, b'intruder'))
            assert await station.ends(intruder_reader) in (b'', 'reset')
            intruder.close()
    writer.write(encode(PayloadType.SAP, b'still here'))
    connection_id, request = await station.next_request()
    assert (connection_id, request.sequence, request.payload) == (1, 2, b'still here')
    station.answer(1, 2, b'yes')
    assert await station.read(reader) == b'yes'
    after = station.server.status
    assert after.rejected_connections == 200
    assert len(os.listdir('/proc/self/fd')) <= files
    assert (after.state, after.peer, after.connection_id) == (
        before.state, before.peer, before.connection_id)
    writer.close()


async def are_reset(cars):
    """Wait until the station has reset these connections; close them."""
    async with asyncio.timeout(PATIENCE):
        for car in cars:
            with pytest.raises(ConnectionResetError):
                await asyncio.get_running_loop().sock_recv(car, 1)
            car.close()


async def test_connections_that_ask_for_nothing_shut_nobody_out(make):
    station, loop = await make(), asyncio.get_running_loop()
    address = ('::1', station.server.ports[SdpSecurity.NONE])
    idle = []
    files = len(os.listdir('/proc/self/fd'))
    for _ in range(200):
        idle.append(socket.socket(socket.AF_INET6, socket.SOCK_STREAM))
        idle[-1].setblocking(False)
        await loop.sock_connect(idle[-1], address)
    await are_reset(idle[:-MOST_PENDING])
    assert len(os.listdir('/proc/self/fd')) == files + 2 * MOST_PENDING
    assert await station.discover() is not None
    _reader, writer = await station.begin()
    status = station.server.status
    assert (status.state, status.connection_id, status.rejected_connections) == (
        State.OPEN, 1, 200)
    await are_reset(idle[-MOST_PENDING:])
    assert len(os.listdir('/proc/self/fd')) == files + 2
    writer.write(encode(PayloadType.SAP, b'go on'))
    assert (await station.next_request())[1].payload == b'go on'
    writer.close()


async def test_a_slow_sender_does_not_put_off_the_deadline(make):
    station = await make(limits=Limits(message_time=0.3))
    reader, writer = await station.connect()
    ended = asyncio.ensure_future(station.ends(reader))
    for octet in encode(PayloadType.SAP, bytes(1000)):
        writer.write(bytes([octet]))
        await asyncio.wait({ended}, timeout=0.02)
        if ended.done():
            break
    assert await ended in (b'', 'reset')
    status = await station.reach(lambda status: status.state is State.CLOSED)
    assert status.close_reason is CloseReason.TIMEOUT
    writer.close()


async def test_a_vehicle_that_does_not_read_is_given_up(make):
    station = await make(limits=Limits(write_time=2.0))
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as car:
        car.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        car.setblocking(False)
        await loop.sock_connect(car, ('::1', station.server.ports[SdpSecurity.NONE]))
        # More than the kernel's buffers hold: the last responses stay in the station's.
        for sequence in range(1, 201):
            await loop.sock_sendall(car, encode(PayloadType.SAP, b'more'))
            await station.next_request()
            station.answer(1, sequence, bytes(65536))
        status = await station.reach(lambda status: status.state is State.CLOSED)
    assert (status.close_reason, status.close_message) == (
        CloseReason.TIMEOUT, 'vehicle does not take what is sent to it')


@pytest.mark.parametrize(('garbage', 'reason'), [
    (bytes.fromhex('01fe8001fffffff8'), CloseReason.FRAMING),
    (encode(PayloadType.SAP, b'x') * 6, CloseReason.FRAMING),       # pipelined beyond the bound
])
async def test_what_cannot_be_followed_ends_the_connection(make, garbage, reason):
    station = await make()
    reader, writer = await station.connect()
    writer.write(garbage)
    assert await station.ends(reader) in (b'', 'reset')
    status = await station.reach(lambda status: status.state is State.CLOSED)
    assert status.close_reason is reason
    writer.close()
    while not station.requests.empty():
        await station.next_request()
    await station.begin()                               # setup time still runs: try again
    assert station.server.status.connection_id == 2


async def test_fin_and_reset_are_told_apart(make):
    station = await make()
    _reader, writer = await station.begin()
    writer.write_eof()
    status = await station.reach(lambda status: status.state is State.CLOSED)
    assert status.close_reason is CloseReason.BY_VEHICLE
    writer.close()

    _reader, writer = await station.begin()
    writer.transport.get_extra_info('socket').setsockopt(
        socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
    writer.transport.abort()
    status = await station.reach(lambda status: status.state is State.CLOSED)
    assert status.close_reason is CloseReason.RESET


async def test_setup_time_over_without_a_session_gives_the_link_up(make):
    station = await make(setup_time=0.2)
    status = await station.reach(lambda status: status.state is State.CLOSED)
    assert (status.close_reason, status.data_link, status.connection_id) == (
        CloseReason.TIMEOUT, DataLink.ERROR, 0)
    assert await station.discover() is None
    await station.reach(lambda status: not station.server.ports)


async def test_an_interface_that_is_not_there_is_named_and_waited_for():
    there = []
    station = Station()
    station.server._find_address = lambda name: link_address('lo') if there else None
    station.server.link_up('lo', 1)
    await station.reach(lambda status: bool(station.server.problem))
    assert station.server.problem == 'interface lo has no usable IPv6 address'
    assert station.server.status.state is State.DOWN
    there.append(True)
    await station.reach(lambda status: status.state is State.LISTENING)
    assert station.server.problem == ''
    reader, writer = await station.begin()
    there.clear()
    status = await station.reach(lambda status: status.state is not State.OPEN)
    assert status.close_reason is CloseReason.LINK_LOST
    assert await station.ends(reader) in (b'', 'reset')
    writer.close()
    await station.server.close()


async def test_two_stations_use_their_own_discovery_ports(make):
    first, second = await make(), await make()
    ports = [struct.unpack('!H', (await station.discover())[24:26])[0]
             for station in (first, second)]
    assert ports == [station.server.ports[SdpSecurity.NONE] for station in (first, second)]


async def test_closing_ends_with_a_vehicle_connected():
    station = Station()
    await station.up()
    reader, writer = await station.begin()
    async with asyncio.timeout(PATIENCE):
        await station.server.close()
    assert station.server.status.close_reason is CloseReason.SHUTDOWN
    assert await station.ends(reader) in (b'', 'reset')
    writer.close()


async def test_a_peer_that_is_not_on_the_link_is_refused(make):
    station = await make()
    for host, scope in (('2001:db8::1', 0), ('fe80::1', 5), ('::ffff:127.0.0.1', 0), ('', 0)):
        assert station.server.accept(None, SdpSecurity.NONE, host, 40000, scope) is None
    assert station.server.status.rejected_connections == 4
    assert station.server.status.connection_id == 0


async def test_a_transport_that_cannot_go_on_says_so():
    station = Station()

    def fails(interface):
        raise RuntimeError('cannot go on')

    station.server._find_address = fails
    station.server.link_up('lo', 1)
    await station.reach(lambda status: station.failure is not None)
    assert str(station.failure) == 'cannot go on'
    await station.server.close()


async def test_a_link_without_an_interface_is_named():
    station = Station()
    station.server.link_up('', 1)
    await station.reach(lambda status: bool(station.server.problem))
    assert station.server.problem == 'the data link names no interface'
    await station.server.close()
