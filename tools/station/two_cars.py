"""`make demo POWER=cabinet`: two cars at two connectors that share one cabinet of DC modules."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from ccs2_interfaces.action import Charge
from station.connector import Connector, wait_for
from station.processes import StationError, StationProcesses
from station.record import JOULES_PER_KWH
from station.view import View, minutes, names, number

NAMES = ('connector_1', 'connector_2')
#: The second car comes this long after the first one gets energy, in s: all modules are at work.
LATER = 5.0
#: Share of its way that the second car has behind it at plug-in: it leaves first.
AHEAD = 0.6
#: A line is written so often, in s.
LINE = 1.0
#: Longest charge of both in s of real time.
TIMEOUT = 600.0
RESULTS = names(Charge.Result, '')


@dataclass
class Party:
    """One connector, its car, and what was seen of them."""

    connector: Connector
    say: Callable[[str], None]
    view: View = field(default_factory=View)
    modules: int = 0
    most_modules: int = 0
    highest_power: float = 0.0
    result: Any = None

    def __call__(self, topic: str, message: Any) -> None:
        """Take one message; tell when modules come or go."""
        self.view(topic, message)
        if topic == 'power/status':
            self.highest_power = max(self.highest_power, message.power)
        if topic == 'cabinet/output' and message.modules != self.modules:
            self.say(f'{self.connector.name}: {self.modules} → {message.modules} modules')
            self.modules = message.modules
            self.most_modules = max(self.most_modules, self.modules)

    @property
    def done(self) -> bool:
        """Tell whether its car has left."""
        return self.result is not None and self.result.done()

    def line(self) -> str:
        """Return what it does now."""
        view = self.view
        charge = number(100 * view.state_of_charge, '%')
        return (f'{self.connector.name} {self.modules} modules {view.doing:<13} '
                f'{number(view.voltage, "V"):>8} {number(view.current, "A"):>8} '
                f'{number(view.power / 1000, "kW"):>8} {charge:>7}')


def run(
    arguments: Mapping[str, object], goal: Mapping[str, Any], log: Path, console: Console,
) -> int:
    """Let two cars charge; return 0 if both have completed and the station is safe again."""
    station = StationProcesses(arguments={**arguments, 'connectors': 2}, log=log)
    changes: list[str] = []

    def say(text: str) -> None:
        changes.append(text)
        console.print(f'  {text}', style='bold', highlight=False)

    try:
        with ExitStack() as stack:
            parties = [Party(stack.enter_context(Connector(name)), say) for name in NAMES]
            for party in parties:
                party.connector.wait_until_ready()
                party.connector.hooks.append(party)
            _charge(parties, goal, console)
            wait_for([party.connector for party in parties],
                     lambda: all(party.connector.safe for party in parties), 5.0,
                     'open contactors and no current')
    except StationError as error:
        console.print(f'[bold red]demo failed:[/] {error}')
        console.print(station.tail(), markup=False, highlight=False)
        return 1
    finally:
        code = station.stop()
    for party in parties:
        _summarise(party, console)
    console.print(f'  {"modules moved":<16} {len(changes)} times; written {log}', highlight=False)
    if code:
        console.print('[bold red]the station did not end cleanly; see the end of its log[/]')
    completed = all(party.result.result().result.error_code == Charge.Result.NONE
                    for party in parties)
    return int(not completed or code != 0)


def _charge(parties: Sequence[Party], goal: Mapping[str, Any], console: Console) -> None:
    first, second = parties
    begin, target = goal['state_of_charge'], goal['target_state_of_charge']
    first.result = first.connector.charge(**goal)
    end, comes = time.monotonic() + TIMEOUT, float('inf')
    while not (first.done and second.done):
        if time.monotonic() > end:
            raise StationError(f'the charges did not end within {TIMEOUT:g} s')
        if comes == float('inf') and first.view.current > 1.0:
            comes = time.monotonic() + LATER
        if second.result is None and (time.monotonic() > comes or first.done):
            second.result = second.connector.charge(
                **{**goal, 'state_of_charge': begin + AHEAD * (target - begin)})
        console.print('   │   '.join(party.line() for party in parties), soft_wrap=True,
                      highlight=False)
        next_line = time.monotonic() + LINE
        while time.monotonic() < next_line:
            for party in parties:
                party.connector.take(0.02)


def _summarise(party: Party, console: Console) -> None:
    result = party.result.result().result
    told = 'completed' if result.error_code == Charge.Result.NONE else (
        f'{RESULTS.get(result.error_code, result.error_code)}: {result.error_msg}')
    console.print(
        f'  {party.connector.name:<16} {told}, {minutes(result.duration)} min, '
        f'{number(result.energy / JOULES_PER_KWH, "kWh", 2)}, '
        f'{number(party.highest_power / 1000, "kW")} at most, '
        f'{party.most_modules} modules at most', soft_wrap=True, highlight=False)
