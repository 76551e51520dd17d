"""A cabinet of modules shared by several connectors: who has which module, and how one moves.

The matrix says which connectors each module can be switched to, by one relay each. A module changes
hands in steps, each taken only on what is measured: the old connector is given notice, the module
is switched off, its relay opens without current, every relay of it is seen open, it is brought to
the new output's voltage, its new relay closes without current. No relay ever switches current, and
no module is ever on two outputs; what cannot be seen is waited for, with the module switched off.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from ccs2_power.timing import Persistence

#: A relay moves only below this, in A, and where no more than this is across its contact, in V.
ZERO_CURRENT, SAME_VOLTAGE = 1.0, 20.0
#: Either has to be measured for so long without a break, in s.
SETTLED = 0.3
#: The old connector hears so long before that a module goes, in s: its vehicle takes less by then.
NOTICE = 1.0
#: Longest time from a coil's switching to its feedback contact, in s.
RELAY_TIME = 0.5
#: Longest time in s for the current to go after a module was switched off.
STOP_TIME = 3.0
#: An output below this is dead, in V: a module joins it switched off.
DEAD = 60.0
#: A module stays with its connector for at least so long, in s, unless told otherwise: relays wear.
LEAST_STAY = 10.0


@dataclass(frozen=True, slots=True)
class ModuleView:
    """A module as it is measured now. What is not measured, or no longer fresh, is None."""

    voltage: float | None
    """V at its own terminals, before the relays."""
    current: float | None
    """A."""
    relays: Mapping[str, bool | None]
    """The feedback contact of each of its relays, by connector; True: closed."""


@dataclass(frozen=True, slots=True)
class OutputView:
    """A connector's output as it is now."""

    wanted: float
    """A that its vehicle may want; 0: no vehicle charges."""
    voltage: float | None
    """V at its terminals; None if not measured."""


@dataclass(frozen=True, slots=True)
class Order:
    """What one module and its relays have to do."""

    coil: str | None = None
    """The connector whose relay is to be closed; all others are to be open."""
    follows: str | None = None
    """The connector whose set-points it obeys."""
    match: float | None = None
    """Without a connector to follow: hold this voltage in V with at most :data:`ZERO_CURRENT`.
    Neither this nor a connector to follow: be off."""


class Stage(Enum):
    """Where a module is on its way."""

    FREE = 'free'
    MATCHING = 'brought to the voltage of its connector'
    CLOSING = 'relay closes'
    SERVING = 'serves its connector'
    LEAVING = 'leaves: its connector has notice'
    STOPPING = 'switched off, waits for zero current'
    OPENING = 'relay opens'
    FAILED = 'failed'


@dataclass(slots=True)
class _Module:
    """One module's state."""

    name: str
    reach: frozenset[str]
    stage: Stage = Stage.OPENING
    since: float | None = None
    """When the stage began; None before the first step."""
    coil: str | None = None
    target: str | None = None
    joined: float | None = None
    """When it began to serve."""
    failure: str = ''
    still: Persistence = field(default_factory=Persistence)
    matched: Persistence = field(default_factory=Persistence)
    unseen: Persistence = field(default_factory=Persistence)

    def enter(self, stage: Stage, now: float) -> None:
        self.stage, self.since = stage, now
        self.still, self.matched, self.unseen = Persistence(), Persistence(), Persistence()

    def fail(self, text: str, now: float) -> None:
        self.failure = text
        self.enter(Stage.FAILED, now)


