"""ISO 15118-20 from the station's side, DC and DC_BPT: the table of states, and charging."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from enum import Enum
from typing import Any, ClassVar

from ..exi.messages.iso20 import common, dc
from . import iso20_codes, iso20_responses
from .charge import Offer, capped
from .command import Shutdown
from .context import Context
from .engine import Answer, Refused, Rule
from .iso20_authorization import Iso20Authorization
from .iso20_common import Paused20, Selection, State, can_discharge
from .iso20_control import (
    KINDS,
    SetPoint,
    Wishes,
    dynamic_set_point,
    impossible,
    needs_told,
    read,
)
from .iso20_schedules import plan_of
from .schedules import Schedule, offered
from .station import NO_NEEDS, OperatorLimits, Snapshot
from .triggers import Condition, Trigger
from .values import bounded, joules, known, ratio
from .views import ControlMode, Stage

#: V2GTP payload types of the side streams (ISO 15118-20 table 3) and what may come on them.
SIDE_STREAMS: Mapping[int, frozenset[type]] = {
    0x8101: frozenset({common.ScheduleExchangeReq, common.PowerDeliveryReq}),
    0x8102: frozenset({common.MeteringConfirmationReq}),
    0x8104: frozenset({common.VehicleCheckInReq, common.VehicleCheckOutReq}),
}
_CONFIRMED = common.PowerToleranceAcceptance.POWER_TOLERANCE_CONFIRMED
#: A wish above the vehicle's own profile by less than this is one of rounding.
_PROFILE_TOLERANCE = 1.01

_IN_LOOP = frozenset({State.CHARGING, State.LEAVING})
_CLOSED = frozenset({
    State.PRE_CHARGED, State.STARTING, State.STANDBY, State.RENEGOTIATED, *_IN_LOOP})
_STOPPED = frozenset({State.STOPPED, State.WELDING_DETECTION})
#: Where the next schedules can tell the vehicle to pause, before there is power.
_BEFORE_SCHEDULES = frozenset({
    State.SERVICE_DISCOVERY, State.SERVICE_DETAIL, State.SERVICE_SELECTION, State.PARAMETERS,
    State.SCHEDULE_EXCHANGE, State.RENEGOTIATION})
_WITHOUT_POWER = _STOPPED | {
    State.SERVICE_DETAIL, State.SERVICE_SELECTION, State.PARAMETERS, State.SCHEDULE_EXCHANGE,
    State.SCHEDULED}
#: Where a vehicle waits that says that it is not yet ready for what it asks.
_UNTIL_READY: Mapping[Enum, State] = {
    State.PRE_CHARGED: State.STARTING, State.RENEGOTIATED: State.STARTING,
    State.CHARGING: State.LEAVING}


class Iso20Engine(Iso20Authorization):
    """One session by ISO 15118-20, DC and DC_BPT."""

    BUILDERS = iso20_responses.BUILDERS
    CODES = iso20_codes.CODES
    SESSION_SETUP = common.SessionSetupReq
    SESSION_STOP = common.SessionStopReq
    #: MeteringConfirmationRes carries none, but it comes between two that do.
    STATUS_CARRIERS = frozenset({
        common.PowerDeliveryReq, dc.DCChargeLoopReq, common.MeteringConfirmationReq})
    EXPECTS_READY = _CLOSED | {State.CABLE_CHECK, State.PRE_CHARGE, State.RENEGOTIATION}
    ENDING = _STOPPED | {State.PAUSED, State.ENDED}
    NEEDS_STATION = EXPECTS_READY | _WITHOUT_POWER | {State.SERVICE_DISCOVERY}
    STAGES: ClassVar[Mapping[Enum, Stage]] = {
        State.SESSION_SETUP: Stage.SETUP,
        State.AUTHORIZATION_SETUP: Stage.AUTHORIZATION,
        State.AUTHORIZATION: Stage.AUTHORIZATION,
        State.SERVICE_DISCOVERY: Stage.PARAMETERS,
        State.SERVICE_DETAIL: Stage.PARAMETERS,
        State.SERVICE_SELECTION: Stage.PARAMETERS,
        State.PARAMETERS: Stage.PARAMETERS,
        State.SCHEDULE_EXCHANGE: Stage.PARAMETERS,
        State.SCHEDULED: Stage.CABLE_CHECK,
        State.CABLE_CHECK: Stage.CABLE_CHECK,
        State.PRE_CHARGE: Stage.PRE_CHARGE,
        State.PRE_CHARGED: Stage.PRE_CHARGE,
        State.STARTING: Stage.PRE_CHARGE,
        State.CHARGING: Stage.CHARGING,
        State.LEAVING: Stage.CHARGING,
        State.STANDBY: Stage.CHARGING,
        State.RENEGOTIATION: Stage.PARAMETERS,
        State.RENEGOTIATED: Stage.PARAMETERS,
        State.STOPPED: Stage.STOPPING,
        State.WELDING_DETECTION: Stage.STOPPING,
        State.PAUSED: Stage.PAUSED,
        State.ENDED: Stage.FINISHED,
    }

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        if self.station.strict_sequence:
            self.table = STRICT_TABLE
        #: What DC_ChargeParameterDiscoveryRes has told: nothing goes above it later [V2G20-2654].
        self.limits_told: Offer | None = None
        #: The schedules as the vehicle has got them, and since when they count.
        self.schedules: tuple[Schedule, ...] = ()
        self.schedules_anchor = 0
        self._schedules_since = 0.0
        self._limits_then = OperatorLimits()
        #: The schedule that the vehicle has chosen, as the station has it: not capped by the limits
        #: of that moment.
        self._plan: Schedule | None = None
        #: The vehicle's own plan, and since when it counts.
        self._profile: Schedule | None = None
        self._profile_since = 0.0
        #: By how much the vehicle may leave its plan, W; ``None``: nothing was agreed.
        self._tolerance: float | None = None
        #: What was told last of the vehicle's needs, and until when it may take to follow.
        self._needs = NO_NEEDS
        self._needs_until = 0.0
        #: What the charge loop tries to reach, before the limits of both sides.
        self.wanted = SetPoint(0.0, 0.0)

    def understands(self, message: Any, payload_type: int) -> bool:
        """Return whether a message is a request that may come on this stream."""
        return super().understands(message, payload_type) and (
            payload_type not in SIDE_STREAMS or type(message) in SIDE_STREAMS[payload_type])

    def receive_timeout(self, request: Any) -> float:
        """Return how long the vehicle may take for the request after this one, s."""
        if self.state is State.CHARGING and type(request) is not common.PowerDeliveryReq:
            return self.timing.sequence_charge_loop_iso20
        return self.timing.sequence

    def pause(self, reason: str) -> str | None:
        """Ask the vehicle to stop charging, or not to begin, and to come back later."""
        if self.state not in _IN_LOOP | _BEFORE_SCHEDULES | {State.STANDBY}:
            return 'there is no message in which that could be told now'
        self.pausing = True
        self.message = reason
        return None

    def watch(self, snapshot: Snapshot) -> None:
        """Follow the cable check, and the patience with a vehicle that shall pause."""
        super().watch(snapshot)
        if self.pausing and snapshot.stop is not None:
            # A stop leaves less time than a pause.
            self.pausing = False
            self.cancel(Trigger.STOP_IGNORED)
        if self.pausing and self.state not in self.ENDING | _BEFORE_SCHEDULES:
            self.start(Trigger.STOP_IGNORED, snapshot.now, self.timing.pause_notice)

    def offer(self, snapshot: Snapshot) -> Offer:
        """Return what the station offers now for the service that the vehicle has chosen.

        What it was told at first limits that, and the power a schedule that is kept to.
        """
        station = super().offer(snapshot)
        if self.limits_told is not None:
            station = station.within(self.limits_told)
        if self.selection is None or not self.selection.bidirectional:
            station = replace(
                station, maximum_discharge_current=0.0, maximum_discharge_power=0.0)
        if self._plan is None:
            return station
        elapsed = snapshot.now - self._schedules_since
        return replace(
            station,
            maximum_power=capped(station.maximum_power, self._plan.power_at(elapsed)),
            maximum_discharge_power=capped(
                station.maximum_discharge_power, self._plan.discharge_power_at(elapsed)))

    def notification(self, snapshot: Snapshot) -> tuple[common.EVSENotification, int] | None:
        """Return what the vehicle shall do within how many seconds, ``None``: go on."""
        if self.state in self.ENDING:
            return None
        if self.stopping:
            return common.EVSENotification.TERMINATE, 0
        if self.pausing:
            return common.EVSENotification.PAUSE, int(
                self.remaining(Trigger.STOP_IGNORED, snapshot.now))
        delay = int(self.timing.renegotiation)
        if (self._chosen.bidirectional and self.station.service_renegotiation
                and not can_discharge(snapshot)):
            return common.EVSENotification.SERVICE_RENEGOTIATION, delay
        if self.station.renegotiation and snapshot.limits != self._limits_then:
            if self.state is State.STANDBY:
                return common.EVSENotification.EXIT_STANDBY, delay
            if self.state in _IN_LOOP:
                return common.EVSENotification.SCHEDULE_RENEGOTIATION, delay
        if (self.confirmation_wanted and self.meter_info is not None
                and self.state is State.CHARGING):
            return common.EVSENotification.METERING_CONFIRMATION, delay
        return None

    def takes_needs(self) -> str | None:
        """Return why the operator cannot say what the vehicle needs, or ``None``."""
        if self.selection is None or not self.selection.shares_needs:
            return 'the vehicle has not chosen that'
        return None

    def needs_told(self, snapshot: Snapshot, *, in_loop: bool = False) -> dict[str, int]:
        """Return what a message tells of the vehicle's needs, by the names of its elements.

        In the charge loop it says, too, how long the vehicle may take to make them its own.
        """
        if not self._chosen.shares_needs:
            return {}
        now, told = snapshot.now, needs_told(snapshot.needs, snapshot.now)
        if snapshot.needs != self._needs:
            self._needs, self._needs_until = snapshot.needs, now + self.timing.needs_notice
        if told and in_loop and now < self._needs_until:
            told['ack_max_delay'] = math.ceil(self._needs_until - now)
        return told

    # One handler per message.

    def charge_parameters(
        self, request: dc.DCChargeParameterDiscoveryReq, snapshot: Snapshot,
    ) -> Answer:
        """Exchange limits; keep the vehicle's only if they are accepted."""
        self._plan = self.limits_told = None
        # Without the operator's limits, which come and go.
        station = self.limits_told = self.offer(replace(snapshot, limits=OperatorLimits()))
        mode = request.dc_cpd_req_energy_transfer_mode
        both = isinstance(mode, dc.BPTDCCPDReqEnergyTransferMode)
        if both is not self._chosen.bidirectional:
            raise Refused(Trigger.ENERGY_TRANSFER_NOT_OFFERED)
        wrong = impossible(mode, station)
        if wrong:
            raise Refused(Trigger.CHARGE_PARAMETERS, wrong)
        self._heed(read(mode))
        return Answer()

    def schedule_exchange(
        self, request: common.ScheduleExchangeReq, snapshot: Snapshot,
    ) -> Answer:
        """Offer schedules, or take the vehicle's wishes if the station leads."""
        dynamic, scheduled = (
            request.dynamic_se_req_control_mode, request.scheduled_se_req_control_mode)
        wishes = dynamic or scheduled
        if wishes is None or (dynamic is not None) is not self._is_dynamic:
            raise Refused(Trigger.CONTROL_MODE)
        self._plan = None
        self.vehicle = replace(
            self.vehicle, departure_time=wishes.departure_time,
            energy_request=joules(wishes.ev_target_energy_request))
        station = self.offer(snapshot)
        self.schedules = offered(
            self.station.schedules, station.maximum_power, wishes.departure_time,
            request.maximum_supporting_points,
            station.maximum_discharge_power if self._chosen.bidirectional else 0.0)
        self.schedules_anchor, self._schedules_since = self.unix_time(), snapshot.now
        self._limits_then = snapshot.limits
        if self.pausing:
            # The response says so.
            self.start(Trigger.STOP_IGNORED, snapshot.now, self.timing.pause_notice)
        return Answer()

    def cable_check(self, request: dc.DCCableCheckReq, snapshot: Snapshot) -> Answer:
        """Test the isolation once the vehicle is in C or D; it asks again until that is done."""
        # From now on nothing else is allowed, also while the answer is "Ongoing".
        self.state = State.CABLE_CHECK
        return Answer(self.check_cable(snapshot))

    def pre_charge(self, request: dc.DCPreChargeReq, snapshot: Snapshot) -> Answer:
        """Follow the vehicle's voltage with each request; when it fits, the vehicle decides."""
        voltage = bounded(request.ev_target_voltage)
        self.vehicle = replace(
            self.vehicle, target_voltage=voltage,
            present_voltage=bounded(request.ev_present_voltage))
        self.start(Trigger.POWER_DELIVERY_TIMEOUT, snapshot.now, self.timing.power_delivery)
        self.wanted = SetPoint(voltage, 0.0)
        self.charge.pre_charge(voltage, self.offer(snapshot))
        return Answer(self.readiness(snapshot))

    def power_delivery(self, request: common.PowerDeliveryReq, snapshot: Snapshot) -> Answer:
        """Do what the vehicle wants of the power as soon as it is ready for that."""
        if request.bpt_channel_selection is not None and not self._chosen.bidirectional:
            raise Refused(Trigger.CONTROL_MODE, 'BPT_ChannelSelection')
        if request.ev_processing is not common.Processing.FINISHED:
            if self.state in _IN_LOOP:
                # No set-points come any more.
                self.charge.stand_by()
            return Answer(then=_UNTIL_READY.get(self.state, self.state))
        return _PROGRESS[request.charge_progress](self, request, snapshot)

    def charge_loop(self, request: dc.DCChargeLoopReq, snapshot: Snapshot) -> Answer:
        """Follow the vehicle's set-points, or lead it, as far as both sides' limits allow."""
        mode, chosen = request.cl_req_control_mode, self._chosen
        if type(mode) is not KINDS[chosen.bidirectional, chosen.control][0]:
            raise Refused(Trigger.CONTROL_MODE, type(mode).__name__)
        told = read(mode)
        self._heed(told, present_voltage=bounded(request.ev_present_voltage))
        self._show(request.display_parameters)
        power = snapshot.power
        if power is None or power.voltage is None:
            raise Refused(Trigger.MEASUREMENT_MISSING)
        station = self.offer(snapshot)
        self.wanted = (
            dynamic_set_point(told, station, snapshot.needs, self.vehicle.state_of_charge)
            if self._is_dynamic else SetPoint(
                # Some vehicles send zero after a first value, be it that of the pre-charge: it
                # means the same as before.
                told.target_voltage or self.wanted.voltage, told.target_current or 0.0))
        self.charge.charge(self.wanted.voltage, self.wanted.current, power.voltage, station)
        if self.readiness(snapshot) is not Condition.READY:
            # There is no status in which this could be told while the charge loop goes on.
            raise Refused(Trigger.CONTACTORS_NOT_CLOSED)
        self.read_meter(request.meter_info_requested, chosen.bidirectional, snapshot)
        leaves_plan = self._leaves_plan(self.wanted.current * power.voltage, snapshot.now)
        return Answer(trigger=Trigger.PROFILE_EXCEEDED if leaves_plan else Trigger.ACCEPTED)

    def welding_detection(self, request: dc.DCWeldingDetectionReq, snapshot: Snapshot) -> Answer:
        """Measure with open contactors, once the vehicle is back in B."""
        return Answer(Condition.SHUTDOWN, wait=self.check_welding(snapshot))

    def session_stop(self, request: common.SessionStopReq, snapshot: Snapshot) -> Answer:
        """End the session from whatever state; after the stop let it sleep or begin once more."""
        if request.charging_session is common.ChargingSession.TERMINATE:
            return self.stop_session(snapshot)
        if request.charging_session is common.ChargingSession.PAUSE:
            return self._pause()
        if (not self.station.service_renegotiation or self.state not in _WITHOUT_POWER
                or self.stopping):
            raise Refused(Trigger.SERVICES_NOT_RENEGOTIABLE)
        wait = self.back_in_b(snapshot) if self.vehicle_was_ready else None
        self.start_over()
        self._plan = self._profile = self.selection = None
        self.pausing = False
        self.want_no_confirmation()
        return Answer(then=State.SERVICE_DISCOVERY, wait=wait, goes_on=True)

    # What PowerDeliveryReq asks for.

    def _start(self, request: common.PowerDeliveryReq, snapshot: Snapshot) -> Answer:
        if self.state in _IN_LOOP:
            raise Refused(Trigger.STARTED_TWICE)
        if self.state not in _CLOSED or self.stopping or self.pausing:
            raise Refused(Trigger.NOT_READY_FOR_POWER)
        trigger = self._choose(request.ev_power_profile, snapshot)
        self._hold(snapshot)
        self.confirmation_due = snapshot.now + self.station.receipt_interval
        return Answer(trigger=trigger, then=State.CHARGING)

    def _stop(self, request: common.PowerDeliveryReq, snapshot: Snapshot) -> Answer:
        self.cancel(Trigger.STOP_IGNORED)
        if self.state not in _CLOSED:
            return Answer(Condition.SHUTDOWN, then=State.STOPPED)
        return Answer(Condition.SHUTDOWN, then=State.STOPPED, wait=self.stop_power(snapshot))

    def _standby(self, request: common.PowerDeliveryReq, snapshot: Snapshot) -> Answer:
        if not self.station.standby or self.state not in _CLOSED:
            back = State.CHARGING if self.state is State.LEAVING else self.state
            return Answer(trigger=Trigger.STANDBY_NOT_POSSIBLE, then=back)
        self._hold(snapshot)
        return Answer(then=State.STANDBY)

    def _renegotiate(self, request: common.PowerDeliveryReq, snapshot: Snapshot) -> Answer:
        if self.state not in _IN_LOOP | {State.STANDBY}:
            raise Refused(Trigger.RENEGOTIATED_TOO_EARLY)
        self._hold(snapshot)
        return Answer(then=State.RENEGOTIATION)

    # What the handlers share.

    @property
    def _chosen(self) -> Selection:
        if self.selection is None:
            raise Refused(Trigger.OUT_OF_SEQUENCE)
        return self.selection

    @property
    def _is_dynamic(self) -> bool:
        return self._chosen.control is ControlMode.DYNAMIC

    def _hold(self, snapshot: Snapshot) -> None:
        """Keep the contactors closed without current."""
        if self.readiness(snapshot) is not Condition.READY:
            raise Refused(Trigger.CONTACTORS_NOT_CLOSED)
        self.cancel(Trigger.POWER_DELIVERY_TIMEOUT)
        self.charge.stand_by()

    def _choose(self, profile: common.EVPowerProfile | None, snapshot: Snapshot) -> Trigger:
        """Take the schedule that the vehicle has chosen, and check its plan against it.

        Return what that has come to.
        """
        self._profile = self._tolerance = self.schedule_number = None
        if self._is_dynamic:
            if profile is not None and profile.dynamic_evppt_control_mode is None:
                raise Refused(Trigger.PROFILE_KIND)
            # The vehicle does not choose: the first.
            self._plan = self.station.schedules[0]
            return Trigger.ACCEPTED
        choice = None if profile is None else profile.scheduled_evppt_control_mode
        if profile is not None and choice is None:
            raise Refused(Trigger.PROFILE_KIND)
        # A vehicle that does not choose has taken the first.
        chosen = self.schedules[0].number if choice is None else choice.selected_schedule_tuple_id
        schedule = next((item for item in self.schedules if item.number == chosen), None)
        if schedule is None:
            raise Refused(Trigger.SCHEDULE_NOT_OFFERED, f'number {chosen}')
        if profile is not None:
            plan, end = plan_of(profile)
            if self.station.strict_profile and not schedule.covers(plan, end):
                raise Refused(Trigger.PROFILE_ABOVE_SCHEDULE)
            self._profile, self._profile_since = Schedule(chosen, plan), snapshot.now
        self._plan = next(item for item in self.station.schedules if item.number == chosen)
        self.schedule_number = chosen
        if schedule.tolerance is None:
            return Trigger.ACCEPTED
        if choice is not None and choice.power_tolerance_acceptance is _CONFIRMED:
            self._tolerance = schedule.tolerance
            return Trigger.TOLERANCE_CONFIRMED
        if self.station.strict_tolerance:
            raise Refused(Trigger.TOLERANCE_REFUSED)
        return Trigger.TOLERANCE_NOT_CONFIRMED

    def _leaves_plan(self, power: float, now: float) -> bool:
        """Return whether a vehicle that wants so much power, W, leaves its own plan."""
        if self._profile is None:
            return False
        planned = self._profile.power_at(now - self._profile_since)
        if self._tolerance is not None:
            return abs(power - planned) > self._tolerance
        return not (
            min(0.0, planned) * _PROFILE_TOLERANCE <= power
            <= max(0.0, planned) * _PROFILE_TOLERANCE)

    def _heed(self, told: Wishes, **values: Any) -> None:
        """Take over limits that the vehicle tells, and keep what it has told."""
        # Unlike with the older protocols, a power of zero means that nothing is wanted.
        self.charge.limit(told.maximum_voltage, told.maximum_current, told.maximum_power)
        if self._chosen.bidirectional:
            self.charge.limit_discharge(
                told.maximum_discharge_current, told.maximum_discharge_power)
        values |= known(
            target_voltage=told.target_voltage,
            target_current=told.target_current,
            maximum_voltage=told.maximum_voltage,
            minimum_voltage=told.minimum_voltage,
            maximum_current=told.maximum_current,
            maximum_power=told.maximum_power,
            maximum_discharge_current=told.maximum_discharge_current,
            maximum_discharge_power=told.maximum_discharge_power,
            energy_request=told.energy_request,
            departure_time=told.departure_time)
        self.vehicle = replace(self.vehicle, **values)

    def _show(self, display: dc.DisplayParameters | None) -> None:
        if display is None:
            return
        values: dict[str, Any] = dict(known(
            state_of_charge=ratio(display.present_soc),
            full_state_of_charge=ratio(display.maximum_soc),
            remaining_time=display.remaining_time_to_target_soc,
            energy_capacity=joules(display.battery_energy_capacity)))
        if display.charging_complete is not None:
            values['charging_complete'] = display.charging_complete
        self.vehicle = replace(self.vehicle, **values)

    def _pause(self) -> Answer:
        if self.state not in _STOPPED or self.selection is None:
            raise Refused(Trigger.PAUSED_TOO_EARLY)
        self.charge.off(Shutdown.NORMAL)
        self.cancel_all()
        self.paused = Paused20(
            protocol=self.PROTOCOL, session_id=self.session_id,
            authorization=self.authorization, authorized=self.authorized,
            vehicle_certificate_digest=self.context.vehicle_certificate_digest,
            selection=self.selection, selected_added=self.selected_added,
            contract_id=self.contract_id, contract_key=self.contract_key)
        return Answer(Condition.SHUTDOWN, then=State.PAUSED)


