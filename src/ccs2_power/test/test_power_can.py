"""Module protocols on CAN: vectors, emulated modules, hostile frames, the driver on a real bus."""

import asyncio
import os
from types import SimpleNamespace

import can
import pytest
from can_modules import LoadedCabinet, emulated
from hypothesis import given
from hypothesis import strategies as st

from ccs2_power.can import bus as can_bus
from ccs2_power.can import discover
from ccs2_power.can.bus import CanBus
from ccs2_power.can.frame import Frame
from ccs2_power.can.parallel import ModuleGroup
from ccs2_power.can.protocol import Quantity, Wish
from ccs2_power.can.protocols import PROTOCOLS
from ccs2_power.can.ranges import RangePolicy, RangeSwitch
from ccs2_power.can.supply import CanSupply
from ccs2_power.faults import Severity
from ccs2_power.hal import SUPPLY_OFF, DriverError, SupplyCommand, SupplyDriver

#: What modules say: protocol, identifier, data, address, values, on.
SAID = [
    ('maxwell', 0x02204000, '1300000000061A80', 1, {Quantity.VOLTAGE: 400.0}, None),
    ('maxwell', 0x022041FF, '0301000000002710', 1, {Quantity.CURRENT: 10.0}, None),
    ('infy', 0x0283F000, '43FA000040600000', 0,
     {Quantity.VOLTAGE: 500.0, Quantity.CURRENT: 3.5}, None),
    ('infy', 0x0284F000, '0000000000000000', 0, {}, True),
    ('infy', 0x0284F000, '0000000000000100', 0, {}, False),
    ('infy', 0x028AF000, '01F400C803E803E8', 0,
     {Quantity.MAXIMUM_VOLTAGE: 500.0, Quantity.MINIMUM_VOLTAGE: 200.0,
      Quantity.MAXIMUM_CURRENT: 100.0, Quantity.MAXIMUM_POWER: 10e3}, None),
    ('infy_beg', 0x02A3F002, '1001000000061A80', 2, {Quantity.VOLTAGE: 400.0}, None),
    ('infy_beg', 0x02A3F002, '10020000FFFFD8F0', 2, {Quantity.CURRENT: -10.0}, None),
    ('infy_beg', 0x02A3F002, '11300000000F4240', 2, {Quantity.MAXIMUM_VOLTAGE: 1000.0}, None),
    ('maxwell', 0x02204123, '1102000000061A80', 1, {Quantity.SET_VOLTAGE: 400.0}, None),
    ('maxwell', 0x02204123, '1103000000002710', 1, {Quantity.SET_CURRENT: 10.0}, None),
    ('winline', 0x06078018, '41F0000143C80000', 3, {Quantity.VOLTAGE: 400.0}, None),
    ('winline', 0x06078018, '41F0002143C80000', 3, {Quantity.SET_VOLTAGE: 400.0}, None),
    ('winline', 0x06078018, '42F0001B00002800', 3, {Quantity.SET_CURRENT: 10.0}, None),
    ('winline', 0x06078018, '41F0001242480000', 3, {Quantity.MAXIMUM_CURRENT: 50.0}, None),
    ('dpm1000', 0x06078019, '43F0002143C80000', 3, {Quantity.SET_VOLTAGE: 400.0}, None),
    ('dpm1000', 0x06078019, '43F000223F000000', 3, {Quantity.SET_CURRENT: 50.0}, None),
    ('winline', 0x06078018, '42F0004000400000', 3, {}, False),
    ('dpm1000', 0x06078019, '41F0000743C80000', 3, {Quantity.CURRENT: 400.0}, None),
    ('huawei', 0x0681407C, '0191000000650FA0', 1,
     {Quantity.VOLTAGE: 400.0, Quantity.CURRENT: 10.1}, None),
]
#: What modules are told: protocol, address, wish, frames.
TOLD = [
    ('maxwell', 1, Wish(True, 400.0, 10.0), [
        (0x02204000, '1002000000061A80'), (0x02204000, '1003000000002710'),
        (0x02204000, '1004000000000000')]),
    ('maxwell', 2, Wish(False, 0.0, 0.0), [
        (0x02208000, '1004000000000001'), (0x02208000, '1002000000000000'),
        (0x02208000, '1003000000000000')]),
    ('infy', 0, Wish(True, 500.0, 3.5), [
        (0x029C00F0, '0007A12000000DAC'), (0x029A00F0, '0000000000000000')]),
    ('infy', 1, Wish(False, 0.0, 0.0), [
        (0x029A01F0, '0100000000000000'), (0x029C01F0, '0000000000000000')]),
    ('infy_beg', 2, Wish(True, 400.0, -10.0), [
        (0x02A402F0, '21100000000000A1'), (0x02A402F0, '1001000000061A80'),
        (0x02A402F0, '1002000000002710'), (0x02A402F0, '11100000000000A0')]),
    ('winline', 3, Wish(True, 400.0, 10.0), [
        (0x06081F80, '0300002143C80000'), (0x06081F80, '0300001B00002800'),
        (0x06081F80, '0300003000000000')]),
    ('winline', 3, Wish(False, 0.0, 0.0), [
        (0x06081F80, '0300003000010000'), (0x06081F80, '0300002100000000'),
        (0x06081F80, '0300001B00000000')]),
    ('dpm1000', 3, Wish(True, 400.0, 50.0), [
        (0x06081F81, '0300002143C80000'), (0x06081F81, '030000193F800000'),
        (0x06081F81, '030000203F800000'), (0x06081F81, '030000223F000000'),
        (0x06081F81, '0300003000000000')]),
    ('huawei', 1, Wish(True, 400.0, 10.0, 2), [
        (0x068180FC, '0100000000064000'), (0x068180FC, '010F000200002800'),
        (0x068180FC, '0132000000000000')]),
    ('huawei', 1, Wish(False, 0.0, 0.0), [
        (0x068180FC, '0132000100000000'), (0x068181FC, '014A000100000000'),
        (0x068180FC, '0100000000000000'), (0x068180FC, '010F000100000000')]),
]


