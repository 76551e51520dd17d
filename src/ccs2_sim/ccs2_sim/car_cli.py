"""The car on the command line, against any station: ``ros2 run ccs2_sim car_cli --help``.

Without ``--plant`` it needs nothing but a network interface: battery and pilot are imagined.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

from ccs2_link.transport.sdp import PORT
from ccs2_sim.car import misbehaviour
from ccs2_sim.car.equipment import AUTHORIZATIONS, CONNECTIONS, KEYS, Equipment, NewWishes
from ccs2_sim.car.session import Session
from ccs2_sim.car.trace import summarize
from ccs2_sim.car.vehicle import ImaginedVehicle, PlantVehicle
from ccs2_sim.car.visit import PROTOCOLS, Result, Visit, with_protocol
from ccs2_sim.evcc.outcome import ErrorCode
from ccs2_sim.evcc.vehicle import CarSettings, Transfer
from ccs2_sim.physics import BatteryRating
from ccs2_sim.plant.client import PlantError
from ccs2_sim.plant.wire import default_socket


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='car_cli', description='A simulated car that charges once, or several times.',
        epilog='misbehaviours: ' + ', '.join(misbehaviour.MISBEHAVIOURS))
    defaults, battery = CarSettings(), BatteryRating()
    add = parser.add_argument
    add('--interface', default='lo', help='network interface to the station (%(default)s)')
    add('--sdp-port', type=int, default=PORT, help='UDP port of SDP (%(default)s)')
    add('--protocol', choices=('any', *PROTOCOLS), default='any')
    add('--auth', dest='authorization', choices=AUTHORIZATIONS, default='eim',
        help='who pays: eim: somebody else, pnc: the car, by contract (%(default)s)')
    add('--tls', choices=CONNECTIONS, default='none', help='TLS to ask for (%(default)s)')
    add('--keys', choices=tuple(KEYS), default='p521',
        help='what its certificates by ISO 15118-20 are of (%(default)s)')
    add('--mode', choices=tuple(each.value for each in Transfer), default=defaults.transfer.value,
        help='what the car wants by ISO 15118-20 (%(default)s)')
    add('--tls-fallback', action='store_true', help='go on without TLS where there is none')
    add('--staple', action='store_true',
        help="insist on an OCSP response about the station's certificate")
    add('--pki', default='', metavar='DIRECTORY',
        help='directory that ccs2-pki lab has made, for --tls and --auth pnc')
    add('--contract', default='contract',
        help="the contract's name there; by ISO 15118-20 several, with commas (%(default)s)")
    add('--acquisition', choices=('install', 'update'), default='',
        help='get the contract through the station first')
    add('--plant', nargs='?', const=default_socket(), metavar='SOCKET',
        help='use the battery and the pilot of this plant')
    add('--line', default='', metavar='SOCKET',
        help="find the station by SLAC over this modem's socket of a virtual power line")
    add('--soc', type=float, default=math.nan, help='state of charge at plug-in, ratio 0..1')
    add('--target', type=float, default=defaults.target_state_of_charge,
        help='state of charge at the end, ratio 0..1 (%(default)s)')
    add('--loops', type=int, default=0, help='stop after so many charge loops')
    add('--duration', type=float, default=0.0, help='stop after so many s of charging')
    add('--loop-period', type=float, default=defaults.loop_period,
        help='s between repeated requests; 0: as fast as the station answers (%(default)s)')
    add('--maximum-current', type=float, default=defaults.maximum_current, help='A (%(default)s)')
    add('--maximum-power', type=float, default=defaults.maximum_power, help='W (%(default)s)')
    add('--maximum-discharge-current', type=float, default=defaults.maximum_discharge_current,
        help='out of a bidirectional car, A (%(default)s)')
    add('--maximum-discharge-power', type=float, default=defaults.maximum_discharge_power,
        help='out of a bidirectional car, W (%(default)s)')
    add('--discharge-to', type=float, default=defaults.discharge_to, metavar='SOC',
        help='a bidirectional car first gives energy down to this state of charge, ratio 0..1')
    add('--cells', type=float, default=battery.cells,
        help='cells in series of the imagined battery, 3.0 to 4.2 V each (%(default)s)')
    add('--time-factor', type=float, default=battery.time_factor,
        help='the imagined battery charges so many times faster (%(default)s)')
    add('--renegotiate-after', type=int, default=0, metavar='LOOPS',
        help='want another schedule after so many charge loops')
    add('--pause-after', type=int, default=0, metavar='LOOPS',
        help='pause the session after so many charge loops')
    add('--sleep', type=float, default=10.0, help='s that a paused session sleeps (%(default)s)')
    for each in fields(NewWishes):
        words = {'action': 'store_true'} if each.default is False else {
            'type': type(each.default), 'default': each.default}
        add(f'--{each.name.replace("_", "-")}', **words,
            help=f'by ISO 15118-20: {each.metadata["about"]}')
    add('--misbehaviour', default='', help='NAME or NAME:OPTION=VALUE,…')
    add('--sessions', type=int, default=1, help='how many sessions (%(default)s)')
    add('--json', metavar='FILE', help='write results and response times here; - for stdout')
    add('--trace', metavar='FILE', help='write every message of the last session here')
    return parser


def _plan(options: argparse.Namespace) -> Visit:
    visit = with_protocol(Visit(
        interface=options.interface, sdp_port=options.sdp_port, line=options.line,
        state_of_charge=options.soc,
        misbehaviour=options.misbehaviour, sleep=options.sleep,
        settings=NewWishes(**_values(options, NewWishes)).applied(CarSettings(
            maximum_current=options.maximum_current, maximum_power=options.maximum_power,
            target_state_of_charge=options.target, maximum_duration=options.duration,
            maximum_loops=options.loops, loop_period=options.loop_period,
            renegotiate_after=options.renegotiate_after, pause_after=options.pause_after,
            maximum_discharge_current=options.maximum_discharge_current,
            maximum_discharge_power=options.maximum_discharge_power,
            discharge_to=options.discharge_to,
        ))), options.protocol)
    return Equipment(**_values(options, Equipment)).applied(visit, datetime.now(UTC))


def _values(options: argparse.Namespace, kind: Any) -> dict[str, Any]:
    """Return the options that have the names of a dataclass's fields."""
    return {each.name: getattr(options, each.name) for each in fields(kind)}


