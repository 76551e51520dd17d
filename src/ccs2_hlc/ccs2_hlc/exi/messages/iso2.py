"""ISO 15118-2:2014: all messages of the schema, AC and Plug & Charge included.

Voltages, currents, powers and energies are :class:`PhysicalValue`; the unit a field is sent in is
given with the field.  A list that has exactly as many items as its bound allows is not understood
by some decoders; never send that many.
"""

from decimal import Decimal
from enum import Enum
from typing import Annotated, Self

from ..declare import (
    Byte,
    Element,
    ElementID,
    Int,
    Integer,
    Long,
    Namespace,
    Octets,
    Short,
    String,
    Text,
    UnsignedByte,
    UnsignedInt,
    UnsignedLong,
    UnsignedShort,
    any_number,
    attribute,
    content,
    declared,
    element,
    elements,
    flattened,
    one_of,
    optional,
    required_attribute,
)
from . import xmldsig
from .physical import Scaled

MSG_DEF = Namespace('urn:iso:15118:2:2013:MsgDef', qualified_attributes=True)
MSG_HEADER = Namespace('urn:iso:15118:2:2013:MsgHeader', qualified_attributes=True)
MSG_BODY = Namespace('urn:iso:15118:2:2013:MsgBody', qualified_attributes=True)
MSG_DATA_TYPES = Namespace('urn:iso:15118:2:2013:MsgDataTypes', qualified_attributes=True)

Certificate = Annotated[bytes, Octets(max_length=800)]
DHPublicKey = Annotated[bytes, Octets(max_length=65)]
EMAIDText = Annotated[str, Text(max_length=15, min_length=14)]
EVCCID = Annotated[bytes, Octets(max_length=6)]
EVSEID = Annotated[str, Text(max_length=37, min_length=7)]
FaultMsg = Annotated[str, Text(max_length=64)]
GenChallenge = Annotated[bytes, Octets(max_length=16, min_length=16)]
IntervalDuration = Annotated[int, Integer(0, 86400)]
IntervalStart = Annotated[int, Integer(0, 16777214)]
MaxNumPhases = Annotated[int, Integer(1, 3)]
MeterID = Annotated[str, Text(max_length=32)]
MeterStatus = Annotated[int, Integer(-32768, 32767)]
PercentValue = Annotated[int, Integer(0, 100)]
PrivateKey = Annotated[bytes, Octets(max_length=48)]
SAID = Annotated[int, Integer(1, 255)]
ServiceID = Annotated[int, Integer(0, 65535)]
ServiceName = Annotated[str, Text(max_length=32)]
ServiceScope = Annotated[str, Text(max_length=64)]
SessionID = Annotated[bytes, Octets(max_length=8)]
SigMeterReading = Annotated[bytes, Octets(max_length=64)]
TariffDescription = Annotated[str, Text(max_length=32)]
UnitMultiplier = Annotated[int, Integer(-3, 3)]


class ChargeProgress(Enum):
    """What the car wants of the power."""

    START = 'Start'
    STOP = 'Stop'
    RENEGOTIATE = 'Renegotiate'


class ChargingSession(Enum):
    """How the session ends."""

    TERMINATE = 'Terminate'
    PAUSE = 'Pause'


class CostKind(Enum):
    """What a cost counts."""

    RELATIVE_PRICE_PERCENTAGE = 'relativePricePercentage'
    RENEWABLE_GENERATION_PERCENTAGE = 'RenewableGenerationPercentage'
    CARBON_DIOXIDE_EMISSION = 'CarbonDioxideEmission'


class DCEVErrorCode(Enum):
    """Error of the car."""

    NO_ERROR = 'NO_ERROR'
    FAILED_RESS_TEMPERATURE_INHIBIT = 'FAILED_RESSTemperatureInhibit'
    FAILED_EV_SHIFT_POSITION = 'FAILED_EVShiftPosition'
    FAILED_CHARGER_CONNECTOR_LOCK_FAULT = 'FAILED_ChargerConnectorLockFault'
    FAILED_EV_RESS_MALFUNCTION = 'FAILED_EVRESSMalfunction'
    FAILED_CHARGING_CURRENTDIFFERENTIAL = 'FAILED_ChargingCurrentdifferential'
    FAILED_CHARGING_VOLTAGE_OUT_OF_RANGE = 'FAILED_ChargingVoltageOutOfRange'
    RESERVED_A = 'Reserved_A'
    RESERVED_B = 'Reserved_B'
    RESERVED_C = 'Reserved_C'
    FAILED_CHARGING_SYSTEM_INCOMPATIBILITY = 'FAILED_ChargingSystemIncompatibility'
    NO_DATA = 'NoData'


class DCEVSEStatusCode(Enum):
    """State of a DC station."""

    EVSE_NOT_READY = 'EVSE_NotReady'
    EVSE_READY = 'EVSE_Ready'
    EVSE_SHUTDOWN = 'EVSE_Shutdown'
    EVSE_UTILITY_INTERRUPT_EVENT = 'EVSE_UtilityInterruptEvent'
    EVSE_ISOLATION_MONITORING_ACTIVE = 'EVSE_IsolationMonitoringActive'
    EVSE_EMERGENCY_SHUTDOWN = 'EVSE_EmergencyShutdown'
    EVSE_MALFUNCTION = 'EVSE_Malfunction'
    RESERVED_8 = 'Reserved_8'
    RESERVED_9 = 'Reserved_9'
    RESERVED_A = 'Reserved_A'
    RESERVED_B = 'Reserved_B'
    RESERVED_C = 'Reserved_C'


class EVSENotification(Enum):
    """What the station asks the car to do."""

    NONE = 'None'
    STOP_CHARGING = 'StopCharging'
    RE_NEGOTIATION = 'ReNegotiation'


class EVSEProcessing(Enum):
    """Whether the station needs more time."""

    FINISHED = 'Finished'
    ONGOING = 'Ongoing'
    ONGOING_WAITING_FOR_CUSTOMER_INTERACTION = 'Ongoing_WaitingForCustomerInteraction'


