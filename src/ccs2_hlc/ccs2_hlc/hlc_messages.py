"""Between the ROS messages and the session core: NaN is ``None`` there, numbers are enumerations.

What makes no sense is never passed on as a value: a number that no station can mean counts as not
measured, an unknown state as unknown.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import fields
from enum import IntEnum
from typing import Any, TypeVar

from builtin_interfaces.msg import Duration, Time

from ccs2_hlc import exi
from ccs2_hlc.session.command import ChargeCommand
from ccs2_hlc.session.secc import Outgoing, Received, Request
from ccs2_hlc.session.station import (
    CableCheck,
    Fault,
    Isolation,
    IsolationState,
    Meter,
    Needs,
    OperatorLimits,
    Pilot,
    PilotState,
    Power,
    PowerState,
    Safety,
    Severity,
)
from ccs2_hlc.session.transport import CloseReason, Connection, LinkState, Security
from ccs2_hlc.session.values import LARGEST_PLAUSIBLE
from ccs2_hlc.session.views import Session, Vehicle
from ccs2_interfaces import msg
from ccs2_node import NANOSECONDS, stamp

_TEXT, _NAME, _JSON = 256, 64, 262144

#: No meter has counted more, J (3 TWh); a message tells some more.
LARGEST_ENERGY = 1e16

E = TypeVar('E', bound=IntEnum)


def given(value: float) -> float | None:
    """Return a float field's value, ``None`` if it is NaN, infinite or implausible."""
    return value if abs(value) <= LARGEST_PLAUSIBLE else None


def measured(value: float | None) -> float:
    """Return a value for a float field: NaN if there is none."""
    return math.nan if value is None else float(value)


def known(kind: type[E], value: int) -> E:
    """Return the member of `kind`, the one for 0 (unknown) if there is none."""
    try:
        return kind(value)
    except ValueError:
        return kind(0)


