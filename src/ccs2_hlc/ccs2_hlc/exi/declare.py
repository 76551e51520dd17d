"""The vocabulary in which message sets are declared.

A message set is a Python module of slotted dataclasses.  One declaration serves everybody: users
get typed objects, and the grammar compiler gets names, order, occurrence and value spaces::

    TYPES = Namespace('urn:din:70121:2012:MsgDataTypes')
    Percent = Annotated[int, Integer(0, 100)]

    @declared(TYPES, element='DC_EVStatus', head=EVStatus)
    class DCEVStatus(EVStatus):
        \"\"\"State of the car's charging system.\"\"\"

        ev_ready: bool = element('EVReady', 'the car is ready to charge')
        ev_ress_soc: Percent = element('EVRESSSOC', 'state of charge, %')

* The order of fields is the order of the schema; attributes come first.
* A field's annotation gives its value: ``bool``, an ``Enum``, another declared class, or an
  ``Annotated`` alias of ``int``, ``str`` or ``bytes`` that carries the value space.
* A string as the first argument names a local element.  A class instead of a string refers to
  that class's global element and to every element that may stand in for it (substitution group).
* Absent optional values are ``None``, absent lists are empty.
"""

from __future__ import annotations

import dataclasses
import enum
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, cast, dataclass_transform

__all__ = [
    'AnyURI',
    'Byte',
    'Content',
    'Element',
    'ElementID',
    'Group',
    'Int',
    'Integer',
    'Long',
    'Namespace',
    'Octets',
    'Short',
    'String',
    'Text',
    'UnsignedByte',
    'UnsignedInt',
    'UnsignedLong',
    'UnsignedShort',
    'any_number',
    'any_of',
    'at_most_one_of',
    'attribute',
    'content',
    'declaration',
    'declared',
    'element',
    'elements',
    'flattened',
    'one_of',
    'optional',
    'required_attribute',
]


@dataclass(frozen=True, slots=True)
class Integer:
    """Value space of an integer: ``low`` to ``high`` inclusive, ``None`` for no bound."""

    low: int | None = None
    high: int | None = None


@dataclass(frozen=True, slots=True)
class Text:
    """Value space of a string: length in characters, and a pattern that must match in full."""

    max_length: int | None = None
    min_length: int = 0
    pattern: re.Pattern[str] | None = None


@dataclass(frozen=True, slots=True)
class Octets:
    """Value space of binary data: length in octets."""

    max_length: int | None = None
    min_length: int = 0


# An XML name without colon.  EXI does not care, but an Id that is none would break a signature's
# URI reference.
_NCNAME = re.compile(r'[^\W\d][\w.\-·]*')

Byte = Annotated[int, Integer(-0x80, 0x7F)]
Short = Annotated[int, Integer(-0x8000, 0x7FFF)]
Int = Annotated[int, Integer(-0x8000_0000, 0x7FFF_FFFF)]
Long = Annotated[int, Integer(-0x8000_0000_0000_0000, 0x7FFF_FFFF_FFFF_FFFF)]
UnsignedByte = Annotated[int, Integer(0, 0xFF)]
UnsignedShort = Annotated[int, Integer(0, 0xFFFF)]
UnsignedInt = Annotated[int, Integer(0, 0xFFFF_FFFF)]
UnsignedLong = Annotated[int, Integer(0, 0xFFFF_FFFF_FFFF_FFFF)]
String = Annotated[str, Text()]
AnyURI = Annotated[str, Text()]
ElementID = Annotated[str, Text(pattern=_NCNAME)]


class Namespace:
    """An XML namespace and everything declared in it.

    ``qualified_attributes`` and ``qualified_elements`` repeat the schema's form defaults: they
    decide the place of a name in sorted code lists, nothing else.
    """

    def __init__(
        self, uri: str, *, qualified_attributes: bool = False, qualified_elements: bool = True,
    ) -> None:
        self.uri = uri
        self.attribute_uri = uri if qualified_attributes else ''
        self.element_uri = uri if qualified_elements else ''
        #: Declared classes in order of declaration.
        self.classes: list[type[Element]] = []
        #: Global elements of simple type: name to annotation.
        self.simple_elements: dict[str, Any] = {}

    def __repr__(self) -> str:
        return f'Namespace({self.uri!r})'


class Content(enum.Enum):
    """What a declared class may contain besides its fields."""

    #: Child elements only.
    ELEMENTS = 'elements'
    #: Text between elements, and foreign elements after the declared ones (xsd:any).  Both are
    #: refused, but take a code.
    MIXED = 'mixed'
    #: Text between the declared elements.  It is refused, but takes a code.
    MIXED_CLOSED = 'mixed-closed'
    #: Declared for its names only: messages that contain it are refused.
    OPAQUE = 'opaque'


@dataclass(frozen=True, slots=True)
class Group:
    """Alternatives: neighbouring fields of which ``low`` to ``high`` elements are present."""

    name: str
    low: int
    high: int | None
    #: Foreign elements are a further alternative.  They are refused, but take a code.
    open: bool = False


@dataclass(frozen=True, slots=True)
class Field:
    """How one dataclass field appears on the wire; the value of ``metadata['exi']``."""

    kind: str  # 'element', 'attribute' or 'content'
    name: str | type[Element]
    doc: str
    low: int = 1
    high: int | None = 1
    group: Group | None = None
    #: The element's type is this class of one field, and the field's value stands for it.
    flat: type[Element] | None = None


