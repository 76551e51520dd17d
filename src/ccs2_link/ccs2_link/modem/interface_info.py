"""What the kernel says about a network interface, read without any privilege."""

from __future__ import annotations

import fcntl
import socket
import struct

_SIOCGIFFLAGS = 0x8913
_SIOCGIFHWADDR = 0x8927
_IFF_UP = 0x1
_IFF_RUNNING = 0x40
_NAME_LENGTH = 16


def _request(name: str, code: int) -> bytes:
    encoded = name.encode()
    if not 0 < len(encoded) < _NAME_LENGTH:
        raise OSError(f'{name!r} is no interface name')
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        return fcntl.ioctl(probe, code, struct.pack('16s24x', encoded))


def is_running(name: str) -> bool:
    """Tell whether the interface exists, is switched on and has a carrier."""
    try:
        (flags,) = struct.unpack_from('H', _request(name, _SIOCGIFFLAGS), _NAME_LENGTH)
    except OSError:
        return False
    return bool(flags & _IFF_UP and flags & _IFF_RUNNING)


def mac_of(name: str) -> bytes:
    """Return the interface's MAC address; raise OSError if it does not exist."""
    return _request(name, _SIOCGIFHWADDR)[_NAME_LENGTH + 2 : _NAME_LENGTH + 8]


def index_of(name: str) -> int:
    """Return the kernel's index of the interface, which a new interface of that name changes."""
    try:
        return socket.if_nametoindex(name)
    except OSError:
        return 0

