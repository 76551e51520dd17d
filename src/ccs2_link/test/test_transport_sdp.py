"""SDP: exact datagrams, and the security policy that no datagram changes."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccs2_link.transport.interface import LinkAddress, parse_link_address
from ccs2_link.transport.sdp import (
    Listeners,
    SdpSecurity,
    SecurityPolicy,
    answer,
    parse_request,
)

ADDRESS = ipaddress.IPv6Address('fe80::1')
BOTH = Listeners(ADDRESS, {SdpSecurity.NONE: 50001, SdpSecurity.TLS: 50002})
ONLY_PLAIN = Listeners(ADDRESS, {SdpSecurity.NONE: 50001})
NOTHING = Listeners(ADDRESS, {})
REQUEST = {security: bytes.fromhex('01fe900000000002') + bytes([security, 0])
           for security in SdpSecurity}


@pytest.mark.parametrize(('policy', 'listeners', 'asked', 'offered'), [
    ('none', ONLY_PLAIN, SdpSecurity.NONE, SdpSecurity.NONE),
    ('none', ONLY_PLAIN, SdpSecurity.TLS, SdpSecurity.NONE),
    ('car', BOTH, SdpSecurity.NONE, SdpSecurity.NONE),
    ('car', BOTH, SdpSecurity.TLS, SdpSecurity.TLS),
    ('car', ONLY_PLAIN, SdpSecurity.TLS, None),     # no credential: never plain instead
    ('tls', BOTH, SdpSecurity.NONE, SdpSecurity.TLS),
    ('tls', BOTH, SdpSecurity.TLS, SdpSecurity.TLS),
    ('tls', ONLY_PLAIN, SdpSecurity.NONE, None),
    ('tls', NOTHING, SdpSecurity.TLS, None),
])
def test_policy_decides_what_is_offered(policy, listeners, asked, offered):
    response = answer(REQUEST[asked], SecurityPolicy(policy), listeners)
    if offered is None:
        assert response is None
        return
    assert response.hex() == (
        '01fe900100000014' + ADDRESS.packed.hex() + f'{listeners.ports[offered]:04x}'
        + f'{offered:02x}' + '00')


@pytest.mark.parametrize('datagram', [
    '', '01', '01fe900000000002', '01fe90000000000210', '01fe9000000000021000' + '00' * 1390,
    '01fe900000000002100000', '00fe9000000000021000', '01ff9000000000021000',
    '01fe9001000000021000', '01fe9002000000021000', '01fe8001000000021000',
    '01fe7000000000021000', '01fe9000000000001000', '01fe9000000000011000',
    '01fe9000000000031000', '01fe9000fffffff81000', '01fe9000ffffffff1000',
    '01fe9000000000021010', '01fe9000000000020100', '01fe900000000002ff00',
])
def test_everything_else_is_dropped(datagram):
    assert parse_request(bytes.fromhex(datagram)) is None


@given(st.binary(max_size=40))
def test_no_datagram_but_a_request_is_answered(datagram):
    assert (parse_request(datagram) is None) == (datagram not in REQUEST.values())


TABLE = """\
fe80000000000000021122fffe334455 07 40 20 80     plc0
fe80000000000000021122fffe334466 08 40 20 40     plc1
20010db8000000000000000000000001 09 40 00 80     plc2
00000000000000000000000000000001 01 80 10 80       lo
"""


@pytest.mark.parametrize(('interface', 'address', 'scope'), [
    ('plc0', 'fe80::211:22ff:fe33:4455', 7), ('lo', '::1', 0),
    ('plc1', None, None),       # still being checked for duplicates
    ('plc2', None, None),       # no link-local address
    ('plc', None, None),
])
def test_the_usable_address_of_an_interface_is_found(interface, address, scope):
    found = parse_link_address(TABLE, interface)
    if address is None:
        assert found is None
    else:
        assert (str(found.address), found.scope) == (address, scope)


@pytest.mark.parametrize(('source', 'scope', 'reached'), [
    ('fe80::2', 7, True), ('fe80::2%plc0', 7, True), ('fe80::2', 8, False), ('::1', 0, False),
    ('2001:db8::1', 0, False), ('::', 0, False), ('ff02::1', 7, False), ('', 0, False),
    ('::ffff:10.0.0.1', 0, False),
])
def test_only_peers_on_the_link_are_heard(source, scope, reached):
    assert LinkAddress(ADDRESS, 'plc0', 7).reaches(source, scope) is reached


def test_on_loopback_only_loopback_is_heard():
    loopback = LinkAddress(ipaddress.IPv6Address('::1'), 'lo', 1)
    assert loopback.reaches('::1', 0)
    assert not loopback.reaches('fe80::1', 1)
