"""A car that others wrote charges at the running station, as docs/interoperability.md tells."""

import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not set up')

import peer
import peer_environment
from peer_plans import PLANS

pytestmark = pytest.mark.xdist_group('sessions')

#: Charge loops of each session: enough to see that the station keeps to its limits and timers.
LOOPS = 60
LOOP = ('CurrentDemandRes', 'DC_ChargeLoopRes')


@pytest.fixture(scope='module')
def outcomes():
    """Return the outcome of every plan, from one run of the station.

    Some minutes of a test run, so only where `make bench` has installed the car.
    """
    if not peer_environment.installed():
        pytest.skip('the independent car is not installed; `sudo make bench` installs it')
    if why := peer.missing():
        pytest.skip(f'no independent car: {why}')
    return peer.measure(peer.HERE, list(PLANS), LOOPS)


@pytest.mark.parametrize('plan', PLANS)
def test_the_independent_car_completes_its_session(outcomes, plan):
    outcome = outcomes[plan]
    assert not outcome.problem, outcome.problem
    # How much that is depends on how fast its virtual machine repeats requests.
    assert outcome.energy > 100.0, 'the battery took no energy'
    assert sum(len(outcome.latencies.get(name, ())) for name in LOOP) >= LOOPS
