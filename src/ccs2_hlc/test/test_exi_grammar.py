"""Code lists and widths against what was measured on grammars built from the schemas."""

import random

import pytest

from ccs2_hlc import exi
from ccs2_hlc.exi import sampling
from ccs2_hlc.exi.messages import din, iso2, xmldsig
from ccs2_hlc.exi.messages.iso20 import acdp, common, dc, wpt
from ccs2_hlc.exi.schemas import grammar

# Elements in the document's code list, in the fragment's.
SIZES = {
    'sap': (2, 9), 'din': (81, 245), 'iso2': (80, 243), 'iso20-common': (54, 281),
    'iso20-ac': (42, 154), 'iso20-dc': (48, 149), 'iso20-acdp': (34, 129),
    'iso20-wpt': (38, 193), 'xmldsig': (24, 45),
}


@pytest.mark.parametrize('schema', exi.SCHEMAS)
def test_code_lists_have_the_size_of_the_schema(schema):
    tables = grammar(schema)
    assert (len(tables.document), len(tables.fragment)) == SIZES[schema]


@pytest.mark.parametrize(('schema', 'name', 'code'), [
    ('sap', 'supportedAppProtocolReq', 0), ('sap', 'supportedAppProtocolRes', 1),
    ('din', 'V2G_Message', 77), ('din', 'BodyElement', 3), ('din', 'X509Data', 80),
    ('iso2', 'V2G_Message', 76), ('iso20-dc', 'DC_ChargeLoopReq', 13),
])
def test_document_codes(schema, name, code):
    assert grammar(schema).document[code].name == name


@pytest.mark.parametrize(('schema', 'name', 'code'), [
    ('xmldsig', 'SignedInfo', 32), ('iso2', 'AuthorizationReq', 4), ('iso2', 'eMAID', 236),
    ('din', 'V2G_Message', 219), ('din', 'amount', 233),
])
def test_fragment_codes(schema, name, code):
    assert grammar(schema).fragment[code].name == name


def test_first_octets_are_those_on_the_road():
    for schema, messages, octet in (('din', din, 0x9a), ('iso2', iso2, 0x98)):
        data = exi.encode(messages.V2GMessage(
            header=messages.MessageHeader(session_id=bytes(8)), body=None))
        assert (data[0], data[1]) == (0x80, octet), schema


def test_session_stop_is_as_long_as_measured():
    assert exi.encode(exi.decode('iso2', bytes.fromhex('8098004051f200'))).hex() \
        == '8098004051f200'


@pytest.mark.parametrize(('schema', 'stream', 'meaning'), [
    ('sap', '8000dbab9371d3234b71d1b981899189d191818991d26b9b3a232b30020000040040', {
        'supportedAppProtocolReq': {'AppProtocol': [{
            'ProtocolNamespace': 'urn:din:70121:2012:MsgDef', 'VersionNumberMajor': 2,
            'VersionNumberMinor': 0, 'SchemaID': 1, 'Priority': 1}]}}),
    ('iso2', '8098004051f200', {'V2G_Message': {
        'Header': {'SessionID': '01'}, 'Body': {'SessionStopReq': {'ChargingSession': 'Pause'}}}}),
    ('iso20-dc', '803404081958d96b04f9f50c4c5c2d3062810012006464003c02002400ca', {
        'DC_ChargeLoopReq': {
            'Header': {'SessionID': '1032B1B2D609F3EA', 'TimeStamp': 1785766596},
            'MeterInfoRequested': False,
            'EVPresentVoltage': {'Exponent': 0, 'Value': 400},
            'Scheduled_DC_CLReqControlMode': {
                'EVTargetCurrent': {'Exponent': 0, 'Value': 120},
                'EVTargetVoltage': {'Exponent': 0, 'Value': 400}}}}),
])
def test_streams_mean_what_an_independent_codec_says(schema, stream, meaning):
    assert exi.to_json(exi.decode(schema, bytes.fromhex(stream))) == meaning
    assert exi.encode(exi.from_json(schema, meaning)).hex() == stream


def sample(schema, cls, **fields):
    """Return a minimal valid object of a class, with some fields set."""
    sampler = sampling.Sampler(schema, random.Random(0), sampling.Amount.MINIMAL)
    made = sampler.element(cls)
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def round_trips(schema, message):
    data = exi.encode(message)
    assert exi.decode(schema, data) == message
    return data


# What libcbv2g (snapshot of April 2025) refuses or changes, one test each.

def in_iso2(body):
    return iso2.V2GMessage(header=iso2.MessageHeader(session_id=bytes(8)), body=body)


