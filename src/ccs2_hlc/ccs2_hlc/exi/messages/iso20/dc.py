"""ISO 15118-20 DC: charging with direct current, both directions (payload type 0x8004)."""

from ...declare import (
    Element,
    Namespace,
    declared,
    element,
    optional,
)
from .. import xmldsig
from .types import (  # noqa: F401 - some are for users of this module only
    COMMON_TYPES,
    ChargeLoopReq,
    ChargeLoopRes,
    ChargeParameterDiscoveryReq,
    ChargeParameterDiscoveryRes,
    CLReqControlMode,
    CLResControlMode,
    DisplayParameters,
    DynamicCLReqControlMode,
    DynamicCLResControlMode,
    EVSENotification,
    EVSEStatus,
    MessageHeader,
    MeterInfo,
    PercentValue,
    Processing,
    RationalNumber,
    Receipt,
    ResponseCode,
    ScheduledCLReqControlMode,
    ScheduledCLResControlMode,
    V2GMessage,
    V2GRequest,
    V2GResponse,
)

DC = Namespace('urn:iso:std:iso:15118:-20:DC', qualified_attributes=True)


@declared(DC, element='DC_CPDReqEnergyTransferMode')
class DCCPDReqEnergyTransferMode(Element):
    """Limits of the car for charging."""

    ev_maximum_charge_power: RationalNumber = element(
        'EVMaximumChargePower', 'highest charging power the car takes, W')
    ev_minimum_charge_power: RationalNumber = element(
        'EVMinimumChargePower', 'lowest charging power the car takes, W')
    ev_maximum_charge_current: RationalNumber = element(
        'EVMaximumChargeCurrent', 'highest charging current the car takes, A')
    ev_minimum_charge_current: RationalNumber = element(
        'EVMinimumChargeCurrent', 'lowest charging current the car takes, A')
    ev_maximum_voltage: RationalNumber = element(
        'EVMaximumVoltage', 'highest voltage the car takes, V')
    ev_minimum_voltage: RationalNumber = element(
        'EVMinimumVoltage', 'lowest voltage the car takes, V')
    target_soc: PercentValue | None = optional(
        'TargetSOC', 'state of charge wanted at departure, %')


@declared(DC, element='BPT_DC_CPDReqEnergyTransferMode', head=DCCPDReqEnergyTransferMode)
class BPTDCCPDReqEnergyTransferMode(DCCPDReqEnergyTransferMode):
    """Limits of the car for charging and discharging."""

    ev_maximum_discharge_power: RationalNumber = element(
        'EVMaximumDischargePower', 'highest discharging power the car gives, W')
    ev_minimum_discharge_power: RationalNumber = element(
        'EVMinimumDischargePower', 'lowest discharging power the car gives, W')
    ev_maximum_discharge_current: RationalNumber = element(
        'EVMaximumDischargeCurrent', 'highest discharging current the car gives, A')
    ev_minimum_discharge_current: RationalNumber = element(
        'EVMinimumDischargeCurrent', 'lowest discharging current the car gives, A')


@declared(DC, element='DC_CPDResEnergyTransferMode')
class DCCPDResEnergyTransferMode(Element):
    """Limits of the station for charging."""

    evse_maximum_charge_power: RationalNumber = element(
        'EVSEMaximumChargePower', 'highest charging power the station supplies, W')
    evse_minimum_charge_power: RationalNumber = element(
        'EVSEMinimumChargePower', 'lowest charging power the station supplies, W')
    evse_maximum_charge_current: RationalNumber = element(
        'EVSEMaximumChargeCurrent', 'highest charging current the station supplies, A')
    evse_minimum_charge_current: RationalNumber = element(
        'EVSEMinimumChargeCurrent', 'lowest charging current the station supplies, A')
    evse_maximum_voltage: RationalNumber = element(
        'EVSEMaximumVoltage', 'highest voltage the station supplies, V')
    evse_minimum_voltage: RationalNumber = element(
        'EVSEMinimumVoltage', 'lowest voltage the station supplies, V')
    evse_power_ramp_limitation: RationalNumber | None = optional(
        'EVSEPowerRampLimitation', 'steepest change of power, W/s')


