"""The conformance kit passes a driver that keeps the contract, and names what one does not keep."""

import time
from dataclasses import replace

import pytest

from ccs2_power import check_driver
from ccs2_power.check_driver import KINDS, Check, Row, table
from ccs2_power.hal import (
    COMMAND_TIMEOUT,
    SUPPLY_OFF,
    ContactorReading,
    DriverError,
    Measurement,
    SupplyReading,
)


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(check_driver, 'WATCHED', 0.3)
    monkeypatch.setattr(check_driver, 'FIRST', 0.3)


class GoodContactors:
    """Contactors that obey; a mistake at a time is put in by the tests."""

    closed, told = False, -1e9
    mistakes = frozenset()
    problem = ''

    async def open(self, parameters):
        if parameters and 'options' not in self.mistakes:
            raise DriverError(f'unknown option {next(iter(parameters))}')

    async def close(self):
        if 'close' not in self.mistakes:
            type(self).closed = False

    def command(self, command):
        if 'slow' in self.mistakes:
            time.sleep(0.01)
        type(self).told = time.monotonic()
        if 'obeys' not in self.mistakes:
            type(self).closed = command.main

    def read(self):
        if time.monotonic() - self.told > COMMAND_TIMEOUT / 2 and 'silent' not in self.mistakes:
            type(self).closed = False
        stamp = 1.0 if 'stale' in self.mistakes else time.monotonic()
        missing = 'missing' in self.mistakes
        return ContactorReading(
            {'DC+': None if missing else Measurement(self.closed, 'test', stamp)})


async def run(monkeypatch, mistakes):
    driver = type('Contactors', (GoodContactors,), {'mistakes': frozenset(mistakes)})
    monkeypatch.setattr(check_driver, 'load_driver', lambda name, protocol: driver())
    kind = replace(KINDS['contactors'], settle=0.2)
    rows = await Check('test', kind, {}, True).run()
    return {row.check for row in rows if not row.passed}


async def test_a_good_driver_passes(monkeypatch):
    assert await run(monkeypatch, []) == set()


@pytest.mark.parametrize(('mistake', 'checks'), [
    ('options', {'refuses an unknown option'}),
    ('stale', {'is fresh'}),
    ('missing', {'measures', 'obeys', 'obeys again', 'recovers', 'is safe when closed'}),
    ('silent', {'is safe when the controller is silent'}),
    ('obeys', {'obeys', 'obeys again', 'recovers'}),
    ('slow', {'never blocks'}),
    ('close', {'is safe when closed'}),
])
async def test_a_bad_driver_is_found(monkeypatch, mistake, checks):
    assert checks <= await run(monkeypatch, [mistake, *(['silent'] if mistake == 'close' else [])])


class Supply:
    """A supply whose voltage follows, with what the test adds while it is on."""

    excess = lag = 0.0
    problem = ''

    def __init__(self):
        self.command_ = SUPPLY_OFF

    def command(self, command):
        self.command_ = command

    def read(self):
        told = self.command_
        volts = told.voltage + self.excess - self.lag if told.on else 0.0
        stamp = time.monotonic()
        return SupplyReading(Measurement(volts, 'test', stamp), Measurement(0.0, 'test', stamp),
                             Measurement(told.on, 'test', stamp), None)


@pytest.mark.parametrize(('excess', 'lag', 'passed'), [
    (0.0, 0.0, True), (9.0, 0.0, True), (11.0, 0.0, False), (0.0, 9.0, True), (0.0, 11.0, False)])
async def test_a_ramp_is_followed_and_not_left(excess, lag, passed):
    driver = Supply()
    driver.excess, driver.lag = excess, lag
    check = Check('test', replace(KINDS['supply'], settle=0.4), {}, True)
    await check._follows(driver, check.kind.ramp)
    (row,) = check.rows
    assert (row.check, row.passed) == ('follows a ramp', passed)


def test_the_command_line_names_what_is_wrong(capsys):
    assert check_driver.main(['supply', 'no_such_driver']) == 2
    assert 'no_such_driver' in capsys.readouterr().err


def test_table():
    rows = [Row('opens', True, ''), Row('is fresh', False, 'oldest value 2 s')]
    assert list(table(rows)) == ['passed  opens', 'FAILED  is fresh  oldest value 2 s']


def test_kinds_cover_the_contract():
    assert set(KINDS) == {'pilot', 'contactors', 'lock', 'matrix', 'emergency_stop', 'voltmeter',
                          'isolation', 'supply', 'meter', 'thermometer'}
