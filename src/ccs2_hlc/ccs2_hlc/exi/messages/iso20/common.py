"""ISO 15118-20 CommonMessages: the messages of every session (V2GTP payload type 0x8002)."""

from enum import Enum
from typing import Annotated

from ...declare import (
    Byte,
    Element,
    ElementID,
    Int,
    Integer,
    Namespace,
    Octets,
    Short,
    Text,
    UnsignedByte,
    UnsignedInt,
    UnsignedLong,
    UnsignedShort,
    at_most_one_of,
    attribute,
    declared,
    element,
    elements,
    one_of,
    optional,
    required_attribute,
)
from .. import xmldsig
from .types import (  # noqa: F401 - some are for users of this module only
    COMMON_TYPES,
    Description,
    DisplayParameters,
    EVSENotification,
    EVSEStatus,
    Identifier,
    ListOfRootCertificateIDs,
    MessageHeader,
    MeterInfo,
    Name,
    NumericID,
    PercentValue,
    Processing,
    RationalNumber,
    Receipt,
    ResponseCode,
    SessionID,
    V2GMessage,
    V2GRequest,
    V2GResponse,
)

COMMON_MESSAGES = Namespace('urn:iso:std:iso:15118:-20:CommonMessages', qualified_attributes=True)

Certificate = Annotated[bytes, Octets(max_length=1600)]
Currency = Annotated[str, Text(max_length=3)]
DHPublicKey = Annotated[bytes, Octets(max_length=133, min_length=133)]
GenChallenge = Annotated[bytes, Octets(max_length=16, min_length=16)]
Language = Annotated[str, Text(max_length=3)]
MaxSupportingPointsScheduleTuple = Annotated[int, Integer(12, 1024)]
SECP521EncryptedPrivateKey = Annotated[bytes, Octets(max_length=94, min_length=94)]
ServiceID = Annotated[int, Integer(0, 65535)]
TPMEncryptedPrivateKey = Annotated[bytes, Octets(max_length=206, min_length=206)]
X448EncryptedPrivateKey = Annotated[bytes, Octets(max_length=84, min_length=84)]


class Authorization(Enum):
    """Kind of authorization."""

    EIM = 'EIM'
    PNC = 'PnC'


class ChannelSelection(Enum):
    """Direction of energy."""

    CHARGE = 'Charge'
    DISCHARGE = 'Discharge'


class ChargeProgress(Enum):
    """What the car wants of the power."""

    START = 'Start'
    STOP = 'Stop'
    STANDBY = 'Standby'
    SCHEDULE_RENEGOTIATION = 'ScheduleRenegotiation'


class ChargingSession(Enum):
    """How the session ends."""

    PAUSE = 'Pause'
    TERMINATE = 'Terminate'
    SERVICE_RENEGOTIATION = 'ServiceRenegotiation'


class ECDHCurve(Enum):
    """Elliptic curve of the key agreement."""

    SECP521 = 'SECP521'
    X448 = 'X448'


class EVCheckInStatus(Enum):
    """Progress of the check-in."""

    CHECK_IN = 'CheckIn'
    PROCESSING = 'Processing'
    COMPLETED = 'Completed'


class EVCheckOutStatus(Enum):
    """Progress of the check-out."""

    CHECK_OUT = 'CheckOut'
    PROCESSING = 'Processing'
    COMPLETED = 'Completed'


class EVSECheckOutStatus(Enum):
    """Progress of the check-out at the station."""

    SCHEDULED = 'Scheduled'
    COMPLETED = 'Completed'


class ParkingMethod(Enum):
    """Who parks the car, and how."""

    AUTO_PARKING = 'AutoParking'
    MV_GUIDE_MANUAL = 'MVGuideManual'
    MANUAL = 'Manual'


class PowerToleranceAcceptance(Enum):
    """Whether the car accepts the power tolerance."""

    POWER_TOLERANCE_NOT_CONFIRMED = 'PowerToleranceNotConfirmed'
    POWER_TOLERANCE_CONFIRMED = 'PowerToleranceConfirmed'


@declared(COMMON_MESSAGES)
class PriceSchedule(Element):
    """What all price schedules have."""

    time_anchor: UnsignedLong = element(
        'TimeAnchor', 'start of the schedule, s since 1970-01-01 UTC')
    price_schedule_id: NumericID = element(
        'PriceScheduleID', 'number of the price schedule, from 1')
    price_schedule_description: Description | None = optional(
        'PriceScheduleDescription', 'text about the schedule, at most 160 characters')


