"""`make demo`: a simulated car charges at the simulated station, before your eyes."""

from __future__ import annotations

import argparse
import math
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live

from ccs2_interfaces.action import Charge
from ccs2_sim.can_modules.dialects import DIALECTS
from ccs2_sim.evcc.vehicle import Transfer
from station import laboratory, two_cars
from station.connector import Connector
from station.namespaces import arguments_of
from station.parameters import SIMULATION, changed
from station.processes import StationError, StationProcesses
from station.record import JOULES_PER_KWH, Recorder, TraceFile, plot
from station.view import View, minutes, names, number, panel, plain

OUTPUT = Path('demo')
#: What the station speaks, by the name on the command line.
GOALS = {'din': Charge.Goal.PROTOCOL_DIN_70121, 'iso2': Charge.Goal.PROTOCOL_ISO_15118_2,
         'iso20': Charge.Goal.PROTOCOL_ISO_15118_20_DC}
AUTHORIZATIONS = ('eim', 'pnc')
#: Without a protocol on the command line: the oldest that has this authorization.
PROTOCOLS = {'eim': 'din', 'pnc': 'iso2'}
LINKS = ('loopback', 'tap')
POWERS = ('sim', 'can', 'cabinet')
#: Protocol of the emulated modules unless another is named.
MODULES = 'infy'
#: That of modules that take energy back.
BIDIRECTIONAL_MODULES = 'infy_beg'
#: The view is drawn so often, in s; on a plain console a line is written every second.
FRAME = 0.1
LINE = 1.0
#: Longest charge in s of real time.
TIMEOUT = 600.0
RESULTS = names(Charge.Result, '')


def options(words: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog='make demo', description=__doc__)
    parser.add_argument('--protocol', choices=GOALS)
    parser.add_argument('--auth', choices=AUTHORIZATIONS, default='eim',
                        help='eim: somebody else pays; pnc: the car, by contract')
    parser.add_argument('--speed', type=float, default=60.0, help='time factor of the battery')
    parser.add_argument('--soc', type=ratio, default=0.2, help='state of charge at plug-in, 0..1')
    parser.add_argument('--target', type=ratio, default=0.8, help='state of charge at the end')
    parser.add_argument('--link', choices=LINKS, default='loopback',
                        help='tap: IPv6 crosses the virtual power line, too (needs root)')
    parser.add_argument('--power', choices=POWERS, default='sim',
                        help='can: emulated DC modules, in a process of their own on a CAN bus; '
                        'cabinet: two connectors share them, and two cars charge')
    parser.add_argument('--modules', choices=DIALECTS, help='protocol of the modules, with can')
    parser.add_argument('--mode', choices=laboratory.MODES,
                        help='what the car wants, with iso20: who leads the charge loop; '
                        'bpt: it gives half of its energy first')
    chosen = parser.parse_args(words)
    if chosen.modules and chosen.power != 'can':
        parser.error(f'--modules {chosen.modules} needs --power can')
    chosen.protocol = chosen.protocol or PROTOCOLS[chosen.auth]
    if (chosen.protocol, chosen.auth) == ('din', 'pnc'):
        parser.error('DIN SPEC 70121 has no Plug & Charge')
    if chosen.mode and chosen.protocol != 'iso20':
        parser.error(f'--mode {chosen.mode} needs --protocol iso20')
    if chosen.power == 'cabinet' and chosen.link != LINKS[0]:
        parser.error(f'--power cabinet has two cars, --link {chosen.link} one')
    if bidirectional(chosen) and chosen.power == 'cabinet':
        parser.error(f'--mode {chosen.mode} needs modules that take energy back, the cabinet of '
                     'the simulation has none')
    if bidirectional(chosen) and supply(chosen) not in ('sim', BIDIRECTIONAL_MODULES):
        parser.error(f'--mode {chosen.mode} with --power can needs '
                     f'--modules {BIDIRECTIONAL_MODULES}')
    return chosen


def bidirectional(chosen: argparse.Namespace) -> bool:
    """Tell whether energy is to flow out of the car, too."""
    return bool(chosen.mode) and Transfer(chosen.mode).bidirectional


def supply(chosen: argparse.Namespace) -> str:
    """Return the launch argument for the DC supply."""
    return (chosen.modules or MODULES) if chosen.power == 'can' else str(chosen.power)


