"""Documents and fragments to bytes and back."""

from __future__ import annotations

from typing import Any, NamedTuple

from .declare import Element
from .errors import ExiError
from .schemas import fragment_code, fragment_name, grammar, schema_of_class

__all__ = [
    'ExiError', 'Fragment', 'Report', 'TraceEvent', 'decode', 'decode_fragment',
    'decode_with_report', 'encode', 'encode_fragment', 'trace',
]


class Fragment(NamedTuple):
    """An element outside a document: its name and its content."""

    element: str
    value: Any


class Report(NamedTuple):
    """What follows the message in its bytes.  Neither is part of the message."""

    #: Octets the message takes.
    length: int
    #: Bits up to the next octet; zero by the standard, whatever the sender left there in fact.
    padding: int
    #: Zero octets behind the message; some cars send one.
    trailing_zeros: int


class TraceEvent(NamedTuple):
    """One event of a stream and the bits it takes."""

    bit: int
    bits: int
    depth: int
    #: ``SE(name)``, ``AT(name)``, ``CH``, ``value``, ``EE``, ``ED``, ``EXI header``, ``padding``.
    what: str
    value: Any


def encode(message: Element, *, validate: bool = True) -> bytes:
    """Return the EXI document of ``message``, a root element of the schema that declares it.

    Raise :class:`ExiError` if the message lacks a required value or has one that does not belong
    there, ``TypeError`` if it is no root element at all.
    """
    return grammar(schema_of_class(type(message))).encode_root(message, validate)


def decode(
    schema: str, data: bytes, *, validate: bool = True, string_table: bool = False,
) -> Any:
    """Return the message in the EXI document ``data``.

    ``string_table`` reads references to earlier strings, which no charging protocol writes but
    some EXI encoders do by default.  Padding bits are ignored and zero octets behind the message
    are tolerated.  Raise :class:`ExiError` for anything else that the schema does not allow.
    """
    _, message, end = grammar(schema).decode(data, False, validate, string_table)
    if (end + 7) >> 3 != len(data):
        _report(data, end)
    return message


def decode_with_report(
    schema: str, data: bytes, *, validate: bool = True, string_table: bool = False,
) -> tuple[Any, Report]:
    """Decode as :func:`decode`, and say what follows the message."""
    _, message, end = grammar(schema).decode(data, False, validate, string_table)
    return message, _report(data, end)


def encode_fragment(
    schema: str, element: str, value: Any, *, validate: bool = True,
) -> bytes:
    """Return the EXI fragment of one element, as signatures digest and sign it.

    ``element`` is the name of an element that ``schema`` declares anywhere, ``{namespace}name``
    where the name alone does not tell which; ``value`` is its object, or the plain value of an
    element of simple type.
    """
    return grammar(schema).encode_fragment(fragment_code(schema, element), value, validate)


def decode_fragment(
    schema: str, data: bytes, *, validate: bool = True, string_table: bool = False,
) -> Fragment:
    """Return the element in the EXI fragment ``data``; it must hold exactly one."""
    known = grammar(schema)
    code, value, end = known.decode(data, True, validate, string_table)
    _report(data, end)
    return Fragment(fragment_name(schema, code), value)


def trace(
    schema: str, data: bytes, *, fragment: bool = False, string_table: bool = False,
) -> tuple[list[TraceEvent], ExiError | None]:
    """Return what every bit of ``data`` means, and the error that ended it, if one did.

    Nothing is validated beyond what is needed to go on.
    """
    events: list[tuple[int, int, int, str, Any]] = []
    try:
        _, _, end = grammar(schema).decode(data, fragment, False, string_table, events)
        report = _report(data, end)
        if report.padding:
            bits = data[end >> 3] & (1 << report.padding) - 1
            events.append((end, report.padding, 0, 'padding', bits))
        if report.trailing_zeros:
            events.append((8 * report.length, 8 * report.trailing_zeros, 0, 'trailing zeros', 0))
    except ExiError as error:
        return [TraceEvent(*event) for event in events], error
    return [TraceEvent(*event) for event in events], None


def _report(data: bytes, end: int) -> Report:
    length = (end + 7) >> 3
    rest = data[length:]
    if rest.count(0) != len(rest):
        raise ExiError(f'{len(rest)} octets behind the message, not all zero', 8 * length)
    return Report(length, 8 * length - end, len(rest))
