"""A running station into which faults are put, and what is measured of it then."""

from __future__ import annotations

import contextlib
import functools
import math
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rosgraph_msgs.msg import Clock

from ccs2_interfaces.action import Charge
from ccs2_interfaces.msg import ChargeCommand, ChargingSession
from ccs2_interfaces.msg import Fault as FaultMessage
from ccs2_interfaces.srv import ClearFaults
from ccs2_node.qos import TELEMETRY
from ccs2_sim.plant_fault import ControlError, control
from station import laboratory
from station.connector import Connector
from station.fault_cases import MESSAGE, Fault
from station.parameters import changed
from station.processes import StationError, StationProcesses

#: Less than this is no current, in A.
NO_CURRENT = 1.0
#: What is safe has to stay so for this long, in s.
STAYS = 1.2
#: A vehicle that says nothing for so long has fallen silent, in s.
PAUSE = 0.3
#: Voltage in V that shows the output to be energised.
ENERGISED = 100.0
#: Names of the faults, and of the reasons of a session's end that are no faults.
CODES = {value: name for name, value in vars(type(FaultMessage())).items()
         if name.isupper() and isinstance(value, int) and not name.startswith('SEVERITY_')}

STOPS = {ChargingSession.STOP_VEHICLE: 'VEHICLE', ChargingSession.STOP_CONNECTION: 'CONNECTION'}

#: Ages and leases in s by file and parameter: as the simulation has them, with real-time priority
#: (a controller's defaults), and without it.
TIMES = (
    ('safety', 'power_timeout', 0.5, 0.2, 0.35),
    ('safety', 'pilot_timeout', 0.5, 0.1, 0.3),
    ('safety', 'contact_timeout', 0.5, 0.15, 0.3),
    ('safety', 'voltmeter_timeout', 0.5, 0.2, 0.35),
    ('safety', 'stall_time', 0.6, 0.25, 0.45),
    ('power', 'supply_timeout', 0.5, 0.25, 0.35),
    ('power', 'safety_timeout', 0.5, 0.2, 0.35),
    ('power', 'voltmeter_timeout', 0.5, 0.2, 0.35),
    ('power', 'stall_time', 0.6, 0.25, 0.45),
    ('hlc', 'lease', 0.5, 0.2, 0.35),
    ('hlc', 'transport_timeout', 1.5, 0.2, 0.35),
    ('v2g_transport', 'link_timeout', 1.5, 0.2, 0.35),
)
#: SCHED_FIFO priority of the nodes that own hardware.
PRIORITY = 60
#: Longest time in s for silence, with and without real-time priority.
SILENCE = {True: 0.3, False: 0.5}

Change = tuple[str, str, str]


def timing(realtime: bool) -> list[Change]:
    """Return the changes of the simulation's parameter files for strict times."""
    changes = [(f'{node}.yaml', f'{name}: {patient}', f'{name}: {strict if realtime else plain}')
               for node, name, patient, strict, plain in TIMES]
    if realtime:
        changes += [(f'{node}.yaml', 'ros__parameters:\n',
                     f'ros__parameters:\n    realtime_priority: {PRIORITY}\n')
                    for node in ('safety', 'power')]
    return changes


@dataclass(slots=True)
class Outcome:
    """What has followed from one fault. Times in s from the fault, NaN: it has not happened."""

    voltage: float
    """At the output when the fault came, in V: the control that there was something to lose."""
    current: float
    command: float = math.nan
    no_current: float = math.nan
    opened: float = math.nan
    codes: list[str] = field(default_factory=list)
    """What was reported, in that order."""
    output_off: bool = False