@declared(DC, element='BPT_DC_CPDResEnergyTransferMode', head=DCCPDResEnergyTransferMode)
class BPTDCCPDResEnergyTransferMode(DCCPDResEnergyTransferMode):
    """Limits of the station for charging and discharging."""

    evse_maximum_discharge_power: RationalNumber = element(
        'EVSEMaximumDischargePower', 'highest discharging power the station takes, W')
    evse_minimum_discharge_power: RationalNumber = element(
        'EVSEMinimumDischargePower', 'lowest discharging power the station takes, W')
    evse_maximum_discharge_current: RationalNumber = element(
        'EVSEMaximumDischargeCurrent', 'highest discharging current the station takes, A')
    evse_minimum_discharge_current: RationalNumber = element(
        'EVSEMinimumDischargeCurrent', 'lowest discharging current the station takes, A')


@declared(DC, element='Dynamic_DC_CLReqControlMode', head=CLReqControlMode)
class DynamicDCCLReqControlMode(DynamicCLReqControlMode):
    """Limits and wishes of the car, dynamic control."""

    ev_maximum_charge_power: RationalNumber = element(
        'EVMaximumChargePower', 'highest charging power the car takes, W')
    ev_minimum_charge_power: RationalNumber = element(
        'EVMinimumChargePower', 'lowest charging power the car takes, W')
    ev_maximum_charge_current: RationalNumber = element(
        'EVMaximumChargeCurrent', 'highest charging current the car takes, A')
    ev_maximum_voltage: RationalNumber = element(
        'EVMaximumVoltage', 'highest voltage the car takes, V')
    ev_minimum_voltage: RationalNumber = element(
        'EVMinimumVoltage', 'lowest voltage the car takes, V')


@declared(DC, element='BPT_Dynamic_DC_CLReqControlMode', head=DynamicDCCLReqControlMode)
class BPTDynamicDCCLReqControlMode(DynamicDCCLReqControlMode):
    """Dynamic control, both directions, request."""

    ev_maximum_discharge_power: RationalNumber = element(
        'EVMaximumDischargePower', 'highest discharging power the car gives, W')
    ev_minimum_discharge_power: RationalNumber = element(
        'EVMinimumDischargePower', 'lowest discharging power the car gives, W')
    ev_maximum_discharge_current: RationalNumber = element(
        'EVMaximumDischargeCurrent', 'highest discharging current the car gives, A')
    ev_maximum_v2x_energy_request: RationalNumber | None = optional(
        'EVMaximumV2XEnergyRequest', 'energy until cycling has to stop at the top, Wh')
    ev_minimum_v2x_energy_request: RationalNumber | None = optional(
        'EVMinimumV2XEnergyRequest', 'energy until cycling may start at the bottom, Wh')


@declared(DC, element='Dynamic_DC_CLResControlMode', head=CLResControlMode)
class DynamicDCCLResControlMode(DynamicCLResControlMode):
    """Limits of the station, dynamic control."""

    evse_maximum_charge_power: RationalNumber = element(
        'EVSEMaximumChargePower', 'highest charging power the station supplies, W')
    evse_minimum_charge_power: RationalNumber = element(
        'EVSEMinimumChargePower', 'lowest charging power the station supplies, W')
    evse_maximum_charge_current: RationalNumber = element(
        'EVSEMaximumChargeCurrent', 'highest charging current the station supplies, A')
    evse_maximum_voltage: RationalNumber = element(
        'EVSEMaximumVoltage', 'highest voltage the station supplies, V')


