"""What the parts of a node report on `/diagnostics`, once a second and on each change of level."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue


class Level(IntEnum):
    """WARN still charges (degraded), ERROR cannot charge, STALE has no fresh data."""

    OK = 0
    WARN = 1
    ERROR = 2
    STALE = 3


@dataclass(frozen=True)
class Status:
    """What one part of a node reports.

    `part` names the part within the node, `message` is a phrase an electrician understands, and
    `values` has the unit in its keys (`'voltage [V]'`).
    """

    part: str
    level: Level
    message: str
    values: Mapping[str, object] = field(default_factory=dict)
    hardware_id: str = ''


def to_array(node_name: str, stamp: Any, statuses: Sequence[Status]) -> DiagnosticArray:
    """Return the message for `/diagnostics`; `stamp` is a builtin_interfaces Time."""
    array = DiagnosticArray()
    array.header.stamp = stamp
    array.status = [
        DiagnosticStatus(
            level=bytes([status.level]),
            name=f'{node_name}: {status.part}',
            message=status.message,
            hardware_id=status.hardware_id,
            values=[KeyValue(key=key, value=_text(value)) for key, value in status.values.items()],
        )
        for status in statuses
    ]
    return array


def _text(value: object) -> str:
    return f'{value:.6g}' if isinstance(value, float) else str(value)
