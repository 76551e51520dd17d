"""What the two nodes that own hardware share: devices, charge command, faults, control beat."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from enum import IntEnum
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from ccs2_interfaces.msg import ChargeCommand as ChargeCommandMessage
from ccs2_interfaces.srv import ClearFaults
from ccs2_node import LATEST, ConfigureError, Level, ManagedNode, Status
from ccs2_power.command import ChargeCommand, CommandError, Lease
from ccs2_power.devices import Device, Devices, declare_settings, read_settings
from ccs2_power.faults import Code, Fault, FaultBook, Severity
from ccs2_power.messages import LISTED_FAULTS, charge_command_of
from ccs2_power.realtime import BeatMeter, make_realtime
from ccs2_power.record import NodeRecord, RecordError, RecordKeeper

#: A status is published at least so often, in s.
STATUS_PERIOD = 0.04


class Core(Protocol):
    """What the nodes' cores have in common."""

    faults: FaultBook
    lease: Lease

    @property
    def state(self) -> IntEnum:
        """The state that is published."""

    def offer_command(self, command: ChargeCommand, now: float) -> bool:
        """Take a charge command; False if the lease refuses it."""

    def clear_faults(self, codes: Iterable[int] = ()) -> list[Code]:
        """Clear faults whose cause has gone; return the codes that are left."""


C = TypeVar('C', bound=Core)


class HardwareNode(ManagedNode, Generic[C]):
    """A node that runs a core every `period` s, and at once when a message arrives."""

    def __init__(
        self, name: str, settings: type[Any], devices: Mapping[str, Device], period: float,
    ) -> None:
        super().__init__(name)
        self._period = period
        self._settings_type = settings
        self._settings: Any = None
        declare_settings(self, settings)
        self.parameter('realtime_priority', 0, 'SCHED_FIFO priority of this process; 0: none.',
                       minimum=0, maximum=99)
        self.parameter('state_file', '', 'File of this node alone that keeps the faults that hold '
                                         'the station, and wear; empty: a restart forgets them.')
        self.devices = Devices(self, devices)
        self.subscribe(ChargeCommandMessage, 'charge_command', self._on_command, LATEST)
        self.serve(ClearFaults, '~/clear_faults', self._on_clear_faults)
        self._core: C | None = None
        self._keeper = RecordKeeper(None)
        self._jitter = BeatMeter(period)
        self._realtime_problem = ''
        self._bad_commands = 0
        self._shown: tuple[object, ...] = ()
        self._logged: set[tuple[Code, str]] = set()
        self._status_due = 0.0

    @property
    def core(self) -> C:
        """The core; there is one once the node has been active."""
        if self._core is None:
            raise RuntimeError(f'{self.get_name()} has not been active')
        return self._core

    @abstractmethod
    def make_core(self, settings: Any) -> C:
        """Return a new core."""

    def record(self) -> NodeRecord:
        """Return what a restart must not forget."""
        return NodeRecord(held=tuple(int(code) for code in self.core.faults.held))

    @abstractmethod
    def step(self, now: float) -> None:
        """Read the devices, run the core, command the devices."""

    @abstractmethod
    def publish_status(self, now: float) -> None:
        """Publish the node's status."""

    @abstractmethod
    def shown(self) -> tuple[object, ...]:
        """Return what is worth a status at once when it changes."""

    async def configure(self) -> None:
        """Read parameters and the record, open the devices in their safe state."""
        place = self.value('state_file')
        try:
            self._keeper = RecordKeeper(Path(place) if place else None)
        except RecordError as error:
            raise ConfigureError(f"parameter 'state_file': {error}") from None
        self._settings = read_settings(self, self._settings_type)
        priority = self.value('realtime_priority')
        self._realtime_problem = make_realtime(priority) if priority else ''
        if self._realtime_problem:
            self.get_logger().warning(f'no real-time scheduling: {self._realtime_problem}')
        await self.devices.open()

    async def activate(self) -> None:
        """Start the beat with a new core; nothing is energised until a command wants it.

        What held the station before still does.
        """
        self._core = self.make_core(self._settings)
        self._core.faults.restore(map(Code, self._keeper.record.held), self.loop.time())
        self.every(self._period, self.beat)

    async def cleanup(self) -> None:
        """Close the devices: each is then in its safe state; keep the record."""
        await self.devices.close()
        self._core = None
        try:
            await self._keeper.close()
        except RecordError as error:
            self.get_logger().error(str(error))

    def beat(self) -> None:
        """Step once, and publish the status if it is due or has changed."""
        now = self.loop.time()
        self._jitter.note(now)
        before = self.core.state
        self.step(now)
        self._keeper.keep(self.record(), now)
        if self._keeper.problem:
            self.get_logger().error(self._keeper.problem, throttle_duration_sec=60.0)
        if self.core.state is not before:
            self.get_logger().info(self.core.state.name.lower())
        self._log_faults(self.core.faults)
        shown = (*self.shown(), tuple(
            (fault.code, fault.source, fault.present) for fault in self.core.faults))
        if shown != self._shown or now >= self._status_due:
            self._shown, self._status_due = shown, now + STATUS_PERIOD - self._period / 2
            self.publish_status(now)

    def _log_faults(self, faults: Iterable[Fault]) -> None:
        present = {(fault.code, fault.source): fault for fault in faults if fault.present}
        for key, fault in present.items():
            if key not in self._logged:
                self.get_logger().warning(f'{fault.code.name}: {fault.message}')
        for code, _ in self._logged - present.keys():
            self.get_logger().info(f'{code.name}: gone')
        self._logged = set(present)

    def _on_command(self, message: Any) -> None:
        try:
            command = charge_command_of(message)
        except CommandError as error:
            self._bad_commands += 1
            self.get_logger().warning(
                f'charge_command refused: {error}', throttle_duration_sec=1.0)
            return
        before = self.core.lease.command
        # A renewal has time until the next beat.
        if self.core.offer_command(command, self.loop.time()) and command != before:
            self.beat()

    def _on_clear_faults(self, request: Any, response: Any) -> Any:
        remaining = self.core.clear_faults(request.codes)
        response.success = not remaining
        response.remaining = [int(code) for code in remaining[:LISTED_FAULTS]]
        response.message = ', '.join(code.name for code in remaining)[:256]
        self.get_logger().info(f'faults cleared, left: {response.message or "none"}')
        return response

    def core_status(self, part: str, values: Mapping[str, object]) -> Status:
        """Return the diagnostics of the core with the values that all cores have."""
        core = self._core
        if core is None or not self.active:
            return Status(part, Level.STALE, 'not active')
        worst = core.faults.worst
        level = Level.OK if worst is None else (
            Level.WARN if worst is Severity.WARNING else Level.ERROR)
        message = '; '.join(fault.message for fault in core.faults) or core.state.name.lower()
        return Status(part, level, message[:256], {
            'state': core.state.name, **values,
            'lease [s]': core.lease.remaining(self.loop.time()),
            'commands refused': core.lease.refused + self._bad_commands,
            'beats': self._jitter.beats,
            'worst lateness of a beat [ms]': 1e3 * self._jitter.take_worst(),
            'real time': self._realtime_problem or (
                'on' if self.value('realtime_priority') else 'off'),
        })

    def record_status(self) -> Status:
        """Return the diagnostics of the record."""
        problem = self._keeper.problem
        return Status('record', Level.ERROR if problem else Level.OK, problem or 'written')
