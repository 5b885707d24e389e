"""A module's functions -> code objects or trees, and its description for the runtime (`ModuleInfo`)."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import PurePath
from types import CodeType
from typing import Any, Protocol

import polymerase_runtime
from polymerase.emit.cpython import CPython
from polymerase.emit.expr import Exprs
from polymerase.emit.names import func_names, global_names, original_names
from polymerase.emit.pypy import PyPy
from polymerase.emit.stmt import Functions
from polymerase.errors import InternalError, Where
from polymerase.ir.nodes import Func
from polymerase.options import UNCONTROLLED, Controls, Options, running_target
from polymerase.wasm.module import ConstExpr, Module
from polymerase.wasm.ops import OPS
from polymerase.wasm.types import FuncType, Limits, RefType
from polymerase_runtime import types as runtime_types
from polymerase_runtime.types import ABI, Data, Elem, ExternType, ImportType, ModuleInfo

CHUNK = 500  # functions compiled in one go, at most
CHUNK_STATEMENTS = 4000  # outermost statements in one go


class CodeSource(Protocol):
    """Where the runtime gets a module's functions from."""

    def bind(self, namespace: dict[str, Any]) -> None:
        """Put the functions, or stubs that load them, into an instance's namespace."""

    def locate(self, filename: str, lineno: int) -> int | None:
        """The byte offset that a line of a traceback came from; None if the file is none of ours."""


class Emitter:
    """Spells one module's functions for one target ("cpython" or "pypy")."""

    def __init__(self, module: Module, target: str, controls: Controls = UNCONTROLLED) -> None:
        self.module = module
        self.target = target
        self.controls = controls
        self.func_names = func_names(module)
        self.global_names = global_names(module)
        self.cells = shared_globals(module)
        canonical = canonical_types(module.types)
        kind: type[Exprs] = PyPy if target == "pypy" else CPython
        self.spell = kind(self.func_names, self.global_names, self.cells, canonical)
        self.functions = Functions(self.spell, controls, module.value_slots)

    def function(self, f: Func, name: str = "") -> list[ast.stmt]:
        """The statements that define `f`, under its own name or another one."""
        return self.functions.function(f, name)

    def info(self, frame_slots: int = 0) -> ModuleInfo:
        """The description of the module; complete when all functions have been emitted."""
        module = self.module
        typed = sorted(self.spell.typed_tables)
        first = (module.imported_tables, module.imported_memories, module.imported_globals)
        return ModuleInfo(
            name=PurePath(module.file).name,
            target=self.target,
            types=tuple(map(func_type, module.types)),
            imports=tuple(ImportType(i.module, i.name, i.kind, extern_type(i.type)) for i in module.imports),
            funcs=tuple(module.func_types),
            tables=tuple(
                (_table_type(t), table.init and const_expr(table.init))
                for t, table in zip(module.table_types[first[0] :], module.tables, strict=True)
            ),
            memories=tuple(_memory_type(t) for t in module.memory_types[first[1] :]),
            globals=tuple((_global_type(g.type), const_expr(g.init)) for g in module.globals),
            exports=tuple((e.name, e.kind, e.index) for e in module.exports),
            start=module.start,
            elems=tuple(
                Elem(e.mode, e.table, e.offset and const_expr(e.offset), str(e.type), tuple(map(_item, e.init)))
                for e in module.elems
            ),
            datas=tuple(_datas(module)),
            func_names=self.func_names,
            global_names=self.global_names,
            global_cells=self.cells,
            typed_tables=tuple(typed),
            wasm_names=original_names(module),
            abi=ABI,
            frame_slots=frame_slots,
            digest=hashlib.sha256(module.data).hexdigest(),
            controls=self.controls.names,
            fuel_costs=self.controls.fuel or (),
        )


# --- The description


def shared_globals(module: Module) -> frozenset[int]:
    """Mutable globals that other instances can reach: they live in a `Global` object."""
    exported = {e.index for e in module.exports if e.kind == "global"}
    return frozenset(
        i for i, t in enumerate(module.global_types) if t.mutable and (i < module.imported_globals or i in exported)
    )


def canonical_types(types: list[FuncType]) -> tuple[int, ...]:
    """For each type the smallest index of an equal one."""
    first: dict[FuncType, int] = {}
    return tuple(first.setdefault(t, i) for i, t in enumerate(types))


def const_expr(instrs: ConstExpr) -> tuple[tuple[Any, ...], ...]:
    """A constant expression as the runtime takes it."""
    out: list[tuple[Any, ...]] = []
    for code, imm, _ in instrs:
        name = OPS[code].name
        if imm is None:
            out.append((name,))
        else:
            out.append((name, str(imm.heap) if isinstance(imm, RefType) else imm))
    return tuple(out)


def _item(instrs: ConstExpr) -> object:
    """An element: a function's index, None, or what else computes it."""
    expr = const_expr(instrs)
    match expr:
        case (("ref.func", i),):
            return i
        case (("ref.null", _),):
            return None
        case _:
            return expr


def _datas(module: Module) -> Iterator[Data]:
    at = 0
    for d in module.datas:
        size = d.end - d.start
        yield Data(d.mode, d.memory, d.offset and const_expr(d.offset), at, at + size)
        at += size


