"""The devices of the plant: what each reports, obeys, and does when nobody drives it any more."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ccs2_sim.physics import VehicleLoad, World
from ccs2_sim.plant.wire import Object


class CommandError(Exception):
    """A command that makes no sense; the text names the device and the field."""


class Fields:
    """Typed access to the fields of a command."""

    def __init__(self, device: str, content: Mapping[str, Any]) -> None:
        self._device = device
        self._content = content

    def flag(self, name: str, default: bool | None = None) -> bool:
        """Return a truth value."""
        value = self._content.get(name, default)
        if not isinstance(value, bool):
            raise CommandError(f'{self._device}.{name} is {value!r}, not true or false')
        return value

    def number(self, name: str, low: float, high: float) -> float:
        """Return a number within `low` to `high`."""
        value = self._content.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
            raise CommandError(f'{self._device}.{name} is {value!r}, not a number')
        if not low <= value <= high:
            raise CommandError(f'{self._device}.{name} is {value}, not within {low} to {high}')
        return float(value)

    def optional_number(self, name: str, low: float, high: float) -> float | None:
        """Return a number within `low` to `high`, or None if it is null or absent."""
        return None if self._content.get(name) is None else self.number(name, low, high)

    def choice(self, name: str, choices: type[VehicleLoad]) -> VehicleLoad:
        """Return a member of an enumeration by its name."""
        value = self._content.get(name)
        if not isinstance(value, str) or value not in choices.__members__:
            raise CommandError(
                f'{self._device}.{name} is {value!r}, not one of {", ".join(choices.__members__)}')
        return choices[value]


@dataclass(frozen=True)
class Device:
    """One device: what passes over its connection."""

    name: str
    period: float
    """s between reports."""
    report: Callable[[World], Object]
    command: Callable[[World, Fields], None]
    """Applies a command; raises :class:`CommandError`."""
    safe: Callable[[World], None]
    """What the hardware does when its driver is gone or silent."""
    timeout: float | None = None
    """s without a command after which it counts as silent; None: only a closed socket counts."""


def _nothing(world: World) -> None:
    """Stay as it is."""


def _no_command(world: World, fields: Fields) -> None:
    raise CommandError('this device takes no commands')


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _report_pilot(world: World) -> Object:
    levels = world.pilot.levels()
    return {'high': levels.high, 'low': levels.low, 'duty': levels.duty}


def _command_pilot(world: World, fields: Fields) -> None:
    world.pilot.duty = fields.number('duty', 0.0, 1.0)


def _safe_pilot(world: World) -> None:
    world.pilot.duty = 0.0


def _report_contactors(world: World) -> Object:
    return {pole: contactor.feedback for pole, contactor in world.contactors.items()}


def _command_contactors(world: World, fields: Fields) -> None:
    world.coils_wanted = fields.flag('main')


def _safe_contactors(world: World) -> None:
    world.coils_wanted = False


def _report_lock(world: World) -> Object:
    return {'locked': world.lock.locked}


def _command_lock(world: World, fields: Fields) -> None:
    world.lock.wanted = fields.flag('locked')


def _report_emergency_stop(world: World) -> Object:
    return {'pressed': world.emergency_stop}


def _report_voltmeter(world: World) -> Object:
    return {'voltage': world.cable_voltage}


def _report_isolation(world: World) -> Object:
    monitor = world.monitor
    return {
        'measured': monitor.resistance is not None,
        'resistance': _finite(monitor.resistance),
        'voltage': world.supply.voltage,
        'self_test': monitor.self_test.value,
    }


def _command_isolation(world: World, fields: Fields) -> None:
    world.monitor.command(fields.flag('measure'), fields.flag('self_test'))


def _safe_isolation(world: World) -> None:
    world.monitor.command(False, False)


def _report_supply(world: World) -> Object:
    supply, rating = world.supply, world.supply.rating
    return {
        'voltage': supply.voltage, 'current': supply.current, 'on': supply.on,
        'set_voltage': supply.set_voltage, 'set_current': supply.set_current,
        'temperature': supply.temperature, 'alarm': supply.alarm,
        'limits': {
            'minimum_voltage': rating.minimum_voltage, 'maximum_voltage': rating.maximum_voltage,
            'minimum_current': rating.minimum_current, 'maximum_current': rating.maximum_current,
            'maximum_power': rating.maximum_power,
            'maximum_discharge_current': rating.maximum_discharge_current,
            'maximum_discharge_power': rating.maximum_discharge_power,
            'current_regulation_tolerance': rating.current_regulation_tolerance,
            'peak_current_ripple': rating.peak_current_ripple,
        },
    }


def _command_supply(world: World, fields: Fields) -> None:
    world.supply.command(
        fields.flag('on'), fields.number('voltage', 0, 1e4), fields.number('current', -1e4, 1e4))


def _safe_supply(world: World) -> None:
    world.supply.command(False, 0.0, 0.0)


def _report_meter(world: World) -> Object:
    return {
        'imported': world.imported, 'exported': world.exported, 'voltage': world.cable_voltage,
        'current': world.cable_current, 'power': world.cable_voltage * world.cable_current,
    }


def _report_thermometer(world: World) -> Object:
    return dict(world.contact_temperature)


def _report_vehicle(world: World) -> Object:
    levels = world.pilot.levels()
    return {
        'plugged': world.pilot.plugged, 'locked': world.lock.locked,
        'duty': world.pilot.vehicle_duty(),
        'pilot': levels.high, 'voltage': world.cable_voltage if world.pilot.plugged else 0.0,
        'current': world.battery_current, 'battery_voltage': world.terminal_voltage,
        'contactors': world.vehicle_contactor.closed,
        'state_of_charge': world.battery.state_of_charge, 'energy': world.battery.stored,
        'maximum_voltage': world.battery.rating.maximum_voltage,
        'capacity': world.battery.rating.capacity, 'time_factor': world.battery.rating.time_factor,
    }


def _command_vehicle(world: World, fields: Fields) -> None:
    if fields.flag('plugged'):
        if not world.pilot.plugged:
            world.plug_in(fields.optional_number('state_of_charge', 0, 1))
        world.pilot.load = fields.choice('load', VehicleLoad)
    elif world.pilot.plugged:
        world.pull(tear=fields.flag('tear', False))
    world.vehicle_contactor.coil = fields.flag('contactors')


def _safe_vehicle(world: World) -> None:
    world.vehicle_contactor.coil = False
    world.pilot.load = VehicleLoad.B


#: All devices by name. Each has one client at a time.
DEVICES: Mapping[str, Device] = {device.name: device for device in (
    Device('pilot', 0.01, _report_pilot, _command_pilot, _safe_pilot, timeout=0.25),
    Device('contactors', 0.01, _report_contactors, _command_contactors, _safe_contactors,
           timeout=0.2),
    Device('lock', 0.1, _report_lock, _command_lock, _nothing),
    Device('emergency_stop', 0.01, _report_emergency_stop, _no_command, _nothing),
    Device('voltmeter', 0.02, _report_voltmeter, _no_command, _nothing),
    Device('second_voltmeter', 0.04, _report_voltmeter, _no_command, _nothing),
    Device('isolation', 0.1, _report_isolation, _command_isolation, _safe_isolation, timeout=0.5),
    Device('supply', 0.02, _report_supply, _command_supply, _safe_supply, timeout=0.2),
    Device('meter', 0.1, _report_meter, _no_command, _nothing),
    Device('thermometer', 0.5, _report_thermometer, _no_command, _nothing),
    Device('vehicle', 0.02, _report_vehicle, _command_vehicle, _safe_vehicle),
)}
