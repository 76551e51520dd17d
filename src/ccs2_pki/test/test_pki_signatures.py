"""Plug & Charge signatures and the transport of contract keys, both directions."""

import contextlib
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st
from pki_lab import NAMES, hierarchy

from ccs2_pki.errors import ErrorCode, PkiError
from ccs2_pki.key_transport import (
    EncryptedKey,
    decrypt_iso2,
    decrypt_iso20,
    encrypt_iso2,
    encrypt_iso20,
)
from ccs2_pki.lab.hierarchy import PROVISIONING_ID
from ccs2_pki.signatures import (
    CANONICAL_EXI,
    ECDSA_SHA256,
    ECDSA_SHA512,
    EDDSA_ED448,
    ISO2_SUITES,
    ISO20_SUITES,
    SignatureResult,
    SignatureToCheck,
    SignedElement,
    der_to_raw,
    make_references,
    raw_to_der,
    sign,
    suite_of_key,
    verify,
    verify_digests,
)

ELEMENTS = (SignedElement('id1', b'\x80\x04 AuthorizationReq'), SignedElement('id2', b'\x80\x0f'))
SIGNED_INFO = b'\x80\x81\x12 SignedInfo'
SUITES = {'iso2': ISO2_SUITES, 'iso20': ISO20_SUITES, 'iso20-ed448': ISO20_SUITES}


def signed(name, elements=ELEMENTS):
    key = hierarchy(name).issued['contract'].key
    suite = suite_of_key(key.public_key())
    return key.public_key(), SignatureToCheck(
        signed_info=(SIGNED_INFO,), references=make_references(elements, suite),
        canonicalization_method=CANONICAL_EXI, signature_method=suite.signature_method,
        signature_value=sign(key, SIGNED_INFO, suite))


@pytest.mark.parametrize(('name', 'size'), zip(NAMES, (64, 132, 114), strict=True))
def test_round_trip(name, size):
    key, signature = signed(name)
    assert len(signature.signature_value) == size
    assert verify(signature, ELEMENTS, key, SUITES[name]) is SignatureResult.OK


@pytest.mark.parametrize('name', NAMES)
def test_the_other_form_of_signed_info_is_tolerated(name):
    key, signature = signed(name)
    both = replace(signature, signed_info=(b'other grammar', SIGNED_INFO))
    assert verify(both, ELEMENTS, key, SUITES[name]) is SignatureResult.OK
    neither = replace(signature, signed_info=(b'other grammar',))
    assert verify(neither, ELEMENTS, key, SUITES[name]) is SignatureResult.SIGNATURE_INVALID
    none = replace(signature, signed_info=())
    assert verify(none, ELEMENTS, key, SUITES[name]) is SignatureResult.SIGNATURE_INVALID


def faults(signature):
    first, second = signature.references
    yield SignatureResult.CANONICALIZATION, {'canonicalization_method': CANONICAL_EXI[:-1]}
    yield SignatureResult.SIGNATURE_METHOD, {'signature_method': 'http://www.w3.org/2000/09/'}
    yield SignatureResult.SIGNATURE_METHOD, {'signature_method': ECDSA_SHA512.signature_method}
    yield SignatureResult.FORBIDDEN_ATTRIBUTE, {'forbidden': True}
    yield SignatureResult.REFERENCE_COUNT, {'references': [first]}
    yield SignatureResult.REFERENCE_COUNT, {'references': []}
    yield SignatureResult.REFERENCE_COUNT, {'references': [first, second, first]}
    yield SignatureResult.DUPLICATE_REFERENCE, {'references': [first, first]}
    for uri in ('#id3', '', 'id2', '#id2 ', '##id2'):
        yield SignatureResult.REFERENCE_URI, {'references': [first, replace(second, uri=uri)]}
    for transforms in ((), (CANONICAL_EXI, CANONICAL_EXI), ('http://www.w3.org/TR/1999/REC-xpath',
                                                           CANONICAL_EXI)):
        yield SignatureResult.TRANSFORM, {'references': [first, replace(second,
                                                                        transforms=transforms)]}
    yield SignatureResult.DIGEST_METHOD, {'references': [
        first, replace(second, digest_method=ECDSA_SHA512.digest_method)]}
    for value in (b'', bytes(32), second.digest_value[:-1], second.digest_value + b'\0'):
        yield SignatureResult.DIGEST_MISMATCH, {'references': [
            first, replace(second, digest_value=value)]}
    yield SignatureResult.SIGNATURE_SIZE, {'signature_value': signature.signature_value[:-1]}
    yield SignatureResult.SIGNATURE_SIZE, {'signature_value':
                                           raw_to_der(signature.signature_value, 32)}
    yield SignatureResult.SIGNATURE_INVALID, {'signature_value': bytes(64)}
    yield SignatureResult.SIGNATURE_INVALID, {'signature_value': b'\xff' * 64}


