"""The certificate store on disk.

Layout, all 0600 in 0700 directories::

    index.json      what is in the store: the one switch between old and new objects/<hash>
    certificates, OCSP responses, CRLs and signing requests in DER, named by their SHA-256
    keys/<id>.pem   private keys

Objects never change. A change writes new objects and keys first, then replaces ``index.json``
atomically, and only then removes what the new index does not name. A kill at any point leaves the
old index or the new one, each with all its objects. Readers need no lock.
"""

import contextlib
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import Any

from ccs2_pki.atomic import (
    TEMPORARY_PREFIX,
    locked,
    private_directory,
    read_file,
    storage_error,
    sync_directory,
    write_file,
)
from ccs2_pki.certificate import Certificate, parse_certificate
from ccs2_pki.errors import ErrorCode, PkiError, malformed
from ccs2_pki.keys import FileKeys, KeyProvider, KeyRef
from ccs2_pki.profiles import RootKind
from ccs2_pki.revocation import (
    MAX_CRL_SIZE,
    Crl,
    OcspResponse,
    RevocationData,
    parse_crl,
    parse_ocsp,
)
from ccs2_pki.signatures import PrivateKey

MAX_ENTRIES = 256
_FORMAT = 1
_MAX_INDEX_SIZE = 1 << 20
_HASH = re.compile(r'[0-9a-f]{64}')


class EntryKind(Enum):
    """Kinds of things in the store; roots have the values of :class:`RootKind`."""

    V2G_ROOT = RootKind.V2G.value
    MO_ROOT = RootKind.MO.value
    OEM_ROOT = RootKind.OEM.value
    CPS_ROOT = RootKind.CPS.value
    SECC_CHAIN = 'secc-chain'
    PENDING_KEY = 'pending-key'
    OCSP_RESPONSE = 'ocsp-response'
    CRL = 'crl'

    @property
    def root_kind(self) -> RootKind | None:
        """Kind of root, None for anything else."""
        return _ROOT_KINDS.get(self)


_ROOT_KINDS = {EntryKind(kind.value): kind for kind in RootKind}


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the index."""

    id: str
    """SHA-256, hexadecimal: of the certificate (of the leaf for a chain), the object, or the public
    key (pending)."""
    kind: EntryKind
    objects: tuple[str, ...]
    """Names of the objects; a chain's leaf first."""
    key: KeyRef | None = None


@dataclass(frozen=True, slots=True)
class SeccChain:
    """A chain that the station can present, and the key to it."""

    id: str
    chain: tuple[Certificate, ...]
    """Leaf, then sub-CAs; the root is not sent."""
    root: Certificate | None
    """Installed V2G root that the chain ends in, None if it is not installed (any more)."""
    key: KeyRef

    @property
    def leaf(self) -> Certificate:
        """The station's own certificate."""
        return self.chain[0]


@dataclass(frozen=True, slots=True)
class PendingKey:
    """A key that waits for its certificate."""

    id: str
    key: KeyRef
    csr: bytes = field(repr=False)
    """PKCS#10, DER."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything in the store at one moment, read and parsed."""

    generation: int
    """Counts up with every change; 0 for an empty new store."""
    entries: tuple[Entry, ...]
    roots: Mapping[RootKind, tuple[Certificate, ...]]
    secc_chains: tuple[SeccChain, ...]
    pending_keys: tuple[PendingKey, ...]
    revocation: RevocationData = field(repr=False)
    damaged: tuple[str, ...] = ()
    """Ids of entries whose objects are missing or changed on disk; they are in no other field."""

    def certificates(self) -> tuple[Certificate, ...]:
        """Return all roots and all certificates of SECC chains."""
        roots = [root for held in self.roots.values() for root in held]
        return (*roots, *(c for chain in self.secc_chains for c in chain.chain))


