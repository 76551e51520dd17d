"""One device on a Modbus line, as its map describes it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine

from ccs2_power.claims import Claim
from ccs2_power.hal import DriverError
from ccs2_power.modbus.bus import Bus, Endpoint, ModbusError
from ccs2_power.modbus.registers import DeviceMap, Image, Text, Write
from ccs2_power.options import Options


class ModbusDevice:
    """Reads and writes registers of one unit; raises :class:`ModbusError` if it is lost.

    Only one driver on this machine has it: a monitor is not the voltmeter, too.
    """

    def __init__(self, device_map: DeviceMap, options: Options) -> None:
        self.map = device_map
        endpoint, self._unit = Endpoint.of(options, device_map.line)
        self._bus = Bus.acquire(endpoint)
        try:
            self._claim = Claim(f'Modbus {endpoint.name}: unit {self._unit}')
        except DriverError:
            self._bus.release()
            raise

    def release(self) -> None:
        """Give the device and the line back."""
        self._claim.release()
        self._bus.release()

    async def image(self) -> Image:
        """Return all blocks of the map."""
        image: dict[int, int] = {}
        for address, count in self.map.blocks:
            words = await self.read(address, count)
            image.update(zip(range(address, address + count), words, strict=True))
        return image

    async def read(self, address: int, count: int, function: str = '') -> list[int]:
        """Return registers, read with the map's function unless another one is given."""
        function = function or self.map.read_function
        try:
            return await self._bus.read(function, address, count, self._unit)
        except ModbusError:  # a disturbed frame is not yet a lost device
            return await self._bus.read(function, address, count, self._unit)

    async def write(self, write: Write) -> None:
        """Write one register."""
        await self._bus.write(self.map.write_function, write.address, write.value, self._unit)

    async def text(self, text: Text | None) -> str:
        """Return a text, `''` if the map has none."""
        return '' if text is None else text.value(await self.read(text.address, text.count))


class ModbusDriver:
    """What the drivers on Modbus share: a device, and a task that serves it."""

    def __init__(self) -> None:
        self._device: ModbusDevice | None = None
        self._task: asyncio.Task[None] | None = None
        self._problem = ''

    @property
    def problem(self) -> str:
        """What is wrong with the device or the line now."""
        return 'not open' if self._device is None else self._problem

    def _begin(self, device: ModbusDevice, serve: Coroutine[None, None, None]) -> None:
        self._device, self._problem = device, ''
        self._task = asyncio.get_running_loop().create_task(serve)

    async def _end(self) -> ModbusDevice | None:
        """End the task; return the device, for its last words and its release."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        device, self._device = self._device, None
        return device