async def _charge(visit: Visit, options: argparse.Namespace) -> Result:
    if options.plant:
        return await Session(visit, PlantVehicle(options.plant)).run()
    rating = BatteryRating(cells=options.cells, time_factor=options.time_factor)
    return await Session(visit, ImaginedVehicle(rating)).run()


def _show(result: Result) -> str:
    lines = [
        f'{result.outcome.error.name}: {result.outcome.text}',
        f'{result.protocol or "no protocol"}, {result.loops} loops, {result.duration:.1f} s, '
        f'{result.energy / 3.6e6:.3f} kWh, state of charge {100 * result.state_of_charge:.1f} %',
        *result.notes]
    return '\n'.join(lines)


def _table(latencies: dict[str, list[float]]) -> str:
    lines = [f'{"response":32}{"count":>7}{"p50 ms":>9}{"p99 ms":>9}{"max ms":>9}']
    for name, row in summarize(latencies).items():
        lines.append(f'{name:32}{row["count"]:7}' + ''.join(
            f'{1000 * row[key]:9.2f}' for key in ('p50', 'p99', 'max')))
    return '\n'.join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return 0 if every session completed."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        misbehaviour.parse(options.misbehaviour)
        visit = _plan(options)
    except ValueError as error:
        parser.error(str(error))
    results: list[Result] = []
    latencies: dict[str, list[float]] = {}
    # With --json -, stdout belongs to the machine.
    out = sys.stderr if options.json == '-' else sys.stdout
    try:
        for _ in range(options.sessions):
            result = asyncio.run(_charge(visit, options))
            results.append(result)
            out.write(_show(result) + '\n')
            for name, values in result.trace.latencies().items():
                latencies.setdefault(name, []).extend(values)
    except PlantError as error:
        sys.stderr.write(f'car_cli: {error}\n')
        return 1
    out.write(_table(latencies) + '\n')
    if options.trace and results:
        results[-1].trace.write(options.trace)
    if options.json:
        text = json.dumps({
            'sessions': [{
                'error': result.outcome.error.name, 'text': result.outcome.text,
                'protocol': result.protocol, 'loops': result.loops, 'duration': result.duration,
                'energy': result.energy, 'state_of_charge': result.state_of_charge,
                'notes': result.notes} for result in results],
            'latency': summarize(latencies)}, indent=2) + '\n'
        if options.json == '-':
            sys.stdout.write(text)
        else:
            with open(options.json, 'w', encoding='utf-8') as file:
                file.write(text)
    return 0 if all(result.outcome.error is ErrorCode.NONE for result in results) else 1


if __name__ == '__main__':
    sys.exit(main())
