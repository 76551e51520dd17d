"""The operations on a store, as the node's services and the command line offer them.

Nothing gets into the store that does not hold up at that moment: roots are valid authorities, a
station's chain ends in an installed V2G root and fits a key of the store, revocation data are
signed by whom they name. Where nobody of that name is installed, the signature is checked when a
car comes with the issuer; such data replace nothing.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from ccs2_pki.certificate import Certificate, KeyAlgorithm, parse_certificates, pem_blocks
from ccs2_pki.chains import ChainVerdict, check_chain
from ccs2_pki.errors import ErrorCode, PkiError, malformed
from ccs2_pki.keys import KeyRef, parse_private_key, public_key_id
from ccs2_pki.profiles import ANCHORS, Role, RootKind, profile_of_key
from ccs2_pki.revocation import MAX_UNVERIFIED, Crl, OcspResponse, parse_crl, parse_ocsp
from ccs2_pki.signatures import PrivateKey
from ccs2_pki.store import Change, EntryKind, PendingKey, SeccChain, Snapshot, Store

_KEPT_AFTER_EXPIRY = timedelta(days=30)
_Revocation = TypeVar('_Revocation', OcspResponse, Crl)
_COUNTRY = re.compile(r'[A-Z]{2}')


@dataclass(frozen=True, slots=True)
class CredentialInfo:
    """One thing in the store, described without any secret."""

    kind: EntryKind
    id: str
    subject: str = ''
    issuer: str = ''
    root_id: str = ''
    """Id of the installed root that a chain ends in."""
    not_before: datetime | None = None
    not_after: datetime | None = None
    public_key: str = ''
    has_key: bool = False


class Provisioning:
    """Operations on one store; all refusals are PkiError with the code for the services."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def install(self, kind: EntryKind, data: bytes, now: datetime | None, *,
                key_pem: bytes | None = None) -> tuple[str, int]:
        """Install certificates (PEM or DER), an OCSP response or a CRL; return (id, generation).

        ``key_pem`` is the private key to an SECC chain, for the command line alone; without it the
        chain must fit a key made by :meth:`create_csr`. Raises PkiError: TIME_NOT_TRUSTED without
        ``now``; MALFORMED, UNSUPPORTED, EXPIRED, REVOKED, CHAIN_INVALID for what is wrong with the
        data; KEY_MISMATCH; STORAGE.
        """
        if now is None:
            raise PkiError(ErrorCode.TIME_NOT_TRUSTED, 'clock of the station is not set')
        if key_pem is not None and kind is not EntryKind.SECC_CHAIN:
            raise malformed('only an SECC chain comes with a private key')
        with self.store.change() as change:
            snapshot = self.store.load()
            if kind.root_kind is not None:
                entry_id = _install_root(change, kind, data, now)
            elif kind is EntryKind.SECC_CHAIN:
                key = parse_private_key(key_pem) if key_pem is not None else None
                entry_id = self._install_chain(change, snapshot, data, key, now)
            elif kind is EntryKind.OCSP_RESPONSE:
                entry_id = _install_ocsp(change, snapshot, data, now)
            elif kind is EntryKind.CRL:
                entry_id = _install_crl(change, snapshot, data, now)
            else:
                raise PkiError(ErrorCode.UNSUPPORTED, f'{kind.value} is not installed but created')
        return entry_id, change.generation

    def delete(self, entry_id: str) -> int:
        """Delete one object, with its key if nothing else needs it; return the generation.

        Raises PkiError (NOT_FOUND, STORAGE).
        """
        with self.store.change() as change:
            change.remove(entry_id)
        return change.generation

    def create_csr(self, algorithm: KeyAlgorithm, common_name: str, organization: str,
                   country: str = '', *, provider: str = 'file') -> tuple[str, bytes]:
        """Make a key for the station; return (key id, signing request in DER).

        The subject is CN (the CPID), O, C and DC=CPO ([V2G2-925]). Raises PkiError (MALFORMED,
        NOT_FOUND, UNSUPPORTED, STORAGE).
        """
        subject = _csr_subject(common_name, organization, country)
        with self.store.change() as change:
            reference = change.generate(provider, algorithm)
            key = self.store.private_key(reference)
            csr = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(
                key, _signing_hash(key)).public_bytes(Encoding.DER)
            key_id = public_key_id(key.public_key())
            change.put(EntryKind.PENDING_KEY, key_id, [csr], reference)
        return key_id, csr

    def verify_chain(self, data: bytes, root: RootKind | None, role: Role | None,
                     now: datetime | None) -> ChainVerdict:
        """Check a chain (PEM or DER) against the installed roots of one kind, or of all that suit.

        Raises PkiError: MALFORMED if the data are no certificates, UNSUPPORTED for a foreign key
        algorithm, STORAGE.
        """
        chain = parse_certificates(data)
        snapshot = self.store.load()
        suitable = set(RootKind) if role is None else set(ANCHORS[role])
        kinds = suitable if root is None else suitable & {root}
        anchors = [anchor for kind in kinds for anchor in snapshot.roots[kind]]
        profile = profile_of_key(chain[0].key_algorithm)
        if profile is None:
            raise PkiError(ErrorCode.UNSUPPORTED, 'public key is not of a V2G profile')
        return check_chain(chain, anchors, profile, role, now, revocation=snapshot.revocation)

    def list(self, kind: EntryKind | None = None) -> tuple[CredentialInfo, ...]:
        """Describe what is in the store, all of it or one kind."""
        return tuple(info for info in self._describe(self.store.load())
                     if kind is None or info.kind is kind)

    def has_key(self, chain: SeccChain | PendingKey) -> bool:
        """Tell whether the private key is there."""
        try:
            return self.store.provider(chain.key.provider).holds(chain.key)
        except PkiError:
            return False

    def _install_chain(self, change: Change, snapshot: Snapshot, data: bytes,
                       key: PrivateKey | None, now: datetime) -> str:
        chain = parse_certificates(data)
        leaf = chain[0]
        profile = profile_of_key(leaf.key_algorithm)
        if profile is None:
            raise PkiError(ErrorCode.UNSUPPORTED, f'{leaf.subject}: key is not of a V2G profile')
        verdict = check_chain(chain, snapshot.roots[RootKind.V2G], profile, Role.SECC, now,
                              revocation=snapshot.revocation)
        if not verdict.accepted:
            raise PkiError(verdict.result.error_code, verdict.message)
        key_id = public_key_id(leaf.public_key)
        if key is None:
            reference = _find_key(snapshot, key_id)
        elif public_key_id(key.public_key()) == key_id:
            reference = self.store.file_keys.adopt(key)
        else:
            raise PkiError(ErrorCode.KEY_MISMATCH, 'private key does not belong to the leaf')
        change.put(EntryKind.SECC_CHAIN, leaf.fingerprint, [c.der for c in verdict.path], reference)
        if any(pending.id == key_id for pending in snapshot.pending_keys):
            change.remove(key_id)
        return leaf.fingerprint

    def _describe(self, snapshot: Snapshot) -> Sequence[CredentialInfo]:
        infos = [_describe_certificate(EntryKind(kind.value), root)
                 for kind, roots in snapshot.roots.items() for root in roots]
        for chain in snapshot.secc_chains:
            infos.append(_describe_certificate(
                EntryKind.SECC_CHAIN, chain.leaf, chain.root.fingerprint if chain.root else '',
                self.has_key(chain)))
        infos += [CredentialInfo(EntryKind.PENDING_KEY, pending.id, has_key=self.has_key(pending))
                  for pending in snapshot.pending_keys]
        infos += [CredentialInfo(EntryKind.OCSP_RESPONSE, response.fingerprint,
                                 _answered(response, snapshot), not_before=response.this_update,
                                 not_after=response.expires)
                  for response in snapshot.revocation.responses]
        infos += [CredentialInfo(EntryKind.CRL, crl.fingerprint, issuer=crl.issuer,
                                 not_before=crl.this_update, not_after=crl.expires)
                  for crl in snapshot.revocation.crls]
        return infos


