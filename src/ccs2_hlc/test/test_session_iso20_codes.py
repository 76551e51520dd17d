"""ISO 15118-20: state × request pairs, every response code's trigger, the tables behind them."""

import pytest
from iso20_bench import (
    EIM,
    METERING,
    NEW_SCHEDULE,
    NEW_SERVICE,
    ONGOING,
    PARKING,
    PAUSE,
    RENEGOTIATION,
    REQUESTS,
    STANDBY,
    START,
    STATES,
    STOP,
    Iso20Bench,
    authorization,
    bring_to,
    cable_check,
    check_in,
    check_out,
    confirmation,
    contract,
    detail,
    discovery,
    installation,
    lead_to,
    power_delivery,
    pre_charge,
    session_stop,
    setup,
    welding_detection,
)
from test_session_iso2_codes import ends_in_failure

from ccs2_hlc import exi
from ccs2_hlc.exi.messages.iso20 import common, dc
from ccs2_hlc.session.command import Mode
from ccs2_hlc.session.engine import ONGOING as ONGOING_CONDITIONS
from ccs2_hlc.session.iso20 import STRICT_TABLE, TABLE, Iso20Engine, State
from ccs2_hlc.session.iso20_codes import CODES, NEVER_SENT, RESPONSES, TRUTH
from ccs2_hlc.session.schedules import Schedule, Step
from ccs2_hlc.session.services import ParameterSet, Service
from ccs2_hlc.session.station import CableCheck, Fault, PilotState, Severity, StopWish, Urgency
from ccs2_hlc.session.transport import Action
from ccs2_hlc.session.triggers import CAUSES, Condition, Trigger

C = common.ResponseCode

#: What each state allows, written down a second time from the standard's sequence.
ALLOWED = {
    'SESSION_SETUP': 'SessionSetup',
    'AUTHORIZATION_SETUP': 'AuthorizationSetup SessionStop',
    'AUTHORIZATION': 'Authorization CertificateInstallation SessionStop',
    'SERVICE_DISCOVERY': 'ServiceDiscovery SessionStop',
    'SERVICE_DETAIL': 'ServiceDetail SessionStop',
    'SERVICE_SELECTION': 'ServiceDetail ServiceSelection SessionStop',
    'PARAMETERS': 'DCChargeParameterDiscovery VehicleCheckIn SessionStop',
    'SCHEDULE_EXCHANGE': 'ScheduleExchange SessionStop',
    'SCHEDULED': 'ScheduleExchange DCCableCheck PowerDelivery SessionStop',
    'CABLE_CHECK': 'DCCableCheck SessionStop',
    'PRE_CHARGE': 'DCPreCharge SessionStop',
    'PRE_CHARGED': 'DCPreCharge PowerDelivery SessionStop',
    'STARTING': 'PowerDelivery SessionStop',
    'CHARGING': 'DCChargeLoop MeteringConfirmation PowerDelivery SessionStop',
    'LEAVING': 'PowerDelivery SessionStop',
    'STANDBY': 'PowerDelivery SessionStop',
    'RENEGOTIATION': 'ScheduleExchange SessionStop',
    'RENEGOTIATED': 'ScheduleExchange PowerDelivery SessionStop',
    'STOPPED': 'DCWeldingDetection VehicleCheckOut SessionStop',
    'WELDING_DETECTION': 'DCWeldingDetection VehicleCheckOut SessionStop',
    'PAUSED': '',
    'ENDED': '',
}
PAIRS = [(state, kind) for state in STATES for kind in REQUESTS]
IN_C = frozenset({
    'CABLE_CHECK', 'PRE_CHARGE', 'PRE_CHARGED', 'STARTING', 'CHARGING', 'LEAVING', 'STANDBY',
    'RENEGOTIATION', 'RENEGOTIATED'})