@declared(DC, element='BPT_Dynamic_DC_CLResControlMode', head=DynamicDCCLResControlMode)
class BPTDynamicDCCLResControlMode(DynamicDCCLResControlMode):
    """Dynamic control, both directions, answer."""

    evse_maximum_discharge_power: RationalNumber = element(
        'EVSEMaximumDischargePower', 'highest discharging power the station takes, W')
    evse_minimum_discharge_power: RationalNumber = element(
        'EVSEMinimumDischargePower', 'lowest discharging power the station takes, W')
    evse_maximum_discharge_current: RationalNumber = element(
        'EVSEMaximumDischargeCurrent', 'highest discharging current the station takes, A')
    evse_minimum_voltage: RationalNumber = element(
        'EVSEMinimumVoltage', 'lowest voltage the station supplies, V')


@declared(DC, element='Scheduled_DC_CLReqControlMode', head=CLReqControlMode)
class ScheduledDCCLReqControlMode(ScheduledCLReqControlMode):
    """Set-points and limits of the car, scheduled control."""

    ev_target_current: RationalNumber = element('EVTargetCurrent', 'current the car wants now, A')
    ev_target_voltage: RationalNumber = element('EVTargetVoltage', 'voltage the car wants now, V')
    ev_maximum_charge_power: RationalNumber | None = optional(
        'EVMaximumChargePower', 'highest charging power the car takes, W')
    ev_minimum_charge_power: RationalNumber | None = optional(
        'EVMinimumChargePower', 'lowest charging power the car takes, W')
    ev_maximum_charge_current: RationalNumber | None = optional(
        'EVMaximumChargeCurrent', 'highest charging current the car takes, A')
    ev_maximum_voltage: RationalNumber | None = optional(
        'EVMaximumVoltage', 'highest voltage the car takes, V')
    ev_minimum_voltage: RationalNumber | None = optional(
        'EVMinimumVoltage', 'lowest voltage the car takes, V')


@declared(DC, element='BPT_Scheduled_DC_CLReqControlMode', head=ScheduledDCCLReqControlMode)
class BPTScheduledDCCLReqControlMode(ScheduledDCCLReqControlMode):
    """Scheduled control, both directions, request."""

    ev_maximum_discharge_power: RationalNumber | None = optional(
        'EVMaximumDischargePower', 'highest discharging power the car gives, W')
    ev_minimum_discharge_power: RationalNumber | None = optional(
        'EVMinimumDischargePower', 'lowest discharging power the car gives, W')
    ev_maximum_discharge_current: RationalNumber | None = optional(
        'EVMaximumDischargeCurrent', 'highest discharging current the car gives, A')


@declared(DC, element='Scheduled_DC_CLResControlMode', head=CLResControlMode)
class ScheduledDCCLResControlMode(ScheduledCLResControlMode):
    """Limits of the station, scheduled control."""

    evse_maximum_charge_power: RationalNumber | None = optional(
        'EVSEMaximumChargePower', 'highest charging power the station supplies, W')
    evse_minimum_charge_power: RationalNumber | None = optional(
        'EVSEMinimumChargePower', 'lowest charging power the station supplies, W')
    evse_maximum_charge_current: RationalNumber | None = optional(
        'EVSEMaximumChargeCurrent', 'highest charging current the station supplies, A')
    evse_maximum_voltage: RationalNumber | None = optional(
        'EVSEMaximumVoltage', 'highest voltage the station supplies, V')


@declared(DC, element='BPT_Scheduled_DC_CLResControlMode', head=ScheduledDCCLResControlMode)
class BPTScheduledDCCLResControlMode(ScheduledDCCLResControlMode):
    """Scheduled control, both directions, answer."""

    evse_maximum_discharge_power: RationalNumber | None = optional(
        'EVSEMaximumDischargePower', 'highest discharging power the station takes, W')
    evse_minimum_discharge_power: RationalNumber | None = optional(
        'EVSEMinimumDischargePower', 'lowest discharging power the station takes, W')
    evse_maximum_discharge_current: RationalNumber | None = optional(
        'EVSEMaximumDischargeCurrent', 'highest discharging current the station takes, A')
    evse_minimum_voltage: RationalNumber | None = optional(
        'EVSEMinimumVoltage', 'lowest voltage the station supplies, V')


