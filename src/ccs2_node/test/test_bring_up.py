"""The order of life cycle transitions, on a virtual clock and simulated nodes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ccs2_node.bring_up import (
    BACK_OFF,
    DOWNWARDS,
    RESULTS,
    SILENCE,
    UPWARDS,
    BringUp,
    Phase,
    State,
    Transition,
)

NODES = ('safety', 'power', 'hlc')
START = {transition: state for state, transition in UPWARDS + DOWNWARDS}
STEP = 0.1


class World:
    """Three nodes that obey, die or refuse, and the manager's core among them."""

    def __init__(self, state=State.UNCONFIGURED):
        self.now = 100.0
        self.nodes = dict.fromkeys(NODES, state)
        self.refusing = set()
        self.core = BringUp(NODES, self.now)
        self.done = []

    def step(self, seconds=STEP):
        """Poll every node, then carry out what the core asks for."""
        for node, state in self.nodes.items():
            if state is State.GONE:
                continue
            self.core.observed(node, state, self.now, self.now)
        command = self.core.next(self.now)
        if command is not None:
            self.done.append((command.node, command.transition))
            self.now += 0.01
            self.obey(command)
        self.now += seconds
        return command

    def obey(self, command):
        state = self.nodes[command.node]
        if state is State.GONE:
            self.now += 6.0
            self.core.finished(False, 'no answer', self.now)
        elif command.node in self.refusing or state is not START[command.transition]:
            self.core.finished(False, 'refused', self.now)
        else:
            self.nodes[command.node] = RESULTS[command.transition]
            self.core.finished(True, '', self.now)

    def run(self, seconds):
        end = self.now + seconds
        while self.now < end:
            self.step()

    def take(self):
        done, self.done = self.done, []
        return done


UP = [(node, Transition.CONFIGURE) for node in NODES] + [
    (node, Transition.ACTIVATE) for node in NODES]


def test_nodes_are_configured_then_activated_in_order():
    world = World()
    world.run(3)
    assert world.take() == UP
    assert world.core.phase is Phase.READY
    assert set(world.nodes.values()) == {State.ACTIVE}


def test_nothing_is_asked_before_every_node_answers():
    world = World()
    world.nodes['hlc'] = State.GONE
    world.run(30)
    assert world.take() == []
    world.nodes['hlc'] = State.UNCONFIGURED
    world.run(3)
    assert world.take() == UP


@pytest.mark.parametrize('victim', NODES)
@pytest.mark.parametrize('respawned_at_once', [True, False])
def test_the_death_of_one_takes_all_down_in_reverse_and_up_again(victim, respawned_at_once):
    world = World()
    world.run(3)
    world.take()
    world.nodes[victim] = State.UNCONFIGURED if respawned_at_once else State.GONE
    world.run(SILENCE + 1)
    others = [node for node in reversed(NODES) if node != victim]
    down = [(node, Transition.DEACTIVATE) for node in others] + [
        (node, Transition.CLEAN_UP) for node in others]
    assert world.done[:4] == down
    assert victim in world.core.reason
    if not respawned_at_once:
        assert world.take() == down
        assert world.core.phase is Phase.DOWN
        world.nodes[victim] = State.UNCONFIGURED
        world.run(2)
        assert world.take() == UP
    assert world.core.phase is Phase.READY


def test_a_node_that_left_the_graph_is_not_waited_for():
    world = World()
    world.run(3)
    world.take()
    world.nodes['power'] = State.GONE
    world.core.lost('power')
    assert world.core.next(world.now).node == 'hlc'


def test_one_lost_answer_changes_nothing():
    world = World()
    world.run(3)
    world.take()
    world.nodes['power'] = State.GONE
    world.run(SILENCE - 1)
    world.nodes['power'] = State.ACTIVE
    world.run(10)
    assert world.take() == []
    assert world.core.reason == ''


def test_a_refused_transition_takes_all_down_and_backs_off():
    world = World()
    world.refusing = {'power'}
    world.run(60)
    attempts = [index for index, step in enumerate(world.done)
                if step == ('safety', Transition.CONFIGURE)]
    # 0.5 + 1 + 2 + 5 s, then every 10 s.
    assert 8 <= len(attempts) <= 10
    assert 'power did not configure: refused' in world.core.reason
    assert all(state is not State.ACTIVE for state in world.nodes.values())
    world.refusing = set()
    world.run(BACK_OFF[-1] + 2)
    assert world.core.phase is Phase.READY


