"""The command line ``ccs2-pki``: the operations of the node for people and scripts.

It works on the store's directory, as the user whom the directory belongs to; who can do that needs
no token. Every change is written to the audit trail.
"""

import argparse
import json
import math
import os
import pwd
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from ccs2_pki.audit import AuditFile, record
from ccs2_pki.certificate import KeyAlgorithm, parse_certificates
from ccs2_pki.errors import ErrorCode, PkiError, malformed
from ccs2_pki.health import Severity, assess
from ccs2_pki.lab.directory import fill_store, write_lab
from ccs2_pki.pkcs11_keys import configured_keys
from ccs2_pki.profiles import Role, RootKind
from ccs2_pki.provisioning import CredentialInfo, Provisioning
from ccs2_pki.revocation import ocsp_hash_data, ocsp_request
from ccs2_pki.store import EntryKind, Store
from ccs2_pki.tokens import MAX_LIFETIME, TokenFile, TokenRecord, TokenRole
from ccs2_pki.trusted_time import trusted_now

DEFAULT_STORE = '/var/lib/ccs2/pki'
ALGORITHMS = {'iso2': KeyAlgorithm.P256, 'iso20': KeyAlgorithm.P521,
              'iso20-ed448': KeyAlgorithm.ED448}
_MAX_FILE_SIZE = 1 << 20
_INSTALLED = [kind.value for kind in EntryKind if kind is not EntryKind.PENDING_KEY]

Arguments = argparse.Namespace
Result = dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return 0, or 1 after an error told on standard error (or as JSON)."""
    options = _parser().parse_args(arguments)
    try:
        result = options.command(options)
    except (PkiError, OSError) as error:
        _report_error(options, _refusal(error))
        return 1
    try:
        if options.json:
            print(json.dumps({'ok': True, **result}, indent=1))
        else:
            options.show(result)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0 if result.get('accepted', True) else 1


def _refusal(error: PkiError | OSError) -> PkiError:
    """Return an error with its code; what the file system refuses is STORAGE."""
    return error if isinstance(error, PkiError) else PkiError(ErrorCode.STORAGE, str(error))


def _report_error(options: Arguments, error: PkiError) -> None:
    if options.json:
        print(json.dumps({'ok': False, 'error': error.code.name, 'code': int(error.code),
                          'message': str(error)}, indent=1))
    else:
        print(f'ccs2-pki: {error}', file=sys.stderr)


# What the commands share.

def _store(options: Arguments, *, create: bool = False) -> Store:
    providers = configured_keys(
        options.pkcs11_module, options.pkcs11_token, options.pkcs11_pin_file)
    return Store(options.store, create=create, providers=providers)


def _now(options: Arguments, store: Store) -> datetime | None:
    return trusted_now(store.load().certificates(),
                       require_synchronised=not options.assume_clock)


def _read(path: Path) -> bytes:
    if str(path) == '-':
        data = sys.stdin.buffer.read(_MAX_FILE_SIZE + 1)
    else:
        with path.open('rb') as file:
            data = file.read(_MAX_FILE_SIZE + 1)
    if len(data) > _MAX_FILE_SIZE:
        raise malformed(f'{path}: larger than {_MAX_FILE_SIZE} octets')
    return data


def _audited(options: Arguments, store: Store, operation: str,
             work: Callable[[], tuple[Result, str]]) -> Result:
    """Run a change and write to the audit trail how it went."""
    result: Result = {}
    code, detail = int(ErrorCode.UNKNOWN), ''
    try:
        result, detail = work()
        code = 0
    except (PkiError, OSError) as error:
        refusal = _refusal(error)
        code, detail = int(refusal.code), str(refusal)
        raise
    finally:
        AuditFile(options.store).append(record(
            operation, f'local:{_user()}', allowed=True, result=code, detail=detail))
    return result


def _user() -> str:
    """Return who runs this by the kernel's word; the environment says what anybody likes."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def _as_json(info: CredentialInfo) -> Result:
    return {key: value.value if isinstance(value, EntryKind)
            else value.isoformat() if isinstance(value, datetime) else value
            for key, value in asdict(info).items()}


