"""XML Signature as DIN 70121 and ISO 15118 use it, and the names of the rest of its schema.

All names of the schema take part in code lists, so all are declared.  What the charging protocols
never send (OpenPGP, SPKI and DSA keys, objects, properties) is declared for its names only.
"""

from typing import Annotated

from ..declare import (
    AnyURI,
    Content,
    Element,
    ElementID,
    Group,
    Integer,
    Namespace,
    Octets,
    String,
    any_number,
    any_of,
    attribute,
    content,
    declared,
    element,
    elements,
    one_of,
    optional,
    required_attribute,
)

XMLDSIG = Namespace('http://www.w3.org/2000/09/xmldsig#')

Base64 = Annotated[bytes, Octets()]
CryptoBinary = Annotated[bytes, Octets()]
DigestValue = Annotated[bytes, Octets()]
HMACOutputLength = Annotated[int, Integer()]
SerialNumber = Annotated[int, Integer()]

XMLDSIG.simple_elements.update(DigestValue=DigestValue, KeyName=String, MgmtData=String)

_TRANSFORMATION = Group('transformation', 0, None, open=True)
_KEY = Group('key', 1, None, open=True)
_X509 = Group('x509', 1, None, open=True)


@declared(XMLDSIG, element='CanonicalizationMethod', content=Content.MIXED)
class CanonicalizationMethod(Element):
    """How the signed information is serialised."""

    algorithm: AnyURI = required_attribute('Algorithm', 'URI of the algorithm')


@declared(XMLDSIG, element='SignatureMethod', content=Content.MIXED)
class SignatureMethod(Element):
    """Signature algorithm."""

    algorithm: AnyURI = required_attribute('Algorithm', 'URI of the algorithm')
    hmac_output_length: HMACOutputLength | None = optional(
        'HMACOutputLength', 'length of a truncated HMAC, bit')


@declared(XMLDSIG, element='Transform', content=Content.MIXED_CLOSED)
class Transform(Element):
    """One transformation before the digest."""

    algorithm: AnyURI = required_attribute('Algorithm', 'URI of the algorithm')
    xpath: list[String] = any_of(_TRANSFORMATION, 'XPath', 'XPath filters')


@declared(XMLDSIG, element='Transforms')
class Transforms(Element):
    """Transformations before the digest."""

    transform: list[Transform] = elements(Transform, 'transformations in order')


@declared(XMLDSIG, element='DigestMethod', content=Content.MIXED)
class DigestMethod(Element):
    """Digest algorithm."""

    algorithm: AnyURI = required_attribute('Algorithm', 'URI of the algorithm')


@declared(XMLDSIG, element='Reference')
class Reference(Element):
    """Digest of one element of the message."""

    id: ElementID | None = attribute('Id', 'identifier of the reference itself')
    type: AnyURI | None = attribute('Type', 'URI of the kind of object')
    uri: AnyURI | None = attribute('URI', "'#' and the Id of the element that is signed")
    transforms: Transforms | None = optional(Transforms, 'what is done before the digest')
    digest_method: DigestMethod = element(DigestMethod, 'digest algorithm')
    digest_value: DigestValue = element('DigestValue', 'digest of the referenced element')


@declared(XMLDSIG, element='SignedInfo')
class SignedInfo(Element):
    """What the signature signs: references with digests."""

    id: ElementID | None = attribute('Id', 'identifier of the element')
    canonicalization_method: CanonicalizationMethod = element(
        CanonicalizationMethod, 'how the signed information is serialised: EXI')
    signature_method: SignatureMethod = element(SignatureMethod, 'signature algorithm')
    reference: list[Reference] = elements(Reference, 'digests of what is signed')


@declared(XMLDSIG, element='SignatureValue')
class SignatureValue(Element):
    """The signature itself."""

    id: ElementID | None = attribute('Id', 'identifier of the element')
    value: Base64 = content('for ECDSA the two integers r and s, each of full length')


@declared(XMLDSIG)
class X509IssuerSerial(Element):
    """Certificate by issuer and serial number."""

    x509_issuer_name: String = element('X509IssuerName', 'distinguished name of the issuer')
    x509_serial_number: SerialNumber = element('X509SerialNumber', 'serial number, any size')


@declared(XMLDSIG, element='X509Data')
class X509Data(Element):
    """Certificates and their identifiers."""

    x509_issuer_serial: list[X509IssuerSerial] = any_of(
        _X509, 'X509IssuerSerial', 'issuer and serial number')
    x509_ski: list[Base64] = any_of(_X509, 'X509SKI', 'subject key identifier')
    x509_subject_name: list[String] = any_of(
        _X509, 'X509SubjectName', 'distinguished name of the subject')
    x509_certificate: list[Base64] = any_of(_X509, 'X509Certificate', 'certificate, DER')
    x509_crl: list[Base64] = any_of(_X509, 'X509CRL', 'revocation list, DER')


