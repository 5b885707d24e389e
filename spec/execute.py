"""Carries out a script's commands, given as plain data, on modules that are already compiled.

The same code runs in this process and, as a program of its own, in a worker under another Python (3.9, PyPy), where
only `polymerase_runtime` can be imported: hence the old grammar and no other import. As a program it answers one line
of JSON on standard input, `{"modules": [package name], "steps": [step]}`, with one on standard output,
`{"outcomes": [[passed, detail]]}`; packages are looked up on `sys.path`.

A step is a dict; "do" says what: "module" (instantiate number "module", unless "definition"), "instance", "register",
"invoke" or "get". "expect" is `["return", patterns]`, `[fault, message]` with fault "trap", "exhaustion", "unlinkable"
or "exception", or None: must not fail. "fault", where present, is why the module could not be compiled; with a
"module" all the same, that is what remained of it without what is unsupported. Values and
patterns are those of `spec.wast`: bits, never floats, so that NaN payloads are compared exactly.
"""

from __future__ import annotations

import gc
import importlib
import json
import struct
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Step = dict[str, Any]
Outcome = tuple[bool, str]
Instantiate = Callable[[Mapping[str, Any]], Any]

QUIET = {32: 1 << 22, 64: 1 << 51}
EXPONENT = {32: 0x7F800000, 64: 0x7FF0000000000000}
# Faults by the class that stands for them, wherever it comes from (an engine may bring classes of its own).
FAULTS = {"Trap": "trap", "LinkError": "unlinkable", "WasmException": "exception"}


class Extern:
    """The host object that `(ref.extern n)` denotes."""

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number

    def __repr__(self) -> str:
        return f"extern {self.number}"


class Wrong(Exception):
    """An outcome that is not the expected one."""


