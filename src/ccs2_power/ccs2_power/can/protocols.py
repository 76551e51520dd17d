"""The protocols of DC modules, as public drivers use them.

Every value has a single or a double public source and was not checked on the makers' documents;
run ``check_driver`` on the real module before relying on one.
"""

from __future__ import annotations

from collections.abc import Iterable

from ccs2_power.can.frame import Frame
from ccs2_power.can.protocol import (
    Field,
    Identifier,
    ModuleProtocol,
    Quantity,
    Ranges,
    Reply,
    StatusBit,
    StatusWord,
    Wish,
    Write,
    single,
    unsigned,
)
from ccs2_power.faults import Severity
from ccs2_power.hal import SupplyLimits

#: The controller's own address where a protocol has one.
CONTROLLER = 0xF0

_WARNING, _ERROR, _EMERGENCY = Severity.WARNING, Severity.ERROR, Severity.EMERGENCY


# Maxwell, the same as UUGreenPower UR1000X0

_MAXWELL = Identifier({'protocol': (25, 4), 'monitor': (21, 4), 'module': (14, 7)})
_MAXWELL_GROUP = 1
_MAXWELL_SET, _MAXWELL_SET_RESPONSE, _MAXWELL_READ, _MAXWELL_READ_RESPONSE = 0x0, 0x1, 0x2, 0x3
#: All set-points in one frame, sent to all modules: other controllers use it.
_MAXWELL_SET_ALL = 0xB


def _maxwell(address: int, kind: int, register: int, payload: bytes) -> Frame:
    return Frame(_MAXWELL.pack(protocol=1, monitor=1, module=address),
                 bytes([_MAXWELL_GROUP << 4 | kind, register, 0, 0]) + payload)


def _maxwell_parse(frame: Frame) -> Reply | None:
    parts = _MAXWELL.unpack(frame.identifier)
    if parts['protocol'] != 1 or frame.data[0] & 0x0F not in (
            _MAXWELL_READ_RESPONSE, _MAXWELL_SET_RESPONSE):
        return None
    return Reply(parts['module'], frame.data[1])


def _maxwell_parse_write(frame: Frame) -> int | None:
    parts = _MAXWELL.unpack(frame.identifier)
    writes = frame.data[0] & 0x0F in (_MAXWELL_SET, _MAXWELL_SET_ALL)
    return parts['module'] if writes and parts['protocol'] == 1 else None


def _maxwell_set_points(wish: Wish) -> Iterable[Write]:
    return (Write(0x02, unsigned(1e3 * wish.voltage)),
            Write(0x03, unsigned(1e3 * max(0.0, wish.current))))


#: The meaning of its status word (0x08) is not public: on/off is seen in voltage and current only.
MAXWELL = ModuleProtocol(
    name='maxwell', bit_rate=125_000, addresses=range(1, 128),
    limits=SupplyLimits(50.0, 1000.0, 0.0, 100.0, 30e3),
    read=lambda address, register: _maxwell(address, _MAXWELL_READ, register, bytes(4)),
    write=lambda address, write: _maxwell(
        address, _MAXWELL_SET, write.register, write.payload),
    parse=_maxwell_parse, parse_write=_maxwell_parse_write, queries=(0x00, 0x01), rarely=(30,),
    fields={0x00: (Field(Quantity.VOLTAGE, '>I', 4, 1e-3),),
            0x01: (Field(Quantity.CURRENT, '>I', 4, 1e-3),),
            0x02: (Field(Quantity.SET_VOLTAGE, '>I', 4, 1e-3),),
            0x03: (Field(Quantity.SET_CURRENT, '>I', 4, 1e-3),),
            30: (Field(Quantity.TEMPERATURE, '>i', 4, 1e-3),)},
    status={}, set_points=_maxwell_set_points,
    switch=lambda on: Write(0x04, unsigned(0 if on else 1)),
    ranges=Ranges(Write(95, unsigned(2)), Write(95, unsigned(1)), highest_of_low=500.0, pause=2.0))


