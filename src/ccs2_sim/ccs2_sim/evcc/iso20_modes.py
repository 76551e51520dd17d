"""ISO 15118-20: what the car says in each service and control mode, and what it reads there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

from ccs2_hlc.exi.messages.iso20 import common, dc
from ccs2_sim.evcc.outcome import Ended, ErrorCode
from ccs2_sim.evcc.schedule import Schedule
from ccs2_sim.evcc.vehicle import CarSettings, Transfer, VehicleState

NAMESPACE = 'urn:iso:std:iso:15118:-20:DC'
#: Numbers of the energy transfer services.
DC, DC_BPT = 2, 6
#: Values of the parameters Connector and ControlMode.
EXTENDED, SCHEDULED, DYNAMIC = 2, 1, 2
#: Value of the parameter MobilityNeedsMode where the car alone says what it needs.
NEEDS_OF_CAR = 1
#: An empty battery has this share of its highest voltage (lithium-ion cells, 3.0 of 4.2 V).
LOWEST_VOLTAGE = 0.7
#: Time until departure that the car tells where it has to, s.
DEPARTURE = 2 * 3600
JOULES_PER_WATT_HOUR = 3600.0

rational = common.RationalNumber.of
_CONFIRMED = common.PowerToleranceAcceptance.POWER_TOLERANCE_CONFIRMED

_KINDS: Mapping[Transfer, type[Any]] = {
    Transfer.SCHEDULED: dc.ScheduledDCCLReqControlMode,
    Transfer.DYNAMIC: dc.DynamicDCCLReqControlMode,
    Transfer.BPT: dc.BPTScheduledDCCLReqControlMode,
    Transfer.BPT_DYNAMIC: dc.BPTDynamicDCCLReqControlMode,
}


def service_of(transfer: Transfer) -> int:
    """Return the number of the energy transfer service."""
    return DC_BPT if transfer.bidirectional else DC


def other_direction(transfer: Transfer) -> Transfer:
    """Return the same with energy flowing both ways, or only into the car if it did."""
    if transfer.bidirectional:
        return transfer.charging
    return Transfer.BPT_DYNAMIC if transfer.dynamic else Transfer.BPT


def other_lead(transfer: Transfer) -> Transfer:
    """Return the same with the other side in the lead."""
    return {
        Transfer.SCHEDULED: Transfer.DYNAMIC, Transfer.DYNAMIC: Transfer.SCHEDULED,
        Transfer.BPT: Transfer.BPT_DYNAMIC, Transfer.BPT_DYNAMIC: Transfer.BPT}[transfer]


def parameter_set(
    sets: Sequence[common.ParameterSet], transfer: Transfer, shares_needs: bool = False,
) -> int | None:
    """Return the number of the first parameter set that fits, None if there is none.

    A car that shares its needs takes one in which the station tells them, too, if there is one.
    """
    wanted = {'Connector': EXTENDED, 'ControlMode': DYNAMIC if transfer.dynamic else SCHEDULED}
    fitting = []
    for each in sets:
        values = {item.name: item.int_value for item in each.parameter}
        needs = values.get('MobilityNeedsMode') or NEEDS_OF_CAR
        if wanted.items() <= values.items() and (shares_needs or needs == NEEDS_OF_CAR):
            fitting.append((needs, each.parameter_set_id))
    return max(fitting, key=lambda found: found[0], default=(0, None))[1]


@dataclass(frozen=True)
class StationLimits:
    """What the station supplies and takes, V, A and W."""

    charge_power: float
    charge_current: float
    lowest_voltage: float
    highest_voltage: float
    bidirectional: bool = False
    discharge_power: float = 0.0
    discharge_current: float = 0.0


def station_limits(mode: dc.DCCPDResEnergyTransferMode) -> StationLimits:
    """Return the limits of a DC_ChargeParameterDiscoveryRes; amounts of discharge count."""
    limits = StationLimits(
        float(mode.evse_maximum_charge_power), float(mode.evse_maximum_charge_current),
        float(mode.evse_minimum_voltage), float(mode.evse_maximum_voltage))
    if not isinstance(mode, dc.BPTDCCPDResEnergyTransferMode):
        return limits
    return replace(
        limits, bidirectional=True, discharge_power=abs(float(mode.evse_maximum_discharge_power)),
        discharge_current=abs(float(mode.evse_maximum_discharge_current)))


def narrowed(limits: StationLimits, mode: Any) -> StationLimits:
    """Return the limits with those of a DC_ChargeLoopRes, as far as it has any."""
    told: dict[str, Any] = {
        field: abs(float(value)) for field, name in (
            ('charge_power', 'evse_maximum_charge_power'),
            ('charge_current', 'evse_maximum_charge_current'),
            ('discharge_power', 'evse_maximum_discharge_power'),
            ('discharge_current', 'evse_maximum_discharge_current'),
        ) if (value := getattr(mode, name, None)) is not None}
    return replace(limits, **told)


def _highest(settings: CarSettings, state: VehicleState) -> dict[str, float]:
    """Return what the car takes and gives, by the names of all messages."""
    values = {
        'ev_maximum_charge_power': settings.maximum_power, 'ev_minimum_charge_power': 0.0,
        'ev_maximum_charge_current': settings.target_current(state),
        'ev_maximum_voltage': state.maximum_voltage,
        'ev_minimum_voltage': LOWEST_VOLTAGE * state.maximum_voltage}
    if settings.transfer.bidirectional:
        values |= {
            'ev_maximum_discharge_power': settings.maximum_discharge_power,
            'ev_minimum_discharge_power': 0.0,
            'ev_maximum_discharge_current': settings.maximum_discharge_current}
    return values


def car_limits(settings: CarSettings, state: VehicleState) -> dc.DCCPDReqEnergyTransferMode:
    """Return the car's limits for a DC_ChargeParameterDiscoveryReq."""
    values = _highest(settings, state) | {
        'ev_maximum_charge_current': settings.maximum_current, 'ev_minimum_charge_current': 0.0}
    kind: type[Any] = dc.DCCPDReqEnergyTransferMode
    if settings.transfer.bidirectional:
        kind = dc.BPTDCCPDReqEnergyTransferMode
        values['ev_minimum_discharge_current'] = 0.0
    target = round(100 * settings.target_state_of_charge)
    mode: dc.DCCPDReqEnergyTransferMode = kind(
        **{name: rational(value) for name, value in values.items()}, target_soc=target)
    return mode


