"""The contract between the station and its power hardware: one typed protocol per device.

A charger maker implements these protocols for his hardware, the simulator implements them for its
virtual plant, and `power` and `safety` know nothing else. A driver class is registered as an entry
point of the group ``ccs2_power.drivers`` and is chosen by a node parameter::

    entry_points={'ccs2_power.drivers': ['sim_supply = ccs2_sim.hardware:SimulatedSupply']}

Rules for every driver:

* The class is made without arguments. :meth:`Driver.open` gets the options of the site and raises
  :class:`DriverError` naming what is missing; only ``open`` and ``close`` may take time.
* ``read()`` returns the newest snapshot and ``command()`` hands over the newest wish. Both are
  called on the node's asyncio loop every 10 or 20 ms, return at once (well below 1 ms) and do not
  raise because of the outside world. Slow buses are served by a task or thread of their own.
* A measurement is a :class:`Measurement` with its source and the time at which it was *taken*.
  What was not measured is None, never a default and never the set-point. While a device is lost,
  its measurements keep their old stamps or become None: the node turns either into a fault.
* ``command()`` is a level: it is repeated for as long as it is meant. A driver that no longer hears
  commands for :data:`COMMAND_TIMEOUT` goes to the safe state by itself, and so must the hardware
  when the driver's process dies, hangs or is stopped (coils drop, modules time out, the pilot goes
  to steady -12 V). ``open`` and ``close`` leave the device in its safe state.
* After the device comes back the driver recovers by itself, in the safe state, without ``open``.

Units are SI (V, A, W, J, ohm, s) with temperatures in degC. Currents and powers are positive into
the vehicle. Times are seconds of the monotonic clock (:func:`time.monotonic`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Generic, Protocol, TypeVar, runtime_checkable

from ccs2_power.faults import Severity

T = TypeVar('T', float, bool)

#: Commands stop for this long, in s: the driver goes to its safe state.
COMMAND_TIMEOUT = 0.25
#: The same for the relays of a cabinet, which do not break a current: by then the modules have been
#: told to be off, and the contactors of every connector are open.
MATRIX_TIMEOUT = 2.0
#: Duty cycle of the control pilot that means digital communication (IEC 61851-1 table A.7).
DUTY_DIGITAL = 0.05
#: Steady +12 V (states A1, B1, C1): no oscillator.
DUTY_STEADY_HIGH = 1.0
#: Steady -12 V (state F): station not available. The pilot driver's safe state.
DUTY_OFF = 0.0


class DriverError(Exception):
    """A driver cannot be found or opened; the text names the device and what is missing."""


@dataclass(frozen=True, slots=True)
class Measurement(Generic[T]):
    """A value as it was measured."""

    value: T
    """In the unit that its field states; finite unless the field says otherwise."""
    source: str
    """Which part says so, e.g. `'supply module_2'`."""
    stamp: float
    """When it was taken, in s of the monotonic clock."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """What a device itself reports to be wrong now."""

    severity: Severity
    source: str
    """Which part says so, e.g. `'supply module_2'`."""
    text: str
    """A phrase an electrician understands."""


@runtime_checkable
class Driver(Protocol):
    """What all drivers share."""

    @property
    def problem(self) -> str:
        """What is wrong with the device or its connection now, as a phrase; `''` if nothing."""

    async def open(self, parameters: Mapping[str, str]) -> None:
        """Open the device in its safe state; raise :class:`DriverError` if that is impossible.

        `parameters` are the site's options (node parameter ``<device>_options``, a list of
        ``key=value``). An unknown key is an error that names it.
        """

    async def close(self) -> None:
        """Bring the device to its safe state and release it. Does nothing if it is not open."""


# Control pilot and proximity


@dataclass(frozen=True, slots=True)
class PilotReading:
    """Levels of the control pilot at the connector (IEC 61851-1 annex A)."""

    high: Measurement[float] | None
    """V, level of the high phase (of the steady level if that is positive); None at steady low."""
    low: Measurement[float] | None
    """V, level of the low phase; None if there is no low phase (steady +12 V)."""
    duty: Measurement[float] | None
    """Ratio 0..1 of the high phase as measured or read back; 1.0 = steady +12 V, 0.0 = -12 V."""
    proximity: Measurement[float] | None = None
    """Ohm from proximity contact to earth, infinite if open; None if there is no such contact."""


@runtime_checkable
class PilotDriver(Driver, Protocol):
    """Generator and measurement of the control pilot. Safe state: steady -12 V (state F)."""

    def read(self) -> PilotReading:
        """Return the newest levels; fresh every 20 ms."""

    def command(self, duty: float) -> None:
        """Drive the pilot: a ratio 0..1 of the high phase at 1 kHz.

        :data:`DUTY_DIGITAL` (0.05), :data:`DUTY_STEADY_HIGH` (1.0) or :data:`DUTY_OFF` (0.0).
        """


# Contactors


@dataclass(frozen=True, slots=True)
class ContactorReading:
    """What the feedback (mirror) contacts say. True = closed."""

    contacts: Mapping[str, Measurement[bool] | None]
    """One entry for each main contactor, by name (`'DC+'`, `'DC-'`); never empty."""
    pre_charge: Measurement[bool] | None = None
    """The pre-charge relay; None if there is none."""


@dataclass(frozen=True, slots=True)
class ContactorCommand:
    """Which coils are on."""

    main: bool
    """All main contactors."""
    pre_charge: bool = False
    """The pre-charge relay (a resistor across one main contactor), where there is one."""


@runtime_checkable
class ContactorDriver(Driver, Protocol):
    """Station contactors, one or more main poles and optionally a pre-charge relay.

    Safe state: all coils off. The coil supply has to drop when the process is gone.
    """

    def read(self) -> ContactorReading:
        """Return the newest feedback; fresh every 20 ms."""

    def command(self, command: ContactorCommand) -> None:
        """Switch the coils."""


# Connector lock


@dataclass(frozen=True, slots=True)
class LockReading:
    """Feedback of the connector lock."""

    locked: Measurement[bool] | None


@runtime_checkable
class LockDriver(Driver, Protocol):
    """Lock of the connector. Loss of the controller leaves it as it is: it may be under voltage.

    A station with a tethered cable, whose connector is locked by the vehicle, has no such driver:
    the vehicle locks its inlet before it goes to state C (ISO 17409), and that is what counts.
    """

    def read(self) -> LockReading:
        """Return the newest feedback; fresh every 100 ms."""

    def command(self, locked: bool) -> None:
        """Lock or unlock."""


# Emergency stop


@dataclass(frozen=True, slots=True)
class EmergencyStopReading:
    """State of the emergency stop circuit as software sees it (hardware acts without it)."""

    pressed: Measurement[bool] | None
    """True also for a broken wire or any other open contact in the circuit."""


@runtime_checkable
class EmergencyStopDriver(Driver, Protocol):
    """Input that mirrors the emergency stop circuit."""

    def read(self) -> EmergencyStopReading:
        """Return the newest state; fresh every 20 ms."""


# Voltage at the connector


@dataclass(frozen=True, slots=True)
class VoltmeterReading:
    """Voltage that a person could touch."""

    voltage: Measurement[float] | None
    """V between DC+ and DC- on the vehicle's side of the station's contactors."""


@runtime_checkable
class VoltmeterDriver(Driver, Protocol):
    """Voltage at the connector, by a device that measures for nothing else.

    Supply, isolation monitor and meter are compared with it, so none of them can be it, and
    `safety` and `power` have one each. What cannot be a voltage (a broken wire) is None.

    `safety` uses it before closing, before unlocking and against the supply's own word; `power`
    reports it during the welding check. `cabinet` has one at each output, before the contactors: no
    relay closes on a voltage that is not measured.
    """

    def read(self) -> VoltmeterReading:
        """Return the newest voltage; fresh every 50 ms."""


# Isolation monitor


class SelfTest(Enum):
    """Progress of the isolation monitor's self-test."""

    NONE = 0
    """Not run since the last ``START``."""
    RUNNING = 1
    PASSED = 2
    FAILED = 3


