"""The independent car over a veth pair: at this station, and at the station it comes with.

Two network namespaces stand for the two ends of the charging cable; each run makes them and
removes them again. Needs root and Java (the peer's EXI codec). Run as a program, this is the part
that runs in the station's namespace.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import peer_certificates
from ccs2_sim.car.vehicle import PlantVehicle
from ccs2_sim.evcc.vehicle import Wish
from peer_environment import PeerError, interpreter
from peer_plans import PLANS
from station.connector import Connector
from station.parameters import changed, direct_link
from station.processes import StationProcesses

NAME = 'iso15118 (Josev)'
#: The stations by what they are called on the command line of this program.
HERE, THERE = 'this station', 'its own station'
#: Network interfaces of the two ends.
STATION_END, CAR_END = 'ccs2secc', 'ccs2evcc'
#: V that the peer asks for, and s that a whole session may take.
VOLTAGE = 400
PATIENCE = 180.0
#: V across the car's contactors, and for how long in s, at which they close.
CLOSE_ENOUGH, SETTLED = 15.0, 0.3
#: Less than this is no current, in A; and after this long in s it is no inrush.
NO_CURRENT, FLOWS = 0.5, 1.0
#: Options of the car's Java: a session is too short for more than the first compiler.
JVM = '-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xmx256m'
#: What energy costs at this station, and what it is worth there.
TARIFF = """\
currency: EUR
language: eng
steps:
- {start: 0, price: 0.59}
discharge:
- {start: 0, price: 0.31}
"""
#: s without a car between two sessions.
GONE = 2.0


@dataclass(frozen=True)
class Outcome:
    """What the car tells of one session."""

    #: Why it did not complete as planned; empty if it did.
    problem: str
    #: Response times in s by name of the response.
    latencies: dict[str, list[float]]
    #: J that its battery has taken, by the simulated world; 0 at its own station.
    energy: float = 0.0


def missing() -> str:
    """Return what is missing to run the peer, '' if nothing."""
    if os.geteuid() != 0:
        return 'root is needed for network namespaces'
    for program in ('ip', 'java', 'openssl'):
        if shutil.which(program) is None:
            return f'{program} is not installed'
    try:
        interpreter()
    except PeerError as error:
        return str(error)
    return ''


def measure(station: str, plans: Sequence[str], loops: int) -> dict[str, Outcome]:
    """Let the car drive sessions of :data:`PLANS` at a station; return the outcome of each.

    Raises :class:`PeerError` if there can be no namespaces or certificates for them.
    """
    with namespaces() as (station_space, car_space), \
            tempfile.TemporaryDirectory(prefix='ccs2-') as directory:
        folder = Path(directory)
        peer_certificates.make(folder)
        command = ['ip', 'netns', 'exec', station_space, sys.executable, __file__, station,
                   car_space, str(loops), directory, *plans]
        done = subprocess.run(command, capture_output=True, text=True,
                              timeout=(len(plans) + 1) * PATIENCE)
        return {plan: report(folder, plan, f'{done.stdout[-6000:]}\n{done.stderr[-2000:]}')
                for plan in plans}


def report(folder: Path, plan: str, log: str) -> Outcome:
    """Read what the car has reported of a session; a problem is told with the log."""
    file = folder / f'{plan}.json'
    if not file.exists():
        return Outcome(f'the car did not report\n{log}', {})
    told = json.loads(file.read_text())
    return Outcome(told['problem'] and f"{told['problem']}\n{log}", told['latencies'],
                   told.get('energy', 0.0))


@contextlib.contextmanager
def namespaces() -> Iterator[tuple[str, str]]:
    """Join two network namespaces by a veth pair; yield those of the station and of the car."""
    def ip(*words: str) -> None:
        done = subprocess.run(['ip', *words], capture_output=True, text=True)
        if done.returncode:
            raise PeerError(f"ip {' '.join(words)}: {done.stderr.strip()}")

    station, car = (f'ccs2_{end}_{os.getpid()}' for end in ('secc', 'evcc'))
    try:
        for name in (station, car):
            ip('netns', 'add', name)
            for setting in ('all', 'default'):
                # No duplicate address detection: the link-local address is usable at once.
                subprocess.run(['ip', 'netns', 'exec', name, 'sysctl', '-qw',
                                f'net.ipv6.conf.{setting}.accept_dad=0'], check=False)
        ip('link', 'add', STATION_END, 'netns', station, 'type', 'veth',
           'peer', 'name', CAR_END, 'netns', car)
        for name, end in ((station, STATION_END), (car, CAR_END)):
            ip('-n', name, 'link', 'set', 'lo', 'up')
            ip('-n', name, 'link', 'set', end, 'up')
        yield station, car
    finally:
        for name in (station, car):
            subprocess.run(['ip', 'netns', 'del', name], capture_output=True, check=False)


# What runs in the station's namespace.


@dataclass(frozen=True)
class Run:
    """What the program was called with."""

    station: str
    #: The car's network namespace.
    car: str
    loops: int
    folder: Path
    plans: Sequence[str]

    async def drive(self, plan: str, voltage: int) -> None:
        """Let the peer's car drive one session in its namespace."""
        car = await asyncio.create_subprocess_exec(
            'ip', 'netns', 'exec', self.car, str(interpreter()),
            str(Path(__file__).with_name('peer_car.py')), CAR_END, json.dumps(asdict(PLANS[plan])),
            str(self.loops), str(voltage), str(self.folder / peer_certificates.PEER),
            str(self.folder / f'{plan}.json'),
            env={**os.environ, 'JAVA_TOOL_OPTIONS': JVM})
        try:
            await asyncio.wait_for(car.wait(), PATIENCE)
        except TimeoutError:
            car.kill()
            await car.wait()

    def note(self, plan: str, **more: float) -> None:
        """Add to what the car has reported of a session."""
        file = self.folder / f'{plan}.json'
        if file.exists():
            file.write_text(json.dumps({**json.loads(file.read_text()), **more}))

    @property
    def completed(self) -> bool:
        """Tell whether every session has completed."""
        reports = [self.folder / f'{plan}.json' for plan in self.plans]
        return all(report.exists() and not json.loads(report.read_text())['problem']
                   for report in reports)


