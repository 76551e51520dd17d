"""Whole DIN 70121 sessions on a virtual clock: regular ends, limits, waiting, timers."""

from dataclasses import replace

import pytest
from hlc_bench import (
    Bench,
    amperes,
    authentication,
    bring_to,
    cable_check,
    charge_parameters,
    current_demand,
    discovery,
    parameters,
    power_delivery,
    pre_charge,
    selection,
    session_stop,
    setup,
    volts,
    watts,
    welding_detection,
)

from ccs2_hlc.exi.messages import din
from ccs2_hlc.session.command import Mode, Shutdown
from ccs2_hlc.session.din import DinEngine
from ccs2_hlc.session.din_responses import encode_evse_id
from ccs2_hlc.session.station import (
    CableCheck,
    IsolationState,
    OperatorLimits,
    PilotState,
    StopWish,
    Urgency,
)
from ccs2_hlc.session.transport import Action, CloseReason, DataLink, LinkState

R = din.ResponseCode
S = din.DCEVSEStatusCode
P = din.EVSEProcessing
I = din.IsolationLevel  # noqa: E741


def test_a_whole_session_tells_and_does_the_right_things():
    bench = Bench()
    bench.open()
    bench.negotiate()
    assert bench.stage == 'PROTOCOL' or bench.stage == 'SETUP'

    answer = bench.ask(setup())
    assert answer.response_code is R.OK_NEW_SESSION_ESTABLISHED
    assert answer.evse_id == bytes.fromhex('49a89a6360')
    assert answer.date_time_now == 1_700_000_000
    assert len(bench.session_id) == 8
    assert any(bench.session_id)
    assert bench.secc.session().evcc_id == '007dfa06ab91'

    answer = bench.ask(discovery())
    assert answer.payment_options.payment_option == [din.PaymentOption.EXTERNAL_PAYMENT]
    assert answer.charge_service.service_tag.service_id == 1
    assert answer.charge_service.energy_transfer_type.value == 'DC_extended'
    assert answer.service_list is None

    bench.ask(selection())
    assert bench.ask(authentication()).evse_processing is P.FINISHED
    assert bench.secc.session().authorized

    answer = bench.ask(charge_parameters(limits=parameters(420.0, 150.0, 50_000.0)))
    assert answer.evse_processing is P.FINISHED
    limits = answer.evse_charge_parameter
    assert float(limits.evse_maximum_voltage_limit) == 1000.0
    assert float(limits.evse_maximum_current_limit) == 200.0
    assert float(limits.evse_maximum_power_limit) == 60_000.0
    assert float(limits.evse_minimum_voltage_limit) == 150.0
    assert limits.dc_evse_status.evse_status_code is S.EVSE_READY
    assert limits.dc_evse_status.evse_isolation_status is I.INVALID
    (tuple_,) = answer.sa_schedules.sa_schedule_tuple
    (entry,) = tuple_.p_max_schedule.p_max_schedule_entry
    assert (entry.p_max, entry.time_interval.start, entry.time_interval.duration) == (
        32767, 0, 86400)

    # The car is still in B: nothing is switched on.
    answer = bench.ask(cable_check())
    assert (answer.evse_processing, answer.dc_evse_status.evse_status_code) == (
        P.ONGOING, S.EVSE_NOT_READY)
    assert bench.command.mode is Mode.OFF
    bench.pilot = PilotState.C
    bench.step()
    assert bench.command.mode is Mode.CABLE_CHECK
    bench.advance(0.1)
    answer = bench.ask(cable_check())
    assert (answer.evse_processing, answer.dc_evse_status.evse_status_code) == (
        P.ONGOING, S.EVSE_ISOLATION_MONITORING_ACTIVE)
    bench.advance(2.0)
    answer = bench.ask(cable_check())
    assert (answer.evse_processing, answer.dc_evse_status.evse_status_code) == (
        P.FINISHED, S.EVSE_READY)
    assert answer.dc_evse_status.evse_isolation_status is I.VALID

    answer = bench.ask(pre_charge(200.0))
    assert float(answer.evse_present_voltage) == 0.0  # measured before the set-point arrived
    answer = bench.ask(pre_charge(378.4))
    assert float(answer.evse_present_voltage) == 200.0
    assert bench.command.mode is Mode.PRE_CHARGE
    assert bench.command.target_voltage == pytest.approx(378.4)
    assert bench.command.target_current is None
    assert bench.command.lock_connector

    answer = bench.ask(power_delivery())
    assert answer.evse_status.evse_status_code is S.EVSE_READY
    assert (bench.command.mode, bench.command.target_current) == (Mode.CHARGE, 0.0)
    assert bench.command.target_voltage == pytest.approx(378.4)

    bench.ask(current_demand(100.0))
    answer = bench.ask(current_demand(90.0))
    assert float(answer.evse_present_voltage) == 380.0
    assert float(answer.evse_present_current) == 100.0
    assert (bench.command.target_voltage, bench.command.target_current) == (400.0, 90.0)
    assert bench.last.receive_timeout == 5.0
    assert bench.stage == 'CHARGING'

    answer = bench.ask(power_delivery(False))
    assert answer.evse_status.evse_status_code is S.EVSE_SHUTDOWN
    assert bench.command.mode is Mode.STOP
    assert bench.safety.contactors_open
    assert abs(bench.power.current) < 1.0
    bench.pilot = PilotState.B
    answer = bench.ask(welding_detection())
    assert answer.dc_evse_status.evse_status_code is S.EVSE_SHUTDOWN
    assert bench.command.mode is Mode.WELDING_CHECK

    answer = bench.ask(session_stop())
    assert answer.response_code is R.OK
    last = bench.last
    assert (last.action, last.data_link, last.close_delay) == (
        Action.SEND_THEN_CLOSE, DataLink.TERMINATE, 4.0)
    assert (bench.command.mode, bench.command.shutdown) == (Mode.OFF, Shutdown.NORMAL)
    assert bench.command.pilot_oscillator
    bench.advance(1.4)
    assert bench.command.pilot_oscillator
    bench.advance(0.2)
    assert not bench.command.pilot_oscillator
    bench.advance(3.0)
    assert bench.connection.state is LinkState.CLOSED
    session = bench.secc.session()
    assert (session.stage.name, session.stop_reason.name) == ('FINISHED', 'VEHICLE')
    assert session.faults == ()


