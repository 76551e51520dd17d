"""The car's side of ISO 15118-20 DC and DC_BPT: the table of steps."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from ccs2_hlc import exi
from ccs2_hlc.exi.declare import Element
from ccs2_hlc.exi.messages.iso20 import common, dc
from ccs2_link.transport.v2gtp import PayloadType
from ccs2_sim.evcc import iso20_modes
from ccs2_sim.evcc.dc import (
    CABLE_CHECK_TIMEOUT,
    COMMUNICATION_SETUP_TIMEOUT,
    CONTACTOR_PATIENCE,
    EXCESS,
    MOST_WELDING_CHECKS,
    OPENING_CURRENT,
    PRE_CHARGE_TIMEOUT,
    PRE_CHARGE_TOLERANCE,
    SAFE_VOLTAGE,
    DcEvcc,
)
from ccs2_sim.evcc.engine import END, Span, Step
from ccs2_sim.evcc.iso20_modes import StationLimits
from ccs2_sim.evcc.outcome import Ended, ErrorCode
from ccs2_sim.evcc.schedule import Schedule, choose
from ccs2_sim.evcc.vehicle import CarSettings

#: Message timeouts that are not 2 s (ISO 15118-20 table of EVCC timers).
DETAIL_TIMEOUT, CHARGE_LOOP_TIMEOUT = 5.0, 0.5
#: Schedule entries that the car can store, the fewest that the schema allows to say.
MOST_ENTRIES = 12
_ONGOING, _FINISHED = common.Processing.ONGOING, common.Processing.FINISHED
_Notification = common.EVSENotification


@dataclass(frozen=True)
class Paused20:
    """What the car remembers of a session that it has paused."""

    session_id: bytes


class Iso20Evcc(DcEvcc):
    """One session, paid by external means."""

    charge_loop = 'DC_ChargeLoop'
    first = 'SessionSetup'
    spans = (
        Span('V2G_EVCC_CommunicationSetup_Timeout', 'SessionSetup', COMMUNICATION_SETUP_TIMEOUT),
    )

    steps: ClassVar[dict[str, Step[Any]]] = {}

    def __init__(self, settings: CarSettings, resumed: Paused20 | None = None) -> None:
        super().__init__(settings, resumed)
        if resumed is not None:
            self.session_id = resumed.session_id
        #: The station has joined the session that was paused.
        self.joined = False
        #: Number of the parameter set for what the car wants.
        self.parameter_set = 0
        self.limits: StationLimits | None = None
        self.schedule: Schedule | None = None
        #: The bidirectional car has given what it wanted to.
        self.given = not settings.transfer.bidirectional
        #: The present loop of messages is over with the next request.
        self.ready = False
        self.renegotiating = False
        #: How often the schedule has been negotiated anew.
        self.renegotiations = 0
        #: The session is ended with the wish to go on later.
        self.pausing = False

    # Envelope.

    def schema(self, payload_type: int) -> str:
        """Return the EXI schema of messages of a V2GTP payload type."""
        try:
            return exi.schema_for(payload_type, iso20_modes.NAMESPACE)
        except ValueError as error:
            raise Ended(ErrorCode.REFUSED, str(error)) from None

    def payload_type(self, message: Element) -> int:
        """Return the V2GTP payload type of a request: common messages or DC's own."""
        own = isinstance(message, dc.MESSAGES) and not isinstance(message, common.MESSAGES)
        return PayloadType.ISO20_DC if own else PayloadType.ISO20_COMMON

    def header(self) -> common.MessageHeader:
        """Return the header of a request; the time is zero in a car without a clock."""
        clock = self.settings.unix_time
        return common.MessageHeader(
            session_id=self.session_id, time_stamp=0 if clock is None else clock())

    def wrap(self, body: Element) -> Element:
        """Return the message as it is: it has its header already."""
        return body

    def unwrap(self, message: Element) -> Element | None:
        """Return the response; every one but the first has to carry the session's id.

        Warnings end the session, too, except in the charge loop.
        """
        if not isinstance(message, common.V2GResponse):
            raise Ended(ErrorCode.REFUSED, f'{type(message).__name__} is no response')
        session_id, code = message.header.session_id, message.response_code.value
        if isinstance(message, common.SessionSetupRes):
            self.session_id = session_id
        elif session_id != self.session_id:
            raise Ended(ErrorCode.REFUSED, f'response of session {session_id.hex()}')
        tolerated = ('OK', 'WARNING') if self.step == self.charge_loop else ('OK',)
        if not code.startswith(tolerated):
            raise Ended(ErrorCode.REFUSED, f'{type(message).__name__}: {code}')
        checked: Element = message
        return checked

    # Wishes.

    @property
    def discharging(self) -> bool:
        """Whether the car wants to give energy now."""
        return not (self.given or self.winding_down)

    @property
    def power_limit(self) -> float:
        """Return what the schedule and the station allow for charging now, W."""
        limit = math.inf if self.limits is None else self.limits.charge_power
        if self.schedule is not None:
            limit = min(limit, self.schedule.power(self.now - self.schedule.agreed))
        return limit

    @property
    def winding_down(self) -> bool:
        """Whether the current has to go to zero."""
        return self.stopping or self.renegotiating

    @property
    def after_ramp(self) -> str:
        """Return the step that comes when there is no current any more."""
        return 'PowerDeliveryStop' if self.stopping else 'PowerDeliveryRenegotiate'

    def asked_current(self) -> float:
        """Return the current to ask for now, A; negative: out of the car."""
        limits, settings = self.limits, self.settings
        if not self.discharging or limits is None:
            return super().asked_current()
        voltage = max(self.vehicle.battery_voltage, 1.0)
        return -min(
            settings.maximum_discharge_current, settings.maximum_discharge_power / voltage,
            limits.discharge_current, limits.discharge_power / voltage)

    def check_power(self, voltage: float, current: float) -> None:
        """Leave a station whose output is over the car's limits, in either direction."""
        super().check_power(voltage, current)
        settings = self.settings
        most = settings.maximum_discharge_current if settings.transfer.bidirectional else 0.0
        if -current > most * EXCESS + OPENING_CURRENT:
            raise Ended(ErrorCode.POWER, f'{-current:.0f} A out of the car, limit is {most:.0f} A')

    def heed(self, status: common.EVSEStatus | None) -> None:
        """Follow what the station notifies."""
        asked = None if status is None else status.evse_notification
        if asked is _Notification.PAUSE:
            if not self.stopping:
                self.pausing = True
            self.stop(ErrorCode.NONE, 'paused')
        elif asked in (_Notification.TERMINATE, _Notification.SERVICE_RENEGOTIATION):
            # Another service is another session to this car.
            self.stop(ErrorCode.STOPPED_BY_STATION, f'the station notifies {asked.value}')
        elif asked is _Notification.SCHEDULE_RENEGOTIATION and self.step == self.charge_loop:
            self.renegotiating = True

    def go_on(self, following: str) -> str:
        """Return the next step outside of the charge loop: the way out if that is wanted."""
        if not self.stopping:
            return following
        return 'PowerDeliveryStop' if self.wish.contactors else 'SessionStop'

    def next_demand(self) -> str:
        """Return the step after one turn of the charge loop, by what the driver wants by then."""
        settings = self.settings
        if 0 < settings.renegotiate_after <= self.loops and not self.renegotiations:
            self.renegotiating = True
        if 0 < settings.pause_after <= self.loops and self.resumed is None and not self.stopping:
            self.pausing = True
            self.stop(ErrorCode.NONE, 'paused')
        return super().next_demand()

    def progress(self, wanted: common.ChargeProgress) -> common.PowerDeliveryReq:
        """Return a PowerDeliveryReq; the car is ready for what it asks."""
        profile = None
        if wanted is common.ChargeProgress.START and self.schedule is not None:
            profile = iso20_modes.power_profile(
                self.schedule, self.settings.maximum_power, self.header().time_stamp)
        return common.PowerDeliveryReq(
            header=self.header(), ev_processing=_FINISHED, charge_progress=wanted,
            ev_power_profile=profile)

    def is_finished(self, processing: Any) -> bool:
        """Tell whether the station needs no more time."""
        return processing is _FINISHED


