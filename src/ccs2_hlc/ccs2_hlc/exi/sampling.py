"""Random messages derived from the declarations: all of a schema, valid by construction.

Tests, benchmarks and fuzzers draw from here.  A :class:`Sampler` takes any object with the
methods of :class:`random.Random`, so Hypothesis can drive it too.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from random import Random
from typing import Any

from .cache import cached
from .compiler import Form, Value, hints_of, is_complex, item_of, value_of
from .declare import Content, Element, Field, Namespace, declaration, stand_ins
from .schemas import fragment_name, grammar, messages, namespaces

_ASCII = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.:/#%*+'
#: Two, three and four octets in UTF-8; two and three in EXI.
_BEYOND_ASCII = 'äßΩ€充电🔌'
#: Where encodings change their length or sign.
_EDGES = (0, 1, 2, 127, 128, 255, 256, 16383, 16384, 2 ** 31 - 1, 2 ** 31, 2 ** 32, 2 ** 63 - 1,
          2 ** 63, 2 ** 64 - 1)


class Amount(enum.Enum):
    """How much of what may be absent is present."""

    #: Nothing optional, lists as short as allowed.
    MINIMAL = 'minimal'
    #: Anything.
    RANDOM = 'random'
    #: Everything optional, lists of several items.
    FULL = 'full'


class Sampler:
    """Draws messages, elements and values of one schema."""

    def __init__(self, schema: str, random: Random, amount: Amount = Amount.RANDOM) -> None:
        self.schema = schema
        self.random = random
        self.amount = amount

    def message(self) -> Element:
        """Return a message: a root element of the schema."""
        return self.element(self.random.choice(messages(self.schema)))

    def fragment(self) -> tuple[str, Any]:
        """Return the name and the content of any element of the schema."""
        kinds = _fragment_kinds(self.schema)
        name, kind = kinds[self.random.randrange(len(kinds))]
        return name, self.value(kind) if not is_complex(kind) else self.element(kind)

    def element(self, cls: type[Element]) -> Element:
        """Return an object of ``cls``."""
        hints = hints_of(cls)
        made = cls.__new__(cls)
        chosen: dict[str, str] = {}
        for name, alternatives in _groups(cls):
            # A repeated choice gets its elements under the chosen names only.
            usable = [field for field in alternatives if not _opaque(item_of(hints[field]))]
            low = declaration(cls).fields
            spec = next(spec for field, _, spec in low if field == alternatives[0])
            if spec.group and (spec.group.low or self.present()):
                chosen[name] = self.random.choice(usable)
        for name, _, spec in declaration(cls).fields:
            setattr(made, name, self.field(spec, name, hints[name], chosen))
        return made

    def field(self, spec: Field, name: str, hint: Any, chosen: dict[str, str]) -> Any:
        """Return a value for one field; ``chosen`` says which alternative of each group is."""
        item = item_of(hint)
        if spec.flat is not None:
            inner = declaration(spec.flat).fields[0][2]
            return self.substitute(inner.name) if self.present() else None
        if spec.group is not None:
            wanted = chosen.get(spec.group.name) == name
            if spec.high == 1:
                return self.one(spec, item) if wanted else None
            return [self.one(spec, item) for _ in range(self.length(1, None))] if wanted else []
        if spec.high != 1:
            if _opaque(item):
                return []
            return [self.one(spec, item) for _ in range(self.length(spec.low, spec.high))]
        if not spec.low and (_opaque(item) or not self.present()):
            return None
        return self.one(spec, item)

    def one(self, spec: Field, item: Any) -> Any:
        """Return one value of a field."""
        if not isinstance(spec.name, str):
            return self.substitute(spec.name)
        return self.element(item) if is_complex(item) else self.value(item)

    def substitute(self, head: str | type[Element]) -> Element:
        """Return an element that may stand where ``head`` is declared."""
        return self.element(self.random.choice(_concrete(self.schema, head)))

    def present(self) -> bool:
        """Decide whether something optional is there."""
        if self.amount is Amount.RANDOM:
            return self.random.random() < 0.5
        return self.amount is Amount.FULL

    def length(self, low: int, high: int | None) -> int:
        """Return how many items a list gets; sometimes as many as allowed."""
        if self.amount is Amount.MINIMAL:
            return low
        if self.amount is Amount.RANDOM and high is not None and high <= 20 \
                and self.random.random() < 0.1:
            return high
        count = self.random.randrange(low, low + 4)
        return count if high is None else min(count, high)

    def value(self, hint: Any) -> Any:
        """Return a value of a simple type."""
        space = _value_of(hint)
        match space.form:
            case Form.BOOLEAN:
                return self.random.random() < 0.5
            case Form.ENUMERATION:
                return self.random.choice(space.members)
            case Form.STRING:
                return self.text(space)
            case Form.BINARY:
                return self.random.randbytes(self.size(space))
        return self.integer(space)

    def integer(self, space: Value) -> int:
        """Return an integer, often one at which its encoding changes."""
        # No bound: a serial number of a certificate has up to 20 octets.
        low = -2 ** 159 if space.low is None else space.low
        high = 2 ** 160 if space.high is None else space.high
        kind = self.random.randrange(4)
        if kind == 0:
            return self.random.choice((low, high))
        if kind == 1:
            edge = self.random.choice(_EDGES) * self.random.choice((1, -1))
            return min(max(edge, low), high)
        if kind == 2:
            bits = self.random.randrange(high.bit_length() + 1)
            return min(max(self.random.randrange(2 ** bits), low), high)
        return self.random.randrange(low, high + 1)

    def size(self, space: Value) -> int:
        """Return the length of a string or of binary data."""
        low = space.low or 0
        high = low + 40 if space.high is None else space.high
        if self.amount is not Amount.MINIMAL and self.random.random() < 0.1:
            return high
        return self.random.randrange(low, min(high, low + 40) + 1)

    def text(self, space: Value) -> str:
        """Return a string; now and then with characters beyond ASCII."""
        if space.pattern is not None:
            return f'id{self.random.randrange(1000)}'
        letters: Sequence[str] = _ASCII
        if self.random.random() < 0.1:
            letters = _ASCII + _BEYOND_ASCII * 4
        return ''.join(self.random.choices(letters, k=self.size(space)))


@cached
def _value_of(hint: Any) -> Value:
    return value_of(hint)


@cached
def _groups(cls: type[Element]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    groups: dict[str, list[str]] = {}
    for name, _, spec in declaration(cls).fields:
        if spec.group is not None:
            groups.setdefault(spec.group.name, []).append(name)
    return tuple((group, tuple(names)) for group, names in groups.items())


def _opaque(kind: Any) -> bool:
    return is_complex(kind) and declaration(kind).content is Content.OPAQUE


@cached
def _concrete(schema: str, head: str | type[Element]) -> tuple[type[Element], ...]:
    """Return the classes that may stand in for ``head`` within one schema, if it has any."""
    if isinstance(head, str):
        raise TypeError(f'{head!r} is no substitution group')
    known: tuple[Namespace, ...] = namespaces(schema)
    found = tuple(cls for cls in (head, *stand_ins(head))
                  if declaration(cls).namespace in known and not declaration(cls).abstract)
    # An empty head of DIN is not abstract by its schema, but says nothing.
    return tuple(cls for cls in found if cls is not head or not stand_ins(head)) or found


@cached
def _fragment_kinds(schema: str) -> tuple[tuple[str, Any], ...]:
    """Return name and kind of every element that a fragment can hold."""
    return tuple(
        (fragment_name(schema, code), root.kind)
        for code, root in enumerate(grammar(schema).fragment)
        if root.kind is not None and not _opaque(root.kind)
        and not (is_complex(root.kind) and declaration(root.kind).abstract))
