"""The `power` node: DC supply, isolation monitor and meter on the power controller."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from std_msgs.msg import Header

from ccs2_interfaces.msg import Isolation, Meter, PowerStatus, SafetyStatus
from ccs2_node import TELEMETRY, Level, Status, run
from ccs2_power import hal
from ccs2_power.command import Mode
from ccs2_power.devices import Device
from ccs2_power.hardware_node import HardwareNode
from ccs2_power.messages import MonotonicStamps, fault_messages, measured, safety_report_of
from ccs2_power.power import PowerController, PowerInputs
from ccs2_power.settings import PowerSettings
from ccs2_power.timing import fresh

#: The control beat in s.
PERIOD = 0.02
#: isolation and meter are published so often, in s.
READINGS_PERIOD = 0.25
#: Longest signed data set that the message `Meter` holds.
SIGNED_READING = 4096

DEVICES = {
    'supply': Device(hal.SupplyDriver, True, 'DC supply'),
    'isolation': Device(hal.IsolationDriver, True, 'isolation monitor'),
    'voltmeter': Device(hal.VoltmeterDriver, True, 'voltage measurement at the connector'),
    'meter': Device(hal.MeterDriver, False, 'energy meter'),
    'thermometer': Device(hal.ThermometerDriver, False, "sensors at the connector's contacts"),
}


class PowerNode(HardwareNode[PowerController]):
    """Feeds the controller with messages and measurements, and carries out what it decides."""

    def __init__(self) -> None:
        super().__init__('power', PowerSettings, DEVICES, PERIOD)
        self._status_publisher = self.publisher(PowerStatus, 'power/status', TELEMETRY)
        self._isolation_publisher = self.publisher(Isolation, 'isolation', TELEMETRY)
        self._meter_publisher = self.publisher(Meter, 'meter', TELEMETRY)
        self.subscribe(SafetyStatus, 'safety/status', self._on_safety, TELEMETRY)
        self._inputs: PowerInputs | None = None

    def make_core(self, settings: PowerSettings) -> PowerController:
        """Return a new controller."""
        return PowerController(settings)

    async def activate(self) -> None:
        """Start to control; the supply stays off until a command switches it on."""
        await super().activate()
        self.every(READINGS_PERIOD, self._publish_readings)

    async def deactivate(self) -> None:
        """Switch the supply off."""
        self.devices['supply'].command(hal.SUPPLY_OFF)
        self.devices['isolation'].command(hal.IsolationCommand.STOP)

    def _on_safety(self, message: Any) -> None:
        if self.core.offer_safety(safety_report_of(message, self.loop.time())):
            self.beat()

    def step(self, now: float) -> None:
        """Let the controller decide, and carry it out."""
        devices = self.devices
        self._inputs = PowerInputs(
            supply=devices['supply'].read(),
            isolation=devices['isolation'].read(),
            voltmeter=devices['voltmeter'].read(),
            meter=devices['meter'].read() if 'meter' in devices else None,
            thermometer=devices['thermometer'].read() if 'thermometer' in devices else None,
            problems=devices.problems)
        outputs = self.core.step(self._inputs, now)
        devices['supply'].command(outputs.supply)
        devices['isolation'].command(outputs.isolation)

    def shown(self) -> tuple[object, ...]:
        """Return what is worth a status at once when it changes."""
        return self.core.state, self.core.cable_check, self.core.supply.on

    def publish_status(self, now: float) -> None:
        """Publish power/status."""
        core, inputs = self.core, self._inputs
        if inputs is None:
            return
        wall = self.now_message()
        stamps = MonotonicStamps(wall, now)
        measurements = [measurement.stamp for measurement in
                        (inputs.supply.voltage, inputs.supply.current) if measurement is not None]
        command = core.lease.command
        mode = core.lease.mode(now)
        voltage = core.connector_voltage if mode is Mode.WELDING_CHECK else core.voltage
        current, limits, on = core.current, core.limits, core.supply.on
        self._status_publisher.publish(PowerStatus(
            header=Header(stamp=stamps.at(min(measurements, default=now))), state=int(core.state),
            session_id=core.session_id,
            command_sequence=0 if command is None else command.sequence,
            command_publisher=0 if command is None else command.publisher,
            voltage=measured(voltage), current=measured(current),
            power=math.nan if voltage is None or current is None else voltage * current,
            target_voltage=core.supply.voltage if on else math.nan,
            target_current=core.supply.current if on else math.nan,
            temperature=measured(core.temperature),
            minimum_voltage=limits.minimum_voltage, maximum_voltage=limits.maximum_voltage,
            minimum_current=limits.minimum_current, maximum_current=limits.maximum_current,
            maximum_power=limits.maximum_power,
            maximum_discharge_current=limits.maximum_discharge_current,
            maximum_discharge_power=limits.maximum_discharge_power,
            current_regulation_tolerance=limits.current_regulation_tolerance,
            peak_current_ripple=limits.peak_current_ripple,
            voltage_limit_achieved=core.set_point.voltage_limited,
            current_limit_achieved=core.set_point.current_limited,
            power_limit_achieved=core.set_point.power_limited,
            cable_check=int(core.cable_check), faults=fault_messages(core.faults, stamps)))

    def _publish_readings(self) -> None:
        core, inputs = self.core, self._inputs
        if inputs is None:
            return
        now, settings = self.loop.time(), core.settings
        stamps = MonotonicStamps(self.now_message(), now)
        monitor = inputs.isolation
        resistance = fresh(core.resistance, now, settings.isolation_timeout)
        self._isolation_publisher.publish(Isolation(
            header=Header(stamp=stamps.at(
                now if core.resistance is None else core.resistance.stamp)),
            state=int(core.isolation_state), resistance=measured(resistance),
            voltage=measured(fresh(monitor.voltage, now, settings.isolation_timeout)),
            self_test=monitor.self_test.value, device=monitor.device[:64]))
        meter = inputs.meter
        if meter is None:
            return
        values = {
            name: measured(fresh(getattr(meter, name), now, settings.meter_timeout))
            for name in ('energy_imported', 'energy_exported', 'voltage', 'current', 'power')}
        self._meter_publisher.publish(Meter(
            header=Header(stamp=stamps.at(
                now if meter.energy_imported is None else meter.energy_imported.stamp)),
            session_energy=measured(core.session_energy), status=_signed(meter.status),
            meter_id=meter.meter_id[:32], **signed_data(meter), **values))

    def diagnose(self) -> Sequence[Status]:
        """Report controller and devices."""
        core = self._core
        if core is None or not self.active:
            return [self.core_status('controller', {})]
        return [
            self.core_status('controller', {
                'cable check': core.cable_check.name,
                'voltage [V]': measured(core.voltage),
                'current [A]': measured(core.current),
                'voltage set-point [V]': core.supply.voltage,
                'current set-point [A]': core.supply.current,
                'temperature [degC]': measured(core.temperature),
            }),
            *(Status(device, Level.ERROR if problem else Level.OK, problem or 'fine')
              for device, problem in self.devices.problems.items()),
            self.record_status(),
        ]


def signed_data(meter: hal.MeterReading) -> dict[str, Any]:
    """Return the fields of the signed data set, empty if the message cannot hold the whole set.

    Cut off, no signature would fit it.
    """
    if len(meter.signed_reading) > SIGNED_READING:
        return {}
    return {'signed_reading': meter.signed_reading,
            'signature_encoding': meter.signature_encoding[:16]}


def _signed(status: int) -> int:
    """Return a 16-bit status word as the signed number that its field holds."""
    status &= 0xFFFF
    return status - 0x10000 if status & 0x8000 else status


def main() -> None:
    """Run the node."""
    run(PowerNode)


if __name__ == '__main__':
    main()
