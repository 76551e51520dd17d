"""Names of contracts: eMAID and its check digit.

Sources: ISO 15118-2 annex H, the eMI3 description of the check digit.
"""

import re
import string

from ccs2_pki.errors import malformed

_EMAID = re.compile(r'[A-Z]{2}[0-9A-Z]{3}[0-9A-Z]{9}[0-9A-Z]?')
_ALPHABET = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ'
_CAPITALS = str.maketrans(string.ascii_lowercase, string.ascii_uppercase)
_P1 = ((0, 1), (1, 1))
_P2 = ((0, 1), (1, 2))
_N = ((0, 2), (2, 1))


def normalize(identifier: str) -> str:
    """Return an identifier in capital letters without separators.

    Only the letters A to Z have two cases: Unicode's rules make other characters equal to them.
    """
    return identifier.replace('-', '').translate(_CAPITALS)


def same_emaid(first: str, second: str) -> bool:
    """Tell whether two eMAIDs name the same contract: case and "-" do not count."""
    return normalize(first) == normalize(second)


def is_emaid(text: str) -> bool:
    """Tell whether the text has the form of an ISO 15118-2 eMAID, with or without check digit."""
    return _EMAID.fullmatch(normalize(text)) is not None


def emaid_check_digit(emaid: str) -> str:
    """Return the check digit of an eMAID's first 14 characters.

    Raises PkiError (MALFORMED) if the text is no eMAID.
    """
    if not is_emaid(emaid):
        raise malformed('not an eMAID: two letters, three and nine letters or digits')
    sum1, sum2 = (0, 0), (0, 0)
    power1, power2 = _P1, _P2
    for character in normalize(emaid)[:14]:
        high, low = divmod(_ALPHABET.index(character), 9)
        sum1 = _add(sum1, _times(divmod(high, 2), power1, 2), 2)
        sum2 = _add(sum2, _times(divmod(low, 3), power2, 3), 3)
        power1 = (_times(power1[0], _P1, 2), _times(power1[1], _P1, 2))
        power2 = (_times(power2[0], _P2, 3), _times(power2[1], _P2, 3))
    rest = _times(sum2, _N, 3)
    return _ALPHABET[9 * (2 * sum1[0] + sum1[1]) + 3 * rest[0] + rest[1]]


_Pair = tuple[int, int]


def _times(vector: _Pair, matrix: tuple[_Pair, _Pair], modulus: int) -> _Pair:
    return ((vector[0] * matrix[0][0] + vector[1] * matrix[1][0]) % modulus,
            (vector[0] * matrix[0][1] + vector[1] * matrix[1][1]) % modulus)


def _add(first: _Pair, second: _Pair, modulus: int) -> _Pair:
    return (first[0] + second[0]) % modulus, (first[1] + second[1]) % modulus
