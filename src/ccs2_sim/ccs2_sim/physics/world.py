"""Everything electrical of one connector: supply, contactors, cable, vehicle, pilot, lock.

The DC circuit has two nodes: the supply's terminals and the cable with the inlet. Closed station
contactors make them one; closed vehicle contactors put the battery behind its resistance on the
cable. Each is solved exactly over the step (:mod:`ccs2_sim.physics.node`), so that the energy
balance closes to rounding errors whatever the step.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ccs2_sim.physics.battery import Battery, BatteryRating
from ccs2_sim.physics.contactor import Contactor
from ccs2_sim.physics.isolation import IsolationMonitor
from ccs2_sim.physics.node import NodeStep, current_to_reach, solve_node
from ccs2_sim.physics.pilot import PilotCircuit, VehicleLoad
from ccs2_sim.physics.rating import rated
from ccs2_sim.physics.supply import AMBIENT_TEMPERATURE, Supply, SupplyRating

#: The fixed step in s.
STEP = 1e-3
POLES = ('DC+', 'DC-')
#: Current from which on an opening wears the contacts, in A.
LOAD_CURRENT = 5.0


@dataclass(frozen=True)
class CableRating:
    """Constants of cable, connector and inlet."""

    capacitance: float = rated(1e-6, 'between DC+ and DC-, F', 1e-9)
    bleed_resistance: float = rated(200e3, 'between DC+ and DC-, ohm', 1)
    station_isolation: float = rated(20e6, "of the station's side to earth, ohm", 1)
    cable_isolation: float = rated(20e6, 'of cable and inlet to earth, ohm', 1)
    vehicle_isolation: float = rated(5e6, "of the vehicle's battery side to earth, ohm", 1)
    contact_resistance: float = rated(0.2e-3, "of each of the connector's contacts, ohm", 0)


@dataclass(frozen=True)
class WorldRating:
    """Constants of everything."""

    supply: SupplyRating = field(default_factory=SupplyRating)
    cable: CableRating = field(default_factory=CableRating)
    battery: BatteryRating = field(default_factory=BatteryRating)


#: Temperature rise of a connector contact per W, in K/W, and its time constant, in s.
CONTACT_RISE = 2.0
CONTACT_TIME = 60.0


@dataclass
class Lock:
    """The connector lock: a motor that takes its time, or is stuck."""

    wanted: bool = False
    locked: bool = False
    stuck: bool = False
    _moving: float = 0.0

    TRAVEL_TIME = 0.3

    def step(self, duration: float) -> None:
        """Let `duration` s pass."""
        if self.wanted == self.locked or self.stuck:
            self._moving = 0.0
            return
        self._moving += duration
        if self._moving >= self.TRAVEL_TIME - 1e-9:
            self._moving = 0.0
            self.locked = self.wanted


@dataclass
class Energies:
    """Where the energy went since the start, in J; used to check the balance."""

    supplied: float = 0.0
    """Out of (negative: into) the supply's output stage."""
    bled: float = 0.0
    """In the resistances across DC+ and DC-."""
    battery_heat: float = 0.0
    """In the battery's internal resistance."""
    sparks: float = 0.0
    """Lost when contactors joined nodes of different voltage."""