#: Allowed by the state, but refused for what the request of this test asks.
REFUSED = {
    ('SCHEDULED', common.PowerDeliveryReq): C.FAILED_POWER_DELIVERY_NOT_APPLIED,
    ('CHARGING', common.PowerDeliveryReq): C.FAILED,
    ('LEAVING', common.PowerDeliveryReq): C.FAILED,
    # None of these services was chosen or asked for.
    ('AUTHORIZATION', common.CertificateInstallationReq): C.FAILED_SEQUENCE_ERROR,
    ('CHARGING', common.MeteringConfirmationReq): C.FAILED_SEQUENCE_ERROR,
    ('PARAMETERS', common.VehicleCheckInReq): C.FAILED_SEQUENCE_ERROR,
    ('STOPPED', common.VehicleCheckOutReq): C.FAILED_SEQUENCE_ERROR,
    ('WELDING_DETECTION', common.VehicleCheckOutReq): C.FAILED_SEQUENCE_ERROR,
}


def is_allowed(state, kind):
    return kind.__name__.removesuffix('Req') in ALLOWED[state].split()


def test_the_bench_knows_every_request_and_state():
    requests = {
        value for module in (common, dc) for name, value in vars(module).items()
        if isinstance(value, type) and name.endswith('Req') and value.__module__ == module.__name__}
    assert set(REQUESTS) == requests == set(Iso20Engine.BUILDERS)
    assert set(STATES) == set(ALLOWED) == {state.name for state in State}


@pytest.mark.parametrize(
    ('state', 'kind'), PAIRS, ids=[f'{state}-{kind.__name__}' for state, kind in PAIRS])
def test_every_request_in_every_state(state, kind):
    both_ways = PAIRS.index((state, kind)) % 2 == 1
    bench = bring_to(state, service=6 if both_ways else 2, dynamic=both_ways)
    answer = bench.ask(REQUESTS[kind](bench))
    assert type(answer).__name__ == kind.__name__.replace('Req', 'Res')
    assert answer.header.session_id == bench.session_id
    if not is_allowed(state, kind):
        if state in ('ENDED', 'PAUSED'):
            assert answer.response_code is C.FAILED_SEQUENCE_ERROR
            assert bench.command.mode is Mode.OFF
        else:
            ends_in_failure(bench, answer, C.FAILED_SEQUENCE_ERROR)
    elif (state, kind) in REFUSED:
        ends_in_failure(bench, answer, REFUSED[state, kind])
    elif kind is common.SessionStopReq and state in IN_C:
        ends_in_failure(bench, answer, C.FAILED)  # the car stays in C
    else:
        assert answer.response_code in (C.OK, C.OK_NEW_SESSION_ESTABLISHED)


@pytest.mark.parametrize('state', [name for name in STATES if ALLOWED[name]][1:])
@pytest.mark.parametrize('wrong', ['zero', 'flipped'])
def test_a_wrong_session_id_in_every_state(state, wrong):
    bench = bring_to(state)
    right = bench.session_id
    session_id = bytes(8) if wrong == 'zero' else bytes([right[0] ^ 1]) + right[1:]
    kind = next(kind for kind in REQUESTS if is_allowed(state, kind))
    answer = bench.ask(REQUESTS[kind](bench), session_id=session_id)
    assert answer.header.session_id == right
    ends_in_failure(bench, answer, C.FAILED_UNKNOWN_SESSION)


def fault(code, severity, message='broken'):
    return (Fault(code, severity, message, 'test'),)


def nothing(bench):
    pass


def setting(**values):
    def prepare(bench):
        for name, value in values.items():
            setattr(bench, name, value)
        bench.step()
    return prepare


def stop(urgency):
    return lambda bench: bench.secc.stop(StopWish(urgency))


def cable_check_for(seconds, verdict=CableCheck.VALID):
    def prepare(bench):
        bench.cable_check_time, bench.verdict = seconds, verdict
        bench.pilot = PilotState.C
        bench.step()
        bench.ask(cable_check())
    return prepare


def with_profile(**values):
    return lambda bench: power_delivery(profile=bench.profile(**values))


def always(request):
    return lambda bench: request


LIMITED = {'schedules': (Schedule(1, (Step(0, 11_000.0),)),)}
TOLERANT = {'schedules': (Schedule(1, (Step(0, 11_000.0),), tolerance=500.0),)}
NOT_CONFIRMED, CONFIRMED = common.PowerToleranceAcceptance

