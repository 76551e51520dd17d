"""Control of the DC supply: from charge commands to set-points, and every reason to switch off.

The supply is on only while a fresh charge command wants it, a fresh safety/status says that the
contactors are closed, everything that has to be measured is measured, and no fault says otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum

from ccs2_power.cable_check import (
    CABLE_CHECK_FAULTS,
    CHECK_CURRENT,
    CableCheck,
    CableCheckRun,
    CheckFailure,
    CheckSettings,
    CheckView,
    Phase,
)
from ccs2_power.command import ENERGISING, ChargeCommand, Lease, Mode, Shutdown
from ccs2_power.faults import Code, FaultBook, Severity
from ccs2_power.hal import (
    SUPPLY_OFF,
    IsolationCommand,
    IsolationReading,
    Measurement,
    MeterReading,
    SelfTest,
    SupplyCommand,
    SupplyReading,
    ThermometerReading,
    VoltmeterReading,
)
from ccs2_power.isolation import IsolationEdition, IsolationState, isolation_verdict
from ccs2_power.limits import (
    NO_LIMITS,
    Bounds,
    Derating,
    SetPoint,
    approach,
    bounds,
    clamp,
    station_limits,
    told_limits,
)
from ccs2_power.output_watch import METER_NEWEST, OutputView, OutputWatch
from ccs2_power.settings import PowerSettings
from ccs2_power.timing import Persistence, fresh, is_fresh
from ccs2_power.voltage import TOUCH_SAFE, cable_check_voltage


class PowerState(IntEnum):
    """The states of ``ccs2_interfaces/msg/PowerStatus``."""

    UNKNOWN = 0
    OFF = 1
    CABLE_CHECK = 2
    PRE_CHARGE = 3
    CHARGING = 4
    STOPPING = 5
    DISCHARGING_OUTPUT = 6
    FAULT = 7


#: What the supply does while it follows a mode.
FOLLOWING = {Mode.CABLE_CHECK: PowerState.CABLE_CHECK, Mode.PRE_CHARGE: PowerState.PRE_CHARGE,
             Mode.CHARGE: PowerState.CHARGING}
#: The pre-charge has reached its target within this, in V (IEC 61851-23:2023 CC.5.2).
PRE_CHARGE_REACHED = 20.0
#: In the pre-charge more than this is too much, in A, for so long, in s.
PRE_CHARGE_CURRENT, PRE_CHARGE_CURRENT_TIME = CHECK_CURRENT + 0.5, 0.5
#: The current has come down, in A.
NEAR_ZERO = 1.0
#: With the set-point at zero the current has to come down within this, in s.
RAMP_PATIENCE = 1.0
THERMOMETER_AGE = 3.0
#: Devices that only watch: a connection to one that is lost ends the charge in order. What follows
#: from its measurements has times of its own.
WATCHING = frozenset({'isolation', 'meter', 'thermometer'})


@dataclass(frozen=True, slots=True)
class SafetyReport:
    """What `safety` says of itself; `arrived` is the monotonic time of arrival.

    Two are equal if they say the same, whenever.
    """

    arrived: float = field(compare=False)
    closed: bool
    """Contactors closed and confirmed."""
    unplugged: bool
    """No vehicle is connected."""
    worst: Severity | None
    """The highest severity among the faults it lists."""


@dataclass(frozen=True, slots=True)
class PowerInputs:
    """The newest snapshots of the power stage's hardware."""

    supply: SupplyReading
    isolation: IsolationReading
    voltmeter: VoltmeterReading
    meter: MeterReading | None
    """None: the connector has no meter."""
    thermometer: ThermometerReading | None
    """None: the connector's contacts have no sensors."""
    problems: Mapping[str, str]
    """What the drivers complain of, by device."""


@dataclass(frozen=True, slots=True)
class PowerOutputs:
    """What the power stage's hardware shall do now."""

    supply: SupplyCommand
    isolation: IsolationCommand


