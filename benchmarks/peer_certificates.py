"""Certificates for sessions with the peer: its own script makes them, our store takes its part."""

from __future__ import annotations

import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from ccs2_pki.provisioning import Provisioning
from ccs2_pki.store import EntryKind, Store
from peer_environment import PeerError, interpreter

#: Names of the folders that :func:`make` makes: the car's files, and the station's store.
PEER, STORE = 'peer', 'store'
#: What the peer's script encrypts keys with unless told otherwise.
PASSWORD = b'12345'
#: The roots that the station trusts, by the names of their files.
ROOTS = {EntryKind.V2G_ROOT: 'v2gRootCACert', EntryKind.OEM_ROOT: 'oemRootCACert',
         EntryKind.MO_ROOT: 'moRootCACert'}


def make(folder: Path) -> None:
    """Make the peer's hierarchy (P-256) in a folder, and a store for the station.

    Raises :class:`PeerError` if the peer's script fails, ``PkiError`` if our store refuses what it
    has made.
    """
    where = subprocess.run(
        [interpreter(), '-c', 'from iso15118.shared.settings import SHARED_CWD as f; print(f)'],
        capture_output=True, text=True, check=False)
    if where.returncode:
        raise PeerError(where.stderr)
    peer = folder / PEER
    shutil.copytree(Path(where.stdout.strip(), 'pki'), peer)
    done = subprocess.run(['bash', 'create_certs.sh', '-v', 'iso-2'], cwd=peer,
                          capture_output=True, text=True, check=False)
    certificates = peer / 'iso15118_2/certs'
    if not (certificates / 'cpoCertChain.pem').exists():
        raise PeerError(f'create_certs.sh: {done.stderr[-2000:]}')
    provisioning, now = Provisioning(Store(folder / STORE, create=True)), datetime.now(UTC)
    for kind, name in ROOTS.items():
        provisioning.install(kind, (certificates / f'{name}.pem').read_bytes(), now)
    key = load_pem_private_key(
        (peer / 'iso15118_2/private_keys/seccLeaf.key').read_bytes(), PASSWORD)
    provisioning.install(
        EntryKind.SECC_CHAIN, (certificates / 'cpoCertChain.pem').read_bytes(), now,
        key_pem=key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
