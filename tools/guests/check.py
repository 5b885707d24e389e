"""Run guests under wasmtime and as compiled Python, and compare standard output byte for byte, exit codes too."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import wasmtime

from tools.guests import data
from tools.guests.recipes import JOBS, Job

SRC = Path(__file__).resolve().parent / "src"
ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Run:
    """What a run printed, how it ended, and the CPU seconds it took. `error` is the end of standard error."""

    stdout: bytes
    code: int
    seconds: float
    error: str = ""


@dataclass(frozen=True, slots=True)
class Compiled:
    """A compiled package: its folder, the seconds that took, and the lines of Python in it, runtime not counted."""

    folder: Path
    seconds: float
    lines: int


@dataclass(frozen=True, slots=True)
class Row:
    """One comparison; `fault` is empty when output and exit code are wasmtime's."""

    job: Job
    engine: str
    seconds: float
    ratio: float
    fault: str


def under_wasmtime(wasm: Path, args: tuple[str, ...], stdin: bytes, dirs: Mapping[str, Path] | None = None) -> Run:
    """Run a WASI command that sees `dirs` (guest name to host folder); the seconds leave wasmtime's compiling out."""
    with tempfile.TemporaryDirectory() as scratch:
        given, printed, error = Path(scratch, "in"), Path(scratch, "out"), Path(scratch, "err")
        given.write_bytes(stdin)
        config = wasmtime.WasiConfig()
        config.argv = [wasm.name, *args]
        config.stdin_file = str(given)
        config.stdout_file = str(printed)
        config.stderr_file = str(error)
        for guest, host in (dirs or {}).items():
            config.preopen_dir(str(host), guest)
        engine = wasmtime.Engine()
        store = wasmtime.Store(engine)
        store.set_wasi(config)
        linker = wasmtime.Linker(engine)
        linker.define_wasi()
        instance = linker.instantiate(store, wasmtime.Module.from_file(engine, str(wasm)))
        start = instance.exports(store)["_start"]
        assert isinstance(start, wasmtime.Func)
        code = 0
        began = time.process_time()
        try:
            start(store)
        except wasmtime.ExitTrap as e:
            code = e.code
        except wasmtime.Trap:
            code = 134
        seconds = time.process_time() - began
        return Run(printed.read_bytes(), code, seconds, error.read_text(errors="replace")[-2000:])


def process(command: list[str], stdin: bytes, cwd: Path, timeout: float) -> Run:
    """Run a program, without any Python setting of ours; CPU seconds of user and system."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    try:
        done = subprocess.run(command, input=stdin, capture_output=True, cwd=cwd, env=env, timeout=timeout)
        stdout, stderr, code = done.stdout, done.stderr, done.returncode
    except subprocess.TimeoutExpired as e:
        stdout, stderr, code = e.stdout or b"", f"no end after {timeout:.0f} s".encode(), -1
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Run(stdout, code, seconds, stderr.decode(errors="replace")[-2000:])


def polymerase(python: str, *words: str) -> list[str]:
    """The command line of this checkout's polymerase, run by `python`."""
    paths = [str(ROOT), str(ROOT / "runtime")]
    boot = f"import sys; sys.path[:0] = {paths!r}; from polymerase.cli import main; main()"
    return [python, "-c", boot, *words]


def compile_package(wasm: Path, folder: Path, options: tuple[str, ...], timeout: float) -> Compiled:
    """Compile with the Python that runs this; raises RuntimeError with what it printed."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    words = ["compile", str(wasm), "-o", str(folder), "--standalone", "--target", "both", *options]
    run = process(polymerase(sys.executable, *words), b"", ROOT, timeout)
    if run.code:
        raise RuntimeError(f"compile exits {run.code}: {run.error.strip()}")
    runtime = folder / "_runtime"
    files = (p for p in folder.rglob("*.py") if runtime not in p.parents)
    return Compiled(folder, run.seconds, sum(p.read_bytes().count(b"\n") for p in files))


def difference(expected: Run, got: Run) -> str:
    """What is wrong, in one line; empty when nothing is."""
    last = got.error.strip().rpartition("\n")[2]
    if expected.code != got.code:
        return f"exit {got.code}, expected {expected.code}: {last}"
    if expected.stdout == got.stdout:
        return ""
    at = next(
        (i for i, (a, b) in enumerate(zip(expected.stdout, got.stdout, strict=False)) if a != b),
        min(len(expected.stdout), len(got.stdout)),
    )
    sizes = f"{len(got.stdout)} bytes, expected {len(expected.stdout)}"
    window = slice(at, at + 24)
    return f"{sizes}; differs at {at}: {got.stdout[window]!r}, expected {expected.stdout[window]!r}"


def inputs(size: int) -> dict[str, bytes]:
    """Standard inputs by the names that `Job.stdin` uses."""
    return {
        "data": data.data(size),
        "text": data.text(min(size, 20_000)),
        "script": (SRC / "suite.js").read_bytes(),
        "garbage": data.data(1000, seed=3),
    }


@cache
def _version(python: str) -> str:
    """As in "CPython 3.11"."""
    code = "import platform as p; print(p.python_implementation(), '.'.join(p.python_version_tuple()[:2]))"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


@dataclass(frozen=True, slots=True)
class Engine:
    """How compiled code is run: by `python`, as a "package" or by "run" (compiled in memory)."""

    kind: str
    python: str

    @property
    def name(self) -> str:
        """For the table."""
        return f"{_version(self.python)} {self.kind}"

    def command(self, wasm: Path, compiled: Compiled | None, args: tuple[str, ...]) -> tuple[list[str], Path]:
        """The command and the folder to run it in."""
        if self.kind == "run":
            return polymerase(self.python, "run", "--aot", "--no-cache", str(wasm), *args), wasm.parent
        assert compiled is not None
        return [self.python, "-m", compiled.folder.name, *args], compiled.folder.parent


def check(
    wasm: Path, jobs: tuple[Job, ...], engines: tuple[Engine, ...], compiled: Compiled | None, size: int, timeout: float
) -> Iterator[Row]:
    """Compare each job of one guest under each engine with wasmtime; outputs that differ stay beside the package."""
    given = inputs(size)
    for job in jobs:
        expected = under_wasmtime(wasm, job.args, given[job.stdin])
        given["=" + job.name] = expected.stdout
        for engine in engines:
            command, cwd = engine.command(wasm, compiled, job.args)
            run = process(command, given[job.stdin], cwd, timeout)
            fault = difference(expected, run)
            if fault:
                stem = f"{job.guest}.{job.name}.{engine.name.replace(' ', '.')}"
                wasm.with_name(stem + ".stdout").write_bytes(run.stdout)
                wasm.with_name(stem + ".stderr").write_text(run.error)
            yield Row(job, engine.name, run.seconds, run.seconds / max(expected.seconds, 1e-6), fault)


def jobs_of(name: str) -> tuple[Job, ...]:
    """The jobs of one guest, in order."""
    return tuple(job for job in JOBS if job.guest == name)
