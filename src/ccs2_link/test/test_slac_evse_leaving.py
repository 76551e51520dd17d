"""How the station's SLAC leaves a network: lost links, unplugging, pauses, sessions that end."""

from __future__ import annotations

import pytest
from slac_car import CAR, STRANGER, Car, wish

from ccs2_link.homeplug import messages as mme
from ccs2_link.homeplug import vendor
from ccs2_link.homeplug.keys import nid_of
from ccs2_link.slac.contract import DataLink, LinkState, WishKind
from ccs2_link.slac.evse import EvseConfig
from ccs2_link.slac.timing import TT_CONN_RESUME


@pytest.mark.parametrize('loss', ['down', 'silent', 'modem'])
def test_link_loss_while_matched(bench, car, loss):
    car.matched()
    key = bench.keys[-1].new_key
    begin = bench.now
    if loss == 'down':
        bench.link = False
    elif loss == 'silent':
        bench.answering = False
    else:
        bench.modem(False)
    while bench.state is LinkState.MATCHED:
        bench.wait(0.05)
    assert bench.now - begin < {'down': 0.6, 'silent': 1.6, 'modem': 0.01}[loss]
    bench.answering = True
    if loss == 'modem':
        bench.modem(True)
    bench.wait(2.0)
    assert bench.keys[-1].new_key != key
    assert bench.core.status().peer_mac is None
    assert bench.core.status().nid == nid_of(bench.keys[-1].new_key)


def test_one_bad_answer_is_not_a_lost_link(bench, car):
    car.matched()
    bench.modem_says(vendor.VsPlLinkStatusCnf(status=0, link_status=0))
    bench.wait(5.0)
    assert bench.state is LinkState.MATCHED


def test_link_status_of_others_is_not_believed(bench, car):
    car.matched()
    for _ in range(10):
        bench.say(vendor.VsPlLinkStatusCnf(status=0, link_status=0), STRANGER)
    bench.wait(1.0)
    assert bench.state is LinkState.MATCHED


@pytest.mark.parametrize('state', ['A', 'E', 'F', 'UNKNOWN'])
def test_unplugging_and_faults_leave_the_network_at_once(bench, car, state):
    car.matched()
    key = bench.keys[-1].new_key
    bench.pilot(state, digital=False)
    assert bench.state is LinkState.UNMATCHED
    bench.wait(1.0)
    assert bench.keys[-1].new_key != key


def test_each_plug_in_has_its_own_key(bench, car):
    keys = []
    for _ in range(20):
        car.matched()
        keys.append(bench.last(mme.CmSlacMatchCnf).nmk)
        bench.pilot('A', digital=False)
        bench.wait(1.0)
        bench.pilot('B')
    assert len({key.reveal() for key in keys}) == 20


def test_a_key_that_nobody_got_stays(bench, car):
    car.accepted()
    bench.pilot('A', digital=False)
    bench.wait(1.0)
    assert len(bench.keys) == 1  # a new key is written to the modem's flash


def test_five_percent_going_off_leaves_after_half_a_second(bench, car):
    car.matched()
    bench.pilot('B', digital=False)
    bench.wait(0.45)
    assert bench.state is LinkState.MATCHED
    bench.wait(0.1)
    assert bench.state is LinkState.UNMATCHED


@pytest.mark.parametrize('pause_first', [True, False])
def test_a_pause_keeps_the_network(bench, car, pause_first):
    car.matched()
    keys = len(bench.keys)
    steps = [lambda: bench.data_link(DataLink.PAUSE), lambda: bench.pilot('B', digital=False)]
    for step in steps if pause_first else reversed(steps):
        step()
        bench.wait(0.2)
    bench.link = False  # the car's modem sleeps
    bench.wait(600.0)
    assert bench.state is LinkState.UNMATCHED
    bench.pilot('B')
    bench.wait(1.0)
    assert bench.state is LinkState.MATCHING
    bench.link = True
    bench.wait(0.2)
    assert bench.state is LinkState.MATCHED
    assert len(bench.keys) == keys
    assert bench.core.status().peer_mac == CAR


def test_a_toggling_car_ends_the_pause(bench, car):
    car.matched()
    bench.data_link(DataLink.PAUSE)
    bench.pilot('B', digital=False)
    bench.wait(10.0)
    bench.pilot('B', digital=False, toggles=1)
    bench.wait(0.2)
    assert bench.state is LinkState.MATCHED


def test_a_link_that_does_not_come_back_after_a_pause_is_left(bench, car):
    car.matched()
    bench.data_link(DataLink.PAUSE)
    bench.pilot('B', digital=False)
    bench.link = False
    bench.wait(60.0)
    bench.pilot('B')
    bench.wait(TT_CONN_RESUME - 0.1)
    assert bench.core.status().peer_mac == CAR
    assert wish(bench) is WishKind.NONE
    bench.wait(0.2)
    assert bench.core.status().peer_mac is None
    assert wish(bench) is WishKind.STEP


def test_a_pause_without_keeping_is_an_end(make_bench):
    bench = make_bench(EvseConfig(keep_key_over_pause=False))
    bench.pilot('B')
    Car(bench).matched()
    bench.data_link(DataLink.PAUSE)
    assert bench.core.status().peer_mac is None
    assert len(bench.keys) == 2


def test_the_upper_layer_ends_the_link_until_the_pilot_starts_anew(bench, car):
    car.matched()
    bench.data_link(DataLink.TERMINATE)
    bench.wait(1.0)
    car.parm()
    assert bench.state is LinkState.UNMATCHED
    assert wish(bench) is WishKind.NONE
    assert bench.count(mme.CmSlacParmCnf) == 1
    bench.pilot('B', digital=False)
    bench.pilot('B')
    car.matched()
    assert bench.state is LinkState.MATCHED