@pytest.mark.parametrize(('name', 'identifier', 'data', 'address', 'values', 'on'), SAID)
def test_what_modules_say(name, identifier, data, address, values, on):
    told = PROTOCOLS[name].decode(Frame(identifier, bytes.fromhex(data)))
    assert told.address == address
    assert told.values == pytest.approx(values)
    assert told.on is on


@pytest.mark.parametrize(('name', 'address', 'wish', 'frames'), TOLD)
def test_what_modules_are_told(name, address, wish, frames):
    built = PROTOCOLS[name].commands(address, wish)
    assert [(frame.identifier, frame.data.hex().upper()) for frame in built] == frames


@pytest.mark.parametrize(('name', 'data', 'texts'), [
    ('infy', '0000000000000001', ['output short circuit']),
    ('infy', '0000000000082000', ['output over-voltage', 'input phase lost']),
    ('winline', '42F0004088000001', ['fault', 'fan fault', 'output over-voltage']),
])
def test_alarms(name, data, texts):
    identifier = {'infy': 0x0284F000, 'winline': 0x06078018}[name]
    told = PROTOCOLS[name].decode(Frame(identifier, bytes.fromhex(data)))
    assert [bit.text for bit in told.alarms] == texts


@pytest.mark.parametrize(('name', 'identifier', 'data'), [
    ('winline', 0x06078018, '42F0000100000190'), ('winline', 0x06078018, '41F0001B00002800'),
    ('winline', 0x06078018, '41F0004000400000'), ('winline', 0x06078018, '43F0000143C80000'),
    ('dpm1000', 0x06078019, '42F0000700000190')])
def test_a_number_of_another_type_is_none(name, identifier, data):
    assert PROTOCOLS[name].decode(Frame(identifier, bytes.fromhex(data))) is None


@pytest.mark.parametrize('name', PROTOCOLS)
@pytest.mark.parametrize('length', [0, 1, 4, 7, 9, 64])
def test_every_other_length_is_nobody_s(name, length):
    for protocol, identifier, *_ in SAID:
        if protocol == name:
            assert PROTOCOLS[name].decode(Frame(identifier, bytes(length))) is None


@pytest.mark.parametrize('name', PROTOCOLS)
@given(identifier=st.integers(0, 2**32), data=st.binary(max_size=9))
def test_any_frame_is_decoded_or_nobody_s(name, identifier, data):
    assert PROTOCOLS[name].decode(Frame(identifier, data, extended=False)) is None
    told = PROTOCOLS[name].decode(Frame(identifier, data))
    if told is not None:
        assert told.address in PROTOCOLS[name].addresses
        assert all(value == value and abs(value) < 1e39 for value in told.values.values())


