"""Contract private keys on their way to the car (CertificateInstallationRes, CertificateUpdateRes).

The sender encrypts for a public key of the car: of the OEM provisioning certificate on installation
([V2G2-820]), of the old contract certificate on update ([V2G2-821]). Both generations agree by
ephemeral-static ECDH and derive the session key with the concatenation KDF of NIST SP 800-56A over
(algorithm 0x01, party U, party V).

* ISO 15118-2: P-256, SHA-256, AES-128-CBC without padding ([V2G2-815], [-818], [-819], [-823]).
* ISO 15118-20: P-521, SHA-512, AES-256-GCM; additional data are the provisioning id and the subject
  key identifier of the contract certificate ([V2G20-2492], [-2497], [-2499], [-2535]).
"""

import os
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.concatkdf import ConcatKDFHash
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ccs2_pki.errors import ErrorCode, PkiError, malformed
from ccs2_pki.identifiers import normalize

_PARTIES = b'\x01UV'
_CBC_IV_SIZE = 16
_GCM_IV_SIZE = 12
_GCM_TAG_SIZE = 16


@dataclass(frozen=True, slots=True)
class EncryptedKey:
    """An encrypted contract private key as its message carries it."""

    encrypted_private_key: bytes = field(repr=False)
    """-2: IV 16, ciphertext 32. -20 (SECP521_EncryptedPrivateKey): IV 12, ciphertext 66, tag 16."""
    dh_public_key: bytes = field(repr=False)
    """Ephemeral public key, uncompressed point: 65 octets (-2) or 133 (-20)."""


def encrypt_iso2(contract_key: ec.EllipticCurvePrivateKey,
                 receiver: ec.EllipticCurvePublicKey) -> EncryptedKey:
    """Encrypt a P-256 contract key for the car; raises PkiError (UNSUPPORTED) for other curves."""
    curve = _same_curve(contract_key.public_key(), receiver, ec.SECP256R1())
    ephemeral = ec.generate_private_key(curve)
    iv = os.urandom(_CBC_IV_SIZE)
    cipher = Cipher(algorithms.AES128(_session_key_iso2(ephemeral, receiver)), modes.CBC(iv))
    encryptor = cipher.encryptor()
    scalar = contract_key.private_numbers().private_value.to_bytes(32, 'big')
    return EncryptedKey(iv + encryptor.update(scalar) + encryptor.finalize(), _point(ephemeral))


def decrypt_iso2(encrypted: EncryptedKey, receiver: ec.EllipticCurvePrivateKey,
                 contract: ec.EllipticCurvePublicKey) -> ec.EllipticCurvePrivateKey:
    """Decrypt a contract key and check that it belongs to the contract certificate ([V2G2-823]).

    Raises PkiError: MALFORMED for wrong lengths or a point off the curve, KEY_MISMATCH if the key
    is not the one of the contract certificate, UNSUPPORTED for other curves.
    """
    curve = _same_curve(receiver.public_key(), contract, ec.SECP256R1())
    data = encrypted.encrypted_private_key
    if len(data) != _CBC_IV_SIZE + 32:
        raise malformed(f'ContractSignatureEncryptedPrivateKey of {len(data)} octets, not 48')
    session_key = _session_key_iso2(receiver, _load_point(curve, encrypted.dh_public_key))
    decryptor = Cipher(algorithms.AES128(session_key), modes.CBC(data[:_CBC_IV_SIZE])).decryptor()
    return _private_key(decryptor.update(data[_CBC_IV_SIZE:]) + decryptor.finalize(), contract)


