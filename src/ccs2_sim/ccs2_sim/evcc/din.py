"""The car's side of DIN SPEC 70121 (DC, external payment, plain TCP)."""

from __future__ import annotations

import math
from dataclasses import replace

from ccs2_hlc.exi.declare import Element
from ccs2_hlc.exi.messages import din
from ccs2_hlc.exi.messages.din import Unit
from ccs2_sim.evcc.engine import END, Engine, Span, Step
from ccs2_sim.evcc.outcome import Ended, ErrorCode
from ccs2_sim.evcc.vehicle import CarSettings

#: Pre-charge is complete below this difference, V (IEC 61851-23 CC.5.2).
PRE_CHARGE_TOLERANCE = 20.0
#: The car opens its contactors below this current, A.
OPENING_CURRENT = 1.0
#: A station that does not bring the current down within this time is left anyway, s.
RAMP_PATIENCE = 6.0
#: The inlet is regarded as discharged below this, V.
SAFE_VOLTAGE = 60.0
#: WeldingDetectionReq until the voltage is safe; the car goes on after as many.
MOST_WELDING_CHECKS = 10
#: The station's voltage or current may be over the car's limits by this share and no more.
EXCESS = 1.05
#: Message timeout of the car in the charge loop, s; 2 s in all other steps.
CURRENT_DEMAND_TIMEOUT = 0.25
#: Timers over several messages, s (DIN 70121 table 75).
COMMUNICATION_SETUP_TIMEOUT = 20.0
READY_TO_CHARGE_TIMEOUT = 150.0
CABLE_CHECK_TIMEOUT = 40.0
PRE_CHARGE_TIMEOUT = 7.0

Code = din.DCEVSEStatusCode
STOP_CODES = frozenset({Code.EVSE_SHUTDOWN, Code.EVSE_UTILITY_INTERRUPT_EVENT})
EMERGENCY_CODES = frozenset({Code.EVSE_EMERGENCY_SHUTDOWN, Code.EVSE_MALFUNCTION})


class DinEvcc(Engine):
    """One session."""

    first = 'SessionSetup'
    only_schema = 'din'
    spans = (
        Span('V2G_EVCC_CommunicationSetup_Timeout', 'SessionSetup', COMMUNICATION_SETUP_TIMEOUT),
        Span('V2G_EVCC_ReadyToCharge_Timeout', 'PowerDelivery', READY_TO_CHARGE_TIMEOUT),
    )

    def __init__(self, settings: CarSettings) -> None:
        super().__init__(settings)
        self.session_id = bytes(8)
        self.energy_transfer = din.EVRequestedEnergyTransferType.DC_EXTENDED
        self.service_id = 0
        #: Number and first power limit (W) of the schedule chosen.
        self.schedule: tuple[int, int] | None = None
        #: The station's highest current, A; None before it has said so.
        self.station_current: float | None = None
        self.charging_since: float | None = None
        self.ramping_since: float | None = None
        self.welding_checks = 0

    def wrap(self, body: Element) -> Element:
        """Put a body into a V2G_Message with the session's id."""
        if not isinstance(body, din.BodyElement):
            raise TypeError(f'{type(body).__name__} is no body of a message')
        return din.V2GMessage(
            header=din.MessageHeader(session_id=self.session_id), body=body)

    def unwrap(self, message: Element) -> Element | None:
        """Return the body; every response but the first has to carry the session's id."""
        if not isinstance(message, din.V2GMessage):
            raise Ended(ErrorCode.REFUSED, f'{type(message).__name__} is no V2G_Message')
        session_id, body = message.header.session_id, message.body
        if isinstance(body, din.SessionSetupRes):
            self.session_id = session_id
        elif session_id != self.session_id:
            raise Ended(ErrorCode.REFUSED, f'response of session {session_id.hex()}')
        code = getattr(body, 'response_code', None)
        if code is None or not code.value.startswith('OK'):
            raise Ended(
                ErrorCode.REFUSED,
                f'{type(body).__name__}: {code.value if code else "no response code"}')
        return body

    # What the steps share.

    def ev_status(self) -> din.DCEVStatus:
        """Return what the car says of itself."""
        return din.DCEVStatus(
            ev_ready=self.wish.load != 'B', ev_error_code=din.DCEVErrorCode.NO_ERROR,
            ev_ress_soc=round(100 * self.vehicle.state_of_charge))

    def heed(self, status: din.EVSEStatus) -> None:
        """Follow the station's status: a wish to stop, or an emergency."""
        if not isinstance(status, din.DCEVSEStatus):
            raise Ended(ErrorCode.REFUSED, f'{type(status).__name__} from a DC station')
        code = status.evse_status_code
        if code in EMERGENCY_CODES:
            raise Ended(ErrorCode.EMERGENCY, f'the station reports {code.value}')
        if code in STOP_CODES:
            self.stop(ErrorCode.STOPPED_BY_STATION, f'the station reports {code.value}')

    def go_on(self, following: str) -> str:
        """Return the next step before power delivery: the end of the session if it is wanted."""
        return 'SessionStop' if self.stopping else following

    def asked_current(self) -> float:
        """Return the current to ask for now, A."""
        if self.stopping or self.station_current is None:
            return 0.0
        return min(self.settings.target_current(self.vehicle), self.station_current)

    def check_power(self, voltage: float, current: float) -> None:
        """Leave a station whose output is over the car's limits."""
        if voltage > self.vehicle.maximum_voltage * EXCESS:
            raise Ended(ErrorCode.POWER, f'{voltage:.0f} V at the outlet, limit is '
                        f'{self.vehicle.maximum_voltage:.0f} V')
        if current > self.settings.maximum_current * EXCESS + OPENING_CURRENT:
            raise Ended(ErrorCode.POWER, f'{current:.0f} A, limit is '
                        f'{self.settings.maximum_current:.0f} A')


