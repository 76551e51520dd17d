"""Drivers of :mod:`ccs2_power.hal` on GPIO lines."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Mapping

from ccs2_power.gpio.lines import Line, Lines, parse_lines
from ccs2_power.hal import (
    COMMAND_TIMEOUT,
    ContactorCommand,
    ContactorReading,
    DriverError,
    EmergencyStopReading,
    LockReading,
    Measurement,
)
from ccs2_power.options import Options
from ccs2_power.worker import Worker

#: The lines are read and written this often, in s.
PERIOD = 0.01
ALL_OFF = ContactorCommand(main=False)
DEFAULT_CHIP = '/dev/gpiochip0'


class GpioDriver:
    """What the drivers on GPIO lines share."""

    NAME: str
    OPTIONS: tuple[str, ...]

    def __init__(self) -> None:
        self._lines: Lines | None = None
        self._worker = Worker(self.NAME, self._step, self._recover, PERIOD)

    @property
    def problem(self) -> str:
        """What is wrong with the lines now."""
        return 'not open' if self._lines is None else self._worker.problem

    async def open(self, parameters: Mapping[str, str]) -> None:
        """Take the lines, all outputs inactive."""
        options = Options(parameters, ('chip', *self.OPTIONS))
        inputs, outputs = self._wiring(options)
        lines = Lines(options.text('chip', DEFAULT_CHIP), f'ccs2 {self.NAME}', inputs, outputs)
        lines.open()
        self._lines = lines
        self._forget()
        self._worker.start()

    async def close(self) -> None:
        """Set all outputs inactive and give the lines back."""
        self._worker.stop()
        lines, self._lines = self._lines, None
        if lines is not None:
            lines.close()
        self._forget()

    @abstractmethod
    def _wiring(self, options: Options) -> tuple[dict[str, Line], dict[str, Line]]:
        """Return inputs and outputs as the options name them."""

    @abstractmethod
    def _work(self, lines: Lines) -> None:
        """Read and write the lines once; runs in the worker's thread."""

    def _forget(self) -> None:
        """Forget what was told: the device was opened, closed, or lost and found."""

    def _step(self) -> None:
        if self._lines is not None:
            self._work(self._lines)

    def _recover(self) -> None:
        self._forget()
        if self._lines is not None:
            self._lines.reopen()

    def _measured(self, active: bool, stamp: float) -> Measurement[bool]:
        return Measurement(active, f'gpio {self.NAME}', stamp)


class GpioContactors(GpioDriver):
    """Station contactors with mirror contacts, coils and a watchdog line.

    Options: ``chip`` (``/dev/gpiochip0``), ``coil`` (lines of the main contactors' coils, by
    commas), ``feedback`` (``DC+:22,DC-:23``: a mirror contact for each pole, active = the mirror
    contact is closed = the contactor is open), ``watchdog`` (line that changes its level every
    10 ms for as long as commands are heard), optionally ``pre_charge`` (coil of the pre-charge
    relay) and ``pre_charge_feedback`` (its mirror contact).

    The kernel may leave an output as it was when a process dies, and leaves it certainly when the
    process is stopped: the coil supply has to drop without the watchdog's edges.
    """

    NAME = 'contactors'
    OPTIONS = ('coil', 'feedback', 'watchdog', 'pre_charge', 'pre_charge_feedback')

    def __init__(self) -> None:
        super().__init__()
        self._poles: tuple[str, ...] = ()
        self._coils: tuple[str, ...] = ()
        self._has_relay = False
        self._kick = False
        self._command = ALL_OFF
        self._told = float('-inf')
        self._reading = ContactorReading({})

    def read(self) -> ContactorReading:
        """Return the newest feedback."""
        return self._reading

    def command(self, command: ContactorCommand) -> None:
        """Switch the coils; a change is carried out at once."""
        if self._lines is None:
            return
        changed = command != self._command
        self._command, self._told = command, time.monotonic()
        if changed:
            self._worker.wake()

    def _wiring(self, options: Options) -> tuple[dict[str, Line], dict[str, Line]]:
        inputs: dict[str, Line] = {}
        for part in options.text('feedback').split(','):
            pole, separator, line = part.partition(':')
            if not separator or not pole or pole in inputs:
                raise DriverError(f"option 'feedback': {part!r} is not POLE:LINE with a new pole")
            inputs[pole] = Line.parse(line)
        self._poles = tuple(inputs)
        outputs = {f'coil {number}': line
                   for number, line in enumerate(parse_lines(options.text('coil')), 1)}
        self._coils = tuple(outputs)
        outputs['watchdog'] = Line.parse(options.text('watchdog'))
        self._has_relay = 'pre_charge' in options
        if self._has_relay:
            outputs['pre_charge'] = Line.parse(options.text('pre_charge'))
        if 'pre_charge_feedback' in options:
            if not self._has_relay:
                raise DriverError("option 'pre_charge_feedback' needs 'pre_charge'")
            inputs['pre_charge'] = Line.parse(options.text('pre_charge_feedback'))
        return inputs, outputs

    def _forget(self) -> None:
        self._command, self._told = ALL_OFF, float('-inf')
        self._reading = ContactorReading(dict.fromkeys(self._poles))

    def _work(self, lines: Lines) -> None:
        heard = time.monotonic() - self._told <= COMMAND_TIMEOUT
        command = self._command if heard else ALL_OFF
        outputs = dict.fromkeys(self._coils, command.main)
        if heard:
            self._kick = not self._kick
        outputs['watchdog'] = self._kick
        if self._has_relay:
            outputs['pre_charge'] = command.pre_charge
        lines.write(outputs)
        mirrors, stamp = lines.read(), time.monotonic()
        relay = mirrors.pop('pre_charge', None)
        self._reading = ContactorReading(
            {pole: self._measured(not mirror, stamp) for pole, mirror in mirrors.items()},
            None if relay is None else self._measured(not relay, stamp))


