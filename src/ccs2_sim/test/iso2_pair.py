"""The car's core and the station's real session core, face to face on one virtual clock."""

import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

from ccs2_hlc import exi
from ccs2_hlc.session.back_office import BackOfficeRequest
from ccs2_hlc.session.contract import Trust
from ccs2_hlc.session.station import ContractPayment, PilotState
from ccs2_hlc.session.transport import LinkState, Security
from ccs2_sim.car.visit import PROTOCOLS
from ccs2_sim.evcc.negotiation import Negotiation
from ccs2_sim.evcc.vehicle import CarSettings, VehicleState

sys.path.insert(0, str(Path(__file__).parents[2] / 'ccs2_hlc' / 'test'))

from iso2_bench import Iso2Bench

ISO2 = PROTOCOLS['iso2']
BATTERY = 380.0
PARKED = VehicleState(
    plugged=True, duty=0.05, voltage=0.0, current=0.0, battery_voltage=BATTERY, contactors=False,
    state_of_charge=0.5, maximum_voltage=420.0, capacity=2e8)


class PairBench(Iso2Bench):
    """The station's bench; what it asks of a back office is kept."""

    def __init__(self, **settings):
        self.asked = []
        super().__init__(**settings)

    def keep(self, step):
        self.asked += [item for item in step if isinstance(item, BackOfficeRequest)]
        super().keep(step)


def contract_bench(lab_roots, now, **settings):
    """Return the bench of a station that takes contracts over TLS."""
    return PairBench(
        security=Security.TLS_1_2, trust=Trust(roots=lab_roots, now=lambda: now), **{
            'contract_payment': ContractPayment.LOCAL, **settings})


class Pair:
    """One session: the car's engine and the bench's Secc.

    `overrides` change a response on its way to the car: called with the decoded message and its
    number, by the car's step; None: it is lost. `alter` changes a request on its way.
    """

    OFFER = ISO2

    def __init__(self, bench=None, resumed=None, provider=None, **settings):
        self.bench = bench or PairBench()
        self.settings = CarSettings(**settings)
        self.engine = self.OFFER.engine(self.settings, resumed)
        self.provider = provider
        self.vehicle = PARKED
        self.gain = 0.0
        self.overrides = {}
        self.alter = None
        self.requests = []
        self.responses = []
        self.wishes = []
        self.counts = Counter()

    def negotiate(self):
        self.bench.open()
        negotiation = Negotiation(self.settings, [self.OFFER])
        engine, self.engine = self.engine, negotiation
        self._run(10)
        self.engine = engine
        self.requests.clear()
        self.responses.clear()
        assert negotiation.chosen is self.OFFER

    def run(self, until=None, turns=3000):
        if self.bench.connection.state is not LinkState.OPEN:
            self.negotiate()
        outcome = self._run(turns, until)
        if outcome is not None:
            self.settle()
        return outcome

    def _run(self, turns, until=None):
        for _ in range(turns):
            if self.engine.outcome is not None:
                return self.engine.outcome
            if until is not None and self.engine.step == until:
                return None
            self.turn()
        raise AssertionError(f'not over after {turns} turns, in {self.engine.step}')

    def turn(self):
        engine, bench = self.engine, self.bench
        message = engine.advance(bench.now, self.vehicle)
        if message is None:
            self.move()
            deadline = engine.deadline()
            bench.step(0.05 if deadline is None else max(min(deadline - bench.now, 0.05), 0.001))
            self.measure()
            return
        step = engine.step
        self.counts[step] += 1
        if self.alter is not None:
            message = self.alter(step, message)
        self.requests.append(message)
        bench.act()
        bench.report()
        before = len(bench.sent)
        bench.deliver(
            exi.encode(message, validate=self.alter is None), engine.payload_type(message))
        # As on the road: what the car does at its inlet follows upon what it says.
        self.move()
        sent = bench.sent[before:]
        while not sent or not sent[0].data:
            before = len(bench.sent)
            self.serve()
            sent = bench.sent[before:]
            if not sent:
                bench.step()
                sent = bench.sent[before:]
            engine.advance(bench.now, self.vehicle)
            if engine.outcome is not None:
                return
        response = exi.decode(sent[0].schema, sent[0].data)
        if step in self.overrides:
            response = self.overrides[step](response, self.counts[step])
        if response is None:
            return
        self.responses.append(response)
        self.measure()
        engine.received(response, bench.now, self.vehicle)
        self.move()

    def serve(self):
        """Let the back office answer what it was asked."""
        asked, self.bench.asked = self.bench.asked, []
        for request in asked:
            answer, problem = self.provider(request.data)
            self.bench.keep(self.bench.secc.answered(
                request.number, answer, problem, self.bench.now))

    def move(self):
        wish = self.engine.wish
        if not self.wishes or self.wishes[-1] != wish:
            self.wishes.append(wish)
        if self.bench.pilot.name != wish.load:
            self.bench.pilot = PilotState[wish.load]
            self.bench.step()
        self.vehicle = replace(self.vehicle, contactors=wish.contactors)

    def measure(self):
        power = self.bench.power
        self.vehicle = replace(
            self.vehicle, voltage=BATTERY if self.vehicle.contactors else power.voltage,
            current=power.current if self.vehicle.contactors else 0.0,
            state_of_charge=min(1.0, self.vehicle.state_of_charge + self.gain))

    def settle(self):
        """Let the station see how the car ends."""
        self.move()
        if self.bench.connection.state is LinkState.OPEN:
            self.bench.close()
        self.bench.advance(0.5)

    def names(self):
        """Return the steps' requests in order, repetitions left out."""
        names = []
        for request in self.requests:
            name = type(getattr(request, 'body', request)).__name__.removesuffix('Req')
            if not names or names[-1] != name:
                names.append(name)
        return names

    def bodies(self, kind):
        bodies = [getattr(message, 'body', message) for message in self.requests + self.responses]
        return [body for body in bodies if isinstance(body, kind)]
