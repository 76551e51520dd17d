"""The safety supervisor: it alone decides whether the contactors may be closed.

No message is ever needed to be safe: closing needs every row of :data:`INTERLOCKS` to hold now, and
what stops holding opens the contactors, at the latest after the time that :data:`GRACE` gives for
the class of shutdown. The supervisor reads neither a byte from the vehicle nor from the CAN bus.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from ccs2_power.cable_check import CableCheck
from ccs2_power.command import ENERGISING, ChargeCommand, Lease, Mode, Shutdown
from ccs2_power.contactors import Contactors, ContactorState, ContactorTiming
from ccs2_power.faults import Code, FaultBook, Severity
from ccs2_power.hal import (
    ContactorCommand,
    ContactorReading,
    EmergencyStopReading,
    LockReading,
    PilotReading,
    VoltmeterReading,
)
from ccs2_power.pilot import CONNECTED, READY, PilotMonitor, PilotState, PilotTiming
from ccs2_power.pilot_drive import PilotDrive, PilotWish, Situation
from ccs2_power.settings import SafetySettings
from ccs2_power.timing import Persistence, fresh, fresh_contact, is_fresh
from ccs2_power.voltage import TOUCH_SAFE, over_voltage_threshold


class SafetyState(IntEnum):
    """The states of ``ccs2_interfaces/msg/SafetyStatus``."""

    UNKNOWN = 0
    IDLE = 1
    CONNECTED = 2
    CLOSING = 3
    CLOSED = 4
    OPENING = 5
    FAULT = 6


#: Longest time in s that closed contactors wait for the current to come down before they open
#: (NORMAL: the ramp; ERROR: the fast ramp, below the 2.5 s of IEC 61851-23:2023 CC.3.4.2).
GRACE = {Shutdown.NORMAL: 2.5, Shutdown.ERROR: 1.5, Shutdown.EMERGENCY: 0.0}
#: The current has come down, in A.
NEAR_ZERO = 1.0
#: Age of the lock's position at which it is not measured, in s.
LOCK_AGE = 0.5
#: A lock that is open for less than this bounces, in s.
LOCK_BOUNCE = 0.1
#: So long closed contactors may wait for a verdict that `hlc` knows already, in s.
VERDICT_TIME = 0.25


@dataclass(frozen=True, slots=True)
class PowerReport:
    """What `power` says of itself; None for NaN. `arrived` is the monotonic time of arrival.

    Two are equal if they say the same, whenever and whatever was measured.
    """

    arrived: float = field(compare=False)
    session_id: str
    cable_check: CableCheck
    voltage: float | None = field(compare=False)
    current: float | None = field(compare=False)
    worst: Severity | None
    """The highest severity among the faults it lists."""


@dataclass(frozen=True, slots=True)
class SafetyInputs:
    """The newest snapshots of the supervisor's hardware."""

    pilot: PilotReading
    contactors: ContactorReading
    emergency_stop: EmergencyStopReading
    voltmeter: VoltmeterReading
    lock: LockReading | None
    """None: the station has no lock of its own (the vehicle locks its inlet)."""
    problems: Mapping[str, str]
    """What the drivers complain of, by device."""


@dataclass(frozen=True, slots=True)
class SafetyOutputs:
    """What the supervisor's hardware shall do now."""

    duty: float
    contactors: ContactorCommand
    lock: bool


@dataclass(frozen=True, slots=True)
class View:
    """Everything that an interlock may look at, as it is now."""

    command: ChargeCommand | None
    """The charge command if it is fresh."""
    power: PowerReport | None
    """The report of `power` if it is fresh and measured."""
    pilot: PilotState
    pilot_proven: bool
    """The oscillator runs, and has shown the vehicle's diode."""
    contactors: Contactors
    locked: bool
    emergency_stop: bool
    voltage: float | None
    """At the connector, in V."""
    worst: Severity | None
    """Of the supervisor's own faults."""
    verdict_awaited: bool
    """The command is ahead of a report of `power` that has been under way since the cable check."""
    settings: SafetySettings


def _class_of(severity: Severity | None) -> Shutdown:
    return Shutdown.EMERGENCY if severity is Severity.EMERGENCY else Shutdown.ERROR


def _mode_class(view: View) -> Shutdown:
    command = view.command
    return command.shutdown if command and command.mode is Mode.OFF else Shutdown.NORMAL


