"""The fault matrix as data: what goes wrong, in which stages, and what has to follow.

Times are in s from the fault. `command` is the longest time to the first command that takes energy
away (coils off, supply off, or less current), `safe` the longest time to open contactors without
current. Where the supervision tolerates something for a while (docs/safety.md), or a measurement
comes seldom, that time is the fault's `tolerated`.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

#: It begins with the vehicle's last message.
MESSAGE = 'message'
#: An event has to be answered by a command within so many s.
EVENT = 0.05


class Bench(Protocol):
    """What a fault can be put into."""

    def put(self, fault: str, argument: str = '') -> None:
        """Put a fault into the simulated world."""

    def signal(self, process: str, number: int) -> None:
        """Send a signal to a process."""

    def step_clock(self, seconds: float) -> None:
        """Let the time of the graph jump."""


@dataclass(frozen=True, slots=True)
class Bound:
    """What a shutdown may take."""

    command: float | None
    """None: as long as `safe`."""
    safe: float | None
    """None: as long as silence may take, which depends on the scheduling."""


#: Everything off at once; contactors take their time to open.
AT_ONCE = Bound(EVENT, 0.15)
#: Ramp first: at most 1.5 s (docs/safety.md, shutdown classes).
RAMP = Bound(EVENT, 1.5 + 0.15)
#: Nobody says anything.
SILENCE = Bound(None, None)
#: In order, as if the vehicle had wanted it: by the session, or by the lifecycle manager.
ORDERLY = Bound(4.0, 6.0)


@dataclass(frozen=True, slots=True)
class Fault:
    """One row of the matrix."""

    name: str
    act: Callable[[Bench], None]
    codes: frozenset[str]
    """At least one of these is reported, as a fault or as the reason of the session's end; empty:
    nothing has to be."""
    bound: Bound | None
    """None: the charge goes on."""
    tolerated: float = 0.0
    misbehaviour: str = ''
    """The car does it, at its own time, instead of `act`."""
    begins: str = ''
    """Then: the aspect of the plant's chronicle that becomes false with it, or :data:`MESSAGE`."""
    output: bool = True
    """The supply is off in the end; False: it cannot be."""


STAGES = ('before plug-in', 'cable check', 'pre-charge', 'charging', 'stopping')
ENERGISED = STAGES[1:]


def _put(name: str, argument: str = '') -> Callable[[Bench], None]:
    return lambda bench: bench.put(name, argument)


def _nothing(bench: Bench) -> None:
    """Leave it to the car."""


def _world(
    name: str, fault: str, argument: str, codes: str, bound: Bound, tolerated: float = 0.0,
    output: bool = True,
) -> Fault:
    return Fault(name, _put(fault, argument), frozenset(codes.split()), bound, tolerated,
                 output=output)


def _silent(device: str, codes: str, bound: Bound = SILENCE, tolerated: float = 0.0) -> Fault:
    return _world(f'{device.replace("_", " ")} silent', 'silent', device, codes, bound, tolerated)


def _process(
    name: str, number: int, codes: str, bound: Bound | None, tolerated: float = 0.0,
) -> Fault:
    verb = {signal.SIGKILL: 'killed', signal.SIGSTOP: 'stopped'}[signal.Signals(number)]
    return Fault(f'{name} {verb}', lambda bench: bench.signal(name, number),
                 frozenset(codes.split()), bound, tolerated)


def _both(name: str, codes: str, bound: Bound | None = SILENCE) -> tuple[Fault, Fault]:
    return (_process(name, signal.SIGKILL, codes, bound),
            _process(name, signal.SIGSTOP, codes, bound))


def _mute(seconds: int, tolerated: float) -> Fault:
    """Return a vehicle that says nothing for so long, with closed contactors and in state C."""
    return Fault('vehicle silent', _nothing, frozenset({'SEQUENCE_TIMEOUT'}), RAMP, tolerated,
                 f'silent:after=60,seconds={seconds}', MESSAGE)


#: Everybody who is silent is missed by somebody; who says so first depends on the moment.
_PEERS = 'LEASE_EXPIRED POWER_SILENT SAFETY_SILENT'
#: A vehicle whose connection is gone leaves state C.
_TRANSPORT = f'{_PEERS} TRANSPORT_SILENT PILOT_LEFT_C CONNECTION'
#: A voltmeter reports every 20 ms, the supply too.
_REPORT = 0.02