@declared(DC, element='DC_ChargeParameterDiscoveryReq')
class DCChargeParameterDiscoveryReq(ChargeParameterDiscoveryReq):
    """Limits of the car."""

    dc_cpd_req_energy_transfer_mode: DCCPDReqEnergyTransferMode = element(
        DCCPDReqEnergyTransferMode, 'limits of the car')


@declared(DC, element='DC_ChargeParameterDiscoveryRes')
class DCChargeParameterDiscoveryRes(ChargeParameterDiscoveryRes):
    """Limits of the station."""

    dc_cpd_res_energy_transfer_mode: DCCPDResEnergyTransferMode = element(
        DCCPDResEnergyTransferMode, 'limits of the station')


@declared(DC, element='DC_CableCheckReq')
class DCCableCheckReq(V2GRequest):
    """Ask for the isolation test of the cable; sent in a loop."""


@declared(DC, element='DC_CableCheckRes')
class DCCableCheckRes(V2GResponse):
    """State of the isolation test."""

    evse_processing: Processing = element('EVSEProcessing', 'whether the station needs more time')


@declared(DC, element='DC_PreChargeReq')
class DCPreChargeReq(V2GRequest):
    """Ask to match the voltage of the battery; sent in a loop."""

    ev_processing: Processing = element('EVProcessing', 'whether the car needs more time')
    ev_present_voltage: RationalNumber = element(
        'EVPresentVoltage', 'voltage at the inlet of the car, V')
    ev_target_voltage: RationalNumber = element('EVTargetVoltage', 'voltage the car wants now, V')


@declared(DC, element='DC_PreChargeRes')
class DCPreChargeRes(V2GResponse):
    """Voltage at the outlet."""

    evse_present_voltage: RationalNumber = element(
        'EVSEPresentVoltage', 'voltage at the outlet, V')


@declared(DC, element='DC_ChargeLoopReq')
class DCChargeLoopReq(ChargeLoopReq):
    """Set-points of the car; sent in a loop while charging."""

    ev_present_voltage: RationalNumber = element(
        'EVPresentVoltage', 'voltage at the inlet of the car, V')
    cl_req_control_mode: CLReqControlMode = element(
        CLReqControlMode, 'set-points and limits of the car, by control mode')


@declared(DC, element='DC_ChargeLoopRes')
class DCChargeLoopRes(ChargeLoopRes):
    """Measurements and limits of the station while charging."""

    evse_present_current: RationalNumber = element(
        'EVSEPresentCurrent', 'current at the outlet, A')
    evse_present_voltage: RationalNumber = element(
        'EVSEPresentVoltage', 'voltage at the outlet, V')
    evse_power_limit_achieved: bool = element(
        'EVSEPowerLimitAchieved', 'the station is at its power limit')
    evse_current_limit_achieved: bool = element(
        'EVSECurrentLimitAchieved', 'the station is at its current limit')
    evse_voltage_limit_achieved: bool = element(
        'EVSEVoltageLimitAchieved', 'the station is at its voltage limit')
    cl_res_control_mode: CLResControlMode = element(
        CLResControlMode, 'limits and targets of the station, by control mode')


@declared(DC, element='DC_WeldingDetectionReq')
class DCWeldingDetectionReq(V2GRequest):
    """Ask for the voltage while the car tests its contactors; sent in a loop."""

    ev_processing: Processing = element('EVProcessing', 'whether the car needs more time')


@declared(DC, element='DC_WeldingDetectionRes')
class DCWeldingDetectionRes(V2GResponse):
    """Voltage at the outlet while the car tests its contactors."""

    evse_present_voltage: RationalNumber = element(
        'EVSEPresentVoltage', 'voltage at the outlet, V')


NAMESPACES = (DC, COMMON_TYPES, xmldsig.XMLDSIG)
MESSAGES = tuple(cls for cls in DC.classes if issubclass(cls, V2GMessage))
