"""Bad manners by ISO 15118-20: what a good station does is what the station's own engine does."""

import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[2] / 'ccs2_hlc' / 'test'))

from iso20_bench import Iso20Bench, bring_to
from iso20_pair import Pair20, contract_bench

from ccs2_hlc import exi
from ccs2_hlc.exi.messages.iso20 import common
from ccs2_hlc.session.command import Mode
from ccs2_hlc.session.transport import Action
from ccs2_link.transport import v2gtp
from ccs2_pki.profiles import RootKind
from ccs2_sim.car import misbehaviour
from ccs2_sim.car.manners import older_step
from ccs2_sim.car.misbehaviour import MISBEHAVIOURS
from ccs2_sim.car.misbehaviour_iso20 import ISO20
from ccs2_sim.car.misbehaviour_signatures import SIGNATURES
from ccs2_sim.evcc.iso20 import Iso20Evcc
from ccs2_sim.evcc.outcome import Ended, ErrorCode
from ccs2_sim.evcc.vehicle import Acquisition, Transfer
from ccs2_sim.lab import GENERATION_20, read_wallet
from ccs2_sim.provisioning20 import read_provider20

NOW = datetime.now(UTC)
Code = common.ResponseCode
KINDS = {kind.name: kind for kind in ISO20}
#: What the station refuses by a FAILED code, which ends the session.
REFUSED = [kind.name for kind in ISO20 if kind.station.startswith('FAILED')]
#: Schedules and their profiles are for a car that leads.
SCHEDULED = ('wrong_schedule', 'other_profile', 'greedy_profile', 'modest_profile')
CASES = [(name, transfer) for name in REFUSED for transfer in Transfer
         if not (name in SCHEDULED and transfer.dynamic)]


@pytest.fixture
def make(lab):
    """Return a function that makes a car with a contract and a station that takes it."""
    provider = read_provider20(lab)

    def pair(bench=None, **wishes):
        return Pair20(
            bench or contract_bench(lab, RootKind, NOW, receipt_interval=0.5),
            provider=lambda data: provider.answer(data, NOW), **{
                'wallet': read_wallet(lab, NOW, generation=GENERATION_20), 'maximum_loops': 40,
                **wishes})
    return pair


def misbehave(text, pair):
    """Let the pair's car misbehave; return the outcome."""
    manners = misbehaviour.parse(text)
    manners.settle('iso20')
    pair.done = []

    def alter(step, message):
        deed = manners.due(step)
        if deed is None or deed.alter is None:
            return message
        pair.done.append(step)
        return deed.alter(pair.engine, message, manners.value)
    pair.alter = alter
    return pair.run()


@pytest.mark.parametrize(('name', 'transfer'), CASES)
def test_misbehaviour_has_its_response_code(make, name, transfer):
    kind = KINDS[name]
    pair = make(transfer=transfer)
    outcome = misbehave(name, pair)
    assert outcome.error is ErrorCode.REFUSED
    assert outcome.text.endswith(f': {kind.station.split()[0]}')
    assert pair.engine.step == kind.step
    assert not pair.vehicle.contactors
    assert pair.bench.command.mode is Mode.OFF
    assert pair.bench.stage == 'FAILED'


@pytest.mark.parametrize('name', SIGNATURES)
def test_readings_can_be_signed_as_badly(make, name):
    outcome = misbehave(f'{name}:step=MeteringConfirmation', make())
    assert outcome.text.endswith(': FAILED_MeteringSignatureNotValid')


@pytest.mark.parametrize('name', [name for name in SIGNATURES if name != 'foreign_signature'])
def test_requests_for_contracts_can_be_signed_as_badly(make, name):
    pair = make(acquisition=Acquisition.INSTALL)
    outcome = misbehave(f'{name}:step=CertificateInstallation', pair)
    assert outcome.text == 'CertificateInstallationRes: FAILED_SignatureError'
    assert pair.bench.stage == 'FAILED'


WARNED = {
    'contract_unoffered': Code.WARNING_AUTHORIZATION_SELECTION_INVALID,
    'bad_challenge': Code.WARNING_CHALLENGE_INVALID,
    'bad_contract': Code.WARNING_CERTIFICATE_EXPIRED,
    'bad_contract:fault=other-root': Code.WARNING_E_MSP_UNKNOWN,
}


@pytest.mark.parametrize('text', WARNED)
def test_misbehaviour_is_warned_of_and_the_car_leaves(make, lab, text):
    bench = contract_bench(lab, RootKind, NOW, certificate_service=False)
    pair = make(bench)
    if text == 'contract_unoffered':
        bench.secc.set_trust(None)
        pair = make(bench, wallet=None)
    outcome = misbehave(text, pair)
    assert outcome.error is ErrorCode.REFUSED
    assert outcome.text == f'AuthorizationRes: {WARNED[text].value}'
    assert pair.steps()[-1] == 'SessionStop(Terminate)'
    assert not bench.secc.session().authorized