# InfyPower: status bits of both variants

_INFY = Identifier({'error': (26, 3), 'device': (22, 4), 'command': (16, 6),
                    'destination': (8, 8), 'source': (0, 8)})
_INFY_SINGLE, _INFY_GROUP = 0x0A, 0x0B
_INFY_ALL = 0x3F
_INFY_WRITES = (0x1A, 0x1C)
_INFY_STATUS = StatusWord(off_bit=8, bits=(
    StatusBit(0, _EMERGENCY, 'output short circuit'),
    StatusBit(4, _WARNING, 'sleeps'),
    StatusBit(5, _ERROR, 'output is not discharged'),
    StatusBit(9, _ERROR, 'fault'),
    StatusBit(10, _ERROR, 'protection has acted'),
    StatusBit(11, _ERROR, 'fan fault'),
    StatusBit(12, _ERROR, 'over-temperature'),
    StatusBit(13, _EMERGENCY, 'output over-voltage'),
    StatusBit(15, _ERROR, 'communication interrupted'),
    StatusBit(16, _WARNING, 'power limited'),
    StatusBit(17, _ERROR, 'another module has the same address'),
    StatusBit(18, _WARNING, 'load sharing'),
    StatusBit(19, _ERROR, 'input phase lost'),
    StatusBit(20, _WARNING, 'input unbalanced'),
    StatusBit(21, _ERROR, 'input voltage low'),
    StatusBit(22, _ERROR, 'input voltage high'),
))


def _infy(address: int, command: int, data: bytes) -> Frame:
    return Frame(_INFY.pack(device=_INFY_SINGLE, command=command, destination=address,
                            source=CONTROLLER), data)


def _infy_source(frame: Frame) -> dict[str, int] | None:
    parts = _INFY.unpack(frame.identifier)
    mine = parts['destination'] == CONTROLLER and parts['device'] == _INFY_SINGLE
    return parts if mine and parts['error'] == 0 else None


def _infy_destination(frame: Frame, commands: tuple[int, ...]) -> int | None:
    """Return the module that a command is for, None if it is not one of `commands`."""
    parts = _INFY.unpack(frame.identifier)
    if parts['command'] not in commands or parts['destination'] == CONTROLLER:
        return None
    # The number of a group is none of a module: it may be any.
    return {_INFY_SINGLE: parts['destination'], _INFY_GROUP: _INFY_ALL}.get(parts['device'])


def _infy_refusal(frame: Frame, commands: tuple[int, ...]) -> int | None:
    parts = _INFY.unpack(frame.identifier)
    refused = (parts['destination'] == CONTROLLER and parts['device'] == _INFY_SINGLE
               and parts['command'] in commands and parts['error'] != 0)
    return parts['source'] if refused else None


def _infy_parse(frame: Frame) -> Reply | None:
    parts = _infy_source(frame)
    return None if parts is None else Reply(parts['source'], parts['command'])


INFY = ModuleProtocol(
    name='infy', bit_rate=125_000, addresses=range(0x3C),
    limits=SupplyLimits(150.0, 1000.0, 0.0, 100.0, 30e3),
    read=lambda address, register: _infy(address, register, bytes(8)),
    # Voltage and current are one write: its eight octets, or a single one for the switch.
    write=lambda address, write: _infy(address, write.register, write.payload.ljust(8, b'\0')),
    parse=_infy_parse, parse_write=lambda frame: _infy_destination(frame, _INFY_WRITES),
    parse_refusal=lambda frame: _infy_refusal(frame, _INFY_WRITES),
    queries=(0x03, 0x04), rarely=(0x0A,),
    fields={0x03: (Field(Quantity.VOLTAGE, '>f', 0), Field(Quantity.CURRENT, '>f', 4)),
            0x0A: (Field(Quantity.MAXIMUM_VOLTAGE, '>H', 0),
                   Field(Quantity.MINIMUM_VOLTAGE, '>H', 2),
                   Field(Quantity.MAXIMUM_CURRENT, '>H', 4, 0.1),
                   Field(Quantity.MAXIMUM_POWER, '>H', 6, 10.0))},
    status={0x04: _INFY_STATUS},
    set_points=lambda wish: (
        Write(0x1C, unsigned(1e3 * wish.voltage) + unsigned(1e3 * max(0.0, wish.current))),),
    switch=lambda on: Write(0x1A, bytes([0 if on else 1])))