#: One way to pull each trigger: state, what happens, request, seconds to wait, settings.
WAYS = {
    Trigger.ACCEPTED: ('CHARGING', nothing, Iso20Bench.charge_loop, 0.0, {}),
    Trigger.NEW_SESSION: ('SESSION_SETUP', nothing, always(setup()), 0.0, {}),
    Trigger.AUTHORIZATION_NOT_OFFERED: ('AUTHORIZATION', nothing, always(contract()), 0.0, {}),
    Trigger.AUTHORIZATION_DENIED: (
        'AUTHORIZATION', lambda bench: bench.secc.deny(''), always(authorization()), 0.0, {}),
    Trigger.PROFILE_EXCEEDED: (
        'PRE_CHARGED',
        lambda bench: bench.ask(power_delivery(profile=bench.profile(1000.0))),
        Iso20Bench.charge_loop, 0.0, {}),
    Trigger.STANDBY_NOT_POSSIBLE: (
        'SCHEDULED', nothing, always(power_delivery(STANDBY)), 0.0, {}),
    Trigger.TOLERANCE_CONFIRMED: (
        'PRE_CHARGED', nothing, with_profile(tolerance=CONFIRMED), 0.0, TOLERANT),
    Trigger.TOLERANCE_NOT_CONFIRMED: (
        'PRE_CHARGED', nothing, with_profile(tolerance=NOT_CONFIRMED), 0.0, TOLERANT),
    Trigger.TOLERANCE_REFUSED: (
        'PRE_CHARGED', nothing, with_profile(), 0.0, {**TOLERANT, 'strict_tolerance': True}),
    Trigger.OUT_OF_SEQUENCE: ('CHARGING', nothing, always(pre_charge()), 0.0, {}),
    Trigger.UNKNOWN_SESSION: (
        'CHARGING', setting(session_id=bytes(8)), Iso20Bench.charge_loop, 0.0, {}),
    Trigger.SERVICE_UNKNOWN: ('SERVICE_DETAIL', nothing, always(detail(9)), 0.0, {}),
    Trigger.NO_CHARGE_SERVICE: (
        'SERVICE_SELECTION', nothing, lambda bench: bench.selection(1), 0.0, {}),
    Trigger.SERVICE_NOT_OFFERED: (
        'SERVICE_SELECTION', nothing, lambda bench: bench.selection(number=9), 0.0, {}),
    Trigger.ENERGY_TRANSFER_NOT_OFFERED: (
        'PARAMETERS', nothing, lambda bench: bench.charge_parameters(True), 0.0, {}),
    Trigger.CHARGE_PARAMETERS: (
        'PARAMETERS', nothing,
        lambda bench: bench.charge_parameters(ev_maximum_voltage=149.0), 0.0, {}),
    Trigger.CONTROL_MODE: (
        'SCHEDULE_EXCHANGE', nothing, lambda bench: bench.schedule_exchange(True), 0.0, {}),
    Trigger.SCHEDULE_NOT_OFFERED: ('PRE_CHARGED', nothing, with_profile(schedule=2), 0.0, {}),
    Trigger.PROFILE_KIND: ('PRE_CHARGED', nothing, with_profile(dynamic=True), 0.0, {}),
    Trigger.PROFILE_ABOVE_SCHEDULE: (
        'PRE_CHARGED', nothing, with_profile(power=12_000.0), 0.0, LIMITED),
    Trigger.NOT_READY_FOR_POWER: ('SCHEDULED', nothing, always(power_delivery()), 0.0, {}),
    Trigger.CONTACTORS_NOT_CLOSED: (
        'PRE_CHARGED', setting(safety_overrides={'contactors_closed': False}),
        always(power_delivery()), 0.0, {}),
    Trigger.RENEGOTIATED_TOO_EARLY: (
        'PRE_CHARGED', nothing, always(power_delivery(NEW_SCHEDULE)), 0.0, {}),
    Trigger.PAUSED_TOO_EARLY: ('CHARGING', nothing, always(session_stop(PAUSE)), 0.0, {}),
    Trigger.SERVICES_NOT_RENEGOTIABLE: (
        'STOPPED', nothing, always(session_stop(NEW_SERVICE)), 0.0,
        {'service_renegotiation': False}),
    Trigger.STARTED_TWICE: ('CHARGING', nothing, always(power_delivery()), 0.0, {}),
    Trigger.STATION_STOPPED: ('PARAMETERS', stop(Urgency.NORMAL),
                              Iso20Bench.charge_parameters, 0.0, {}),
    Trigger.STOPPED_AT_ONCE: ('CHARGING', stop(Urgency.IMMEDIATE),
                              Iso20Bench.charge_loop, 0.0, {}),
    Trigger.STOP_IGNORED: ('STANDBY', stop(Urgency.NORMAL),
                           always(power_delivery(STANDBY)), 10.1, {}),
    Trigger.EMERGENCY_STOP: (
        'CHARGING', setting(safety_overrides={'emergency_stop': True}),
        Iso20Bench.charge_loop, 0.0, {}),
    Trigger.EMERGENCY_FAULT: (
        'CHARGING', setting(safety_overrides={'faults': fault(201, Severity.EMERGENCY)}),
        Iso20Bench.charge_loop, 0.0, {}),
    Trigger.STATION_FAULT: (
        'PRE_CHARGED', setting(power_overrides={'faults': fault(404, Severity.ERROR)}),
        always(pre_charge()), 0.0, {}),
    Trigger.ISOLATION_FAULT: (
        'CHARGING', setting(power_overrides={'faults': fault(301, Severity.ERROR)}),
        Iso20Bench.charge_loop, 0.0, {}),
    Trigger.CABLE_CHECK_FAILED: (
        'SCHEDULED', cable_check_for(1.0, CableCheck.FAILED), always(cable_check()), 1.1, {}),
    Trigger.CABLE_CHECK_TIMEOUT: (
        'SCHEDULED', cable_check_for(60.0), always(cable_check()), 38.1, {}),
    Trigger.POWER_DELIVERY_TIMEOUT: (
        'PRE_CHARGED', nothing, always(power_delivery()), 20.1, {}),
    Trigger.POWER_NOT_STOPPED: (
        'CHARGING', setting(ramp_time=9.0), always(power_delivery(STOP)), 0.0, {}),
    Trigger.POWER_SILENT: (
        'STANDBY', setting(silent={'power'}), always(power_delivery(STANDBY)), 0.6, {}),
    Trigger.SAFETY_SILENT: (
        'STANDBY', setting(silent={'safety'}), always(power_delivery(STANDBY)), 0.6, {}),
    Trigger.PILOT_SILENT: (
        'STANDBY', setting(silent={'pilot'}), always(power_delivery(STANDBY)), 0.6, {}),
    Trigger.MEASUREMENT_MISSING: (
        'CHARGING', setting(power_overrides={'voltage': None}),
        Iso20Bench.charge_loop, 0.0, {}),
    Trigger.PILOT_NOT_C: (
        'SCHEDULED', lambda bench: bench.ask(cable_check()), always(cable_check()), 1.6, {}),
    Trigger.PILOT_LEFT_C: (
        'CHARGING', setting(pilot=PilotState.B), Iso20Bench.charge_loop, 0.0, {}),
    Trigger.PILOT_NOT_B: (
        'STOPPED', setting(pilot=PilotState.C), always(welding_detection()), 0.0, {}),
}
#: Tested where contracts are.
OF_CONTRACTS = {
    Trigger.CERTIFICATE_EXPIRES_SOON, Trigger.CONTRACT_DENIED, Trigger.CERTIFICATE_EXPIRED,
    Trigger.CERTIFICATE_NOT_YET_VALID, Trigger.CERTIFICATE_REVOKED, Trigger.CERTIFICATE_UNKNOWN,
    Trigger.CERTIFICATE_NOT_ALLOWED, Trigger.CERTIFICATE_ISSUER_EXPIRED,
    Trigger.CERTIFICATE_CHAIN, Trigger.CERTIFICATE_UNCHECKED, Trigger.CLOCK_NOT_TRUSTED,
    Trigger.CHALLENGE, Trigger.SIGNATURE, Trigger.BACK_OFFICE_REFUSED, Trigger.BACK_OFFICE_LATE,
    Trigger.CONTRACT_CANCELED, Trigger.RECEIPT, Trigger.RECEIPT_SESSION}
