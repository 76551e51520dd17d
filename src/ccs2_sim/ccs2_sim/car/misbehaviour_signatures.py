"""Bad manners with signatures, the same in ISO 15118-2 and -20: what a car can sign wrongly.

Requests that are not signed stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from ccs2_hlc.exi.declare import Element
from ccs2_hlc.exi.messages import xmldsig
from ccs2_sim.car.manners import Alter
from ccs2_sim.evcc.outcome import Ended, ErrorCode
from ccs2_sim.evcc.wallet import sign

#: A transform that nobody may ask for here: it would leave parts of the message unsigned.
_ENVELOPED = 'http://www.w3.org/2000/09/xmldsig#enveloped-signature'
_NOBODY = '#id9'
_Info = Callable[[xmldsig.SignedInfo, str], xmldsig.SignedInfo]


def _request(message: Any) -> Any:
    """Return a message's request: its body where it has one."""
    return getattr(message, 'body', message)


def _signature(change: Callable[[Any], Any]) -> Alter:
    """Change a request's signature."""
    def alter(engine: Any, message: Any, value: Any) -> Element:
        signature = message.header.signature
        changed: Element = message if signature is None else replace(
            message, header=replace(message.header, signature=change(signature)))
        return changed
    return alter


def _info(change: _Info) -> Alter:
    """Change what is signed (SignedInfo and Id in, SignedInfo out), and sign that."""
    def alter(engine: Any, message: Any, value: Any) -> Element:
        request = _request(message)
        signer = engine.signer(request)
        if signer is None:
            unsigned: Element = message
            return unsigned
        info = change(engine.signed_info(request), engine.signed_element(request).id)
        return _signature(lambda _: sign(signer.key, info))(engine, message, value)
    return alter


def _reference(**fields: Any) -> Alter:
    """Change the one reference."""
    return _info(lambda info, _: replace(info, reference=[replace(info.reference[0], **fields)]))


def _flip(signature: xmldsig.Signature) -> xmldsig.Signature:
    value = bytearray(signature.signature_value.value)
    value[-1] ^= 1
    return replace(signature, signature_value=xmldsig.SignatureValue(value=bytes(value)))


def _foreign_key(engine: Any, message: Any, value: Any) -> Element:
    """Sign with the provisioning key in place of the contract's."""
    request = _request(message)
    if engine.signer(request) is None:
        unsigned: Element = message
        return unsigned
    if engine.wallet.provisioning is None:
        raise Ended(ErrorCode.UNKNOWN, 'the car has no provisioning certificate to sign with')
    info = engine.signed_info(request)
    return _signature(lambda _: sign(engine.wallet.provisioning.key, info))(
        engine, message, value)


def _more_transforms(reference: xmldsig.Reference) -> xmldsig.Reference:
    own = reference.transforms
    return replace(reference, transforms=xmldsig.Transforms(transform=[
        xmldsig.Transform(algorithm=_ENVELOPED), *(() if own is None else own.transform)]))


#: What the car does, and how, by the misbehaviour's name.
SIGNATURES: Mapping[str, tuple[str, Alter]] = {
    'unsigned': ('leaves out the signature', _signature(lambda signature: None)),
    'wrong_signature': ('sends a signature with one bit changed', _signature(_flip)),
    'foreign_signature': ('signs with its provisioning key', _foreign_key),
    'wrong_digest': (
        'changes the request after it was digested', _info(lambda info, _: replace(
            info, reference=[replace(
                info.reference[0], digest_value=bytes(len(info.reference[0].digest_value)))]))),
    'two_references': (
        'signs a second reference, to nothing', _info(lambda info, _: replace(info, reference=[
            info.reference[0], replace(info.reference[0], uri=_NOBODY)]))),
    'double_reference': (
        'signs the same reference twice',
        _info(lambda info, _: replace(info, reference=2 * info.reference))),
    'foreign_id': (
        'signs a reference to another element than the request', _reference(uri=_NOBODY)),
    'duplicate_id': (
        "gives SignedInfo the request's Id, too", _info(lambda info, own: replace(info, id=own))),
    'extra_transform': (
        'signs a reference with a second transform', _info(lambda info, _: replace(
            info, reference=[_more_transforms(info.reference[0])]))),
}
