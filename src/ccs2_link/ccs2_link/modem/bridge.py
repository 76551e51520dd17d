"""What passes between the line, SLAC and the kernel: management and IPv6 frames, nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Protocol

from ccs2_link.modem.contract import ModemError

_MANAGEMENT = b'\x88\xe1'
_IPV6 = b'\x86\xdd'
_HEADER = 14
_BATCH = 16


class KernelSide(Protocol):
    """The kernel's end of an interface: a Tap, or something that plays one."""

    def open(self) -> None:
        """Make the interface, down; raise ModemError saying what is missing."""

    def fileno(self) -> int:
        """Return the descriptor to wait on."""

    def read(self) -> bytes | None:
        """Return a frame of the kernel's, None if there is none."""

    def write(self, frame: bytes) -> bool:
        """Give the kernel a frame."""

    def set_up(self, up: bool) -> None:
        """Switch the interface on or off."""

    def present(self) -> bool:
        """Tell whether the interface is still there, and still the one that was made."""

    def close(self) -> None:
        """Remove the interface; harmless if it is not open."""


class Reader(Protocol):
    """What is used of a driver."""

    def read_with(self, descriptor: int, callback: Callable[[], None]) -> None:
        """Call back whenever the descriptor is readable."""

    def stop_reading(self, descriptor: int) -> None:
        """Call back no more."""


class Bridge:
    """Sorts frames by EtherType; IPv6 passes only while the link is up.

    `send_data` takes an IPv6 frame of the kernel's to the line, `busy` tells that it cannot.
    """

    def __init__(
        self,
        mac: bytes,
        kernel: KernelSide | None,
        on_management: Callable[[bytes], None],
        send_data: Callable[[bytes], object],
        busy: Callable[[], bool],
        driver: Reader,
    ) -> None:
        """Without `kernel` there is SLAC only. `driver` waits on the kernel's descriptor."""
        self._mac = mac
        self._kernel = kernel
        self._on_management = on_management
        self._send_data = send_data
        self._busy = busy
        self._driver = driver
        self._up = False
        self._reading = False
        self._counters: Counter[str] = Counter()

    def set_link(self, up: bool) -> None:
        """Open or close the way for IPv6."""
        if up != self._up:
            self._up = up
            if self._kernel is not None:
                self._kernel.set_up(up)
            self.resume()

    def from_line(self, frame: bytes) -> None:
        """Take a frame that the modem received."""
        ethertype = frame[12:_HEADER]
        if ethertype == _MANAGEMENT:
            self._on_management(frame)
        elif ethertype != _IPV6:
            self._counters['frames of the line dropped, other protocol'] += 1
        elif self._kernel is None or not self._up:
            self._counters['frames of the line dropped, not matched'] += 1
        elif not self._kernel.write(frame):
            self._counters['frames of the line dropped, kernel did not take them'] += 1
        else:
            self._counters['IPv6 frames received'] += 1

    def resume(self) -> None:
        """Read of the kernel again, if the link is up and the modem has room."""
        wanted = self._kernel is not None and self._up and not self._busy()
        if wanted != self._reading and self._kernel is not None:
            if wanted:
                self._driver.read_with(self._kernel.fileno(), self._from_kernel)
            else:
                self._driver.stop_reading(self._kernel.fileno())
            self._reading = wanted

    def check(self) -> None:
        """Raise ModemError if somebody has taken the interface away."""
        if self._kernel is not None and not self._kernel.present():
            raise ModemError('the TAP interface was removed')

    def close(self) -> None:
        """Stop reading of the kernel."""
        self._up = False
        self.resume()

    def counters(self) -> Mapping[str, int]:
        """Return what passed and what did not."""
        return dict(self._counters)

    def _from_kernel(self) -> None:
        for _ in range(_BATCH):
            if self._kernel is None or self._busy():
                break
            frame = self._kernel.read()
            if frame is None:
                break
            if frame[12:_HEADER] == _IPV6 and frame[6:12] == self._mac:
                self._counters['IPv6 frames sent'] += 1
                self._send_data(frame)
            else:
                self._counters['frames of the kernel dropped'] += 1
        self.resume()
