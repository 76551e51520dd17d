"""ISO 15118-2 from the station's side, DC: the table of states, and the handlers of charging."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from enum import Enum
from typing import ClassVar

from ..exi.messages import iso2
from . import iso2_codes, iso2_responses
from .charge import Offer, capped
from .command import Shutdown
from .context import Context, Paused
from .engine import Answer, Refused, Rule
from .iso2_payment import Iso2Payment, State
from .iso2_tariffs import NOTHING, tariffs_for
from .protocols import ISO_15118_2
from .schedules import Schedule, Step, offered
from .station import IsolationState, OperatorLimits, Snapshot
from .triggers import Condition, Trigger
from .views import AuthorizationKind, Stage

_CHARGING = (State.STARTED, State.CHARGING, State.RECEIPT)


class Iso2Engine(Iso2Payment):
    """One session by ISO 15118-2, DC."""

    PROTOCOL = ISO_15118_2
    BUILDERS = iso2_responses.BUILDERS
    CODES = iso2_codes.CODES
    SESSION_SETUP = iso2.SessionSetupReq
    SESSION_STOP = iso2.SessionStopReq
    STATUS_CARRIERS = frozenset({
        iso2.ChargeParameterDiscoveryReq, iso2.CableCheckReq, iso2.PreChargeReq,
        iso2.PowerDeliveryReq, iso2.CurrentDemandReq, iso2.MeteringReceiptReq,
        iso2.WeldingDetectionReq})
    EXPECTS_READY = frozenset({
        State.CABLE_CHECK, State.PRE_CHARGE, State.PRE_CHARGED, State.RENEGOTIATION,
        State.RENEGOTIATED, *_CHARGING})
    ENDING = frozenset({State.STOPPED, State.WELDING_DETECTION, State.PAUSED, State.ENDED})
    NEEDS_STATION = EXPECTS_READY | {State.PARAMETERS, State.STOPPED, State.WELDING_DETECTION}
    STAGES: ClassVar[Mapping[Enum, Stage]] = {
        State.SESSION_SETUP: Stage.SETUP,
        State.SERVICE_DISCOVERY: Stage.SETUP,
        State.SERVICES: Stage.SETUP,
        State.CERTIFICATES: Stage.AUTHORIZATION,
        State.PAYMENT_DETAILS: Stage.AUTHORIZATION,
        State.AUTHORIZATION: Stage.AUTHORIZATION,
        State.PARAMETERS: Stage.PARAMETERS,
        State.CABLE_CHECK: Stage.CABLE_CHECK,
        State.PRE_CHARGE: Stage.PRE_CHARGE,
        State.PRE_CHARGED: Stage.PRE_CHARGE,
        State.STARTED: Stage.CHARGING,
        State.CHARGING: Stage.CHARGING,
        State.RECEIPT: Stage.CHARGING,
        State.RENEGOTIATION: Stage.PARAMETERS,
        State.RENEGOTIATED: Stage.PARAMETERS,
        State.STOPPED: Stage.STOPPING,
        State.WELDING_DETECTION: Stage.STOPPING,
        State.PAUSED: Stage.PAUSED,
        State.ENDED: Stage.FINISHED,
    }

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        #: The schedules as the vehicle has got them, and what they were made from.
        self.schedules: tuple[Schedule, ...] = ()
        #: What it is told of their price.
        self.tariffs = NOTHING
        self._schedules_since = 0.0
        self._limits_then = OperatorLimits()
        #: The schedule that the vehicle has chosen.
        self.schedule_number = self.station.schedules[0].number
        #: The same as the station has it: not capped by the limits of that moment.
        self._plan: Schedule | None = None
        #: What the meter said in the last response of the charge loop.
        self.meter_info: iso2.MeterInfo | None = None
        self.receipt_wanted = False
        self._receipt_due = 0.0

    def pause(self, reason: str) -> str | None:
        """Ask the vehicle to stop charging and to come back later."""
        if self.state not in _CHARGING:
            return 'the vehicle is not charging'
        self.pausing = True
        self.message = reason
        return None

    def watch(self, snapshot: Snapshot) -> None:
        """Follow the cable check, and the patience with a vehicle that shall pause."""
        super().watch(snapshot)
        if self.pausing and self.state not in self.ENDING:
            self.start(Trigger.STOP_IGNORED, snapshot.now, self.timing.stop_patience)

    def offer(self, snapshot: Snapshot) -> Offer:
        """Return what the station offers now; a schedule that is kept to limits the power."""
        station = super().offer(snapshot)
        if self._plan is None:
            return station
        power = self._plan.power_at(snapshot.now - self._schedules_since)
        return replace(station, maximum_power=capped(station.maximum_power, power))

    def isolation(self, snapshot: Snapshot) -> IsolationState:
        """Return what is known of the isolation: the stop makes the cable check's result void."""
        return IsolationState.INVALID if self.state in self.ENDING else super().isolation(snapshot)

    def notification(self, snapshot: Snapshot) -> tuple[iso2.EVSENotification, int]:
        """Return what the vehicle shall do, and within how many seconds."""
        if self.state in self.ENDING:
            return iso2.EVSENotification.NONE, 0
        if self.stopping or self.pausing:
            return iso2.EVSENotification.STOP_CHARGING, int(
                self.remaining(Trigger.STOP_IGNORED, snapshot.now))
        if (self.station.renegotiation and self.state in _CHARGING
                and snapshot.limits != self._limits_then):
            return iso2.EVSENotification.RE_NEGOTIATION, int(self.timing.renegotiation)
        return iso2.EVSENotification.NONE, 0

    # One handler per message.

    def charge_parameters(
        self, request: iso2.ChargeParameterDiscoveryReq, snapshot: Snapshot,
    ) -> Answer:
        """Exchange limits and schedules; keep the vehicle's limits only if they are accepted."""
        self._plan = None
        station = self.offer(snapshot)
        if request.requested_energy_transfer_mode is not iso2_responses.ENERGY_TRANSFER:
            raise Refused(Trigger.ENERGY_TRANSFER_NOT_OFFERED, 'wanted '
                          + request.requested_energy_transfer_mode.value)
        limits = request.ev_charge_parameter
        if not isinstance(limits, iso2.DCEVChargeParameter):
            raise Refused(Trigger.CHARGE_PARAMETERS)
        self.take_limits(limits, station, departure_time=limits.departure_time)
        self.schedules = offered(
            self.station.schedules, station.maximum_power, limits.departure_time,
            request.max_entries_sa_schedule_tuple)
        self.tariffs = tariffs_for(
            self.station.tariffs, self.schedules, request.max_entries_sa_schedule_tuple,
            contract_issuer=self.contract_issuer,
            by_contract=self.authorization is AuthorizationKind.CONTRACT)
        self.response_signature = self.tariffs.signature
        self._schedules_since = snapshot.now
        self._limits_then = snapshot.limits
        return Answer()

    def charge_again(
        self, request: iso2.ChargeParameterDiscoveryReq, snapshot: Snapshot,
    ) -> Answer:
        """Begin once more after the stop: cable check and all."""
        self.start_over()
        return self.charge_parameters(request, snapshot)

    def cable_check_with_power_on(
        self, request: iso2.CableCheckReq, snapshot: Snapshot,
    ) -> Answer:
        """Answer from the test of this session: a battery is on the cable (8.7.4.3 NOTE 1)."""
        self.told(request.dc_ev_status)
        self.heed_error()
        return Answer(self.readiness(snapshot))

    def power_delivery(self, request: iso2.PowerDeliveryReq, snapshot: Snapshot) -> Answer:
        """Start or stop charging after the pre-charge or a renegotiation."""
        if request.charge_progress is iso2.ChargeProgress.STOP:
            return self._stop(request, snapshot)
        if request.charge_progress is iso2.ChargeProgress.RENEGOTIATE:
            raise Refused(Trigger.RENEGOTIATED_TOO_EARLY)
        self._choose(request)
        if (self.stopping or self.pausing
                or self.readiness(snapshot) is not Condition.READY):
            raise Refused(Trigger.NOT_READY_FOR_POWER)
        self.told_at_power_delivery(request)
        self.cancel(Trigger.POWER_DELIVERY_TIMEOUT)
        self.charge.stand_by()
        self._receipt_due = snapshot.now + self.station.receipt_interval
        return Answer()

    def power_delivery_in_loop(
        self, request: iso2.PowerDeliveryReq, snapshot: Snapshot,
    ) -> Answer:
        """Stop charging, or interrupt it for another schedule: voltage stays, current goes."""
        if request.charge_progress is iso2.ChargeProgress.START:
            raise Refused(Trigger.STARTED_TWICE)
        if request.charge_progress is iso2.ChargeProgress.STOP:
            return self._stop(request, snapshot)
        self.told_at_power_delivery(request)
        self.charge.stand_by()
        return Answer(self.readiness(snapshot), then=State.RENEGOTIATION)

    def current_demand(self, request: iso2.CurrentDemandReq, snapshot: Snapshot) -> Answer:
        """Follow the vehicle's set-points; tell the meter's reading, ask for a receipt if due."""
        answer = super().current_demand(request, snapshot)
        clock = self.station.unix_time
        self.meter_info = iso2_responses.meter_info(
            snapshot.meter, None if clock is None else clock())
        self.receipt_wanted = (
            self.authorization is AuthorizationKind.CONTRACT and self.meter_info is not None
            and self.station.receipt_interval > 0.0 and snapshot.now >= self._receipt_due)
        return replace(answer, then=State.RECEIPT) if self.receipt_wanted else answer

    def metering_receipt(self, request: iso2.MeteringReceiptReq, snapshot: Snapshot) -> Answer:
        """Check that the vehicle has signed the reading that it was sent [V2G2-903]."""
        if request.session_id != self.session_id:
            raise Refused(Trigger.RECEIPT_SESSION)
        told, meant = request.meter_info, self.meter_info
        if meant is None or (told.meter_id, told.meter_reading) != (
                meant.meter_id, meant.meter_reading):
            raise Refused(Trigger.RECEIPT, 'another reading')
        wrong = self.check_signed('MeteringReceiptReq', request)
        if wrong:
            raise Refused(Trigger.RECEIPT, wrong)
        self._receipt_due = snapshot.now + self.station.receipt_interval
        return Answer(self.readiness(snapshot))

    def session_stop(self, request: iso2.SessionStopReq, snapshot: Snapshot) -> Answer:
        """End the session from whatever state, or after the stop let it sleep."""
        if request.charging_session is iso2.ChargingSession.TERMINATE:
            return self.stop_session(snapshot)
        if self.state not in (State.STOPPED, State.WELDING_DETECTION):
            raise Refused(Trigger.PAUSED_TOO_EARLY)
        self.charge.off(Shutdown.NORMAL)
        self.cancel_all()
        self.paused = Paused(
            protocol=self.PROTOCOL, session_id=self.session_id,
            authorization=self.authorization, authorized=self.authorized,
            contract_id=self.contract_id)
        return Answer(Condition.SHUTDOWN, then=State.PAUSED)

    # What the handlers share.

    def _stop(self, request: iso2.PowerDeliveryReq, snapshot: Snapshot) -> Answer:
        self.told_at_power_delivery(request)
        return Answer(
            Condition.SHUTDOWN, then=State.STOPPED, wait=self.stop_power(snapshot))

    def _choose(self, request: iso2.PowerDeliveryReq) -> None:
        """Take the schedule that the vehicle has chosen, and check its plan against it."""
        chosen = request.sa_schedule_tuple_id
        schedule = next((item for item in self.schedules if item.number == chosen), None)
        if schedule is None:
            raise Refused(Trigger.SCHEDULE_NOT_OFFERED, f'number {chosen}')
        if request.charging_profile is not None and self.station.strict_profile:
            plan = [
                Step(entry.charging_profile_entry_start,
                     float(entry.charging_profile_entry_max_power))
                for entry in request.charging_profile.profile_entry]
            if not schedule.covers(plan):
                raise Refused(Trigger.PROFILE_ABOVE_SCHEDULE)
        self.schedule_number = chosen
        self._plan = next(
            item for item in self.station.schedules if item.number == chosen)