#: Tested with sessions that take long or come back.
ELSEWHERE = {Trigger.AUTHORIZATION_TIMEOUT, Trigger.SESSION_JOINED}


@pytest.mark.parametrize('trigger', WAYS, ids=lambda trigger: trigger.value)
def test_every_trigger_gives_its_code(trigger):
    state, prepare, request, seconds, settings = WAYS[trigger]
    bench = bring_to(state, **settings)
    prepare(bench)
    bench.advance(seconds)
    answer = bench.ask(request(bench))
    assert answer.response_code is CODES[trigger]
    name = type(answer).__name__.replace('DC', 'DC_', 1)
    told = RESPONSES.get(trigger)
    assert told is None or name in told
    if not CODES[trigger].value.startswith('FAILED'):
        assert bench.last.action is Action.SEND
        assert bench.secc._engine.failure is None
        return
    cause = CAUSES[trigger]
    session = bench.secc.session()
    assert session.message.startswith(cause.text)
    assert session.stop_reason is cause.reason
    assert bench.command.shutdown is cause.shutdown
    ends_in_failure(bench, answer, CODES[trigger])


def test_waiting_too_long_for_the_authorization():
    bench = bring_to('AUTHORIZATION', automatic=False, authorization_timeout=30.0)
    began = bench.now
    while (answer := bench.ask(authorization())).response_code is C.OK:
        bench.advance(1.0)
    assert 30.0 <= bench.now - began < 31.5
    ends_in_failure(bench, answer, CODES[Trigger.AUTHORIZATION_TIMEOUT])


