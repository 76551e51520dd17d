"""The fault matrix: every fault in every stage, in a running station; prints what followed.

``python -m station.faults --write`` renews docs/fault-matrix.md.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import re
import signal
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from domain_coordinator import domain_id
from rich.console import Console

from ccs2_interfaces.action import Charge
from station import fault_cases
from station.fault_bench import REACHED, SILENCE, FaultBench, Outcome, Setting, running, timing
from station.fault_cases import Fault
from station.processes import StationError

OUTPUT = Path('demo') / 'faults'
PAGE = Path('docs') / 'fault-matrix.md'
BEFORE = 'before plug-in'
#: A case is begun anew if its stage is not reached: a machine with other work may spoil a charge.
ATTEMPTS = 3
#: Before plug-in a fault is there so long before the car, and the car is given so long, in s.
BEFOREHAND, LOOKED_AT = 0.5, 9.0


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the matrix: one kind of station."""

    name: str
    title: str
    setting: Setting
    faults: dict[str, tuple[Fault, ...]]


PARTS = (
    Part('station', 'DIN SPEC 70121, simulated supply', Setting(), fault_cases.STATION),
    Part('can', 'DIN SPEC 70121, DC modules on an emulated CAN bus', Setting(power='infy'),
         fault_cases.CAN),
    Part('iso20', 'ISO 15118-20 over TLS 1.3',
         Setting(protocol=Charge.Goal.PROTOCOL_ISO_15118_20_DC, tls=True), fault_cases.ISO20),
    Part('clock', "All nodes on the graph's clock, which jumps", Setting(clock=True),
         fault_cases.CLOCK),
)


@dataclass(slots=True)
class Row:
    """One case as it was seen."""

    stage: str
    fault: Fault
    outcome: Outcome
    unsafe: list[str] = field(default_factory=list)
    """What must never be."""
    late: list[str] = field(default_factory=list)
    """What took longer than it may."""


def cases(part: Part, stages: Sequence[str]) -> Iterator[tuple[str, Fault]]:
    """Return the cases of a part of the matrix, in order."""
    for stage, faults in part.faults.items():
        if stage in stages:
            for fault in faults:
                yield stage, fault


def run_case(bench: FaultBench, stage: str, fault: Fault, silence: float) -> Row:
    """Run one case; raise :class:`StationError` if the stage is not reached."""
    for attempt in range(ATTEMPTS):
        try:
            row = (_present_before if stage == BEFORE else _struck)(bench, stage, fault, silence)
        except StationError:
            bench.recover()
            if attempt == ATTEMPTS - 1:
                raise
        else:
            bench.recover()
            return row
    raise StationError(f'{stage}, {fault.name}: not reached')


def _struck(bench: FaultBench, stage: str, fault: Fault, silence: float) -> Row:
    bench.plug_in(fault.misbehaviour)
    bench.reach(REACHED[stage], stage)
    before = bench.state
    begin = bench.strike(fault)
    if fault.bound is None:
        bench.connector.spin(2.0)
        row = Row(stage, fault, bench.outcome(begin, before))
        if not bench.energised:
            row.unsafe.append('the charge did not go on')
        return row
    safe = _safe_within(fault, silence)
    bench.settle(safe + 3.0)
    row = Row(stage, fault, bench.outcome(begin, before))
    if bench.energised:
        row.unsafe.append('still energised')
    _judge(row, fault, silence)
    return row


def _present_before(bench: FaultBench, stage: str, fault: Fault, silence: float) -> Row:
    """Put the fault in, let a car come, see that nothing is ever energised; then that it can be."""
    before = bench.state
    begin = bench.strike(fault)
    bench.connector.spin(BEFOREHAND + fault.tolerated)
    bench.plug_in()
    closed = False

    def over() -> bool:
        nonlocal closed
        closed |= bench.energised
        return bench.charge_ended or closed

    with contextlib.suppress(StationError):
        bench.connector.wait(over, LOOKED_AT, 'the end of the visit')
    row = Row(stage, fault, bench.outcome(begin, before))
    if closed:
        row.unsafe.append('energised')
    _judge_codes(row, fault)
    bench.recover()
    # The control: without the fault the same station energises.
    bench.plug_in()
    bench.reach(REACHED['cable check'], 'cable check')
    control = bench.state
    row.outcome.voltage = control['voltmeter']['voltage']
    row.outcome.current = control['meter']['current']
    return row


def _safe_within(fault: Fault, silence: float) -> float:
    bound = fault.bound
    if bound is None:
        return math.inf
    return fault.tolerated + (silence if bound.safe is None else bound.safe)


def _judge(row: Row, fault: Fault, silence: float) -> None:
    outcome, bound = row.outcome, fault.bound
    if bound is None:
        return
    if fault.output and not outcome.output_off:
        row.unsafe.append('the supply is still on')
    if math.isnan(outcome.no_current):
        row.unsafe.append('current still flows')
    if math.isnan(outcome.opened):
        row.unsafe.append('contactors are still closed')
    _judge_codes(row, fault)
    safe = _safe_within(fault, silence)
    first = safe if bound.command is None else fault.tolerated + bound.command
    for what, value, most in (('command', outcome.command, first),
                              ('no current', outcome.no_current, safe),
                              ('open contactors', outcome.opened, safe)):
        if not value <= most and not math.isnan(value):
            row.late.append(f'{what} after {1e3 * value:.0f} ms instead of {1e3 * most:.0f} ms')