class EnergyTransferMode(Enum):
    """Kind of energy transfer."""

    AC_SINGLE_PHASE_CORE = 'AC_single_phase_core'
    AC_THREE_PHASE_CORE = 'AC_three_phase_core'
    DC_CORE = 'DC_core'
    DC_EXTENDED = 'DC_extended'
    DC_COMBO_CORE = 'DC_combo_core'
    DC_UNIQUE = 'DC_unique'


class FaultCode(Enum):
    """Kind of fault."""

    PARSING_ERROR = 'ParsingError'
    NO_TLS_ROOT_CERTIFICAT_AVAILABLE = 'NoTLSRootCertificatAvailable'
    UNKNOWN_ERROR = 'UnknownError'


class IsolationLevel(Enum):
    """Result of isolation monitoring."""

    INVALID = 'Invalid'
    VALID = 'Valid'
    WARNING = 'Warning'
    FAULT = 'Fault'
    NO_IMD = 'No_IMD'


class PaymentOption(Enum):
    """Way of payment."""

    CONTRACT = 'Contract'
    EXTERNAL_PAYMENT = 'ExternalPayment'


class ResponseCode(Enum):
    """Result of a request."""

    OK = 'OK'
    OK_NEW_SESSION_ESTABLISHED = 'OK_NewSessionEstablished'
    OK_OLD_SESSION_JOINED = 'OK_OldSessionJoined'
    OK_CERTIFICATE_EXPIRES_SOON = 'OK_CertificateExpiresSoon'
    FAILED = 'FAILED'
    FAILED_SEQUENCE_ERROR = 'FAILED_SequenceError'
    FAILED_SERVICE_ID_INVALID = 'FAILED_ServiceIDInvalid'
    FAILED_UNKNOWN_SESSION = 'FAILED_UnknownSession'
    FAILED_SERVICE_SELECTION_INVALID = 'FAILED_ServiceSelectionInvalid'
    FAILED_PAYMENT_SELECTION_INVALID = 'FAILED_PaymentSelectionInvalid'
    FAILED_CERTIFICATE_EXPIRED = 'FAILED_CertificateExpired'
    FAILED_SIGNATURE_ERROR = 'FAILED_SignatureError'
    FAILED_NO_CERTIFICATE_AVAILABLE = 'FAILED_NoCertificateAvailable'
    FAILED_CERT_CHAIN_ERROR = 'FAILED_CertChainError'
    FAILED_CHALLENGE_INVALID = 'FAILED_ChallengeInvalid'
    FAILED_CONTRACT_CANCELED = 'FAILED_ContractCanceled'
    FAILED_WRONG_CHARGE_PARAMETER = 'FAILED_WrongChargeParameter'
    FAILED_POWER_DELIVERY_NOT_APPLIED = 'FAILED_PowerDeliveryNotApplied'
    FAILED_TARIFF_SELECTION_INVALID = 'FAILED_TariffSelectionInvalid'
    FAILED_CHARGING_PROFILE_INVALID = 'FAILED_ChargingProfileInvalid'
    FAILED_METERING_SIGNATURE_NOT_VALID = 'FAILED_MeteringSignatureNotValid'
    FAILED_NO_CHARGE_SERVICE_SELECTED = 'FAILED_NoChargeServiceSelected'
    FAILED_WRONG_ENERGY_TRANSFER_MODE = 'FAILED_WrongEnergyTransferMode'
    FAILED_CONTACTOR_ERROR = 'FAILED_ContactorError'
    FAILED_CERTIFICATE_NOT_ALLOWED_AT_THIS_EVSE = 'FAILED_CertificateNotAllowedAtThisEVSE'
    FAILED_CERTIFICATE_REVOKED = 'FAILED_CertificateRevoked'


class ServiceCategory(Enum):
    """Category of service."""

    EV_CHARGING = 'EVCharging'
    INTERNET = 'Internet'
    CONTRACT_CERTIFICATE = 'ContractCertificate'
    OTHER_CUSTOM = 'OtherCustom'


class Unit(Enum):
    """Unit of measurement."""

    H = 'h'
    M = 'm'
    S = 's'
    A = 'A'
    V = 'V'
    W = 'W'
    WH = 'Wh'


@declared(MSG_DATA_TYPES, element='EVChargeParameter', abstract=True)
class EVChargeParameter(Element):
    """Limits of the car (head of the substitution group)."""

    departure_time: UnsignedInt | None = optional(
        'DepartureTime', 'time until departure, s after the message')


@declared(MSG_DATA_TYPES)
class PhysicalValue(Scaled):
    """Number with unit: Value times ten to the power of Multiplier."""

    multiplier: UnitMultiplier = element('Multiplier', 'power of ten, -3 to 3')
    unit: Unit = element('Unit', 'unit of measurement')
    value: Short = element('Value', 'number, -32768 to 32767')

    EXPONENTS = range(-3, 4)

    @property
    def exponent_of_ten(self) -> int:
        """Return the power of ten."""
        return self.multiplier

    @classmethod
    def of(cls, number: float | Decimal, unit: Unit) -> Self:
        """Return ``number`` in ``unit``, as finely as it can be sent.

        Raise ``ValueError`` when the number is not finite or beyond ±32 767 000.
        """
        value, multiplier = cls.split(number)
        return cls(multiplier=multiplier, unit=unit, value=value)


@declared(MSG_DATA_TYPES, element='AC_EVChargeParameter', head=EVChargeParameter)
class ACEVChargeParameter(EVChargeParameter):
    """Limits and targets of the car (AC)."""

    e_amount: PhysicalValue = element('EAmount', 'energy wanted until departure, Wh')
    ev_max_voltage: PhysicalValue = element(
        'EVMaxVoltage', 'highest line voltage the car takes, V')
    ev_max_current: PhysicalValue = element(
        'EVMaxCurrent', 'highest current per phase the car takes, A')
    ev_min_current: PhysicalValue = element(
        'EVMinCurrent', 'lowest current per phase the car takes, A')


