"""The command line, run as people and scripts run it; and the test hierarchy as files."""

import json
import os
import pwd
import stat
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.x509 import ocsp

from ccs2_pki.certificate import parse_certificates
from ccs2_pki.chains import ChainResult, anchors_for, check_der_chain
from ccs2_pki.cli import _parser, main
from ccs2_pki.errors import ErrorCode
from ccs2_pki.keys import public_key_id
from ccs2_pki.lab.directory import read_certificate, read_credential
from ccs2_pki.lab.hierarchy import GENERATIONS
from ccs2_pki.profiles import Role, RootKind
from ccs2_pki.provisioning import Provisioning
from ccs2_pki.revocation import RevocationData, parse_ocsp


@pytest.fixture(scope='module')
def lab(tmp_path_factory):
    folder = tmp_path_factory.mktemp('lab')
    assert main(['lab', str(folder / 'lab'), '--fill-store', str(folder / 'store')]) == 0
    return folder


def commands(parser, path=()):
    """Yield the words of every command that a parser knows."""
    nested = [action for action in parser._actions if hasattr(action, 'add_parser')]
    if not nested:
        yield path
    for action in nested:
        for name, child in action.choices.items():
            yield from commands(child, (*path, name))


#: Each is run with --json by the tests below.
WITH_JSON = {
    ('init',), ('list',), ('install',), ('delete',), ('csr',), ('verify',), ('status',),
    ('ocsp-request',), ('audit',), ('token', 'create'), ('token', 'list'), ('token', 'revoke'),
    ('lab',)}


def test_every_command_is_for_scripts_too(run, tmp_path):
    assert set(commands(_parser())) == WITH_JSON
    made = run('lab', tmp_path / 'lab', '--fill-store', tmp_path / 'filled')
    assert (made['ok'], made['directory'], made['store']) == (
        True, str(tmp_path / 'lab'), str(tmp_path / 'filled'))
    assert {'secc', 'contract', 'mo_root'} <= set(made['certificates']['iso2'])


@pytest.fixture
def run(tmp_path, capsys):
    def call(*arguments, store=tmp_path / 'store', expect=0):
        options = ['--json', '--assume-clock', '--store', str(store)]
        code = main([*map(str, arguments), *options])
        assert code == expect
        return json.loads(capsys.readouterr().out)
    return call


def test_a_new_store_step_by_step(run, lab, tmp_path):
    files = lab / 'lab' / 'iso2'
    assert run('init') == {'ok': True, 'store': str(tmp_path / 'store'), 'generation': 0}
    root = run('install', 'v2g-root', files / 'certs' / 'v2g_root.pem')
    assert root['generation'] == 1
    chain = run('install', 'secc-chain', files / 'chains' / 'secc.pem', '--key',
                files / 'keys' / 'secc.pem')
    run('install', 'ocsp-response', files / 'ocsp' / 'secc.der')
    run('install', 'mo-root', files / 'certs' / 'mo_root.pem')
    [info] = run('list', 'secc-chain')['credentials']
    assert info['id'] == chain['id']
    assert info['root_id'] == root['id']
    assert info['has_key'] is True
    assert 'PRIVATE' not in json.dumps(run('list'))
    status = run('status')
    assert (status['secc_ready_tls_1_2'], status['secc_ready_tls_1_3']) == (True, False)
    verdict = run('verify', files / 'chains' / 'contract.pem', '--role', 'contract')
    assert verdict['result'] == 'OK'
    assert verdict['root'].endswith('CN=MO Root')
    later = (datetime.now(UTC) + timedelta(days=800)).isoformat()
    verdict = run('verify', files / 'chains' / 'contract.pem', '--role', 'contract', '--at', later,
                  expect=1)
    assert verdict['result'] == 'LEAF_EXPIRED'
    run('delete', chain['id'])
    assert run('list', 'secc-chain')['credentials'] == []
    operations = [(r['operation'], r['result']) for r in run('audit')['records']]
    assert operations == [('install', 0)] * 4 + [('delete', 0)]


