"""What goes into a data link core and what comes out of it, the same for every kind of link."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


class PilotState(enum.Enum):
    """Control pilot state (IEC 61851-1); UNKNOWN when it is not, or no longer, measured."""

    UNKNOWN = 0
    A = 1
    B = 2
    C = 3
    D = 4
    E = 5
    F = 6


_PLUGGED = (PilotState.B, PilotState.C, PilotState.D)


@dataclass(frozen=True, slots=True)
class Pilot:
    """The control pilot contact: `digital` is the 5 % duty that asks for communication.

    `toggles` counts the vehicle's B-C-B toggles since the plug-in.
    """

    state: PilotState = PilotState.UNKNOWN
    digital: bool = False
    toggles: int = 0

    @property
    def plugged(self) -> bool:
        """A vehicle is connected: B, C or D."""
        return self.state in _PLUGGED

    @property
    def matchable(self) -> bool:
        """A vehicle is connected and asked to communicate."""
        return self.plugged and self.digital


class DataLink(enum.Enum):
    """Requests of the upper layer to the data link (ISO 15118-3, D-LINK primitives)."""

    TERMINATE = 1
    PAUSE = 2
    ERROR = 3


class LinkState(enum.Enum):
    """What the upper layers are told (D-LINK_READY is MATCHED)."""

    UNAVAILABLE = 1
    """The modem is missing or does not answer."""
    UNMATCHED = 2
    MATCHING = 3
    MATCHED = 4
    FAILED = 5
    """Matching failed; waits for the next plug-in or retry."""


class WishKind(enum.Enum):
    """What matching asks of the pilot; the station's safety supervisor alone moves it."""

    NONE = 0
    STEP = 1
    """A step through state F, so that the vehicle starts matching anew."""
    STEADY = 2
    """No 5 % duty any more: matching with this vehicle is given up."""


@dataclass(frozen=True, slots=True)
class PilotWish:
    """A wish that stands; each step that is wished for has a number of its own."""

    kind: WishKind = WishKind.NONE
    number: int = 0


@dataclass(frozen=True, slots=True)
class LinkStatus:
    """Everything that is shown of the link; never the key. Attenuations in dB."""

    state: LinkState
    message: str
    pilot_wish: PilotWish = PilotWish()
    peer_mac: bytes | None = None
    run_id: bytes | None = None
    nid: bytes | None = None
    attenuation: float | None = None
    attenuation_profile: tuple[int, ...] = ()
    modem: str = ''
    modem_mac: bytes | None = None
    matches: int = 0
    failures: int = 0
    counters: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Send:
    """Send a frame to the modem. Its octets may hold a key: they are not for showing."""

    frame: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class ResetModem:
    """Restart the modem, for this reason."""

    reason: str


@dataclass(frozen=True, slots=True)
class Changed:
    """The link's status changed in a way that is worth telling at once."""

    state: LinkState
    message: str


@dataclass(frozen=True, slots=True)
class SwitchReady:
    """Only from a car: switch S2. True is pilot state C, False is B (a BCB toggle has both)."""

    ready: bool


Output = Send | ResetModem | Changed | SwitchReady


class LinkCore(Protocol):
    """A data link without sockets or clocks; `now` is monotonic time [s] and never goes back."""

    def modem(self, now: float, ready: bool) -> list[Output]:
        """Take the news that the modem (or the interface) has come up or gone."""

    def pilot(self, now: float, pilot: Pilot) -> list[Output]:
        """Take a measurement of the control pilot."""

    def data_link(self, now: float, request: DataLink) -> list[Output]:
        """Do what the upper layer asks of the link."""

    def receive(self, now: float, frame: bytes) -> list[Output]:
        """Take one management frame."""

    def tick(self, now: float) -> list[Output]:
        """Do what is due; call it at `deadline()` or at any other time."""

    def reset(self, now: float, reason: str) -> list[Output]:
        """Restart the modem and start again unmatched."""

    def deadline(self) -> float | None:
        """Return when `tick` has to be called, None if nothing is waited for."""

    def status(self) -> LinkStatus:
        """Return the present status."""
