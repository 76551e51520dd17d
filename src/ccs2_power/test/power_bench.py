"""A connector's physics, both cores and a fake hlc on one virtual clock, for the tests."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from ccs2_power.command import ENERGISING, ChargeCommand, Mode, Shutdown
from ccs2_power.faults import Code, Severity
from ccs2_power.hal import (
    ContactorCommand,
    ContactorReading,
    EmergencyStopReading,
    IsolationCommand,
    IsolationReading,
    LockReading,
    Measurement,
    MeterReading,
    PilotReading,
    SelfTest,
    SupplyCommand,
    SupplyLimits,
    SupplyReading,
    VoltmeterReading,
)
from ccs2_power.power import PowerController, PowerInputs, PowerState, SafetyReport
from ccs2_power.safety import (
    GRACE,
    INTERLOCKS,
    PowerReport,
    SafetyInputs,
    SafetyState,
    SafetySupervisor,
)
from ccs2_power.settings import PowerSettings, SafetySettings

BEAT = 0.02
LIMITS = SupplyLimits(50.0, 920.0, 0.0, 150.0, 60e3, 100.0, 40e3)
LEVEL = {'A': 12.0, 'B': 9.0, 'C': 6.0, 'D': 3.0, 'E': 0.0}


@dataclass
class Plant:
    """What the hardware is and does now."""

    vehicle: str = 'A'
    diode: bool = True
    duty: float = 0.0
    coils: ContactorCommand = field(default_factory=lambda: ContactorCommand(False))
    contacts: dict = field(default_factory=lambda: {'DC+': False, 'DC-': False})
    pending: dict = field(default_factory=dict)
    welded: set = field(default_factory=set)
    stuck_open: set = field(default_factory=set)
    pressed: bool = False
    lock: bool = False
    lock_wanted: bool = False
    supply: SupplyCommand = field(default_factory=lambda: SupplyCommand(False))
    limits: SupplyLimits | None = LIMITS
    voltage: float = 0.0
    current: float = 0.0
    connector: float = 0.0
    vehicle_closed: bool = False
    battery: float = 380.0
    resistance: float = 0.1
    shorted: bool = False
    isolation: float = 1e6
    self_test: SelfTest = SelfTest.NONE
    self_test_result: SelfTest = SelfTest.PASSED
    self_test_since: float = math.inf
    monitor: IsolationCommand = IsolationCommand.STOP
    sampled: float = -math.inf
    energy: float = 1e9
    temperature: float = 40.0
    alarms: tuple = ()
    disobedient: bool = False
    supply_voltage_error: float = 0.0
    slope: float = math.inf
    """A/s at which the supply's current follows."""

    def step(self, now: float) -> None:
        for name in self.contacts:
            wanted = self.coils.main
            if self.contacts[name] == wanted:
                self.pending.pop(name, None)
            elif self.pending.setdefault(name, now) + 0.025 <= now:
                blocked = self.welded if not wanted else self.stuck_open
                if name not in blocked:
                    self.contacts[name] = wanted
        self.lock = self.lock_wanted
        closed = all(self.contacts.values())
        battery = closed and self.vehicle_closed
        told = SupplyCommand(True, 900.0, 100.0) if self.disobedient else self.supply
        if battery:
            difference = (told.voltage - self.battery) / self.resistance if told.on else 0.0
            if told.current >= 0.0:
                wanted = max(0.0, min(told.current, difference)) if told.on else 0.0
            else:
                wanted = told.current
            follows = self.slope * BEAT
            self.current += max(-follows, min(follows, wanted - self.current))
            self.voltage = self.battery + self.current * self.resistance
        elif self.shorted and told.on and closed:
            self.current, self.voltage = told.current, told.current * 0.1
        else:
            wanted = told.voltage if told.on else 0.0
            step = 4000.0 * BEAT
            self.voltage += max(-step, min(step, wanted - self.voltage))
            self.current = 0.0
        if closed:
            self.connector = self.voltage
        elif self.vehicle_closed:
            self.connector = self.battery
        else:
            self.connector = max(0.0, self.connector - 200.0 * BEAT)
        self.energy += self.voltage * self.current * BEAT
        if self.monitor is IsolationCommand.STOP:
            self.self_test, self.self_test_since = SelfTest.NONE, math.inf
        elif self.monitor is IsolationCommand.SELF_TEST and self.self_test is SelfTest.NONE:
            self.self_test, self.self_test_since = SelfTest.RUNNING, now
        elif self.self_test is SelfTest.RUNNING and now - self.self_test_since > 0.5:
            self.self_test = self.self_test_result
        if self.monitor is not IsolationCommand.STOP and now - self.sampled >= 0.5:
            self.sampled = now


