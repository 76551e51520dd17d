"""The `lifecycle_manager` node: brings the nodes of one connector up in order, and down together.

It decides nothing about energy: the power lease does that, with or without this node.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

from lifecycle_msgs.msg import State as StateMessage
from lifecycle_msgs.msg import Transition as TransitionMessage
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.lifecycle import TransitionCallbackReturn

from ccs2_node.bring_up import BringUp, Command, Phase, State, Transition
from ccs2_node.diagnostics import Level, Status
from ccs2_node.managed_node import LOOP_PATIENCE, ConfigureError, ManagedNode
from ccs2_node.runtime import run

#: A node's state is asked for this often [s], and when all are active.
POLL_PERIOD = 0.25
WATCH_PERIOD = 0.5
#: An answer later than this [s] is not waited for.
ANSWER_TIMEOUT = 1.0
#: A node gives up a transition after LOOP_PATIENCE, and says so.
TRANSITION_TIMEOUT = LOOP_PATIENCE + 1.0
#: The next step is looked for this often [s].
STEP_PERIOD = 0.05
#: How long [s] the nodes are waited for when the manager itself is deactivated.
TAKE_DOWN_TIMEOUT = 1.5
#: The nodes of one connector, in order of start.
NODES = ['safety', 'power', 'pki', 'plc_link', 'v2g_transport', 'hlc']

STATES = {
    StateMessage.PRIMARY_STATE_UNCONFIGURED: State.UNCONFIGURED,
    StateMessage.PRIMARY_STATE_INACTIVE: State.INACTIVE,
    StateMessage.PRIMARY_STATE_ACTIVE: State.ACTIVE,
    StateMessage.PRIMARY_STATE_FINALIZED: State.FINALIZED,
}
TRANSITIONS = {
    Transition.CONFIGURE: TransitionMessage.TRANSITION_CONFIGURE,
    Transition.ACTIVATE: TransitionMessage.TRANSITION_ACTIVATE,
    Transition.DEACTIVATE: TransitionMessage.TRANSITION_DEACTIVATE,
    Transition.CLEAN_UP: TransitionMessage.TRANSITION_CLEANUP,
}


class LifecycleManager(ManagedNode):
    """Drive the life cycle of the nodes named by the parameter `nodes`.

    It brings itself up when it starts. Deactivating it takes the nodes down; activating it brings
    them up again.
    """

    def __init__(self) -> None:
        super().__init__('lifecycle_manager')
        self.parameter('nodes', NODES, 'Names of the nodes of this namespace, in order of start.')
        self._bring_up: BringUp | None = None
        self._peers: dict[str, tuple[Any, Any]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._told: tuple[Phase, str] | None = None
        self._start_task = self.loop.create_task(self._start())

    async def _start(self) -> None:
        for trigger in (self.trigger_configure, self.trigger_activate):
            # The transition waits for this loop, so it cannot run on it.
            result = await self.loop.run_in_executor(None, trigger)
            if result is not TransitionCallbackReturn.SUCCESS:
                self.fail(ConfigureError('the manager cannot start; the reason stands above'))
                return

    async def configure(self) -> None:
        """Make the clients of the nodes' life cycle services."""
        nodes = list(self.value('nodes'))
        try:
            self._bring_up = BringUp(nodes, self.loop.time())
        except ValueError as error:
            raise ConfigureError(f"parameter 'nodes': {error}") from None
        self._peers = {
            node: (self.create_client(GetState, f'{node}/get_state'),
                   self.create_client(ChangeState, f'{node}/change_state'))
            for node in nodes
        }

    async def activate(self) -> None:
        """Bring the nodes up, and watch them from now on."""
        if not self._tasks:
            self._bring_up = BringUp(list(self._peers), self.loop.time())
            self._tasks = [self.loop.create_task(self._drive(self._bring_up))]
            self._tasks += [self.loop.create_task(self._watch(self._bring_up, node))
                            for node in self._peers]
            for task in self._tasks:
                task.add_done_callback(self._task_ended)
        if self._bring_up is not None:
            self._bring_up.wanted = True

    async def deactivate(self) -> None:
        """Have the nodes taken down; that goes on after this transition has ended."""
        if self._bring_up is not None:
            self._bring_up.wanted = False

    async def shut_down(self) -> None:
        """Take the nodes down in reverse order; those that end by themselves are down."""
        if self._bring_up is not None:
            self._bring_up.wanted = False
            end = self.loop.time() + TAKE_DOWN_TIMEOUT
            # Polled: whether a node counts as gone is a matter of time, too.
            while (self.loop.time() < end  # noqa: ASYNC110
                   and not self._bring_up.is_down(self.loop.time())):
                await asyncio.sleep(STEP_PERIOD)
        await super().shut_down()

    async def cleanup(self) -> None:
        """Stop watching and destroy the clients."""
        for task in self._tasks:
            task.cancel()
        self._tasks = []
        for clients in self._peers.values():
            for client in clients:
                self.destroy_client(client)
        self._peers = {}
        self._bring_up = None

    def diagnose(self) -> Sequence[Status]:
        """Return the phase, why the nodes were last taken down, and what each node is."""
        if self._bring_up is None:
            return [Status('station', Level.STALE, 'the manager is not configured')]
        phase, reason = self._bring_up.phase, self._bring_up.reason
        ready = phase is Phase.READY
        level = Level.OK if ready else Level.ERROR if reason else Level.WARN
        message = phase.value if ready or not reason else f'{phase.value}: {reason}'
        values: dict[str, object] = {
            node: state.value for node, state in self._bring_up.states(self.loop.time()).items()}
        values['last taken down because'] = reason or 'never'
        return [Status('station', level, message, values)]

    async def _drive(self, bring_up: BringUp) -> None:
        while True:
            command = bring_up.next(self.loop.time())
            self._tell(bring_up)
            if command is None:
                await asyncio.sleep(STEP_PERIOD)
                continue
            reason = await self._change(command)
            bring_up.finished(not reason, reason, self.loop.time())

    async def _change(self, command: Command) -> str:
        """Ask for a transition; return why it failed, or ''."""
        request = ChangeState.Request()
        request.transition.id = TRANSITIONS[command.transition]
        client = self._peers[command.node][1]
        answer = await self._ask(client, request, TRANSITION_TIMEOUT)
        if answer is None:
            return 'no answer'
        return '' if answer.success else 'refused; its log says why'

    async def _watch(self, bring_up: BringUp, node: str) -> None:
        client = self._peers[node][0]
        while True:
            asked = self.loop.time()
            if client.service_is_ready():
                answer = await self._ask(client, GetState.Request(), ANSWER_TIMEOUT)
                if answer is not None:
                    state = STATES.get(answer.current_state.id, State.BUSY)
                    bring_up.observed(node, state, asked, self.loop.time())
            else:
                bring_up.lost(node)
            ready = bring_up.phase is Phase.READY
            await asyncio.sleep(WATCH_PERIOD if ready else POLL_PERIOD)

    async def _ask(self, client: Any, request: Any, patience: float) -> Any:
        """Call a service from the loop; return its answer, or None if none came in time."""
        answer: asyncio.Future[Any] = self.loop.create_future()

        def deliver(result: Any) -> None:
            if not answer.done():
                answer.set_result(result)

        future = client.call_async(request)
        future.add_done_callback(
            lambda done: self.loop.call_soon_threadsafe(deliver, done.result()))
        with contextlib.suppress(TimeoutError):
            return await asyncio.wait_for(answer, patience)
        client.remove_pending_request(future)
        return None

    def _tell(self, bring_up: BringUp) -> None:
        told = (bring_up.phase, bring_up.reason)
        if told == self._told:
            return
        if bring_up.reason and (self._told is None or bring_up.reason != self._told[1]):
            self.get_logger().error(f'taking all nodes down: {bring_up.reason}')
        if bring_up.phase is not Phase.DOWN:
            self.get_logger().info(bring_up.phase.value)
        self._told = told

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self.fail(error)


def main() -> None:
    """Run the node."""
    run(LifecycleManager)
