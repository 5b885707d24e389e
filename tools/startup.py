"""What starting a program costs: lazily compiled, and from the cache, against compiling all of it.

    python -m tools.startup prog.wasm [ARGS…] [--size MB] [--stdin FILE] [--runs N]

With `--size` the module is first grown to so many MB by repeating its functions; those that the program calls are in
the first copy, so the share of what it calls shrinks accordingly. In CPU seconds of this process, best of N:

    all      decode, validate, compile every function
    lazy     decode, validate, make an instance, run; without the time that running takes once all is compiled
    run      that time

and as processes, best of N, in CPU and in wall-clock seconds, to the program's first output (or its end):

    first    `polymerase run --aot`, nothing in the cache
    again    the same once more
    python   a Python that does nothing
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from polymerase import Exit, Limits, Wasi, driver
from polymerase.code import LazyCode, controls_for
from polymerase.options import Options
from polymerase_runtime import deep_stack, instantiate
from tools.measure_frontend import cpu_seconds, grow


def best(run: Callable[[], float], times: int) -> float:
    """The smallest of several measurements."""
    return min(run() for _ in range(times))


def in_process(data: bytes, name: str, args: Sequence[str], stdin: bytes, times: int) -> None:
    """Measure and print what happens inside a process."""
    options = Options(controls=controls_for(Limits()))

    def everything() -> None:
        driver.compile_in_memory(driver.load(data, name), options)

    codes: list[LazyCode] = []

    def run(code: LazyCode) -> None:
        def go() -> None:
            wasi = Wasi(args=(name, *args), stdin=io.BytesIO(stdin), stdout=io.BytesIO(), stderr=io.BytesIO())
            instance = instantiate(code.info, code, wasi=wasi, blob=code_blob(code))
            with contextlib.suppress(Exit):
                instance.exports["_start"]()

        deep_stack(go)

    def code_blob(code: LazyCode) -> bytes:
        return driver.data_blob(code.module)

    def lazily() -> None:
        code = LazyCode(driver.load(data, name), options)
        codes[:] = [code]
        run(code)

    eager = best(lambda: cpu_seconds(everything), times)
    lazy = best(lambda: cpu_seconds(lazily), times)
    running = best(lambda: cpu_seconds(lambda: run(codes[0])), times)
    code = codes[0]
    bodies = code.module.codes
    called = [bodies[i - code.imported] for i in code.compiled()]
    count, size = len(called) / len(bodies), sum(c.end - c.at for c in called) / sum(c.end - c.at for c in bodies)
    print(
        f"{name}: {len(data) / 1e6:.1f} MB, {len(bodies)} functions; called: {count:.1%} of them, {size:.1%} of bytes"
    )
    print(f"all {eager:.2f} s, lazy {lazy - running:.2f} s, run {running:.2f} s")
    print(f"starting lazily costs {(lazy - running) / eager:.1%} of compiling everything")


@contextlib.contextmanager
def program(data: bytes, name: str) -> Iterator[tuple[Path, Path]]:
    """The module as a file, and a folder for a cache."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, name)
        file.write_bytes(data)
        yield file, Path(folder, "cache")


def start(command: list[str], stdin: bytes, environment: dict[str, str]) -> tuple[float, float, float]:
    """CPU seconds of a process, wall-clock seconds to its first output, and to its end."""
    with tempfile.TemporaryFile() as source:
        source.write(stdin)
        source.seek(0)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        began = time.perf_counter()
        with subprocess.Popen(command, stdin=source, stdout=subprocess.PIPE, env=environment) as process:
            assert process.stdout is not None
            process.stdout.read(1)
            first = time.perf_counter() - began
            process.stdout.read()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return cpu, first, time.perf_counter() - began


def as_processes(file: Path, cache: Path, args: Sequence[str], stdin: bytes, times: int) -> None:
    """Measure and print what whole processes take."""
    environment = {**os.environ, "POLYMERASE_CACHE_DIR": str(cache)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # as where polymerase is installed
    environment["PYTHONPYCACHEPREFIX"] = str(cache.parent / "pyc")
    command = [sys.executable, "-m", "polymerase", "run", "--aot", str(file), *args]
    empty = [sys.executable, "-m", "polymerase", "cache", "clear"]
    rows: dict[str, list[tuple[float, float, float]]] = {"first": [], "again": [], "python": []}
    start(command, stdin, environment)  # Python caches polymerase itself
    for _ in range(times):
        start(empty, b"", environment)
        rows["first"].append(start(command, stdin, environment))
        rows["again"].append(start(command, stdin, environment))
        rows["python"].append(start([sys.executable, "-c", "pass"], b"", environment))
    least = {name: tuple(min(column) for column in zip(*taken, strict=True)) for name, taken in rows.items()}
    for name, (cpu, first, end) in least.items():
        print(f"{name:7} {cpu:7.3f} s CPU, {first:7.3f} s to the first output, {end:7.3f} s to the end")
    ratios = [a / b for a, b in zip(least["first"], least["again"], strict=True)]
    print(f"again is {ratios[0]:.1f} times (CPU), {ratios[1]:.1f} times (first output) faster than first")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wasm", type=Path, help="a WASI command")
    parser.add_argument("args", nargs="*", help="its arguments")
    parser.add_argument("--size", type=float, help="grow it to this many MB")
    parser.add_argument("--stdin", type=Path, help="its input (default: none)")
    parser.add_argument("--runs", type=int, default=3, help="runs of each (default 3)")
    args = parser.parse_args()
    data = args.wasm.read_bytes()
    if args.size:
        data = grow(data, int(args.size * 1e6))
    stdin = args.stdin.read_bytes() if args.stdin else b""
    with program(data, args.wasm.name) as (file, cache):
        as_processes(file, cache, args.args, stdin, args.runs)
    in_process(data, args.wasm.name, args.args, stdin, args.runs)


if __name__ == "__main__":
    main()