# InfyPower BEG1K075G, bidirectional

_BEG_READ, _BEG_WRITE = 0x23, 0x24


def _beg(address: int, command: int, write: Write) -> Frame:
    return _infy(address, command, write.register.to_bytes(2, 'big') + bytes(2) + write.payload)


def _beg_parse(frame: Frame) -> Reply | None:
    parts = _infy_source(frame)
    if parts is None or parts['command'] != _BEG_READ:
        return None
    return Reply(parts['source'], int.from_bytes(frame.data[:2], 'big'))


INFY_BEG = ModuleProtocol(
    name='infy_beg', bit_rate=125_000, addresses=range(0x3C),
    limits=SupplyLimits(150.0, 1000.0, 0.0, 73.0, 22e3, 73.0, 22e3),
    read=lambda address, register: _beg(address, _BEG_READ, Write(register, bytes(4))),
    write=lambda address, write: _beg(address, _BEG_WRITE, write),
    parse=_beg_parse, parse_write=lambda frame: _infy_destination(frame, (_BEG_WRITE,)),
    parse_refusal=lambda frame: _infy_refusal(frame, (_BEG_WRITE,)),
    queries=(0x1001, 0x1002, 0x1110), rarely=(0x1106, 0x1130, 0x1131, 0x1132),
    fields={0x1001: (Field(Quantity.VOLTAGE, '>I', 4, 1e-3),),
            0x1002: (Field(Quantity.CURRENT, '>i', 4, 1e-3),),
            0x1106: (Field(Quantity.TEMPERATURE, '>i', 4, 1e-3),),
            0x1130: (Field(Quantity.MAXIMUM_VOLTAGE, '>I', 4, 1e-3),),
            0x1131: (Field(Quantity.MINIMUM_VOLTAGE, '>I', 4, 1e-3),),
            0x1132: (Field(Quantity.MAXIMUM_CURRENT, '>I', 4, 1e-3),)},
    status={0x1110: _INFY_STATUS},
    set_points=lambda wish: (
        Write(0x2110, unsigned(0xA0 if wish.current >= 0.0 else 0xA1)),
        Write(0x1001, unsigned(1e3 * wish.voltage)),
        Write(0x1002, unsigned(1e3 * abs(wish.current)))),
    switch=lambda on: Write(0x1110, unsigned(0xA0 if on else 0xA1)))


# Winline V1.50 and DPM1000: the same identifier and registers

_WINLINE = Identifier({'protocol': (20, 9), 'point_to_point': (19, 1), 'destination': (11, 8),
                       'source': (3, 8), 'group': (0, 3)})
_WINLINE_PROTOCOL = 0x060
_WINLINE_GOOD = 0xF0
_WINLINE_REAL, _WINLINE_INTEGER, _DPM_SET_RESPONSE = 0x41, 0x42, 0x43
_WINLINE_ANSWERS = (_WINLINE_REAL, _WINLINE_INTEGER, _DPM_SET_RESPONSE)
#: Registers that hold a whole number.
_WINLINE_INTEGERS = (0x001B, 0x0040)
_WINLINE_WRITES, _DPM_WRITES = (0x03,), (0x00, 0x03)
_WINLINE_WRITTEN = (0x0019, 0x001B, 0x0020, 0x0021, 0x0022, 0x0030)
_WINLINE_FIELDS = {
    0x0001: (Field(Quantity.VOLTAGE, '>f', 4),),
    0x0004: (Field(Quantity.TEMPERATURE, '>f', 4),),
    0x0021: (Field(Quantity.SET_VOLTAGE, '>f', 4),)}


