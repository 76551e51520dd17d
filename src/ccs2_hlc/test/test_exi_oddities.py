"""What real cars and chargers send although a strict reader might refuse it, and bad streams."""

import pickle

import pytest

from ccs2_hlc import exi
from ccs2_hlc.exi.messages import din, iso2, sap

# Subaru Solterra: SessionID of length 0.
EMPTY_SESSION_ID = '80980011d0180301652003fc00'
# Tesla: one octet too many.
TRAILING_ZERO = '809a02202c9fff3e37b3d3d0b800'
# Seres 3: MaxNumberOfPhasesInUse is 4 of 3.
FOUR_PHASES = '8098020e8a6bfddbcfdcdfd150000000010a38f78020c41002800000'


def test_an_empty_session_id_is_kept():
    data = bytes.fromhex(EMPTY_SESSION_ID)
    message = exi.decode('iso2', data)
    assert message.header.session_id == b''
    assert exi.encode(message) == data


def test_trailing_zeros_are_tolerated_and_reported():
    data = bytes.fromhex(TRAILING_ZERO)
    message, report = exi.decode_with_report('din', data)
    assert isinstance(message.body, din.ContractAuthenticationReq)
    assert report.length == 13
    assert report.trailing_zeros == 1
    assert exi.encode(message) == data[:-1]


def test_other_trailing_octets_are_refused():
    with pytest.raises(exi.ExiError, match='behind the message') as caught:
        exi.decode('din', bytes.fromhex(TRAILING_ZERO) + b'\x01')
    assert caught.value.bit_offset == 13 * 8


def test_padding_is_ignored():
    message = sap.SupportedAppProtocolRes(
        response_code=sap.ResponseCode.OK_SUCCESSFUL_NEGOTIATION, schema_id=1)
    data = exi.encode(message)
    assert exi.decode_with_report('sap', data) == (message, exi.Report(4, 4, 0))
    assert exi.decode('sap', data[:-1] + bytes([data[-1] | 0b1111])) == message


def test_a_number_that_only_the_bits_can_hold_needs_the_switch():
    data = bytes.fromhex(FOUR_PHASES)
    with pytest.raises(exi.ExiError, match='4 is out of range') as caught:
        exi.decode('iso2', data)
    assert caught.value.path == (
        'V2G_Message/Body/PowerDeliveryReq/ChargingProfile/ProfileEntry/'
        'ChargingProfileEntryMaxNumberOfPhasesInUse')
    message = exi.decode('iso2', data, validate=False)
    profile = message.body.charging_profile.profile_entry[0]
    assert profile.charging_profile_entry_max_number_of_phases_in_use == 4
    assert exi.encode(message, validate=False) == data
    with pytest.raises(exi.ExiError, match='4 is out of range'):
        exi.encode(message)


def test_nul_characters_and_others_beyond_ascii_travel():
    for scope in ('\0' * 64, 'Ladesäule ⚡ 🔌'):
        message = iso2.V2GMessage(
            header=iso2.MessageHeader(session_id=bytes(8)),
            body=iso2.ServiceDiscoveryReq(service_scope=scope))
        assert exi.decode('iso2', exi.encode(message)) == message


def test_an_empty_body_is_legal():
    message = din.V2GMessage(header=din.MessageHeader(session_id=b'\1'), body=None)
    data = exi.encode(message)
    assert exi.decode('din', data) == message
    assert exi.to_json(message)['V2G_Message']['Body'] == {}
    assert exi.from_json('din', exi.to_json(message)) == message


def test_an_abstract_head_of_din_is_read():
    message = din.V2GMessage(
        header=din.MessageHeader(session_id=bytes(8)),
        body=din.PowerDeliveryRes(response_code=din.ResponseCode.OK, evse_status=din.EVSEStatus()))
    assert exi.decode('din', exi.encode(message)) == message


def test_an_abstract_element_of_iso2_needs_the_switch():
    message = iso2.V2GMessage(
        header=iso2.MessageHeader(session_id=bytes(8)), body=iso2.BodyElement())
    data = exi.encode(message, validate=False)
    assert exi.decode('iso2', data, validate=False) == message
    for attempt in (lambda: exi.encode(message), lambda: exi.decode('iso2', data)):
        with pytest.raises(exi.ExiError, match='abstract'):
            attempt()


@pytest.mark.parametrize(('data', 'reason', 'bit'), [
    ('', 'ends too early', 0),
    ('40', 'header', 0),
    ('81', 'header', 0),
    ('80', 'ends too early', 8),
    ('80c0', 'no root element', 10),
    ('804000', 'ends too early', 18),
])
def test_a_bad_stream_says_where_and_why(data, reason, bit):
    with pytest.raises(exi.ExiError, match=reason) as caught:
        exi.decode('sap', bytes.fromhex(data))
    assert caught.value.bit_offset == bit
    assert isinstance(caught.value, ValueError)


def test_a_character_of_eleven_octets_is_refused():
    # Parameter/@Name of two characters; the first has octets without end. What follows them would
    # be a whole fragment if those bits were read again.
    data = bytes.fromhex('808a025063c3cbd3c3cbd3c3cbd3c1e8')
    with pytest.raises(exi.ExiError, match='a character has more than 64 bits') as caught:
        exi.decode_fragment('iso2', data)
    assert (caught.value.bit_offset, caught.value.path) == (25, 'Parameter/@Name')


