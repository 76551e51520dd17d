"""The car's ISO 15118-20 engine against the station's session core, on a virtual clock."""

import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))

from iso2_pair import BATTERY
from iso20_pair import PARKING, Bench, Pair20, contract_bench

from ccs2_hlc.exi.messages.iso20 import common, dc
from ccs2_hlc.session.command import Mode
from ccs2_hlc.session.schedules import Schedule, Step
from ccs2_hlc.session.station import Needs, OperatorLimits, StopWish, Urgency
from ccs2_hlc.session.tariffs import Levels, LevelStep, Prices, PriceStep, Tariffs
from ccs2_link.transport.v2gtp import PayloadType
from ccs2_pki.profiles import RootKind
from ccs2_sim.evcc.iso20 import Iso20Evcc
from ccs2_sim.evcc.outcome import ErrorCode
from ccs2_sim.evcc.vehicle import Acquisition, Transfer
from ccs2_sim.lab import GENERATION_20, read_wallet
from ccs2_sim.provisioning20 import read_provider20

NOW = datetime.now(UTC)
FIRST = ['SessionSetup', 'AuthorizationSetup', 'Authorization', 'ServiceDiscovery',
         'ServiceDetail', 'ServiceSelection']
PARAMETERS = ['DCChargeParameterDiscovery', 'ScheduleExchange']
CHARGE = ['DCCableCheck', 'DCPreCharge', 'PowerDelivery', 'DCChargeLoop']
LAST = ['PowerDelivery', 'DCWeldingDetection', 'SessionStop']
BPT = (Transfer.BPT, Transfer.BPT_DYNAMIC)
Code = common.ResponseCode
Notification = common.EVSENotification


@pytest.fixture
def everything(lab):
    """Return a car and a station that go through every message there is."""
    made = read_provider20(lab)
    bench = contract_bench(
        lab, RootKind, NOW, receipt_interval=0.5, services=(PARKING,))
    return Pair20(
        bench, provider=lambda data: made.answer(data, NOW),
        wallet=read_wallet(lab, NOW, '', GENERATION_20), acquisition=Acquisition.INSTALL,
        checks_in=True, renegotiate_after=10, standby_after=15, standby_time=1.5, change_after=20,
        maximum_loops=25)


def test_every_message_in_one_session(everything):
    outcome = everything.run()
    assert outcome.error is ErrorCode.NONE, outcome
    turn = ['ServiceDiscovery', 'ServiceDetail', 'ServiceSelection']
    again = [name for name in everything.steps() if name not in (
        'MeteringConfirmation', 'PowerDelivery(Start)', 'DCChargeLoop')]
    end = ['PowerDelivery(Stop)', 'DCWeldingDetection']
    assert again == [
        'SessionSetup', 'AuthorizationSetup', 'CertificateInstallation', 'Authorization', *turn,
        'VehicleCheckIn', *PARAMETERS, 'DCCableCheck', 'DCPreCharge',
        'PowerDelivery(ScheduleRenegotiation)', 'ScheduleExchange', 'PowerDelivery(Standby)',
        *end, 'SessionStop(ServiceRenegotiation)', *turn, *PARAMETERS, 'DCCableCheck',
        'DCPreCharge', *end, 'VehicleCheckOut', 'SessionStop(Terminate)']
    assert 'MeteringConfirmation' in everything.steps()
    assert everything.bench.stage == 'FINISHED'
    assert everything.bench.secc.session().contract_id == everything.engine.contract.name
    assert set(everything.counts) == {*Iso20Evcc.steps, 'supportedAppProtocol'}
    assert everything.engine.remarks == []



@pytest.mark.parametrize('transfer', Transfer)
def test_whole_session_by_external_payment(transfer):
    pair = Pair20(transfer=transfer, maximum_loops=20)
    assert pair.run().error is ErrorCode.NONE
    assert pair.names() == FIRST + PARAMETERS + CHARGE + LAST
    # B, C, contactors, open in C, B: in this order and nothing else.
    assert [(wish.load, wish.contactors) for wish in pair.wishes] == [
        ('B', False), ('C', False), ('C', True), ('C', False), ('B', False)]
    assert pair.bench.stage == 'FINISHED'
    assert max(pair.currents) > 100
    session = pair.bench.secc._engine.selection
    assert (session.bidirectional, session.control.name == 'DYNAMIC') == (
        transfer.bidirectional, transfer.dynamic)


