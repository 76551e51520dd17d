"""ISO 15118-20: what all message sets share."""

from decimal import Decimal
from enum import Enum
from typing import Annotated, Self

from ...declare import (
    Byte,
    Element,
    Integer,
    Namespace,
    Octets,
    Short,
    Text,
    UnsignedInt,
    UnsignedLong,
    UnsignedShort,
    any_number,
    declared,
    element,
    elements,
    optional,
)
from .. import xmldsig
from ..physical import Scaled

COMMON_TYPES = Namespace('urn:iso:std:iso:15118:-20:CommonTypes', qualified_attributes=True)

Description = Annotated[str, Text(max_length=160)]
Identifier = Annotated[str, Text(max_length=255)]
MeterID = Annotated[str, Text(max_length=32)]
MeterSignature = Annotated[bytes, Octets(max_length=64)]
Name = Annotated[str, Text(max_length=80)]
NumericID = Annotated[int, Integer(1, 4294967295)]
PercentValue = Annotated[int, Integer(0, 100)]
SessionID = Annotated[bytes, Octets(max_length=8, min_length=8)]


class EVSENotification(Enum):
    """What the station asks the car to do."""

    PAUSE = 'Pause'
    EXIT_STANDBY = 'ExitStandby'
    TERMINATE = 'Terminate'
    SCHEDULE_RENEGOTIATION = 'ScheduleRenegotiation'
    SERVICE_RENEGOTIATION = 'ServiceRenegotiation'
    METERING_CONFIRMATION = 'MeteringConfirmation'


class Processing(Enum):
    """Whether the sender needs more time."""

    FINISHED = 'Finished'
    ONGOING = 'Ongoing'
    ONGOING_WAITING_FOR_CUSTOMER_INTERACTION = 'Ongoing_WaitingForCustomerInteraction'


class ResponseCode(Enum):
    """Result of a request."""

    OK = 'OK'
    OK_CERTIFICATE_EXPIRES_SOON = 'OK_CertificateExpiresSoon'
    OK_NEW_SESSION_ESTABLISHED = 'OK_NewSessionEstablished'
    OK_OLD_SESSION_JOINED = 'OK_OldSessionJoined'
    OK_POWER_TOLERANCE_CONFIRMED = 'OK_PowerToleranceConfirmed'
    WARNING_AUTHORIZATION_SELECTION_INVALID = 'WARNING_AuthorizationSelectionInvalid'
    WARNING_CERTIFICATE_EXPIRED = 'WARNING_CertificateExpired'
    WARNING_CERTIFICATE_NOT_YET_VALID = 'WARNING_CertificateNotYetValid'
    WARNING_CERTIFICATE_REVOKED = 'WARNING_CertificateRevoked'
    WARNING_CERTIFICATE_VALIDATION_ERROR = 'WARNING_CertificateValidationError'
    WARNING_CHALLENGE_INVALID = 'WARNING_ChallengeInvalid'
    WARNING_EIM_AUTHORIZATION_FAILURE = 'WARNING_EIMAuthorizationFailure'
    WARNING_E_MSP_UNKNOWN = 'WARNING_eMSPUnknown'
    WARNING_EV_POWER_PROFILE_VIOLATION = 'WARNING_EVPowerProfileViolation'
    WARNING_GENERAL_PNC_AUTHORIZATION_ERROR = 'WARNING_GeneralPnCAuthorizationError'
    WARNING_NO_CERTIFICATE_AVAILABLE = 'WARNING_NoCertificateAvailable'
    WARNING_NO_CONTRACT_MATCHING_PCID_FOUND = 'WARNING_NoContractMatchingPCIDFound'
    WARNING_POWER_TOLERANCE_NOT_CONFIRMED = 'WARNING_PowerToleranceNotConfirmed'
    WARNING_SCHEDULE_RENEGOTIATION_FAILED = 'WARNING_ScheduleRenegotiationFailed'
    WARNING_STANDBY_NOT_ALLOWED = 'WARNING_StandbyNotAllowed'
    WARNING_WPT = 'WARNING_WPT'
    FAILED = 'FAILED'
    FAILED_ASSOCIATION_ERROR = 'FAILED_AssociationError'
    FAILED_CONTACTOR_ERROR = 'FAILED_ContactorError'
    FAILED_EV_POWER_PROFILE_INVALID = 'FAILED_EVPowerProfileInvalid'
    FAILED_EV_POWER_PROFILE_VIOLATION = 'FAILED_EVPowerProfileViolation'
    FAILED_METERING_SIGNATURE_NOT_VALID = 'FAILED_MeteringSignatureNotValid'
    FAILED_NO_ENERGY_TRANSFER_SERVICE_SELECTED = 'FAILED_NoEnergyTransferServiceSelected'
    FAILED_NO_SERVICE_RENEGOTIATION_SUPPORTED = 'FAILED_NoServiceRenegotiationSupported'
    FAILED_PAUSE_NOT_ALLOWED = 'FAILED_PauseNotAllowed'
    FAILED_POWER_DELIVERY_NOT_APPLIED = 'FAILED_PowerDeliveryNotApplied'
    FAILED_POWER_TOLERANCE_NOT_CONFIRMED = 'FAILED_PowerToleranceNotConfirmed'
    FAILED_SCHEDULE_RENEGOTIATION = 'FAILED_ScheduleRenegotiation'
    FAILED_SCHEDULE_SELECTION_INVALID = 'FAILED_ScheduleSelectionInvalid'
    FAILED_SEQUENCE_ERROR = 'FAILED_SequenceError'
    FAILED_SERVICE_ID_INVALID = 'FAILED_ServiceIDInvalid'
    FAILED_SERVICE_SELECTION_INVALID = 'FAILED_ServiceSelectionInvalid'
    FAILED_SIGNATURE_ERROR = 'FAILED_SignatureError'
    FAILED_UNKNOWN_SESSION = 'FAILED_UnknownSession'
    FAILED_WRONG_CHARGE_PARAMETER = 'FAILED_WrongChargeParameter'


