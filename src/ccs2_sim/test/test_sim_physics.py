"""The physical world obeys physics."""

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ccs2_sim.physics import (
    STEP,
    Battery,
    BatteryRating,
    IsolationMonitor,
    PilotCircuit,
    Supply,
    SupplyRating,
    VehicleLoad,
    World,
    WorldRating,
    solve_node,
)
from ccs2_sim.physics.isolation import SelfTestState
from ccs2_sim.physics.node import current_to_reach
from ccs2_sim.physics.rating import constants, with_constants

voltages = st.floats(-1000, 1000)
capacitances = st.floats(1e-9, 1e-2)
conductances = st.one_of(st.just(0.0), st.floats(1e-8, 100))
currents = st.floats(-500, 500)


def run(world: World, duration: float) -> None:
    for _ in range(round(duration / STEP)):
        world.step()


def connected(**battery: float) -> World:
    """Return a world with everything closed and the supply's output at the battery's voltage."""
    world = World(WorldRating(battery=BatteryRating(**battery)))
    world.plug_in()
    world.coils_wanted = True
    run(world, 0.05)
    world.supply.command(True, world.battery.voltage, 2)
    run(world, 2)
    world.vehicle_contactor.coil = True
    run(world, 0.05)
    assert world.station_closed
    assert world.vehicle_closed
    return world


# One node


@given(voltages, capacitances, conductances, currents)
def test_node_matches_small_steps(voltage, capacitance, conductance, current):
    whole = solve_node(voltage, capacitance, conductance, current, STEP)
    half = solve_node(voltage, capacitance, conductance, current, STEP / 2)
    end = solve_node(half.voltage, capacitance, conductance, current, STEP / 2)
    scale = abs(voltage) + abs(whole.voltage) + abs(half.voltage) + 1
    assert whole.voltage == pytest.approx(end.voltage, rel=1e-6, abs=1e-6 * scale)
    assert whole.charge == pytest.approx(half.charge + end.charge, rel=1e-5, abs=1e-6 * scale)
    assert whole.square == pytest.approx(half.square + end.square, rel=1e-4, abs=1e-6 * scale ** 2)


@given(voltages, capacitances, conductances, currents)
def test_node_keeps_charge(voltage, capacitance, conductance, current):
    done = solve_node(voltage, capacitance, conductance, current, STEP)
    # C du = i dt - G ∫u dt
    left = capacitance * (done.voltage - voltage)
    right = current * STEP - conductance * done.charge
    size = abs(current) * STEP + abs(conductance * done.charge) + capacitance * abs(voltage)
    assert left == pytest.approx(right, abs=1e-6 * size + 1e-15)


@given(st.floats(0, 1000), st.floats(0, 1000), st.floats(1e-7, 1e-2), st.floats(1e-6, 20),
       st.floats(0, 5000))
def test_current_to_reach_reaches(target, voltage, capacitance, conductance, bias):
    source = current_to_reach(target, voltage, capacitance, conductance, bias, STEP)
    done = solve_node(voltage, capacitance, conductance, source + bias, STEP)
    assert done.voltage == pytest.approx(target, abs=1e-6 * (abs(source) + bias + 1000))


def test_capacitor_follows_the_textbook():
    """A capacitance behind a resistance reaches 63.2 % after one time constant."""
    done = solve_node(0.0, 100e-6, 1 / 100, 400 / 100, 100e-6 * 100)
    assert done.voltage == pytest.approx(400 * (1 - math.exp(-1)))


# The whole circuit


def balance(world: World, capacitors_before: float) -> tuple[float, float]:
    energies = world.energies
    kept = world.battery.stored + world.capacitor_energy() - capacitors_before
    return energies.supplied, kept + energies.bled + energies.battery_heat + energies.sparks


events = st.lists(st.tuples(
    st.sampled_from(['coils', 'vehicle', 'supply', 'off', 'plug', 'tear', 'stop']),
    st.floats(0, 1000), st.floats(-50, 250), st.integers(1, 60)), max_size=25)


@settings(max_examples=60, deadline=None)
@given(events)
def test_energy_is_neither_made_nor_lost(script):
    rating = SupplyRating(maximum_discharge_current=50, maximum_discharge_power=20e3)
    world = World(WorldRating(supply=rating))
    before = world.capacitor_energy()
    taken = 0.0
    for kind, voltage, current, steps in script:
        match kind:
            case 'coils':
                world.coils_wanted = not world.coils_wanted
            case 'vehicle':
                world.vehicle_contactor.coil = not world.vehicle_contactor.coil
            case 'supply':
                world.supply.command(True, voltage, current)
            case 'off':
                world.supply.command(False, 0, 0)
            case 'plug':
                taken += world.battery.stored
                world.plug_in(voltage / 1000)
            case 'tear':
                world.pull(tear=True)
            case 'stop':
                world.emergency_stop = not world.emergency_stop
        for _ in range(steps):
            world.step()
            supply = world.supply
            lowest, highest = supply.window()
            assert -50.001 <= lowest <= 0 <= highest <= 250.001
            if not (world.station_closed and world.vehicle_closed):
                assert world.battery_current == 0 or not world.station_closed
            if not world.station_closed:
                assert world.cable_current == 0
            if supply.set_current >= 0 and not world.station_closed:
                assert supply.voltage <= 1000.001
    supplied, found = balance(world, before)
    found += taken
    assert supplied == pytest.approx(found, abs=1e-6 * (abs(supplied) + abs(found)) + 1e-6)


