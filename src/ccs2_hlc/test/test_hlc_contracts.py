"""The keeper of what contracts are checked against: which reading of the store counts."""

import asyncio
import time
from pathlib import Path
from types import SimpleNamespace

from ccs2_hlc.hlc_contracts import TrustKeeper
from ccs2_pki.errors import malformed


class Keeper(TrustKeeper):
    """A keeper whose store gives, at each reading, the next of (what it holds, s it takes)."""

    def __init__(self, *readings):
        super().__init__(Path('/nonexistent'), 14, False)
        self.readings = iter(readings)
        self.at_once = 0

    def _load(self):
        self.at_once += 1
        held, seconds = next(self.readings)
        time.sleep(seconds)
        self.at_once -= 1
        assert self.at_once == 0
        if isinstance(held, Exception):
            raise held
        return SimpleNamespace(roots={}, revocation=held)

    async def hear(self, *generations):
        async with asyncio.TaskGroup() as tasks:
            for generation in generations:
                tasks.create_task(self.pki_state(generation, True))
                await asyncio.sleep(0.01)


def test_a_slow_reading_does_not_replace_a_newer_one():
    keeper = Keeper(('old', 0.2), ('new', 0.0))
    asyncio.run(keeper.hear(5, 6))
    assert keeper.trust.revocation == 'new'


def test_changes_while_the_store_is_read_need_one_more_reading():
    keeper = Keeper(('old', 0.2), ('new', 0.0))
    asyncio.run(keeper.hear(5, 6, 7, 8, 8))
    assert keeper.trust.revocation == 'new'


def test_a_store_that_starts_anew_counts():
    keeper = Keeper(('old', 0.0), ('new', 0.0))
    asyncio.run(keeper.hear(9, 1))
    assert keeper.trust.revocation == 'new'


def test_a_store_that_cannot_be_read_is_tried_again():
    keeper = Keeper((malformed('damaged'), 0.0), ('mended', 0.0))
    asyncio.run(keeper.hear(5))
    assert (keeper.trust, keeper.problem) == (None, 'certificate store: damaged')
    asyncio.run(keeper.hear(5))
    assert keeper.trust.revocation == 'mended'
