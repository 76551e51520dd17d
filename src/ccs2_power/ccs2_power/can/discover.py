"""Find the modules on a CAN bus: ``ros2 run ccs2_power discover_modules``.

It only asks. What answers is for the configured list of modules, which nothing joins by itself.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence

from ccs2_power.can.bus import CanBus
from ccs2_power.can.frame import Frame
from ccs2_power.can.protocol import ModuleProtocol, Quantity
from ccs2_power.can.protocols import PROTOCOLS
from ccs2_power.hal import DriverError

#: Time between two questions and after the last one, in s.
PACE, PATIENCE = 0.005, 0.5

Found = dict[int, dict[Quantity, float]]


async def discover(
    protocol: ModuleProtocol, interface: str, channel: str, bit_rate: int,
) -> Found:
    """Ask all addresses for what is read in every cycle; return who has answered what."""
    found: Found = {}

    def hear(frame: Frame) -> None:
        told = protocol.decode(frame)
        if told is not None:
            found.setdefault(told.address, {}).update(told.values)

    bus = CanBus(interface, channel, bit_rate, hear)
    bus.open()
    try:
        for address in protocol.addresses:
            for register in (*protocol.queries, *protocol.rarely):
                bus.send([protocol.read(address, register)])
                await asyncio.sleep(PACE)
        await asyncio.sleep(PATIENCE)
    finally:
        bus.close()
    if bus.problem:
        raise DriverError(bus.problem)
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return 0 if a module was found."""
    parser = argparse.ArgumentParser(prog='discover_modules', description=__doc__)
    parser.add_argument('protocol', choices=PROTOCOLS)
    parser.add_argument('channel', help='e.g. can0')
    parser.add_argument('--interface', default='socketcan', help="python-can's name of the bus")
    parser.add_argument('--bit-rate', type=int, help='bit/s, where the bus is not set up already')
    chosen = parser.parse_args(arguments)
    protocol = PROTOCOLS[chosen.protocol]
    try:
        found = asyncio.run(discover(
            protocol, chosen.interface, chosen.channel, chosen.bit_rate or protocol.bit_rate))
    except DriverError as error:
        sys.stderr.write(f'discover_modules: {error}\n')
        return 2
    for address, values in sorted(found.items()):
        shown = ', '.join(f'{quantity.name.lower()} {value:.1f}'
                          for quantity, value in values.items())
        sys.stdout.write(f'{address}: {shown}\n')
    if found:
        sys.stdout.write(f'modules={",".join(map(str, sorted(found)))}\n')
        return 0
    sys.stdout.write('no module has answered\n')
    return 1


if __name__ == '__main__':
    sys.exit(main())
