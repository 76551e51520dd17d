"""How each make of module speaks on the bus, written from the protocols' descriptions.

The station's own codecs (``ccs2_power.can``) are not used here: a mistake in one of the two shows
as a module that does not obey.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ccs2_sim.can_modules.module import Module

#: The controller's address, where a protocol has one.
CONTROLLER = 0xF0

Reader = Callable[[Module], bytes]
Writer = Callable[[Module, bytes], None]


@dataclass(frozen=True, slots=True)
class Request:
    """What the controller wants of one module."""

    address: int
    register: int
    writes: bool
    payload: bytes
    """The octets of the value."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """One protocol, from the module's side. Addresses are those that modules are given."""

    addresses: range
    parse: Callable[[int, bytes], Request | None]
    """Read identifier and eight octets; None for what is not a controller's request."""
    reply: Callable[[Request, bytes], tuple[int, bytes]]
    """Build identifier and octets of the answer to a request from its value."""
    reads: Mapping[int, Reader]
    """How the registers that can be read are made of a module's state."""
    writes: Mapping[int, Writer]
    """What writing a register does."""
    acknowledges: bool = False
    """A write is answered with what was written."""
    alarm: str = ''
    """What a defective module's status word says; '' if the protocol has none that is known."""


def _milli(value: float, signed: bool = False) -> bytes:
    return round(1000 * value).to_bytes(4, 'big', signed=signed)


def _number(payload: bytes) -> int:
    return int.from_bytes(payload[-4:], 'big')


def _set_voltage(scale: float) -> Writer:
    def write(module: Module, payload: bytes) -> None:
        module.set_voltage = _number(payload) / scale
    return write


def _set_current(scale: float) -> Writer:
    def write(module: Module, payload: bytes) -> None:
        module.set_current = _number(payload) / scale
    return write


def _switch(on: int) -> Writer:
    def write(module: Module, payload: bytes) -> None:
        module.on = _number(payload) == on
    return write


def _status(off_bit: int, alarm_bit: int) -> Reader:
    def read(module: Module) -> bytes:
        word = (0 if module.delivers else 1 << off_bit) | module.faults.alarm << alarm_bit
        return word.to_bytes(4, 'big')
    return read


# Maxwell, UUGreenPower

def _maxwell_parse(identifier: int, data: bytes) -> Request | None:
    kind = data[0] & 0x0F
    if identifier & ~(0x7F << 14) != 0x02200000 or kind not in (0x0, 0x2):
        return None
    return Request(identifier >> 14 & 0x7F, data[1], kind == 0x0, data[4:])


def _maxwell_reply(request: Request, value: bytes) -> tuple[int, bytes]:
    kind = 0x1 if request.writes else 0x3
    # Production day and serial number are in a module's own identifier.
    return (0x02200000 | request.address << 14 | 0x123,
            bytes([0x10 | kind, request.register, 0, 0]) + value)


def _maxwell_range(module: Module, payload: bytes) -> None:
    if not module.on:
        module.low_range = _number(payload) == 2


_MAXWELL = Dialect(
    range(1, 0x80), _maxwell_parse, _maxwell_reply, acknowledges=True,
    reads={0: lambda module: _milli(module.said.voltage),
           1: lambda module: _milli(max(0.0, module.said.current)),
           30: lambda module: _milli(module.said.temperature, signed=True)},
    writes={2: _set_voltage(1000), 3: _set_current(1000), 4: _switch(on=0), 95: _maxwell_range})


# InfyPower V1.13

def _infy_parse(identifier: int, data: bytes) -> Request | None:
    if identifier >> 22 != 0x0A or identifier & 0xFF != CONTROLLER:
        return None
    command = identifier >> 16 & 0x3F
    return Request(identifier >> 8 & 0xFF, command, command in (0x1A, 0x1C), data)


def _infy_reply(request: Request, value: bytes) -> tuple[int, bytes]:
    return (0x02800000 | request.register << 16 | CONTROLLER << 8 | request.address,
            value.rjust(8, b'\0'))


def _infy_limits(module: Module) -> bytes:
    rating = module.rating
    return struct.pack('>HHHH', round(rating.maximum_voltage), round(rating.minimum_voltage),
                       round(10 * rating.maximum_current), round(rating.maximum_power / 10))


def _infy_set(module: Module, payload: bytes) -> None:
    voltage, current = struct.unpack('>II', payload)
    module.set_voltage, module.set_current = voltage / 1000, current / 1000


def _infy_switch(module: Module, payload: bytes) -> None:
    module.on = payload[0] == 0


_INFY_STATUS = _status(off_bit=8, alarm_bit=12)
_INFY_ALARM = 'over-temperature'
_INFY = Dialect(
    range(0x3C), _infy_parse, _infy_reply, alarm=_INFY_ALARM,
    reads={0x03: lambda module: struct.pack('>ff', module.said.voltage, module.said.current),
           0x04: _INFY_STATUS, 0x0A: _infy_limits},
    writes={0x1A: _infy_switch, 0x1C: _infy_set})


# InfyPower BEG1K075G

def _beg_parse(identifier: int, data: bytes) -> Request | None:
    request = _infy_parse(identifier, data)
    if request is None or request.register not in (0x23, 0x24):
        return None
    return Request(request.address, int.from_bytes(data[:2], 'big'), request.register == 0x24,
                   data[4:])


def _beg_reply(request: Request, value: bytes) -> tuple[int, bytes]:
    return (0x02800000 | 0x23 << 16 | CONTROLLER << 8 | request.address,
            request.register.to_bytes(2, 'big') + bytes(2) + value)


def _beg_mode(module: Module, payload: bytes) -> None:
    module.inverter = _number(payload) == 0xA1


