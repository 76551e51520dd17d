"""The QCA7000/QCA7005 on SPI in user space, with a TAP interface for IPv6."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Mapping

from ccs2_link.modem.base import DriverBase
from ccs2_link.modem.bridge import Bridge, KernelSide
from ccs2_link.modem.contract import ModemError
from ccs2_link.modem.qca7000_device import SUPERVISION_PERIOD, Qca7000Device
from ccs2_link.modem.spi import InterruptLine, SpidevBus

POLL_WITH_INTERRUPT = 0.02
"""An edge can be lost, so the modem is looked at this often [s] even with an interrupt line."""
POLL_WHILE_WAITING = 0.002
"""Frames wait for room in the modem, which no interrupt tells of."""


class Qca7000Modem(DriverBase):
    """The Modem on an SPI bus: one event loop, the interrupt line or polling, and a TAP."""

    def __init__(
        self,
        bus: SpidevBus,
        mac: bytes,
        interface: str,
        kernel: KernelSide | None,
        *,
        poll_period: float,
        make_interrupt: Callable[[], InterruptLine] | None,
    ) -> None:
        """Name the interface that carries IPv6; `kernel` is its end, None if it is not ours.

        Without an interrupt line the modem is polled every `poll_period` seconds.
        """
        super().__init__(interface, mac)
        self._bus = bus
        self._kernel = kernel
        self._make_interrupt = make_interrupt
        self._period = POLL_WITH_INTERRUPT if make_interrupt else poll_period
        self._interrupt: InterruptLine | None = None
        self._pending = False
        self._wake = asyncio.Event()
        self._counters: Counter[str] = Counter()
        self._device = Qca7000Device(
            bus,
            lambda frame: self._bridge.from_line(frame),
            self._tell,
        )
        self._bridge = Bridge(
            mac,
            self._kernel,
            lambda frame: self.on_frame(frame),
            lambda frame: self._device.send(frame, management=False),
            lambda: self._device.busy,
            self,
        )

    async def open(self) -> None:
        """Open bus, interrupt line and TAP; a modem that is not there yet is waited for."""
        try:
            self._bus.open()
            if self._make_interrupt is not None:
                self._interrupt = self._make_interrupt()
            if self._kernel is not None:
                self._kernel.open()
        except ModemError:
            await self.close()
            raise
        if self._interrupt is not None:
            self.read_with(self._interrupt.fileno(), self._interrupted)
        self._start(self._supervise())
        self._start(self._serve())

    def send(self, frame: bytes) -> None:
        """Send a management frame, before all data."""
        self._device.send(frame, management=True)
        self._wake.set()

    def set_link(self, up: bool) -> None:
        """Switch the TAP on when matched, off when not."""
        self._bridge.set_link(up)

    def reset(self) -> None:
        """Restart the modem."""
        self._device.reset()

    def counters(self) -> Mapping[str, int]:
        """Return the counters of device and bridge."""
        return {**self._counters, **self._device.counters(), **self._bridge.counters()}

    async def close(self) -> None:
        """Stop, remove the TAP, close the bus."""
        await self._stop()
        self._bridge.close()
        interrupt, self._interrupt = self._interrupt, None
        if interrupt is not None:
            interrupt.close()
        if self._kernel is not None:
            self._kernel.close()
        self._bus.close()

    def _interrupted(self) -> None:
        if self._interrupt is not None:
            self._interrupt.clear()
            self._pending = True
            self._wake.set()

    async def _supervise(self) -> None:
        while True:
            self._device.supervise()
            self._bridge.check()
            await asyncio.sleep(SUPERVISION_PERIOD)

    async def _serve(self) -> None:
        while True:
            period = POLL_WHILE_WAITING if self._device.waiting else self._period
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(period):
                    await self._wake.wait()
            self._wake.clear()
            interrupted, self._pending = self._pending, False
            if not self._device.service() and interrupted:
                self._counters['interrupts without cause'] += 1
            self._bridge.resume()
