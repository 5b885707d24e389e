"""wasmtime as an engine: it shows that the runner reads the scripts right, and which of them need what.

Instances look to `spec.execute` like ours: `exports[name]`, functions that are called with public values, `value` of a
global. Values cross as bits, because wasmtime's own conversions quiet signalling NaNs.
"""

from __future__ import annotations

import ctypes
import importlib
import re
from collections.abc import Callable, Mapping
from typing import Any

from polymerase.errors import PolymeraseError
from polymerase.wasm.decode import decode
from polymerase.wasm.types import V128
from spec.execute import Extern, f32_bits, f32_value, f64_bits, f64_value, signed

wasmtime: Any = importlib.import_module("wasmtime")  # Any: what is needed below is not part of its typed surface
ffi: Any = importlib.import_module("wasmtime._ffi")
enter_wasm: Any = importlib.import_module("wasmtime._func").enter_wasm
unintern: Any = importlib.import_module("wasmtime._value")._unintern
intern: Any = importlib.import_module("wasmtime._value")._intern
finalizer: Any = importlib.import_module("wasmtime._value")._externref_finalizer

# Proposals after 2.0 that wasmtime can switch off; tail calls and extended constants stay on.
LATER = (
    "wasm_simd",
    "wasm_relaxed_simd",
    "wasm_multi_memory",
    "wasm_memory64",
    "wasm_exceptions",
    "wasm_gc",
    "wasm_function_references",
)

SPECTEST = """(module
    (global (export "global_i32") i32 (i32.const 666)) (global (export "global_i64") i64 (i64.const 666))
    (global (export "global_f32") f32 (f32.const 666.6)) (global (export "global_f64") f64 (f64.const 666.6))
    (table (export "table") 10 20 funcref) (memory (export "memory") 1 2) (func (export "print"))
    (func (export "print_i32") (param i32)) (func (export "print_i64") (param i64))
    (func (export "print_f32") (param f32)) (func (export "print_f64") (param f64))
    (func (export "print_i32_f32") (param i32 f32)) (func (export "print_f64_f64") (param f64 f64)))"""
SPECTEST64 = '(module (table (export "table64") i64 10 20 funcref))'


class Trap(Exception):
    """A trap in the suite's words; `texts` where wasmtime has one code for what the suite tells apart."""

    def __init__(self, *texts: str) -> None:
        super().__init__(texts[0])
        self.texts = texts


class LinkError(Exception):
    """Imports that don't match."""


class WasmException(Exception):
    """An exception that the guest threw and did not catch."""


WORDS = {
    "STACK_OVERFLOW": ("call stack exhausted",),
    "MEMORY_OUT_OF_BOUNDS": ("out of bounds memory access",),
    "TABLE_OUT_OF_BOUNDS": ("out of bounds table access", "undefined element"),
    "INDIRECT_CALL_TO_NULL": ("uninitialized element",),
    "BAD_SIGNATURE": ("indirect call type mismatch",),
    "INTEGER_OVERFLOW": ("integer overflow",),
    "INTEGER_DIVISION_BY_ZERO": ("integer divide by zero",),
    "BAD_CONVERSION_TO_INTEGER": ("invalid conversion to integer",),
    "UNREACHABLE": ("unreachable",),
    "NULL_REFERENCE": tuple(f"null {kind}reference" for kind in ("", "function ", "structure ", "array ", "i31 ")),
    "ARRAY_OUT_OF_BOUNDS": ("out of bounds array access",),
    "CAST_FAILURE": ("cast failure",),
}


class Session:
    """One script's store, in an engine that may do less than the whole one."""

    def __init__(self, engine: Any, whole: Any) -> None:
        self.engine = engine
        self.whole = whole
        self.store = wasmtime.Store(engine)
        self.spectest = dict(Exports(self.store, self.make(SPECTEST, [])))
        if engine is whole:
            self.spectest.update(Exports(self.store, self.make(SPECTEST64, [])))

    def make(self, module: Any, externs: list[Any]) -> Any:
        """An instance of a module or of a module's text."""
        if isinstance(module, str):
            module = wasmtime.Module(self.engine, module)
        return wasmtime.Instance(self.store, module, externs)

    def fault(self, data: bytes) -> tuple[str, str] | None:
        """What is wrong with a module: kind and text. The kind is "unsupported" if it has to do with a proposal that
        is switched off: then it says so, and the whole engine says something else. wasmtime does not tell other kinds
        apart."""
        text, whole = verdict(self.engine, data), verdict(self.whole, data)
        if text is None:
            return None
        names_feature = re.search("enabled|required|supported|multiple memories", text)
        return "unsupported" if names_feature and text != whole else "any", text

    def compile(self, data: bytes) -> Callable[[Mapping[str, Any]], Any]:
        """A module as a function that makes instances."""
        module = wasmtime.Module(self.engine, data)
        signatures = vector_signatures(data)

        def instantiate(imports: Mapping[str, Any]) -> Any:
            externs = []
            for each in module.imports:
                found = imports.get(each.module, {}).get(each.name)
                if found is None:
                    raise LinkError(f"unknown import {each.module}.{each.name}")
                externs.append(found.extern)
            instance = Instance(self.store, guarded(lambda: self.make(module, externs)))
            for name, signature in signatures.items():
                instance.exports[name].signature = signature
            return instance

        return instantiate


class Instance:
    """An instance with its exports."""

    def __init__(self, store: Any, instance: Any) -> None:
        self.exports = Exports(store, instance)


class Exports(dict[str, Any]):
    """An instance's exports by name."""

    def __init__(self, store: Any, instance: Any) -> None:
        super().__init__((name, Export(store, extern)) for name, extern in instance.exports(store)._extern_map.items())


