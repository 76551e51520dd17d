"""Whole ISO 15118-20 sessions on a virtual clock: both services, both control modes, every end."""

import pytest
from iso20_bench import (
    CAR,
    DC,
    EIM,
    FINISHED,
    NEW_SCHEDULE,
    NEW_SERVICE,
    ONGOING,
    OTHER_CAR,
    PAUSE,
    STANDBY,
    START,
    STOP,
    Iso20Bench,
    R,
    authorization,
    authorization_setup,
    bring_to,
    cable_check,
    check_in,
    detail,
    discovery,
    lead_to,
    power_delivery,
    pre_charge,
    session_stop,
    setup,
    welding_detection,
)

from ccs2_hlc.exi.messages.iso20 import common, dc
from ccs2_hlc.session.command import Mode, Shutdown
from ccs2_hlc.session.iso20_services import Variant, check_variants, variants_with
from ccs2_hlc.session.schedules import Schedule, Step
from ccs2_hlc.session.services import ParameterSet, Quantity, Service
from ccs2_hlc.session.station import Needs, OperatorLimits, PilotState, StopWish, Urgency
from ccs2_hlc.session.transport import Action, DataLink, LinkState, Security
from ccs2_hlc.session.views import ControlMode

C = common.ResponseCode
N = common.EVSENotification


def test_a_whole_session_tells_and_does_the_right_things():
    bench = Iso20Bench()
    bench.open()
    bench.negotiate()
    answer = bench.ask(setup())
    assert (answer.response_code, answer.evse_id) == (C.OK_NEW_SESSION_ESTABLISHED, 'DE*ABC*E1')
    assert any(bench.session_id)
    assert bench.secc.session().evcc_id == 'WMIV1234567890ABCDEX'
    answer = bench.ask(authorization_setup())
    assert answer.authorization_services == [EIM]
    assert answer.eim_as_res_authorization_mode is not None
    assert not answer.certificate_installation_service
    answer = bench.ask(authorization())
    assert (answer.response_code, answer.evse_processing) == (C.OK, FINISHED)
    answer = bench.ask(discovery())
    assert [item.service_id for item in answer.energy_transfer_service_list.service] == [2, 6]
    assert answer.vas_list is None
    assert answer.service_renegotiation_supported
    sets = bench.ask(detail(2)).service_parameter_list.parameter_set
    assert [
        (item.parameter_set_id, {entry.name: entry.int_value for entry in item.parameter})
        for item in sets] == [
            (1, {'Connector': 2, 'ControlMode': 1, 'MobilityNeedsMode': 1, 'Pricing': 0}),
            (2, {'Connector': 2, 'ControlMode': 2, 'MobilityNeedsMode': 1, 'Pricing': 0})]
    sets = bench.ask(detail(6)).service_parameter_list.parameter_set
    assert {'BPTChannel', 'GeneratorMode'} <= {entry.name for entry in sets[0].parameter}
    assert bench.ask(bench.selection()).response_code is C.OK
    session = bench.secc.session()
    assert (session.control_mode, session.bidirectional) == (ControlMode.SCHEDULED, False)

    limits = bench.ask(bench.charge_parameters()).dc_cpd_res_energy_transfer_mode
    assert type(limits) is dc.DCCPDResEnergyTransferMode
    assert float(limits.evse_maximum_voltage) == 1000.0
    assert float(limits.evse_maximum_charge_current) == 200.0
    assert float(limits.evse_maximum_charge_power) == 60_000.0
    assert bench.last.payload_type == DC

    answer = bench.ask(bench.schedule_exchange())
    (choice,) = answer.scheduled_se_res_control_mode.schedule_tuple
    (entry,) = choice.charging_schedule.power_schedule.power_schedule_entries.power_schedule_entry
    assert (choice.schedule_tuple_id, entry.duration, float(entry.power)) == (1, 86400, 60_000.0)
    assert choice.charging_schedule.power_schedule.time_anchor == 1_700_000_000
    assert choice.discharging_schedule is None

    # The car is still in B: nothing is switched on.
    assert bench.ask(cable_check()).evse_processing is ONGOING
    assert bench.command.mode is Mode.OFF
    bench.pilot = PilotState.C
    bench.step()
    assert bench.command.mode is Mode.CABLE_CHECK
    bench.advance(2.2)
    assert bench.ask(cable_check()).evse_processing is FINISHED
    bench.ask(pre_charge(378.4))
    assert float(bench.ask(pre_charge(378.4, FINISHED)).evse_present_voltage) == 378.4
    assert (bench.command.mode, bench.command.target_current) == (Mode.PRE_CHARGE, None)
    answer = bench.ask(power_delivery(profile=bench.profile(50_000.0)))
    assert (answer.response_code, answer.evse_status) == (C.OK, None)
    assert (bench.command.mode, bench.command.target_current) == (Mode.CHARGE, 0.0)
    assert bench.last.receive_timeout == 60.0

    bench.ask(bench.charge_loop(100.0))
    answer = bench.ask(bench.charge_loop(90.0))
    assert bench.last.receive_timeout == 0.5
    assert float(answer.evse_present_current) == 100.0
    assert float(answer.evse_present_voltage) == 380.0
    assert type(answer.cl_res_control_mode) is dc.ScheduledDCCLResControlMode
    assert (bench.command.target_voltage, bench.command.target_current) == (400.0, 90.0)
    assert (answer.evse_status, answer.meter_info) == (None, None)
    assert bench.stage == 'CHARGING'

    assert bench.ask(power_delivery(STOP)).response_code is C.OK
    assert bench.command.mode is Mode.STOP
    assert bench.safety.contactors_open
    bench.pilot = PilotState.B
    answer = bench.ask(welding_detection())
    assert (answer.response_code, bench.command.mode) == (C.OK, Mode.WELDING_CHECK)
    assert bench.ask(session_stop()).response_code is C.OK
    assert (bench.last.action, bench.last.data_link) == (
        Action.SEND_THEN_CLOSE, DataLink.TERMINATE)
    assert (bench.command.mode, bench.command.shutdown) == (Mode.OFF, Shutdown.NORMAL)
    bench.advance(5.0)
    assert bench.connection.state is LinkState.CLOSED
    session = bench.secc.session()
    assert (session.stage.name, session.stop_reason.name) == ('FINISHED', 'VEHICLE')


