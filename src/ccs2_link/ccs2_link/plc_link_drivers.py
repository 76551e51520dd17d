"""The kinds of modem that the `plc_link` node can be given, each with its parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ccs2_link.modem.contract import Modem
from ccs2_link.modem.direct import DirectModem
from ccs2_link.slac.contract import LinkCore
from ccs2_link.slac.direct import DirectLink

Values = Callable[[str], Any]
"""Reads a node parameter by its name."""


@dataclass(frozen=True)
class Driver:
    """One kind of modem: its parameters (default, description), its driver and its core."""

    parameters: Mapping[str, tuple[object, str]]
    make_modem: Callable[[Values], Modem]
    make_core: Callable[[Values, bytes], LinkCore]


_INTERFACE = {'interface': (str, 'network interface that leads to the car, e.g. lo or eth1')}

DRIVERS: Mapping[str, Driver] = {
    'direct': Driver(
        _INTERFACE,
        lambda value: DirectModem(value('interface')),
        lambda value, mac: DirectLink(),
    ),
}