@pytest.mark.parametrize('name', PROTOCOLS)
def test_the_controller_s_own_frames_are_not_a_module_s(name):
    protocol = PROTOCOLS[name]
    address = protocol.addresses[1]
    frames = protocol.commands(address, Wish(True, 400.0, 10.0)) + [
        protocol.read(address, register) for register in (*protocol.queries, *protocol.rarely)]
    assert [protocol.decode(frame) for frame in frames] == [None] * len(frames)


class Wire:
    """A group and emulated modules on a virtual clock."""

    def __init__(self, name, count=2, lost_after=None, policy=None):
        self.now = 10.0
        first = PROTOCOLS[name].addresses[1]
        self.cabinet = LoadedCabinet(name, range(first, first + count))
        self.modules = self.cabinet.list
        self.group = ModuleGroup(
            PROTOCOLS[name], [module.address for module in self.modules], lost_after, policy)

    def run(self, command=None, cycles=5):
        for _ in range(cycles):
            self.now += 0.1
            if command is not None:
                self.group.command(command, self.now)
            for frame in self.group.cycle(self.now):
                for answer in self.cabinet.receive(frame, self.now):
                    self.group.hear(answer, self.now)
            self.cabinet.settle(self.now)
        return self.group.reading()


@pytest.mark.parametrize('name', PROTOCOLS)
def test_a_group_follows_and_adds_up(name):
    wire = Wire(name)
    reading = wire.run()
    assert reading.voltage.value == 0.0
    assert reading.on is None or reading.on.value is False
    reading = wire.run(SupplyCommand(True, 400.0, 60.0))
    assert all(module.on for module in wire.modules)
    assert [module.set_current for module in wire.modules] == pytest.approx([30.0, 30.0])
    assert reading.voltage.value == pytest.approx(300.0)
    assert reading.current.value == pytest.approx(60.0)
    assert reading.on is None or reading.on.value is True
    assert reading.limits.maximum_current >= 100.0
    assert reading.alarms == ()
    reading = wire.run(SUPPLY_OFF)
    assert not any(module.on for module in wire.modules)
    assert reading.current.value == 0.0


@pytest.mark.parametrize('name', PROTOCOLS)
def test_a_silent_controller_becomes_off(name):
    wire = Wire(name)
    wire.run(SupplyCommand(True, 400.0, 60.0))
    wire.run(None, cycles=2)
    assert all(module.on for module in wire.modules)
    wire.run(None, cycles=2)
    assert not any(module.on for module in wire.modules)


@pytest.mark.parametrize('name', PROTOCOLS)
def test_one_silent_module_makes_the_group_old(name):
    wire = Wire(name)
    wire.run(SupplyCommand(True, 400.0, 60.0))
    last = wire.now
    wire.modules[1].faults.silent = True
    reading = wire.run(SupplyCommand(True, 400.0, 60.0), cycles=10)
    assert reading.voltage.stamp == pytest.approx(last)
    assert reading.current.stamp == pytest.approx(last)
    assert wire.group.silent(wire.now) == [f'module_{wire.modules[1].address}']


@pytest.mark.parametrize('name', PROTOCOLS)
@pytest.mark.parametrize('gone', [True, False])
def test_the_others_go_on_without_a_lost_module_where_that_is_wanted(name, gone):
    wire = Wire(name, count=3, lost_after=0.2)
    wire.run()
    reading = wire.run(SupplyCommand(True, 400.0, 60.0))
    whole = reading.limits.maximum_current
    assert (reading.missing, reading.alarms) == ((), ())
    lost = wire.modules[2]
    if gone:
        lost.faults.gone = True
    else:
        lost.faults.silent = True
    reading = wire.run(SupplyCommand(True, 400.0, 60.0), cycles=8)
    assert reading.missing == (f'module_{lost.address}',)
    assert [(alarm.severity, alarm.source) for alarm in reading.alarms] == [
        (Severity.WARNING, f'module_{lost.address}')]
    assert reading.current.stamp == pytest.approx(wire.now)
    assert [module.set_current for module in wire.modules[:2]] == pytest.approx([30.0, 30.0])
    assert not lost.delivers
    assert reading.limits.maximum_current == pytest.approx(whole * 2 / 3)
    assert wire.group.silent(wire.now) == []
    # It comes back under power: it stays off, until the output has been off.
    lost.faults.gone = lost.faults.silent = False
    reading = wire.run(SupplyCommand(True, 400.0, 60.0), cycles=8)
    assert reading.missing == (f'module_{lost.address}',)
    assert not lost.on
    wire.run(SUPPLY_OFF)
    reading = wire.run(SupplyCommand(True, 400.0, 60.0))
    assert (reading.missing, reading.limits.maximum_current) == ((), pytest.approx(whole))
    assert lost.on