@pytest.mark.parametrize('dynamic', [False, True])
@pytest.mark.parametrize('service', [2, 6])
def test_every_service_in_every_control_mode(service, dynamic):
    bench = bring_to('ENDED', service=service, dynamic=dynamic)
    session = bench.secc.session()
    assert session.bidirectional is (service == 6)
    assert session.control_mode is (ControlMode.DYNAMIC if dynamic else ControlMode.SCHEDULED)
    assert session.stage.name == 'FINISHED'


@pytest.mark.parametrize('security', Security)
def test_it_is_spoken_only_with_a_verified_vehicle_certificate(security):
    bench = Iso20Bench(security=security)
    bench.open()
    code = bench.negotiate().response_code.value
    assert code.startswith('OK') is (security is Security.TLS_1_3_MUTUAL)


# Authorization.

def test_the_car_waits_for_its_authorization():
    bench = bring_to('AUTHORIZATION', automatic=False)
    for _ in range(3):
        answer = bench.ask(authorization())
        assert answer.evse_processing.value == 'Ongoing_WaitingForCustomerInteraction'
        bench.advance(1.0)
    assert bench.secc.authorize(bench.session_id.hex(), 0.0, bench.now) is None
    assert bench.ask(authorization()).evse_processing is FINISHED
    assert bench.secc.session().authorized


def test_a_denied_car_is_warned_and_gets_no_energy():
    bench = bring_to('AUTHORIZATION', automatic=False)
    bench.secc.deny('')
    for _ in range(2):
        answer = bench.ask(authorization())
        assert answer.response_code is C.WARNING_EIM_AUTHORIZATION_FAILURE
        assert answer.evse_processing is FINISHED
        assert bench.last.action is Action.SEND
    assert not bench.secc.session().authorized
    assert bench.ask(discovery()).response_code is C.FAILED_SEQUENCE_ERROR


# Services.

def test_discharging_is_offered_only_by_a_power_stage_that_can():
    bench = Iso20Bench()
    bench.power_overrides = {'maximum_discharge_current': None, 'maximum_discharge_power': None}
    bring_to('SERVICE_DISCOVERY', bench)
    answer = bench.ask(discovery())
    assert [item.service_id for item in answer.energy_transfer_service_list.service] == [2]
    assert bench.ask(detail(6)).response_code is C.FAILED_SERVICE_ID_INVALID


PARKING = Service(66, 'Parking', 'OtherCustom', True, sets=(
    ParameterSet(1, (('IntendedService', 1), ('ParkingStatusType', 4))),))
OTHER = Service(100, 'Other', 'OtherCustom', False, sets=(
    ParameterSet(1, (('Text', 'a'), ('Flag', True), ('Size', Quantity(1.5, 'W')))),))


def test_other_services_are_offered_as_the_car_knows_them():
    bench = bring_to('SERVICE_DISCOVERY', services=(PARKING, OTHER))
    answer = bench.ask(discovery([66]))
    assert [item.service_id for item in answer.vas_list.service] == [66]
    parameters = bench.ask(detail(100)).service_parameter_list.parameter_set[0].parameter
    assert (parameters[0].finite_string, parameters[1].bool_value) == ('a', True)
    assert float(parameters[2].rational_number) == 1.5
    assert bench.ask(bench.selection(added=(66, 100))).response_code is C.OK


@pytest.mark.parametrize(('variants', 'wrong'), [
    ({2: ()}, 'none'),
    ({2: (Variant(number=1, control=ControlMode.SCHEDULED),)}, 'dynamic'),
    ({2: (Variant(number=1, control=ControlMode.SCHEDULED),
          Variant(number=1, control=ControlMode.DYNAMIC))}, 'unique'),
    ({2: (Variant(number=1, control=ControlMode.SCHEDULED, mobility=2),
          Variant(number=2, control=ControlMode.DYNAMIC))}, 'MobilityNeedsMode'),
    ({2: (Variant(number=1, control=ControlMode.SCHEDULED, channel=1),
          Variant(number=2, control=ControlMode.DYNAMIC))}, 'needs'),
    ({6: (Variant(number=1, control=ControlMode.SCHEDULED),
          Variant(number=2, control=ControlMode.DYNAMIC))}, 'needs'),
    ({2: (Variant(number=1, control=ControlMode.SCHEDULED, connector=9),
          Variant(number=2, control=ControlMode.DYNAMIC))}, 'Connector is 9'),
])
def test_parameter_sets_that_do_not_go_together_are_named(variants, wrong):
    with pytest.raises(ValueError, match=wrong):
        check_variants(variants)


