"""The `$(...)` expressions of launch files."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from ament_index_python.packages import get_package_share_directory

TRUE, FALSE = ('true', '1'), ('false', '0')
#: A word of an expression: quoted text, `$(...)` nested up to two deep, or anything without spaces.
WORD = re.compile(r"'[^']*'|(?:\$\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)|[^\s'])+")


class LaunchError(Exception):
    """A launch file that cannot be understood or run; the text names the place."""


@dataclass
class Scope:
    """What a tag sees: launch arguments, environment, namespace and the file that it is in."""

    configurations: dict[str, str]
    environment: dict[str, str]
    file: Path
    namespace: str = ''

    def copy(self) -> Scope:
        """Return a scope whose changes stay in it."""
        return replace(self, configurations=dict(self.configurations),
                       environment=dict(self.environment))


def truth(text: str) -> bool:
    """Return what a condition says; raise :class:`LaunchError` if it is neither true nor false."""
    word = text.strip().lower()
    if word not in TRUE + FALSE:
        raise LaunchError(f"a condition is one of {', '.join(TRUE + FALSE)}, not '{text}'")
    return word in TRUE


def substitute(text: str, scope: Scope) -> str:
    """Replace every `$(...)` of `text`; raise :class:`LaunchError` if one is not understood."""
    out, position = [], 0
    while (start := text.find('$(', position)) >= 0:
        end = _closing(text, start + 2)
        out += [text[position:start], _evaluate(text[start + 2:end], scope)]
        position = end + 1
    return ''.join(out) + text[position:]


def _closing(text: str, position: int) -> int:
    depth = 1
    for index in range(position, len(text)):
        depth += (text[index] == '(') - (text[index] == ')')
        if depth == 0:
            return index
    raise LaunchError(f"'$(' is never closed in '{text}'")


def _evaluate(expression: str, scope: Scope) -> str:
    name, _, rest = expression.strip().partition(' ')
    if name not in FUNCTIONS:
        raise LaunchError(f"unknown substitution '$({expression})'")
    function, counts = FUNCTIONS[name]
    words = [substitute(word.strip("'"), scope) for word in WORD.findall(rest)]
    if len(words) not in counts:
        raise LaunchError(f"'$({expression})' has {len(words)} words after its name, "
                          f"not {' or '.join(map(str, counts))}")
    return str(function(scope, *words))


def _variable(scope: Scope, name: str) -> str:
    try:
        return scope.configurations[name]
    except KeyError:
        raise LaunchError(f"launch argument '{name}' is not set") from None


def _environment(scope: Scope, name: str, default: str | None = None) -> str:
    value = scope.environment.get(name, default)
    if value is None:
        raise LaunchError(f"environment variable '{name}' is not set")
    return value


def _share(scope: Scope, package: str) -> str:
    try:
        return str(get_package_share_directory(package))
    except LookupError:
        raise LaunchError(f"package '{package}' is not built or not sourced") from None


def _boolean(value: bool) -> str:
    return 'true' if value else 'false'


#: name: (function, allowed numbers of words)
FUNCTIONS: dict[str, tuple[Callable[..., str], tuple[int, ...]]] = {
    'var': (_variable, (1,)),
    'env': (_environment, (1, 2)),
    'find-pkg-share': (_share, (1,)),
    'dirname': (lambda scope: str(scope.file.parent), (0,)),
    'equals': (lambda _, a, b: _boolean(a == b), (2,)),
    'not': (lambda _, a: _boolean(not truth(a)), (1,)),
    'and': (lambda _, a, b: _boolean(truth(a) and truth(b)), (2,)),
    'or': (lambda _, a, b: _boolean(truth(a) or truth(b)), (2,)),
}
