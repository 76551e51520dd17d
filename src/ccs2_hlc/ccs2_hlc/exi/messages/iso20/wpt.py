"""ISO 15118-20 WPT: wireless power transfer (payload type 0x8006)."""

from enum import Enum
from typing import Annotated

from ...declare import (
    Element,
    Namespace,
    Octets,
    Short,
    Text,
    UnsignedByte,
    UnsignedShort,
    any_number,
    declared,
    element,
    elements,
    one_of,
    optional,
)
from .. import xmldsig
from .types import (  # noqa: F401 - some are for users of this module only
    COMMON_TYPES,
    ChargeLoopReq,
    ChargeLoopRes,
    ChargeParameterDiscoveryReq,
    ChargeParameterDiscoveryRes,
    DisplayParameters,
    EVSENotification,
    EVSEStatus,
    Identifier,
    MessageHeader,
    MeterInfo,
    NumericID,
    Processing,
    RationalNumber,
    Receipt,
    ResponseCode,
    V2GMessage,
    V2GRequest,
    V2GResponse,
)

WPT = Namespace('urn:iso:std:iso:15118:-20:WPT', qualified_attributes=True)

BSSID = Annotated[str, Text(max_length=12)]
IPAddress = Annotated[str, Text(max_length=39)]
WPTDataContainer = Annotated[bytes, Octets(max_length=256)]


class WPTAlignmentCheckMethod(Enum):
    """Alignment check method."""

    POWER_CHECK = 'PowerCheck'
    LPE = 'LPE'
    PROPRIETARY = 'Proprietary'


class WPTEVPCChargeDiagnostics(Enum):
    """State of the car device."""

    EVPC_NO_ISSUE = 'EVPCNoIssue'
    EVPC_TEMP_OVERHEAT_DETECTED = 'EVPCTempOverheatDetected'
    EVPC_POWER_TRANSFER_ANOMALY_DETECTED = 'EVPCPowerTransferAnomalyDetected'
    EVPC_ANOMALY_DETECTED = 'EVPCAnomalyDetected'


class WPTEVResult(Enum):
    """Result at the car."""

    EV_RESULT_UNKNOWN = 'EVResultUnknown'
    EV_RESULT_SUCCESS = 'EVResultSuccess'
    EV_RESULT_FAILED = 'EVResultFailed'


class WPTFinePositioningMethod(Enum):
    """Fine positioning method."""

    MANUAL = 'Manual'
    LF_TX_EV = 'LF_TxEV'
    LF_TX_PRIMARY_DEVICE = 'LF_TxPrimaryDevice'
    LPE = 'LPE'
    PROPRIETARY = 'Proprietary'


class WPTPairingMethod(Enum):
    """Pairing method."""

    EXTERNAL_CONFIRMATION = 'External confirmation'
    LPE = 'LPE'
    LF_TX_EV = 'LF_TxEV'
    LF_TX_PRIMARY_DEVICE = 'LF_TxPrimaryDevice'
    OPTICAL = 'Optical'
    PROPRIETARY = 'Proprietary'


class WPTPowerClass(Enum):
    """Power class."""

    MF_WPT_1 = 'MF-WPT1'
    MF_WPT_2 = 'MF-WPT2'
    MF_WPT_3 = 'MF-WPT3'
    MF_WPT_4 = 'MF-WPT4'


class WPTSPCChargeDiagnostics(Enum):
    """State of the supply device."""

    SPC_NO_ISSUE = 'SPCNoIssue'
    SPC_FOD_DETECTED = 'SPCFODDetected'
    SPC_LOP_DETECTED = 'SPCLOPDetected'
    SPC_TEMP_OVERHEAT_DETECTED = 'SPCTempOverheatDetected'
    SPC_POWER_TRANSFER_ANOMALY_DETECTED = 'SPCPowerTransferAnomalyDetected'
    SPC_ANOMALY_DETECTED = 'SPCAnomalyDetected'


@declared(WPT)
class AlternativeSECC(Element):
    """How another station is reached."""

    ssid: Identifier | None = optional(
        'SSID', 'name of the wireless network, at most 255 characters')
    bssid: BSSID | None = optional(
        'BSSID', 'hardware address of the access point, 12 characters at most')
    ip_address: IPAddress | None = optional(
        'IPAddress', 'address of the station, at most 39 characters')
    port: UnsignedShort | None = optional('Port', 'TCP port of the station')