@pytest.mark.parametrize('transfer', Transfer)
def test_state_of_charge_ends_the_session_without_current(transfer):
    pair = Pair20(transfer=transfer)
    assert pair.run().error is ErrorCode.NONE
    assert 0.8 <= pair.vehicle.state_of_charge < 0.85
    names = [type(message).__name__ for message in pair.requests]
    last = len(names) - 1 - names[::-1].index('DCChargeLoopReq')
    mode = pair.requests[last].cl_req_control_mode
    wanted = mode.ev_maximum_energy_request if transfer.dynamic else mode.ev_target_current
    assert float(wanted) == 0


@pytest.mark.parametrize('transfer', BPT)
def test_bidirectional_car_gives_energy_first_and_is_charged_then(transfer):
    pair = Pair20(transfer=transfer, discharge_to=0.4, maximum_discharge_current=50.0)
    assert pair.run().error is ErrorCode.NONE
    flowing = [current for current in pair.currents if current]
    turn = next(index for index, current in enumerate(flowing) if current > 0)
    assert min(flowing) == pytest.approx(-50.0)
    assert all(current < 0 for current in flowing[:turn])
    assert all(current > 0 for current in flowing[turn:])
    assert pair.vehicle.state_of_charge >= 0.8
    # A tenth of the battery has come out before.
    assert sum(flowing[:turn]) * 2e-5 == pytest.approx(-0.1, abs=0.01)


@pytest.mark.parametrize('transfer', BPT)
def test_what_the_car_gives_is_within_both_sides_limits(transfer):
    pair = Pair20(transfer=transfer, discharge_to=0.4, maximum_discharge_current=500.0,
                  maximum_discharge_power=19e3)
    pair.run()
    assert min(pair.currents) == pytest.approx(-19e3 / BATTERY, rel=0.02)
    again = Pair20(transfer=transfer, discharge_to=0.4, maximum_discharge_current=500.0,
                   maximum_discharge_power=500e3)
    again.run()
    assert min(again.currents) == pytest.approx(-30e3 / BATTERY, rel=0.02)


def test_car_leaves_a_station_that_discharges_it_unasked():
    pair = Pair20()
    pair.overrides['DC_ChargeLoop'] = lambda response, count: replace(
        response, evse_present_current=common.RationalNumber.of(-20 if count > 3 else 0))
    outcome = pair.run()
    assert outcome.error is ErrorCode.POWER
    assert 'out of the car' in outcome.text
    assert not pair.vehicle.contactors


@pytest.mark.parametrize('transfer', BPT)
def test_station_that_cannot_discharge_is_left(transfer):
    bench = Bench()
    bench.power_overrides = {'maximum_discharge_current': None, 'maximum_discharge_power': None}
    outcome = Pair20(bench, transfer=transfer).run()
    assert outcome.error is ErrorCode.REFUSED
    assert '[2]' in outcome.text


@pytest.mark.parametrize('name', Iso20Evcc.steps)
def test_failed_response_ends_the_session_at_once(everything, name):
    everything.overrides[name] = lambda response, count: replace(
        response, response_code=Code.FAILED)
    outcome = everything.run()
    assert outcome.error is ErrorCode.REFUSED
    assert 'FAILED' in outcome.text
    assert everything.engine.step == name
    assert not everything.vehicle.contactors
    assert everything.wishes[-1].load == 'B'


@pytest.mark.parametrize('name', Iso20Evcc.steps)
def test_silence_is_a_timeout_of_that_message(everything, name):
    everything.overrides[name] = lambda response, count: None
    outcome = everything.run()
    assert outcome.error is ErrorCode.TIMEOUT
    assert Iso20Evcc.steps[name].expects.__name__ in outcome.text
    assert not everything.vehicle.contactors


