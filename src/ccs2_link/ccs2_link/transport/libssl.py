"""The system's OpenSSL 3, for what no library for Python offers: a key that signs elsewhere.

This is the table of what is used of it: C prototypes as in OpenSSL's headers, and numbers that are
macros there. Nothing is compiled; `cffi` reads the prototypes and checks types and numbers of
arguments by them. The library's own ABI is the same in all versions 3.x.
"""

from __future__ import annotations

import functools
from enum import IntEnum
from typing import Any

from cffi import FFI
from OpenSSL import SSL

from ccs2_pki.errors import ErrorCode, PkiError

#: libcrypto is reached through it: the one that belongs to it, whatever else is installed.
LIBRARY = 'libssl.so.3'

_PROTOTYPES = """
typedef struct bignum_st BIGNUM;
typedef struct bio_method_st BIO_METHOD;
typedef struct bio_st BIO;
typedef struct ec_key_method_st EC_KEY_METHOD;
typedef struct ec_key_st EC_KEY;
typedef struct evp_pkey_st EVP_PKEY;
typedef struct ssl_cipher_st SSL_CIPHER;
typedef struct ssl_ctx_st SSL_CTX;
typedef struct ssl_method_st SSL_METHOD;
typedef struct ssl_st SSL;
typedef struct stack_st OPENSSL_STACK;
typedef struct x509_st X509;
typedef struct x509_store_ctx_st X509_STORE_CTX;

void ERR_clear_error(void);
unsigned long ERR_get_error(void);
const char *ERR_reason_error_string(unsigned long);
void *CRYPTO_malloc(size_t, const char *, int);
void CRYPTO_free(void *, const char *, int);

EC_KEY *d2i_EC_PUBKEY(EC_KEY **, const unsigned char **, long);
void EC_KEY_free(EC_KEY *);
const EC_KEY_METHOD *EC_KEY_OpenSSL(void);
EC_KEY_METHOD *EC_KEY_METHOD_new(const EC_KEY_METHOD *);
typedef int (*sign_t)(int, const unsigned char *, int, unsigned char *, unsigned int *,
                      const BIGNUM *, const BIGNUM *, EC_KEY *);
void EC_KEY_METHOD_set_sign(EC_KEY_METHOD *, sign_t, void *, void *);
int EC_KEY_set_method(EC_KEY *, const EC_KEY_METHOD *);
int ECDSA_size(const EC_KEY *);
EVP_PKEY *EVP_PKEY_new(void);
int EVP_PKEY_set1_EC_KEY(EVP_PKEY *, EC_KEY *);
void EVP_PKEY_free(EVP_PKEY *);

X509 *d2i_X509(X509 **, const unsigned char **, long);
int i2d_X509(const X509 *, unsigned char **);
void X509_free(X509 *);
int OPENSSL_sk_num(const OPENSSL_STACK *);
void *OPENSSL_sk_value(const OPENSSL_STACK *, int);
OPENSSL_STACK *X509_STORE_CTX_get0_chain(const X509_STORE_CTX *);
int X509_STORE_CTX_get_error(const X509_STORE_CTX *);
void X509_STORE_CTX_set_error(X509_STORE_CTX *, int);
void *X509_STORE_CTX_get_ex_data(const X509_STORE_CTX *, int);

const BIO_METHOD *BIO_s_mem(void);
BIO *BIO_new(const BIO_METHOD *);
int BIO_free(BIO *);
int BIO_read(BIO *, void *, int);
int BIO_write(BIO *, const void *, int);

const SSL_METHOD *TLS_server_method(void);
SSL_CTX *SSL_CTX_new(const SSL_METHOD *);
void SSL_CTX_free(SSL_CTX *);
long SSL_CTX_ctrl(SSL_CTX *, int, long, void *);
long SSL_CTX_callback_ctrl(SSL_CTX *, int, void (*)(void));
uint64_t SSL_CTX_set_options(SSL_CTX *, uint64_t);
void SSL_CTX_set_security_level(SSL_CTX *, int);
int SSL_CTX_set_num_tickets(SSL_CTX *, size_t);
int SSL_CTX_set_session_id_context(SSL_CTX *, const unsigned char *, unsigned int);
int SSL_CTX_set_cipher_list(SSL_CTX *, const char *);
int SSL_CTX_set_ciphersuites(SSL_CTX *, const char *);
int SSL_CTX_use_certificate(SSL_CTX *, X509 *);
int SSL_CTX_use_PrivateKey(SSL_CTX *, EVP_PKEY *);
int SSL_CTX_check_private_key(const SSL_CTX *);
int SSL_CTX_add_client_CA(SSL_CTX *, X509 *);
typedef void (*key_log_t)(const SSL *, const char *);
void SSL_CTX_set_keylog_callback(SSL_CTX *, key_log_t);
typedef int (*staple_t)(SSL *, void *);

SSL *SSL_new(SSL_CTX *);
void SSL_free(SSL *);
void SSL_set_bio(SSL *, BIO *, BIO *);
void SSL_set_accept_state(SSL *);
typedef int (*verify_t)(int, X509_STORE_CTX *);
void SSL_set_verify(SSL *, int, verify_t);
int SSL_get_ex_data_X509_STORE_CTX_idx(void);
long SSL_ctrl(SSL *, int, long, void *);
int SSL_do_handshake(SSL *);
int SSL_read(SSL *, void *, int);
int SSL_write(SSL *, const void *, int);
int SSL_shutdown(SSL *);
int SSL_get_error(const SSL *, int);
int SSL_version(const SSL *);
const SSL_CIPHER *SSL_get_current_cipher(const SSL *);
const char *SSL_CIPHER_get_name(const SSL_CIPHER *);
X509 *SSL_get1_peer_certificate(const SSL *);
"""


