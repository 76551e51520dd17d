"""State × request pairs, every response code's trigger, and the tables behind them."""

from pathlib import Path

import pytest
from hlc_bench import (
    REQUESTS,
    STATES,
    Bench,
    ac_parameters,
    authentication,
    bring_to,
    cable_check,
    charge_parameters,
    current_demand,
    not_served,
    parameters,
    power_delivery,
    pre_charge,
    selection,
    session_stop,
    setup,
    welding_detection,
)

from ccs2_hlc.exi.messages import din
from ccs2_hlc.session import code_tables, iso2_codes, iso20_codes
from ccs2_hlc.session.command import Mode
from ccs2_hlc.session.din import STRICT_TABLE, TABLE, DinEngine, State
from ccs2_hlc.session.din_codes import CODES, NEVER_SENT, RESPONSES, TRUTH
from ccs2_hlc.session.engine import ONGOING
from ccs2_hlc.session.station import (
    CableCheck,
    Fault,
    PilotState,
    Severity,
    StopWish,
    Urgency,
)
from ccs2_hlc.session.transport import Action, DataLink, LinkState
from ccs2_hlc.session.triggers import CAUSES, Condition, Trigger

R = din.ResponseCode
S = din.DCEVSEStatusCode
P = din.EVSEProcessing
KIND = din.EVRequestedEnergyTransferType

#: DIN 70121: what each state allows, written down a second time from the standard's table.
ALLOWED = {
    'SESSION_SETUP': 'SessionSetup',
    'SERVICE_DISCOVERY': 'ServiceDiscovery SessionStop',
    'PAYMENT_SELECTION': 'ServicePaymentSelection SessionStop',
    'AUTHENTICATION': 'ContractAuthentication SessionStop',
    'PARAMETERS': 'ChargeParameterDiscovery SessionStop',
    'CABLE_CHECK': 'CableCheck SessionStop',
    'PRE_CHARGE': 'PreCharge SessionStop',
    'PRE_CHARGED': 'PreCharge PowerDelivery SessionStop',
    'STARTED': 'CurrentDemand SessionStop',
    'CHARGING': 'CurrentDemand PowerDelivery SessionStop',
    'STOPPED': 'WeldingDetection SessionStop',
    'WELDING_DETECTION': 'WeldingDetection SessionStop',
    'ENDED': '',
}
PAIRS = [(state, kind) for state in STATES for kind in REQUESTS]


def is_allowed(state, kind):
    return kind.__name__.removesuffix('Req') in ALLOWED[state].split()


def ends_in_failure(bench, answer, code):
    assert answer.response_code is code
    last = bench.last
    assert (last.action, last.data_link) == (Action.SEND_THEN_CLOSE, DataLink.TERMINATE)
    assert 0.0 < last.close_delay <= 5.0
    assert bench.command.mode is Mode.OFF
    assert not bench.command.pilot_oscillator
    bench.advance(5.0)
    assert bench.connection.state is LinkState.CLOSED
    assert bench.command.mode is Mode.OFF


def test_the_bench_knows_every_request_of_the_schema():
    requests = {
        value for name, value in vars(din).items()
        if isinstance(value, type) and name.endswith('Req')}
    assert set(REQUESTS) == requests == set(DinEngine.BUILDERS)
    assert set(STATES) == {state.name for state in State}


@pytest.mark.parametrize(
    ('state', 'kind'), PAIRS, ids=[f'{state}-{kind.__name__}' for state, kind in PAIRS])
def test_every_request_in_every_state(state, kind):
    bench = bring_to(state)
    assert bench.stage != 'FAILED'
    answer = bench.ask(REQUESTS[kind]())
    if is_allowed(state, kind):
        if state in ('STARTED', 'CHARGING', 'PRE_CHARGE', 'PRE_CHARGED') and (
                kind is din.SessionStopReq):
            assert answer.response_code is R.FAILED  # the car stays in C
        elif (state, kind) == ('CHARGING', din.PowerDeliveryReq):
            assert answer.response_code is R.FAILED  # it is charging already
        else:
            assert answer.response_code in (R.OK, R.OK_NEW_SESSION_ESTABLISHED)
        return
    assert type(answer).__name__ == kind.__name__.replace('Req', 'Res')
    assert bench.last.message.header.session_id == bench.session_id
    if state == 'ENDED':
        assert answer.response_code is R.FAILED_SEQUENCE_ERROR
        assert bench.stage == 'FINISHED'
    else:
        ends_in_failure(bench, answer, R.FAILED_SEQUENCE_ERROR)
        assert bench.stage == 'FAILED'


