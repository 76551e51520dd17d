"""Command line: look into EXI messages and captures, make messages from JSON, sign tariffs.

``decode`` and ``trace`` take hexadecimal text, files (binary, hexadecimal, pcap or pcapng) or
``-`` for standard input; ``encode`` takes JSON in the same ways.  ``sign-tariff`` signs a tariff
file of the node ``hlc``.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from . import SCHEMAS
from .codec import (
    TraceEvent,
    decode_fragment,
    decode_with_report,
    encode,
    encode_fragment,
    trace,
)
from .declare import Element
from .errors import ExiError
from .jsonable import element_to_json, fragment_from_json, from_json, to_json
from .schemas import schema_for

AUTO = 'auto'
_CAPTURES = (b'\xd4\xc3\xb2\xa1', b'\xa1\xb2\xc3\xd4', b'\x4d\x3c\xb2\xa1', b'\xa1\xb2\x3c\x4d',
             b'\x0a\x0d\x0d\x0a')
_V2GTP = b'\x01\xfe'


class UsageError(Exception):
    """What the user asked for cannot be done."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return 0, or 1 if something could not be decoded or encoded."""
    options = _parser().parse_args(arguments)
    try:
        failed: bool = options.run(options)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader of our output (head, less) has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (UsageError, ExiError, OSError, ValueError) as error:
        print(f'exi: {error}', file=sys.stderr)
        return 1
    return int(failed)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog='exi', description=__doc__)
    commands = parser.add_subparsers(required=True, metavar='COMMAND')

    def command(name: str, run: Any, text: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=text, description=text)
        made.set_defaults(run=run)
        made.add_argument('input', nargs='+', help="data, a file's name, or - for standard input")
        made.add_argument(
            '--schema', choices=[AUTO, *SCHEMAS], default=AUTO,
            help='auto (default) follows captures and V2GTP headers')
        return made

    for name, run, text in (
        ('decode', _decode, 'print messages as JSON'),
        ('trace', _trace, 'print what every bit of a message means'),
    ):
        made = command(name, run, text)
        made.add_argument('--fragment', action='store_true', help='the data is an EXI fragment')
        made.add_argument('--string-table', action='store_true',
                          help='read references to earlier strings (no charging protocol has any)')
        if name == 'decode':
            made.add_argument('--no-validate', action='store_true',
                              help='show values that the schema forbids')
            made.add_argument('--trace', action='store_true', help='as the command trace')
    made = command('encode', _encode, 'print JSON messages as hexadecimal EXI')
    made.add_argument('--fragment', action='store_true', help='make an EXI fragment')
    made.add_argument('--no-validate', action='store_true',
                      help='write values that the schema forbids')
    made.add_argument('-o', '--output', type=Path, help='write binary EXI to this file instead')

    text = "sign a tariff file with a mobility operator's key, for vehicles by ISO 15118-2"
    made = commands.add_parser('sign-tariff', help=text, description=text)
    made.set_defaults(run=_sign_tariff)
    made.add_argument('file', type=Path, help='tariff file (YAML) that nobody has signed')
    made.add_argument('--schedules', type=Path,
                      help='schedule file of the same station, if it has one')
    made.add_argument('--key', type=Path, required=True,
                      help='private key (PEM) of the sub-CA that issues the contracts')
    made.add_argument('--certificate', type=Path, required=True, help='its certificate (PEM)')
    made.add_argument('--duration', type=int, default=86400,
                      help='how long the tariffs hold in s (default: a day)')
    made.add_argument('-o', '--output', type=Path, help='write the signed file here')
    return parser


def _decode(options: argparse.Namespace) -> bool:
    if options.trace:
        return _trace(options)
    failed = False
    for data in _octets(options.input):
        if data[:4] in _CAPTURES:
            failed |= _print_capture(data)
            continue
        schema, data = _unwrap(options.schema, data)
        if options.fragment:
            fragment = decode_fragment(
                schema, data, validate=not options.no_validate,
                string_table=options.string_table)
            _print({fragment.element: _content(fragment.value)})
            continue
        message, report = decode_with_report(
            schema, data, validate=not options.no_validate, string_table=options.string_table)
        _print(to_json(message))
        if report.trailing_zeros:
            print(f'exi: {report.trailing_zeros} zero octets behind the message', file=sys.stderr)
    return failed


def _trace(options: argparse.Namespace) -> bool:
    failed = False
    for data in _octets(options.input):
        schema, data = _unwrap(options.schema, data)
        events, error = trace(
            schema, data, fragment=options.fragment, string_table=options.string_table)
        for event in events:
            print(_trace_line(event, data))
        if error is not None:
            print(f'exi: {error}', file=sys.stderr)
            failed = True
    return failed