@declared(MSG_DATA_TYPES, element='EVSEChargeParameter', abstract=True)
class EVSEChargeParameter(Element):
    """Limits of the station (head of the substitution group)."""


@declared(MSG_DATA_TYPES, element='EVSEStatus', abstract=True)
class EVSEStatus(Element):
    """State of the station (head of the substitution group)."""

    notification_max_delay: UnsignedShort = element(
        'NotificationMaxDelay', 'time the car has to follow the notification, s')
    evse_notification: EVSENotification = element(
        'EVSENotification', 'what the station asks the car to do')


@declared(MSG_DATA_TYPES, element='AC_EVSEStatus', head=EVSEStatus)
class ACEVSEStatus(EVSEStatus):
    """State of an AC station."""

    rcd: bool = element('RCD', 'the residual current device has tripped')


@declared(MSG_DATA_TYPES, element='AC_EVSEChargeParameter', head=EVSEChargeParameter)
class ACEVSEChargeParameter(EVSEChargeParameter):
    """Limits of an AC station."""

    ac_evse_status: ACEVSEStatus = element('AC_EVSEStatus', 'state of the station (AC)')
    evse_nominal_voltage: PhysicalValue = element(
        'EVSENominalVoltage', 'line voltage the station supplies, V')
    evse_max_current: PhysicalValue = element(
        'EVSEMaxCurrent', 'highest current per phase the station supplies, A')


@declared(MSG_BODY, element='BodyElement', abstract=True)
class BodyElement(Element):
    """What the body of a message holds: one request or response."""


@declared(MSG_BODY)
class Body(Element):
    """Wrapper of the body element; users see only its content."""

    body_element: BodyElement | None = optional(BodyElement, 'the message itself')


@declared(MSG_DATA_TYPES)
class SubCertificates(Element):
    """Intermediate certificates, the one nearest the leaf first."""

    certificate: list[Certificate] = elements(
        'Certificate', 'intermediate certificates, DER', at_most=4)


@declared(MSG_DATA_TYPES)
class CertificateChain(Element):
    """Certificate with its intermediate certificates."""

    id: ElementID | None = attribute('Id', 'identifier that a signature refers to')
    certificate: Certificate = element('Certificate', 'certificate, DER')
    sub_certificates: SubCertificates | None = optional(
        'SubCertificates', 'intermediate certificates')


@declared(MSG_DATA_TYPES)
class Service(Element):
    """A service besides charging."""

    service_id: ServiceID = element('ServiceID', 'number of the service, 0 to 65535')
    service_name: ServiceName | None = optional(
        'ServiceName', 'name of the service, at most 32 characters')
    service_category: ServiceCategory = element('ServiceCategory', 'category of service')
    service_scope: ServiceScope | None = optional(
        'ServiceScope', 'free text that narrows the service')
    free_service: bool = element('FreeService', 'the service costs nothing')


@declared(MSG_DATA_TYPES)
class SupportedEnergyTransferMode(Element):
    """Kinds of energy transfer at an outlet."""

    energy_transfer_mode: list[EnergyTransferMode] = elements(
        'EnergyTransferMode', 'kinds of energy transfer', at_most=6)


@declared(MSG_DATA_TYPES)
class ChargeService(Service):
    """The charging service and the kinds of energy transfer it offers."""

    supported_energy_transfer_mode: SupportedEnergyTransferMode = element(
        'SupportedEnergyTransferMode', 'kinds of energy transfer at this outlet')


@declared(MSG_DATA_TYPES)
class ProfileEntry(Element):
    """Power the car plans to draw from a time on."""

    charging_profile_entry_start: UnsignedInt = element(
        'ChargingProfileEntryStart', 'start of the entry, s after the message')
    charging_profile_entry_max_power: PhysicalValue = element(
        'ChargingProfileEntryMaxPower', 'highest power drawn, W')
    charging_profile_entry_max_number_of_phases_in_use: MaxNumPhases | None = optional(
        'ChargingProfileEntryMaxNumberOfPhasesInUse', 'phases used at most, 1 to 3')


@declared(MSG_DATA_TYPES)
class ChargingProfile(Element):
    """Power the car plans to draw over time."""

    profile_entry: list[ProfileEntry] = elements('ProfileEntry', 'power over time', at_most=24)


@declared(MSG_DATA_TYPES)
class Cost(Element):
    """Amount of one kind of cost."""

    cost_kind: CostKind = element('costKind', 'what the cost counts')
    amount: UnsignedInt = element(
        'amount', 'amount in the unit of the kind, scaled by amountMultiplier')
    amount_multiplier: UnitMultiplier | None = optional(
        'amountMultiplier', 'power of ten for amount, -3 to 3')


@declared(MSG_DATA_TYPES)
class ConsumptionCost(Element):
    """Costs that apply from a consumption on."""

    start_value: PhysicalValue = element('startValue', 'lowest consumption the cost applies to')
    cost: list[Cost] = elements('Cost', 'cost by kind', at_most=3)


@declared(MSG_DATA_TYPES)
class ContractSignatureEncryptedPrivateKey(Element):
    """Encrypted private key; signed by its Id."""

    id: ElementID = required_attribute('Id', 'identifier that a signature refers to')
    value: PrivateKey = content('the value itself')


@declared(MSG_DATA_TYPES, element='EVStatus', abstract=True)
class EVStatus(Element):
    """State of the car (head of the substitution group)."""


@declared(MSG_DATA_TYPES, element='DC_EVStatus', head=EVStatus)
class DCEVStatus(EVStatus):
    """State of the car's charging system (DC)."""

    ev_ready: bool = element('EVReady', 'the car is ready to charge')
    ev_error_code: DCEVErrorCode = element('EVErrorCode', 'error of the car')
    ev_ress_soc: PercentValue = element('EVRESSSOC', 'state of charge of the battery, %')