def _power_class(view: View) -> Shutdown:
    return Shutdown.EMERGENCY if view.power is None else _class_of(view.power.worst)


def _always(shutdown: Shutdown) -> Callable[[View], Shutdown]:
    return lambda view: shutdown


def _isolation_tested(view: View) -> bool:
    if view.command is None or view.power is None:
        return False
    if view.command.mode is Mode.CABLE_CHECK:
        return True
    return view.power.session_id == view.command.session_id and (
        view.power.cable_check in (CableCheck.VALID, CableCheck.WARNING) or view.verdict_awaited)


def _voltage_fits(view: View) -> bool:
    """Tell whether closing equalises nothing, or next to nothing."""
    if view.contactors.state is not ContactorState.OPEN:
        return True
    if view.voltage is None or view.power is None or view.power.voltage is None:
        return False
    supply, connector = view.power.voltage, view.voltage
    if view.command is not None and view.command.mode is Mode.CABLE_CHECK:
        return max(abs(supply), abs(connector)) < TOUCH_SAFE
    return (max(abs(supply), abs(connector)) < TOUCH_SAFE
            or abs(supply - connector) <= view.settings.closing_voltage_difference)


@dataclass(frozen=True, slots=True)
class Interlock:
    """One condition of closed contactors, and how they open when it no longer holds."""

    name: str
    holds: Callable[[View], bool]
    shutdown: Callable[[View], Shutdown]


#: The interlocks by their bit in ``ccs2_interfaces/msg/SafetyStatus``. All are needed.
INTERLOCKS: dict[int, Interlock] = {
    1: Interlock('lease', lambda view: view.command is not None, _always(Shutdown.EMERGENCY)),
    2: Interlock(
        'mode', lambda view: view.command is not None and view.command.mode in ENERGISING,
        _mode_class),
    4: Interlock(
        'pilot', lambda view: view.pilot in READY and view.pilot_proven,
        _always(Shutdown.EMERGENCY)),
    8: Interlock(
        'power', lambda view: view.power is not None and (
            view.power.worst is None or view.power.worst is Severity.WARNING), _power_class),
    16: Interlock('isolation', _isolation_tested, _always(Shutdown.ERROR)),
    32: Interlock(
        'feedback', lambda view: view.contactors.agree, _always(Shutdown.EMERGENCY)),
    64: Interlock('lock', lambda view: view.locked, _always(Shutdown.ERROR)),
    128: Interlock(
        'emergency stop', lambda view: not view.emergency_stop, _always(Shutdown.EMERGENCY)),
    256: Interlock(
        'faults', lambda view: view.worst is None or view.worst is Severity.WARNING,
        lambda view: _class_of(view.worst)),
    512: Interlock('voltage', _voltage_fits, _always(Shutdown.ERROR)),
}


