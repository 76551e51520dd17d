"""The node `v2g_transport`: SDP, TCP, TLS and V2GTP for one connector."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from pathlib import Path

from builtin_interfaces.msg import Time

from ccs2_interfaces.msg import Fault, Link, PkiState, V2GConnection, V2GRequest, V2GResponse
from ccs2_link.transport.connection import Action, DataLink, Deliver, Limits, Response
from ccs2_link.transport.credentials import StoreCredentials
from ccs2_link.transport.endpoint import State, Status
from ccs2_link.transport.keeper import TlsKeeper
from ccs2_link.transport.key_log import KeyLog
from ccs2_link.transport.sdp import PORT, SecurityPolicy
from ccs2_link.transport.server import Settings, TransportServer
from ccs2_link.transport.v2gtp import LARGEST_PAYLOAD
from ccs2_node import (
    NANOSECONDS,
    STATE,
    STREAM,
    ConfigureError,
    Level,
    ManagedNode,
    run,
    stamp,
)
from ccs2_node import Status as Diagnosis
from ccs2_pki.aside import aside
from ccs2_pki.errors import PkiError
from ccs2_pki.pkcs11_keys import configured_keys

#: V2GConnection is published at least this often, and the age of `link` looked at, in s.
PUBLISH_PERIOD = 0.05
#: What the certificate store allows is looked at this often, in s.
_STORE_PERIOD = 0.5
#: How long activation waits for the credentials, in s: most are read by then, and TLS is ready.
_ACTIVATION_PATIENCE = 2.0
#: After this the reading of the credentials is given up and begun anew, in s: a token may hang.
_LOAD_PATIENCE = 15.0
_MESSAGE_LENGTH = 256
_DEFAULTS = Limits()
_STATES = {
    State.DOWN: 'no data link',
    State.LISTENING: 'waits for a vehicle',
    State.OPEN: 'vehicle is connected',
    State.CLOSED: 'last connection has ended',
}


class V2GTransportNode(ManagedNode):
    """Joins the transport's topics to a :class:`TransportServer`."""

    def __init__(self) -> None:
        super().__init__('v2g_transport')
        self._declare_parameters()
        self._connections = self.publisher(V2GConnection, 'v2g/connection', STATE)
        self._requests = self.publisher(V2GRequest, 'v2g/request', STREAM)
        self.subscribe(Link, 'link', self._on_link, STATE)
        self._responses = self.subscribe(V2GResponse, 'v2g/response', self._on_response, STREAM)
        # It may have come before: the first vehicle is to get a staple, too, and is to be believed.
        self.subscribe(PkiState, 'pki/state', self._on_pki_state, STATE, always=True)
        self._pki_state: PkiState | None = None
        self._settings = Settings()
        self._interface = ''
        self._server: TransportServer | None = None
        self._link_heard = 0.0
        self._tls: TlsKeeper | None = None
        self._key_log: KeyLog | None = None
        self._loading: asyncio.Task[None] | None = None
        self._remarks: tuple[str, ...] = ()
        self._stamped: tuple[float, Time] = (0.0, Time())
        self._fault: Fault | None = None
        self._shown: tuple[State, int] | None = None

    def _declare_parameters(self) -> None:
        self.parameter('interface', '', 'Network interface to the vehicle; empty: as in link.')
        self.parameter('sdp_port', PORT, 'UDP port of SDP; only simulations need another one.',
                       minimum=1, maximum=65535)
        self.parameter('security', SecurityPolicy.CAR.value,
                       'none: TCP only; car: TCP or TLS as the vehicle asks; tls: TLS only.')
        self.parameter('link_timeout', 0.2, 'Age in s at which link is stale, and so is lost.',
                       minimum=0.1, maximum=2.0)
        self.parameter('setup_time', 18.0, 'Communication setup time in s, from data link up.',
                       minimum=1.0, maximum=20.0)
        self.parameter('maximum_message_size', _DEFAULTS.message_size,
                       'Largest V2GTP payload in octets; a larger one ends the connection.',
                       minimum=1024, maximum=LARGEST_PAYLOAD)
        self.parameter('pipelined_requests', _DEFAULTS.pipelined_requests,
                       'Requests kept while one is being answered; more end the connection.',
                       minimum=1, maximum=16)
        for name, default, description in (
            ('handshake_time', _DEFAULTS.handshake_time, 'Longest TLS handshake in s.'),
            ('message_time', _DEFAULTS.message_time,
             'Longest time in s from the first to the last octet of a request.'),
            ('answer_time', _DEFAULTS.answer_time,
             'Longest time in s that the session may take for a response.'),
            ('write_time', _DEFAULTS.write_time,
             'Longest time in s that the vehicle may leave sent octets in the buffer.'),
            ('fin_time', _DEFAULTS.fin_time,
             "Longest wait in s for the vehicle's FIN after the station's."),
        ):
            self.parameter(name, default, description, minimum=0.1, maximum=60.0)
        self.parameter('minimum_response_time', 0.0,
                       'No response is sent earlier than this after its request, in s; it slows '
                       'a vehicle that repeats requests without a pause.',
                       minimum=0.0, maximum=0.2)
        self.parameter('store', '/var/lib/ccs2/pki', 'Directory of the certificate store.')
        self.parameter('pkcs11_module', '',
                       "Shared library of a PKCS#11 token's maker; empty: keys are in files only.")
        self.parameter('pkcs11_token', '', 'Label of the PKCS#11 token.')
        self.parameter('pkcs11_pin_file', '', 'File of mode 0600 that holds its user PIN.')
        self.parameter('accept_p256_with_tls_1_3', False,
                       'Interoperability tests only: P-256 certificates, of the vehicle and of '
                       'the station, serve TLS 1.3, and vehicle certificates need no usage.')
        self.parameter('key_log_file', '',
                       'Laboratories only: file for the keys of all TLS connections.')

    async def configure(self) -> None:
        """Read the parameters."""
        policies = {policy.value: policy for policy in SecurityPolicy}
        security = self.value('security')
        if security not in policies:
            raise ConfigureError(f"security is '{security}', must be one of {', '.join(policies)}")
        self._interface = self.value('interface')
        self._settings = Settings(
            sdp_port=self.value('sdp_port'),
            policy=policies[security],
            setup_time=self.value('setup_time'),
            limits=Limits(
                message_size=self.value('maximum_message_size'),
                pipelined_requests=self.value('pipelined_requests'),
                handshake_time=self.value('handshake_time'),
                message_time=self.value('message_time'),
                answer_time=self.value('answer_time'),
                write_time=self.value('write_time'),
                fin_time=self.value('fin_time'),
                minimum_response_time=self.value('minimum_response_time'),
            ),
        )
        try:
            providers = configured_keys(self.value('pkcs11_module'), self.value('pkcs11_token'),
                                        self.value('pkcs11_pin_file'))
        except PkiError as error:
            raise ConfigureError(str(error)) from None
        self._open_key_log()
        accept_p256 = self.value('accept_p256_with_tls_1_3')
        if accept_p256:
            self.get_logger().warning('P-256 certificates are accepted for ISO 15118-20: '
                                      'for interoperability tests only')
        self._tls = TlsKeeper(
            StoreCredentials(Path(self.value('store')), providers), accept_p256=accept_p256,
            key_log=self._key_log.write if self._key_log else None)
        self._heed_pki_state()

    async def cleanup(self) -> None:
        """Close the key log."""
        if self._key_log is not None:
            self._key_log.close()
            self._key_log = None

    def _open_key_log(self) -> None:
        path = self.value('key_log_file')
        if not path:
            return
        try:
            self._key_log = KeyLog(Path(path))
        except OSError as error:
            raise ConfigureError(f'key_log_file: {error}') from None
        self.get_logger().error(
            f'KEYS OF ALL TLS CONNECTIONS ARE WRITTEN TO {path}: '
            'whoever reads it reads every session. Never do this in the field.')

    async def activate(self) -> None:
        """Wait for the data link."""
        self._server = TransportServer(self._settings, self)
        self._load_if_stale()
        if self._loading is not None:
            await asyncio.wait({self._loading}, timeout=_ACTIVATION_PATIENCE)
        self.every(PUBLISH_PERIOD, self._beat)
        self.every(_STORE_PERIOD, self._update_tls)

    async def deactivate(self) -> None:
        """Close the connection and every socket."""
        if self._loading is not None:
            self._loading.cancel()
        if self._server is not None:
            await self._server.close()
            self._server = None

    def _beat(self) -> None:
        if (self._server is not None and self._server.interface
                and self.loop.time() - self._link_heard > self.value('link_timeout')):
            self.get_logger().error('link is silent')
            self._server.link_down()
        self.changed()

    def _update_tls(self) -> None:
        """Offer TLS as the store allows now; new certificates serve the next connection."""
        self._load_if_stale()
        self._offer_tls()

    def _load_if_stale(self) -> None:
        if (self._server is None or self._tls is None or not self._settings.policy.tls
                or not self._server.idle or self._loading is not None or not self._tls.stale):
            return
        self._loading = self.loop.create_task(self._load(self._tls))
        self._loading.add_done_callback(self._loaded)

    async def _load(self, tls: TlsKeeper) -> None:
        """Load the credentials beside the loop; a token may take its time, or hang."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LOAD_PATIENCE):
                await aside(tls.refresh)

    def _loaded(self, loading: asyncio.Task[None]) -> None:
        self._loading = None
        if not loading.cancelled():
            loading.result()
            self._offer_tls()

    def _offer_tls(self) -> None:
        tls = self._tls
        if self._server is None or tls is None or not self._settings.policy.tls:
            return
        self._server.set_tls(tls.channel)
        problem = tls.problem
        if not problem:
            self._fault = None
        elif self._fault is None or self._fault.message != problem[:_MESSAGE_LENGTH]:
            self._fault = Fault(
                code=Fault.TLS_UNAVAILABLE, present=True, source=self.get_name(),
                severity=(Fault.SEVERITY_WARNING if self._settings.policy.plain
                          else Fault.SEVERITY_ERROR),
                message=problem[:_MESSAGE_LENGTH], since=self.now_message())
            self.get_logger().error(f'no TLS: {problem}')
        if tls.remarks != self._remarks:
            self._remarks = tls.remarks
            for remark in self._remarks if not problem else ():
                self.get_logger().error(f'a certificate chain is not used: {remark}')

    # What the server tells.

    def changed(self) -> None:
        """Publish what is true now."""
        if self._server is not None:
            status = self._server.status
            self._log(status)
            self._connections.publish(self._connection_message(status))

    def request(self, connection_id: int, request: Deliver) -> None:
        """Hand a request to the session."""
        self._requests.publish(V2GRequest(
            stamp=self.now_message(), connection_id=connection_id, sequence=request.sequence,
            payload_type=request.payload_type, data=request.payload))

    # What the topics tell.

    def _on_link(self, message: Link) -> None:
        self._link_heard = self.loop.time()
        if self._server is None:
            return
        if message.state == Link.STATE_MATCHED:
            interface = self._interface or message.interface
            self._server.link_up(interface, (message.since.sec, message.since.nanosec))
        else:
            self._server.link_down()

    def _on_pki_state(self, message: PkiState) -> None:
        self._pki_state = message
        self._heed_pki_state()

    def _heed_pki_state(self) -> None:
        if self._tls is not None and self._pki_state is not None:
            self._tls.pki_state(self._pki_state.generation, self._pki_state.time_trusted)
            self._update_tls()

    def _on_response(self, message: V2GResponse) -> None:
        if self._server is None:
            return
        try:
            response = Response(
                sequence=message.sequence, action=Action(message.action),
                payload_type=message.payload_type, payload=bytes(message.data),
                receive_timeout=message.receive_timeout, close_delay=message.close_delay,
                data_link=DataLink(message.data_link))
        except ValueError as error:
            self.get_logger().error(f'v2g/response makes no sense: {error}')
            self._server.abort(message.connection_id, 'response of the session makes no sense')
            return
        if not self._server.respond(message.connection_id, response):
            self.get_logger().warning(
                f'v2g/response {message.sequence} of connection {message.connection_id} '
                'answers nothing and is ignored')

    # What others see.

    def _connection_message(self, status: Status) -> V2GConnection:
        message = V2GConnection(
            state=status.state,
            connection_id=status.connection_id,
            security=status.security,
            cipher_suite=status.cipher_suite,
            vehicle_certificate_digest=status.vehicle_certificate_digest,
            close_reason=status.close_reason,
            close_message=status.close_message[:_MESSAGE_LENGTH],
            data_link=status.data_link,
            rejected_connections=status.rejected_connections,
            dropped_datagrams=status.dropped_datagrams,
            faults=[self._fault] if self._fault is not None else [],
        )
        message.header.stamp = self.now_message()
        if status.setup_since is not None:
            message.link_since = self._stamp_of(status.setup_since)
        if status.peer is not None:
            message.peer_address = status.peer.address
            message.peer_port = status.peer.port
        return message

    def _log(self, status: Status) -> None:
        """Log each change of state, once."""
        shown = (status.state, status.connection_id)
        if shown == self._shown:
            return
        self._shown = shown
        text = _STATES[status.state]
        if status.state is State.OPEN and status.peer is not None:
            text += (f': connection {status.connection_id}, {status.peer.address}, '
                     f'{status.security.name} {status.cipher_suite}'.rstrip())
        elif status.state is State.CLOSED:
            text += (f': connection {status.connection_id}, {status.close_reason.name}, '
                     f'{status.close_message}; data link: {status.data_link.name}')
        self.get_logger().info(text)

    def _stamp_of(self, moment: float) -> Time:
        """Return the wall clock's time of a moment on the loop's clock, always the same one."""
        if moment != self._stamped[0]:
            age = int((self.loop.time() - moment) * NANOSECONDS)
            self._stamped = (moment, stamp(self.get_clock().now().nanoseconds - age))
        return self._stamped[1]

    def diagnose(self) -> Sequence[Diagnosis]:
        """Report the connection with its sockets, and TLS if the policy knows it."""
        if self._server is None:
            return [Diagnosis('connection', Level.OK, 'not active')]
        parts = [self._diagnose_connection(self._server)]
        if self._settings.policy.tls and self._tls is not None:
            parts.append(self._diagnose_tls(self._tls))
        return parts

    def _diagnose_connection(self, server: TransportServer) -> Diagnosis:
        status = server.status
        session = bool(self._requests.get_subscription_count()
                       and self._responses.get_publisher_count())
        needed = status.state in (State.LISTENING, State.OPEN)
        problem = server.problem or (
            'no node hlc hears requests' if needed and not session else '')
        return Diagnosis(
            'connection',
            Level.ERROR if problem else Level.OK,
            problem or _STATES[status.state],
            {
                'connection': status.connection_id,
                'session': 'there' if session else 'missing',
                'last close': f'{status.close_reason.name} {status.close_message}'.strip(),
                'ports': ', '.join(f'{security.name} {port}'
                                   for security, port in server.ports.items()),
                'rejected connections': status.rejected_connections,
                'dropped datagrams': status.dropped_datagrams,
            },
            server.interface,
        )

    def _diagnose_tls(self, tls: TlsKeeper) -> Diagnosis:
        level, message = Level.OK, 'a certificate chain is ready'
        if self._key_log is not None:
            level, message = Level.WARN, 'KEYS OF ALL CONNECTIONS ARE LOGGED to a file'
        elif tls.remarks:
            level, message = Level.WARN, '; '.join(tls.remarks)
        if self._fault is not None:
            level = Level.WARN if self._settings.policy.plain else Level.ERROR
            message = self._fault.message
        for_1_2, for_1_3 = tls.chains
        return Diagnosis('tls', level, message,
                         {'chains for TLS 1.2': for_1_2, 'chains for TLS 1.3': for_1_3})


def main() -> None:
    """Run the node."""
    run(V2GTransportNode)


if __name__ == '__main__':
    main()
