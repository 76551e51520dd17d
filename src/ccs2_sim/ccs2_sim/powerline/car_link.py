"""A car's side of the charging cable: its modem on the virtual line, and SLAC as a car does it."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from ccs2_link.link_runner import LinkRunner
from ccs2_link.modem import interface_info
from ccs2_link.modem.contract import Modem
from ccs2_link.modem.tap import Tap
from ccs2_link.slac.contract import DataLink, LinkStatus, Pilot, PilotState
from ccs2_link.slac.ev import EvConfig, EvSlac
from ccs2_sim.powerline.spi import make_modem


class CarLink:
    """The data link of a virtual car.

    `on_change` gets the status whenever it changes, `on_switch` what SLAC wants of S2 (BCB
    toggles), `on_failure` what ended the link for good.
    """

    def __init__(
        self,
        line: str,
        *,
        interface: str = 'lo',
        mac: bytes | None = None,
        config: EvConfig | None = None,
        on_change: Callable[[LinkStatus], None],
        on_switch: Callable[[bool], None],
        on_failure: Callable[[Exception], None],
    ) -> None:
        """Name the line's socket of this car's modem, and the interface for IPv6.

        An interface that does not exist is made as a TAP; one that exists is beside the line.
        """
        address = mac or b'\x02' + secrets.token_bytes(5)
        kernel = None if interface_info.index_of(interface) else Tap(interface, address)
        self.modem: Modem = make_modem(line, address, interface, kernel)
        self._config = config
        self._pilot = Pilot()
        self._on_change = on_change
        self._runner = LinkRunner(
            self.modem,
            on_change=lambda: self._on_change(self._runner.status),
            on_reset=lambda reason: None,
            on_failure=on_failure,
            on_switch=on_switch,
        )

    async def open(self) -> None:
        """Open the modem; raise ModemError if the interface cannot be made."""
        await self._runner.open(lambda mac: EvSlac(mac, self._config))

    async def close(self) -> None:
        """Leave the network and give the modem back."""
        await self._runner.close()

    def pilot(self, state: str, digital: bool) -> None:
        """Tell what the car measures on the pilot: its own state A to F, and 5 % duty or not."""
        pilot = Pilot(PilotState[state], digital)
        if pilot != self._pilot:
            self._pilot = pilot
            self._runner.pilot(pilot)

    def pause(self) -> None:
        """Let the link sleep; it comes back when the pilot is digital again."""
        self._runner.data_link(DataLink.PAUSE)
        self.pilot('B', digital=False)

    @property
    def status(self) -> LinkStatus:
        """The present status."""
        return self._runner.status