class FaultBench:
    """One connector of a running station, its processes and its simulated world."""

    def __init__(
        self, connector: Connector, processes: StationProcesses, socket: Path,
        goal: dict[str, Any],
    ) -> None:
        self.connector, self.processes = connector, processes
        self._socket, self._goal = str(socket), goal
        self._charge: Any = None
        self._came = self._heard = 0.0
        self._codes: dict[str, None] = {}
        self._stopped: list[int] = []
        self._killed = False
        self._offset = 0.0
        connector.hooks.append(self._note)

    # What a fault does.

    def put(self, fault: str, argument: str = '') -> None:
        """Put a fault into the simulated world."""
        control(self._socket, {'put': fault, 'argument': argument})

    def signal(self, process: str, number: int) -> None:
        """Send a signal to a process."""
        pid = self.processes.pids[process]
        os.kill(pid, number)
        if number == signal.SIGSTOP:
            self._stopped.append(pid)
        self._killed = True

    def step_clock(self, seconds: float) -> None:
        """Let the time of the graph jump, and see that the nodes' stamps jump with it."""
        self._offset += seconds
        self.connector.wait(
            lambda: abs(self.connector.latest['safety/status'].header.stamp.sec
                        - time.time() - self._offset) < 5.0, 2.0, 'stamps that have jumped')

    @contextmanager
    def clock(self) -> Iterator[None]:
        """Publish the graph's time, which is the machine's until it jumps."""
        node = self.connector.node
        publisher = node.create_publisher(Clock, '/clock', TELEMETRY)

        def tick() -> None:
            now = time.time_ns() + int(self._offset * 1e9)
            message = Clock()
            message.clock.sec, message.clock.nanosec = divmod(now, 10**9)
            publisher.publish(message)

        timer = node.create_timer(0.02, tick)
        yield
        node.destroy_timer(timer)

    def require_realtime(self) -> None:
        """Raise :class:`StationError` if a node that owns hardware has no real-time priority."""
        for part in ('safety: supervisor', 'power: controller'):
            status = self.connector.wait(
                functools.partial(self.connector.diagnostics.get, part), 10.0, part)
            values = {value.key: value.value for value in status.values}
            if values.get('real time') != 'on':
                raise StationError(f'{part}: real time is {values.get("real time")}')

    # One case.

    def plug_in(self, misbehaviour: str = '') -> None:
        """Let a car come."""
        self._charge = self.connector.plug_in(**self._goal, misbehaviour=misbehaviour)
        self._came = time.monotonic()

    def reach(self, reached: Callable[[FaultBench], bool], what: str) -> None:
        """Wait for a stage; raise :class:`StationError` if the car's visit ends before."""
        self.connector.wait(
            lambda: reached(self) or self._charge.done(), 60.0, f'stage {what}')
        if self._charge.done():
            result = self._charge.result().result
            raise StationError(f'no stage {what}: {result.error_code} {result.error_msg}')

    def strike(self, fault: Fault) -> float:
        """Let the fault happen, or note that it has; return when."""
        self._codes.clear()
        begin = time.monotonic()
        if not fault.begins:
            fault.act(self)
            return begin
        if fault.begins == MESSAGE:
            self.connector.wait(
                lambda: time.monotonic() - self._heard > PAUSE, 30.0, 'a silent vehicle')
            return self._heard
        return float(self.connector.wait(
            lambda: self._ended(fault.begins, self._came), 30.0, fault.name))

    def _ended(self, aspect: str, start: float) -> float:
        """Return when an aspect last became false, 0 if it has not."""
        ends = [moment for moment, what, value in self._events(start)
                if what == aspect and not value]
        return ends[-1] if ends else 0.0

    def settle(self, patience: float) -> None:
        """Wait until nothing is energised, `patience` s at most, and some time more."""
        with contextlib.suppress(StationError):
            self.connector.wait(lambda: not self.energised, patience, 'a safe output')
        self.connector.spin(STAYS)

    def outcome(self, begin: float, before: dict[str, Any]) -> Outcome:
        """Return what has followed since `begin`, when the world was as in `before`."""
        state, events = self.state, self._events(begin)

        def last(aspect: str, gone: bool) -> float:
            if not gone:
                return math.nan
            return max((moment - begin for moment, what, value in events
                        if what == aspect and not value), default=0.0)

        commands = [moment - begin for moment, what, value in events
                    if what == 'less' or (what in ('coils', 'supply') and not value)]
        return Outcome(
            voltage=before['voltmeter']['voltage'], current=before['meter']['current'],
            command=min(commands, default=math.nan),
            no_current=last('current', abs(state['supply']['current']) < NO_CURRENT),
            opened=last('closed', not state['closed']),
            codes=list(self._codes), output_off=not state['supply']['on'])

    @property
    def state(self) -> dict[str, Any]:
        """The world as it is."""
        state: dict[str, Any] = control(self._socket, {})['state']
        return state

    @property
    def energised(self) -> bool:
        """Something is under power at the connector."""
        state = self.state
        return bool(state['closed'] and (
            state['supply']['on'] or abs(state['meter']['current']) >= NO_CURRENT))

    @property
    def charge_ended(self) -> bool:
        """The car has given up or finished."""
        return bool(self._charge is not None and self._charge.done())

    def _events(self, begin: float) -> list[tuple[float, str, bool]]:
        return [(moment, what, value)
                for moment, what, value in control(self._socket, {'since': begin})['events']]

    def _note(self, topic: str, message: Any) -> None:
        if topic == 'v2g/trace':
            self._heard = time.monotonic()
        for fault in getattr(message, 'faults', ()):
            if fault.severity > FaultMessage.SEVERITY_WARNING:
                self._codes.setdefault(CODES.get(fault.code, str(fault.code)))
        if (reason := STOPS.get(getattr(message, 'stop_reason', 0))) is not None:
            self._codes.setdefault(reason)

    # Afterwards.

    def recover(self) -> None:
        """Take every fault away and wait until the next car can come."""
        for pid in self._stopped:
            with contextlib.suppress(ProcessLookupError):
                # What stood still for long is not believed any more: it begins anew.
                os.kill(pid, signal.SIGKILL)
        self._stopped.clear()
        control(self._socket, {'clear': 'all'})
        if self._charge is not None:
            self.connector.unplug()
            with contextlib.suppress(StationError):
                self.connector.wait(self._charge.done, 30.0, "the car's result")
        self._charge = None
        if self._killed:
            self._killed = False
            self.connector.spin(1.0)
        self.connector.wait_until_ready()
        self.connector.wait(lambda: self.connector.empty, 30.0, 'an empty connector')
        self.connector.wait(self._clear, 40.0, 'a station without faults')

    def _clear(self) -> bool:
        self.connector.spin(0.3)
        return all(self.connector.call(ClearFaults, f'{node}/clear_faults',
                                       ClearFaults.Request()).success
                   for node in ('safety', 'power'))


