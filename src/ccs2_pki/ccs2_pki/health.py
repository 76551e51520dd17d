"""Whether the store is fit for the next car, and what will not be for long."""

import enum
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from ccs2_pki.certificate import Certificate
from ccs2_pki.profiles import RootKind
from ccs2_pki.revocation import RevocationStatus
from ccs2_pki.selection import ISO2_KEYS, ISO20_KEYS, usable
from ccs2_pki.store import SeccChain, Snapshot

STAPLE_WARNING = timedelta(days=2)
"""An OCSP response of the station's own chain has to be renewed weekly; say so this long before."""


class Severity(enum.IntEnum):
    """How bad a finding is."""

    OK = 0
    WARNING = 1
    ERROR = 2


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a person should know."""

    severity: Severity
    text: str


@dataclass(frozen=True, slots=True)
class Health:
    """Verdict on a store."""

    secc_ready_tls_1_2: bool
    """A usable P-256 chain with key, for ISO 15118-2."""
    secc_ready_tls_1_3: bool
    """A usable P-521 or Ed448 chain with key, for ISO 15118-20."""
    earliest_expiry: datetime | None
    """Of all certificates in the store."""
    findings: tuple[Finding, ...]

    @property
    def severity(self) -> Severity:
        """Return the worst of the findings."""
        return max((finding.severity for finding in self.findings), default=Severity.OK)

    @property
    def message(self) -> str:
        """All findings in one line, the worst first; '' if there is none."""
        ordered = sorted(self.findings, key=lambda finding: -finding.severity)
        return '; '.join(finding.text for finding in ordered)


def assess(snapshot: Snapshot, now: datetime | None, warn_before: timedelta,
           has_key: Callable[[SeccChain], bool]) -> Health:
    """Judge a store; ``now`` None means that the clock is not trusted."""
    findings = [Finding(Severity.ERROR, f'{entry_id[:12]}: damaged on disk')
                for entry_id in snapshot.damaged]
    if snapshot.doomed:
        findings.append(Finding(Severity.WARNING, f'{len(snapshot.doomed)} deleted keys are still '
                                                  'in a token that was away'))
    with_key = [chain for chain in snapshot.secc_chains if has_key(chain)]
    for chain in snapshot.secc_chains:
        if chain not in with_key:
            findings.append(Finding(Severity.ERROR,
                                    f'{chain.leaf.subject}: private key is missing'))
        if chain.root is None:
            findings.append(Finding(Severity.WARNING,
                                    f'{chain.leaf.subject}: its V2G root is not installed'))
    tls_1_2 = bool(usable(with_key, ISO2_KEYS, now))
    tls_1_3 = bool(usable(with_key, ISO20_KEYS, now))
    if not tls_1_2 and not tls_1_3:
        findings.append(Finding(Severity.ERROR, 'no usable SECC chain: no TLS'))
    if not snapshot.roots[RootKind.MO] and not snapshot.roots[RootKind.V2G]:
        findings.append(Finding(Severity.WARNING, 'no MO or V2G root: no Plug and Charge'))
    certificates = snapshot.certificates()
    if now is None:
        findings.append(Finding(Severity.ERROR, 'clock is not set: no certificate can be checked'))
    else:
        findings += [found for certificate in certificates
                     if (found := _expiry(certificate, now, warn_before))]
        findings += [found for chain in snapshot.secc_chains
                     for found in _revocation(chain, snapshot, now)]
    return Health(tls_1_2, tls_1_3, min((c.not_after for c in certificates), default=None),
                  tuple(dict.fromkeys(findings)))


def _expiry(certificate: Certificate, now: datetime, warn_before: timedelta) -> Finding | None:
    left = certificate.not_after - now
    if left < timedelta(0):
        return Finding(Severity.ERROR, f'{certificate.subject} has expired')
    if left < warn_before:
        return Finding(Severity.WARNING, f'{certificate.subject} expires in {left.days} days')
    return None


def _revocation(chain: SeccChain, snapshot: Snapshot, now: datetime) -> list[Finding]:
    """Judge the revocation data of one of the station's chains; without any, none is expected."""
    findings = []
    issuers = [*chain.chain[1:], chain.root]
    for certificate, issuer in zip(chain.chain, issuers, strict=True):
        if issuer is None:
            continue
        found = snapshot.revocation.finding(certificate, issuer, now)
        answered = [response.expires for response in snapshot.revocation.responses
                    for single in response.singles if single.is_about(certificate, issuer)]
        if found.status is RevocationStatus.REVOKED:
            findings.append(Finding(Severity.ERROR, f'{certificate.subject} is revoked'))
        elif answered and max(answered) - now < STAPLE_WARNING:
            findings.append(Finding(Severity.WARNING,
                                    f'{certificate.subject}: OCSP response needs renewal'))
    return findings