@declared(COMMON_TYPES, element='CLReqControlMode')
class CLReqControlMode(Element):
    """Control mode of the car (head of the substitution group)."""


@declared(COMMON_TYPES, element='CLResControlMode')
class CLResControlMode(Element):
    """Control mode of the station (head of the substitution group)."""


@declared(COMMON_TYPES)
class MessageHeader(Element):
    """Session identifier, time and signature."""

    session_id: SessionID = element(
        'SessionID', 'session identifier, 8 octets; zero before a session exists')
    time_stamp: UnsignedLong = element('TimeStamp', 'time of the message, s since 1970-01-01 UTC')
    signature: xmldsig.Signature | None = optional(
        xmldsig.Signature, 'signature over parts of the body')


@declared(COMMON_TYPES)
class V2GMessage(Element):
    """What all messages have."""

    header: MessageHeader = element('Header', 'session identifier, time and signature')


@declared(COMMON_TYPES)
class V2GRequest(V2GMessage):
    """What all requests have."""


@declared(COMMON_TYPES)
class RationalNumber(Scaled):
    """Number: Value times ten to the power of Exponent."""

    exponent: Byte = element('Exponent', 'power of ten, -128 to 127')
    value: Short = element('Value', 'number, -32768 to 32767')

    EXPONENTS = range(-128, 128)

    @property
    def exponent_of_ten(self) -> int:
        """Return the power of ten."""
        return self.exponent

    @classmethod
    def of(cls, number: float | Decimal) -> Self:
        """Return ``number``, as finely as it can be sent.

        Raise ``ValueError`` when the number is not finite or too large.
        """
        value, exponent = cls.split(number)
        return cls(exponent=exponent, value=value)


@declared(COMMON_TYPES)
class DisplayParameters(Element):
    """What the station may show of the car."""

    present_soc: PercentValue | None = optional('PresentSOC', 'state of charge, %')
    minimum_soc: PercentValue | None = optional(
        'MinimumSOC', 'state of charge that must be kept, %')
    target_soc: PercentValue | None = optional(
        'TargetSOC', 'state of charge wanted at departure, %')
    maximum_soc: PercentValue | None = optional(
        'MaximumSOC', 'state of charge that must not be exceeded, %')
    remaining_time_to_minimum_soc: UnsignedInt | None = optional(
        'RemainingTimeToMinimumSOC', 'time until the minimum state of charge, s')
    remaining_time_to_target_soc: UnsignedInt | None = optional(
        'RemainingTimeToTargetSOC', 'time until the target state of charge, s')
    remaining_time_to_maximum_soc: UnsignedInt | None = optional(
        'RemainingTimeToMaximumSOC', 'time until the maximum state of charge, s')
    charging_complete: bool | None = optional('ChargingComplete', 'charging is complete')
    battery_energy_capacity: RationalNumber | None = optional(
        'BatteryEnergyCapacity', 'energy capacity of the battery, Wh')
    inlet_hot: bool | None = optional('InletHot', 'the inlet of the car is too hot')


@declared(COMMON_TYPES)
class ChargeLoopReq(V2GRequest):
    """What all requests of the charge loop have."""

    display_parameters: DisplayParameters | None = optional(
        'DisplayParameters', 'what the station may show of the car')
    meter_info_requested: bool = element(
        'MeterInfoRequested', 'the car wants MeterInfo in the answer')


@declared(COMMON_TYPES)
class V2GResponse(V2GMessage):
    """What all responses have."""

    response_code: ResponseCode = element('ResponseCode', 'result of the request')


@declared(COMMON_TYPES)
class EVSEStatus(Element):
    """What the station asks the car to do, and until when."""

    notification_max_delay: UnsignedShort = element(
        'NotificationMaxDelay', 'time the car has to follow the notification, s')
    evse_notification: EVSENotification = element(
        'EVSENotification', 'what the station asks the car to do')