@pytest.mark.parametrize('mobility_needs', [False, True])
def test_the_parameter_sets_of_every_station_go_together(mobility_needs):
    check_variants(variants_with(None, mobility_needs))


# Schedules.

def test_schedules_are_offered_as_the_car_can_store_them_and_are_kept():
    schedules = (
        Schedule(1, (Step(0, 20_000.0), Step(3600, 1e6))), Schedule(7, (Step(0, 11_000.0),)))
    bench = bring_to('SCHEDULE_EXCHANGE', schedules=schedules)
    answer = bench.ask(bench.schedule_exchange(departure=7200))
    first, second = answer.scheduled_se_res_control_mode.schedule_tuple
    entries = first.charging_schedule.power_schedule.power_schedule_entries.power_schedule_entry
    assert [(item.duration, float(item.power)) for item in entries] == [
        (3600, 20_000.0), (3600, 60_000.0)]
    assert second.schedule_tuple_id == 7
    lead_to('PRE_CHARGED', bench, 'SCHEDULED')
    bench.ask(power_delivery(profile=bench.profile(11_000.0, schedule=7)))
    answer = bench.ask(bench.charge_loop(100.0))
    assert bench.command.target_current == pytest.approx(11_000.0 / 380.0)
    assert float(answer.cl_res_control_mode.evse_maximum_charge_power) == 11_000.0
    # It wants more than its own profile says.
    assert answer.response_code is C.WARNING_EV_POWER_PROFILE_VIOLATION
    assert bench.ask(bench.charge_loop(28.0)).response_code is C.OK


@pytest.mark.parametrize(('profile', 'code'), [
    ({'power': 11_001.0}, C.FAILED_EV_POWER_PROFILE_VIOLATION),
    # The schedule falls after an hour, and ends after two.
    ({'power': 11_000.0, 'duration': 3601}, C.FAILED_EV_POWER_PROFILE_VIOLATION),
    ({'power': 4000.0, 'duration': 7201}, C.FAILED_EV_POWER_PROFILE_VIOLATION),
    ({'schedule': 2}, C.FAILED_SCHEDULE_SELECTION_INVALID),
    ({'dynamic': True}, C.FAILED_EV_POWER_PROFILE_INVALID)])
def test_profiles_are_checked_against_the_schedule(profile, code):
    bench = bring_to('SCHEDULE_EXCHANGE', schedules=(
        Schedule(1, (Step(0, 11_000.0), Step(3600, 4000.0))),))
    bench.ask(bench.schedule_exchange(departure=7200))
    lead_to('PRE_CHARGED', bench, 'SCHEDULED')
    answer = bench.ask(power_delivery(profile=bench.profile(**profile)))
    assert answer.response_code is code
    assert bench.command.mode is Mode.OFF


def test_a_car_that_gives_more_than_it_has_planned_is_warned():
    bench = bring_to('PRE_CHARGED', service=6)
    bench.ask(power_delivery(profile=bench.profile(-5000.0)))
    for current, code in (
            (-13.0, C.OK), (0.0, C.OK), (-55.0, C.WARNING_EV_POWER_PROFILE_VIOLATION),
            (20.0, C.WARNING_EV_POWER_PROFILE_VIOLATION)):
        assert bench.ask(bench.charge_loop(current)).response_code is code


def test_another_schedule_is_wanted_when_the_operators_limits_change():
    bench = bring_to('CHARGING', renegotiation=True)
    assert bench.ask(bench.charge_loop()).evse_status is None
    bench.secc.set_limits(OperatorLimits(maximum_power=20_000.0))
    status = bench.ask(bench.charge_loop()).evse_status
    assert status.evse_notification is N.SCHEDULE_RENEGOTIATION
    answer = bench.ask(power_delivery(NEW_SCHEDULE))
    assert answer.response_code is C.OK
    assert (bench.command.mode, bench.command.target_current) == (Mode.CHARGE, 0.0)
    answer = bench.ask(bench.schedule_exchange())
    (choice,) = answer.scheduled_se_res_control_mode.schedule_tuple
    (entry,) = choice.charging_schedule.power_schedule.power_schedule_entries.power_schedule_entry
    assert float(entry.power) == 20_000.0
    # No new cable check: the contactors have stayed closed.
    assert bench.safety.contactors_closed
    bench.ask(power_delivery(START))
    answer = bench.ask(bench.charge_loop())
    assert (answer.response_code, answer.evse_status) == (C.OK, None)


