"""The SECC key in a PKCS#11 token, with SoftHSM."""

import threading

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pki_lab import NOW, hierarchy

from ccs2_pki import pkcs11_keys
from ccs2_pki.certificate import KeyAlgorithm
from ccs2_pki.errors import ErrorCode, PkiError
from ccs2_pki.keys import KeyRef
from ccs2_pki.lab.software_token import enroll, softhsm_module, software_token
from ccs2_pki.pkcs11_keys import Pkcs11Config, Pkcs11Keys, configured_keys
from ccs2_pki.provisioning import Provisioning
from ccs2_pki.signatures import ECDSA_SHA256, SignatureResult, SignatureToCheck, sign
from ccs2_pki.store import EntryKind, Store

pytest.importorskip('pkcs11', reason='python-pkcs11 is not installed')
if softhsm_module() is None:
    pytest.skip('SoftHSM (Debian package softhsm2) is not installed', allow_module_level=True)

PIN = '987654'


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp('softhsm')


@pytest.fixture(scope='module')
def config(folder):
    with software_token(folder, 'station', PIN) as token:
        yield token


@pytest.fixture
def provisioning(config, tmp_path):
    return Provisioning(Store(tmp_path / 'pki', create=True, providers=[Pkcs11Keys(config)]))


@pytest.mark.parametrize('name', ['iso2', 'iso20'])
def test_from_signing_request_to_chain(provisioning, name):
    lab = hierarchy(name)
    provisioning.install(EntryKind.V2G_ROOT, lab.issued['v2g_root'].certificate.der, NOW)
    leaf = enroll(provisioning, lab)
    [info] = provisioning.list(EntryKind.SECC_CHAIN)
    assert info.has_key
    [chain] = provisioning.store.load().secc_chains
    assert chain.key.provider == 'pkcs11'
    assert not list(provisioning.store.directory.glob('keys/*'))
    key = provisioning.store.private_key(chain.key)
    signature = key.sign(b'handshake', ec.ECDSA(hashes.SHA256()))
    leaf.public_key.verify(signature, b'handshake', ec.ECDSA(hashes.SHA256()))
    provisioning.delete(chain.id)
    assert not provisioning.has_key(chain)
    with pytest.raises(PkiError) as error:
        provisioning.store.private_key(chain.key)
    assert error.value.code is ErrorCode.NOT_FOUND


def test_a_token_key_signs_messages(config):
    keys = Pkcs11Keys(config)
    key = keys.load(keys.generate(KeyAlgorithm.P256))
    from ccs2_pki.signatures import CANONICAL_EXI, SignedElement, make_references, verify
    elements = (SignedElement('id1', b'fragment'),)
    signature = SignatureToCheck([b'info'], make_references(elements, ECDSA_SHA256), CANONICAL_EXI,
                                 ECDSA_SHA256.signature_method, sign(key, b'info', ECDSA_SHA256))
    assert verify(signature, elements, key.public_key(), [ECDSA_SHA256]) is SignatureResult.OK


def test_the_key_does_not_come_out(config):
    keys = Pkcs11Keys(config)
    reference = keys.generate(KeyAlgorithm.P256)
    key = keys.load(reference)
    for call in (key.private_numbers,
                 lambda: key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
                 lambda: key.exchange(ec.ECDH(), key.public_key()),
                 lambda: key.sign(bytes(32), ec.ECDSA(Prehashed(hashes.SHA256())))):
        with pytest.raises(PkiError) as error:
            call()
        assert error.value.code is ErrorCode.UNSUPPORTED
    import pkcs11
    with keys._session() as session:
        private = session.get_key(pkcs11.ObjectClass.PRIVATE_KEY,
                                  id=bytes.fromhex(reference.id))
        assert private[pkcs11.Attribute.SENSITIVE]
        assert not private[pkcs11.Attribute.EXTRACTABLE]
    keys.delete(reference)
    keys.delete(reference)
    assert not keys.holds(reference)


