"""When things happened at the output, to the step of the simulated world."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ccs2_sim.physics import VehicleLoad, World

#: So many events are remembered.
REMEMBERED = 256
#: Less than this is no current, in A.
NO_CURRENT = 1.0
#: A current set-point that falls by more has been commanded to fall, in A.
FALL = 0.1

#: What is noted when it changes: what the station commands, and what is true.
ASPECTS: Mapping[str, Callable[[World], bool]] = {
    'coils': lambda world: world.coils_wanted,
    'supply': lambda world: world.supply.wanted,
    'closed': lambda world: world.station_closed,
    'current': lambda world: abs(world.supply.current) >= NO_CURRENT,
    'output': lambda world: world.supply.on,
    'plugged': lambda world: world.pilot.plugged,
    'ready': lambda world: world.pilot.plugged and world.pilot.load is not VehicleLoad.B,
}


@dataclass(frozen=True, slots=True)
class Event:
    """One change."""

    time: float
    """s of the clock that the plant is run by."""
    what: str
    """One of :data:`ASPECTS`, or `'less'`: a lower current is commanded."""
    value: bool
    """What it is from now on."""


class Chronicle:
    """Notes each change; feed it after each step."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._values = {what: look(world) for what, look in ASPECTS.items()}
        self._set_current = 0.0
        self._events: deque[Event] = deque(maxlen=REMEMBERED)

    def note(self, now: float) -> None:
        """Take note of what is different now."""
        world = self._world
        for what, look in ASPECTS.items():
            value = look(world)
            if value is not self._values[what]:
                self._values[what] = value
                self._events.append(Event(now, what, value))
        wanted = abs(world.supply.set_current)
        if wanted < self._set_current - FALL:
            self._events.append(Event(now, 'less', True))
        self._set_current = wanted

    def since(self, start: float) -> list[Event]:
        """Return what has happened from `start` on, oldest first."""
        return [event for event in self._events if event.time >= start]
