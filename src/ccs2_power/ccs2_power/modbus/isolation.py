"""Isolation monitors on Modbus: the map, the core that decides what to tell, and the driver."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from ccs2_power.faults import Severity
from ccs2_power.hal import (
    COMMAND_TIMEOUT,
    Alarm,
    DriverError,
    IsolationCommand,
    IsolationReading,
    Measurement,
    SelfTest,
)
from ccs2_power.modbus.bus import BUS_OPTIONS, ModbusError
from ccs2_power.modbus.device import ModbusDevice, ModbusDriver
from ccs2_power.modbus.registers import (
    Condition,
    DeviceMap,
    Field,
    Image,
    Table,
    Write,
    any_holds,
    load_map,
)
from ccs2_power.options import Options

#: The registers are read this often, in s.
CYCLE = 0.25


@dataclass(frozen=True, slots=True)
class Requirement:
    """What a device has to be."""

    address: int
    at_least: int
    text: str


@dataclass(frozen=True, slots=True)
class IsolationMap:
    """An isolation monitor as data."""

    device: DeviceMap
    resistance: Field
    """Ohm."""
    voltage: Field | None
    no_resistance: tuple[Condition, ...]
    no_voltage: tuple[Condition, ...]
    testing: tuple[Condition, ...]
    failed: tuple[Condition, ...]
    start: tuple[Write, ...]
    stop: tuple[Write, ...]
    self_test: tuple[Write, ...]
    after_self_test: tuple[Write, ...]
    setup: tuple[Write, ...]
    """Written when the device comes and has something else there."""
    require: tuple[Requirement, ...]
    value_age: float
    """s, age of a value when it is read, at most."""
    settle_time: float
    """s after start and self-test until a value is one."""
    self_test_time: float
    """s, longest self-test."""

    @classmethod
    def of(cls, table: Table) -> IsolationMap:
        """Read a map; raise :class:`DriverError` naming what is wrong with it."""
        table.choice('kind', ('isolation',))
        resistance = table.field('resistance')
        if resistance is None:
            raise DriverError('the map has no resistance')
        require = []
        for entry in table.tables('require'):
            require.append(Requirement(
                entry.word('address'), entry.word('at_least'), entry.take('text', str)))
            entry.end()
        found = cls(
            DeviceMap.of(table), resistance, table.field('voltage'),
            table.conditions('no_resistance'), table.conditions('no_voltage'),
            table.conditions('testing'), table.conditions('failed'),
            table.writes('start'), table.writes('stop'), table.writes('self_test'),
            table.writes('after_self_test'), table.writes('setup'), tuple(require),
            table.take('value_age', float), table.take('settle_time', float),
            table.take('self_test_time', float))
        table.end()
        if not (found.self_test and found.testing):
            raise DriverError(f"map {found.device.model}: 'self_test' and 'testing' are needed: "
                              'a monitor without self-test cannot pass a cable check')
        found.device.covers(resistance, found.voltage, *found.no_resistance, *found.no_voltage,
                            *found.testing, *found.failed)
        return found


class Action(Enum):
    """What is to be told to the device."""

    STOP = 'stop'
    START = 'start'
    SELF_TEST = 'self-test'
    END_SELF_TEST = 'end of the self-test'


class _Phase(Enum):
    UNKNOWN = 0
    STOPPED = 1
    MEASURING = 2


class IsolationCore:
    """Decides what to tell the monitor, and what its registers mean."""

    def __init__(self, device_map: IsolationMap, device: str) -> None:
        self._map = device_map
        self._device = device
        self._source = f'isolation monitor {device_map.device.model}'
        self._phase = _Phase.UNKNOWN
        self._command = IsolationCommand.STOP
        self._told = -math.inf
        self._stop_due = False
        self._self_test = SelfTest.NONE
        self._test_seen = False
        self._test_end = math.inf
        self._restore = False
        self._valid_from = math.inf
        self._resistance: Measurement[float] | None = None
        self._voltage: Measurement[float] | None = None
        self._alarms: tuple[Alarm, ...] = ()

    @property
    def reading(self) -> IsolationReading:
        """The newest values."""
        return IsolationReading(
            self._resistance, self._voltage, self._self_test, self._device, self._alarms)

    def command(self, command: IsolationCommand, now: float) -> None:
        """Take the newest wish; a stop is carried out, however soon the next wish follows."""
        self._command, self._told = command, now
        self._stop_due |= (
            command is IsolationCommand.STOP and self._phase is not _Phase.STOPPED)

    def due(self, now: float) -> Action | None:
        """Return what has to be told now."""
        heard = now - self._told <= COMMAND_TIMEOUT
        if self._stop_due or not heard or self._command is IsolationCommand.STOP:
            return Action.STOP if self._phase is not _Phase.STOPPED else None
        if self._phase is not _Phase.MEASURING:
            return Action.START
        if self._restore:
            return Action.END_SELF_TEST
        if self._command is IsolationCommand.SELF_TEST and self._self_test is SelfTest.NONE:
            return Action.SELF_TEST
        return None

    def writes(self, action: Action) -> tuple[Write, ...]:
        """Return how an action is told."""
        return {Action.STOP: self._map.stop, Action.START: self._map.start,
                Action.SELF_TEST: self._map.self_test,
                Action.END_SELF_TEST: self._map.after_self_test}[action]

    def done(self, action: Action, now: float) -> None:
        """Note that the device has taken an action."""
        self._restore = False
        if action is Action.STOP:
            self._phase, self._resistance, self._stop_due = _Phase.STOPPED, None, False
            if self._self_test is SelfTest.RUNNING:
                self._self_test = SelfTest.FAILED
        elif action is Action.START:
            self._phase, self._self_test = _Phase.MEASURING, SelfTest.NONE
            self._valid_from = now + self._map.settle_time
        elif action is Action.SELF_TEST:
            self._self_test, self._test_seen = SelfTest.RUNNING, False
            self._test_end = now + self._map.self_test_time
            self._resistance, self._valid_from = None, math.inf

    def hear(self, image: Image, now: float) -> None:
        """Take the registers as they are now."""
        failures = [condition for condition in self._map.failed if condition.holds(image)]
        self._alarms = tuple(
            Alarm(Severity.ERROR, self._source, condition.text or 'device fault')
            for condition in failures)
        testing = any_holds(self._map.testing, image)
        if self._self_test is SelfTest.RUNNING:
            self._follow_self_test(testing, bool(failures), now)
        valid = (self._phase is _Phase.MEASURING and not testing and not failures
                 and now >= self._valid_from and not any_holds(self._map.no_resistance, image))
        resistance = self._map.resistance.value(image) if valid else None
        self._resistance = None if resistance is None or resistance < 0.0 else (
            self._measured(resistance, self._resistance, now))
        voltage = None if self._map.voltage is None or any_holds(self._map.no_voltage, image) else (
            self._map.voltage.value(image))
        self._voltage = None if voltage is None or math.isinf(voltage) else (
            self._measured(voltage, self._voltage, now))

    def _measured(
        self, value: float, before: Measurement[float] | None, now: float,
    ) -> Measurement[float]:
        """Return a value as it was measured; registers that stand still are one measurement.

        But only for as long as a value may be old: by then the monitor has measured again.
        """
        age = self._map.value_age
        if before is not None and before.value == value and now - age - before.stamp < age:
            return before
        return Measurement(value, self._source, now - age)

    def lost(self) -> None:
        """Note that the device does not answer: values keep their stamps, a self-test has failed.

        What it does is unknown, so it is told anew once it answers.
        """
        self._phase = _Phase.UNKNOWN
        if self._self_test is SelfTest.RUNNING:
            self._self_test = SelfTest.FAILED

    def _follow_self_test(self, testing: bool, failed: bool, now: float) -> None:
        if testing and now < self._test_end:
            self._test_seen = True
            return
        if not self._test_seen and not failed and now < self._test_end:
            return  # it has not begun yet
        passed = self._test_seen and not testing and not failed
        self._self_test = SelfTest.PASSED if passed else SelfTest.FAILED
        self._restore = bool(self._map.after_self_test)
        self._valid_from = now + self._map.settle_time


class ModbusIsolation(ModbusDriver):
    """Isolation monitor on Modbus; see :class:`ccs2_power.hal.IsolationDriver`.

    Options: ``map`` (name of a map of this package, or path of the site's own), those of the line
    (``device``, ``baud_rate``, ``parity``, ``stop_bits``, or ``host``, ``port``) and ``unit``.
    """

    def __init__(self) -> None:
        super().__init__()
        self._core: IsolationCore | None = None

    async def open(self, parameters: Mapping[str, str]) -> None:
        """Find the monitor, set it up and stop it."""
        options = Options(parameters, ('map', *BUS_OPTIONS))
        isolation_map = IsolationMap.of(load_map(options.text('map')))
        device = ModbusDevice(isolation_map.device, options)
        try:
            await _set_up(device, isolation_map)
            core = IsolationCore(isolation_map, ' '.join(
                (device.map.model, await device.text(device.map.serial_number))).strip())
            await _act(device, core)
        except (ModbusError, DriverError) as error:
            device.release()
            raise DriverError(str(error)) from None
        self._core = core
        self._begin(device, self._run(device, core, isolation_map))

    async def close(self) -> None:
        """Stop the monitor and give the line back."""
        device = await self._end()
        core, self._core = self._core, None
        if device is None or core is None:
            return
        with contextlib.suppress(ModbusError):  # lost: nobody can tell it anything
            for write in core.writes(Action.STOP):
                await device.write(write)
        device.release()

    def read(self) -> IsolationReading:
        """Return the newest values."""
        if self._core is None:
            return IsolationReading(None, None, SelfTest.NONE, '')
        return self._core.reading

    def command(self, command: IsolationCommand) -> None:
        """Start or stop measuring, or run the self-test."""
        if self._core is not None:
            self._core.command(command, time.monotonic())

    async def _run(
        self, device: ModbusDevice, core: IsolationCore, isolation_map: IsolationMap,
    ) -> None:
        while True:
            try:
                if self._problem:
                    await _set_up(device, isolation_map)
                await _act(device, core)
                self._problem = ''
            except (ModbusError, DriverError) as error:
                self._problem = str(error)
                core.lost()
            await asyncio.sleep(CYCLE)


async def _act(device: ModbusDevice, core: IsolationCore) -> None:
    """Tell the device what is due, and hear what it says."""
    action = core.due(time.monotonic())
    if action is not None:
        for write in core.writes(action):
            await device.write(write)
        core.done(action, time.monotonic())
    asked = time.monotonic()
    core.hear(await device.image(), asked)


async def _set_up(device: ModbusDevice, isolation_map: IsolationMap) -> None:
    for requirement in isolation_map.require:
        value = (await device.read(requirement.address, 1))[0]
        if value < requirement.at_least:
            raise DriverError(f'{device.map.model}: {requirement.text} is needed, '
                              f'register {requirement.address} is {value}')
    for write in isolation_map.setup:
        # Settings lie in memory that wears: written only when they differ.
        if (await device.read(write.address, 1, 'holding'))[0] != write.value:
            await device.write(write)