@pytest.mark.parametrize('ask', [session_stop, installation])
def test_waiting_too_long_is_told_in_whatever_comes_next(ask):
    bench = bring_to('AUTHORIZATION', automatic=False, authorization_timeout=5.0)
    bench.ask(authorization())
    bench.advance(5.5)
    assert bench.ask(ask()).response_code is C.FAILED


def test_a_stop_is_told_to_a_car_that_checks_in():
    bench = bring_to('PARAMETERS')
    bench.secc.stop(StopWish(Urgency.NORMAL, 'operator'))
    assert bench.ask(check_in()).response_code is C.FAILED


def test_every_code_of_the_schema_is_sent_by_a_tested_trigger_or_has_a_reason_why_not():
    assert set(CODES.values()) | set(NEVER_SENT) == set(C)
    assert not set(CODES.values()) & set(NEVER_SENT)
    assert set(CODES) == set(WAYS) | OF_CONTRACTS | ELSEWHERE
    assert set(RESPONSES) <= set(CODES)
    assert set(TRUTH) == set(Condition)
    assert {condition for condition, row in TRUTH.items()
            if row.processing is ONGOING} == ONGOING_CONDITIONS


def test_the_table_of_states_is_closed():
    for table in (TABLE, STRICT_TABLE):
        assert set(table) == set(State)
    by_handler = {
        State.SESSION_SETUP, State.CABLE_CHECK, State.STARTING, State.LEAVING, State.STANDBY,
        State.RENEGOTIATION, State.PAUSED}
    assert {rule.then for rules in TABLE.values() for rule in rules.values()} | by_handler == set(
        State)


def test_the_charge_loop_without_session_stop():
    bench = bring_to('CHARGING', strict_sequence=True)
    ends_in_failure(bench, bench.ask(session_stop()), C.FAILED_SEQUENCE_ERROR)


