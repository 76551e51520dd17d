"""Settings that are node parameters, declared once with unit, meaning and range."""

from __future__ import annotations

from dataclasses import MISSING, dataclass, field
from typing import Any

from ccs2_power.hal import SupplyLimits
from ccs2_power.isolation import IsolationEdition


def setting(
    default: Any, description: str, *, minimum: float | None = None, maximum: float | None = None,
) -> Any:
    """Declare a field of a settings dataclass; the unit stands in the description.

    A `default` that is a type means that the site has to say: there is no safe default.
    """
    metadata = {'description': description, 'minimum': minimum, 'maximum': maximum,
                'default': default}
    if isinstance(default, type):
        return field(default=MISSING, metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True)
class SafetySettings:
    """The site's settings of the safety supervisor."""

    rated_voltage: float = setting(
        float, "Rated voltage of the station's output in V.", minimum=60.0, maximum=1500.0)
    power_timeout: float = setting(
        0.2, 'Age in s at which power/status is stale.', minimum=0.05, maximum=0.5)
    pilot_timeout: float = setting(
        0.1, 'Age in s at which the control pilot is not measured.', minimum=0.05, maximum=0.5)
    contact_timeout: float = setting(
        0.15, 'Age in s at which feedback contacts and emergency stop are not measured.',
        minimum=0.05, maximum=0.5)
    voltmeter_timeout: float = setting(
        0.2, 'Age in s at which the voltage at the connector is not measured.', minimum=0.05,
        maximum=0.5)
    stall_time: float = setting(
        0.25, 'Pause in s of the node itself that counts as a fault.', minimum=0.1, maximum=1.0)
    pre_charge_relay_time: float = setting(
        0.0, 'Time in s of the pre-charge relay before the main contactors; 0: there is no relay.',
        minimum=0.0, maximum=5.0)
    contactor_close_time: float = setting(
        0.5, 'Longest time in s from coils on to the feedback contacts.', minimum=0.02, maximum=2.0)
    contactor_open_time: float = setting(
        0.3, 'Longest time in s from coils off to the feedback contacts.', minimum=0.02,
        maximum=1.0)
    lock_time: float = setting(
        3.0, 'Longest time in s for the connector lock to move.', minimum=0.1, maximum=10.0)
    closing_voltage_difference: float = setting(
        20.0, 'Largest voltage in V across the open contactors at which they close.', minimum=0.0,
        maximum=60.0)
    residual_time: float = setting(
        10.0, 'Time in s after which less than 60 V have to be left at an unused connector.',
        minimum=1.0, maximum=60.0)
    implausible_voltage: float = setting(
        50.0, "Largest difference in V between the supply's and the connector's voltage.",
        minimum=5.0, maximum=100.0)
    implausible_time: float = setting(
        1.0, 'Time in s for which that difference is tolerated.', minimum=0.1, maximum=30.0)


@dataclass(frozen=True, slots=True)
class PowerSettings:
    """The site's settings of the power stage."""

    rated_voltage: float = setting(
        float, "Highest voltage of the station's output in V.", minimum=60.0, maximum=1500.0)
    maximum_current: float = setting(
        float, 'Highest current into the vehicle in A (cable, contactors, fuses).', minimum=1.0,
        maximum=3000.0)
    maximum_power: float = setting(
        float, 'Highest power into the vehicle in W (grid connection).', minimum=100.0,
        maximum=4e6)
    minimum_voltage: float = setting(
        150.0, 'Lowest voltage in V at which the station charges.', minimum=0.0, maximum=1000.0)
    maximum_discharge_current: float = setting(
        0.0, 'Highest current out of the vehicle in A; 0: not bidirectional.', minimum=0.0,
        maximum=3000.0)
    maximum_discharge_power: float = setting(
        0.0, 'Highest power out of the vehicle in W; 0: not bidirectional.', minimum=0.0,
        maximum=4e6)
    voltage_ramp: float = setting(
        500.0, 'Slope of the voltage set-point in V/s.', minimum=10.0, maximum=5000.0)
    current_ramp: float = setting(
        100.0, 'Slope of the current set-point in A/s while charging and at a normal shutdown.',
        minimum=20.0, maximum=2000.0)
    fast_current_ramp: float = setting(
        500.0, 'Slope of the current set-point in A/s at an error shutdown.', minimum=200.0,
        maximum=5000.0)
    supply_timeout: float = setting(
        0.25, "Age in s at which the supply's values are stale.", minimum=0.05, maximum=1.0)
    safety_timeout: float = setting(
        0.2, 'Age in s at which safety/status is stale.', minimum=0.05, maximum=0.5)
    voltmeter_timeout: float = setting(
        0.2, 'Age in s at which the voltage at the connector is not measured.', minimum=0.05,
        maximum=0.5)
    stall_time: float = setting(
        0.25, 'Pause in s of the node itself that counts as a fault.', minimum=0.1, maximum=1.0)
    isolation_timeout: float = setting(
        3.0, 'Age in s at which the isolation resistance is stale.', minimum=0.5, maximum=10.0)
    isolation_edition: str = setting(
        '2023', "Edition of IEC 61851-23 that sets the isolation limits: '2014' or '2023'.")
    isolation_samples: int = setting(
        1, 'Resistance samples in a row that the cable check needs.', minimum=1, maximum=20)
    meter_timeout: float = setting(
        5.0, "Age in s at which the meter's values are stale.", minimum=0.5, maximum=30.0)
    cable_check_time: float = setting(
        25.0, 'Longest time in s of a whole cable check (some vehicles give up at 30 s).',
        minimum=5.0, maximum=38.0)
    discharge_time: float = setting(
        10.0, 'Longest time in s for the output to fall below 60 V after the cable check.',
        minimum=1.0, maximum=20.0)
    pre_charge_time: float = setting(
        7.0, 'Longest time in s for the pre-charge to reach its target.', minimum=1.0,
        maximum=20.0)
    implausible_voltage: float = setting(
        50.0, 'Largest difference in V between two measurements of the output voltage.',
        minimum=5.0, maximum=100.0)
    implausible_time: float = setting(
        1.0, 'Time in s for which that difference is tolerated.', minimum=0.1, maximum=30.0)
    derating_start: float = setting(
        60.0, 'Module temperature in degC from which the current is derated.', minimum=0.0,
        maximum=120.0)
    derating_end: float = setting(
        75.0, 'Module temperature in degC at which nothing is left.', minimum=1.0, maximum=150.0)
    contact_derating_start: float = setting(
        80.0, 'Contact temperature in degC from which the current is derated.', minimum=0.0,
        maximum=120.0)
    contact_derating_end: float = setting(
        90.0, 'Contact temperature in degC at which nothing is left.', minimum=1.0, maximum=150.0)

    def __post_init__(self) -> None:
        IsolationEdition(self.isolation_edition)
        for name in ('derating', 'contact_derating'):
            if getattr(self, f'{name}_end') <= getattr(self, f'{name}_start'):
                raise ValueError(f'{name}_end has to be above {name}_start')

    @property
    def configured_limits(self) -> SupplyLimits:
        """The site's share of the station's limits."""
        return SupplyLimits(
            minimum_voltage=self.minimum_voltage, maximum_voltage=self.rated_voltage,
            minimum_current=0.0, maximum_current=self.maximum_current,
            maximum_power=self.maximum_power,
            maximum_discharge_current=self.maximum_discharge_current,
            maximum_discharge_power=self.maximum_discharge_power)
