"""The store on disk: what goes in comes out, others cannot read it, a kill leaves old or new."""

import contextlib
import hashlib
import itertools
import json
import os
import random
import signal
import stat
import time
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pki_lab import NOW, hierarchy

from ccs2_pki.atomic import write_file
from ccs2_pki.certificate import KeyAlgorithm
from ccs2_pki.errors import ErrorCode, PkiError
from ccs2_pki.health import assess
from ccs2_pki.keys import FileKeys, KeyRef, generate_key, public_key_id
from ccs2_pki.lab.issuing import ocsp_response
from ccs2_pki.profiles import RootKind
from ccs2_pki.provisioning import Provisioning
from ccs2_pki.store import MAX_ENTRIES, Entry, EntryKind, Snapshot, Store, _parse_index

LAB = hierarchy('iso2')
ROOT = LAB.issued['v2g_root'].certificate
OTHER = LAB.issued['mo_root'].certificate


def full_disk(descriptor, data):
    raise OSError(28, 'No space left on device')


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / 'pki', create=True)


def put_chain(change, name='secc', key=None):
    issued = LAB.issued[name]
    reference = change.store.file_keys.adopt(key or issued.key)
    change.put(EntryKind.SECC_CHAIN, issued.certificate.fingerprint,
               [c.der for c in issued.chain], reference)
    return reference


def fill(store):
    with store.change() as change:
        change.put(EntryKind.V2G_ROOT, ROOT.fingerprint, [ROOT.der])
        put_chain(change)


def test_a_new_store_is_empty(store):
    snapshot = store.load()
    assert snapshot.generation == 0
    assert snapshot.entries == ()
    assert snapshot.certificates() == ()


def test_what_goes_in_comes_out(store):
    with store.change() as change:
        change.put(EntryKind.V2G_ROOT, ROOT.fingerprint, [ROOT.der])
        change.put(EntryKind.MO_ROOT, OTHER.fingerprint, [OTHER.der])
        put_chain(change)
        der = LAB.ocsp['secc']
        change.put(EntryKind.OCSP_RESPONSE, hashlib.sha256(der).hexdigest(), [der])
        crl = LAB.crls['mo_sub2']
        change.put(EntryKind.CRL, hashlib.sha256(crl).hexdigest(), [crl])
    snapshot = Store(store.directory).load()
    assert snapshot.generation == change.generation == 1
    assert snapshot.roots[RootKind.V2G] == (ROOT,)
    assert snapshot.roots[RootKind.MO] == (OTHER,)
    assert snapshot.roots[RootKind.OEM] == ()
    [chain] = snapshot.secc_chains
    assert chain.chain == LAB.issued['secc'].chain
    assert chain.root == ROOT
    key = store.private_key(chain.key)
    assert key.public_key() == chain.leaf.public_key
    assert [r.der for r in snapshot.revocation.responses] == [der]
    assert [c.der for c in snapshot.revocation.crls] == [crl]
    assert not snapshot.damaged


def test_the_generation_counts_only_changes(store):
    fill(store)
    assert store.generation() == 1
    with store.change():
        pass
    with pytest.raises(PkiError) as error, store.change() as change:
        change.remove('0' * 64)
    assert error.value.code is ErrorCode.NOT_FOUND
    before = store.generation()
    with store.change() as change:
        change.remove(ROOT.fingerprint)
    assert store.generation() == before + 1


def test_an_exception_changes_nothing(store):
    fill(store)
    before = store.load()
    with contextlib.suppress(RuntimeError), store.change() as change:
        change.put(EntryKind.MO_ROOT, OTHER.fingerprint, [OTHER.der])
        change.remove(ROOT.fingerprint)
        raise RuntimeError
    assert store.load() == before


def test_deleting_a_chain_destroys_its_key_unless_another_chain_needs_it(store):
    with store.change() as change:
        reference = put_chain(change)
        change.put(EntryKind.SECC_CHAIN, OTHER.fingerprint,
                   [c.der for c in LAB.issued['secc'].chain], reference)
    with store.change() as change:
        change.remove(LAB.issued['secc'].certificate.fingerprint)
    assert store.file_keys.holds(reference)
    with store.change() as change:
        change.remove(OTHER.fingerprint)
    assert not store.file_keys.holds(reference)
    assert not any((store.directory / 'keys').iterdir())
    assert not any((store.directory / 'objects').iterdir())
    with pytest.raises(PkiError) as error:
        store.private_key(reference)
    assert error.value.code is ErrorCode.NOT_FOUND


