"""The car's DIN engine against a scripted station, on a virtual clock."""

import itertools
import math
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ccs2_hlc import exi
from ccs2_hlc.exi.messages import din, sap
from ccs2_link.transport.channel import Security
from ccs2_sim.evcc.dc import PRE_CHARGE_TOLERANCE
from ccs2_sim.evcc.din import DinEvcc
from ccs2_sim.evcc.negotiation import Negotiation, Offer
from ccs2_sim.evcc.outcome import ErrorCode
from ccs2_sim.evcc.vehicle import CarSettings, VehicleState

PLAIN = frozenset({Security.NONE})
DIN = Offer('din', 'urn:din:70121:2012:MsgDef', 2, 0, DinEvcc, PLAIN)
ISO = Offer('iso2', 'urn:iso:15118:2:2013:MsgDef', 2, 0, DinEvcc, PLAIN)
Code = din.DCEVSEStatusCode

PARKED = VehicleState(
    plugged=True, duty=0.05, voltage=0.0, current=0.0, battery_voltage=360.0, contactors=False,
    state_of_charge=0.5, maximum_voltage=403.0, capacity=2e8)


class Drive:
    """Runs an engine against a station with an ideal car and a clock of its own."""

    def __init__(self, station, engine=None, **settings):
        self.station = station
        self.engine = engine or DinEvcc(CarSettings(**settings))
        self.now = 100.0
        self.vehicle = PARKED
        self.wishes = []
        self.gain = 0.0
        self.latency = 0.01
        self.sent = []

    def turn(self):
        """One call of the engine, one response, or a jump to the next deadline."""
        engine = self.engine
        message = engine.advance(self.now, self.vehicle)
        self.move()
        if message is None:
            deadline = engine.deadline()
            assert deadline is None or deadline > self.now - 1e-9
            self.now = max(self.now, deadline or self.now)
            return
        self.sent.append((self.now, message))
        response = self.station.answer(exi.decode(engine.schema(0x8001), exi.encode(message)))
        if response is None:
            self.now = engine.deadline()
            return
        self.now += self.latency
        if engine.reported is not None:
            self.vehicle = replace(self.vehicle, voltage=self.station.voltage)
        response = exi.decode(engine.schema(0x8001), exi.encode(response))
        engine.received(response, self.now, self.vehicle)
        self.vehicle = replace(
            self.vehicle, voltage=self.station.voltage,
            current=engine.reported[1] if engine.reported else 0.0,
            state_of_charge=min(1.0, self.vehicle.state_of_charge + self.gain))
        self.move()

    def move(self):
        if not self.wishes or self.wishes[-1] != self.engine.wish:
            self.wishes.append(self.engine.wish)
        self.vehicle = replace(self.vehicle, contactors=self.engine.wish.contactors)

    def run(self, turns=5000):
        for _ in range(turns):
            if self.engine.outcome is not None:
                return self.engine.outcome
            self.turn()
        raise AssertionError(f'not over after {turns} turns, in {self.engine.step}')


WHOLE_SESSION = [
    'SessionSetupReq', 'ServiceDiscoveryReq', 'ServicePaymentSelectionReq',
    'ContractAuthenticationReq', 'ChargeParameterDiscoveryReq', 'CableCheckReq', 'PreChargeReq',
    'PowerDeliveryReq', 'CurrentDemandReq', 'PowerDeliveryReq', 'WeldingDetectionReq',
    'SessionStopReq']


def test_whole_session_in_order(station):
    drive = Drive(station)
    drive.gain = 0.01
    outcome = drive.run()
    assert outcome.error is ErrorCode.NONE
    assert station.names() == WHOLE_SESSION
    assert drive.vehicle.state_of_charge >= 0.8
    # B, C, contactors, open in C, B: in this order and nothing else.
    assert [(wish.load, wish.contactors) for wish in drive.wishes] == [
        ('B', False), ('C', False), ('C', True), ('C', False), ('B', False)]


