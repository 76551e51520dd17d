"""ISO 15118-20 ACDP: pantographs (payload type 0x8005)."""

from enum import Enum

from ...declare import (
    Element,
    Namespace,
    Short,
    declared,
    element,
    optional,
)
from .. import xmldsig
from .types import (  # noqa: F401 - some are for users of this module only
    COMMON_TYPES,
    DisplayParameters,
    EVSENotification,
    EVSEStatus,
    MessageHeader,
    MeterInfo,
    PercentValue,
    Processing,
    RationalNumber,
    Receipt,
    ResponseCode,
    V2GMessage,
    V2GRequest,
    V2GResponse,
)

ACDP = Namespace('urn:iso:std:iso:15118:-20:ACDP', qualified_attributes=True)


class CPStatus(Enum):
    """Pilot state."""

    STATE_A = 'StateA'
    STATE_B = 'StateB'
    STATE_C = 'StateC'
    STATE_D = 'StateD'
    STATE_E = 'StateE'


class ElectricalChargingDeviceStatus(Enum):
    """Pilot state."""

    STATE_A = 'State_A'
    STATE_B = 'State_B'
    STATE_C = 'State_C'
    STATE_D = 'State_D'


class ErrorCode(Enum):
    """Error of the car."""

    OK_NO_EV_ERROR = 'OK_NoEVError'
    FAILED = 'FAILED'
    FAILED_EMERGENCY_EVENT = 'FAILED_EmergencyEvent'
    FAILED_BREAKER = 'FAILED_Breaker'
    FAILED_RESS_TEMPERATURE_INHIBIT = 'FAILED_RESSTemperatureInhibit'
    FAILED_RESS = 'FAILED_RESS'
    FAILED_CHARGING_CURRENT_DIFFERENTIAL = 'FAILED_ChargingCurrentDifferential'
    FAILED_CHARGING_VOLTAGE_OUT_OF_RANGE = 'FAILED_ChargingVoltageOutOfRange'
    FAILED_RESERVED1 = 'FAILED_Reserved1'
    FAILED_RESERVED2 = 'FAILED_Reserved2'


class IsolationStatus(Enum):
    """Result of isolation monitoring."""

    INVALID = 'Invalid'
    SAFE = 'Safe'
    WARNING = 'Warning'
    FAULT = 'Fault'


class MechanicalChargingDeviceStatus(Enum):
    """Position of the pantograph."""

    HOME = 'Home'
    MOVING = 'Moving'
    END_POSITION = 'EndPosition'


@declared(ACDP)
class EVTechnicalStatus(Element):
    """Technical state of the car."""

    ev_ready_to_charge: bool = element('EVReadyToCharge', 'the car is ready to charge')
    ev_immobilization_request: bool = element(
        'EVImmobilizationRequest', 'the car is asked to immobilise itself')
    ev_immobilized: bool | None = optional('EVImmobilized', 'the car is immobilised')
    evwlan_strength: RationalNumber | None = optional(
        'EVWLANStrength', 'signal strength at the car, dBm')
    ev_cp_status: CPStatus | None = optional('EVCPStatus', 'pilot state the car sees')
    ev_soc: PercentValue | None = optional('EVSOC', 'state of charge, %')
    ev_error_code: ErrorCode | None = optional('EVErrorCode', 'error of the car')
    ev_timeout: bool | None = optional('EVTimeout', 'a timer of the car has run out')


@declared(ACDP, element='ACDP_VehiclePositioningReq')
class ACDPVehiclePositioningReq(V2GRequest):
    """Positioning of the car under the pantograph; sent in a loop."""

    ev_mobility_status: bool = element('EVMobilityStatus', 'the car can move')
    ev_positioning_support: bool = element('EVPositioningSupport', 'the car supports positioning')


@declared(ACDP, element='ACDP_VehiclePositioningRes')
class ACDPVehiclePositioningRes(V2GResponse):
    """Position of the car as the station sees it."""

    evse_processing: Processing = element('EVSEProcessing', 'whether the station needs more time')
    evse_positioning_support: bool = element(
        'EVSEPositioningSupport', 'the station supports positioning')
    ev_relative_x_deviation: Short = element(
        'EVRelativeXDeviation', 'deviation of the car along x')
    ev_relative_y_deviation: Short = element(
        'EVRelativeYDeviation', 'deviation of the car along y')
    contact_window_xc: Short = element('ContactWindowXc', 'size of the contact window along x')
    contact_window_yc: Short = element('ContactWindowYc', 'size of the contact window along y')
    ev_in_charge_position: bool = element(
        'EVInChargePosition', 'the car is in the charging position')


@declared(ACDP, element='ACDP_ConnectReq')
class ACDPConnectReq(V2GRequest):
    """Ask to lower the pantograph; sent in a loop."""

    ev_electrical_charging_device_status: ElectricalChargingDeviceStatus = element(
        'EVElectricalChargingDeviceStatus', 'pilot state the car sees')


@declared(ACDP, element='ACDP_DisconnectReq')
class ACDPDisconnectReq(ACDPConnectReq):
    """Ask to raise the pantograph; sent in a loop."""


@declared(ACDP, element='ACDP_ConnectRes')
class ACDPConnectRes(V2GResponse):
    """State of the pantograph while it is lowered."""

    evse_processing: Processing = element('EVSEProcessing', 'whether the station needs more time')
    evse_electrical_charging_device_status: ElectricalChargingDeviceStatus = element(
        'EVSEElectricalChargingDeviceStatus', 'pilot state the station sees')
    evse_mechanical_charging_device_status: MechanicalChargingDeviceStatus = element(
        'EVSEMechanicalChargingDeviceStatus', 'position of the pantograph')


@declared(ACDP, element='ACDP_DisconnectRes')
class ACDPDisconnectRes(ACDPConnectRes):
    """State of the pantograph while it is raised."""


@declared(ACDP, element='ACDP_SystemStatusReq')
class ACDPSystemStatusReq(V2GRequest):
    """State of the car under the pantograph."""

    ev_technical_status: EVTechnicalStatus = element(
        'EVTechnicalStatus', 'technical state of the car')


@declared(ACDP, element='ACDP_SystemStatusRes')
class ACDPSystemStatusRes(V2GResponse):
    """State of the pantograph and the station."""

    evse_mechanical_charging_device_status: MechanicalChargingDeviceStatus = element(
        'EVSEMechanicalChargingDeviceStatus', 'position of the pantograph')
    evse_ready_to_charge: bool = element('EVSEReadyToCharge', 'the station is ready to charge')
    evse_isolation_status: IsolationStatus = element(
        'EVSEIsolationStatus', 'result of isolation monitoring')
    evse_disabled: bool = element('EVSEDisabled', 'the station is out of service')
    evse_utility_interrupt_event: bool = element(
        'EVSEUtilityInterruptEvent', 'the grid operator has interrupted charging')
    evse_emergency_shutdown: bool = element(
        'EVSEEmergencyShutdown', 'the station is in emergency shutdown')
    evse_malfunction: bool = element('EVSEMalfunction', 'the station has a malfunction')
    ev_in_charge_position: bool = element(
        'EVInChargePosition', 'the car is in the charging position')
    ev_association_status: bool = element(
        'EVAssociationStatus', 'the car is associated with the station')


NAMESPACES = (ACDP, COMMON_TYPES, xmldsig.XMLDSIG)
MESSAGES = tuple(cls for cls in ACDP.classes if issubclass(cls, V2GMessage))
