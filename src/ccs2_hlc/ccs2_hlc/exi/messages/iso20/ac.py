"""ISO 15118-20 AC: charging with alternating current, both directions (payload type 0x8003)."""

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
    Processing,
    RationalNumber,
    Receipt,
    ResponseCode,
    ScheduledCLReqControlMode,
    ScheduledCLResControlMode,
    V2GMessage,
)

AC = Namespace('urn:iso:std:iso:15118:-20:AC', qualified_attributes=True)


@declared(AC, element='AC_CPDReqEnergyTransferMode')
class ACCPDReqEnergyTransferMode(Element):
    """Limits of the car for charging."""

    ev_maximum_charge_power: RationalNumber = element(
        'EVMaximumChargePower', 'highest charging power the car takes, W')
    ev_maximum_charge_power_l2: RationalNumber | None = optional(
        'EVMaximumChargePower_L2', 'highest charging power of the second phase of the car, W')
    ev_maximum_charge_power_l3: RationalNumber | None = optional(
        'EVMaximumChargePower_L3', 'highest charging power of the third phase of the car, W')
    ev_minimum_charge_power: RationalNumber = element(
        'EVMinimumChargePower', 'lowest charging power the car takes, W')
    ev_minimum_charge_power_l2: RationalNumber | None = optional(
        'EVMinimumChargePower_L2', 'lowest charging power of the second phase of the car, W')
    ev_minimum_charge_power_l3: RationalNumber | None = optional(
        'EVMinimumChargePower_L3', 'lowest charging power of the third phase of the car, W')


@declared(AC, element='AC_CPDResEnergyTransferMode')
class ACCPDResEnergyTransferMode(Element):
    """Limits of the station for charging."""

    evse_maximum_charge_power: RationalNumber = element(
        'EVSEMaximumChargePower', 'highest charging power the station supplies, W')
    evse_maximum_charge_power_l2: RationalNumber | None = optional(
        'EVSEMaximumChargePower_L2',
        'highest charging power of the second phase of the station, W')
    evse_maximum_charge_power_l3: RationalNumber | None = optional(
        'EVSEMaximumChargePower_L3', 'highest charging power of the third phase of the station, W')
    evse_minimum_charge_power: RationalNumber = element(
        'EVSEMinimumChargePower', 'lowest charging power the station supplies, W')
    evse_minimum_charge_power_l2: RationalNumber | None = optional(
        'EVSEMinimumChargePower_L2', 'lowest charging power of the second phase of the station, W')
    evse_minimum_charge_power_l3: RationalNumber | None = optional(
        'EVSEMinimumChargePower_L3', 'lowest charging power of the third phase of the station, W')
    evse_nominal_frequency: RationalNumber = element(
        'EVSENominalFrequency', 'nominal frequency of the grid, Hz')
    maximum_power_asymmetry: RationalNumber | None = optional(
        'MaximumPowerAsymmetry', 'highest difference of power among phases, W')
    evse_power_ramp_limitation: RationalNumber | None = optional(
        'EVSEPowerRampLimitation', 'steepest change of power, W/s')
    evse_present_active_power: RationalNumber | None = optional(
        'EVSEPresentActivePower', 'active power, W')
    evse_present_active_power_l2: RationalNumber | None = optional(
        'EVSEPresentActivePower_L2', 'active power of the second phase, W')
    evse_present_active_power_l3: RationalNumber | None = optional(
        'EVSEPresentActivePower_L3', 'active power of the third phase, W')


@declared(AC, element='BPT_AC_CPDReqEnergyTransferMode', head=ACCPDReqEnergyTransferMode)
class BPTACCPDReqEnergyTransferMode(ACCPDReqEnergyTransferMode):
    """Limits of the car for charging and discharging."""

    ev_maximum_discharge_power: RationalNumber = element(
        'EVMaximumDischargePower', 'highest discharging power the car gives, W')
    ev_maximum_discharge_power_l2: RationalNumber | None = optional(
        'EVMaximumDischargePower_L2',
        'highest discharging power of the second phase of the car, W')
    ev_maximum_discharge_power_l3: RationalNumber | None = optional(
        'EVMaximumDischargePower_L3', 'highest discharging power of the third phase of the car, W')
    ev_minimum_discharge_power: RationalNumber = element(
        'EVMinimumDischargePower', 'lowest discharging power the car gives, W')
    ev_minimum_discharge_power_l2: RationalNumber | None = optional(
        'EVMinimumDischargePower_L2', 'lowest discharging power of the second phase of the car, W')
    ev_minimum_discharge_power_l3: RationalNumber | None = optional(
        'EVMinimumDischargePower_L3', 'lowest discharging power of the third phase of the car, W')


