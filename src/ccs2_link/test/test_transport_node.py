"""The node `v2g_transport` and a fake `hlc`, each in a process of its own."""

import contextlib
import os
import pathlib
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import time
from datetime import UTC, datetime

import pytest

rclpy = pytest.importorskip('rclpy', reason='ROS 2 is not set up')

from ament_index_python.packages import PackageNotFoundError, get_package_prefix  # noqa: E402

try:
    get_package_prefix('ccs2_interfaces')
except (PackageNotFoundError, OSError):
    pytest.skip('workspace is not built', allow_module_level=True)

from builtin_interfaces.msg import Time  # noqa: E402
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus  # noqa: E402
from domain_coordinator import domain_id  # noqa: E402
from lifecycle_msgs.msg import Transition  # noqa: E402
from lifecycle_msgs.srv import ChangeState  # noqa: E402
from rclpy.executors import SingleThreadedExecutor  # noqa: E402

from ccs2_interfaces.msg import Fault, Link, PkiState, V2GConnection  # noqa: E402
from ccs2_link.transport.interface import link_address  # noqa: E402
from ccs2_link.transport.v2gtp import HEADER, encode  # noqa: E402
from ccs2_node import EVENT, STATE  # noqa: E402

pytestmark = pytest.mark.skipif(link_address('lo') is None, reason='no IPv6 on loopback')

HERE = pathlib.Path(__file__).parent


class Graph:
    """Processes on a domain of their own, and the node that stands for everything else."""

    def __init__(self, domain, parameters):
        self.environment = dict(os.environ, ROS_DOMAIN_ID=str(domain),
                                ROS_PYTHON_CHECK_FIELDS='1')
        with contextlib.closing(socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)) as probe:
            probe.bind(('::1', 0))
            self.sdp_port = probe.getsockname()[1]
        self.processes = []
        parameters = {'sdp_port': self.sdp_port, 'security': 'none', 'link_timeout': 2.0,
                      **parameters}
        arguments = [part for name, value in parameters.items()
                     for part in ('-p', f'{name}:={value}')]
        self.transport = self.start(
            '-m', 'ccs2_link.v2g_transport_node', '--ros-args', *arguments)
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=domain)
        self.node = rclpy.create_node('rest', context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.connection, self.seen, self.reports = None, [], []
        self.node.create_subscription(V2GConnection, 'v2g/connection', self.take, STATE)
        self.node.create_subscription(DiagnosticArray, '/diagnostics', self.reports.append, EVENT)
        self.link = self.node.create_publisher(Link, 'link', STATE)
        self.link_state = None
        self.node.create_timer(0.1, self.repeat)
        self.pki = self.node.create_publisher(PkiState, 'pki/state', STATE)

    def start(self, *arguments):
        self.processes.append(subprocess.Popen(
            [sys.executable, *arguments], env=self.environment, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True))
        return self.processes[-1]

    def take(self, message):
        self.connection = message
        self.seen.append((message.state, message.close_reason))

    def wait(self, condition, seconds=20):
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f'did not happen in time, saw {self.seen}'
            self.executor.spin_once(timeout_sec=0.05)

    def reach(self, state):
        self.wait(lambda: self.connection is not None and self.connection.state == state)

    def transition(self, number):
        client = self.node.create_client(ChangeState, '/v2g_transport/change_state')
        self.wait(client.service_is_ready)
        future = client.call_async(ChangeState.Request(transition=Transition(id=number)))
        self.wait(future.done)
        return future.result().success

    def session_is_there(self):
        # What the transport itself says: others may know of a session before it does.
        return any(value.key == 'session' and value.value == 'there'
                   for report in self.reports for status in report.status
                   for value in status.values)

    def matched(self, run):
        self.tell(Link(state=Link.STATE_MATCHED, interface='lo', since=Time(sec=run)))

    def tell(self, link_state):
        self.link_state = link_state
        self.repeat()

    def repeat(self):
        if self.link_state is not None:
            self.link.publish(self.link_state)

    def end(self, process, number=signal.SIGINT):
        if process.poll() is None:
            process.send_signal(number)
        output, _ = process.communicate(timeout=15)
        return process.returncode, output

    def close(self):
        for process in self.processes:
            if process.poll() is None:
                process.kill()
                process.communicate()
        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)


@pytest.fixture
def start():
    with domain_id() as domain:
        graphs = []

        def make(**parameters):
            graphs.append(Graph(domain, parameters))
            return graphs[-1]

        yield make
        for graph in graphs:
            graph.close()