def _describe_certificate(kind: EntryKind, certificate: Certificate, root_id: str = '',
                          has_key: bool = False) -> CredentialInfo:
    return CredentialInfo(kind, certificate.fingerprint, certificate.subject, certificate.issuer,
                          root_id, certificate.not_before, certificate.not_after,
                          certificate.key_algorithm.value, has_key)


def _answered(response: OcspResponse, snapshot: Snapshot) -> str:
    """Return the subject of the certificate an OCSP response is about, or its serial number."""
    single = response.singles[0]
    known = next((c for c in snapshot.certificates() if c.serial == single.serial), None)
    return known.subject if known else f'serial {single.serial:x}'


def _install_root(change: Change, kind: EntryKind, data: bytes, now: datetime) -> str:
    certificates = parse_certificates(data)
    if len(certificates) != 1:
        raise malformed(f'{len(certificates)} certificates where one root is expected')
    root = certificates[0]
    if root.key_algorithm is KeyAlgorithm.OTHER:
        raise PkiError(ErrorCode.UNSUPPORTED, f'{root.subject}: key is not of a V2G profile')
    may_sign = root.key_usage is None or 'key_cert_sign' in root.key_usage
    if not root.is_ca or not may_sign:
        raise PkiError(ErrorCode.CHAIN_INVALID, f'{root.subject} may not sign certificates')
    if root.is_named_issuer_of(root) and not root.has_signed(root):
        raise PkiError(ErrorCode.CHAIN_INVALID, f'{root.subject}: own signature is wrong')
    if now > root.not_after:
        raise PkiError(ErrorCode.EXPIRED, f'{root.subject} has expired')
    if now < root.not_before:
        raise PkiError(ErrorCode.CHAIN_INVALID, f'{root.subject} is not yet valid')
    change.put(kind, root.fingerprint, [root.der])
    return root.fingerprint