class Export:
    """A function to call, a global with a value, or something to import elsewhere."""

    def __init__(self, store: Any, extern: Any) -> None:
        self.store = store
        self.extern = extern
        self.signature: tuple[list[str], int] | None = None  # kinds of parameters, number of results

    @property
    def value(self) -> Any:
        """What a global holds."""
        raw = ffi.wasmtime_val_t()
        ffi.wasmtime_global_get(self.store._context(), ctypes.byref(self.extern._global), ctypes.byref(raw))
        return self.from_raw(raw)

    def __call__(self, *args: Any) -> Any:
        """Calls a function."""
        if self.signature is None:
            type_ = self.extern.type(self.store)
            kinds = ["externref" if str(kind) == "anyref" else str(kind) for kind in type_.params]
            self.signature = kinds, len(type_.results)
        params = (ffi.wasmtime_val_t * len(args))()
        for i, (kind, value) in enumerate(zip(self.signature[0], args, strict=True)):
            params[i] = self.to_raw(kind, value)
        results = (ffi.wasmtime_val_t * self.signature[1])()

        def call() -> None:
            with enter_wasm(self.store) as trap:
                error = ffi.wasmtime_func_call(
                    self.store._context(),
                    ctypes.byref(self.extern._func),
                    params,
                    len(params),
                    results,
                    len(results),
                    trap,
                )
                if error:
                    raise wasmtime.WasmtimeError._from_ptr(error)

        guarded(call)
        values = tuple(map(self.from_raw, results))
        return values if len(values) > 1 else values[0] if values else None

    def to_raw(self, kind: str, value: Any) -> Any:
        """A public value as wasmtime's."""
        raw = ffi.wasmtime_val_t()
        raw.kind = getattr(ffi, f"WASMTIME_{kind.upper()}")
        if kind in ("i32", "i64", "f32", "f64", "v128"):
            bits: Any = value if kind[0] in "iv" else f32_bits(value) if kind == "f32" else f64_bits(value)
            packed = (bits & (1 << 128) - 1).to_bytes(16, "little")
            ctypes.memmove(ctypes.byref(raw.of), packed, int(kind[1:]) // 8)
        elif kind == "externref" and value is not None:
            number = intern(value)
            ffi.wasmtime_externref_new(self.store._context(), number, finalizer, ctypes.byref(raw.of.externref))
        elif value is not None:
            raise TypeError(f"cannot pass a {kind}")
        return raw

    def from_raw(self, raw: Any) -> Any:
        """A wasmtime value as a public one."""
        kind = getattr(raw.kind, "value", raw.kind)
        bits = int.from_bytes(ctypes.string_at(ctypes.byref(raw.of), 16), "little")
        if kind == ffi.WASMTIME_I32.value:
            return signed(bits & 0xFFFFFFFF, 32)
        if kind == ffi.WASMTIME_I64.value:
            return signed(bits & 0xFFFFFFFFFFFFFFFF, 64)
        if kind == ffi.WASMTIME_F32.value:
            return f32_value(bits & 0xFFFFFFFF)
        if kind == ffi.WASMTIME_F64.value:
            return f64_value(bits & 0xFFFFFFFFFFFFFFFF)
        if kind == ffi.WASMTIME_V128.value:
            return bits
        if raw.of.funcref.store_id == 0:
            return None
        if kind == ffi.WASMTIME_FUNCREF.value:
            return Export(self.store, wasmtime.Func._from_raw(raw.of.funcref))
        if kind == ffi.WASMTIME_EXTERNREF.value:
            number = ffi.wasmtime_externref_data(self.store._context(), ctypes.byref(raw.of.externref))
            return unintern(number) if number else Extern(-1)
        return Extern(-1)  # some reference: what it refers to cannot be seen through the C API's basic part


def vector_signatures(data: bytes) -> dict[str, tuple[list[str], int]]:
    """The signatures of exported functions that have vectors in them: the C API aborts when asked for those."""
    if b"\x7b" not in data:
        return {}
    try:
        module = decode(data)
    except PolymeraseError:  # needs more than we can read; with luck it is not such a function that is called
        return {}
    types = {export.name: module.func_type(export.index) for export in module.exports if export.kind == "func"}
    return {
        name: ([str(t) for t in type_.params], len(type_.results))
        for name, type_ in types.items()
        if V128 in type_.params + type_.results
    }


def verdict(engine: Any, data: bytes) -> str | None:
    """Why an engine refuses a module."""
    try:
        wasmtime.Module.validate(engine, data)
    except wasmtime.WasmtimeError as error:
        return str(error)
    return None


def guarded(run: Callable[[], Any]) -> Any:
    """Calls `run`, its errors in the suite's words."""
    try:
        return run()
    except wasmtime.Trap as trap:
        code = trap.trap_code
        if code is None or code.name == "UNCAUGHT_EXCEPTION":
            raise WasmException(str(trap)) from trap
        raise Trap(*WORDS.get(code.name, (str(trap),))) from trap
    except wasmtime.WasmtimeError as error:
        text = str(error)
        if "import" in text and ("incompatible" in text or "expected" in text):
            raise LinkError(f"incompatible import type: {text}") from error
        if "exception" in text:
            raise WasmException(text) from error
        raise


def sessions(later: bool) -> Callable[[], Session]:
    """Makes sessions; unless `later`, proposals after 2.0 are switched off."""
    whole = make_engine(True)
    engine = whole if later else make_engine(False)
    return lambda: Session(engine, whole)


def make_engine(later: bool) -> Any:
    """An engine with or without the later proposals, quick to compile."""
    config = wasmtime.Config()
    config.parallel_compilation = False
    config.cranelift_opt_level = "none"
    for feature in LATER:
        setattr(config, feature, later)
    return wasmtime.Engine(config)
