"""ISO 15118-20: which trigger gives which response code, and what says that more time is needed.

A WARNING does not end a session; what becomes one is no reason to end it.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..exi.messages.iso20.types import Processing, ResponseCode
from .triggers import PLAIN_FAILURES, Condition, Trigger

_R = ResponseCode
#: No message of this protocol tells these.
_NOT_TOLD = (Trigger.PRE_CHARGE_CURRENT, Trigger.VEHICLE_ERROR)

#: Every response that names a code is decided by one of these triggers.
CODES: dict[Trigger, ResponseCode] = {
    Trigger.CONTROL_MODE: _R.FAILED,
    **{trigger: _R.FAILED for trigger in PLAIN_FAILURES if trigger not in _NOT_TOLD},
    Trigger.ACCEPTED: _R.OK,
    Trigger.NEW_SESSION: _R.OK_NEW_SESSION_ESTABLISHED,
    Trigger.SESSION_JOINED: _R.OK_OLD_SESSION_JOINED,
    Trigger.CERTIFICATE_EXPIRES_SOON: _R.OK_CERTIFICATE_EXPIRES_SOON,
    Trigger.AUTHORIZATION_NOT_OFFERED: _R.WARNING_AUTHORIZATION_SELECTION_INVALID,
    Trigger.AUTHORIZATION_DENIED: _R.WARNING_EIM_AUTHORIZATION_FAILURE,
    Trigger.CONTRACT_DENIED: _R.WARNING_GENERAL_PNC_AUTHORIZATION_ERROR,
    Trigger.CERTIFICATE_EXPIRED: _R.WARNING_CERTIFICATE_EXPIRED,
    Trigger.CERTIFICATE_NOT_YET_VALID: _R.WARNING_CERTIFICATE_NOT_YET_VALID,
    Trigger.CERTIFICATE_REVOKED: _R.WARNING_CERTIFICATE_REVOKED,
    Trigger.CERTIFICATE_UNKNOWN: _R.WARNING_E_MSP_UNKNOWN,
    Trigger.CERTIFICATE_NOT_ALLOWED: _R.WARNING_GENERAL_PNC_AUTHORIZATION_ERROR,
    Trigger.CERTIFICATE_ISSUER_EXPIRED: _R.WARNING_CERTIFICATE_VALIDATION_ERROR,
    Trigger.CERTIFICATE_CHAIN: _R.WARNING_CERTIFICATE_VALIDATION_ERROR,
    Trigger.CERTIFICATE_UNCHECKED: _R.WARNING_GENERAL_PNC_AUTHORIZATION_ERROR,
    Trigger.CLOCK_NOT_TRUSTED: _R.WARNING_GENERAL_PNC_AUTHORIZATION_ERROR,
    Trigger.CHALLENGE: _R.WARNING_CHALLENGE_INVALID,
    Trigger.BACK_OFFICE_REFUSED: _R.WARNING_NO_CERTIFICATE_AVAILABLE,
    Trigger.BACK_OFFICE_LATE: _R.WARNING_NO_CERTIFICATE_AVAILABLE,
    Trigger.CONTRACT_CANCELED: _R.WARNING_NO_CONTRACT_MATCHING_PCID_FOUND,
    Trigger.PROFILE_EXCEEDED: _R.WARNING_EV_POWER_PROFILE_VIOLATION,
    Trigger.TOLERANCE_CONFIRMED: _R.OK_POWER_TOLERANCE_CONFIRMED,
    Trigger.TOLERANCE_NOT_CONFIRMED: _R.WARNING_POWER_TOLERANCE_NOT_CONFIRMED,
    Trigger.TOLERANCE_REFUSED: _R.FAILED_POWER_TOLERANCE_NOT_CONFIRMED,
    Trigger.STANDBY_NOT_POSSIBLE: _R.WARNING_STANDBY_NOT_ALLOWED,
    Trigger.OUT_OF_SEQUENCE: _R.FAILED_SEQUENCE_ERROR,
    Trigger.UNKNOWN_SESSION: _R.FAILED_UNKNOWN_SESSION,
    Trigger.SIGNATURE: _R.FAILED_SIGNATURE_ERROR,
    Trigger.SERVICE_UNKNOWN: _R.FAILED_SERVICE_ID_INVALID,
    Trigger.NO_CHARGE_SERVICE: _R.FAILED_NO_ENERGY_TRANSFER_SERVICE_SELECTED,
    Trigger.SERVICE_NOT_OFFERED: _R.FAILED_SERVICE_SELECTION_INVALID,
    Trigger.ENERGY_TRANSFER_NOT_OFFERED: _R.FAILED_WRONG_CHARGE_PARAMETER,
    Trigger.CHARGE_PARAMETERS: _R.FAILED_WRONG_CHARGE_PARAMETER,
    Trigger.SCHEDULE_NOT_OFFERED: _R.FAILED_SCHEDULE_SELECTION_INVALID,
    Trigger.PROFILE_KIND: _R.FAILED_EV_POWER_PROFILE_INVALID,
    Trigger.PROFILE_ABOVE_SCHEDULE: _R.FAILED_EV_POWER_PROFILE_VIOLATION,
    Trigger.NOT_READY_FOR_POWER: _R.FAILED_POWER_DELIVERY_NOT_APPLIED,
    Trigger.CONTACTORS_NOT_CLOSED: _R.FAILED_CONTACTOR_ERROR,
    Trigger.RENEGOTIATED_TOO_EARLY: _R.FAILED_SCHEDULE_RENEGOTIATION,
    Trigger.PAUSED_TOO_EARLY: _R.FAILED_PAUSE_NOT_ALLOWED,
    Trigger.SERVICES_NOT_RENEGOTIABLE: _R.FAILED_NO_SERVICE_RENEGOTIATION_SUPPORTED,
    Trigger.RECEIPT: _R.FAILED_METERING_SIGNATURE_NOT_VALID,
    Trigger.RECEIPT_SESSION: _R.FAILED_UNKNOWN_SESSION,
}

_AUTHORIZATION = ('AuthorizationRes',)
_INSTALLATION = ('CertificateInstallationRes',)
_POWER_DELIVERY = ('PowerDeliveryRes',)
_CABLE = ('DC_CableCheckRes',)
_LOOP = ('DC_PreChargeRes', 'PowerDeliveryRes', 'DC_ChargeLoopRes')
_STOP = ('SessionStopRes',)
_METERING = ('MeteringConfirmationRes',)

#: The responses in which a trigger can be told; any response for those that are not listed.
RESPONSES: dict[Trigger, tuple[str, ...]] = {
    Trigger.NEW_SESSION: ('SessionSetupRes',),
    Trigger.SESSION_JOINED: ('SessionSetupRes',),
    **dict.fromkeys((
        Trigger.CERTIFICATE_EXPIRES_SOON, Trigger.AUTHORIZATION_NOT_OFFERED,
        Trigger.AUTHORIZATION_DENIED, Trigger.CONTRACT_DENIED,
        Trigger.CERTIFICATE_UNKNOWN, Trigger.CERTIFICATE_NOT_ALLOWED,
        Trigger.CERTIFICATE_ISSUER_EXPIRED, Trigger.CERTIFICATE_UNCHECKED,
        Trigger.CLOCK_NOT_TRUSTED, Trigger.CHALLENGE),
        _AUTHORIZATION),
    **dict.fromkeys((
        Trigger.CERTIFICATE_EXPIRED, Trigger.CERTIFICATE_NOT_YET_VALID,
        Trigger.CERTIFICATE_REVOKED,
        Trigger.CERTIFICATE_CHAIN, Trigger.SIGNATURE), _AUTHORIZATION + _INSTALLATION),
    Trigger.AUTHORIZATION_TIMEOUT: (*_AUTHORIZATION, *_INSTALLATION, *_STOP),
    Trigger.BACK_OFFICE_REFUSED: _INSTALLATION,
    Trigger.BACK_OFFICE_LATE: _INSTALLATION,
    Trigger.CONTRACT_CANCELED: _INSTALLATION,
    Trigger.SERVICE_UNKNOWN: ('ServiceDetailRes',),
    Trigger.NO_CHARGE_SERVICE: ('ServiceSelectionRes',),
    Trigger.SERVICE_NOT_OFFERED: ('ServiceSelectionRes',),
    Trigger.ENERGY_TRANSFER_NOT_OFFERED: ('DC_ChargeParameterDiscoveryRes',),
    Trigger.CHARGE_PARAMETERS: ('DC_ChargeParameterDiscoveryRes',),
    Trigger.CONTROL_MODE: ('ScheduleExchangeRes', *_POWER_DELIVERY, 'DC_ChargeLoopRes'),
    Trigger.PROFILE_EXCEEDED: ('DC_ChargeLoopRes',),
    Trigger.CONTACTORS_NOT_CLOSED: ('PowerDeliveryRes', 'DC_ChargeLoopRes'),
    **dict.fromkeys((
        Trigger.SCHEDULE_NOT_OFFERED, Trigger.PROFILE_KIND, Trigger.PROFILE_ABOVE_SCHEDULE,
        Trigger.NOT_READY_FOR_POWER, Trigger.STARTED_TWICE, Trigger.RENEGOTIATED_TOO_EARLY,
        Trigger.STANDBY_NOT_POSSIBLE, Trigger.POWER_NOT_STOPPED, Trigger.TOLERANCE_CONFIRMED,
        Trigger.TOLERANCE_NOT_CONFIRMED, Trigger.TOLERANCE_REFUSED), _POWER_DELIVERY),
    Trigger.RECEIPT: _METERING,
    Trigger.RECEIPT_SESSION: _METERING,
    Trigger.PAUSED_TOO_EARLY: _STOP,
    Trigger.SERVICES_NOT_RENEGOTIABLE: _STOP,
    Trigger.STATION_STOPPED: (
        'SessionSetupRes', 'AuthorizationSetupRes', *_AUTHORIZATION, *_INSTALLATION,
        'ServiceDiscoveryRes', 'ServiceDetailRes', 'ServiceSelectionRes',
        'VehicleCheckInRes', 'DC_ChargeParameterDiscoveryRes', 'ScheduleExchangeRes', *_CABLE,
        'DC_PreChargeRes'),
    # What happens between two requests is told in whatever the vehicle asks next.
    Trigger.CABLE_CHECK_FAILED: _CABLE + _STOP,
    Trigger.CABLE_CHECK_TIMEOUT: _CABLE + _STOP,
    Trigger.PILOT_NOT_C: _CABLE + _STOP,
    Trigger.PILOT_LEFT_C: (*_CABLE, *_LOOP, *_METERING, 'ScheduleExchangeRes', *_STOP),
    Trigger.POWER_DELIVERY_TIMEOUT: ('DC_PreChargeRes', *_POWER_DELIVERY, *_STOP),
    Trigger.PILOT_NOT_B: ('DC_WeldingDetectionRes', 'SessionStopRes'),
}

#: The other codes of the schema, and why no station sends them.
NEVER_SENT: dict[ResponseCode, str] = {
    _R.WARNING_SCHEDULE_RENEGOTIATION_FAILED: 'there is always a schedule to be offered',
    _R.WARNING_WPT: 'for wireless power',
    _R.FAILED_ASSOCIATION_ERROR: 'for wireless power and pantographs',
}


@dataclass(frozen=True, slots=True)
class Row:
    """What the responses say under one condition; there is no status beside it."""

    #: While the vehicle waits for a person's decision it is told so instead.
    processing: Processing


_MORE_TIME = frozenset({
    Condition.AUTHORIZING, Condition.CABLE_CHECK_WAITING, Condition.CABLE_CHECK})

#: EVSEProcessing under every condition.
TRUTH: dict[Condition, Row] = {
    condition: Row(
        Processing.ONGOING if condition in _MORE_TIME else Processing.FINISHED)
    for condition in Condition}
