"""The node `hlc` with a vehicle by ISO 15118-20 that gives energy back, across processes."""

import math

import pytest

rclpy = pytest.importorskip('rclpy', reason='ROS 2 is not set up')

import test_hlc_node as base  # noqa: E402
from domain_coordinator import domain_id  # noqa: E402
from iso20_bench import (  # noqa: E402
    COMMON,
    DC,
    FINISHED,
    NO_HEADER,
    OFFER,
    PAUSE,
    STOP,
    Iso20Bench,
    authorization,
    authorization_setup,
    cable_check,
    detail,
    discovery,
    power_delivery,
    pre_charge,
    session_stop,
    setup,
)

from ccs2_hlc import exi  # noqa: E402
from ccs2_hlc.exi.messages import sap  # noqa: E402
from ccs2_hlc.exi.messages.iso20 import common, dc  # noqa: E402
from ccs2_interfaces.msg import (  # noqa: E402
    ChargeCommand,
    ChargingSession,
    V2GConnection,
    V2GRequest,
)
from ccs2_interfaces.srv import Pause, SetNeeds  # noqa: E402

C = common.ResponseCode
CAR, OTHER_CAR = bytes(range(64)), bytes(64)


class Graph(base.Graph):
    """The same with TLS 1.3, a vehicle certificate, and messages on their own streams."""

    def open_tls(self, digest, security=V2GConnection.SECURITY_TLS_1_3_MUTUAL):
        self.connection = V2GConnection(
            state=V2GConnection.STATE_OPEN, connection_id=self.connection.connection_id + 1,
            link_since=base.Time(sec=1), security=security, vehicle_certificate_digest=digest)
        self.sequence = 0
        self.renew()
        namespace, major, minor, schema_id, priority = OFFER
        response = self.send(exi.encode(sap.SupportedAppProtocolReq(app_protocol=[
            sap.AppProtocol(
                protocol_namespace=namespace, version_number_major=major,
                version_number_minor=minor, schema_id=schema_id, priority=priority)])))
        return exi.decode('sap', bytes(response.data)).response_code.value

    def send(self, data, payload_type=0x8001):
        self.sequence += 1
        before = len(self.responses)
        self.requests.publish(V2GRequest(
            connection_id=self.connection.connection_id, sequence=self.sequence,
            payload_type=payload_type, data=data))
        self.wait(lambda: len(self.responses) > before)
        return self.responses[before]

    def ask(self, request):
        payload_type = DC if type(request).__module__ == dc.__name__ else COMMON
        request.header = common.MessageHeader(
            session_id=self.session_id, time_stamp=NO_HEADER.time_stamp)
        response = self.send(exi.encode(request), payload_type)
        assert response.payload_type == payload_type
        answer = exi.decode(exi.schema_for(payload_type), bytes(response.data))
        self.session_id = answer.header.session_id
        return answer


@pytest.fixture
def graph():
    with domain_id() as domain:
        made = Graph(domain, (
            'authorization:=automatic', 'evse_id:=DE*ABC*E1',
            # A process of its own for each message is slower than the standard's 0.5 s at times.
            'sequence_timeout_charge_loop_iso20:=10.0'))
        made.activate()
        yield made
        made.close()


def test_energy_flows_both_ways_and_the_car_comes_back(graph):
    # The requests of a vehicle that has chosen DC_BPT, with scheduled control.
    car = Iso20Bench(service=6)
    assert graph.open_tls(CAR, V2GConnection.SECURITY_TLS_1_3) == 'Failed_NoNegotiation'
    assert graph.open_tls(CAR) == 'OK_SuccessfulNegotiation'
    for request in (setup(), authorization_setup()):
        assert graph.ask(request).response_code.value.startswith('OK')
    assert graph.ask(authorization()).evse_processing is FINISHED
    for request in (
        discovery(), detail(6), car.selection(), car.charge_parameters(), car.schedule_exchange(),
    ):
        assert graph.ask(request).response_code is C.OK
    graph.tell('pilot C')
    graph.wait(lambda: graph.ask(cable_check()).evse_processing is FINISHED)
    graph.wait(lambda: abs(
        float(graph.ask(pre_charge(380.0)).evse_present_voltage) - 380.0) < 1.0)
    assert graph.ask(power_delivery()).response_code is C.OK
    for current in (60.0, -40.0):
        graph.wait(lambda wanted=current: float(
            graph.ask(car.charge_loop(wanted)).evse_present_current) == wanted)
    command = graph.commands[-1]
    assert (command.mode, command.target_current) == (ChargeCommand.MODE_CHARGE, -40.0)
    assert command.maximum_discharge_current == 60.0
    graph.wait(lambda: graph.session.stage == ChargingSession.STAGE_CHARGING)
    assert graph.session.protocol == ChargingSession.PROTOCOL_ISO_15118_20_DC
    assert graph.session.bidirectional
    assert graph.session.control_mode == ChargingSession.CONTROL_SCHEDULED

    for target, message in ((0.5, 'has not chosen'), (2.0, 'target_state_of_charge is 2')):
        answer = graph.call(SetNeeds, '/hlc/set_needs', departure_time=60.0,
                            minimum_state_of_charge=math.nan, target_state_of_charge=target)
        assert not answer.success
        assert message in answer.message
    assert graph.call(Pause, '/hlc/pause', reason='night').success
    status = graph.ask(car.charge_loop(0.0)).evse_status
    assert status.evse_notification is common.EVSENotification.PAUSE
    assert graph.ask(power_delivery(STOP)).response_code is C.OK
    graph.tell('pilot B')
    assert graph.ask(session_stop(PAUSE)).response_code is C.OK
    assert graph.responses[-1].data_link == V2GConnection.DATA_LINK_PAUSE
    graph.wait(lambda: graph.mode == ChargeCommand.MODE_OFF)

    old = graph.session_id
    assert graph.open_tls(CAR) == 'OK_SuccessfulNegotiation'
    assert graph.ask(setup()).response_code is C.OK_OLD_SESSION_JOINED
    assert graph.ask(car.charge_parameters()).response_code is C.OK
    graph.session_id = old
    assert graph.open_tls(OTHER_CAR) == 'OK_SuccessfulNegotiation'
    assert graph.ask(setup()).response_code is C.OK_NEW_SESSION_ESTABLISHED
    assert graph.session_id != old
    assert graph.end()[0] == 0
