"""From declarations to grammar tables.

EXI gives every element type a small automaton: in each state an ordered list of productions, and
the position in that list is what is written.  The schemas of the charging protocols need few of
EXI's means: sequences of elements that may be optional or repeated, choices among neighbours,
substitution groups, attributes, and simple content.  A type therefore compiles to a chain of
states, one before each particle (plus one for "again" after a repeated one), without unrolling.

The order in a state is: attributes by name, elements in schema order, foreign elements
(xsd:any), end of element, text of mixed content.  A code of n productions takes the bits of
0..n: one value more, because non-strict EXI keeps it as an escape to undeclared content.
"""

from __future__ import annotations

import enum
import inspect
import types
import typing
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

from .cache import cached
from .declare import (
    Content,
    Declaration,
    Element,
    Field,
    Integer,
    Namespace,
    Octets,
    Text,
    stand_ins,
)
from .declare import declaration as declaration_of

#: Wider ranges of integers are written with as many octets as the number needs.
_NBIT_RANGE = 4096
NONE = -1


class Kind(enum.IntEnum):
    """What a production stands for."""

    END = 0
    ELEMENT = 1
    ATTRIBUTE = 2
    TEXT = 3
    REFUSED = 4


class Form(enum.IntEnum):
    """How a simple value is written."""

    BOOLEAN = 0
    ENUMERATION = 1
    NBIT = 2
    UNSIGNED = 3
    SIGNED = 4
    STRING = 5
    BINARY = 6


@dataclass(frozen=True, slots=True)
class Value:
    """A simple type: form, width in bits where that is fixed, and what is valid."""

    form: Form
    bits: int = 0
    low: int | None = None
    high: int | None = None
    members: tuple[enum.Enum, ...] = ()
    pattern: typing.Any = None


@dataclass(slots=True)
class Production:
    """One entry of a state."""

    kind: Kind
    name: str = ''
    #: Index into the slots of the type.
    slot: int = NONE
    #: Element of a complex type: index into ``Grammar.types``; else an index into ``values``.
    type: int = NONE
    value: int = NONE
    #: The slot holds a list.
    many: bool = False
    #: Other productions of this slot take the value if this one's class does not fit.
    one_of_several: bool = False
    #: The element is the abstract head of a substitution group.
    abstract: bool = False
    #: State after this production; ``again`` from ``needed`` elements in a row on, as long as
    #: they are fewer than ``limit``; ``more`` as long as they are fewer than ``needed``.
    next: int = NONE
    again: int = NONE
    more: int = NONE
    needed: int = 0
    limit: int = 1
    #: Identity of the particle whose repetitions are counted.
    particle: int = NONE
    #: Identity of the qualified name: the partition of EXI's local string table.
    qname: int = NONE


@dataclass(slots=True)
class Type:
    """A complex type: class, slots and first state."""

    cls: type[Element]
    slots: tuple[str, ...]
    #: Per slot: an absent value is an empty list instead of None.
    lists: tuple[bool, ...]
    start: int = NONE
    #: The element is represented by the value of its only slot.
    flat: bool = False
    opaque: bool = False


@dataclass(frozen=True, slots=True)
class Root:
    """An entry of the document's or the fragment's code list."""

    name: str
    uri: str
    type: int = NONE
    value: int = NONE
    #: Declared class or annotation of its content; None for a wrapper that users never see.
    kind: Any = None
    #: A document may consist of it.
    message: bool = False

    @property
    def qualified_name(self) -> str:
        """Return the name with its namespace, ``{namespace}name``."""
        return f'{{{self.uri}}}{self.name}'


@dataclass(slots=True)
class Tables:
    """Everything the engine needs for one schema."""

    values: list[Value] = field(default_factory=list)
    types: list[Type] = field(default_factory=list)
    states: list[list[Production]] = field(default_factory=list)
    document: list[Root] = field(default_factory=list)
    fragment: list[Root] = field(default_factory=list)


