"""What a laboratory directory (``ccs2-pki lab``) holds for a car and for its contract provider."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

from ccs2_pki.certificate import Certificate
from ccs2_pki.keys import parse_private_key
from ccs2_pki.lab.directory import read_certificate, read_credential
from ccs2_pki.profiles import Role, RootKind
from ccs2_sim.evcc.wallet import Credential, Wallet

#: The hierarchies of ISO 15118-2 and, on P-521, of ISO 15118-20.
GENERATION, GENERATION_20 = 'iso2', 'iso20'
_CONTRACT, _PROVISIONING = 'contract', 'oem_provisioning'


def read_wallet(
    directory: Path, now: datetime | None, contract: str = _CONTRACT,
    generation: str = GENERATION,
) -> Wallet:
    """Return the wallet of a car.

    `contract` are the names of its contracts, separated by commas, the preferred first; '' for
    none.  Raise ``PkiError`` or ``OSError`` naming what is wrong.
    """
    own = [read_named(directory, name, generation) for name in contract.split(',') if name]
    provisioning = read_named(directory, _PROVISIONING, generation)
    emaid = read_named(directory, _CONTRACT, generation).name
    return Wallet(
        contract=own[0] if own else None, others=tuple(own[1:]), provisioning=provisioning,
        roots=read_roots(directory, RootKind.V2G, generation), now=now,
        wrong=_read_wrong(directory, generation, Role.CONTRACT, emaid),
        wrong_provisioning=_read_wrong(
            directory, generation, Role.OEM_PROVISIONING, provisioning.name))


def read_named(directory: Path, name: str, generation: str = GENERATION) -> Credential:
    """Return a right chain of the laboratory with its key."""
    found = read_credential(directory, generation, name)
    return Credential(
        found.chain[0].common_name, tuple(each.der for each in found.chain), found.key)


def read_roots(
    directory: Path, kind: RootKind, generation: str = GENERATION,
) -> tuple[Certificate, ...]:
    """Return the roots of a kind."""
    return tuple(read_certificate(directory, generation, name)
                 for name in _manifest(directory, generation)['roots'][kind.value])


def _manifest(directory: Path, generation: str) -> Any:
    return json.loads((directory / generation / 'manifest.json').read_text(encoding='utf-8'))


def _read_wrong(
    directory: Path, generation: str, role: Role, name: str,
) -> dict[str, Credential]:
    """Return the wrong chains of a role, as if they were of the one with this name."""
    found = {}
    for entry in _manifest(directory, generation)['wrong']:
        if entry['role'] != role.value:
            continue
        stem = directory / generation / 'wrong' / f'{entry["role"]}-{entry["name"]}'
        found[entry['name']] = Credential(
            name,
            tuple(stem.with_name(f'{stem.name}.{index}.der').read_bytes()
                  for index in range(entry['certificates'])),
            parse_private_key(stem.with_name(f'{stem.name}.key.pem').read_bytes()))
    return found