def energies(settings: CarSettings, state: VehicleState, discharging: bool) -> dict[str, Any]:
    """Return how much energy the car wants: to its goal, to full, and to its lowest level.

    Negative: out of the car. A car that has nothing to give does not go below what it has.
    """
    soc = state.state_of_charge
    floor = settings.discharge_to if settings.transfer.bidirectional else soc
    goal = floor if discharging else max(settings.target_state_of_charge, soc)
    return {
        f'ev_{name}_energy_request': rational((level - soc) * state.capacity / JOULES_PER_WATT_HOUR)
        for name, level in (('target', goal), ('maximum', 1.0), ('minimum', min(floor, soc)))}


def display(settings: CarSettings, state: VehicleState) -> common.DisplayParameters:
    """Return what the station may show of the car."""
    target = settings.target_state_of_charge
    return common.DisplayParameters(
        present_soc=round(100 * state.state_of_charge), target_soc=round(100 * target),
        remaining_time_to_target_soc=round(settings.remaining_time(state, target)),
        charging_complete=state.state_of_charge >= target,
        battery_energy_capacity=rational(state.capacity / JOULES_PER_WATT_HOUR))


def control(
    settings: CarSettings, state: VehicleState, current: float, discharging: bool,
    departure: int = DEPARTURE,
) -> dc.CLReqControlMode:
    """Return the car's part of the charge loop.

    `current` (A, negative: out of the car) is what the car wants, `departure` when it leaves, in s.
    """
    transfer = settings.transfer
    if not transfer.dynamic:
        # Drawn down to the lowest voltage, charged up to the highest.
        voltage = state.maximum_voltage * (LOWEST_VOLTAGE if current < 0 else 1.0)
        values: dict[str, Any] = {
            'ev_target_current': rational(round(current, 1)),
            'ev_target_voltage': rational(voltage)}
    else:
        values = _led(settings, state, current, discharging) | {'departure_time': departure}
    mode: dc.CLReqControlMode = _KINDS[transfer](**values)
    return mode


