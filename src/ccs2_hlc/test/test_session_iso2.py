"""Whole ISO 15118-2 sessions on a virtual clock: services, schedules, renegotiation, pause."""

import math

import pytest
from iso2_bench import (
    PAUSE,
    RENEGOTIATE,
    START,
    STOP,
    Iso2Bench,
    U,
    authorization,
    bring_to,
    cable_check,
    charge_parameters,
    current_demand,
    detail,
    discovery,
    go_on,
    parameters,
    power_delivery,
    pre_charge,
    selection,
    session_stop,
    setup,
    welding_detection,
)

from ccs2_hlc.exi.messages import iso2
from ccs2_hlc.session.command import Mode, Shutdown
from ccs2_hlc.session.schedules import Schedule, Step
from ccs2_hlc.session.services import ParameterSet, Quantity, Service
from ccs2_hlc.session.station import (
    CableCheck,
    IsolationState,
    OperatorLimits,
    PilotState,
    StopWish,
    Urgency,
)
from ccs2_hlc.session.transport import Action, DataLink, LinkState, Security

R = iso2.ResponseCode
S = iso2.DCEVSEStatusCode
P = iso2.EVSEProcessing
N = iso2.EVSENotification
I = iso2.IsolationLevel  # noqa: E741


def test_a_whole_session_tells_and_does_the_right_things():
    bench = Iso2Bench()
    bench.open()
    bench.negotiate()

    answer = bench.ask(setup(), session_id=bytes(1))
    assert answer.response_code is R.OK_NEW_SESSION_ESTABLISHED
    assert (answer.evse_id, answer.evse_time_stamp) == ('DE*ABC*E1', 1_700_000_000)
    assert len(bench.session_id) == 8
    assert any(bench.session_id)
    assert bench.secc.session().evcc_id == '007dfa06ab91'

    answer = bench.ask(discovery())
    assert answer.payment_option_list.payment_option == [iso2.PaymentOption.EXTERNAL_PAYMENT]
    assert answer.charge_service.service_id == 1
    assert answer.charge_service.supported_energy_transfer_mode.energy_transfer_mode == [
        iso2.EnergyTransferMode.DC_EXTENDED]
    assert answer.service_list is None

    bench.ask(selection())
    assert bench.ask(authorization()).evse_processing is P.FINISHED
    assert bench.secc.session().authorized

    answer = bench.ask(charge_parameters(limits=parameters(420.0, 150.0, 50_000.0, 7200)))
    limits = answer.evse_charge_parameter
    assert float(limits.evse_maximum_voltage_limit) == 1000.0
    assert float(limits.evse_maximum_current_limit) == 200.0
    assert float(limits.evse_maximum_power_limit) == 60_000.0
    assert float(limits.evse_minimum_voltage_limit) == 150.0
    assert limits.dc_evse_status.evse_isolation_status is I.INVALID
    (tuple_,) = answer.sa_schedules.sa_schedule_tuple
    (entry,) = tuple_.p_max_schedule.p_max_schedule_entry
    assert (float(entry.p_max), entry.time_interval.start, entry.time_interval.duration) == (
        60_000.0, 0, 7200)
    assert bench.secc.vehicle().departure_time == 7200

    # The car is still in B: nothing is switched on.
    answer = bench.ask(cable_check())
    assert (answer.evse_processing, answer.dc_evse_status.evse_status_code) == (
        P.ONGOING, S.EVSE_NOT_READY)
    bench.pilot = PilotState.C
    bench.step()
    assert bench.command.mode is Mode.CABLE_CHECK
    bench.advance(0.1)
    assert bench.ask(cable_check()).dc_evse_status.evse_status_code is (
        S.EVSE_ISOLATION_MONITORING_ACTIVE)
    bench.advance(2.0)
    answer = bench.ask(cable_check())
    assert (answer.evse_processing, answer.dc_evse_status.evse_status_code,
            answer.dc_evse_status.evse_isolation_status) == (P.FINISHED, S.EVSE_READY, I.VALID)

    bench.ask(pre_charge(378.4))
    assert float(bench.ask(pre_charge(378.4)).evse_present_voltage) == pytest.approx(378.4)
    answer = bench.ask(power_delivery(plan=[(0, 60_000.0)]))
    assert answer.evse_status.evse_status_code is S.EVSE_READY
    assert (bench.command.mode, bench.command.target_current) == (Mode.CHARGE, 0.0)

    bench.ask(current_demand(100.0))
    answer = bench.ask(current_demand(90.0))
    assert float(answer.evse_present_voltage) == 380.0
    assert float(answer.evse_present_current) == 100.0
    assert (answer.evse_id, answer.sa_schedule_tuple_id) == ('DE*ABC*E1', 1)
    assert answer.dc_evse_status.evse_notification is N.NONE
    assert answer.meter_info.meter_id == 'M1'
    assert answer.meter_info.meter_reading == int(bench.energy / 3600.0)
    assert answer.receipt_required is None
    assert (bench.command.target_voltage, bench.command.target_current) == (400.0, 90.0)
    assert bench.last.receive_timeout == 60.0

    answer = bench.ask(power_delivery(STOP))
    assert answer.evse_status.evse_status_code is S.EVSE_SHUTDOWN
    assert bench.safety.contactors_open
    assert abs(bench.power.current) < 1.0
    bench.pilot = PilotState.B
    bench.ask(welding_detection())
    assert bench.command.mode is Mode.WELDING_CHECK
    assert bench.ask(session_stop()).response_code is R.OK
    last = bench.last
    assert (last.action, last.data_link) == (Action.SEND_THEN_CLOSE, DataLink.TERMINATE)
    assert (bench.command.mode, bench.command.shutdown) == (Mode.OFF, Shutdown.NORMAL)
    bench.advance(5.0)
    assert not bench.command.pilot_oscillator
    session = bench.secc.session()
    assert (session.stage.name, session.stop_reason.name) == ('FINISHED', 'VEHICLE')