class GpioLock(GpioDriver):
    """Connector lock driven by a motor with two lines.

    Options: ``chip``, ``lock`` and ``unlock`` (lines of the motor bridge), ``feedback`` (active =
    locked), ``pulse`` (s, 0.6: how long the motor is driven), ``attempts`` (3).

    The motor is driven while the feedback differs from what is told, `attempts` times; a new
    command tries anew. Without commands, and when closed, the motor is off and the lock stays.
    """

    NAME = 'lock'
    OPTIONS = ('lock', 'unlock', 'feedback', 'pulse', 'attempts')

    def __init__(self) -> None:
        super().__init__()
        self._pulse, self._attempts = 0.6, 3
        self._wanted: bool | None = None
        self._told = float('-inf')
        self._tried = 0
        self._pulse_end = float('-inf')
        self._pause_end = float('-inf')
        self._driving: bool | None = None
        self._reading = LockReading(None)

    @property
    def problem(self) -> str:
        """What is wrong with the lines or the lock now."""
        stuck = (self._driving is None and self._wanted is not None
                 and self._tried >= self._attempts and self._reading.locked is not None
                 and self._reading.locked.value is not self._wanted)
        return super().problem or (
            f'does not {"lock" if self._wanted else "unlock"}' if stuck else '')

    def read(self) -> LockReading:
        """Return the newest feedback."""
        return self._reading

    def command(self, locked: bool) -> None:
        """Lock or unlock."""
        if self._lines is None:
            return
        self._told = time.monotonic()
        if locked is not self._wanted:
            self._tried = 0
            self._wanted = locked

    def _wiring(self, options: Options) -> tuple[dict[str, Line], dict[str, Line]]:
        self._pulse = options.number('pulse', 0.05, 5.0, 0.6)
        self._attempts = options.integer('attempts', 1, 10, 3)
        return ({'feedback': Line.parse(options.text('feedback'))},
                {name: Line.parse(options.text(name)) for name in ('lock', 'unlock')})

    def _forget(self) -> None:
        self._wanted, self._told, self._tried, self._driving = None, float('-inf'), 0, None
        self._reading = LockReading(None)

    def _work(self, lines: Lines) -> None:
        locked, now = lines.read()['feedback'], time.monotonic()
        self._reading = LockReading(self._measured(locked, now))
        wanted = self._wanted if now - self._told <= COMMAND_TIMEOUT else None
        if self._driving is not None and (now >= self._pulse_end or wanted is not self._driving):
            # The motor runs to its end stop after the feedback has changed, then cools down.
            self._driving, self._pause_end = None, now + self._pulse
        if (self._driving is None and wanted is not None and wanted is not locked
                and self._tried < self._attempts and now >= self._pause_end):
            self._driving, self._pulse_end = wanted, now + self._pulse
            self._tried += 1
        # One after the other: a bridge with both lines active is a short circuit.
        idle = 'unlock' if self._driving else 'lock'
        lines.write({idle: False})
        other = 'lock' if self._driving else 'unlock'
        lines.write({other: self._driving is not None})


class GpioEmergencyStop(GpioDriver):
    """Emergency stop circuit as an input.

    Options: ``chip``, ``released`` (line that is active while the circuit is closed, so that a
    broken wire reads as pressed).
    """

    NAME = 'emergency stop'
    OPTIONS = ('released',)

    def __init__(self) -> None:
        super().__init__()
        self._reading = EmergencyStopReading(None)

    def read(self) -> EmergencyStopReading:
        """Return the newest state."""
        return self._reading

    def _wiring(self, options: Options) -> tuple[dict[str, Line], dict[str, Line]]:
        return {'released': Line.parse(options.text('released'))}, {}

    def _forget(self) -> None:
        self._reading = EmergencyStopReading(None)

    def _work(self, lines: Lines) -> None:
        released = lines.read()['released']
        self._reading = EmergencyStopReading(self._measured(not released, time.monotonic()))