def test_every_session_has_an_id_of_its_own():
    bench = bring_to('ENDED')
    first = bench.session_id
    bench.advance(5.0)
    bench.session_id = bytes(8)
    bring_to('SERVICE_DISCOVERY', bench)
    assert bench.session_id != first


@pytest.mark.parametrize('old', [b'', b'\0', bytes(6), bytes(8), b'\x12\x34\x56\x78'])
def test_a_session_is_opened_whatever_id_the_car_remembers(old):
    bench = bring_to('SESSION_SETUP')
    assert bench.ask(setup(), session_id=old).response_code is R.OK_NEW_SESSION_ESTABLISHED
    assert bench.session_id != old


# Authorization.

def test_the_car_waits_for_its_authorization():
    bench = bring_to('AUTHENTICATION', automatic=False)
    for _ in range(3):
        assert bench.ask(authentication()).evse_processing is P.ONGOING
        bench.advance(1.0)
    assert bench.secc.authorize(bench.session_id.hex(), 0.0, bench.now) is None
    assert bench.ask(authentication()).evse_processing is P.FINISHED


def test_the_time_for_the_authorization_ends_with_it():
    bench = bring_to('AUTHENTICATION', automatic=False, authorization_timeout=10.0)
    assert bench.ask(authentication()).evse_processing is P.ONGOING
    bench.advance(9.0)
    bench.secc.authorize('', 0.0, bench.now)
    assert bench.ask(authentication()).evse_processing is P.FINISHED
    bench.advance(10.0)
    assert bench.ask(charge_parameters()).response_code is R.OK


def test_a_grant_waits_for_the_next_session_and_serves_one():
    bench = Bench(automatic=False)
    assert bench.secc.authorize('', 30.0, bench.now) is None
    bring_to('PARAMETERS', bench)
    assert bench.ask(session_stop()).response_code is R.OK
    bench.advance(5.0)
    bring_to('AUTHENTICATION', bench)
    assert bench.ask(authentication()).evse_processing is P.ONGOING


def test_a_grant_expires():
    bench = Bench(automatic=False)
    bench.secc.authorize('', 30.0, bench.now)
    bench.advance(31.0)
    bring_to('AUTHENTICATION', bench)
    assert bench.ask(authentication()).evse_processing is P.ONGOING


