"""The car's side of ISO 15118-20 DC and DC_BPT: charging, and the table of all steps."""

from __future__ import annotations

import math
from dataclasses import replace

from ccs2_hlc.exi.declare import Element
from ccs2_hlc.exi.messages.iso20 import common, dc
from ccs2_sim.evcc import iso20_modes, iso20_setup
from ccs2_sim.evcc.dc import (
    CABLE_CHECK_TIMEOUT,
    CONTACTOR_PATIENCE,
    MOST_WELDING_CHECKS,
    PRE_CHARGE_TIMEOUT,
    PRE_CHARGE_TOLERANCE,
    SAFE_VOLTAGE,
)
from ccs2_sim.evcc.engine import END, Step
from ccs2_sim.evcc.iso20_base import Iso20Evcc, Paused20
from ccs2_sim.evcc.outcome import Ended, ErrorCode
from ccs2_sim.evcc.schedule import choose

__all__ = ['Iso20Evcc', 'Paused20']

#: Message timeout of the charge loop, s (ISO 15118-20 table of EVCC timers).
CHARGE_LOOP_TIMEOUT = 0.5
#: In standby the car shows that it is still there this often, s.
STANDBY_PACE = 1.0
#: Schedule entries that the car can store, the fewest that the schema allows to say.
MOST_ENTRIES = 12
_ONGOING, _FINISHED = common.Processing.ONGOING, common.Processing.FINISHED
_OK = common.ResponseCode.OK
_Progress, _Stop = common.ChargeProgress, common.ChargingSession


def _discover_parameters(evcc: Iso20Evcc) -> Element:
    return dc.DCChargeParameterDiscoveryReq(
        header=evcc.header(),
        dc_cpd_req_energy_transfer_mode=iso20_modes.car_limits(evcc.settings, evcc.vehicle))


def _parameters_discovered(evcc: Iso20Evcc, body: dc.DCChargeParameterDiscoveryRes) -> str:
    limits = iso20_modes.station_limits(body.dc_cpd_res_energy_transfer_mode)
    if evcc.transfer.bidirectional is not limits.bidirectional:
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
    if not evcc.transfer.dynamic:
        return common.ScheduleExchangeReq(
            header=evcc.header(), maximum_supporting_points=MOST_ENTRIES,
            scheduled_se_req_control_mode=common.ScheduledSEReqControlMode(
                **iso20_modes.energies(settings, state, evcc.discharging)))
    return common.ScheduleExchangeReq(
        header=evcc.header(), maximum_supporting_points=MOST_ENTRIES,
        dynamic_se_req_control_mode=common.DynamicSEReqControlMode(
            departure_time=evcc.departure,
            **iso20_modes.energies(settings, state, evcc.discharging)))


def _schedules_exchanged(evcc: Iso20Evcc, body: common.ScheduleExchangeRes) -> str:
    if not evcc.is_finished(body.evse_processing):
        return evcc.go_on('ScheduleExchange')
    scheduled, dynamic = body.scheduled_se_res_control_mode, body.dynamic_se_res_control_mode
    if (scheduled is None) is not evcc.transfer.dynamic:
        raise Ended(ErrorCode.REFUSED, 'the schedules are not of the control mode chosen')
    if scheduled is not None:
        evcc.schedule = choose(
            iso20_modes.read_schedules(scheduled.schedule_tuple, evcc.now),
            power=evcc.settings.maximum_power, need=evcc.wanted_energy)
    if dynamic is not None:
        evcc.take_needs(dynamic)
    if body.go_to_pause:
        evcc.pause()
        return 'PowerDeliveryStop'
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
    if body.response_code.value.startswith('WARNING'):
        evcc.remarks.append(f'PowerDeliveryRes: {body.response_code.value}')
    evcc.aside = False
    evcc.heed(body.evse_status)
    return evcc.charge_loop


def _demand(evcc: Iso20Evcc) -> Element:
    settings, state = evcc.settings, evcc.vehicle
    evcc.given = evcc.given or state.state_of_charge <= settings.discharge_to
    return dc.DCChargeLoopReq(
        header=evcc.header(), meter_info_requested=evcc.contract is not None,
        display_parameters=iso20_modes.display(settings, state),
        ev_present_voltage=iso20_modes.rational(state.voltage),
        cl_req_control_mode=iso20_modes.control(
            settings, state, evcc.asked_current(), evcc.discharging, evcc.departure))


def _demanded(evcc: Iso20Evcc, body: dc.DCChargeLoopRes) -> str:
    status = body.evse_status
    evcc.heed(status)
    if status is not None and evcc.contract is not None and (
            status.evse_notification is common.EVSENotification.METERING_CONFIRMATION):
        if body.meter_info is None:
            raise Ended(ErrorCode.REFUSED, 'a confirmation is asked for without a meter reading')
        evcc.reading = body.meter_info
    if isinstance(body.cl_res_control_mode, dc.DynamicDCCLResControlMode):
        evcc.take_needs(body.cl_res_control_mode)
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