@declared(WPT)
class AlternativeSECCList(Element):
    """Other stations that may be meant."""

    alternative_secc: list[AlternativeSECC] = elements(
        'AlternativeSECC', 'other stations', at_most=8)


@declared(WPT)
class WPTAlignmentCheckMethodList(Element):
    """Alignment check methods."""

    wpt_alignment_check_method: list[WPTAlignmentCheckMethod] = elements(
        'WPT_AlignmentCheckMethod', 'methods, the preferred first', at_most=8)


@declared(WPT)
class WPTCoordinateXYZ(Element):
    """Coordinates."""

    coord_x: Short = element('Coord_X', 'x')
    coord_y: Short = element('Coord_Y', 'y')
    coord_z: Short = element('Coord_Z', 'z')


@declared(WPT)
class WPTEVPCPowerControlParameter(Element):
    """Parameters of power control at the car."""

    evpc_coil_current_request: RationalNumber = element(
        'EVPCCoilCurrentRequest', 'coil current the car wants, A')
    evpc_coil_current_information: RationalNumber = element(
        'EVPCCoilCurrentInformation', 'coil current at the car, A')
    evpc_current_output_information: RationalNumber = element(
        'EVPCCurrentOutputInformation', 'output current at the car, A')
    evpc_voltage_output_information: RationalNumber = element(
        'EVPCVoltageOutputInformation', 'output voltage at the car, V')


@declared(WPT)
class WPTFinePositioningMethodList(Element):
    """Fine positioning methods."""

    wpt_fine_positioning_method: list[WPTFinePositioningMethod] = elements(
        'WPT_FinePositioningMethod', 'methods, the preferred first', at_most=8)


@declared(WPT)
class WPTLFTxData(Element):
    """Radiated power of a transmitter."""

    tx_identifier: NumericID = element('TxIdentifier', 'number of the transmitter, from 1')
    eirp: RationalNumber = element('EIRP', 'equivalent isotropic radiated power, dBm')


@declared(WPT)
class WPTLFTxDataList(Element):
    """Data of a transmitter."""

    wpt_lf_tx_data_list: WPTLFTxData = element('WPT_LF_TxDataList', 'data of the transmitter')


@declared(WPT)
class WPTLFRxRSSI(Element):
    """Signal strength of one transmitter."""

    tx_identifier: NumericID = element('TxIdentifier', 'number of the transmitter, from 1')
    rssi: RationalNumber = element('RSSI', 'received signal strength, dBm')


@declared(WPT)
class WPTLFRxRSSIList(Element):
    """Signal strengths."""

    rssi_data_list: WPTLFRxRSSI = element('RSSIDataList', 'signal strength')


@declared(WPT)
class WPTLFRxData(Element):
    """Signal strengths at a receiver."""

    rx_identifier: NumericID = element('RxIdentifier', 'number of the receiver, from 1')
    rssi_data: WPTLFRxRSSIList = element('RSSIData', 'signal strengths')


@declared(WPT)
class WPTLFRxDataList(Element):
    """Data of a receiver."""

    wpt_lf_rx_data_list: WPTLFRxData = element('WPT_LF_RxDataList', 'data of the receiver')


@declared(WPT)
class WPTLFDataPackage(Element):
    """Data of the low-frequency positioning system."""

    package_index: UnsignedByte = element('PackageIndex', 'number of the package, 0 to 255')
    lf_tx_data: WPTLFTxDataList | None = one_of('data', 'LF_TxData', 'data of the transmitter')
    lf_rx_data: WPTLFRxDataList | None = one_of('data', 'LF_RxData', 'data of the receiver')


@declared(WPT)
class WPTLFDataPackageList(Element):
    """Packages of the low-frequency positioning system."""

    num_packages: UnsignedByte = element('NumPackages', 'number of packages, 0 to 255')
    wpt_lf_data_package: WPTLFDataPackage = element('WPT_LF_DataPackage', 'package')


@declared(WPT)
class WPTTxRxSpecData(Element):
    """Position and orientation of an antenna."""

    tx_rx_identifier: NumericID = element('TxRxIdentifier', 'number of the antenna, from 1')
    tx_rx_position: WPTCoordinateXYZ = element('TxRxPosition', 'position of the antenna')
    tx_rx_orientation: WPTCoordinateXYZ = element('TxRxOrientation', 'orientation of the antenna')


