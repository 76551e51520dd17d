"""Station and car find each other over the virtual line, on a virtual clock."""

from __future__ import annotations

from math import inf
from random import Random

import pytest

from ccs2_link.homeplug import messages as mme
from ccs2_link.homeplug.frame import decode
from ccs2_link.slac.contract import (
    Changed,
    DataLink,
    LinkState,
    Pilot,
    PilotState,
    ResetModem,
    Send,
    SwitchReady,
)
from ccs2_link.slac.ev import EvConfig, EvSlac
from ccs2_link.slac.evse import EvseConfig, EvseSlac
from ccs2_sim.powerline.firmware import Firmware, FirmwareConfig
from ccs2_sim.powerline.line import Path, PowerLine


class Host:
    """A core behind a modem of the line."""

    def __init__(self, world, name, core, config):
        self.world = world
        self.core = core
        self.firmware = Firmware(
            name, config, world.line, world.random, self._hear, self._power)
        self.changes = []
        self.sent = []
        self.resets = []
        self.toggles = 0
        self.switches = []
        self.ready = False

    @property
    def status(self):
        return self.core.status()

    @property
    def state(self):
        return self.core.status().state

    def do(self, outputs):
        for output in outputs:
            if isinstance(output, Send):
                self.sent.append(decode(output.frame).message)
                self.firmware.from_host(self.world.now, output.frame)
            elif isinstance(output, Changed):
                self.changes.append((self.world.now, output.state, output.message))
            elif isinstance(output, ResetModem):
                self.resets.append(output.reason)
                self.firmware.restart(self.world.now)
            elif isinstance(output, SwitchReady):
                self.world.switch(output.ready)

    def pilot(self, state, digital=True):
        self.do(self.core.pilot(self.world.now, Pilot(PilotState[state], digital, self.toggles)))

    def data_link(self, request):
        self.do(self.core.data_link(self.world.now, request))

    def _hear(self, frame):
        self.do(self.core.receive(self.world.now, frame))

    def _power(self, up):
        self.do(self.core.modem(self.world.now, up))


class World:
    """Stations and cars on one line; time passes in `run`."""

    def __init__(self, seed=1):
        self.now = 0.0
        self.random = Random(seed)
        self.line = PowerLine(self.random)
        self.hosts = {}

    def station(self, name='station', config=None, **firmware):
        number = len(self.hosts)
        core = EvseSlac(bytes([2, 0, 0, 0, 0, number]), config)
        return self._add(name, core, True, firmware)

    def car(self, name='car', config=None, **firmware):
        number = len(self.hosts)
        core = EvSlac(bytes([2, 0xCA, 0, 0, 0, number]), config)
        return self._add(name, core, False, firmware)

    def _add(self, name, core, station, firmware):
        mac = bytes([0, 0xB0, 0x52, 1, 1, len(self.hosts)])
        host = Host(self, name, core, FirmwareConfig(mac, station=station, **firmware))
        self.hosts[name] = host
        host.do(core.modem(self.now, True))
        return host

    def cable(self, path=None, one='station', other='car'):
        self.line.connect(one, other, path or Path())

    def plug(self, station='station', car='car'):
        for name in (station, car):
            self.hosts[name].pilot('B')

    def switch(self, ready):
        """S2 of the car: the station sees C or B, and counts a toggle when it opens."""
        station = self.hosts['station']
        if not ready:
            station.toggles += 1
        station.pilot('C' if ready else 'B')

    def run(self, seconds):
        end = self.now + seconds
        for _ in range(10**5):
            parts = [self.line]
            for host in self.hosts.values():
                parts += [host.firmware, host.core]
            due = min((d for part in parts if (d := part.deadline()) is not None), default=inf)
            if due > end:
                self.now = end
                return
            self.now = max(self.now, due)
            self.line.tick(self.now)
            for host in self.hosts.values():
                host.firmware.tick(self.now)
                host.do(host.core.tick(self.now))
        raise AssertionError('the world never comes to rest')

    def wait(self, condition, patience=60.0):
        begin = self.now
        while not condition():
            if self.now - begin > patience:
                raise AssertionError('waited in vain')
            self.run(0.05)
        return self.now - begin


def make_pair(path=None, car=None, station=None, seed=1, **firmware):
    world = World(seed)
    world.station(config=station, **firmware)
    world.car(config=car, **firmware)
    world.cable(path)
    world.run(3.0)
    return world, world.hosts['station'], world.hosts['car']


def both_matched(station, car):
    return lambda: station.state is car.state is LinkState.MATCHED


def test_station_and_car_match():
    world, station, car = make_pair()
    world.plug()
    took = world.wait(both_matched(station, car))
    assert took < 5.0
    assert station.status.nid == car.status.nid
    assert station.status.peer_mac == bytes([2, 0xCA, 0, 0, 0, 1])
    assert 20 < station.status.attenuation < 30
    assert station.status.modem == 'SIM-QCA7005-1.1.0'
    print([message for _, _, message in station.changes])


