"""What a car takes along to a visit, by the words of parameters and of the command line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from ccs2_pki.errors import PkiError
from ccs2_pki.profiles import RootKind
from ccs2_sim.car.tls import TlsSettings
from ccs2_sim.car.visit import Visit
from ccs2_sim.evcc.vehicle import Acquisition, CarSettings, Transfer
from ccs2_sim.lab import GENERATION, GENERATION_20, read_named, read_roots, read_wallet

AUTHORIZATIONS = ('eim', 'pnc')
#: What CertificateInstallationReq can ask for.
MOST_CONTRACTS, MOST_PREFERRED = 255, 8
#: Kinds of connection.
CONNECTIONS = ('none', '1.2', '1.3')
#: Generation of the laboratory's certificates for each kind of keys by ISO 15118-20.
KEYS: Mapping[str, str] = {'p521': GENERATION_20, 'ed448': f'{GENERATION_20}-ed448'}


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
    """The contract's name there; by ISO 15118-20 several, separated by commas."""
    acquisition: str = ''
    """``install`` or ``update``: the contract is acquired through the station first."""
    mode: str = Transfer.SCHEDULED.value
    """What it wants by ISO 15118-20, a value of :class:`Transfer`."""
    keys: str = 'p521'
    """``p521`` or ``ed448``: what its certificates by ISO 15118-20 are of."""

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
                # As cars do; the station cannot compare it, it only knows the certificate's digest.
                visit = replace(visit, settings=replace(
                    visit.settings, vehicle_id=visit.tls.vehicle.name))
            if self.authorization == 'eim':
                return visit
            acquisition = Acquisition(self.acquisition)
            had = '' if acquisition is Acquisition.INSTALL else self.contract
            return replace(visit, settings=replace(
                visit.settings, acquisition=acquisition,
                wallet=read_wallet(directory, now, had, self._generation)))
        except (PkiError, OSError) as error:
            raise ValueError(f'laboratory {self.pki}: {error}') from None

    @property
    def _generation(self) -> str:
        """Generation of its certificates."""
        return KEYS[self.keys] if self.tls == '1.3' else GENERATION

    def _tls_settings(self, directory: Path, now: datetime) -> TlsSettings | None:
        if self.tls == 'none':
            return None
        generation = self._generation
        return TlsSettings(
            read_roots(directory, RootKind.V2G, generation), now, staple=self.staple,
            vehicle=read_named(directory, 'vehicle', generation) if self.tls == '1.3' else None)

    def _check(self) -> None:
        for name, value, known in (
            ('authorization', self.authorization, AUTHORIZATIONS),
            ('tls', self.tls, CONNECTIONS),
            ('keys', self.keys, tuple(KEYS)),
            ('acquisition', self.acquisition, tuple(each.value for each in Acquisition)),
            ('mode', self.mode, tuple(each.value for each in Transfer)),
        ):
            if value not in known:
                names = ', '.join(repr(each) for each in known)
                raise ValueError(f'{name} is {value!r}, must be one of {names}')
        if self.tls == '1.3' and self.acquisition == 'update':
            raise ValueError('acquisition is update, which ISO 15118-20 does not have')
        if (self.keys, self.acquisition) == ('ed448', 'install'):
            raise ValueError('acquisition is install, which delivers keys p521 only')


def _wish(default: bool | int | float | str, about: str) -> Any:
    return field(default=default, metadata={'about': about})


@dataclass(frozen=True)
class NewWishes:
    """What the driver wants that only ISO 15118-20 has. Names as in the node's parameters."""

    eim_fallback: bool = _wish(
        False, 'let somebody else pay where the station takes none of its contracts')
    most_contracts: int = _wish(1, 'contracts to install at most')
    preferred_contracts: str = _wish(
        '', 'eMAIDs of the contracts to install first, separated by commas')
    standby_after: int = _wish(
        0, 'charge loop messages after which the car goes to standby, once; 0: never')
    standby_time: float = _wish(5.0, 's that it stays in standby')
    change_after: int = _wish(
        0, 'charge loop messages after which the car wants next_mode, once; 0: never')
    next_mode: str = _wish('', 'mode that it wants after a change of services; empty: the same')
    renegotiates_aside: bool = _wish(
        False, 'negotiate schedules anew on the side stream for that')
    checks_in: bool = _wish(False, 'check in and out where the station offers that')
    shares_needs: bool = _wish(
        False, 'let the station say, too, when the car leaves and with how much')

    def applied(self, settings: CarSettings) -> CarSettings:
        """Return the settings with these wishes; raise ``ValueError`` naming what is wrong."""
        if not 1 <= self.most_contracts <= MOST_CONTRACTS:
            raise ValueError(
                f'most_contracts is {self.most_contracts}, must be 1 to {MOST_CONTRACTS}')
        preferred = tuple(filter(None, self.preferred_contracts.split(',')))
        if len(preferred) > MOST_PREFERRED:
            raise ValueError(f'preferred_contracts are {len(preferred)}, at most {MOST_PREFERRED}')
        try:
            following = Transfer(self.next_mode) if self.next_mode else None
        except ValueError:
            raise ValueError(f'next_mode is {self.next_mode!r}, must be one of '
                             f'{", ".join(each.value for each in Transfer)}') from None
        return replace(
            settings, eim_fallback=self.eim_fallback, most_contracts=self.most_contracts,
            preferred_contracts=preferred, standby_after=self.standby_after,
            standby_time=self.standby_time, change_after=self.change_after,
            next_transfer=following, renegotiates_aside=self.renegotiates_aside,
            checks_in=self.checks_in, shares_needs=self.shares_needs)
