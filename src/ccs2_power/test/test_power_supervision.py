"""What supervision finds: wrong, frozen and missing values, reverse current, a lost lock."""

from collections import deque
from dataclasses import replace

import pytest
from power_bench import BEAT, Bench

from ccs2_power.cable_check import CableCheck, CableCheckRun, CheckSettings, CheckView, Phase
from ccs2_power.command import Mode, Shutdown
from ccs2_power.faults import Code, FaultBook, Severity
from ccs2_power.hal import (
    Alarm,
    IsolationReading,
    Measurement,
    MeterReading,
    SelfTest,
    SupplyCommand,
    SupplyReading,
)
from ccs2_power.isolation import IsolationState
from ccs2_power.limits import NO_LIMITS
from ccs2_power.output_watch import (
    METER_OVER_CURRENT_TIME,
    UNCOUNTED,
    OutputView,
    OutputWatch,
)


def tampered(bench, **changes):
    """Let functions of the bench change what the power stage's devices say."""
    inputs = bench.power_inputs

    def changed():
        said = inputs()
        return replace(said, **{device: change(getattr(said, device))
                                for device, change in changes.items()})

    bench.power_inputs = changed


def severity(bench, code, source):
    return next((fault.severity for fault in (*bench.safety.faults, *bench.power.faults)
                 if (fault.code, fault.source) == (code, source)), None)


# The lock


def test_a_lock_that_opens_under_power_ramps_down_before_the_contactors_open():
    bench = Bench().reach('charge')
    inputs = bench.safety_inputs

    def unlocked():
        said = inputs()
        return replace(said, lock=replace(said.lock, locked=Measurement(False, 'lock', bench.now)))

    bench.safety_inputs = unlocked
    bench.run(0.5)
    bench.safety_inputs = inputs  # it closes again: too late
    bench.run(2.0)
    assert bench.de_energised
    assert severity(bench, Code.CONNECTOR_LOCK, 'under power') is Severity.ERROR
    assert bench.safety.contactors.cycles_under_load == 0


def test_a_lock_that_bounces_changes_nothing():
    bench = Bench().reach('charge')
    inputs = bench.safety_inputs
    bench.safety_inputs = lambda: replace(inputs(), lock=replace(
        inputs().lock, locked=Measurement(False, 'lock', bench.now)))
    bench.run(0.06)
    bench.safety_inputs = inputs
    bench.run(2.0)
    assert not bench.codes
    assert bench.plant.current == pytest.approx(100.0)


def test_a_voltmeter_that_has_contradicted_the_supply_does_not_unlock():
    bench = Bench().reach('charge')
    inputs = bench.safety_inputs
    bench.safety_inputs = lambda: replace(inputs(), voltmeter=replace(
        inputs().voltmeter, voltage=Measurement(0.0, 'dead voltmeter', bench.now)))
    bench.run(2.0)
    assert Code.VOLTAGE_IMPLAUSIBLE in bench.codes
    bench.send(mode=Mode.OFF, session_id='', lock_connector=False)
    bench.run(3.0)
    assert bench.de_energised
    assert bench.plant.connector > 300.0  # the vehicle's contactors are closed
    assert bench.plant.lock
    bench.plant.vehicle_closed, bench.plant.vehicle = False, 'B'
    bench.run(1.0)
    assert not bench.plant.lock


# The plug


@pytest.mark.parametrize('seconds', [0.06, 0.1, 0.3, 1.0])
def test_a_pilot_that_comes_back_does_not_go_on_with_the_charge(seconds):
    bench = Bench().reach('charge')
    bench.plant.vehicle = 'A'
    bench.run(seconds)
    bench.plant.vehicle = 'C'
    bench.run(3.0)  # hlc has not noticed: it goes on asking for energy
    assert bench.de_energised
    assert Code.PILOT_UNPLUGGED in bench.codes
    bench.send(mode=Mode.OFF, session_id='')
    bench.unplug()
    assert not bench.codes