@pytest.mark.parametrize('toggles', [1, 2, 3])
def test_validation_by_bcb_toggles(toggles):
    world, station, car = make_pair(car=EvConfig(validate=toggles))
    world.plug()
    world.wait(both_matched(station, car))
    answers = [m for m in station.sent if isinstance(m, mme.CmValidateCnf)]
    assert [(a.toggle_num, a.result) for a in answers] == [
        (0, mme.ValidateResult.READY), (toggles, mme.ValidateResult.SUCCESS)]


@pytest.mark.parametrize('seed', range(20))
def test_match_on_a_bad_line(seed):
    world, station, car = make_pair(
        Path(loss=0.1, duplication=0.1, jitter=0.02), seed=seed)
    world.plug()
    assert world.wait(both_matched(station, car), 120.0) < 120.0


def test_car_takes_the_nearer_of_two_stations():
    world, station, car = make_pair(Path(attenuation=20))
    other = world.station('other')
    world.cable(Path(attenuation=45), 'other', 'car')
    world.run(2.0)
    other.pilot('B')
    world.plug()
    world.wait(both_matched(station, car))
    assert other.state is LinkState.MATCHING
    assert other.core.status().counters['frames used'] > 10


def test_a_second_car_on_the_line_changes_nothing_while_the_first_is_matched():
    world, station, car = make_pair()
    guest = world.car('guest')
    world.cable(Path(attenuation=30), 'station', 'guest')
    world.run(2.0)
    world.plug()
    world.wait(both_matched(station, car))
    before = station.status
    confirmed = sum(isinstance(m, mme.CmSlacMatchCnf) for m in station.sent)
    guest.pilot('B')
    world.run(30.0)
    assert any(isinstance(m, mme.CmSlacParmReq) for m in guest.sent)
    assert guest.state is LinkState.FAILED
    assert both_matched(station, car)()
    assert (station.status.nid, station.status.peer_mac) == (before.nid, before.peer_mac)
    assert sum(isinstance(m, mme.CmSlacMatchCnf) for m in station.sent) == confirmed
    assert station.status.failures == before.failures


def test_two_pairs_with_cross_talk_match_with_their_own():
    world, station, car = make_pair(Path(attenuation=20))
    other, guest = world.station('other'), world.car('guest')
    world.cable(Path(attenuation=22), 'other', 'guest')
    for one, two in (('station', 'guest'), ('other', 'car'), ('station', 'other'),
                     ('car', 'guest')):
        world.cable(Path(attenuation=45), one, two)
    world.run(2.0)
    world.plug()
    world.plug('other', 'guest')
    world.wait(lambda: both_matched(station, car)() and both_matched(other, guest)(), 60.0)
    assert station.status.nid == car.status.nid != other.status.nid == guest.status.nid


def test_noise_while_matched_is_a_lost_link_and_the_next_key_is_another():
    world, station, car = make_pair()
    world.plug()
    world.wait(both_matched(station, car))
    nid = station.status.nid
    world.line.noise(world.now, 3.0)
    assert world.wait(lambda: station.state is not LinkState.MATCHED) < 1.5
    world.wait(both_matched(station, car), 120.0)
    assert station.status.nid != nid


def test_short_noise_is_survived():
    world, station, car = make_pair()
    world.plug()
    world.wait(both_matched(station, car))
    world.line.noise(world.now, 0.2)
    world.run(5.0)
    assert both_matched(station, car)()


def test_modem_restart_while_matched_is_a_lost_link():
    world, station, car = make_pair()
    world.plug()
    world.wait(both_matched(station, car))
    nid = station.status.nid
    station.firmware.restart(world.now)
    assert station.state is LinkState.UNAVAILABLE
    world.wait(both_matched(station, car), 120.0)
    assert station.status.nid != nid


def test_pause_keeps_the_network_and_resumes_without_slac():
    world, station, car = make_pair()
    world.plug()
    world.wait(both_matched(station, car))
    nid, asked = station.status.nid, sum(isinstance(m, mme.CmSlacParmReq) for m in car.sent)
    for host in (station, car):
        host.data_link(DataLink.PAUSE)
        host.pilot('B', digital=False)
    world.run(60.0)
    assert station.state is LinkState.UNMATCHED
    world.plug()
    world.wait(both_matched(station, car), 6.0)
    assert station.status.nid == nid
    assert sum(isinstance(m, mme.CmSlacParmReq) for m in car.sent) == asked


def test_amplitude_map_of_the_station_is_applied_by_the_car():
    world, station, car = make_pair(
        station=EvseConfig(amplitude_map=mme.CmAmpMapReq(carriers=4, data=b'\1\2\3\4')))
    world.plug()
    world.wait(both_matched(station, car))
    world.run(1.0)
    assert [m.result for m in car.sent if isinstance(m, mme.CmAmpMapCnf)] == [0]


def test_unplug_leaves_the_network_within_a_second():
    world, station, car = make_pair()
    world.plug()
    world.wait(both_matched(station, car))
    nid = station.status.nid
    for host in (station, car):
        host.pilot('A', digital=False)
    assert station.state is LinkState.UNMATCHED
    world.run(1.0)
    assert station.status.nid != nid
