"""What a kind of bad manners is, and what it does in the course of one session."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ccs2_hlc.exi.declare import Element
from ccs2_sim.evcc.outcome import Ended, ErrorCode
from ccs2_sim.evcc.vehicle import Wish

if TYPE_CHECKING:
    from ccs2_sim.car.session import Session

#: Gets the engine of the protocol in question, the message, and the option's value.
Alter = Callable[[Any, Any, Any], Element]
Mangle = Callable[[bytes, Any], bytes]
Act = Callable[['Session', Any], Awaitable[bool]]
Want = Callable[[Wish], Wish]


def older_step(step: str) -> str:
    """Return the name that a step of ISO 15118-20 has in the older protocols."""
    name = step.removeprefix('DC_')
    return 'CurrentDemand' if name == 'ChargeLoop' else name


@dataclass(frozen=True)
class Misbehaviour:
    """One kind of bad manners: one or more hooks, all of them from the chosen request on."""

    name: str
    does: str
    """What the car does."""
    station: str
    """What a good station does."""
    step: str = 'CurrentDemand'
    """Where it happens unless told otherwise."""
    after: int = 5
    """Requests of that step that go before it unless told otherwise."""
    option: str = ''
    """Name of its one option, '' if it has none."""
    value: float | str = 0.0
    """What that is unless told otherwise."""
    unit: str = ''
    alter: Alter | None = None
    """Changes a request before it is encoded."""
    mangle: Mangle | None = None
    """Changes the octets of a request's V2GTP message."""
    act: Act | None = None
    """Does something instead of sending (False) or before sending (True) a request."""
    want: Want | None = None
    """Changes what the car does at its inlet."""
    probes: tuple[bytes, ...] = ()
    """Datagrams sent before the first SDP request."""
    once: bool = False
    """Only the one request, not all that follow in that step."""
    surplus: int = 0
    """Responses that a good station sends besides the one the car waits for."""
    protocol: str = ''
    """The one protocol that has it, '' for all of them."""
    iso20: bool = True
    """A car by ISO 15118-20 can do it, too: nothing in its requests is of older protocols."""
    newer: Misbehaviour | None = None
    """The same by ISO 15118-20, where it has other messages for it."""

    def fits(self, protocol: str) -> bool:
        """Tell whether a car can do it in a protocol."""
        return self.protocol in ('', protocol) and (self.iso20 or protocol != 'iso20')

    def by(self, protocol: str) -> Misbehaviour:
        """Return what it is in a protocol."""
        return self.newer if protocol == 'iso20' and self.newer is not None else self


@dataclass
class Manners:
    """A misbehaviour in the course of one session; without one, good manners."""

    kind: Misbehaviour | None = None
    step: str = ''
    after: int = 0
    value: float | str = 0.0
    #: Which of these were told, and are not those of the kind.
    told: frozenset[str] = frozenset()
    #: Whether it has begun.
    begun: bool = False
    _requests: int = field(default=0)

    @property
    def probes(self) -> tuple[bytes, ...]:
        """Return the datagrams to send before the first SDP request."""
        return self.kind.probes if self.kind is not None else ()

    def settle(self, protocol: str) -> None:
        """Become what it is in the protocol that was agreed.

        Raise :class:`Ended` if the car cannot do it there.
        """
        if self.kind is None:
            return
        kind = self.kind.by(protocol)
        if not kind.fits(protocol):
            raise Ended(ErrorCode.UNKNOWN, f'misbehaviour {kind.name!r} is not of {protocol}')
        if kind is not self.kind:
            self.kind = kind
            for name in {'step', 'after', 'value'} - self.told:
                setattr(self, name, getattr(kind, name))

    def due(self, step: str) -> Misbehaviour | None:
        """Count a request of `step`; return the misbehaviour if it is due for that request."""
        if self.kind is None or older_step(step) != older_step(self.step):
            return None
        self._requests += 1
        if self._requests <= self.after or (self.kind.once and self.begun):
            return None
        self.begun = True
        return self.kind

    def want(self, wish: Wish, step: str) -> Wish:
        """Return what the car does at its inlet in `step` although the protocol wants `wish`."""
        if self.kind is None or self.kind.want is None:
            return wish
        begins = older_step(step) == older_step(self.step) and self.after == 0
        return self.kind.want(wish) if self.begun or begins else wish