class Execution:
    """One run of one script: its instances, by name, and the registered ones."""

    def __init__(self, modules: Sequence[Instantiate], spectest: Mapping[str, Any]) -> None:
        self.modules = modules
        self.registered: dict[str, Any] = {"spectest": spectest}
        self.instances: dict[str, Any] = {}
        self.definitions: dict[str, int] = {}
        self.current: Any = None
        self.defined: int | None = None
        self.externs: dict[int, Extern] = {}

    def run(self, steps: Sequence[Step]) -> list[Outcome]:
        """The outcome of each step: whether it passed, and if not, what happened instead."""
        return [self.outcome(step) for step in steps]

    def outcome(self, step: Step) -> Outcome:
        """Does one step and judges what it gave."""
        expect = step.get("expect")
        try:
            results = self.do(step)
        except Wrong as wrong:
            return False, str(wrong)
        except Exception as error:  # whatever an engine may throw is an outcome to report
            return self.judge_fault(error, expect)
        if expect is None:
            return True, ""
        if expect[0] != "return":
            return False, "no fault" + (f", gave {results!r}" if results else "")
        patterns = expect[1]
        if len(results) != len(patterns):
            return False, f"{len(results)} results"
        if all(self.matches(result, patterns[i]) for i, result in enumerate(results)):
            return True, ""
        return False, "gave " + ", ".join(show(result, patterns[i]) for i, result in enumerate(results))

    def judge_fault(self, error: Exception, expect: Sequence[Any] | None) -> Outcome:
        """Whether a raised exception is the expected fault."""
        kind = next((FAULTS[c.__name__] for c in type(error).__mro__ if c.__name__ in FAULTS), None)
        texts = getattr(error, "texts", (str(error),))  # more than one: the engine cannot tell them apart
        got = f"{type(error).__name__}: {error}"
        if expect is None or kind is None or expect[0] == "return":
            return False, got
        wanted, message = expect
        if wanted == "exhaustion":
            wanted = "trap"
        if kind != wanted:
            return False, got
        # As in the reference interpreter, what is expected is how the text begins. It may add which element was
        # uninitialized, which we cannot know.
        if kind == "exception" or any(text.startswith(message) or message.startswith(text + " ") for text in texts):
            return True, ""
        return False, got

    def do(self, step: Step) -> list[Any]:
        """Carries out one step; an action's results in a list."""
        what = step["do"]
        if what == "module":
            self.add_module(step)
        elif what == "instance":
            module = self.defined if step["module"] is None else self.definitions.get(step["module"])
            self.add_instance(step["name"], module)
        elif what == "register":
            self.registered[step["name"]] = self.instance(step["instance"]).exports
        elif what == "get":
            return [self.instance(step["instance"]).exports[step["export"]].value]
        else:
            func = self.instance(step["instance"]).exports[step["export"]]
            results = func(*[self.argument(value) for value in step["args"]])
            if results is None and step["expect"] is not None and step["expect"][0] == "return":
                return [None] * min(len(step["expect"][1]), 1)  # a null reference looks like no result
            return list(results) if isinstance(results, tuple) else [] if results is None else [results]
        return []

    def add_module(self, step: Step) -> None:
        """Defines a module and, unless it is only a definition, makes an instance of it."""
        self.defined = None
        if not step["definition"]:
            self.current = None
            self.instances.pop(step["name"], None)
        if "module" in step:
            self.defined = step["module"]
            if step["name"] is not None:
                self.definitions[step["name"]] = step["module"]
            if not step["definition"]:
                self.add_instance(step["name"], step["module"])
        if "fault" in step:
            raise Wrong(step["fault"])

    def add_instance(self, name: str | None, module: int | None) -> None:
        """Makes an instance, which becomes the current one."""
        self.current = None
        if module is None:
            raise Wrong("its module was not compiled")
        instance = self.modules[module](self.registered)
        self.current = instance
        if name is not None:
            self.instances[name] = instance

    def instance(self, name: str | None) -> Any:
        """The instance of that name; None: the current one."""
        instance = self.current if name is None else self.instances.get(name)
        if instance is None:
            raise Wrong("its module was not instantiated")
        return instance

    def argument(self, value: Sequence[Any]) -> Any:
        """A value as it is given to an exported function."""
        kind = value[0]
        if kind == "i32" or kind == "i64":
            return signed(value[1], int(kind[1:]))
        if kind == "f32":
            return f32_value(value[1])
        if kind == "f64":
            return f64_value(value[1])
        if kind == "v128":
            return join_lanes(value[1], value[2])
        if value[2] == "null":
            return None
        return self.externs.setdefault(value[2], Extern(value[2]))

    def matches(self, result: Any, pattern: Sequence[Any]) -> bool:
        """Whether a public result (signed integers, floats, references) is what the pattern asks for."""
        kind = pattern[0]
        if kind == "either":
            return any(self.matches(result, each) for each in pattern[1])
        if kind == "i32" or kind == "i64":
            return type(result) is int and result == signed(pattern[1], int(kind[1:]))
        if kind == "f32" or kind == "f64":
            if type(result) is not float:
                return False
            bits = f32_bits(result) if kind == "f32" else f64_bits(result)
            return bits is not None and float_matches(bits, pattern[1], int(kind[1:]))
        if kind == "v128":
            width = 128 // len(pattern[2])
            return type(result) is int and all(
                float_matches(result >> i * width & (1 << width) - 1, lane, width) for i, lane in enumerate(pattern[2])
            )
        heap, number = pattern[1:]
        if number == "null":
            return result is None
        if heap == "func":
            return callable(result)
        if number is not None:
            return result is not None and result is self.externs.get(number)
        return result is not None


def signed(bits: int, width: int) -> int:
    """The signed reading of an unsigned integer."""
    return bits - (1 << width) if bits >> width - 1 else bits


def float_matches(bits: int, pattern: Any, width: int) -> bool:
    """Whether the bits of a float (or of any lane) are the expected ones."""
    if isinstance(pattern, int):
        return bits == pattern
    magnitude = bits & (1 << width - 1) - 1
    if pattern == "canonical":
        return magnitude == EXPONENT[width] | QUIET[width]
    return magnitude & (EXPONENT[width] | QUIET[width]) == EXPONENT[width] | QUIET[width]