# The commands.

def _init(options: Arguments) -> Result:
    return {'store': str(options.store), 'generation': _store(options, create=True).generation()}


def _list(options: Arguments) -> Result:
    kind = EntryKind(options.kind) if options.kind else None
    store = _store(options)
    return {'generation': store.generation(),
            'credentials': [_as_json(info) for info in Provisioning(store).list(kind)]}


def _install(options: Arguments) -> Result:
    store = _store(options)
    key = _read(options.key) if options.key else None

    def work() -> tuple[Result, str]:
        entry_id, generation = Provisioning(store).install(
            EntryKind(options.kind), _read(options.file), _now(options, store), key_pem=key)
        return {'id': entry_id, 'generation': generation}, f'{options.kind} {entry_id}'

    return _audited(options, store, 'install', work)


def _delete(options: Arguments) -> Result:
    store = _store(options)

    def work() -> tuple[Result, str]:
        return {'generation': Provisioning(store).delete(options.id)}, options.id

    return _audited(options, store, 'delete', work)


def _csr(options: Arguments) -> Result:
    store = _store(options)
    provider = 'pkcs11' if options.pkcs11_module else 'file'

    def work() -> tuple[Result, str]:
        key_id, der = Provisioning(store).create_csr(
            ALGORITHMS[options.profile], options.cn, options.org, options.country,
            provider=provider)
        pem = x509.load_der_x509_csr(der).public_bytes(Encoding.PEM).decode()
        return {'key_id': key_id, 'csr': pem}, f'{options.profile} {key_id}'

    result = _audited(options, store, 'create_csr', work)
    if options.out:
        options.out.write_text(result['csr'])
    return result


def _verify(options: Arguments) -> Result:
    store = _store(options)
    now = options.at or _now(options, store)
    verdict = Provisioning(store).verify_chain(
        _read(options.file), RootKind(options.root) if options.root else None,
        Role(options.role) if options.role else None, now)
    return {'accepted': verdict.accepted, 'result': verdict.result.name,
            'message': verdict.message,
            'root': verdict.anchor.subject if verdict.anchor else '',
            'root_id': verdict.anchor.fingerprint if verdict.anchor else '',
            'path': [certificate.subject for certificate in verdict.path],
            'revocation': [f'{found.status.value}: {found.reason}'
                           for found in verdict.revocation]}


def _status(options: Arguments) -> Result:
    store = _store(options)
    snapshot = store.load()
    health = assess(snapshot, _now(options, store), timedelta(days=options.warn_days),
                    Provisioning(store).has_key)
    return {'accepted': health.severity < Severity.ERROR, 'severity': health.severity.name,
            'generation': snapshot.generation, 'secc_ready_tls_1_2': health.secc_ready_tls_1_2,
            'secc_ready_tls_1_3': health.secc_ready_tls_1_3,
            'earliest_expiry': (health.earliest_expiry.isoformat()
                                if health.earliest_expiry else None),
            'findings': [finding.text for finding in health.findings]}


def _ocsp_request(options: Arguments) -> Result:
    certificate = parse_certificates(_read(options.certificate))[0]
    issuer = parse_certificates(_read(options.issuer))[0]
    request = ocsp_request(certificate, issuer)
    if options.out:
        options.out.write_bytes(request)
    return {'request': request.hex(), **ocsp_hash_data(certificate, issuer)}


def _token_create(options: Arguments) -> Result:
    store = _store(options)

    def work() -> tuple[Result, str]:
        now = _now(options, store)
        if now is None:
            raise PkiError(ErrorCode.TIME_NOT_TRUSTED, 'clock of the station is not set')
        entry, token = TokenFile(options.store).create(
            options.name, frozenset(TokenRole(role) for role in options.role),
            timedelta(hours=options.hours), now)
        return {'token': token, **_describe_token(entry)}, f'create {entry.id} {entry.name}'

    return _audited(options, store, 'token', work)


