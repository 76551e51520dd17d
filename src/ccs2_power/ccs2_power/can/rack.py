"""DC modules on one bus, each by itself: what it is told, and what it says.

Only modules of the configured list count. A foreign sender under their addresses shows as modules
that contradict themselves; a foreign controller by its commands, which this end of the bus has not
sent.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from ccs2_power.can.frame import Frame
from ccs2_power.can.protocol import ModuleProtocol, Quantity, Wish
from ccs2_power.hal import Alarm, Measurement
from ccs2_power.timing import is_fresh

#: A voltage that jumps there and back by more than so many V, so often within a second, has two
#: senders.
JUMP, CONTRADICTIONS, CONTRADICTION_TIME = 30.0, 3, 1.0
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
    told_voltage: float = 0.0
    """The newest set-point that it was told, in V."""
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

    @property
    def contradicts(self) -> bool:
        """Tell whether somebody else speaks under its address."""
        return len(self.contradictions) >= CONTRADICTIONS

    def is_silent(self, now: float) -> bool:
        """Tell whether it is not heard, but should be."""
        return self.heard is None or not is_fresh(self.heard, now, SILENCE)


class Rack:
    """Tells and hears the modules of a list."""

    def __init__(self, protocol: ModuleProtocol, addresses: Sequence[int]) -> None:
        """Take the modules' addresses; raise ``ValueError`` for a list that makes no sense."""
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

    def tell(self, wishes: Mapping[int, Wish]) -> list[Frame]:
        """Return the frames that tell each module its wish, by address."""
        frames: list[Frame] = []
        for address, wish in wishes.items():
            self.modules[address].told_voltage = wish.voltage
            frames += self.protocol.commands(address, wish)
        return frames

    def ask(self) -> list[Frame]:
        """Return the frames that ask all modules what they do, as once in each cycle."""
        frames = [self.protocol.read(address, register)
                  for address in self.modules for register in self.protocol.queries]
        count = self._rare_in_cycle
        frames += [self.protocol.read(*rare) for rare in islice(self._rare, count)]
        self._rare.rotate(-count)
        return frames

    def watch(self, now: float) -> None:
        """Let time pass: whether another controller has gone, and a refusal is old."""
        for module in self.modules.values():
            if module.intruded is not None and now - module.intruded > INTRUSION_TIME:
                module.intruded = None
            if module.refused is not None and now - module.refused > REFUSAL_TIME:
                module.refused = None

    def hear(self, frame: Frame, now: float) -> Module | None:
        """Take a frame from the bus; return the module if it has told its voltage."""
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
            return None
        module = self.modules[told.address]
        module.heard = now
        tells_voltage = Quantity.VOLTAGE in told.values
        if tells_voltage:
            _note_jump(module, told.values[Quantity.VOLTAGE], now)
        set_voltage = told.values.get(Quantity.SET_VOLTAGE, 0.0)
        module.echoes |= set_voltage > 0.0 and abs(set_voltage - module.told_voltage) <= ECHO
        for quantity, value in told.values.items():
            module.values[quantity] = Measurement(value, f'supply {module.name}', now)
        if told.on is not None:
            module.on = Measurement(told.on, f'supply {module.name}', now)
        if told.alarms is not None:
            module.alarms = tuple(Alarm(bit.severity, module.name, bit.text)
                                  for bit in told.alarms)
        return module if tells_voltage else None


def _note_jump(module: Module, voltage: float, now: float) -> None:
    before = module.values.get(Quantity.VOLTAGE)
    jump = 0.0 if before is None else voltage - before.value
    if abs(jump) > JUMP:
        if jump * module.jump < 0.0:
            module.contradictions.append(now)
        module.jump = jump
    while module.contradictions and now - module.contradictions[0] > CONTRADICTION_TIME:
        module.contradictions.popleft()