def _winline(address: int, kind: int, group: int, write: Write) -> Frame:
    return Frame(
        _WINLINE.pack(protocol=_WINLINE_PROTOCOL, point_to_point=1, destination=address,
                      source=CONTROLLER, group=group),
        bytes([kind, 0]) + write.register.to_bytes(2, 'big') + write.payload)


def _winline_parse(
    frame: Frame, reals: tuple[int, ...], integers: tuple[int, ...],
) -> Reply | None:
    """Return the reply if its type is one that its register is answered with."""
    parts = _WINLINE.unpack(frame.identifier)
    register = int.from_bytes(frame.data[2:4], 'big')
    if (parts['protocol'] != _WINLINE_PROTOCOL or parts['destination'] != CONTROLLER
            or frame.data[0] not in (integers if register in _WINLINE_INTEGERS else reals)
            or frame.data[1] != _WINLINE_GOOD):
        return None
    return Reply(parts['source'], register)


def _winline_refusal(frame: Frame) -> int | None:
    parts = _WINLINE.unpack(frame.identifier)
    refused = (parts['protocol'] == _WINLINE_PROTOCOL and parts['destination'] == CONTROLLER
               and frame.data[0] in _WINLINE_ANSWERS and frame.data[1] != _WINLINE_GOOD
               and int.from_bytes(frame.data[2:4], 'big') in _WINLINE_WRITTEN)
    return parts['source'] if refused else None


def _winline_destination(frame: Frame, writes: tuple[int, ...]) -> int | None:
    parts = _WINLINE.unpack(frame.identifier)
    commands_a_module = (parts['protocol'] == _WINLINE_PROTOCOL and frame.data[0] in writes
                         and parts['destination'] != CONTROLLER)
    return parts['destination'] if commands_a_module else None


WINLINE = ModuleProtocol(
    name='winline', bit_rate=125_000, addresses=range(0x40),
    limits=SupplyLimits(50.0, 1000.0, 0.0, 100.0, 30e3),
    read=lambda address, register: _winline(address, 0x10, 0, Write(register, bytes(4))),
    write=lambda address, write: _winline(address, 0x03, 0, write),
    parse=lambda frame: _winline_parse(frame, (_WINLINE_REAL,), (_WINLINE_INTEGER,)),
    parse_write=lambda frame: _winline_destination(frame, _WINLINE_WRITES),
    parse_refusal=_winline_refusal,
    queries=(0x0001, 0x0002, 0x0040), rarely=(0x0004, 0x0012),
    fields=_WINLINE_FIELDS | {0x0002: (Field(Quantity.CURRENT, '>f', 4),),
                              0x001B: (Field(Quantity.SET_CURRENT, '>I', 4, 1 / 1024),),
                              0x0012: (Field(Quantity.MAXIMUM_CURRENT, '>f', 4),)},
    status={0x0040: StatusWord(off_bit=22, bits=(
        StatusBit(0, _ERROR, 'fault'),
        StatusBit(1, _ERROR, 'protection has acted'),
        StatusBit(3, _ERROR, 'internal communication'),
        StatusBit(4, _ERROR, 'input mode or wiring'),
        StatusBit(5, _ERROR, 'input mode mismatch'),
        StatusBit(7, _EMERGENCY, 'DC over-voltage'),
        StatusBit(8, _ERROR, 'PFC voltage'),
        StatusBit(9, _ERROR, 'AC over-voltage'),
        StatusBit(14, _ERROR, 'AC under-voltage'),
        StatusBit(16, _ERROR, 'CAN failure'),
        StatusBit(17, _WARNING, 'current imbalance'),
        StatusBit(23, _WARNING, 'power limited'),
        StatusBit(24, _WARNING, 'derated by temperature'),
        StatusBit(25, _WARNING, 'AC input limited'),
        StatusBit(27, _ERROR, 'fan fault'),
        StatusBit(28, _EMERGENCY, 'output short circuit'),
        StatusBit(30, _ERROR, 'DC over-temperature'),
        StatusBit(31, _EMERGENCY, 'output over-voltage'),
    ))},
    set_points=lambda wish: (
        Write(0x0021, single(wish.voltage)),
        Write(0x001B, unsigned(1024 * max(0.0, wish.current)))),
    switch=lambda on: Write(0x0030, unsigned(0 if on else 0x10000)))

