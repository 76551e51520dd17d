"""Reading certificates and revocation data: whatever the bytes, nothing but PkiError."""

import contextlib

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given, settings
from hypothesis import strategies as st
from pki_lab import NAMES, NOW, hierarchy, pem, revocation

from ccs2_pki.certificate import (
    KeyAlgorithm,
    SignatureAlgorithm,
    parse_certificate,
    parse_certificates,
    split_der,
)
from ccs2_pki.chains import ChainResult, contract_verdict
from ccs2_pki.errors import ErrorCode, PkiError
from ccs2_pki.identifiers import emaid_check_digit, is_emaid, normalize, same_emaid
from ccs2_pki.keys import parse_private_key
from ccs2_pki.lab.hierarchy import EMAID
from ccs2_pki.revocation import parse_crl, parse_ocsp


@st.composite
def damaged(draw, data):
    """Bytes with a few changes, insertions and removals."""
    result = bytearray(data)
    for _ in range(draw(st.integers(1, 4))):
        position = draw(st.integers(0, max(len(result) - 1, 0)))
        kind = draw(st.sampled_from(['change', 'insert', 'remove', 'cut']))
        if kind == 'change' and result:
            result[position] = draw(st.integers(0, 255))
        elif kind == 'insert':
            result[position:position] = draw(st.binary(min_size=1, max_size=4))
        elif kind == 'remove':
            del result[position:position + draw(st.integers(1, 8))]
        else:
            del result[position:]
    return bytes(result)


LEAFS = [hierarchy(name).issued['contract'].certificate for name in NAMES]


def test_fields_of_a_certificate():
    certificate = hierarchy('iso2').issued['contract'].certificate
    assert certificate.common_name == EMAID
    assert certificate.domain_components == ('MO',)
    assert certificate.key_algorithm is KeyAlgorithm.P256
    assert certificate.signature_algorithm is SignatureAlgorithm.ECDSA_SHA256
    assert certificate.key_usage == {'digital_signature', 'content_commitment',
                                     'key_encipherment', 'key_agreement'}
    assert not certificate.is_ca
    assert certificate.ocsp_urls == ('http://ocsp.example.org/mo_sub2',)
    sub_ca = hierarchy('iso20').issued['mo_sub1'].certificate
    assert (sub_ca.is_ca, sub_ca.path_length) == (True, 1)
    assert sub_ca.key_algorithm is KeyAlgorithm.P521
    assert sub_ca.signature_algorithm is SignatureAlgorithm.ECDSA_SHA512
    assert sub_ca.subject_key_id is not None
    assert len(sub_ca.subject_key_id) == 8
    assert sub_ca.subject_key_id[0] >> 4 == 4


@given(st.data())
@settings(max_examples=400, deadline=None)
def test_damaged_certificates_raise_nothing_but_the_documented_error(data):
    der = data.draw(damaged(data.draw(st.sampled_from(LEAFS)).der))
    with contextlib.suppress(PkiError):
        certificate = parse_certificate(der)
        assert certificate.der == der
        repr(certificate)


@given(st.binary(max_size=200))
@settings(deadline=None)
def test_any_bytes_raise_nothing_but_the_documented_error(data):
    for parse in (parse_certificate, parse_certificates, parse_ocsp, parse_crl, split_der,
                  parse_private_key):
        with contextlib.suppress(PkiError):
            parse(data)


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_a_damaged_chain_is_a_verdict(data):
    lab = hierarchy('iso2')
    chain = [certificate.der for certificate in lab.issued['contract'].chain]
    position = data.draw(st.integers(0, 2))
    spoiled = data.draw(damaged(chain[position]))
    if spoiled == chain[position]:
        return
    chain[position] = spoiled
    verdict = contract_verdict(chain, lab.roots(), NOW)
    assert not verdict.accepted


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_damaged_revocation_data_never_says_good_of_its_own(data):
    lab = hierarchy('iso2')
    contract = lab.issued['contract']
    response = data.draw(damaged(lab.ocsp['contract']))
    with contextlib.suppress(PkiError):
        parsed = parse_ocsp(response)
        signed = parsed.is_signed_for(contract.issuer.certificate, NOW)
        assert not signed or parsed.signed_bytes == parse_ocsp(lab.ocsp['contract']).signed_bytes
    with contextlib.suppress(PkiError):
        parse_crl(data.draw(damaged(lab.crls['mo_sub2'])))


