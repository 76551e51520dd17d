"""The car's body: battery, contactors and pilot, in the plant or only imagined."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from ccs2_sim.evcc.vehicle import VehicleState, Wish
from ccs2_sim.physics import Battery, BatteryRating
from ccs2_sim.plant.client import PlantClient
from ccs2_sim.plant.wire import Object

#: Duty cycles that mean digital communication (IEC 61851-1 table A.7).
DIGITAL_DUTY = (0.03, 0.07)


class Vehicle(Protocol):
    """What a session needs of a car's body."""

    @property
    def state(self) -> VehicleState:
        """Return the newest snapshot."""

    async def open(self, changed: Callable[[], None]) -> None:
        """Make it ready; `changed` is called whenever there is a new snapshot."""

    async def close(self) -> None:
        """Let go of it: its contactors open."""

    def wish(self, wish: Wish, state_of_charge: float = math.nan) -> None:
        """Do something at the inlet.

        `state_of_charge` (ratio 0..1) is the battery's when the plug goes in; NaN: as it was.
        """

    def report(self, voltage: float, current: float) -> None:
        """Hear what the station says is at its outlet, V and A."""


class PlantVehicle:
    """The car's body in the plant."""

    def __init__(self, socket: str = '') -> None:
        self._socket = socket
        self._client = PlantClient('vehicle', self._take)
        self._changed: Callable[[], None] = lambda: None
        self._state: VehicleState | None = None

    @property
    def state(self) -> VehicleState:
        """Return the newest snapshot; raise ``RuntimeError`` before there is one."""
        if self._state is None:
            raise RuntimeError('not open')
        return self._state

    async def open(self, changed: Callable[[], None]) -> None:
        """Connect to the plant; raise ``PlantError`` if it is not there."""
        self._changed = changed
        await self._client.open(self._socket)

    async def close(self) -> None:
        """Cut the connection: the plant opens the car's contactors."""
        await self._client.close()

    def wish(self, wish: Wish, state_of_charge: float = math.nan) -> None:
        """Hand the wish over to the plant."""
        content: Object = {
            'plugged': wish.plugged, 'load': wish.load, 'contactors': wish.contactors,
            'tear': wish.tear}
        if not math.isnan(state_of_charge):
            content['state_of_charge'] = state_of_charge
        self._client.command(**content)

    def report(self, voltage: float, current: float) -> None:
        """Nothing: the car measures for itself."""

    def _take(self, report: Object) -> None:
        self._state = VehicleState(
            plugged=report['plugged'], duty=report['duty'], voltage=report['voltage'],
            current=report['current'], battery_voltage=report['battery_voltage'],
            contactors=report['contactors'], state_of_charge=report['state_of_charge'],
            maximum_voltage=report['maximum_voltage'], capacity=report['capacity'],
            time_factor=report['time_factor'], energy=report['energy'])
        self._changed()


class ImaginedVehicle:
    """A car's body without a plant: it believes what the station says of voltage and current."""

    def __init__(self, rating: BatteryRating | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._battery = Battery(rating)
        self._wish = Wish(plugged=False)
        self._voltage = self._current = 0.0
        self._counted = self._loop.time()

    @property
    def state(self) -> VehicleState:
        """Return the snapshot of now."""
        self._count()
        battery, wish, closed = self._battery, self._wish, self._wish.contactors
        return VehicleState(
            plugged=wish.plugged, duty=sum(DIGITAL_DUTY) / 2,
            # After the session nobody tells any more: the output is off.
            voltage=self._voltage if wish.load != 'B' else 0.0,
            current=self._current if closed else 0.0, battery_voltage=battery.voltage,
            contactors=closed, state_of_charge=battery.state_of_charge,
            maximum_voltage=battery.rating.maximum_voltage, capacity=battery.rating.capacity,
            time_factor=battery.rating.time_factor, energy=battery.stored)

    async def open(self, changed: Callable[[], None]) -> None:
        """Nothing to open."""

    async def close(self) -> None:
        """Nothing to close."""

    def wish(self, wish: Wish, state_of_charge: float = math.nan) -> None:
        """Take a wish; it is fulfilled at once."""
        self._count()
        if not self._wish.plugged and not math.isnan(state_of_charge):
            rating = replace(self._battery.rating, state_of_charge=state_of_charge)
            self._battery = Battery(rating)
        self._wish = wish

    def report(self, voltage: float, current: float) -> None:
        """Take what the station says as true."""
        self._count()
        self._voltage, self._current = voltage, current

    def _count(self) -> None:
        now = self._loop.time()
        if self._wish.contactors:
            self._battery.flow(self._current * (now - self._counted), self._battery.voltage)
        self._counted = now
