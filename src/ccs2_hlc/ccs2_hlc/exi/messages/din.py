"""DIN SPEC 70121:2014: all messages of the schema, Plug & Charge and AC ones included.

Voltages, currents, powers and energies are :class:`PhysicalValue`; the unit a field is sent in is
given with the field.  Lists have no upper bound in this schema.
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
    any_number,
    attribute,
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

MSG_DEF = Namespace('urn:din:70121:2012:MsgDef')
MSG_HEADER = Namespace('urn:din:70121:2012:MsgHeader')
MSG_BODY = Namespace('urn:din:70121:2012:MsgBody')
MSG_DATA_TYPES = Namespace('urn:din:70121:2012:MsgDataTypes')

Certificate = Annotated[bytes, Octets(max_length=1200)]
ContractID = Annotated[str, Text(max_length=24)]
DHParams = Annotated[bytes, Octets(max_length=256)]
EVCCID = Annotated[bytes, Octets(max_length=8)]
EVSEID = Annotated[bytes, Octets(max_length=32)]
FaultMsg = Annotated[str, Text(max_length=64)]
GenChallenge = Annotated[str, Text()]
MeterID = Annotated[str, Text(max_length=32)]
MeterStatus = Annotated[int, Integer(-32768, 32767)]
PMax = Annotated[int, Integer(-32768, 32767)]
PercentValue = Annotated[int, Integer(0, 100)]
PrivateKey = Annotated[bytes, Octets(max_length=128)]
RootCertificateID = Annotated[str, Text(max_length=40)]
SAID = Annotated[int, Integer(-32768, 32767)]
ServiceID = Annotated[int, Integer(0, 65535)]
ServiceName = Annotated[str, Text(max_length=32)]
ServiceScope = Annotated[str, Text(max_length=32)]
SessionID = Annotated[bytes, Octets(max_length=8)]
SigMeterReading = Annotated[bytes, Octets(max_length=32)]
TariffDescription = Annotated[str, Text(max_length=32)]
UnitMultiplier = Annotated[int, Integer(-3, 3)]


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


class EVRequestedEnergyTransferType(Enum):
    """Kind of energy transfer the car wants."""

    AC_SINGLE_PHASE_CORE = 'AC_single_phase_core'
    AC_THREE_PHASE_CORE = 'AC_three_phase_core'
    DC_CORE = 'DC_core'
    DC_EXTENDED = 'DC_extended'
    DC_COMBO_CORE = 'DC_combo_core'
    DC_UNIQUE = 'DC_unique'


class EVSENotification(Enum):
    """What the station asks the car to do."""

    NONE = 'None'
    STOP_CHARGING = 'StopCharging'
    RE_NEGOTIATION = 'ReNegotiation'


class EVSEProcessing(Enum):
    """Whether the station needs more time."""

    FINISHED = 'Finished'
    ONGOING = 'Ongoing'


class EVSESupportedEnergyTransferType(Enum):
    """Kinds of energy transfer at an outlet."""

    AC_SINGLE_PHASE_CORE = 'AC_single_phase_core'
    AC_THREE_PHASE_CORE = 'AC_three_phase_core'
    DC_CORE = 'DC_core'
    DC_EXTENDED = 'DC_extended'
    DC_COMBO_CORE = 'DC_combo_core'
    DC_DUAL = 'DC_dual'
    AC_CORE1P_DC_EXTENDED = 'AC_core1p_DC_extended'
    AC_SINGLE_DC_CORE = 'AC_single_DC_core'
    AC_SINGLE_PHASE_THREE_PHASE_CORE_DC_EXTENDED = 'AC_single_phase_three_phase_core_DC_extended'
    AC_CORE3P_DC_EXTENDED = 'AC_core3p_DC_extended'


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
    FAILED_EVSE_PRESENT_VOLTAGE_TO_LOW = 'FAILED_EVSEPresentVoltageToLow'
    FAILED_METERING_SIGNATURE_NOT_VALID = 'FAILED_MeteringSignatureNotValid'
    FAILED_WRONG_ENERGY_TRANSFER_TYPE = 'FAILED_WrongEnergyTransferType'


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
    AH = 'Ah'
    V = 'V'
    VA = 'VA'
    W = 'W'
    W_S = 'W/s'
    WH = 'Wh'


class ValueType(Enum):
    """Type of the value of a parameter."""

    BOOL = 'bool'
    BYTE = 'byte'
    SHORT = 'short'
    INT = 'int'
    PHYSICAL_VALUE = 'physicalValue'
    STRING = 'string'


@declared(MSG_DATA_TYPES, element='EVChargeParameter')
class EVChargeParameter(Element):
    """Limits of the car (head of the substitution group)."""


@declared(MSG_DATA_TYPES)
class PhysicalValue(Scaled):
    """Number with unit: Value times ten to the power of Multiplier."""

    multiplier: UnitMultiplier = element('Multiplier', 'power of ten, -3 to 3')
    unit: Unit | None = optional('Unit', 'unit of measurement')
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

    departure_time: UnsignedInt = element(
        'DepartureTime', 'time until departure, s after the message')
    e_amount: PhysicalValue = element('EAmount', 'energy wanted until departure, Wh')
    ev_max_voltage: PhysicalValue = element(
        'EVMaxVoltage', 'highest line voltage the car takes, V')
    ev_max_current: PhysicalValue = element(
        'EVMaxCurrent', 'highest current per phase the car takes, A')
    ev_min_current: PhysicalValue = element(
        'EVMinCurrent', 'lowest current per phase the car takes, A')


@declared(MSG_DATA_TYPES, element='EVSEChargeParameter')
class EVSEChargeParameter(Element):
    """Limits of the station (head of the substitution group)."""


@declared(MSG_DATA_TYPES, element='EVSEStatus')
class EVSEStatus(Element):
    """State of the station (head of the substitution group)."""


@declared(MSG_DATA_TYPES, element='AC_EVSEStatus', head=EVSEStatus)
class ACEVSEStatus(EVSEStatus):
    """State of an AC station."""

    power_switch_closed: bool = element(
        'PowerSwitchClosed', 'the contactor of the station is closed')
    rcd: bool = element('RCD', 'the residual current device has tripped')
    notification_max_delay: UnsignedInt = element(
        'NotificationMaxDelay', 'time the car has to follow the notification, s')
    evse_notification: EVSENotification = element(
        'EVSENotification', 'what the station asks the car to do')


@declared(MSG_DATA_TYPES, element='AC_EVSEChargeParameter', head=EVSEChargeParameter)
class ACEVSEChargeParameter(EVSEChargeParameter):
    """Limits of an AC station."""

    ac_evse_status: ACEVSEStatus = element('AC_EVSEStatus', 'state of the station (AC)')
    evse_max_voltage: PhysicalValue = element(
        'EVSEMaxVoltage', 'line voltage the station supplies, V')
    evse_max_current: PhysicalValue = element(
        'EVSEMaxCurrent', 'highest current per phase the station supplies, A')
    evse_min_current: PhysicalValue = element(
        'EVSEMinCurrent', 'lowest current per phase the station supplies, A')


@declared(MSG_DEF, element='BodyElement')
class BodyElement(Element):
    """What the body of a message holds: one request or response."""


@declared(MSG_DEF)
class Body(Element):
    """Wrapper of the body element; users see only its content."""

    body_element: BodyElement | None = optional(BodyElement, 'the message itself')


@declared(MSG_DATA_TYPES)
class SubCertificates(Element):
    """Intermediate certificates, the one nearest the leaf first."""

    certificate: list[Certificate] = elements('Certificate', 'intermediate certificates, DER')


@declared(MSG_DATA_TYPES)
class CertificateChain(Element):
    """Certificate with its intermediate certificates."""

    certificate: Certificate = element('Certificate', 'certificate, DER')
    sub_certificates: SubCertificates | None = optional(
        'SubCertificates', 'intermediate certificates')


@declared(MSG_DATA_TYPES)
class ProfileEntry(Element):
    """Power the car plans to draw from a time on."""

    charging_profile_entry_start: UnsignedInt = element(
        'ChargingProfileEntryStart', 'start of the entry, s after the message')
    charging_profile_entry_max_power: PMax = element(
        'ChargingProfileEntryMaxPower', 'highest power drawn, W')


@declared(MSG_DATA_TYPES)
class ChargingProfile(Element):
    """Power the car plans to draw over time."""

    sa_schedule_tuple_id: SAID = element('SAScheduleTupleID', 'number of the chosen schedule')
    profile_entry: list[ProfileEntry] = elements('ProfileEntry', 'power over time')


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

    start_value: UnsignedInt = element('startValue', 'lowest consumption the cost applies to, Wh')
    cost: list[Cost] = any_number('Cost', 'cost by kind')


@declared(MSG_DATA_TYPES, element='EVStatus')
class EVStatus(Element):
    """State of the car (head of the substitution group)."""


@declared(MSG_DATA_TYPES, element='DC_EVStatus', head=EVStatus)
class DCEVStatus(EVStatus):
    """State of the car's charging system (DC)."""

    ev_ready: bool = element('EVReady', 'the car is ready to charge')
    ev_cabin_conditioning: bool | None = optional(
        'EVCabinConditioning', 'the car heats or cools its cabin')
    ev_ress_conditioning: bool | None = optional(
        'EVRESSConditioning', 'the car heats or cools its battery')
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


