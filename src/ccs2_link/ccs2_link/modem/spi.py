"""The SPI bus and the interrupt line of a modem, as Linux gives them to user space."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from ccs2_link.modem.contract import ModemError
from ccs2_link.modem.qca7000_protocol import MAX_TRANSFER

SPI_MODE = 3
_BUFFER_SIZE = Path('/sys/module/spidev/parameters/bufsiz')
MIN_SPEED, MAX_SPEED = 1_000_000, 16_000_000


class SpiDevice(Protocol):
    """What is used of `spidev.SpiDev`."""

    mode: int
    max_speed_hz: int

    def open(self, bus: int, device: int) -> None:
        """Open /dev/spidev<bus>.<device>."""

    def xfer2(self, values: Sequence[int]) -> Sequence[int]:
        """Exchange octets in one chip select frame."""

    def close(self) -> None:
        """Close the device."""


def load_spidev() -> SpiDevice:
    """Return a device of the spidev library; raise ModemError if that is not installed."""
    try:
        device: SpiDevice = importlib.import_module('spidev').SpiDev()
    except ImportError:
        raise ModemError('the Python package spidev is not installed') from None
    return device


def _kernel_buffer() -> int | None:
    """Return how many octets the kernel's spidev transfers at once, None if it does not say."""
    with contextlib.suppress(OSError, ValueError):
        return int(_BUFFER_SIZE.read_text())
    return None


class SpidevBus:
    """An SpiBus on /dev/spidev<bus>.<device>."""

    def __init__(
        self, bus: int, device: int, speed: int, make: Callable[[], SpiDevice] = load_spidev
    ) -> None:
        """Name the device; `speed` [Hz] is 1 MHz to 16 MHz."""
        if not MIN_SPEED <= speed <= MAX_SPEED:
            raise ValueError(f'SPI speed of {speed} Hz, allowed is {MIN_SPEED} to {MAX_SPEED} Hz')
        self._name = f'/dev/spidev{bus}.{device}'
        self._address = bus, device
        self._speed = speed
        self._make = make
        self._device: SpiDevice | None = None

    def open(self) -> None:
        """Open the device; raise ModemError with its name and the reason."""
        size = _kernel_buffer()
        if size is not None and size < MAX_TRANSFER:
            raise ModemError(f'spidev.bufsiz is {size}, a transfer has up to {MAX_TRANSFER} octets')
        device = self._make()
        try:
            device.open(*self._address)
            device.mode = SPI_MODE
            device.max_speed_hz = self._speed
        except OSError as error:
            device.close()
            raise ModemError(f'{self._name}: {error.strerror or error}') from None
        self._device = device

    def transfer(self, octets: bytes) -> bytes:
        """Exchange octets in one chip select frame; raise OSError if the kernel could not."""
        if self._device is None:
            raise ModemError(f'{self._name} is not open')
        return bytes(self._device.xfer2(octets))

    def close(self) -> None:
        """Close the device; harmless if it is not open."""
        device, self._device = self._device, None
        if device is not None:
            device.close()


class InterruptLine(Protocol):
    """A line whose rising edges make a file descriptor readable."""

    def fileno(self) -> int:
        """Return the descriptor to wait on."""

    def clear(self) -> None:
        """Take the edges that have come."""

    def close(self) -> None:
        """Give the line back."""


class GpioInterrupt:
    """A rising edge on a GPIO line, by libgpiod."""

    def __init__(self, chip: str, line: int) -> None:
        """Take the line, e.g. ('/dev/gpiochip0', 25); raise ModemError if it is not to be had."""
        try:
            gpiod: Any = importlib.import_module('gpiod')
        except ImportError:
            raise ModemError('the Python package gpiod is not installed') from None
        settings = gpiod.LineSettings(
            direction=gpiod.line.Direction.INPUT, edge_detection=gpiod.line.Edge.RISING
        )
        try:
            self._request = gpiod.request_lines(
                chip, consumer='ccs2 plc_link', config={line: settings}
            )
        except (OSError, ValueError) as error:
            raise ModemError(f'{chip} line {line}: {error}') from None

    def fileno(self) -> int:
        """Return the descriptor that edges make readable."""
        return int(self._request.fd)

    def clear(self) -> None:
        """Take the edges that have come."""
        self._request.read_edge_events()

    def close(self) -> None:
        """Give the line back."""
        self._request.release()
