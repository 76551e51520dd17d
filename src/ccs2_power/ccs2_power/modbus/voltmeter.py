"""Voltmeters on Modbus: the map and the driver."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass

from ccs2_power.hal import DriverError, Measurement, VoltmeterReading
from ccs2_power.modbus.bus import BUS_OPTIONS, ModbusError
from ccs2_power.modbus.device import ModbusDevice, ModbusDriver
from ccs2_power.modbus.registers import (
    Condition,
    DeviceMap,
    Field,
    Image,
    Table,
    any_holds,
    load_map,
)
from ccs2_power.options import Options
from ccs2_power.sensor_driver import within

#: Pause between two readings, in s.
PAUSE = 0.03


@dataclass(frozen=True, slots=True)
class VoltmeterMap:
    """A voltmeter as data."""

    device: DeviceMap
    voltage: Field
    """V."""
    no_voltage: tuple[Condition, ...]
    lowest: float
    highest: float
    """V: what is beyond is a broken wire, or outside the range of the device."""
    value_age: float
    """s, age of a value when it is read, at most."""

    @classmethod
    def of(cls, table: Table) -> VoltmeterMap:
        """Read a map; raise :class:`DriverError` naming what is wrong with it."""
        table.choice('kind', ('voltmeter',))
        voltage = table.field('voltage')
        if voltage is None:
            raise DriverError('the map has no voltage')
        found = cls(
            DeviceMap.of(table), voltage, table.conditions('no_voltage'),
            table.take('lowest', float), table.take('highest', float),
            table.take('value_age', float))
        table.end()
        found.device.covers(voltage, *found.no_voltage)
        return found

    def reading(self, image: Image, asked: float) -> VoltmeterReading:
        """Return what the registers say that were asked for at the time `asked`."""
        value = None if any_holds(self.no_voltage, image) else self.voltage.value(image)
        if value is not None:
            value = within(value, self.lowest, self.highest)
        return VoltmeterReading(None if value is None else Measurement(
            value, f'voltmeter {self.device.model}', asked - self.value_age))


class ModbusVoltmeter(ModbusDriver):
    """Voltage at the connector on Modbus; see :class:`ccs2_power.hal.VoltmeterDriver`.

    Options: ``map`` (name of a map of this package, or path of the site's own), those of the line
    (``device``, ``baud_rate``, ``parity``, ``stop_bits``, or ``host``, ``port``) and ``unit``.

    Only maps of the kind ``voltmeter`` are taken, and no unit that is another driver's: what the
    isolation monitor or the meter says is compared with this and cannot be this.
    """

    def __init__(self) -> None:
        super().__init__()
        self._reading = VoltmeterReading(None)

    async def open(self, parameters: Mapping[str, str]) -> None:
        """Find the voltmeter and read it once."""
        options = Options(parameters, ('map', *BUS_OPTIONS))
        voltmeter_map = VoltmeterMap.of(load_map(options.text('map')))
        device = ModbusDevice(voltmeter_map.device, options)
        try:
            await self._measure(device, voltmeter_map)
        except ModbusError as error:
            device.release()
            raise DriverError(str(error)) from None
        self._begin(device, self._run(device, voltmeter_map))

    async def close(self) -> None:
        """Give the line back."""
        device = await self._end()
        self._reading = VoltmeterReading(None)
        if device is not None:
            device.release()

    def read(self) -> VoltmeterReading:
        """Return the newest voltage."""
        return self._reading

    async def _run(self, device: ModbusDevice, voltmeter_map: VoltmeterMap) -> None:
        while True:
            await asyncio.sleep(PAUSE)
            try:
                await self._measure(device, voltmeter_map)
                self._problem = ''
            except ModbusError as error:
                self._problem = str(error)

    async def _measure(self, device: ModbusDevice, voltmeter_map: VoltmeterMap) -> None:
        asked = time.monotonic()
        self._reading = voltmeter_map.reading(await device.image(), asked)