def _value(number: float, unit: din.Unit) -> din.PhysicalValue:
    return din.PhysicalValue.of(round(number, 1), unit)


def _session_setup(evcc: DinEvcc) -> Element:
    return din.SessionSetupReq(evcc_id=evcc.settings.evcc_id)


def _session_set_up(evcc: DinEvcc, body: din.SessionSetupRes) -> str:
    if body.response_code is not din.ResponseCode.OK_NEW_SESSION_ESTABLISHED:
        raise Ended(ErrorCode.REFUSED, f'SessionSetupRes: {body.response_code.value}')
    if not any(evcc.session_id):
        raise Ended(ErrorCode.REFUSED, 'the station gave the session id zero')
    return evcc.go_on('ServiceDiscovery')


def _service_discovery(evcc: DinEvcc) -> Element:
    return din.ServiceDiscoveryReq(service_category=din.ServiceCategory.EV_CHARGING)


def _services_discovered(evcc: DinEvcc, body: din.ServiceDiscoveryRes) -> str:
    if din.PaymentOption.EXTERNAL_PAYMENT not in body.payment_options.payment_option:
        raise Ended(ErrorCode.REFUSED, 'the station does not offer external payment')
    offered = body.charge_service.energy_transfer_type
    if offered not in (din.EVSESupportedEnergyTransferType.DC_CORE,
                       din.EVSESupportedEnergyTransferType.DC_EXTENDED):
        raise Ended(ErrorCode.REFUSED, f'the station offers {offered.value} only')
    evcc.energy_transfer = din.EVRequestedEnergyTransferType(offered.value)
    evcc.service_id = body.charge_service.service_tag.service_id
    return evcc.go_on('ServicePaymentSelection')


def _select_payment(evcc: DinEvcc) -> Element:
    return din.ServicePaymentSelectionReq(
        selected_payment_option=din.PaymentOption.EXTERNAL_PAYMENT,
        selected_service_list=din.SelectedServiceList(
            selected_service=[din.SelectedService(service_id=evcc.service_id)]))


def _payment_selected(evcc: DinEvcc, body: din.ServicePaymentSelectionRes) -> str:
    return evcc.go_on('ContractAuthentication')


def _authenticate(evcc: DinEvcc) -> Element:
    return din.ContractAuthenticationReq()


def _authenticated(evcc: DinEvcc, body: din.ContractAuthenticationRes) -> str:
    if body.evse_processing is din.EVSEProcessing.ONGOING:
        return evcc.go_on('ContractAuthentication')
    return evcc.go_on('ChargeParameterDiscovery')


def _discover_parameters(evcc: DinEvcc) -> Element:
    state, settings = evcc.vehicle, evcc.settings
    wanted = max(settings.target_state_of_charge - state.state_of_charge, 0.0) * state.capacity
    return din.ChargeParameterDiscoveryReq(
        ev_requested_energy_transfer_type=evcc.energy_transfer,
        ev_charge_parameter=din.DCEVChargeParameter(
            dc_ev_status=evcc.ev_status(),
            ev_maximum_current_limit=_value(settings.maximum_current, Unit.A),
            ev_maximum_power_limit=_value(settings.maximum_power, Unit.W),
            ev_maximum_voltage_limit=_value(state.maximum_voltage, Unit.V),
            ev_energy_capacity=_value(state.capacity / 3600, Unit.WH),
            ev_energy_request=_value(wanted / 3600, Unit.WH),
            full_soc=100, bulk_soc=80))


