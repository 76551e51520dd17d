"""What the node and the command line do: install, delete, list, requests, verification, health."""

import hashlib
from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given, settings
from hypothesis import strategies as st
from pki_lab import NAMES, NOW, hierarchy, pem, wrong_chains

from ccs2_pki.certificate import KeyAlgorithm, key_bits
from ccs2_pki.chains import ChainResult
from ccs2_pki.errors import ErrorCode, PkiError
from ccs2_pki.health import Severity, assess
from ccs2_pki.lab.directory import fill_store
from ccs2_pki.lab.issuing import certify, crl, issue, ocsp_response
from ccs2_pki.profiles import Role, RootKind
from ccs2_pki.provisioning import Provisioning
from ccs2_pki.revocation import MAX_UNVERIFIED, name_der
from ccs2_pki.selection import (
    ISO2_KEYS,
    ISO20_KEYS,
    IdentifierType,
    TrustedAuthority,
    choose,
    staples,
    usable,
)
from ccs2_pki.store import EntryKind, Store

LAB = hierarchy('iso2')
MONTH = timedelta(days=30)


@pytest.fixture
def provisioning(tmp_path):
    return Provisioning(Store(tmp_path / 'pki', create=True))


@pytest.fixture
def filled(provisioning):
    fill_store(provisioning.store, [LAB], NOW)
    return provisioning


def key_pem(issued):
    return issued.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def root(name='v2g_root'):
    return LAB.issued[name].certificate.der


def refusal(call, *arguments, **options):
    with pytest.raises(PkiError) as error:
        call(*arguments, **options)
    return error.value.code


def test_a_filled_store_is_complete(tmp_path):
    store = Store(tmp_path / 'pki', create=True)
    fill_store(store, [hierarchy(name) for name in NAMES], NOW)
    snapshot = store.load()
    assert len(snapshot.secc_chains) == 6
    assert all(chain.root for chain in snapshot.secc_chains)
    assert len(snapshot.revocation.crls) == 6
    for chain in snapshot.secc_chains:
        assert all(staples(chain, snapshot.revocation, NOW))
    health = assess(snapshot, NOW, MONTH, Provisioning(store).has_key)
    assert (health.secc_ready_tls_1_2, health.secc_ready_tls_1_3) == (True, True)
    assert health.findings == ()
    infos = Provisioning(store).list()
    assert len(infos) == len(snapshot.entries)
    assert {info.id for info in infos} == {entry.id for entry in snapshot.entries}


@pytest.mark.parametrize('name', NAMES)
def test_from_signing_request_to_chain(provisioning, name):
    lab = hierarchy(name)
    provisioning.install(EntryKind.V2G_ROOT, lab.issued['v2g_root'].certificate.der, NOW)
    key_id, der = provisioning.create_csr(lab.generation.algorithm, 'DECC2S0001', 'Operator', 'DE')
    request = x509.load_der_x509_csr(der)
    assert request.is_signature_valid
    assert request.subject.rfc4514_string() == 'DC=CPO,C=DE,O=Operator,CN=DECC2S0001'
    [pending] = provisioning.list(EntryKind.PENDING_KEY)
    assert (pending.kind, pending.id, pending.has_key) == (EntryKind.PENDING_KEY, key_id, True)

    leaf = sign_request(lab, request)
    chain = (leaf, *lab.issued['secc'].chain[1:])
    entry_id, generation = provisioning.install(EntryKind.SECC_CHAIN, pem(chain), NOW)
    assert entry_id == leaf.fingerprint
    assert generation == provisioning.store.generation()
    snapshot = provisioning.store.load()
    assert snapshot.pending_keys == ()
    [installed] = snapshot.secc_chains
    key = provisioning.store.private_key(installed.key)
    assert key.public_key() == leaf.public_key
    assert provisioning.list(EntryKind.SECC_CHAIN)[0].has_key
    # The same key again under a second certificate: renewal.
    renewed = (sign_request(lab, request), *chain[1:])
    provisioning.install(EntryKind.SECC_CHAIN, pem(renewed), NOW)
    provisioning.delete(entry_id)
    assert provisioning.list(EntryKind.SECC_CHAIN)[0].has_key


def sign_request(lab, request):
    issuer = lab.issued['cpo_sub2']
    return certify(lab.plans['secc'], request.public_key(), issuer.certificate, issuer.key, NOW)


def test_without_a_trusted_time_nothing_is_installed(provisioning):
    for kind in EntryKind:
        assert refusal(provisioning.install, kind, root(), None) is ErrorCode.TIME_NOT_TRUSTED
    assert provisioning.store.generation() == 0


