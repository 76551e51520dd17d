"""The management messages of SLAC and of network keys (HomePlug GreenPHY CM_*).

Field order is wire order. Sizes and constants: ISO 15118-3 Annex A as known from its open
implementations. Attenuations are in dB, one octet for each of 58 carrier groups.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import ClassVar

from ccs2_link.homeplug.keys import NID_LENGTH, Nmk
from ccs2_link.homeplug.layout import Message, constant, key, mac, octets, rest, uint

GROUPS = 58
"""Carrier groups of an attenuation profile (0x3A)."""
RUN_ID_LENGTH = 8
STATION_ID_LENGTH = 17
NO_STATION = bytes(STATION_ID_LENGTH)
BROADCAST = b'\xff' * 6
MAX_CARRIERS = 1155
_MAX_STATIONS = 115


class ValidateResult(enum.IntEnum):
    """Result field of CM_VALIDATE (ISO 15118-3 Table A.6)."""

    NOT_READY = 0
    READY = 1
    SUCCESS = 2
    FAILURE = 3
    NOT_REQUIRED = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class CmSetKeyReq(Message):
    """Host to its own modem: join the network of this key."""

    MMTYPE: ClassVar[int] = 0x6008
    key_type: int = uint(1, 1)
    my_nonce: bytes = octets(4)
    your_nonce: bytes = octets(4, bytes(4))
    protocol_id: int = uint(1, 4)
    protocol_run: int = uint(2, 0)
    protocol_message: int = uint(1, 0)
    cco_capability: int = uint(1, 0)
    nid: bytes = octets(NID_LENGTH)
    new_eks: int = uint(1, 1)
    new_key: Nmk = key()  # noqa: RUF009  (a dataclass field)


@dataclass(frozen=True, slots=True, kw_only=True)
class CmSetKeyCnf(Message):
    """The modem's answer; QCA firmware says result 1 when it accepted the key."""

    MMTYPE: ClassVar[int] = 0x6009
    result: int = uint(1)
    my_nonce: bytes = octets(4)
    your_nonce: bytes = octets(4)
    protocol_id: int = uint(1, 4)
    protocol_run: int = uint(2, 0)
    protocol_message: int = uint(1, 0)
    cco_capability: int = uint(1, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class CmAmpMapReq(Message):
    """Ask the other station to limit its carriers' amplitudes.

    `data` is kept as it came: one octet or, as HomePlug AV packs it, half an octet for each
    of the `carriers` entries.
    """

    MMTYPE: ClassVar[int] = 0x601C
    carriers: int = uint(2)
    data: bytes = rest()

    def check(self) -> None:
        """Bound the number of entries and require that all of them are there."""
        if self.carriers > MAX_CARRIERS:
            raise ValueError(f'{self.carriers} carriers, at most {MAX_CARRIERS} exist')
        if not (self.carriers + 1) // 2 <= len(self.data) <= max(self.carriers, 39):
            raise ValueError(f'{len(self.data)} octets for {self.carriers} carriers')


@dataclass(frozen=True, slots=True, kw_only=True)
class CmAmpMapCnf(Message):
    """Answer to CM_AMP_MAP.REQ: 0 applied, 1 refused."""

    MMTYPE: ClassVar[int] = 0x601D
    result: int = uint(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class CmNwStatsReq(Message):
    """Ask the own modem which stations are in its network."""

    MMTYPE: ClassVar[int] = 0x6048


@dataclass(frozen=True, slots=True, kw_only=True)
class CmNwStatsCnf(Message):
    """Stations of the network: per station MAC, PHY rate to and from it [Mbit/s]."""

    MMTYPE: ClassVar[int] = 0x6049
    count: int = uint(1)
    data: bytes = rest()

    def check(self) -> None:
        """Require that all announced stations are there."""
        size = 8 * self.count
        if self.count > _MAX_STATIONS or not size <= len(self.data) <= max(size, 40):
            raise ValueError(f'{len(self.data)} octets for {self.count} stations')

    @property
    def stations(self) -> tuple[tuple[bytes, int, int], ...]:
        """Return (MAC, rate to, rate from) of each station; none means alone."""
        entries = (self.data[8 * index : 8 * index + 8] for index in range(self.count))
        return tuple((entry[:6], entry[6], entry[7]) for entry in entries)


@dataclass(frozen=True, slots=True, kw_only=True)
class CmSlacParmReq(Message):
    """The car asks, by broadcast, who is there. `run_id` names this matching run."""

    MMTYPE: ClassVar[int] = 0x6064
    application_type: int = uint(1, 0)
    security_type: int = uint(1, 0)
    run_id: bytes = octets(RUN_ID_LENGTH)


@dataclass(frozen=True, slots=True, kw_only=True)
class CmSlacParmCnf(Message):
    """A station answers with the parameters of the sounding; `time_out` counts 100 ms."""

    MMTYPE: ClassVar[int] = 0x6065
    sound_target: bytes = mac(BROADCAST)
    num_sounds: int = uint(1, 10)
    time_out: int = uint(1, 6)
    resp_type: int = uint(1, 1)
    forwarding_sta: bytes = mac()
    application_type: int = uint(1, 0)
    security_type: int = uint(1, 0)
    run_id: bytes = octets(RUN_ID_LENGTH)


@dataclass(frozen=True, slots=True, kw_only=True)
class CmStartAttenCharInd(Message):
    """The car announces its sounds, three times by broadcast."""

    MMTYPE: ClassVar[int] = 0x606A
    application_type: int = uint(1, 0)
    security_type: int = uint(1, 0)
    num_sounds: int = uint(1, 10)
    time_out: int = uint(1, 6)
    resp_type: int = uint(1, 1)
    forwarding_sta: bytes = mac()
    run_id: bytes = octets(RUN_ID_LENGTH)


@dataclass(frozen=True, slots=True, kw_only=True)
class CmMnbcSoundInd(Message):
    """One sound; `remaining` counts down to 0."""

    MMTYPE: ClassVar[int] = 0x6076
    application_type: int = uint(1, 0)
    security_type: int = uint(1, 0)
    sender_id: bytes = octets(STATION_ID_LENGTH, NO_STATION)
    remaining: int = uint(1)
    run_id: bytes = octets(RUN_ID_LENGTH)
    random: bytes = octets(16, gap=8)


@dataclass(frozen=True, slots=True, kw_only=True)
class CmAttenProfileInd(Message):
    """The own modem tells its host how strongly it heard one sound of a car."""

    MMTYPE: ClassVar[int] = 0x6086
    pev_mac: bytes = mac()
    num_groups: int = constant(1, GROUPS)
    groups: bytes = octets(GROUPS, gap=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class CmAttenCharInd(Message):
    """The station tells the car the mean of `num_sounds` profiles."""

    MMTYPE: ClassVar[int] = 0x606E
    application_type: int = uint(1, 0)
    security_type: int = uint(1, 0)
    source_address: bytes = mac()
    run_id: bytes = octets(RUN_ID_LENGTH)
    source_id: bytes = octets(STATION_ID_LENGTH, NO_STATION)
    resp_id: bytes = octets(STATION_ID_LENGTH, NO_STATION)
    num_sounds: int = uint(1)
    num_groups: int = constant(1, GROUPS)
    groups: bytes = octets(GROUPS)


@dataclass(frozen=True, slots=True, kw_only=True)
class CmAttenCharRsp(Message):
    """The car has the result; 0 is success."""

    MMTYPE: ClassVar[int] = 0x606F
    application_type: int = uint(1, 0)
    security_type: int = uint(1, 0)
    source_address: bytes = mac()
    run_id: bytes = octets(RUN_ID_LENGTH)
    source_id: bytes = octets(STATION_ID_LENGTH, NO_STATION)
    resp_id: bytes = octets(STATION_ID_LENGTH, NO_STATION)
    result: int = uint(1, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class CmValidateReq(Message):
    """The car wants to prove by BCB toggles that it hangs on this cable.

    `timer` is 0 in step 1; in step 2 the toggles take (timer + 1) x 100 ms.
    """

    MMTYPE: ClassVar[int] = 0x6078
    signal_type: int = uint(1, 0)
    timer: int = uint(1, 0)
    result: int = uint(1, ValidateResult.READY)


@dataclass(frozen=True, slots=True, kw_only=True)
class CmValidateCnf(Message):
    """The station's answer with the BCB toggles that it counted."""

    MMTYPE: ClassVar[int] = 0x6079
    signal_type: int = uint(1, 0)
    toggle_num: int = uint(1, 0)
    result: int = uint(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class CmSlacMatchReq(Message):
    """The car chose this station."""

    MMTYPE: ClassVar[int] = 0x607C
    TAIL: ClassVar[int] = 8
    application_type: int = uint(1, 0)
    security_type: int = uint(1, 0)
    mvf_length: int = constant(2, 0x3E)
    pev_id: bytes = octets(STATION_ID_LENGTH, NO_STATION)
    pev_mac: bytes = mac()
    evse_id: bytes = octets(STATION_ID_LENGTH, NO_STATION)
    evse_mac: bytes = mac()
    run_id: bytes = octets(RUN_ID_LENGTH)


@dataclass(frozen=True, slots=True, kw_only=True)
class CmSlacMatchCnf(Message):
    """The station hands its network to the car."""

    MMTYPE: ClassVar[int] = 0x607D
    application_type: int = uint(1, 0)
    security_type: int = uint(1, 0)
    mvf_length: int = constant(2, 0x56)
    pev_id: bytes = octets(STATION_ID_LENGTH, NO_STATION)
    pev_mac: bytes = mac()
    evse_id: bytes = octets(STATION_ID_LENGTH, NO_STATION)
    evse_mac: bytes = mac()
    run_id: bytes = octets(RUN_ID_LENGTH)
    nid: bytes = octets(NID_LENGTH, gap=8)
    nmk: Nmk = key(gap=1)  # noqa: RUF009  (a dataclass field)