def test_a_cause_that_outlasts_the_unplugging_does_not_hold_the_next_vehicle():
    bench = Bench().reach('charge')
    bench.plant.alarms = (Alarm(Severity.ERROR, 'module_1', 'over-temperature'),)
    bench.run(2.0)
    bench.send(mode=Mode.OFF, session_id='', lock_connector=False)
    bench.unplug()
    assert Code.SUPPLY_FAULT in bench.codes
    bench.plug_in()
    bench.plant.alarms = ()
    bench.run(0.1)
    assert not bench.codes
    assert bench.cable_check('02')
    assert bench.pre_charge()
    assert bench.charge()


def test_an_unplugging_counts_whatever_holds_the_supervisor():
    bench = Bench().reach('charge')
    bench.silence('supply')
    bench.run(0.6)
    bench.mute.clear()
    bench.plant.pressed = True
    bench.run(0.3)
    bench.plant.pressed = False
    assert {Code.SUPPLY_SILENT, Code.EMERGENCY_STOP} <= bench.codes
    bench.send(mode=Mode.OFF, session_id='', lock_connector=False)
    bench.unplug()
    assert bench.codes == {Code.EMERGENCY_STOP}
    bench.plug_in()
    bench.safety.clear_faults()
    assert bench.cable_check('02')
    assert bench.pre_charge()
    assert bench.charge()


# The supply behind open contactors


@pytest.mark.parametrize('shutdown', [Shutdown.NORMAL, Shutdown.ERROR])
def test_the_supply_is_not_ramped_down_behind_open_contactors(shutdown):
    bench = Bench().reach('charge')
    bench.send(mode=Mode.OFF, shutdown=shutdown)
    bench.plant.contacts.update({'DC+': False, 'DC-': False})  # they drop out by themselves
    bench.step()
    bench.step()
    assert not bench.plant.supply.on


# Currents in both directions, and a second opinion on them


@pytest.mark.parametrize(('amperes', 'told', 'over'), [
    (-2.0, 0.0, False), (-2.5, 0.0, True), (12.0, 0.0, False), (13.0, 0.0, True),
    (-50.0, -50.0, False), (-55.0, -50.0, True), (13.0, -50.0, True), (-3.0, 50.0, True),
    (53.0, 50.0, False)])
def test_each_direction_has_its_own_limit(amperes, told, over):
    book, now = FaultBook(), 5.0
    watch = OutputWatch(book, Bench().power_settings)
    for _ in range(20):
        now += BEAT

        def m(value, now=now):
            return Measurement(value, 'test', now)

        watch.step(OutputView(
            supply=SupplyReading(m(400.0), m(amperes), None, None), voltage=400.0, current=amperes,
            commanded=SupplyCommand(told != 0.0, 420.0, told), voltage_limit=450.0,
            charge_limit=10.0, discharge_limit=0.0, rated_voltage=450.0, contactors_closed=True,
            connector_voltage=m(400.0), monitor_voltage=None, meter=None), now)
    assert (Code.OVER_CURRENT in book) is over


def test_current_out_of_a_vehicle_that_allowed_none_stops_the_charge():
    bench = Bench().reach('charge')
    bench.send(target_current=0.0)
    bench.run(3.0)
    assert not bench.codes
    tampered(bench, supply=lambda said: replace(
        said, current=Measurement(-20.0, 'supply', bench.now)))
    assert bench.run(0.5, lambda: bench.de_energised)


def test_discharge_is_no_over_current():
    bench = Bench().reach('charge')
    bench.send(target_current=-45.0, maximum_current=1.0, maximum_discharge_current=50.0,
               maximum_discharge_power=20e3)
    assert bench.run(3.0, lambda: bench.plant.current == pytest.approx(-45.0))
    bench.run(3.0)
    assert not bench.codes


def test_a_meter_that_sees_more_than_the_supply_tells_stops_the_charge():
    bench = Bench().reach('charge')
    tampered(bench, meter=lambda said: replace(
        said, current=Measurement(200.0, 'meter', bench.now)))
    assert bench.run(METER_OVER_CURRENT_TIME + 0.2, lambda: bench.de_energised)
    assert severity(bench, Code.OVER_CURRENT, 'meter') is Severity.EMERGENCY


