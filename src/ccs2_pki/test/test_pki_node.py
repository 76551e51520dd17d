"""The pki node in a process of its own: services, state, audit trail, diagnostics, secrets."""

import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pki_lab import pem

rclpy = pytest.importorskip('rclpy', reason='ROS 2 is not set up')

from ament_index_python.packages import PackageNotFoundError, get_package_prefix  # noqa: E402

try:
    get_package_prefix('ccs2_interfaces')
except (PackageNotFoundError, OSError):
    pytest.skip('workspace is not built', allow_module_level=True)

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus  # noqa: E402
from domain_coordinator import domain_id  # noqa: E402
from lifecycle_msgs.msg import Transition  # noqa: E402
from lifecycle_msgs.srv import ChangeState  # noqa: E402
from rclpy.executors import SingleThreadedExecutor  # noqa: E402

from ccs2_interfaces.msg import Credential, PkiAudit, PkiState  # noqa: E402
from ccs2_interfaces.srv import CreateCsr, Delete, Install, List, VerifyChain  # noqa: E402
from ccs2_node.qos import EVENT, STATE  # noqa: E402
from ccs2_pki.audit import AuditFile  # noqa: E402
from ccs2_pki.lab.directory import fill_store  # noqa: E402
from ccs2_pki.lab.hierarchy import GENERATIONS, build  # noqa: E402
from ccs2_pki.lab.issuing import certify  # noqa: E402
from ccs2_pki.pki_node import _time  # noqa: E402
from ccs2_pki.store import Store  # noqa: E402
from ccs2_pki.tokens import TokenFile, TokenRole  # noqa: E402

NOW = datetime.now(UTC).replace(microsecond=0)
LAB = build(GENERATIONS[0], NOW)
PROGRAM = 'import sys; from ccs2_pki.pki_node import main; sys.exit(main())'
#: The same with keys in a token that never answers.
WITH_HUNG_TOKEN = (
    'import threading; from ccs2_pki import pki_node, provisioning; '
    'provisioning.Provisioning.has_key = lambda *_: threading.Event().wait(); '
    f'pki_node.ASSESS_PATIENCE = 0.2; {PROGRAM}')


