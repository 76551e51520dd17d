"""One modem and one link core, kept going on an event loop; for the station's node and for cars."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from ccs2_link.modem.contract import Modem
from ccs2_link.slac.contract import (
    Changed,
    DataLink,
    LinkCore,
    LinkState,
    LinkStatus,
    Output,
    Pilot,
    ResetModem,
    Send,
    SwitchReady,
)


class LinkRunner:
    """Carries frames, timers and orders between a Modem and its LinkCore.

    `on_change` is called when the status has changed, `on_reset` with the reason when the modem
    is restarted, `on_switch` with what a car's core wants of S2, `on_failure` with what ends it.
    """

    def __init__(
        self,
        modem: Modem,
        *,
        on_change: Callable[[], None],
        on_reset: Callable[[str], None],
        on_failure: Callable[[Exception], None],
        on_switch: Callable[[bool], None] | None = None,
    ) -> None:
        self._modem = modem
        self._core: LinkCore | None = None
        self._on_change = on_change
        self._on_reset = on_reset
        self._on_failure = on_failure
        self._on_switch = on_switch
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    async def open(self, make_core: Callable[[bytes], LinkCore]) -> None:
        """Open the modem and make the core for its address; raise ModemError if it is missing."""
        await self._modem.open()
        try:
            core = self._core = make_core(self._modem.mac)
        except Exception:
            await self._modem.close()
            raise
        self._modem.on_frame = lambda frame: self._feed(lambda now: core.receive(now, frame))
        self._modem.on_ready = lambda ready: self._feed(lambda now: core.modem(now, ready))
        self._modem.on_failure = self._on_failure

    async def close(self) -> None:
        """Leave the network and give the modem back."""
        if self._core is not None:
            self.data_link(DataLink.TERMINATE)
            self._core = None
            self._modem.set_link(False)
        if self._timer is not None:
            self._timer.cancel()
        await self._modem.close()

    @property
    def status(self) -> LinkStatus:
        """The core's status; only between `open` and `close`."""
        return self._need().status()

    def pilot(self, pilot: Pilot) -> None:
        """Tell the core of the control pilot."""
        self._feed(lambda now: self._need().pilot(now, pilot))

    def data_link(self, request: DataLink) -> None:
        """Tell the core what the upper layer wants."""
        self._feed(lambda now: self._need().data_link(now, request))

    def reset(self, reason: str) -> None:
        """Have the modem restarted."""
        self._feed(lambda now: self._need().reset(now, reason))

    def _need(self) -> LinkCore:
        if self._core is None:
            raise RuntimeError('the link is not open')
        return self._core

    def _feed(self, event: Callable[[float], Sequence[Output]]) -> None:
        """Let the core take an event, carry out what it says, and wake it when it is due."""
        try:
            for output in event(self._loop.time()):
                self._carry_out(output)
        except Exception as error:
            self._on_failure(error)
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = self._core.deadline() if self._core is not None else None
        if due is not None:
            self._timer = self._loop.call_at(due, self._wake)

    def _wake(self) -> None:
        self._feed(lambda now: self._need().tick(now))

    def _carry_out(self, output: Output) -> None:
        if isinstance(output, Send):
            self._modem.send(output.frame)
        elif isinstance(output, ResetModem):
            self._on_reset(output.reason)
            self._modem.reset()
        elif isinstance(output, Changed):
            self._modem.set_link(output.state is LinkState.MATCHED)
            self._on_change()
        elif isinstance(output, SwitchReady) and self._on_switch is not None:
            self._on_switch(output.ready)