def test_a_grant_for_a_session_that_is_over_is_refused():
    bench = bring_to('AUTHENTICATION', automatic=False)
    old = bench.session_id.hex()
    bench.close()
    assert 'not running' in bench.secc.authorize(old, 0.0, bench.now)
    bring_to('AUTHENTICATION', bench)
    assert bench.ask(authentication()).evse_processing is P.ONGOING


def test_denying_takes_back_a_grant_that_waits():
    bench = Bench(automatic=False)
    bench.secc.authorize('', 30.0, bench.now)
    bench.secc.deny('')
    bring_to('AUTHENTICATION', bench)
    assert bench.ask(authentication()).evse_processing is P.ONGOING


def test_denying_wins_over_granting():
    bench = bring_to('AUTHENTICATION', automatic=False)
    bench.secc.authorize('', 0.0, bench.now)
    bench.secc.deny('')
    assert 'denied' in bench.secc.authorize(bench.session_id.hex(), 0.0, bench.now)
    assert bench.ask(authentication()).response_code is R.FAILED


def test_withdrawing_the_authorization_stops_charging():
    bench = bring_to('CHARGING')
    assert bench.secc.deny(bench.session_id.hex()) is None
    answer = bench.ask(current_demand())
    assert (answer.response_code, answer.dc_evse_status.evse_status_code) == (
        R.OK, S.EVSE_SHUTDOWN)


# Limits.

def test_set_points_never_exceed_the_limits_of_either_side():
    bench = bring_to('CHARGING')
    bench.ask(current_demand(500.0, 900.0))
    assert (bench.command.target_voltage, bench.command.target_current) == (420.0, 150.0)
    answer = bench.ask(current_demand(500.0, 1000.0, ev_maximum_current_limit=amperes(400.0)))
    # 60 kW at 380 V
    assert bench.command.target_current == pytest.approx(60_000.0 / 380.0)
    assert answer.evse_current_limit_achieved
    assert answer.evse_voltage_limit_achieved
    assert answer.evse_power_limit_achieved
    answer = bench.ask(current_demand(
        10.0, 400.0, ev_maximum_current_limit=amperes(5.0), ev_maximum_voltage_limit=volts(390.0),
        ev_maximum_power_limit=watts(1_000.0)))
    assert bench.command.target_voltage == 390.0
    assert bench.command.target_current == pytest.approx(1_000.0 / 380.0)
    assert not answer.evse_current_limit_achieved
    assert not answer.evse_voltage_limit_achieved
    assert not answer.evse_power_limit_achieved
    bench.ask(current_demand(-20.0, -400.0))
    assert (bench.command.target_voltage, bench.command.target_current) == (0.0, 0.0)


def test_the_operators_limits_narrow_what_is_offered_and_delivered():
    bench = bring_to('CHARGING')
    bench.secc.set_limits(OperatorLimits(maximum_current=32.0, maximum_power=11_000.0))
    answer = bench.ask(current_demand(100.0))
    assert float(answer.evse_maximum_current_limit) == 32.0
    assert float(answer.evse_maximum_power_limit) == 11_000.0
    assert bench.command.target_current == pytest.approx(11_000.0 / 380.0)
    assert bench.command.maximum_power == 11_000.0
    assert answer.evse_current_limit_achieved
    bench.secc.set_limits(OperatorLimits(maximum_current=0.0))
    answer = bench.ask(current_demand(100.0))
    assert (float(answer.evse_maximum_current_limit), bench.command.target_current) == (0.0, 0.0)


def test_a_power_limit_of_zero_is_no_limit():
    bench = bring_to('PARAMETERS')
    bench.ask(charge_parameters(limits=parameters(power=0.0)))
    assert bench.command.maximum_power is None


def test_the_power_stage_says_when_it_is_at_a_limit():
    bench = bring_to('CHARGING')
    bench.power_overrides = {'current_limit_achieved': True, 'power_limit_achieved': True}
    answer = bench.ask(current_demand(10.0))
    assert (answer.evse_current_limit_achieved, answer.evse_voltage_limit_achieved,
            answer.evse_power_limit_achieved) == (True, False, True)


def test_the_isolation_is_told_as_it_is():
    bench = Bench()
    bench.verdict = CableCheck.WARNING
    bring_to('CHARGING', bench)
    answer = bench.ask(current_demand())
    assert answer.dc_evse_status.evse_isolation_status is I.WARNING
    assert answer.dc_evse_status.evse_status_code is S.EVSE_READY
    bench = bring_to('CHARGING')
    bench.isolation = IsolationState.WARNING
    bench.step()
    assert bench.ask(current_demand()).dc_evse_status.evse_isolation_status is I.WARNING