def _token_list(options: Arguments) -> Result:
    _store(options)
    return {'tokens': [_describe_token(entry) for entry in TokenFile(options.store).records()]}


def _token_revoke(options: Arguments) -> Result:
    store = _store(options)

    def work() -> tuple[Result, str]:
        TokenFile(options.store).revoke(options.id)
        return {'id': options.id}, f'revoke {options.id}'

    return _audited(options, store, 'token', work)


def _describe_token(entry: TokenRecord) -> Result:
    return {'id': entry.id, 'name': entry.name, 'roles': sorted(r.value for r in entry.roles),
            'created': entry.created.isoformat(), 'expires': entry.expires.isoformat()}


def _audit(options: Arguments) -> Result:
    _store(options)
    return {'records': [asdict(entry) for entry in AuditFile(options.store).records()]}


def _lab(options: Arguments) -> Result:
    now = datetime.now(UTC).replace(microsecond=0)
    hierarchies = write_lab(options.directory, now)
    result: Result = {'directory': str(options.directory), 'certificates': {
        hierarchy.generation.name: sorted(hierarchy.issued) for hierarchy in hierarchies}}
    if options.fill_store:
        fill_store(Store(options.fill_store, create=True), hierarchies, now)
        result['store'] = str(options.fill_store)
    return result


# How results look to people.

def _show_fields(result: Result) -> None:
    for key, value in result.items():
        text = ''.join(f'\n  {item}' for item in value) if isinstance(value, list) else value
        print(f'{key}: {text}')


def _show_credentials(result: Result) -> None:
    for info in result['credentials']:
        until = f'until {info["not_after"][:10]}' if info['not_after'] else ''
        key = 'key' if info['has_key'] else ''
        columns = (info['id'][:12], f'{info["kind"]:14}', f'{until:16}', f'{info["public_key"]:12}',
                   f'{key:3}', info['subject'] or info['issuer'])
        print('  '.join(columns).rstrip())


def _show_csr(result: Result) -> None:
    print(result['csr'], end='')
    print(f'key id: {result["key_id"]}', file=sys.stderr)


def _show_token(result: Result) -> None:
    print(result['token'])
    print(f'for {result["name"]}, {" and ".join(result["roles"])}, until {result["expires"]}; '
          'it is shown only now', file=sys.stderr)


def _show_lines(key: str) -> Callable[[Result], None]:
    def show(result: Result) -> None:
        for line in result[key]:
            print('  '.join(str(value) for value in line.values()))
    return show


def _show_lab(result: Result) -> None:
    for generation, names in result['certificates'].items():
        print(f'{result["directory"]}/{generation}: {", ".join(names)}')
    if 'store' in result:
        print(f'{result["store"]}: filled with roots, SECC chains, OCSP responses and CRLs')


# The grammar.