def parameters(folder: Path) -> Path:
    """Return the folder of this station's parameter files.

    Its certificates are the peer's, which are P-256 for ISO 15118-20, too. That car wants prices
    with its schedule, and two directions.
    """
    tariff = folder / 'tariff.yaml'
    tariff.write_text(TARIFF)
    return changed(folder / 'config', [
        *direct_link(STATION_END),
        # 3.66 V a cell at half charge, so a few V less than the peer's car always asks for.
        ('plant.yaml', 'battery.cells: 96.0', f'battery.cells: {VOLTAGE / 3.7:.1f}'),
        ('v2g_transport.yaml', 'security: none                 # TCP only',
         'security: car\n    accept_p256_with_tls_1_3: true'),
        ('hlc.yaml', '    authorization: automatic\n',
         '    authorization: automatic\n    contract_payment: local\n    accept_p256: true\n'
         # The peer's car on a busy machine is slower than ISO 15118-20 has it.
         '    sequence_timeout_charge_loop_iso20: 5.0\n'
         f'    tariff_file: {tariff}\n'),
        ('plant.yaml', 'supply.maximum_power:', 'supply.maximum_discharge_current: 50.0\n'
         '    supply.maximum_discharge_power: 20.0e+3\n    supply.maximum_power:'),
        ('power.yaml', 'rated_voltage:', 'maximum_discharge_current: 50.0\n'
         '    maximum_discharge_power: 20.0e+3\n    rated_voltage:')])