@declared(COMMON_MESSAGES)
class TaxRule(Element):
    """One tax and what it applies to."""

    tax_rule_id: NumericID = element('TaxRuleID', 'number of the tax rule, from 1')
    tax_rule_name: Name | None = optional('TaxRuleName', 'name of the tax, at most 80 characters')
    tax_rate: RationalNumber = element('TaxRate', 'tax rate, %')
    tax_included_in_price: bool | None = optional(
        'TaxIncludedInPrice', 'the prices contain the tax')
    applies_to_energy_fee: bool = element('AppliesToEnergyFee', 'the tax applies to energy')
    applies_to_parking_fee: bool = element('AppliesToParkingFee', 'the tax applies to parking')
    applies_to_overstay_fee: bool = element(
        'AppliesToOverstayFee', 'the tax applies to overstaying')
    applies_minimum_maximum_cost: bool = element(
        'AppliesMinimumMaximumCost', 'the tax applies to the cost limits')


@declared(COMMON_MESSAGES)
class TaxRuleList(Element):
    """Taxes."""

    tax_rule: list[TaxRule] = elements('TaxRule', 'taxes', at_most=10)


@declared(COMMON_MESSAGES)
class PriceRule(Element):
    """Prices from a power on."""

    energy_fee: RationalNumber = element('EnergyFee', 'price of energy, currency per kWh')
    parking_fee: RationalNumber | None = optional(
        'ParkingFee', 'fee for parking, in the currency per ParkingFeePeriod')
    parking_fee_period: UnsignedInt | None = optional(
        'ParkingFeePeriod', 'period of the parking fee, s')
    carbon_dioxide_emission: UnsignedShort | None = optional(
        'CarbonDioxideEmission', 'emission, g per kWh')
    renewable_generation_percentage: UnsignedByte | None = optional(
        'RenewableGenerationPercentage', 'share of renewable energy, %')
    power_range_start: RationalNumber = element(
        'PowerRangeStart', 'lowest power the price applies to, W')


@declared(COMMON_MESSAGES)
class PriceRuleStack(Element):
    """Prices in one time interval."""

    duration: UnsignedInt = element('Duration', 'how long the entry is valid, s')
    price_rule: list[PriceRule] = elements('PriceRule', 'prices by power', at_most=8)


@declared(COMMON_MESSAGES)
class PriceRuleStackList(Element):
    """Prices over time."""

    price_rule_stack: list[PriceRuleStack] = elements(
        'PriceRuleStack', 'prices over time', at_most=1024)


@declared(COMMON_MESSAGES)
class OverstayRule(Element):
    """Fee from a time on."""

    overstay_rule_description: Description | None = optional(
        'OverstayRuleDescription', 'text about the fee, at most 160 characters')
    start_time: UnsignedInt = element('StartTime', 'start, s after the overstay began')
    overstay_fee: RationalNumber = element(
        'OverstayFee', 'fee, in the currency per OverstayFeePeriod')
    overstay_fee_period: UnsignedInt = element('OverstayFeePeriod', 'period of the fee, s')


@declared(COMMON_MESSAGES)
class OverstayRuleList(Element):
    """Fees for overstaying."""

    overstay_time_threshold: UnsignedInt | None = optional(
        'OverstayTimeThreshold', 'time after which the car overstays, s')
    overstay_power_threshold: RationalNumber | None = optional(
        'OverstayPowerThreshold', 'power below which the car overstays, W')
    overstay_rule: list[OverstayRule] = elements('OverstayRule', 'fees over time', at_most=5)


@declared(COMMON_MESSAGES)
class AdditionalService(Element):
    """Fee for a further service."""

    service_name: Name = element('ServiceName', 'name of the service, at most 80 characters')
    service_fee: RationalNumber = element('ServiceFee', 'fee, in the currency')


@declared(COMMON_MESSAGES)
class AdditionalServiceList(Element):
    """Fees for further services."""

    additional_service: list[AdditionalService] = elements(
        'AdditionalService', 'services with their fees', at_most=5)


@declared(COMMON_MESSAGES)
class AbsolutePriceSchedule(PriceSchedule):
    """Prices over time, in a currency."""

    id: ElementID | None = attribute('Id', 'identifier that a signature refers to')
    currency: Currency = element('Currency', 'currency, three letters of ISO 4217')
    language: Language = element('Language', 'language, three letters of ISO 639')
    price_algorithm: Identifier = element('PriceAlgorithm', 'URI of the price algorithm')
    minimum_cost: RationalNumber | None = optional(
        'MinimumCost', 'cost is at least this, in the currency')
    maximum_cost: RationalNumber | None = optional(
        'MaximumCost', 'cost is at most this, in the currency')
    tax_rules: TaxRuleList | None = optional('TaxRules', 'taxes that may apply')
    price_rule_stacks: PriceRuleStackList = element('PriceRuleStacks', 'prices over time')
    overstay_rules: OverstayRuleList | None = optional('OverstayRules', 'fees for overstaying')
    additional_selected_services: AdditionalServiceList | None = optional(
        'AdditionalSelectedServices', 'fees for further services')


@declared(COMMON_MESSAGES)
class SubCertificates(Element):
    """Intermediate certificates, the one nearest the leaf first."""

    certificate: list[Certificate] = elements(
        'Certificate', 'intermediate certificates, DER', at_most=3)


