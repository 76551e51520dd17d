"""Which life cycle transition to ask of which node next: the lifecycle manager without ROS.

The rules are few. All nodes are configured in order, then all are activated in order. When one is
not in the state in which it was left (it died, was started again, or was changed by hand), all are
deactivated and cleaned up in reverse order. Only when every node answers and is unconfigured does
the next bring-up begin. So no node ever works beside a peer that has lost its memory.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

#: A node that has not told its state for this long [s] counts as gone.
SILENCE = 3.0
#: Waiting time [s] before the next attempt, by the number of failures in a row.
BACK_OFF = (0.5, 1.0, 2.0, 5.0, 10.0)
#: After this long [s] of all nodes being active, earlier failures are forgotten.
STEADY = 10.0


class State(Enum):
    """What a node is; BUSY is in the middle of a transition, GONE does not answer."""

    UNCONFIGURED = 'unconfigured'
    INACTIVE = 'inactive'
    ACTIVE = 'active'
    FINALIZED = 'finalized'
    BUSY = 'in transition'
    GONE = 'not answering'


class Transition(Enum):
    """What can be asked of a node."""

    CONFIGURE = 'configure'
    ACTIVATE = 'activate'
    DEACTIVATE = 'deactivate'
    CLEAN_UP = 'clean up'


RESULTS = {
    Transition.CONFIGURE: State.INACTIVE,
    Transition.ACTIVATE: State.ACTIVE,
    Transition.DEACTIVATE: State.INACTIVE,
    Transition.CLEAN_UP: State.UNCONFIGURED,
}
UPWARDS = ((State.UNCONFIGURED, Transition.CONFIGURE), (State.INACTIVE, Transition.ACTIVATE))
DOWNWARDS = ((State.ACTIVE, Transition.DEACTIVATE), (State.INACTIVE, Transition.CLEAN_UP))


class Phase(Enum):
    """What the manager is doing."""

    LOOKING = 'looking for the nodes'
    DOWN = 'nodes are taken down'
    STARTING = 'nodes are brought up'
    READY = 'all nodes are active'


@dataclass(frozen=True)
class Command:
    """One transition of one node."""

    node: str
    transition: Transition


class BringUp:
    """Decide, from what the nodes say of themselves, what to ask next.

    Call :meth:`observed` with each answer of a node, and :meth:`next` often. Each command that
    `next` returns has to be finished by one call of :meth:`finished` before it returns another.
    Times are in s of one monotonic clock.
    """

    def __init__(self, nodes: Sequence[str], now: float) -> None:
        if not nodes or len(set(nodes)) != len(nodes) or not all(nodes):
            raise ValueError(f'names of nodes have to be given, each once: {list(nodes)}')
        self.nodes = tuple(nodes)
        self.phase = Phase.LOOKING
        #: Why the nodes were last taken down, '' if they never were.
        self.reason = ''
        #: False takes all nodes down and keeps them there.
        self.wanted = True
        self._begin = now
        self._known: dict[str, State] = {}
        self._heard = dict.fromkeys(nodes, -math.inf)
        #: Answers to questions asked before this time tell of a state that has passed.
        self._settled = dict.fromkeys(nodes, -math.inf)
        self._expected: dict[str, State] = {}
        self._pending: Command | None = None
        self._failures = 0
        self._wait_until = now
        self._skip_until = dict.fromkeys(nodes, -math.inf)

    def observed(self, node: str, state: State, asked: float, now: float) -> None:
        """Take a node's answer to the question that was asked at `asked`."""
        pending = self._pending is not None and self._pending.node == node
        if not pending and asked >= self._settled[node]:
            self._known[node] = state
            self._heard[node] = now

    def lost(self, node: str) -> None:
        """Take note that a node has left the graph."""
        if self._pending is None or self._pending.node != node:
            self._heard[node] = -math.inf

    def finished(self, succeeded: bool, reason: str, now: float) -> None:
        """Take the result of the last command; `reason` says why it failed."""
        command, self._pending = self._pending, None
        if command is None:
            raise ValueError('no command is under way')
        self._settled[command.node] = now
        if succeeded:
            self._known[command.node] = RESULTS[command.transition]
            self._heard[command.node] = now
            if self._expected:
                self._expected[command.node] = RESULTS[command.transition]
            return
        # What it is now has to be asked again.
        self._heard[command.node] = -math.inf
        if self.phase is Phase.DOWN:
            # The others are not left up because this one does not go down.
            self._skip_until[command.node] = now + BACK_OFF[-1]
        self._fall(f'{command.node} did not {command.transition.value}: {reason}', now)

    def states(self, now: float) -> Mapping[str, State]:
        """Return what each node is now, as far as known."""
        pending = self._pending.node if self._pending else ''
        return {
            node: self._known[node] if now - self._heard[node] <= SILENCE or (
                node == pending and node in self._known) else State.GONE
            for node in self.nodes
        }

    def is_down(self, now: float) -> bool:
        """Tell whether no node that answers is left to take down."""
        return self._pending is None and not any(
            state in (State.ACTIVE, State.INACTIVE, State.BUSY)
            for state in self.states(now).values())

    def next(self, now: float) -> Command | None:
        """Return the transition to ask for now, or None."""
        if self._pending is not None:
            return None
        states = self.states(now)
        if self.phase is Phase.LOOKING:
            self._look(states, now)
        elif self.phase in (Phase.STARTING, Phase.READY):
            self._compare(states, now)
        self._pending = self._choose(states, now)
        return self._pending

    def _look(self, states: Mapping[str, State], now: float) -> None:
        """Let working nodes work: a manager that was started again finds them so."""
        if self.wanted and all(state is State.ACTIVE for state in states.values()):
            self._expected = dict(states)
            self._ready(now)
        elif State.GONE not in states.values() or now - self._begin > SILENCE:
            self.phase = Phase.DOWN

    def _compare(self, states: Mapping[str, State], now: float) -> None:
        for node, state in states.items():
            if state is not self._expected[node]:
                self._fall(f'{node} is {state.value}, not {self._expected[node].value}', now)
                return
        if not self.wanted:
            self.phase, self._expected = Phase.DOWN, {}
        elif self.phase is Phase.READY and now - self._begin > STEADY:
            self._failures = 0

    def _choose(self, states: Mapping[str, State], now: float) -> Command | None:
        if self.phase is Phase.DOWN:
            for state, transition in DOWNWARDS:
                for node in reversed(self.nodes):
                    if states[node] is state and now >= self._skip_until[node]:
                        return Command(node, transition)
            at_rest = all(state is State.UNCONFIGURED for state in states.values())
            if not (self.wanted and at_rest and now >= self._wait_until):
                return None
            self.phase, self._expected = Phase.STARTING, dict(states)
        if self.phase is Phase.STARTING:
            for state, transition in UPWARDS:
                for node in self.nodes:
                    if self._expected[node] is state:
                        return Command(node, transition)
            self._ready(now)
        return None

    def _ready(self, now: float) -> None:
        self.phase, self._begin = Phase.READY, now

    def _fall(self, reason: str, now: float) -> None:
        if self.phase is Phase.DOWN and self.reason:
            self.reason = f'{self.reason}; {reason}' if reason not in self.reason else self.reason
            return
        self.phase, self._expected, self.reason = Phase.DOWN, {}, reason
        self._wait_until = now + BACK_OFF[min(self._failures, len(BACK_OFF) - 1)]
        self._failures += 1
