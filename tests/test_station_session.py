"""A whole DIN session through all processes of the station."""

import json

import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not set up')

from diagnostic_msgs.msg import DiagnosticStatus

from ccs2_interfaces.action import Charge
from ccs2_interfaces.msg import ChargingSession
from station.processes import StationError
from station.record import Recorder, TraceFile

pytestmark = pytest.mark.xdist_group('sessions')

#: Separate processes, each a node of the connector's namespace.
NODES = ('safety', 'power', 'pki', 'plc_link', 'v2g_transport', 'hlc', 'car', 'plant',
         'lifecycle_manager')
#: What a DIN session consists of, in order.
SEQUENCE = (
    'SupportedAppProtocol', 'SessionSetup', 'ServiceDiscovery', 'ServicePaymentSelection',
    'ContractAuthentication', 'ChargeParameterDiscovery', 'CableCheck', 'PreCharge',
    'PowerDelivery', 'CurrentDemand', 'PowerDelivery', 'WeldingDetection', 'SessionStop')


@pytest.fixture(scope='module')
def session(station, tmp_path_factory):
    """Let the car charge once; everything that was seen of it."""
    path = tmp_path_factory.mktemp('session') / 'trace.jsonl'
    recorder = Recorder(TraceFile(path))
    station.hooks.append(recorder)
    stages = []

    def note(topic, message):
        if topic == 'session' and message.stage not in stages[-1:]:
            stages.append(message.stage)

    station.hooks.append(note)
    future = station.charge(
        protocol=Charge.Goal.PROTOCOL_DIN_70121, state_of_charge=0.5, target_state_of_charge=0.9,
        maximum_duration=5.0)
    station.wait(future.done, 120, 'the end of the charge')
    station.wait(lambda: station.latest['safety/status'].contactors_open, 5, 'open contactors')
    station.hooks.clear()
    recorder.trace.close()
    recorder.result = future.result().result
    recorder.lines = [json.loads(line) for line in path.read_text().splitlines()]
    recorder.stage_order = stages
    return recorder


def test_every_node_is_a_process_of_its_own(station):
    assert {f'/connector_1/{node}' for node in NODES} <= station.nodes()
    pids = [station.processes.pids[node] for node in NODES]
    assert len(set(pids)) == len(NODES)


def test_the_session_completes(session):
    assert session.result.error_code == Charge.Result.NONE, session.result.error_msg
    assert session.result.loops > 10
    assert session.result.energy > 50_000.0
    assert session.stage_order[-1] == ChargingSession.STAGE_FINISHED
    order = [stage for stage in session.stage_order if stage >= ChargingSession.STAGE_PROTOCOL]
    assert order == sorted(order)
    assert ChargingSession.STAGE_CHARGING in order


def test_the_messages_are_those_of_din_in_order(session):
    assert session.trace.missed == 0
    names = [line['message'] for line in session.lines]
    kinds = [name.removesuffix('Req').removesuffix('Res') for name in names]
    distinct = [kind for index, kind in enumerate(kinds) if kind != kinds[index - 1] or not index]
    assert distinct == list(SEQUENCE)
    for request, response in zip(session.lines[::2], session.lines[1::2], strict=True):
        assert (request['direction'], response['direction']) == ('request', 'response')
        assert request['message'].removesuffix('Req') == response['message'].removesuffix('Res')
        assert response['response_code'].startswith('OK')
        assert request['error'] is None
        assert response['error'] is None


def test_every_message_is_traced_decoded_and_as_it_was_on_the_wire(session):
    from ccs2_hlc import exi
    for line in session.lines:
        decoded = exi.decode(line['schema'], bytes.fromhex(line['exi']))
        assert exi.to_json(decoded) == line['decoded'], line['message']


def test_the_plant_saw_energy_and_is_safe_again(station, session):
    moments = station.record.since(0)
    charging = [entry for entry in moments if entry.closed and entry.current > 50]
    assert charging
    assert all(entry.voltage > 300 for entry in charging)
    assert moments[-1].opened_under_load == 0
    assert not station.record.now.closed
    assert abs(station.record.now.current) < 0.1
    assert not station.record.now.plugged


def test_every_node_fills_diagnostics(station):
    def parts():
        return {name.partition(': ')[0] for name in station.diagnostics}

    station.wait(lambda: set(NODES) <= parts(), 10, 'diagnostics of all nodes')
    def complaints():
        return {name: status.message for name, status in station.diagnostics.items()
                if status.level not in (DiagnosticStatus.OK, DiagnosticStatus.WARN)
                # The simulation's store is empty: TCP only.
                and name != 'pki: store'}

    try:
        station.wait(lambda: not complaints(), 10, 'no part complains')
    except StationError:
        assert complaints() == {}
    assert all(status.message for status in station.diagnostics.values())


def test_telemetry_is_plain_numbers_in_si_units(session, station):
    status = station.latest['power/status']
    for name in ('voltage', 'current', 'power', 'maximum_current'):
        assert isinstance(getattr(status, name), float), name
    highest = max(session.samples, key=lambda sample: sample.power)
    assert highest.power == pytest.approx(highest.voltage * highest.current, rel=0.02)
    assert 300 < highest.voltage < 500
    assert 0.5 <= highest.state_of_charge <= 0.9
