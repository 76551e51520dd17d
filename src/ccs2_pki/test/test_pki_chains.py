"""Chain checks: every right certificate is accepted, every wrong one gives its own result."""

from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import NameOID, ObjectIdentifier
from hypothesis import given, settings
from hypothesis import strategies as st
from pki_lab import NAMES, NOW, hierarchy, revocation, wrong_chains

from ccs2_pki.chains import (
    ChainPolicy,
    ChainResult,
    RevocationPolicy,
    anchors_for,
    check_chain,
    check_der_chain,
    contract_verdict,
)
from ccs2_pki.errors import ErrorCode, PkiError
from ccs2_pki.lab.hierarchy import LEAFS
from ccs2_pki.lab.issuing import crl, issue, ocsp_response
from ccs2_pki.profiles import (
    ISO2,
    ISO20,
    ISO20_INTEROPERABILITY,
    OCSP_SIGNING,
    Role,
    RootKind,
)
from ccs2_pki.revocation import (
    NO_REVOCATION_DATA,
    RevocationData,
    RevocationStatus,
    ocsp_hash_data,
    ocsp_request,
    parse_crl,
    parse_ocsp,
)

RIGHT = [(name, leaf) for name in NAMES for leaf in LEAFS if leaf in hierarchy(name).issued]
WRONG = [pytest.param(name, wrong, id=f'{name}-{wrong.role.value}-{wrong.name}')
         for name in NAMES for wrong in wrong_chains(name)]


def verdict(name, leaf, **changes):
    lab = hierarchy(name)
    role = LEAFS[leaf]
    arguments = {'now': NOW, 'revocation': revocation(name)} | changes
    return check_chain(lab.issued[leaf].chain, anchors_for(role, lab.roots()),
                       lab.generation.profile, role, **arguments)


@pytest.mark.parametrize(('name', 'leaf'), RIGHT)
def test_right_chains_are_accepted(name, leaf):
    result = verdict(name, leaf)
    assert result.result is ChainResult.OK
    assert result.path == hierarchy(name).issued[leaf].chain
    assert result.anchor == hierarchy(name).issued[leaf].root.certificate


@pytest.mark.parametrize(('name', 'wrong'), WRONG)
def test_each_wrong_chain_gives_its_own_result(name, wrong):
    lab = hierarchy(name)
    anchors = anchors_for(wrong.role, lab.roots())
    if wrong.extra_root:
        anchors.append(wrong.extra_root.certificate)
    data = RevocationData(tuple(parse_ocsp(der) for der in wrong.ocsp))
    result = check_der_chain(wrong.chain, anchors, lab.generation.profile, wrong.role, NOW,
                             revocation=data)
    assert result.result is wrong.expected
    assert not result.accepted
    assert result.message


def test_the_wrong_ones_cover_every_refusal():
    produced = {wrong.expected for name in NAMES for wrong in wrong_chains(name)}
    elsewhere = {ChainResult.OK, ChainResult.OK_EXPIRES_SOON, ChainResult.TIME_NOT_TRUSTED,
                 ChainResult.MIXED_ALGORITHMS, ChainResult.REVOCATION_UNKNOWN}
    assert produced | elsewhere == set(ChainResult)


def test_without_a_trusted_time_nothing_is_accepted():
    assert verdict('iso2', 'contract', now=None).result is ChainResult.TIME_NOT_TRUSTED
    assert contract_verdict([], hierarchy('iso2').roots(), None).result \
        is ChainResult.TIME_NOT_TRUSTED
    assert ChainResult.TIME_NOT_TRUSTED.error_code is ErrorCode.TIME_NOT_TRUSTED


def test_validity_ends_to_the_second():
    leaf = hierarchy('iso2').issued['secc'].certificate
    for moment, expected in (
            (leaf.not_after, ChainResult.OK_EXPIRES_SOON),
            (leaf.not_after + timedelta(seconds=1), ChainResult.LEAF_EXPIRED),
            (leaf.not_before, ChainResult.OK),
            (leaf.not_before - timedelta(seconds=1), ChainResult.LEAF_NOT_YET_VALID)):
        assert verdict('iso2', 'secc', now=moment).result is expected


def test_a_leaf_that_expires_soon_is_told():
    policy = ChainPolicy(expires_soon=timedelta(days=60))
    assert verdict('iso2', 'secc', policy=policy).result is ChainResult.OK_EXPIRES_SOON
    assert verdict('iso2', 'contract', policy=policy).result is ChainResult.OK