def _session_setup(evcc: Iso20Evcc) -> Element:
    settings = evcc.settings
    return common.SessionSetupReq(
        header=evcc.header(), evcc_id=settings.vehicle_id or settings.evcc_id.hex().upper())


def _session_set_up(evcc: Iso20Evcc, body: common.SessionSetupRes) -> str:
    if not any(evcc.session_id):
        raise Ended(ErrorCode.REFUSED, 'the station gave the session id zero')
    old = evcc.resumed is not None and evcc.session_id == evcc.resumed.session_id
    evcc.joined = body.response_code is common.ResponseCode.OK_OLD_SESSION_JOINED
    if evcc.joined is not old:
        raise Ended(
            ErrorCode.REFUSED, f'SessionSetupRes: {body.response_code.value} with '
            f'{"the old" if old else "another"} session id')
    # Authorization and services of a paused session are kept.
    return evcc.go_on('DC_ChargeParameterDiscovery' if evcc.joined else 'AuthorizationSetup')


def _set_up_authorization(evcc: Iso20Evcc) -> Element:
    return common.AuthorizationSetupReq(header=evcc.header())


def _authorization_set_up(evcc: Iso20Evcc, body: common.AuthorizationSetupRes) -> str:
    if common.Authorization.EIM not in body.authorization_services:
        names = ', '.join(each.value for each in body.authorization_services)
        raise Ended(ErrorCode.REFUSED, f'the station offers {names}, not EIM')
    return evcc.go_on('Authorization')


