"""ISO 15118-2: tariffs as messages carry them, signed by a mobility operator or not.

SalesTariff knows no currency: a price is told as its rank among all prices of the file and as a
percentage of the highest.  A mobility operator signs all tariffs together, each by its Id.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ccs2_pki.certificate import Certificate, digest
from ccs2_pki.signatures import ECDSA_SHA256, PrivateKey, SignedElement, verify

from .. import exi
from ..exi.messages import iso2, xmldsig
from .contract import received_signature
from .schedules import MAX_INTERVAL, Schedule
from .signing import seal, sealed, signed_info
from .tariffs import (
    Block,
    LevelStep,
    Prices,
    PriceStep,
    Tariff,
    Tariffs,
    TariffSignature,
    check_duration,
)

_ELEMENT = 'SalesTariff'


@dataclass(frozen=True, slots=True)
class Told:
    """What a vehicle is told of tariffs."""

    #: By the schedule's number.
    elements: Mapping[int, iso2.SalesTariff]
    #: For the header of the message, ``None``: nobody has signed.
    signature: xmldsig.Signature | None = None


NOTHING = Told({})


def tariffs_for(
    tariffs: Tariffs | None, schedules: Sequence[Schedule], max_steps: int | None, *,
    contract_issuer: Certificate | None, by_contract: bool,
) -> Told:
    """Return what a vehicle is told with these schedules.

    `max_steps`: what it can store; ``None`` or 0: not told.  All tariffs are told or none, so that
    it can compare.  Who pays by contract has to get signed ones, and trusts only those of the
    operator whose sub-CA has issued the contract: the vehicle knows no other key.
    """
    if tariffs is None:
        return NOTHING
    signature = tariffs.signature
    if by_contract and (
            signature is None or contract_issuer is None
            or contract_issuer.public_key_info != signature.certificate.public_key_info):
        return NOTHING
    told = (
        _elements(tariffs, {schedule.number: schedule.duration for schedule in schedules})
        if signature is None else signed_elements(tariffs, signature.duration))
    if max_steps and any(
            len(element.sales_tariff_entry) > max_steps for element in told.values()):
        return NOTHING
    return Told(told, None if signature is None else sealed(
        signed_info(_fragments(told), ECDSA_SHA256), signature.value))


def signed_elements(tariffs: Tariffs, duration: int) -> dict[int, iso2.SalesTariff]:
    """Return the elements that are signed, which hold for `duration` s."""
    return {
        number: replace(element, id=f'id{number}')
        for number, element in _elements(
            tariffs, dict.fromkeys(tariffs.each, duration)).items()}


def sign_tariffs(
    tariffs: Tariffs, duration: int, key: PrivateKey, certificate: Certificate,
) -> TariffSignature:
    """Return a mobility operator's signature over tariffs that hold for `duration` s.

    Raise ``ValueError`` if the key is not the certificate's, or not of ISO 15118-2.
    """
    check_duration(duration, tariffs.each)
    fragments = _fragments(signed_elements(tariffs, duration))
    info = signed_info(fragments, ECDSA_SHA256)
    signature = TariffSignature(
        duration, certificate, dict(zip(tariffs.each, _digests(fragments), strict=True)),
        seal(key, info).signature_value.value)
    check_signature_of(replace(tariffs, signature=signature))
    return signature


def check_signature_of(tariffs: Tariffs) -> Tariffs:
    """Return the tariffs if what is signed is what vehicles will get, or nothing is signed.

    Raise ``ValueError`` naming what is wrong where.
    """
    signature = tariffs.signature
    if signature is None:
        return tariffs
    fragments = _fragments(signed_elements(tariffs, signature.duration))
    for number, found in zip(tariffs.each, _digests(fragments), strict=True):
        if not hmac.compare_digest(found, signature.digests[number]):
            raise ValueError(
                f'signature.digests[{number}]: the tariff of schedule {number} was changed after '
                'it was signed')
    result = verify(
        received_signature('iso2', sealed(signed_info(fragments, ECDSA_SHA256), signature.value)),
        fragments, signature.certificate.public_key, (ECDSA_SHA256,))
    if not result.accepted:
        raise ValueError(f'signature.value: {result.reason}')
    return tariffs


def _fragments(elements: Mapping[int, iso2.SalesTariff]) -> list[SignedElement]:
    return [
        SignedElement(element.id or '', exi.encode_fragment('iso2', _ELEMENT, element))
        for element in elements.values()]


def _digests(fragments: Sequence[SignedElement]) -> list[bytes]:
    return [digest(ECDSA_SHA256.hash, each.fragment) for each in fragments]


def _elements(tariffs: Tariffs, durations: Mapping[int, int]) -> dict[int, iso2.SalesTariff]:
    """Return the tariffs as elements, each for as long as its schedule lasts, s."""
    values = sorted({
        _value(step) for tariff in tariffs.each.values() for step in tariff.steps})
    ranks = {value: rank for rank, value in enumerate(values, start=1)}
    highest = values[-1] if tariffs.in_currency else 0.0
    return {
        number: _element(number, tariff, durations[number], ranks, highest)
        for number, tariff in tariffs.each.items()}


def _element(
    number: int, tariff: Tariff, duration: int, ranks: Mapping[float, int], highest: float,
) -> iso2.SalesTariff:
    steps = [step for step in tariff.steps if step.start < duration]
    return iso2.SalesTariff(
        sales_tariff_id=number,
        sales_tariff_description=tariff.description or None,
        num_e_price_levels=len(ranks),
        sales_tariff_entry=[
            iso2.SalesTariffEntry(
                time_interval=iso2.RelativeTimeInterval(
                    start=step.start,
                    duration=min(duration - step.start, MAX_INTERVAL)
                    if step is steps[-1] else None),
                e_price_level=ranks[_value(step)],
                consumption_cost=[_cost(block) for block in _blocks(step, tariff, highest)])
            for step in steps])


def _value(step: PriceStep | LevelStep) -> float:
    return step.price if isinstance(step, PriceStep) else step.level


def _blocks(
    step: PriceStep | LevelStep, tariff: Tariff, highest: float,
) -> tuple[Block, ...]:
    """Return the step's blocks; where none tells a relative price, the price is told as one."""
    if not isinstance(tariff, Prices) or highest <= 0.0 or any(
            block.relative_price is not None for block in step.blocks):
        return step.blocks
    percentage = round(100.0 * _value(step) / highest)
    first, *more = step.blocks or (Block(),)
    return (replace(first, relative_price=percentage), *more)


def _cost(block: Block) -> iso2.ConsumptionCost:
    kinds = iso2.CostKind
    return iso2.ConsumptionCost(
        start_value=iso2.PhysicalValue.of(block.power, iso2.Unit.W),
        cost=[
            iso2.Cost(cost_kind=kind, amount=amount)
            for kind, amount in (
                (kinds.RELATIVE_PRICE_PERCENTAGE, block.relative_price),
                (kinds.RENEWABLE_GENERATION_PERCENTAGE, block.renewable),
                (kinds.CARBON_DIOXIDE_EMISSION, block.carbon_dioxide))
            if amount is not None])
