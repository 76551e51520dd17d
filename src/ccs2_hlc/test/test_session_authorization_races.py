"""Grants, denials and sessions in any order: nobody charges on what was not meant for them."""

import iso20_bench
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from iso2_bench import (
    PAUSE,
    Iso2Bench,
    authorization,
    bring_to,
    discovery,
    go_on,
    selection,
    session_stop,
    setup,
)

from ccs2_hlc.exi.messages import iso2
from ccs2_hlc.session.authorization import DEFAULT_VALIDITY, ExternalAuthorization
from ccs2_hlc.session.command import Mode
from ccs2_hlc.session.station import Decision, StopWish, Urgency

#: Whom a decision of the operator names: nobody, the session that runs, one that is over.
WHOM = st.sampled_from(['', 'this', 'old'])
EVENTS = st.one_of(
    st.tuples(st.just('begin'), st.none()),
    st.tuples(st.just('end'), st.none()),
    st.tuples(st.just('grant'), WHOM),
    st.tuples(st.just('deny'), WHOM),
    st.tuples(st.just('wait'), st.sampled_from([1.0, 59.0, 61.0])))


class History:
    """What has happened to an authorization, and what may follow from it."""

    def __init__(self):
        self.subject = ExternalAuthorization(automatic=False)
        self.now = 0.0
        self.sessions = 0
        self.session = ''
        #: Since the last session has begun, or the one before it while none runs.
        self.denied = False
        self.granted = False
        #: Until when somebody not named is granted, for the session that begins next.
        self.next_until = -1.0
        self.grants = self.charged = 0

    def name(self, whom):
        return {'': '', 'this': self.session or '99', 'old': '98'}[whom]

    def begin(self, _):
        self.end(None)
        self.sessions += 1
        self.session = str(self.sessions)
        self.subject.begin(self.session, self.now)
        self.denied, self.granted = False, self.now < self.next_until
        self.next_until = -1.0
        self.counted = False

    def end(self, _):
        self.subject.end()
        self.session, self.denied, self.granted = '', False, False

    def grant(self, whom):
        name, before = self.name(whom), self.subject.decision
        refusal = self.subject.grant(name, 0.0, self.now)
        twice = not name and before is Decision.GRANTED
        if name not in ('', self.session) or (self.session and self.denied) or twice:
            assert refusal is not None
            return
        assert refusal is None
        self.grants += 1
        if self.session:
            self.granted = True
        else:
            self.next_until = self.now + DEFAULT_VALIDITY

    def deny(self, whom):
        name = self.name(whom)
        refusal = self.subject.deny(name)
        assert (refusal is not None) is (name not in ('', self.session))
        if refusal is None:
            self.denied = bool(self.session)
            if not name:
                self.next_until = -1.0

    def wait(self, seconds):
        self.now += seconds

    def check(self):
        decision = self.subject.decision
        if not self.session:
            assert decision is Decision.WAITING
        elif self.denied:
            assert decision is Decision.DENIED
        else:
            assert decision is (Decision.GRANTED if self.granted else Decision.WAITING)
        if decision is Decision.GRANTED and not self.counted:
            self.counted, self.charged = True, self.charged + 1
        # A grant is good for one session.
        assert self.charged <= self.grants


@settings(max_examples=1000, deadline=None)
@given(st.lists(EVENTS, max_size=20))
def test_a_thousand_interleavings(events):
    history = History()
    for event, argument in events:
        getattr(history, event)(argument)
        history.check()


MEANS = st.sampled_from(['', 'contract', 'other contract'])


@settings(max_examples=1000, deadline=None)
@given(st.lists(st.one_of(
    st.tuples(st.just('present'), MEANS), st.just(('grant', '')), st.just(('deny', ''))),
    max_size=20))
def test_nothing_is_granted_that_was_not_presented_when_it_was(events):
    subject = ExternalAuthorization(automatic=False)
    subject.begin('1', 0.0)
    presented = granted = None
    refused, withdrawn = set(), False
    for event, means in events:
        if event == 'present':
            decision = subject.about(means)
            assert decision is not Decision.GRANTED or granted in (means, 'anything')
            assert decision is Decision.DENIED or means not in refused
            if decision is Decision.DENIED and means == presented:
                refused.add(means)
            # Whatever comes after a denial is denied.
            assert decision is Decision.DENIED or not withdrawn
            presented, withdrawn = means, False
        elif event == 'grant':
            before = subject.decision
            if subject.grant('', 0.0, 0.0) is None:
                assert before is Decision.WAITING
                granted = 'anything' if presented is None else presented
        else:
            subject.deny('')
            granted, withdrawn = None, True


def authorized(bench):
    answer = bench.ask(authorization())
    return answer is not None and answer.response_code is iso2.ResponseCode.OK and (
        answer.evse_processing is iso2.EVSEProcessing.FINISHED)


def test_a_grant_that_comes_twice_serves_one():
    bench = bring_to('AUTHORIZATION', automatic=False)
    assert bench.secc.authorize('', 0.0, bench.now) is None
    assert 'authorized already' in bench.secc.authorize('', 0.0, bench.now)
    # With its name it may be said again.
    assert bench.secc.authorize(bench.session_id.hex(), 0.0, bench.now) is None
    assert authorized(bench)
    bench.close()
    bench.session_id = bytes(8)
    bring_to('AUTHORIZATION', bench)
    assert not authorized(bench)