def in_din(body):
    return din.V2GMessage(header=din.MessageHeader(session_id=bytes(8)), body=body)


@pytest.mark.parametrize('count', [1, 5, 6, 12, 13, 1023, 1024])
def test_schedule_lists_of_any_length_the_schema_allows(count):
    entry = iso2.PMaxScheduleEntry(
        time_interval=iso2.RelativeTimeInterval(start=0), p_max=iso2.PhysicalValue.of(
            11000, iso2.Unit.W))
    schedule = iso2.PMaxSchedule(p_max_schedule_entry=[entry] * count)
    data = exi.encode_fragment('iso2', 'PMaxSchedule', schedule)
    assert exi.decode_fragment('iso2', data).value == schedule


@pytest.mark.parametrize('count', [1, 5, 6, 100])
def test_din_lists_have_no_bound(count):
    entry = din.PMaxScheduleEntry(
        time_interval=din.RelativeTimeInterval(start=0, duration=86400), p_max=11000)
    tuples = [din.SAScheduleTuple(
        sa_schedule_tuple_id=number,
        p_max_schedule=din.PMaxSchedule(p_max_schedule_id=1, p_max_schedule_entry=[entry] * count))
        for number in range(count)]
    body = sample('din', din.ChargeParameterDiscoveryRes,
                  sa_schedules=din.SAScheduleList(sa_schedule_tuple=tuples))
    round_trips('din', in_din(body))


@pytest.mark.parametrize('count', [1, 2, 3, 4])
def test_din_payment_options_and_certificates(count):
    options = [din.PaymentOption.CONTRACT, din.PaymentOption.EXTERNAL_PAYMENT] * 2
    round_trips('din', in_din(sample(
        'din', din.ServiceDiscoveryRes,
        payment_options=din.PaymentOptions(payment_option=options[:count]))))
    chain = din.CertificateChain(certificate=b'leaf', sub_certificates=din.SubCertificates(
        certificate=[bytes([number]) * 500 for number in range(count)]))
    round_trips('din', in_din(
        sample('din', din.PaymentDetailsReq, contract_signature_cert_chain=chain)))


EXACT_MAXIMA = [
    ('iso2', iso2.SubCertificates, 'certificate', 4),
    ('iso2', iso2.SupportedEnergyTransferMode, 'energy_transfer_mode', 6),
    ('iso2', iso2.SAScheduleList, 'sa_schedule_tuple', 3),
    ('iso2', iso2.SelectedServiceList, 'selected_service', 16),
    ('iso2', iso2.ChargingProfile, 'profile_entry', 24),
    ('iso2', iso2.ParameterSet, 'parameter', 16),
    ('iso2', iso2.ListOfRootCertificateIDs, 'root_certificate_id', 20),
    ('iso2', iso2.PaymentOptionList, 'payment_option', 2),
    ('iso2', iso2.ServiceParameterList, 'parameter_set', 255),
    ('iso2', iso2.SalesTariff, 'sales_tariff_entry', 1024),
    ('iso20-common', common.SubCertificates, 'certificate', 3),
    ('iso20-common', common.ServiceIDList, 'service_id', 16),
    ('iso20-common', common.OverstayRuleList, 'overstay_rule', 5),
    ('iso20-common', common.ScheduledSEResControlMode, 'schedule_tuple', 3),
    ('iso20-common', common.ServiceList, 'service', 8),
    ('iso20-common', common.SelectedServiceList, 'selected_service', 16),
    ('iso20-common', common.PowerScheduleEntryList, 'power_schedule_entry', 1024),
    ('iso20-common', common.ListOfRootCertificateIDs, 'root_certificate_id', 20),
    ('iso20-common', common.ServiceParameterList, 'parameter_set', 32),
    ('iso20-common', common.ParameterSet, 'parameter', 32),
    ('iso20-common', common.PriceRuleStackList, 'price_rule_stack', 1024),
    ('iso20-common', common.Receipt, 'tax_costs', 10),
    ('iso20-wpt', wpt.WPTLFReceiverData, 'rx_spec_data', 255),
]


@pytest.mark.parametrize(('schema', 'cls', 'field', 'most'), EXACT_MAXIMA)
def test_lists_just_below_at_and_above_the_maximum(schema, cls, field, most):
    sampler = sampling.Sampler(schema, random.Random(0), sampling.Amount.FULL)
    item = getattr(sampler.element(cls), field)[0]
    name = next(root.qualified_name for root in grammar(schema).fragment if root.kind is cls)
    for count in (most - 1, most):
        value = sampler.element(cls)
        setattr(value, field, [item] * count)
        data = exi.encode_fragment(schema, name, value)
        assert exi.decode_fragment(schema, data).value == value
    setattr(value, field, [item] * (most + 1))
    with pytest.raises(exi.ExiError, match='too many'):
        exi.encode_fragment(schema, name, value)


