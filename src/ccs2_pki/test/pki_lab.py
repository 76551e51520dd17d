"""Hierarchies that all tests of the package share; made once per run."""

import functools
from datetime import UTC, datetime

from ccs2_pki.certificate import Certificate
from ccs2_pki.lab.hierarchy import GENERATIONS, Hierarchy, build
from ccs2_pki.lab.wrong import Wrong, build_wrong
from ccs2_pki.revocation import RevocationData, parse_crl, parse_ocsp

NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
NAMES = [generation.name for generation in GENERATIONS]


@functools.cache
def hierarchy(name: str) -> Hierarchy:
    return build(next(g for g in GENERATIONS if g.name == name), NOW)


@functools.cache
def wrong_chains(name: str) -> tuple[Wrong, ...]:
    return tuple(build_wrong(hierarchy(name)))


def revocation(name: str) -> RevocationData:
    lab = hierarchy(name)
    return RevocationData(tuple(parse_ocsp(der) for der in lab.ocsp.values()),
                          tuple(parse_crl(der) for der in lab.crls.values()))


def pem(certificates: tuple[Certificate, ...]) -> bytes:
    return b''.join(certificate.pem() for certificate in certificates)