@declared(COMMON_TYPES)
class MeterInfo(Element):
    """Meter reading."""

    meter_id: MeterID = element('MeterID', 'identifier of the meter, at most 32 characters')
    charged_energy_reading_wh: UnsignedLong = element(
        'ChargedEnergyReadingWh', 'energy to the car, Wh')
    bpt_discharged_energy_reading_wh: UnsignedLong | None = optional(
        'BPT_DischargedEnergyReadingWh', 'energy from the car, Wh')
    capacitive_energy_reading_varh: UnsignedLong | None = optional(
        'CapacitiveEnergyReadingVARh', 'capacitive energy, varh')
    bpt_inductive_energy_reading_varh: UnsignedLong | None = optional(
        'BPT_InductiveEnergyReadingVARh', 'inductive energy, varh')
    meter_signature: MeterSignature | None = optional(
        'MeterSignature', 'signature of the meter, at most 64 octets')
    meter_status: Short | None = optional('MeterStatus', 'status of the meter, -32768 to 32767')
    meter_timestamp: UnsignedLong | None = optional(
        'MeterTimestamp', 'time of the reading, s since 1970-01-01 UTC')


@declared(COMMON_TYPES)
class DetailedCost(Element):
    """Cost and price per unit."""

    amount: RationalNumber = element('Amount', 'cost, in the currency')
    cost_per_unit: RationalNumber = element('CostPerUnit', 'price per unit, in the currency')


@declared(COMMON_TYPES)
class DetailedTax(Element):
    """Amount of one tax."""

    tax_rule_id: NumericID = element('TaxRuleID', 'number of the tax rule, from 1')
    amount: RationalNumber = element('Amount', 'cost, in the currency')


@declared(COMMON_TYPES)
class Receipt(Element):
    """Costs so far."""

    time_anchor: UnsignedLong = element(
        'TimeAnchor', 'start of the schedule, s since 1970-01-01 UTC')
    energy_costs: DetailedCost | None = optional('EnergyCosts', 'cost of energy')
    occupancy_costs: DetailedCost | None = optional('OccupancyCosts', 'cost of parking')
    additional_services_costs: DetailedCost | None = optional(
        'AdditionalServicesCosts', 'cost of further services')
    overstay_costs: DetailedCost | None = optional('OverstayCosts', 'cost of overstaying')
    tax_costs: list[DetailedTax] = any_number('TaxCosts', 'taxes', at_most=10)


@declared(COMMON_TYPES)
class ChargeLoopRes(V2GResponse):
    """What all answers of the charge loop have."""

    evse_status: EVSEStatus | None = optional('EVSEStatus', 'state of the station')
    meter_info: MeterInfo | None = optional('MeterInfo', 'meter reading')
    receipt: Receipt | None = optional('Receipt', 'cost so far')


@declared(COMMON_TYPES)
class ChargeParameterDiscoveryReq(V2GRequest):
    """Limits and wishes of the car."""


@declared(COMMON_TYPES)
class ChargeParameterDiscoveryRes(V2GResponse):
    """Limits and schedules of the station."""


@declared(COMMON_TYPES)
class DynamicCLReqControlMode(CLReqControlMode):
    """What dynamic control has in every request of the charge loop."""

    departure_time: UnsignedInt | None = optional(
        'DepartureTime', 'time until departure, s after the message')
    ev_target_energy_request: RationalNumber = element(
        'EVTargetEnergyRequest', 'energy to reach the target, Wh; negative: to be discharged')
    ev_maximum_energy_request: RationalNumber = element(
        'EVMaximumEnergyRequest', 'energy to reach the highest state of charge, Wh')
    ev_minimum_energy_request: RationalNumber = element(
        'EVMinimumEnergyRequest', 'energy to reach the lowest state of charge, Wh')


@declared(COMMON_TYPES)
class DynamicCLResControlMode(CLResControlMode):
    """What dynamic control has in every answer of the charge loop."""

    departure_time: UnsignedInt | None = optional(
        'DepartureTime', 'time until departure, s after the message')
    minimum_soc: PercentValue | None = optional(
        'MinimumSOC', 'state of charge that must be kept, %')
    target_soc: PercentValue | None = optional(
        'TargetSOC', 'state of charge wanted at departure, %')
    ack_max_delay: UnsignedShort | None = optional(
        'AckMaxDelay', 'time the car has to follow the notification, s')


@declared(COMMON_TYPES)
class ListOfRootCertificateIDs(Element):
    """Root certificates the car has."""

    root_certificate_id: list[xmldsig.X509IssuerSerial] = elements(
        'RootCertificateID', 'issuer and serial number of root certificates', at_most=20)


@declared(COMMON_TYPES)
class ScheduledCLReqControlMode(CLReqControlMode):
    """What scheduled control has in every request of the charge loop."""

    ev_target_energy_request: RationalNumber | None = optional(
        'EVTargetEnergyRequest', 'energy to reach the target, Wh; negative: to be discharged')
    ev_maximum_energy_request: RationalNumber | None = optional(
        'EVMaximumEnergyRequest', 'energy to reach the highest state of charge, Wh')
    ev_minimum_energy_request: RationalNumber | None = optional(
        'EVMinimumEnergyRequest', 'energy to reach the lowest state of charge, Wh')


@declared(COMMON_TYPES)
class ScheduledCLResControlMode(CLResControlMode):
    """What scheduled control has in every answer of the charge loop."""
