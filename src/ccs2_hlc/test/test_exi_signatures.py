"""Signed messages: what is digested and what is signed, checked with real certificates."""

import hashlib
import json
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

from ccs2_hlc import exi
from ccs2_hlc.exi.declare import Element, declaration
from ccs2_hlc.exi.messages import iso2, xmldsig

CORPUS = Path(__file__).parents[4] / 'shared' / 'corpus' / 'exi.jsonl'
SHA256 = 'http://www.w3.org/2001/04/xmlenc#sha256'
EXI = 'http://www.w3.org/TR/canonical-exi/'
ECDSA = 'http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256'


def elements(owner, name):
    """Yield every element and every plain value in a message with its name."""
    yield name, owner
    if not isinstance(owner, Element):
        return
    for field, _, spec in declaration(type(owner)).fields:
        value = getattr(owner, field)
        for item in value if isinstance(value, list) else [value]:
            substituted = spec.flat is not None or not isinstance(spec.name, str)
            if isinstance(item, Element) and substituted:
                yield from elements(item, declaration(type(item)).element)
            elif item is not None:
                yield from elements(item, spec.name)


def certificates(message):
    for _, value in elements(message, ''):
        if isinstance(value, bytes) and len(value) > 150:
            try:
                yield x509.load_der_x509_certificate(value)
            except ValueError:
                continue


def verifies(certificate, signature, data):
    key = certificate.public_key()
    half = len(signature) // 2
    der = utils.encode_dss_signature(
        int.from_bytes(signature[:half]), int.from_bytes(signature[half:]))
    try:
        key.verify(der, data, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True


@pytest.fixture(scope='module')
def signed():
    """Return all signed messages of the corpus and all certificates in it."""
    if not CORPUS.exists():
        pytest.skip('the corpus is not beside the checkout')
    messages, known = [], []
    with open(CORPUS) as file:
        for line in map(json.loads, file):
            if '#' in line['schema']:
                continue
            message = exi.decode(line['schema'], bytes.fromhex(line['exi']), validate=False)
            known += certificates(message)
            header = getattr(message, 'header', None)
            if header is not None and header.signature is not None:
                messages.append((line['schema'], message))
    return messages, known


def test_signatures_verify_over_signed_info_by_xmldsig_alone(signed):
    messages, known = signed
    verified = 0
    for _, message in messages:
        signature = message.header.signature
        data = exi.encode_fragment('xmldsig', 'SignedInfo', signature.signed_info)
        assert data.hex().startswith('808112b4')
        verified += any(
            verifies(certificate, signature.signature_value.value, data) for certificate in known)
    # The certificate of one signer (a tariff provider) is not in the corpus.
    assert verified == len(messages) - 1 == 12


def test_digests_match_the_fragments_of_what_they_refer_to(signed):
    matched = []
    for schema, message in signed[0]:
        for reference in message.header.signature.signed_info.reference:
            for name, element in elements(message, 'V2G_Message'):
                if isinstance(element, Element) and getattr(element, 'id', None) \
                        and f'#{element.id}' == reference.uri:
                    data = exi.encode_fragment(schema, name, element, validate=False)
                    assert hashlib.sha256(data).digest() == reference.digest_value, name
                    matched.append(name)
    assert sorted(set(matched)) == [
        'AuthorizationReq', 'CertificateUpdateReq', 'ContractSignatureCertChain',
        'ContractSignatureEncryptedPrivateKey', 'DHpublickey', 'SalesTariff', 'eMAID']
    assert len(matched) == 13


def test_emaid_is_a_fragment_of_the_element_fragment_grammar():
    data = bytes.fromhex('80ec0202b4b21a40041111505090d0cc4c8cd05090cd4dbd3d00')
    emaid = iso2.EMAID(id='id4', value='DEABCC123ABC56')
    assert exi.decode_fragment('iso2', data) == ('eMAID', emaid)
    assert exi.encode_fragment('iso2', 'eMAID', emaid) == data


def test_authorization_req_is_a_fragment_of_its_schema():
    data = bytes.fromhex('8004420020406080a0c0e10121416181a1c1e207a0')
    name, request = exi.decode_fragment('iso2', data)
    assert name == 'AuthorizationReq'
    assert request == iso2.AuthorizationReq(gen_challenge=bytes(range(1, 17)))
    assert exi.encode_fragment('iso2', 'AuthorizationReq', request) == data


def test_signed_info_is_written_with_literals_only():
    info = xmldsig.SignedInfo(
        canonicalization_method=xmldsig.CanonicalizationMethod(algorithm=EXI),
        signature_method=xmldsig.SignatureMethod(algorithm=ECDSA),
        reference=[xmldsig.Reference(
            uri='#ID1',
            transforms=xmldsig.Transforms(transform=[xmldsig.Transform(algorithm=EXI)]),
            digest_method=xmldsig.DigestMethod(algorithm=SHA256),
            digest_value=bytes.fromhex('aabbccddeeff'))])
    data = exi.encode_fragment('xmldsig', 'SignedInfo', info)
    assert len(data) == 183
    assert data.hex().startswith('808112b43a3a381d1797bbbbbb973b999737')
    assert data.hex().endswith('0d557799bbddfe370')
    assert exi.decode_fragment('xmldsig', data).value == info


def test_a_name_that_two_namespaces_declare_must_say_which():
    header = iso2.MessageHeader(session_id=bytes(8))
    with pytest.raises(ValueError, match='ambiguous'):
        exi.encode_fragment('iso2', 'DC_EVStatus', iso2.DCEVStatus(
            ev_ready=True, ev_error_code=iso2.DCEVErrorCode.NO_ERROR, ev_ress_soc=1))
    with pytest.raises(ValueError, match='no element'):
        exi.encode_fragment('iso2', 'Nonsense', header)
    name, _ = exi.decode_fragment('iso2', exi.encode_fragment(
        'iso2', '{urn:iso:15118:2:2013:MsgBody}DC_EVStatus', iso2.DCEVStatus(
            ev_ready=True, ev_error_code=iso2.DCEVErrorCode.NO_ERROR, ev_ress_soc=1)))
    assert name == '{urn:iso:15118:2:2013:MsgBody}DC_EVStatus'