def test_every_request_carries_the_stations_session_id(station):
    Drive(station, maximum_loops=3).run()
    first, *others = (request.header.session_id for request in station.requests)
    assert first == bytes(8)
    assert set(others) == {station.session_id}


def test_loops_are_counted_and_end_the_session(station):
    drive = Drive(station, maximum_loops=25)
    assert drive.run().error is ErrorCode.NONE
    assert 25 <= drive.engine.loops <= 27


def test_duration_ends_the_session(station):
    drive = Drive(station, maximum_duration=5.0)
    assert drive.run().error is ErrorCode.NONE
    assert drive.engine.loops == pytest.approx(50, abs=4)


def test_current_is_ramped_down_before_the_contactors_open(station):
    drive = Drive(station, maximum_loops=5)
    drive.run()
    demands = [request.body for request in station.requests
               if isinstance(request.body, din.CurrentDemandReq)]
    # The station's 150 A bind, not the car's 200 A; then zero.
    assert float(demands[0].ev_target_current) == 150
    assert float(demands[-1].ev_target_current) == 0


def test_repeated_messages_keep_their_distance(station):
    drive = Drive(station, maximum_loops=5, loop_period=0.1)
    drive.run()
    times = [now for now, message in drive.sent
             if isinstance(message.body, din.CurrentDemandReq)]
    assert min(b - a for a, b in itertools.pairwise(times)) >= 0.1 - 1e-9
    fast = Drive(type(station)(), maximum_loops=5, loop_period=0.0)
    fast.run()
    times = [now for now, message in fast.sent
             if isinstance(message.body, din.CurrentDemandReq)]
    assert times[1] - times[0] == pytest.approx(fast.latency)


@pytest.mark.parametrize('name', list(DinEvcc.steps))
def test_silence_is_a_timeout_of_that_message(station, name):
    station.overrides[name] = lambda response, count: None
    drive = Drive(station, maximum_loops=3)
    outcome = drive.run()
    assert outcome.error is ErrorCode.TIMEOUT
    assert DinEvcc.steps[name].expects.__name__ in outcome.text
    sent = drive.sent[-1][0]
    assert drive.now - sent == pytest.approx(0.25 if name == 'CurrentDemand' else 2.0)
    assert drive.wishes[-1].load == 'B'
    assert not drive.wishes[-1].contactors


def test_a_patient_car_waits_longer_for_a_response(station):
    station.overrides['CurrentDemand'] = lambda response, count: None
    drive = Drive(station, maximum_loops=3, timeout_factor=4.0)
    assert 'within 1 s' in drive.run().text
    assert drive.now - drive.sent[-1][0] == pytest.approx(1.0)


@pytest.mark.parametrize('name', list(DinEvcc.steps))
def test_failed_response_ends_the_session_at_once(station, name):
    def fail(response, count):
        response.response_code = din.ResponseCode.FAILED
        return response
    station.overrides[name] = fail
    drive = Drive(station, maximum_loops=3)
    outcome = drive.run()
    assert outcome.error is ErrorCode.REFUSED
    assert 'FAILED' in outcome.text
    assert not drive.vehicle.contactors


@pytest.mark.parametrize('name', list(DinEvcc.steps))
def test_response_of_another_kind_is_refused(station, name):
    other = 'CableCheck' if name != 'CableCheck' else 'SessionStop'
    station.overrides[name] = lambda response, count: getattr(station, f'on_{other}')(None)
    outcome = Drive(station, maximum_loops=3).run()
    assert outcome.error is ErrorCode.REFUSED
    # Before there is a session, a response of any session is a foreign one.
    assert (other if name != 'SessionSetup' else 'session') in outcome.text