def test_supply_respects_current_and_power_limits_and_ramps():
    world = connected(cells=192, capacity=1e9)
    world.supply.command(True, 1000, 1e6)
    currents = []
    for _ in range(2000):
        world.step()
        currents.append(world.supply.current)
        assert world.supply.current * world.supply.voltage <= 100e3 * 1.01
    steepest = max(b - a for a, b in itertools.pairwise(currents))
    # 500 A/s over one step of 1 ms, and nothing faster.
    assert steepest <= 0.5 + 0.05
    assert world.supply.current == pytest.approx(100e3 / world.supply.voltage, rel=0.01)


def test_constant_voltage_ends_with_little_current():
    world = connected(state_of_charge=0.5)
    target = world.battery.voltage + 0.8
    world.supply.command(True, target, 250)
    run(world, 2)
    assert world.supply.voltage == pytest.approx(target)
    assert world.battery_current == pytest.approx(0.8 / 0.08, rel=0.02)


def test_discharge_flows_out_of_the_battery_and_into_the_meter():
    rating = SupplyRating(maximum_discharge_current=40, maximum_discharge_power=20e3)
    world = World(WorldRating(supply=rating))
    world.plug_in(0.6)
    world.coils_wanted = True
    run(world, 0.05)
    world.supply.command(True, world.battery.voltage, 2)
    run(world, 2)
    world.vehicle_contactor.coil = True
    run(world, 0.05)
    before = world.battery.state_of_charge
    world.supply.command(True, 300, -30)
    run(world, 3)
    assert world.battery_current == pytest.approx(-30, abs=0.1)
    assert world.battery.state_of_charge < before
    assert world.exported > 0
    world.supply.command(True, 300, -1000)
    run(world, 1)
    assert world.battery_current == pytest.approx(-40, abs=0.1)


def test_unidirectional_supply_never_draws():
    world = connected()
    world.supply.command(True, 100, -30)
    run(world, 1)
    # Only the bleeder draws.
    assert world.battery_current > -0.1


def test_output_falls_below_60_volt_within_a_second_after_opening():
    world = connected()
    world.supply.command(False, 0, 0)
    world.vehicle_contactor.coil = False
    run(world, 0.05)
    world.coils_wanted = False
    run(world, 1.0)
    assert world.cable_voltage < 60
    assert world.supply.voltage < 60


def test_contactor_opening_under_load_is_counted_and_stops_the_current():
    world = connected()
    world.supply.command(True, 500, 100)
    run(world, 1)
    assert world.cable_current == pytest.approx(100, rel=0.01)
    world.coils_wanted = False
    world.step()
    assert world.cable_current > 90  # the contacts need their time
    run(world, 0.02)
    assert world.cable_current == 0
    assert world.battery_current < 0.1
    assert world.opened_under_load == 1


def test_one_welded_pole_does_not_conduct():
    world = connected()
    world.contactors['DC+'].welded = True
    world.coils_wanted = False
    run(world, 0.05)
    assert world.contactors['DC+'].feedback
    assert not world.contactors['DC-'].feedback
    assert not world.station_closed
    assert world.cable_current == 0


def test_blocked_contactor_stays_open_and_stuck_feedback_lies():
    world = World()
    world.contactors['DC-'].blocked = True
    world.contactors['DC+'].mirror_stuck = False
    world.coils_wanted = True
    run(world, 0.1)
    assert world.contactors['DC+'].closed
    assert not world.contactors['DC+'].feedback
    assert not world.contactors['DC-'].closed


def test_emergency_stop_breaks_the_coil_supply():
    world = connected()
    world.emergency_stop = True
    run(world, 0.05)
    assert world.coils_wanted
    assert not world.station_closed


def test_closing_onto_a_difference_makes_a_spark():
    world = World()
    world.supply.command(True, 400, 10)
    run(world, 1)
    assert world.cable_voltage == 0
    world.coils_wanted = True
    run(world, 0.05)
    # Nearly all of the small cable's share: ½ C1 C2 / (C1 + C2) U²
    series = 1 / (1 / 100e-6 + 1 / 1e-6)
    assert world.energies.sparks == pytest.approx(series * 400 ** 2 / 2, rel=0.01)


def test_inrush_at_the_vehicle_contactor_follows_ohm():
    world = World()
    world.plug_in()
    world.coils_wanted = True
    run(world, 0.05)
    world.supply.command(True, world.battery.voltage - 20, 2)
    run(world, 2)
    world.vehicle_contactor.coil = True
    run(world, 0.05)
    assert world.highest_inrush == pytest.approx(20 / 0.08, rel=0.01)