def to_duration(seconds: float) -> Duration:
    """Return a duration message."""
    nanoseconds = round(seconds * NANOSECONDS)
    return Duration(sec=nanoseconds // NANOSECONDS, nanosec=nanoseconds % NANOSECONDS)


def earlier(moment: Time, seconds: float) -> Time:
    """Return the stamp `seconds` before another one."""
    return stamp(
        moment.sec * NANOSECONDS + moment.nanosec - round(seconds * NANOSECONDS))


# Into the core.

def faults_of(messages: Iterable[Any]) -> tuple[Fault, ...]:
    """Return the faults in a status; one without a known severity counts as an error."""
    severities = set(Severity)
    return tuple(
        Fault(
            message.code,
            Severity(message.severity) if message.severity in severities else Severity.ERROR,
            message.message, message.source)
        for message in messages)


def power_of(message: Any) -> Power:
    """Return what a PowerStatus says."""
    return Power(
        state=known(PowerState, message.state),
        session_id=message.session_id,
        voltage=given(message.voltage),
        current=given(message.current),
        minimum_voltage=_limit(message.minimum_voltage),
        maximum_voltage=_limit(message.maximum_voltage),
        minimum_current=_limit(message.minimum_current),
        maximum_current=_limit(message.maximum_current),
        maximum_power=_limit(message.maximum_power),
        maximum_discharge_current=_limit(message.maximum_discharge_current),
        maximum_discharge_power=_limit(message.maximum_discharge_power),
        current_regulation_tolerance=_limit(message.current_regulation_tolerance),
        peak_current_ripple=_limit(message.peak_current_ripple),
        voltage_limit_achieved=message.voltage_limit_achieved,
        current_limit_achieved=message.current_limit_achieved,
        power_limit_achieved=message.power_limit_achieved,
        cable_check=known(CableCheck, message.cable_check),
        faults=faults_of(message.faults))


def _limit(value: float) -> float | None:
    return value if 0.0 <= value <= LARGEST_PLAUSIBLE else None


def safety_of(message: Any) -> Safety:
    """Return what a SafetyStatus says."""
    return Safety(
        contactors_closed=message.contactors_closed,
        contactors_open=message.contactors_open,
        permitted=message.permitted,
        connector_locked=message.connector_locked,
        emergency_stop=message.emergency_stop,
        faults=faults_of(message.faults))


def pilot_of(message: Any) -> Pilot:
    """Return what a ControlPilot says."""
    return Pilot(known(PilotState, message.state), message.bcb_toggles)


def isolation_of(message: Any) -> Isolation:
    """Return what an Isolation says."""
    return Isolation(known(IsolationState, message.state))


def meter_of(message: Any) -> Meter:
    """Return what a Meter says; energies may be larger than any power."""
    return Meter(
        meter_id=message.meter_id,
        energy_imported=_energy(message.energy_imported),
        energy_exported=_energy(message.energy_exported),
        session_energy=_energy(message.session_energy),
        status=message.status)


def _energy(value: float) -> float | None:
    return value if abs(value) <= LARGEST_ENERGY else None


def connection_of(message: Any) -> Connection:
    """Return what a V2GConnection says; unknown security counts as none."""
    return Connection(
        state=known(LinkState, message.state),
        connection_id=message.connection_id,
        link_since=(message.link_since.sec, message.link_since.nanosec),
        security=known(Security, message.security),
        close_reason=known(CloseReason, message.close_reason),
        close_message=message.close_message,
        vehicle_certificate_digest=bytes(message.vehicle_certificate_digest))


def request_of(message: Any) -> Request:
    """Return the request in a V2GRequest."""
    return Request(
        connection_id=message.connection_id, sequence=message.sequence,
        payload_type=message.payload_type, data=bytes(message.data))


def limits_of(message: Any) -> OperatorLimits:
    """Return the limits in a SetLimits request; raise ``ValueError`` for a negative one."""
    names = [field.name for field in fields(OperatorLimits)]
    values = {name: getattr(message, name) for name in names}
    for name, value in values.items():
        if value < 0.0:
            raise ValueError(f'{name} is {value:g}, must be 0 or above')
    return OperatorLimits(**{name: given(value) for name, value in values.items()})


def needs_of(message: Any, now: float) -> Needs:
    """Return the needs in a SetNeeds request at the monotonic time `now`.

    Raise ``ValueError`` for what makes no sense.
    """
    departure, ratios = given(message.departure_time), {}
    if message.departure_time < 0.0:
        raise ValueError(f'departure_time is {message.departure_time:g}, must be 0 or above')
    for name in ('minimum_state_of_charge', 'target_state_of_charge'):
        value = given(getattr(message, name))
        if value is not None and not 0.0 <= value <= 1.0:
            raise ValueError(f'{name} is {value:g}, must be 0 to 1')
        ratios[name] = value
    needs = Needs(None if departure is None else now + departure, **ratios)
    minimum, target = needs.minimum_state_of_charge, needs.target_state_of_charge
    if minimum is not None and target is not None and minimum > target:
        # [V2G20-1290]
        raise ValueError(f'minimum_state_of_charge {minimum:g} is above the target {target:g}')
    return needs


# Out of the core.

def response_message(outgoing: Outgoing, stamp: Time) -> Any:
    """Return the V2GResponse for the transport."""
    return msg.V2GResponse(
        stamp=stamp,
        connection_id=outgoing.connection_id,
        sequence=outgoing.sequence,
        action=int(outgoing.action),
        payload_type=outgoing.payload_type,
        data=outgoing.data,
        receive_timeout=float(outgoing.receive_timeout),
        close_delay=float(outgoing.close_delay),
        data_link=int(outgoing.data_link))


def command_message(command: ChargeCommand) -> Any:
    """Return the ChargeCommand, without header, sequence, publisher and lease."""
    return msg.ChargeCommand(
        session_id=command.session_id,
        mode=int(command.mode),
        shutdown=int(command.shutdown),
        target_voltage=measured(command.target_voltage),
        target_current=measured(command.target_current),
        maximum_voltage=measured(command.maximum_voltage),
        maximum_current=measured(command.maximum_current),
        maximum_power=measured(command.maximum_power),
        maximum_discharge_current=measured(command.maximum_discharge_current),
        maximum_discharge_power=measured(command.maximum_discharge_power),
        pilot_oscillator=command.pilot_oscillator,
        lock_connector=command.lock_connector)


def session_message(session: Session, stamp: Time, now: float) -> Any:
    """Return the ChargingSession; `stamp` is the system's time at the monotonic time `now`."""
    message = msg.ChargingSession(
        protocol=session.protocol,
        stage=int(session.stage),
        session_id=session.session_id,
        evse_id=session.evse_id[:_NAME],
        evcc_id=session.evcc_id[:_NAME],
        authorization=int(session.authorization),
        authorized=session.authorized,
        contract_id=session.contract_id[:_NAME],
        bidirectional=session.bidirectional,
        control_mode=int(session.control_mode),
        stop_reason=int(session.stop_reason),
        last_request=session.last_request[:_NAME],
        last_response_code=session.last_response_code[:_NAME],
        requests=session.requests,
        message=session.message[:_TEXT])
    message.header.stamp = stamp
    if session.started is not None:
        message.started = earlier(stamp, now - session.started)
    message.faults = [
        msg.Fault(
            code=fault.code, severity=int(fault.severity), latched=True,
            source=fault.source[:_NAME], message=fault.message[:_TEXT], since=stamp)
        for fault in session.faults]
    return message


def vehicle_message(vehicle: Vehicle, session_id: str, stamp: Time) -> Any:
    """Return the ElectricVehicle."""
    message = msg.ElectricVehicle(session_id=session_id)
    message.header.stamp = stamp
    for field in fields(vehicle):
        value = getattr(vehicle, field.name)
        if isinstance(value, str):
            value = value[:_NAME]
        elif not isinstance(value, bool):
            value = measured(value)
        setattr(message, field.name, value)
    return message


def trace_message(item: Received | Outgoing, stamp: Time, processing_time: float) -> Any:
    """Return the V2GTrace of a request or of a response."""
    is_request = isinstance(item, Received)
    text, name, error = '', '', item.error if isinstance(item, Received) else ''
    if item.message is not None:
        body = getattr(item.message, 'body', None)
        name = type(item.message if body is None else body).__name__
        text = json.dumps(exi.to_json(item.message), separators=(',', ':'))
        if len(text) > _JSON:
            text, error = '', f'JSON has {len(text)} characters, more than a trace takes'
    return msg.V2GTrace(
        stamp=stamp,
        connection_id=item.connection_id,
        sequence=item.sequence,
        direction=msg.V2GTrace.DIRECTION_REQUEST if is_request else (
            msg.V2GTrace.DIRECTION_RESPONSE),
        schema=item.schema,
        message=name[:_NAME],
        response_code='' if isinstance(item, Received) else item.response_code,
        payload_type=item.payload_type,
        exi=item.data,
        json=text,
        processing_time=math.nan if is_request else processing_time,
        error=error[:_TEXT])