def _encode(options: argparse.Namespace) -> bool:
    if options.schema == AUTO:
        raise UsageError('encode needs --schema')
    results = []
    for text in _texts(options.input):
        value = json.loads(text)
        if options.fragment:
            results.append(_encode_fragment(options.schema, value, not options.no_validate))
        else:
            results.append(encode(from_json(options.schema, value),
                                  validate=not options.no_validate))
    if options.output is not None:
        options.output.write_bytes(b''.join(results))
    else:
        for data in results:
            print(data.hex())
    return False


def _sign_tariff(options: argparse.Namespace) -> bool:
    from ccs2_pki.certificate import parse_certificates
    from ccs2_pki.errors import PkiError
    from ccs2_pki.keys import parse_private_key

    from ..session.tariff_document import sign_document

    try:
        certificate, *more = parse_certificates(options.certificate.read_bytes())
        if more:
            raise UsageError(f'{options.certificate}: more than one certificate')
        signed = sign_document(
            options.file.read_text(encoding='utf-8'),
            None if options.schedules is None else options.schedules.read_text(encoding='utf-8'),
            options.duration, parse_private_key(options.key.read_bytes()), certificate)
    except PkiError as error:
        raise UsageError(str(error)) from None
    if options.output is None:
        print(signed, end='')
    else:
        options.output.write_text(signed, encoding='utf-8')
    return False


def _encode_fragment(schema: str, value: Any, validate: bool) -> bytes:
    name, content = fragment_from_json(schema, value)
    return encode_fragment(schema, name, content, validate=validate)


def _print_capture(data: bytes) -> bool:
    """Print one line of JSON per message; return whether one could not be decoded."""
    from .capture import read_capture

    failed = False
    for message in read_capture(io.BytesIO(data)):
        print(json.dumps(message.to_json(), ensure_ascii=False))
        failed |= message.error is not None
    return failed


def _unwrap(schema: str, data: bytes) -> tuple[str, bytes]:
    """Take off a V2GTP header; return the schema, which the header may tell, and the EXI data."""
    if data[:2] == _V2GTP and len(data) >= 8:
        kind, length = int.from_bytes(data[2:4]), int.from_bytes(data[4:8])
        if length != len(data) - 8:
            raise UsageError(f'the V2GTP header says {length} octets, there are {len(data) - 8}')
        data = data[8:]
        if schema == AUTO:
            if kind == 0x8001:
                raise UsageError(
                    'payload type 0x8001 is sap, din or iso2 depending on what came before; '
                    'say which with --schema')
            return schema_for(kind), data
    if schema == AUTO:
        raise UsageError('one message alone does not tell its schema; say which with --schema')
    return schema, data


def _octets(inputs: Sequence[str]) -> Iterator[bytes]:
    for item in inputs:
        data = _file(item)
        if data is None:
            yield _hexadecimal(item, 'the argument')
        elif data[:1] == b'\x80' or data[:4] in _CAPTURES or data[:2] == _V2GTP:
            yield data
        else:
            for line in data.decode('ascii', 'replace').splitlines():
                if line.strip():
                    yield _hexadecimal(line, item)


def _hexadecimal(text: str, where: str) -> bytes:
    try:
        return bytes.fromhex(text.strip().removeprefix('0x').replace(':', ''))
    except ValueError:
        raise UsageError(f'{where} is neither a file nor hexadecimal') from None


def _texts(inputs: Sequence[str]) -> Iterator[str]:
    for item in inputs:
        data = _file(item)
        yield item if data is None else data.decode()


def _file(name: str) -> bytes | None:
    """Return the content of a file or of standard input, None if ``name`` is not one."""
    if name == '-':
        return sys.stdin.buffer.read()
    # Text longer than a file name may be is data.
    if len(name) > 255 and os.sep not in name:
        return None
    path = Path(name)
    return path.read_bytes() if path.is_file() else None


def _content(value: Any) -> Any:
    if isinstance(value, Element):
        return element_to_json(value)
    return value.hex().upper() if isinstance(value, bytes) else getattr(value, 'value', value)


def _print(value: Any) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False))


def _trace_line(event: TraceEvent, data: bytes) -> str:
    if event.bits > 40:
        bits = _bits(data, event.bit, 37) + '...'
    else:
        bits = _bits(data, event.bit, event.bits) or '-'
    value = event.value.hex() if isinstance(event.value, bytes) else event.value
    shown = f'{event.what} = {value}' if event.what == 'value' else f'{event.what}, {value}'
    return f'{event.bit:6} {event.bits:4}  {bits:40}  {"  " * event.depth}{shown}'


def _bits(data: bytes, first: int, count: int) -> str:
    start, end = first >> 3, first + count + 7 >> 3
    text = ''.join(f'{octet:08b}' for octet in data[start:end])
    return text[first & 7:][:count]
