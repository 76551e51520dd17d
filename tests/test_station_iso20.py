"""ISO 15118-20 through all processes: contracts, standby, other services, a pause, and silence."""

import json
import time
from contextlib import contextmanager
from itertools import pairwise
from math import inf

import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not set up')

from station_run import LONG, run_station

from ccs2_interfaces.action import Charge
from ccs2_interfaces.msg import ChargingSession, V2GConnection
from ccs2_interfaces.srv import Pause, SetLimits
from plant_record import PlantRecord, first
from station import laboratory
from station.connector import Connector
from station.record import Recorder, TraceFile

pytestmark = [pytest.mark.xdist_group('sessions'), LONG]

GOAL = {'protocol': Charge.Goal.PROTOCOL_ISO_15118_20_DC, 'state_of_charge': 0.5,
        'target_state_of_charge': 0.9}
PARAMETERS = ['DCChargeParameterDiscovery', 'ScheduleExchange', 'DCCableCheck', 'DCPreCharge',
              'PowerDelivery', 'DCChargeLoop']
SERVICES = ['ServiceDiscovery', 'ServiceDetail', 'ServiceSelection']
LAST = ['PowerDelivery', 'DCWeldingDetection', 'SessionStop']
#: V2G20-1502: the station waits so long in the charge loop [s].
SEQUENCE_TIMEOUT = 0.5
#: The power stage's fast ramp [A/s], and what messages, contactors and this machine take [s].
FAST_RAMP, SLACK = 500.0, 0.5
NO_CURRENT = 1.0


@pytest.fixture(scope='module')
def pki(tmp_path_factory):
    folder = tmp_path_factory.mktemp('pki')
    laboratory.make(folder)
    return folder


class Charged:
    """What was seen of a charge."""

    def __init__(self, station, processes, record, path):
        self.station, self.processes, self.plant = station, processes, record
        self._path = path
        self.lines = []
        self.recorder = Recorder(TraceFile(path))
        #: (monotonic time, message) by topic.
        self.seen = {}
        station.hooks += [self.recorder, self._note]

    def _note(self, topic, message):
        self.seen.setdefault(topic, []).append((time.monotonic(), message))

    def finish(self, future):
        """Wait for the end of the charge; return its result."""
        self.station.wait(future.done, 120, 'the end of the charge')
        self.station.wait(lambda: self.station.latest['safety/status'].contactors_open, 5,
                          'open contactors')
        self.recorder.trace.close()
        self.lines = [json.loads(line) for line in self._path.read_text().splitlines()]
        return future.result().result

    def current(self):
        """Current out of the station now, A."""
        return self.station.latest['power/status'].current

    def names(self, without=''):
        """Return the messages' names in order, repetitions left out."""
        names = [message.message.removesuffix('Req').removesuffix('Res')
                 for _, message in self.seen.get('v2g/trace', ())]
        names = [name for name in names if name != without]
        return [name for index, name in enumerate(names)
                if not index or name != names[index - 1]]


@pytest.fixture
def charging(pki, tmp_path_factory):
    """Return a context of a station that takes contracts, and what is seen of it."""
    @contextmanager
    def run(mode, car=(), hlc=(), acquisition=''):
        folder = tmp_path_factory.mktemp('s')
        changes = [
            *laboratory.secured(pki, 'pnc', acquisition, tls='1.3'),
            *laboratory.in_mode(mode, 0.4996),
            ('hlc.yaml', 'receipt_interval: 5.0', 'receipt_interval: 0.5'),
            *(('car.yaml', 'interface: lo', f'interface: lo\n    {line}') for line in car),
            *(('hlc.yaml', 'contract_payment:', f'{line}\n    contract_payment:')
              for line in hlc)]
        more = {'laboratory': pki / laboratory.LABORATORY} if acquisition else {}
        with run_station(
            folder, changes=changes, store=pki / laboratory.STORE, **more,
        ) as (processes, domain, run_folder), Connector(domain=domain) as station:
            station.wait_until_ready()
            with PlantRecord(run_folder / 'connector_1.sock') as record:
                yield Charged(station, processes, record, folder / 'trace.jsonl')
    return run


