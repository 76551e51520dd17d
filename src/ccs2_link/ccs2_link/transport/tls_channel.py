"""One TLS connection on memory BIOs, whichever side it is: octets in, octets out."""

from __future__ import annotations

from collections.abc import Callable

from OpenSSL import SSL

from ccs2_link.transport import openssl
from ccs2_link.transport.channel import ChannelError
from ccs2_link.transport.engine import Engine
from ccs2_pki.chains import ChainResult, ChainVerdict

#: OpenSSL's verification errors, each of which gives the alert behind it (RFC 8446 clause 6.2).
_SIGNATURE = 7              # decrypt_error
_NOT_YET_VALID = 9          # bad_certificate
_EXPIRED = 10               # certificate_expired
_UNKNOWN_ISSUER = 20        # unknown_ca
_REVOKED = 23               # certificate_revoked
_INVALID_PURPOSE = 26       # unsupported_certificate
_REJECTED = 28              # bad_certificate
_NOT_DECIDED = 50           # handshake_failure
_INVALID_ISSUER = 79        # unknown_ca
_ERRORS = {
    ChainResult.TIME_NOT_TRUSTED: _NOT_DECIDED,
    ChainResult.REVOCATION_UNKNOWN: _NOT_DECIDED,
    ChainResult.NO_ANCHOR: _UNKNOWN_ISSUER,
    ChainResult.NOT_A_CA: _INVALID_ISSUER,
    ChainResult.CA_KEY_USAGE: _INVALID_ISSUER,
    ChainResult.PATH_LENGTH_EXCEEDED: _INVALID_ISSUER,
    ChainResult.SIGNATURE_INVALID: _SIGNATURE,
    ChainResult.LEAF_EXPIRED: _EXPIRED,
    ChainResult.ISSUER_EXPIRED: _EXPIRED,
    ChainResult.ANCHOR_EXPIRED: _EXPIRED,
    ChainResult.LEAF_NOT_YET_VALID: _NOT_YET_VALID,
    ChainResult.ISSUER_NOT_YET_VALID: _NOT_YET_VALID,
    ChainResult.ANCHOR_NOT_YET_VALID: _NOT_YET_VALID,
    ChainResult.REVOKED: _REVOKED,
    ChainResult.WRONG_KEY_ALGORITHM: _INVALID_PURPOSE,
    ChainResult.WRONG_SIGNATURE_ALGORITHM: _INVALID_PURPOSE,
    ChainResult.MIXED_ALGORITHMS: _INVALID_PURPOSE,
    ChainResult.LEAF_IS_CA: _INVALID_PURPOSE,
    ChainResult.LEAF_KEY_USAGE: _INVALID_PURPOSE,
    ChainResult.LEAF_EXTENDED_KEY_USAGE: _INVALID_PURPOSE,
}
_READ_SIZE = 65536


class EngineChannel:
    """A :class:`~ccs2_link.transport.channel.Channel` around an engine.

    `peer` is what the other side is called in messages. A side adds :meth:`start` and
    :meth:`handshake_done`.
    """

    def __init__(self, peer: str) -> None:
        self.ready = False
        self.cipher_suite = ''
        self.peer_closed = False
        #: Why the peer's certificate is refused, '' if it is not.
        self.refusal = ''
        self._peer = peer
        self._early = b''
        self._engine: Engine | None = None

    def start(self, stream: bytes) -> Engine | None:
        """Return the engine, None as long as the peer's first octets do not suffice for it."""
        raise NotImplementedError

    def handshake_done(self, engine: Engine) -> None:
        """Take note of what was agreed; raise ChannelError if it is not enough."""
        raise NotImplementedError

    def receive(self, data: bytes) -> bytes:
        """Take octets of the socket, return those for V2GTP; raise ChannelError on failure.

        Without octets it only begins: a client then has its first ones to send.
        """
        engine = self._engine
        if engine is None:
            self._early += data
            engine = self._engine = self.start(self._early)
            if engine is None:
                return b''
            data, self._early = self._early, b''
        try:
            if data:
                engine.bio_write(data)
            if not self.ready:
                engine.do_handshake()
                self.cipher_suite = engine.get_cipher_name() or ''
                self.handshake_done(engine)
                self.ready = True
            return self._read(engine)
        except SSL.WantReadError:
            return b''
        except SSL.Error as error:
            raise ChannelError(self._why(error)) from None

    def work(self) -> Callable[[], None] | None:
        """Return what the handshake waits for; a side whose key signs at once has none."""
        return None

    def send(self, data: bytes) -> None:
        """Encrypt octets of V2GTP; raise ChannelError on failure."""
        if self._engine is None:
            raise ChannelError('TLS has not started')
        try:
            self._engine.sendall(data)
        except SSL.Error as error:
            raise ChannelError(self._why(error)) from None

    def close(self) -> None:
        """Send close_notify."""
        if self._engine is not None and self.ready:
            try:
                self._engine.shutdown()
            except SSL.Error:
                return      # the connection ends anyway

    def outgoing(self) -> bytes:
        """Return and forget what has to go to the socket."""
        chunks = []
        while self._engine is not None:
            try:
                chunks.append(self._engine.bio_read(_READ_SIZE))
            except SSL.Error:
                break
        return b''.join(chunks)

    def truncation(self) -> str:
        """Return what is wrong if the stream ends here without close_notify."""
        if self.peer_closed:
            return ''
        return (f'{self._peer} closed TCP without closing TLS' if self.ready
                else f'{self._peer} closed TCP during the TLS handshake')

    def judged(self, verdict: ChainVerdict, error: int) -> int:
        """Return the error to report of the peer's chain, 0 if it is fine.

        The rules of the profile come first, then what OpenSSL has found (`error`).
        """
        if not verdict.accepted:
            self.refusal = verdict.message
            return _ERRORS.get(verdict.result, _REJECTED)
        if error and error not in openssl.ANCHOR_ERRORS:
            self.refusal = openssl.reason(error)
            return error
        return 0

    def _read(self, engine: Engine) -> bytes:
        chunks = []
        try:
            while True:
                chunks.append(engine.recv(_READ_SIZE))
        except SSL.ZeroReturnError:
            self.peer_closed = True
        except SSL.WantReadError:
            pass
        return b''.join(chunks)

    def _why(self, error: SSL.Error) -> str:
        if self.refusal:
            return f'{self._peer} certificate refused: {self.refusal}'
        reasons = [str(entry[-1]) for entry in error.args[0]] if error.args else []
        return 'TLS: ' + (', '.join(reason for reason in reasons if reason) or 'failed')
