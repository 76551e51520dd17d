"""Tariff files as text: a plain one becomes one that a mobility operator has signed."""

from __future__ import annotations

import base64
from typing import Any

import yaml

from ccs2_pki.certificate import Certificate
from ccs2_pki.signatures import PrivateKey

from .iso2_tariffs import sign_tariffs
from .schedules import UNLIMITED, read_schedules
from .tariffs import TariffSignature, read_tariffs


def sign_document(
    text: str, schedules: str | None, duration: int, key: PrivateKey, certificate: Certificate,
) -> str:
    """Return a tariff file with the signature behind it; what it says otherwise stays as it is.

    `schedules`: text of the station's schedule file, ``None`` if it has none; `duration`: how long
    the tariffs hold, s.  Raise ``ValueError`` or ``PkiError`` naming what is wrong where.
    """
    document = _load(text, 'tariff file')
    offered = UNLIMITED if schedules is None else read_schedules(_load(schedules, 'schedule file'))
    if isinstance(document, dict) and 'signature' in document:
        raise ValueError('the tariff file is signed already')
    numbers = [schedule.number for schedule in offered]
    signature = sign_tariffs(read_tariffs(document, numbers), duration, key, certificate)
    signed = f'{text.rstrip()}\n{_dump(signature)}'
    # What is read back has to be what was signed.
    read_tariffs(_load(signed, 'signed file'), numbers)
    return signed


def _load(text: str, what: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f'{what}: {error}') from None


def _dump(signature: TariffSignature) -> str:
    def encoded(data: bytes) -> str:
        return base64.b64encode(data).decode()

    pem = signature.certificate.pem().decode()
    return '\n'.join([
        'signature:',
        f'  duration: {signature.duration}',
        '  digests:',
        *(f'    {number}: {encoded(value)}' for number, value in signature.digests.items()),
        f'  value: {encoded(signature.value)}',
        '  certificate: |',
        *(f'    {line}' for line in pem.splitlines()),
        ''])
