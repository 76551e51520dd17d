"""A certificate laboratory and TLS clients for the transport's tests."""

import contextlib
import functools
from datetime import UTC, datetime

from cryptography import x509
from OpenSSL import SSL, crypto

from ccs2_link.transport.credentials import Credentials, ServerCredential
from ccs2_link.transport.tls import TlsServer
from ccs2_pki.chains import anchors_for
from ccs2_pki.keys import KeyRef, public_key_id
from ccs2_pki.lab.hierarchy import GENERATIONS, build
from ccs2_pki.lab.software_token import software_token, with_token_keys
from ccs2_pki.lab.wrong import build_wrong
from ccs2_pki.pkcs11_keys import Pkcs11Keys, TokenKey
from ccs2_pki.profiles import Role
from ccs2_pki.revocation import RevocationData, parse_crl, parse_ocsp
from ccs2_pki.store import SeccChain

NOW = datetime.now(UTC)


#: The token that the station's keys are in, None while they are in this process.
_token = None


@contextlib.contextmanager
def keys_in_token(folder):
    """Keep the station's keys in a SoftHSM token in this empty folder; yield its provider."""
    global _token
    with software_token(folder, 'station', '987654') as config:
        _token = Pkcs11Keys(config)
        try:
            yield _token
        finally:
            _token = None


def hierarchy(name):
    """Return the hierarchy 'iso2', 'iso20' or 'iso20-ed448'."""
    return _hierarchy(name, None if name == 'iso20-ed448' else _token)


@functools.cache
def _hierarchy(name, token):
    if token is not None:
        return with_token_keys(_hierarchy(name, None), token, ('secc', 'secc_b'))
    return build(next(each for each in GENERATIONS if each.name == name), NOW)


@functools.cache
def wrong(name):
    return {(each.role, each.name): each for each in build_wrong(hierarchy(name))}


def credential(issued, *, root=True):
    key = (issued.key.reference if isinstance(issued.key, TokenKey)
           else KeyRef('file', public_key_id(issued.key.public_key())))
    chain = SeccChain(issued.certificate.fingerprint, issued.chain,
                      issued.root.certificate if root else None, key)
    return ServerCredential(chain, issued.key)


def credentials(*names, servers=('secc',), roots=('iso2', 'iso20', 'iso20-ed448')):
    """Return what a store with these hierarchies' chains would hold."""
    vehicles = [anchor for name in roots
                for anchor in anchors_for(Role.VEHICLE, hierarchy(name).roots())]
    return Credentials(
        generation=1,
        servers=tuple(credential(hierarchy(name).issued[server])
                      for name in names for server in servers),
        vehicle_anchors=tuple(vehicles),
        revocation=RevocationData(
            tuple(parse_ocsp(der) for name in names for der in hierarchy(name).ocsp.values()),
            tuple(parse_crl(der) for name in names for der in hierarchy(name).crls.values())))


def server(*names, **options):
    now = options.pop('now', lambda: NOW)
    accept_p256 = options.pop('accept_p256', False)
    key_log = options.pop('key_log', None)
    return TlsServer(credentials(*names, **options), now, accept_p256=accept_p256,
                     key_log=key_log)


def receive(channel, data):
    """Give a channel octets and do its work; return the octets for V2GTP."""
    received = channel.receive(data)
    while (work := channel.work()) is not None:
        work()
        received += channel.receive(b'')
    return received


class Car:
    """A TLS client in memory: octets in, octets out."""

    def __init__(self, *, lowest=SSL.TLS1_2_VERSION, highest=SSL.TLS1_3_VERSION, ciphers=None,
                 suites=None, groups=None, chain=(), key=None, trusts=None, staple=None):
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.set_min_proto_version(lowest)
        context.set_max_proto_version(highest)
        if ciphers:
            context.set_cipher_list(ciphers)
        if suites:
            context.set_tls13_ciphersuites(suites)
        if groups:
            assert SSL._lib.SSL_CTX_set1_curves_list(context._context, groups) == 1
        if chain:
            first, *rest = map(x509.load_der_x509_certificate, chain)
            context.use_certificate(first)
            for certificate in rest:
                context.add_extra_chain_cert(certificate)
            context.use_privatekey(key)
        if trusts is not None:
            context.get_cert_store().add_cert(crypto.X509.from_cryptography(trusts.source))
            context.set_verify(SSL.VERIFY_PEER, lambda *arguments: bool(arguments[-1]))
        self.stapled = None
        if staple:
            context.set_ocsp_client_callback(self._take_staple)
        self.engine = SSL.Connection(context, None)
        if staple:
            self.engine.request_ocsp()
        self.engine.set_connect_state()
        self.ready = False
        self.alert = ''
        self.received = b''

    def _take_staple(self, connection, data, _):
        self.stapled = data
        return True

    def work(self, data):
        """Take octets from the station, return octets for it."""
        try:
            if data:
                self.engine.bio_write(data)
            if not self.ready:
                self.engine.do_handshake()
                self.ready = True
            while True:
                self.received += self.engine.recv(65536)
        except SSL.WantReadError:
            pass
        except SSL.ZeroReturnError:
            self.alert = 'close notify'
        except SSL.Error as error:
            self.alert = str(error.args[0][-1][-1])
        return self.outgoing()

    def outgoing(self):
        chunks = []
        while True:
            try:
                chunks.append(self.engine.bio_read(65536))
            except SSL.Error:
                return b''.join(chunks)


def vehicle(name, leaf='vehicle'):
    """Return the arguments for a car with this vehicle certificate."""
    issued = hierarchy(name).issued[leaf]
    return {'chain': [certificate.der for certificate in issued.chain], 'key': issued.key}


