"""Stamps of moments that a message can tell, and of those that it cannot."""

import pytest

pytest.importorskip('builtin_interfaces', reason='ROS 2 is not set up')

from ccs2_node.stamps import NANOSECONDS, stamp


@pytest.mark.parametrize(('nanoseconds', 'sec', 'nanosec'), [
    (0, 0, 0), (1_500_000_000, 1, 500_000_000), (-1, -1, 999_999_999),
    (-2**31 * NANOSECONDS - 1, -2**31, 0),
    ((2**31 - 1) * NANOSECONDS, 2**31 - 1, 0), (2**31 * NANOSECONDS, 2**31 - 1, 0),
    (4_102_444_800 * NANOSECONDS, 2**31 - 1, 0)])
def test_a_moment_is_told_as_well_as_it_can_be(nanoseconds, sec, nanosec):
    told = stamp(nanoseconds)
    assert (told.sec, told.nanosec) == (sec, nanosec)
