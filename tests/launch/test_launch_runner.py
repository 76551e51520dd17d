"""The launch runner: what it understands, what it refuses, and how it ends."""

import asyncio
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip('ament_index_python', reason='ROS 2 is not set up')

from launch_runner import processes
from launch_runner.loader import declared, load
from launch_runner.processes import Process, Supervisor
from launch_runner.substitution import LaunchError, Scope, substitute

TOOLS = Path(__file__).parents[2] / 'tools'


@pytest.fixture
def launch_file(tmp_path, monkeypatch):
    """Write a launch file; the package `pkg` with the program `prog` exists."""
    index = tmp_path / 'share/ament_index/resource_index/packages'
    index.mkdir(parents=True)
    (index / 'pkg').touch()
    (tmp_path / 'share/pkg').mkdir()
    program = tmp_path / 'lib/pkg/prog'
    program.parent.mkdir(parents=True)
    program.write_text('#!/bin/sh\nexec "$@"\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv('AMENT_PREFIX_PATH', str(tmp_path))

    def write(content, name='test.launch.xml'):
        path = tmp_path / name
        path.write_text(f'<launch>{content}</launch>')
        return path

    return write


def test_a_node_gets_its_program_namespace_parameters_and_environment(launch_file, tmp_path):
    (tmp_path / 'some.yaml').touch()
    path = launch_file("""
      <arg name="level" default="info" description="log level"/>
      <set_env name="OUTER" value="o"/>
      <group>
        <push_ros_namespace namespace="station"/>
        <push_ros_namespace namespace="connector_1"/>
        <node pkg="pkg" exec="prog" name="power" output="screen" args="a 'b c'"
              ros_args="--log-level $(var level)" respawn="true" respawn_delay="1.5"
              respawn_max_retries="3" sigterm_timeout="2">
          <param from="$(dirname)/some.yaml"/>
          <param name="rate" value="2.5"/>
          <param name="code" value="007" type="str"/>
          <remap from="meter" to="other_meter"/>
          <env name="INNER" value="i"/>
        </node>
      </group>
      <executable cmd="sleep 3" name="nap" on_exit="shutdown"/>
    """)
    node, nap = load(path, {'level': 'debug'}, {'PATH': '/bin'}).processes
    assert node.command == [
        f'{tmp_path}/lib/pkg/prog', 'a', 'b c', '--ros-args', '--log-level', 'debug',
        '-r', '__node:=power', '-r', '__ns:=/station/connector_1',
        '--params-file', f'{tmp_path}/some.yaml', '-p', 'rate:=2.5', '-p', "code:='007'",
        '-r', 'meter:=other_meter']
    assert node.environment == {'PATH': '/bin', 'OUTER': 'o', 'INNER': 'i'}
    assert (node.respawn, node.respawn_delay, node.respawn_max_retries) == (True, 1.5, 3)
    assert (node.sigterm_timeout, node.required) == (2.0, False)
    assert (nap.command, nap.required) == (['sleep', '3'], True)
    assert nap.environment == {'PATH': '/bin', 'OUTER': 'o'}


def test_conditions_choose_and_groups_keep_their_changes(launch_file):
    path = launch_file("""
      <arg name="number" default="1" description="of connectors"/>
      <group unless="$(equals $(var number) 1)">
        <let name="number" value="9"/>
        <set_env name="INSIDE" value="1"/>
        <push_ros_namespace namespace="inside"/>
        <executable cmd="echo $(var number)"/>
      </group>
      <executable cmd="echo $(var number) $(env INSIDE none)" if="$(not false)"/>
      <executable cmd="never" unless="$(or false $(and true true))"/>
    """)
    assert [process.command for process in load(path, {}, {}).processes] == [['echo', '1', 'none']]
    assert [process.command for process in load(path, {'number': '2'}, {}).processes] == [
        ['echo', '9'], ['echo', '2', 'none']]


def test_an_included_file_gets_its_arguments(launch_file):
    launch_file("""
      <arg name="who" description="name"/><arg name="how" default="loud" description="volume"/>
      <executable cmd="echo $(var who) $(var how) $(dirname)"/>
    """, 'inner.launch.xml')
    path = launch_file("""
      <group><include file="$(dirname)/inner.launch.xml"><arg name="who" value="a"/></include>
      </group>
      <group><include file="$(dirname)/inner.launch.xml">
        <arg name="who" value="b"/><arg name="how" value="quiet"/></include></group>
      <log message="ready for $(env HOME)"/>
    """)
    plan = load(path, {}, {'HOME': '/root'})
    here = str(path.parent)
    assert [process.command[1:] for process in plan.processes] == [
        ['a', 'loud', here], ['b', 'quiet', here]]
    assert plan.messages == ['ready for /root']


def test_arguments_are_told_with_their_choices(launch_file):
    path = launch_file("""
      <arg name="speed" default="1.0" description="of time"/>
      <arg name="kind" description="of car"><choice value="small"/><choice value="big"/></arg>
    """)
    speed, kind = declared(path).values()
    assert speed == ('1.0', 'of time', ())
    assert kind == (None, 'of car', ('small', 'big'))


@pytest.mark.parametrize(('content', 'arguments', 'problem'), [
    ('<timer period="1"/>', {}, '<timer> in <launch> is not supported'),
    ('<node pkg="pkg" exec="prog" colour="red"/>', {}, "<node> does not know 'colour'"),
    ('<node pkg="pkg"/>', {}, "<node> needs 'exec'"),
    ('<node pkg="pkg" exec="prog"><parm/></node>', {}, '<parm> in <node> is not supported'),
    ('<node pkg="other" exec="prog"/>', {}, "package 'other' is not built or not sourced"),
    ('<node pkg="pkg" exec="other"/>', {}, "package 'pkg' has no executable 'other'"),
    ('<node pkg="pkg" exec="prog"><param from="/no/file"/></node>', {}, "file '/no/file'"),
    ('<node pkg="pkg" exec="prog"><param name="a"/></node>', {}, '<param> has'),
    ('<node pkg="pkg" exec="prog" output="own_log"/>', {}, "output can only be 'screen'"),
    ('<node pkg="pkg" exec="prog" on_exit="cry"/>', {}, "on_exit can only be 'shutdown'"),
    ('<node pkg="pkg" exec="prog" respawn="maybe"/>', {}, "not 'maybe'"),
    ('<node pkg="pkg" exec="prog" respawn_delay="soon"/>', {}, 'soon'),
    ('<log message="$(eval 1)"/>', {}, "unknown substitution '$(eval 1)'"),
    ('<log message="$(var x)"/>', {}, "argument 'x' is not set"),
    ('<log message="$(env X_Y)"/>', {}, "variable 'X_Y' is not set"),
    ('<log message="$(equals a)"/>', {}, 'has 1 words after its name, not 2'),
    ('<log message="$(var x"/>', {}, "'$(' is never closed"),
    ('<log message="$(find-pkg-share none)"/>', {}, "package 'none'"),
    ('<arg name="a" description="d"/>', {}, "'a' has no default and was not given"),
    ('<arg name="a" default="1" description="d"><choice value="1"/></arg>', {'a': '2'},
     "'a' is one of 1, not '2'"),
    ('<arg name="a" default="1" description="d"/>', {'b': '2'}, "no argument 'b'; there are a"),
    ('<include file="$(dirname)/none.launch.xml"/>', {}, 'No such file'),
    ('<include file="$(dirname)/test.launch.xml"><arg name="z" value="1"/></include>', {},
     "has no argument 'z'"),
    ('<group>', {}, 'mismatched tag'),
])
def test_what_is_not_understood_is_an_error_that_names_it(
        launch_file, content, arguments, problem):
    path = launch_file(content)
    with pytest.raises(LaunchError) as error:
        load(path, arguments, {})
    assert problem in str(error.value)
    assert 'launch.xml' in str(error.value)


@pytest.mark.parametrize(('text', 'result'), [
    ('plain', 'plain'),
    ('a$(var x)b$(var x)', 'a1b1'),
    ('$(env NO_SUCH_NAME $(var x))', '1'),
    ("$(env NO_SUCH_NAME '')", ''),
    ("$(equals 'a b' $(var y))", 'true'),
    ('$(or $(equals $(var x) 2) $(not $(equals $(var x) 1)))', 'false'),
])
def test_substitutions(text, result):
    scope = Scope({'x': '1', 'y': 'a b'}, {}, Path('/f'))
    assert substitute(text, scope) == result


def python(code, **options):
    return Process('child', [sys.executable, '-c', code], {}, **options)


async def supervise(*children, stop_after=None):
    """Run processes; `stop_after` is a text in the log after which to stop."""
    lines = []

    def log(line):
        lines.append(line)
        if stop_after is not None and stop_after in line:
            supervisor.stop()

    supervisor = Supervisor(children, log)
    code = await asyncio.wait_for(supervisor.run(), 30)
    return code, '\n'.join(lines)


async def test_the_end_of_a_required_process_ends_all():
    code, log = await supervise(
        python('import time; time.sleep(60)'),
        python('print("bye")', required=True))
    assert '[child] bye' in log
    # The sleeper had to be interrupted, and Python calls that a failure.
    assert code == 1


async def test_who_gives_up_waiting_leaves_no_process_behind(tmp_path):
    pid = tmp_path / 'pid'
    supervisor = Supervisor([python(
        f'import os, pathlib, time; pathlib.Path({str(pid)!r}).write_text(str(os.getpid()));'
        'time.sleep(60)')], lambda line: None)
    running = asyncio.create_task(supervisor.run())
    while not pid.exists() or not pid.read_text():  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    async with asyncio.timeout(10):
        while is_alive(pid.read_text()):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def is_alive(pid):
    return Path('/proc', pid).exists()


@pytest.mark.skipif(not processes.may_be_preferred(), reason='a niceness cannot be lowered')
async def test_a_process_that_starts_leaves_the_processors_to_others(monkeypatch):
    # Long enough for Python to have started, however busy the machine is.
    monkeypatch.setattr(processes, 'STARTING_TIME', 5.0)
    code, log = await supervise(python(
        'import os, time\n'
        'time.sleep(1.0)\n'
        'own = os.nice(0)\n'
        'print("starts", own)\n'
        'while os.nice(0) == own: time.sleep(0.02)\n'
        'print("runs", os.nice(0))\n'))
    niceness = os.nice(0)
    assert f'starts {niceness + processes.STARTING_NICENESS}' in log
    assert f'runs {niceness}' in log
    assert code == 0


async def test_processes_that_end_cleanly_give_zero():
    code, log = await supervise(python(''), python('print("x" * 200_000)'))
    assert code == 0
    assert 'finished cleanly' in log


async def test_a_failed_process_gives_one():
    code, log = await supervise(python('import sys; sys.exit(3)'))
    assert code == 1
    assert 'exit code 3' in log


async def test_a_process_that_died_comes_back_and_is_forgiven(tmp_path):
    mark = tmp_path / 'mark'
    code, log = await supervise(python(
        f'import os, pathlib, signal; p = pathlib.Path({str(mark)!r})\n'
        'if not p.exists(): p.touch(); os.kill(os.getpid(), signal.SIGKILL)\n'
        'import time; signal.signal(signal.SIGINT, lambda *a: exit(0)); print("back", flush=True)\n'
        'time.sleep(60)', respawn=True, respawn_delay=0.01), stop_after='back')
    assert 'exit code -9' in log
    assert code == 0


async def test_respawn_ends_after_its_retries():
    code, log = await supervise(
        python('import sys; sys.exit(1)', respawn=True, respawn_max_retries=2))
    assert log.count('process started') == 3
    assert code == 1


async def test_one_that_ignores_signals_is_killed():
    code, log = await supervise(python(
        'import signal, time\n'
        'for s in (signal.SIGINT, signal.SIGTERM): signal.signal(s, signal.SIG_IGN)\n'
        'print("deaf", flush=True); time.sleep(60)',
        sigterm_timeout=0.1, sigkill_timeout=0.1), stop_after='deaf')
    assert 'still there 0.1 s after SIGINT' in log
    assert 'still there 0.1 s after SIGTERM' in log
    assert code == 1


async def test_a_program_that_cannot_start_is_reported():
    code, log = await supervise(Process('ghost', ['/no/such/program'], {}))
    assert 'cannot start' in log
    assert code == 1


def environment():
    return {**os.environ, 'PYTHONPATH': f"{TOOLS}:{os.environ.get('PYTHONPATH', '')}"}


def run_command(*words):
    return subprocess.run(
        [sys.executable, '-m', 'launch_runner', *map(str, words)], text=True,
        capture_output=True, timeout=60, env=environment())


def test_the_command_line_tells_arguments_errors_and_results(launch_file):
    path = launch_file('<arg name="who" default="you" description="whom to greet"/>'
                       '<executable cmd="echo hello $(var who)"/>')
    shown = run_command(path, '--show-args')
    assert (shown.returncode, shown.stdout) == (0, 'who:=you\n    whom to greet\n')
    greeted = run_command(path, 'who:=me')
    assert (greeted.returncode, 'hello me' in greeted.stdout) == (0, True)
    wrong = run_command(path, 'whom:=me')
    assert wrong.returncode == 2
    assert "no argument 'whom'; there are who" in wrong.stderr
    assert run_command('no_package', 'x.launch.xml').returncode == 2


def test_a_signal_ends_the_launch(launch_file):
    path = launch_file('<executable cmd="sleep 60"/>')
    process = subprocess.Popen(
        [sys.executable, '-m', 'launch_runner', str(path)], text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment())
    assert 'process started' in process.stdout.readline()
    started = time.monotonic()
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=20)
    assert 'exit code -2' in output
    assert time.monotonic() - started < 10