_INFY_BEG = Dialect(
    range(0x3C), _beg_parse, _beg_reply, alarm=_INFY_ALARM,
    reads={0x1001: lambda module: _milli(module.said.voltage),
           0x1002: lambda module: _milli(module.said.current, signed=True),
           0x1106: lambda module: _milli(module.said.temperature, signed=True),
           0x1110: _INFY_STATUS,
           0x1130: lambda module: _milli(module.rating.maximum_voltage),
           0x1131: lambda module: _milli(module.rating.minimum_voltage),
           0x1132: lambda module: _milli(module.rating.maximum_current)},
    writes={0x1001: _set_voltage(1000), 0x1002: _set_current(1000), 0x1110: _switch(on=0xA0),
            0x2110: _beg_mode})


# Winline V1.50 and DPM1000

_WINLINE_WRITE, _WINLINE_STATUS = 0x03, 0x0040
_WINLINE_REAL, _WINLINE_INTEGER, _DPM_SET, _WINLINE_GOOD = 0x41, 0x42, 0x43, 0xF0
#: Registers that hold a whole number.
_WINLINE_INTEGERS = (0x001B, 0x0030, _WINLINE_STATUS)


@dataclass(frozen=True, slots=True)
class _Winline:
    """The frames that both share, with what differs."""

    read: int
    group: int
    set_answer: int = 0
    """Type of the answer to a write; 0: that of the register."""

    def parse(self, identifier: int, data: bytes) -> Request | None:
        mine = 0x06080000 | CONTROLLER << 3 | self.group
        if identifier & ~(0xFF << 11) != mine or data[0] not in (self.read, _WINLINE_WRITE):
            return None
        return Request(identifier >> 11 & 0xFF, int.from_bytes(data[2:4], 'big'),
                       data[0] == _WINLINE_WRITE, data[4:])

    def reply(self, request: Request, value: bytes) -> tuple[int, bytes]:
        kind = _WINLINE_INTEGER if request.register in _WINLINE_INTEGERS else _WINLINE_REAL
        if request.writes and self.set_answer:
            kind = self.set_answer
        return (0x06080000 | CONTROLLER << 11 | request.address << 3 | self.group,
                bytes([kind, _WINLINE_GOOD]) + request.register.to_bytes(2, 'big') + value)


def _set_real(name: str, scale: float) -> Writer:
    def write(module: Module, payload: bytes) -> None:
        (value,) = struct.unpack('>f', payload)
        if math.isfinite(value):
            setattr(module, name, scale * value)
    return write


_WINLINE_READS: Mapping[int, Reader] = {
    0x0001: lambda module: struct.pack('>f', module.said.voltage),
    0x0004: lambda module: struct.pack('>f', module.said.temperature),
    0x0012: lambda module: struct.pack('>f', module.rating.maximum_current),
    _WINLINE_STATUS: _status(off_bit=22, alarm_bit=27)}
_WINLINE_ALARM = 'fan fault'


def _winline_current(module: Module) -> bytes:
    return struct.pack('>f', module.said.current)


def _winline(frames: _Winline, current: int, writes: Mapping[int, Writer]) -> Dialect:
    return Dialect(
        range(0x40), frames.parse, frames.reply, alarm=_WINLINE_ALARM, acknowledges=True,
        reads={**_WINLINE_READS, current: _winline_current},
        writes={0x0021: _set_real('set_voltage', 1.0), 0x0030: _switch(on=0), **writes})


# Huawei R100040Gx

_HUAWEI_CONTROL, _HUAWEI_REAL_TIME = 0x80, 0x40
_HUAWEI_BATCH = 0xAA
#: The bit of the batch query that asks for voltage and current, and the signal that tells them.
_HUAWEI_OUTPUT_BIT, _HUAWEI_OUTPUT = 22, 0x191


def _huawei_parse(identifier: int, data: bytes) -> Request | None:
    if identifier & ~(0x7F << 16 | 0xFF << 8) != 0x068000FC:
        return None
    message = identifier >> 8 & 0xFF
    address = identifier >> 16 & 0x7F
    if message == _HUAWEI_CONTROL:
        # The third octet is part of some values.
        return Request(address, int.from_bytes(data[:2], 'big'), True, data[3:])
    if message == _HUAWEI_REAL_TIME and data[3] == _HUAWEI_BATCH:
        return Request(address, _number(data), False, data[4:])
    return None


def _huawei_reply(request: Request, value: bytes) -> tuple[int, bytes]:
    return (0x0680007C | request.address << 16 | _HUAWEI_REAL_TIME << 8,
            _HUAWEI_OUTPUT.to_bytes(2, 'big') + bytes(2) + value)


def _huawei_output(module: Module) -> bytes:
    return struct.pack('>HH', round(10 * max(0.0, module.said.current)),
                       round(10 * module.said.voltage))


def _huawei_switch(module: Module, payload: bytes) -> None:
    module.on = payload[0] == 0


_HUAWEI = Dialect(
    range(1, 0x80), _huawei_parse, _huawei_reply,
    reads={1 << _HUAWEI_OUTPUT_BIT: _huawei_output},
    writes={0x100: _set_voltage(1024), 0x10F: _set_current(1024), 0x132: _huawei_switch})


#: All protocols, by the names that ``can_supply`` has for them.
DIALECTS: Mapping[str, Dialect] = {
    'maxwell': _MAXWELL, 'infy': _INFY, 'infy_beg': _INFY_BEG,
    'winline': _winline(_Winline(read=0x10, group=0), 0x0002, {0x001B: _set_current(1024)}),
    'dpm1000': _winline(_Winline(read=0x01, group=1, set_answer=_DPM_SET), 0x0007, {
        0x0022: _set_real('set_current', 100.0)}),
    'huawei': _HUAWEI,
}
