"""What a session tells the world about itself and about the vehicle."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

from .station import Fault


class Stage(IntEnum):
    """How far a session has come."""

    IDLE = 0
    PROTOCOL = 1
    SETUP = 2
    AUTHORIZATION = 3
    PARAMETERS = 4
    CABLE_CHECK = 5
    PRE_CHARGE = 6
    CHARGING = 7
    STOPPING = 8
    FINISHED = 9
    PAUSED = 10
    FAILED = 11


class StopReason(IntEnum):
    """Who or what ended a session."""

    NONE = 0
    VEHICLE = 1
    STATION = 2
    EMERGENCY = 3
    FAULT = 4
    TIMEOUT = 5
    PROTOCOL = 6
    CONNECTION = 7
    PAUSE = 8


class AuthorizationKind(IntEnum):
    """How a vehicle is identified."""

    NONE = 0
    EXTERNAL = 1
    CONTRACT = 2


class ControlMode(IntEnum):
    """Who leads the charge loop (ISO 15118-20)."""

    NONE = 0
    SCHEDULED = 1
    DYNAMIC = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """The charging session as the station sees it.

    Its progress makes it no other session, or it would be another with each request.
    """

    protocol: int = 0
    stage: Stage = Stage.IDLE
    session_id: str = ''
    evse_id: str = ''
    evcc_id: str = ''
    #: Monotonic time at which the connection was opened, s.
    started: float | None = None
    authorization: AuthorizationKind = AuthorizationKind.NONE
    authorized: bool = False
    #: eMAID of the contract that the vehicle has proven to be its own, '' if none.
    contract_id: str = ''
    bidirectional: bool = False
    control_mode: ControlMode = ControlMode.NONE
    stop_reason: StopReason = StopReason.NONE
    last_request: str = field(default='', compare=False)
    last_response_code: str = field(default='', compare=False)
    requests: int = field(default=0, compare=False)
    message: str = ''
    faults: tuple[Fault, ...] = ()

    @property
    def progress(self) -> tuple[int, str, str]:
        """What changes with each request."""
        return self.requests, self.last_request, self.last_response_code


@dataclass(frozen=True, slots=True, kw_only=True)
class Vehicle:
    """What the vehicle has told; ``None`` for what it has not.  SI units, ratios 0..1."""

    evcc_id: str = ''
    state_of_charge: float | None = None
    target_voltage: float | None = None
    target_current: float | None = None
    maximum_voltage: float | None = None
    minimum_voltage: float | None = None
    maximum_current: float | None = None
    minimum_current: float | None = None
    maximum_power: float | None = None
    minimum_power: float | None = None
    maximum_discharge_current: float | None = None
    maximum_discharge_power: float | None = None
    present_voltage: float | None = None
    energy_capacity: float | None = None
    energy_request: float | None = None
    full_state_of_charge: float | None = None
    bulk_state_of_charge: float | None = None
    remaining_time: float | None = None
    remaining_time_to_bulk: float | None = None
    departure_time: float | None = None
    ready: bool = False
    charging_complete: bool = False
    error_code: str = ''
