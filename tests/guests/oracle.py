"""Calls made under wasmtime, through polymerase in memory and in packages run by another Python, in one notation."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

wasmtime = pytest.importorskip("wasmtime", reason="wasmtime says what is right")

Call = tuple[str, tuple[Any, ...]]  # export, arguments
# Per call ["ok", result…] or ["trap", the suite's words]; floats as hex, so that results survive JSON
Outcome = list[Any]

TRAPS = {
    wasmtime.TrapCode.STACK_OVERFLOW: "call stack exhausted",
    wasmtime.TrapCode.MEMORY_OUT_OF_BOUNDS: "out of bounds memory access",
    wasmtime.TrapCode.UNREACHABLE: "unreachable",
    wasmtime.TrapCode.INTEGER_DIVISION_BY_ZERO: "integer divide by zero",
    wasmtime.TrapCode.INTEGER_OVERFLOW: "integer overflow",
    wasmtime.TrapCode.TABLE_OUT_OF_BOUNDS: "undefined element",
    wasmtime.TrapCode.BAD_SIGNATURE: "indirect call type mismatch",
    wasmtime.TrapCode.INDIRECT_CALL_TO_NULL: "uninitialized element",
}

# Runs in any Python that has the package in its working directory: reads calls, prints outcomes.
CLIENT = """
import importlib, json, sys
package = importlib.import_module(sys.argv[1])
with open(sys.argv[2]) as file:
    calls = json.load(file)
exports = package.instantiate().exports
outcomes = []
for name, args in calls:
    try:
        result = exports[name](*args)
    except package.Trap as trap:
        outcomes.append(["trap", str(trap)])
        continue
    results = result if isinstance(result, tuple) else () if result is None else (result,)
    outcomes.append(["ok", *[v.hex() if isinstance(v, float) else v for v in results]])
print(json.dumps(outcomes))
"""


def assemble(text: str) -> bytes:
    """WAT to a module."""
    return bytes(wasmtime.wat2wasm(text))


def _plain(result: object) -> Outcome:
    results = result if isinstance(result, (tuple, list)) else () if result is None else (result,)
    return ["ok", *[v.hex() if isinstance(v, float) else v for v in results]]


def by_wasmtime(wasm: bytes, calls: Sequence[Call]) -> list[Outcome]:
    """What is right."""
    config = wasmtime.Config()
    config.wasm_tail_call = True
    engine = wasmtime.Engine(config)
    store = wasmtime.Store(engine)
    exports = wasmtime.Instance(store, wasmtime.Module(engine, wasm), []).exports(store)
    outcomes: list[Outcome] = []
    for name, args in calls:
        try:
            outcomes.append(_plain(exports[name](store, *args)))
        except wasmtime.Trap as trap:
            outcomes.append(["trap", TRAPS[trap.trap_code]])
    return outcomes


def by_polymerase(wasm: bytes, calls: Sequence[Call], target: str, opt_level: int = 2) -> list[Outcome]:
    """Compiled in memory, in the spelling for `target`, run by this Python."""
    from polymerase import Module, Options, Trap

    options = Options(target=target, opt_level=opt_level)  # type: ignore[arg-type]  # a literal in each caller
    exports = Module(wasm, "test.wasm", options=options).instantiate().exports
    outcomes: list[Outcome] = []
    for name, args in calls:
        try:
            outcomes.append(_plain(exports[name](*args)))
        except Trap as trap:
            outcomes.append(["trap", str(trap)])
    return outcomes


def compile_standalone(wasm: bytes, folder: Path, name: str) -> None:
    """A standalone package `name` in `folder`, in both spellings."""
    from polymerase import Module, compile_package

    compile_package(Module(wasm, f"{name}.wasm"), folder / name, standalone=True, target="both")


def by_package(python: str, folder: Path, name: str, calls: Sequence[Call]) -> list[Outcome]:
    """Calls into package `name` in `folder`, by a Python that knows nothing of polymerase."""
    (folder / "calls.json").write_text(json.dumps(calls))
    env = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    command = [python, "-c", CLIENT, name, "calls.json"]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    outcomes: list[Outcome] = json.loads(done.stdout)
    return outcomes
