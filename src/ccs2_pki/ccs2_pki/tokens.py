"""Diagnostic tokens: who may read or change the store through the node's services.

A token is made on the controller, shown once and kept only as a hash. It has roles and an end.
Wrong tokens are counted; after a few everybody waits. There is no default token: a station without
one refuses every guarded service.
"""

import enum
import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ccs2_pki.atomic import locked, read_file, write_file
from ccs2_pki.errors import ErrorCode, PkiError, malformed

MAX_TOKENS = 32
MAX_LIFETIME = timedelta(days=30)
_MAX_FILE_SIZE = 65536
_PREFIX = 'ccs2'
_SECRET_SIZE = 32
_TOKEN = re.compile(r'ccs2_([0-9a-f]{8})_([A-Za-z0-9_-]{43})')
_ID = re.compile(r'[0-9a-f]{8}')
_NAME = re.compile(r'[\w .@-]{1,64}')


class TokenRole(enum.Enum):
    """What a token allows."""

    READ = 'read'
    PROVISION = 'provision'


@dataclass(frozen=True, slots=True)
class TokenRecord:
    """What is kept of a token."""

    id: str
    name: str
    """Who it was made for; appears in the audit trail."""
    roles: frozenset[TokenRole]
    digest: bytes = field(repr=False)
    """SHA-256 of the secret, which has 256 random bits and so needs no slow hash."""
    created: datetime
    expires: datetime


def create(records: Sequence[TokenRecord], name: str, roles: frozenset[TokenRole],
           lifetime: timedelta, now: datetime) -> tuple[TokenRecord, str]:
    """Make a token; return its record and the text to hand over, which exists nowhere else.

    Raises PkiError (MALFORMED) for an empty or odd name, no role, a lifetime that is not within 0
    to 30 days, or too many tokens.
    """
    if not _NAME.fullmatch(name):
        raise malformed('token name: 1 to 64 letters, digits, blanks or any of . _ @ -')
    if not roles:
        raise malformed('token without a role')
    if not timedelta(0) < lifetime <= MAX_LIFETIME:
        raise malformed(f'token lifetime: more than 0, at most {MAX_LIFETIME.days} days')
    if len([record for record in records if record.expires > now]) >= MAX_TOKENS:
        raise malformed(f'{MAX_TOKENS} tokens exist already')
    secret = secrets.token_urlsafe(_SECRET_SIZE)
    now = now.replace(microsecond=0)
    record = TokenRecord(secrets.token_hex(4), name, roles, _digest(secret), now, now + lifetime)
    return record, f'{_PREFIX}_{record.id}_{secret}'


def check(records: Sequence[TokenRecord], token: str, role: TokenRole,
          now: datetime) -> TokenRecord | None:
    """Return the record of a valid token with the role, None for anything else.

    Takes the same steps whether the token is unknown, wrong, expired or without the role.
    """
    match = _TOKEN.fullmatch(token)
    token_id, secret = match.groups() if match else ('', '')
    record = next((r for r in records if hmac.compare_digest(r.id, token_id)), None)
    expected = record.digest if record else bytes(32)
    right = hmac.compare_digest(_digest(secret), expected)
    if record is None or not right or now >= record.expires or role not in record.roles:
        return None
    return record


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


@dataclass
class LockOut:
    """Makes guessing slow: after ``limit`` failures in a row nobody is heard for a while."""

    limit: int = 5
    first_pause: float = 30.0
    """Seconds; doubles with each further failure."""
    longest_pause: float = 3600.0
    _failures: int = field(default=0, init=False)
    _until: float = field(default=0.0, init=False)

    def is_locked(self, now: float) -> bool:
        """Tell whether attempts are refused unheard; ``now`` is monotonic seconds."""
        return now < self._until

    def failed(self, now: float) -> None:
        """Count a wrong token."""
        self._failures += 1
        excess = self._failures - self.limit
        if excess >= 0:
            self._until = now + min(self.first_pause * 2.0 ** min(excess, 32), self.longest_pause)

    def succeeded(self) -> None:
        """Forget the failures."""
        self._failures = 0


class TokenFile:
    """The records on disk, beside the store's index."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / 'tokens.json'
        self._lock = directory / 'lock'

    def records(self) -> tuple[TokenRecord, ...]:
        """Read all records; raises PkiError (STORAGE)."""
        try:
            data = read_file(self._path, _MAX_FILE_SIZE)
        except FileNotFoundError:
            return ()
        try:
            return tuple(_parse(line) for line in json.loads(data)['tokens'])
        except (ValueError, KeyError, TypeError, OverflowError, OSError, RecursionError):
            raise PkiError(ErrorCode.STORAGE, 'tokens.json is damaged') from None

    def create(self, name: str, roles: frozenset[TokenRole], lifetime: timedelta,
               now: datetime) -> tuple[TokenRecord, str]:
        """Make and keep a token, see :func:`create`; drops those that have expired."""
        with locked(self._lock):
            records = self.records()
            record, token = create(records, name, roles, lifetime, now)
            self._write([*(r for r in records if r.expires > now), record])
        return record, token

    def revoke(self, token_id: str) -> None:
        """Forget a token; raises PkiError (NOT_FOUND)."""
        with locked(self._lock):
            records = self.records()
            kept = [record for record in records if record.id != token_id]
            if len(kept) == len(records):
                raise PkiError(ErrorCode.NOT_FOUND, f'no token with id {token_id}')
            self._write(kept)

    def _write(self, records: Sequence[TokenRecord]) -> None:
        lines = [{'id': r.id, 'name': r.name, 'roles': sorted(role.value for role in r.roles),
                  'sha256': r.digest.hex(), 'created': int(r.created.timestamp()),
                  'expires': int(r.expires.timestamp())} for r in records]
        write_file(self._path, json.dumps({'tokens': lines}, indent=1).encode() + b'\n')


def _parse(line: Mapping[str, Any]) -> TokenRecord:
    digest = bytes.fromhex(line['sha256'])
    if len(digest) != 32 or not _ID.fullmatch(line['id']):
        raise ValueError('token')
    return TokenRecord(line['id'], str(line['name']),
                       frozenset(TokenRole(role) for role in line['roles']), digest,
                       datetime.fromtimestamp(line['created'], UTC),
                       datetime.fromtimestamp(line['expires'], UTC))
