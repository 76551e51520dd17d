"""ISO 15118-20: the control modes of the charge loop, read from requests and put in responses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..exi.messages.iso20 import dc
from .charge import Offer
from .station import NO_NEEDS, Needs
from .values import LARGEST_PLAUSIBLE, joules, number
from .views import ControlMode

_Kind = tuple[type[dc.CLReqControlMode], type[dc.CLResControlMode]]

#: Bidirectional, control mode: what request and response carry [V2G20-1600].
KINDS: Mapping[tuple[bool, ControlMode], _Kind] = {
    (False, ControlMode.SCHEDULED): (
        dc.ScheduledDCCLReqControlMode, dc.ScheduledDCCLResControlMode),
    (False, ControlMode.DYNAMIC): (dc.DynamicDCCLReqControlMode, dc.DynamicDCCLResControlMode),
    (True, ControlMode.SCHEDULED): (
        dc.BPTScheduledDCCLReqControlMode, dc.BPTScheduledDCCLResControlMode),
    (True, ControlMode.DYNAMIC): (
        dc.BPTDynamicDCCLReqControlMode, dc.BPTDynamicDCCLResControlMode),
}
#: A station that says nothing of the vehicle's needs.
NOTHING_TOLD: Mapping[str, int] = {}
_RESPONSES: Mapping[type, type[Any]] = dict(KINDS.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the vehicle tells in the charge loop, in SI units; ``None`` for what it does not."""

    target_voltage: float | None = None
    target_current: float | None = None
    maximum_voltage: float | None = None
    minimum_voltage: float | None = None
    maximum_current: float | None = None
    maximum_power: float | None = None
    maximum_discharge_current: float | None = None
    maximum_discharge_power: float | None = None
    energy_request: float | None = None
    #: Energy to the highest and to the lowest state of charge, negative: that much is above it.
    maximum_energy_request: float | None = None
    minimum_energy_request: float | None = None
    #: Energy until it may be cycled at the bottom.
    minimum_v2x_energy_request: float | None = None
    departure_time: float | None = None


def read(mode: Any) -> Wishes:
    """Return what a control mode of a request tells.

    The sign of discharge limits is disputed: their amount counts.
    """
    def told(name: str) -> float | None:
        return number(getattr(mode, name, None))

    def amount(name: str) -> float | None:
        value = told(name)
        return None if value is None else abs(value)

    def energy(name: str) -> float | None:
        return joules(getattr(mode, name, None))

    return Wishes(
        target_voltage=told('ev_target_voltage'),
        target_current=told('ev_target_current'),
        maximum_voltage=told('ev_maximum_voltage'),
        minimum_voltage=told('ev_minimum_voltage'),
        maximum_current=told('ev_maximum_charge_current'),
        maximum_power=told('ev_maximum_charge_power'),
        maximum_discharge_current=amount('ev_maximum_discharge_current'),
        maximum_discharge_power=amount('ev_maximum_discharge_power'),
        energy_request=energy('ev_target_energy_request'),
        maximum_energy_request=energy('ev_maximum_energy_request'),
        minimum_energy_request=energy('ev_minimum_energy_request'),
        minimum_v2x_energy_request=energy('ev_minimum_v2x_energy_request'),
        departure_time=getattr(mode, 'departure_time', None))


#: What has a highest and a lowest value, by the names of messages and as people know it.
_RANGES = (
    ('voltage', 'V'), ('charge_current', 'A'), ('charge_power', 'W'), ('discharge_current', 'A'),
    ('discharge_power', 'W'))


def impossible(mode: dc.DCCPDReqEnergyTransferMode, station: Offer) -> str:
    """Return why a vehicle with these limits cannot be served, '' if it can.

    As in the charge loop, the amount of what it gives counts.
    """
    told = {}
    for name, unit in _RANGES:
        highest, lowest = (
            number(getattr(mode, f'ev_{which}_{name}', None)) for which in ('maximum', 'minimum'))
        if highest is None or lowest is None:
            continue
        if name.startswith('discharge'):
            highest, lowest = abs(highest), abs(lowest)
        if not 0.0 <= lowest <= highest < LARGEST_PLAUSIBLE:
            return f'{name} of {lowest:g} to {highest:g} {unit}'
        told[name] = lowest, highest
    lowest, highest = told['voltage']
    if highest < station.minimum_voltage or lowest > station.maximum_voltage:
        return f'{lowest:g} to {highest:g} V'
    if not any(
            told.get(f'{way}_current', _NOTHING)[1] and told.get(f'{way}_power', _NOTHING)[1]
            for way in ('charge', 'discharge')):
        return 'neither takes nor gives anything'
    return ''


