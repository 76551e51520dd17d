"""The `contract_provider` node: a back office that hands out contract certificates, for tests."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ccs2_interfaces.srv import ContractCertificate
from ccs2_node import ConfigureError, Level, ManagedNode, Status, run
from ccs2_pki.errors import PkiError
from ccs2_sim.provisioning import ContractProvider, Refusal, read_provider

NAMESPACE = 'urn:iso:15118:2:2013:MsgDef'


class ContractProviderNode(ManagedNode):
    """Serves `contract_certificate` from a laboratory directory."""

    def __init__(self) -> None:
        super().__init__('contract_provider')
        self.parameter('pki', '', 'directory that ccs2-pki lab has made')
        self._provider: ContractProvider | None = None
        self._handed_out = 0
        self._last = 'nobody has asked'
        self.serve(ContractCertificate, 'contract_certificate', self._answer)

    async def configure(self) -> None:
        """Read the laboratory."""
        try:
            self._provider = read_provider(Path(self.value('pki')))
        except (PkiError, OSError) as error:
            raise ConfigureError(f"pki '{self.value('pki')}': {error}") from None

    def diagnose(self) -> Sequence[Status]:
        """Report what was asked last."""
        return [Status('contracts', Level.OK, self._last, {'handed out': self._handed_out},
                       hardware_id='simulation')]

    def _answer(self, request: Any, response: Any) -> Any:
        try:
            if self._provider is None or request.schema_namespace != NAMESPACE:
                raise Refusal(f'no contracts by {request.schema_namespace}')
            response.response = self._provider.answer(bytes(request.request), datetime.now(UTC))
            response.success = True
            self._handed_out += 1
            self._last = 'contract handed out'
        except Refusal as refusal:
            response.message = str(refusal)[:256]
            self._last = f'refused: {refusal}'
        self.get_logger().info(self._last)
        return response


def main() -> None:
    """Run the node."""
    sys.exit(run(ContractProviderNode))