@declared(MSG_DATA_TYPES, element='EVPowerDeliveryParameter')
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
    notification_max_delay: UnsignedInt = element(
        'NotificationMaxDelay', 'time the car has to follow the notification, s')
    evse_notification: EVSENotification = element(
        'EVSENotification', 'what the station asks the car to do')


@declared(MSG_DATA_TYPES, element='DC_EVSEChargeParameter', head=EVSEChargeParameter)
class DCEVSEChargeParameter(EVSEChargeParameter):
    """Limits of a DC station."""

    dc_evse_status: DCEVSEStatus = element('DC_EVSEStatus', 'state of the station (DC)')
    evse_maximum_current_limit: PhysicalValue = element(
        'EVSEMaximumCurrentLimit', 'highest current the station supplies, A')
    evse_maximum_power_limit: PhysicalValue | None = optional(
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


@declared(MSG_DATA_TYPES, element='TimeInterval')
class TimeInterval(Element):
    """Time interval (head of the substitution group)."""


@declared(MSG_DATA_TYPES, element='Entry')
class Entry(Element):
    """Schedule entry (head of the substitution group)."""

    time_interval: TimeInterval = element(TimeInterval, 'time span the entry is valid for')


@declared(MSG_DATA_TYPES)
class ListOfRootCertificateIDs(Element):
    """Root certificates the car has."""

    root_certificate_id: list[RootCertificateID] = elements(
        'RootCertificateID', 'identifiers of root certificates')


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
    meter_reading: PhysicalValue | None = optional('MeterReading', 'reading of the meter, Wh')
    sig_meter_reading: SigMeterReading | None = optional(
        'SigMeterReading', 'signature of the meter')
    meter_status: MeterStatus | None = optional(
        'MeterStatus', 'status of the meter, -32768 to 32767')
    t_meter: Long | None = optional('TMeter', 'time of the reading, s since 1970-01-01 UTC')


@declared(MSG_DATA_TYPES, element='PMaxScheduleEntry', head=Entry)
class PMaxScheduleEntry(Entry):
    """Highest power in one time interval."""

    p_max: PMax = element('PMax', 'highest power, W')


@declared(MSG_DATA_TYPES)
class PMaxSchedule(Element):
    """Highest power over time."""

    p_max_schedule_id: SAID = element('PMaxScheduleID', 'number of the power schedule')
    p_max_schedule_entry: list[PMaxScheduleEntry] = elements(
        PMaxScheduleEntry, 'power limits over time')


@declared(MSG_DATA_TYPES)
class Parameter(Element):
    """Named value."""

    name: String = required_attribute('Name', 'name of the parameter')
    value_type: ValueType = required_attribute('ValueType', 'which of the alternatives is present')
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

    parameter_set_id: Short = element(
        'ParameterSetID', 'number of the parameter set, -32768 to 32767')
    parameter: list[Parameter] = elements('Parameter', 'parameters of the set')


@declared(MSG_DATA_TYPES)
class PaymentOptions(Element):
    """Ways of payment the station offers."""

    payment_option: list[PaymentOption] = elements('PaymentOption', 'ways of payment')


@declared(MSG_DATA_TYPES, element='RelativeTimeInterval', head=TimeInterval)
class RelativeTimeInterval(TimeInterval):
    """Time interval relative to the message."""

    start: UnsignedInt = element('start', 'start of the interval, s after the message')
    duration: UnsignedInt | None = optional(
        'duration', 'length of the interval, s; absent: up to the next entry')


@declared(MSG_DATA_TYPES, element='SASchedules')
class SASchedules(Element):
    """Charging schedules (head of the substitution group)."""


@declared(MSG_DATA_TYPES, element='SalesTariffEntry', head=Entry)
class SalesTariffEntry(Entry):
    """Price level in one time interval."""

    e_price_level: UnsignedByte = element(
        'EPriceLevel', 'price level, 1 (cheapest) up to NumEPriceLevels')
    consumption_cost: list[ConsumptionCost] = any_number(
        'ConsumptionCost', 'cost by consumed energy')


@declared(MSG_DATA_TYPES)
class SalesTariff(Element):
    """Price levels over time."""

    id: ElementID = required_attribute('Id', 'identifier that a signature refers to')
    sales_tariff_id: SAID = element('SalesTariffID', 'number of the tariff')
    sales_tariff_description: TariffDescription | None = optional(
        'SalesTariffDescription', 'text about the tariff, at most 32 characters')
    num_e_price_levels: UnsignedByte = element(
        'NumEPriceLevels', 'number of distinct price levels')
    sales_tariff_entry: list[SalesTariffEntry] = elements(
        SalesTariffEntry, 'price levels over time')


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
        'SAScheduleTuple', 'charging schedules to choose from')