def f64_bits(value: float) -> int:
    """The bits of an f64."""
    return int(struct.unpack("<Q", struct.pack("<d", value))[0])


def f64_value(bits: int) -> float:
    """The f64 of these bits."""
    return float(struct.unpack("<d", struct.pack("<Q", bits))[0])


def f32_bits(value: float) -> int | None:
    """The bits of an f32 held as a Python float, its NaN payload shifted left by 29; None if it is no f32."""
    if value != value:
        bits = f64_bits(value)
        if bits & (1 << 29) - 1:
            return None
        return bits >> 63 << 31 | EXPONENT[32] | bits >> 29 & (1 << 23) - 1
    try:
        packed = struct.pack("<f", value)
    except OverflowError:
        return None
    return int(struct.unpack("<I", packed)[0]) if struct.unpack("<f", packed)[0] == value else None


def f32_value(bits: int) -> float:
    """The Python float that holds the f32 of these bits."""
    if bits & EXPONENT[32] == EXPONENT[32] and bits & (1 << 23) - 1:
        return f64_value(bits >> 31 << 63 | EXPONENT[64] | (bits & (1 << 23) - 1) << 29)
    return float(struct.unpack("<f", struct.pack("<I", bits))[0])


def join_lanes(shape: str, lanes: Sequence[int]) -> int:
    """A vector as an unsigned integer, lane 0 lowest."""
    width = 128 // len(lanes)
    return sum(lane << i * width for i, lane in enumerate(lanes))


def show(result: Any, pattern: Sequence[Any]) -> str:
    """A result, in bits where the pattern is about bits."""
    if isinstance(result, float):
        bits = f32_bits(result) if pattern[0] == "f32" else f64_bits(result)
        return f"{result!r} (not an f32)" if bits is None else f"{pattern[0]}:{bits:#x}"
    if pattern[0] == "v128" and isinstance(result, int):
        return f"v128:{result:#034x}"
    return repr(result)


def spectest() -> dict[str, Any]:
    """The host module that the scripts import (interpreter/host/spectest.ml), new for each script."""
    from polymerase_runtime import Global, HostFunc, Memory, Table
    from polymerase_runtime.types import FuncType, GlobalType, MemoryType, SizeLimits, TableType

    def ignore(*args: Any) -> None:
        """Prints nothing: the output is not tested."""

    prints = {
        "print": (),
        "print_i32": ("i32",),
        "print_i64": ("i64",),
        "print_f32": ("f32",),
        "print_f64": ("f64",),
        "print_i32_f32": ("i32", "f32"),
        "print_f64_f64": ("f64", "f64"),
    }
    module: dict[str, Any] = {name: HostFunc(FuncType(params, ()), ignore) for name, params in prints.items()}
    for kind, value in (("i32", 666), ("i64", 666), ("f32", f32_value(0x4426A666)), ("f64", 666.6)):
        module[f"global_{kind}"] = Global(GlobalType(kind, False), value)
    module["table"] = Table(TableType("funcref", SizeLimits(10, 20)))
    module["memory"] = Memory(MemoryType(SizeLimits(1, 2)))
    return module


def main() -> None:
    """The worker: one script a line, until the input ends."""
    for line in sys.stdin:
        job = json.loads(line)
        modules = [load(name) for name in job["modules"]]
        outcomes = Execution(modules, spectest()).run(job["steps"])
        for name in list(sys.modules):
            if name.split(".")[0] in job["modules"]:
                del sys.modules[name]
        del modules
        gc.collect()
        print(json.dumps({"outcomes": outcomes}), flush=True)


def load(name: str) -> Instantiate:
    """A compiled package's `instantiate`, imported when it is first called."""

    def instantiate(imports: Mapping[str, Any]) -> Any:
        return importlib.import_module(name).instantiate(imports)

    return instantiate


if __name__ == "__main__":
    main()
