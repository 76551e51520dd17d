"""The command line and the reading of captures."""

import contextlib
import io
import json
import os
import random
import subprocess
import sys

import dpkt
import pytest

from ccs2_hlc import exi
from ccs2_hlc.exi import capture
from ccs2_hlc.exi.cli import main
from ccs2_hlc.exi.messages import din, sap
from ccs2_hlc.exi.messages.iso20 import common

CAR, STATION = bytes.fromhex('fe80' + '00' * 13 + '01'), bytes.fromhex('fe80' + '00' * 13 + '02')
CAR_PORT, STATION_PORT = 49152, 61341

SETUP = din.V2GMessage(
    header=din.MessageHeader(session_id=bytes(8)),
    body=din.SessionSetupReq(evcc_id=bytes.fromhex('0123456789ab')))
OFFER = sap.SupportedAppProtocolReq(app_protocol=[sap.AppProtocol(
    protocol_namespace='urn:din:70121:2012:MsgDef', version_number_major=2,
    version_number_minor=0, schema_id=7, priority=1)])
CHOICE = sap.SupportedAppProtocolRes(
    response_code=sap.ResponseCode.OK_SUCCESSFUL_NEGOTIATION, schema_id=7)


def v2gtp(payload, kind=0x8001):
    return b'\x01\xfe' + kind.to_bytes(2) + len(payload).to_bytes(4) + payload


def frame(transport, source, destination, number):
    ip = dpkt.ip6.IP6(src=source, dst=destination, nxt=number, hlim=64, data=transport)
    ip.plen = len(transport)
    ip.extension_hdrs = {}
    return bytes(dpkt.ethernet.Ethernet(
        src=b'\2' * 6, dst=b'\4' * 6, type=dpkt.ethernet.ETH_TYPE_IP6, data=ip))


class Talk:
    """Makes the packets of a conversation."""

    def __init__(self):
        self.packets = []
        self.sequence = {CAR: 0xFFFF_FFF0, STATION: 5000}

    def send(self, source, payload=b'', flags=dpkt.tcp.TH_ACK, at=None):
        ports = (CAR_PORT, STATION_PORT) if source == CAR else (STATION_PORT, CAR_PORT)
        segment = dpkt.tcp.TCP(
            sport=ports[0], dport=ports[1], flags=flags, data=payload,
            seq=self.sequence[source] if at is None else at)
        other = STATION if source == CAR else CAR
        self.packets.append(frame(segment, source, other, dpkt.ip.IP_PROTO_TCP))
        if at is None:
            step = len(payload) + bool(flags & dpkt.tcp.TH_SYN)
            self.sequence[source] = self.sequence[source] + step & 0xFFFF_FFFF

    def open(self):
        self.send(CAR, flags=dpkt.tcp.TH_SYN)
        self.send(STATION, flags=dpkt.tcp.TH_SYN | dpkt.tcp.TH_ACK)

    def discover(self):
        for source, ports, payload in (
            (CAR, (50000, 15118), v2gtp(b'\x10\x00', 0x9000)),
            (STATION, (15118, 50000),
             v2gtp(STATION + STATION_PORT.to_bytes(2) + b'\x10\x00', 0x9001)),
        ):
            datagram = dpkt.udp.UDP(sport=ports[0], dport=ports[1], data=payload)
            datagram.ulen = len(datagram)
            other = STATION if source == CAR else CAR
            self.packets.append(frame(datagram, source, other, dpkt.ip.IP_PROTO_UDP))

    def file(self, writer=dpkt.pcap.Writer):
        file = io.BytesIO()
        out = writer(file)
        for number, packet in enumerate(self.packets):
            out.writepkt(packet, ts=1000.5 + number)
        return file.getvalue()


def session():
    talk = Talk()
    talk.discover()
    talk.open()
    talk.send(CAR, v2gtp(exi.encode(OFFER)))
    talk.send(STATION, v2gtp(exi.encode(CHOICE)))
    talk.send(CAR, v2gtp(exi.encode(SETUP)))
    return talk


