"""The codec of management messages: lengths, bounds, and what it must refuse."""

from __future__ import annotations

import copy
import dataclasses
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccs2_link.homeplug import messages as mme
from ccs2_link.homeplug import vendor
from ccs2_link.homeplug.errors import DropReason, FrameError
from ccs2_link.homeplug.frame import decode, encode, kinds, minimum_length
from ccs2_link.homeplug.keys import Nmk, nid_of
from ccs2_link.homeplug.layout import wires

HERE, THERE = bytes.fromhex('020000000001'), bytes.fromhex('020000000002')
SECRET = bytes(range(0xA0, 0xB0))

LENGTHS = {
    mme.CmSlacParmReq: 60, mme.CmSlacParmCnf: 60, mme.CmStartAttenCharInd: 60,
    mme.CmMnbcSoundInd: 71, mme.CmAttenProfileInd: 85, mme.CmAttenCharInd: 129,
    mme.CmAttenCharRsp: 70, mme.CmValidateReq: 60, mme.CmValidateCnf: 60,
    mme.CmSlacMatchReq: 85, mme.CmSlacMatchCnf: 109, mme.CmSetKeyReq: 60, mme.CmSetKeyCnf: 60,
    mme.CmAmpMapCnf: 60, mme.CmNwStatsReq: 60,
}
SPECIAL = {
    mme.CmAmpMapReq: st.binary(max_size=1155).map(
        lambda data: mme.CmAmpMapReq(carriers=len(data), data=data.ljust(39, b'\0'))),
    mme.CmNwStatsCnf: st.integers(0, 115).map(
        lambda count: mme.CmNwStatsCnf(count=count, data=bytes(max(8 * count, 40)))),
    vendor.VsSwVerCnf: st.binary(min_size=64, max_size=64).map(
        lambda data: vendor.VsSwVerCnf(status=0, device_id=1, length=20, data=data)),
    vendor.VsNwInfoCnf: st.integers(0, 3).map(
        lambda count: vendor.VsNwInfoCnf(
            sub_version=0, length=2 + 32 * count, count=count, data=bytes(max(32 * count, 40)))),
}


def field_values(name, wire):
    if name in ('num_groups', 'mvf_length') or (name == 'length' and wire.size == 2):
        return None
    if wire.size == 16 and wire.read is Nmk:
        return st.binary(min_size=16, max_size=16).map(Nmk)
    if isinstance(wire.read(bytes(wire.size)), int):
        return st.integers(0, 256**wire.size - 1)
    return st.binary(min_size=wire.size, max_size=wire.size)


def messages_of(kind):
    if kind in SPECIAL:
        return SPECIAL[kind]
    values = {}
    for name, wire in wires(kind):
        try:
            strategy = field_values(name, wire)
        except ValueError:
            strategy = None
        if strategy is not None:
            values[name] = strategy
    return st.builds(kind, **values)


ANY_MESSAGE = st.one_of([messages_of(kind) for kind in kinds()])


@given(ANY_MESSAGE)
def test_every_message_is_read_as_it_was_written(message):
    frame = encode(HERE, THERE, message)
    parsed = decode(frame)
    assert parsed.destination == HERE
    assert parsed.source == THERE
    assert encode(HERE, THERE, parsed.message) == frame
    if not any(wire.size is None for _, wire in wires(type(message))):
        assert parsed.message == message


@pytest.mark.parametrize(('kind', 'length'), LENGTHS.items())
def test_lengths_are_those_of_the_standard(kind, length):
    assert minimum_length(kind) == length


@given(ANY_MESSAGE, st.data())
def test_truncated_and_longer_frames_are_refused(message, data):
    frame = encode(HERE, THERE, message)
    with pytest.raises(FrameError) as refused:
        decode(frame[: data.draw(st.integers(0, 59))])
    assert refused.value.reason is DropReason.LENGTH
    if type(message).OPEN_ENDED or type(message) in (mme.CmAmpMapReq, mme.CmNwStatsCnf):
        return
    other = data.draw(st.integers(60, 1514).filter(lambda size: size != len(frame)))
    with pytest.raises(FrameError) as refused:
        decode(frame[:other].ljust(other, b'\0'))
    assert refused.value.reason is DropReason.LENGTH


@given(ANY_MESSAGE, st.integers(0, 255))
def test_another_framing_is_refused(message, version):
    frame = bytearray(encode(HERE, THERE, message))
    if version != frame[14]:
        frame[14] = version
        with pytest.raises(FrameError) as refused:
            decode(bytes(frame))
        assert refused.value.reason is DropReason.VERSION


def test_fragments_are_refused():
    frame = bytearray(encode(HERE, THERE, mme.CmSlacParmReq(run_id=bytes(8))))
    frame[17] = 0x10
    with pytest.raises(FrameError, match='version'):
        decode(bytes(frame))


