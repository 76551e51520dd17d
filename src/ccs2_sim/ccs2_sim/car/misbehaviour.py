"""Bad manners as data: what the car can do wrong, where, and what a good station answers.

A misbehaviour is chosen by text: its name, and after a colon options separated by commas, e.g.
``silent``, ``slow:seconds=4``, ``wrong_message:step=PreCharge,after=2``. `step` is the step in
which it happens, `after` how many requests of that step go before it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ccs2_hlc.exi.declare import Element
from ccs2_hlc.exi.messages import din, iso2, sap
from ccs2_link.transport.sdp import SdpSecurity
from ccs2_link.transport.v2gtp import HEADER, LARGEST_PAYLOAD
from ccs2_sim.car.manners import Alter, Manners, Misbehaviour, older_step
from ccs2_sim.car.misbehaviour_iso2 import ISO2
from ccs2_sim.car.misbehaviour_iso20 import ISO20
from ccs2_sim.car.sdp import encode_request
from ccs2_sim.evcc.vehicle import Wish

if TYPE_CHECKING:
    from ccs2_sim.car.session import Session

#: Protocols as the documentation names them.
NAMES = {'din': 'DIN 70121', 'iso2': 'ISO 15118-2', 'iso20': 'ISO 15118-20'}
#: How long a car that has gone silent stays there before it drives off, s.
SILENCE = 90.0
#: How long a car waits for the end of a connection that a good station has to end, s.
PATIENCE = 10.0

def parse(text: str) -> Manners:
    """Return the manners that `text` names ('' = good); raise ``ValueError`` saying what is wrong.

    See the module's docstring for the format.
    """
    name, _, options = text.partition(':')
    if not name:
        if options:
            raise ValueError(f'misbehaviour {text!r} has no name')
        return Manners()
    kind = MISBEHAVIOURS.get(name)
    if kind is None:
        raise ValueError(f'no misbehaviour {name!r}; there are {", ".join(MISBEHAVIOURS)}')
    manners = Manners(kind, kind.step, kind.after, kind.value)
    for option in filter(None, options.split(',')):
        key, _, value = option.partition('=')
        try:
            if key == 'step' and value:
                manners.step = value
            elif key == 'after':
                manners.after = int(value)
            elif key and key == kind.option:
                manners.value = type(kind.value)(value)
                key = 'value'
            else:
                raise ValueError(f'no option {key!r}')
        except ValueError as error:
            raise ValueError(f'misbehaviour {name!r}: {option!r}: {error}') from None
        manners.told |= {key}
    return manners


# What the car says.


def _field(name: str, unit: str) -> Alter:
    """Give one physical value of a request another value."""
    def alter(engine: Any, message: Any, value: Any) -> Element:
        body = replace(message.body, **{name: engine.quantity(value, unit)})
        changed: Element = replace(message, body=body)
        return changed
    return alter


def _foreign_session(engine: Any, message: Any, value: Any) -> Element:
    other = bytes(octet ^ 0xFF for octet in message.header.session_id)
    changed: Element = replace(message, header=replace(message.header, session_id=other))
    return changed


def _wrong_message(engine: Any, message: Any, value: Any) -> Element:
    """Ask for services in the middle of everything, or for power before the beginning."""
    if isinstance(message, sap.SupportedAppProtocolReq):
        return message
    messages = engine.messages
    body = (messages.CableCheckReq(dc_ev_status=engine.ev_status())
            if isinstance(message.body, messages.SessionSetupReq)
            else messages.ServiceDiscoveryReq())
    changed: Element = replace(message, body=body)
    return changed


def _unknown_protocol(engine: Any, message: Any, value: Any) -> Element:
    return sap.SupportedAppProtocolReq(app_protocol=[
        replace(message.app_protocol[0], protocol_namespace='urn:example:tomorrow:MsgDef')])


def _car_error(engine: Any, message: Any, value: Any) -> Element:
    status = replace(
        message.body.dc_ev_status,
        ev_error_code=engine.messages.DCEVErrorCode.FAILED_EV_RESS_MALFUNCTION)
    changed: Element = replace(message, body=replace(message.body, dc_ev_status=status))
    return changed


def _contract(engine: Any, message: Any, value: Any) -> Element:
    body = replace(message.body, selected_payment_option=din.PaymentOption.CONTRACT)
    changed: Element = replace(message, body=body)
    return changed


def _alternating_current(engine: Any, message: Any, value: Any) -> Element:
    wrong: dict[str, Any] = (
        {'requested_energy_transfer_mode': iso2.EnergyTransferMode.AC_THREE_PHASE_CORE}
        if engine.messages is iso2 else {'ev_requested_energy_transfer_type':
                                         din.EVRequestedEnergyTransferType.AC_THREE_PHASE_CORE})
    changed: Element = replace(message, body=replace(message.body, **wrong))
    return changed


# What goes over the wire.


def _garbage(frame: bytes, value: float) -> bytes:
    return frame[:HEADER.size] + bytes(0xA5 ^ octet for octet in frame[HEADER.size:])


def _truncated(frame: bytes, value: float) -> bytes:
    kept = frame[HEADER.size:-1]
    return frame[:4] + len(kept).to_bytes(4, 'big') + kept


def _oversize(frame: bytes, value: float) -> bytes:
    return frame[:4] + (LARGEST_PAYLOAD + 1).to_bytes(4, 'big') + frame[HEADER.size:]


def _wrong_version(frame: bytes, value: float) -> bytes:
    return b'\x02\xfd' + frame[2:]


def _unknown_type(frame: bytes, value: float) -> bytes:
    return frame[:2] + b'\x70\x00' + frame[4:]


def _twice(frame: bytes, value: float) -> bytes:
    return frame + frame


def _unfinished(frame: bytes, value: float) -> bytes:
    return frame[:-1]


# What the car does.


async def _reset(session: Session, value: float) -> bool:
    session.link.reset()
    return False


async def _close(session: Session, value: float) -> bool:
    await session.link.close()
    return False


async def _silence(session: Session, value: float) -> bool:
    await session.until_closed(value)
    return False


async def _tear_out(session: Session, value: float) -> bool:
    session.tear_out()
    await session.until_closed(PATIENCE)
    return False


async def _dawdle(session: Session, value: float) -> bool:
    await asyncio.sleep(value)
    return True


async def _second_connection(session: Session, value: float) -> bool:
    await session.connect_again()
    return True


def _to_b(wish: Wish) -> Wish:
    return replace(wish, load='B') if wish.plugged else wish


def _hold_contactors(wish: Wish) -> Wish:
    return replace(wish, contactors=wish.plugged)


_OLDER: tuple[Misbehaviour, ...] = (
    Misbehaviour(
        'drop_link', 'resets the TCP connection (RST)',
        'supply off, contactors open; takes the next car', act=_reset),
    Misbehaviour(
        'close_link', 'closes the TCP connection without SessionStop',
        'supply off, contactors open; takes the next car', act=_close),
    Misbehaviour(
        'silent', 'sends nothing more, stays in state C with closed contactors',
        'waits for its sequence timeout, then supply off, contactors open, connection closed',
        act=_silence, option='seconds', value=SILENCE, unit='s'),
    Misbehaviour(
        'slow', 'waits before every request',
        'goes on charging as long as its sequence timeout allows it',
        act=_dawdle, option='seconds', value=3.0, unit='s'),
    Misbehaviour(
        'unplug', 'is torn off the cable under load',
        'emergency shutdown by the pilot (state A), connection closed', act=_tear_out),
    Misbehaviour(
        'leave_c', 'goes to state B while energy flows, and goes on asking for current',
        'contactors open within 100 ms, session ended as failed', want=_to_b,
        act=lambda session, value: session.settle()),
    Misbehaviour(
        'never_c', 'asks for the cable check in state B',
        'FAILED after V2G_SECC_CPState_Detection_Timeout (1.5 s)',
        step='CableCheck', after=0, want=_to_b, act=lambda session, value: session.settle()),
    Misbehaviour(
        'early_contactors', 'closes its contactors before the cable check',
        'does not close onto the battery, or finds its voltage in the cable check: fails it',
        step='CableCheck', after=0, want=_hold_contactors,
        act=lambda session, value: session.settle()),
    Misbehaviour(
        'welded', 'does not open its contactors after charging',
        'reports the voltage in the welding detection; never unlocks above 60 V',
        step='PowerDeliveryStop', after=0, want=_hold_contactors),
    Misbehaviour(
        'wrong_message', 'sends a request that is not allowed now',
        'FAILED_SequenceError in the response to that request, session ended',
        alter=_wrong_message,
        iso20=False),
    Misbehaviour(
        'wrong_session_id', 'sends another session id',
        'FAILED_UnknownSession, session ended', alter=_foreign_session),
    Misbehaviour(
        'wrong_voltage', 'asks for a voltage above its own limit',
        'never exceeds the limits that the car and the station gave',
        alter=_field('ev_target_voltage', 'V'), option='volt', value=700.0, unit='V',
        iso20=False),
    Misbehaviour(
        'wrong_current', 'asks for more current than it said it could take',
        'never exceeds the limits that the car and the station gave',
        alter=_field('ev_target_current', 'A'), option='ampere', value=400.0, unit='A',
        iso20=False),
    Misbehaviour(
        'pre_charge_current', 'asks for a large current in the pre-charge',
        'FAILED or at most 2 A', step='PreCharge', after=0,
        alter=_field('ev_target_current', 'A'), option='ampere', value=50.0, unit='A',
        iso20=False),
    Misbehaviour(
        'car_error', 'reports FAILED_EVRESSMalfunction',
        'FAILED, supply off, contactors open, session ended', step='CableCheck', after=0,
        alter=_car_error,
        iso20=False),
    Misbehaviour(
        'contract_payment', 'selects payment by contract, which DIN 70121 does not have',
        'FAILED_PaymentSelectionInvalid', step='ServicePaymentSelection', after=0,
        alter=_contract, protocol='din'),
    Misbehaviour(
        'alternating_current', 'asks a DC station for AC',
        'FAILED_WrongEnergyTransferType (DIN 70121) or FAILED_WrongEnergyTransferMode',
        step='ChargeParameterDiscovery', after=0, alter=_alternating_current,
        iso20=False),
    Misbehaviour(
        'unknown_protocol', 'offers only a protocol that nobody knows',
        'Failed_NoNegotiation, connection closed', step='supportedAppProtocol', after=0,
        alter=_unknown_protocol),
    Misbehaviour(
        'garbage_exi', 'sends octets that are no EXI',
        'ignores them or ends the session; supply off, contactors open', mangle=_garbage,
        once=True),
    Misbehaviour(
        'truncated_exi', 'leaves out the last octet of a message, with the right length',
        'ignores it or ends the session; supply off, contactors open', mangle=_truncated,
        once=True),
    Misbehaviour(
        'oversize_frame', 'announces more payload than allowed',
        'closes the connection at once, allocates nothing; supply off, contactors open',
        mangle=_oversize, once=True),
    Misbehaviour(
        'wrong_version', 'sends a wrong V2GTP version',
        'ignores the message; supply off, contactors open when the car gives up',
        mangle=_wrong_version, once=True),
    Misbehaviour(
        'unknown_type', 'sends an unknown V2GTP payload type',
        'ignores the message; supply off, contactors open when the car gives up',
        mangle=_unknown_type, once=True),
    Misbehaviour(
        'unfinished_frame', 'sends a message without its last octet and waits',
        "gives it up at the message's deadline; supply off, contactors open",
        mangle=_unfinished, once=True),
    Misbehaviour(
        'twice', 'sends a request twice without waiting for the response',
        'answers both in order, or ends the session', mangle=_twice, once=True,
        surplus=1),
    Misbehaviour(
        'second_connection', 'opens a second connection beside the first',
        'closes it at once; the session goes on as if nothing had happened',
        act=_second_connection, once=True),
    Misbehaviour(
        'bad_discovery', 'sends malformed SDP datagrams before a good one',
        'ignores them and answers the good one', step='', after=0, probes=(
            b'', b'\x01', encode_request(SdpSecurity.NONE)[:-1],
            encode_request(SdpSecurity.NONE) + b'\0',
            b'\x02\xfd' + encode_request(SdpSecurity.NONE)[2:],
            encode_request(SdpSecurity.NONE)[:-2] + b'\x55\x00',
            encode_request(SdpSecurity.NONE)[:-1] + b'\x10',
            bytes.fromhex('01fe9000fffffff81000'))),
    *ISO2,
)


def _all() -> dict[str, Misbehaviour]:
    """Return the misbehaviours by name; those of ISO 15118-20 are joined to the older ones."""
    newer = {kind.name: kind for kind in ISO20}
    older = {kind.name: replace(kind, newer=newer.pop(kind.name, None)) for kind in _OLDER}
    return older | newer


#: All misbehaviours by name, in the order of the documentation.
MISBEHAVIOURS: Mapping[str, Misbehaviour] = _all()


def table() -> str:
    """Return the table of all misbehaviours in Markdown."""
    lines = [
        '| name | the car … | a good station … | where, unless told otherwise | option |',
        '|---|---|---|---|---|']
    for kind in MISBEHAVIOURS.values():
        newer = kind.newer
        if newer is None:
            lines.append(_row(kind, f'{_where(kind)}{_limits(kind)}'))
        elif (kind.does, kind.station) == (newer.does, newer.station):
            elsewhere = older_step(kind.step) != older_step(newer.step)
            lines.append(_row(kind, _where(kind) + (
                f', by ISO 15118-20 {_where(newer)}' if elsewhere else '')))
        else:
            older = NAMES.get(kind.protocol, 'older protocols')
            lines += [_row(kind, f'{_where(kind)}, {older}'),
                      _row(newer, f'{_where(newer)}, {NAMES["iso20"]}')]
    return '\n'.join(lines) + '\n'


def _row(kind: Misbehaviour, where: str) -> str:
    value = kind.value if isinstance(kind.value, str) else f'{kind.value:g}'
    option = f'`{kind.option}` = {value} {kind.unit}'.rstrip() if kind.option else ''
    return f'| `{kind.name}` | {kind.does} | {kind.station} | {where} | {option} |'


def _where(kind: Misbehaviour) -> str:
    after = f' after {kind.after}' if kind.after else ''
    return f'`{kind.step}`{after}' if kind.step else 'SDP'


def _limits(kind: Misbehaviour) -> str:
    if kind.protocol:
        return f', {NAMES[kind.protocol]} only'
    return '' if kind.iso20 else ', not by ISO 15118-20'