@pytest.mark.parametrize('limits', [
    {'ev_maximum_voltage': -1.0}, {'ev_maximum_charge_current': -1.0},
    {'ev_maximum_charge_power': -1.0}, {'ev_minimum_voltage': 1001.0},
    {'ev_minimum_voltage': 421.0}, {'ev_minimum_charge_current': 151.0},
    {'ev_minimum_charge_power': 110_000.0}, {'ev_maximum_voltage': 0.0},
    {'ev_maximum_charge_current': 0.0},
    {'ev_maximum_charge_power': 0.0, 'ev_minimum_charge_power': 0.0},
    {'ev_maximum_charge_current': 1e7}, {'ev_maximum_voltage': 1e131}])
@pytest.mark.parametrize('service', [2, 6])
def test_impossible_charge_parameters(limits, service):
    bench = bring_to('PARAMETERS', service=service)
    if service == 6:
        limits = limits | {'ev_maximum_discharge_current': 0.0}
    answer = bench.ask(bench.charge_parameters(**limits))
    assert bench.secc.vehicle().maximum_voltage is None
    ends_in_failure(bench, answer, C.FAILED_WRONG_CHARGE_PARAMETER)


@pytest.mark.parametrize('limits', [
    {'ev_minimum_discharge_current': 61.0}, {'ev_minimum_discharge_power': 21_000.0},
    {'ev_maximum_discharge_power': 1e9}])
def test_impossible_limits_of_discharging(limits):
    bench = bring_to('PARAMETERS', service=6)
    ends_in_failure(
        bench, bench.ask(bench.charge_parameters(**limits)), C.FAILED_WRONG_CHARGE_PARAMETER)


def test_a_car_may_give_only_and_by_either_sign():
    bench = bring_to('PARAMETERS', service=6)
    answer = bench.ask(bench.charge_parameters(
        ev_maximum_charge_current=0.0, ev_maximum_discharge_current=-60.0,
        ev_maximum_discharge_power=-20_000.0))
    assert answer.response_code is C.OK
    assert bench.secc.vehicle().maximum_discharge_current == 60.0


@pytest.mark.parametrize(('service', 'dynamic', 'kind'), [
    (2, False, dc.DynamicDCCLReqControlMode), (2, False, dc.BPTScheduledDCCLReqControlMode),
    (2, True, dc.ScheduledDCCLReqControlMode), (6, False, dc.ScheduledDCCLReqControlMode),
    (6, True, dc.DynamicDCCLReqControlMode)])
def test_a_control_mode_that_was_not_chosen_ends_the_charge_loop(service, dynamic, kind):
    bench = bring_to('CHARGING', service=service, dynamic=dynamic)
    answer = bench.ask(bench.charge_loop(kind=kind))
    ends_in_failure(bench, answer, C.FAILED)


@pytest.mark.parametrize('missing', ['voltage', 'current', 'maximum_current', 'maximum_power'])
def test_measurements_that_are_missing_are_not_made_up(missing):
    bench = bring_to('CHARGING')
    bench.power_overrides = {missing: None}
    answer = bench.ask(bench.charge_loop())
    ends_in_failure(bench, answer, C.FAILED)


@pytest.mark.parametrize('state', [name for name in STATES if ALLOWED[name]][1:])
@pytest.mark.parametrize('event', ['emergency', 'fault', 'immediate stop'])
def test_the_station_can_end_a_session_in_every_state(state, event):
    bench = bring_to(state)
    if event == 'emergency':
        bench.safety_overrides = {'emergency_stop': True}
    elif event == 'fault':
        bench.power_overrides = {'faults': fault(403, Severity.ERROR)}
    else:
        bench.secc.stop(StopWish(Urgency.IMMEDIATE))
    bench.step()
    assert bench.command.mode is Mode.OFF or state in ('STOPPED', 'WELDING_DETECTION')
    kind = next(kind for kind in REQUESTS
                if is_allowed(state, kind) and kind is not common.SessionStopReq)
    answer = bench.ask(REQUESTS[kind](bench))
    if event == 'immediate stop' and state in ('STOPPED', 'WELDING_DETECTION'):
        assert answer.response_code is C.OK
    else:
        ends_in_failure(bench, answer, C.FAILED)


# Streams.

