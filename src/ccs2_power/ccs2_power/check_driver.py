"""Check a driver, real or simulated, against the HAL contract.

``ros2 run ccs2_power check_driver`` or ``python -m ccs2_power.check_driver``. Without
``--energise`` it only looks. With it, it switches the device on: contactors close, the supply
raises its output. Do that with nothing connected.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ccs2_power import hal
from ccs2_power.drivers import driver_names, load_driver, parse_options
from ccs2_power.hal import COMMAND_TIMEOUT, DriverError, IsolationCommand, Measurement

BEAT = 0.02
#: Longest time in s that read() or command() may take; a share of the calls, or so many, may be
#: later because this process was not scheduled.
NON_BLOCKING, UNSCHEDULED, UNLUCKY = 0.005, 0.03, 2
#: How long the freshness is watched, in s.
WATCHED = 3.0
#: Longest time in s from open to the first measurements.
FIRST = 5.0
#: The supply's test: voltage in V and current limit in A; reached within this, in V.
TEST_VOLTAGE, TEST_CURRENT, REACHED = 200.0, 2.0, 10.0
OFF_CURRENT = 5.0
#: Its ramp leads to this voltage in V, at so many V/s.
RAMP_VOLTAGE, RAMP_RATE = 300.0, 500.0


@dataclass(frozen=True, slots=True)
class Ramp:
    """A set-point that moves, from the active command's on, as a node moves it."""

    start: float
    end: float
    rate: float
    """Per s."""
    command: Callable[[float], Any]
    """Make a command of the set-point."""
    measured: Callable[[Any], float | None]
    tolerance: float
    """So far the measurement may be above the set-point, and in the end from it."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What is checked of one kind of driver."""

    protocol: type[Any]
    age: float
    """Largest age in s of a measurement."""
    measured: Callable[[Any], Mapping[str, Measurement[Any] | None]]
    """The measurements that must be there."""
    safe: Any = None
    """The command of the safe state; None: it takes no commands."""
    active: Any = None
    """A command that differs from it."""
    choose: Callable[[Any], Any] | None = None
    """Instead of `active`: make one of a reading, for a device whose parts have names."""
    is_safe: Callable[[Any], bool] = lambda reading: True
    is_active: Callable[[Any], bool] = lambda reading: True
    settle: float = 1.0
    """Time in s within which a command shows in the measurements."""
    stays: bool = False
    """It keeps its state when the controller is silent (the lock)."""
    ramp: Ramp | None = None

    @property
    def obeys(self) -> bool:
        """It takes commands that switch something on."""
        return self.active is not None or self.choose is not None


def _value(measurement: Measurement[Any] | None) -> Any:
    return None if measurement is None else measurement.value


def _supply_is_off(reading: hal.SupplyReading) -> bool:
    current = _value(reading.current)
    return (_value(reading.on) is not True and current is not None
            and abs(current) < OFF_CURRENT)


def _relays(reading: hal.MatrixReading) -> dict[str, Measurement[bool] | None]:
    return {f'{module} {connector}': closed for module, relays in reading.relays.items()
            for connector, closed in relays.items()}