def test_time_factor_moves_the_charge_and_nothing_else():
    slow, fast = connected(), connected(time_factor=60)
    for world in (slow, fast):
        world.battery.state_of_charge = 0.3
        world.supply.command(True, 500, 100)
        run(world, 2)
    gained_slow = slow.battery.state_of_charge - 0.3
    gained_fast = fast.battery.state_of_charge - 0.3
    assert gained_fast == pytest.approx(60 * gained_slow, rel=0.05)
    assert fast.imported == pytest.approx(slow.imported, rel=0.05)


def test_meter_counts_what_the_supply_gave():
    world = connected()
    start = world.imported
    world.supply.command(True, 500, 50)
    run(world, 0.5)
    supplied = world.energies.supplied
    metered = world.imported
    run(world, 2)
    assert world.imported - metered == pytest.approx(world.energies.supplied - supplied, rel=0.01)
    assert start < metered


# Parts


@given(st.floats(0, 1), st.floats(0, 1))
def test_open_circuit_voltage_rises_with_charge(a, b):
    rating = BatteryRating()
    low, high = sorted((a, b))
    assert rating.open_circuit_voltage(low) <= rating.open_circuit_voltage(high)


def test_battery_takes_its_capacity_from_empty_to_full():
    battery = Battery(BatteryRating(state_of_charge=0))
    while battery.state_of_charge < 1:
        battery.flow(100, battery.voltage)
    assert battery.stored == pytest.approx(battery.rating.capacity, rel=1e-3)


@pytest.mark.parametrize(('load', 'high'), [
    (VehicleLoad.B, 9), (VehicleLoad.C, 6), (VehicleLoad.D, 3)])
def test_pilot_levels(load, high):
    pilot = PilotCircuit(duty=0.05)
    assert (pilot.levels().high, pilot.levels().low) == (12, -12)
    pilot.plugged, pilot.load = True, load
    levels = pilot.levels()
    assert levels.high == pytest.approx(high, abs=0.1)
    assert levels.low == -12
    assert pilot.vehicle_duty() == 0.05


def test_pilot_faults():
    pilot = PilotCircuit(duty=0.05, plugged=True)
    pilot.diode_bridged = True
    assert pilot.levels().low > -10
    pilot.shorted = True
    assert abs(pilot.levels().high) < 0.2
    assert abs(pilot.levels().low) < 0.2
    pilot = PilotCircuit(duty=0.0, plugged=True, broken=True)
    assert pilot.levels().high is None
    assert pilot.vehicle_duty() is None
    pilot.duty = 1.0
    assert pilot.levels().high == 12
    assert pilot.levels().low is None


def test_lock_holds_the_plug_until_it_is_open():
    world = World()
    world.plug_in()
    world.lock.wanted = True
    run(world, 0.5)
    world.pull()
    run(world, 0.1)
    assert world.pilot.plugged
    world.lock.wanted = False
    run(world, 0.5)
    assert not world.pilot.plugged


@pytest.mark.parametrize(('resistance', 'shown'), [(50e3, 50e3), (1e12, math.inf)])
def test_isolation_monitor_needs_time_then_tells_the_truth(resistance, shown):
    monitor = IsolationMonitor()
    monitor.command(True, False)
    for _ in range(400):
        monitor.step(resistance, STEP)
    assert monitor.resistance is None
    for _ in range(200):
        monitor.step(resistance, STEP)
    assert monitor.resistance == pytest.approx(shown, rel=0.01)
    monitor.command(False, False)
    assert monitor.resistance is None


def test_isolation_self_test():
    monitor = IsolationMonitor()
    monitor.command(True, False)
    monitor.command(True, True)
    assert monitor.self_test is SelfTestState.RUNNING
    assert monitor.resistance is None
    for _ in range(1100):
        monitor.step(1e6, STEP)
    assert monitor.self_test is SelfTestState.PASSED
    monitor.command(True, True)
    assert monitor.self_test is SelfTestState.PASSED  # once
    monitor.command(False, False)
    monitor.command(True, True)
    monitor.defective = True
    for _ in range(1100):
        monitor.step(1e6, STEP)
    assert monitor.self_test is SelfTestState.FAILED


def test_isolation_sees_what_the_contactors_connect():
    world = World()
    world.isolation['cable'] = 50e3
    assert world.resistance_to_earth() > 1e6
    world.coils_wanted = True
    run(world, 0.05)
    assert world.resistance_to_earth() == pytest.approx(50e3, rel=0.01)


@given(st.floats(0, 1200), st.floats(-300, 500))
def test_supply_clamps_its_set_points(voltage, current):
    supply = Supply()
    supply.command(True, voltage, current)
    assert 0 <= supply.set_voltage <= 1000
    assert 0 <= supply.set_current <= 250


def test_ratings_are_parameters():
    names = {constant.name: constant for constant in constants(WorldRating())}
    assert names['supply.maximum_voltage'].default == 1000
    assert all(constant.doc for constant in names.values())
    rating = with_constants(WorldRating(), {'battery.cells': 192.0})
    assert rating.battery.cells == 192
    with pytest.raises(ValueError, match=r'battery\.capacity'):
        with_constants(WorldRating(), {'battery.capacity': -1.0})