def test_an_error_survives_pickling():
    error = exi.ExiError('reason', 7, 'a/b')
    again = pickle.loads(pickle.dumps(error))
    assert (again.reason, again.bit_offset, again.path) == ('reason', 7, 'a/b')


def test_a_length_is_checked_before_memory_is_taken():
    # After SE(SessionID) and CH a SessionID that claims 2**35 - 1 octets.
    bits = f'{0x809a:016b}' + '00' + '11111111' * 4 + '01111111' + '0' * 38
    data = int(bits, 2).to_bytes(len(bits) // 8)
    with pytest.raises(exi.ExiError, match='length 34359738367 exceeds the rest'):
        exi.decode('din', data)
    with pytest.raises(exi.ExiError, match='length 34359738367 exceeds the rest'):
        exi.decode('din', data, validate=False)


@pytest.mark.parametrize(('fields', 'reason'), [
    ({'schema_id': 256}, 'out of range'),
    ({'schema_id': -1}, 'out of range'),
    ({'schema_id': True}, 'not an integer'),
    ({'schema_id': '1'}, 'not an integer'),
    ({'schema_id': 2 ** 80}, 'out of range'),
    ({'priority': 0}, 'out of range'),
    ({'priority': 21}, 'out of range'),
    ({'version_number_major': 2 ** 32}, 'out of range'),
    ({'version_number_major': -1}, 'out of range'),
    ({'protocol_namespace': 'x' * 101}, 'length 101 exceeds 100'),
    ({'protocol_namespace': b'x'}, 'not a string'),
    ({'protocol_namespace': '\ud800'}, 'no character'),
    ({'protocol_namespace': None}, 'ProtocolNamespace is missing'),
])
def test_a_message_that_cannot_be_sent_says_why(fields, reason):
    values = {'protocol_namespace': 'urn:x', 'version_number_major': 2,
              'version_number_minor': 0, 'schema_id': 1, 'priority': 1, **fields}
    message = sap.SupportedAppProtocolReq(app_protocol=[sap.AppProtocol(**values)])
    with pytest.raises(exi.ExiError, match=reason) as caught:
        exi.encode(message)
    assert caught.value.path.startswith('supportedAppProtocolReq/AppProtocol')


def test_values_in_the_wrong_place_are_refused():
    header = din.MessageHeader(session_id=bytes(8))
    for body in (din.PhysicalValue(multiplier=0, value=1), iso2.SessionStopRes(
            response_code=iso2.ResponseCode.OK), 'text'):
        with pytest.raises(exi.ExiError, match=r'does not belong'):
            exi.encode(din.V2GMessage(header=header, body=body))
    with pytest.raises(exi.ExiError, match='expected MessageHeader'):
        exi.encode(din.V2GMessage(header=din.SessionStopReq(), body=None))
    with pytest.raises(exi.ExiError, match='ResponseCode'):
        exi.encode(din.V2GMessage(
            header=header, body=din.SessionStopRes(response_code=iso2.ResponseCode.OK)))
    with pytest.raises(TypeError, match='PhysicalValue'):
        exi.encode(din.PhysicalValue(multiplier=0, value=1))
    with pytest.raises(exi.ExiError, match='list'):
        exi.encode(sap.SupportedAppProtocolReq(app_protocol=()))
    with pytest.raises(exi.ExiError, match='AppProtocol is missing'):
        exi.encode(sap.SupportedAppProtocolReq(app_protocol=[]))


def test_two_alternatives_at_once_are_refused():
    parameter = din.Parameter(
        name='x', value_type=din.ValueType.INT, int_value=1, bool_value=True)
    with pytest.raises(exi.ExiError, match='excludes another field'):
        exi.encode_fragment('din', 'Parameter', parameter)


def test_more_items_than_the_schema_allows_are_refused():
    protocol = sap.AppProtocol(
        protocol_namespace='urn:x', version_number_major=1, version_number_minor=0,
        schema_id=1, priority=1)
    assert exi.encode(sap.SupportedAppProtocolReq(app_protocol=[protocol] * 20))
    with pytest.raises(exi.ExiError, match='21 items are too many'):
        exi.encode(sap.SupportedAppProtocolReq(app_protocol=[protocol] * 21))


def test_a_field_that_was_never_set_is_refused():
    message = sap.SupportedAppProtocolRes.__new__(sap.SupportedAppProtocolRes)
    with pytest.raises(exi.ExiError, match='not set'):
        exi.encode(message)


def test_serial_numbers_of_any_sensible_size_travel():
    for number in (0, -1, 2 ** 63, -2 ** 63 - 1, 2 ** 64, 2 ** 159, -2 ** 159, 2 ** 447):
        value = iso2.xmldsig.X509IssuerSerial(x509_issuer_name='CN=x', x509_serial_number=number)
        data = exi.encode_fragment('iso2', 'X509IssuerSerial', value)
        assert exi.decode_fragment('iso2', data).value == value
    for number in (2 ** 448, -2 ** 448 - 1, 10 ** 5000):
        with pytest.raises(exi.ExiError, match='64 octets'):
            exi.encode_fragment('iso2', 'X509IssuerSerial', iso2.xmldsig.X509IssuerSerial(
                x509_issuer_name='CN=x', x509_serial_number=number))