class IsolationCommand(Enum):
    """What the isolation monitor shall do."""

    STOP = 0
    """Disconnect from the output (safe state)."""
    MEASURE = 1
    """Measure continuously. The first MEASURE after STOP forgets the last self-test."""
    SELF_TEST = 2
    """Run the self-test once after MEASURE, then go on measuring."""


@dataclass(frozen=True, slots=True)
class IsolationReading:
    """What the isolation monitor says."""

    resistance: Measurement[float] | None
    """Ohm to earth, infinite above the range; None while not measuring or without a verdict.
    Its stamp is the time of the monitor's own measurement, not of the poll."""
    voltage: Measurement[float] | None
    """V between DC+ and DC-; None if the monitor does not measure it."""
    self_test: SelfTest
    device: str
    """Model and serial number."""
    alarms: tuple[Alarm, ...] = ()


@runtime_checkable
class IsolationDriver(Driver, Protocol):
    """Isolation monitoring device (IEC 61557-8). Safe state: not measuring."""

    def read(self) -> IsolationReading:
        """Return the newest values; fresh every second while measuring."""

    def command(self, command: IsolationCommand) -> None:
        """Start or stop measuring, or run the self-test.

        A stop ends what a self-test has found, however soon the next command follows.
        """


# DC supply


@dataclass(frozen=True, slots=True)
class SupplyLimits:
    """What the supply can do now, with the modules that are there. All >= 0."""

    minimum_voltage: float
    maximum_voltage: float
    minimum_current: float
    maximum_current: float
    maximum_power: float
    maximum_discharge_current: float = 0.0
    """A out of the vehicle; 0 = not bidirectional."""
    maximum_discharge_power: float = 0.0
    current_regulation_tolerance: float = 0.0
    """A."""
    peak_current_ripple: float = 0.0
    """A."""


