"""What a session knows of its car: its state, what it may do, and what it wants."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from ccs2_sim.evcc.wallet import Wallet

#: Above this state of charge the battery takes less and less current.
TAPER_START = 0.8
#: Share of the highest current that a full battery still takes.
TAPER_END = 0.2


@dataclass(frozen=True)
class VehicleState:
    """A snapshot of the car, as its own control units know it."""

    plugged: bool
    duty: float | None
    """Duty cycle of the pilot, ratio 0..1; None without a pilot."""
    voltage: float
    """V at the inlet."""
    current: float
    """A into the battery."""
    battery_voltage: float
    """V on the battery's side of the car's contactors."""
    contactors: bool
    """The car's contactors are closed."""
    state_of_charge: float
    """Ratio 0..1."""
    maximum_voltage: float
    """V that the battery may be charged with."""
    capacity: float
    """J from empty to full."""
    time_factor: float = 1.0
    """The state of charge moves this many times faster than the real battery's."""
    energy: float = 0.0
    """J into the battery since it was plugged in, in real time."""


@dataclass(frozen=True)
class Wish:
    """What the car does at its inlet."""

    plugged: bool = True
    load: str = 'B'
    """State of the control pilot: 'B', 'C' or 'D'."""
    contactors: bool = False
    tear: bool = False
    """Unplug whatever the lock does."""


class Acquisition(Enum):
    """How the car comes to the contract that it pays with."""

    NONE = ''
    """It has one."""
    INSTALL = 'install'
    """By its provisioning certificate."""
    UPDATE = 'update'
    """By the contract that it has."""


class Transfer(Enum):
    """What the car wants by ISO 15118-20: which direction, and who leads the charge loop."""

    SCHEDULED = 'scheduled'
    """Charges; the car says how much now."""
    DYNAMIC = 'dynamic'
    """Charges; the station decides within the car's limits."""
    BPT = 'bpt'
    """Charges and gives energy back; the car says how much now."""
    BPT_DYNAMIC = 'bpt-dynamic'
    """Charges and gives energy back; the station decides within the car's limits."""

    @property
    def bidirectional(self) -> bool:
        """Whether the car can give energy back."""
        return self in (Transfer.BPT, Transfer.BPT_DYNAMIC)

    @property
    def dynamic(self) -> bool:
        """Whether the station leads."""
        return self in (Transfer.DYNAMIC, Transfer.BPT_DYNAMIC)

    @property
    def charging(self) -> Transfer:
        """Return the same without giving energy back."""
        return Transfer.DYNAMIC if self.dynamic else Transfer.SCHEDULED


@dataclass(frozen=True)
class CarSettings:
    """What kind of car it is, and what its driver wants."""

    evcc_id: bytes = bytes.fromhex('02CC52000001')
    """MAC address of the car's modem, 6 octets."""
    maximum_current: float = 200.0
    """A."""
    maximum_power: float = 80e3
    """W."""
    target_state_of_charge: float = 0.8
    """Ratio 0..1 at which charging stops."""
    maximum_duration: float = 0.0
    """s of charging after which it stops; 0 = no limit."""
    maximum_loops: int = 0
    """Charge loop messages after which it stops; 0 = no limit."""
    loop_period: float = 0.1
    """s from one request of a repeated message to the next; 0 = as fast as the station answers."""
    timeout_factor: float = 1.0
    """What the standard's message timeouts are multiplied by; a real car has 1."""
    wallet: Wallet | None = None
    """Pays by contract with it; None: somebody else pays (EIM)."""
    acquisition: Acquisition = Acquisition.NONE
    renegotiate_after: int = 0
    """Charge loop messages after which the car wants another schedule, once; 0 = never."""
    pause_after: int = 0
    """Charge loop messages after which the car pauses the session, once; 0 = never."""
    transfer: Transfer = Transfer.SCHEDULED
    """ISO 15118-20 only."""
    maximum_discharge_current: float = 100.0
    """A, out of the car."""
    maximum_discharge_power: float = 40e3
    """W, out of the car."""
    discharge_to: float = 1.0
    """Ratio 0..1: a bidirectional car first gives energy down to this state of charge."""
    vehicle_id: str = ''
    """Identifier in ISO 15118-20, that of the vehicle certificate; '': the MAC address."""
    unix_time: Callable[[], int] | None = None
    """Returns s since 1970-01-01 UTC; None: the car has no clock."""
    eim_fallback: bool = False
    """Lets somebody else pay where the station takes none of its contracts (ISO 15118-20)."""
    most_contracts: int = 1
    """Contracts that it installs at most, 1 to 255 (ISO 15118-20)."""
    preferred_contracts: tuple[str, ...] = ()
    """eMAIDs of the contracts that it wants first, at most 8 (ISO 15118-20)."""
    standby_after: int = 0
    """Charge loop messages after which it goes to standby, once; 0 = never (ISO 15118-20)."""
    standby_time: float = 5.0
    """s that it stays there unless the station wants it back."""
    change_after: int = 0
    """Charge loop messages after which it chooses services anew, once; 0 = never (ISO 15118-20)."""
    next_transfer: Transfer | None = None
    """What it wants then; None: the same."""
    renegotiates_aside: bool = False
    """Negotiates schedules anew on the side stream for that (ISO 15118-20)."""
    checks_in: bool = False
    """Checks in and out where the station offers the parking status (ISO 15118-20)."""
    shares_needs: bool = False
    """Lets the station say, too, when it leaves and with how much (MobilityNeedsMode 2)."""

    def target_current(self, state: VehicleState) -> float:
        """Return the current the car asks for now, A."""
        current = min(self.maximum_current, self.maximum_power / max(state.battery_voltage, 1.0))
        over = (state.state_of_charge - TAPER_START) / (1 - TAPER_START)
        return current * (1 - (1 - TAPER_END) * min(max(over, 0.0), 1.0))

    def satisfied(self, state: VehicleState, charged_for: float, loops: int) -> bool:
        """Return whether the driver wants to stop now."""
        return (
            state.state_of_charge >= self.target_state_of_charge
            or 0 < self.maximum_duration <= charged_for
            or 0 < self.maximum_loops <= loops)

    def remaining_time(self, state: VehicleState, goal: float) -> float:
        """Return the estimated time until a state of charge (ratio), s."""
        energy = max(goal - state.state_of_charge, 0.0) * state.capacity
        power = max(self.target_current(state) * state.battery_voltage, 1.0)
        return energy / power / state.time_factor