@pytest.mark.parametrize('acceptance', [None, *common.PowerToleranceAcceptance])
def test_a_tolerance_that_is_agreed_holds_both_ways(acceptance):
    agreed = acceptance is common.PowerToleranceAcceptance.POWER_TOLERANCE_CONFIRMED
    bench = bring_to(
        'SCHEDULE_EXCHANGE', schedules=(Schedule(1, (Step(0, 20_000.0),), tolerance=500.0),))
    (choice,) = bench.ask(bench.schedule_exchange()).scheduled_se_res_control_mode.schedule_tuple
    assert float(choice.charging_schedule.power_schedule.power_tolerance) == 500.0
    lead_to('PRE_CHARGED', bench, 'SCHEDULED')
    answer = bench.ask(power_delivery(profile=bench.profile(15_000.0, tolerance=acceptance)))
    assert answer.response_code is (
        C.OK_POWER_TOLERANCE_CONFIRMED if agreed else C.WARNING_POWER_TOLERANCE_NOT_CONFIRMED)
    # The first set-point comes before the battery's voltage is there.
    bench.ask(bench.charge_loop(15_000.0 / 380.0))
    for power, leaves in (
            (15_000.0, False), (15_400.0, not agreed), (15_600.0, True), (14_600.0, False),
            (14_400.0, agreed)):
        code = bench.ask(bench.charge_loop(power / 380.0)).response_code
        assert code is (C.WARNING_EV_POWER_PROFILE_VIOLATION if leaves else C.OK), power


# What the vehicle needs, by the operator's word.

def test_needs_are_told_to_a_vehicle_that_has_chosen_that():
    bench = bring_to('SERVICE_DETAIL', mobility_needs=True, dynamic=True, shared=3)
    sets = bench.ask(detail(2)).service_parameter_list.parameter_set
    assert [
        {entry.name: entry.int_value for entry in item.parameter}['MobilityNeedsMode']
        for item in sets] == [1, 1, 2]
    lead_to('SCHEDULE_EXCHANGE', bench, 'SERVICE_SELECTION')
    assert bench.secc.set_needs(Needs(bench.now + 3600.0, 0.3, 0.7)) is None
    told = bench.ask(bench.schedule_exchange()).dynamic_se_res_control_mode
    assert (told.departure_time, told.minimum_soc, told.target_soc) == (3600, 30, 70)
    lead_to('CHARGING', bench, 'SCHEDULED')
    told = bench.ask(bench.charge_loop()).cl_res_control_mode
    assert 3590 <= told.departure_time < 3600
    assert (told.minimum_soc, told.target_soc) == (30, 70)
    # It has had time to make them its own, until the operator says something else.
    for _ in range(150):
        bench.advance(0.2)
        told = bench.ask(bench.charge_loop()).cl_res_control_mode
    assert told.ack_max_delay is None
    assert bench.secc.set_needs(Needs(target_state_of_charge=0.6)) is None
    told = bench.ask(bench.charge_loop()).cl_res_control_mode
    assert (told.departure_time, told.minimum_soc, told.target_soc) == (None, None, 60)
    assert told.ack_max_delay == 30


def test_the_station_leads_by_the_needs():
    bench = bring_to('CHARGING', service=6, dynamic=True, mobility_needs=True, shared=3)
    bench.secc.set_needs(Needs(None, 0.4, 0.6))

    def current(state_of_charge, **wishes):
        display = dc.DisplayParameters(present_soc=state_of_charge)
        bench.ask(bench.charge_loop(display=display, **wishes))
        return bench.command.target_current

    assert current(59) > 0.0
    assert current(60) == 0.0
    assert current(59) > 0.0
    assert current(41, target=-5000) < 0.0
    assert current(40, target=-5000) == 0.0


@pytest.mark.parametrize('settings', [
    {'dynamic': True}, {'dynamic': True, 'mobility_needs': True}, {'mobility_needs': True}])
def test_needs_are_not_told_to_others(settings):
    bench = bring_to('SCHEDULE_EXCHANGE', **settings)
    assert 'not chosen' in bench.secc.set_needs(Needs(target_state_of_charge=0.5))
    answer = bench.ask(bench.schedule_exchange())
    if settings.get('dynamic'):
        assert answer.dynamic_se_res_control_mode.target_soc is None
    lead_to('CHARGING', bench, 'SCHEDULED')
    mode = bench.ask(bench.charge_loop()).cl_res_control_mode
    assert getattr(mode, 'target_soc', None) is None
    assert getattr(mode, 'ack_max_delay', None) is None


def test_needs_are_of_one_session():
    bench = bring_to('CHARGING', dynamic=True, mobility_needs=True, shared=3)
    bench.secc.set_needs(Needs(target_state_of_charge=0.5))
    lead_to('ENDED', bench, 'CHARGING')
    assert 'no session' in bench.secc.set_needs(Needs())
    bench.come_back()
    lead_to('CHARGING', bench)
    assert bench.ask(bench.charge_loop()).cl_res_control_mode.target_soc is None


# Both directions.

def test_energy_flows_out_of_the_car_within_both_sides_limits():
    bench = bring_to('CHARGING', service=6)
    bench.ask(bench.charge_loop(-50.0))
    answer = bench.ask(bench.charge_loop(-500.0))
    assert float(answer.evse_present_current) == -50.0
    # 20 kW at 380 V is less than 60 A.
    assert bench.command.target_current == pytest.approx(-20_000.0 / 380.0)
    assert bench.command.maximum_discharge_current == 60.0
    limits = answer.cl_res_control_mode
    assert type(limits) is dc.BPTScheduledDCCLResControlMode
    assert float(limits.evse_maximum_discharge_current) == 100.0
    assert float(limits.evse_minimum_voltage) == 150.0
    assert answer.evse_current_limit_achieved
    bench.ask(bench.charge_loop(-500.0, ev_maximum_discharge_current=-5.0))
    assert bench.command.target_current == -5.0
    bench.secc.set_limits(OperatorLimits(maximum_discharge_current=0.0))
    assert bench.command.target_current == 0.0
    bench.ask(bench.charge_loop(50.0))
    assert bench.command.target_current == 50.0