_EVENTS = (
    _world('emergency stop', 'emergency_stop', '', 'EMERGENCY_STOP', AT_ONCE),
    _world('pilot A: wire broken', 'pilot_broken', '', 'PILOT_UNPLUGGED', AT_ONCE),
    _world('pilot E: short', 'pilot_shorted', '', 'PILOT_SHORT', AT_ONCE),
    _world('pilot F: generator failed', 'pilot_failed', '', 'PILOT_MEASUREMENT', AT_ONCE, 0.1),
    _world('diode bridged', 'pilot_diode', '', 'PILOT_DIODE', AT_ONCE, 0.1),
    _world('contactor opens by itself', 'contactor_dropped', 'DC+', 'CONTACTOR_UNEXPECTED',
           AT_ONCE, 0.012),
    _world('lock opens', 'lock_open', '', 'CONNECTOR_LOCK', RAMP, 0.2),
    _world('over-voltage at the connector', 'bias', 'voltmeter.voltage=900', 'OVER_VOLTAGE',
           AT_ONCE),
    _world('over-voltage at the supply', 'bias', 'supply.voltage=900', 'OVER_VOLTAGE', AT_ONCE),
    _world('alarm of the supply', 'supply_alarm', 'fan', 'SUPPLY_FAULT', RAMP),
    _world('contacts hot', 'connector_hot', '95', 'CONNECTOR_TEMPERATURE', RAMP, 0.5),
)
_SILENT_DEVICES = (
    _silent('pilot', 'PILOT_MEASUREMENT'),
    _silent('contactors', 'DRIVER CONTACTOR_NOT_CLOSING CONTACTOR_UNEXPECTED'),
    _silent('emergency_stop', 'DRIVER'),
    _silent('voltmeter', 'DRIVER'),
    _silent('second_voltmeter', 'DRIVER'),
    _silent('supply', 'SUPPLY_SILENT'),
)
_PROCESSES = (
    *_both('safety', _PEERS),
    *_both('power', _PEERS),
    *_both('hlc', _PEERS),
    *_both('v2g_transport', _TRANSPORT),
    *_both('plc_link', f'{_PEERS} LINK_LOST TRANSPORT_SILENT'),
)
_CHARGING = (
    _silent('isolation', 'ISOLATION_MONITOR', RAMP, 3.0),
    _silent('meter', 'METER', RAMP, 5.0),
    _silent('thermometer', 'CONNECTOR_TEMPERATURE', RAMP, 3.0 + 0.5),
    _silent('lock', 'CONNECTOR_LOCK', RAMP, 0.5 + 0.1 + 0.1),
    _world('isolation fault', 'isolation', 'cable=10000', 'ISOLATION', RAMP, 1.1),
    _world('short to earth', 'isolation', 'vehicle=100', 'ISOLATION', RAMP, 1.1),
    _world('over-current by the supply', 'bias', 'supply.current=300',
           'OVER_CURRENT SUPPLY_DISOBEYS', AT_ONCE, 0.3 + _REPORT),
    _world('over-current by the meter', 'bias', 'meter.current=300', 'OVER_CURRENT METER', AT_ONCE,
           2.0 + 0.1),
    # The vehicle compares it with its own, too, and may be faster.
    _world('supply off by 60 V', 'bias', 'supply.voltage=-60', 'VOLTAGE_IMPLAUSIBLE VEHICLE',
           AT_ONCE, 1.0 + _REPORT),
    _world('voltmeter off by 100 V', 'bias', 'voltmeter.voltage=-100', 'VOLTAGE_IMPLAUSIBLE',
           AT_ONCE, 1.0 + _REPORT),
    _world('second voltmeter off by 100 V', 'bias', 'second_voltmeter.voltage=-100',
           'VOLTAGE_IMPLAUSIBLE', AT_ONCE, 1.0 + _REPORT),
    _world('modules hot', 'bias', 'supply.temperature=60', 'TEMPERATURE', RAMP),
    _world('supply deaf', 'deaf', 'supply', 'SUPPLY_DISOBEYS', SILENCE, 0.2),
    _world('contactors deaf', 'deaf', 'contactors', 'CONTACTOR_UNEXPECTED', SILENCE),
    Fault('plug torn out', _nothing, frozenset({'PILOT_UNPLUGGED'}), AT_ONCE,
          misbehaviour='unplug:after=60', begins='plugged'),
    Fault('vehicle leaves C', _nothing, frozenset({'PILOT_LEFT_C'}), AT_ONCE,
          misbehaviour='leave_c:after=60', begins='ready'),
    _process('car', signal.SIGKILL, 'PILOT_LEFT_C CONNECTION', AT_ONCE),
    _mute(seconds=8, tolerated=5.0),
    _process('power_line', signal.SIGKILL, 'LINK_LOST', RAMP, tolerated=1.5),
    # It shows when the vehicle has had enough, some seconds later.
    _world('supply does not switch off', 'supply_stuck_on', '', 'SUPPLY_DISOBEYS', ORDERLY, 8.0,
           output=False),
    _process('pki', signal.SIGKILL, '', ORDERLY),
    _process('lifecycle_manager', signal.SIGKILL, '', None),
)
_STUCK = (
    _world('contactor welded', 'contactor_welded', 'DC+', 'CONTACTOR_WELDED', ORDERLY),
    _world('contactor feedback stuck closed', 'feedback_stuck', 'both', 'CONTACTOR_WELDED',
           ORDERLY),
)
#: Present before plug-in: the station never energises, or stops where it shows.
_BEFORE = (
    *(fault for fault in _EVENTS if fault.name not in (
        'pilot A: wire broken', 'contactor opens by itself', 'lock opens', 'diode bridged')),
    *_SILENT_DEVICES,
    _world('contactor welded', 'contactor_welded', 'DC+', 'CONTACTOR_WELDED', AT_ONCE),
    _world('contactor blocked', 'contactor_blocked', 'DC-', 'CONTACTOR_NOT_CLOSING', AT_ONCE),
    _world('lock stuck', 'lock_stuck', '', 'CONNECTOR_LOCK', AT_ONCE),
    _world('diode bridged', 'pilot_diode', '', 'PILOT_DIODE', AT_ONCE),
    _silent('meter', 'METER', tolerated=5.0),
    _silent('thermometer', 'CONNECTOR_TEMPERATURE', tolerated=3.0),
)
#: Only the cable check finds these: it is energised until it has, with at most 2 A.
_FOUND_BY_CABLE_CHECK = (
    _world('self-test of the isolation monitor fails', 'isolation_monitor_defective', '',
           'ISOLATION_SELF_TEST', ORDERLY, 25.0),
    _world('isolation fault', 'isolation', 'cable=10000', 'ISOLATION', ORDERLY, 25.0),
    # In its self-test that does not end; after it, its last voltage stands still while the
    # output's rises.
    _silent('isolation', 'ISOLATION_SELF_TEST ISOLATION_MONITOR VOLTAGE_IMPLAUSIBLE', ORDERLY,
            25.0),
)

