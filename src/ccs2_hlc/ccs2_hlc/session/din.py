"""DIN SPEC 70121 from the station's side: the table of states and one handler per message."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from enum import Enum
from typing import Any, ClassVar

from ..exi.messages import din
from . import din_codes, din_responses
from .context import Context
from .dc_messages import DcMessages
from .engine import Answer, Refused, Rule
from .protocols import DIN_70121
from .station import Decision, Snapshot
from .triggers import Condition, Trigger
from .views import AuthorizationKind, Stage


class State(Enum):
    """What the station waits for."""

    SESSION_SETUP = 'SessionSetup'
    SERVICE_DISCOVERY = 'ServiceDiscovery'
    PAYMENT_SELECTION = 'ServicePaymentSelection'
    AUTHENTICATION = 'ContractAuthentication'
    PARAMETERS = 'ChargeParameterDiscovery'
    CABLE_CHECK = 'CableCheck'
    PRE_CHARGE = 'PreCharge'
    PRE_CHARGED = 'PreCharge or PowerDelivery'
    STARTED = 'CurrentDemand'
    CHARGING = 'CurrentDemand or PowerDelivery'
    STOPPED = 'WeldingDetection or SessionStop'
    WELDING_DETECTION = 'WeldingDetection again or SessionStop'
    ENDED = 'nothing'


class DinEngine(DcMessages):
    """One session by DIN SPEC 70121."""

    PROTOCOL = DIN_70121
    BUILDERS = din_responses.BUILDERS
    CODES = din_codes.CODES
    SESSION_SETUP = din.SessionSetupReq
    SESSION_STOP = din.SessionStopReq
    STATUS_CARRIERS = frozenset({
        din.ChargeParameterDiscoveryReq, din.CableCheckReq, din.PreChargeReq,
        din.PowerDeliveryReq, din.CurrentDemandReq, din.WeldingDetectionReq})
    EXPECTS_READY = frozenset({
        State.CABLE_CHECK, State.PRE_CHARGE, State.PRE_CHARGED, State.STARTED, State.CHARGING})
    ENDING = frozenset({State.STOPPED, State.WELDING_DETECTION, State.ENDED})
    NEEDS_STATION = EXPECTS_READY | {State.PARAMETERS, State.STOPPED, State.WELDING_DETECTION}
    STAGES: ClassVar[Mapping[Enum, Stage]] = {
        State.SESSION_SETUP: Stage.SETUP,
        State.SERVICE_DISCOVERY: Stage.SETUP,
        State.PAYMENT_SELECTION: Stage.SETUP,
        State.AUTHENTICATION: Stage.AUTHORIZATION,
        State.PARAMETERS: Stage.PARAMETERS,
        State.CABLE_CHECK: Stage.CABLE_CHECK,
        State.PRE_CHARGE: Stage.PRE_CHARGE,
        State.PRE_CHARGED: Stage.PRE_CHARGE,
        State.STARTED: Stage.CHARGING,
        State.CHARGING: Stage.CHARGING,
        State.STOPPED: Stage.STOPPING,
        State.WELDING_DETECTION: Stage.STOPPING,
        State.ENDED: Stage.FINISHED,
    }

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.authorization = AuthorizationKind.EXTERNAL
        self._p_max = 0
        if self.station.strict_sequence:
            self.table = STRICT_TABLE

    def open(self, message: din.V2GMessage) -> tuple[bytes, Any]:
        """Return session id and request of a message."""
        return message.header.session_id, message.body

    def wrap(self, response: din.BodyElement) -> din.V2GMessage:
        """Return the message that carries a response; zero stands for no session yet."""
        return din.V2GMessage(
            header=din.MessageHeader(session_id=self.session_id or bytes(8)), body=response)

    def receive_timeout(self, request: Any) -> float:
        """Return how long the vehicle may take for the request after this one, s."""
        if type(request) is din.CurrentDemandReq:
            return self.timing.sequence_charge_loop
        return self.timing.sequence

    # One handler per message.

    def session_setup(self, request: din.SessionSetupReq, snapshot: Snapshot) -> Answer:
        """Open a session; its id is always a new one [V2G-DC-872]."""
        self.session_id = self.context.new_session_id()
        self.vehicle = replace(self.vehicle, evcc_id=request.evcc_id.hex())
        return Answer(trigger=Trigger.NEW_SESSION)

    def service_discovery(self, request: din.ServiceDiscoveryReq, snapshot: Snapshot) -> Answer:
        """Offer charging; scope and category do not narrow it."""
        return Answer()

    def payment_selection(
        self, request: din.ServicePaymentSelectionReq, snapshot: Snapshot,
    ) -> Answer:
        """Take external payment [V2G-DC-395] and exactly the charge service [V2G-DC-635]."""
        if request.selected_payment_option is not din.PaymentOption.EXTERNAL_PAYMENT:
            raise Refused(Trigger.PAYMENT_NOT_OFFERED)
        services = request.selected_service_list.selected_service
        if [service.service_id for service in services] != [din_responses.SERVICE_ID]:
            raise Refused(Trigger.SERVICE_NOT_OFFERED)
        return Answer()

    def authenticate(
        self, request: din.ContractAuthenticationReq, snapshot: Snapshot,
    ) -> Answer:
        """Say whether the vehicle may charge, or let it wait."""
        if snapshot.authorization is Decision.DENIED:
            raise Refused(Trigger.AUTHORIZATION_DENIED)
        if snapshot.authorization is Decision.WAITING:
            self.start(
                Trigger.AUTHORIZATION_TIMEOUT, snapshot.now, self.station.authorization_timeout)
            return Answer(Condition.AUTHORIZING)
        self.cancel(Trigger.AUTHORIZATION_TIMEOUT)
        self.authorized = True
        return Answer()

    def charge_parameters(
        self, request: din.ChargeParameterDiscoveryReq, snapshot: Snapshot,
    ) -> Answer:
        """Exchange limits; keep the vehicle's only if they are accepted."""
        station = self.offer(snapshot)
        if request.ev_requested_energy_transfer_type.value != din_responses.ENERGY_TRANSFER.value:
            raise Refused(Trigger.ENERGY_TRANSFER_NOT_OFFERED, 'wanted '
                          + request.ev_requested_energy_transfer_type.value)
        limits = request.ev_charge_parameter
        if not isinstance(limits, din.DCEVChargeParameter):
            raise Refused(Trigger.CHARGE_PARAMETERS)
        self.take_limits(limits, station)
        self._p_max = din_responses.p_max(station)
        return Answer()

    def power_delivery(self, request: din.PowerDeliveryReq, snapshot: Snapshot) -> Answer:
        """Start or stop charging after the pre-charge."""
        if not request.ready_to_charge_state:
            return self._stop(request, snapshot)
        self._check_profile(request.charging_profile)
        if self.stopping or self.readiness(snapshot) is not Condition.READY:
            raise Refused(Trigger.NOT_READY_FOR_POWER)
        self.told_at_power_delivery(request)
        self.cancel(Trigger.POWER_DELIVERY_TIMEOUT)
        self.charge.stand_by()
        return Answer()

    def power_delivery_in_loop(
        self, request: din.PowerDeliveryReq, snapshot: Snapshot,
    ) -> Answer:
        """Stop charging."""
        if request.ready_to_charge_state:
            raise Refused(Trigger.STARTED_TWICE)
        return self._stop(request, snapshot)

    def welding_detection(self, request: din.WeldingDetectionReq, snapshot: Snapshot) -> Answer:
        """Measure with open contactors, for a while [V2G-DC-925]."""
        self.start(
            Trigger.WELDING_DETECTION_TIMEOUT, snapshot.now, self.timing.welding_detection)
        return super().welding_detection(request, snapshot)

    def session_stop(self, request: din.SessionStopReq, snapshot: Snapshot) -> Answer:
        """End the session, from whatever state."""
        return self.stop_session(snapshot)

    # What the handlers share.

    def _stop(self, request: din.PowerDeliveryReq, snapshot: Snapshot) -> Answer:
        self.told_at_power_delivery(request)
        return Answer(
            Condition.SHUTDOWN, then=State.STOPPED, wait=self.stop_power(snapshot))

    def _check_profile(self, profile: din.ChargingProfile | None) -> None:
        if profile is None:
            return
        if profile.sa_schedule_tuple_id != din_responses.SCHEDULE_ID:
            raise Refused(Trigger.SCHEDULE_NOT_OFFERED, f'number {profile.sa_schedule_tuple_id}')
        if self.station.strict_profile and any(
            entry.charging_profile_entry_max_power > self._p_max
            or entry.charging_profile_entry_start >= din_responses.SCHEDULE_SECONDS
            for entry in profile.profile_entry
        ):
            raise Refused(Trigger.PROFILE_ABOVE_SCHEDULE)