class Store:
    """A directory of certificates and keys. Methods raise PkiError (STORAGE) if the disk fails."""

    def __init__(self, directory: Path, *, create: bool = False,
                 providers: Sequence[KeyProvider] = ()) -> None:
        """Open a store; ``providers`` keep keys outside the directory.

        Raises PkiError: NOT_FOUND if there is no directory and ``create`` is false, STORAGE if it
        is not ours alone.
        """
        private_directory(directory, create=create)
        self.directory = directory
        self.file_keys = FileKeys(directory / 'keys')
        self._objects = directory / 'objects'
        self._providers: dict[str, KeyProvider] = {p.name: p for p in (self.file_keys, *providers)}

    def generation(self) -> int:
        """Return the number of the present state: cheap, for polling."""
        return self._read_index()[0]

    def load(self) -> Snapshot:
        """Read everything."""
        while True:
            generation, entries = self._read_index()
            snapshot = self._read_objects(generation, entries)
            # An object may vanish under a reader when a change removes it: then the index is newer.
            if not snapshot.damaged or self._read_index()[0] == generation:
                return snapshot

    def private_key(self, reference: KeyRef) -> PrivateKey:
        """Return a key to sign with; raises PkiError (NOT_FOUND, STORAGE)."""
        return self.provider(reference.provider).load(reference)

    def provider(self, name: str) -> KeyProvider:
        """Return a key provider by its name; raises PkiError (NOT_FOUND)."""
        try:
            return self._providers[name]
        except KeyError:
            raise PkiError(ErrorCode.NOT_FOUND, f'no key provider {name!r}') from None

    @contextlib.contextmanager
    def change(self) -> Iterator['Change']:
        """Change the store: all of it on leaving the block, nothing if the block raises."""
        with locked(self.directory / 'lock'):
            generation, entries = self._read_index()
            change = Change(self, generation, entries)
            yield change
            if change.entries == entries:
                return
            dropped = {e.key for e in entries if e.key} - {e.key for e in change.entries if e.key}
            doomed = [(self.provider(key.provider), key) for key in dropped]
            self._write_index(generation + 1, change.entries)
            change.generation = generation + 1
            for provider, key in doomed:
                provider.delete(key)
            self._collect(change.entries)

    def write_object(self, data: bytes) -> str:
        """Write an object and return its name; it belongs to nothing until an index names it."""
        private_directory(self._objects, create=True)
        name = hashlib.sha256(data).hexdigest()
        write_file(self._objects / name, data)
        return name

    def read_object(self, name: str) -> bytes:
        """Read an object; raises PkiError (STORAGE) if it is missing or not what its name says."""
        try:
            data = read_file(self._objects / name, MAX_CRL_SIZE)
        except FileNotFoundError:
            raise PkiError(ErrorCode.STORAGE, f'object {name} is missing') from None
        if hashlib.sha256(data).hexdigest() != name:
            raise PkiError(ErrorCode.STORAGE, f'object {name} is damaged')
        return data

    def _read_index(self) -> tuple[int, tuple[Entry, ...]]:
        try:
            data = read_file(self.directory / 'index.json', _MAX_INDEX_SIZE)
        except FileNotFoundError:
            return 0, ()
        return _parse_index(data)

    def _write_index(self, generation: int, entries: Sequence[Entry]) -> None:
        if len(entries) > MAX_ENTRIES:
            raise PkiError(ErrorCode.STORAGE, f'store is full: {MAX_ENTRIES} entries')
        write_file(self.directory / 'index.json', _format_index(generation, entries))

    def _read_objects(self, generation: int, entries: tuple[Entry, ...]) -> Snapshot:
        found: dict[EntryKind, list[Any]] = {kind: [] for kind in EntryKind}
        damaged = []
        for entry in entries:
            try:
                found[entry.kind].append(_decode(entry, [self.read_object(name)
                                                         for name in entry.objects]))
            except PkiError:
                damaged.append(entry.id)
        v2g_roots: list[Certificate] = found[EntryKind.V2G_ROOT]
        return Snapshot(
            generation=generation, entries=entries,
            roots={kind: tuple(found[EntryKind(kind.value)]) for kind in RootKind},
            secc_chains=tuple(_with_root(chain, v2g_roots)
                              for chain in found[EntryKind.SECC_CHAIN]),
            pending_keys=tuple(found[EntryKind.PENDING_KEY]),
            revocation=RevocationData(tuple(found[EntryKind.OCSP_RESPONSE]),
                                      tuple(found[EntryKind.CRL])),
            damaged=tuple(damaged))

    def _collect(self, entries: Sequence[Entry]) -> None:
        """Remove files that the index does not name: replaced, or left by an interrupted change."""
        objects = {name for entry in entries for name in entry.objects}
        keys = {entry.key for entry in entries if entry.key}
        for reference in set(self.file_keys.held()) - keys:
            self.file_keys.delete(reference)
        try:
            for folder in (self.directory, self._objects, self.directory / 'keys'):
                for path in folder.glob(f'{TEMPORARY_PREFIX}*'):
                    path.unlink(missing_ok=True)
            for path in self._objects.glob('*'):
                if path.name not in objects:
                    path.unlink(missing_ok=True)
            if self._objects.exists():
                sync_directory(self._objects)
        except OSError as error:
            raise storage_error('cannot clean up', error) from None


