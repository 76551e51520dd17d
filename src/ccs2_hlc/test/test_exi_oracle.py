"""Agreement with EXIficient, an independent codec that works from the schemas themselves.

The codec is prepared once, outside of the tree, in ``CCS2_EXI_ORACLE`` or the user's cache.
"""

import base64
import json
import os
import random
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ccs2_hlc import exi
from ccs2_hlc.exi.declare import Element
from ccs2_hlc.exi.jsonable import element_to_json
from ccs2_hlc.exi.sampling import Amount, Sampler

SETUP = Path(__file__).parents[4] / 'shared' / 'exi' / 'oracle' / 'setup.sh'
DRIVER = Path(__file__).with_name('exi_oracle_driver.py')
TOTAL = int(os.environ.get('CCS2_EXI_ORACLE_MESSAGES', '20000'))
BATCHES = 2


@pytest.fixture(scope='module')
def oracle():
    """Return the directory of the prepared oracle."""
    if not SETUP.exists():
        pytest.skip('the oracle is not beside the checkout')
    if shutil.which('javac') is None:
        pytest.skip('there is no JDK')
    cache = os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'
    directory = Path(os.environ.get('CCS2_EXI_ORACLE') or Path(cache) / 'ccs2' / 'exi-oracle')
    ready = directory / 'ready'
    if not ready.exists():
        # The script calls python3 and its pip: those of this environment know the index.
        path = f'{Path(sys.executable).parent}:{os.environ["PATH"]}'
        done = subprocess.run(
            ['bash', str(SETUP), str(directory)], capture_output=True, text=True,
            env={**os.environ, 'PATH': path}, check=False)
        if done.returncode:
            pytest.skip(f'the oracle cannot be prepared: {done.stderr[-500:]}')
        ready.touch()
    return directory


def samples(count):
    """Yield schema, kind, stream and JSON of random messages and fragments of all schemas."""
    each = -(-count // (2 * len(exi.SCHEMAS)))
    for schema in exi.SCHEMAS:
        source = random.Random(f'oracle {schema}')
        samplers = [Sampler(schema, source, amount) for amount in Amount]
        for number in range(each):
            sampler = samplers[0 if number % 16 == 0 else 2 if number % 16 == 1 else 1]
            message = sampler.message()
            yield schema, 'document', exi.encode(message), exi.to_json(message)
            name, value = sampler.fragment()
            content = element_to_json(value) if isinstance(value, Element) else plain(value)
            yield schema, 'fragment', exi.encode_fragment(schema, name, value), {
                name.rpartition('}')[2]: content}


def plain(value):
    if isinstance(value, bytes):
        return value.hex().upper()
    return getattr(value, 'value', value)


def same(ours, theirs):
    """Compare JSON; the oracle writes base64Binary as base64 and an empty element as {} or None."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return ours.keys() == theirs.keys() and all(same(ours[key], theirs[key]) for key in ours)
    if isinstance(ours, list) and isinstance(theirs, list):
        return len(ours) == len(theirs) and all(map(same, ours, theirs))
    if isinstance(ours, str) and isinstance(theirs, str) and ours != theirs:
        try:
            return bytes.fromhex(ours) == base64.b64decode(theirs, validate=True)
        except ValueError:
            return False
    return ours == theirs


def ask(directory, batch):
    lines = ''.join(f'{schema} {kind} {data.hex()}\n' for schema, kind, data, _ in batch)
    done = subprocess.run(
        [directory / 'venv' / 'bin' / 'python', DRIVER, directory], input=lines,
        capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_the_oracle_agrees_on_random_messages_and_fragments_of_all_schemas(oracle):
    drawn = list(samples(TOTAL))
    size = -(-len(drawn) // BATCHES)
    batches = [drawn[start:start + size] for start in range(0, len(drawn), size)]
    with ThreadPoolExecutor(BATCHES) as pool:
        answers = [answer for each in pool.map(lambda batch: ask(oracle, batch), batches)
                   for answer in each]
    assert len(answers) == len(drawn) >= TOTAL
    wrong = []
    for (schema, kind, data, as_json), answer in zip(drawn, answers, strict=True):
        if 'error' in answer:
            wrong.append((schema, kind, data.hex(), answer['error']))
        elif answer['undeclared']:
            wrong.append((schema, kind, data.hex(), f'undeclared: {answer["undeclared"]}'))
        elif answer['again'].lower() != data.hex():
            wrong.append((schema, kind, data.hex(), f'became {answer["again"]}'))
        elif not same(as_json, answer['json']):
            wrong.append((schema, kind, data.hex(), f'{as_json} is {answer["json"]}'))
    assert not wrong, (len(wrong), wrong[:5])
