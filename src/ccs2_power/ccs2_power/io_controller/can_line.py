"""The CAN bus to an I/O controller: frames of eight octets with 11-bit identifiers.

A STATE is two frames, joined by their counter: its first eight octets, then the counter, a zero and
the rest.
"""

from __future__ import annotations

from ccs2_power.can.bus import CanBus
from ccs2_power.can.frame import Frame
from ccs2_power.hal import DriverError
from ccs2_power.io_controller.frames import FrameType
from ccs2_power.io_controller.line import Heard

#: Identifiers count from the controller's own, a multiple of this.
SPACING = 8
#: Its own identifier unless the site says otherwise, and its bit rate, in bit/s.
IDENTIFIER, BIT_RATE = 0x300, 500_000
#: What a frame is by its place after the controller's own identifier.
LEVELS, REST = 2, 3
PLACES = {FrameType.DRIVE: 0, FrameType.IDENTIFY: 1, FrameType.IDENTITY: 4}
#: Octets of the STATE in its first frame.
_FIRST = 8
_OF_PLACE = {place: frame_type for frame_type, place in PLACES.items()}


def split(identifier: int, frame_type: int, content: bytes) -> list[Frame]:
    """Return the CAN frames that carry a frame; raise ``ValueError`` if they cannot."""
    if frame_type == FrameType.STATE:
        first, rest = content[:_FIRST], content[:1] + b'\0' + content[_FIRST:]
        return [Frame(identifier + LEVELS, first, extended=False),
                Frame(identifier + REST, rest, extended=False)]
    if len(content) > 8:
        raise ValueError(f'{len(content)} octets do not fit into a CAN frame')
    return [Frame(identifier + PLACES[FrameType(frame_type)], content, extended=False)]


class Joiner:
    """Puts what comes from the bus together; what is somebody else's is nothing."""

    def __init__(self, identifier: int) -> None:
        self._identifier = identifier
        self._first = b''

    def feed(self, frame: Frame) -> tuple[int, bytes] | None:
        """Take a frame; return type and content of what it completes."""
        place = frame.identifier - self._identifier
        if frame.extended:
            return None
        if place == LEVELS:
            self._first = frame.data
            return None
        if place == REST:
            first, self._first = self._first, b''
            if len(first) != _FIRST or len(frame.data) != 8 or first[0] != frame.data[0]:
                return None
            return FrameType.STATE, first + frame.data[2:]
        frame_type = _OF_PLACE.get(place)
        return None if frame_type is None else (frame_type, frame.data)


class CanLine:
    """A CAN bus; see :class:`ccs2_power.io_controller.line.Line`."""

    def __init__(
        self, interface: str, channel: str, bit_rate: int, identifier: int, heard: Heard,
    ) -> None:
        self.name = f'{channel} {identifier:#x}'
        self._identifier, self._heard = identifier, heard
        self._joiner = Joiner(identifier)
        self._bus = CanBus(interface, channel, bit_rate, self._hear)

    @property
    def problem(self) -> str:
        """What is wrong with the bus now."""
        return self._bus.problem

    def open(self) -> None:
        """Get on the bus."""
        self._joiner = Joiner(self._identifier)
        try:
            self._bus.open()
        except DriverError as error:
            if not self._bus.problem:
                raise  # a package is missing
            raise OSError(str(error)) from None

    def send(self, frame_type: int, content: bytes = b'') -> None:
        """Send one frame."""
        self._bus.send(split(self._identifier, frame_type, content))
        if self._bus.problem:
            raise OSError(self._bus.problem)

    def close(self) -> None:
        """Leave the bus."""
        self._bus.close()

    def _hear(self, frame: Frame) -> None:
        found = self._joiner.feed(frame)
        if found is not None:
            self._heard(*found)
