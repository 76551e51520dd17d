"""What a car takes along to a visit, by the words of parameters and of the command line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from ccs2_pki.errors import PkiError
from ccs2_pki.profiles import RootKind
from ccs2_sim.car.tls import TlsSettings
from ccs2_sim.car.visit import Visit
from ccs2_sim.evcc.vehicle import Acquisition, Transfer
from ccs2_sim.lab import read_named, read_roots, read_wallet

AUTHORIZATIONS = ('eim', 'pnc')
#: Generation of the laboratory's certificates for each kind of connection; None: plain TCP.
CONNECTIONS: Mapping[str, str | None] = {'none': None, '1.2': 'iso2', '1.3': 'iso20'}


@dataclass(frozen=True)
class Equipment:
    """Names as in the node's parameters."""

    authorization: str = 'eim'
    """``eim``: somebody else pays; ``pnc``: the car pays by contract (Plug & Charge)."""
    tls: str = 'none'
    """``none``, ``1.2`` (ISO 15118-2) or ``1.3`` (with a vehicle certificate, ISO 15118-20)."""
    tls_fallback: bool = False
    staple: bool = False
    pki: str = ''
    """Directory that ``ccs2-pki lab`` has made."""
    contract: str = 'contract'
    """The contract's name there."""
    acquisition: str = ''
    """``install`` or ``update``: the contract is acquired through the station first."""
    mode: str = Transfer.SCHEDULED.value
    """What it wants by ISO 15118-20, a value of :class:`Transfer`."""

    def applied(self, visit: Visit, now: datetime) -> Visit:
        """Return the visit with everything that this calls for; raise ``ValueError`` if it cannot.

        `now` is the car's time, aware.
        """
        self._check()
        visit = replace(
            visit, settings=replace(visit.settings, transfer=Transfer(self.mode)))
        if self.authorization == 'eim' and self.tls == 'none':
            return visit
        if not self.pki:
            raise ValueError('TLS and Plug & Charge need the parameter pki, a laboratory directory')
        directory = Path(self.pki)
        try:
            visit = replace(
                visit, tls=self._tls_settings(directory, now), falls_back=self.tls_fallback)
            if visit.tls is not None and visit.tls.vehicle is not None:
                # The station compares it with the certificate.
                visit = replace(visit, settings=replace(
                    visit.settings, vehicle_id=visit.tls.vehicle.name))
            if self.authorization == 'eim':
                return visit
            acquisition = Acquisition(self.acquisition)
            had = '' if acquisition is Acquisition.INSTALL else self.contract
            return replace(visit, settings=replace(
                visit.settings, acquisition=acquisition, wallet=read_wallet(directory, now, had)))
        except (PkiError, OSError) as error:
            raise ValueError(f'laboratory {self.pki}: {error}') from None

    def _tls_settings(self, directory: Path, now: datetime) -> TlsSettings | None:
        generation = CONNECTIONS[self.tls]
        if generation is None:
            return None
        return TlsSettings(
            read_roots(directory, RootKind.V2G, generation), now, staple=self.staple,
            vehicle=read_named(directory, 'vehicle', generation) if self.tls == '1.3' else None)

    def _check(self) -> None:
        for name, value, known in (
            ('authorization', self.authorization, AUTHORIZATIONS),
            ('tls', self.tls, tuple(CONNECTIONS)),
            ('acquisition', self.acquisition, tuple(each.value for each in Acquisition)),
            ('mode', self.mode, tuple(each.value for each in Transfer)),
        ):
            if value not in known:
                names = ', '.join(repr(each) for each in known)
                raise ValueError(f'{name} is {value!r}, must be one of {names}')
        if (self.authorization, self.tls) == ('pnc', '1.3'):
            raise ValueError('the car pays by contract with tls 1.2 only, by ISO 15118-2')
