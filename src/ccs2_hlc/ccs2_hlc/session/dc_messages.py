"""What DIN 70121 and ISO 15118-2 have in common: DC messages whose elements have the same names."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from .charge import PRE_CHARGE_CURRENT, Offer
from .dc_engine import DcEngine
from .engine import Answer, Refused
from .station import Snapshot
from .triggers import Condition, Trigger
from .values import bounded, joules, known, number, ratio

#: Units of time by their name in either schema, s.
_TIMES = {'h': 3600.0, 'm': 60.0}


class DcMessages(DcEngine):
    """The handlers of these messages; requests and their parts are those of either schema."""

    def cable_check(self, request: Any, snapshot: Snapshot) -> Answer:
        """Test the isolation once the vehicle is in C or D; it asks again until that is done."""
        self.told(request.dc_ev_status)
        self.heed_error()
        return Answer(self.check_cable(snapshot))

    def pre_charge(self, request: Any, snapshot: Snapshot) -> Answer:
        """Follow the vehicle's voltage with each request; when it fits, the vehicle decides."""
        voltage, current = float(request.ev_target_voltage), float(request.ev_target_current)
        self.told(request.dc_ev_status, target_voltage=voltage, target_current=current)
        self.heed_error()
        if current > PRE_CHARGE_CURRENT:
            raise Refused(Trigger.PRE_CHARGE_CURRENT, f'{current:g} A')
        self.start(Trigger.POWER_DELIVERY_TIMEOUT, snapshot.now, self.timing.power_delivery)
        self.charge.pre_charge(voltage, self.offer(snapshot))
        return Answer(self.readiness(snapshot))

    def current_demand(self, request: Any, snapshot: Snapshot) -> Answer:
        """Follow the vehicle's set-points as far as both sides' limits allow."""
        voltage, current = float(request.ev_target_voltage), float(request.ev_target_current)
        limits = (
            number(request.ev_maximum_voltage_limit),
            number(request.ev_maximum_current_limit),
            number(request.ev_maximum_power_limit))
        self.told(
            request.dc_ev_status,
            target_voltage=voltage,
            target_current=current,
            charging_complete=request.charging_complete,
            **known(
                maximum_voltage=limits[0],
                maximum_current=limits[1],
                maximum_power=limits[2],
                remaining_time=_seconds(request.remaining_time_to_full_soc),
                remaining_time_to_bulk=_seconds(request.remaining_time_to_bulk_soc)))
        self._limit(*limits)
        power = snapshot.power
        if power is None or power.voltage is None:
            raise Refused(Trigger.MEASUREMENT_MISSING)
        self.charge.charge(voltage, current, power.voltage, self.offer(snapshot))
        return Answer(self.readiness(snapshot))

    def welding_detection(self, request: Any, snapshot: Snapshot) -> Answer:
        """Measure with open contactors; the vehicle has to be back in B.

        DIN 70121 [V2G-DC-988], ISO 15118-2 [V2G2-920].
        """
        self.told(request.dc_ev_status)
        return Answer(Condition.SHUTDOWN, wait=self.check_welding(snapshot))

    # What the handlers share.

    def take_limits(self, limits: Any, station: Offer, **more: Any) -> None:
        """Keep the vehicle's limits if the station can serve them, else refuse all of them."""
        voltage = float(limits.ev_maximum_voltage_limit)
        current = float(limits.ev_maximum_current_limit)
        power = number(limits.ev_maximum_power_limit)
        if voltage < station.minimum_voltage or current < 0.0 or (power or 0.0) < 0.0:
            raise Refused(
                Trigger.CHARGE_PARAMETERS,
                f'maximum {voltage:g} V, {current:g} A'
                + ('' if power is None else f', {power:g} W'))
        self.told(
            limits.dc_ev_status,
            maximum_voltage=voltage,
            maximum_current=current,
            maximum_power=power,
            energy_capacity=joules(limits.ev_energy_capacity),
            energy_request=joules(limits.ev_energy_request),
            full_state_of_charge=ratio(limits.full_soc),
            bulk_state_of_charge=ratio(limits.bulk_soc),
            **more)
        self._limit(voltage, current, power)

    def _limit(
        self, voltage: float | None, current: float | None, power: float | None,
    ) -> None:
        """Heed limits; a power of zero counts as not told: some that charge send it (MG4)."""
        self.charge.limit(voltage, current, power if power and power > 0.0 else None)

    def told(self, status: Any, **values: Any) -> None:
        """Keep what the vehicle has told."""
        self.vehicle = replace(
            self.vehicle, ready=status.ev_ready, error_code=status.ev_error_code.value,
            state_of_charge=status.ev_ress_soc / 100.0, **values)

    def told_at_power_delivery(self, request: Any) -> None:
        """Keep what the vehicle has told with PowerDeliveryReq, if it is for DC."""
        told = request.ev_power_delivery_parameter
        status = getattr(told, 'dc_ev_status', None)
        if status is not None:
            self.told(status, charging_complete=told.charging_complete)

    def heed_error(self) -> None:
        """Refuse to go on with a vehicle that reports an error of its own."""
        if self.vehicle.error_code.startswith('FAILED'):
            raise Refused(Trigger.VEHICLE_ERROR, self.vehicle.error_code)


def _seconds(time: Any) -> float | None:
    """Return a time that may be absent; DIN 70121 need not tell its unit."""
    if time is None:
        return None
    unit = 's' if time.unit is None else time.unit.value
    return bounded(time) * _TIMES.get(unit, 1.0)
