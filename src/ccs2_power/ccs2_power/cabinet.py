"""Control of a shared cabinet: what its modules are told, and what each connector gets.

Modules are heard by `can/rack.py`, moved by `sharing.py`, and summed up by `can/parallel.py`; here
the three meet. Demands, frames, feedback and a time go in; frames, coils and readings come out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ccs2_power.can.frame import Frame
from ccs2_power.can.parallel import OFF, Output, share
from ccs2_power.can.protocol import ModuleProtocol, Quantity, Wish
from ccs2_power.can.rack import Module, Rack
from ccs2_power.faults import Severity
from ccs2_power.hal import (
    COMMAND_TIMEOUT,
    SUPPLY_OFF,
    Alarm,
    MatrixCommand,
    MatrixReading,
    Measurement,
    SupplyCommand,
    SupplyReading,
)
from ccs2_power.sharing import (
    LEAST_STAY,
    ZERO_CURRENT,
    Cabinet,
    ModuleView,
    Order,
    OutputView,
    Stage,
)
from ccs2_power.timing import fresh, fresh_contact, is_fresh

#: What is older than this was not measured, in s.
MEASURED = 0.5


@dataclass(frozen=True, slots=True)
class Demand:
    """What a connector wants, and when it said so by the monotonic clock."""

    command: SupplyCommand
    wanted: float
    """A that its vehicle may want at most; 0: no vehicle charges."""
    arrived: float


@dataclass(frozen=True, slots=True)
class Service:
    """What a connector gets now."""

    modules: int
    """How many modules serve it and stay."""
    reading: SupplyReading


class CabinetControl:
    """The modules and relays of a cabinet."""

    def __init__(
        self, protocol: ModuleProtocol, matrix: Mapping[int, Sequence[str]],
        module_current: float, least_stay: float = LEAST_STAY,
    ) -> None:
        """Take the connectors that each module can serve, by its address.

        `module_current` is what one module can give in A, `least_stay` how long in s it stays with
        a connector at least. Raise ``ValueError`` for a cabinet that makes no sense.
        """
        self._rack = Rack(protocol, list(matrix))
        self._modules = {module.name: module for module in self._rack.modules.values()}
        self._reach = {self._rack.modules[address].name: tuple(connectors)
                       for address, connectors in matrix.items()}
        self.sharing = Cabinet(self._reach, module_current, least_stay)
        #: The connectors, in the order of their first module.
        self.connectors = tuple(dict.fromkeys(
            connector for connectors in matrix.values() for connector in connectors))
        self._outputs = {connector: Output(protocol) for connector in self.connectors}
        self._demands: dict[str, Demand] = {}
        self._orders = dict.fromkeys(self._modules, Order())
        self._relays: Mapping[str, Mapping[str, Measurement[bool] | None]] = {}
        self._voltages: Mapping[str, Measurement[float] | None] = {}
        self._views: dict[str, OutputView] = {}

    @property
    def frames_in_cycle(self) -> int:
        """How many frames are on the bus in one cycle, with an answer to each."""
        return self._rack.frames_in_cycle

    # What happens.

    def demand(self, connector: str, demand: Demand) -> bool:
        """Take a connector's demand; True if it switches and so has to be told at once."""
        before = self._demands.get(connector)
        self._demands[connector] = demand
        return demand.command.on is not (before is not None and before.command.on)

    def hear(self, frame: Frame, now: float) -> None:
        """Take a frame from the bus."""
        module = self._rack.hear(frame, now)
        if module is None:
            return
        for connector, output in self._outputs.items():
            members = self._members(connector, now)
            if module in members:
                output.compare(members, now)

    def step(
        self, relays: MatrixReading, voltages: Mapping[str, Measurement[float] | None], now: float,
    ) -> MatrixCommand:
        """Look at everything; return which coils are to be on.

        `voltages` are measured at the outputs, by connector.
        """
        self._rack.watch(now)
        self._relays, self._voltages = relays.relays, voltages
        self._views = {connector: OutputView(
            self._wanted(connector, now), fresh(voltages.get(connector), now, MEASURED))
            for connector in self.connectors}
        views = {name: self._view(name, module, now) for name, module in self._modules.items()}
        self._orders = self.sharing.step(self._views, views, now)
        return self._coils()

    def halt(self) -> MatrixCommand:
        """Have all modules off from now on, with their relays as they are; return those."""
        self._orders = {name: Order(order.coil) for name, order in self._orders.items()}
        return self._coils()

    def carries(self, now: float) -> bool:
        """Tell whether any module may give a current."""
        currents = [fresh(module.values.get(Quantity.CURRENT), now, MEASURED)
                    for module in self._modules.values()]
        return any(current is None or abs(current) >= ZERO_CURRENT for current in currents)

    # What the modules are told.

    def cycle(self, now: float) -> list[Frame]:
        """Return the frames of one cycle: everything is told and asked again."""
        return self.tell(now) + self._rack.ask()

    def tell(self, now: float) -> list[Frame]:
        """Return the frames that tell all modules what to do."""
        return self._rack.tell({module.address: self._wish(self._orders[name], now)
                                for name, module in self._modules.items()})

    def _wish(self, order: Order, now: float) -> Wish:
        if order.follows is not None:
            followers = [other for other in self._orders.values()
                         if other.follows == order.follows]
            return share(self._command(order.follows, now), len(followers))
        if order.match is not None:
            return Wish(True, order.match, ZERO_CURRENT)
        return OFF

    # What a connector gets.

    def service(self, connector: str, now: float) -> Service:
        """Return what a connector gets now."""
        sharing, output = self.sharing, self._outputs[connector]
        own = [module for name, module in self._modules.items()
               if sharing.owner(name) == connector]
        members, on = self._members(connector, now), self._command(connector, now).on
        count = len(own) if on else max(
            len(own), sharing.offer(connector, self._views) if self._views else 0)
        others = [module for module in self._modules.values() if module not in members]
        reading = output.reading(
            members, output.limits(own or self._modules.values(), count), others,
            self._notes(connector, members, on))
        if not members:
            reading = self._without_modules(connector, reading)
        return Service(len(own), reading)

    def _without_modules(self, connector: str, reading: SupplyReading) -> SupplyReading:
        """Return what is known of an output that no module is on: its relays are seen open."""
        relays = [self._relays.get(name, {}).get(connector)
                  for name, reach in self._reach.items() if connector in reach]
        stamps = [relay.stamp for relay in relays if relay is not None]
        current = (Measurement(0.0, 'cabinet relays', min(stamps))
                   if len(stamps) == len(relays) else None)
        return SupplyReading(
            self._voltages.get(connector), current, None, reading.limits, alarms=reading.alarms)

    def _notes(self, connector: str, members: Sequence[Module], on: bool) -> list[Alarm]:
        """Return what is wrong with this output beyond what its modules say."""
        notes = []
        if on and not members:
            notes.append(Alarm(Severity.WARNING, 'cabinet', 'no module is free yet'))
        for name, text in self.sharing.faults().items():
            if connector not in self._reach[name]:
                continue
            closed = [other for other, relay in self._relays.get(name, {}).items()
                      if relay is not None and relay.value]
            crossed = connector in closed and len(closed) > 1
            notes.append(Alarm(
                Severity.EMERGENCY if crossed else Severity.WARNING, name,
                f'joins the outputs {" and ".join(sorted(closed))}' if crossed else text))
        return notes

    # Parts of the above.

    def _coils(self) -> MatrixCommand:
        return MatrixCommand({name: order.coil for name, order in self._orders.items()
                              if order.coil is not None})

    def _members(self, connector: str, now: float) -> list[Module]:
        """Return the modules that are on an output, or may be."""
        return [module for name, module in self._modules.items()
                if self._orders[name].coil == connector or fresh_contact(
                    self._relays.get(name, {}).get(connector), now, MEASURED)]

    def _command(self, connector: str, now: float) -> SupplyCommand:
        demand = self._demands.get(connector)
        heard = demand is not None and is_fresh(demand.arrived, now, COMMAND_TIMEOUT)
        return demand.command if demand is not None and heard else SUPPLY_OFF

    def _wanted(self, connector: str, now: float) -> float:
        demand = self._demands.get(connector)
        if demand is None or not is_fresh(demand.arrived, now, COMMAND_TIMEOUT):
            return 0.0
        return demand.wanted

    def _view(self, name: str, module: Module, now: float) -> ModuleView:
        relays = self._relays.get(name, {})
        return ModuleView(
            fresh(module.values.get(Quantity.VOLTAGE), now, MEASURED),
            fresh(module.values.get(Quantity.CURRENT), now, MEASURED),
            {connector: fresh_contact(relays.get(connector), now, MEASURED)
             for connector in self._reach[name]})

    def silent(self, now: float) -> list[str]:
        """Return the names of the modules that are not heard."""
        return [name for name, module in self._modules.items() if module.is_silent(now)]

    def stages(self) -> dict[str, tuple[Stage, str | None]]:
        """Return where each module is, and the connector whose relay is to be closed."""
        return {name: (self.sharing.stage(name), self._orders[name].coil)
                for name in self._modules}