@pytest.mark.parametrize('fault', ['expired', 'not-yet-valid', 'other-root'])
def test_a_wrong_provisioning_certificate_is_warned_of(make, fault):
    pair = make(acquisition=Acquisition.INSTALL)
    assert misbehave(f'bad_provisioning:fault={fault}', pair).error is ErrorCode.NONE
    code = pair.bodies(common.CertificateInstallationRes)[-1].response_code
    assert code.value.startswith('WARNING_Certificate')
    assert pair.engine.installed == []


@pytest.mark.parametrize(('text', 'reason'), [
    ('bad_contract:fault=blue', "no wrong contract 'blue'"),
    ('bad_contract:fault=no-sub-cas', 'cannot carry 1 certificates'),
    ('bad_provisioning:step=Authorization,fault=blue', "no wrong provisioning certificate 'blue'")])
def test_what_the_car_cannot_do_is_named(make, text, reason):
    with pytest.raises(Ended, match=reason):
        misbehave(text, make())


def test_more_power_than_planned_is_warned_of_and_goes_on(make):
    pair = make(transfer=Transfer.SCHEDULED)
    assert misbehave('modest_profile', pair).error is ErrorCode.NONE
    codes = {body.response_code for body in pair.responses
             if type(body).__name__ == 'DCChargeLoopRes'}
    assert Code.WARNING_EV_POWER_PROFILE_VIOLATION in codes


@pytest.mark.parametrize('transfer', Transfer)
@pytest.mark.parametrize('name', ['wrong_voltage', 'wrong_current'])
def test_set_points_beyond_the_limits_are_not_followed(make, name, transfer):
    pair = make(transfer=transfer, maximum_current=100.0)
    assert misbehave(name, pair).error in (ErrorCode.NONE, ErrorCode.POWER)
    assert pair.done
    assert max(pair.currents) <= 200.0
    assert transfer.dynamic or max(pair.currents) <= 100.0


def test_a_stolen_session_inherits_nothing(make):
    first = make(pause_after=5)
    assert first.run().text == 'paused'
    first.bench.advance(10)
    first.bench.certificate = bytes(64)
    pair = make(first.bench)
    old = first.engine.session_id
    manners = misbehaviour.parse('stolen_session')
    assert manners.kind.protocol == 'iso20'
    pair.alter = lambda step, message: (
        replace(message, header=replace(message.header, session_id=old))
        if isinstance(message, common.SessionSetupReq) else message)
    assert pair.run().error is ErrorCode.NONE
    assert pair.engine.session_id != old
    assert misbehave('stolen_session', make()).error is ErrorCode.NONE


def test_the_charge_loop_on_another_stream_is_ignored():
    bench = bring_to('CHARGING', Iso20Bench())
    request = bench.charge_loop()
    request.header = common.MessageHeader(session_id=bench.session_id, time_stamp=0)
    kind = KINDS['wrong_stream']
    framer = v2gtp.Framer()
    framer.feed(kind.mangle(v2gtp.encode(0x8004, exi.encode(request)), kind.value))
    frame = framer.next()
    (outgoing,) = bench.deliver(frame.payload, frame.payload_type)
    assert outgoing.action is Action.IGNORE
    bench.advance(0.55)
    assert bench.command.mode is Mode.OFF


def test_every_misbehaviour_is_tested_here():
    assert set(KINDS) == {
        *REFUSED, *(text.partition(':')[0] for text in WARNED), 'bad_provisioning',
        'modest_profile', 'wrong_voltage', 'wrong_current', 'stolen_session', 'wrong_stream'}


@pytest.mark.parametrize('name', MISBEHAVIOURS)
def test_misbehaviour_happens_in_the_step_of_the_same_kind_or_is_refused(name):
    manners = misbehaviour.parse(name)
    kind = MISBEHAVIOURS[name].by('iso20')
    if not kind.fits('iso20'):
        with pytest.raises(Ended, match=name):
            manners.settle('iso20')
        return
    manners.settle('iso20')
    steps = {older_step(step): step for step in (*Iso20Evcc.steps, 'supportedAppProtocol', '')}
    step = steps[older_step(kind.step)]
    found = [manners.due(step) for _ in range(kind.after + 1)]
    assert found == [None] * kind.after + [kind]


def test_what_was_told_stays_whatever_the_protocol():
    manners = misbehaviour.parse('bad_contract:after=2,fault=revoked')
    manners.settle('iso20')
    assert (manners.step, manners.after, manners.value) == ('Authorization', 2, 'revoked')
    manners = misbehaviour.parse('bad_contract:step=ServiceDetail')
    manners.settle('iso20')
    assert (manners.step, manners.value) == ('ServiceDetail', 'expired')
    older = misbehaviour.parse('bad_contract')
    older.settle('iso2')
    assert older.step == 'PaymentDetails'


def test_another_session_id_is_refused():
    pair = Pair20()
    outcome = misbehave('wrong_session_id', pair)
    assert outcome.error is ErrorCode.REFUSED
    assert 'session' in outcome.text or 'UnknownSession' in outcome.text
    assert not pair.vehicle.contactors
