"""Ethernet frames of HomePlug management messages, to and from typed objects."""

from __future__ import annotations

from dataclasses import dataclass

from ccs2_link.homeplug import messages, vendor
from ccs2_link.homeplug.errors import DropReason, FrameError
from ccs2_link.homeplug.layout import MAC_LENGTH, Message, read_payload, size_of, write_payload

ETHERTYPE = 0x88E1
LOCAL_MODEM = bytes.fromhex('00b052000001')
"""Address under which a Qualcomm modem takes messages of its own host."""
MIN_FRAME = 60
MAX_FRAME = 1514
_TYPE_END = 17
_ETHERTYPE_OCTETS = ETHERTYPE.to_bytes(2, 'big')

_KINDS: dict[int, type[Message]] = {
    kind.MMTYPE: kind
    for module in (messages, vendor)
    for kind in vars(module).values()
    if isinstance(kind, type) and issubclass(kind, Message) and hasattr(kind, 'MMTYPE')
}


@dataclass(frozen=True, slots=True)
class Frame:
    """One management message with the stations it goes between."""

    destination: bytes
    source: bytes
    message: Message


def kinds() -> tuple[type[Message], ...]:
    """Return every message class that is spoken, by rising message type."""
    return tuple(_KINDS[mmtype] for mmtype in sorted(_KINDS))


def _header_size(kind: type[Message]) -> int:
    return _TYPE_END + (2 if kind.VERSION else 0) + len(kind.OUI)


def minimum_length(kind: type[Message]) -> int:
    """Return the octets of the shortest frame of this class, padding included."""
    return max(MIN_FRAME, _header_size(kind) + size_of(kind))


def encode(destination: bytes, source: bytes, message: Message) -> bytes:
    """Return the frame, padded to 60 octets; raise ValueError if a field does not fit it."""
    for name, address in (('destination', destination), ('source', source)):
        if len(address) != MAC_LENGTH:
            raise ValueError(f'{name}: {len(address)} octets, a MAC address has {MAC_LENGTH}')
    kind = type(message)
    frame = b''.join((
        destination,
        source,
        _ETHERTYPE_OCTETS,
        bytes([kind.VERSION]),
        kind.MMTYPE.to_bytes(2, 'little'),
        b'\0\0' if kind.VERSION else b'',
        kind.OUI,
        write_payload(message),
    ))
    if len(frame) > MAX_FRAME:
        raise ValueError(f'{kind.__name__}: {len(frame)} octets, a frame has at most {MAX_FRAME}')
    return frame.ljust(MIN_FRAME, b'\0')


def decode(frame: bytes) -> Frame:
    """Return the message of a whole frame without FCS; raise FrameError if it is none of ours.

    The length must be exact: messages of a fixed size have one legal length, others the length
    that their own counters say. Answers of the modem to vendor messages may be longer.
    """
    if not MIN_FRAME <= len(frame) <= MAX_FRAME:
        raise FrameError(DropReason.LENGTH, f'{len(frame)} octets')
    if frame[12:14] != _ETHERTYPE_OCTETS:
        raise FrameError(DropReason.ETHERTYPE, frame[12:14].hex())
    mmtype = int.from_bytes(frame[15:17], 'little')
    kind = _KINDS.get(mmtype)
    if kind is None:
        raise FrameError(DropReason.UNKNOWN, f'message type {mmtype:04x}')
    start = _header_size(kind)
    fragmentation = frame[_TYPE_END : start - len(kind.OUI)]
    if frame[14] != kind.VERSION or any(fragmentation):
        raise FrameError(DropReason.VERSION, f'{kind.__name__}: MMV {frame[14]}')
    if frame[start - len(kind.OUI) : start] != kind.OUI:
        raise FrameError(DropReason.UNKNOWN, f'{kind.__name__}: another vendor')
    if not kind.OPEN_ENDED and not _sized_by_content(kind) and len(frame) != minimum_length(kind):
        raise FrameError(DropReason.LENGTH, f'{kind.__name__}: {len(frame)} octets')
    payload = frame[start:]
    return Frame(frame[:6], frame[6:12], read_payload(kind, payload))


def _sized_by_content(kind: type[Message]) -> bool:
    return kind in (messages.CmAmpMapReq, messages.CmNwStatsCnf)


def mac_text(address: bytes) -> str:
    """Return a MAC address as people write it."""
    return address.hex(':')
