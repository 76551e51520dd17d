"""The station's drivers on virtual hardware: each is one device of the plant.

Option of all of them: ``socket=PATH``, the plant's socket; without it the environment variable
``CCS2_PLANT_SOCKET``, and without that the plant's own default.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ccs2_power.faults import Severity
from ccs2_power.hal import (
    Alarm,
    ContactorCommand,
    ContactorReading,
    DriverError,
    EmergencyStopReading,
    IsolationCommand,
    IsolationReading,
    LockReading,
    MatrixCommand,
    MatrixReading,
    Measurement,
    MeterReading,
    PilotReading,
    SelfTest,
    SupplyCommand,
    SupplyLimits,
    SupplyReading,
    ThermometerReading,
    VoltmeterReading,
)
from ccs2_sim.can_modules.shared import MATRIX, output_device
from ccs2_sim.plant.client import PlantClient, PlantError
from ccs2_sim.plant.wire import Object

_SELF_TESTS = {
    'none': SelfTest.NONE, 'running': SelfTest.RUNNING, 'passed': SelfTest.PASSED,
    'failed': SelfTest.FAILED,
}


class _Simulated:
    """What all simulated drivers share; see :class:`ccs2_power.hal.Driver`."""

    DEVICE: str

    def __init__(self) -> None:
        self._client = PlantClient(self.DEVICE)
        self._source = f'simulated {self.DEVICE.replace("_", " ")}'

    @property
    def problem(self) -> str:
        """What is wrong with the connection to the plant now; `''` if nothing."""
        return self._client.problem

    async def open(self, parameters: Mapping[str, str]) -> None:
        """Connect to the plant; raise :class:`DriverError` if it is not there."""
        for name in parameters:
            if name != 'socket':
                raise DriverError(f'{self._source}: unknown option {name!r}; there is socket')
        try:
            await self._client.open(parameters.get('socket', ''))
        except PlantError as error:
            raise DriverError(f'{self._source}: {error}') from None

    async def close(self) -> None:
        """Cut the connection: the plant brings the device to its safe state."""
        await self._client.close()

    def _value(self, field: str) -> Measurement[Any] | None:
        """Return a field of the newest report as a measurement, None if it has none."""
        report = self._client.report
        if report is None or report.get(field) is None:
            return None
        return Measurement(report[field], self._source, report['stamp'])

    def _report(self) -> Object:
        return self._client.report or {}


class SimulatedPilot(_Simulated):
    """Control pilot."""

    DEVICE = 'pilot'

    def read(self) -> PilotReading:
        """Return the newest levels."""
        return PilotReading(self._value('high'), self._value('low'), self._value('duty'))

    def command(self, duty: float) -> None:
        """Drive the pilot with a duty cycle of 0..1."""
        self._client.command(duty=duty)


class SimulatedContactors(_Simulated):
    """Two main contactors with mirror contacts, no pre-charge relay."""

    DEVICE = 'contactors'

    def read(self) -> ContactorReading:
        """Return the newest feedback."""
        return ContactorReading({pole: self._value(pole) for pole in ('DC+', 'DC-')})

    def command(self, command: ContactorCommand) -> None:
        """Switch the coils."""
        self._client.command(main=command.main)


class SimulatedLock(_Simulated):
    """Connector lock."""

    DEVICE = 'lock'

    def read(self) -> LockReading:
        """Return the newest feedback."""
        return LockReading(self._value('locked'))

    def command(self, locked: bool) -> None:
        """Lock or unlock."""
        self._client.command(locked=locked)


class SimulatedEmergencyStop(_Simulated):
    """Emergency stop input."""

    DEVICE = 'emergency_stop'

    def read(self) -> EmergencyStopReading:
        """Return the newest state."""
        return EmergencyStopReading(self._value('pressed'))


class SimulatedVoltmeter(_Simulated):
    """Voltage at the connector."""

    DEVICE = 'voltmeter'

    def read(self) -> VoltmeterReading:
        """Return the newest voltage."""
        return VoltmeterReading(self._value('voltage'))


class SimulatedSecondVoltmeter(SimulatedVoltmeter):
    """Another one, so that `safety` and `power` do not rely on the same."""

    DEVICE = 'second_voltmeter'


class SimulatedIsolation(_Simulated):
    """Isolation monitor at the supply's terminals."""

    DEVICE = 'isolation'

    def read(self) -> IsolationReading:
        """Return the newest values; the resistance has the stamp of the monitor's own value."""
        report = self._report()
        resistance = None
        if report.get('measured'):
            ohm = report['resistance']
            resistance = Measurement(
                math.inf if ohm is None else ohm, self._source, report['taken'])
        return IsolationReading(
            resistance, self._value('voltage'), _SELF_TESTS[report.get('self_test', 'none')],
            device=self._source)

    def command(self, command: IsolationCommand) -> None:
        """Start or stop measuring, or run the self-test."""
        self._client.command(
            measure=command is not IsolationCommand.STOP,
            self_test=command is IsolationCommand.SELF_TEST)


class SimulatedSupply(_Simulated):
    """DC supply of one module."""

    DEVICE = 'supply'

    def read(self) -> SupplyReading:
        """Return the newest values."""
        report = self._report()
        alarm = report.get('alarm')
        return SupplyReading(
            voltage=self._value('voltage'), current=self._value('current'), on=self._value('on'),
            limits=SupplyLimits(**report['limits']) if report else None,
            set_voltage=self._value('set_voltage'), set_current=self._value('set_current'),
            temperature=self._value('temperature'),
            alarms=(Alarm(Severity.ERROR, self._source, alarm),) if alarm else ())

    def command(self, command: SupplyCommand) -> None:
        """Set on/off, voltage and current."""
        self._client.command(on=command.on, voltage=command.voltage, current=command.current)


class SimulatedMeter(_Simulated):
    """Energy meter between the station's contactors and the connector."""

    DEVICE = 'meter'

    def read(self) -> MeterReading:
        """Return the newest values."""
        return MeterReading(
            self._value('imported'), self._value('exported'), self._value('voltage'),
            self._value('current'), self._value('power'), meter_id='SIM-METER-1')


class SimulatedThermometer(_Simulated):
    """Temperature sensors of the connector's contacts."""

    DEVICE = 'thermometer'

    def read(self) -> ThermometerReading:
        """Return the newest temperatures."""
        return ThermometerReading({pole: self._value(pole) for pole in ('DC+', 'DC-')})


class SimulatedOutputVoltmeter(SimulatedVoltmeter):
    """Voltage at an output of a shared cabinet; option ``output``: the connector's name."""

    async def open(self, parameters: Mapping[str, str]) -> None:
        """Connect to the cabinet's relays; raise :class:`DriverError` if they are not there."""
        options = dict(parameters)
        connector = options.pop('output', '')
        if not connector:
            raise DriverError(f"{self._source}: option 'output' is missing")
        self._client = PlantClient(output_device(connector))
        await super().open(options)


class SimulatedMatrix(_Simulated):
    """Relays of a shared cabinet."""

    DEVICE = MATRIX

    def read(self) -> MatrixReading:
        """Return the newest feedback."""
        report = self._report()
        return MatrixReading({
            module: {connector: Measurement(closed, self._source, report['stamp'])
                     for connector, closed in relays.items()}
            for module, relays in report.get('relays', {}).items()})

    def command(self, command: MatrixCommand) -> None:
        """Switch the coils."""
        self._client.command(coils=dict(command.coils))

    async def close(self) -> None:
        """Open all relays, then cut the connection: the coils would drop later by themselves."""
        self._client.command(coils={})
        await super().close()
