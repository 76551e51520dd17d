"""The fuzz target: any octets are a message, a fragment, or an ExiError; never anything else.

The first octet of an input picks the schema and the mode, the rest is the stream.  What decodes
must encode, and decode again to the same value.
"""

import sys

import atheris  # type: ignore[import-untyped,import-not-found,unused-ignore]

from ccs2_hlc.exi import SCHEMAS, ExiError
from ccs2_hlc.exi.schemas import grammar

#: Fragment, validation, string table: all that changes what the engine does.
MODES = tuple((fragment, validate, table)
              for fragment in (False, True) for validate in (True, False)
              for table in (False, True))


def check(data: bytes) -> None:
    """Decode one input in the way that its first octet says."""
    if not data:
        return
    schema = SCHEMAS[data[0] % len(SCHEMAS)]
    fragment, validate, table = MODES[data[0] // len(SCHEMAS) % len(MODES)]
    tables = grammar(schema)
    try:
        code, value, end = tables.decode(data[1:], fragment, validate, table)
    except ExiError as error:
        if not 0 <= error.bit_offset <= 8 * len(data):
            raise AssertionError('the error is outside of the stream') from error
        return
    if end > 8 * (len(data) - 1):
        raise AssertionError('read beyond the end')
    if fragment:
        again = tables.encode_fragment(code, value, validate)
    else:
        again = tables.encode_root(value, validate)
    if tables.decode(again, fragment, validate, False)[1] != value:
        raise AssertionError('changed on the way')


def main() -> None:
    """Fuzz with libFuzzer's options from the command line; fuzz/exi.py gives them."""
    for schema in SCHEMAS:
        grammar(schema)
    atheris.Setup(sys.argv, check, enable_python_coverage=False)
    atheris.Fuzz()


if __name__ == '__main__':
    main()
