"""Turn launch files into the list of processes that they ask for."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple
from xml.etree.ElementTree import Element, ParseError, parse

from ament_index_python.packages import get_package_prefix

from launch_runner.substitution import LaunchError, Scope, substitute, truth


class Rule(NamedTuple):
    """What one tag may look like."""

    required: frozenset[str]
    optional: frozenset[str] = frozenset()
    children: frozenset[str] = frozenset()


def _rule(required: str = '', optional: str = '', children: str = '') -> Rule:
    return Rule(*(frozenset(words.split()) for words in (required, optional, children)))


ACTIONS = 'arg let set_env group push_ros_namespace include log node executable'
PROCESS = 'name output on_exit respawn respawn_delay respawn_max_retries sigterm_timeout ' \
    'sigkill_timeout if unless'
#: The whole language. Names and meanings are those of launch_xml.
RULES = {
    'launch': _rule(children=ACTIONS),
    'arg': _rule('name', 'default description', 'choice'),
    'choice': _rule('value'),
    'let': _rule('name value', 'if unless'),
    'set_env': _rule('name value', 'if unless'),
    'group': _rule('', 'scoped if unless', ACTIONS),
    'push_ros_namespace': _rule('namespace', 'if unless'),
    'include': _rule('file', 'if unless', 'arg'),
    'log': _rule('message', 'level if unless'),
    'node': _rule('pkg exec', f'{PROCESS} namespace args ros_args launch-prefix',
                  'param remap env'),
    'executable': _rule('cmd', PROCESS, 'env'),
    'param': _rule('', 'name value type from'),
    'remap': _rule('from to'),
    'env': _rule('name value'),
}
INCLUDE_ARGUMENT = _rule('name value')


@dataclass
class Process:
    """One process to run, everything substituted. Times in s."""

    label: str
    command: list[str]
    environment: dict[str, str]
    respawn: bool = False
    respawn_delay: float = 0.0
    #: Below 0: without end.
    respawn_max_retries: int = -1
    #: The end of this process ends the launch.
    required: bool = False
    #: From SIGINT to SIGTERM, and from SIGTERM to SIGKILL.
    sigterm_timeout: float = 5.0
    sigkill_timeout: float = 5.0


class Argument(NamedTuple):
    """What a launch file says of one of its arguments."""

    default: str | None
    description: str
    choices: tuple[str, ...]


@dataclass
class Plan:
    """What a launch file comes to."""

    processes: list[Process] = field(default_factory=list)
    #: Of the file that was named, not of those that it includes.
    arguments: dict[str, Argument] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)


def check(path: Path) -> Element:
    """Return the root of a launch file; raise :class:`LaunchError` if it breaks a rule."""
    try:
        root = parse(path).getroot()
    except (OSError, ParseError) as error:
        raise LaunchError(f'{path}: {error}') from None
    if root.tag != 'launch':
        raise LaunchError(f'{path}: the root is <{root.tag}>, not <launch>')
    _check(root, RULES['launch'], path)
    return root


def _check(element: Element, rule: Rule, path: Path) -> None:
    names = set(element.keys())
    for problem, wrong in (('needs', rule.required - names),
                           ('does not know', names - rule.required - rule.optional)):
        if wrong:
            words = ', '.join(f"'{name}'" for name in sorted(wrong))
            raise LaunchError(f'{path}: <{element.tag}> {problem} {words}')
    for child in element:
        if child.tag not in rule.children:
            raise LaunchError(f'{path}: <{child.tag}> in <{element.tag}> is not supported')
        argument = element.tag == 'include'
        _check(child, INCLUDE_ARGUMENT if argument else RULES[child.tag], path)


def declared(path: Path) -> dict[str, Argument]:
    """Return the arguments that a launch file declares."""
    return {
        element.attrib['name']: Argument(
            element.get('default'), element.get('description', ''),
            tuple(choice.attrib['value'] for choice in element))
        for element in check(path).iter('arg') if 'value' not in element.attrib
    }


def load(path: Path, arguments: Mapping[str, str], environment: Mapping[str, str]) -> Plan:
    """Read a launch file and all that it includes.

    Raises :class:`LaunchError` for a tag, attribute, substitution, argument, package, executable
    or parameter file that does not exist.
    """
    plan = Plan(arguments=declared(path))
    unknown = sorted(set(arguments) - set(plan.arguments))
    if unknown:
        raise LaunchError(f"{path}: no argument '{unknown[0]}'; "
                          f"there are {', '.join(sorted(plan.arguments))}")
    scope = Scope(dict(arguments), dict(environment), path)
    _Loader(plan).file(path, scope)
    return plan


class _Loader:
    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._tags: dict[str, Callable[[Element, Scope], None]] = {
            'arg': self._arg, 'let': self._let, 'set_env': self._set_env, 'group': self._group,
            'push_ros_namespace': self._push, 'include': self._include, 'log': self._log,
            'node': self._node, 'executable': self._executable,
        }

    def file(self, path: Path, scope: Scope) -> None:
        outer, scope.file = scope.file, path
        self._children(check(path), scope)
        scope.file = outer

    def _children(self, element: Element, scope: Scope) -> None:
        for child in element:
            try:
                wanted = truth(substitute(child.get('if', 'true'), scope)) and not truth(
                    substitute(child.get('unless', 'false'), scope))
                if wanted:
                    self._tags[child.tag](child, scope)
            except LaunchError as error:
                text = str(error)
                place = '' if text.startswith('/') else f'{scope.file}: <{child.tag}>: '
                raise LaunchError(place + text) from None

    def _arg(self, element: Element, scope: Scope) -> None:
        name, default = element.attrib['name'], element.get('default')
        if name not in scope.configurations:
            if default is None:
                raise LaunchError(f"argument '{name}' has no default and was not given")
            scope.configurations[name] = substitute(default, scope)
        choices = [choice.attrib['value'] for choice in element]
        value = scope.configurations[name]
        if choices and value not in choices:
            raise LaunchError(f"'{name}' is one of {', '.join(choices)}, not '{value}'")

    def _let(self, element: Element, scope: Scope) -> None:
        scope.configurations[element.attrib['name']] = substitute(element.attrib['value'], scope)

    def _set_env(self, element: Element, scope: Scope) -> None:
        scope.environment[element.attrib['name']] = substitute(element.attrib['value'], scope)

    def _group(self, element: Element, scope: Scope) -> None:
        scoped = truth(substitute(element.get('scoped', 'true'), scope))
        self._children(element, scope.copy() if scoped else scope)

    def _push(self, element: Element, scope: Scope) -> None:
        scope.namespace = _join(scope.namespace, substitute(element.attrib['namespace'], scope))

    def _include(self, element: Element, scope: Scope) -> None:
        path = Path(substitute(element.attrib['file'], scope))
        known = declared(path)
        given = {child.attrib['name']: substitute(child.attrib['value'], scope)
                 for child in element}
        for name in given:
            if name not in known:
                raise LaunchError(f"{path.name} has no argument '{name}'")
        # As upstream: what is given stays set for the rest of the surrounding group.
        scope.configurations.update(given)
        self.file(path, scope)

    def _log(self, element: Element, scope: Scope) -> None:
        self._plan.messages.append(substitute(element.attrib['message'], scope))

    def _executable(self, element: Element, scope: Scope) -> None:
        self._add(element, scope, shlex.split(substitute(element.attrib['cmd'], scope)))

    def _node(self, element: Element, scope: Scope) -> None:
        get = {key: substitute(value, scope) for key, value in element.items()}
        command = [*shlex.split(get.get('launch-prefix', '')), _program(get['pkg'], get['exec']),
                   *shlex.split(get.get('args', '')),
                   '--ros-args', *shlex.split(get.get('ros_args', ''))]
        if 'name' in get:
            command += ['-r', f"__node:={get['name']}"]
        namespace = _join(scope.namespace, get.get('namespace', ''))
        if namespace:
            command += ['-r', f'__ns:={namespace}']
        for child in element:
            values = {key: substitute(value, scope) for key, value in child.items()}
            if child.tag == 'remap':
                command += ['-r', f"{values['from']}:={values['to']}"]
            elif child.tag == 'param':
                command += _parameter(values)
        self._add(element, scope, command)

    def _add(self, element: Element, scope: Scope, command: list[str]) -> None:
        get = {key: substitute(value, scope) for key, value in element.items()}
        extra = {child.attrib['name']: substitute(child.attrib['value'], scope)
                 for child in element if child.tag == 'env'}
        for name, wanted in (('on_exit', 'shutdown'), ('output', 'screen')):
            if get.get(name, wanted) != wanted:
                raise LaunchError(f"{name} can only be '{wanted}', not '{get[name]}'")
        label = get.get('name') or get.get('exec') or Path(command[0]).name
        number = len(self._plan.processes) + 1
        try:
            self._plan.processes.append(Process(
                f'{label}-{number}', command, {**scope.environment, **extra},
                respawn=truth(get.get('respawn', 'false')),
                respawn_delay=float(get.get('respawn_delay', 0)),
                respawn_max_retries=int(get.get('respawn_max_retries', -1)),
                required='on_exit' in get,
                sigterm_timeout=float(get.get('sigterm_timeout', 5)),
                sigkill_timeout=float(get.get('sigkill_timeout', 5))))
        except ValueError as error:
            raise LaunchError(f'{label}: {error}') from None


def _join(outer: str, inner: str) -> str:
    if not inner or inner.startswith('/'):
        return inner or outer
    return f'{outer}/{inner}'


def _program(package: str, executable: str) -> str:
    try:
        path = Path(get_package_prefix(package), 'lib', package, executable)
    except LookupError:
        raise LaunchError(f"package '{package}' is not built or not sourced") from None
    if not os.access(path, os.X_OK):
        raise LaunchError(f"package '{package}' has no executable '{executable}'")
    return str(path)


def _parameter(values: Mapping[str, str]) -> list[str]:
    match sorted(values):
        case ['from']:
            if not Path(values['from']).is_file():
                raise LaunchError(f"no parameter file '{values['from']}'")
            return ['--params-file', values['from']]
        case ['name', 'value']:
            return ['-p', f"{values['name']}:={values['value']}"]
        case ['name', 'type', 'value'] if values['type'] == 'str':
            quoted = values['value'].replace("'", "''")
            return ['-p', f"{values['name']}:='{quoted}'"]
    raise LaunchError("<param> has 'from', or 'name' and 'value' and perhaps type=\"str\"; "
                      f'not {dict(values)}')