def test_a_car_may_stop_right_after_it_has_started():
    bench = bring_to('STARTED')
    assert bench.ask(power_delivery(STOP)).response_code is R.OK
    assert bench.secc._engine.state.name == 'STOPPED'


def test_a_missing_meter_is_no_reading():
    bench = bring_to('CHARGING')
    bench.silent = {'meter'}
    bench.advance(3.5)
    assert bench.ask(current_demand()).meter_info is None


# Services.

SERVICES = (
    Service(3, 'InternetAccess', 'Internet', True, sets=(
        ParameterSet(1, (('Protocol', 'http'), ('Port', 80), ('Fast', True),
                         ('Power', Quantity(1.5, 'W')))),
        ParameterSet(2, (('Protocol', 'https'),)))),
    Service(61000, 'Battery', 'OtherCustom', False, scope='here'))


def test_value_added_services_are_offered_described_and_selected():
    bench = bring_to('SERVICE_DISCOVERY', services=SERVICES)
    listed = bench.ask(discovery()).service_list.service
    assert [(item.service_id, item.free_service, item.service_scope) for item in listed] == [
        (3, True, None), (61000, False, 'here')]
    first, second = bench.ask(detail(3)).service_parameter_list.parameter_set
    assert [(item.name, item.string_value, item.int_value, item.bool_value)
            for item in first.parameter[:3]] == [
        ('Protocol', 'http', None, None), ('Port', None, 80, None), ('Fast', None, None, True)]
    assert float(first.parameter[3].physical_value) == 1.5
    assert (second.parameter_set_id, second.parameter[0].string_value) == (2, 'https')
    assert bench.ask(detail(61000)).service_parameter_list is None
    answer = bench.ask(selection(services=((1, None), (3, 2), (61000, None))))
    assert answer.response_code is R.OK


@pytest.mark.parametrize('chosen', [(3, 3), (61000, 1), (4, None), (1, 1)])
def test_what_was_not_offered_cannot_be_selected(chosen):
    bench = bring_to('SERVICES', services=SERVICES)
    answer = bench.ask(selection(services=((1, None), chosen)))
    assert answer.response_code is R.FAILED_SERVICE_SELECTION_INVALID


def test_a_failed_discovery_lists_no_services():
    bench = bring_to('SERVICE_DISCOVERY', services=SERVICES)
    bench.safety_overrides = {'emergency_stop': True}
    bench.step()
    assert bench.ask(discovery()).service_list is None


# Schedules.

def told(answer):
    return [
        (item.sa_schedule_tuple_id, [
            (entry.time_interval.start, entry.time_interval.duration, float(entry.p_max))
            for entry in item.p_max_schedule.p_max_schedule_entry])
        for item in answer.sa_schedules.sa_schedule_tuple]


NIGHT = (
    Schedule(1, (Step(0, math.inf),)),
    Schedule(7, (Step(0, 20_000.0), Step(3600, 50_000.0), Step(7200, 80_000.0),
                 Step(9000, 70_000.0))))