def test_when_all_modules_are_lost_nothing_is_measured_any_longer():
    wire = Wire('infy', lost_after=0.2)
    wire.run()
    wire.run(SupplyCommand(True, 400.0, 60.0))
    last = wire.now
    for module in wire.modules:
        module.faults.silent = True
    reading = wire.run(SupplyCommand(True, 400.0, 60.0), cycles=8)
    assert reading.missing == ()
    assert reading.current.stamp == pytest.approx(last)
    assert len(wire.group.silent(wire.now)) == 2


def test_a_module_that_was_never_heard_leaves_nothing_measured():
    wire = Wire('maxwell')
    wire.modules[0].faults.silent = True
    reading = wire.run()
    assert (reading.voltage, reading.current, reading.on) == (None, None, None)


def test_energy_out_of_the_vehicle():
    wire = Wire('infy_beg')
    reading = wire.run(SupplyCommand(True, 400.0, -20.0))
    assert reading.current.value == pytest.approx(-20.0)
    wire = Wire('infy')
    reading = wire.run(SupplyCommand(True, 400.0, -20.0))
    assert reading.current.value == 0.0


def test_unconfigured_modules_do_not_count():
    wire = Wire('maxwell', count=1)
    wire.run()
    before = wire.group.foreign
    wire.group.hear(Frame(0x02200000 | 9 << 14, bytes.fromhex('1300000000061A80')), wire.now)
    assert wire.group.foreign == before + 1
    assert wire.group.reading().voltage.value == 0.0


def test_modules_that_disagree_are_an_emergency():
    wire = Wire('winline')
    wire.run(SupplyCommand(True, 400.0, 60.0))
    wire.modules[1].faults.wrong = -100.0
    (alarm,) = wire.run(SupplyCommand(True, 400.0, 60.0), cycles=8).alarms
    assert (alarm.severity, alarm.source) == (Severity.EMERGENCY, 'modules')


@pytest.mark.parametrize('count', [1, 2])
def test_a_foreign_sender_under_a_module_s_address_is_an_emergency(count):
    wire = Wire('maxwell', count)
    for _ in range(8):
        wire.run(cycles=1)
        identifier = 0x02200000 | wire.modules[0].address << 14
        wire.group.hear(Frame(identifier, bytes.fromhex('1300000000061A80')), wire.now)
    (alarm,) = wire.group.reading().alarms
    assert alarm.severity is Severity.EMERGENCY


def test_a_foreign_voltage_under_a_module_s_address_is_no_voltage_of_the_group():
    """400 V from a rogue while the module really reads 12 V."""
    rogue = Frame(0x02204000, bytes.fromhex('1300000000061A80'))
    wire = Wire('maxwell', 1)
    wire.modules[0].address, wire.cabinet.modules = 1, {1: wire.modules[0]}
    wire.group = ModuleGroup(PROTOCOLS['maxwell'], [1])
    for _ in range(8):
        wire.run(cycles=1)
        wire.group.hear(rogue, wire.now)
        wire.group.hear(Frame(0x02204123, bytes.fromhex('1300000000002EE0')), wire.now + 0.01)
    reading = wire.group.reading()
    assert reading.voltage.value == 12.0
    assert [(alarm.severity, alarm.text) for alarm in reading.alarms] == [
        (Severity.EMERGENCY, 'contradicts itself: a foreign sender')]


def intrusion(*addresses):
    return [(Severity.EMERGENCY, f'module_{address}', 'another controller commands it')
            for address in addresses]


def alarms(reading):
    return [(alarm.severity, alarm.source, alarm.text) for alarm in reading.alarms]


def test_a_foreign_command_of_200_a_to_all_modules_is_an_emergency():
    """500 V and 200 A for everybody, in the frame that another controller uses."""
    wire = Wire('maxwell')
    wire.run(SupplyCommand(True, 400.0, 60.0))
    wire.group.hear(Frame(0x02200000, bytes.fromhex('1B0007D013881388')), wire.now)
    seen = intrusion(*wire.group.modules)
    assert alarms(wire.group.reading()) == seen
    assert alarms(wire.run(SupplyCommand(True, 400.0, 60.0), cycles=9)) == seen
    assert alarms(wire.run(SupplyCommand(True, 400.0, 60.0), cycles=3)) == []


