"""Payloads of real cars, chargers and testers, every line of them."""

import json
from pathlib import Path

import pytest

from ccs2_hlc import exi

CORPUS = Path(__file__).parents[4] / 'shared' / 'corpus'
pytestmark = pytest.mark.skipif(not CORPUS.is_dir(), reason='the corpus is not beside the checkout')


def lines(name):
    with open(CORPUS / name) as file:
        return [json.loads(line) for line in file]


def decode(line, data, **options):
    """Return the content of a line and the function that encodes it again."""
    schema, _, fragment = line['schema'].partition('#')
    if fragment:
        element, value = exi.decode_fragment(schema, data, **options)
        return value, lambda: exi.encode_fragment(schema, element, value, validate=False)
    message = exi.decode(schema, data, **options)
    return message, lambda: exi.encode(message, validate=False)


@pytest.mark.parametrize('name', ['exi.jsonl', 'generated.jsonl'])
def test_every_line_round_trips_or_does_what_its_note_says(name):
    wrong, done = [], 0
    for number, line in enumerate(lines(name), 1):
        data = bytes.fromhex(line['exi'])
        try:
            _, encode = decode(line, data, validate=False)
            again = encode()
        except exi.ExiError as error:
            wrong.append(f'line {number}: {error}')
            continue
        if line.get('roundtrip', True):
            expected = data
        else:
            assert line['note'] == 'trailing 1 byte(s)'
            _, report = exi.decode_with_report(line['schema'], data)
            assert report.trailing_zeros == 1
            expected = data[:report.length]
        if again != expected:
            wrong.append(f'line {number}: {data.hex()} became {again.hex()}')
        done += 1
    assert not wrong
    assert done == len(lines(name))


@pytest.mark.parametrize('name', ['exi.jsonl', 'generated.jsonl'])
def test_json_carries_as_much_as_the_bytes(name):
    for line in lines(name):
        schema, _, fragment = line['schema'].partition('#')
        if fragment:
            continue
        message = exi.decode(schema, bytes.fromhex(line['exi']), validate=False)
        as_json = json.loads(json.dumps(exi.to_json(message)))
        assert exi.from_json(schema, as_json) == message


def test_everything_real_is_valid():
    real = [line for line in lines('exi.jsonl') if line['real']]
    assert real
    for line in real:
        decode(line, bytes.fromhex(line['exi']))


def test_what_testers_send_against_the_schema_is_named():
    refused = {}
    for line in lines('exi.jsonl'):
        try:
            decode(line, bytes.fromhex(line['exi']))
        except exi.ExiError as error:
            refused[line['message']] = error.path, error.reason
    assert refused == {
        'AuthorizationReq': (
            'V2G_Message/Body/AuthorizationReq/GenChallenge', 'length 4 is below 16'),
        'PaymentDetailsRes': (
            'V2G_Message/Body/PaymentDetailsRes/GenChallenge', 'length 7 is below 16'),
        'CertificateInstallationRes': (
            'V2G_Message/Body/CertificateInstallationRes/eMAID', 'length 23 exceeds 15'),
        'CertificateUpdateRes': (
            'V2G_Message/Body/CertificateUpdateRes/eMAID', 'length 23 exceeds 15'),
    }


def test_string_table_hits_are_read_when_asked_to():
    with_hits = [line for line in lines('generated.jsonl') if 'exi_string_table' in line]
    assert len(with_hits) > 200
    differing = 0
    for line in with_hits:
        hits = bytes.fromhex(line['exi_string_table'])
        value, _ = decode(line, bytes.fromhex(line['exi']), validate=False)
        assert decode(line, hits, validate=False, string_table=True)[0] == value
        if hits != bytes.fromhex(line['exi']):
            differing += 1
            with pytest.raises(exi.ExiError, match='string-table hit'):
                decode(line, hits, validate=False)
    assert differing > 200


def test_a_trace_accounts_for_every_bit():
    for line in lines('exi.jsonl')[::40]:
        schema, _, fragment = line['schema'].partition('#')
        data = bytes.fromhex(line['exi'])
        events, error = exi.trace(schema, data, fragment=bool(fragment))
        assert error is None
        position = 0
        for event in events:
            assert event.bit == position
            position += event.bits
        assert position == 8 * len(data)
