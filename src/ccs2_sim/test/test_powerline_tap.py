"""Station and car in two network namespaces: SLAC, then IPv6 over TAP and the virtual line."""

from __future__ import annotations

import asyncio

import pytest

from ccs2_sim.powerline import tap_host

pytestmark = pytest.mark.skipif(
    not tap_host.possible(), reason='needs root, network namespaces and TAP')


def test_ipv6_crosses_the_line_only_while_matched():
    told = asyncio.run(tap_host.measure())
    for number, role in enumerate(tap_host.ROLES):
        lines = told[role]
        assert lines[0] == {'up': False, 'mtu': 1500, 'mac': f'02:00:00:00:00:{number:02x}'}
        assert lines[1] == {'state': 'matched', 'up': True}
        assert lines[-1] == {'state': 'left', 'up': False}
    measured = told['car'][2]
    # The link-local address comes from the MAC address.
    assert measured['station'].split('%')[0] == 'fe80::ff:fe00:0'
    assert measured['mbit_s'] > 0
    print(f'over TAP and line: UDP median {measured["median_ms"]:.2f} ms, '
          f'p99 {measured["p99_ms"]:.2f} ms (the line itself takes 4 ms), '
          f'TCP {measured["mbit_s"]:.1f} Mbit/s')
