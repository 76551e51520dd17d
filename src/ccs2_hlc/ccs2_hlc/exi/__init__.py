"""EXI as DIN SPEC 70121 and ISO 15118 use it: typed messages to bytes and back.

::

    from ccs2_hlc import exi
    from ccs2_hlc.exi.messages import din

    data = exi.encode(din.V2GMessage(
        header=din.MessageHeader(session_id=bytes(8)),
        body=din.SessionSetupReq(evcc_id=bytes.fromhex('0123456789ab'))))
    message = exi.decode('din', data)

Schemas are ``sap`` (SupportedAppProtocol), ``din``, ``iso2``, ``iso20-common``, ``iso20-ac``,
``iso20-dc``, ``iso20-acdp``, ``iso20-wpt`` and ``xmldsig`` (for signatures).  A schema's message
classes are imported and compiled when it is used for the first time.

A stream is decoded completely or refused with :class:`ExiError`; so is a message that the schema
does not allow.  ``validate=False`` lets through what EXI can represent although the schema
forbids it (numbers out of range, lengths, malformed identifiers, abstract elements), for tools
that must show what others send.
"""

from .codec import (
    Fragment,
    Report,
    decode,
    decode_fragment,
    decode_with_report,
    encode,
    encode_fragment,
    trace,
)
from .errors import ExiError
from .jsonable import from_json, to_json
from .schemas import MODULES, schema_for

#: Names of all schemas.
SCHEMAS = tuple(MODULES)

__all__ = [
    'SCHEMAS', 'ExiError', 'Fragment', 'Report', 'decode', 'decode_fragment',
    'decode_with_report', 'encode', 'encode_fragment', 'from_json', 'schema_for', 'to_json',
    'trace',
]