# Waiting for the power stage.

def test_the_answer_to_the_stop_waits_until_the_current_is_gone():
    bench = bring_to('CHARGING')
    bench.ramp_time = 1.0
    asked = bench.now
    answer = bench.ask(power_delivery(False))
    assert answer.response_code is R.OK
    assert 0.9 < bench.now - asked < 1.3
    assert abs(bench.power.current) < 1.0


def test_the_answer_to_the_stop_waits_for_open_contactors_while_it_can():
    bench = bring_to('CHARGING')
    bench.safety_overrides = {'contactors_open': False}
    assert bench.ask(power_delivery(False), wait=1.0) is None
    bench.safety_overrides = {}
    bench.step()
    assert bench.last.response_code == 'OK'
    bench = bring_to('CHARGING')
    bench.safety_overrides = {'contactors_open': False}
    asked = bench.now
    assert bench.ask(power_delivery(False)).response_code is R.OK
    assert 1.4 < bench.now - asked < 1.7


def test_a_request_that_comes_before_the_answer_is_out_of_sequence():
    bench = bring_to('CHARGING')
    bench.ramp_time = 1.0
    assert bench.ask(power_delivery(False), wait=0.1) is None
    answer = bench.ask(welding_detection())
    assert type(answer) is din.WeldingDetectionRes
    assert answer.response_code is R.FAILED_SEQUENCE_ERROR
    bench.advance(2.0)
    assert [out.sequence for out in bench.sent].count(bench.sequence) == 1


def test_welding_detection_waits_for_the_pilot():
    bench = bring_to('STOPPED')
    bench.pilot = PilotState.C
    bench.step()
    assert bench.ask(welding_detection(), wait=1.0) is None
    bench.pilot = PilotState.B
    bench.step()
    assert bench.last.response_code == 'OK'


def test_an_answer_that_has_waited_still_fails_for_want_of_a_measurement():
    bench = bring_to('STOPPED')
    bench.pilot = PilotState.C
    bench.step()
    assert bench.ask(welding_detection(), wait=0.5) is None
    bench.power_overrides = {'voltage': None}
    bench.pilot = PilotState.B
    bench.step()
    assert (bench.last.action, bench.last.response_code) == (Action.SEND_THEN_CLOSE, 'FAILED')
    assert bench.last.sequence == bench.sequence


# Timers.

def test_the_sequence_time_ends_a_silent_session():
    bench = bring_to('PARAMETERS')
    assert bench.last.receive_timeout == 60.0
    bench.advance(59.8)
    assert bench.stage == 'PARAMETERS'
    bench.advance(0.4)
    session = bench.secc.session()
    assert (session.stage.name, session.stop_reason.name) == ('FAILED', 'TIMEOUT')
    assert session.faults[0].code == 702


def test_the_charge_loop_has_a_shorter_sequence_time():
    bench = bring_to('CHARGING')
    bench.advance(4.9)
    assert bench.command.mode is Mode.CHARGE
    bench.advance(0.2)
    assert (bench.command.mode, bench.stage) == (Mode.OFF, 'FAILED')


def test_a_transport_that_forgets_the_sequence_time_is_overruled():
    bench = bring_to('CHARGING')
    bench.receive_until = None
    bench.advance(5.6)
    assert bench.last.action is Action.CLOSE
    assert bench.command.mode is Mode.OFF


def test_nonsense_does_not_prolong_the_sequence_time():
    bench = bring_to('CHARGING')
    for number in range(4):
        (outgoing,) = bench.deliver(b'\x80\x9a\xff\xff')
        assert outgoing.action is Action.IGNORE
        assert outgoing.receive_timeout == pytest.approx(5.0 - number)
        bench.advance(1.0)
    bench.advance(1.1)
    assert (bench.stage, bench.connection.state) == ('FAILED', LinkState.CLOSED)


def test_a_session_has_to_be_set_up_18_s_after_the_link():
    bench = Bench()
    bench.listen()
    bench.advance(10.0)
    bench.open()
    bench.negotiate()
    bench.advance(7.9)
    assert bench.stage == 'SETUP'
    bench.advance(0.2)
    assert bench.last.action is Action.CLOSE
    assert bench.secc.session().faults[0].code == 701


