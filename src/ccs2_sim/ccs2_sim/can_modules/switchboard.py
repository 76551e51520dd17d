"""Relays between the modules of a cabinet and the outputs of several connectors.

A module that is on no output has the voltage at its terminals that it makes itself. What a relay
must not do, switch a current or close on another voltage, is counted, not prevented.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ccs2_sim.can_modules.cabinet import Cabinet, Demand, demand_of
from ccs2_sim.can_modules.module import Module, Readings, shares
from ccs2_sim.physics.contactor import Contactor
from ccs2_sim.physics.supply import AMBIENT_TEMPERATURE

#: How fast a module's own voltage moves while it is on no output, in V/s.
TERMINAL_RAMP = 1000.0
#: A contact wears when it opens on more than this, in A, or closes on more than this, in V.
WEAR_CURRENT, WEAR_VOLTAGE = 2.0, 25.0


class Switchboard:
    """A cabinet whose modules can each be put on one of several outputs."""

    def __init__(self, cabinet: Cabinet, connectors: Sequence[str]) -> None:
        self.cabinet = cabinet
        self.relays = {address: {connector: Contactor() for connector in connectors}
                       for address in cabinet.modules}
        #: What each output measures; the plants tell it.
        self.outputs = dict.fromkeys(connectors, Readings())
        #: How often a relay has opened on a current, has closed on another voltage, and has
        #: closed while another one of its module was closed.
        self.opened_under_load = self.closed_on_voltage = self.crossed = 0

    def switch(self, coils: Mapping[str, str]) -> None:
        """Switch on the coil of one connector for each module named; all others off."""
        for address, relays in self.relays.items():
            for connector, relay in relays.items():
                relay.coil = coils.get(f'module_{address}') == connector

    def on(self, connector: str) -> list[Module]:
        """Return the modules that are on an output now."""
        return [self.cabinet.modules[address] for address, relays in self.relays.items()
                if relays[connector].closed]

    def feedback(self) -> dict[str, dict[str, bool]]:
        """Return what the feedback contacts say, by module and connector."""
        return {f'module_{address}': {
            connector: relay.feedback for connector, relay in relays.items()}
            for address, relays in self.relays.items()}

    def step(self, now: float, duration: float) -> None:
        """Let `duration` s pass until `now`."""
        for address, relays in self.relays.items():
            module = self.cabinet.modules[address]
            module.pass_time(now)
            for connector, relay in relays.items():
                before = module.measured
                if relay.step(duration):
                    self._judge(relay, before, self.outputs[connector], relays)
            if not any(relay.closed for relay in relays.values()):
                self._stand_alone(module, duration)
        for connector in self.outputs:
            self._measure(connector)

    def demand(self, connector: str) -> Demand:
        """Return what an output stage has to do now."""
        return demand_of(self.on(connector))

    def _judge(
        self, relay: Contactor, module: Readings, output: Readings, relays: Mapping[str, Contactor],
    ) -> None:
        if not relay.closed:
            self.opened_under_load += abs(module.current) > WEAR_CURRENT
            return
        self.closed_on_voltage += abs(module.voltage - output.voltage) > WEAR_VOLTAGE
        self.crossed += sum(other.closed for other in relays.values()) > 1

    @staticmethod
    def _stand_alone(module: Module, duration: float) -> None:
        goal = module.target if module.delivers else 0.0
        step, voltage = TERMINAL_RAMP * duration, module.measured.voltage
        module.measured = Readings(
            min(max(goal, voltage - step), voltage + step), 0.0, AMBIENT_TEMPERATURE)

    def _measure(self, connector: str) -> None:
        output, modules = self.outputs[connector], self.on(connector)
        for address, share in shares(modules).items():
            self.cabinet.modules[address].measured = Readings(
                output.voltage, share * output.current, output.temperature)
