"""A whole Plug & Charge session, watched in all that it says: it charges, and no secret is told.

The network's key from the match, the keys of all certificates, those of the TLS connection, tokens
and the PIN of a key token are looked for in every topic, parameter, service answer, log, trace and
process environment, in every form.
"""

import base64
import json
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not set up')

from leaks import compact_forms, find, forms
from overheard import Overheard, master_secrets, network_keys, scalars
from station_run import LONG, run_station
from station_sequences import CHARGE, FIRST, LAST, messages

from ccs2_hlc.exi import cli
from ccs2_interfaces.action import Charge
from ccs2_interfaces.msg import ChargingSession, Credential
from ccs2_interfaces.srv import CreateCsr, Install, List
from ccs2_pki.tokens import TokenFile, TokenRole
from station import laboratory
from station.connector import Connector
from station.record import Recorder, TraceFile

pytestmark = [pytest.mark.xdist_group('sessions'), LONG]

SOFT_HSM = Path('/usr/lib/softhsm/libsofthsm2.so')
PIN = 'pin-4f81c0d7a95e'
SCHEDULES = """\
schedules:
- {number: 1, steps: [{start: 0, power: 100000}]}
- {number: 2, steps: [{start: 0, power: 90000}]}
"""
TARIFFS = """\
currency: EUR
language: deu
tariffs:
- {schedule: 1, steps: [{start: 0, price: 0.59}]}
- {schedule: 2, steps: [{start: 0, price: 0.49}]}
"""


def priced(lab, folder):
    """Write two schedules with a signed tariff; return the changes of the parameter files."""
    (folder / 'schedules.yaml').write_text(SCHEDULES)
    (folder / 'tariffs.yaml').write_text(TARIFFS)
    assert cli.main([
        'sign-tariff', str(folder / 'tariffs.yaml'), '--schedules',
        str(folder / 'schedules.yaml'), '--key', str(lab / 'iso2/keys/mo_sub2.pem'),
        '--certificate', str(lab / 'iso2/certs/mo_sub2.pem'), '-o',
        str(folder / 'signed.yaml')]) == 0
    return [('hlc.yaml', '    receipt_interval',
             f'    schedule_file: {folder}/schedules.yaml\n'
             f'    tariff_file: {folder}/signed.yaml\n    receipt_interval')]


def key_token(folder, patch):
    """Make a token for SECC keys if there is SoftHSM; return the changes of the parameter files."""
    if not SOFT_HSM.exists() or not shutil.which('softhsm2-util'):
        return []
    (folder / 'tokens').mkdir()
    (folder / 'softhsm2.conf').write_text(f'directories.tokendir = {folder}/tokens\n')
    patch.setenv('SOFTHSM2_CONF', str(folder / 'softhsm2.conf'))
    subprocess.run(['softhsm2-util', '--init-token', '--free', '--label', 'station', '--pin', PIN,
                    '--so-pin', PIN], check=True, capture_output=True)
    (folder / 'pin').touch(0o600)
    (folder / 'pin').write_text(f'{PIN}\n')
    return [('pki.yaml', 'require_synchronised_clock: false',
             f'require_synchronised_clock: false\n    pkcs11_module: {SOFT_HSM}\n'
             f'    pkcs11_token: station\n    pkcs11_pin_file: {folder}/pin')]


def provision(overheard, lab, token, stolen):
    """Use the guarded services: with a token, with a key that is refused, with a wrong token."""
    root = (lab / 'iso2/certs/v2g_root.pem').read_bytes()
    key = (lab / 'iso2/keys/secc.pem').read_bytes()
    chain = (lab / 'iso2/chains/secc.pem').read_bytes()
    call = overheard.call
    assert call(List, 'pki/list', token=token).result == List.Response.OK
    assert call(Install, 'pki/install', token=token, kind=Credential.KIND_V2G_ROOT,
                data=root).result == Install.Response.OK
    assert call(Install, 'pki/install', token=token, kind=Credential.KIND_SECC_CHAIN,
                data=chain + key).result == Install.Response.MALFORMED
    assert call(CreateCsr, 'pki/create_csr', token=token, common_name='DECC2S0001',
                organization='Operator', profile=CreateCsr.Request.PROFILE_ISO_15118_2,
                ).result == CreateCsr.Response.OK
    assert call(List, 'pki/list', token=stolen).result == List.Response.DENIED


def octets_of(token):
    """Return a token's own part as text and as the number that it stands for."""
    text = token.split('_', 2)[2]
    return {'text': text.encode(), 'number': base64.urlsafe_b64decode(text + '=')}


class Watched:
    """What one session has left behind."""

    def __init__(self):
        self.secrets = {}
        self.written = {}
        self.lines = []
        self.seen = {}
        self.result = None


