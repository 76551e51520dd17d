"""What a laboratory directory (``ccs2-pki lab``) holds for a car and for its contract provider."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

from ccs2_pki.certificate import Certificate
from ccs2_pki.keys import parse_private_key
from ccs2_pki.lab.directory import read_certificate, read_credential
from ccs2_pki.profiles import Role, RootKind
from ccs2_sim.evcc.wallet import Credential, Wallet

GENERATION = 'iso2'


def read_wallet(directory: Path, now: datetime | None, contract: str = 'contract') -> Wallet:
    """Return the wallet of a car; `contract` is the name of its contract, '' for none.

    Raise ``PkiError`` or ``OSError`` naming what is wrong.
    """
    paying = read_named(directory, contract) if contract else None
    return Wallet(
        contract=paying, provisioning=read_named(directory, 'oem_provisioning'),
        roots=read_roots(directory, RootKind.V2G), now=now,
        wrong=_read_wrong(directory, read_named(directory, 'contract').name))


def read_named(directory: Path, name: str, generation: str = GENERATION) -> Credential:
    """Return a right chain of the laboratory with its key."""
    found = read_credential(directory, generation, name)
    return Credential(
        found.chain[0].common_name, tuple(each.der for each in found.chain), found.key)


def read_roots(
    directory: Path, kind: RootKind, generation: str = GENERATION,
) -> tuple[Certificate, ...]:
    """Return the roots of a kind."""
    manifest = json.loads((directory / generation / 'manifest.json').read_text(encoding='utf-8'))
    return tuple(read_certificate(directory, generation, name)
                 for name in manifest['roots'][kind.value])


def _read_wrong(directory: Path, emaid: str) -> dict[str, Credential]:
    folder = directory / GENERATION
    manifest = json.loads((folder / 'manifest.json').read_text(encoding='utf-8'))
    found = {}
    for entry in manifest['wrong']:
        if entry['role'] != Role.CONTRACT.value:
            continue
        stem = folder / 'wrong' / f'{entry["role"]}-{entry["name"]}'
        found[entry['name']] = Credential(
            emaid,
            tuple(stem.with_name(f'{stem.name}.{index}.der').read_bytes()
                  for index in range(entry['certificates'])),
            parse_private_key(stem.with_name(f'{stem.name}.key.pem').read_bytes()))
    return found
