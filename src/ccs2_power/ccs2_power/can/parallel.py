"""Modules that share one output: a command is shared equally, what they say is summed up.

A foreign sender under their addresses shows as modules that contradict themselves or each other;
if it manages not to, `power` still compares the group with the isolation monitor, the meter and the
voltage at the connector.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from ccs2_power.can.frame import Frame
from ccs2_power.can.protocol import ModuleProtocol, Quantity, Wish
from ccs2_power.can.rack import Module, Rack
from ccs2_power.can.ranges import RangePolicy, RangeSwitch
from ccs2_power.faults import Severity
from ccs2_power.hal import (
    COMMAND_TIMEOUT,
    SUPPLY_OFF,
    Alarm,
    Measurement,
    SupplyCommand,
    SupplyLimits,
    SupplyReading,
)
from ccs2_power.timing import Persistence, is_fresh

#: Modules on one output measure the same voltage within this, in V, but for this long, in s.
DISAGREEMENT, DISAGREEMENT_TIME = 30.0, 0.5
OFF = Wish(False, 0.0, 0.0)


def share(command: SupplyCommand, count: int) -> Wish:
    """Return what each of `count` modules on one output has to do."""
    if not command.on:
        return replace(OFF, modules=count)
    return Wish(True, command.voltage, command.current / count, count)


class Output:
    """One output, seen through the modules that are on it now."""

    def __init__(self, protocol: ModuleProtocol) -> None:
        self._protocol = protocol
        self._disagreeing = Persistence()
        self._disagree = False

    def compare(self, modules: Iterable[Module], now: float) -> None:
        """Compare the voltages; call it with each new one."""
        voltages = [measurement.value for measurement in _all(modules, Quantity.VOLTAGE)]
        apart = bool(voltages) and max(voltages) - min(voltages) > DISAGREEMENT
        self._disagree = self._disagreeing.exceeds(apart, now, DISAGREEMENT_TIME)

    def reading(
        self, modules: Sequence[Module], limits: SupplyLimits, others: Sequence[Module] = (),
        notes: Iterable[Alarm] = (), missing: tuple[str, ...] = (),
    ) -> SupplyReading:
        """Return the modules as one supply: the highest voltage, the sum of the currents.

        Each is as old as the oldest module's, and None until all modules have said it. Foreign
        frames count for the `others`, too, which are not on the output; `notes` are more alarms.
        """
        every = [*modules, *others]
        alarms = [alarm for module in modules for alarm in module.alarms]
        alarms += [Alarm(Severity.EMERGENCY, module.name, 'another controller commands it')
                   for module in every if module.intruded is not None]
        alarms += [Alarm(Severity.WARNING, module.name, 'refuses what it is told')
                   for module in modules if module.refused is not None]
        alarms += notes
        if self._disagree:
            alarms.append(Alarm(
                Severity.EMERGENCY, 'modules', f'measure voltages more than {DISAGREEMENT:.0f} V '
                                               'apart: a fault, or a foreign sender'))
        alarms += [Alarm(Severity.EMERGENCY, module.name, 'contradicts itself: a foreign sender')
                   for module in every if module.contradicts]
        echoes = all(module.echoes for module in modules)
        on = [module.on for module in modules]
        known = [measurement for measurement in on if measurement is not None]
        return SupplyReading(
            voltage=_combined(modules, Quantity.VOLTAGE, max),
            current=_combined(modules, Quantity.CURRENT, sum),
            on=None if not known or len(known) < len(on) else Measurement(
                any(measurement.value for measurement in known), 'supply',
                min(measurement.stamp for measurement in known)),
            limits=limits,
            set_voltage=_combined(modules, Quantity.SET_VOLTAGE, max) if echoes else None,
            set_current=_combined(modules, Quantity.SET_CURRENT, sum) if echoes else None,
            temperature=_combined(modules, Quantity.TEMPERATURE, max),
            alarms=tuple(alarms), missing=missing)

    def limits(self, modules: Iterable[Module], count: int) -> SupplyLimits:
        """Return what `count` modules like these can do: the weakest limits all, they share."""
        limits, modules = self._protocol.limits, list(modules)

        def told(quantity: Quantity, default: float) -> list[float]:
            return [module.values[quantity].value if quantity in module.values else default
                    for module in modules] or [default]

        return replace(
            limits,
            minimum_voltage=max(told(Quantity.MINIMUM_VOLTAGE, limits.minimum_voltage)),
            maximum_voltage=min(told(Quantity.MAXIMUM_VOLTAGE, limits.maximum_voltage)),
            maximum_current=count * min(told(Quantity.MAXIMUM_CURRENT, limits.maximum_current)),
            maximum_power=count * min(told(Quantity.MAXIMUM_POWER, limits.maximum_power)),
            maximum_discharge_current=count * limits.maximum_discharge_current,
            maximum_discharge_power=count * limits.maximum_discharge_power)


def _all(modules: Iterable[Module], quantity: Quantity) -> list[Measurement[float]]:
    found = [module.values.get(quantity) for module in modules]
    return [measurement for measurement in found if measurement is not None]


def _combined(
    modules: Sequence[Module], quantity: Quantity, how: Callable[[list[float]], float],
) -> Measurement[float] | None:
    found = _all(modules, quantity)
    if not found or len(found) < len(modules):
        return None
    return Measurement(
        how([measurement.value for measurement in found]), 'supply',
        min(measurement.stamp for measurement in found))


class ModuleGroup:
    """The modules of one output that is always theirs."""

    def __init__(
        self, protocol: ModuleProtocol, addresses: Sequence[int], lost_after: float | None = None,
        policy: RangePolicy | None = None,
    ) -> None:
        """Take the modules' addresses; raise ``ValueError`` for a list that makes no sense.

        A module that is silent for `lost_after` s is left out, and told to be off, until the group
        has been off and it is heard again; None: the values of all grow old with it. `policy`
        says who decides on the range; None: the modules keep theirs.
        """
        self._rack = Rack(protocol, addresses)
        self._output = Output(protocol)
        if policy is not None and protocol.ranges is None:
            raise ValueError(f'modules of {protocol.name} have no ranges that can be told')
        self._range = RangeSwitch(protocol.ranges, policy) if protocol.ranges and policy else None
        self._lost_after = lost_after
        self._lost: set[int] = set()
        self._command = SUPPLY_OFF
        self._commanded: float | None = None

    @property
    def modules(self) -> dict[int, Module]:
        """The modules by address."""
        return self._rack.modules

    @property
    def foreign(self) -> int:
        """Frames of the protocol from modules that are not configured, and frames of nobody."""
        return self._rack.foreign

    @property
    def frames_in_cycle(self) -> int:
        """How many frames are on the bus in one cycle, with an answer to each."""
        return self._rack.frames_in_cycle

    # What the modules are told.

    def command(self, command: SupplyCommand, now: float) -> bool:
        """Take a wish; True if it switches and so has to be told at once."""
        switches = command.on is not self._command.on
        self._command, self._commanded = command, now
        return switches

    def cycle(self, now: float) -> list[Frame]:
        """Return the frames of one cycle: everything is told and asked again.

        A command that was not renewed for :data:`COMMAND_TIMEOUT` becomes off.
        """
        self.watch(now)
        return self.tell(now) + self._rack.ask()

    def tell(self, now: float) -> list[Frame]:
        """Return the frames that tell all modules what to do."""
        fresh = self._commanded is not None and is_fresh(self._commanded, now, COMMAND_TIMEOUT)
        command = self._command if fresh else SUPPLY_OFF
        may_be_on = self._range is None or self._range.step(command.on, command.voltage, now)
        count = len(self._used)
        wish = share(command if may_be_on else SUPPLY_OFF, count)
        off = share(SUPPLY_OFF, count)
        frames = self._rack.tell({address: off if address in self._lost else wish
                                  for address in self.modules})
        if self._range is not None and self._range.write is not None and not wish.on:
            frames += [self._rack.protocol.write(address, self._range.write)
                       for address in self.modules]
        return frames

    # What the modules say.

    def watch(self, now: float) -> None:
        """Let time pass: who is lost, who is back, whether another controller has gone."""
        self._rack.watch(now)
        if self._lost_after is None:
            return
        silent = {address for address, module in self.modules.items()
                  if module.heard is None or now - module.heard > self._lost_after}
        # What comes back under power stays off: nobody expects its current.
        self._lost = silent | (self._lost if self._command.on else set())

    @property
    def _used(self) -> list[Module]:
        """The modules that share the output: all of them, if all are lost."""
        found = [module for address, module in self.modules.items() if address not in self._lost]
        return found or list(self.modules.values())

    @property
    def missing(self) -> tuple[str, ...]:
        """The names of the modules that are left out."""
        if len(self._lost) == len(self.modules):
            return ()
        return tuple(self.modules[address].name for address in sorted(self._lost))

    def hear(self, frame: Frame, now: float) -> None:
        """Take a frame from the bus."""
        if self._rack.hear(frame, now) is not None:
            self._output.compare(self._used, now)

    def silent(self, now: float) -> list[str]:
        """Return the names of the modules that are not heard, but should be."""
        return [module.name for module in self._used if module.is_silent(now)]

    def reading(self) -> SupplyReading:
        """Return the group as one supply."""
        used, missing = self._used, self.missing
        limits = self._output.limits(used, len(used))
        if self._range is not None:
            limits = replace(limits, maximum_voltage=min(
                limits.maximum_voltage, self._range.highest_voltage))
        lost = [self.modules[address] for address in sorted(self._lost)] if missing else []
        return self._output.reading(
            used, limits, lost,
            [Alarm(Severity.WARNING, name, 'is not heard: the others go on without it')
             for name in missing], missing)
