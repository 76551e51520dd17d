"""The transport on a real link with multicast: a veth pair, the car in a network namespace."""

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
import textwrap

import pytest
from transport_station import PATIENCE, REQUEST, Station

from ccs2_link.transport.connection import CloseReason
from ccs2_link.transport.endpoint import State
from ccs2_link.transport.interface import link_address
from ccs2_link.transport.sdp import PORT

HERE = f'st{os.getpid() % 100000}'
THERE = f'ev{os.getpid() % 100000}'
NAMESPACE = f'ccs2-{os.getpid()}'
#: Sends SDP to ff02::1, connects to what is answered, exchanges one message, waits for the end.
CAR = textwrap.dedent("""
    import socket, struct, sys, time
    index = socket.if_nametoindex(sys.argv[1])
    sdp = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    sdp.settimeout(0.25)
    sdp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
    for _ in range(50):
        try:
            sdp.sendto(bytes.fromhex('01fe9000000000021000'), ('ff02::1', 15118, 0, index))
            answer = sdp.recv(100)
            break
        except TimeoutError:
            pass
        except OSError:
            time.sleep(0.25)    # no address yet
    address = socket.inet_ntop(socket.AF_INET6, answer[8:24])
    port = struct.unpack('!H', answer[24:26])[0]
    car = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
    car.connect((address, port, 0, index))
    car.sendall(bytes.fromhex('01fe800100000003') + b'car')
    print(car.recv(100)[8:].decode(), address, flush=True)
    print('end', car.recv(1), flush=True)
""")


def ip(*arguments):
    subprocess.run(['ip', *arguments], check=True, capture_output=True)


@pytest.fixture
def cable():
    """Lay the cable; skip where that is not allowed."""
    if shutil.which('ip') is None:
        pytest.skip('no ip command')
    try:
        ip('netns', 'add', NAMESPACE)
    except subprocess.CalledProcessError as error:
        pytest.skip(f'no network namespace: {error.stderr.decode().strip()}')
    try:
        ip('link', 'add', HERE, 'type', 'veth', 'peer', 'name', THERE, 'netns', NAMESPACE)
        ip('link', 'set', HERE, 'up')
        ip('-n', NAMESPACE, 'link', 'set', THERE, 'up')
        yield
    finally:
        with contextlib.suppress(subprocess.CalledProcessError):
            ip('link', 'del', HERE)
        ip('netns', 'del', NAMESPACE)


@pytest.fixture
async def station(cable):
    """A station on the cable: up as soon as its address is."""
    made = Station(sdp_port=PORT)
    made.server.link_up(HERE, 1)
    yield made
    await made.server.close()


async def test_a_car_finds_the_station_by_multicast_until_the_interface_goes_down(station):
    process = await asyncio.create_subprocess_exec(
        'ip', 'netns', 'exec', NAMESPACE, sys.executable, '-c', CAR, THERE,
        stdout=asyncio.subprocess.PIPE)
    async with asyncio.timeout(PATIENCE):
        connection_id, request = await station.next_request()
        assert request.payload == b'car'
        station.answer(connection_id, 1, b'station')
        said = (await process.stdout.readline()).decode().split()
        assert said == ['station', str(link_address(HERE).address)]
    status = station.server.status
    assert status.peer.address.startswith('fe80::')
    assert status.peer.address.endswith(f'%{HERE}')

    ip('link', 'set', HERE, 'down')
    status = await station.reach(lambda status: status.state is not State.OPEN)
    assert status.close_reason is CloseReason.LINK_LOST
    await station.reach(lambda status: bool(station.server.problem))
    ip('link', 'set', HERE, 'up')
    await station.reach(lambda status: bool(station.server.ports))
    process.kill()
    await process.wait()


async def test_other_interfaces_are_not_answered(station):
    await station.reach(lambda status: bool(station.server.ports))
    assert await station.discover(bytes(REQUEST), wait=0.2) is None     # sent to ::1
    (port,) = station.server.ports.values()
    with pytest.raises(OSError, match=r'refused|unreachable|failed'):
        await asyncio.open_connection('::1', port)
