"""Time to decode and to encode messages, to and from typed objects, beside other codecs.

Messages are recorded ones where a corpus lies beside the checkout, else drawn from the
declarations. The peer is Josev (iso15118 on PyPI, EXIficient in a Java process behind Python
objects), installed once into a virtual environment of its own in the user's cache.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from ccs2_hlc import exi
from ccs2_hlc.exi.sampling import Amount, Sampler
from ccs2_hlc.exi.schemas import messages
from peer_environment import interpreter

ROOT = Path(__file__).resolve().parents[1]
CORPUS = ROOT.parent / 'shared' / 'corpus' / 'exi.jsonl'
#: Wanted: every message of SupportedAppProtocol and DIN, the charge loops, certificates.
LOOPS = {
    ('iso2', 'CurrentDemandReq'), ('iso2', 'CurrentDemandRes'),
    ('iso20-dc', 'DC_ChargeLoopReq'), ('iso20-dc', 'DC_ChargeLoopRes'),
}
CERTIFICATES = {
    ('iso2', 'PaymentDetailsReq'), ('iso2', 'CertificateInstallationReq'),
    ('iso2', 'CertificateInstallationRes'), ('iso20-common', 'AuthorizationReq'),
    ('iso20-common', 'CertificateInstallationReq'),
}
#: What the project promises of the charge loops: µs each way.
LOOP_LIMIT = 5.0
ROW = '{:<14}{:<30}{:>7}{:>10}{:>10}{:>14}{:>14}'
IMPORT = """
import sys, time
start = time.perf_counter()
from ccs2_hlc import exi
from ccs2_hlc.exi.schemas import grammar
for schema in sys.argv[1:]:
    grammar(schema)
print(1e3 * (time.perf_counter() - start))
"""


class Vector(NamedTuple):
    """A message to measure with."""

    schema: str
    name: str
    data: bytes


def name_of(message: Any) -> str:
    """Return the standard's name of a message."""
    content = exi.to_json(message)
    name, value = next(iter(content.items()))
    return next(iter(value['Body']), 'no body') if name == 'V2G_Message' else name


def vectors() -> list[Vector]:
    """Return one message of each wanted kind."""
    found: dict[tuple[str, str], Vector] = {}
    for vector in [*recorded(), *drawn()]:
        key = vector.schema, vector.name
        wanted = vector.schema in ('sap', 'din') or key in LOOPS | CERTIFICATES
        known = found.get(key)
        # Of certificate messages the longest, of others the first.
        longer = key in CERTIFICATES and known and len(vector.data) > len(known.data)
        if wanted and (known is None or longer):
            found[key] = vector
    order = list(exi.SCHEMAS)
    return sorted(found.values(), key=lambda item: (order.index(item.schema), item.name))


def recorded() -> Iterator[Vector]:
    """Yield the valid messages of the corpus, if there is one."""
    if not CORPUS.exists():
        return
    with CORPUS.open() as file:
        for line in map(json.loads, file):
            if line['roundtrip'] and '#' not in line['schema']:
                data = bytes.fromhex(line['exi'])
                try:
                    exi.decode(line['schema'], data)
                except exi.ExiError:
                    continue
                yield Vector(line['schema'], line['message'], data)


def drawn() -> Iterator[Vector]:
    """Yield random messages, their headers short as in most of a session."""
    for schema in ('sap', 'din', 'iso2', 'iso20-common', 'iso20-dc'):
        sampler = Sampler(schema, random.Random(schema), Amount.FULL)
        for _ in range(40 * len(messages(schema)) + 400):
            message = sampler.message()
            header = getattr(message, 'header', None)
            if header is not None:
                header.signature = None
                if hasattr(header, 'notification'):
                    header.notification = None
            if getattr(message, 'body', header) is not None or schema == 'sap':
                yield Vector(schema, name_of(message), exi.encode(message))


def median(action: Callable[[], Any], seconds: float) -> float:
    """Return the median time of ``action`` in µs over about ``seconds``."""
    batch = 1
    while True:
        start = time.perf_counter()
        for _ in range(batch):
            action()
        elapsed = time.perf_counter() - start
        if elapsed > seconds / 40:
            break
        batch *= 2
    samples = []
    for _ in range(30):
        start = time.perf_counter()
        for _ in range(batch):
            action()
        samples.append((time.perf_counter() - start) / batch)
    return 1e6 * statistics.median(samples)


def josev(chosen: list[Vector]) -> dict[tuple[str, str], tuple[float, float] | str]:
    """Return the peer's times in µs by message, or what it says instead."""
    python = interpreter()
    lines = '\n'.join(f'{item.schema} {item.data.hex()}' for item in chosen)
    done = subprocess.run(
        [python, ROOT / 'benchmarks' / 'exi_josev.py'], input=lines, capture_output=True,
        text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    # Its libraries print to standard output, too.
    answers = [json.loads(line[1:]) for line in done.stdout.splitlines() if line[:1] == '@']
    return {(item.schema, item.name): tuple(answer) if isinstance(answer, list) else answer
            for item, answer in zip(chosen, answers, strict=True)}


def import_times() -> str:
    """Return how long a fresh process takes to import and compile, in ms."""
    def best(*schemas: str) -> float:
        return min(float(subprocess.run(
            [sys.executable, '-c', IMPORT, *schemas], capture_output=True, text=True,
            check=True).stdout) for _ in range(5))
    single = {schema: best(schema) for schema in exi.SCHEMAS}
    slowest = max(single, key=lambda schema: single[schema])
    return (f'import and compile one schema: {min(single.values()):.0f} to '
            f'{single[slowest]:.0f} ms ({slowest}); all: {best(*exi.SCHEMAS):.0f} ms')


def main() -> int:
    """Print the table; return 1 if a charge loop misses its limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--no-peers', action='store_true', help='measure only our codec')
    parser.add_argument('--seconds', type=float, default=0.2, help='per figure')
    options = parser.parse_args()
    chosen = vectors()
    peer: dict[tuple[str, str], tuple[float, float] | str] = {}
    if options.no_peers:
        print('peers: not asked for')
    elif shutil.which('java') is None:
        print('peers: Josev needs Java 17, which is not installed')
    else:
        try:
            peer = josev(chosen)
            print('peer: Josev (iso15118 with EXIficient, warm)')
        except RuntimeError as error:
            print(f'peers: Josev could not be measured: {error}')
    print(f'EXI codec, median µs per message; Python {platform.python_version()}, '
          f'{platform.machine()}, {os.cpu_count()} cores')
    print(ROW.format('schema', 'message', 'octets', 'decode', 'encode',
                     'Josev decode', 'Josev encode'))
    slow = []
    for vector in chosen:
        message = exi.decode(vector.schema, vector.data)
        decode = median(partial(exi.decode, vector.schema, vector.data), options.seconds)
        encode = median(partial(exi.encode, message), options.seconds)
        other = peer.get((vector.schema, vector.name), ('', ''))
        shown = ('refuses it', '') if isinstance(other, str) else tuple(
            f'{value:.0f}' if value else '' for value in other)
        print(ROW.format(vector.schema, vector.name, len(vector.data), f'{decode:.2f}',
                         f'{encode:.2f}', *shown))
        if (vector.schema, vector.name) in LOOPS and max(decode, encode) > LOOP_LIMIT:
            slow.append(vector.name)
    print(import_times())
    if slow:
        print(f'slower than {LOOP_LIMIT} µs: {", ".join(slow)}')
    return int(bool(slow))


if __name__ == '__main__':
    sys.exit(main())