@declared(MSG_DATA_TYPES, element='DC_EVChargeParameter', head=EVChargeParameter)
class DCEVChargeParameter(EVChargeParameter):
    """Limits and targets of the car (DC)."""

    dc_ev_status: DCEVStatus = element('DC_EVStatus', "state of the car's charging system")
    ev_maximum_current_limit: PhysicalValue = element(
        'EVMaximumCurrentLimit', 'highest current the car takes, A')
    ev_maximum_power_limit: PhysicalValue | None = optional(
        'EVMaximumPowerLimit', 'highest power the car takes, W')
    ev_maximum_voltage_limit: PhysicalValue = element(
        'EVMaximumVoltageLimit', 'highest voltage the car takes, V')
    ev_energy_capacity: PhysicalValue | None = optional(
        'EVEnergyCapacity', 'energy capacity of the battery, Wh')
    ev_energy_request: PhysicalValue | None = optional(
        'EVEnergyRequest', 'energy the car wants, Wh')
    full_soc: PercentValue | None = optional('FullSOC', 'state of charge regarded as full, %')
    bulk_soc: PercentValue | None = optional(
        'BulkSOC', 'state of charge at the end of bulk charging, %')


@declared(MSG_DATA_TYPES, element='EVPowerDeliveryParameter', abstract=True)
class EVPowerDeliveryParameter(Element):
    """State of the car at PowerDelivery (head of the substitution group)."""


@declared(MSG_DATA_TYPES, element='DC_EVPowerDeliveryParameter', head=EVPowerDeliveryParameter)
class DCEVPowerDeliveryParameter(EVPowerDeliveryParameter):
    """State of the car at PowerDelivery (DC)."""

    dc_ev_status: DCEVStatus = element('DC_EVStatus', "state of the car's charging system")
    bulk_charging_complete: bool | None = optional(
        'BulkChargingComplete', 'bulk charging (about 80 %) is complete')
    charging_complete: bool = element('ChargingComplete', 'charging is complete')


@declared(MSG_DATA_TYPES, element='DC_EVSEStatus', head=EVSEStatus)
class DCEVSEStatus(EVSEStatus):
    """State of a DC station."""

    evse_isolation_status: IsolationLevel | None = optional(
        'EVSEIsolationStatus', 'result of isolation monitoring')
    evse_status_code: DCEVSEStatusCode = element('EVSEStatusCode', 'state of the station')


@declared(MSG_DATA_TYPES, element='DC_EVSEChargeParameter', head=EVSEChargeParameter)
class DCEVSEChargeParameter(EVSEChargeParameter):
    """Limits of a DC station."""

    dc_evse_status: DCEVSEStatus = element('DC_EVSEStatus', 'state of the station (DC)')
    evse_maximum_current_limit: PhysicalValue = element(
        'EVSEMaximumCurrentLimit', 'highest current the station supplies, A')
    evse_maximum_power_limit: PhysicalValue = element(
        'EVSEMaximumPowerLimit', 'highest power the station supplies, W')
    evse_maximum_voltage_limit: PhysicalValue = element(
        'EVSEMaximumVoltageLimit', 'highest voltage the station supplies, V')
    evse_minimum_current_limit: PhysicalValue = element(
        'EVSEMinimumCurrentLimit', 'lowest current the station supplies, A')
    evse_minimum_voltage_limit: PhysicalValue = element(
        'EVSEMinimumVoltageLimit', 'lowest voltage the station supplies, V')
    evse_current_regulation_tolerance: PhysicalValue | None = optional(
        'EVSECurrentRegulationTolerance', 'absolute tolerance of the current, A')
    evse_peak_current_ripple: PhysicalValue = element(
        'EVSEPeakCurrentRipple', 'peak-to-peak current ripple, A')
    evse_energy_to_be_delivered: PhysicalValue | None = optional(
        'EVSEEnergyToBeDelivered', 'energy the station will deliver, Wh')


@declared(MSG_DATA_TYPES)
class DiffieHellmanPublickey(Element):
    """Public key for the key agreement; signed by its Id."""

    id: ElementID = required_attribute('Id', 'identifier that a signature refers to')
    value: DHPublicKey = content('the value itself')


@declared(MSG_DATA_TYPES)
class EMAID(Element):
    """Contract identifier; signed by its Id."""

    id: ElementID = required_attribute('Id', 'identifier that a signature refers to')
    value: EMAIDText = content('the value itself')


@declared(MSG_DATA_TYPES, element='TimeInterval', abstract=True)
class TimeInterval(Element):
    """Time interval (head of the substitution group)."""


@declared(MSG_DATA_TYPES, element='Entry', abstract=True)
class Entry(Element):
    """Schedule entry (head of the substitution group)."""

    time_interval: TimeInterval = element(TimeInterval, 'time span the entry is valid for')


@declared(MSG_DATA_TYPES)
class ListOfRootCertificateIDs(Element):
    """Root certificates the car has."""

    root_certificate_id: list[xmldsig.X509IssuerSerial] = elements(
        'RootCertificateID', 'issuer and serial number of root certificates', at_most=20)


@declared(MSG_DATA_TYPES)
class Notification(Element):
    """Fault that the sender reports beside its message."""

    fault_code: FaultCode = element('FaultCode', 'kind of fault')
    fault_msg: FaultMsg | None = optional(
        'FaultMsg', 'text about the fault, at most 64 characters')


@declared(MSG_HEADER)
class MessageHeader(Element):
    """Session identifier, notification and signature."""

    session_id: SessionID = element(
        'SessionID', 'session identifier; zero or empty before a session exists')
    notification: Notification | None = optional('Notification', 'fault of the sender')
    signature: xmldsig.Signature | None = optional(
        xmldsig.Signature, 'signature over parts of the body')