def test_each_fault_gives_its_own_result():
    key, signature = signed('iso2')
    seen = set()
    for expected, change in faults(signature):
        result = verify(replace(signature, **change), ELEMENTS, key, ISO2_SUITES)
        assert result is expected, change
        seen.add(result)
    rest = {SignatureResult.OK, SignatureResult.DUPLICATE_ID, SignatureResult.KEY_ALGORITHM}
    assert seen | rest == set(SignatureResult)


def test_digests_are_checked_in_the_same_way_whoever_has_signed():
    _, signature = signed('iso2')
    of_the_value = {SignatureResult.SIGNATURE_SIZE, SignatureResult.SIGNATURE_INVALID}
    for expected, change in faults(signature):
        assert verify_digests(replace(signature, **change), ELEMENTS, ISO2_SUITES) is (
            SignatureResult.OK if expected in of_the_value else expected), change


def test_two_elements_with_one_id_are_refused():
    key, signature = signed('iso2')
    twins = (ELEMENTS[0], replace(ELEMENTS[1], id='id1'))
    assert verify(signature, twins, key, ISO2_SUITES) is SignatureResult.DUPLICATE_ID


def test_nothing_signed_is_never_ok():
    key, signature = signed('iso2', ())
    assert verify(signature, (), key, ISO2_SUITES) is SignatureResult.REFERENCE_COUNT


def test_five_references_are_too_many():
    elements = tuple(SignedElement(f'id{i}', bytes([i])) for i in range(5))
    key, signature = signed('iso2', elements)
    assert verify(signature, elements, key, ISO2_SUITES) is SignatureResult.REFERENCE_COUNT


def test_a_changed_element_is_found():
    key, signature = signed('iso2')
    changed = (ELEMENTS[0], replace(ELEMENTS[1], fragment=b'\x80\x0e'))
    assert verify(signature, changed, key, ISO2_SUITES) is SignatureResult.DIGEST_MISMATCH


def test_another_key_and_another_curve_are_refused():
    _, signature = signed('iso2')
    other = hierarchy('iso2').issued['cps'].key.public_key()
    assert verify(signature, ELEMENTS, other, ISO2_SUITES) is SignatureResult.SIGNATURE_INVALID
    curve = hierarchy('iso20').issued['cps'].key.public_key()
    assert verify(signature, ELEMENTS, curve, ISO2_SUITES) is SignatureResult.KEY_ALGORITHM


def test_signing_with_a_key_of_another_suite_is_refused():
    key = hierarchy('iso20').issued['contract'].key
    for suite in (ECDSA_SHA256, EDDSA_ED448):
        with pytest.raises(PkiError) as error:
            sign(key, SIGNED_INFO, suite)
        assert error.value.code is ErrorCode.UNSUPPORTED
    with pytest.raises(PkiError):
        suite_of_key(ec.generate_private_key(ec.SECP384R1()).public_key())


@given(st.sampled_from((32, 66)), st.data())
def test_raw_and_der_forms_agree(size, data):
    numbers = st.integers(0, 256**size - 1)
    raw = b''.join(data.draw(numbers).to_bytes(size, 'big') for _ in range(2))
    assert der_to_raw(raw_to_der(raw, size), size) == raw


@given(st.binary(max_size=160), st.sampled_from((32, 66)))
def test_signature_forms_raise_nothing_but_the_documented_error(data, size):
    for convert in (raw_to_der, der_to_raw):
        with contextlib.suppress(PkiError):
            convert(data, size)


@given(st.binary(max_size=150))
@settings(max_examples=50)
def test_any_signature_value_is_a_verdict(value):
    for name in NAMES:
        key, signature = signed(name)
        result = verify(replace(signature, signature_value=value), ELEMENTS, key, SUITES[name])
        assert result in (SignatureResult.SIGNATURE_SIZE, SignatureResult.SIGNATURE_INVALID)


# Contract keys

def keys(name):
    lab = hierarchy(name)
    return (lab.issued['contract'].key, lab.issued['oem_provisioning'].key,
            lab.issued['contract'].certificate)


def test_iso2_key_transport():
    contract, car, certificate = keys('iso2')
    encrypted = encrypt_iso2(contract, car.public_key())
    assert len(encrypted.encrypted_private_key) == 48
    assert len(encrypted.dh_public_key) == 65
    decrypted = decrypt_iso2(encrypted, car, certificate.public_key)
    assert decrypted.private_numbers() == contract.private_numbers()
    assert encrypt_iso2(contract, car.public_key()) != encrypted


