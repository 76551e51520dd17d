"""The thread that serves a device: steps, loss and recovery, its end."""

import threading
import time

import pytest

from ccs2_power import worker
from ccs2_power.worker import Worker


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(worker, 'RETRY', 0.02)


def until(condition, seconds=2.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, 'condition not reached'
        time.sleep(0.005)


def test_it_steps_until_it_is_stopped():
    steps = []
    served = Worker('device', lambda: steps.append(1), lambda: None, 0.005)
    served.start()
    until(lambda: len(steps) > 3)
    served.stop()
    count = len(steps)
    time.sleep(0.03)
    assert len(steps) == count


def test_it_steps_at_once_when_woken():
    steps = []
    served = Worker('device', lambda: steps.append(1), lambda: None, 60.0)
    served.start()
    until(lambda: len(steps) == 1)
    served.wake()
    until(lambda: len(steps) == 2)
    served.stop()


def test_a_lost_device_is_recovered_before_the_next_step():
    calls, broken = [], [True]

    def step():
        calls.append('step')
        if broken[0]:
            raise OSError(19, 'No such device')

    def recover():
        calls.append('recover')
        if len(calls) < 6:
            raise OSError('still away')
        broken[0] = False

    served = Worker('device', step, recover, 0.005)
    served.start()
    until(lambda: 'No such device' in served.problem or 'still away' in served.problem)
    until(lambda: served.problem == '')
    served.stop()
    assert calls[:7] == ['step', *['recover'] * 5, 'step']


def test_a_mistake_ends_it_and_is_told(monkeypatch):
    monkeypatch.setattr(threading, 'excepthook', lambda arguments: None)

    def step():
        raise KeyError('mistake')

    served = Worker('device', step, lambda: None, 0.005)
    served.start()
    until(lambda: "ended by KeyError('mistake')" in served.problem)
    served.stop()
