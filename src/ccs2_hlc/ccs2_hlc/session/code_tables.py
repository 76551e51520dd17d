"""`docs/response-codes.md`, generated from the tables that decide the codes.

``python -m ccs2_hlc.session.code_tables FILE`` writes it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from enum import Enum
from pathlib import Path
from types import ModuleType

from . import din_codes, iso2_codes, iso20_codes
from .triggers import CAUSES, Trigger

_HEAD = """\
# Response codes

Every response code that the station sends has a named trigger, and every trigger of the sessions
maps to one code per protocol. This page is generated from those tables by
`python -m ccs2_hlc.session.code_tables docs/response-codes.md`; a test keeps it current.

A WARNING leaves the session as it is. Every FAILED code ends it: energy is taken away first, then
the response is sent, then the connection is closed and the pilot oscillator goes off. An emergency
shutdown switches the oscillator off at once. What has happened is in the `session` topic
(`message`, `stop_reason`, `faults`).

Checks are made in this order: request allowed now, session id, state of the station, content.
"""

_NEGOTIATION = """\
## SupportedAppProtocol

| code | trigger |
| --- | --- |
| `OK_SuccessfulNegotiation` | the vehicle's first choice among what the station serves here |
| `OK_SuccessfulNegotiationWithMinorDeviation` | the same, with another minor version |
| `Failed_NoNegotiation` | `no_common_protocol`: no offer fits the station and this connection |
"""

_POSITIVE = {
    Trigger.ACCEPTED: 'request is in order',
    Trigger.NEW_SESSION: 'a session is opened; its id is always a new one',
    Trigger.SESSION_JOINED: 'the session that the vehicle has paused goes on',
    Trigger.CERTIFICATE_EXPIRES_SOON: 'contract is in order, its certificate expires soon',
    Trigger.TOLERANCE_CONFIRMED: 'vehicle keeps to its profile within the offered tolerance',
}
_PROTOCOLS = {
    'DIN SPEC 70121': din_codes, 'ISO 15118-2': iso2_codes,
    'ISO 15118-20, DC': iso20_codes}
#: Columns that a protocol's truth table may have: field, element of the messages.
_ELEMENTS = {
    'status': 'EVSEStatusCode', 'isolation': 'EVSEIsolationStatus',
    'processing': 'EVSEProcessing'}


def markdown() -> str:
    """Return the whole page."""
    parts = [_HEAD, _NEGOTIATION]
    for name, tables in _PROTOCOLS.items():
        parts += [f'## {name}\n', _codes(tables), _never_sent(tables), _truth(tables)]
    return '\n'.join((*parts, _silent()))


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ['---'] * len(head), *rows]
    return '\n'.join('| ' + ' | '.join(line) + ' |' for line in lines) + '\n'


def _codes(tables: ModuleType) -> str:
    codes: type[Enum] = type(next(iter(tables.NEVER_SENT)))
    order = {code: number for number, code in enumerate(codes)}
    told = 'status' in _columns(tables)
    rows = []
    for trigger, code in sorted(tables.CODES.items(), key=lambda item: order[item[1]]):
        cause = CAUSES.get(trigger)
        fatal = cause if code.value.startswith('FAILED') else None
        row = [
            f'`{code.value}`',
            f'`{trigger.value}`',
            _POSITIVE[trigger] if cause is None else cause.text,
            ', '.join(tables.RESPONSES.get(trigger, ('any',))),
            '-' if fatal is None else fatal.shutdown.name.lower()]
        if told:
            row.append(
                '-' if fatal is None else f'`{tables.TRUTH[fatal.condition].status.value}`')
        rows.append(row)
    head = ('code', 'trigger', 'what has happened', 'responses', 'shutdown')
    return _table((*head, _ELEMENTS['status']) if told else head, rows)


def _columns(tables: ModuleType) -> dict[str, str]:
    """Return the elements by which a protocol's responses tell the station's condition."""
    row = next(iter(tables.TRUTH.values()))
    return {name: element for name, element in _ELEMENTS.items() if hasattr(row, name)}


def _never_sent(tables: ModuleType) -> str:
    rows = [(f'`{code.value}`', why) for code, why in tables.NEVER_SENT.items()]
    return 'Codes of the schema that no station sends:\n\n' + _table(('code', 'why'), rows)


def _truth(tables: ModuleType) -> str:
    def name(value: Enum | None) -> str:
        return 'as measured' if value is None else f'`{value.value}`'

    columns = _columns(tables)
    rows = [
        (condition.value, *(name(getattr(row, column)) for column in columns))
        for condition, row in tables.TRUTH.items()]
    return 'What responses say about the station, by condition:\n\n' + _table(
        ('condition', *columns.values()), rows)


def _silent() -> str:
    rows = [
        (f'`{trigger.value}`', cause.text, cause.shutdown.name.lower())
        for trigger, cause in CAUSES.items() if cause.silent]
    return (
        '## Ends without a response\n\nThe connection is closed, or has been closed, without an '
        'answer:\n\n' + _table(('trigger', 'what has happened', 'shutdown'), rows))


if __name__ == '__main__':
    Path(sys.argv[1]).write_text(markdown(), encoding='utf-8')