def test_nothing_flows_out_of_a_car_that_has_not_chosen_that():
    bench = bring_to('CHARGING')
    bench.ask(bench.charge_loop(-50.0))
    assert bench.command.target_current == 0.0
    assert bench.command.maximum_discharge_current is None


def test_limits_and_schedules_of_discharging_are_told():
    bench = bring_to('PARAMETERS', service=6)
    limits = bench.ask(bench.charge_parameters()).dc_cpd_res_energy_transfer_mode
    assert float(limits.evse_maximum_discharge_power) == 30_000.0
    assert bench.secc.vehicle().maximum_discharge_current == 60.0
    answer = bench.ask(bench.schedule_exchange())
    (choice,) = answer.scheduled_se_res_control_mode.schedule_tuple
    schedule = choice.discharging_schedule.power_schedule
    assert float(schedule.power_schedule_entries.power_schedule_entry[0].power) == 30_000.0


def test_a_schedule_of_discharging_is_kept_to():
    schedule = Schedule(1, (Step(0, 50e3),), discharge=(Step(0, 19e3), Step(10, 0.0)))
    bench = bring_to('CHARGING', service=6, schedules=(schedule,))
    answer = bench.ask(bench.charge_loop(-60.0))
    assert bench.command.target_current == pytest.approx(-19e3 / 380.0)
    assert float(answer.cl_res_control_mode.evse_maximum_discharge_power) == 19e3
    for _ in range(50):
        answer = bench.ask(bench.charge_loop(-60.0))
        bench.advance(0.2)
    assert bench.command.target_current == 0.0
    assert float(answer.cl_res_control_mode.evse_maximum_discharge_power) == 0.0


@pytest.mark.parametrize(('power', 'code'), [
    (-20e3, 'OK'), (-21e3, 'FAILED_EVPowerProfileViolation')])
def test_a_plan_of_discharging_is_checked(power, code):
    schedule = Schedule(1, (Step(0, 50e3),), discharge=(Step(0, 20e3),))
    bench = bring_to('PRE_CHARGED', service=6, schedules=(schedule,))
    answer = bench.ask(power_delivery(profile=bench.profile(power)))
    assert answer.response_code.value == code


@pytest.mark.parametrize('service', [2, 6])
def test_the_first_schedule_holds_where_the_station_leads(service):
    first = Schedule(1, (Step(0, 19e3),), discharge=(Step(0, 3800.0),))
    bench = bring_to(
        'CHARGING', service=service, dynamic=True,
        schedules=(first, Schedule(2, (Step(0, 50e3),))))
    bench.ask(bench.charge_loop())
    assert bench.command.target_current == pytest.approx(50.0)
    if service == 6:
        bench.ask(bench.charge_loop(target=-5000))
        assert bench.command.target_current == pytest.approx(-10.0)


@pytest.mark.parametrize('service', [2, 6])
def test_dynamic_control_leads_the_car(service):
    bench = bring_to('CHARGING', service=service, dynamic=True)
    assert bench.command.target_voltage == 420.0
    assert bench.command.target_current == 150.0
    bench.ask(bench.charge_loop(ev_maximum_charge_power=0.0))
    assert bench.command.target_current == 0.0
    bench.ask(bench.charge_loop())
    assert bench.command.target_current == 150.0
    # Full.
    bench.ask(bench.charge_loop(target=0, maximum=0))
    assert bench.command.target_current == 0.0


def test_dynamic_control_discharges_what_the_car_can_spare():
    bench = bring_to('CHARGING', service=6, dynamic=True)
    discharging = pytest.approx(-20_000.0 / 380.0)
    bench.ask(bench.charge_loop(target=-5000))
    assert (bench.command.target_voltage, bench.command.target_current) == (200.0, discharging)
    bench.ask(bench.charge_loop(target=-5000, minimum=10))
    assert bench.command.target_current == 0.0
    # The operator takes energy instead of giving it.
    bench.secc.set_limits(OperatorLimits(maximum_power=0.0))
    bench.ask(bench.charge_loop())
    assert bench.command.target_current == discharging
    bench.ask(bench.charge_loop(ev_minimum_v2x_energy_request=100.0))
    assert bench.command.target_current == 0.0


def test_a_target_voltage_of_zero_means_the_one_before():
    bench = bring_to('CHARGING')
    bench.ask(bench.charge_loop(voltage=390.0))
    bench.ask(bench.charge_loop(voltage=0.0))
    assert bench.command.target_voltage == 390.0


def test_a_power_of_zero_holds_until_the_car_tells_another():
    bench = bring_to('CHARGING')
    for limits, current in (
            ({'ev_maximum_charge_power': 0.0}, 0.0), ({}, 0.0),
            ({'ev_maximum_charge_power': 38e3}, 100.0), ({}, 100.0)):
        bench.ask(bench.charge_loop(current=100.0, **limits))
        assert bench.command.target_current == current


