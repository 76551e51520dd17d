"""A PKCS#11 token in software, SoftHSM (Debian package ``softhsm2``): for tests and laboratories.

Its keys are files. It behaves as a token does, and protects as little as a file.
"""

import dataclasses
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from ccs2_pki.errors import ErrorCode, PkiError
from ccs2_pki.lab.hierarchy import Hierarchy
from ccs2_pki.lab.issuing import Issued, certify, ocsp_response
from ccs2_pki.pkcs11_keys import Pkcs11Config, Pkcs11Keys

#: Where SoftHSM finds its tokens: an environment variable with the path of its configuration.
ENVIRONMENT = 'SOFTHSM2_CONF'
_PLACES = ('/usr/lib/softhsm', '/usr/lib64/softhsm', '/usr/local/lib/softhsm')
_MODULE = 'libsofthsm2.so'


def softhsm_module() -> Path | None:
    """Return SoftHSM's shared library, None if SoftHSM is not installed."""
    if not shutil.which('softhsm2-util'):
        return None
    return next((path for place in _PLACES if (path := Path(place, _MODULE)).exists()), None)


def make_token(folder: Path, label: str, pin: str) -> Pkcs11Config:
    """Make a token in an empty folder, with its configuration and PIN file beside it.

    Every process that uses it needs ``SOFTHSM2_CONF`` to be ``folder/softhsm2.conf``. Raises
    PkiError: NOT_FOUND without SoftHSM, STORAGE if it fails.
    """
    module = softhsm_module()
    if module is None:
        raise PkiError(ErrorCode.NOT_FOUND, 'SoftHSM is not installed')
    configuration = folder / 'softhsm2.conf'
    (folder / 'tokens').mkdir()
    configuration.write_text(
        f'directories.tokendir = {folder}/tokens\nobjectstore.backend = file\n')
    made = subprocess.run(
        ['softhsm2-util', '--init-token', '--free', '--label', label, '--pin', pin,
         '--so-pin', pin], env={**os.environ, ENVIRONMENT: str(configuration)},
        capture_output=True)
    if made.returncode:
        raise PkiError(ErrorCode.STORAGE, 'SoftHSM cannot make a token')
    pin_file = folder / 'pin'
    pin_file.touch(0o600)
    pin_file.write_text(f'{pin}\n')
    return Pkcs11Config(module, label, pin_file)


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
