"""Write docs/interfaces.md from the message, service and action files of ccs2_interfaces.

Without an option it only tells whether the page is current (exit status 1 if not); `--write`
writes it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
INTERFACES = ROOT / 'src' / 'ccs2_interfaces'
PAGE = ROOT / 'docs' / 'interfaces.md'
#: folder, heading, names of the parts that `---` separates
KINDS = (
    ('msg', 'Messages', ('',)),
    ('srv', 'Services', ('Request', 'Response')),
    ('action', 'Actions', ('Goal', 'Result', 'Feedback')),
)
#: A comment that starts with one of these gives the unit of its field.
UNITS = ('V', 'A', 'W', 'J', 's', 'ohm', 'dB', 'degC', 'ratio 0..1')
LINE = re.compile(
    r'(?P<type>[A-Za-z][\w/]*(?:<=\d+)?(?:\[(?:<=)?\d*\])?)\s+(?P<name>\w+)'
    r'\s*(?:=\s*(?P<value>[^#]*?))?\s*(?:#\s*(?P<comment>.*))?')

HEAD = """\
# Interfaces

Every message, service and action of the station. All values are in SI units, and the sign
convention is that current, power and energy are positive into the vehicle. A value that is not
measured or not known is NaN, never 0. The value 0 of an enumeration means unknown or none.

Which node publishes what, and with which quality of service, stands in the
[architecture](architecture.md#the-graph).

<!-- Written by `make docs` from src/ccs2_interfaces; a test keeps it current. -->
"""


@dataclass
class Entry:
    """A field, or a constant if it has a value."""

    type: str
    name: str
    value: str | None
    comment: str


@dataclass
class Part:
    """The fields and constants of a message, or of one part of a service or action.

    A paragraph of comments that stands before fields is the heading of those.
    """

    text: str = ''
    groups: list[tuple[str, list[Entry]]] = field(default_factory=list)

    def entries(self) -> Iterator[Entry]:
        """Return all fields and constants in order."""
        for _, group in self.groups:
            yield from group


class InterfaceError(Exception):
    """A line of an interface file that is neither field, constant, comment nor separator."""


def parse(path: Path) -> list[Part]:
    """Return the parts of an interface file; raise :class:`InterfaceError` naming a bad line."""
    parts = [Part()]
    comments: list[str] = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        line, part = line.strip(), parts[-1]
        if line == '---':
            parts.append(Part())
            comments = []
        elif line.startswith('#'):
            comments.append(line.lstrip('# '))
        elif not line:
            if not part.groups and not part.text:
                part.text, comments = _paragraphs(comments), []
        else:
            match = LINE.fullmatch(line)
            if match is None:
                raise InterfaceError(f'{path}:{number}: cannot read {line!r}')
            if not part.groups and not part.text:
                part.text, comments = _paragraphs(comments), []
            if comments or not part.groups:
                part.groups.append((_paragraphs(comments), []))
                comments = []
            part.groups[-1][1].append(Entry(
                match['type'], match['name'], match['value'], match['comment'] or ''))
    if not parts[-1].groups and not parts[-1].text:
        parts[-1].text = _paragraphs(comments)
    return parts


def _paragraphs(lines: list[str]) -> str:
    return '\n\n'.join(paragraph.replace('\n', ' ').strip()
                       for paragraph in '\n'.join(lines).split('\n\n'))


def render(title: str, parts: list[Part], names: tuple[str, ...]) -> str:
    """Return the section of one interface."""
    out = [f'### {title}', '']
    for name, part in zip(names, parts, strict=True):
        if name:
            out += [f'**{name}**', '']
        if part.text:
            out += [part.text, '']
        entries = list(part.entries())
        if not any(entry.value is None for entry in entries):
            out += ['(no fields)', '']
        else:
            prefixes = {entry.name for entry in entries if entry.value is not None}
            out += ['| field | type | unit | meaning |', '|---|---|---|---|',
                    *_rows(part, False, '| | | | *{}* |', partial(_field, prefixes)), '']
        if any(entry.value is not None for entry in entries):
            out += ['| constant | value | meaning |', '|---|---|---|',
                    *_rows(part, True, '| | | *{}* |', _constant), '']
    return '\n'.join(out)


def _rows(
    part: Part, constants: bool, heading_row: str, row: Callable[[Entry], str],
) -> Iterator[str]:
    """Return the rows of the fields or of the constants, each heading before its first entry."""
    for heading, group in part.groups:
        if heading and (group[0].value is not None) is constants:
            yield heading_row.format(_cell(heading))
        for entry in group:
            if (entry.value is not None) is constants:
                yield row(entry)


def _field(constants: set[str], entry: Entry) -> str:
    unit, meaning = split_unit(entry.comment)
    prefix = entry.name.upper() + '_'
    if any(name.startswith(prefix) for name in constants):
        meaning = f'one of `{prefix}*`' + (f'; {meaning}' if meaning else '')
    return f'| `{entry.name}` | `{entry.type}` | {unit} | {_cell(meaning)} |'


def _constant(entry: Entry) -> str:
    return f'| `{entry.name}` | {entry.value} | {_cell(entry.comment)} |'


def split_unit(comment: str) -> tuple[str, str]:
    """Return unit and meaning of a field's comment.

    >>> split_unit('V at the output, NaN if not measured')
    ('V', 'at the output, NaN if not measured')
    """
    for unit in UNITS:
        if comment == unit or comment.startswith((unit + ' ', unit + ',')):
            return unit, comment[len(unit):].lstrip(', ')
    return '', comment


def _cell(text: str) -> str:
    return text.replace('|', '\\|').replace('\n\n', ' ')


def page() -> str:
    """Return the whole page."""
    out = [HEAD]
    for folder, heading, names in KINDS:
        paths = sorted((INTERFACES / folder).glob(f'*.{folder}'))
        links = ' · '.join(f'[{path.stem}](#{path.stem.lower()})' for path in paths)
        out += [f'## {heading}\n\n{links}\n']
        out += [render(path.stem, parse(path), names) for path in paths]
    return '\n'.join(out)


def difference(old: str, new: str) -> int:
    """Return the number of the first line that differs."""
    lines = list(zip(old.splitlines(), new.splitlines(), strict=False))
    return next((number for number, (a, b) in enumerate(lines, 1) if a != b), len(lines) + 1)


def main() -> int:
    """Write the page, or tell whether it is current."""
    new = page()
    old = PAGE.read_text() if PAGE.exists() else ''
    if '--write' in sys.argv:
        PAGE.write_text(new)
    elif old != new:
        print(f"{PAGE.relative_to(ROOT)}:{difference(old, new)}: not current; run 'make docs'")
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