def test_a_meter_that_was_read_before_the_limit_fell_is_no_second_opinion():
    bench = Bench().reach('charge')
    before = bench.power_inputs().meter
    tampered(bench, meter=lambda _: before)
    bench.send(target_current=0.0, maximum_current=0.0)
    bench.run(4.0)
    assert Code.OVER_CURRENT not in bench.codes


# What the modules read back


@pytest.mark.parametrize('wrong', [
    {'set_voltage': 500.0}, {'set_voltage': 300.0}, {'set_current': 200.0}, {'set_current': 20.0}])
def test_a_set_point_that_is_read_back_differently_opens_the_contactors(wrong):
    bench = Bench().reach('charge')
    told = bench.plant.supply

    def read_back(**changes):
        values = {'set_voltage': told.voltage, 'set_current': told.current} | changes
        return lambda said: replace(said, **{
            name: Measurement(value, 'supply', bench.now) for name, value in values.items()})

    bench.run(1.0)
    right = bench.power_inputs
    tampered(bench, supply=read_back())
    bench.run(2.0)
    assert not bench.codes
    bench.power_inputs = right
    tampered(bench, supply=read_back(**wrong))
    assert bench.run(0.3, lambda: bench.de_energised)
    assert Code.SUPPLY_DISOBEYS in bench.codes


def test_another_controller_on_the_bus_opens_the_contactors():
    bench = Bench().reach('charge')
    bench.plant.alarms = (Alarm(Severity.EMERGENCY, 'bus', 'another controller commands'),)
    bench.run(0.1)
    assert bench.de_energised
    bench.plant.alarms = ()
    bench.run(3.0)
    assert bench.de_energised  # held until the vehicle has gone


# Modules that are not heard


def without_a_module(bench):
    tampered(bench, supply=lambda said: replace(
        said, current=Measurement(0.75 * said.current.value, 'supply', bench.now),
        missing=('module_4',)))


def test_what_a_lost_module_does_is_told_by_the_meter():
    bench = Bench().reach('charge')
    without_a_module(bench)
    bench.run(3.0)
    assert not bench.codes
    assert bench.power.current == pytest.approx(bench.plant.current)
    bench.send(target_current=50.0)
    bench.run(3.0)
    assert not bench.codes
    # It goes on delivering although it was told to be off: the others share all of the current.
    tampered(bench, meter=lambda said: replace(
        said, current=Measurement(said.current.value + 25.0, 'meter', bench.now)))
    assert bench.run(1.5, lambda: bench.de_energised)


def test_without_a_meter_a_lost_module_ends_the_charge():
    bench = Bench().reach('charge')
    without_a_module(bench)
    tampered(bench, meter=lambda said: MeterReading(said.energy_imported))
    assert bench.run(0.3, lambda: bench.de_energised)
    assert Code.SUPPLY_SILENT in bench.codes


# Values that do not move


def freeze(bench):
    said = bench.power_inputs().supply
    tampered(bench, supply=lambda _: replace(said, **{
        name: replace(getattr(said, name), stamp=bench.now)
        for name in ('voltage', 'current', 'on', 'temperature')}))


@pytest.mark.parametrize('target', [20.0, 140.0])
def test_frozen_values_with_fresh_stamps_are_found_when_the_set_point_moves(target):
    bench = Bench().reach('charge')
    tampered(bench, meter=lambda said: MeterReading(said.energy_imported))
    freeze(bench)
    bench.run(3.0)
    assert not bench.codes  # nothing has moved: nothing can be told
    bench.send(target_current=target, maximum_current=200.0)
    assert bench.run(5.0, lambda: bench.de_energised)
    assert {Code.SUPPLY_SILENT, Code.SUPPLY_DISOBEYS} & bench.codes


def test_frozen_discharge_is_found_too():
    bench = Bench().reach('charge')
    bench.send(target_voltage=300.0, target_current=-10.0, maximum_discharge_current=50.0,
               maximum_discharge_power=20e3)
    bench.run(3.0)
    tampered(bench, meter=lambda said: MeterReading(said.energy_imported, said.energy_imported))
    freeze(bench)
    bench.send(target_current=-45.0)
    assert bench.run(5.0, lambda: bench.de_energised)
    assert severity(bench, Code.SUPPLY_SILENT, 'frozen') is Severity.EMERGENCY