def discover(graph, security=0x10, patience=5.0):
    """Return the port and the security that the station answers with.

    As a vehicle does, ask again every 0.25 s: a listener may just be about to open.
    """
    request = bytes.fromhex('01fe900000000002') + bytes([security, 0])
    deadline = time.monotonic() + patience
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as car:
        while (left := deadline - time.monotonic()) > 0:
            car.sendto(request, ('::1', graph.sdp_port))
            car.settimeout(min(0.25, left))
            with contextlib.suppress(TimeoutError):
                return struct.unpack('!HB', car.recv(100)[24:27])
    raise TimeoutError('no answer to SDP')


def exchange(car, data):
    car.sendall(encode(0x8001, data))
    header = car.recv(HEADER.size, socket.MSG_WAITALL)
    return car.recv(HEADER.unpack(header)[3], socket.MSG_WAITALL)


def test_two_sessions_through_the_graph(start):
    graph = start()
    graph.start(str(HERE / 'transport_fake_hlc.py'))
    assert graph.transition(Transition.TRANSITION_CONFIGURE)
    assert graph.transition(Transition.TRANSITION_ACTIVATE)
    graph.reach(V2GConnection.STATE_DOWN)
    graph.wait(graph.session_is_there)
    for run in (1, 2):
        graph.matched(run)
        graph.reach(V2GConnection.STATE_LISTENING)
        with socket.create_connection(('::1', discover(graph)[0]), timeout=10) as car:
            assert exchange(car, b'desserts') == b'stressed'
            assert exchange(car, bytes(range(256)) * 200) == bytes(range(256))[::-1] * 200
            graph.reach(V2GConnection.STATE_OPEN)
            assert graph.connection.connection_id == run
            assert graph.connection.peer_address == '::1'
            assert graph.connection.peer_port == car.getsockname()[1]
            assert exchange(car, b'stop') == b'pots'
            assert car.recv(1) == b''
        graph.reach(V2GConnection.STATE_CLOSED)
        assert graph.connection.close_reason == V2GConnection.CLOSE_BY_STATION
        assert graph.connection.data_link == V2GConnection.DATA_LINK_TERMINATE
        graph.tell(Link(state=Link.STATE_UNMATCHED))
        graph.reach(V2GConnection.STATE_DOWN)
    graph.wait(lambda: graph.reports)
    status = graph.reports[-1].status[0]
    assert status.name == 'v2g_transport: connection'
    code, output = graph.end(graph.transport)
    assert code == 0, output
    assert output.count('vehicle is connected: connection 2, ::1, NONE') == 1
    assert output.count('connection 2, BY_STATION, closed by the session; data link: TERM') == 1
    assert 'desserts' not in output


def test_each_link_without_a_session_is_reported_as_an_error_once(start):
    graph = start(setup_time=1.0)
    assert graph.transition(Transition.TRANSITION_CONFIGURE)
    assert graph.transition(Transition.TRANSITION_ACTIVATE)
    since = []
    for run in (1, 2):
        graph.matched(run)
        graph.reach(V2GConnection.STATE_LISTENING)
        graph.reach(V2GConnection.STATE_CLOSED)
        assert graph.connection.connection_id == 0
        assert graph.connection.close_reason == V2GConnection.CLOSE_TIMEOUT
        assert graph.connection.data_link == V2GConnection.DATA_LINK_ERROR
        since.append(graph.connection.link_since)
    assert since[0] != since[1]
    assert any(status.message == 'no node hlc hears requests'
               for report in graph.reports for status in report.status)


def test_a_session_that_answers_nonsense_ends_the_connection(start):
    graph = start()
    graph.start(str(HERE / 'transport_fake_hlc.py'))
    assert graph.transition(Transition.TRANSITION_CONFIGURE)
    assert graph.transition(Transition.TRANSITION_ACTIVATE)
    graph.wait(graph.session_is_there)
    graph.matched(1)
    graph.reach(V2GConnection.STATE_LISTENING)
    with socket.create_connection(('::1', discover(graph)[0]), timeout=10) as car:
        assert exchange(car, b'ok') == b'ko'
        car.sendall(encode(0x8001, b'nonsense'))
        assert car.recv(1) == b''
    graph.reach(V2GConnection.STATE_CLOSED)
    assert graph.connection.close_reason == V2GConnection.CLOSE_BY_STATION
    code, output = graph.end(graph.transport)
    assert code == 0
    assert 'v2g/response makes no sense: receive_timeout is -1.0 s' in output


