"""TLS with a key in this process, on pyOpenSSL."""

from __future__ import annotations

from collections.abc import Callable

from OpenSSL import SSL

from ccs2_link.transport import openssl
from ccs2_link.transport.engine import (
    OPTIONS,
    SESSION_ID_CONTEXT,
    SUITE_1_2,
    SUITES_1_3,
    Engine,
    Judge,
    Terms,
)


class LocalEngine(SSL.Connection):
    """An :class:`~ccs2_link.transport.engine.Engine` that is pyOpenSSL's own."""

    #: OpenSSL calls it as long as there is the connection.
    judge_handle: object = None

    def work(self) -> Callable[[], None] | None:
        """Return None: it signs at once."""
        return None


class LocalContext:
    """A :class:`~ccs2_link.transport.engine.ServerContext` whose key pyOpenSSL holds.

    Raises SSL.Error, crypto.Error, ValueError or TypeError if the terms cannot be met.
    """

    problem = ''

    def __init__(self, terms: Terms) -> None:
        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.set_min_proto_version(terms.version)
        context.set_max_proto_version(terms.version)
        context.set_options(OPTIONS)
        # A connection is never the continuation of another one.
        context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        context.set_session_id(SESSION_ID_CONTEXT)
        context.set_cipher_list(SUITE_1_2.encode())
        context.set_tls13_ciphersuites(SUITES_1_3.encode())
        openssl.narrow(context, terms.groups, terms.signatures)
        context.use_privatekey(terms.key)
        leaf, *sub_cas = terms.chain
        context.use_certificate(leaf.source)
        for sub_ca in sub_cas:
            context.add_extra_chain_cert(sub_ca.source)
        context.check_privatekey()
        context.set_ocsp_server_callback(lambda *_: terms.staple())
        for anchor in terms.named_anchors:
            context.add_client_ca(anchor.source)
        if (key_log := terms.key_log) is not None:
            context.set_keylog_callback(lambda _, line: key_log(line))
        self._context = context

    def engine(self, judge: Judge | None) -> Engine:
        """Return the engine of a new connection."""
        engine = LocalEngine(self._context, None)
        engine.set_accept_state()
        if judge is not None:
            engine.judge_handle = openssl.ask_for_certificate(engine, judge)
        return engine
