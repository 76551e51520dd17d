"""The charge command as `power` and `safety` see it, and its lease."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from enum import IntEnum

#: At most so long a lease is honoured, in s.
MAXIMUM_LEASE = 1.0
#: So many earlier publishers are remembered, so that none of them can come back.
RETIRED_PUBLISHERS = 16


class Mode(IntEnum):
    """The modes of ``ccs2_interfaces/msg/ChargeCommand``."""

    OFF = 0
    CABLE_CHECK = 1
    PRE_CHARGE = 2
    CHARGE = 3
    STOP = 4
    WELDING_CHECK = 5


#: The modes that want closed contactors.
ENERGISING = frozenset({Mode.CABLE_CHECK, Mode.PRE_CHARGE, Mode.CHARGE})


class Shutdown(IntEnum):
    """The classes of shutdown (IEC 61851-23:2023 CC.10)."""

    NORMAL = 0
    ERROR = 1
    EMERGENCY = 2


class CommandError(ValueError):
    """A charge command is refused; the text says why."""


@dataclass(frozen=True, slots=True)
class ChargeCommand:
    """One charge command: units, signs as in ``ccs2_interfaces/msg/ChargeCommand``, None for NaN.

    Two are equal if they want the same. Raises :class:`CommandError` for anything out of its
    range: a command that cannot be understood renews nothing.
    """

    publisher: int
    sequence: int = field(compare=False)
    lease: float
    mode: Mode
    session_id: str = ''
    shutdown: Shutdown = Shutdown.NORMAL
    target_voltage: float | None = None
    target_current: float | None = None
    maximum_voltage: float | None = None
    maximum_current: float | None = None
    maximum_power: float | None = None
    maximum_discharge_current: float | None = None
    maximum_discharge_power: float | None = None
    pilot_oscillator: bool = False
    lock_connector: bool = False

    def __post_init__(self) -> None:
        if not self.lease > 0.0:
            raise CommandError(f'lease is {self.lease} s')
        for name in ('target_voltage', 'maximum_voltage', 'maximum_current', 'maximum_power',
                     'maximum_discharge_current', 'maximum_discharge_power'):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value >= 0.0):
                raise CommandError(f'{name} is {value}')
        if self.target_current is not None and not math.isfinite(self.target_current):
            raise CommandError(f'target_current is {self.target_current}')
        if self.mode in ENERGISING and not self.session_id:
            raise CommandError(f'{self.mode.name} without a session')
        if self.mode in (Mode.PRE_CHARGE, Mode.CHARGE) and self.target_voltage is None:
            raise CommandError(f'{self.mode.name} without target_voltage')
        if self.mode is Mode.CHARGE and self.target_current is None:
            raise CommandError('CHARGE without target_current')


class Lease:
    """The right to energy: the newest charge command for as long as it is fresh.

    * Within one publisher the sequence only goes up: what is replayed or late changes nothing.
    * Another publisher is heard only when the present lease has ended, and a publisher that has
      been replaced is never heard again. So a restart of `hlc` is told from an intruder.
    * A publisher's right begins with a command that does not want energy. A `safety` or `power`
      that was restarted in the middle of a charge therefore does not go on with it.
    """

    def __init__(self) -> None:
        self.command: ChargeCommand | None = None
        #: Commands refused since the start, for diagnostics.
        self.refused = 0
        self._until = -math.inf
        self._publisher: int | None = None
        self._sequence = -1
        self._retired: deque[int] = deque(maxlen=RETIRED_PUBLISHERS)

    def offer(self, command: ChargeCommand, now: float) -> bool:
        """Take a command that has just arrived; False if it is refused."""
        if not self._acceptable(command, now):
            self.refused += 1
            return False
        if command.publisher != self._publisher and self._publisher is not None:
            self._retired.append(self._publisher)
        self._publisher, self._sequence = command.publisher, command.sequence
        self.command = command
        self._until = now + min(command.lease, MAXIMUM_LEASE)
        return True

    def _acceptable(self, command: ChargeCommand, now: float) -> bool:
        if command.publisher == self._publisher:
            return command.sequence > self._sequence
        if command.publisher in self._retired or self.remaining(now) > 0.0:
            return False
        return command.mode not in ENERGISING

    def remaining(self, now: float) -> float:
        """Return the time in s for which the present command is still good; 0 = none."""
        return max(0.0, self._until - now)

    def current(self, now: float) -> ChargeCommand | None:
        """Return the command if it is still fresh."""
        return self.command if self.remaining(now) > 0.0 else None

    def mode(self, now: float) -> Mode:
        """Return the mode in force: OFF without a fresh command."""
        command = self.current(now)
        return Mode.OFF if command is None else command.mode
