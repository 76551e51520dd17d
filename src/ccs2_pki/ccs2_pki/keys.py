"""Private keys of the station, behind one small protocol.

A provider makes keys and lends them for signing; nothing here hands key material out.
:class:`FileKeys` keeps them in files of mode 0600, :mod:`ccs2_pki.pkcs11_keys` in a hardware token.
"""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from ccs2_pki.atomic import private_directory, read_file, storage_error, sync_directory, write_file
from ccs2_pki.certificate import KeyAlgorithm, PublicKey
from ccs2_pki.errors import ErrorCode, PkiError, malformed
from ccs2_pki.signatures import PrivateKey

_MAX_KEY_SIZE = 4096
_KEY_ID = re.compile(r'[0-9a-f]{1,64}')


@dataclass(frozen=True, order=True, slots=True)
class KeyRef:
    """Where a private key is."""

    provider: str
    id: str
    """The provider's name for it: lower-case hexadecimal."""

    def __post_init__(self) -> None:
        if not _KEY_ID.fullmatch(self.id):
            raise malformed('key id is not hexadecimal')


class KeyProvider(Protocol):
    """A keeper of private keys."""

    @property
    def name(self) -> str:
        """Name that key references carry."""

    def generate(self, algorithm: KeyAlgorithm) -> KeyRef:
        """Make a key; raises PkiError (UNSUPPORTED, STORAGE)."""

    def load(self, reference: KeyRef) -> PrivateKey:
        """Return a key to sign with; raises PkiError (NOT_FOUND, STORAGE)."""

    def holds(self, reference: KeyRef) -> bool:
        """Tell whether the key is there."""

    def delete(self, reference: KeyRef) -> None:
        """Destroy a key; no error if it is already gone. Raises PkiError (STORAGE)."""


def public_key_id(key: PublicKey) -> str:
    """Return the SHA-256 of SubjectPublicKeyInfo, hexadecimal."""
    info = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(info).hexdigest()


def generate_key(algorithm: KeyAlgorithm) -> PrivateKey:
    """Make a private key in memory; raises PkiError (UNSUPPORTED) for OTHER."""
    if algorithm is KeyAlgorithm.P256:
        return ec.generate_private_key(ec.SECP256R1())
    if algorithm is KeyAlgorithm.P521:
        return ec.generate_private_key(ec.SECP521R1())
    if algorithm is KeyAlgorithm.ED448:
        return ed448.Ed448PrivateKey.generate()
    raise PkiError(ErrorCode.UNSUPPORTED, 'no key algorithm of a V2G profile')


def parse_private_key(pem: bytes) -> PrivateKey:
    """Read an unencrypted PEM private key of a V2G profile.

    Raises PkiError: MALFORMED if it is none, UNSUPPORTED for another algorithm or an encrypted key.
    """
    try:
        key = load_pem_private_key(pem, password=None)
    except TypeError:
        raise PkiError(ErrorCode.UNSUPPORTED, 'private key is encrypted') from None
    except (ValueError, UnsupportedAlgorithm):
        raise malformed('not a PEM private key') from None
    if isinstance(key, ed448.Ed448PrivateKey) or (
            isinstance(key, ec.EllipticCurvePrivateKey)
            and key.curve.name in ('secp256r1', 'secp521r1')):
        return key
    raise PkiError(ErrorCode.UNSUPPORTED, 'private key is not of a V2G profile')


class FileKeys:
    """Keys in files, one each, in a directory of their own."""

    name = 'file'

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def generate(self, algorithm: KeyAlgorithm) -> KeyRef:
        """Make a key and keep it."""
        return self.adopt(generate_key(algorithm))

    def adopt(self, key: PrivateKey) -> KeyRef:
        """Keep a key that was made elsewhere; raises PkiError (STORAGE)."""
        private_directory(self._directory, create=True)
        reference = KeyRef(self.name, public_key_id(key.public_key()))
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        write_file(self._path(reference), pem)
        return reference

    def load(self, reference: KeyRef) -> PrivateKey:
        """Return a key to sign with; refuses a file that others could have read."""
        private_directory(self._directory, create=False)
        try:
            pem = read_file(self._path(reference), _MAX_KEY_SIZE)
        except FileNotFoundError:
            raise PkiError(ErrorCode.NOT_FOUND, f'no key {reference.id}') from None
        return parse_private_key(pem)

    def holds(self, reference: KeyRef) -> bool:
        """Tell whether the key's file is there."""
        return self._path(reference).is_file()

    def delete(self, reference: KeyRef) -> None:
        """Remove a key's file."""
        try:
            self._path(reference).unlink(missing_ok=True)
            sync_directory(self._directory)
        except OSError as error:
            raise storage_error('cannot delete a key', error) from None

    def held(self) -> list[KeyRef]:
        """List the keys there are."""
        if not self._directory.is_dir():
            return []
        return [KeyRef(self.name, path.stem) for path in self._directory.glob('*.pem')
                if _KEY_ID.fullmatch(path.stem)]

    def _path(self, reference: KeyRef) -> Path:
        return self._directory / f'{reference.id}.pem'
