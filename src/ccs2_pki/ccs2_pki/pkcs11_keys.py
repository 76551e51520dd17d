"""Private keys in a PKCS#11 token (a hardware security module, or SoftHSM in tests).

Needs the library ``python-pkcs11``. Keys are made in the token, marked sensitive and not
extractable, and sign there. While the token works, other threads run on.
"""

import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import load_der_public_key

from ccs2_pki.atomic import read_file
from ccs2_pki.certificate import KeyAlgorithm, digest
from ccs2_pki.errors import ErrorCode, PkiError, malformed
from ccs2_pki.keys import KeyRef
from ccs2_pki.signatures import raw_to_der

_LABEL = 'ccs2-secc'
_CURVES = {KeyAlgorithm.P256: 'secp256r1', KeyAlgorithm.P521: 'secp521r1'}
_MAX_PIN_SIZE = 256
#: Who finds a token in use waits so long [s], then reports it: what is in use may never come back.
PATIENCE = 5.0
#: A login counts for the whole process, so that only one thread at a time may have a session.
_access = threading.Lock()


@dataclass(frozen=True, slots=True)
class Pkcs11Config:
    """Which token to use."""

    module: Path
    """Shared library of the token's maker."""
    token_label: str
    pin_file: Path = field(repr=False)
    """File of mode 0600 that holds the user PIN."""


def configured_keys(module: str, token_label: str, pin_file: str) -> 'list[Pkcs11Keys]':
    """Return the provider for these settings, none without a module.

    Raises PkiError (MALFORMED) if the label or the PIN file is missing.
    """
    if not module:
        return []
    if not token_label or not pin_file:
        raise malformed('a PKCS#11 module needs the label of its token and a PIN file')
    return [Pkcs11Keys(Pkcs11Config(Path(module), token_label, Path(pin_file)))]


class Pkcs11Keys:
    """A key provider on one token; logs in for each operation, so the token may be replugged.

    A PIN that the token has refused is not tried again: a few wrong ones lock a token for good.
    """

    name = 'pkcs11'

    def __init__(self, config: Pkcs11Config) -> None:
        self._config = config
        self._refused_pin: str | None = None

    def generate(self, algorithm: KeyAlgorithm) -> KeyRef:
        """Make a key in the token; raises PkiError (UNSUPPORTED for Ed448, STORAGE)."""
        if algorithm not in _CURVES:
            raise PkiError(ErrorCode.UNSUPPORTED, f'{algorithm.value} keys in a PKCS#11 token')
        from pkcs11 import Attribute, KeyType
        from pkcs11.util.ec import encode_named_curve_parameters
        identifier = secrets.token_bytes(16)
        with self._session(writing=True) as session:
            curve = encode_named_curve_parameters(_CURVES[algorithm])
            session.create_domain_parameters(
                KeyType.EC, {Attribute.EC_PARAMS: curve}, local=True,
            ).generate_keypair(
                id=identifier, label=_LABEL, store=True,
                private_template={Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False})
        return KeyRef(self.name, identifier.hex())

    def load(self, reference: KeyRef) -> 'TokenKey':
        """Return a key that signs in the token; raises PkiError (NOT_FOUND, STORAGE)."""
        from pkcs11.util.ec import encode_ec_public_key
        with self._session() as session:
            public, _ = _find(session, reference)
            key = load_der_public_key(encode_ec_public_key(public))
        if not isinstance(key, ec.EllipticCurvePublicKey):
            raise PkiError(ErrorCode.UNSUPPORTED, f'key {reference.id} is not an EC key')
        return TokenKey(self, reference, key)

    def holds(self, reference: KeyRef) -> bool:
        """Tell whether the token is there and has the key."""
        try:
            with self._session() as session:
                _find(session, reference)
        except PkiError:
            return False
        return True

    def delete(self, reference: KeyRef) -> None:
        """Destroy a key in the token."""
        with self._session(writing=True) as session:
            try:
                pair = _find(session, reference)
            except PkiError:
                return
            for part in pair:
                part.destroy()

    def sign_digest(self, reference: KeyRef, value: bytes) -> bytes:
        """Return the raw ECDSA signature (r, s) of a digest; raises PkiError."""
        from pkcs11 import Mechanism
        with self._session() as session:
            _, private = _find(session, reference)
            signature: bytes = private.sign(value, mechanism=Mechanism.ECDSA)
            return signature

    @contextmanager
    def _session(self, *, writing: bool = False) -> Iterator[Any]:
        try:
            import pkcs11
        except ImportError:
            raise PkiError(ErrorCode.UNSUPPORTED,
                           'python-pkcs11 is not installed; PKCS#11 keys need it') from None
        pin = self._pin()
        if not _access.acquire(timeout=PATIENCE):
            raise self._trouble('is busy and does not answer')
        try:
            with self._token(pkcs11).open(user_pin=pin, rw=writing) as session:
                yield session
        except (pkcs11.PinIncorrect, pkcs11.PinInvalid, pkcs11.PinLenRange):
            self._refused_pin = pin
            raise self._trouble('refuses the PIN of the PIN file') from None
        except (pkcs11.PKCS11Error, RuntimeError, OSError) as error:
            raise self._trouble(type(error).__name__) from None
        finally:
            _access.release()

    def _pin(self) -> str:
        try:
            pin = read_file(self._config.pin_file, _MAX_PIN_SIZE).strip().decode()
        except FileNotFoundError:
            raise self._trouble('there is no PIN file') from None
        except UnicodeDecodeError:
            raise self._trouble('the PIN file holds no text') from None
        if pin == self._refused_pin:
            raise self._trouble('has refused the PIN of the PIN file, which is not tried again')
        return pin

    def _token(self, pkcs11: Any) -> Any:
        library = pkcs11.lib(str(self._config.module))
        try:
            return library.get_token(token_label=self._config.token_label)
        except pkcs11.PKCS11Error:
            # Some modules see that a token has come back only when they are started anew.
            library.reinitialize()
            return library.get_token(token_label=self._config.token_label)

    def _trouble(self, what: str) -> PkiError:
        return PkiError(ErrorCode.STORAGE, f'token {self._config.token_label!r}: {what}')


