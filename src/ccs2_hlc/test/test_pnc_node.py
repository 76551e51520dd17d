"""The node `hlc` with a certificate store and a back office: Plug & Charge across processes."""

import datetime
import os

import pytest

rclpy = pytest.importorskip('rclpy', reason='ROS 2 is not set up')

import test_hlc_node as base  # noqa: E402
from domain_coordinator import domain_id  # noqa: E402
from iso2_bench import OFFER, authorization, discovery, installation, selection, setup  # noqa: E402
from lifecycle_msgs.msg import Transition  # noqa: E402
from pnc_lab import CONTRACT, delivery, lab, payment_details, signature  # noqa: E402

from ccs2_hlc import exi  # noqa: E402
from ccs2_hlc.exi.messages import iso2, sap  # noqa: E402
from ccs2_hlc.session.tariff_document import sign_document  # noqa: E402
from ccs2_interfaces.msg import ChargingSession, Fault, PkiState, V2GConnection  # noqa: E402
from ccs2_interfaces.srv import ContractCertificate  # noqa: E402
from ccs2_node import STATE  # noqa: E402
from ccs2_pki.lab.directory import fill_store  # noqa: E402
from ccs2_pki.lab.hierarchy import GENERATIONS, build  # noqa: E402
from ccs2_pki.store import Store  # noqa: E402

R = iso2.ResponseCode


class Graph(base.Graph):
    """The same with the store's keeper, a back office, TLS, and a vehicle by ISO 15118-2."""

    def __init__(self, domain, parameters):
        super().__init__(domain, parameters)
        self.pki = self.node.create_publisher(PkiState, 'pki/state', STATE)
        self.asked = []
        self.replies = []

    def keeper_says(self, generation, time_trusted=True):
        self.pki.publish(PkiState(generation=generation, time_trusted=time_trusted))

    def serve(self):
        def answer(request, response):
            self.asked.append(request)
            response.success = True
            response.response = exi.encode(self.replies.pop())
            return response
        self.node.create_service(ContractCertificate, 'contract_certificate', answer)

    def open_tls(self):
        self.connection = V2GConnection(
            state=V2GConnection.STATE_OPEN, connection_id=self.connection.connection_id + 1,
            link_since=base.Time(sec=1), security=V2GConnection.SECURITY_TLS_1_2)
        self.sequence = 0
        self.renew()
        namespace, major, minor, schema_id, priority = OFFER
        self.send(exi.encode(sap.SupportedAppProtocolReq(app_protocol=[sap.AppProtocol(
            protocol_namespace=namespace, version_number_major=major,
            version_number_minor=minor, schema_id=schema_id, priority=priority)])))

    def ask(self, body, signed=None):
        message = iso2.V2GMessage(
            header=iso2.MessageHeader(session_id=self.session_id, signature=signed), body=body)
        answer = exi.decode('iso2', bytes(self.send(exi.encode(message)).data))
        self.session_id = answer.header.session_id
        return answer.body


@pytest.fixture
def start():
    graphs = []
    with domain_id() as domain:

        def make(*parameters):
            graphs.append(Graph(domain, parameters))
            return graphs[-1]

        yield make
        for graph in graphs:
            graph.close()


@pytest.fixture
def store(tmp_path):
    """Return the folder of a store that trusts a hierarchy of today, and that hierarchy."""
    now = datetime.datetime.now(datetime.UTC)
    hierarchy = build(GENERATIONS[0], now)
    fill_store(Store(tmp_path / 'pki', create=True), [hierarchy], now)
    return tmp_path / 'pki', hierarchy


def test_a_contract_from_the_certificate_store_to_the_session_topic(start, store):
    folder, hierarchy = store
    graph = start('contract_payment:=local', f'store:={folder}', 'certificate_service:=true')
    graph.keeper_says(Store(folder).generation())
    graph.serve()
    graph.activate()
    graph.wait(lambda: any(
        status.name == 'hlc: contracts' and status.message == 'can be checked'
        for report in graph.reports for status in report.status))

    def begin():
        graph.session_id = bytes(8)
        graph.open_tls()
        graph.ask(setup())
        assert CONTRACT in graph.ask(discovery()).payment_option_list.payment_option
        graph.ask(selection(CONTRACT, services=((1, None), (2, 1))))

    # Certificates that are none end their session, not the node.
    right = [c.der for c in hierarchy.issued['contract'].chain]
    for ders in ([b'\xff' + os.urandom(63)], [b''], [right[0][:-1]], [right[0], os.urandom(800)],
                 [b'\x30\x84\xff\xff\xff\xff']):
        begin()
        assert graph.ask(payment_details(ders)).response_code is R.FAILED_CERT_CHAIN_ERROR
        graph.connection.state = V2GConnection.STATE_CLOSED
        graph.renew()
    assert graph.hlc.poll() is None

    begin()
    message = delivery()
    graph.replies.append(message)
    assert graph.ask(installation()) == message.body
    (asked,) = graph.asked
    assert (asked.action, asked.schema_namespace) == (
        ContractCertificate.Request.ACTION_INSTALL, OFFER[0])
    assert isinstance(exi.decode('iso2', bytes(asked.request)).body, type(installation()))

    contract = hierarchy.issued['contract']
    answer = graph.ask(payment_details(right))
    assert answer.response_code is R.OK
    request = authorization(answer.gen_challenge)
    answer = graph.ask(request, signature('AuthorizationReq', request, contract.key))
    assert answer.evse_processing is iso2.EVSEProcessing.FINISHED
    graph.wait(lambda: graph.session.authorized)
    assert graph.session.authorization == ChargingSession.AUTHORIZATION_CONTRACT
    assert graph.session.contract_id == contract.certificate.common_name