def test_leftovers_of_interrupted_changes_are_removed(store):
    fill(store)
    stray = store.file_keys.adopt(generate_key(LAB.generation.algorithm))
    store.write_object(b'stray')
    (store.directory / '.new-stray').write_bytes(b'')
    (store.directory / 'objects' / '.new-stray').write_bytes(b'')
    with store.change() as change:
        change.put(EntryKind.MO_ROOT, OTHER.fingerprint, [OTHER.der])
    assert not store.file_keys.holds(stray)
    names = {path.name for path in store.directory.rglob('*')}
    assert not any(name.startswith('.new-') for name in names)
    assert len(list((store.directory / 'objects').iterdir())) == 5


def test_without_its_index_a_store_is_not_empty_but_broken(store):
    fill(store)
    (store.directory / 'index.json').unlink()
    files = sorted(store.directory.rglob('*'))
    for use in (store.load, store.generation, Store(store.directory).load,
                lambda: store.change().__enter__()):
        with pytest.raises(PkiError, match=r'index\.json is missing') as error:
            use()
        assert error.value.code is ErrorCode.STORAGE
        assert str(store.directory) in str(error.value)
    assert sorted(store.directory.rglob('*')) == files


def test_a_reader_is_not_deceived_by_the_first_change(store, monkeypatch):
    read = store._objects.__class__.glob

    def slow_look(folder, pattern):
        with monkeypatch.context() as undone:
            undone.setattr(store._objects.__class__, 'glob', read)
            fill(Store(store.directory))
        monkeypatch.setattr(store._objects.__class__, 'glob', read)
        return read(folder, pattern)

    monkeypatch.setattr(store._objects.__class__, 'glob', slow_look)
    assert store.generation() == 1


class Token:
    """A key provider that can be pulled out."""

    name = 'token'

    def __init__(self):
        self.keys = {}
        self.away = False
        self.mute = False

    def _need(self, broken=False):
        if self.away or broken:
            raise PkiError(ErrorCode.STORAGE, 'the token is away')

    def generate(self, algorithm):
        self._need()
        key = generate_key(algorithm)
        reference = KeyRef(self.name, public_key_id(key.public_key()))
        self.keys[reference] = key
        return reference

    def load(self, reference):
        self._need(self.mute)
        return self.keys[reference]

    def holds(self, reference):
        return not self.away and reference in self.keys

    def delete(self, reference):
        self._need()
        self.keys.pop(reference, None)


@pytest.fixture
def token():
    return Token()


@pytest.fixture
def on_token(tmp_path, token):
    return Provisioning(Store(tmp_path / 'pki', create=True, providers=[token]))


def put_root(store):
    with store.change() as change:
        change.put(EntryKind.MO_ROOT, OTHER.fingerprint, [OTHER.der])


def test_a_key_whose_token_is_away_is_destroyed_later(on_token, token):
    key_id, _ = on_token.create_csr(KeyAlgorithm.P256, 'a', 'b', provider='token')
    kept_id, _ = on_token.create_csr(KeyAlgorithm.P256, 'a', 'b', provider='token')
    store = on_token.store
    token.away = True
    assert on_token.delete(key_id) == store.generation()
    assert [info.id for info in on_token.list()] == [kept_id]
    assert [key.id for key in store.load().doomed] == [key_id]
    assert 'still in a token' in assess(
        store.load(), NOW, timedelta(days=30), on_token.has_key).message
    put_root(store)  # the token is still away
    put_root(Store(store.directory))  # and here nobody knows it
    assert [key.id for key in store.load().doomed] == [key_id]
    token.away = False
    before = store.generation()
    on_token.delete(OTHER.fingerprint)
    assert [key.id for key in token.keys] == [kept_id]
    assert store.load().doomed == ()
    assert store.generation() > before


@pytest.mark.parametrize('trouble', ['signature', 'disk', 'room'])
def test_a_request_that_fails_leaves_no_key(on_token, token, trouble, monkeypatch):
    put_root(on_token.store)
    if trouble == 'signature':
        token.mute = True
    elif trouble == 'room':
        monkeypatch.setattr('ccs2_pki.store.MAX_ENTRIES', 1)
    else:
        monkeypatch.setattr(os, 'write', full_disk)
    for provider in ('token', 'file') if trouble == 'room' else ('token',):
        with pytest.raises(PkiError):
            on_token.create_csr(KeyAlgorithm.P256, 'a', 'b', provider=provider)
    assert token.keys == {}
    assert on_token.store.file_keys.held() == []
    assert on_token.store.generation() == 1