def test_timeouts_of_single_messages():
    timeouts = {
        name: step.timeout for name, step in Iso20Evcc.steps.items() if step.timeout != 2.0}
    assert timeouts == {'CertificateInstallation': 5, 'ServiceDetail': 5,
                        'ServiceDetailParking': 5, 'DC_ChargeLoop': 0.5}


def test_schedule_with_the_most_energy_is_taken_and_kept():
    few = Schedule(1, (Step(0, 5e3), Step(7200, 50e3)))
    many = Schedule(2, (Step(0, 20e3), Step(2, 10e3)))
    pair = Pair20(Bench(schedules=(few, many)), maximum_loops=60)
    assert pair.run().error is ErrorCode.NONE
    profile = pair.bodies(common.PowerDeliveryReq)[0].ev_power_profile
    assert profile.scheduled_evppt_control_mode.selected_schedule_tuple_id == 2
    entries = profile.ev_power_profile_entries.ev_power_profile_entry
    assert [float(entry.power) for entry in entries] == [20e3, 10e3]
    assert entries[0].duration == 2
    # The limit falls 2 s after it was agreed: cable check and pre-charge take longer.
    assert max(pair.currents) * BATTERY == pytest.approx(10e3, rel=0.01)


DEAR, CHEAP = 0.59, 0.19


@pytest.mark.parametrize(('cheaper', 'told'), [
    (Prices('EUR', 'deu', (PriceStep(0, DEAR), PriceStep(600, CHEAP))), True),
    (Levels((LevelStep(0, 9), LevelStep(600, 1))), True),
    (None, False)])
def test_the_cheapest_schedule_that_gives_enough_is_taken(cheaper, told):
    # The second gives more, but not more than the car wants, and most of that at the high price.
    late = Schedule(1, (Step(0, 1e3), Step(600, 60e3)))
    early = Schedule(2, (Step(0, 60e3),))
    tariffs = Tariffs({1: cheaper, 2: cheaper}) if told else None
    bench = Bench(schedules=(late, early), tariffs=tariffs)
    pair = Pair20(bench, maximum_power=60e3, target_state_of_charge=0.55, maximum_loops=5)
    assert pair.run().error is ErrorCode.NONE
    profile = pair.bodies(common.PowerDeliveryReq)[0].ev_power_profile
    number = profile.scheduled_evppt_control_mode.selected_schedule_tuple_id
    assert number == (1 if told else 2)


@pytest.mark.parametrize('transfer', Transfer)
def test_station_can_stop(transfer):
    pair = Pair20(transfer=transfer)
    pair.run(until='DC_ChargeLoop')
    assert pair.bench.secc.stop(StopWish(Urgency.NORMAL, 'closing time')) is None
    assert pair.run().error is ErrorCode.STOPPED_BY_STATION
    assert pair.names()[-3:] == LAST


def test_station_can_renegotiate():
    pair = Pair20(Bench(renegotiation=True), maximum_loops=60)
    pair.run(until='DC_ChargeLoop')
    pair.turn()
    pair.bench.secc.set_limits(OperatorLimits(maximum_power=7e3))
    assert pair.run().error is ErrorCode.NONE
    assert pair.engine.renegotiations == 1
    assert pair.names() == [
        *FIRST, *PARAMETERS, *CHARGE, 'PowerDelivery', 'ScheduleExchange', 'PowerDelivery',
        'DCChargeLoop', *LAST]
    # The contactors have stayed closed in between.
    assert [wish.contactors for wish in pair.wishes] == [False, False, True, False, False]


@pytest.mark.parametrize('transfer', Transfer)
def test_car_can_renegotiate(transfer):
    pair = Pair20(transfer=transfer, renegotiate_after=5, maximum_loops=30)
    assert pair.run().error is ErrorCode.NONE
    assert pair.engine.renegotiations == 1
    assert [body.charge_progress.name for body in pair.bodies(common.PowerDeliveryReq)] == [
        'START', 'SCHEDULE_RENEGOTIATION', 'START', 'STOP']


