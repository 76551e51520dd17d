"""CM_AMP_MAP between two matched stations: what the own modem says is what the peer is told."""

from __future__ import annotations

import pytest

from ccs2_link.homeplug import messages as mme
from ccs2_link.homeplug.frame import Frame
from ccs2_link.slac.amp_map import APPLIED, REFUSED, AmpMapExchange

HOST, PEER, MODEM, STRANGER = (bytes([2, 0, 0, 0, 0, number]) for number in range(4))
MAP = mme.CmAmpMapReq(carriers=917, data=bytes(917))


@pytest.fixture
def sent():
    return []


@pytest.fixture
def exchange(sent):
    return AmpMapExchange(lambda destination, message: sent.append((destination, message)))


def hear(exchange, now, message, source=PEER):
    return exchange.receive(now, Frame(HOST, source, message), MODEM)


@pytest.mark.parametrize('result', [APPLIED, REFUSED])
def test_a_peers_map_goes_to_the_modem_and_its_answer_back(exchange, sent, result):
    exchange.open(0.0, PEER, None)
    assert sent == []
    assert hear(exchange, 0.1, MAP)
    (_, handed_on), = sent
    assert handed_on == MAP
    assert hear(exchange, 0.12, mme.CmAmpMapCnf(result=result), MODEM)
    assert sent[1:] == [(PEER, mme.CmAmpMapCnf(result=result))]


def test_a_modem_that_does_not_answer_in_time_has_refused(exchange, sent):
    exchange.open(0.0, PEER, None)
    hear(exchange, 1.0, MAP)
    exchange.tick(1.09)
    assert len(sent) == 1
    assert exchange.deadline() == pytest.approx(1.1)
    exchange.tick(1.1)
    assert sent[1:] == [(PEER, mme.CmAmpMapCnf(result=REFUSED))]


def test_a_map_that_is_repeated_while_the_modem_thinks_is_handed_on_once(exchange, sent):
    exchange.open(0.0, PEER, None)
    for _ in range(1000):
        assert hear(exchange, 1.0, MAP)
    assert len(sent) == 1


def test_the_own_map_is_sent_three_times_200_ms_apart(exchange, sent):
    exchange.open(0.0, PEER, MAP)
    times = [0.0]
    while (due := exchange.deadline()) < 100.0:
        before = len(sent)
        exchange.tick(due)
        times += [due] * (len(sent) - before)
    assert times == pytest.approx([0.0, 0.2, 0.4])
    assert sent == [(PEER, MAP)] * 3


def test_the_peers_answer_ends_the_repeating(exchange, sent):
    exchange.open(0.0, PEER, MAP)
    assert hear(exchange, 0.05, mme.CmAmpMapCnf(result=APPLIED))
    exchange.tick(10.0)
    assert len(sent) == 1


def test_others_are_not_heard(exchange, sent):
    exchange.open(0.0, PEER, MAP)
    assert not hear(exchange, 0.1, MAP, STRANGER)
    assert not hear(exchange, 0.1, mme.CmAmpMapCnf(result=APPLIED), STRANGER)
    assert not hear(exchange, 0.1, mme.CmAmpMapCnf(result=APPLIED), MODEM)  # it was not asked
    exchange.close()
    assert not hear(exchange, 0.2, MAP)
    assert not hear(exchange, 0.2, mme.CmAmpMapCnf(result=APPLIED))
    assert len(sent) == 1