def test_a_node_that_does_not_go_down_does_not_keep_the_others_up():
    world = World()
    world.run(3)
    world.take()
    world.refusing = {'hlc'}
    world.nodes['power'] = State.GONE
    world.run(SILENCE + 2)
    assert world.nodes == {
        'safety': State.UNCONFIGURED, 'power': State.GONE, 'hlc': State.ACTIVE}
    assert 'hlc did not deactivate' in world.core.reason
    # As soon as it obeys again, the station comes back.
    world.refusing, world.nodes['power'] = set(), State.UNCONFIGURED
    world.run(BACK_OFF[-1] + 3)
    assert world.core.phase is Phase.READY


def test_a_manager_started_again_lets_working_nodes_work():
    world = World(State.ACTIVE)
    world.run(5)
    assert world.take() == []
    assert world.core.phase is Phase.READY


def test_a_manager_started_again_beside_a_half_started_station_starts_from_scratch():
    world = World(State.ACTIVE)
    world.nodes['power'] = State.INACTIVE
    world.run(5)
    assert world.take() == [
        ('hlc', Transition.DEACTIVATE), ('safety', Transition.DEACTIVATE),
        ('hlc', Transition.CLEAN_UP), ('power', Transition.CLEAN_UP),
        ('safety', Transition.CLEAN_UP), *UP]


def test_not_wanted_takes_down_and_stays_down():
    world = World()
    world.run(3)
    world.take()
    world.core.wanted = False
    assert not world.core.is_down(world.now)
    world.run(10)
    assert world.take() == [
        (node, transition) for transition in (Transition.DEACTIVATE, Transition.CLEAN_UP)
        for node in reversed(NODES)]
    assert world.core.is_down(world.now)
    assert world.core.reason == ''


def test_an_answer_from_before_a_transition_is_ignored():
    world = World()
    while world.done[-1:] != [('hlc', Transition.ACTIVATE)]:
        asked = world.now
        world.step()
    world.core.observed('hlc', State.INACTIVE, asked, world.now)
    assert world.core.next(world.now) is None
    assert world.core.phase is Phase.READY


@pytest.mark.parametrize('nodes', [(), ('safety', 'safety'), ('safety', '')])
def test_bad_lists_of_nodes_are_refused(nodes):
    with pytest.raises(ValueError, match='each once'):
        BringUp(nodes, 0.0)


EVENTS = st.lists(st.tuples(
    st.sampled_from(NODES),
    st.sampled_from(['die', 'restart', 'refuse', 'obey', 'deactivated by hand']),
    st.floats(0.0, 4.0)), max_size=20)


@settings(max_examples=200, deadline=None)
@given(EVENTS)
def test_whatever_happens_the_order_holds_and_the_station_comes_back(events):
    world = World()

    def watch(seconds):
        end = world.now + seconds
        while world.now < end:
            before = dict(world.nodes)
            command = world.step()
            if command is None:
                continue
            index = NODES.index(command.node)
            if command.transition is Transition.ACTIVATE:
                # Never a node before those that it relies on, never beside one not configured.
                assert all(before[node] in (State.ACTIVE, State.GONE, State.UNCONFIGURED)
                           for node in NODES[:index])
                assert world.core.phase in (Phase.STARTING, Phase.DOWN)
            if command.transition is Transition.CONFIGURE:
                assert all(before[node] in (State.INACTIVE, State.GONE, State.UNCONFIGURED)
                           for node in NODES)

    for node, event, seconds in events:
        if event == 'die':
            world.nodes[node] = State.GONE
        elif event == 'restart':
            world.nodes[node] = State.UNCONFIGURED
        elif event == 'refuse':
            world.refusing.add(node)
        elif event == 'obey':
            world.refusing.discard(node)
        elif world.nodes[node] is State.ACTIVE:
            world.nodes[node] = State.INACTIVE
        watch(seconds)

    world.refusing = set()
    for node, state in world.nodes.items():
        if state is State.GONE:
            world.nodes[node] = State.UNCONFIGURED
    watch(4 * BACK_OFF[-1])
    assert set(world.nodes.values()) == {State.ACTIVE}
    assert world.core.phase is Phase.READY