class Change:
    """A change of the store in the making."""

    def __init__(self, store: Store, generation: int, entries: tuple[Entry, ...]) -> None:
        self.store = store
        self.generation = generation
        self.entries = entries

    def put(self, kind: EntryKind, entry_id: str, objects: Sequence[bytes],
            key: KeyRef | None = None) -> None:
        """Add an entry, or replace the one with the same kind and id."""
        names = tuple(self.store.write_object(data) for data in objects)
        entry = Entry(entry_id, kind, names, key)
        kept = tuple(e for e in self.entries if (e.kind, e.id) != (kind, entry_id))
        self.entries = (*kept, entry)

    def remove(self, entry_id: str) -> None:
        """Remove the entry, or the entries, with an id; raises PkiError (NOT_FOUND)."""
        kept = tuple(entry for entry in self.entries if entry.id != entry_id)
        if len(kept) == len(self.entries):
            raise PkiError(ErrorCode.NOT_FOUND, f'nothing with id {entry_id} in the store')
        self.entries = kept


def _decode(entry: Entry,
            objects: list[bytes]) -> Certificate | SeccChain | PendingKey | OcspResponse | Crl:
    if entry.kind is EntryKind.SECC_CHAIN and entry.key:
        chain = tuple(parse_certificate(der) for der in objects)
        return SeccChain(entry.id, chain, None, entry.key)
    if len(objects) != 1:
        raise malformed(f'{entry.kind.value} of {len(objects)} objects')
    if entry.kind is EntryKind.PENDING_KEY and entry.key:
        return PendingKey(entry.id, entry.key, objects[0])
    if entry.kind is EntryKind.OCSP_RESPONSE:
        return parse_ocsp(objects[0])
    if entry.kind is EntryKind.CRL:
        return parse_crl(objects[0])
    return parse_certificate(objects[0])


def _with_root(chain: SeccChain, roots: Sequence[Certificate]) -> SeccChain:
    last = chain.chain[-1]
    root = next((r for r in roots if r.is_named_issuer_of(last) and r.has_signed(last)), None)
    return replace(chain, root=root)


def _format_index(generation: int, entries: Sequence[Entry]) -> bytes:
    lines = [{'id': entry.id, 'kind': entry.kind.value, 'objects': entry.objects,
              'key': entry.key and {'provider': entry.key.provider, 'id': entry.key.id}}
             for entry in entries]
    return json.dumps({'format': _FORMAT, 'generation': generation, 'entries': lines},
                      indent=1).encode() + b'\n'


def _parse_index(data: bytes) -> tuple[int, tuple[Entry, ...]]:
    try:
        index = json.loads(data)
        if index['format'] != _FORMAT:
            raise ValueError('format')
        generation = index['generation']
        if not isinstance(generation, int) or generation < 0:
            raise ValueError('generation')
        return generation, tuple(_parse_entry(line) for line in index['entries'])
    except (PkiError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise PkiError(ErrorCode.STORAGE, 'index.json is damaged') from None


def _parse_entry(line: Mapping[str, Any]) -> Entry:
    objects = tuple(line['objects'])
    if not objects or not all(_HASH.fullmatch(name) for name in (line['id'], *objects)):
        raise ValueError('id')
    key = line['key']
    return Entry(line['id'], EntryKind(line['kind']), objects,
                 None if key is None else KeyRef(str(key['provider']), str(key['id'])))