def _led(
    settings: CarSettings, state: VehicleState, current: float, discharging: bool,
) -> dict[str, Any]:
    """Return what a station that leads gets to know.

    By energies of zero it is told that the current has to end. The limits stay: a station could not
    follow them at once, and its protection would trip.
    """
    values: dict[str, Any] = {
        name: rational(value) for name, value in _highest(settings, state).items()}
    values |= energies(settings, state, discharging)
    if current == 0.0:
        values |= dict.fromkeys((
            'ev_target_energy_request', 'ev_maximum_energy_request', 'ev_minimum_energy_request',
        ), rational(0))
    return values


def read_schedules(tuples: Sequence[common.ScheduleTuple], agreed: float) -> list[Schedule]:
    """Return the schedules for charging; they count from the message, at `agreed` (s)."""
    found = []
    for each in tuples:
        start, limits = 0, []
        for entry in each.charging_schedule.power_schedule.power_schedule_entries \
                .power_schedule_entry:
            if float(entry.power) < 0:
                raise Ended(ErrorCode.REFUSED, f'schedule {each.schedule_tuple_id} has a power '
                            f'of {float(entry.power):g} W')
            limits.append((start, float(entry.power)))
            start += entry.duration
        tolerance = each.charging_schedule.power_schedule.power_tolerance
        found.append(Schedule(
            each.schedule_tuple_id, tuple(limits), agreed, start, _prices(each.charging_schedule),
            tolerance=None if tolerance is None else float(tolerance)))
    return found


def _prices(schedule: common.ChargingSchedule) -> tuple[tuple[int, float], ...]:
    """Return (start in s after the message, price or level of energy); empty: none is told."""
    prices, levels = schedule.absolute_price_schedule, schedule.price_level_schedule
    told: list[tuple[int, float]] = []
    if prices is not None:
        # Of several rules the first is that of the lowest power.
        told = [(stack.duration, float(stack.price_rule[0].energy_fee))
                for stack in prices.price_rule_stacks.price_rule_stack]
    elif levels is not None:
        told = [(entry.duration, entry.price_level)
                for entry in levels.price_level_schedule_entries.price_level_schedule_entry]
    starts = accumulate((duration for duration, _ in told), initial=0)
    return tuple((start, price) for start, (_, price) in zip(starts, told, strict=False))


def power_profile(schedule: Schedule, power: float, anchor: int) -> common.EVPowerProfile:
    """Return the plan of a car that takes `power` W at most within a schedule.

    `anchor` is now, s since 1970-01-01 UTC.
    """
    ends = [*(start for start, _ in schedule.limits[1:]), schedule.end]
    return common.EVPowerProfile(
        time_anchor=anchor,
        scheduled_evppt_control_mode=common.ScheduledEVPPTControlMode(
            selected_schedule_tuple_id=schedule.number,
            power_tolerance_acceptance=None if schedule.tolerance is None else _CONFIRMED),
        ev_power_profile_entries=common.EVPowerProfileEntryList(ev_power_profile_entry=[
            common.PowerScheduleEntry(
                duration=end - start, power=rational(min(limit, power)))
            for (start, limit), end in zip(schedule.limits, ends, strict=True)]))