_NOTHING = 0.0, 0.0


@dataclass(frozen=True, slots=True)
class SetPoint:
    """What the station tries to reach (V, A), before the limits of both sides."""

    voltage: float
    current: float


def dynamic_set_point(
    wishes: Wishes, station: Offer, needs: Needs = NO_NEEDS, state_of_charge: float | None = None,
) -> SetPoint:
    """Decide for the vehicle, which leaves the charge loop to the station.

    It is charged with what both sides allow until it is full.  It is discharged if it wants to be,
    or if the operator allows no charging but discharging, as long as it has energy to spare.  What
    the operator says of its needs narrows that, for a vehicle that shows its state of charge.
    """
    may_charge = (
        station.maximum_current > 0.0 and station.maximum_power > 0.0
        and wishes.maximum_power != 0.0 and _positive(wishes.maximum_energy_request)
        and not _reached(needs.target_state_of_charge, state_of_charge))
    may_discharge = (
        station.bidirectional and wishes.minimum_energy_request is not None
        and wishes.minimum_energy_request < 0.0
        and (wishes.minimum_v2x_energy_request or 0.0) <= 0.0
        and not _falls_short(needs.minimum_state_of_charge, state_of_charge))
    wants_less = wishes.energy_request is not None and wishes.energy_request < 0.0
    if may_discharge and (wants_less or not may_charge_at_all(station)):
        return SetPoint(wishes.minimum_voltage or 0.0, -(wishes.maximum_discharge_current or 0.0))
    if may_charge and not wants_less:
        return SetPoint(wishes.maximum_voltage or 0.0, wishes.maximum_current or 0.0)
    return SetPoint(wishes.maximum_voltage or 0.0, 0.0)


def may_charge_at_all(station: Offer) -> bool:
    """Return whether the station has anything to give now."""
    return station.maximum_current > 0.0 and station.maximum_power > 0.0


def _positive(value: float | None) -> bool:
    return value is not None and value > 0.0


def _reached(target: float | None, state_of_charge: float | None) -> bool:
    return target is not None and state_of_charge is not None and state_of_charge >= target


def _falls_short(minimum: float | None, state_of_charge: float | None) -> bool:
    """Return whether discharging would go below the minimum."""
    return minimum is not None and state_of_charge is not None and state_of_charge <= minimum


def needs_told(needs: Needs, now: float) -> dict[str, int]:
    """Return the needs for a message at `now`, by the names of its elements."""
    told: dict[str, int] = {}
    if needs.departure is not None:
        told['departure_time'] = max(0, round(needs.departure - now))
    for name, ratio in (('minimum_soc', needs.minimum_state_of_charge),
                        ('target_soc', needs.target_state_of_charge)):
        if ratio is not None:
            told[name] = round(100.0 * ratio)
    return told


def limits(request: Any, station: Offer, needs: Mapping[str, int] = NOTHING_TOLD) -> Any:
    """Return the control mode of a response: of the request's kind, with the station's limits.

    `needs` are what the station tells of the vehicle's needs, by the names of elements.
    """
    of = dc.RationalNumber.of
    kind = _RESPONSES.get(type(request), dc.ScheduledDCCLResControlMode)
    values = {
        'evse_maximum_charge_power': of(station.maximum_power),
        'evse_minimum_charge_power': of(minimum_power(station)),
        'evse_maximum_charge_current': of(station.maximum_current),
        'evse_maximum_voltage': of(station.maximum_voltage),
    }
    if kind in (dc.BPTDynamicDCCLResControlMode, dc.BPTScheduledDCCLResControlMode):
        values |= {
            'evse_maximum_discharge_power': of(station.maximum_discharge_power),
            'evse_minimum_discharge_power': of(0.0),
            'evse_maximum_discharge_current': of(station.maximum_discharge_current),
            'evse_minimum_voltage': of(station.minimum_voltage),
        }
    return kind(**values, **needs)


def minimum_power(station: Offer) -> float:
    """Return the lowest charging power of the station, W."""
    return min(station.minimum_current * station.minimum_voltage, station.maximum_power)
