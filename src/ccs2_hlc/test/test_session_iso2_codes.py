"""ISO 15118-2: state × request pairs, every response code's trigger, and the tables behind them."""

import pytest
from iso2_bench import (
    INTERNET,
    PAUSE,
    RENEGOTIATE,
    REQUESTS,
    START,
    STATES,
    STOP,
    Iso2Bench,
    ac_parameters,
    authorization,
    bring_to,
    cable_check,
    charge_parameters,
    current_demand,
    detail,
    parameters,
    power_delivery,
    pre_charge,
    selection,
    session_stop,
    setup,
    welding_detection,
)

from ccs2_hlc.exi.messages import iso2
from ccs2_hlc.session.command import Mode
from ccs2_hlc.session.contract import VERDICTS
from ccs2_hlc.session.engine import ONGOING
from ccs2_hlc.session.iso2 import TABLE, Iso2Engine
from ccs2_hlc.session.iso2_codes import CODES, NEVER_SENT, RESPONSES, TRUTH
from ccs2_hlc.session.iso2_payment import State
from ccs2_hlc.session.station import CableCheck, Fault, PilotState, Severity, StopWish, Urgency
from ccs2_hlc.session.transport import Action, DataLink, LinkState
from ccs2_hlc.session.triggers import CAUSES, Condition, Trigger

R = iso2.ResponseCode
S = iso2.DCEVSEStatusCode
P = iso2.EVSEProcessing
MODE = iso2.EnergyTransferMode

#: ISO 15118-2: what each state allows, written down a second time from the standard's table.
ALLOWED = {
    'SESSION_SETUP': 'SessionSetup',
    'SERVICE_DISCOVERY': 'ServiceDiscovery SessionStop',
    'SERVICES': 'ServiceDetail PaymentServiceSelection SessionStop',
    'CERTIFICATES': 'CertificateInstallation CertificateUpdate PaymentDetails SessionStop',
    'PAYMENT_DETAILS': 'PaymentDetails SessionStop',
    'AUTHORIZATION': 'Authorization SessionStop',
    'PARAMETERS': 'ChargeParameterDiscovery SessionStop',
    'CABLE_CHECK': 'CableCheck SessionStop',
    'PRE_CHARGE': 'PreCharge SessionStop',
    'PRE_CHARGED': 'PreCharge PowerDelivery SessionStop',
    'STARTED': 'CurrentDemand PowerDelivery SessionStop',
    'CHARGING': 'CurrentDemand PowerDelivery SessionStop',
    'RECEIPT': 'MeteringReceipt SessionStop',
    'RENEGOTIATION': 'ChargeParameterDiscovery SessionStop',
    'RENEGOTIATED': 'CableCheck PowerDelivery SessionStop',
    'STOPPED': 'WeldingDetection ChargeParameterDiscovery SessionStop',
    'WELDING_DETECTION': 'WeldingDetection SessionStop',
    'PAUSED': '',
    'ENDED': '',
}
PAIRS = [(state, kind) for state in STATES for kind in REQUESTS]
RUNNING = [state for state in STATES if state not in ('SESSION_SETUP', 'ENDED', 'PAUSED')]
ENERGISED = ('PRE_CHARGE', 'PRE_CHARGED', 'STARTED', 'CHARGING', 'RENEGOTIATION', 'RENEGOTIATED')
#: Tested where contracts are: test_pnc_sessions.py.
OF_CONTRACTS = (set(VERDICTS.values()) - {Trigger.ACCEPTED}) | {
    Trigger.CHALLENGE, Trigger.SIGNATURE, Trigger.RECEIPT,
    Trigger.RECEIPT_SESSION, Trigger.CONTRACT_CANCELED, Trigger.BACK_OFFICE_REFUSED,
    Trigger.BACK_OFFICE_LATE}


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
        value for name, value in vars(iso2).items()
        if isinstance(value, type) and name.endswith('Req')}
    assert set(REQUESTS) == requests == set(Iso2Engine.BUILDERS)
    assert set(ALLOWED) == {state.name for state in State}


@pytest.mark.parametrize(
    ('state', 'kind'), PAIRS, ids=[f'{state}-{kind.__name__}' for state, kind in PAIRS])
