"""No sequence of commands, messages and faults closes contactors or exceeds a limit unduly.

The invariants are :meth:`power_bench.Bench.check`, looked at after every beat.
"""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from power_bench import Bench

from ccs2_power import safety
from ccs2_power.command import ENERGISING, CommandError, Mode, Shutdown
from ccs2_power.hal import Alarm, SelfTest
from ccs2_power.pilot_drive import PilotWish, WishKind
from ccs2_power.power import PowerController
from ccs2_power.safety import SafetySupervisor

DEVICES = ('pilot', 'contactors', 'emergency_stop', 'voltmeter', 'lock', 'supply', 'isolation',
           'meter')
SEEN = Counter()

current = st.one_of(st.none(), st.floats(-400.0, 400.0))
limit = st.one_of(st.none(), st.floats(0.0, 1200.0))


class CountingBench(Bench):
    def check(self):
        super().check()
        SEEN['energised'] += self.plant.supply.on
        SEEN['closed'] += self.plant.coils.main


class Station(RuleBasedStateMachine):
    """Everything that hlc, the vehicle, the hardware and the operating system can do."""

    def __init__(self):
        super().__init__()
        self.bench = CountingBench()
        self.old = []

    @initialize(stage=st.sampled_from(['idle', 'cable_check', 'pre_charge', 'charge', 'charge']))
    def begin(self, stage):
        self.bench.reach(stage)

    @invariant()
    def counted(self):
        SEEN['steps'] += 1

    def _go_on(self, beats):
        for _ in range(beats):
            self.bench.step()

    @rule(beats=st.integers(1, 40))
    def time_passes(self, beats):
        self._go_on(beats)

    @rule()
    def session_goes_on(self):
        """The regular next step, so that the rest meets a station that works."""
        bench = self.bench
        mode = bench.command.mode
        if mode in (Mode.OFF, Mode.WELDING_CHECK, Mode.STOP):
            if bench.plant.vehicle == 'A':
                bench.plug_in()
            bench.plant.vehicle_closed = False
            bench.cable_check()
        elif mode is Mode.CABLE_CHECK:
            bench.pre_charge()
        else:
            bench.charge(50.0)
        self._go_on(5)

    @rule(mode=st.sampled_from(Mode), shutdown=st.sampled_from(Shutdown), voltage=limit,
          amperes=current, maximum_voltage=limit, maximum_current=limit, discharge=limit,
          session=st.sampled_from(['', '01', '02']), flags=st.tuples(st.booleans(), st.booleans()),
          lease=st.sampled_from([0.05, 0.5, 5.0]))
    def hlc_commands(self, mode, shutdown, voltage, amperes, maximum_voltage, maximum_current,
                     discharge, session, flags, lease):
        try:
            self.bench.send(
                mode=mode, shutdown=shutdown, target_voltage=voltage, target_current=amperes,
                maximum_voltage=maximum_voltage, maximum_current=maximum_current,
                maximum_discharge_current=discharge, maximum_discharge_power=discharge,
                session_id=session, pilot_oscillator=flags[0], lock_connector=flags[1])
        except CommandError:
            return
        self.old.append(self.bench.command)
        self._go_on(2)

    @rule(data=st.data(), publisher=st.sampled_from([7, 8, 9]))
    def replay(self, data, publisher):
        if self.old:
            command = replace(data.draw(st.sampled_from(self.old)), publisher=publisher)
            for core in (self.bench.safety, self.bench.power):
                before = core.lease.command
                accepted = core.offer_command(command, self.bench.now)
                if not accepted:
                    continue
                if before is not None and before.publisher == command.publisher:
                    assert command.sequence > before.sequence
                else:
                    assert command.mode not in ENERGISING
                # Another publisher has taken over with MODE_OFF: the bench's hlc is deaf now.
                self.bench.command = replace(command, sequence=command.sequence + 1_000_000)
                self.bench._sent = self.bench.now
        self._go_on(1)

    @rule(kind=st.sampled_from(WishKind), number=st.integers(0, 3))
    def matching_wishes(self, kind, number):
        self.bench.safety.offer_pilot_wish(PilotWish(kind, number, self.bench.now))
        self._go_on(2)

    @rule(state=st.sampled_from('AABBCCCDE'), diode=st.sampled_from([True, True, True, False]))
    def pilot_changes(self, state, diode):
        self.bench.plant.vehicle, self.bench.plant.diode = state, diode
        if state == 'A':
            self.bench.plant.vehicle_closed = False
        self._go_on(2)

    @rule(closed=st.booleans())
    def vehicle_contactors(self, closed):
        self.bench.plant.vehicle_closed = closed and self.bench.plant.vehicle in 'CD'

    @rule(device=st.sampled_from(DEVICES))
    def device_falls_silent(self, device):
        self.bench.silence(device)
        self._go_on(3)

    @rule()
    def devices_recover(self):
        self.bench.mute.clear()
        self.bench.plant.alarms = ()
        self.bench.plant.disobedient = False
        self.bench.plant.supply_voltage_error = 0.0

    @rule(who=st.sampled_from(['hlc', 'power_alive', 'safety_alive']), alive=st.booleans())
    def process_dies_or_runs_again(self, who, alive):
        setattr(self.bench, who, alive)
        self._go_on(3)

    @rule(who=st.sampled_from(['safety', 'power']))
    def process_is_restarted(self, who):
        bench = self.bench
        if who == 'safety':
            bench.safety = SafetySupervisor(bench.safety_settings)
        else:
            bench.power = PowerController(bench.power_settings)
        self._go_on(1)

    @rule(pole=st.sampled_from(['DC+', 'DC-']), how=st.sampled_from(['welded', 'stuck_open']))
    def contactor_fails(self, pole, how):
        getattr(self.bench.plant, how).add(pole)

    @rule()
    def contactors_are_replaced(self):
        self.bench.plant.welded.clear()
        self.bench.plant.stuck_open.clear()

    @rule(pressed=st.booleans())
    def emergency_stop(self, pressed):
        self.bench.plant.pressed = pressed
        self._go_on(1)

    @rule(ohm=st.sampled_from([0.0, 50e3, 200e3, 1e6, float('inf')]),
          result=st.sampled_from([SelfTest.PASSED, SelfTest.PASSED, SelfTest.FAILED]))
    def isolation(self, ohm, result):
        self.bench.plant.isolation, self.bench.plant.self_test_result = ohm, result

    @rule(error=st.sampled_from([-300.0, 0.0, 600.0]), disobedient=st.booleans(),
          shorted=st.booleans(), severity=st.sampled_from([1, 2, 3]))
    def supply_fails(self, error, disobedient, shorted, severity):
        plant = self.bench.plant
        plant.supply_voltage_error, plant.disobedient, plant.shorted = error, disobedient, shorted
        plant.alarms = (Alarm(severity, 'module', 'alarm'),)
        self._go_on(1)

    @rule(degrees=st.floats(-20.0, 120.0))
    def temperature(self, degrees):
        self.bench.plant.temperature = degrees

    @rule()
    def operator_clears(self):
        self.bench.safety.clear_faults()
        self.bench.power.clear_faults()

    @rule(stall=st.floats(0.0, 2.0))
    def machine_stalls(self, stall):
        """Nothing runs for a while; the hardware's own time-outs have then acted."""
        self.bench.now += stall
        if stall > 0.5:
            self.bench.plant.coils = type(self.bench.plant.coils)(False)
            self.bench.plant.supply = type(self.bench.plant.supply)(False)
        self.bench.step()


