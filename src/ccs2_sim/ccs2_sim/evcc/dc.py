"""What the car does alike in DIN SPEC 70121 and ISO 15118-2 (DC)."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, ClassVar

from ccs2_hlc.exi.declare import Element
from ccs2_sim.evcc.engine import Engine, Step
from ccs2_sim.evcc.outcome import Ended, ErrorCode
from ccs2_sim.evcc.vehicle import CarSettings

#: Pre-charge is complete below this difference, V (IEC 61851-23 CC.5.2).
PRE_CHARGE_TOLERANCE = 20.0
#: The car opens its contactors below this current, A.
OPENING_CURRENT = 1.0
#: A station that does not bring the current down within this time is left anyway, s.
RAMP_PATIENCE = 6.0
#: How long the car waits for its own contactors to open, s.
CONTACTOR_PATIENCE = 1.0
#: The inlet is regarded as discharged below this, V.
SAFE_VOLTAGE = 60.0
#: WeldingDetectionReq until the voltage is safe; the car goes on after as many.
MOST_WELDING_CHECKS = 10
#: The station's voltage or current may be over the car's limits by this share and no more.
EXCESS = 1.05
#: Message timeout of the car in the charge loop, s; 2 s in most other steps.
CURRENT_DEMAND_TIMEOUT = 0.25
#: Timers over several messages, s (DIN 70121 table 75, ISO 15118-2 table 109).
COMMUNICATION_SETUP_TIMEOUT = 20.0
CABLE_CHECK_TIMEOUT = 40.0
PRE_CHARGE_TIMEOUT = 7.0

STOP_CODES = frozenset({'EVSE_Shutdown', 'EVSE_UtilityInterruptEvent'})
EMERGENCY_CODES = frozenset({'EVSE_EmergencyShutdown', 'EVSE_Malfunction'})
ISOLATED = frozenset({'Valid', 'Warning'})


class DcEvcc(Engine):
    """One session of either protocol."""

    #: The module with the protocol's messages. Those used here have the same fields in both.
    messages: ClassVar[Any]
    #: Name of the charge loop's step.
    charge_loop: ClassVar[str] = 'CurrentDemand'

    def __init__(self, settings: CarSettings, resumed: Any = None) -> None:
        super().__init__(settings, resumed)
        self.session_id = bytes(8)
        #: The station's highest current, A; None before it has said so.
        self.station_current: float | None = None
        self.charging_since: float | None = None
        self.ramping_since: float | None = None
        self.welding_checks = 0

    # What a protocol adds.

    def power_request(self, on: bool) -> Element:
        """Return the PowerDeliveryReq that starts or stops."""
        raise NotImplementedError

    @property
    def power_limit(self) -> float:
        """Return the power that was agreed for now, W."""
        return math.inf

    @property
    def winding_down(self) -> bool:
        """Whether the current has to go to zero."""
        return self.stopping

    @property
    def after_ramp(self) -> str:
        """Return the step that comes when there is no current any more."""
        return 'PowerDeliveryStop'

    def wrap(self, body: Element) -> Element:
        """Put a body into a V2G_Message with the session's id."""
        if not isinstance(body, self.messages.BodyElement):
            raise TypeError(f'{type(body).__name__} is no body of a message')
        message: Element = self.messages.V2GMessage(
            header=self.messages.MessageHeader(session_id=self.session_id), body=body)
        return message

    def unwrap(self, message: Element) -> Element | None:
        """Return the body; every response but the first has to carry the session's id."""
        if not isinstance(message, self.messages.V2GMessage):
            raise Ended(ErrorCode.REFUSED, f'{type(message).__name__} is no V2G_Message')
        session_id, body = message.header.session_id, message.body
        if isinstance(body, self.messages.SessionSetupRes):
            self.session_id = session_id
        elif session_id != self.session_id:
            raise Ended(ErrorCode.REFUSED, f'response of session {session_id.hex()}')
        code = getattr(body, 'response_code', None)
        if code is None or not code.value.startswith('OK'):
            raise Ended(
                ErrorCode.REFUSED,
                f'{type(body).__name__}: {code.value if code else "no response code"}')
        checked: Element | None = body
        return checked

    # What the steps share.

    def quantity(self, number: float, unit: str) -> Any:
        """Return a physical value; `unit` is the name of a member of the protocol's Unit."""
        return self.messages.PhysicalValue.of(round(number, 1), self.messages.Unit[unit])

    def ev_status(self) -> Any:
        """Return what the car says of itself."""
        return self.messages.DCEVStatus(
            ev_ready=self.wish.load != 'B', ev_error_code=self.messages.DCEVErrorCode.NO_ERROR,
            ev_ress_soc=round(100 * self.vehicle.state_of_charge))

    @property
    def wanted_energy(self) -> float:
        """Return the energy until the state of charge that the driver wants, J."""
        missing = self.settings.target_state_of_charge - self.vehicle.state_of_charge
        return max(missing, 0.0) * self.vehicle.capacity

    def charge_parameter(self) -> Any:
        """Return the car's limits and wishes."""
        state, settings = self.vehicle, self.settings
        return self.messages.DCEVChargeParameter(
            dc_ev_status=self.ev_status(),
            ev_maximum_current_limit=self.quantity(settings.maximum_current, 'A'),
            ev_maximum_power_limit=self.quantity(settings.maximum_power, 'W'),
            ev_maximum_voltage_limit=self.quantity(state.maximum_voltage, 'V'),
            ev_energy_capacity=self.quantity(state.capacity / 3600, 'WH'),
            ev_energy_request=self.quantity(self.wanted_energy / 3600, 'WH'),
            full_soc=100, bulk_soc=80)

    def power_parameter(self, on: bool) -> Any:
        """Return the car's state for a PowerDeliveryReq."""
        return self.messages.DCEVPowerDeliveryParameter(
            dc_ev_status=self.ev_status(), charging_complete=not on)

    def heed(self, status: Any) -> None:
        """Follow the station's status: a wish to stop, or an emergency."""
        if not isinstance(status, self.messages.DCEVSEStatus):
            raise Ended(ErrorCode.REFUSED, f'{type(status).__name__} from a DC station')
        code = status.evse_status_code.value
        if code in EMERGENCY_CODES:
            raise Ended(ErrorCode.EMERGENCY, f'the station reports {code}')
        if code in STOP_CODES:
            self.stop(ErrorCode.STOPPED_BY_STATION, f'the station reports {code}')

    def go_on(self, following: str) -> str:
        """Return the next step before power delivery: the end of the session if it is wanted."""
        return 'SessionStop' if self.stopping else following

    def is_finished(self, processing: Any) -> bool:
        """Tell whether the station needs no more time."""
        return processing is self.messages.EVSEProcessing.FINISHED

    def take_limits(self, limits: Any, processing: Any) -> bool:
        """Take the station's limits; return whether they are final.

        Leave the station if the battery is outside of them.
        """
        if not isinstance(limits, self.messages.DCEVSEChargeParameter):
            raise Ended(ErrorCode.REFUSED, f'{type(limits).__name__} from a DC station')
        self.heed(limits.dc_evse_status)
        if not self.is_finished(processing):
            return False
        self.station_current = float(limits.evse_maximum_current_limit)
        lowest = float(limits.evse_minimum_voltage_limit)
        highest = float(limits.evse_maximum_voltage_limit)
        if not lowest <= self.vehicle.battery_voltage <= highest:
            raise Ended(
                ErrorCode.POWER, f'the battery has {self.vehicle.battery_voltage:.0f} V, the '
                f'station supplies {lowest:.0f} to {highest:.0f} V')
        return True

    def asked_current(self) -> float:
        """Return the current to ask for now, A."""
        if self.winding_down or self.station_current is None:
            return 0.0
        agreed = self.power_limit / max(self.vehicle.battery_voltage, 1.0)
        return min(self.settings.target_current(self.vehicle), self.station_current, agreed)

    def check_power(self, voltage: float, current: float) -> None:
        """Leave a station whose output is over the car's limits."""
        if voltage > self.vehicle.maximum_voltage * EXCESS:
            raise Ended(ErrorCode.POWER, f'{voltage:.0f} V at the outlet, limit is '
                        f'{self.vehicle.maximum_voltage:.0f} V')
        if current > self.settings.maximum_current * EXCESS + OPENING_CURRENT:
            raise Ended(ErrorCode.POWER, f'{current:.0f} A, limit is '
                        f'{self.settings.maximum_current:.0f} A')

    def current_demanded(self, body: Any) -> str:
        """Take a CurrentDemandRes; return the next step."""
        self.heed(body.dc_evse_status)
        self.loops += 1
        voltage, current = float(body.evse_present_voltage), float(body.evse_present_current)
        self.reported = (voltage, current)
        self.check_power(max(voltage, self.vehicle.voltage), max(current, self.vehicle.current))
        if body.evse_maximum_current_limit is not None:
            self.station_current = float(body.evse_maximum_current_limit)
        charged_for = self.now - (self.charging_since or self.now)
        if self.settings.satisfied(self.vehicle, charged_for, self.loops):
            self.stop(ErrorCode.NONE, 'completed')
        return self.next_demand()

    def next_demand(self) -> str:
        """Return the step after one turn of the charge loop."""
        if not self.winding_down:
            self.ramping_since = None
            return self.charge_loop
        if self.ramping_since is None:
            self.ramping_since = self.now
        reported = abs(self.reported[1]) if self.reported is not None else math.inf
        low = max(reported, abs(self.vehicle.current)) < OPENING_CURRENT
        late = self.now - self.ramping_since > RAMP_PATIENCE
        return self.after_ramp if low or late else self.charge_loop