class World:
    """The state of everything; :meth:`step` lets :data:`STEP` s pass."""

    def __init__(self, rating: WorldRating | None = None) -> None:
        self.rating = rating or WorldRating()
        cable = self.rating.cable
        #: Steps since the start.
        self.steps = 0
        self.supply = Supply(self.rating.supply)
        self.battery = Battery(self.rating.battery)
        self.pilot = PilotCircuit()
        self.lock = Lock()
        self.monitor = IsolationMonitor()
        self.contactors = {pole: Contactor() for pole in POLES}
        #: Both poles of the vehicle's contactor move as one.
        self.vehicle_contactor = Contactor()
        #: The supply of the station's coils; the emergency stop circuit breaks it.
        self.emergency_stop = False
        #: What the station's coils are told.
        self.coils_wanted = False
        #: Somebody pulls at the plug; a closed lock holds it.
        self.pulled = False
        #: Resistance to earth by section, ohm.
        self.isolation = {
            'station': cable.station_isolation, 'cable': cable.cable_isolation,
            'vehicle': cable.vehicle_isolation,
        }
        self.cable_voltage = 0.0
        #: Mean currents in the last step, A: through the station's contactors, into the battery.
        self.cable_current = 0.0
        self.battery_current = 0.0
        self.contact_temperature = dict.fromkeys(POLES, AMBIENT_TEMPERATURE)
        #: The meter's registers, J.
        self.imported = 0.0
        self.exported = 0.0
        self.energies = Energies()
        #: Openings and highest inrush so far.
        self.opened_under_load = 0
        self.highest_inrush = 0.0

    # What happens to the plug.

    def plug_in(self, state_of_charge: float | None = None) -> None:
        """Put the plug into a car's inlet; its battery is as full as told (None: as it was)."""
        charge = self.battery.state_of_charge if state_of_charge is None else state_of_charge
        self.battery = Battery(replace(self.battery.rating, state_of_charge=charge))
        self.pilot.plugged = True
        self.pilot.load = VehicleLoad.B
        self.pulled = False

    def pull(self, tear: bool = False) -> None:
        """Pull the plug: it comes out as soon as the lock is open, or at once if torn out."""
        self.pulled = True
        if tear:
            self._unplug()

    # What can be asked.

    @property
    def time(self) -> float:
        """Return the time since the start, s."""
        return self.steps * STEP

    @property
    def station_closed(self) -> bool:
        """Return whether the station's contactors connect supply and cable."""
        # A loop: this is asked several times in each step, and `all` is slow.
        for contactor in self.contactors.values():  # noqa: SIM110
            if not contactor.closed:
                return False
        return True

    @property
    def vehicle_closed(self) -> bool:
        """Return whether the battery is on the cable."""
        return self.vehicle_contactor.closed and self.pilot.plugged

    @property
    def terminal_voltage(self) -> float:
        """Return the battery's voltage at its contactors, V."""
        return self.cable_voltage if self.vehicle_closed else self.battery.voltage

    def resistance_to_earth(self) -> float:
        """Return what a perfect isolation monitor at the supply would see, ohm."""
        conductance = 1 / self.isolation['station']
        if self.station_closed:
            conductance += 1 / self.isolation['cable']
            if self.vehicle_closed:
                conductance += 1 / self.isolation['vehicle']
        return 1 / conductance

    def capacitor_energy(self) -> float:
        """Return the energy in both capacitances, J."""
        return (self.supply.rating.capacitance * self.supply.voltage ** 2
                + self.rating.cable.capacitance * self.cable_voltage ** 2) / 2

    # Time.

    def step(self) -> None:
        """Let one step pass."""
        self._move_mechanics()
        self.supply.ramp(STEP)
        if self.station_closed:
            self._step_joined()
        else:
            self._step_apart()
        self._count()
        self.steps += 1

    def _move_mechanics(self) -> None:
        self.lock.step(STEP)
        if self.pulled and self.pilot.plugged and not self.lock.locked:
            self._unplug()
        was_closed = self.station_closed
        for contactor in self.contactors.values():
            contactor.coil = self.coils_wanted and not self.emergency_stop
            contactor.step(STEP)
        if was_closed and not self.station_closed and abs(self.cable_current) > LOAD_CURRENT:
            self.opened_under_load += 1
        if not was_closed and self.station_closed:
            self._join()
        if self.vehicle_contactor.step(STEP) and self.vehicle_closed:
            gap = abs(self.battery.voltage - self.cable_voltage)
            self.highest_inrush = max(self.highest_inrush, gap / self.battery.rating.resistance)

    def _unplug(self) -> None:
        if self.station_closed and abs(self.cable_current) > LOAD_CURRENT:
            self.opened_under_load += 1
        self.pulled = False
        self.pilot.plugged = False

    def _join(self) -> None:
        """Share the charge of supply and cable; the difference of energy goes into a spark."""
        before = self.capacitor_energy()
        supply, cable = self.supply.rating.capacitance, self.rating.cable.capacitance
        common = (supply * self.supply.voltage + cable * self.cable_voltage) / (supply + cable)
        self.supply.voltage = self.cable_voltage = common
        self.energies.sparks += before - self.capacitor_energy()

    def _step_joined(self) -> None:
        supply, cable = self.supply, self.rating.cable
        capacitance = supply.rating.capacitance + cable.capacitance
        bleed = supply.conductance + 1 / cable.bleed_resistance
        before = supply.voltage
        source, done = self._regulate(capacitance, bleed, self.vehicle_closed)
        supply.voltage = self.cable_voltage = done.voltage
        stored = supply.rating.capacitance * (done.voltage - before)
        supply.current = source - (supply.conductance * done.charge + stored) / STEP
        self.cable_current = supply.current
        self._book(source, bleed, done)

    def _step_apart(self) -> None:
        supply, cable = self.supply, self.rating.cable
        source, done = self._regulate(supply.rating.capacitance, supply.conductance, False)
        supply.voltage = done.voltage
        supply.current = self.cable_current = 0.0
        self.energies.supplied += source * done.charge
        self.energies.bled += supply.conductance * done.square

        bleed = 1 / cable.bleed_resistance
        conductance, bias = self._battery_branch(bleed, self.vehicle_closed)
        done = solve_node(self.cable_voltage, cable.capacitance, conductance, bias, STEP)
        self.cable_voltage = done.voltage
        self._book(0.0, bleed, done)

    def _battery_branch(self, bleed: float, connected: bool) -> tuple[float, float]:
        """Return conductance and current of everything but the supply's output stage."""
        if not connected:
            return bleed, 0.0
        resistance = self.battery.rating.resistance
        return bleed + 1 / resistance, self.battery.voltage / resistance

    def _regulate(
        self, capacitance: float, bleed: float, connected: bool,
    ) -> tuple[float, NodeStep]:
        """Let the output stage act on its node; return its current and what the node did."""
        supply = self.supply
        conductance, bias = self._battery_branch(bleed, connected)
        lowest, highest = supply.window()
        wanted = current_to_reach(
            supply.target(), supply.voltage, capacitance, conductance, bias, STEP)
        source = min(max(wanted, lowest), highest)
        return source, solve_node(supply.voltage, capacitance, conductance, source + bias, STEP)

    def _book(self, source: float, bleed: float, done: NodeStep) -> None:
        """Count energies and the battery's charge on the node that has the cable."""
        energies = self.energies
        energies.supplied += source * done.charge
        energies.bled += bleed * done.square
        self.battery_current = 0.0
        if self.vehicle_closed:
            resistance, voltage = self.battery.rating.resistance, self.battery.voltage
            charge = (done.charge - voltage * STEP) / resistance
            self.battery_current = charge / STEP
            energies.battery_heat += (
                done.square - 2 * voltage * done.charge + voltage * voltage * STEP) / resistance
            self.battery.flow(charge, voltage)

    def _count(self) -> None:
        power = self.cable_voltage * self.cable_current
        if power > 0:
            self.imported += power * STEP
        else:
            self.exported -= power * STEP
        self.supply.warm(STEP)
        heat = self.cable_current ** 2 * self.rating.cable.contact_resistance * CONTACT_RISE
        for pole, temperature in self.contact_temperature.items():
            self.contact_temperature[pole] += (
                (AMBIENT_TEMPERATURE + heat - temperature) * STEP / CONTACT_TIME)
        self.monitor.step(self.resistance_to_earth(), STEP)