def test_several_schedules_are_offered_within_the_limits_of_the_moment():
    bench = bring_to('PARAMETERS', schedules=NIGHT)
    assert told(bench.ask(charge_parameters())) == [
        (1, [(0, 86400, 60_000.0)]),
        (7, [(0, None, 20_000.0), (3600, None, 50_000.0), (7200, 86400 - 7200, 60_000.0)])]
    bench = bring_to('PARAMETERS', schedules=NIGHT)
    bench.secc.set_limits(OperatorLimits(maximum_power=40_000.0))
    assert told(bench.ask(charge_parameters(limits=parameters(departure=3700)))) == [
        (1, [(0, 3700, 40_000.0)]), (7, [(0, None, 20_000.0), (3600, 100, 40_000.0)])]


def test_a_car_that_stores_little_gets_the_lowest_power_of_the_rest():
    bench = bring_to('PARAMETERS', schedules=NIGHT)
    assert told(bench.ask(charge_parameters(entries=2)))[1] == (
        7, [(0, None, 20_000.0), (3600, 82800, 50_000.0)])


def test_a_departure_of_zero_is_none():
    bench = bring_to('PARAMETERS')
    assert told(bench.ask(charge_parameters(limits=parameters(departure=0)))) == [
        (1, [(0, 86400, 60_000.0)])]


@pytest.mark.parametrize(('plan', 'fits'), [
    ([(0, 20_000.0), (3600, 50_000.0)], True),
    ([(0, 20_001.0)], False),
    ([(3599, 20_001.0)], False),
    ([(3600, 50_000.0)], True),
    ([(86400, 10.0)], False),
    ([(0, 20_000.0), (7200, 60_000.0), (3600, 10_000.0)], False),
    ([(0, -1.0)], False),
    ([(0, 20_000.0)] * 24, True),
    ([], None),
])
def test_a_plan_has_to_keep_to_the_chosen_schedule(plan, fits):
    bench = bring_to('PARAMETERS', schedules=NIGHT)
    go_on(bench, 'PARAMETERS', 'PRE_CHARGED')
    answer = bench.ask(power_delivery(schedule=7, plan=plan or None))
    assert answer.response_code is (
        R.FAILED_CHARGING_PROFILE_INVALID if fits is False else R.OK)


def test_a_plan_above_the_schedule_is_let_through_by_setting():
    bench = bring_to('PRE_CHARGED', strict_profile=False)
    assert bench.ask(power_delivery(plan=[(0, 1e6)])).response_code is R.OK


def test_power_keeps_to_the_chosen_schedule_as_time_goes_by():
    bench = bring_to('PRE_CHARGED', schedules=NIGHT)
    bench.ask(power_delivery(schedule=7))
    answer = bench.ask(current_demand(150.0))
    assert (answer.sa_schedule_tuple_id, answer.evse_power_limit_achieved) == (7, True)
    assert float(answer.evse_maximum_power_limit) == 20_000.0
    assert bench.command.target_current == pytest.approx(20_000.0 / 380.0)
    while bench.now < bench.secc._engine._schedules_since + 3600.0:
        bench.advance(50.0)
        answer = bench.ask(current_demand(150.0))
    assert float(answer.evse_maximum_power_limit) == 50_000.0
    assert bench.command.target_current == pytest.approx(50_000.0 / 380.0)


def test_a_new_choice_is_not_bound_by_the_old_one():
    bench = bring_to('PRE_CHARGED', schedules=NIGHT)
    bench.ask(power_delivery(schedule=7))
    bench.ask(current_demand())
    bench.ask(power_delivery(RENEGOTIATE))
    assert told(bench.ask(charge_parameters()))[0] == (1, [(0, 86400, 60_000.0)])
    bench.ask(power_delivery(schedule=1))
    assert float(bench.ask(current_demand()).evse_maximum_power_limit) == 60_000.0


# Renegotiation.