def _find(session: Any, reference: KeyRef) -> tuple[Any, Any]:
    from pkcs11 import NoSuchKey, ObjectClass
    try:
        return (session.get_key(ObjectClass.PUBLIC_KEY, id=bytes.fromhex(reference.id)),
                session.get_key(ObjectClass.PRIVATE_KEY, id=bytes.fromhex(reference.id)))
    except (NoSuchKey, ValueError):
        raise PkiError(ErrorCode.NOT_FOUND, f'no key {reference.id} in the token') from None


class TokenKey(ec.EllipticCurvePrivateKey):
    """A private key as ``cryptography`` knows it, whose scalar stays in the token."""

    def __init__(self, keys: Pkcs11Keys, reference: KeyRef,
                 public: ec.EllipticCurvePublicKey) -> None:
        self.reference = reference
        self._keys = keys
        self._public = public

    @property
    def curve(self) -> ec.EllipticCurve:
        """Curve of the key."""
        return self._public.curve

    @property
    def key_size(self) -> int:
        """Bits of the key."""
        return self._public.key_size

    def public_key(self) -> ec.EllipticCurvePublicKey:
        """Return the public half."""
        return self._public

    def sign(self, data: Any, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
        """Return a DER signature made in the token."""
        algorithm = signature_algorithm.algorithm
        if isinstance(algorithm, Prehashed) or not isinstance(algorithm, hashes.HashAlgorithm):
            raise PkiError(ErrorCode.UNSUPPORTED, 'a token signs data, not digests')
        return self.sign_digest(digest(algorithm, bytes(data)))

    def sign_digest(self, value: bytes) -> bytes:
        """Return a DER signature of a digest, made in the token; raises PkiError."""
        raw = self._keys.sign_digest(self.reference, value)
        return raw_to_der(raw, (self.key_size + 7) // 8)

    def exchange(self, algorithm: ec.ECDH, peer_public_key: ec.EllipticCurvePublicKey) -> bytes:
        """Refuse: the station's key only signs."""
        self._refuse()

    def private_numbers(self) -> ec.EllipticCurvePrivateNumbers:
        """Refuse: the key stays in the token."""
        self._refuse()

    def private_bytes(self, encoding: Any, format: Any, encryption_algorithm: Any) -> bytes:
        """Refuse: the key stays in the token."""
        self._refuse()

    def __copy__(self) -> 'TokenKey':
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> 'TokenKey':
        return self

    def _refuse(self) -> NoReturn:
        raise PkiError(ErrorCode.UNSUPPORTED, 'a key in a PKCS#11 token only signs')
