"""Tariff files: what they mean, how they fail, and how a mobility operator signs them."""

import base64
import contextlib

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pnc_lab import contract, lab

from ccs2_hlc.exi import cli
from ccs2_hlc.session.iso2_tariffs import check_signature_of, signed_elements
from ccs2_hlc.session.tariff_document import sign_document
from ccs2_hlc.session.tariffs import (
    Block,
    Levels,
    LevelStep,
    Prices,
    PriceStep,
    Tariffs,
    read_tariffs,
)

PRICES = """\
currency: EUR    # ISO 4217
language: deu
steps:
- {start: 0, price: 0.6}
- {start: 3600, price: 0.3}
"""
NIGHT = """\
tariffs:
- schedule: 1
  description: at once
  steps:
  - {start: 0, level: 5, blocks: [{power: 0, renewable: 40, carbon_dioxide: 311}]}
  - {start: 3600, level: 2}
- schedule: 7
  steps:
  - {start: 0, level: 0}
"""
SCHEDULES = """\
schedules:
- number: 1
  steps: [{start: 0, power: 100000}]
- number: 7
  steps: [{start: 0, power: 5000}]
"""


def signer():
    """Return the lab's MO sub-CA, which has issued its contract."""
    return lab().issued['mo_sub2']


def signed(text=NIGHT, schedules=SCHEDULES, duration=86400):
    return sign_document(text, schedules, duration, signer().key, signer().certificate)


def read(text, numbers=(1, 7)):
    return check_signature_of(read_tariffs(yaml.safe_load(text), numbers))


# Plain files.

def test_one_tariff_is_for_every_schedule():
    tariff = Prices('EUR', 'deu', (PriceStep(0, 0.6), PriceStep(3600, 0.3)))
    found = read(PRICES, [4, 9])
    assert found == Tariffs({4: tariff, 9: tariff})
    assert found.in_currency


def test_each_schedule_may_have_a_tariff_of_its_own():
    found = read(NIGHT)
    assert found == Tariffs({
        1: Levels((LevelStep(0, 5, (Block(0.0, None, 40, 311),)), LevelStep(3600, 2)), 'at once'),
        7: Levels((LevelStep(0, 0),))})
    assert not found.in_currency


def test_a_tariff_may_tell_what_is_paid_for_what_the_vehicle_gives():
    prices = read(f'{PRICES}discharge:\n- {{start: 0, price: 0.2}}\n', [4]).each[4]
    assert prices.discharge == (PriceStep(0, 0.2),)
    assert prices.of_discharge().steps == (PriceStep(0, 0.2),)
    levels = read_tariffs(
        {'steps': [STEP], 'discharge': [STEP, {'start': 9, 'level': 2}]}, [4]).each[4]
    assert levels.of_discharge().steps == (LevelStep(0, 1), LevelStep(9, 2))


STEP = {'start': 0, 'level': 1}


@pytest.mark.parametrize(('document', 'wrong'), [
    (None, "'steps' is missing"),
    ({'steps': []}, 'not a list of 1 to 12'),
    ({'steps': [{'start': 5, 'level': 1}]}, 'do not rise from 0'),
    ({'steps': [{'start': 0, 'level': 256}]}, r'steps\[0\].level is 256'),
    ({'steps': [{'start': 0, 'level': 1.5}]}, r'steps\[0\].level is 1.5'),
    ({'steps': [STEP], 'description': 'x' * 33}, 'description is'),
    ({'steps': [STEP], 'discharge': [{'start': 1, 'level': 1}]}, 'discharge: starts'),
    ({'steps': [STEP], 'discharge': [{'start': 0, 'price': 1}]}, "discharge.*'level' is missing"),
    ({'tariffs': [{'schedule': 1, 'steps': [STEP], 'discharge': []}]},
     r'tariffs\[0\].discharge: not a list'),
    ({'currency': 'EURO', 'language': 'deu', 'steps': [{'start': 0, 'price': 1}]}, 'currency'),
    ({'currency': 'EUR', 'steps': [{'start': 0, 'price': 1}]}, "'language' is missing"),
    ({'currency': 'EUR', 'language': 'deu', 'steps': [{'start': 0, 'price': -1}]}, 'price is -1'),
    ({'currency': 'EUR', 'language': 'deu', 'steps': [{'start': 0}]}, "'price' is missing"),
    ({'steps': [STEP | {'blocks': []}]}, r'steps\[0\].blocks: not a list of 1 to 3'),
    ({'steps': [STEP | {'blocks': [{'power': 0}]}]}, r'blocks\[0\]: tells nothing'),
    ({'steps': [STEP | {'blocks': [{'renewable': 1}]}]}, "'power' is missing"),
    ({'steps': [STEP | {'blocks': [{'power': 0, 'renewable': 0.5}]}]}, 'renewable is 0.5'),
    ({'steps': [STEP | {'blocks': [{'power': 9, 'renewable': 1}, {'power': 8, 'renewable': 1}]}]},
     'do not rise'),
    ({'tariffs': [], 'steps': [STEP]}, "'steps' for every schedule and 'tariffs'"),
    ({'tariffs': [{'steps': [STEP]}]}, r"tariffs\[0\]: 'schedule' is missing"),
    ({'tariffs': [{'schedule': 1, 'steps': [{'start': 1, 'level': 1}]}]},
     r'tariffs\[0\].steps: starts'),
    ({'tariffs': [{'schedule': 1, 'steps': [STEP]}] * 2}, r'another tariff for schedule 1'),
    ({'tariffs': [{'schedule': 1, 'steps': [STEP]}]}, r'for schedules \[1\], there are \[1, 7\]'),
    ({'tariffs': [{'schedule': 1, 'steps': [STEP]}, {'schedule': 2, 'steps': [STEP]}]},
     r'for schedules \[1, 2\], there are \[1, 7\]'),
])
def test_mistakes_in_a_file_are_named(document, wrong):
    with pytest.raises(ValueError, match=wrong):
        read_tariffs(document, [1, 7])


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(['steps', 'start', 'price', 'level', 'currency', 'language', 'tariffs',
                         'schedule', 'blocks', 'discharge', 'power', 'signature', 'value',
                         'digests', 'duration', 'certificate']), inner)))