@declared(WPT)
class WPTLFReceiverData(Element):
    """Receivers of the low-frequency positioning system."""

    number_of_receivers: UnsignedByte = element('NumberOfReceivers', 'number of receivers')
    rx_spec_data: list[WPTTxRxSpecData] = elements(
        'RxSpecData', 'receivers', at_least=2, at_most=255)


@declared(WPT)
class WPTTxRxPulseOrder(Element):
    """Place of an antenna in the pulse sequence."""

    index_number: UnsignedShort = element('IndexNumber', 'place in the order')
    tx_rx_identifier: NumericID = element('TxRxIdentifier', 'number of the antenna, from 1')


@declared(WPT)
class WPTTxRxPackageSpecData(Element):
    """Structure of the packages."""

    pulse_sequence_order: list[WPTTxRxPulseOrder] = elements(
        'PulseSequenceOrder', 'order in which antennas send', at_least=2, at_most=255)
    pulse_separation_time: UnsignedShort = element('PulseSeparationTime', 'time between pulses')
    pulse_duration: UnsignedShort = element('PulseDuration', 'duration of a pulse')
    package_separation_time: UnsignedShort = element(
        'PackageSeparationTime', 'time between packages')


@declared(WPT)
class WPTLFTransmitterData(Element):
    """Transmitters of the low-frequency positioning system."""

    number_of_transmitters: UnsignedByte = element(
        'NumberOfTransmitters', 'number of transmitters')
    signal_frequency: RationalNumber = element('SignalFrequency', 'frequency of the signal, Hz')
    tx_spec_data: list[WPTTxRxSpecData] = elements(
        'TxSpecData', 'transmitters', at_least=2, at_most=255)
    tx_package_spec_data: WPTTxRxPackageSpecData | None = optional(
        'TxPackageSpecData', 'structure of the packages')


@declared(WPT)
class WPTLFSystemSetupData(Element):
    """Set-up of the low-frequency positioning system."""

    lf_transmitter_setup_data: WPTLFTransmitterData | None = one_of(
        'data', 'LF_TransmitterSetupData', 'set-up of the transmitters')
    lf_receiver_setup_data: WPTLFReceiverData | None = one_of(
        'data', 'LF_ReceiverSetupData', 'set-up of the receivers')


@declared(WPT)
class WPTPairingMethodList(Element):
    """Pairing methods."""

    wpt_pairing_method: list[WPTPairingMethod] = elements(
        'WPT_PairingMethod', 'methods, the preferred first', at_most=8)


@declared(WPT)
class WPTSPCPowerControlParameter(Element):
    """Parameters of power control at the station."""

    spc_primary_device_coil_current_information: RationalNumber = element(
        'SPCPrimaryDeviceCoilCurrentInformation', 'coil current of the primary device, A')


@declared(WPT, element='WPT_FinePositioningSetupReq')
class WPTFinePositioningSetupReq(V2GRequest):
    """Positioning methods of the car."""

    ev_processing: Processing = element('EVProcessing', 'whether the car needs more time')
    ev_device_fine_positioning_method_list: WPTFinePositioningMethodList = element(
        'EVDeviceFinePositioningMethodList', 'fine positioning methods of the car')
    ev_device_pairing_method_list: WPTPairingMethodList = element(
        'EVDevicePairingMethodList', 'pairing methods of the car')
    ev_device_alignment_check_method_list: WPTAlignmentCheckMethodList = element(
        'EVDeviceAlignmentCheckMethodList', 'alignment check methods of the car')
    natural_offset: UnsignedShort = element('NaturalOffset', 'natural offset of the coils')
    vendor_specific_data_container: list[WPTDataContainer] = any_number(
        'VendorSpecificDataContainer', 'vendor data, at most 256 octets each', at_most=16)
    lf_system_setup_data: WPTLFSystemSetupData | None = optional(
        'LF_SystemSetupData', 'set-up of the low-frequency positioning system')


@declared(WPT, element='WPT_FinePositioningSetupRes')
class WPTFinePositioningSetupRes(V2GResponse):
    """Positioning methods of the station."""

    primary_device_fine_positioning_method_list: WPTFinePositioningMethodList = element(
        'PrimaryDeviceFinePositioningMethodList', 'fine positioning methods of the station')
    primary_device_pairing_method_list: WPTPairingMethodList = element(
        'PrimaryDevicePairingMethodList', 'pairing methods of the station')
    primary_device_alignment_check_method_list: WPTAlignmentCheckMethodList = element(
        'PrimaryDeviceAlignmentCheckMethodList', 'alignment check methods of the station')
    natural_offset: UnsignedShort = element('NaturalOffset', 'natural offset of the coils')
    vendor_specific_data_container: list[WPTDataContainer] = any_number(
        'VendorSpecificDataContainer', 'vendor data, at most 256 octets each', at_most=16)
    lf_system_setup_data: WPTLFSystemSetupData | None = optional(
        'LF_SystemSetupData', 'set-up of the low-frequency positioning system')