def test_vendor_messages_of_others_are_unknown():
    frame = bytearray(encode(HERE, THERE, vendor.VsSwVerReq()))
    frame[17:20] = bytes.fromhex('0016e8')
    with pytest.raises(FrameError, match='unknown'):
        decode(bytes(frame))
    frame[15:17] = b'\x20\xa0'  # a write to the modem's memory
    with pytest.raises(FrameError, match='unknown'):
        decode(bytes(frame))


def test_wrong_constants_are_refused():
    frame = bytearray(encode(HERE, THERE, mme.CmSlacMatchReq(
        pev_mac=HERE, evse_mac=THERE, run_id=bytes(8))))
    assert frame[21:23] == b'\x3e\x00'
    frame[21] = 0x3D
    with pytest.raises(FrameError, match='value'):
        decode(bytes(frame))
    profile = bytearray(encode(HERE, THERE, mme.CmAttenProfileInd(
        pev_mac=HERE, groups=bytes(58))))
    profile[25] = 59
    with pytest.raises(FrameError, match='value'):
        decode(bytes(profile))


@given(st.binary(max_size=1600))
def test_any_octets_are_a_message_or_an_error(octets):
    with pytest.raises(FrameError):
        decode(octets)


@given(st.binary(min_size=46, max_size=1500), st.sampled_from(kinds()))
def test_any_payload_is_a_message_or_an_error(payload, kind):
    head = HERE + THERE + b'\x88\xe1' + bytes([kind.VERSION]) + kind.MMTYPE.to_bytes(2, 'little')
    try:
        frame = decode(head + payload)
    except FrameError:
        return
    assert isinstance(frame.message, kind)


def test_fields_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match=r'CmSlacParmCnf\.num_sounds: 256'):
        encode(HERE, THERE, mme.CmSlacParmCnf(
            num_sounds=256, forwarding_sta=HERE, run_id=bytes(8)))
    with pytest.raises(ValueError, match=r'CmSlacParmReq\.run_id: 7 octets'):
        encode(HERE, THERE, mme.CmSlacParmReq(run_id=bytes(7)))
    with pytest.raises(ValueError, match='destination: 5 octets'):
        encode(HERE[:5], THERE, mme.CmNwStatsReq())


@pytest.mark.parametrize(('nmk', 'nid'), [
    ('b59319d7e8157ba001b018669ccee30d', '026bcba5354e08'),
    ('50d3e4933f855b7040784df815aa8db7', 'b0f2e695666b03'),
])
def test_network_of_a_key(nmk, nid):
    assert nid_of(Nmk(bytes.fromhex(nmk))).hex() == nid


def test_a_key_shows_itself_to_nobody():
    key = Nmk(SECRET)
    shown = [repr(key), str(key), f'{key}', f'{key!r:>40}',
             repr(mme.CmSlacMatchCnf(pev_mac=HERE, evse_mac=THERE, run_id=bytes(8),
                                     nid=nid_of(key), nmk=key)),
             repr(mme.CmSetKeyReq(my_nonce=bytes(4), nid=nid_of(key), new_key=key)),
             str(dataclasses.asdict(mme.CmSetKeyReq(
                 my_nonce=bytes(4), nid=nid_of(key), new_key=key)))]
    for text in shown:
        assert SECRET.hex() not in text.lower()
        assert repr(SECRET)[2:-1] not in text
    with pytest.raises(TypeError):
        pickle.dumps(key)
    assert copy.deepcopy(key) is key
    with pytest.raises(ValueError, match='16 octets, not 15'):
        Nmk(SECRET[:15])


def test_fresh_keys_differ_and_use_every_octet():
    keys = {Nmk.fresh().reveal() for _ in range(10_000)}
    assert len(keys) == 10_000
    for position in range(16):
        assert len({key[position] for key in keys}) == 256
    assert all(nid_of(Nmk(key))[6] < 0x10 for key in list(keys)[:100])


def test_version_text_is_printable_and_bounded():
    data = b'MAC-QCA7005\x1b[31m' + bytes(40)
    answer = vendor.VsSwVerCnf(status=0, device_id=0x22, length=len(data), data=data)
    assert answer.version == 'MAC-QCA7005?[31m'


def test_network_info_walks_only_what_is_there():
    station = THERE + bytes(10) + (90).to_bytes(2, 'little') + bytes(2) + (
        (80).to_bytes(2, 'little')) + bytes(2)
    head = b'\1\2\3\4\5\6\7' + bytes(8) + b'\2' + HERE + bytes(4) + b'\1' + bytes(5)
    answer = vendor.VsNwInfoCnf(sub_version=0, length=57, count=1, data=head + station)
    (network,) = answer.networks()
    assert (network.nid, network.role, network.cco_mac) == (b'\1\2\3\4\5\6\7', 2, HERE)
    assert network.stations == (vendor.Station(THERE, 90, 80),)
    with pytest.raises(ValueError, match='data end'):
        encode(HERE, THERE, dataclasses.replace(answer, count=2))
