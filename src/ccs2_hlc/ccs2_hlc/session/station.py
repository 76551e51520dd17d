"""What a session knows of its station: settings, measurements, faults, and the operator's wishes.

Everything here is immutable.  A :class:`Snapshot` holds only what is fresh: what was never
received, or not renewed in time, is ``None`` in it and so can never be taken for a measurement.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from typing import TYPE_CHECKING

from .schedules import UNLIMITED, Schedule
from .services import Service
from .tariffs import Tariffs

if TYPE_CHECKING:
    from .back_office import BackOfficeAnswer
    from .context import Paused
    from .contract import Trust

#: How long a peer's message counts as fresh after it has arrived, s.
MAX_AGE = 0.5
#: The same for the isolation monitor and the meter, which report once a second.
MAX_AGE_SLOW = 3.0


class Severity(IntEnum):
    """What a fault does to the session (IEC 61851-23:2023 table CC.10)."""

    WARNING = 1
    ERROR = 2
    EMERGENCY = 3


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault that is present or latched somewhere in the station."""

    code: int
    severity: Severity
    message: str
    source: str = ''

    @property
    def of_isolation(self) -> bool:
        """Whether the isolation monitor's part of the fault codes (3xx) lists it."""
        return 300 <= self.code < 400


class PowerState(IntEnum):
    """What the power stage does."""

    UNKNOWN = 0
    OFF = 1
    CABLE_CHECK = 2
    PRE_CHARGE = 3
    CHARGING = 4
    STOPPING = 5
    DISCHARGING_OUTPUT = 6
    FAULT = 7