@declared(MSG_DATA_TYPES)
class SelectedService(Element):
    """Chosen service and its parameter set."""

    service_id: ServiceID = element('ServiceID', 'number of the chosen service')
    parameter_set_id: Short | None = optional(
        'ParameterSetID', 'number of the parameter set, -32768 to 32767')


@declared(MSG_DATA_TYPES)
class SelectedServiceList(Element):
    """Chosen services."""

    selected_service: list[SelectedService] = elements('SelectedService', 'chosen services')


@declared(MSG_DATA_TYPES)
class ServiceTag(Element):
    """Identifier, name and category of a service."""

    service_id: ServiceID = element('ServiceID', 'number of the service, 0 to 65535')
    service_name: ServiceName | None = optional(
        'ServiceName', 'name of the service, at most 32 characters')
    service_category: ServiceCategory = element('ServiceCategory', 'category of service')
    service_scope: ServiceScope | None = optional(
        'ServiceScope', 'free text that narrows the service')


@declared(MSG_DATA_TYPES)
class Service(Element):
    """A service besides charging."""

    service_tag: ServiceTag = element('ServiceTag', 'identifier, name and category of the service')
    free_service: bool = element('FreeService', 'the service costs nothing')


@declared(MSG_DATA_TYPES, element='ServiceCharge')
class ServiceCharge(Service):
    """The charging service and the kinds of energy transfer it offers."""

    energy_transfer_type: EVSESupportedEnergyTransferType = element(
        'EnergyTransferType', 'kinds of energy transfer at this outlet')