def _field(spec: Field, **default: Any) -> Any:
    return dataclasses.field(metadata={'exi': spec}, **default)


def element(name: str | type[Element], doc: str) -> Any:
    """Declare an element that is always present."""
    return _field(Field('element', name, doc))


def optional(name: str | type[Element], doc: str) -> Any:
    """Declare an element that may be absent: ``None``."""
    return _field(Field('element', name, doc, low=0), default=None)


def elements(
    name: str | type[Element], doc: str, *, at_least: int = 1, at_most: int | None = None,
) -> Any:
    """Declare a list of ``at_least`` to ``at_most`` elements (``None``: any number)."""
    return _field(Field('element', name, doc, low=at_least, high=at_most))


def any_number(name: str | type[Element], doc: str, *, at_most: int | None = None) -> Any:
    """Declare a list of 0 to ``at_most`` elements (``None``: any number)."""
    return _field(Field('element', name, doc, low=0, high=at_most), default_factory=list)


def one_of(group: str, name: str | type[Element], doc: str, *, open: bool = False) -> Any:
    """Declare an alternative: of the neighbouring fields of ``group`` exactly one is present."""
    spec = Field('element', name, doc, low=0, group=Group(group, 1, 1, open))
    return _field(spec, default=None)


def at_most_one_of(group: str, name: str | type[Element], doc: str) -> Any:
    """Declare an alternative: of the neighbouring fields of ``group`` one or none is present."""
    return _field(Field('element', name, doc, low=0, group=Group(group, 0, 1)), default=None)


def any_of(group: Group, name: str | type[Element], doc: str) -> Any:
    """Declare an alternative of a repeated choice.

    Elements of one name keep their order; the order among different names is not kept.
    """
    spec = Field('element', name, doc, low=0, high=group.high, group=group)
    return _field(spec, default_factory=list)


def flattened(wrapper: type[Element], name: str, doc: str) -> Any:
    """Declare an element whose type ``wrapper`` has one field, by the value of that field."""
    return _field(Field('element', name, doc, flat=wrapper))


def attribute(name: str, doc: str) -> Any:
    """Declare an optional attribute."""
    return _field(Field('attribute', name, doc, low=0), default=None)


def required_attribute(name: str, doc: str) -> Any:
    """Declare an attribute that is always present."""
    return _field(Field('attribute', name, doc))


def content(doc: str) -> Any:
    """Declare the text or data of an element that may also have attributes."""
    return _field(Field('content', '', doc))


class Element:
    """Base of all declared classes: equality by value, short ``repr``, no hash."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in field_names(type(self)))

    def __repr__(self) -> str:
        values = ((name, getattr(self, name, None)) for name in field_names(type(self)))
        shown = ', '.join(f'{name}={value!r}' for name, value in values if value not in (None, []))
        return f'{type(self).__name__}({shown})'


@dataclass(frozen=True, slots=True)
class Declaration:
    """What the compiler knows of a declared class besides its fields."""

    namespace: Namespace
    #: Name of the global element of this type, if there is one.
    element: str | None
    #: The class for whose global element this one's may stand in.
    head: type[Element] | None
    #: The global element exists for others to stand in for; it is not sent itself.
    abstract: bool
    content: Content
    #: Fields of this class and its bases with the namespace each was declared in.
    fields: tuple[tuple[str, Namespace, Field], ...]


_declarations: dict[type[Element], Declaration] = {}
_stand_ins: dict[type[Element], list[type[Element]]] = {}
_T = TypeVar('_T', bound=type[Element])


@dataclass_transform(
    kw_only_default=True,
    field_specifiers=(element, elements, flattened, required_attribute, content),
)
def declared(
    namespace: Namespace,
    *,
    element: str | None = None,
    head: type[Element] | None = None,
    abstract: bool = False,
    content: Content = Content.ELEMENTS,
) -> Callable[[_T], _T]:
    """Turn a class into a slotted keyword-only dataclass and register it in ``namespace``.

    ``element`` is the name of the global element of this type; ``head`` the class whose global
    element it may replace; ``abstract`` says that the element is never sent itself.
    """

    def declare(cls: _T) -> _T:
        make = dataclass(slots=True, kw_only=True, repr=False, eq=False, match_args=False)
        made: type[Element] = make(cls)
        inherited = next((_declarations[base] for base in cls.__mro__[1:] if base in _declarations),
                         None)
        fields = inherited.fields if inherited else ()
        known = {name for name, _, _ in fields}
        fields += tuple(
            (item.name, namespace, item.metadata['exi'])
            for item in dataclasses.fields(made)  # type: ignore[arg-type]
            if item.name not in known)
        _declarations[made] = Declaration(namespace, element, head, abstract, content, fields)
        namespace.classes.append(made)
        above = head
        while above is not None:
            _stand_ins.setdefault(above, []).append(made)
            above = _declarations[above].head
        return cast(_T, made)

    return declare


def declaration(cls: type[Element]) -> Declaration:
    """Return the declaration of ``cls``; raise ``TypeError`` for a class that has none."""
    try:
        return _declarations[cls]
    except KeyError:
        raise TypeError(f'{cls!r} is not a declared message type') from None


def stand_ins(head: type[Element]) -> tuple[type[Element], ...]:
    """Return the classes declared so far whose elements may stand in for that of ``head``."""
    return tuple(_stand_ins.get(head, ()))


def field_names(cls: type[Element]) -> tuple[str, ...]:
    """Return the names of the fields of ``cls`` in schema order."""
    return tuple(name for name, _, _ in declaration(cls).fields)
