"""How a charge looks on a terminal, and as plain lines elsewhere."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ccs2_interfaces.msg import ChargingSession, ControlPilot, Link, SafetyStatus, V2GTrace
from station.record import JOULES_PER_KWH

NOT_KNOWN = '–'
#: So many of the newest messages are shown.
MESSAGES = 8


def names(kind: Any, prefix: str) -> dict[int, str]:
    """Return the names of an enumeration's constants, for people.

    >>> names(ControlPilot, 'STATE_')[2]
    'B'
    """
    # Only the class's own metaclass knows the constants.
    constants = {name: getattr(kind, name) for name in dir(type(kind))
                 if name.isupper() and name.startswith(prefix)}
    return {value: name.removeprefix(prefix).replace('_', ' ').capitalize()
            for name, value in constants.items() if isinstance(value, int)}


STAGES = names(ChargingSession, 'STAGE_')
PILOT_STATES = names(ControlPilot, 'STATE_')
SAFETY_STATES = names(SafetyStatus, 'STATE_')


@dataclass
class View:
    """What is shown of one connector; takes its messages like a recorder."""

    stage: str = 'Idle'
    pilot: str = NOT_KNOWN
    duty_cycle: float = math.nan
    contactors: str = NOT_KNOWN
    voltage: float = math.nan
    current: float = math.nan
    power: float = math.nan
    state_of_charge: float = math.nan
    target: float = math.nan
    """State of charge at which the car stops, ratio."""
    energy: float = math.nan
    """J in this session."""
    remaining: float = math.nan
    """s to the end, as the car says."""
    protocol: str = NOT_KNOWN
    slac: str = ''
    """How far station and car have come to find each other; '' when that is not going on."""
    faults: tuple[str, ...] = ()
    messages: deque[str] = field(default_factory=lambda: deque(maxlen=MESSAGES))

    def __call__(self, topic: str, message: Any) -> None:
        """Take one message."""
        match topic:
            case 'link':
                slac = message.message if message.state == Link.STATE_MATCHING else ''
                if slac and slac != self.slac:
                    self.messages.append(f'SLAC: {slac}')
                self.slac = slac
            case 'session':
                self.stage = STAGES.get(message.stage, NOT_KNOWN)
                self.protocol = PROTOCOLS.get(message.protocol, NOT_KNOWN)
            case 'control_pilot':
                self.pilot = PILOT_STATES.get(message.state, NOT_KNOWN)
                self.duty_cycle = message.duty_cycle
            case 'safety/status':
                self.contactors = SAFETY_STATES.get(message.state, NOT_KNOWN)
                self.faults = tuple(fault.message for fault in message.faults)
            case 'power/status':
                self.voltage, self.current = message.voltage, message.current
                self.power = message.power
            case 'meter':
                self.energy = message.session_energy
            case 'ev':
                self.state_of_charge = message.state_of_charge
                self.remaining = message.remaining_time
            case 'v2g/trace':
                self.messages.append(message_line(message))

    @property
    def doing(self) -> str:
        """What is going on: SLAC, or the stage of the session."""
        return 'SLAC' if self.slac else self.stage

    @property
    def progress(self) -> float:
        """Share of the state of charge on the way to the target, 0..1."""
        if math.isnan(self.state_of_charge):
            return 0.0
        return min(1.0, self.state_of_charge / self.target) if self.target > 0 else 0.0


PROTOCOLS = {
    ChargingSession.PROTOCOL_DIN_70121: 'DIN SPEC 70121',
    ChargingSession.PROTOCOL_ISO_15118_2: 'ISO 15118-2',
    ChargingSession.PROTOCOL_ISO_15118_20_DC: 'ISO 15118-20 DC',
}


def message_line(trace: V2GTrace) -> str:
    """Return one message as one line."""
    if trace.direction == V2GTrace.DIRECTION_REQUEST:
        return f'→ {trace.message or trace.error}'
    milliseconds = 1000 * trace.processing_time
    return f'← {trace.message:<30} {trace.response_code:<12} {milliseconds:6.1f} ms'


def number(value: float, unit: str, digits: int = 1) -> str:
    """Return a value for people; NaN is a dash.

    >>> number(3.14159, 'V'), number(math.nan, 'V')
    ('3.1 V', '–')
    """
    return NOT_KNOWN if math.isnan(value) else f'{value:.{digits}f} {unit}'


def minutes(seconds: float) -> str:
    """Return a duration for people.

    >>> minutes(75.2), minutes(math.nan)
    ('1:15', '–')
    """
    return NOT_KNOWN if math.isnan(seconds) else f'{int(seconds) // 60}:{int(seconds) % 60:02d}'


def panel(view: View, title: str) -> RenderableType:
    """Return the live view."""
    values = Table.grid(padding=(0, 3), expand=True)
    for _ in range(4):
        values.add_column()
    values.add_row('stage', Text(view.doing, 'bold'), 'protocol', view.protocol)
    values.add_row('voltage', Text(number(view.voltage, 'V'), 'bold cyan'),
                   'current', Text(number(view.current, 'A'), 'bold cyan'))
    values.add_row('power', Text(number(view.power / 1000, 'kW'), 'bold cyan'),
                   'energy', number(view.energy / JOULES_PER_KWH, 'kWh', 2))
    values.add_row('pilot', f'{view.pilot}, {number(100 * view.duty_cycle, "%", 0)}',
                   'contactors', view.contactors)
    charge = Table.grid(padding=(0, 2), expand=True)
    charge.add_column(width=16)
    charge.add_column(ratio=1)
    charge.add_column(width=22, justify='right')
    charge.add_row('state of charge', ProgressBar(total=1.0, completed=view.progress),
                   f'{number(100 * view.state_of_charge, "%")}, {minutes(view.remaining)} left')
    messages = Text('\n'.join(view.messages) + '\n' * (MESSAGES - len(view.messages)), 'dim')
    faults = Text('\n'.join(view.faults), 'bold red')
    return Panel(Group(values, Text(), charge, Text(), messages, faults), title=title)


def plain(view: View) -> str:
    """Return one line."""
    soc = number(100 * view.state_of_charge, '%')
    return (f'{view.doing:<13} {number(view.voltage, "V"):>9} {number(view.current, "A"):>9} '
            f'{number(view.power / 1000, "kW"):>9}  SoC {soc:>7}  left {minutes(view.remaining):>6}'
            f'  pilot {view.pilot}  contactors {view.contactors.lower()}'
            f'{"  " if view.slac else ""}{view.slac}')
