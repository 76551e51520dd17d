"""Contactors, lock and emergency stop on GPIO lines, on an emulated chip."""

import asyncio
import inspect
import time

import gpiod
import pytest
from gpio_board import Board, Request, matrix, wired
from waiting import until

from ccs2_power import worker
from ccs2_power.check_driver import KINDS
from ccs2_power.drivers import load_driver
from ccs2_power.gpio.lines import Line
from ccs2_power.hal import (
    COMMAND_TIMEOUT,
    MATRIX_TIMEOUT,
    ContactorCommand,
    DriverError,
    MatrixCommand,
)

CONTACTORS = {'chip': '/dev/gpiochip7', 'coil': '17,27', 'watchdog': '4',
              'feedback': 'DC+:22,DC-:!FB_MINUS', 'pre_charge': '5', 'pre_charge_feedback': '6'}
LOCK = {'chip': '/dev/gpiochip7', 'lock': '1', 'unlock': '2', 'feedback': '3', 'pulse': '0.05'}
STOP = {'chip': '/dev/gpiochip7', 'released': 'ESTOP'}


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(worker, 'RETRY', 0.05)


@pytest.fixture
def board(monkeypatch):
    board = wired()
    monkeypatch.setattr(gpiod, 'request_lines', board.request_lines)
    return board


def opened(name, kind):
    return load_driver(name, KINDS[kind].protocol)


def test_the_emulation_has_the_calls_of_gpiod():
    real = inspect.signature(gpiod.request_lines).parameters
    assert list(real) == [*inspect.signature(Board.request_lines).parameters][1:]
    for name in ('get_values', 'set_value', 'set_values', 'release'):
        assert (list(inspect.signature(getattr(gpiod.LineRequest, name)).parameters)
                == list(inspect.signature(getattr(Request, name)).parameters))


@pytest.mark.parametrize(('kind', 'options'), [
    ('contactors', CONTACTORS), ('lock', LOCK), ('emergency_stop', STOP)])
async def test_a_missing_chip_is_named_at_open(kind, options):
    driver = opened(f'gpio_{kind}', kind)
    with pytest.raises(DriverError, match='/dev/gpiochip7'):
        await driver.open(options)
    assert driver.problem == 'not open'
    await driver.close()


@pytest.mark.parametrize(('wrong', 'message'), [
    ({'coil': ''}, "'coil' is missing"),
    ({'watchdog': ''}, "'watchdog' is missing"),
    ({'watchdog': '17'}, '17 is used twice'),
    ({'feedback': '22'}, 'not POLE:LINE'),
    ({'feedback': 'DC+:22,DC+:23'}, 'not POLE:LINE'),
    ({'feedback': 'DC+:99'}, 'unknown line 99'),
    ({'coil': '17,'}, 'names no GPIO line'),
])
async def test_wrong_wiring_is_named(board, wrong, message):
    with pytest.raises(DriverError, match=message):
        await opened('gpio_contactors', 'contactors').open({**CONTACTORS, **wrong})


async def test_feedback_of_a_relay_that_is_not_there_is_refused(board):
    options = {name: value for name, value in CONTACTORS.items() if name != 'pre_charge'}
    with pytest.raises(DriverError, match='pre_charge'):
        await opened('gpio_contactors', 'contactors').open(options)


async def test_relay_and_main_contactors_are_told_apart(board):
    driver = opened('gpio_contactors', 'contactors')
    await driver.open(CONTACTORS)
    try:
        async def tell(command, main, relay):
            end = time.monotonic() + 2.0
            while True:
                driver.command(command)
                reading = driver.read()
                if ({name: found and found.value for name, found in reading.contacts.items()}
                        == {'DC+': main, 'DC-': main} and reading.pre_charge.value is relay):
                    return
                assert time.monotonic() < end, reading
                await asyncio.sleep(0.01)

        await until(lambda: driver.read().pre_charge is not None)
        await tell(ContactorCommand(False, pre_charge=True), False, True)
        await tell(ContactorCommand(True, pre_charge=True), True, True)
        await tell(ContactorCommand(True), True, False)
        await tell(ContactorCommand(False), False, False)
    finally:
        await driver.close()
    assert not board.high(17)
    assert board.released == 1


async def test_the_watchdog_rests_while_nobody_commands(board):
    driver = opened('gpio_contactors', 'contactors')
    await driver.open(CONTACTORS)
    try:
        await until(lambda: driver.read().contacts['DC+'] is not None)
        assert [line for line, _ in board.history if line == 4] == [4]  # taken, never kicked
        driver.command(ContactorCommand(False))
        await until(lambda: sum(line == 4 for line, _ in board.history) > 3)
    finally:
        await driver.close()


async def test_the_coils_drop_while_the_loop_hangs(board):
    driver = opened('gpio_contactors', 'contactors')
    await driver.open(CONTACTORS)
    try:
        driver.command(ContactorCommand(True))
        await until(lambda: board.high(17))
        end = time.monotonic() + 2.0
        while board.high(17):  # no await: the node's loop stands still
            assert time.monotonic() < end
            time.sleep(0.01)  # noqa: ASYNC251
    finally:
        await driver.close()


