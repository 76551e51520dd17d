"""Time on the wire from a request to its response, for every message of whole sessions.

The simulated station runs as in the demo, each node in its own process. The car runs here, and
takes the time from handing a request to the kernel to having read the complete response. As root,
an independent car is measured, too (docs/interoperability.md), in every protocol: at this station,
and beside it at the station that it comes with.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from domain_coordinator import domain_id

import peer
from ccs2_pki.errors import PkiError
from ccs2_sim.car.equipment import Equipment
from ccs2_sim.car.session import Session
from ccs2_sim.car.vehicle import PlantVehicle
from ccs2_sim.car.visit import Result, Visit
from ccs2_sim.evcc.outcome import ErrorCode
from ccs2_sim.evcc.vehicle import CarSettings
from peer_environment import PeerError
from peer_plans import MEASURED, PLANS
from station import laboratory
from station.connector import Connector
from station.parameters import changed, direct_link
from station.processes import StationError, StationProcesses

#: s from one request of the charge loop to the next: as real cars do.
LOOP_PERIOD = 0.025
ROW = '{:<36}{:>7}{:>9}{:>9}{:>11}'
#: The responses of the charge loop.
LOOP = ('CurrentDemandRes', 'DC_ChargeLoopRes')
PEER_ROW = '{:<41}{:<19}{:>7}{:>9}{:>9}{:>11}'


def table(title: str, latencies: Mapping[str, Sequence[float]]) -> str:
    """Return a table of response times, given in s, in ms."""
    lines = [title, ROW.format('response', 'count', 'p50', 'p99', 'max  [ms]')]
    for name, values in latencies.items():
        ordered = sorted(1000 * value for value in values)
        lines.append(ROW.format(
            name, len(ordered), f'{quantile(ordered, 0.5):.1f}', f'{quantile(ordered, 0.99):.1f}',
            f'{ordered[-1]:.1f}'))
    return '\n'.join(lines)


def peer_row(name: str, station: str, latencies: Mapping[str, Sequence[float]]) -> str:
    """Return the row of one session: the response times of its charge loop, given in s, in ms."""
    ordered = sorted(1000 * value for key in LOOP for value in latencies.get(key, ()))
    return PEER_ROW.format(
        name, station, len(ordered), f'{quantile(ordered, 0.5):.1f}',
        f'{quantile(ordered, 0.99):.1f}', f'{ordered[-1]:.1f}')


def quantile(ordered: Sequence[float], share: float) -> float:
    """Return the value below which a share of the sorted values lies."""
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


@dataclass(frozen=True)
class Plan:
    """One session of our own car."""

    title: str
    #: TLS version as the car's parameter has it, with which it pays by contract; ``none``: neither.
    tls: str = 'none'

    def visit(self, protocol: str, pki: Path, loops: int) -> Visit:
        """Return what the car is to do; raise ``ValueError`` if it cannot."""
        visit = Visit(protocols=(protocol,), state_of_charge=0.3, settings=CarSettings(
            target_state_of_charge=1.0, maximum_loops=loops, loop_period=LOOP_PERIOD))
        if self.tls == 'none':
            return visit
        return Equipment(authorization='pnc', tls=self.tls, staple=True, pki=str(pki)).applied(
            visit, datetime.now(UTC))


#: The sessions of our own car by their protocol's name in the car.
SESSIONS = {
    'din': Plan('DIN SPEC 70121, TCP'),
    'iso2': Plan('ISO 15118-2, TLS 1.2, contract', '1.2'),
    'iso20': Plan('ISO 15118-20 DC, TLS 1.3, contract', '1.3'),
}


def charge(socket: Path, visit: Visit) -> Result:
    """Let a car of our own charge at the running station."""
    async def run() -> Result:
        return await Session(visit, PlantVehicle(str(socket))).run()
    return asyncio.run(run())


def measure(folder: Path, sessions: Sequence[str], loops: int) -> None:
    """Start the station, charge, print the tables.

    Raises :class:`StationError` if a session fails, and ``PkiError`` if it gets no certificates.
    """
    laboratory.make(folder / 'pki')
    changes = [
        *direct_link('lo'),
        ('v2g_transport.yaml', 'security: none                 # TCP only', 'security: car'),
        ('hlc.yaml', '    authorization: automatic\n',
         '    authorization: automatic\n    contract_payment: local\n')]
    with domain_id() as domain:
        processes = StationProcesses(
            arguments={'run_directory': folder / 'run', 'log_level': 'warn',
                       'config': changed(folder / 'config', changes),
                       'store': folder / 'pki' / laboratory.STORE},
            environment={'ROS_DOMAIN_ID': str(domain)})
        try:
            with Connector(domain=domain) as connector:
                connector.wait_until_ready()
            for index, name in enumerate(sessions):
                visit = SESSIONS[name].visit(name, folder / 'pki' / laboratory.LABORATORY, loops)
                result = charge(folder / 'run/connector_1.sock', visit)
                if result.outcome.error is not ErrorCode.NONE:
                    raise StationError(
                        f'{SESSIONS[name].title}: {result.outcome}\n{processes.tail()}')
                title = (f'{SESSIONS[name].title}, {result.loops} charge loops every '
                         f'{1000 * LOOP_PERIOD:g} ms')
                print('\n' * bool(index) + table(title, result.trace.latencies()), flush=True)
        finally:
            processes.stop()


def measure_peer(plans: Sequence[str], loops: int) -> None:
    """Let the independent car charge at both stations; raise :class:`PeerError` if it fails here.

    Its own station may be too slow for it on a busy machine: that is told, and no failure.
    """
    print(f"\n{peer.NAME}: the independent car's charge loop")
    print(PEER_ROW.format('session', 'at', 'count', 'p50', 'p99', 'max  [ms]'))
    outcomes = {station: peer.measure(station, plans, loops)
                for station in (peer.HERE, peer.THERE)}
    for plan in plans:
        for station, of_plan in outcomes.items():
            problem = of_plan[plan].problem
            if problem and station == peer.HERE:
                raise PeerError(f'{PLANS[plan].title} at {station}: {problem}')
            if problem:
                print(f'{PLANS[plan].title:<41}{station:<19}{problem.splitlines()[0][:100]}')
                continue
            print(peer_row(PLANS[plan].title, station, of_plan[plan].latencies))


def main() -> int:
    """Run the benchmark; return 1 if a session failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--loops', type=int, default=1000, help='charge loops of our own car')
    parser.add_argument('--sessions', nargs='*', choices=SESSIONS, default=list(SESSIONS),
                        metavar='SESSION', help=f"our own car's sessions: {', '.join(SESSIONS)}")
    parser.add_argument('--peer-loops', type=int, default=300, help="charge loops of the peer's")
    parser.add_argument('--peer-plans', nargs='*', choices=PLANS, default=MEASURED,
                        metavar='PLAN', help=f"sessions of the peer's: {', '.join(PLANS)}")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix='ccs2-'))
    try:
        if options.sessions:
            measure(folder, options.sessions, options.loops)
        if not options.peer_plans:
            return 0
        if why := peer.missing():
            print(f'\nno independent car: {why}')
        else:
            measure_peer(options.peer_plans, options.peer_loops)
    except (StationError, PeerError, PkiError) as error:
        print(f'failed: {error}', file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == '__main__':
    sys.exit(main())
