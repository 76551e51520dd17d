"""The `pki` node: the certificate store's services, state and audit trail on the graph."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from builtin_interfaces.msg import Time

from ccs2_interfaces.msg import Credential, PkiAudit, PkiState
from ccs2_interfaces.srv import CreateCsr, Delete, Install, List, VerifyChain
from ccs2_node import (
    EVENT,
    NANOSECONDS,
    STATE,
    ConfigureError,
    Level,
    ManagedNode,
    Status,
    run,
    stamp,
)
from ccs2_pki.aside import aside
from ccs2_pki.audit import AuditFile, AuditRecord, record
from ccs2_pki.certificate import KeyAlgorithm
from ccs2_pki.errors import PkiError, malformed
from ccs2_pki.guard import Guard
from ccs2_pki.health import Finding, Health, Severity, assess
from ccs2_pki.pkcs11_keys import configured_keys
from ccs2_pki.profiles import Role, RootKind
from ccs2_pki.provisioning import CredentialInfo, Provisioning
from ccs2_pki.store import EntryKind, Snapshot, Store
from ccs2_pki.tokens import LockOut, TokenFile, TokenRole
from ccs2_pki.trusted_time import trusted_now

POLL_PERIOD = 1.0
"""The store is looked at so often [s]: the command line changes it, too."""
ASSESS_PERIOD = 60.0
"""Expiry is judged anew so often [s]."""
ASSESS_PATIENCE = 6.0
"""A token that holds the keys may take so long for all of them [s]."""

KINDS = {
    Credential.KIND_V2G_ROOT: EntryKind.V2G_ROOT, Credential.KIND_MO_ROOT: EntryKind.MO_ROOT,
    Credential.KIND_OEM_ROOT: EntryKind.OEM_ROOT, Credential.KIND_CPS_ROOT: EntryKind.CPS_ROOT,
    Credential.KIND_SECC_CHAIN: EntryKind.SECC_CHAIN,
    Credential.KIND_OCSP_RESPONSE: EntryKind.OCSP_RESPONSE, Credential.KIND_CRL: EntryKind.CRL,
}
PROFILES = {
    CreateCsr.Request.PROFILE_ISO_15118_2: KeyAlgorithm.P256,
    CreateCsr.Request.PROFILE_ISO_15118_20_P521: KeyAlgorithm.P521,
    CreateCsr.Request.PROFILE_ISO_15118_20_ED448: KeyAlgorithm.ED448,
}
ROOTS = {
    VerifyChain.Request.ROOT_V2G: RootKind.V2G, VerifyChain.Request.ROOT_MO: RootKind.MO,
    VerifyChain.Request.ROOT_OEM: RootKind.OEM, VerifyChain.Request.ROOT_CPS: RootKind.CPS,
}
USES = {
    VerifyChain.Request.USE_ANY: None, VerifyChain.Request.USE_CONTRACT: Role.CONTRACT,
    VerifyChain.Request.USE_SECC: Role.SECC, VerifyChain.Request.USE_VEHICLE: Role.VEHICLE,
    VerifyChain.Request.USE_PROVISIONING: Role.OEM_PROVISIONING,
    VerifyChain.Request.USE_CPS: Role.CPS,
}
_LEVELS = {Severity.OK: Level.OK, Severity.WARNING: Level.WARN, Severity.ERROR: Level.ERROR}


def _failed(why: str) -> Health:
    return Health(False, False, None, (Finding(Severity.ERROR, why),))


_NOTHING = _failed('store was not read yet')


@dataclass(frozen=True)
class _Opened:
    """What `configure` opens."""

    store: Store
    provisioning: Provisioning
    guard: Guard
    audit: AuditFile
    csr_provider: str


class PkiNode(ManagedNode):
    """Wires one certificate store to the graph."""

    def __init__(self) -> None:
        super().__init__('pki')
        self.parameter('store', '/var/lib/ccs2/pki', 'directory of the store; made if missing')
        self.parameter('require_synchronised_clock', True,
                       'trust the clock only while the kernel calls it synchronised')
        self.parameter('expiry_warning', 30, 'warn so long before an expiry [days]', minimum=1,
                       maximum=365)
        self.parameter('lock_out_failures', 5, 'wrong tokens in a row before nobody is heard',
                       minimum=1, maximum=100)
        self.parameter('lock_out_pause', 30.0,
                       'first pause after that [s]; doubles with each further wrong token',
                       minimum=1.0, maximum=3600.0)
        self.parameter('pkcs11_module', '',
                       "shared library of a PKCS#11 token's maker; empty: keys are kept in files")
        self.parameter('pkcs11_token', '', 'label of the PKCS#11 token')
        self.parameter('pkcs11_pin_file', '', 'file of mode 0600 that holds its user PIN')
        self._opened: _Opened | None = None
        self._snapshot: Snapshot | None = None
        self._health = _NOTHING
        self._now: datetime | None = None
        self._assessed = -math.inf
        self._busy = asyncio.Lock()
        self._looking = asyncio.Lock()
        self._state_publisher = self.publisher(PkiState, 'pki/state', STATE)
        self._audit_publisher = self.publisher(PkiAudit, 'pki/audit', EVENT)
        self.serve(Install, '~/install', self._on_install)
        self.serve(Delete, '~/delete', self._on_delete)
        self.serve(List, '~/list', self._on_list)
        self.serve(CreateCsr, '~/create_csr', self._on_create_csr)
        self.serve(VerifyChain, '~/verify_chain', self._on_verify_chain)

    async def configure(self) -> None:
        """Open the store; refuse one that others can reach."""
        try:
            providers = configured_keys(self.value('pkcs11_module'), self.value('pkcs11_token'),
                                        self.value('pkcs11_pin_file'))
        except PkiError as error:
            raise ConfigureError(str(error)) from None
        directory = Path(self.value('store'))
        try:
            store = Store(directory, create=True, providers=providers)
            store.generation()
        except PkiError as error:
            raise ConfigureError(f"store '{directory}': {error}") from None
        lock_out = LockOut(self.value('lock_out_failures'), self.value('lock_out_pause'))
        self._opened = _Opened(
            store, Provisioning(store), Guard(TokenFile(directory), lock_out, time.monotonic),
            AuditFile(directory), providers[0].name if providers else 'file')

    async def activate(self) -> None:
        """Publish the state, now and on every change."""
        self._snapshot = None
        self.every(POLL_PERIOD, self._refresh)

    async def cleanup(self) -> None:
        """Forget the store."""
        self._opened = None
        self._snapshot = None
        self._health = _NOTHING

    def diagnose(self) -> Sequence[Status]:
        """Report the store with what expires, and the door."""
        if self._opened is None or self._snapshot is None:
            return [Status('store', Level.STALE, 'not active')]
        expiry = self._health.earliest_expiry
        values: dict[str, object] = {
            'generation': self._snapshot.generation,
            'clock trusted': self._now is not None,
            'SECC chain for TLS 1.2': self._health.secc_ready_tls_1_2,
            'SECC chain for TLS 1.3': self._health.secc_ready_tls_1_3,
            'earliest expiry': expiry.isoformat() if expiry else 'nothing in the store',
        }
        values |= {f'finding {number}': finding.text
                   for number, finding in enumerate(self._health.findings, 1)}
        locked = self._opened.guard.is_locked()
        return [
            Status('store', _LEVELS[self._health.severity], self._health.message or 'ready',
                   values, str(self._opened.store.directory)),
            Status('tokens', Level.WARN if locked else Level.OK,
                   'locked after too many wrong tokens' if locked else 'ready'),
        ]

    # The state.

    async def _refresh(self) -> None:
        """Look whether store or clock have changed; publish if so."""
        async with self._looking:
            try:
                await self._look(self._need())
            except PkiError as error:
                self._assessed = -math.inf
                self._show(_failed(str(error)))

    async def _look(self, opened: _Opened) -> None:
        generation = opened.store.generation()
        known = self._snapshot
        if known is None or known.generation != generation:
            self._snapshot = opened.store.load()
        now = self._trusted_now(self._snapshot)
        due = time.monotonic() - self._assessed >= ASSESS_PERIOD
        changed = known is not self._snapshot or (now is None) != (self._now is None)
        self._now = now
        if self._snapshot is not None and (changed or due):
            self._assessed = time.monotonic()
            self._show(await self._assess(opened, self._snapshot, now))
        else:
            # Who has been activated meanwhile has not heard the last one.
            self._publish(self._health)

    async def _assess(
        self, opened: _Opened, snapshot: Snapshot, now: datetime | None,
    ) -> Health:
        """Judge the store beside the loop: a token is asked for its keys, and may hang."""
        warn_before = timedelta(days=self.value('expiry_warning'))
        try:
            async with asyncio.timeout(ASSESS_PATIENCE):
                return await aside(
                    lambda: assess(snapshot, now, warn_before, opened.provisioning.has_key))
        except TimeoutError:
            return _failed('token with the private keys does not answer')

    def _show(self, health: Health) -> None:
        if health != self._health:
            self._health = health
            self.get_logger().info(f'store: {health.message or "ready"}')
        self._publish(health)

    def _publish(self, health: Health) -> None:
        roots = self._snapshot.roots if self._snapshot else {}
        state = PkiState(
            generation=self._snapshot.generation if self._snapshot else 0,
            time_trusted=self._now is not None,
            secc_ready_tls_1_2=health.secc_ready_tls_1_2,
            secc_ready_tls_1_3=health.secc_ready_tls_1_3,
            v2g_roots=len(roots.get(RootKind.V2G, ())), mo_roots=len(roots.get(RootKind.MO, ())),
            oem_roots=len(roots.get(RootKind.OEM, ())),
            earliest_expiry=_time(health.earliest_expiry), message=health.message[:256])
        state.header.stamp = self.now_message()
        self._state_publisher.publish(state)

    def _trusted_now(self, snapshot: Snapshot | None) -> datetime | None:
        return trusted_now(snapshot.certificates() if snapshot else (),
                           require_synchronised=self.value('require_synchronised_clock'))

    def _need(self) -> _Opened:
        if self._opened is None:
            raise RuntimeError('store is not open')
        return self._opened

    # The services.

    async def _on_install(self, request: Any, response: Any) -> Any:
        def work(opened: _Opened, now: datetime | None) -> str:
            kind = _one_of(KINDS, request.kind, 'kind')
            response.id, response.generation = opened.provisioning.install(
                kind, bytes(request.data), now)
            return f'{kind.value} {response.id}'

        return await self._answer('install', TokenRole.PROVISION, request, response, work)

    async def _on_delete(self, request: Any, response: Any) -> Any:
        def work(opened: _Opened, now: datetime | None) -> str:
            response.generation = opened.provisioning.delete(request.id)
            return str(request.id)

        return await self._answer('delete', TokenRole.PROVISION, request, response, work)

    async def _on_list(self, request: Any, response: Any) -> Any:
        def work(opened: _Opened, now: datetime | None) -> str:
            kind = _one_of(KINDS, request.kind, 'kind') if request.kind else None
            response.credentials = [_credential(info) for info in opened.provisioning.list(kind)
                                    if info.kind is not EntryKind.PENDING_KEY]
            response.generation = opened.store.generation()
            return f'{len(response.credentials)} entries'

        return await self._answer('list', TokenRole.READ, request, response, work)

    async def _on_create_csr(self, request: Any, response: Any) -> Any:
        def work(opened: _Opened, now: datetime | None) -> str:
            algorithm = _one_of(PROFILES, request.profile, 'profile')
            response.key_id, csr = opened.provisioning.create_csr(
                algorithm, request.common_name, request.organization, request.country,
                provider=opened.csr_provider)
            response.csr = csr
            return f'{algorithm.value} {response.key_id}'

        return await self._answer('create_csr', TokenRole.PROVISION, request, response, work)

    async def _on_verify_chain(self, request: Any, response: Any) -> Any:
        def work(opened: _Opened, now: datetime | None) -> str:
            verdict = opened.provisioning.verify_chain(
                bytes(request.data), _one_of(ROOTS, request.root, 'root'),
                _one_of(USES, request.use, 'use'), now)
            if not verdict.accepted:
                raise PkiError(verdict.result.error_code, verdict.message)
            response.root_id = verdict.anchor.fingerprint if verdict.anchor else ''
            return verdict.message

        return await self._answer('verify_chain', None, request, response, work)

    async def _answer(self, operation: str, role: TokenRole | None, request: Any, response: Any,
                      work: Callable[[_Opened, datetime | None], str]) -> Any:
        """Run one operation beside the loop, one after the other; fill in how it went."""
        opened = self._need()
        principal, allowed = '', False
        async with self._busy:
            heard = role is None or not opened.guard.is_locked()
            now = self._trusted_now(self._snapshot)
            try:
                if role is not None:
                    principal = opened.guard.admit(request.token, role, now)
                allowed = True
                response.message = (await asyncio.to_thread(work, opened, now))[:256]
                response.result = response.OK
            except PkiError as error:
                response.result = int(error.code)
                response.message = str(error)[:256]
            entry = record(operation, principal, allowed=allowed, result=response.result,
                           detail=response.message)
            await self._audit(opened, entry, keep=role is not None and heard)
        if self.active:
            await self._refresh()
        return response

    async def _audit(self, opened: _Opened, entry: AuditRecord, *, keep: bool) -> None:
        """Publish a record and keep it on disk; unheard attempts are not kept, they could flood."""
        if keep:
            try:
                await asyncio.to_thread(opened.audit.append, entry)
            except PkiError as error:
                self.get_logger().error(f'audit trail: {error}', throttle_duration_sec=10.0)
        if self.active:
            self._audit_publisher.publish(PkiAudit(
                stamp=self.now_message(), operation=entry.operation, principal=entry.principal,
                allowed=entry.allowed, result=entry.result, detail=entry.detail))


def _one_of(table: dict[int, Any], number: int, what: str) -> Any:
    if number not in table:
        raise malformed(f'{what} {number} is not known')
    return table[number]


_NUMBERS = {kind: number for number, kind in KINDS.items()}


def _credential(info: CredentialInfo) -> Credential:
    return Credential(
        kind=_NUMBERS[info.kind], id=info.id, subject=info.subject[:256], issuer=info.issuer[:256],
        root_id=info.root_id, not_before=_time(info.not_before), not_after=_time(info.not_after),
        public_key=info.public_key, has_key=info.has_key)


def _time(moment: datetime | None) -> Time:
    """Return a message's time: from 1901 to 2038, whatever certificates and responses say."""
    return Time() if moment is None else stamp(int(moment.timestamp()) * NANOSECONDS)


def main() -> None:
    """Run the node."""
    run(PkiNode)
