"""A test hierarchy as files, for processes and people.

Layout, one folder per generation (``iso2``, ``iso20``, ``iso20-ed448``)::

    certs/<name>.pem   one certificate        chains/<name>.pem  leaf and sub-CAs
    keys/<name>.pem    its private key        ocsp/<name>.der    OCSP response about it
    crls/<name>.der    CRL of an issuer       wrong/...          chains with one fault each
    manifest.json      names, roles, and the result each wrong chain must give
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from ccs2_pki.atomic import private_directory, write_file
from ccs2_pki.certificate import Certificate, parse_certificates
from ccs2_pki.keys import parse_private_key
from ccs2_pki.lab.hierarchy import GENERATIONS, LEAFS, ROOTS, Hierarchy, build
from ccs2_pki.lab.wrong import Wrong, build_wrong
from ccs2_pki.profiles import Role
from ccs2_pki.provisioning import Provisioning
from ccs2_pki.signatures import PrivateKey
from ccs2_pki.store import EntryKind, Store


@dataclass(frozen=True, slots=True)
class LabCredential:
    """A chain and its key, read back from the files."""

    chain: tuple[Certificate, ...]
    """Leaf first, without the root."""
    key: PrivateKey = field(repr=False)


def write_lab(directory: Path, now: datetime) -> list[Hierarchy]:
    """Make all hierarchies and write them; raises PkiError (STORAGE)."""
    private_directory(directory, create=True)
    made = [build(generation, now) for generation in GENERATIONS]
    for hierarchy in made:
        _write(directory / hierarchy.generation.name, hierarchy, build_wrong(hierarchy))
    return made


def read_credential(directory: Path, generation: str, name: str) -> LabCredential:
    """Read the chain and the key of a leaf, e.g. ('iso2', 'contract'); raises PkiError, OSError."""
    folder = directory / generation
    return LabCredential(parse_certificates((folder / 'chains' / f'{name}.pem').read_bytes()),
                         parse_private_key((folder / 'keys' / f'{name}.pem').read_bytes()))


def read_certificate(directory: Path, generation: str, name: str) -> Certificate:
    """Read one certificate, e.g. ('iso2', 'v2g_root'); raises PkiError, OSError."""
    return parse_certificates((directory / generation / 'certs' / f'{name}.pem').read_bytes())[0]


def fill_store(store: Store, hierarchies: Iterable[Hierarchy], now: datetime) -> None:
    """Install what a station needs: all roots, its chains with keys, OCSP responses and CRLs."""
    provisioning = Provisioning(store)
    for hierarchy in hierarchies:
        for kind, names in ROOTS.items():
            for name in names:
                provisioning.install(EntryKind(kind.value),
                                     hierarchy.issued[name].certificate.der, now)
        for name, role in LEAFS.items():
            if role is Role.SECC:
                issued = hierarchy.issued[name]
                provisioning.install(EntryKind.SECC_CHAIN, _pem(issued.chain), now,
                                     key_pem=_key_pem(issued.key))
        for response in hierarchy.ocsp.values():
            provisioning.install(EntryKind.OCSP_RESPONSE, response, now)
        for crl in hierarchy.crls.values():
            provisioning.install(EntryKind.CRL, crl, now)


def _write(folder: Path, hierarchy: Hierarchy, wrong: list[Wrong]) -> None:
    private_directory(folder, create=True)
    for part in ('certs', 'chains', 'keys', 'ocsp', 'crls', 'wrong'):
        private_directory(folder / part, create=True)
    for name, issued in hierarchy.issued.items():
        write_file(folder / 'certs' / f'{name}.pem', issued.certificate.pem())
        write_file(folder / 'keys' / f'{name}.pem', _key_pem(issued.key))
        if name in LEAFS:
            write_file(folder / 'chains' / f'{name}.pem', _pem(issued.chain))
    for name, response in hierarchy.ocsp.items():
        write_file(folder / 'ocsp' / f'{name}.der', response)
    for name, crl in hierarchy.crls.items():
        write_file(folder / 'crls' / f'{name}.der', crl)
    for fault in wrong:
        _write_wrong(folder / 'wrong', fault)
    write_file(folder / 'manifest.json', json.dumps(_manifest(hierarchy, wrong), indent=1).encode())


def _write_wrong(folder: Path, fault: Wrong) -> None:
    stem = f'{fault.role.value}-{fault.name}'
    write_file(folder / f'{stem}.key.pem', _key_pem(fault.leaf.key))
    for index, der in enumerate(fault.chain):
        write_file(folder / f'{stem}.{index}.der', der)
    for response in fault.ocsp:
        write_file(folder / f'{stem}.ocsp.der', response)
    if fault.extra_root:
        write_file(folder / f'{stem}.root.der', fault.extra_root.certificate.der)


def _manifest(hierarchy: Hierarchy, wrong: list[Wrong]) -> dict[str, object]:
    return {
        'made': hierarchy.made.isoformat(),
        'roots': {kind.value: list(names) for kind, names in ROOTS.items()},
        'leafs': {name: role.value for name, role in LEAFS.items() if name in hierarchy.issued},
        'wrong': [{'name': fault.name, 'role': fault.role.value, 'expected': fault.expected.name,
                   'reason': fault.expected.reason, 'certificates': len(fault.chain),
                   'needs_ocsp': bool(fault.ocsp), 'needs_root': fault.extra_root is not None}
                  for fault in wrong],
    }


def _pem(chain: Iterable[Certificate]) -> bytes:
    return b''.join(certificate.pem() for certificate in chain)


def _key_pem(key: PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