@declared(AC, element='BPT_AC_CPDResEnergyTransferMode', head=ACCPDResEnergyTransferMode)
class BPTACCPDResEnergyTransferMode(ACCPDResEnergyTransferMode):
    """Limits of the station for charging and discharging."""

    evse_maximum_discharge_power: RationalNumber = element(
        'EVSEMaximumDischargePower', 'highest discharging power the station takes, W')
    evse_maximum_discharge_power_l2: RationalNumber | None = optional(
        'EVSEMaximumDischargePower_L2',
        'highest discharging power of the second phase of the station, W')
    evse_maximum_discharge_power_l3: RationalNumber | None = optional(
        'EVSEMaximumDischargePower_L3',
        'highest discharging power of the third phase of the station, W')
    evse_minimum_discharge_power: RationalNumber = element(
        'EVSEMinimumDischargePower', 'lowest discharging power the station takes, W')
    evse_minimum_discharge_power_l2: RationalNumber | None = optional(
        'EVSEMinimumDischargePower_L2',
        'lowest discharging power of the second phase of the station, W')
    evse_minimum_discharge_power_l3: RationalNumber | None = optional(
        'EVSEMinimumDischargePower_L3',
        'lowest discharging power of the third phase of the station, W')


@declared(AC, element='Dynamic_AC_CLReqControlMode', head=CLReqControlMode)
class DynamicACCLReqControlMode(DynamicCLReqControlMode):
    """State and limits of the car, dynamic control."""

    ev_maximum_charge_power: RationalNumber = element(
        'EVMaximumChargePower', 'highest charging power the car takes, W')
    ev_maximum_charge_power_l2: RationalNumber | None = optional(
        'EVMaximumChargePower_L2', 'highest charging power of the second phase of the car, W')
    ev_maximum_charge_power_l3: RationalNumber | None = optional(
        'EVMaximumChargePower_L3', 'highest charging power of the third phase of the car, W')
    ev_minimum_charge_power: RationalNumber = element(
        'EVMinimumChargePower', 'lowest charging power the car takes, W')
    ev_minimum_charge_power_l2: RationalNumber | None = optional(
        'EVMinimumChargePower_L2', 'lowest charging power of the second phase of the car, W')
    ev_minimum_charge_power_l3: RationalNumber | None = optional(
        'EVMinimumChargePower_L3', 'lowest charging power of the third phase of the car, W')
    ev_present_active_power: RationalNumber = element('EVPresentActivePower', 'active power, W')
    ev_present_active_power_l2: RationalNumber | None = optional(
        'EVPresentActivePower_L2', 'active power of the second phase, W')
    ev_present_active_power_l3: RationalNumber | None = optional(
        'EVPresentActivePower_L3', 'active power of the third phase, W')
    ev_present_reactive_power: RationalNumber = element(
        'EVPresentReactivePower', 'reactive power, var')
    ev_present_reactive_power_l2: RationalNumber | None = optional(
        'EVPresentReactivePower_L2', 'reactive power of the second phase, var')
    ev_present_reactive_power_l3: RationalNumber | None = optional(
        'EVPresentReactivePower_L3', 'reactive power of the third phase, var')


@declared(AC, element='BPT_Dynamic_AC_CLReqControlMode', head=DynamicACCLReqControlMode)
class BPTDynamicACCLReqControlMode(DynamicACCLReqControlMode):
    """Dynamic control, both directions, request."""

    ev_maximum_discharge_power: RationalNumber = element(
        'EVMaximumDischargePower', 'highest discharging power the car gives, W')
    ev_maximum_discharge_power_l2: RationalNumber | None = optional(
        'EVMaximumDischargePower_L2',
        'highest discharging power of the second phase of the car, W')
    ev_maximum_discharge_power_l3: RationalNumber | None = optional(
        'EVMaximumDischargePower_L3', 'highest discharging power of the third phase of the car, W')
    ev_minimum_discharge_power: RationalNumber = element(
        'EVMinimumDischargePower', 'lowest discharging power the car gives, W')
    ev_minimum_discharge_power_l2: RationalNumber | None = optional(
        'EVMinimumDischargePower_L2', 'lowest discharging power of the second phase of the car, W')
    ev_minimum_discharge_power_l3: RationalNumber | None = optional(
        'EVMinimumDischargePower_L3', 'lowest discharging power of the third phase of the car, W')
    ev_maximum_v2x_energy_request: RationalNumber | None = optional(
        'EVMaximumV2XEnergyRequest', 'energy until cycling has to stop at the top, Wh')
    ev_minimum_v2x_energy_request: RationalNumber | None = optional(
        'EVMinimumV2XEnergyRequest', 'energy until cycling may start at the bottom, Wh')


