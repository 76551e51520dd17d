"""The station's SLAC and its own modem: resets, keys that are not taken, answers too late."""

from __future__ import annotations

import pytest
from slac_car import STRANGER, Car

from ccs2_link.homeplug import messages as mme
from ccs2_link.homeplug import vendor
from ccs2_link.slac.contract import DataLink, LinkState
from ccs2_link.slac.evse import STEP_PATIENCE


def test_reset_by_hand(bench, car):
    car.matched()
    key = bench.keys[-1].new_key
    bench.reset()
    assert bench.state is LinkState.UNAVAILABLE
    bench.wait(3.0 + STEP_PATIENCE)
    assert bench.state is LinkState.MATCHING
    assert bench.keys[-1].new_key != key


def test_a_modem_that_takes_no_key_is_restarted(make_bench):
    bench = make_bench(up=False)
    bench.answering = False
    bench.modem(True)
    bench.wait(5.1)
    assert bench.resets == ['it does not take a key']
    assert len([1 for frame in bench.raw if frame[15:17] == b'\x08\x60']) == 5


def test_a_modem_without_flash_is_named(make_bench):
    bench = make_bench(up=False)
    bench.answering = False
    bench.modem(True)
    bench.modem_says(vendor.VsHostActionInd(action=0))
    bench.wait(5.1)
    assert bench.resets == ['it asks for firmware']


def test_a_modem_that_hangs_is_restarted(bench, car):
    bench.pilot('A', digital=False)
    bench.wait(100.0)
    assert bench.resets == []
    bench.answering = False
    bench.wait(39.0)
    assert bench.resets == []
    bench.wait(2.0)
    assert bench.resets == ['it does not answer']
    bench.answering = True
    bench.wait(8.0)
    bench.pilot('B')
    car.matched()
    assert bench.state is LinkState.MATCHED


def test_a_modem_that_does_not_tell_its_version_is_not_taken_to_hang(make_bench):
    bench = make_bench(up=False)
    bench.answering = False
    bench.modem(True)
    bench.modem_says(mme.CmSetKeyCnf(
        result=1, my_nonce=bytes(4), your_nonce=bench.raw[-1][20:24]))
    bench.wait(1000.0)
    assert bench.resets == []


def test_a_late_answer_to_an_earlier_attempt_is_the_modems(make_bench):
    bench = make_bench(up=False)
    bench.answering = False
    bench.modem(True)
    nonce = bench.raw[-1][20:24]
    bench.wait(1.2)
    bench.modem_says(mme.CmSetKeyCnf(result=1, my_nonce=bytes(4), your_nonce=nonce))
    assert bench.core.status().modem_mac == bench.modem_mac
    assert bench.core.status().counters['keys set, result 1'] == 1
    # Another key, another nonce.
    bench.pilot('B')
    car = Car(bench)
    car.accepted()
    car.match()
    bench.data_link(DataLink.TERMINATE)
    before = bench.core.status()
    bench.modem_says(mme.CmSetKeyCnf(result=1, my_nonce=bytes(4), your_nonce=nonce))
    assert bench.core.status().counters['keys set, result 1'] == 1
    assert bench.core.status().state is before.state


def test_an_answer_with_another_nonce_is_no_modem(make_bench):
    bench = make_bench(up=False)
    bench.answering = False
    bench.modem(True)
    bench.say(mme.CmSetKeyCnf(result=1, my_nonce=bytes(4), your_nonce=bytes(4)), STRANGER)
    assert bench.core.status().modem_mac is None


@pytest.mark.parametrize('result', [0, 1])
def test_both_meanings_of_success_are_taken(make_bench, result):
    bench = make_bench(up=False)
    bench.answering = False
    bench.modem(True)
    nonce = bench.raw[-1][20:24]
    bench.modem_says(mme.CmSetKeyCnf(result=result, my_nonce=bytes(4), your_nonce=nonce))
    bench.pilot('B')
    assert bench.state is LinkState.MATCHING


def test_a_restart_that_the_key_causes_does_not_set_the_key_again(make_bench):
    bench = make_bench()
    bench.wait(0.1)
    bench.modem(False)
    assert bench.state is LinkState.UNMATCHED
    bench.wait(1.0)
    bench.modem(True)
    assert len(bench.keys) == 1
    bench.wait(1.0)
    bench.modem(False)
    assert bench.state is LinkState.UNAVAILABLE
    bench.modem(True)
    assert len(bench.keys) == 2


def test_a_modem_that_does_not_come_back_is_unavailable(make_bench):
    bench = make_bench()
    bench.modem(False)
    bench.wait(19.9)
    assert bench.state is LinkState.UNMATCHED
    bench.wait(0.2)
    assert bench.state is LinkState.UNAVAILABLE
