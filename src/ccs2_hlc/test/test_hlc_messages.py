"""Between the ROS messages and the session core: same numbers, no nonsense, nothing made up."""

import dataclasses
import math

import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not set up')
pytest.importorskip('ccs2_interfaces', reason='workspace is not built')

import iso20_bench
from builtin_interfaces.msg import Time
from hlc_bench import bring_to

from ccs2_hlc import hlc_messages as convert
from ccs2_hlc.exi.messages.iso20 import common, dc
from ccs2_hlc.session import command, protocols, station, transport, triggers, views
from ccs2_hlc.session.secc import Outgoing, Received
from ccs2_interfaces import msg, srv


@pytest.mark.parametrize(('energy', 'known'), [
    (3.6e9, 3.6e9), (1e16, 1e16), (-5.0, -5.0), (1.01e16, None), (1e300, None), (math.nan, None),
    (math.inf, None)])
def test_an_energy_that_no_meter_can_have_counted_is_not_measured(energy, known):
    meter = convert.meter_of(msg.Meter(
        energy_imported=energy, energy_exported=energy, session_energy=energy))
    assert (meter.energy_imported, meter.energy_exported, meter.session_energy) == (known,) * 3


@pytest.mark.parametrize(('kind', 'message', 'prefix'), [
    (station.PowerState, msg.PowerStatus, 'STATE'),
    (station.CableCheck, msg.PowerStatus, 'CABLE_CHECK'),
    (station.PilotState, msg.ControlPilot, 'STATE'),
    (station.IsolationState, msg.Isolation, 'STATE'),
    (station.Severity, msg.Fault, 'SEVERITY'),
    (station.Urgency, srv.Stop.Request, None),
    (transport.Security, msg.V2GConnection, 'SECURITY'),
    (transport.LinkState, msg.V2GConnection, 'STATE'),
    (transport.CloseReason, msg.V2GConnection, 'CLOSE'),
    (transport.DataLink, msg.V2GConnection, 'DATA_LINK'),
    (transport.Action, msg.V2GResponse, 'ACTION'),
    (command.Mode, msg.ChargeCommand, 'MODE'),
    (command.Shutdown, msg.ChargeCommand, 'SHUTDOWN'),
    (views.Stage, msg.ChargingSession, 'STAGE'),
    (views.StopReason, msg.ChargingSession, 'STOP'),
    (views.AuthorizationKind, msg.ChargingSession, 'AUTHORIZATION'),
    (views.ControlMode, msg.ChargingSession, 'CONTROL'),
])
def test_the_numbers_are_those_of_the_interfaces(kind, message, prefix):
    for member in kind:
        name = member.name if prefix is None else f'{prefix}_{member.name}'
        assert getattr(message, name) == member.value
    if prefix is not None:
        constants = {
            name for name in dir(type(message)) if name.startswith(f'{prefix}_')}
        assert constants == {f'{prefix}_{member.name}' for member in kind}


def test_the_fault_codes_and_protocol_numbers_are_those_of_the_interfaces():
    for name, value in vars(triggers.FaultCode).items():
        if name.isupper():
            assert getattr(msg.Fault, name) == value
    assert protocols.DIN_70121.number == msg.ChargingSession.PROTOCOL_DIN_70121
    assert protocols.ISO_15118_2.number == msg.ChargingSession.PROTOCOL_ISO_15118_2
    assert protocols.ISO_15118_20_DC.number == msg.ChargingSession.PROTOCOL_ISO_15118_20_DC


@pytest.mark.parametrize('value', [math.nan, math.inf, -math.inf, 1e9])
def test_what_cannot_be_a_measurement_is_none(value):
    power = convert.power_of(msg.PowerStatus(voltage=value, maximum_current=value))
    assert power.voltage is None
    assert power.maximum_current is None


def test_a_negative_limit_is_no_limit_that_is_known():
    assert convert.power_of(msg.PowerStatus(maximum_power=-1.0)).maximum_power is None
    assert convert.power_of(msg.PowerStatus(current=-1.0)).current == -1.0


def test_unknown_numbers_mean_unknown():
    assert convert.pilot_of(msg.ControlPilot(state=99)).state is station.PilotState.UNKNOWN
    power = convert.power_of(msg.PowerStatus(state=99, cable_check=99))
    assert (power.state, power.cable_check) == (
        station.PowerState.UNKNOWN, station.CableCheck.NOT_DONE)
    (fault,) = convert.faults_of([msg.Fault(code=403, severity=77)])
    assert fault.severity is station.Severity.ERROR


