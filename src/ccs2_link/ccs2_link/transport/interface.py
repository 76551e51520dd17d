"""The IPv6 address of a network interface, as the kernel tells it without any privilege."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path

_TENTATIVE = 0x40
_DUPLICATE = 0x08
_LOOPBACK = ipaddress.IPv6Address('::1')


@dataclass(frozen=True, slots=True)
class LinkAddress:
    """The address that vehicles on an interface reach the station by."""

    address: ipaddress.IPv6Address
    interface: str
    index: int

    @property
    def scope(self) -> int:
        """Scope id of socket addresses on the interface (0 for the loopback address)."""
        return self.index if self.address.is_link_local else 0

    def reaches(self, source: str, scope: int) -> bool:
        """Tell whether a peer's socket address is of this very link."""
        try:
            peer = ipaddress.IPv6Address(source.partition('%')[0])
        except ValueError:
            return False
        if self.address.is_link_local:
            return peer.is_link_local and scope == self.index
        return peer == _LOOPBACK


def parse_link_address(table: str, interface: str) -> LinkAddress | None:
    """Find the usable link-local address of `interface` in the text of /proc/net/if_inet6.

    On a loopback interface, which has none, it is ::1. Addresses that are still being checked for
    duplicates, or that are duplicates, are not usable.
    """
    for line in table.splitlines():
        address_text, index, _, _, flags, name = line.split()
        address = ipaddress.IPv6Address(bytes.fromhex(address_text))
        if (name == interface and not int(flags, 16) & (_TENTATIVE | _DUPLICATE)
                and (address.is_link_local or address == _LOOPBACK)):
            return LinkAddress(address, interface, int(index, 16))
    return None


def link_address(interface: str) -> LinkAddress | None:
    """Return the usable address of `interface` now, None if it is not there or not ready."""
    try:
        return parse_link_address(Path('/proc/net/if_inet6').read_text(), interface)
    except OSError:
        return None
