import re
from pathlib import Path

import pytest

from ccs2_power.cable_check import CableCheck
from ccs2_power.command import Mode, Shutdown
from ccs2_power.faults import FAULT_RULES, Code, FaultBook, Severity
from ccs2_power.hal import SelfTest
from ccs2_power.isolation import IsolationState
from ccs2_power.pilot import PilotState, Proximity
from ccs2_power.power import PowerState
from ccs2_power.safety import INTERLOCKS, SafetyState

MESSAGES = Path(__file__).parents[2] / 'ccs2_interfaces' / 'msg'


@pytest.mark.parametrize(('kind', 'message', 'prefix'), [
    (Severity, 'Fault', 'SEVERITY_'), (PilotState, 'ControlPilot', 'STATE_'),
    (Proximity, 'ControlPilot', 'PROXIMITY_'), (Mode, 'ChargeCommand', 'MODE_'),
    (Shutdown, 'ChargeCommand', 'SHUTDOWN_'), (SafetyState, 'SafetyStatus', 'STATE_'),
    (PowerState, 'PowerStatus', 'STATE_'), (CableCheck, 'PowerStatus', 'CABLE_CHECK_'),
    (IsolationState, 'Isolation', 'STATE_'), (SelfTest, 'Isolation', 'SELF_TEST_'),
])
def test_enumerations_are_those_of_the_messages(kind, message, prefix):
    constants = read_constants(message, prefix)
    if kind is PowerState:
        constants = {name: value for name, value in constants.items() if 'CHECK_' not in name}
    assert {member.name: member.value for member in kind} == constants


def test_codes_and_interlocks_are_those_of_the_messages():
    codes = read_constants('Fault', '')
    assert {code.name: code.value for code in Code}.items() <= codes.items()
    bits = read_constants('SafetyStatus', 'INTERLOCK_')
    assert {row.name.replace(' ', '_').upper(): bit for bit, row in INTERLOCKS.items()} == bits


def read_constants(message, prefix):
    text = (MESSAGES / f'{message}.msg').read_text()
    found = re.findall(rf'^uint\d+ {prefix}([A-Z_0-9]+)=(\d+)', text, re.MULTILINE)
    return {name: int(value) for name, value in found}


def test_every_code_has_a_rule():
    assert set(FAULT_RULES) == set(Code)


def test_a_fault_is_a_level():
    book = FaultBook()
    book.set(Code.POWER_SILENT, True, 1.0, 'gone')
    assert book.worst is Severity.EMERGENCY
    book.set(Code.POWER_SILENT, False, 2.0)
    assert list(book) == []
    assert book.worst is None


def test_in_use_it_holds_until_the_vehicle_is_unplugged():
    book = FaultBook()
    book.in_use = True
    book.set(Code.POWER_SILENT, True, 1.0)
    book.set(Code.POWER_SILENT, False, 2.0)
    book.in_use = False
    (fault,) = book
    assert (fault.present, fault.held, fault.since) == (False, True, 1.0)
    book.release()
    assert list(book) == []


def test_what_outlasts_the_unplugging_does_not_hold_the_next_vehicle():
    book = FaultBook()
    book.in_use = True
    book.set(Code.POWER_SILENT, True, 1.0)
    book.in_use = False
    book.release()
    assert Code.POWER_SILENT in book
    book.set(Code.POWER_SILENT, True, 2.0)
    book.set(Code.POWER_SILENT, False, 3.0)
    assert list(book) == []


def test_what_was_there_before_the_use_holds_once_it_is_in_use():
    book = FaultBook()
    book.set(Code.METER, True, 1.0)
    book.in_use = True
    book.set(Code.METER, True, 2.0)
    book.set(Code.METER, False, 3.0)
    assert Code.METER in book


def test_latched_faults_need_a_hand_and_a_cause_that_has_gone():
    book = FaultBook()
    book.set(Code.EMERGENCY_STOP, True, 1.0)
    book.release()
    assert book.clear() == [Code.EMERGENCY_STOP]
    book.set(Code.EMERGENCY_STOP, False, 2.0)
    book.release()
    assert Code.EMERGENCY_STOP in book
    assert book.clear([Code.METER]) == [Code.EMERGENCY_STOP]
    assert book.clear([Code.EMERGENCY_STOP]) == []


def test_warnings_hold_nothing_and_a_held_fault_does_not_get_milder():
    book = FaultBook()
    book.in_use = True
    book.set(Code.TEMPERATURE, True, 1.0, severity=Severity.WARNING)
    book.set(Code.TEMPERATURE, False, 2.0)
    assert Code.TEMPERATURE not in book
    book.set(Code.SUPPLY_FAULT, True, 3.0, severity=Severity.EMERGENCY)
    book.set(Code.SUPPLY_FAULT, True, 4.0, severity=Severity.WARNING)
    assert book.worst is Severity.EMERGENCY


def test_worst_first():
    book = FaultBook()
    book.set(Code.METER, True, 1.0)
    book.set(Code.POWER_SILENT, True, 2.0)
    book.set(Code.METER, True, 0.5, source='another')
    assert [fault.code for fault in book] == [Code.POWER_SILENT, Code.METER, Code.METER]


def test_what_holds_the_station_survives_a_restart():
    before = FaultBook()
    before.set(Code.METER, True, 1.0)
    before.in_use = True
    before.set(Code.PILOT_DIODE, True, 2.0)
    before.set(Code.PILOT_DIODE, False, 3.0)
    before.set(Code.CONTACTOR_WELDED, True, 4.0)
    book = FaultBook()
    book.restore(before.held, 5.0)
    assert book.held == [Code.PILOT_DIODE, Code.CONTACTOR_WELDED]
    assert book.worst is Severity.EMERGENCY
    book.release()
    assert book.held == [Code.CONTACTOR_WELDED]
    assert book.clear() == []