def test_roots(provisioning):
    for kind in RootKind:
        provisioning.install(EntryKind(kind.value), LAB.issued['v2g_root'].certificate.pem(), NOW)
    assert {info.kind.value for info in provisioning.list()} == {kind.value for kind in RootKind}
    leaf = LAB.issued['secc'].certificate
    for data, code in (
            (leaf.der, ErrorCode.CHAIN_INVALID),
            (pem((leaf, leaf)), ErrorCode.MALFORMED),
            (b'text', ErrorCode.MALFORMED),
            (expired_root(), ErrorCode.EXPIRED),
            (spoiled(root()), ErrorCode.CHAIN_INVALID)):
        assert refusal(provisioning.install, EntryKind.V2G_ROOT, data, NOW) is code
    assert refusal(provisioning.install, EntryKind.V2G_ROOT, root(),
                   NOW - timedelta(days=2)) is ErrorCode.CHAIN_INVALID
    assert refusal(provisioning.install, EntryKind.V2G_ROOT, root(), NOW,
                   key_pem=b'') is ErrorCode.MALFORMED
    assert refusal(provisioning.install, EntryKind.PENDING_KEY, root(),
                   NOW) is ErrorCode.UNSUPPORTED


def expired_root():
    plan = replace(LAB.plans['v2g_root'], start=-10, days=5)
    return issue(plan, None, KeyAlgorithm.P256, NOW).certificate.der


def spoiled(der):
    return der[:-1] + bytes([der[-1] ^ 1])


def test_an_secc_chain_needs_its_root_and_its_key(provisioning):
    secc = LAB.issued['secc']
    chain = pem(secc.chain)
    install = provisioning.install
    assert refusal(install, EntryKind.SECC_CHAIN, chain, NOW,
                   key_pem=key_pem(secc)) is ErrorCode.CHAIN_INVALID
    install(EntryKind.V2G_ROOT, root(), NOW)
    assert refusal(install, EntryKind.SECC_CHAIN, chain, NOW) is ErrorCode.KEY_MISMATCH
    assert refusal(install, EntryKind.SECC_CHAIN, chain, NOW,
                   key_pem=key_pem(LAB.issued['secc_b'])) is ErrorCode.KEY_MISMATCH
    assert refusal(install, EntryKind.SECC_CHAIN, chain + key_pem(secc),
                   NOW) is ErrorCode.MALFORMED
    assert list((provisioning.store.directory).glob('keys/*')) == []
    install(EntryKind.SECC_CHAIN, chain, NOW, key_pem=key_pem(secc))


@pytest.mark.parametrize('name', NAMES)
def test_no_wrong_secc_chain_gets_in(tmp_path, name):
    lab = hierarchy(name)
    for wrong in wrong_chains(name):
        if wrong.role is not Role.SECC:
            continue
        provisioning = Provisioning(Store(tmp_path / wrong.name, create=True))
        provisioning.install(EntryKind.V2G_ROOT, lab.issued['v2g_root'].certificate.der, NOW)
        for response in wrong.ocsp:
            provisioning.install(EntryKind.OCSP_RESPONSE, response, NOW)
        before = provisioning.store.generation()
        code = refusal(provisioning.install, EntryKind.SECC_CHAIN, b''.join(wrong.chain), NOW,
                       key_pem=key_pem(wrong.leaf))
        if wrong.expected in (ChainResult.LEAF_EXPIRED, ChainResult.ISSUER_EXPIRED,
                              ChainResult.REVOKED):
            assert code is wrong.expected.error_code
        assert code in (ErrorCode.CHAIN_INVALID, ErrorCode.EXPIRED, ErrorCode.REVOKED,
                        ErrorCode.MALFORMED), wrong.name
        assert provisioning.store.generation() == before


def test_ocsp_responses(filled):
    install = filled.install
    secc = LAB.issued['secc']
    before = len(filled.list(EntryKind.OCSP_RESPONSE))
    newer = ocsp_response(secc, NOW, age=timedelta(minutes=1))
    install(EntryKind.OCSP_RESPONSE, newer, NOW)
    infos = filled.list(EntryKind.OCSP_RESPONSE)
    assert len(infos) == before  # replaced the older one
    assert hashlib.sha256(newer).hexdigest() in {info.id for info in infos}
    for data, code in (
            (ocsp_response(secc, NOW, age=timedelta(days=1)), ErrorCode.EXPIRED),
            (ocsp_response(secc, NOW, age=timedelta(days=8)), ErrorCode.EXPIRED),
            (ocsp_response(secc, NOW, responder=LAB.issued['cps']), ErrorCode.CHAIN_INVALID),
            (spoiled(newer), ErrorCode.CHAIN_INVALID),
            (b'\x30\x03\x0a\x01\x06', ErrorCode.MALFORMED),
            (b'', ErrorCode.MALFORMED)):
        assert refusal(install, EntryKind.OCSP_RESPONSE, data, NOW) is code
    install(EntryKind.OCSP_RESPONSE, ocsp_response(secc, NOW, revoked=True,
                                                   age=timedelta(seconds=1)), NOW)
    health = assess(filled.store.load(), NOW, MONTH, filled.has_key)
    assert health.severity is Severity.ERROR
    assert 'is revoked' in health.message


