"""The simulator's emulated modules on a resistive load, without a plant."""

import asyncio
import contextlib

import can
import pytest

from ccs2_power.can.frame import Frame

cabinets = pytest.importorskip('ccs2_sim.can_modules.cabinet')
dialects = pytest.importorskip('ccs2_sim.can_modules.dialects')


class LoadedCabinet(cabinets.Cabinet):
    """Modules that share a load, in ohm."""

    def __init__(self, name, addresses, load=5.0):
        super().__init__(dialects.DIALECTS[name], addresses)
        self.load = load

    def receive(self, frame, now):
        return [Frame(*answer) for answer in self.hear(frame.identifier, frame.data, now)]

    def settle(self, now):
        demand = self.demand(now)
        voltage = min(demand.voltage, abs(demand.current) * self.load)
        current = voltage / self.load
        self.measure(voltage, current if demand.current >= 0.0 else -current, 35.0)

    @property
    def list(self):
        return list(self.modules.values())


@contextlib.asynccontextmanager
async def emulated(name, interface, channel, count=2, load=5.0):
    """Emulated modules on the bus, on this loop."""
    loop = asyncio.get_running_loop()
    bus = can.Bus(interface=interface, channel=channel)
    cabinet = LoadedCabinet(name, range(1, count + 1), load)

    def receive(message):
        now = loop.time()
        for answer in cabinet.receive(Frame(message.arbitration_id, bytes(message.data)), now):
            bus.send(can.Message(arbitration_id=answer.identifier, data=answer.data,
                                 is_extended_id=True))
        cabinet.settle(now)

    notifier = can.Notifier(bus, [receive], loop=loop, timeout=0.05)
    try:
        yield cabinet.list
    finally:
        notifier.stop(timeout=0.2)
        bus.shutdown()