_Rules = dict[type, Rule]
_E = Iso2Engine
_STOP: _Rules = {iso2.SessionStopReq: Rule(_E.session_stop, State.ENDED)}
_IN_LOOP: _Rules = {
    iso2.CurrentDemandReq: Rule(_E.current_demand, State.CHARGING),
    iso2.PowerDeliveryReq: Rule(_E.power_delivery_in_loop, State.STOPPED)}
_PAYMENT_DETAILS: _Rules = {
    iso2.PaymentDetailsReq: Rule(_E.payment_details, State.AUTHORIZATION)}
_PRE_CHARGE: _Rules = {iso2.PreChargeReq: Rule(_E.pre_charge, State.PRE_CHARGED)}
_START: _Rules = {iso2.PowerDeliveryReq: Rule(_E.power_delivery, State.STARTED)}
_WELDING: _Rules = {
    iso2.WeldingDetectionReq: Rule(_E.welding_detection, State.WELDING_DETECTION)}

#: What is allowed in which state, who handles it, and what comes next.  An answer "Ongoing" keeps
#: the state; the way of payment, ChargeProgress and a receipt that is due choose among states.
TABLE: dict[Enum, _Rules] = {
    State.SESSION_SETUP: {
        iso2.SessionSetupReq: Rule(_E.session_setup, State.SERVICE_DISCOVERY)},
    State.SERVICE_DISCOVERY: _STOP | {
        iso2.ServiceDiscoveryReq: Rule(_E.service_discovery, State.SERVICES)},
    State.SERVICES: _STOP | {
        iso2.ServiceDetailReq: Rule(_E.service_detail, State.SERVICES),
        iso2.PaymentServiceSelectionReq: Rule(_E.payment_selection, State.AUTHORIZATION)},
    State.CERTIFICATES: _STOP | _PAYMENT_DETAILS | {
        iso2.CertificateInstallationReq: Rule(
            _E.certificate_installation, State.PAYMENT_DETAILS),
        iso2.CertificateUpdateReq: Rule(_E.certificate_update, State.PAYMENT_DETAILS)},
    State.PAYMENT_DETAILS: _STOP | _PAYMENT_DETAILS,
    State.AUTHORIZATION: _STOP | {
        iso2.AuthorizationReq: Rule(_E.authorize, State.PARAMETERS)},
    State.PARAMETERS: _STOP | {
        iso2.ChargeParameterDiscoveryReq: Rule(_E.charge_parameters, State.CABLE_CHECK)},
    State.CABLE_CHECK: _STOP | {
        iso2.CableCheckReq: Rule(_E.cable_check, State.PRE_CHARGE)},
    State.PRE_CHARGE: _STOP | _PRE_CHARGE,
    State.PRE_CHARGED: _STOP | _PRE_CHARGE | _START,
    State.STARTED: _STOP | _IN_LOOP,
    State.CHARGING: _STOP | _IN_LOOP,
    State.RECEIPT: _STOP | {
        iso2.MeteringReceiptReq: Rule(_E.metering_receipt, State.CHARGING)},
    State.RENEGOTIATION: _STOP | {
        iso2.ChargeParameterDiscoveryReq: Rule(_E.charge_parameters, State.RENEGOTIATED)},
    State.RENEGOTIATED: _STOP | _START | {
        iso2.CableCheckReq: Rule(_E.cable_check_with_power_on, State.PRE_CHARGE)},
    State.STOPPED: _STOP | _WELDING | {
        iso2.ChargeParameterDiscoveryReq: Rule(_E.charge_again, State.CABLE_CHECK)},
    State.WELDING_DETECTION: _STOP | _WELDING,
    State.PAUSED: {},
    State.ENDED: {},
}

Iso2Engine.TABLE = TABLE
