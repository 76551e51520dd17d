"""A shared cabinet's control on emulated modules and relays, on a virtual clock."""

import math
from types import SimpleNamespace

import pytest

from ccs2_node import ConfigureError
from ccs2_power import cabinet_node
from ccs2_power.cabinet import CabinetControl, Demand
from ccs2_power.can.frame import Frame
from ccs2_power.can.protocols import PROTOCOLS
from ccs2_power.command import ChargeCommand, CommandError, Mode
from ccs2_power.faults import Severity
from ccs2_power.hal import (
    COMMAND_TIMEOUT,
    SUPPLY_OFF,
    MatrixReading,
    Measurement,
    SupplyCommand,
)
from ccs2_power.sharing import NOTICE, Stage
from ccs2_power.want import LEAST, PILOT_AGE, Want

cabinets = pytest.importorskip('ccs2_sim.can_modules.cabinet')
dialects = pytest.importorskip('ccs2_sim.can_modules.dialects')
modules = pytest.importorskip('ccs2_sim.can_modules.module')
switchboards = pytest.importorskip('ccs2_sim.can_modules.switchboard')

LEFT, RIGHT = 'connector_1', 'connector_2'
BOTH = (LEFT, RIGHT)
STEP, CYCLE = 0.02, 0.1
MODULE_CURRENT = 50.0
BATTERY = {LEFT: 400.0, RIGHT: 350.0}


class Bench:
    """The control, four modules that reach both outputs, and a battery behind each output."""

    def __init__(self, protocol='infy', least_stay=1.0):
        self.now = 100.0
        cabinet = cabinets.Cabinet(dialects.DIALECTS[protocol], [1, 2, 3, 4])
        cabinet.rate(modules.Rating(50.0, 1000.0, MODULE_CURRENT, 25e3))
        self.board = switchboards.Switchboard(cabinet, BOTH)
        self.control = CabinetControl(
            PROTOCOLS[protocol], dict.fromkeys([1, 2, 3, 4], BOTH), MODULE_CURRENT, least_stay)
        self.demands = {}
        self.connected = set()
        self.speak = True
        self._steps = 0

    def want(self, connector, current, wanted=1000.0, on=True):
        """A vehicle charges: its battery is connected when the output has its voltage."""
        command = SupplyCommand(on, BATTERY[connector], current) if on else SUPPLY_OFF
        self.demands[connector] = command, wanted

    def leave(self, connector):
        self.demands[connector] = SUPPLY_OFF, 0.0
        self.connected.discard(connector)

    def run(self, seconds=6.0):
        for _ in range(round(seconds / STEP)):
            self.now += STEP
            self._steps += 1
            for connector, (command, wanted) in self.demands.items():
                self.control.demand(connector, Demand(command, wanted, self.now))
            self.board.switch(self.control.step(self.relays(), self.voltages(), self.now).coils)
            if self._steps % round(CYCLE / STEP) == 0:
                self._talk()
            self.board.step(self.now, STEP)
            for connector in BOTH:
                self._settle(connector)

    def relays(self):
        return MatrixReading({
            module: {connector: Measurement(closed, 'relay', self.now)
                     for connector, closed in relays.items()}
            for module, relays in self.board.feedback().items()})

    def voltages(self):
        return {connector: Measurement(output.voltage, 'output', self.now)
                for connector, output in self.board.outputs.items()}

    def _talk(self):
        for frame in self.control.cycle(self.now):
            if self.speak:
                for answer in self.board.cabinet.hear(frame.identifier, frame.data, self.now):
                    self.control.hear(Frame(*answer), self.now)

    def _settle(self, connector):
        demand, output = self.board.demand(connector), self.board.outputs[connector]
        battery = BATTERY[connector]
        if demand.on and abs(output.voltage - battery) < 1.0:
            self.connected.add(connector)
        if connector in self.connected:
            voltage, current = battery, demand.current if demand.on else 0.0
        else:
            goal = demand.voltage if demand.on else 0.0
            voltage = output.voltage + max(-20.0, min(20.0, goal - output.voltage))
            current = 0.0
        self.board.outputs[connector] = modules.Readings(voltage, current, 30.0)

    def service(self, connector):
        return self.control.service(connector, self.now)

    def counts(self):
        return [self.service(connector).modules for connector in BOTH]

    def wear(self):
        return (self.board.opened_under_load, self.board.closed_on_voltage, self.board.crossed)


@pytest.mark.parametrize('protocol', PROTOCOLS)
def test_one_vehicle_gets_the_whole_cabinet(protocol):
    bench = Bench(protocol)
    bench.run(1.0)
    bench.want(LEFT, 160.0)
    bench.run()
    service = bench.service(LEFT)
    assert service.modules == 4
    assert service.reading.current.value == pytest.approx(160.0, abs=1.0)
    assert service.reading.voltage.value == pytest.approx(400.0, abs=1.0)
    assert service.reading.alarms == ()
    assert service.reading.limits.maximum_current >= 160.0
    assert bench.wear() == (0, 0, 0)