class Harness:
    """The node under test, and a peer in this process."""

    def __init__(self, domain, parameters, program):
        environment = dict(os.environ, ROS_DOMAIN_ID=str(domain), ROS_PYTHON_CHECK_FIELDS='1')
        arguments = [part for pair in parameters for part in ('-p', pair)]
        self.process = subprocess.Popen(
            [sys.executable, '-c', program, '--ros-args', '--log-level', 'debug', *arguments],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=domain)
        self.node = rclpy.create_node('peer', context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.states, self.audit, self.reports = [], [], []
        self.node.create_subscription(PkiState, '/pki/state', self.states.append, STATE)
        self.node.create_subscription(PkiAudit, '/pki/audit', self.audit.append, EVENT)
        self.node.create_subscription(DiagnosticArray, '/diagnostics', self.reports.append, EVENT)

    def wait(self, condition, seconds=20):
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, 'did not happen in time'
            self.executor.spin_once(timeout_sec=0.05)

    def call(self, service, name, **fields):
        client = self.node.create_client(service, name)
        self.wait(client.service_is_ready)
        future = client.call_async(service.Request(**fields))
        self.wait(future.done)
        self.node.destroy_client(client)
        return future.result()

    def transition(self, number):
        return self.call(ChangeState, '/pki/change_state',
                         transition=Transition(id=number)).success

    def level(self, part):
        for report in reversed(self.reports):
            for status in report.status:
                if status.name == f'pki: {part}':
                    return status.level
        return None

    def end(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        output, _ = self.process.communicate(timeout=15)
        return self.process.returncode, output

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()
        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)


@pytest.fixture
def start(tmp_path):
    with domain_id() as domain:
        harnesses = []

        def make(*parameters, program=PROGRAM):
            harness = Harness(domain, [f'store:={tmp_path / "store"}',
                                       'require_synchronised_clock:=false', *parameters], program)
            harnesses.append(harness)
            return harness

        yield make
        for harness in harnesses:
            harness.close()


def activate(pki):
    assert pki.transition(Transition.TRANSITION_CONFIGURE)
    assert pki.transition(Transition.TRANSITION_ACTIVATE)
    pki.wait(lambda: pki.states)


@pytest.mark.parametrize(('year', 'seconds'), [
    (1, -2**31), (1970, 0), (9999, 2**31 - 1)])
def test_any_time_of_a_certificate_fits_into_a_message(year, seconds):
    assert _time(datetime(year, 1, 1, tzinfo=UTC)).sec == seconds


def make_token(tmp_path, *roles):
    _, token = TokenFile(tmp_path / 'store').create(
        'technician', frozenset(roles), timedelta(hours=1), datetime.now(UTC))
    return token


def test_a_station_is_provisioned_over_the_graph(start, tmp_path):
    pki = start()
    refused = pki.call(List, '/pki/list')
    assert refused.result == List.Response.UNKNOWN
    activate(pki)
    assert not pki.states[-1].secc_ready_tls_1_2
    assert 'no usable SECC chain' in pki.states[-1].message
    pki.wait(lambda: pki.level('store') == DiagnosticStatus.ERROR)

    token = make_token(tmp_path, TokenRole.PROVISION, TokenRole.READ)
    root = LAB.issued['v2g_root'].certificate
    answer = pki.call(Install, '/pki/install', token=token, kind=Credential.KIND_V2G_ROOT,
                      data=root.pem())
    assert (answer.result, answer.id) == (Install.Response.OK, root.fingerprint)

    request = pki.call(CreateCsr, '/pki/create_csr', token=token,
                       profile=CreateCsr.Request.PROFILE_ISO_15118_2, common_name='DECC2S0001',
                       organization='Operator', country='DE')
    assert request.result == CreateCsr.Response.OK
    csr = x509.load_der_x509_csr(bytes(request.csr))
    issuer = LAB.issued['cpo_sub2']
    leaf = certify(LAB.plans['secc'], csr.public_key(), issuer.certificate, issuer.key, NOW)
    chain = pem((leaf, *issuer.chain))
    answer = pki.call(Install, '/pki/install', token=token, kind=Credential.KIND_SECC_CHAIN,
                      data=chain)
    assert answer.result == Install.Response.OK
    pki.wait(lambda: pki.states[-1].secc_ready_tls_1_2)
    assert pki.states[-1].generation == answer.generation
    assert pki.states[-1].v2g_roots == 1
    assert pki.states[-1].earliest_expiry.sec == int(leaf.not_after.timestamp())
    pki.wait(lambda: pki.level('store') == DiagnosticStatus.OK)

    listed = pki.call(List, '/pki/list', token=token)
    assert listed.result == List.Response.OK
    assert [(c.kind, c.id) for c in listed.credentials] == [
        (Credential.KIND_V2G_ROOT, root.fingerprint),
        (Credential.KIND_SECC_CHAIN, leaf.fingerprint)]
    assert listed.credentials[1].has_key
    assert listed.credentials[1].root_id == root.fingerprint

    good = pki.call(VerifyChain, '/pki/verify_chain', root=VerifyChain.Request.ROOT_V2G,
                    use=VerifyChain.Request.USE_SECC, data=chain)
    assert (good.result, good.root_id) == (VerifyChain.Response.OK, root.fingerprint)
    bad = pki.call(VerifyChain, '/pki/verify_chain', root=VerifyChain.Request.ROOT_MO,
                   use=VerifyChain.Request.USE_CONTRACT, data=chain)
    assert bad.result == VerifyChain.Response.CHAIN_INVALID
    assert bad.message

    deleted = pki.call(Delete, '/pki/delete', token=token, id=leaf.fingerprint)
    assert deleted.result == Delete.Response.OK
    pki.wait(lambda: not pki.states[-1].secc_ready_tls_1_2)

    pki.wait(lambda: len(pki.audit) >= 7)
    assert [(a.operation, a.principal, a.allowed, a.result) for a in pki.audit] == [
        ('install', 'technician', True, 0), ('create_csr', 'technician', True, 0),
        ('install', 'technician', True, 0), ('list', 'technician', True, 0),
        ('verify_chain', '', True, 0), ('verify_chain', '', True, 5),
        ('delete', 'technician', True, 0)]
    kept = [entry.operation for entry in AuditFile(tmp_path / 'store').records()]
    assert kept == ['install', 'create_csr', 'install', 'list', 'delete']

    code, output = pki.end()
    assert code == 0
    assert token not in output
    assert token.split('_', 2)[2] not in output
    assert 'PRIVATE' not in output
    for message in (*pki.audit, *pki.states):
        assert token.split('_', 2)[2] not in str(message)


def test_wrong_requests_are_answered_and_harm_nothing(start, tmp_path):
    pki = start()
    activate(pki)
    token = make_token(tmp_path, TokenRole.PROVISION)
    key = LAB.issued['secc'].key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    root = LAB.issued['v2g_root'].certificate.der
    expected = Install.Response
    for kind, data, result in (
            (Credential.KIND_V2G_ROOT, b'\xff' + bytes(63), expected.MALFORMED),
            (Credential.KIND_V2G_ROOT, b'', expected.MALFORMED),
            (Credential.KIND_V2G_ROOT, LAB.issued['secc'].certificate.der, expected.CHAIN_INVALID),
            (Credential.KIND_SECC_CHAIN, pem(LAB.issued['secc'].chain), expected.CHAIN_INVALID),
            (Credential.KIND_SECC_CHAIN, pem(LAB.issued['secc'].chain) + key, expected.MALFORMED),
            (Credential.KIND_SECC_CHAIN, key, expected.MALFORMED),
            (Credential.KIND_OCSP_RESPONSE, b'x', expected.MALFORMED),
            (Credential.KIND_CRL, b'x', expected.MALFORMED),
            (Credential.KIND_UNKNOWN, root, expected.MALFORMED),
            (99, root, expected.MALFORMED)):
        answer = pki.call(Install, '/pki/install', token=token, kind=kind, data=data)
        assert answer.result == result
        assert answer.message
    assert pki.call(Delete, '/pki/delete', token=token, id='abc').result == expected.NOT_FOUND
    assert pki.call(VerifyChain, '/pki/verify_chain', root=0,
                    data=root).result == expected.MALFORMED
    assert pki.call(CreateCsr, '/pki/create_csr', token=token, profile=0, common_name='a',
                    organization='b').result == expected.MALFORMED
    assert pki.call(Install, '/pki/install', token=token, kind=Credential.KIND_V2G_ROOT,
                    data=root).result == expected.OK
    assert pki.end()[0] == 0


def test_without_a_token_there_is_no_way_in_and_guessing_locks_the_door(start, tmp_path):
    fill_store(Store(tmp_path / 'store', create=True), [LAB], NOW)
    pki = start('lock_out_failures:=3', 'lock_out_pause:=3600.0')
    activate(pki)
    before = pki.states[-1].generation
    denied = List.Response.DENIED
    assert pki.call(List, '/pki/list').result == denied
    reader = make_token(tmp_path, TokenRole.READ)
    assert pki.call(List, '/pki/list', token=reader).result == List.Response.OK
    secc = LAB.issued['secc'].certificate.fingerprint
    assert pki.call(Delete, '/pki/delete', token=reader, id=secc).result == denied
    for guess in ('', 'x', reader[:-1] + '-'):
        assert pki.call(List, '/pki/list', token=guess).result == denied
    locked = pki.call(List, '/pki/list', token=reader)
    assert locked.result == denied
    assert 'locked' in locked.message
    pki.wait(lambda: pki.level('tokens') == DiagnosticStatus.WARN)
    pki.wait(lambda: len(pki.audit) >= 7)
    assert [a.allowed for a in pki.audit] == [False, True, False, False, False, False, False]
    assert Store(tmp_path / 'store').generation() == before
    code, output = pki.end()
    assert code == 0
    assert reader not in output


def test_changes_from_the_command_line_are_noticed_and_expiry_is_warned_of(start, tmp_path):
    pki = start('expiry_warning:=70')
    activate(pki)
    fill_store(Store(tmp_path / 'store'), [LAB], NOW)
    pki.wait(lambda: pki.states[-1].secc_ready_tls_1_2)
    assert 'expires in 5' in pki.states[-1].message
    assert pki.states[-1].mo_roots == 1
    pki.wait(lambda: pki.level('store') == DiagnosticStatus.WARN)
    (tmp_path / 'store' / 'index.json').write_text('damaged')
    pki.wait(lambda: 'index.json is damaged' in pki.states[-1].message)
    assert not pki.states[-1].secc_ready_tls_1_2
    assert pki.end()[0] == 0


def test_a_store_open_to_others_is_not_configured(start, tmp_path):
    (tmp_path / 'store').mkdir(mode=0o755)
    pki = start()
    assert not pki.transition(Transition.TRANSITION_CONFIGURE)
    code, output = pki.end()
    assert code == 0
    assert 'mode 755; group and others must have no access' in output


def test_a_clock_that_nobody_keeps_blocks_everything_that_needs_it(start, tmp_path):
    root = build(GENERATIONS[0], NOW + timedelta(days=4000)).issued['v2g_root'].certificate
    store = Store(tmp_path / 'store', create=True)
    with store.change() as change:  # proves that the clock is years behind
        from ccs2_pki.store import EntryKind
        change.put(EntryKind.V2G_ROOT, root.fingerprint, [root.der])
    pki = start()
    activate(pki)
    assert not pki.states[-1].time_trusted
    assert 'clock is not set' in pki.states[-1].message
    token = make_token(tmp_path, TokenRole.READ)
    wanted = List.Response.TIME_NOT_TRUSTED
    assert pki.call(List, '/pki/list', token=token).result == wanted
    assert pki.call(VerifyChain, '/pki/verify_chain', root=VerifyChain.Request.ROOT_V2G,
                    data=pem(LAB.issued['secc'].chain)).result == wanted
    assert pki.end()[0] == 0


def test_a_token_that_hangs_is_told_and_holds_up_nobody(start, tmp_path):
    store = Store(tmp_path / 'store', create=True)
    fill_store(store, (LAB,), NOW)
    pki = start(program=WITH_HUNG_TOKEN)
    activate(pki)
    pki.wait(lambda: 'token with the private keys does not answer' in pki.states[-1].message)
    assert not pki.states[-1].secc_ready_tls_1_2
    assert pki.states[-1].generation == store.generation()
    secc = LAB.issued['secc']
    answer = pki.call(VerifyChain, '/pki/verify_chain', root=VerifyChain.Request.ROOT_V2G,
                      use=VerifyChain.Request.USE_SECC, data=pem(secc.chain))
    assert answer.result == VerifyChain.Response.OK
    assert pki.end()[0] == 0