_DPM_GROUP = 1

DPM1000 = ModuleProtocol(
    name='dpm1000', bit_rate=125_000, addresses=range(0x40),
    limits=SupplyLimits(50.0, 1000.0, 0.0, 100.0, 30e3),
    read=lambda address, register: _winline(address, 0x01, _DPM_GROUP,
                                            Write(register, bytes(4))),
    write=lambda address, write: _winline(address, 0x03, _DPM_GROUP, write),
    # Here 0x41 is any answer to a question, 0x43 any to a write.
    parse=lambda frame: _winline_parse(
        frame, (_WINLINE_REAL, _DPM_SET_RESPONSE), _WINLINE_ANSWERS),
    parse_write=lambda frame: _winline_destination(frame, _DPM_WRITES),
    parse_refusal=_winline_refusal,
    queries=(0x0001, 0x0007, 0x0040), rarely=(0x0004,),
    fields=_WINLINE_FIELDS | {0x0007: (Field(Quantity.CURRENT, '>f', 4),),
                              0x0022: (Field(Quantity.SET_CURRENT, '>f', 4, 100.0),)},
    status={0x0040: StatusWord(off_bit=22, bits=(
        StatusBit(2, _ERROR, 'fuse blown'),
        StatusBit(3, _ERROR, 'internal communication'),
        StatusBit(6, _ERROR, 'bus voltage unbalanced'),
        StatusBit(7, _ERROR, 'bus over-voltage'),
        StatusBit(8, _ERROR, 'bus voltage'),
        StatusBit(9, _ERROR, 'AC over-voltage'),
        StatusBit(10, _ERROR, 'another module has the same address'),
        StatusBit(11, _ERROR, 'bus under-voltage'),
        StatusBit(12, _ERROR, 'input phase lost'),
        StatusBit(14, _ERROR, 'AC under-voltage'),
        StatusBit(16, _ERROR, 'CAN failure'),
        StatusBit(17, _WARNING, 'current imbalance'),
        StatusBit(23, _WARNING, 'power limited'),
        StatusBit(24, _WARNING, 'derated by temperature'),
        StatusBit(25, _WARNING, 'AC input limited'),
        StatusBit(26, _ERROR, 'DC memory fault'),
        StatusBit(27, _ERROR, 'fan fault'),
        StatusBit(28, _EMERGENCY, 'output short circuit'),
        StatusBit(29, _ERROR, 'PFC memory fault'),
        StatusBit(30, _ERROR, 'DC over-temperature'),
        StatusBit(31, _EMERGENCY, 'output over-voltage'),
    ))},
    # The current limit is a share of 100 A.
    set_points=lambda wish: (
        Write(0x0021, single(wish.voltage)),
        Write(0x0019, single(1.0)),
        Write(0x0020, single(1.0)),
        Write(0x0022, single(max(0.0, wish.current) / 100.0))),
    switch=lambda on: Write(0x0030, unsigned(0 if on else 1)))


# Huawei R100040Gx

_HUAWEI = Identifier({'protocol': (23, 6), 'module': (16, 7), 'message': (8, 8),
                      'controller': (7, 1), 'group': (2, 5), 'software_address': (1, 1),
                      'more': (0, 1)})