class PowerController:
    """Supply, isolation monitor and meter of one connector.

    Feed it with :meth:`offer_command` and :meth:`offer_safety` as messages arrive, and call
    :meth:`step` every 20 ms and at once after anything has happened.
    """

    def __init__(self, settings: PowerSettings) -> None:
        self.settings = settings
        self.faults = FaultBook()
        self.lease = Lease()
        #: What the newest step has found.
        self.state = PowerState.UNKNOWN
        self.supply = SUPPLY_OFF
        self.set_point = SetPoint(0.0, 0.0)
        self.limits = NO_LIMITS
        self.voltage: float | None = None
        self.current: float | None = None
        self.temperature: float | None = None
        self.connector_voltage: float | None = None
        self.cable_check = CableCheck.NOT_DONE
        self.isolation_state = IsolationState.UNKNOWN
        self.resistance: Measurement[float] | None = None
        self.session_id = ''
        self.session_energy: float | None = None
        self._edition = IsolationEdition(settings.isolation_edition)
        self._watch = OutputWatch(self.faults, settings)
        self._safety: SafetyReport | None = None
        self._run: CableCheckRun | None = None
        self._mode = Mode.OFF
        self._lease_was_fresh = False
        self._last_step: float | None = None
        self._energy_at_start: float | None = None
        self._pre_charge_missing = Persistence()
        self._pre_charge_excess = Persistence()
        self._ramped_down = Persistence()

    # What happens.

    def offer_command(self, command: ChargeCommand, now: float) -> bool:
        """Take a charge command; False if the lease refuses it."""
        return self.lease.offer(command, now)

    def offer_safety(self, report: SafetyReport) -> bool:
        """Take a report of `safety`; tell whether it says anything new."""
        before, self._safety = self._safety, report
        return before != report

    def clear_faults(self, codes: Iterable[int] = ()) -> list[Code]:
        """Clear faults whose cause has gone; return the codes that are left."""
        return self.faults.clear(codes)

    # The beat.

    def step(self, inputs: PowerInputs, now: float) -> PowerOutputs:
        """Look at everything and return what the hardware shall do."""
        command = self.lease.current(now)
        mode = Mode.OFF if command is None else command.mode
        safety = self._fresh_safety(now)
        self.faults.in_use = mode in ENERGISING or self._mode in ENERGISING or self.supply.on
        beat = 0.0 if self._last_step is None else now - self._last_step
        elapsed = min(beat, self.settings.stall_time)
        self._measure(inputs, now)
        self._judge_peers(command, safety, beat, now)
        self._judge_devices(inputs, now)
        self._judge_output(inputs, command, safety, now)
        self._follow_session(command, mode, inputs, now)
        if safety is not None and safety.unplugged and not self.faults.in_use:
            self.faults.release()
        closed = safety is not None and safety.closed
        failure = self._advance_cable_check(mode, closed, inputs.isolation, now)
        for code in CABLE_CHECK_FAULTS:
            found = failure is not None and failure.code is code
            self.faults.set(code, found, now, failure.message if failure else '', 'cable check')
        self._judge_isolation(mode, inputs.isolation, now)
        shutdown = self._shutdown(command, mode, safety)
        following = shutdown is None and closed
        if following and command is not None:
            self._follow(command, elapsed)
        else:
            # Open contactors are never fed, whatever is wanted, nor ramped down behind.
            self._shut_down(shutdown if shutdown is not None and closed else Shutdown.EMERGENCY,
                            elapsed, now)
        self._judge_pre_charge(command, mode, now)
        self.state = self._published_state(mode, following)
        self._mode = mode
        self._last_step = now
        supply = self.supply if self.supply.on else replace(
            SUPPLY_OFF, voltage=self._highest_wanted(command))
        return PowerOutputs(supply, self._monitor(mode))

    def _highest_wanted(self, command: ChargeCommand | None) -> float:
        """Return the highest voltage that the vehicle's session will need, 0 if it is unknown."""
        if command is None or not command.session_id or not command.maximum_voltage:
            return 0.0
        rated = self.settings.rated_voltage
        return max(min(rated, command.maximum_voltage),
                   cable_check_voltage(command.maximum_voltage, rated))

    def _fresh_safety(self, now: float) -> SafetyReport | None:
        report = self._safety
        if report is None or not is_fresh(report.arrived, now, self.settings.safety_timeout):
            return None
        return report

    # Measurements and faults.

    def _measure(self, inputs: PowerInputs, now: float) -> None:
        age, voltmeter_age = self.settings.supply_timeout, self.settings.voltmeter_timeout
        supply = inputs.supply
        self.voltage = fresh(supply.voltage, now, age)
        self.current = fresh(supply.current, now, age)
        if supply.missing:
            # What a module does that is not heard, nobody but the meter knows; never 0 A.
            meter = inputs.meter
            self.current = None if meter is None else fresh(meter.current, now, METER_NEWEST)
        self.temperature = fresh(supply.temperature, now, THERMOMETER_AGE)
        self.faults.set(
            Code.TEMPERATURE, supply.temperature is not None and self.temperature is None, now,
            'temperature of the modules is not measured any longer', 'module sensors')
        self.connector_voltage = fresh(inputs.voltmeter.voltage, now, voltmeter_age)
        factor = 1.0
        if self.temperature is not None:
            settings = self.settings
            factor = Derating(settings.derating_start, settings.derating_end).factor(
                self.temperature)
        self.faults.set(
            Code.TEMPERATURE, factor == 0.0, now, f'modules at {self.temperature or 0.0:.0f} degC',
            'modules')
        factor = min(factor, self._contact_factor(inputs.thermometer, now))
        self.limits = station_limits(
            self.settings.configured_limits, told_limits(supply.limits), factor)
        self.faults.set(
            Code.TEMPERATURE, 0.0 < factor < 1.0, now, f'derated to {100 * factor:.0f} %',
            'derating', Severity.WARNING)

    def _contact_factor(self, thermometer: ThermometerReading | None, now: float) -> float:
        if thermometer is None:
            return 1.0
        derating = Derating(
            self.settings.contact_derating_start, self.settings.contact_derating_end)
        values = {name: fresh(measurement, now, THERMOMETER_AGE)
                  for name, measurement in thermometer.contacts.items()}
        measured = [value for value in values.values() if value is not None]
        missing = [name for name, value in values.items() if value is None]
        self.faults.set(
            Code.CONNECTOR_TEMPERATURE, bool(missing) or not values, now,
            f'temperature of contact {", ".join(missing) or "DC+, DC-"} is not measured', 'sensor')
        factor = min((derating.factor(value) for value in measured), default=0.0)
        self.faults.set(
            Code.CONNECTOR_TEMPERATURE, bool(measured) and factor == 0.0, now,
            f'contacts at {max(measured, default=0.0):.0f} degC', 'contacts')
        return factor

    def _judge_peers(
        self, command: ChargeCommand | None, safety: SafetyReport | None, beat: float, now: float,
    ) -> None:
        lapsed = self._lease_was_fresh and command is None and self.faults.in_use
        self.faults.set(
            Code.LEASE_EXPIRED, lapsed, now, 'charge_command was not renewed in time', 'lease')
        self._lease_was_fresh = command is not None
        self.faults.set(
            Code.LEASE_EXPIRED, beat > self.settings.stall_time and self.faults.in_use, now,
            f'controller stood still for {beat:.2f} s', 'controller')
        self.faults.set(
            Code.SAFETY_SILENT, safety is None, now, 'safety/status is stale', 'safety')

    def _judge_devices(self, inputs: PowerInputs, now: float) -> None:
        missing = [name for name, value in (('voltage', self.voltage), ('current', self.current),
                                            ('limits', told_limits(inputs.supply.limits)))
                   if value is None]
        self.faults.set(
            Code.SUPPLY_SILENT, bool(missing), now, f'supply does not tell its '
            f'{" and ".join(missing)}', 'supply')
        self.faults.set(
            Code.DRIVER, self.connector_voltage is None, now,
            'voltage at the connector is not measured', 'connector voltage')
        for device, problem in inputs.problems.items():
            self.faults.set(
                Code.DRIVER, bool(problem), now, problem, device,
                Severity.ERROR if device in WATCHING else None)
        for code, prefix, alarms in (
            (Code.SUPPLY_FAULT, 'supply', inputs.supply.alarms),
            (Code.ISOLATION_MONITOR, 'monitor', inputs.isolation.alarms),
        ):
            texts: dict[Severity, list[str]] = {severity: [] for severity in Severity}
            for alarm in alarms:
                texts[alarm.severity].append(f'{alarm.source}: {alarm.text}')
            for severity, found in texts.items():
                self.faults.set(
                    code, bool(found), now, '; '.join(found)[:256],
                    f'{prefix} {severity.name.lower()}', severity)
        if inputs.meter is not None:
            meter = inputs.meter
            energy = fresh(meter.energy_imported, now, self.settings.meter_timeout)
            self.faults.set(Code.METER, energy is None, now, 'energy is not measured', 'reading')
            self.faults.set(
                Code.METER, meter.status != 0, now, f'meter status {meter.status:#x}', 'status')

    def _judge_output(
        self, inputs: PowerInputs, command: ChargeCommand | None, safety: SafetyReport | None,
        now: float,
    ) -> None:
        rated = self.settings.rated_voltage
        vehicle = rated
        charge_limit, discharge_limit = self.settings.maximum_current, 0.0
        if command is not None:
            vehicle = min(rated, command.maximum_voltage or rated)
            if command.maximum_current is not None:
                charge_limit = min(charge_limit, command.maximum_current)
            discharge_limit = min(self.settings.maximum_discharge_current,
                                  command.maximum_discharge_current or 0.0)
        checking = self._run is not None and self._run.supply_on
        self._watch.step(OutputView(
            supply=inputs.supply, voltage=self.voltage, current=self.current,
            commanded=self.supply,
            voltage_limit=self._run.voltage if self._run is not None and checking else vehicle,
            charge_limit=CHECK_CURRENT if checking else charge_limit,
            discharge_limit=CHECK_CURRENT if checking else discharge_limit,
            rated_voltage=vehicle,
            contactors_closed=safety is not None and safety.closed,
            connector_voltage=inputs.voltmeter.voltage, monitor_voltage=inputs.isolation.voltage,
            meter=inputs.meter), now)

    # Session and cable check.

    def _follow_session(
        self, command: ChargeCommand | None, mode: Mode, inputs: PowerInputs, now: float,
    ) -> None:
        session_id = '' if command is None else command.session_id
        meter = inputs.meter
        energy = None if meter is None else fresh(
            meter.energy_imported, now, self.settings.meter_timeout)
        if session_id != self.session_id:
            self.session_id = session_id
            self._energy_at_start = None
            self._run = None
            self.cable_check = CableCheck.NOT_DONE
        if session_id and self._energy_at_start is None:
            self._energy_at_start = energy
        self.session_energy = (
            None if energy is None or self._energy_at_start is None or not session_id
            else energy - self._energy_at_start)
        if mode is Mode.OFF:
            # What was tested holds for as long as the session wants energy; a failure stays told.
            self._run = None
            if self.cable_check is not CableCheck.FAILED:
                self.cable_check = CableCheck.NOT_DONE

    def _advance_cable_check(
        self, mode: Mode, closed: bool, isolation: IsolationReading, now: float,
    ) -> CheckFailure | None:
        if mode is not Mode.CABLE_CHECK:
            if self.cable_check is CableCheck.RUNNING:
                self.cable_check = CableCheck.FAILED
            return None
        if self._mode not in ENERGISING:
            self._run = self._new_run(now)
        run = self._run
        if run is None or run.phase is Phase.DONE:
            return None
        if self.voltage is None or self.current is None or self._stopped_by_fault():
            run.abort()
        else:
            run.step(CheckView(
                closed, self.voltage, self.connector_voltage, self.current, isolation), now)
        self.cable_check = run.verdict
        return run.failure

    def _new_run(self, now: float) -> CableCheckRun:
        settings = self.settings
        command = self.lease.command
        station = min(settings.rated_voltage, self.limits.maximum_voltage)
        vehicle = None if command is None else command.maximum_voltage
        voltage = cable_check_voltage(settings.rated_voltage if vehicle is None else vehicle,
                                      station)
        return CableCheckRun(
            voltage,
            CheckSettings(
                duration=settings.cable_check_time, discharge=settings.discharge_time,
                samples=settings.isolation_samples, sample_age=settings.isolation_timeout),
            lambda resistance: isolation_verdict(
                resistance, settings.rated_voltage, self._edition), now)

    def _judge_isolation(self, mode: Mode, reading: IsolationReading, now: float) -> None:
        charging = mode in (Mode.PRE_CHARGE, Mode.CHARGE)
        tested = self.cable_check in (CableCheck.VALID, CableCheck.WARNING)
        self.faults.set(
            Code.ISOLATION_NOT_TESTED, charging and not tested, now,
            'energy asked for without a cable check in this session')
        measuring = self._monitor(mode) is not IsolationCommand.STOP
        # A monitor has no verdict for moments, when it tests itself: the one before holds until it
        # is stale.
        if reading.resistance is not None or not measuring:
            self.resistance = reading.resistance
        resistance = fresh(self.resistance, now, self.settings.isolation_timeout)
        if resistance is None:
            self.isolation_state = (
                IsolationState.INVALID if measuring else IsolationState.UNKNOWN)
        else:
            self.isolation_state = isolation_verdict(
                resistance, self.settings.rated_voltage, self._edition)
        self.faults.set(
            Code.ISOLATION, charging and self.isolation_state is IsolationState.FAULT, now,
            f'isolation resistance {(resistance or 0.0) / 1e3:.0f} kohm')
        self.faults.set(
            Code.ISOLATION_MONITOR, charging and resistance is None, now,
            'isolation resistance is not measured')
        self.faults.set(
            Code.ISOLATION_SELF_TEST, charging and reading.self_test is SelfTest.FAILED, now,
            "isolation monitor's self-test failed")

    def _monitor(self, mode: Mode) -> IsolationCommand:
        if self._run is not None and mode is Mode.CABLE_CHECK:
            return self._run.monitor
        if mode in ENERGISING or self.supply.on:
            return IsolationCommand.MEASURE
        return IsolationCommand.STOP

    # Set-points.

    def _stopped_by_fault(self) -> bool:
        return (self.faults.worst or Severity.WARNING) > Severity.WARNING

    def _shutdown(
        self, command: ChargeCommand | None, mode: Mode, safety: SafetyReport | None,
    ) -> Shutdown | None:
        """Return how the supply has to go off, or None if it may be on."""
        if command is None or safety is None:
            return Shutdown.EMERGENCY
        severities = {self.faults.worst, safety.worst}
        if Severity.EMERGENCY in severities:
            return Shutdown.EMERGENCY
        if Severity.ERROR in severities:
            return Shutdown.ERROR
        if mode is Mode.OFF:
            return command.shutdown
        if mode in (Mode.STOP, Mode.WELDING_CHECK):
            return Shutdown.NORMAL
        if mode is Mode.CABLE_CHECK and (self._run is None or not self._run.supply_on):
            return Shutdown.NORMAL
        return None

    def _follow(self, command: ChargeCommand, elapsed: float) -> None:
        self._ramped_down.reset()
        run = self._run
        if command.mode is Mode.CABLE_CHECK and run is not None:
            allowed = Bounds(min(run.voltage, self.limits.maximum_voltage), 0.0, CHECK_CURRENT)
            wish = SetPoint(run.voltage, CHECK_CURRENT)
        else:
            allowed = bounds(command, self.limits, self.voltage or 0.0)
            # A vehicle that raises its maximum does not get more than the isolation was tested at.
            tested = 0.0 if run is None else run.voltage
            allowed = replace(allowed, highest_voltage=min(allowed.highest_voltage, tested))
            wish = clamp(command, self.limits, allowed, self.voltage or 0.0)
            if command.mode is Mode.PRE_CHARGE:
                allowed = replace(allowed, lowest_current=0.0,
                                  highest_current=min(CHECK_CURRENT, allowed.highest_current))
                wish = SetPoint(wish.voltage, CHECK_CURRENT, wish.voltage_limited)
        self.set_point = wish
        if not self.supply.on:
            # A battery may be there already: begin at its voltage and at zero current.
            self.supply = SupplyCommand(True, max(0.0, self.voltage or 0.0), 0.0)
        settings = self.settings
        voltage = approach(self.supply.voltage, wish.voltage, settings.voltage_ramp * elapsed)
        current = approach(self.supply.current, wish.current, settings.current_ramp * elapsed)
        # A ramp leads to a wish; a limit holds at once.
        self.supply = SupplyCommand(
            True, allowed.voltage(voltage), allowed.current(current))

    def _shut_down(self, shutdown: Shutdown, elapsed: float, now: float) -> None:
        self.set_point = SetPoint(0.0, 0.0)
        if not self.supply.on:
            return
        if shutdown is Shutdown.EMERGENCY:
            self._off()
            return
        rate = (self.settings.current_ramp if shutdown is Shutdown.NORMAL
                else self.settings.fast_current_ramp)
        limits = self.limits
        station = Bounds(
            limits.maximum_voltage, -limits.maximum_discharge_current, limits.maximum_current)
        current = station.current(approach(self.supply.current, 0.0, rate * elapsed))
        self.supply = SupplyCommand(True, station.voltage(self.supply.voltage), current)
        patient = self._ramped_down.exceeds(current == 0.0, now, RAMP_PATIENCE)
        if current == 0.0 and (self.current is None or abs(self.current) <= NEAR_ZERO or patient):
            self._off()

    def _off(self) -> None:
        self.supply = SUPPLY_OFF
        self._ramped_down.reset()

    def _judge_pre_charge(self, command: ChargeCommand | None, mode: Mode, now: float) -> None:
        running = mode is Mode.PRE_CHARGE and self.supply.on
        voltage, current = self.voltage, self.current
        missing = (running and voltage is not None
                   and abs(voltage - self.set_point.voltage) > PRE_CHARGE_REACHED)
        self.faults.set(
            Code.PRE_CHARGE,
            self._pre_charge_missing.exceeds(missing, now, self.settings.pre_charge_time), now,
            f'{voltage or 0.0:.0f} V instead of {self.set_point.voltage:.0f} V', 'voltage')
        excess = running and current is not None and abs(current) > PRE_CHARGE_CURRENT
        self.faults.set(
            Code.PRE_CHARGE,
            self._pre_charge_excess.exceeds(excess, now, PRE_CHARGE_CURRENT_TIME), now,
            f'{current or 0.0:.1f} A in the pre-charge', 'current')

    def _published_state(self, mode: Mode, following: bool) -> PowerState:
        if self.supply.on:
            return FOLLOWING[mode] if following else PowerState.STOPPING
        if self._stopped_by_fault():
            return PowerState.FAULT
        if self.voltage is None:
            return PowerState.UNKNOWN
        if mode is Mode.CABLE_CHECK and self.cable_check is CableCheck.RUNNING:
            return PowerState.CABLE_CHECK
        if abs(self.voltage) >= TOUCH_SAFE:
            return PowerState.DISCHARGING_OUTPUT
        return PowerState.OFF
