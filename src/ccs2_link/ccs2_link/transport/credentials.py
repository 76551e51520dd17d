"""What TLS needs from the certificate store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from ccs2_pki.certificate import Certificate
from ccs2_pki.chains import anchors_for
from ccs2_pki.errors import PkiError
from ccs2_pki.keys import KeyProvider
from ccs2_pki.profiles import Role
from ccs2_pki.revocation import RevocationData
from ccs2_pki.signatures import PrivateKey
from ccs2_pki.store import SeccChain, Store


@dataclass(frozen=True, slots=True)
class ServerCredential:
    """A chain that the station can present, with its key."""

    chain: SeccChain
    key: PrivateKey = field(repr=False)


@dataclass(frozen=True, slots=True)
class Credentials:
    """Everything from one generation of the store."""

    generation: int
    servers: tuple[ServerCredential, ...]
    vehicle_anchors: tuple[Certificate, ...]
    """OEM and V2G roots, never those of a mobility operator ([V2G20-2331], [V2G20-2333])."""
    revocation: RevocationData = field(repr=False)
    problems: tuple[str, ...] = ()
    """Why a chain of the store is not among `servers`."""
    token_problem: bool = False
    """One of the problems is a token's, which may be well at the next look."""


class CredentialSource(Protocol):
    """Where credentials come from."""

    def load(self) -> Credentials:
        """Return the present ones; raises PkiError if there is no store, or it is not ours."""


class StoreCredentials:
    """Credentials from the store of `ccs2_pki` in a directory.

    `providers` keep keys outside of it: in a token.
    """

    def __init__(self, directory: Path, providers: Sequence[KeyProvider] = ()) -> None:
        self._directory = directory
        self._providers = providers

    def load(self) -> Credentials:
        """Read the store; a chain without its key is left out and named in `problems`."""
        store = Store(self._directory, providers=self._providers)
        snapshot = store.load()
        servers, problems = [], []
        tokens = {provider.name for provider in self._providers}
        token_problem = False
        for chain in snapshot.secc_chains:
            try:
                servers.append(ServerCredential(chain, store.private_key(chain.key)))
            except PkiError as error:
                problems.append(f'{chain.leaf.subject}: {error}')
                token_problem |= chain.key.provider in tokens
        return Credentials(
            generation=snapshot.generation,
            servers=tuple(servers),
            vehicle_anchors=tuple(anchors_for(Role.VEHICLE, snapshot.roots)),
            revocation=snapshot.revocation,
            problems=tuple(problems),
            token_problem=token_problem,
        )