class Cabinet:
    """Shares modules between connectors, step by step."""

    def __init__(
        self, matrix: Mapping[str, Sequence[str]], module_current: float,
        least_stay: float = LEAST_STAY,
    ) -> None:
        """Take the connectors that each module can serve, by module, and a module's current in A.

        `least_stay` is the time in s for which a module stays with its connector at least. Raise
        ``ValueError`` if a module can serve none, or for a current that is not positive.
        """
        if not matrix:
            raise ValueError('no module is configured')
        for name, connectors in matrix.items():
            if not connectors or len(set(connectors)) < len(connectors):
                raise ValueError(f'module {name}: at least one connector, each once')
        if not module_current > 0.0:
            raise ValueError(f'a module of {module_current} A')
        self._current, self._least_stay = module_current, least_stay
        self._modules = {name: _Module(name, frozenset(connectors))
                         for name, connectors in matrix.items()}

    def stage(self, module: str) -> Stage:
        """Return where a module is on its way."""
        return self._modules[module].stage

    def owner(self, module: str) -> str | None:
        """Return the connector that counts on a module; notice ends that."""
        state = self._modules[module]
        return state.coil if state.stage is Stage.SERVING else None

    def offer(self, connector: str, outputs: Mapping[str, OutputView]) -> int:
        """Return how many modules a connector would get if its vehicle wanted all that there is."""
        wanted = {name: output.wanted for name, output in outputs.items()} | {connector: math.inf}
        return sum(given == connector
                   for given in self._deal(wanted, lambda module: True).values())

    def faults(self) -> dict[str, str]:
        """Return what is wrong, by module; a failed module stays off until it is cleared."""
        return {name: module.failure for name, module in self._modules.items() if module.failure}

    def clear(self, module: str, now: float) -> None:
        """Forget a failure; the module begins again by being seen off and open."""
        state = self._modules[module]
        if state.stage is Stage.FAILED:
            state.failure = ''
            state.enter(Stage.STOPPING, now)

    def step(
        self, outputs: Mapping[str, OutputView], views: Mapping[str, ModuleView], now: float,
    ) -> dict[str, Order]:
        """Return the orders for all modules, on what is measured now."""
        wanted = self._share(outputs, now)
        orders = {}
        for name, module in self._modules.items():
            module.target = wanted.get(name)
            self._advance(module, outputs, views[name], now)
            orders[name] = self._order(module, outputs)
        return orders

    # Who gets which module.

    def _share(self, outputs: Mapping[str, OutputView], now: float) -> dict[str, str]:
        """Return the connector that each module should serve: what nobody needs stays."""
        wanted = {connector: output.wanted for connector, output in outputs.items()}
        found = self._deal(wanted, lambda module: (
            module.joined is None or now - module.joined >= self._least_stay))
        return {name: module.coil for name, module in self._modules.items()
                if module.coil and module.stage is not Stage.FAILED} | found

    def _deal(
        self, wanted: Mapping[str, float], may_go: Callable[[_Module], bool],
    ) -> dict[str, str]:
        """Return the connector that each module is needed by.

        In turns, whoever has the fewest takes one that it needs: of its own, else a free one, else
        another's that may go. For one that would have none, another makes way.
        """
        left = {name: module for name, module in self._modules.items()
                if module.stage is not Stage.FAILED}
        given = {connector: 0 for connector, current in wanted.items() if current > 0.0}
        found: dict[str, str] = {}
        while given:
            connector = min(given, key=lambda name: (given[name], name))
            choice = [module for module in left.values() if connector in module.reach
                      and module.coil in (connector, None)]
            choice = choice or [module for module in left.values()
                                if connector in module.reach and may_go(module)]
            if not choice and not given[connector]:
                choice = self._make_way(connector, left, found, may_go)
            if given[connector] * self._current >= wanted[connector] or not choice:
                del given[connector]
                continue
            taken = min(choice, key=lambda module: (
                module.coil != connector, module.target != connector, len(module.reach),
                module.name))
            del left[taken.name]
            found[taken.name] = connector
            given[connector] += 1
        return found

    def _make_way(
        self, connector: str, left: dict[str, _Module], found: dict[str, str],
        may_go: Callable[[_Module], bool],
    ) -> list[_Module]:
        """Return a module that another connector can do without, because it is served by one more.

        As long as there is none, one that is left serves the other connector, too.
        """
        for name, other in found.items():
            module = self._modules[name]
            if connector not in module.reach or not (module.coil is None or may_go(module)):
                continue
            instead = next((each for each in left.values()
                            if other in each.reach and each.coil in (other, None)), None)
            if instead is None:
                continue
            found[instead.name] = other
            del left[instead.name]
            if module.coil == other and instead.stage is not Stage.SERVING:
                return []
            left[name] = module
            del found[name]
            return [module]
        return []

    # How a module gets there.

    def _advance(
        self, module: _Module, outputs: Mapping[str, OutputView], view: ModuleView, now: float,
    ) -> None:
        """Take at most one step."""
        if module.since is None:
            module.since = now
        lasted, seen = now - module.since, view.relays.get(module.coil or '')
        unseen = seen is False or module.unseen.exceeds(seen is None, now, RELAY_TIME)
        still = module.still.exceeds(
            view.current is not None and abs(view.current) < ZERO_CURRENT, now, SETTLED)
        crossed = any(view.relays.get(connector) is True for connector in module.reach
                      if connector != module.coil)
        match module.stage:
            case Stage.FAILED:
                if still and not crossed:
                    module.coil = None
            case Stage.OPENING:
                if all(view.relays.get(connector) is False for connector in module.reach):
                    module.joined = None
                    module.enter(Stage.FREE, now)
                elif lasted > RELAY_TIME:
                    module.fail('a relay is not seen open', now)
            case _ if crossed:
                module.fail('a relay is closed that should be open', now)
            case Stage.FREE if module.target is not None:
                module.enter(Stage.MATCHING, now)
            case Stage.MATCHING:
                self._close(module, outputs, view, still, now)
            case Stage.CLOSING if seen is True:
                module.joined = now
                module.enter(Stage.SERVING, now)
            case Stage.CLOSING if lasted > RELAY_TIME:
                # It carries nothing: the module was held at the output's voltage all the time.
                module.coil = None
                module.fail('its relay does not close', now)
            case Stage.SERVING | Stage.LEAVING if unseen:
                module.fail('its relay is not seen closed', now)
            case Stage.SERVING if module.target != module.coil:
                module.enter(Stage.LEAVING, now)
            case Stage.LEAVING if lasted >= NOTICE:
                module.enter(Stage.STOPPING, now)
            case Stage.STOPPING if still:
                module.coil = None
                module.enter(Stage.OPENING, now)
            case Stage.STOPPING if lasted > STOP_TIME:
                module.fail('its current does not go', now)

    @staticmethod
    def _close(
        module: _Module, outputs: Mapping[str, OutputView], view: ModuleView, still: bool,
        now: float,
    ) -> None:
        if module.target is None:
            module.enter(Stage.FREE, now)
            return
        output = outputs[module.target].voltage
        near = (output is not None and view.voltage is not None
                and abs(output - view.voltage) <= SAME_VOLTAGE)
        seen_open = all(view.relays.get(connector) is False for connector in module.reach)
        if module.matched.exceeds(near and seen_open, now, SETTLED) and still:
            module.coil = module.target
            module.enter(Stage.CLOSING, now)

    @staticmethod
    def _order(module: _Module, outputs: Mapping[str, OutputView]) -> Order:
        if module.stage in (Stage.SERVING, Stage.LEAVING):
            return Order(module.coil, follows=module.coil)
        joins = module.coil if module.stage is Stage.CLOSING else module.target
        if module.stage in (Stage.MATCHING, Stage.CLOSING) and joins is not None:
            voltage = outputs[joins].voltage
            return Order(module.coil, match=voltage if voltage and voltage >= DEAD else None)
        return Order(module.coil)
