import pytest

from ccs2_power.hal import Measurement, PilotReading
from ccs2_power.pilot import PilotMonitor, PilotState, Proximity


class Line:
    """A pilot line, beat by beat."""

    def __init__(self, high=12.0):
        self.now = 100.0
        self.monitor = PilotMonitor()
        self.settle(high)

    def settle(self, high, duty=1.0, low=-12.0, beats=10, driven=None, proximity=None, age=0.0):
        for _ in range(beats):
            self.now += 0.02

            def m(value):
                return None if value is None else Measurement(value, 'pilot', self.now - age)

            self.monitor.step(PilotReading(
                m(high) if duty > 0.0 else None, m(low) if duty < 1.0 else None,
                m(duty if driven is None else driven), m(proximity)), duty, self.now)
        return self.monitor.state


@pytest.mark.parametrize(('volts', 'state'), [
    (12.0, PilotState.A), (11.0, PilotState.A), (10.0, PilotState.B), (9.0, PilotState.B),
    (8.0, PilotState.B), (7.0, PilotState.C), (6.0, PilotState.C), (5.0, PilotState.C),
    (4.0, PilotState.D), (3.0, PilotState.D), (2.0, PilotState.D), (1.0, PilotState.E),
    (0.0, PilotState.E), (-1.0, PilotState.E),
])
def test_levels(volts, state):
    line = Line(12.0)
    assert line.settle(volts) is state
    assert not line.monitor.lost


@pytest.mark.parametrize('volts', [13.5, 10.5, 7.5, 4.5, 1.5, -3.0, -12.0, float('nan')])
def test_between_the_states_the_last_one_stays_and_then_is_lost(volts):
    line = Line(9.0)
    assert line.settle(volts, beats=4) is PilotState.B
    assert line.settle(volts, beats=4) is PilotState.UNKNOWN
    assert line.monitor.lost
    assert line.settle(9.0) is PilotState.B
    assert not line.monitor.lost


def test_a_spike_shorter_than_the_dwell_is_no_state():
    line = Line(6.0)
    assert line.settle(9.0, beats=1) is PilotState.C
    assert line.settle(6.0, beats=1) is PilotState.C
    assert line.settle(9.0, beats=3) is PilotState.B


def test_leaving_c_counts_within_60_ms():
    line = Line(6.0)
    start = line.now
    while line.settle(9.0, beats=1) is PilotState.C:
        pass
    assert line.now - start <= 0.061


def test_a_stale_level_is_lost():
    line = Line(6.0)
    assert line.settle(6.0, beats=8, age=0.11) is PilotState.UNKNOWN
    assert 'not measured' in line.monitor.lost


def test_state_f_is_what_the_station_drives():
    line = Line(9.0)
    assert line.settle(None, duty=0.0) is PilotState.F
    assert line.settle(None, duty=0.0, low=-6.0) is PilotState.UNKNOWN


def test_missing_diode():
    line = Line(9.0)
    line.settle(9.0, duty=0.05)
    assert not line.monitor.diode_fault
    line.settle(9.0, duty=0.05, low=-9.0)
    assert line.monitor.diode_fault
    line.settle(12.0, duty=0.05, low=-6.0)
    assert not line.monitor.diode_fault  # nobody is connected


def test_a_missing_diode_is_not_forgotten_while_nothing_shows_it():
    line = Line(9.0)
    line.settle(9.0, duty=0.05, low=-9.0)
    for duty in (1.0, 0.0, 1.0):
        line.settle(9.0, duty=duty)
        assert line.monitor.diode_fault
    line.settle(9.0, duty=0.05)
    assert not line.monitor.diode_fault


def test_the_pilot_is_proven_while_the_oscillator_has_shown_the_diode():
    line = Line(9.0)
    line.settle(6.0)
    assert not line.monitor.proven
    line.settle(6.0, duty=0.05, low=-6.0, beats=3)
    assert not line.monitor.proven
    line.settle(6.0, duty=0.05, beats=1)
    assert line.monitor.proven
    line.settle(6.0, duty=0.05, low=-6.0, beats=2)  # a bad sample is not yet a bad diode
    assert line.monitor.proven
    line.settle(6.0, duty=0.05, low=-6.0)
    assert not line.monitor.proven
    line.settle(6.0, duty=0.05)
    assert line.monitor.proven
    line.settle(6.0)
    assert not line.monitor.proven


def test_a_low_phase_that_is_not_measured_is_a_missing_diode():
    line = Line(9.0)
    line.settle(9.0, duty=0.05, low=None)
    assert line.monitor.diode_fault


def test_a_generator_that_does_not_obey():
    line = Line(9.0)
    line.settle(9.0, duty=0.05, driven=1.0)
    assert line.monitor.lost == 'duty cycle of the control pilot is 1.000 instead of 0.050'


def test_short():
    line = Line(9.0)
    line.settle(0.0)
    assert line.monitor.short


def test_bcb_toggles_since_the_plug_in():
    line = Line(9.0)
    for _ in range(3):
        line.settle(6.0)
        line.settle(9.0)
    assert line.monitor.bcb_toggles == 3
    line.settle(12.0)
    assert line.monitor.bcb_toggles == 0


@pytest.mark.parametrize(('seconds', 'toggles'), [
    (0.06, 0), (0.2, 1), (0.4, 1), (0.6, 1), (1.5, 0), (60.0, 0),
])
def test_a_toggle_is_short(seconds, toggles):
    """To be ready for energy for a while, and then no longer, is no toggle."""
    line = Line(9.0)
    line.settle(6.0, beats=round(seconds / 0.02))
    line.settle(9.0)
    assert line.monitor.bcb_toggles == toggles


@pytest.mark.parametrize(('ohm', 'meaning', 'fault'), [
    (None, Proximity.UNKNOWN, False), (1500.0, Proximity.CONNECTED, False),
    (150.0, Proximity.CONNECTED, False), (480.0, Proximity.BUTTON_PRESSED, False),
    (float('inf'), Proximity.DISCONNECTED, False), (20.0, Proximity.UNKNOWN, True),
])
def test_proximity(ohm, meaning, fault):
    line = Line(9.0)
    line.settle(9.0, proximity=ohm)
    assert line.monitor.proximity is meaning
    assert line.monitor.proximity_fault is fault
