"""What the SLAC cores of station and car have in common: frames in, frames out, and the modem."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable

from ccs2_link.homeplug.errors import FrameError
from ccs2_link.homeplug.frame import Frame, decode, encode
from ccs2_link.homeplug.layout import Message
from ccs2_link.homeplug.messages import BROADCAST
from ccs2_link.slac.amp_map import AmpMapExchange
from ccs2_link.slac.contract import (
    Changed,
    LinkState,
    Output,
    Pilot,
    PilotWish,
    ResetModem,
    Send,
)
from ccs2_link.slac.local_modem import LocalModem


class SlacCore(ABC):
    """Base of EvseSlac and EvSlac."""

    def __init__(self, mac: bytes, random: Callable[[int], bytes]) -> None:
        self._mac = mac
        self._counters: Counter[str] = Counter()
        self._local = LocalModem(self._send, self._counters, random)
        self._amp_map = AmpMapExchange(self._send)
        self._message = 'modem is not ready'
        self._wish = PilotWish()
        self._shown = (LinkState.UNAVAILABLE, self._message, self._wish)
        self._pilot = Pilot()
        self._matches = 0
        self._failures = 0
        self._out: list[Output] = []

    def receive(self, now: float, frame: bytes) -> list[Output]:
        """Take one management frame; whatever is not expected now is counted and dropped."""
        try:
            parsed = decode(frame)
        except FrameError as error:
            self._counters[f'frames dropped, {error.reason}'] += 1
            return []
        if parsed.destination not in (self._mac, BROADCAST) or parsed.source == self._mac:
            self._counters['frames dropped, not for us'] += 1
            return []
        taken = (
            self._handle(now, parsed)
            or self._local.receive(now, parsed)
            or self._amp_map.receive(now, parsed, self._local.mac)
        )
        self._counters['frames used' if taken else 'frames dropped, unexpected'] += 1
        self._follow(now)
        return self._flush()

    def reset(self, now: float, reason: str) -> list[Output]:
        """Restart the modem and start again unmatched."""
        self._restart_modem(reason)
        return self._flush()

    @abstractmethod
    def _handle(self, now: float, frame: Frame) -> bool:
        """Take a message of the other side; return False if it is not expected now."""

    @abstractmethod
    def _follow(self, now: float) -> None:
        """Go on where the modem has got to a point that is waited for."""

    @abstractmethod
    def _restart_modem(self, reason: str) -> None:
        """Drop everything and wait for the modem to come back."""

    @abstractmethod
    def _state(self) -> LinkState:
        """Return the state that is shown."""

    def _order_restart(self, reason: str) -> None:
        self._local.forget_key()
        self._out.append(ResetModem(reason))

    def _send(self, destination: bytes, message: Message) -> None:
        self._out.append(Send(encode(destination, self._mac, message)))

    def _flush(self) -> list[Output]:
        """Return what has come out, the status last if it is another than before."""
        state = self._state()
        shown = (state, self._message, self._wish)
        if shown != self._shown:
            self._shown = shown
            self._out.append(Changed(state, self._message))
        out, self._out = self._out, []
        return out