#: The matrix of the station with a car by DIN SPEC 70121: faults by stage.
STATION: dict[str, tuple[Fault, ...]] = {
    'before plug-in': _BEFORE,
    'cable check': (*_EVENTS, *_SILENT_DEVICES, *_PROCESSES, *_FOUND_BY_CABLE_CHECK),
    'pre-charge': (*_EVENTS, *_SILENT_DEVICES, *_PROCESSES),
    'charging': (*_EVENTS, *_SILENT_DEVICES, *_PROCESSES, *_CHARGING),
    # The charge has ended already: who is gone is missed by the lifecycle manager only.
    'stopping': (*_EVENTS[:5], *_SILENT_DEVICES,
                 *(replace(fault, codes=frozenset()) for fault in _PROCESSES),
                 *_STUCK),
}

#: With emulated DC modules on a CAN bus.
_CAN = (
    *_both('can_modules', 'SUPPLY_SILENT'),
    _world('one module gone', 'module_gone', '2', 'SUPPLY_SILENT SUPPLY_DISOBEYS', SILENCE),
    _world('one module silent', 'module_silent', '2', 'SUPPLY_SILENT', SILENCE),
    _world('one module says another voltage', 'module_wrong', '2=-100',
           'SUPPLY_FAULT SUPPLY_DISOBEYS VOLTAGE_IMPLAUSIBLE', RAMP, 0.5 + 0.1),
    _world('alarm of one module', 'module_alarm', '2', 'SUPPLY_FAULT', RAMP, 0.1),
    # The modules go on behind open contactors until their own time-out.
    *(replace(fault, output=False) for fault in _both('power', _PEERS)),
)
CAN: dict[str, tuple[Fault, ...]] = {
    'pre-charge': _CAN[:4],
    'charging': _CAN,
}

#: A car by ISO 15118-20 over TLS 1.3: its charge loop allows half a second.
ISO20: dict[str, tuple[Fault, ...]] = {
    'charging': (
        _mute(seconds=3, tolerated=0.5),
        *_both('v2g_transport', _TRANSPORT),
        *_both('hlc', _PEERS),
        _EVENTS[0],
    ),
}


def _jump(seconds: float) -> Callable[[Bench], None]:
    return lambda bench: bench.step_clock(seconds)


#: All nodes take their time from the graph, so that it can jump without the machine's.
CLOCK: dict[str, tuple[Fault, ...]] = {
    'charging': (
        Fault('clock jumps an hour ahead', _jump(3600.0), frozenset(), None),
        Fault('clock jumps an hour back', _jump(-3600.0), frozenset(), None),
    ),
}
