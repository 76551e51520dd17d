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
from collections.abc import Iterator
from pathlib import Path

from ccs2_sim.car.vehicle import PlantVehicle
from ccs2_sim.evcc.vehicle import Wish
from peer_environment import PeerError, interpreter
from station.connector import Connector
from station.parameters import changed, direct_link
from station.processes import StationProcesses

NAME = 'iso15118 (Josev), DIN SPEC 70121'
STATION, CAR = 'ccs2_station', 'ccs2_car'
#: Network interfaces of the two ends.
STATION_END, CAR_END = 'ccs2secc', 'ccs2evcc'
#: V that the peer asks for, and s that a whole session may take.
VOLTAGE = 400
PATIENCE = 180.0
#: V across the car's contactors, and for how long in s, at which they close.
CLOSE_ENOUGH, SETTLED = 15.0, 0.3
#: Less than this is no current, in A; and after this long in s it is no inrush.
NO_CURRENT, FLOWS = 0.5, 1.0

Latencies = dict[str, list[float]]


def missing() -> str:
    """Return what is missing to run the peer, '' if nothing."""
    if os.geteuid() != 0:
        return 'root is needed for network namespaces'
    for program in ('ip', 'java'):
        if shutil.which(program) is None:
            return f'{program} is not installed'
    try:
        interpreter()
    except PeerError as error:
        return str(error)
    return ''


def measure(loops: int) -> dict[str, Latencies]:
    """Return the response times in s by name of the response, for each of the two stations."""
    with namespaces():
        return {station: run(station, loops) for station in ('this station', 'its own station')}


@contextlib.contextmanager
def namespaces() -> Iterator[None]:
    """Join two network namespaces by a veth pair."""
    def ip(*words: str) -> None:
        done = subprocess.run(['ip', *words], capture_output=True, text=True)
        if done.returncode:
            raise PeerError(f"ip {' '.join(words)}: {done.stderr.strip()}")

    _remove_namespaces()
    try:
        for name in (STATION, CAR):
            ip('netns', 'add', name)
            for setting in ('all', 'default'):
                # No duplicate address detection: the link-local address is usable at once.
                subprocess.run(['ip', 'netns', 'exec', name, 'sysctl', '-qw',
                                f'net.ipv6.conf.{setting}.accept_dad=0'], check=False)
        ip('link', 'add', STATION_END, 'netns', STATION, 'type', 'veth',
           'peer', 'name', CAR_END, 'netns', CAR)
        for name, end in ((STATION, STATION_END), (CAR, CAR_END)):
            ip('-n', name, 'link', 'set', 'lo', 'up')
            ip('-n', name, 'link', 'set', end, 'up')
        yield
    finally:
        _remove_namespaces()


def _remove_namespaces() -> None:
    for name in (STATION, CAR):
        subprocess.run(['ip', 'netns', 'del', name], capture_output=True, check=False)


def run(station: str, loops: int) -> Latencies:
    """Run one session of the peer's car at one of the stations."""
    with tempfile.TemporaryDirectory(prefix='ccs2-') as folder:
        out = Path(folder, 'result.json')
        command = ['ip', 'netns', 'exec', STATION, sys.executable, __file__, station, str(loops),
                   str(out)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=2 * PATIENCE)
        if done.returncode or not out.exists():
            raise PeerError(f'{NAME} at {station}:\n{done.stdout[-4000:]}\n{done.stderr[-2000:]}')
        result: Latencies = json.loads(out.read_text())
        return result


# What runs in the station's namespace.


def car_command(loops: int, voltage: int, out: Path) -> list[str]:
    """Return how to run the peer's car in its namespace."""
    program = Path(__file__).with_name('peer_car.py')
    return ['ip', 'netns', 'exec', CAR, str(interpreter()), str(program), CAR_END, str(loops),
            str(voltage), str(out)]


async def charge_here(loops: int, out: Path) -> int:
    """Run the peer's car at this station, with a body for it in the simulated world."""
    folder = out.parent
    config = changed(folder / 'config', [
        *direct_link(STATION_END),
        # 3.66 V a cell at half charge, so a few V less than the peer's car always asks for.
        ('plant.yaml', 'battery.cells: 96.0', f'battery.cells: {VOLTAGE / 3.7:.1f}')])
    processes = StationProcesses(
        arguments={'run_directory': folder / 'run', 'config': config})
    try:
        with Connector() as connector:
            connector.wait_until_ready()
        vehicle = PlantVehicle(str(folder / 'run/connector_1.sock'))
        body = Body(vehicle)
        await vehicle.open(body.follow)
        body.plug_in()
        car = await asyncio.create_subprocess_exec(*car_command(loops, VOLTAGE, out))
        code = await asyncio.wait_for(car.wait(), PATIENCE)
        body.unplug()
        await asyncio.sleep(1.0)
        await vehicle.close()
        if code:
            print(processes.tail())
        return code
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


async def charge_there(loops: int, out: Path) -> int:
    """Run the peer's car at the peer's own station."""
    environment = {**os.environ, 'NETWORK_INTERFACE': STATION_END, 'SECC_ENFORCE_TLS': 'False',
                   'PROTOCOLS': 'DIN_SPEC_70121', 'AUTH_MODES': 'EIM', 'LOG_LEVEL': 'ERROR'}
    station = await asyncio.create_subprocess_exec(
        str(interpreter()), '-m', 'iso15118.secc.main', cwd=out.parent, env=environment)
    try:
        # It has no sign of being ready; its car asks by SDP for 12 s.
        await asyncio.sleep(2.0)
        car = await asyncio.create_subprocess_exec(*car_command(loops, 0, out))
        return await asyncio.wait_for(car.wait(), PATIENCE)
    finally:
        station.terminate()
        await station.wait()


if __name__ == '__main__':
    where, number, file = sys.argv[1:]
    session = charge_here if where == 'this station' else charge_there
    sys.exit(asyncio.run(session(int(number), Path(file))))