@declared(WPT, element='WPT_FinePositioningReq')
class WPTFinePositioningReq(V2GRequest):
    """Fine positioning of the car; sent in a loop."""

    ev_processing: Processing = element('EVProcessing', 'whether the car needs more time')
    ev_result_code: WPTEVResult = element('EVResultCode', 'result at the car')
    vendor_specific_data_container: list[WPTDataContainer] = any_number(
        'VendorSpecificDataContainer', 'vendor data, at most 256 octets each', at_most=16)
    wpt_lf_data_package_list: WPTLFDataPackageList | None = optional(
        'WPT_LF_DataPackageList', 'data of the low-frequency positioning system')


@declared(WPT, element='WPT_FinePositioningRes')
class WPTFinePositioningRes(V2GResponse):
    """Answer to WPT_FinePositioningReq."""

    evse_processing: Processing = element('EVSEProcessing', 'whether the station needs more time')
    vendor_specific_data_container: list[WPTDataContainer] = any_number(
        'VendorSpecificDataContainer', 'vendor data, at most 256 octets each', at_most=16)
    wpt_lf_data_package_list: WPTLFDataPackageList | None = optional(
        'WPT_LF_DataPackageList', 'data of the low-frequency positioning system')


@declared(WPT, element='WPT_PairingReq')
class WPTPairingReq(V2GRequest):
    """Pairing of car and station; sent in a loop."""

    ev_processing: Processing = element('EVProcessing', 'whether the car needs more time')
    observed_id_code: NumericID | None = optional(
        'ObservedIDCode', 'identification code observed while pairing, from 1')
    ev_result_code: WPTEVResult = element('EVResultCode', 'result at the car')
    vendor_specific_data_container: list[WPTDataContainer] = any_number(
        'VendorSpecificDataContainer', 'vendor data, at most 256 octets each', at_most=16)


@declared(WPT, element='WPT_PairingRes')
class WPTPairingRes(V2GResponse):
    """Answer to WPT_PairingReq."""

    evse_processing: Processing = element('EVSEProcessing', 'whether the station needs more time')
    observed_id_code: NumericID | None = optional(
        'ObservedIDCode', 'identification code observed while pairing, from 1')
    alternative_secc_list: AlternativeSECCList | None = optional(
        'AlternativeSECCList', 'other stations that may be meant')
    vendor_specific_data_container: list[WPTDataContainer] = any_number(
        'VendorSpecificDataContainer', 'vendor data, at most 256 octets each', at_most=16)


@declared(WPT, element='WPT_ChargeParameterDiscoveryReq')
class WPTChargeParameterDiscoveryReq(ChargeParameterDiscoveryReq):
    """Limits of the car."""

    evpc_max_receivable_power: RationalNumber = element(
        'EVPCMaxReceivablePower', 'highest power the car receives, W')
    sd_max_ground_clearence: UnsignedShort = element(
        'SDMaxGroundClearence', 'highest ground clearance, mm')
    sd_min_ground_clearence: UnsignedShort = element(
        'SDMinGroundClearence', 'lowest ground clearance, mm')
    evpc_natural_frequency: RationalNumber = element(
        'EVPCNaturalFrequency', 'natural frequency of the car coil, Hz')
    evpc_device_local_control: bool = element(
        'EVPCDeviceLocalControl', 'the car controls its device itself')
    vendor_specific_data_container: list[WPTDataContainer] = any_number(
        'VendorSpecificDataContainer', 'vendor data, at most 256 octets each', at_most=16)