def test_a_contract_is_installed_and_every_change_takes_the_power_stage_along(charging):
    """Both directions, another schedule, standby, then charging only, in one session."""
    car = ('renegotiate_after: 15', 'renegotiates_aside: true', 'standby_after: 20',
           'standby_time: 2.0', 'change_after: 30', 'next_mode: scheduled', 'maximum_loops: 60')
    with charging('bpt', car, ('renegotiation: true',), 'install') as seen:
        station = seen.station
        future = station.charge(**GOAL)
        station.wait(lambda: seen.current() < -50 or future.done(), 60, 'energy out of the car')
        station.wait(lambda: future.done() or (
            seen.names().count('ServiceSelection') == 2 and seen.current() > 100), 90,
            'charging by the other service')
        assert station.call(SetLimits, 'hlc/set_limits', SetLimits.Request(
            maximum_current=float('nan'), maximum_power=20_000.0,
            maximum_discharge_current=float('nan'),
            maximum_discharge_power=float('nan'))).success
        result = seen.finish(future)
    assert result.error_code == Charge.Result.NONE, result.error_msg
    again = ['PowerDelivery', 'ScheduleExchange', 'PowerDelivery', 'DCChargeLoop']
    assert seen.names(without='MeteringConfirmation') == [
        'SupportedAppProtocol', 'SessionSetup', 'AuthorizationSetup', 'CertificateInstallation',
        'Authorization', *SERVICES, *PARAMETERS, *again, 'PowerDelivery', 'DCChargeLoop', *LAST,
        *SERVICES, *PARAMETERS, *again, *LAST]
    assert 'contract given' in '\n'.join(seen.processes.lines)
    session = [message for _, message in seen.seen['session']][-1]
    assert session.authorization == ChargingSession.AUTHORIZATION_CONTRACT
    assert session.authorized
    assert session.contract_id
    assert len({message.session_id for _, message in seen.seen['session']} - {''}) == 1
    streams = {line['message']: set() for line in seen.lines}
    for line in seen.lines:
        streams[line['message']].add(line['payload_type'])
    assert streams['MeteringConfirmationReq'] == {'0x8102'}
    assert '0x8101' in streams['ScheduleExchangeReq']
    # The contactors were closed twice: from the first cable check to the first stop, standby and
    # renegotiation included, and once more for the other service.
    closed = [message.contactors_closed for _, message in seen.seen['safety/status']]
    assert sum(not before and after for before, after in pairwise(closed)) == 2
    currents = [sample.current for sample in seen.recorder.samples]
    assert -101 < min(currents) < -95
    assert max(currents) > 90
    # By the new limit the current fell before the end.
    charged = [sample for sample in seen.recorder.samples if sample.current > 5]
    assert charged[-5].current * charged[-5].voltage < 21_000


def test_a_pause_by_the_stations_wish_and_a_car_that_then_goes_silent(charging):
    """The contract still pays after the pause; silence opens the contactors in time."""
    with charging('dynamic', ('sleep: 3.0',)) as seen:
        station = seen.station
        future = station.charge(**GOAL, misbehaviour='silent:step=DC_ChargeLoop,after=45')
        station.wait(lambda: seen.current() > 100 or future.done(), 60, 'energy flows')
        assert station.call(Pause, 'hlc/pause', Pause.Request(reason='grid')).success
        station.wait(lambda: station.latest['session'].stage == ChargingSession.STAGE_PAUSED, 30,
                     'the pause')
        paused = station.latest['session']
        assert station.latest['v2g/connection'].data_link in (
            V2GConnection.DATA_LINK_KEEP, V2GConnection.DATA_LINK_PAUSE)
        station.wait(lambda: seen.current() > 100 or future.done(), 60, 'energy flows again')
        goes_on = station.latest['session']
        assert (goes_on.session_id, goes_on.contract_id) == (
            paused.session_id, paused.contract_id)
        assert goes_on.authorized
        station.wait(lambda: station.latest['session'].stage == ChargingSession.STAGE_FAILED, 60,
                     'silence')
        station.spin(2.0)
        moments = seen.plant.since(0)
        last = max(arrived for arrived, message in seen.seen['v2g/trace']
                   if message.message == 'DC_ChargeLoopRes'.replace('_', ''))
        before = max(abs(moment.current) for moment in moments
                     if last - 0.5 <= moment.time <= last)
        assert before > 100
        safe = first([moment for moment in moments if moment.time >= last],
                     lambda moment: not moment.closed and abs(moment.current) < NO_CURRENT)
        assert safe < inf
        bound = SEQUENCE_TIMEOUT + before / FAST_RAMP + SLACK
        assert SEQUENCE_TIMEOUT - 0.1 < safe - last < bound, f'{safe - last:.2f} s, {bound:.2f} s'
        assert moments[-1].opened_under_load == 0
        result = seen.finish(future)
    assert result.error_code != Charge.Result.NONE
    codes = [line['response_code'] for line in seen.lines if line['message'] == 'SessionSetupRes']
    assert codes == ['OK_NewSessionEstablished', 'OK_OldSessionJoined']
    assert seen.names().count('Authorization') == 1
