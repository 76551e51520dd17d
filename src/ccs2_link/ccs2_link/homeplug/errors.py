"""Why a frame is not a management message that we speak."""

import enum


class DropReason(enum.StrEnum):
    """The counters under which undecodable frames are kept."""

    ETHERTYPE = 'ethertype'
    """Not EtherType 0x88E1."""
    VERSION = 'version'
    """The message exists, but not with this MMV, or the frame is a fragment."""
    UNKNOWN = 'unknown'
    """A message type, or a vendor, that is not spoken here."""
    LENGTH = 'length'
    """Truncated, or longer than the message is."""
    VALUE = 'value'
    """A field holds what it must not hold."""


class FrameError(ValueError):
    """A frame was not decoded; `reason` says under which counter it belongs."""

    def __init__(self, reason: DropReason, detail: str) -> None:
        super().__init__(f'{reason}: {detail}')
        self.reason = reason
