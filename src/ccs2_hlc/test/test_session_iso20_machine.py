"""ISO 15118-20: anything in any order at any time; energy stays under control, both ways."""

import test_session_machine as din_machine
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule
from iso20_bench import (
    CAR,
    NEW_SERVICE,
    ONGOING,
    OTHER_CAR,
    PAUSE,
    REQUESTS,
    STATES,
    TERMINATE,
    Iso20Bench,
    authorization,
    authorization_setup,
    bring_to,
    lead_to,
    power_delivery,
    session_stop,
    setup,
)
from test_session_iso2_machine import check_energy

from ccs2_hlc.exi.messages.iso20 import common, dc
from ccs2_hlc.session.iso20 import TABLE
from ccs2_hlc.session.iso20_common import State
from ccs2_hlc.session.station import OperatorLimits, PilotState

#: Where energy may flow, or the contactors stay closed without it.
LIVE = (
    State.CABLE_CHECK, State.PRE_CHARGE, State.PRE_CHARGED, State.STARTING, State.CHARGING,
    State.LEAVING, State.STANDBY, State.RENEGOTIATION, State.RENEGOTIATED)
WITHOUT_CURRENT = (State.LEAVING, State.STANDBY, State.RENEGOTIATION, State.RENEGOTIATED)


class Sessions(din_machine.Sessions):
    """The same station, parts and operator; a vehicle by ISO 15118-20."""

    @initialize(
        automatic=st.booleans(), renegotiation=st.booleans(), dynamic=st.booleans(),
        service=st.sampled_from([2, 6]))
    def start(self, automatic, renegotiation, dynamic, service):
        self.bench = Iso20Bench(
            automatic=automatic, renegotiation=renegotiation, cable_check_time=0.3,
            dynamic=dynamic, service=service)
        self.over = None

    def tidy_up(self):
        """Repair the station, and let the operator be generous."""
        bench = self.bench
        bench.silent = set()
        bench.safety_overrides, bench.power_overrides = {}, {}
        bench.secc.set_limits(OperatorLimits())
        bench.secc.authorize('', 60.0, bench.now)

    @rule(state=st.sampled_from([state for state in STATES if state != 'ENDED']))
    def a_car_comes(self, state):
        """A new car, in good order up to some state."""
        if self.is_open:
            self.bench.close()
        self.tidy_up()
        self.bench.pilot, self.bench.session_id = PilotState.B, bytes(8)
        bring_to(state, self.bench)

    @precondition(lambda self: self.is_open and self.engine)
    @rule(choice=st.data(), times=st.integers(1, 4))
    def allowed_requests(self, choice, times):
        """What the states allow: so that sessions come far."""
        for _ in range(times):
            kinds = sorted(
                TABLE[self.engine.state], key=lambda kind: kind is common.SessionStopReq)
            if not kinds:
                return
            if len(kinds) > 1 and choice.draw(st.integers(0, 5)):
                kinds = kinds[:-1]
            kind = choice.draw(st.sampled_from(kinds))
            request = REQUESTS[kind](self.bench)
            if kind is dc.DCCableCheckReq:
                self.bench.pilot = PilotState.C
                self.bench.advance(0.4)
            elif kind is common.PowerDeliveryReq:
                request = power_delivery(
                    choice.draw(st.sampled_from(common.ChargeProgress)),
                    processing=choice.draw(st.sampled_from([common.Processing.FINISHED, ONGOING])))
            elif kind is dc.DCChargeLoopReq:
                request = self.bench.charge_loop(
                    current=choice.draw(st.sampled_from([-200.0, -20.0, 0.0, 20.0, 500.0])),
                    target=choice.draw(st.sampled_from([-5000, 5000])))
            if self.engine.state in (State.STOPPED, State.WELDING_DETECTION):
                self.bench.pilot = PilotState.B
            self.bench.ask(request, wait=choice.draw(st.sampled_from([2.0, 0.0])))

    @precondition(lambda self: self.is_open and self.engine)
    @rule(kind=st.sampled_from(list(REQUESTS)), session_id=st.sampled_from([None, bytes(8)]))
    def any_request(self, kind, session_id):
        self.bench.ask(REQUESTS[kind](self.bench), session_id=session_id, wait=0.0)

    @precondition(lambda self: self.is_open and self.engine)
    @rule()
    def vehicle_stops(self):
        self.bench.pilot = PilotState.B
        self.bench.ask(session_stop(TERMINATE))

    @precondition(lambda self: self.is_open and self.engine)
    @rule(how=st.sampled_from([PAUSE, NEW_SERVICE]))
    def vehicle_pauses_or_wants_another_service(self, how):
        self.bench.ask(session_stop(how))

    @precondition(lambda self: not self.is_open and self.bench.pilot is not PilotState.A)
    @rule(certificate=st.sampled_from([CAR, OTHER_CAR]))
    def a_vehicle_comes_back(self, certificate):
        """It names the id that it remembers, or that it has heard from another."""
        self.tidy_up()
        bench = self.bench
        bench.certificate, old, paused = certificate, bench.session_id, bench.secc._paused
        bench.come_back()
        answer = bench.ask(setup(), session_id=old)
        joined = answer.response_code is common.ResponseCode.OK_OLD_SESSION_JOINED
        assert joined is (bench.session_id == old)
        if joined:
            assert paused.vehicle_certificate_digest == certificate
        else:
            assert not self.engine.authorized
            bench.ask(authorization_setup())
            bench.ask(authorization())
            lead_to('PARAMETERS', bench, 'SERVICE_DISCOVERY')
        lead_to('CHARGING', bench, 'PARAMETERS')

    @rule(discharge=st.sampled_from([None, 0.0, 10.0]), power=st.sampled_from([None, 0.0]))
    def operator_limits_both_ways(self, discharge, power):
        self.bench.secc.set_limits(OperatorLimits(
            maximum_power=power, maximum_discharge_current=discharge))

    @rule()
    def operator_pauses(self):
        self.bench.secc.pause('test')

    @invariant()
    def energy_is_under_control(self):
        check_energy(self, LIVE, WITHOUT_CURRENT)


TestIso20Sessions = Sessions.TestCase
TestIso20Sessions.settings = settings(
    max_examples=120, stateful_step_count=40, deadline=None,
    suppress_health_check=[HealthCheck.too_slow])
