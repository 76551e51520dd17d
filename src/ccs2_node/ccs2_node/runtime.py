"""The main loop of every node's process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions

from ccs2_node.managed_node import ManagedNode

#: How long the parts of a clean exit may take before the process goes anyway, in s.
PATIENCE = 2.0


def run(make_node: Callable[[], ManagedNode], args: Sequence[str] | None = None) -> NoReturn:
    """Run one node until SIGINT, SIGTERM or a failure, then end the process (0, or 1 on failure).

    `make_node` is called on the running loop. Whatever ends the node, its outputs are brought to
    the safe state first (:meth:`ManagedNode.shut_down`).
    """
    code = asyncio.run(_run(make_node, args))
    # Everything is closed by now. The end of the interpreter is left out: in it the threads of the
    # DDS library now and then wait for each other for ever, and launch then counts a failure.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


async def _run(make_node: Callable[[], ManagedNode], args: Sequence[str] | None) -> int:
    # Without this, an int in a float field is sent as 0.0; rclpy reads it when a message is made.
    os.environ.setdefault('ROS_PYTHON_CHECK_FIELDS', '1')
    # rclpy's own signal handling now and then leaves an idle node waiting forever.
    rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    node = make_node()

    def fail_on_lost_exception(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        # An exception out of a timer or a task would otherwise only be logged, and what it was to
        # do be lost in silence. What the system refuses for now (no more files) is retried.
        loop.default_exception_handler(context)
        error = context.get('exception')
        if error is not None and not isinstance(error, OSError):
            node.fail(error)

    loop.set_exception_handler(fail_on_lost_exception)
    executor = SingleThreadedExecutor()
    executor.add_node(node)

    def spin() -> None:
        try:
            executor.spin()
        except ExternalShutdownException:
            loop.call_soon_threadsafe(stop.set)
        except BaseException as error:
            loop.call_soon_threadsafe(node.fail, error)

    # A daemon: a callback that hangs in rclpy must not keep the process from ending.
    thread = threading.Thread(target=spin, name='rclpy', daemon=True)
    thread.start()
    stopped = asyncio.ensure_future(stop.wait())
    failed = asyncio.ensure_future(node.failed())
    await asyncio.wait({stopped, failed}, return_when=asyncio.FIRST_COMPLETED)
    error = failed.exception() if failed.done() else None
    stopped.cancel()
    failed.cancel()
    if error is not None:
        text = ''.join(traceback.format_exception(error))
        node.get_logger().fatal(f'ends because of:\n{text}')
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(node.shut_down(), PATIENCE)
    await loop.run_in_executor(None, executor.shutdown, PATIENCE)
    await loop.run_in_executor(None, thread.join, PATIENCE)
    if thread.is_alive():
        # Destroying a node under a running executor crashes: leave at once, outputs are off.
        sys.stderr.write('rclpy does not stop; leaving without it\n')
        sys.stderr.flush()
        os._exit(1)
    node.destroy_node()
    rclpy.try_shutdown()
    return 1 if error is not None else 0