async def test_a_broken_mirror_wire_reads_closed(board):
    board.wire(22, lambda: False)  # pulled down
    driver = opened('gpio_contactors', 'contactors')
    await driver.open(CONTACTORS)
    try:
        await until(lambda: driver.read().contacts['DC+'] is not None)
        assert driver.read().contacts['DC+'].value is True
        assert driver.read().contacts['DC-'].value is False
    finally:
        await driver.close()
    bias = {line: settings.bias.name for line, settings in board.settings.items()}
    assert (bias[22], bias['FB_MINUS']) == ('PULL_DOWN', 'PULL_UP')


async def test_a_lost_chip_comes_back_with_the_coils_off(board):
    driver = opened('gpio_contactors', 'contactors')
    await driver.open(CONTACTORS)
    try:
        driver.command(ContactorCommand(True))
        await until(lambda: board.high(17))
        board.present = False
        await until(lambda: 'No such device' in driver.problem or 'gpiochip7' in driver.problem)
        await until(lambda: driver.read().contacts['DC+'] is None)
        board.present = True
        await until(lambda: driver.problem == '' and driver.read().contacts['DC+'] is not None)
        assert not board.high(17)
        assert driver.read().contacts['DC+'].value is False
    finally:
        await driver.close()


async def test_a_stuck_lock_is_tried_and_given_up(board):
    board.wire(3, lambda: False)
    driver = opened('gpio_lock', 'lock')
    await driver.open({**LOCK, 'attempts': '2'})
    try:
        def told():
            driver.command(True)
            return driver.problem
        await until(lambda: told() == 'does not lock')
        assert board.history.count((1, True)) == 2
        assert not board.high(1)
        assert not board.high(2)
    finally:
        await driver.close()


async def test_the_motor_bridge_is_never_shorted(board):
    driver = opened('gpio_lock', 'lock')
    await driver.open(LOCK)
    try:
        for locked in (True, False, True, False):
            def moved(locked=locked):
                driver.command(locked)
                reading = driver.read().locked
                return reading is not None and reading.value is locked
            await until(moved)
    finally:
        await driver.close()
    levels = {1: False, 2: False}
    for line, high in board.history:
        levels[line] = high
        assert not (levels[1] and levels[2])
    assert levels == {1: False, 2: False}


async def test_the_emergency_stop_reads_pressed_with_the_circuit_open(board):
    driver = opened('gpio_emergency_stop', 'emergency_stop')
    await driver.open(STOP)
    try:
        await until(lambda: driver.read().pressed is not None)
        assert driver.read().pressed.value is False
        board.closed_circuit = False
        await until(lambda: driver.read().pressed.value is True)
    finally:
        await driver.close()


def test_lines_are_numbers_or_names():
    assert Line.parse('!17') == Line(17, True)
    assert Line.parse('K1') == Line('K1', False)


async def relays(monkeypatch):
    board, options = matrix()
    monkeypatch.setattr(gpiod, 'request_lines', board.request_lines)
    driver = opened('gpio_matrix', 'matrix')
    await driver.open(options)
    return board, driver


def closed(driver):
    return {(module, connector) for module, relays in driver.read().relays.items()
            for connector, state in relays.items() if state is not None and state.value}


async def test_each_module_s_relay_is_closed_as_told_and_no_other(monkeypatch):
    board, driver = await relays(monkeypatch)
    await until(lambda: None not in driver.read().relays['module_2'].values())
    command = MatrixCommand({'module_1': 'right', 'module_2': 'nowhere', 'module_3': 'left'})
    driver.command(command)
    await until(lambda: closed(driver) == {('module_1', 'right')})
    assert [board.high(coil) for coil in (11, 12, 13, 14)] == [False, True, False, False]
    await driver.close()
    assert not any(board.high(coil) for coil in (11, 12, 13, 14))


async def test_relays_outlast_the_contactors_when_commands_stop(monkeypatch):
    _, driver = await relays(monkeypatch)
    driver.command(MatrixCommand({'module_1': 'left'}))
    silent = time.monotonic()
    await until(lambda: closed(driver) == {('module_1', 'left')})
    await until(lambda: not closed(driver), MATRIX_TIMEOUT + 1.0)
    assert time.monotonic() - silent > MATRIX_TIMEOUT > 2 * COMMAND_TIMEOUT
    await driver.close()


@pytest.mark.parametrize(('relay', 'message'), [
    ('module_1/left:11', 'not MODULE/CONNECTOR:COIL:FEEDBACK'),
    ('module_1:11:21', 'not MODULE/CONNECTOR:COIL:FEEDBACK'),
    ('module_1/left:11:21,module_1/left:12:22', 'of a new relay'),
    ('module_1/left:11:11', '11 is used twice'),
])
async def test_a_wrong_relay_is_named(monkeypatch, relay, message):
    board, options = matrix()
    monkeypatch.setattr(gpiod, 'request_lines', board.request_lines)
    with pytest.raises(DriverError, match=message):
        await opened('gpio_matrix', 'matrix').open({**options, 'relays': relay})
