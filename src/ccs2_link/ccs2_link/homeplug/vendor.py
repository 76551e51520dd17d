"""Vendor messages of the Qualcomm QCA7000 family: link status, reset, version, network.

They pass between a host and its own modem; from the line they are never answered.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ccs2_link.homeplug.keys import NID_LENGTH
from ccs2_link.homeplug.layout import Message, constant, octets, rest, uint

QCA_OUI = bytes.fromhex('00b052')


class QcaMessage(Message):
    """Base of the vendor messages: old framing, vendor prefix, answers may grow."""

    __slots__ = ()
    VERSION: ClassVar[int] = 0
    OUI: ClassVar[bytes] = QCA_OUI
    OPEN_ENDED: ClassVar[bool] = True


@dataclass(frozen=True, slots=True, kw_only=True)
class VsSwVerReq(QcaMessage):
    """Ask for the firmware version."""

    MMTYPE: ClassVar[int] = 0xA000


@dataclass(frozen=True, slots=True, kw_only=True)
class VsSwVerCnf(QcaMessage):
    """Firmware version; status 0 is success."""

    MMTYPE: ClassVar[int] = 0xA001
    status: int = uint(1)
    device_id: int = uint(1)
    length: int = uint(1)
    data: bytes = rest()

    def check(self) -> None:
        """Require that the announced octets of the version are there."""
        if self.length > len(self.data):
            raise ValueError(f'{len(self.data)} octets of a version of {self.length}')

    @property
    def version(self) -> str:
        """Return the version as printable text, at most 64 characters."""
        text = self.data[: self.length].split(b'\0')[0].decode('ascii', 'replace')
        return ''.join(letter if letter.isprintable() else '?' for letter in text)[:64]


@dataclass(frozen=True, slots=True, kw_only=True)
class VsRsDevReq(QcaMessage):
    """Restart the modem."""

    MMTYPE: ClassVar[int] = 0xA01C


@dataclass(frozen=True, slots=True, kw_only=True)
class VsRsDevCnf(QcaMessage):
    """The modem restarts if status is 0."""

    MMTYPE: ClassVar[int] = 0xA01D
    status: int = uint(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class VsHostActionInd(QcaMessage):
    """The modem asks its host for something, such as firmware on boards without flash."""

    MMTYPE: ClassVar[int] = 0xA062
    action: int = uint(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class VsHostActionRsp(QcaMessage):
    """Answer to VS_HOST_ACTION.IND; 0 means that the host will do it."""

    MMTYPE: ClassVar[int] = 0xA063
    status: int = uint(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class VsOpAttributesReq(QcaMessage):
    """Ask for the attributes of hardware and firmware."""

    MMTYPE: ClassVar[int] = 0xA068
    cookie: bytes = octets(4)
    report_type: int = uint(1, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class VsOpAttributesCnf(QcaMessage):
    """Attributes of hardware and firmware; the order of the version words differs by firmware."""

    MMTYPE: ClassVar[int] = 0xA069
    status: int = uint(2)
    cookie: bytes = octets(4)
    report_type: int = uint(1)
    length: int = constant(2, 118)
    hardware: bytes = octets(16)
    software: bytes = octets(16)
    version_words: bytes = octets(20)
    build_date: bytes = octets(8)
    release_type: bytes = octets(12)
    attributes: bytes = octets(46)


@dataclass(frozen=True, slots=True, kw_only=True)
class VsFacDefaultsReq(QcaMessage):
    """Put the modem's parameters back to the factory's."""

    MMTYPE: ClassVar[int] = 0xA07C


@dataclass(frozen=True, slots=True, kw_only=True)
class VsFacDefaultsCnf(QcaMessage):
    """The modem takes the factory's parameters and restarts if status is 0."""

    MMTYPE: ClassVar[int] = 0xA07D
    status: int = uint(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class VsPlLinkStatusReq(QcaMessage):
    """Ask whether the modem is in one logical network with another station."""

    MMTYPE: ClassVar[int] = 0xA0B8


@dataclass(frozen=True, slots=True, kw_only=True)
class VsPlLinkStatusCnf(QcaMessage):
    """Link status: 1 is up, valid if status is 0."""

    MMTYPE: ClassVar[int] = 0xA0B9
    status: int = uint(1)
    link_status: int = uint(1)


@dataclass(frozen=True, slots=True)
class Network:
    """One logical network that a modem sees; `role` 0 member, 1 proxy, 2 coordinator."""

    nid: bytes
    role: int
    cco_mac: bytes
    stations: tuple[Station, ...]


@dataclass(frozen=True, slots=True)
class Station:
    """One station of a network with its average PHY rates [Mbit/s]."""

    mac: bytes
    tx_rate: int
    rx_rate: int


@dataclass(frozen=True, slots=True, kw_only=True)
class VsNwInfoReq(QcaMessage):
    """Ask for the networks that the modem belongs to (form with fragmentation octets)."""

    MMTYPE: ClassVar[int] = 0xA038
    VERSION: ClassVar[int] = 1


_NETWORK_HEAD = 32
_STATION_SIZE = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class VsNwInfoCnf(QcaMessage):
    """The networks that the modem belongs to."""

    MMTYPE: ClassVar[int] = 0xA039
    VERSION: ClassVar[int] = 1
    sub_version: int = uint(1)
    length: int = uint(2, gap=1)
    count: int = uint(1, gap=1)
    data: bytes = rest()

    def check(self) -> None:
        """Walk the announced networks and stations; all must be there."""
        self.networks()

    def networks(self) -> tuple[Network, ...]:
        """Return the networks; raise ValueError if the data end too early."""
        result: list[Network] = []
        offset = 0
        for _ in range(self.count):
            head = self._take(offset, _NETWORK_HEAD)
            offset += _NETWORK_HEAD
            members: list[Station] = []
            for _ in range(head[26]):
                entry = self._take(offset, _STATION_SIZE)
                offset += _STATION_SIZE
                rates = (int.from_bytes(entry[at : at + 2], 'little') for at in (16, 20))
                members.append(Station(entry[:6], *rates))
            result.append(Network(head[:NID_LENGTH], head[15], head[16:22], tuple(members)))
        return tuple(result)

    def _take(self, offset: int, size: int) -> bytes:
        part = self.data[offset : offset + size]
        if len(part) < size:
            raise ValueError(f'data end at octet {len(self.data)}, {offset + size} announced')
        return part
