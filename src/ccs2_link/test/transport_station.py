"""A transport on the loopback interface whose session is played by the test."""

import asyncio
import contextlib
import socket

from ccs2_link.transport.connection import Action, Response
from ccs2_link.transport.endpoint import State
from ccs2_link.transport.sdp import SdpSecurity, SecurityPolicy
from ccs2_link.transport.server import Settings, TransportServer
from ccs2_link.transport.v2gtp import HEADER, PayloadType, encode

REQUEST = bytes.fromhex('01fe9000000000021000')
PATIENCE = 10


def free_port():
    """Return a UDP port for SDP that is free on the loopback interface."""
    with contextlib.closing(socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)) as probe:
        probe.bind(('::1', 0))
        return probe.getsockname()[1]


class Station:
    """A transport on `lo` whose session is played by the test."""

    def __init__(self, **settings):
        settings = {'policy': SecurityPolicy.NONE, 'sdp_port': free_port(), **settings}
        self.sdp_port = settings['sdp_port']
        self.server = TransportServer(Settings(**settings), self)
        self.requests = asyncio.Queue()
        self._changed = asyncio.Event()
        self.failure = None

    def request(self, connection_id, request):
        self.requests.put_nowait((connection_id, request))

    def changed(self):
        self._changed.set()

    def fail(self, error):
        self.failure = error
        self._changed.set()

    async def reach(self, condition):
        """Wait until the status fulfils `condition`, return it."""
        async with asyncio.timeout(PATIENCE):
            while not condition(self.server.status):
                self._changed.clear()
                await self._changed.wait()
        return self.server.status

    async def up(self):
        self.server.link_up('lo', 1)
        await self.reach(lambda status: status.state is State.LISTENING)

    async def next_request(self):
        async with asyncio.timeout(PATIENCE):
            return await self.requests.get()

    async def connect(self):
        async with asyncio.timeout(PATIENCE):
            return await asyncio.open_connection(
                '::1', self.server.ports[SdpSecurity.NONE])

    async def begin(self):
        """Connect, ask and get an answer: the connection is the active one."""
        reader, writer = await self.connect()
        writer.write(encode(PayloadType.SAP, b'hello'))
        connection_id, request = await self.next_request()
        self.answer(connection_id, request.sequence, b'hello')
        assert await self.read(reader) == b'hello'
        return reader, writer

    async def read(self, reader):
        async with asyncio.timeout(PATIENCE):
            *_, length = HEADER.unpack(await reader.readexactly(HEADER.size))
            return await reader.readexactly(length)

    async def ends(self, reader):
        """Wait for the end of a stream; tell whether it was a FIN (b'') or a reset."""
        async with asyncio.timeout(PATIENCE):
            try:
                return await reader.read()
            except ConnectionResetError:
                return 'reset'

    def answer(self, connection_id, sequence, data, **fields):
        fields.setdefault('action', Action.SEND)
        fields.setdefault('receive_timeout', 60.0)
        return self.server.respond(connection_id, Response(
            sequence=sequence, payload_type=PayloadType.SAP, payload=data, **fields))

    async def discover(self, datagram=REQUEST, wait=0.1):
        """Return the answer to an SDP datagram, None if there is none."""
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as car:
            car.setblocking(False)
            for _ in range(PATIENCE):
                await loop.sock_sendto(car, datagram, ('::1', self.sdp_port))
                with contextlib.suppress(TimeoutError):
                    return await asyncio.wait_for(loop.sock_recv(car, 100), wait)
                if datagram is not REQUEST or self.server.status.state is not State.LISTENING:
                    return None
        return None


@contextlib.asynccontextmanager
async def stations():
    """Yield what starts a station with TLS: `start(tls, **settings)`; all end with the block."""
    started = []

    async def start(tls=None, **settings):
        settings.setdefault('policy', SecurityPolicy.TLS)
        started.append(Station(**settings))
        if tls is not None:
            started[-1].server.set_tls(tls.channel)
        await started[-1].up()
        return started[-1]

    try:
        yield start
    finally:
        for station in started:
            await station.server.close()
