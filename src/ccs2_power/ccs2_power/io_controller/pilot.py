"""The control pilot driver on an I/O controller, by a serial line or a CAN bus."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Mapping

from ccs2_power.hal import COMMAND_TIMEOUT, DUTY_OFF, DriverError, Measurement, PilotReading
from ccs2_power.io_controller import frames
from ccs2_power.io_controller.can_line import BIT_RATE, IDENTIFIER, SPACING, CanLine
from ccs2_power.io_controller.frames import FrameError, FrameType, State
from ccs2_power.io_controller.line import Line
from ccs2_power.io_controller.serial_line import SerialLine
from ccs2_power.options import Options

#: DRIVE is repeated this often, in s; the controller gives up after ten times that.
CYCLE = 0.05
#: Longest time in s for the controller to say who it is; it is asked several times meanwhile.
ANSWER_TIME = 2.0
#: A lost port is opened again after this time, in s.
RETRY = 1.0
#: STATE frames are missing for this long: the controller is lost, in s.
SILENCE = 0.5


class IoControllerPilot:
    """Control pilot and proximity; see :class:`ccs2_power.hal.PilotDriver`.

    Options: on a serial line ``device`` (port) and ``baud_rate`` (115200); on a CAN bus
    ``channel``, ``interface`` (python-can's name, ``socketcan``), ``bit_rate`` (bit/s, 500000;
    socketcan takes the one that the interface was set up with) and ``identifier`` (the
    controller's own, ``0x300``).
    """

    def __init__(self) -> None:
        self._line: Line | None = None
        self._connected = False
        self._is_open = False
        self._task: asyncio.Task[None] | None = None
        self._identified = asyncio.Event()
        self._version, self._name = 0, ''
        self._command, self._told = DUTY_OFF, -math.inf
        self._state: State | None = None
        self._stamp = -math.inf
        self._reading = PilotReading(None, None, None)
        self._lost = ''
        #: Frames that made no sense.
        self.refused = 0

    @property
    def problem(self) -> str:
        """What is wrong with the line or the controller now."""
        line = self._line
        if not self._is_open or line is None:
            return 'not open'
        where = f'I/O controller {line.name}'
        if self._lost or line.problem:
            return f'{where}: {self._lost or line.problem}'
        if time.monotonic() - self._stamp > SILENCE:
            return f'{where}: no new measurements'
        if self._state is not None and self._state.fault:
            return f'{where}: its own check has failed'
        # DRIVE is told all the time, so a watchdog that has expired has not heard it.
        if self._state is not None and self._state.safe:
            return f'{where} does not hear'
        return ''

    async def open(self, parameters: Mapping[str, str]) -> None:
        """Find the controller and drive steady -12 V."""
        line = self._line = self._make_line(parameters)
        self._identified.clear()
        try:
            self._connect(line)
            await self._meet(line)
        except OSError as error:
            self._disconnect(line)
            raise DriverError(f'I/O controller {line.name}: {error}') from None
        except DriverError:
            self._disconnect(line)
            raise
        self._forget()
        self._is_open = True
        self._task = asyncio.get_running_loop().create_task(self._run(line))

    async def close(self) -> None:
        """Drive steady -12 V and give the line back."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self._forget()
        line, self._line = self._line, None
        if line is not None:
            if self._connected:
                with contextlib.suppress(OSError):  # gone: its watchdog does it
                    self._tell(line)
                    await asyncio.sleep(0.01)
            self._disconnect(line)
        self._is_open = False

    def read(self) -> PilotReading:
        """Return the newest levels."""
        return self._reading

    def command(self, duty: float) -> None:
        """Drive the pilot; a change is told at once."""
        if not self._is_open or self._line is None:
            return
        duty = min(max(duty, 0.0), 1.0)
        changed = duty != self._command
        self._command, self._told = duty, time.monotonic()
        if changed and self._connected:
            try:
                self._tell(self._line)
            except OSError as error:
                self._lose(self._line, str(error))

    def _make_line(self, parameters: Mapping[str, str]) -> Line:
        options = Options(
            parameters, ('device', 'baud_rate', 'channel', 'interface', 'bit_rate', 'identifier'))
        if ('device' in options) == ('channel' in options):
            raise DriverError(
                "either option 'device' (serial port) or 'channel' (CAN bus) has to be set")
        if 'device' in options:
            return SerialLine(options.text('device'),
                              options.integer('baud_rate', 9600, 4_000_000, 115200), self._hear)
        identifier = options.integer('identifier', 0, 0x7F8, IDENTIFIER)
        if identifier % SPACING:
            raise DriverError(f"option 'identifier' is {identifier:#x}, no multiple of {SPACING}")
        return CanLine(options.text('interface', 'socketcan'), options.text('channel'),
                       options.integer('bit_rate', 10_000, 1_000_000, BIT_RATE), identifier,
                       self._hear)

    async def _run(self, line: Line) -> None:
        while True:
            if line.problem and self._connected:
                self._lose(line, line.problem)
            if not self._connected:
                await asyncio.sleep(RETRY)
            try:
                if not self._connected:
                    self._connect(line)
                    self._forget()
                self._tell(line)
            except OSError as error:
                self._lose(line, str(error))
            await asyncio.sleep(CYCLE)

    async def _meet(self, line: Line) -> None:
        """Ask who is there; raise :class:`DriverError` if it is no I/O controller."""
        end = time.monotonic() + ANSWER_TIME
        while not self._identified.is_set():
            if time.monotonic() > end:
                raise DriverError(f'I/O controller {line.name} does not answer')
            line.send(FrameType.IDENTIFY)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._identified.wait(), ANSWER_TIME / 10)
        if self._version != frames.VERSION:
            raise DriverError(f'I/O controller {line.name} ({self._name}) speaks version '
                              f'{self._version} of the frames, not {frames.VERSION}')

    def _tell(self, line: Line) -> None:
        heard = time.monotonic() - self._told <= COMMAND_TIMEOUT
        line.send(FrameType.DRIVE, frames.drive(self._command if heard else DUTY_OFF))

    def _hear(self, frame_type: int, content: bytes) -> None:
        try:
            if frame_type == FrameType.STATE:
                self._take(frames.state(content), time.monotonic())
            elif frame_type == FrameType.IDENTITY:
                self._version, self._name = frames.identity(content)
                self._identified.set()
        except FrameError:
            self.refused += 1

    def _take(self, state: State, now: float) -> None:
        if self._state is not None and state.counter == self._state.counter:
            return  # the same measurement again: a controller that hangs in its sending part
        self._state, self._stamp = state, now - state.age
        if state.fault:
            return  # its values are none; the old ones grow old

        def measured(value: float | None) -> Measurement[float] | None:
            return None if value is None else Measurement(value, 'I/O controller', self._stamp)

        self._reading = PilotReading(measured(state.high), measured(state.low),
                                     measured(state.duty), measured(state.proximity))

    def _forget(self) -> None:
        self._command, self._told = DUTY_OFF, -math.inf
        self._state, self._stamp = None, time.monotonic()
        self._reading = PilotReading(None, None, None)

    def _connect(self, line: Line) -> None:
        """Open the line; raise OSError."""
        line.open()
        self._connected, self._lost = True, ''

    def _disconnect(self, line: Line) -> None:
        line.close()
        self._connected = False

    def _lose(self, line: Line, why: str) -> None:
        self._disconnect(line)
        self._lost = why