@dataclass(frozen=True, slots=True)
class SupplyReading:
    """What the supply's output stage says; currents are summed over the modules."""

    voltage: Measurement[float] | None
    """V at the supply's terminals, before the station's contactors."""
    current: Measurement[float] | None
    """A, positive into the vehicle."""
    on: Measurement[bool] | None
    """True while any module's output stage is on."""
    limits: SupplyLimits | None
    """None until the supply has said what it can do."""
    set_voltage: Measurement[float] | None = None
    """V, the set-point as read back from the modules; None if they do not tell."""
    set_current: Measurement[float] | None = None
    """A, the set-point as read back from the modules; None if they do not tell."""
    temperature: Measurement[float] | None = None
    """degC, hottest module."""
    alarms: tuple[Alarm, ...] = ()
    missing: tuple[str, ...] = ()
    """Modules that do not tell what they do, and that the values above are without; a supply that
    rather stops than goes on without them lets its values grow old instead."""


@dataclass(frozen=True, slots=True)
class SupplyCommand:
    """What the supply shall do: constant voltage with a current limit."""

    on: bool
    voltage: float = 0.0
    """V >= 0. While off: the highest that is wanted once it is on, for a supply that has to choose
    a range before; 0 = not known yet."""
    current: float = 0.0
    """A, positive: limit of the current into the vehicle; negative: out of the vehicle."""


#: The DC supply's safe state.
SUPPLY_OFF = SupplyCommand(on=False)


@runtime_checkable
class SupplyDriver(Driver, Protocol):
    """DC supply, one or more modules. Safe state: output off, repeated until it is measured."""

    def read(self) -> SupplyReading:
        """Return the newest values; fresh every 100 ms."""

    def command(self, command: SupplyCommand) -> None:
        """Set on/off, voltage and current; both orders of set-point and on have to work."""


# Relays between the modules of a cabinet and its connectors


@dataclass(frozen=True, slots=True)
class MatrixReading:
    """What the feedback contacts of the relays say. True = closed."""

    relays: Mapping[str, Mapping[str, Measurement[bool] | None]]
    """One entry for each relay that there is, by module and connector."""


@dataclass(frozen=True, slots=True)
class MatrixCommand:
    """Which coils are on. It has no way to say that a module is on two outputs."""

    coils: Mapping[str, str]
    """The connector whose relay is to be closed, by module; all other relays are to be open."""


#: The safe state of the relays.
MATRIX_OPEN = MatrixCommand({})


@runtime_checkable
class MatrixDriver(Driver, Protocol):
    """Relays that put the modules of a cabinet on the outputs of its connectors.

    Safe state: all coils off. Only here commands may be silent for :data:`MATRIX_TIMEOUT`: the
    relays are not made to break a current, the contactors are and come first. The coil supply has
    to drop as late when the process is gone.
    """

    def read(self) -> MatrixReading:
        """Return the newest feedback; fresh every 50 ms."""

    def command(self, command: MatrixCommand) -> None:
        """Switch the coils. A relay that is not there is never closed."""


# Energy meter


@dataclass(frozen=True, slots=True)
class MeterReading:
    """What the energy meter says."""

    energy_imported: Measurement[float] | None
    """J into the vehicle since the meter was made."""
    energy_exported: Measurement[float] | None = None
    """J out of the vehicle since the meter was made."""
    voltage: Measurement[float] | None = None
    current: Measurement[float] | None = None
    power: Measurement[float] | None = None
    status: int = 0
    """The meter's own status word; 0 = fine."""
    meter_id: str = ''
    signed_reading: bytes = b''
    """Signed data set as the meter gives it; empty if it gives none."""
    signature_encoding: str = ''
    """E.g. `'OCMF'`; empty if not signed."""


@runtime_checkable
class MeterDriver(Driver, Protocol):
    """Energy meter of the connector."""

    def read(self) -> MeterReading:
        """Return the newest values; fresh every second."""


# Temperatures


@dataclass(frozen=True, slots=True)
class ThermometerReading:
    """Temperatures of the connector's contacts."""

    contacts: Mapping[str, Measurement[float] | None]
    """degC, by name (`'DC+'`, `'DC-'`)."""


@runtime_checkable
class ThermometerDriver(Driver, Protocol):
    """Temperature sensors in the connector; `power` derates by them."""

    def read(self) -> ThermometerReading:
        """Return the newest temperatures; fresh every second."""