_HUAWEI_PROTOCOL = 0x0D
_HUAWEI_CONTROL, _HUAWEI_CONFIGURE, _HUAWEI_REAL_TIME = 0x80, 0x81, 0x40
_HUAWEI_NO_GROUP = 0x1F
#: Octet 3 of a batch query: the value is a mask of what is asked for.
_HUAWEI_SELECT = 0xAA
_HUAWEI_AUTOMATIC_MODE = 0x14A


def _huawei(address: int, message: int, write: Write) -> Frame:
    return Frame(
        _HUAWEI.pack(protocol=_HUAWEI_PROTOCOL, module=address, message=message, controller=1,
                     group=_HUAWEI_NO_GROUP),
        write.register.to_bytes(2, 'big') + bytes([0, write.octet_3]) + write.payload)


def _huawei_write(address: int, write: Write) -> Frame:
    configures = write.register == _HUAWEI_AUTOMATIC_MODE
    return _huawei(address, _HUAWEI_CONFIGURE if configures else _HUAWEI_CONTROL, write)


def _huawei_parse(frame: Frame) -> Reply | None:
    parts = _HUAWEI.unpack(frame.identifier)
    good = (parts['protocol'] == _HUAWEI_PROTOCOL and parts['message'] == _HUAWEI_REAL_TIME
            and not parts['controller'] and frame.data[0] >> 4 == 0)
    if not good:
        return None
    return Reply(parts['module'], int.from_bytes(frame.data[:2], 'big') & 0x0FFF)


def _huawei_parse_write(frame: Frame) -> int | None:
    parts = _HUAWEI.unpack(frame.identifier)
    writes = parts['message'] in (_HUAWEI_CONTROL, _HUAWEI_CONFIGURE) and parts['controller']
    return parts['module'] if writes and parts['protocol'] == _HUAWEI_PROTOCOL else None


def _huawei_refusal(frame: Frame) -> int | None:
    parts = _HUAWEI.unpack(frame.identifier)
    refused = (parts['protocol'] == _HUAWEI_PROTOCOL and not parts['controller']
               and parts['message'] in (_HUAWEI_CONTROL, _HUAWEI_CONFIGURE)
               and frame.data[0] >> 4 != 0)
    return parts['module'] if refused else None


def _huawei_set_points(wish: Wish) -> Iterable[Write]:
    if not wish.on:
        # Series or parallel by the voltage at the terminals; may be changed only while off.
        yield Write(_HUAWEI_AUTOMATIC_MODE, bytes(4), 1)
    yield Write(0x100, unsigned(1024 * wish.voltage))
    yield Write(0x10F, unsigned(1024 * max(0.0, wish.current)), wish.modules)


#: Registers that are read are bits of the batch query; what comes back are signals. The meaning of
#: its alarm word is not public: on/off is seen in voltage and current only.
HUAWEI = ModuleProtocol(
    name='huawei', bit_rate=125_000, addresses=range(1, 128),
    limits=SupplyLimits(150.0, 1000.0, 0.0, 133.0, 40e3),
    read=lambda address, bit: _huawei(
        address, _HUAWEI_REAL_TIME, Write(0x000, unsigned(1 << bit), _HUAWEI_SELECT)),
    write=_huawei_write, parse=_huawei_parse, parse_write=_huawei_parse_write,
    parse_refusal=_huawei_refusal, queries=(22,), rarely=(),
    fields={0x191: (Field(Quantity.VOLTAGE, '>H', 6, 0.1), Field(Quantity.CURRENT, '>H', 4, 0.1))},
    status={}, set_points=_huawei_set_points,
    switch=lambda on: Write(0x132, bytes(4), 0 if on else 1))


#: All protocols by name.
PROTOCOLS = {protocol.name: protocol for protocol in (
    MAXWELL, INFY, INFY_BEG, WINLINE, DPM1000, HUAWEI)}