def test_a_first_target_voltage_of_zero_means_that_of_the_pre_charge():
    bench = bring_to('CHARGING')
    bench.ask(bench.charge_loop(voltage=410.0))
    lead_to('STOPPED', bench, 'CHARGING')
    bench.ask(session_stop(NEW_SERVICE))
    lead_to('PRE_CHARGED', bench, 'SERVICE_DISCOVERY')
    bench.ask(pre_charge(378.4))
    bench.ask(power_delivery())
    bench.ask(bench.charge_loop(voltage=0.0))
    assert bench.command.target_voltage == 378.4


# Power delivery.

def test_a_car_that_is_not_ready_yet_is_waited_for():
    bench = bring_to('PRE_CHARGED')
    bench.ask(power_delivery(processing=ONGOING))
    assert bench.command.mode is Mode.PRE_CHARGE
    bench.ask(power_delivery())
    assert bench.command.mode is Mode.CHARGE
    bench.ask(bench.charge_loop())
    bench.ask(power_delivery(STOP, processing=ONGOING))
    assert (bench.command.mode, bench.command.target_current) == (Mode.CHARGE, 0.0)
    bench.ask(power_delivery(STOP))
    assert bench.command.mode is Mode.STOP


def test_standby_keeps_the_contactors_closed_without_current():
    bench = bring_to('STANDBY', renegotiation=True)
    assert (bench.command.mode, bench.command.target_current) == (Mode.CHARGE, 0.0)
    assert bench.ask(power_delivery(STANDBY)).evse_status is None
    bench.secc.set_limits(OperatorLimits(maximum_power=20_000.0))
    status = bench.ask(power_delivery(STANDBY)).evse_status
    assert status.evse_notification is N.EXIT_STANDBY
    assert bench.ask(power_delivery(START)).response_code is C.OK
    bench.ask(bench.charge_loop(10.0))
    assert bench.command.target_current == 10.0


@pytest.mark.parametrize('state', ['CHARGING', 'LEAVING'])
def test_standby_that_is_not_offered_is_warned_of(state):
    bench = bring_to(state, standby=False)
    answer = bench.ask(power_delivery(STANDBY))
    assert answer.response_code is C.WARNING_STANDBY_NOT_ALLOWED
    assert bench.ask(bench.charge_loop()).response_code is C.OK


@pytest.mark.parametrize(('service', 'code'), [(2, C.FAILED), (6, C.OK)])
def test_a_channel_is_selected_with_both_directions_only(service, code):
    bench = bring_to('PRE_CHARGED', service=service)
    request = power_delivery()
    request.bpt_channel_selection = common.ChannelSelection.CHARGE
    assert bench.ask(request).response_code is code


def test_a_car_may_stop_before_there_was_power():
    bench = bring_to('SCHEDULED')
    assert bench.ask(power_delivery(START)).response_code is C.FAILED_POWER_DELIVERY_NOT_APPLIED
    bench = bring_to('SCHEDULED')
    assert bench.ask(power_delivery(STANDBY)).response_code is C.WARNING_STANDBY_NOT_ALLOWED
    assert bench.ask(power_delivery(STOP)).response_code is C.OK
    assert bench.command.mode is Mode.OFF
    assert bench.ask(session_stop(PAUSE)).response_code is C.OK
    assert bench.stage == 'PAUSED'


# What the station wants.

def test_a_stop_is_announced_and_obeyed():
    bench = bring_to('CHARGING')
    bench.secc.stop(StopWish(Urgency.NORMAL, 'operator'))
    status = bench.ask(bench.charge_loop()).evse_status
    assert (status.evse_notification, status.notification_max_delay) == (N.TERMINATE, 0)
    assert bench.ask(power_delivery(STOP)).evse_status is None
    bench.pilot = PilotState.B
    assert bench.ask(session_stop()).response_code is C.OK
    assert bench.secc.session().stop_reason.name == 'STATION'


def test_a_stop_that_is_ignored_ends_the_session():
    bench = bring_to('CHARGING')
    bench.secc.stop(StopWish(Urgency.NORMAL, 'operator'))
    began = bench.now
    while (answer := bench.ask(bench.charge_loop())).response_code is C.OK:
        bench.advance(0.2)
    assert answer.response_code is C.FAILED
    assert 9.9 < bench.now - began < 10.6
    assert bench.command.mode is Mode.OFF


def test_a_pause_is_wished_for_with_a_time_that_runs_down():
    bench = bring_to('CHARGING')
    assert bench.secc.pause('load') is None
    status = bench.ask(bench.charge_loop()).evse_status
    assert (status.evse_notification, status.notification_max_delay) == (N.PAUSE, 60)
    for _ in range(12):
        bench.advance(0.2)
        status = bench.ask(bench.charge_loop()).evse_status
    assert status.notification_max_delay == 57
    bench.ask(power_delivery(STOP))
    bench.pilot = PilotState.B
    bench.ask(session_stop(PAUSE))
    session = bench.secc.session()
    assert (session.stage.name, session.stop_reason.name) == ('PAUSED', 'PAUSE')
    assert (bench.last.data_link, bench.command.mode) == (DataLink.PAUSE, Mode.OFF)