@pytest.mark.parametrize('transfer', Transfer)
def test_schedules_are_negotiated_on_their_own_stream_by_choice(transfer):
    pair = Pair20(
        transfer=transfer, renegotiate_after=5, maximum_loops=30, renegotiates_aside=True)
    streams = {}

    def note(step, message):
        streams.setdefault(step, set()).add(pair.engine.payload_type(message))
        return message
    pair.alter = note
    assert pair.run().error is ErrorCode.NONE
    aside, main = PayloadType.ISO20_SCHEDULE_RENEGOTIATION, PayloadType.ISO20_COMMON
    assert streams['PowerDeliveryRenegotiate'] == {aside}
    assert streams['ScheduleExchange'] == streams['PowerDelivery'] == {main, aside}
    assert streams['PowerDeliveryStop'] == {main}


@pytest.mark.parametrize('transfer', Transfer)
def test_car_goes_to_standby_and_comes_back(transfer):
    pair = Pair20(transfer=transfer, standby_after=5, standby_time=4.0, maximum_loops=30)
    assert pair.run(until='PowerDeliveryStandby') is None
    began = pair.bench.now
    pair.turn()
    assert pair.bench.power.current == 0.0
    assert pair.vehicle.contactors
    assert pair.run(until='PowerDelivery') is None
    assert 3.9 < pair.bench.now - began < 5.5
    assert pair.run().error is ErrorCode.NONE
    assert pair.steps()[11:] == [
        'DCChargeLoop', 'PowerDelivery(Standby)', 'PowerDelivery(Start)', 'DCChargeLoop',
        'PowerDelivery(Stop)', 'DCWeldingDetection', 'SessionStop(Terminate)']
    # About once a second it shows that it is still there.
    assert 4 <= pair.counts['PowerDeliveryStandby'] <= 6


def test_station_wants_the_car_back_from_standby():
    pair = Pair20(Bench(renegotiation=True), standby_after=5, standby_time=50.0, maximum_loops=30)
    assert pair.run(until='PowerDeliveryStandby') is None
    pair.bench.secc.set_limits(OperatorLimits(maximum_power=20e3))
    began = pair.bench.now
    assert pair.run().error is ErrorCode.NONE
    assert pair.bench.now - began < 20
    # Then it negotiates the schedule that has changed.
    assert pair.engine.renegotiations == 1


@pytest.mark.parametrize('end', ['stop', 'pause'])
def test_station_can_end_a_standby(end):
    pair = Pair20(standby_after=5, standby_time=50.0, maximum_loops=30)
    assert pair.run(until='PowerDeliveryStandby') is None
    pair.turn()
    if end == 'stop':
        assert pair.bench.secc.stop(StopWish(Urgency.NORMAL, 'closing time')) is None
    else:
        assert pair.bench.secc.pause('later') is None
    outcome = pair.run()
    assert outcome.error is (ErrorCode.STOPPED_BY_STATION if end == 'stop' else ErrorCode.NONE)
    assert pair.steps()[-4:] == [
        'PowerDelivery(Standby)', 'PowerDelivery(Stop)', 'DCWeldingDetection',
        f'SessionStop({"Terminate" if end == "stop" else "Pause"})']


def test_standby_that_the_station_does_not_allow():
    pair = Pair20(Bench(standby=False), standby_after=5, maximum_loops=30)
    assert pair.run().error is ErrorCode.NONE
    assert pair.engine.remarks == ['PowerDeliveryRes: WARNING_StandbyNotAllowed']
    assert pair.counts['PowerDeliveryStandby'] == 1
    assert pair.counts['DC_ChargeLoop'] > 20


def test_station_that_cannot_discharge_any_more_makes_the_car_charge_only():
    pair = Pair20(transfer=Transfer.BPT, discharge_to=0.4, maximum_loops=60)
    assert pair.run(until='DC_ChargeLoop') is None
    for _ in range(5):
        pair.turn()
    assert pair.bench.power.current < 0.0
    first = pair.engine.session_id
    pair.bench.power_overrides = {
        'maximum_discharge_current': None, 'maximum_discharge_power': None}
    assert pair.run().error is ErrorCode.NONE
    assert pair.engine.transfer is Transfer.SCHEDULED
    assert pair.engine.session_id == first
    assert pair.currents[-5] > 0 or max(pair.currents) > 50
    assert pair.steps()[-13:-8] == [
        'SessionStop(ServiceRenegotiation)', 'ServiceDiscovery', 'ServiceDetail',
        'ServiceSelection', 'DCChargeParameterDiscovery']
    # Once more from B, with contactors that were open in between.
    assert [(wish.load, wish.contactors) for wish in pair.wishes] == 2 * [
        ('B', False), ('C', False), ('C', True), ('C', False)] + [('B', False)]