def test_a_link_that_is_silent_is_lost_and_comes_back_with_its_first_word(start):
    graph = start(link_timeout=0.5)
    assert graph.transition(Transition.TRANSITION_CONFIGURE)
    assert graph.transition(Transition.TRANSITION_ACTIVATE)
    graph.matched(1)
    graph.reach(V2GConnection.STATE_LISTENING)
    with socket.create_connection(('::1', discover(graph)[0]), timeout=10) as car:
        car.sendall(encode(0x8001, b'hello'))
        graph.reach(V2GConnection.STATE_OPEN)
        graph.link_state = None
        graph.reach(V2GConnection.STATE_DOWN)
        assert graph.connection.close_reason == V2GConnection.CLOSE_LINK_LOST
        assert car.recv(1) == b''
    graph.matched(1)
    graph.reach(V2GConnection.STATE_LISTENING)
    code, output = graph.end(graph.transport)
    assert code == 0
    assert output.count('link is silent') == 1


def test_deactivation_closes_the_connection_and_the_sockets(start):
    graph = start()
    assert graph.transition(Transition.TRANSITION_CONFIGURE)
    assert graph.transition(Transition.TRANSITION_ACTIVATE)
    graph.matched(1)
    graph.reach(V2GConnection.STATE_LISTENING)
    port, _ = discover(graph)
    with socket.create_connection(('::1', port), timeout=10) as car:
        car.sendall(encode(0x8001, b'hello'))
        graph.reach(V2GConnection.STATE_OPEN)
        assert graph.transition(Transition.TRANSITION_DEACTIVATE)
        assert car.recv(1) == b''
    graph.wait(lambda: (V2GConnection.STATE_DOWN, V2GConnection.CLOSE_SHUTDOWN) in graph.seen)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(('::1', port), timeout=10)
    assert graph.end(graph.transport)[0] == 0


def test_an_unknown_security_policy_is_refused(start):
    graph = start(security='maybe')
    assert not graph.transition(Transition.TRANSITION_CONFIGURE)
    code, output = graph.end(graph.transport)
    assert code == 0
    assert "security is 'maybe', must be one of none, car, tls" in output


def make_store(path, *generations):
    from ccs2_pki.lab.directory import fill_store
    from ccs2_pki.lab.hierarchy import GENERATIONS, build
    from ccs2_pki.store import Store

    now = datetime.now(UTC)
    hierarchies = [build(each, now) for each in GENERATIONS if each.name in generations]
    store = Store(path, create=True)
    fill_store(store, hierarchies, now)
    return store.generation(), hierarchies


def test_certificates_that_come_later_serve_the_next_connection(start, tmp_path):
    graph = start(security='tls', store=tmp_path / 'store')
    graph.start(str(HERE / 'transport_fake_hlc.py'))
    assert graph.transition(Transition.TRANSITION_CONFIGURE)
    assert graph.transition(Transition.TRANSITION_ACTIVATE)
    graph.wait(graph.session_is_there)
    graph.matched(1)
    graph.reach(V2GConnection.STATE_LISTENING)
    (fault,) = graph.connection.faults
    assert (fault.code, fault.severity, fault.present) == (
        Fault.TLS_UNAVAILABLE, Fault.SEVERITY_ERROR, True)
    assert 'there is no directory' in fault.message
    for security in (0x00, 0x10):
        with pytest.raises(TimeoutError):
            discover(graph, security, patience=0.2)
    graph.wait(lambda: any(
        status.name == 'v2g_transport: tls' and status.level == DiagnosticStatus.ERROR
        for report in graph.reports for status in report.status))

    generation, (iso2,) = make_store(tmp_path / 'store', 'iso2')
    graph.pki.publish(PkiState(generation=generation, time_trusted=True))
    graph.wait(lambda: not graph.connection.faults)
    port, security = discover(graph, 0x00)
    assert security == 0x00
    root = tmp_path / 'root.pem'
    root.write_bytes(iso2.issued['v2g_root'].certificate.pem())
    context = ssl.create_default_context(cafile=root)
    context.check_hostname = False
    with context.wrap_socket(socket.create_connection(('::1', port), timeout=10)) as car:
        assert car.cipher()[0] == 'ECDHE-ECDSA-AES128-SHA256'
        car.sendall(encode(0x8001, b'desserts'))
        assert car.recv(100)[HEADER.size:] == b'stressed'
        graph.reach(V2GConnection.STATE_OPEN)
        assert graph.connection.security == V2GConnection.SECURITY_TLS_1_2
        assert graph.connection.cipher_suite == 'ECDHE-ECDSA-AES128-SHA256'
        car.unwrap()
    graph.reach(V2GConnection.STATE_CLOSED)
    assert graph.connection.close_reason == V2GConnection.CLOSE_BY_VEHICLE
    if shutil.which('openssl'):
        assert is_stapled(port, root)


