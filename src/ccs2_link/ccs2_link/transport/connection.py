"""One connection with a vehicle: octets, responses and time in, commands and deadlines out.

The protocol is strictly request and response. The connection counts requests from 1 and hands on
the next only when the one before has been answered. Every wait has an absolute deadline, which no
octet from the vehicle puts off:

=============  ==========================================  ==================================
phase          waits for                                   at most
=============  ==========================================  ==================================
HANDSHAKE      end of the TLS handshake                    `Limits.handshake_time`, setup time
WAITING        a complete request                          `receive_timeout` of the response
                                                           before (first: setup time), and
                                                           `Limits.message_time` from its
                                                           first octet
ANSWERING      the session's response                      `Limits.answer_time`
ENDING         the vehicle to close                        `close_delay` of the last response
FINISHING      the vehicle's FIN after the station's       `Limits.fin_time`
=============  ==========================================  ==================================

In all phases the vehicle must take what is sent to it within `Limits.write_time`.

How the octets were split on their way changes nothing: every request before the place where the
stream cannot be followed any more is answered, then the connection ends.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, IntEnum, auto

from ccs2_link.transport.channel import Channel, ChannelError
from ccs2_link.transport.v2gtp import LARGEST_PAYLOAD, Framer, FramingError, Message, encode


class Phase(Enum):
    """See the table above."""

    HANDSHAKE = auto()
    WAITING = auto()
    ANSWERING = auto()
    ENDING = auto()
    FINISHING = auto()
    CLOSED = auto()


class CloseReason(IntEnum):
    """Why a connection has ended; numbers of V2GConnection.CLOSE_*."""

    NONE = 0
    BY_STATION = 1
    BY_VEHICLE = 2
    RESET = 3
    TIMEOUT = 4
    FRAMING = 5
    TLS = 6
    LINK_LOST = 7
    SHUTDOWN = 8


class DataLink(IntEnum):
    """What an end means for the data link; numbers of V2GConnection.DATA_LINK_*."""

    KEEP = 0
    TERMINATE = 1
    PAUSE = 2
    ERROR = 3


class Action(IntEnum):
    """What a response asks for; numbers of V2GResponse.ACTION_*."""

    SEND = 0
    SEND_THEN_CLOSE = 1
    CLOSE = 2
    IGNORE = 3


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one connection; times in s, sizes in octets."""

    message_size: int = LARGEST_PAYLOAD
    pipelined_requests: int = 4
    handshake_time: float = 10.0
    message_time: float = 5.0
    answer_time: float = 10.0
    write_time: float = 5.0
    fin_time: float = 3.0
    minimum_response_time: float = 0.0


@dataclass(frozen=True, slots=True)
class Response:
    """What the session wants done; raises ValueError if it contradicts itself.

    Fields as in V2GResponse; times in s.
    """

    sequence: int
    action: Action
    payload_type: int = 0
    payload: bytes = field(default=b'', repr=False)
    receive_timeout: float = 0.0
    close_delay: float = 0.0
    data_link: DataLink = DataLink.KEEP

    def __post_init__(self) -> None:
        if self.action is Action.CLOSE:
            if self.payload:
                raise ValueError('response closes at once but carries data')
            return
        if self.sequence == 0:
            raise ValueError('response carries data but no sequence number')
        if self.action is Action.IGNORE:
            if self.payload:
                raise ValueError('response ignores its request but carries data')
        elif not 0 < len(self.payload) <= LARGEST_PAYLOAD:
            raise ValueError(f'response has {len(self.payload)} octets, not 1 .. {LARGEST_PAYLOAD}')
        if self.action in (Action.SEND, Action.IGNORE) and not 0 < self.receive_timeout < math.inf:
            raise ValueError(f'receive_timeout is {self.receive_timeout} s, must be above 0')
        if self.action is Action.SEND_THEN_CLOSE and not 0 <= self.close_delay < math.inf:
            raise ValueError(f'close_delay is {self.close_delay} s, must be 0 or above')


@dataclass(frozen=True, slots=True)
class Write:
    """Send these octets in one piece."""

    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Finish:
    """Send FIN; go on receiving."""


@dataclass(frozen=True, slots=True)
class Close:
    """Close the socket at once; the connection has ended."""


@dataclass(frozen=True, slots=True)
class Deliver:
    """Hand this request to the session."""

    sequence: int
    payload_type: int
    payload: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Work:
    """Run this elsewhere, for it may take long; then call :meth:`Connection.received`, empty."""

    run: Callable[[], None] = field(repr=False)


