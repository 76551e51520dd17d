"""A whole session whose energy comes from emulated modules: its set-points cross a CAN bus."""

import struct
import threading
import time

import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not set up')

import can
from station_run import LONG, run_station

from ccs2_interfaces.action import Charge
from ccs2_sim.can_modules.bus import SCOPE_VARIABLE
from ccs2_sim.plant_fault import control
from plant_record import PlantRecord
from station.connector import Connector

pytestmark = [pytest.mark.xdist_group('sessions'), LONG]

#: An InfyPower module is told its voltage in mV and its current in mA by this command.
SET_POINTS = 0x1C
MODULES = 4
GOAL = {'protocol': Charge.Goal.PROTOCOL_DIN_70121, 'state_of_charge': 0.5,
        'target_state_of_charge': 0.9}


class Sniffer:
    """Hears the bus of the modules from beside, and remembers what they were told."""

    def __init__(self):
        self.told = {}
        self.highest = {}
        self._stop = threading.Event()
        self._bus = can.Bus(interface='udp_loopback', channel='modules')
        self._thread = threading.Thread(target=self._listen, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join(5)
        self._bus.shutdown()

    def tell(self, module, voltage, current):
        """Command a module as if there were another controller."""
        identifier = 0x0A << 22 | SET_POINTS << 16 | module << 8 | 0xF0
        data = struct.pack('>II', round(1000 * voltage), round(1000 * current))
        self._bus.send(can.Message(arbitration_id=identifier, data=data, is_extended_id=True))

    def _listen(self):
        while not self._stop.is_set():
            frame = self._bus.recv(0.2)
            if frame is not None and frame.arbitration_id >> 16 & 0x3F == SET_POINTS:
                module = frame.arbitration_id >> 8 & 0xFF
                voltage, current = struct.unpack('>II', bytes(frame.data))
                self.told[module] = voltage / 1000, current / 1000
                self.highest[module] = max(current / 1000, self.highest.get(module, 0.0))


@pytest.fixture(scope='module')
def station(tmp_path_factory):
    folder = tmp_path_factory.mktemp('c')
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(SCOPE_VARIABLE, str(folder / 'run' / 'connector_1'))
        sniffer = Sniffer()
    derating = ('supply/infy.yaml', "'modules=1,2,3,4'",
                "'modules=1,2,3,4', 'lost_module=derate'")
    with (run_station(folder, power='infy', changes=[derating]) as (processes, domain, run),
          Connector(domain=domain) as connector, sniffer):
        connector.wait_until_ready()
        with PlantRecord(run / 'connector_1.sock') as record:
            connector.processes, connector.record = processes, record
            connector.sniffer = sniffer
            connector.plant = str(run / 'connector_1.sock')
            yield connector


def test_the_session_s_set_points_reach_the_modules_by_the_bus(station):
    assert station.processes.pids['can_modules'] != station.processes.pids['power']
    charge = station.charge(**GOAL, maximum_duration=4.0)
    station.wait(charge.done, 120, 'the end of the charge')
    result = charge.result().result
    assert result.error_code == Charge.Result.NONE, result.error_msg
    assert result.energy > 50_000.0
    delivered = max(entry.current for entry in station.record.since(0) if entry.closed)
    assert delivered > 100.0
    assert set(station.sniffer.highest) == set(range(1, MODULES + 1))
    for highest in station.sniffer.highest.values():
        assert highest == pytest.approx(delivered / MODULES, rel=0.03)
    station.wait(lambda: not station.record.now.closed and not station.record.now.supply_on, 5,
                 'open contactors, supply off')


def energised(record):
    return record.now.closed or record.now.supply_on or abs(record.now.current) > 1.0


def test_the_charge_goes_on_without_a_module_that_is_gone(station):
    record = station.record
    charge = station.charge(**GOAL, maximum_duration=8.0)
    station.wait(lambda: record.now.closed and record.now.current > 50, 60, 'energy flows')
    control(station.plant, {'put': 'module_gone', 'argument': '2'})
    begin = time.monotonic()
    station.wait(lambda: any('module_2: is not heard' in fault.message for fault in
                             station.latest['power/status'].faults), 5, 'the notice of the module')
    station.wait(charge.done, 120, 'the end of the charge')
    control(station.plant, {'clear': 'module_gone', 'argument': '2'})
    assert charge.result().result.error_code == Charge.Result.NONE, charge.result().result.error_msg
    assert max(moment.current for moment in record.since(begin + 1.0) if moment.closed) > 50.0
    station.wait(lambda: not energised(record), 5, 'open contactors, supply off')


def test_another_controller_on_the_bus_opens_the_contactors(station):
    record = station.record
    charge = station.charge(**GOAL)
    station.wait(lambda: record.now.closed and record.now.current > 50, 60, 'energy flows')
    station.sniffer.tell(module=2, voltage=500.0, current=200.0)
    station.wait(lambda: not energised(record), 5, 'open contactors, supply off')
    station.wait(lambda: any('another controller commands it' in fault.message for fault in
                             station.latest['power/status'].faults), 5, 'the reason')
    station.wait(charge.done, 90, "the car's result")
    assert charge.result().result.error_code != Charge.Result.NONE
    station.wait_until_ready()


def test_without_the_modules_nothing_stays_energised_and_the_next_car_charges(station):
    record = station.record
    charge = station.charge(**GOAL)
    station.wait(lambda: record.now.closed and record.now.current > 50, 60, 'energy flows')
    station.processes.kill('can_modules')
    station.wait(lambda: not energised(record), 5, 'open contactors, no current, supply off')
    station.wait(charge.done, 90, "the car's result")
    assert charge.result().result.error_code != Charge.Result.NONE
    station.wait_until_ready()
    again = station.charge(**GOAL, maximum_duration=1.0)
    station.wait(again.done, 120, 'the end of the next charge')
    assert again.result().result.error_code == Charge.Result.NONE, again.result().result.error_msg
