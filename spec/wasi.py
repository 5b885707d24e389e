"""The official WASI suite, preview 1: finds its modules, runs each on a fresh copy of its folder, and judges.

The suite (github.com/WebAssembly/wasi-testsuite) is looked for where the environment variable POLYMERASE_WASI_TESTS
says. `wasi_expected.txt` beside this file lists the modules that don't pass, each with the reason; one that does pass
after all fails the run.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from polymerase_runtime.traps import Exit, Trap
from polymerase_runtime.wasi import Wasi

EXPECTED = Path(__file__).parent / "wasi_expected.txt"
VARIABLE = "POLYMERASE_WASI_TESTS"
TIMEOUT = 120.0  # seconds for one module under another Python
NAMESPACE = "wasi_snapshot_preview1"


@dataclass(frozen=True, slots=True)
class Case:
    """One module with what it is given and what it should do; None: anything."""

    name: str  # "rust/fd_readdir"
    wasm: Path
    args: tuple[str, ...]
    env: Mapping[str, str]
    root: Path | None  # the folder to preopen as "/"
    exit_code: int
    stdout: str | None
    stderr: str | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run did. `fault` is a trap or an error of ours."""

    exit_code: int
    stdout: bytes = b""
    stderr: bytes = b""
    fault: str | None = None


@dataclass(slots=True)
class Result:
    """A verdict: "passed", "failed" or "skipped", which means listed as not passing."""

    name: str
    status: str
    reason: str = ""
    seconds: float = field(default=0.0)


# Runs a module with the folder, if any, that is to be its "/".
Engine = Callable[[Case, "Path | None"], Outcome]


def find_cases(folder: Path, names: Sequence[str] = ()) -> list[Case]:
    """All modules of the suite, or those named: `rust/fd_readdir`, `fd_readdir` or `rust`. Raises LookupError."""
    found_here = (*folder.glob("*/*.wasm"), *folder.glob("*/testsuite/wasm32-wasip1/*.wasm"))  # flat, or as cloned
    cases = [_read_case(wasm, folder) for wasm in sorted(found_here)]
    if not cases:
        raise LookupError(f"no modules in {folder}")
    chosen = []
    for name in names:
        found = [case for case in cases if name in (case.name, *case.name.split("/"))]
        if not found:
            raise LookupError(f"no module {name!r} in the suite")
        chosen += found
    return chosen or cases


def _read_case(wasm: Path, folder: Path) -> Case:
    options: dict[str, Any] = {}
    if wasm.with_suffix(".json").exists():
        options = json.loads(wasm.with_suffix(".json").read_text("utf-8"))
    return Case(
        f"{wasm.relative_to(folder).parts[0]}/{wasm.stem}",
        wasm,
        tuple(options.get("args", ())),
        options.get("env", {}),
        wasm.parent / options["root"] if "root" in options else None,
        options.get("exit_code", 0),
        options.get("stdout"),
        options.get("stderr"),
    )


def read_expected(path: Path = EXPECTED) -> dict[str, str]:
    """The modules that don't pass, with the reason: lines `name: reason`, and comments that begin with #."""
    expected = {}
    for line in path.read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            name, _, reason = line.partition(": ")
            expected[name] = reason
    return expected


def run_cases(cases: Sequence[Case], engine: Engine, expected: Mapping[str, str]) -> list[Result]:
    """Run each module once, on a copy of its folder, and judge it."""
    results = []
    for case in cases:
        start = time.perf_counter()
        with tempfile.TemporaryDirectory(prefix="polymerase-wasi-") as scratch:
            root = None
            if case.root is not None:
                root = Path(scratch) / "root"
                shutil.copytree(case.root, root, ignore=shutil.ignore_patterns("*.cleanup"))
            outcome = engine(case, root)
        fault = judge(case, outcome)
        if case.name not in expected:
            result = Result(case.name, "failed" if fault else "passed", fault or "")
        elif fault:
            result = Result(case.name, "skipped", expected[case.name])
        else:
            result = Result(case.name, "failed", f"passes, but is listed as not passing: {expected[case.name]}")
        result.seconds = round(time.perf_counter() - start, 3)
        results.append(result)
    return results


def judge(case: Case, outcome: Outcome) -> str | None:
    """What is wrong with an outcome, or None."""
    said = outcome.stderr.decode("utf-8", "replace").strip()
    tail = f": {said[-500:]}" if said else ""
    if outcome.fault is not None:
        return outcome.fault + tail
    if outcome.exit_code != case.exit_code:
        return f"expected exit code {case.exit_code}, got {outcome.exit_code}{tail}"
    for what, wanted, got in (("stdout", case.stdout, outcome.stdout), ("stderr", case.stderr, outcome.stderr)):
        if wanted is not None and wanted.encode() != got:
            return f"expected {wanted!r} on {what}, got {got[:200]!r}"
    return None


def _run_here(case: Case, root: Path | None, start: Callable[[Wasi], None]) -> Outcome:
    """Run in this process what `start` starts, with streams in memory."""
    stdout, stderr = io.BytesIO(), io.BytesIO()
    code, fault = 0, None
    with Wasi(
        args=(case.wasm.name, *case.args),
        env=case.env,
        dirs={} if root is None else {"/": str(root)},
        stdin=io.BytesIO(),
        stdout=stdout,
        stderr=stderr,
    ) as wasi:
        try:
            start(wasi)
        except Exit as exit:
            code = exit.code
        except Trap as trap:
            fault = f"trap: {trap}"
        except Exception as error:
            fault = f"{type(error).__name__}: {error}"
    return Outcome(code, stdout.getvalue(), stderr.getvalue(), fault)


