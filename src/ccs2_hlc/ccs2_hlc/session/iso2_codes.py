"""ISO 15118-2: which trigger gives which response code, and the truth table of the status."""

from __future__ import annotations

from dataclasses import dataclass

from ..exi.messages import iso2
from .triggers import PLAIN_FAILURES, Condition, Trigger

_R = iso2.ResponseCode

#: Every response that names a code is decided by one of these triggers.
CODES: dict[Trigger, iso2.ResponseCode] = {
    Trigger.ACCEPTED: _R.OK,
    Trigger.NEW_SESSION: _R.OK_NEW_SESSION_ESTABLISHED,
    Trigger.SESSION_JOINED: _R.OK_OLD_SESSION_JOINED,
    Trigger.CERTIFICATE_EXPIRES_SOON: _R.OK_CERTIFICATE_EXPIRES_SOON,
    Trigger.OUT_OF_SEQUENCE: _R.FAILED_SEQUENCE_ERROR,
    Trigger.UNKNOWN_SESSION: _R.FAILED_UNKNOWN_SESSION,
    Trigger.RECEIPT_SESSION: _R.FAILED_UNKNOWN_SESSION,
    Trigger.SERVICE_UNKNOWN: _R.FAILED_SERVICE_ID_INVALID,
    Trigger.PAYMENT_NOT_OFFERED: _R.FAILED_PAYMENT_SELECTION_INVALID,
    Trigger.SERVICE_NOT_OFFERED: _R.FAILED_SERVICE_SELECTION_INVALID,
    Trigger.NO_CHARGE_SERVICE: _R.FAILED_NO_CHARGE_SERVICE_SELECTED,
    Trigger.CERTIFICATE_EXPIRED: _R.FAILED_CERTIFICATE_EXPIRED,
    Trigger.CERTIFICATE_NOT_YET_VALID: _R.FAILED_CERTIFICATE_EXPIRED,
    Trigger.CERTIFICATE_REVOKED: _R.FAILED_CERTIFICATE_REVOKED,
    Trigger.CERTIFICATE_UNKNOWN: _R.FAILED_NO_CERTIFICATE_AVAILABLE,
    Trigger.CERTIFICATE_NOT_ALLOWED: _R.FAILED_CERTIFICATE_NOT_ALLOWED_AT_THIS_EVSE,
    # The code for an expired certificate is about the leaf [V2G2-824].
    Trigger.CERTIFICATE_ISSUER_EXPIRED: _R.FAILED_CERTIFICATE_NOT_ALLOWED_AT_THIS_EVSE,
    Trigger.CERTIFICATE_CHAIN: _R.FAILED_CERT_CHAIN_ERROR,
    Trigger.CHALLENGE: _R.FAILED_CHALLENGE_INVALID,
    Trigger.SIGNATURE: _R.FAILED_SIGNATURE_ERROR,
    Trigger.CONTRACT_CANCELED: _R.FAILED_CONTRACT_CANCELED,
    Trigger.BACK_OFFICE_REFUSED: _R.FAILED_NO_CERTIFICATE_AVAILABLE,
    Trigger.ENERGY_TRANSFER_NOT_OFFERED: _R.FAILED_WRONG_ENERGY_TRANSFER_MODE,
    Trigger.CHARGE_PARAMETERS: _R.FAILED_WRONG_CHARGE_PARAMETER,
    Trigger.SCHEDULE_NOT_OFFERED: _R.FAILED_TARIFF_SELECTION_INVALID,
    Trigger.PROFILE_ABOVE_SCHEDULE: _R.FAILED_CHARGING_PROFILE_INVALID,
    Trigger.NOT_READY_FOR_POWER: _R.FAILED_POWER_DELIVERY_NOT_APPLIED,
    Trigger.RECEIPT: _R.FAILED_METERING_SIGNATURE_NOT_VALID,
    **dict.fromkeys((
        Trigger.CERTIFICATE_UNCHECKED,
        Trigger.CLOCK_NOT_TRUSTED,
        Trigger.BACK_OFFICE_LATE,
        Trigger.RENEGOTIATED_TOO_EARLY,
        Trigger.PAUSED_TOO_EARLY,
        *PLAIN_FAILURES,
    ), _R.FAILED),
}

_CABLE = ('CableCheckRes', 'PreChargeRes')
_LOOP = ('PreChargeRes', 'PowerDeliveryRes', 'CurrentDemandRes', 'MeteringReceiptRes')
_ENERGISED = ('ChargeParameterDiscoveryRes', 'CableCheckRes', *_LOOP)
_POWER_DELIVERY = ('PowerDeliveryRes',)
_INSTALLATION = ('CertificateInstallationRes', 'CertificateUpdateRes')
_DETAILS = ('PaymentDetailsRes',)
_CERTIFICATE = (*_INSTALLATION, *_DETAILS)
_RECEIPT = ('MeteringReceiptRes',)