def test_a_link_without_a_session_is_reported_only_if_a_vehicle_is_there():
    for pilot, stage in ((PilotState.B, 'FAILED'), (PilotState.A, 'IDLE')):
        bench = Bench()
        bench.pilot = pilot
        bench.listen()
        bench.advance(18.1)
        assert bench.stage == stage


def test_a_second_connection_on_the_same_link_has_18_s_of_its_own():
    bench = bring_to('ENDED')
    bench.advance(100.0)
    bring_to('SERVICE_DISCOVERY', bench)
    bench.advance(30.0)
    assert bench.stage == 'SETUP'


def test_slow_pre_charge_is_answered_until_20_s_have_passed():
    bench = bring_to('PRE_CHARGE')
    began = bench.now
    while bench.now - began < 19.8:
        assert bench.ask(pre_charge()).response_code is R.OK
        bench.advance(0.2)
    bench.advance(0.4)
    assert bench.command.mode is Mode.OFF
    assert bench.ask(pre_charge()).response_code is R.FAILED


def test_welding_detection_may_take_20_s():
    bench = bring_to('STOPPED')
    began = bench.now
    while bench.now - began < 19.8:
        assert bench.ask(welding_detection()).response_code is R.OK
        bench.advance(0.2)
    bench.advance(0.4)
    assert bench.ask(welding_detection()).response_code is R.FAILED


def test_charging_may_last_longer_than_everything_before_it_was_allowed_to():
    bench = bring_to('CHARGING')
    began = bench.now
    while bench.now - began < 45.0:
        assert bench.ask(current_demand()).response_code is R.OK
        bench.advance(0.5)


def test_giving_up_after_the_pre_charge_ends_its_time():
    bench = bring_to('PRE_CHARGED')
    assert bench.ask(power_delivery(False)).response_code is R.OK
    bench.pilot = PilotState.B
    bench.advance(25.0)
    assert bench.ask(session_stop()).response_code is R.OK


def test_the_cable_check_of_another_session_does_not_count():
    bench = bring_to('CABLE_CHECK')
    bench.pilot = PilotState.C
    bench.power_overrides = {'session_id': 'ff' * 8, 'cable_check': CableCheck.VALID}
    bench.step()
    for _ in range(3):
        assert bench.ask(cable_check()).evse_processing is P.ONGOING
        bench.advance(1.0)
    bench = bring_to('PARAMETERS')
    bench.power_overrides = {'session_id': 'ff' * 8, 'cable_check': CableCheck.VALID}
    status = bench.ask(charge_parameters()).evse_charge_parameter.dc_evse_status
    assert status.evse_isolation_status is I.INVALID


def test_deadlines_are_announced():
    bench = bring_to('CABLE_CHECK')
    bench.pilot = PilotState.B
    bench.ask(cable_check())
    assert bench.secc.deadline(bench.now) == pytest.approx(bench.now + 1.5)


def test_what_is_past_is_no_deadline():
    bench = bring_to('ENDED')
    assert bench.secc.deadline(bench.now) == pytest.approx(bench.now + 1.5)
    bench.advance(5.0)
    assert bench.secc.deadline(bench.now) is None


def test_shutting_down_ends_power_and_closes():
    bench = bring_to('CHARGING')
    bench.keep(bench.secc.shut_down(bench.now))
    assert bench.last.action is Action.CLOSE
    assert bench.command.mode is Mode.OFF
    assert bench.secc.session().stop_reason.name == 'STATION'


# Ends that the car does not ask for.

def test_a_stop_is_announced_and_the_car_obeys():
    bench = bring_to('CHARGING')
    assert bench.secc.stop(StopWish(Urgency.NORMAL, 'grid')) is None
    for _ in range(3):
        answer = bench.ask(current_demand(10.0))
        assert answer.response_code is R.OK
        assert answer.dc_evse_status.evse_status_code is S.EVSE_SHUTDOWN
        assert answer.dc_evse_status.evse_notification is din.EVSENotification.NONE
        bench.advance(0.2)
    assert bench.ask(power_delivery(False)).response_code is R.OK
    bench.pilot = PilotState.B
    bench.advance(15.0)  # longer than the patience: it has obeyed
    assert bench.ask(session_stop()).response_code is R.OK
    bench.advance(20.0)
    session = bench.secc.session()
    assert (session.stage.name, session.stop_reason.name, session.message) == (
        'FINISHED', 'STATION', 'grid')


