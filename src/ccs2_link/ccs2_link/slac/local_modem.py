"""The part of SLAC that a host plays with its own modem: key, version, link status."""

from __future__ import annotations

import enum
import math
import secrets
from collections import Counter
from collections.abc import Callable

from ccs2_link.homeplug.frame import LOCAL_MODEM, Frame
from ccs2_link.homeplug.keys import Nmk, nid_of
from ccs2_link.homeplug.layout import Message
from ccs2_link.homeplug.messages import CmSetKeyCnf, CmSetKeyReq
from ccs2_link.homeplug.vendor import (
    VsHostActionInd,
    VsPlLinkStatusCnf,
    VsPlLinkStatusReq,
    VsSwVerCnf,
    VsSwVerReq,
)
from ccs2_link.slac.timing import T_KEY_SETTLE, TT_SET_KEY

KEY_ATTEMPTS = 5
LOST_ANSWERS = 2
"""So many polls in a row that say "no link" mean that the link is lost."""
LINK_SILENCE = 1.0
"""A modem that does not answer polls for this long [s] has lost its link."""
PROBE_PERIOD = 10.0
"""A modem whose link is not watched is asked for its version so often [s]."""
PROBES = 3
"""So many questions in a row without an answer mean that the modem hangs."""
_LINK_UP = 1


class Key(enum.Enum):
    """What the modem made of the key."""

    NONE = enum.auto()
    PENDING = enum.auto()
    SET = enum.auto()
    REFUSED = enum.auto()
    """No answer to any of the attempts."""


class LocalModem:
    """Sets the key, learns the modem's address and version, watches the link and the modem itself.

    A modem is known by its answer to a CM_SET_KEY.REQ: that request goes to an address which is
    not sent on the line, and the answer repeats its random nonce. All else is believed only from
    that address. The modem's restart after a new key is expected once and keeps the key.
    """

    def __init__(
        self,
        send: Callable[[bytes, Message], None],
        counters: Counter[str],
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        """Send messages through `send(destination, message)`; count the modem's answers."""
        self.key = Key.NONE
        self.mac: bytes | None = None
        self.version = ''
        self.link_up = False
        self.link_lost = False
        self.hangs = False
        self.wants_firmware = False
        self._send = send
        self._counters = counters
        self._random = random
        self._nmk: Nmk | None = None
        self._nid = b''
        self._nonces: list[bytes] = []
        self._key_due = math.inf
        self._settled = -math.inf
        self._poll_every = math.inf
        self._poll_due = math.inf
        self._down_answers = 0
        self._heard = -math.inf
        self._probe_due = math.inf
        self._probes = 0

    def set_key(self, now: float, nmk: Nmk, nid: bytes | None = None) -> None:
        """Start to give the modem this key; `key` tells what becomes of it.

        Stations exist that do not derive the network's identifier `nid` from the key.
        """
        self._nmk = nmk
        self._nid = nid or nid_of(nmk)
        self._nonces = []
        self.key = Key.PENDING
        self._try_key(now)

    def gone(self) -> None:
        """Take the news that the modem does not work: wait for no answer of it."""
        self.stop_watching()
        self._key_due = self._probe_due = math.inf
        self.hangs = False
        if self.key is not Key.SET:
            self.key = Key.NONE

    def forget_key(self) -> None:
        """Prepare for a restart that we order: the key has to be set again after it."""
        self.gone()
        self.key = Key.NONE

    def settling(self, now: float) -> bool:
        """Tell whether a restart now would be a consequence of the key, and so would keep it.

        The first restart within the settling time is; a second one is not, nor is a later one.
        """
        return self.key is Key.SET and now < self._settled

    def settled(self, now: float) -> None:
        """Take note that the restart which the key causes has happened."""
        self._settled = -math.inf
        self._answered(now)

    def watch_link(self, now: float, every: float) -> None:
        """Poll the link status now and `every` so many seconds."""
        self._poll_every = every
        self._poll_due = now
        self._heard = now
        self._down_answers = 0
        self.link_lost = False
        self._poll(now)

    def stop_watching(self) -> None:
        """Poll no more and forget what was known of the link."""
        self._poll_every = self._poll_due = math.inf
        self.link_up = self.link_lost = False

    def receive(self, now: float, frame: Frame) -> bool:
        """Take a message of the modem; return False if it is not one of our own modem's."""
        message = frame.message
        if isinstance(message, CmSetKeyCnf):
            return self._on_set_key(now, frame.source, message)
        if isinstance(message, VsHostActionInd) and self.mac is None:
            # Only a hint for people, and only before there is a modem that it could be compared to.
            self.wants_firmware = True
            return True
        if self.mac is None or frame.source != self.mac:
            return False
        if isinstance(message, VsSwVerCnf):
            self.version = message.version
            self._answered(now)
        elif isinstance(message, VsPlLinkStatusCnf):
            self._on_link_status(now, message)
        else:
            return False
        return True

    def tick(self, now: float) -> None:
        """Repeat what was not answered and poll what is watched."""
        if now >= self._key_due:
            if len(self._nonces) < KEY_ATTEMPTS:
                self._try_key(now)
            else:
                self.key = Key.REFUSED
                self._key_due = math.inf
        if now >= self._poll_due:
            self.link_lost = self.link_lost or now - self._heard >= LINK_SILENCE
            self._poll(now)
        if now >= self._probe_due:
            self._probe(now)

    def deadline(self) -> float:
        """Return when `tick` is due, infinity if never."""
        return min(self._key_due, self._poll_due, self._probe_due)

    def _answered(self, now: float) -> None:
        self._probes = 0
        self._probe_due = now + PROBE_PERIOD

    def _probe(self, now: float) -> None:
        """Ask for the version again; who never told it may not know the question."""
        self.hangs = bool(self.version) and self._probes >= PROBES
        self._probes += 1
        self._probe_due = now + PROBE_PERIOD
        self._send(LOCAL_MODEM, VsSwVerReq())

    def _try_key(self, now: float) -> None:
        if self._nmk is None:
            raise RuntimeError('there is no key to set')
        nonce = self._random(4)
        self._nonces.append(nonce)
        self._key_due = now + TT_SET_KEY
        self._send(
            LOCAL_MODEM,
            CmSetKeyReq(my_nonce=nonce, nid=self._nid, new_key=self._nmk),
        )

    def _on_set_key(self, now: float, source: bytes, answer: CmSetKeyCnf) -> bool:
        # The answer may be late: each attempt had the same key.
        if self.key is not Key.PENDING or answer.your_nonce not in self._nonces:
            return False
        # Firmware disagrees on what the result octet means (0 or 1 for success), and stations in
        # the field go by the answer alone; that the key works is seen when the link comes up.
        self._counters[f'keys set, result {answer.result}'] += 1
        self.key = Key.SET
        self.mac = source
        self._key_due = math.inf
        self._settled = now + T_KEY_SETTLE
        self._answered(now)
        self._send(LOCAL_MODEM, VsSwVerReq())
        return True

    def _poll(self, now: float) -> None:
        self._poll_due = now + self._poll_every
        self._send(LOCAL_MODEM, VsPlLinkStatusReq())

    def _on_link_status(self, now: float, answer: VsPlLinkStatusCnf) -> None:
        if self._poll_every == math.inf:
            return
        self._heard = now
        self.link_up = answer.status == 0 and answer.link_status == _LINK_UP
        self._down_answers = 0 if self.link_up else self._down_answers + 1
        self.link_lost = self.link_lost or self._down_answers >= LOST_ANSWERS