def is_stapled(port, root):
    """Tell whether the station's chain goes back to a root, and comes with an OCSP response."""
    said = subprocess.run(
        ['openssl', 's_client', '-connect', f'[::1]:{port}', '-status', '-CAfile', root],
        input=b'', capture_output=True, timeout=20, check=True).stdout.decode()
    assert 'Verify return code: 0 (ok)' in said
    return 'OCSP Response Status: successful (0x0)' in said


@pytest.mark.skipif(shutil.which('openssl') is None, reason='no openssl command')
@pytest.mark.parametrize('configured', [False, True])
def test_what_the_store_has_said_before_serves_the_first_vehicle(start, tmp_path, configured):
    generation, (iso2,) = make_store(tmp_path / 'store', 'iso2')
    root = tmp_path / 'root.pem'
    root.write_bytes(iso2.issued['v2g_root'].certificate.pem())
    graph = start(security='tls', store=tmp_path / 'store')
    if configured:
        assert graph.transition(Transition.TRANSITION_CONFIGURE)
    graph.wait(graph.pki.get_subscription_count)
    # It is said once.
    graph.pki.publish(PkiState(generation=generation, time_trusted=True))
    time.sleep(0.5)
    if not configured:
        assert graph.transition(Transition.TRANSITION_CONFIGURE)
    assert graph.transition(Transition.TRANSITION_ACTIVATE)
    graph.matched(1)
    graph.reach(V2GConnection.STATE_LISTENING)
    port, _ = discover(graph, 0x00)
    assert is_stapled(port, root)
    code, output = graph.end(graph.transport)
    assert code == 0
    assert 'PRIVATE' not in output


def make_token_store(path, config):
    """Fill a store as an operator would whose keys are in a token; return the hierarchies."""
    from ccs2_pki.lab.hierarchy import GENERATIONS, ROOTS, build
    from ccs2_pki.lab.software_token import enroll
    from ccs2_pki.pkcs11_keys import Pkcs11Keys
    from ccs2_pki.profiles import RootKind
    from ccs2_pki.provisioning import Provisioning
    from ccs2_pki.store import EntryKind, Store

    now = datetime.now(UTC)
    provisioning = Provisioning(Store(path, create=True, providers=[Pkcs11Keys(config)]))
    hierarchies = [build(each, now) for each in GENERATIONS if each.name in ('iso2', 'iso20')]
    for lab in hierarchies:
        for kind in (RootKind.V2G, RootKind.OEM):
            for name in ROOTS[kind]:
                provisioning.install(
                    EntryKind(kind.value), lab.issued[name].certificate.der, now)
        enroll(provisioning, lab)
    return provisioning.store.generation(), hierarchies