@declared(XMLDSIG, element='RSAKeyValue')
class RSAKeyValue(Element):
    """RSA public key."""

    modulus: CryptoBinary = element('Modulus', 'modulus, big-endian')
    exponent: CryptoBinary = element('Exponent', 'public exponent, big-endian')


@declared(XMLDSIG, element='DSAKeyValue', content=Content.OPAQUE)
class DSAKeyValue(Element):
    """DSA public key; only its names are declared."""

    p: CryptoBinary | None = optional('P', 'prime modulus')
    q: CryptoBinary | None = optional('Q', 'prime divisor')
    g: CryptoBinary | None = optional('G', 'generator')
    y: CryptoBinary = element('Y', 'public key')
    j: CryptoBinary | None = optional('J', 'cofactor')
    seed: CryptoBinary | None = optional('Seed', 'seed of the primes')
    pgen_counter: CryptoBinary | None = optional('PgenCounter', 'counter of the primes')


@declared(XMLDSIG, element='KeyValue', content=Content.MIXED_CLOSED)
class KeyValue(Element):
    """Public key."""

    dsa_key_value: DSAKeyValue | None = one_of('key', DSAKeyValue, 'DSA public key', open=True)
    rsa_key_value: RSAKeyValue | None = one_of('key', RSAKeyValue, 'RSA public key', open=True)


@declared(XMLDSIG, element='RetrievalMethod')
class RetrievalMethod(Element):
    """Where the key is found."""

    type: AnyURI | None = attribute('Type', 'URI of the kind of object')
    uri: AnyURI | None = attribute('URI', 'where the key is')
    transforms: Transforms | None = optional(Transforms, 'what is done to get the key')


@declared(XMLDSIG, element='PGPData', content=Content.OPAQUE)
class PGPData(Element):
    """OpenPGP key; only its names are declared."""

    pgp_key_id: Base64 | None = optional('PGPKeyID', 'key identifier')
    pgp_key_packet: Base64 | None = optional('PGPKeyPacket', 'key packet')


@declared(XMLDSIG, element='SPKIData', content=Content.OPAQUE)
class SPKIData(Element):
    """SPKI key; only its names are declared."""

    spki_sexp: list[Base64] = elements('SPKISexp', 'canonical S-expressions')


@declared(XMLDSIG, element='KeyInfo', content=Content.MIXED_CLOSED)
class KeyInfo(Element):
    """The key that verifies the signature; not used by DIN 70121 and ISO 15118."""

    id: ElementID | None = attribute('Id', 'identifier of the element')
    key_name: list[String] = any_of(_KEY, 'KeyName', 'names of keys')
    key_value: list[KeyValue] = any_of(_KEY, KeyValue, 'public keys')
    retrieval_method: list[RetrievalMethod] = any_of(
        _KEY, RetrievalMethod, 'where to get the key')
    x509_data: list[X509Data] = any_of(_KEY, X509Data, 'certificates and their identifiers')
    pgp_data: list[PGPData] = any_of(_KEY, PGPData, 'OpenPGP keys')
    spki_data: list[SPKIData] = any_of(_KEY, SPKIData, 'SPKI keys')
    mgmt_data: list[String] = any_of(_KEY, 'MgmtData', 'in-band key management data')


@declared(XMLDSIG, element='Object', content=Content.OPAQUE)
class Object(Element):
    """Enclosed object; only its names are declared."""

    encoding: AnyURI | None = attribute('Encoding', 'URI of the encoding')
    id: ElementID | None = attribute('Id', 'identifier of the element')
    mime_type: String | None = attribute('MimeType', 'media type')


@declared(XMLDSIG, element='Signature')
class Signature(Element):
    """XML signature over parts of a message."""

    id: ElementID | None = attribute('Id', 'identifier of the signature')
    signed_info: SignedInfo = element(SignedInfo, 'what is signed')
    signature_value: SignatureValue = element(SignatureValue, 'the signature')
    key_info: KeyInfo | None = optional(KeyInfo, 'the key; not used by DIN 70121, ISO 15118')
    object: list[Object] = any_number(Object, 'enclosed objects; not used by ISO 15118')


@declared(XMLDSIG, element='Manifest')
class Manifest(Element):
    """List of references."""

    id: ElementID | None = attribute('Id', 'identifier of the element')
    reference: list[Reference] = elements(Reference, 'references')


@declared(XMLDSIG, element='SignatureProperty', content=Content.OPAQUE)
class SignatureProperty(Element):
    """Property of a signature; only its names are declared."""

    id: ElementID | None = attribute('Id', 'identifier of the element')
    target: AnyURI = required_attribute('Target', 'Id of the signature described')


@declared(XMLDSIG, element='SignatureProperties', content=Content.OPAQUE)
class SignatureProperties(Element):
    """Properties of a signature; only its names are declared."""

    id: ElementID | None = attribute('Id', 'identifier of the element')
    signature_property: list[SignatureProperty] = elements(SignatureProperty, 'properties')

NAMESPACES = (XMLDSIG,)
MESSAGES = (Signature, SignedInfo)
