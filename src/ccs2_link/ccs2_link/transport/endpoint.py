"""Who may connect, and when: data link, setup time, SDP answers and the one active connection.

The station answers SDP and accepts a connection only while the data link is up, no connection is
active, and the communication setup time (18 s from data link up, ISO 15118-2
V2G_SECC_CommunicationSetup_Performance_Time) runs. A connection that ends without the session
having decided what follows may be tried again within that time; when the time passes without one,
the data link is reported as in error. A session that ends with KEEP starts the time anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from ccs2_link.transport import sdp
from ccs2_link.transport.channel import Channel, Security
from ccs2_link.transport.connection import CloseReason, Connection, DataLink, Limits


class State(IntEnum):
    """State of the transport; numbers of V2GConnection.STATE_*."""

    DOWN = 1
    LISTENING = 2
    OPEN = 3
    CLOSED = 4


@dataclass(frozen=True, slots=True)
class Peer:
    """The vehicle's end of a connection; `address` is shown with its zone."""

    address: str
    port: int


@dataclass(frozen=True, slots=True)
class Status:
    """Everything that is shown of the transport; fields as in V2GConnection.

    `setup_since` is the monotonic time [s] at which the setup time began, None while the data
    link is down.
    """

    state: State
    connection_id: int
    setup_since: float | None
    peer: Peer | None
    security: Security
    cipher_suite: str
    vehicle_certificate_digest: bytes
    close_reason: CloseReason
    close_message: str
    data_link: DataLink
    rejected_connections: int
    dropped_datagrams: int


class Endpoint:
    """The transport's rules without sockets or clocks; `now` is monotonic time [s]."""

    def __init__(
        self, policy: sdp.SecurityPolicy, limits: Limits, setup_time: float = 18.0,
    ) -> None:
        self.policy = policy
        self.connection: Connection | None = None
        self.connection_id = 0
        self.rejected_connections = 0
        self.dropped_datagrams = 0
        self._limits = limits
        self._setup_time = setup_time
        self._setup_since: float | None = None
        self._listeners: sdp.Listeners | None = None
        self._peer: Peer | None = None
        self._close_reason = CloseReason.NONE
        self._close_message = ''
        self._data_link = DataLink.KEEP
        self._ended = False

    @property
    def listens(self) -> bool:
        """There is a reason to have sockets: the link is up and its time is not over."""
        return self._setup_since is not None and self._data_link is DataLink.KEEP

    def link_up(self, now: float) -> None:
        """Begin the communication setup time: the data link has come up."""
        self._setup_since = now
        self._data_link = DataLink.KEEP
        self._ended = False

    def link_down(self, now: float) -> None:
        """Forget the data link. An active connection has to be aborted before."""
        self._setup_since = None
        self._listeners = None

    def listening(self, listeners: sdp.Listeners | None) -> None:
        """Take note of where the sockets listen, None if there are none."""
        self._listeners = listeners

    def discover(self, datagram: bytes) -> bytes | None:
        """Return the answer to an SDP datagram, None if it is dropped (and counted)."""
        response = None
        if self.listens and self._listeners is not None and self.connection is None:
            response = sdp.answer(datagram, self.policy, self._listeners)
        if response is None:
            self.drop_datagram()
        return response

    def drop_datagram(self) -> None:
        """Count a datagram that gets no answer."""
        self.dropped_datagrams += 1

    def may_connect(self) -> bool:
        """Tell whether a new connection is welcome."""
        return self.listens and self.connection is None

    def reject_connection(self) -> None:
        """Count a connection that is not taken."""
        self.rejected_connections += 1

    def connect(self, now: float, channel: Channel, peer: Peer) -> Connection:
        """Make the active connection; only after :meth:`may_connect` has agreed."""
        if self._setup_since is None or self.connection is not None:
            raise RuntimeError('connected although no connection is welcome')
        self.connection_id = self.connection_id % (2**32 - 1) + 1
        self._peer = peer
        self._close_reason = CloseReason.NONE
        self._close_message = ''
        self._ended = False
        self.connection = Connection(
            now, channel, self._limits, self._setup_since + self._setup_time)
        return self.connection

    def closed(self, now: float) -> None:
        """Take note that the active connection has ended."""
        connection, self.connection = self.connection, None
        if connection is None:
            return
        self._ended = True
        self._close_reason = connection.close_reason
        self._close_message = connection.close_message
        if connection.close_reason is CloseReason.LINK_LOST:
            return      # a link that is gone, or is another one by now, must not be ended again
        self._data_link = connection.data_link
        if connection.decided and connection.data_link is DataLink.KEEP:
            self._setup_since = now
        self._check_setup_time(now)

    def tick(self, now: float) -> bool:
        """Do what is due; tell whether the setup time has just passed without a session."""
        if self.connection is not None or not self._check_setup_time(now):
            return False
        self._ended = True
        self._close_reason = CloseReason.TIMEOUT
        self._close_message = f'no session within {self._setup_time:g} s of the data link'
        return True

    def deadline(self) -> float | None:
        """Return when `tick` has to be called, None if nothing is waited for."""
        if self.connection is not None or self._setup_since is None or not self.listens:
            return None
        return self._setup_since + self._setup_time

    def status(self) -> Status:
        """Return the present status."""
        connection = self.connection
        opened = connection is not None and connection.channel.ready
        if opened:
            state = State.OPEN
        elif self._ended and self._setup_since is not None:
            state = State.CLOSED
        elif self._listeners is not None:
            state = State.LISTENING
        else:
            state = State.DOWN
        channel = connection.channel if connection is not None and opened else None
        return Status(
            state=state,
            connection_id=self.connection_id,
            setup_since=self._setup_since,
            peer=self._peer if connection is not None else None,
            security=channel.security if channel else Security.NONE,
            cipher_suite=channel.cipher_suite if channel else '',
            vehicle_certificate_digest=channel.vehicle_certificate_digest if channel else b'',
            close_reason=self._close_reason,
            close_message=self._close_message,
            data_link=self._data_link,
            rejected_connections=self.rejected_connections,
            dropped_datagrams=self.dropped_datagrams,
        )

    def _check_setup_time(self, now: float) -> bool:
        """Give the data link up once the setup time is over; tell whether that happened now."""
        due = self.deadline()
        if due is None or now < due:
            return False
        self._data_link = DataLink.ERROR
        return True