def _authorize(evcc: Iso20Evcc) -> Element:
    return common.AuthorizationReq(
        header=evcc.header(), selected_authorization_service=common.Authorization.EIM,
        eim_a_req_authorization_mode=common.EIMAReqAuthorizationMode())


def _authorized(evcc: Iso20Evcc, body: common.AuthorizationRes) -> str:
    done = evcc.is_finished(body.evse_processing)
    return evcc.go_on('ServiceDiscovery' if done else 'Authorization')


def _discover_services(evcc: Iso20Evcc) -> Element:
    return common.ServiceDiscoveryReq(header=evcc.header())


def _services_discovered(evcc: Iso20Evcc, body: common.ServiceDiscoveryRes) -> str:
    offered = [each.service_id for each in body.energy_transfer_service_list.service]
    wanted = iso20_modes.service_of(evcc.settings.transfer)
    if wanted not in offered:
        raise Ended(ErrorCode.REFUSED, f'the station offers energy services {offered}, '
                    f'the car wants {wanted}')
    return evcc.go_on('ServiceDetail')


def _ask_detail(evcc: Iso20Evcc) -> Element:
    return common.ServiceDetailReq(
        header=evcc.header(), service_id=iso20_modes.service_of(evcc.settings.transfer))


def _detail_told(evcc: Iso20Evcc, body: common.ServiceDetailRes) -> str:
    transfer = evcc.settings.transfer
    if body.service_id != iso20_modes.service_of(transfer):
        raise Ended(ErrorCode.REFUSED, f'details of service {body.service_id}, not asked for')
    found = iso20_modes.parameter_set(body.service_parameter_list.parameter_set, transfer)
    if found is None:
        raise Ended(ErrorCode.REFUSED, f'no parameter set of service {body.service_id} is '
                    f'for {transfer.value}')
    evcc.parameter_set = found
    return evcc.go_on('ServiceSelection')


def _select_service(evcc: Iso20Evcc) -> Element:
    return common.ServiceSelectionReq(
        header=evcc.header(),
        selected_energy_transfer_service=common.SelectedService(
            service_id=iso20_modes.service_of(evcc.settings.transfer),
            parameter_set_id=evcc.parameter_set))


def _service_selected(evcc: Iso20Evcc, body: common.ServiceSelectionRes) -> str:
    return evcc.go_on('DC_ChargeParameterDiscovery')


def _discover_parameters(evcc: Iso20Evcc) -> Element:
    return dc.DCChargeParameterDiscoveryReq(
        header=evcc.header(),
        dc_cpd_req_energy_transfer_mode=iso20_modes.car_limits(evcc.settings, evcc.vehicle))


def _parameters_discovered(evcc: Iso20Evcc, body: dc.DCChargeParameterDiscoveryRes) -> str:
    limits = iso20_modes.station_limits(body.dc_cpd_res_energy_transfer_mode)
    if evcc.settings.transfer.bidirectional is not limits.bidirectional:
        raise Ended(ErrorCode.REFUSED, 'the limits are not of the service that was chosen')
    battery = evcc.vehicle.battery_voltage
    if not limits.lowest_voltage <= battery <= limits.highest_voltage:
        raise Ended(
            ErrorCode.POWER, f'the battery has {battery:.0f} V, the station supplies '
            f'{limits.lowest_voltage:.0f} to {limits.highest_voltage:.0f} V')
    evcc.limits, evcc.station_current = limits, limits.charge_current
    return evcc.go_on('ScheduleExchange')


