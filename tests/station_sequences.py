"""What sessions by ISO 15118 consist of, in order."""

FIRST = ['SupportedAppProtocol', 'SessionSetup', 'ServiceDiscovery']
CHARGE = ['ChargeParameterDiscovery', 'CableCheck', 'PreCharge', 'PowerDelivery', 'CurrentDemand']
LAST = ['PowerDelivery', 'WeldingDetection', 'SessionStop']
FIRST_20 = ['SupportedAppProtocol', 'SessionSetup', 'AuthorizationSetup', 'Authorization',
            'ServiceDiscovery', 'ServiceDetail', 'ServiceSelection']
CHARGE_20 = ['DCChargeParameterDiscovery', 'ScheduleExchange', 'DCCableCheck', 'DCPreCharge',
             'PowerDelivery', 'DCChargeLoop']
LAST_20 = ['PowerDelivery', 'DCWeldingDetection', 'SessionStop']


def messages(record):
    """Return the names in the lines of a trace, repetitions left out."""
    names = [line['message'].removesuffix('Req').removesuffix('Res') for line in record.lines]
    return [name for index, name in enumerate(names) if not index or name != names[index - 1]]
