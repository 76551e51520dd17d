"""What the firmware of a QCA7000 does with the frames of its host and of the line."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from ccs2_link.homeplug import messages as mme
from ccs2_link.homeplug import vendor
from ccs2_link.homeplug.errors import FrameError
from ccs2_link.homeplug.frame import LOCAL_MODEM, decode, encode
from ccs2_link.homeplug.layout import Message
from ccs2_sim.powerline.line import Network, PowerLine

KEY_DELAY = 0.05
"""The answer to a new key is out for this long [s] before the modem restarts with it."""
LAST_MESSAGE = 0xFF
"""With this protocol message number all recorded modems answer a new key."""
VERSION = b'SIM-QCA7005-1.1.0'
_MANAGEMENT = b'\x88\xe1'
_MULTICAST_BIT = 1


@dataclass(frozen=True, slots=True)
class FirmwareConfig:
    """`station`: measures sounds as a modem with a station's parameters does.

    `restart_time` [s] is how long a restart takes, `restarts_on_key` whether a new key causes one,
    `join_time` how long after that the network forms.
    """

    mac: bytes
    station: bool
    restart_time: float = 0.5
    restarts_on_key: bool = True
    join_time: float = 0.8


class Firmware:
    """One modem between its host and the line, on a virtual clock.

    `to_host` gets frames for the host; `on_power` False when it goes down, True when it runs.
    """

    def __init__(
        self,
        name: str,
        config: FirmwareConfig,
        line: PowerLine,
        random: Random,
        to_host: Callable[[bytes], None],
        on_power: Callable[[bool], None],
    ) -> None:
        self._name = name
        self._config = config
        self._line = line
        self._random = random
        self._to_host = to_host
        self._on_power = on_power
        self._host = b''
        self._network: Network | None = None
        self._joined = math.inf
        self._restart_due = math.inf
        self._up_due = math.inf
        self.running = True
        line.attach(name, self)

    # The host's side.

    def from_host(self, now: float, frame: bytes) -> None:
        """Take a frame of the host."""
        if not self.running:
            return
        self._host = frame[6:12]
        if frame[12:14] != _MANAGEMENT:
            if (network := self.network(now)) is not None:
                self._line.send(now, self._name, frame, network)
        elif frame[:6] in (LOCAL_MODEM, self._config.mac):
            self._command(now, frame)
        else:
            self._line.send(now, self._name, frame, None)

    def restart(self, now: float) -> None:
        """Go down and come back with the key that was set last."""
        self.running = False
        self._joined = self._restart_due = math.inf
        self._up_due = now + self._config.restart_time
        self._on_power(False)

    # The line's side.

    def hear(self, now: float, frame: bytes, network: Network | None, attenuation: float) -> None:
        """Take a frame of the line; data only of the own network."""
        if not self.running:
            return
        if network is not None and network != self.network(now):
            return
        destination = frame[:6]
        if destination[0] & _MULTICAST_BIT or destination == self._host:
            self._to_host(frame)
            if network is None:
                self._measure(frame, attenuation)

    def network(self, now: float) -> Network | None:
        """Return the network, once it has formed."""
        return self._network if self.running and now >= self._joined else None

    # Time.

    def deadline(self) -> float | None:
        """Return when `tick` is due."""
        due = min(self._restart_due, self._up_due)
        return None if due == math.inf else due

    def tick(self, now: float) -> None:
        """Do what is due."""
        if now >= self._restart_due:
            self.restart(now)
        if now >= self._up_due:
            self._up_due = math.inf
            self.running = True
            self._joined = now + self._config.join_time
            self._on_power(True)

    # How it works.

    def _command(self, now: float, frame: bytes) -> None:
        try:
            message = decode(frame).message
        except FrameError:
            return
        if isinstance(message, mme.CmSetKeyReq):
            self._network = (message.nid, message.new_key)
            self._joined = now + self._config.join_time
            nonce = self._random.randbytes(4)
            self._answer(mme.CmSetKeyCnf(
                result=1, my_nonce=nonce, your_nonce=message.my_nonce,
                protocol_message=LAST_MESSAGE))
            if self._config.restarts_on_key:
                self._joined = math.inf
                self._restart_due = now + KEY_DELAY
        elif isinstance(message, mme.CmAmpMapReq):
            self._answer(mme.CmAmpMapCnf(result=0))
        elif isinstance(message, vendor.VsSwVerReq):
            self._answer(
                vendor.VsSwVerCnf(status=0, device_id=0x22, length=len(VERSION), data=VERSION)
            )
        elif isinstance(message, vendor.VsPlLinkStatusReq):
            up = self._line.linked(now, self._name)
            self._answer(vendor.VsPlLinkStatusCnf(status=0, link_status=int(up)))
        elif isinstance(message, vendor.VsRsDevReq):
            self._answer(vendor.VsRsDevCnf(status=0))
            self._restart_due = now

    def _measure(self, frame: bytes, attenuation: float) -> None:
        """Tell a station's host how strongly a sound was heard, group by group."""
        if not self._config.station:
            return
        try:
            heard = decode(frame)
        except FrameError:
            return
        if isinstance(heard.message, mme.CmMnbcSoundInd):
            groups = bytes(
                min(255, max(0, round(attenuation + 3 * math.sin(group / 5)
                                      + self._random.uniform(-1, 1))))
                for group in range(mme.GROUPS)
            )
            profile = mme.CmAttenProfileInd(pev_mac=heard.source, groups=groups)
            self._to_host(encode(mme.BROADCAST, self._config.mac, profile))

    def _answer(self, message: Message) -> None:
        self._to_host(encode(self._host, self._config.mac, message))
