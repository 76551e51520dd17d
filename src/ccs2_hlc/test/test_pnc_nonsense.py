"""What a vehicle may send as certificates and signatures: refused, never a crash, and the next
session works."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from iso2_bench import authorization
from pnc_lab import (
    bring_to_authorization,
    bring_to_payment_details,
    contract,
    payment_details,
    prove,
    signature,
)

from ccs2_hlc.exi.messages import iso2, xmldsig

FEW = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
TEXT = st.text(st.characters(codec='utf-8', exclude_characters='\0'), max_size=12)


def refused(bench, answer):
    assert answer.response_code.value.startswith('FAILED')
    assert not bench.secc.session().authorized
    assert bench.secc.session().contract_id == ''
    bench.advance(5.0)
    bench.session_id = bytes(8)
    _, challenge = bring_to_authorization(bench)
    assert prove(bench, challenge).response_code is iso2.ResponseCode.OK


@st.composite
def spoiled(draw):
    """Return the right chain with some octets of one certificate changed, cut or put in."""
    ders = [c.der for c in contract().chain]
    index = draw(st.integers(0, 2))
    der = bytearray(ders[index])
    start = draw(st.integers(0, len(der) - 1))
    change = draw(st.binary(min_size=0, max_size=4))
    end = start + draw(st.integers(0, 4))
    if bytes(der[start:end]) == change:
        change += b'\0'
    der[start:end] = change
    ders[index] = bytes(der)
    return ders


@FEW
@given(st.one_of(spoiled(), st.lists(st.binary(max_size=60), min_size=1, max_size=4)))
def test_spoiled_certificates_are_refused(ders):
    bench = bring_to_payment_details()
    refused(bench, bench.ask(payment_details(ders)))


REFERENCES = st.lists(st.builds(
    xmldsig.Reference,
    id=st.none(), type=st.one_of(st.none(), TEXT), uri=st.one_of(st.none(), TEXT),
    transforms=st.one_of(st.none(), st.builds(xmldsig.Transforms, transform=st.lists(
        st.builds(xmldsig.Transform, algorithm=TEXT, xpath=st.lists(TEXT, max_size=2)),
        min_size=1, max_size=3))),
    digest_method=st.builds(xmldsig.DigestMethod, algorithm=TEXT),
    digest_value=st.binary(max_size=40)), min_size=1, max_size=5)


@FEW
@given(
    references=st.one_of(st.none(), REFERENCES), value=st.binary(max_size=80),
    key_name=st.one_of(st.none(), TEXT))
def test_signatures_of_any_form_are_refused(references, value, key_name):
    bench, challenge = bring_to_authorization()
    request = authorization(challenge)
    signed = signature('AuthorizationReq', request)
    if references is not None:
        signed.signed_info.reference = references
    signed.signature_value.value = value
    if key_name is not None:
        signed.key_info = xmldsig.KeyInfo(key_name=[key_name])
    refused(bench, bench.ask(request, signature=signed))
