"""CM_AMP_MAP: either station asks the other to lower the amplitude of some carriers."""

from __future__ import annotations

import math
from collections.abc import Callable

from ccs2_link.homeplug.frame import LOCAL_MODEM, Frame
from ccs2_link.homeplug.layout import Message
from ccs2_link.homeplug.messages import CmAmpMapCnf, CmAmpMapReq
from ccs2_link.slac.timing import C_EV_MATCH_RETRY, TP_MATCH_RESPONSE, TT_MATCH_RESPONSE

APPLIED, REFUSED = 0, 1


class AmpMapExchange:
    """Both sides of the exchange between two matched stations.

    A peer's map is handed to the own modem, and the peer is told what the modem said: "applied"
    is never claimed for it. Without an answer of the modem in time it is "refused".
    """

    def __init__(self, send: Callable[[bytes, Message], None]) -> None:
        """Send messages through `send(destination, message)`."""
        self._send = send
        self.close()

    def close(self) -> None:
        """Forget the peer."""
        self._peer = b''
        self._asked_due = math.inf
        self._map: CmAmpMapReq | None = None
        self._attempts = 0
        self._map_due = math.inf

    def open(self, now: float, peer: bytes, own: CmAmpMapReq | None) -> None:
        """Start with a matched peer; send it our map, if there is one."""
        self.close()
        self._peer, self._map = peer, own
        if own is not None:
            self._try_map(now)

    def receive(self, now: float, frame: Frame, modem: bytes | None) -> bool:
        """Take a message of the peer or of the own modem; return False if it is neither's."""
        message = frame.message
        if isinstance(message, CmAmpMapReq) and self._peer and frame.source == self._peer:
            if self._asked_due == math.inf:
                self._asked_due = now + TP_MATCH_RESPONSE
                self._send(LOCAL_MODEM, message)
            return True
        if isinstance(message, CmAmpMapCnf):
            if frame.source == modem and self._asked_due < math.inf:
                self._answer(message.result)
                return True
            if self._peer and frame.source == self._peer and self._map_due < math.inf:
                self._map_due = math.inf
                return True
        return False

    def tick(self, now: float) -> None:
        """Answer for a silent modem, repeat to a silent peer."""
        if now >= self._asked_due:
            self._answer(REFUSED)
        if now >= self._map_due:
            if self._attempts <= C_EV_MATCH_RETRY:
                self._try_map(now)
            else:
                self._map_due = math.inf

    def deadline(self) -> float:
        """Return when `tick` is due, infinity if never."""
        return min(self._asked_due, self._map_due)

    def _answer(self, result: int) -> None:
        self._asked_due = math.inf
        self._send(self._peer, CmAmpMapCnf(result=result))

    def _try_map(self, now: float) -> None:
        if self._map is not None:
            self._attempts += 1
            self._map_due = now + TT_MATCH_RESPONSE
            self._send(self._peer, self._map)