KINDS: dict[str, Kind] = {
    'pilot': Kind(
        hal.PilotDriver, 0.1, lambda reading: {'duty': reading.duty}, safe=hal.DUTY_OFF,
        active=hal.DUTY_DIGITAL, is_safe=lambda reading: _value(reading.duty) == hal.DUTY_OFF,
        is_active=lambda reading: abs((_value(reading.duty) or 0.0) - 0.05) < 0.02),
    'contactors': Kind(
        hal.ContactorDriver, 0.15, lambda reading: reading.contacts,
        safe=hal.ContactorCommand(False), active=hal.ContactorCommand(True),
        is_safe=lambda reading: not any(map(_value, reading.contacts.values())),
        is_active=lambda reading: all(map(_value, reading.contacts.values()))),
    'lock': Kind(
        hal.LockDriver, 0.5, lambda reading: {'locked': reading.locked}, safe=False, active=True,
        is_safe=lambda reading: _value(reading.locked) is False,
        is_active=lambda reading: _value(reading.locked) is True, settle=3.0, stays=True),
    'emergency_stop': Kind(
        hal.EmergencyStopDriver, 0.15, lambda reading: {'pressed': reading.pressed}),
    'voltmeter': Kind(hal.VoltmeterDriver, 0.25, lambda reading: {'voltage': reading.voltage}),
    'isolation': Kind(
        hal.IsolationDriver, 2.5, lambda reading: {}, safe=IsolationCommand.STOP,
        active=IsolationCommand.MEASURE, is_safe=lambda reading: reading.resistance is None,
        is_active=lambda reading: reading.resistance is not None, settle=10.0),
    'supply': Kind(
        hal.SupplyDriver, 0.5,
        lambda reading: {'voltage': reading.voltage, 'current': reading.current},
        safe=hal.SUPPLY_OFF, active=hal.SupplyCommand(True, TEST_VOLTAGE, TEST_CURRENT),
        is_safe=_supply_is_off,
        is_active=lambda reading: abs((_value(reading.voltage) or 0.0) - TEST_VOLTAGE) < REACHED,
        settle=6.0, ramp=Ramp(
            TEST_VOLTAGE, RAMP_VOLTAGE, RAMP_RATE,
            lambda voltage: hal.SupplyCommand(True, voltage, TEST_CURRENT),
            lambda reading: _value(reading.voltage), REACHED)),
    'matrix': Kind(
        hal.MatrixDriver, 0.25, _relays, safe=hal.MATRIX_OPEN,
        choose=lambda reading: hal.MatrixCommand({
            module: min(relays) for module, relays in reading.relays.items()}),
        is_safe=lambda reading: not any(map(_value, _relays(reading).values())),
        is_active=lambda reading: all(
            _value(closed) is (connector == min(relays)) for relays in reading.relays.values()
            for connector, closed in relays.items()),
        settle=hal.MATRIX_TIMEOUT),
    'meter': Kind(
        hal.MeterDriver, 5.0, lambda reading: {'energy_imported': reading.energy_imported}),
    'thermometer': Kind(hal.ThermometerDriver, 3.0, lambda reading: reading.contacts),
}


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    check: str
    passed: bool
    detail: str