def read(data):
    return list(capture.read_capture(io.BytesIO(data)))


@pytest.mark.parametrize('writer', [dpkt.pcap.Writer, dpkt.pcapng.Writer])
def test_a_capture_is_followed_from_discovery_to_the_protocol(writer):
    found = read(session().file(writer))
    assert [message.schema for message in found] == ['sdp', 'sdp', 'sap', 'sap', 'din']
    assert found[0].content == {'SDPRequest': {'security': 'none', 'transport': 'TCP'}}
    assert found[1].content == {'SDPResponse': {
        'address': 'fe80::2', 'port': STATION_PORT, 'security': 'none', 'transport': 'TCP'}}
    assert found[4].content == exi.to_json(SETUP)
    assert found[4].source == ('fe80::1', CAR_PORT)
    assert found[4].time == pytest.approx(1006.5)
    assert all(message.error is None for message in found)


def test_segments_split_repeated_and_out_of_order_are_put_together():
    stream = v2gtp(exi.encode(OFFER)) + v2gtp(exi.encode(OFFER))
    talk = Talk()
    talk.open()
    start = talk.sequence[CAR]

    def part(first, last):
        talk.send(CAR, stream[first:last], at=start + first & 0xFFFF_FFFF)

    part(0, 3)
    part(10, 40)  # early
    part(0, 3)  # again
    part(2, 12)  # overlaps both sides
    part(40, len(stream))
    part(5, 20)  # late
    found = read(talk.file())
    assert [message.content for message in found] == [exi.to_json(OFFER)] * 2


def test_a_new_connection_starts_with_its_own_negotiation():
    talk = session()
    talk.open()
    talk.send(CAR, v2gtp(exi.encode(OFFER)))
    assert [message.schema for message in read(talk.file())][-2:] == ['din', 'sap']


def test_iso20_payload_types_name_their_schema():
    request = common.SessionSetupReq(
        header=common.MessageHeader(session_id=bytes(8), time_stamp=0), evcc_id='car')
    talk = Talk()
    talk.send(CAR, v2gtp(exi.encode(request), 0x8002))
    found, = read(talk.file())
    assert (found.schema, found.content) == ('iso20-common', exi.to_json(request))


def test_what_is_not_understood_is_reported_or_left_alone():
    talk = session()
    talk.send(CAR, v2gtp(b'\x80\xff'))
    talk.send(CAR, v2gtp(b'\x00', 0x8123))
    talk.packets.append(b'\x00')
    talk.packets.append(talk.packets[0][:30])
    talk.send(STATION, b'\x16\x03\x01 this is TLS')
    talk.send(STATION, b'\x01\xfe\x80\x01\xff\xff\xff\xff')
    found = read(talk.file())
    assert [message.error is None for message in found] == [True] * 5 + [False] * 2
    assert 'no schema' in found[6].error
    with pytest.raises(ValueError, match='not a capture'):
        read(b'nonsense')