def test_the_root_may_close_the_chain_and_what_follows_it_is_ignored():
    lab = hierarchy('iso2')
    leaf = lab.issued['contract']
    for tail in ((leaf.root.certificate,),):
        result = check_chain((*leaf.chain, *tail), [leaf.root.certificate], ISO2, Role.CONTRACT,
                             NOW)
        assert result.result is ChainResult.OK
        assert result.path == leaf.chain


def test_a_sub_ca_may_be_the_anchor():
    leaf = hierarchy('iso2').issued['contract']
    result = check_chain(leaf.chain, [leaf.chain[1]], ISO2, Role.CONTRACT, NOW)
    assert result.result is ChainResult.OK
    assert result.path == leaf.chain[:1]


def test_a_leaf_cannot_anchor_itself():
    leaf = hierarchy('iso2').issued['contract']
    result = check_chain(leaf.chain[:1], leaf.chain[:1], ISO2, Role.CONTRACT, NOW)
    assert result.result is ChainResult.NO_ANCHOR


def test_vehicles_are_never_anchored_in_the_mo_root():
    lab = hierarchy('iso20')
    kinds = {kind for kind in RootKind
             for root in lab.roots()[kind] if root in anchors_for(Role.VEHICLE, lab.roots())}
    assert RootKind.MO not in kinds
    assert kinds == {RootKind.OEM, RootKind.V2G, RootKind.CPS}  # the CPS root is the V2G root here


def test_iso20_refuses_iso2_certificates_but_for_interoperability_tests():
    lab = hierarchy('iso2')
    leaf = lab.issued['secc']
    assert check_chain(leaf.chain, lab.roots()[RootKind.V2G], ISO20, Role.SECC,
                       NOW).result is ChainResult.WRONG_KEY_ALGORITHM
    assert check_chain(leaf.chain, lab.roots()[RootKind.V2G], ISO20_INTEROPERABILITY, Role.SECC,
                       NOW).result is ChainResult.OK
    provisioning = lab.issued['oem_provisioning']
    assert check_chain(provisioning.chain, lab.roots()[RootKind.OEM], ISO20_INTEROPERABILITY,
                       Role.VEHICLE, NOW).result is ChainResult.OK


def test_iso2_has_no_vehicle_certificates():
    lab = hierarchy('iso2')
    assert check_chain(lab.issued['oem_provisioning'].chain, lab.roots()[RootKind.OEM], ISO2,
                       Role.VEHICLE, NOW).result is ChainResult.LEAF_SUBJECT


@pytest.mark.parametrize('trouble', [
    {}, {'start': -400, 'days': 399}, {'start': 30}, {'key_usage': frozenset()}, {'is_ca': True},
    {'critical_extension': True}])
def test_what_a_stranger_puts_into_a_name_is_one_printable_line(trouble):
    lab = hierarchy('iso2')
    subject = (('O', 'o' * 64), ('O', 'o' * 64), ('DC', 'MO'),
               ('CN', 'x\n[ERROR] [safety]: forged \x1b[31m\u202e'))
    rogue = issue(replace(lab.plans['mo_root'], subject=subject), None, lab.generation.algorithm,
                  NOW)
    for issuer in (rogue, lab.issued['mo_sub2']):
        leaf = issue(replace(lab.plans['contract'], subject=subject, **trouble), issuer,
                     lab.generation.algorithm, NOW)
        result = contract_verdict([c.der for c in leaf.chain], lab.roots(), NOW)
        assert result.accepted == (issuer is not rogue and not trouble)
        for text in (result.message, leaf.certificate.subject, leaf.certificate.issuer):
            assert text.isprintable()
            assert len(text) <= 200
        assert '[ERROR] [safety]: forged' in leaf.certificate.subject
    assert '\n' in leaf.certificate.common_name  # what is compared is as it was received


def test_mixed_algorithms_are_refused():
    lab = hierarchy('iso20')
    other = hierarchy('iso20-ed448')
    leaf = issue(other.plans['contract'], lab.issued['mo_sub2'], other.generation.algorithm, NOW)
    assert check_chain(leaf.chain, lab.roots()[RootKind.MO], ISO20, Role.CONTRACT,
                       NOW).result is ChainResult.MIXED_ALGORITHMS


