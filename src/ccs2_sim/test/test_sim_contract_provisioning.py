"""The back office of the simulation as a process: contracts for a car of the laboratory."""

import os
import subprocess
import sys
import time
from datetime import UTC, datetime

import pytest

rclpy = pytest.importorskip('rclpy', reason='ROS 2 is not set up')

from ament_index_python.packages import PackageNotFoundError, get_package_prefix  # noqa: E402

try:
    get_package_prefix('ccs2_interfaces')
except PackageNotFoundError:
    pytest.skip('workspace is not built', allow_module_level=True)

from domain_coordinator import domain_id  # noqa: E402
from lifecycle_msgs.msg import Transition  # noqa: E402
from lifecycle_msgs.srv import ChangeState  # noqa: E402

from ccs2_hlc import exi  # noqa: E402
from ccs2_hlc.exi.messages import iso2, xmldsig  # noqa: E402
from ccs2_hlc.exi.messages.iso20 import common  # noqa: E402
from ccs2_interfaces.srv import ContractCertificate  # noqa: E402
from ccs2_pki.lab.directory import write_lab  # noqa: E402
from ccs2_sim.evcc import iso20_wallet  # noqa: E402
from ccs2_sim.evcc.wallet import accept_contract, fragment, sign, signed_info  # noqa: E402
from ccs2_sim.lab import GENERATION_20, read_wallet  # noqa: E402

ISO2 = 'urn:iso:15118:2:2013:MsgDef'
ISO20 = 'urn:iso:std:iso:15118:-20:CommonMessages'
Code = common.ResponseCode


class Graph:
    def __init__(self, domain, *parameters):
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=domain)
        self.node = rclpy.create_node('peer', context=self.context)
        self.executor = rclpy.executors.SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        arguments = [part for pair in parameters for part in ('-p', pair)]
        self.process = subprocess.Popen(
            [sys.executable, '-m', 'ccs2_sim.contract_provisioning', '--ros-args', *arguments],
            env=dict(os.environ, ROS_DOMAIN_ID=str(domain), ROS_PYTHON_CHECK_FIELDS='1'),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def call(self, kind, name, **fields):
        client = self.node.create_client(kind, name)
        deadline = time.monotonic() + 20
        while not client.service_is_ready():
            assert time.monotonic() < deadline
            self.executor.spin_once(timeout_sec=0.05)
        future = client.call_async(kind.Request(**fields))
        while not future.done():
            assert time.monotonic() < deadline
            self.executor.spin_once(timeout_sec=0.05)
        self.node.destroy_client(client)
        return future.result()

    def transition(self, number):
        return self.call(
            ChangeState, '/contract_provisioning/change_state',
            transition=Transition(id=number)).success

    def close(self):
        self.process.terminate()
        output = self.process.communicate()[0]
        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)
        return output


def installation(wallet):
    body = iso2.CertificateInstallationReq(
        id='id1', oem_provisioning_cert=wallet.provisioning.chain[0],
        list_of_root_certificate_ids=iso2.ListOfRootCertificateIDs(root_certificate_id=[
            xmldsig.X509IssuerSerial(x509_issuer_name='CN=V2G', x509_serial_number=1)]))
    info = signed_info([fragment('CertificateInstallationReq', body, 'id1')])
    return exi.encode(iso2.V2GMessage(
        header=iso2.MessageHeader(
            session_id=bytes(range(8)), signature=sign(wallet.provisioning.key, info)),
        body=body))


def installation_20(wallet, signer):
    leaf, *below = wallet.provisioning.chain
    return exi.encode(iso20_wallet.signed(common.CertificateInstallationReq(
        header=common.MessageHeader(session_id=bytes(range(8)), time_stamp=0),
        oem_provisioning_certificate_chain=common.SignedCertificateChain(
            id='id1', certificate=leaf,
            sub_certificates=common.SubCertificates(certificate=below)),
        list_of_root_certificate_ids=common.ListOfRootCertificateIDs(root_certificate_id=[
            xmldsig.X509IssuerSerial(
                x509_issuer_name=root.issuer, x509_serial_number=root.serial)
            for root in wallet.roots]),
        maximum_contract_certificate_chains=1), signer))


def test_a_car_of_the_laboratory_gets_a_contract(tmp_path):
    now = datetime.now(UTC)
    write_lab(tmp_path / 'lab', now)
    wallet = read_wallet(tmp_path / 'lab', now)
    with domain_id() as domain:
        graph = Graph(domain, f'pki:={tmp_path / "lab"}')
        try:
            assert graph.transition(Transition.TRANSITION_CONFIGURE)
            assert graph.transition(Transition.TRANSITION_ACTIVATE)
            answer = graph.call(
                ContractCertificate, 'contract_certificate', action=1, schema_namespace=ISO2,
                request=installation(wallet), time_budget=4.5)
            assert answer.success, answer.message
            message = exi.decode('iso2', bytes(answer.response))
            contract = accept_contract(
                message.body, message.header.signature, wallet, wallet.provisioning.key)
            assert contract.name == wallet.contract.name
            for request, namespace, reason in (
                    (b'\x80\x98', ISO2, 'undecodable'),
                    (b'\x80\x98', ISO20, 'undecodable'),
                    (installation(wallet), 'urn:din:70121:2012:MsgDef', 'urn:din')):
                answer = graph.call(
                    ContractCertificate, 'contract_certificate', action=1,
                    schema_namespace=namespace, request=request, time_budget=4.5)
                assert not answer.success
                assert reason in answer.message
            newer = read_wallet(tmp_path / 'lab', now, generation=GENERATION_20)
            for signer, code in (
                    (newer.provisioning, Code.OK), (newer.contract, Code.FAILED_SIGNATURE_ERROR)):
                answer = graph.call(
                    ContractCertificate, 'contract_certificate', action=1, schema_namespace=ISO20,
                    request=installation_20(newer, signer), time_budget=4.5)
                assert answer.success, answer.message
                response = exi.decode('iso20-common', bytes(answer.response))
                assert response.response_code is code
        finally:
            output = graph.close()
        assert 'PRIVATE' not in output


def test_a_directory_without_a_laboratory_is_refused(tmp_path):
    with domain_id() as domain:
        graph = Graph(domain, f'pki:={tmp_path}')
        try:
            assert not graph.transition(Transition.TRANSITION_CONFIGURE)
        finally:
            output = graph.close()
        assert 'pki' in output