@pytest.mark.parametrize('name', [name for name in DinEvcc.steps if name != 'SessionSetup'])
def test_response_of_another_session_is_refused(station, name):
    def change(response, count):
        station.session_id = b'\xff' * 8
        return response
    station.overrides[name] = change
    outcome = Drive(station, maximum_loops=3).run()
    assert outcome.error is ErrorCode.REFUSED
    assert 'ffff' in outcome.text


STATUS_STEPS = {
    'ChargeParameterDiscovery': lambda body: body.evse_charge_parameter.dc_evse_status,
    'CableCheck': lambda body: body.dc_evse_status,
    'PreCharge': lambda body: body.dc_evse_status,
    'PowerDelivery': lambda body: body.evse_status,
    'CurrentDemand': lambda body: body.dc_evse_status,
    'PowerDeliveryStop': lambda body: body.evse_status,
    'WeldingDetection': lambda body: body.dc_evse_status,
}


@pytest.mark.parametrize('code', [Code.EVSE_EMERGENCY_SHUTDOWN, Code.EVSE_MALFUNCTION])
@pytest.mark.parametrize('name', STATUS_STEPS)
def test_emergency_ends_at_once_with_open_contactors(station, name, code):
    def set_code(response, count):
        STATUS_STEPS[name](response).evse_status_code = code
        return response
    station.overrides[name] = set_code
    drive = Drive(station, maximum_loops=3)
    outcome = drive.run()
    assert outcome.error is ErrorCode.EMERGENCY
    assert code.value in outcome.text
    assert not drive.vehicle.contactors
    assert drive.wishes[-1].load == 'B'


@pytest.mark.parametrize('name', list(STATUS_STEPS)[:5])
def test_station_can_stop_regularly(station, name):
    def set_code(response, count):
        STATUS_STEPS[name](response).evse_status_code = Code.EVSE_SHUTDOWN
        return response
    station.overrides[name] = set_code
    drive = Drive(station)
    outcome = drive.run()
    assert outcome.error is ErrorCode.STOPPED_BY_STATION
    names = station.names()
    assert names[-1] == 'SessionStopReq'
    powered = 'PowerDeliveryReq' in names
    assert names.count('PowerDeliveryReq') == (2 if powered else 0)
    # While the power path may be up, the car stays in C until it says SessionStop or welding.
    loads = [wish.load for wish in drive.wishes]
    assert loads in (['B'], ['B', 'C', 'B'], ['B', 'C', 'C', 'C', 'B'])


@pytest.mark.parametrize('turns', range(0, 60, 3))
def test_driver_can_stop_at_any_time(station, turns):
    drive = Drive(station)
    for _ in range(turns):
        drive.turn()
    drive.engine.stop(ErrorCode.CANCELED, 'unplugging')
    assert drive.run().error is ErrorCode.CANCELED
    assert station.names()[-1] == 'SessionStopReq'


def test_lost_connection_is_reported_with_its_step(station):
    drive = Drive(station)
    while drive.engine.step != 'CurrentDemand':
        drive.turn()
    drive.engine.lost('connection reset')
    assert drive.engine.outcome.error is ErrorCode.CONNECTION
    assert 'CurrentDemand' in drive.engine.outcome.text
    assert not drive.engine.wish.contactors
    drive.engine.lost('again')
    assert 'reset' in drive.engine.outcome.text


@pytest.mark.parametrize(('name', 'patience', 'error'), [
    ('ContractAuthentication', 60, ErrorCode.TIMEOUT),
    ('ChargeParameterDiscovery', 60, ErrorCode.TIMEOUT), ('CableCheck', 40, ErrorCode.TIMEOUT)])
def test_ongoing_for_ever_is_given_up(station, name, patience, error):
    def ongoing(response, count):
        response.evse_processing = din.EVSEProcessing.ONGOING
        return response
    station.overrides[name] = ongoing
    drive = Drive(station)
    outcome = drive.run()
    assert outcome.error is error
    assert name in outcome.text
    first = next(now for now, message in drive.sent
                 if type(message.body).__name__ == f'{name}Req')
    assert drive.now - first == pytest.approx(patience, abs=0.1)


