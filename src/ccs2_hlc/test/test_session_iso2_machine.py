"""ISO 15118-2: anything in any order at any time; energy stays under control."""

import test_session_machine as din_machine
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule
from iso2_bench import (
    INTERNET,
    PAUSE,
    RENEGOTIATE,
    REQUESTS,
    STATES,
    STOP,
    Iso2Bench,
    bring_to,
    go_on,
    power_delivery,
    session_stop,
)

from ccs2_hlc.exi.messages import iso2
from ccs2_hlc.session.command import ENERGISED, Mode
from ccs2_hlc.session.iso2 import TABLE
from ccs2_hlc.session.iso2_payment import State
from ccs2_hlc.session.station import CableCheck, OperatorLimits, PilotState

#: Where energy may flow; a test of this session stands behind it from the second on.
LIVE = (
    State.CABLE_CHECK, State.PRE_CHARGE, State.PRE_CHARGED, State.STARTED, State.CHARGING,
    State.RENEGOTIATION, State.RENEGOTIATED)


def check_energy(machine, live, without_current):
    """Check what must hold at every moment; `live`: states with closed contactors."""
    if not hasattr(machine, 'bench'):
        return
    bench, engine = machine.bench, machine.engine
    bench.check()
    command = bench.command
    if engine is None:
        assert command.mode is Mode.OFF
        return
    if engine is machine.over:
        assert command.mode is Mode.OFF
    if engine.failure is not None or engine.ended:
        machine.over = engine
    if command.mode in ENERGISED:
        assert engine.authorized
        # A supervisor that has just fallen silent is not heard any more.
        assert 'safety' in bench.silent or not bench.safety_overrides.get('emergency_stop')
        assert engine.state in live
    if command.mode in (Mode.PRE_CHARGE, Mode.CHARGE):
        assert bench.power.cable_check is CableCheck.VALID
    if engine.state in without_current:
        assert (command.target_current or 0.0) == 0.0


class Sessions(din_machine.Sessions):
    """The same station, parts and operator; a vehicle by ISO 15118-2."""

    @initialize(automatic=st.booleans(), renegotiation=st.booleans())
    def start(self, automatic, renegotiation):
        self.bench = Iso2Bench(
            services=(INTERNET,),
            automatic=automatic, renegotiation=renegotiation, cable_check_time=0.3)
        self.over = None

    @rule(state=st.sampled_from([state for state in STATES if state != 'ENDED']))
    def a_car_comes(self, state):
        """A new car, in good order up to some state."""
        bench = self.bench
        if self.is_open:
            bench.close()
        bench.silent = set()
        bench.safety_overrides, bench.power_overrides = {}, {}
        bench.pilot = PilotState.B
        bench.secc.set_limits(OperatorLimits())
        bench.secc.authorize('', 60.0, bench.now)
        bring_to(state, bench)
        assert self.engine.state.name == state
        assert self.engine.failure is None

    @precondition(lambda self: self.is_open and self.engine)
    @rule(choice=st.data(), times=st.integers(1, 4))
    def allowed_requests(self, choice, times):
        """What the states allow: so that sessions come far."""
        for _ in range(times):
            kinds = sorted(
                TABLE[self.engine.state], key=lambda kind: kind is iso2.SessionStopReq)
            if not kinds:
                return
            if len(kinds) > 1 and choice.draw(st.integers(0, 5)):
                kinds = kinds[:-1]
            kind = choice.draw(st.sampled_from(kinds))
            request = REQUESTS[kind]()
            if kind is iso2.CableCheckReq:
                self.bench.pilot = PilotState.C
                self.bench.advance(0.4)
            if kind is iso2.PowerDeliveryReq and self.engine.state is State.CHARGING:
                request = power_delivery(choice.draw(st.sampled_from([STOP, RENEGOTIATE])))
            if self.engine.state in (State.STOPPED, State.WELDING_DETECTION):
                self.bench.pilot = PilotState.B
            self.bench.ask(request, wait=choice.draw(st.sampled_from([2.0, 0.0])))

    @precondition(lambda self: self.is_open and self.engine)
    @rule(kind=st.sampled_from(list(REQUESTS)), session_id=st.sampled_from([None, bytes(8), b'']))
    def any_request(self, kind, session_id):
        self.bench.ask(REQUESTS[kind](), session_id=session_id, wait=0.0)

    @precondition(lambda self: self.is_open and self.engine)
    @rule()
    def vehicle_stops(self):
        self.bench.pilot = PilotState.B
        self.bench.ask(session_stop())

    @precondition(lambda self: self.is_open and self.engine)
    @rule()
    def vehicle_pauses(self):
        self.bench.ask(session_stop(PAUSE))

    @precondition(lambda self: not self.is_open and self.bench.pilot is not PilotState.A)
    @rule()
    def vehicle_comes_back(self):
        """It names the id that it remembers; authorization may have to be given anew."""
        bench = self.bench
        bench.silent = set()
        bench.safety_overrides, bench.power_overrides = {}, {}
        bench.secc.authorize('', 60.0, bench.now)
        bench.come_back()
        go_on(bench, 'SESSION_SETUP', 'PARAMETERS')

    @rule()
    def operator_pauses(self):
        self.bench.secc.pause('test')

    @invariant()
    def energy_is_under_control(self):
        check_energy(self, LIVE, (State.RENEGOTIATION, State.RENEGOTIATED))


TestIso2Sessions = Sessions.TestCase
TestIso2Sessions.settings = settings(
    max_examples=150, stateful_step_count=40, deadline=None,
    suppress_health_check=[HealthCheck.too_slow])
