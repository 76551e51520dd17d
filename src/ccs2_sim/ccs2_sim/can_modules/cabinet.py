"""Modules in parallel on one output and one bus: frames and a time in, answers and a demand out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ccs2_sim.can_modules.dialects import Dialect
from ccs2_sim.can_modules.module import Module, Rating, Readings, shares


@dataclass(frozen=True, slots=True)
class Demand:
    """What the modules together make of their common output stage."""

    on: bool
    voltage: float = 0.0
    """V."""
    current: float = 0.0
    """A, of all modules; negative out of the vehicle."""


def demand_of(modules: Iterable[Module]) -> Demand:
    """Return what modules on one output make of it."""
    working = [module for module in modules if module.delivers]
    if not working:
        return Demand(False)
    return Demand(True, max(module.target for module in working),
                  sum(module.current_limit for module in working))


class Cabinet:
    """The modules of one output.

    Modules that regulate to different voltages are not equal: the highest one lifts the output,
    and the limits of all add up.
    """

    def __init__(self, dialect: Dialect, addresses: Sequence[int]) -> None:
        """Raise ``ValueError`` naming an address that the protocol does not have."""
        for address in addresses:
            if address not in dialect.addresses:
                raise ValueError(
                    f'module address {address} is not within {dialect.addresses.start} to '
                    f'{dialect.addresses.stop - 1}')
        if not addresses or len(set(addresses)) < len(addresses):
            raise ValueError('module addresses: at least one, each once')
        self._dialect = dialect
        self.modules = {address: Module(address) for address in addresses}

    def hear(self, identifier: int, data: bytes, now: float) -> Iterator[tuple[int, bytes]]:
        """Take a frame; yield what modules answer."""
        dialect = self._dialect
        request = dialect.parse(identifier, data) if len(data) == 8 else None
        module = None if request is None else self.modules.get(request.address)
        if request is None or module is None or module.faults.gone or module.halted:
            return
        if not module.faults.deaf:
            module.told = now
        answer = None
        if request.writes:
            write = dialect.writes.get(request.register)
            if write is not None and not module.faults.deaf:
                write(module, request.payload)
            answer = request.payload if write is not None and dialect.acknowledges else None
        elif (read := dialect.reads.get(request.register)) is not None:
            answer = read(module)
        if answer is not None and not module.faults.silent:
            yield dialect.reply(request, answer)

    def demand(self, now: float) -> Demand:
        """Let time pass; return what the output stage has to do now."""
        for module in self.modules.values():
            module.pass_time(now)
        return demand_of(self.modules.values())

    def measure(self, voltage: float, current: float, temperature: float) -> None:
        """Let the modules measure their common output (V, A, degC of the hottest)."""
        for address, share in shares(self.modules.values()).items():
            self.modules[address].measured = Readings(voltage, share * current, temperature)

    def rate(self, rating: Rating) -> None:
        """Say what each of the modules can do."""
        for module in self.modules.values():
            module.rating = rating

    def suffer(self, faults: Mapping[str, Mapping[str, float]]) -> None:
        """Have these faults and no others: by kind, and for each the modules' addresses."""
        for address, module in self.modules.items():
            name = str(address)
            module.suffer({kind: of[name] for kind, of in faults.items() if name in of})
