"""One connector of a running station, seen from outside through its topics and the car's action."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.action import ActionClient
from rclpy.executors import SingleThreadedExecutor

from ccs2_interfaces.action import Charge
from ccs2_interfaces.msg import (
    CabinetOutput,
    ChargeCommand,
    ChargingSession,
    ControlPilot,
    ElectricVehicle,
    Isolation,
    Link,
    Meter,
    PowerStatus,
    SafetyStatus,
    V2GConnection,
    V2GTrace,
)
from ccs2_node import EVENT, LATEST, NO_SUBSCRIPTION_EVENTS, STATE, STREAM, TELEMETRY
from station.processes import StationError
from station.view import NOT_KNOWN, View

TOPICS = {
    'cabinet/output': (CabinetOutput, TELEMETRY),
    'charge_command': (ChargeCommand, LATEST),
    'control_pilot': (ControlPilot, STATE),
    'ev': (ElectricVehicle, STATE),
    'isolation': (Isolation, TELEMETRY),
    'link': (Link, STATE),
    'meter': (Meter, TELEMETRY),
    'power/status': (PowerStatus, TELEMETRY),
    'safety/status': (SafetyStatus, TELEMETRY),
    'session': (ChargingSession, STATE),
    'v2g/connection': (V2GConnection, STATE),
    'v2g/trace': (V2GTrace, STREAM),
}
Hook = Callable[[str, Any], None]


def wait_for(
    connectors: Sequence[Connector], condition: Callable[[], Any], seconds: float, what: str,
) -> Any:
    """Take messages of connectors until a condition holds, and return what it gave.

    Raises :class:`StationError` saying `what` did not happen within `seconds`, and how it is.
    """
    end = time.monotonic() + seconds
    while not (result := condition()):
        if time.monotonic() >= end:
            seen = '; '.join(connector.describe() for connector in connectors)
            raise StationError(f'{what}: not within {seconds:g} s ({seen})')
        for connector in connectors:
            connector.take(0.05 / len(connectors))
    return result


class Connector:
    """Keeps the newest message of each topic. Used in one thread, by :meth:`wait`."""

    def __init__(self, name: str = 'connector_1', domain: int | None = None) -> None:
        self.name = name
        #: The newest message of each topic that has had one.
        self.latest: dict[str, Any] = {}
        #: The newest diagnostic status by its name, without the connector's.
        self.diagnostics: dict[str, Any] = {}
        #: Called with topic and message.
        self.hooks: list[Hook] = []
        self.feedback: Charge.Feedback | None = None
        self._goal: Any = None
        self._context = rclpy.Context()
        rclpy.init(context=self._context, domain_id=domain)
        self.node = rclpy.create_node(
            'station_observer', context=self._context, enable_rosout=False,
            start_parameter_services=False)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        for kind, topic, take, qos in (
            *((kind, f'/{name}/{topic}', self._keep(topic), qos)
              for topic, (kind, qos) in TOPICS.items()),
            (DiagnosticArray, '/diagnostics', self._diagnose, EVENT),
        ):
            self.node.create_subscription(
                kind, topic, take, qos, event_callbacks=NO_SUBSCRIPTION_EVENTS)
        self._charge = ActionClient(self.node, Charge, f'/{name}/car/charge')

    def __enter__(self) -> Connector:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._executor.shutdown()
        self._charge.destroy()
        self.node.destroy_node()
        rclpy.shutdown(context=self._context)

    def spin(self, seconds: float) -> None:
        """Take messages for so long."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._executor.spin_once(timeout_sec=left)

    def take(self, seconds: float) -> None:
        """Take the next message that comes within so long."""
        self._executor.spin_once(timeout_sec=seconds)

    def wait(self, condition: Callable[[], Any], seconds: float, what: str) -> Any:
        """Take messages until a condition holds, and return what it gave.

        Raises :class:`StationError` saying `what` did not happen within `seconds`.
        """
        return wait_for([self], condition, seconds, what)

    def nodes(self) -> set[str]:
        """Return the full names of all nodes in the graph."""
        return {f"{namespace.rstrip('/')}/{name}"
                for name, namespace in self.node.get_node_names_and_namespaces()}

    @property
    def ready(self) -> bool:
        """Tell whether the lifecycle manager has all nodes active."""
        status = self.diagnostics.get('lifecycle_manager: station')
        return status is not None and status.level == b'\x00'

    @property
    def empty(self) -> bool:
        """Tell whether the station sees no car at the connector."""
        pilot = self.latest.get('control_pilot')
        return pilot is not None and pilot.state == ControlPilot.STATE_A

    @property
    def safe(self) -> bool:
        """Tell whether the contactors are open and nothing flows."""
        safety, power = (self.latest.get(topic) for topic in ('safety/status', 'power/status'))
        return bool(safety and power and safety.contactors_open and abs(power.current) < 1.0)

    def describe(self) -> str:
        """Say in a few words how things are, for who has waited in vain."""
        view = View()
        for topic, message in self.latest.items():
            view(topic, message)
        safety = self.latest.get('safety/status')
        return ', '.join((
            f'{self.name}: {view.doing}', f'pilot {view.pilot}', f'contactors {view.contactors}',
            'locked' if safety is not None and safety.connector_locked else 'not locked',
            f'car: {self.feedback.stage if self.feedback else NOT_KNOWN}', *view.faults))

    def be_alone(self) -> None:
        """Raise :class:`StationError` if another station runs in this ROS domain."""
        self.spin(0.5)
        if f'/{self.name}/hlc' in self.nodes():
            raise StationError(
                f"another station runs in ROS domain {os.environ.get('ROS_DOMAIN_ID', '0')}; "
                'set ROS_DOMAIN_ID to another number')

    def wait_until_ready(self, seconds: float = 60.0) -> None:
        """Wait until all nodes are active; raise :class:`StationError` with the reason if not."""
        self.diagnostics.pop('lifecycle_manager: station', None)
        try:
            self.wait(lambda: self.ready, seconds, 'all nodes active')
            self.wait(self._charge.server_is_ready, seconds, 'the car answers')
        except StationError as error:
            status = self.diagnostics.get('lifecycle_manager: station')
            told = status.message if status else 'no word from the lifecycle manager'
            raise StationError(f'{error}; {told}') from None

    def charge(self, seconds: float = 10.0, **goal: Any) -> Any:
        """Let the car charge; return the future of its result (``.done()``, ``.result()``)."""
        # The station has to have seen the last car leave.
        self.wait(lambda: self.empty, seconds, 'an empty connector')
        return self.plug_in(seconds, **goal)

    def plug_in(self, seconds: float = 10.0, **goal: Any) -> Any:
        """Let the car charge as :meth:`charge` does, whatever the station sees."""
        request = Charge.Goal(**goal)
        sent = self._charge.send_goal_async(request, feedback_callback=self._on_feedback)
        self.wait(sent.done, seconds, 'the car takes the goal')
        handle = sent.result()
        if not handle.accepted:
            raise StationError('the car refused the goal')
        self._goal = handle
        return handle.get_result_async()

    def unplug(self) -> None:
        """Let the car break off what it was last told to do, and leave."""
        if self._goal is not None:
            self._goal.cancel_goal_async()
            self._goal = None

    def call(self, kind: Any, name: str, request: Any, seconds: float = 10.0) -> Any:
        """Call a service of this connector, e.g. ``'hlc/stop'``; return the response."""
        client = self.node.create_client(kind, f'/{self.name}/{name}')
        try:
            self.wait(client.service_is_ready, seconds, f'service {name}')
            future = client.call_async(request)
            self.wait(future.done, seconds, f'answer of {name}')
            return future.result()
        finally:
            self.node.destroy_client(client)

    def _keep(self, topic: str) -> Callable[[Any], None]:
        def keep(message: Any) -> None:
            self.latest[topic] = message
            for hook in self.hooks:
                hook(topic, message)
        return keep

    def _diagnose(self, message: Any) -> None:
        for status in message.status:
            connector, _, name = status.name.partition('/')
            if connector == self.name:
                self.diagnostics[name] = status

    def _on_feedback(self, message: Any) -> None:
        self.feedback = message.feedback
