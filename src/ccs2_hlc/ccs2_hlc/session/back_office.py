"""Requests that a back office answers: contract certificates for the vehicle."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any


class BackOfficeAction(IntEnum):
    """What the vehicle wants of it."""

    INSTALL = 1
    UPDATE = 2


@dataclass(frozen=True, slots=True)
class BackOfficeAnswer:
    """What has come back."""

    #: Decoded V2G message, ``None`` if there is none to be used.
    message: Any = None
    #: Why there is none.
    problem: str = ''


@dataclass(frozen=True, slots=True, kw_only=True)
class BackOfficeRequest:
    """A request on its way to the back office."""

    #: Counts up; the answer has to name it.
    number: int
    action: BackOfficeAction
    #: Namespace of the message's schema.
    namespace: str
    #: The vehicle's message as it came.
    data: bytes
    #: Within how many seconds the answer is of use.
    time_budget: float