_PROGRESS: Mapping[
    common.ChargeProgress, Callable[[Iso20Engine, common.PowerDeliveryReq, Snapshot], Answer],
] = {
    common.ChargeProgress.START: Iso20Engine._start,
    common.ChargeProgress.STOP: Iso20Engine._stop,
    common.ChargeProgress.STANDBY: Iso20Engine._standby,
    common.ChargeProgress.SCHEDULE_RENEGOTIATION: Iso20Engine._renegotiate,
}

_Rules = dict[type, Rule]
_E = Iso20Engine
_STOP: _Rules = {common.SessionStopReq: Rule(_E.session_stop, State.ENDED)}
_AUTHORIZE: _Rules = {
    common.AuthorizationReq: Rule(_E.authorize, State.SERVICE_DISCOVERY),
    common.CertificateInstallationReq: Rule(_E.certificate_installation, State.AUTHORIZATION)}
_DETAIL: _Rules = {common.ServiceDetailReq: Rule(_E.service_detail, State.SERVICE_SELECTION)}
_SCHEDULE: _Rules = {common.ScheduleExchangeReq: Rule(_E.schedule_exchange, State.SCHEDULED)}
_SCHEDULE_AGAIN: _Rules = {
    common.ScheduleExchangeReq: Rule(_E.schedule_exchange, State.RENEGOTIATED)}