@pytest.mark.parametrize(('unit', 'seconds'), [
    (None, 30.0), (din.Unit.S, 30.0), (din.Unit.M, 1800.0), (din.Unit.H, 108_000.0)])
def test_the_time_that_is_left_is_told_in_its_unit(unit, seconds):
    bench = bring_to('CHARGING')
    bench.ask(current_demand(
        remaining_time_to_full_soc=din.PhysicalValue(unit=unit, multiplier=0, value=30)))
    assert bench.secc.vehicle().remaining_time == seconds


def test_a_stop_ends_with_its_session():
    bench = bring_to('CHARGING')
    bench.secc.stop(StopWish(Urgency.IMMEDIATE))
    bench.step()
    bench.close()
    bench.pilot = PilotState.B
    bring_to('CHARGING', bench)


def test_a_stop_does_not_finish_a_cable_check_that_runs():
    bench = bring_to('CABLE_CHECK')
    bench.pilot = PilotState.C
    bench.step()
    bench.secc.stop(StopWish(Urgency.NORMAL, 'grid'))
    answer = bench.ask(cable_check())
    assert (answer.evse_processing, answer.dc_evse_status.evse_status_code) == (
        P.ONGOING, S.EVSE_SHUTDOWN)
    # It is told when it has ended, and what comes next is not refused.
    bench.advance(2.5)
    answer = bench.ask(cable_check())
    assert (answer.evse_processing, answer.dc_evse_status.evse_status_code) == (
        P.FINISHED, S.EVSE_SHUTDOWN)
    assert bench.ask(pre_charge()).response_code is R.OK


def test_the_first_failure_is_the_cause_whatever_the_car_asks_then():
    bench = bring_to('CHARGING')
    bench.safety_overrides = {'emergency_stop': True}
    bench.step()
    cause = bench.secc.session()
    assert cause.stop_reason.name == 'EMERGENCY'
    answer = bench.ask(pre_charge())
    assert (answer.response_code, answer.dc_evse_status.evse_status_code) == (
        R.FAILED_SEQUENCE_ERROR, S.EVSE_EMERGENCY_SHUTDOWN)
    session = bench.secc.session()
    assert (session.stop_reason, session.message, session.faults) == (
        cause.stop_reason, cause.message, cause.faults)


def test_a_graver_failure_replaces_one_that_has_not_been_told():
    bench = bring_to('CHARGING')
    bench.secc.stop(StopWish(Urgency.IMMEDIATE))
    bench.step()
    assert bench.command.shutdown is Shutdown.ERROR
    bench.safety_overrides = {'emergency_stop': True}
    bench.step()
    assert bench.command.shutdown is Shutdown.EMERGENCY
    assert bench.secc.session().stop_reason.name == 'EMERGENCY'


def test_a_car_that_is_unplugged_after_an_emergency_is_not_waited_for():
    bench = bring_to('CHARGING')
    bench.safety_overrides = {'emergency_stop': True}
    bench.step()
    assert bench.connection.state is LinkState.OPEN
    bench.pilot = PilotState.A
    bench.step()
    assert bench.connection.state is LinkState.CLOSED
    assert bench.secc.session().stop_reason.name == 'EMERGENCY'


def test_a_stop_that_the_car_ignores_is_enforced():
    bench = bring_to('CHARGING')
    bench.secc.stop(StopWish(Urgency.NORMAL))
    bench.step()
    began = bench.now
    while (answer := bench.ask(current_demand())).response_code is R.OK:
        bench.advance(0.2)
    assert answer.response_code is R.FAILED
    assert 9.9 < bench.now - began < 10.3
    assert bench.command.mode is Mode.OFF


def test_an_immediate_stop_ends_power_before_the_next_request():
    bench = bring_to('CHARGING')
    bench.secc.stop(StopWish(Urgency.IMMEDIATE, 'operator'))
    bench.step()
    assert (bench.command.mode, bench.command.shutdown) == (Mode.OFF, Shutdown.ERROR)
    answer = bench.ask(current_demand())
    assert (answer.response_code, answer.dc_evse_status.evse_status_code) == (
        R.FAILED, S.EVSE_SHUTDOWN)


