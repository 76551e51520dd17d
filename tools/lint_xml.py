"""Check the XML files: all well-formed, packages and launch files by their own rules."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError, parse

from catkin_pkg.package import InvalidPackage, parse_package

from launch_runner.loader import check
from launch_runner.substitution import LaunchError

ROOT = Path(__file__).resolve().parent.parent


def files() -> list[Path]:
    """Return all XML files that belong to the workspace."""
    return sorted(path for top in ('src', 'launch') for path in (ROOT / top).rglob('*.xml'))


def launch_problems(path: Path) -> Iterator[str]:
    """Yield what is wrong with a launch file."""
    try:
        root = check(path)
    except LaunchError as error:
        yield str(error)
        return
    parents = {child: parent for parent in root.iter() for child in parent}
    for element in root.iter():
        if element.tag == 'arg' and parents[element].tag != 'include':
            yield from _argument_problems(element)
        if element.tag == 'include' and parents[element].tag != 'group':
            yield f'<include file="{element.get("file")}"> is not in a <group>: its arguments leak'


def _argument_problems(element: Element) -> Iterator[str]:
    if not element.get('description'):
        yield f"argument '{element.get('name')}' has no description"


def problems(path: Path) -> Iterator[str]:
    """Yield what is wrong with a file."""
    try:
        parse(path)
        if path.name == 'package.xml':
            parse_package(str(path))
    except (ParseError, InvalidPackage) as error:
        yield str(error)
        return
    if path.name.endswith('.launch.xml'):
        yield from launch_problems(path)


def main() -> int:
    """Print all problems; return 1 if there are any."""
    found = [f'{path.relative_to(ROOT)}: {problem}' for path in files()
             for problem in problems(path)]
    for line in found:
        print(line)
    return int(bool(found))


if __name__ == '__main__':
    sys.exit(main())
