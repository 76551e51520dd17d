"""What OpenSSL can do and pyOpenSSL does not offer.

pyOpenSSL's own bindings are used for it; they are not public, so its version is pinned and the
tests show each of these effects on the wire.
"""

from __future__ import annotations

from typing import Any

from OpenSSL import SSL, crypto

from ccs2_link.transport.engine import Judge

_lib: Any = SSL._lib
_ffi: Any = SSL._ffi

#: OpenSSL finds no root that it trusts. It never does here: it is given none, see `Judge`.
ANCHOR_ERRORS = frozenset({2, 18, 19, 20, 21, 27})


def narrow(context: SSL.Context, groups: str, signatures: str) -> None:
    """Allow only these groups and signature algorithms (OpenSSL's names, in order of preference).

    Raises ValueError if OpenSSL knows none of them.
    """
    for name, setter, names in (
        ('groups', _lib.SSL_CTX_set1_curves_list, groups),
        ('signature algorithms', _lib.SSL_CTX_set1_sigalgs_list, signatures),
    ):
        if setter(context._context, names.encode()) != 1:
            _lib.ERR_clear_error()
            raise ValueError(f'OpenSSL does not take the {name} {names}')


def ask_for_certificate(connection: SSL.Connection, judge: Judge) -> object:
    """Ask the peer for a certificate; if it presents one, `judge` decides about the chain.

    pyOpenSSL's own callback cannot say why, so that the peer would get `internal_error` for
    everything.

    Returns what has to be kept as long as the connection.
    """

    def callback(ok: int, context: Any) -> int:
        error = judge(_lib.X509_STORE_CTX_get_error(context), _chain(context))
        _lib.X509_STORE_CTX_set_error(context, error)
        return int(error == 0)

    # An exception in there refuses the certificate.
    handle = _ffi.callback('int (*)(int, X509_STORE_CTX *)', callback, error=0)
    _lib.SSL_set_verify(connection._ssl, SSL.VERIFY_PEER, handle)
    return handle


def _chain(context: Any) -> list[bytes]:
    """Return the chain that OpenSSL has put together from what the peer presented."""
    stack = _lib.X509_STORE_CTX_get1_chain(context)
    chain = []
    for place in range(_lib.sk_X509_num(stack)):
        # The object takes over the reference that the stack holds.
        certificate = crypto.X509._from_raw_x509_ptr(_lib.sk_X509_value(stack, place))
        chain.append(crypto.dump_certificate(crypto.FILETYPE_ASN1, certificate))
    _lib.sk_X509_free(stack)
    return chain


def reason(error: int) -> str:
    """Return OpenSSL's words for a verification error."""
    return _ffi.string(_lib.X509_verify_cert_error_string(error)).decode()
