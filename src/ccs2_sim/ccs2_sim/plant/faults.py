"""The faults that can be put into the plant: name, meaning, argument, what they change."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ccs2_sim.can_modules.module import FAULTS as MODULE_FAULTS
from ccs2_sim.physics.world import POLES
from ccs2_sim.plant.core import PlantCore
from ccs2_sim.plant.devices import DEVICES, CommandError

Change = Callable[[PlantCore, str], None]


@dataclass(frozen=True)
class Fault:
    """One kind of fault. `put` and `clear` raise :class:`CommandError` for a bad argument."""

    name: str
    doc: str
    put: Change
    clear: Change
    argument: str = ''
    """What the argument means; '' if there is none."""


def _poles(argument: str) -> tuple[str, ...]:
    if argument in ('', 'both'):
        return POLES
    if argument not in POLES:
        raise CommandError(f'no contactor {argument!r}; there are {", ".join(POLES)} and both')
    return (argument,)


def _contactors(attribute: str, value: object) -> Change:
    def change(core: PlantCore, argument: str) -> None:
        for pole in _poles(argument):
            setattr(core.world.contactors[pole], attribute, value)
    return change


def _stick_feedback(core: PlantCore, argument: str) -> None:
    for pole in _poles(argument):
        contactor = core.world.contactors[pole]
        contactor.mirror_stuck = contactor.feedback


def _set(part: str, attribute: str, value: object) -> Change:
    def change(core: PlantCore, argument: str) -> None:
        owner = getattr(core.world, part) if part else core.world
        setattr(owner, attribute, value)
    return change


def _open_lock(core: PlantCore, argument: str) -> None:
    core.world.lock.locked, core.world.lock.stuck = False, True


def _number(argument: str, what: str, low: float, high: float) -> float:
    try:
        value = float(argument)
    except ValueError:
        raise CommandError(f'{what} is {argument!r}, not a number') from None
    if not low <= value <= high:
        raise CommandError(f'{what} is {value}, not within {low} to {high}')
    return value


def _section(argument: str) -> tuple[str, str]:
    section, _, ohm = argument.partition('=')
    if section not in ('station', 'cable', 'vehicle'):
        raise CommandError(f'no section {section!r}; there are station, cable and vehicle')
    return section, ohm


def _earth(core: PlantCore, argument: str) -> None:
    section, ohm = _section(argument)
    core.world.isolation[section] = _number(ohm, 'resistance', 1, 1e12)


def _unearth(core: PlantCore, argument: str) -> None:
    cable = core.world.rating.cable
    for section in (_section(argument)[0],) if argument else ('station', 'cable', 'vehicle'):
        core.world.isolation[section] = getattr(cable, f'{section}_isolation')


def _device(argument: str) -> str:
    if argument not in DEVICES:
        raise CommandError(f'no device {argument!r}; there are {", ".join(DEVICES)}')
    return argument


def _all_or(argument: str) -> tuple[str, ...]:
    return (_device(argument),) if argument else tuple(DEVICES)


def _silence(core: PlantCore, argument: str) -> None:
    core.disturbances.silent.add(_device(argument))


def _unsilence(core: PlantCore, argument: str) -> None:
    core.disturbances.silent.difference_update(_all_or(argument))


def _deafen(core: PlantCore, argument: str) -> None:
    core.disturbances.deaf.add(_device(argument))


def _undeafen(core: PlantCore, argument: str) -> None:
    core.disturbances.deaf.difference_update(_all_or(argument))


def _freeze(core: PlantCore, argument: str) -> None:
    core.disturbances.frozen[_device(argument)] = core.report(argument)


def _thaw(core: PlantCore, argument: str) -> None:
    for name in _all_or(argument):
        core.disturbances.frozen.pop(name, None)


def _bias(core: PlantCore, argument: str) -> None:
    place, _, offset = argument.partition('=')
    device, _, key = place.partition('.')
    known = DEVICES[_device(device)].report(core.world)
    if isinstance(known.get(key), bool) or not isinstance(known.get(key), int | float):
        raise CommandError(f'{device} reports no number {key!r}')
    core.disturbances.bias[device, key] = _number(offset, 'bias', -1e6, 1e6)


def _unbias(core: PlantCore, argument: str) -> None:
    place = argument.partition('=')[0]
    for device, key in list(core.disturbances.bias):
        if place in ('', f'{device}.{key}'):
            del core.disturbances.bias[device, key]


def _alarm(core: PlantCore, argument: str) -> None:
    core.world.supply.alarm = argument or 'internal fault'


def _heat(core: PlantCore, argument: str) -> None:
    temperature = _number(argument, 'temperature', -40, 200)
    for pole in POLES:
        core.world.contact_temperature[pole] = temperature


def _module(argument: str) -> str:
    if not (argument.isascii() and argument.isdecimal()):
        raise CommandError(f'module address is {argument!r}, not a number')
    return str(int(argument))


def _spoil_module(kind: str) -> Change:
    def change(core: PlantCore, argument: str) -> None:
        text, _, value = argument.partition('=')
        address = _module(text)
        number = _number(value, 'voltage', -1e4, 1e4) if kind == 'wrong' else 0.0
        core.disturbances.modules.setdefault(kind, {})[address] = number
    return change


def _mend_module(kind: str) -> Change:
    def change(core: PlantCore, argument: str) -> None:
        spoiled = core.disturbances.modules.pop(kind, {})
        if argument:
            spoiled.pop(_module(argument.partition('=')[0]), None)
            core.disturbances.modules[kind] = spoiled
    return change


def _nothing(core: PlantCore, argument: str) -> None:
    """Cools down by itself."""


FAULTS: Mapping[str, Fault] = {fault.name: fault for fault in (
    Fault('contactor_welded', 'main contact of the station does not open, or closes for good',
          _contactors('welded', True), _contactors('welded', False), 'DC+, DC- or both'),
    Fault('contactor_blocked', 'main contact of the station does not close',
          _contactors('blocked', True), _contactors('blocked', False), 'DC+, DC- or both'),
    Fault('contactor_dropped', 'main contact of the station opens: its coil has no current',
          _contactors('dropped', True), _contactors('dropped', False), 'DC+, DC- or both'),
    Fault('feedback_stuck', 'mirror contact stays as it is now',
          _stick_feedback, _contactors('mirror_stuck', None), 'DC+, DC- or both'),
    Fault('vehicle_contactor_welded', "vehicle's contactor does not open",
          _set('vehicle_contactor', 'welded', True), _set('vehicle_contactor', 'welded', False)),
    Fault('isolation', 'low resistance to earth', _earth, _unearth,
          'station, cable or vehicle, = and ohm'),
    Fault('isolation_monitor_defective', 'self-test of the isolation monitor fails',
          _set('monitor', 'defective', True), _set('monitor', 'defective', False)),
    Fault('emergency_stop', 'emergency stop pressed: coil supply broken, input set',
          _set('', 'emergency_stop', True), _set('', 'emergency_stop', False)),
    Fault('pilot_shorted', 'pilot touches protective earth',
          _set('pilot', 'shorted', True), _set('pilot', 'shorted', False)),
    Fault('pilot_broken', 'pilot wire to the vehicle interrupted',
          _set('pilot', 'broken', True), _set('pilot', 'broken', False)),
    Fault('pilot_failed', "station's generator gives steady -12 V (state F)",
          _set('pilot', 'failed', True), _set('pilot', 'failed', False)),
    Fault('pilot_diode', "vehicle's diode conducts both ways",
          _set('pilot', 'diode_bridged', True), _set('pilot', 'diode_bridged', False)),
    Fault('lock_stuck', 'lock does not move',
          _set('lock', 'stuck', True), _set('lock', 'stuck', False)),
    Fault('lock_open', 'lock opens, and does not move any more', _open_lock,
          _set('lock', 'stuck', False)),
    Fault('supply_stuck_on', 'supply does not switch off',
          _set('supply', 'stuck_on', True), _set('supply', 'stuck_on', False)),
    Fault('supply_runaway', 'supply regulates 80 V above its set-point',
          _set('supply', 'runaway', True), _set('supply', 'runaway', False)),
    Fault('supply_alarm', 'supply reports a fault of its own', _alarm,
          _set('supply', 'alarm', ''), 'text of the alarm'),
    Fault('connector_hot', 'contacts of the connector are hot (and cool down slowly)',
          _heat, _nothing, 'degC'),
    Fault('silent', 'device reports nothing', _silence, _unsilence, 'device'),
    Fault('deaf', 'device hears no commands; its own time-out runs', _deafen, _undeafen, 'device'),
    Fault('frozen', 'device reports its present values for ever, with fresh stamps',
          _freeze, _thaw, 'device'),
    Fault('bias', 'device reports a wrong number', _bias, _unbias,
          'device.field=offset, e.g. supply.voltage=60'),
    *(Fault(f'module_{kind}', f'emulated DC module {doc}', _spoil_module(kind), _mend_module(kind),
            'address=V' if kind == 'wrong' else 'address') for kind, doc in MODULE_FAULTS.items()),
)}


def put(core: PlantCore, name: str, argument: str = '') -> None:
    """Put a fault in; raise :class:`CommandError` naming what is wrong with it."""
    _find(name).put(core, argument)
    core.faults.add((name, argument))


def clear(core: PlantCore, name: str, argument: str = '') -> None:
    """Take a fault (`'all'`: every one) out again; without argument, all of its kind."""
    for fault in FAULTS.values() if name == 'all' else (_find(name),):
        fault.clear(core, argument)
        core.faults -= {
            entry for entry in core.faults
            if entry[0] == fault.name and argument in ('', entry[1])}


def _find(name: str) -> Fault:
    try:
        return FAULTS[name]
    except KeyError:
        raise CommandError(f'no fault {name!r}; there are {", ".join(FAULTS)}') from None