@declared(MSG_DATA_TYPES)
class ServiceParameterList(Element):
    """Variants of a service."""

    parameter_set: list[ParameterSet] = elements('ParameterSet', 'parameter sets to choose from')


@declared(MSG_DATA_TYPES)
class ServiceTagList(Element):
    """Services besides charging."""

    service: list[Service] = elements('Service', 'services')


@declared(MSG_BODY, element='SessionSetupReq', head=BodyElement)
class SessionSetupReq(BodyElement):
    """Open a session, or join a paused one."""

    evcc_id: EVCCID = element(
        'EVCCID', "the car's identifier: MAC address of its communication controller")


@declared(MSG_BODY, element='SessionSetupRes', head=BodyElement)
class SessionSetupRes(BodyElement):
    """Answer to SessionSetupReq; its header carries the session identifier."""

    response_code: ResponseCode = element('ResponseCode', 'result of the request')
    evse_id: EVSEID = element('EVSEID', "the outlet's identifier")
    date_time_now: Long | None = optional(
        'DateTimeNow', 'time at the station, s since 1970-01-01 UTC')


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
    payment_options: PaymentOptions = element('PaymentOptions', 'ways of payment offered')
    charge_service: ServiceCharge = element('ChargeService', 'the charging service')
    service_list: ServiceTagList | None = optional('ServiceList', 'services besides charging')


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


