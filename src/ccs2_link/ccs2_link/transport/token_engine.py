"""TLS with a key in a PKCS#11 token, on the system's OpenSSL 3.

OpenSSL gets the public key, with a method that hands each digest to the token. While the token
signs, the step of the handshake is in a thread of its own (:meth:`TokenEngine.work`), so that a
token that is slow, or never answers, holds up nothing but this handshake.

OpenSSL calls four functions. They live as long as the process and find the object that a call is
about by the pointer that OpenSSL gives them: none is ever called after it is gone.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any
from weakref import WeakValueDictionary

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from OpenSSL import SSL, crypto

from ccs2_link.transport import libssl
from ccs2_link.transport.engine import (
    OPTIONS,
    SESSION_ID_CONTEXT,
    SUITE_1_2,
    SUITES_1_3,
    Engine,
    Judge,
    Terms,
)
from ccs2_link.transport.libssl import Control, Outcome, Staple, address, check, ffi
from ccs2_pki.certificate import digest
from ccs2_pki.errors import ErrorCode, PkiError
from ccs2_pki.pkcs11_keys import TokenKey

#: What OpenSSL takes by itself from 3.2 on; older ones, and settings of the system, differ.
_SECURITY_LEVEL = 2
#: Plaintext of one record.
_READ_SIZE = 16384
#: What a vehicle may send while the token signs; it has nothing to send but an alert.
_MOST_WAITING = 65536

_contexts: WeakValueDictionary[int, TokenContext] = WeakValueDictionary()
_engines: WeakValueDictionary[int, TokenEngine] = WeakValueDictionary()


class TokenContext:
    """A :class:`~ccs2_link.transport.engine.ServerContext` whose key is in a token.

    Raises PkiError if the token does not sign or there is no suitable OpenSSL, SSL.Error if the
    terms cannot be met, TypeError for another key.
    """

    def __init__(self, terms: Terms) -> None:
        if not isinstance(terms.key, TokenKey):
            raise TypeError('the key is not in a token')
        #: Why the last signature has failed, '' if it has not.
        self.problem = ''
        self.terms = terms
        self._key = terms.key
        library = libssl.load()
        library.ERR_clear_error()
        self.pointer = ffi.gc(
            check(library.SSL_CTX_new(library.TLS_server_method())), library.SSL_CTX_free)
        self._agree(library)
        self._present(library)
        self._prove()

    def engine(self, judge: Judge | None) -> Engine:
        """Return the engine of a new connection."""
        return TokenEngine(self, judge)

    def sign(self, value: bytes) -> bytes | None:
        """Return the token's signature of a digest, DER; None, and a problem, if there is none."""
        try:
            signature = self._key.sign_digest(value)
        except PkiError as error:
            self.problem = str(error)
            return None
        except BaseException as error:
            self.problem = type(error).__name__
            raise
        self.problem = ''
        return signature

    def _agree(self, library: Any) -> None:
        """Set what is the same with every key, whatever the system's openssl.cnf says."""
        terms, context = self.terms, self.pointer
        library.SSL_CTX_set_options(context, OPTIONS)
        library.SSL_CTX_set_security_level(context, _SECURITY_LEVEL)
        # A connection is never the continuation of another one.
        library.SSL_CTX_ctrl(context, Control.SET_SESS_CACHE_MODE, SSL.SESS_CACHE_OFF, ffi.NULL)
        check(library.SSL_CTX_set_num_tickets(context, 0))
        check(library.SSL_CTX_set_session_id_context(
            context, SESSION_ID_CONTEXT, len(SESSION_ID_CONTEXT)))
        check(library.SSL_CTX_set_cipher_list(context, SUITE_1_2.encode()))
        check(library.SSL_CTX_set_ciphersuites(context, SUITES_1_3.encode()))
        for control, number, names in (
            (Control.SET_MIN_PROTO_VERSION, terms.version, ffi.NULL),
            (Control.SET_MAX_PROTO_VERSION, terms.version, ffi.NULL),
            (Control.SET_GROUPS_LIST, 0, ffi.new('char[]', terms.groups.encode())),
            (Control.SET_SIGALGS_LIST, 0, ffi.new('char[]', terms.signatures.encode())),
        ):
            check(library.SSL_CTX_ctrl(context, control, number, names))
        check(library.SSL_CTX_callback_ctrl(
            context, Control.SET_TLSEXT_STATUS_REQ_CB, ffi.cast('void (*)(void)', _staple)))
        if terms.key_log is not None:
            library.SSL_CTX_set_keylog_callback(context, _key_log)

    def _present(self, library: Any) -> None:
        """Set the key, the certificates, and the roots that the vehicle is told of."""
        terms, context = self.terms, self.pointer
        leaf, *sub_cas = terms.chain
        for certificate, use in (
            (leaf, lambda pointer: library.SSL_CTX_use_certificate(context, pointer)),
            # The number: the chain takes a reference of its own.
            *((sub_ca, lambda pointer: library.SSL_CTX_ctrl(
                context, Control.CHAIN_CERT, 1, pointer)) for sub_ca in sub_cas),
            *((anchor, lambda pointer: library.SSL_CTX_add_client_CA(context, pointer))
              for anchor in terms.named_anchors),
        ):
            check(use(ffi.gc(libssl.parse(library.d2i_X509, certificate.der),
                             library.X509_free)))
        public = self._key.public_key().public_bytes(
            Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        key = ffi.gc(libssl.parse(library.d2i_EC_PUBKEY, public), library.EC_KEY_free)
        check(library.EC_KEY_set_method(key, _method()))
        _contexts[address(key)] = self
        wrapped = ffi.gc(check(library.EVP_PKEY_new()), library.EVP_PKEY_free)
        check(library.EVP_PKEY_set1_EC_KEY(wrapped, key))
        check(library.SSL_CTX_use_PrivateKey(context, wrapped))
        check(library.SSL_CTX_check_private_key(context))

    def _prove(self) -> None:
        """Let the token sign once: a chain whose key does not is not offered to any vehicle."""
        algorithm = hashes.SHA512() if self._key.key_size > 256 else hashes.SHA256()
        value = digest(algorithm, b'does the key sign')
        signature = self._key.sign_digest(value)
        try:
            self._key.public_key().verify(signature, value, ec.ECDSA(Prehashed(algorithm)))
        except InvalidSignature:
            raise PkiError(ErrorCode.KEY_MISMATCH,
                           'the private key in the token is not that of the certificate') from None


class _Step:
    """One step of a handshake, which may have to wait for the token."""

    def __init__(self, run: Callable[[], None]) -> None:
        self._run = run
        self.begun = False
        self.ended = False
        self.error: SSL.Error | None = None

    def run(self) -> None:
        """Carry it out."""
        try:
            self._run()
        except SSL.Error as error:
            self.error = error
        finally:
            self.ended = True


class TokenEngine:
    """An :class:`~ccs2_link.transport.engine.Engine` on the system's OpenSSL."""

    def __init__(self, context: TokenContext, judge: Judge | None) -> None:
        library = self._library = libssl.load()
        library.ERR_clear_error()
        self.context = context
        self.judge = judge
        self._connection = ffi.gc(check(library.SSL_new(context.pointer)), library.SSL_free)
        self._from_socket = check(library.BIO_new(library.BIO_s_mem()))
        self._to_socket = library.BIO_new(library.BIO_s_mem())
        if self._to_socket == ffi.NULL:
            library.BIO_free(self._from_socket)
            raise libssl.reasons()
        # From here on they belong to the connection.
        library.SSL_set_bio(self._connection, self._from_socket, self._to_socket)
        library.SSL_set_accept_state(self._connection)
        if judge is not None:
            library.SSL_set_verify(self._connection, libssl.VERIFY_PEER, _verify)
        _engines[address(self._connection)] = self
        self._step: _Step | None = None
        #: Something has come that no step has seen.
        self._fed = False
        self._waiting = b''
        self._buffer = ffi.new('unsigned char[]', _READ_SIZE)

    @property
    def _at_work(self) -> bool:
        """A step has been begun, or is to be: OpenSSL's objects belong to its thread."""
        return self._step is not None and not self._step.ended

    def bio_write(self, data: bytes) -> int:
        """Take octets of the socket."""
        if self._at_work:
            self._waiting += data
            if len(self._waiting) > _MOST_WAITING:
                raise SSL.Error([('', '', 'does not wait for the handshake')])
        else:
            check(self._library.BIO_write(self._from_socket, data, len(data)))
            self._fed = True
        return len(data)

    def bio_read(self, size: int) -> bytes:
        """Return octets for the socket."""
        if not self._at_work:
            got = self._library.BIO_read(self._to_socket, self._buffer, min(size, _READ_SIZE))
            if got > 0:
                return self._taken(got)
        raise SSL.WantReadError

    def do_handshake(self) -> None:
        """Go on with the handshake; what has to be done for it is then in :meth:`work`."""
        step = self._step
        if self._at_work:
            raise SSL.WantReadError
        if step is not None:
            self._step = None
            waiting, self._waiting = self._waiting, b''
            if waiting:
                self.bio_write(waiting)
            if step.error is None:
                return
            if not isinstance(step.error, SSL.WantReadError):
                raise step.error
        if self._fed:
            self._fed = False
            self._step = _Step(self._shake)
        raise SSL.WantReadError

    def work(self) -> Callable[[], None] | None:
        """Return the next step of the handshake, once."""
        step = self._step
        if step is None or step.begun:
            return None
        step.begun = True
        return step.run

    def recv(self, size: int) -> bytes:
        """Return octets of the application."""
        self._library.ERR_clear_error()
        return self._taken(self._done(
            self._library.SSL_read(self._connection, self._buffer, min(size, _READ_SIZE))))

    def sendall(self, data: bytes) -> int:
        """Encrypt octets of the application; a memory BIO takes them all."""
        self._library.ERR_clear_error()
        return self._done(self._library.SSL_write(self._connection, data, len(data)))

    def shutdown(self) -> bool:
        """Send close_notify; tell whether the peer's has come."""
        self._library.ERR_clear_error()
        result = self._library.SSL_shutdown(self._connection)
        return bool(result == 0 or self._done(result))

    def get_cipher_name(self) -> str | None:
        """Return the name of the cipher suite."""
        cipher = self._library.SSL_get_current_cipher(self._connection)
        if cipher == ffi.NULL:
            return None
        return str(ffi.string(self._library.SSL_CIPHER_get_name(cipher)).decode())

    def get_protocol_version(self) -> int:
        """Return the version of TLS."""
        return int(self._library.SSL_version(self._connection))

    def get_peer_certificate(self) -> crypto.X509 | None:
        """Return the peer's certificate, None if it has presented none."""
        certificate = ffi.gc(self._library.SSL_get1_peer_certificate(self._connection),
                             self._library.X509_free)
        if certificate == ffi.NULL:
            return None
        return crypto.load_certificate(crypto.FILETYPE_ASN1, libssl.der_of(certificate))

    def _shake(self) -> None:
        self._library.ERR_clear_error()
        self._done(self._library.SSL_do_handshake(self._connection))

    def _done(self, result: int) -> int:
        """Return the result of a call that has succeeded, else raise what has happened to it."""
        if result > 0:
            return result
        outcome = self._library.SSL_get_error(self._connection, result)
        error = libssl.reasons()
        if outcome == Outcome.WANT_READ:
            raise SSL.WantReadError
        if outcome == Outcome.ZERO_RETURN:
            raise SSL.ZeroReturnError
        if self.context.problem:
            raise SSL.Error([('', '', f'key does not sign: {self.context.problem}')])
        raise error

    def _taken(self, length: int) -> bytes:
        return bytes(ffi.buffer(self._buffer, length))


# What OpenSSL calls.

@ffi.callback('sign_t', error=0)
def _sign(kind: int, value: Any, length: int, signature: Any, signature_length: Any,
          inverse: Any, r: Any, key: Any) -> int:
    """Write the DER signature of a digest; 0 is failure."""
    context = _contexts.get(address(key))
    made = None if context is None else context.sign(bytes(ffi.buffer(value, length)))
    if made is None or len(made) > libssl.load().ECDSA_size(key):
        return 0
    ffi.memmove(signature, made, len(made))
    signature_length[0] = len(made)
    return 1


@ffi.callback('verify_t', error=0)
def _verify(ok: int, store_context: Any) -> int:
    """Let the engine's judge decide; 0 refuses the certificate."""
    library = libssl.load()
    engine = _engines.get(address(library.X509_STORE_CTX_get_ex_data(
        store_context, library.SSL_get_ex_data_X509_STORE_CTX_idx())))
    if engine is None or engine.judge is None:
        return 0
    stack = library.X509_STORE_CTX_get0_chain(store_context)
    chain = [libssl.der_of(ffi.cast('X509 *', library.OPENSSL_sk_value(stack, place)))
             for place in range(library.OPENSSL_sk_num(stack))]
    error = engine.judge(library.X509_STORE_CTX_get_error(store_context), chain)
    library.X509_STORE_CTX_set_error(store_context, error)
    return int(error == 0)


@ffi.callback('staple_t', error=Staple.FAIL)
def _staple(connection: Any, _: Any) -> int:
    """Give OpenSSL the OCSP response, in memory that OpenSSL frees."""
    library = libssl.load()
    engine = _engines.get(address(connection))
    response = engine.context.terms.staple() if engine is not None else b''
    if not response:
        return Staple.NONE
    memory = check(library.CRYPTO_malloc(len(response), ffi.NULL, 0))
    ffi.memmove(memory, response, len(response))
    if library.SSL_ctrl(connection, Control.SET_TLSEXT_STATUS_REQ_OCSP_RESP, len(response),
                        memory) != 1:
        library.CRYPTO_free(memory, ffi.NULL, 0)
        return Staple.FAIL
    return Staple.SEND


@ffi.callback('key_log_t')
def _key_log(connection: Any, line: Any) -> None:
    """Pass on a line of an NSS key log."""
    engine = _engines.get(address(connection))
    if engine is not None and engine.context.terms.key_log is not None:
        engine.context.terms.key_log(ffi.string(line))


@functools.cache
def _method() -> Any:
    """Return the method of keys that only sign, by `_sign`; it is never freed."""
    library = libssl.load()
    method = check(library.EC_KEY_METHOD_new(library.EC_KEY_OpenSSL()))
    library.EC_KEY_METHOD_set_sign(method, _sign, ffi.NULL, ffi.NULL)
    return method