@pytest.mark.parametrize('following', [None, Transfer.DYNAMIC, Transfer.BPT])
def test_car_changes_services_by_its_own_wish(following):
    pair = Pair20(change_after=5, next_transfer=following, maximum_loops=15)
    assert pair.run().error is ErrorCode.NONE
    assert pair.engine.changes == 1
    assert pair.engine.transfer is (following or Transfer.SCHEDULED)
    selections = pair.bodies(common.ServiceSelectionReq)
    assert len(selections) == 2
    assert selections[1].selected_energy_transfer_service.service_id == (
        6 if following is Transfer.BPT else 2)
    assert pair.bench.secc.session().bidirectional is (following is Transfer.BPT)


def test_services_that_cannot_be_changed_are_not():
    pair = Pair20(Bench(service_renegotiation=False), change_after=5, maximum_loops=15)
    assert pair.run().error is ErrorCode.NONE
    assert pair.engine.changes == 0
    assert pair.steps()[-1] == 'SessionStop(Terminate)'


def test_driver_who_stops_meanwhile_ends_the_session():
    pair = Pair20(change_after=5, maximum_loops=15)
    assert pair.run(until='DC_WeldingDetection') is None
    pair.engine.stop(ErrorCode.CANCELED, 'enough')
    assert pair.run().error is ErrorCode.CANCELED
    assert pair.steps()[-1] == 'SessionStop(Terminate)'


def test_car_checks_in_and_out_on_the_parking_stream():
    pair = Pair20(Bench(services=(PARKING,)), checks_in=True, maximum_loops=5)
    assert pair.run().error is ErrorCode.NONE
    steps = pair.steps()
    assert steps.index('VehicleCheckIn') == steps.index('ServiceSelection') + 1
    assert steps[-2:] == ['VehicleCheckOut', 'SessionStop(Terminate)']
    assert [body.ev_check_in_status.value for body in pair.bodies(common.VehicleCheckInReq)] == [
        'CheckIn', 'Completed']
    (request,) = pair.bodies(common.VehicleCheckOutReq)
    assert pair.engine.payload_type(request) == PayloadType.ISO20_PARKING_STATUS


@pytest.mark.parametrize(('services', 'checks_in'), [((), True), ((PARKING,), False)])
def test_car_does_not_check_in_unless_both_sides_want_it(services, checks_in):
    pair = Pair20(Bench(services=services), checks_in=checks_in, maximum_loops=5)
    assert pair.run().error is ErrorCode.NONE
    assert pair.names() == FIRST + PARAMETERS + CHARGE + LAST


@pytest.mark.parametrize('transfer', Transfer)
def test_station_can_make_the_car_pause_before_there_is_power(transfer):
    pair = Pair20(transfer=transfer)
    pair.run(until='ScheduleExchange')
    assert pair.bench.secc.pause('grid') is None
    outcome = pair.run()
    assert (outcome.error, outcome.text) == (ErrorCode.NONE, 'paused')
    assert pair.steps()[-3:] == [
        'ScheduleExchange', 'PowerDelivery(Stop)', 'SessionStop(Pause)']
    assert not any(wish.contactors for wish in pair.wishes)
    pair.bench.advance(10)
    again = Pair20(pair.bench, pair.engine.paused, transfer=transfer, maximum_loops=5)
    assert again.run().error is ErrorCode.NONE
    assert again.engine.joined


def test_car_keeps_to_its_profile_where_the_station_gives_a_tolerance():
    schedule = Schedule(1, (Step(0, 30e3),), tolerance=1500.0)
    pair = Pair20(Bench(schedules=(schedule,)), maximum_power=20e3, maximum_loops=10)
    assert pair.run().error is ErrorCode.NONE
    started = pair.bodies(common.PowerDeliveryRes)[0]
    assert started.response_code is Code.OK_POWER_TOLERANCE_CONFIRMED