@declared(COMMON_MESSAGES)
class CertificateChain(Element):
    """Certificate with its intermediate certificates."""

    certificate: Certificate = element('Certificate', 'certificate, DER')
    sub_certificates: SubCertificates | None = optional(
        'SubCertificates', 'intermediate certificates')


@declared(COMMON_MESSAGES)
class PowerScheduleEntry(Element):
    """Power in one time interval."""

    duration: UnsignedInt = element('Duration', 'how long the entry is valid, s')
    power: RationalNumber = element('Power', 'power, of the first phase if Power_L2 is present, W')
    power_l2: RationalNumber | None = optional('Power_L2', 'power of the second phase, W')
    power_l3: RationalNumber | None = optional('Power_L3', 'power of the third phase, W')


@declared(COMMON_MESSAGES)
class PowerScheduleEntryList(Element):
    """Power limits over time."""

    power_schedule_entry: list[PowerScheduleEntry] = elements(
        'PowerScheduleEntry', 'power limits over time', at_most=1024)


@declared(COMMON_MESSAGES)
class PowerSchedule(Element):
    """Power limits over time."""

    time_anchor: UnsignedLong = element(
        'TimeAnchor', 'start of the schedule, s since 1970-01-01 UTC')
    available_energy: RationalNumber | None = optional(
        'AvailableEnergy', 'energy available over the schedule, Wh')
    power_tolerance: RationalNumber | None = optional(
        'PowerTolerance', 'permitted deviation of power, W')
    power_schedule_entries: PowerScheduleEntryList = element(
        'PowerScheduleEntries', 'power over time')


@declared(COMMON_MESSAGES)
class PriceLevelScheduleEntry(Element):
    """Price level in one time interval."""

    duration: UnsignedInt = element('Duration', 'how long the entry is valid, s')
    price_level: UnsignedByte = element('PriceLevel', 'price level, 0 (cheapest) to 255')


@declared(COMMON_MESSAGES)
class PriceLevelScheduleEntryList(Element):
    """Price levels over time."""

    price_level_schedule_entry: list[PriceLevelScheduleEntry] = elements(
        'PriceLevelScheduleEntry', 'price levels over time', at_most=1024)


@declared(COMMON_MESSAGES)
class PriceLevelSchedule(PriceSchedule):
    """Price levels over time."""

    id: ElementID | None = attribute('Id', 'identifier that a signature refers to')
    number_of_price_levels: UnsignedByte = element(
        'NumberOfPriceLevels', 'number of distinct price levels')
    price_level_schedule_entries: PriceLevelScheduleEntryList = element(
        'PriceLevelScheduleEntries', 'price levels over time')


@declared(COMMON_MESSAGES)
class ChargingSchedule(Element):
    """Power over time with its price."""

    power_schedule: PowerSchedule = element('PowerSchedule', 'power limits over time')
    absolute_price_schedule: AbsolutePriceSchedule | None = at_most_one_of(
        'price', 'AbsolutePriceSchedule', 'prices over time, in a currency')
    price_level_schedule: PriceLevelSchedule | None = at_most_one_of(
        'price', 'PriceLevelSchedule', 'price levels over time')


@declared(COMMON_MESSAGES)
class ContractCertificateChain(Element):
    """Contract certificate with its sub-certificates."""

    certificate: Certificate = element('Certificate', 'certificate, DER')
    sub_certificates: SubCertificates = element('SubCertificates', 'intermediate certificates')


@declared(COMMON_MESSAGES)
class DynamicEVPPTControlMode(Element):
    """The power profile is for dynamic control."""


@declared(COMMON_MESSAGES)
class DynamicSEReqControlMode(Element):
    """Wishes of the car for dynamic control."""

    departure_time: UnsignedInt = element(
        'DepartureTime', 'time until departure, s after the message')
    minimum_soc: PercentValue | None = optional(
        'MinimumSOC', 'state of charge that must be kept, %')
    target_soc: PercentValue | None = optional(
        'TargetSOC', 'state of charge wanted at departure, %')
    ev_target_energy_request: RationalNumber = element(
        'EVTargetEnergyRequest', 'energy to reach the target, Wh; negative: to be discharged')
    ev_maximum_energy_request: RationalNumber = element(
        'EVMaximumEnergyRequest', 'energy to reach the highest state of charge, Wh')
    ev_minimum_energy_request: RationalNumber = element(
        'EVMinimumEnergyRequest', 'energy to reach the lowest state of charge, Wh')
    ev_maximum_v2x_energy_request: RationalNumber | None = optional(
        'EVMaximumV2XEnergyRequest', 'energy until cycling has to stop at the top, Wh')
    ev_minimum_v2x_energy_request: RationalNumber | None = optional(
        'EVMinimumV2XEnergyRequest', 'energy until cycling may start at the bottom, Wh')