def test_a_current_that_the_voltage_holds_back_is_not_frozen():
    bench = Bench().reach('charge')
    bench.send(target_voltage=384.0, target_current=30.0)
    bench.run(3.0)
    bench.send(target_current=120.0)
    bench.run(5.0)
    assert bench.plant.current == pytest.approx(40.0, abs=0.1)  # 4 V across 0.1 ohm
    assert not bench.codes


def test_a_meter_that_does_not_count_is_found():
    bench = Bench().reach('charge')
    stuck = bench.plant.energy
    tampered(bench, meter=lambda said: replace(
        said, energy_imported=Measurement(stuck, 'meter', bench.now)))
    power = bench.plant.voltage * bench.plant.current
    bench.run(0.9 * UNCOUNTED / power)
    assert not bench.codes
    bench.run(0.2 * UNCOUNTED / power)
    assert severity(bench, Code.METER, 'count') is Severity.ERROR


# Values that are missing


def test_a_temperature_that_is_not_told_any_longer_is_not_taken_for_cold():
    bench = Bench().reach('charge')
    old = bench.now
    tampered(bench, supply=lambda said: replace(
        said, temperature=Measurement(40.0, 'supply', old)))
    bench.run(2.5)
    assert not bench.codes
    bench.run(3.0)
    assert severity(bench, Code.TEMPERATURE, 'module sensors') is Severity.ERROR
    assert bench.de_energised


def test_a_supply_that_never_tells_a_temperature_charges():
    bench = Bench()
    tampered(bench, supply=lambda said: replace(said, temperature=None))
    bench.reach('charge')
    assert bench.plant.current == pytest.approx(100.0, abs=2.0)
    assert not bench.codes


@pytest.mark.parametrize('change', [
    {'maximum_current': float('nan')}, {'maximum_power': float('inf')},
    {'maximum_current': -100.0}, {'minimum_voltage': float('nan')}])
def test_limits_that_make_no_sense_are_none(change):
    bench = Bench().reach('charge')
    bench.plant.limits = replace(bench.plant.limits, **change)
    bench.run(0.1)
    assert bench.de_energised
    assert Code.SUPPLY_SILENT in bench.codes
    assert bench.power.limits == NO_LIMITS


@pytest.mark.parametrize(('device', 'expected'), [
    ('meter', Severity.ERROR), ('isolation', Severity.ERROR), ('thermometer', Severity.ERROR),
    ('supply', Severity.EMERGENCY), ('voltmeter', Severity.EMERGENCY)])
def test_a_device_that_only_watches_ends_the_charge_in_order(device, expected):
    bench = Bench().reach('charge')
    inputs = bench.power_inputs
    bench.power_inputs = lambda: replace(inputs(), problems={device: 'line lost'})
    bench.run(2.0)
    assert severity(bench, Code.DRIVER, device) is expected
    assert bench.de_energised
    assert bench.safety.contactors.cycles_under_load == (expected is Severity.EMERGENCY)


@pytest.mark.parametrize(('supply', 'connector', 'verdict'), [
    (0.0, 0.0, CableCheck.VALID), (70.0, 0.0, CableCheck.FAILED), (20.0, 65.0, CableCheck.FAILED),
    (0.0, -65.0, CableCheck.FAILED), (0.0, None, CableCheck.FAILED)])
def test_the_cable_check_waits_until_supply_and_connector_are_discharged(
        supply, connector, verdict):
    run = CableCheckRun(400.0, CheckSettings(25.0, 10.0, 1, 2.5), lambda _: IsolationState.VALID,
                        0.0)
    run.phase = Phase.DISCHARGE
    nothing = IsolationReading(None, None, SelfTest.PASSED, '')
    for second in range(12):
        run.step(CheckView(True, supply, connector, 0.0, nothing), float(second))
    assert run.verdict is verdict