@pytest.mark.parametrize('name', PROTOCOLS)
@pytest.mark.parametrize('on', [True, False])
def test_each_frame_of_another_controller_to_a_module_of_ours_is_seen(name, on):
    protocol = PROTOCOLS[name]
    ours, theirs = protocol.addresses[1], protocol.addresses[5]
    for frame in protocol.commands(ours, Wish(on, 400.0, 10.0)):
        group = ModuleGroup(protocol, [protocol.addresses[2], ours])
        group.hear(frame, 1.0)
        assert alarms(group.reading()) == intrusion(ours)
    group = ModuleGroup(protocol, [ours])
    for frame in protocol.commands(theirs, Wish(on, 400.0, 10.0)) + [
            protocol.read(ours, register) for register in protocol.queries]:
        group.hear(frame, 1.0)  # another connector on the same bus, and somebody who only looks
    assert alarms(group.reading()) == []


@pytest.mark.parametrize(('name', 'identifier', 'data'), [
    ('infy', 0x029C3FF0, '0007A12000030D40'), ('infy', 0x02DC01F0, '0007A12000030D40'),
    ('infy_beg', 0x02A43FF0, '1001000000061A80'), ('winline', 0x0607FF80, '0300002143C80000'),
    ('dpm1000', 0x0607FF81, '0000002143C80000'), ('huawei', 0x068080FC, '0132000000000000')])
def test_a_command_to_all_modules_or_a_group_is_seen(name, identifier, data):
    group = ModuleGroup(PROTOCOLS[name], [7])
    group.hear(Frame(identifier, bytes.fromhex(data)), 1.0)
    assert alarms(group.reading()) == intrusion(7)


@pytest.mark.parametrize('name', PROTOCOLS)
def test_answers_of_modules_are_no_commands(name):
    wire = Wire(name)
    for command in (SupplyCommand(True, 400.0, 60.0), SUPPLY_OFF):
        assert alarms(wire.run(command, cycles=20)) == []


@pytest.mark.parametrize(('name', 'identifier', 'data'), [
    ('infy', 0x0E9CF001, '0000000000000000'), ('infy_beg', 0x0EA4F001, '1001000000061A80'),
    ('winline', 0x06078008, '42F2002143C80000'), ('dpm1000', 0x06078009, '43F2002143C80000'),
    ('huawei', 0x0681807C, '1100000000064000')])
def test_a_module_that_refuses_what_it_is_told_is_named(name, identifier, data):
    group = ModuleGroup(PROTOCOLS[name], [1])
    group.hear(Frame(identifier, bytes.fromhex(data)), 1.0)
    assert alarms(group.reading()) == [(Severity.WARNING, 'module_1', 'refuses what it is told')]
    group.watch(2.1)
    assert alarms(group.reading()) == []


# Read-back


@pytest.mark.parametrize(('name', 'told'), [
    ('maxwell', True), ('winline', True), ('dpm1000', True), ('infy', False),
    ('infy_beg', False), ('huawei', False)])
def test_set_points_are_read_back_where_the_modules_tell_them(name, told):
    wire = Wire(name)
    assert wire.run().set_voltage is None
    reading = wire.run(SupplyCommand(True, 400.0, 60.0))
    if not told:
        assert (reading.set_voltage, reading.set_current) == (None, None)
        return
    assert reading.set_voltage.value == pytest.approx(400.0)
    assert reading.set_current.value == pytest.approx(60.0, abs=0.01)
    assert reading.set_voltage.stamp == pytest.approx(wire.now)
    wire.modules[1].faults.silent = True
    assert wire.run(SupplyCommand(True, 400.0, 60.0)).set_voltage.stamp < wire.now


def test_a_module_that_has_taken_another_set_point_tells_it():
    wire = Wire('maxwell')
    wire.run(SupplyCommand(True, 400.0, 60.0))
    wire.group.hear(Frame(0x02204123 & ~(0x7F << 14) | wire.modules[0].address << 14,
                          bytes.fromhex('110200000007A120')), wire.now)
    assert wire.group.reading().set_voltage.value == 500.0


def test_an_answer_that_never_was_the_set_point_is_no_read_back():
    """The meaning of the answers is known from public drivers only."""
    group = ModuleGroup(PROTOCOLS['maxwell'], [1])
    group.command(SupplyCommand(True, 400.0, 60.0), 1.0)
    group.tell(1.0)
    group.hear(Frame(0x02204123, bytes.fromhex('1102000000000001')), 1.0)
    assert group.reading().set_voltage is None


# Ranges