@pytest.mark.parametrize('transfer', [Transfer.DYNAMIC, Transfer.BPT_DYNAMIC])
@pytest.mark.parametrize('shares', [True, False])
def test_station_says_what_the_car_needs_if_both_agree(transfer, shares):
    pair = Pair20(Bench(mobility_needs=True), transfer=transfer, shares_needs=shares)
    pair.run(until='ScheduleExchange')
    refusal = pair.bench.secc.set_needs(Needs(pair.bench.now + 600.0, 0.2, 0.55))
    assert (refusal is None) is shares
    assert pair.run().error is ErrorCode.NONE
    state_of_charge = pair.vehicle.state_of_charge
    assert 0.54 <= state_of_charge < 0.6 if shares else state_of_charge >= 0.8
    loop = pair.bodies(dc.DCChargeLoopReq)[-1].cl_req_control_mode
    assert (loop.departure_time < 600) is shares


@pytest.mark.parametrize('transfer', Transfer)
def test_car_pauses_and_resumes(transfer):
    bench = Bench()
    pair = Pair20(bench, transfer=transfer, pause_after=5)
    outcome = pair.run()
    assert (outcome.error, outcome.text) == (ErrorCode.NONE, 'paused')
    assert pair.requests[-1].charging_session is common.ChargingSession.PAUSE
    bench.advance(10)
    again = Pair20(bench, pair.engine.paused, transfer=transfer, maximum_loops=10, pause_after=5)
    assert again.run().error is ErrorCode.NONE
    assert again.engine.joined
    assert again.engine.session_id == pair.engine.session_id
    # Authorization and services are kept.
    assert again.names() == ['SessionSetup', *PARAMETERS, *CHARGE, *LAST]
    assert again.requests[-1].charging_session is common.ChargingSession.TERMINATE


def test_another_car_cannot_resume():
    bench = Bench()
    pair = Pair20(bench, pause_after=5)
    pair.run()
    bench.certificate = bytes(64)
    again = Pair20(bench, pair.engine.paused, maximum_loops=5)
    assert again.run().error is ErrorCode.NONE
    assert not again.engine.joined
    assert again.engine.session_id != pair.engine.session_id


def test_car_says_who_it_is_and_when():
    pair = Pair20(vehicle_id='WMIV1234567890ABCDEX', unix_time=lambda: 1_700_000_000,
                  maximum_loops=2)
    assert pair.run().error is ErrorCode.NONE
    assert pair.requests[0].evcc_id == 'WMIV1234567890ABCDEX'
    assert {request.header.time_stamp for request in pair.requests} == {1_700_000_000}
    assert len({request.header.session_id for request in pair.requests[1:]}) == 1


@settings(max_examples=40, deadline=None)
@given(plan=st.dictionaries(st.sampled_from(list(Iso20Evcc.steps)), st.tuples(
    st.integers(1, 4), st.sampled_from(
        ['silent', 'failed', 'warning', 'other', *common.EVSENotification])), max_size=3),
       transfer=st.sampled_from(Transfer), loops=st.integers(1, 15))
def test_whatever_the_station_does_the_car_ends_safe(plan, transfer, loops):
    def override(at, what):
        def change(response, count):
            if count < at:
                return response
            if what == 'silent':
                return None
            if what == 'other':
                return dc.DCCableCheckRes(
                    header=response.header, response_code=Code.OK,
                    evse_processing=common.Processing.FINISHED)
            if isinstance(what, str):
                code = Code.FAILED if what == 'failed' else Code.WARNING_CERTIFICATE_EXPIRED
                return replace(response, response_code=code)
            if hasattr(response, 'evse_status'):
                return replace(response, evse_status=common.EVSEStatus(
                    notification_max_delay=0, evse_notification=what))
            return response
        return change

    pair = Pair20(transfer=transfer, discharge_to=0.45, maximum_loops=loops)
    pair.overrides = {name: override(*entry) for name, entry in plan.items()}
    assert pair.run() is not None
    assert (pair.engine.wish.load, pair.engine.wish.contactors) == ('B', False)
    pair.bench.advance(5)
    assert pair.bench.command.mode is Mode.OFF