@declared(MSG_DATA_TYPES)
class MeterInfo(Element):
    """Meter reading."""

    meter_id: MeterID = element('MeterID', 'identifier of the meter, at most 32 characters')
    meter_reading: UnsignedLong | None = optional('MeterReading', 'reading of the meter, Wh')
    sig_meter_reading: SigMeterReading | None = optional(
        'SigMeterReading', 'signature of the meter')
    meter_status: MeterStatus | None = optional(
        'MeterStatus', 'status of the meter, -32768 to 32767')
    t_meter: Long | None = optional('TMeter', 'time of the reading, s since 1970-01-01 UTC')


@declared(MSG_DATA_TYPES, element='PMaxScheduleEntry', head=Entry)
class PMaxScheduleEntry(Entry):
    """Highest power in one time interval."""

    p_max: PhysicalValue = element('PMax', 'highest power, W')


@declared(MSG_DATA_TYPES)
class PMaxSchedule(Element):
    """Highest power over time."""

    p_max_schedule_entry: list[PMaxScheduleEntry] = elements(
        PMaxScheduleEntry, 'power limits over time', at_most=1024)


@declared(MSG_DATA_TYPES)
class Parameter(Element):
    """Named value."""

    name: String = required_attribute('Name', 'name of the parameter')
    bool_value: bool | None = one_of('value', 'boolValue', 'value of type bool')
    byte_value: Byte | None = one_of('value', 'byteValue', 'value of type byte')
    short_value: Short | None = one_of('value', 'shortValue', 'value of type short')
    int_value: Int | None = one_of('value', 'intValue', 'value of type int')
    physical_value: PhysicalValue | None = one_of(
        'value', 'physicalValue', 'value of type physicalValue')
    string_value: String | None = one_of('value', 'stringValue', 'value of type string')


@declared(MSG_DATA_TYPES)
class ParameterSet(Element):
    """Parameters of one variant of a service."""

    parameter_set_id: Short = element('ParameterSetID', 'number of the parameter set')
    parameter: list[Parameter] = elements('Parameter', 'parameters of the set', at_most=16)


@declared(MSG_DATA_TYPES)
class PaymentOptionList(Element):
    """Ways of payment the station offers."""

    payment_option: list[PaymentOption] = elements('PaymentOption', 'ways of payment', at_most=2)


@declared(MSG_DATA_TYPES, element='RelativeTimeInterval', head=TimeInterval)
class RelativeTimeInterval(TimeInterval):
    """Time interval relative to the message."""

    start: IntervalStart = element(
        'start', 'start of the interval, s after the message, 0 to 16777214')
    duration: IntervalDuration | None = optional(
        'duration', 'length of the interval, s, 0 to 86400')


@declared(MSG_DATA_TYPES, element='SASchedules', abstract=True)
class SASchedules(Element):
    """Charging schedules (head of the substitution group)."""


@declared(MSG_DATA_TYPES, element='SalesTariffEntry', head=Entry)
class SalesTariffEntry(Entry):
    """Price level in one time interval."""

    e_price_level: UnsignedByte | None = optional(
        'EPriceLevel', 'price level, 1 (cheapest) up to NumEPriceLevels')
    consumption_cost: list[ConsumptionCost] = any_number(
        'ConsumptionCost', 'cost by consumed energy', at_most=3)


@declared(MSG_DATA_TYPES)
class SalesTariff(Element):
    """Price levels over time."""

    id: ElementID | None = attribute('Id', 'identifier that a signature refers to')
    sales_tariff_id: SAID = element('SalesTariffID', 'number of the tariff')
    sales_tariff_description: TariffDescription | None = optional(
        'SalesTariffDescription', 'text about the tariff, at most 32 characters')
    num_e_price_levels: UnsignedByte | None = optional(
        'NumEPriceLevels', 'number of distinct price levels')
    sales_tariff_entry: list[SalesTariffEntry] = elements(
        SalesTariffEntry, 'price levels over time', at_most=1024)


@declared(MSG_DATA_TYPES)
class SAScheduleTuple(Element):
    """Power limits over time with their price."""

    sa_schedule_tuple_id: SAID = element('SAScheduleTupleID', 'number of this schedule')
    p_max_schedule: PMaxSchedule = element('PMaxSchedule', 'highest power over time')
    sales_tariff: SalesTariff | None = optional('SalesTariff', 'price over time')


@declared(MSG_DATA_TYPES, element='SAScheduleList', head=SASchedules)
class SAScheduleList(SASchedules):
    """Charging schedules the car chooses from."""

    sa_schedule_tuple: list[SAScheduleTuple] = elements(
        'SAScheduleTuple', 'charging schedules to choose from', at_most=3)


@declared(MSG_DATA_TYPES)
class SelectedService(Element):
    """Chosen service and its parameter set."""

    service_id: ServiceID = element('ServiceID', 'number of the chosen service')
    parameter_set_id: Short | None = optional('ParameterSetID', 'number of the parameter set')


@declared(MSG_DATA_TYPES)
class SelectedServiceList(Element):
    """Chosen services."""

    selected_service: list[SelectedService] = elements(
        'SelectedService', 'chosen services', at_most=16)


@declared(MSG_DATA_TYPES)
class ServiceList(Element):
    """Services of the station."""

    service: list[Service] = elements('Service', 'services', at_most=8)


@declared(MSG_DATA_TYPES)
class ServiceParameterList(Element):
    """Variants of a service."""

    parameter_set: list[ParameterSet] = elements(
        'ParameterSet', 'parameter sets to choose from', at_most=255)


@declared(MSG_BODY, element='SessionSetupReq', head=BodyElement)
class SessionSetupReq(BodyElement):
    """Open a session, or join a paused one."""

    evcc_id: EVCCID = element(
        'EVCCID', "the car's identifier: MAC address of its communication controller")


@declared(MSG_BODY, element='SessionSetupRes', head=BodyElement)
class SessionSetupRes(BodyElement):
    """Answer to SessionSetupReq; its header carries the session identifier."""

    response_code: ResponseCode = element('ResponseCode', 'result of the request')
    evse_id: EVSEID = element('EVSEID', "the outlet's identifier, 7 to 37 characters")
    evse_time_stamp: Long | None = optional(
        'EVSETimeStamp', 'time at the station, s since 1970-01-01 UTC')