@declared(COMMON_MESSAGES)
class DynamicSEResControlMode(Element):
    """Targets and prices for dynamic control."""

    departure_time: UnsignedInt | None = optional(
        'DepartureTime', 'time until departure, s after the message')
    minimum_soc: PercentValue | None = optional(
        'MinimumSOC', 'state of charge that must be kept, %')
    target_soc: PercentValue | None = optional(
        'TargetSOC', 'state of charge wanted at departure, %')
    absolute_price_schedule: AbsolutePriceSchedule | None = at_most_one_of(
        'price', 'AbsolutePriceSchedule', 'prices over time, in a currency')
    price_level_schedule: PriceLevelSchedule | None = at_most_one_of(
        'price', 'PriceLevelSchedule', 'price levels over time')


@declared(COMMON_MESSAGES)
class DynamicSMDTControlMode(Element):
    """The meter reading is of dynamic control."""


@declared(COMMON_MESSAGES)
class EIMAReqAuthorizationMode(Element):
    """Authorization outside of the session."""


@declared(COMMON_MESSAGES)
class EIMASResAuthorizationMode(Element):
    """External identification needs no data."""


@declared(COMMON_MESSAGES)
class EMAIDList(Element):
    """Contract identifiers."""

    emaid: list[Identifier] = elements(
        'EMAID', 'contract identifiers, at most 255 characters each', at_most=8)


@declared(COMMON_MESSAGES)
class EVPriceRule(Element):
    """Price the car asks from a power on."""

    energy_fee: RationalNumber = element('EnergyFee', 'price of energy, currency per kWh')
    power_range_start: RationalNumber = element(
        'PowerRangeStart', 'lowest power the price applies to, W')


@declared(COMMON_MESSAGES)
class EVPriceRuleStack(Element):
    """Prices the car asks in one time interval."""

    duration: UnsignedInt = element('Duration', 'how long the entry is valid, s')
    ev_price_rule: list[EVPriceRule] = elements('EVPriceRule', 'prices by power', at_most=8)


@declared(COMMON_MESSAGES)
class EVPriceRuleStackList(Element):
    """Prices the car asks over time."""

    ev_price_rule_stack: list[EVPriceRuleStack] = elements(
        'EVPriceRuleStack', 'prices over time', at_most=1024)


@declared(COMMON_MESSAGES)
class EVAbsolutePriceSchedule(Element):
    """Prices the car asks over time."""

    time_anchor: UnsignedLong = element(
        'TimeAnchor', 'start of the schedule, s since 1970-01-01 UTC')
    currency: Currency = element('Currency', 'currency, three letters of ISO 4217')
    price_algorithm: Identifier = element('PriceAlgorithm', 'URI of the price algorithm')
    ev_price_rule_stacks: EVPriceRuleStackList = element(
        'EVPriceRuleStacks', 'prices the car offers over time')


@declared(COMMON_MESSAGES)
class EVPowerScheduleEntry(Element):
    """Power the car can give in one time interval."""

    duration: UnsignedInt = element('Duration', 'how long the entry is valid, s')
    power: RationalNumber = element('Power', 'power, of the first phase if Power_L2 is present, W')


@declared(COMMON_MESSAGES)
class EVPowerScheduleEntryList(Element):
    """Power the car can give over time."""

    ev_power_schedule_entry: list[EVPowerScheduleEntry] = elements(
        'EVPowerScheduleEntry', 'power over time', at_most=1024)


@declared(COMMON_MESSAGES)
class EVPowerSchedule(Element):
    """Power the car can give over time."""

    time_anchor: UnsignedLong = element(
        'TimeAnchor', 'start of the schedule, s since 1970-01-01 UTC')
    ev_power_schedule_entries: EVPowerScheduleEntryList = element(
        'EVPowerScheduleEntries', 'power over time')


@declared(COMMON_MESSAGES)
class EVEnergyOffer(Element):
    """Energy the car can give, and its price."""

    ev_power_schedule: EVPowerSchedule = element(
        'EVPowerSchedule', 'power the car can give over time')
    ev_absolute_price_schedule: EVAbsolutePriceSchedule = element(
        'EVAbsolutePriceSchedule', 'prices the car asks over time')


@declared(COMMON_MESSAGES)
class ScheduledEVPPTControlMode(Element):
    """The schedule that a power profile follows."""

    selected_schedule_tuple_id: NumericID = element(
        'SelectedScheduleTupleID', 'number of the chosen schedule')
    power_tolerance_acceptance: PowerToleranceAcceptance | None = optional(
        'PowerToleranceAcceptance', 'whether the car accepts the power tolerance')


@declared(COMMON_MESSAGES)
class EVPowerProfileEntryList(Element):
    """Power over time."""

    ev_power_profile_entry: list[PowerScheduleEntry] = elements(
        'EVPowerProfileEntry', 'power over time', at_most=2048)