def test_a_key_of_a_failed_request_is_remembered_if_its_token_has_gone(on_token, token):
    put_root(on_token.store)
    load = token.load

    def pulled(reference):
        token.away = True
        return load(reference)

    token.load = pulled
    with pytest.raises(PkiError):
        on_token.create_csr(KeyAlgorithm.P256, 'a', 'b', provider='token')
    assert len(token.keys) == 1
    token.away = False
    on_token.delete(OTHER.fingerprint)
    assert token.keys == {}


def test_nobody_else_can_read_anything(store, monkeypatch):
    os.umask(0)
    try:
        fill(store)
    finally:
        os.umask(0o022)
    for path in (store.directory, *store.directory.rglob('*')):
        assert stat.S_IMODE(path.lstat().st_mode) & 0o077 == 0, path


def key_path(store):
    [path] = (store.directory / 'keys').iterdir()
    return path


@pytest.mark.parametrize('mode', [0o640, 0o604, 0o666, 0o700 | 0o044])
def test_a_key_that_others_could_read_is_refused(store, mode):
    fill(store)
    key_path(store).chmod(mode)
    [chain] = store.load().secc_chains
    with pytest.raises(PkiError, match='group and others must have no access') as error:
        store.private_key(chain.key)
    assert error.value.code is ErrorCode.STORAGE


def test_links_pipes_and_folders_instead_of_a_key_are_refused(store, tmp_path):
    fill(store)
    [chain] = store.load().secc_chains
    path = key_path(store)
    path.rename(tmp_path / 'elsewhere')
    path.symlink_to(tmp_path / 'elsewhere')
    with pytest.raises(PkiError) as error:
        store.private_key(chain.key)
    assert error.value.code is ErrorCode.STORAGE
    path.unlink()
    os.mkfifo(path, 0o600)
    with pytest.raises(PkiError, match='not a regular file'):
        store.private_key(chain.key)
    path.unlink()
    path.mkdir(0o700)
    with pytest.raises(PkiError):
        store.private_key(chain.key)


def test_a_directory_that_others_could_enter_is_refused(store, tmp_path):
    store.directory.chmod(0o750)
    with pytest.raises(PkiError, match='mode 750'):
        Store(store.directory)
    store.directory.chmod(0o700)
    (tmp_path / 'link').symlink_to(store.directory)
    with pytest.raises(PkiError, match='not a directory'):
        Store(tmp_path / 'link')
    with pytest.raises(PkiError) as error:
        Store(tmp_path / 'nothing')
    assert error.value.code is ErrorCode.NOT_FOUND


def test_two_may_make_a_store_at_once(tmp_path, monkeypatch):
    directory = tmp_path / 'pki'
    exists = Path.exists

    def overtaken(path, **options):
        known = exists(path, **options)
        if path == directory:
            path.mkdir(mode=0o700, exist_ok=True)
        return known

    monkeypatch.setattr(Path, 'exists', overtaken)
    assert Store(directory, create=True).generation() == 0


@pytest.mark.skipif(os.geteuid() != 0, reason='only root can give files away')
def test_a_store_of_another_user_is_refused(store):
    os.chown(store.directory, 12345, -1)
    with pytest.raises(PkiError, match='belongs to user 12345'):
        Store(store.directory)


@pytest.mark.parametrize('key_id', ['../../etc/shadow', '', 'AB', 'a/b', 'a' * 65])
def test_key_ids_are_no_paths(key_id):
    with pytest.raises(PkiError):
        KeyRef('file', key_id)


def test_damage_is_contained_and_told(store):
    fill(store)
    with store.change() as change:
        change.put(EntryKind.MO_ROOT, OTHER.fingerprint, [OTHER.der])
    (store.directory / 'objects' / hashlib.sha256(OTHER.der).hexdigest()).write_bytes(ROOT.der)
    snapshot = store.load()
    assert snapshot.damaged == (OTHER.fingerprint,)
    assert snapshot.roots[RootKind.MO] == ()
    assert snapshot.roots[RootKind.V2G] == (ROOT,)
    (store.directory / 'objects' / hashlib.sha256(OTHER.der).hexdigest()).unlink()
    assert store.load().damaged == (OTHER.fingerprint,)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5),
                    lambda inner: st.lists(inner, max_size=3)
                    | st.dictionaries(st.sampled_from(['format', 'generation', 'entries', 'id',
                                                       'kind', 'objects', 'key', 'doomed',
                                                       'provider']), inner)))