@pytest.mark.parametrize('state', STATES[1:-1])
@pytest.mark.parametrize('wrong', ['zero', 'empty', 'flipped', 'short'])
def test_a_wrong_session_id_in_every_state(state, wrong):
    bench = bring_to(state)
    right = bench.session_id
    session_id = {
        'zero': bytes(8), 'empty': b'', 'short': right[:4],
        'flipped': bytes([right[0] ^ 1]) + right[1:]}[wrong]
    kind = next(kind for kind in REQUESTS if is_allowed(state, kind))
    answer = bench.ask(REQUESTS[kind](), session_id=session_id)
    assert bench.last.message.header.session_id == right
    ends_in_failure(bench, answer, R.FAILED_UNKNOWN_SESSION)


def test_sequence_is_checked_before_the_session_id_and_content_last():
    bench = bring_to('AUTHENTICATION')
    answer = bench.ask(cable_check(), session_id=bytes(8))
    assert answer.response_code is R.FAILED_SEQUENCE_ERROR
    bench = bring_to('PAYMENT_SELECTION')
    answer = bench.ask(selection(services=(2,)), session_id=bytes(8))
    assert answer.response_code is R.FAILED_UNKNOWN_SESSION
    bench = bring_to('PARAMETERS')
    answer = bench.ask(charge_parameters(KIND.AC_THREE_PHASE_CORE, ac_parameters()))
    assert answer.response_code is R.FAILED_WRONG_ENERGY_TRANSFER_TYPE


def fault(code, severity, message='broken'):
    return (Fault(code, severity, message, 'test'),)


def with_profile(tuple_id=1, start=0, power=1000):
    return power_delivery(profile=din.ChargingProfile(
        sa_schedule_tuple_id=tuple_id,
        profile_entry=[din.ProfileEntry(
            charging_profile_entry_start=start, charging_profile_entry_max_power=power)]))


def after(state, prepare, request, seconds=0.0, **settings):
    """Bring a session to `state`, let `prepare` happen and time pass, then ask."""
    bench = bring_to(state, **settings)
    prepare(bench)
    bench.advance(seconds)
    return bench, bench.ask(request)


def setting(**values):
    def prepare(bench):
        for name, value in values.items():
            setattr(bench, name, value)
        bench.step()
    return prepare


def nothing(bench):
    pass


def cable_check_for(seconds, verdict=CableCheck.VALID):
    def prepare(bench):
        bench.cable_check_time, bench.verdict = seconds, verdict
        bench.pilot = PilotState.C
        bench.step()
        bench.ask(cable_check())
    return prepare