def test_what_can_go_wrong_is_told_without_the_pin(config, tmp_path):
    wrong_pin = tmp_path / 'pin'
    wrong_pin.touch(0o600)
    wrong_pin.write_text('111111')
    open_pin = tmp_path / 'open'
    open_pin.write_text(PIN)
    open_pin.chmod(0o644)
    for bad in (Pkcs11Config(config.module, 'station', wrong_pin),
                Pkcs11Config(config.module, 'station', open_pin),
                Pkcs11Config(config.module, 'station', tmp_path / 'none'),
                Pkcs11Config(config.module, 'no such token', config.pin_file),
                Pkcs11Config(tmp_path / 'no.so', 'station', config.pin_file)):
        keys = Pkcs11Keys(bad)
        with pytest.raises(PkiError) as error:
            keys.generate(KeyAlgorithm.P256)
        assert error.value.code is ErrorCode.STORAGE
        assert PIN not in str(error.value)
        assert '111111' not in str(error.value)
        assert not keys.holds(KeyRef('pkcs11', '00'))
    with pytest.raises(PkiError) as error:
        Pkcs11Keys(config).generate(KeyAlgorithm.ED448)
    assert error.value.code is ErrorCode.UNSUPPORTED


def test_a_token_that_is_pulled_out_works_again_once_it_is_back(config, folder):
    keys = Pkcs11Keys(config)
    key = keys.load(keys.generate(KeyAlgorithm.P256))
    (folder / 'tokens').rename(folder / 'pulled out')
    try:
        assert not keys.holds(key.reference)
        with pytest.raises(PkiError, match="token 'station': ") as error:
            key.sign_digest(bytes(32))
        assert error.value.code is ErrorCode.STORAGE
    finally:
        (folder / 'pulled out').rename(folder / 'tokens')
    key.public_key().verify(key.sign_digest(bytes(32)), bytes(32),
                            ec.ECDSA(Prehashed(hashes.SHA256())))


def test_a_wrong_pin_is_not_tried_twice(config, tmp_path, monkeypatch):
    pin = tmp_path / 'pin'
    pin.touch(0o600)
    pin.write_text('111111')
    keys = Pkcs11Keys(Pkcs11Config(config.module, 'station', pin))
    logins = []
    monkeypatch.setattr(keys, '_token', lambda pkcs11, token=keys._token:
                        logins.append(1) or token(pkcs11))
    for reason in ('refuses the PIN', 'is not tried again', 'is not tried again'):
        with pytest.raises(PkiError, match=reason):
            keys.generate(KeyAlgorithm.P256)
    assert len(logins) == 1
    pin.write_text(PIN)
    keys.delete(keys.generate(KeyAlgorithm.P256))


def test_a_token_that_does_not_answer_is_waited_for_only_so_long(config, monkeypatch):
    keys = Pkcs11Keys(config)
    key = keys.load(keys.generate(KeyAlgorithm.P256))
    monkeypatch.setattr(pkcs11_keys, 'PATIENCE', 0.01)
    with pkcs11_keys._access, pytest.raises(PkiError, match='is busy and does not answer'):
        key.sign_digest(bytes(32))
    assert key.sign_digest(bytes(32))


def test_threads_take_turns_at_the_token(config):
    keys = Pkcs11Keys(config)
    key = keys.load(keys.generate(KeyAlgorithm.P256))
    signatures = []
    threads = [threading.Thread(target=lambda: signatures.append(key.sign_digest(bytes(32))))
               for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(signatures) == len(threads)


def test_settings_are_whole_or_empty(tmp_path):
    assert configured_keys('', 'station', 'pin') == []
    for settings in (('m.so', '', 'pin'), ('m.so', 'station', '')):
        with pytest.raises(PkiError, match='label of its token and a PIN file'):
            configured_keys(*settings)
    [keys] = configured_keys('m.so', 'station', str(tmp_path / 'pin'))
    assert keys.name == 'pkcs11'


def test_a_chain_is_not_deleted_without_its_token(provisioning):
    key_id, _ = provisioning.create_csr(KeyAlgorithm.P256, 'a', 'b', provider='pkcs11')
    without = Provisioning(Store(provisioning.store.directory))
    with pytest.raises(PkiError, match='no key provider'):
        without.delete(key_id)
    assert [info.id for info in provisioning.list()] == [key_id]
    assert not without.list()[0].has_key
    provisioning.delete(key_id)