def _parameters_discovered(evcc: DinEvcc, body: din.ChargeParameterDiscoveryRes) -> str:
    limits = body.evse_charge_parameter
    if not isinstance(limits, din.DCEVSEChargeParameter):
        raise Ended(ErrorCode.REFUSED, f'{type(limits).__name__} from a DC station')
    evcc.heed(limits.dc_evse_status)
    if body.evse_processing is din.EVSEProcessing.ONGOING:
        return evcc.go_on('ChargeParameterDiscovery')
    evcc.station_current = float(limits.evse_maximum_current_limit)
    lowest = float(limits.evse_minimum_voltage_limit)
    highest = float(limits.evse_maximum_voltage_limit)
    if not lowest <= evcc.vehicle.battery_voltage <= highest:
        raise Ended(
            ErrorCode.POWER, f'the battery has {evcc.vehicle.battery_voltage:.0f} V, the station '
            f'supplies {lowest:.0f} to {highest:.0f} V')
    if isinstance(body.sa_schedules, din.SAScheduleList):
        chosen = body.sa_schedules.sa_schedule_tuple[0]
        first = chosen.p_max_schedule.p_max_schedule_entry[0]
        evcc.schedule = (chosen.sa_schedule_tuple_id, first.p_max)
    return evcc.go_on('CableCheck')


def _check_cable(evcc: DinEvcc) -> Element | None:
    if evcc.wish.load != 'C':
        # State C comes first: the station waits for it in the cable check.
        evcc.wish = replace(evcc.wish, load='C')
        return None
    return din.CableCheckReq(dc_ev_status=evcc.ev_status())


def _cable_checked(evcc: DinEvcc, body: din.CableCheckRes) -> str:
    evcc.heed(body.dc_evse_status)
    if body.evse_processing is din.EVSEProcessing.ONGOING:
        return evcc.go_on('CableCheck')
    isolation = body.dc_evse_status.evse_isolation_status
    if isolation not in (None, din.IsolationLevel.VALID, din.IsolationLevel.WARNING):
        raise Ended(ErrorCode.POWER, f'the station reports isolation {isolation.value}')
    return evcc.go_on('PreCharge')


def _pre_charge(evcc: DinEvcc) -> Element:
    return din.PreChargeReq(
        dc_ev_status=evcc.ev_status(),
        ev_target_voltage=_value(evcc.vehicle.battery_voltage, Unit.V),
        ev_target_current=_value(OPENING_CURRENT, Unit.A))


def _pre_charged(evcc: DinEvcc, body: din.PreChargeRes) -> str:
    evcc.heed(body.dc_evse_status)
    voltage = float(body.evse_present_voltage)
    evcc.reported = (voltage, 0.0)
    battery = evcc.vehicle.battery_voltage
    near = max(abs(voltage - battery), abs(evcc.vehicle.voltage - battery)) < PRE_CHARGE_TOLERANCE
    return evcc.go_on('PowerDelivery' if near else 'PreCharge')


def _power(evcc: DinEvcc, ready: bool) -> Element:
    profile = None
    if ready and evcc.schedule is not None:
        number, power = evcc.schedule
        profile = din.ChargingProfile(sa_schedule_tuple_id=number, profile_entry=[
            din.ProfileEntry(charging_profile_entry_start=0,
                             charging_profile_entry_max_power=power)])
    return din.PowerDeliveryReq(
        ready_to_charge_state=ready, charging_profile=profile,
        ev_power_delivery_parameter=din.DCEVPowerDeliveryParameter(
            dc_ev_status=evcc.ev_status(), charging_complete=not ready))


def _start_power(evcc: DinEvcc) -> Element | None:
    evcc.wish = replace(evcc.wish, contactors=True)
    return _power(evcc, True) if evcc.vehicle.contactors else None


def _power_started(evcc: DinEvcc, body: din.PowerDeliveryRes) -> str:
    evcc.heed(body.evse_status)
    evcc.charging_since = evcc.now
    return 'CurrentDemand'


