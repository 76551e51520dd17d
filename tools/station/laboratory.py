"""Certificates for a simulated station and its car: a laboratory and a store, made for one run."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

from ccs2_pki.lab.directory import fill_store, write_lab
from ccs2_pki.store import Store
from ccs2_sim.evcc.vehicle import Transfer

#: Names of the folders that :func:`make` makes.
LABORATORY, STORE = 'laboratory', 'store'
#: What the car can want by ISO 15118-20.
MODES = tuple(each.value for each in Transfer)
#: What the simulated station takes back from a bidirectional car, A and W.
DISCHARGE_CURRENT, DISCHARGE_POWER = 100.0, 40000.0


def make(folder: Path) -> None:
    """Make a new laboratory and a store with its roots, chains and OCSP responses in a folder.

    What is there from an earlier run is thrown away, with its keys. Raises ``PkiError``.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, mode=0o700)
    now = datetime.now(UTC)
    hierarchies = write_lab(folder / LABORATORY, now)
    fill_store(Store(folder / STORE, create=True), hierarchies, now)


def secured(
    folder: Path, authorization: str, acquisition: str = '', tls: str = '1.2',
) -> list[tuple[str, str, str]]:
    """Return the changes of the parameter files for TLS with the certificates in a folder.

    `authorization` is ``eim`` or ``pnc``; by contract the car signs a receipt every 5 s. It has a
    contract unless `acquisition` is ``install`` or ``update``: then it gets one from a contract
    provider (launch argument `laboratory`) through the station. `tls` is ``1.2`` or ``1.3``, which
    is ISO 15118-20's, with a vehicle certificate.
    """
    car = (f'tls: "{tls}"\n    pki: {(folder / LABORATORY).resolve()}\n'
           f'    authorization: {authorization}\n    staple: true')
    station = ''
    changes = [('v2g_transport.yaml', 'security: none                 # TCP only',
                'security: tls                  # TLS only')]
    if acquisition:
        car += f'\n    acquisition: {acquisition}'
        station = '    certificate_service: true\n'
        changes.append(('lifecycle_manager.yaml', 'hlc,', 'contract_provisioning, hlc,'))
    if authorization == 'pnc':
        changes.append(('hlc.yaml', '    authorization: automatic\n',
                        '    authorization: service\n    contract_payment: local\n'
                        f'    receipt_interval: 5.0\n{station}'))
    return [*changes, ('car.yaml', 'maximum_current:', f'{car}\n    maximum_current:')]


def in_mode(mode: str, discharge_to: float) -> list[tuple[str, str, str]]:
    """Return the changes of the parameter files for a mode of ISO 15118-20, one of :data:`MODES`.

    With a bidirectional one the station's power goes both ways, too, and the car first gives energy
    down to a state of charge `discharge_to` (ratio).
    """
    changes = [('car.yaml', 'maximum_power:', f'mode: {mode}\n    maximum_power:')]
    if not Transfer(mode).bidirectional:
        return changes
    return [
        *changes,
        ('car.yaml', 'maximum_power:', f'discharge_to: {discharge_to:.6f}\n    maximum_power:'),
        *((f'{name}.yaml', f'{prefix}maximum_power:',
           f'{prefix}maximum_discharge_current: {DISCHARGE_CURRENT}\n    '
           f'{prefix}maximum_discharge_power: {DISCHARGE_POWER}\n    {prefix}maximum_power:')
          for name, prefix in (('plant', 'supply.'), ('power', '')))]