@pytest.mark.parametrize('dynamic', [False, True])
@pytest.mark.parametrize('state', ['SERVICE_DISCOVERY', 'PARAMETERS', 'SCHEDULE_EXCHANGE'])
def test_a_pause_before_there_is_power_is_told_with_the_schedules(state, dynamic):
    bench = bring_to(state, dynamic=dynamic)
    assert bench.secc.pause('load') is None
    bench.advance(50.0)
    if state != 'SCHEDULE_EXCHANGE':
        lead_to('SCHEDULE_EXCHANGE', bench, state)
    assert bench.ask(bench.schedule_exchange()).go_to_pause
    assert bench.ask(power_delivery(STOP)).response_code is C.OK
    assert bench.ask(session_stop(PAUSE)).response_code is C.OK
    assert (bench.stage, bench.last.data_link) == ('PAUSED', DataLink.PAUSE)
    assert bench.secc.session().stop_reason.name == 'PAUSE'


def test_a_car_that_does_not_pause_before_there_is_power_gets_none():
    bench = bring_to('SCHEDULE_EXCHANGE')
    bench.secc.pause('load')
    bench.ask(bench.schedule_exchange())
    lead_to('PRE_CHARGED', bench, 'SCHEDULED')
    answer = bench.ask(power_delivery())
    assert answer.response_code is C.FAILED_POWER_DELIVERY_NOT_APPLIED
    assert bench.command.mode is Mode.OFF


def test_schedules_do_not_tell_of_a_pause_that_nobody_wants():
    bench = bring_to('SCHEDULE_EXCHANGE')
    assert bench.ask(bench.schedule_exchange()).go_to_pause is None


@pytest.mark.parametrize('state', ['AUTHORIZATION', 'SCHEDULED', 'PRE_CHARGED', 'STOPPED'])
def test_where_no_message_could_tell_a_pause_it_is_refused(state):
    assert 'no message' in bring_to(state).secc.pause('load')


def test_a_stop_overrules_a_pause():
    bench = bring_to('CHARGING')
    bench.secc.pause('load')
    bench.ask(bench.charge_loop())
    bench.secc.stop(StopWish(Urgency.NORMAL, 'operator'))
    status = bench.ask(bench.charge_loop()).evse_status
    assert status.evse_notification is N.TERMINATE
    began = bench.now
    while bench.ask(bench.charge_loop()).response_code is C.OK:
        bench.advance(0.2)
    assert bench.now - began < 10.6


def test_a_station_that_cannot_discharge_any_more_wants_another_service():
    bench = bring_to('CHARGING', service=6)
    bench.power_overrides = {'maximum_discharge_power': None}
    status = bench.ask(bench.charge_loop()).evse_status
    assert status.evse_notification is N.SERVICE_RENEGOTIATION
    bench.ask(bench.charge_loop(-50.0))
    assert bench.command.target_current == 0.0


def test_services_are_renegotiated_on_the_same_connection():
    bench = bring_to('WELDING_DETECTION', service=6)
    first = bench.session_id
    answer = bench.ask(session_stop(NEW_SERVICE))
    assert (answer.response_code, bench.last.action) == (C.OK, Action.SEND)
    assert bench.command.mode is Mode.OFF
    assert bench.secc.session().control_mode is ControlMode.NONE
    bench.service = 2
    lead_to('CHARGING', bench, 'SERVICE_DISCOVERY')
    assert bench.session_id == first
    assert not bench.secc.session().bidirectional
    lead_to('ENDED', bench, 'CHARGING')


def test_what_a_car_gave_is_forgotten_with_the_service():
    bench = bring_to('CHARGING', service=6)
    bench.ask(bench.charge_loop(-50.0))
    assert bench.command.target_current == -50.0
    lead_to('STOPPED', bench, 'CHARGING')
    bench.ask(session_stop(NEW_SERVICE))
    assert bench.command.maximum_discharge_current is None
    assert bench.secc.vehicle().maximum_discharge_power is None
    bench.service = 2
    lead_to('CHARGING', bench, 'SERVICE_DISCOVERY')
    bench.ask(bench.charge_loop(-50.0))
    assert bench.command.target_current == 0.0
    assert bench.command.maximum_discharge_current is None


def test_the_second_cable_check_is_a_new_one():
    bench = bring_to('WELDING_DETECTION')
    bench.ask(session_stop(NEW_SERVICE))
    lead_to('SCHEDULED', bench, 'SERVICE_DISCOVERY')
    bench.cable_check_time = 60.0
    bench.pilot = PilotState.C
    bench.step()
    assert bench.ask(cable_check()).evse_processing is ONGOING
    bench.advance(1.0)
    assert bench.ask(cable_check()).evse_processing is ONGOING


# Pause and resume.

def authorized(bench):
    bench.secc.authorize('', 60.0, bench.now)
    return bench


def test_the_same_car_joins_its_session_and_skips_the_authorization():
    bench = authorized(Iso20Bench(automatic=False, service=6, dynamic=True))
    bring_to('PAUSED', bench)
    old = bench.session_id
    bench.come_back()
    answer = bench.ask(setup(), session_id=old)
    assert (answer.response_code, bench.session_id) == (C.OK_OLD_SESSION_JOINED, old)
    session = bench.secc.session()
    assert session.authorized
    assert session.bidirectional
    lead_to('ENDED', bench, 'PARAMETERS')