def test_the_range_follows_what_the_vehicle_will_need():
    wire = Wire('maxwell', policy=RangePolicy.AUTO)
    assert wire.run(cycles=25).limits.maximum_voltage == 1000.0
    wire.run(SupplyCommand(False, 450.0), cycles=2)
    assert all(module.low_range for module in wire.modules)
    assert wire.group.reading().limits.maximum_voltage == 500.0
    wire.run(SupplyCommand(True, 450.0, 60.0), cycles=10)
    assert not any(module.on for module in wire.modules)  # two seconds after it was switched
    wire.run(SupplyCommand(True, 450.0, 60.0), cycles=12)
    assert all(module.on for module in wire.modules)
    # The next vehicle needs more: off for two seconds first, whatever is asked for.
    wire.run(SupplyCommand(False, 800.0), cycles=15)
    assert all(module.low_range for module in wire.modules)
    wire.run(SupplyCommand(True, 800.0, 60.0), cycles=5)
    assert not any(module.on for module in wire.modules)
    wire.run(SupplyCommand(True, 800.0, 60.0), cycles=25)
    assert [(module.on, module.low_range) for module in wire.modules] == [(True, False)] * 2


def test_a_vehicle_of_up_to_500_v_leaves_the_next_one_its_choice():
    wire = Wire('maxwell', policy=RangePolicy.AUTO)
    wire.run(SupplyCommand(False, 450.0), cycles=50)
    assert wire.run(SupplyCommand(True, 450.0, 60.0), cycles=5).limits.maximum_voltage == 500.0
    assert wire.run(SUPPLY_OFF, cycles=1).limits.maximum_voltage == 1000.0
    assert wire.run(SupplyCommand(True, 450.0, 60.0), cycles=1).limits.maximum_voltage == 500.0
    assert wire.run(SUPPLY_OFF, cycles=30).limits.maximum_voltage == 1000.0
    # A relay is not worn for nothing: the range stays until another one is needed.
    assert all(module.low_range for module in wire.modules)


@pytest.mark.parametrize(('policy', 'low'), [(RangePolicy.LOW, True), (RangePolicy.HIGH, False)])
def test_a_range_that_the_site_has_chosen_stays(policy, low):
    wire = Wire('maxwell', policy=policy)
    wire.modules[0].low_range = not low
    wire.run(SupplyCommand(False, 450.0 if not low else 800.0), cycles=50)
    assert [module.low_range for module in wire.modules] == [low, low]
    wire.run(SupplyCommand(True, 400.0, 60.0), cycles=2)
    assert all(module.on for module in wire.modules)


def test_without_a_policy_the_modules_keep_their_range():
    wire = Wire('maxwell')
    wire.modules[0].low_range = True
    wire.run(SupplyCommand(False, 800.0), cycles=50)
    assert [module.low_range for module in wire.modules] == [True, False]


@given(st.lists(st.tuples(st.booleans(), st.sampled_from([0.0, 400.0, 500.0, 500.1, 900.0]),
                          st.floats(0.02, 3.0)), max_size=40))
def test_the_range_is_never_switched_under_power(commands):
    ranges = PROTOCOLS['maxwell'].ranges
    switch = RangeSwitch(ranges, RangePolicy.AUTO)
    now, last, was_on, on_until, switched = 0.0, None, False, -9.0, -9.0
    for on, voltage, seconds in commands:
        now += seconds
        may_be_on = switch.step(on, voltage, now)
        told = switch.write
        if was_on or may_be_on:
            on_until = now
        if told is not last:
            assert now - on_until >= 2.0 or last is None
            switched = now
        if may_be_on:
            assert on
            assert now - switched >= 2.0
        last, was_on = told, may_be_on


# Lost frames


@pytest.mark.parametrize('name', PROTOCOLS)
def test_off_is_repeated_until_it_has_arrived(name):
    wire = Wire(name)
    wire.run(SupplyCommand(True, 400.0, 60.0))
    for module in wire.modules:
        module.faults.deaf = True
    reading = wire.run(SUPPLY_OFF, cycles=5)
    assert all(module.on for module in wire.modules)
    assert reading.current.value == pytest.approx(60.0)  # and nobody believes that it is off
    for module in wire.modules:
        module.faults.deaf = False
    assert wire.run(SUPPLY_OFF, cycles=2).current.value == 0.0
    assert not any(module.on for module in wire.modules)


