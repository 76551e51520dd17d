"""The `safety` node: pilot, contactors, lock and emergency stop on the safety supervisor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from std_msgs.msg import Header

from ccs2_interfaces.msg import ControlPilot, Link, PowerStatus, SafetyStatus
from ccs2_interfaces.srv import EmergencyStop
from ccs2_node import STATE, TELEMETRY, Level, Status, run
from ccs2_power import hal
from ccs2_power.devices import Device
from ccs2_power.hardware_node import HardwareNode
from ccs2_power.messages import (
    MonotonicStamps,
    fault_messages,
    measured,
    pilot_wish_of,
    power_report_of,
)
from ccs2_power.record import NodeRecord
from ccs2_power.safety import SafetyInputs, SafetySupervisor
from ccs2_power.settings import SafetySettings

#: The control beat in s: an event waits for a measurement, a beat, and what has to last.
PERIOD = 0.01
#: control_pilot is published on each change and at least so often, in s.
PILOT_PERIOD = 0.1

DEVICES = {
    'pilot': Device(hal.PilotDriver, True, 'control pilot'),
    'contactors': Device(hal.ContactorDriver, True, 'contactors'),
    'emergency_stop': Device(hal.EmergencyStopDriver, True, 'emergency stop input'),
    'voltmeter': Device(hal.VoltmeterDriver, True, 'voltage measurement at the connector'),
    'lock': Device(hal.LockDriver, False, 'connector lock (the vehicle locks its inlet)'),
}


class SafetyNode(HardwareNode[SafetySupervisor]):
    """Feeds the supervisor with messages and measurements, and carries out what it decides."""

    def __init__(self) -> None:
        super().__init__('safety', SafetySettings, DEVICES, PERIOD)
        self._status_publisher = self.publisher(SafetyStatus, 'safety/status', TELEMETRY)
        self._pilot_publisher = self.publisher(ControlPilot, 'control_pilot', STATE)
        self.subscribe(PowerStatus, 'power/status', self._on_power, TELEMETRY)
        self.subscribe(Link, 'link', self._on_link, STATE)
        self.serve(EmergencyStop, '~/emergency_stop', self._on_emergency_stop)
        self._shown_pilot: tuple[object, ...] = ()
        self._pilot_due = 0.0

    def make_core(self, settings: SafetySettings) -> SafetySupervisor:
        """Return a supervisor that remembers the contactors' wear."""
        supervisor = SafetySupervisor(settings)
        record = self._keeper.record
        supervisor.contactors.cycles = record.contactor_cycles
        supervisor.contactors.cycles_under_load = record.contactor_cycles_under_load
        return supervisor

    async def deactivate(self) -> None:
        """Open the contactors and take the pilot away."""
        self.devices['contactors'].command(hal.ContactorCommand(main=False))
        self.devices['pilot'].command(hal.DUTY_OFF)

    def _on_power(self, message: Any) -> None:
        if self.core.offer_power(power_report_of(message, self.loop.time())):
            self.beat()

    def _on_link(self, message: Any) -> None:
        self.core.offer_pilot_wish(pilot_wish_of(message, self.loop.time()))

    def _on_emergency_stop(self, request: Any, response: Any) -> Any:
        self.get_logger().warning(f'emergency stop commanded: {request.reason!r}')
        self.core.press_emergency_stop(request.reason, self.loop.time())
        self.beat()
        response.success = True
        return response

    def record(self) -> NodeRecord:
        """Return what a restart must not forget: the contactors' wear, too."""
        contactors = self.core.contactors
        return replace(
            super().record(), contactor_cycles=contactors.cycles,
            contactor_cycles_under_load=contactors.cycles_under_load)

    def step(self, now: float) -> None:
        """Let the supervisor decide, and carry it out."""
        devices = self.devices
        outputs = self.core.step(SafetyInputs(
            pilot=devices['pilot'].read(),
            contactors=devices['contactors'].read(),
            emergency_stop=devices['emergency_stop'].read(),
            voltmeter=devices['voltmeter'].read(),
            lock=devices['lock'].read() if 'lock' in devices else None,
            problems=devices.problems), now)
        devices['contactors'].command(outputs.contactors)
        devices['pilot'].command(outputs.duty)
        if 'lock' in devices:
            devices['lock'].command(outputs.lock)
        self._publish_pilot(now)

    def shown(self) -> tuple[object, ...]:
        """Return what is worth a status at once when it changes."""
        core = self.core
        return core.state, core.interlocks, core.emergency_stop, core.locked

    def publish_status(self, now: float) -> None:
        """Publish safety/status."""
        core = self.core
        command = core.lease.command
        contactors = core.contactors
        wall = self.now_message()
        self._status_publisher.publish(SafetyStatus(
            header=Header(stamp=wall), state=int(core.state), unplugged=core.unplugged,
            permitted=core.permitted,
            contactors_closed=contactors.all_closed, contactors_open=contactors.all_open,
            connector_locked=core.locked, emergency_stop=core.emergency_stop,
            session_id='' if command is None else command.session_id,
            command_sequence=0 if command is None else command.sequence,
            command_publisher=0 if command is None else command.publisher,
            lease_remaining=core.lease.remaining(now), interlocks=core.interlocks,
            contactor_cycles=contactors.cycles,
            contactor_cycles_under_load=contactors.cycles_under_load,
            faults=fault_messages(core.faults, MonotonicStamps(wall, now))))

    def _publish_pilot(self, now: float) -> None:
        pilot, duty = self.core.pilot, self.core.duty
        shown = (pilot.state, duty, pilot.bcb_toggles, pilot.proximity)
        if shown == self._shown_pilot and now < self._pilot_due:
            return
        self._shown_pilot, self._pilot_due = shown, now + PILOT_PERIOD - PERIOD / 2
        self._pilot_publisher.publish(ControlPilot(
            header=Header(stamp=self.now_message()), state=int(pilot.state), duty_cycle=duty,
            high_voltage=measured(pilot.high), low_voltage=measured(pilot.low),
            bcb_toggles=pilot.bcb_toggles, proximity=int(pilot.proximity)))

    def diagnose(self) -> Sequence[Status]:
        """Report supervisor, pilot and contactors."""
        core = self._core
        if core is None or not self.active:
            return [self.core_status('supervisor', {})]
        pilot, contactors = core.pilot, core.contactors
        return [
            self.core_status('supervisor', {
                'interlocks that do not hold': ', '.join(core.failing_interlocks()),
                'voltage at the connector [V]': measured(core.voltage),
                'connector locked': core.locked,
            }),
            Status('pilot', Level.ERROR if pilot.lost else Level.OK,
                   pilot.lost or f'state {pilot.state.name}', {
                       'duty cycle': core.duty, 'high [V]': measured(pilot.high),
                       'low [V]': measured(pilot.low),
                       'steps since plug-in': core.pilot_drive.steps}),
            Status('contactors', Level.OK if contactors.agree else Level.ERROR,
                   contactors.state.name.lower(), {
                       'cycles': contactors.cycles,
                       'cycles under load': contactors.cycles_under_load}),
            self.record_status(),
        ]


def main() -> None:
    """Run the node."""
    run(SafetyNode)


if __name__ == '__main__':
    main()