class SafetySupervisor:
    """Pilot, contactors, lock and emergency stop of one connector.

    Feed it with :meth:`offer_command`, :meth:`offer_power` and :meth:`offer_pilot_wish` as messages
    arrive, and call :meth:`step` every 10 ms and at once after anything has happened.
    """

    def __init__(self, settings: SafetySettings) -> None:
        self.settings = settings
        self.faults = FaultBook()
        self.lease = Lease()
        self.pilot = PilotMonitor(PilotTiming(age=settings.pilot_timeout))
        self.contactors = Contactors(ContactorTiming(
            close=settings.contactor_close_time, open=settings.contactor_open_time,
            pre_charge=settings.pre_charge_relay_time, age=settings.contact_timeout))
        self.pilot_drive = PilotDrive()
        #: Locked until the first step has seen that there is no voltage.
        self.lock_command = True
        #: What the newest step has found.
        self.interlocks = 0
        self.locked = False
        self.emergency_stop = False
        self.voltage: float | None = None
        self._power: PowerReport | None = None
        self._last_step: float | None = None
        self._mode = Mode.OFF
        self._lease_was_fresh = False
        self._charging = False
        self._shutdown: Shutdown | None = None
        self._shutdown_since = 0.0
        self._residual = Persistence()
        self._implausible = Persistence()
        self._lock_disobeys = Persistence()
        self._lock_open = Persistence()
        self._verdict = Persistence()

    # What happens.

    def offer_command(self, command: ChargeCommand, now: float) -> bool:
        """Take a charge command; False if the lease refuses it."""
        return self.lease.offer(command, now)

    def offer_power(self, report: PowerReport) -> bool:
        """Take a report of `power`; tell whether it says anything new but what is measured."""
        before, self._power = self._power, report
        return before != report

    def offer_pilot_wish(self, wish: PilotWish) -> None:
        """Take what matching with the vehicle wishes of the pilot."""
        self.pilot_drive.offer(wish)

    def press_emergency_stop(self, reason: str, now: float) -> None:
        """Act as if the emergency stop had been pressed: latched until cleared."""
        source = 'command'
        self.faults.set(Code.EMERGENCY_STOP, True, now, f'commanded: {reason}', source)
        self.faults.set(Code.EMERGENCY_STOP, False, now, source=source)

    def clear_faults(self, codes: Iterable[int] = ()) -> list[Code]:
        """Clear faults whose cause has gone; return the codes that are left."""
        return self.faults.clear(codes)

    # What is.

    def mode(self, now: float) -> Mode:
        """Return the mode in force."""
        return self.lease.mode(now)

    @property
    def duty(self) -> float:
        """The duty cycle that the pilot is driven with, 0..1."""
        return self.pilot_drive.duty

    @property
    def unplugged(self) -> bool:
        """The pilot is measured, and shows no vehicle."""
        return self.pilot.state is PilotState.A

    @property
    def permitted(self) -> bool:
        """Every interlock holds."""
        return self.interlocks == sum(INTERLOCKS)

    def failing_interlocks(self) -> list[str]:
        """Return the names of the interlocks that do not hold."""
        return [row.name for bit, row in INTERLOCKS.items() if not self.interlocks & bit]

    @property
    def state(self) -> SafetyState:
        """The state that is published."""
        contactors = self.contactors.state
        if contactors is ContactorState.CLOSED:
            return SafetyState.CLOSED
        if contactors in (ContactorState.PRE_CHARGING, ContactorState.CLOSING):
            return SafetyState.CLOSING
        if contactors is ContactorState.OPENING and self.contactors.fault is None:
            return SafetyState.OPENING
        if (self.faults.worst or Severity.WARNING) > Severity.WARNING:
            return SafetyState.FAULT
        if self.unplugged:
            return SafetyState.IDLE
        if self.pilot.state in CONNECTED:
            return SafetyState.CONNECTED
        return SafetyState.UNKNOWN

    # The beat.

    def step(self, inputs: SafetyInputs, now: float) -> SafetyOutputs:
        """Look at everything and return what the hardware shall do."""
        command = self.lease.current(now)
        mode = Mode.OFF if command is None else command.mode
        self.faults.in_use = (
            mode in ENERGISING or self._mode in ENERGISING
            or self.contactors.state is not ContactorState.OPEN)
        self.pilot.step(inputs.pilot, self.duty, now)
        self.contactors.observe(inputs.contactors, now)
        power = self._fresh_power(now)
        self._measure(inputs, now)
        self._judge_peers(command, now)
        self._judge_pilot(mode, now)
        self._judge_contactors(now)
        self._judge_voltage(command, mode, power, now)
        self._judge_lock(inputs.lock, now)
        for device in ('pilot', 'contactors', 'lock', 'emergency_stop', 'voltmeter'):
            problem = inputs.problems.get(device, '')
            self.faults.set(Code.DRIVER, bool(problem), now, problem, device)
        # Not while a session still wants energy: a pilot that is back would go on with it.
        if self.unplugged and not self.faults.in_use:
            self.faults.release()
        view = View(
            command, power, self.pilot.state, self.pilot.proven, self.contactors, self.locked,
            self.emergency_stop, self.voltage, self.faults.worst,
            self._verdict_awaited(mode, power, now), self.settings)
        self._drive_contactors(view, now)
        self._drive_lock(command)
        self._drive_pilot(command, power, now)
        self._last_step = now
        self._mode = mode
        return SafetyOutputs(self.duty, self.contactors.coils, self.lock_command)

    def _fresh_power(self, now: float) -> PowerReport | None:
        report = self._power
        if report is None or not is_fresh(report.arrived, now, self.settings.power_timeout):
            return None
        return report

    def _verdict_awaited(self, mode: Mode, power: PowerReport | None, now: float) -> bool:
        running = (mode in ENERGISING and mode is not Mode.CABLE_CHECK and power is not None
                   and power.cable_check is CableCheck.RUNNING
                   and self.contactors.state is ContactorState.CLOSED)
        overdue = self._verdict.exceeds(running, now, VERDICT_TIME)
        return running and not overdue

    def _measure(self, inputs: SafetyInputs, now: float) -> None:
        pressed = fresh_contact(
            inputs.emergency_stop.pressed, now, self.settings.contact_timeout)
        self.faults.set(
            Code.DRIVER, pressed is None, now, 'emergency stop is not measured',
            'emergency stop input')
        self.faults.set(
            Code.EMERGENCY_STOP, pressed is True, now, 'emergency stop is pressed', 'input')
        self.emergency_stop = pressed is not False or Code.EMERGENCY_STOP in self.faults
        self.voltage = fresh(inputs.voltmeter.voltage, now, self.settings.voltmeter_timeout)
        self.faults.set(
            Code.DRIVER, self.voltage is None, now, 'voltage at the connector is not measured',
            'connector voltage')
        self.faults.set(
            Code.DRIVER, bool(self.contactors.unmeasured), now,
            f'no feedback of contactor {", ".join(self.contactors.unmeasured)}',
            'contactor feedback')

    def _judge_peers(self, command: ChargeCommand | None, now: float) -> None:
        lapsed = self._lease_was_fresh and command is None and self.faults.in_use
        self.faults.set(
            Code.LEASE_EXPIRED, lapsed, now, 'charge_command was not renewed in time', 'lease')
        self._lease_was_fresh = command is not None
        gap = 0.0 if self._last_step is None else now - self._last_step
        self.faults.set(
            Code.LEASE_EXPIRED, gap > self.settings.stall_time and self.faults.in_use, now,
            f'supervisor stood still for {gap:.2f} s', 'supervisor')
        self.faults.set(
            Code.POWER_SILENT, self._fresh_power(now) is None, now, 'power/status is stale',
            'power')

    def _judge_pilot(self, mode: Mode, now: float) -> None:
        pilot = self.pilot
        closed = self.contactors.coils.main
        wanted = mode in ENERGISING
        self.faults.set(Code.PILOT_SHORT, pilot.short, now, 'control pilot shorted to earth')
        self.faults.set(
            Code.PILOT_DIODE, pilot.diode_fault, now,
            'negative half wave of the control pilot is missing: no diode in the vehicle')
        self.faults.set(Code.PILOT_MEASUREMENT, bool(pilot.lost), now, pilot.lost)
        self.faults.set(
            Code.PILOT_UNPLUGGED, pilot.state is PilotState.A and (wanted or closed), now,
            'plug pulled while energy was wanted')
        self.faults.set(
            Code.PILOT_LEFT_C, pilot.state is PilotState.B and wanted and closed, now,
            'vehicle left state C/D under power')
        self.faults.set(
            Code.PROXIMITY, pilot.proximity_fault, now,
            'proximity contact is not measured or out of range')

    def _judge_contactors(self, now: float) -> None:
        texts = {
            Code.CONTACTOR_WELDED: 'closed without its coil',
            Code.CONTACTOR_NOT_CLOSING: 'does not close',
            Code.CONTACTOR_UNEXPECTED: 'opened by itself',
        }
        culprits = ', '.join(self.contactors.culprits)
        for code, text in texts.items():
            self.faults.set(
                code, self.contactors.fault is code, now, f'contactor {culprits} {text}')

    def _judge_voltage(
        self, command: ChargeCommand | None, mode: Mode, power: PowerReport | None, now: float,
    ) -> None:
        voltage, state = self.voltage, self.contactors.state
        limit = self.settings.rated_voltage
        if command is not None and command.maximum_voltage:
            limit = min(limit, command.maximum_voltage)
        threshold = over_voltage_threshold(limit)
        self.faults.set(
            Code.OVER_VOLTAGE, voltage is not None and abs(voltage) > threshold, now,
            f'{voltage or 0.0:.0f} V at the connector, threshold {threshold:.0f} V')
        idle = state is ContactorState.OPEN and mode in (Mode.OFF, Mode.WELDING_CHECK) and (
            mode is Mode.OFF or self.pilot.state not in READY)
        residual = idle and voltage is not None and abs(voltage) >= TOUCH_SAFE
        self.faults.set(
            Code.RESIDUAL_VOLTAGE,
            self._residual.exceeds(residual, now, self.settings.residual_time), now,
            f'{voltage or 0.0:.0f} V left at the connector')
        differs = (state is ContactorState.CLOSED and voltage is not None and power is not None
                   and power.voltage is not None
                   and abs(power.voltage - voltage) > self.settings.implausible_voltage)
        self.faults.set(
            Code.VOLTAGE_IMPLAUSIBLE,
            self._implausible.exceeds(differs, now, self.settings.implausible_time), now,
            f'supply says {(power.voltage if power else None) or 0.0:.0f} V, '
            f'connector has {voltage or 0.0:.0f} V')

    def _judge_lock(self, reading: LockReading | None, now: float) -> None:
        if reading is None:
            # The vehicle locks its inlet before it goes to C (ISO 17409), and unlocks after it.
            self.locked = self.pilot.state in READY
            return
        feedback = fresh_contact(reading.locked, now, LOCK_AGE)
        self.locked = feedback is True
        self.faults.set(
            Code.CONNECTOR_LOCK,
            self._lock_disobeys.exceeds(
                feedback is not self.lock_command, now, self.settings.lock_time), now,
            f'connector lock does not {"lock" if self.lock_command else "unlock"}')
        # A fault, not only an interlock: `power` ramps down by it, and it does not heal by itself.
        opened = self.contactors.coils.main and not self.locked
        self.faults.set(
            Code.CONNECTOR_LOCK, self._lock_open.exceeds(opened, now, LOCK_BOUNCE), now,
            'connector lock is not closed under power', 'under power')

    def _drive_contactors(self, view: View, now: float) -> None:
        self.interlocks = sum(bit for bit, row in INTERLOCKS.items() if row.holds(view))
        failing = [row.shutdown(view) for bit, row in INTERLOCKS.items()
                   if not self.interlocks & bit]
        current = None if view.power is None else view.power.current
        if not failing:
            self._shutdown = None
            self.contactors.drive(True, current, now)
            self._charging |= view.command is not None and view.command.mode is Mode.CHARGE
        else:
            worst = max(failing)
            if self._shutdown is None:
                self._shutdown_since = now
            self._shutdown = worst
            if self._must_open(worst, view, now):
                self.contactors.drive(False, current, now)
        if self.contactors.state is ContactorState.OPEN:
            self._charging = False

    def _must_open(self, shutdown: Shutdown, view: View, now: float) -> bool:
        """Tell whether contactors that have to open shall do so now, or wait for less current."""
        if self.contactors.state is not ContactorState.CLOSED:
            return True
        if now - self._shutdown_since >= GRACE[shutdown]:
            return True
        power = view.power
        if power is None or power.current is None or power.voltage is None:
            return True
        # Without a battery behind it the output is discharged through the closed contactors.
        empty = self._charging or abs(power.voltage) < TOUCH_SAFE
        return abs(power.current) <= NEAR_ZERO and empty

    def _drive_lock(self, command: ChargeCommand | None) -> None:
        wanted = command is not None and command.lock_connector
        # A voltmeter that has contradicted the supply says nothing of a battery that may be there.
        believed = (Code.VOLTAGE_IMPLAUSIBLE not in self.faults
                    or self.pilot.state in (PilotState.A, PilotState.B))
        may_unlock = (self.contactors.state is ContactorState.OPEN and self.contactors.all_open
                      and self.voltage is not None and abs(self.voltage) < TOUCH_SAFE and believed)
        self.lock_command = wanted or (self.lock_command and not may_unlock)

    def _drive_pilot(
        self, command: ChargeCommand | None, power: PowerReport | None, now: float,
    ) -> None:
        in_session = command is not None and bool(command.session_id)
        at_rest = (
            command is not None and command.mode is Mode.OFF
            and self.contactors.state is ContactorState.OPEN and self.contactors.all_open
            and self.voltage is not None and abs(self.voltage) < TOUCH_SAFE)
        self.pilot_drive.step(Situation(
            pilot=self.pilot.state,
            oscillator=command is not None and command.pilot_oscillator,
            in_session=in_session, at_rest=at_rest,
            emergency=Severity.EMERGENCY in (
                self.faults.worst, None if power is None else power.worst)), now)
