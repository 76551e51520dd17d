"""A group of modules on one output: what they are told, and what they say together.

Only modules of the configured list count. A foreign sender under their addresses shows as modules
that contradict themselves or each other; if it manages not to, `power` still compares the group
with the isolation monitor, the meter and the voltage at the connector. A foreign controller shows
by its commands, which this end of the bus has not sent.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from ccs2_power.can.frame import Frame
from ccs2_power.can.protocol import ModuleProtocol, Quantity, Wish
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
#: A voltage that jumps there and back by more than that so often within a second has two senders.
CONTRADICTIONS, CONTRADICTION_TIME = 3, 1.0
#: A module that has not been heard for this long has a problem, in s.
SILENCE = 0.5
#: Another controller on the bus counts for so long after its last command, in s; so does a refusal.
INTRUSION_TIME = REFUSAL_TIME = 1.0
#: What is read rarely is read in so many cycles.
RARE_CYCLES = 8
#: A module answers a set-point with what it has taken if it differs by no more, in V.
ECHO = 0.5


@dataclass(slots=True)
class Module:
    """One module as it was last heard."""

    address: int
    name: str
    values: dict[Quantity, Measurement[float]] = field(default_factory=dict)
    on: Measurement[bool] | None = None
    alarms: tuple[Alarm, ...] = ()
    heard: float | None = None
    jump: float = 0.0
    """The newest jump of its voltage, in V."""
    contradictions: deque[float] = field(default_factory=deque)
    """When its voltage has jumped back."""
    intruded: float | None = None
    """When it was commanded by another controller."""
    refused: float | None = None
    """When it has refused what it was told."""
    echoes: bool = False
    """It has once answered with the set-point that it was told: its answers are a read-back."""


class ModuleGroup:
    """Shares a command between modules and sums up what they say."""

    def __init__(
        self, protocol: ModuleProtocol, addresses: Sequence[int], lost_after: float | None = None,
        policy: RangePolicy | None = None,
    ) -> None:
        """Take the modules' addresses; raise ``ValueError`` for a list that makes no sense.

        A module that is silent for `lost_after` s is left out, and told to be off, until the group
        has been off and it is heard again; None: the values of all grow old with it. `policy`
        says who decides on the range; None: the modules keep theirs.
        """
        if not addresses:
            raise ValueError('no module is configured')
        for address in addresses:
            if address not in protocol.addresses:
                raise ValueError(
                    f'module address {address} is not within {protocol.addresses.start} to '
                    f'{protocol.addresses.stop - 1}')
        if len(set(addresses)) != len(addresses):
            raise ValueError('a module address is configured twice')
        self.protocol = protocol
        self.modules = {address: Module(address, f'module_{address}') for address in addresses}
        #: Frames of the protocol from modules that are not configured, and frames of nobody.
        self.foreign = 0
        if policy is not None and protocol.ranges is None:
            raise ValueError(f'modules of {protocol.name} have no ranges that can be told')
        self._range = RangeSwitch(protocol.ranges, policy) if protocol.ranges and policy else None
        self._lost_after = lost_after
        self._lost: set[int] = set()
        self._command = SUPPLY_OFF
        self._commanded: float | None = None
        self._disagreeing = Persistence()
        self._disagree = False
        self._told_voltage = 0.0
        self._rare = deque((address, register) for register in protocol.rarely
                           for address in addresses)

    @property
    def frames_in_cycle(self) -> int:
        """How many frames are on the bus in one cycle, with an answer to each."""
        wish = Wish(False, 0.0, 0.0)
        often = sum(len(self.protocol.commands(address, wish)) + len(self.protocol.queries)
                    for address in self.modules)
        return 2 * (often + self._rare_in_cycle)

    @property
    def _rare_in_cycle(self) -> int:
        return -(-len(self._rare) // RARE_CYCLES)

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
        frames = self.tell(now)
        for address in self.modules:
            frames += [self.protocol.read(address, register)
                       for register in self.protocol.queries]
        count = self._rare_in_cycle
        frames += [self.protocol.read(*rare) for rare in islice(self._rare, count)]
        self._rare.rotate(-count)
        return frames

    def tell(self, now: float) -> list[Frame]:
        """Return the frames that tell all modules what to do."""
        fresh = self._commanded is not None and is_fresh(self._commanded, now, COMMAND_TIMEOUT)
        command = self._command if fresh else SUPPLY_OFF
        may_be_on = self._range is None or self._range.step(command.on, command.voltage, now)
        count = len(self._used)
        off = wish = Wish(False, 0.0, 0.0, count)
        if command.on and may_be_on:
            wish = Wish(True, command.voltage, command.current / count, count)
        self._told_voltage = wish.voltage
        frames = [frame for address in self.modules
                  for frame in self.protocol.commands(
                      address, off if address in self._lost else wish)]
        if self._range is not None and self._range.write is not None and not wish.on:
            frames += [self.protocol.write(address, self._range.write) for address in self.modules]
        return frames

    # What the modules say.

    def watch(self, now: float) -> None:
        """Let time pass: who is lost, who is back, whether another controller has gone."""
        for module in self.modules.values():
            if module.intruded is not None and now - module.intruded > INTRUSION_TIME:
                module.intruded = None
            if module.refused is not None and now - module.refused > REFUSAL_TIME:
                module.refused = None
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
        controlled = self.protocol.controls(frame)
        if controlled is not None:
            for module in self.modules.values():
                if controlled == module.address or controlled not in self.protocol.addresses:
                    module.intruded = now
        refuser = self.protocol.refuses(frame)
        if refuser in self.modules:
            self.modules[refuser].refused = now
        told = self.protocol.decode(frame)
        if told is None or told.address not in self.modules:
            self.foreign += 1
            return
        module = self.modules[told.address]
        module.heard = now
        if Quantity.VOLTAGE in told.values:
            self._note_jump(module, told.values[Quantity.VOLTAGE], now)
        set_voltage = told.values.get(Quantity.SET_VOLTAGE, 0.0)
        module.echoes |= set_voltage > 0.0 and abs(set_voltage - self._told_voltage) <= ECHO
        for quantity, value in told.values.items():
            module.values[quantity] = Measurement(value, f'supply {module.name}', now)
        if told.on is not None:
            module.on = Measurement(told.on, f'supply {module.name}', now)
        if told.alarms is not None:
            module.alarms = tuple(Alarm(bit.severity, module.name, bit.text)
                                  for bit in told.alarms)
        if Quantity.VOLTAGE in told.values:
            self._compare(now)

    @staticmethod
    def _note_jump(module: Module, voltage: float, now: float) -> None:
        before = module.values.get(Quantity.VOLTAGE)
        jump = 0.0 if before is None else voltage - before.value
        if abs(jump) > DISAGREEMENT:
            if jump * module.jump < 0.0:
                module.contradictions.append(now)
            module.jump = jump
        while module.contradictions and now - module.contradictions[0] > CONTRADICTION_TIME:
            module.contradictions.popleft()

    def _compare(self, now: float) -> None:
        voltages = [measurement.value for measurement in self._all(Quantity.VOLTAGE)]
        apart = bool(voltages) and max(voltages) - min(voltages) > DISAGREEMENT
        self._disagree = self._disagreeing.exceeds(apart, now, DISAGREEMENT_TIME)

    def _all(self, quantity: Quantity) -> list[Measurement[float]]:
        found = [module.values.get(quantity) for module in self._used]
        return [measurement for measurement in found if measurement is not None]

    def silent(self, now: float) -> list[str]:
        """Return the names of the modules that are not heard, but should be."""
        return [module.name for module in self._used
                if module.heard is None or not is_fresh(module.heard, now, SILENCE)]

    def reading(self) -> SupplyReading:
        """Return the group as one supply: the highest voltage, the sum of the currents.

        Each is as old as the oldest module's, and None until all modules have said it.
        """
        alarms = [alarm for module in self._used for alarm in module.alarms]
        alarms += [Alarm(Severity.EMERGENCY, module.name, 'another controller commands it')
                   for module in self.modules.values() if module.intruded is not None]
        alarms += [Alarm(Severity.WARNING, module.name, 'refuses what it is told')
                   for module in self._used if module.refused is not None]
        alarms += [Alarm(Severity.WARNING, name, 'is not heard: the others go on without it')
                   for name in self.missing]
        echoes = all(module.echoes for module in self._used)
        if self._disagree:
            alarms.append(Alarm(
                Severity.EMERGENCY, 'modules', f'measure voltages more than {DISAGREEMENT:.0f} V '
                                               'apart: a fault, or a foreign sender'))
        alarms += [Alarm(Severity.EMERGENCY, module.name, 'contradicts itself: a foreign sender')
                   for module in self.modules.values()
                   if len(module.contradictions) >= CONTRADICTIONS]
        on = [module.on for module in self._used]
        known = [measurement for measurement in on if measurement is not None]
        return SupplyReading(
            voltage=self._combined(Quantity.VOLTAGE, max),
            current=self._combined(Quantity.CURRENT, sum),
            on=None if not known or len(known) < len(on) else Measurement(
                any(measurement.value for measurement in known), 'supply',
                min(measurement.stamp for measurement in known)),
            limits=self._limits(),
            set_voltage=self._combined(Quantity.SET_VOLTAGE, max) if echoes else None,
            set_current=self._combined(Quantity.SET_CURRENT, sum) if echoes else None,
            temperature=self._combined(Quantity.TEMPERATURE, max),
            alarms=tuple(alarms), missing=self.missing)

    def _combined(
        self, quantity: Quantity, how: Callable[[list[float]], float],
    ) -> Measurement[float] | None:
        found = self._all(quantity)
        if len(found) < len(self._used):
            return None
        return Measurement(
            how([measurement.value for measurement in found]), 'supply',
            min(measurement.stamp for measurement in found))

    def _limits(self) -> SupplyLimits:
        limits, count = self.protocol.limits, len(self._used)

        def told(quantity: Quantity, default: float) -> Iterable[float]:
            return (module.values[quantity].value if quantity in module.values else default
                    for module in self._used)

        return replace(
            limits,
            minimum_voltage=max(told(Quantity.MINIMUM_VOLTAGE, limits.minimum_voltage)),
            maximum_voltage=min(
                *told(Quantity.MAXIMUM_VOLTAGE, limits.maximum_voltage),
                math.inf if self._range is None else self._range.highest_voltage),
            # Shared equally: the weakest module limits all.
            maximum_current=count * min(told(Quantity.MAXIMUM_CURRENT, limits.maximum_current)),
            maximum_power=count * min(told(Quantity.MAXIMUM_POWER, limits.maximum_power)),
            maximum_discharge_current=count * limits.maximum_discharge_current,
            maximum_discharge_power=count * limits.maximum_discharge_power)
