"""Which message sets there are, and how a stream's schema is known: never by trying."""

from __future__ import annotations

import importlib
from types import ModuleType

from .cache import cached
from .declare import Element, Namespace
from .engine import Grammar

#: Schema name to the module that declares it.
MODULES = {
    'sap': 'sap',
    'din': 'din',
    'iso2': 'iso2',
    'iso20-common': 'iso20.common',
    'iso20-ac': 'iso20.ac',
    'iso20-dc': 'iso20.dc',
    'iso20-acdp': 'iso20.acdp',
    'iso20-wpt': 'iso20.wpt',
    'xmldsig': 'xmldsig',
}
_PACKAGE = f'{__package__}.messages.'
_BY_MODULE = {f'{_PACKAGE}{module}': schema for schema, module in MODULES.items()}

#: V2GTP payload types that name their schema (ISO 15118-20, table 3).
_BY_PAYLOAD_TYPE = {
    0x8002: 'iso20-common',
    0x8003: 'iso20-ac',
    0x8004: 'iso20-dc',
    0x8005: 'iso20-acdp',
    0x8006: 'iso20-wpt',
    # Side streams: schedule renegotiation, metering confirmation, parking status.
    0x8101: 'iso20-common',
    0x8102: 'iso20-common',
    0x8104: 'iso20-common',
}
#: Payload type of SupportedAppProtocol, DIN 70121 and ISO 15118-2.
_PAYLOAD_TYPE_EXI = 0x8001
_BY_PROTOCOL = {
    'urn:din:70121:2012:MsgDef': 'din',
    'urn:iso:15118:2:2013:MsgDef': 'iso2',
}


@cached
def grammar(schema: str) -> Grammar:
    """Return the compiled grammar of ``schema``, importing and compiling it on first use."""
    from .compiler import compile_tables

    return Grammar(schema, compile_tables(namespaces(schema), messages(schema)))


@cached
def namespaces(schema: str) -> tuple[Namespace, ...]:
    """Return the namespaces that make up ``schema``."""
    found: tuple[Namespace, ...] = _module(schema).NAMESPACES
    return found


@cached
def messages(schema: str) -> tuple[type[Element], ...]:
    """Return the classes of the messages of ``schema``: what a document may consist of."""
    found: tuple[type[Element], ...] = _module(schema).MESSAGES
    return found


def _module(schema: str) -> ModuleType:
    try:
        return importlib.import_module(_PACKAGE + MODULES[schema])
    except KeyError:
        known = ', '.join(MODULES)
        raise ValueError(f'unknown schema {schema!r}; there are: {known}') from None


@cached
def fragment_code(schema: str, element: str) -> int:
    """Return the code of an element in the schema's fragments.

    ``element`` is its name, or ``{namespace}name`` where several have the same name.
    """
    known = grammar(schema).fragment
    found = [code for code, root in enumerate(known) if element in (root.name, root.qualified_name)]
    if not found:
        raise ValueError(f'{schema} declares no element {element!r}')
    if len(found) > 1:
        names = ' or '.join(known[code].qualified_name for code in found)
        raise ValueError(f'{element!r} is ambiguous: {names}')
    return found[0]


@cached
def fragment_name(schema: str, code: int) -> str:
    """Return the shortest name that :func:`fragment_code` takes for ``code``."""
    known = grammar(schema).fragment
    root = known[code]
    unique = sum(other.name == root.name for other in known) == 1
    return root.name if unique else root.qualified_name


@cached
def schema_of_class(cls: type) -> str:
    """Return the schema whose module declares the message class ``cls``."""
    try:
        return _BY_MODULE[cls.__module__]
    except KeyError:
        raise TypeError(f'{cls.__qualname__} is not a message of a schema') from None


def schema_for(payload_type: int, protocol: str | None = None) -> str:
    """Return the schema of a V2GTP payload.

    ``payload_type`` is the type in the V2GTP header; ``protocol`` is the namespace that
    SupportedAppProtocol has settled on, ``None`` before that.  Raise ``ValueError`` for a payload
    type that carries no EXI or that does not belong to ``protocol``.
    """
    if payload_type == _PAYLOAD_TYPE_EXI:
        if protocol is None:
            return 'sap'
        if protocol in _BY_PROTOCOL:
            return _BY_PROTOCOL[protocol]
    elif payload_type in _BY_PAYLOAD_TYPE and protocol not in _BY_PROTOCOL:
        return _BY_PAYLOAD_TYPE[payload_type]
    raise ValueError(
        f'no schema for V2GTP payload type 0x{payload_type:04x} with protocol {protocol!r}')