def _confirm_reading(evcc: Iso20Evcc) -> Element | None:
    reading, schedule = evcc.reading, evcc.schedule
    if reading is None:
        return None
    return common.MeteringConfirmationReq(
        header=evcc.header(), signed_metering_data=common.SignedMeteringData(
            id=iso20_setup.SIGNED_ID, session_id=evcc.session_id, meter_info=reading,
            dynamic_smdt_control_mode=(
                common.DynamicSMDTControlMode() if schedule is None else None),
            scheduled_smdt_control_mode=None if schedule is None else (
                common.ScheduledSMDTControlMode(selected_schedule_tuple_id=schedule.number))))


def _reading_confirmed(evcc: Iso20Evcc, body: common.MeteringConfirmationRes) -> str:
    evcc.reading = None
    return evcc.next_demand()


def _stop_power(evcc: Iso20Evcc) -> Element:
    return evcc.progress(_Progress.STOP)


def _power_stopped(evcc: Iso20Evcc, body: common.PowerDeliveryRes) -> str:
    was_closed, evcc.wish = evcc.wish.contactors, replace(evcc.wish, contactors=False)
    evcc.ramped()
    evcc.ready = False
    # A car that is told to pause before it has charged has nothing to be measured.
    return 'DC_WeldingDetection' if was_closed else evcc.last_steps()


def _renegotiate(evcc: Iso20Evcc) -> Element:
    evcc.aside = evcc.settings.renegotiates_aside
    return evcc.progress(_Progress.SCHEDULE_RENEGOTIATION)


def _renegotiated(evcc: Iso20Evcc, body: common.PowerDeliveryRes) -> str:
    evcc.ramped()
    evcc.renegotiations += 1
    return 'ScheduleExchange'


def _stand_by(evcc: Iso20Evcc) -> Element:
    return evcc.progress(_Progress.STANDBY)


def _standing_by(evcc: Iso20Evcc, body: common.PowerDeliveryRes) -> str:
    if body.response_code is not _OK:
        evcc.remarks.append(f'PowerDeliveryRes: {body.response_code.value}')
        evcc.standbys += 1
        evcc.ramped()
        return evcc.charge_loop
    if not evcc.changing:
        evcc.ramped()
    evcc.heed(body.evse_status)
    if evcc.winding_down:
        return 'PowerDeliveryStop'
    if evcc.called_back or evcc.waited(evcc.settings.standby_time):
        evcc.called_back = False
        evcc.standbys += 1
        return 'PowerDelivery'
    return 'PowerDeliveryStandby'


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
    return evcc.last_steps() if over else 'DC_WeldingDetection'


def _stop_session(evcc: Iso20Evcc) -> Element:
    evcc.wish = replace(evcc.wish, load='B', contactors=False)
    evcc.changing = evcc.changing and not evcc.stopping
    how = _Stop.SERVICE_RENEGOTIATION if evcc.changing else (
        _Stop.PAUSE if evcc.pausing else _Stop.TERMINATE)
    return common.SessionStopReq(header=evcc.header(), charging_session=how)


def _session_stopped(evcc: Iso20Evcc, body: common.SessionStopRes) -> str:
    if evcc.changing:
        return _begin_anew(evcc)
    if evcc.pausing:
        evcc.paused = Paused20(evcc.session_id, evcc.contract, evcc.transfer)
    return END


def _begin_anew(evcc: Iso20Evcc) -> str:
    """Choose services once more, in the same session."""
    evcc.changing = evcc.ready = False
    evcc.changes += 1
    evcc.welding_checks = 0
    evcc.limits = evcc.schedule = evcc.station_current = None
    wanted = evcc.settings.next_transfer
    if wanted is not None:
        evcc.change_to(wanted)
    return 'ServiceDiscovery'


Iso20Evcc.steps = {step.name: step for step in (
    *iso20_setup.STEPS,
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
    Step('MeteringConfirmation', _confirm_reading, _reading_confirmed,
         common.MeteringConfirmationRes),
    Step('PowerDeliveryStop', _stop_power, _power_stopped, common.PowerDeliveryRes),
    Step('PowerDeliveryRenegotiate', _renegotiate, _renegotiated, common.PowerDeliveryRes),
    Step('PowerDeliveryStandby', _stand_by, _standing_by, common.PowerDeliveryRes,
         patience=math.inf, pace=STANDBY_PACE),
    Step('DC_WeldingDetection', _detect_welding, _welding_detected, dc.DCWeldingDetectionRes),
    Step('SessionStop', _stop_session, _session_stopped, common.SessionStopRes),
)}