def test_a_renegotiation_keeps_the_contactors_closed_and_the_current_away():
    bench = bring_to('CHARGING')
    answer = bench.ask(power_delivery(RENEGOTIATE))
    assert (answer.response_code, answer.evse_status.evse_status_code) == (R.OK, S.EVSE_READY)
    modes = set()

    def look():
        bench.step()
        assert bench.safety.contactors_closed
        assert (bench.command.target_current or 0.0) == 0.0
        modes.add(bench.command.mode)

    look()
    bench.secc.set_limits(OperatorLimits(maximum_power=11_000.0))
    assert told(bench.ask(charge_parameters())) == [(1, [(0, 86400, 11_000.0)])]
    look()
    answer = bench.ask(cable_check())
    assert (answer.evse_processing, answer.dc_evse_status.evse_isolation_status) == (
        P.FINISHED, I.VALID)
    look()
    assert float(bench.ask(pre_charge()).evse_present_voltage) == 380.0
    look()
    assert bench.ask(power_delivery(plan=[(0, 11_001.0)])).response_code is (
        R.FAILED_CHARGING_PROFILE_INVALID)
    assert modes == {Mode.CHARGE, Mode.PRE_CHARGE}


@pytest.mark.parametrize('way', [[cable_check, pre_charge], []])
def test_after_a_renegotiation_charging_goes_on(way):
    bench = bring_to('RENEGOTIATED')
    for request in way:
        assert bench.ask(request()).response_code is R.OK
    assert bench.ask(power_delivery(START)).response_code is R.OK
    bench.ask(current_demand(50.0))
    assert bench.command.target_current == 50.0
    assert bench.ask(power_delivery(STOP)).response_code is R.OK


def test_charging_may_last_after_a_renegotiation_as_long_as_before():
    bench = bring_to('RENEGOTIATED')
    bench.ask(cable_check())
    bench.ask(pre_charge())
    bench.ask(power_delivery())
    bench.advance(25.0)
    assert bench.ask(current_demand()).response_code is R.OK


def test_the_station_asks_for_another_schedule_when_its_limits_change():
    bench = bring_to('CHARGING', renegotiation=True)
    assert bench.ask(current_demand()).dc_evse_status.evse_notification is N.NONE
    bench.secc.set_limits(OperatorLimits(maximum_power=11_000.0))
    status = bench.ask(current_demand()).dc_evse_status
    assert (status.evse_notification, status.notification_max_delay, status.evse_status_code) == (
        N.RE_NEGOTIATION, 60, S.EVSE_READY)
    # The limit itself holds at once.
    assert bench.command.target_current == pytest.approx(11_000.0 / 380.0)
    bench.ask(power_delivery(RENEGOTIATE))
    assert told(bench.ask(charge_parameters()))[0][1][0][2] == 11_000.0
    bench.ask(power_delivery())
    assert bench.ask(current_demand()).dc_evse_status.evse_notification is N.NONE


def test_a_car_may_decline_to_renegotiate():
    bench = bring_to('CHARGING', renegotiation=True)
    bench.secc.set_limits(OperatorLimits(maximum_power=11_000.0))
    for _ in range(10):
        bench.advance(10.0)
        assert bench.ask(current_demand()).response_code is R.OK


def test_without_the_setting_limits_change_in_silence():
    bench = bring_to('CHARGING')
    bench.secc.set_limits(OperatorLimits(maximum_power=11_000.0))
    answer = bench.ask(current_demand())
    assert answer.dc_evse_status.evse_notification is N.NONE
    assert float(answer.evse_maximum_power_limit) == 11_000.0


# Charging once more after the stop.

def test_after_the_stop_charging_begins_once_more_with_a_new_cable_check():
    bench = bring_to('STOPPED')
    assert bench.power.cable_check is CableCheck.VALID
    bench.ask(charge_parameters())
    assert bench.command.mode is Mode.OFF
    # The car is in B again: the old verdict must not count.
    answer = bench.ask(cable_check())
    assert (answer.evse_processing, answer.dc_evse_status.evse_status_code) == (
        P.ONGOING, S.EVSE_NOT_READY)
    bench.pilot = PilotState.C
    bench.step()
    assert bench.ask(cable_check()).evse_processing is P.ONGOING
    bench.advance(2.2)
    assert bench.ask(cable_check()).evse_processing is P.FINISHED
    go_on(bench, 'PRE_CHARGE', 'ENDED')
    assert bench.stage == 'FINISHED'


def test_the_stop_makes_the_result_of_the_cable_check_void():
    bench = bring_to('CHARGING')
    assert bench.ask(power_delivery(STOP)).evse_status.evse_isolation_status is I.INVALID
    bench.pilot = PilotState.B
    bench.step()
    assert bench.power.cable_check is CableCheck.VALID
    assert bench.ask(welding_detection()).dc_evse_status.evse_isolation_status is I.INVALID