def encrypt_iso20(contract_key: ec.EllipticCurvePrivateKey, receiver: ec.EllipticCurvePublicKey, *,
                  provisioning_id: str, subject_key_id: bytes) -> EncryptedKey:
    """Encrypt a P-521 contract key for the car.

    ``provisioning_id`` is the PCID of the request, ``subject_key_id`` that of the contract
    certificate. Raises PkiError (UNSUPPORTED) for other curves.
    """
    curve = _same_curve(contract_key.public_key(), receiver, ec.SECP521R1())
    ephemeral = ec.generate_private_key(curve)
    iv = os.urandom(_GCM_IV_SIZE)
    scalar = contract_key.private_numbers().private_value.to_bytes(66, 'big')
    sealed = AESGCM(_session_key_iso20(ephemeral, receiver)).encrypt(
        iv, scalar, _additional_data(provisioning_id, subject_key_id))
    return EncryptedKey(iv + sealed, _point(ephemeral))


def decrypt_iso20(encrypted: EncryptedKey, receiver: ec.EllipticCurvePrivateKey,
                  contract: ec.EllipticCurvePublicKey, *, provisioning_id: str,
                  subject_key_id: bytes) -> ec.EllipticCurvePrivateKey:
    """Decrypt a P-521 contract key and check that it belongs to the contract certificate.

    Raises PkiError: MALFORMED for wrong lengths, a point off the curve or a wrong tag, KEY_MISMATCH
    if the key is not the one of the contract certificate, UNSUPPORTED for other curves.
    """
    curve = _same_curve(receiver.public_key(), contract, ec.SECP521R1())
    data = encrypted.encrypted_private_key
    if len(data) != _GCM_IV_SIZE + 66 + _GCM_TAG_SIZE:
        raise malformed(f'SECP521_EncryptedPrivateKey of {len(data)} octets, not 94')
    session_key = _session_key_iso20(receiver, _load_point(curve, encrypted.dh_public_key))
    try:
        scalar = AESGCM(session_key).decrypt(data[:_GCM_IV_SIZE], data[_GCM_IV_SIZE:],
                                             _additional_data(provisioning_id, subject_key_id))
    except InvalidTag:
        raise malformed('SECP521_EncryptedPrivateKey was changed or is for another car') from None
    return _private_key(scalar, contract)


def _additional_data(provisioning_id: str, subject_key_id: bytes) -> bytes:
    return (normalize(provisioning_id) + subject_key_id.hex().upper()).encode('ascii')


def _same_curve(first: ec.EllipticCurvePublicKey, second: ec.EllipticCurvePublicKey,
                curve: ec.EllipticCurve) -> ec.EllipticCurve:
    if first.curve.name != curve.name or second.curve.name != curve.name:
        raise PkiError(ErrorCode.UNSUPPORTED, f'keys are not both on {curve.name}')
    return curve


def _session_key_iso2(own: ec.EllipticCurvePrivateKey, peer: ec.EllipticCurvePublicKey) -> bytes:
    return ConcatKDFHash(hashes.SHA256(), 16, _PARTIES).derive(own.exchange(ec.ECDH(), peer))


def _session_key_iso20(own: ec.EllipticCurvePrivateKey, peer: ec.EllipticCurvePublicKey) -> bytes:
    return ConcatKDFHash(hashes.SHA512(), 32, _PARTIES).derive(own.exchange(ec.ECDH(), peer))


def _point(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def _load_point(curve: ec.EllipticCurve, point: bytes) -> ec.EllipticCurvePublicKey:
    if len(point) != 1 + 2 * ((curve.key_size + 7) // 8) or point[0] != 4:
        raise malformed(f'DHpublickey is not an uncompressed point of {curve.name}')
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(curve, point)
    except ValueError:
        raise malformed(f'DHpublickey is not a point of {curve.name}') from None


def _private_key(scalar: bytes,
                 contract: ec.EllipticCurvePublicKey) -> ec.EllipticCurvePrivateKey:
    try:
        key = ec.derive_private_key(int.from_bytes(scalar, 'big'), contract.curve)
    except ValueError:  # zero or not below the group order
        key = None
    if key is None or key.public_key() != contract:
        raise PkiError(ErrorCode.KEY_MISMATCH,
                       'decrypted key does not belong to the contract certificate')
    return key