@declared(AC, element='Dynamic_AC_CLResControlMode', head=CLResControlMode)
class DynamicACCLResControlMode(DynamicCLResControlMode):
    """Targets of the station, dynamic control."""

    evse_target_active_power: RationalNumber = element(
        'EVSETargetActivePower', 'active power the station aims at, W')
    evse_target_active_power_l2: RationalNumber | None = optional(
        'EVSETargetActivePower_L2', 'active power the station aims at of the second phase, W')
    evse_target_active_power_l3: RationalNumber | None = optional(
        'EVSETargetActivePower_L3', 'active power the station aims at of the third phase, W')
    evse_target_reactive_power: RationalNumber | None = optional(
        'EVSETargetReactivePower', 'reactive power the station aims at, var')
    evse_target_reactive_power_l2: RationalNumber | None = optional(
        'EVSETargetReactivePower_L2',
        'reactive power the station aims at of the second phase, var')
    evse_target_reactive_power_l3: RationalNumber | None = optional(
        'EVSETargetReactivePower_L3', 'reactive power the station aims at of the third phase, var')
    evse_present_active_power: RationalNumber | None = optional(
        'EVSEPresentActivePower', 'active power, W')
    evse_present_active_power_l2: RationalNumber | None = optional(
        'EVSEPresentActivePower_L2', 'active power of the second phase, W')
    evse_present_active_power_l3: RationalNumber | None = optional(
        'EVSEPresentActivePower_L3', 'active power of the third phase, W')


@declared(AC, element='BPT_Dynamic_AC_CLResControlMode', head=DynamicACCLResControlMode)
class BPTDynamicACCLResControlMode(DynamicACCLResControlMode):
    """Dynamic control, both directions, answer."""


@declared(AC, element='Scheduled_AC_CLReqControlMode', head=CLReqControlMode)
class ScheduledACCLReqControlMode(ScheduledCLReqControlMode):
    """State and limits of the car, scheduled control."""

    ev_maximum_charge_power: RationalNumber | None = optional(
        'EVMaximumChargePower', 'highest charging power the car takes, W')
    ev_maximum_charge_power_l2: RationalNumber | None = optional(
        'EVMaximumChargePower_L2', 'highest charging power of the second phase of the car, W')
    ev_maximum_charge_power_l3: RationalNumber | None = optional(
        'EVMaximumChargePower_L3', 'highest charging power of the third phase of the car, W')
    ev_minimum_charge_power: RationalNumber | None = optional(
        'EVMinimumChargePower', 'lowest charging power the car takes, W')
    ev_minimum_charge_power_l2: RationalNumber | None = optional(
        'EVMinimumChargePower_L2', 'lowest charging power of the second phase of the car, W')
    ev_minimum_charge_power_l3: RationalNumber | None = optional(
        'EVMinimumChargePower_L3', 'lowest charging power of the third phase of the car, W')
    ev_present_active_power: RationalNumber = element('EVPresentActivePower', 'active power, W')
    ev_present_active_power_l2: RationalNumber | None = optional(
        'EVPresentActivePower_L2', 'active power of the second phase, W')
    ev_present_active_power_l3: RationalNumber | None = optional(
        'EVPresentActivePower_L3', 'active power of the third phase, W')
    ev_present_reactive_power: RationalNumber | None = optional(
        'EVPresentReactivePower', 'reactive power, var')
    ev_present_reactive_power_l2: RationalNumber | None = optional(
        'EVPresentReactivePower_L2', 'reactive power of the second phase, var')
    ev_present_reactive_power_l3: RationalNumber | None = optional(
        'EVPresentReactivePower_L3', 'reactive power of the third phase, var')


