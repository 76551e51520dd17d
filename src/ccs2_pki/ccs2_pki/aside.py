"""What may take long, beside the event loop."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar('T')


def aside(call: Callable[[], T]) -> asyncio.Future[T]:
    """Run `call` in a thread of its own, and return what comes of it.

    Not one of asyncio's threads: the process waits for those before it ends, and what runs here may
    never return.
    """
    outcome: concurrent.futures.Future[T] = concurrent.futures.Future()
    # From now on nobody can cancel it.
    outcome.set_running_or_notify_cancel()

    def work() -> None:
        try:
            result = call()
        except BaseException as error:
            outcome.set_exception(error)
        else:
            outcome.set_result(result)

    future = asyncio.wrap_future(outcome)
    threading.Thread(target=work, name='aside', daemon=True).start()
    return future
