"""What every node of the charging station shares: life cycle, main loop, QoS profiles, diagnostics.

A node is written as a :class:`ManagedNode` and run by :func:`run`. All of its code runs on one
asyncio loop in the main thread; rclpy spins in a worker thread of its own and only hands messages
over. So a node needs no locks, and its sockets, timers and messages share one clock.
"""

from ccs2_node.diagnostics import Level, Status
from ccs2_node.managed_node import ConfigureError, ManagedNode
from ccs2_node.qos import (
    EVENT,
    LATEST,
    NO_PUBLISHER_EVENTS,
    NO_SUBSCRIPTION_EVENTS,
    STATE,
    STREAM,
    TELEMETRY,
)
from ccs2_node.runtime import run
from ccs2_node.stamps import NANOSECONDS, stamp

__all__ = [
    'EVENT', 'LATEST', 'NANOSECONDS', 'NO_PUBLISHER_EVENTS', 'NO_SUBSCRIPTION_EVENTS', 'STATE',
    'STREAM', 'TELEMETRY', 'ConfigureError', 'Level', 'ManagedNode', 'Status', 'run', 'stamp',
]