def test_revocation_policy():
    required = ChainPolicy(RevocationPolicy.REQUIRED)
    assert verdict('iso2', 'contract', policy=required).result is ChainResult.OK
    assert verdict('iso2', 'cps', policy=required).result is ChainResult.REVOCATION_UNKNOWN
    nothing = RevocationData()
    found = verdict('iso2', 'contract', revocation=nothing)
    assert found.result is ChainResult.OK
    assert [f.status for f in found.revocation] == [RevocationStatus.UNKNOWN] * 3
    assert verdict('iso2', 'contract', revocation=nothing,
                   policy=required).result is ChainResult.REVOCATION_UNKNOWN


def status_of(subject, *responses, crls=(), now=NOW):
    data = RevocationData(tuple(parse_ocsp(r) for r in responses),
                          tuple(parse_crl(c) for c in crls))
    return data.finding(subject.certificate, subject.issuer.certificate, now).status


@pytest.mark.parametrize('name', NAMES)
def test_ocsp_counts_only_from_the_right_signer_and_for_a_week(name):
    lab = hierarchy(name)
    contract, responder = lab.issued['contract'], lab.issued['cpo_responder']
    good = ocsp_response(contract, NOW)
    assert status_of(contract, good) is RevocationStatus.GOOD
    assert status_of(contract, good, now=NOW + timedelta(days=7)) is RevocationStatus.UNKNOWN
    assert status_of(contract, good, now=NOW - timedelta(days=1)) is RevocationStatus.UNKNOWN
    foreign = ocsp_response(contract, NOW, responder=responder)
    assert status_of(contract, foreign) is RevocationStatus.UNKNOWN
    forged = ocsp_response(contract, NOW, revoked=True, responder=lab.issued['cps'])
    assert status_of(contract, forged) is RevocationStatus.UNKNOWN
    secc = lab.issued['secc']
    assert status_of(secc, ocsp_response(secc, NOW, responder=responder)) is RevocationStatus.GOOD
    # A leaf of the same issuer without the OCSP signing usage is no responder.
    assert status_of(secc, ocsp_response(secc, NOW, responder=secc)) is RevocationStatus.UNKNOWN


def test_an_expired_responder_does_not_count():
    lab = hierarchy('iso2')
    secc = lab.issued['secc']
    old = issue(replace(lab.plans['cpo_responder'], start=-20, days=19), lab.issued['cpo_sub2'],
                lab.generation.algorithm, NOW)
    response = ocsp_response(secc, NOW, responder=old)
    assert status_of(secc, response) is RevocationStatus.UNKNOWN


@pytest.mark.parametrize('change', [
    {'key_usage': frozenset({'key_agreement'})},
    {'is_ca': True, 'key_usage': frozenset({'digital_signature', 'key_cert_sign'})},
    {'hash': hashes.SHA384()}])
def test_a_responder_without_the_form_of_one_does_not_count(change):
    lab = hierarchy('iso2')
    secc = lab.issued['secc']
    odd = issue(replace(lab.plans['cpo_responder'], **change), lab.issued['cpo_sub2'],
                lab.generation.algorithm, NOW)
    assert status_of(secc, ocsp_response(secc, NOW, responder=odd)) is RevocationStatus.UNKNOWN


#: Keys that a responder may have by X.509, and the hashes that they sign with.
FOREIGN_KEYS = [
    (rsa.generate_private_key(65537, 2048), hashes.SHA256()),
    (ed25519.Ed25519PrivateKey.generate(), None),
    (ec.generate_private_key(ec.SECP384R1()), hashes.SHA256()),
]


def answer_of(key, algorithm, *, good=True, signing=None, when=NOW, until=None):
    """An OCSP response about the contract from a responder that its issuer has certified."""
    contract = hierarchy('iso2').issued['contract']
    issuer = contract.issuer
    responder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, 'Responder')]))
        .issuer_name(issuer.certificate.source.subject)
        .public_key(key.public_key()).serial_number(77)
        .not_valid_before(NOW - timedelta(days=1)).not_valid_after(NOW + timedelta(days=9))
        .add_extension(x509.ExtendedKeyUsage([ObjectIdentifier(OCSP_SIGNING)]), False)
        .sign(issuer.key, signing or hashes.SHA256()))
    status = ocsp.OCSPCertStatus.GOOD if good else ocsp.OCSPCertStatus.REVOKED
    return (ocsp.OCSPResponseBuilder()
            .add_response(contract.certificate.source, issuer.certificate.source, hashes.SHA256(),
                          status, when, until, None if good else when, None)
            .responder_id(ocsp.OCSPResponderEncoding.HASH, responder)
            .certificates([responder]).sign(key, algorithm).public_bytes(Encoding.DER))