def test_communication_setup_timer_runs_over_messages(station):
    drive = Drive(station)
    drive.latency = 1.99
    drive.engine.advance(drive.now, drive.vehicle)
    drive.now += 20.0
    drive.engine.advance(drive.now, drive.vehicle)
    assert drive.engine.outcome.error is ErrorCode.TIMEOUT


def test_ready_to_charge_timer(station):
    drive = Drive(station)
    drive.latency = 1.9
    station.ongoing = 30
    station.overrides['CableCheck'] = lambda response, count: (
        station.on_CableCheck(None) if count <= 20 else _finished(response))
    outcome = drive.run()
    assert outcome.error is ErrorCode.TIMEOUT
    assert 'ReadyToCharge' in outcome.text
    assert drive.now - 100.0 == pytest.approx(150.0, abs=2.1)


def _finished(response):
    response.evse_processing = din.EVSEProcessing.FINISHED
    return response


@pytest.mark.parametrize('offset', [-PRE_CHARGE_TOLERANCE, PRE_CHARGE_TOLERANCE, 300])
def test_contactors_stay_open_until_pre_charge_fits(station, offset):
    def shift(response, count):
        response.evse_present_voltage = din.PhysicalValue.of(360 + offset, din.Unit.V)
        return response
    station.overrides['PreCharge'] = shift
    drive = Drive(station)
    outcome = drive.run()
    assert outcome.error is ErrorCode.POWER
    assert not any(wish.contactors for wish in drive.wishes)


def test_pre_charge_is_checked_at_the_inlet_too(station):
    """The station's word is not enough: the car measures for itself."""
    drive = Drive(station)
    station_voltage = []

    def lie(response, count):
        station_voltage.append(station.voltage)
        station.voltage = 0.0  # what is really there
        return response
    station.overrides['PreCharge'] = lie
    assert drive.run().error is ErrorCode.POWER
    assert not any(wish.contactors for wish in drive.wishes)


def test_over_voltage_and_over_current_end_the_session(station):
    station.overrides['CurrentDemand'] = lambda response, count: _with_current(response, 400)
    assert Drive(station).run().error is ErrorCode.POWER
    other = type(station)()
    other.overrides['CurrentDemand'] = lambda response, count: _with_voltage(response, 450)
    drive = Drive(other)
    assert drive.run().error is ErrorCode.POWER
    assert not drive.engine.wish.contactors


def _with_current(response, current):
    response.evse_present_current = din.PhysicalValue.of(current, din.Unit.A)
    return response


def _with_voltage(response, voltage):
    response.evse_present_voltage = din.PhysicalValue.of(voltage, din.Unit.V)
    return response


def test_bad_isolation_is_not_accepted(station):
    def worsen(response, count):
        response.dc_evse_status.evse_isolation_status = din.IsolationLevel.FAULT
        return response
    station.overrides['CableCheck'] = worsen
    assert Drive(station).run().error is ErrorCode.POWER


def test_battery_outside_the_stations_range_is_noticed(station):
    drive = Drive(station)
    drive.vehicle = replace(PARKED, battery_voltage=100.0)
    outcome = drive.run()
    assert outcome.error is ErrorCode.POWER
    assert '100 V' in outcome.text


def test_voltage_that_stays_does_not_hold_the_car_for_ever(station):
    def keep(response, count):
        return _with_voltage(response, 350)
    station.overrides['WeldingDetection'] = keep
    assert Drive(station, maximum_loops=2).run().error is ErrorCode.NONE
    assert station.counts['WeldingDetection'] == 10


