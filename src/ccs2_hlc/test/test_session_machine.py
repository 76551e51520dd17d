"""Anything in any order at any time: energy stays under control, every response is sound."""

from hlc_bench import REQUESTS, STATES, Bench, bring_to, session_stop
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ccs2_hlc.exi.messages import din
from ccs2_hlc.session.command import ENERGISED, Mode
from ccs2_hlc.session.din import TABLE, State
from ccs2_hlc.session.station import (
    Fault,
    OperatorLimits,
    PilotState,
    Severity,
    StopWish,
    Urgency,
)
from ccs2_hlc.session.transport import Action, CloseReason, LinkState

PARTS = ('power', 'safety', 'pilot', 'isolation', 'transport')


class Sessions(RuleBasedStateMachine):
    """A vehicle that does what it likes, a station whose parts fail, and an operator."""

    @initialize(automatic=st.booleans(), strict=st.booleans())
    def start(self, automatic, strict):
        self.bench = Bench(
            automatic=automatic, strict_sequence=strict, cable_check_time=0.3)
        self.over = None

    @property
    def is_open(self):
        return self.bench.connection.state is LinkState.OPEN

    @property
    def engine(self):
        return self.bench.secc._engine

    @rule(state=st.sampled_from(STATES[:-1]))
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

    @precondition(lambda self: self.is_open and self.engine)
    @rule(choice=st.data(), times=st.integers(1, 4))
    def allowed_requests(self, choice, times):
        """What the states allow: so that sessions come far."""
        for _ in range(times):
            kinds = sorted(
                TABLE[self.engine.state], key=lambda kind: kind is din.SessionStopReq)
            if not kinds:
                return
            if len(kinds) > 1 and choice.draw(st.integers(0, 5)):
                kinds = kinds[:-1]
            kind = choice.draw(st.sampled_from(kinds))
            if kind is din.CableCheckReq:
                self.bench.pilot = PilotState.C
                self.bench.advance(0.4)
            if self.engine.state in (State.STOPPED, State.WELDING_DETECTION):
                self.bench.pilot = PilotState.B
            self.bench.ask(REQUESTS[kind](), wait=choice.draw(st.sampled_from([2.0, 0.0])))

    @precondition(lambda self: self.is_open and self.engine)
    @rule(kind=st.sampled_from(list(REQUESTS)), session_id=st.sampled_from([None, bytes(8), b'']))
    def any_request(self, kind, session_id):
        self.bench.ask(REQUESTS[kind](), session_id=session_id, wait=0.0)

    @precondition(lambda self: self.is_open)
    @rule(data=st.binary(max_size=20))
    def nonsense(self, data):
        self.bench.deliver(data)

    @rule(seconds=st.sampled_from([0.05, 0.05, 0.3, 1.6, 6.0, 21.0]))
    def time_passes(self, seconds):
        self.bench.advance(seconds)

    @rule(state=st.sampled_from(PilotState))
    def pilot_changes(self, state):
        self.bench.pilot = state
        self.bench.step()

    @rule(part=st.sampled_from(PARTS))
    def a_part_falls_silent_or_comes_back(self, part):
        self.bench.silent ^= {part}
        self.bench.step()

    @rule(severity=st.sampled_from(Severity), code=st.sampled_from([201, 301, 403]))
    def a_fault_appears(self, severity, code):
        self.bench.power_overrides = {'faults': (Fault(code, severity, 'test'),)}
        self.bench.step()

    @rule()
    def faults_go(self):
        self.bench.power_overrides, self.bench.safety_overrides = {}, {}

    @rule(name=st.sampled_from(['voltage', 'current', 'maximum_current', 'maximum_power']))
    def a_measurement_is_lost(self, name):
        self.bench.power_overrides = {name: None}
        self.bench.step()

    @rule()
    def emergency_stop(self):
        self.bench.safety_overrides = {'emergency_stop': True}
        self.bench.step()

    @rule(urgency=st.sampled_from(Urgency))
    def operator_stops(self, urgency):
        self.bench.secc.stop(StopWish(urgency, 'test'))

    @rule(grant=st.booleans())
    def operator_decides(self, grant):
        if grant:
            self.bench.secc.authorize('', 1.0, self.bench.now)
        else:
            self.bench.secc.deny('')

    @rule(current=st.sampled_from([None, 0.0, 50.0]))
    def operator_limits(self, current):
        self.bench.secc.set_limits(OperatorLimits(maximum_current=current))

    @precondition(lambda self: self.is_open)
    @rule(reason=st.sampled_from(CloseReason))
    def connection_ends(self, reason):
        self.bench.close(reason)

    @precondition(lambda self: self.is_open and self.engine)
    @rule()
    def vehicle_stops(self):
        self.bench.pilot = PilotState.B
        self.bench.ask(session_stop())

    @invariant()
    def energy_is_under_control(self):
        if not hasattr(self, 'bench'):
            return
        bench, engine = self.bench, self.engine
        bench.check()
        command = bench.command
        if engine is None:
            assert command.mode is Mode.OFF
            return
        if engine is self.over:
            # Once a session has failed or ended it never asks for energy again.
            assert command.mode is Mode.OFF
        if engine.failure is not None or engine.ended:
            self.over = engine
        if command.mode in ENERGISED:
            assert engine.authorized
            # A supervisor that has just fallen silent is not heard any more.
            assert 'safety' in bench.silent or not bench.safety_overrides.get('emergency_stop')
            assert engine.state in (
                State.CABLE_CHECK, State.PRE_CHARGE, State.PRE_CHARGED, State.STARTED,
                State.CHARGING)

    @invariant()
    def a_failed_response_closes(self):
        if not hasattr(self, 'bench'):
            return
        for outgoing in self.bench.sent:
            if outgoing.response_code.upper().startswith('FAILED'):
                assert outgoing.action is Action.SEND_THEN_CLOSE
            assert bool(outgoing.data) is (outgoing.action not in (Action.CLOSE, Action.IGNORE))


TestSessions = Sessions.TestCase
TestSessions.settings = settings(
    max_examples=200, stateful_step_count=40, deadline=None,
    suppress_health_check=[HealthCheck.too_slow])
