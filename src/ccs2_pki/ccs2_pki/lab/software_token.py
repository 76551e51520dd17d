"""A PKCS#11 token in software, SoftHSM (Debian package ``softhsm2``): for tests and laboratories.

Its keys are files. It behaves as a token does, and protects as little as a file.
"""

import contextlib
import dataclasses
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from ccs2_pki.certificate import Certificate
from ccs2_pki.errors import ErrorCode, PkiError, malformed
from ccs2_pki.lab.hierarchy import CPID, ORGANIZATION, Hierarchy
from ccs2_pki.lab.issuing import Issued, certify, ocsp_response
from ccs2_pki.pkcs11_keys import Pkcs11Config, Pkcs11Keys
from ccs2_pki.provisioning import Provisioning
from ccs2_pki.store import EntryKind

#: The environment variable by which SoftHSM finds its configuration.
_CONFIGURATION = 'SOFTHSM2_CONF'
_PLACES = ('/usr/lib/softhsm', '/usr/lib64/softhsm', '/usr/local/lib/softhsm')
_MODULE = 'libsofthsm2.so'


def softhsm_module() -> Path | None:
    """Return SoftHSM's shared library, None if SoftHSM is not installed."""
    if not shutil.which('softhsm2-util'):
        return None
    return next((path for place in _PLACES if (path := Path(place, _MODULE)).exists()), None)


@contextlib.contextmanager
def software_token(folder: Path, label: str, pin: str) -> Iterator[Pkcs11Config]:
    """Make a token in an empty folder, for this process and those that it starts.

    Raises PkiError: NOT_FOUND without SoftHSM, STORAGE if it fails.
    """
    module = softhsm_module()
    if module is None:
        raise PkiError(ErrorCode.NOT_FOUND, 'SoftHSM is not installed')
    import pkcs11
    (folder / 'tokens').mkdir()
    configuration = folder / 'softhsm2.conf'
    configuration.write_text(
        f'directories.tokendir = {folder}/tokens\nobjectstore.backend = file\n')
    pin_file = folder / 'pin'
    pin_file.touch(0o600)
    pin_file.write_text(f'{pin}\n')
    before = os.environ.get(_CONFIGURATION)
    os.environ[_CONFIGURATION] = str(configuration)
    try:
        made = subprocess.run(['softhsm2-util', '--init-token', '--free', '--label', label,
                               '--pin', pin, '--so-pin', pin], capture_output=True)
        if made.returncode:
            raise PkiError(ErrorCode.STORAGE, 'SoftHSM cannot make a token')
        # It reads its configuration when it starts; another token may have been there before.
        pkcs11.lib(str(module)).reinitialize()
        yield Pkcs11Config(module, label, pin_file)
    finally:
        os.environ.pop(_CONFIGURATION)
        if before is not None:
            os.environ[_CONFIGURATION] = before


def enroll(provisioning: Provisioning, hierarchy: Hierarchy) -> Certificate:
    """Give a store a chain whose key is in its token, with a staple, as an operator would.

    The store needs the hierarchy's V2G root already. Raises PkiError.
    """
    now = hierarchy.made
    _, der = provisioning.create_csr(
        hierarchy.generation.algorithm, CPID, ORGANIZATION, provider=Pkcs11Keys.name)
    request = x509.load_der_x509_csr(der)
    public = request.public_key()
    if not request.is_signature_valid or not isinstance(public, ec.EllipticCurvePublicKey):
        raise malformed('signing request is not of its key')
    issuer = hierarchy.issued['cpo_sub2']
    leaf = certify(hierarchy.plans['secc'], public, issuer.certificate, issuer.key, now)
    provisioning.install(
        EntryKind.SECC_CHAIN,
        b''.join(certificate.pem() for certificate in (leaf, *issuer.chain)), now)
    subject = dataclasses.replace(hierarchy.issued['secc'], certificate=leaf)
    provisioning.install(EntryKind.OCSP_RESPONSE, ocsp_response(subject, now), now)
    return leaf


def with_token_keys(hierarchy: Hierarchy, keys: Pkcs11Keys, names: Sequence[str]) -> Hierarchy:
    """Return a hierarchy in which these leafs have new keys, certificates and staples.

    The keys are made in the token and stay there.
    """
    issued, answers = dict(hierarchy.issued), dict(hierarchy.ocsp)
    for name in names:
        issuer = issued[name].issuer
        if issuer is None:
            raise ValueError(f'{name} is a root')
        key = keys.load(keys.generate(hierarchy.generation.algorithm))
        certificate = certify(hierarchy.plans[name], key.public_key(), issuer.certificate,
                              issuer.key, hierarchy.made)
        issued[name] = Issued(name, certificate, key, issuer)
        answers[name] = ocsp_response(issued[name], hierarchy.made)
    return dataclasses.replace(hierarchy, issued=issued, ocsp=answers)