def test_modules_change_hands_without_current_and_after_notice():
    bench = Bench()
    bench.want(LEFT, 200.0)
    bench.run()
    bench.want(RIGHT, 100.0)
    bench.run(0.1)
    # Notice: the limit has fallen, the current has not.
    assert bench.counts() == [2, 0]
    assert bench.service(LEFT).reading.limits.maximum_current == 2 * MODULE_CURRENT
    assert bench.service(LEFT).reading.current.value == pytest.approx(200.0)
    bench.want(LEFT, 100.0)
    bench.run(0.8 * NOTICE)
    stages = [stage for stage, _ in bench.control.stages().values()]
    assert stages.count(Stage.LEAVING) == 2
    bench.run()
    assert bench.counts() == [2, 2]
    for connector in BOTH:
        reading = bench.service(connector).reading
        assert reading.current.value == pytest.approx(100.0)
        assert reading.voltage.value == pytest.approx(BATTERY[connector], abs=1.0)
    bench.leave(LEFT)
    bench.want(RIGHT, 200.0)
    bench.run()
    assert bench.counts() == [0, 4]
    assert bench.service(RIGHT).reading.current.value == pytest.approx(200.0)
    assert bench.wear() == (0, 0, 0)


def test_before_it_is_on_a_connector_is_offered_its_share():
    bench = Bench()
    bench.want(LEFT, 200.0)
    bench.run()
    reading = bench.service(RIGHT).reading
    assert reading.limits.maximum_current == 2 * MODULE_CURRENT
    assert (reading.voltage.value, reading.current.value, reading.on) == (0.0, 0.0, None)
    assert reading.current.stamp == pytest.approx(bench.now, abs=2 * STEP)


def test_an_output_without_a_relay_s_feedback_has_no_current_measured():
    bench = Bench()
    bench.run(1.0)
    relays = {name: {LEFT: None, RIGHT: relays[RIGHT]}
              for name, relays in bench.relays().relays.items()}
    bench.control.step(MatrixReading(relays), bench.voltages(), bench.now)
    assert bench.service(LEFT).reading.current is None
    assert bench.service(RIGHT).reading.current is not None


def test_a_connector_that_waits_for_a_module_says_so():
    bench = Bench()
    bench.speak = False
    bench.want(LEFT, 50.0)
    bench.run(1.0)
    assert [(alarm.severity, alarm.text) for alarm in bench.service(LEFT).reading.alarms] == [
        (Severity.WARNING, 'no module is free yet')]


def test_a_silent_connector_s_modules_go_off_and_the_other_s_do_not():
    bench = Bench()
    bench.want(LEFT, 100.0, 100.0)
    bench.want(RIGHT, 100.0, 100.0)
    bench.run()
    del bench.demands[LEFT]
    bench.run(COMMAND_TIMEOUT + 2 * CYCLE)
    assert not bench.board.demand(LEFT).on
    assert bench.board.demand(RIGHT).current == pytest.approx(100.0)
    assert bench.service(LEFT).modules == 2


def test_a_silent_module_makes_only_its_connector_s_values_old():
    bench = Bench()
    bench.want(LEFT, 100.0, 100.0)
    bench.want(RIGHT, 100.0, 100.0)
    bench.run()
    last = bench.now
    name = next(name for name, (_, connector) in bench.control.stages().items()
                if connector == LEFT)
    bench.board.cabinet.modules[int(name.removeprefix('module_'))].faults.silent = True
    bench.run(1.0)
    assert bench.service(LEFT).reading.current.stamp == pytest.approx(last, abs=CYCLE)
    assert bench.service(RIGHT).reading.current.stamp == pytest.approx(bench.now, abs=CYCLE)
    assert bench.control.silent(bench.now) == [name]


def test_a_module_that_joins_two_outputs_is_an_emergency_at_both():
    bench = Bench()
    bench.want(LEFT, 200.0)
    bench.run()
    bench.board.relays[3][RIGHT].welded = True
    bench.run(0.2)
    for connector in BOTH:
        assert [(alarm.severity, alarm.source, alarm.text)
                for alarm in bench.service(connector).reading.alarms] == [
            (Severity.EMERGENCY, 'module_3', 'joins the outputs connector_1 and connector_2')]


def test_another_controller_is_an_emergency_at_every_output():
    bench = Bench()
    bench.want(LEFT, 200.0)
    bench.run()
    foreign = PROTOCOLS['infy'].commands(1, bench.control._wish(
        bench.control._orders['module_1'], bench.now))
    bench.control.hear(foreign[0], bench.now)
    for connector in BOTH:
        assert any(alarm.severity is Severity.EMERGENCY and 'another controller' in alarm.text
                   for alarm in bench.service(connector).reading.alarms)