@pytest.mark.parametrize(('key', 'algorithm'), FOREIGN_KEYS)
def test_a_responder_with_a_key_of_no_profile_does_not_count(key, algorithm):
    contract = hierarchy('iso2').issued['contract']
    data = RevocationData((parse_ocsp(answer_of(key, algorithm)),))
    found = verdict('iso2', 'contract', revocation=data)
    assert found.result is ChainResult.OK
    assert found.revocation[0].status is RevocationStatus.UNKNOWN
    assert data.staple(contract.certificate, contract.issuer.certificate, NOW) is None


def test_a_response_of_the_last_day_of_the_calendar_is_judged():
    key = ec.generate_private_key(ec.SECP256R1())
    contract = hierarchy('iso2').issued['contract']
    for year, moment in ((9999, NOW.replace(year=9999, month=12, day=31)),
                         (1951, NOW.replace(year=1951))):
        response = answer_of(key, hashes.SHA256(), when=moment)
        assert parse_ocsp(response).expires.year >= year
        assert status_of(contract, response) is RevocationStatus.UNKNOWN


@given(st.sampled_from([answer_of(*foreign, good=good) for foreign in FOREIGN_KEYS
                        for good in (True, False)] + list(hierarchy('iso2').ocsp.values())),
       st.lists(st.tuples(st.integers(0), st.binary(min_size=1, max_size=4)), max_size=4))
@settings(max_examples=300, deadline=None)
def test_whatever_the_revocation_data_are_a_check_ends_in_a_verdict(der, changes):
    spoiled = bytearray(der)
    for place, octets in changes:
        place %= len(spoiled)
        spoiled[place:place + len(octets)] = octets
    try:
        data = RevocationData((parse_ocsp(bytes(spoiled)),))
    except PkiError:
        data = NO_REVOCATION_DATA
    for leaf in ('contract', 'secc'):
        assert verdict('iso2', leaf, revocation=data).result.accepted


@pytest.mark.parametrize('weak', [hashes.SHA224(), hashes.SHA384()])
def test_a_signature_over_a_weak_or_foreign_hash_does_not_count(weak):
    lab = hierarchy('iso2')
    contract, issuer = lab.issued['contract'], lab.issued['mo_sub2']
    answers = [
        ocsp.OCSPResponseBuilder().add_response(
            contract.certificate.source, issuer.certificate.source, hashes.SHA256(),
            ocsp.OCSPCertStatus.REVOKED, NOW, None, NOW, None)
        .responder_id(ocsp.OCSPResponderEncoding.HASH, issuer.certificate.source)
        .sign(issuer.key, algorithm).public_bytes(Encoding.DER)
        for algorithm in (hashes.SHA256(), weak)]
    assert [status_of(contract, answer) for answer in answers] == [
        RevocationStatus.REVOKED, RevocationStatus.UNKNOWN]
    lists = [
        (x509.CertificateRevocationListBuilder()
         .issuer_name(issuer.certificate.source.subject).last_update(NOW)
         .next_update(NOW + timedelta(days=1))
         .sign(issuer.key, algorithm).public_bytes(Encoding.DER))
        for algorithm in (hashes.SHA256(), weak)]
    assert [status_of(contract, crls=[each]) for each in lists] == [
        RevocationStatus.GOOD, RevocationStatus.UNKNOWN]


def test_ocsp_ends_at_its_own_next_update_if_that_is_sooner():
    secc = hierarchy('iso2').issued['secc']
    parsed = parse_ocsp(ocsp_response(secc, NOW))
    [single] = parsed.singles
    soon = replace(parsed, singles=(replace(single, next_update=NOW + timedelta(hours=1)),))
    endless = replace(parsed, singles=(replace(single, next_update=None),))
    late = replace(parsed, singles=(replace(single, next_update=NOW + timedelta(days=99)),))
    pair = secc.certificate, secc.issuer.certificate
    for response, hours, status in (
            (soon, 1, RevocationStatus.GOOD), (soon, 2, RevocationStatus.UNKNOWN),
            (endless, 166, RevocationStatus.GOOD), (endless, 168, RevocationStatus.UNKNOWN),
            (late, 166, RevocationStatus.GOOD), (late, 168, RevocationStatus.UNKNOWN)):
        data = RevocationData((response,))
        assert data.finding(*pair, NOW + timedelta(hours=hours)).status is status