_STOP = {din.SessionStopReq: Rule(DinEngine.session_stop, State.ENDED)}

#: What is allowed in which state, who handles it, and what comes next.  An answer "Ongoing" keeps
#: the state; PowerDeliveryReq with ReadyToChargeState false leads to STOPPED.
TABLE: dict[Enum, dict[type, Rule]] = {
    State.SESSION_SETUP: {
        din.SessionSetupReq: Rule(DinEngine.session_setup, State.SERVICE_DISCOVERY)},
    State.SERVICE_DISCOVERY: _STOP | {
        din.ServiceDiscoveryReq: Rule(DinEngine.service_discovery, State.PAYMENT_SELECTION)},
    State.PAYMENT_SELECTION: _STOP | {
        din.ServicePaymentSelectionReq: Rule(
            DinEngine.payment_selection, State.AUTHENTICATION)},
    State.AUTHENTICATION: _STOP | {
        din.ContractAuthenticationReq: Rule(DinEngine.authenticate, State.PARAMETERS)},
    State.PARAMETERS: _STOP | {
        din.ChargeParameterDiscoveryReq: Rule(DinEngine.charge_parameters, State.CABLE_CHECK)},
    State.CABLE_CHECK: _STOP | {
        din.CableCheckReq: Rule(DinEngine.cable_check, State.PRE_CHARGE)},
    State.PRE_CHARGE: _STOP | {
        din.PreChargeReq: Rule(DinEngine.pre_charge, State.PRE_CHARGED)},
    State.PRE_CHARGED: _STOP | {
        din.PreChargeReq: Rule(DinEngine.pre_charge, State.PRE_CHARGED),
        din.PowerDeliveryReq: Rule(DinEngine.power_delivery, State.STARTED)},
    State.STARTED: _STOP | {
        din.CurrentDemandReq: Rule(DinEngine.current_demand, State.CHARGING)},
    State.CHARGING: _STOP | {
        din.CurrentDemandReq: Rule(DinEngine.current_demand, State.CHARGING),
        din.PowerDeliveryReq: Rule(DinEngine.power_delivery_in_loop, State.STOPPED)},
    State.STOPPED: _STOP | {
        din.WeldingDetectionReq: Rule(DinEngine.welding_detection, State.WELDING_DETECTION)},
    State.WELDING_DETECTION: _STOP | {
        din.WeldingDetectionReq: Rule(DinEngine.welding_detection, State.WELDING_DETECTION)},
    State.ENDED: {},
}

#: The same without SessionStopReq in the charge loop, where [V2G-DC-462] and [V2G-DC-465] do not
#: name it.
STRICT_TABLE = TABLE | {
    state: {kind: rule for kind, rule in TABLE[state].items() if kind is not din.SessionStopReq}
    for state in (State.STARTED, State.CHARGING)}

DinEngine.TABLE = TABLE
