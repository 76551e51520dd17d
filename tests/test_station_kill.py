"""Any process killed while energy flows: the output is safe, it is told, the next car charges."""

import time

import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not set up')

from ccs2_interfaces.action import Charge
from ccs2_interfaces.msg import ChargeCommand
from plant_record import first

pytestmark = pytest.mark.xdist_group('station')

#: s from the end of the last lease to open contactors and no current.
REACTION = 1.0
#: Less than this is no current [A].
NO_CURRENT = 1.0
LONG = {'protocol': Charge.Goal.PROTOCOL_DIN_70121, 'state_of_charge': 0.3,
        'target_state_of_charge': 0.95}


class Leases:
    """When the right to energy ended, by what the observer saw of charge_command."""

    ENERGISING = (ChargeCommand.MODE_CABLE_CHECK, ChargeCommand.MODE_PRE_CHARGE,
                  ChargeCommand.MODE_CHARGE)

    def __init__(self):
        self.end = 0.0

    def __call__(self, topic, message):
        if topic == 'charge_command' and message.mode in self.ENERGISING:
            self.end = time.monotonic() + message.lease.sec + message.lease.nanosec / 1e9


def reason(station):
    """Why the manager took the nodes down last."""
    status = station.diagnostics['lifecycle_manager: station']
    return {value.key: value.value for value in status.values}['last taken down because']


def energy_flows(station, **goal):
    """Let a car charge until energy flows; return the future of its result.

    A machine that is busy with other things may cost an attempt: the station is strict.
    """
    for _ in range(3):
        charge = station.charge(**{**LONG, **goal})
        flows = station.wait(
            lambda charge=charge: charge.done() or station.record.now.current > 50, 60,
            'energy flows') and not charge.done()
        if flows:
            return charge
    raise AssertionError(charge.result().result.error_msg)


@pytest.mark.parametrize('victim', ['hlc', 'v2g_transport', 'safety', 'power', 'car'])
def test_a_kill_during_charging_is_safe_told_and_survived(station, victim):
    record = station.record
    leases = Leases()
    station.hooks.append(leases)
    charge = energy_flows(station)

    station.processes.kill(victim)
    killed = time.monotonic()
    station.wait(lambda: not record.now.closed and abs(record.now.current) < NO_CURRENT, 10,
                 'open contactors and no current')
    # It has to stay so.
    station.spin(1.0)
    safe = first(record.since(killed),
                 lambda moment: not moment.closed and abs(moment.current) < NO_CURRENT)
    assert safe <= max(killed, leases.end) + REACTION, f'{safe - killed:.2f} s after the kill'

    # Told: by the manager, and by the car unless it is the one that died.
    station.wait(lambda: victim in reason(station), 10, 'the manager names the victim')
    if victim != 'car':
        station.wait(charge.done, 90, "the car's result")
        assert charge.result().result.error_code != Charge.Result.NONE

    # The next car charges, and nobody has done anything.
    station.wait_until_ready()
    station.wait(energy_flows(station, maximum_duration=2.0).done, 120, 'the next charge ends')
    station.hooks.clear()
