"""What a call across the border costs: `python tools/calls.py [PYTHON…]`, paired with plain Python calls in one run.

In: a loop in Python calls an export, and an equivalent Python function; the difference for one call. `leaf` calls
nothing, `calls` another function of the guest that calls none, `deep` might call itself, so that Python's recursion
limit has to be raised for it, `through` calls the host. Out: a loop in the guest calls the host, and an
equivalent function of the guest's; the difference for one call. Microseconds, the median of the differences of many
short rounds in turn; below it the smallest time less the smallest time, which other load disturbs least. wasmtime and
pwasm are measured in the Pythons that have them.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from operator import sub
from typing import Any

TEXT = """
(module
  (import "env" "host" (func $host (param i32) (result i32)))
  (func $local (param i32) (result i32) (i32.add (local.get 0) (i32.const 1)))
  (func (export "leaf") (param i32) (result i32) (i32.add (local.get 0) (i32.const 1)))
  (func (export "calls") (param i32) (result i32) (call $local (local.get 0)))
  (func (export "through") (param i32) (result i32) (call $host (local.get 0)))
  (func $deep (export "deep") (param i32) (result i32)
    (if (result i32) (i32.eqz (local.get 0))
      (then (call $deep (i32.const 1)))
      (else (i32.add (local.get 0) (i32.const 1)))))
  (func (export "out") (param i32) (result i32)
    (loop (drop (call $host (local.get 0)))
      (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
    (local.get 0))
  (func (export "within") (param i32) (result i32)
    (loop (drop (call $local (local.get 0)))
      (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
    (local.get 0)))
"""
PACKAGE = "calls_py"
NAMES = ("leaf", "calls", "deep", "through", "out", "within")
PYPY = sys.implementation.name == "pypy"
CALLS, ROUNDS = (50_000, 20) if PYPY else (300, 300)  # PyPy compiles what runs long
BOUND = 0.3  # microseconds

Calls = dict[str, Callable[[int], Any]]


def host(x: int) -> int:
    return x + 1


def local(x: int) -> int:
    return x + 1 & 0xFFFFFFFF


def plain() -> Calls:
    def calls(x: int) -> int:
        return local(x)

    def deep(x: int) -> int:
        return deep(1) if x == 0 else x + 1 & 0xFFFFFFFF

    def through(x: int) -> int:
        return host(x)

    return {"leaf": local, "calls": calls, "deep": deep, "through": through}


def polymerase(folder: str) -> Calls:
    sys.path.insert(0, folder)
    exports = importlib.import_module(PACKAGE).instantiate({"env": {"host": host}}).exports
    return {name: exports[name] for name in NAMES}


def pwasm(folder: str) -> Calls:
    os.environ["PWASM_CACHE_DIR"] = ""
    from pwasm import decode_module, instantiate

    with open(os.path.join(folder, "calls.wasm"), "rb") as f:
        instance = instantiate(decode_module(f.read()), {"env": {"host": host}}, mode="compile")
    return {name: getattr(instance.exports, name) for name in NAMES}


def wasmtime(folder: str) -> Calls:
    import wasmtime

    store = wasmtime.Store()
    i32 = wasmtime.ValType.i32()
    function = wasmtime.Func(store, wasmtime.FuncType([i32], [i32]), host)
    module = wasmtime.Module.from_file(store.engine, os.path.join(folder, "calls.wasm"))
    exports: Any = wasmtime.Instance(store, module, [function]).exports(store)
    return {name: bind(store, exports[name]) for name in NAMES}


def bind(store: Any, f: Any) -> Callable[[int], Any]:
    """What calls `f` in `store`, as cheaply as can be."""
    from functools import partial

    return partial(f, store)


LOOP = """
def loop(f, n, clock):
    start = clock()
    for _ in range(n):
        f(5)
    return clock() - start
"""


def loop() -> Callable[..., float]:
    """A loop of its own for each function, so that each is specialised for it."""
    names: dict[str, Any] = {}
    exec(compile(LOOP, "<loop>", "exec"), names)
    made: Callable[..., float] = names["loop"]
    return made


def measure(calls: Calls, base: Calls) -> dict[str, list[float]]:
    """[median, smallest] for each kind of call, in microseconds more than a plain one."""
    pairs = [(name, loop(), calls[name], loop(), base[name]) for name in base]
    times: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in (*base, "out")}
    clock = time.perf_counter
    for _ in range(ROUNDS):
        for name, ours, f, theirs, g in pairs:
            times[name][0].append(ours(f, CALLS, clock))
            times[name][1].append(theirs(g, CALLS, clock))
        for i, name in enumerate(("out", "within")):
            start = clock()
            calls[name](CALLS)
            times["out"][i].append(clock() - start)
    scale = 1e6 / CALLS
    return {
        name: [statistics.median(map(sub, *pair)) * scale, (min(pair[0]) - min(pair[1])) * scale]
        for name, pair in times.items()
    }


def work(folder: str) -> None:
    """In the Python that is measured: print JSON."""
    results: dict[str, Any] = {}
    for name, make in {"polymerase": polymerase, "pwasm": pwasm, "wasmtime": wasmtime}.items():
        try:
            made = make(folder)
        except Exception as e:
            results[name] = f"{type(e).__name__}: {e}"
        else:
            results[name] = measure(made, plain())
    version = ".".join(map(str, getattr(sys, "pypy_version_info", sys.version_info)[:3]))
    print(json.dumps({"python": f"{platform.python_implementation()} {version}", "results": results}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pythons", nargs="*", default=[sys.executable], help="interpreters to measure in")
    parser.add_argument("--path", help="a folder of packages, such as pwasm, for all of them")
    args = parser.parse_args()
    from wasmtime import wat2wasm

    import polymerase as compiler

    with tempfile.TemporaryDirectory() as folder:
        wasm = os.path.join(folder, "calls.wasm")
        with open(wasm, "wb") as f:
            f.write(wat2wasm(TEXT))
        compiler.compile_package(wasm, os.path.join(folder, PACKAGE), target="both", standalone=True)
        print(f"{'':24}{'':12}" + "".join(f"{name:>9}" for name in (*plain(), "out")) + f"   (bound: {BOUND})")
        for python in args.pythons:
            env = {**os.environ, "PYTHONPATH": args.path or ""}
            run = subprocess.run([python, __file__, "--work", folder], capture_output=True, text=True, env=env)
            if run.returncode:
                print(f"{python}: {run.stderr.strip().splitlines()[-1]}")
                continue
            found = json.loads(run.stdout)
            for engine, result in found["results"].items():
                if isinstance(result, str):
                    print(f"{found['python']:24}{engine:12} {result}")
                    continue
                for i, title in enumerate((engine, "  smallest")):
                    row = "".join(f"{pair[i]:9.3f}" for pair in result.values())
                    print(f"{found['python'] if not i else '':24}{title:12}{row}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--work"]:
        work(sys.argv[2])
    else:
        main()