def test_a_list_at_its_maximum_takes_the_narrower_code():
    """After the last item that the schema allows, one more item has no code any more."""
    protocol = xmldsig.X509IssuerSerial(x509_issuer_name='', x509_serial_number=0)
    sizes = [8 * len(exi.encode_fragment('iso2', 'ListOfRootCertificateIDs',
                                         iso2.ListOfRootCertificateIDs(
                                             root_certificate_id=[protocol] * count)))
             for count in (18, 19, 20)]
    assert sizes == sorted(sizes)


def test_acdp_codes_are_not_swapped():
    header = common.MessageHeader(session_id=bytes(8), time_stamp=0)
    for cls in (acdp.ACDPConnectReq, acdp.ACDPConnectRes, acdp.ACDPDisconnectReq,
                acdp.ACDPDisconnectRes):
        message = sample('iso20-acdp', cls, header=header)
        assert type(exi.decode('iso20-acdp', exi.encode(message))) is cls
    names = [root.name for root in grammar('iso20-acdp').document][:6]
    assert names == ['ACDP_ConnectReq', 'ACDP_ConnectRes', 'ACDP_DisconnectReq',
                     'ACDP_DisconnectRes', 'ACDP_SystemStatusReq', 'ACDP_SystemStatusRes']


@pytest.mark.parametrize('cls', [
    wpt.WPTFinePositioningReq, wpt.WPTFinePositioningRes, wpt.WPTFinePositioningSetupReq,
    wpt.WPTFinePositioningSetupRes])
@pytest.mark.parametrize('amount', list(sampling.Amount))
def test_wpt_messages_with_and_without_their_last_optional_elements(cls, amount):
    sampler = sampling.Sampler('iso20-wpt', random.Random(3), amount)
    for _ in range(50):
        round_trips('iso20-wpt', sampler.element(cls))


def test_integers_never_wrap():
    body = sample('iso2', iso2.ServiceDetailReq, service_id=65536)
    with pytest.raises(exi.ExiError, match='65536 is out of range'):
        exi.encode(in_iso2(body))
    data = exi.encode(in_iso2(body), validate=False)
    assert exi.decode('iso2', data, validate=False).body.service_id == 65536
    with pytest.raises(exi.ExiError, match='65536 is out of range'):
        exi.decode('iso2', data)
    for value in (32768, -32769):
        number = dc.RationalNumber(exponent=0, value=value)
        with pytest.raises(exi.ExiError, match='out of range'):
            exi.encode_fragment('iso20-dc', 'EVPresentVoltage', number)


def test_an_enumeration_has_no_value_beyond_its_last():
    """ResponseCode of SupportedAppProtocol: two bits for three values."""
    bits = f'{0x80:08b}' + '01' + '0' + '0' + '11' + '0' + '01' + '0' * 7
    with pytest.raises(exi.ExiError, match='no enumeration value 3 of 3'):
        exi.decode('sap', int(bits, 2).to_bytes(3), validate=False)


def test_one_octet_short_is_too_short():
    with pytest.raises(exi.ExiError, match='ends too early'):
        exi.decode('sap', bytes.fromhex('804000'))
    assert exi.decode('sap', bytes.fromhex('80400000'))


def test_long_issuer_names_and_long_tariffs_as_fragments():
    serial = xmldsig.X509IssuerSerial(x509_issuer_name='CN=' + 'x' * 500, x509_serial_number=1)
    request = iso2.CertificateInstallationReq(
        id='id1', oem_provisioning_cert=bytes(800),
        list_of_root_certificate_ids=iso2.ListOfRootCertificateIDs(root_certificate_id=[serial]))
    round_trips('iso2', in_iso2(request))
    for name, schema in (('OEMProvisioningCertificateChain', 'iso20-common'),
                         ('SignedMeteringData', 'iso20-common'), ('SalesTariff', 'iso2')):
        sampler = sampling.Sampler(schema, random.Random(5), sampling.Amount.FULL)
        cls = {'OEMProvisioningCertificateChain': common.SignedCertificateChain,
               'SignedMeteringData': common.SignedMeteringData,
               'SalesTariff': iso2.SalesTariff}[name]
        value = sampler.element(cls)
        data = exi.encode_fragment(schema, name, value)
        assert exi.decode_fragment(schema, data) == (name, value)
