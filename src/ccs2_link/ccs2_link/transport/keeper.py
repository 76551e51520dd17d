"""Keeps TLS as the certificate store is, without a restart."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

from ccs2_link.transport.channel import Channel
from ccs2_link.transport.client_hello import TLS_1_2, TLS_1_3
from ccs2_link.transport.credentials import CredentialSource
from ccs2_link.transport.tls import TlsServer
from ccs2_pki.errors import PkiError

#: How long it waits before it looks again for a token that did not do its part, in s.
RETRY = 5.0


class TlsKeeper:
    """Loads credentials when the store has changed, and says whether there can be TLS now.

    They are loaded again, too, as long as a token is missing or does not sign. :meth:`refresh` runs
    in a thread of its own and may replace the server at any moment: all else looks at it once.

    Whether the clock may be believed is what `pki/state` says; until it has said so, no vehicle
    certificate is accepted.
    """

    def __init__(
        self, source: CredentialSource, *, accept_p256: bool = False,
        key_log: Callable[[bytes], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._accept_p256 = accept_p256
        self._key_log = key_log
        self._clock = clock
        self._loaded_at = clock()
        self._server: TlsServer | None = None
        self._wanted_generation: int | None = None
        self._time_trusted = False
        self._failure = 'the certificate store has not been read'

    def pki_state(self, generation: int, time_trusted: bool) -> None:
        """Take note of what the store's keeper says."""
        self._wanted_generation = generation
        self._time_trusted = time_trusted

    @property
    def stale(self) -> bool:
        """The credentials have to be loaded (again)."""
        server = self._server
        if server is None or self._wanted_generation not in (
                None, server.credentials.generation):
            return True
        return server.token_problem and self._clock() >= self._loaded_at + RETRY

    def refresh(self) -> None:
        """Load the credentials if they are stale.

        It reads files and asks a token, which may take long: call it beside the loop.
        """
        if not self.stale:
            return
        try:
            self._server = TlsServer(
                self._source.load(), self._now, accept_p256=self._accept_p256,
                key_log=self._key_log)
        except PkiError as error:
            self._failure = f'certificate store: {error}'
            self._server = None
        self._loaded_at = self._clock()

    @property
    def channel(self) -> Callable[[], Channel] | None:
        """What makes the channel of a new connection, None if there is no usable credential."""
        server = self._server
        return None if server is None or not server.available else server.channel

    @property
    def problem(self) -> str:
        """Why there is no TLS, '' if there is."""
        server = self._server
        if server is None:
            return self._failure
        if server.available:
            return ''
        return 'no usable certificate chain: ' + (
            '; '.join(server.problems) or 'none in the store is valid now')

    @property
    def remarks(self) -> tuple[str, ...]:
        """Why chains of the store are not used although there may be TLS."""
        server = self._server
        return () if server is None else server.problems

    @property
    def chains(self) -> tuple[int, int]:
        """How many chains are usable now with TLS 1.2 and with TLS 1.3."""
        server = self._server
        if server is None:
            return 0, 0
        return server.chains(TLS_1_2), server.chains(TLS_1_3)

    def _now(self) -> datetime | None:
        return datetime.now(UTC) if self._time_trusted else None