#: One way to pull each trigger: state, what happens, request, seconds to wait, expected status.
WAYS = {
    Trigger.ACCEPTED: ('CHARGING', nothing, current_demand(), 0.0, S.EVSE_READY),
    Trigger.NEW_SESSION: ('SESSION_SETUP', nothing, setup(), 0.0, None),
    Trigger.OUT_OF_SEQUENCE: ('CHARGING', nothing, pre_charge(), 0.0, S.EVSE_SHUTDOWN),
    Trigger.UNKNOWN_SESSION: (
        'CHARGING', setting(session_id=bytes(8)), current_demand(), 0.0, S.EVSE_SHUTDOWN),
    Trigger.PAYMENT_NOT_OFFERED: (
        'PAYMENT_SELECTION', nothing, selection(din.PaymentOption.CONTRACT), 0.0, None),
    Trigger.SERVICE_NOT_OFFERED: (
        'PAYMENT_SELECTION', nothing, selection(services=(1, 2)), 0.0, None),
    Trigger.ENERGY_TRANSFER_NOT_OFFERED: (
        'PARAMETERS', nothing, charge_parameters(KIND.AC_SINGLE_PHASE_CORE), 0.0,
        S.EVSE_SHUTDOWN),
    Trigger.CHARGE_PARAMETERS: (
        'PARAMETERS', nothing, charge_parameters(limits=ac_parameters()), 0.0,
        S.EVSE_SHUTDOWN),
    Trigger.SCHEDULE_NOT_OFFERED: (
        'PRE_CHARGED', nothing, with_profile(tuple_id=2), 0.0, S.EVSE_SHUTDOWN),
    Trigger.PROFILE_ABOVE_SCHEDULE: (
        'PRE_CHARGED', nothing, with_profile(start=86400), 0.0, S.EVSE_SHUTDOWN),
    Trigger.NOT_READY_FOR_POWER: (
        'PRE_CHARGED', setting(safety_overrides={'contactors_closed': False}),
        power_delivery(), 0.0, S.EVSE_SHUTDOWN),
    Trigger.STARTED_TWICE: ('CHARGING', nothing, power_delivery(), 0.0, S.EVSE_SHUTDOWN),
    Trigger.PRE_CHARGE_CURRENT: (
        'PRE_CHARGE', nothing, pre_charge(current=2.1), 0.0, S.EVSE_SHUTDOWN),
    Trigger.VEHICLE_ERROR: (
        'CABLE_CHECK', nothing,
        cable_check(error=din.DCEVErrorCode.FAILED_EV_RESS_MALFUNCTION), 0.0,
        S.EVSE_SHUTDOWN),
    Trigger.AUTHORIZATION_DENIED: (
        'AUTHENTICATION', lambda bench: bench.secc.deny(''), authentication(), 0.0, None),
    Trigger.STATION_STOPPED: (
        'AUTHENTICATION', lambda bench: bench.secc.stop(StopWish(Urgency.NORMAL)),
        authentication(), 0.0, None),
    Trigger.STOPPED_AT_ONCE: (
        'CHARGING', lambda bench: bench.secc.stop(StopWish(Urgency.IMMEDIATE)),
        current_demand(), 0.0, S.EVSE_SHUTDOWN),
    Trigger.STOP_IGNORED: (
        'PRE_CHARGED', lambda bench: bench.secc.stop(StopWish(Urgency.NORMAL)),
        pre_charge(), 10.1, S.EVSE_SHUTDOWN),
    Trigger.EMERGENCY_STOP: (
        'PARAMETERS', setting(safety_overrides={'emergency_stop': True}),
        charge_parameters(), 0.0, S.EVSE_EMERGENCY_SHUTDOWN),
    Trigger.EMERGENCY_FAULT: (
        'CHARGING', setting(safety_overrides={'faults': fault(201, Severity.EMERGENCY)}),
        current_demand(), 0.0, S.EVSE_EMERGENCY_SHUTDOWN),
    Trigger.STATION_FAULT: (
        'PRE_CHARGED', setting(power_overrides={'faults': fault(404, Severity.ERROR)}),
        pre_charge(), 0.0, S.EVSE_MALFUNCTION),
    Trigger.ISOLATION_FAULT: (
        'CHARGING', setting(power_overrides={'faults': fault(301, Severity.ERROR)}),
        current_demand(), 0.0, S.EVSE_MALFUNCTION),
    Trigger.CABLE_CHECK_FAILED: (
        'CABLE_CHECK', cable_check_for(1.0, CableCheck.FAILED), cable_check(), 1.1,
        S.EVSE_MALFUNCTION),
    Trigger.CABLE_CHECK_TIMEOUT: (
        'CABLE_CHECK', cable_check_for(60.0), cable_check(), 38.1, S.EVSE_MALFUNCTION),
    Trigger.POWER_DELIVERY_TIMEOUT: (
        'PRE_CHARGED', nothing, power_delivery(), 20.1, S.EVSE_MALFUNCTION),
    Trigger.POWER_NOT_STOPPED: (
        'CHARGING', setting(ramp_time=9.0), power_delivery(False), 0.0,
        S.EVSE_EMERGENCY_SHUTDOWN),
    Trigger.WELDING_DETECTION_TIMEOUT: (
        'WELDING_DETECTION', nothing, welding_detection(), 20.1, S.EVSE_MALFUNCTION),
    Trigger.POWER_SILENT: (
        'CHARGING', setting(silent={'power'}), current_demand(), 0.6, S.EVSE_MALFUNCTION),
    Trigger.SAFETY_SILENT: (
        'CHARGING', setting(silent={'safety'}), current_demand(), 0.6, S.EVSE_MALFUNCTION),
    Trigger.PILOT_SILENT: (
        'CHARGING', setting(silent={'pilot'}), current_demand(), 0.6, S.EVSE_MALFUNCTION),
    Trigger.MEASUREMENT_MISSING: (
        'PRE_CHARGED', setting(power_overrides={'voltage': None}), pre_charge(), 0.0,
        S.EVSE_MALFUNCTION),
    Trigger.PILOT_NOT_C: (
        'CABLE_CHECK', lambda bench: bench.ask(cable_check()), cable_check(), 1.6,
        S.EVSE_MALFUNCTION),
    Trigger.PILOT_LEFT_C: (
        'CHARGING', setting(pilot=PilotState.B), current_demand(), 0.0,
        S.EVSE_EMERGENCY_SHUTDOWN),
    Trigger.PILOT_NOT_B: (
        'STOPPED', setting(pilot=PilotState.C), welding_detection(), 0.0, S.EVSE_SHUTDOWN),
}