def test_errors_have_a_code_and_a_reason(run, lab, capsys, tmp_path):
    assert run('list', expect=1)['error'] == 'NOT_FOUND'
    run('init')
    files = lab / 'lab' / 'iso2'
    for arguments, error in (
            (('install', 'v2g-root', files / 'certs' / 'secc.pem'), 'CHAIN_INVALID'),
            (('install', 'v2g-root', files / 'keys' / 'secc.pem'), 'MALFORMED'),
            (('install', 'v2g-root', files / 'nothing.pem'), 'STORAGE'),
            (('install', 'secc-chain', files / 'chains' / 'secc.pem'), 'CHAIN_INVALID'),
            (('delete', 'abc'), 'NOT_FOUND'),
            (('csr', '--profile', 'iso2', '--cn', '', '--org', 'a'), 'MALFORMED'),
            (('token', 'revoke', 'abc'), 'NOT_FOUND')):
        answer = run(*arguments, expect=1)
        assert (answer['ok'], answer['error']) == (False, error)
        assert answer['message']
    assert len(run('audit')['records']) == 7
    assert main(['delete', 'abc', '--store', str(tmp_path / 'store')]) == 1
    assert 'nothing with id abc' in capsys.readouterr().err


def test_the_audit_trail_tells_success_failure_and_who(run, lab, monkeypatch):
    run('init')
    for name in ('LOGNAME', 'USER', 'LNAME', 'USERNAME'):
        monkeypatch.setenv(name, 'president')
    files = lab / 'lab' / 'iso2'
    run('install', 'v2g-root', files / 'certs' / 'v2g_root.pem')
    run('install', 'v2g-root', files / 'nothing.pem', expect=1)
    run('install', 'v2g-root', files / 'keys' / 'secc.pem', expect=1)

    def surprise(*_):
        raise RuntimeError

    monkeypatch.setattr(Provisioning, 'delete', surprise)
    with pytest.raises(RuntimeError):
        run('delete', 'abc')
    records = run('audit')['records']
    assert [record['result'] for record in records] == [
        0, ErrorCode.STORAGE, ErrorCode.MALFORMED, ErrorCode.UNKNOWN]
    assert {record['principal'] for record in records} == {
        f'local:{pwd.getpwuid(os.geteuid()).pw_name}'}


def test_a_user_without_a_name_is_told_by_number(run, monkeypatch):
    run('init')

    def unknown(uid):
        raise KeyError(uid)

    monkeypatch.setattr(pwd, 'getpwuid', unknown)
    run('delete', 'abc', expect=1)
    [record] = run('audit')['records']
    assert record['principal'] == f'local:{os.geteuid()}'


def test_a_damaged_audit_trail_is_still_shown(run, tmp_path):
    run('init')
    run('delete', 'abc', expect=1)
    trail = tmp_path / 'store' / 'audit.jsonl'
    trail.write_bytes(b'\xff\xfe\n[]\n' + trail.read_bytes() + b'\xff\n')
    run('delete', 'abc', expect=1)
    assert [record['operation'] for record in run('audit')['records']] == ['delete'] * 2


@pytest.mark.parametrize('arguments', [
    ['token', 'create', 'x', '--role', 'read', '--hours', 'nan'],
    ['token', 'create', 'x', '--role', 'read', '--hours', '1e300'],
    ['token', 'create', 'x', '--role', 'read', '--hours', '-1'],
    ['status', '--warn-days', '99999999999'], ['status', '--warn-days', 'inf'],
    ['status', '--warn-days', 'x']])