class Control(IntEnum):
    """What `SSL_CTX_ctrl` and `SSL_ctrl` are asked for (SSL_CTRL_...)."""

    SET_SESS_CACHE_MODE = 44
    SET_TLSEXT_STATUS_REQ_CB = 63
    SET_TLSEXT_STATUS_REQ_OCSP_RESP = 71
    CHAIN_CERT = 89
    SET_GROUPS_LIST = 92
    SET_SIGALGS_LIST = 98
    SET_MIN_PROTO_VERSION = 123
    SET_MAX_PROTO_VERSION = 124


class Outcome(IntEnum):
    """What `SSL_get_error` says of a call that has not succeeded (SSL_ERROR_...)."""

    WANT_READ = 2
    ZERO_RETURN = 6


class Staple(IntEnum):
    """What the callback for a staple answers (SSL_TLSEXT_ERR_...)."""

    SEND = 0
    FAIL = 2
    NONE = 3


VERIFY_PEER = 1

ffi = FFI()
ffi.cdef(_PROTOTYPES)


@functools.cache
def load() -> Any:
    """Return the library; raises PkiError (UNSUPPORTED) if it is missing or lacks something."""
    try:
        library = ffi.dlopen(LIBRARY)
        for name in dir(library):
            getattr(library, name)
    except (OSError, AttributeError) as error:
        raise PkiError(
            ErrorCode.UNSUPPORTED,
            f"TLS with a key in a token needs the system's OpenSSL 3: {error}") from None
    return library


def reasons() -> SSL.Error:
    """Return what this thread's queue of errors says, and empty it."""
    library = load()
    found = []
    while code := library.ERR_get_error():
        text = library.ERR_reason_error_string(code)
        found.append(('', '', ffi.string(text).decode() if text else f'error {code:#x}'))
    return SSL.Error(found)


def check(result: Any) -> Any:
    """Return the result of a call; raise SSL.Error if it is 0, below 0 or no object."""
    if (result == ffi.NULL) if isinstance(result, ffi.CData) else (result <= 0):
        raise reasons()
    return result


def address(pointer: Any) -> int:
    """Return where an object of the library is: it is the same object as long as it lives."""
    return int(ffi.cast('uintptr_t', pointer))


def parse(function: Any, der: bytes) -> Any:
    """Return what a d2i function makes of DER, for the caller to free; raises SSL.Error."""
    octets = ffi.new('unsigned char[]', der)
    return check(function(ffi.NULL, ffi.new('const unsigned char **', octets), len(der)))


def der_of(certificate: Any) -> bytes:
    """Return the DER of an X509; raises SSL.Error."""
    library = load()
    octets = ffi.new('unsigned char[]', check(library.i2d_X509(certificate, ffi.NULL)))
    check(library.i2d_X509(certificate, ffi.new('unsigned char **', octets)))
    return ffi.buffer(octets)[:]