def _check_cable(evcc: DcEvcc) -> Element | None:
    if evcc.wish.load != 'C':
        # State C comes first: the station waits for it in the cable check.
        evcc.wish = replace(evcc.wish, load='C')
        return None
    request: Element = evcc.messages.CableCheckReq(dc_ev_status=evcc.ev_status())
    return request


def _cable_checked(evcc: DcEvcc, body: Any) -> str:
    evcc.heed(body.dc_evse_status)
    if not evcc.is_finished(body.evse_processing):
        return evcc.go_on('CableCheck')
    isolation = body.dc_evse_status.evse_isolation_status
    if isolation is not None and isolation.value not in ISOLATED:
        raise Ended(ErrorCode.POWER, f'the station reports isolation {isolation.value}')
    return evcc.go_on('PreCharge')


def _pre_charge(evcc: DcEvcc) -> Element:
    request: Element = evcc.messages.PreChargeReq(
        dc_ev_status=evcc.ev_status(),
        ev_target_voltage=evcc.quantity(evcc.vehicle.battery_voltage, 'V'),
        ev_target_current=evcc.quantity(OPENING_CURRENT, 'A'))
    return request


def _pre_charged(evcc: DcEvcc, body: Any) -> str:
    evcc.heed(body.dc_evse_status)
    voltage = float(body.evse_present_voltage)
    evcc.reported = (voltage, 0.0)
    battery = evcc.vehicle.battery_voltage
    near = max(abs(voltage - battery), abs(evcc.vehicle.voltage - battery)) < PRE_CHARGE_TOLERANCE
    return evcc.go_on('PowerDelivery' if near else 'PreCharge')