def memory_engine(opt_level: int, engine_name: Any) -> Engine:
    """Compiled in memory or interpreted, in this process."""

    def engine(case: Case, root: Path | None) -> Outcome:
        from polymerase import Module
        from polymerase.options import Options

        def start(wasi: Wasi) -> None:
            module = Module.from_file(case.wasm, options=Options(opt_level=opt_level))
            module.instantiate(wasi=wasi, engine=engine_name).exports["_start"]()

        return _run_here(case, root, start)

    return engine


def package_engine(python: str, opt_level: int) -> Engine:
    """Compiled to a standalone package for every Python, run as `python -m` under the Python named."""

    def engine(case: Case, root: Path | None) -> Outcome:
        from polymerase import compile_package

        with tempfile.TemporaryDirectory(prefix="polymerase-wasi-") as scratch:
            compile_package(case.wasm, Path(scratch) / "guest", standalone=True, target="both", opt_level=opt_level)
            environment = {**os.environ, **case.env, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": ""}
            environment["POLYMERASE_DIR"] = "" if root is None else f"{root}::/"
            environment["POLYMERASE_ENV"] = ",".join(case.env)
            try:
                done = subprocess.run(
                    [python, "-m", "guest", *case.args],
                    cwd=scratch,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    timeout=TIMEOUT,
                )
            except subprocess.TimeoutExpired as late:
                return Outcome(-1, late.stdout or b"", late.stderr or b"", f"still running after {TIMEOUT:.0f} s")
        return Outcome(done.returncode, done.stdout, done.stderr)

    return engine


def wasmtime_engine() -> Engine:
    """Our WASI functions under wasmtime: tells their faults from the compiler's."""
    import wasmtime

    class Memory:
        """wasmtime's memory as the functions see ours."""

        def __init__(self, memory: wasmtime.Memory, store: Any) -> None:
            self.memory, self.store = memory, store

        def __len__(self) -> int:
            return self.memory.data_len(self.store)

        def read(self, p: int, n: int) -> bytes:
            return bytes(self.memory.read(self.store, p, p + n))

        def write(self, p: int, data: bytes) -> None:
            self.memory.write(self.store, bytes(data), p)

    class Caller:
        """wasmtime's caller as the functions see ours."""

        def __init__(self, caller: wasmtime.Caller) -> None:
            memory = caller["memory"]
            assert isinstance(memory, wasmtime.Memory)
            self.memory = Memory(memory, caller)

    types = {"i32": wasmtime.ValType.i32, "i64": wasmtime.ValType.i64}
    bits = {"i32": 32, "i64": 64}

    def adapt(function: Any) -> Callable[..., Any]:
        sizes = [bits[t] for t in function.type.params]

        def call(caller: wasmtime.Caller, *args: int) -> int:
            unsigned = [arg & (1 << size) - 1 for arg, size in zip(args, sizes, strict=True)]
            return int(function.fn(Caller(caller), *unsigned))

        return call

    compiler = wasmtime.Engine()

    def engine(case: Case, root: Path | None) -> Outcome:
        module = wasmtime.Module.from_file(compiler, str(case.wasm))

        def start(wasi: Wasi) -> None:
            linker = wasmtime.Linker(compiler)
            for namespace, functions in wasi.imports().items():
                for name, function in functions.items():
                    assert function.type is not None
                    params, results = ([types[t]() for t in side] for side in function.type)
                    kind = wasmtime.FuncType(params, results)
                    linker.define_func(namespace, name, kind, adapt(function), access_caller=True)
            store = wasmtime.Store(compiler)
            run = linker.instantiate(store, module).exports(store)["_start"]
            assert isinstance(run, wasmtime.Func)
            run(store)

        return _run_here(case, root, start)

    return engine


def suite_folder() -> Path:
    """Where the suite is. Raises LookupError."""
    folder = os.environ.get(VARIABLE)
    if not folder:
        raise LookupError(f"the environment variable {VARIABLE} should name the folder of the WASI suite")
    if not Path(folder).is_dir():
        raise LookupError(f"{VARIABLE}: no folder {folder}")
    return Path(folder)


def run_wasi(
    names: Sequence[str] = (),
    *,
    engine: str = "aot",
    python: str | None = None,
    json_file: Path | None = None,
    opt_level: int = 2,
    folder: Path | None = None,
) -> int:
    """Run the suite or the modules named, print what failed and the counts, and return the exit code.

    `engine` is "aot", "interp" or "wasmtime"; `python`, a command, runs standalone packages under it instead.
    """
    try:
        cases = find_cases(folder or suite_folder(), names)
    except LookupError as error:
        print(f"error: {error.args[0]}", file=sys.stderr)
        return 2
    if python is not None:
        chosen = package_engine(python, opt_level)
    else:
        chosen = wasmtime_engine() if engine == "wasmtime" else memory_engine(opt_level, engine)
    results = run_cases(cases, chosen, read_expected())
    for result in results:
        if result.status != "passed":
            print(f"{result.status} {result.name} ({result.seconds:.1f} s): {result.reason}")
    if json_file is not None:
        head = {"engine": engine, "opt_level": opt_level, "python": python}
        listed = [asdict(result) for result in results]
        json_file.write_text(json.dumps({**head, "results": listed}, indent=1) + "\n", "utf-8")
    counts = {status: sum(r.status == status for r in results) for status in ("passed", "failed", "skipped")}
    print(f"{counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped")
    return 1 if counts["failed"] else 0
