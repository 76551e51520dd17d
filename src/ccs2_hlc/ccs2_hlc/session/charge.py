"""The DC charging process: what a session asks of the power stage, the same in every protocol."""

from __future__ import annotations

from dataclasses import dataclass, replace

from .command import ChargeCommand, Mode, Shutdown
from .station import OperatorLimits, Snapshot

#: IEC 61851-23 CC.5.2: pre-charge with at most this current, A.
PRE_CHARGE_CURRENT = 2.0
#: Below this the current counts as gone and vehicles open their contactors, A.
NO_CURRENT = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What the station offers now: the hardware's limits, narrowed by the operator's."""

    minimum_voltage: float
    maximum_voltage: float
    minimum_current: float
    maximum_current: float
    maximum_power: float
    peak_current_ripple: float
    current_regulation_tolerance: float | None = None
    #: What the station takes back; zero: nothing.
    maximum_discharge_current: float = 0.0
    maximum_discharge_power: float = 0.0

    @property
    def bidirectional(self) -> bool:
        """Whether energy can flow out of the vehicle."""
        return self.maximum_discharge_current > 0.0 and self.maximum_discharge_power > 0.0

    def within(self, limits: Offer) -> Offer:
        """Return the offer with its maxima lowered to those of another one."""
        maximum_current = min(self.maximum_current, limits.maximum_current)
        return replace(
            self,
            maximum_voltage=min(self.maximum_voltage, limits.maximum_voltage),
            minimum_current=min(self.minimum_current, maximum_current),
            maximum_current=maximum_current,
            maximum_power=min(self.maximum_power, limits.maximum_power),
            maximum_discharge_current=min(
                self.maximum_discharge_current, limits.maximum_discharge_current),
            maximum_discharge_power=min(
                self.maximum_discharge_power, limits.maximum_discharge_power))


#: Stands in a FAILED response when the limits are not known; the vehicle ignores it.
NO_OFFER = Offer(
    minimum_voltage=0.0, maximum_voltage=0.0, minimum_current=0.0, maximum_current=0.0,
    maximum_power=0.0, peak_current_ripple=0.0)


def narrowest(*limits: float | None) -> float | None:
    """Return the smallest of the limits that are known."""
    return min((limit for limit in limits if limit is not None), default=None)


def capped(value: float, *limits: float | None) -> float:
    """Return `value`, lowered to the limits that are known and never below zero."""
    for limit in limits:
        if limit is not None and limit < value:
            value = limit
    return value if value > 0.0 else 0.0


def offer(snapshot: Snapshot) -> Offer | None:
    """Return what the station offers now, ``None`` if any of its limits is not known."""
    power, operator = snapshot.power, snapshot.limits
    if (
        power is None or power.minimum_voltage is None or power.maximum_voltage is None
        or power.minimum_current is None or power.maximum_current is None
        or power.maximum_power is None or power.peak_current_ripple is None
    ):
        return None
    maximum_current = capped(power.maximum_current, operator.maximum_current)
    return Offer(
        minimum_voltage=power.minimum_voltage,
        maximum_voltage=power.maximum_voltage,
        minimum_current=min(power.minimum_current, maximum_current),
        maximum_current=maximum_current,
        maximum_power=capped(power.maximum_power, operator.maximum_power),
        peak_current_ripple=power.peak_current_ripple,
        current_regulation_tolerance=power.current_regulation_tolerance,
        maximum_discharge_current=capped(
            power.maximum_discharge_current or 0.0, operator.maximum_discharge_current),
        maximum_discharge_power=capped(
            power.maximum_discharge_power or 0.0, operator.maximum_discharge_power))


@dataclass(frozen=True, slots=True)
class Achieved:
    """Whether the station is at its limits."""

    voltage: bool
    current: bool
    power: bool


def achieved(snapshot: Snapshot, station: Offer, voltage: float, current: float) -> Achieved:
    """Return at which limits the station is with the vehicle's set-points (V, A)."""
    power = snapshot.power
    present = None if power is None else power.voltage
    most_current, most_power = (
        (station.maximum_current, station.maximum_power) if current >= 0.0
        else (station.maximum_discharge_current, station.maximum_discharge_power))
    at_power = present is not None and abs(current) * present >= most_power
    return Achieved(
        voltage >= station.maximum_voltage or bool(power and power.voltage_limit_achieved),
        abs(current) >= most_current or bool(power and power.current_limit_achieved),
        at_power or bool(power and power.power_limit_achieved))