def blob(module: Module) -> bytes:
    """The bytes of all data segments, one after the other."""
    return b"".join([module.data[d.start : d.end] for d in module.datas])


def func_type(t: FuncType) -> runtime_types.FuncType:
    """A function type in the runtime's words."""
    return runtime_types.FuncType(tuple(map(str, t.params)), tuple(map(str, t.results)))


def _limits(limits: Limits) -> runtime_types.SizeLimits:
    return runtime_types.SizeLimits(limits.min, limits.max)


def _table_type(t: Any) -> runtime_types.TableType:
    return runtime_types.TableType(str(t.element), _limits(t.limits))


def _memory_type(t: Any) -> runtime_types.MemoryType:
    return runtime_types.MemoryType(_limits(t.limits))


def _global_type(t: Any) -> runtime_types.GlobalType:
    return runtime_types.GlobalType(str(t.type), t.mutable)


def extern_type(t: Any) -> ExternType:
    """The type of an import or export in the runtime's words."""
    if isinstance(t, FuncType):
        return func_type(t)
    if hasattr(t, "element"):
        return _table_type(t)
    return _global_type(t) if hasattr(t, "mutable") else _memory_type(t)


# --- In memory


class FunctionCompiler:
    """Compiles functions of one module, one at a time. Not for several threads at once."""

    def __init__(self, module: Module, options: Options) -> None:
        self.module = module
        self.target = running_target() if options.target == "both" else options.target
        self.controls = options.controls
        self.filename = code_filename(module)
        self._emitter: Emitter | None = None

    def info(self) -> ModuleInfo:
        """The description of the module, without what functions bring with them: typed tables, sizes of frames."""
        return Emitter(self.module, self.target, self.controls).info()

    def compile(self, f: Func, name: str = "") -> CodeType:
        """The code of a module that defines `f`, under its own name or another one. InternalError."""
        emitter = self._emitter or Emitter(self.module, self.target, self.controls)
        self._emitter = None  # an emitter that failed is in no state to go on
        code = compile_statements(emitter.function(f, name), self.filename)
        self._emitter = emitter
        return code


class MemoryCode:
    """Code objects made by `compile`; the line of each instruction is its byte offset in the module."""

    def __init__(self, filename: str, codes: list[CodeType], helpers: frozenset[str]) -> None:
        self.filename = filename
        self.codes = codes
        self.helpers = sorted(helpers)

    def bind(self, namespace: dict[str, Any]) -> None:
        """Define the functions in `namespace`."""
        for name in self.helpers:
            if name not in namespace:
                namespace[name] = getattr(polymerase_runtime, name)
        for code in self.codes:
            exec(code, namespace)

    def locate(self, filename: str, lineno: int) -> int | None:
        """The offset that a line is."""
        return lineno if filename == self.filename else None


def compile_in_memory(
    module: Module, lowered: Callable[[int], Func], options: Options
) -> tuple[ModuleInfo, MemoryCode]:
    """Code objects for all functions of `module`; `lowered(n)` is the IR of defined function number `n`."""
    return compile_module(module, map(lowered, range(len(module.codes))), options)


def compile_module(module: Module, funcs: Iterable[Func], options: Options) -> tuple[ModuleInfo, MemoryCode]:
    """As `compile_in_memory`, from the functions' IR."""
    target = running_target() if options.target == "both" else options.target
    emitter = Emitter(module, target, options.controls)
    filename = code_filename(module)
    codes: list[CodeType] = []
    pending: list[ast.stmt] = []
    size = 0
    for f in funcs:
        pending += emitter.function(f)
        size += len(f.body)
        if len(pending) >= CHUNK or size >= CHUNK_STATEMENTS:
            codes.append(compile_statements(pending, filename))
            pending, size = [], 0
    if pending:
        codes.append(compile_statements(pending, filename))
    slots = max(map(frame_slots, codes), default=0)
    return emitter.info(slots), MemoryCode(filename, codes, frozenset(emitter.spell.helpers))


def code_filename(module: Module) -> str:
    """The file name of code objects. In angle brackets, so that traceback's search for source lines opens no file of
    that name; what no terminal or file name should hold, NUL and lone surrogates included, becomes a question mark."""
    name = PurePath(module.file).name[:100]
    return f"<wasm {''.join(c if c.isprintable() else '?' for c in name)}>"


def compile_statements(body: list[ast.stmt], filename: str) -> CodeType:
    """The code object of function definitions. InternalError naming the one that Python refuses."""
    try:
        return compile(ast.Module(body, []), filename, "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError) as e:
        for s in body if len(body) > 1 else ():
            compile_statements([s], filename)
        name = next((s.name for s in body if isinstance(s, ast.FunctionDef)), "")
        at = max(body[0].lineno, 0)
        index = int("".join(filter(str.isdigit, name.partition("_")[0])) or -1)
        where = Where(filename, index if index >= 0 else None, None, at)
        raise InternalError("emit", f"Python does not compile {name}: {e}", where) from e


def frame_slots(code: CodeType) -> int:
    """The most Python locals and stack slots that a function of these takes: what a frame costs."""
    inner = [c for c in code.co_consts if isinstance(c, CodeType)]
    return max((c.co_nlocals + c.co_stacksize for c in inner), default=0)