@declared(COMMON_MESSAGES)
class EVPowerProfile(Element):
    """Power the car plans to draw over time."""

    time_anchor: UnsignedLong = element(
        'TimeAnchor', 'start of the schedule, s since 1970-01-01 UTC')
    dynamic_evppt_control_mode: DynamicEVPPTControlMode | None = one_of(
        'control mode', 'Dynamic_EVPPTControlMode', 'dynamic control')
    scheduled_evppt_control_mode: ScheduledEVPPTControlMode | None = one_of(
        'control mode',
        'Scheduled_EVPPTControlMode',
        'scheduled control, with the chosen schedule')
    ev_power_profile_entries: EVPowerProfileEntryList = element(
        'EVPowerProfileEntries', 'power over time')


@declared(COMMON_MESSAGES)
class Parameter(Element):
    """Named value."""

    name: Name = required_attribute('Name', 'name of the parameter')
    bool_value: bool | None = one_of('value', 'boolValue', 'value of type bool')
    byte_value: Byte | None = one_of('value', 'byteValue', 'value of type byte')
    short_value: Short | None = one_of('value', 'shortValue', 'value of type short')
    int_value: Int | None = one_of('value', 'intValue', 'value of type int')
    rational_number: RationalNumber | None = one_of(
        'value', 'rationalNumber', 'value of type rationalNumber')
    finite_string: Name | None = one_of(
        'value', 'finiteString', 'value of type finiteString, at most 80 characters')


@declared(COMMON_MESSAGES)
class ParameterSet(Element):
    """Parameters of one variant of a service."""

    parameter_set_id: ServiceID = element(
        'ParameterSetID', 'number of the parameter set, -32768 to 32767')
    parameter: list[Parameter] = elements('Parameter', 'parameters of the set', at_most=32)


@declared(COMMON_MESSAGES)
class PnCAReqAuthorizationMode(Element):
    """Contract certificate with the signed challenge."""

    id: ElementID = required_attribute('Id', 'identifier that a signature refers to')
    gen_challenge: GenChallenge = element('GenChallenge', 'challenge to be signed')
    contract_certificate_chain: ContractCertificateChain = element(
        'ContractCertificateChain', 'contract certificate and its sub-certificates')


@declared(COMMON_MESSAGES)
class SupportedProvidersList(Element):
    """Mobility providers the station can reach."""

    provider_id: list[Name] = elements(
        'ProviderID', 'identifiers of mobility providers, at most 80 characters each', at_most=128)


@declared(COMMON_MESSAGES)
class PnCASResAuthorizationMode(Element):
    """Challenge and providers for Plug & Charge."""

    gen_challenge: GenChallenge = element('GenChallenge', 'challenge to be signed')
    supported_providers: SupportedProvidersList | None = optional(
        'SupportedProviders', 'mobility providers the station can reach')


@declared(COMMON_MESSAGES)
class ScheduleTuple(Element):
    """Schedules for charging and discharging."""

    schedule_tuple_id: NumericID = element('ScheduleTupleID', 'number of the schedule, from 1')
    charging_schedule: ChargingSchedule = element('ChargingSchedule', 'schedule for charging')
    discharging_schedule: ChargingSchedule | None = optional(
        'DischargingSchedule', 'schedule for discharging')


@declared(COMMON_MESSAGES)
class ScheduledSEReqControlMode(Element):
    """Wishes of the car for scheduled control."""

    departure_time: UnsignedInt | None = optional(
        'DepartureTime', 'time until departure, s after the message')
    ev_target_energy_request: RationalNumber | None = optional(
        'EVTargetEnergyRequest', 'energy to reach the target, Wh; negative: to be discharged')
    ev_maximum_energy_request: RationalNumber | None = optional(
        'EVMaximumEnergyRequest', 'energy to reach the highest state of charge, Wh')
    ev_minimum_energy_request: RationalNumber | None = optional(
        'EVMinimumEnergyRequest', 'energy to reach the lowest state of charge, Wh')
    ev_energy_offer: EVEnergyOffer | None = optional(
        'EVEnergyOffer', 'energy the car can give, and its price')


@declared(COMMON_MESSAGES)
class ScheduledSEResControlMode(Element):
    """Schedules to choose from."""

    schedule_tuple: list[ScheduleTuple] = elements(
        'ScheduleTuple', 'schedules to choose from', at_most=3)


@declared(COMMON_MESSAGES)
class ScheduledSMDTControlMode(Element):
    """The schedule a meter reading belongs to."""

    selected_schedule_tuple_id: NumericID = element(
        'SelectedScheduleTupleID', 'number of the chosen schedule')


@declared(COMMON_MESSAGES)
class SelectedService(Element):
    """Chosen service and its parameter set."""

    service_id: ServiceID = element('ServiceID', 'number of the chosen service')
    parameter_set_id: ServiceID = element(
        'ParameterSetID', 'number of the parameter set, -32768 to 32767')


@declared(COMMON_MESSAGES)
class SelectedServiceList(Element):
    """Chosen services."""

    selected_service: list[SelectedService] = elements(
        'SelectedService', 'chosen services', at_most=16)