def test_an_old_verdict_of_the_cable_check_never_counts():
    bench = bring_to('STOPPED')
    bench.power_overrides = {'cable_check': CableCheck.VALID}
    answer = bench.ask(charge_parameters())
    assert answer.evse_charge_parameter.dc_evse_status.evse_isolation_status is I.INVALID
    bench.pilot = PilotState.C
    bench.step()
    for _ in range(5):
        bench.advance(1.0)
        assert bench.ask(cable_check()).evse_processing is P.ONGOING
    bench.power_overrides = {'cable_check': CableCheck.RUNNING}
    bench.step()
    bench.power_overrides = {'cable_check': CableCheck.VALID}
    bench.step()
    assert bench.ask(cable_check()).evse_processing is P.FINISHED


def test_welding_detection_may_take_as_long_as_the_car_asks():
    bench = bring_to('WELDING_DETECTION')
    for _ in range(3):
        bench.advance(10.0)
        assert bench.ask(welding_detection()).response_code is R.OK
    assert bench.ask(session_stop()).response_code is R.OK


# Stop from the station's side.

def test_a_stop_is_announced_with_the_time_left_and_the_car_obeys():
    bench = bring_to('CHARGING')
    assert bench.secc.stop(StopWish(Urgency.NORMAL, 'grid')) is None
    for left in (10, 8, 6):
        status = bench.ask(current_demand(10.0)).dc_evse_status
        assert (status.evse_notification, status.evse_status_code) == (
            N.STOP_CHARGING, S.EVSE_SHUTDOWN)
        assert left - 1 <= status.notification_max_delay <= left
        bench.advance(2.0)
    answer = bench.ask(power_delivery(STOP))
    assert answer.evse_status.evse_notification is N.NONE
    bench.pilot = PilotState.B
    bench.advance(15.0)
    assert bench.ask(session_stop()).response_code is R.OK
    assert bench.secc.session().stop_reason.name == 'STATION'


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


def test_a_stop_is_enforced_during_a_renegotiation():
    bench = bring_to('RENEGOTIATION')
    bench.secc.stop(StopWish(Urgency.NORMAL))
    bench.step()
    bench.advance(10.1)
    assert bench.command.mode is Mode.OFF
    assert bench.ask(charge_parameters()).response_code is R.FAILED


# Pause.

def test_a_paused_session_is_joined_and_keeps_its_authorization():
    bench = Iso2Bench(automatic=False)
    bench.secc.authorize('', 60.0, bench.now)
    bring_to('STOPPED', bench)
    bench.pilot = PilotState.C  # a car that sleeps need not be back in B
    bench.step()
    assert bench.ask(session_stop(PAUSE)).response_code is R.OK
    assert (bench.last.action, bench.last.data_link) == (
        Action.SEND_THEN_CLOSE, DataLink.PAUSE)
    session = bench.secc.session()
    assert (session.stage.name, session.stop_reason.name) == ('PAUSED', 'PAUSE')
    bench.advance(5.0)
    assert not bench.command.pilot_oscillator
    assert bench.command.mode is Mode.OFF
    old = bench.session_id
    bench.come_back()
    answer = bench.ask(setup())
    assert (answer.response_code, bench.session_id) == (R.OK_OLD_SESSION_JOINED, old)
    bench.ask(discovery())
    bench.ask(selection())
    assert bench.ask(authorization()).evse_processing is P.FINISHED
    go_on(bench, 'PARAMETERS', 'ENDED')
    # That was its end: the id is not to be used again.
    bench.come_back()
    assert bench.ask(setup(), session_id=old).response_code is R.OK_NEW_SESSION_ESTABLISHED
    assert bench.session_id != old


@pytest.mark.parametrize('named', [False, True])
def test_an_authorization_can_be_withdrawn_during_a_pause(named):
    bench = Iso2Bench(automatic=False)
    bench.secc.authorize('', 60.0, bench.now)
    bring_to('PAUSED', bench)
    old = bench.session_id
    assert bench.secc.deny('0123456789abcdef') == 'session 0123456789abcdef is not running'
    assert bench.secc.deny(old.hex() if named else '') is None
    bench.come_back()
    answer = bench.ask(setup(), session_id=old)
    assert answer.response_code is R.OK_NEW_SESSION_ESTABLISHED
    bench.ask(discovery())
    bench.ask(selection())
    assert bench.ask(authorization()).evse_processing is (
        P.ONGOING_WAITING_FOR_CUSTOMER_INTERACTION)


