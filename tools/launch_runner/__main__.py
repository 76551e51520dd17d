"""Command line of the launch runner."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from pathlib import Path

from ament_index_python.packages import get_package_share_directory

from launch_runner.loader import Argument, Plan, declared, load
from launch_runner.processes import Supervisor
from launch_runner.substitution import LaunchError

EPILOG = """\
exit status: 0 all processes ended as told; 1 one of them failed; 2 the launch file or an argument
is wrong and nothing was started
"""


def find(words: list[str]) -> Path:
    """Return the launch file named by a path, or by a package and a file name."""
    match words:
        case [path]:
            return Path(path).resolve()
        case [package, file]:
            try:
                return Path(get_package_share_directory(package), 'launch', file)
            except LookupError:
                raise LaunchError(f"package '{package}' is not built or not sourced") from None
    raise LaunchError('name one launch file: PATH, or PACKAGE FILE')


def show(arguments: dict[str, Argument]) -> str:
    """Return a table of a launch file's arguments."""
    lines = []
    for name, (default, description, choices) in arguments.items():
        lines.append(f"{name}:={'(required)' if default is None else default}")
        lines.append(f'    {description}')
        if choices:
            lines.append(f"    one of: {', '.join(choices)}")
    return '\n'.join(lines)


def main(words: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(
        prog='tools/launch', description='Run an XML launch file of this workspace.',
        epilog=EPILOG)
    parser.add_argument('target', nargs='+', metavar='PACKAGE FILE | PATH | NAME:=VALUE')
    parser.add_argument('-s', '--show-args', action='store_true',
                        help="show the launch file's arguments and end")
    options = parser.parse_args(words)
    given = dict(word.split(':=', 1) for word in options.target if ':=' in word)
    try:
        path = find([word for word in options.target if ':=' not in word])
        if options.show_args:
            print(show(declared(path)))
            return 0
        plan = load(path, given, os.environ)
    except LaunchError as error:
        print(f'launch: {error}', file=sys.stderr)
        return 2
    return asyncio.run(_run(plan))


async def _run(plan: Plan) -> int:
    def log(line: str) -> None:
        print(line, flush=True)

    for message in plan.messages:
        log(f'[INFO] [launch]: {message}')
    supervisor = Supervisor(plan.processes, log)
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, supervisor.stop)
    return await supervisor.run()


if __name__ == '__main__':
    sys.exit(main())
