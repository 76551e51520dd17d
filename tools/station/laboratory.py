"""Certificates for a simulated station and its car: a laboratory and a store, made for one run."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

from ccs2_pki.lab.directory import fill_store, write_lab
from ccs2_pki.store import Store

#: Names of the folders that :func:`make` makes.
LABORATORY, STORE = 'laboratory', 'store'


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
    folder: Path, authorization: str, acquisition: str = '',
) -> list[tuple[str, str, str]]:
    """Return the changes of the parameter files for TLS with the certificates in a folder.

    `authorization` is ``eim`` or ``pnc``; by contract the car signs a receipt every 5 s. It has a
    contract unless `acquisition` is ``install`` or ``update``: then it gets one from a contract
    provider (launch argument `laboratory`) through the station.
    """
    car = (f'tls: "1.2"\n    pki: {(folder / LABORATORY).resolve()}\n'
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