def test_every_request_in_every_state(state, kind):
    bench = bring_to(state, services=(INTERNET,))
    assert bench.secc._engine.state.name == state
    assert bench.stage != 'FAILED'
    answer = bench.ask(REQUESTS[kind]())
    if is_allowed(state, kind):
        if state in ENERGISED and kind is iso2.SessionStopReq:
            assert answer.response_code is R.FAILED  # the car stays in C
        elif (state, kind) in (
                ('CHARGING', iso2.PowerDeliveryReq), ('STARTED', iso2.PowerDeliveryReq)):
            assert answer.response_code is R.FAILED  # it is charging already
        else:
            assert answer.response_code in (R.OK, R.OK_NEW_SESSION_ESTABLISHED)
        return
    assert type(answer).__name__ == kind.__name__.replace('Req', 'Res')
    assert bench.last.message.header.session_id == bench.session_id
    if state in ('ENDED', 'PAUSED'):
        assert answer.response_code is R.FAILED_SEQUENCE_ERROR
        assert bench.stage in ('FINISHED', 'PAUSED')
    else:
        ends_in_failure(bench, answer, R.FAILED_SEQUENCE_ERROR)
        assert bench.stage == 'FAILED'


@pytest.mark.parametrize('state', RUNNING)
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


def fault(code, severity, message='broken'):
    return (Fault(code, severity, message, 'test'),)


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


def paused(bench):
    bench.come_back()


#: One way to pull each trigger: state, what happens, request, seconds to wait, expected status.
WAYS = {
    Trigger.ACCEPTED: ('CHARGING', nothing, current_demand(), 0.0, S.EVSE_READY),
    Trigger.NEW_SESSION: ('SESSION_SETUP', nothing, setup(), 0.0, None),
    Trigger.SESSION_JOINED: ('PAUSED', paused, setup(), 0.0, None),
    Trigger.OUT_OF_SEQUENCE: ('CHARGING', nothing, pre_charge(), 0.0, S.EVSE_SHUTDOWN),
    Trigger.UNKNOWN_SESSION: (
        'CHARGING', setting(session_id=bytes(8)), current_demand(), 0.0, S.EVSE_SHUTDOWN),
    # The charge service is not one of the list.
    Trigger.SERVICE_UNKNOWN: ('SERVICES', nothing, detail(1), 0.0, None),
    Trigger.PAYMENT_NOT_OFFERED: (
        'SERVICES', nothing, selection(iso2.PaymentOption.CONTRACT), 0.0, None),
    Trigger.SERVICE_NOT_OFFERED: (
        'SERVICES', nothing, selection(services=((1, None), (2, None))), 0.0, None),
    Trigger.NO_CHARGE_SERVICE: (
        'SERVICES', nothing, selection(services=((2, None),)), 0.0, None),
    Trigger.ENERGY_TRANSFER_NOT_OFFERED: (
        'PARAMETERS', nothing, charge_parameters(MODE.DC_CORE), 0.0, S.EVSE_SHUTDOWN),
    Trigger.CHARGE_PARAMETERS: (
        'PARAMETERS', nothing, charge_parameters(limits=ac_parameters()), 0.0,
        S.EVSE_SHUTDOWN),
    Trigger.SCHEDULE_NOT_OFFERED: (
        'PRE_CHARGED', nothing, power_delivery(schedule=2), 0.0, S.EVSE_SHUTDOWN),
    Trigger.PROFILE_ABOVE_SCHEDULE: (
        'PRE_CHARGED', nothing, power_delivery(plan=[(86400, 1.0)]), 0.0, S.EVSE_SHUTDOWN),
    Trigger.NOT_READY_FOR_POWER: (
        'PRE_CHARGED', setting(safety_overrides={'contactors_closed': False}),
        power_delivery(), 0.0, S.EVSE_SHUTDOWN),
    Trigger.STARTED_TWICE: ('CHARGING', nothing, power_delivery(START), 0.0, S.EVSE_SHUTDOWN),
    Trigger.RENEGOTIATED_TOO_EARLY: (
        'PRE_CHARGED', nothing, power_delivery(RENEGOTIATE), 0.0, S.EVSE_SHUTDOWN),
    Trigger.PAUSED_TOO_EARLY: ('CHARGING', nothing, session_stop(PAUSE), 0.0, None),
    Trigger.PRE_CHARGE_CURRENT: (
        'PRE_CHARGE', nothing, pre_charge(current=2.1), 0.0, S.EVSE_SHUTDOWN),
    Trigger.VEHICLE_ERROR: (
        'CABLE_CHECK', nothing,
        cable_check(error=iso2.DCEVErrorCode.FAILED_EV_RESS_MALFUNCTION), 0.0,
        S.EVSE_SHUTDOWN),
    Trigger.AUTHORIZATION_DENIED: (
        'AUTHORIZATION', lambda bench: bench.secc.deny(''), authorization(), 0.0, None),
    Trigger.STATION_STOPPED: (
        'AUTHORIZATION', lambda bench: bench.secc.stop(StopWish(Urgency.NORMAL)),
        authorization(), 0.0, None),
    Trigger.STOPPED_AT_ONCE: (
        'CHARGING', lambda bench: bench.secc.stop(StopWish(Urgency.IMMEDIATE)),
        current_demand(), 0.0, S.EVSE_SHUTDOWN),
    Trigger.STOP_IGNORED: (
        'CHARGING', lambda bench: bench.secc.pause('grid'), current_demand(), 10.1,
        S.EVSE_SHUTDOWN),
    Trigger.EMERGENCY_STOP: (
        'PARAMETERS', setting(safety_overrides={'emergency_stop': True}),
        charge_parameters(), 0.0, S.EVSE_EMERGENCY_SHUTDOWN),
    Trigger.EMERGENCY_FAULT: (
        'CHARGING', setting(safety_overrides={'faults': fault(201, Severity.EMERGENCY)}),
        current_demand(), 0.0, S.EVSE_EMERGENCY_SHUTDOWN),
    Trigger.STATION_FAULT: (
        'RENEGOTIATION', setting(power_overrides={'faults': fault(404, Severity.ERROR)}),
        charge_parameters(), 0.0, S.EVSE_MALFUNCTION),
    Trigger.ISOLATION_FAULT: (
        'RENEGOTIATED', setting(power_overrides={'faults': fault(301, Severity.ERROR)}),
        cable_check(), 0.0, S.EVSE_MALFUNCTION),
    Trigger.CABLE_CHECK_FAILED: (
        'CABLE_CHECK', cable_check_for(1.0, CableCheck.FAILED), cable_check(), 1.1,
        S.EVSE_MALFUNCTION),
    Trigger.CABLE_CHECK_TIMEOUT: (
        'CABLE_CHECK', cable_check_for(60.0), cable_check(), 38.1, S.EVSE_MALFUNCTION),
    Trigger.POWER_DELIVERY_TIMEOUT: (
        'PRE_CHARGED', nothing, power_delivery(), 20.1, S.EVSE_MALFUNCTION),
    Trigger.POWER_NOT_STOPPED: (
        'CHARGING', setting(ramp_time=9.0), power_delivery(STOP), 0.0,
        S.EVSE_EMERGENCY_SHUTDOWN),
    Trigger.POWER_SILENT: (
        'CHARGING', setting(silent={'power'}), current_demand(), 0.6, S.EVSE_MALFUNCTION),
    Trigger.SAFETY_SILENT: (
        'RENEGOTIATION', setting(silent={'safety'}), charge_parameters(), 0.6,
        S.EVSE_MALFUNCTION),
    Trigger.PILOT_SILENT: (
        'CHARGING', setting(silent={'pilot'}), current_demand(), 0.6, S.EVSE_MALFUNCTION),
    Trigger.MEASUREMENT_MISSING: (
        'PRE_CHARGED', setting(power_overrides={'voltage': None}), pre_charge(), 0.0,
        S.EVSE_MALFUNCTION),
    Trigger.PILOT_NOT_C: (
        'CABLE_CHECK', lambda bench: bench.ask(cable_check()), cable_check(), 1.6,
        S.EVSE_MALFUNCTION),
    Trigger.PILOT_LEFT_C: (
        'RENEGOTIATION', setting(pilot=PilotState.B), charge_parameters(), 0.0,
        S.EVSE_EMERGENCY_SHUTDOWN),
    Trigger.PILOT_NOT_B: (
        'STOPPED', setting(pilot=PilotState.C), welding_detection(), 0.0, S.EVSE_SHUTDOWN),
}


