"""Put faults into a running plant, and look at it: ``ros2 run ccs2_sim plant_fault --help``."""

from __future__ import annotations

import argparse
import json
import socket
import sys
from collections.abc import Sequence

from ccs2_sim.plant.faults import FAULTS
from ccs2_sim.plant.server import CONTROL
from ccs2_sim.plant.wire import Decoder, Object, WireError, default_socket, encode

#: The plant answers at once; after this many s it is not there.
PATIENCE = 3.0


class ControlError(Exception):
    """The plant is not there, or refuses; the text says which."""


def control(path: str, request: Object) -> Object:
    """Send one control request to the plant on `path` and return its answer; blocks shortly.

    Raise :class:`ControlError` if there is no plant or if it refuses.
    """
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(PATIENCE)
            connection.connect(path)
            connection.sendall(encode({'device': CONTROL}) + encode(request))
            decoder, answers = Decoder(), list[Object]()
            while len(answers) < 2:
                data = connection.recv(65536)
                if not data:
                    break
                answers += decoder.feed(data)
    except (OSError, WireError) as error:
        raise ControlError(f'no plant on {path}: {error}') from None
    for answer in answers:
        if 'error' in answer:
            raise ControlError(answer['error'])
    if len(answers) < 2:
        raise ControlError(f'the plant on {path} has closed the connection')
    return answers[1]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(
        prog='plant_fault', description='Put faults into the simulated plant.',
        formatter_class=argparse.RawDescriptionHelpFormatter, epilog='faults:\n' + '\n'.join(
            f'  {fault.name:28}{fault.doc}' + (f' [{fault.argument}]' if fault.argument else '')
            for fault in FAULTS.values()))
    parser.add_argument('action', choices=('put', 'clear', 'state'))
    parser.add_argument('fault', nargs='?', default='', help="name, or 'all' to clear")
    parser.add_argument('argument', nargs='?', default='')
    parser.add_argument('--socket', default=default_socket(), help="the plant's Unix socket")
    options = parser.parse_args(arguments)
    request: Object = {}
    if options.action != 'state':
        if not options.fault:
            parser.error(f'{options.action} needs the name of a fault')
        request = {options.action: options.fault, 'argument': options.argument}
    try:
        answer = control(options.socket, request)
    except ControlError as error:
        sys.stderr.write(f'plant_fault: {error}\n')
        return 1
    shown = answer['state'] if options.action == 'state' else answer['state']['faults']
    sys.stdout.write(json.dumps(shown, indent=2) + '\n')
    return 0


if __name__ == '__main__':
    sys.exit(main())
