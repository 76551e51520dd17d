"""What contracts need beyond the vehicle: the certificate store, and a back office."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ccs2_hlc.session.back_office import BackOfficeRequest
from ccs2_hlc.session.contract import Trust
from ccs2_interfaces.srv import ContractCertificate
from ccs2_node import ManagedNode
from ccs2_pki.chains import ChainPolicy, RevocationPolicy
from ccs2_pki.errors import PkiError
from ccs2_pki.store import Snapshot, Store


class TrustKeeper:
    """Reads the certificate store whenever `pki/state` tells of a change.

    Whether the clock may be believed is what `pki/state` says, too: until it has said so, no
    certificate is accepted.
    """

    def __init__(
        self, directory: Path, expiry_warning: int, require_revocation_data: bool,
    ) -> None:
        self._directory = directory
        self._policy = ChainPolicy(
            RevocationPolicy.REQUIRED if require_revocation_data
            else RevocationPolicy.WHEN_AVAILABLE,
            timedelta(days=expiry_warning))
        #: Of the store as it was read last, and as its keeper has it.
        self._generation: int | None = None
        self._wanted: int | None = None
        self._reading = asyncio.Lock()
        self._time_trusted = False
        self.trust: Trust | None = None
        self._failure = 'the keeper of the certificate store is silent'

    async def pki_state(self, generation: int, time_trusted: bool) -> None:
        """Take note of what the store's keeper says; read the store if it has changed.

        Reading takes long: it is done beside the loop, which renews the lease meanwhile, and never
        twice at once, so that what was read first cannot come last.
        """
        self._time_trusted = time_trusted
        self._wanted = generation
        async with self._reading:
            generation = self._wanted
            if generation == self._generation:
                return
            try:
                snapshot = await asyncio.to_thread(self._load)
            except PkiError as error:
                self.trust, self._failure = None, f'certificate store: {error}'
                return
            self._generation = generation
            self.trust = Trust(
                roots=snapshot.roots, now=self._now, revocation=snapshot.revocation,
                policy=self._policy)

    @property
    def problem(self) -> str:
        """Why contracts cannot be checked, '' if they can."""
        return self._failure if self.trust is None else self.trust.doubt

    def _load(self) -> Snapshot:
        return Store(self._directory).load()

    def _now(self) -> datetime | None:
        return datetime.now(UTC) if self._time_trusted else None


class BackOffice:
    """Carries requests to whoever serves `contract_certificate`, and the answers back."""

    def __init__(
        self, node: ManagedNode, done: Callable[[int, bytes, str], None],
    ) -> None:
        """Report each answer on the node's loop: `done(number, data, problem)`."""
        self._loop = node.loop
        self._client = node.create_client(ContractCertificate, 'contract_certificate')
        self._done = done

    def ask(self, request: BackOfficeRequest) -> None:
        """Pass a request on; `done` is called unless the answer comes too late."""
        if not self._client.service_is_ready():
            self._loop.call_soon(self._done, request.number, b'', 'there is no back office')
            return
        future = self._client.call_async(ContractCertificate.Request(
            action=int(request.action), schema_namespace=request.namespace,
            request=request.data, time_budget=request.time_budget))
        future.add_done_callback(lambda finished: self._loop.call_soon_threadsafe(
            self._finish, request.number, finished))
        self._loop.call_later(
            request.time_budget, self._client.remove_pending_request, future)

    def _finish(self, number: int, future: Any) -> None:
        answer = None if future.cancelled() else future.result()
        if answer is None:
            self._done(number, b'', 'back office has gone')
        elif answer.success:
            self._done(number, bytes(answer.response), '')
        else:
            self._done(number, b'', answer.message or 'back office gives no reason')