class ChargeProcess:
    """Turns the vehicle's wishes into commands that both sides' limits allow.

    Once it is off it stays off: a session that has ended cannot ask for energy again.
    """

    def __init__(self) -> None:
        self.mode = Mode.OFF
        self.shutdown = Shutdown.NORMAL
        self.over = False
        self.target_voltage: float | None = None
        self.target_current: float | None = None
        self.maximum_voltage: float | None = None
        self.maximum_current: float | None = None
        self.maximum_power: float | None = None
        #: What the vehicle gives; ``None``: nothing, until it has said so.
        self.maximum_discharge_current: float | None = None
        self.maximum_discharge_power: float | None = None

    def limit(
        self, voltage: float | None = None, current: float | None = None,
        power: float | None = None,
    ) -> None:
        """Take over limits that the vehicle has told now (V, A, W); ``None`` leaves the old one."""
        if voltage is not None:
            self.maximum_voltage = max(0.0, voltage)
        if current is not None:
            self.maximum_current = max(0.0, current)
        if power is not None:
            self.maximum_power = max(0.0, power)

    def limit_discharge(self, current: float | None = None, power: float | None = None) -> None:
        """Take over what the vehicle gives at most (A, W >= 0); ``None`` leaves the old limit."""
        if current is not None:
            self.maximum_discharge_current = max(0.0, current)
        if power is not None:
            self.maximum_discharge_power = max(0.0, power)

    def cable_check(self) -> None:
        """Close the contactors, test the isolation."""
        self._enter(Mode.CABLE_CHECK)

    def pre_charge(self, voltage: float, station: Offer) -> None:
        """Follow the voltage of the vehicle's battery."""
        self._enter(
            Mode.PRE_CHARGE, capped(voltage, self.maximum_voltage, station.maximum_voltage))

    def stand_by(self) -> None:
        """Hold the voltage of the pre-charge without current."""
        self._enter(Mode.CHARGE, self.target_voltage, 0.0)

    def charge(
        self, voltage: float, current: float, present_voltage: float, station: Offer,
    ) -> None:
        """Follow the vehicle's set-points as far as both sides' limits allow.

        A negative current flows out of the vehicle, if both sides allow that at all.
        """
        if current < 0.0:
            # Not a negation: nothing at all is zero, not negative zero.
            current = 0.0 - capped(
                -current, station.maximum_discharge_current,
                self.maximum_discharge_current or 0.0, *_amperes(
                    capped(station.maximum_discharge_power, self.maximum_discharge_power or 0.0),
                    present_voltage))
        else:
            current = capped(
                current, self.maximum_current, station.maximum_current, *_amperes(
                    capped(station.maximum_power, self.maximum_power), present_voltage))
        self._enter(
            Mode.CHARGE, capped(voltage, self.maximum_voltage, station.maximum_voltage), current)

    def stop(self) -> None:
        """End charging regularly: ramp down, then open."""
        self._enter(Mode.STOP)

    def welding_check(self) -> None:
        """Stay open and measure."""
        self._enter(Mode.WELDING_CHECK)

    def start_over(self) -> None:
        """Stay without energy until the next cable check; the vehicle tells its limits anew."""
        self._enter(Mode.OFF)
        self.maximum_voltage = self.maximum_current = self.maximum_power = None
        self.maximum_discharge_current = self.maximum_discharge_power = None

    def off(self, shutdown: Shutdown) -> None:
        """Take the energy away for good; a later, more urgent shutdown replaces an earlier one."""
        self.shutdown = max(shutdown, self.shutdown) if self.over else shutdown
        self.over = True
        self.mode = Mode.OFF
        self.target_voltage = self.target_current = None

    def command(
        self, session_id: str, operator: OperatorLimits, oscillator: bool,
    ) -> ChargeCommand:
        """Return the command that holds now; `operator` may have changed since the set-points."""
        current = self.target_current
        if current is not None:
            current = (
                capped(current, operator.maximum_current) if current >= 0.0
                else 0.0 - capped(-current, operator.maximum_discharge_current))
        return ChargeCommand(
            mode=self.mode,
            shutdown=self.shutdown,
            session_id=session_id,
            target_voltage=self.target_voltage,
            target_current=current,
            maximum_voltage=self.maximum_voltage,
            maximum_current=narrowest(self.maximum_current, operator.maximum_current),
            maximum_power=narrowest(self.maximum_power, operator.maximum_power),
            maximum_discharge_current=_discharge_limit(
                self.maximum_discharge_current, operator.maximum_discharge_current),
            maximum_discharge_power=_discharge_limit(
                self.maximum_discharge_power, operator.maximum_discharge_power),
            pilot_oscillator=oscillator,
            lock_connector=self.mode is not Mode.OFF)

    def _enter(
        self, mode: Mode, voltage: float | None = None, current: float | None = None,
    ) -> None:
        if self.over:
            raise RuntimeError(f'{mode.name} asked for after the session has ended')
        self.mode, self.target_voltage, self.target_current = mode, voltage, current


def _amperes(power: float, voltage: float) -> tuple[float, ...]:
    """Return the current that a power allows; nothing if there is no voltage to divide by."""
    if power <= 0.0:
        return (0.0,)
    return (power / voltage,) if voltage > 0.0 else ()


def _discharge_limit(vehicle: float | None, operator: float | None) -> float | None:
    """Return the narrower limit; ``None`` while the vehicle has not said that it gives anything."""
    return None if vehicle is None else narrowest(vehicle, operator)