@settings(deadline=None)
def test_a_damaged_index_is_a_clear_error(value):
    for text in (json.dumps(value), json.dumps({'format': 1, 'generation': 1, 'entries': value}),
                 json.dumps({'format': 1, 'generation': 1, 'entries': [], 'doomed': value}),
                 json.dumps({'format': 1, 'generation': 1, 'entries': [], 'doomed': [value]}),
                 json.dumps({'format': 1, 'generation': 1, 'entries': [value]})):
        try:
            index = _parse_index(text.encode())
        except PkiError as error:
            assert error.code is ErrorCode.STORAGE  # noqa: PT017 - both outcomes are right
        else:
            assert index.generation >= 0
            assert all(isinstance(entry, Entry) for entry in index.entries)
            assert all(isinstance(key, KeyRef) for key in index.doomed)


@given(st.binary(max_size=60))
def test_any_bytes_as_index_are_a_clear_error(data):
    with pytest.raises(PkiError) as error:
        _parse_index(data)
    assert error.value.code is ErrorCode.STORAGE


def test_a_full_store_keeps_its_state(store):
    with store.change() as change:
        for number in range(MAX_ENTRIES):
            change.put(EntryKind.V2G_ROOT, f'{number:064x}', [ROOT.der])
    with pytest.raises(PkiError, match='store is full'), store.change() as change:
        change.put(EntryKind.MO_ROOT, OTHER.fingerprint, [OTHER.der])
    assert len(store.load().entries) == MAX_ENTRIES


def test_a_full_disk_keeps_the_old_state(store, monkeypatch):
    fill(store)
    before = store.load()

    monkeypatch.setattr(os, 'write', full_disk)
    with pytest.raises(PkiError, match='No space left') as error, store.change() as change:
        change.put(EntryKind.MO_ROOT, OTHER.fingerprint, [OTHER.der])
    monkeypatch.undo()
    assert error.value.code is ErrorCode.STORAGE
    assert store.load() == before
    assert not list(store.directory.rglob('.new-*'))


def test_two_writers_take_turns(store, monkeypatch):
    monkeypatch.setattr('ccs2_pki.atomic._LOCK_PATIENCE', 0.0)
    with store.change(), pytest.raises(PkiError, match='another process'), store.change():
        pass


def test_a_reader_sees_the_new_state_when_objects_go_away_under_it(store, monkeypatch):
    fill(store)
    read = store.read_object
    calls = []

    def slow_read(name):
        if not calls:
            calls.append(name)
            with Store(store.directory).change() as change:
                change.remove(ROOT.fingerprint)
        return read(name)

    monkeypatch.setattr(store, 'read_object', slow_read)
    snapshot = store.load()
    assert snapshot.generation == 2
    assert not snapshot.damaged
    assert snapshot.roots[RootKind.V2G] == ()


def test_every_file_is_synced_before_it_is_renamed_and_the_directory_after(tmp_path, monkeypatch):
    """A power cut is worse than a kill: what was not synced may be gone."""
    calls = []
    for name in ('write', 'fsync', 'rename'):
        original = getattr(os, name)

        def recorded(first, *rest, name=name, original=original):
            what = 'directory' if name == 'fsync' and stat.S_ISDIR(os.fstat(first).st_mode) else ''
            calls.append((name, what))
            return original(first, *rest)

        monkeypatch.setattr(os, name, recorded)
    write_file(tmp_path / 'file', b'data')
    assert calls == [('write', ''), ('fsync', ''), ('rename', ''), ('fsync', 'directory')]


def test_the_index_is_the_last_thing_written(store, monkeypatch):
    targets = []
    original = os.rename

    def recorded(source, target):
        targets.append(os.path.basename(target))
        return original(source, target)

    monkeypatch.setattr(os, 'rename', recorded)
    fill(store)
    assert targets[-1] == 'index.json'
    assert targets[0] == 'index.json'  # the empty one: before it there is nothing to lose
    assert len(targets) == 1 + 1 + 4 + 1


# Kills

KEYS = [generate_key(LAB.generation.algorithm) for _ in range(3)]


def steps(store):
    """Changes of several files each, in an endless order; yields after each one."""
    secc = LAB.issued['secc']
    round_number = 0
    while True:
        with store.change() as change:  # roots and a chain with its key, all new
            change.put(EntryKind.V2G_ROOT, ROOT.fingerprint, [ROOT.der])
            put_chain(change)
        yield
        with store.change() as change:  # another chain and key replace the first
            change.remove(secc.certificate.fingerprint)
            put_chain(change, 'secc_b')
        yield
        response = ocsp_response(secc, NOW)
        with store.change() as change:
            change.put(EntryKind.OCSP_RESPONSE, hashlib.sha256(response).hexdigest(), [response])
            key = KEYS[round_number % 3]
            change.put(EntryKind.PENDING_KEY, public_key_id(key.public_key()), [b'0\0'],
                       change.store.file_keys.adopt(key))
        yield
        with store.change() as change:
            for entry in change.entries:
                change.remove(entry.id)
            change.put(EntryKind.MO_ROOT, OTHER.fingerprint, [OTHER.der])
        yield
        with store.change() as change:
            change.remove(OTHER.fingerprint)
        yield
        round_number += 1