def secure(chosen: argparse.Namespace, source: Path) -> dict[str, object]:
    """Make certificates for station and car; return the launch arguments for them.

    The parameter files are those of the folder `source` with what TLS needs.
    """
    folder, config = OUTPUT / 'pki', OUTPUT / 'config'
    laboratory.make(folder)
    shutil.rmtree(config, ignore_errors=True)
    newest = chosen.protocol == 'iso20'
    changes = laboratory.secured(folder, chosen.auth, tls='1.3' if newest else '1.2')
    if newest:
        changes += laboratory.in_mode(chosen.mode or laboratory.MODES[0], chosen.soc / 2)
    return {'config': changed(config, changes, source).resolve(),
            'store': (folder / laboratory.STORE).resolve()}


def ratio(text: str) -> float:
    """Read a number of 0..1."""
    value = float(text)
    if not 0.0 <= value <= 1.0:
        raise argparse.ArgumentTypeError(f'{text} is not within 0 to 1')
    return value


def charge(connector: Connector, view: View, goal: dict[str, Any], console: Console) -> Any:
    """Let the car charge and show it; return the action's result."""
    result = connector.charge(**goal)
    end = time.monotonic() + TIMEOUT
    title = 'connector_1'
    if console.is_terminal:
        with Live(panel(view, title), console=console, refresh_per_second=1 / FRAME) as live:
            while not result.done() and time.monotonic() < end:
                connector.spin(FRAME)
                live.update(panel(view, title))
    else:
        while not result.done() and time.monotonic() < end:
            console.print(plain(view), soft_wrap=True, highlight=False)
            next_line = time.monotonic() + LINE
            while not result.done() and time.monotonic() < next_line:
                connector.spin(FRAME)
    if not result.done():
        raise StationError(f'the charge did not end within {TIMEOUT:g} s')
    return result.result().result


def summary(result: Any, view: View, recorder: Recorder) -> list[tuple[str, str]]:
    """Return the table at the end."""
    highest = max((sample.power for sample in recorder.samples
                   if not math.isnan(sample.power)), default=math.nan)
    return [
        ('protocol', view.protocol),
        ('result', 'completed' if result.error_code == Charge.Result.NONE else
         f'{RESULTS.get(result.error_code, result.error_code)}: {result.error_msg}'),
        ('duration', f'{minutes(result.duration)} min'),
        ('energy', number(result.energy / JOULES_PER_KWH, 'kWh', 2)),
        ('highest power', number(highest / 1000, 'kW')),
        ('state of charge', number(100 * result.state_of_charge, '%')),
        ('charge loops', str(result.loops)),
        ('messages', f'{recorder.trace.messages}, {recorder.trace.missed} not seen'),
    ]


def main(words: list[str] | None = None) -> int:
    """Run the demo; return 0 if the session completed and the station is safe again."""
    chosen = options(words)
    console = Console()
    OUTPUT.mkdir(exist_ok=True)
    trace = TraceFile(OUTPUT / 'trace.jsonl')
    recorder, view = Recorder(trace), View(target=chosen.target)
    goal = {'protocol': GOALS[chosen.protocol], 'state_of_charge': chosen.soc,
            'target_state_of_charge': chosen.target}
    station = None
    try:
        with Connector() as connector, arguments_of(chosen.link) as link:
            connector.be_alone()
            if chosen.protocol != 'din':
                console.print('making certificates …')
                link |= secure(chosen, Path(str(link.get('config', SIMULATION))))
            console.print('starting the station …')
            arguments = {'speed': chosen.speed, 'power': supply(chosen), **link}
            if chosen.power == 'cabinet':
                return two_cars.run(arguments, goal, OUTPUT / 'station.log', console)
            station = StationProcesses(arguments=arguments, log=OUTPUT / 'station.log')
            connector.wait_until_ready()
            connector.hooks += [recorder, view]
            result = charge(connector, view, goal, console)
            connector.wait(lambda: connector.safe, 5.0, 'open contactors and no current')
    except StationError as error:
        console.print(f'[bold red]demo failed:[/] {error}')
        if station is not None:
            console.print(station.tail(), markup=False, highlight=False)
        return 1
    finally:
        trace.close()
        code = station.stop() if station is not None else 0
    title = f'{view.protocol}, {number(100 * chosen.soc, "%", 0)} to ' \
        f'{number(100 * result.state_of_charge, "%", 0)}'
    plot(recorder.samples, OUTPUT / 'plot.png', title)
    for name, text in summary(result, view, recorder):
        console.print(f'  {name:<16} {text}', highlight=False)
    for name in ('trace.jsonl', 'plot.png', 'station.log'):
        console.print(f'  written          {OUTPUT / name}', highlight=False)
    if code:
        console.print('[bold red]the station did not end cleanly; see the end of its log[/]')
    return int(result.error_code != Charge.Result.NONE or code != 0)


if __name__ == '__main__':
    sys.exit(main())