@declared(AC, element='BPT_Scheduled_AC_CLReqControlMode', head=ScheduledACCLReqControlMode)
class BPTScheduledACCLReqControlMode(ScheduledACCLReqControlMode):
    """Scheduled control, both directions, request."""

    ev_maximum_discharge_power: RationalNumber | None = optional(
        'EVMaximumDischargePower', 'highest discharging power the car gives, W')
    ev_maximum_discharge_power_l2: RationalNumber | None = optional(
        'EVMaximumDischargePower_L2',
        'highest discharging power of the second phase of the car, W')
    ev_maximum_discharge_power_l3: RationalNumber | None = optional(
        'EVMaximumDischargePower_L3', 'highest discharging power of the third phase of the car, W')
    ev_minimum_discharge_power: RationalNumber | None = optional(
        'EVMinimumDischargePower', 'lowest discharging power the car gives, W')
    ev_minimum_discharge_power_l2: RationalNumber | None = optional(
        'EVMinimumDischargePower_L2', 'lowest discharging power of the second phase of the car, W')
    ev_minimum_discharge_power_l3: RationalNumber | None = optional(
        'EVMinimumDischargePower_L3', 'lowest discharging power of the third phase of the car, W')


@declared(AC, element='Scheduled_AC_CLResControlMode', head=CLResControlMode)
class ScheduledACCLResControlMode(ScheduledCLResControlMode):
    """Targets of the station, scheduled control."""

    evse_target_active_power: RationalNumber | None = optional(
        'EVSETargetActivePower', 'active power the station aims at, W')
    evse_target_active_power_l2: RationalNumber | None = optional(
        'EVSETargetActivePower_L2', 'active power the station aims at of the second phase, W')
    evse_target_active_power_l3: RationalNumber | None = optional(
        'EVSETargetActivePower_L3', 'active power the station aims at of the third phase, W')
    evse_target_reactive_power: RationalNumber | None = optional(
        'EVSETargetReactivePower', 'reactive power the station aims at, var')
    evse_target_reactive_power_l2: RationalNumber | None = optional(
        'EVSETargetReactivePower_L2',
        'reactive power the station aims at of the second phase, var')
    evse_target_reactive_power_l3: RationalNumber | None = optional(
        'EVSETargetReactivePower_L3', 'reactive power the station aims at of the third phase, var')
    evse_present_active_power: RationalNumber | None = optional(
        'EVSEPresentActivePower', 'active power, W')
    evse_present_active_power_l2: RationalNumber | None = optional(
        'EVSEPresentActivePower_L2', 'active power of the second phase, W')
    evse_present_active_power_l3: RationalNumber | None = optional(
        'EVSEPresentActivePower_L3', 'active power of the third phase, W')


@declared(AC, element='BPT_Scheduled_AC_CLResControlMode', head=ScheduledACCLResControlMode)
class BPTScheduledACCLResControlMode(ScheduledACCLResControlMode):
    """Scheduled control, both directions, answer."""


@declared(AC, element='AC_ChargeParameterDiscoveryReq')
class ACChargeParameterDiscoveryReq(ChargeParameterDiscoveryReq):
    """Limits of the car."""

    ac_cpd_req_energy_transfer_mode: ACCPDReqEnergyTransferMode = element(
        ACCPDReqEnergyTransferMode, 'limits of the car')


@declared(AC, element='AC_ChargeParameterDiscoveryRes')
class ACChargeParameterDiscoveryRes(ChargeParameterDiscoveryRes):
    """Limits of the station."""

    ac_cpd_res_energy_transfer_mode: ACCPDResEnergyTransferMode = element(
        ACCPDResEnergyTransferMode, 'limits of the station')


@declared(AC, element='AC_ChargeLoopReq')
class ACChargeLoopReq(ChargeLoopReq):
    """State of the car; sent in a loop while charging."""

    cl_req_control_mode: CLReqControlMode = element(
        CLReqControlMode, 'set-points and limits of the car, by control mode')


@declared(AC, element='AC_ChargeLoopRes')
class ACChargeLoopRes(ChargeLoopRes):
    """Limits and targets of the station while charging."""

    evse_target_frequency: RationalNumber | None = optional(
        'EVSETargetFrequency', 'frequency the station aims at, Hz')
    cl_res_control_mode: CLResControlMode = element(
        CLResControlMode, 'limits and targets of the station, by control mode')


NAMESPACES = (AC, COMMON_TYPES, xmldsig.XMLDSIG)
MESSAGES = tuple(cls for cls in AC.classes if issubclass(cls, V2GMessage))