def test_a_response_is_early_if_any_status_in_it_is():
    parsed = parse_ocsp(ocsp_response(hierarchy('iso2').issued['secc'], NOW))
    [single] = parsed.singles
    early = replace(single, this_update=NOW + timedelta(minutes=6))
    assert not parsed.is_early(NOW)
    assert replace(parsed, singles=(single, early)).is_early(NOW)


def test_a_partial_crl_proves_nothing_good():
    lab = hierarchy('iso2')
    contract, issuer = lab.issued['contract'], lab.issued['mo_sub2']
    partial = x509.IssuingDistributionPoint(None, None, True, False, None, False, False)

    def partial_crl(*revoked):
        builder = (x509.CertificateRevocationListBuilder()
                   .issuer_name(issuer.certificate.source.subject)
                   .last_update(NOW).next_update(NOW + timedelta(days=1))
                   .add_extension(partial, True))
        for serial in revoked:
            builder = builder.add_revoked_certificate(
                x509.RevokedCertificateBuilder().serial_number(serial)
                .revocation_date(NOW).build())
        return builder.sign(issuer.key, hashes.SHA256()).public_bytes(Encoding.DER)

    assert status_of(contract, crls=[partial_crl()]) is RevocationStatus.UNKNOWN
    revoked = partial_crl(contract.certificate.serial)
    assert status_of(contract, crls=[revoked]) is RevocationStatus.REVOKED


def test_revoked_counts_however_old_and_beats_good():
    contract = hierarchy('iso2').issued['contract']
    good = ocsp_response(contract, NOW)
    old = ocsp_response(contract, NOW, revoked=True, age=timedelta(days=400))
    assert status_of(contract, good, old) is RevocationStatus.REVOKED
    assert status_of(contract, old, good) is RevocationStatus.REVOKED


def test_crl():
    lab = hierarchy('iso2')
    contract, issuer = lab.issued['contract'], lab.issued['mo_sub2']
    assert status_of(contract, crls=[crl(issuer, [], NOW)]) is RevocationStatus.GOOD
    assert status_of(contract, crls=[crl(issuer, [contract], NOW)]) is RevocationStatus.REVOKED
    assert status_of(contract, crls=[crl(issuer, [], NOW)],
                     now=NOW + timedelta(days=8)) is RevocationStatus.UNKNOWN
    assert status_of(contract, crls=[crl(lab.issued['mo_sub1'], [contract], NOW)]) \
        is RevocationStatus.UNKNOWN
    impostor = issue(lab.plans['mo_sub2'], lab.issued['mo_sub1'], lab.generation.algorithm, NOW)
    assert status_of(contract, crls=[crl(impostor, [contract], NOW)]) is RevocationStatus.UNKNOWN
    no_crl = replace(lab.plans['mo_sub2'], key_usage=frozenset({'key_cert_sign'}))
    weak = issue(no_crl, lab.issued['mo_sub1'], lab.generation.algorithm, NOW)
    leaf = issue(lab.plans['contract'], weak, lab.generation.algorithm, NOW)
    assert status_of(leaf, crls=[crl(weak, [leaf], NOW)]) is RevocationStatus.UNKNOWN


def test_staple_is_the_newest_good_response():
    contract = hierarchy('iso2').issued['contract']
    older = parse_ocsp(ocsp_response(contract, NOW, age=timedelta(days=2)))
    newer = parse_ocsp(ocsp_response(contract, NOW))
    data = RevocationData((newer, older))
    pair = contract.certificate, contract.issuer.certificate
    assert data.staple(*pair, NOW) == newer.der
    assert data.staple(*pair, NOW + timedelta(days=8)) is None


def test_ocsp_request_names_the_certificate():
    contract = hierarchy('iso2').issued['contract']
    pair = contract.certificate, contract.issuer.certificate
    request = ocsp.load_der_ocsp_request(ocsp_request(*pair))
    data = ocsp_hash_data(*pair)
    assert request.serial_number == contract.certificate.serial == int(data['serialNumber'], 16)
    assert request.issuer_key_hash.hex() == data['issuerKeyHash']
    assert request.issuer_name_hash.hex() == data['issuerNameHash']
    assert data['responderURL'] == 'http://ocsp.example.org/mo_sub2'


def test_the_manual_lists_every_result():
    from pathlib import Path

    manual = Path(__file__).parents[3] / 'docs' / 'certificates.md'
    if not manual.exists():
        pytest.skip('not run from the source tree')
    rows = [line for line in manual.read_text().splitlines() if line.startswith('| `')]
    assert rows == [f'| `{result.name}` | {result.reason} |' for result in ChainResult]