def strip_optional(annotation: Any) -> Any:
    """Return ``annotation`` without ``| None``."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        members = [item for item in typing.get_args(annotation) if item is not types.NoneType]
        if len(members) == 1:
            return members[0]
    return annotation


def item_of(annotation: Any) -> Any:
    """Return what a field holds: without ``| None``, and the items of a list."""
    annotation = strip_optional(annotation)
    if typing.get_origin(annotation) is list:
        return typing.get_args(annotation)[0]
    return annotation


@cached
def hints_of(cls: type[Element]) -> dict[str, Any]:
    """Return the annotations of all fields of a declared class, inherited ones included."""
    merged: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        merged.update(inspect.get_annotations(base))
    return merged


def is_complex(annotation: Any) -> bool:
    """Tell a declared class from a simple type."""
    return isinstance(annotation, type) and issubclass(annotation, Element)


def value_of(annotation: Any) -> Value:
    """Return how a simple type is written and what is valid."""
    if annotation is bool:
        return Value(Form.BOOLEAN, bits=1)
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        members = tuple(annotation)
        return Value(Form.ENUMERATION, (len(members) - 1).bit_length(), members=members)
    if typing.get_origin(annotation) is Annotated:
        match annotation.__metadata__[0]:
            case Integer(low, high) if low is not None and high is not None \
                    and high - low < _NBIT_RANGE:
                return Value(Form.NBIT, (high - low).bit_length(), low, high)
            case Integer(low, high):
                signed = low is None or low < 0
                return Value(Form.SIGNED if signed else Form.UNSIGNED, 0, low, high)
            case Text(high, low, pattern):
                return Value(Form.STRING, 0, low, high, pattern=pattern)
            case Octets(high, low):
                return Value(Form.BINARY, 0, low, high)
    raise TypeError(f'{annotation!r} is no simple type')


#: A field: slot, namespace, declaration and annotation.
_Entry = tuple[int, Namespace, Field, Any]


class _Compiler:
    def __init__(
        self, namespaces: Sequence[Namespace], messages: Sequence[type[Element]],
    ) -> None:
        self.namespaces = namespaces
        self.messages = messages
        self.tables = Tables()
        self._values: dict[int, tuple[Any, int]] = {}
        self._types: dict[tuple[type[Element], bool], int] = {}
        self._qnames: dict[tuple[str, str], int] = {}
        self._particles = 0

    def classes(self) -> Iterator[type[Element]]:
        for namespace in self.namespaces:
            yield from namespace.classes

    def compile(self) -> Tables:
        self.tables.document = self.roots(self.global_elements())
        self.tables.fragment = self.roots(self.all_elements())
        return self.tables

    # Simple types

    def value_index(self, annotation: Any) -> int:
        # Aliases are shared objects, so identity finds them; it is much faster than their hash.
        known = self._values.get(id(annotation))
        if known is None:
            self.tables.values.append(value_of(annotation))
            known = self._values[id(annotation)] = annotation, len(self.tables.values) - 1
        return known[1]

    def qname(self, uri: str, name: str) -> int:
        return self._qnames.setdefault((uri, name), len(self._qnames))

    # Complex types

    def type_index(self, cls: type[Element], flat: bool = False) -> int:
        known = self._types.get((cls, flat))
        if known is not None:
            return known
        declared = declaration_of(cls)
        names = tuple(name for name, _, _ in declared.fields)
        lists = tuple(spec.high != 1 for _, _, spec in declared.fields)
        made = Type(cls, names, lists, flat=flat, opaque=declared.content is Content.OPAQUE)
        index = self._types[cls, flat] = len(self.tables.types)
        self.tables.types.append(made)
        if not made.opaque:
            made.start = self.start_state(cls, declared)
        return index

    def state(self, productions: list[Production]) -> int:
        self.tables.states.append(productions)
        return len(self.tables.states) - 1

    def start_state(self, cls: type[Element], declared: Declaration) -> int:
        hints = hints_of(cls)
        attributes: list[_Entry] = []
        particles: list[list[_Entry]] = []
        text: _Entry | None = None
        for slot, (name, namespace, spec) in enumerate(declared.fields):
            entry = slot, namespace, spec, hints[name]
            if spec.kind == 'attribute':
                attributes.append(entry)
            elif spec.kind == 'content':
                text = entry
            elif particles and spec.group and particles[-1][0][2].group == spec.group:
                particles[-1].append(entry)
            else:
                particles.append([entry])
        if text is not None:
            end = self.state([Production(Kind.END)])
            start = [Production(Kind.TEXT, slot=text[0], value=self.value_index(text[3]), next=end)]
        else:
            start = self.element_states(particles, declared.content)
        attributes.sort(key=lambda entry: (str(entry[2].name), entry[1].attribute_uri))
        after = self.state(start)
        for slot, namespace, spec, hint in reversed(attributes):
            taken = Production(
                Kind.ATTRIBUTE, f'@{spec.name}', slot, value=self.value_index(strip_optional(hint)),
                next=after, qname=self.qname(namespace.attribute_uri, f'@{spec.name}'))
            start = [taken] if spec.low else [taken, *start]
            after = self.state(start)
        return after

    def element_states(self, particles: list[list[_Entry]], content: Content) -> list[Production]:
        """Return the productions of the first content state, building those behind it."""
        mixed = content in (Content.MIXED, Content.MIXED_CLOSED)
        text = [Production(Kind.REFUSED, 'text')] if mixed else []
        foreign = Production(Kind.REFUSED, 'foreign element')
        follow = [foreign] if content is Content.MIXED else []
        follow = [*follow, Production(Kind.END), *text]
        for entries in reversed(particles):
            spec = entries[0][2]
            low, high = (spec.group.low, spec.group.high) if spec.group else (spec.low, spec.high)
            once = [production for entry in entries for production in self.productions(*entry)]
            after = self.state(follow)
            for production in once:
                production.next = after
                production.particle = self._particles
                production.limit = NONE if high is None else high
                production.needed = low
            self._particles += 1
            if spec.group and spec.group.open:
                once.append(foreign)
            # Several foreign elements in a row of candidates share one code.
            optional = self.merge(once, follow)
            if high != 1:
                again = self.state(optional)
                more = self.state(once + text) if low > 1 else NONE
                for production in once:
                    if production.kind is Kind.ELEMENT:
                        production.again = again
                        production.more = more
            follow = optional if low == 0 else once + (text if low else [])
        return follow

    @staticmethod
    def merge(once: list[Production], follow: list[Production]) -> list[Production]:
        """Join the productions of a particle and of what follows it, in code order."""
        order = {Kind.ELEMENT: 0, Kind.REFUSED: 1, Kind.END: 2}
        joined = sorted(
            once + follow,
            key=lambda item: 3 if item.name == 'text' and item.kind is Kind.REFUSED
            else order[item.kind])
        seen_foreign = False
        result = []
        for production in joined:
            if production.kind is Kind.REFUSED and production.name == 'foreign element':
                if seen_foreign:
                    continue
                seen_foreign = True
            result.append(production)
        return result

    def productions(
        self, slot: int, namespace: Namespace, spec: Field, hint: Any,
    ) -> list[Production]:
        """Return the productions of one field: several for a substitution group."""
        many = spec.high != 1
        if isinstance(spec.name, str):
            item = item_of(hint)
            name, uri = spec.name, namespace.element_uri
            made = Production(
                Kind.ELEMENT, name, slot, many=many, qname=self.qname(uri, name))
            if spec.flat is not None:
                made.type = self.type_index(spec.flat, flat=True)
            elif is_complex(item):
                made.type = self.type_index(item)
            else:
                made.value = self.value_index(item)
            return [made]
        alternatives = [spec.name, *(
            cls for cls in stand_ins(spec.name)
            if declaration_of(cls).namespace in self.namespaces)]
        result = []
        for cls in alternatives:
            declared = declaration_of(cls)
            name = declared.element or ''
            result.append((name, declared.namespace.uri, Production(
                Kind.ELEMENT, name, slot, type=self.type_index(cls), many=many,
                one_of_several=len(alternatives) > 1, abstract=declared.abstract,
                qname=self.qname(declared.namespace.uri, name))))
        result.sort(key=lambda item: item[:2])
        return [production for _, _, production in result]

    # Code lists of documents and fragments

    def global_elements(self) -> Iterator[tuple[str, str, Any]]:
        for cls in self.classes():
            declared = declaration_of(cls)
            if declared.element is not None:
                yield declared.element, declared.namespace.uri, cls
        for namespace in self.namespaces:
            for name, annotation in namespace.simple_elements.items():
                yield name, namespace.uri, annotation

    def all_elements(self) -> Iterator[tuple[str, str, Any]]:
        yield from self.global_elements()
        for cls in self.classes():
            hints = hints_of(cls)
            for name, namespace, spec in declaration_of(cls).fields:
                if spec.kind == 'element' and isinstance(spec.name, str):
                    kind = (spec.flat, True) if spec.flat is not None else item_of(hints[name])
                    yield spec.name, namespace.element_uri, kind

    def roots(self, found: Iterable[tuple[str, str, Any]]) -> list[Root]:
        kinds: dict[tuple[str, str], list[Any]] = {}
        for name, uri, kind in found:
            known = kinds.setdefault((name, uri), [])
            if not any(kind is other or kind == other for other in known):
                known.append(kind)
        made = []
        for (name, uri), several in sorted(kinds.items()):
            kind = several[0]
            if len(several) > 1:
                relaxed = next(kind for kind in several if is_complex(kind))
                made.append(Root(
                    name, uri, type=self.relaxed_type(relaxed, list(kinds)), kind=relaxed))
            elif isinstance(kind, tuple):
                made.append(Root(name, uri, type=self.type_index(*kind)))
            elif is_complex(kind):
                made.append(Root(name, uri, type=self.type_index(kind), kind=kind,
                                 message=kind in self.messages))
            else:
                made.append(Root(name, uri, value=self.value_index(kind), kind=kind))
        return made

    def relaxed_type(self, cls: type[Element], names: list[tuple[str, str]]) -> int:
        """Return a type with EXI's element fragment grammar (EXI 8.5.3).

        It stands for an element that different types declare under one name: every attribute
        and every element of the schema (``names``) has a code, and text is untyped.  Only what
        ``cls`` has, attributes and simple content, is accepted.
        """
        hints = hints_of(cls)
        declared = declaration_of(cls)
        slots = {spec.name: (slot, hints[name])
                 for slot, (name, _, spec) in enumerate(declared.fields)}
        attributes = sorted({
            (spec.name, namespace.attribute_uri)
            for each in self.classes() for _, namespace, spec in declaration_of(each).fields
            if spec.kind == 'attribute' and isinstance(spec.name, str)})
        own = {(spec.name, namespace.attribute_uri)
               for _, namespace, spec in declared.fields if spec.kind == 'attribute'}
        foreign = [Production(Kind.REFUSED, name) for name, _ in names]
        foreign.append(Production(Kind.REFUSED, 'foreign element'))
        text_slot, text_hint = slots['']
        end = self.state([*foreign, Production(Kind.END), Production(Kind.REFUSED, 'text')])
        text = Production(Kind.TEXT, slot=text_slot, value=self.value_index(text_hint), next=end)
        rest = [Production(Kind.REFUSED, 'foreign attribute'), *foreign,
                Production(Kind.REFUSED, 'end'), text]
        after = self.state([Production(Kind.REFUSED, f'@{name}') for name, _ in attributes] + rest)
        start = []
        for name, uri in attributes:
            if (name, uri) in own:
                slot, hint = slots[name]
                start.append(Production(
                    Kind.ATTRIBUTE, f'@{name}', slot, value=self.value_index(strip_optional(hint)),
                    next=after, qname=self.qname(uri, f'@{name}')))
            else:
                start.append(Production(Kind.REFUSED, f'@{name}'))
        self.tables.types.append(Type(
            cls, tuple(name for name, _, _ in declared.fields), (False,) * len(declared.fields),
            start=self.state(start + rest)))
        return len(self.tables.types) - 1


def compile_tables(
    namespaces: Sequence[Namespace], messages: Sequence[type[Element]],
) -> Tables:
    """Compile all declarations of ``namespaces`` into the tables of one schema.

    ``messages`` are the classes that a document may consist of.
    """
    return _Compiler(namespaces, messages).compile()