def status_of(answer):
    if isinstance(answer, iso2.ChargeParameterDiscoveryRes):
        return answer.evse_charge_parameter.dc_evse_status
    return getattr(answer, 'evse_status', None) or getattr(answer, 'dc_evse_status', None)


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
    bench = bring_to('AUTHORIZATION', automatic=False, authorization_timeout=90.0)
    began = bench.now
    while (answer := bench.ask(authorization())).response_code is R.OK:
        assert answer.evse_processing is P.ONGOING_WAITING_FOR_CUSTOMER_INTERACTION
        bench.advance(1.0)
    assert 90.0 <= bench.now - began < 91.5
    assert bench.secc.session().message == CAUSES[Trigger.AUTHORIZATION_TIMEOUT].text
    ends_in_failure(bench, answer, CODES[Trigger.AUTHORIZATION_TIMEOUT])


def test_every_code_of_the_schema_is_sent_by_a_tested_trigger_or_has_a_reason_why_not():
    assert set(CODES.values()) | set(NEVER_SENT) == set(R)
    assert not set(CODES.values()) & set(NEVER_SENT)
    assert set(CODES) == set(WAYS) | OF_CONTRACTS | {Trigger.AUTHORIZATION_TIMEOUT}
    assert set(RESPONSES) <= set(CODES)


def test_the_truth_table_is_complete():
    assert set(TRUTH) == set(Condition)
    assert {condition for condition, row in TRUTH.items()
            if row.processing is not P.FINISHED} == ONGOING