@declared(WPT, element='WPT_ChargeParameterDiscoveryRes')
class WPTChargeParameterDiscoveryRes(ChargeParameterDiscoveryRes):
    """Limits of the station."""

    pd_input_power_class: WPTPowerClass = element(
        'PDInputPowerClass', 'power class of the primary device')
    sd_min_output_power: RationalNumber = element(
        'SDMinOutputPower', 'lowest output power of the supply device, W')
    sd_max_output_power: RationalNumber = element(
        'SDMaxOutputPower', 'highest output power of the supply device, W')
    sd_max_ground_clearance_support: UnsignedShort = element(
        'SDMaxGroundClearanceSupport', 'highest ground clearance supported, mm')
    sd_min_ground_clearance_support: UnsignedShort = element(
        'SDMinGroundClearanceSupport', 'lowest ground clearance supported, mm')
    pd_min_coil_current: RationalNumber = element(
        'PDMinCoilCurrent', 'lowest coil current of the primary device, A')
    pd_max_coil_current: RationalNumber = element(
        'PDMaxCoilCurrent', 'highest coil current of the primary device, A')
    sd_manufacturer_specific_data_container: list[WPTDataContainer] = any_number(
        'SDManufacturerSpecificDataContainer',
        'manufacturer data of the supply device',
        at_most=16)


@declared(WPT, element='WPT_AlignmentCheckReq')
class WPTAlignmentCheckReq(V2GRequest):
    """Check of the alignment; sent in a loop."""

    ev_processing: Processing = element('EVProcessing', 'whether the car needs more time')
    target_coil_current: RationalNumber | None = optional(
        'TargetCoilCurrent', 'coil current the car wants, A')
    ev_result_code: WPTEVResult = element('EVResultCode', 'result at the car')
    vendor_specific_data_container: list[WPTDataContainer] = any_number(
        'VendorSpecificDataContainer', 'vendor data, at most 256 octets each', at_most=16)


@declared(WPT, element='WPT_AlignmentCheckRes')
class WPTAlignmentCheckRes(V2GResponse):
    """Answer to WPT_AlignmentCheckReq."""

    evse_processing: Processing = element('EVSEProcessing', 'whether the station needs more time')
    power_transmitted: RationalNumber | None = optional('PowerTransmitted', 'power transmitted, W')
    supply_device_current: RationalNumber | None = optional(
        'SupplyDeviceCurrent', 'current of the supply device, A')
    vendor_specific_data_container: list[WPTDataContainer] = any_number(
        'VendorSpecificDataContainer', 'vendor data, at most 256 octets each', at_most=16)


@declared(WPT, element='WPT_ChargeLoopReq')
class WPTChargeLoopReq(ChargeLoopReq):
    """Power the car wants; sent in a loop while charging."""

    evpc_power_request: RationalNumber = element('EVPCPowerRequest', 'power the car wants, W')
    evpc_power_output: RationalNumber = element('EVPCPowerOutput', 'power the car receives, W')
    evpc_charge_diagnostics: WPTEVPCChargeDiagnostics = element(
        'EVPCChargeDiagnostics', 'state of the car device')
    evpc_operating_frequency: RationalNumber | None = optional(
        'EVPCOperatingFrequency', 'operating frequency at the car, Hz')
    evpc_power_control_parameter: WPTEVPCPowerControlParameter | None = optional(
        'EVPCPowerControlParameter', 'parameters of power control at the car')
    manufacturer_specific_data_container: list[WPTDataContainer] = any_number(
        'ManufacturerSpecificDataContainer',
        'manufacturer data, at most 256 octets each',
        at_most=16)


@declared(WPT, element='WPT_ChargeLoopRes')
class WPTChargeLoopRes(ChargeLoopRes):
    """Limits of the station while charging."""

    evpc_power_request: RationalNumber = element('EVPCPowerRequest', 'power the car wants, W')
    sd_power_input: RationalNumber | None = optional(
        'SDPowerInput', 'input power of the supply device, W')
    spc_max_output_power_limit: RationalNumber = element(
        'SPCMaxOutputPowerLimit', 'highest output power, W')
    spc_min_output_power_limit: RationalNumber = element(
        'SPCMinOutputPowerLimit', 'lowest output power, W')
    spc_charge_diagnostics: WPTSPCChargeDiagnostics = element(
        'SPCChargeDiagnostics', 'state of the supply device')
    spc_operating_frequency: RationalNumber | None = optional(
        'SPCOperatingFrequency', 'operating frequency of the supply device, Hz')
    spc_power_control_parameter: WPTSPCPowerControlParameter | None = optional(
        'SPCPowerControlParameter', 'parameters of power control at the station')
    manufacturer_specific_data_container: list[WPTDataContainer] = any_number(
        'ManufacturerSpecificDataContainer',
        'manufacturer data, at most 256 octets each',
        at_most=16)


NAMESPACES = (WPT, COMMON_TYPES, xmldsig.XMLDSIG)
MESSAGES = tuple(cls for cls in WPT.classes if issubclass(cls, V2GMessage))