def test_what_is_read_rarely_is_read_within_a_second():
    wire = Wire('infy_beg', count=5)
    asked = [frame for _ in range(9) for frame in wire.group.cycle(wire.now)]
    for address in wire.group.modules:
        for register in (0x1106, 0x1130, 0x1131, 0x1132):
            assert PROTOCOLS['infy_beg'].read(address, register) in asked
    assert len(wire.group.cycle(wire.now)) <= wire.group.frames_in_cycle / 2


def test_module_alarms_name_the_module():
    wire = Wire('winline')
    wire.modules[1].faults.alarm = True
    (alarm,) = wire.run().alarms
    assert (alarm.source, alarm.text) == ('module_2', 'fan fault')


@pytest.mark.parametrize('addresses', [[], [0], [128], [1, 1]])
def test_module_lists_that_make_no_sense(addresses):
    with pytest.raises(ValueError, match='module'):
        ModuleGroup(PROTOCOLS['maxwell'], addresses)


# The driver on a real python-can bus.


class FullBus:
    """A CAN interface whose queue holds some frames, and is emptied by hand."""

    def __init__(self, room):
        self.room, self.queue = room, []

    def send(self, message, timeout=None):
        if len(self.queue) >= self.room:
            raise can.CanOperationError('Failed to transmit: No buffer space available', 105)
        self.queue.append(message.arbitration_id)

    def shutdown(self):
        self.room = 0


async def on_full_bus(monkeypatch, room):
    full = FullBus(room)
    monkeypatch.setattr(can, 'Bus', lambda **_: full)
    monkeypatch.setattr(can, 'Notifier', lambda *_, **__: SimpleNamespace(stop=lambda timeout: 0))
    bus = CanBus('socketcan', 'can0', 125_000, print)
    bus.open()
    return full, bus


async def test_a_full_queue_is_waited_for(monkeypatch):
    full, bus = await on_full_bus(monkeypatch, 10)
    bus.send([Frame(number, bytes(8)) for number in range(25)])
    assert full.queue == list(range(10))
    full.room = 20
    await until(lambda: full.queue == list(range(20)))
    # The next cycle: what is still waiting is outdated.
    bus.send_instead([Frame(number, bytes(8)) for number in range(100, 103)])
    full.room = 30
    await asyncio.wait_for(bus.drained(2.0), 3.0)
    assert full.queue == [*range(20), 100, 101, 102]
    assert bus.problem == ''
    bus.close()


async def test_a_bus_that_takes_nothing_any_longer_has_a_problem(monkeypatch):
    monkeypatch.setattr(can_bus, 'STUCK_TIME', 0.05)
    full, bus = await on_full_bus(monkeypatch, 1)
    bus.send([Frame(number, bytes(8)) for number in range(3)])
    assert bus.problem == ''
    await until(lambda: 'No buffer space' in bus.problem)
    bus.open()
    full.room = 9
    bus.send([Frame(7, bytes(8))])
    assert full.queue == [0, 7]
    bus.close()


async def test_a_bus_that_takes_nothing_is_found_in_the_cycles_of_a_line(monkeypatch):
    monkeypatch.setattr(can_bus, 'STUCK_TIME', 0.1)
    _, bus = await on_full_bus(monkeypatch, 1)
    for cycle in range(10):
        bus.send_instead([Frame(cycle, bytes(8)), Frame(cycle, bytes(8))])
        await asyncio.sleep(0.02)
    assert 'No buffer space' in bus.problem
    bus.close()


async def test_another_controller_on_the_bus_is_an_alarm():
    channel = f'test_power_can_intruder_{os.getpid()}'
    async with emulated('maxwell', 'virtual', channel):
        driver = CanSupply()
        await driver.open({'protocol': 'maxwell', 'interface': 'virtual', 'channel': channel,
                           'modules': '1,2', 'cycle': '0.02'})
        try:
            await until(lambda: driver.read().voltage is not None)
            assert alarms(driver.read()) == []
            with can.Bus(interface='virtual', channel=channel) as intruder:
                intruder.send(can.Message(arbitration_id=0x02200000, is_extended_id=True,
                                          data=bytes.fromhex('1B0007D013881388')))
            await until(lambda: alarms(driver.read()) == intrusion(1, 2))
        finally:
            await driver.close()


async def until(condition, seconds=5.0):
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - what is waited for is on the bus
            await asyncio.sleep(0.01)


