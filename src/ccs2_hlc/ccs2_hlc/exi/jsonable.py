"""Messages to JSON-able dicts and back, with the standard's names as keys.

An element is ``{name: value}``.  Attributes are keys that start with ``@``; the content of an
element that also has attributes is under ``$`` if it has any; an element that may occur more
than once is always a list.  Octets are upper-case hexadecimal, enumerations their text.
Absent values have no key.  A substitution group appears under the name of the element that is
really sent.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any, NamedTuple

from .cache import cached
from .compiler import hints_of, is_complex, item_of
from .declare import Element, Field, declaration, stand_ins
from .schemas import fragment_code, grammar, messages

_Convert = Callable[[Any], Any]


class _Key(NamedTuple):
    """How a field appears in JSON."""

    field: str
    name: str
    many: bool
    #: Class of a complex element, or of the head of a substitution group.
    cls: type[Element] | None
    substituted: bool
    flat: type[Element] | None
    load: _Convert


def to_json(message: Element) -> dict[str, Any]:
    """Return ``message``, a root element, as a JSON-able dict."""
    name = declaration(type(message)).element
    if name is None:
        raise TypeError(f'{type(message).__name__} is no root element')
    return {name: element_to_json(message)}


def from_json(schema: str, value: dict[str, Any]) -> Any:
    """Return the message that :func:`to_json` gave ``value`` for.

    Raise ``ValueError`` that names the element for anything that does not fit the schema's names
    and types; ranges and completeness are checked when the message is encoded.
    """
    (name, content), = _as_dict(value, schema).items() if len(value) == 1 else _one_root(value)
    for cls in messages(schema):
        if declaration(cls).element == name:
            return element_from_json(cls, content, name)
    raise ValueError(f'{schema} has no message {name!r}')


def fragment_from_json(schema: str, value: dict[str, Any]) -> tuple[str, Any]:
    """Return name and content of the element ``{name: value}``, for ``encode_fragment``."""
    (name, content), = _as_dict(value, schema).items() if len(value) == 1 else _one_root(value)
    kind = grammar(schema).fragment[fragment_code(schema, name)].kind
    if kind is None:
        raise ValueError(f'{name!r} is a mere wrapper')
    if is_complex(kind):
        return name, element_from_json(kind, content, name)
    try:
        return name, _loader(kind)(content)
    except (TypeError, ValueError) as error:
        raise ValueError(f'{name}: {error}') from None


def element_to_json(element: Element) -> Any:
    """Return the content of ``element`` without its name."""
    result: dict[str, Any] = {}
    for key in _keys(type(element)):
        value = getattr(element, key.field)
        if key.flat is not None:
            result[key.name] = {} if value is None else to_json(value)
        elif value is None or (key.many and not value):
            continue
        elif not key.substituted:
            result[key.name] = (
                [_dump(item) for item in value] if key.many else _dump(value))
        else:
            for item in value if key.many else [value]:
                name = declaration(type(item)).element or ''
                if key.many:
                    result.setdefault(name, []).append(element_to_json(item))
                else:
                    result[name] = element_to_json(item)
    return result['$'] if result.keys() == {'$'} else result


def element_from_json(cls: type[Element], value: Any, path: str) -> Any:
    """Return an object of ``cls`` from what :func:`element_to_json` gave."""
    keys = _keys(cls)
    if not isinstance(value, dict) and any(key.name == '$' for key in keys):
        value = {'$': value}
    rest = dict(_as_dict(value, path))
    values: dict[str, Any] = {}
    for key in keys:
        values[key.field] = [] if key.many else None
        for name, target in _targets(key):
            if name not in rest:
                continue
            where = f'{path}/{name}'
            found = rest.pop(name)
            if key.flat is not None:
                values[key.field] = _flat_from_json(key, found, where)
            elif key.many:
                if not isinstance(found, list):
                    raise ValueError(f'{where}: expected a list')
                values[key.field] += [_load(key, target, item, where) for item in found]
            else:
                values[key.field] = _load(key, target, found, where)
    if rest:
        raise ValueError(f'{path}: unknown {", ".join(map(repr, rest))}')
    made = cls.__new__(cls)
    for field, item in values.items():
        setattr(made, field, item)
    return made


def _flat_from_json(key: _Key, found: Any, where: str) -> Any:
    inner = _keys(key.flat)[0] if key.flat else key
    named = dict(_targets(inner))
    content = _as_dict(found, where)
    if not content:
        return None
    if len(content) > 1 or next(iter(content)) not in named:
        raise ValueError(f'{where}: unknown {", ".join(map(repr, content))}')
    (name, item), = content.items()
    return _load(inner, named[name], item, f'{where}/{name}')


def _dump(value: Any) -> Any:
    if isinstance(value, Element):
        return element_to_json(value)
    if isinstance(value, bytes):
        return value.hex().upper()
    if isinstance(value, enum.Enum):
        return value.value
    return value


def _load(key: _Key, target: type[Element] | None, value: Any, where: str) -> Any:
    if target is not None:
        return element_from_json(target, value, where)
    try:
        return key.load(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f'{where}: {error}') from None


def _typed(kind: type) -> _Convert:
    def load(value: Any) -> Any:
        if type(value) is not kind:
            raise TypeError(f'expected {kind.__name__}, not {value!r}')
        return value
    return load


def _octets(value: Any) -> bytes:
    if not isinstance(value, str):
        raise TypeError(f'expected hexadecimal text, not {value!r}')
    return bytes.fromhex(value)


def _loader(hint: Any) -> _Convert:
    """Return the conversion of a simple value from JSON."""
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return hint
    kind = getattr(hint, '__origin__', hint)
    return _octets if kind is bytes else _typed(kind)


@cached
def _keys(cls: type[Element]) -> tuple[_Key, ...]:
    hints = hints_of(cls)
    made = []
    for field, _, spec in declaration(cls).fields:
        hint = item_of(hints[field])
        target = hint if is_complex(hint) else None
        made.append(_Key(
            field, _name(spec), spec.high != 1, target, not isinstance(spec.name, str),
            spec.flat, _loader(hint)))
    return tuple(made)


def _name(spec: Field) -> str:
    if not isinstance(spec.name, str):
        return declaration(spec.name).element or ''
    return {'attribute': f'@{spec.name}', 'content': '$'}.get(spec.kind, spec.name)


def _targets(key: _Key) -> list[tuple[str, type[Element] | None]]:
    """Return the names under which the field may appear, with the class behind each."""
    if not key.substituted or key.cls is None:
        return [(key.name, key.cls)]
    return [(declaration(cls).element or '', cls) for cls in (key.cls, *stand_ins(key.cls))]


def _as_dict(value: Any, path: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f'{path}: expected an object, not {value!r}')
    return value


def _one_root(value: dict[str, Any]) -> Any:
    raise ValueError(f'expected one root element, not {len(value)}')
