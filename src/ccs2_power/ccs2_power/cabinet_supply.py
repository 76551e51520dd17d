"""The DC supply driver of a connector that shares a cabinet: it speaks with the node `cabinet`."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import rclpy
from rclpy.exceptions import InvalidNamespaceException
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor

from ccs2_interfaces.msg import CabinetCommand, CabinetOutput, ChargeCommand, ControlPilot
from ccs2_node import (
    LATEST,
    NO_PUBLISHER_EVENTS,
    NO_SUBSCRIPTION_EVENTS,
    STATE,
    TELEMETRY,
    stamp,
)
from ccs2_power.cabinet_messages import command_message, reading_of
from ccs2_power.command import CommandError
from ccs2_power.hal import (
    SUPPLY_OFF,
    DriverError,
    SupplyCommand,
    SupplyReading,
)
from ccs2_power.messages import charge_command_of
from ccs2_power.options import Options
from ccs2_power.timing import is_fresh
from ccs2_power.want import Want

#: A cabinet that has not been heard for this long has a problem, in s.
SILENCE = 0.5
#: A command that does not switch is sent so often, in s.
PERIOD = 0.05
#: A duty cycle that offers digital communication (IEC 61851-1 table A.7: 3 % to 7 %).
DIGITAL = (0.03, 0.07)
PLUGGED = (ControlPilot.STATE_B, ControlPilot.STATE_C, ControlPilot.STATE_D)
NOTHING = SupplyReading(None, None, None, None)
#: Longest time in s for the thread to end.
PATIENCE = 1.0


@dataclass(slots=True)
class _Link:
    """The driver's own node, in a thread and a context of its own."""

    context: Any
    node: Any
    executor: Any
    publisher: Any
    thread: threading.Thread


class CabinetSupply:
    """One connector's part of a shared cabinet; see :class:`ccs2_power.hal.SupplyDriver`.

    Options: ``connector`` (its namespace, the name that the cabinet has for it),
    ``maximum_current`` (A, the most that the connector can carry, as that of `power`: it gets no
    more modules than that needs).

    The vehicle's wish is heard where everybody hears it, on `charge_command` and `control_pilot`;
    it only decides how many modules the connector gets.
    """

    def __init__(self) -> None:
        self._link: _Link | None = None
        self._want = Want(0.0)
        self._reading = NOTHING
        self._heard: float | None = None
        self._command = SUPPLY_OFF
        self._sent = float('-inf')

    @property
    def problem(self) -> str:
        """What is wrong with the connection to the cabinet now."""
        if self._link is None:
            return 'not open'
        heard = self._heard is not None and is_fresh(
            self._heard, time.monotonic(), SILENCE)
        return '' if heard else 'the cabinet is silent'

    async def open(self, parameters: Mapping[str, str]) -> None:
        """Join the cabinet's topics."""
        options = Options(parameters, ('connector', 'maximum_current'))
        connector = options.text('connector')
        self._want = Want(options.number('maximum_current', 1.0, 3000.0))
        context = rclpy.Context()
        rclpy.init(args=[], context=context)
        try:
            node = rclpy.create_node(
                'cabinet_supply', context=context, namespace=connector,
                start_parameter_services=False, enable_rosout=False)
        except InvalidNamespaceException as error:
            rclpy.shutdown(context=context)
            raise DriverError(f"option 'connector' is {connector!r}: {error}") from None
        for kind, topic, take, qos in (
            (CabinetOutput, 'cabinet/output', self._on_output, TELEMETRY),
            (ChargeCommand, 'charge_command', self._on_command, LATEST),
            (ControlPilot, 'control_pilot', self._on_pilot, STATE),
        ):
            node.create_subscription(
                kind, topic, take, qos, event_callbacks=NO_SUBSCRIPTION_EVENTS)
        executor = SingleThreadedExecutor(context=context)
        executor.add_node(node)
        thread = threading.Thread(
            target=_spin, args=[executor], name='cabinet supply', daemon=True)
        self._reading, self._heard, self._command = NOTHING, None, SUPPLY_OFF
        self._link = _Link(context, node, executor, node.create_publisher(
            CabinetCommand, 'cabinet/command', LATEST, event_callbacks=NO_PUBLISHER_EVENTS), thread)
        thread.start()

    async def close(self) -> None:
        """Tell the cabinet to be off, and leave its topics."""
        if self._link is None:
            return
        self._send(self._link, SUPPLY_OFF, time.monotonic())
        link, self._link = self._link, None
        link.executor.shutdown(PATIENCE)
        link.thread.join(PATIENCE)
        if not link.thread.is_alive():
            # Destroying a node under a running executor crashes.
            link.node.destroy_node()
        rclpy.shutdown(context=link.context)
        self._reading = NOTHING

    def read(self) -> SupplyReading:
        """Return the newest values of the modules that are on this connector's output."""
        return self._reading

    def command(self, command: SupplyCommand) -> None:
        """Set on/off, voltage and current; what switches is told at once."""
        now = time.monotonic()
        if self._link is not None and (
                command.on is not self._command.on or now - self._sent >= PERIOD):
            self._send(self._link, command, now)

    def _send(self, link: _Link, command: SupplyCommand, now: float) -> None:
        self._command, self._sent = command, now
        wall = stamp(link.node.get_clock().now().nanoseconds)
        link.publisher.publish(command_message(
            command, self._want.current(command.on, now), wall))

    # In the thread of the node; each hands over one object.

    def _on_output(self, message: Any) -> None:
        now = time.monotonic()
        self._reading, self._heard = reading_of(message, now), now

    def _on_command(self, message: Any) -> None:
        # One that makes no sense is refused, and counted, by `power` itself.
        with contextlib.suppress(CommandError):
            self._want.hear_command(charge_command_of(message), time.monotonic())

    def _on_pilot(self, message: Any) -> None:
        low, high = DIGITAL
        self._want.hear_pilot(
            message.state in PLUGGED and low <= message.duty_cycle <= high, time.monotonic())


def _spin(executor: SingleThreadedExecutor) -> None:
    with contextlib.suppress(ExternalShutdownException):
        executor.spin()
