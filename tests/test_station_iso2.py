"""ISO 15118 sessions through all processes of the station: TLS, Plug & Charge, both directions."""

import json
import math

import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not set up')

from station_run import LONG, run_station
from station_sequences import CHARGE, CHARGE_20, FIRST, FIRST_20, LAST, LAST_20, messages

from ccs2_interfaces.action import Charge
from ccs2_interfaces.msg import ChargingSession, V2GConnection
from ccs2_interfaces.srv import SetLimits
from station import laboratory
from station.connector import Connector
from station.record import Recorder, TraceFile

pytestmark = [pytest.mark.xdist_group('sessions'), LONG]


@pytest.fixture
def charge(pki, tmp_path_factory):
    """Return a function that lets a car charge at a station of its own; it returns the record."""
    def run(authorization, misbehaviour='', car=(), hlc=(), mode='', during=None):
        folder = tmp_path_factory.mktemp('s')
        changes = laboratory.secured(pki, authorization, tls='1.3' if mode else '1.2')
        if mode:
            # Energy goes out of the car for the first part of the charge.
            changes += laboratory.in_mode(mode, 0.4996)
        changes += [('car.yaml', 'interface: lo', f'interface: lo\n    {line}') for line in car]
        changes += [('hlc.yaml', 'evse_id: ', f'{line}\n    evse_id: ') for line in hlc]
        with run_station(
            folder, changes=changes, store=pki / laboratory.STORE,
        ) as (_, domain, _), Connector(domain=domain) as station:
            station.wait_until_ready()
            recorder = Recorder(TraceFile(folder / 'trace.jsonl'))
            seen = {}
            station.hooks += [recorder, lambda topic, message: (
                seen.setdefault(topic, []).append(message))]
            future = station.charge(
                protocol=(Charge.Goal.PROTOCOL_ISO_15118_20_DC if mode
                          else Charge.Goal.PROTOCOL_ISO_15118_2),
                state_of_charge=0.5, target_state_of_charge=0.9, maximum_duration=8.0,
                misbehaviour=misbehaviour)
            if during is not None:
                station.wait(lambda: station.latest['power/status'].current > 50.0, 60, 'energy')
                during(station)
            station.wait(future.done, 120, 'the end of the charge')
            station.wait(lambda: station.latest['safety/status'].contactors_open, 5,
                         'open contactors')
            recorder.trace.close()
            recorder.result = future.result().result
            recorder.seen = seen
            recorder.lines = [
                json.loads(line) for line in (folder / 'trace.jsonl').read_text().splitlines()]
            return recorder
    return run


def security(record):
    return {message.security for message in record.seen['v2g/connection']
            if message.state == V2GConnection.STATE_OPEN}


def test_external_payment_over_tls_with_other_limits_on_the_way(charge):
    """The operator narrows the power; the station asks for a new schedule, and gets it."""
    def narrow(station):
        assert station.call(
            SetLimits, 'hlc/set_limits', SetLimits.Request(
                maximum_current=math.nan, maximum_power=20_000.0,
                maximum_discharge_current=math.nan, maximum_discharge_power=math.nan)).success

    record = charge('eim', hlc=['renegotiation: true'], during=narrow)
    assert record.result.error_code == Charge.Result.NONE, record.result.error_msg
    assert messages(record) == [
        *FIRST, 'PaymentServiceSelection', 'Authorization', *CHARGE, 'PowerDelivery', *CHARGE,
        *LAST]
    assert security(record) == {V2GConnection.SECURITY_TLS_1_2}
    assert record.result.energy > 50_000.0
    offers = [line['decoded']['V2G_Message']['Body']['ChargeParameterDiscoveryRes']
              ['SAScheduleList']['SAScheduleTuple'][0]['PMaxSchedule']['PMaxScheduleEntry'][0]
              ['PMax'] for line in record.lines if line['message'] == 'ChargeParameterDiscoveryRes']
    assert [offer['Value'] * 10 ** offer['Multiplier'] for offer in offers] == [100_000, 20_000]
    renegotiation_took_the_power_stage_along(record)
    after = [sample.power for sample in record.samples if sample.time > record.samples[-1].time - 3]
    assert max(after) < 20_500.0


def renegotiation_took_the_power_stage_along(record):
    """It begins without current; voltage and contactors stay from the start to the stop."""
    start, renegotiation, _, stop = [
        line['time'] for line in record.lines if line['message'] == 'PowerDeliveryReq'][:4]
    power = [message for message in record.seen['power/status'] if start < stamp(message) < stop]
    assert abs([message for message in power if stamp(message) < renegotiation][-1].current) < 2.0
    assert min(message.voltage for message in power) > 300.0
    assert all(message.contactors_closed for message in record.seen['safety/status']
               if start < stamp(message) < stop)


def stamp(message):
    return message.header.stamp.sec + message.header.stamp.nanosec / 1e9


def test_a_paused_session_goes_on(charge):
    """The station sleeps and is woken by the car; the network of the modems is kept."""
    record = charge('eim', car=('renegotiate_after: 5', 'pause_after: 20', 'sleep: 4.0'))
    assert record.result.error_code == Charge.Result.NONE, record.result.error_msg
    names = messages(record)
    # Each time it wants another schedule first.
    assert names.count('ChargeParameterDiscovery') == 4
    renegotiation_took_the_power_stage_along(record)
    first, second = names.index('SessionStop'), names.index('SessionStop', -1)
    assert names[first + 1] == 'SupportedAppProtocol'
    assert first < second
    ids = {message.session_id for message in record.seen['session'] if message.session_id}
    assert len(ids) == 1
    codes = [line['response_code'] for line in record.lines
             if line['message'] == 'SessionSetupRes']
    assert codes == ['OK_NewSessionEstablished', 'OK_OldSessionJoined']


def test_an_expired_contract_does_not_charge(charge):
    record = charge('pnc', misbehaviour='bad_contract:fault=expired')
    assert record.result.error_code == Charge.Result.REFUSED
    assert 'FAILED_CertificateExpired' in record.result.error_msg
    assert 'CableCheck' not in messages(record)


@pytest.mark.parametrize('mode', ['bpt', 'bpt-dynamic'])
def test_energy_flows_both_ways_by_iso_15118_20(charge, mode):
    record = charge('eim', mode=mode)
    assert record.result.error_code == Charge.Result.NONE, record.result.error_msg
    assert messages(record) == FIRST_20 + CHARGE_20 + LAST_20
    assert security(record) == {V2GConnection.SECURITY_TLS_1_3_MUTUAL}
    session = record.seen['session'][-1]
    assert session.protocol == ChargingSession.PROTOCOL_ISO_15118_20_DC
    currents = [sample.current for sample in record.samples]
    assert -101 < min(currents) < -95
    assert max(currents) > 200
    # First out of the car, then into it, and no change of mind.
    turn = next(index for index, current in enumerate(currents) if current > 5)
    assert min(currents[turn:]) > -5


def test_a_paused_session_of_iso_15118_20_goes_on(charge):
    record = charge('eim', mode='dynamic', car=('pause_after: 10', 'sleep: 4.0'))
    assert record.result.error_code == Charge.Result.NONE, record.result.error_msg
    assert messages(record) == [
        *FIRST_20, *CHARGE_20, *LAST_20, *FIRST_20[:2], *CHARGE_20, *LAST_20]
    codes = [line['response_code'] for line in record.lines
             if line['message'] == 'SessionSetupRes']
    assert codes == ['OK_NewSessionEstablished', 'OK_OldSessionJoined']
