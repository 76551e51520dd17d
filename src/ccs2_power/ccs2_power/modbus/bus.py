"""A Modbus line, RTU on a serial port or TCP: the only module that calls pymodbus.

Drivers of one process that name the same line share it, as devices on one RS-485 pair do.
"""

from __future__ import annotations

import asyncio
import logging
import os
import termios
from dataclasses import dataclass
from typing import Any, ClassVar

from ccs2_power.hal import DriverError
from ccs2_power.options import Options

#: A device that has not answered within this time, in s, has not heard.
RESPONSE_TIME = 0.5
#: A serial line that is silent for so long between two requests gives slow devices time, in s.
TURNAROUND = 0.01
#: Options of every driver on Modbus.
BUS_OPTIONS = ('device', 'baud_rate', 'parity', 'stop_bits', 'host', 'port', 'unit')


class ModbusError(Exception):
    """No answer, or an answer that refuses; the text says which."""


@dataclass(frozen=True, slots=True)
class LineSettings:
    """How a serial line is set up from the factory."""

    baud_rate: int = 19200
    parity: str = 'E'
    stop_bits: int = 1
    unit: int = 1


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the line is: a serial device or a TCP host."""

    place: str
    port: int = 0
    """TCP port; 0 = a serial device."""
    settings: LineSettings = LineSettings()

    @classmethod
    def of(cls, options: Options, factory: LineSettings) -> tuple[Endpoint, int]:
        """Return endpoint and unit as the options, and else the factory, say."""
        unit = options.integer('unit', 1, 247, factory.unit)
        if ('device' in options) == ('host' in options):
            raise DriverError("either option 'device' (serial port) or 'host' (TCP) has to be set")
        if 'host' in options:
            return cls(options.text('host'), options.integer('port', 1, 65535, 502)), unit
        return cls(options.text('device'), 0, LineSettings(
            options.integer('baud_rate', 1200, 1_000_000, factory.baud_rate),
            options.choice('parity', ('N', 'E', 'O'), factory.parity),
            options.integer('stop_bits', 1, 2, factory.stop_bits))), unit

    @property
    def name(self) -> str:
        """For messages."""
        return f'{self.place}:{self.port}' if self.port else self.place


class Bus:
    """One line; use :meth:`acquire` and :meth:`release`."""

    _shared: ClassVar[dict[str, Bus]] = {}

    def __init__(self, endpoint: Endpoint, client: Any) -> None:
        self.endpoint = endpoint
        self._client = client
        self._users = 0
        self._turn = asyncio.Lock()

    @classmethod
    def acquire(cls, endpoint: Endpoint) -> Bus:
        """Return the line, new or shared; raise :class:`DriverError` if it cannot be one."""
        bus = cls._shared.get(endpoint.name)
        if bus is None:
            bus = cls._shared[endpoint.name] = cls(endpoint, _client(endpoint))
        elif bus.endpoint != endpoint:
            raise DriverError(f'Modbus {endpoint.name}: another driver uses it with other settings')
        bus._users += 1
        return bus

    def release(self) -> None:
        """Give the line back; the last user closes it."""
        self._users -= 1
        if not self._users:
            del self._shared[self.endpoint.name]
            self._client.close()

    async def read(self, function: str, address: int, count: int, unit: int) -> list[int]:
        """Return registers of `function` (``holding`` or ``input``)."""
        read = (self._client.read_holding_registers if function == 'holding'
                else self._client.read_input_registers)
        answer = await self._ask(
            f'registers {address} to {address + count - 1} of unit {unit}',
            lambda: read(address, count=count, device_id=unit))
        if len(answer.registers) != count:
            raise ModbusError(f'Modbus {self.endpoint.name}: {len(answer.registers)} registers '
                              f'instead of {count} at {address} of unit {unit}')
        return list(answer.registers)

    async def write(self, function: str, address: int, value: int, unit: int) -> None:
        """Write one register, as ``single`` (function 6) or ``multiple`` (function 16)."""
        await self._ask(
            f'writing register {address} of unit {unit}',
            lambda: self._client.write_register(address, value, device_id=unit)
            if function == 'single'
            else self._client.write_registers(address, [value], device_id=unit))

    async def _ask(self, what: str, call: Any) -> Any:
        from pymodbus.exceptions import ModbusException

        where = f'Modbus {self.endpoint.name}'
        async with self._turn:
            try:
                if not self._client.connected and not await self._client.connect():
                    raise ModbusError(f'{where} cannot be opened{self._why()}')
                answer = await call()
            except (ModbusException, OSError, termios.error) as error:
                raise ModbusError(f'{where}: {what}: {error}') from None
            finally:
                if not self.endpoint.port:
                    await asyncio.sleep(TURNAROUND)
        if answer.isError():
            raise ModbusError(
                f'{where}: {what}: refused, exception {getattr(answer, "exception_code", "?")}')
        return answer

    def _why(self) -> str:
        """Say why the line cannot be opened: pymodbus only logs it."""
        if self.endpoint.port:
            return ''
        try:
            os.close(os.open(self.endpoint.place, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK))
        except OSError as error:
            return f': {error.strerror}'
        return ', or not with these settings, or another process has it'


def _client(endpoint: Endpoint) -> Any:
    try:
        from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient
        if not endpoint.port:
            import serial  # noqa: F401  (pymodbus only finds out when it connects)
    except ImportError as error:
        raise DriverError(
            f'Modbus needs the Python packages pymodbus and pyserial: {error}') from None
    # What goes wrong is told once, as the driver's problem, not in each cycle on the console.
    logging.getLogger('pymodbus.logging').setLevel(logging.CRITICAL)
    common: dict[str, Any] = {'timeout': RESPONSE_TIME, 'retries': 0, 'reconnect_delay': 0}
    if endpoint.port:
        return AsyncModbusTcpClient(endpoint.place, port=endpoint.port, **common)
    settings = endpoint.settings
    return AsyncModbusSerialClient(
        endpoint.place, baudrate=settings.baud_rate, parity=settings.parity,
        stopbits=settings.stop_bits, **common)
