"""A power line on a virtual clock: what one modem sends, others hear, weaker, later or not."""

from __future__ import annotations

import heapq
import itertools
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Protocol

from ccs2_link.homeplug.keys import Nmk

Network = tuple[bytes, Nmk]
"""Identifier and key: modems with equal ones are in one logical network."""


@dataclass(frozen=True, slots=True)
class Path:
    """How a frame gets from one modem to another, the same in both directions.

    `attenuation` [dB] 0..255, `loss` and `duplication` probabilities 0..1, `delay` and `jitter`
    [s]; the jitter is evenly spread on top of the delay.
    """

    attenuation: float = 25.0
    loss: float = 0.0
    duplication: float = 0.0
    delay: float = 0.002
    jitter: float = 0.0

    def __post_init__(self) -> None:
        """Raise ValueError naming the figure that is out of range."""
        for name, high in (
            ('attenuation', 255.0), ('loss', 1.0), ('duplication', 1.0), ('delay', 60.0),
            ('jitter', 60.0),
        ):
            value = getattr(self, name)
            if not 0 <= value <= high:
                raise ValueError(f'{name} is {value}, allowed is 0 to {high:g}')


class Station(Protocol):
    """A modem as the line sees it."""

    def hear(self, now: float, frame: bytes, network: Network | None, attenuation: float) -> None:
        """Take a frame; `network` is None for what everybody understands."""

    def network(self, now: float) -> Network | None:
        """Return the network that the modem has joined by now."""


class PowerLine:
    """Carries frames between stations that have a path to each other."""

    def __init__(self, random: Random) -> None:
        """Draw losses and delays from `random`, so that a seed repeats a run."""
        self.counters: Counter[str] = Counter()
        #: Told every frame that is sent; a capture, for one.
        self.on_frame: Callable[[bytes], None] = lambda frame: None
        self._random = random
        self._stations: dict[str, Station] = {}
        self._paths: dict[frozenset[str], Path] = {}
        self._noise_until = -math.inf
        self._order = itertools.count()
        self._flying: list[tuple[float, int, str, bytes, Network | None, float]] = []

    def attach(self, name: str, station: Station) -> None:
        """Put a modem on the line; it hears nobody before `connect`."""
        self._stations[name] = station

    def connect(self, one: str, other: str, path: Path) -> None:
        """Lay a cable, or cross-talk, between two modems; again to change it."""
        self._paths[frozenset((one, other))] = path

    def disconnect(self, one: str, other: str) -> None:
        """Pull the plug between two modems."""
        self._paths.pop(frozenset((one, other)), None)

    def noise(self, now: float, duration: float) -> None:
        """Drown everything that is sent in the next `duration` seconds."""
        self._noise_until = now + duration

    def send(self, now: float, sender: str, frame: bytes, network: Network | None) -> None:
        """Let a modem speak to all that have a path to it."""
        self.on_frame(frame)
        for name, path in self._neighbours(sender):
            if now < self._noise_until or self._random.random() < path.loss:
                self.counters['lost'] += 1
                continue
            copies = 2 if self._random.random() < path.duplication else 1
            self.counters['duplicated'] += copies - 1
            for _ in range(copies):
                arrival = now + path.delay + path.jitter * self._random.random()
                item = (arrival, next(self._order), name, frame, network, path.attenuation)
                heapq.heappush(self._flying, item)

    def linked(self, now: float, name: str) -> bool:
        """Tell whether a modem shares its network with another that it can hear."""
        network = self._stations[name].network(now)
        if network is None or now < self._noise_until:
            return False
        return any(
            self._stations[other].network(now) == network for other, _ in self._neighbours(name)
        )

    def deadline(self) -> float | None:
        """Return when the next frame arrives."""
        return self._flying[0][0] if self._flying else None

    def tick(self, now: float) -> None:
        """Deliver what has arrived."""
        while self._flying and self._flying[0][0] <= now:
            _, _, name, frame, network, attenuation = heapq.heappop(self._flying)
            self.counters['delivered'] += 1
            self._stations[name].hear(now, frame, network, attenuation)

    def _neighbours(self, name: str) -> list[tuple[str, Path]]:
        found = ((other, self._paths.get(frozenset((name, other)))) for other in self._stations)
        return [(other, path) for other, path in found if path is not None and other != name]