def commanded(*modes: int) -> Callable[[FaultBench], bool]:
    """Tell by the topics whether the station is energised in one of these modes."""

    def reached(bench: FaultBench) -> bool:
        latest = bench.connector.latest
        if not {'charge_command', 'safety/status', 'power/status'} <= latest.keys():
            return False
        command, safety, power = (
            latest[topic] for topic in ('charge_command', 'safety/status', 'power/status'))
        return bool(command.mode in modes and safety.contactors_closed
                    and power.voltage > ENERGISED
                    and (command.mode != ChargeCommand.MODE_CHARGE or power.current > 50.0))

    return reached


#: How each stage is known.
REACHED: dict[str, Callable[[FaultBench], bool]] = {
    'cable check': commanded(ChargeCommand.MODE_CABLE_CHECK),
    'pre-charge': commanded(ChargeCommand.MODE_PRE_CHARGE),
    'charging': commanded(ChargeCommand.MODE_CHARGE),
    'stopping': commanded(ChargeCommand.MODE_STOP),
}


@dataclass(frozen=True, slots=True)
class Setting:
    """How a station is started for a part of the matrix."""

    protocol: int = Charge.Goal.PROTOCOL_DIN_70121
    power: str = 'sim'
    tls: bool = False
    clock: bool = False

    def changes(self, folder: Path) -> list[Change]:
        """Return the changes of the parameter files; make what they need in a folder."""
        changes: list[Change] = []
        if self.tls:
            laboratory.make(folder / 'pki')
            changes += laboratory.secured(folder / 'pki', 'eim', tls='1.3')
        if self.clock:
            changes += [(path.name, 'ros__parameters:\n',
                         'ros__parameters:\n    use_sim_time: true\n')
                        for path in sorted((Path(__file__).parents[2]
                                            / 'launch/config/simulation').glob('*.yaml'))]
        return changes


@contextmanager
def running(
    setting: Setting, folder: Path, changes: Sequence[Change], domain: int | None = None,
) -> Iterator[FaultBench]:
    """Start a station for faults; everything it writes is in `folder`."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    arguments: dict[str, object] = {
        'run_directory': folder / 'run', 'power': setting.power,
        'config': changed(folder / 'config', [*setting.changes(folder), *changes])}
    if setting.tls:
        arguments['store'] = (folder / 'pki' / laboratory.STORE).resolve()
    environment = {'ROS_LOG_DIR': str(folder / 'log')}
    if domain is not None:
        environment['ROS_DOMAIN_ID'] = str(domain)
    goal = {'protocol': setting.protocol, 'state_of_charge': 0.4, 'target_state_of_charge': 0.9,
            'maximum_duration': 4.0}
    with Connector(domain=domain) as connector:
        processes = StationProcesses(
            arguments=arguments, environment=environment, log=folder / 'station.log')
        bench = FaultBench(connector, processes, folder / 'run' / 'connector_1.sock', goal)
        try:
            with bench.clock() if setting.clock else contextlib.nullcontext():
                connector.wait_until_ready()
                yield bench
        except ControlError as error:
            raise StationError(f'the simulated world is gone: {error}') from None
        finally:
            processes.stop()