@pytest.mark.parametrize(('change', 'text'), [
    (lambda body: body.payment_options.payment_option.__setitem__(0, din.PaymentOption.CONTRACT),
     'external payment'),
    (lambda body: setattr(body.charge_service, 'energy_transfer_type',
                          din.EVSESupportedEnergyTransferType.AC_THREE_PHASE_CORE), 'AC_three'),
])
def test_service_that_does_not_fit_is_refused(station, change, text):
    def alter(response, count):
        change(response)
        return response
    station.overrides['ServiceDiscovery'] = alter
    outcome = Drive(station).run()
    assert outcome.error is ErrorCode.REFUSED
    assert text in outcome.text


def test_session_id_zero_is_refused(station):
    station.session_id = bytes(8)
    assert Drive(station).run().error is ErrorCode.REFUSED


@settings(max_examples=60, deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from(list(DinEvcc.steps)), st.tuples(
    st.integers(1, 4), st.sampled_from(['silent', 'failed', 'emergency', 'shutdown', 'other'])),
    max_size=3), st.integers(0, 20), st.floats(0, 0.24))
def test_whatever_the_station_does_the_car_ends_safe(station, plan, loops, latency):
    station = type(station)()

    def override(name, at, what):
        def change(response, count):
            if count < at:
                return response
            if what == 'silent':
                return None
            if what == 'failed':
                response.response_code = din.ResponseCode.FAILED_SEQUENCE_ERROR
            if what in ('emergency', 'shutdown') and name in STATUS_STEPS:
                STATUS_STEPS[name](response).evse_status_code = (
                    Code.EVSE_EMERGENCY_SHUTDOWN if what == 'emergency' else Code.EVSE_SHUTDOWN)
            return station.on_SessionStop(None) if what == 'other' else response
        return change

    for name, (at, what) in plan.items():
        station.overrides[name] = override(name, at, what)
    drive = Drive(station, maximum_loops=loops + 1)
    drive.latency = latency
    drive.run()
    assert drive.engine.wish.load == 'B'
    assert not drive.engine.wish.contactors
    # Contactors only ever closed in state C.
    assert all(wish.load == 'C' for wish in drive.wishes if wish.contactors)
    assert drive.engine.deadline() is None
    assert drive.engine.advance(drive.now + 1000, drive.vehicle) is None


# The handshake before


def negotiate(station, *offers):
    engine = Negotiation(CarSettings(), offers)
    return Drive(station, engine).run(), engine


def test_negotiation_finds_the_common_protocol(station):
    outcome, engine = negotiate(station, ISO, DIN)
    assert outcome.error is ErrorCode.NONE
    assert engine.chosen is DIN
    offered = station.requests[0].app_protocol
    assert [each.priority for each in offered] == [1, 2]


def test_negotiation_without_common_protocol(station):
    outcome, _ = negotiate(station, ISO)
    assert outcome.error is ErrorCode.NEGOTIATION


@pytest.mark.parametrize('number', [None, 7])
def test_negotiation_refuses_what_was_never_offered(station, number):
    station.overrides['SupportedAppProtocol'] = lambda response, count: (
        sap.SupportedAppProtocolRes(response_code=response.response_code, schema_id=number))
    outcome, _ = negotiate(station, DIN)
    assert outcome.error is ErrorCode.NEGOTIATION


# What the driver wants


@given(st.floats(0, 1), st.floats(1, 1000))
def test_target_current_is_within_every_limit(charge, voltage):
    car = CarSettings(maximum_current=200, maximum_power=50e3)
    state = replace(PARKED, state_of_charge=charge, battery_voltage=voltage)
    current = car.target_current(state)
    assert 0 < current <= 200
    assert current * max(voltage, 1) <= 50e3 * (1 + 1e-9)


def test_remaining_time_is_sped_up_by_the_time_factor():
    car = CarSettings()
    slow = car.remaining_time(PARKED, 1.0)
    fast = car.remaining_time(replace(PARKED, time_factor=60.0), 1.0)
    assert fast == pytest.approx(slow / 60)
    assert math.isfinite(slow)
    assert car.remaining_time(replace(PARKED, state_of_charge=1.0), 1.0) == 0
