"""The process of the emulated modules, of one output or of a cabinet that connectors share.

``ros2 run ccs2_sim can_modules --help``.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import signal
import sys
from collections.abc import Sequence

from ccs2_power.hal import DriverError
from ccs2_sim.can_modules.cabinet import Cabinet
from ccs2_sim.can_modules.dialects import DIALECTS
from ccs2_sim.can_modules.server import ModuleServer
from ccs2_sim.can_modules.shared import SharedModules
from ccs2_sim.plant.client import PlantRefusal


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog='can_modules', description=__doc__)
    parser.add_argument('--protocol', choices=DIALECTS, required=True)
    parser.add_argument('--modules', default='1,2,3,4', help='addresses, separated by commas')
    parser.add_argument('--interface', default='udp_loopback', help="python-can's name of the bus")
    parser.add_argument('--channel', default='modules', help='name of the bus, e.g. vcan0')
    parser.add_argument('--plant', default='', help="the plant's Unix socket")
    parser.add_argument('--outputs', type=_outputs, help='instead of --plant, for a cabinet that '
                        'connectors share: connector=socket of its plant, by commas')
    parser.add_argument('--relays', help="the socket of that cabinet's relays")
    # A launch file adds ROS arguments, which mean nothing here.
    known, _ = parser.parse_known_args(words)
    if bool(known.outputs) is not bool(known.relays):
        parser.error('--outputs and --relays need each other')
    return known


def _outputs(text: str) -> list[tuple[str, str]]:
    found = []
    for part in text.split(','):
        connector, separator, socket = part.partition('=')
        if not (connector and separator and socket):
            raise argparse.ArgumentTypeError(f'{part!r} is not CONNECTOR=SOCKET')
        found.append((connector, socket))
    return found


async def _serve(options: argparse.Namespace) -> int:
    try:
        addresses = [int(part, 0) for part in options.modules.split(',')]
        cabinet = Cabinet(DIALECTS[options.protocol], addresses)
    except ValueError as error:
        sys.stderr.write(f'can_modules: --modules {options.modules}: {error}\n')
        return 2
    server: ModuleServer | SharedModules
    if options.outputs:
        server = SharedModules(
            cabinet, options.interface, options.channel, dict(options.outputs), options.relays)
    else:
        server = ModuleServer(cabinet, options.interface, options.channel, options.plant)
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    opening = loop.create_task(server.open())
    stopping = loop.create_task(stopped.wait())
    await asyncio.wait([opening, stopping], return_when=asyncio.FIRST_COMPLETED)
    code = 0
    try:
        if opening.done():
            await opening
            sys.stdout.write(f'{options.protocol} modules {options.modules} on '
                             f'{options.interface} {options.channel}\n')
            sys.stdout.flush()
            gc.collect()
            gc.freeze()
            await stopping
    except (DriverError, PlantRefusal, OSError) as error:
        sys.stderr.write(f'can_modules: {error}\n')
        code = 1
    finally:
        opening.cancel()
        stopping.cancel()
        await server.close()
    return code


def main(words: Sequence[str] | None = None) -> int:
    """Run the modules until SIGINT or SIGTERM; return 0 unless they could not start."""
    os.umask(0o077)
    return asyncio.run(_serve(_arguments(words)))


if __name__ == '__main__':
    sys.exit(main())
