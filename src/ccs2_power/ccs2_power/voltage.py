"""Voltage limits that safety hangs on (numbers as public sources cite them from IEC 61851-23:2023).

They have to be checked against the bought standard before a station is put into service.
"""

from __future__ import annotations

#: Below this a conductor may be touched and a connector unlocked, in V.
TOUCH_SAFE = 60.0
#: Emergency over-voltage thresholds (table 103): rated or vehicle's maximum up to, threshold, in V.
OVER_VOLTAGE_THRESHOLDS = (
    (500.0, 550.0),
    (750.0, 825.0),
    (850.0, 935.0),
    (1000.0, 1100.0),
)
#: Accuracy that a supply's voltage has to have, in V.
VOLTAGE_TOLERANCE = 10.0
#: Above 1000 V (draft IEC 61851-23-3), in V.
OVER_VOLTAGE_HIGHEST = 1375.0


def over_voltage_threshold(maximum_voltage: float) -> float:
    """Return the voltage at which everything has to go off at once, in V.

    `maximum_voltage` is the vehicle's limit or, as long as it is unknown, the station's rating.
    """
    return next((threshold for limit, threshold in OVER_VOLTAGE_THRESHOLDS
                 if maximum_voltage <= limit), OVER_VOLTAGE_HIGHEST)


def cable_check_voltage(vehicle_maximum: float, station_maximum: float) -> float:
    """Return the voltage of the cable check in V (IEC 61851-23:2023 CC.4.1.2).

    It stays so far below the vehicle's over-voltage threshold that a supply within its accuracy
    does not reach that: at 750, 850 and 1000 V 1.1 times the maximum is the threshold itself.
    """
    if vehicle_maximum <= 500.0:
        return min(500.0, vehicle_maximum + 50.0, station_maximum)
    return min(station_maximum, 1.1 * vehicle_maximum,
               over_voltage_threshold(vehicle_maximum) - VOLTAGE_TOLERANCE)
