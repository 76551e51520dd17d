"""Energy meters on Modbus: the map and the driver."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass

from ccs2_power.hal import DriverError, Measurement, MeterReading
from ccs2_power.modbus.bus import BUS_OPTIONS, ModbusError
from ccs2_power.modbus.device import ModbusDevice, ModbusDriver
from ccs2_power.modbus.registers import DeviceMap, Field, Image, Table, load_map
from ccs2_power.options import Options

#: The registers are read this often, in s.
CYCLE = 0.5
#: Registers of signed data that one request reads.
CHUNK = 120


@dataclass(frozen=True, slots=True)
class SignedData:
    """Where the meter keeps its signed data set."""

    encoding: str
    state: int
    """Register that says whether there is one."""
    ready: int
    """Its value when there is one."""
    size: int
    """Register with the number of registers of the data set."""
    data: int
    """First register of the data set."""
    longest: int
    """Most registers that a data set may have."""


@dataclass(frozen=True, slots=True)
class MeterMap:
    """An energy meter as data."""

    device: DeviceMap
    energy_imported: Field
    """J."""
    energy_exported: Field | None
    """J."""
    voltage: Field | None
    """V of the DC output."""
    current: Field | None
    """A, positive into the vehicle."""
    power: Field | None
    """W, positive into the vehicle."""
    status: Field | None
    """Status word; 0 = fine."""
    signed: SignedData | None

    @classmethod
    def of(cls, table: Table) -> MeterMap:
        """Read a map; raise :class:`DriverError` naming what is wrong with it."""
        table.choice('kind', ('meter',))
        imported = table.field('energy_imported')
        if imported is None:
            raise DriverError('the map has no energy_imported')
        signed, place = None, table.table('signed')
        if place is not None:
            signed = SignedData(
                place.take('encoding', str), place.word('state'), place.word('ready'),
                place.word('size'), place.word('data'), place.word('longest', None, 1))
            place.end()
        found = cls(
            DeviceMap.of(table), imported, table.field('energy_exported'),
            table.field('voltage'), table.field('current'), table.field('power'),
            table.field('status'), signed)
        table.end()
        found.device.covers(imported, found.energy_exported, found.voltage, found.current,
                            found.power, found.status)
        return found

    def reading(
        self, image: Image, stamp: float, serial_number: str, signed: bytes,
    ) -> MeterReading:
        """Return what the registers say."""
        source = f'meter {self.device.model}'

        def measured(field: Field | None) -> Measurement[float] | None:
            value = None if field is None else field.value(image)
            return None if value is None else Measurement(value, source, stamp)

        status = None if self.status is None else self.status.value(image)
        return MeterReading(
            measured(self.energy_imported), measured(self.energy_exported),
            measured(self.voltage), measured(self.current), measured(self.power),
            0 if status is None else int(status), serial_number, signed,
            self.signed.encoding if signed and self.signed is not None else '')


class ModbusMeter(ModbusDriver):
    """Energy meter on Modbus; see :class:`ccs2_power.hal.MeterDriver`.

    Options: ``map`` (name of a map of this package, or path of the site's own), those of the line
    (``device``, ``baud_rate``, ``parity``, ``stop_bits``, or ``host``, ``port``) and ``unit``.
    """

    def __init__(self) -> None:
        super().__init__()
        self._reading = MeterReading(None)
        self._signed = b''

    async def open(self, parameters: Mapping[str, str]) -> None:
        """Find the meter and read it once."""
        options = Options(parameters, ('map', *BUS_OPTIONS))
        meter_map = MeterMap.of(load_map(options.text('map')))
        device = ModbusDevice(meter_map.device, options)
        self._signed = b''
        try:
            serial_number = await device.text(device.map.serial_number)
            await self._read(device, meter_map, serial_number)
        except ModbusError as error:
            device.release()
            raise DriverError(str(error)) from None
        self._begin(device, self._run(device, meter_map, serial_number))

    async def close(self) -> None:
        """Give the line back."""
        device = await self._end()
        if device is not None:
            device.release()

    def read(self) -> MeterReading:
        """Return the newest values."""
        return self._reading

    async def _run(self, device: ModbusDevice, meter_map: MeterMap, serial_number: str) -> None:
        while True:
            await asyncio.sleep(CYCLE)
            try:
                if self._problem and serial_number != await device.text(device.map.serial_number):
                    self._problem = f'{device.map.model}: this is another meter than before'
                    continue
                await self._read(device, meter_map, serial_number)
                self._problem = ''
            except ModbusError as error:
                self._problem, self._signed = str(error), b''

    async def _read(self, device: ModbusDevice, meter_map: MeterMap, serial_number: str) -> None:
        asked = time.monotonic()
        image = await device.image()
        # The values first: a long data set on a slow line must not make them old.
        self._reading = meter_map.reading(image, asked, serial_number, self._signed)
        place = meter_map.signed
        if place is None:
            return
        if (await device.read(place.state, 1))[0] != place.ready:
            self._signed = b''
        elif not self._signed:
            self._signed = await _signed(device, place)


async def _signed(device: ModbusDevice, place: SignedData) -> bytes:
    """Return the signed data set as the meter gives it."""
    size = (await device.read(place.size, 1))[0]
    if not 1 <= size <= place.longest:
        raise ModbusError(f'{device.map.model}: signed data of {size} registers, '
                          f'not 1 to {place.longest}')
    words: list[int] = []
    while len(words) < size:
        words += await device.read(place.data + len(words), min(CHUNK, size - len(words)))
    return b''.join(word.to_bytes(2, 'big') for word in words).rstrip(b'\0')
