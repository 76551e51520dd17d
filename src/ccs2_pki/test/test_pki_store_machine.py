"""The store against a model: any order of changes, failing disks and restarts."""

import hashlib
import os
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from pki_lab import hierarchy

from ccs2_pki.errors import ErrorCode, PkiError
from ccs2_pki.keys import public_key_id
from ccs2_pki.store import EntryKind, Store

LAB = hierarchy('iso2')
ROOTS = [LAB.issued[name].certificate for name in ('v2g_root', 'mo_root', 'oem_root')]
CHAINS = [LAB.issued[name] for name in ('secc', 'secc_b', 'contract')]
KINDS = [EntryKind.V2G_ROOT, EntryKind.MO_ROOT, EntryKind.OEM_ROOT]
CALLS = ('write', 'fsync', 'rename', 'fchmod')


class DiskTrouble:
    """Lets the n-th system call of a change fail."""

    def __init__(self, number):
        self.left = number

    def __enter__(self):
        self.originals = {name: getattr(os, name) for name in CALLS}
        for name, original in self.originals.items():
            setattr(os, name, self._failing(original))

    def __exit__(self, *error):
        for name, original in self.originals.items():
            setattr(os, name, original)

    def _failing(self, original):
        def call(*arguments):
            self.left -= 1
            if self.left == 0:
                raise OSError(5, 'Input/output error')
            return original(*arguments)
        return call


class StoreMachine(RuleBasedStateMachine):
    """The model is a set of (kind, id)."""

    def __init__(self):
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / 'pki'
        self.store = Store(self.path, create=True)
        self.model = set()
        self.generation = 0

    def teardown(self):
        self.folder.cleanup()

    def change(self, work, after):
        with self.store.change() as change:
            work(change)
        self.generation += after != self.model
        self.model = after

    @rule(root=st.sampled_from(ROOTS), kind=st.sampled_from(KINDS))
    def install_root(self, root, kind):
        after = self.model | {(kind, root.fingerprint)}
        if after != self.model:
            self.change(lambda c: c.put(kind, root.fingerprint, [root.der]), after)

    @rule(issued=st.sampled_from(CHAINS))
    def install_chain(self, issued):
        entry = (EntryKind.SECC_CHAIN, issued.certificate.fingerprint)
        if entry not in self.model:
            self.change(lambda c: self.put_chain(c, issued), self.model | {entry})

    @staticmethod
    def put_chain(change, issued):
        change.put(EntryKind.SECC_CHAIN, issued.certificate.fingerprint,
                   [c.der for c in issued.chain], change.store.file_keys.adopt(issued.key))

    @rule(data=st.data())
    def delete(self, data):
        if self.model:
            _, entry_id = data.draw(st.sampled_from(sorted(self.model, key=str)))
            self.change(lambda c: c.remove(entry_id),
                        {entry for entry in self.model if entry[1] != entry_id})

    @rule(issued=st.sampled_from(CHAINS), number=st.integers(1, 60))
    def install_chain_on_a_failing_disk(self, issued, number):
        entry = (EntryKind.SECC_CHAIN, issued.certificate.fingerprint)
        if entry in self.model:
            return
        before = self.store.generation()
        try:
            with DiskTrouble(number), self.store.change() as change:
                self.put_chain(change, issued)
        except PkiError as error:
            assert error.code is ErrorCode.STORAGE  # noqa: PT017 - both outcomes are right
        if self.store.generation() != before:
            self.model = self.model | {entry}
            self.generation += 1

    @rule()
    def restart(self):
        self.store = Store(self.path)

    @invariant()
    def holds_what_the_model_holds(self):
        snapshot = self.store.load()
        assert {(entry.kind, entry.id) for entry in snapshot.entries} == self.model
        assert snapshot.generation == self.generation
        assert not snapshot.damaged
        for chain in snapshot.secc_chains:
            key = self.store.private_key(chain.key)
            assert key.public_key() == chain.leaf.public_key
            assert chain.key.id == public_key_id(chain.leaf.public_key)

    @invariant()
    def holds_nothing_that_is_not_its_content(self):
        for path in (self.path / 'objects').glob('[!.]*'):
            assert path.name == hashlib.sha256(path.read_bytes()).hexdigest()


TestStore = StoreMachine.TestCase
TestStore.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)