def _exchange_schedules(evcc: Iso20Evcc) -> Element:
    settings, state = evcc.settings, evcc.vehicle
    if not settings.transfer.dynamic:
        return common.ScheduleExchangeReq(
            header=evcc.header(), maximum_supporting_points=MOST_ENTRIES,
            scheduled_se_req_control_mode=common.ScheduledSEReqControlMode(
                **iso20_modes.energies(settings, state, evcc.discharging)))
    return common.ScheduleExchangeReq(
        header=evcc.header(), maximum_supporting_points=MOST_ENTRIES,
        dynamic_se_req_control_mode=common.DynamicSEReqControlMode(
            departure_time=iso20_modes.DEPARTURE,
            **iso20_modes.energies(settings, state, evcc.discharging)))


def _schedules_exchanged(evcc: Iso20Evcc, body: common.ScheduleExchangeRes) -> str:
    if not evcc.is_finished(body.evse_processing):
        return evcc.go_on('ScheduleExchange')
    scheduled = body.scheduled_se_res_control_mode
    if (scheduled is None) is not evcc.settings.transfer.dynamic:
        raise Ended(ErrorCode.REFUSED, 'the schedules are not of the control mode chosen')
    if scheduled is not None:
        evcc.schedule = choose(iso20_modes.read_schedules(scheduled.schedule_tuple, evcc.now))
    if body.go_to_pause:
        evcc.pausing = not evcc.stopping
        evcc.stop(ErrorCode.NONE, 'paused')
    # The contactors are closed when schedules are negotiated anew.
    return evcc.go_on('PowerDelivery' if evcc.wish.contactors else 'DC_CableCheck')


def _check_cable(evcc: Iso20Evcc) -> Element | None:
    if evcc.wish.load != 'C':
        # State C comes first: the station waits for it in the cable check.
        evcc.wish = replace(evcc.wish, load='C')
        return None
    return dc.DCCableCheckReq(header=evcc.header())


def _cable_checked(evcc: Iso20Evcc, body: dc.DCCableCheckRes) -> str:
    done = evcc.is_finished(body.evse_processing)
    evcc.ready = False
    return evcc.go_on('DC_PreCharge' if done else 'DC_CableCheck')


def _pre_charge(evcc: Iso20Evcc) -> Element:
    state = evcc.vehicle
    return dc.DCPreChargeReq(
        header=evcc.header(), ev_processing=_FINISHED if evcc.ready else _ONGOING,
        ev_present_voltage=iso20_modes.rational(state.voltage),
        ev_target_voltage=iso20_modes.rational(state.battery_voltage))


def _pre_charged(evcc: Iso20Evcc, body: dc.DCPreChargeRes) -> str:
    voltage, battery = float(body.evse_present_voltage), evcc.vehicle.battery_voltage
    evcc.reported = (voltage, 0.0)
    near = max(abs(voltage - battery), abs(evcc.vehicle.voltage - battery)) < PRE_CHARGE_TOLERANCE
    over, evcc.ready = evcc.ready and near, near
    return evcc.go_on('PowerDelivery' if over else 'DC_PreCharge')


def _start_power(evcc: Iso20Evcc) -> Element | None:
    evcc.wish = replace(evcc.wish, contactors=True)
    return evcc.progress(common.ChargeProgress.START) if evcc.vehicle.contactors else None


def _power_started(evcc: Iso20Evcc, body: common.PowerDeliveryRes) -> str:
    if evcc.charging_since is None:
        evcc.charging_since = evcc.now
    evcc.heed(body.evse_status)
    return evcc.charge_loop


def _demand(evcc: Iso20Evcc) -> Element:
    settings, state = evcc.settings, evcc.vehicle
    evcc.given = evcc.given or state.state_of_charge <= settings.discharge_to
    return dc.DCChargeLoopReq(
        header=evcc.header(), meter_info_requested=False,
        display_parameters=iso20_modes.display(settings, state),
        ev_present_voltage=iso20_modes.rational(state.voltage),
        cl_req_control_mode=iso20_modes.control(
            settings, state, evcc.asked_current(), evcc.discharging))


def _demanded(evcc: Iso20Evcc, body: dc.DCChargeLoopRes) -> str:
    evcc.heed(body.evse_status)
    evcc.loops += 1
    voltage, current = float(body.evse_present_voltage), float(body.evse_present_current)
    evcc.reported = (voltage, current)
    highest = max(voltage, evcc.vehicle.voltage)
    for measured in (current, evcc.vehicle.current):
        evcc.check_power(highest, measured)
    if evcc.limits is not None:
        evcc.limits = iso20_modes.narrowed(evcc.limits, body.cl_res_control_mode)
        evcc.station_current = evcc.limits.charge_current
    charged_for = evcc.now - (evcc.charging_since or evcc.now)
    # A car that still has energy to give is not full enough to stop.
    state = evcc.vehicle if evcc.given else replace(evcc.vehicle, state_of_charge=-math.inf)
    if evcc.settings.satisfied(state, charged_for, evcc.loops):
        evcc.stop(ErrorCode.NONE, 'completed')
    return evcc.next_demand()


