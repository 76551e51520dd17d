"""The control pilot driver on a serial I/O controller."""

from __future__ import annotations

import asyncio
import contextlib
import math
import termios
import time
from collections.abc import Mapping
from typing import Any

from ccs2_power.hal import COMMAND_TIMEOUT, DUTY_OFF, DriverError, Measurement, PilotReading
from ccs2_power.io_controller import frames
from ccs2_power.io_controller.frames import FrameError, FrameType, Receiver, State
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

    Options: ``device`` (serial port), ``baud_rate`` (115200).
    """

    def __init__(self) -> None:
        self._place, self._baud_rate = '', 115200
        self._port: Any = None
        self._is_open = False
        self._task: asyncio.Task[None] | None = None
        self._receiver = Receiver()
        self._identified = asyncio.Event()
        self._version, self._name = 0, ''
        self._command, self._told = DUTY_OFF, -math.inf
        self._state: State | None = None
        self._stamp = -math.inf
        self._reading = PilotReading(None, None, None)
        self._lost = ''

    @property
    def problem(self) -> str:
        """What is wrong with the port or the controller now."""
        # DRIVE is told all the time, so a watchdog that has expired has not heard it.
        if not self._is_open:
            return 'not open'
        if self._lost:
            return self._lost
        if time.monotonic() - self._stamp > SILENCE:
            return f'I/O controller {self._place}: no new measurements'
        if self._state is not None and self._state.fault:
            return f'I/O controller {self._place}: its own check has failed'
        if self._state is not None and self._state.safe:
            return f'I/O controller {self._place} does not hear'
        return ''

    async def open(self, parameters: Mapping[str, str]) -> None:
        """Find the controller and drive steady -12 V."""
        options = Options(parameters, ('device', 'baud_rate'))
        self._place = options.text('device')
        self._baud_rate = options.integer('baud_rate', 9600, 4_000_000, 115200)
        self._identified.clear()
        try:
            self._connect()
            await self._meet()
        except OSError as error:
            self._disconnect()
            raise DriverError(f'I/O controller {self._place}: {error}') from None
        except DriverError:
            self._disconnect()
            raise
        self._forget()
        self._is_open, self._lost = True, ''
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """Drive steady -12 V and give the port back."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self._forget()
        if self._port is not None:
            with contextlib.suppress(OSError):  # gone: its watchdog does it
                self._tell()
                await asyncio.sleep(0.01)
        self._disconnect()
        self._is_open = False

    def read(self) -> PilotReading:
        """Return the newest levels."""
        return self._reading

    def command(self, duty: float) -> None:
        """Drive the pilot; a change is told at once."""
        if not self._is_open:
            return
        duty = min(max(duty, 0.0), 1.0)
        changed = duty != self._command
        self._command, self._told = duty, time.monotonic()
        if changed and self._port is not None:
            try:
                self._tell()
            except OSError as error:
                self._lose(str(error))

    async def _run(self) -> None:
        while True:
            if self._port is None:
                await asyncio.sleep(RETRY)
            try:
                if self._port is None:
                    self._connect()
                    self._forget()
                self._tell()
            except OSError as error:
                self._lose(str(error))
            await asyncio.sleep(CYCLE)

    async def _meet(self) -> None:
        """Ask who is there; raise :class:`DriverError` if it is no I/O controller."""
        end = time.monotonic() + ANSWER_TIME
        while not self._identified.is_set():
            if time.monotonic() > end:
                raise DriverError(f'I/O controller {self._place} does not answer')
            self._write(frames.pack(FrameType.IDENTIFY))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._identified.wait(), ANSWER_TIME / 10)
        if self._version != frames.VERSION:
            raise DriverError(f'I/O controller {self._place} ({self._name}) speaks version '
                              f'{self._version} of the frames, not {frames.VERSION}')

    def _tell(self) -> None:
        heard = time.monotonic() - self._told <= COMMAND_TIMEOUT
        self._write(frames.drive(self._command if heard else DUTY_OFF))

    def _hear(self) -> None:
        try:
            data = self._port.read(4096)
        except (OSError, termios.error) as error:
            self._lose(str(error))
            return
        now = time.monotonic()
        for frame_type, content in self._receiver.feed(data):
            try:
                if frame_type == FrameType.STATE:
                    self._take(frames.state(content), now)
                elif frame_type == FrameType.IDENTITY:
                    self._version, self._name = frames.identity(content)
                    self._identified.set()
            except FrameError:
                self._receiver.refused += 1

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

    def _connect(self) -> None:
        """Open the port; raise OSError."""
        try:
            import serial
        except ImportError as error:
            raise DriverError(f'the I/O controller needs the Python package pyserial: {error}'
                              ) from None
        try:
            self._port = serial.Serial(
                self._place, self._baud_rate, timeout=0, write_timeout=0, exclusive=True)
        except (termios.error, ValueError) as error:
            raise OSError(str(error)) from None
        self._receiver = Receiver()
        asyncio.get_running_loop().add_reader(self._port.fileno(), self._hear)
        self._lost = ''

    def _disconnect(self) -> None:
        port, self._port = self._port, None
        if port is not None:
            asyncio.get_running_loop().remove_reader(port.fileno())
            port.close()

    def _lose(self, why: str) -> None:
        self._disconnect()
        self._lost = f'I/O controller {self._place}: {why}'

    def _write(self, data: bytes) -> None:
        try:
            if self._port.write(data) != len(data):
                raise OSError('the port takes no more octets')
        except termios.error as error:
            raise OSError(str(error)) from None