@declared(COMMON_MESSAGES)
class Service(Element):
    """A service besides charging."""

    service_id: ServiceID = element('ServiceID', 'number of the service, 0 to 65535')
    free_service: bool = element('FreeService', 'the service costs nothing')


@declared(COMMON_MESSAGES)
class ServiceIDList(Element):
    """Numbers of services."""

    service_id: list[ServiceID] = elements(
        'ServiceID', 'numbers of services, 0 to 65535', at_most=16)


@declared(COMMON_MESSAGES)
class ServiceList(Element):
    """Services of the station."""

    service: list[Service] = elements('Service', 'services', at_most=8)


@declared(COMMON_MESSAGES)
class ServiceParameterList(Element):
    """Variants of a service."""

    parameter_set: list[ParameterSet] = elements(
        'ParameterSet', 'parameter sets to choose from', at_most=32)


@declared(COMMON_MESSAGES)
class SignedCertificateChain(Element):
    """Certificate chain, signed by its Id."""

    id: ElementID = required_attribute('Id', 'identifier that a signature refers to')
    certificate: Certificate = element('Certificate', 'certificate, DER')
    sub_certificates: SubCertificates | None = optional(
        'SubCertificates', 'intermediate certificates')


@declared(COMMON_MESSAGES, element='SignedInstallationData')
class SignedInstallationData(Element):
    """Contract certificate with its encrypted key."""

    id: ElementID = required_attribute('Id', 'identifier that a signature refers to')
    contract_certificate_chain: ContractCertificateChain = element(
        'ContractCertificateChain', 'contract certificate and its sub-certificates')
    ecdh_curve: ECDHCurve = element('ECDHCurve', 'elliptic curve of the key agreement')
    dh_public_key: DHPublicKey = element(
        'DHPublicKey', "public key of the sender's ephemeral pair, 133 octets")
    secp521_encrypted_private_key: SECP521EncryptedPrivateKey | None = one_of(
        'private key',
        'SECP521_EncryptedPrivateKey',
        'private key on secp521r1, encrypted, 94 octets')
    x448_encrypted_private_key: X448EncryptedPrivateKey | None = one_of(
        'private key', 'X448_EncryptedPrivateKey', 'private key on Curve448, encrypted, 84 octets')
    tpm_encrypted_private_key: TPMEncryptedPrivateKey | None = one_of(
        'private key',
        'TPM_EncryptedPrivateKey',
        "private key for the car's TPM, encrypted, 206 octets")


@declared(COMMON_MESSAGES, element='SignedMeteringData')
class SignedMeteringData(Element):
    """Meter reading the car signs."""

    id: ElementID = required_attribute('Id', 'identifier that a signature refers to')
    session_id: SessionID = element('SessionID', 'session identifier, 8 octets')
    meter_info: MeterInfo = element('MeterInfo', 'meter reading')
    receipt: Receipt | None = optional('Receipt', 'cost so far')
    dynamic_smdt_control_mode: DynamicSMDTControlMode | None = one_of(
        'control mode', 'Dynamic_SMDTControlMode', 'dynamic control')
    scheduled_smdt_control_mode: ScheduledSMDTControlMode | None = one_of(
        'control mode', 'Scheduled_SMDTControlMode', 'scheduled control')


@declared(COMMON_MESSAGES)
class TargetPosition(Element):
    """Target position of the car."""

    target_offset_x: UnsignedShort = element(
        'TargetOffsetX', 'offset of the target position along x')
    target_offset_y: UnsignedShort = element(
        'TargetOffsetY', 'offset of the target position along y')


@declared(COMMON_MESSAGES, element='SessionSetupReq')
class SessionSetupReq(V2GRequest):
    """Open a session, or join a paused one."""

    evcc_id: Identifier = element('EVCCID', "the car's identifier, at most 255 characters")


@declared(COMMON_MESSAGES, element='SessionSetupRes')
class SessionSetupRes(V2GResponse):
    """Answer to SessionSetupReq; its header carries the session identifier."""

    evse_id: Identifier = element('EVSEID', "the outlet's identifier, at most 255 characters")


@declared(COMMON_MESSAGES, element='AuthorizationSetupReq')
class AuthorizationSetupReq(V2GRequest):
    """Ask for the kinds of authorization."""


@declared(COMMON_MESSAGES, element='AuthorizationSetupRes')
class AuthorizationSetupRes(V2GResponse):
    """Kinds of authorization of the station."""

    authorization_services: list[Authorization] = elements(
        'AuthorizationServices', 'kinds of authorization offered, the first preferred', at_most=2)
    certificate_installation_service: bool = element(
        'CertificateInstallationService', 'the station can install contract certificates')
    eim_as_res_authorization_mode: EIMASResAuthorizationMode | None = one_of(
        'authorization mode', 'EIM_ASResAuthorizationMode', 'external identification is offered')
    pnc_as_res_authorization_mode: PnCASResAuthorizationMode | None = one_of(
        'authorization mode',
        'PnC_ASResAuthorizationMode',
        'Plug & Charge is offered, with the challenge')