def _demand_current(evcc: DinEvcc) -> Element:
    state, settings = evcc.vehicle, evcc.settings
    return din.CurrentDemandReq(
        dc_ev_status=evcc.ev_status(),
        ev_target_current=_value(evcc.asked_current(), Unit.A),
        ev_maximum_voltage_limit=_value(state.maximum_voltage, Unit.V),
        ev_maximum_current_limit=_value(settings.maximum_current, Unit.A),
        ev_maximum_power_limit=_value(settings.maximum_power, Unit.W),
        bulk_charging_complete=state.state_of_charge >= 0.8,
        charging_complete=state.state_of_charge >= settings.target_state_of_charge,
        remaining_time_to_full_soc=_value(settings.remaining_time(state, 1.0), Unit.S),
        remaining_time_to_bulk_soc=_value(settings.remaining_time(state, 0.8), Unit.S),
        ev_target_voltage=_value(state.maximum_voltage, Unit.V))


def _current_demanded(evcc: DinEvcc, body: din.CurrentDemandRes) -> str:
    evcc.heed(body.dc_evse_status)
    evcc.loops += 1
    voltage, current = float(body.evse_present_voltage), float(body.evse_present_current)
    evcc.reported = (voltage, current)
    evcc.check_power(max(voltage, evcc.vehicle.voltage), max(current, evcc.vehicle.current))
    charged_for = evcc.now - (evcc.charging_since or evcc.now)
    if evcc.settings.satisfied(evcc.vehicle, charged_for, evcc.loops):
        evcc.stop(ErrorCode.NONE, 'completed')
    if not evcc.stopping:
        return 'CurrentDemand'
    if evcc.ramping_since is None:
        evcc.ramping_since = evcc.now
    low = max(abs(current), abs(evcc.vehicle.current)) < OPENING_CURRENT
    if low or evcc.now - evcc.ramping_since > RAMP_PATIENCE:
        return 'PowerDeliveryStop'
    return 'CurrentDemand'


def _stop_power(evcc: DinEvcc) -> Element:
    return _power(evcc, False)


def _power_stopped(evcc: DinEvcc, body: din.PowerDeliveryRes) -> str:
    evcc.heed(body.evse_status)
    evcc.wish = replace(evcc.wish, contactors=False)
    return 'WeldingDetection'


def _detect_welding(evcc: DinEvcc) -> Element | None:
    if evcc.vehicle.contactors and evcc.welding_checks == 0 and not evcc.waited(1.0):
        return None
    evcc.wish = replace(evcc.wish, load='B')
    return din.WeldingDetectionReq(dc_ev_status=evcc.ev_status())


def _welding_detected(evcc: DinEvcc, body: din.WeldingDetectionRes) -> str:
    evcc.heed(body.dc_evse_status)
    evcc.welding_checks += 1
    voltage = float(body.evse_present_voltage)
    evcc.reported = (voltage, 0.0)
    if voltage < SAFE_VOLTAGE or evcc.welding_checks >= MOST_WELDING_CHECKS:
        return 'SessionStop'
    return 'WeldingDetection'


def _stop_session(evcc: DinEvcc) -> Element:
    evcc.wish = replace(evcc.wish, load='B', contactors=False)
    return din.SessionStopReq()


def _session_stopped(evcc: DinEvcc, body: din.SessionStopRes) -> str:
    return END


DinEvcc.steps = {step.name: step for step in (
    Step('SessionSetup', _session_setup, _session_set_up, din.SessionSetupRes),
    Step('ServiceDiscovery', _service_discovery, _services_discovered, din.ServiceDiscoveryRes),
    Step('ServicePaymentSelection', _select_payment, _payment_selected,
         din.ServicePaymentSelectionRes),
    Step('ContractAuthentication', _authenticate, _authenticated, din.ContractAuthenticationRes),
    Step('ChargeParameterDiscovery', _discover_parameters, _parameters_discovered,
         din.ChargeParameterDiscoveryRes),
    Step('CableCheck', _check_cable, _cable_checked, din.CableCheckRes,
         patience=CABLE_CHECK_TIMEOUT),
    Step('PreCharge', _pre_charge, _pre_charged, din.PreChargeRes,
         patience=PRE_CHARGE_TIMEOUT, late=ErrorCode.POWER),
    Step('PowerDelivery', _start_power, _power_started, din.PowerDeliveryRes),
    Step('CurrentDemand', _demand_current, _current_demanded, din.CurrentDemandRes,
         timeout=CURRENT_DEMAND_TIMEOUT, patience=math.inf),
    Step('PowerDeliveryStop', _stop_power, _power_stopped, din.PowerDeliveryRes),
    Step('WeldingDetection', _detect_welding, _welding_detected, din.WeldingDetectionRes),
    Step('SessionStop', _stop_session, _session_stopped, din.SessionStopRes),
)}
