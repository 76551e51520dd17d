"""Numbers with a power of ten, enumerations, equality and how objects look."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccs2_hlc import exi
from ccs2_hlc.exi.messages import din, iso2
from ccs2_hlc.exi.messages.iso20 import common, dc


@pytest.mark.parametrize(('number', 'value', 'multiplier'), [
    (400, 400, 0), (400.5, 4005, -1), (0.1, 1, -1), (0, 0, 0), (-0.125, -125, -3),
    (32.767, 32767, -3), (32.768, 3277, -2), (150000, 15000, 1), (32767000, 32767, 3),
    (-32768000, -32768, 3), (Decimal('12.345'), 12345, -3), (0.0001, 0, 0),
    (Decimal('0E+20'), 0, 0),
])
def test_numbers_are_split_as_finely_as_they_fit(number, value, multiplier):
    for messages in (din, iso2):
        made = messages.PhysicalValue.of(number, messages.Unit.V)
        assert (made.value, made.multiplier, made.unit) == (value, multiplier, messages.Unit.V)


@pytest.mark.parametrize('number', [float('nan'), float('inf'), -float('inf'), 32768000, 1e300])
def test_numbers_that_cannot_be_sent_are_refused(number):
    with pytest.raises(ValueError, match=r'cannot be sent|too large'):
        din.PhysicalValue.of(number, din.Unit.A)


@given(st.floats(-32_767_000, 32_767_000))
def test_a_physical_value_is_within_half_a_unit_in_the_last_place(number):
    made = din.PhysicalValue.of(number, din.Unit.W)
    assert abs(Decimal(number) - made.exact()) <= Decimal(10) ** made.multiplier * Decimal('0.5001')
    assert float(made) == made.to_float() == pytest.approx(float(made.exact()), rel=1e-15)
    exi.encode_fragment('din', 'PMaxSchedule', din.PMaxSchedule(
        p_max_schedule_id=0, p_max_schedule_entry=[din.PMaxScheduleEntry(
            time_interval=din.RelativeTimeInterval(start=0), p_max=made.value)]))


@given(st.floats(allow_nan=False, allow_infinity=False, min_value=-1e100, max_value=1e100))
def test_a_rational_number_keeps_four_digits(number):
    made = dc.RationalNumber.of(number)
    assert float(made) == pytest.approx(number, rel=2e-4, abs=1e-120)


def test_objects_compare_by_value_and_show_what_is_present():
    one = din.DCEVStatus(ev_ready=True, ev_error_code=din.DCEVErrorCode.NO_ERROR, ev_ress_soc=50)
    same = din.DCEVStatus(ev_ready=True, ev_error_code=din.DCEVErrorCode.NO_ERROR, ev_ress_soc=50)
    assert one == same
    same.ev_ress_soc = 51
    assert one != same
    assert one != 'text'
    assert repr(one) == (
        "DCEVStatus(ev_ready=True, ev_error_code=<DCEVErrorCode.NO_ERROR: 'NO_ERROR'>, "
        'ev_ress_soc=50)')
    with pytest.raises(TypeError):
        hash(one)
    with pytest.raises(AttributeError):
        one.ev_res_soc = 1


def test_what_is_required_must_be_given():
    with pytest.raises(TypeError, match='ev_ress_soc'):
        din.DCEVStatus(ev_ready=True, ev_error_code=din.DCEVErrorCode.NO_ERROR)
    assert din.SessionSetupRes(
        response_code=din.ResponseCode.OK, evse_id=b'\0').date_time_now is None


def test_common_types_stand_once():
    assert common.MessageHeader is dc.MessageHeader
    assert common.RationalNumber is dc.RationalNumber


def test_json_that_does_not_fit_says_where():
    good = exi.to_json(din.V2GMessage(
        header=din.MessageHeader(session_id=b'\1'), body=din.SessionSetupReq(evcc_id=b'\2')))
    assert good == {'V2G_Message': {
        'Header': {'SessionID': '01'}, 'Body': {'SessionSetupReq': {'EVCCID': '02'}}}}
    for change, where in (
        (lambda m: m['Header'].update(Session=1), "V2G_Message/Header: unknown 'Session'"),
        (lambda m: m['Header'].update(SessionID='xx'), 'V2G_Message/Header/SessionID'),
        (lambda m: m['Header'].update(SessionID=5), 'expected hexadecimal'),
        (lambda m: m.update(Header=[]), 'V2G_Message/Header: expected an object'),
        (lambda m: m['Body'].update(Nonsense={}), 'V2G_Message/Body: unknown'),
    ):
        bad = exi.to_json(exi.from_json('din', good))
        change(bad['V2G_Message'])
        with pytest.raises(ValueError, match=where):
            exi.from_json('din', bad)
    for bad in ({}, {'a': {}, 'b': {}}, {'Nonsense': {}}):
        with pytest.raises(ValueError, match=r'root element|no message'):
            exi.from_json('din', bad)


def test_the_schema_follows_from_payload_type_and_protocol():
    assert exi.schema_for(0x8001) == 'sap'
    assert exi.schema_for(0x8001, 'urn:din:70121:2012:MsgDef') == 'din'
    assert exi.schema_for(0x8001, 'urn:iso:15118:2:2013:MsgDef') == 'iso2'
    twenty = 'urn:iso:std:iso:15118:-20:DC'
    assert [exi.schema_for(kind, twenty) for kind in range(0x8002, 0x8007)] == [
        'iso20-common', 'iso20-ac', 'iso20-dc', 'iso20-acdp', 'iso20-wpt']
    for kind, protocol in ((0x8001, twenty), (0x8004, 'urn:din:70121:2012:MsgDef'), (0x9000, None)):
        with pytest.raises(ValueError, match='no schema'):
            exi.schema_for(kind, protocol)
    with pytest.raises(ValueError, match='unknown schema'):
        exi.decode('iso3', b'')


def test_an_element_that_is_no_message_is_no_document():
    status = din.DCEVSEStatus(
        evse_status_code=din.DCEVSEStatusCode.EVSE_READY, notification_max_delay=0,
        evse_notification=din.EVSENotification.NONE)
    with pytest.raises(TypeError, match='no message of din'):
        exi.encode(status)
    with pytest.raises(exi.ExiError, match='no message') as caught:
        exi.decode('din', b'\x80\x00\x00')
    assert caught.value.path == 'AC_EVChargeParameter'