@declared(MSG_BODY, element='ServicePaymentSelectionReq', head=BodyElement)
class ServicePaymentSelectionReq(BodyElement):
    """Choose services and the way of payment."""

    selected_payment_option: PaymentOption = element(
        'SelectedPaymentOption', 'chosen way of payment')
    selected_service_list: SelectedServiceList = element(
        'SelectedServiceList', 'chosen services and their parameters')


@declared(MSG_BODY, element='ServicePaymentSelectionRes', head=BodyElement)
class ServicePaymentSelectionRes(BodyElement):
    """Answer to ServicePaymentSelectionReq."""

    response_code: ResponseCode = element('ResponseCode', 'result of the request')


@declared(MSG_BODY, element='PaymentDetailsReq', head=BodyElement)
class PaymentDetailsReq(BodyElement):
    """Contract certificate of the car."""

    contract_id: ContractID = element('ContractID', 'contract identifier, at most 24 characters')
    contract_signature_cert_chain: CertificateChain = element(
        'ContractSignatureCertChain', 'contract certificate and its sub-certificates')


@declared(MSG_BODY, element='PaymentDetailsRes', head=BodyElement)
class PaymentDetailsRes(BodyElement):
    """Challenge for the contract certificate."""

    response_code: ResponseCode = element('ResponseCode', 'result of the request')
    gen_challenge: GenChallenge = element('GenChallenge', 'challenge to be signed')
    date_time_now: Long = element('DateTimeNow', 'time at the station, s since 1970-01-01 UTC')


@declared(MSG_BODY, element='ContractAuthenticationReq', head=BodyElement)
class ContractAuthenticationReq(BodyElement):
    """Ask for authorization, with the signed challenge for contract payment."""

    id: ElementID | None = attribute('Id', 'identifier that a signature refers to')
    gen_challenge: GenChallenge | None = optional('GenChallenge', 'challenge to be signed')


@declared(MSG_BODY, element='ContractAuthenticationRes', head=BodyElement)
class ContractAuthenticationRes(BodyElement):
    """Whether the car is authorized yet."""

    response_code: ResponseCode = element('ResponseCode', 'result of the request')
    evse_processing: EVSEProcessing = element(
        'EVSEProcessing', 'whether the station needs more time')


@declared(MSG_BODY, element='ChargeParameterDiscoveryReq', head=BodyElement)
class ChargeParameterDiscoveryReq(BodyElement):
    """Limits and wishes of the car."""

    ev_requested_energy_transfer_type: EVRequestedEnergyTransferType = element(
        'EVRequestedEnergyTransferType', 'kind of energy transfer the car wants')
    ev_charge_parameter: EVChargeParameter = element(EVChargeParameter, 'limits of the car')


@declared(MSG_BODY, element='ChargeParameterDiscoveryRes', head=BodyElement)
class ChargeParameterDiscoveryRes(BodyElement):
    """Limits and schedules of the station."""

    response_code: ResponseCode = element('ResponseCode', 'result of the request')
    evse_processing: EVSEProcessing = element(
        'EVSEProcessing', 'whether the station needs more time')
    sa_schedules: SASchedules = element(SASchedules, 'charging schedules')
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

    ready_to_charge_state: bool = element(
        'ReadyToChargeState', 'true asks for power, false for switching it off')
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
    evse_id: EVSEID = element('EVSEID', "the outlet's identifier")
    sa_schedule_tuple_id: SAID = element('SAScheduleTupleID', 'number of the chosen schedule')
    evse_max_current: PhysicalValue | None = optional(
        'EVSEMaxCurrent', 'highest current per phase the station supplies, A')
    meter_info: MeterInfo | None = optional('MeterInfo', 'meter reading')
    receipt_required: bool = element('ReceiptRequired', 'the car has to sign a meter receipt')
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
    ac_evse_status: ACEVSEStatus = element('AC_EVSEStatus', 'state of the station (AC)')


