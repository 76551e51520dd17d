"""The `contract_provisioning` node: a back office that gives contracts to cars, for tests."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from ccs2_interfaces.srv import ContractCertificate
from ccs2_node import ConfigureError, Level, ManagedNode, Status, run
from ccs2_pki.errors import PkiError
from ccs2_sim.provisioning import Refusal, read_provider
from ccs2_sim.provisioning20 import read_provider20

ISO2 = 'urn:iso:15118:2:2013:MsgDef'
ISO20 = 'urn:iso:std:iso:15118:-20:CommonMessages'


class Provider(Protocol):
    """Makes contracts by one protocol."""

    def answer(self, request: bytes, now: datetime) -> bytes:
        """Return the EXI of the response to that of a request; raise :class:`Refusal`."""


class ContractProvisioning(ManagedNode):
    """Serves `contract_certificate` with the contracts of a laboratory."""

    def __init__(self) -> None:
        super().__init__('contract_provisioning')
        self.parameter('pki', str, 'Directory that ccs2-pki lab has made.')
        self.parameter('delay', 0.0, 'How long every answer takes beyond its making in s.',
                       minimum=0.0, maximum=60.0)
        self.serve(ContractCertificate, 'contract_certificate', self._answer)
        #: By the namespace of the messages.
        self._providers: Mapping[str, Provider] = {}
        self._delay = 0.0
        self._given, self._refused, self._last = 0, 0, ''

    async def configure(self) -> None:
        """Read the laboratory."""
        directory = Path(self.value('pki'))
        try:
            self._providers = await asyncio.to_thread(_read, directory)
        except (PkiError, OSError, ValueError, KeyError) as error:
            raise ConfigureError(f"pki '{directory}': {error}") from None
        self._delay = self.value('delay')

    async def _answer(self, request: Any, response: Any) -> Any:
        """Make a contract; say why not if there is none."""
        if self._delay:
            await asyncio.sleep(self._delay)
        try:
            response.response = self._make(request)
        except Refusal as refusal:
            self._refused, self._last = self._refused + 1, str(refusal)
            response.message = self._last[:256]
            response.response = refusal.response
            # A refusal that the protocol has a message for is an answer, too.
            response.success = bool(refusal.response)
            self.get_logger().warning(f'no contract: {refusal}')
            return response
        self._given += 1
        response.success = True
        self.get_logger().info('contract given')
        return response

    def _make(self, request: Any) -> bytes:
        provider = self._providers.get(request.schema_namespace)
        if provider is None:
            raise Refusal(f"no contracts by '{request.schema_namespace}'")
        return provider.answer(bytes(request.request), datetime.now(UTC))

    def diagnose(self) -> Sequence[Status]:
        """Report how many contracts were given."""
        return (Status(
            'contracts', Level.OK, self._last or 'nobody was refused',
            {'given': self._given, 'refused': self._refused}),)


def _read(directory: Path) -> Mapping[str, Provider]:
    return {ISO2: read_provider(directory), ISO20: read_provider20(directory)}


def main() -> None:
    """Run the node."""
    run(ContractProvisioning)


if __name__ == '__main__':
    main()