def test_numbers_out_of_range_are_a_clear_error(arguments, tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        main([*arguments, '--store', str(tmp_path)])
    assert end.value.code == 2
    assert 'is no number from 0 to' in capsys.readouterr().err


def test_without_a_kept_clock_nothing_is_installed(lab, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr('ccs2_pki.trusted_time.synchronised', lambda: False)
    store = ['--store', str(tmp_path / 'store'), '--json']
    main(['init', *store])
    capsys.readouterr()
    root = str(lab / 'lab' / 'iso2' / 'certs' / 'v2g_root.pem')
    for arguments in (['install', 'v2g-root', root], ['token', 'create', 'a', '--role', 'read']):
        assert main([*arguments, *store]) == 1
        assert json.loads(capsys.readouterr().out)['error'] == 'TIME_NOT_TRUSTED'
    assert main(['verify', root, *store]) == 1
    assert json.loads(capsys.readouterr().out)['result'] == 'TIME_NOT_TRUSTED'


def test_signing_request(run, tmp_path):
    run('init')
    for profile in ('iso2', 'iso20', 'iso20-ed448'):
        out = tmp_path / f'{profile}.csr'
        answer = run('csr', '--profile', profile, '--cn', 'DECC2S0001', '--org', 'Operator',
                     '--out', out)
        request = x509.load_pem_x509_csr(out.read_bytes())
        assert answer['csr'] == out.read_text()
        assert request.is_signature_valid
        assert public_key_id(request.public_key()) == answer['key_id']
    assert len(run('list', 'pending-key')['credentials']) == 3


def test_tokens(run, tmp_path):
    run('init')
    made = run('token', 'create', 'technician', '--role', 'read', '--role', 'provision',
               '--hours', '1')
    assert made['token'].startswith('ccs2_')
    [listed] = run('token', 'list')['tokens']
    assert listed == {key: made[key] for key in listed}
    assert made['token'] not in json.dumps(run('audit'))
    assert made['token'].split('_', 2)[2] not in (tmp_path / 'store' / 'tokens.json').read_text()
    run('token', 'revoke', made['id'])
    assert run('token', 'list')['tokens'] == []


def test_ocsp_request(run, lab, tmp_path):
    files = lab / 'lab' / 'iso2' / 'certs'
    out = tmp_path / 'request.der'
    answer = run('ocsp-request', files / 'secc.pem', files / 'cpo_sub2.pem', '--out', out)
    request = ocsp.load_der_ocsp_request(out.read_bytes())
    assert request.issuer_key_hash.hex() == answer['issuerKeyHash']
    assert run('ocsp-request', files / 'secc.pem', files / 'mo_sub2.pem',
               expect=1)['error'] == 'MALFORMED'


@pytest.mark.parametrize('arguments', [
    ['list'], ['status'], ['audit'], ['token', 'list'],
    ['csr', '--profile', 'iso2', '--cn', 'a', '--org', 'b'], ['init']])
def test_output_for_people(lab, arguments, capsys):
    main([*arguments, '--store', str(lab / 'store'), '--assume-clock'])
    output = capsys.readouterr()
    assert 'Traceback' not in output.out + output.err
    assert 'PRIVATE' not in output.out
    assert output.out or arguments in (['audit'], ['token', 'list'])


# The hierarchy as files

def test_the_files_hold_what_the_manifest_says(lab):
    now = datetime.now(UTC)
    for generation in GENERATIONS:
        folder = lab / 'lab' / generation.name
        manifest = json.loads((folder / 'manifest.json').read_text())
        roots = {RootKind(kind): [read_certificate(lab / 'lab', generation.name, name)
                                  for name in names] for kind, names in manifest['roots'].items()}
        for name, role in manifest['leafs'].items():
            credential = read_credential(lab / 'lab', generation.name, name)
            assert credential.key.public_key() == credential.chain[0].public_key
            verdict = check_der_chain([c.der for c in credential.chain],
                                      anchors_for(Role(role), roots), generation.profile,
                                      Role(role), now)
            assert verdict.result is ChainResult.OK
        assert len(manifest['wrong']) > 50
        for wrong in manifest['wrong']:
            stem = folder / 'wrong' / f'{wrong["role"]}-{wrong["name"]}'
            chain = [stem.with_name(f'{stem.name}.{index}.der').read_bytes()
                     for index in range(wrong['certificates'])]
            role = Role(wrong['role'])
            anchors = anchors_for(role, roots)
            if wrong['needs_root']:
                anchors += parse_certificates(stem.with_name(f'{stem.name}.root.der').read_bytes())
            data = RevocationData()
            if wrong['needs_ocsp']:
                data = RevocationData((parse_ocsp(
                    stem.with_name(f'{stem.name}.ocsp.der').read_bytes()),))
            verdict = check_der_chain(chain, anchors, generation.profile, role, now,
                                      revocation=data)
            assert verdict.result.name == wrong['expected'], wrong


def test_nobody_else_can_read_the_files(lab):
    for path in (lab / 'lab', *(lab / 'lab').rglob('*'), *(lab / 'store').rglob('*')):
        assert stat.S_IMODE(os.lstat(path).st_mode) & 0o077 == 0, path