def buses():
    # Each with an id of its own: a channel's name differs from process to process.
    yield pytest.param('virtual', 'test_power_can', id='virtual')
    yield pytest.param('udp_loopback', f'test_power_can_{os.getpid()}', id='udp_loopback')
    try:
        can.Bus(interface='udp_multicast', channel='239.74.163.2', port=43115).shutdown()
    except (OSError, can.CanError):
        return
    yield pytest.param('udp_multicast', '239.74.163.2', id='udp_multicast')


@pytest.mark.parametrize(('interface', 'channel'), list(buses()))
@pytest.mark.parametrize('name', PROTOCOLS)
async def test_driver(name, interface, channel):
    async with emulated(name, interface, channel) as modules:
        driver = CanSupply()
        assert isinstance(driver, SupplyDriver)
        await driver.open({'protocol': name, 'interface': interface, 'channel': channel,
                           'modules': '1,2', 'cycle': '0.02'})
        try:
            await until(lambda: None not in (driver.read().voltage, driver.read().current))
            assert driver.problem == ''
            async with asyncio.timeout(5.0):
                while not driver.read().current.value > 59.0:
                    driver.command(SupplyCommand(True, 400.0, 60.0))
                    await asyncio.sleep(0.02)
            # Nobody commands any longer: off by itself.
            await until(lambda: not any(module.on for module in modules), 2.0)
            driver.command(SupplyCommand(True, 400.0, 60.0))
            await until(lambda: all(module.on for module in modules))
        finally:
            await driver.close()
        await until(lambda: not any(module.on for module in modules), 1.0)
        assert driver.read().voltage is None
        assert driver.problem == 'not open'


@pytest.mark.parametrize(('options', 'text'), [
    ({}, "option 'protocol' is missing"),
    ({'protocol': 'infy', 'modules': '1'}, "option 'channel' is missing"),
    ({'protocol': 'x', 'modules': '1', 'channel': 'c'}, "'protocol' is 'x', none of"),
    ({'protocol': 'infy', 'modules': '1,', 'channel': 'c'}, "options 'modules' and 'range'"),
    ({'protocol': 'infy', 'modules': '99', 'channel': 'c'}, 'module address 99 is not within'),
    ({'protocol': 'infy', 'modules': '1', 'channel': 'c', 'cycle': '9'}, "option 'cycle' is 9"),
    ({'protocol': 'dpm1000', 'modules': '1,2,3,4,5,6', 'channel': 'c', 'cycle': '0.1'},
     "'cycle' is 0.1, not within 0.13"),
    ({'protocol': 'infy', 'modules': ','.join(map(str, range(40))), 'channel': 'c'},
     'put them on more than one bus'),
    ({'protocol': 'infy', 'modules': '1', 'channel': 'c', 'range': 'auto'},
     'modules of infy have no ranges'),
    ({'protocol': 'maxwell', 'modules': '1', 'channel': 'c', 'range': 'wide'},
     'none of low, high, auto'),
    ({'protocol': 'infy', 'modules': '1', 'channel': 'c', 'lost_module': 'ignore'},
     'none of stop, derate'),
    ({'protocol': 'infy', 'modules': '1', 'channel': 'c', 'colour': 'red'},
     "unknown option 'colour'"),
    ({'protocol': 'infy', 'modules': '1', 'channel': 'no_can_here'}, 'CAN socketcan no_can_here'),
    ({'protocol': 'infy', 'modules': '1', 'channel': 'c', 'interface': 'no_such'}, 'CAN no_such'),
])
async def test_what_is_missing_is_named(options, text):
    with pytest.raises(DriverError) as caught:
        await CanSupply().open(options)
    assert text in str(caught.value)


@pytest.mark.parametrize('name', PROTOCOLS)
async def test_modules_are_found(name, monkeypatch):
    monkeypatch.setattr(discover, 'PACE', 0.0)
    monkeypatch.setattr(discover, 'PATIENCE', 0.2)
    async with emulated(name, 'virtual', f'discover_{name}', count=3):
        found = await discover.discover(PROTOCOLS[name], 'virtual', f'discover_{name}', 125_000)
    assert sorted(found) == [1, 2, 3]
    assert found[2][Quantity.VOLTAGE] == 0.0


def test_discovery_names_what_is_wrong(capsys, monkeypatch):
    monkeypatch.setattr(discover, 'PACE', 0.0)
    monkeypatch.setattr(discover, 'PATIENCE', 0.01)
    assert discover.main(['infy', 'no_can_here']) == 2
    assert 'no_can_here' in capsys.readouterr().err
    assert discover.main(['infy', 'nobody', '--interface', 'virtual']) == 1
    assert capsys.readouterr().out == 'no module has answered\n'