@pytest.fixture(scope='module')
def watched(pki, tmp_path_factory):
    folder, watched = tmp_path_factory.mktemp('s'), Watched()
    lab = pki / laboratory.LABORATORY
    # The other tests go on with the store as it was.
    shutil.copytree(pki / laboratory.STORE, folder / 'pki')
    token, stolen = (
        TokenFile(folder / 'pki').create(
            name, frozenset(TokenRole), timedelta(hours=1), datetime.now(UTC))[1]
        for name in ('technician', 'thief'))
    TokenFile(folder / 'pki').revoke(stolen.split('_')[1])
    key_log = folder / 'tls_keys'
    with pytest.MonkeyPatch.context() as patch:
        changes = [
            *laboratory.secured(pki, 'pnc', 'install'), *priced(lab, folder),
            *key_token(folder, patch),
            ('v2g_transport.yaml', '    sdp_port: ',
             f'    key_log_file: {key_log}\n    sdp_port: ')]
        with run_station(
            folder, changes=changes, store=folder / 'pki', laboratory=lab, log_level='debug',
            capture='true',
        ) as (processes, domain, run), Connector(domain=domain) as station:
            charge(station, watched, folder)
            overheard = watched.overheard
            provision(overheard, lab, token, stolen)
            overheard.parameters()
            overheard.processes(processes.pids)
            station.spin(0.5)
    watched.log = '\n'.join(processes.lines)
    overheard.files(folder / 'log')
    overheard.files(folder / 'config')
    overheard.add('the log of all processes', (folder / 'station.log').read_bytes())
    overheard.add('the trace', (folder / 'trace.jsonl').read_bytes())
    watched.written = {place: bytes(data) for place, data in overheard.written.items()}
    watched.secrets |= network_keys(run / 'connector_1_line.pcap')
    watched.secrets |= {
        f'key {name}': value for name, value in scalars(lab / 'iso2/keys').items()}
    watched.secrets |= {f'TLS {name}': value
                        for name, value in master_secrets(key_log).items()}
    for name, text in (('token', token), ('revoked token', stolen)):
        watched.secrets |= {f'{name} as {form}': value for form, value in octets_of(text).items()}
    watched.secrets['PIN'] = PIN.encode()
    return watched


def charge(station, watched, folder):
    station.wait_until_ready()
    watched.overheard = overheard = Overheard(station)
    overheard.follow()
    recorder = Recorder(TraceFile(folder / 'trace.jsonl'))
    station.hooks += [recorder, lambda topic, message: (
        watched.seen.setdefault(topic, []).append(message))]
    future = station.charge(
        protocol=Charge.Goal.PROTOCOL_ISO_15118_2, state_of_charge=0.5,
        target_state_of_charge=0.6, maximum_duration=8.0)
    overheard.follow()
    station.wait(future.done, 120, 'the end of the charge')
    station.wait(lambda: station.latest['safety/status'].contactors_open, 5, 'open contactors')
    recorder.trace.close()
    watched.result = future.result().result
    watched.lines = [
        json.loads(line) for line in (folder / 'trace.jsonl').read_text().splitlines()]


def test_plug_and_charge_with_installation_of_the_contract(watched):
    assert watched.result.error_code == Charge.Result.NONE, watched.result.error_msg
    names = messages(watched)
    first = [*FIRST, 'ServiceDetail', 'PaymentServiceSelection', 'CertificateInstallation',
             'PaymentDetails', 'Authorization', *CHARGE]
    assert names[:len(first)] == first
    assert 'MeteringReceipt' in names
    assert names[-3:] == LAST
    session = watched.seen['session'][-1]
    assert session.authorization == ChargingSession.AUTHORIZATION_CONTRACT
    assert session.authorized
    assert 'contract given' in watched.log


def test_the_cheaper_schedule_is_taken_for_a_signed_tariff(watched):
    (offer,) = (
        line['decoded']['V2G_Message'] for line in watched.lines
        if line['message'] == 'ChargeParameterDiscoveryRes')
    assert len(offer['Header']['Signature']['SignedInfo']['Reference']) == 2
    start = next(line['decoded']['V2G_Message']['Body']['PowerDeliveryReq']
                 for line in watched.lines if line['message'] == 'PowerDeliveryReq')
    assert start['SAScheduleTupleID'] == 2


def test_everything_was_heard(watched):
    """The control: what is looked through holds what everybody may know."""
    topics = {place.removeprefix('/connector_1/') for place in watched.written}
    assert {
        'link', 'v2g/connection', 'v2g/request', 'v2g/response', 'v2g/trace', 'charge_command',
        'power/status', 'safety/status', 'control_pilot', 'isolation', 'meter', 'session', 'ev',
        'pki/state', 'pki/audit', 'car/charge/_action/feedback', 'car/charge/_action/status',
        '/diagnostics', '/rosout', 'the trace', 'the log of all processes',
        'answer of hlc/get_parameters', 'answer of pki/get_parameters', 'answer of pki/install',
        'cmdline of pki', 'environ of v2g_transport'} <= topics
    assert any(place.endswith('.log') for place in watched.written)
    known = {
        'session': next(m.session_id for m in watched.seen['session'] if m.session_id).encode(),
        'network': next(bytes(m.nid) for m in watched.seen['link'] if any(m.nid))}
    places = {line.partition(' in ')[2].partition(',')[0].removeprefix('/connector_1/')
              for line in find(known, watched.written)}
    assert {'link', 'session', 'charge_command', '/rosout', '/diagnostics',
            'the log of all processes'} <= places
    # At the level of debugging.
    assert b'[DEBUG]' in watched.written['the log of all processes']


def test_every_secret_is_known(watched):
    names = ' '.join(watched.secrets)
    for name in ('network key 0', 'key secc', 'key contract_new', 'key oem_provisioning',
                 'TLS CLIENT_RANDOM', 'token as text', 'PIN'):
        assert name in names
    assert all(len(value) >= 12 and len(set(value)) > 5 for value in watched.secrets.values())


def test_no_secret_is_in_anything_that_was_said(watched):
    assert find(watched.secrets, watched.written) == []


def test_a_secret_would_have_been_found(watched):
    """The control: each secret, planted in each form, is found in the topic it is planted in."""
    topic = '/connector_1/session'
    for name, secret in watched.secrets.items():
        planted = b'|'.join([form for _, form in [*forms(secret), *compact_forms(secret)]])
        found = find({name: secret}, {topic: watched.written[topic] + planted})
        assert {line.partition(', ')[2] for line in found} >= {
            form for form, _ in [*forms(secret), *compact_forms(secret)]}