@declared(MSG_BODY, element='ServiceDiscoveryReq', head=BodyElement)
class ServiceDiscoveryReq(BodyElement):
    """Ask for the services of the station."""

    service_scope: ServiceScope | None = optional(
        'ServiceScope', 'free text that narrows the service')
    service_category: ServiceCategory | None = optional('ServiceCategory', 'category of service')


@declared(MSG_BODY, element='ServiceDiscoveryRes', head=BodyElement)
class ServiceDiscoveryRes(BodyElement):
    """Services and ways of payment of the station."""

    response_code: ResponseCode = element('ResponseCode', 'result of the request')
    payment_option_list: PaymentOptionList = element(
        'PaymentOptionList', 'ways of payment offered')
    charge_service: ChargeService = element('ChargeService', 'the charging service')
    service_list: ServiceList | None = optional('ServiceList', 'services besides charging')


@declared(MSG_BODY, element='ServiceDetailReq', head=BodyElement)
class ServiceDetailReq(BodyElement):
    """Ask for the parameters of a service."""

    service_id: ServiceID = element('ServiceID', 'number of the service, 0 to 65535')


@declared(MSG_BODY, element='ServiceDetailRes', head=BodyElement)
class ServiceDetailRes(BodyElement):
    """Parameters of a service."""

    response_code: ResponseCode = element('ResponseCode', 'result of the request')
    service_id: ServiceID = element('ServiceID', 'number of the service, 0 to 65535')
    service_parameter_list: ServiceParameterList | None = optional(
        'ServiceParameterList', 'parameter sets of the service')


@declared(MSG_BODY, element='PaymentServiceSelectionReq', head=BodyElement)
class PaymentServiceSelectionReq(BodyElement):
    """Choose services and the way of payment."""

    selected_payment_option: PaymentOption = element(
        'SelectedPaymentOption', 'chosen way of payment')
    selected_service_list: SelectedServiceList = element(
        'SelectedServiceList', 'chosen services and their parameters')


@declared(MSG_BODY, element='PaymentServiceSelectionRes', head=BodyElement)
class PaymentServiceSelectionRes(BodyElement):
    """Answer to PaymentServiceSelectionReq."""

    response_code: ResponseCode = element('ResponseCode', 'result of the request')


@declared(MSG_BODY, element='PaymentDetailsReq', head=BodyElement)
class PaymentDetailsReq(BodyElement):
    """Contract certificate of the car."""

    emaid: EMAIDText = element(
        'eMAID', 'contract identifier (e-mobility account), 14 or 15 characters')
    contract_signature_cert_chain: CertificateChain = element(
        'ContractSignatureCertChain', 'contract certificate and its sub-certificates')


@declared(MSG_BODY, element='PaymentDetailsRes', head=BodyElement)
class PaymentDetailsRes(BodyElement):
    """Challenge for the contract certificate."""

    response_code: ResponseCode = element('ResponseCode', 'result of the request')
    gen_challenge: GenChallenge = element('GenChallenge', 'challenge, 16 octets')
    evse_time_stamp: Long = element('EVSETimeStamp', 'time at the station, s since 1970-01-01 UTC')


@declared(MSG_BODY, element='AuthorizationReq', head=BodyElement)
class AuthorizationReq(BodyElement):
    """Ask for authorization, with the signed challenge for contract payment."""

    id: ElementID | None = attribute('Id', 'identifier that a signature refers to')
    gen_challenge: GenChallenge | None = optional('GenChallenge', 'challenge, 16 octets')


@declared(MSG_BODY, element='AuthorizationRes', head=BodyElement)
class AuthorizationRes(BodyElement):
    """Whether the car is authorized yet."""

    response_code: ResponseCode = element('ResponseCode', 'result of the request')
    evse_processing: EVSEProcessing = element(
        'EVSEProcessing', 'whether the station needs more time')


@declared(MSG_BODY, element='ChargeParameterDiscoveryReq', head=BodyElement)
class ChargeParameterDiscoveryReq(BodyElement):
    """Limits and wishes of the car."""

    max_entries_sa_schedule_tuple: UnsignedShort | None = optional(
        'MaxEntriesSAScheduleTuple', 'schedule tuples the car can store')
    requested_energy_transfer_mode: EnergyTransferMode = element(
        'RequestedEnergyTransferMode', 'kind of energy transfer the car wants')
    ev_charge_parameter: EVChargeParameter = element(EVChargeParameter, 'limits of the car')


@declared(MSG_BODY, element='ChargeParameterDiscoveryRes', head=BodyElement)
class ChargeParameterDiscoveryRes(BodyElement):
    """Limits and schedules of the station."""

    response_code: ResponseCode = element('ResponseCode', 'result of the request')
    evse_processing: EVSEProcessing = element(
        'EVSEProcessing', 'whether the station needs more time')
    sa_schedules: SASchedules | None = optional(SASchedules, 'charging schedules')
    evse_charge_parameter: EVSEChargeParameter = element(
        EVSEChargeParameter, 'limits of the station')


@declared(MSG_BODY, element='CableCheckReq', head=BodyElement)
class CableCheckReq(BodyElement):
    """Ask for the isolation test of the cable; sent in a loop."""

    dc_ev_status: DCEVStatus = element('DC_EVStatus', "state of the car's charging system")


@declared(MSG_BODY, element='CableCheckRes', head=BodyElement)
class CableCheckRes(BodyElement):
    """State of the isolation test."""

    response_code: ResponseCode = element('ResponseCode', 'result of the request')
    dc_evse_status: DCEVSEStatus = element('DC_EVSEStatus', 'state of the station (DC)')
    evse_processing: EVSEProcessing = element(
        'EVSEProcessing', 'whether the station needs more time')