def test_commands_say_nan_for_what_they_do_not_use():
    message = convert.command_message(command.ChargeCommand(target_voltage=400.0))
    assert message.target_voltage == 400.0
    assert math.isnan(message.target_current)
    assert math.isnan(message.maximum_power)


def test_operator_limits():
    limits = convert.limits_of(srv.SetLimits.Request(
        maximum_current=32.0, maximum_power=math.nan, maximum_discharge_current=math.nan,
        maximum_discharge_power=0.0))
    assert limits == station.OperatorLimits(32.0, None, None, 0.0)
    with pytest.raises(ValueError, match='maximum_power is -1'):
        convert.limits_of(srv.SetLimits.Request(maximum_power=-1.0))


def test_needs_of_a_vehicle():
    def needs(departure=math.nan, minimum=math.nan, target=math.nan):
        return convert.needs_of(srv.SetNeeds.Request(
            departure_time=departure, minimum_state_of_charge=minimum,
            target_state_of_charge=target), 100.0)

    assert needs() == station.NO_NEEDS
    assert needs(60.0, 0.25, 0.75) == station.Needs(160.0, 0.25, 0.75)
    for wrong, name in (((-1.0,), 'departure_time is -1'), ((0.0, 1.5), 'minimum_state_of_charge'),
                        ((0.0, 0.0, -0.5), 'target_state_of_charge is -0.5'),
                        ((0.0, 0.75, 0.5), 'above the target')):
        with pytest.raises(ValueError, match=name):
            needs(*wrong)


def test_session_vehicle_and_traces_of_a_real_session_can_be_sent():
    bench = bring_to('CHARGING')
    bench.close()
    stamp = Time(sec=1_700_000_000)
    session = convert.session_message(bench.secc.session(), stamp, bench.now)
    assert session.stage == msg.ChargingSession.STAGE_FAILED
    assert session.started.sec == 1_700_000_000 - round(
        bench.now - bench.secc.session().started + 0.5)
    vehicle = convert.vehicle_message(bench.secc.vehicle(), session.session_id, stamp)
    assert vehicle.target_current == 100.0
    assert vehicle.error_code == 'NO_ERROR'
    assert math.isnan(vehicle.departure_time)
    trace = convert.trace_message(bench.sent[-1], stamp, 0.001)
    assert isinstance(bench.sent[-1], Outgoing)
    assert (trace.schema, trace.message, trace.response_code) == ('din', 'CurrentDemandRes', 'OK')
    trace = convert.trace_message(
        Received(connection_id=1, sequence=2, payload_type=0x8001, data=b'\x80',
                 error='x' * 1000), stamp, 0.0)
    assert (trace.message, trace.json, len(trace.error)) == ('', '', 256)
    assert math.isnan(trace.processing_time)


HUGE = common.RationalNumber(exponent=127, value=32767)


@pytest.mark.parametrize('service', [2, 6])
@pytest.mark.parametrize('dynamic', [False, True])
def test_numbers_beyond_any_meaning_neither_end_the_node_nor_reach_the_power_stage(
    service, dynamic,
):
    bench = iso20_bench.bring_to('PRE_CHARGE', service=service, dynamic=dynamic)
    request = iso20_bench.pre_charge()
    request.ev_target_voltage = request.ev_present_voltage = HUGE
    bench.ask(request)
    iso20_bench.lead_to('CHARGING', bench, 'PRE_CHARGED')
    for sign in (1, -1):
        request = bench.charge_loop(display=dc.DisplayParameters(battery_energy_capacity=HUGE))
        huge = common.RationalNumber(exponent=127, value=sign * 32767)
        request.ev_present_voltage = huge
        for field in dataclasses.fields(request.cl_req_control_mode):
            if isinstance(
                    getattr(request.cl_req_control_mode, field.name), common.RationalNumber):
                setattr(request.cl_req_control_mode, field.name, huge)
        assert bench.ask(request).response_code is common.ResponseCode.OK
        bench.check()
        vehicle = convert.vehicle_message(bench.secc.vehicle(), '', Time())
        assert vehicle.energy_capacity == 3.6e10
        convert.command_message(bench.secc.command(bench.now))