def _stop_power(evcc: Iso20Evcc) -> Element:
    return evcc.progress(common.ChargeProgress.STOP)


def _power_stopped(evcc: Iso20Evcc, body: common.PowerDeliveryRes) -> str:
    evcc.wish = replace(evcc.wish, contactors=False)
    evcc.ready = False
    return 'DC_WeldingDetection'


def _renegotiate(evcc: Iso20Evcc) -> Element:
    return evcc.progress(common.ChargeProgress.SCHEDULE_RENEGOTIATION)


def _renegotiated(evcc: Iso20Evcc, body: common.PowerDeliveryRes) -> str:
    evcc.renegotiating = False
    evcc.ramping_since = None
    evcc.renegotiations += 1
    return 'ScheduleExchange'


def _detect_welding(evcc: Iso20Evcc) -> Element | None:
    waiting = evcc.vehicle.contactors and evcc.welding_checks == 0
    if waiting and not evcc.waited(CONTACTOR_PATIENCE):
        return None
    evcc.wish = replace(evcc.wish, load='B')
    return dc.DCWeldingDetectionReq(
        header=evcc.header(), ev_processing=_FINISHED if evcc.ready else _ONGOING)


def _welding_detected(evcc: Iso20Evcc, body: dc.DCWeldingDetectionRes) -> str:
    evcc.welding_checks += 1
    voltage = float(body.evse_present_voltage)
    evcc.reported = (voltage, 0.0)
    over = evcc.ready
    evcc.ready = voltage < SAFE_VOLTAGE or evcc.welding_checks >= MOST_WELDING_CHECKS
    return 'SessionStop' if over else 'DC_WeldingDetection'


def _stop_session(evcc: Iso20Evcc) -> Element:
    evcc.wish = replace(evcc.wish, load='B', contactors=False)
    # Only a session that has charged can sleep.
    evcc.pausing = evcc.pausing and evcc.charging_since is not None
    return common.SessionStopReq(header=evcc.header(), charging_session=(
        common.ChargingSession.PAUSE if evcc.pausing else common.ChargingSession.TERMINATE))


def _session_stopped(evcc: Iso20Evcc, body: common.SessionStopRes) -> str:
    if evcc.pausing:
        evcc.paused = Paused20(evcc.session_id)
    return END


Iso20Evcc.steps = {step.name: step for step in (
    Step('SessionSetup', _session_setup, _session_set_up, common.SessionSetupRes),
    Step('AuthorizationSetup', _set_up_authorization, _authorization_set_up,
         common.AuthorizationSetupRes),
    Step('Authorization', _authorize, _authorized, common.AuthorizationRes),
    Step('ServiceDiscovery', _discover_services, _services_discovered,
         common.ServiceDiscoveryRes),
    Step('ServiceDetail', _ask_detail, _detail_told, common.ServiceDetailRes,
         timeout=DETAIL_TIMEOUT),
    Step('ServiceSelection', _select_service, _service_selected, common.ServiceSelectionRes),
    Step('DC_ChargeParameterDiscovery', _discover_parameters, _parameters_discovered,
         dc.DCChargeParameterDiscoveryRes),
    Step('ScheduleExchange', _exchange_schedules, _schedules_exchanged,
         common.ScheduleExchangeRes),
    Step('DC_CableCheck', _check_cable, _cable_checked, dc.DCCableCheckRes,
         patience=CABLE_CHECK_TIMEOUT),
    Step('DC_PreCharge', _pre_charge, _pre_charged, dc.DCPreChargeRes,
         patience=PRE_CHARGE_TIMEOUT, late=ErrorCode.POWER),
    Step('PowerDelivery', _start_power, _power_started, common.PowerDeliveryRes),
    Step('DC_ChargeLoop', _demand, _demanded, dc.DCChargeLoopRes, timeout=CHARGE_LOOP_TIMEOUT,
         patience=math.inf),
    Step('PowerDeliveryStop', _stop_power, _power_stopped, common.PowerDeliveryRes),
    Step('PowerDeliveryRenegotiate', _renegotiate, _renegotiated, common.PowerDeliveryRes),
    Step('DC_WeldingDetection', _detect_welding, _welding_detected, dc.DCWeldingDetectionRes),
    Step('SessionStop', _stop_session, _session_stopped, common.SessionStopRes),
)}