def _install_ocsp(change: Change, snapshot: Snapshot, data: bytes, now: datetime) -> str:
    response = parse_ocsp(data)
    if response.expires < now and not response.says_revoked:
        raise PkiError(ErrorCode.EXPIRED, 'OCSP response is too old')
    for issuer in response.issuers(snapshot.certificates()):
        if not response.is_signed_for(issuer, now):
            raise PkiError(ErrorCode.CHAIN_INVALID,
                           f'OCSP response is not signed for {issuer.subject}')
    _supersede(change, response, snapshot.revocation.responses, snapshot.certificates(), now)
    change.put(EntryKind.OCSP_RESPONSE, response.fingerprint, [response.der])
    return response.fingerprint


def _install_crl(change: Change, snapshot: Snapshot, data: bytes, now: datetime) -> str:
    crl = parse_crl(next((der for label, der in pem_blocks(data) if label == 'X509 CRL'), data))
    if not crl.usable:
        raise PkiError(ErrorCode.UNSUPPORTED, 'CRL is partial, indirect or a delta list')
    if crl.expires < now:
        raise PkiError(ErrorCode.EXPIRED, 'CRL is too old')
    known = snapshot.certificates()
    if crl.issuers(known) and not crl.is_verified(known, now):
        raise PkiError(ErrorCode.CHAIN_INVALID, f'CRL is not signed by {crl.issuer}')
    _supersede(change, crl, snapshot.revocation.crls, known, now)
    change.put(EntryKind.CRL, crl.fingerprint, [crl.der])
    return crl.fingerprint


def _supersede(change: Change, new: _Revocation, held: Sequence[_Revocation],
               known: Sequence[Certificate], now: datetime) -> None:
    """Remove what new revocation data replace, and what counts no more.

    Only data that a known issuer vouches for replace others. The issuers of contracts come with the
    cars; what nobody known vouches for may be forged, and stands beside what is there: what it says
    is heard only if its signature turns out to be right. Raises PkiError: EXPIRED if newer data are
    held, CHAIN_INVALID for data of the future, STORAGE if too many wait to be verified.
    """
    if new.is_early(now):
        raise PkiError(ErrorCode.CHAIN_INVALID, 'revocation data are of the future')
    verified, waiting = new.is_verified(known, now), 0
    for old in held:
        same = new.supersedes(old) and old.fingerprint != new.fingerprint
        over = now - old.expires if not old.says_revoked else timedelta(0)
        if (verified and same and old.this_update > new.this_update
                and old.is_verified(known, now)):
            raise PkiError(ErrorCode.EXPIRED, 'newer revocation data are installed')
        if (same and (verified or over > timedelta(0))) or over > _KEPT_AFTER_EXPIRY:
            change.remove(old.fingerprint)
        else:
            waiting += same
    if waiting >= MAX_UNVERIFIED:
        raise PkiError(ErrorCode.STORAGE, f'{waiting} of the kind wait to be verified; delete some')


def _find_key(snapshot: Snapshot, key_id: str) -> KeyRef:
    for pending in snapshot.pending_keys:
        if pending.id == key_id:
            return pending.key
    for chain in snapshot.secc_chains:
        if public_key_id(chain.leaf.public_key) == key_id:
            return chain.key
    raise PkiError(ErrorCode.KEY_MISMATCH, 'leaf does not belong to a key of this store')


def _csr_subject(common_name: str, organization: str, country: str) -> x509.Name:
    for what, text in (('common name', common_name), ('organization', organization)):
        if not text.isprintable() or not 1 <= len(text.encode()) <= 64:
            raise malformed(f'{what}: 1 to 64 octets of printable characters (UTF-8)')
    if country and not _COUNTRY.fullmatch(country):
        raise malformed('country: two capital letters (ISO 3166), or none')
    attributes = [(NameOID.COMMON_NAME, common_name), (NameOID.ORGANIZATION_NAME, organization)]
    attributes += [(NameOID.COUNTRY_NAME, country)] if country else []
    attributes += [(NameOID.DOMAIN_COMPONENT, 'CPO')]
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in attributes])


def _signing_hash(key: PrivateKey) -> hashes.SHA256 | hashes.SHA512 | None:
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        return None
    return hashes.SHA512() if key.curve.name == 'secp521r1' else hashes.SHA256()
