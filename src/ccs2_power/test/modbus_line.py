"""Devices on pymodbus's own server, over TCP or over a pair of pseudo-terminals."""

import asyncio
import contextlib
import os
import pty
import struct
import threading
import tty

from pymodbus.constants import ExcCodes
from pymodbus.framer import FramerType
from pymodbus.server import ModbusSerialServer, ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice


class Device:
    """Registers of one unit; `wrote` is called with each write, `silent` refuses everything."""

    def __init__(self, unit, registers, wrote=lambda address, value: None):
        self.unit, self.registers, self.wrote = unit, dict(registers), wrote
        self.silent = False
        self.writes = []
        self.functions = set()

    def put(self, address, form, value, little_words=False):
        data = struct.pack(form, value)
        words = [int.from_bytes(data[index:index + 2], 'big') for index in range(0, len(data), 2)]
        for offset, word in enumerate(reversed(words) if little_words else words):
            self.registers[address + offset] = word

    def put_text(self, address, text, count):
        data = text.encode().ljust(2 * count, b'\0')
        for index in range(count):
            self.registers[address + index] = int.from_bytes(data[2 * index:2 * index + 2], 'big')

    async def action(self, function, start, address, count, current, values):
        self.functions.add(function)
        if self.silent or any(address + index not in self.registers for index in range(count)):
            return ExcCodes.DEVICE_FAILURE
        if values is not None:
            for index, value in enumerate(values):
                self.writes.append((address + index, value))
                self.registers[address + index] = value
                self.wrote(address + index, value)
        for index in range(count):
            current[address - start + index] = self.registers[address + index]
        return None

    def simulated(self):
        return SimDevice(
            self.unit, [SimData(0, count=0x8000, values=0, datatype=DataType.REGISTERS)],
            action=self.action)


@contextlib.asynccontextmanager
async def on_tcp(*devices):
    """Serve the devices on a free local port; yields the options of the line."""
    server = ModbusTcpServer([device.simulated() for device in devices], address=('127.0.0.1', 0))
    await server.serve_forever(background=True)
    try:
        port = server.transport.sockets[0].getsockname()[1]
        yield {'host': '127.0.0.1', 'port': str(port)}
    finally:
        await server.shutdown()


@contextlib.asynccontextmanager
async def on_serial(*devices):
    """Serve the devices on one end of a serial line made of two pseudo-terminals."""
    masters, slaves = zip(*(pty.openpty() for _ in range(2)), strict=True)
    for slave in slaves:
        tty.setraw(slave)
    ended = threading.Event()

    def carry(source, sink):
        while not ended.is_set():
            try:
                os.write(sink, os.read(source, 4096))
            except OSError:
                return

    carriers = [threading.Thread(target=carry, args=pair, daemon=True)
                for pair in (masters, masters[::-1])]
    for carrier in carriers:
        carrier.start()
    server = ModbusSerialServer(
        [device.simulated() for device in devices], framer=FramerType.RTU,
        port=os.ttyname(slaves[0]), baudrate=19200, parity='N')
    await server.serve_forever(background=True)
    try:
        yield {'device': os.ttyname(slaves[1]), 'parity': 'N'}  # a pty has no parity
    finally:
        await server.shutdown()
        ended.set()
        for slave in slaves:
            os.write(slave, b'\0')  # wakes the carriers
        await asyncio.sleep(0)
        for carrier in carriers:
            carrier.join(1.0)
        for descriptor in (*masters, *slaves):
            os.close(descriptor)
