"""A car by ISO 15118-20 and the station's real session core, face to face on one virtual clock."""

import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from iso2_pair import Pair
from iso20_bench import Iso20Bench

from ccs2_hlc.exi.messages.iso20 import common
from ccs2_hlc.session.back_office import BackOfficeRequest
from ccs2_hlc.session.contract import Trust
from ccs2_hlc.session.services import ParameterSet, Service
from ccs2_hlc.session.station import ContractPayment
from ccs2_sim.car.visit import PROTOCOLS
from ccs2_sim.lab import GENERATION_20, read_roots
from ccs2_sim.provisioning import Refusal

PARKING = Service(66, 'Parking', 'OtherCustom', True, sets=(
    ParameterSet(1, (('IntendedService', 1), ('ParkingStatusType', 4))),))


class Bench(Iso20Bench):
    """The station's bench; what it asks of a back office is kept."""

    def __init__(self, **settings):
        self.asked_back_office = []
        super().__init__(**settings)

    def keep(self, step):
        self.asked_back_office += [
            item for item in step if isinstance(item, BackOfficeRequest)]
        super().keep(step)


def contract_bench(lab, kinds, now, generation=GENERATION_20, **settings):
    """Return the bench of a station that takes contracts, with the roots of these kinds."""
    roots = {kind: read_roots(lab, kind, generation) for kind in kinds}
    return Bench(**{
        'trust': Trust(roots=roots, now=lambda: now), 'automatic': False,
        'contract_payment': ContractPayment.LOCAL, 'certificate_service': True, **settings})


class Pair20(Pair):
    """One session by ISO 15118-20; `provider` answers for the back office."""

    OFFER = PROTOCOLS['iso20']

    def __init__(self, bench=None, resumed=None, provider=None, **wishes):
        super().__init__(bench or Bench(), resumed, provider, **wishes)
        self.currents = []

    def turn(self):
        super().turn()
        self.serve()

    def serve(self):
        asked, self.bench.asked_back_office = self.bench.asked_back_office, []
        for request in asked:
            answer, problem = b'', 'nobody'
            if self.provider is not None:
                try:
                    answer, problem = self.provider(request.data), ''
                except Refusal as refusal:
                    answer, problem = refusal.response, '' if refusal.response else str(refusal)
            self.bench.keep(self.bench.secc.answered(
                request.number, answer, problem, self.bench.now))

    def measure(self):
        super().measure()
        # The battery follows the current: 0.2 % for 100 A and a step.
        state = self.vehicle
        self.currents.append(state.current)
        self.vehicle = replace(state, state_of_charge=min(1.0, max(
            0.0, state.state_of_charge + state.current * 2e-5)))

    def steps(self):
        """Return the requests' kinds in order, with what PowerDelivery and SessionStop ask for."""
        names = []
        for request in self.requests:
            name = type(request).__name__.removesuffix('Req')
            if isinstance(request, common.PowerDeliveryReq):
                name += f'({request.charge_progress.value})'
            elif isinstance(request, common.SessionStopReq):
                name += f'({request.charging_session.value})'
            if not names or names[-1] != name:
                names.append(name)
        return names