@declared(COMMON_MESSAGES, element='AuthorizationReq')
class AuthorizationReq(V2GRequest):
    """Ask for authorization by the chosen kind."""

    selected_authorization_service: Authorization = element(
        'SelectedAuthorizationService', 'chosen kind of authorization')
    eim_a_req_authorization_mode: EIMAReqAuthorizationMode | None = one_of(
        'authorization mode', 'EIM_AReqAuthorizationMode', 'external identification')
    pnc_a_req_authorization_mode: PnCAReqAuthorizationMode | None = one_of(
        'authorization mode', 'PnC_AReqAuthorizationMode', 'Plug & Charge; signed by its Id')


@declared(COMMON_MESSAGES, element='AuthorizationRes')
class AuthorizationRes(V2GResponse):
    """Whether the car is authorized yet."""

    evse_processing: Processing = element('EVSEProcessing', 'whether the station needs more time')


@declared(COMMON_MESSAGES, element='ServiceDiscoveryReq')
class ServiceDiscoveryReq(V2GRequest):
    """Ask for the services of the station."""

    supported_service_ids: ServiceIDList | None = optional(
        'SupportedServiceIDs', 'services the car can use')


@declared(COMMON_MESSAGES, element='ServiceDiscoveryRes')
class ServiceDiscoveryRes(V2GResponse):
    """Services and ways of payment of the station."""

    service_renegotiation_supported: bool = element(
        'ServiceRenegotiationSupported', 'services can be renegotiated during the session')
    energy_transfer_service_list: ServiceList = element(
        'EnergyTransferServiceList', 'energy services of the station')
    vas_list: ServiceList | None = optional('VASList', 'value-added services of the station')


@declared(COMMON_MESSAGES, element='ServiceDetailReq')
class ServiceDetailReq(V2GRequest):
    """Ask for the parameters of a service."""

    service_id: ServiceID = element('ServiceID', 'number of the service, 0 to 65535')


@declared(COMMON_MESSAGES, element='ServiceDetailRes')
class ServiceDetailRes(V2GResponse):
    """Parameters of a service."""

    service_id: ServiceID = element('ServiceID', 'number of the service, 0 to 65535')
    service_parameter_list: ServiceParameterList = element(
        'ServiceParameterList', 'parameter sets of the service')


@declared(COMMON_MESSAGES, element='ServiceSelectionReq')
class ServiceSelectionReq(V2GRequest):
    """Choose services and parameter sets."""

    selected_energy_transfer_service: SelectedService = element(
        'SelectedEnergyTransferService', 'chosen energy service and parameter set')
    selected_vas_list: SelectedServiceList | None = optional(
        'SelectedVASList', 'chosen value-added services')


@declared(COMMON_MESSAGES, element='ServiceSelectionRes')
class ServiceSelectionRes(V2GResponse):
    """Answer to ServiceSelectionReq."""


@declared(COMMON_MESSAGES, element='ScheduleExchangeReq')
class ScheduleExchangeReq(V2GRequest):
    """Wishes of the car about energy and time."""

    maximum_supporting_points: MaxSupportingPointsScheduleTuple = element(
        'MaximumSupportingPoints', 'schedule entries the car can store, 12 to 1024')
    dynamic_se_req_control_mode: DynamicSEReqControlMode | None = one_of(
        'control mode', 'Dynamic_SEReqControlMode', 'wishes of the car for dynamic control')
    scheduled_se_req_control_mode: ScheduledSEReqControlMode | None = one_of(
        'control mode', 'Scheduled_SEReqControlMode', 'wishes of the car for scheduled control')


@declared(COMMON_MESSAGES, element='ScheduleExchangeRes')
class ScheduleExchangeRes(V2GResponse):
    """Schedules or targets of the station."""

    evse_processing: Processing = element('EVSEProcessing', 'whether the station needs more time')
    go_to_pause: bool | None = optional('GoToPause', 'the station wants the car to pause')
    dynamic_se_res_control_mode: DynamicSEResControlMode | None = one_of(
        'control mode', 'Dynamic_SEResControlMode', 'targets for dynamic control')
    scheduled_se_res_control_mode: ScheduledSEResControlMode | None = one_of(
        'control mode', 'Scheduled_SEResControlMode', 'schedules for scheduled control')


@declared(COMMON_MESSAGES, element='PowerDeliveryReq')
class PowerDeliveryReq(V2GRequest):
    """Ask the station to switch power on or off."""

    ev_processing: Processing = element('EVProcessing', 'whether the car needs more time')
    charge_progress: ChargeProgress = element('ChargeProgress', 'what the car wants of the power')
    ev_power_profile: EVPowerProfile | None = optional(
        'EVPowerProfile', 'power the car plans to draw over time')
    bpt_channel_selection: ChannelSelection | None = optional(
        'BPT_ChannelSelection', 'charge or discharge, where these have separate channels')


