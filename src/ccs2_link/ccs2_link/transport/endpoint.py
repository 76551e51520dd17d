"""Who may connect, and when: data link, setup time, SDP answers and the one active connection.

The station answers SDP and accepts connections only while the data link is up, no connection is
active, and the communication setup time (18 s from data link up, ISO 15118-2
V2G_SECC_CommunicationSetup_Performance_Time) runs. A few connections may wait with their first
request: it makes the first of them that completes it the active one, and the others are given up,
so that nobody shuts the vehicle out by connecting alone. A connection that ends without the session
having decided what follows, or with KEEP, may be followed by another one within the setup time;
when that passes without one, the data link is reported as in error.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from ccs2_link.transport import sdp
from ccs2_link.transport.channel import Channel, Security
from ccs2_link.transport.connection import CloseReason, Connection, DataLink, Limits

#: Connections that may wait with their first request at once.
MOST_PENDING = 4
#: Characters of `close_message`: the vehicle has a hand in it.
_MESSAGE_LENGTH = 256


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

    `setup_since` is the monotonic time [s] at which the data link came up, and the setup time
    began, None while it is down. Connections that wait with their first request are not shown.
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
        self._pending: dict[Connection, Peer] = {}
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
        """Forget the data link. The active connection has to be aborted before."""
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
        """Count a connection that is not taken, or given up before its first request."""
        self.rejected_connections += 1

    def connect(self, now: float, channel: Channel, peer: Peer) -> Connection:
        """Let a connection wait for its first request; only after :meth:`may_connect` agreed."""
        if self._setup_since is None or self.connection is not None:
            raise RuntimeError('connected although no connection is welcome')
        connection = Connection(
            now, channel, self._limits, self._setup_since + self._setup_time)
        self._pending[connection] = peer
        return connection

    def make_room(self) -> list[Connection]:
        """Give up a connection that waits if no further one may, and return it.

        It is the oldest of those that have sent nothing, else the oldest.
        """
        if len(self._pending) < MOST_PENDING:
            return []
        return [self._give_up(min(self._pending, key=lambda each: each.heard))]

    def begin(self, connection: Connection) -> list[Connection]:
        """Make a connection with its first request the active one; return the others, given up."""
        self._peer = self._pending.pop(connection)
        self.connection = connection
        self._number()
        self._ended = False
        self._close_reason = CloseReason.NONE
        self._close_message = ''
        return self.give_up()

    def give_up(self) -> list[Connection]:
        """Give up all connections that wait, and return them."""
        return [self._give_up(connection) for connection in list(self._pending)]

    def closed(self, now: float, connection: Connection) -> None:
        """Take note that a connection has ended that was not given up."""
        if connection is self.connection:
            self.connection = None
        else:
            del self._pending[connection]
            if not self.listens:
                return      # why, has been told: the setup time is over
            self._number()
        self._ended = True
        self._close_reason = connection.close_reason
        self._close_message = connection.close_message[:_MESSAGE_LENGTH]
        if connection.close_reason is CloseReason.LINK_LOST:
            return      # a link that is gone, or is another one by now, must not be ended again
        self._data_link = connection.data_link
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
        if self.connection is not None:
            state = State.OPEN
        elif self._ended and self._setup_since is not None:
            state = State.CLOSED
        elif self._listeners is not None:
            state = State.LISTENING
        else:
            state = State.DOWN
        channel = None if self.connection is None else self.connection.channel
        return Status(
            state=state,
            connection_id=self.connection_id,
            setup_since=self._setup_since,
            peer=None if self.connection is None else self._peer,
            security=channel.security if channel else Security.NONE,
            cipher_suite=channel.cipher_suite if channel else '',
            vehicle_certificate_digest=channel.vehicle_certificate_digest if channel else b'',
            close_reason=self._close_reason,
            close_message=self._close_message,
            data_link=self._data_link,
            rejected_connections=self.rejected_connections,
            dropped_datagrams=self.dropped_datagrams,
        )

    def _number(self) -> None:
        """Give the next number to a connection: it is active now, or has ended before it was."""
        self.connection_id = self.connection_id % (2**32 - 1) + 1

    def _give_up(self, connection: Connection) -> Connection:
        del self._pending[connection]
        self.reject_connection()
        return connection

    def _check_setup_time(self, now: float) -> bool:
        """Give the data link up once the setup time is over; tell whether that happened now."""
        due = self.deadline()
        if due is None or now < due:
            return False
        self._data_link = DataLink.ERROR
        return True