@declared(MSG_BODY, element='PreChargeReq', head=BodyElement)
class PreChargeReq(BodyElement):
    """Ask to match the voltage of the battery; sent in a loop."""

    dc_ev_status: DCEVStatus = element('DC_EVStatus', "state of the car's charging system")
    ev_target_voltage: PhysicalValue = element('EVTargetVoltage', 'voltage the car wants now, V')
    ev_target_current: PhysicalValue = element('EVTargetCurrent', 'current the car wants now, A')


@declared(MSG_BODY, element='PreChargeRes', head=BodyElement)
class PreChargeRes(BodyElement):
    """Voltage at the outlet."""

    response_code: ResponseCode = element('ResponseCode', 'result of the request')
    dc_evse_status: DCEVSEStatus = element('DC_EVSEStatus', 'state of the station (DC)')
    evse_present_voltage: PhysicalValue = element('EVSEPresentVoltage', 'voltage at the outlet, V')


@declared(MSG_BODY, element='PowerDeliveryReq', head=BodyElement)
class PowerDeliveryReq(BodyElement):
    """Ask the station to switch power on or off."""

    charge_progress: ChargeProgress = element('ChargeProgress', 'start, stop or renegotiate')
    sa_schedule_tuple_id: SAID = element('SAScheduleTupleID', 'number of the chosen schedule')
    charging_profile: ChargingProfile | None = optional(
        'ChargingProfile', 'power the car plans to draw over time')
    ev_power_delivery_parameter: EVPowerDeliveryParameter | None = optional(
        EVPowerDeliveryParameter, 'state of the car')


@declared(MSG_BODY, element='PowerDeliveryRes', head=BodyElement)
class PowerDeliveryRes(BodyElement):
    """Answer to PowerDeliveryReq."""

    response_code: ResponseCode = element('ResponseCode', 'result of the request')
    evse_status: EVSEStatus = element(EVSEStatus, 'state of the station')


@declared(MSG_BODY, element='CurrentDemandReq', head=BodyElement)
class CurrentDemandReq(BodyElement):
    """Set-points of the car; sent in a loop while charging."""

    dc_ev_status: DCEVStatus = element('DC_EVStatus', "state of the car's charging system")
    ev_target_current: PhysicalValue = element('EVTargetCurrent', 'current the car wants now, A')
    ev_maximum_voltage_limit: PhysicalValue | None = optional(
        'EVMaximumVoltageLimit', 'highest voltage the car takes, V')
    ev_maximum_current_limit: PhysicalValue | None = optional(
        'EVMaximumCurrentLimit', 'highest current the car takes, A')
    ev_maximum_power_limit: PhysicalValue | None = optional(
        'EVMaximumPowerLimit', 'highest power the car takes, W')
    bulk_charging_complete: bool | None = optional(
        'BulkChargingComplete', 'bulk charging (about 80 %) is complete')
    charging_complete: bool = element('ChargingComplete', 'charging is complete')
    remaining_time_to_full_soc: PhysicalValue | None = optional(
        'RemainingTimeToFullSoC', 'estimated time until full, s')
    remaining_time_to_bulk_soc: PhysicalValue | None = optional(
        'RemainingTimeToBulkSoC', 'estimated time until bulk charging is complete, s')
    ev_target_voltage: PhysicalValue = element('EVTargetVoltage', 'voltage the car wants now, V')


@declared(MSG_BODY, element='CurrentDemandRes', head=BodyElement)
class CurrentDemandRes(BodyElement):
    """Measurements and limits of the station while charging."""

    response_code: ResponseCode = element('ResponseCode', 'result of the request')
    dc_evse_status: DCEVSEStatus = element('DC_EVSEStatus', 'state of the station (DC)')
    evse_present_voltage: PhysicalValue = element('EVSEPresentVoltage', 'voltage at the outlet, V')
    evse_present_current: PhysicalValue = element('EVSEPresentCurrent', 'current at the outlet, A')
    evse_current_limit_achieved: bool = element(
        'EVSECurrentLimitAchieved', 'the station is at its current limit')
    evse_voltage_limit_achieved: bool = element(
        'EVSEVoltageLimitAchieved', 'the station is at its voltage limit')
    evse_power_limit_achieved: bool = element(
        'EVSEPowerLimitAchieved', 'the station is at its power limit')
    evse_maximum_voltage_limit: PhysicalValue | None = optional(
        'EVSEMaximumVoltageLimit', 'highest voltage the station supplies, V')
    evse_maximum_current_limit: PhysicalValue | None = optional(
        'EVSEMaximumCurrentLimit', 'highest current the station supplies, A')
    evse_maximum_power_limit: PhysicalValue | None = optional(
        'EVSEMaximumPowerLimit', 'highest power the station supplies, W')
    evse_id: EVSEID = element('EVSEID', "the outlet's identifier, 7 to 37 characters")
    sa_schedule_tuple_id: SAID = element('SAScheduleTupleID', 'number of the chosen schedule')
    meter_info: MeterInfo | None = optional('MeterInfo', 'meter reading')
    receipt_required: bool | None = optional(
        'ReceiptRequired', 'the car has to sign a meter receipt')


@declared(MSG_BODY, element='WeldingDetectionReq', head=BodyElement)
class WeldingDetectionReq(BodyElement):
    """Ask for the voltage while the car tests its contactors; sent in a loop."""

    dc_ev_status: DCEVStatus = element('DC_EVStatus', "state of the car's charging system")


@declared(MSG_BODY, element='WeldingDetectionRes', head=BodyElement)
class WeldingDetectionRes(BodyElement):
    """Voltage at the outlet while the car tests its contactors."""

    response_code: ResponseCode = element('ResponseCode', 'result of the request')
    dc_evse_status: DCEVSEStatus = element('DC_EVSEStatus', 'state of the station (DC)')
    evse_present_voltage: PhysicalValue = element('EVSEPresentVoltage', 'voltage at the outlet, V')


@declared(MSG_BODY, element='SessionStopReq', head=BodyElement)
class SessionStopReq(BodyElement):
    """End the session."""

    charging_session: ChargingSession = element('ChargingSession', 'end the session or pause it')


