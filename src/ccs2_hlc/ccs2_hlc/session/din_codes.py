"""DIN 70121: which trigger gives which response code, and the truth table of the status."""

from __future__ import annotations

from dataclasses import dataclass

from ..exi.messages import din
from .triggers import PLAIN_FAILURES, Condition, Trigger

_R = din.ResponseCode

#: Every response that names a code is decided by one of these triggers.
CODES: dict[Trigger, din.ResponseCode] = {
    Trigger.ACCEPTED: _R.OK,
    Trigger.NEW_SESSION: _R.OK_NEW_SESSION_ESTABLISHED,
    Trigger.OUT_OF_SEQUENCE: _R.FAILED_SEQUENCE_ERROR,
    Trigger.UNKNOWN_SESSION: _R.FAILED_UNKNOWN_SESSION,
    Trigger.PAYMENT_NOT_OFFERED: _R.FAILED_PAYMENT_SELECTION_INVALID,
    Trigger.SERVICE_NOT_OFFERED: _R.FAILED_SERVICE_SELECTION_INVALID,
    Trigger.ENERGY_TRANSFER_NOT_OFFERED: _R.FAILED_WRONG_ENERGY_TRANSFER_TYPE,
    Trigger.CHARGE_PARAMETERS: _R.FAILED_WRONG_CHARGE_PARAMETER,
    Trigger.SCHEDULE_NOT_OFFERED: _R.FAILED_TARIFF_SELECTION_INVALID,
    Trigger.PROFILE_ABOVE_SCHEDULE: _R.FAILED_CHARGING_PROFILE_INVALID,
    Trigger.NOT_READY_FOR_POWER: _R.FAILED_POWER_DELIVERY_NOT_APPLIED,
    **dict.fromkeys(PLAIN_FAILURES, _R.FAILED),
    Trigger.WELDING_DETECTION_TIMEOUT: _R.FAILED,
}

_CABLE = ('CableCheckRes', 'PreChargeRes')
_LOOP = ('PreChargeRes', 'PowerDeliveryRes', 'CurrentDemandRes')
_ENERGISED = ('CableCheckRes', *_LOOP)
_POWER_DELIVERY = ('PowerDeliveryRes',)

#: The responses in which a trigger can be told; any response for those that are not listed.
RESPONSES: dict[Trigger, tuple[str, ...]] = {
    Trigger.NEW_SESSION: ('SessionSetupRes',),
    Trigger.PAYMENT_NOT_OFFERED: ('ServicePaymentSelectionRes',),
    Trigger.SERVICE_NOT_OFFERED: ('ServicePaymentSelectionRes',),
    Trigger.ENERGY_TRANSFER_NOT_OFFERED: ('ChargeParameterDiscoveryRes',),
    Trigger.CHARGE_PARAMETERS: ('ChargeParameterDiscoveryRes',),
    Trigger.SCHEDULE_NOT_OFFERED: _POWER_DELIVERY,
    Trigger.PROFILE_ABOVE_SCHEDULE: _POWER_DELIVERY,
    Trigger.NOT_READY_FOR_POWER: _POWER_DELIVERY,
    Trigger.STARTED_TWICE: _POWER_DELIVERY,
    Trigger.PRE_CHARGE_CURRENT: ('PreChargeRes',),
    Trigger.VEHICLE_ERROR: _CABLE,
    Trigger.AUTHORIZATION_DENIED: ('ContractAuthenticationRes',),
    Trigger.AUTHORIZATION_TIMEOUT: ('ContractAuthenticationRes',),
    Trigger.STATION_STOPPED: (
        'SessionSetupRes', 'ServiceDiscoveryRes', 'ServicePaymentSelectionRes',
        'ContractAuthenticationRes'),
    Trigger.STOP_IGNORED: ('ChargeParameterDiscoveryRes', *_ENERGISED),
    Trigger.CABLE_CHECK_FAILED: ('CableCheckRes',),
    Trigger.CABLE_CHECK_TIMEOUT: ('CableCheckRes',),
    Trigger.PILOT_NOT_C: ('CableCheckRes',),
    Trigger.PILOT_LEFT_C: _ENERGISED,
    Trigger.POWER_DELIVERY_TIMEOUT: ('PreChargeRes', 'PowerDeliveryRes'),
    Trigger.POWER_NOT_STOPPED: _POWER_DELIVERY,
    Trigger.WELDING_DETECTION_TIMEOUT: ('WeldingDetectionRes',),
    Trigger.PILOT_NOT_B: ('WeldingDetectionRes', 'SessionStopRes'),
}

_CONTRACT = 'belongs to payment by contract, which DIN 70121 does not use'

#: The other codes of the schema, and why no station sends them.
NEVER_SENT: dict[din.ResponseCode, str] = {
    _R.OK_OLD_SESSION_JOINED: 'sessions are never resumed: every session gets a new id',
    _R.OK_CERTIFICATE_EXPIRES_SOON: _CONTRACT,
    _R.FAILED_SERVICE_ID_INVALID: 'answers ServiceDetailReq, which DIN 70121 does not use',
    _R.FAILED_CERTIFICATE_EXPIRED: _CONTRACT,
    _R.FAILED_SIGNATURE_ERROR: _CONTRACT,
    _R.FAILED_NO_CERTIFICATE_AVAILABLE: _CONTRACT,
    _R.FAILED_CERT_CHAIN_ERROR: _CONTRACT,
    _R.FAILED_CHALLENGE_INVALID: _CONTRACT,
    _R.FAILED_CONTRACT_CANCELED: _CONTRACT,
    _R.FAILED_EVSE_PRESENT_VOLTAGE_TO_LOW:
        'a fault of the power stage: told as FAILED with EVSE_Malfunction',
    _R.FAILED_METERING_SIGNATURE_NOT_VALID: _CONTRACT,
}


@dataclass(frozen=True, slots=True)
class Row:
    """What the responses say under one condition."""

    status: din.DCEVSEStatusCode
    #: ``None``: as the cable check and the isolation monitor say.
    isolation: din.IsolationLevel | None
    processing: din.EVSEProcessing


_S, _I, _P = din.DCEVSEStatusCode, din.IsolationLevel, din.EVSEProcessing

#: EVSEStatusCode, EVSEIsolationStatus and EVSEProcessing under every condition.
TRUTH: dict[Condition, Row] = {
    Condition.EMERGENCY: Row(_S.EVSE_EMERGENCY_SHUTDOWN, None, _P.FINISHED),
    # [V2G-DC-890]
    Condition.CABLE_CHECK_FAILED: Row(_S.EVSE_MALFUNCTION, _I.INVALID, _P.FINISHED),
    Condition.MALFUNCTION: Row(_S.EVSE_MALFUNCTION, None, _P.FINISHED),
    # IEC 61851-23:2023 CC.7.5.19
    Condition.SHUTDOWN: Row(_S.EVSE_SHUTDOWN, None, _P.FINISHED),
    Condition.AUTHORIZING: Row(_S.EVSE_NOT_READY, _I.INVALID, _P.ONGOING),
    Condition.CABLE_CHECK_WAITING: Row(_S.EVSE_NOT_READY, _I.INVALID, _P.ONGOING),
    Condition.CABLE_CHECK: Row(
        _S.EVSE_ISOLATION_MONITORING_ACTIVE, _I.INVALID, _P.ONGOING),
    Condition.NOT_READY: Row(_S.EVSE_NOT_READY, None, _P.FINISHED),
    Condition.READY: Row(_S.EVSE_READY, None, _P.FINISHED),
}