def test_outdated_ocsp_responses_leave_with_the_next_one(filled):
    later = NOW + timedelta(days=50)
    install = filled.install
    response = ocsp_response(LAB.issued['cps'], later)
    install(EntryKind.OCSP_RESPONSE, response, later)
    assert [info.id for info in filled.list(EntryKind.OCSP_RESPONSE)] == [
        hashlib.sha256(response).hexdigest()]


def test_crls(filled):
    install = filled.install
    issuer = LAB.issued['cpo_sub2']
    secc = LAB.issued['secc']
    install(EntryKind.CRL, crl(issuer, [], NOW), NOW)
    newer = crl(issuer, [secc], NOW + timedelta(hours=1))
    text = x509.load_der_x509_crl(newer).public_bytes(Encoding.PEM)
    install(EntryKind.CRL, text, NOW + timedelta(hours=1))
    assert len(filled.list(EntryKind.CRL)) == 3
    assert refusal(install, EntryKind.CRL, crl(issuer, [], NOW), NOW) is ErrorCode.EXPIRED
    assert refusal(install, EntryKind.CRL, newer, NOW + MONTH) is ErrorCode.EXPIRED
    assert refusal(install, EntryKind.CRL, spoiled(newer), NOW) is ErrorCode.CHAIN_INVALID
    assert refusal(install, EntryKind.CRL, b'x', NOW) is ErrorCode.MALFORMED
    verdict = filled.verify_chain(pem(secc.chain), None, Role.SECC, NOW)
    assert verdict.result is ChainResult.REVOKED


def forged(issued):
    """The same certificate by name, with another key: what a forger has."""
    return replace(issued, key=LAB.issued['cps'].key)


def forged_response(issued, age):
    return ocsp_response(issued, NOW, responder=LAB.issued['cps'], age=age)


def install_for_contract(provisioning, kind, *data, now=NOW):
    """Install data of the contract's issuer, which is not in the store: it comes with the car."""
    provisioning.install(EntryKind.MO_ROOT, root('mo_root'), now)
    for der in data:
        provisioning.install(kind, der, now)
    contract = pem(LAB.issued['contract'].chain)
    return provisioning.verify_chain(contract, None, Role.CONTRACT, now).result


def test_a_forged_ocsp_response_ends_no_revoked(provisioning):
    contract = LAB.issued['contract']
    revoked = ocsp_response(contract, NOW, revoked=True)
    for later in (timedelta(minutes=1), timedelta(0)):
        assert install_for_contract(
            provisioning, EntryKind.OCSP_RESPONSE, revoked, forged_response(contract, age=later),
            ocsp_response(contract, NOW, revoked=True, age=timedelta(minutes=2)),
        ) is ChainResult.REVOKED


def test_a_forged_crl_ends_no_revoked(provisioning):
    contract = LAB.issued['contract']
    listed = crl(contract.issuer, [contract], NOW)
    for der in (listed, crl(forged(contract.issuer), [], NOW + timedelta(minutes=61)),
                crl(contract.issuer, [contract], NOW + timedelta(minutes=1))):
        assert install_for_contract(provisioning, EntryKind.CRL, der) is ChainResult.REVOKED


def test_what_can_be_verified_replaces_what_cannot(provisioning):
    secc = LAB.issued['secc']
    provisioning.install(EntryKind.OCSP_RESPONSE, forged_response(secc, age=timedelta(0)), NOW)
    provisioning.install(EntryKind.CRL, crl(forged(secc.issuer), [], NOW + timedelta(hours=1)), NOW)
    fill_store(provisioning.store, [LAB], NOW)
    for kind, der in ((EntryKind.OCSP_RESPONSE, ocsp_response(secc, NOW)),
                      (EntryKind.CRL, crl(secc.issuer, [secc], NOW))):
        before = {info.id for info in provisioning.list(kind)}
        entry_id, _ = provisioning.install(kind, der, NOW)
        after = {info.id for info in provisioning.list(kind)}
        assert after - before <= {entry_id}
        assert len(before - after) >= 1
    verdict = provisioning.verify_chain(pem(secc.chain), None, Role.SECC, NOW)
    assert verdict.result is ChainResult.REVOKED