Output = Write | Finish | Close | Deliver | Work


class Connection:
    """One connection, from accept to close. `now` is monotonic time [s] and never goes back.

    `setup_deadline` is when the communication setup time ends: the first request has to be
    complete by then (ISO 15118-2 V2G_SECC_CommunicationSetup_Performance_Time).
    """

    def __init__(
        self, now: float, channel: Channel, limits: Limits, setup_deadline: float,
    ) -> None:
        self.channel = channel
        self.phase = Phase.HANDSHAKE
        self.close_reason = CloseReason.NONE
        self.close_message = ''
        self.data_link = DataLink.KEEP
        self.ignored_responses = 0
        #: The vehicle has sent something.
        self.heard = False
        self._limits = limits
        self._setup_deadline = setup_deadline
        self._deadline = min(setup_deadline, now + limits.handshake_time)
        self._framer = Framer(limits.message_size)
        self._requests: deque[Message] = deque()
        #: Why nothing can be read after the queued requests, '' if it can.
        self._broken = ''
        self._sequence = 0
        self._delivered_at = now
        self._message_since: float | None = None
        self._blocked_since: float | None = None
        self._held: tuple[float, Response] | None = None
        self._open()

    @property
    def ignored_messages(self) -> int:
        """Messages from the vehicle that were ignored because of their header."""
        return self._framer.ignored

    def received(self, now: float, data: bytes) -> list[Output]:
        """Take octets from the vehicle; none: its channel can go on."""
        if self.phase in (Phase.ENDING, Phase.FINISHING, Phase.CLOSED):
            return []
        self.heard = self.heard or bool(data)
        try:
            plaintext = self.channel.receive(data)
        except ChannelError as error:
            return self._channel_failed(now, str(error))
        outputs = self._flush()
        if (work := self.channel.work()) is not None:
            outputs.append(Work(work))
        self._open()
        if plaintext and not self._broken:
            self._framer.feed(plaintext)
            outputs += self._collect(now)
        if self.channel.peer_closed:
            outputs += self._peer_closed()
        return outputs

    def peer_finished(self, now: float) -> list[Output]:
        """Take the vehicle's FIN."""
        truncated = self.channel.truncation()
        return self._close(CloseReason.TLS, truncated) if truncated else self._peer_closed()

    def lost(self, now: float, why: str) -> list[Output]:
        """Take the news that the connection was reset or has failed."""
        return self._close(CloseReason.RESET, why)

    def abort(self, now: float, reason: CloseReason, why: str) -> list[Output]:
        """End the connection at once for a reason from outside."""
        return self._close(reason, why)

    def respond(self, now: float, response: Response) -> list[Output]:
        """Do what the session asks; a response that answers nothing is counted and ignored."""
        answers = self.phase is Phase.ANSWERING and response.sequence == self._sequence
        closes = (self.phase in (Phase.WAITING, Phase.ANSWERING)
                  and response.action is Action.CLOSE and response.sequence == 0)
        if not ((answers and self._held is None) or closes):
            self.ignored_responses += 1
            return []
        self.data_link = response.data_link
        if response.action is Action.CLOSE:
            return self._close(CloseReason.BY_STATION, 'closed by the session')
        if response.action is Action.IGNORE:
            return self._wait(now, response)
        due = self._delivered_at + self._limits.minimum_response_time
        if now < due:
            self._held = (due, response)
            return []
        return self._send(now, response)

    def blocked(self, now: float, blocked: bool) -> list[Output]:
        """Take the news that the vehicle does not (or again does) take what is sent to it."""
        if not blocked:
            self._blocked_since = None
        elif self._blocked_since is None:
            self._blocked_since = now
        return []

    def tick(self, now: float) -> list[Output]:
        """Do what is due; call it at :meth:`deadline`."""
        outputs: list[Output] = []
        if self._held is not None and now >= self._held[0]:
            _, response = self._held
            self._held = None
            outputs += self._send(now, response)
        due = self.deadline()
        if due is None or now < due:
            return outputs
        return outputs + self._expire(now)

    def deadline(self) -> float | None:
        """Return when `tick` has to be called next, None when the connection has ended."""
        if self.phase is Phase.CLOSED:
            return None
        times = [self._deadline]
        if self._held is not None:
            times.append(self._held[0])
        if self.phase is Phase.WAITING and self._message_since is not None:
            times.append(self._message_since + self._limits.message_time)
        if self._blocked_since is not None:
            times.append(self._blocked_since + self._limits.write_time)
        return min(times)

    def _open(self) -> None:
        """Wait for the first request once the channel carries it."""
        if self.phase is Phase.HANDSHAKE and self.channel.ready:
            self.phase = Phase.WAITING
            self._deadline = self._setup_deadline

    def _collect(self, now: float) -> list[Output]:
        """Take what has become complete; note since when the next message is coming."""
        outputs: list[Output] = []
        try:
            while (message := self._framer.next()) is not None:
                self._message_since = None
                self._requests.append(message)
                outputs += self._proceed(now)
                if len(self._requests) > self._limits.pipelined_requests:
                    return [*outputs, *self._close(CloseReason.FRAMING, (
                        f'more than {self._limits.pipelined_requests} requests without an answer'))]
        except FramingError as error:
            self._broken = str(error)
            return outputs + self._proceed(now)
        if not self._framer.partial:
            self._message_since = None
        elif self._message_since is None:
            self._message_since = now
        return outputs

    def _proceed(self, now: float) -> list[Output]:
        """Hand the next request on if it is its turn; end where there can be no next one."""
        if self.phase is not Phase.WAITING:
            return []
        if self._requests:
            message = self._requests.popleft()
            self.phase = Phase.ANSWERING
            self._sequence += 1
            self._delivered_at = now
            self._deadline = now + self._limits.answer_time
            return [Deliver(self._sequence, message.payload_type, message.payload)]
        return self._close(CloseReason.FRAMING, self._broken) if self._broken else []

    def _send(self, now: float, response: Response) -> list[Output]:
        try:
            self.channel.send(encode(response.payload_type, response.payload))
        except ChannelError as error:
            return self._channel_failed(now, str(error))
        outputs = self._flush()
        if response.action is Action.SEND:
            return outputs + self._wait(now, response)
        self.phase = Phase.ENDING
        self.close_reason = CloseReason.BY_STATION
        self.close_message = 'closed by the session'
        self._deadline = now + response.close_delay
        return outputs

    def _wait(self, now: float, response: Response) -> list[Output]:
        self.phase = Phase.WAITING
        self._deadline = now + response.receive_timeout
        return self._proceed(now)

    def _expire(self, now: float) -> list[Output]:
        """End, or go a step nearer to the end, because a deadline has passed."""
        if (self._blocked_since is not None
                and now >= self._blocked_since + self._limits.write_time):
            return self._close(CloseReason.TIMEOUT, 'vehicle does not take what is sent to it')
        if self.phase is Phase.ENDING:
            return self._finish(now)
        why = {
            Phase.HANDSHAKE: 'TLS handshake took too long',
            Phase.WAITING: 'no complete request in time',
            Phase.ANSWERING: 'session gave no response in time',
            Phase.FINISHING: self.close_message,
        }[self.phase]
        return self._close(CloseReason.TIMEOUT, why)

    def _finish(self, now: float) -> list[Output]:
        self.phase = Phase.FINISHING
        self._deadline = now + self._limits.fin_time
        self.channel.close()
        return [*self._flush(), Finish()]

    def _channel_failed(self, now: float, why: str) -> list[Output]:
        """End because TLS failed; before a session, wait so that the alert reaches the vehicle."""
        if self.phase is not Phase.HANDSHAKE:
            return [*self._flush(), *self._close(CloseReason.TLS, why)]
        self.close_reason = CloseReason.TLS
        self.close_message = why
        return self._finish(now)

    def _peer_closed(self) -> list[Output]:
        return self._close(CloseReason.BY_VEHICLE, 'vehicle closed the connection')

    def _close(self, reason: CloseReason, why: str) -> list[Output]:
        """Close now; the first reason stands."""
        if self.phase is Phase.CLOSED:
            return []
        if self.close_reason is CloseReason.NONE:
            self.close_reason = reason
            self.close_message = why
        outputs: list[Output] = []
        if self.phase in (Phase.WAITING, Phase.ANSWERING):
            self.channel.close()
            outputs += self._flush()
        self.phase = Phase.CLOSED
        self._held = None
        self._requests.clear()
        return [*outputs, Close()]

    def _flush(self) -> list[Output]:
        data = self.channel.outgoing()
        return [Write(data)] if data else []
