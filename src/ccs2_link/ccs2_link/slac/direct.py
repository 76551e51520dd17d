"""The link of an IP interface without a power line: it is up while the pilot says so."""

from __future__ import annotations

from ccs2_link.slac.contract import (
    Changed,
    DataLink,
    LinkState,
    LinkStatus,
    Output,
    Pilot,
    PilotWish,
    ResetModem,
    WishKind,
)


class DirectLink:
    """A LinkCore that needs no modem: matched while a vehicle is plugged in with 5 % duty on.

    For simulation and for benches where car and station share an Ethernet. After the upper layer
    ended the link it stays down until the pilot has left 5 % once, as a SLAC link would; after an
    error it wishes for a step of the pilot.
    """

    def __init__(self) -> None:
        self._ready = False
        self._pilot = Pilot()
        self._ended = False
        self._wish = PilotWish()
        self._matches = 0
        self._state = LinkState.UNAVAILABLE
        self._message = 'interface is missing'

    def modem(self, now: float, ready: bool) -> list[Output]:
        """Take the news that the interface has come up or gone."""
        self._ready = ready
        return self._update()

    def pilot(self, now: float, pilot: Pilot) -> list[Output]:
        """Follow the control pilot."""
        self._pilot = pilot
        if not pilot.matchable:
            self._ended = False
        if not pilot.plugged:
            self._wish = PilotWish(number=self._wish.number)
        return self._update()

    def data_link(self, now: float, request: DataLink) -> list[Output]:
        """Take the link down until the pilot starts anew."""
        self._ended = self._pilot.matchable
        if request is DataLink.ERROR and self._pilot.plugged:
            self._wish = PilotWish(WishKind.STEP, self._wish.number + 1)
        return self._update()

    def receive(self, now: float, frame: bytes) -> list[Output]:
        """Ignore the frame: there is no modem."""
        return []

    def tick(self, now: float) -> list[Output]:
        """Do nothing: there are no timers."""
        return []

    def reset(self, now: float, reason: str) -> list[Output]:
        """Take the link down and let the driver reopen the interface."""
        self._ready = False
        return [*self._update(), ResetModem(reason)]

    def deadline(self) -> float | None:
        """Return None: nothing is waited for."""
        return None

    def status(self) -> LinkStatus:
        """Return the present status."""
        return LinkStatus(
            self._state, self._message, pilot_wish=self._wish, matches=self._matches)

    def _update(self) -> list[Output]:
        if not self._ready:
            state, message = LinkState.UNAVAILABLE, 'interface is missing or down'
        elif self._ended:
            state, message = LinkState.UNMATCHED, 'ended; waits for the pilot to start anew'
        elif self._pilot.matchable:
            state, message = LinkState.MATCHED, 'interface is up and 5 % duty is on'
        else:
            state, message = LinkState.UNMATCHED, f'pilot in {self._pilot.state.name}, no 5 % duty'
        if (state, message) == (self._state, self._message):
            return []
        if state is LinkState.MATCHED and self._state is not LinkState.MATCHED:
            self._matches += 1
        self._state, self._message = state, message
        return [Changed(state, message)]
