"""A vehicle with a contract: certificates of the test hierarchy, signatures, a trusting station."""

import functools
import os
from datetime import UTC, datetime, timedelta

from iso2_bench import Iso2Bench, authorization, bring_to, go_on, selection

from ccs2_hlc import exi
from ccs2_hlc.exi.messages import iso2, xmldsig
from ccs2_hlc.session import signing
from ccs2_hlc.session.contract import Trust
from ccs2_hlc.session.station import ContractPayment
from ccs2_hlc.session.transport import Security
from ccs2_pki.chains import ChainPolicy
from ccs2_pki.lab.hierarchy import GENERATIONS, build
from ccs2_pki.lab.wrong import build_wrong
from ccs2_pki.profiles import Role, RootKind
from ccs2_pki.revocation import RevocationData, parse_ocsp
from ccs2_pki.signatures import ECDSA_SHA256, SignedElement, sign

NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
CONTRACT = iso2.PaymentOption.CONTRACT


@functools.cache
def lab():
    return build(GENERATIONS[0], NOW)


@functools.cache
def wrong_contracts():
    return {wrong.name: wrong for wrong in build_wrong(lab()) if wrong.role is Role.CONTRACT}


def contract(name='contract'):
    return lab().issued[name]


def trust(now=NOW, ocsp=(), extra_root=None, **policy):
    roots = dict(lab().roots())
    if extra_root is not None:
        roots[RootKind.MO] += (extra_root.certificate,)
    return Trust(
        roots=roots, now=lambda: now,
        revocation=RevocationData(tuple(parse_ocsp(der) for der in ocsp), ()),
        policy=ChainPolicy(**policy))


def expiring_soon():
    return trust(expires_soon=timedelta(days=4000))


def chain_of(ders, chain_id=None):
    leaf, *below = ders or [b'']
    return iso2.CertificateChain(
        id=chain_id, certificate=leaf,
        sub_certificates=iso2.SubCertificates(certificate=below) if below else None)


def payment_details(ders=None, emaid=None):
    leaf = contract()
    return iso2.PaymentDetailsReq(
        emaid=emaid or leaf.certificate.common_name,
        contract_signature_cert_chain=chain_of(
            [c.der for c in leaf.chain] if ders is None else ders))


def signed_info(elements):
    """Return what signs (id, name, element) triples, in good order."""
    return signing.signed_info(
        [SignedElement(element_id, exi.encode_fragment('iso2', name, element))
         for element_id, name, element in elements], ECDSA_SHA256)


def seal(info, key, schema='xmldsig'):
    """Sign SignedInfo as it is."""
    return xmldsig.Signature(
        signed_info=info,
        signature_value=xmldsig.SignatureValue(
            value=sign(key, exi.encode_fragment(schema, 'SignedInfo', info), ECDSA_SHA256)))


def signature(name, element, key=None):
    return seal(
        signed_info([(element.id, name, element)]), key or contract().key)


def pnc_bench(**settings):
    settings = {
        'contract_payment': ContractPayment.LOCAL, 'security': Security.TLS_1_2,
        'trust': trust(), 'automatic': False, **settings}
    return Iso2Bench(**settings)


def bring_to_payment_details(bench=None, **settings):
    bench = bring_to('SERVICES', bench or pnc_bench(**settings))
    bench.ask(selection(CONTRACT))
    return bench


def bring_to_authorization(bench=None, **settings):
    """Return the bench and the challenge."""
    bench = bring_to_payment_details(bench, **settings)
    return bench, bench.ask(payment_details()).gen_challenge


def prove(bench, challenge):
    request = authorization(challenge)
    return bench.ask(request, signature=signature('AuthorizationReq', request))


def bring_to_charging(**settings):
    bench, challenge = bring_to_authorization(**settings)
    prove(bench, challenge)
    go_on(bench, 'PARAMETERS', 'CHARGING')
    return bench


def delivery(kind=iso2.CertificateInstallationRes, code=iso2.ResponseCode.OK):
    """Return what a back office sends: signed, though nobody here could read the key."""
    body = kind(
        response_code=code,
        sa_provisioning_certificate_chain=chain_of([c.der for c in contract('cps').chain]),
        contract_signature_cert_chain=chain_of([c.der for c in contract().chain], 'id1'),
        contract_signature_encrypted_private_key=iso2.ContractSignatureEncryptedPrivateKey(
            id='id2', value=os.urandom(48)),
        dh_public_key=iso2.DiffieHellmanPublickey(id='id3', value=b'\4' + os.urandom(64)),
        emaid=iso2.EMAID(id='id4', value=contract().certificate.common_name))
    parts = [
        ('id1', 'ContractSignatureCertChain', body.contract_signature_cert_chain),
        ('id2', 'ContractSignatureEncryptedPrivateKey',
         body.contract_signature_encrypted_private_key),
        ('id3', 'DHpublickey', body.dh_public_key),
        ('id4', 'eMAID', body.emaid)]
    return iso2.V2GMessage(
        header=iso2.MessageHeader(
            session_id=bytes(8), signature=seal(signed_info(parts), contract('cps').key)),
        body=body)
