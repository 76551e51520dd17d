"""The kinds of modem that the `plc_link` node can be given, each with its parameters.

Other packages add drivers by an entry point of the group `ccs2_link.drivers` whose value is a
Driver; its name is what the parameter `driver` chooses.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from ccs2_link.homeplug.layout import MAC_LENGTH
from ccs2_link.homeplug.messages import GROUPS, CmAmpMapReq
from ccs2_link.modem.contract import Modem
from ccs2_link.modem.direct import DirectModem
from ccs2_link.modem.packet import PacketModem
from ccs2_link.modem.qca7000 import Qca7000Modem
from ccs2_link.modem.spi import MAX_SPEED, MIN_SPEED, GpioInterrupt, SpidevBus
from ccs2_link.modem.tap import Tap
from ccs2_link.modem.virtual import VirtualModem
from ccs2_link.slac.attenuation import Calibration
from ccs2_link.slac.contract import LinkCore
from ccs2_link.slac.direct import DirectLink
from ccs2_link.slac.evse import EvseConfig, EvseSlac

GROUP = 'ccs2_link.drivers'
_MACHINE_ID = Path('/etc/machine-id')

Values = Callable[[str], Any]
"""Reads a node parameter by its name."""
MakeCore = Callable[[bytes], LinkCore]
"""Makes a core that speaks from a MAC address."""


@dataclass(frozen=True)
class Parameter:
    """A node parameter; a `default` that is a type means that there is no safe default."""

    name: str
    default: object
    description: str
    minimum: float | None = None
    maximum: float | None = None


@dataclass(frozen=True)
class Driver:
    """One kind of modem: its parameters, its driver and its core.

    Both makers raise ValueError naming a setting that is wrong.
    """

    parameters: tuple[Parameter, ...]
    make_modem: Callable[[Values], Modem]
    make_core: Callable[[Values], MakeCore]


INTERFACE = Parameter(
    'interface', str, 'network interface that carries IPv6 to the car, e.g. plc0, eth1 or lo')
HOST = (
    Parameter('mac', '', "the station's MAC address on the line; '' derives a stable one"),
    INTERFACE,
    Parameter('tap', True, 'make the interface as a TAP (needs CAP_NET_ADMIN); false: it exists'),
)
"""Parameters of modems that live in user space."""
SLAC = (
    Parameter('init_timeout', 40.0, 'TT_EVSE_SLAC_init, wait for the first request of a car [s]; '
              'the standard allows 20 to 50', 10.0, 50.0),
    Parameter('attempts', 3, 'of a car per plug-in to be matched, to join and to begin a session',
              1, 10),
    Parameter('max_attenuation', 60.0, 'cars with a higher mean attenuation are not matched [dB]',
              1.0, 255.0),
    Parameter('attenuation_offset', 0, 'correction of every measured attenuation [dB]', -100, 100),
    Parameter('attenuation_groups', [0] * GROUPS, 'correction of each carrier group [dB]'),
    Parameter('keep_network_over_pause', True, 'keep key and network while a session is paused'),
    Parameter('reset_after', 3, 'failed matches in a row that restart the modem; 0: never',
              0, 1000),
    Parameter('amplitude_map', '', "CM_AMP_MAP for the car, one octet a carrier in hex; '' none"),
)
"""Parameters of matching."""


def host_mac(value: Values) -> bytes:
    """Return the host's MAC address: the parameter, or one that this machine always derives."""
    text = value('mac')
    if text:
        try:
            mac = bytes.fromhex(text.replace(':', ''))
        except ValueError:
            mac = b''
        if len(mac) != MAC_LENGTH or mac[0] & 1:
            raise ValueError(f"parameter 'mac': {text!r} is no address of a station")
        return mac
    try:
        machine = _MACHINE_ID.read_bytes()
    except OSError:
        raise ValueError(f"parameter 'mac' is not set and {_MACHINE_ID} is missing") from None
    digest = hashlib.sha256(machine + value('interface').encode()).digest()
    # Locally administered, not a group.
    return bytes([digest[0] & 0xFC | 0x02]) + digest[1:MAC_LENGTH]


def host_tap(value: Values, mac: bytes) -> Tap | None:
    """Return the TAP that the parameters ask for, if they do."""
    return Tap(value('interface'), mac) if value('tap') else None


def make_slac(value: Values) -> MakeCore:
    """Return a maker of the station's SLAC core with the node's settings."""
    config = EvseConfig(
        init_timeout=value('init_timeout'),
        attempts=value('attempts'),
        max_attenuation=value('max_attenuation'),
        calibration=Calibration(
            value('attenuation_offset'), tuple(value('attenuation_groups'))),
        keep_key_over_pause=value('keep_network_over_pause'),
        reset_after=value('reset_after'),
        amplitude_map=_amplitude_map(value('amplitude_map')),
    )
    return lambda mac: EvseSlac(mac, config)


def _amplitude_map(text: str) -> CmAmpMapReq | None:
    try:
        amplitudes = bytes.fromhex(text)
        wanted = CmAmpMapReq(carriers=len(amplitudes), data=amplitudes)
        wanted.check()
    except ValueError as error:
        raise ValueError(f"parameter 'amplitude_map': {error}") from None
    return wanted if amplitudes else None


def _make_qca7000(value: Values) -> Modem:
    chip, line = value('interrupt_chip'), value('interrupt_line')
    mac = host_mac(value)
    return Qca7000Modem(
        SpidevBus(value('spi_bus'), value('spi_device'), value('spi_speed')),
        mac,
        value('interface'),
        host_tap(value, mac),
        poll_period=value('poll_period'),
        make_interrupt=(lambda: GpioInterrupt(chip, line)) if line >= 0 else None,
    )


def _make_virtual(value: Values) -> Modem:
    mac = host_mac(value)
    return VirtualModem(value('line'), mac, value('interface'), host_tap(value, mac))


DRIVERS: Mapping[str, Driver] = {
    'direct': Driver(
        (INTERFACE,),
        lambda value: DirectModem(value('interface')),
        lambda value: lambda mac: DirectLink(),
    ),
    'interface': Driver((INTERFACE, *SLAC), lambda value: PacketModem(value('interface')),
                        make_slac),
    'qca7000': Driver(
        (
            Parameter('spi_bus', 0, 'number of the SPI bus', 0, 255),
            Parameter('spi_device', 0, 'chip select on that bus', 0, 255),
            Parameter('spi_speed', 8_000_000, 'SPI clock [Hz]', MIN_SPEED, MAX_SPEED),
            Parameter('interrupt_chip', '/dev/gpiochip0', 'GPIO chip of the interrupt line'),
            Parameter('interrupt_line', -1, 'GPIO line of the interrupt; -1: poll', -1, 1023),
            Parameter('poll_period', 0.005, 'polling without an interrupt line [s]', 0.001, 0.05),
            *HOST,
            *SLAC,
        ),
        _make_qca7000,
        make_slac,
    ),
    'virtual': Driver(
        (Parameter('line', '', 'socket of a virtual power line'), *HOST, *SLAC),
        _make_virtual,
        make_slac,
    ),
}


def installed_drivers() -> Mapping[str, Driver]:
    """Return our own drivers and those that other packages bring."""
    return {**DRIVERS, **{entry.name: entry.load() for entry in entry_points(group=GROUP)}}