@pytest.mark.parametrize(('seconds', 'charges'), [(0.5, True), (2.0, True), (4.0, False)])
def test_a_monitor_may_be_without_a_verdict_for_a_moment(seconds, charges):
    bench = Bench().reach('charge')
    end = bench.now + seconds
    tampered(bench, isolation=lambda said: said if bench.now > end else replace(
        said, resistance=None))
    bench.run(seconds + 1.0)
    assert bench.de_energised is not charges
    assert (Code.ISOLATION_MONITOR in bench.codes) is not charges


def test_a_bad_resistance_after_a_moment_without_a_verdict_ends_the_charge():
    bench = Bench().reach('charge')
    bench.plant.isolation = 50e3
    end = bench.now + 0.5
    tampered(bench, isolation=lambda said: said if bench.now > end else replace(
        said, resistance=None))
    bench.run(1.5)
    assert bench.de_energised
    assert Code.ISOLATION in bench.codes


def test_the_discharge_is_part_of_the_time_of_a_cable_check():
    run = CableCheckRun(500.0, CheckSettings(25.0, 10.0, 1, 3.0), lambda _: IsolationState.VALID,
                        0.0)
    now = 0.0
    while run.phase is not Phase.DONE:
        now += BEAT
        run.step(CheckView(True, 500.0, 500.0, 0.0, IsolationReading(
            Measurement(1e6, 'monitor', now), None,
            SelfTest.PASSED if now > 20.0 else SelfTest.RUNNING, '')), now)
    assert run.verdict is CableCheck.FAILED
    assert run.failure.code is Code.RESIDUAL_VOLTAGE
    assert now == pytest.approx(25.0, abs=2 * BEAT)


def test_the_self_test_of_an_earlier_session_passes_no_cable_check():
    bench = Bench()
    tampered(bench, isolation=lambda said: replace(said, self_test=SelfTest.PASSED))
    bench.plug_in()
    bench.cable_check()
    assert bench.power._run.phase is Phase.SELF_TEST
    bench.run(10.0, lambda: bench.power.cable_check is CableCheck.FAILED)
    assert Code.ISOLATION_SELF_TEST in bench.codes


# Voltages that are told late


def voltage_told_late(bench, device, lag, error=0.0, stamp_lag=None):
    """Let the isolation monitor or the meter tell what the output was some seconds before."""
    was = deque([(bench.now - 10.0, 0.0)])

    def late(said):
        was.append((bench.now, bench.plant.voltage))
        value = next(voltage for moment, voltage in reversed(was) if moment <= bench.now - lag)
        return replace(said, voltage=Measurement(
            value + error, device, bench.now - (lag if stamp_lag is None else stamp_lag)))

    tampered(bench, **{device: late})


@pytest.mark.parametrize('device', ['isolation', 'meter'])
@pytest.mark.parametrize(('lag', 'stamp_lag'), [(0.3, 0.3), (1.25, 1.25), (2.0, 2.0), (1.0, 0.0)])
def test_a_monitor_or_meter_that_is_slower_than_the_ramp_agrees(device, lag, stamp_lag):
    bench = Bench()
    voltage_told_late(bench, device, lag, stamp_lag=stamp_lag)
    bench.plug_in()
    bench.cable_check()
    assert bench.power.cable_check is CableCheck.VALID, bench.codes
    assert bench.pre_charge()
    assert bench.charge()
    bench.run(3.0)
    assert not bench.codes


@pytest.mark.parametrize('device', ['isolation', 'meter'])
@pytest.mark.parametrize('error', [-60.0, 60.0])
def test_a_late_voltage_that_is_wrong_is_found(device, error):
    bench = Bench()
    voltage_told_late(bench, device, 1.0, error)
    bench.plug_in()
    bench.cable_check()
    bench.pre_charge()
    assert bench.run(4.0, lambda: Code.VOLTAGE_IMPLAUSIBLE in bench.codes)
    assert bench.run(0.2, lambda: bench.de_energised)


def test_a_connector_of_the_wrong_polarity_is_an_over_voltage():
    bench = Bench()
    bench.plug_in()
    bench.plant.vehicle_closed, bench.plant.battery = True, -1200.0
    bench.run(2 * BEAT)
    assert Code.OVER_VOLTAGE in bench.codes