def test_without_a_trusted_clock_or_a_back_office_nothing_is_accepted(start, store):
    folder, hierarchy = store
    graph = start('contract_payment:=local', f'store:={folder}', 'certificate_service:=true')
    generation = Store(folder).generation()
    graph.activate()

    def contracts():
        return next((
            status.message for report in reversed(graph.reports) for status in report.status
            if status.name == 'hlc: contracts'), '')

    def begin():
        graph.session_id = bytes(8)
        graph.open_tls()
        graph.ask(setup())
        return graph.ask(discovery()).payment_option_list.payment_option

    def end():
        graph.connection.state = V2GConnection.STATE_CLOSED
        graph.renew()

    graph.keeper_says(generation, time_trusted=False)
    graph.wait(lambda: 'clock is not set' in contracts())
    assert CONTRACT not in begin()
    end()
    graph.keeper_says(generation)
    graph.wait(lambda: contracts() == 'can be checked')
    # The clock is lost in the middle of a session.
    assert CONTRACT in begin()
    graph.ask(selection(CONTRACT))
    graph.keeper_says(generation, time_trusted=False)
    graph.wait(lambda: 'clock is not set' in contracts())
    chain = [c.der for c in hierarchy.issued['contract'].chain]
    assert graph.ask(payment_details(chain)).response_code is R.FAILED
    graph.wait(lambda: [fault.code for fault in graph.session.faults] == [Fault.CLOCK])
    end()
    graph.keeper_says(generation)
    graph.wait(lambda: contracts() == 'can be checked')
    begin()
    graph.ask(selection(CONTRACT, services=((1, None), (2, 1))))
    assert graph.ask(installation()).response_code is R.FAILED_NO_CERTIFICATE_AVAILABLE


def changed_tariff():
    """Return a tariff file that was changed after it was signed."""
    signer = lab().issued['mo_sub2']
    return sign_document(
        'steps: [{start: 0, level: 1}, {start: 9, level: 2}]', None, 86400, signer.key,
        signer.certificate).replace('start: 9', 'start: 8')


@pytest.mark.parametrize(('parameter', 'text', 'complaint'), [
    ('schedule_file', 'schedules: [{number: 1, steps: [{start: 1, power: 5}]}]',
     'do not rise from 0'),
    ('service_file', 'services: [', "service_file '"),
    ('tariff_file', changed_tariff(), 'the tariff of schedule 1 was changed after it was signed'),
], ids=['schedules', 'services', 'tariffs'])
def test_a_file_that_makes_no_sense_is_refused(start, tmp_path, parameter, text, complaint):
    path = tmp_path / 'file.yaml'
    path.write_text(text, encoding='utf-8')
    graph = start(f'{parameter}:={path}')
    assert not graph.transition(Transition.TRANSITION_CONFIGURE)
    code, output = graph.end()
    assert code == 0
    assert complaint in output


def test_files_of_schedules_and_services_are_offered(start, tmp_path):
    schedules, services = tmp_path / 'schedules.yaml', tmp_path / 'services.yaml'
    schedules.write_text(
        'schedules:\n- number: 5\n  steps:\n  - {start: 0, power: 11000}\n', encoding='utf-8')
    services.write_text(
        'services:\n- {number: 3, name: Net, category: Internet, free: true}\n',
        encoding='utf-8')
    graph = start(
        f'schedule_file:={schedules}', f'service_file:={services}', 'authorization:=automatic')
    graph.activate()
    graph.open_tls()
    graph.ask(setup())
    (service,) = graph.ask(discovery()).service_list.service
    assert (service.service_id, service.service_name) == (3, 'Net')
