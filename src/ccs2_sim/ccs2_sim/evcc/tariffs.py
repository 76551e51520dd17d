"""Which tariffs of a station the car believes, by who has signed them.

| who pays | signature | the car |
|---|---|---|
| somebody else | none | uses the tariffs |
| somebody else | over them | uses them: it does not know who signs here |
| the car, by contract | none | ignores them: they have to be signed |
| the car, by contract | of the sub-CA that has issued its contract, over them | uses them |
| any | anything else | leaves the station |

Ignoring would do in the last case; a car that tests stations says what it has found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ccs2_hlc.exi.messages import iso2, xmldsig
from ccs2_hlc.session.contract import received_signature
from ccs2_pki.certificate import PublicKey, parse_certificate
from ccs2_pki.errors import PkiError
from ccs2_pki.signatures import ISO2_SUITES, SignedElement, verify, verify_digests
from ccs2_sim.evcc.wallet import Credential, Mistrust, fragment


def believed(
    schedules: Sequence[iso2.SAScheduleTuple], signature: xmldsig.Signature | None,
    contract: Credential | None,
) -> Mapping[int, iso2.SalesTariff]:
    """Return the tariffs to go by, by the schedule's number; raise Mistrust if they are wrong."""
    tariffs = {
        each.sa_schedule_tuple_id: each.sales_tariff for each in schedules
        if each.sales_tariff is not None}
    if signature is None:
        return tariffs if contract is None else {}
    check = received_signature('iso2', signature)
    elements = [_signed(tariff) for tariff in tariffs.values()]
    result = (
        verify_digests(check, elements, ISO2_SUITES) if contract is None
        else verify(check, elements, _issuer_key(contract), ISO2_SUITES))
    if not result.accepted:
        raise Mistrust(f'signature of the tariffs: {result.reason}')
    return tariffs


def _signed(tariff: iso2.SalesTariff) -> SignedElement:
    if tariff.id is None:
        raise Mistrust(f'tariff {tariff.sales_tariff_id} has no Id, so nobody has signed it')
    return fragment('SalesTariff', tariff, tariff.id)


def _issuer_key(contract: Credential) -> PublicKey:
    """Return the key of the sub-CA that has issued a contract."""
    try:
        return parse_certificate(contract.chain[1]).public_key
    except (PkiError, IndexError):
        raise Mistrust('the contract does not tell who has issued it') from None