def _start_power(evcc: DcEvcc) -> Element | None:
    evcc.wish = replace(evcc.wish, contactors=True)
    return evcc.power_request(True) if evcc.vehicle.contactors else None


def _power_started(evcc: DcEvcc, body: Any) -> str:
    evcc.heed(body.evse_status)
    if evcc.charging_since is None:
        evcc.charging_since = evcc.now
    return 'CurrentDemand'


def _demand_current(evcc: DcEvcc) -> Element:
    state, settings = evcc.vehicle, evcc.settings
    request: Element = evcc.messages.CurrentDemandReq(
        dc_ev_status=evcc.ev_status(),
        ev_target_current=evcc.quantity(evcc.asked_current(), 'A'),
        ev_maximum_voltage_limit=evcc.quantity(state.maximum_voltage, 'V'),
        ev_maximum_current_limit=evcc.quantity(settings.maximum_current, 'A'),
        ev_maximum_power_limit=evcc.quantity(settings.maximum_power, 'W'),
        bulk_charging_complete=state.state_of_charge >= 0.8,
        charging_complete=state.state_of_charge >= settings.target_state_of_charge,
        remaining_time_to_full_soc=evcc.quantity(settings.remaining_time(state, 1.0), 'S'),
        remaining_time_to_bulk_soc=evcc.quantity(settings.remaining_time(state, 0.8), 'S'),
        ev_target_voltage=evcc.quantity(state.maximum_voltage, 'V'))
    return request


def _stop_power(evcc: DcEvcc) -> Element:
    return evcc.power_request(False)


def _power_stopped(evcc: DcEvcc, body: Any) -> str:
    evcc.heed(body.evse_status)
    evcc.wish = replace(evcc.wish, contactors=False)
    return 'WeldingDetection'


def _detect_welding(evcc: DcEvcc) -> Element | None:
    waiting = evcc.vehicle.contactors and evcc.welding_checks == 0
    if waiting and not evcc.waited(CONTACTOR_PATIENCE):
        return None
    evcc.wish = replace(evcc.wish, load='B')
    request: Element = evcc.messages.WeldingDetectionReq(dc_ev_status=evcc.ev_status())
    return request


def _welding_detected(evcc: DcEvcc, body: Any) -> str:
    evcc.heed(body.dc_evse_status)
    evcc.welding_checks += 1
    voltage = float(body.evse_present_voltage)
    evcc.reported = (voltage, 0.0)
    if voltage < SAFE_VOLTAGE or evcc.welding_checks >= MOST_WELDING_CHECKS:
        return 'SessionStop'
    return 'WeldingDetection'


def dc_steps(messages: Any, power_timeout: float) -> tuple[Step[Any], ...]:
    """Return the steps from the cable check to the welding detection.

    `power_timeout` is the message timeout of PowerDelivery, s.
    """
    return (
        Step('CableCheck', _check_cable, _cable_checked, messages.CableCheckRes,
             patience=CABLE_CHECK_TIMEOUT),
        Step('PreCharge', _pre_charge, _pre_charged, messages.PreChargeRes,
             patience=PRE_CHARGE_TIMEOUT, late=ErrorCode.POWER),
        Step('PowerDelivery', _start_power, _power_started, messages.PowerDeliveryRes,
             timeout=power_timeout),
        Step('CurrentDemand', _demand_current, lambda evcc, body: evcc.current_demanded(body),
             messages.CurrentDemandRes, timeout=CURRENT_DEMAND_TIMEOUT, patience=math.inf),
        Step('PowerDeliveryStop', _stop_power, _power_stopped, messages.PowerDeliveryRes,
             timeout=power_timeout),
        Step('WeldingDetection', _detect_welding, _welding_detected, messages.WeldingDetectionRes),
    )
