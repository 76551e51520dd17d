"""The certificate store on disk.

Layout, all 0600 in 0700 directories::

    index.json      what is in the store: the one switch between old and new objects/<hash>
    certificates, OCSP responses, CRLs and signing requests in DER, named by their SHA-256
    keys/<id>.pem   private keys

Objects never change. A change writes new objects and keys first, then replaces ``index.json``
atomically, and only then removes what the new index does not name. A kill at any point leaves the
old index or the new one, each with all its objects. Readers need no lock. There is an index before
there is anything else: objects or keys without one mean that it was lost.
"""

import contextlib
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
from ccs2_pki.certificate import Certificate, KeyAlgorithm, parse_certificate
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
class Index:
    """What ``index.json`` says."""

    generation: int = 0
    entries: tuple[Entry, ...] = ()
    doomed: tuple[KeyRef, ...] = ()
    """Keys that nothing needs any more and that their provider could not destroy yet."""

    def keys(self) -> set[KeyRef]:
        """Return the keys that entries need."""
        return {entry.key for entry in self.entries if entry.key}


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
    doomed: tuple[KeyRef, ...] = ()
    """Keys of deleted entries that are still in a token; each change tries to destroy them."""

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
        self._index_path = directory / 'index.json'
        self._objects = directory / 'objects'
        self._keys = directory / 'keys'
        self.file_keys = FileKeys(self._keys)
        self._providers: dict[str, KeyProvider] = {p.name: p for p in (self.file_keys, *providers)}

    def generation(self) -> int:
        """Return the number of the present state: cheap, for polling."""
        return self._read_index().generation

    def load(self) -> Snapshot:
        """Read everything."""
        while True:
            index = self._read_index()
            snapshot = self._read_objects(index)
            # An object may vanish under a reader when a change removes it: then the index is newer.
            if not snapshot.damaged or self.generation() == index.generation:
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
        """Change the store: all of it on leaving the block, nothing if the block raises.

        A key that nothing needs any more is destroyed. If its token is away, it is remembered, and
        every further change tries again.
        """
        with locked(self.directory / 'lock'):
            index = self._read_index()
            if not self._index_path.exists():
                self._write_index(index)
            change = Change(self, index.generation, index.entries)
            try:
                yield change
                if change.entries != index.entries:
                    self._commit(index, change)
            except BaseException:
                with contextlib.suppress(PkiError):
                    self._destroy(change.generated)
                raise

    def _commit(self, index: Index, change: 'Change') -> None:
        new = Index(index.generation + 1, change.entries)
        dropped = {key for key in index.keys() - new.keys() if key.provider != self.file_keys.name}
        for key in dropped:
            self.provider(key.provider)  # raises if nobody here can ever reach the key
        self._write_index(replace(new, doomed=(*index.doomed, *dropped)))
        self._destroy(())
        change.generation = self.generation()
        self._collect(change.entries)

    def _destroy(self, keys: Iterable[KeyRef]) -> None:
        """Destroy these keys and the doomed ones, but none that the index needs."""
        index = self._read_index()
        left = tuple(key for key in sorted({*index.doomed, *keys} - index.keys())
                     if not self._is_destroyed(key))
        if left != index.doomed:
            self._write_index(replace(index, generation=index.generation + 1, doomed=left))

    def _is_destroyed(self, key: KeyRef) -> bool:
        try:
            self.provider(key.provider).delete(key)
        except PkiError:
            return False
        return True

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

    def _read_index(self) -> Index:
        with contextlib.suppress(FileNotFoundError):
            return _parse_index(read_file(self._index_path, _MAX_INDEX_SIZE))
        filled = any(any(folder.glob('[!.]*')) for folder in (self._objects, self._keys))
        with contextlib.suppress(FileNotFoundError):  # another's first change came in between
            return _parse_index(read_file(self._index_path, _MAX_INDEX_SIZE))
        if filled:
            raise PkiError(ErrorCode.STORAGE, f'index.json is missing from {self.directory}, which '
                                              'holds objects or keys; restore it from a backup')
        return Index()

    def _write_index(self, index: Index) -> None:
        if len(index.entries) > MAX_ENTRIES:
            raise PkiError(ErrorCode.STORAGE, f'store is full: {MAX_ENTRIES} entries')
        write_file(self._index_path, _format_index(index))

    def _read_objects(self, index: Index) -> Snapshot:
        found: dict[EntryKind, list[Any]] = {kind: [] for kind in EntryKind}
        damaged = []
        for entry in index.entries:
            try:
                found[entry.kind].append(_decode(entry, [self.read_object(name)
                                                         for name in entry.objects]))
            except PkiError:
                damaged.append(entry.id)
        v2g_roots: list[Certificate] = found[EntryKind.V2G_ROOT]
        return Snapshot(
            generation=index.generation, entries=index.entries,
            roots={kind: tuple(found[EntryKind(kind.value)]) for kind in RootKind},
            secc_chains=tuple(_with_root(chain, v2g_roots)
                              for chain in found[EntryKind.SECC_CHAIN]),
            pending_keys=tuple(found[EntryKind.PENDING_KEY]),
            revocation=RevocationData(tuple(found[EntryKind.OCSP_RESPONSE]),
                                      tuple(found[EntryKind.CRL])),
            damaged=tuple(damaged), doomed=index.doomed)

    def _collect(self, entries: Sequence[Entry]) -> None:
        """Remove files that the index does not name: replaced, or left by an interrupted change."""
        objects = {name for entry in entries for name in entry.objects}
        keys = {entry.key for entry in entries if entry.key}
        for reference in set(self.file_keys.held()) - keys:
            self.file_keys.delete(reference)
        try:
            for folder in (self.directory, self._objects, self._keys):
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
        self.generated: list[KeyRef] = []
        """Keys made for this change; they go if it does not come about."""

    def generate(self, provider: str, algorithm: KeyAlgorithm) -> KeyRef:
        """Make a key; raises PkiError (NOT_FOUND, UNSUPPORTED, STORAGE)."""
        reference = self.store.provider(provider).generate(algorithm)
        self.generated.append(reference)
        return reference

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


def _format_index(index: Index) -> bytes:
    lines = [{'id': entry.id, 'kind': entry.kind.value, 'objects': entry.objects,
              'key': entry.key and _format_key(entry.key)} for entry in index.entries]
    return json.dumps({'format': _FORMAT, 'generation': index.generation, 'entries': lines,
                       'doomed': [_format_key(key) for key in index.doomed]},
                      indent=1).encode() + b'\n'


def _format_key(key: KeyRef) -> dict[str, str]:
    return {'provider': key.provider, 'id': key.id}


def _parse_key(line: Mapping[str, Any]) -> KeyRef:
    return KeyRef(str(line['provider']), str(line['id']))


def _parse_index(data: bytes) -> Index:
    try:
        index = json.loads(data)
        if index['format'] != _FORMAT:
            raise ValueError('format')
        generation = index['generation']
        if not isinstance(generation, int) or generation < 0:
            raise ValueError('generation')
        return Index(generation, tuple(_parse_entry(line) for line in index['entries']),
                     tuple(_parse_key(line) for line in index.get('doomed', ())))
    except (PkiError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise PkiError(ErrorCode.STORAGE, 'index.json is damaged') from None


def _parse_entry(line: Mapping[str, Any]) -> Entry:
    objects = tuple(line['objects'])
    if not objects or not all(_HASH.fullmatch(name) for name in (line['id'], *objects)):
        raise ValueError('id')
    key = line['key']
    return Entry(line['id'], EntryKind(line['kind']), objects,
                 None if key is None else _parse_key(key))