@declared(MSG_BODY, element='SessionStopRes', head=BodyElement)
class SessionStopRes(BodyElement):
    """Answer to SessionStopReq."""

    response_code: ResponseCode = element('ResponseCode', 'result of the request')


@declared(MSG_BODY, element='ChargingStatusReq', head=BodyElement)
class ChargingStatusReq(BodyElement):
    """Ask for the state of AC charging; sent in a loop."""


@declared(MSG_BODY, element='ChargingStatusRes', head=BodyElement)
class ChargingStatusRes(BodyElement):
    """State of AC charging."""

    response_code: ResponseCode = element('ResponseCode', 'result of the request')
    evse_id: EVSEID = element('EVSEID', "the outlet's identifier, 7 to 37 characters")
    sa_schedule_tuple_id: SAID = element('SAScheduleTupleID', 'number of the chosen schedule')
    evse_max_current: PhysicalValue | None = optional(
        'EVSEMaxCurrent', 'highest current per phase the station supplies, A')
    meter_info: MeterInfo | None = optional('MeterInfo', 'meter reading')
    receipt_required: bool | None = optional(
        'ReceiptRequired', 'the car has to sign a meter receipt')
    ac_evse_status: ACEVSEStatus = element('AC_EVSEStatus', 'state of the station (AC)')


@declared(MSG_BODY, element='MeteringReceiptReq', head=BodyElement)
class MeteringReceiptReq(BodyElement):
    """Signed meter reading."""

    id: ElementID | None = attribute('Id', 'identifier that a signature refers to')
    session_id: SessionID = element('SessionID', 'session identifier, at most 8 octets')
    sa_schedule_tuple_id: SAID | None = optional(
        'SAScheduleTupleID', 'number of the chosen schedule')
    meter_info: MeterInfo = element('MeterInfo', 'meter reading')


@declared(MSG_BODY, element='MeteringReceiptRes', head=BodyElement)
class MeteringReceiptRes(BodyElement):
    """Answer to MeteringReceiptReq."""

    response_code: ResponseCode = element('ResponseCode', 'result of the request')
    evse_status: EVSEStatus = element(EVSEStatus, 'state of the station')


@declared(MSG_BODY, element='CertificateUpdateReq', head=BodyElement)
class CertificateUpdateReq(BodyElement):
    """Ask for a new contract certificate in place of an old one."""

    id: ElementID = required_attribute('Id', 'identifier that a signature refers to')
    contract_signature_cert_chain: CertificateChain = element(
        'ContractSignatureCertChain', 'contract certificate and its sub-certificates')
    emaid: EMAIDText = element(
        'eMAID', 'contract identifier (e-mobility account), 14 or 15 characters')
    list_of_root_certificate_ids: ListOfRootCertificateIDs = element(
        'ListOfRootCertificateIDs', 'root certificates the car has')


@declared(MSG_BODY, element='CertificateUpdateRes', head=BodyElement)
class CertificateUpdateRes(BodyElement):
    """New contract certificate and its encrypted key."""

    response_code: ResponseCode = element('ResponseCode', 'result of the request')
    sa_provisioning_certificate_chain: CertificateChain = element(
        'SAProvisioningCertificateChain',
        "certificate chain of the contract's provisioning service")
    contract_signature_cert_chain: CertificateChain = element(
        'ContractSignatureCertChain', 'contract certificate and its sub-certificates')
    contract_signature_encrypted_private_key: ContractSignatureEncryptedPrivateKey = element(
        'ContractSignatureEncryptedPrivateKey',
        'private key of the contract certificate, encrypted')
    dh_public_key: DiffieHellmanPublickey = element(
        'DHpublickey', "public key of the sender's ephemeral Diffie-Hellman pair")
    emaid: EMAID = element(
        'eMAID', 'contract identifier (e-mobility account), 14 or 15 characters')
    retry_counter: Short | None = optional(
        'RetryCounter', 'days until the next try: 0 immediately, -1 never')


@declared(MSG_BODY, element='CertificateInstallationReq', head=BodyElement)
class CertificateInstallationReq(BodyElement):
    """Ask for a contract certificate by the provisioning certificate."""

    id: ElementID = required_attribute('Id', 'identifier that a signature refers to')
    oem_provisioning_cert: Certificate = element(
        'OEMProvisioningCert', "the car's provisioning certificate, DER")
    list_of_root_certificate_ids: ListOfRootCertificateIDs = element(
        'ListOfRootCertificateIDs', 'root certificates the car has')


@declared(MSG_BODY, element='CertificateInstallationRes', head=BodyElement)
class CertificateInstallationRes(BodyElement):
    """Contract certificate and its encrypted key."""

    response_code: ResponseCode = element('ResponseCode', 'result of the request')
    sa_provisioning_certificate_chain: CertificateChain = element(
        'SAProvisioningCertificateChain',
        "certificate chain of the contract's provisioning service")
    contract_signature_cert_chain: CertificateChain = element(
        'ContractSignatureCertChain', 'contract certificate and its sub-certificates')
    contract_signature_encrypted_private_key: ContractSignatureEncryptedPrivateKey = element(
        'ContractSignatureEncryptedPrivateKey',
        'private key of the contract certificate, encrypted')
    dh_public_key: DiffieHellmanPublickey = element(
        'DHpublickey', "public key of the sender's ephemeral Diffie-Hellman pair")
    emaid: EMAID = element(
        'eMAID', 'contract identifier (e-mobility account), 14 or 15 characters')


@declared(MSG_DEF, element='V2G_Message')
class V2GMessage(Element):
    """Envelope of every message: header and body."""

    header: MessageHeader = element('Header', 'session identifier, notification and signature')
    body: BodyElement | None = flattened(Body, 'Body', 'the message itself')


NAMESPACES = (MSG_DEF, MSG_HEADER, MSG_BODY, MSG_DATA_TYPES, xmldsig.XMLDSIG)
MESSAGES = (V2GMessage,)
