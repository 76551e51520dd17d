"""Tokens, lock-out, audit trail and the clock."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pki_lab import NOW, hierarchy

from ccs2_pki.audit import MAX_FILE_SIZE, AuditFile, record
from ccs2_pki.errors import ErrorCode, PkiError
from ccs2_pki.guard import Guard
from ccs2_pki.tokens import MAX_TOKENS, LockOut, TokenFile, TokenRole, check, create
from ccs2_pki.trusted_time import RELEASE, plausible, synchronised, trusted_now

READ, PROVISION = TokenRole.READ, TokenRole.PROVISION
HOUR = timedelta(hours=1)


@pytest.fixture
def tokens(tmp_path):
    (tmp_path / 'pki').mkdir(mode=0o700)
    return TokenFile(tmp_path / 'pki')


def make(roles=(READ,), lifetime=HOUR):
    entry, token = create([], 'technician', frozenset(roles), lifetime, NOW)
    return [entry], token


def test_a_token_opens_what_its_roles_say():
    for roles in ((READ,), (PROVISION,), (READ, PROVISION)):
        records, token = make(roles)
        for role in TokenRole:
            assert (check(records, token, role, NOW) is not None) == (role in roles)


def test_a_token_ends():
    records, token = make()
    assert check(records, token, READ, NOW + HOUR - timedelta(seconds=1))
    assert check(records, token, READ, NOW + HOUR) is None


def test_nothing_but_the_token_opens():
    records, token = make()
    others = ['', 'ccs2', token[:-1], token + 'A', token.upper(), f' {token}', f'{token}\n',
              token.replace(records[0].id, '0' * 8), f'ccs2_{records[0].id}_{"A" * 43}',
              'ccs2_\N{SNOWMAN}', records[0].digest.hex()]
    for other in others:
        assert check(records, other, READ, NOW) is None
    assert check([], token, READ, NOW) is None


@given(st.text(max_size=130))
def test_any_text_is_a_verdict(text):
    records, _ = make()
    assert check(records, text, READ, NOW) is None


def test_two_tokens_never_agree():
    made = [create([], 'a', frozenset({READ}), HOUR, NOW) for _ in range(200)]
    assert len({token for _, token in made}) == 200
    assert len({entry.digest for entry, _ in made}) == 200
    for entry, token in made[:20]:
        assert token.split('_', 2)[2] not in repr(entry)
        assert str(entry.digest) not in repr(entry)


@pytest.mark.parametrize(('name', 'roles', 'lifetime'), [
    ('', {READ}, HOUR), ('a' * 65, {READ}, HOUR), ('a\nb', {READ}, HOUR), ('a', set(), HOUR),
    ('a', {READ}, timedelta(0)), ('a', {READ}, timedelta(days=31)), ('a', {READ}, -HOUR)])
def test_odd_wishes_are_refused(name, roles, lifetime):
    with pytest.raises(PkiError) as error:
        create([], name, frozenset(roles), lifetime, NOW)
    assert error.value.code is ErrorCode.MALFORMED


def test_a_new_file_has_no_token_and_keeps_only_hashes(tokens):
    assert tokens.records() == ()
    entry, token = tokens.create('technician', frozenset({READ}), HOUR, NOW)
    text = (tokens._path).read_text()
    assert token not in text
    assert token.split('_', 2)[2] not in text
    assert tokens._path.stat().st_mode & 0o077 == 0
    [kept] = tokens.records()
    assert kept.digest == entry.digest
    assert check(tokens.records(), token, READ, NOW) == kept
    tokens.revoke(entry.id)
    assert check(tokens.records(), token, READ, NOW) is None
    with pytest.raises(PkiError) as error:
        tokens.revoke(entry.id)
    assert error.value.code is ErrorCode.NOT_FOUND


def test_expired_tokens_make_room(tokens):
    for _ in range(MAX_TOKENS):
        tokens.create('a', frozenset({READ}), HOUR, NOW)
    with pytest.raises(PkiError, match='tokens exist already'):
        tokens.create('a', frozenset({READ}), HOUR, NOW)
    tokens.create('a', frozenset({READ}), HOUR, NOW + 2 * HOUR)
    assert len(tokens.records()) == 1


@pytest.mark.parametrize('text', ['', '{}', '[]', '{"tokens": [{}]}', '{"tokens": [1]}',
                                  'x' * 70000, '{"tokens": [{"id": "é", "name": "", "roles": [], '
                                  '"sha256": "", "created": 0, "expires": 0}]}'])
def test_a_damaged_file_opens_nothing(tokens, text):
    tokens._path.write_text(text)
    tokens._path.chmod(0o600)
    with pytest.raises(PkiError) as error:
        tokens.records()
    assert error.value.code is ErrorCode.STORAGE


def test_a_file_that_others_could_read_is_refused(tokens):
    tokens.create('a', frozenset({READ}), HOUR, NOW)
    tokens._path.chmod(0o644)
    with pytest.raises(PkiError, match='mode 644'):
        tokens.records()


def test_lock_out():
    lock = LockOut(limit=3, first_pause=10.0, longest_pause=25.0)
    now = 100.0
    for _ in range(2):
        lock.failed(now)
        assert not lock.is_locked(now)
    pauses = []
    for _ in range(4):
        lock.failed(now)
        start = now
        while lock.is_locked(now):
            now += 1.0
        pauses.append(now - start)
    assert pauses == [10.0, 20.0, 25.0, 25.0]
    lock.succeeded()
    lock.failed(now)
    assert not lock.is_locked(now)


def test_a_thousand_guesses_take_weeks():
    lock, now, guesses = LockOut(), 0.0, 0
    while guesses < 1000:
        if lock.is_locked(now):
            now += 60.0
        else:
            lock.failed(now)
            guesses += 1
    assert now > 40 * 24 * 3600


def test_guard(tokens):
    clock = [0.0]
    guard = Guard(tokens, LockOut(limit=2, first_pause=10.0), lambda: clock[0])

    def refusal(token, role=READ, now=NOW):
        with pytest.raises(PkiError) as error:
            guard.admit(token, role, now)
        return error.value.code, str(error.value)

    _, token = tokens.create('technician', frozenset({READ}), HOUR, NOW)
    assert guard.admit(token, READ, NOW) == 'technician'
    assert refusal(token, now=None)[0] is ErrorCode.TIME_NOT_TRUSTED
    assert refusal(token, PROVISION)[0] is ErrorCode.DENIED
    assert not guard.is_locked()
    assert token not in refusal('x' + token)[1]
    assert guard.is_locked()
    assert 'locked' in refusal(token)[1]
    clock[0] = 10.0
    assert guard.admit(token, READ, NOW) == 'technician'


def test_audit_trail(tmp_path):
    audit = AuditFile(tmp_path)
    assert list(audit.records()) == []
    entries = [record('install', 'technician', allowed=True, result=0, detail='a'),
               record('x' * 99, 'y' * 99, allowed=False, result=1, detail='z\n' * 999)]
    for entry in entries:
        audit.append(entry)
    assert list(audit.records()) == entries
    assert (tmp_path / 'audit.jsonl').stat().st_mode & 0o077 == 0
    assert len(entries[1].operation) == 32
    assert len(entries[1].principal) == 64
    assert len(entries[1].detail) == 256
    with (tmp_path / 'audit.jsonl').open('a') as file:
        file.write('{"time": "cut by a power')
    assert list(audit.records()) == entries
    audit.append(entries[0])
    assert list(audit.records()) == [*entries, entries[0]]


def test_the_audit_trail_is_bounded(tmp_path):
    audit = AuditFile(tmp_path)
    (tmp_path / 'audit.jsonl').write_bytes(b'x' * MAX_FILE_SIZE)
    for _ in range(3):
        audit.append(record('list', '', allowed=False, result=1, detail=''))
    assert sorted(path.name for path in tmp_path.glob('audit*')) == ['audit.jsonl',
                                                                     'audit.jsonl.1']
    assert len(list(audit.records())) == 2


def test_plausible_times():
    root = hierarchy('iso2').issued['v2g_root'].certificate
    assert not plausible(datetime(1970, 1, 1, tzinfo=UTC))
    assert not plausible(datetime(2100, 1, 1, tzinfo=UTC))
    assert plausible(RELEASE)
    assert plausible(NOW, [root])
    assert not plausible(root.not_before - timedelta(seconds=1), [root])


def test_the_clock_is_trusted_only_if_it_is_kept():
    now = trusted_now(require_synchronised=False)
    assert now is not None
    assert now.tzinfo is UTC
    assert (trusted_now() is not None) == synchronised()
    future = hierarchy('iso2').issued['v2g_root'].certificate
    assert (trusted_now([future], require_synchronised=False) is None) == (now < future.not_before)