def status_of(answer):
    if isinstance(answer, din.ChargeParameterDiscoveryRes):
        return answer.evse_charge_parameter.dc_evse_status
    if isinstance(answer, din.PowerDeliveryRes):
        return answer.evse_status
    return getattr(answer, 'dc_evse_status', None)


@pytest.mark.parametrize('trigger', WAYS, ids=lambda trigger: trigger.value)
def test_every_trigger_gives_its_code(trigger):
    state, prepare, request, seconds, status = WAYS[trigger]
    bench, answer = after(state, prepare, request, seconds)
    assert answer.response_code is CODES[trigger]
    assert type(answer).__name__ in RESPONSES.get(trigger, (type(answer).__name__,))
    told = status_of(answer)
    assert (told and told.evse_status_code) is status
    if trigger in CAUSES:
        cause = CAUSES[trigger]
        session = bench.secc.session()
        assert session.message.startswith(cause.text)
        assert session.stop_reason is cause.reason
        assert bench.command.shutdown is cause.shutdown
        ends_in_failure(bench, answer, CODES[trigger])


def test_waiting_too_long_for_the_authorization():
    bench = bring_to('AUTHENTICATION', automatic=False, authorization_timeout=30.0)
    began = bench.now
    while (answer := bench.ask(authentication())).response_code is R.OK:
        assert answer.evse_processing is P.ONGOING
        bench.advance(1.0)
    assert 30.0 <= bench.now - began < 31.5
    assert bench.secc.session().message == CAUSES[Trigger.AUTHORIZATION_TIMEOUT].text
    ends_in_failure(bench, answer, CODES[Trigger.AUTHORIZATION_TIMEOUT])


def test_every_code_of_the_schema_is_sent_by_a_tested_trigger_or_has_a_reason_why_not():
    assert set(CODES.values()) | set(NEVER_SENT) == set(R)
    assert not set(CODES.values()) & set(NEVER_SENT)
    assert set(CODES) == set(WAYS) | {Trigger.AUTHORIZATION_TIMEOUT}


def test_every_trigger_has_a_cause_and_the_frame_can_tell_it():
    positive = {
        Trigger.ACCEPTED, Trigger.NEW_SESSION, Trigger.SESSION_JOINED,
        Trigger.CERTIFICATE_EXPIRES_SOON, Trigger.TOLERANCE_CONFIRMED}
    assert set(CAUSES) == set(Trigger) - positive
    told = {trigger for trigger, cause in CAUSES.items() if not cause.silent}
    assert told - {Trigger.NO_COMMON_PROTOCOL} <= {
        *CODES, *iso2_codes.CODES, *iso20_codes.CODES}
    assert set(TRUTH) == set(Condition)
    assert {condition for condition, row in TRUTH.items()
            if row.processing is P.ONGOING} == ONGOING


def test_the_table_of_states_is_closed():
    for table in (TABLE, STRICT_TABLE):
        assert set(table) == set(State)
        assert {rule.then for rules in table.values() for rule in rules.values()} | {
            State.SESSION_SETUP, State.STOPPED} == set(State)


@pytest.mark.parametrize('limits', [
    parameters(voltage=-1.0), parameters(voltage=149.0), parameters(current=-1.0),
    parameters(power=-1.0)])
def test_impossible_charge_parameters(limits):
    bench = bring_to('PARAMETERS')
    answer = bench.ask(charge_parameters(limits=limits))
    assert bench.secc.vehicle().maximum_voltage is None
    ends_in_failure(bench, answer, R.FAILED_WRONG_CHARGE_PARAMETER)


def test_a_profile_above_the_schedule_is_refused_or_ignored_by_setting():
    bench = Bench()
    bench.power_overrides = {'maximum_power': 20_000.0}
    bring_to('PRE_CHARGED', bench)
    answer = bench.ask(with_profile(power=20_001))
    ends_in_failure(bench, answer, R.FAILED_CHARGING_PROFILE_INVALID)
    bench = Bench(strict_profile=False)
    bench.power_overrides = {'maximum_power': 20_000.0}
    bring_to('PRE_CHARGED', bench)
    assert bench.ask(with_profile(power=20_001)).response_code is R.OK


@pytest.mark.parametrize('missing', [
    'minimum_voltage', 'maximum_voltage', 'minimum_current', 'maximum_current',
    'maximum_power', 'peak_current_ripple'])