def test_what_cannot_be_verified_does_not_pile_up(provisioning):
    contract = LAB.issued['contract']
    responses = [ocsp_response(contract, NOW, age=timedelta(minutes=number))
                 for number in range(MAX_UNVERIFIED + 1)]
    lists = [crl(contract.issuer, [contract], NOW - timedelta(minutes=number))
             for number in range(MAX_UNVERIFIED + 1)]
    for kind, data in ((EntryKind.OCSP_RESPONSE, responses), (EntryKind.CRL, lists)):
        for der in data[:-1]:
            provisioning.install(kind, der, NOW)
        provisioning.install(kind, data[0], NOW)
        assert refusal(provisioning.install, kind, data[-1], NOW) is ErrorCode.STORAGE
    # Those that count no more make room, those that say "revoked" never do so.
    week = NOW + timedelta(days=8)
    provisioning.install(EntryKind.OCSP_RESPONSE, ocsp_response(contract, week), week)
    assert len(provisioning.list(EntryKind.OCSP_RESPONSE)) == 1
    assert refusal(provisioning.install, EntryKind.CRL, crl(contract.issuer, [], week),
                   week) is ErrorCode.STORAGE


def test_revocation_data_of_the_future_are_refused(filled):
    tomorrow = NOW + timedelta(days=1)
    for issued in (LAB.issued['secc'], LAB.issued['contract'], LAB.issued['cps']):
        for kind, der in ((EntryKind.OCSP_RESPONSE, ocsp_response(issued, tomorrow)),
                          (EntryKind.CRL, crl(issued.issuer, [], tomorrow))):
            assert refusal(filled.install, kind, der, NOW) is ErrorCode.CHAIN_INVALID


@pytest.mark.parametrize(('extension', 'critical'), [
    (x509.DeltaCRLIndicator(1), True), (x509.DeltaCRLIndicator(1), False),
    (x509.IssuingDistributionPoint(None, None, True, False, None, False, False), True)])
def test_a_list_that_is_not_complete_is_refused(provisioning, extension, critical):
    contract = LAB.issued['contract']
    issuer = contract.issuer
    partial = (x509.CertificateRevocationListBuilder()
               .issuer_name(issuer.certificate.source.subject)
               .last_update(NOW).next_update(NOW + timedelta(days=7))
               .add_extension(extension, critical)
               .sign(issuer.key, hashes.SHA256()).public_bytes(Encoding.DER))
    assert refusal(provisioning.install, EntryKind.CRL, partial, NOW) is ErrorCode.UNSUPPORTED


def test_verify_chain_uses_the_roots_that_suit(filled):
    contract = pem(LAB.issued['contract'].chain)
    verify = filled.verify_chain
    assert verify(contract, None, Role.CONTRACT, NOW).result is ChainResult.OK
    assert verify(contract, RootKind.MO, Role.CONTRACT, NOW).result is ChainResult.OK
    assert verify(contract, RootKind.V2G, Role.CONTRACT, NOW).result is ChainResult.NO_ANCHOR
    assert verify(contract, RootKind.OEM, Role.CONTRACT, NOW).result is ChainResult.NO_ANCHOR
    assert verify(contract, RootKind.MO, None, NOW).result is ChainResult.OK
    assert verify(contract, RootKind.MO, Role.SECC, NOW).result is ChainResult.NO_ANCHOR
    assert verify(contract, None, Role.CONTRACT, None).result is ChainResult.TIME_NOT_TRUSTED
    assert refusal(verify, b'text', None, None, NOW) is ErrorCode.MALFORMED


def test_deleting(filled):
    [first, second] = filled.list(EntryKind.SECC_CHAIN)
    filled.delete(first.id)
    assert filled.list(EntryKind.SECC_CHAIN) == (second,)
    assert len(list(filled.store.directory.glob('keys/*.pem'))) == 1
    assert refusal(filled.delete, first.id) is ErrorCode.NOT_FOUND


@given(st.text(max_size=70), st.text(max_size=70), st.text(max_size=3))
@settings(max_examples=60, deadline=None)
def test_any_subject_of_a_request_is_used_or_refused(names, organization, country):
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as directory:
        provisioning = Provisioning(Store(Path(directory) / 'pki', create=True))
        try:
            _, der = provisioning.create_csr(KeyAlgorithm.P256, names, organization, country)
        except PkiError as error:
            assert error.code is ErrorCode.MALFORMED  # noqa: PT017 - both outcomes are right
            assert provisioning.list() == ()
        else:
            subject = x509.load_der_x509_csr(der).subject
            assert names in [attribute.value for attribute in subject]


