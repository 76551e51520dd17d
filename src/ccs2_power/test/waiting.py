"""Waiting for a condition that something outside brings about."""

import asyncio
import time


async def until(condition, seconds=5.0):
    """Wait until the condition holds; fail after some seconds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, 'condition not reached'
        await asyncio.sleep(0.01)