def test_without_a_session_there_is_nothing_to_stop_or_pause():
    bench = Bench()
    assert 'no session' in bench.secc.stop(StopWish(Urgency.NORMAL))
    assert 'no session' in bench.secc.pause('')
    bring_to('CHARGING', bench)
    assert 'no pause' in bench.secc.pause('')


def test_an_unplugged_car_is_closed_at_once():
    bench = bring_to('CHARGING')
    bench.pilot = PilotState.A
    bench.step()
    assert (bench.last.action, bench.last.data) == (Action.CLOSE, b'')
    assert (bench.command.mode, bench.command.shutdown) == (Mode.OFF, Shutdown.EMERGENCY)
    assert bench.secc.session().faults[0].code == 103


def test_news_of_the_plug_that_come_later_than_the_connection_end_nothing():
    bench = Bench()
    bench.pilot = PilotState.A
    bench.step()
    bench.open()
    bench.keep(bench.secc.tick(bench.now))
    bench.negotiate()
    bench.pilot = PilotState.B
    bench.step()
    assert bench.ask(setup()).response_code is R.OK_NEW_SESSION_ESTABLISHED
    # From here on, A is an unplugged car.
    bench.pilot = PilotState.A
    bench.step()
    assert bench.secc.session().faults[0].code == 103


def test_a_failure_without_a_request_closes_after_a_while():
    bench = bring_to('CHARGING')
    bench.safety_overrides = {'emergency_stop': True}
    bench.step()
    assert (bench.command.mode, bench.command.shutdown) == (Mode.OFF, Shutdown.EMERGENCY)
    assert not bench.command.pilot_oscillator
    assert bench.last.action is Action.SEND
    bench.advance(2.1)
    assert bench.last.action is Action.CLOSE


def test_something_graver_replaces_a_failure_that_waits_to_be_told():
    bench = bring_to('CHARGING')
    bench.silent = {'power'}
    bench.advance(0.6)
    assert bench.command.shutdown is Shutdown.ERROR
    assert bench.command.pilot_oscillator
    bench.safety_overrides = {'emergency_stop': True}
    bench.step()
    assert bench.command.shutdown is Shutdown.EMERGENCY
    assert not bench.command.pilot_oscillator
    answer = bench.ask(current_demand())
    assert answer.dc_evse_status.evse_status_code is S.EVSE_EMERGENCY_SHUTDOWN


def test_losing_the_connection_does_not_soften_an_emergency():
    bench = bring_to('CHARGING')
    bench.safety_overrides = {'emergency_stop': True}
    bench.step()
    bench.close()
    assert bench.command.shutdown is Shutdown.EMERGENCY
    assert bench.secc.session().stop_reason.name == 'EMERGENCY'


def test_no_timer_outlives_the_wish_to_stop_the_session():
    bench = bring_to('PRE_CHARGED')
    bench.advance(19.0)
    assert bench.ask(session_stop(), wait=1.2) is None
    bench.pilot = PilotState.B
    bench.step()
    assert bench.last.response_code == 'OK'


@pytest.mark.parametrize(('reason', 'stop_reason'), [
    (CloseReason.BY_VEHICLE, 'CONNECTION'), (CloseReason.RESET, 'CONNECTION'),
    (CloseReason.TIMEOUT, 'TIMEOUT'), (CloseReason.LINK_LOST, 'CONNECTION'),
])
def test_a_lost_connection_ends_power(reason, stop_reason):
    bench = bring_to('CHARGING')
    bench.close(reason)
    assert (bench.command.mode, bench.command.shutdown) == (Mode.OFF, Shutdown.ERROR)
    session = bench.secc.session()
    assert (session.stage.name, session.stop_reason.name) == ('FAILED', stop_reason)
    assert not bench.command.pilot_oscillator


def test_a_silent_transport_ends_power():
    bench = bring_to('CHARGING')
    bench.silent = {'transport'}
    bench.advance(0.1)
    assert bench.command.mode is Mode.CHARGE
    bench.advance(0.2)
    assert bench.command.mode is Mode.OFF
    assert bench.secc.session().faults[0].code == 505


