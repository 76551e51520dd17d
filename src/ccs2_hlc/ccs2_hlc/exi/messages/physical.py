"""Numbers that travel as a short integer times a power of ten."""

from __future__ import annotations

import math
from decimal import ROUND_HALF_EVEN, Decimal
from typing import TYPE_CHECKING, ClassVar

from ..declare import Element

_SHORT_MIN, _SHORT_MAX = -0x8000, 0x7FFF


class Scaled(Element):
    """Conversions shared by PhysicalValue (DIN, ISO 15118-2) and RationalNumber (-20)."""

    __slots__ = ()
    #: Powers of ten that can be sent.
    EXPONENTS: ClassVar[range]

    if TYPE_CHECKING:
        value: int

    @property
    def exponent_of_ten(self) -> int:
        """Return the power of ten by whatever name the schema gives it."""
        raise NotImplementedError

    def exact(self) -> Decimal:
        """Return the number without rounding."""
        return Decimal(self.value).scaleb(self.exponent_of_ten)

    def to_float(self) -> float:
        """Return the number as the nearest float."""
        return float(self)

    def __float__(self) -> float:
        exponent = self.exponent_of_ten
        return self.value / 10 ** -exponent if exponent < 0 else float(self.value * 10 ** exponent)

    @classmethod
    def split(cls, number: float | Decimal) -> tuple[int, int]:
        """Return (value, exponent) nearest to ``number``, with the finest resolution that fits.

        Zeros at the end are moved into the exponent as long as that is negative, so that 400 is
        400 and not 4000 tenths.  Raise ``ValueError`` for what cannot be sent.
        """
        if not math.isfinite(number):
            raise ValueError(f'{number} cannot be sent as a physical value')
        # repr() of a float is the shortest decimal that means it: 0.1 stays 0.1.
        exact = number if isinstance(number, Decimal) else Decimal(repr(number))
        # More than five digits never fit.
        finest = max(cls.EXPONENTS.start, exact.adjusted() - 4) if exact else 0
        for exponent in range(finest, cls.EXPONENTS.stop):
            value = int(exact.scaleb(-exponent).to_integral_value(ROUND_HALF_EVEN))
            if _SHORT_MIN <= value <= _SHORT_MAX:
                break
        else:
            raise ValueError(f'{number} is too large for a physical value')
        while exponent < 0 and value % 10 == 0:
            value, exponent = value // 10, exponent + 1
        return value, exponent