@pytest.mark.parametrize('writer', [dpkt.pcap.Writer, dpkt.pcapng.Writer])
def test_a_damaged_capture_gives_what_is_left_of_it(writer):
    whole = session().file(writer)
    source = random.Random(1)
    for _ in range(1500):
        octets = bytearray(whole)
        for _ in range(source.randrange(1, 4)):
            octets[source.randrange(len(octets))] = source.randrange(256)
        del octets[source.randrange(len(octets) // 2, 2 * len(octets)):]
        found = []
        with contextlib.suppress(ValueError):
            found.extend(capture.read_capture(io.BytesIO(bytes(octets))))
        assert len(found) <= 6


def test_decode_prints_json_and_encode_takes_it_back(capsys, tmp_path):
    octets = exi.encode(SETUP)
    assert main(['decode', '--schema', 'din', octets.hex()]) == 0
    text = capsys.readouterr().out
    assert json.loads(text) == exi.to_json(SETUP)
    file = tmp_path / 'message.json'
    file.write_text(text)
    assert main(['encode', '--schema', 'din', str(file)]) == 0
    assert capsys.readouterr().out.strip() == octets.hex()
    binary = tmp_path / 'message.exi'
    assert main(['encode', '--schema', 'din', '-o', str(binary), text]) == 0
    assert binary.read_bytes() == octets
    assert main(['decode', '--schema', 'din', str(binary)]) == 0
    assert json.loads(capsys.readouterr().out) == exi.to_json(SETUP)
    lines = tmp_path / 'messages.txt'
    lines.write_text(f'{octets.hex()}\n\n{octets.hex().upper()}\n')
    assert main(['decode', '--schema', 'din', str(lines)]) == 0
    assert capsys.readouterr().out.count('SessionSetupReq') == 2


def test_fragments_go_both_ways(capsys):
    octets = '8004420020406080a0c0e10121416181a1c1e207a0'
    assert main(['decode', '--schema', 'iso2', '--fragment', octets]) == 0
    text = capsys.readouterr().out
    assert json.loads(text) == {
        'AuthorizationReq': {'GenChallenge': '0102030405060708090A0B0C0D0E0F10'}}
    assert main(['encode', '--schema', 'iso2', '--fragment', text]) == 0
    assert capsys.readouterr().out.strip() == octets


def test_a_capture_prints_one_line_per_message(capsys, tmp_path):
    file = tmp_path / 'talk.pcapng'
    file.write_bytes(session().file(dpkt.pcapng.Writer))
    assert main(['decode', str(file)]) == 0
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line['schema'] for line in printed] == ['sdp', 'sdp', 'sap', 'sap', 'din']
    assert printed[4]['from'] == f'[fe80::1]:{CAR_PORT}'


def test_trace_lists_every_bit(capsys):
    octets = exi.encode(CHOICE)
    assert main(['trace', '--schema', 'sap', octets.hex()]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split(maxsplit=3) == ['0', '8', '10000000', 'EXI header, 128']
    assert sum(int(line.split()[1]) for line in lines) == 8 * len(octets)
    assert any('SE(ResponseCode)' in line for line in lines)
    assert main(['decode', '--trace', '--schema', 'sap', octets[:3].hex()]) == 1
    captured = capsys.readouterr()
    assert 'SE(supportedAppProtocolRes)' in captured.out
    assert 'ends too early' in captured.err


@pytest.mark.parametrize(('arguments', 'reason'), [
    (['decode', '8040000000'], '--schema'),
    (['decode', 'nonsense'], 'neither a file nor hexadecimal'),
    (['decode', '--schema', 'sap', '40'], 'header'),
    (['decode', v2gtp(b'\x80').hex()], '0x8001'),
    (['decode', '01fe80020000000580'], 'says 5 octets'),
    (['encode', '{}'], 'needs --schema'),
    (['encode', '--schema', 'sap', '{}'], 'root element'),
    (['encode', '--schema', 'sap', '{'], 'Expecting'),
])
def test_mistakes_are_explained(capsys, arguments, reason):
    assert main(arguments) == 1
    captured = capsys.readouterr()
    assert reason in captured.err
    assert 'Traceback' not in captured.err


@pytest.mark.parametrize('messages', [1, 2000])
def test_who_reads_no_further_is_no_error(tmp_path, messages):
    file = tmp_path / 'messages'
    file.write_text(f'{exi.encode(CHOICE).hex()}\n' * messages)
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, '-m', 'ccs2_hlc.exi', 'decode', '--schema', 'sap', str(file)],
        stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, b'')


def test_it_runs_as_a_module():
    done = subprocess.run(
        [sys.executable, '-m', 'ccs2_hlc.exi', 'decode', '--schema', 'sap', '-'],
        input=exi.encode(CHOICE), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == exi.to_json(CHOICE)