@dataclass(slots=True)
class Check:
    """One run of all checks on one driver."""

    name: str
    kind: Kind
    options: Mapping[str, str]
    energise: bool
    rows: list[Row] = field(default_factory=list)
    durations: list[float] = field(default_factory=list)

    async def run(self) -> list[Row]:
        """Run all checks; the driver is closed afterwards."""
        await self._refuses_an_unknown_option()
        driver = load_driver(self.name, self.kind.protocol)
        try:
            await driver.open(self.options)
        except DriverError as error:
            self._add('opens', False, str(error))
            return self.rows
        try:
            self._add('opens', True, '')
            await self._measures(driver)
            if self.energise and self.kind.obeys:
                await self._obeys(driver)
            late = sum(duration > NON_BLOCKING for duration in self.durations)
            self._add('never blocks', late <= max(UNLUCKY, UNSCHEDULED * len(self.durations)),
                      f'{late} of {len(self.durations)} calls took more than '
                      f'{1e3 * NON_BLOCKING:.0f} ms, {1e3 * max(self.durations):.2f} ms at most')
        finally:
            await driver.close()
        if self.energise and self.kind.obeys and not self.kind.stays:
            await self._is_safe_when_closed()
        return self.rows

    def _add(self, check: str, passed: bool, detail: str) -> None:
        self.rows.append(Row(check, passed, detail))

    async def _refuses_an_unknown_option(self) -> None:
        driver = load_driver(self.name, self.kind.protocol)
        try:
            await driver.open({**self.options, 'no_such_option': '1'})
        except DriverError as error:
            self._add('refuses an unknown option', 'no_such_option' in str(error), str(error))
        else:
            self._add('refuses an unknown option', False, 'took no_such_option=1')
            await driver.close()

    async def _measures(self, driver: Any) -> None:
        kind = self.kind
        took = await self._until(driver, None, lambda reading: not self._missing(reading), FIRST)
        missing = self._missing(self._read(driver))
        self._add('measures', took is not None, f'missing: {", ".join(missing)}' if missing
                  else f'all within {took or 0.0:.2f} s')
        if kind.safe is not None:
            self._add('is safe when opened', kind.is_safe(self._read(driver)), '')
        oldest, end = 0.0, time.monotonic() + WATCHED
        while time.monotonic() < end:
            stamps = [measurement.stamp for measurement in kind.measured(
                self._read(driver)).values() if measurement is not None]
            oldest = max([oldest, *(time.monotonic() - stamp for stamp in stamps)])
            await asyncio.sleep(BEAT)
        self._add('is fresh', oldest <= kind.age,
                  f'oldest value {oldest:.3f} s, at most {kind.age} s')

    async def _obeys(self, driver: Any) -> None:
        kind = self.kind
        active = kind.active if kind.choose is None else kind.choose(self._read(driver))
        await self._expect(driver, 'obeys', active, kind.is_active, kind.settle)
        await self._expect(driver, 'goes back when told', kind.safe, kind.is_safe, kind.settle)
        await self._expect(driver, 'obeys again', active, kind.is_active, kind.settle)
        if kind.ramp is not None:
            await self._follows(driver, kind.ramp)
        if kind.stays:
            took = await self._until(
                driver, None, lambda reading: not kind.is_active(reading), 2 * COMMAND_TIMEOUT)
            self._add('stays when the controller is silent', took is None, '')
        else:
            await self._expect(driver, 'is safe when the controller is silent', None, kind.is_safe,
                               COMMAND_TIMEOUT + kind.settle)
        await self._expect(driver, 'recovers', active, kind.is_active, kind.settle)
        if kind.stays:
            await self._expect(driver, 'is left safe', kind.safe, kind.is_safe, kind.settle)

    async def _follows(self, driver: Any, ramp: Ramp) -> None:
        begin, above = time.monotonic(), 0.0
        while True:
            passed = time.monotonic() - begin
            set_point = min(ramp.end, ramp.start + ramp.rate * passed)
            self._timed(partial(driver.command, ramp.command(set_point)))
            measured = ramp.measured(self._read(driver))
            if measured is not None:
                above = max(above, measured - set_point)
            arrived = set_point == ramp.end and measured is not None and (
                abs(measured - ramp.end) <= ramp.tolerance)
            if arrived or passed > self.kind.settle:
                break
            await asyncio.sleep(BEAT)
        self._add('follows a ramp', arrived and above <= ramp.tolerance,
                  f'after {passed:.2f} s, {above:.1f} above it at most' if arrived
                  else f'not within {self.kind.settle:.1f} s: {self._read(driver)}')

    async def _is_safe_when_closed(self) -> None:
        # It was closed while active: another driver has to find the device safe.
        driver = load_driver(self.name, self.kind.protocol)
        await driver.open(self.options)
        try:
            took = await self._until(
                driver, None,
                lambda reading: not self._missing(reading) and self.kind.is_safe(reading), FIRST)
            self._add('is safe when closed', took is not None, '')
        finally:
            await driver.close()

    async def _expect(
        self, driver: Any, check: str, command: Any, condition: Callable[[Any], bool],
        seconds: float,
    ) -> None:
        took = await self._until(driver, command, condition, seconds)
        self._add(check, took is not None, f'after {took:.2f} s' if took is not None
                  else f'not within {seconds:.1f} s: {self._read(driver)}')

    async def _until(
        self, driver: Any, command: Any, condition: Callable[[Any], bool], seconds: float,
    ) -> float | None:
        """Command in every beat until the condition holds; return how long, None if never."""
        start = time.monotonic()
        while True:
            if command is not None:
                self._timed(lambda: driver.command(command))
            if condition(self._read(driver)):
                return time.monotonic() - start
            if time.monotonic() - start > seconds:
                return None
            await asyncio.sleep(BEAT)

    def _read(self, driver: Any) -> Any:
        return self._timed(driver.read)

    def _timed(self, call: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        result = call()
        self.durations.append(time.perf_counter() - start)
        return result

    def _missing(self, reading: Any) -> list[str]:
        return [name for name, value in self.kind.measured(reading).items() if value is None]


def table(rows: Sequence[Row]) -> Iterator[str]:
    """Yield the lines of the printed table."""
    width = max(len(row.check) for row in rows)
    for row in rows:
        yield f'{"passed" if row.passed else "FAILED"}  {row.check:{width}}  {row.detail}'.rstrip()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return 0 if every check has passed."""
    parser = argparse.ArgumentParser(prog='check_driver', description=__doc__)
    parser.add_argument('kind', choices=KINDS, help='what it drives')
    parser.add_argument('driver', help=f'its name, one of: {", ".join(driver_names())}')
    parser.add_argument('options', nargs='*', help='its options, each key=value')
    parser.add_argument('--energise', action='store_true',
                        help='switch the device on, too; nothing may be connected')
    chosen = parser.parse_args(arguments)
    try:
        check = Check(chosen.driver, KINDS[chosen.kind], parse_options(chosen.options),
                      chosen.energise)
        rows = asyncio.run(check.run())
    except DriverError as error:
        sys.stderr.write(f'check_driver: {error}\n')
        return 2
    for line in table(rows):
        sys.stdout.write(line + '\n')
    return 0 if all(row.passed for row in rows) else 1


if __name__ == '__main__':
    sys.exit(main())
