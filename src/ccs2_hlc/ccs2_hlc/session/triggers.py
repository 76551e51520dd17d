"""Everything that can decide a response, by name.

A handler never chooses a response code: it names what has happened.  The cause says what that does
to the session in every protocol; each protocol maps the same names to its own response codes.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum, auto

from .command import Shutdown
from .views import StopReason


class Condition(Enum):
    """What a status in a response is about; each protocol has one truth table of these."""

    #: Emergency shutdown.
    EMERGENCY = 'emergency shutdown'
    #: The cable check has not been passed.
    CABLE_CHECK_FAILED = 'cable check failed'
    #: The station has a fault or lacks a measurement.
    MALFUNCTION = 'malfunction'
    #: The session ends: the station announces it, refuses a message, or the vehicle has ended it.
    SHUTDOWN = 'session ends'
    #: The decision about the authorization is outstanding.
    AUTHORIZING = 'waits for authorization'
    #: The cable check was asked for and has not begun: pilot not in C or contactors open.
    CABLE_CHECK_WAITING = 'cable check waits'
    #: The cable check runs.
    CABLE_CHECK = 'cable check runs'
    #: Power is wanted, but the contactors are not confirmed closed.
    NOT_READY = 'contactors not closed'
    #: Everything is in order.
    READY = 'ready'


class Trigger(StrEnum):
    """What has happened; the value is the name in logs and documents."""

    # Positive.
    ACCEPTED = auto()
    NEW_SESSION = auto()
    SESSION_JOINED = auto()
    CERTIFICATE_EXPIRES_SOON = auto()
    TOLERANCE_CONFIRMED = auto()

    # The vehicle's message is refused.
    OUT_OF_SEQUENCE = auto()
    UNKNOWN_SESSION = auto()
    PAYMENT_NOT_OFFERED = auto()
    AUTHORIZATION_NOT_OFFERED = auto()
    SERVICE_UNKNOWN = auto()
    SERVICE_NOT_OFFERED = auto()
    NO_CHARGE_SERVICE = auto()
    ENERGY_TRANSFER_NOT_OFFERED = auto()
    CHARGE_PARAMETERS = auto()
    CONTROL_MODE = auto()
    SCHEDULE_NOT_OFFERED = auto()
    PROFILE_KIND = auto()
    PROFILE_ABOVE_SCHEDULE = auto()
    PROFILE_EXCEEDED = auto()
    TOLERANCE_NOT_CONFIRMED = auto()
    TOLERANCE_REFUSED = auto()
    NOT_READY_FOR_POWER = auto()
    CONTACTORS_NOT_CLOSED = auto()
    STARTED_TWICE = auto()
    RENEGOTIATED_TOO_EARLY = auto()
    PAUSED_TOO_EARLY = auto()
    STANDBY_NOT_POSSIBLE = auto()
    SERVICES_NOT_RENEGOTIABLE = auto()
    PRE_CHARGE_CURRENT = auto()
    VEHICLE_ERROR = auto()

    # The vehicle's contract.
    CERTIFICATE_EXPIRED = auto()
    CERTIFICATE_NOT_YET_VALID = auto()
    CERTIFICATE_REVOKED = auto()
    CERTIFICATE_UNKNOWN = auto()
    CERTIFICATE_NOT_ALLOWED = auto()
    CERTIFICATE_ISSUER_EXPIRED = auto()
    CERTIFICATE_CHAIN = auto()
    CERTIFICATE_UNCHECKED = auto()
    CLOCK_NOT_TRUSTED = auto()
    CHALLENGE = auto()
    SIGNATURE = auto()
    RECEIPT = auto()
    RECEIPT_SESSION = auto()
    CONTRACT_CANCELED = auto()
    CONTRACT_DENIED = auto()
    BACK_OFFICE_REFUSED = auto()
    BACK_OFFICE_LATE = auto()

    # The station's side.
    AUTHORIZATION_DENIED = auto()
    AUTHORIZATION_TIMEOUT = auto()
    STATION_STOPPED = auto()
    STOPPED_AT_ONCE = auto()
    STOP_IGNORED = auto()
    EMERGENCY_STOP = auto()
    EMERGENCY_FAULT = auto()
    STATION_FAULT = auto()
    ISOLATION_FAULT = auto()
    CABLE_CHECK_FAILED = auto()
    CABLE_CHECK_TIMEOUT = auto()
    POWER_DELIVERY_TIMEOUT = auto()
    POWER_NOT_STOPPED = auto()
    WELDING_DETECTION_TIMEOUT = auto()
    POWER_SILENT = auto()
    SAFETY_SILENT = auto()
    PILOT_SILENT = auto()
    MEASUREMENT_MISSING = auto()

    # The control pilot.
    PILOT_NOT_C = auto()
    PILOT_LEFT_C = auto()
    PILOT_NOT_B = auto()
    UNPLUGGED = auto()

    # The connection.
    NO_COMMON_PROTOCOL = auto()
    NOT_UNDERSTOOD = auto()
    COMMUNICATION_SETUP_TIMEOUT = auto()
    SEQUENCE_TIMEOUT = auto()
    CONNECTION_LOST = auto()
    LINK_LOST = auto()
    TRANSPORT_SILENT = auto()
    SHUT_DOWN = auto()


#: What DIN 70121 and ISO 15118-2 have no code of their own for: told as FAILED.
PLAIN_FAILURES = (
    Trigger.STARTED_TWICE,
    Trigger.PRE_CHARGE_CURRENT,
    Trigger.VEHICLE_ERROR,
    Trigger.AUTHORIZATION_DENIED,
    Trigger.AUTHORIZATION_TIMEOUT,
    Trigger.STATION_STOPPED,
    Trigger.STOPPED_AT_ONCE,
    Trigger.STOP_IGNORED,
    Trigger.EMERGENCY_STOP,
    Trigger.EMERGENCY_FAULT,
    Trigger.STATION_FAULT,
    Trigger.ISOLATION_FAULT,
    Trigger.CABLE_CHECK_FAILED,
    Trigger.CABLE_CHECK_TIMEOUT,
    Trigger.POWER_DELIVERY_TIMEOUT,
    Trigger.POWER_NOT_STOPPED,
    Trigger.POWER_SILENT,
    Trigger.SAFETY_SILENT,
    Trigger.PILOT_SILENT,
    Trigger.MEASUREMENT_MISSING,
    Trigger.PILOT_NOT_C,
    Trigger.PILOT_LEFT_C,
    Trigger.PILOT_NOT_B,
)


class FaultCode:
    """Codes of the faults that the session itself reports (ccs2_interfaces/msg/Fault)."""

    PILOT_UNPLUGGED = 103
    PILOT_LEFT_C = 104
    POWER_SILENT = 502
    SAFETY_SILENT = 503
    PILOT_SILENT = 504
    TRANSPORT_SILENT = 505
    CLOCK = 507
    LINK_LOST = 508
    COMMUNICATION_SETUP_TIMEOUT = 701
    SEQUENCE_TIMEOUT = 702
    PROTOCOL_ERROR = 703
    CERTIFICATE = 705
    VEHICLE_ERROR = 706


@dataclass(frozen=True, slots=True)
class Cause:
    """What a trigger does to the session."""

    #: A phrase that people understand.
    text: str
    reason: StopReason
    condition: Condition = Condition.SHUTDOWN
    shutdown: Shutdown = Shutdown.ERROR
    #: Nothing can be told any more: the connection is closed without an answer.
    silent: bool = False
    #: Fault that the session reports, ``None`` if somebody else reports it or none is due.
    fault: int | None = None


def _refused(text: str) -> Cause:
    return Cause(text, StopReason.PROTOCOL, fault=FaultCode.PROTOCOL_ERROR)


def _distrusted(text: str) -> Cause:
    return Cause(text, StopReason.PROTOCOL, fault=FaultCode.CERTIFICATE)


def _station(text: str, condition: Condition = Condition.MALFUNCTION,
             shutdown: Shutdown = Shutdown.ERROR, fault: int | None = None) -> Cause:
    return Cause(text, StopReason.FAULT, condition, shutdown, fault=fault)


def _late(text: str, condition: Condition = Condition.MALFUNCTION) -> Cause:
    return Cause(text, StopReason.TIMEOUT, condition)


def _lost(text: str, fault: int | None, reason: StopReason = StopReason.CONNECTION) -> Cause:
    return Cause(text, reason, silent=True, fault=fault)


CAUSES: dict[Trigger, Cause] = {
    Trigger.OUT_OF_SEQUENCE: _refused('request is not allowed now'),
    Trigger.UNKNOWN_SESSION: _refused('request carries the id of another session'),
    Trigger.PAYMENT_NOT_OFFERED: _refused('payment option was not offered'),
    Trigger.AUTHORIZATION_NOT_OFFERED: _refused('kind of authorization was not offered'),
    Trigger.SERVICE_NOT_OFFERED: _refused(
        'services selected that were not offered'),
    Trigger.SERVICE_UNKNOWN: _refused('details asked for of a service that is not offered'),
    Trigger.NO_CHARGE_SERVICE: _refused('charge service is not among those selected'),
    Trigger.ENERGY_TRANSFER_NOT_OFFERED: _refused('energy transfer type was not offered'),
    Trigger.CHARGE_PARAMETERS: _refused(
        'charge parameters are for AC, impossible, or out of what the station can supply'),
    Trigger.CONTROL_MODE: _refused('control mode is not that of the selected service'),
    Trigger.PROFILE_KIND: _refused('power profile is not of the selected control mode'),
    Trigger.PROFILE_EXCEEDED: _refused(
        'vehicle wants more power than its own profile says, or leaves the agreed tolerance'),
    Trigger.TOLERANCE_NOT_CONFIRMED: _refused('vehicle does not agree to keep to its profile'),
    Trigger.TOLERANCE_REFUSED: _refused(
        'vehicle does not agree to keep to its profile, which the station demands'),
    Trigger.SCHEDULE_NOT_OFFERED: _refused('schedule was not offered'),
    Trigger.PROFILE_ABOVE_SCHEDULE: _refused(
        'charging profile exceeds the offered schedule in power or time'),
    Trigger.NOT_READY_FOR_POWER: _refused('power asked for while the station is not ready'),
    Trigger.CONTACTORS_NOT_CLOSED: _station(
        'contactors are not closed although power is wanted', Condition.NOT_READY),
    Trigger.STANDBY_NOT_POSSIBLE: _refused(
        'standby wanted that is not offered, or before power was started'),
    Trigger.SERVICES_NOT_RENEGOTIABLE: _refused(
        'other services wanted although that is not offered, or with power on'),
    Trigger.STARTED_TWICE: _refused('power asked for although it is being delivered'),
    Trigger.RENEGOTIATED_TOO_EARLY: _refused('schedule renegotiated before power was started'),
    Trigger.PAUSED_TOO_EARLY: _refused('pause wanted before power was stopped'),
    Trigger.PRE_CHARGE_CURRENT: _refused('more than 2 A asked for in pre-charge'),
    Trigger.VEHICLE_ERROR: Cause(
        'vehicle reports an error of its own', StopReason.VEHICLE,
        fault=FaultCode.VEHICLE_ERROR),
    Trigger.CERTIFICATE_EXPIRED: _distrusted('contract certificate has expired'),
    Trigger.CERTIFICATE_NOT_YET_VALID: _distrusted('contract certificate is not yet valid'),
    Trigger.CERTIFICATE_REVOKED: _distrusted('contract certificate is revoked'),
    Trigger.CERTIFICATE_UNKNOWN: _distrusted('no trusted root has issued the contract'),
    Trigger.CERTIFICATE_NOT_ALLOWED: _distrusted('certificate is not for contracts'),
    Trigger.CERTIFICATE_ISSUER_EXPIRED: _distrusted(
        'an issuer of the contract certificate has expired or is not yet valid'),
    Trigger.CERTIFICATE_CHAIN: _distrusted('contract certificate chain is faulty'),
    Trigger.CERTIFICATE_UNCHECKED: Cause(
        'contract certificate cannot be checked', StopReason.FAULT, fault=FaultCode.CERTIFICATE),
    Trigger.CLOCK_NOT_TRUSTED: Cause(
        'clock of the station is not set: no certificate can be checked', StopReason.FAULT,
        fault=FaultCode.CLOCK),
    Trigger.CHALLENGE: _refused('challenge is missing, late, or not the one of this session'),
    Trigger.SIGNATURE: _refused('signature is missing or wrong'),
    Trigger.RECEIPT: _refused('meter receipt is not signed or not the one asked for'),
    Trigger.RECEIPT_SESSION: _refused('meter receipt is of another session'),
    Trigger.CONTRACT_CANCELED: _refused('back office has canceled the contract'),
    Trigger.CONTRACT_DENIED: Cause('contract is not accepted', StopReason.STATION),
    Trigger.BACK_OFFICE_REFUSED: Cause(
        'back office gives no contract certificate', StopReason.FAULT),
    Trigger.BACK_OFFICE_LATE: Cause('back office does not answer in time', StopReason.TIMEOUT),
    Trigger.AUTHORIZATION_DENIED: Cause('authorization denied', StopReason.STATION),
    Trigger.AUTHORIZATION_TIMEOUT: Cause('not authorized in time', StopReason.TIMEOUT),
    Trigger.STATION_STOPPED: Cause(
        "stopped from the station's side before charging", StopReason.STATION),
    Trigger.STOPPED_AT_ONCE: Cause("stopped at once from the station's side", StopReason.STATION),
    Trigger.STOP_IGNORED: Cause('vehicle does not obey the announced stop', StopReason.STATION),
    Trigger.EMERGENCY_STOP: Cause(
        'emergency stop', StopReason.EMERGENCY, Condition.EMERGENCY, Shutdown.EMERGENCY),
    Trigger.EMERGENCY_FAULT: _station(
        'fault that demands an emergency shutdown', Condition.EMERGENCY, Shutdown.EMERGENCY),
    Trigger.STATION_FAULT: _station('fault in the station'),
    Trigger.ISOLATION_FAULT: _station('isolation fault'),
    Trigger.CABLE_CHECK_FAILED: _station('cable check failed', Condition.CABLE_CHECK_FAILED),
    Trigger.CABLE_CHECK_TIMEOUT: _late('cable check took too long', Condition.CABLE_CHECK_FAILED),
    Trigger.POWER_DELIVERY_TIMEOUT: _late('pre-charge and start of power took too long'),
    Trigger.POWER_NOT_STOPPED: _station(
        'current is not gone in time after the stop', Condition.EMERGENCY, Shutdown.EMERGENCY),
    Trigger.WELDING_DETECTION_TIMEOUT: _late('welding detection took too long'),
    Trigger.POWER_SILENT: _station('power stage is silent', fault=FaultCode.POWER_SILENT),
    Trigger.SAFETY_SILENT: _station(
        'safety supervisor is silent', fault=FaultCode.SAFETY_SILENT),
    Trigger.PILOT_SILENT: _station('control pilot is not measured', fault=FaultCode.PILOT_SILENT),
    Trigger.MEASUREMENT_MISSING: _station('a measurement or limit of the power stage is missing'),
    Trigger.PILOT_NOT_C: Cause(
        'vehicle is not in state C or D in time for the cable check', StopReason.PROTOCOL,
        Condition.MALFUNCTION, fault=FaultCode.PROTOCOL_ERROR),
    Trigger.PILOT_LEFT_C: Cause(
        'vehicle left state C or D without a stop', StopReason.FAULT, Condition.EMERGENCY,
        Shutdown.EMERGENCY, fault=FaultCode.PILOT_LEFT_C),
    Trigger.PILOT_NOT_B: Cause(
        'vehicle is not back in state B in time', StopReason.PROTOCOL,
        fault=FaultCode.PROTOCOL_ERROR),
    Trigger.UNPLUGGED: Cause(
        'vehicle unplugged', StopReason.CONNECTION, Condition.EMERGENCY, Shutdown.EMERGENCY,
        silent=True, fault=FaultCode.PILOT_UNPLUGGED),
    Trigger.NO_COMMON_PROTOCOL: _refused('no common protocol'),
    Trigger.NOT_UNDERSTOOD: _lost(
        'protocol negotiation not understood', FaultCode.PROTOCOL_ERROR, StopReason.PROTOCOL),
    Trigger.COMMUNICATION_SETUP_TIMEOUT: _lost(
        'no session within the communication setup time',
        FaultCode.COMMUNICATION_SETUP_TIMEOUT, StopReason.TIMEOUT),
    Trigger.SEQUENCE_TIMEOUT: _lost(
        'vehicle is silent', FaultCode.SEQUENCE_TIMEOUT, StopReason.TIMEOUT),
    Trigger.CONNECTION_LOST: _lost('connection ended without a stop', None),
    Trigger.LINK_LOST: _lost('data link lost', FaultCode.LINK_LOST),
    Trigger.TRANSPORT_SILENT: _lost('transport is silent', FaultCode.TRANSPORT_SILENT),
    Trigger.SHUT_DOWN: _lost("the station's software is shut down", None, StopReason.STATION),
}