def test_trailing_octets_are_refused():
    for certificate in LEAFS:
        with pytest.raises(PkiError) as error:
            parse_certificate(certificate.der + b'\0')
        assert error.value.code is ErrorCode.MALFORMED


def test_chain_files():
    chain = hierarchy('iso2').issued['contract'].chain
    assert parse_certificates(pem(chain)) == chain
    assert parse_certificates(b''.join(c.der for c in chain)) == chain
    for bad in (b'', b'text', pem(chain) * 4, chain[0].der[:-1], b'\x30\x84\0\0\0\0',
                b'-----BEGIN CERTIFICATE-----\n????\n-----END CERTIFICATE-----\n', bytes(65537)):
        with pytest.raises(PkiError) as error:
            parse_certificates(bad)
        assert error.value.code is ErrorCode.MALFORMED


def test_a_private_key_among_certificates_is_refused_without_showing_it():
    issued = hierarchy('iso2').issued['secc']
    key = issued.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(PkiError, match='PRIVATE KEY where only certificates') as error:
        parse_certificates(pem(issued.chain) + key)
    assert key.splitlines()[1].decode() not in str(error.value)


def test_foreign_key_algorithms_are_named():
    key = rsa.generate_private_key(65537, 2048)
    data = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(PkiError) as error:
        parse_private_key(data)
    assert error.value.code is ErrorCode.UNSUPPORTED


def test_der_chain_with_garbage_is_malformed():
    lab = hierarchy('iso2')
    assert contract_verdict([b'\xff' + bytes(63)], lab.roots(),
                            NOW).result is ChainResult.MALFORMED
    assert contract_verdict([bytes(801)], lab.roots(),
                            NOW).result is ChainResult.CERTIFICATE_TOO_LARGE
    assert contract_verdict([b''] * 5, lab.roots(), NOW).result is ChainResult.CHAIN_TOO_LONG


def test_nothing_secret_in_repr():
    issued = hierarchy('iso2').issued['secc']
    assert 'PrivateKey' not in repr(issued)
    assert 'PRIVATE' not in repr(revocation('iso2'))


@pytest.mark.parametrize(('emaid', 'digit'), [
    ('NN123ABCDEFGHI', 'T'), ('FRXYZ123456789', '2'), ('ITA1B2C3E4F5G6', '4'),
    ('ESZU8WOX834H1D', 'R'), ('PT73902837ABCZ', 'Z'), ('DE83DUIEN83QGZ', 'D'),
    ('DE83DUIEN83ZGQ', 'M'), ('DE8AA001234567', '0'), ('NLTNM000122045', 'U')])
def test_emaid_check_digit(emaid, digit):
    assert emaid_check_digit(emaid) == digit
    assert emaid_check_digit(f'{emaid[:2]}-{emaid[2:5]}-{emaid[5:].lower()}') == digit


def test_identifiers():
    assert same_emaid('DE-8AA-001234567', 'de8aa001234567')
    assert not same_emaid('DE8AA001234567', 'DE8AA001234568')
    assert is_emaid('UKSWI123456791A')  # its check digit is wrong, which is no reason to refuse
    assert not is_emaid('1E8AA001234567')
    for first, second in (('DEABC\u017f', 'DEABCS'), ('\xdf', 'SS'), ('\u0131', 'I'),
                          ('\ufb01', 'FI'), ('\xe9', '\xc9')):
        assert not same_emaid(first, second)
        assert same_emaid(first, first)
    assert not is_emaid('DE\u017fBC123456789')
    assert not is_emaid('DE8AA00123456\u0667')
    assert normalize('de-1') == 'DE1'
    with pytest.raises(PkiError):
        emaid_check_digit('')
