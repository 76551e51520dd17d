"""A bench for SLAC cores: a virtual clock and a modem that answers its host."""

from __future__ import annotations

import heapq
import itertools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ccs2_link.homeplug import messages as mme
from ccs2_link.homeplug import vendor
from ccs2_link.homeplug.frame import LOCAL_MODEM, Frame, decode, encode
from ccs2_link.slac.contract import Changed, LinkState, Pilot, PilotState, ResetModem, Send
from ccs2_link.slac.evse import EvseConfig, EvseSlac

sys.path.insert(0, str(Path(__file__).parent))

from slac_car import CAR, Car

STATION = bytes.fromhex('020000000001')
MODEM = bytes.fromhex('00b052aabb01')


class Bench:
    """One SLAC core with its modem. What the core sends on the line is in `sent`."""

    def __init__(self, core: Any, mac: bytes = STATION, modem_mac: bytes = MODEM) -> None:
        self.core = core
        self.mac = mac
        self.modem_mac = modem_mac
        self.now = 0.0
        self.sent: list[tuple[float, Frame]] = []
        self.raw: list[bytes] = []
        self.keys: list[mme.CmSetKeyReq] = []
        self.changes: list[tuple[float, LinkState, str]] = []
        self.resets: list[str] = []
        self.switched: list[tuple[float, bool]] = []
        self.link = False
        self.answering = True
        self.link_after_confirmation: float | None = None
        self._order = itertools.count()
        self._events: list[tuple[float, int, Callable[[], Any]]] = []

    def at(self, time: float, event: Callable[[], Any]) -> None:
        heapq.heappush(self._events, (time, next(self._order), event))

    def run(self, until: float) -> None:
        """Let time pass: events and deadlines in their order."""
        for _ in range(10**6):
            due = self.core.deadline()
            event = self._events[0][0] if self._events else None
            times = [time for time in (due, event) if time is not None and time <= until]
            if not times:
                self.now = max(self.now, until)
                return
            self.now = max(self.now, min(times))
            if event is not None and event <= self.now:
                heapq.heappop(self._events)[2]()
            else:
                self._carry(self.core.tick(self.now))
        raise AssertionError(f'the core never comes to rest at {self.now}')

    def wait(self, seconds: float) -> None:
        self.run(self.now + seconds)

    def modem(self, ready: bool) -> None:
        self._carry(self.core.modem(self.now, ready))

    def pilot(self, state: str, digital: bool = True, toggles: int = 0) -> None:
        self._carry(self.core.pilot(self.now, Pilot(PilotState[state], digital, toggles)))

    def data_link(self, request: Any) -> None:
        self._carry(self.core.data_link(self.now, request))

    def reset(self) -> None:
        self._carry(self.core.reset(self.now, 'test'))

    def frame(self, frame: bytes) -> None:
        self._carry(self.core.receive(self.now, frame))

    def say(self, message: Any, source: bytes = CAR, destination: bytes | None = None) -> None:
        """Let somebody on the line say something."""
        self.frame(encode(destination or self.mac, source, message))

    def modem_says(self, message: Any) -> None:
        self.frame(encode(self.mac, self.modem_mac, message))

    @property
    def state(self) -> LinkState:
        return self.core.status().state

    def last(self, kind: type) -> Any:
        """Return the last message of a kind that went onto the line, None if there is none."""
        said = [frame.message for _, frame in self.sent if isinstance(frame.message, kind)]
        return said[-1] if said else None

    def count(self, kind: type) -> int:
        return sum(isinstance(frame.message, kind) for _, frame in self.sent)

    def times(self, kind: type) -> list[float]:
        return [time for time, frame in self.sent if isinstance(frame.message, kind)]

    def _carry(self, outputs: list[Any]) -> None:
        for output in outputs:
            if isinstance(output, Send):
                self.raw.append(output.frame)
                frame = decode(output.frame)
                if frame.destination == LOCAL_MODEM:
                    if self.answering:
                        self._modem_answer(frame.message)
                    continue
                self.sent.append((self.now, frame))
                delay = self.link_after_confirmation
                if isinstance(frame.message, mme.CmSlacMatchCnf) and delay is not None:
                    self.at(self.now + delay, self._link_comes_up)
            elif isinstance(output, Changed):
                self.changes.append((self.now, output.state, output.message))
            elif isinstance(output, ResetModem):
                self.resets.append(output.reason)
                self.link = False
                self.at(self.now, lambda: self.modem(False))
                self.at(self.now + 2.0, lambda: self.modem(True))
            else:
                self.switched.append((self.now, output.ready))

    def _link_comes_up(self) -> None:
        self.link = True

    def _modem_answer(self, message: Any) -> None:
        if isinstance(message, mme.CmSetKeyReq):
            self.keys.append(message)
            self.link = False
            answer: Any = mme.CmSetKeyCnf(
                result=1, my_nonce=b'\x12\x34\x56\x78', your_nonce=message.my_nonce)
        elif isinstance(message, vendor.VsSwVerReq):
            text = b'MAC-QCA7005-1.1.3'
            answer = vendor.VsSwVerCnf(status=0, device_id=0x22, length=len(text), data=text)
        elif isinstance(message, vendor.VsPlLinkStatusReq):
            answer = vendor.VsPlLinkStatusCnf(status=0, link_status=int(self.link))
        elif isinstance(message, mme.CmAmpMapReq):
            answer = mme.CmAmpMapCnf(result=0)
        else:
            return
        self.at(self.now, lambda: self.modem_says(answer))


@pytest.fixture
def make_bench() -> Callable[..., Bench]:
    """Return a maker of station benches; modem up and keyed unless told otherwise."""

    def make(
        config: EvseConfig | None = None, *, mac: bytes = STATION, modem_mac: bytes = MODEM,
        up: bool = True, link_after_confirmation: float | None = 1.0, **kwargs: Any,
    ) -> Bench:
        bench = Bench(EvseSlac(mac, config, **kwargs), mac, modem_mac)
        bench.link_after_confirmation = link_after_confirmation
        if up:
            bench.modem(True)
            bench.run(0.0)
        return bench

    return make


@pytest.fixture
def bench_of() -> Callable[..., Bench]:
    """Return what makes a bench of any core: `bench_of(core, mac)`."""
    return Bench


@pytest.fixture
def bench(make_bench):
    bench = make_bench()
    bench.pilot('B')
    return bench


@pytest.fixture
def car(bench):
    return Car(bench)