class RecoveringStation(Station):
    """The same, and afterwards the station has to charge the next vehicle."""

    def teardown(self):
        """Whatever was, the station comes to rest and charges the next vehicle."""
        bench = self.bench
        bench.plant.__init__(
            battery=bench.plant.battery, coils=bench.plant.coils, voltage=bench.plant.voltage,
            contacts=dict.fromkeys(bench.plant.contacts, False), duty=bench.plant.duty)
        bench.mute.clear()
        bench.problems.clear()
        bench.hlc = bench.power_alive = bench.safety_alive = True
        bench.command = replace(
            bench.command, mode=Mode.OFF, session_id='', shutdown=Shutdown.NORMAL,
            lock_connector=False, maximum_discharge_current=None, pilot_oscillator=True)
        bench.run(5.0)
        bench.safety.clear_faults()
        bench.power.clear_faults()
        bench.run(1.0)
        assert not bench.codes
        bench.plug_in()
        assert bench.cable_check('99')
        assert bench.pre_charge()
        assert bench.charge()


def run_machine(machine, examples, steps):
    run_state_machine_as_test(machine, settings=settings(
        max_examples=examples, stateful_step_count=steps, deadline=None, derandomize=True,
        # Shrinking a session of thousands of beats takes minutes and helps little.
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck)))


def test_no_sequence_of_events_energises_unduly():
    SEEN.clear()
    run_machine(Station, examples=145, steps=80)
    # The search has to have met a station that works, or it has shown nothing.
    assert SEEN['steps'] >= 10_000
    assert SEEN['energised'] > 10_000
    assert SEEN['closed'] > 10_000


def test_the_station_recovers_from_everything():
    run_machine(RecoveringStation, examples=15, steps=60)


def test_the_invariants_can_fail(monkeypatch):
    """A supervisor without one of its interlocks is caught."""
    row = safety.INTERLOCKS[128]
    monkeypatch.setitem(safety.INTERLOCKS, 128, replace(row, holds=lambda view: True))
    bench = Bench().reach('charge')
    monkeypatch.setattr(bench.safety.faults, 'set', lambda *args, **kwargs: None)
    bench.plant.pressed = True
    with pytest.raises(AssertionError, match='closed without emergency stop'):
        bench.run(0.2)