def test_limits_that_are_not_known_are_not_made_up(missing):
    bench = bring_to('PARAMETERS')
    bench.power_overrides = {missing: None}
    answer = bench.ask(charge_parameters())
    ends_in_failure(bench, answer, R.FAILED)


@pytest.mark.parametrize('missing', ['voltage', 'current'])
def test_measurements_that_are_missing_are_not_made_up(missing):
    bench = bring_to('CHARGING')
    bench.power_overrides = {missing: None}
    answer = bench.ask(current_demand())
    ends_in_failure(bench, answer, R.FAILED)


@pytest.mark.parametrize('state', STATES[1:-1])
@pytest.mark.parametrize('event', ['emergency', 'fault', 'immediate stop', 'power silent'])
def test_the_station_can_end_a_session_in_every_state(state, event):
    bench = bring_to(state)
    if event == 'emergency':
        bench.safety_overrides = {'emergency_stop': True}
    elif event == 'fault':
        bench.power_overrides = {'faults': fault(403, Severity.ERROR)}
    elif event == 'immediate stop':
        bench.secc.stop(StopWish(Urgency.IMMEDIATE))
    else:
        bench.silent = {'power'}
        bench.advance(0.6)
    bench.step()
    assert bench.command.mode is Mode.OFF or state in ('STOPPED', 'WELDING_DETECTION')
    kind = next(kind for kind in REQUESTS
                if is_allowed(state, kind) and kind is not din.SessionStopReq)
    answer = bench.ask(REQUESTS[kind]())
    early = STATES.index(state) < STATES.index('PARAMETERS')
    if (event == 'power silent' and early) or (
            event == 'immediate stop' and state in ('STOPPED', 'WELDING_DETECTION')):
        assert answer.response_code is R.OK
    else:
        ends_in_failure(bench, answer, R.FAILED)


def test_the_fault_behind_a_failure_is_told():
    bench = bring_to('CHARGING')
    bench.secc.stop(StopWish(Urgency.NORMAL, 'operator'))
    bench.step()
    bench.safety_overrides = {
        'faults': fault(404, Severity.ERROR, 'other')
        + fault(201, Severity.EMERGENCY, 'contactor K1 welded')}
    bench.step()
    answer = bench.ask(current_demand())
    assert answer.dc_evse_status.evse_status_code is S.EVSE_EMERGENCY_SHUTDOWN
    assert bench.secc.session().message.endswith(': contactor K1 welded')


def test_a_warning_does_not_end_a_session():
    bench = bring_to('CHARGING')
    bench.power_overrides = {'faults': fault(408, Severity.WARNING)}
    assert bench.ask(current_demand()).response_code is R.OK


def test_requests_that_a_dc_station_does_not_serve_are_refused_by_name():
    for kind, request in not_served().items():
        bench = bring_to('PARAMETERS')
        answer = bench.ask(request)
        assert type(answer).__name__ == kind.__name__.replace('Req', 'Res')
        ends_in_failure(bench, answer, R.FAILED_SEQUENCE_ERROR)


def test_what_is_no_request_is_ignored():
    bench = bring_to('CHARGING')
    for body in (din.SessionStopRes(response_code=R.OK), None):
        assert bench.ask(body, wait=0.2) is None
        assert bench.last.action is Action.IGNORE
    assert bench.ask(current_demand()).response_code is R.OK


def test_a_stop_during_the_cable_check_is_announced():
    bench = bring_to('CABLE_CHECK')
    cable_check_for(5.0)(bench)
    bench.secc.stop(StopWish(Urgency.NORMAL))
    answer = bench.ask(cable_check())
    assert (answer.response_code, answer.dc_evse_status.evse_status_code) == (
        R.OK, S.EVSE_SHUTDOWN)
    bench.pilot = PilotState.C
    bench.advance(0.1)
    answer = bench.ask(session_stop(), wait=0.1)
    assert answer is None
    bench.pilot = PilotState.B
    bench.step()
    assert bench.last.response_code == 'OK'


def test_power_is_not_delivered_once_a_stop_is_announced():
    bench = bring_to('PRE_CHARGED')
    bench.secc.stop(StopWish(Urgency.NORMAL))
    answer = bench.ask(power_delivery())
    ends_in_failure(bench, answer, R.FAILED_POWER_DELIVERY_NOT_APPLIED)


def test_the_page_of_response_codes_is_current():
    page = Path(__file__).parents[3] / 'docs' / 'response-codes.md'
    if not page.exists():
        pytest.skip('docs/ is not beside the package')
    assert page.read_text(encoding='utf-8') == code_tables.markdown(), (
        'run: python -m ccs2_hlc.session.code_tables docs/response-codes.md')