def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument('--store', type=Path, help='directory of the store '
                        f'(default: $CCS2_PKI_STORE or {DEFAULT_STORE})',
                        default=Path(os.environ.get('CCS2_PKI_STORE', DEFAULT_STORE)))
    common.add_argument('--json', action='store_true', help='print JSON')
    common.add_argument('--assume-clock', action='store_true',
                        help='trust a plausible clock that the kernel calls unsynchronised')
    common.add_argument('--pkcs11-module', default='', help="shared library of the token's maker")
    common.add_argument('--pkcs11-token', default='', help='label of the token')
    common.add_argument('--pkcs11-pin-file', default='', help='file (0600) with the user PIN')

    parser = argparse.ArgumentParser(
        prog='ccs2-pki', description='Certificates and keys of a CCS2 charging station.')
    commands = parser.add_subparsers(required=True, metavar='COMMAND')

    def command(name: str, run: Callable[[Arguments], Result], help_text: str,
                show: Callable[[Result], None] = _show_fields, *,
                parent: Any = commands) -> argparse.ArgumentParser:
        added: argparse.ArgumentParser = parent.add_parser(
            name, help=help_text, description=help_text, parents=[common])
        added.set_defaults(command=run, show=show)
        return added

    command('init', _init, 'make an empty store')
    sub = command('list', _list, 'show what is in the store', _show_credentials)
    sub.add_argument('kind', nargs='?', choices=[kind.value for kind in EntryKind])
    sub = command('install', _install, 'install a root, an SECC chain, an OCSP response or a CRL')
    sub.add_argument('kind', choices=_INSTALLED)
    sub.add_argument('file', type=Path, help='PEM or DER; a chain leaf first; - for standard input')
    sub.add_argument('--key', type=Path, help='PEM private key to an SECC chain')
    sub = command('delete', _delete, 'delete one object, with its key if nothing else needs it')
    sub.add_argument('id', help='as shown by list --json')
    sub = command('csr', _csr, 'make a new SECC key and a signing request for it', _show_csr)
    sub.add_argument('--profile', choices=ALGORITHMS, required=True)
    sub.add_argument('--cn', required=True, help='CPID of the station')
    sub.add_argument('--org', required=True, help='operator')
    sub.add_argument('--country', default='', help='two letters')
    sub.add_argument('--out', type=Path, help='write the request (PEM) to this file, too')
    sub = command('verify', _verify, 'check a chain against the installed roots')
    sub.add_argument('file', type=Path, help='PEM or DER, leaf first')
    sub.add_argument('--role', choices=[role.value for role in Role])
    sub.add_argument('--root', choices=[kind.value for kind in RootKind])
    sub.add_argument('--at', type=_moment, help='at this time (ISO 8601) instead of now')
    sub = command('status', _status, 'tell whether the store is fit for the next car')
    sub.add_argument('--warn-days', type=_number_up_to(36500.0), default=30.0,
                     help='days before an expiry to warn')
    sub = command('ocsp-request', _ocsp_request, 'make an OCSP request to take to the responder')
    sub.add_argument('certificate', type=Path)
    sub.add_argument('issuer', type=Path)
    sub.add_argument('--out', type=Path, help='write the request (DER) to this file')
    command('audit', _audit, 'show the audit trail', _show_lines('records'))
    sub = command('lab', _lab, 'make a complete test hierarchy, right and wrong', _show_lab)
    sub.add_argument('directory', type=Path)
    sub.add_argument('--fill-store', type=Path, metavar='DIR', help='make and fill this store')
    _add_token_commands(commands, command)
    return parser


def _add_token_commands(commands: Any, command: Callable[..., argparse.ArgumentParser]) -> None:
    parser = commands.add_parser('token', help='diagnostic tokens for the services of the node')
    parent = parser.add_subparsers(required=True, metavar='COMMAND')
    sub = command('create', _token_create, 'make a token', _show_token, parent=parent)
    sub.add_argument('name', help='whom it is for; appears in the audit trail')
    sub.add_argument('--role', action='append', required=True,
                     choices=[role.value for role in TokenRole])
    sub.add_argument('--hours', type=_number_up_to(MAX_LIFETIME / timedelta(hours=1)), default=8.0,
                     help='lifetime (default 8)')
    command('list', _token_list, 'show the tokens, not their secrets', _show_lines('tokens'),
            parent=parent)
    sub = command('revoke', _token_revoke, 'forget a token', parent=parent)
    sub.add_argument('id')


def _number_up_to(most: float) -> Callable[[str], float]:
    """Return a reader of numbers from 0 to ``most``."""
    def read(text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not 0.0 <= number <= most:
            raise argparse.ArgumentTypeError(f'{text!r} is no number from 0 to {most:g}')
        return number
    return read


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f'{text!r} is not an ISO 8601 time') from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


if __name__ == '__main__':
    sys.exit(main())