class CableCheck(IntEnum):
    """Progress of the cable check of one session."""

    NOT_DONE = 0
    RUNNING = 1
    VALID = 2
    WARNING = 3
    FAILED = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Power:
    """What the power stage does, can do and measures; ``None`` where it has no measurement.

    Volts, amperes (positive into the vehicle), watts.  Limits are those of the hardware now, after
    derating, and never negative.
    """

    state: PowerState
    session_id: str = ''
    voltage: float | None = None
    current: float | None = None
    minimum_voltage: float | None = None
    maximum_voltage: float | None = None
    minimum_current: float | None = None
    maximum_current: float | None = None
    maximum_power: float | None = None
    maximum_discharge_current: float | None = None
    maximum_discharge_power: float | None = None
    current_regulation_tolerance: float | None = None
    peak_current_ripple: float | None = None
    voltage_limit_achieved: bool = False
    current_limit_achieved: bool = False
    power_limit_achieved: bool = False
    cable_check: CableCheck = CableCheck.NOT_DONE
    faults: tuple[Fault, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Safety:
    """What the safety supervisor permits and has done."""

    contactors_closed: bool
    contactors_open: bool
    permitted: bool = False
    connector_locked: bool = False
    emergency_stop: bool = False
    faults: tuple[Fault, ...] = ()


class PilotState(IntEnum):
    """State of the control pilot (IEC 61851-1 annex A)."""

    UNKNOWN = 0
    A = 1
    B = 2
    C = 3
    D = 4
    E = 5
    F = 6


@dataclass(frozen=True, slots=True)
class Pilot:
    """The control pilot as the station measures it."""

    state: PilotState
    bcb_toggles: int = 0

    @property
    def vehicle_ready(self) -> bool:
        """Whether the vehicle is ready for energy (C or D)."""
        return self.state in (PilotState.C, PilotState.D)


class IsolationState(IntEnum):
    """Verdict of the isolation monitor."""

    UNKNOWN = 0
    INVALID = 1
    VALID = 2
    WARNING = 3
    FAULT = 4
    NO_MONITOR = 5


@dataclass(frozen=True, slots=True)
class Isolation:
    """What the isolation monitor says now."""

    state: IsolationState


@dataclass(frozen=True, slots=True)
class Meter:
    """What the energy meter says now: energy into the vehicle since the meter was made, J."""

    meter_id: str
    energy_imported: float | None = None
    energy_exported: float | None = None
    session_energy: float | None = None
    status: int = 0


class Decision(Enum):
    """Whether this session may have energy."""

    WAITING = 'waiting'
    GRANTED = 'granted'
    DENIED = 'denied'


class Urgency(IntEnum):
    """How a stop from the station's side is carried out."""

    #: Tell the vehicle and let it ramp down.
    NORMAL = 0
    #: End power now, tell the vehicle in the next response.
    IMMEDIATE = 1


@dataclass(frozen=True, slots=True)
class StopWish:
    """The station's side wants the session to end."""

    urgency: Urgency
    reason: str = ''


@dataclass(frozen=True, slots=True)
class OperatorLimits:
    """What the operator narrows the hardware's limits to; ``None``: leaves it to the hardware."""

    maximum_current: float | None = None
    maximum_power: float | None = None
    maximum_discharge_current: float | None = None
    maximum_discharge_power: float | None = None


@dataclass(frozen=True, slots=True)
class Needs:
    """What the vehicle needs by the word of the operator; ``None``: leaves it to the vehicle."""

    #: Monotonic time at which it leaves, s.
    departure: float | None = None
    #: Ratios 0..1; the minimum, at most the target, comes first and is then kept.
    minimum_state_of_charge: float | None = None
    target_state_of_charge: float | None = None


NO_NEEDS = Needs()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that an engine may look at in one step.  What is not fresh is ``None``."""

    #: Monotonic time, s.
    now: float
    power: Power | None = None
    safety: Safety | None = None
    pilot: Pilot | None = None
    isolation: Isolation | None = None
    meter: Meter | None = None
    authorization: Decision = Decision.WAITING
    stop: StopWish | None = None
    limits: OperatorLimits = OperatorLimits()
    needs: Needs = NO_NEEDS
    #: The session that the vehicle has paused and may join again, until it does.
    paused: Paused | None = None
    #: What contracts are checked against, ``None`` if there is no certificate store.
    trust: Trust | None = None
    #: The answer to the request that this session has sent last to the back office.
    back_office: BackOfficeAnswer | None = None

    @property
    def faults(self) -> tuple[Fault, ...]:
        """Every fault that the power stage and the safety supervisor list."""
        power = self.power.faults if self.power else ()
        safety = self.safety.faults if self.safety else ()
        return power + safety


@dataclass(frozen=True, slots=True)
class Timing:
    """Times a session keeps, s; those of DIN 70121 as its implementers cite them."""

    #: V2G_SECC_CommunicationSetup_Performance_Time: data link up until SessionSetup is answered.
    communication_setup: float = 18.0
    #: V2G_SECC_Sequence_Timeout [V2G-DC-432].
    sequence: float = 60.0
    #: V2G_SECC_Sequence_TimeoutCR, after CurrentDemandRes [V2G-DC-957].
    sequence_charge_loop: float = 5.0
    #: The same after DC_ChargeLoopRes [V2G20-1502]; many vehicles take longer.
    sequence_charge_loop_iso20: float = 0.5
    #: V2G_SECC_CPState_Detection_Timeout [V2G-DC-547], [V2G-DC-967], [V2G-DC-988].
    pilot_detection: float = 1.5
    #: V2G_SECC_CableCheck_Performance_Time, from the first CableCheckReq.
    cable_check: float = 38.0
    #: V2G_SECC_PowerDelivery_Timeout [V2G-DC-969], from the first PreChargeReq.
    power_delivery: float = 20.0
    #: V2G_SECC_WeldingDetection_Timeout [V2G-DC-925], from the first WeldingDetectionReq.
    welding_detection: float = 20.0
    #: V2G_SECC_CPOscillator_Retain_Time [V2G-DC-968].
    oscillator_retain: float = 1.5
    #: The vehicle waits 2 s for PowerDeliveryRes: by then the current has to be gone.
    power_off: float = 1.5
    #: How long the vehicle may take to obey a stop from the station's side.
    stop_patience: float = 10.0
    #: The transport is silent: longer than this nothing was heard of the connection.
    transport: float = 0.2
    #: How long a failure waits for a request in whose response it can be told.
    failure_notice: float = 2.0
    #: The vehicle is given this long to close the connection first (limit: 5 s).
    close_after_stop: float = 4.0
    close_after_failure: float = 2.0
    #: V2G_SECC_Ongoing_Performance_Time [V2G2-713], for decisions that need no person.
    ongoing: float = 55.0
    #: How long the vehicle may take to answer a challenge: V2G_EVCC_Sequence_Performance_Time.
    challenge: float = 40.0
    #: Within this the back office has to answer: the vehicle waits 5 s.
    back_office: float = 4.5
    #: How long the vehicle may take to follow a wish for another schedule.
    renegotiation: float = 60.0
    #: The same for a wish for a pause [V2G20-3308].
    pause_notice: float = 60.0
    #: How long the vehicle may take to make the operator's word about its needs its own.
    needs_notice: float = 30.0
    #: The transport keeps the sequence timeout; the engine acts itself this much later.
    sequence_margin: float = 0.5


class ContractPayment(Enum):
    """Whether vehicles may pay by contract (Plug & Charge), and who decides."""

    OFF = 'off'
    #: A valid contract and the vehicle's signature suffice.
    LOCAL = 'local'
    #: Beyond that the back office decides, as for external payment.
    SERVICE = 'service'


@dataclass(frozen=True, slots=True, kw_only=True)
class Station:
    """Settings of one connector."""

    #: EVSEID in the form of ISO 15118, e.g. 'DE*ABC*E123*1'; '' if none is assigned.
    evse_id: str = ''
    #: EVSEID by DIN SPEC 91286, digits and '*', e.g. '49*89*6360'; '' if none is assigned.
    evse_id_din: str = ''
    #: Whether charging costs nothing.
    free_service: bool = False
    #: Every vehicle is authorized without being asked for it.
    automatic_authorization: bool = False
    #: How long a vehicle may wait for its authorization, s.
    authorization_timeout: float = 300.0
    contract_payment: ContractPayment = ContractPayment.OFF
    #: Whether a back office installs and updates contract certificates.
    certificate_service: bool = False
    #: A vehicle that pays by contract signs a meter receipt this often, s; 0: never.
    receipt_interval: float = 0.0
    #: Power over time that is offered, capped by the limits of the moment.
    schedules: tuple[Schedule, ...] = UNLIMITED
    #: Ask the vehicle for another schedule when the operator's limits change.
    renegotiation: bool = False
    #: What is offered besides charging.
    services: tuple[Service, ...] = ()
    #: Accept contracts by ISO 15118-20 on curves of ISO 15118-2: for tests with other stacks only.
    accept_p256: bool = False
    #: What energy costs by each schedule, told by ISO 15118; ``None``: nothing is told.
    tariffs: Tariffs | None = None
    #: Whether a vehicle may interrupt charging and keep the contactors closed (ISO 15118-20).
    standby: bool = True
    #: Whether a vehicle may choose other services after a stop (ISO 15118-20).
    service_renegotiation: bool = True
    #: Whether the operator may say what a vehicle needs, if that agrees (ISO 15118-20).
    mobility_needs: bool = False
    #: End the session with a vehicle that does not accept the power tolerance of its schedule.
    strict_tolerance: bool = False
    #: Mobility providers whose contracts can be served, told by ISO 15118-20; empty: not told.
    supported_providers: tuple[str, ...] = ()
    #: Refuse SessionStopReq in the charge loop, as a strict reading of DIN 70121 demands.
    strict_sequence: bool = False
    #: Refuse a charging profile above the offered schedule [V2G-DC-399].
    strict_profile: bool = True
    timing: Timing = Timing()
    #: Seconds since 1970-01-01 UTC, for messages that carry a date.
    unix_time: Callable[[], int] | None = field(default=None, compare=False)