def test_a_joined_session_can_still_be_denied():
    bench = bring_to('PAUSED')
    bench.come_back()
    bench.ask(setup())
    bench.secc.deny('')
    bench.ask(discovery())
    bench.ask(selection())
    assert bench.ask(authorization()).response_code is R.FAILED


@pytest.mark.parametrize('other', ['another id', 'unplugged', 'terminated', 'another car first'])
def test_only_the_car_that_has_paused_joins(other):
    bench = Iso2Bench(automatic=False)
    bench.secc.authorize('', 60.0, bench.now)
    bring_to('ENDED' if other == 'terminated' else 'PAUSED', bench)
    old = session_id = bench.session_id
    if other == 'another id':
        session_id = bytes([old[0] ^ 1]) + old[1:]
    elif other == 'unplugged':
        bench.close()
        bench.pilot = PilotState.A
        bench.step()
    elif other == 'another car first':
        bench.come_back()
        bench.ask(setup(), session_id=bytes(8))
    bench.come_back()
    answer = bench.ask(setup(), session_id=session_id)
    assert answer.response_code is R.OK_NEW_SESSION_ESTABLISHED
    assert bench.session_id != old
    # Nothing of the old one is left.
    bench.ask(discovery())
    bench.ask(selection())
    assert bench.ask(authorization()).evse_processing is (
        P.ONGOING_WAITING_FOR_CUSTOMER_INTERACTION)
    assert not bench.secc.session().authorized


def test_a_car_that_gives_up_before_the_set_up_may_still_come_back():
    bench = bring_to('PAUSED')
    old = bench.session_id
    bench.come_back()
    bench.come_back()
    assert bench.ask(setup(), session_id=old).response_code is R.OK_OLD_SESSION_JOINED


def test_a_failed_session_cannot_be_joined():
    bench = bring_to('CHARGING')
    old = bench.session_id
    bench.close()
    bench.come_back()
    assert bench.ask(setup(), session_id=old).response_code is R.OK_NEW_SESSION_ESTABLISHED


def test_the_station_asks_for_a_pause():
    bench = bring_to('CHARGING')
    assert bench.secc.pause('no energy') is None
    status = bench.ask(current_demand(10.0)).dc_evse_status
    assert (status.evse_notification, status.evse_status_code) == (N.STOP_CHARGING, S.EVSE_READY)
    assert 9 <= status.notification_max_delay <= 10
    assert bench.ask(power_delivery(STOP)).response_code is R.OK
    bench.pilot = PilotState.B
    bench.advance(15.0)
    assert bench.ask(session_stop(PAUSE)).response_code is R.OK
    session = bench.secc.session()
    assert (session.stop_reason.name, session.message) == ('PAUSE', 'no energy')


def test_a_pause_makes_sense_only_while_charging():
    bench = bring_to('PARAMETERS')
    assert 'not charging' in bench.secc.pause('')


# What the car tells.

@pytest.mark.parametrize(('unit', 'seconds'), [(U.S, 30.0), (U.M, 1800.0), (U.H, 108_000.0)])
def test_the_time_that_is_left_is_told_in_its_unit(unit, seconds):
    bench = bring_to('CHARGING')
    left = iso2.PhysicalValue(unit=unit, multiplier=0, value=30)
    bench.ask(current_demand(
        remaining_time_to_full_soc=left, remaining_time_to_bulk_soc=left))
    vehicle = bench.secc.vehicle()
    assert (vehicle.remaining_time, vehicle.remaining_time_to_bulk) == (seconds, seconds)


# What the station sees.

def test_the_isolation_is_told_as_it_is():
    bench = bring_to('CHARGING')
    for state, level in ((IsolationState.WARNING, I.WARNING), (IsolationState.VALID, I.VALID)):
        bench.isolation = state
        bench.step()
        assert bench.ask(current_demand()).dc_evse_status.evse_isolation_status is level


def test_the_charge_loop_has_the_sequence_time_of_the_standard():
    bench = bring_to('CHARGING')
    bench.advance(59.8)
    assert bench.stage == 'CHARGING'
    bench.advance(0.4)
    assert (bench.stage, bench.command.mode) == ('FAILED', Mode.OFF)
    assert bench.connection.state is LinkState.CLOSED


@pytest.mark.parametrize('security', Security)
def test_external_payment_works_on_any_transport(security):
    bench = bring_to('ENDED', security=security)
    assert bench.stage == 'FINISHED'
