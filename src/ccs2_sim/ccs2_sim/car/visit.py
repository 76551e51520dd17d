"""What a visit to the station is to be like, and how it went."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ccs2_link.transport import sdp
from ccs2_link.transport.channel import Security
from ccs2_sim.car.tls import TlsSettings
from ccs2_sim.car.trace import Trace
from ccs2_sim.evcc.din import DinEvcc
from ccs2_sim.evcc.iso2 import Iso2Evcc
from ccs2_sim.evcc.iso20 import Iso20Evcc
from ccs2_sim.evcc.iso20_modes import NAMESPACE
from ccs2_sim.evcc.negotiation import Offer
from ccs2_sim.evcc.outcome import Outcome
from ccs2_sim.evcc.vehicle import CarSettings

#: Every protocol the car speaks, by the name it is asked for, the newest first.
PROTOCOLS: Mapping[str, Offer] = {
    'iso20': Offer('iso20', NAMESPACE, 1, 0, Iso20Evcc, frozenset({Security.TLS_1_3_MUTUAL})),
    'iso2': Offer('iso2', 'urn:iso:15118:2:2013:MsgDef', 2, 0, Iso2Evcc,
                  frozenset({Security.NONE, Security.TLS_1_2})),
    'din': Offer('din', 'urn:din:70121:2012:MsgDef', 2, 0, DinEvcc, frozenset({Security.NONE})),
}


@dataclass(frozen=True)
class Visit:
    """What one visit to the station is to be like."""

    interface: str = 'lo'
    sdp_port: int = sdp.PORT
    protocols: tuple[str, ...] = tuple(PROTOCOLS)
    """Names out of :data:`PROTOCOLS` in the order of preference."""
    state_of_charge: float = math.nan
    """Ratio 0..1 at plug-in; NaN: as it was."""
    misbehaviour: str = ''
    """See :mod:`ccs2_sim.car.misbehaviour`; '' = none."""
    settings: CarSettings = field(default_factory=CarSettings)
    tls: TlsSettings | None = None
    """Ask for TLS and use this; None: plain TCP."""
    falls_back: bool = False
    """Goes on without TLS where the station has none, instead of leaving."""
    line: str = ''
    """Socket of the car's modem on a virtual power line; '' = the interface is the link."""
    asleep: bool = False
    """Its modem sleeps at plug-in, until the pilot steps through state E or F."""
    validation: int = 0
    """B-C-B toggles by which it proves its cable before the match; 0: none."""
    sleep: float = 10.0
    """s that a paused session sleeps."""


@dataclass(frozen=True)
class Result:
    """How a visit went."""

    outcome: Outcome
    state_of_charge: float
    energy: float
    """J charged."""
    duration: float
    """s from plug-in to unplugged."""
    loops: int
    protocol: str
    trace: Trace
    notes: tuple[str, ...] = ()
    """What else happened, for people."""


def offers(protocols: Sequence[str]) -> list[Offer]:
    """Return the protocols by name; raise ``ValueError`` for an unknown name."""
    for name in protocols:
        if name not in PROTOCOLS:
            raise ValueError(f'no protocol {name!r}; there are {", ".join(PROTOCOLS)}')
    return [PROTOCOLS[name] for name in protocols]


def with_protocol(visit: Visit, name: str) -> Visit:
    """Return the visit with one protocol, or with all for ``'any'``."""
    return replace(visit, protocols=tuple(PROTOCOLS) if name == 'any' else (name,))
