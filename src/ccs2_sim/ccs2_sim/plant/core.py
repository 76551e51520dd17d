"""The plant without sockets: world, devices, faults and one clock that is handed in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ccs2_sim.physics import STEP, World, WorldRating
from ccs2_sim.plant.chronicle import Chronicle
from ccs2_sim.plant.devices import DEVICES, CommandError, Device, Fields
from ccs2_sim.plant.wire import Object

#: A process that was stopped for longer than this does not catch up: the world stood still, s.
LONGEST_CATCH_UP = 0.5


@dataclass
class Disturbances:
    """How the devices' measurements and commands are spoiled, by device name."""

    silent: set[str] = field(default_factory=set)
    """Reports nothing."""
    deaf: set[str] = field(default_factory=set)
    """Hears no commands (its own time-out runs)."""
    frozen: dict[str, Object] = field(default_factory=dict)
    """Reports these values for ever, with fresh stamps."""
    bias: dict[tuple[str, str], float] = field(default_factory=dict)
    """Adds this to a number of the report."""
    modules: dict[str, dict[str, float]] = field(default_factory=dict)
    """Faults of emulated DC modules: by kind, a value for each module's address."""


@dataclass
class _Attached:
    """One connected client."""

    device: Device
    due: float
    heard: float


class PlantCore:
    """World and devices; every method gets the time in s of one monotonic clock."""

    def __init__(self, now: float, rating: WorldRating | None = None) -> None:
        self.world = World(rating)
        self.chronicle = Chronicle(self.world)
        self.disturbances = Disturbances()
        #: Faults that were put in and not cleared: name and argument.
        self.faults: set[tuple[str, str]] = set()
        #: Time that the world stood still because this process did not run, s.
        self.lost_time = 0.0
        self._now = now
        self._attached: dict[str, _Attached] = {}
        self._isolation_stamp = now

    def attach(self, name: str, now: float) -> Device:
        """Connect a client to a device; raise :class:`CommandError` if it cannot be had."""
        device = DEVICES.get(name)
        if device is None:
            raise CommandError(f'no device {name!r}; there are {", ".join(DEVICES)}')
        if name in self._attached:
            raise CommandError(f'device {name!r} has a client already')
        self.advance(now)
        self._attached[name] = _Attached(device, now, now)
        return device

    def detach(self, name: str, now: float) -> None:
        """Take note that a device's client is gone: the hardware does what it does then."""
        self.advance(now)
        del self._attached[name]
        DEVICES[name].safe(self.world)

    def attached(self) -> list[str]:
        """Return the devices that have a client."""
        return sorted(self._attached)

    def command(self, name: str, content: Mapping[str, Any], now: float) -> None:
        """Apply a client's command; raise :class:`CommandError` for one that makes no sense."""
        self.advance(now)
        if name in self.disturbances.deaf:
            return
        device = DEVICES[name]
        device.command(self.world, Fields(name, content))
        self._attached[name].heard = now

    def advance(self, now: float) -> None:
        """Bring the world up to `now`."""
        behind = now - self._now
        if behind > LONGEST_CATCH_UP:
            self.lost_time += behind - LONGEST_CATCH_UP
            self._now = now - LONGEST_CATCH_UP
        monitor = self.world.monitor
        while self._now + STEP <= now:
            self._now += STEP
            self._time_out()
            values = monitor.values
            self.world.step()
            self.chronicle.note(self._now)
            if monitor.values != values:
                self._isolation_stamp = self._now

    def reports(self, now: float) -> list[tuple[str, Object]]:
        """Return the reports that are due now, by device name."""
        self.advance(now)
        due = []
        for name, client in self._attached.items():
            if client.due > now + STEP:
                continue
            client.due = max(client.due + client.device.period, now)
            if name not in self.disturbances.silent:
                due.append((name, self.report(name)))
        return due

    def report(self, name: str) -> Object:
        """Return what a device says now, as spoiled by the disturbances."""
        report = self.disturbances.frozen.get(name)
        if report is None:
            report = DEVICES[name].report(self.world)
            if name == 'isolation':
                report['taken'] = self._isolation_stamp
            if name == 'supply':
                report['modules'] = self.disturbances.modules
        biased = {
            key: report[key] + offset for (device, key), offset in self.disturbances.bias.items()
            if device == name and isinstance(report.get(key), int | float)}
        return {**report, **biased, 'stamp': self._now}

    def state(self) -> Object:
        """Return everything there is to know, for people: true values, not measured ones."""
        world = self.world
        return {
            'time': world.time, 'lost_time': self.lost_time, 'attached': self.attached(),
            'faults': [' '.join(fault).strip() for fault in sorted(self.faults)],
            'opened_under_load': world.opened_under_load,
            'highest_inrush': world.highest_inrush,
            'closed': world.station_closed,
            **{name: device.report(world) for name, device in DEVICES.items()},
        }

    def _time_out(self) -> None:
        for client in self._attached.values():
            timeout = client.device.timeout
            if timeout is not None and self._now - client.heard > timeout:
                client.device.safe(self.world)
