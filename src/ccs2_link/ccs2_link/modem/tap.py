"""A TAP interface: through it the kernel does IPv6 over a modem that lives in user space.

Needs CAP_NET_ADMIN and nothing else of root's.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import struct
from pathlib import Path

from ccs2_link.modem import interface_info
from ccs2_link.modem.contract import ModemError

MTU = 1500
MAX_FRAME = 1518
_TUN = '/dev/net/tun'
_TUNSETIFF = 0x400454CA
_IFF_TAP = 0x0002
_IFF_NO_PI = 0x1000
_SIOCGIFFLAGS = 0x8913
_SIOCSIFFLAGS = 0x8914
_SIOCSIFMTU = 0x8922
_SIOCSIFHWADDR = 0x8924
_ARPHRD_ETHER = 1
_IFF_UP = 0x1
_NAME_LENGTH = 16
_SETTINGS = {
    'disable_ipv6': '0',
    # The link-local address comes from the MAC address, and at once: a car may send its first SDP
    # request right after the match, and on a line with two stations nobody has the same address.
    'addr_gen_mode': '0',
    'accept_dad': '0',
    'dad_transmits': '0',
    # The car is no router and tells us nothing about networks.
    'accept_ra': '0',
    'accept_redirects': '0',
    'forwarding': '0',
}


class Tap:
    """One TAP interface with a given MAC address; it exists while this object is open."""

    def __init__(self, name: str, mac: bytes) -> None:
        """Name it (at most 15 characters) and give it its address."""
        if not 0 < len(name.encode()) < _NAME_LENGTH or '/' in name or name in ('.', '..'):
            raise ValueError(f'{name!r} is no interface name')
        self.name = name
        self._mac = mac
        self._descriptor = -1
        self._index = 0

    def open(self) -> None:
        """Make the interface, down; raise ModemError saying what is missing."""
        try:
            self._descriptor = os.open(_TUN, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
            request = struct.pack('16sH22x', self.name.encode(), _IFF_TAP | _IFF_NO_PI)
            fcntl.ioctl(self._descriptor, _TUNSETIFF, request)
            self._set(_SIOCSIFHWADDR, struct.pack('H6s8x', _ARPHRD_ETHER, self._mac))
            self._set(_SIOCSIFMTU, struct.pack('i20x', MTU))
            for setting, value in _SETTINGS.items():
                Path('/proc/sys/net/ipv6/conf', self.name, setting).write_text(value)
            self._index = interface_info.index_of(self.name)
        except OSError as error:
            self.close()
            hint = ' (CAP_NET_ADMIN is needed)' if isinstance(error, PermissionError) else ''
            reason = error.strerror or str(error)
            raise ModemError(f'TAP interface {self.name}: {reason}{hint}') from None

    def set_up(self, up: bool) -> None:
        """Switch the interface on or off; its link-local address comes and goes with that."""
        with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as control:
            asked = struct.pack('16s24x', self.name.encode())
            answer = fcntl.ioctl(control, _SIOCGIFFLAGS, asked)
            (flags,) = struct.unpack_from('H', answer, _NAME_LENGTH)
            flags = flags | _IFF_UP if up else flags & ~_IFF_UP
            request = struct.pack('16sH22x', self.name.encode(), flags)
            fcntl.ioctl(control, _SIOCSIFFLAGS, request)

    def fileno(self) -> int:
        """Return the descriptor that frames of the kernel make readable."""
        return self._descriptor

    def read(self) -> bytes | None:
        """Return the kernel's next frame, None if there is none."""
        try:
            return os.read(self._descriptor, MAX_FRAME)
        except BlockingIOError:
            return None

    def write(self, frame: bytes) -> bool:
        """Give the kernel a frame; False if it did not take it (interface down, queue full)."""
        try:
            return os.write(self._descriptor, frame) == len(frame)
        except OSError:
            return False

    def present(self) -> bool:
        """Tell whether the interface is still there: an administrator can remove it."""
        return self._index != 0 and interface_info.index_of(self.name) == self._index

    def close(self) -> None:
        """Remove the interface; harmless if it is not open."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def _set(self, code: int, value: bytes) -> None:
        with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as control:
            fcntl.ioctl(control, code, struct.pack('16s', self.name.encode()) + value)