def client(tmp_path, lab, vehicle=None):
    """Return the TLS context of a car: TLS 1.2, or TLS 1.3 with a vehicle certificate."""
    root = tmp_path / f'{lab.generation.name}.pem'
    root.write_bytes(lab.issued['v2g_root'].certificate.pem())
    context = ssl.create_default_context(cafile=root)
    context.check_hostname = False
    context.minimum_version = context.maximum_version = (
        ssl.TLSVersion.TLSv1_2 if vehicle is None else ssl.TLSVersion.TLSv1_3)
    if vehicle is not None:
        from cryptography.hazmat.primitives.serialization import (
            Encoding,
            NoEncryption,
            PrivateFormat,
        )
        file = tmp_path / 'vehicle.pem'
        file.write_bytes(b''.join(each.pem() for each in vehicle.chain) + vehicle.key.private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        context.load_cert_chain(file)
    return context


def test_keys_in_a_token_serve_and_the_token_may_go_and_come_back(start, tmp_path):
    from ccs2_pki.lab.software_token import softhsm_module, software_token
    pytest.importorskip('pkcs11', reason='python-pkcs11 is not installed')
    if softhsm_module() is None:
        pytest.skip('SoftHSM (Debian package softhsm2) is not installed')
    folder = tmp_path / 'softhsm'
    folder.mkdir()
    with software_token(folder, 'station', '246813') as config:
        generation, (iso2, iso20) = make_token_store(tmp_path / 'store', config)
        graph = start(
            security='tls', store=tmp_path / 'store', pkcs11_module=config.module,
            pkcs11_token=config.token_label, pkcs11_pin_file=config.pin_file)
    graph.start(str(HERE / 'transport_fake_hlc.py'))
    assert graph.transition(Transition.TRANSITION_CONFIGURE)
    assert graph.transition(Transition.TRANSITION_ACTIVATE)
    graph.wait(graph.session_is_there)
    graph.pki.publish(PkiState(generation=generation, time_trusted=True))
    for run, context, security in (
        (1, client(tmp_path, iso2), V2GConnection.SECURITY_TLS_1_2),
        (2, client(tmp_path, iso20, iso20.issued['vehicle']),
         V2GConnection.SECURITY_TLS_1_3_MUTUAL),
    ):
        graph.matched(run)
        graph.reach(V2GConnection.STATE_LISTENING)
        assert graph.connection.faults == []
        port, _ = discover(graph, 0x00)
        with context.wrap_socket(socket.create_connection(('::1', port), timeout=10)) as car:
            car.sendall(encode(0x8001, b'desserts'))
            assert car.recv(100)[HEADER.size:] == b'stressed'
            graph.reach(V2GConnection.STATE_OPEN)
            assert graph.connection.security == security
        graph.reach(V2GConnection.STATE_CLOSED)

    (folder / 'tokens').rename(folder / 'pulled out')
    graph.matched(3)
    graph.reach(V2GConnection.STATE_LISTENING)
    port, _ = discover(graph, 0x00)
    with pytest.raises(ssl.SSLError, match='internal error'):
        client(tmp_path, iso2).wrap_socket(socket.create_connection(('::1', port), timeout=10))
    # The first handshake that fails is the news for its chain, a look at the token for the other.
    graph.wait(lambda: graph.connection.faults)
    (fault,) = graph.connection.faults
    assert fault.code == Fault.TLS_UNAVAILABLE
    assert "token 'station'" in fault.message
    with pytest.raises(TimeoutError):
        discover(graph, 0x00, patience=0.2)

    (folder / 'pulled out').rename(folder / 'tokens')
    graph.wait(lambda: not graph.connection.faults)
    graph.matched(4)
    graph.reach(V2GConnection.STATE_LISTENING)
    port, _ = discover(graph, 0x00)
    with client(tmp_path, iso2).wrap_socket(
            socket.create_connection(('::1', port), timeout=10)) as car:
        assert car.version() == 'TLSv1.2'
    code, output = graph.end(graph.transport)
    assert code == 0, output
    assert '246813' not in output
    assert "key does not sign: token 'station'" in output


def test_a_token_needs_a_label_and_a_pin_file(start, tmp_path):
    graph = start(pkcs11_module=tmp_path / 'none.so')
    assert not graph.transition(Transition.TRANSITION_CONFIGURE)
    _, output = graph.end(graph.transport)
    assert 'a PKCS#11 module needs the label of its token and a PIN file' in output


def test_a_key_log_is_private_and_warned_about(start, tmp_path):
    log = tmp_path / 'keys.log'
    make_store(tmp_path / 'store', 'iso2')
    graph = start(security='car', store=tmp_path / 'store', key_log_file=log)
    assert graph.transition(Transition.TRANSITION_CONFIGURE)
    assert graph.transition(Transition.TRANSITION_ACTIVATE)
    graph.matched(1)
    graph.reach(V2GConnection.STATE_LISTENING)
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    port, _ = discover(graph, 0x00)
    with context.wrap_socket(socket.create_connection(('::1', port), timeout=10)) as car:
        car.sendall(encode(0x8001, b'hello'))
        graph.reach(V2GConnection.STATE_OPEN)
    assert log.read_text().startswith('CLIENT_RANDOM ')
    assert log.stat().st_mode & 0o777 == 0o600
    _, output = graph.end(graph.transport)
    assert 'KEYS OF ALL TLS CONNECTIONS ARE WRITTEN' in output
    assert log.read_text().split()[-1] not in output
