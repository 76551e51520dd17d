from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccs2_power.command import ChargeCommand, CommandError, Lease, Mode

OFF = ChargeCommand(publisher=1, sequence=10, lease=0.5, mode=Mode.OFF)
CHARGE = replace(OFF, mode=Mode.CHARGE, session_id='01', target_voltage=400.0,
                 target_current=10.0)


def test_a_command_lasts_as_long_as_its_lease():
    lease = Lease()
    assert lease.offer(OFF, 0.0)
    assert lease.current(0.499) is OFF
    assert lease.current(0.5) is None
    assert lease.mode(0.5) is Mode.OFF


def test_at_most_a_second_is_honoured():
    lease = Lease()
    lease.offer(replace(OFF, lease=3600.0), 0.0)
    assert lease.remaining(0.0) == 1.0


def test_replays_and_going_back_change_nothing():
    lease = Lease()
    lease.offer(OFF, 0.0)
    assert lease.offer(replace(CHARGE, sequence=12), 0.1)
    for sequence in (12, 11, 10, 0):
        assert not lease.offer(replace(CHARGE, sequence=sequence), 0.3)
    assert lease.remaining(0.3) == pytest.approx(0.3)
    assert lease.refused == 4


def test_a_second_publisher_is_heard_only_when_the_first_has_gone():
    lease = Lease()
    lease.offer(OFF, 0.0)
    other = replace(OFF, publisher=2, sequence=0)
    assert not lease.offer(other, 0.4)
    assert lease.offer(other, 0.6)
    assert not lease.offer(replace(OFF, sequence=99), 5.0)  # replaced for good


def test_a_publisher_cannot_begin_with_energy():
    lease = Lease()
    assert not lease.offer(CHARGE, 0.0)
    assert lease.offer(replace(OFF, sequence=11), 0.1)
    assert lease.offer(replace(CHARGE, sequence=12), 0.2)


@pytest.mark.parametrize('changes', [
    {'lease': 0.0}, {'lease': -1.0}, {'lease': float('nan')}, {'session_id': ''},
    {'target_voltage': None}, {'target_current': None}, {'target_voltage': -1.0},
    {'target_voltage': float('inf')}, {'target_current': float('inf')},
    {'maximum_current': -1.0}, {'maximum_power': float('inf')},
])
def test_commands_that_make_no_sense(changes):
    with pytest.raises(CommandError):
        replace(CHARGE, **changes)


@given(st.lists(st.tuples(
    st.integers(0, 3), st.integers(0, 20), st.floats(0.01, 2.0), st.sampled_from(Mode),
    st.floats(0.0, 0.7)), max_size=60))
def test_sequences_only_go_up_and_publishers_never_come_back(offers):
    lease, now, accepted = Lease(), 0.0, []
    for publisher, sequence, duration, mode, passed in offers:
        now += passed
        before = lease.remaining(now)
        command = replace(CHARGE, publisher=publisher, sequence=sequence, lease=duration, mode=mode)
        if lease.offer(command, now):
            if accepted and accepted[-1].publisher == publisher:
                assert sequence > accepted[-1].sequence
            else:
                assert before == 0.0
                assert mode in (Mode.OFF, Mode.STOP, Mode.WELDING_CHECK)
                assert publisher not in {command.publisher for command in accepted}
            accepted.append(command)
        assert 0.0 <= lease.remaining(now) <= 1.0 + 1e-9
