"""The one error of the codec."""

from __future__ import annotations


class ExiError(ValueError):
    """A stream that cannot be decoded, or a message that cannot be encoded.

    ``bit_offset`` is where reading or writing stopped, in bits from the start of the stream
    (header included); ``path`` names the element, outermost first, separated by ``/``;
    ``reason`` says what is wrong.
    """

    def __init__(self, reason: str, bit_offset: int = 0, path: str = '') -> None:
        where = f' in {path}' if path else ''
        super().__init__(f'{reason}{where} (bit {bit_offset})')
        self.reason = reason
        self.bit_offset = bit_offset
        self.path = path

    def __reduce__(self) -> tuple[type[ExiError], tuple[str, int, str]]:
        return type(self), (self.reason, self.bit_offset, self.path)