def test_any_file_is_read_or_refused(document):
    with contextlib.suppress(ValueError):
        read_tariffs(document, [1])


# Signed files.

def test_a_signed_file_says_what_the_plain_one_says():
    text = signed()
    assert text.startswith(NIGHT)
    found = read(text)
    assert found.each == read(NIGHT).each
    assert found.signature.certificate == signer().certificate
    assert [element.id for element in signed_elements(found, 86400).values()] == ['id1', 'id7']
    assert read(sign_document(PRICES, None, 7200, signer().key, signer().certificate),
                [1]).signature.duration == 7200


def change(**values):
    def changed(document):
        document['signature'] |= values
    return changed


def price(document):
    document['tariffs'][1]['steps'][0]['level'] = 3


def text_of(document):
    document['tariffs'][0]['description'] = 'cheap'


def swap(document):
    digests = document['signature']['digests']
    digests[1], digests[7] = digests[7], digests[1]


def flip(document):
    value = bytearray(base64.b64decode(document['signature']['value']))
    value[40] ^= 1
    document['signature']['value'] = base64.b64encode(value).decode()


def one_digest_less(document):
    del document['signature']['digests'][7]


def too_many_steps(document):
    document['tariffs'][1]['steps'] = [
        {'start': 100 * index, 'level': 1} for index in range(12)]


@pytest.mark.parametrize(('damage', 'wrong'), [
    (price, r'signature.digests\[1\]: the tariff of schedule 1 was changed'),
    (text_of, r'signature.digests\[1\]: the tariff of schedule 1 was changed'),
    (change(duration=86399), r'digests\[1\]: the tariff of schedule 1 was changed'),
    (change(duration=3600), 'signature.duration is 3600, must be 3601 to 86400'),
    (change(duration='long'), 'signature.duration is'),
    (swap, r'digests\[1\]: the tariff of schedule 1 was changed'),
    (one_digest_less, 'digests: not one for each of the schedules'),
    (change(digests={1: 'x', 7: 'y'}), r'digests\[1\]: not base64'),
    (flip, 'signature.value: the key has not made this signature'),
    (change(value='AAAA'), 'signature.value: SignatureValue has a wrong length'),
    (change(value=5), 'signature.value: not base64'),
    (change(certificate='nothing'), 'signature.certificate: not one certificate'),
    (change(certificate=None), 'signature.certificate: not one certificate'),
    (change(certificate=contract().certificate.pem().decode()),
     'signature.value: the key has not made this signature'),
    (too_many_steps, 'tariff of schedule 7: 12 steps, at most 11'),
], ids=lambda value: getattr(value, '__name__', None))
def test_what_is_wrong_with_a_signature_is_named(damage, wrong):
    document = yaml.safe_load(signed())
    damage(document)
    with pytest.raises(ValueError, match=wrong):
        read(yaml.safe_dump(document))


def test_only_keys_and_tariffs_that_fit_are_signed():
    key, certificate = signer().key, signer().certificate
    with pytest.raises(ValueError, match='the key has not made this signature'):
        sign_document(PRICES, None, 86400, contract().key, certificate)
    with pytest.raises(ValueError, match='signed already'):
        sign_document(signed(), SCHEDULES, 86400, key, certificate)
    with pytest.raises(ValueError, match=r'there are \[1\]'):
        sign_document(NIGHT, None, 86400, key, certificate)
    for duration in (-1, 0, 3600, 90001):
        with pytest.raises(ValueError, match='duration'):
            sign_document(PRICES, None, duration, key, certificate)
    with pytest.raises(ValueError, match='tariff file'):
        sign_document('{', None, 86400, key, certificate)


# The command.

@pytest.fixture
def folder(tmp_path):
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
    (tmp_path / 'tariffs.yaml').write_text(NIGHT)
    (tmp_path / 'schedules.yaml').write_text(SCHEDULES)
    (tmp_path / 'key.pem').write_bytes(signer().key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (tmp_path / 'certificate.pem').write_bytes(signer().certificate.pem())
    return tmp_path


def run(folder, *more, key='key.pem'):
    return cli.main([
        'sign-tariff', str(folder / 'tariffs.yaml'), '--key', str(folder / key),
        '--certificate', str(folder / 'certificate.pem'), *more])


def test_the_command_signs_a_file(folder, capsys):
    words = ('--schedules', str(folder / 'schedules.yaml'), '--duration', '7200')
    assert run(folder, *words) == 0
    assert read(capsys.readouterr().out).signature.duration == 7200
    assert run(folder, *words, '-o', str(folder / 'signed.yaml')) == 0
    assert capsys.readouterr().out == ''
    assert read((folder / 'signed.yaml').read_text()).signature is not None


def test_the_command_says_what_is_wrong_and_never_shows_the_key(folder, capsys):
    assert run(folder) == 1
    assert 'there are [1]' in capsys.readouterr().err
    assert run(folder, key='certificate.pem') == 1
    assert 'exi: ' in capsys.readouterr().err
    (folder / 'certificate.pem').write_bytes((folder / 'key.pem').read_bytes())
    assert run(folder) == 1
    told = capsys.readouterr()
    for line in (folder / 'key.pem').read_text().splitlines():
        assert line[5:-5] not in told.out + told.err
    assert run(folder, key='nowhere.pem') == 1