#: The responses in which a trigger can be told; any response for those that are not listed.
RESPONSES: dict[Trigger, tuple[str, ...]] = {
    Trigger.NEW_SESSION: ('SessionSetupRes',),
    Trigger.SESSION_JOINED: ('SessionSetupRes',),
    Trigger.CERTIFICATE_EXPIRES_SOON: _DETAILS,
    Trigger.RECEIPT_SESSION: _RECEIPT,
    Trigger.SERVICE_UNKNOWN: ('ServiceDetailRes',),
    Trigger.PAYMENT_NOT_OFFERED: ('PaymentServiceSelectionRes',),
    Trigger.SERVICE_NOT_OFFERED: ('PaymentServiceSelectionRes',),
    Trigger.NO_CHARGE_SERVICE: ('PaymentServiceSelectionRes',),
    Trigger.CERTIFICATE_EXPIRED: _CERTIFICATE,
    Trigger.CERTIFICATE_NOT_YET_VALID: _DETAILS,
    Trigger.CERTIFICATE_REVOKED: _CERTIFICATE,
    Trigger.CERTIFICATE_UNKNOWN: _DETAILS,
    Trigger.CERTIFICATE_NOT_ALLOWED: _DETAILS,
    Trigger.CERTIFICATE_ISSUER_EXPIRED: _DETAILS,
    Trigger.CERTIFICATE_CHAIN: _CERTIFICATE,
    Trigger.CERTIFICATE_UNCHECKED: _DETAILS,
    Trigger.CLOCK_NOT_TRUSTED: _DETAILS,
    Trigger.CHALLENGE: ('AuthorizationRes',),
    Trigger.SIGNATURE: (*_INSTALLATION, 'AuthorizationRes'),
    Trigger.CONTRACT_CANCELED: _INSTALLATION,
    Trigger.BACK_OFFICE_REFUSED: _INSTALLATION,
    Trigger.BACK_OFFICE_LATE: _INSTALLATION,
    Trigger.ENERGY_TRANSFER_NOT_OFFERED: ('ChargeParameterDiscoveryRes',),
    Trigger.CHARGE_PARAMETERS: ('ChargeParameterDiscoveryRes',),
    Trigger.SCHEDULE_NOT_OFFERED: _POWER_DELIVERY,
    Trigger.PROFILE_ABOVE_SCHEDULE: _POWER_DELIVERY,
    Trigger.NOT_READY_FOR_POWER: _POWER_DELIVERY,
    Trigger.RECEIPT: _RECEIPT,
    Trigger.STARTED_TWICE: _POWER_DELIVERY,
    Trigger.RENEGOTIATED_TOO_EARLY: _POWER_DELIVERY,
    Trigger.PAUSED_TOO_EARLY: ('SessionStopRes',),
    Trigger.PRE_CHARGE_CURRENT: ('PreChargeRes',),
    Trigger.VEHICLE_ERROR: _CABLE,
    Trigger.AUTHORIZATION_DENIED: ('AuthorizationRes',),
    Trigger.AUTHORIZATION_TIMEOUT: ('AuthorizationRes',),
    Trigger.STATION_STOPPED: (
        'SessionSetupRes', 'ServiceDiscoveryRes', 'ServiceDetailRes',
        'PaymentServiceSelectionRes', *_CERTIFICATE, 'AuthorizationRes'),
    Trigger.STOP_IGNORED: _ENERGISED,
    Trigger.CABLE_CHECK_FAILED: ('CableCheckRes',),
    Trigger.CABLE_CHECK_TIMEOUT: ('CableCheckRes',),
    Trigger.POWER_DELIVERY_TIMEOUT: ('PreChargeRes', 'PowerDeliveryRes'),
    Trigger.POWER_NOT_STOPPED: _POWER_DELIVERY,
    Trigger.PILOT_NOT_C: ('CableCheckRes',),
    Trigger.PILOT_LEFT_C: _ENERGISED,
    Trigger.PILOT_NOT_B: ('WeldingDetectionRes', 'SessionStopRes'),
}

#: The other codes of the schema, and why no station sends them.
NEVER_SENT: dict[iso2.ResponseCode, str] = {
    _R.FAILED_CONTACTOR_ERROR:
        'for AC: with DC the supervisor judges the contactors, and the station says that it is '
        'not ready (FAILED_PowerDeliveryNotApplied) or has a fault (FAILED)',
}


@dataclass(frozen=True, slots=True)
class Row:
    """What the responses say under one condition."""

    status: iso2.DCEVSEStatusCode
    #: ``None``: as the cable check and the isolation monitor say.
    isolation: iso2.IsolationLevel | None
    #: While the vehicle waits for a person's decision it is told so instead [V2G2-854].
    processing: iso2.EVSEProcessing


_S, _I, _P = iso2.DCEVSEStatusCode, iso2.IsolationLevel, iso2.EVSEProcessing

#: EVSEStatusCode, EVSEIsolationStatus and EVSEProcessing under every condition.
TRUTH: dict[Condition, Row] = {
    Condition.EMERGENCY: Row(_S.EVSE_EMERGENCY_SHUTDOWN, None, _P.FINISHED),
    Condition.CABLE_CHECK_FAILED: Row(_S.EVSE_MALFUNCTION, _I.INVALID, _P.FINISHED),
    Condition.MALFUNCTION: Row(_S.EVSE_MALFUNCTION, None, _P.FINISHED),
    Condition.SHUTDOWN: Row(_S.EVSE_SHUTDOWN, None, _P.FINISHED),
    Condition.AUTHORIZING: Row(_S.EVSE_NOT_READY, _I.INVALID, _P.ONGOING),
    Condition.CABLE_CHECK_WAITING: Row(_S.EVSE_NOT_READY, _I.INVALID, _P.ONGOING),
    Condition.CABLE_CHECK: Row(
        _S.EVSE_ISOLATION_MONITORING_ACTIVE, _I.INVALID, _P.ONGOING),
    Condition.NOT_READY: Row(_S.EVSE_NOT_READY, None, _P.FINISHED),
    Condition.READY: Row(_S.EVSE_READY, None, _P.FINISHED),
}