class Bench:
    """Plant, cores, fake hlc and the messages between them."""

    def __init__(self, safety_settings=None, power_settings=None):
        self.now = 1000.0
        self.plant = Plant()
        self.safety_settings = safety_settings or SafetySettings(rated_voltage=920.0)
        self.power_settings = power_settings or PowerSettings(
            rated_voltage=920.0, maximum_current=200.0, maximum_power=60e3,
            maximum_discharge_current=50.0, maximum_discharge_power=20e3)
        self.safety = SafetySupervisor(self.safety_settings)
        self.power = PowerController(self.power_settings)
        self.command = ChargeCommand(
            publisher=7, sequence=0, lease=0.5, mode=Mode.OFF, pilot_oscillator=True)
        self.hlc = self.safety_alive = self.power_alive = True
        #: Devices whose measurements have stopped.
        self.mute: dict[str, float] = {}
        self.problems: dict[str, str] = {}
        self._sent = -math.inf
        self._failing_since = None
        for _ in range(10):
            self.step()

    # What the hardware says.

    def _m(self, device, value):
        return Measurement(value, device, self.mute.get(device, self.now))

    def silence(self, device):
        self.mute[device] = self.now

    def safety_inputs(self):
        plant = self.plant
        high = low = None
        if plant.duty > 0.0:
            high = self._m('pilot', LEVEL[plant.vehicle])
        if plant.duty < 1.0:
            low = -12.0
            if not plant.diode and plant.duty > 0.0:
                low = -LEVEL[plant.vehicle]
            low = self._m('pilot', low)
        return SafetyInputs(
            pilot=PilotReading(high, low, self._m('pilot', plant.duty)),
            contactors=ContactorReading({
                name: self._m('contactors', closed) for name, closed in plant.contacts.items()}),
            emergency_stop=EmergencyStopReading(self._m('emergency_stop', plant.pressed)),
            voltmeter=VoltmeterReading(self._m('voltmeter', plant.connector)),
            lock=LockReading(self._m('lock', plant.lock)),
            problems=self.problems)

    def power_inputs(self):
        plant = self.plant
        measuring = plant.monitor is not IsolationCommand.STOP
        stamp = min(plant.sampled, self.mute.get('isolation', math.inf))
        return PowerInputs(
            supply=SupplyReading(
                voltage=self._m('supply', plant.voltage + plant.supply_voltage_error),
                current=self._m('supply', plant.current),
                on=self._m('supply', plant.supply.on or plant.disobedient),
                limits=plant.limits, temperature=self._m('supply', plant.temperature),
                alarms=plant.alarms),
            isolation=IsolationReading(
                Measurement(plant.isolation, 'isolation', stamp) if measuring else None,
                None, plant.self_test, 'bench'),
            voltmeter=VoltmeterReading(self._m('voltmeter', plant.connector)),
            meter=MeterReading(
                self._m('meter', plant.energy), voltage=self._m('meter', plant.voltage),
                current=self._m('meter', plant.current)),
            thermometer=None, problems={})

    # The beat.

    def send(self, **changes):
        """Let hlc decide something and tell it at once."""
        self.command = replace(self.command, **changes)
        self._deliver()

    def _deliver(self):
        self.command = replace(self.command, sequence=self.command.sequence + 1)
        self._sent = self.now
        self.safety.offer_command(self.command, self.now)
        self.power.offer_command(self.command, self.now)

    def step(self):
        self.now += BEAT
        if self.hlc and self.now - self._sent >= 0.1:
            self._deliver()
        self.plant.step(self.now)
        if self.power_alive:
            outputs = self.power.step(self.power_inputs(), self.now)
            self.plant.supply, self.plant.monitor = outputs.supply, outputs.isolation
            power = self.power
            self.safety.offer_power(PowerReport(
                self.now, power.session_id, power.cable_check, power.voltage, power.current,
                power.faults.worst))
        else:
            self.plant.supply, self.plant.monitor = SupplyCommand(False), IsolationCommand.STOP
        if self.safety_alive:
            outputs = self.safety.step(self.safety_inputs(), self.now)
            self.plant.coils, self.plant.duty = outputs.contactors, outputs.duty
            self.plant.lock_wanted = outputs.lock
            safety = self.safety
            self.power.offer_safety(SafetyReport(
                self.now, safety.state is SafetyState.CLOSED and safety.contactors.all_closed,
                safety.unplugged, safety.faults.worst))
        else:
            self.plant.coils, self.plant.duty = ContactorCommand(False), 0.0
        self.check()

    def run(self, seconds, until=None):
        """Go on for a time, or until something is true; False if it never was."""
        end = self.now + seconds
        while self.now < end:
            if until is not None and until():
                return True
            self.step()
        return until is None or until()

    # What must always be true.

    def check(self):
        """Raise AssertionError if the station does what it must never do."""
        assert not self.plant.coils.main or self.plant.duty > 0.0, 'closed in state F'
        self._check_contactors()
        self._check_set_points()

    def _check_contactors(self):
        safety = self.safety
        if not (self.safety_alive and safety.contactors.coils.main):
            self._failing_since = None
            return
        failing = {row.name for bit, row in INTERLOCKS.items() if not safety.interlocks & bit}
        # Independent of the table: the facts themselves.
        plant = self.plant
        facts = {
            'lease': self.now - self._sent < 0.5, 'pilot': safety.pilot.state.name in 'CD',
            'emergency stop': not plant.pressed or 'emergency_stop' in self.mute,
        }
        for name, holds in facts.items():
            assert holds, f'closed without {name}'
        assert not failing & {'lease', 'pilot', 'feedback', 'emergency stop'}, failing
        assert safety.faults.worst is not Severity.EMERGENCY
        if not failing:
            self._failing_since = None
        else:
            self._failing_since = self._failing_since or self.now
            late = self.now - self._failing_since
            grace = GRACE[Shutdown.NORMAL if failing <= {'mode'} else Shutdown.ERROR]
            assert late <= grace + BEAT, f'closed for {late} s although {failing}'

    def _check_set_points(self):
        power = self.power
        if not (self.power_alive and power.supply.on):
            return
        command, limits, supply = power.lease.current(self.now), power.limits, power.supply
        assert command is not None, 'supply on without a lease'
        assert math.isfinite(supply.voltage)
        assert math.isfinite(supply.current)
        assert self.safety_alive or self.now - power._safety.arrived <= 0.25
        assert 0.0 <= supply.voltage <= limits.maximum_voltage + 1e-9
        assert supply.current <= limits.maximum_current + 1e-9
        assert supply.current >= -limits.maximum_discharge_current - 1e-9
        if command.mode in (Mode.PRE_CHARGE, Mode.CHARGE) and power.state in (
                PowerState.PRE_CHARGE, PowerState.CHARGING):
            if command.maximum_voltage is not None:
                assert supply.voltage <= command.maximum_voltage + 1e-9
            if command.maximum_current is not None:
                assert supply.current <= command.maximum_current + 1e-9
            if supply.current < 0.0:
                assert -supply.current <= (command.maximum_discharge_current or 0.0) + 1e-9
            assert power.cable_check.name in ('VALID', 'WARNING')
            assert supply.voltage <= power._run.voltage + 1e-9
        if power.state in (PowerState.PRE_CHARGE, PowerState.CABLE_CHECK):
            assert abs(supply.current) <= 2.0
        assert command.mode in ENERGISING or power.state is PowerState.STOPPING

    # A session.

    def plug_in(self):
        self.plant.vehicle = 'B'
        self.run(0.3)

    def cable_check(self, session='01', maximum_voltage=450.0):
        self.send(session_id=session, lock_connector=True, maximum_voltage=maximum_voltage,
                  maximum_current=125.0, maximum_power=50e3)
        self.plant.vehicle = 'C'
        self.run(0.2)
        self.send(mode=Mode.CABLE_CHECK)
        return self.run(20.0, lambda: self.power.cable_check.name in (
            'VALID', 'WARNING', 'FAILED'))

    def pre_charge(self):
        self.send(mode=Mode.PRE_CHARGE, target_voltage=self.plant.battery)
        reached = self.run(5.0, lambda: abs(self.plant.connector - self.plant.battery) < 10.0)
        self.plant.vehicle_closed = True
        self.run(0.2)
        return reached

    def charge(self, current=100.0, **changes):
        self.send(mode=Mode.CHARGE, target_voltage=420.0, target_current=current, **changes)
        return self.run(5.0, lambda: abs(self.plant.current - current) < 2.0)

    def stop(self):
        self.send(mode=Mode.STOP)
        self.run(3.0, lambda: self.safety.contactors.all_open)
        self.plant.vehicle_closed = False
        self.plant.vehicle = 'B'
        self.run(0.5)
        self.send(mode=Mode.WELDING_CHECK)
        self.run(1.0)
        self.send(mode=Mode.OFF, session_id='', lock_connector=False)
        self.run(1.0)

    def unplug(self):
        self.plant.vehicle_closed = False
        self.plant.vehicle = 'A'
        self.run(1.0)

    def reach(self, stage):
        """Take a fresh bench to a stage of the session."""
        stages = {
            'idle': (), 'connected': (self.plug_in,),
            'cable_check': (self.plug_in, self._begin_cable_check),
            'pre_charge': (self.plug_in, self.cable_check, self._begin_pre_charge),
            'charge': (self.plug_in, self.cable_check, self.pre_charge, self.charge),
            'stop': (self.plug_in, self.cable_check, self.pre_charge, self.charge,
                     self._begin_stop),
        }
        for action in stages[stage]:
            action()
        return self

    def _begin_cable_check(self):
        self.send(session_id='01', lock_connector=True, maximum_voltage=450.0)
        self.plant.vehicle = 'C'
        self.run(0.2)
        self.send(mode=Mode.CABLE_CHECK)
        self.run(5.0, lambda: self.plant.connector > 300.0)

    def _begin_pre_charge(self):
        self.send(mode=Mode.PRE_CHARGE, target_voltage=self.plant.battery)
        self.run(0.5)

    def _begin_stop(self):
        self.send(mode=Mode.STOP)
        self.run(0.1)

    @property
    def codes(self):
        return {fault.code for fault in (*self.safety.faults, *self.power.faults)}

    @property
    def de_energised(self):
        plant = self.plant
        return (not plant.coils.main and not plant.supply.on
                and (not any(plant.contacts.values()) or bool(plant.welded)))


__all__ = ['BEAT', 'Bench', 'Code', 'Mode']
