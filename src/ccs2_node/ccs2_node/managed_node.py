"""The lifecycle node that every node of the station is."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import inspect
import traceback
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy._rclpy_pybind11 import RCLError
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.exceptions import ParameterUninitializedException
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile
from rclpy.task import Future

from ccs2_node.diagnostics import Level, Status, to_array
from ccs2_node.qos import EVENT, NO_PUBLISHER_EVENTS, NO_SUBSCRIPTION_EVENTS
from ccs2_node.stamps import stamp

T = TypeVar('T')

#: A transition or a service may take this long on the loop before the caller gets an error.
LOOP_PATIENCE = 5.0
DIAGNOSTICS_PERIOD = 1.0
#: Stands for "no bound" in a parameter's range, which has to have two.
NO_BOUND = 2**53
PARAMETER_TYPES = {
    str: Parameter.Type.STRING, int: Parameter.Type.INTEGER, float: Parameter.Type.DOUBLE,
    bool: Parameter.Type.BOOL,
}


class ConfigureError(Exception):
    """A node cannot be configured or activated; the text names what is missing and where."""


class ManagedNode(LifecycleNode):
    """A lifecycle node whose code runs on one asyncio loop.

    Subclasses declare parameters, publishers, subscriptions and services in ``__init__`` and
    override the coroutines :meth:`configure`, :meth:`activate`, :meth:`deactivate` and
    :meth:`cleanup`, and :meth:`diagnose`. All of these, every subscription and every service
    handler run on the loop, one at a time. While the node is not active, messages are dropped and
    services are refused.

    In rclpy 7.1 a transition that is not allowed raises out of the service callback and ends the
    node, and an exception in a transition callback vanishes without a word. Both are mended here;
    the hooks are private there, hence the mangled names.
    """

    def __init__(self, name: str, **kwargs: Any) -> None:
        super().__init__(name, **kwargs)
        #: All of the node's code runs on this loop; :func:`ccs2_node.run` makes the node on it.
        self.loop = asyncio.get_running_loop()
        self.active = False
        self._beats: set[asyncio.Task[None]] = set()
        self._failure: asyncio.Future[None] = self.loop.create_future()
        self._reported_levels: dict[str, Level] = {}
        self._service_group = ReentrantCallbackGroup()
        self._diagnostics_publisher = self.create_publisher(
            DiagnosticArray, '/diagnostics', EVENT)
        self._diagnostics_task = self.loop.create_task(self._publish_diagnostics())

    # What a node overrides.

    async def configure(self) -> None:
        """Read parameters, open resources; raise :class:`ConfigureError` naming what is missing."""

    async def activate(self) -> None:
        """Start acting."""

    async def deactivate(self) -> None:
        """Go to the safe state, then stop acting. Runs at shutdown, too."""

    async def cleanup(self) -> None:
        """Close what :meth:`configure` opened. Runs at shutdown, too."""

    def diagnose(self) -> Sequence[Status]:
        """Return what each part of the node has to report now."""
        return ()

    # What a node calls.

    def create_publisher(self, *args: Any, **kwargs: Any) -> Any:
        """Create a publisher as rclpy does, without events: rclpy makes some of its own, too."""
        kwargs.setdefault('event_callbacks', NO_PUBLISHER_EVENTS)
        return super().create_publisher(*args, **kwargs)

    def parameter(
        self, name: str, default: object, description: str, *,
        minimum: float | None = None, maximum: float | None = None, read_only: bool = True,
    ) -> None:
        """Declare a parameter; its unit stands in the description.

        A `default` that is a type (e.g. ``str``) means that the value has no safe default: reading
        it unset by :meth:`value` raises :class:`ConfigureError`.
        """
        descriptor = ParameterDescriptor(description=description, read_only=read_only)
        if minimum is not None or maximum is not None:
            low = -NO_BOUND if minimum is None else minimum
            high = NO_BOUND if maximum is None else maximum
            if default is int or isinstance(default, int):
                descriptor.integer_range = [IntegerRange(from_value=int(low), to_value=int(high))]
            else:
                descriptor.floating_point_range = [
                    FloatingPointRange(from_value=float(low), to_value=float(high))]
        if isinstance(default, type):
            default = PARAMETER_TYPES[default]
        self.declare_parameter(name, default, descriptor)

    def value(self, name: str) -> Any:
        """Return a declared parameter's value; raise :class:`ConfigureError` if it is not set."""
        try:
            return self.get_parameter(name).value
        except ParameterUninitializedException:
            raise ConfigureError(f"parameter '{name}' is not set") from None

    def publisher(self, message_type: type, topic: str, qos: QoSProfile) -> Any:
        """Create a publisher that publishes only while the node is active."""
        return self.create_lifecycle_publisher(
            message_type, topic, qos, event_callbacks=NO_PUBLISHER_EVENTS)

    def subscribe(
        self, message_type: type, topic: str, handler: Callable[[Any], None], qos: QoSProfile, *,
        always: bool = False,
    ) -> Any:
        """Call `handler(message)` on the loop for each message while the node is active.

        `always`: while it is not active, too. Return the subscription.
        """

        def deliver(message: Any) -> None:
            if self.active or always:
                self._guard(handler, message)

        return self.create_subscription(
            message_type, topic,
            lambda message: self.loop.call_soon_threadsafe(deliver, message), qos,
            event_callbacks=NO_SUBSCRIPTION_EVENTS)

    def serve(
        self, service_type: type, name: str, handler: Callable[[Any, Any], Any],
    ) -> None:
        """Answer a service with `handler(request, response)` (may be a coroutine) on the loop.

        While the node is not active the answer is the empty response with `message` set: its
        `success` is then false, or its `result` is set to `UNKNOWN`.
        """

        async def answer(request: Any, response: Any) -> Any:
            if not self.active:
                response.message = f'{self.get_name()} is not active'
                if hasattr(response, 'result'):
                    response.result = response.UNKNOWN
                return response
            result = handler(request, response)
            return await result if inspect.isawaitable(result) else result

        async def callback(request: Any, response: Any) -> Any:
            # Runs in rclpy's thread: wait there without blocking other callbacks of the executor.
            return await self._from_loop(answer(request, response))

        self.create_service(service_type, name, callback, callback_group=self._service_group)

    def every(
        self, period: float, callback: Callable[[], Awaitable[None] | None],
    ) -> asyncio.Task[None]:
        """Call `callback` on the loop every `period` s, at fixed rate, until deactivated.

        A coroutine is awaited. A beat that comes late by more than a period is left out, not made
        up for.
        """

        async def beat() -> None:
            due = self.loop.time()
            while True:
                if (result := callback()) is not None:
                    await result
                due = max(due + period, self.loop.time())
                await asyncio.sleep(due - self.loop.time())

        task = self.loop.create_task(beat())
        self._beats.add(task)
        task.add_done_callback(self._beat_ended)
        return task

    def now_message(self) -> Any:
        """Return the present time as a builtin_interfaces Time for a header's stamp."""
        return stamp(self.get_clock().now().nanoseconds)

    def fail(self, error: BaseException) -> None:
        """End the process because of `error`: launch starts it again into a safe state."""
        if not self._failure.done():
            self._failure.set_exception(error)

    # How it works.

    async def failed(self) -> None:
        """Wait until the node has failed, then raise why."""
        await asyncio.shield(self._failure)

    async def shut_down(self) -> None:
        """Go to the safe state and close everything; what fails on the way is logged."""
        self._diagnostics_task.cancel()
        for step in (self._leave, self.cleanup):
            try:
                await step()
            except Exception:
                self.get_logger().error(f'shutdown: {traceback.format_exc()}')

    async def _configure(self) -> None:
        # rclpy ignores a misspelt parameter in a file without a word.
        unknown = sorted(name for name in self._parameter_overrides if not self.has_parameter(name))
        if unknown:
            raise ConfigureError(f"there is no parameter '{unknown[0]}'")
        await self.configure()

    async def _enter(self) -> None:
        await self.activate()
        self.active = True
        # What exists now lives as long as the node does: keep the collector from walking it again.
        gc.collect()
        gc.freeze()

    async def _leave(self) -> None:
        was_active, self.active = self.active, False
        periodic, self._beats = self._beats, set()
        for task in periodic:
            task.cancel()
        if was_active:
            await self.deactivate()

    def _transition(self, step: Awaitable[None], name: str) -> TransitionCallbackReturn:
        future = asyncio.run_coroutine_threadsafe(_awaited(step), self.loop)
        try:
            future.result(LOOP_PATIENCE)
        except ConfigureError as error:
            self.get_logger().error(f'cannot {name}: {error}')
            return TransitionCallbackReturn.FAILURE
        except concurrent.futures.TimeoutError:
            future.cancel()
            self.get_logger().error(f'cannot {name}: took longer than {LOOP_PATIENCE} s')
            return TransitionCallbackReturn.ERROR
        except Exception:
            self.get_logger().error(f'cannot {name}:\n{traceback.format_exc()}')
            return TransitionCallbackReturn.ERROR
        return TransitionCallbackReturn.SUCCESS

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Run :meth:`configure` on the loop, unless a parameter was given that does not exist."""
        return self._transition(self._configure(), 'configure')

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Activate the publishers, then run :meth:`activate` on the loop."""
        super().on_activate(state)
        return self._transition(self._enter(), 'activate')

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Run :meth:`deactivate` on the loop, then silence the publishers."""
        result = self._transition(self._leave(), 'deactivate')
        super().on_deactivate(state)
        return result

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Run :meth:`cleanup` on the loop."""
        return self._transition(self.cleanup(), 'clean up')

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """After a failed transition: close everything and be unconfigured again."""
        self._transition(self._leave(), 'deactivate after an error')
        return self._transition(self.cleanup(), 'clean up after an error')

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Go to the safe state and close everything."""
        self._transition(self._leave(), 'deactivate')
        return self._transition(self.cleanup(), 'clean up')

    def _LifecycleNodeMixin__on_change_state(self, request: Any, response: Any) -> Any:
        try:
            return super()._LifecycleNodeMixin__on_change_state(request, response)
        except RCLError as error:
            self.get_logger().warning(f'transition refused: {error}')
            response.success = False
            return response

    def _guard(self, handler: Callable[[Any], None], message: Any) -> None:
        try:
            handler(message)
        except Exception as error:
            self.fail(error)

    def _beat_ended(self, task: asyncio.Task[None]) -> None:
        self._beats.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.fail(error)

    async def _from_loop(self, coroutine: Awaitable[T]) -> T:
        """Await, in rclpy's executor, a coroutine that runs on the asyncio loop."""
        result = Future(executor=self.executor)
        running = asyncio.run_coroutine_threadsafe(_awaited(coroutine), self.loop)

        def done(finished: concurrent.futures.Future[T]) -> None:
            error = finished.exception()
            if error is not None:
                self.loop.call_soon_threadsafe(self.fail, error)
                result.set_exception(error)
            else:
                result.set_result(finished.result())
            self.executor.wake()

        running.add_done_callback(done)
        value: T = await result
        return value

    async def _publish_diagnostics(self) -> None:
        ends = self.loop.time()
        while True:
            try:
                statuses = list(self.diagnose())
            except Exception as error:
                self.fail(error)
                return
            levels = {status.part: status.level for status in statuses}
            if levels != self._reported_levels or self.loop.time() >= ends:
                self._reported_levels = levels
                ends = self.loop.time() + DIAGNOSTICS_PERIOD
                self._diagnostics_publisher.publish(
                    to_array(self.get_fully_qualified_name().lstrip('/'), self.now_message(),
                             statuses))
            await asyncio.sleep(DIAGNOSTICS_PERIOD / 5)


async def _awaited(awaitable: Awaitable[T]) -> T:
    return await awaitable

