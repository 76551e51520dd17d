"""Claims on measuring devices: no two drivers, of this process or another, measure by the same one.

Two measurements are compared because they are independent. A site that names one device twice by
mistake, in the files of two nodes, shall hear of it and not charge.
"""

from __future__ import annotations

import hashlib
import socket

from ccs2_power.hal import DriverError


class Claim:
    """The right to be the only driver of a device; it ends with :meth:`release` or the process."""

    def __init__(self, device: str) -> None:
        """Claim a device by its name; raise :class:`DriverError` if another driver has it."""
        # A name in the kernel's abstract name space is nobody's once its process has ended.
        name = hashlib.sha256(device.encode()).hexdigest()[:32]
        self._name = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            self._name.bind(f'\0ccs2_power {name}')
        except OSError:
            self._name.close()
            raise DriverError(f'{device} is used by another driver already: measurements that are '
                              'compared with each other come from devices of their own') from None

    def release(self) -> None:
        """Let others claim the device."""
        self._name.close()
