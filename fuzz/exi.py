"""Fuzz the EXI engine: build it with coverage and address sanitizer, run libFuzzer, count.

`make fuzz` runs this; options: ``--inputs`` (in all, default 5 million), ``--jobs``.  Inputs that
crash, hang (10 s) or raise anything but ExiError stay in ``build/fuzz`` and end it with status 1.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import random
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / 'src' / 'ccs2_hlc'
BUILD = ROOT / 'build' / 'fuzz'
ATHERIS = 'atheris==3.0.0'
FLAGS = '-O1 -g1 -fno-omit-frame-pointer -fsanitize=address'
COVERAGE = '-fsanitize-coverage=trace-pc,trace-cmp'


def main() -> int:
    """Build, fuzz, report; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--inputs', type=int, default=5_000_000)
    parser.add_argument('--jobs', type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    runtime = fuzzer_runtime()
    build()
    seeds(BUILD / 'seeds')
    return fuzz(runtime, options.inputs, options.jobs)


def fuzzer_runtime() -> Path:
    """Return the library with libFuzzer and the sanitizer, installing atheris if needed."""
    try:
        found = importlib.metadata.distribution('atheris')
    except importlib.metadata.PackageNotFoundError:
        subprocess.run([sys.executable, '-m', 'pip', 'install', '-q', ATHERIS], check=True)
        found = importlib.metadata.distribution('atheris')
    return Path(str(found.locate_file('asan_with_fuzzer.so')))


def build() -> None:
    """Build the engine with instrumentation, apart from the workspace's own build."""
    BUILD.mkdir(parents=True, exist_ok=True)
    (BUILD / 'COLCON_IGNORE').touch()
    shutil.rmtree(BUILD / 'package', ignore_errors=True)
    shutil.copytree(PACKAGE, BUILD / 'package', ignore=shutil.ignore_patterns(
        '*.so', '__pycache__', 'build', 'test'))
    shim = BUILD / 'coverage.o'
    subprocess.run(['gcc', '-O2', '-fPIC', '-c', str(ROOT / 'fuzz' / 'coverage.c'),
                    '-o', str(shim)], check=True)
    print('building the instrumented engine', flush=True)
    # The runtime is preloaded and must not be linked too, so the flags are not the linker's.
    subprocess.run(
        [sys.executable, 'setup.py', '-q', 'build_ext', '--inplace'], cwd=BUILD / 'package',
        env={**os.environ, 'CC': f'gcc {FLAGS} {COVERAGE}', 'LDSHARED': 'gcc -shared',
             'LDFLAGS': str(shim)}, check=True)


def seeds(directory: Path) -> None:
    """Write random valid messages and fragments of every schema for the fuzzer to start from."""
    from ccs2_hlc import exi
    from ccs2_hlc.exi.sampling import Sampler

    directory.mkdir(parents=True, exist_ok=True)
    for number, schema in enumerate(exi.SCHEMAS):
        sampler = Sampler(schema, random.Random(number))
        for count in range(60):
            message = exi.encode(sampler.message())
            fragment = exi.encode_fragment(schema, *sampler.fragment())
            # The first octet picks schema and mode: see the target.
            for mode, data in ((0, message), (4, fragment)):
                picked = bytes([mode * len(exi.SCHEMAS) + number])
                (directory / f'{schema}-{mode}-{count}').write_bytes(picked + data)


def fuzz(runtime: Path, inputs: int, jobs: int) -> int:
    """Run the target in several processes and print what they did."""
    environment = {
        **os.environ, 'LD_PRELOAD': str(runtime), 'PYTHONPATH': str(BUILD / 'package'),
        # Python's own allocator would hide small objects from the sanitizer.
        'PYTHONMALLOC': 'malloc',
        'ASAN_OPTIONS': 'detect_leaks=0:allocator_may_return_null=1'}
    started = time.monotonic()
    running = []
    for job in range(jobs):
        corpus = BUILD / f'corpus-{job}'
        corpus.mkdir(exist_ok=True)
        log = BUILD / f'log-{job}.txt'
        with log.open('wb') as output:
            running.append((log, subprocess.Popen(
                [sys.executable, str(ROOT / 'fuzz' / 'exi_target.py'),
                 f'-runs={-(-inputs // jobs)}', f'-seed={job + 1}', '-max_len=4096',
                 '-timeout=10', '-rss_limit_mb=1024', f'-artifact_prefix={BUILD}/',
                 str(corpus), str(BUILD / 'seeds')],
                env=environment, stdout=output, stderr=subprocess.STDOUT)))
    print(f'{inputs} inputs in {jobs} processes; logs in {BUILD.relative_to(ROOT)}', flush=True)
    total, failed = 0, False
    for log, process in running:
        status = process.wait()
        text = log.read_text(errors='replace')
        done = re.search(r'Done (\d+) runs', text)
        covered = re.findall(r'cov: (\d+) ft: (\d+)', text)
        if status or not done:
            failed = True
            print(f'{log.name}: status {status}\n' + text[-3000:])
            continue
        total += int(done.group(1))
        print(f'{log.name}: {done.group(1)} inputs, {covered[-1][0]} blocks covered')
    seconds = time.monotonic() - started
    print(f'{total} inputs in {seconds:.0f} s ({total / seconds:.0f} a second), '
          f'{"FAILED" if failed else "no crash, no hang, no sanitizer report"}')
    return int(failed or total < inputs)


if __name__ == '__main__':
    sys.exit(main())