def kinds_after(step):
    """What the store holds after so many changes."""
    return ([], ['secc-chain', 'v2g-root'], ['secc-chain', 'v2g-root'],
            ['ocsp-response', 'pending-key', 'secc-chain', 'v2g-root'],
            ['mo-root'])[step % 5] if step else []


def check_consistent(directory, done):
    """The store is as it was after ``done`` changes, or after the one that was being made."""
    store = Store(directory)
    snapshot: Snapshot = store.load()
    assert done <= snapshot.generation <= done + 1
    assert not snapshot.damaged
    assert sorted(e.kind.value for e in snapshot.entries) == kinds_after(snapshot.generation)
    for chain in snapshot.secc_chains:
        assert store.private_key(chain.key).public_key() == chain.leaf.public_key
        expected = ROOT if chain.leaf == LAB.issued['secc'].certificate else None
        assert chain.root == expected
    for pending in snapshot.pending_keys:
        assert public_key_id(store.private_key(pending.key).public_key()) == pending.id


def run_and_die(directory, prepare):
    """Change the store in a child process until it is killed; return the number of done changes."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            tick = prepare()
            for _ in steps(Store(directory)):
                os.write(writing, b'.')
                tick()
        finally:
            os._exit(1)
    os.close(writing)
    return child, reading


def reap(child, reading):
    with os.fdopen(reading, 'rb') as pipe:
        done = len(pipe.read())
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status)
    assert os.WTERMSIG(status) == signal.SIGKILL
    return done


def time_of_a_change(directory):
    """Return how long a change takes on this disk, s."""
    store, began = Store(directory, create=True), time.monotonic()
    for _ in itertools.islice(steps(store), 5):
        pass
    return (time.monotonic() - began) / 5


def test_200_random_kills_leave_the_old_or_the_new_state(tmp_path, capsys):
    random_number = random.Random(15118)
    longest = 3 * time_of_a_change(tmp_path / 'unharmed')
    done_before_kill, torn = 0, 0
    for number in range(200):
        directory = tmp_path / str(number)
        Store(directory, create=True)
        child, reading = run_and_die(directory, lambda: lambda: None)
        time.sleep(random_number.uniform(0.001, longest))
        os.kill(child, signal.SIGKILL)
        done = reap(child, reading)
        check_consistent(directory, done)
        done_before_kill += done
        # A child starts late on a busy machine: about every second one shall get something done.
        longest *= 0.9 if done else 1.1
        objects = {path.name for path in (directory / 'objects').glob('*')}
        named = {name for entry in Store(directory).load().entries for name in entry.objects}
        torn += objects != named
        # The next change cleans up and works.
        with Store(directory).change() as change:
            change.put(EntryKind.CPS_ROOT, OTHER.fingerprint, [OTHER.der])
        assert not Store(directory).load().damaged
    assert done_before_kill > 0
    assert torn > 0, 'no kill ever hit a change; the test proves nothing'
    with capsys.disabled():
        print(f'\n200 kills of a certificate installation: 200 consistent stores, '
              f'{done_before_kill} changes done before, {torn} killed half-way')


def test_a_kill_at_every_system_call_leaves_the_old_or_the_new_state(tmp_path, capsys):
    calls = ('open', 'write', 'fsync', 'rename', 'unlink', 'fchmod')

    def armed(limit):
        count = [0]
        for name in calls:
            original = getattr(os, name)

            def counting(*args, original=original, **options):
                count[0] += 1
                if count[0] == limit:
                    os.kill(os.getpid(), signal.SIGKILL)
                return original(*args, **options)

            setattr(os, name, counting)
        return lambda: None

    limit, done = 0, 0
    while done < 5:  # until a kill comes after one whole round of changes
        limit += 1
        directory = tmp_path / str(limit)
        Store(directory, create=True)
        done = reap(*run_and_die(directory, lambda limit=limit: armed(limit)))
        check_consistent(directory, done)
    with capsys.disabled():
        print(f'\n{limit} kills, one at each system call of five changes: consistent')
    assert limit > 100


def test_file_keys_make_every_algorithm(tmp_path):
    keys = FileKeys(tmp_path / 'keys')
    for name in ('iso2', 'iso20', 'iso20-ed448'):
        algorithm = hierarchy(name).generation.algorithm
        reference = keys.generate(algorithm)
        assert public_key_id(keys.load(reference).public_key()) == reference.id
    assert len(keys.held()) == 3