@declared(MSG_BODY, element='CertificateUpdateReq', head=BodyElement)
class CertificateUpdateReq(BodyElement):
    """Ask for a new contract certificate in place of an old one."""

    id: ElementID | None = attribute('Id', 'identifier that a signature refers to')
    contract_signature_cert_chain: CertificateChain = element(
        'ContractSignatureCertChain', 'contract certificate and its sub-certificates')
    contract_id: ContractID = element('ContractID', 'contract identifier, at most 24 characters')
    list_of_root_certificate_ids: ListOfRootCertificateIDs = element(
        'ListOfRootCertificateIDs', 'root certificates the car has')
    dh_params: DHParams = element(
        'DHParams', 'Diffie-Hellman parameters for decrypting the key, at most 256 octets')


@declared(MSG_BODY, element='CertificateUpdateRes', head=BodyElement)
class CertificateUpdateRes(BodyElement):
    """New contract certificate and its encrypted key."""

    id: ElementID = required_attribute('Id', 'identifier that a signature refers to')
    response_code: ResponseCode = element('ResponseCode', 'result of the request')
    contract_signature_cert_chain: CertificateChain = element(
        'ContractSignatureCertChain', 'contract certificate and its sub-certificates')
    contract_signature_encrypted_private_key: PrivateKey = element(
        'ContractSignatureEncryptedPrivateKey',
        'private key of the contract certificate, encrypted')
    dh_params: DHParams = element(
        'DHParams', 'Diffie-Hellman parameters for decrypting the key, at most 256 octets')
    contract_id: ContractID = element('ContractID', 'contract identifier, at most 24 characters')
    retry_counter: Short = element(
        'RetryCounter', 'days until the next try: 0 immediately, -1 never')


@declared(MSG_BODY, element='CertificateInstallationReq', head=BodyElement)
class CertificateInstallationReq(BodyElement):
    """Ask for a contract certificate by the provisioning certificate."""

    id: ElementID | None = attribute('Id', 'identifier that a signature refers to')
    oem_provisioning_cert: Certificate = element(
        'OEMProvisioningCert', "the car's provisioning certificate, DER")
    list_of_root_certificate_ids: ListOfRootCertificateIDs = element(
        'ListOfRootCertificateIDs', 'root certificates the car has')
    dh_params: DHParams = element(
        'DHParams', 'Diffie-Hellman parameters for decrypting the key, at most 256 octets')


@declared(MSG_BODY, element='CertificateInstallationRes', head=BodyElement)
class CertificateInstallationRes(BodyElement):
    """Contract certificate and its encrypted key."""

    id: ElementID = required_attribute('Id', 'identifier that a signature refers to')
    response_code: ResponseCode = element('ResponseCode', 'result of the request')
    contract_signature_cert_chain: CertificateChain = element(
        'ContractSignatureCertChain', 'contract certificate and its sub-certificates')
    contract_signature_encrypted_private_key: PrivateKey = element(
        'ContractSignatureEncryptedPrivateKey',
        'private key of the contract certificate, encrypted')
    dh_params: DHParams = element(
        'DHParams', 'Diffie-Hellman parameters for decrypting the key, at most 256 octets')
    contract_id: ContractID = element('ContractID', 'contract identifier, at most 24 characters')


@declared(MSG_DEF, element='V2G_Message')
class V2GMessage(Element):
    """Envelope of every message: header and body."""

    header: MessageHeader = element('Header', 'session identifier, notification and signature')
    body: BodyElement | None = flattened(Body, 'Body', 'the message itself')


NAMESPACES = (MSG_DEF, MSG_HEADER, MSG_BODY, MSG_DATA_TYPES, xmldsig.XMLDSIG)
MESSAGES = (V2GMessage,)