async def charge_here(run: Run) -> None:
    """Run the peer's car at this station, with a body for it in the simulated world."""
    folder = run.folder
    processes = StationProcesses(arguments={
        'run_directory': folder / 'run', 'config': parameters(folder),
        'store': folder / peer_certificates.STORE})
    try:
        with Connector() as connector:
            connector.wait_until_ready()
        for plan in run.plans:
            vehicle = PlantVehicle(str(folder / 'run/connector_1.sock'))
            body = Body(vehicle)
            await vehicle.open(body.follow)
            body.plug_in()
            await run.drive(plan, VOLTAGE)
            # The world counts from when the plug went in.
            run.note(plan, energy=vehicle.state.energy)
            body.unplug()
            await asyncio.sleep(GONE)
            await vehicle.close()
        if not run.completed:
            print('\n'.join(processes.lines))
    finally:
        processes.stop()


class Body:
    """Battery, pilot and contactors for a car that is only a protocol stack.

    It becomes ready when the station offers digital communication, closes its contactors when the
    voltages have met for a while (in the cable check they only pass each other), and opens them
    when a current that has flowed for a while (more than an inrush) has gone.
    """

    def __init__(self, vehicle: PlantVehicle) -> None:
        self._vehicle = vehicle
        self._plugged = self._closed = self._flowed = False
        self._met = self._began = math.inf

    def plug_in(self) -> None:
        """Put the plug in, with a battery at half charge."""
        self._plugged = True
        self._vehicle.wish(Wish(), 0.5)

    def unplug(self) -> None:
        """Pull the plug."""
        self._plugged = False
        self._vehicle.wish(Wish(plugged=False))

    def follow(self) -> None:
        """React to what the car's sensors say."""
        if not self._plugged:
            return
        state = self._vehicle.state
        digital = state.duty is not None and 0.03 < state.duty < 0.07
        now = asyncio.get_running_loop().time()
        self._began = min(self._began, now) if state.current > NO_CURRENT else math.inf
        self._flowed = self._flowed or now - self._began > FLOWS
        near = abs(state.voltage - state.battery_voltage) < CLOSE_ENOUGH
        self._met = min(self._met, now) if near else math.inf
        if not self._flowed and now - self._met > SETTLED:
            self._closed = True
        elif self._flowed and abs(state.current) < NO_CURRENT:
            self._closed = False
        ready = digital and not (self._flowed and not self._closed)
        self._vehicle.wish(Wish(
            load='C' if ready else 'B', contactors=self._closed))


async def charge_there(run: Run) -> None:
    """Run the peer's car at the peer's own station, started anew for each session."""
    for name in run.plans:
        plan = PLANS[name]
        environment = {
            **os.environ, 'NETWORK_INTERFACE': STATION_END, 'LOG_LEVEL': 'ERROR',
            'PROTOCOLS': plan.protocol, 'AUTH_MODES': 'PNC' if plan.contract else 'EIM',
            'SECC_ENFORCE_TLS': str(bool(plan.tls)), 'ENABLE_TLS_1_3': str(plan.tls == 'TLSv1.3'),
            'PKI_PATH': f'{run.folder / peer_certificates.PEER}/', 'MESSAGE_LOG_JSON': 'False'}
        station = await asyncio.create_subprocess_exec(
            str(interpreter()), '-m', 'iso15118.secc.main', cwd=run.folder, env=environment)
        try:
            # It has no sign of being ready; its car asks by SDP for 12 s.
            await asyncio.sleep(2.0)
            await run.drive(name, 0)
        finally:
            station.terminate()
            await station.wait()


def main(station: str, car: str, loops: str, folder: str, *plans: str) -> int:
    """Run the sessions; return 1 if one did not complete."""
    run = Run(station, car, int(loops), Path(folder), plans)
    asyncio.run({HERE: charge_here, THERE: charge_there}[station](run))
    return 0 if run.completed else 1


if __name__ == '__main__':
    sys.exit(main(*sys.argv[1:]))