def test_iso2_session_key_is_the_documented_derivation():
    """The concatenation KDF spelled out: SHA-256 over counter, Z, 0x01, 'U', 'V'; first half."""
    import hashlib

    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    contract, car, _ = keys('iso2')
    encrypted = encrypt_iso2(contract, car.public_key())
    peer = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), encrypted.dh_public_key)
    shared = car.exchange(ec.ECDH(), peer)
    key = hashlib.sha256(b'\0\0\0\x01' + shared + b'\x01\x55\x56').digest()[:16]
    data = encrypted.encrypted_private_key
    cipher = Cipher(algorithms.AES128(key), modes.CBC(data[:16])).decryptor()
    scalar = int.from_bytes(cipher.update(data[16:]) + cipher.finalize(), 'big')
    assert scalar == contract.private_numbers().private_value


def test_iso20_session_key_is_the_documented_derivation():
    """SHA-512, 32 octets; additional data are 18 characters of PCID and 16 of the key id."""
    import hashlib

    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    contract, car, certificate = keys('iso20')
    encrypted = encrypt_iso20(contract, car.public_key(), provisioning_id=PROVISIONING_ID,
                              subject_key_id=certificate.subject_key_id)
    peer = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP521R1(), encrypted.dh_public_key)
    shared = car.exchange(ec.ECDH(), peer)
    key = hashlib.sha512(b'\0\0\0\x01' + shared + b'\x01\x55\x56').digest()[:32]
    additional = PROVISIONING_ID.encode() + certificate.subject_key_id.hex().upper().encode()
    assert len(additional) == 34
    data = encrypted.encrypted_private_key
    scalar = int.from_bytes(AESGCM(key).decrypt(data[:12], data[12:], additional), 'big')
    assert scalar == contract.private_numbers().private_value


def test_iso20_key_transport():
    contract, car, certificate = keys('iso20')
    names = {'provisioning_id': PROVISIONING_ID, 'subject_key_id': certificate.subject_key_id}
    encrypted = encrypt_iso20(contract, car.public_key(), **names)
    assert len(encrypted.encrypted_private_key) == 94
    assert len(encrypted.dh_public_key) == 133
    decrypted = decrypt_iso20(encrypted, car, certificate.public_key, **names)
    assert decrypted.private_numbers() == contract.private_numbers()
    for change in ({'provisioning_id': 'CC2LAB0000000000B1'}, {'subject_key_id': bytes(8)}):
        with pytest.raises(PkiError, match='changed or is for another car'):
            decrypt_iso20(encrypted, car, certificate.public_key, **(names | change))


def test_the_key_must_belong_to_the_contract_certificate():
    contract, car, _ = keys('iso2')
    other = hierarchy('iso2').issued['contract_new'].certificate
    encrypted = encrypt_iso2(contract, car.public_key())
    with pytest.raises(PkiError) as error:
        decrypt_iso2(encrypted, car, other.public_key)
    assert error.value.code is ErrorCode.KEY_MISMATCH


def test_keys_of_another_curve_are_refused():
    contract, car, certificate = keys('iso2')
    for call in (
            lambda: encrypt_iso2(keys('iso20')[0], car.public_key()),
            lambda: encrypt_iso2(contract, keys('iso20')[1].public_key()),
            lambda: encrypt_iso20(contract, car.public_key(), provisioning_id=PROVISIONING_ID,
                                  subject_key_id=certificate.subject_key_id)):
        with pytest.raises(PkiError) as error:
            call()
        assert error.value.code is ErrorCode.UNSUPPORTED


@given(st.binary(max_size=140), st.binary(max_size=140), st.booleans())
@settings(max_examples=150, deadline=None)
def test_any_transported_bytes_raise_nothing_but_the_documented_error(first, second, fitting):
    if fitting:  # lengths that get further than the length check
        first, second = first.ljust(48, b'\1')[:48], b'\x04' + second.ljust(64, b'\2')[:64]
    contract, car, certificate = keys('iso2')
    good = encrypt_iso2(contract, car.public_key())
    for encrypted in (EncryptedKey(first, second), replace(good, encrypted_private_key=first),
                      replace(good, dh_public_key=second)):
        with pytest.raises(PkiError):
            decrypt_iso2(encrypted, car, certificate.public_key)
    _, car20, certificate20 = keys('iso20')
    with pytest.raises(PkiError):
        decrypt_iso20(EncryptedKey(first, second), car20, certificate20.public_key,
                      provisioning_id=PROVISIONING_ID,
                      subject_key_id=certificate20.subject_key_id)