def test_a_transport_that_was_silent_closes_the_connection_when_it_is_heard_again():
    bench = bring_to('CHARGING')
    bench.silent, before = {'transport'}, len(bench.sent)
    bench.advance(0.3)
    connection_id, session = bench.connection.connection_id, bench.secc.session()
    closes = {
        (item.connection_id, item.action, item.data_link) for item in bench.sent[before:]}
    assert closes == {(connection_id, Action.CLOSE, DataLink.ERROR)}
    assert bench.connection.state is LinkState.OPEN
    bench.silent = set()
    bench.step()
    assert bench.connection.state is LinkState.CLOSED
    assert bench.last.action is Action.CLOSE
    bench.advance(3.0)
    # Why it has ended is still told, and nothing has begun in its place.
    assert bench.secc.session() == session
    assert not bench.command.pilot_oscillator
    # The next connection counts, also if a transport that was started anew counts from the start.
    bench.connection = replace(bench.connection, connection_id=connection_id - 1)
    bench.session_id, bench.pilot = bytes(8), PilotState.B
    bring_to('CHARGING', bench)


def test_a_transport_that_is_silent_after_the_end_changes_nothing():
    bench = bring_to('ENDED')
    bench.silent, before = {'transport'}, len(bench.sent)
    bench.advance(1.0)
    bench.silent = set()
    bench.step()
    assert (bench.stage, bench.sent[before:]) == ('FINISHED', [])


@pytest.mark.parametrize('part', ['power', 'safety', 'pilot'])
def test_a_silent_part_ends_power_within_half_a_second(part):
    bench = bring_to('CHARGING')
    bench.silent = {part}
    bench.advance(0.4)
    assert bench.command.mode is Mode.CHARGE
    bench.advance(0.2)
    assert bench.command.mode is Mode.OFF
    answer = bench.ask(current_demand())
    assert (answer.response_code, answer.dc_evse_status.evse_status_code) == (
        R.FAILED, S.EVSE_MALFUNCTION)


def test_the_oscillator_comes_back_with_the_next_car_a_toggle_or_a_grant():
    def failed():
        bench = bring_to('CHARGING')
        bench.ask(setup())
        assert not bench.command.pilot_oscillator
        bench.pilot = PilotState.B
        bench.advance(3.0)
        assert not bench.command.pilot_oscillator
        return bench

    bench = failed()
    bench.pilot = PilotState.A
    bench.step()
    assert bench.command.pilot_oscillator
    bench = failed()
    bench.bcb_toggles += 1
    bench.step()
    assert bench.command.pilot_oscillator
    bench = failed()
    bench.secc.authorize('', 0.0, bench.now)
    assert bench.command.pilot_oscillator
    bring_to('CHARGING', bench)


def test_session_stop_in_the_charge_loop_ends_power_unless_read_strictly():
    bench = bring_to('CHARGING')
    assert bench.ask(session_stop(), wait=1.0) is None
    assert bench.command.mode is Mode.OFF
    bench.pilot = PilotState.B
    bench.step()
    assert bench.last.response_code == 'OK'
    for state in ('STARTED', 'CHARGING'):
        strict = bring_to(state, strict_sequence=True)
        assert strict.ask(session_stop()).response_code is R.FAILED_SEQUENCE_ERROR


def test_a_car_may_give_up_before_charging():
    for state in ('SERVICE_DISCOVERY', 'PAYMENT_SELECTION', 'AUTHENTICATION', 'PARAMETERS',
                  'CABLE_CHECK'):
        assert bring_to(state).ask(session_stop()).response_code is R.OK
    for state in ('PRE_CHARGE', 'PRE_CHARGED'):
        bench = bring_to(state)
        bench.pilot = PilotState.B
        assert bench.ask(session_stop()).response_code is R.FAILED  # B without a stop
    bench = bring_to('PRE_CHARGED')
    assert bench.ask(power_delivery(False)).response_code is R.OK
    assert bench.command.mode is Mode.STOP


def test_a_session_that_is_over_cannot_ask_for_energy():
    bench = bring_to('CHARGING')
    engine = bench.secc._engine
    assert isinstance(engine, DinEngine)
    bench.close()
    with pytest.raises(RuntimeError, match='CHARGE asked for after the session has ended'):
        engine.charge.stand_by()


def test_identifiers_by_din_spec_91286():
    assert encode_evse_id('49*89*6360') == bytes.fromhex('49a89a6360')
    assert encode_evse_id('+49*89*636') == bytes.fromhex('49a89a636f')
    assert encode_evse_id('') == b'\0'
    with pytest.raises(ValueError, match='DE'):
        encode_evse_id('DE*ABC*E1')