def test_the_other_services_of_a_joined_session_are_kept():
    parking = Service(66, 'ParkingStatus', 'OtherCustom', True, None, (
        ParameterSet(1, (('IntendedService', 2), ('ParkingStatusType', 4))),))
    bench = bring_to('SERVICE_SELECTION', services=(parking,))
    bench.ask(bench.selection(added=(66,)))
    lead_to('PAUSED', bench, 'PARAMETERS')
    old = bench.session_id
    bench.come_back()
    bench.ask(setup(), session_id=old)
    assert bench.ask(check_in()).response_code is C.OK


@pytest.mark.parametrize('certificate', [OTHER_CAR, b''])
def test_another_car_with_the_old_id_inherits_nothing(certificate):
    bench = authorized(Iso20Bench(automatic=False))
    bring_to('PAUSED', bench)
    old, bench.certificate = bench.session_id, certificate
    bench.come_back()
    answer = bench.ask(setup(), session_id=old)
    assert answer.response_code is C.OK_NEW_SESSION_ESTABLISHED
    assert bench.session_id != old
    assert not bench.secc.session().authorized
    bench.ask(authorization_setup())
    assert bench.ask(authorization()).evse_processing is not FINISHED
    # Nor is the old session still there for its own car.
    bench.certificate = CAR
    bench.come_back()
    assert bench.ask(setup(), session_id=old).response_code is C.OK_NEW_SESSION_ESTABLISHED


def test_unplugging_ends_a_paused_session():
    bench = authorized(Iso20Bench(automatic=False))
    bring_to('PAUSED', bench)
    old = bench.session_id
    bench.pilot = PilotState.A
    bench.step()
    bench.come_back()
    assert bench.ask(setup(), session_id=old).response_code is C.OK_NEW_SESSION_ESTABLISHED


# Timers.

def test_a_car_that_is_silent_in_the_charge_loop_loses_the_energy_after_half_a_second():
    bench = bring_to('CHARGING')
    bench.advance(0.4)
    assert bench.command.mode is Mode.CHARGE
    bench.advance(0.15)
    assert (bench.command.mode, bench.stage) == (Mode.OFF, 'FAILED')
    assert bench.secc.session().stop_reason.name == 'TIMEOUT'


def test_the_engine_itself_ends_it_if_the_transport_does_not():
    bench = bring_to('CHARGING')
    bench.receive_until = None
    bench.advance(1.1)
    assert bench.command.mode is Mode.OFF


def test_elsewhere_there_is_a_minute():
    bench = bring_to('STANDBY')
    bench.advance(59.5)
    assert bench.command.mode is Mode.CHARGE
    bench.advance(1.0)
    assert (bench.command.mode, bench.stage) == (Mode.OFF, 'FAILED')


# Meter and display.

def test_the_meter_is_read_for_a_car_that_asks():
    bench = bring_to('CHARGING', service=6)
    info = bench.ask(bench.charge_loop(metered=True)).meter_info
    assert (info.meter_id, info.bpt_discharged_energy_reading_wh) == ('M1', 2000)
    assert info.charged_energy_reading_wh >= 1_000_000


def test_what_was_told_at_first_is_never_exceeded():
    bench = Iso20Bench()
    bench.power_overrides = {'maximum_power': 19e3, 'maximum_current': 60.0}
    bench.secc.set_limits(OperatorLimits(maximum_power=3800.0))
    bring_to('PARAMETERS', bench)
    told = bench.ask(bench.charge_parameters()).dc_cpd_res_energy_transfer_mode
    assert float(told.evse_maximum_charge_power) == 19e3
    lead_to('CHARGING', bench, 'SCHEDULE_EXCHANGE')
    bench.ask(bench.charge_loop(100.0))
    assert bench.command.target_current == 10.0
    # The power stage has cooled down, and the operator gives what there is.
    bench.power_overrides = {}
    bench.secc.set_limits(OperatorLimits())
    now = bench.ask(bench.charge_loop(100.0)).cl_res_control_mode
    assert float(now.evse_maximum_charge_power) == 19e3
    assert float(now.evse_maximum_charge_current) == 60.0
    assert bench.command.target_current == 50.0


def test_what_the_car_shows_is_kept():
    bench = bring_to('CHARGING')
    bench.ask(bench.charge_loop(display=dc.DisplayParameters(
        present_soc=55, charging_complete=False, battery_energy_capacity=R(60_000),
        remaining_time_to_target_soc=1800)))
    vehicle = bench.secc.vehicle()
    assert (vehicle.state_of_charge, vehicle.remaining_time) == (0.55, 1800)
    assert vehicle.energy_capacity == 60_000 * 3600.0
    assert vehicle.present_voltage == 380.0


def test_what_a_car_calls_itself_is_one_line():
    bench = bring_to('SESSION_SETUP')
    request = setup()
    request.evcc_id = 'WMIV1\n[ERROR] [hlc]: \x1b[31mok'
    bench.ask(request)
    for told in (bench.secc.session().evcc_id, bench.secc.vehicle().evcc_id):
        assert told == 'WMIV1\ufffd[ERROR] [hlc]: \ufffd[31mok'