def test_the_table_of_states_is_closed():
    assert set(TABLE) == set(State)
    for state, rules in TABLE.items():
        assert {kind.__name__.removesuffix('Req') for kind in rules} == set(
            ALLOWED[state.name].split())
    chosen_by_content = {
        State.SESSION_SETUP, State.CERTIFICATES, State.RECEIPT, State.RENEGOTIATION,
        State.PAUSED}
    assert {rule.then for rules in TABLE.values() for rule in rules.values()} | (
        chosen_by_content) == set(State)


def test_the_charge_service_is_missed_before_another_is_found_unknown():
    bench = bring_to('SERVICES')
    answer = bench.ask(selection(services=((77, None),)))
    assert answer.response_code is R.FAILED_NO_CHARGE_SERVICE_SELECTED


@pytest.mark.parametrize('limits', [
    parameters(voltage=-1.0), parameters(voltage=149.0), parameters(current=-100.0),
    parameters(power=-1.0)])
def test_impossible_charge_parameters(limits):
    bench = bring_to('PARAMETERS')
    answer = bench.ask(charge_parameters(limits=limits))
    assert bench.secc.vehicle().maximum_voltage is None
    ends_in_failure(bench, answer, R.FAILED_WRONG_CHARGE_PARAMETER)


@pytest.mark.parametrize('missing', [
    'minimum_voltage', 'maximum_voltage', 'minimum_current', 'maximum_current',
    'maximum_power', 'peak_current_ripple'])
@pytest.mark.parametrize('state', ['PARAMETERS', 'RENEGOTIATION', 'STOPPED'])
def test_limits_that_are_not_known_are_not_made_up(state, missing):
    bench = bring_to(state)
    bench.power_overrides = {missing: None}
    answer = bench.ask(charge_parameters())
    assert answer.sa_schedules is None
    ends_in_failure(bench, answer, R.FAILED)


@pytest.mark.parametrize('missing', ['voltage', 'current'])
def test_measurements_that_are_missing_are_not_made_up(missing):
    bench = bring_to('CHARGING')
    bench.power_overrides = {missing: None}
    ends_in_failure(bench, bench.ask(current_demand()), R.FAILED)


@pytest.mark.parametrize('state', RUNNING)
@pytest.mark.parametrize('event', ['emergency', 'fault', 'immediate stop', 'power silent'])
def test_the_station_can_end_a_session_in_every_state(state, event):
    bench = bring_to(state, services=(INTERNET,))
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
    stopping = state in ('STOPPED', 'WELDING_DETECTION')
    assert bench.command.mode is Mode.OFF or stopping
    request = welding_detection() if stopping else next(
        REQUESTS[kind]() for kind in REQUESTS
        if is_allowed(state, kind) and kind is not iso2.SessionStopReq)
    answer = bench.ask(request)
    early = STATES.index(state) < STATES.index('PARAMETERS')
    if (event == 'power silent' and early) or (event == 'immediate stop' and stopping):
        assert answer.response_code is R.OK
    else:
        ends_in_failure(bench, answer, R.FAILED)


def test_a_failed_response_carries_no_more_than_it_must():
    bench = bring_to('CHARGING')
    bench.safety_overrides = {'emergency_stop': True}
    bench.step()
    answer = bench.ask(current_demand())
    assert (answer.meter_info, answer.receipt_required) == (None, None)
    assert answer.dc_evse_status.evse_notification is iso2.EVSENotification.NONE


def test_what_is_no_request_is_ignored():
    bench = bring_to('CHARGING')
    for body in (iso2.SessionStopRes(response_code=R.OK), None):
        assert bench.ask(body, wait=0.2) is None
        assert bench.last.action is Action.IGNORE
    assert bench.ask(current_demand()).response_code is R.OK


def test_power_is_not_delivered_once_a_stop_or_a_pause_is_announced():
    bench = bring_to('PRE_CHARGED')
    bench.secc.stop(StopWish(Urgency.NORMAL))
    ends_in_failure(
        bench, bench.ask(power_delivery()), R.FAILED_POWER_DELIVERY_NOT_APPLIED)
    bench = bring_to('CHARGING')
    bench.secc.pause('grid')
    bench.ask(power_delivery(RENEGOTIATE))
    bench.ask(charge_parameters())
    ends_in_failure(
        bench, bench.ask(power_delivery()), R.FAILED_POWER_DELIVERY_NOT_APPLIED)


def test_a_station_without_an_evse_id_says_so():
    bench = Iso2Bench()
    bench.station = bench.secc.station = type(bench.station)(
        automatic_authorization=True)
    bring_to('SESSION_SETUP', bench)
    answer = bench.ask(setup())
    assert (answer.evse_id, answer.evse_time_stamp) == ('ZZ00000', None)
