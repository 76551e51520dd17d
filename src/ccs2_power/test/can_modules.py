"""Emulated DC modules, one class per protocol, written from the facts and not from the codecs."""

import asyncio
import contextlib
import struct
from dataclasses import dataclass

import can

from ccs2_power.can.protocol import Frame


@dataclass
class Module:
    """A module's state; the subclasses speak."""

    address: int = 1
    on: bool = False
    set_voltage: float = 0.0
    set_current: float = 0.0
    voltage: float = 0.0
    current: float = 0.0
    status: int = 0
    mute: bool = False
    load: float = 10.0

    def receive(self, frame):
        return [] if self.mute else [Frame(*answer) for answer in self.answer(
            frame.identifier, frame.data)]

    def settle(self):
        """A resistive load."""
        if not self.on:
            self.voltage = self.current = 0.0
            return
        self.voltage = min(self.set_voltage, abs(self.set_current) * self.load)
        self.current = self.voltage / self.load


class Maxwell(Module):
    def answer(self, identifier, data):
        if identifier != 0x02200000 | self.address << 14:
            return
        kind, command, value = data[0] & 15, data[1], int.from_bytes(data[4:], 'big')
        if kind == 0:
            if command == 2:
                self.set_voltage = value / 1000
            elif command == 3:
                self.set_current = value / 1000
            elif command == 4:
                self.on = value == 0
            kind = 1
        elif kind == 2:
            values = {0: self.voltage, 1: self.current, 30: 35.0}
            value, kind = round(1000 * values.get(command, 0)), 3
        yield identifier | 0x123, bytes([0x10 | kind, command, 0, 0]) + value.to_bytes(4, 'big')


class Infy(Module):
    def answer(self, identifier, data):
        if identifier & 0xFFFF != self.address << 8 | 0xF0:
            return
        command = identifier >> 16 & 0x3F
        answer = {3: struct.pack('>ff', self.voltage, self.current),
                  4: (self.status | (0 if self.on else 1 << 8)).to_bytes(8, 'big'),
                  10: bytes.fromhex('03E80096 03E803E8')}.get(command)
        if command == 0x1C:
            self.set_voltage, self.set_current = (
                value / 1000 for value in struct.unpack('>II', data))
        elif command == 0x1A:
            self.on = data[0] == 0
        if answer is not None:
            yield 0x0280F000 | command << 16 | self.address, answer


class InfyBeg(Module):
    inverter = False

    def answer(self, identifier, data):
        if identifier & 0xFFFF != self.address << 8 | 0xF0:
            return
        command, item = identifier >> 16 & 0x3F, int.from_bytes(data[:2], 'big')
        value = int.from_bytes(data[4:], 'big')
        if command == 0x24:
            if item == 0x1001:
                self.set_voltage = value / 1000
            elif item == 0x1002:
                self.set_current = (-value if self.inverter else value) / 1000
            elif item == 0x1110:
                self.on = value == 0xA0
            elif item == 0x2110:
                self.inverter = value == 0xA1
            return
        answer = {0x1001: round(1000 * self.voltage), 0x1002: round(1000 * self.current),
                  0x1106: 30000, 0x1110: self.status | (0 if self.on else 1 << 8)}.get(item, 0)
        yield (0x02A3F000 & ~0x400000 | 0x2800000 | self.address,
               data[:2] + b'\0\0' + struct.pack('>i', answer))

    def settle(self):
        super().settle()
        if self.set_current < 0.0:
            self.current = -self.current


class Winline(Module):
    read, group = 0x10, 0
    current_register = 2

    def answer(self, identifier, data):
        if identifier != 0x06080000 | self.address << 11 | 0xF0 << 3 | self.group:
            return
        kind, register = data[0], int.from_bytes(data[2:4], 'big')
        if kind == 3:
            self.take(register, data[4:])
            return
        answer = {1: struct.pack('>f', self.voltage), 4: struct.pack('>f', 40.0),
                  self.current_register: struct.pack('>f', self.current),
                  0x40: (self.status | (0 if self.on else 1 << 22)).to_bytes(4, 'big')}
        if kind == self.read and register in answer:
            yield (0x06080000 | 0xF0 << 11 | self.address << 3 | self.group,
                   bytes([0x42 if register == 0x40 else 0x41, 0xF0]) + data[2:4]
                   + answer[register])

    def take(self, register, octets):
        number, (real,) = int.from_bytes(octets, 'big'), struct.unpack('>f', octets)
        if register == 0x21:
            self.set_voltage = real
        elif register == 0x1B:
            self.set_current = number / 1024
        elif register == 0x30:
            self.on = number == 0


class Dpm1000(Winline):
    read, group = 0x01, 1
    current_register = 7

    def take(self, register, octets):
        (real,) = struct.unpack('>f', octets)
        if register == 0x22:
            self.set_current = 100 * real
        else:
            super().take(register, octets)


class Huawei(Module):
    modules = 1

    def answer(self, identifier, data):
        if identifier & ~0xFF00 != 0x0680007C | 0x80 | self.address << 16:
            return
        message, signal = identifier >> 8 & 0xFF, int.from_bytes(data[:2], 'big')
        value = int.from_bytes(data[4:], 'big')
        if message == 0x80:
            if signal == 0x100:
                self.set_voltage = value / 1024
            elif signal == 0x10F:
                self.set_current, self.modules = value / 1024, data[3]
            elif signal == 0x132:
                self.on = data[3] == 0
        elif message == 0x40 and data[3] == 0xAA and value >> 22 & 1:
            yield (identifier & ~0x80, b'\x01\x91\0\0' + struct.pack(
                '>HH', round(10 * self.current), round(10 * self.voltage)))


MODULES = {'maxwell': Maxwell, 'infy': Infy, 'infy_beg': InfyBeg, 'winline': Winline,
           'dpm1000': Dpm1000, 'huawei': Huawei}


@contextlib.asynccontextmanager
async def emulated(name, interface, channel, count=2, load=10.0):
    """Emulated modules on the bus, on this loop."""
    bus = can.Bus(interface=interface, channel=channel)
    modules = [MODULES[name](address, load=load) for address in range(1, count + 1)]

    def receive(message):
        for module in modules:
            for answer in module.receive(Frame(message.arbitration_id, bytes(message.data))):
                bus.send(can.Message(arbitration_id=answer.identifier, data=answer.data,
                                     is_extended_id=True))
            module.settle()

    notifier = can.Notifier(bus, [receive], loop=asyncio.get_running_loop(), timeout=0.05)
    try:
        yield modules
    finally:
        notifier.stop(timeout=0.2)
        bus.shutdown()