def test_what_belongs_to_a_side_stream_alone_is_taken_from_it():
    bench = bring_to('CHARGING')
    for request in (session_stop(), power_delivery(STOP)):
        assert bench.ask(request, wait=0.1, payload_type=METERING) is None
        assert bench.last.action is Action.IGNORE
    assert bench.ask(bench.charge_loop()).response_code is C.OK
    assert bench.ask(power_delivery(NEW_SCHEDULE), payload_type=RENEGOTIATION).response_code is C.OK
    answer = bench.ask(bench.schedule_exchange(), payload_type=RENEGOTIATION)
    assert answer.response_code is C.OK
    assert bench.last.payload_type == RENEGOTIATION
    assert bench.ask(power_delivery(START)).response_code is C.OK


def test_messages_of_other_sets_are_ignored():
    bench = bring_to('PARAMETERS')
    request = bench.charge_parameters()
    for payload_type in (0x8001, 0x8002, 0x8003, 0x8005, 0x8006, 0x8103):
        (outgoing,) = bench.deliver(exi.encode(request), payload_type)
        assert outgoing.action is Action.IGNORE
    assert bench.ask(request).response_code is C.OK


PLACE = Service(66, 'Parking', 'OtherCustom', True, sets=(
    ParameterSet(1, (('IntendedService', 1), ('ParkingStatusType', 4))),))


def test_a_car_that_has_chosen_it_checks_in_and_out():
    bench = bring_to('SERVICE_DISCOVERY', services=(PLACE,))
    bench.ask(discovery())
    bench.ask(detail())
    bench.ask(bench.selection(added=(66,)))
    assert bench.ask(check_in(), payload_type=PARKING).response_code is C.OK
    lead_to('STOPPED', bench, 'PARAMETERS')
    answer = bench.ask(check_out(), payload_type=PARKING)
    assert answer.evse_check_out_status is common.EVSECheckOutStatus.COMPLETED
    lead_to('ENDED', bench, 'STOPPED')


def test_a_confirmation_that_nobody_asked_for_is_refused():
    bench = bring_to('CHARGING')
    answer = bench.ask(confirmation(bench.session_id), payload_type=METERING)
    ends_in_failure(bench, answer, C.FAILED_SEQUENCE_ERROR)


@pytest.mark.parametrize('seconds', [0.0, 3.0])
def test_a_stop_before_the_charge_loop_is_a_failure_at_once(seconds):
    bench = bring_to('PRE_CHARGED')
    bench.secc.stop(StopWish(Urgency.NORMAL))
    bench.advance(seconds)
    ends_in_failure(bench, bench.ask(pre_charge()), C.FAILED)


def test_power_is_not_delivered_once_a_stop_is_announced():
    bench = bring_to('PRE_CHARGED')
    bench.secc.stop(StopWish(Urgency.NORMAL))
    ends_in_failure(
        bench, bench.ask(power_delivery()), C.FAILED_POWER_DELIVERY_NOT_APPLIED)


def test_what_both_blocks_of_an_authorization_say_must_agree():
    bench = bring_to('AUTHORIZATION')
    answer = bench.ask(contract(kind=EIM))
    assert answer.response_code is C.WARNING_AUTHORIZATION_SELECTION_INVALID
    assert bench.ask(authorization()).response_code is C.OK




def test_an_answer_that_waits_goes_to_its_own_request():
    bench = bring_to('CHARGING')
    bench.ramp_time = 1.0
    assert bench.ask(power_delivery(STOP), wait=0.1) is None
    asked = bench.sequence
    (outgoing,) = bench.deliver(b'nonsense', 0x8004)
    assert (outgoing.action, outgoing.sequence) == (Action.IGNORE, asked + 1)
    bench.advance(1.2)
    assert (bench.last.sequence, bench.last.payload_type, bench.last.response_code) == (
        asked, 0x8002, 'OK')


def test_contactors_that_open_end_the_charge_loop():
    bench = bring_to('CHARGING')
    bench.safety_overrides = {'contactors_closed': False, 'contactors_open': True}
    answer = bench.ask(bench.charge_loop())
    assert answer.cl_res_control_mode is not None
    ends_in_failure(bench, answer, C.FAILED_CONTACTOR_ERROR)