_CABLE: _Rules = {dc.DCCableCheckReq: Rule(_E.cable_check, State.PRE_CHARGE)}
_PRE_CHARGE: _Rules = {dc.DCPreChargeReq: Rule(_E.pre_charge, State.PRE_CHARGED)}
#: ChargeProgress decides what comes next.
_POWER: _Rules = {common.PowerDeliveryReq: Rule(_E.power_delivery, State.CHARGING)}
_WELDING: _Rules = {
    dc.DCWeldingDetectionReq: Rule(_E.welding_detection, State.WELDING_DETECTION)}
_CHECK_IN: _Rules = {common.VehicleCheckInReq: Rule(_E.vehicle_check, State.PARAMETERS)}
_CHECK_OUT: _Rules = {common.VehicleCheckOutReq: Rule(_E.vehicle_check, State.STOPPED)}

#: What is allowed in which state, who handles it, and what comes next.  An answer "Ongoing" keeps
#: the state; ChargeProgress, ChargingSession and warnings choose among states.
TABLE: dict[Enum, _Rules] = {
    State.SESSION_SETUP: {
        common.SessionSetupReq: Rule(_E.session_setup, State.AUTHORIZATION_SETUP)},
    State.AUTHORIZATION_SETUP: _STOP | {
        common.AuthorizationSetupReq: Rule(_E.authorization_setup, State.AUTHORIZATION)},
    State.AUTHORIZATION: _STOP | _AUTHORIZE,
    State.SERVICE_DISCOVERY: _STOP | {
        common.ServiceDiscoveryReq: Rule(_E.service_discovery, State.SERVICE_DETAIL)},
    State.SERVICE_DETAIL: _STOP | _DETAIL,
    State.SERVICE_SELECTION: _STOP | _DETAIL | {
        common.ServiceSelectionReq: Rule(_E.service_selection, State.PARAMETERS)},
    State.PARAMETERS: _STOP | _CHECK_IN | {
        dc.DCChargeParameterDiscoveryReq: Rule(_E.charge_parameters, State.SCHEDULE_EXCHANGE)},
    State.SCHEDULE_EXCHANGE: _STOP | _SCHEDULE,
    State.SCHEDULED: _STOP | _SCHEDULE | _CABLE | _POWER,
    State.CABLE_CHECK: _STOP | _CABLE,
    State.PRE_CHARGE: _STOP | _PRE_CHARGE,
    State.PRE_CHARGED: _STOP | _PRE_CHARGE | _POWER,
    State.STARTING: _STOP | _POWER,
    State.CHARGING: _STOP | _POWER | {
        dc.DCChargeLoopReq: Rule(_E.charge_loop, State.CHARGING),
        common.MeteringConfirmationReq: Rule(_E.metering_confirmation, State.CHARGING)},
    State.LEAVING: _STOP | _POWER,
    State.STANDBY: _STOP | _POWER,
    State.RENEGOTIATION: _STOP | _SCHEDULE_AGAIN,
    State.RENEGOTIATED: _STOP | _SCHEDULE_AGAIN | _POWER,
    State.STOPPED: _STOP | _WELDING | _CHECK_OUT,
    State.WELDING_DETECTION: _STOP | _WELDING | _CHECK_OUT,
    State.PAUSED: {},
    State.ENDED: {},
}

#: The same without SessionStopReq in the charge loop, where some readers do not find it.
STRICT_TABLE = TABLE | {
    State.CHARGING: {
        kind: rule for kind, rule in TABLE[State.CHARGING].items()
        if kind is not common.SessionStopReq}}

Iso20Engine.TABLE = TABLE