@declared(COMMON_MESSAGES, element='PowerDeliveryRes')
class PowerDeliveryRes(V2GResponse):
    """Answer to PowerDeliveryReq."""

    evse_status: EVSEStatus | None = optional('EVSEStatus', 'state of the station')


@declared(COMMON_MESSAGES, element='MeteringConfirmationReq')
class MeteringConfirmationReq(V2GRequest):
    """Signed meter reading."""

    signed_metering_data: SignedMeteringData = element(
        'SignedMeteringData', 'meter reading; signed by its Id')


@declared(COMMON_MESSAGES, element='MeteringConfirmationRes')
class MeteringConfirmationRes(V2GResponse):
    """Answer to MeteringConfirmationReq."""


@declared(COMMON_MESSAGES, element='SessionStopReq')
class SessionStopReq(V2GRequest):
    """End the session."""

    charging_session: ChargingSession = element(
        'ChargingSession', 'pause, terminate or renegotiate the service')
    ev_termination_code: Name | None = optional(
        'EVTerminationCode', 'reason for the end, at most 80 characters')
    ev_termination_explanation: Description | None = optional(
        'EVTerminationExplanation', 'text about the end, at most 160 characters')


@declared(COMMON_MESSAGES, element='SessionStopRes')
class SessionStopRes(V2GResponse):
    """Answer to SessionStopReq."""


@declared(COMMON_MESSAGES, element='CertificateInstallationReq')
class CertificateInstallationReq(V2GRequest):
    """Ask for a contract certificate by the provisioning certificate."""

    oem_provisioning_certificate_chain: SignedCertificateChain = element(
        'OEMProvisioningCertificateChain',
        "the car's provisioning certificate chain; signed by its Id")
    list_of_root_certificate_ids: ListOfRootCertificateIDs = element(
        'ListOfRootCertificateIDs', 'root certificates the car has')
    maximum_contract_certificate_chains: UnsignedByte = element(
        'MaximumContractCertificateChains',
        'contract certificate chains the car can store now, 0 to 255')
    prioritized_emaids: EMAIDList | None = optional(
        'PrioritizedEMAIDs', 'contracts the car wants first')


@declared(COMMON_MESSAGES, element='CertificateInstallationRes')
class CertificateInstallationRes(V2GResponse):
    """Contract certificate and its encrypted key."""

    evse_processing: Processing = element('EVSEProcessing', 'whether the station needs more time')
    cps_certificate_chain: CertificateChain = element(
        'CPSCertificateChain', 'certificate chain of the certificate provisioning service')
    signed_installation_data: SignedInstallationData = element(
        'SignedInstallationData', 'contract certificate with its encrypted key; signed by its Id')
    remaining_contract_certificate_chains: UnsignedByte = element(
        'RemainingContractCertificateChains', 'chains still to be fetched, 0 to 255')


@declared(COMMON_MESSAGES, element='VehicleCheckInReq')
class VehicleCheckInReq(V2GRequest):
    """Check-in of the car at the parking space."""

    ev_check_in_status: EVCheckInStatus = element('EVCheckInStatus', 'progress of the check-in')
    parking_method: ParkingMethod = element('ParkingMethod', 'who parks the car, and how')
    vehicle_frame: Short | None = optional(
        'VehicleFrame', 'distance from the front of the car to its frame of reference')
    device_offset: Short | None = optional(
        'DeviceOffset', 'offset of the charging device on the car')
    vehicle_travel: Short | None = optional(
        'VehicleTravel', 'distance the car still has to travel')


@declared(COMMON_MESSAGES, element='VehicleCheckInRes')
class VehicleCheckInRes(V2GResponse):
    """Answer to VehicleCheckInReq."""

    parking_space: Short | None = optional('ParkingSpace', 'number of the parking space')
    device_location: Short | None = optional(
        'DeviceLocation', 'location of the charging device of the station')
    target_distance: Short | None = optional('TargetDistance', 'distance to the target position')


@declared(COMMON_MESSAGES, element='VehicleCheckOutReq')
class VehicleCheckOutReq(V2GRequest):
    """Check-out of the car from the parking space."""

    ev_check_out_status: EVCheckOutStatus = element(
        'EVCheckOutStatus', 'progress of the check-out')
    check_out_time: UnsignedLong = element(
        'CheckOutTime', 'time of departure, s since 1970-01-01 UTC')


@declared(COMMON_MESSAGES, element='VehicleCheckOutRes')
class VehicleCheckOutRes(V2GResponse):
    """Answer to VehicleCheckOutReq."""

    evse_check_out_status: EVSECheckOutStatus = element(
        'EVSECheckOutStatus', 'progress of the check-out at the station')


NAMESPACES = (COMMON_MESSAGES, COMMON_TYPES, xmldsig.XMLDSIG)
MESSAGES = tuple(cls for cls in COMMON_MESSAGES.classes if issubclass(cls, V2GMessage))
