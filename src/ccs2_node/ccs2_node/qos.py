"""The QoS profiles of the station: a node names one of these, nobody invents one on the spot."""

from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy


def _profile(depth: int, reliable: bool, latched: bool = False) -> QoSProfile:
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=depth,
        reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
    )


#: What is true now (link, control_pilot, session, ...): a late subscriber gets the last value.
STATE = _profile(1, reliable=True, latched=True)
#: Ordered messages none of which may be lost (v2g/request, v2g/response, v2g/trace).
STREAM = _profile(50, reliable=True)
#: Only the newest counts, but it has to arrive (charge_command).
LATEST = _profile(1, reliable=True)
#: Measurements: the next one comes soon.
TELEMETRY = _profile(20, reliable=False)
#: Single happenings that should not get lost (pki/audit, /diagnostics).
EVENT = _profile(20, reliable=True)

#: A peer with another QoS or type is not logged here: it logs that itself. The executor looks at
#: every event of every topic whenever it wakes, which would be most of its work.
NO_PUBLISHER_EVENTS = PublisherEventCallbacks(use_default_callbacks=False)
NO_SUBSCRIPTION_EVENTS = SubscriptionEventCallbacks(use_default_callbacks=False)
