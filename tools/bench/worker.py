"""Runs kernels in one engine: the other end of `measure.Worker`'s pipe.

Started by path, under any Python from 3.9 on and PyPy, so it imports nothing but the standard library and its engine.
Reads one JSON object a line: `{"load": file}` makes `run` ready, `{"run": n}` calls it. Answers each with one:
`{"version": …, "python": …}` when started, `{}` or `{"error": …}`, `{"cpu": seconds, "result": unsigned}`.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from typing import Any, Protocol, cast

Run = Callable[[int], int]


def import_file(name: str, path: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


class Hand:
    """The kernel as a person would write it in Python."""

    def version(self) -> str:
        return ""

    def load(self, path: str) -> Run:
        name = os.path.basename(path)[: -len(".py")]
        return cast(Run, import_file("hand_" + name, path).run)


class Polymerase:
    """A standalone package that polymerase compiled."""

    def version(self) -> str:
        return ""

    def load(self, path: str) -> Run:
        sys.path.insert(0, os.path.dirname(path))
        return cast(Run, importlib.import_module(os.path.basename(path)).run)


class Pwasm:
    """pwasm with every function compiled to Python, its fastest mode; no resource limits, which would cost time."""

    def version(self) -> str:
        os.environ["PWASM_CACHE_DIR"] = ""
        return distribution_version("pwasm")

    def load(self, path: str) -> Run:
        from pwasm import decode_module, instantiate

        with open(path, "rb") as f:
            instance = instantiate(decode_module(f.read()), mode="compile")
        instance.exports.run(0)
        if instance.compile_errors:
            raise RuntimeError(f"not compiled: {instance.compile_errors}")
        return cast(Run, instance.exports.run)


class PwasmInterpreter(Pwasm):
    """pwasm's interpreter."""

    def load(self, path: str) -> Run:
        from pwasm import decode_module, instantiate

        with open(path, "rb") as f:
            instance = instantiate(decode_module(f.read()), mode="interpret")
        return cast(Run, instance.exports.run)


class Pywasm:
    """pywasm, an interpreter."""

    def version(self) -> str:
        return distribution_version("pywasm")

    def load(self, path: str) -> Run:
        import pywasm

        runtime = pywasm.core.Runtime()
        module = runtime.instance_from_file(path)
        return lambda n: cast(int, runtime.invocate(module, "run", [n])[0])


class Ppci:
    """ppci's Python backend."""

    def version(self) -> str:
        return distribution_version("ppci")

    def load(self, path: str) -> Run:
        from ppci.wasm import Module, instantiate

        sys.setrecursionlimit(20000)
        with open(path, "rb") as f:
            instance = instantiate(Module(f), {}, target="python")
        return cast(Run, instance.exports.run)


class Wasmtime:
    """wasmtime, native code from Cranelift."""

    def version(self) -> str:
        return distribution_version("wasmtime")

    def load(self, path: str) -> Run:
        import wasmtime

        store = wasmtime.Store()
        instance = wasmtime.Instance(store, wasmtime.Module.from_file(store.engine, path), [])
        run: Any = instance.exports(store)["run"]
        return lambda n: cast(int, run(store, n))


class Engine(Protocol):
    def version(self) -> str: ...

    def load(self, path: str) -> Run: ...


ENGINES: dict[str, type[Engine]] = {
    "hand": Hand,
    "polymerase": Polymerase,
    "interp": Polymerase,  # of a package in which every function is interpreted
    "pwasm": Pwasm,
    "pwasm-int": PwasmInterpreter,
    "pywasm": Pywasm,
    "ppci": Ppci,
    "wasmtime": Wasmtime,
}


def distribution_version(name: str) -> str:
    """The installed version; importing the package too, so that an unsupported Python shows at once."""
    from importlib.metadata import version

    importlib.import_module(name)
    return version(name)


def main() -> None:
    # whatever an engine prints must not mix with the answers
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(**values: Any) -> None:
        answers.write(json.dumps(values) + "\n")
        answers.flush()

    sys.path.extend(sys.argv[2:])
    try:
        engine = ENGINES[sys.argv[1]]()
        python = f"{platform.python_implementation()} {platform.python_version()}"
        if hasattr(sys, "pypy_version_info"):
            python = "PyPy {}.{}.{} ({})".format(*sys.pypy_version_info[:3], platform.python_version())
        answer(version=engine.version(), python=python)
    except Exception as error:
        answer(error=f"{type(error).__name__}: {error}")
        return
    run: Run = abs
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if "load" in request:
                run = engine.load(request["load"])
                answer()
            else:
                n = request["run"]
                start = time.process_time()
                result = run(n)
                cpu = time.process_time() - start
                answer(cpu=cpu, result=result & 0xFFFFFFFF)
        except Exception as error:
            answer(error=f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