@pytest.mark.parametrize(('text', 'fits'), [
    ('é' * 32, True), ('é' * 33, False), ('a' * 64, True), ('a' * 65, False), ('', False),
    ('\U0001F50C' * 16, True), ('\U0001F50C' * 17, False), ('\ud800', False), ('a\n', False)])
def test_names_in_a_request_are_bounded_in_octets(provisioning, text, fits):
    for names in ((text, 'Operator'), ('DECC2S0001', text)):
        if fits:
            provisioning.create_csr(KeyAlgorithm.P256, *names)
        else:
            assert refusal(provisioning.create_csr, KeyAlgorithm.P256,
                           *names) is ErrorCode.MALFORMED
    assert len(provisioning.list()) == 2 * fits


def test_no_key_of_another_kind(provisioning):
    assert refusal(provisioning.create_csr, KeyAlgorithm.OTHER, 'a', 'b') is ErrorCode.UNSUPPORTED
    assert refusal(provisioning.create_csr, KeyAlgorithm.P256, 'a', 'b',
                   provider='pkcs11') is ErrorCode.NOT_FOUND


# Health

def health_at(provisioning, now):
    return assess(provisioning.store.load(), now, MONTH, provisioning.has_key)


def test_health_of_an_empty_store(provisioning):
    health = health_at(provisioning, NOW)
    assert (health.secc_ready_tls_1_2, health.secc_ready_tls_1_3) == (False, False)
    assert health.earliest_expiry is None
    assert health.severity is Severity.ERROR
    assert 'no usable SECC chain' in health.message
    assert 'no MO or V2G root' in health.message


def test_health_tells_expiry_before_and_after(filled):
    secc = LAB.issued['secc'].certificate
    assert health_at(filled, NOW).message == ''
    soon = health_at(filled, secc.not_after - timedelta(days=10))
    assert soon.secc_ready_tls_1_2
    assert f'{secc.subject} expires in 10 days' in soon.message
    over = health_at(filled, secc.not_after + timedelta(days=1))
    assert not over.secc_ready_tls_1_2
    assert over.severity is Severity.ERROR
    assert f'{secc.subject} has expired' in over.message


def test_health_tells_what_is_missing(filled):
    staple = health_at(filled, NOW + timedelta(days=6))
    assert 'OCSP response needs renewal' in staple.message
    assert staple.severity is Severity.WARNING
    clock = health_at(filled, None)
    assert clock.secc_ready_tls_1_2
    assert 'clock is not set' in clock.message
    filled.delete(LAB.issued['v2g_root'].certificate.fingerprint)
    assert 'V2G root is not installed' in health_at(filled, NOW).message
    for path in filled.store.directory.glob('keys/*.pem'):
        path.unlink()
    keyless = health_at(filled, NOW)
    assert not keyless.secc_ready_tls_1_2
    assert 'private key is missing' in keyless.message
    for path in filled.store.directory.glob('objects/*'):
        path.write_bytes(b'')
    assert 'damaged on disk' in health_at(filled, NOW).message


# Selection

def test_the_chain_is_chosen_by_what_the_car_trusts(tmp_path):
    store = Store(tmp_path / 'pki', create=True)
    fill_store(store, [hierarchy('iso2'), hierarchy('iso20')], NOW)
    chains = usable(store.load().secc_chains, ISO2_KEYS, NOW)
    assert len(chains) == 2
    assert len(usable(store.load().secc_chains, ISO20_KEYS, NOW)) == 2
    assert usable(chains, ISO2_KEYS, NOW + timedelta(days=70)) == []
    assert len(usable(chains, ISO2_KEYS, None)) == 2
    for chain in chains:
        root_certificate = chain.root

        def sha1(data):
            return hashlib.sha1(data, usedforsecurity=False).digest()

        for authority in (
                TrustedAuthority(IdentifierType.KEY_SHA1, sha1(key_bits(root_certificate))),
                TrustedAuthority(IdentifierType.CERT_SHA1, sha1(root_certificate.der)),
                TrustedAuthority(IdentifierType.X509_NAME, name_der(root_certificate))):
            unknown = TrustedAuthority(authority.type, b'unknown')
            assert choose(chains, [unknown, authority]) is chain
    pre_agreed = TrustedAuthority(IdentifierType.PRE_AGREED)
    assert choose(chains, [pre_agreed]) is choose(chains, []) is chains[0]
    assert choose([], [pre_agreed]) is None