def test_an_answer_that_comes_after_the_connection_authorizes_nobody():
    bench = bring_to('AUTHORIZATION', automatic=False)
    asked_for = bench.session_id.hex()
    bench.close()
    bench.session_id = bytes(8)
    # Between the connections, and while the next vehicle waits.
    assert 'not running' in bench.secc.authorize(asked_for, 0.0, bench.now)
    bring_to('AUTHORIZATION', bench)
    assert 'not running' in bench.secc.authorize(asked_for, 0.0, bench.now)
    assert not authorized(bench)


def test_what_is_withdrawn_between_the_answer_and_the_energy_gives_none():
    bench = Iso2Bench(automatic=False)
    bench.secc.authorize('', 60.0, bench.now)
    bring_to('PARAMETERS', bench)
    assert bench.secc.session().authorized
    assert bench.secc.deny(bench.session_id.hex()) is None
    go_on(bench, 'PARAMETERS', 'CABLE_CHECK')
    bench.advance(bench.station.timing.stop_patience + 1.0)
    assert bench.command.mode is Mode.OFF
    assert bench.stage == 'FAILED'


def test_what_is_withdrawn_while_energy_flows_ends_it():
    bench = Iso2Bench(automatic=False)
    bench.secc.authorize('', 60.0, bench.now)
    bring_to('CHARGING', bench)
    assert bench.command.target_current > 0.0
    bench.secc.deny('')
    bench.advance(bench.station.timing.stop_patience + 1.0)
    assert bench.command.mode is Mode.OFF
    # Nor does the grant come back with the next vehicle.
    bench.close()
    bench.session_id = bytes(8)
    bring_to('AUTHORIZATION', bench)
    assert not authorized(bench)


#: What the station's side says: the session is to end.
ENDS = {
    'denied': lambda bench: bench.secc.deny(''),
    'denied by name': lambda bench: bench.secc.deny(bench.session_id.hex()),
    'stopped': lambda bench: bench.secc.stop(StopWish(Urgency.NORMAL, 'remote stop')),
}


@pytest.mark.parametrize('when', ['CHARGING', 'STOPPED', 'WELDING_DETECTION'])
@pytest.mark.parametrize('end', ENDS)
def test_a_pause_does_not_undo_what_ends_the_session(end, when):
    bench = Iso2Bench(automatic=False)
    bench.secc.authorize('', 60.0, bench.now)
    bring_to(when, bench)
    assert ENDS[end](bench) is None
    bench.step()
    if when == 'CHARGING':
        go_on(bench, when, 'STOPPED')
    assert bench.ask(session_stop(PAUSE)).response_code is iso2.ResponseCode.OK
    old = bench.session_id
    bench.come_back()
    answer = bench.ask(setup(), session_id=old)
    assert answer.response_code is iso2.ResponseCode.OK_NEW_SESSION_ESTABLISHED
    bench.ask(discovery())
    bench.ask(selection())
    assert not authorized(bench)


@pytest.mark.parametrize('when', ['CHARGING', 'STOPPED'])
@pytest.mark.parametrize('end', ENDS)
def test_a_pause_does_not_undo_what_ends_a_session_by_iso20(end, when):
    bench = iso20_bench.Iso20Bench(automatic=False)
    bench.secc.authorize('', 60.0, bench.now)
    iso20_bench.bring_to(when, bench)
    assert ENDS[end](bench) is None
    bench.step()
    iso20_bench.lead_to('PAUSED', bench, when)
    old = bench.session_id
    bench.come_back()
    answer = bench.ask(iso20_bench.setup(), session_id=old)
    assert answer.response_code.value == 'OK_NewSessionEstablished'
    assert not bench.secc.session().authorized


@pytest.mark.parametrize('protocol', ['iso2', 'iso20'])
def test_what_is_withdrawn_while_a_paused_vehicle_is_back_but_has_not_named_its_session(protocol):
    bench = (Iso2Bench if protocol == 'iso2' else iso20_bench.Iso20Bench)(automatic=False)
    bench.secc.authorize('', 60.0, bench.now)
    (bring_to if protocol == 'iso2' else iso20_bench.bring_to)('PAUSED', bench)
    old = bench.session_id
    bench.come_back()
    assert bench.secc.deny('') is None
    answer = bench.ask(
        setup() if protocol == 'iso2' else iso20_bench.setup(), session_id=old)
    assert answer.response_code.value == 'OK_NewSessionEstablished'
    assert not bench.secc.session().authorized


def test_a_grant_in_time_holds_for_a_vehicle_that_asks_late():
    bench = bring_to('AUTHORIZATION', automatic=False, authorization_timeout=20.0)
    assert not authorized(bench)
    bench.advance(19.9)
    assert bench.secc.authorize('', 0.0, bench.now) is None
    bench.advance(2.0)
    assert authorized(bench)


def test_a_grant_that_comes_too_late_is_none():
    bench = bring_to('AUTHORIZATION', automatic=False, authorization_timeout=20.0)
    assert not authorized(bench)
    bench.advance(20.1)
    bench.secc.authorize('', 0.0, bench.now)
    assert not authorized(bench)
    assert bench.stage == 'FAILED'
