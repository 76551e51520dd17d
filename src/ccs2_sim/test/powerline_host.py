"""A station or a car on the virtual line with a TAP; run by test_powerline_tap in a namespace.

usage: powerline_host.py {station|car} LINE INTERFACE MAC
Prints one JSON object per line: the state, and for the car what it measured of the station.
"""

import asyncio
import json
import socket
import statistics
import sys
import time
from pathlib import Path

from ccs2_link.link_runner import LinkRunner
from ccs2_link.modem.tap import Tap
from ccs2_link.slac.contract import LinkState, Pilot, PilotState
from ccs2_link.slac.ev import EvSlac
from ccs2_link.slac.evse import EvseSlac
from ccs2_sim.powerline.spi import make_modem

GROUP, PORT = 'ff02::1', 15118


def tell(**values):
    print(json.dumps(values), flush=True)


def read(interface, name):
    return Path('/sys/class/net', interface, name).read_text().strip()


def flags(interface):
    return int(read(interface, 'flags'), 16)


class Echo(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, address):
        self.transport.sendto(data, address)


def multicast_socket(interface):
    index = socket.if_nametoindex(interface)
    server = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    server.bind(('::', PORT))
    server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP,
                      socket.inet_pton(socket.AF_INET6, GROUP) + index.to_bytes(4, sys.byteorder))
    server.setblocking(False)
    return server


async def ask(interface):
    """Find the station by multicast as SDP does, then measure round trips to its address."""
    loop = asyncio.get_running_loop()
    index = socket.if_nametoindex(interface)
    client = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    client.setblocking(False)
    await loop.sock_sendto(client, b'who', (GROUP, PORT, 0, index))
    _, address = await asyncio.wait_for(loop.sock_recvfrom(client, 1500), 5.0)
    times = []
    for _ in range(200):
        begin = time.perf_counter()
        await loop.sock_sendto(client, bytes(100), address)
        await asyncio.wait_for(loop.sock_recvfrom(client, 1500), 2.0)
        times.append(1e3 * (time.perf_counter() - begin))
    return address[0], statistics.median(times), sorted(times)[197]


async def main(role, line, interface, mac):
    loop = asyncio.get_running_loop()
    changed = asyncio.Event()

    def fail(error):
        tell(failure=repr(error))
        sys.exit(1)

    address = bytes.fromhex(mac)
    modem = make_modem(line, address, interface, Tap(interface, address))
    link = LinkRunner(modem, on_change=changed.set, on_reset=lambda why: None, on_failure=fail)
    await link.open(EvseSlac if role == 'station' else EvSlac)
    tell(up=bool(flags(interface) & 1), mtu=int(read(interface, 'mtu')),
         mac=read(interface, 'address'))
    await asyncio.sleep(3.0)
    link.pilot(Pilot(PilotState.B, True))
    while link.status.state is not LinkState.MATCHED:
        changed.clear()
        await changed.wait()
    tell(state='matched', up=bool(flags(interface) & 1))
    if role == 'station':
        await loop.create_datagram_endpoint(Echo, sock=multicast_socket(interface))
        while link.status.state is LinkState.MATCHED:
            changed.clear()
            await changed.wait()
    else:
        await asyncio.sleep(1.0)
        station, median, p99 = await ask(interface)
        tell(station=station, median_ms=median, p99_ms=p99)
    link.pilot(Pilot(PilotState.A, False))
    tell(state='left', up=bool(flags(interface) & 1))
    await link.close()


asyncio.run(main(*sys.argv[1:]))