def test_at_the_end_modules_go_off_before_their_relays_open():
    bench = Bench()
    bench.want(LEFT, 200.0)
    bench.run()
    assert bench.control.carries(bench.now)
    coils = bench.control.halt()
    assert set(coils.coils.values()) == {LEFT}
    for _ in range(10):
        bench.now += CYCLE
        bench._talk()
        bench.board.step(bench.now, CYCLE)
        bench._settle(LEFT)
    assert not bench.control.carries(bench.now)
    assert not bench.board.demand(LEFT).on
    bench.board.switch({})
    bench.board.step(bench.now + CYCLE, CYCLE)
    assert bench.wear() == (0, 0, 0)


@pytest.mark.parametrize(('matrix', 'text'), [
    ({}, 'no module is configured'), ({99: BOTH}, 'module address 99'), ({1: ()}, 'at least one')])
def test_a_cabinet_that_makes_no_sense_is_refused(matrix, text):
    with pytest.raises(ValueError, match=text):
        CabinetControl(PROTOCOLS['infy'], matrix, 50.0)


# What a connector wants


def charge_command(sequence, mode=Mode.OFF, session='12', current=None):
    return ChargeCommand(publisher=1, sequence=sequence, lease=0.5, mode=mode, session_id=session,
                         maximum_current=current, target_voltage=400.0, target_current=10.0)


def test_a_vehicle_wants_a_module_from_plug_in_and_what_it_says_in_the_session():
    want = Want(200.0)
    assert want.current(False, 0.0) == 0.0
    want.hear_pilot(True, 0.0)
    assert want.current(False, 0.1) == LEAST
    for sequence, (said, wanted) in enumerate(((None, LEAST), (120.0, 120.0), (400.0, 200.0),
                                               (0.0, LEAST))):
        want.hear_command(charge_command(sequence, current=said), 1.0)
        assert want.current(False, 1.0) == wanted
    want.hear_command(charge_command(9, Mode.STOP, current=400.0), 1.2)
    assert want.current(False, 1.2) == 0.0
    assert want.current(True, 1.2) == LEAST


def test_what_is_no_longer_heard_is_no_longer_wanted():
    want = Want(200.0)
    want.hear_pilot(True, 0.0)
    want.hear_command(charge_command(1, current=120.0), 0.0)
    assert want.current(False, 0.4) == 120.0
    assert want.current(False, 0.6) == LEAST
    assert want.current(False, PILOT_AGE + 0.1) == 0.0
    want.hear_pilot(True, 2.0)
    want.hear_pilot(False, 2.1)
    assert want.current(False, 2.2) == 0.0


# Messages


def test_what_a_connector_gets_crosses_the_graph():
    messages = pytest.importorskip('ccs2_power.cabinet_messages')
    from builtin_interfaces.msg import Time

    bench = Bench('winline')
    bench.want(LEFT, 160.0)
    bench.run()
    bench.run(0.04)  # so that some values are older than others
    service = bench.service(LEFT)
    message = messages.output_message(service, Time(), bench.now)
    assert message.modules == 4
    reading, there = messages.reading_of(message, 7.0), service.reading
    for name in (*messages.VALUES, 'on'):
        before, after = getattr(there, name), getattr(reading, name)
        assert after.value == pytest.approx(before.value)
        assert 7.0 - after.stamp == pytest.approx(bench.now - before.stamp, abs=1e-4)
    assert reading.limits.maximum_current == there.limits.maximum_current
    without = messages.reading_of(
        messages.output_message(bench.service(RIGHT), Time(), bench.now), 7.0)
    assert (without.on, without.set_voltage, without.temperature) == (None, None, None)
    assert without.current.value == 0.0


@pytest.mark.parametrize(('field', 'value'), [
    ('voltage', -1.0), ('voltage', math.nan), ('current', math.inf), ('wanted_current', -1.0)])
def test_a_demand_that_makes_no_sense_is_refused(field, value):
    messages = pytest.importorskip('ccs2_power.cabinet_messages')
    from builtin_interfaces.msg import Time

    message = messages.command_message(SupplyCommand(True, 400.0, 10.0), 50.0, Time())
    assert messages.demand_of(message, 1.0) == Demand(SupplyCommand(True, 400.0, 10.0), 50.0, 1.0)
    setattr(message, field, value)
    with pytest.raises(CommandError, match=field):
        messages.demand_of(message, 1.0)


async def test_a_line_is_not_left_behind_when_a_device_cannot_be_opened(monkeypatch):
    lines = []
    monkeypatch.setattr(cabinet_node.ModuleLine, 'open', lambda line: lines.append(line))
    parameters = {
        'realtime_priority': 0, 'module_current': MODULE_CURRENT, 'least_stay': 1.0,
        'line_options': ['protocol=infy', 'interface=virtual', 'channel=x']}

    class Devices:
        lost = True

        async def open(self):
            if self.lost:
                raise ConfigureError('connector_1_voltmeter: no answer')

    node = SimpleNamespace(
        _wrong=None, _matrix={1: BOTH}, _devices=Devices(), value=parameters.__getitem__)
    with pytest.raises(ConfigureError, match='no answer'):
        await cabinet_node.CabinetNode.configure(node)
    assert not lines
    node._devices.lost = False
    await cabinet_node.CabinetNode.configure(node)
    assert lines == [node._line]