def _judge_codes(row: Row, fault: Fault) -> None:
    if fault.codes and not fault.codes & set(row.outcome.codes):
        row.unsafe.append(f'none of {", ".join(sorted(fault.codes))} is reported')


def milliseconds(value: float) -> str:
    """Return a time in s for a table."""
    return '-' if math.isnan(value) else f'{1e3 * value:.0f} ms'


def cells(row: Row, silence: float) -> list[str]:
    """Return a row of the printed table."""
    outcome, fault = row.outcome, row.fault
    at = f'{outcome.voltage:.0f} V, {outcome.current:.0f} A'
    goes_on, before = fault.bound is None, row.stage == BEFORE
    times = ['-'] * 3 if before or goes_on else [
        milliseconds(value) for value in (outcome.command, outcome.no_current, outcome.opened)]
    allowed = ('never energised' if before else 'goes on' if goes_on else
               f'{1e3 * _safe_within(fault, silence):.0f} ms')
    verdict = '; '.join([*row.unsafe, *row.late]) or 'ok'
    return [row.stage, fault.name, at, *times, allowed,
            ', '.join(outcome.codes[:3]) or 'none', verdict]


HEADERS = ('stage', 'fault', 'control', 'first command', 'no current', 'contactors open',
           'allowed', 'reported', 'verdict')


def table(rows: Sequence[Row], silence: float) -> list[str]:
    """Return the lines of a table in Markdown."""
    lines = ['| ' + ' | '.join(HEADERS) + ' |', '|---' * len(HEADERS) + '|']
    return lines + ['| ' + ' | '.join(cells(row, silence)) + ' |' for row in rows]


def run_part(
    part: Part, realtime: bool, stages: Sequence[str], only: str, console: Console,
) -> list[Row]:
    """Run a part of the matrix and print its rows as they come."""
    left = deque((stage, fault) for stage, fault in cases(part, stages)
                 if re.search(only, f'{stage}: {fault.name}'))
    silence, rows = SILENCE[realtime], list[Row]()
    while left:
        with domain_id() as domain, running(
                part.setting, OUTPUT / part.name, timing(realtime), domain) as bench:
            if realtime:
                bench.require_realtime()
            while left:
                stage, fault = left.popleft()
                try:
                    row = run_case(bench, stage, fault, silence)
                except StationError as error:
                    row = Row(stage, fault, Outcome(math.nan, math.nan), [f'not seen: {error}'])
                rows.append(row)
                console.print(' | '.join(cells(row, silence)), highlight=False, soft_wrap=True)
                if row.unsafe:
                    # Whatever it was, the next case gets another station.
                    break
    return rows


def main(words: list[str] | None = None) -> int:
    """Run the matrix; return 0 if nothing stayed energised, was not told, or came too late."""
    parser = argparse.ArgumentParser(description='The fault matrix of a running station.')
    parser.add_argument('--mode', choices=('realtime', 'plain', 'both'), default='both',
                        help='with real-time priority (needs CAP_SYS_NICE), without, or both')
    parser.add_argument('--part', choices=[part.name for part in PARTS])
    parser.add_argument('--only', default='', help='regular expression for "stage: fault"')
    parser.add_argument('--write', action='store_true', help=f'write {PAGE}')
    chosen = parser.parse_args(words)
    # Whoever ends this run ends the station, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    console, bad = Console(), 0
    pages: list[str] = []
    for realtime in (True, False):
        if chosen.mode not in ('both', 'realtime' if realtime else 'plain'):
            continue
        # Without priority the stage in which most can be lost is enough.
        stages = fault_cases.STAGES if realtime else ('charging',)
        for part in PARTS:
            if chosen.part in (None, part.name):
                rows = run_part(part, realtime, stages, chosen.only, console)
                bad += sum(bool(row.unsafe or row.late) for row in rows)
                pages += section(part, realtime, rows)
    if chosen.write:
        write(pages)
    console.print(f'{bad} cases are not' if bad else 'all cases are', 'as they should be')
    return int(bad > 0)


def section(part: Part, realtime: bool, rows: Sequence[Row]) -> list[str]:
    """Return a part's section of the page."""
    if not rows:
        return []
    how = 'with real-time priority' if realtime else 'without real-time priority'
    return [f'## {part.title}, {how}', '', f'{len(rows)} cases.', '',
            *table(rows, SILENCE[realtime]), '']


def write(sections: Sequence[str]) -> None:
    """Renew the page's results; what stands before the first section is kept."""
    head, _, _ = PAGE.read_text().partition('\n## ')
    PAGE.write_text(head.rstrip('\n') + '\n\n' + '\n'.join(sections).rstrip('\n') + '\n')


if __name__ == '__main__':
    sys.exit(main())
